//! Sums of wanted, answered and missing hosts at the end of a run; the outcome and the exit code
//! are derived from them.
//! Not the reaction of a run to missing hosts: see `membership` and `recovery`.

use super::host::{Ending, HostRun};
use super::member::{ClusterRun, Member, Stage};
use super::task::{Stand, TaskRun};
use super::{Run, Stopping};
use crate::plan::{HostId, PlannedCluster};
use plush_protocol::{ClusterSum, Outcome, Sums};

impl Run {
    /// The sums of a run in which all hosts are done.
    pub(super) fn sums(&self) -> Sums {
        let clusters = self.plan.clusters.iter().zip(&self.clusters);
        let clusters = clusters.map(|(plan, cluster)| self.sum_of(plan, cluster)).collect();
        let count = |tasks: usize| u32::try_from(tasks).expect("tasks are counted in 32 bits");
        let failed = || self.failed_tasks();
        let unaccepted = || failed().filter(|t| t.verdict.counts());
        let names = |is_it: &dyn Fn(&&HostRun) -> bool| {
            let hosts = self.hosts.iter().filter(is_it);
            hosts.map(|h| self.plan.host_name(h.id).to_owned()).collect()
        };
        Sums {
            clusters,
            tasks_failed: count(unaccepted().count()),
            tasks_out_of_time: count(unaccepted().filter(|t| t.was_out_of_time()).count()),
            failures_accepted: count(failed().filter(|t| !t.verdict.counts()).count()),
            results_missing: names(&|h| h.results_missing && self.has_answered(h.id)),
            clean_ups_failed: names(&|h| h.clean_up_failed),
        }
    }

    /// How the run ended, by its sums and by what stopped it.
    pub(super) fn outcome_by(&self, sums: &Sums) -> Outcome {
        let code = |is_it: fn(&&TaskRun) -> bool| {
            self.failed_tasks().filter(is_it).map(TaskRun::code).max()
        };
        match &self.stopping {
            Some(Stopping::Asked(_)) => return Outcome::Stopped,
            Some(Stopping::TooFewHosts(_) | Stopping::HostLost(_)) => return Outcome::TooFewHosts,
            Some(Stopping::ProcessFailed(_)) => {
                let code = code(|t| t.verdict.counts()).or_else(|| code(|_| true));
                return Outcome::TasksFailed { code: code.unwrap_or(UNKNOWN_CODE) };
            }
            None => {}
        }
        match code(|t| t.verdict.counts()) {
            Some(code) => Outcome::TasksFailed { code },
            None if sums.is_whole() => Outcome::Complete,
            None => Outcome::Partial,
        }
    }

    fn sum_of(&self, plan: &PlannedCluster, cluster: &ClusterRun) -> ClusterSum {
        let count = |members: usize| u32::try_from(members).expect("members fit 32 bits");
        let is_missing = |m: &&Member| !self.is_answered(m);
        let missing = cluster.members.iter().filter(is_missing);
        let missing = missing.map(|m| self.plan.host_name(m.host).to_owned());
        let missing: Vec<String> = missing.collect();
        let planned = count(cluster.members.len());
        ClusterSum {
            name: plan.name().to_owned(),
            wanted: plan.wanted,
            answered: planned - count(missing.len()),
            missing,
            without_host: plan.wanted.saturating_sub(planned),
            enough: self.plan.enough_of(plan),
        }
    }

    /// The host of the place completed its part; only its clean-up may have failed.
    fn is_answered(&self, member: &Member) -> bool {
        let host = &self.hosts[member.host.index()];
        member.stage == Stage::Finished && (host.ending == Ending::Cleaned || host.clean_up_failed)
    }

    fn has_answered(&self, host: HostId) -> bool {
        let place = self.places[host.index()];
        place.is_some_and(|(cluster, n)| self.is_answered(&self.clusters[cluster].members[n]))
    }

    /// Tasks that failed. A task lost with its host is the host's failure.
    fn failed_tasks(&self) -> impl Iterator<Item = &TaskRun> {
        self.tasks.iter().filter(|t| {
            let is_lost = t.stand == Stand::Lost && !self.has_answered(t.host);
            t.success() == Some(false) && !t.is_superseded && !is_lost
        })
    }
}

/// The exit code of a failure with unknown cause.
const UNKNOWN_CODE: i32 = 255;
