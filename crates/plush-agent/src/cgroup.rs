//! Control groups (cgroup v2): one per task inside one per run, where this host lets us make them.
//! Not limits, and never a group that is not ours.
//!
//! A process leaves its control group only by a write that names it, which neither fork nor setsid nor an empty
//! environment is; so a task is found and ended as a whole, also when keeper and agent are dead. What cannot be
//! tried out is not relied on: at every doubt there is no group, and the subreaper does what it can.

use crate::keeper::wire::Launch;
use crate::processes::{self, Process};
use crate::{log, record, sys};
use plush_protocol::{Guarantee, TaskKey};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Access, access};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The file in a run's directory that says which groups were made for it, one path a line, the newest last.
pub const RECORD: &str = "groups";
/// Ours begin so.
const PREFIX: &str = "plush-";
/// The group in a run's group that the agent itself is in, where it had to leave its own.
const AGENT: &str = "agent";
const PROCESSES: &str = "cgroup.procs";
const KILL: &str = "cgroup.kill";
/// How long a killed process may take to end before the host is not trusted with it.
const TRIAL_LIMIT: Duration = Duration::from_secs(2);
/// How long killed processes may take to leave their group.
const EMPTY_LIMIT: Duration = Duration::from_secs(2);

/// The control groups of a run on this host.
pub struct Groups {
    run: PathBuf,
    /// Where groups can be made, filled and killed.
    ground: Option<PathBuf>,
    /// Made for this run, by this agent and earlier ones.
    made: Vec<PathBuf>,
    /// Where this agent was before it stepped out.
    origin: Option<PathBuf>,
    /// The controller that was switched on in the ground and in the run's group.
    accounts: Option<String>,
}

impl Groups {
    /// Finds those that earlier agents made, and tries out whether more can be made.
    pub fn open(run: &Path) -> Groups {
        let made = recorded(run);
        let ground = own().map(|own| match made.iter().find(|made| own.starts_with(made)) {
            Some(made) => made.parent().map_or(own.clone(), Path::to_owned),
            None => own,
        });
        let ground = ground.and_then(|ground| match try_out(&ground) {
            Ok(()) => Some(ground),
            Err(e) => {
                log!("no control groups in {}: {e}", ground.display());
                None
            }
        });
        Groups { run: run.to_owned(), ground, made, origin: None, accounts: None }
    }

    /// What tasks that start now can be given.
    pub fn guarantee(&self) -> Guarantee {
        match (&self.ground, processes::are_visible()) {
            (Some(_), _) => Guarantee::Cgroup,
            (None, true) => Guarantee::Subreaper,
            (None, false) => Guarantee::Group,
        }
    }

    /// Moves this process out of everything that ends with a login, into a group of the run.
    pub fn step_out(&mut self, path: &str) -> io::Result<()> {
        let mount = mount().ok_or_else(|| io::Error::other("there is no cgroup v2"))?;
        let origin = own().ok_or_else(|| io::Error::other("the own control group is unknown"))?;
        let ground = mount.join(path.trim_start_matches('/'));
        let run = self.make_run(&ground)?;
        let group = run.join(AGENT);
        let moved = fs::create_dir(&group).and_then(|()| admit(&group, std::process::id()));
        if let Err(e) = moved {
            let _as_before = (fs::remove_dir(&group), fs::remove_dir(&run));
            return Err(e);
        }
        self.origin = Some(origin);
        self.ground = try_out(&ground).is_ok().then_some(ground);
        Ok(())
    }

