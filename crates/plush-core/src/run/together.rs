//! How well those whom a barrier let go at one instant went on: tasks by when they were executed, programs by when their
//! agents told them. Not the instant, which the barrier's release says.
//!
//! Programs may go through a barrier again and again: what is kept of their rounds is as much as the barrier itself keeps,
//! and the worst round.

use super::Run;
use super::task::{Due, DueBy, TaskRun};
use crate::Millis;
use crate::plan::HostId;
use plush_protocol::{TogetherView, WorstRound};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How well the programs of one barrier went on, by round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Punctuality {
    rounds: BTreeMap<u32, Tally>,
    worst: Option<(u32, Tally)>,
}

/// One round, or one barrier's tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    /// The first instant, since those who are let go later have one of their own.
    at: Option<Millis>,
    expected: u32,
    went_on: u32,
    /// Each is measured against its own instant.
    first_us: i64,
    last_us: i64,
    uncertainty_us: u64,
}

/// When somebody went on.
#[derive(Clone, Copy, Debug)]
pub(super) struct WentOn {
    /// In elapsed time.
    pub at_us: i64,
    /// It may be wrong by so much in either direction.
    pub uncertainty_us: u64,
}

impl Punctuality {
    /// A program is released at this instant, in elapsed time; rounds that `is_kept` rejects are
    /// dropped.
    pub fn expect(&mut self, generation: u32, instant: Millis, is_kept: impl Fn(u32) -> bool) {
        self.rounds.retain(|generation, _| is_kept(*generation));
        self.rounds.entry(generation).or_default().expect(instant);
    }

    /// A program that was let go at that instant went on.
    pub fn went_on(&mut self, generation: u32, instant: Millis, when: WentOn) {
        let Some(round) = self.rounds.get_mut(&generation) else { return };
        round.went_on(instant, when);
        let is_worst = self
            .worst
            .is_none_or(|(worst, tally)| worst == generation || round.last_us > tally.last_us);
        if is_worst {
            self.worst = Some((generation, *round));
        }
    }

    pub fn worst(&self) -> Option<WorstRound> {
        let (generation, tally) = self.worst?;
        Some(WorstRound { generation, together: tally.view()? })
    }

    fn of(&self, generation: u32) -> Tally {
        self.rounds.get(&generation).copied().unwrap_or_default()
    }
}

impl Tally {
    fn expect(&mut self, instant: Millis) {
        self.at = Some(self.at.map_or(instant, |at| at.min(instant)));
        self.expected += 1;
    }

    fn went_on(&mut self, instant: Millis, when: WentOn) {
        let instant_us = i64::try_from(instant.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let after_us = when.at_us.saturating_sub(instant_us);
        let is_first = self.went_on == 0;
        self.first_us = if is_first { after_us } else { self.first_us.min(after_us) };
        self.last_us = if is_first { after_us } else { self.last_us.max(after_us) };
        self.uncertainty_us = self.uncertainty_us.max(when.uncertainty_us);
        self.went_on += 1;
    }

    fn view(&self) -> Option<TogetherView> {
        Some(TogetherView {
            at_ms: self.at?,
            started: self.went_on,
            expected: self.expected,
            last_us: self.last_us,
            spread_us: self.last_us.abs_diff(self.first_us),
            uncertainty_us: self.uncertainty_us,
        })
    }
}

impl Run {
    /// The tasks that a cluster's ready barrier let go at an instant.
    pub(super) fn together_at_ready(&self, cluster: usize) -> Option<TogetherView> {
        let mut tally = Tally::default();
        let here = self.tasks.iter().filter(|t| t.cluster == cluster);
        self.count_tasks(here, DueBy::Ready, &mut tally);
        tally.view()
    }

    /// The tasks and programs that a barrier of the description let go at an instant in this round.
    pub(super) fn together_at(&self, number: usize, generation: u32) -> Option<TogetherView> {
        let mut tally = self.barriers[number].punctuality().of(generation);
        self.count_tasks(self.tasks.iter(), DueBy::Barrier { number, generation }, &mut tally);
        tally.view()
    }

    /// Elapsed time at which tasks of a cluster are to start.
    fn shown_due(&self, cluster: usize, due: Due) -> Millis {
        let policy = match due.by {
            DueBy::Ready => &self.plan.clusters[cluster].spec.ready,
            DueBy::Barrier { number, .. } => &self.plan.project.barriers[number].policy,
        };
        self.elapsed.shown_after(due.at, policy.together_ms.unwrap_or(0))
    }

    /// The same in microseconds of a host's boot time; `None` while that is not known.
    pub(super) fn boot_time_of(&self, host: HostId, cluster: usize, due: Due) -> Option<u64> {
        self.hosts[host.index()].boot_time_us(self.shown_due(cluster, due))
    }

    fn count_tasks<'a>(
        &self,
        tasks: impl Iterator<Item = &'a TaskRun>,
        by: DueBy,
        tally: &mut Tally,
    ) {
        for task in tasks {
            let Some(due) = task.due.filter(|due| due.by == by) else { continue };
            let at = self.shown_due(task.cluster, due);
            tally.expect(at);
            if let Some(at_us) = task.executed_us {
                tally.went_on(at, WentOn { at_us, uncertainty_us: self.uncertainty_us(task.host) });
            }
        }
    }
}
