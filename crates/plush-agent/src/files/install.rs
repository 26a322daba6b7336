//! Software installed: packages from the cache become one directory that is there whole or not at all.
//!
//! Not a package manager: nothing depends on anything here, and a package's own script is run by the caller.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode};

use super::digest::{Algorithm, Digest, of_bytes};
use super::external::Invocation;
use super::removal::Removal;
use super::root::{NoRoom, Root, RootError, temporary_name};
use super::store::{Store, StoreError};
use super::unpack::name::MARKER;
use super::unpack::{self, Kind, Limits, Options, UnpackError, Unpacked};
use super::{CHUNK_BYTES, Progress};

/// What is done with a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installer {
    /// It is put there as it is, with this mode.
    None {
        /// Permission bits; others are dropped.
        mode: u32,
    },
    /// It is unpacked as tar.
    Tar,
    /// It is unpacked as zip.
    Zip,
}

/// One package of a software.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which package; it must be in the store.
    pub package: Digest,
    /// What is done with it.
    pub installer: Installer,
    /// Where, beneath the software's directory: a directory for archives (empty for the software's own), a file for `None`.
    pub at: PathBuf,
    /// Leading components removed from an archive's names.
    pub strip: usize,
}

/// A software to install.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its directory, beneath the root.
    pub dest: PathBuf,
    /// Its packages; archives may not fill the same directory twice, files may join it.
    pub parts: Vec<Part>,
    /// Whether a script must run before it counts as installed (see [`prepare_script`]).
    pub has_script: bool,
    /// The bounds for each archive.
    pub limits: Limits,
}

/// What is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// Identifies the order: the same packages in the same places.
    pub identity: Digest,
    /// What was unpacked now; nothing when it was there already.
    pub unpacked: Unpacked,
    /// Whether it was there already.
    pub was_there: bool,
}

/// Nothing was installed, and what was installed before is as it was.
#[derive(Debug, thiserror::Error)]
#[error("cannot install into {}", super::shown::Shown::path(.dest))]
pub struct InstallError {
    /// The software's directory.
    pub dest: PathBuf,
    /// Why.
    #[source]
    pub cause: Cause,
}

/// Why an installation failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// A package cannot be had.
    #[error(transparent)]
    Store(StoreError),
    /// A package cannot be unpacked.
    #[error(transparent)]
    Unpack(UnpackError),
    /// No room.
    #[error("no space left: {needed} bytes needed, {free} free")]
    NoSpace {
        /// Bytes needed, at least.
        needed: u64,
        /// Bytes free before the work began.
        free: u64,
    },
    /// A directory operation failed.
    #[error(transparent)]
    Root(RootError),
    /// A file cannot be copied.
    #[error("cannot copy a package")]
    Copy(#[source] io::Error),
    /// A marker that is not ours, or nothing where the software should be.
    #[error("no software that waits for its script is there")]
    NotPending,
    /// Told to stop.
    #[error("it was cancelled")]
    Cancelled,
}

/// Whether the software is complete, or waits for its script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Complete,
    Pending,
}

/// Installs beneath `root`. Doing it again is cheap and changes nothing; another order of the same directory replaces it.
pub fn install(
    store: &Store,
    root: &Root,
    order: &Order,
    progress: &mut Progress<'_>,
) -> Result<Installed, InstallError> {
    let fail = |cause| InstallError { dest: root.join(&order.dest), cause };
    let identity = identity(order);
    if let Ok(Some((found, State::Complete))) = marker(root, &order.dest)
        && found == identity
    {
        return Ok(Installed { identity, unpacked: Unpacked::default(), was_there: true });
    }
    let parent = order.dest.parent().unwrap_or(Path::new(""));
    let temporary = parent.join(temporary_name());
    root.create_dirs(parent, 0o755).map_err(|error| fail(refused(root, error)))?;
    let fresh = root.create_dir(&temporary, 0o755).map_err(|error| fail(refused(root, error)))?;
    let built = build(store, &fresh, order, identity, progress)
        .and_then(|unpacked| put_in_place(root, &temporary, &order.dest).map(|()| unpacked));
    // Either the unfinished tree, or the one that was replaced, or nothing.
    let _ = root.remove_tree(&temporary, &mut |_, _| ControlFlow::Continue(()));
    let unpacked = built.map_err(fail)?;
    Ok(Installed { identity, unpacked, was_there: false })
}

