//! What can go wrong with a controller itself. A host that fails is an event, never one of these.
//! Not problems of a description: those are [`plush_core::plan::PlanProblem`].

use crate::holder::Holder;
use crate::space;
use std::io;
use std::path::{Path, PathBuf};

/// The controller's own failure.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A run of that name exists in the directory of runs.
    #[error("there is a run `{run}` already: {}", path.display())]
    NameTaken {
        /// The name.
        run: String,
        /// Its directory.
        path: PathBuf,
    },
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
    /// The journal's file is not as it was written.
    #[error("the journal {} is damaged: {what}", path.display())]
    JournalDamaged {
        /// The journal.
        path: PathBuf,
        /// What SQLite found.
        what: String,
    },
    /// The run's directory was removed, or moved away, under its controller.
    #[error("{} was removed while the run went on", path.display())]
    Removed {
        /// What is not there any more.
        path: PathBuf,
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
    /// Whoever served the run last may be alive, with another copy of its directory.
    #[error("the run {} may be served by another controller: {holder}", path.display())]
    MayBeServed {
        /// The run's directory.
        path: PathBuf,
        /// Who.
        holder: Box<Holder>,
    },
    /// Hosts of type `local` are directories of the machine where the run began.
    #[error(
        "host {host} of the run is a directory of the machine where the run began, which is another one"
    )]
    LocalElsewhere {
        /// One of them.
        host: String,
    },
    /// An agent obeys another controller of the run: this one does nothing more.
    #[error("{host} refuses this controller: {why}")]
    Fenced {
        /// The host.
        host: String,
        /// What its agent said.
        why: String,
    },
    /// A build that is newer than this one wrote the journal.
    #[error("the journal {} was written by plush {build}, whose events this one ({}) does not understand", path.display(), env!("CARGO_PKG_VERSION"))]
    JournalNewer {
        /// The journal.
        path: PathBuf,
        /// Which build.
        build: String,
    },
    /// A build of other rules wrote records, and no state after them.
    #[error("the journal {} goes on after the last state that plush {build} wrote, by rules that are not those of this one ({})", path.display(), env!("CARGO_PKG_VERSION"))]
    OtherRules {
        /// The journal.
        path: PathBuf,
        /// Which build.
        build: String,
    },
    /// A build of other rules wrote the state in the journal, in a form that this one does not read.
    #[error("the journal {} has a state that was written by plush {build}, whose form this one ({}) does not understand", path.display(), env!("CARGO_PKG_VERSION"))]
    StateUnknown {
        /// The journal.
        path: PathBuf,
        /// Which build.
        build: String,
        /// What the decoder said.
        source: serde_json::Error,
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

    /// There was no room on the disk: the same may succeed later.
    pub(crate) fn is_no_space(&self) -> bool {
        if let ControllerError::Io { source, .. } = self {
            return space::is_full(source);
        }
        let ControllerError::Journal { source, .. } = self else { return false };
        let rusqlite::Error::SqliteFailure(failure, _) = source else { return false };
        // The index of the log beside the file cannot become longer: SQLite does not say why.
        let is_index = failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
        failure.code == rusqlite::ErrorCode::DiskFull || is_index
    }
}