    /// Lets the kernel count memory per task, where this process is alone in a group that was given to it. Without
    /// it a task that ran out of memory is told from other killed ones by the host's counter.
    pub fn account(&mut self, controller: &str) -> io::Result<()> {
        let ground = self.ground.clone().ok_or_else(|| io::Error::other("no control groups"))?;
        let there = fs::read_to_string(ground.join("cgroup.controllers"))?;
        if !there.split_whitespace().any(|name| name == controller) {
            return Err(io::Error::other("the host does not hand the controller on"));
        }
        let here = fs::read_to_string(ground.join(PROCESSES))?;
        if here.trim() != std::process::id().to_string() {
            return Err(io::Error::other("others are in the same control group"));
        }
        let run = self.make_run(&ground)?;
        fs::create_dir(run.join(AGENT))?;
        // A group whose controllers are handed on may hold no process itself.
        admit(&run.join(AGENT), std::process::id())?;
        self.origin = Some(ground.clone());
        self.accounts = Some(controller.to_owned());
        for group in [&ground, &run] {
            fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"))?;
        }
        Ok(())
    }

    /// A group for a start of a task; `None` where there cannot be one.
    pub fn task(&mut self, key: TaskKey) -> Option<TaskGroup> {
        let ground = self.ground.clone()?;
        let made = self.made.iter().rev();
        let run = made.filter(|made| made.parent() == Some(&ground)).find(|made| made.is_dir());
        let made = match run.cloned() {
            Some(run) => Ok(run),
            None => self.make_run(&ground),
        };
        let group = made.and_then(|run| {
            let group = TaskGroup::at(run.join(format!("{}.{}", key.task, key.incarnation)));
            group.end();
            fs::create_dir(&group.path)?;
            Ok(group)
        });
        group.inspect_err(|e| log!("make a control group for {key:?}: {e}")).ok()
    }

    /// Ends whatever is still in them and removes them, but for the one that this process is in. What is left.
    pub fn clear(&self) -> Vec<String> {
        let own = own();
        let mut left = Vec::new();
        for run in &self.made {
            for group in children(run).map(TaskGroup::at) {
                if own.as_ref() != Some(&group.path) && !group.end() {
                    let pids: Vec<u32> = group.members().iter().map(|p| p.pid).collect();
                    left.push(format!("processes {pids:?} cannot be killed"));
                }
            }
            let _not_empty_while_we_are_in_it = fs::remove_dir(run);
        }
        left
    }

    /// As [`Groups::clear`], and steps out of the last one too. Nothing of ours is left afterwards.
    pub fn remove(self) {
        let own = own();
        for run in self.made.iter().filter(|run| own.as_ref().is_some_and(|o| o.starts_with(run))) {
            if let (Some(controller), Some(ground)) = (&self.accounts, &self.origin) {
                for group in [run, ground] {
                    let off = format!("-{controller}");
                    let _was_never_on = fs::write(group.join("cgroup.subtree_control"), off);
                }
            }
            let parent = run.parent().map(Path::to_owned);
            let back = self.origin.iter().chain(&parent).find(|group| {
                let moved = admit(group, std::process::id());
                moved.inspect_err(|e| log!("go back to {}: {e}", group.display())).is_ok()
            });
            log!("back in {back:?}");
            let _reported_by_clear = fs::remove_dir(run.join(AGENT));
        }
        self.clear();
    }

    /// Makes a group for the run, on record before it is there.
    fn make_run(&mut self, ground: &Path) -> io::Result<PathBuf> {
        let name = self.run.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let group = ground.join(format!("{PREFIX}{name}-{:08x}", random()));
        let mut made: Vec<String> =
            self.made.iter().map(|m| m.to_string_lossy().into_owned()).collect();
        made.push(group.to_string_lossy().into_owned());
        record::save(&self.run, RECORD, made.join("\n").as_bytes(), record::Keep::WhileUp)?;
        fs::create_dir(&group)?;
        self.made.push(group.clone());
        Ok(group)
    }
}

/// The control group of one start of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskGroup {
    path: PathBuf,
}

impl TaskGroup {
    /// The group with this path, which need not be there.
    pub fn at(path: impl Into<PathBuf>) -> TaskGroup {
        TaskGroup { path: path.into() }
    }

