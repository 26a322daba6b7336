//! A directory held by its descriptor: everything named by a path is opened, made or renamed beneath it.
//!
//! Not a place for policy: a root neither knows what belongs in it nor removes trees (see `removal`).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::shown::Shown;

/// How a path is walked without following a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// By the kernel in one call (`openat2`, Linux 5.6).
    Kernel,
    /// Component by component with `O_NOFOLLOW`, for older kernels.
    Components,
}

/// A held directory.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    path: PathBuf,
    walk: Walk,
}

/// An operation beneath a root failed; the source says why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", Shown::path(.path))]
pub struct RootError {
    /// A verb with its preposition: `open`, `make the directory`.
    pub operation: &'static str,
    /// What it was to be done to.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Too little is free: known before anything was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no space left: {needed} bytes needed, {free} free")]
pub struct NoRoom {
    /// Bytes that are to be written.
    pub needed: u64,
    /// Bytes that are free.
    pub free: u64,
}

/// Left for what is written besides: names, directories, records.
pub(crate) const RESERVE_BYTES: u64 = 64 << 10;

/// The directory that holds a path's last component: the root itself, or one opened beneath it.
pub(crate) enum Held<'a> {
    Root(BorrowedFd<'a>),
    Beneath(OwnedFd),
}

/// A name, and the directory that holds it.
pub(crate) type Placed<'a, 'r> = (Held<'a>, &'r OsStr);

impl AsFd for Held<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Held::Root(fd) => *fd,
            Held::Beneath(fd) => fd.as_fd(),
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Root {
    /// Holds the directory at `path`. This one path may lead through links: it is the agent's own.
    pub fn open(path: &Path) -> Result<Root, RootError> {
        let fd = rustix::fs::open(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(failed("open the directory", path))?;
        let walk = match rustix::fs::openat2(&fd, ".", dir_flags(), Mode::empty(), beneath()) {
            Ok(_) => Walk::Kernel,
            Err(_) => Walk::Components,
        };
        Ok(Root { fd, path: path.to_path_buf(), walk })
    }

    /// The same directory, walked in another way than the one that fits this kernel best.
    pub fn walked_by(mut self, walk: Walk) -> Root {
        self.walk = walk;
        self
    }

    /// How paths are walked here.
    pub(crate) fn walk(&self) -> Walk {
        self.walk
    }

    /// Where it was when it was opened, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Holds a directory beneath this one.
    pub fn subroot(&self, rel: &Path) -> Result<Root, RootError> {
        let fd = self
            .open_at(rel, dir_flags(), 0)
            .map_err(failed("open the directory", &self.join(rel)))?;
        Ok(Root { fd, path: self.join(rel), walk: self.walk })
    }

    /// Makes a directory that must not exist yet, and holds it.
    pub fn create_dir(&self, rel: &Path, mode: u32) -> Result<Root, RootError> {
        let (parent, name) =
            self.parent_of(rel).map_err(failed("make the directory", &self.join(rel)))?;
        rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode))
            .map_err(failed("make the directory", &self.join(rel)))?;
        self.subroot(rel)
    }

