//! A barrier: who is expected, who has entered, when it opens and who is let go.
//! Not what its entrants do before or after, and not how they hear of it.
//!
//! Entry and release are separate machines (`entry`, `release`); this one keeps the members' states between them.
//! A member only moves forward: expected, waiting, then released, failed or withdrawn (B4). [`Rounds`] is the
//! same barrier again and again. What one call costs does not grow with the number of members: they are found by
//! their numbers, and those who wait and those who are inside stand in queues.

mod entry;
mod history;
mod knee;
mod members;
mod opening;
mod release;
mod rounds;

pub(crate) use entry::share;
pub use history::{Passage, Stand};
pub use opening::{Opened, Opening, Pending};
pub use rounds::{Round, Rounds};

use crate::Millis;
use entry::Census;
use members::Members;
use plush_spec::model::{BarrierPolicy, Late};
use release::{Departure, End, Pace, Progress, Room};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// Who enters a barrier: a number that its owner chooses (a host's, in a run).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entrant(pub u32);

/// One barrier in one generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Barrier {
    policy: BarrierPolicy,
    members: Members,
    census: Census,
    opened: Option<Opened>,
    question: Question,
    pace: Pace,
    /// Those who wait, as they came; also some who have failed since, which [`Barrier::decide`] passes over.
    queue: VecDeque<Entrant>,
    /// How many really wait in the queue.
    waiting: u32,
    /// Those who came after the opening and are to be turned away.
    late: VecDeque<Entrant>,
    /// Members that became known after the opening: not late where late-comers are replaced.
    replacements: BTreeSet<Entrant>,
    /// Those who were let go, as they went; the first of them is inside.
    let_in: VecDeque<(Millis, Entrant)>,
    inside: u32,
    released: u32,
    /// Members that had not entered when it opened, including those that had failed before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    without: Vec<Entrant>,
}

/// How far the callback has been asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Question {
    /// There is nothing to ask yet.
    None,
    /// The default would open it; the callback has its time from `since`.
    Asked { since: Millis },
    /// Not before this time.
    Held { until: Millis },
}

/// What a barrier has decided about one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It may go on.
    Release(Entrant),
    /// It came too late and may not go on; the policy says whether another takes its place.
    TooLate(Entrant),
}

impl Barrier {
    /// A barrier that nobody is expected at yet.
    pub fn new(policy: BarrierPolicy) -> Self {
        Barrier {
            pace: Pace::new(&policy.release),
            policy,
            members: Members::default(),
            census: Census::default(),
            opened: None,
            question: Question::None,
            queue: VecDeque::new(),
            waiting: 0,
            late: VecDeque::new(),
            replacements: BTreeSet::new(),
            let_in: VecDeque::new(),
            inside: 0,
            released: 0,
            without: Vec::new(),
        }
    }

    /// `entrant` is going to come. Saying it twice changes nothing.
    pub fn expect(&mut self, entrant: Entrant) {
        if self.members.add(entrant) {
            self.census.expected += 1;
            if self.opened.is_some() && self.policy.late == Late::Replace {
                self.replacements.insert(entrant);
            }
        }
    }

    /// `entrant` has come. Entering twice, or after a failure, changes nothing (B2, B4).
    pub fn enter(&mut self, entrant: Entrant, now: Millis) {
        let known = self.members.get(entrant).is_some();
        self.expect(entrant);
        if !known {
            // Whom nobody announced is no replacement for anybody.
            self.replacements.remove(&entrant);
        }
        let passage = self.members.get_mut(entrant).expect("the entrant was just expected");
        if passage.stand != Stand::Expected {
            return;
        }
        passage.stand = Stand::Waiting;
        passage.entered_at = Some(now);
        self.census.enter(&self.policy.entry, now);
        let admitted = match self.policy.late {
            Late::Admit => true,
            Late::Drop => self.opened.is_none(),
            Late::Replace => self.opened.is_none() || self.replacements.remove(&entrant),
        };
        if admitted {
            self.queue.push_back(entrant);
            self.waiting += 1;
        } else {
            self.late.push_back(entrant);
        }
    }

    /// `entrant` will not come, or has died inside: it leaves the count at once and its place is free.
    pub fn fail(&mut self, entrant: Entrant, now: Millis) {
        let Some(passage) = self.members.get_mut(entrant) else { return };
        match passage.stand {
            Stand::Expected => {
                self.census.expected -= 1;
            }
            Stand::Waiting => {
                self.census.expected -= 1;
                self.census.entered -= 1;
                match self.late.iter().position(|late| *late == entrant) {
                    Some(place) => drop(self.late.remove(place)),
                    None => self.waiting -= 1,
                }
            }
            Stand::Released => return self.depart(entrant, End::Died, now),
            Stand::Left | Stand::Failed | Stand::Withdrawn => return,
        }
        passage.stand = Stand::Failed;
        passage.left_at = Some(now);
    }

