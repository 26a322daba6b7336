//! What can go wrong with a controller itself. A host that fails is an event, never one of these.
//! Not problems of a description: those are [`plush_core::plan::PlanProblem`].

use std::io;
use std::path::{Path, PathBuf};

/// The controller's own failure.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A file or directory of the run.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The journal's database.
    #[error("cannot {operation} {}", path.display())]
    Journal {
        /// What was tried.
        operation: &'static str,
        /// The journal.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A record is not what was written.
    #[error("the journal {} is damaged at record {record}", path.display())]
    JournalBroken {
        /// The journal.
        path: PathBuf,
        /// The first bad record.
        record: u64,
    },
    /// The journal's thread has ended.
    #[error("the journal's thread has ended")]
    JournalGone,
    /// A file of the run is not what this build writes.
    #[error("cannot understand {}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: serde_json::Error,
    },
    /// Another controller serves the run.
    #[error("another controller serves the run {}", path.display())]
    Busy {
        /// The run's directory.
        path: PathBuf,
    },
    /// A package changed while it was being read.
    #[error("{} changed while it was being packed", path.display())]
    PackageChanged {
        /// The file or directory.
        path: PathBuf,
    },
}

impl ControllerError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        ControllerError::Io { operation, path: path.to_owned(), source }
    }
}
