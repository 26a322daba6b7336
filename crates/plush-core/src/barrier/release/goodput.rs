//! As many inside as get the most done together, by what they say of their progress.
//! Not how that is measured: `meter`. Without a word from anybody it has no opinion.
//!
//! It remembers what it measured for each number inside, in steps of a quarter, and goes to the largest number that was
//! nearly as good as the best: where a crowd does no harm, those with slow links begin early. At first it *climbs*: twice
//! as many after each reading while the goodput grows with the number, half as many again while it does not, until less is
//! done than before *and* those who were inside already have become slower; that other hosts with slower links are
//! inside now is no reason. After that it *holds*, and tries the next larger and the next smaller number now and then,
//! more and more seldom.
//! When the goodput is far from what was measured at about this number, all that was measured is of another network: it
//! climbs again if more is done; if less is, it lets so many fewer in and soon tries more and fewer.

use super::meter::{Meter, Reading};
use super::{Departure, Progress, Room};
use crate::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Goodput {
    meter: Meter,
    /// Somebody has told of progress.
    heard: bool,
    /// How many are to take part.
    number: f64,
    /// How many inside do not: they hold no place.
    idle: f64,
    /// The sum of both as it was at the last change.
    limit: u32,
    stage: Stage,
    search: Search,
    /// What was measured last with so many inside.
    seen: BTreeMap<Size, Seen>,
    readings: u32,
    larger: Trial,
    smaller: Trial,
}

/// The number inside in steps of a quarter: `STEP` to this power.
type Size = i32;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    goodput: f64,
    /// The reading that said so last.
    at: u32,
}

/// How far the last change of the limit is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Stage {
    /// There are more inside than the limit, or fewer than it though some wait.
    Moving { newcomers: u32, spoke: u32 },
    /// Those let in have not begun.
    Settling { since: Millis, newcomers: u32, spoke: u32 },
    /// What is measured from then on is about the number inside.
    Settled { since: Millis },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Search {
    /// How many there were and what they got done; readings since without a word on who slows whom down.
    Climbs {
        from: Option<(f64, f64)>,
        unsure: u32,
    },
    Holds,
}

/// A number that is tried now and then.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Trial {
    /// How many readings about a settled number have passed since it was tried, and how many are to pass until it is again.
    passed: u32,
    pause: f64,
}

impl Goodput {
    pub fn new(start: u32) -> Self {
        Goodput {
            meter: Meter::default(),
            heard: false,
            number: f64::from(start.max(1)),
            idle: 0.0,
            limit: start.max(1),
            stage: Stage::Moving { newcomers: 0, spoke: 0 },
            search: Search::Climbs { from: None, unsure: 0 },
            seen: BTreeMap::new(),
            readings: 0,
            larger: Trial::LARGER,
            smaller: Trial::SMALLER,
        }
    }

    /// How many there may be inside now; nothing as long as nobody has told of progress.
    pub fn limit(&mut self, now: Millis, room: Room) -> Option<u32> {
        self.meter.count(now, room.inside);
        if !self.heard {
            return None;
        }
        self.settle(now);
        while let Some(reading) = self.meter.read(now) {
            if room.waiting > 0 {
                self.judge(reading, room.inside);
            }
        }
        if self.may_let_all_in(room) {
            return Some(room.inside + room.waiting);
        }
        Some(self.limit)
    }

    /// So many were let in, and so many are inside with them.
    pub fn admitted(&mut self, now: Millis, inside: u32, admitted: u32) {
        self.meter.count(now, inside);
        if !self.heard {
            self.number = self.number.max(f64::from(inside));
            self.limit = self.limit.max(inside);
        }
        if let Stage::Moving { newcomers, spoke } = self.stage {
            let newcomers = newcomers + admitted;
            self.stage = match inside <= self.limit {
                true => Stage::Settling { since: now, newcomers, spoke },
                false => Stage::Moving { newcomers, spoke },
            };
        }
    }

    pub fn progressed(&mut self, now: Millis, progress: Progress) {
        let is_first = self.meter.progressed(now, progress);
        self.heard = true;
        match &mut self.stage {
            Stage::Moving { spoke, .. } | Stage::Settling { spoke, .. } if is_first => *spoke += 1,
            Stage::Moving { .. } | Stage::Settling { .. } | Stage::Settled { .. } => {}
        }
    }

    pub fn left(&mut self, now: Millis, departure: Departure) {
        self.meter.count(now, departure.of.saturating_sub(1));
        self.meter.left(departure.entrant);
    }

    /// While somebody waits.
    pub fn wake_at(&self) -> Option<Millis> {
        self.meter.readable_at()
    }

    /// Measures anew once those let in have begun.
    fn settle(&mut self, now: Millis) {
        let Stage::Settling { since, newcomers, spoke } = self.stage else { return };
        let have_begun = f64::from(spoke) >= BEGUN * f64::from(newcomers);
        let is_late = self.meter.patience_ms().is_some_and(|patience| since + patience < now);
        if have_begun || is_late {
            self.stage = Stage::Settled { since: now };
            self.meter.begin_anew();
        }
    }

