//! As many inside as get the most done together, found by measuring; nothing about the network is assumed.
//! Neither of its two ways of measuring: entrants that tell of their progress are in `goodput`, others in `cohorts`.

use super::cohorts::Cohorts;
use super::goodput::Goodput;
use super::{Departure, Progress, Room};
use crate::Millis;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::barrier) struct Throughput {
    /// In charge until somebody tells of progress.
    cohorts: Cohorts,
    goodput: Goodput,
}

impl Throughput {
    pub fn new(start: u32) -> Self {
        Throughput { cohorts: Cohorts::new(start), goodput: Goodput::new(start) }
    }

    pub fn admit(&mut self, now: Millis, room: Room) -> u32 {
        let cohorts = self.cohorts.limit(now);
        let limit = self.goodput.limit(now, room).unwrap_or(cohorts);
        let admitted = room.waiting.min(limit.saturating_sub(room.inside));
        self.cohorts.admitted(now, room, admitted);
        self.goodput.admitted(now, room.inside + admitted, admitted);
        admitted
    }

    pub fn progressed(&mut self, now: Millis, progress: Progress) {
        self.goodput.progressed(now, progress);
    }

    pub fn left(&mut self, now: Millis, departure: Departure) {
        self.cohorts.left(now, departure);
        self.goodput.left(now, departure);
    }

    pub fn wake_at(&self) -> Option<Millis> {
        self.goodput.wake_at()
    }
}
