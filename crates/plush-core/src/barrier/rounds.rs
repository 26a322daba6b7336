//! A barrier that is used in rounds: one [`Barrier`] for each generation, and who may enter which.
//! Not a barrier's own rules.
//!
//! Barriers are partial, so the quick may be a generation ahead while stragglers still come to the one before.
//! Each member goes from generation to generation by itself; generations are numbered from 1. Entering one
//! is leaving those before it.

use super::{Barrier, Entrant, Opening, Passage, Pending, Stand, Verdict};
use crate::Millis;
use plush_spec::model::{BarrierPolicy, Late};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// A barrier over its generations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rounds {
    policy: BarrierPolicy,
    /// Live members and the generation that each enters next.
    members: BTreeMap<Entrant, u32>,
    /// Kept in full, oldest first: the last of them, and older ones that have not opened or in which somebody waits or is.
    rounds: VecDeque<Round>,
    /// Those who came to a generation that is not kept any more, and are told at once.
    stragglers: Vec<(u32, Entrant)>,
    /// Closed generations do not open by their own rules: something before the barrier is not done
    /// yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shut: bool,
}

/// One generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Its number, from 1.
    pub generation: u32,
    /// Its barrier.
    pub barrier: Barrier,
}

impl Rounds {
    /// So many generations are kept in full; older ones only while somebody waits in them or is inside, or while they
    /// have not opened. A member is in at most one, and one that fails before the opening leaves at most one behind.
    pub const KEPT: usize = 16;

    /// A barrier in its first generation, at which nobody is expected yet.
    pub fn new(policy: BarrierPolicy) -> Self {
        let first = Round { generation: 1, barrier: Barrier::new(policy.clone()) };
        Rounds {
            policy,
            members: BTreeMap::new(),
            rounds: VecDeque::from([first]),
            stragglers: Vec::new(),
            shut: false,
        }
    }

    /// `entrant` takes part from the first generation that has not opened, and that it has not failed in. Saying it
    /// twice changes nothing.
    pub fn expect(&mut self, entrant: Entrant) {
        if self.members.contains_key(&entrant) {
            return;
        }
        let open_to =
            |r: &&Round| r.barrier.opening().is_none() && r.barrier.passage(entrant).is_none();
        let first = self.rounds.iter().find(open_to).map(|r| r.generation);
        let first = first.unwrap_or_else(|| self.newest() + 1);
        self.expect_from(entrant, first);
    }

    /// `entrant` takes part from the generation that is its `next`, be that open or not: it is back after it failed, or has
    /// the place of another. Saying it to one that takes part changes nothing.
    pub fn expect_from(&mut self, entrant: Entrant, next: u32) {
        if self.members.contains_key(&entrant) {
            return;
        }
        self.members.insert(entrant, next);
        for round in self.rounds.iter_mut().filter(|r| r.generation >= next) {
            if !round.barrier.expect_again(entrant) {
                round.barrier.expect(entrant);
            }
        }
    }

    /// `entrant` has come to a generation, to its own next one if none is named. Says in which generation it stands now;
    /// an old or wrong generation changes nothing (B7), and entering twice changes nothing.
    pub fn enter(&mut self, entrant: Entrant, generation: Option<u32>, now: Millis) -> Option<u32> {
        self.expect(entrant);
        let next = *self.members.get(&entrant).expect("the entrant was just expected");
        if let Some(current) = self.stands_in(entrant, Stand::Waiting)
            && generation.is_none_or(|named| named == current)
        {
            return Some(current);
        }
        let waits = self.stands_in(entrant, Stand::Waiting).is_some();
        if waits || generation.is_some_and(|named| named != next) {
            return None;
        }
        self.leave(entrant, None, now);
        self.members.insert(entrant, next + 1);
        match self.round_mut(next) {
            Some(round) => round.barrier.enter(entrant, now),
            None => self.stragglers.push((next, entrant)),
        }
        Some(next)
    }

    /// `entrant` is through in the generation named, or in the one that it is in.
    pub fn leave(&mut self, entrant: Entrant, generation: Option<u32>, now: Millis) {
        let Some(current) = self.stands_in(entrant, Stand::Released) else { return };
        if generation.is_none_or(|named| named == current)
            && let Some(round) = self.round_mut(current)
        {
            round.barrier.leave(entrant, now);
        }
    }

    /// `entrant` does not take part any more. If it enters again, it begins with a generation that it has not failed in.
    pub fn fail(&mut self, entrant: Entrant, now: Millis) {
        self.members.remove(&entrant);
        self.stragglers.retain(|(_, straggler)| *straggler != entrant);
        self.rounds.iter_mut().for_each(|r| r.barrier.fail(entrant, now));
    }

    /// What each generation decides now; see [`Barrier::decide`].
    pub fn decide(&mut self, now: Millis) -> Vec<(u32, Verdict)> {
        let admits = match self.policy.late {
            Late::Admit => true,
            Late::Drop | Late::Replace => false,
        };
        let told = |(generation, entrant)| match admits {
            true => (generation, Verdict::Release(entrant)),
            false => (generation, Verdict::TooLate(entrant)),
        };
        let mut verdicts: Vec<_> = self.stragglers.drain(..).map(told).collect();
        let shut = self.shut;
        let may_decide = |r: &&mut Round| !shut || r.barrier.opening().is_some();
        for round in self.rounds.iter_mut().filter(may_decide) {
            let decided = round.barrier.decide(now).into_iter();
            verdicts.extend(decided.map(|verdict| (round.generation, verdict)));
        }
        self.forget();
        verdicts
    }

