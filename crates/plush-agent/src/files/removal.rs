//! The removal of a tree beneath a held root: no link is followed, no mount is entered, what stays is named.
//!
//! Not `rm -rf`: directories that their owner locked are opened up first, a tree of any depth costs a
//! bounded number of descriptors, and a task that fights back ends up in the report instead of in a loop.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Progress;
use super::root::{Root, Walk, is_temporary};

/// How many leftovers a report names; the rest are counted.
pub const NAMED_LEFTOVERS: usize = 1000;
/// A deeper directory is moved up to the top of its tree, so that descriptors stay few.
const HELD_LEVELS: usize = 48;
/// Names read from one directory at a time.
const BATCH: usize = 4096;
/// Prefix that FUSE gives to the names of removed files that are open.
const FUSE_HIDDEN: &[u8] = b".fuse_hidden";
/// The type of a FUSE file system (statfs(2)).
const FUSE_MAGIC: rustix::fs::FsWord = 0x6573_5546;
/// How often a directory that was empty and is not any more is read again.
const REFILLS: u32 = 8;

/// What became of a tree.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "what is left must be told to someone"]
pub struct Removal {
    /// Names removed.
    pub removed: u64,
    /// What could not be removed, at most [`NAMED_LEFTOVERS`] of them; directories that stay only because of these are not repeated.
    pub left: Vec<Leftover>,
    /// How many could not be removed in all.
    pub left_total: u64,
}

/// One thing that stays.
#[derive(Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Where it is.
    pub path: PathBuf,
    /// Why it stays.
    pub why: Why,
}

/// Why something stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The system refused.
    #[error("{0}")]
    System(Errno),
    /// Another file system is mounted there.
    #[error("another file system is mounted there")]
    Mount,
    /// A process has it open, and the file system keeps it under a name of its own until then.
    #[error("a process still has it open")]
    Open,
    /// New names appear as fast as they are removed.
    #[error("it fills up while it is emptied")]
    Refilled,
    /// The work was told to stop.
    #[error("stopped before it was reached")]
    Stopped,
}

impl Removal {
    /// Whether nothing is left.
    pub fn is_complete(&self) -> bool {
        self.left_total == 0
    }

    fn leave(&mut self, path: PathBuf, why: Why) {
        self.left_total += 1;
        if self.left.len() < NAMED_LEFTOVERS {
            self.left.push(Leftover { path, why });
        }
    }
}

struct Level {
    dir: Rc<OwnedFd>,
    name: OsString,
    path: PathBuf,
    pending: Vec<OsString>,
    stuck: HashSet<OsString>,
    refills: u32,
}

enum Entered {
    Missing,
    Inside(OwnedFd),
    Outside(Why),
}

impl Root {
    /// Removes what is at `rel`, and everything beneath it. A missing name is no error, so that removing twice is removing once.
    pub fn remove_tree(&self, rel: &Path, progress: &mut Progress<'_>) -> Removal {
        let mut removal = Removal::default();
        let (parent, name) = match self.parent_of(rel) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return removal,
            Err(error) => {
                let errno = error.raw_os_error().map_or(Errno::INVAL, Errno::from_raw_os_error);
                removal.leave(self.join(rel), Why::System(errno));
                return removal;
            }
        };
        let mut remover =
            Remover { walk: self.walk(), removal: &mut removal, levels: Vec::new(), moved: 0 };
        remover.remove(parent.as_fd(), name, self.join(rel), progress);
        removal
    }
}

impl Root {
    /// Removes what interrupted work left in this directory: names that only `temporary_name` gives. To be
    /// called when no such work is going on, as at the start of an agent.
    pub fn remove_abandoned(&self, progress: &mut Progress<'_>) -> Removal {
        let mut all = Removal::default();
        let names = match Dir::read_from(self) {
            Ok(entries) => entries.filter_map(Result::ok),
            Err(error) => {
                all.leave(self.join(Path::new("")), Why::System(error));
                return all;
            }
        };
        let names = names.map(|entry| OsString::from_vec(entry.file_name().to_bytes().to_vec()));
        for name in names.filter(|name| is_temporary(name)) {
            let one = self.remove_tree(Path::new(&name), progress);
            all.removed += one.removed;
            all.left_total += one.left_total;
            let room = NAMED_LEFTOVERS - all.left.len();
            all.left.extend(one.left.into_iter().take(room));
        }
        all
    }
}

