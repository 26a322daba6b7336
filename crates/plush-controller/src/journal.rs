//! The journal: every event of a run with its time, durable before anything is decided from it.
//! Not the state: that is made again by absorbing the journal from its beginning.
//!
//! SQLite in WAL mode with full synchronisation; one thread writes, a batch is one transaction. Each record carries
//! the BLAKE3 of the one before and itself, so that any change is found (invariant J4).

use crate::error::ControllerError;
use plush_core::Millis;
use plush_core::run::Event;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, oneshot};

/// Batches that wait for the writer: the driver waits for each, so there is never more than one.
const QUEUE: usize = 1;

/// The form of the tables and of the events in them. Raised with every change that an older build would misread.
const FORMAT: u32 = 1;

const SCHEMA: &str = "
    create table if not exists about (name text primary key, value text not null) strict;
    create table if not exists journal (
        number integer primary key,
        batch integer not null,
        at_ms integer not null,
        event text,
        chain blob not null
    ) strict;
";

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
    batches: mpsc::Sender<Batch>,
    next: u64,
}

/// The reading end of a journal that another process may be writing.
pub struct Reader {
    connection: Connection,
    path: PathBuf,
    build: String,
    chain: [u8; 32],
    read: u64,
}

struct Batch {
    at_ms: Millis,
    events: Vec<Option<String>>,
    done: oneshot::Sender<Result<(), ControllerError>>,
}

impl Journal {
    /// Opens or makes the journal of a run and reads what it holds.
    ///
    /// # Errors
    /// The file cannot be opened, a record in it is not the one that was written, or a newer build wrote it.
    pub fn open(path: &Path) -> Result<(Journal, Vec<Record>), ControllerError> {
        let connection = connect(path, OpenFlags::default())?;
        check_pages(&connection, path)?;
        connection
            .execute_batch(SCHEMA)
            .map_err(|e| sql("make the tables of the journal", path, e))?;
        check_format(&connection, path)?;
        let about = "insert or ignore into about values ('build', ?1), ('format', ?2)";
        connection
            .execute(about, params![env!("CARGO_PKG_VERSION"), FORMAT.to_string()])
            .map_err(|e| sql("write to the journal", path, e))?;
        let (records, chain) = read_after(&connection, path, 0, [0; 32])?;
        let (batches, receiver) = mpsc::channel(QUEUE);
        let next = records.last().map_or(1, |r| r.number + 1);
        let writer = Writer { connection, chain, next };
        std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(receiver))
            .map_err(|e| ControllerError::io("start the journal's thread", path, e))?;
        Ok((Journal { batches, next }, records))
    }

    /// Reads a journal that another process may be writing.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn read(path: &Path) -> Result<Vec<Record>, ControllerError> {
        Reader::open(path)?.read()
    }

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
        let (done, written) = oneshot::channel();
        let batch = Batch { at_ms, events: texts, done };
        self.batches.send(batch).await.map_err(|_| ControllerError::JournalGone)?;
        written.await.map_err(|_| ControllerError::JournalGone)??;
        self.next += count;
        Ok(first)
    }
}

impl Reader {
    /// Opens a journal for reading only. A reader never keeps the writer waiting.
    ///
    /// # Errors
    /// There is no journal, or it cannot be opened.
    pub fn open(path: &Path) -> Result<Reader, ControllerError> {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        check_format(&connection, path)?;
        let build = about(&connection, path, "build")?.unwrap_or_default();
        Ok(Reader { connection, path: path.to_owned(), build, chain: [0; 32], read: 0 })
    }

    /// The build that began it.
    pub fn build(&self) -> &str {
        &self.build
    }

    /// The records that are new since the last call; batches are always whole.
    ///
    /// # Errors
    /// The file cannot be read, or a record in it is not the one that was written.
    pub fn read(&mut self) -> Result<Vec<Record>, ControllerError> {
        let (records, chain) = read_after(&self.connection, &self.path, self.read, self.chain)?;
        (self.read, self.chain) = (self.read + records.len() as u64, chain);
        Ok(records)
    }
}

struct Writer {
    connection: Connection,
    chain: [u8; 32],
    next: u64,
}

