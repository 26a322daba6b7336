//! The cache of packages on a host: files under their digests, whole and checked or absent.
//!
//! Not a judge of who may have what: it belongs to one user, as everything of the agent does.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::digest::{Algorithm, Both, Digest, Digests, of_stream};
use super::fetch::{self, FetchError, Fetched, Order};
use super::http::dial::Network;
use super::root::{Root, RootError, temporary_name};
use super::{CHUNK_BYTES, Progress};

/// A directory of files named `blake3-HEX`, each also known as `sha256-HEX`.
#[derive(Debug)]
pub struct Store {
    root: Root,
}

/// A package on its way into the store.
#[derive(Debug)]
pub struct Incoming<'a> {
    store: &'a Store,
    file: File,
    name: PathBuf,
    digests: Both,
}

/// The store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A directory operation failed.
    #[error(transparent)]
    Root(RootError),
    /// The bytes are not the promised ones.
    #[error("the digest should be {expected} but is {found}")]
    WrongDigest {
        /// What was promised.
        expected: Digest,
        /// What the bytes have.
        found: Digest,
    },
    /// No room.
    #[error("no space left in the cache: {} bytes needed, {free} free", .needed.map_or("more".to_owned(), |bytes| bytes.to_string()))]
    NoSpace {
        /// Bytes still to come, if known.
        needed: Option<u64>,
        /// Bytes free.
        free: u64,
    },
    /// A package cannot be read or written.
    #[error("cannot {operation} a package in the cache")]
    File {
        /// A verb.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no package of this digest.
    #[error("no package {0} in the cache")]
    Missing(Digest),
    /// Told to stop.
    #[error("it was cancelled")]
    Cancelled,
}

impl Store {
    /// A store in this directory.
    pub fn new(root: Root) -> Store {
        Store { root }
    }

    /// Whether a package is there; its bytes are checked when it is opened.
    pub fn has(&self, digest: &Digest) -> bool {
        matches!(self.root.stat(&name(digest)), Ok(Some(_)))
    }

    /// Opens a package after checking every byte of it. A damaged one is removed and counts as missing.
    pub fn open(&self, digest: &Digest, progress: &mut Progress<'_>) -> Result<File, StoreError> {
        let mut file =
            self.root.open_file(&name(digest)).map_err(|error| match error.source.kind() {
                io::ErrorKind::NotFound => StoreError::Missing(*digest),
                _ => StoreError::Root(error),
            })?;
        let found =
            of_stream(&mut file, digest.algorithm, progress).map_err(|source| {
                match source.kind() {
                    io::ErrorKind::Interrupted => StoreError::Cancelled,
                    _ => StoreError::File { operation: "read", source },
                }
            })?;
        if found != *digest {
            let _ = self.root.unlink(&name(digest));
            return Err(StoreError::Missing(*digest));
        }
        file.rewind().map_err(|source| StoreError::File { operation: "read", source })?;
        Ok(file)
    }

