//! Checkers: what must hold after every event, each named as the fault model names it.
//! Not the worlds in which it is tried.

mod end;
mod exclusive;
mod host;
mod journal;
mod lease;
mod run;
mod visits;

use crate::world::{Host, Process};
use plush_core::Millis;
use plush_core::plan::HostId;
use plush_protocol::{Exit, TaskKey, TaskState};
use std::collections::{BTreeMap, BTreeSet};
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

/// A host that has stood still has its programs go on with it; its agent and its keepers need so long, and the grace, to
/// end them.
const AWAKE_MS: Millis = 3_000;

/// Its host stands still, or has until just now.
fn stands_still(at: Millis, host: &Host, process: &Process) -> bool {
    host.paused_until > 0 && at < host.paused_until + process.grace_ms + AWAKE_MS
}

/// What was seen of a barrier: how many were let go, why it opened, who is missing.
type Seen = (u32, Option<String>, Vec<String>);

/// What has been seen so far, and the first rule that was broken.
#[derive(Default)]
pub(crate) struct Checks {
    pub breach: Option<Breach>,
    /// Nobody looks: only what is cheap is noted.
    unwatched: bool,
    /// Hosts that the run calls done.
    pub done: Vec<usize>,
    /// How programs ended in truth.
    ended: BTreeMap<TaskKey, Exit>,
    executions: BTreeMap<TaskKey, u32>,
    /// Tasks that have run, as the journal knows.
    known_begun: BTreeSet<TaskKey>,
    /// Ends as the run said them first.
    told: BTreeMap<TaskKey, (String, Option<Exit>)>,
    /// By barrier and generation, as it was seen last.
    barriers: BTreeMap<(String, u32), Seen>,
    /// Who bears a rank of a cluster.
    ranks: BTreeMap<(String, String), HostId>,
    /// The newest report of each session.
    sent: BTreeMap<(HostId, u64), u64>,
    sessions: BTreeMap<HostId, u64>,
    acknowledged: BTreeMap<(HostId, u64), u64>,
    attempts: BTreeMap<HostId, u32>,
    /// The newest report of each session that is in the journal.
    journalled: BTreeMap<(HostId, u64), u64>,
    /// The newest command that each session's agent has taken.
    taken: BTreeMap<(HostId, u64), u64>,
    /// The newest epoch that each host's agents have obeyed.
    obeyed: BTreeMap<HostId, u64>,
    /// Ends that hosts have told.
    ends_told: BTreeMap<(HostId, TaskKey), TaskState>,
    /// Those of them that a full disk kept from being written down.
    ends_not_written: BTreeSet<(HostId, TaskKey)>,
    /// Records from which something was performed.
    relied: usize,
    /// Who is inside the meeting, since when.
    inside: BTreeMap<TaskKey, Millis>,
    tasks_seen: usize,
    /// Hosts of which results are here, or were asked for often enough.
    collected: BTreeSet<HostId>,
    collect_failures: BTreeMap<HostId, u32>,
    begun: BTreeSet<HostId>,
    restarts: u32,
    just_restarted: bool,
    idle_wakes: u32,
    visits: visits::Visits,
    exclusive: exclusive::Exclusive,
    /// Controllers, by their epochs, that have seen that another has taken over.
    fenced: BTreeSet<u64>,
}

impl Checks {
    /// Of a world that is rehearsed and not tried.
    pub fn unwatched() -> Checks {
        Checks { unwatched: true, ..Checks::default() }
    }

    /// Whether anybody looks: what only a rule asks for need not be worked out else.
    pub fn are_watched(&self) -> bool {
        !self.unwatched
    }

    /// Keeps the first breach.
    fn demand(
        &mut self,
        holds: bool,
        invariant: &'static str,
        at: Millis,
        what: impl FnOnce() -> String,
    ) {
        if !holds && !self.unwatched && self.breach.is_none() {
            self.breach = Some(Breach { invariant, what: what(), at });
        }
    }
}
