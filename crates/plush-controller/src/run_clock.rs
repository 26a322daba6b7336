//! The decision clock: time since the run began during which a controller was running, with the
//! readings of the machine's own clocks.
//! Not the displayed time: the core adds the time without a controller.

use plush_core::Millis;
use plush_core::elapsed::ClockReading;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};
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
        let since = self.began.get().map_or(0, |began| began.elapsed().as_millis());
        self.before_ms.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// Reads all clocks.
    pub fn reading(&self) -> ClockReading {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        ClockReading {
            at_ms: self.now(),
            boot_id: boot_id(),
            boot_us: boot_us(),
            unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Time since boot, including sleep where the system counts it.
pub fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The same in microseconds.
pub fn boot_us() -> u64 {
    u64::try_from(since_boot().as_micros()).unwrap_or(u64::MAX)
}

/// The boot id of this machine; empty where the system has none.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}
