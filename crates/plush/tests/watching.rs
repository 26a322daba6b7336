//! `attach`, `status`, `stop` and `logs -f` against a controller that says what it is told to.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, FrontEnd, Said, controller, over, running, view, write};
use plush_protocol::operator::{OperatorReply, OperatorRequest};
use plush_protocol::task::StreamName;
use plush_protocol::view::{HostState, Outcome, PhaseName};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// What a controller does.
enum Move {
    Say(OperatorReply),
    Write(&'static str, StreamName, &'static str),
}

/// Says it all and the end; the front end must be watching.
fn play(run_dir: PathBuf, outcome: Outcome, moves: Vec<Move>) -> impl FnOnce(FrontEnd) + Send {
    move |mut front_end| {
        assert!(matches!(front_end.hear(), Some(OperatorRequest::Watch { .. })));
        for one in moves {
            front_end.say(&match one {
                Move::Say(reply) => reply,
                Move::Write(host, stream, text) => write(&run_dir, host, stream, text.as_bytes()),
            });
        }
        over(outcome).iter().for_each(|reply| front_end.say(reply));
    }
}

fn check(arguments: &[&str], outcome: Outcome, moves: Vec<Move>) -> Said {
    let bench = Bench::new();
    let run_dir = bench.run_dir("demo-1");
    let played = controller(&run_dir, play(run_dir.clone(), outcome, moves));
    let said = bench.run(&[&["attach", "demo"], arguments].concat());
    played.join().unwrap();
    said
}

#[test]
fn each_line_goes_to_its_stream_with_its_host() {
    let moves = vec![
        Move::Say(running()),
        Move::Write("node1", StreamName::Out, "hello\n"),
        Move::Write("node2", StreamName::Err, "oh\n"),
    ];
    let said = check(&[], Outcome::Complete, moves);
    assert_eq!(said.out, "node1: hello\n");
    assert!(
        said.err.contains("node2: oh\n") && said.err.contains("run demo-1 of demo: complete"),
        "{}",
        said.err
    );
    assert_eq!(said.code, Some(0));
}

#[test]
fn the_exit_code_is_the_runs() {
    let code = |arguments: &[&str], outcome| check(arguments, outcome, vec![]).code;
    assert_eq!(code(&[], Outcome::TasksFailed { code: 7 }), Some(1));
    assert_eq!(code(&[], Outcome::TooFewHosts), Some(69));
    assert_eq!(code(&[], Outcome::Partial), Some(0), "two of three are enough");
    assert_eq!(code(&["--strict"], Outcome::Partial), Some(75));
    assert_eq!(code(&[], Outcome::Stopped), Some(130));
}

#[test]
fn json_is_one_document_at_the_end() {
    let moves = vec![Move::Say(running()), Move::Write("node1", StreamName::Out, "hello\n")];
    let said = check(&["--json", "-q"], Outcome::Partial, moves);
    let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(document["run"], "demo-1");
    assert_eq!(document["outcome"], "partial");
    assert_eq!(document["view"]["counts"]["done"], 3);
    assert_eq!(said.err.lines().count(), 1, "-q is one line: {}", said.err);
    assert!(said.err.contains("partial: 2 of 3 hosts"), "{}", said.err);
}

