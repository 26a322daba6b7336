//! The tree that an archive's entries grow into: plain things at once, links last of all.
//!
//! Not a reader of archives: `tar` and `zip` say what comes, this decides whether and how it is made.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, Timespec, Timestamps};

use super::links::{self, Links};
use super::{Cause, Options, UnpackError, Unpacked, name};
use crate::files::root::{NoRoom, RESERVE_BYTES, Root, RootError};
use crate::files::{CHUNK_BYTES, Progress};

/// What file systems give out at a time, for saying how much space an archive needs.
const BLOCK_BYTES: u64 = 4096;

/// What an archive says about a file.
#[derive(Debug, Clone, Copy)]
pub struct Attributes {
    /// Its mode; only the permission bits count, and not all of them.
    pub mode: u32,
    /// Seconds since 1970, if it says so.
    pub mtime: Option<i64>,
    /// Bytes.
    pub size: u64,
}

/// Gives the next bytes of an entry's content; 0 is its end.
pub type Source<'s> = dyn FnMut(&mut [u8]) -> Result<usize, Cause> + 's;

/// See the module.
pub struct Tree<'a> {
    root: &'a Root,
    options: Options,
    progress: &'a mut Progress<'a>,
    held: Option<(PathBuf, Root)>,
    links: Links,
    hard_links: Vec<HardLink>,
    unpacked: Unpacked,
    entries_seen: u64,
    needed: u64,
    free: u64,
    is_full: bool,
    buffer: Vec<u8>,
}

struct HardLink {
    entry: Vec<u8>,
    at: PathBuf,
    target: Vec<u8>,
}

