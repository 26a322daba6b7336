//! A lab's directory: where its files are, who holds it, and the removal of what a killed lab left.
//!
//! Not the hosts' disks: those are in memory and go with the processes.

use anyhow::{Context as _, Result, bail};
use rustix::fs::FlockOperation;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// The files of one lab.
#[derive(Debug, Clone)]
pub struct StateDirectory {
    path: PathBuf,
}

impl StateDirectory {
    /// The directory of the lab with this name, whether it is there or not.
    pub fn named(name: &str) -> Result<StateDirectory> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if name.is_empty()
            || name.len() > 40
            || name.starts_with(['.', '-'])
            || !name.chars().all(plain)
        {
            bail!("\"{name}\" cannot name a lab: letters, digits, - and _ can");
        }
        Ok(StateDirectory { path: base().join(name) })
    }

    /// The directory at this path.
    pub fn at(path: PathBuf) -> StateDirectory {
        StateDirectory { path }
    }

    /// Makes the directory with mode 0700, in a base directory that is ours alone, and holds it: others see that the lab
    /// is up for as long as this file, or a copy of it, is open.
    pub fn create(&self) -> Result<File> {
        let base = base();
        if !base.exists() {
            make_private(&base)?;
        }
        check_private(&base)?;
        if self.is_held() {
            bail!(
                "a lab named {} is up already: choose another --name, or take it down",
                self.name()
            );
        }
        self.remove();
        make_private(&self.path)?;
        self.hold()
    }

    /// The lock gets its name once it is locked: nobody finds it free and takes the lab for a killed one's.
    fn hold(&self) -> Result<File> {
        let (new, path) = (self.path.join("lock.new"), self.lock());
        let file =
            File::create(&new).with_context(|| format!("cannot create {}", new.display()))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .with_context(|| format!("cannot lock {}", new.display()))?;
        std::fs::rename(&new, &path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        Ok(file)
    }

    /// Whether a supervisor runs this lab.
    pub fn is_held(&self) -> bool {
        File::open(self.lock()).is_ok_and(|file| {
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err()
        })
    }

    /// Removes the directory; that it is gone is fine.
    pub fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    pub fn socket(&self) -> PathBuf {
        self.path.join("control")
    }

    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where the hosts' disks are mounted, in the supervisor's mount namespace only.
    pub fn disks(&self) -> PathBuf {
        self.path.join("disks")
    }

    pub fn ssh_config(&self) -> PathBuf {
        self.path.join("ssh_config")
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.path.join("known_hosts")
    }

    pub fn identity(&self) -> PathBuf {
        self.path.join("id_ed25519")
    }

    pub fn hosts_file(&self) -> PathBuf {
        self.path.join("hosts")
    }

    pub fn inventory(&self) -> PathBuf {
        self.path.join("inventory")
    }

    pub fn directory_file(&self) -> PathBuf {
        self.path.join("inventory.xml")
    }
}

/// The names of the labs that are up.
pub fn list_labs() -> Vec<String> {
    let mut names: Vec<String> =
        every().into_iter().filter(StateDirectory::is_held).map(|state| state.name()).collect();
    names.sort();
    names
}

/// Removes the directories of labs whose supervisor was killed, and tells their names.
pub fn remove_stale_labs() -> Vec<String> {
    let stale: Vec<StateDirectory> =
        every().into_iter().filter(|state| state.lock().exists() && !state.is_held()).collect();
    for state in &stale {
        crate::freezer::remove_groups_of(&state.name());
        state.remove();
    }
    stale.iter().map(StateDirectory::name).collect()
}

fn every() -> Vec<StateDirectory> {
    if check_private(&base()).is_err() {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir(base()) else { return Vec::new() };
    entries.flatten().map(|entry| StateDirectory::at(entry.path())).collect()
}

/// `$XDG_RUNTIME_DIR/plush-lab`, else a directory of this user's in /tmp.
fn base() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) if Path::new(&runtime).is_dir() => Path::new(&runtime).join("plush-lab"),
        _ => PathBuf::from(format!("/tmp/plush-lab-{}", rustix::process::getuid().as_raw())),
    }
}

fn make_private(path: &Path) -> Result<()> {
    let made = DirBuilder::new().mode(0o700).create(path);
    made.with_context(|| format!("cannot create {}", path.display()))
}

fn check_private(path: &Path) -> Result<()> {
    let metadata =
        path.symlink_metadata().with_context(|| format!("cannot look at {}", path.display()))?;
    if !metadata.is_dir()
        || metadata.uid() != rustix::process::getuid().as_raw()
        || metadata.mode() & 0o077 != 0
    {
        bail!("{} is not a directory of this user's alone (mode 0700): remove it", path.display());
    }
    Ok(())
}
