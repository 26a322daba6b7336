//! What tasks ask of the run's barriers through their agent, and what is answered.
//! Not the socket on the host, which is the agent's, and not the rules, which are the core's.

use crate::tainted::Tainted;
use crate::task::TaskKey;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Longest name that an entrant may give itself, in bytes.
pub const MAX_ALIAS_BYTES: usize = 64;

/// One request of a program. Asked again under the same number it has the same effect and gets the answer again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct BarrierAsk {
    /// Names the request; drawn by chance by whoever asks.
    #[n(0)]
    pub request: u64,
    /// The barrier's name, as the program says it.
    #[n(1)]
    pub barrier: Tainted,
    /// Who asks.
    #[n(2)]
    pub who: BarrierEntrant,
    /// What.
    #[n(3)]
    pub verb: BarrierVerb,
    /// Which round is meant; `None` is the entrant's own next one.
    #[n(4)]
    pub generation: Option<u32>,
}

/// Who stands before a barrier on a host: a task, or a name within it.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
pub struct BarrierEntrant {
    /// The task that the program belongs to; `None` for a program that belongs to none.
    #[n(0)]
    pub task: Option<TaskKey>,
    /// A name that the program gave itself; empty for the task's own.
    #[n(1)]
    pub alias: Tainted,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarrierVerb {
    /// Enter, and be told when let go.
    #[n(0)]
    Enter,
    /// Enter, and be told that this is known.
    #[n(1)]
    Signal,
    /// Through: a place inside is free. Before being let go it takes the entrance back.
    #[n(2)]
    Leave,
    /// How does it stand?
    #[n(3)]
    State,
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct BarrierAnswer {
    /// The request's number.
    #[n(0)]
    pub request: u64,
    /// What came of it.
    #[n(1)]
    pub outcome: BarrierOutcome,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BarrierOutcome {
    /// The entrant is let go.
    #[n(0)]
    LetGo {
        /// In this round.
        #[n(0)]
        generation: u32,
        /// Why the barrier opened, in a word.
        #[n(1)]
        why: String,
        /// From its entrance to its release.
        #[n(2)]
        waited_ms: u64,
        /// Let it go at this instant of the host's boot time, in microseconds; `None` is at once.
        #[n(3)]
        at_us: Option<u64>,
    },
    /// The entrance is known.
    #[n(1)]
    Entered {
        /// In this round.
        #[n(0)]
        generation: u32,
    },
    /// The entrant is out.
    #[n(2)]
    Left {
        /// Of this round.
        #[n(0)]
        generation: u32,
    },
    /// It came after the opening and is not admitted, or named a round that is over for it.
    #[n(3)]
    TooLate {
        /// That round.
        #[n(0)]
        generation: u32,
        /// In words.
        #[n(1)]
        why: String,
    },
    /// It will never be let go: its entrance was taken back, its host is out, the run ends.
    #[n(4)]
    Dropped {
        /// In words.
        #[n(0)]
        why: String,
    },
    /// No barrier has this name.
    #[n(5)]
    Unknown {
        /// Those that there are.
        #[n(0)]
        known: Vec<String>,
    },
    /// The request makes no sense.
    #[n(6)]
    Refused {
        /// In words.
        #[n(0)]
        why: String,
    },
    /// How the barrier stands.
    #[n(7)]
    Stands(#[n(0)] BarrierStand),
}

/// A round of a barrier in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct BarrierStand {
    /// The newest round that somebody has entered; 1 before that.
    #[n(0)]
    pub generation: u32,
    /// Who counts.
    #[n(1)]
    pub expected: u32,
    /// Who has come.
    #[n(2)]
    pub entered: u32,
    /// Who has been let go.
    #[n(3)]
    pub released: u32,
    /// Why it opened, in a word, once it has.
    #[n(4)]
    pub opened: Option<String>,
}