/// Removes a software. What could not be removed is told.
pub fn remove(root: &Root, dest: &Path, progress: &mut Progress<'_>) -> Removal {
    root.remove_tree(dest, progress)
}

/// How to run the script `script` (a path in the software) with `sh` in the software's directory. After its
/// success, [`confirm_script`] completes the installation; without it the software counts as absent.
pub fn prepare_script(
    root: &Root,
    dest: &Path,
    script: &Path,
    arguments: &[OsString],
) -> Result<Invocation, InstallError> {
    let fail = |cause| InstallError { dest: root.join(dest), cause };
    match marker(root, dest).map_err(|error| fail(Cause::Root(error)))? {
        Some((_, State::Pending)) => {}
        _ => return Err(fail(Cause::NotPending)),
    }
    // Opened once to be sure that it is a regular file that is reached without a link.
    root.open_file(&dest.join(script)).map_err(|error| fail(Cause::Root(error)))?;
    let mut argv = vec![OsString::from("/bin/sh"), Path::new(".").join(script).into_os_string()];
    argv.extend_from_slice(arguments);
    Ok(Invocation { argv, env: Vec::new(), cwd: root.join(dest) })
}

/// The script has succeeded: the software is complete.
pub fn confirm_script(root: &Root, dest: &Path) -> Result<(), InstallError> {
    let fail = |cause| InstallError { dest: root.join(dest), cause };
    match marker(root, dest).map_err(|error| fail(Cause::Root(error)))? {
        Some((identity, State::Pending)) => root
            .write_whole(
                &dest.join(MARKER),
                marker_text(&identity, State::Complete).as_bytes(),
                0o600,
            )
            .map_err(|error| fail(Cause::Root(error))),
        _ => Err(fail(Cause::NotPending)),
    }
}

fn build(
    store: &Store,
    fresh: &Root,
    order: &Order,
    identity: Digest,
    progress: &mut Progress<'_>,
) -> Result<Unpacked, Cause> {
    let mut all = Unpacked::default();
    for part in &order.parts {
        let package = store.open(&part.package, progress).map_err(|error| match error {
            StoreError::Cancelled => Cause::Cancelled,
            error => Cause::Store(error),
        })?;
        let unpacked = match part.installer {
            Installer::None { mode } => copy(package, fresh, &part.at, mode, progress)?,
            Installer::Tar => unpack_part(package, fresh, part, Kind::Tar, order.limits, progress)?,
            Installer::Zip => unpack_part(package, fresh, part, Kind::Zip, order.limits, progress)?,
        };
        all.entries += unpacked.entries;
        all.bytes += unpacked.bytes;
    }
    let state = if order.has_script { State::Pending } else { State::Complete };
    fresh
        .write_whole(Path::new(MARKER), marker_text(&identity, state).as_bytes(), 0o600)
        .map_err(|error| refused(fresh, error))?;
    // On disk before it gets its name: after a power loss the name must not stand for empty files.
    fresh.sync_all().map_err(Cause::Root)?;
    Ok(all)
}

fn unpack_part(
    package: File,
    fresh: &Root,
    part: &Part,
    kind: Kind,
    limits: Limits,
    progress: &mut Progress<'_>,
) -> Result<Unpacked, Cause> {
    let into = fresh.create_dirs(&part.at, 0o755).map_err(|error| refused(fresh, error))?;
    let options = Options { kind, strip: part.strip, limits };
    unpack::unpack_into(package, &options, &into, progress).map_err(|error| match error.cause {
        unpack::Cause::NoSpace { needed, free } => Cause::NoSpace { needed, free },
        unpack::Cause::Cancelled => Cause::Cancelled,
        _ => Cause::Unpack(error),
    })
}

