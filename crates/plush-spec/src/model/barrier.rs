//! A barrier: when to open (entry) and how those inside are let go (release).
//! It is not the machine that counts; that is a rule of the core.

use crate::model::{Hook, Name, Place, Reference};
use serde::{Deserialize, Serialize};

/// A barrier of the application, known by its name in all clusters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Barrier {
    /// Its name.
    pub name: Name,
    /// Where it is written first.
    #[serde(skip)]
    pub place: Place,
    /// How it works.
    pub policy: BarrierPolicy,
    /// Clusters whose hosts are expected although no step of theirs enters it: their programs do.
    /// Where these and the steps name none, all of the application are.
    pub clusters: Vec<Reference>,
    /// How many programs of each such host are expected; `None` is one.
    pub per_host: Option<u32>,
}

/// How a barrier works.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BarrierPolicy {
    /// When it opens.
    pub entry: Entry,
    /// How those inside are let go.
    pub release: Release,
    /// What becomes of those who come after it has opened.
    pub late: Late,
    /// A program that may overrule.
    pub callback: Option<Hook>,
    /// Those who are let go at once go at one instant, so long after the decision, in milliseconds.
    pub together_ms: Option<u64>,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// When a barrier opens: as soon as one of these says so. A full house always opens; with
/// nothing set, only a full house does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// So many have entered.
    pub count: Option<u32>,
    /// So many percent have entered and the minimum wait is over.
    pub percent: Option<Percent>,
    /// So long after the first entry, whoever is there, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The arrivals have reached a knee.
    pub knee: Option<Knee>,
}

impl Entry {
    /// Whether it says anything beyond a full house.
    pub fn is_said(&self) -> bool {
        *self != Entry::default()
    }
}

/// A share of the members, not before a wait.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percent {
    /// From 0 to 100.
    pub percent: f64,
    /// From the first entry, in milliseconds.
    pub min_wait_ms: u64,
}

/// A knee in a curve of arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Knee {
    /// Knees before this share has arrived are ignored; from 0 to 100.
    pub min_percent: f64,
    /// Knees before this time from the first arrival are ignored, in milliseconds.
    pub min_wait_ms: u64,
    /// The weight of the past in the running means, between 0 and 1; `None` is the measured default.
    pub weight: Option<f64>,
}

impl Knee {
    /// The weight of the past where none is said: the one with the fewest early openings (`bench/run knee`).
    pub const WEIGHT: f64 = 0.75;
    /// The least share where none is said, in percent: the highest that ten hosts of which one never comes still reach.
    pub const MIN_PERCENT: f64 = 90.0;
}

/// How those inside are let go; first come, first served.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum Release {
    /// All at once.
    #[default]
    All,
    /// A number at each tick.
    CountPerTick {
        /// So many.
        count: u32,
        /// The tick, in milliseconds.
        every_ms: u64,
    },
    /// A share of the members at each tick.
    PercentPerTick {
        /// From 0 to 100.
        percent: f64,
        /// The tick, in milliseconds.
        every_ms: u64,
    },
    /// At most so many inside at a time.
    Inside {
        /// So many.
        max: u32,
        /// A place is free again after so long even if nobody leaves, in milliseconds.
        timeout_ms: Option<u64>,
    },
    /// So many in a second.
    Rate {
        /// In a second.
        per_second: f64,
    },
    /// As many inside as go well, judged by the time they take.
    Adaptive {
        /// By which rule.
        rule: AdaptiveRule,
        /// How many are let in at first.
        start: u32,
        /// A place is free again after so long even if nobody leaves, in milliseconds.
        timeout_ms: Option<u64>,
    },
}

impl Release {
    /// What `adaptive` alone means.
    pub const ADAPTIVE: Release = Release::Adaptive {
        rule: AdaptiveRule::Throughput,
        start: AdaptiveRule::Throughput.start(),
        timeout_ms: None,
    };

    /// That of the phase `prepare` where none is said: hosts fetch software from few places, so not all at once; where
    /// there is none, nothing is shared.
    pub fn of_preparation(software: &[Reference]) -> Release {
        if software.is_empty() { Release::All } else { Release::ADAPTIVE }
    }
}

/// The rule of an adaptive release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AdaptiveRule {
    /// The one that maximises measured throughput.
    #[default]
    Throughput,
    /// The one of the original system, which compares medians.
    Median,
}

impl AdaptiveRule {
    /// How many are let in at first where it is not said.
    pub const fn start(self) -> u32 {
        match self {
            AdaptiveRule::Throughput => 8,
            AdaptiveRule::Median => 2,
        }
    }
}

/// What becomes of late-comers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Late {
    /// They pass at once.
    #[default]
    Admit,
    /// They are taken out of the run.
    Drop,
    /// They are taken out and another host is taken in.
    Replace,
}
