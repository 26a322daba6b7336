//! A run: everything that a controller decides. Facts go in by [`Run::absorb`], effects come out of [`Run::decide`].
//! Not how effects are performed, and not what an agent decides for itself.
//!
//! A host goes: link, preparation, ready barrier, steps, then, when all are through, results, clean-up, end.
//! `absorb` only writes down; `decide` moves what can move, in the order of a run's life, until nothing moves.

mod ending;
mod event;
mod host;
mod member;
mod render;
mod task;
mod view;

pub use event::{ConnectFailure, Effect, Event, LinkAccount};

use crate::Millis;
use crate::barrier::{Barrier, Entrant, Verdict};
use crate::plan::{HostId, RunPlan};
use host::{Ending, HostRun, Link, Patience};
use member::{ClusterRun, Stage, StepStand};
use plush_protocol::{
    Cause, Command, Outcome, Problem, Report, RunView, Tainted, TaskKey, TaskRecord, TaskState,
};
use plush_spec::model::{Action, Reaction};
use render::{Peers, Seat};
use serde::{Deserialize, Serialize};
use task::{Stand, TaskRun};

/// The state of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    plan: RunPlan,
    now: Millis,
    hosts: Vec<HostRun>,
    clusters: Vec<ClusterRun>,
    /// The description's barriers, in the order of the project.
    barriers: Vec<Barrier>,
    tasks: Vec<TaskRun>,
    /// Cluster and place in it of each host that has one.
    places: Vec<Option<(usize, usize)>>,
    problems: Vec<Problem>,
    stopping: Option<Stopping>,
    outcome: Option<Outcome>,
}

/// Why no more work is begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stopping {
    /// An operator asked.
    Asked(String),
    /// A cluster has too few hosts.
    TooFewHosts(String),
    /// A process failed and the description says that the run fails with it.
    ProcessFailed(String),
}

impl Run {
    /// A run at its very beginning.
    pub fn new(plan: RunPlan) -> Self {
        let clusters: Vec<ClusterRun> = plan.clusters.iter().map(ClusterRun::new).collect();
        let mut places = vec![None; plan.hosts.len()];
        for (number, cluster) in clusters.iter().enumerate() {
            for (place, member) in cluster.members.iter().enumerate() {
                places[member.host.index()] = Some((number, place));
            }
        }
        let ids = (0u32..).map(HostId).take(plan.hosts.len());
        let mut run = Run {
            now: 0,
            hosts: ids.map(HostRun::new).collect(),
            clusters,
            barriers: plan
                .project
                .barriers
                .iter()
                .map(|b| Barrier::new(b.policy.clone()))
                .collect(),
            tasks: Vec::new(),
            places,
            problems: Vec::new(),
            stopping: None,
            outcome: None,
            plan,
        };
        run.expect_at_barriers();
        run
    }

    /// The plan that the run follows.
    pub fn plan(&self) -> &RunPlan {
        &self.plan
    }

    /// Set once the run is over.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// The time up to which the run has been told.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The tasks of a host and their processes: a new controller goes on storing their output.
    pub fn tasks_on(&self, host: HostId) -> Vec<(TaskKey, String)> {
        let here = self.tasks.iter().filter(|t| t.host == host);
        here.map(|t| (t.key, t.process.clone())).collect()
    }

