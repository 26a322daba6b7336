//! Entry: when a barrier opens, from the numbers alone.
//! Not who is let go afterwards: that is `release`.

use crate::Millis;
use plush_spec::model::Entry;
use serde::{Deserialize, Serialize};

/// How many are expected, how many have come, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Census {
    pub expected: u32,
    pub entered: u32,
    pub first_entry: Option<Millis>,
}

/// Why a barrier opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opening {
    /// Everybody who can come has come.
    All,
    /// The number asked for has come.
    Count,
    /// The share asked for has come and the minimum wait is over.
    Percent,
    /// The time since the first entry is over.
    Timeout,
}

impl Opening {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Opening::All => "all",
            Opening::Count => "count",
            Opening::Percent => "percent",
            Opening::Timeout => "timeout",
        }
    }
}

/// Whether the barrier opens now, and the first policy that says so. A full house always opens.
pub(super) fn opens(policy: &Entry, census: &Census, now: Millis) -> Option<Opening> {
    let first = census.first_entry?;
    if census.entered == 0 {
        return None;
    }
    if census.entered == census.expected {
        return Some(Opening::All);
    }
    if policy.count.is_some_and(|count| census.entered >= count) {
        return Some(Opening::Count);
    }
    if let Some(share) = policy.percent
        && census.entered >= enough(share.percent, census.expected)
        && now >= first + share.min_wait_ms
    {
        return Some(Opening::Percent);
    }
    policy.timeout_ms.is_some_and(|limit| now >= first + limit).then_some(Opening::Timeout)
}

/// When time alone may open it.
pub(super) fn wake_at(policy: &Entry, census: &Census) -> Option<Millis> {
    let first = census.first_entry.filter(|_| census.entered > 0)?;
    let share = policy.percent.filter(|p| census.entered >= enough(p.percent, census.expected));
    let waits = [share.map(|p| p.min_wait_ms), policy.timeout_ms];
    waits.into_iter().flatten().min().map(|wait| first + wait)
}

/// The smallest number that is at least `percent` of `expected`.
fn enough(percent: f64, expected: u32) -> u32 {
    let share = (percent.clamp(0.0, 100.0) / 100.0 * f64::from(expected)).ceil();
    // The product lies between 0 and a u32, so the conversion is exact.
    share as u32
}
