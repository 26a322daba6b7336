//! Small files that carry what must outlive a process: start and exit records, the epoch, the lease.
//! Not output: that is the spool's.

use crate::clock;
use minicbor::{Decode, Encode};
use plush_core::agent::Lease;
use plush_protocol::TaskState;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Name of the start record in a task's directory.
pub const STARTED: &str = "started";
/// Name of the end record in a task's directory.
pub const ENDED: &str = "ended";
/// Name of the lease file in a run's directory.
pub const LEASE: &str = "lease";
const EPOCH: &str = "epoch";

/// Written before a task may exec. A process is named by pid, start time and boot, never by a bare pid.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Started {
    /// Process id.
    #[n(0)]
    pub pid: u32,
    /// Start time in clock ticks since boot, as in `/proc/PID/stat`.
    #[n(1)]
    pub start_ticks: u64,
    /// Which boot.
    #[n(2)]
    pub boot_id: String,
    /// Boot time.
    #[n(3)]
    pub at_ms: u64,
}

/// How surely a file must be there afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Also after a loss of power.
    Durably,
    /// As long as the host runs.
    WhileUp,
}

/// Puts a whole file in place, or leaves what was there.
pub fn save(directory: &Path, name: &str, bytes: &[u8], keep: Keep) -> io::Result<()> {
    let part = directory.join(format!("{name}.part"));
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    if keep == Keep::Durably {
        file.sync_data()?;
    }
    fs::rename(&part, directory.join(name))?;
    if keep == Keep::Durably {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Saves a value durably.
pub fn save_value<T: Encode<()>>(directory: &Path, name: &str, value: &T) -> io::Result<()> {
    let bytes = minicbor::to_vec(value).expect("encoding to memory succeeds");
    save(directory, name, &bytes, Keep::Durably)
}

/// A value that was saved; `None` if it is absent or torn, which is the same: it was never relied on.
pub fn load_value<T: for<'b> Decode<'b, ()>>(directory: &Path, name: &str) -> Option<T> {
    let bytes = fs::read(directory.join(name)).ok()?;
    minicbor::decode(&bytes).ok()
}

/// The end of a task, if it has one.
pub fn load_end(directory: &Path) -> Option<TaskState> {
    load_value(directory, ENDED)
}

/// The newest epoch that was seen, 0 if none.
pub fn load_epoch(run: &Path) -> u64 {
    load_value(run, EPOCH).unwrap_or(0)
}

/// Saves the newest epoch durably.
pub fn save_epoch(run: &Path, epoch: u64) -> io::Result<()> {
    save_value(run, EPOCH, &epoch)
}

#[derive(Encode, Decode)]
struct SavedLease {
    #[n(0)]
    boot_id: String,
    #[n(1)]
    stop_after_ms: Option<u64>,
    #[n(2)]
    until_ms: Option<u64>,
}

/// Saves the lease where keepers read it.
pub fn save_lease(run: &Path, lease: &Lease) -> io::Result<()> {
    let saved = SavedLease {
        boot_id: clock::boot_id(),
        stop_after_ms: lease.stop_after_ms(),
        until_ms: lease.deadline(),
    };
    let bytes = minicbor::to_vec(&saved).expect("encoding to memory succeeds");
    save(run, LEASE, &bytes, Keep::WhileUp)
}

/// The lease that was saved in this boot.
pub fn load_lease(run: &Path) -> Option<Lease> {
    let saved: SavedLease = load_value(run, LEASE)?;
    (saved.boot_id == clock::boot_id()).then(|| Lease::saved(saved.stop_after_ms, saved.until_ms))
}
