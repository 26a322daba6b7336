//! Elapsed time of a run, as it is displayed. Decisions use a separate clock, which is suspended
//! while there is no controller and while the controller's machine sleeps; otherwise every deadline
//! would be due afterwards. This module records when that clock was suspended and for how long.
//! Not a clock: the controller supplies the readings of its machine's clocks.

use crate::Millis;
use crate::offset::ClockOffset;
use serde::{Deserialize, Serialize};

/// Maximum number of separate suspensions; beyond it the oldest but one is merged into the next.
const KEPT: usize = 1_000;

/// Readings of a machine's clocks at an instant of the decision clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// The instant.
    pub at_ms: Millis,
    /// Boot id of the machine that the boot time counts from; empty where the system has none.
    pub boot_id: String,
    /// Time since that start in microseconds, sleep included.
    pub boot_us: u64,
    /// The time of day, in ms since 1970.
    pub unix_ms: u64,
}

/// How far the decision clock is behind the run's elapsed time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elapsed {
    /// In order of time.
    stood: Vec<Stood>,
    /// The part of the total that is known only from the time of day.
    by_wall_ms: Millis,
    reading: Option<ClockReading>,
}

/// One suspension of the decision clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stood {
    /// Instant of the decision clock at which it was suspended.
    after: Millis,
    /// Total suspended time, this suspension included.
    total_ms: Millis,
}

impl Elapsed {
    /// No suspension.
    pub fn is_default(&self) -> bool {
        *self == Elapsed::default()
    }

    /// Records a reading of the machine's clocks. The time by which they advanced since the
    /// previous reading, and the decision clock did not, lies after the last recorded instant.
    /// Returns false where only the time of day gives that time.
    pub fn read(&mut self, told: Millis, reading: ClockReading) -> bool {
        let mut is_sure = true;
        if let Some(before) = &self.reading {
            let counted = self.shown(reading.at_ms).saturating_sub(self.shown(before.at_ms));
            let is_same = !reading.boot_id.is_empty() && reading.boot_id == before.boot_id;
            let passed = match is_same {
                true => reading.boot_us.saturating_sub(before.boot_us) / 1_000,
                false => reading.unix_ms.saturating_sub(before.unix_ms),
            };
            is_sure = is_same;
            let ms = passed.saturating_sub(counted);
            if ms > 0 {
                let total_ms = self.total() + ms;
                self.stood
                    .push(Stood { after: told.min(reading.at_ms.saturating_sub(1)), total_ms });
                if self.stood.len() > KEPT {
                    // Its time counts from the next one on.
                    self.stood.remove(1);
                }
                self.by_wall_ms += if is_same { 0 } else { ms };
            }
        }
        self.reading = Some(reading);
        is_sure
    }

    /// Converts an instant of the decision clock to elapsed time of the run.
    pub fn shown(&self, at: Millis) -> Millis {
        let before = self.stood.partition_point(|stood| stood.after < at);
        at + before.checked_sub(1).map_or(0, |last| self.stood[last].total_ms)
    }

    /// Elapsed time from one instant to another.
    pub fn between(&self, from: Millis, until: Millis) -> Millis {
        self.shown(until).saturating_sub(self.shown(from))
    }

    /// An instant at this elapsed time after another, with suspensions in between.
    pub fn shown_after(&self, instant: Millis, lead_ms: Millis) -> Millis {
        self.shown(instant.saturating_sub(lead_ms)) + lead_ms
    }

    /// Total suspended time in ms.
    pub fn total(&self) -> Millis {
        self.stood.last().map_or(0, |last| last.total_ms)
    }

    /// The part of it that is known only from the time of day: across a reboot, or from another
    /// machine.
    pub fn by_wall(&self) -> Millis {
        self.by_wall_ms
    }

    /// The time of day at an instant of the decision clock, in ms since 1970, by the controller's
    /// machine.
    pub fn unix_ms(&self, at: Millis) -> Option<u64> {
        let reading = self.reading.as_ref()?;
        let since = i128::from(self.shown(at)) - i128::from(self.shown(reading.at_ms));
        u64::try_from(i128::from(reading.unix_ms) + since).ok()
    }