    /// `entrant` had failed before it came, and is going to come after all. False for any other, of which nothing changes.
    pub fn expect_again(&mut self, entrant: Entrant) -> bool {
        let Some(passage) = self.members.get_mut(entrant) else { return false };
        if passage.stand != Stand::Failed || passage.entered_at.is_some() {
            return false;
        }
        (passage.stand, passage.left_at) = (Stand::Expected, None);
        self.census.expected += 1;
        if self.opened.is_some() && self.policy.late == Late::Replace {
            self.replacements.insert(entrant);
        }
        true
    }

    /// `entrant`, which is inside, has done so much in all: a number that grows, in a unit that is the same for all. Whoever
    /// is not inside says nothing of worth.
    pub fn progressed(&mut self, entrant: Entrant, done: u64, now: Millis) {
        if let Some(Passage { stand: Stand::Released, released_at: Some(since), .. }) =
            self.members.get(entrant).copied()
        {
            self.pace.progressed(now, Progress { entrant, since, done });
        }
    }

    /// `entrant` is through; where places inside are limited, one is free. A second or a late leave frees nothing.
    pub fn leave(&mut self, entrant: Entrant, now: Millis) {
        if self.members.stands_at(entrant, Stand::Released) {
            self.depart(entrant, End::Through, now);
        }
    }

    /// Opens if it is time, and lets go whom the release policy lets go now; first come, first served.
    pub fn decide(&mut self, now: Millis) -> Vec<Verdict> {
        self.expire(now);
        self.open_if_due(now);
        if self.opened.is_none() {
            return Vec::new();
        }
        let room =
            Room { waiting: self.waiting, inside: self.inside, expected: self.census.expected };
        let mut verdicts = Vec::new();
        for _ in 0..self.pace.admit(now, room) {
            let entrant = self.next_waiting().expect("no more are let go than wait");
            self.let_go(entrant, now);
            verdicts.push(Verdict::Release(entrant));
        }
        while let Some(entrant) = self.late.pop_front() {
            let passage = self.members.get_mut(entrant).expect("late-comers are members");
            passage.stand = Stand::Withdrawn;
            passage.left_at = Some(now);
            verdicts.push(Verdict::TooLate(entrant));
        }
        verdicts
    }

    /// When time alone may change what [`Barrier::decide`] says.
    pub fn wake_at(&self) -> Option<Millis> {
        if self.opened.is_none() {
            return self.opens_at();
        }
        if self.waiting == 0 {
            return None;
        }
        let place = release::time_inside_ms(&self.policy.release)
            .and_then(|limit| self.let_in.front().map(|(at, _)| at + limit));
        [place, self.pace.wake_at()].into_iter().flatten().min()
    }

    /// Opens now, whatever the policy says: an operator or a callback wants it so. An open barrier stays as it is.
    pub fn open_now(&mut self, why: Opening, now: Millis) {
        if self.opened.is_none() {
            let Census { entered, expected, first_entry, .. } = self.census;
            let waited_ms = now.saturating_sub(first_entry.unwrap_or(now));
            self.opened = Some(Opened { at: now, why, entered, expected, waited_ms });
            let absent = |(_, passage): &(Entrant, &Passage)| match passage.stand {
                Stand::Expected => true,
                Stand::Failed => passage.entered_at.is_none(),
                Stand::Waiting | Stand::Released | Stand::Left | Stand::Withdrawn => false,
            };
            self.without = self.members.iter().filter(absent).map(|(entrant, _)| entrant).collect();
        }
    }

    /// The callback does not want it opened yet: its question is put again at `until`, if it still stands then.
    pub fn hold(&mut self, until: Millis) {
        if self.opened.is_none() {
            self.question = Question::Held { until };
        }
    }

    /// The decision that the callback may overrule now; after its time limit it takes effect. Without a callback
    /// there never is one.
    pub fn pending_opening(&self, now: Millis) -> Option<Pending> {
        let limit = self.policy.callback.as_ref()?.time_limit_ms;
        let Question::Asked { since } = self.question else { return None };
        let why = entry::opens(&self.policy.entry, &self.census, now)?;
        self.opened.is_none().then_some(Pending { why, since, until: since + limit })
    }

    /// How it works.
    pub fn policy(&self) -> &BarrierPolicy {
        &self.policy
    }

    /// When and why it opened.
    pub fn opening(&self) -> Option<(Millis, Opening)> {
        self.opened.map(|opened| (opened.at, opened.why))
    }

    /// How it opened, with the numbers of that moment.
    pub fn opened(&self) -> Option<&Opened> {
        self.opened.as_ref()
    }