#[test]
fn events_are_one_object_per_line() {
    let event = OperatorReply::Event {
        index: 4,
        at_ms: 12,
        event: serde_json::json!({"Connected": {"host": 1}}),
    };
    let said = check(
        &["--events"],
        Outcome::Complete,
        vec![Move::Say(event), Move::Write("node1", StreamName::Out, "a\u{9b}\n")],
    );
    let kinds: Vec<String> = said
        .out
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["is"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(kinds, ["event", "output", "over"]);
    assert!(!said.out.contains('\u{9b}'));
}

#[test]
fn an_escape_sequence_from_a_controller_gone_bad_is_not_obeyed() {
    let said = check(
        &[],
        Outcome::Complete,
        vec![Move::Write("n\u{1b}[2J", StreamName::Out, "\u{1b}]0;x\u{7}\n")],
    );
    assert!(!said.out.contains('\u{1b}') && !said.out.contains('\u{7}'), "{:?}", said.out);
}

#[test]
fn a_controller_that_vanishes_is_an_internal_error_that_names_its_log() {
    let bench = Bench::new();
    let gone = controller(&bench.run_dir("demo-1"), |mut front_end| drop(front_end.hear()));
    let said =
        bench.run(&["attach", "last"].map(|word| if word == "last" { "demo-1" } else { word }));
    gone.join().unwrap();
    assert_eq!(said.code, Some(70));
    assert!(said.err.contains("controller.log"), "{}", said.err);
}

#[test]
fn a_run_that_is_over_is_summed_up_from_its_last_view() {
    let bench = Bench::new();
    let mut last = view(PhaseName::Done, HostState::Done);
    last.outcome = Some(Outcome::TooFewHosts);
    std::fs::write(bench.run_dir("demo-1").join("view.json"), serde_json::to_vec(&last).unwrap())
        .unwrap();
    let said = bench.run(&["attach", "demo-1"]);
    assert_eq!(said.code, Some(69));
    assert!(said.err.contains("too few hosts"), "{}", said.err);
    assert_eq!(bench.run(&["stop", "demo-1"]).code, Some(0));
    let status = bench.run(&["status", "demo-1", "-v"]);
    assert_eq!(status.code, Some(0));
    assert!(status.out.contains("node3  done"), "{}", status.out);
}

/// Starts a front end that watches, and waits until it has said that it does.
fn watch(bench: &Bench, arguments: &[&str]) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = bench
        .plush(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    err.read_line(&mut first).unwrap();
    assert!(first.starts_with("plush: run 4 s"), "{first}");
    (child, err)
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn rest(mut child: Child, mut err: BufReader<std::process::ChildStderr>) -> (Option<i32>, String) {
    let mut text = String::new();
    err.read_to_string(&mut text).unwrap();
    (child.wait().unwrap().code(), text)
}

#[test]
fn without_a_terminal_the_first_interrupt_stops_in_order() {
    let bench = Bench::new();
    let asked = controller(&bench.run_dir("demo-1"), |mut front_end| {
        front_end.hear();
        front_end.say(&running());
        assert!(matches!(front_end.hear(), Some(OperatorRequest::Stop { .. })));
        front_end.say(&OperatorReply::Taken);
        over(Outcome::Stopped).iter().for_each(|reply| front_end.say(reply));
    });
    let (child, err) = watch(&bench, &["attach", "demo-1"]);
    signal(&child, Signal::INT);
    let (code, err) = rest(child, err);
    asked.join().unwrap();
    assert_eq!(code, Some(130), "{err}");
    assert!(err.contains("stopping in order"), "{err}");
}

#[test]
fn leaving_names_who_may_still_be_at_work_and_how_to_stop_them() {
    let bench = Bench::new();
    let left = controller(&bench.run_dir("demo-1"), |mut front_end| {
        front_end.hear();
        front_end.say(&running());
        assert!(matches!(front_end.hear(), Some(OperatorRequest::Stop { .. })));
        front_end.say(&running());
        assert_eq!(front_end.hear(), None);
    });
    let (child, mut err) = watch(&bench, &["attach", "demo-1"]);
    signal(&child, Signal::INT);
    let mut heard = String::new();
    err.read_line(&mut heard).unwrap();
    assert!(heard.contains("stopping"), "{heard}");
    signal(&child, Signal::INT);
    let (code, err) = rest(child, err);
    left.join().unwrap();
    assert_eq!(code, Some(130), "{err}");
    assert!(err.contains("node[1-3]") && err.contains("plush stop demo-1"), "{err}");
}

#[test]
fn a_hang_up_leaves_without_stopping() {
    let bench = Bench::new();
    let left = controller(&bench.run_dir("demo-1"), |mut front_end| {
        front_end.hear();
        front_end.say(&running());
        assert_eq!(front_end.hear(), None);
    });
    let (child, err) = watch(&bench, &["attach", "demo-1"]);
    signal(&child, Signal::HUP);
    let (code, _) = rest(child, err);
    left.join().unwrap();
    assert_eq!(code, Some(130));
}

/// Reports its position; a watcher leaves without a message.
fn leaves_alone(mut front_end: FrontEnd) {
    let first = front_end.hear();
    assert!(matches!(first, Some(OperatorRequest::Watch { .. } | OperatorRequest::Status)));
    front_end.say(&running());
    if matches!(first, Some(OperatorRequest::Status)) {
        assert!(matches!(front_end.hear(), Some(OperatorRequest::Watch { .. })));
        front_end.say(&running());
    }
    assert_eq!(front_end.hear(), None);
}

#[test]
fn sigterm_ends_what_only_watches_and_leaves_the_run_alone() {
    for command in [["attach", "demo-1"], ["resume", "demo-1"]] {
        let bench = Bench::new();
        let left = controller(&bench.run_dir("demo-1"), leaves_alone);
        let (child, err) = watch(&bench, &command);
        signal(&child, Signal::TERM);
        let (code, err) = rest(child, err);
        left.join().unwrap();
        assert_eq!(code, Some(130), "{command:?}: {err}");
        assert!(err.contains("plush: left"), "{command:?}: {err}");
    }
}

#[test]
fn sigterm_ends_a_stop_that_waits_and_asks_nothing_more() {
    let bench = Bench::new();
    let left = controller(&bench.run_dir("demo-1"), |mut front_end| {
        assert!(matches!(front_end.hear(), Some(OperatorRequest::Stop { .. })));
        leaves_alone(front_end);
    });
    let (child, err) = watch(&bench, &["stop", "demo-1"]);
    signal(&child, Signal::TERM);
    let (code, err) = rest(child, err);
    left.join().unwrap();
    assert_eq!(code, Some(130), "{err}");
}

#[test]
fn sigterm_ends_logs_that_follow_with_130_also_when_they_are_not_read() {
    let bench = Bench::new();
    let directory = bench.run_dir("demo-1");
    // More than a pipe holds.
    let text = "not read\n".repeat(50_000);
    bench.file(".local/state/plush/runs/demo-1/output/node1/demo.1.out", &text);
    let left = controller(&directory, leaves_alone);
    let mut child = bench.plush(&["logs", "demo-1", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 8];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    left.join().unwrap();
}

#[test]
fn a_reader_that_goes_does_not_end_the_run() {
    const LINES: usize = 1_000;
    let bench = Bench::new();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let run_dir = bench.run_dir("demo-1");
    let played = controller(&run_dir.clone(), move |mut front_end| {
        front_end.hear();
        front_end.say(&running());
        gone.recv().unwrap();
        // More than a pipe holds: a process that another test begins may have the reading end until it executes.
        for _ in 0..LINES {
            let words = "nobody reads this".repeat(10) + "\n";
            front_end.say(&write(&run_dir, "node1", StreamName::Out, words.as_bytes()));
        }
        over(Outcome::Complete).iter().for_each(|reply| front_end.say(reply));
    });
    let (mut child, err) = watch(&bench, &["attach", "demo-1"]);
    drop(child.stdout.take());
    go.send(()).unwrap();
    let (code, err) = rest(child, err);
    played.join().unwrap();
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("nobody reads standard output"), "{err}");
}

#[test]
fn stop_says_why_and_waits_for_the_end() {
    let bench = Bench::new();
    let asked = controller(&bench.run_dir("demo-1"), |mut front_end| {
        assert_eq!(front_end.hear(), Some(OperatorRequest::Stop { why: "enough".into() }));
        front_end.say(&OperatorReply::Taken);
        assert!(matches!(front_end.hear(), Some(OperatorRequest::Watch { .. })));
        over(Outcome::Stopped).iter().for_each(|reply| front_end.say(reply));
    });
    let said = bench.run(&["stop", "demo-1", "--why", "enough"]);
    asked.join().unwrap();
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn stop_gives_up_waiting_in_time() {
    let bench = Bench::new();
    let asked =
        controller(&bench.run_dir("demo-1"), |mut front_end| while front_end.hear().is_some() {});
    let said = bench.run(&["stop", "demo-1", "--timeout", "50 ms"]);
    asked.join().unwrap();
    assert_eq!(said.code, Some(124), "{}", said.err);
}

#[test]
fn status_asks_the_controller_first() {
    let bench = Bench::new();
    let asked = controller(&bench.run_dir("demo-1"), |mut front_end| {
        assert_eq!(front_end.hear(), Some(OperatorRequest::Status));
        front_end.say(&running());
    });
    let said = bench.run(&["status", "demo-1", "--json"]);
    asked.join().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&said.out).unwrap()["phase"], "run");
}

#[test]
fn following_reads_the_files_and_loses_nothing() {
    let bench = Bench::new();
    let directory = bench.run_dir("demo-1");
    let file = bench.file(".local/state/plush/runs/demo-1/output/node1/demo.1.out", "one\ntw");
    let played = controller(&directory, move |mut front_end| {
        front_end.hear();
        std::fs::write(&file, "one\ntwo\nthree").unwrap();
        front_end.say(&running());
        over(Outcome::Complete).iter().for_each(|reply| front_end.say(reply));
    });
    let said = bench.run(&["logs", "demo-1", "-f"]);
    played.join().unwrap();
    assert_eq!(said.out, "node1: one\nnode1: two\nnode1: three\n");
}

#[test]
fn following_a_run_whose_controller_dies_shows_what_there_is_and_is_an_error() {
    let bench = Bench::new();
    let run_dir = bench.run_dir("demo-1");
    let played = controller(&run_dir.clone(), move |mut front_end| {
        front_end.hear();
        front_end.say(&write(&run_dir, "node1", StreamName::Out, b"one\ntwo\n"));
    });
    let said = bench.run(&["logs", "demo-1", "-f"]);
    played.join().unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(70), "node1: one\nnode1: two\n"));
    assert!(said.err.contains("the controller of run demo-1 has gone"), "{}", said.err);
    // And of one that had died before.
    let said = bench.run(&["logs", "demo-1", "-f"]);
    assert_eq!((said.code, said.out.as_str()), (Some(70), "node1: one\nnode1: two\n"));
    assert_eq!(bench.run(&["logs", "demo-1"]).code, Some(0));
}

