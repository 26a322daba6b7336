//! A small controller for tests: starts the real agent through its bridge and speaks the protocol with it.
//! Not the product's controller, so that a mistake is not made twice.

use plush_protocol::*;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command as Program, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

pub const AGENT: &str = env!("CARGO_BIN_EXE_plush-agent");
/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A host that is a directory.
pub struct Host {
    pub dir: tempfile::TempDir,
    pub run: String,
}

/// What a controller remembers over connections.
pub struct Memory {
    pub epoch: u64,
    pub session: u64,
    pub received: u64,
    pub sent: u64,
    pub streams: BTreeMap<(TaskKey, StreamName), Stream>,
    pub records: BTreeMap<TaskKey, TaskRecord>,
    pub reports: Vec<Report>,
    pub stop_after_ms: Option<u64>,
    /// Told to the agent as received and durable as soon as it comes.
    pub acknowledge_output: bool,
    pub keep_bytes: bool,
    /// Packages that can be pushed, by digest.
    pub blobs: BTreeMap<String, Vec<u8>>,
}

#[derive(Default)]
pub struct Stream {
    pub bytes: Vec<u8>,
    pub received: u64,
    pub hash: blake3::Hasher,
    pub gaps: Vec<(u64, u64)>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            epoch: 1,
            session: 0,
            received: 0,
            sent: 0,
            streams: BTreeMap::new(),
            records: BTreeMap::new(),
            reports: Vec::new(),
            stop_after_ms: Some(3_600_000),
            acknowledge_output: true,
            keep_bytes: true,
            blobs: BTreeMap::new(),
        }
    }
}

/// A connection through a bridge.
pub struct Client {
    pub bridge: Child,
    to: Option<ChildStdin>,
    from: Receiver<ToController>,
    pub memory: Memory,
    pub hello: AgentHello,
}

impl Host {
    pub fn new() -> Host {
        Host { dir: tempfile::tempdir().unwrap(), run: "run1".into() }
    }

    pub fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    pub fn run_dir(&self) -> PathBuf {
        self.base().join("runs").join(&self.run)
    }

    pub fn task_dir(&self, key: TaskKey) -> PathBuf {
        self.run_dir().join(format!("tasks/{}.{}", key.task, key.incarnation))
    }

    pub fn cluster_dir(&self) -> PathBuf {
        self.run_dir().join("clusters/c")
    }

    pub fn connect(&self) -> Client {
        self.connect_with(Memory::default())
    }

    pub fn connect_with(&self, memory: Memory) -> Client {
        Client::open(Path::new(AGENT), &self.base(), &self.run, memory)
    }

    /// The agent's file: a copy of the host's own, if it has one.
    pub fn agent(&self) -> PathBuf {
        let own = self.dir.path().join("agent");
        if own.exists() { own } else { AGENT.into() }
    }

    /// A host whose processes see no control groups, so that subreapers are all there is. Needs root.
    pub fn connect_without_groups(&self, memory: Memory) -> Client {
        let mut bridge = Program::new("unshare");
        let hide =
            "awk '$3 == \"cgroup2\" { print $2 }' /proc/mounts | xargs -r umount -l; exec \"$@\"";
        bridge.args(["--mount", "--propagation", "private", "sh", "-c", hide, "sh", AGENT]);
        bridge.args(["bridge", "--run", &self.run, "--host", "h1", "--base"]).arg(self.base());
        let client = Client::over(bridge, &self.run, memory);
        assert_eq!(client.hello.facts.guarantee, Guarantee::Subreaper);
        client
    }

    /// The keeper of a task: the parent of its first process.
    pub fn keeper_of(&self, task_pid: u32) -> u32 {
        stat(task_pid).unwrap()[1].parse().unwrap()
    }
}

impl Client {
    pub fn open(agent: &Path, base: &Path, run: &str, memory: Memory) -> Client {
        let mut bridge = Program::new(agent);
        bridge.args(["bridge", "--run", run, "--host", "h1", "--base"]).arg(base);
        Client::over(bridge, run, memory)
    }

