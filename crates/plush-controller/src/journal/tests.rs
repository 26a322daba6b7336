//! Claims about the journal: what was written is read again, and damage is found.
#![allow(clippy::unwrap_used)]
use super::snapshot::Snapshot;
use super::*;
use plush_core::compaction::Bounds;
use plush_core::plan::{HostId, Keep, Offer, PlannedHost, Route, RunPlan, Settings, assign};
use plush_core::run::{LinkAccount, RULES};
use plush_protocol::{AgentHello, Facts, PROTOCOL_VERSION, Report, Tainted};
use rusqlite::params;
use std::collections::BTreeSet;
use std::time::Instant;

const APP: &str = "
project: kept
resources: [{type: local, hosts: \"n[1-HOSTS]\"}]
clusters:
  all:
    num_hosts: HOSTS
    execution:
      - process: work
        run: sh work.sh ${host} ${rank}
      - barrier: middle
      - process: more
        run: sh more.sh ${host}
";

/// A few records make a stretch.
const SMALL: Bounds =
    Bounds { stretch_bytes: 2_000, kept_bytes: 6_000, rest_ms: 1_000, age_ms: 10_000 };

fn plan_of(hosts: usize) -> RunPlan {
    let text = APP.replace("HOSTS", &hosts.to_string());
    let project = plush_spec::parse(&text, "app.yaml", None).project.unwrap();
    let host = |n| PlannedHost::new(format!("n{n}"), Route::Local);
    let hosts = (1..=hosts).map(host).collect();
    let settings = Settings { run: "kept-1".into(), keep: Keep::Nothing, stop_after_ms: None };
    assign(&project, vec![Offer { hosts, ..Offer::default() }], settings).unwrap()
}

fn open(path: &Path) -> Result<(Journal, Resumed), ControllerError> {
    Journal::open_within(path, plan_of(3), SMALL)
}

/// All records that are kept.
fn read(path: &Path) -> Result<Vec<Record>, ControllerError> {
    let mut reader = Reader::open(path)?;
    let mut records = Vec::new();
    loop {
        match reader.read()?.records {
            page if page.is_empty() => return Ok(records),
            page => records.extend(page),
        }
    }
}

fn asked(why: &str) -> Event {
    Event::StopAsked { why: why.into() }
}

/// What a driver does with a batch.
async fn record(journal: &mut Journal, run: &mut Run, at_ms: Millis, events: Vec<Event>) {
    journal.append(at_ms, &events).await.unwrap();
    events.into_iter().for_each(|event| run.absorb(at_ms, event));
    let _ = run.decide(at_ms);
    journal.keep_bounded(at_ms, run);
}

/// The writer has done all that it was asked to do.
async fn close(mut journal: Journal) {
    let (done, written) = oneshot::channel();
    let nothing = Batch { at_ms: 0, events: Vec::new(), done };
    assert!(journal.jobs.send(Job::Append(nothing)).await.is_ok());
    written.await.unwrap().unwrap();
    journal.next = 0;
}

#[tokio::test]
async fn what_was_appended_is_read_again_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let (mut journal, before) = open(&path).unwrap();
    assert_eq!(before.records, 0);
    assert_eq!(journal.append(5, &[asked("a"), asked("b")]).await.unwrap(), 1);
    assert_eq!(journal.append(9, &[]).await.unwrap(), 3);
    drop(journal);
    let (_, resumed) = open(&path).unwrap();
    assert_eq!((resumed.records, resumed.at_ms), (3, 9));
    let records = read(&path).unwrap();
    let flat: Vec<_> =
        records.into_iter().map(|r| ((r.number, r.batch), r.at_ms, r.event)).collect();
    let wanted = [((1, 1), 5, Some(asked("a"))), ((2, 1), 5, Some(asked("b"))), ((3, 3), 9, None)];
    assert_eq!(flat, wanted);
}

#[tokio::test]
async fn a_reader_sees_each_batch_once_while_it_is_being_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let (mut journal, _) = open(&path).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(reader.build(), env!("CARGO_PKG_VERSION"));
    assert_eq!(reader.read().unwrap().records, []);
    for why in ["a", "b"] {
        journal.append(5, &[asked(why), asked("again")]).await.unwrap();
        let events: Vec<_> = reader.read().unwrap().records.into_iter().map(|r| r.event).collect();
        assert_eq!(events, [Some(asked(why)), Some(asked("again"))]);
    }
}

