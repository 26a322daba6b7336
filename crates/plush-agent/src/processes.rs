//! The host's processes as `/proc` shows them, and signals that reach only whom they are meant for.
//! Not the starting of processes.

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

/// One process at the time of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// Clock ticks since boot: with the pid and the boot, its identity.
    pub start_ticks: u64,
    /// It has ended and waits for its parent.
    pub zombie: bool,
}

/// All processes, by pid.
pub type Scan = BTreeMap<u32, Process>;

/// Whether this host shows its processes at all.
pub fn are_visible() -> bool {
    look(std::process::id()).is_some()
}

/// Looks at every process.
pub fn scan() -> Scan {
    let Ok(entries) = fs::read_dir("/proc") else { return Scan::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter_map(look).map(|process| (process.pid, process)).collect()
}

/// Looks at one process.
pub fn look(pid: u32) -> Option<Process> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything, so what counts begins after the last one.
    let after = text.iter().rposition(|b| *b == b')')? + 2;
    let rest = std::str::from_utf8(text.get(after..)?).ok()?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some(Process {
        pid,
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        start_ticks: fields.get(19)?.parse().ok()?,
        zombie: matches!(fields[0], "Z" | "X"),
    })
}

/// All descendants of the processes in `roots`, themselves not included.
pub fn descendants(scan: &Scan, roots: &BTreeSet<u32>) -> Vec<Process> {
    let mut children: BTreeMap<u32, Vec<&Process>> = BTreeMap::new();
    for process in scan.values() {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut seen = roots.clone();
    let mut look_below: Vec<u32> = roots.iter().copied().collect();
    while let Some(pid) = look_below.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if seen.insert(child.pid) {
                found.push(**child);
                look_below.push(child.pid);
            }
        }
    }
    found
}

/// Whether a process carries these variables in the environment that it was started with.
pub fn carries(pid: u32, variables: &[String]) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let has = |wanted: &String| environment.split(|b| *b == 0).any(|v| v == wanted.as_bytes());
    variables.iter().all(has)
}

/// Sends a signal to exactly this process; one that has taken over its number is spared (P8).
pub fn signal(process: &Process, signal: Signal) -> io::Result<()> {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let same = || look(process.pid).is_some_and(|p| p.start_ticks == process.start_ticks);
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => {
            if same() {
                pidfd_send_signal(&fd, signal)?;
            }
        }
        Err(rustix::io::Errno::NOSYS) if same() => kill_process(pid, signal)?,
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::SRCH) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(())
}

/// Stops every process that `find` names until it names no new one, then kills them all. Whoever forks is stopped
/// before it is killed, so a fork bomb cannot outrun it (F62). Returns how many are left to die.
pub fn freeze_and_kill(find: impl Fn() -> Vec<Process>) -> usize {
    const ROUNDS: usize = 100;
    let mut frozen: BTreeMap<u32, Process> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let known = |p: &Process| {
            p.zombie || frozen.get(&p.pid).is_some_and(|f| f.start_ticks == p.start_ticks)
        };
        let fresh: Vec<Process> = find().into_iter().filter(|p| !known(p)).collect();
        if fresh.is_empty() {
            break;
        }
        for process in fresh {
            let _gone_or_not_ours = signal(&process, Signal::STOP);
            frozen.insert(process.pid, process);
        }
    }
    for process in frozen.values() {
        let _gone_or_not_ours = signal(process, Signal::KILL);
    }
    frozen.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn this_process_is_found_with_its_parent() {
        let me = std::process::id();
        let scan = scan();
        let parent = scan[&me].parent;
        assert!(descendants(&scan, &BTreeSet::from([parent])).iter().any(|p| p.pid == me));
        assert_eq!(look(me).unwrap().start_ticks, scan[&me].start_ticks);
    }

    #[test]
    fn p8_a_stranger_with_the_same_number_is_spared() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let mut process = look(child.id()).unwrap();
        process.start_ticks += 1;
        signal(&process, Signal::KILL).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        process.start_ticks -= 1;
        signal(&process, Signal::KILL).unwrap();
        child.wait().unwrap();
    }
}
