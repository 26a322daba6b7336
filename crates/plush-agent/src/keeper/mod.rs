//! A keeper: one small process per task that starts it, holds its output and its lease, and ends it.
//! Not the agent, which may die and come back while the keeper lives.

pub mod gate;
pub mod spool;
pub mod tree;
pub mod wire;

use crate::cgroup::TaskGroup;
use crate::clock::{self, Alarm};
use crate::record::{self, Started};
use crate::{processes, sys};
use plush_core::agent::{Blow, Ending, may_be_followed};
use plush_protocol::{Cause, CauseKind, Exit, StreamName, Tainted, TaskState};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{PidfdFlags, WaitIdOptions, WaitOptions};
use spool::{Taken, Writer};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use tree::Tree;
use wire::{
    Extent, FromKeeper, Launch, Mailbox, ToKeeper, WaitResult, encode, receive_with, send_with,
};

/// A disk that was full is tried again after so long.
const DISK_RETRY_MS: u64 = 1_000;
/// Processes that are no children of ours end without a word: so often somebody looks.
const STRANGERS_LOOK_MS: u64 = 1_000;
/// The pause between two rounds of killing.
const KILL_ROUND_MS: u64 = 50;
/// Processes that outlive so much killing are reported.
const UNKILLABLE_MS: u64 = 60_000;
/// How long an adopted task's exit status is awaited from the agent, who alone can have it.
const STATUS_WAIT_MS: u64 = 2_000;

/// Runs a keeper whose standard input is the socket to the agent. The working directory is the task's.
pub fn run() -> io::Result<()> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    let _it_is_a_leader_already = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut mailbox = Mailbox::default();
    let (message, fds) = receive_with(&socket, &mut mailbox)?;
    let ToKeeper::Launch(launch) = message else {
        return Err(io::Error::other("the first message is not a launch"));
    };
    let agent = Agent::new(socket.into(), mailbox);
    Keeper::start(*launch, fds, agent)?.keep()
}

struct Keeper {
    launch: Launch,
    /// Held as long as this process lives: who can take it knows that no keeper is there.
    _lock: OwnedFd,
    listener: UnixListener,
    agent: Option<Agent>,
    child_signals: OwnedFd,
    alarm: Alarm,
    streams: [Stream; 2],
    main: Main,
    tree: Tree,
    ending: Ending,
    killing: Option<Killing>,
    /// What is left cannot be killed: it is reported and not waited for.
    given_up: bool,
    /// The first process has ended, another incarnation may follow, and somebody of this one is left.
    clears: bool,
    started_ms: u64,
    /// When the program was executed, as seen from here.
    executed_us: Option<u64>,
    oom_kills: u64,
    /// The end could not be written down: it is tried again, and not told before.
    disk_refused: bool,
    end: Option<TaskState>,
}

/// The agent's connection.
struct Agent {
    socket: UnixStream,
    mailbox: Mailbox,
    /// What it was told last.
    grown: Option<[Extent; 2]>,
    /// What it has not read yet: a stopped agent must not stop its keepers.
    unsent: Vec<u8>,
}

struct Stream {
    name: StreamName,
    /// `None` once the last writer has closed.
    pipe: Option<OwnedFd>,
    writer: Writer,
}

/// The task's first process.
enum Main {
    /// The start is on record, the program not yet executed.
    AtGate {
        pid: u32,
        gate: UnixStream,
    },
    Running {
        pid: u32,
    },
    /// Not our child: watched by its descriptor.
    Adopted {
        pid: u32,
        watch: OwnedFd,
    },
    /// It is gone, and the agent may know how.
    Gone {
        since_ms: u64,
    },
    Ended {
        exit: Exit,
        ran_ms: u64,
        /// Where it was seen.
        ended_us: Option<u64>,
    },
    Never(Cause),
}

struct Killing {
    since_ms: u64,
    next_ms: u64,
}

