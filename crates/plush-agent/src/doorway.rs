//! Location of the tasks' socket: beside the member's other files, or in a short directory of its
//! own where that path exceeds the limit for socket paths.
//! Not the protocol on it: see [`crate::driver`].

use crate::base::{Base, TASKS_SOCKET, flock};
use crate::{chance, record};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Maximum length of a socket path that every program can connect to, in bytes (unix(7): 108 with
/// the final NUL).
pub const MAX_PATH_BYTES: usize = 107;
/// The file in a member's directory that names the short directory.
pub const RECORD: &str = "doorway";
/// Candidates for the parent of a short directory; the first that accepts one is used.
const PARENTS: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// The location of the tasks' socket. Dropping it keeps the files: tasks outlive an agent and use
/// the path.
#[derive(Debug)]
pub struct Doorway {
    /// The socket's path, at most [`MAX_PATH_BYTES`] long.
    pub socket: PathBuf,
    /// Programs that clear old files leave locked directories alone (tmpfiles.d(5)).
    _lock: Option<OwnedFd>,
}

impl Doorway {
    /// Finds or creates the location.
    ///
    /// # Errors
    /// No candidate accepted a short directory.
    pub fn open(base: &Base) -> io::Result<Doorway> {
        Doorway::within(base, &PARENTS)
    }

    fn within(base: &Base, parents: &[&str]) -> io::Result<Doorway> {
        let beside = base.run.join(TASKS_SOCKET);
        if beside.as_os_str().len() <= MAX_PATH_BYTES {
            return Ok(Doorway { socket: beside, _lock: None });
        }
        // Tasks of an earlier agent have its path.
        if let Some(earlier) = recorded(base) {
            match make(&earlier) {
                Ok(()) => return at(&earlier),
                Err(_) if is_ours(&earlier) => return at(&earlier),
                Err(e) => crate::log!("make the doorway {} again: {e}", earlier.display()),
            }
        }
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for parent in parents {
            let directory = Path::new(parent).join(format!("plush-{:016x}", chance::number()));
            let name = directory.as_os_str().as_encoded_bytes();
            // The record comes first: a directory without a record would never be removed.
            record::save(&base.run, RECORD, name, record::Keep::WhileUp)?;
            match make(&directory) {
                Ok(()) => return at(&directory),
                Err(e) => refused = e,
            }
        }
        Err(refused)
    }
}

/// Removes the short directory of a member, if it has one. Returns the paths that could not be
/// removed.
pub fn remove(base: &Base) -> Option<(PathBuf, io::Error)> {
    let directory = recorded(base).filter(|directory| is_ours(directory))?;
    let _absent = fs::remove_file(directory.join(TASKS_SOCKET));
    fs::remove_dir(&directory).err().map(|e| (directory, e))
}

fn recorded(base: &Base) -> Option<PathBuf> {
    let name = fs::read_to_string(base.run.join(RECORD)).ok()?;
    Some(PathBuf::from(name))
}

/// Exclusive creation: an existing name belongs to another process.
fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(directory)
}

fn is_ours(directory: &Path) -> bool {
    let uid = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(directory)
        .is_ok_and(|found| found.is_dir() && found.uid() == uid && found.mode() & 0o077 == 0)
}

fn at(directory: &Path) -> io::Result<Doorway> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = rustix::fs::open(directory, flags, Mode::empty())?;
    let _kept_from_clearing = flock(&lock, FlockOperation::NonBlockingLockShared);
    Ok(Doorway { socket: directory.join(TASKS_SOCKET), _lock: Some(lock) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    fn check(name_bytes: usize, test: impl FnOnce(&Base, &Path)) {
        let dir = tempfile::tempdir().unwrap();
        let base = Base::new(&dir.path().join("l".repeat(name_bytes)), "r", "r").unwrap();
        base.enter().unwrap();
        let short = dir.path().join("s");
        fs::create_dir(&short).unwrap();
        test(&base, &short);
    }

    #[test]
    fn a_path_that_fits_is_beside_the_members_files() {
        check(1, |base, _| {
            let socket = Doorway::open(base).unwrap().socket;
            assert_eq!(socket, base.run.join(TASKS_SOCKET));
        });
    }

    #[test]
    fn however_long_the_base_is_a_program_can_connect() {
        check(200, |base, short| {
            let parents = [short.to_str().unwrap()];
            let first = Doorway::within(base, &parents).unwrap().socket;
            assert!(first.as_os_str().len() <= MAX_PATH_BYTES);
            assert!(is_ours(first.parent().unwrap()));
            let again = Doorway::within(base, &parents).unwrap().socket;
            assert_eq!(first, again, "tasks of an earlier agent know the first one");
            assert!(remove(base).is_none());
            assert_eq!(fs::read_dir(short).unwrap().count(), 0);
        });
    }

    #[test]
    fn t17_a_doorway_that_someone_else_put_there_is_not_entered() {
        check(200, |base, short| {
            let parents = [short.to_str().unwrap()];
            let first = Doorway::within(base, &parents).unwrap().socket;
            let planted = first.parent().unwrap();
            fs::remove_dir(planted).unwrap();
            symlink("/tmp", planted).unwrap();
            let second = Doorway::within(base, &parents).unwrap().socket;
            assert_ne!(first, second);
            assert!(is_ours(second.parent().unwrap()));
        });
    }
}