#[tokio::test]
async fn f54_a_changed_record_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let (mut journal, _) = open(&path).unwrap();
    journal.append(5, &[asked("a"), asked("b")]).await.unwrap();
    drop(journal);
    let connection = Connection::open(&path).unwrap();
    let change = r#"update journal set event = replace(event, '"a"', '"c"') where number = 1"#;
    assert_eq!(connection.execute(change, []).unwrap(), 1);
    drop(connection);
    let error = open(&path).err().unwrap();
    assert!(matches!(error, ControllerError::JournalBroken { record: 1, .. }), "{error}");
}

/// A journal of several pages that has dropped its beginning, and its records.
async fn written(path: &Path) -> Vec<Record> {
    let (mut journal, Resumed { mut run, .. }) = open(path).unwrap();
    for n in 0..30u64 {
        let why = format!("reason {n} ").repeat(30);
        record(&mut journal, &mut run, n, vec![asked(&why), asked("and")]).await;
    }
    close(journal).await;
    // The last connection leaves one file.
    let connection = Connection::open(path).unwrap();
    let _: i64 =
        connection.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get(0)).unwrap();
    drop(connection);
    read(path).unwrap()
}

/// F54, in the middle: whatever byte is changed, either it is noticed, or what is read is what was written.
#[tokio::test]
async fn f54_no_changed_byte_of_the_file_changes_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let records = written(&path).await;
    assert!(records[0].number > 1, "the beginning was dropped");
    let bytes = std::fs::read(&path).unwrap();
    let run = open(&path).unwrap().1.run;
    let mut noticed = 0;
    let places: BTreeSet<usize> = (0..bytes.len()).step_by(37).chain(0..300).collect();
    for at in &places {
        let mut changed = bytes.clone();
        changed[*at] ^= 0x10;
        // Another name each time: the writer of the one before may still be closing its file.
        let copy = dir.path().join(format!("copy{at}"));
        std::fs::write(&copy, &changed).unwrap();
        let Ok((journal, resumed)) = open(&copy) else {
            noticed += 1;
            continue;
        };
        drop(journal);
        assert!(resumed.run == run, "byte {at} makes another state");
        assert_eq!(read(&copy).unwrap(), records, "byte {at} makes another journal");
    }
    eprintln!("{noticed} of {} changes noticed, the others change nothing", places.len());
    assert!(noticed > places.len() / 4, "the rest is space that nothing uses");
}