impl Keeper {
    fn start(launch: Launch, fds: Vec<OwnedFd>, agent: Agent) -> io::Result<Keeper> {
        let mut fds = fds.into_iter();
        let mut take = || fds.next().ok_or_else(|| io::Error::other("a descriptor is missing"));
        let (lock, listener, out, err) = (take()?, take()?, take()?, take()?);
        let child_signals = sys::child_signals()?;
        let here = Path::new(".");
        let rule = &launch.spec.output;
        let stream = |name, pipe| {
            Writer::open(here, name, rule.clone()).map(|writer| Stream {
                name,
                pipe: Some(pipe),
                writer,
            })
        };
        let streams = [stream(StreamName::Out, out)?, stream(StreamName::Err, err)?];
        let now = clock::now_ms();
        let (main, tree, started_ms) = match &launch.adopt {
            Some(started) => (
                adopt(started, now),
                Tree::adopted(started, &launch, &streams_of(&streams)),
                started.at_ms,
            ),
            None => {
                let (main, tree) = release(&launch, take()?, take()?, now);
                (main, tree, now)
            }
        };
        let rule = launch.spec.stop.clone();
        let limit = launch.spec.time_limit_ms;
        let mut keeper = Keeper {
            ending: Ending::new(rule, limit, started_ms),
            launch,
            _lock: lock,
            listener: listener.into(),
            agent: Some(agent),
            child_signals,
            alarm: Alarm::new()?,
            streams,
            main,
            tree,
            killing: None,
            given_up: false,
            clears: false,
            started_ms,
            executed_us: None,
            oom_kills: oom_kills(),
            disk_refused: false,
            end: None,
        };
        keeper.listener.set_nonblocking(true)?;
        keeper.read_lease();
        Ok(keeper)
    }

    fn keep(mut self) -> io::Result<()> {
        // What came together with the launch.
        self.obey_all();
        loop {
            let now = clock::now_ms();
            if self.ending.lease_is_due(now) {
                self.read_lease();
            }
            if let Some(blow) = self.ending.decide(now) {
                self.strike(blow, now);
            }
            self.go_on_killing(now);
            self.retry_disk()?;
            self.disk_refused = self.settle(now).is_err();
            self.tell_growth();
            if self.end.is_some() && self.has_told_all() && self.nobody_is_awaited() {
                self.tree.dissolve(self.agent.is_some());
                return Ok(());
            }
            self.wait(now)?;
        }
    }

    /// Gives the disk once more what it refused.
    fn retry_disk(&mut self) -> io::Result<()> {
        for stream in self.streams.iter_mut().filter(|s| s.writer.is_stuck()) {
            match stream.writer.holds_bytes() {
                true => stream.writer.retry(),
                false => stream.read()?,
            }
        }
        Ok(())
    }