    /// What became of each member, and when.
    pub fn history(&self) -> impl Iterator<Item = (Entrant, Passage)> {
        self.members.iter().map(|(entrant, passage)| (entrant, *passage))
    }

    /// What became of one member.
    pub fn passage(&self, entrant: Entrant) -> Option<Passage> {
        self.members.get(entrant).copied()
    }

    /// When the first entrant came.
    pub fn first_entry(&self) -> Option<Millis> {
        self.census.first_entry
    }

    /// Members that have not failed before they were let go.
    pub fn expected(&self) -> u32 {
        self.census.expected
    }

    /// Those of them that have come, the released ones and those turned away among them.
    pub fn entered(&self) -> u32 {
        self.census.entered
    }

    /// Members that have been let go.
    pub fn released(&self) -> u32 {
        self.released
    }

    /// Members that have been let go and hold a place.
    pub fn inside(&self) -> u32 {
        self.inside
    }

    /// Members that have come and are neither let go nor turned away.
    pub fn waiting(&self) -> u32 {
        self.waiting + u32::try_from(self.late.len()).expect("members are counted in 32 bits")
    }

    /// Members that are still expected.
    pub fn missing(&self) -> impl Iterator<Item = Entrant> {
        let expected = |(_, passage): &(Entrant, &Passage)| passage.stand == Stand::Expected;
        self.members.iter().filter(expected).map(|(entrant, _)| entrant)
    }

    /// Members that were absent when it opened: they had not entered yet, or had failed before.
    pub fn without(&self) -> &[Entrant] {
        &self.without
    }

    /// It was let go.
    pub fn has_let_go(&self, entrant: Entrant) -> bool {
        self.members.get(entrant).is_some_and(|p| p.released_at.is_some())
    }

    /// Opens by its own rules, after its callback had its time.
    fn open_if_due(&mut self, now: Millis) {
        if self.opened.is_some() {
            return;
        }
        if matches!(self.question, Question::Held { until } if until <= now) {
            self.question = Question::None;
        }
        let why = entry::opens(&self.policy.entry, &self.census, now);
        let limit = self.policy.callback.as_ref().map(|callback| callback.time_limit_ms);
        match (why, limit, self.question) {
            (_, _, Question::Held { .. }) => {}
            (Some(why), None, _) => self.open_now(why, now),
            (None, _, Question::None | Question::Asked { .. }) => self.question = Question::None,
            (Some(_), Some(_), Question::None) => self.question = Question::Asked { since: now },
            (Some(why), Some(limit), Question::Asked { since }) => {
                if since + limit <= now {
                    self.open_now(why, now);
                }
            }
        }
    }

    /// When it may open by its own rules, or its callback is to be asked.
    fn opens_at(&self) -> Option<Millis> {
        let limit = self.policy.callback.as_ref().map_or(0, |callback| callback.time_limit_ms);
        match self.question {
            Question::None => entry::wake_at(&self.policy.entry, &self.census),
            Question::Asked { since } => Some(since + limit),
            Question::Held { until } => Some(until).filter(|_| self.census.entered > 0),
        }
    }

    /// The next in the queue who still waits.
    fn next_waiting(&mut self) -> Option<Entrant> {
        let members = &self.members;
        let waits = |e: &Entrant| members.stands_at(*e, Stand::Waiting);
        std::iter::from_fn(|| self.queue.pop_front()).find(waits)
    }

    fn let_go(&mut self, entrant: Entrant, now: Millis) {
        let passage = self.members.get_mut(entrant).expect("those who wait are members");
        passage.stand = Stand::Released;
        passage.released_at = Some(now);
        self.let_in.push_back((now, entrant));
        self.waiting -= 1;
        self.inside += 1;
        self.released += 1;
    }

    /// One that is inside is so no more.
    fn depart(&mut self, entrant: Entrant, end: End, now: Millis) {
        let passage = self.members.get_mut(entrant).expect("those inside are members");
        let released_at = passage.released_at.expect("those inside were let go");
        passage.stand = Stand::Left;
        passage.left_at = Some(now);
        let inside_ms = now.saturating_sub(released_at);
        self.pace.left(now, Departure { entrant, end, inside_ms, of: self.inside });
        self.inside -= 1;
        let members = &self.members;
        let gone = |e: &Entrant| !members.stands_at(*e, Stand::Released);
        while self.let_in.front().is_some_and(|(_, e)| gone(e)) {
            self.let_in.pop_front();
        }
    }

    /// Frees the places of those who have been inside for too long; their own leave frees nothing any more.
    fn expire(&mut self, now: Millis) {
        let Some(limit) = release::time_inside_ms(&self.policy.release) else { return };
        while let Some((at, entrant)) = self.let_in.front().copied()
            && at + limit <= now
        {
            self.depart(entrant, End::TimeOut, now);
        }
    }
}

#[cfg(test)]
mod tests;
