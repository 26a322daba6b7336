//! A run's directory on the controller: what is where in it.
//! Not what the files hold.

use crate::holder::Machine;
use serde::{Deserialize, Serialize};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The longest path that a UNIX socket can be bound to everywhere (macOS has 104 bytes, Linux 108).
const SOCKET_PATH_MAX: usize = 100;

/// A run's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The directory at `path`, which may not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        RunDir(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The run's id: the directory's name.
    pub fn run(&self) -> String {
        self.0.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// The plan, as resolved (JSON).
    pub fn plan(&self) -> PathBuf {
        self.0.join("plan.json")
    }

    /// The description as it was given.
    pub fn description(&self, extension: &str) -> PathBuf {
        self.0.join(format!("description.{extension}"))
    }

    /// The journal (SQLite).
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.sqlite")
    }

    /// What the controller process says about itself.
    pub fn log(&self) -> PathBuf {
        self.0.join("controller.log")
    }

    /// Held with an exclusive lock by the controller that serves the run.
    pub fn lock(&self) -> PathBuf {
        self.0.join("controller.lock")
    }

    /// The last view (JSON), written while the run goes on and at its end.
    pub fn view(&self) -> PathBuf {
        self.0.join("view.json")
    }

    /// Packages that are pushed, by digest.
    pub fn packages(&self) -> PathBuf {
        self.0.join("packages")
    }

    /// Output of tasks: one directory per host.
    pub fn output(&self, host: &str) -> PathBuf {
        self.0.join("output").join(file_name(host))
    }

    /// Results: one directory per host.
    pub fn results(&self, host: &str) -> PathBuf {
        self.0.join("results").join(file_name(host))
    }

    /// The operator socket: in the directory, or, where that path is too long for a socket, in a directory of the
    /// user's own below the temporary one.
    pub fn operator_socket(&self) -> PathBuf {
        let here = self.0.join("operator.sock");
        if here.as_os_str().len() <= SOCKET_PATH_MAX {
            return here;
        }
        private_temporary().join(format!("{}.sock", self.own_name()))
    }

    /// Where `local` hosts of a run that begins here have their directories.
    pub fn local_hosts(&self) -> LocalHosts {
        LocalHosts { machine: Machine::this(), above: private_temporary(), run: self.own_name() }
    }

    /// The run's id, and what tells it from a run of the same name in another directory of runs.
    fn own_name(&self) -> String {
        let path = std::path::absolute(&self.0).unwrap_or_else(|_| self.0.clone());
        let digest = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
        format!("{}-{}", self.run(), &digest[..8])
    }
}

/// The directories that stand for the disks of `local` hosts; written down when the run begins, since the run's own
/// directory may be moved or copied. There is none above them that is the run's: agents remove their own when the
/// controller may have ended already, and nobody would be left to remove that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalHosts {
    machine: Machine,
    above: PathBuf,
    run: String,
}

impl LocalHosts {
    /// The directory of one of them.
    pub fn directory(&self, host: &str) -> PathBuf {
        self.above.join(format!("{}@{}", file_name(host), self.run))
    }

    /// They are directories of this machine.
    pub fn are_here(&self) -> bool {
        self.machine.is_this()
    }
}

/// Makes a directory and its parents, for the user alone.
pub fn create_private(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file whole or not at all, for the user alone, durably.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = std::fs::OpenOptions::new();
    let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

/// A directory of this user's for what needs short paths. Whoever made it first must be us, or it is refused later
/// when something is created in it: its mode is 0700.
fn private_temporary() -> PathBuf {
    std::env::temp_dir().join(format!("plush-{}", rustix::process::getuid().as_raw()))
}

/// A name from elsewhere as one harmless file name: anything but letters, digits, `.-_@:+[]` becomes `%XX`, as does
/// a dot in front.
pub fn file_name(name: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-_@:+[]".contains(&byte);
        if plain || (byte == b'.' && at > 0) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String succeeds");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_host_name_leaves_its_directory() {
        assert_eq!(file_name("../x"), "%2E.%2Fx");
        assert_eq!(file_name("u@n1.org:22"), "u@n1.org:22");
        assert_eq!(file_name(".."), "%2E.");
    }
}