impl<'a> Tree<'a> {
    /// A tree that grows in `root`, which is empty.
    pub fn new(root: &'a Root, options: Options, progress: &'a mut Progress<'_>) -> Tree<'a> {
        Tree {
            root,
            options,
            progress,
            held: None,
            links: Links::default(),
            hard_links: Vec::new(),
            unpacked: Unpacked::default(),
            entries_seen: 0,
            needed: 0,
            free: root.free_bytes(),
            is_full: false,
            buffer: vec![0; CHUNK_BYTES],
        }
    }

    /// The bounds.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Whether files of so many bytes fit, for archives that tell their sizes first.
    pub fn check_room(&self, bytes: u64) -> Result<(), Cause> {
        let lack = |lack: NoRoom| Cause::NoSpace { needed: lack.needed, free: lack.free };
        self.root.room_for(bytes).map_err(lack)
    }

    /// A directory.
    pub fn dir(&mut self, entry: &[u8], mode: u32) -> Result<(), Cause> {
        let Some(path) = self.place(entry)? else { return Ok(()) };
        if self.is_full {
            return Ok(());
        }
        let made = self.root.create_dirs(&path, 0o755).and_then(|dir| {
            let mode = Mode::from_raw_mode((mode & 0o755) | 0o700);
            let chmod = rustix::fs::fchmod(&dir, mode).map_err(io::Error::from);
            chmod.map_err(|source| RootError {
                operation: "set the mode of",
                path: path.clone(),
                source,
            })
        });
        made.or_else(|error| self.refused(error))
    }

    /// A regular file; exactly `attributes.size` bytes are taken from the source.
    pub fn file(
        &mut self,
        entry: &[u8],
        attributes: Attributes,
        source: &mut Source<'_>,
    ) -> Result<(), Cause> {
        let place = self.place(entry)?;
        if attributes.size > self.options.limits.bytes.saturating_sub(self.unpacked.bytes) {
            return Err(Cause::Limit { what: "bytes", limit: self.options.limits.bytes });
        }
        let file = match &place {
            None => None,
            Some(path) => {
                self.needed += attributes.size.next_multiple_of(BLOCK_BYTES);
                // Asked for only what may not fit: most files are small, and the answer costs a system call.
                self.is_full |= self.needed.saturating_add(RESERVE_BYTES) > self.free
                    && self.root.room_for(attributes.size).is_err();
                self.create(path, attributes.mode)?
            }
        };
        let file = self.copy(file, attributes.size, source)?;
        let Some(file) = file else { return Ok(()) };
        if let Some(seconds) = attributes.mtime {
            let time = Timespec { tv_sec: seconds.clamp(0, 1 << 40), tv_nsec: 0 };
            let _ = rustix::fs::futimens(
                &file,
                &Timestamps { last_access: time, last_modification: time },
            );
        }
        Ok(())
    }

    /// A symbolic link.
    pub fn symlink(&mut self, entry: &[u8], target: &[u8]) -> Result<(), Cause> {
        let Some(path) = self.place(entry)? else { return Ok(()) };
        if self.links.add(path, target) { Ok(()) } else { Err(Cause::Duplicate) }
    }

    /// Another name for a file; `target` is an entry's name.
    pub fn hard_link(&mut self, entry: &[u8], target: &[u8]) -> Result<(), Cause> {
        let Some(at) = self.place(entry)? else { return Ok(()) };
        self.hard_links.push(HardLink { entry: entry.to_vec(), at, target: target.to_vec() });
        Ok(())
    }

    /// Makes the links, now that all else is there and it is certain where they lead.
    pub fn finish(mut self) -> Result<Unpacked, UnpackError> {
        if self.is_full {
            return Err(UnpackError::of(Cause::NoSpace { needed: self.needed, free: self.free }));
        }
        for link in std::mem::take(&mut self.hard_links) {
            self.link_hard(&link).map_err(|cause| UnpackError::at(&link.entry, cause))?;
        }
        for (at, target) in self.links.iter() {
            self.links.check(at, target).map_err(|refusal| {
                let target = target.as_bytes().to_vec();
                UnpackError::at(at.as_os_str().as_bytes(), Cause::Link { target, refusal })
            })?;
        }
        for (at, target) in self.links.iter() {
            let parent = at.parent().unwrap_or(Path::new(""));
            let made =
                self.root.create_dirs(parent, 0o755).and_then(|_| self.root.symlink(target, at));
            made.map_err(|error| UnpackError::at(at.as_os_str().as_bytes(), cause_of(error)))?;
        }
        if self.unpacked.entries == 0 {
            return Err(UnpackError::of(Cause::Empty { strip: self.options.strip }));
        }
        Ok(self.unpacked)
    }

    /// Counts the entry and finds its place; `None` when strip takes it away.
    fn place(&mut self, entry: &[u8]) -> Result<Option<PathBuf>, Cause> {
        let limits = self.options.limits;
        self.entries_seen += 1;
        if self.entries_seen > limits.entries {
            return Err(Cause::Limit { what: "entries", limit: limits.entries });
        }
        self.go_on()?;
        let path = name::beneath(entry, self.options.strip, limits.depth).map_err(Cause::Name)?;
        self.unpacked.entries += u64::from(path.is_some());
        Ok(path)
    }

    fn create(&mut self, path: &Path, mode: u32) -> Result<Option<std::fs::File>, Cause> {
        if self.is_full {
            return Ok(None);
        }
        // Readable and writable for the owner, never for others to write; the set-id and sticky bits are lost.
        let mode = (mode & 0o755) | 0o600;
        let (parent, name) =
            (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
        if self.held.as_ref().is_none_or(|(held, _)| held != parent) {
            match self.root.create_dirs(parent, 0o755) {
                Ok(dir) => self.held = Some((parent.to_path_buf(), dir)),
                Err(error) => return self.refused(error).map(|()| None),
            }
        }
        let (_, dir) = self.held.as_ref().expect("the parent was held a moment ago");
        match dir.create_file(Path::new(name), mode) {
            Ok(file) => {
                // The process's umask must not decide how software looks.
                let _ = rustix::fs::fchmod(&file, Mode::from_raw_mode(mode));
                Ok(Some(file))
            }
            Err(error) => self.refused(error).map(|()| None),
        }
    }

    /// Takes `size` bytes, into the file while there is one and room for it.
    fn copy(
        &mut self,
        mut file: Option<std::fs::File>,
        size: u64,
        source: &mut Source<'_>,
    ) -> Result<Option<std::fs::File>, Cause> {
        let mut left = size;
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let count = source(&mut self.buffer[..room])?;
            if count == 0 {
                return Err(Cause::Damaged("it ends within a file"));
            }
            left -= count as u64;
            self.unpacked.bytes += count as u64;
            if let Some(writer) = &mut file {
                match writer.write_all(&self.buffer[..count]) {
                    Ok(()) => {}
                    Err(error) if is_full(&error) => {
                        let _ = writer.set_len(0);
                        (self.is_full, file) = (true, None);
                    }
                    Err(error) => return Err(Cause::Write(error)),
                }
            }
            self.go_on()?;
        }
        Ok(file)
    }

    fn link_hard(&mut self, link: &HardLink) -> Result<(), Cause> {
        let refuse = |refusal| Cause::Link { target: link.target.clone(), refusal };
        let target =
            match name::beneath(&link.target, self.options.strip, self.options.limits.depth) {
                Ok(Some(target)) => target,
                Err(name::Refusal::Absolute) => return Err(refuse(links::Refusal::Absolute)),
                Err(name::Refusal::Parent) => return Err(refuse(links::Refusal::Outside)),
                Ok(None) | Err(_) => return Err(refuse(links::Refusal::NoFile)),
            };
        if let Some(text) = self.links.target(&target).map(|text| text.as_bytes().to_vec()) {
            return if self.links.add(link.at.clone(), &text) {
                Ok(())
            } else {
                Err(Cause::Duplicate)
            };
        }
        let found = self.root.stat(&target).map_err(|_| refuse(links::Refusal::NoFile))?;
        if found.is_none_or(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile) {
            return Err(refuse(links::Refusal::NoFile));
        }
        let parent = link.at.parent().unwrap_or(Path::new(""));
        let made = self
            .root
            .create_dirs(parent, 0o755)
            .and_then(|_| self.root.hard_link(&target, &link.at));
        made.map_err(cause_of)
    }

    fn go_on(&mut self) -> Result<(), Cause> {
        if (self.progress)(self.unpacked.bytes, None).is_break() {
            Err(Cause::Cancelled)
        } else {
            Ok(())
        }
    }

    /// A full disk is noted, and the rest only counted; everything else ends the work.
    fn refused(&mut self, error: RootError) -> Result<(), Cause> {
        if is_full(&error.source) {
            self.is_full = true;
            return Ok(());
        }
        Err(cause_of(error))
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What stands in the way is always another entry: nothing else is in the tree.
fn cause_of(error: RootError) -> Cause {
    match error.source.kind() {
        io::ErrorKind::AlreadyExists
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory => Cause::Duplicate,
        _ => Cause::Root(error),
    }
}
