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
        /// How far the files of output have grown, from now on.
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
    /// Output files that have grown or are now complete. Front ends read the content from the
    /// files, so a slow front end is late but loses nothing.
    Written {
        /// Each file once, however often it has grown since the last report.
        files: Vec<Written>,
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

/// The length of one output file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The host's name in the plan.
    pub host: String,
    /// The process.
    pub process: String,
    /// Standard output or standard error.
    pub stream: StreamName,
    /// The file, below the run's directory.
    pub file: String,
    /// Its length in bytes, gaps included.
    pub bytes: u64,
    /// Bytes among them that were lost; `FILE.gaps` has the ranges.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gap_bytes: u64,
    /// The file is complete.
    #[serde(default, skip_serializing_if = "is_false")]
    pub whole: bool,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn is_false(is: &bool) -> bool {
    !*is
}
