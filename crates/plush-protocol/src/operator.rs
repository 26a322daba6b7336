//! What is said on a run's operator socket: one JSON object per line in either direction.
//! Not the agents' wire: people's tools should be able to read this one.

use crate::task::StreamName;
use crate::view::{Outcome, RunView};
use serde::{Deserialize, Serialize};

/// A front end to the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum OperatorRequest {
    /// One view, please.
    Status,
    /// Views whenever something changes, and more as asked, until the run is over or the connection ends.
    Watch {
        /// Lines of output from now on.
        #[serde(default)]
        output: bool,
        /// Every event of the journal, those of the past first.
        #[serde(default)]
        events: bool,
    },
    /// Stop the run in order: end processes, collect, clean up.
    Stop {
        /// For the record: who or what asked.
        why: String,
    },
    /// Write the state down and end the controller, and nothing else: `Taken` is said when it is written. Tasks go on for
    /// as long as their leases last, and whoever resumes the run goes on from there.
    Park,
    /// Send a signal to every running task.
    Signal {
        /// Signal number.
        signal: i32,
    },
}

/// The controller to a front end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum OperatorReply {
    /// The run now.
    View(Box<RunView>),
    /// Whole lines of output.
    Output {
        /// In order within each stream.
        lines: Vec<OutputLine>,
        /// Batches of lines left out before these since this front end read too slowly; the files have them all.
        skipped: u64,
    },
    /// One record of the journal.
    Event {
        /// Its place in the journal.
        index: u64,
        /// When, in ms since the run began.
        at_ms: u64,
        /// The event as it is journalled.
        event: serde_json::Value,
    },
    /// The request was taken.
    Taken,
    /// The run is over; the connection ends.
    Over {
        /// How.
        outcome: Outcome,
    },
    /// The request was not understood or cannot be done.
    Refused {
        /// Why.
        why: String,
    },
}

/// One line of output, already escaped for terminals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLine {
    /// The host's name in the plan.
    pub host: String,
    /// The process.
    pub process: String,
    /// Standard output or standard error.
    pub stream: StreamName,
    /// Without its newline; cut when longer than a screen can bear, with the count of what was cut.
    pub text: String,
}