    /// The group that a launch names.
    pub fn of(launch: &Launch) -> Option<TaskGroup> {
        launch.group.as_ref().map(TaskGroup::at)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a process into it; its children will be born there.
    pub fn admit(&self, pid: u32) -> io::Result<()> {
        admit(&self.path, pid)
    }

    /// Kills everybody in it and below it at once: the kernel forks nobody into a group that is being killed.
    pub fn kill(&self) {
        let _gone_or_told_by_is_empty = fs::write(self.path.join(KILL), "1");
    }

    /// No living process is in it or below it.
    pub fn is_empty(&self) -> bool {
        let events = fs::read_to_string(self.path.join("cgroup.events")).unwrap_or_default();
        !events.lines().any(|line| line == "populated 1")
    }

    /// Everybody in it and below it.
    pub fn members(&self) -> Vec<Process> {
        let mut found = Vec::new();
        for group in below(&self.path) {
            let pids = fs::read_to_string(group.join(PROCESSES)).unwrap_or_default();
            found.extend(pids.lines().filter_map(|pid| processes::look(pid.parse().ok()?)));
        }
        found
    }

    /// How many processes of it the kernel has killed because memory ran out; `None` where it does not count them.
    pub fn oom_kills(&self) -> Option<u64> {
        oom_kills(&fs::read_to_string(self.path.join("memory.events")).ok()?)
    }

    /// Removes it and what tasks have made below it. A group with processes stays.
    pub fn remove(&self) {
        for group in below(&self.path).iter().rev() {
            let _absent_or_not_empty = fs::remove_dir(group);
        }
    }

    /// As [`TaskGroup::remove`], and the run's group too if this was the last in it: nobody else is there to do it.
    pub fn remove_last(&self) {
        self.remove();
        let _others_are_in_it = self.path.parent().map(fs::remove_dir);
    }

    /// Kills and removes; whether it is gone.
    fn end(&self) -> bool {
        if !self.path.exists() {
            return true;
        }
        self.kill();
        self.await_empty();
        self.remove();
        !self.path.exists()
    }

    /// Waits until the kernel says that nobody is left, or too long.
    pub fn await_empty(&self) {
        let Ok(events) = fs::File::open(self.path.join("cgroup.events")) else { return };
        let deadline = std::time::Instant::now() + EMPTY_LIMIT;
        while !self.is_empty() {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let mut fds = [PollFd::new(&events, PollFlags::PRI)];
            if left.is_zero() || !matches!(poll(&mut fds, Some(&timespec(left))), Ok(1..)) {
                return;
            }
        }
    }
}

/// The path of this process's control group as `/proc` has it, if there is a unified hierarchy.
pub fn own_path() -> Option<String> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// The directory of this process's control group; `None` if it is not certainly that.
fn own() -> Option<PathBuf> {
    let directory = mount()?.join(own_path()?.trim_start_matches('/'));
    let plain = directory.components().all(|c| !matches!(c, Component::ParentDir));
    let pids = fs::read_to_string(directory.join(PROCESSES)).ok()?;
    let me = std::process::id().to_string();
    (plain && pids.lines().any(|pid| pid == me)).then_some(directory)
}

/// Where the unified hierarchy is mounted as a whole, as this process sees it.
fn mount() -> Option<PathBuf> {
    mount_in(&fs::read_to_string("/proc/self/mountinfo").ok()?)
}

/// `ID PARENT MAJOR:MINOR ROOT PLACE OPTIONS… - TYPE SOURCE OPTIONS`
fn mount_in(table: &str) -> Option<PathBuf> {
    table.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        // A place with a blank in it is written with octal digits: nobody mounts it so, and we do not guess.
        let whole = kind.starts_with("cgroup2 ") && root == "/" && !place.contains('\\');
        whole.then(|| PathBuf::from(place))
    })
}