    /// The last ones go together where a crowd is known to do no great harm: the slowest of them says when all is over.
    fn may_let_all_in(&self, room: Room) -> bool {
        let all = room.inside + room.waiting;
        // Once those are in whom the limit lets in.
        let inside = self.limit.clamp(room.inside, all);
        let few = f64::from(all - inside) <= LAST * f64::from(inside);
        few && self.readings > 1 && {
            let (size, most) = (size_of(f64::from(inside)), self.most().goodput);
            self.seen.range(size..).all(|(_, seen)| seen.goodput >= HARMLESS * most)
        }
    }

    fn judge(&mut self, reading: Reading, inside: u32) {
        if reading.goodput <= 0.0 {
            // Nobody gets anything done, so nobody is in the way of those who wait.
            self.idle = reading.idle;
            return self.go(self.number);
        }
        self.readings += 1;
        let weight = if self.readings == 1 { 1.0 } else { IDLE_WEIGHT };
        self.idle += weight * (reading.idle - self.idle);
        let next = match self.change(reading) {
            Some(factor) => self.network_changed(reading, factor),
            None => {
                self.remember(reading);
                self.next(reading, inside)
            }
        };
        if let Some(number) = next {
            self.go(number);
        }
    }

    fn go(&mut self, number: f64) {
        self.number = number.clamp(1.0, NUMBER_MAX);
        // At most twice the largest number and all that are inside, which is far below 2^32.
        self.limit = (self.number + self.idle).round() as u32;
        self.meter.step();
        self.stage = Stage::Moving { newcomers: 0, spoke: 0 };
    }

    /// By which factor the goodput is off what was measured at about this number, if that is no matter of the number.
    fn change(&self, reading: Reading) -> Option<f64> {
        if self.search != Search::Holds {
            return None;
        }
        let size = size_of(reading.busy);
        let (near, seen) = self.seen.iter().min_by_key(|(near, _)| (**near - size).abs())?;
        let factor = reading.goodput / seen.goodput;
        // More inside may do more in proportion, or less; a crowd may do harm somewhat beyond that.
        let distance = f64::from((near - size).abs()) * STEP.ln();
        let (with, against) = match *near < size {
            true => (distance, CROWD * distance),
            false => (CROWD * distance, distance),
        };
        let slowed = reading.kept.is_none_or(|kept| kept < SLOWED);
        let is_change = factor.ln() > with + CHANGE || (factor.ln() < -against - CHANGE && slowed);
        is_change.then_some(factor)
    }

    /// All that was measured is of another network.
    fn network_changed(&mut self, reading: Reading, factor: f64) -> Option<f64> {
        self.seen.clear();
        self.remember(reading);
        if factor < 1.0 {
            // It may be too few, or too many still: how a crowd harms this network is not known.
            (self.larger, self.smaller) = (Trial::SOON, Trial::SOON);
            let fewer = reading.busy * factor.max(FALL_MIN);
            // The reading that showed it first was in part of the time before. Those after it may lower the number further
            // while nobody has left, and do not let anybody in.
            return Some(match self.stage {
                Stage::Moving { .. } => fewer.min(self.number),
                Stage::Settling { .. } | Stage::Settled { .. } => fewer,
            });
        }
        self.search = Search::Climbs { from: None, unsure: 0 };
        None
    }

    fn remember(&mut self, reading: Reading) {
        let at = self.readings;
        self.seen.retain(|_, seen| at - seen.at < MEMORY);
        let seen = self.seen.entry(size_of(reading.busy));
        let seen = seen.or_insert(Seen { goodput: reading.goodput, at });
        let weight = if self.search == Search::Holds { GOODPUT_WEIGHT } else { 1.0 };
        *seen = Seen { goodput: seen.goodput * (reading.goodput / seen.goodput).powf(weight), at };
    }

    /// How many are to make progress from now on, if that is to change.
    fn next(&mut self, reading: Reading, inside: u32) -> Option<f64> {
        let size = size_of(reading.busy);
        let here = self.seen[&size].goodput;
        let aim = self.aim();
        match (self.stage, self.search) {
            (Stage::Settled { since }, Search::Climbs { from, unsure })
                if reading.from >= since =>
            {
                self.climb(reading, from, unsure, inside)
            }
            (Stage::Settled { since }, Search::Holds) if reading.from >= since => {
                if aim != size && self.seen[&aim].goodput > here {
                    return Some(number_of(aim));
                }
                self.try_another(size, aim)
            }
            // Those who leave are not replaced, and that turns out to be wrong.
            (Stage::Moving { .. }, _) if self.limit < inside && aim > size => {
                (self.seen[&aim].goodput > MISTAKE * here).then(|| number_of(aim))
            }
            (Stage::Settled { .. } | Stage::Settling { .. } | Stage::Moving { .. }, _) => None,
        }
    }

