//! Room on the disk of the run's directory: who finds none says so here, and hears when there is some again.
//! Not what follows from it: the driver decides nothing meanwhile, links drop output that their agents keep.

use crate::run_dir::RunDir;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// So much has to be free before it is tried again: with less, what was written would be all that can be.
const ROOM_BYTES: u64 = 1 << 20;

/// Whether there is room, for all who write.
pub struct Space {
    directory: PathBuf,
    lacks: watch::Sender<bool>,
}

impl Space {
    /// There is, as far as is known.
    pub fn of(run_dir: &RunDir) -> Space {
        Space { directory: run_dir.path().to_owned(), lacks: watch::channel(false).0 }
    }

    /// The directory of which this is said.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A write has failed since there is none.
    pub fn lacks(&self) {
        self.lacks.send_if_modified(|lacks| !std::mem::replace(lacks, true));
    }

    /// A write has succeeded, with more room behind it.
    pub fn is_back(&self) {
        self.lacks.send_if_modified(|lacks| std::mem::replace(lacks, false));
    }

    /// Nobody writes before it is said that there is room.
    pub fn is_lacking(&self) -> bool {
        *self.lacks.borrow()
    }

    /// Whether to try again. Where the system does not know, it is tried.
    pub fn may_be_back(&self) -> bool {
        let Ok(disk) = rustix::fs::statvfs(&self.directory) else { return true };
        let is_root = rustix::process::geteuid().is_root();
        let blocks = if is_root { disk.f_bfree } else { disk.f_bavail };
        blocks.saturating_mul(disk.f_frsize) >= ROOM_BYTES
    }

    /// Hears of changes.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.lacks.subscribe()
    }

    /// Writes, and as long as there is no room waits for some and writes again.
    pub async fn writing<T>(&self, mut write: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match write() {
                Err(error) if is_full(&error) => self.lacks(),
                written => return written,
            }
            self.room().await;
        }
    }

    /// Returns when there is room, as far as is known.
    pub async fn room(&self) {
        let mut watch = self.watch();
        // This very value holds the other end.
        let _ = watch.wait_for(|lacks| !lacks).await;
    }
}

/// The disk is full, or what this user may have of it.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
