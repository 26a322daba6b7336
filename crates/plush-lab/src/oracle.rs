//! What is on a host, seen from outside: its files and its processes. The proof that nothing was left behind.
//!
//! Not by the host's own programs, which may be missing or lie.

use anyhow::{Context as _, Result};
use serde::Serialize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Written by every login and by the host's own programs.
const NOISE: [&str; 6] = [
    "/var/log",
    "/run/sshd.pid",
    "/run/utmp",
    "/run/motd.dynamic",
    "/run/motd.dynamic.new",
    "/run/lock",
];

/// Memory file systems of a host.
const IN_MEMORY: [&str; 6] = ["/tmp", "/run", "/dev/shm", "/root", "/home/plush", "/var/tmp"];

/// A file, directory or link that a host made or changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FileEntry {
    /// As the host sees it.
    pub path: PathBuf,
    /// In bytes; 0 for directories.
    pub size: u64,
    /// When its contents last changed, in nanoseconds since 1970; 0 for directories, which change with what comes and goes.
    pub mtime_ns: i64,
}

/// A process on a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ProcessEntry {
    /// As the host numbers it.
    pub pid: i32,
    /// The number of its parent; 0 where that is outside the host.
    pub parent: i32,
    /// The user it runs as.
    pub uid: u32,
    /// A letter, as in /proc: R, S, D, Z, T...
    pub state: char,
    /// Its name.
    pub name: String,
    /// Its command line, words parted by spaces; empty for zombies.
    pub command: String,
}

/// Lists what the host wrote, sorted by path.
pub fn snapshot_files(
    supervisor_pid: i32,
    disk: &Path,
    init_pid: Option<i32>,
) -> Result<Vec<FileEntry>> {
    let outside = PathBuf::from(format!("/proc/{supervisor_pid}/root"));
    let disk = outside.join(disk.strip_prefix("/").context("a disk has an absolute path")?);
    let mut found = Vec::new();
    for layer in ["upper", "busybox"] {
        walk(&disk.join(layer), Path::new("/"), &mut found)?;
    }
    if let Some(pid) = init_pid {
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let mounted = std::fs::read_to_string(format!("/proc/{pid}/mounts"))
            .context("cannot read a host's mounts")?;
        let is_memory = |place: &str| {
            mounted
                .lines()
                .any(|line| line.split(' ').nth(1) == Some(place) && line.starts_with("tmpfs "))
        };
        for place in IN_MEMORY.into_iter().filter(|place| is_memory(place)) {
            walk(&root.join(&place[1..]), Path::new(place), &mut found)?;
        }
    }
    found.sort();
    Ok(found)
}

/// Lists the processes of the host whose init is `init_pid`, sorted by number.
pub fn processes(init_pid: i32) -> Result<Vec<ProcessEntry>> {
    let members = crate::freezer::members(init_pid)?;
    let mut found: Vec<ProcessEntry> =
        members.into_iter().filter(|pid| *pid != init_pid).filter_map(process).collect();
    found.sort();
    Ok(found)
}

/// None when it ended meanwhile.
fn process(pid: i32) -> Option<ProcessEntry> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let parent: i32 = field("PPid:")?.parse().ok()?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    Some(ProcessEntry {
        pid: inner_pid(&status)?,
        parent: parent_inside(pid, parent),
        uid: field("Uid:")?.split_whitespace().next()?.parse().ok()?,
        state: field("State:")?.chars().next()?,
        name: field("Name:")?.to_owned(),
        command: String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned(),
    })
}

fn inner_pid(status: &str) -> Option<i32> {
    status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?
        .split_whitespace()
        .last()?
        .parse()
        .ok()
}

fn parent_inside(pid: i32, parent: i32) -> i32 {
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    if namespace(pid) != namespace(parent) {
        return 0;
    }
    std::fs::read_to_string(format!("/proc/{parent}/status"))
        .ok()
        .and_then(|status| inner_pid(&status))
        .unwrap_or(0)
}

fn walk(outside: &Path, inside: &Path, found: &mut Vec<FileEntry>) -> Result<()> {
    let entries = match std::fs::read_dir(outside) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot list {}", inside.display()));
        }
    };
    for entry in entries.flatten() {
        let path = inside.join(entry.file_name());
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        if NOISE.iter().any(|noise| path.starts_with(noise)) {
            continue;
        }
        let is_directory = metadata.is_dir();
        found.push(FileEntry {
            size: if is_directory { 0 } else { metadata.size() },
            mtime_ns: if is_directory {
                0
            } else {
                metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec()
            },
            path: path.clone(),
        });
        if is_directory {
            walk(&entry.path(), &path, found)?;
        }
    }
    Ok(())
}
