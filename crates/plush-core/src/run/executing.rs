//! From a prepared member through its steps: tasks, the description's barriers, and what follows an end.
//! Not the tasks themselves: see `task`.

use super::member::{Stage, StepStand};
use super::task::{Due, DueBy, Sequel, Stand, TaskRun};
use super::{Run, member, render};
use crate::Millis;
use crate::barrier::{Entrant, Verdict};
use crate::plan::HostId;
use plush_protocol::{Command, TaskKey, TaskRecord, TaskSpec, TaskState};
use plush_spec::model::{Action, Name};
use std::cell::OnceCell;
use std::collections::BTreeSet;

/// Who serves where, once somebody has asked.
type LatePeers = OnceCell<Vec<render::Peers>>;

impl Run {
    pub(super) fn task_reported(&mut self, host: HostId, record: &TaskRecord) {
        let Some(task) = self.tasks.get_mut(record.key.task as usize) else { return };
        if task.host != host {
            return;
        }
        let is_newest = record.key.incarnation >= task.key.incarnation;
        let before = task.worst_health();
        let is_over = task.reported(record, self.now);
        // The first report of an incarnation forgets the times of the one before.
        if let TaskState::Running { since_us: Some(since), .. } = record.state
            && is_newest
        {
            task.executed_us = self.hosts[host.index()].run_time_us(since);
        }
        if let Some(why) = task.why_again(record).filter(|_| is_newest) {
            self.note_restart(record.key.task as usize, record.key, why);
        } else if is_newest && matches!(record.state, TaskState::Running { .. }) {
            self.note_health(record.key.task as usize, before);
        }
        if is_newest {
            let ended_ms = self.task_times(host, record).1;
            let task = &mut self.tasks[record.key.task as usize];
            task.ended_ms = task.ended_ms.or(ended_ms);
        }
        if !is_over {
            return;
        }
        let task = &self.tasks[record.key.task as usize];
        let failed = task.success() == Some(false);
        let (cluster, text, process) = (task.cluster, task.failure(), task.process.clone());
        if failed {
            let operation = match record.state {
                TaskState::NotStarted(_) => "start",
                TaskState::Starting | TaskState::Running { .. } | TaskState::Exited { .. } => "run",
            };
            self.problem(Some(host), operation, text.clone(), None);
            self.tell_of_failed_process(host, cluster, &process, &text);
        }
        self.step_over(record.key.task as usize, failed);
    }

    /// Elapsed times at which a task started and ended, as its host reports them, even if no
    /// controller was running then; the current time where the host reports none.
    pub fn task_times(
        &self,
        host: HostId,
        record: &TaskRecord,
    ) -> (Option<Millis>, Option<Millis>) {
        let now = self.elapsed.shown(self.now);
        let there = |boot_us: Option<u64>| {
            let said = boot_us.and_then(|us| self.shown_boot_time(host, us));
            // Clock offsets are not exact: a reported event is never in the future.
            said.unwrap_or(now).min(now)
        };
        match record.state {
            TaskState::Starting => (None, None),
            TaskState::Running { since_us, .. } => (Some(there(since_us)), None),
            TaskState::NotStarted(_) => (None, Some(now)),
            TaskState::Exited { ran_ms, ended_us, .. } => {
                let ended = there(ended_us);
                (Some(ended.saturating_sub(ran_ms)), Some(ended))
            }
        }
    }

    /// A task came to its end: its step is done, or the reaction to its failure is carried out.
    pub(super) fn step_over(&mut self, number: usize, failed: bool) {
        let task = &self.tasks[number];
        let (host, cluster, step) = (task.host, task.cluster, task.step);
        if self.places[host.index()].is_none() {
            return;
        }
        self.leave_barriers_of_task(host, cluster, step);
        match failed {
            true => self.react_to_process(number),
            false => self.end_step(number),
        }
    }

