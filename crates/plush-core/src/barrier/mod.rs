//! A barrier: who is expected, who has entered, when it opens and who is let go.
//! Not what its entrants do before or after, and not how they hear of it.
//!
//! Entry and release are separate machines (`entry`, `release`); this one keeps the members' states between them.
//! Within a generation a member only moves forward: expected, waiting, then released, failed or withdrawn (B4).

mod entry;
mod release;

pub use entry::Opening;

use crate::Millis;
use entry::Census;
use plush_spec::model::{BarrierPolicy, Late};
use release::Pace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who enters a barrier: a number that its owner chooses (a host's, in a run).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entrant(pub u32);

/// One barrier in one generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Barrier {
    policy: BarrierPolicy,
    members: BTreeMap<Entrant, Stand>,
    census: Census,
    opening: Option<(Millis, Opening)>,
    pace: Pace,
    arrivals: u32,
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stand {
    /// It has not come.
    Expected,
    /// It has come as the n-th and waits.
    Waiting { arrival: u32 },
    /// It was let go.
    Released { at: Millis },
    /// It was let go and has said that it is through, or its time inside is over.
    Left,
    /// It failed before it was let go.
    Failed,
    /// It came after the opening and the policy does not admit it.
    Withdrawn,
}

/// What a barrier has decided about one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It may go on.
    Release(Entrant),
    /// It came too late and may not go on.
    TooLate(Entrant),
}

impl Barrier {
    /// A barrier that nobody is expected at yet.
    pub fn new(policy: BarrierPolicy) -> Self {
        Barrier {
            policy,
            members: BTreeMap::new(),
            census: Census::default(),
            opening: None,
            pace: Pace::default(),
            arrivals: 0,
        }
    }

    /// `entrant` is going to come. Saying it twice changes nothing.
    pub fn expect(&mut self, entrant: Entrant) {
        if let std::collections::btree_map::Entry::Vacant(place) = self.members.entry(entrant) {
            place.insert(Stand::Expected);
            self.census.expected += 1;
        }
    }

    /// `entrant` has come. Entering twice, or after a failure, changes nothing (B2, B4).
    pub fn enter(&mut self, entrant: Entrant, now: Millis) {
        self.expect(entrant);
        let stand = self.members.get_mut(&entrant).expect("the entrant was just expected");
        if *stand != Stand::Expected {
            return;
        }
        self.arrivals += 1;
        *stand = Stand::Waiting { arrival: self.arrivals };
        self.census.entered += 1;
        self.census.first_entry.get_or_insert(now);
    }

    /// `entrant` will not come, or has died inside: it leaves the count at once and its place is free.
    pub fn fail(&mut self, entrant: Entrant) {
        let Some(stand) = self.members.get_mut(&entrant) else { return };
        match stand {
            Stand::Expected => self.census.expected -= 1,
            Stand::Waiting { .. } => {
                self.census.expected -= 1;
                self.census.entered -= 1;
            }
            Stand::Released { .. } => {
                *stand = Stand::Left;
                self.pace.inside -= 1;
                return;
            }
            Stand::Left | Stand::Failed | Stand::Withdrawn => return,
        }
        *stand = Stand::Failed;
    }

    /// `entrant` is through; where places inside are limited, one is free. A second or a late leave frees nothing.
    pub fn leave(&mut self, entrant: Entrant) {
        if let Some(stand @ Stand::Released { .. }) = self.members.get_mut(&entrant) {
            *stand = Stand::Left;
            self.pace.inside -= 1;
        }
    }

    /// Opens if it is time, and lets go whom the release policy lets go now; first come, first served.
    pub fn decide(&mut self, now: Millis) -> Vec<Verdict> {
        self.expire(now);
        if self.opening.is_none() {
            self.opening =
                entry::opens(&self.policy.entry, &self.census, now).map(|why| (now, why));
        }
        let Some((opened_at, _)) = self.opening else { return Vec::new() };
        let waiting = self.waiting();
        let (late, in_time) = self.split_late(waiting, opened_at);
        let count = self.pace.admits(&self.policy.release, in_time.len());
        let released = in_time.into_iter().take(count);
        let mut verdicts = Vec::new();
        for entrant in released {
            self.members.insert(entrant, Stand::Released { at: now });
            self.pace.inside += 1;
            verdicts.push(Verdict::Release(entrant));
        }
        for entrant in late {
            self.members.insert(entrant, Stand::Withdrawn);
            verdicts.push(Verdict::TooLate(entrant));
        }
        verdicts
    }

