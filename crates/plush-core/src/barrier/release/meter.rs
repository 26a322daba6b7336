//! What those inside get done together, from what each of them says of its progress now and then.
//! Not what follows from it for those who wait: that is `goodput`.
//!
//! Each word covers the time since the word before, so what it adds is spread evenly over that time. Time is cut into
//! windows; a window is read when the words about it have come. Somebody counts in a window for the time that its words
//! cover, also if they tell that it got nothing done: that may be the crowd's fault. Whoever does not speak, since it works
//! on something else or is dead, takes no part, neither in the sum nor in the number.

use super::Progress;
use crate::Millis;
use crate::barrier::Entrant;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Meter {
    told: BTreeMap<Entrant, Told>,
    /// How far apart the words of one entrant are, on average over the last ones; 0 before anybody spoke twice.
    gap_ms: f64,
    /// Oldest first; a few, for each is as long as two words are apart and is read soon after.
    windows: VecDeque<Window>,
    inside: u32,
    /// Up to when the number inside has been accounted for.
    accounted: Millis,
    /// Counts the changes of the limit: paces before and after one are compared.
    step: u32,
}

/// The last word of one entrant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    at: Millis,
    done: u64,
    words: u32,
    /// How much a millisecond between the last two words.
    pace: f64,
    /// The same, as it was before this step.
    before: Option<f64>,
    step: u32,
}

/// Sums over the entrants that spoke about a time; all but the last two are in milliseconds of entrants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Window {
    from: Millis,
    until: Millis,
    done: f64,
    inside: f64,
    busy: f64,
    /// Of `busy`, those who told of progress before the step as well.
    survivors: f64,
    /// What the survivors have done, and what it would be at their paces before the step.
    survivors_done: f64,
    survivors_before: f64,
}

/// What is read off a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    /// When the window began.
    pub from: Millis,
    /// How many spoke about it, on average.
    pub busy: f64,
    /// How many were inside and did not.
    pub idle: f64,
    /// What they got done together in a millisecond.
    pub goodput: f64,
    /// How fast those go on who were inside before the last step too, as a share of how fast they were then.
    pub kept: Option<f64>,
}

impl Meter {
    /// Somebody spoke; says whether it has something done for the first time. A second word of the same instant adds nothing.
    pub fn progressed(&mut self, now: Millis, progress: Progress) -> bool {
        let Progress { entrant, since, done } = progress;
        self.open(now);
        let told = self.told.entry(entrant).or_insert(Told::nothing(since));
        let is_first = told.done == 0 && done > 0;
        if now <= told.at {
            return false;
        }
        let (more, span_ms) = (done.saturating_sub(told.done) as f64, (now - told.at) as f64);
        if told.words > 0 {
            let weight = if self.gap_ms == 0.0 { 1.0 } else { GAP_WEIGHT };
            self.gap_ms += weight * (span_ms - self.gap_ms);
        }
        if told.step != self.step {
            told.step = self.step;
            // The first word covers the way to the server too, so it says nothing about the pace.
            told.before = (told.words > 1 && told.pace > 0.0).then_some(told.pace);
        }
        for window in &mut self.windows {
            let overlap = now.min(window.until).saturating_sub(told.at.max(window.from)) as f64;
            let part = more * overlap / span_ms;
            window.done += part;
            window.busy += overlap;
            if let Some(before) = told.before {
                window.survivors += overlap;
                window.survivors_done += part;
                window.survivors_before += before * overlap;
            }
        }
        *told = Told { at: now, done, words: told.words + 1, pace: more / span_ms, ..*told };
        is_first
    }

    /// So many are inside from now on.
    pub fn count(&mut self, now: Millis, inside: u32) {
        for window in &mut self.windows {
            let overlap = now.min(window.until).saturating_sub(self.accounted.max(window.from));
            window.inside += overlap as f64 * f64::from(self.inside);
        }
        (self.inside, self.accounted) = (inside, now);
    }

    pub fn left(&mut self, entrant: Entrant) {
        self.told.remove(&entrant);
    }

    /// The limit changes: paces from here on are compared with those up to now.
    pub fn step(&mut self) {
        self.step = self.step.wrapping_add(1);
    }

    /// What was measured up to now is about another number inside.
    pub fn begin_anew(&mut self) {
        self.windows.clear();
    }

    /// The oldest window about which all has been said. The number inside must have been counted up to now.
    pub fn read(&mut self, now: Millis) -> Option<Reading> {
        self.open(now);
        let lag_ms = self.lag_ms();
        let window = self.windows.pop_front_if(|window| window.until + lag_ms <= now)?;
        let length_ms = (window.until - window.from) as f64;
        let is_known = window.survivors >= SURVIVORS * window.busy && window.survivors_before > 0.0;
        Some(Reading {
            from: window.from,
            busy: window.busy / length_ms,
            idle: (window.inside - window.busy).max(0.0) / length_ms,
            goodput: window.done / length_ms,
            kept: is_known.then(|| window.survivors_done / window.survivors_before),
        })
    }

