//! What the tests of the program share: a clean call of it, and a controller that says what it is told to.
//! Not a controller: it decides nothing.
#![allow(dead_code, clippy::unwrap_used)]

use plush_protocol::operator::{OperatorReply, OperatorRequest, Written};
use plush_protocol::task::StreamName;
use plush_protocol::view::{
    ClusterSum, ClusterView, Contact, Counts, HostState, HostView, Outcome, PhaseName, RunView,
    Sums,
};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::JoinHandle;
use tempfile::TempDir;

/// A home of its own for each test.
pub struct Bench {
    pub home: TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        Bench { home: tempfile::tempdir().unwrap() }
    }

    /// The program, with nothing of the caller's environment that could matter.
    pub fn plush(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plush"));
        command.args(arguments).current_dir(self.home.path()).env_clear();
        command.env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
        // The directories of hosts on this machine are below it, by the ids of their runs.
        command.env("TMPDIR", self.home.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        Said::of(self.plush(arguments).output().unwrap())
    }

    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A run directory where runs are looked for.
    pub fn run_dir(&self, id: &str) -> PathBuf {
        let directory = self.home.path().join(".local/state/plush/runs").join(id);
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }
}

/// What the program said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: Output) -> Said {
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// One front end's connection, from the controller's side.
pub struct FrontEnd {
    requests: BufReader<UnixStream>,
}

impl FrontEnd {
    pub fn say(&mut self, reply: &OperatorReply) {
        let mut line = serde_json::to_vec(reply).unwrap();
        line.push(b'\n');
        // A front end may have gone; the test sees that from its exit code.
        let _ = self.requests.get_mut().write_all(&line);
    }

    /// The next request; none once the front end has gone.
    pub fn hear(&mut self) -> Option<OperatorRequest> {
        let mut line = String::new();
        match self.requests.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
        }
    }
}

/// A controller that talks to one front end and leaves.
pub fn controller(run_dir: &Path, talk: impl FnOnce(FrontEnd) + Send + 'static) -> JoinHandle<()> {
    let listener = UnixListener::bind(run_dir.join("operator.sock")).unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        talk(FrontEnd { requests: BufReader::new(stream) });
    })
}

/// A host has written more: the file grows, and the growth is announced.
pub fn write(run_dir: &Path, host: &str, stream: StreamName, text: &[u8]) -> OperatorReply {
    let ending = if stream == StreamName::Out { "out" } else { "err" };
    let file = format!("output/{}/demo.1.{ending}", plush_controller::file_name(host));
    let path = run_dir.join(&file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut open = File::options().create(true).append(true).open(path).unwrap();
    open.write_all(text).unwrap();
    let bytes = open.metadata().unwrap().len();
    let (host, process) = (host.to_owned(), "demo".to_owned());
    let written = Written { host, process, stream, file, bytes, gap_bytes: 0, whole: false };
    OperatorReply::Written { files: vec![written] }
}

pub fn view(phase: PhaseName, state: HostState) -> RunView {
    let host = |n: u32| HostView {
        name: format!("node{n}"),
        state,
        detail: Default::default(),
        connected: true,
        contact: Contact::Heard,
        doubt: Default::default(),
        for_ms: 10,
        waits_at: None,
        guarantee: None,
        logout: None,
    };
    RunView {
        version: 1,
        run: "demo-1".into(),
        project: "demo".into(),
        elapsed_ms: 4_200,
        phase,
        counts: Counts { running: 3, ..Counts::default() },
        clusters: vec![ClusterView { name: "all".into(), phase, wanted: 3, min: 3, live: 3 }],
        hosts: (1..=3).map(host).collect(),
        ..RunView::default()
    }
}

pub fn running() -> OperatorReply {
    OperatorReply::View(Box::new(view(PhaseName::Run, HostState::Running)))
}

pub fn over(outcome: Outcome) -> [OperatorReply; 2] {
    let mut end = view(PhaseName::Done, HostState::Done);
    end.counts = Counts { done: 3, ..Counts::default() };
    end.outcome = Some(outcome.clone());
    let answered = if outcome == Outcome::Partial { 2 } else { 3 };
    let missing = (answered..3).map(|n| format!("node{}", n + 1)).collect();
    let name = "all".to_owned();
    let all = ClusterSum { name, wanted: 3, answered, missing, without_host: 0, enough: 2 };
    end.sums = Some(Sums { clusters: vec![all], ..Sums::default() });
    [OperatorReply::View(Box::new(end)), OperatorReply::Over { outcome }]
}
