//! Why a barrier opened, with the numbers that were true at that moment.
//! Not the rules that lead to it: those are `entry`.

use crate::Millis;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a barrier opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opening {
    /// Everybody who can come has come.
    All,
    /// The number asked for has come.
    Count {
        /// So many were enough.
        needed: u32,
    },
    /// The share asked for has come and the minimum wait is over.
    Percent {
        /// The share as a number of the members that counted then.
        needed: u32,
        /// From the first entry.
        min_wait_ms: Millis,
    },
    /// The time since the first entry is over.
    Timeout {
        /// So long.
        limit_ms: Millis,
    },
    /// Nobody came for longer than the arrivals so far let expect: the gap is over the mean plus four deviations.
    Knee {
        /// Since the last arrival.
        gap_ms: Millis,
        /// Running mean of the times between arrivals.
        mean_ms: Millis,
        /// Running mean deviation of those times.
        deviation_ms: Millis,
    },
    /// The operator said so.
    Operator,
    /// The barrier's callback said so.
    Callback,
}

/// How a barrier opened: when, why, and who was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// When.
    pub at: Millis,
    /// Why.
    pub why: Opening,
    /// Members that had come.
    pub entered: u32,
    /// Members that counted.
    pub expected: u32,
    /// Since the first entry.
    pub waited_ms: Millis,
}

/// A barrier would open by its own rules, and its callback is to be asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Why it would open.
    pub why: Opening,
    /// Since when; it names the question, so that it is asked once.
    pub since: Millis,
    /// It opens then if nothing else is said.
    pub until: Millis,
}

impl Opening {
    /// The word for people and programs.
    pub fn word(&self) -> &'static str {
        match self {
            Opening::All => "all",
            Opening::Count { .. } => "count",
            Opening::Percent { .. } => "percent",
            Opening::Timeout { .. } => "timeout",
            Opening::Knee { .. } => "knee",
            Opening::Operator => "operator",
            Opening::Callback => "callback",
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Opening::All => write!(f, "all have come"),
            Opening::Count { needed } => write!(f, "{needed} have come"),
            Opening::Percent { needed, min_wait_ms: 0 } => {
                write!(f, "{needed} have come, the share asked for")
            }
            Opening::Percent { needed, min_wait_ms } => {
                write!(f, "{needed} have come, the share asked for, and {min_wait_ms} ms are over")
            }
            Opening::Timeout { limit_ms } => {
                write!(f, "{limit_ms} ms since the first entry are over")
            }
            Opening::Knee { gap_ms, mean_ms, deviation_ms } => write!(
                f,
                "nobody came for {gap_ms} ms, after arrivals {mean_ms} ms apart (deviation {deviation_ms} ms)"
            ),
            Opening::Operator => write!(f, "the operator said so"),
            Opening::Callback => write!(f, "the callback said so"),
        }
    }
}