struct Remover<'a> {
    walk: Walk,
    removal: &'a mut Removal,
    levels: Vec<Level>,
    moved: u64,
}

impl Remover<'_> {
    fn remove(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: PathBuf,
        progress: &mut Progress<'_>,
    ) {
        if !self.unlink_or_descend(parent, name, path) {
            return;
        }
        while !self.levels.is_empty() {
            if progress(self.removal.removed, None).is_break() {
                let path = self.levels[0].path.clone();
                self.removal.leave(path, Why::Stopped);
                return;
            }
            self.step(parent);
        }
    }

    /// Takes the next name of the innermost directory, or closes that directory.
    fn step(&mut self, parent: BorrowedFd<'_>) {
        let depth = self.levels.len();
        let level = &mut self.levels[depth - 1];
        let Some(name) = level.pending.pop() else {
            self.refill_or_close(parent);
            return;
        };
        let path = level.path.join(&name);
        if depth >= HELD_LEVELS && self.move_up(&name) {
            return;
        }
        let dir = Rc::clone(&self.levels[depth - 1].dir);
        self.unlink_or_descend(dir.as_fd(), &name, path);
    }

    /// Removes a plain name, or opens a directory as the new innermost level; true in the second case.
    fn unlink_or_descend(&mut self, dir: BorrowedFd<'_>, name: &OsStr, path: PathBuf) -> bool {
        if is_held_open(dir, name) {
            self.keep(name, path, Why::Open);
            return false;
        }
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) => self.removal.removed += 1,
            Err(Errno::NOENT) => {}
            Err(Errno::BUSY) if is_hidden(name) => self.keep(name, path, Why::Open),
            Err(refusal @ (Errno::ISDIR | Errno::PERM)) => match enter(dir, name, self.walk) {
                Entered::Inside(dir) => {
                    let (name, pending, stuck) = (name.to_os_string(), Vec::new(), HashSet::new());
                    let dir = Rc::new(dir);
                    self.levels.push(Level { dir, name, path, pending, stuck, refills: 0 });
                    return true;
                }
                Entered::Missing => {}
                // It was no directory: then the first refusal is the reason.
                Entered::Outside(Why::System(Errno::NOTDIR | Errno::LOOP)) => {
                    self.keep(name, path, Why::System(refusal));
                }
                Entered::Outside(why) => self.keep(name, path, why),
            },
            Err(error) => self.keep(name, path, Why::System(error)),
        }
        false
    }

    /// Reads the next names of the innermost directory; when there are none, removes it from its parent.
    fn refill_or_close(&mut self, parent: BorrowedFd<'_>) {
        let depth = self.levels.len();
        let level = &mut self.levels[depth - 1];
        match list(&level.dir, &level.stuck) {
            Ok(names) if !names.is_empty() && level.stuck.len() < BATCH => {
                level.pending = names;
                return;
            }
            Ok(_) => {}
            Err(error) => {
                let level = self.levels.pop().expect("a level was there a moment ago");
                self.keep(&level.name, level.path, Why::System(error));
                return;
            }
        }
        if !level.stuck.is_empty() {
            let level = self.levels.pop().expect("a level was there a moment ago");
            if level.stuck.len() >= BATCH {
                self.removal.leave(level.path, Why::Refilled);
            }
            self.mark_stuck(level.name);
            return;
        }
        let holder = if depth > 1 { self.levels[depth - 2].dir.as_fd() } else { parent };
        let outcome =
            rustix::fs::unlinkat(holder, &self.levels[depth - 1].name, AtFlags::REMOVEDIR);
        let level = &mut self.levels[depth - 1];
        if outcome == Err(Errno::NOTEMPTY) && level.refills < REFILLS {
            level.refills += 1;
            return;
        }
        let level = self.levels.pop().expect("a level was there a moment ago");
        match outcome {
            Ok(()) => self.removal.removed += 1,
            Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY) => self.keep(&level.name, level.path, Why::Refilled),
            Err(error) => self.keep(&level.name, level.path, Why::System(error)),
        }
    }

    /// Moves a directory to the top of the tree, where it is met again; false when it is no directory or will not move.
    fn move_up(&mut self, name: &OsStr) -> bool {
        let holder = &self.levels[self.levels.len() - 1].dir;
        let Entered::Inside(_) = enter(holder.as_fd(), name, self.walk) else { return false };
        self.moved += 1;
        let new = format!(".plush-deep-{}", self.moved);
        rustix::fs::renameat(holder, name, &self.levels[0].dir, new).is_ok()
    }

    fn keep(&mut self, name: &OsStr, path: PathBuf, why: Why) {
        self.removal.leave(path, why);
        self.mark_stuck(name.to_os_string());
    }

    fn mark_stuck(&mut self, name: OsString) {
        if let Some(level) = self.levels.last_mut() {
            level.stuck.insert(name);
        }
    }
}

