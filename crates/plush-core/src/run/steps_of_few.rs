//! Steps of few: steps that some hosts of a cluster do for all of them, and the barriers behind
//! them.
//! Not the reaction to a failure on its own host: see `reacting`.
//!
//! Hosts without such a step wait for it at the barrier behind it. So that barrier opens only when
//! the step is done. It stays shut while another host is to do the step, and the cluster fails when
//! no host will.

use super::member::{Member, Stage, StepStand};
use super::task::{TaskRun, Verdict};
use super::{Run, Stopping};
use crate::plan::{HostId, PlannedCluster};
use plush_protocol::Tainted;
use plush_spec::model::{Action, On};
use std::collections::BTreeSet;

/// State of a step of few at one of the places that are to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It is done, or the description continues without it.
    Done,
    /// Its host does it or will do it, and is expected at the barrier.
    Coming,
    /// Its host is out of the run, and another one is to do it.
    Awaited,
    /// No host will do it.
    Never,
}

/// A barrier of the description behind a step, and the number of visits of the step's hosts to it
/// by then.
type Behind = (usize, u32);

impl Run {
    /// Keeps barriers shut while a step of few before them is not done. Fails clusters whose step
    /// cannot be done any more.
    pub(super) fn check_steps_of_few(&mut self) {
        let mut shut = BTreeSet::new();
        let mut failed = Vec::new();
        for number in 0..self.clusters.len() {
            for (step, count) in steps_of_few(&self.plan.clusters[number]) {
                for member in &self.clusters[number].members {
                    if member.rank.is_none_or(|rank| rank >= count as usize) {
                        continue;
                    }
                    match self.progress(number, member, step) {
                        Progress::Done | Progress::Coming => {}
                        Progress::Awaited => {
                            shut.extend(self.closed_behind(number, step).map(|(b, _)| b));
                        }
                        Progress::Never if self.goes_on_without(number, step) => {}
                        Progress::Never => failed.push((number, step, member.host)),
                    }
                }
            }
        }
        for (number, barrier) in self.barriers.iter_mut().enumerate() {
            barrier.shut(shut.contains(&number));
        }
        for (cluster, step, host) in failed {
            self.step_of_few_failed(cluster, step, host);
        }
    }

    fn progress(&self, cluster: usize, member: &Member, step: usize) -> Progress {
        let is_done = || {
            let here =
                |t: &&TaskRun| t.host == member.host && (t.cluster, t.step) == (cluster, step);
            self.tasks.iter().filter(here).any(TaskRun::is_done_with)
        };
        match &member.stage {
            Stage::Executing(stands) => match stands[step] {
                StepStand::Done => Progress::Done,
                StepStand::Pending | StepStand::AtBarrier | StepStand::Task(_) => Progress::Coming,
                StepStand::Skipped => Progress::Never,
            },
            Stage::Joining | Stage::Queued | Stage::Preparing { .. } | Stage::Prepared => {
                Progress::Coming
            }
            Stage::Finished | Stage::Out(_) if is_done() => Progress::Done,
            Stage::Out(_) if member.is_awaited() => Progress::Awaited,
            Stage::Finished | Stage::Out(_) => Progress::Never,
        }
    }

    /// The barriers behind a step that have not opened for its cluster.
    fn closed_behind(&self, cluster: usize, step: usize) -> impl Iterator<Item = Behind> {
        let behind = behind(&self.plan.clusters[cluster], step).into_iter();
        let behind = behind.filter_map(move |(at, visit)| {
            let Action::Barrier(reference) = &self.plan.clusters[cluster].spec.execution[at].action
            else {
                return None;
            };
            let of_name = |b: &plush_spec::model::Barrier| b.name == reference.name;
            Some((self.plan.project.barriers.iter().position(of_name)?, visit))
        });
        behind.filter(|(number, visit)| !self.barriers[*number].rounds().has_opened(*visit))
    }

    fn step_of_few_failed(&mut self, cluster: usize, step: usize, host: HostId) {
        let closed = self.closed_behind(cluster, step).map(|(number, _)| number);
        let closed: BTreeSet<usize> = closed.collect();
        if closed.is_empty() || self.stopping.is_some() {
            return;
        }
        let names = closed.iter().map(|n| format!("`{}`", self.plan.project.barriers[*n].name));
        let names = names.collect::<Vec<_>>().join(", ");
        let plan = &self.plan.clusters[cluster];
        let (id, name) = (&plan.spec.execution[step].id, plan.name());
        let host_name = self.plan.host_name(host);
        let why = format!(
            "step `{id}`, which {host_name} was to do for all of cluster `{name}`, is not done: barrier {names} \
             behind it stays closed"
        );
        let failed = |t: &&mut TaskRun| {
            let is_here = t.host == host && (t.cluster, t.step) == (cluster, step);
            is_here && t.verdict == Verdict::HostLeaves
        };
        let mut any_failed = false;
        for task in self.tasks.iter_mut().filter(failed) {
            (task.verdict, any_failed) = (Verdict::Counts, true);
        }
        let any_failed = any_failed || self.hosts[host.index()].trouble.is_none();
        let stopping = match any_failed {
            true => Stopping::ProcessFailed(why.clone()),
            false => Stopping::HostLost(why.clone()),
        };
        self.cluster_fails(cluster, stopping);
        if self.stopping.is_some() {
            let hint = "`on_failure: continue` of the step goes on without it".to_owned();
            self.problem(None, "keep the order of steps", Tainted::new(why), Some(hint));
        }
    }
}

/// The steps of a cluster that only some of its hosts do, and how many do them.
fn steps_of_few(plan: &PlannedCluster) -> Vec<(usize, u32)> {
    let few = plan.spec.execution.iter().enumerate().filter_map(|(number, step)| {
        let Action::Process(process) = &step.action else { return None };
        match process.on {
            On::Count(count) => Some((number, count)),
            On::All => None,
        }
    });
    few.collect()
}

/// The barrier steps behind a step, and which visit to its barrier each is.
fn behind(plan: &PlannedCluster, step: usize) -> Vec<(usize, u32)> {
    let steps = &plan.spec.execution;
    let before = |at: usize| {
        let names = steps[at].after.iter().map(|reference| &reference.name);
        names.filter_map(|name| steps.iter().position(|s| s.id == *name))
    };
    let all_before = |at: usize| {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![at]);
        while let Some(next) = waiting.pop() {
            waiting.extend(before(next).filter(|n| seen.insert(*n)));
        }
        seen
    };
    let mut found = Vec::new();
    for at in 0..steps.len() {
        let Action::Barrier(here) = &steps[at].action else { continue };
        let earlier = all_before(at);
        if !earlier.contains(&step) {
            continue;
        }
        let is_same = |n: &&usize| matches!(&steps[**n].action, Action::Barrier(other) if other.name == here.name);
        let visit =
            1 + u32::try_from(earlier.iter().filter(is_same).count()).unwrap_or(u32::MAX - 1);
        found.push((at, visit));
    }
    found
}