    /// When the next window can be read.
    pub fn readable_at(&self) -> Option<Millis> {
        self.windows.front().map(|window| window.until + self.lag_ms())
    }

    /// After this time without a word from anybody new nobody is waited for.
    pub fn patience_ms(&self) -> Option<Millis> {
        (self.gap_ms > 0.0).then_some((PATIENCE_GAPS * self.gap_ms) as Millis)
    }

    /// Begins the window that now lies in, if there is none.
    fn open(&mut self, now: Millis) {
        let length_ms = (WINDOW_GAPS * self.gap_ms).max(WINDOW_MIN_MS) as Millis;
        let last = self.windows.back().map(|last| last.until);
        if last.is_none_or(|until| until <= now) {
            // After a long silence it begins now: what is said about the silence is about another time.
            let from = last.filter(|until| now < until + length_ms).unwrap_or(now);
            self.windows.push_back(Window { from, until: from + length_ms, ..Window::default() });
        }
    }

    fn lag_ms(&self) -> Millis {
        (LAG_GAPS * self.gap_ms) as Millis
    }
}

impl Told {
    fn nothing(since: Millis) -> Self {
        Told { at: since, done: 0, words: 0, pace: 0.0, before: None, step: 0 }
    }
}

/// A window is as long as the words of one entrant are apart, times this, and never shorter than the other.
const WINDOW_GAPS: f64 = 2.0;
const WINDOW_MIN_MS: f64 = 200.0;
/// It is read so much later: by then each has spoken about it, on a usual way.
const LAG_GAPS: f64 = 1.2;
const PATIENCE_GAPS: f64 = 3.0;
/// How much the last pause between two words counts for how long such pauses are.
const GAP_WEIGHT: f64 = 0.03;
/// So large a share must have spoken before the step too, or nothing is known about who slows whom down.
const SURVIVORS: f64 = 0.15;

#[cfg(test)]
mod tests {
    use super::*;

    fn says(meter: &mut Meter, who: u32, now: Millis, done: u64) {
        meter.progressed(now, Progress { entrant: Entrant(who), since: 0, done });
    }

    /// Two that speak once a second from the first on, each doing `pace` a millisecond; readings up to `end`.
    fn readings(end: Millis, pace: impl Fn(Millis) -> u64) -> Vec<Reading> {
        let (mut meter, mut done, mut read) = (Meter::default(), 0, Vec::new());
        meter.count(0, 3);
        for now in (500..end).step_by(500) {
            done += 500 * pace(now);
            says(&mut meter, u32::from(now % 1000 == 0), now, done);
            meter.count(now, 3);
            read.extend(std::iter::from_fn(|| meter.read(now)));
        }
        read
    }

    #[test]
    fn what_is_done_is_summed_and_who_is_idle_is_told_apart() {
        let last = *readings(20_000, |_| 5).last().unwrap();
        assert!((last.goodput - 10.0).abs() < 0.1, "{last:?}");
        assert!((last.busy - 2.0).abs() < 0.1 && (last.idle - 1.0).abs() < 0.1, "{last:?}");
    }

    #[test]
    fn a_word_counts_for_the_time_that_it_is_about() {
        let read = readings(30_000, |now| if now <= 15_000 { 8 } else { 2 });
        // A window lies on the change at most, and one more is touched by words about both times.
        let about =
            |goodput: f64| read.iter().filter(|r| (r.goodput - goodput).abs() < 0.1).count();
        assert!(about(16.0) + about(4.0) + 3 >= read.len() && about(4.0) > 3, "{read:?}");
    }

    #[test]
    fn a_word_of_the_same_instant_or_one_that_begins_anew_adds_nothing() {
        let (mut meter, mut read) = (Meter::default(), Vec::new());
        meter.count(0, 1);
        for (now, done) in
            [(1, 100), (1, 9_900), (2, 200), (3, 50), (4, 150), (5, 250), (6, 350), (9, 650)]
        {
            says(&mut meter, 0, now * 1_000, done);
            meter.count(now * 1_000, 1);
            read.extend(std::iter::from_fn(|| meter.read(now * 1_000)));
        }
        assert!(read.len() > 2 && read.iter().all(|r| r.goodput < 0.101), "{read:?}");
    }

    #[test]
    fn who_becomes_slower_after_a_step_is_compared_with_itself() {
        let mut meter = Meter::default();
        meter.count(0, 2);
        for now in 1..=5 {
            (0..2).for_each(|who| says(&mut meter, who, now * 1_000, now * 1_000));
            let _ = meter.read(now * 1_000);
        }
        meter.step();
        meter.begin_anew();
        let _ = meter.read(5_000);
        for now in 6..=9 {
            (0..2).for_each(|who| says(&mut meter, who, now * 1_000, 5_000 + (now - 5) * 500));
        }
        let kept = meter.read(9_500).unwrap().kept.unwrap();
        assert!((kept - 0.5).abs() < 0.01, "{kept}");
    }
}
