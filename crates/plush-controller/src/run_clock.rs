//! The run's clock: time since the run began, over all its controllers.
//! Not the time of day, and not what anything is decided by without being told.

use plush_core::Millis;
use std::sync::OnceLock;
use tokio::time::Instant;

/// A clock that stands until it is started.
#[derive(Debug)]
pub struct RunClock {
    /// What earlier controllers have used.
    before_ms: Millis,
    began: OnceLock<Instant>,
}

impl RunClock {
    /// A clock that will go on from here.
    pub fn after(before_ms: Millis) -> Self {
        RunClock { before_ms, began: OnceLock::new() }
    }

    /// Starts it; a second start changes nothing.
    pub fn start(&self) {
        self.began.get_or_init(Instant::now);
    }

    /// Milliseconds.
    pub fn now(&self) -> Millis {
        self.now_us() / 1_000
    }

    /// Microseconds.
    pub fn now_us(&self) -> u64 {
        let since = self.began.get().map_or(0, |began| began.elapsed().as_micros());
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.before_ms.saturating_mul(1_000).saturating_add(since)
    }
}
