//! Keepers and programs: a task from its fork to its end's record.
//! Not when a task is started or stopped: the agent says so.

use super::World;
use super::agent::task_record;
use super::host::{Process, ProcessStage, Record, Script};
use super::queue::TaskStep;
use crate::faults::Sabotage;
use plush_core::Millis;
use plush_core::agent::{Blow, Ending, Event};
use plush_core::plan::HostId;
use plush_protocol::{
    Cause, CauseKind, Exit, Program, StreamName, Tainted, TaskKey, TaskSpec, TaskState,
};

/// Time that a host's disk needs for a record.
const RECORD_MS: Millis = 3;
/// Shares in which a program writes its output.
const WRITES: u64 = 3;

impl World {
    pub(crate) fn fork(&mut self, host: HostId, key: TaskKey, spec: &TaskSpec) {
        let lot = self.chance.draw();
        let words: &[String] = match &spec.program {
            Program::Argv(words) => words,
            Program::Shell(_) => &[],
        };
        let there = &mut self.hosts[host.index()];
        let clock = there.clock(self.now);
        let mut ending = Ending::new(spec.stop.clone(), spec.time_limit_ms, clock);
        ending.lease(there.disk.lease.as_ref().and_then(|(_, lease)| lease.deadline()));
        let process = Process {
            stage: ProcessStage::Forked,
            kept: true,
            ending,
            wake_set: None,
            script: Script::read(words, lot),
            began_at: self.now,
        };
        self.checks.forked(self.now, host, key, words, &spec.cluster, &spec.name);
        there.processes.insert(key, process);
        let early = self.sabotage == Sabotage::ExecBeforeRecord;
        self.task_later(
            host,
            RECORD_MS,
            key,
            if early { TaskStep::Exec } else { TaskStep::Recorded },
        );
    }

    pub(crate) fn task_step(&mut self, host: HostId, key: TaskKey, step: TaskStep) {
        let there = &mut self.hosts[host.index()];
        let Some(process) = there.processes.get_mut(&key) else { return };
        match step {
            TaskStep::Recorded => {
                process.stage = ProcessStage::Recorded;
                there.disk.records.insert(key, Record::Started);
                self.task_later(host, 1, key, TaskStep::Exec);
                if self.sabotage == Sabotage::StartTwice {
                    self.task_later(host, 2, key, TaskStep::Exec);
                }
            }
            TaskStep::Exec => self.exec(host, key),
            TaskStep::Write { share } => self.write(host, key, share),
            TaskStep::Return if process.stage == ProcessStage::Running => {
                self.program_ends(host, key)
            }
            TaskStep::Struck if process.stage == ProcessStage::Running => {
                self.program_ends(host, key)
            }
            TaskStep::Return | TaskStep::Struck => {}
            TaskStep::Buried => self.bury(host, key),
            TaskStep::KeeperWake => {
                process.wake_set = None;
                self.strike(host, key);
            }
        }
    }

    fn exec(&mut self, host: HostId, key: TaskKey) {
        let there = &mut self.hosts[host.index()];
        let fails = there.exec_fails;
        let process = there.processes.get_mut(&key).expect("the step is that of a process");
        if fails || process.ending.why().is_some() {
            let kind = if fails { CauseKind::Exec } else { CauseKind::Cancelled };
            let cause = Cause { kind, text: Tainted::new("cannot execute `sim`") };
            let state = TaskState::NotStarted(cause);
            there.processes.remove(&key);
            there.disk.records.insert(key, Record::Over(state.clone()));
            self.tell_agent(host, Event::Task(task_record(key, state, false)));
            return;
        }
        process.stage = ProcessStage::Running;
        process.began_at = self.now;
        let (script, kept) = (process.script, process.kept);
        let recorded = there.disk.records.contains_key(&key);
        self.checks.executed(self.now, &self.hosts, host, key, recorded);
        for share in 1..=WRITES {
            let at = script.runs_ms * share / WRITES;
            self.task_later(host, at, key, TaskStep::Write { share });
        }
        self.task_later(host, script.runs_ms, key, TaskStep::Return);
        let state = TaskState::Running { pid: key.task, since_us: None };
        self.tell_agent(host, Event::Task(task_record(key, state, !kept)));
        self.strike(host, key);
    }

