//! The product's process under test: it is told to end when its time is over, and a test that made it so has failed.
//! Not what it should say: that is the tests'.

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Whoever takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// A call of the product under way.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: String,
    errors: Receiver<String>,
    began: Instant,
}

/// What a call said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    pub took: Duration,
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn(command);
        let errors = Box::new(child.stderr.take().unwrap());
        Running::of(child, errors)
    }

    /// As at a terminal, for all but standard output.
    pub fn start_at_terminal(mut command: Command) -> Running {
        let (master, slave) = terminal();
        command.env("TERM", "xterm").stdin(slave.try_clone().unwrap()).stderr(slave);
        Running::of(spawn(command), Box::new(master))
    }

    fn of(mut child: Child, mut err: Box<dyn Read + Send>) -> Running {
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned() + "\n";
                // A test that has failed does not listen any more.
                let _ = sender.send(line);
            }
        });
        let (sender, errors) = channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // A terminal that nobody holds any more answers with an error.
            let _ = err.read_to_end(&mut text);
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
        });
        Running { child, lines, seen: String::new(), errors, began: Instant::now() }
    }

    /// Waits until a line of standard output holds this.
    pub fn wait_for(&mut self, what: &str) {
        self.wait_for_line(what);
    }

    /// As above; the line.
    pub fn wait_for_line(&mut self, what: &str) -> String {
        loop {
            let left = LIMIT.saturating_sub(self.began.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    if line.contains(what) {
                        return line;
                    }
                }
                Err(end) => {
                    let err = self.give_up(end);
                    panic!("`{what}` never came; it said:\n{}\nand\n{err}", self.seen);
                }
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub fn end(self) -> Said {
        let limit = self.began + LIMIT;
        self.end_by(limit)
    }

    /// Waits for its end until then.
    pub fn end_by(mut self, limit: Instant) -> Said {
        loop {
            let left = limit.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push_str(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(end @ RecvTimeoutError::Timeout) => {
                    let err = self.give_up(end);
                    panic!("it has not ended in time; it said:\n{}\nand\n{err}", self.seen);
                }
            }
        }
        let code = self.child.wait().unwrap().code();
        let err = self.errors.recv_timeout(Duration::from_secs(5)).unwrap();
        Said { code, out: std::mem::take(&mut self.seen), err, took: self.began.elapsed() }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn give_up(&mut self, end: RecvTimeoutError) -> String {
        if end == RecvTimeoutError::Timeout {
            let _ = kill_process_group(self.pid(), Signal::KILL);
        }
        let _ = self.child.wait();
        self.errors.recv_timeout(Duration::from_secs(5)).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has been waited for, or its test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    /// It ended so; otherwise all that it said is shown.
    #[track_caller]
    pub fn expect(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    /// The document of `--json`.
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}\n{}", self.out, self.err))
    }

    /// The run directory that the document names.
    pub fn directory(&self) -> PathBuf {
        PathBuf::from(self.document()["directory"].as_str().unwrap())
    }

    pub fn output(&self, host: &str, file: &str) -> Vec<u8> {
        let path = self.directory().join("output").join(host).join(file);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub fn result(&self, host: &str, file: &str) -> Vec<u8> {
        let path = self.directory().join("results").join(host).join(file);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// State of a host in the last view.
    pub fn state(&self, host: &str) -> String {
        let document = self.document();
        let hosts = document["view"]["hosts"].as_array().unwrap();
        let here = hosts.iter().find(|one| named(&one["name"], host));
        here.unwrap()["state"].as_str().unwrap().to_owned()
    }

    /// What went wrong on a host: operation and cause of each problem.
    pub fn problems(&self, host: &str) -> Vec<(String, String)> {
        let document = self.document();
        let problems = document["view"]["problems"].as_array().unwrap();
        let here = problems.iter().filter(|one| named(&one["host"], host));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        here.map(|one| (text(&one["operation"]), text(&one["cause"]))).collect()
    }
}

/// The command, and with it this process's copy of a terminal's side, is gone when this returns.
fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).process_group(0).spawn().unwrap()
}

/// A pseudo-terminal: the side of whoever sits there, the side of the program.
fn terminal() -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let mut options = File::options();
    // It must not become the terminal of the test itself, which would be hung up with it.
    options.read(true).write(true).custom_flags(OFlags::NOCTTY.bits().cast_signed());
    (File::from(master), options.open(OsStr::from_bytes(name.to_bytes())).unwrap())
}

fn named(value: &Value, host: &str) -> bool {
    value.as_str() == Some(host)
}
