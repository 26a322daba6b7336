//! The user of this process in the user database, as `ssh` determines it.
//!
//! Not the environment: `$HOME` and `$USER` may differ.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The name and home directory for tokens, `~` and `Match localuser`.
#[derive(Clone, Debug)]
pub struct LocalUser {
    /// Login name.
    pub name: String,
    /// Home directory.
    pub home: PathBuf,
    /// Numeric id, for `%i`.
    pub uid: u32,
}

impl LocalUser {
    /// The user of this process: from `/etc/passwd`, else as the system's shell finds it, else from
    /// the environment.
    pub fn current() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
        let (name, home) =
            in_passwd(&passwd, uid).or_else(from_shell).unwrap_or_else(|| from_environment(uid));
        Self { name, home, uid }
    }
}

/// The first line of a `passwd` file with this id.
fn in_passwd(passwd: &[u8], uid: u32) -> Option<(String, PathBuf)> {
    let uid = uid.to_string();
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let is_entry = fields.len() >= 7 && fields[2] == uid.as_bytes();
        let name = String::from_utf8(fields.first()?.to_vec()).ok()?;
        // A line of NIS begins with + or -.
        (is_entry && !name.is_empty() && !name.starts_with(['+', '-']))
            .then(|| (name, PathBuf::from(OsString::from_vec(fields[5].to_vec()))))
    })
}

/// Directories other than the file (LDAP, macOS) answer the shell's `~NAME`.
fn from_shell() -> Option<(String, PathBuf)> {
    let said = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        let output = command.output().ok().filter(|output| output.status.success())?;
        let text = output.stdout.strip_suffix(b"\n")?.to_vec();
        (!text.is_empty()).then_some(text)
    };
    let name = String::from_utf8(said("id", &["-un"])?).ok()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !name.chars().all(is_plain) {
        return None;
    }
    let home = said("/bin/sh", &["-c", &format!("printf '%s\\n' ~{name}")])?;
    home.starts_with(b"/").then(|| (name, PathBuf::from(OsString::from_vec(home))))
}

fn from_environment(uid: u32) -> (String, PathBuf) {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let name = name.unwrap_or_else(|_| if uid == 0 { "root".to_owned() } else { uid.to_string() });
    let home = std::env::var_os("HOME").filter(|home| home.as_bytes().starts_with(b"/"));
    let home = home.map(PathBuf::from);
    (name, home.unwrap_or_else(|| PathBuf::from(if uid == 0 { "/root" } else { "/" })))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_line_of_the_user_database_with_the_id_counts() {
        let passwd = b"# x\n+::::::\nann:x:7:7:Ann:/home/ann:/bin/sh\nbob:x:7:7::/b:/bin/sh\n";
        assert_eq!(in_passwd(passwd, 7).unwrap(), ("ann".to_owned(), PathBuf::from("/home/ann")));
        assert_eq!(in_passwd(passwd, 70), None);
    }

    #[test]
    fn the_shell_finds_the_same_user_as_the_file() {
        let uid = rustix::process::getuid().as_raw();
        let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
        if let Some(found) = in_passwd(&passwd, uid) {
            assert_eq!(from_shell(), Some(found));
        }
    }
}
