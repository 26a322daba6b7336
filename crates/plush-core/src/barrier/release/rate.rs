//! So many in a second, evenly: each is due one interval after the one before.
//! What was not used is not made up for, except for the millisecond that the clock rounds away.

use super::Room;
use crate::Millis;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::barrier) struct Rate {
    interval_ms: f64,
    /// When the next one is due.
    due_ms: f64,
}

impl Rate {
    pub fn new(per_second: f64) -> Self {
        Rate { interval_ms: 1000.0 / per_second.clamp(PER_SECOND_MIN, PER_SECOND_MAX), due_ms: 0.0 }
    }

    pub fn admit(&mut self, now: Millis, room: Room) -> u32 {
        let now = now as f64;
        let mut admitted = 0;
        while admitted < room.waiting && self.due_ms <= now {
            self.due_ms = self.due_ms.max(now - ROUNDING_MS) + self.interval_ms;
            admitted += 1;
        }
        admitted
    }

    pub fn wake_at(&self) -> Option<Millis> {
        // Times of a run are far below 2^53, so the conversion is exact.
        Some(self.due_ms.ceil() as Millis)
    }
}

/// The clock counts whole milliseconds.
const ROUNDING_MS: f64 = 1.0;

/// Slower is once in eleven days, faster is a thousand in each millisecond; both are as good as never and at once.
const PER_SECOND_MIN: f64 = 1e-6;
const PER_SECOND_MAX: f64 = 1e6;
