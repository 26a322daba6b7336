//! Facts of this host, from `/proc`, uname and statvfs. Not what follows from them.

use crate::clock;
use plush_protocol::{Facts, Guarantee};
use std::fs;
use std::path::Path;

/// Measures.
pub fn measure(directory: &Path) -> Facts {
    let uname = rustix::system::uname();
    let text = |value: &std::ffi::CStr| value.to_string_lossy().into_owned();
    Facts {
        node_name: text(uname.nodename()),
        system: text(uname.sysname()),
        kernel: text(uname.release()),
        architecture: text(uname.machine()),
        cpus: cpus(),
        memory_bytes: memory_bytes(),
        free_disk_bytes: free_disk_bytes(directory),
        load_percent: load_percent(),
        boot_id: clock::boot_id(),
        guarantee: Guarantee::Subreaper,
        directory: directory.to_string_lossy().into_owned(),
        agent_pid: std::process::id(),
    }
}

fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

fn memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn free_disk_bytes(directory: &Path) -> u64 {
    rustix::fs::statvfs(directory).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize))
}

fn load_percent() -> u32 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|w| w.parse::<f64>().ok()).unwrap_or(0.0);
    // A load that does not fit is shown as the largest that does: `as` saturates.
    (first * 100.0) as u32
}

/// The facts as one line of JSON.
pub fn json(directory: &Path) -> String {
    serde_json::to_string(&measure(directory)).expect("facts are plain values")
}
