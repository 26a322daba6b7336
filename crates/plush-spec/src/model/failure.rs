//! What to do when something fails.
//! It is not the judgement that it failed, which the run makes.

use crate::model::Hook;
use serde::{Deserialize, Serialize};

/// What to do, by what failed; `None` is the default of the class.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FailurePolicy {
    /// When a process fails.
    pub process: Option<Reaction>,
    /// When a host is lost.
    pub host: Option<Reaction>,
    /// When a cluster has fewer hosts than it needs.
    pub cluster: Option<Reaction>,
    /// When the application cannot go on.
    pub application: Option<Reaction>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reaction {
    /// Go on as if nothing had happened.
    Continue,
    /// Start it again.
    Restart,
    /// Take another host.
    Replace,
    /// Go on without it.
    Drop,
    /// The run has failed.
    Fail,
    /// Ask a program, which answers with one of the others.
    Call(Hook),
}