    /// Writes down what happened. Never says what to do.
    pub fn absorb(&mut self, now: Millis, event: Event) {
        self.now = self.now.max(now);
        match event {
            Event::Restarted => {
                let now = self.now;
                self.hosts.iter_mut().for_each(|h| h.controller_restarted(now));
                self.ask_results_again();
            }
            Event::Connected { host, hello, account } => {
                self.hosts[host.index()].connected(*hello, account.client, self.now);
            }
            Event::ConnectFailed { host, failure } => self.connect_failed(host, failure),
            Event::LinkLost { host, .. } => {
                let now = self.now;
                self.hosts[host.index()].link_lost(now);
            }
            Event::Reported { host, session, number, report } => {
                if self.hosts[host.index()].takes(session, number) {
                    self.reported(host, report);
                }
            }
            Event::Taken { host, session, number } => {
                self.hosts[host.index()].taken(session, number);
            }
            Event::OutputStored { key, stream, .. } => {
                if let Some(task) = self.tasks.get_mut(key.task as usize) {
                    task.stored(stream);
                }
            }
            Event::Collected { host, skipped, .. } => {
                for what in skipped {
                    self.problem(Some(host), "collect", what, None);
                }
                self.set_collected(host);
            }
            Event::CollectFailed { host, cause } => self.collect_failed(host, cause),
            Event::StopAsked { why } => {
                self.stopping.get_or_insert(Stopping::Asked(why));
            }
            Event::SignalAsked { signal } => self.signal_all(signal),
        }
    }

    /// Says what to do now. Called again at the same instant it says nothing more.
    pub fn decide(&mut self, now: Millis) -> Vec<Effect> {
        self.now = self.now.max(now);
        let mut effects = Vec::new();
        if self.outcome.is_some() {
            return effects;
        }
        self.move_members();
        self.finish_hosts(&mut effects);
        self.connect(&mut effects);
        self.hosts.iter_mut().for_each(|h| h.decide_session(&mut effects));
        self.conclude(&mut effects);
        effects
    }

    /// When to be asked again though nothing happens; strictly later than `now`.
    pub fn wake_at(&self, now: Millis) -> Option<Millis> {
        if self.outcome.is_some() {
            return None;
        }
        let links = self.hosts.iter().filter_map(HostRun::wake_at);
        let phases = self.clusters.iter().flat_map(|c| [&c.prepare, &c.ready]);
        let barriers = phases.chain(&self.barriers).filter_map(Barrier::wake_at);
        let barriers = barriers.filter(|_| self.stopping.is_none());
        let limits = self.hosts.iter().filter_map(HostRun::cleaning_limit);
        links.chain(barriers).chain(limits).map(|at| at.max(now + 1)).min()
    }

    /// The flat picture for people.
    pub fn view(&self) -> RunView {
        view::of(self)
    }

    /// Moves every member as far as it can go now. One that goes out or comes to its end may free a place for
    /// another, so this goes on until none does; members are finite, and none comes back.
    fn move_members(&mut self) {
        loop {
            self.replace_lost_members();
            self.check_numbers();
            let before = (self.members_through(), self.stopping.is_some());
            if self.stopping.is_some() {
                self.wind_down();
            } else {
                self.admit_to_preparation();
                self.admit_to_execution();
            }
            self.advance_execution();
            if before == (self.members_through(), self.stopping.is_some()) {
                return;
            }
        }
    }

    fn members_through(&self) -> usize {
        self.clusters.iter().map(ClusterRun::through).sum()
    }

    fn connect_failed(&mut self, host: HostId, failure: ConnectFailure) {
        if self.hosts[host.index()].ending == Ending::Cleaned {
            // It is clean, and nobody need go there again.
            self.hosts[host.index()].link = Link::Closed;
            return;
        }
        match self.hosts[host.index()].connect_failed(&failure, self.now) {
            Patience::TryAgain => {}
            Patience::GiveUp => {
                let cause = Tainted::new(format!("{}: {}", failure.stage, failure.cause.raw()));
                self.give_up(host, "connect", cause, failure.hint);
            }
        }
    }

