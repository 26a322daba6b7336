//! A program of the description that is asked, or told, something on a host.
//! Not what its answer means: the run reads that.

use crate::tainted::Tainted;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Longest answer that is read, in bytes; what a program prints beyond it is not looked at.
pub const ANSWER_MAX_BYTES: usize = 16 << 10;

/// One program to run on a host.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Question {
    /// Its number in the run; the answer bears it.
    #[n(0)]
    pub number: u32,
    /// It runs in this cluster's directory.
    #[n(1)]
    pub cluster: String,
    /// Program and arguments; no shell sees them.
    #[n(2)]
    pub argv: Vec<String>,
    /// One JSON object for its standard input.
    #[n(3)]
    pub event: String,
    /// It is ended after so long.
    #[n(4)]
    pub time_limit_ms: u64,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The program ended well and printed this; at most [`ANSWER_MAX_BYTES`].
    #[n(0)]
    Said(#[n(0)] Tainted),
    /// It could not be started, ended badly or took too long.
    #[n(1)]
    Failed(#[n(0)] Tainted),
}
