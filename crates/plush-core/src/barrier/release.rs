//! Release: how those inside an open barrier are let go.
//! Not when it opens: that is `entry`.

use crate::Millis;
use plush_spec::model::Release;
use serde::{Deserialize, Serialize};

/// What has been let go so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pace {
    /// Released and not yet through.
    pub inside: u32,
    /// Arrivals up to this one came before the opening.
    pub in_time: Option<u32>,
}

impl Pace {
    /// How many of `waiting` may go now.
    pub fn admits(&self, policy: &Release, waiting: usize) -> usize {
        match policy {
            Release::Inside { max, .. } => waiting.min(max.saturating_sub(self.inside) as usize),
            // The plan refuses the policies that this build does not have, so only `All` is left.
            Release::All
            | Release::CountPerTick { .. }
            | Release::PercentPerTick { .. }
            | Release::Rate { .. }
            | Release::Adaptive { .. } => waiting,
        }
    }
}

/// How long one entrant may hold a place.
pub(super) fn time_inside_ms(policy: &Release) -> Option<Millis> {
    match policy {
        Release::Inside { timeout_ms, .. } => *timeout_ms,
        Release::All
        | Release::CountPerTick { .. }
        | Release::PercentPerTick { .. }
        | Release::Rate { .. }
        | Release::Adaptive { .. } => None,
    }
}