    pub fn over(mut bridge: Program, run: &str, mut memory: Memory) -> Client {
        let mut bridge = bridge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let to = bridge.stdin.take();
        let mut output = bridge.stdout.take().unwrap();
        let (sender, from) = sync_channel(4);
        std::thread::spawn(move || {
            let mut frames = Frames::new();
            let mut bytes = vec![0; 256 << 10];
            while let Ok(n) = output.read(&mut bytes) {
                if n == 0 {
                    return;
                }
                frames.push(&bytes[..n]);
                while let Some(message) = ToController::next(&mut frames).unwrap() {
                    if sender.send(message).is_err() {
                        return;
                    }
                }
            }
        });
        let hello = ToAgent::Hello(ControllerHello {
            version: PROTOCOL_VERSION,
            run: run.into(),
            epoch: memory.epoch,
            session: memory.session,
            received: memory.received,
            stop_after_ms: memory.stop_after_ms,
            host: "h1".into(),
            controller: "a test".into(),
        });
        let nothing = AgentHello {
            version: 0,
            session: 0,
            received: 0,
            epoch: 0,
            facts: Facts::default(),
            refusal: None,
            clock_us: None,
        };
        let mut client = Client { bridge, to, from, memory: Memory::default(), hello: nothing };
        client.send(&hello);
        let ToController::Hello(hello) = client.receive() else { panic!("no hello") };
        if hello.session != memory.session {
            (memory.session, memory.received, memory.sent) = (hello.session, 0, 0);
        }
        client.hello = *hello;
        let open: Vec<_> = memory.streams.keys().copied().collect();
        client.memory = memory;
        open.into_iter().for_each(|(key, stream)| client.acknowledge(key, stream));
        client
    }

    pub fn send(&mut self, message: &ToAgent) {
        let mut bytes = Vec::new();
        message.write(&mut bytes).unwrap();
        self.to.as_mut().unwrap().write_all(&bytes).unwrap();
    }

    pub fn receive(&mut self) -> ToController {
        self.from.recv_timeout(PATIENCE).expect("the agent says something")
    }

    pub fn command(&mut self, command: Command) {
        self.memory.sent += 1;
        self.send(&ToAgent::Command(self.memory.sent, command));
    }

    pub fn start(&mut self, key: TaskKey, spec: TaskSpec) {
        self.command(Command::Start { key, spec: Box::new(spec) });
        self.open_streams(key);
    }

    /// Lets the agent send output of a task.
    pub fn open_streams(&mut self, key: TaskKey) {
        for stream in [StreamName::Out, StreamName::Err] {
            self.memory.streams.entry((key, stream)).or_default();
        }
    }

    pub fn acknowledge(&mut self, key: TaskKey, stream: StreamName) {
        let received = self.memory.streams[&(key, stream)].received;
        let ack = OutputAck { key, stream, received, durable: received };
        self.send(&ToAgent::OutputAck(ack));
    }

    /// Takes one message in, as a controller would.
    pub fn step(&mut self) {
        let message = self.receive();
        self.absorb(message);
    }

