//! The thread that writes the journal: batches of records, each in one transaction, and now and then a snapshot.
//! Not what is written when.

use super::rows::{Position, link};
use super::snapshot::{self, Snapshot};
use super::{row_bytes, sql};
use crate::error::ControllerError;
use plush_core::Millis;
use plush_core::compaction::{Bounds, superfluous};
use plush_core::run::Run;
use rusqlite::{Connection, params};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// What the writer is asked to do.
pub enum Job {
    /// To write these records.
    Append(Batch),
    /// To write this state, which is that after the last record, and to drop what it makes superfluous.
    Snapshot { state: Box<Run>, done: Option<oneshot::Sender<Result<(), ControllerError>>> },
}

pub struct Batch {
    pub at_ms: Millis,
    pub events: Vec<Option<String>>,
    pub done: oneshot::Sender<Result<(), ControllerError>>,
}

/// The file of a journal, known by more than its name.
#[derive(Clone)]
pub struct JournalFile {
    path: PathBuf,
    /// Device and number.
    identity: (u64, u64),
}

impl JournalFile {
    pub fn of(path: &Path) -> Result<JournalFile, ControllerError> {
        let metadata = path.metadata().map_err(|e| ControllerError::io("look at", path, e))?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(JournalFile { path: path.to_owned(), identity })
    }

    /// What is written to a file that nobody can open any more is not durable, though the system does not say so.
    pub fn check_there(&self) -> Result<(), ControllerError> {
        match self.path.metadata() {
            Ok(now) if (now.dev(), now.ino()) == self.identity => Ok(()),
            Ok(_) => Err(ControllerError::Removed { path: self.path.clone() }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(ControllerError::Removed { path: self.path.clone() })
            }
            Err(error) => Err(ControllerError::io("look at", &self.path, error)),
        }
    }
}

pub struct Writer {
    pub connection: Connection,
    pub file: JournalFile,
    pub bounds: Bounds,
    /// The last record.
    pub position: Position,
}

impl Writer {
    pub fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            match job {
                Job::Append(batch) => {
                    let written = self.file.check_there().and_then(|()| self.append(&batch));
                    // The driver is gone if nobody listens; then nothing is decided either.
                    let _ = batch.done.send(written);
                }
                Job::Snapshot { state, done } => {
                    let written = self.file.check_there().and_then(|()| self.snapshot(&state));
                    match (written, done) {
                        (written, Some(done)) => drop(done.send(written)),
                        (Ok(()), None) => {}
                        // Without it the journal is longer than it need be, and nothing is lost.
                        (Err(error), None) => tracing::warn!("{error}"),
                    }
                }
            }
        }
    }

    fn append(&mut self, batch: &Batch) -> Result<(), ControllerError> {
        self.insert(batch).map_err(|e| sql("append to the journal", &self.file.path, e))
    }

    fn insert(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let (mut position, first) = (self.position, self.position.number + 1);
        let at_ms = batch.at_ms;
        {
            let mut insert =
                transaction.prepare_cached("insert into journal values (?1, ?2, ?3, ?4, ?5)")?;
            for event in &batch.events {
                let number = position.number + 1;
                let chain = link(&position.chain, [number, first, at_ms], event.as_deref());
                let times = [number as i64, first as i64, at_ms as i64];
                let row = params![times[0], times[1], times[2], event, chain.as_slice()];
                insert.execute(row)?;
                let bytes = position.bytes + row_bytes(event.as_deref());
                position = Position { number, chain, at_ms, bytes };
            }
        }
        transaction.commit()?;
        self.position = position;
        Ok(())
    }

    /// Writes a snapshot and drops what is superfluous, both or neither.
    fn snapshot(&mut self, state: &Run) -> Result<(), ControllerError> {
        let began = Instant::now();
        let snapshot = Snapshot::of(state, self.position);
        let written = self.replace(&snapshot);
        written.map_err(|e| sql("write a snapshot to the journal", &self.file.path, e))?;
        let (number, bytes) = (snapshot.number, snapshot.state.len());
        tracing::debug!("snapshot after record {number}: {bytes} bytes in {:?}", began.elapsed());
        Ok(())
    }

    fn replace(&mut self, snapshot: &Snapshot) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        snapshot.write(&transaction)?;
        let gone = superfluous(self.bounds, &snapshot::marks(&transaction)?);
        for number in gone.snapshots {
            transaction.execute("delete from snapshot where number = ?1", [number as i64])?;
        }
        let upto = gone.records_upto as i64;
        transaction.execute("delete from journal where number <= ?1", [upto])?;
        transaction.commit()
    }
}
