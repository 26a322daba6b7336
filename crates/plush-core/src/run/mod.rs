//! A run: everything that a controller decides. Facts go in by [`Run::absorb`], effects come out of [`Run::decide`].
//! Not how effects are performed, and not what an agent decides for itself.
//!
//! A host goes: link, preparation, ready barrier, steps, then, when all are through, results, clean-up, end.
//! `absorb` only writes down; `decide` moves what can move, in the order of a run's life, until nothing moves.

mod asking;
mod ending;
mod event;
mod executing;
mod gathering;
mod history;
mod host;
mod incidents;
mod member;
mod membership;
mod network;
mod overruling;
mod preparing;
mod probing;
mod reacting;
mod reconciling;
mod recovery;
mod refreshing;
mod render;
mod requests;
mod results;
mod room;
mod steps_of_few;
mod sums;
mod task;
mod together;
mod view;

pub use event::{ConnectFailure, Effect, Event, LinkAccount, Watch};
pub use room::too_large;

use crate::Millis;
use crate::barrier::Barrier;
use crate::elapsed::Elapsed;
use crate::plan::{HostId, PlannedCluster, RunPlan};
use asking::Asking;
use gathering::Gathering;
use host::{Ending, HostRun, Patience};
use incidents::Incidents;
use member::ClusterRun;
use network::Network;
use plush_protocol::{Outcome, Problem, RunView, Tainted, TaskKey};
use recovery::Absence;
use refreshing::LineUps;
use render::{Peers, Seat};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use task::TaskRun;

/// The version of the rules and of the state that they decide from. Raised with every change after which a journal leads
/// elsewhere than it did, or a state that was written is not understood: the journals of releases, kept with the tests,
/// say when (J7).
pub const RULES: u32 = 1;

/// Problems that are kept: so many, or so many for each host if that is more. A service meets new ones for years.
const PROBLEMS_LEAST: usize = 1_000;
const PROBLEMS_PER_HOST: usize = 4;

/// The state of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    plan: RunPlan,
    now: Millis,
    /// Its offset from elapsed time.
    #[serde(default, skip_serializing_if = "Elapsed::is_default")]
    elapsed: Elapsed,
    hosts: Vec<HostRun>,
    clusters: Vec<ClusterRun>,
    /// The description's barriers, in the order of the project.
    barriers: Vec<Gathering>,
    tasks: Vec<TaskRun>,
    /// Cluster and place in it of each host that has one.
    places: Vec<Option<(usize, usize)>>,
    /// Lost hosts whose places were or may be given away.
    absent: Vec<Absence>,
    problems: VecDeque<Problem>,
    /// Older ones that are not kept any more.
    forgotten_problems: u64,
    #[serde(default, skip_serializing_if = "Incidents::is_empty")]
    incidents: Incidents,
    /// Controllers that took the run over.
    takeovers: u64,
    network: Network,
    line_ups: LineUps,
    asking: Asking,
    stopping: Option<Stopping>,
    outcome: Option<Outcome>,
}

