//! How a run or a cluster is kept up, and what holds when contact is lost.
//! It is not the restart of one process, which the process says itself.

use crate::model::{BarrierPolicy, Place};
use serde::{Deserialize, Serialize};

/// How it is kept up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The class, from which the times follow where they are not set.
    pub class: ServiceClass,
    /// How long to wait before a lost connection is tried again, in milliseconds.
    pub reconnect_interval_ms: Option<u64>,
    /// A host without contact stops its tasks after this, in milliseconds; `None` is the class's.
    pub stop_after_ms: Option<u64>,
    /// A host without contact is replaced after this, in milliseconds; `None` is the class's.
    pub replace_after_ms: Option<u64>,
    /// Who stays when a replaced host comes back.
    pub on_return: OnReturn,
    /// Spread over the values of this fact, such as `site`.
    pub spread: Option<String>,
    /// How a changed description is rolled out.
    pub update: Option<BarrierPolicy>,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

impl Default for Service {
    fn default() -> Service {
        Service {
            class: ServiceClass::Batch,
            reconnect_interval_ms: None,
            stop_after_ms: None,
            replace_after_ms: None,
            on_return: OnReturn::KeepOriginal,
            spread: None,
            update: None,
            place: Place::default(),
        }
    }
}

/// The class of a run or cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceClass {
    /// Ends by itself: stops a day after contact is lost.
    Batch,
    /// Somebody is watching: stops two minutes after contact is lost.
    Attached,
    /// Stays up without a controller; lost hosts are replaced after a minute.
    Service,
    /// Never two copies: stops a minute after contact is lost, replaced only after that is sure.
    Exclusive,
}

impl ServiceClass {
    /// After how long without contact a host stops its tasks, in milliseconds; `None` is never.
    pub fn stop_after_ms(self) -> Option<u64> {
        match self {
            ServiceClass::Batch => Some(24 * 3_600_000),
            ServiceClass::Attached => Some(120_000),
            ServiceClass::Service => None,
            ServiceClass::Exclusive => Some(60_000),
        }
    }
}

/// Who stays when a replaced host comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnReturn {
    /// The one that came back.
    #[default]
    KeepOriginal,
    /// The replacement.
    KeepNew,
    /// Whose tasks have run longer.
    LongestRunning,
}
