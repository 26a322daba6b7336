//! The agent's driver on a host: performs what the agent's rules decide.
//! Not those rules: they are the core's.

use super::World;
use super::host::{AgentProcess, Host, ProcessStage, Record, Refusal};
use super::link::End;
use super::queue::{Happening, OnHost, TaskStep};
use crate::faults::Sabotage;
use plush_core::Millis;
use plush_core::agent::{Agent, CleanUpSpec, Effect, Event, Greeting, Recovered};
use plush_core::plan::HostId;
use plush_protocol::{
    AgentHello, Answer, Cause, CauseKind, ControllerHello, Exit, Facts, PROTOCOL_VERSION, Pong,
    Report, StreamName, Tainted, TaskKey, TaskRecord, TaskState, ToAgent, ToController,
};
use std::collections::BTreeSet;

/// How long the removal of everything takes.
const REMOVE_MS: Millis = 40;

impl Host {
    /// Whether a connection is refused, and if so whether trying again may help.
    pub fn refuses(&mut self) -> Option<bool> {
        match self.refusal {
            None | Some(Refusal::Times(0)) => None,
            Some(Refusal::ForGood) => Some(false),
            Some(Refusal::Times(left)) => {
                self.refusal = Some(Refusal::Times(left - 1));
                Some(true)
            }
        }
    }
}

/// What an agent says of a task.
pub(crate) fn task_record(key: TaskKey, state: TaskState, degraded: bool) -> TaskRecord {
    TaskRecord { degraded, ..TaskRecord::new(key, state) }
}

impl World {
    /// A controller speaks to the agent, which is started if it is not there.
    pub(crate) fn greet_agent(&mut self, host: HostId, link: u64, hello: ControllerHello) {
        if self.hosts[host.index()].agent.is_none() {
            self.start_agent(host);
        }
        let there = self.links.get_mut(&link).expect("the link was just made");
        there.at_agent = End::Open;
        there.epoch = hello.epoch;
        self.tell_agent(host, Event::Hello { link, hello });
    }

    /// An agent process begins with what it finds.
    fn start_agent(&mut self, host: HostId) {
        let (life, session) = (self.number(), self.chance.draw() | 1);
        let run = self.controller.plan.run.clone();
        let tasks = self.recover_tasks(host);
        let there = &mut self.hosts[host.index()];
        there.disk.directory = true;
        there.removing = false;
        there.disk.making.clear();
        let lease = there.disk.lease.clone().filter(|(boot, _)| *boot == there.boot);
        let found = Recovered {
            now: there.clock(self.now),
            launches: there.launches(),
            session,
            epoch: if self.sabotage == Sabotage::ForgetEpoch { 0 } else { there.disk.epoch },
            lease: lease.map(|(_, lease)| lease).unwrap_or_default(),
            tasks,
            prepared: there.disk.prepared.iter().cloned().collect(),
        };
        there.agent = Some(AgentProcess {
            agent: Agent::new(run, found),
            life,
            wake_set: None,
            cancelled: BTreeSet::new(),
            sent: (0, 0),
        });
    }

    /// Every key with a directory: its record, its keeper, or an end that nobody saw.
    fn recover_tasks(&mut self, host: HostId) -> Vec<TaskRecord> {
        let there = &mut self.hosts[host.index()];
        let mut found = Vec::new();
        let unkept: Vec<TaskKey> =
            there.processes.iter().filter(|(_, p)| !p.kept).map(|(key, _)| *key).collect();
        for key in unkept {
            there.processes.remove(&key);
        }
        for (key, process) in &there.processes {
            let state = match process.stage {
                ProcessStage::Forked | ProcessStage::Recorded => TaskState::Starting,
                ProcessStage::Running | ProcessStage::Ended => {
                    TaskState::Running { pid: key.task, since_us: None }
                }
            };
            found.push(task_record(*key, state, false));
        }
        let keys: Vec<TaskKey> = there.disk.records.keys().copied().collect();
        for key in keys {
            if there.processes.contains_key(&key) {
                continue;
            }
            let length = |s| there.disk.spools.get(&(key, s)).map_or(0, |s| s.length);
            let (out_bytes, err_bytes) = (length(StreamName::Out), length(StreamName::Err));
            let state = match &there.disk.records[&key].written {
                Record::Over(state) => state.clone(),
                Record::Started if self.sabotage == Sabotage::BarePid => {
                    TaskState::Running { pid: key.task, since_us: None }
                }
                Record::Started => {
                    let exit = Exit::Lost;
                    TaskState::Exited { exit, out_bytes, err_bytes, ran_ms: 0, ended_us: None }
                }
            };
            if let TaskState::Exited { .. } = state
                && !there.cannot_write()
            {
                there.disk.keep_record(key, Record::Over(state.clone()));
            }
            found.push(task_record(key, state, false));
        }
        found.sort_by_key(|r| r.key);
        found
    }

