//! Offset of a host's clock from the controller's, measured by pings: time of the request, the
//! host's clock, time of the answer.
//! Not the asking, and not a clock.
//!
//! The host's word was true at some instant between the question and the answer. The shorter that was, the better it is
//! known; an old word is worth less, since clocks drift apart.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Pings that are remembered.
const SAMPLES: usize = 16;
/// How far two clocks drift apart at the most, in microseconds for each second: ordinary crystals stay below it.
const DRIFT_US_PER_S: u64 = 100;
/// News is told when it is better by this share of the old uncertainty ...
const BETTER_BY: u64 = 4;
/// ... or when what was told is as old as this.
const STALE_US: u64 = 60_000_000;

/// Offset of a host's clock from another clock, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// The host's boot time when the other clock is 0; negative where the host booted later.
    pub ahead_us: i64,
    /// It may be wrong by so much in either direction.
    pub uncertainty_us: u64,
}

/// One ping, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Time of the request, by the boot time of the controller's machine.
    pub asked_us: u64,
    /// What the host's clock said.
    pub host_us: u64,
    /// Time of the answer, by the same clock.
    pub came_us: u64,
}

/// Without starts at an instant: minimum improvement that is reported, and how long a report is
/// valid.
const ROUGH_US: u64 = 50_000;
const ROUGH_STALE_US: u64 = 3_600_000_000;

/// The newest pings of one host, and what was told of them.
#[derive(Clone, Debug, Default)]
pub struct OffsetFilter {
    samples: VecDeque<Sample>,
    told: Option<(u64, ClockOffset)>,
    is_rough: bool,
}

impl ClockOffset {
    /// An instant of the run on the host's clock.
    pub fn at_host_us(&self, run_us: u64) -> u64 {
        run_us.saturating_add_signed(self.ahead_us)
    }

    /// An instant of the host's clock on the run's.
    pub fn at_run_us(&self, host_us: u64) -> i64 {
        i64::try_from(host_us).unwrap_or(i64::MAX).saturating_sub(self.ahead_us)
    }
}

impl Sample {
    /// The estimate at that later instant; older measurements are less precise.
    pub fn offset(&self, now_us: u64) -> ClockOffset {
        let round_trip = self.came_us.saturating_sub(self.asked_us);
        let middle = self.asked_us + round_trip / 2;
        let age_s = now_us.saturating_sub(self.came_us) / 1_000_000;
        let ahead = i128::from(self.host_us) - i128::from(middle);
        ClockOffset {
            ahead_us: i64::try_from(ahead).unwrap_or(i64::MAX),
            uncertainty_us: round_trip.div_ceil(2) + age_s * DRIFT_US_PER_S,
        }
    }
}

impl OffsetFilter {
    /// For a run without starts at an instant: tasks are dated by it. The precision of the hellos
    /// is sufficient.
    pub fn rough(known: Option<ClockOffset>, now_us: u64) -> OffsetFilter {
        let told = known.map(|offset| (now_us, offset));
        OffsetFilter { told, is_rough: true, ..OffsetFilter::default() }
    }

    /// Takes a ping in. Says the offset when it is worth telling: at first, when it is known markedly better, and from
    /// time to time.
    pub fn take(&mut self, sample: Sample) -> Option<ClockOffset> {
        if sample.came_us < sample.asked_us {
            return None;
        }
        self.samples.push_back(sample);
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
        let now = sample.came_us;
        let best = self.samples.iter().map(|s| s.offset(now)).min_by_key(|o| o.uncertainty_us)?;
        let worth = self.told.is_none_or(|(at, told)| {
            let (gain, stale) = match self.is_rough {
                false => (told.uncertainty_us.div_ceil(BETTER_BY), STALE_US),
                true => (ROUGH_US, ROUGH_STALE_US),
            };
            best.uncertainty_us + gain < told.uncertainty_us || at + stale <= now
        });
        if worth {
            self.told = Some((now, best));
        }
        worth.then_some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_quickest_of_some_pings_is_believed() {
        let mut filter = OffsetFilter::default();
        let ping = |asked_us, host_us, came_us| Sample { asked_us, host_us, came_us };
        let first = filter.take(ping(0, 1_060, 100));
        assert_eq!(first, Some(ClockOffset { ahead_us: 1_010, uncertainty_us: 50 }));
        assert_eq!(filter.take(ping(200, 1_390, 400)), None, "a slow one tells nothing new");
        let quick = filter.take(ping(500, 1_505, 510));
        assert_eq!(quick, Some(ClockOffset { ahead_us: 1_000, uncertainty_us: 5 }));
    }

    #[test]
    fn where_nothing_starts_at_an_instant_only_a_coarse_error_is_news() {
        let ping = |asked_us, came_us| Sample { asked_us, host_us: came_us, came_us };
        let told = |uncertainty_us| Some(ClockOffset { ahead_us: 0, uncertainty_us });
        let mut good = OffsetFilter::rough(told(20_000), 0);
        assert_eq!(good.take(ping(10, 30)), None);
        let mut bad = OffsetFilter::rough(told(80_000), 0);
        assert_eq!(bad.take(ping(10, 30)).map(|offset| offset.uncertainty_us), Some(10));
    }

    #[test]
    fn what_was_measured_long_ago_is_worth_less() {
        let mut filter = OffsetFilter::default();
        let _first = filter.take(Sample { asked_us: 0, host_us: 5, came_us: 10 });
        let hour = 3_600_000_000;
        let later = Sample { asked_us: hour, host_us: hour + 900, came_us: hour + 1_000 };
        let told = filter.take(later).map(|offset| offset.uncertainty_us);
        assert_eq!(told, Some(500), "the new one is worth more than one of an hour ago");
    }

    proptest! {
        /// Whatever the two ways took, the truth is within the uncertainty.
        #[test]
        fn the_true_offset_is_within_the_uncertainty(
            ahead in 0u64..1_000_000_000,
            pings in proptest::collection::vec((0u64..50_000, 0u64..50_000), 1..40),
        ) {
            let (mut filter, mut now) = (OffsetFilter::default(), 1_000);
            for (there, back) in pings {
                let sample =
                    Sample { asked_us: now, host_us: now + there + ahead, came_us: now + there + back };
                now = sample.came_us + 1_000;
                if let Some(told) = filter.take(sample) {
                    prop_assert!(told.ahead_us.abs_diff(ahead as i64) <= told.uncertainty_us);
                    prop_assert_eq!(told.at_run_us(told.at_host_us(77)), 77);
                }
            }
        }
    }
}