impl Writer {
    fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(batch) = batches.blocking_recv() {
            let written = self.write(&batch);
            // The driver is gone if nobody listens; then nothing is decided either.
            let _ = batch.done.send(written);
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), ControllerError> {
        let path = self.connection.path().unwrap_or_default().to_owned();
        let failed = |e| sql("append to the journal", Path::new(&path), e);
        let transaction = self.connection.transaction().map_err(failed)?;
        let (mut chain, mut number, first) = (self.chain, self.next, self.next);
        {
            let mut insert = transaction
                .prepare_cached("insert into journal values (?1, ?2, ?3, ?4, ?5)")
                .map_err(failed)?;
            for event in &batch.events {
                chain = link(&chain, [number, first, batch.at_ms], event.as_deref());
                let times = [number as i64, first as i64, batch.at_ms as i64];
                let row = params![times[0], times[1], times[2], event, chain.as_slice()];
                insert.execute(row).map_err(failed)?;
                number += 1;
            }
        }
        transaction.commit().map_err(failed)?;
        (self.chain, self.next) = (chain, number);
        Ok(())
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, ControllerError> {
    let connection =
        Connection::open_with_flags(path, flags).map_err(|e| sql("open the journal", path, e))?;
    // On macOS a full sync is one that the disk's own cache has been told of; elsewhere the last word changes nothing.
    let pragmas = "pragma journal_mode=wal; pragma synchronous=full; pragma fullfsync=on; \
                   pragma busy_timeout=5000;";
    if !flags.contains(OpenFlags::SQLITE_OPEN_READ_ONLY) {
        connection.execute_batch(pragmas).map_err(|e| sql("set up the journal", path, e))?;
    }
    Ok(connection)
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

/// The records after the one numbered `after`, whose link in the chain is given.
fn read_after(
    connection: &Connection,
    path: &Path,
    after: u64,
    mut chain: [u8; 32],
) -> Result<(Vec<Record>, [u8; 32]), ControllerError> {
    let failed = |e| sql("read the journal", path, e);
    let mut select = connection
        .prepare_cached("select number, batch, at_ms, event, chain from journal where number > ?1 order by number")
        .map_err(failed)?;
    let mut rows = select.query([after as i64]).map_err(failed)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let number = row.get::<_, i64>(0).map_err(failed)? as u64;
        let batch = row.get::<_, i64>(1).map_err(failed)? as u64;
        let at_ms = row.get::<_, i64>(2).map_err(failed)? as u64;
        let text: Option<String> = row.get(3).map_err(failed)?;
        let stored: Vec<u8> = row.get(4).map_err(failed)?;
        chain = link(&chain, [number, batch, at_ms], text.as_deref());
        let broken = || ControllerError::JournalBroken { path: path.to_owned(), record: number };
        if stored != chain || number != after + records.len() as u64 + 1 {
            return Err(broken());
        }
        // It is what was written, and yet not one of the events that there are.
        let event = text.map(|t| serde_json::from_str(&t)).transpose();
        let event = event.map_err(|_| newer(connection, path))?;
        records.push(Record { number, batch, at_ms, event });
    }
    Ok((records, chain))
}

fn link(chain: &[u8; 32], numbers: [u64; 3], event: Option<&str>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(chain);
    numbers.iter().for_each(|n| {
        hasher.update(&n.to_le_bytes());
    });
    hasher.update(event.unwrap_or("").as_bytes());
    *hasher.finalize().as_bytes()
}

fn sql(operation: &'static str, path: &Path, source: rusqlite::Error) -> ControllerError {
    ControllerError::Journal { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn asked(why: &str) -> Event {
        Event::StopAsked { why: why.into() }
    }

    #[tokio::test]
    async fn what_was_appended_is_read_again_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let (mut journal, before) = Journal::open(&path).unwrap();
        assert_eq!(before, []);
        assert_eq!(journal.append(5, &[asked("a"), asked("b")]).await.unwrap(), 1);
        assert_eq!(journal.append(9, &[]).await.unwrap(), 3);
        drop(journal);
        let (_, records) = Journal::open(&path).unwrap();
        let flat: Vec<_> =
            records.into_iter().map(|r| ((r.number, r.batch), r.at_ms, r.event)).collect();
        let wanted =
            [((1, 1), 5, Some(asked("a"))), ((2, 1), 5, Some(asked("b"))), ((3, 3), 9, None)];
        assert_eq!(flat, wanted);
    }

    #[tokio::test]
    async fn a_reader_sees_each_batch_once_while_it_is_being_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let (mut journal, _) = Journal::open(&path).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(reader.build(), env!("CARGO_PKG_VERSION"));
        assert_eq!(reader.read().unwrap(), []);
        for why in ["a", "b"] {
            journal.append(5, &[asked(why), asked("again")]).await.unwrap();
            let events: Vec<_> = reader.read().unwrap().into_iter().map(|r| r.event).collect();
            assert_eq!(events, [Some(asked(why)), Some(asked("again"))]);
        }
    }

    #[tokio::test]
    async fn f54_a_changed_record_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(5, &[asked("a"), asked("b")]).await.unwrap();
        drop(journal);
        let connection = Connection::open(&path).unwrap();
        let change = r#"update journal set event = replace(event, '"a"', '"c"') where number = 1"#;
        assert_eq!(connection.execute(change, []).unwrap(), 1);
        drop(connection);
        let error = Journal::open(&path).err().unwrap();
        assert!(matches!(error, ControllerError::JournalBroken { record: 1, .. }), "{error}");
    }