/// Whether a name may belong to a removed file that is still open: NFS and FUSE keep such a file
/// under a temporary name until it is closed.
pub fn is_hidden(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".nfs") || name.starts_with(FUSE_HIDDEN)
}

/// Whether a name is such a file on FUSE, which gives it another name at each removal.
fn is_held_open(dir: BorrowedFd<'_>, name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(FUSE_HIDDEN)
        && rustix::fs::fstatfs(dir).is_ok_and(|about| about.f_type == FUSE_MAGIC)
}

/// Opens a directory for emptying, unlocking it first if its mode forbids that.
fn enter(parent: BorrowedFd<'_>, name: &OsStr, walk: Walk) -> Entered {
    let held = match open_on_same_mount(parent, name, walk) {
        Ok(held) => held,
        Err(Errno::NOENT) => return Entered::Missing,
        Err(Errno::XDEV) => return Entered::Outside(Why::Mount),
        Err(error) => return Entered::Outside(Why::System(error)),
    };
    let mode = rustix::fs::fstat(&held).map_or(0, |stat| stat.st_mode & 0o7777);
    if mode & 0o700 != 0o700 {
        // Through the descriptor, so that a name swapped for a link meanwhile is not what gets unlocked.
        let path = format!("/proc/self/fd/{}", held.as_raw_fd());
        let _ = rustix::fs::chmod(path, Mode::from_raw_mode(mode | 0o700));
    }
    match rustix::fs::openat(
        &held,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(dir) => Entered::Inside(dir),
        Err(error) => Entered::Outside(Why::System(error)),
    }
}

fn open_on_same_mount(parent: BorrowedFd<'_>, name: &OsStr, walk: Walk) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match walk {
        Walk::Kernel => {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)
        }
        Walk::Components => {
            let held = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            if mount_of(parent)? == mount_of(held.as_fd())? { Ok(held) } else { Err(Errno::XDEV) }
        }
    }
}

/// The device, and the mount's number where /proc tells it: a bind mount has its own number on the same device.
fn mount_of(fd: BorrowedFd<'_>) -> Result<(u64, Option<String>), Errno> {
    let device = rustix::fs::fstat(fd)?.st_dev;
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok();
    let number = told
        .and_then(|text| text.lines().find(|line| line.starts_with("mnt_id:")).map(str::to_owned));
    Ok((device, number))
}

fn list(dir: &OwnedFd, without: &HashSet<OsString>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
        if name != "." && name != ".." && !without.contains(&name) {
            names.push(name);
            if names.len() == BATCH {
                break;
            }
        }
    }
    Ok(names)
}