    /// Something happened that the agent has to know; nothing if there is none.
    pub(crate) fn tell_agent(&mut self, host: HostId, event: Event) {
        if let Some(process) = &mut self.hosts[host.index()].agent {
            process.agent.absorb(event);
            self.ask_agent(host);
        }
    }

    fn ask_agent(&mut self, host: HostId) {
        let there = &mut self.hosts[host.index()];
        let wall = self.sabotage == Sabotage::LeaseOnWallClock;
        let clock = if wall { there.wall_clock(self.now) } else { there.clock(self.now) };
        let Some(process) = &mut there.agent else { return };
        let life = process.life;
        let mut effects = process.agent.decide(clock);
        let wake = process.agent.wake_at(clock);
        if self.checks.are_watched() {
            let again = process.agent.decide(clock);
            self.checks.agent_decided(self.now, host, &again, wake, clock);
        }
        let unsaved = self.cannot_save_epoch(host, &effects);
        if unsaved.is_some() {
            effects.retain(|effect| !speaks(effect));
        }
        let lease_before = self.hosts[host.index()].lease_until;
        self.hosts[host.index()].lease_next = lease_before;
        for effect in effects {
            self.note(life);
            self.perform_on_host(host, effect);
        }
        // What was decided together was decided under the lease that was.
        let there = &mut self.hosts[host.index()];
        if there.lease_next != lease_before && there.agent.is_some() {
            there.lease_until = there.lease_next;
            self.checks.renewed(self.now, host, there, lease_before);
        }
        let wake = wake.map(|at| match wall {
            true => at.saturating_add_signed(-self.hosts[host.index()].wall_offset_ms),
            false => at,
        });
        self.wake_agent_later(host, wake);
        if let Some(epoch) = unsaved {
            self.tell_agent(host, Event::EpochUnsaved { epoch, why: "the disk".into() });
        }
    }

    fn cannot_save_epoch(&self, host: HostId, effects: &[Effect]) -> Option<u64> {
        let saved = effects.iter().find_map(|effect| match effect {
            Effect::SaveEpoch(epoch) => Some(*epoch),
            _ => None,
        });
        let goes_on = self.sabotage == Sabotage::GoOnWithoutEpoch;
        saved.filter(|_| self.hosts[host.index()].cannot_write() && !goes_on)
    }

    fn wake_agent_later(&mut self, host: HostId, wake: Option<Millis>) {
        let there = &mut self.hosts[host.index()];
        let (boot, Some(wake)) = (there.boot, wake) else { return };
        let at = there.world_time(wake).max(self.now + 1);
        let Some(process) = &mut there.agent else { return };
        if process.wake_set.is_none_or(|set| set > at || set <= self.now) {
            process.wake_set = Some(at);
            let what = OnHost::AgentWake { life: process.life };
            self.queue.add(at, Happening::OnHost { host, boot, what });
        }
    }

    pub(crate) fn agent_wake(&mut self, host: HostId, life: u64) {
        if self.is_agent(host, life) {
            self.hosts[host.index()].agent.as_mut().expect("it was just there").wake_set = None;
            self.ask_agent(host);
        }
    }

    fn is_agent(&self, host: HostId, life: u64) -> bool {
        self.hosts[host.index()].agent.as_ref().is_some_and(|a| a.life == life)
    }

