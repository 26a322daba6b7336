//! Small files that carry what must outlive a process: start and exit records, the epoch, the lease.
//! Not output: that is the spool's.

use crate::clock;
use minicbor::{Decode, Encode};
use plush_core::agent::Lease;
use plush_protocol::TaskState;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Name of the start record in a task's directory.
pub const STARTED: &str = "started";
/// Name of the end record in a task's directory.
pub const ENDED: &str = "ended";
/// Name of the note in a task's directory that no incarnation follows.
pub const LAST: &str = "last";
/// Name of the lease file in a run's directory.
pub const LEASE: &str = "lease";
const EPOCH: &str = "epoch";
/// The end of a task takes a few dozen bytes.
const RECORD_BYTES: usize = 512;

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
    /// The process is in the task's control group, and so is whatever it starts.
    #[n(4)]
    pub group: Option<String>,
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

/// Puts a whole file in place of an older one of the same length or longer, also where no space is left: what is
/// written is the copy that was in use the time before, and the two change names.
fn save_again(directory: &Path, name: &str, bytes: &[u8], keep: Keep) -> io::Result<()> {
    let (part, whole) = (directory.join(format!("{name}.part")), directory.join(name));
    let fill = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&part)?;
        file.write_all(bytes)?;
        file.set_len(bytes.len() as u64)?;
        if keep == Keep::Durably { file.sync_data() } else { Ok(()) }
    };
    fill()?;
    match renameat_with(CWD, &part, CWD, &whole, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(_) => {
            fs::rename(&part, &whole)?;
            // Without a second copy the next time needs space, no more.
            let _no_space = fill();
        }
    }
    if keep == Keep::Durably {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Takes the space for a record that must be written even on a full disk.
pub fn reserve(directory: &Path, name: &str) -> io::Result<()> {
    fs::write(directory.join(format!("{name}.part")), [0; RECORD_BYTES])
}

/// Saves a value durably in the space that was reserved for it.
pub fn save_reserved<T: Encode<()>>(directory: &Path, name: &str, value: &T) -> io::Result<()> {
    let bytes = minicbor::to_vec(value).expect("encoding to memory succeeds");
    let part = directory.join(format!("{name}.part"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&part)?;
    file.write_all(&bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_data()?;
    fs::rename(&part, directory.join(name))?;
    File::open(directory)?.sync_all()
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

/// Something was written down about a task in its directory: it may have run.
pub fn is_begun(directory: &Path) -> bool {
    directory.join(STARTED).exists() || directory.join(ENDED).exists()
}

/// The end of a task, if it has one. Its time is known only on the clock of the boot in which it
/// was seen.
pub fn load_end(directory: &Path) -> Option<TaskState> {
    let mut end = load_value(directory, ENDED)?;
    if let TaskState::Exited { ended_us, .. } = &mut end {
        let started: Option<Started> = load_value(directory, STARTED);
        let is_this_boot = started.is_some_and(|started| started.boot_id == clock::boot_id());
        *ended_us = ended_us.filter(|_| is_this_boot);
    }
    Some(end)
}

/// The newest epoch that was seen, 0 if none.
pub fn load_epoch(run: &Path) -> u64 {
    load_value(run, EPOCH).unwrap_or(0)
}

/// Saves the newest epoch durably.
pub fn save_epoch(run: &Path, epoch: u64) -> io::Result<()> {
    let bytes = minicbor::to_vec(epoch).expect("encoding to memory succeeds");
    save_again(run, EPOCH, &bytes, Keep::Durably)
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
    save_again(run, LEASE, &bytes, Keep::WhileUp)
}

/// The lease that was saved in this boot.
pub fn load_lease(run: &Path) -> Option<Lease> {
    let saved: SavedLease = load_value(run, LEASE)?;
    (saved.boot_id == clock::boot_id()).then(|| Lease::saved(saved.stop_after_ms, saved.until_ms))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_saved_last_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for epoch in [1, 70_000, 3, 1 << 40, 4] {
            save_epoch(dir.path(), epoch).unwrap();
            assert_eq!(load_epoch(dir.path()), epoch);
        }
        let lease = Lease::saved(Some(5_000), Some(99_999));
        save_lease(dir.path(), &lease).unwrap();
        assert_eq!(load_lease(dir.path()), Some(lease));
    }

    #[test]
    fn a_record_in_reserved_space_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        reserve(dir.path(), ENDED).unwrap();
        assert_eq!(load_end(dir.path()), None);
        save_reserved(dir.path(), ENDED, &TaskState::Starting).unwrap();
        assert_eq!(load_end(dir.path()), Some(TaskState::Starting));
    }
}