    /// Ends the step of a task; it is done only if the task did what it was for.
    pub(super) fn end_step(&mut self, number: usize) {
        let task = &self.tasks[number];
        let (step, place, end) = (task.step, self.places[task.host.index()], end_of(task));
        let Some((cluster, place)) = place else { return };
        if let Stage::Executing(stands) = &mut self.clusters[cluster].members[place].stage {
            stands[step] = end;
        }
    }

    pub(super) fn admit_to_execution(&mut self) {
        for number in 0..self.clusters.len() {
            let mut beginning = Vec::new();
            for verdict in self.clusters[number].ready.decide(self.now) {
                match verdict {
                    Verdict::Release(who) => {
                        beginning
                            .extend(self.places[HostId(who.0).index()].map(|(_, place)| place));
                    }
                    Verdict::TooLate(who) => self.too_late(HostId(who.0), "ready"),
                }
            }
            let lead = self.plan.clusters[number].spec.ready.together_ms;
            let due = lead.map(|lead| Due { by: DueBy::Ready, at: self.now + lead });
            self.clusters[number].begin(beginning, due, &self.plan.clusters[number]);
        }
    }

    /// Begins every step that may begin, lets go whom barriers let go, until nothing moves.
    pub(super) fn advance_execution(&mut self) {
        loop {
            // Made when the first step begins: mostly none does.
            let peers = OnceCell::new();
            let mut moved = false;
            for cluster in 0..self.clusters.len() {
                for place in 0..self.clusters[cluster].members.len() {
                    moved |= self.advance_member(cluster, place, &peers);
                }
            }
            if self.stopping.is_some() {
                // Nobody is let go any more: those who wait have been told to skip what is left.
                return;
            }
            self.check_steps_of_few();
            if self.stopping.is_some() {
                return;
            }
            self.leave_passed_barriers();
            for number in 0..self.barriers.len() {
                let told = self.barriers[number].decide(self.now, &self.elapsed);
                moved |= !told.is_empty();
                self.pass_on(number, told);
            }
            if !moved {
                return;
            }
        }
    }

    /// A member's step is inside a barrier until the steps right after it are over there.
    pub(super) fn leave_passed_barriers(&mut self) {
        for (plan, cluster) in self.plan.clusters.iter().zip(&self.clusters) {
            let names: BTreeSet<&Name> =
                member::barrier_steps(plan).map(|(_, name)| name).collect();
            for name in names {
                let Some(number) = self.plan.project.barriers.iter().position(|b| b.name == *name)
                else {
                    continue;
                };
                for member in cluster.members.iter().filter(|m| m.is_past_all(name, plan)) {
                    self.barriers[number].leave_step(member.host, self.now);
                }
            }
        }
    }

    pub(super) fn advance_member(
        &mut self,
        cluster: usize,
        place: usize,
        peers: &LatePeers,
    ) -> bool {
        let member = &self.clusters[cluster].members[place];
        let Stage::Executing(stands) = &member.stage else { return false };
        let host = member.host;
        if stands.iter().all(StepStand::is_over) {
            self.clusters[cluster].members[place].stage = Stage::Finished;
            self.clusters[cluster].ready.leave(Entrant(host.0), self.now);
            self.leave_named_barriers(host, "its host is through");
            return true;
        }
        let startable = member::startable(&self.plan.clusters[cluster], stands);
        for step in &startable {
            if !self.clusters[cluster].members[place].awaits(*step) {
                // A step before it failed at once, and the reaction was to begin nothing more here.
                continue;
            }
            let stand = self.begin_step(host, cluster, place, *step, peers);
            if let Stage::Executing(stands) = &mut self.clusters[cluster].members[place].stage {
                stands[*step] = stand;
            }
        }
        !startable.is_empty()
    }