    /// Begins to take in a package that somebody sends in pieces; `bytes` is its size, if known, and must fit.
    pub fn receive(&self, bytes: Option<u64>) -> Result<Incoming<'_>, StoreError> {
        self.root
            .room_for(bytes.unwrap_or(0))
            .map_err(|lack| StoreError::NoSpace { needed: bytes, free: lack.free })?;
        let name = PathBuf::from(temporary_name());
        let file = self.root.create_file(&name, 0o600).map_err(StoreError::Root)?;
        Ok(Incoming { store: self, file, name, digests: Both::default() })
    }

    /// Takes in a package from a file or stream at hand.
    pub fn take(
        &self,
        source: &mut dyn Read,
        expected: &[Digest],
        progress: &mut Progress<'_>,
    ) -> Result<Digests, StoreError> {
        let mut incoming = self.receive(None)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            if progress(incoming.bytes(), None).is_break() {
                return Err(StoreError::Cancelled);
            }
            let count = source
                .read(&mut buffer)
                .map_err(|source| StoreError::File { operation: "read", source })?;
            if count == 0 {
                return incoming.finish(expected);
            }
            incoming.write(&buffer[..count], None)?;
        }
    }

    /// Fetches a package into the store.
    pub fn fetch(
        &self,
        order: &Order,
        network: &Network,
        progress: &mut Progress<'_>,
    ) -> Result<Fetched, FetchError> {
        let temporary = PathBuf::from(temporary_name());
        let fetched = fetch::fetch(order, network, &self.root, &temporary, progress)?;
        self.keep(&temporary, &fetched.digests).map_err(|source| FetchError {
            url: fetched.url.clone(),
            proxy: None,
            status: None,
            bytes: fetched.digests.bytes,
            attempts: fetched.attempts,
            cause: fetch::Cause::Store(source),
        })?;
        Ok(fetched)
    }

    /// Forgets a package. A missing one is no error.
    pub fn forget(&self, digests: &Digests) -> Result<(), RootError> {
        [digests.blake3, digests.sha256].iter().try_for_each(|digest| {
            match self.root.unlink(&name(digest)) {
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
                outcome => outcome,
            }
        })
    }

    /// Gives a checked temporary file its names. An existing file is not replaced: another member
    /// may be reading it, also from another machine.
    fn keep(&self, temporary: &Path, digests: &Digests) -> Result<(), RootError> {
        let (blake3, sha256) = (name(&digests.blake3), name(&digests.sha256));
        let linked = self.root.hard_link(temporary, &blake3);
        let is_there = match &linked {
            Ok(()) => true,
            Err(error) => error.source.kind() == io::ErrorKind::AlreadyExists,
        };
        if is_there && self.is_whole(&blake3, digests) {
            let _ = self.root.unlink(temporary);
        } else {
            // The file system has no hard links, or the existing file is damaged.
            let renamed = self.root.rename(temporary, &blake3);
            renamed.inspect_err(|_| drop(self.root.unlink(temporary)))?;
        }
        if linked.is_ok() || !self.is_whole(&sha256, digests) {
            // The second name is created again, so that it never refers to an older, damaged file.
            let _ = self.root.unlink(&sha256);
            let _ = self.root.hard_link(&blake3, &sha256);
        }
        self.root.sync()
    }

    /// The file of that name has these bytes.
    fn is_whole(&self, name: &Path, digests: &Digests) -> bool {
        let Ok(mut file) = self.root.open_file(name) else { return false };
        let found = of_stream(&mut file, Algorithm::Blake3, &mut |_, _| ControlFlow::Continue(()));
        found.is_ok_and(|found| found == digests.blake3)
    }
}

impl Incoming<'_> {
    /// Bytes taken so far.
    pub fn bytes(&self) -> u64 {
        self.digests.bytes()
    }

    /// Takes the next piece; `to_come` is what is still to come after it, if known.
    pub fn write(&mut self, bytes: &[u8], to_come: Option<u64>) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let needed = to_come.map(|bytes_after| bytes_after + bytes.len() as u64);
                StoreError::NoSpace { needed, free: self.store.root.free_bytes() }
            }
            _ => StoreError::File { operation: "write", source },
        })?;
        self.digests.update(bytes);
        Ok(())
    }

    /// The package is complete: checked, put on disk and named.
    pub fn finish(self, expected: &[Digest]) -> Result<Digests, StoreError> {
        let digests = self.digests.clone().finish();
        if let Some(expected) = expected.iter().find(|expected| !digests.matches(expected)) {
            return Err(StoreError::WrongDigest {
                expected: *expected,
                found: digests.by(expected.algorithm),
            });
        }
        self.file.sync_data().map_err(|source| StoreError::File { operation: "write", source })?;
        self.store.keep(&self.name, &digests).map_err(StoreError::Root)?;
        Ok(digests)
    }
}

impl Drop for Incoming<'_> {
    /// After `finish` the name is gone already.
    fn drop(&mut self) {
        let _ = self.store.root.unlink(&self.name);
    }
}

fn name(digest: &Digest) -> PathBuf {
    let algorithm = match digest.algorithm {
        Algorithm::Blake3 => "blake3",
        Algorithm::Sha256 => "sha256",
    };
    PathBuf::from(format!("{algorithm}-{}", digest.hex()))
}