/// F54, at the end: the log of the last batches is cut at any byte, as a crash may leave it.
#[tokio::test]
async fn f54_a_torn_tail_leaves_whole_batches() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let (mut journal, _) = open(&path).unwrap();
    for n in 0..6u64 {
        journal.append(n, &[asked("one"), asked("two")]).await.unwrap();
    }
    // Copied while the writer lives: nothing has been put in order.
    let wal = std::fs::read(dir.path().join("j-wal")).unwrap();
    let base = std::fs::read(&path).unwrap();
    let mut lengths = BTreeSet::new();
    for length in (0..=wal.len()).rev().step_by(211) {
        let here = tempfile::tempdir().unwrap();
        std::fs::write(here.path().join("j"), &base).unwrap();
        std::fs::write(here.path().join("j-wal"), &wal[..length]).unwrap();
        drop(open(&here.path().join("j")).unwrap());
        let read = read(&here.path().join("j")).unwrap();
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
        "update about set value = '3' where name = 'format'",
        "update about set value = 'x' where name = 'format'",
    ] {
        let path = dir.path().join("j");
        let (mut journal, _) = open(&path).unwrap();
        journal.append(1, &[asked("a")]).await.unwrap();
        drop(journal);
        let connection = Connection::open(&path).unwrap();
        connection.execute("update about set value = '9.9.9' where name = 'build'", []).unwrap();
        assert_eq!(connection.execute(change, []).unwrap(), 1);
        drop(connection);
        for error in [open(&path).err().unwrap(), Reader::open(&path).err().unwrap()] {
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
    drop(open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    let event = r#"{"asked_by_the_moon":{}}"#;
    let chain = rows::link(&[0; 32], [1, 1, 5], Some(event));
    let row = params![1, 1, 5, event, chain.as_slice()];
    connection.execute("insert into journal values (?1, ?2, ?3, ?4, ?5)", row).unwrap();
    drop(connection);
    let error = open(&path).err().unwrap();
    assert!(matches!(error, ControllerError::JournalNewer { .. }), "{error}");
}

fn hello(session: u64) -> Box<AgentHello> {
    Box::new(AgentHello {
        version: PROTOCOL_VERSION,
        epoch: 1,
        session,
        received: 0,
        facts: Facts { system: "Linux".into(), ..Facts::default() },
        refusal: None,
        clock_us: None,
    })
}

/// What happens to a host on its way to its first task.
fn way(host: HostId) -> Vec<Event> {
    let account = LinkAccount { client: "local".into(), took_ms: 7, ..LinkAccount::default() };
    let session = 100 + u64::from(host.0);
    let (cluster, digests) = ("all".to_owned(), Vec::new());
    let prepared = Report::Prepared { cluster, fetched_bytes: 0, cached: 0, took_ms: 9, digests };
    let report = |number, report| Event::Reported { host, session, number, report };
    vec![
        Event::Connected { host, hello: hello(session), account },
        report(1, Report::Inventory { tasks: Vec::new(), prepared: Vec::new() }),
        report(2, prepared),
        report(3, Report::Note(Tainted::new("a line about this host, as agents write them"))),
    ]
}

/// J6: whenever the controller dies, what is left of the journal leads to the state that all of it would lead to.
#[tokio::test]
async fn j6_a_journal_that_has_dropped_records_leads_to_the_same_state() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let (_, Resumed { mut run, .. }) = open(&path).unwrap();
    let mut longest = 0;
    for n in 0..200u32 {
        let (mut journal, resumed) = open(&path).unwrap();
        assert!(resumed.run == run, "after {n} batches");
        let mut events = way(HostId(n % 3));
        events.insert(0, Event::Restarted);
        record(&mut journal, &mut run, u64::from(n) * 400, events).await;
        close(journal).await;
        let records = read(&path).unwrap();
        assert_eq!(records.last().unwrap().number, 5 * (u64::from(n) + 1));
        longest = longest.max(records.len());
    }
    assert_eq!(run.takeovers(), 200, "the epoch survives");
    let bytes = std::fs::metadata(&path).unwrap().len();
    eprintln!("of 1000 records {longest} were kept at the most, the file has {bytes} bytes");
    assert!(longest < 200);
    let mut reader = Reader::open(&path).unwrap();
    let News { beginning, records } = reader.read().unwrap();
    let (state, at_ms) = beginning.unwrap();
    let mut folded = state.expect("the beginning is a state that was written");
    assert!(at_ms > 0);
    absorb(&mut folded, records);
    assert!(folded == run);
}

#[tokio::test]
async fn a_reader_that_is_overtaken_begins_again_with_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let (mut journal, Resumed { mut run, .. }) = open(&path).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    assert!(reader.read().unwrap().beginning.is_some());
    record(&mut journal, &mut run, 1, vec![asked("a")]).await;
    assert!(reader.read().unwrap().beginning.is_none());
    for n in 0..100 {
        record(&mut journal, &mut run, n, way(HostId(1))).await;
    }
    close(journal).await;
    let News { beginning, records } = reader.read().unwrap();
    let mut folded = beginning.unwrap().0.unwrap();
    assert!(records[0].number > 2);
    absorb(&mut folded, records);
    assert!(folded == run);
    assert!(reader.read().unwrap().records.is_empty());
}

#[tokio::test]
async fn f54_a_changed_snapshot_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    drop(open(&path).unwrap());
    for change in [
        "state = replace(state, 'kept-1', 'kept-2')",
        "bytes = bytes + 1",
        "build = '0.0.9'",
        "rules = 0",
    ] {
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("begin").unwrap();
        assert_eq!(connection.execute(&format!("update snapshot set {change}"), []).unwrap(), 1);
        let error = snapshot::oldest_after(&connection, &path, None).err().unwrap();
        assert!(matches!(error, ControllerError::JournalDamaged { .. }), "{change}: {error}");
    }
}