    /// Sleeps until something happens, then takes it in.
    fn wait(&mut self, now: u64) -> io::Result<()> {
        self.alarm.set(self.wake_at(now))?;
        let ready = {
            let mut fds = vec![
                PollFd::new(&self.alarm, PollFlags::IN),
                PollFd::new(&self.child_signals, PollFlags::IN),
                PollFd::new(&self.listener, PollFlags::IN),
            ];
            let mut sources = vec![Source::Alarm, Source::Child, Source::Listener];
            if let Some(agent) = &self.agent {
                let more =
                    if agent.unsent.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
                fds.push(PollFd::new(&agent.socket, PollFlags::IN | more));
                sources.push(Source::Agent);
            }
            match &self.main {
                Main::AtGate { gate, .. } => {
                    fds.push(PollFd::new(gate, PollFlags::IN));
                    sources.push(Source::Gate);
                }
                Main::Adopted { watch, .. } => {
                    fds.push(PollFd::new(watch, PollFlags::IN));
                    sources.push(Source::Watch);
                }
                Main::Running { .. } | Main::Gone { .. } | Main::Ended { .. } | Main::Never(_) => {}
            }
            for (index, stream) in self.streams.iter().enumerate() {
                if let Some(pipe) = stream.pipe.as_ref().filter(|_| stream.writer.wants_more()) {
                    fds.push(PollFd::new(pipe, PollFlags::IN));
                    sources.push(Source::Stream(index));
                }
            }
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => return Ok(()),
                Err(e) => return Err(e.into()),
            }
            let ready = fds.iter().zip(sources).filter(|(fd, _)| !fd.revents().is_empty());
            ready.map(|(_, source)| source).collect::<Vec<_>>()
        };
        for source in ready {
            self.take(source)?;
        }
        Ok(())
    }

    fn take(&mut self, source: Source) -> io::Result<()> {
        match source {
            Source::Alarm => self.alarm.quiet(),
            Source::Child => self.reap(),
            Source::Listener => self.accept(),
            Source::Agent => self.hear(),
            Source::Gate => self.gate_spoke(),
            Source::Watch => {
                // The agent may have said how a moment ago.
                if let Main::Adopted { .. } = self.main {
                    self.main = Main::Gone { since_ms: clock::now_ms() };
                }
            }
            Source::Stream(index) => self.streams[index].read()?,
        }
        Ok(())
    }

    fn wake_at(&self, now: u64) -> Option<u64> {
        let stuck = self.disk_refused || self.streams.iter().any(|s| s.writer.is_stuck());
        let gone = match self.main {
            Main::Gone { since_ms } => Some(since_ms + STATUS_WAIT_MS),
            _ => None,
        };
        let killing = self.killing.as_ref().map(|k| k.next_ms);
        let retry = stuck.then_some(now + DISK_RETRY_MS);
        let strays = ((self.end.is_some() || self.clears) && self.tree.has_strangers())
            .then_some(now + STRANGERS_LOOK_MS);
        [self.ending.wake_at(now), killing, retry, gone, strays].into_iter().flatten().min()
    }

    fn strike(&mut self, blow: Blow, now: u64) {
        match blow {
            Blow::Signal(signal) => {
                let main = self.main_pid();
                self.tree.signal(main, signal);
            }
            Blow::Kill => {
                self.killing = Some(Killing { since_ms: now, next_ms: now });
            }
        }
    }

    fn go_on_killing(&mut self, now: u64) {
        let Some(killing) = &mut self.killing else { return };
        if now < killing.next_ms {
            return;
        }
        killing.next_ms = now + KILL_ROUND_MS;
        let left = self.tree.kill();
        if left == 0 {
            self.killing = None;
        } else if now >= killing.since_ms + UNKILLABLE_MS {
            self.killing = None;
            self.give_up(left, now);
        }
    }

    /// Reports what does not die, and ends without it (F63).
    fn give_up(&mut self, left: usize, now: u64) {
        self.given_up = true;
        let (name, pids) = (&self.launch.spec.name, self.tree.names());
        self.tell(&FromKeeper::Unkillable(format!(
            "unkillable: {left} processes of {name}: {pids}"
        )));
        if self.main_pid().is_some() {
            let why = self.ending.why().map(str::to_owned);
            let exit = why.map_or(Exit::Lost, |why| Exit::Stopped { why });
            self.main = Main::Ended { exit, ran_ms: self.ran_ms(now), ended_us: None };
        }
    }

    fn nobody_is_awaited(&self) -> bool {
        self.given_up || self.tree.is_empty()
    }

    /// Writes the end down once everything about it is known, and only then tells it.
    fn settle(&mut self, now: u64) -> io::Result<()> {
        if self.end.is_some() {
            return Ok(());
        }
        if let Main::Gone { since_ms } = self.main
            && now >= since_ms + STATUS_WAIT_MS
        {
            let ran_ms = self.ran_ms(since_ms);
            self.main = Main::Ended { exit: Exit::Lost, ran_ms, ended_us: Some(since_ms * 1_000) };
        }
        let (exit, ran_ms, ended_us) = match &self.main {
            Main::Never(cause) => {
                let state = TaskState::NotStarted(cause.clone());
                // Without a record of a start nothing needs one of the end; a full disk is no reason for silence.
                if self.record_end(state.clone()).is_err() {
                    self.announce_end(state);
                }
                return Ok(());
            }
            Main::Ended { exit, ran_ms, ended_us } => (exit.clone(), *ran_ms, *ended_us),
            Main::AtGate { .. }
            | Main::Running { .. }
            | Main::Adopted { .. }
            | Main::Gone { .. } => {
                return Ok(());
            }
        };
        self.clears =
            !self.given_up && may_be_followed(&self.launch.spec, &exit) && !self.tree.is_empty();
        if self.clears {
            self.ending.ask("restart");
            return Ok(());
        }
        if self.given_up || (self.ending.why().is_some() && self.tree.is_empty()) {
            self.close_streams()?;
        }
        if self.streams.iter().any(|s| s.pipe.is_some() || s.writer.holds_bytes()) {
            return Ok(());
        }
        for stream in &mut self.streams {
            stream.writer.sync()?;
        }
        let [out, err] = &self.streams;
        let (out_bytes, err_bytes) = (out.writer.written(), err.writer.written());
        self.record_end(TaskState::Exited { exit, out_bytes, err_bytes, ran_ms, ended_us })
    }

    fn record_end(&mut self, state: TaskState) -> io::Result<()> {
        match record::save_reserved(Path::new("."), record::ENDED, &state) {
            // Somebody has removed the directory: nobody will ever look for a record in it.
            Err(_) if is_removed() => {}
            saved => saved?,
        }
        self.announce_end(state);
        Ok(())
    }

    fn announce_end(&mut self, state: TaskState) {
        self.tell_growth();
        self.end = Some(state.clone());
        self.tell(&FromKeeper::State(state));
    }

    /// The stop is complete: what lies in the pipes is the last of the output (O5).
    fn close_streams(&mut self) -> io::Result<()> {
        for stream in &mut self.streams {
            stream.drain()?;
        }
        Ok(())
    }

    fn reap(&mut self) {
        let _read = rustix::io::read(&self.child_signals, &mut [0u8; 1024][..]);
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = u32::try_from(pid.as_raw_nonzero().get()).expect("process ids are positive");
            let status = WaitResult::from(status);
            match self.main {
                Main::Running { pid: main } if main == pid => self.main_ended(status),
                Main::AtGate { pid: main, .. } if main == pid => {
                    self.gate_spoke();
                    if let Main::Running { .. } = self.main {
                        self.main_ended(status);
                    }
                }
                _ => {}
            }
        }
    }

    fn main_ended(&mut self, status: WaitResult) {
        let now_us = clock::now_us();
        let ran_ms = self.ran_ms(now_us / 1_000);
        let exit = match (self.ending.why(), status) {
            (Some(why), _) => Exit::Stopped { why: why.to_owned() },
            (None, WaitResult::Signal(signal)) => {
                Exit::Signal { signal, oom: signal == 9 && self.memory_ran_out() }
            }
            (None, WaitResult::Code(code)) => Exit::Code(code),
        };
        self.main = Main::Ended { exit, ran_ms, ended_us: Some(now_us) };
    }

    /// Counted from its exec or, where the exec was not seen, from its record or the instant that
    /// it waited for.
    fn ran_ms(&self, now_ms: u64) -> u64 {
        let due_ms = self.launch.spec.at_us.map_or(0, |us| us / 1_000);
        let executed = self.executed_us.map(|us| us / 1_000);
        now_ms.saturating_sub(executed.unwrap_or(self.started_ms.max(due_ms)))
    }

    /// Where the kernel counts per task it has the word. Elsewhere nobody says whom it has killed; a kill that we
    /// did not send, while it was killing, is its.
    fn memory_ran_out(&self) -> bool {
        match self.tree.oom_kills() {
            Some(kills) => kills > 0,
            None => oom_kills() > self.oom_kills,
        }
    }

    /// The gate's socket closed, by exec or by its death, or it says why it could not execute.
    fn gate_spoke(&mut self) {
        let Main::AtGate { pid, gate } = &mut self.main else { return };
        let (pid, mut said) = (*pid, Vec::new());
        let _end_or_error = gate.read_to_end(&mut said);
        if said.is_empty() {
            self.main = Main::Running { pid };
            self.executed_us = Some(clock::now_us());
            let since_us = self.executed_us;
            self.tell(&FromKeeper::State(TaskState::Running { pid, since_us }));
            return;
        }
        let cause = minicbor::decode(&said).unwrap_or_else(|_| Cause {
            kind: CauseKind::System,
            text: Tainted::new("execute a program: the gate's message is torn"),
        });
        self.main = Main::Never(cause);
    }

    fn accept(&mut self) {
        let Ok((socket, _)) = self.listener.accept() else { return };
        let pipe = |s: &Stream| s.pipe.as_ref().map(|p| p.try_clone());
        let pipes: Vec<OwnedFd> = self.streams.iter().filter_map(pipe).flatten().collect();
        let fds: Vec<BorrowedFd<'_>> = pipes.iter().map(AsFd::as_fd).collect();
        let hello = encode(&FromKeeper::Attached(self.state()));
        if socket.set_nonblocking(false).is_ok() && send_with(&socket, &hello, &fds).is_ok() {
            self.agent = Some(Agent::new(socket, Mailbox::default()));
        }
    }

    fn hear(&mut self) {
        self.send();
        let Some(agent) = &mut self.agent else { return };
        let mut bytes = [0u8; 4096];
        match rustix::net::recv(&agent.socket, &mut bytes[..], RecvFlags::DONTWAIT) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Ok((n, _)) if n > 0 => {
                agent.mailbox.push(&bytes[..n]);
                self.obey_all();
            }
            Ok(_) | Err(_) => {
                self.agent = None;
                self.read_lease();
            }
        }
    }

    fn obey_all(&mut self) {
        while let Some(Ok(Some(message))) = self.agent.as_mut().map(|a| a.mailbox.take()) {
            self.obey(message);
        }
    }

    fn obey(&mut self, message: ToKeeper) {
        match message {
            ToKeeper::Launch(_) => {}
            ToKeeper::Stop { why } => {
                self.ending.ask(why);
                // Nothing is left to be asked politely: only strays of an ended task.
                if self.end.is_some() && self.killing.is_none() {
                    let now = clock::now_ms();
                    self.killing = Some(Killing { since_ms: now, next_ms: now });
                }
            }
            ToKeeper::Signal(signal) => {
                let main = self.main_pid();
                self.tree.signal(main, signal);
            }
            ToKeeper::Durable { stream, offset } => {
                let stream = self.streams.iter_mut().find(|s| s.name == stream);
                stream.expect("a keeper has both streams").writer.durable(offset);
            }
            ToKeeper::Reaped(status) => {
                if let Main::Adopted { .. } | Main::Gone { .. } = self.main {
                    self.main_ended(status);
                }
            }
        }
    }

    /// A lease that cannot be read is as it was read last.
    fn read_lease(&mut self) {
        if let Some(lease) = record::load_lease(Path::new("../..")) {
            self.ending.lease(lease.deadline());
        }
    }

    fn main_pid(&self) -> Option<u32> {
        match &self.main {
            Main::AtGate { pid, .. } | Main::Running { pid } | Main::Adopted { pid, .. } => {
                Some(*pid)
            }
            Main::Gone { .. } | Main::Ended { .. } | Main::Never(_) => None,
        }
    }

    fn state(&self) -> TaskState {
        match (&self.end, &self.main) {
            (Some(end), _) => end.clone(),
            (None, Main::AtGate { .. } | Main::Never(_)) => TaskState::Starting,
            (None, Main::Running { pid } | Main::Adopted { pid, .. }) => {
                TaskState::Running { pid: *pid, since_us: self.executed_us }
            }
            // It ended, but somebody still holds its output: to the outside it runs.
            (None, Main::Gone { .. } | Main::Ended { .. }) => {
                TaskState::Running { pid: 0, since_us: None }
            }
        }
    }

    fn tell_growth(&mut self) {
        let extent = |s: &Stream| Extent { written: s.writer.written(), closed: s.is_closed() };
        let grown = [extent(&self.streams[0]), extent(&self.streams[1])];
        let Some(agent) = &mut self.agent else { return };
        // Growth that is not taken up is not told again and again: the newest word holds all.
        if agent.grown != Some(grown) && agent.unsent.is_empty() {
            agent.grown = Some(grown);
            self.tell(&FromKeeper::Grown { out: grown[0], err: grown[1] });
        }
    }

    fn tell(&mut self, message: &FromKeeper) {
        if let Some(agent) = &mut self.agent {
            agent.unsent.extend(encode(message));
            self.send();
        }
    }

    /// Sends what the agent can take now.
    fn send(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        while !agent.unsent.is_empty() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&agent.socket, &agent.unsent, flags) {
                Ok(count) => drop(agent.unsent.drain(..count)),
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => {
                    self.agent = None;
                    self.read_lease();
                    return;
                }
            }
        }
    }

    fn has_told_all(&self) -> bool {
        self.agent.as_ref().is_none_or(|agent| agent.unsent.is_empty())
    }
}

