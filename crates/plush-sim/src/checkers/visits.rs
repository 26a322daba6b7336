//! What must hold for programs at a barrier of the run, as they hear of it on their hosts.
//! Not the barrier's picture, which `run` looks at.

use super::Checks;
use crate::scenario::RENDEZVOUS;
use plush_core::Millis;
use plush_core::plan::{HostId, RunPlan};
use plush_core::run::Run;
use plush_protocol::{BarrierAsk, BarrierOutcome, BarrierVerb, HostState, RunView, TaskKey};
use plush_spec::model::Release;
use std::collections::{BTreeMap, BTreeSet};

/// What programs have asked and heard.
#[derive(Default)]
pub(crate) struct Visits {
    /// Requests that were made.
    asked: BTreeSet<u64>,
    /// When one was made last before anybody was let go.
    last_asked: Millis,
    /// How many were let go in the first round, and when the last of them.
    first_round: (usize, Millis),
    /// By task and round: the request with which it was let go.
    passed: BTreeMap<(u32, u32), u64>,
    /// By round: the hosts of which programs were let go.
    heard: BTreeSet<(u32, HostId)>,
    /// Hosts that hold no place any more, as the controller knows.
    excused: BTreeSet<HostId>,
}

impl Checks {
    /// A program asks. True if it is the first time.
    pub fn asked(&mut self, at: Millis, ask: &BarrierAsk) -> bool {
        let is_new = self.visits.asked.insert(ask.request);
        if is_new && self.visits.heard.is_empty() {
            self.visits.last_asked = at;
        }
        is_new
    }

    /// A program hears its answer. True if it is let go, and not told once more of what is past for its task.
    pub fn answered(
        &mut self,
        at: Millis,
        (host, key): (HostId, TaskKey),
        ask: &BarrierAsk,
        told: &BarrierOutcome,
        run: &Run,
    ) -> bool {
        self.fits(at, key, ask, told);
        let BarrierOutcome::LetGo { generation, .. } = *told else { return false };
        let before = *self.visits.passed.entry((key.task, generation)).or_insert(ask.request);
        let once = before == ask.request || ask.generation == Some(generation);
        self.demand(once, "B2", at, || {
            format!("{key:?} is let go twice in round {generation}, as {before} and {ask:?}")
        });
        if self.visits.heard.insert((generation, host)) && generation == 1 {
            self.visits.first_round = (self.visits.first_round.0 + 1, at);
        }
        self.visible_is_kept(at, run, |heard| *heard == (generation, host));
        before == ask.request
    }

    /// B7, B11: an answer fits its question: a round that was named is the one that is spoken of.
    fn fits(&mut self, at: Millis, key: TaskKey, ask: &BarrierAsk, told: &BarrierOutcome) {
        let fits = match (ask.verb, told) {
            (_, BarrierOutcome::Dropped { .. }) => true,
            (BarrierVerb::Enter, BarrierOutcome::LetGo { generation, .. })
            | (
                BarrierVerb::Enter | BarrierVerb::Signal,
                BarrierOutcome::TooLate { generation, .. },
            ) => ask.generation.is_none_or(|named| named == *generation),
            (BarrierVerb::Signal, BarrierOutcome::Entered { .. })
            | (BarrierVerb::Leave, BarrierOutcome::Left { .. } | BarrierOutcome::Refused { .. }) => {
                true
            }
            // A program that was started again counts from the beginning, its seat does not.
            (BarrierVerb::Enter, BarrierOutcome::Refused { .. }) => ask.generation.is_some(),
            _ => false,
        };
        self.demand(fits, "B7", at, || format!("{key:?} asked {ask:?} and hears {told:?}"));
    }

    /// B3, B8, B9: of whomever heard that it was let go, the controller knows it, and so does its successor.
    pub fn visible_is_kept(&mut self, at: Millis, run: &Run, of: impl Fn(&(u32, HostId)) -> bool) {
        let heard: Vec<(u32, HostId)> =
            self.visits.heard.iter().filter(|h| of(h)).copied().collect();
        if heard.is_empty() {
            return;
        }
        let (mut known, mut kept) = (BTreeSet::new(), BTreeSet::new());
        for (generation, host, passage) in run.passages(RENDEZVOUS) {
            kept.insert(generation);
            if passage.released_at.is_some() {
                known.insert((generation, host));
            }
        }
        let lost = heard.into_iter().find(|h| kept.contains(&h.0) && !known.contains(h));
        self.demand(lost.is_none(), "B9", at, || {
            format!("{lost:?} heard of a release of which the controller knows nothing")
        });
    }

    /// How many programs may be inside a round, where that is bound and no place is given back by time alone.
    pub fn rendezvous_max(&self, plan: &RunPlan) -> Option<u32> {
        let barrier = plan.project.barriers.iter().find(|b| b.name.as_str() == RENDEZVOUS)?;
        match barrier.policy.release {
            Release::Inside { max, timeout_ms: None } => Some(max),
            _ => None,
        }
    }

    /// B6: so many programs are inside a round in truth.
    pub fn programs_inside(&mut self, at: Millis, generation: u32, inside: usize, max: u32) {
        self.demand(inside <= max as usize, "B6", at, || {
            format!("{inside} of {max} programs are inside round {generation}")
        });
    }

    /// How many programs were let go in the first round, and how long after the last had come before all.
    pub fn first_round(&self) -> Option<(usize, Millis)> {
        let (programs, at) = self.visits.first_round;
        (programs > 0).then(|| (programs, at.saturating_sub(self.visits.last_asked)))
    }

    pub fn is_excused(&self, host: HostId) -> bool {
        self.visits.excused.contains(&host)
    }

    /// The controller has decided: whoever is out in its eyes holds no place, whatever still runs there.
    pub(super) fn excuse(&mut self, view: &RunView) {
        let out = |s: HostState| {
            matches!(
                s,
                HostState::Failed | HostState::Done | HostState::Cleaning | HostState::Collecting
            )
        };
        for (host, number) in view.hosts.iter().zip(0..) {
            if out(host.state) {
                self.visits.excused.insert(HostId(number));
            }
        }
        let mut failed = view.tasks.iter().filter(|t| t.success == Some(false)).peekable();
        if failed.peek().is_none() {
            return;
        }
        let names: BTreeMap<&str, HostId> =
            view.hosts.iter().zip(0..).map(|(h, n)| (h.name.as_str(), HostId(n))).collect();
        for task in failed {
            self.visits.excused.extend(names.get(task.host.as_str()));
        }
    }
}
