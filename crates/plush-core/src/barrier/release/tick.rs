//! A number or a share of the members at each tick; those who come between two ticks wait for the next.
//! A tick that is late moves the ones after it, so that no two are closer than asked.

use super::Room;
use crate::Millis;
use crate::barrier::entry::share;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::barrier) struct Tick {
    size: Size,
    every_ms: Millis,
    next_at: Option<Millis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Size {
    Count(u32),
    Percent(f64),
}

impl Tick {
    pub fn count(count: u32, every_ms: Millis) -> Self {
        Tick { size: Size::Count(count), every_ms, next_at: None }
    }

    pub fn percent(percent: f64, every_ms: Millis) -> Self {
        Tick { size: Size::Percent(percent), every_ms, next_at: None }
    }

    pub fn admit(&mut self, now: Millis, room: Room) -> u32 {
        if room.waiting == 0 || self.next_at.is_some_and(|at| now < at) {
            return 0;
        }
        self.next_at = Some(now + self.every_ms.max(1));
        let size = match self.size {
            Size::Count(count) => count,
            Size::Percent(percent) => share(percent, room.expected),
        };
        // A size of none would hold everybody for ever.
        room.waiting.min(size.max(1))
    }

    pub fn wake_at(&self) -> Option<Millis> {
        self.next_at
    }
}