impl Agent {
    fn new(socket: UnixStream, mailbox: Mailbox) -> Agent {
        Agent { socket, mailbox, grown: None, unsent: Vec::new() }
    }
}

enum Source {
    Alarm,
    Child,
    Listener,
    Agent,
    Gate,
    Watch,
    Stream(usize),
}

impl Stream {
    fn is_closed(&self) -> bool {
        self.pipe.is_none() && !self.writer.holds_bytes()
    }

    fn read(&mut self) -> io::Result<()> {
        let Some(pipe) = &self.pipe else { return Ok(()) };
        match self.writer.take(pipe)? {
            Taken::Some => {}
            Taken::End => self.pipe = None,
        }
        Ok(())
    }

    /// Takes what is there and closes.
    fn drain(&mut self) -> io::Result<()> {
        while let Some(pipe) = self.pipe.as_ref().filter(|_| !self.writer.is_stuck()) {
            let mut fds = [PollFd::new(pipe, PollFlags::IN)];
            let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
            if poll(&mut fds, Some(&now))? == 0 || !fds[0].revents().contains(PollFlags::IN) {
                self.pipe = None;
            } else {
                self.read()?;
            }
        }
        Ok(())
    }
}

fn streams_of(streams: &[Stream; 2]) -> Vec<BorrowedFd<'_>> {
    streams.iter().filter_map(|s| s.pipe.as_ref()).map(AsFd::as_fd).collect()
}

