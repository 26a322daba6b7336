//! Open descriptors: what new work leaves to the work that is there.
//! Not a limit of tasks: theirs are in their specification.

use plush_protocol::{Cause, CauseKind, Tainted};
use rustix::process::{Resource, getrlimit};
use std::fs::{self, File};
use std::os::fd::OwnedFd;

/// New work is refused when no more than so many are left: they are for connections, results and the end of tasks.
const RESERVE: u64 = 16;
/// The most that one start or preparation has open at the same time.
const NEW_WORK: u64 = 12;

/// Whether there are enough for one more start or preparation, and for what must go on beside it.
pub fn for_new_work(what: &str) -> Result<(), Cause> {
    let left = left();
    if left >= RESERVE + NEW_WORK {
        return Ok(());
    }
    let text = format!(
        "{what}: the agent may open only {left} more files, and {RESERVE} of them are kept for what runs \
         (raise the host's limit of open files)"
    );
    Err(Cause { kind: CauseKind::Resource, text: Tainted::new(text) })
}

/// One descriptor in hand: given up for a moment, it lets a connection be accepted that would be refused for ever.
pub struct Spare(Option<OwnedFd>);

impl Spare {
    /// Takes one.
    pub fn take() -> Spare {
        Spare(File::open("/dev/null").ok().map(OwnedFd::from))
    }

    /// Gives it up while something is done.
    pub fn lend<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.0 = None;
        let done = work();
        *self = Spare::take();
        done
    }
}

fn left() -> u64 {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return u64::MAX };
    match fs::read_dir("/proc/self/fd") {
        // The listing has one open itself.
        Ok(open) => limit.saturating_sub(open.count() as u64 - 1),
        // Without any /proc nobody can say, unless that is why.
        Err(e) => match rustix::io::Errno::from_io_error(&e) {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => 0,
            _ => u64::MAX,
        },
    }
}
