//! Paths on a host: `BASE/cache`, `BASE/runs/MEMBER/…`, and the check that only this user can reach
//! them.
//! Not their removal: see [`crate::cleanup`].
//!
//! A base may be on a file system that several machines share (a home on NFS), and several members
//! of one run may log in to one account. Each member therefore has its own directory below `runs`,
//! with a name that the controller generates. Locks are on regular files that are open for writing:
//! network file systems forward only these.

use plush_protocol::TaskKey;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The directories of one member of one run.
#[derive(Clone, Debug)]
pub struct Base {
    /// What the transport chose.
    pub base: PathBuf,
    /// The member's own: `BASE/runs/MEMBER`.
    pub run: PathBuf,
    /// The run's id.
    pub id: String,
}

/// Name of the file that agents lock while they enter or leave a base.
pub const BASE_LOCK: &str = ".lock";
/// Name of the directory in a base that holds the members' directories.
pub const RUNS: &str = "runs";
/// Name of the directory in a base that holds the packages.
pub const CACHE: &str = "cache";
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
    /// Returns the paths without creating anything. `member` is the name of the member's own
    /// directory.
    pub fn new(base: &Path, run: &str, member: &str) -> Result<Base, BaseError> {
        for name in [run, member] {
            if !is_component(name) {
                return Err(BaseError::Name(name.to_owned()));
            }
        }
        let base = std::path::absolute(base).map_err(system("resolve", base))?;
        Ok(Base { run: base.join(RUNS).join(member), base, id: run.to_owned() })
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

    /// Locks the base against agents that enter or leave, on other machines too; `None` if the base
    /// was removed before the lock was taken.
    pub fn lock(&self, operation: FlockOperation) -> Result<Option<OwnedFd>, BaseError> {
        let path = self.base.join(BASE_LOCK);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.map_err(|e| system("open", &path)(e.into()))?,
        };
        flock(&fd, operation).map_err(|e| system("lock", &path)(e.into()))?;
        let held = rustix::fs::fstat(&fd).map_err(|e| system("look at", &path)(e.into()))?;
        let there = fs::symlink_metadata(&path).is_ok_and(|m| m.ino() == held.st_ino);
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

    /// Packages by digest, shared by all members under this base.
    pub fn cache(&self) -> PathBuf {
        self.base.join(CACHE)
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

/// Locks a file; succeeds without a lock on file systems that do not support locks.
pub fn flock(file: impl AsFd, operation: FlockOperation) -> Result<(), Errno> {
    match rustix::fs::flock(file, operation) {
        Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
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
        let base = Base::new(dir.path(), "r", "r").unwrap();
        base.enter().unwrap();
        fs::set_permissions(&base.run, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(base.enter(), Err(BaseError::Shared { mode: 0o750, .. })));
    }

    #[test]
    fn t17_a_link_in_place_of_the_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(dir.path(), "r", "r").unwrap();
        fs::create_dir_all(dir.path().join("runs")).unwrap();
        std::os::unix::fs::symlink("/tmp", &base.run).unwrap();
        assert!(base.enter().is_err());
    }

    #[test]
    fn a_run_cannot_be_named_out_of_the_base() {
        for name in ["..", "a/b", "", ".x"] {
            assert!(Base::new(Path::new("/b"), name, "p").is_err());
            assert!(Base::new(Path::new("/b"), "r", name).is_err());
        }
    }
}
