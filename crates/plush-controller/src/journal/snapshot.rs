//! A snapshot of the state: what all records up to one lead to, sealed with that record's link.
//! Not when one is taken, nor how long it is kept: those are [`plush_core::compaction`]'s.

use super::rows::Position;
use super::{newer, sql};
use crate::error::ControllerError;
use plush_core::Millis;
use plush_core::compaction::Mark;
use plush_core::run::{RULES, Run};
use rusqlite::{Connection, Row, params};
use std::path::Path;

/// A state that was written, and of which record it was the state.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// The last record that is in it.
    pub number: u64,
    /// That record's time.
    pub at_ms: Millis,
    /// The build that wrote it.
    pub build: String,
    /// The version of the rules that led to it.
    pub rules: u32,
    bytes: u64,
    chain: [u8; 32],
    pub(super) state: String,
}

impl Snapshot {
    /// Of the state after this record.
    pub(super) fn of(run: &Run, position: Position) -> Snapshot {
        let Position { number, chain, at_ms, bytes } = position;
        let state = serde_json::to_string(run).expect("a state is plain data");
        let build = env!("CARGO_PKG_VERSION").to_owned();
        Snapshot { number, at_ms, build, rules: RULES, bytes, chain, state }
    }

    /// The state.
    pub(super) fn run(&self, path: &Path) -> Result<Run, ControllerError> {
        serde_json::from_str(&self.state).map_err(|source| ControllerError::StateUnknown {
            path: path.to_owned(),
            build: self.build.clone(),
            source,
        })
    }

    /// Where reading goes on after it.
    pub(super) fn position(&self) -> Position {
        let Snapshot { number, chain, at_ms, bytes, .. } = *self;
        Position { number, chain, at_ms, bytes }
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "insert or replace into snapshot values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let [number, at_ms, bytes] = [self.number, self.at_ms, self.bytes].map(|n| n as i64);
        let Snapshot { build, rules, state, chain, .. } = self;
        insert.execute(params![
            number,
            at_ms,
            bytes,
            build,
            rules,
            state,
            chain.as_slice(),
            self.seal().as_slice()
        ])?;
        Ok(())
    }

    fn seal(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.chain);
        for number in [self.number, self.at_ms, self.bytes, u64::from(self.rules)] {
            hasher.update(&number.to_le_bytes());
        }
        for text in [&self.build, &self.state] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    fn read(
        row: &Row<'_>,
        connection: &Connection,
        path: &Path,
    ) -> Result<Snapshot, ControllerError> {
        let failed = |e| sql("read a snapshot in the journal", path, e);
        let whole = |column| row.get::<_, i64>(column).map(|n| n as u64).map_err(failed);
        let digest = |column| row.get::<_, Vec<u8>>(column).map_err(failed);
        let snapshot = Snapshot {
            number: whole(0)?,
            at_ms: whole(1)?,
            bytes: whole(2)?,
            build: row.get(3).map_err(failed)?,
            rules: u32::try_from(whole(4)?).unwrap_or(u32::MAX),
            state: row.get(5).map_err(failed)?,
            chain: digest(6)?.try_into().map_err(|_| damaged(path, whole(0).unwrap_or(0)))?,
        };
        if digest(7)? != snapshot.seal() {
            return Err(damaged(path, snapshot.number));
        }
        // Sealed, and yet of no version that there is.
        if snapshot.rules > RULES {
            return Err(newer(connection, path));
        }
        Ok(snapshot)
    }
}

/// The oldest snapshot that has more than so many records in it, if there is one.
pub(super) fn oldest_after(
    connection: &Connection,
    path: &Path,
    number: Option<u64>,
) -> Result<Option<Snapshot>, ControllerError> {
    let failed = |e| sql("read a snapshot in the journal", path, e);
    let text = "select number, at_ms, bytes, build, rules, state, chain, seal from snapshot \
                where number > ?1 order by number limit 1";
    let mut select = connection.prepare_cached(text).map_err(failed)?;
    let mut rows = select.query([number.map_or(-1, |n| n as i64)]).map_err(failed)?;
    let row = rows.next().map_err(failed)?;
    row.map(|row| Snapshot::read(row, connection, path)).transpose()
}

/// The number of the oldest snapshot; a journal of the first format has none, and no place for any.
pub(super) fn oldest(connection: &Connection, path: &Path) -> Result<Option<u64>, ControllerError> {
    let failed = |e| sql("read the journal", path, e);
    let text = "select count(*) from sqlite_master where type = 'table' and name = 'snapshot'";
    if connection.query_row(text, [], |row| row.get::<_, i64>(0)).map_err(failed)? == 0 {
        return Ok(None);
    }
    let text = "select min(number) from snapshot";
    let number = connection.query_row(text, [], |row| row.get::<_, Option<i64>>(0));
    Ok(number.map_err(failed)?.map(|n| n as u64))
}

/// All snapshots as compaction sees them, oldest first.
pub(super) fn marks(connection: &Connection) -> rusqlite::Result<Vec<Mark>> {
    let mut select =
        connection.prepare_cached("select number, bytes from snapshot order by number")?;
    let mark = |row: &Row<'_>| {
        let number = row.get::<_, i64>(0)? as u64;
        Ok(Mark { number, bytes: row.get::<_, i64>(1)? as u64 })
    };
    select.query_map([], mark)?.collect()
}

pub(super) fn damaged(path: &Path, number: u64) -> ControllerError {
    ControllerError::JournalDamaged {
        path: path.to_owned(),
        what: format!("the snapshot of the state after record {number} is not what was written"),
    }
}