    pub(super) fn begin_step(
        &mut self,
        host: HostId,
        cluster: usize,
        place: usize,
        step: usize,
        peers: &LatePeers,
    ) -> StepStand {
        let process = match &self.plan.clusters[cluster].spec.execution[step].action {
            Action::Process(process) => process,
            Action::Barrier(reference) => {
                let number =
                    self.plan.project.barriers.iter().position(|b| b.name == reference.name);
                let number = number.expect("the parser has checked that every barrier exists");
                self.barriers[number].enter_step(host, self.now);
                return StepStand::AtBarrier;
            }
            Action::Workflow(_) | Action::Repeat(_) => return StepStand::Skipped,
        };
        let number = self.tasks.len();
        let key = TaskKey {
            task: u32::try_from(number).expect("tasks are counted in 32 bits"),
            incarnation: 1,
        };
        let codes = render::success_codes(process);
        let peers = peers.get_or_init(|| self.peers());
        let rendered = self.seat(cluster, place, peers).task(process);
        let mut task = TaskRun::new(key, host, cluster, step, process.name.to_string(), codes);
        let due = self.clusters[cluster].members[place].due;
        task.due = due.filter(|due| due.at > self.now);
        let due = task.due;
        self.tasks.push(task);
        let at_us = due.and_then(|due| self.boot_time_of(host, cluster, due));
        match rendered {
            Ok(spec) => {
                let spec = TaskSpec { at_us, ..spec };
                self.hosts[host.index()].command(Command::Start { key, spec: Box::new(spec) });
                StepStand::Task(number)
            }
            Err(cause) => {
                self.never_started(number, cause);
                match self.tasks[number].sequel {
                    Sequel::None => end_of(&self.tasks[number]),
                    Sequel::Asked | Sequel::Again(_) => StepStand::Task(number),
                }
            }
        }
    }

    /// A barrier lets a host's steps go on; what comes after them begins at the instant, if there is one.
    pub(super) fn step_released(
        &mut self,
        number: usize,
        host: HostId,
        generation: u32,
        instant: Option<Millis>,
    ) {
        self.end_barrier_steps(number, host, StepStand::Done);
        let Some((cluster, place)) = self.places[host.index()] else { return };
        let by = DueBy::Barrier { number, generation };
        self.clusters[cluster].members[place].due = instant.map(|at| Due { by, at });
    }

    /// A barrier does not let a host in any more: it is taken out of the run.
    pub(super) fn step_too_late(&mut self, number: usize, host: HostId) {
        self.end_barrier_steps(number, host, StepStand::Skipped);
        let name = self.plan.project.barriers[number].name.clone();
        self.too_late(host, name.as_str());
    }

    fn end_barrier_steps(&mut self, number: usize, host: HostId, end: StepStand) {
        let name = &self.plan.project.barriers[number].name;
        let Some((cluster, place)) = self.places[host.index()] else { return };
        let steps = &self.plan.clusters[cluster].spec.execution;
        if let Stage::Executing(stands) = &mut self.clusters[cluster].members[place].stage {
            for (step, stand) in steps.iter().zip(stands) {
                let here = matches!(&step.action, Action::Barrier(r) if r.name == *name);
                if here && *stand == StepStand::AtBarrier {
                    *stand = end;
                }
            }
        }
    }

    pub(super) fn stop_tasks_on(&mut self, host: HostId) {
        for task in self.tasks.iter_mut().filter(|t| t.host == host && !t.is_over() && !t.stop_sent)
        {
            task.stop_sent = true;
            let stop = Command::Stop { key: task.key, why: "stop".into() };
            self.hosts[host.index()].command(stop);
        }
    }

    pub(super) fn signal_all(&mut self, signal: i32) {
        for task in self.tasks.iter().filter(|t| t.stand == Stand::Running) {
            self.hosts[task.host.index()].command(Command::Signal { key: task.key, signal });
        }
    }
}

/// The state of a step when its task is over.
fn end_of(task: &TaskRun) -> StepStand {
    match task.is_done_with() {
        true => StepStand::Done,
        false => StepStand::Skipped,
    }
}