    pub(crate) fn at_agent(&mut self, link: u64, message: ToAgent) {
        let Some(there) = self.links.get(&link) else { return };
        let host = there.host;
        if self.holds_to_agent(link, &message) || !self.hosts[host.index()].is_on() {
            return;
        }
        if self.hosts[host.index()].paused_until > self.now {
            let until = self.hosts[host.index()].paused_until;
            self.queue.add(until, Happening::AtAgent { link, message });
            return;
        }
        if self.links[&link].at_agent != End::Open || self.hosts[host.index()].agent.is_none() {
            return;
        }
        self.note(u64::from(host.0));
        match message {
            ToAgent::Command(number, command) => {
                self.tell_agent(host, Event::Command { link, number, command });
            }
            ToAgent::Ack(number) => self.tell_agent(host, Event::Acknowledged { link, number }),
            ToAgent::Ping(token) => self.tell_agent(host, Event::Ping { link, token }),
            ToAgent::Renew(clock_us) => {
                let read_us = self.hosts[host.index()].clock(self.now) * 1_000;
                let late = self.sabotage == Sabotage::RenewFromReading;
                let clock_us = if late { read_us } else { clock_us };
                self.tell_agent(host, Event::Renew { link, clock_us });
            }
            ToAgent::OutputAck(ack) => self.output_acknowledged(host, link, &ack),
            ToAgent::Hello(_)
            | ToAgent::BlobPart(_)
            | ToAgent::ListWant(_)
            | ToAgent::FileWant(_)
            | ToAgent::Bye(_) => {}
        }
    }

    pub(crate) fn closed_at_agent(&mut self, link: u64) {
        let Some(there) = self.links.get_mut(&link) else { return };
        let host = there.host;
        if self.hosts[host.index()].deaf || there.at_agent == End::Closed {
            return;
        }
        there.at_agent = End::Closed;
        there.streams.clear();
        self.tell_agent(host, Event::Closed { link });
    }

    fn perform_on_host(&mut self, host: HostId, effect: Effect) {
        let there = &mut self.hosts[host.index()];
        match effect {
            // What could not be written is told as an event of its own.
            Effect::SaveEpoch(_) if there.cannot_write() => {}
            Effect::SaveEpoch(epoch) => {
                let before = std::mem::replace(&mut there.disk.epoch, epoch);
                self.checks.epoch_saved(self.now, host, before, epoch);
            }
            Effect::SaveLease(lease) => {
                there.lease_next = lease.deadline();
                there.disk.lease = Some((there.boot, lease));
                self.lease_saved(host);
            }
            Effect::Greet { link, greeting } => {
                let hello = Box::new(agent_hello(there, greeting, there.clock(self.now) * 1_000));
                let obeyed = self.links.get(&link).map_or(0, |l| l.epoch);
                // Whoever is about to leave saves nothing any more.
                let saved = if there.removing { obeyed } else { there.disk.epoch };
                self.checks.greeted(self.now, host, obeyed, saved);
                self.send_to_controller(link, ToController::Hello(hello));
            }
            Effect::Refuse { link, greeting, .. } => {
                // In this world only a controller that was thought dead is refused for ever.
                if self.links.get(&link).is_some_and(|l| l.life == 0) {
                    let clock_us = there.clock(self.now) * 1_000;
                    let hello = Box::new(agent_hello(there, greeting, clock_us));
                    self.send_to_controller(link, ToController::Hello(hello));
                }
                self.close_from_agent(link);
            }
            Effect::Close { link } => self.close_from_agent(link),
            Effect::Send { link, number, report } => {
                let process = there.agent.as_mut().expect("the agent has just decided");
                process.sent = (process.agent.view().session, number);
                if self.checks.report_sent(host, process.sent) && !there.disk_was_broken {
                    self.checks.reported(self.now, host, &report);
                }
                self.send_to_controller(link, ToController::Report(number, report));
            }
            Effect::Acknowledge { link, number } => {
                let process = there.agent.as_ref().expect("the agent has just decided");
                let place = (host, process.agent.view().session);
                self.checks.command_taken(self.now, place, number);
                self.send_to_controller(link, ToController::Ack(number));
            }
            Effect::Pong { link, token } => {
                let clock_us = there.clock(self.now) * 1_000;
                self.send_to_controller(link, ToController::Pong(Pong { token, clock_us }));
            }
            Effect::Prepare(spec) => self.begin_preparation(host, spec.cluster),
            Effect::CancelPrepare { cluster } => {
                let process = there.agent.as_mut().expect("the agent has just decided");
                process.cancelled.insert(cluster);
            }
            Effect::Start { key, spec } => self.fork(host, key, &spec),
            Effect::Signal { key, signal } => self.signal(host, key, signal),
            Effect::Stop { key, why } => self.stop_task(host, key, &why),
            Effect::AnswerProgram { asker, outcome } => self.answer_program(host, asker, outcome),
            Effect::Conclude { key } => {
                there.disk.concluded.insert(key);
            }
            // In this world no stream is ever said to be stored.
            Effect::Forget { key } => unreachable!("{key:?} was never said to be stored"),
            Effect::Probe { key, probe, time_limit_ms, .. } => {
                let long = self.chance.between(1, time_limit_ms.max(2));
                let passed = self.nature.probe_passes(&mut self.chance);
                let life = there.agent.as_ref().expect("the agent has just decided").life;
                self.on_host_later(host, long, OnHost::Probed { life, key, probe, passed });
            }
            // Files have no content in this world.
            Effect::Rewrite(_) => {}
            Effect::Remove(spec) => self.begin_removal(host, &spec),
            Effect::Ask(question) => {
                let answer = Answer::Failed(Tainted::new("this world has no programs that answer"));
                self.tell_agent(host, Event::Answered { question: question.number, answer });
            }
            Effect::CancelQuestions => {}
            Effect::Exit => self.agent_exits(host),
        }
    }