    fn climb(
        &mut self,
        reading: Reading,
        from: Option<(f64, f64)>,
        unsure: u32,
        inside: u32,
    ) -> Option<f64> {
        let Reading { busy, goodput, kept, .. } = reading;
        let from_here = Some((busy, goodput));
        let most = self.most();
        let growth = from.map_or(1.0, |(number, before)| match (busy / number).ln() {
            more if more > LITTLE => (goodput / before).ln() / more,
            _ => 0.0,
        });
        let slowed = kept.map_or(unsure >= UNSURE_MAX, |kept| kept < SLOWED);
        if goodput < HARMED * most.goodput && size_of(busy) > most.size && slowed {
            self.search = Search::Holds;
            (self.larger, self.smaller) = (Trial::LARGER, Trial::SMALLER);
            return Some(number_of(self.aim()));
        }
        if kept.is_none() && growth < 0.0 && unsure < UNSURE_MAX {
            self.search = Search::Climbs { from: from_here, unsure: unsure + 1 };
            return None;
        }
        self.search = Search::Climbs { from: from_here, unsure: 0 };
        let factor = if growth > GROWS { CLIMB } else { CREEP };
        Some((busy * factor).max(f64::from(inside) - self.idle + 1.0))
    }

    fn try_another(&mut self, size: Size, aim: Size) -> Option<f64> {
        let (larger, smaller) = (size.max(aim) + 1, size - 1);
        if self.larger.is_due() {
            self.seen.remove(&larger);
            return Some(number_of(larger));
        }
        if smaller >= 0 && self.smaller.is_due() {
            return Some(number_of(smaller));
        }
        None
    }

    /// The number with which the most was done.
    fn most(&self) -> Best {
        let best = self.seen.iter().max_by(|a, b| a.1.goodput.total_cmp(&b.1.goodput));
        best.map_or(Best { size: 0, goodput: 0.0 }, |(size, seen)| Best {
            size: *size,
            goodput: seen.goodput,
        })
    }

    /// The largest number with which nearly as much was done.
    fn aim(&self) -> Size {
        let enough = NEARLY * self.most().goodput;
        let good = self.seen.iter().rev().find(|(_, seen)| seen.goodput >= enough);
        *good.expect("what was just measured is remembered").0
    }
}

struct Best {
    size: Size,
    goodput: f64,
}

impl Trial {
    const LARGER: Trial = Trial { passed: 0, pause: 10.0 };
    const SMALLER: Trial = Trial { passed: 0, pause: 20.0 };
    const SOON: Trial = Trial { passed: 0, pause: 3.0 };

    /// One more reading has passed. If it is due, it is tried, and less soon again.
    fn is_due(&mut self) -> bool {
        self.passed += 1;
        let is_due = f64::from(self.passed) >= self.pause;
        if is_due {
            *self = Trial { passed: 0, pause: (self.pause * PAUSE_GROWTH).min(PAUSE_MAX) };
        }
        is_due
    }
}

fn size_of(number: f64) -> Size {
    // Numbers are at most some millions, of which the logarithm is small.
    (number.max(1.0).ln() / STEP.ln()).round() as Size
}

fn number_of(size: Size) -> f64 {
    STEP.powi(size)
}

// The numbers below were chosen by `bench/run release` on the networks that the study calls known; it reports others too.

/// How far apart two numbers are that are told apart.
const STEP: f64 = 1.25;
/// So much of the best is nearly as good.
const NEARLY: f64 = 0.95;
/// Less than this share of the best is harm, if those inside go on at less than the second share of their paces.
const HARMED: f64 = 0.9;
const SLOWED: f64 = 0.85;
/// A climb without a word on paces goes on after so many readings.
const UNSURE_MAX: u32 = 2;
/// While the goodput grows with this power of the number, twice as many are next, else half as many again. Nobody who is in
/// is thrown out, so a step that was too long is paid for until those are through.
const GROWS: f64 = 0.7;
const CLIMB: f64 = 2.0;
const CREEP: f64 = 1.5;
/// A change of the number by less than this logarithm says nothing about growth.
const LITTLE: f64 = 0.1;
/// How far, as a logarithm, the goodput may be off at the same number; and how much steeper than in proportion harm may be.
const CHANGE: f64 = 0.4;
const CROWD: f64 = 1.3;
/// A network that became slow lowers the number by no more than this factor at once.
const FALL_MIN: f64 = 0.1;
/// So many times as much with a larger number, and letting nobody in was a mistake.
const MISTAKE: f64 = 1.15;
/// So many readings are remembered.
const MEMORY: u32 = 60;
/// How much a new reading counts against what was measured before.
const GOODPUT_WEIGHT: f64 = 0.3;
const IDLE_WEIGHT: f64 = 0.3;
/// So large a share of those let in must have spoken.
const BEGUN: f64 = 0.8;
/// The last ones are those who wait when they are at most this share of those inside; a crowd does no great harm if so
/// much of the best is done with any number from there on that was measured.
const LAST: f64 = 0.5;
const HARMLESS: f64 = 0.75;
/// By how much the pauses between trials grow, and the longest, in readings.
const PAUSE_GROWTH: f64 = 1.4;
const PAUSE_MAX: f64 = 120.0;
/// No more are ever meant to make progress at a time.
const NUMBER_MAX: f64 = 1e6;

#[cfg(test)]
mod tests;
