//! Where things are on a host: `BASE/bin`, `BASE/cache`, `BASE/runs/RUN/…`, and that they are ours alone.
//! Not their removal: see [`crate::cleanup`].

use plush_protocol::TaskKey;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The directories of one run on one host.
#[derive(Clone, Debug)]
pub struct Base {
    /// What the transport chose.
    pub base: PathBuf,
    /// `BASE/runs/RUN`.
    pub run: PathBuf,
}

/// Name of the agent's socket in a run's directory.
pub const SOCKET: &str = "agent.sock";
/// Name of the tasks' socket in a run's directory.
pub const TASKS_SOCKET: &str = "tasks.sock";
/// Name of the directory in which tasks find this program, in a run's directory.
pub const PROGRAMS: &str = "bin";
/// Name of the log in a run's directory.
pub const LOG: &str = "log";

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The system refused.
    #[error("{operation} {path}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else could put things there.
    #[error(
        "{path} belongs to user {owner} with mode {mode:o}: it must be ours and closed to others"
    )]
    Shared {
        /// Which.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// A name that is no single path component.
    #[error("{0:?} cannot be the name of a run")]
    Name(String),
}

impl Base {
    /// Names the directories; makes nothing.
    pub fn new(base: &Path, run: &str) -> Result<Base, BaseError> {
        if !is_component(run) {
            return Err(BaseError::Name(run.to_owned()));
        }
        let base = std::path::absolute(base).map_err(system("resolve", base))?;
        Ok(Base { run: base.join("runs").join(run), base })
    }

    /// Makes what is missing and refuses what others could reach into. The lock that comes back keeps the base
    /// from being removed meanwhile.
    pub fn enter(&self) -> Result<OwnedFd, BaseError> {
        loop {
            let mut maker = DirBuilder::new();
            maker
                .mode(0o700)
                .recursive(true)
                .create(&self.base)
                .map_err(system("make", &self.base))?;
            let lock = self.lock(FlockOperation::LockShared)?;
            let Some(lock) = lock else { continue };
            check(&self.base, 0o022)?;
            maker.create(&self.run).map_err(system("make", &self.run))?;
            check(&self.run, 0o077)?;
            return Ok(lock);
        }
    }

    /// Locks the base, against others that come and go; `None` if it was removed before the lock was had.
    pub fn lock(&self, operation: FlockOperation) -> Result<Option<OwnedFd>, BaseError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(&self.base, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            other => other.map_err(|e| system("open", &self.base)(e.into()))?,
        };
        rustix::fs::flock(&fd, operation).map_err(|e| system("lock", &self.base)(e.into()))?;
        let held = rustix::fs::fstat(&fd).map_err(|e| system("look at", &self.base)(e.into()))?;
        let there = fs::symlink_metadata(&self.base).is_ok_and(|m| m.ino() == held.st_ino);
        Ok(there.then_some(fd))
    }

    /// All tasks' directories.
    pub fn tasks(&self) -> PathBuf {
        self.run.join("tasks")
    }

    /// One task's directory.
    pub fn task(&self, key: TaskKey) -> PathBuf {
        self.tasks().join(format!("{}.{}", key.task, key.incarnation))
    }

    /// All clusters' directories.
    pub fn clusters(&self) -> PathBuf {
        self.run.join("clusters")
    }

    /// Packages by digest, shared by the runs under this base.
    pub fn cache(&self) -> PathBuf {
        self.base.join("cache")
    }
}

/// Whether a name is one path component and nothing special.
pub fn is_component(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// The key that a task's directory is named after.
pub fn key_of(directory_name: &str) -> Option<TaskKey> {
    let (task, incarnation) = directory_name.split_once('.')?;
    Some(TaskKey { task: task.parse().ok()?, incarnation: incarnation.parse().ok()? })
}

fn check(path: &Path, forbidden: u32) -> Result<(), BaseError> {
    let found = fs::symlink_metadata(path).map_err(system("look at", path))?;
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let ours = owner == rustix::process::geteuid().as_raw() && found.is_dir();
    if ours && mode & forbidden == 0 {
        return Ok(());
    }
    Err(BaseError::Shared { path: path.to_owned(), owner, mode })
}

fn system(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BaseError {
    let path = path.to_owned();
    move |source| BaseError::System { operation, path, source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn t17_a_directory_that_others_can_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(dir.path(), "r").unwrap();
        base.enter().unwrap();
        fs::set_permissions(&base.run, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(base.enter(), Err(BaseError::Shared { mode: 0o750, .. })));
    }

    #[test]
    fn t17_a_link_in_place_of_the_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(dir.path(), "r").unwrap();
        fs::create_dir_all(dir.path().join("runs")).unwrap();
        std::os::unix::fs::symlink("/tmp", &base.run).unwrap();
        assert!(base.enter().is_err());
    }

    #[test]
    fn a_run_cannot_be_named_out_of_the_base() {
        for name in ["..", "a/b", "", ".x"] {
            assert!(Base::new(Path::new("/b"), name).is_err());
        }
    }
}
