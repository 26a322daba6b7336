//! Standing still: the processes of a host stop, and go on where they were.
//!
//! By a control group of version 2 where there is one, else by SIGSTOP. The freezer of version 1 would do, but its
//! frozen processes cannot be killed: a lab that is killed while frozen would stay for ever.

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

const FREEZE_DEADLINE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Stops all processes of the host whose init is `init_pid`.
pub fn freeze(lab: &str, host: &str, init_pid: i32) -> Result<()> {
    match group(lab, host) {
        Some(group) => freeze_group(&group, init_pid),
        None => until_none_is_new(init_pid, |pid| {
            crate::namespace::signal(pid, libc::SIGSTOP);
            Ok(())
        }),
    }
}

/// Lets them go on.
pub fn thaw(lab: &str, host: &str, init_pid: i32) -> Result<()> {
    let Some(group) = group(lab, host) else {
        members(init_pid)?.into_iter().for_each(|pid| crate::namespace::signal(pid, libc::SIGCONT));
        return Ok(());
    };
    write(&group.join("cgroup.freeze"), "0")?;
    let home = own_group().context("this process is in no control group")?.join("cgroup.procs");
    until_none_is_new(init_pid, |pid| move_to(&home, pid))?;
    remove_group(lab, host);
    Ok(())
}

/// Removes the control group of a host that has no processes; that there is none is fine.
pub fn remove_group(lab: &str, host: &str) {
    if let Some(group) = group(lab, host) {
        let _ = std::fs::remove_dir(group);
    }
}

/// Removes the control groups of a lab that was killed while hosts were frozen.
pub fn remove_groups_of(lab: &str) {
    let Some(mount) = mount_point() else { return };
    let prefix = format!("plush-lab.{lab}.");
    for entry in std::fs::read_dir(mount).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

/// The processes of a host, as this machine numbers them.
pub fn members(init_pid: i32) -> Result<Vec<i32>> {
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let host = namespace(init_pid)
        .with_context(|| format!("cannot read the namespace of process {init_pid}"))?;
    let entries = std::fs::read_dir("/proc").context("cannot list /proc")?;
    let pids =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids.filter(|pid| namespace(*pid).as_ref() == Some(&host)).collect())
}

fn freeze_group(group: &Path, init_pid: i32) -> Result<()> {
    if let Err(error) = std::fs::create_dir(group)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error)
            .with_context(|| format!("cannot create the control group {}", group.display()));
    }
    let door = group.join("cgroup.procs");
    until_none_is_new(init_pid, |pid| move_to(&door, pid))?;
    write(&group.join("cgroup.freeze"), "1")?;
    let path = group.join("cgroup.events");
    let events = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    loop {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        if text.contains("frozen 1") {
            return Ok(());
        }
        let mut awaited = [PollFd::new(&events, PollFlags::PRI)];
        let woken = rustix::event::poll(&mut awaited, Some(&FREEZE_DEADLINE))
            .context("cannot wait for a control group")?;
        anyhow::ensure!(woken == 1, "the processes in {} do not freeze", group.display());
    }
}

/// Works on every process of the host, until a look finds none that was not worked on.
fn until_none_is_new(init_pid: i32, mut work: impl FnMut(i32) -> Result<()>) -> Result<()> {
    let mut done = std::collections::HashSet::new();
    loop {
        let fresh: Vec<i32> =
            members(init_pid)?.into_iter().filter(|pid| done.insert(*pid)).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        fresh.into_iter().try_for_each(&mut work)?;
    }
}

fn move_to(door: &Path, pid: i32) -> Result<()> {
    match std::fs::write(door, pid.to_string()) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
            Err(error).with_context(|| format!("cannot move process {pid} by {}", door.display()))
        }
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn group(lab: &str, host: &str) -> Option<PathBuf> {
    Some(mount_point()?.join(format!("plush-lab.{lab}.{host}")))
}

fn mount_point() -> Option<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let line = table.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    line.split(' ').nth(1).map(PathBuf::from)
}

fn own_group() -> Option<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(mount_point()?.join(path))
}