    fn on_host_later(&mut self, host: HostId, ms: Millis, what: OnHost) {
        let there = &self.hosts[host.index()];
        let (boot, ms) = (there.boot, ms * there.slowness);
        self.after(ms, Happening::OnHost { host, boot, what });
    }

    fn begin_preparation(&mut self, host: HostId, cluster: String) {
        let there = &mut self.hosts[host.index()];
        there.disk.making.insert(cluster.clone());
        let life = there.agent.as_ref().expect("the agent has just decided").life;
        let fails = there.prepare_fails || there.cannot_write();
        let long = self.nature.prepare_ms(&mut self.chance);
        let report = match fails {
            true => Report::PrepareFailed {
                cluster: cluster.clone(),
                cause: Cause { kind: CauseKind::DiskFull, text: Tainted::new("disk full") },
            },
            false => Report::Prepared {
                cluster: cluster.clone(),
                fetched_bytes: 100,
                cached: 0,
                took_ms: long,
                digests: Vec::new(),
            },
        };
        if long > 1_500 {
            let step = "fetch it".into();
            let half = Report::Preparing {
                cluster,
                step,
                done_bytes: 50,
                total_bytes: Some(100),
                fetched_bytes: Some(50),
            };
            self.on_host_later(host, long / 2, OnHost::Prepare { life, report: half });
        }
        self.on_host_later(host, long, OnHost::Prepare { life, report });
    }

    pub(crate) fn preparation_goes_on(&mut self, host: HostId, life: u64, report: Report) {
        if !self.is_agent(host, life) {
            return;
        }
        let there = &mut self.hosts[host.index()];
        let process = there.agent.as_mut().expect("it was just there");
        let ended = match report {
            Report::Prepared { ref cluster, .. } if process.cancelled.contains(cluster) => {
                let cause = Cause { kind: CauseKind::Cancelled, text: Tainted::new("cancelled") };
                Report::PrepareFailed { cluster: cluster.clone(), cause }
            }
            other => other,
        };
        match &ended {
            Report::Prepared { cluster, .. } => {
                there.disk.making.remove(cluster);
                there.disk.prepared.insert(cluster.clone());
            }
            Report::PrepareFailed { cluster, .. } => {
                there.disk.making.remove(cluster);
                process.cancelled.remove(cluster);
            }
            _ => {
                self.tell_agent(host, Event::Preparing(ended));
                return;
            }
        }
        self.tell_agent(host, Event::PrepareEnded(ended));
    }

    pub(crate) fn probed(&mut self, host: HostId, life: u64, event: Event) {
        if self.is_agent(host, life) {
            self.tell_agent(host, event);
        }
    }

    fn begin_removal(&mut self, host: HostId, spec: &CleanUpSpec) {
        self.checks.removal_begins(self.now, host, &self.hosts[host.index()]);
        self.hosts[host.index()].removing = true;
        let life =
            self.hosts[host.index()].agent.as_ref().expect("the agent has just decided").life;
        let what = OnHost::Removed { life, keep_work: spec.keep_work };
        self.on_host_later(host, REMOVE_MS, what);
    }

