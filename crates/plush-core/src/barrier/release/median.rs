//! The adaptive rule of the original system: if those who left last took longer than all before, fewer are let in.
//! It only ever compares times inside; it does not know whether more get through.

use super::{Departure, End, Room};
use crate::Millis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::barrier) struct Median {
    start: u32,
    /// How many more may be let in.
    credit: u32,
    /// The last times inside, oldest first.
    last: VecDeque<Millis>,
    all: Times,
}

impl Median {
    pub fn new(start: u32) -> Self {
        let start = start.max(1);
        Median { start, credit: start, last: VecDeque::new(), all: Times::default() }
    }

    pub fn admit(&mut self, room: Room) -> u32 {
        if room.inside == 0 {
            // With nobody inside there is no leave that could let anybody in.
            self.credit = self.credit.max(1);
        }
        let admitted = room.waiting.min(self.credit);
        self.credit -= admitted;
        if admitted == room.waiting {
            // Nobody waits, so what is left of the credit would only let a crowd in later.
            self.credit = self.credit.min(self.start);
        }
        admitted
    }

    pub fn left(&mut self, departure: Departure) {
        let more = match departure.end {
            // One that died says nothing about times; its place is free.
            End::Died => 1,
            End::Through | End::TimeOut => {
                self.note(departure.inside_ms);
                self.more(departure.of)
            }
        };
        self.credit = self.credit.saturating_add(more);
    }

    fn note(&mut self, inside_ms: Millis) {
        self.all.insert(inside_ms);
        self.last.push_back(inside_ms);
        if self.last.len() > LAST_MAX {
            self.last.pop_front();
        }
    }

    /// More than half worse admits nobody, more than a tenth worse one, anything else two.
    fn more(&self, inside: u32) -> u32 {
        let count = (inside as usize).clamp(1, self.last.len());
        let mut recent: Vec<_> = self.last.iter().rev().take(count).copied().collect();
        let middle = (recent.len() - 1) / 2;
        let recent = *recent.select_nth_unstable(middle).1 as f64;
        let all = self.all.median() as f64;
        match recent {
            recent if recent > 1.5 * all => 0,
            recent if recent > 1.1 * all => 1,
            _ => 2,
        }
    }
}

/// As many of the last times are looked at, though more may be inside: their median hardly moves any more.
const LAST_MAX: usize = 256;

/// Times in two halves, so that the median is at hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Times {
    low: Half,
    high: Half,
}

/// A sorted half: how often each time occurs, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Half {
    times: BTreeMap<Millis, u32>,
    len: u64,
}

impl Times {
    fn insert(&mut self, time: Millis) {
        if self.low.last().is_none_or(|middle| time <= middle) {
            self.low.push(time);
        } else {
            self.high.push(time);
        }
        if self.low.len > self.high.len + 1 {
            let moved = self.low.last().expect("the longer half holds something");
            self.low.take(moved);
            self.high.push(moved);
        } else if self.high.len > self.low.len {
            let moved = self.high.first().expect("the longer half holds something");
            self.high.take(moved);
            self.low.push(moved);
        }
    }

    /// The middle time, the lower one of two; 0 of none.
    fn median(&self) -> Millis {
        self.low.last().unwrap_or(0)
    }
}

impl Half {
    fn first(&self) -> Option<Millis> {
        self.times.first_key_value().map(|(time, _)| *time)
    }

    fn last(&self) -> Option<Millis> {
        self.times.last_key_value().map(|(time, _)| *time)
    }

    fn push(&mut self, time: Millis) {
        *self.times.entry(time).or_default() += 1;
        self.len += 1;
    }

    fn take(&mut self, time: Millis) {
        if let Some(count) = self.times.get_mut(&time) {
            *count -= 1;
            self.len -= 1;
            if *count == 0 {
                self.times.remove(&time);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::barrier::Entrant;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_middle_of_two_halves_is_the_median(times in proptest::collection::vec(0u64..40, 1..60)) {
            let mut halves = Times::default();
            times.iter().for_each(|t| halves.insert(*t));
            let mut sorted = times;
            sorted.sort_unstable();
            prop_assert_eq!(halves.median(), sorted[(sorted.len() - 1) / 2]);
        }
    }

    #[test]
    fn slower_leaves_let_fewer_in() {
        let mut rule = Median::new(2);
        let departure =
            |inside_ms| Departure { entrant: Entrant(0), end: End::Through, inside_ms, of: 2 };
        let room = |inside| Room { waiting: 100, inside, expected: 100 };
        assert_eq!(rule.admit(room(0)), 2);
        (0..4).for_each(|_| rule.left(departure(100)));
        assert_eq!(rule.admit(room(2)), 8, "two for each that was as fast as all");
        (0..2).for_each(|_| rule.left(departure(130)));
        assert_eq!(rule.admit(room(2)), 3, "the second one saw the last two a third slower");
        (0..2).for_each(|_| rule.left(departure(200)));
        assert_eq!(
            rule.admit(room(2)),
            1,
            "130 and 200 are 30 % slower, 200 and 200 twice as slow"
        );
    }

    #[test]
    fn with_nobody_inside_somebody_is_let_in() {
        let mut rule = Median::new(1);
        assert_eq!(rule.admit(Room { waiting: 9, inside: 0, expected: 9 }), 1);
        assert_eq!(rule.admit(Room { waiting: 8, inside: 1, expected: 9 }), 0);
        assert_eq!(rule.admit(Room { waiting: 8, inside: 0, expected: 9 }), 1);
    }
}