    /// When time alone may change what [`Rounds::decide`] says.
    pub fn wake_at(&self) -> Option<Millis> {
        let may_decide = |r: &&Round| !self.shut || r.barrier.opening().is_some();
        self.rounds.iter().filter(may_decide).filter_map(|r| r.barrier.wake_at()).min()
    }

    /// Opens the generation that waits to open; see [`Barrier::open_now`].
    pub fn open_now(&mut self, why: Opening, now: Millis) {
        if let Some(round) = self.unopened_mut() {
            round.barrier.open_now(why, now);
        }
    }

    /// Holds the generation that waits to open; see [`Barrier::hold`].
    pub fn hold(&mut self, until: Millis) {
        if let Some(round) = self.unopened_mut() {
            round.barrier.hold(until);
        }
    }

    /// What the callback may overrule now, and in which generation; see [`Barrier::pending_opening`].
    pub fn pending_opening(&self, now: Millis) -> Option<(u32, Pending)> {
        let round = self.rounds.iter().find(|r| !self.shut && r.barrier.opening().is_none())?;
        Some((round.generation, round.barrier.pending_opening(now)?))
    }

    /// While it is shut, no generation opens by its own rules or by a callback's decision.
    pub fn shut(&mut self, shut: bool) {
        self.shut = shut;
    }

    /// Whether a generation has opened; generations no longer kept had.
    pub fn has_opened(&self, generation: u32) -> bool {
        match self.round(generation) {
            Some(barrier) => barrier.opening().is_some(),
            None => generation < self.newest(),
        }
    }

    /// How it works.
    pub fn policy(&self) -> &BarrierPolicy {
        &self.policy
    }

    /// The generations that are kept in full, oldest first; the last is the newest that anybody has come to.
    pub fn rounds(&self) -> impl DoubleEndedIterator<Item = &Round> {
        self.rounds.iter()
    }

    /// A generation, if it is still kept.
    pub fn round(&self, generation: u32) -> Option<&Barrier> {
        self.place_of(generation).map(|place| &self.rounds[place].barrier)
    }

    /// What became of each member in a generation, if it is still kept.
    pub fn history(&self, generation: u32) -> Option<impl Iterator<Item = (Entrant, Passage)>> {
        self.round(generation).map(Barrier::history)
    }

    /// The generation that a member enters next.
    pub fn next_of(&self, entrant: Entrant) -> Option<u32> {
        self.members.get(&entrant).copied()
    }

    /// Whether a member has entered and is not released yet.
    pub fn waits(&self, entrant: Entrant) -> bool {
        self.stands_in(entrant, Stand::Waiting).is_some()
    }

    /// Live members.
    pub fn members(&self) -> impl Iterator<Item = Entrant> {
        self.members.keys().copied()
    }

    fn place_of(&self, generation: u32) -> Option<usize> {
        self.rounds.binary_search_by_key(&generation, |r| r.generation).ok()
    }

    fn newest(&self) -> u32 {
        self.rounds.back().expect("one generation is always kept").generation
    }

    /// The generation in which a member stands so. It is the last that it has entered, if any.
    fn stands_in(&self, entrant: Entrant, stand: Stand) -> Option<u32> {
        let last = self.members.get(&entrant)?.checked_sub(1)?;
        let passage = self.round(last)?.passage(entrant)?;
        (passage.stand == stand).then_some(last)
    }

    /// A generation, if it is still kept, or the one after the newest, at which everybody is expected who enters it next
    /// or has an earlier one before it.
    fn round_mut(&mut self, generation: u32) -> Option<&mut Round> {
        if generation > self.newest() {
            let mut barrier = Barrier::new(self.policy.clone());
            let takes_part = |(entrant, next): (&Entrant, &u32)| {
                // Whoever enters it right now has been moved on already.
                (*next <= generation + 1).then_some(*entrant)
            };
            self.members.iter().filter_map(takes_part).for_each(|e| barrier.expect(e));
            self.rounds.push_back(Round { generation, barrier });
        }
        let place = self.place_of(generation)?;
        Some(&mut self.rounds[place])
    }

    fn unopened_mut(&mut self) -> Option<&mut Round> {
        self.rounds.iter_mut().find(|r| r.barrier.opening().is_none())
    }

    /// Drops generations beyond the number kept, if they have opened and nobody waits in them or is inside.
    fn forget(&mut self) {
        let old = self.rounds.len().saturating_sub(Self::KEPT);
        if old == 0 {
            return;
        }
        let mut place = 0;
        self.rounds.retain(|Round { barrier, .. }| {
            place += 1;
            let is_over =
                barrier.opening().is_some() && barrier.waiting() == 0 && barrier.inside() == 0;
            place > old || !is_over
        });
    }
}