    /// Holds the directory at `rel`, making it and those that lead to it where they are missing. The empty path is the root itself.
    pub fn create_dirs(&self, rel: &Path, mode: u32) -> Result<Root, RootError> {
        let names = plain_names(rel).map_err(failed("make the directory", &self.join(rel)))?;
        let mut fd = self.fd.try_clone().map_err(failed("hold", &self.path))?;
        for name in names {
            fd = match open_one(&fd, name, dir_flags(), 0) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&fd, name, Mode::from_raw_mode(mode)) {
                        Ok(()) | Err(Errno::EXIST) => open_one(&fd, name, dir_flags(), 0),
                        Err(error) => Err(error),
                    }
                }
                opened => opened,
            }
            .map_err(failed("make the directory", &self.join(rel)))?;
        }
        Ok(Root { fd, path: self.join(rel), walk: self.walk })
    }

    /// Opens a regular file for reading; anything else is an error, and a FIFO does not block.
    pub fn open_file(&self, rel: &Path) -> Result<File, RootError> {
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fail = || failed("open", &self.join(rel));
        let fd = self.open_at(rel, flags, 0).map_err(fail())?;
        let stat = rustix::fs::fstat(&fd).map_err(|error| fail()(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(fail()(io::Error::other("not a regular file")));
        }
        Ok(File::from(fd))
    }

    /// Makes a file that must not exist yet, readable and writable through the descriptor.
    pub fn create_file(&self, rel: &Path, mode: u32) -> Result<File, RootError> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.open_at(rel, flags, mode).map_err(failed("create", &self.join(rel)))?;
        Ok(File::from(fd))
    }

    /// Writes a small file so that it is there whole or not at all, also after a power loss.
    pub fn write_whole(&self, rel: &Path, bytes: &[u8], mode: u32) -> Result<(), RootError> {
        let dir = rel.parent().unwrap_or(Path::new(""));
        let temporary = dir.join(temporary_name());
        let mut file = self.create_file(&temporary, mode)?;
        io::Write::write_all(&mut file, bytes)
            .and_then(|()| file.sync_all())
            .map_err(failed("write", &self.join(&temporary)))
            .and_then(|()| self.rename(&temporary, rel))
            .inspect_err(|_| drop(self.unlink(&temporary)))
    }

    /// Renames, replacing what a rename may replace.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), RootError> {
        let ((old_dir, old), (new_dir, new)) = self.both_parents(from, to)?;
        rustix::fs::renameat(&old_dir, old, &new_dir, new)
            .map_err(failed("rename to", &self.join(to)))
    }

    /// Renames to a name that must be free. Kernels and file systems that cannot promise this are asked
    /// whether the name is free just before.
    pub fn rename_to_free(&self, from: &Path, to: &Path) -> Result<(), RootError> {
        let ((old_dir, old), (new_dir, new)) = self.both_parents(from, to)?;
        match rustix::fs::renameat_with(&old_dir, old, &new_dir, new, RenameFlags::NOREPLACE) {
            Err(Errno::NOSYS | Errno::INVAL) => {
                match rustix::fs::statat(&new_dir, new, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => rustix::fs::renameat(&old_dir, old, &new_dir, new),
                    Ok(_) => Err(Errno::EXIST),
                    Err(error) => Err(error),
                }
            }
            outcome => outcome,
        }
        .map_err(failed("rename to", &self.join(to)))
    }

    /// Lets two names change places at once; `false` when this kernel or file system cannot.
    pub fn exchange(&self, one: &Path, other: &Path) -> Result<bool, RootError> {
        let ((one_dir, one), (other_dir, other_name)) = self.both_parents(one, other)?;
        match rustix::fs::renameat_with(
            &one_dir,
            one,
            &other_dir,
            other_name,
            RenameFlags::EXCHANGE,
        ) {
            Ok(()) => Ok(true),
            Err(Errno::NOSYS | Errno::INVAL) => Ok(false),
            Err(error) => Err(failed("exchange", &self.join(other))(error)),
        }
    }

    /// Removes one name that is not a directory; a missing one is an error of kind `NotFound`.
    pub fn unlink(&self, rel: &Path) -> Result<(), RootError> {
        let (parent, name) = self.parent_of(rel).map_err(failed("remove", &self.join(rel)))?;
        rustix::fs::unlinkat(&parent, name, AtFlags::empty())
            .map_err(failed("remove", &self.join(rel)))
    }

    /// Makes a symbolic link; where it leads is the caller's care.
    pub fn symlink(&self, target: &OsStr, rel: &Path) -> Result<(), RootError> {
        let (parent, name) = self.parent_of(rel).map_err(failed("link", &self.join(rel)))?;
        rustix::fs::symlinkat(target, &parent, name).map_err(failed("link", &self.join(rel)))
    }

    /// Gives the file at `from` a second name, without following a link.
    pub fn hard_link(&self, from: &Path, to: &Path) -> Result<(), RootError> {
        let ((old_dir, old), (new_dir, new)) = self.both_parents(from, to)?;
        rustix::fs::linkat(&old_dir, old, &new_dir, new, AtFlags::empty())
            .map_err(failed("link", &self.join(to)))
    }

    /// What is at `rel`, itself and not what it points to; `None` when nothing is.
    pub fn stat(&self, rel: &Path) -> Result<Option<Stat>, RootError> {
        let found = self.parent_of(rel).map_err(io_error).and_then(|(parent, name)| {
            rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io_error)
        });
        match found {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("look at", &self.join(rel))(error)),
        }
    }

    /// Bytes that this user may still write on the file system here; `u64::MAX` when it does not say.
    pub fn free_bytes(&self) -> u64 {
        let Ok(stat) = rustix::fs::fstatvfs(&self.fd) else { return u64::MAX };
        // Some network and virtual file systems count nothing: no size is not no room.
        if stat.f_blocks == 0 {
            return u64::MAX;
        }
        // What is set aside for root, root may use.
        let is_root = rustix::process::geteuid().is_root();
        let blocks = if is_root { stat.f_bfree } else { stat.f_bavail };
        blocks.saturating_mul(stat.f_frsize)
    }

    /// Whether so many more bytes fit, before the first of them is written.
    pub fn room_for(&self, needed: u64) -> Result<(), NoRoom> {
        let free = self.free_bytes();
        if needed.saturating_add(RESERVE_BYTES) > free {
            return Err(NoRoom { needed, free });
        }
        Ok(())
    }

    /// Waits until everything on this file system is on its disk.
    pub fn sync_all(&self) -> Result<(), RootError> {
        rustix::fs::syncfs(&self.fd).map_err(failed("sync", &self.path))
    }

    /// Waits until this directory's own entries are on the disk.
    pub fn sync(&self) -> Result<(), RootError> {
        rustix::fs::fsync(&self.fd).map_err(failed("sync", &self.path))
    }

    /// The path for messages.
    pub(crate) fn join(&self, rel: &Path) -> PathBuf {
        if rel.as_os_str().is_empty() { self.path.clone() } else { self.path.join(rel) }
    }

    /// The directory that holds `rel`'s last component, and that component.
    pub(crate) fn parent_of<'r>(&self, rel: &'r Path) -> io::Result<Placed<'_, 'r>> {
        let mut names = plain_names(rel)?;
        let name = names.pop().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        if names.is_empty() {
            return Ok((Held::Root(self.fd.as_fd()), name));
        }
        let dir: PathBuf = names.into_iter().collect();
        Ok((Held::Beneath(self.open_at(&dir, dir_flags(), 0)?), name))
    }

    fn both_parents<'r>(
        &self,
        from: &'r Path,
        to: &'r Path,
    ) -> Result<(Placed<'_, 'r>, Placed<'_, 'r>), RootError> {
        let from = self.parent_of(from).map_err(failed("rename", &self.join(from)))?;
        let to = self.parent_of(to).map_err(failed("rename to", &self.join(to)))?;
        Ok((from, to))
    }

    fn open_at(&self, rel: &Path, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let mut names = plain_names(rel)?;
        let Some(last) = names.pop() else {
            return Ok(open_one(&self.fd, OsStr::new("."), flags, mode)?);
        };
        match self.walk {
            Walk::Kernel => Ok(open_by_kernel(&self.fd, rel, flags, mode)?),
            Walk::Components => {
                let mut held = None;
                for name in names {
                    let dir = open_one(held.as_ref().unwrap_or(&self.fd), name, dir_flags(), 0)?;
                    held = Some(dir);
                }
                Ok(open_one(held.as_ref().unwrap_or(&self.fd), last, flags, mode)?)
            }
        }
    }
}

