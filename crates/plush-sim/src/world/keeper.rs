//! Keepers and programs: a task from its fork to its end's record.
//! Not when a task is started or stopped: the agent says so.

use super::World;
use super::agent::task_record;
use super::controller::exclusive_place;
use super::host::{Process, ProcessStage, Record};
use super::queue::TaskStep;
use super::visits::Visitor;
use crate::faults::Sabotage;
use plush_core::Millis;
use plush_core::agent::{Blow, Ending, Event};
use plush_core::plan::HostId;
use plush_protocol::{
    Cause, CauseKind, Exit, HostState, StreamName, Tainted, TaskKey, TaskSpec, TaskState,
};

/// Time that a host's disk needs for a record.
const RECORD_MS: Millis = 3;
/// Shares in which a program writes its output.
const WRITES: u64 = 3;
/// What a flooding program writes: more than a window, in parts of which some are cut.
const FLOOD_BYTES: u64 = (3 << 19) + 77;
/// A program that cannot write tries again after so long: a pipe's reader has its own pace.
const FULL_AGAIN_MS: Millis = 500;

impl World {
    pub(crate) fn fork(&mut self, host: HostId, key: TaskKey, spec: &TaskSpec) {
        let mut script = self.nature.script(spec, &mut self.chance);
        let words = self.nature.words(spec);
        let there = &mut self.hosts[host.index()];
        let clock = there.clock(self.now);
        let mut ending = Ending::new(spec.stop.clone(), spec.time_limit_ms, clock);
        ending.lease(there.disk.lease.as_ref().and_then(|(_, lease)| lease.deadline()));
        script.escapes |= there.programs_escape;
        if there.programs_flood {
            script.out_bytes += FLOOD_BYTES;
        }
        let process = Process {
            stage: ProcessStage::Forked,
            kept: true,
            ending,
            wake_set: None,
            script,
            began_at: self.now,
            grace_ms: spec.stop.grace_ms,
            killed_at: None,
            visitor: Visitor::read(words),
            place: exclusive_place(&self.controller.plan, spec, words),
        };
        self.checks.begins(self.now, host, key);
        let run = &self.controller.run;
        let serves = |host: HostId| {
            matches!(
                run.host_states().nth(host.index()),
                Some(
                    HostState::Connecting
                        | HostState::Preparing
                        | HostState::Ready
                        | HostState::Running
                        | HostState::Stopping
                )
            )
        };
        if let Some(rank) = words.get(6) {
            let seat = (format!("{}/{}", spec.cluster, spec.name), rank.clone());
            let hears = self.controller.open_link(host, &self.links).is_some();
            self.checks.forked(self.now, (host, hears), key, seat, serves);
        }
        there.processes.insert(key, process);
        there.disk.specs.insert(key, (spec.clone(), there.boot, clock));
        if !there.cannot_write() {
            there.disk.write_record(key, Record::Started);
        }
        let early = self.sabotage == Sabotage::ExecBeforeRecord;
        let next = if early { TaskStep::Exec } else { TaskStep::Recorded };
        self.task_later(host, RECORD_MS, key, next);
    }

    pub(crate) fn task_step(&mut self, host: HostId, key: TaskKey, step: TaskStep) {
        let there = &mut self.hosts[host.index()];
        let Some(process) = there.processes.get_mut(&key) else { return };
        match step {
            TaskStep::Recorded if there.disk_full || there.disk_broken => {
                there.disk.records.remove(&key);
                self.not_started(host, key, CauseKind::DiskFull);
            }
            TaskStep::Recorded => {
                process.stage = ProcessStage::Recorded;
                there.disk.keep_record(key, Record::Started);
                self.task_later(host, 1, key, TaskStep::Exec);
                if self.sabotage == Sabotage::StartTwice {
                    self.task_later(host, 2, key, TaskStep::Exec);
                }
            }
            TaskStep::Exec => self.exec(host, key),
            TaskStep::Write { share } => self.write(host, key, share),
            TaskStep::Return | TaskStep::Struck if process.stage == ProcessStage::Running => {
                self.program_ends(host, key, step);
            }
            TaskStep::Return | TaskStep::Struck => {}
            TaskStep::Buried => self.bury(host, key),
            TaskStep::Visit => self.visit(host, key),
            TaskStep::Reconnect { asker } => self.reconnect(host, key, asker),
            TaskStep::Impatient { request } => self.hurry(host, key, request),
            TaskStep::KeeperWake => {
                process.wake_set = None;
                self.strike(host, key);
            }
        }
    }