    fn reported(&mut self, host: HostId, report: Report) {
        match report {
            Report::Inventory { tasks, prepared } => {
                // It opens a session; elsewhere it is a hostile agent's word.
                if self.hosts[host.index()].is_at_first_report() {
                    self.reconcile(host, tasks, &prepared);
                }
            }
            Report::Preparing { cluster, step, done_bytes, total_bytes } => {
                self.preparing(host, &cluster, step, done_bytes, total_bytes);
            }
            Report::Prepared { cluster, .. } => self.prepared(host, &cluster),
            Report::PrepareFailed { cluster, cause } => {
                if self.is_preparing(host, &cluster) {
                    self.leave(host, "prepare", cause.text, None);
                }
            }
            Report::Task(record) => self.task_reported(host, &record),
            Report::Cleaned { remainder, failed_lines } => {
                for line in failed_lines {
                    self.problem(Some(host), "clean up", line, None);
                }
                for left in remainder {
                    let hint = Some("look at the host: this was left there".to_owned());
                    self.problem(Some(host), "clean up", left, hint);
                }
                let now = self.now;
                self.hosts[host.index()].cleaned(now);
            }
            Report::Note(text) => self.problem(Some(host), "note", text, None),
        }
    }

    /// A new agent process tells what it knows: what it does not know has to be asked for again (fault F04), and what
    /// it should know and does not is lost with the host's disk (F03).
    fn reconcile(&mut self, host: HostId, known: Vec<TaskRecord>, prepared: &[String]) {
        for record in &known {
            self.task_reported(host, record);
        }
        let mut again = Vec::from_iter(self.reconcile_preparation(host, prepared));
        self.lose_forgotten(host, &known);
        again.extend(self.reconcile_tasks(host, &known));
        if let Ending::Cleaning { .. } = self.hosts[host.index()].ending {
            again.push(self.clean_up_command(host));
        }
        let host_run = &mut self.hosts[host.index()];
        let is_over = |key: TaskKey| self.tasks.get(key.task as usize).is_none_or(TaskRun::is_over);
        host_run.number_anew(|c| !matches!(c, Command::Start { key, .. } if is_over(*key)));
        let asked: Vec<Command> = host_run.unacknowledged().cloned().collect();
        again.into_iter().filter(|c| !asked.contains(c)).for_each(|c| host_run.command(c));
    }

    /// A task that has run and of which no record is left: its end or the rest of its output will never be known, and
    /// it must not be started a second time under its key (P1).
    fn lose_forgotten(&mut self, host: HostId, known: &[TaskRecord]) {
        for number in 0..self.tasks.len() {
            let task = &mut self.tasks[number];
            let is_known = known.iter().any(|record| record.key == task.key);
            if task.host != host || is_known || !task.has_run() {
                continue;
            }
            let was_over = task.is_over();
            task.lose();
            if !was_over {
                let (cluster, step, text) = (task.cluster, task.step, task.failure());
                self.problem(Some(host), "run", text.clone(), None);
                self.step_over(host, cluster, step, true, &text);
            }
        }
    }

    fn reconcile_preparation(&mut self, host: HostId, prepared: &[String]) -> Option<Command> {
        let (cluster, place) = self.places[host.index()]?;
        let name = self.plan.clusters[cluster].name().to_owned();
        let is_there = prepared.contains(&name);
        match self.clusters[cluster].members[place].stage {
            Stage::Preparing { .. } if is_there => self.prepared(host, &name),
            Stage::Preparing { .. } => {
                return self
                    .seat(cluster, place, &self.peers())
                    .preparation()
                    .ok()
                    .map(Command::Prepare);
            }
            Stage::Prepared | Stage::Executing(_) if !is_there => {
                // What was started there may have run: it is not started a second time.
                self.tasks.iter_mut().filter(|t| t.host == host).for_each(TaskRun::lose);
                self.leave(host, "run", Tainted::new("the run's files are gone from it"), None);
            }
            Stage::Joining
            | Stage::Queued
            | Stage::Prepared
            | Stage::Executing(_)
            | Stage::Finished
            | Stage::Out(_) => {}
        }
        None
    }

