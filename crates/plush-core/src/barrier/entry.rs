//! Entry: when a barrier opens, from the numbers alone.
//! Not who is let go afterwards: that is `release`.

use super::knee::Rhythm;
use super::opening::Opening;
use crate::Millis;
use plush_spec::model::{Entry, Knee, Percent};
use serde::{Deserialize, Serialize};

/// How many are expected, how many have come, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Census {
    pub expected: u32,
    pub entered: u32,
    pub first_entry: Option<Millis>,
    rhythm: Rhythm,
}

impl Census {
    /// Somebody came.
    pub fn enter(&mut self, policy: &Entry, now: Millis) {
        self.entered += 1;
        self.first_entry.get_or_insert(now);
        if let Some(knee) = &policy.knee {
            self.rhythm.arrived(now, knee);
        }
    }

    fn knee_at(&self, knee: &Knee, first: Millis) -> Option<Millis> {
        let enough = self.entered >= share(knee.min_percent, self.expected);
        let at = self.rhythm.knee_at().filter(|_| enough)?;
        Some(at.max(first + knee.min_wait_ms))
    }

    fn percent_at(&self, percent: &Percent, first: Millis) -> Option<Millis> {
        let enough = self.entered >= share(percent.percent, self.expected);
        enough.then_some(first + percent.min_wait_ms)
    }
}

/// Whether the barrier opens now, and the first policy that says so. A full house always opens.
pub(super) fn opens(policy: &Entry, census: &Census, now: Millis) -> Option<Opening> {
    let first = census.first_entry.filter(|_| census.entered > 0)?;
    if census.entered == census.expected {
        return Some(Opening::All);
    }
    if let Some(needed) = policy.count.filter(|count| census.entered >= *count) {
        return Some(Opening::Count { needed });
    }
    let due = |at: &Millis| now >= *at;
    if let Some(percent) = policy.percent
        && census.percent_at(&percent, first).as_ref().is_some_and(due)
    {
        let needed = share(percent.percent, census.expected);
        return Some(Opening::Percent { needed, min_wait_ms: percent.min_wait_ms });
    }
    if let Some(knee) = &policy.knee
        && census.knee_at(knee, first).as_ref().is_some_and(due)
    {
        let (gap_ms, mean_ms, deviation_ms) = census.rhythm.numbers(now);
        return Some(Opening::Knee { gap_ms, mean_ms, deviation_ms });
    }
    let limit_ms = policy.timeout_ms.filter(|limit| now >= first + limit)?;
    Some(Opening::Timeout { limit_ms })
}

/// When time alone may open it.
pub(super) fn wake_at(policy: &Entry, census: &Census) -> Option<Millis> {
    let first = census.first_entry.filter(|_| census.entered > 0)?;
    let percent = policy.percent.and_then(|percent| census.percent_at(&percent, first));
    let knee = policy.knee.as_ref().and_then(|knee| census.knee_at(knee, first));
    let timeout = policy.timeout_ms.map(|limit| first + limit);
    [percent, knee, timeout].into_iter().flatten().min()
}

/// The smallest number that is at least `percent` of `members`.
pub(crate) fn share(percent: f64, members: u32) -> u32 {
    let part = (percent.clamp(0.0, 100.0) / 100.0 * f64::from(members)).ceil();
    // The product lies between 0 and a u32, so the conversion is exact.
    part as u32
}