/// A name that nothing else has: hidden, recognisable as ours, with 64 random bits.
pub(crate) fn temporary_name() -> OsString {
    let mut bytes = [0u8; 8];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    OsString::from(format!(".plush-{:016x}", u64::from_ne_bytes(bytes)))
}

/// Whether `temporary_name` may have given this name.
pub(crate) fn is_temporary(name: &OsStr) -> bool {
    let random = name.as_bytes().strip_prefix(b".plush-");
    random.is_some_and(|random| random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit))
}

/// The path's components when all of them are plain names (a `.` is dropped); an absolute path, `..` or a NUL is refused.
pub(crate) fn plain_names(rel: &Path) -> io::Result<Vec<&OsStr>> {
    let mut names = Vec::new();
    for component in rel.components() {
        match component {
            Component::Normal(name) if !name.as_bytes().contains(&0) => names.push(name),
            Component::CurDir => {}
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the path leaves its directory",
                ));
            }
        }
    }
    Ok(names)
}

fn dir_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

fn open_one(dir: &OwnedFd, name: &OsStr, flags: OFlags, mode: u32) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode))
}

/// `EAGAIN` says that something was renamed during the walk; a bounded number of tries is enough for all but an attack.
fn open_by_kernel(dir: &OwnedFd, rel: &Path, flags: OFlags, mode: u32) -> Result<OwnedFd, Errno> {
    for _ in 0..16 {
        match rustix::fs::openat2(dir, rel, flags, Mode::from_raw_mode(mode), beneath()) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            outcome => return outcome,
        }
    }
    Err(Errno::AGAIN)
}

fn io_error(error: impl Into<io::Error>) -> io::Error {
    error.into()
}

fn failed<E: Into<io::Error>>(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> RootError + use<E> {
    let path = path.to_path_buf();
    move |source| RootError { operation, path, source: source.into() }
}
