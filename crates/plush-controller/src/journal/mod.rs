//! The journal: every event of a run with its time, durable before anything is decided from it.
//! Not the state: that is made again by absorbing the records that came after its newest snapshot.
//!
//! SQLite in WAL mode with full synchronisation; one thread writes, a batch is one transaction. Each record carries
//! the BLAKE3 of the one before and itself, and each snapshot is sealed with it, so that any change is found
//! (invariant J4). What is kept has a bound: see [`plush_core::compaction`].

mod open;
mod reader;
mod rows;
mod snapshot;
mod writer;

pub use open::Resumed;
pub use reader::{News, Reader};

use crate::error::ControllerError;
use plush_core::Millis;
use plush_core::compaction::Growth;
use plush_core::run::{Event, Run};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use std::path::Path;
use tokio::sync::{mpsc, oneshot};
use writer::{Batch, Job, JournalFile};

/// Work that waits for the writer: the driver waits for each batch, and sends no snapshot while one waits.
const QUEUE: usize = 1;

/// The form of the tables and of the events in them. Raised with every change that an older build would misread. 2: there
/// are snapshots, and records before the oldest of them may be gone.
const FORMAT: u32 = 2;

/// What a record takes beside the text of its event.
const ROW_BYTES: u64 = 64;

/// The log of the newest transactions is cut to this length when it has been carried over into the file.
const LOG_BYTES: u32 = 8 << 20;

/// A record: when, and what; without an event it says that time alone made the rules decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// From 1, without holes.
    pub number: u64,
    /// The number of the first record that was absorbed together with this one, before anything was decided.
    pub batch: u64,
    /// Time since the run began.
    pub at_ms: Millis,
    /// What happened.
    pub event: Option<Event>,
}

/// The writing end.
pub struct Journal {
    jobs: mpsc::Sender<Job>,
    file: JournalFile,
    next: u64,
    growth: Growth,
}

impl Journal {
    /// Appends a batch; when this returns it is durable. Returns the number of the first record.
    ///
    /// # Errors
    /// The disk is full or broken: nothing may be decided from these events (invariant J5).
    pub async fn append(
        &mut self,
        at_ms: Millis,
        events: &[Event],
    ) -> Result<u64, ControllerError> {
        let text = |event| Some(serde_json::to_string(event).expect("events are plain data"));
        let mut texts: Vec<Option<String>> = events.iter().map(text).collect();
        if texts.is_empty() {
            texts.push(None);
        }
        let first = self.next;
        let count = texts.len() as u64;
        let bytes = texts.iter().map(|text| row_bytes(text.as_deref())).sum();
        let (done, written) = oneshot::channel();
        let job = Job::Append(Batch { at_ms, events: texts, done });
        self.jobs.send(job).await.map_err(|_| ControllerError::JournalGone)?;
        written.await.map_err(|_| ControllerError::JournalGone)??;
        self.next += count;
        self.growth.recorded(bytes, at_ms);
        Ok(first)
    }

    /// Whether the file that is written is still the run's.
    ///
    /// # Errors
    /// It was removed or put elsewhere.
    pub fn check_there(&self) -> Result<(), ControllerError> {
        self.file.check_there()
    }

    /// Has a snapshot of the state after the last record written, and older ones and their records dropped, if it is time
    /// for that. The next batch waits until it is written; that it could not be is no harm.
    pub fn keep_bounded(&mut self, now: Millis, run: &Run) {
        if !self.growth.is_due(now) {
            return;
        }
        let job = Job::Snapshot { state: Box::new(run.clone()), done: None };
        // The one before may still be waiting: this one is as good in a while.
        if self.jobs.try_send(job).is_ok() {
            self.growth.snapshot_taken(now);
        }
    }

    /// Writes a snapshot of the state after the last record, so that whoever comes next need absorb nothing: another
    /// build, whose rules may be others, goes on from no other state.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn park(&mut self, run: &Run) -> Result<(), ControllerError> {
        let (done, written) = oneshot::channel();
        let job = Job::Snapshot { state: Box::new(run.clone()), done: Some(done) };
        self.jobs.send(job).await.map_err(|_| ControllerError::JournalGone)?;
        self.growth.snapshot_taken(run.now());
        written.await.map_err(|_| ControllerError::JournalGone)?
    }
}

/// The state that records lead on to; what was decided on the way was performed by an earlier controller.
pub fn absorb(run: &mut Run, records: Vec<Record>) {
    for batch in records.chunk_by(|a, b| a.batch == b.batch) {
        let at = batch[0].at_ms;
        batch.iter().filter_map(|r| r.event.clone()).for_each(|event| run.absorb(at, event));
        let _ = run.decide(at);
    }
}

fn row_bytes(event: Option<&str>) -> u64 {
    ROW_BYTES + event.map_or(0, |text| text.len() as u64)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, ControllerError> {
    let connection =
        Connection::open_with_flags(path, flags).map_err(|e| sql("open the journal", path, e))?;
    // On macOS a full sync is one that the disk's own cache has been told of; elsewhere that word changes nothing.
    let pragmas = format!(
        "pragma journal_mode=wal; pragma synchronous=full; pragma fullfsync=on; \
         pragma journal_size_limit={LOG_BYTES}; pragma busy_timeout=5000;"
    );
    if !flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) {
        connection.execute_batch(&pragmas).map_err(|e| sql("set up the journal", path, e))?;
    }
    Ok(connection)
}

/// Refuses what a newer build has written in another form.
fn check_format(connection: &Connection, path: &Path) -> Result<(), ControllerError> {
    let format = about(connection, path, "format")?;
    match format.map_or(Ok(FORMAT), |text| text.parse::<u32>()) {
        Ok(format) if format <= FORMAT => Ok(()),
        Ok(_) | Err(_) => Err(newer(connection, path)),
    }
}

fn newer(connection: &Connection, path: &Path) -> ControllerError {
    match about(connection, path, "build") {
        Ok(build) => ControllerError::JournalNewer {
            path: path.to_owned(),
            build: build.unwrap_or_else(|| "of another build".into()),
        },
        Err(error) => error,
    }
}

fn about(
    connection: &Connection,
    path: &Path,
    name: &str,
) -> Result<Option<String>, ControllerError> {
    connection
        .query_row("select value from about where name = ?1", [name], |row| row.get(0))
        .optional()
        .map_err(|e| sql("read", path, e))
}

fn sql(operation: &'static str, path: &Path, source: rusqlite::Error) -> ControllerError {
    ControllerError::Journal { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
