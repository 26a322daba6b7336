//! All processes of one task: whom a stop must reach.
//! Not the decision to stop.

use super::is_childless;
use super::wire::Launch;
use crate::processes::{self, Process, Scan};
use crate::record::Started;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The processes of a task.
pub enum Tree {
    /// Descendants of this process, which is their subreaper: none can get away while it lives.
    Own,
    /// What is left of a task whose keeper died: found by what a process of it cannot easily change.
    Adopted(Marks),
}

/// What gives a process away.
pub struct Marks {
    /// The task's first process, which leads the session.
    main: Option<Process>,
    session: u32,
    /// Since when: a session of an older process is another one that had the number before.
    start_ticks: u64,
    /// In the environment.
    variables: Vec<String>,
    /// `pipe:[…]`, as links in `/proc/PID/fd` show them.
    pipes: Vec<String>,
}

impl Tree {
    /// Everything below this process.
    pub fn own() -> Tree {
        Tree::Own
    }

    /// What is left of the task with this start record.
    pub fn adopted(started: &Started, launch: &Launch, pipes: &[BorrowedFd<'_>]) -> Tree {
        Tree::Adopted(Marks::new(started, launch.marks(), pipes))
    }

    /// Not this process's children.
    pub fn is_adopted(&self) -> bool {
        matches!(self, Tree::Adopted(_))
    }

    /// Nobody is left.
    pub fn is_empty(&self) -> bool {
        match self {
            Tree::Own => is_childless(),
            Tree::Adopted(marks) => marks.find().is_empty(),
        }
    }

    /// Sends a signal once to everybody: to the group at a blow, to those who left the group one by one.
    pub fn signal(&self, main: Option<u32>, signal: i32) {
        let Some(signal) = Signal::from_named_raw(signal) else { return };
        let everybody = self.members();
        let leader = main.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(group) = leader {
            let _nobody_in_it = kill_process_group(group, signal);
        }
        for process in everybody.iter().filter(|p| !p.zombie && Some(p.group) != main) {
            let _gone_or_not_ours = processes::signal(process, signal);
        }
    }

    /// One round of killing; how many were left before it.
    pub fn kill(&self) -> usize {
        processes::freeze_and_kill(|| self.members())
    }

    fn members(&self) -> Vec<Process> {
        match self {
            Tree::Own => {
                processes::descendants(&processes::scan(), &BTreeSet::from([std::process::id()]))
            }
            Tree::Adopted(marks) => marks.find(),
        }
    }
}

impl Marks {
    /// The marks of the task with this start record, variables and pipes.
    pub fn new(started: &Started, variables: Vec<String>, pipes: &[BorrowedFd<'_>]) -> Marks {
        let link = |fd: &BorrowedFd<'_>| {
            let link = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
            link.to_str().map(str::to_owned)
        };
        let main = processes::look(started.pid).filter(|p| p.start_ticks == started.start_ticks);
        Marks {
            main,
            session: started.pid,
            start_ticks: started.start_ticks,
            variables,
            pipes: pipes.iter().filter_map(link).collect(),
        }
    }

    /// Everybody who bears a mark, and their descendants; zombies are no longer anybody.
    pub fn find(&self) -> Vec<Process> {
        let scan = processes::scan();
        let mut found: Vec<Process> =
            scan.values().filter(|p| self.is_marked(p, &scan)).copied().collect();
        let roots = found.iter().map(|p| p.pid).collect();
        found.extend(processes::descendants(&scan, &roots));
        found.retain(|p| !p.zombie && p.pid != std::process::id());
        found
    }

    /// Processes among `scan` that bear a mark.
    fn is_marked(&self, process: &Process, scan: &Scan) -> bool {
        if process.zombie || process.start_ticks < self.start_ticks {
            return false;
        }
        let is_main =
            self.main.is_some_and(|m| m.pid == process.pid && m.start_ticks == process.start_ticks);
        is_main
            || self.is_in_session(process, scan)
            || (!self.variables.is_empty() && processes::carries(process.pid, &self.variables))
            || self.holds_pipe(process)
    }

    /// A session keeps its number as long as it has members, also without its leader; a leader of another start
    /// time shows that the number is a stranger's by now (P8).
    fn is_in_session(&self, process: &Process, scan: &Scan) -> bool {
        let stranger = scan.get(&self.session).is_some_and(|l| l.start_ticks != self.start_ticks);
        process.session == self.session && !stranger
    }

    /// Whether the process has the task's output open for writing.
    fn holds_pipe(&self, process: &Process) -> bool {
        if self.pipes.is_empty() {
            return false;
        }
        let Ok(links) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else { return false };
        links.flatten().any(|entry| {
            let link = fs::read_link(entry.path()).unwrap_or_default();
            self.pipes.iter().any(|pipe| link.as_os_str() == pipe.as_str())
                && is_writable(process.pid, &entry.file_name().to_string_lossy())
        })
    }
}

/// The flags in `/proc/PID/fdinfo`: octal, the last two bits say how it is open.
fn is_writable(pid: u32, fd: &str) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|f| u32::from_str_radix(f.trim(), 8).ok()).is_some_and(|f| f & 3 != 0)
}
