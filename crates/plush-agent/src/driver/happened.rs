//! What the driver's loop waits for, from all its helpers. Not the core's events, though most become one.

use super::collect::Permit;
use crate::keeper::wire::FromKeeper;
use plush_core::agent::{AskerId, Event, LinkId};
use plush_protocol::{
    BarrierAsk, BarrierOutcome, BlobWant, Report, TaskKey, ToAgent, ToController,
};
use tokio::sync::oneshot;

/// One thing that happened.
pub enum Happened {
    /// A controller said something.
    Said {
        /// On this link.
        link: LinkId,
        /// What.
        message: ToAgent,
    },
    /// A link ended.
    LinkClosed {
        /// Which.
        link: LinkId,
        /// Why, for the log.
        why: String,
    },
    /// A batch is written.
    LinkWritten {
        /// Which link.
        link: LinkId,
        /// The buffer.
        spare: Vec<u8>,
    },
    /// A keeper said something.
    Keeper {
        /// Of this task.
        key: TaskKey,
        /// Which of its keepers.
        generation: u32,
        /// What.
        message: FromKeeper,
    },
    /// A keeper is gone.
    KeeperGone {
        /// Of this task.
        key: TaskKey,
        /// Which of its keepers.
        generation: u32,
    },
    /// A preparation wants a piece of a pushed package.
    BlobWanted {
        /// The preparation of this cluster.
        cluster: String,
        /// What it wants.
        want: BlobWant,
    },
    /// A preparation is over: its report.
    PrepareEnded {
        /// Of this cluster.
        cluster: String,
        /// How.
        report: Report,
    },
    /// A program asks something of a barrier.
    Asked {
        /// Who.
        asker: AskerId,
        /// What.
        ask: BarrierAsk,
        /// Where the answer goes.
        answer: oneshot::Sender<BarrierOutcome>,
    },
    /// A program does not wait for its answer any more.
    AskerGone {
        /// Which.
        asker: AskerId,
    },
    /// Something for the core.
    Core(Event),
    /// An answer for a controller, if it is still there.
    Answer {
        /// Asked on this link.
        link: LinkId,
        /// What is said.
        message: ToController,
        /// Held until the answer is written.
        permit: Permit,
    },
}