fn copy(
    mut package: File,
    fresh: &Root,
    at: &Path,
    mode: u32,
    progress: &mut Progress<'_>,
) -> Result<Unpacked, Cause> {
    let bytes = package.metadata().map_err(Cause::Copy)?.len();
    let full = |lack: NoRoom| Cause::NoSpace { needed: lack.needed, free: lack.free };
    fresh.room_for(bytes).map_err(full)?;
    let free = fresh.free_bytes();
    let parent = at.parent().unwrap_or(Path::new(""));
    fresh.create_dirs(parent, 0o755).map_err(|error| refused(fresh, error))?;
    let mut file = fresh.create_file(at, 0o600).map_err(|error| refused(fresh, error))?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut done = 0;
    while done < bytes {
        if progress(done, Some(bytes)).is_break() {
            return Err(Cause::Cancelled);
        }
        let count = package.read(&mut buffer).map_err(Cause::Copy)?;
        if count == 0 {
            return Err(Cause::Copy(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Err(error) = file.write_all(&buffer[..count]) {
            let lack = NoRoom { needed: bytes, free };
            return Err(if is_full(&error) { full(lack) } else { Cause::Copy(error) });
        }
        done += count as u64;
    }
    let mode = Mode::from_raw_mode((mode & 0o755) | 0o400);
    rustix::fs::fchmod(&file, mode).map_err(|error| Cause::Copy(error.into()))?;
    Ok(Unpacked { entries: 1, bytes })
}

/// Gives the finished tree its name; a tree that had it before ends up under the temporary one.
fn put_in_place(root: &Root, temporary: &Path, dest: &Path) -> Result<(), Cause> {
    let Some(present) = root.stat(dest).map_err(Cause::Root)? else {
        root.rename_to_free(temporary, dest).map_err(Cause::Root)?;
        return sync_parent(root, dest);
    };
    // An empty directory gives way to a plain rename; for the rest both names change at once where that is possible.
    let is_dir = FileType::from_raw_mode(present.st_mode) == FileType::Directory;
    if is_dir && root.rename(temporary, dest).is_ok() {
        return sync_parent(root, dest);
    }
    if !root.exchange(temporary, dest).map_err(Cause::Root)? {
        let aside = temporary.with_file_name(temporary_name());
        root.rename_to_free(dest, &aside).map_err(Cause::Root)?;
        if let Err(error) = root.rename_to_free(temporary, dest) {
            let _ = root.rename_to_free(&aside, dest);
            return Err(Cause::Root(error));
        }
        let _ = root.remove_tree(&aside, &mut |_, _| ControlFlow::Continue(()));
    }
    sync_parent(root, dest)
}

fn sync_parent(root: &Root, dest: &Path) -> Result<(), Cause> {
    let parent = dest.parent().unwrap_or(Path::new(""));
    root.subroot(parent).and_then(|parent| parent.sync()).map_err(Cause::Root)
}

/// What the marker in the software's directory says; `None` when there is none that is ours.
fn marker(root: &Root, dest: &Path) -> Result<Option<(Digest, State)>, RootError> {
    let mut text = String::new();
    match root.open_file(&dest.join(MARKER)) {
        Ok(file) => drop(file.take(4096).read_to_string(&mut text)),
        Err(error)
            if matches!(
                error.source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let (state, digest) = match text.trim_end().split_once(' ') {
        Some(("complete", digest)) => (State::Complete, digest),
        Some(("pending", digest)) => (State::Pending, digest),
        _ => return Ok(None),
    };
    Ok(digest.parse().ok().map(|digest| (digest, state)))
}

fn marker_text(identity: &Digest, state: State) -> String {
    let state = match state {
        State::Complete => "complete",
        State::Pending => "pending",
    };
    format!("{state} {identity}\n")
}

/// Lengths before contents, so that no two orders have one text.
fn identity(order: &Order) -> Digest {
    let mut text: Vec<u8> = format!("1 {} {}\n", order.has_script, order.parts.len()).into_bytes();
    for part in &order.parts {
        let at = part.at.as_os_str().as_bytes();
        text.extend(
            format!("{} {:?} {} {} ", part.package, part.installer, part.strip, at.len())
                .as_bytes(),
        );
        text.extend(at);
    }
    of_bytes(&text, Algorithm::Blake3)
}

fn refused(root: &Root, error: RootError) -> Cause {
    if is_full(&error.source) {
        Cause::NoSpace { needed: 4096, free: root.free_bytes() }
    } else {
        Cause::Root(error)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The name a package gets when it is put into a directory as it is: the last plain component of where it came from.
pub fn file_name(source: &str) -> Option<&OsStr> {
    let path = source.split(['?', '#']).next()?;
    let name = path.rsplit('/').next()?;
    let is_plain = !name.is_empty()
        && name != "."
        && name != ".."
        && name.len() <= 255
        && !name.contains('\0')
        && name != MARKER;
    is_plain.then_some(OsStr::new(name))
}
