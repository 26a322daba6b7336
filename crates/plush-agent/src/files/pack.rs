//! The results of a task: files beneath its directory that patterns name, and their bytes in pieces.
//!
//! Not a transfer: the driver sends what is listed and read here. Only regular files count; no link is followed.

use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;

use super::Progress;
use super::glob::Pattern;
use super::root::{Root, RootError};

/// How much is looked at and listed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Names looked at.
    pub names: u64,
    /// Files listed.
    pub files: usize,
    /// Bytes in the files listed.
    pub bytes: u64,
    /// Components of a path.
    pub depth: usize,
    /// Skipped names that are told one by one; the rest are counted.
    pub skipped: usize,
}

/// What patterns name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files, in order of their paths.
    pub files: Vec<Found>,
    /// What was named but is not taken.
    pub skipped: Vec<Skipped>,
    /// How many were named but are not taken.
    pub skipped_total: u64,
    /// Indexes of the patterns that matched nothing.
    pub unmatched: Vec<usize>,
}

/// A file of the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Beneath the root.
    pub path: PathBuf,
    /// Bytes when it was listed; it may have grown or shrunk since.
    pub size: u64,
    /// Permission bits, without set-id and sticky.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// Something that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Beneath the root.
    pub path: PathBuf,
    /// Why.
    pub why: Why,
}

/// Why something is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// A symbolic link.
    #[error("a symbolic link")]
    Link,
    /// A device, FIFO or socket.
    #[error("no regular file")]
    Special,
    /// A limit on files, bytes, names or depth.
    #[error("beyond the limit of {0}")]
    Limit(&'static str),
    /// The system refused to show it.
    #[error("{0}")]
    System(Errno),
}

/// An open file of the results.
#[derive(Debug)]
pub struct Reader {
    file: File,
    path: PathBuf,
    /// Bytes when it was opened.
    pub size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { names: 1_000_000, files: 100_000, bytes: 64 << 30, depth: 64, skipped: 1000 }
    }
}

/// Lists what the patterns name beneath the root. `Err` is only about the root itself, or a stop (`Interrupted`).
pub fn list(
    root: &Root,
    patterns: &[Pattern],
    limits: &Limits,
    progress: &mut Progress<'_>,
) -> Result<Listing, RootError> {
    let used = vec![false; patterns.len()];
    let mut search =
        Search { patterns, limits, listing: Listing::default(), used, names: 0, bytes: 0 };
    search.walk(root, progress).map_err(|source| RootError {
        operation: "list",
        path: root.path().to_path_buf(),
        source,
    })?;
    let mut listing = search.listing;
    listing.files.sort_by(|one, other| one.path.cmp(&other.path));
    listing.unmatched = (0..patterns.len()).filter(|index| !search.used[*index]).collect();
    Ok(listing)
}

/// Opens a listed file, if it still is a regular file that is reached without a link.
pub fn open(root: &Root, path: &Path) -> Result<Reader, RootError> {
    let file = root.open_file(path)?;
    let size = file.metadata().map(|metadata| metadata.len());
    let path = root.join(path);
    match size {
        Ok(size) => Ok(Reader { file, path, size }),
        Err(source) => Err(RootError { operation: "look at", path, source }),
    }
}

impl Reader {
    /// The bytes at `offset`, as many as are there and fit; 0 is the end.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, RootError> {
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(RootError { operation: "read", path: self.path.clone(), source });
                }
                Ok(count) => return Ok(count),
            }
        }
    }
}

/// A directory to walk, and the patterns that match everything beneath it.
type Waiting = (PathBuf, Vec<usize>);

struct Search<'a> {
    patterns: &'a [Pattern],
    limits: &'a Limits,
    listing: Listing,
    used: Vec<bool>,
    names: u64,
    bytes: u64,
}

impl Search<'_> {
    fn walk(&mut self, root: &Root, progress: &mut Progress<'_>) -> io::Result<()> {
        // Paths wait, not descriptors: a deep tree must not use them up.
        let mut waiting = vec![(PathBuf::new(), Vec::new())];
        let mut is_first = true;
        while let Some((path, whole)) = waiting.pop() {
            let opened = root
                .subroot(&path)
                .map_err(|error| errno(&error))
                .and_then(|dir| Ok((Dir::read_from(&dir)?, dir)));
            let (entries, dir) = match opened {
                Ok(opened) => opened,
                Err(error) if is_first => return Err(error.into()),
                Err(error) => {
                    self.skip(path, Why::System(error));
                    continue;
                }
            };
            is_first = false;
            for entry in entries {
                let Ok(entry) = entry else { break };
                let name = entry.file_name().to_bytes();
                if matches!(name, b"." | b"..") {
                    continue;
                }
                self.names += 1;
                if self.names > self.limits.names {
                    self.skip(path, Why::Limit("names"));
                    return Ok(());
                }
                if progress(self.names, None).is_break() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let below = path.join(std::ffi::OsString::from_vec(name.to_vec()));
                match rustix::fs::statat(&dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => self.meet(below, &stat, &whole, &mut waiting),
                    Err(Errno::NOENT) => {}
                    Err(error) => self.skip(below, Why::System(error)),
                }
            }
        }
        Ok(())
    }

    /// `whole` are the patterns that match everything beneath the directory.
    fn meet(&mut self, path: PathBuf, stat: &Stat, whole: &[usize], waiting: &mut Vec<Waiting>) {
        let components: Vec<&[u8]> = path.iter().map(OsStrExt::as_bytes).collect();
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let named = |n: &usize| self.patterns[*n].names_whole(&components);
            let named = (0..self.patterns.len()).filter(|n| whole.contains(n) || named(n));
            let named: Vec<usize> = named.collect();
            let leads = self.patterns.iter().any(|pattern| pattern.leads_into(&components));
            if leads || !named.is_empty() {
                match components.len() < self.limits.depth {
                    true => waiting.push((path, named)),
                    false => self.skip(path, Why::Limit("depth")),
                }
            }
            return;
        }
        let by: Vec<usize> = (0..self.patterns.len())
            .filter(|index| whole.contains(index) || self.patterns[*index].matches(&components))
            .collect();
        if by.is_empty() {
            return;
        }
        by.into_iter().for_each(|index| self.used[index] = true);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        match kind {
            FileType::RegularFile if self.listing.files.len() >= self.limits.files => {
                self.skip(path, Why::Limit("files"))
            }
            FileType::RegularFile if size > self.limits.bytes - self.bytes => {
                self.skip(path, Why::Limit("bytes"))
            }
            FileType::RegularFile => {
                self.bytes += size;
                self.listing.files.push(Found {
                    path,
                    size,
                    mode: stat.st_mode & 0o777,
                    mtime: stat.st_mtime,
                });
            }
            FileType::Symlink => self.skip(path, Why::Link),
            _ => self.skip(path, Why::Special),
        }
    }

    fn skip(&mut self, path: PathBuf, why: Why) {
        self.listing.skipped_total += 1;
        if self.listing.skipped.len() < self.limits.skipped {
            self.listing.skipped.push(Skipped { path, why });
        }
    }
}

fn errno(error: &RootError) -> Errno {
    error.source.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}
