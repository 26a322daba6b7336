//! All processes of one task: whom a stop must reach.
//! Not the decision to stop.

use super::is_childless;
use super::wire::Launch;
use crate::cgroup::TaskGroup;
use crate::processes::{self, Process, Scan};
use crate::record::Started;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The processes of a task.
pub struct Tree {
    kin: Kin,
    /// They are all in it, unless one has moved itself elsewhere: then it is still kin.
    group: Option<TaskGroup>,
}

/// Whom descent or a mark gives away.
enum Kin {
    /// Descendants of this process, which is their subreaper: none can get away while it lives. The leader is the
    /// first of them, and its process group has the same number.
    Own { leader: Option<Pid> },
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
    /// Everything below this process, and everything in the group.
    pub fn own(leader: Option<u32>, group: Option<TaskGroup>) -> Tree {
        let leader = leader.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        Tree { kin: Kin::Own { leader }, group }
    }

    /// What is left of the task with this start record.
    pub fn adopted(started: &Started, launch: &Launch, pipes: &[BorrowedFd<'_>]) -> Tree {
        let kin = Kin::Adopted(Marks::new(started, launch.marks(), pipes));
        Tree { kin, group: started.group.as_ref().map(TaskGroup::at) }
    }

    /// Somebody is left whose end nobody will tell this process.
    pub fn has_strangers(&self) -> bool {
        match self.kin {
            Kin::Own { .. } => is_childless() && !self.is_empty(),
            Kin::Adopted(_) => true,
        }
    }

    /// Nobody is left.
    pub fn is_empty(&self) -> bool {
        let no_kin = match &self.kin {
            Kin::Own { .. } => is_childless(),
            Kin::Adopted(marks) => marks.find().is_empty(),
        };
        no_kin && self.group.as_ref().is_none_or(TaskGroup::is_empty)
    }

    /// How many of them the kernel has killed for memory; `None` where nobody counts.
    pub fn oom_kills(&self) -> Option<u64> {
        self.group.as_ref()?.oom_kills()
    }

    /// Takes the group away; it is empty.
    pub fn dissolve(&self, agent_lives: bool) {
        match &self.group {
            Some(group) if agent_lives => group.remove(),
            Some(group) => group.remove_last(),
            None => {}
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

    /// One round of killing; how many were left before it. Where nobody can list processes the leader's process
    /// group is all that is reached.
    pub fn kill(&self) -> usize {
        if let Some(group) = &self.group {
            group.kill();
        }
        if !processes::are_visible() {
            if let Kin::Own { leader: Some(leader) } = self.kin
                && has_child_in(leader)
            {
                let _gone_just_now = kill_process_group(leader, Signal::KILL);
            }
            return usize::from(!self.is_empty());
        }
        if let Kin::Own { .. } = self.kin {
            self.kill_process_groups();
        }
        let left = processes::freeze_and_kill(|| self.members());
        left.max(usize::from(self.group.as_ref().is_some_and(|group| !group.is_empty())))
    }

    /// A signal to a process group reaches all of it at one instant, so also those who fork and are gone before a
    /// look and a signal to each would have met (F62).
    fn kill_process_groups(&self) {
        let groups: BTreeSet<u32> = self.members().iter().map(|p| p.group).collect();
        let groups = groups.into_iter().filter_map(|g| Pid::from_raw(i32::try_from(g).ok()?));
        for group in groups.filter(|group| has_child_in(*group)) {
            let _gone_just_now = kill_process_group(group, Signal::KILL);
        }
    }

    /// Everybody who lives, as people look for them.
    pub fn names(&self) -> String {
        let living = self.members().into_iter().filter(|p| !p.zombie);
        living.map(|p| p.pid.to_string()).collect::<Vec<_>>().join(", ")
    }

    fn members(&self) -> Vec<Process> {
        let mut found = match &self.kin {
            Kin::Own { .. } => {
                processes::descendants(&processes::scan(), &BTreeSet::from([std::process::id()]))
            }
            Kin::Adopted(marks) => marks.find(),
        };
        let known: BTreeSet<u32> = found.iter().map(|p| p.pid).collect();
        let grouped = self.group.as_ref().map(TaskGroup::members).unwrap_or_default();
        found.extend(grouped.into_iter().filter(|p| !known.contains(&p.pid)));
        found
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

/// Whether a child of this process is in that process group, which then is the task's and not one that has taken
/// over its number (P8).
fn has_child_in(group: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pgid(Some(group)), look), Err(rustix::io::Errno::CHILD))
}

/// The flags in `/proc/PID/fdinfo`: octal, the last two bits say how it is open.
fn is_writable(pid: u32, fd: &str) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|f| u32::from_str_radix(f.trim(), 8).ok()).is_some_and(|f| f & 3 != 0)
}
