//! Results: which files are requested, and how missing ones are reported.
//! Not the transfer of files.

use super::Run;
use super::task::TaskRun;
use crate::plan::{HostId, PlannedCluster};
use plush_protocol::Tainted;
use plush_spec::model::{Action, On};

impl Run {
    /// The results to collect from the host: none unless it has reached its cluster's directory.
    pub(super) fn globs_of(&self, number: usize) -> Vec<(String, Vec<String>)> {
        let Some((cluster, place)) = self.seat_held(number) else { return Vec::new() };
        let begun = self.tasks.iter().any(|t| t.host.index() == number);
        let globs = self.seat(cluster, place, &self.peers()).globs();
        if globs.is_empty() || !begun {
            return Vec::new();
        }
        vec![(self.plan.clusters[cluster].name().to_owned(), globs)]
    }

    /// Handles the results of a host. Reports files that matched and were not received, and globs
    /// that matched nothing although the host ran every step that produces them.
    pub(super) fn results_came(
        &mut self,
        host: HostId,
        skipped: Vec<Tainted>,
        unmatched: Vec<u32>,
    ) {
        for what in skipped {
            self.result_is_missing(host, what);
        }
        if self.stopping.is_none() {
            for glob in &unmatched {
                if self.origin(host, *glob) == Origin::Here {
                    self.matched_nothing(host, *glob);
                }
            }
        }
        self.hosts[host.index()].unmatched = Some(unmatched);
    }

    /// At the end: reports outputs of steps of few that no host produced.
    pub(super) fn name_what_no_host_brought(&mut self) {
        let mut nowhere = Vec::new();
        for host in &self.hosts {
            let Some((cluster, _)) = self.places[host.id.index()] else { continue };
            for glob in host.unmatched.iter().flatten() {
                let mut members = self.clusters[cluster].members.iter();
                let is_maybe = self.origin(host.id, *glob) == Origin::Maybe;
                if is_maybe && !members.any(|m| self.has_brought(m.host, *glob)) {
                    nowhere.push((host.id, *glob));
                }
            }
        }
        // Reported once, since callbacks may still be pending.
        self.hosts.iter_mut().for_each(|host| host.unmatched = None);
        if self.stopping.is_none() {
            nowhere.into_iter().for_each(|(host, glob)| self.matched_nothing(host, glob));
        }
    }

    fn has_brought(&self, host: HostId, glob: u32) -> bool {
        let unmatched = self.hosts[host.index()].unmatched.as_ref();
        unmatched.is_some_and(|globs| !globs.contains(&glob))
    }

    fn matched_nothing(&mut self, host: HostId, glob: u32) {
        let globs = self.globs_of(host.index()).into_iter().flat_map(|(_, globs)| globs);
        let Some(text) = globs.into_iter().nth(glob as usize) else { return };
        self.result_is_missing(host, Tainted::new(format!("output `{text}` matched no file")));
    }

    pub(super) fn result_is_missing(&mut self, host: HostId, what: Tainted) {
        self.hosts[host.index()].results_missing = true;
        self.problem(Some(host), "collect", what, None);
    }

    /// Which hosts produce the files of a glob of a host's cluster.
    fn origin(&self, host: HostId, glob: u32) -> Origin {
        let Some((number, place)) = self.places[host.index()] else { return Origin::Elsewhere };
        let plan = &self.plan.clusters[number];
        match step_of(plan, glob as usize) {
            Some(step) => {
                let is_it = |t: &TaskRun| t.host == host && (t.cluster, t.step) == (number, step);
                match self.tasks.iter().any(is_it) {
                    true => Origin::Here,
                    false => Origin::Elsewhere,
                }
            }
            None => {
                let rank = self.clusters[number].members[place].rank;
                let does_all = |on: On| match on {
                    On::All => true,
                    On::Count(count) => rank.is_some_and(|rank| rank < count as usize),
                };
                match crate::plan::processes(&plan.spec).all(|process| does_all(process.on)) {
                    true => Origin::Here,
                    false => Origin::Maybe,
                }
            }
        }
    }
}

/// Which hosts produce the files of a glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// This host.
    Here,
    /// This host, or the hosts of its cluster that did a step of few.
    Maybe,
    /// A process that did not run on this host.
    Elsewhere,
}

/// The step whose process names this output; `None` for outputs of the cluster itself, which come
/// first.
fn step_of(plan: &PlannedCluster, glob: usize) -> Option<usize> {
    let steps = plan.spec.execution.iter().enumerate();
    let of_steps = steps.flat_map(|(number, step)| match &step.action {
        Action::Process(process) => vec![number; process.outputs.len()],
        Action::Barrier(_) | Action::Workflow(_) | Action::Repeat(_) => Vec::new(),
    });
    let mut of_steps = of_steps;
    of_steps.nth(glob.checked_sub(plan.spec.outputs.len())?)
}