#[test]
fn a_slow_pipe_gets_every_line_of_a_flood_and_skips_none() {
    const LINES: usize = 400_000;
    let bench = Bench::new();
    let run_dir = bench.run_dir("demo-1");
    let played = controller(&run_dir.clone(), move |mut front_end| {
        front_end.hear();
        for part in 0..100 {
            let text: String =
                (0..LINES / 100).map(|n| format!("{}\n", part * (LINES / 100) + n)).collect();
            front_end.say(&write(&run_dir, "node1", StreamName::Out, text.as_bytes()));
        }
        over(Outcome::Complete).iter().for_each(|reply| front_end.say(reply));
    });
    let mut child = bench
        .plush(&["attach", "demo-1", "-q", "--label", "none"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    // Everything has been written and announced before anything is read.
    played.join().unwrap();
    for expected in 0..LINES {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected.to_string());
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn logs_are_in_the_order_of_their_arrival_and_say_when_that_was() {
    let bench = Bench::new();
    let run_dir = bench.run_dir("demo-1");
    write(&run_dir, "node1", StreamName::Out, b"first\nthird\n");
    write(&run_dir, "node2", StreamName::Err, b"second\n");
    write(&run_dir, "node3", StreamName::Out, b"of an older run\n");
    let index = |file: &str, arrivals: &[(u64, u64)]| {
        let records = arrivals.iter().flat_map(|(from, at_us)| [from, at_us]);
        let bytes: Vec<u8> = records.flat_map(|number| number.to_le_bytes()).collect();
        std::fs::write(run_dir.join("output").join(file), bytes).unwrap();
    };
    index("node1/demo.1.out.times", &[(0, 1_000_000), (6, 3_000_000)]);
    index("node2/demo.1.err.times", &[(0, 2_500_000)]);
    let said = bench.run(&["logs", "demo-1"]);
    let expected = "node3: of an older run\nnode1: first\nnode2: second\nnode1: third\n";
    assert_eq!(said.out, expected, "{}", said.err);
    let said = bench.run(&["logs", "demo-1", "--time", "-w", "node[1-2]"]);
    let expected = "1970-01-01 00:00:01.000 node1: first\n\
                    1970-01-01 00:00:02.500 node2: second\n\
                    1970-01-01 00:00:03.000 node1: third\n";
    assert_eq!(said.out, expected, "{}", said.err);
}

#[test]
fn a_run_directory_may_lie_deep() {
    let bench = Bench::new();
    let id = "d".repeat(120);
    let directory = bench.run_dir(&id);
    let mut deep = view(PhaseName::Done, HostState::Done);
    deep.outcome = Some(Outcome::Complete);
    std::fs::write(directory.join("view.json"), serde_json::to_vec(&deep).unwrap()).unwrap();
    assert_eq!(bench.run(&["attach", &id]).code, Some(0));
}

#[test]
fn a_last_view_whose_controller_is_gone_is_said_to_be_no_more_than_that() {
    let bench = Bench::new();
    let run_dir = bench.run_dir("demo-1");
    let view = serde_json::to_vec(&bench::view(PhaseName::Run, HostState::Running)).unwrap();
    std::fs::write(run_dir.join("view.json"), view).unwrap();
    let said = bench.run(&["status", "demo-1"]);
    assert_eq!(said.code, Some(0));
    assert!(said.err.contains("no controller serves run demo-1"), "{}", said.err);
    assert!(said.err.contains("`plush resume demo-1`"), "{}", said.err);
}
