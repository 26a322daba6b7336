//! As many inside as give the most completions in a second, found by trying; nothing about the network is assumed.
//! It never looks at single times inside: on links of very different speed they say nothing.
//!
//! Time is divided into turns. A turn lasts until as many are through as were inside at its beginning; its rate is what
//! is measured. First each completion lets two in, which doubles the limit each turn, as TCP's slow start does, until
//! a turn's rate hardly grows any more. From then on the best limit known is left now and then for one a step higher or
//! lower, in turns, and whichever has the clearly higher rate is the best from then on; going on in a direction that
//! paid, steps become longer. A turn in which places stayed free says nothing.

use super::{Departure, End, Room};
use crate::Millis;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::barrier) struct Throughput {
    limit: f64,
    turn: Option<Turn>,
    search: Search,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Turn {
    began_at: Millis,
    through: u32,
    needed: u32,
    /// Places stayed free, so the rate is not the limit's.
    slack: bool,
}

/// What the limit does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Search {
    /// It grows with each completion; what the turn before had.
    Start { before: Option<Best> },
    /// It was moved, and those who are through now still tell of the limit before.
    Settle { best: Best, factor: f64, tried: Tried },
    /// What it gives is measured.
    Measure { best: Best, factor: f64, tried: Tried },
}

/// Which limit is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Tried {
    Best,
    Other,
}

/// A limit, and the completions in a millisecond that it gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Best {
    limit: f64,
    rate: f64,
}

impl Throughput {
    pub fn new(start: u32) -> Self {
        let limit = f64::from(start.max(1));
        Throughput { limit, turn: None, search: Search::Start { before: None } }
    }

    pub fn admit(&mut self, now: Millis, room: Room) -> u32 {
        // The limit is at most some times the number of members, so the conversion is exact.
        let limit = (self.limit.round() as u32).max(1);
        let admitted = room.waiting.min(limit.saturating_sub(room.inside));
        let inside = room.inside + admitted;
        if self.turn.is_none() && inside > 0 {
            let needed = match self.search {
                Search::Start { .. } | Search::Measure { .. } => inside,
                Search::Settle { .. } => inside / 2,
            };
            let needed = needed.max(TURN_MIN);
            self.turn = Some(Turn { began_at: now, through: 0, needed, slack: false });
        }
        if let Some(turn) = &mut self.turn {
            turn.slack |= inside < limit;
        }
        admitted
    }

    pub fn left(&mut self, now: Millis, departure: Departure) {
        let Some(turn) = &mut self.turn else { return };
        match departure.end {
            End::Through => turn.through += 1,
            // Whoever did not get through is no completion.
            End::Died | End::TimeOut => return,
        }
        let turn = *turn;
        if matches!(self.search, Search::Start { .. }) && !turn.slack {
            self.limit += 1.0;
        }
        if turn.through >= turn.needed {
            self.turn = None;
            if !turn.slack {
                let took_ms = now.saturating_sub(turn.began_at).max(1) as f64;
                self.turned(f64::from(turn.through) / took_ms, f64::from(turn.needed));
            }
        }
    }

    /// A turn that began with `limit` inside had this rate.
    fn turned(&mut self, rate: f64, limit: f64) {
        self.search = match self.search {
            Search::Start { before: Some(before) } if rate < before.rate * STILL_GROWING => {
                let best = Best { limit: before.limit * STEP, rate: rate.max(before.rate) };
                self.limit = best.limit;
                Search::Settle { best, factor: STEP, tried: Tried::Best }
            }
            Search::Start { .. } => Search::Start { before: Some(Best { limit, rate }) },
            Search::Settle { best, factor, tried } => Search::Measure { best, factor, tried },
            Search::Measure { best, factor, tried: Tried::Best } => {
                self.try_other(best.again(rate), factor)
            }
            Search::Measure { best, factor, tried: Tried::Other }
                if rate > best.rate * (1.0 + CLEARLY) =>
            {
                let longer = factor.powf(1.5).clamp(1.0 / STEP_MAX, STEP_MAX);
                self.try_other(Best { limit: self.limit, rate }, longer)
            }
            Search::Measure { best, factor, tried: Tried::Other } => {
                self.limit = best.limit;
                let factor = if factor > 1.0 { 1.0 / STEP } else { STEP };
                Search::Settle { best, factor, tried: Tried::Best }
            }
        };
    }

    fn try_other(&mut self, best: Best, factor: f64) -> Search {
        self.limit = (best.limit * factor).clamp(1.0, LIMIT_MAX);
        Search::Settle { best, factor, tried: Tried::Other }
    }
}

impl Best {
    /// The best limit measured once more: half is believed at once, and all of it where the network has changed.
    fn again(self, rate: f64) -> Best {
        let middle = (self.rate + rate) / 2.0;
        let changed = (rate / middle - 1.0).abs() > CHANGED;
        Best { rate: if changed { rate } else { middle }, ..self }
    }
}

/// A turn has at least so many completions: fewer are no measurement.
const TURN_MIN: u32 = 8;
/// The start is over when a turn's rate is less than so many times that of the turn before, with twice as many inside.
const STILL_GROWING: f64 = 1.25;
/// The limit is tried so many times higher and lower; steps that pay become longer, up to the second number.
const STEP: f64 = 1.25;
const STEP_MAX: f64 = 2.0;
/// A rate is clearly higher from this share on: turns of a few dozen differ by less without a cause.
const CLEARLY: f64 = 0.05;
/// A rate that is off by this share from its mean with the one before is that of another network.
const CHANGED: f64 = 0.25;
/// No more are ever let in at a time.
const LIMIT_MAX: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;

    /// Everybody inside shares a server that gets `rate_of(inside)` through in a second.
    fn limit_after(turns: u32, rate_of: impl Fn(u32) -> f64) -> f64 {
        let mut rule = Throughput::new(2);
        let (mut now, mut inside) = (0.0, 0);
        for _ in 0..turns * 50 {
            inside += rule.admit(now as Millis, Room { waiting: 1000, inside, expected: 1000 });
            now += 1000.0 / rate_of(inside);
            rule.left(now as Millis, Departure { end: End::Through, inside_ms: 0, of: inside });
            inside -= 1;
        }
        rule.limit
    }

    #[test]
    fn the_limit_goes_where_most_get_through() {
        let peaked = |peak: f64| {
            move |inside: u32| {
                let load = f64::from(inside) / peak;
                10.0 * load / (1.0 + load * load)
            }
        };
        for peak in [4.0, 20.0, 100.0] {
            let limit = limit_after(100, peaked(peak));
            let share = 2.0 * peaked(peak)(limit as u32) / 10.0;
            assert!(share > 0.9, "a limit of {limit} gives {share} of what {peak} gives");
        }
    }

    #[test]
    fn free_places_say_nothing_about_the_network() {
        let mut rule = Throughput::new(2);
        for now in 0..100 {
            assert_eq!(rule.admit(now, Room { waiting: 1, inside: 0, expected: 9 }), 1);
            rule.left(now, Departure { end: End::Through, inside_ms: 1, of: 1 });
        }
        assert_eq!(rule.limit, 2.0);
    }
}