/// How long a thousand hosts keep the loop and the writer: printed, since machines differ.
#[test]
fn a_snapshot_of_a_thousand_hosts_is_written_between_two_batches() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::new(plan_of(1_000));
    let _ = run.decide(0);
    for host in 0..1_000 {
        way(HostId(host)).into_iter().for_each(|event| run.absorb(10, event));
        let _ = run.decide(10);
    }
    let connection = connect(&dir.path().join("j"), OpenFlags::default()).unwrap();
    connection.execute_batch(open::SCHEMA).unwrap();
    let began = Instant::now();
    let copy = run.clone();
    let copied = began.elapsed();
    let snapshot = Snapshot::of(&copy, rows::Position::default());
    let encoded = began.elapsed() - copied;
    snapshot.write(&connection).unwrap();
    let written = began.elapsed() - copied - encoded;
    let again = Instant::now();
    assert!(snapshot.run(dir.path()).unwrap() == run);
    eprintln!(
        "{} bytes: copied in {copied:?}, encoded in {encoded:?}, written in {written:?}, read in {:?}",
        snapshot.state.len(),
        again.elapsed()
    );
}

/// A journal whose newest state was made by the rules of an older build, with so many batches after it.
async fn of_older_rules(path: &Path, batches: u64) -> Run {
    let opened = Journal::open(path, plan_of(3));
    let (mut journal, Resumed { mut run, .. }) = opened.unwrap();
    record(&mut journal, &mut run, 1, way(HostId(0))).await;
    journal.park(&run).await.unwrap();
    for n in 0..batches {
        record(&mut journal, &mut run, 2 + n, way(HostId(1))).await;
    }
    drop(journal);
    let connection = Connection::open(path).unwrap();
    let first = snapshot::oldest_after(&connection, path, None).unwrap().unwrap();
    let mut parked =
        snapshot::oldest_after(&connection, path, Some(first.number)).unwrap().unwrap();
    (parked.rules, parked.build) = (RULES - 1, "0.0.9".into());
    parked.write(&connection).unwrap();
    run
}

#[tokio::test]
async fn a_build_of_other_rules_goes_on_from_a_state_with_nothing_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let mut run = of_older_rules(&path, 0).await;
    let (mut journal, resumed) = open(&path).unwrap();
    assert!(resumed.run == run);
    assert_eq!(resumed.other_build.as_deref(), Some("0.0.9"));
    record(&mut journal, &mut run, 9, way(HostId(2))).await;
    drop(journal);
    let (_, resumed) = open(&path).unwrap();
    assert!(resumed.run == run, "what came after is absorbed by the rules that recorded it");
    assert_eq!(resumed.other_build, None);
}

#[tokio::test]
async fn a_build_of_other_rules_absorbs_no_records_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    of_older_rules(&path, 1).await;
    let error = open(&path).err().unwrap();
    let is_named = |build: &str| build == "0.0.9";
    assert!(
        matches!(&error, ControllerError::OtherRules { build, .. } if is_named(build)),
        "{error}"
    );
}

#[tokio::test]
async fn f59_a_state_of_newer_rules_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    drop(open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    let mut mine = snapshot::oldest_after(&connection, &path, None).unwrap().unwrap();
    mine.rules = RULES + 1;
    mine.write(&connection).unwrap();
    drop(connection);
    let error = open(&path).err().unwrap();
    assert!(matches!(error, ControllerError::JournalNewer { .. }), "{error}");
}

/// A journal of the time before there were snapshots.
#[tokio::test]
async fn a_journal_of_the_first_format_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let (mut journal, Resumed { mut run, .. }) = open(&path).unwrap();
    record(&mut journal, &mut run, 1, way(HostId(0))).await;
    drop(journal);
    let connection = Connection::open(&path).unwrap();
    let older = "drop table snapshot; update about set value = '1' where name = 'format'";
    connection.execute_batch(older).unwrap();
    drop(connection);
    assert_eq!(read(&path).unwrap().len(), 4, "it can be read as it is");
    let (_, resumed) = open(&path).unwrap();
    assert!(resumed.run == run);
    assert_eq!(resumed.records, 4);
}

#[tokio::test]
async fn nothing_is_appended_to_a_file_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    let (mut journal, _) = open(&path).unwrap();
    journal.append(1, &[asked("a")]).await.unwrap();
    journal.check_there().unwrap();
    std::fs::remove_file(&path).unwrap();
    for error in [
        journal.append(2, &[asked("b")]).await.err().unwrap(),
        journal.check_there().err().unwrap(),
    ] {
        assert!(matches!(error, ControllerError::Removed { .. }), "{error}");
    }
}
