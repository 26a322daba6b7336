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
use std::path::PathBuf;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// What the writer is asked to do.
pub enum Job {
    /// To write these records.
    Append(Batch),
    /// To write this state, which is that after the last record, and to drop what it makes superfluous.
    Snapshot { state: Box<Run> },
}

pub struct Batch {
    pub at_ms: Millis,
    pub events: Vec<Option<String>>,
    pub done: oneshot::Sender<Result<(), ControllerError>>,
}

pub struct Writer {
    pub connection: Connection,
    pub path: PathBuf,
    pub bounds: Bounds,
    /// The last record.
    pub position: Position,
}

impl Writer {
    pub fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            match job {
                Job::Append(batch) => {
                    let written = self.append(&batch);
                    let written = written.map_err(|e| sql("append to the journal", &self.path, e));
                    // The driver is gone if nobody listens; then nothing is decided either.
                    let _ = batch.done.send(written);
                }
                Job::Snapshot { state } => {
                    let began = Instant::now();
                    let done = self.snapshot(&state);
                    // Without it the journal is longer than it need be, and nothing is lost.
                    match done {
                        Ok(bytes) => tracing::debug!(
                            "snapshot after record {}: {bytes} bytes in {:?}",
                            self.position.number,
                            began.elapsed()
                        ),
                        Err(error) => tracing::warn!("cannot write a snapshot: {error}"),
                    }
                }
            }
        }
    }

    fn append(&mut self, batch: &Batch) -> rusqlite::Result<()> {
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

    /// Writes a snapshot and drops what is superfluous, both or neither. Says how long the state is.
    pub fn snapshot(&mut self, state: &Run) -> rusqlite::Result<usize> {
        let snapshot = Snapshot::of(state, self.position);
        let transaction = self.connection.transaction()?;
        snapshot.write(&transaction)?;
        let gone = superfluous(self.bounds, &snapshot::marks(&transaction)?);
        for number in gone.snapshots {
            transaction.execute("delete from snapshot where number = ?1", [number as i64])?;
        }
        let upto = gone.records_upto as i64;
        transaction.execute("delete from journal where number <= ?1", [upto])?;
        transaction.commit()?;
        Ok(snapshot.state.len())
    }
}