/// Makes a group there, moves a process into it, kills it, and removes the group.
fn try_out(ground: &Path) -> io::Result<()> {
    access(ground.join(PROCESSES).as_path(), Access::WRITE_OK)?;
    let trial = TaskGroup::at(ground.join(format!("{PREFIX}trial-{:08x}", random())));
    fs::create_dir(&trial.path)?;
    let tried = try_killing(&trial);
    trial.remove();
    tried
}

fn try_killing(trial: &TaskGroup) -> io::Result<()> {
    access(trial.path.join(KILL).as_path(), Access::WRITE_OK)?;
    let (_ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let mut child = Command::new(sys::program())
        .arg("gate")
        .env_clear()
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let tried = trial.admit(child.id()).and_then(|()| {
        trial.kill();
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let end = pidfd_open(pid.expect("a child has a pid"), PidfdFlags::empty())?;
        let mut fds = [PollFd::new(&end, PollFlags::IN)];
        match poll(&mut fds, Some(&timespec(TRIAL_LIMIT)))? {
            0 => Err(io::Error::other("a process outlived the killing of its group")),
            _ => Ok(()),
        }
    });
    let _dead_already = child.kill();
    child.wait()?;
    tried
}

fn admit(group: &Path, pid: u32) -> io::Result<()> {
    fs::write(group.join(PROCESSES), pid.to_string())
}

/// The groups on record that are there, none of which is anybody else's.
fn recorded(run: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(run.join(RECORD)).unwrap_or_default();
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        path.is_absolute() && name.is_some_and(|name| name.starts_with(PREFIX)) && path.is_dir()
    };
    text.lines().map(PathBuf::from).filter(ours).collect()
}

/// A group and all below it, each after the one that it is in.
fn below(group: &Path) -> Vec<PathBuf> {
    let mut found = vec![group.to_owned()];
    let mut next = 0;
    while next < found.len() {
        let inner: Vec<PathBuf> = children(&found[next]).collect();
        found.extend(inner);
        next += 1;
    }
    found
}

fn children(group: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path())
}

fn oom_kills(events: &str) -> Option<u64> {
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Keeps the groups of two agents apart that share a hierarchy and not their process ids.
fn random() -> u32 {
    let mut bytes = [0; 4];
    let got = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    if got.is_ok() { u32::from_be_bytes(bytes) } else { std::process::id() }
}

fn timespec(time: Duration) -> rustix::time::Timespec {
    let tv_sec = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    rustix::time::Timespec { tv_sec, tv_nsec: time.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_hierarchy_is_found_where_it_is_mounted_as_a_whole() {
        let hybrid = "30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_in(hybrid), Some("/sys/fs/cgroup/unified".into()));
        let unified = "29 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(mount_in(unified), Some("/sys/fs/cgroup".into()));
        let part = "29 23 0:26 /../.. /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_in(part), None);
        assert_eq!(mount_in("31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"), None);
    }

    #[test]
    fn f08_the_kernels_own_count_says_whether_memory_ran_out() {
        let events = |kills: u64| {
            format!("low 0\nhigh 0\nmax 7\noom 1\noom_kill {kills}\noom_group_kill 0\n")
        };
        let group = tempfile::tempdir().unwrap();
        let task = TaskGroup::at(group.path());
        assert_eq!(task.oom_kills(), None);
        for kills in [0, 3] {
            fs::write(group.path().join("memory.events"), events(kills)).unwrap();
            assert_eq!(task.oom_kills(), Some(kills));
        }
    }

    #[test]
    fn only_groups_of_ours_are_taken_from_a_record() {
        let run = tempfile::tempdir().unwrap();
        let ours = run.path().join("plush-r-1");
        fs::create_dir(&ours).unwrap();
        let text = format!("/\n/sys\nplush-x\n/nowhere/plush-r\n{}\n", ours.display());
        fs::write(run.path().join(RECORD), text).unwrap();
        assert_eq!(recorded(run.path()), [ours]);
    }
}
