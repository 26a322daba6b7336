//! At most so many inside at a time. How long one may stay is kept by the barrier, which knows who is inside.

use super::Room;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::barrier) struct Inside {
    max: u32,
}

impl Inside {
    pub fn new(max: u32) -> Self {
        // No place at all would hold everybody for ever.
        Inside { max: max.max(1) }
    }

    pub fn admit(&self, room: Room) -> u32 {
        room.waiting.min(self.max.saturating_sub(room.inside))
    }
}