/// Makes the process, writes its start down, and lets it through the gate (faults 6.1).
fn release(launch: &Launch, out: OwnedFd, err: OwnedFd, now: u64) -> (Main, Tree) {
    match try_release(launch, out, err, now) {
        Ok((pid, gate, group)) => (Main::AtGate { pid, gate }, Tree::own(Some(pid), group)),
        Err(e) => {
            let never = Main::Never(gate::cause(&e, format!("start {}", launch.spec.name)));
            (never, Tree::own(None, TaskGroup::of(launch)))
        }
    }
}

fn try_release(
    launch: &Launch,
    out: OwnedFd,
    err: OwnedFd,
    now: u64,
) -> io::Result<(u32, UnixStream, Option<TaskGroup>)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new(sys::program())
        .arg("gate")
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(out))
        .stderr(Stdio::from(err))
        .spawn()?;
    let pid = child.id();
    let start_ticks = processes::look(pid).map_or(0, |p| p.start_ticks);
    // It has executed nothing yet, so nothing of it is outside. A host that refuses has the subreaper's guarantee.
    let group = TaskGroup::of(launch).filter(|group| group.admit(pid).is_ok());
    let name = group.as_ref().map(|group| group.path().to_string_lossy().into_owned());
    let boot_id = clock::boot_id();
    let started = Started { pid, start_ticks, boot_id, at_ms: now, group: name };
    record::reserve(Path::new("."), record::ENDED)?;
    record::save_value(Path::new("."), record::STARTED, &started)?;
    send_with(&ours, &encode(launch), &[])?;
    Ok((pid, ours, group))
}

fn adopt(started: &Started, now: u64) -> Main {
    let pid = i32::try_from(started.pid).ok().and_then(rustix::process::Pid::from_raw);
    let watch = pid.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
    let same = processes::look(started.pid).is_some_and(|p| p.start_ticks == started.start_ticks);
    match watch {
        Some(watch) if same => Main::Adopted { pid: started.pid, watch },
        _ => Main::Gone { since_ms: now },
    }
}

/// The task's directory has no name any more.
fn is_removed() -> bool {
    rustix::fs::stat(".").is_ok_and(|here| here.st_nlink == 0)
}

/// Processes that this host's kernel has killed for memory since it booted.
fn oom_kills() -> u64 {
    let vmstat = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = vmstat.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// Whether this process has no child at all, living or zombie.
fn is_childless() -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(
        rustix::process::waitid(rustix::process::WaitId::All, look),
        Err(rustix::io::Errno::CHILD)
    )
}