    pub fn absorb(&mut self, message: ToController) {
        match message {
            ToController::Report(number, report) => {
                assert_eq!(number, self.memory.received + 1, "N4: reports come in order, once");
                self.memory.received = number;
                match &report {
                    Report::Task(record) => self.learn(record.clone()),
                    Report::Inventory { tasks, .. } => {
                        tasks.iter().for_each(|record| self.learn(record.clone()));
                    }
                    _ => {}
                }
                self.memory.reports.push(report);
                let _closing = self.to.as_mut().unwrap().write_all(&{
                    let mut bytes = Vec::new();
                    ToAgent::Ack(number).write(&mut bytes).unwrap();
                    bytes
                });
            }
            ToController::OutputPart(part) => self.output(part),
            ToController::OutputGap(gap) => {
                let stream = self.memory.streams.get_mut(&(gap.key, gap.stream)).unwrap();
                assert_eq!(gap.from, stream.received, "O2: gaps and bytes tile the stream");
                stream.gaps.push((gap.from, gap.to));
                stream.received = gap.to;
                if self.memory.acknowledge_output {
                    self.acknowledge(gap.key, gap.stream);
                }
            }
            ToController::BlobWant(want) => {
                let blob = self.memory.blobs.get(&want.blake3);
                let bytes = blob.map_or(Vec::new(), |blob| {
                    let from = (want.offset as usize).min(blob.len());
                    blob[from..(from + want.length as usize).min(blob.len())].to_vec()
                });
                let part = BlobPart { blake3: want.blake3, offset: want.offset, bytes };
                self.send(&ToAgent::BlobPart(part));
            }
            ToController::Pong(pong) => self.send(&ToAgent::Renew(pong.clock_us)),
            ToController::Ack(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }

    fn learn(&mut self, record: TaskRecord) {
        let key = record.key;
        let fresh = !self.memory.records.contains_key(&key);
        self.memory.records.insert(key, record);
        if fresh && self.memory.streams.contains_key(&(key, StreamName::Out)) {
            self.acknowledge(key, StreamName::Out);
            self.acknowledge(key, StreamName::Err);
        }
    }

    fn output(&mut self, part: OutputPart) {
        let keep = self.memory.keep_bytes;
        let stream = self.memory.streams.get_mut(&(part.key, part.stream)).expect("O6: opened");
        assert_eq!(part.offset, stream.received, "O1: output comes in order, without holes");
        stream.received += part.bytes.len() as u64;
        stream.hash.update(&part.bytes);
        if keep {
            stream.bytes.extend(part.bytes);
        }
        if self.memory.acknowledge_output {
            self.acknowledge(part.key, part.stream);
        }
    }

    /// Steps until something is true.
    pub fn until(&mut self, what: &str, done: impl Fn(&Memory) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&self.memory) {
            assert!(Instant::now() < deadline, "waiting for {what}: {:?}", self.memory.records);
            self.step();
        }
    }

    /// Takes in whatever comes for a while.
    pub fn listen(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.from.recv_timeout(left) {
                Ok(message) => self.absorb(message),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    pub fn running(&mut self, key: TaskKey) -> u32 {
        let running = |memory: &Memory| match memory.records.get(&key).map(|r| &r.state) {
            Some(TaskState::Running { pid, .. }) => Some(*pid),
            Some(TaskState::Starting) | None => None,
            Some(other) => panic!("{key:?} does not run: {other:?}"),
        };
        self.until("a task that runs", |memory| running(memory).is_some());
        running(&self.memory).unwrap()
    }

    /// The end of a task, and all its output.
    pub fn finished(&mut self, key: TaskKey) -> Exit {
        self.until("a task that ended", |memory| end_of(memory, key).is_some());
        let (exit, out, err) = end_of(&self.memory, key).unwrap();
        self.until("the rest of the output", |memory| {
            memory.streams[&(key, StreamName::Out)].received == out
                && memory.streams[&(key, StreamName::Err)].received == err
        });
        exit
    }

    pub fn not_started(&mut self, key: TaskKey) -> Cause {
        let cause = |memory: &Memory| match memory.records.get(&key).map(|r| &r.state) {
            Some(TaskState::NotStarted(cause)) => Some(cause.clone()),
            Some(TaskState::Exited { exit, .. }) => panic!("{key:?} ran: {exit:?}"),
            _ => None,
        };
        self.until("a task that never ran", |memory| cause(memory).is_some());
        cause(&self.memory).unwrap()
    }

    pub fn stop(&mut self, key: TaskKey) {
        self.command(Command::Stop { key, why: "stop".into() });
    }

    pub fn out(&self, key: TaskKey) -> &[u8] {
        &self.memory.streams[&(key, StreamName::Out)].bytes
    }

    pub fn err(&self, key: TaskKey) -> &[u8] {
        &self.memory.streams[&(key, StreamName::Err)].bytes
    }

    pub fn clean_up(&mut self, keep_cache: bool) -> Report {
        self.command(Command::CleanUp {
            commands: Vec::new(),
            keep_work: false,
            keep_cache,
            line_limit_ms: 10_000,
        });
        self.cleaned()
    }

    pub fn cleaned(&mut self) -> Report {
        let is_cleaned = |r: &&Report| matches!(r, Report::Cleaned { .. });
        self.until("the clean-up", |memory| memory.reports.iter().any(|r| is_cleaned(&r)));
        self.memory.reports.iter().rfind(is_cleaned).unwrap().clone()
    }

    /// After a clean-up: the agent ends by itself once its last report is acknowledged, and the bridge with it.
    pub fn leave(mut self) {
        assert!(self.bridge.wait().unwrap().success());
        gone(self.hello.facts.agent_pid);
    }

    /// Cuts the connection; what the controller knows remains.
    pub fn cut(mut self) -> Memory {
        self.bridge.kill().unwrap();
        self.bridge.wait().unwrap();
        std::mem::take(&mut self.memory)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ended = self.bridge.kill();
        let _ended = self.bridge.wait();
        if self.hello.facts.agent_pid != 0 && std::thread::panicking() {
            let _gone = kill(self.hello.facts.agent_pid, 9);
        }
    }
}

fn end_of(memory: &Memory, key: TaskKey) -> Option<(Exit, u64, u64)> {
    match memory.records.get(&key).map(|r| &r.state) {
        Some(TaskState::Exited { exit, out_bytes, err_bytes, .. }) => {
            Some((exit.clone(), *out_bytes, *err_bytes))
        }
        Some(TaskState::NotStarted(cause)) => panic!("{key:?} never ran: {cause:?}"),
        _ => None,
    }
}

pub fn key(task: u32) -> TaskKey {
    TaskKey { task, incarnation: 1 }
}

pub fn shell(line: &str) -> TaskSpec {
    spec(plush_protocol::Program::line(line))
}

/// Eight processes that ignore SIGTERM and are gone before anybody has looked twice: each forks and exits.
pub fn bomb() -> TaskSpec {
    shell(
        "exec perl -e '$SIG{TERM} = \"IGNORE\"; $| = 1; for (1..7) { fork or last } print \"go\\n\"; \
         while (1) { my $pid = fork; exit if $pid; select(undef, undef, undef, 0.01) unless defined $pid }'",
    )
}

pub fn spec(program: plush_protocol::Program) -> TaskSpec {
    TaskSpec {
        name: "p".into(),
        cluster: "c".into(),
        program,
        environment: Vec::new(),
        directory: String::new(),
        stdin: Stdin::Null,
        time_limit_ms: None,
        stop: StopRule { signal: 15, grace_ms: 500 },
        limits: ResourceLimits::default(),
        output: OutputRule::default(),
        success_codes: vec![0],
        at_us: None,
        restart: None,
        probes: Vec::new(),
        unhealthy: Unhealthy::End,
    }
}

/// Fields of `/proc/PID/stat` from the state on.
pub fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text[text.rfind(')')? + 2..].split(' ').map(str::to_owned).collect())
}

pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z")
}

pub fn kill(pid: u32, signal: i32) -> std::io::Result<()> {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// Waits until a process is gone, by its descriptor.
pub fn gone(pid: u32) {
    let raw = rustix::process::Pid::from_raw(pid as i32).unwrap();
    let Ok(fd) = rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty()) else {
        return;
    };
    let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    let patience = rustix::time::Timespec { tv_sec: 20, tv_nsec: 0 };
    let ended = rustix::event::poll(&mut fds, Some(&patience)).unwrap();
    assert_eq!(ended, 1, "process {pid} is still there: {:?}", stat(pid));
}

pub fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Pids whose command line or environment holds a text.
pub fn processes_with(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let holds = |file: &str| {
            std::fs::read(entry.path().join(file))
                .is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes()))
        };
        if pid != std::process::id() && is_alive(pid) && (holds("cmdline") || holds("environ")) {
            found.push(pid);
        }
    }
    found
}