    pub(crate) fn removed(&mut self, host: HostId, life: u64, keep_work: bool) {
        if !self.is_agent(host, life) {
            return;
        }
        let there = &mut self.hosts[host.index()];
        there.disk.records.clear();
        self.checks.records_gone(host);
        there.disk.specs.clear();
        there.disk.concluded.clear();
        there.disk.making.clear();
        if self.sabotage != Sabotage::LeaveFiles {
            there.disk.spools.clear();
        }
        if !keep_work {
            there.disk.prepared.clear();
        }
        self.tell_agent(host, Event::Removed { remainder: Vec::new(), failed_lines: Vec::new() });
    }

    fn agent_exits(&mut self, host: HostId) {
        for link in self.open_links_of(host) {
            self.close_from_agent(link);
        }
        let there = &mut self.hosts[host.index()];
        there.agent = None;
        there.disk.directory = false;
        there.disk.epoch = 0;
        there.disk.lease = None;
        there.lease_until = None;
        self.checks.wiped(host);
    }

    /// The agent is killed; keepers and programs do not notice.
    pub(crate) fn kill_agent(&mut self, host: HostId) {
        if self.hosts[host.index()].agent.is_none() {
            return;
        }
        for link in self.open_links_of(host) {
            self.close_from_agent(link);
        }
        let there = &mut self.hosts[host.index()];
        there.agent = None;
        there.agent_killed = true;
        there.harmed = true;
        self.programs_lose_agent(host);
    }

    /// A keeper dies; the agent, if it lives, adopts the program.
    pub(crate) fn kill_keeper(&mut self, host: HostId, lot: u64) {
        let there = &mut self.hosts[host.index()];
        let kept: Vec<TaskKey> =
            there.processes.iter().filter(|(_, p)| p.kept).map(|(key, _)| *key).collect();
        if kept.is_empty() {
            return;
        }
        there.harmed = true;
        let key = kept[(lot % kept.len() as u64) as usize];
        let process = there.processes.get_mut(&key).expect("the key was just listed");
        process.kept = false;
        match process.stage {
            ProcessStage::Forked => {
                there.processes.remove(&key);
                there.disk.records.remove(&key);
                let cause =
                    Cause { kind: CauseKind::Resource, text: Tainted::new("the keeper died") };
                let state = TaskState::NotStarted(cause);
                self.tell_agent(host, Event::Task(task_record(key, state, false)));
            }
            ProcessStage::Recorded => {
                there.processes.remove(&key);
                let exit = Exit::Lost;
                let state = TaskState::Exited {
                    exit,
                    out_bytes: 0,
                    err_bytes: 0,
                    ran_ms: 0,
                    ended_us: None,
                };
                if there.agent.is_some() && !there.cannot_write() {
                    there.disk.keep_record(key, Record::Over(state.clone()));
                }
                self.tell_agent(host, Event::Task(task_record(key, state, false)));
            }
            ProcessStage::Running | ProcessStage::Ended => {
                let state = TaskState::Running { pid: key.task, since_us: None };
                self.tell_agent(host, Event::Task(task_record(key, state, true)));
            }
        }
    }

    pub(crate) fn task_later(&mut self, host: HostId, ms: Millis, key: TaskKey, step: TaskStep) {
        self.on_host_later(host, ms, OnHost::Task { key, step });
    }
}

/// Whether an effect tells a controller something.
fn speaks(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::SaveEpoch(_)
            | Effect::Greet { .. }
            | Effect::Refuse { .. }
            | Effect::Send { .. }
            | Effect::Acknowledge { .. }
            | Effect::Pong { .. }
    )
}

fn agent_hello(host: &Host, greeting: Greeting, clock_us: u64) -> AgentHello {
    AgentHello {
        version: PROTOCOL_VERSION,
        session: greeting.session,
        received: greeting.received,
        epoch: greeting.epoch,
        refusal: greeting.refusal,
        clock_us: Some(clock_us),
        facts: Facts { boot_id: host.boot.to_string(), ..Facts::default() },
    }
}
