//! What became of one member at a barrier, and when.
//! It decides nothing: pictures and records are made from it.

use crate::Millis;
use serde::{Deserialize, Serialize};

/// One member's way through a barrier, in times of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Where it stands.
    pub stand: Stand,
    /// When it came.
    pub entered_at: Option<Millis>,
    /// When it was let go.
    pub released_at: Option<Millis>,
    /// When it was through, its time inside was over, or it failed or was turned away.
    pub left_at: Option<Millis>,
}

/// Where a member stands. It only moves down this list (B4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// It has not come.
    Expected,
    /// It has come and waits.
    Waiting,
    /// It was let go.
    Released,
    /// It was let go and is through, died inside, or its time inside is over.
    Left,
    /// It failed before it was let go.
    Failed,
    /// It came after the opening and was not admitted.
    Withdrawn,
}

impl Passage {
    /// Somebody who is going to come.
    pub(super) fn expected() -> Self {
        Passage { stand: Stand::Expected, entered_at: None, released_at: None, left_at: None }
    }
}
