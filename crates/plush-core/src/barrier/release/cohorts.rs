//! As many inside as get through fastest together, found by how long they take: for entrants that tell no progress.
//! It does not look at single times inside: on links of very different speed they say nothing.
//!
//! While more inside do not slow each other down, each one more adds to the throughput. Once what they share is full,
//! the throughput stands still and the time inside grows with their number. So the time inside tells where the limit
//! should be, without a search: those let in about together are a cohort, and the time until the first two fifths of
//! it are through is compared with the least such time seen, which is that of an unloaded network. The limit is set
//! so that it becomes [`LOADED`] times as long: then the share is surely full, and a crowd has not gathered yet.
//! Until the first cohort is known, each that is through lets three in. Of a cohort that is overdue the limit is
//! lowered before it is through, for what has changed is a network that became slow.

use super::{Departure, End, Room};
use crate::Millis;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::barrier) struct Cohorts {
    limit: f64,
    /// The time inside of a cohort with nothing in its way, as far as one was seen.
    unloaded_ms: Option<f64>,
    /// Oldest first; those of which nothing is awaited go as soon as they are the oldest.
    cohorts: VecDeque<Cohort>,
    /// Somebody had to wait when it was asked last: only then the limit is what holds the number inside.
    full: bool,
}

/// Entrants that were let in about together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Cohort {
    /// When the first and the last of them were let in: no time of another cohort lies between.
    first: Millis,
    last: Millis,
    /// How many they are, without those who died.
    size: u32,
    through: u32,
    /// The longest time inside of those who are through.
    slowest_ms: Millis,
    /// How many were inside when the last of them was let in.
    inside: u32,
    stage: Stage,
}

/// What is known of a cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// More may join it.
    Gathers,
    /// It is whole, and not enough of it are through.
    Awaited,
    /// Its time has been judged.
    Judged,
}

impl Cohorts {
    pub fn new(start: u32) -> Self {
        let limit = f64::from(start.max(1));
        Cohorts { limit, unloaded_ms: None, cohorts: VecDeque::new(), full: false }
    }

    /// How many there may be inside now.
    pub fn limit(&mut self, now: Millis) -> u32 {
        self.mind_overdue(now);
        // The limit is at most some times the number of members, so the conversion is exact.
        (self.limit.round() as u32).max(1)
    }

    /// So many were let in.
    pub fn admitted(&mut self, now: Millis, room: Room, admitted: u32) {
        if room.waiting > 0 {
            self.full = admitted < room.waiting;
        }
        if admitted > 0 {
            self.gather(now, admitted, room.inside + admitted);
        }
    }

    pub fn left(&mut self, now: Millis, departure: Departure) {
        if self.unloaded_ms.is_none() && self.full {
            self.limit += GROWTH;
        }
        let let_in = now.saturating_sub(departure.inside_ms);
        // Searched from the youngest; there are but a few, for each is as large as half the limit was.
        if let Some(cohort) = self.cohorts.iter_mut().rfind(|cohort| cohort.first <= let_in) {
            match departure.end {
                // Whoever did not get through says nothing about how long that takes.
                End::Died => cohort.size -= 1,
                // At least so long.
                End::Through | End::TimeOut => {
                    cohort.through += 1;
                    cohort.slowest_ms = cohort.slowest_ms.max(departure.inside_ms);
                }
            }
            if cohort.stage == Stage::Awaited && cohort.is_measured() {
                cohort.stage = Stage::Judged;
                let (took_ms, before) = (cohort.slowest_ms.max(1) as f64, cohort.inside);
                self.judge(took_ms, f64::from(before + departure.of) / 2.0);
            }
        }
        while self.cohorts.front().is_some_and(|c| c.stage == Stage::Judged) {
            self.cohorts.pop_front();
        }
    }

    /// A cohort took so long with about so many inside.
    fn judge(&mut self, took_ms: f64, inside: f64) {
        let unloaded_ms = match self.unloaded_ms {
            None => took_ms,
            // The least of many measurements is too low by chance, so it is believed by half.
            Some(least) if took_ms < least => (least + took_ms) / 2.0,
            Some(least) => least,
        };
        self.unloaded_ms = Some(unloaded_ms);
        let factor = (LOADED * unloaded_ms / took_ms).clamp(FACTOR_MIN, FACTOR_MAX);
        let limit = (inside * factor).clamp(1.0, LIMIT_MAX);
        if self.full {
            self.limit = limit;
        } else if factor < 1.0 {
            // With places free, the number inside says nothing about how many more there could be.
            self.limit = self.limit.min(limit);
        }
    }

    /// Lowers the limit for a cohort that is not through by far: it will have taken at least as long as it has.
    fn mind_overdue(&mut self, now: Millis) {
        let Some(unloaded_ms) = self.unloaded_ms else { return };
        let due_ms = LOADED * unloaded_ms;
        for cohort in self.cohorts.iter().filter(|cohort| cohort.stage == Stage::Awaited) {
            let age_ms = now.saturating_sub(cohort.first) as f64;
            if age_ms > PATIENCE * due_ms {
                let factor = (due_ms / age_ms).max(FACTOR_MIN);
                self.limit = self.limit.min((f64::from(cohort.inside) * factor).max(1.0));
            }
        }
    }

