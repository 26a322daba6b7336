//! A root file system with nothing but busybox and sshd.
//!
//! Not its users and keys: those are `disk`'s.

use crate::disk::make_directory;
use crate::init::sshd_program;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the root in a directory that is not there yet.
pub fn build(root: &Path) -> Result<()> {
    for directory in
        ["bin", "sbin", "usr/bin", "usr/sbin", "dev", "proc", "sys", "tmp", "run", "var/log", "etc"]
    {
        make_directory(&root.join(directory), 0o755)?;
    }
    std::os::unix::fs::symlink("../run", root.join("var/run")).context("cannot link /var/run")?;
    let busybox = busybox_program()?;
    copy(&busybox, &root.join("bin/busybox"))?;
    let applets = output_lines(Command::new(&busybox).arg("--list"))?;
    for applet in applets.into_iter().filter(|applet| applet != "busybox") {
        std::os::unix::fs::symlink("/bin/busybox", root.join("bin").join(&applet))
            .with_context(|| format!("cannot link the applet {applet}"))?;
    }
    copy_with_libraries(&sshd_program()?, root)?;
    for part in ["/usr/lib/openssh/sshd-session", "/usr/lib/openssh/sshd-auth"] {
        if Path::new(part).exists() {
            copy_with_libraries(Path::new(part), root)?;
        }
    }
    Ok(())
}

/// A busybox that needs no libraries.
fn busybox_program() -> Result<PathBuf> {
    ["/usr/bin/busybox", "/bin/busybox", "/sbin/busybox"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .context("this machine has no busybox for a minimal host: install it (on Debian: apt install busybox-static)")
}

fn copy_with_libraries(program: &Path, root: &Path) -> Result<()> {
    copy(program, &root.join(program.strip_prefix("/").expect("programs have absolute paths")))?;
    for line in output_lines(Command::new("ldd").arg(program))? {
        let Some(library) = line.split_whitespace().find(|word| word.starts_with('/')) else {
            continue;
        };
        copy(Path::new(library), &root.join(&library[1..]))?;
    }
    Ok(())
}

fn copy(source: &Path, target: &Path) -> Result<()> {
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::copy(source, target)
        .with_context(|| format!("cannot copy {} to {}", source.display(), target.display()))?;
    Ok(())
}

fn output_lines(command: &mut Command) -> Result<Vec<String>> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect())
}
