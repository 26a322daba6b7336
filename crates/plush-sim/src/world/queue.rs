//! The queue of what is going to happen, in virtual milliseconds.
//! Not what it means: the world sees to that.

use crate::faults::Fault;
use plush_core::Millis;
use plush_core::plan::HostId;
use plush_protocol::{Report, TaskKey, ToAgent, ToController};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A message arrives at an agent's end of a link.
    AtAgent { link: u64, message: ToAgent },
    /// A message arrives at the controller's end of a link.
    AtController { link: u64, message: ToController },
    /// An agent's end of a link notices its end.
    ClosedAtAgent { link: u64 },
    /// The controller's end of a link notices its end.
    ClosedAtController { link: u64 },
    /// An attempt to connect reaches its host.
    Knock { link: u64, session: u64, received: u64 },
    /// An attempt to connect has taken too long, or was refused.
    ConnectOver { link: u64, refused: Option<bool> },
    /// What the controller wrote to its disk last is durable.
    Synced { life: u64 },
    /// The run wants to be asked again.
    Wake { life: u64 },
    /// Output that the controller wrote is durable.
    Stored { life: u64 },
    /// Results have come home, or not.
    Fetched { life: u64, host: HostId, link: u64 },
    /// Probes from the controller come to a verdict.
    Judged { life: u64, host: HostId, key: TaskKey },
    /// The controller looks after its links.
    Tick { life: u64 },
    /// A new controller takes over.
    Takeover,
    /// Something happens on a host; nothing if it was switched off meanwhile.
    OnHost { host: HostId, boot: u64, what: OnHost },
    /// Something goes wrong, or is healed.
    Fault(Fault),
    /// Somebody looks at all hosts.
    Audit,
    /// The link of a rehearsed host breaks.
    Misfortune { host: HostId },
}

/// Something that happens on one host.
#[derive(Clone, Debug)]
pub(crate) enum OnHost {
    /// The agent of this life wants to be asked again.
    AgentWake { life: u64 },
    /// A preparation says how far it is, or that it is over.
    Prepare { life: u64, report: Report },
    /// What the agent was told to remove is removed.
    Removed { life: u64, keep_work: bool },
    /// A probe of a task is answered.
    Probed { life: u64, key: TaskKey, probe: usize, passed: bool },
    /// A task takes its next step.
    Task { key: TaskKey, step: TaskStep },
}

/// A step in the life of a task on its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskStep {
    /// The start record is durable.
    Recorded,
    /// The go is given.
    Exec,
    /// The program writes.
    Write { share: u64 },
    /// The program ends by itself.
    Return,
    /// The program is ended by a signal.
    Struck,
    /// The end's record is durable.
    Buried,
    /// The keeper looks at its clock.
    KeeperWake,
    /// The program goes on with its visit to a barrier.
    Visit,
    /// The program's connection to its agent breaks.
    Reconnect { asker: u64 },
    /// The program does not want to wait for this any more.
    Impatient { request: u64 },
}

/// Happenings by time; those of one time in the order in which they were added.
#[derive(Default)]
pub(crate) struct Queue {
    order: BinaryHeap<Reverse<(Millis, u64)>>,
    waiting: BTreeMap<u64, Happening>,
    added: u64,
}

impl Queue {
    /// Adds one.
    pub fn add(&mut self, at: Millis, happening: Happening) {
        self.added += 1;
        self.order.push(Reverse((at, self.added)));
        self.waiting.insert(self.added, happening);
    }

    /// Takes the next.
    pub fn take(&mut self) -> Option<(Millis, Happening)> {
        let Reverse((at, number)) = self.order.pop()?;
        let happening = self.waiting.remove(&number).expect("what is ordered is waiting");
        Some((at, happening))
    }
}
