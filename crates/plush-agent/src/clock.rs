//! The host's boot time: the only clock that rules and leases see. Not the time of day.

use rustix::fd::OwnedFd;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use std::io;
use std::time::Duration;

/// Milliseconds since the host booted, suspended time included.
pub fn now_ms() -> u64 {
    now_us() / 1_000
}

/// The same in microseconds.
pub fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000
        + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

/// Waits for an instant of boot time, in microseconds.
pub fn wait_until_us(at_us: u64) {
    loop {
        let now = now_us();
        if now >= at_us {
            return;
        }
        // The boot clock goes on while the host sleeps and this wait does not: so it is looked at again.
        let left = Duration::from_micros(at_us - now).min(Duration::from_secs(1));
        std::thread::sleep(left);
    }
}

/// The identity of this boot; empty where the host does not tell.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// A descriptor that becomes readable at an instant of boot time, also after the host was suspended.
pub struct Alarm {
    fd: OwnedFd,
    set_for: Option<u64>,
}

impl Alarm {
    /// An alarm that is not set.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Alarm { fd: timerfd_create(TimerfdClockId::Boottime, flags)?, set_for: None })
    }

    /// Sets it for this instant, or for none.
    pub fn set(&mut self, at_ms: Option<u64>) -> io::Result<()> {
        if self.set_for == at_ms {
            return Ok(());
        }
        self.set_for = at_ms;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = at_ms.map_or(zero, |at| {
            let at = at.max(1);
            let tv_sec = i64::try_from(at / 1000).unwrap_or(i64::MAX);
            let tv_nsec = i64::try_from(at % 1000 * 1_000_000).expect("less than a second");
            Timespec { tv_sec, tv_nsec }
        });
        let timer = Itimerspec { it_interval: zero, it_value };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &timer)?;
        Ok(())
    }

    /// Takes note that it rang.
    pub fn quiet(&mut self) {
        self.set_for = None;
        let _rang = rustix::io::read(&self.fd, &mut [0u8; 8][..]);
    }
}

impl std::os::fd::AsFd for Alarm {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl std::os::fd::AsRawFd for Alarm {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.fd.as_raw_fd()
    }
}