    fn reconcile_tasks(&mut self, host: HostId, known: &[TaskRecord]) -> Vec<Command> {
        let mut again = Vec::new();
        for number in 0..self.tasks.len() {
            let task = &self.tasks[number];
            if task.host != host || task.is_over() {
                continue;
            }
            if known.iter().all(|record| record.key != task.key) {
                match self.start_command(number) {
                    Ok(start) => again.push(start),
                    Err(cause) => self.never_started(number, cause),
                }
            }
            let task = &self.tasks[number];
            if task.stop_sent && !task.is_over() {
                again.push(Command::Stop { key: task.key, why: "stop".into() });
            }
        }
        again
    }

    /// A task that cannot even be described to its host has failed like one that could not be started there.
    fn never_started(&mut self, number: usize, cause: Cause) {
        let task = &mut self.tasks[number];
        let (host, cluster, step, text) = (task.host, task.cluster, task.step, cause.text.clone());
        task.stand = Stand::NotStarted(cause);
        self.problem(Some(host), "start", text.clone(), None);
        self.step_over(host, cluster, step, true, &text);
    }

    fn preparing(
        &mut self,
        host: HostId,
        name: &str,
        step: String,
        done_bytes: u64,
        total_bytes: Option<u64>,
    ) {
        if self.is_preparing(host, name)
            && let Some((cluster, place)) = self.places[host.index()]
        {
            self.clusters[cluster].members[place].stage =
                Stage::Preparing { step, done_bytes, total_bytes };
        }
    }

    fn prepared(&mut self, host: HostId, name: &str) {
        if !self.is_preparing(host, name) {
            return;
        }
        let (cluster, place) = self.places[host.index()].expect("a preparing host has a place");
        let cluster = &mut self.clusters[cluster];
        cluster.members[place].stage = Stage::Prepared;
        cluster.prepare.leave(Entrant(host.0));
        cluster.ready.enter(Entrant(host.0), self.now);
    }

    fn is_preparing(&self, host: HostId, name: &str) -> bool {
        self.places[host.index()].is_some_and(|(cluster, place)| {
            self.plan.clusters[cluster].name() == name
                && matches!(self.clusters[cluster].members[place].stage, Stage::Preparing { .. })
        })
    }

    fn task_reported(&mut self, host: HostId, record: &TaskRecord) {
        let Some(task) = self.tasks.get_mut(record.key.task as usize) else { return };
        if task.host != host || task.key != record.key || !task.reported(&record.state) {
            return;
        }
        let failed = task.success() == Some(false);
        let (cluster, step, text) = (task.cluster, task.step, task.failure());
        if failed {
            let operation = match record.state {
                TaskState::NotStarted(_) => "start",
                TaskState::Starting | TaskState::Running { .. } | TaskState::Exited { .. } => "run",
            };
            self.problem(Some(host), operation, text.clone(), None);
        }
        self.step_over(host, cluster, step, failed, &text);
    }

    /// A task came to its end: its step is done, or the reaction to its failure is carried out.
    fn step_over(
        &mut self,
        host: HostId,
        cluster: usize,
        step: usize,
        failed: bool,
        text: &Tainted,
    ) {
        let Some((_, place)) = self.places[host.index()] else { return };
        let spec = &self.plan.clusters[cluster].spec;
        let own = match &spec.execution[step].action {
            Action::Process(process) => process.on_failure.as_ref(),
            Action::Barrier(_) | Action::Workflow(_) | Action::Repeat(_) => None,
        };
        let reaction = own.or(spec.on_failure.process.as_ref()).cloned();
        let member = &mut self.clusters[cluster].members[place];
        if let Stage::Executing(stands) = &mut member.stage {
            stands[step] = StepStand::Done;
        }
        if !failed {
            return;
        }
        match reaction {
            Some(Reaction::Continue) => {}
            Some(Reaction::Drop) => self.leave(host, "run", text.clone(), None),
            Some(Reaction::Fail) => {
                let why = format!("{text} on {}", self.plan.host_name(host));
                self.stopping.get_or_insert(Stopping::ProcessFailed(why));
            }
            // What follows a failed process on a host is not begun there; the others go on.
            None | Some(Reaction::Restart | Reaction::Replace | Reaction::Call(_)) => {
                member.skip_rest();
                self.leave_named_barriers(host);
            }
        }
    }

