//! `plush barriers` and `plush report` on real runs of hosts on this machine, while they go on and afterwards.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, Said};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

const MEETING: &str = include_str!("../../../examples/meeting.yaml");

/// Three hosts; the last one comes to the barrier only when the file is there.
const WAITING: &str = "project: waiting\n\
    resources: [{type: local, hosts: \"local[1-3]\"}]\n\
    clusters:\n  c:\n    num_hosts: {wanted: 3}\n    execution:\n\
    \x20     - process: arrive\n\
    \x20       run: if [ ${rank} = 2 ]; then while [ ! -e FLAG ]; do sleep 0.05; done; fi\n\
    \x20     - barrier: meet\n";

/// The example, run to its end.
fn met() -> Bench {
    let bench = Bench::new();
    bench.file("meeting.yaml", MEETING);
    let said = bench.run(&["run", "meeting.yaml", "--name", "met", "-q"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    bench
}

fn json(said: &Said) -> Value {
    assert_eq!(said.code, Some(0), "{}", said.err);
    serde_json::from_str(&said.out).unwrap()
}

fn barrier<'a>(document: &'a Value, name: &str) -> &'a Value {
    let barriers = document["barriers"].as_array().unwrap();
    barriers.iter().find(|barrier| barrier["name"] == name).unwrap()
}

#[test]
fn a_run_that_is_over_shows_its_barriers_and_is_drawn() {
    let bench = met();
    let table = bench.run(&["barriers", "met"]);
    for words in ["workers/prepare", "workers/ready", "4 inside", "75 %", "8 per second"] {
        assert!(table.out.contains(words), "{words}:\n{}{}", table.out, table.err);
    }
    let document = json(&bench.run(&["barriers", "met", "--json"]));
    let round = barrier(&document, "round");
    assert_eq!(round["opened"]["policy"], "percent", "{round}");
    assert_eq!((&round["opened"]["entered"], &round["released"]), (&9.into(), &12.into()));
    let missing: Vec<&str> =
        round["missing"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(missing, ["local10", "local11", "local12"]);
    let opened = round["opened"]["at_ms"].as_u64().unwrap();
    for member in round["members"].as_array().unwrap() {
        let at = |name: &str| member[name].as_u64().unwrap();
        assert!(at("entered_ms") <= at("released_ms") && opened <= at("released_ms"), "{member}");
    }
    let prepare = barrier(&document, "workers/prepare");
    assert_eq!((&prepare["inside"], &prepare["released"]), (&0.into(), &12.into()));

    let said = bench.run(&["report", "met", "--png", "pictures", "--out", "met.html"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let page = std::fs::read_to_string(bench.home.path().join("met.html")).unwrap();
    roxmltree::Document::parse(page.strip_prefix("<!DOCTYPE html>\n").unwrap()).unwrap();
    assert!(page.contains("opened by policy `percent`") && page.contains("9 of 12 had come"));
    let drawn = said.out.lines().filter(|line| line.ends_with(".png")).collect::<Vec<_>>();
    assert!(drawn.iter().any(|path| path.contains("round-completion")), "{drawn:?}");
    for path in drawn {
        let bytes = std::fs::read(bench.home.path().join(path)).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"), "{path}");
    }
    let history = json(&bench.run(&["report", "met", "--json"]));
    let tasks = history["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 24);
    assert!(tasks.iter().all(|task| task["running_ms"].as_u64() <= task["ended_ms"].as_u64()));
    let inside = bench.run_dir("met").join("report.html");
    assert!(inside.is_file(), "without --out the page is in the run directory");

    let pairs = ["a=met", "b=met", "--barrier", "round", "--curve", "through"];
    let said = bench.run(
        &[&["report", "--compare"], &pairs[..], &["--png", "x.png", "--out", "x.html"]].concat(),
    );
    assert_eq!((said.code, said.out.as_str()), (Some(0), "x.html\nx.png\n"), "{}", said.err);
    let numbers = json(&bench.run(&[&["report", "--json", "--compare"], &pairs[..]].concat()));
    assert_eq!(numbers["curves"][1]["label"], "b");
    assert_eq!(numbers["curves"][0]["count"], 12);
    let said =
        bench.run(&["report", "--compare", "a=met", "--barrier", "absent", "--png", "x.png"]);
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("workers/prepare, workers/ready, round"), "{}", said.err);
    let said = bench.run(&["report", "--compare", "met", "--barrier", "round", "--png", "x.png"]);
    assert!(said.code == Some(64) && said.err.contains("LABEL=RUN"), "{}", said.err);
}

#[test]
fn a_run_that_goes_on_is_followed_to_its_end_and_not_disturbed() {
    let bench = Bench::new();
    let flag = bench.home.path().join("flag");
    bench.file("waiting.yaml", WAITING.replace("FLAG", flag.to_str().unwrap()));
    let said = bench.run(&["run", "waiting.yaml", "--name", "waits", "--detach", "-q"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let mut following =
        bench.plush(&["barriers", "waits", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    let is_closed = |line: &String| line.starts_with("meet ") && line.contains("2 of 3");
    assert!(lines.any(|line| is_closed(&line)), "two of three never came");
    let missing = lines.next().unwrap();
    assert!(missing.contains("missing local3 (1)"), "{missing}");

    let now = json(&bench.run(&["barriers", "waits", "--json"]));
    assert_eq!((&now["is_served"], &barrier(&now, "meet")["opened"]), (&true.into(), &Value::Null));
    let said = bench.run(&["report", "waits"]);
    assert!(said.code == Some(0) && said.err.contains("still goes on"), "{}", said.err);

    std::fs::write(&flag, "").unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(following.wait().unwrap().success());
    let last = rest.iter().rfind(|line| line.starts_with("meet ")).unwrap();
    assert!(last.contains("3 of 3") && last.contains("opened after"), "{last}");
    let view = json(&bench.run(&["status", "waits", "--json"]));
    assert_eq!(view["outcome"], "complete", "reading has not disturbed the run");
}

#[test]
fn a_run_that_is_not_there_is_a_mistake_of_the_command_line() {
    for command in ["barriers", "report"] {
        let said = Bench::new().run(&[command, "absent"]);
        assert_eq!(said.code, Some(64), "{}", said.err);
        assert!(said.err.contains("there is no run `absent`"), "{}", said.err);
    }
}

#[test]
fn f54_a_damaged_journal_is_named_and_not_drawn() {
    let bench = met();
    let journal = bench.run_dir("met").join("journal.sqlite");
    let connection = rusqlite::Connection::open(&journal).unwrap();
    let change = "update journal set event = replace(event, 'local03', 'local04') \
         where number = (select max(number) from journal where event like '%local03%')";
    assert!(connection.execute(change, []).unwrap() > 0);
    drop(connection);
    for command in ["barriers", "report"] {
        let said = bench.run(&[command, "met"]);
        assert_eq!(said.code, Some(74), "{}{}", said.out, said.err);
        assert!(said.err.contains("damaged at record"), "{}", said.err);
    }
    assert!(!bench.run_dir("met").join("report.html").exists());
}

#[test]
fn a_run_directory_without_a_journal_is_named() {
    let bench = Bench::new();
    bench.run_dir("empty");
    let said = bench.run(&["report", "empty"]);
    assert!(said.err.contains("cannot read the history of run empty"), "{}", said.err);
    assert_eq!(said.code, Some(74));
}
