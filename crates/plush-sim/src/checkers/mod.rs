//! Checkers: what must hold after every event, each named as the fault model names it.
//! Not the worlds in which it is tried.

mod end;
mod host;
mod run;

use plush_core::Millis;
use plush_core::plan::HostId;
use plush_protocol::{Exit, TaskKey};
use std::collections::BTreeMap;
use std::fmt;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Its name in the fault model.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
    /// When, in virtual milliseconds.
    pub at: Millis,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken at {} ms: {}", self.invariant, self.at, self.what)
    }
}

/// What has been seen so far, and the first rule that was broken.
#[derive(Default)]
pub(crate) struct Checks {
    pub breach: Option<Breach>,
    /// Hosts that the run calls done.
    pub done: Vec<usize>,
    /// How programs ended in truth.
    ended: BTreeMap<TaskKey, Exit>,
    executions: BTreeMap<TaskKey, u32>,
    /// Ends as the run said them first.
    told: BTreeMap<TaskKey, (String, Option<Exit>)>,
    barriers: BTreeMap<String, (u32, Option<String>)>,
    /// Who bears a rank of a cluster.
    ranks: BTreeMap<(String, String), HostId>,
    /// The newest report of each session.
    sent: BTreeMap<(HostId, u64), u64>,
    sessions: BTreeMap<HostId, u64>,
    acknowledged: BTreeMap<(HostId, u64), u64>,
    attempts: BTreeMap<HostId, u32>,
    restarts: u32,
    idle_wakes: u32,
}

impl Checks {
    /// Keeps the first breach.
    fn demand(
        &mut self,
        holds: bool,
        invariant: &'static str,
        at: Millis,
        what: impl FnOnce() -> String,
    ) {
        if !holds && self.breach.is_none() {
            self.breach = Some(Breach { invariant, what: what(), at });
        }
    }
}