/// A task whose output is awaited or may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTask {
    /// Which.
    pub key: TaskKey,
    /// Its process.
    pub process: String,
    /// What it has written to its output and to its errors, once it has ended: its agent has said it and does not say it
    /// again.
    pub total_bytes: Option<(u64, u64)>,
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
    /// A host was lost and the description says that the run fails with it.
    HostLost(String),
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
            elapsed: Elapsed::default(),
            hosts: ids.map(HostRun::new).collect(),
            clusters,
            barriers: plan
                .project
                .barriers
                .iter()
                .map(|b| {
                    Gathering::new(b.policy.clone(), b.per_host.unwrap_or(1), plan.hosts.len())
                })
                .collect(),
            tasks: Vec::new(),
            places,
            absent: Vec::new(),
            problems: VecDeque::new(),
            forgotten_problems: 0,
            incidents: Incidents::default(),
            takeovers: 0,
            network: Network::default(),
            line_ups: LineUps::default(),
            asking: Asking::default(),
            stopping: None,
            outcome: None,
            plan,
        };
        for cluster in 0..run.clusters.len() {
            for place in 0..run.clusters[cluster].members.len() {
                run.expect_at_barriers(cluster, run.clusters[cluster].members[place].host);
            }
        }
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

    /// The tasks of a host, for a new controller, which goes on storing their output.
    pub fn tasks_on(&self, host: HostId) -> Vec<OpenTask> {
        let here = self.tasks.iter().filter(|t| t.host == host);
        let open = |t: &TaskRun| {
            let process = t.process.clone();
            let open = t.open_keys().map(move |(key, total_bytes)| OpenTask {
                key,
                process: process.clone(),
                total_bytes,
            });
            open.collect::<Vec<_>>()
        };
        here.flat_map(open).collect()
    }

    /// Controllers that took the run over, the first one not counted.
    pub fn takeovers(&self) -> u64 {
        self.takeovers
    }

    /// The shortest time in which a link to a host was made, by whichever controller.
    pub fn login_ms(&self, host: HostId) -> Option<Millis> {
        self.hosts[host.index()].login_ms
    }

    /// Writes down what happened. Never says what to do.
    pub fn absorb(&mut self, now: Millis, event: Event) {
        let told = self.now;
        self.now = self.now.max(now);
        match event {
            Event::ClockRead { reading } => {
                if !self.elapsed.read(told, reading) {
                    // Clock offsets of hosts refer to the previous machine.
                    self.hosts.iter_mut().for_each(|host| host.clock = None);
                }
            }
            Event::Restarted => {
                let now = self.now;
                self.takeovers += 1;
                self.hosts.iter_mut().for_each(|h| h.controller_restarted(now));
                self.ask_results_again();
                self.asking.controller_restarted();
                self.tasks.iter_mut().for_each(|task| task.watched = None);
            }
            Event::Connected { host, hello, account } => {
                let clock = account.clock.map(|offset| self.elapsed.ahead_of_run(offset));
                let host = &mut self.hosts[host.index()];
                host.connected(*hello, account, self.now);
                host.clock_told(clock);
            }
            Event::ConnectFailed { host, failure } => self.connect_failed(host, failure),
            Event::LinkLost { host, cause } => self.link_lost(host, &cause),
            Event::Suspected { host, silent_ms, limit_ms } => {
                let now = self.now;
                self.hosts[host.index()].suspected(silent_ms, limit_ms, now);
            }
            Event::HeardAgain { host, .. } => self.hosts[host.index()].heard_again(),
            Event::ConnectDropped { host } => {
                let now = self.now;
                self.hosts[host.index()].connect_dropped(now);
            }
            Event::Slept { ms } => self.slept(ms),
            Event::Late { factor } => self.network.late(factor),
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
                    task.stored(key.incarnation, stream);
                }
            }
            Event::Collected { host, skipped, unmatched, .. } => {
                self.results_came(host, skipped, unmatched);
                self.set_collected(host);
            }
            Event::CollectFailed { host, cause } => self.collect_failed(host, cause),
            Event::StopAsked { why } => {
                self.stopping.get_or_insert(Stopping::Asked(why));
            }
            Event::SignalAsked { signal } => self.signal_all(signal),
            Event::Answered { question, answer } => self.answered(question, None, &answer),
            Event::Probed { host, key, health, why } => self.probed(host, key, health, why),
            Event::ClockMeasured { host, offset } => {
                self.hosts[host.index()].clock = Some(self.elapsed.ahead_of_run(offset));
            }
        }
    }

    /// Says what to do now. Called again at the same instant it says nothing more.
    pub fn decide(&mut self, now: Millis) -> Vec<Effect> {
        self.now = self.now.max(now);
        let mut effects = Vec::new();
        if self.outcome.is_some() {
            return effects;
        }
        self.tell_of_start();
        self.receive_returned();
        self.begin_again();
        self.move_members();
        self.refresh_files();
        self.ask_about_barriers();
        self.finish_hosts(&mut effects);
        self.connect(&mut effects);
        self.tell_when_over();
        self.decide_questions(&mut effects);
        self.hosts.iter_mut().for_each(|h| h.decide_session(&mut effects));
        self.conclude(&mut effects);
        self.judge_network();
        self.decide_probing(&mut effects);
        effects
    }

    /// When to be asked again though nothing happens; strictly later than `now`.
    pub fn wake_at(&self, now: Millis) -> Option<Millis> {
        if self.outcome.is_some() {
            return None;
        }
        let links = self.hosts.iter().filter_map(HostRun::wake_at);
        let phases = self.clusters.iter().flat_map(|c| [&c.prepare, &c.ready]);
        let named = self.barriers.iter().filter_map(|b| b.rounds().wake_at());
        let barriers = phases.filter_map(Barrier::wake_at).chain(named);
        let barriers = barriers.filter(|_| self.stopping.is_none());
        let limits = self.hosts.iter().filter_map(HostRun::cleaning_limit);
        let vacancies = self.vacancy_at().filter(|_| self.stopping.is_none());
        links
            .chain(barriers)
            .chain(limits)
            .chain(vacancies)
            .chain(self.again_at())
            .chain(self.asking.wake_at())
            .map(|at| at.max(now + 1))
            .min()
    }

    /// The view for display, at the last event of the run.
    pub fn view(&self) -> RunView {
        self.view_at(self.now)
    }

    /// The same at a later instant without a new event.
    pub fn view_at(&self, now: Millis) -> RunView {
        view::of(self, now.max(self.now))
    }

    /// Converts an instant of the decision clock to elapsed time: ms since the run began, including
    /// time without a controller.
    pub fn shown(&self, at: Millis) -> Millis {
        self.elapsed.shown(at)
    }

    /// Converts a host's boot time in microseconds to elapsed time; `None` while that clock is
    /// unknown.
    pub fn shown_boot_time(&self, host: HostId, boot_us: u64) -> Option<Millis> {
        let at_us = self.hosts[host.index()].run_time_us(boot_us)?;
        Some(u64::try_from(at_us).unwrap_or(0) / 1_000)
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

    fn link_lost(&mut self, host: HostId, cause: &Tainted) {
        let now = self.now;
        let host_run = &mut self.hosts[host.index()];
        match (host_run.link_lost(cause, now), host_run.ending) {
            (Patience::TryAgain, _) => {}
            (Patience::GiveUp, Ending::Cleaned) => host_run.close(Ending::Cleaned, now),
            (Patience::GiveUp, _) => {
                let text = format!("every link is lost right after it is made: {}", cause.raw());
                let hint =
                    "see the agent's log, or what `plush doctor` says of the host".to_owned();
                self.give_up(host, "keep a link", Tainted::new(text), Some(hint));
            }
        }
    }

    fn connect_failed(&mut self, host: HostId, failure: ConnectFailure) {
        let (now, verdicts, awaited) = (self.now, self.verdicts(), self.awaited(host));
        let host_run = &mut self.hosts[host.index()];
        if host_run.ending == Ending::Cleaned {
            // It is clean, and nobody need go there again.
            host_run.close(Ending::Cleaned, now);
            return;
        }
        if host_run.ending == Ending::Away {
            let look_at = now + self.return_interval_ms(host);
            self.hosts[host.index()].go_away(now, look_at);
            return;
        }
        let silent = host_run.silent_since().map(|_| host_run.last_word(awaited));
        match host_run.connect_failed(&failure, awaited, verdicts, now) {
            Patience::TryAgain => {}
            Patience::GiveUp => {
                let silent = silent.unwrap_or_default();
                let text = format!("{silent}{}: {}", failure.stage, failure.cause.raw());
                self.give_up(host, "connect", Tainted::new(text), failure.hint);
            }
        }
    }

    fn seat<'a>(&'a self, cluster: usize, place: usize, peers: &'a [Peers]) -> Seat<'a> {
        let host = self.clusters[cluster].members[place].host;
        let replaces = self.hosts[host.index()].replaces;
        Seat {
            plan: &self.plan,
            cluster: &self.plan.clusters[cluster],
            host: &self.plan.hosts[host.index()],
            replaces: replaces.map(|(before, number)| (self.plan.host_name(before), number)),
            rank: self.clusters[cluster].rank_of(place),
            peers,
        }
    }

    /// The hosts that hold the places of each cluster, by rank.
    fn peers(&self) -> Vec<Peers> {
        let clusters = self.plan.clusters.iter().zip(&self.clusters);
        let peers = |(plan, cluster): (&PlannedCluster, &ClusterRun)| {
            let hosts = cluster.line_up();
            Peers::of(plan.name(), hosts.iter().map(|host| &self.plan.hosts[host.index()]))
        };
        clusters.map(peers).collect()
    }

    fn connect(&mut self, effects: &mut Vec<Effect>) {
        let (now, stopping) = (self.now, self.stopping.is_some());
        if stopping || self.is_work_over() {
            effects.extend(self.hosts.iter_mut().filter_map(HostRun::decide_drop));
        }
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
        if self.problems.len() >= PROBLEMS_LEAST.max(PROBLEMS_PER_HOST * self.hosts.len()) {
            self.problems.pop_front();
            self.forgotten_problems += 1;
        }
        self.problems.push_back(Problem {
            at_ms: self.now,
            host: host.map(|h| self.plan.host_name(h).to_owned()),
            operation: operation.to_owned(),
            cause,
            hint,
            mended: None,
        });
    }
}

#[cfg(test)]
mod tests;