    /// Offset of a host's boot time from the run's elapsed time, given its offset from the boot
    /// time of the controller's machine.
    pub fn ahead_of_run(&self, offset: ClockOffset) -> ClockOffset {
        let Some(reading) = &self.reading else { return offset };
        let run_us = i128::from(self.shown(reading.at_ms)) * 1_000;
        let ahead = i128::from(offset.ahead_us) + i128::from(reading.boot_us) - run_us;
        ClockOffset { ahead_us: i64::try_from(ahead).unwrap_or(i64::MAX), ..offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading(at_ms: Millis, boot_id: &str, boot_ms: u64, unix_ms: u64) -> ClockReading {
        ClockReading { at_ms, boot_id: boot_id.into(), boot_us: boot_ms * 1_000, unix_ms }
    }

    #[test]
    fn the_time_without_a_controller_is_shown_and_not_decided_by() {
        let mut elapsed = Elapsed::default();
        elapsed.read(0, reading(0, "b", 500_000, 7_000_000));
        // The controller dies at 12 s; its last record is of 10 s. The next one starts at 54 s.
        elapsed.read(10_000, reading(10_001, "b", 554_000, 1));
        assert_eq!(elapsed.shown(10_000), 10_000, "what was before stays");
        assert_eq!(elapsed.shown(10_001), 54_000);
        assert_eq!(elapsed.shown(39_001), 83_000);
        assert_eq!((elapsed.total(), elapsed.by_wall()), (43_999, 0));
    }

    #[test]
    fn over_a_restart_or_on_another_machine_the_time_of_day_counts_and_is_marked() {
        let mut elapsed = Elapsed::default();
        elapsed.read(0, reading(0, "b", 500_000, 1_000_000));
        elapsed.read(5_000, reading(5_001, "c", 3, 1_065_001));
        assert_eq!(elapsed.shown(5_001), 65_001);
        assert_eq!((elapsed.total(), elapsed.by_wall()), (60_000, 60_000));
        elapsed.read(6_000, reading(6_001, "", 3, 1_000_000));
        assert_eq!(elapsed.total(), 60_000, "a time of day that was set back adds nothing");
    }

    #[test]
    fn the_clocks_of_hosts_are_measured_in_the_time_that_is_shown() {
        let mut elapsed = Elapsed::default();
        let offset = ClockOffset { ahead_us: 70, uncertainty_us: 5 };
        assert_eq!(
            elapsed.ahead_of_run(offset),
            offset,
            "of a run whose controller did not say its clock"
        );
        elapsed.read(0, reading(0, "b", 500, 0));
        elapsed.read(100, reading(101, "b", 2_500, 0));
        let ahead = elapsed.ahead_of_run(offset);
        assert_eq!(ahead.at_run_us(2_500_070), 2_000_000, "the reading before last was 2 s ago");
    }

    #[test]
    fn what_was_to_come_at_an_instant_is_not_put_off() {
        let mut elapsed = Elapsed::default();
        elapsed.read(0, reading(0, "b", 0, 0));
        elapsed.read(10_000, reading(10_001, "b", 40_001, 0));
        assert_eq!(elapsed.shown_after(10_500, 500), 10_500);
        assert_eq!(elapsed.shown(10_500), 40_500);
    }

    proptest! {
        /// Elapsed time equals the time of the machine's clock over any sequence of controllers,
        /// and never goes back.
        #[test]
        fn what_is_shown_is_the_machines_time(lives in proptest::collection::vec((1u64..50_000, 0u64..2_000, 0u64..90_000), 1..30)) {
            let mut elapsed = Elapsed::default();
            let (mut at, mut real, mut seen) = (0, 0, vec![(0, 0)]);
            let mut told = 0;
            for (lived, unrecorded, absent) in lives {
                elapsed.read(told, reading(at, "b", 77_000 + real, 0));
                prop_assert_eq!(elapsed.shown(at), real);
                (at, real) = (at + lived, real + lived);
                seen.push((at, real));
                told = at;
                // The next controller continues from the last recorded instant.
                (at, real) = (at + 1, real + unrecorded + absent + 1);
            }
            for (at, real) in seen {
                prop_assert_eq!(elapsed.shown(at), real);
            }
        }
    }
}
