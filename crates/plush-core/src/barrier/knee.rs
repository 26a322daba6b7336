//! Running means over the times between arrivals, and how long a gap is too long for them.
//! Not whether a knee counts yet: that is `entry`.

use crate::Millis;
use plush_spec::model::Knee;
use serde::{Deserialize, Serialize};

/// What the arrivals so far let expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rhythm {
    last: Option<Millis>,
    mean_ms: f64,
    deviation_ms: f64,
    gaps: u32,
}

impl Rhythm {
    /// Somebody came. The first gap is taken for the mean, and half of it for the deviation, as TCP does (RFC 6298).
    pub fn arrived(&mut self, now: Millis, knee: &Knee) {
        if let Some(last) = self.last {
            let gap = now.saturating_sub(last) as f64;
            let past = knee.weight.unwrap_or(Knee::WEIGHT);
            if self.gaps == 0 {
                (self.mean_ms, self.deviation_ms) = (gap, gap / 2.0);
            } else {
                let off = (gap - self.mean_ms).abs();
                self.deviation_ms = past * self.deviation_ms + (1.0 - past) * off;
                self.mean_ms = past * self.mean_ms + (1.0 - past) * gap;
            }
            self.gaps = self.gaps.saturating_add(1);
        }
        self.last = Some(now);
    }

    /// When the gap is longer than the mean and four deviations; two gaps must have been seen, since one has no rhythm.
    pub fn knee_at(&self) -> Option<Millis> {
        let last = self.last.filter(|_| self.gaps >= GAPS_MIN)?;
        let patience = (self.mean_ms + 4.0 * self.deviation_ms).max(GAP_MIN_MS);
        // A mean of whole milliseconds is far below 2^53, so the conversion is exact.
        Some(last + patience.ceil() as Millis)
    }

    /// Gap, mean and deviation for people.
    pub fn numbers(&self, now: Millis) -> (Millis, Millis, Millis) {
        let gap = now.saturating_sub(self.last.unwrap_or(now));
        (gap, self.mean_ms.round() as Millis, self.deviation_ms.round() as Millis)
    }
}

/// Fewer gaps are no rhythm.
const GAPS_MIN: u32 = 2;

/// No gap shorter than this is a knee: arrivals in one instant have a mean of nothing, and times are heard of in
/// batches.
const GAP_MIN_MS: f64 = 100.0;