    /// Hosts that are connected and expected enter the preparation of their cluster.
    fn admit_to_preparation(&mut self) {
        for number in 0..self.clusters.len() {
            let cluster = &mut self.clusters[number];
            for member in &mut cluster.members {
                if member.stage == Stage::Joining && self.hosts[member.host.index()].is_up() {
                    member.stage = Stage::Queued;
                    cluster.prepare.enter(Entrant(member.host.0), self.now);
                }
            }
            for verdict in self.clusters[number].prepare.decide(self.now) {
                match verdict {
                    Verdict::Release(who) => self.begin_preparation(HostId(who.0)),
                    Verdict::TooLate(who) => self.too_late(HostId(who.0), "prepare"),
                }
            }
        }
    }

    fn begin_preparation(&mut self, host: HostId) {
        let Some((cluster, place)) = self.places[host.index()] else { return };
        match self.seat(cluster, place, &self.peers()).preparation() {
            Ok(spec) => {
                self.hosts[host.index()].command(Command::Prepare(spec));
                self.clusters[cluster].members[place].stage =
                    Stage::Preparing { step: "begin".into(), done_bytes: 0, total_bytes: None };
            }
            Err(cause) => self.leave(host, "prepare", cause.text, None),
        }
    }

    fn admit_to_execution(&mut self) {
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
            self.clusters[number].begin(beginning, &self.plan.clusters[number]);
        }
    }

    fn too_late(&mut self, host: HostId, barrier: &str) {
        self.leave(host, barrier, Tainted::new("came after the barrier had opened"), None);
    }

    /// Begins every step that may begin, lets go whom barriers let go, until nothing moves.
    fn advance_execution(&mut self) {
        loop {
            let peers = self.peers();
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
            self.leave_passed_barriers();
            for number in 0..self.barriers.len() {
                for verdict in self.barriers[number].decide(self.now) {
                    moved = true;
                    self.pass_barrier(number, verdict);
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// A member is inside a barrier until the steps right after it are over there.
    fn leave_passed_barriers(&mut self) {
        for (plan, cluster) in self.plan.clusters.iter().zip(&self.clusters) {
            for (step, name) in member::barrier_steps(plan) {
                let Some(number) = self.plan.project.barriers.iter().position(|b| b.name == *name)
                else {
                    continue;
                };
                for member in cluster.members.iter().filter(|m| m.is_past(step, plan)) {
                    self.barriers[number].leave(Entrant(member.host.0));
                }
            }
        }
    }

    fn advance_member(&mut self, cluster: usize, place: usize, peers: &Peers) -> bool {
        let member = &self.clusters[cluster].members[place];
        let Stage::Executing(stands) = &member.stage else { return false };
        let host = member.host;
        if stands.iter().all(StepStand::is_over) {
            self.clusters[cluster].members[place].stage = Stage::Finished;
            self.clusters[cluster].ready.leave(Entrant(host.0));
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

    fn begin_step(
        &mut self,
        host: HostId,
        cluster: usize,
        place: usize,
        step: usize,
        peers: &Peers,
    ) -> StepStand {
        let process = match &self.plan.clusters[cluster].spec.execution[step].action {
            Action::Process(process) => process,
            Action::Barrier(reference) => {
                let number =
                    self.plan.project.barriers.iter().position(|b| b.name == reference.name);
                let number = number.expect("the parser has checked that every barrier exists");
                if self.barriers[number].has_let_go(Entrant(host.0)) {
                    return StepStand::Done;
                }
                self.barriers[number].enter(Entrant(host.0), self.now);
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
        let rendered = self.seat(cluster, place, peers).task(process);
        let task = TaskRun::new(key, host, cluster, step, process.name.to_string(), codes);
        self.tasks.push(task);
        match rendered {
            Ok(spec) => {
                self.hosts[host.index()].command(Command::Start { key, spec: Box::new(spec) });
                StepStand::Task(number)
            }
            Err(cause) => {
                self.never_started(number, cause);
                StepStand::Done
            }
        }
    }

    fn pass_barrier(&mut self, number: usize, verdict: Verdict) {
        let name = self.plan.project.barriers[number].name.clone();
        let (who, passed) = match verdict {
            Verdict::Release(who) => (who, StepStand::Done),
            Verdict::TooLate(who) => (who, StepStand::Skipped),
        };
        let host = HostId(who.0);
        let Some((cluster, place)) = self.places[host.index()] else { return };
        let steps = &self.plan.clusters[cluster].spec.execution;
        if let Stage::Executing(stands) = &mut self.clusters[cluster].members[place].stage {
            for (step, stand) in steps.iter().zip(stands) {
                let here = matches!(&step.action, Action::Barrier(r) if r.name == name);
                if here && *stand == StepStand::AtBarrier {
                    *stand = passed;
                }
            }
        }
        if passed == StepStand::Skipped {
            self.too_late(host, name.as_str());
        }
    }

    /// Places whose host is out before the start get a spare host, if one is there.
    fn replace_lost_members(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        for number in 0..self.clusters.len() {
            for place in 0..self.clusters[number].members.len() {
                let member = &self.clusters[number].members[place];
                if !matches!(member.stage, Stage::Out(_)) || self.has_begun(member.host) {
                    continue;
                }
                if let Some(spare) = self.next_spare(number) {
                    self.take_over(number, place, spare);
                }
            }
        }
    }

    /// A task of the run was started on that host: its place is not given to another before recovery is asked for.
    fn has_begun(&self, host: HostId) -> bool {
        self.tasks.iter().any(|t| t.host == host)
    }

    fn next_spare(&mut self, cluster: usize) -> Option<HostId> {
        while let Some(spare) = self.clusters[cluster].spares.pop_front() {
            if self.hosts[spare.index()].trouble.is_none() {
                return Some(spare);
            }
        }
        None
    }

    fn take_over(&mut self, cluster: usize, place: usize, spare: HostId) {
        let member = &mut self.clusters[cluster].members[place];
        let old = std::mem::replace(&mut member.host, spare);
        member.stage = Stage::Joining;
        self.places[old.index()] = None;
        self.places[spare.index()] = Some((cluster, place));
        self.clusters[cluster].expect(spare);
        self.expect_at_barriers();
    }

    /// A cluster below its minimum stops the run.
    fn check_numbers(&mut self) {
        for (plan, cluster) in self.plan.clusters.iter().zip(&self.clusters) {
            let live = cluster.live();
            if live < plan.min && self.stopping.is_none() {
                let why = format!(
                    "cluster `{}` has {live} hosts left and needs {}",
                    plan.name(),
                    plan.min
                );
                self.stopping = Some(Stopping::TooFewHosts(why));
            }
        }
        if let Some(Stopping::TooFewHosts(why)) = &self.stopping
            && !self.problems.iter().any(|p| p.cause.raw() == why)
        {
            let cause = Tainted::new(why.clone());
            self.problem(None, "keep enough hosts", cause, None);
        }
    }

    /// Members of clusters whose steps name a barrier are expected at it.
    fn expect_at_barriers(&mut self) {
        for (planned, cluster) in self.plan.clusters.iter().zip(&self.clusters) {
            for step in &planned.spec.execution {
                let Action::Barrier(reference) = &step.action else { continue };
                let named =
                    self.plan.project.barriers.iter().position(|b| b.name == reference.name);
                let Some(number) = named else { continue };
                for member in cluster.members.iter().filter(|m| !matches!(m.stage, Stage::Out(_))) {
                    self.barriers[number].expect(Entrant(member.host.0));
                }
            }
        }
    }

    /// The host does not take part any more: what runs there is ended, and its agent, if there is one, is cleaned up
    /// with the others. A member that was through stays so.
    fn leave(&mut self, host: HostId, operation: &str, cause: Tainted, hint: Option<String>) {
        self.problem(Some(host), operation, cause.clone(), hint);
        self.hosts[host.index()].trouble.get_or_insert(cause.clone());
        self.stop_tasks_on(host);
        let Some((cluster, place)) = self.places[host.index()] else { return };
        let cluster = &mut self.clusters[cluster];
        if !matches!(cluster.members[place].stage, Stage::Out(_) | Stage::Finished) {
            cluster.members[place].stage = Stage::Out(cause);
        }
        cluster.prepare.fail(Entrant(host.0));
        cluster.ready.fail(Entrant(host.0));
        self.leave_named_barriers(host);
    }

    fn stop_tasks_on(&mut self, host: HostId) {
        for task in self.tasks.iter_mut().filter(|t| t.host == host && !t.is_over() && !t.stop_sent)
        {
            task.stop_sent = true;
            let stop = Command::Stop { key: task.key, why: "stop".into() };
            self.hosts[host.index()].command(stop);
        }
    }

    fn leave_named_barriers(&mut self, host: HostId) {
        self.barriers.iter_mut().for_each(|b| b.fail(Entrant(host.0)));
    }

    /// The host is out of reach: what it was doing is lost.
    fn give_up(&mut self, host: HostId, operation: &str, cause: Tainted, hint: Option<String>) {
        self.leave(host, operation, cause, hint);
        self.tasks.iter_mut().filter(|t| t.host == host).for_each(TaskRun::lose);
        let now = self.now;
        self.hosts[host.index()].close(Ending::OutOfReach, now);
    }

    fn signal_all(&mut self, signal: i32) {
        for task in self.tasks.iter().filter(|t| t.stand == Stand::Running) {
            self.hosts[task.host.index()].command(Command::Signal { key: task.key, signal });
        }
    }

    fn start_command(&self, number: usize) -> Result<Command, Cause> {
        let task = &self.tasks[number];
        let (_, place) =
            self.places[task.host.index()].expect("a host with a task keeps its place");
        let Action::Process(process) =
            &self.plan.clusters[task.cluster].spec.execution[task.step].action
        else {
            unreachable!("a task is made from a process")
        };
        let spec = self.seat(task.cluster, place, &self.peers()).task(process)?;
        Ok(Command::Start { key: task.key, spec: Box::new(spec) })
    }

    fn seat<'a>(&'a self, cluster: usize, place: usize, peers: &'a Peers) -> Seat<'a> {
        Seat {
            plan: &self.plan,
            cluster: &self.plan.clusters[cluster],
            host: self.plan.host_name(self.clusters[cluster].members[place].host),
            rank: self.clusters[cluster].rank_of(place),
            peers,
        }
    }

    /// The hosts that hold the places of each cluster, by rank.
    fn peers(&self) -> Vec<(String, Vec<String>)> {
        let names = |c: &ClusterRun| {
            c.line_up().into_iter().map(|host| self.plan.host_name(host).to_owned()).collect()
        };
        let clusters = self.plan.clusters.iter().zip(&self.clusters);
        clusters.map(|(plan, cluster)| (plan.name().to_owned(), names(cluster))).collect()
    }

    fn connect(&mut self, effects: &mut Vec<Effect>) {
        let (now, stopping) = (self.now, self.stopping.is_some());
        for host in &mut self.hosts {
            // A run that stops contacts nobody new; it goes back to hosts where an agent may be.
            if !stopping || host.was_reached() {
                effects.extend(host.decide_link(now));
            }
        }
    }

    fn problem(
        &mut self,
        host: Option<HostId>,
        operation: &str,
        cause: Tainted,
        hint: Option<String>,
    ) {
        self.problems.push(Problem {
            at_ms: self.now,
            host: host.map(|h| self.plan.host_name(h).to_owned()),
            operation: operation.to_owned(),
            cause,
            hint,
        });
    }
}

#[cfg(test)]
mod tests;