    fn write(&mut self, host: HostId, key: TaskKey, share: u64) {
        let there = &mut self.hosts[host.index()];
        let Some(process) = there.processes.get(&key) else { return };
        if process.stage != ProcessStage::Running {
            return;
        }
        let script = process.script;
        for (stream, bytes) in
            [(StreamName::Out, script.out_bytes), (StreamName::Err, script.err_bytes)]
        {
            let spool = there.disk.spools.entry((key, stream)).or_default();
            // What was written before is on the disk by now.
            spool.synced = spool.length;
            spool.length = bytes * share / WRITES;
        }
        self.pump_links(host, key, StreamName::Out);
        self.pump_links(host, key, StreamName::Err);
    }

    fn program_ends(&mut self, host: HostId, key: TaskKey) {
        let there = &mut self.hosts[host.index()];
        let process = there.processes.get_mut(&key).expect("the step is that of a process");
        process.stage = ProcessStage::Ended;
        self.task_later(host, RECORD_MS, key, TaskStep::Buried);
    }

    /// The end's record is durable; whoever is there hears of it.
    fn bury(&mut self, host: HostId, key: TaskKey) {
        let there = &mut self.hosts[host.index()];
        let process = there.processes.remove(&key).expect("the step is that of a process");
        if !process.kept && there.agent.is_none() {
            return;
        }
        let exit = match process.ending.why() {
            Some(why) => Exit::Stopped { why: why.to_owned() },
            None => Exit::Code(process.script.code),
        };
        let mut length = |stream| {
            let spool = there.disk.spools.entry((key, stream)).or_default();
            spool.synced = spool.length;
            spool.length
        };
        let (out_bytes, err_bytes) = (length(StreamName::Out), length(StreamName::Err));
        let ran_ms = self.now - process.began_at;
        self.checks.ended(key, &exit);
        let exit = match (self.sabotage, exit) {
            (Sabotage::WrongExit, Exit::Code(code)) => Exit::Code(code + 1),
            (_, exit) => exit,
        };
        let state = TaskState::Exited { exit, out_bytes, err_bytes, ran_ms };
        there.disk.records.insert(key, Record::Over(state.clone()));
        self.tell_agent(host, Event::Task(task_record(key, state, !process.kept)));
    }

    pub(crate) fn stop_task(&mut self, host: HostId, key: TaskKey, why: &str) {
        if let Some(process) = self.hosts[host.index()].processes.get_mut(&key) {
            process.ending.ask(why);
            self.strike(host, key);
        }
    }

    /// A signal from outside: the simulator's programs take it as they take a stop.
    pub(crate) fn signal(&mut self, host: HostId, key: TaskKey, _signal: i32) {
        let process = self.hosts[host.index()].processes.get(&key);
        if process.is_some_and(|p| p.stage == ProcessStage::Running && !p.script.ignores_signals) {
            self.task_later(host, 5, key, TaskStep::Return);
        }
    }

    /// Keepers read the new deadline.
    pub(crate) fn lease_saved(&mut self, host: HostId) {
        let there = &mut self.hosts[host.index()];
        let until = there.disk.lease.as_ref().and_then(|(_, lease)| lease.deadline());
        let keys: Vec<TaskKey> = there.processes.keys().copied().collect();
        for process in there.processes.values_mut() {
            process.ending.lease(until);
        }
        keys.into_iter().for_each(|key| self.strike(host, key));
    }

    /// The keeper, or who has adopted the program, does what the ending's rules say.
    fn strike(&mut self, host: HostId, key: TaskKey) {
        let there = &mut self.hosts[host.index()];
        let clock = there.clock(self.now);
        let agent_lives = there.agent.is_some();
        let Some(process) = there.processes.get_mut(&key) else { return };
        if process.stage != ProcessStage::Running || !(process.kept || agent_lives) {
            return;
        }
        let (blow, ignores) = (process.ending.decide(clock), process.script.ignores_signals);
        let wake = process.ending.wake_at(clock);
        match blow {
            Some(Blow::Signal(_)) if ignores => {}
            Some(Blow::Signal(_)) => self.task_later(host, 10, key, TaskStep::Struck),
            Some(Blow::Kill) => self.task_later(host, 1, key, TaskStep::Struck),
            None => {}
        }
        self.wake_keeper_later(host, key, wake);
    }

    fn wake_keeper_later(&mut self, host: HostId, key: TaskKey, wake: Option<Millis>) {
        let there = &mut self.hosts[host.index()];
        let (boot, Some(wake)) = (there.boot, wake) else { return };
        let at = there.world_time(wake).max(self.now + 1);
        let Some(process) = there.processes.get_mut(&key) else { return };
        if process.wake_set.is_none_or(|set| set > at) {
            process.wake_set = Some(at);
            let what = super::queue::OnHost::Task { key, step: TaskStep::KeeperWake };
            self.queue.add(at, super::Happening::OnHost { host, boot, what });
        }
    }
}
