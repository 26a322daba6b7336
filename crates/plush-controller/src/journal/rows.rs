//! Records as they are read: in order, without holes, each the one that was written.
//! Not what they lead to.

use super::{Record, newer, row_bytes, sql};
use crate::error::ControllerError;
use plush_core::Millis;
use rusqlite::Connection;
use std::path::Path;

/// Records that are read at once, and the rest of their last batch; so many are in memory and no more.
const PAGE: usize = 4096;

/// How far a journal was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last record.
    pub number: u64,
    /// Its link.
    pub chain: [u8; 32],
    /// Its time.
    pub at_ms: Millis,
    /// Bytes of all records up to it.
    pub bytes: u64,
}

/// The next records after a position, in whole batches; none when there are no more.
///
/// # Errors
/// A record is not the one that was written, or is none that this build understands.
pub fn page(
    connection: &Connection,
    path: &Path,
    position: &mut Position,
) -> Result<Vec<Record>, ControllerError> {
    let mut records: Vec<Record> = Vec::new();
    each(connection, path, position, |row| {
        if records.len() >= PAGE && records.last().is_some_and(|last| last.batch != row.batch) {
            return Ok(false);
        }
        // It is what was written, and yet not one of the events that there are.
        let event = row.text.map(serde_json::from_str).transpose();
        let event = event.map_err(|_| newer(connection, path))?;
        let Row { number, batch, at_ms, .. } = row;
        records.push(Record { number, batch, at_ms, event });
        Ok(true)
    })?;
    Ok(records)
}

/// Checks records after a position up to the one of that number, as far as they are there.
///
/// # Errors
/// A record is not the one that was written.
pub fn check(
    connection: &Connection,
    path: &Path,
    position: &mut Position,
    upto: u64,
) -> Result<(), ControllerError> {
    each(connection, path, position, |row| Ok(row.number <= upto))
}

/// A record as it is stored, checked.
struct Row<'a> {
    number: u64,
    batch: u64,
    at_ms: Millis,
    text: Option<&'a str>,
}

/// Goes over the records after a position, and moves it, for as long as they are taken.
fn each(
    connection: &Connection,
    path: &Path,
    position: &mut Position,
    mut takes: impl FnMut(Row<'_>) -> Result<bool, ControllerError>,
) -> Result<(), ControllerError> {
    let failed = |e| sql("read the journal", path, e);
    let text = "select number, batch, at_ms, event, chain from journal where number > ?1 \
                order by number";
    let mut select = connection.prepare_cached(text).map_err(failed)?;
    let mut rows = select.query([position.number as i64]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let whole = |column| row.get::<_, i64>(column).map(|n| n as u64).map_err(failed);
        let (number, batch, at_ms) = (whole(0)?, whole(1)?, whole(2)?);
        let text: Option<String> = row.get(3).map_err(failed)?;
        let stored: Vec<u8> = row.get(4).map_err(failed)?;
        let chain = link(&position.chain, [number, batch, at_ms], text.as_deref());
        if stored != chain || number != position.number + 1 {
            return Err(ControllerError::JournalBroken { path: path.to_owned(), record: number });
        }
        if !takes(Row { number, batch, at_ms, text: text.as_deref() })? {
            return Ok(());
        }
        let bytes = position.bytes + row_bytes(text.as_deref());
        *position = Position { number, chain, at_ms, bytes };
    }
    Ok(())
}

/// What a record carries: the BLAKE3 of the one before, its numbers and its event.
pub fn link(chain: &[u8; 32], numbers: [u64; 3], event: Option<&str>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(chain);
    numbers.iter().for_each(|n| {
        hasher.update(&n.to_le_bytes());
    });
    hasher.update(event.unwrap_or("").as_bytes());
    *hasher.finalize().as_bytes()
}
