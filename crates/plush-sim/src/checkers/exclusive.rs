//! What must hold of places of which there must not be two: never two live, none given away too soon, each served again.

use super::{Checks, stands_still};
use crate::world::{Host, Place, Process, ProcessStage, World, exclusive_place};
use plush_core::Millis;
use plush_core::plan::{HostId, RunPlan};
use plush_protocol::{Exit, Program, Report, TaskKey, TaskSpec, TaskState};
use plush_spec::model::Reaction;
use std::collections::{BTreeMap, BTreeSet};

/// No program of the simulator has a longer one.
const GRACE_MAX_MS: Millis = 3_000;

/// What has been seen of such places.
#[derive(Default)]
pub(super) struct Exclusive {
    /// Renewals of each host: when the controller heard what it sent back, the last one of each row in which none came
    /// after the lease was surely out.
    renewed: BTreeMap<HostId, Vec<Millis>>,
    /// Ends that the journal knows.
    known_ends: BTreeSet<TaskKey>,
    /// What has run in a place, in the order of its beginnings.
    runs: BTreeMap<Place, Vec<Tenure>>,
}

/// A program that began in a place.
#[derive(Clone, Copy)]
struct Tenure {
    host: HostId,
    key: TaskKey,
    since: Millis,
}

impl Checks {
    /// A lease of that length is renewed from what was heard just now.
    pub fn renewed_from_now(&mut self, at: Millis, host: HostId, lease_ms: Option<Millis>) {
        let rows = self.exclusive.renewed.entry(host).or_default();
        match rows.last_mut() {
            Some(last) if lease_ms.is_none_or(|ms| at < *last + life_ms(ms, GRACE_MAX_MS)) => {
                *last = at;
            }
            Some(_) | None => rows.push(at),
        }
    }

    /// A program of such a place begins.
    pub fn place_taken(&mut self, since: Millis, host: HostId, key: TaskKey, place: Place) {
        self.exclusive.runs.entry(place).or_default().push(Tenure { host, key, since });
    }

    pub(super) fn ends_known(&mut self, report: &Report) {
        let has_ended = |state: &TaskState| match state {
            // Also of an end that nobody saw the agent says so only when nothing of the task is left.
            TaskState::Exited { .. } | TaskState::NotStarted(_) => true,
            TaskState::Starting | TaskState::Running { .. } => false,
        };
        let ended = report.tasks().iter().filter(|r| has_ended(&r.state)).map(|r| r.key);
        self.exclusive.known_ends.extend(ended);
    }

    /// L3: a place is another host's only when the one before it has said that nothing of it runs, or when its lease and
    /// its grace are over by its own clock, and that is slow by one part in a hundred.
    pub(super) fn replaced(&mut self, at: Millis, host: HostId, spec: &TaskSpec, plan: &RunPlan) {
        let Program::Argv(words) = &spec.program else { return };
        let Some(place) = exclusive_place(plan, spec, words) else { return };
        let lease_ms =
            plan.stop_after_ms(host).expect("a place of which there are not two has a lease");
        let life_ms = life_ms(lease_ms, spec.stop.grace_ms);
        let runs = self.exclusive.runs.get(&place).cloned().unwrap_or_default();
        for Tenure { host: before, key, since } in runs {
            let is_known = self.exclusive.known_ends.contains(&key);
            if before == host || is_known {
                continue;
            }
            let rows = self.exclusive.renewed.get(&before).map_or(&[][..], Vec::as_slice);
            let its = rows.iter().find(|last| since <= **last + life_ms);
            let renewed = its.copied().unwrap_or(since);
            self.demand(at >= renewed + life_ms, "L3", at, || {
                format!("{place:?} is started on {host:?}; {key:?} on {before:?} was renewed at {renewed} for {life_ms} ms")
            });
        }
    }
}

/// How long a program lives without a renewal, by a clock that is slow by one part in a hundred.
fn life_ms(lease_ms: Millis, grace_ms: Millis) -> Millis {
    (lease_ms + grace_ms) * 101 / 100
}

/// A program that may be counted as live: it runs, somebody looks after it, and its host does not stand still.
fn counts(at: Millis, host: &Host, process: &Process) -> bool {
    let is_watched = process.kept || host.agent.is_some();
    host.is_on()
        && is_watched
        && !stands_still(at, host, process)
        && process.stage == ProcessStage::Running
}

impl World {
    /// P7: of no place two programs live.
    pub(crate) fn check_exclusive(&mut self) {
        let mut live: BTreeMap<&Place, Vec<usize>> = BTreeMap::new();
        for (number, host) in self.hosts.iter().enumerate() {
            for process in host.processes.values().filter(|p| counts(self.now, host, p)) {
                if let Some(place) = &process.place {
                    live.entry(place).or_default().push(number);
                }
            }
        }
        let two = live.into_iter().find(|(_, hosts)| hosts.len() > 1);
        let two = two.map(|(place, hosts)| format!("{place:?} is served on hosts {hosts:?}"));
        self.checks.demand(two.is_none(), "P7", self.now, || two.unwrap_or_default());
    }

    /// Liveness: a place that its lease has ended is served again, where its host was never given up.
    pub(super) fn check_served_at_end(&mut self) {
        let view = self.controller.run.view();
        if view.stopping.is_some() {
            return;
        }
        let plan = self.controller.run.plan().clone();
        let runs = std::mem::take(&mut self.checks.exclusive.runs);
        for (place, runs) in runs {
            let Some(Tenure { host, key, .. }) = runs.last().copied() else { continue };
            let name = plan.host_name(host);
            let by_lease = Exit::Stopped { why: Exit::LEASE.into() };
            let Some(cluster) = plan.cluster_of(host) else { continue };
            let is_kept = matches!(cluster.kept.on_failure.process, None | Some(Reaction::Restart));
            let is_blamed = view.problems.iter().any(|p| {
                p.host.as_deref() == Some(name) && p.operation != "run" && p.operation != "note"
            });
            // What a host had forgotten when it was asked is ambiguous, and such a place is not served again.
            let told = self.checks.told.get(&key);
            let ended = told.is_some_and(|(_, exit)| exit.as_ref() == Some(&by_lease));
            self.checks.demand(!ended || !is_kept || is_blamed, "served again", self.now, || {
                format!("{place:?} was ended on {host:?} by its lease, and nobody serves it")
            });
        }
    }
}