    /// The program never ran, and never will under this key.
    fn not_started(&mut self, host: HostId, key: TaskKey, kind: CauseKind) {
        let there = &mut self.hosts[host.index()];
        let cause = Cause { kind, text: Tainted::new("cannot start `sim`") };
        let state = TaskState::NotStarted(cause);
        there.processes.remove(&key);
        if !there.cannot_write() {
            there.disk.keep_record(key, Record::Over(state.clone()));
        }
        self.tell_agent(host, Event::Task(task_record(key, state, false)));
    }

    fn exec(&mut self, host: HostId, key: TaskKey) {
        let there = &mut self.hosts[host.index()];
        let fails = there.exec_fails;
        let process = there.processes.get_mut(&key).expect("the step is that of a process");
        if fails || process.ending.why().is_some() {
            let kind = if fails { CauseKind::Exec } else { CauseKind::Cancelled };
            self.not_started(host, key, kind);
            return;
        }
        process.stage = ProcessStage::Running;
        process.began_at = self.now;
        let (script, kept, visits) = (process.script, process.kept, process.visitor.is_some());
        let place = process.place.clone();
        let recorded = there.disk.records.get(&key).is_some_and(|file| file.is_durable());
        self.checks.executed(self.now, &self.hosts, host, key, recorded);
        if let Some(place) = place {
            self.checks.place_taken(self.now, host, key, place);
            self.check_exclusive();
        }
        for share in 1..=WRITES {
            let at = script.runs_ms * share / WRITES;
            self.task_later(host, at, key, TaskStep::Write { share });
        }
        let then = if visits { TaskStep::Visit } else { TaskStep::Return };
        self.task_later(host, script.runs_ms, key, then);
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
        if there.cannot_write() {
            // Who cannot write waits: nothing is lost and nobody is killed for it.
            self.task_later(host, FULL_AGAIN_MS, key, TaskStep::Write { share });
            return;
        }
        let script = process.script;
        for (stream, bytes) in
            [(StreamName::Out, script.out_bytes), (StreamName::Err, script.err_bytes)]
        {
            let spool = there.disk.spools.entry((key, stream)).or_default();
            // What was written before is on the disk by now.
            spool.synced = spool.length;
            spool.length = spool.length.max(bytes * share / WRITES);
        }
        self.pump_links(host, key, StreamName::Out);
        self.pump_links(host, key, StreamName::Err);
    }

    fn program_ends(&mut self, host: HostId, key: TaskKey, step: TaskStep) {
        let there = &mut self.hosts[host.index()];
        let full = there.cannot_write();
        let process = there.processes.get_mut(&key).expect("the step is that of a process");
        if full && step == TaskStep::Return && process.script.out_bytes > 0 {
            // It stands in its last write.
            self.task_later(host, FULL_AGAIN_MS, key, TaskStep::Return);
            return;
        }
        process.stage = ProcessStage::Ended;
        self.visit_ends(host, key);
        let there = &mut self.hosts[host.index()];
        let escapes = there.processes.get(&key).is_some_and(|p| p.script.escapes);
        let leaves = escapes && self.sabotage == Sabotage::EndLeaderOnly;
        there.strays += u32::from(leaves);
        if step == TaskStep::Return && !full {
            self.write_rest(host, key);
        }
        self.write_end(host, key);
        self.task_later(host, RECORD_MS, key, TaskStep::Buried);
    }

    /// A program that ends by itself has written all that it had to.
    fn write_rest(&mut self, host: HostId, key: TaskKey) {
        let there = &mut self.hosts[host.index()];
        let script = there.processes[&key].script;
        for (stream, bytes) in
            [(StreamName::Out, script.out_bytes), (StreamName::Err, script.err_bytes)]
        {
            let spool = there.disk.spools.entry((key, stream)).or_default();
            spool.length = spool.length.max(bytes);
        }
        self.pump_links(host, key, StreamName::Out);
        self.pump_links(host, key, StreamName::Err);
    }

    /// How a task ended, as its keeper saw it.
    fn end_of(&mut self, host: HostId, key: TaskKey) -> (Exit, TaskState) {
        let there = &mut self.hosts[host.index()];
        let process = &there.processes[&key];
        let truth = match process.ending.why() {
            Some(why) => Exit::Stopped { why: why.to_owned() },
            None => Exit::Code(process.script.code),
        };
        let exit = match (self.sabotage, &truth) {
            (Sabotage::WrongExit, Exit::Code(code)) => Exit::Code(code + 1),
            _ => truth.clone(),
        };
        let ran_ms = self.now - process.began_at;
        let length = |stream| there.disk.spools.get(&(key, stream)).map_or(0, |s| s.length);
        let (out_bytes, err_bytes) = (length(StreamName::Out), length(StreamName::Err));
        (truth, TaskState::Exited { exit, out_bytes, err_bytes, ran_ms, ended_us: None })
    }