    /// So many were let in, with whom so many are inside.
    fn gather(&mut self, now: Millis, count: u32, inside: u32) {
        let whole = ((self.limit * COHORT_SHARE) as u32).max(COHORT_MIN);
        match self.cohorts.back_mut() {
            Some(cohort) if cohort.last == now || cohort.stage == Stage::Gathers => {
                cohort.size += count;
                cohort.last = now;
                cohort.inside = cohort.inside.max(inside);
            }
            Some(_) | None => self.cohorts.push_back(Cohort::new(now, count, inside)),
        }
        let cohort = self.cohorts.back_mut().expect("a cohort was just there or made");
        if cohort.stage == Stage::Gathers && cohort.size >= whole {
            cohort.stage = Stage::Awaited;
        }
    }
}

impl Cohort {
    fn new(now: Millis, size: u32, inside: u32) -> Self {
        let stage = Stage::Gathers;
        Cohort { first: now, last: now, size, through: 0, slowest_ms: 0, inside, stage }
    }

    fn is_measured(&self) -> bool {
        f64::from(self.through) >= MEASURED * f64::from(self.size)
    }
}

// The numbers below were chosen by `bench/run release` on the networks that the study calls known; it reports others too.

/// So many times the unloaded time inside is aimed at.
const LOADED: f64 = 3.0;
/// The share of a cohort whose time is taken: the fast ones come first, and the slow ones need not be waited for.
const MEASURED: f64 = 0.4;
/// A cohort is as large as this share of the limit, and never smaller than the number: fewer are no measurement.
const COHORT_SHARE: f64 = 0.5;
const COHORT_MIN: u32 = 8;
/// How much the limit grows with each that is through, until the first cohort is judged.
const GROWTH: f64 = 2.0;
/// One judgement changes the number inside by no more than these factors.
const FACTOR_MIN: f64 = 0.4;
const FACTOR_MAX: f64 = 3.0;
/// A cohort is overdue when it takes so many times what is aimed at.
const PATIENCE: f64 = 3.0;
/// No more are ever let in at a time.
const LIMIT_MAX: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::barrier::Entrant;

    fn admit(rule: &mut Cohorts, now: Millis, room: Room) -> u32 {
        let admitted = room.waiting.min(rule.limit(now).saturating_sub(room.inside));
        rule.admitted(now, room, admitted);
        admitted
    }

    /// Everybody inside gets through after `time_ms(inside)`; the limit after so many of them.
    fn limit_after(many: u32, time_ms: impl Fn(u32) -> f64) -> f64 {
        let mut rule = Cohorts::new(4);
        let (mut now, mut inside) = (0, VecDeque::new());
        for _ in 0..many {
            let count = inside.len() as u32;
            let room = Room { waiting: 100_000, inside: count, expected: 100_000 };
            (0..admit(&mut rule, now, room)).for_each(|_| inside.push_back(now));
            let count = inside.len() as u32;
            let let_in = inside.pop_front().expect("somebody is always let in");
            now = now.max(let_in + time_ms(count) as Millis);
            let inside_ms = now - let_in;
            rule.left(
                now,
                Departure { entrant: Entrant(0), end: End::Through, inside_ms, of: count },
            );
        }
        rule.limit
    }

    #[test]
    fn the_limit_settles_where_what_all_share_is_full_and_no_crowd_has_gathered() {
        for fits in [16.0, 40.0, 100.0] {
            let limit = limit_after(5000, |inside| 1000.0 * (f64::from(inside) / fits).max(1.0));
            let load = limit / fits;
            assert!((0.9..4.0).contains(&load), "{limit} inside, where {fits} fit");
        }
    }

    #[test]
    fn the_limit_grows_while_more_inside_slow_nobody_down() {
        assert!(limit_after(2000, |_| 1000.0) > 500.0);
    }

    #[test]
    fn a_network_that_becomes_slow_lowers_the_limit_before_the_cohort_is_through() {
        let mut rule = Cohorts::new(64);
        let room = |inside| Room { waiting: 1000, inside, expected: 1000 };
        assert_eq!(admit(&mut rule, 0, room(0)), 64);
        (0..32).for_each(|n| {
            rule.left(
                1000,
                Departure { entrant: Entrant(0), end: End::Through, inside_ms: 1000, of: 64 - n },
            );
        });
        let more = admit(&mut rule, 1000, room(32));
        assert!(more > 64, "nobody was in another's way: {more}");
        assert_eq!(admit(&mut rule, 20_000, room(32 + more)), 0);
        assert!(
            rule.limit < 0.5 * f64::from(32 + more),
            "the second cohort is overdue: {}",
            rule.limit
        );
    }

    #[test]
    fn free_places_say_nothing_about_the_network() {
        let mut rule = Cohorts::new(2);
        for now in 0..100 {
            assert_eq!(admit(&mut rule, now, Room { waiting: 1, inside: 0, expected: 9 }), 1);
            rule.left(
                now,
                Departure { entrant: Entrant(0), end: End::Through, inside_ms: 1, of: 1 },
            );
        }
        assert_eq!(rule.limit, 2.0);
    }

    #[test]
    fn those_who_die_hold_no_cohort_up() {
        let mut rule = Cohorts::new(8);
        let room = |inside| Room { waiting: 100, inside, expected: 100 };
        assert_eq!(admit(&mut rule, 0, room(0)), 8);
        (0..8).for_each(|n| {
            rule.left(5, Departure { entrant: Entrant(0), end: End::Died, inside_ms: 5, of: 8 - n })
        });
        assert!(rule.cohorts.is_empty(), "{:?}", rule.cohorts);
        assert!(admit(&mut rule, 6, room(0)) >= 1);
    }
}