    /// A journal of several pages, and its records.
    async fn written(path: &Path) -> Vec<Record> {
        let (mut journal, _) = Journal::open(path).unwrap();
        for n in 0..30u64 {
            let why = format!("reason {n} ").repeat(30);
            journal.append(n, &[asked(&why), asked("and")]).await.unwrap();
        }
        drop(journal);
        // The last connection leaves one file.
        let connection = Connection::open(path).unwrap();
        let _: i64 =
            connection.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get(0)).unwrap();
        drop(connection);
        Journal::read(path).unwrap()
    }

    /// F54, in the middle: whatever byte is changed, either it is noticed, or what is read is what was written.
    #[tokio::test]
    async fn f54_no_changed_byte_of_the_file_changes_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let records = written(&path).await;
        let bytes = std::fs::read(&path).unwrap();
        let mut noticed = 0;
        let places: Vec<usize> = (0..bytes.len()).step_by(37).chain(0..300).collect();
        for at in &places {
            let mut changed = bytes.clone();
            changed[*at] ^= 0x10;
            let copy = dir.path().join("copy");
            for ending in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(dir.path().join(format!("copy{ending}")));
            }
            std::fs::write(&copy, &changed).unwrap();
            match Journal::open(&copy) {
                Err(_) => noticed += 1,
                Ok((_, read)) => assert_eq!(read, records, "byte {at} makes another journal"),
            }
        }
        eprintln!("{noticed} of {} changes noticed, the others change nothing", places.len());
        assert!(noticed > places.len() / 4, "the rest is space that nothing uses");
    }

    /// F54, at the end: the log of the last batches is cut at any byte, as a crash may leave it.
    #[tokio::test]
    async fn f54_a_torn_tail_leaves_whole_batches() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let (mut journal, _) = Journal::open(&path).unwrap();
        for n in 0..6u64 {
            journal.append(n, &[asked("one"), asked("two")]).await.unwrap();
        }
        // Copied while the writer lives: nothing has been put in order.
        let wal = std::fs::read(dir.path().join("j-wal")).unwrap();
        let base = std::fs::read(&path).unwrap();
        let mut lengths = std::collections::BTreeSet::new();
        for length in (0..=wal.len()).rev().step_by(211) {
            let here = tempfile::tempdir().unwrap();
            std::fs::write(here.path().join("j"), &base).unwrap();
            std::fs::write(here.path().join("j-wal"), &wal[..length]).unwrap();
            let (_, read) = Journal::open(&here.path().join("j")).unwrap();
            assert_eq!(read.len() % 2, 0, "half a batch is no batch");
            let times: Vec<Millis> = read.iter().map(|r| r.at_ms).collect();
            let wanted: Vec<Millis> = (0..read.len() as u64).map(|n| n / 2).collect();
            assert_eq!(times, wanted, "a prefix of what was written");
            lengths.insert(read.len());
        }
        assert_eq!(lengths.last(), Some(&12));
        assert!(lengths.len() > 3, "{lengths:?}");
        drop(journal);
    }

    #[tokio::test]
    async fn f59_a_journal_of_a_newer_build_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for change in [
            "update about set value = '2' where name = 'format'",
            "update about set value = 'x' where name = 'format'",
        ] {
            let path = dir.path().join("j");
            let (mut journal, _) = Journal::open(&path).unwrap();
            journal.append(1, &[asked("a")]).await.unwrap();
            drop(journal);
            let connection = Connection::open(&path).unwrap();
            connection
                .execute("update about set value = '9.9.9' where name = 'build'", [])
                .unwrap();
            assert_eq!(connection.execute(change, []).unwrap(), 1);
            drop(connection);
            for error in [Journal::open(&path).err().unwrap(), Reader::open(&path).err().unwrap()] {
                assert!(
                    matches!(&error, ControllerError::JournalNewer { build, .. } if build == "9.9.9")
                );
            }
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[tokio::test]
    async fn f59_an_event_that_this_build_does_not_know_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        drop(Journal::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        let event = r#"{"asked_by_the_moon":{}}"#;
        let chain = link(&[0; 32], [1, 1, 5], Some(event));
        let row = params![1, 1, 5, event, chain.as_slice()];
        connection.execute("insert into journal values (?1, ?2, ?3, ?4, ?5)", row).unwrap();
        drop(connection);
        let error = Journal::open(&path).err().unwrap();
        assert!(matches!(error, ControllerError::JournalNewer { .. }), "{error}");
    }
}