    fn write_end(&mut self, host: HostId, key: TaskKey) {
        let (_, state) = self.end_of(host, key);
        let there = &mut self.hosts[host.index()];
        let seen = there.processes[&key].kept || there.agent.is_some();
        if seen && !there.cannot_write() {
            there.disk.write_record(key, Record::Over(state));
        }
    }

    /// The end's record is durable; whoever is there hears of it.
    fn bury(&mut self, host: HostId, key: TaskKey) {
        let (truth, state) = self.end_of(host, key);
        let there = &mut self.hosts[host.index()];
        let process = there.processes.remove(&key).expect("the step is that of a process");
        if !process.kept && there.agent.is_none() {
            return;
        }
        for stream in [StreamName::Out, StreamName::Err] {
            let spool = there.disk.spools.entry((key, stream)).or_default();
            spool.synced = spool.length;
        }
        if !there.cannot_write() {
            there.disk.write_record(key, Record::Over(state.clone()));
            if self.sabotage != Sabotage::SkipEndSync {
                there.disk.sync_record(key);
            }
        } else {
            self.checks.end_not_written(host, key);
        }
        self.checks.ended(key, &truth);
        self.tell_agent(host, Event::Task(task_record(key, state, !process.kept)));
    }

    pub(crate) fn stop_task(&mut self, host: HostId, key: TaskKey, why: &str) {
        let there = &mut self.hosts[host.index()];
        self.checks.victim(self.now, host, key, there.processes.contains_key(&key));
        let clock = there.clock(self.now);
        let lease_until = there.lease_until;
        if let Some(process) = there.processes.get_mut(&key) {
            if process.ending.why().is_none() && why == "lease" {
                self.checks.lease_out(self.now, host, lease_until, clock);
            }
            process.ending.ask(why);
            self.strike(host, key);
        }
    }

    /// A signal from outside: the simulator's programs take it as they take a stop.
    pub(crate) fn signal(&mut self, host: HostId, key: TaskKey, _signal: i32) {
        let process = self.hosts[host.index()].processes.get(&key);
        self.checks.victim(self.now, host, key, process.is_some());
        if process.is_some_and(|p| p.stage == ProcessStage::Running && !p.script.ignores_signals) {
            self.task_later(host, 5, key, TaskStep::Return);
        }
    }

    /// Keepers read the new deadline.
    pub(crate) fn lease_saved(&mut self, host: HostId) {
        let there = &mut self.hosts[host.index()];
        let until = there.disk.lease.as_ref().and_then(|(_, lease)| lease.deadline());
        let keys: Vec<TaskKey> = there.processes.keys().copied().collect();
        let slip = if self.sabotage == Sabotage::LeaseFromNow { 20_000 } else { 0 };
        for process in there.processes.values_mut() {
            process.ending.lease(until.map(|until| until + slip));
        }
        keys.into_iter().for_each(|key| self.strike(host, key));
    }

    /// The keeper, or who has adopted the program, does what the ending's rules say.
    fn strike(&mut self, host: HostId, key: TaskKey) {
        let there = &mut self.hosts[host.index()];
        let clock = there.clock(self.now);
        let agent_lives = there.agent.is_some();
        let lease_until = there.lease_until;
        let Some(process) = there.processes.get_mut(&key) else { return };
        if process.stage != ProcessStage::Running || !(process.kept || agent_lives) {
            return;
        }
        if self.sabotage == Sabotage::KeeperWithoutLease && !agent_lives {
            process.ending.lease(None);
        }
        let was_asked = process.ending.why().is_some();
        let (blow, ignores) = (process.ending.decide(clock), process.script.ignores_signals);
        let wake = process.ending.wake_at(clock);
        if !was_asked && process.ending.why() == Some("lease") {
            self.checks.lease_out(self.now, host, lease_until, clock);
        }
        if process.ending.is_killing() {
            process.killed_at.get_or_insert(clock);
        }
        match blow {
            Some(Blow::Kill) if self.sabotage == Sabotage::NeverKill => {}
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
