//! An archive unpacked strictly: into a fresh directory, renamed into place only when all of it is right.
//!
//! Not a replacement for tar or unzip: what is ambiguous, hostile or has no place in software is refused, by name.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::Progress;
use super::root::{Root, RootError, temporary_name};
use super::shown::Shown;

pub mod links;
pub mod name;
pub mod stream;
pub mod tar;
pub mod tree;
pub mod zip;

use stream::Container;
use tree::Tree;

/// The archives that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// tar: plain or under gzip, xz or zstd, told by its content.
    Tar,
    /// zip, with stored or deflated entries.
    Zip,
}

/// What an archive may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes unpacked, all headers counted.
    pub bytes: u64,
    /// Entries, directories counted.
    pub entries: u64,
    /// Components of a path.
    pub depth: usize,
    /// Unpacked bytes per packed byte, once 64 MiB have come out.
    pub ratio: u64,
}

/// How to unpack.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Which archive it must be.
    pub kind: Kind,
    /// Leading path components removed from every entry; entries with no more than these are dropped.
    pub strip: usize,
    /// The bounds.
    pub limits: Limits,
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Files, links and directories named by the archive.
    pub entries: u64,
    /// Bytes in files.
    pub bytes: u64,
}

/// Nothing was unpacked.
#[derive(Debug, thiserror::Error)]
#[error("cannot unpack{}", .entry.as_ref().map(|entry| format!(" the entry {}", Shown(entry))).unwrap_or_default())]
pub struct UnpackError {
    /// The entry at fault, as the archive names it.
    pub entry: Option<Vec<u8>>,
    /// Why.
    #[source]
    pub cause: Cause,
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// It is of another kind, or of none.
    #[error("it is {found}, not {wanted}")]
    OtherKind {
        /// What its content says.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The entry's name leads out of the destination or is no name.
    #[error("its name {0}")]
    Name(name::Refusal),
    /// A link that leads out of the destination.
    #[error("its target {} {refusal}", Shown(.target))]
    Link {
        /// Where it leads.
        target: Vec<u8>,
        /// What is wrong with that.
        refusal: links::Refusal,
    },
    /// Devices, FIFOs and other things that are no software.
    #[error("it is {0}, which is not unpacked")]
    Unwanted(&'static str),
    /// Two entries of one name, or a file where a directory must be.
    #[error("another entry has its place already")]
    Duplicate,
    /// The archive contradicts itself or is cut short.
    #[error("the archive is damaged: {0}")]
    Damaged(&'static str),
    /// The decompressor gave up.
    #[error("the archive cannot be decompressed")]
    Compression(#[source] io::Error),
    /// A limit.
    #[error("it goes beyond the limit of {limit} {what}")]
    Limit {
        /// Which limit.
        what: &'static str,
        /// Its value.
        limit: u64,
    },
    /// Nothing is in it, or strip took all of it.
    #[error("it holds nothing to unpack (strip is {strip})")]
    Empty {
        /// The components taken away.
        strip: usize,
    },
    /// No room.
    #[error("no space left: {needed} bytes needed, {free} free")]
    NoSpace {
        /// Bytes of all files in the archive, as far as known; at least so many.
        needed: u64,
        /// Bytes free before unpacking began.
        free: u64,
    },
    /// The system refused.
    #[error("it cannot be written")]
    Write(#[source] io::Error),
    /// A directory operation failed.
    #[error(transparent)]
    Root(RootError),
    /// Told to stop.
    #[error("it was cancelled")]
    Cancelled,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 32 << 30, entries: 2_000_000, depth: 64, ratio: 1000 }
    }
}

impl UnpackError {
    pub(crate) fn of(cause: Cause) -> Self {
        UnpackError { entry: None, cause }
    }

    pub(crate) fn at(entry: &[u8], cause: Cause) -> Self {
        UnpackError { entry: Some(entry[..entry.len().min(4096)].to_vec()), cause }
    }
}

/// Unpacks `archive` to a new directory `dest` beneath `root`: there whole afterwards, or absent.
pub fn unpack(
    archive: File,
    options: &Options,
    root: &Root,
    dest: &Path,
    progress: &mut Progress<'_>,
) -> Result<Unpacked, UnpackError> {
    let parent: PathBuf = dest.parent().map(Path::to_path_buf).unwrap_or_default();
    let temporary = parent.join(temporary_name());
    let root_error = |error| UnpackError::of(Cause::Root(error));
    root.create_dirs(&parent, 0o755).map_err(root_error)?;
    let fresh = root.create_dir(&temporary, 0o755).map_err(root_error)?;
    let outcome = unpack_into(archive, options, &fresh, progress).and_then(|unpacked| {
        root.rename_to_free(&temporary, dest).map(|()| unpacked).map_err(root_error)
    });
    outcome.inspect_err(|_| {
        drop(root.remove_tree(&temporary, &mut |_, _| std::ops::ControlFlow::Continue(())))
    })
}

/// Unpacks `archive` into `fresh`, which must be ours alone; on failure what is there is to be thrown away.
/// The position of the file does not matter; progress is in bytes written.
pub fn unpack_into(
    archive: File,
    options: &Options,
    fresh: &Root,
    progress: &mut Progress<'_>,
) -> Result<Unpacked, UnpackError> {
    let (container, compression) =
        stream::detect(&archive).map_err(|error| UnpackError::of(Cause::Compression(error)))?;
    let mut tree = Tree::new(fresh, *options, progress);
    match (options.kind, container) {
        (Kind::Tar, Container::Tar) => {
            let mut stream =
                stream::open(archive, compression, options.limits).map_err(UnpackError::of)?;
            tar::unpack(&mut stream, &mut tree)?;
        }
        (Kind::Zip, Container::Zip) => zip::unpack(&archive, &mut tree)?,
        (kind, found) => {
            return Err(UnpackError::of(Cause::OtherKind {
                found: found.name(),
                wanted: kind.name(),
            }));
        }
    }
    tree.finish()
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Tar => "a tar archive",
            Kind::Zip => "a zip archive",
        }
    }
}
