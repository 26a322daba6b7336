//! Programs that are asked or told when something happens.
//! They are not run before the description is trusted.

use crate::model::{Name, Place};
use serde::{Deserialize, Serialize};

/// A program to ask: it gets the event as JSON on standard input and answers in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Program and arguments; no shell sees them.
    pub argv: Vec<String>,
    /// Where it runs.
    pub at: HookPlace,
    /// After so long the default decision holds, in milliseconds.
    pub time_limit_ms: u64,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// Where a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum HookPlace {
    /// On the controller.
    #[default]
    Controller,
    /// On the host that it is about.
    Host,
}

/// A program told of events of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The kind of event, such as `host_lost` or `run_ended`.
    pub event: Name,
    /// The program.
    pub hook: Hook,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}