    /// When time alone may change what [`Barrier::decide`] says.
    pub fn wake_at(&self) -> Option<Millis> {
        match self.opening {
            None => entry::wake_at(&self.policy.entry, &self.census),
            Some(_) => {
                let limit = release::time_inside_ms(&self.policy.release)?;
                let first = self.members.values().filter_map(Stand::released_at).min()?;
                self.has_waiting().then_some(first + limit)
            }
        }
    }

    /// When and why it opened.
    pub fn opening(&self) -> Option<(Millis, Opening)> {
        self.opening
    }

    /// When the first entrant came.
    pub fn first_entry(&self) -> Option<Millis> {
        self.census.first_entry
    }

    /// Members that count: neither failed nor turned away.
    pub fn expected(&self) -> u32 {
        self.census.expected
    }

    /// Members that have come, the released ones among them.
    pub fn entered(&self) -> u32 {
        self.census.entered
    }

    /// Members that have been let go.
    pub fn released(&self) -> u32 {
        let gone = |s: &&Stand| matches!(s, Stand::Released { .. } | Stand::Left);
        u32::try_from(self.members.values().filter(gone).count())
            .expect("members are counted in 32 bits")
    }

    /// Members that are still expected.
    pub fn missing(&self) -> impl Iterator<Item = Entrant> {
        self.members.iter().filter(|(_, s)| **s == Stand::Expected).map(|(e, _)| *e)
    }

    /// It was let go.
    pub fn has_let_go(&self, entrant: Entrant) -> bool {
        matches!(self.members.get(&entrant), Some(Stand::Released { .. } | Stand::Left))
    }

    fn has_waiting(&self) -> bool {
        self.members.values().any(|s| matches!(s, Stand::Waiting { .. }))
    }

    /// Those who wait, in the order in which they came.
    fn waiting(&self) -> Vec<(u32, Entrant)> {
        let arrival = |(e, s): (&Entrant, &Stand)| match s {
            Stand::Waiting { arrival } => Some((*arrival, *e)),
            Stand::Expected
            | Stand::Released { .. }
            | Stand::Left
            | Stand::Failed
            | Stand::Withdrawn => None,
        };
        let mut waiting: Vec<_> = self.members.iter().filter_map(arrival).collect();
        waiting.sort_unstable();
        waiting
    }

    /// Splits off those who came after the opening where the policy does not admit them.
    fn split_late(
        &mut self,
        waiting: Vec<(u32, Entrant)>,
        opened_at: Millis,
    ) -> (Vec<Entrant>, Vec<Entrant>) {
        let in_time = *self.pace.in_time.get_or_insert(self.arrivals);
        debug_assert!(self.census.first_entry.is_none_or(|first| first <= opened_at));
        let admits = match self.policy.late {
            Late::Admit => true,
            Late::Drop | Late::Replace => false,
        };
        let (late, in_time): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(arrival, _)| !admits && *arrival > in_time);
        (late.into_iter().map(|(_, e)| e).collect(), in_time.into_iter().map(|(_, e)| e).collect())
    }

    /// Frees the places of those who have been inside for too long; their own leave frees nothing any more.
    fn expire(&mut self, now: Millis) {
        let Some(limit) = release::time_inside_ms(&self.policy.release) else { return };
        for stand in self.members.values_mut() {
            if stand.released_at().is_some_and(|at| at + limit <= now) {
                *stand = Stand::Left;
                self.pace.inside -= 1;
            }
        }
    }
}

impl Stand {
    fn released_at(&self) -> Option<Millis> {
        match self {
            Stand::Released { at } => Some(*at),
            Stand::Expected
            | Stand::Waiting { .. }
            | Stand::Left
            | Stand::Failed
            | Stand::Withdrawn => None,
        }
    }
}

#[cfg(test)]
mod tests;
