//! A probe: how the health of a process is asked for.
//! It is not the verdict on a host, which silence decides.

use crate::model::{Command, HookPlace, Place};
use serde::{Deserialize, Serialize};

/// A question that is asked again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub check: Check,
    /// From where.
    pub from: HookPlace,
    /// How often, in milliseconds.
    pub every_ms: u64,
    /// No answer after so long is a failure, in milliseconds.
    pub time_limit_ms: u64,
    /// The first question is asked so long after the start, in milliseconds.
    pub delay_ms: u64,
    /// So many failures in a row are unhealthy.
    pub failures: u32,
    /// So many successes in a row are healthy again.
    pub successes: u32,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// A TCP port that accepts.
    Tcp(u16),
    /// A URL that answers with a status below 400.
    Http(String),
    /// A command that succeeds.
    Command(Command),
}
