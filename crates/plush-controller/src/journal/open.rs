//! A journal is opened for writing: all of it is checked, and the state made that it leads to.
//! Not how it is read beside its writer: see [`super::Reader`].

use super::rows::{self, Position};
use super::snapshot::{self, Snapshot};
use super::writer::{JournalFile, Writer};
use super::{FORMAT, Journal, QUEUE, absorb, check_format, connect, sql};
use crate::error::ControllerError;
use plush_core::Millis;
use plush_core::compaction::{Bounds, Growth};
use plush_core::plan::RunPlan;
use plush_core::run::{RULES, Run};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use tokio::sync::mpsc;

pub(super) const SCHEMA: &str = "
    create table if not exists about (name text primary key, value text not null) strict;
    create table if not exists journal (
        number integer primary key,
        batch integer not null,
        at_ms integer not null,
        event text,
        chain blob not null
    ) strict;
    create table if not exists snapshot (
        number integer primary key,
        at_ms integer not null,
        bytes integer not null,
        build text not null,
        rules integer not null,
        state text not null,
        chain blob not null,
        seal blob not null
    ) strict;
";

/// What a journal leads to.
pub struct Resumed {
    /// The state after the last record.
    pub run: Run,
    /// The number of the last record; 0 when there is none.
    pub records: u64,
    /// Its time.
    pub at_ms: Millis,
    /// The build that wrote the state which it goes on from, if that was another one.
    pub other_build: Option<String>,
}

impl Journal {
    /// Opens or makes the journal of a run and says what it leads to.
    ///
    /// # Errors
    /// The file cannot be opened, something in it is not what was written, or a newer build wrote it.
    pub fn open(path: &Path, plan: RunPlan) -> Result<(Journal, Resumed), ControllerError> {
        Journal::open_within(path, plan, Bounds::JOURNAL)
    }

    /// The same, with other bounds of what is kept.
    pub(crate) fn open_within(
        path: &Path,
        plan: RunPlan,
        bounds: Bounds,
    ) -> Result<(Journal, Resumed), ControllerError> {
        let connection = connect(path, OpenFlags::default())?;
        check_pages(&connection, path)?;
        connection
            .execute_batch(SCHEMA)
            .map_err(|e| sql("make the tables of the journal", path, e))?;
        check_format(&connection, path)?;
        let failed = |e| sql("write to the journal", path, e);
        let about = "insert or ignore into about values ('build', ?1)";
        connection.execute(about, [env!("CARGO_PKG_VERSION")]).map_err(failed)?;
        let about = "insert or replace into about values ('format', ?1)";
        connection.execute(about, [FORMAT.to_string()]).map_err(failed)?;
        if snapshot::oldest(&connection, path)?.is_none() {
            // The beginning is a snapshot too.
            let begun = Snapshot::of(&Run::new(plan), Position::default());
            begun.write(&connection).map_err(failed)?;
        }
        let Folded { run, newest, position } = fold(&connection, path)?;
        if newest.rules != RULES {
            // What comes now is recorded by our rules: they have to begin somewhere.
            Snapshot::of(&run, position).write(&connection).map_err(failed)?;
        }
        let (jobs, receiver) = mpsc::channel(QUEUE);
        let Position { number, at_ms, bytes, .. } = position;
        let growth = Growth::new(bounds, bytes, at_ms, (newest.position().bytes, newest.at_ms));
        let file = JournalFile::of(path)?;
        let writer = Writer { connection, file: file.clone(), bounds, position };
        std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(receiver))
            .map_err(|e| ControllerError::io("start the journal's thread", path, e))?;
        let journal = Journal { jobs, file, next: number + 1, growth };
        let other_build = Some(newest.build).filter(|build| build != env!("CARGO_PKG_VERSION"));
        Ok((journal, Resumed { run, records: number, at_ms, other_build }))
    }
}

/// What a journal comes to.
struct Folded {
    run: Run,
    /// The snapshot from which the state was made.
    newest: Snapshot,
    /// The end of the journal.
    position: Position,
}

/// Checks everything there is and absorbs what came after the newest snapshot, if the rules are those that recorded it.
fn fold(connection: &Connection, path: &Path) -> Result<Folded, ControllerError> {
    let mut newest = snapshot::oldest_after(connection, path, None)?
        .expect("there is a snapshot of the beginning at least");
    let mut position = newest.position();
    while let Some(next) = snapshot::oldest_after(connection, path, Some(newest.number))? {
        rows::check(connection, path, &mut position, next.number)?;
        if position != next.position() {
            return Err(snapshot::damaged(path, next.number));
        }
        newest = next;
    }
    let mut run = newest.run(path)?;
    loop {
        let records = rows::page(connection, path, &mut position)?;
        if records.is_empty() {
            return Ok(Folded { run, newest, position });
        }
        if newest.rules != RULES {
            let (path, build) = (path.to_owned(), newest.build);
            return Err(ControllerError::OtherRules { path, build });
        }
        absorb(&mut run, records);
    }
}

/// A damaged page may hide records without a word: the chain of those that are left would hold.
fn check_pages(connection: &Connection, path: &Path) -> Result<(), ControllerError> {
    let verdict: String = connection
        .query_row("pragma quick_check(1)", [], |row| row.get(0))
        .map_err(|e| sql("check", path, e))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        _ => Err(ControllerError::JournalDamaged { path: path.to_owned(), what: verdict }),
    }
}
