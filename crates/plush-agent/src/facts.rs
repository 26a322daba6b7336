//! Facts of this host, from `/proc`, uname and statvfs. Not what follows from them.

use crate::cgroup::Groups;
use crate::clock;
use crate::flat_json::quoted;
use crate::logins;
use plush_core::standing;
use plush_protocol::{Facts, Guarantee, Logout};
use std::fs;
use std::path::Path;

/// Measures.
pub fn measure(directory: &Path, guarantee: Guarantee, logout: Logout) -> Facts {
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
        guarantee,
        directory: directory.to_string_lossy().into_owned(),
        agent_pid: std::process::id(),
        logout,
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

/// The facts as one line of JSON. Written by hand: nothing else in this program needs a library for it.
pub fn json(directory: &Path) -> String {
    // Nothing is made here: no record says which groups earlier agents made.
    let guarantee = Groups::open(directory).guarantee();
    let facts = measure(directory, guarantee, standing::logout(&logins::look()));
    let fields = [
        ("node_name", quoted(&facts.node_name)),
        ("system", quoted(&facts.system)),
        ("kernel", quoted(&facts.kernel)),
        ("architecture", quoted(&facts.architecture)),
        ("cpus", facts.cpus.to_string()),
        ("memory_bytes", facts.memory_bytes.to_string()),
        ("free_disk_bytes", facts.free_disk_bytes.to_string()),
        ("load_percent", facts.load_percent.to_string()),
        ("boot_id", quoted(&facts.boot_id)),
        ("guarantee", quoted(facts.guarantee.word())),
        ("directory", quoted(&facts.directory)),
        ("agent_pid", facts.agent_pid.to_string()),
        ("logout", quoted(facts.logout.word())),
    ];
    let fields = fields.map(|(name, value)| format!("{}:{value}", quoted(name)));
    format!("{{{}}}", fields.join(","))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_facts_are_the_json_that_everybody_else_writes() {
        let directory = Path::new("/tmp/a \"b\" \\c\n\t\u{1}\u{7f}ö\u{2028}");
        let read: Facts = serde_json::from_str(&json(directory)).unwrap();
        let measured = measure(directory, read.guarantee, read.logout);
        let still = Facts {
            free_disk_bytes: read.free_disk_bytes,
            load_percent: read.load_percent,
            ..measured.clone()
        };
        assert_eq!(read, still);
        assert_eq!(read.directory, directory.to_str().unwrap());
        let fields = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let (ours, theirs) = (fields(&json(directory)), serde_json::to_value(measured).unwrap());
        let names = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(names(&ours), names(&theirs));
    }
}
