//! What an operator at a terminal sees and presses.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, controller, over, running, write};
use plush_protocol::operator::OperatorRequest;
use plush_protocol::task::StreamName;
use plush_protocol::view::Outcome;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::Child;
use std::time::Duration;

/// A pseudo-terminal with a program on it.
struct Terminal {
    master: File,
    child: Child,
    seen: String,
}

impl Terminal {
    fn run(bench: &Bench, arguments: &[&str]) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options()
            .read(true)
            .write(true)
            .open(OsStr::from_bytes(name.to_bytes()))
            .unwrap();
        let mut command = bench.plush(arguments);
        command
            .env("TERM", "xterm")
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave);
        let child = command.spawn().unwrap();
        // The command holds the program's side of the terminal as long as it lives.
        drop(command);
        Terminal { master: File::from(master), child, seen: String::new() }
    }

    /// Reads until something is on the screen; what came after it is still to be seen.
    fn wait_for(&mut self, text: &str) {
        let end = loop {
            if let Some(at) = self.seen.find(text) {
                break at + text.len();
            }
            assert!(self.read(), "`{text}` never came:\n{}", self.seen);
        };
        self.seen.drain(..end);
    }

    /// What is still to come, and the exit code.
    fn rest(mut self) -> (String, Option<i32>) {
        while self.read() {}
        (self.seen, self.child.wait().unwrap().code())
    }

    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // A terminal that nobody holds any more answers with an error.
        let read = self.master.read(&mut bytes).unwrap_or(0);
        self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        read > 0
    }

    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }
}

#[test]
fn the_first_interrupt_shows_the_second_stops() {
    let bench = Bench::new();
    let asked = controller(&bench.run_dir("demo-1"), |mut front_end| {
        front_end.hear();
        front_end.say(&running());
        assert!(matches!(front_end.hear(), Some(OperatorRequest::Stop { .. })));
        over(Outcome::Stopped).iter().for_each(|reply| front_end.say(reply));
    });
    let mut terminal = Terminal::run(&bench, &["attach", "demo-1"]);
    terminal.wait_for("run 4 s: 3 running of 3 hosts; waiting for node[1-3]");
    terminal.interrupt();
    terminal.wait_for("press Ctrl-C again within 5 s");
    terminal.interrupt();
    terminal.wait_for("stopping in order");
    let (seen, code) = terminal.rest();
    asked.join().unwrap();
    assert_eq!(code, Some(130), "{seen}");
    assert!(seen.contains("stopped"), "{seen}");
}

#[test]
fn output_comes_above_the_status_line_and_in_the_hosts_colour() {
    let bench = Bench::new();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let run_dir = bench.run_dir("demo-1");
    let played = controller(&run_dir.clone(), move |mut front_end| {
        front_end.hear();
        front_end.say(&running());
        gone.recv().unwrap();
        front_end.say(&write(&run_dir, "node1", StreamName::Out, b"hello\n"));
        over(Outcome::Complete).iter().for_each(|reply| front_end.say(reply));
    });
    let mut terminal = Terminal::run(&bench, &["attach", "demo-1"]);
    terminal.wait_for("waiting for node[1-3]");
    go.send(()).unwrap();
    let (seen, code) = terminal.rest();
    played.join().unwrap();
    assert_eq!(code, Some(0), "{seen}");
    let line = seen.find("\r\u{1b}[K\u{1b}[").expect("the status line is erased first");
    assert!(seen[line..].contains("mnode1\u{1b}[0m: hello\r\n"), "{seen:?}");
}

#[test]
fn of_a_terminal_that_is_not_read_what_is_shown_and_what_is_named_is_all() {
    const LINES: u64 = 60_000;
    let bench = Bench::new();
    let run_dir = bench.run_dir("demo-1");
    let played = controller(&run_dir.clone(), move |mut front_end| {
        front_end.hear();
        front_end.say(&running());
        for _ in 0..60 {
            for host in ["node1", "node2"] {
                let text = "a line of output\n".repeat(500);
                front_end.say(&write(&run_dir, host, StreamName::Out, text.as_bytes()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        over(Outcome::Complete).iter().for_each(|reply| front_end.say(reply));
    });
    let terminal = Terminal::run(&bench, &["attach", "demo-1", "--color", "never"]);
    std::thread::sleep(Duration::from_secs(10));
    let (seen, code) = terminal.rest();
    played.join().unwrap();
    assert_eq!(code, Some(0), "{seen}");
    let shown = seen.matches(": a line of output\r\n").count() as u64;
    let named: Vec<&str> = seen.lines().filter(|line| line.contains("left out")).collect();
    let count = |line: &&str| {
        let words = line.split("plush: ").last().unwrap_or_default();
        words.split(' ').next().and_then(|count| count.parse::<u64>().ok())
    };
    let left_out: u64 = named.iter().filter_map(count).sum();
    assert!(shown > 0 && left_out > LINES / 2, "{shown} shown: {named:?}");
    assert_eq!(shown + left_out, LINES, "{named:?}");
    assert!(named[0].contains("of node[1-2]") || named[0].contains("of node1"), "{named:?}");
}
