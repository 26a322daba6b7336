//! Who serves a run: one process at a time, by a lock on its directory and, for a directory that was copied, by its name.
//! Not the fence: whom agents obey is theirs to say, by the epoch.

use crate::error::ControllerError;
use crate::run_clock::boot_id;
use crate::run_dir::RunDir;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A lock that is not free by then is another controller's.
const LOCK_LIMIT: Duration = Duration::from_secs(2);
const LOCK_GAP: Duration = Duration::from_millis(10);

/// A controller process, so that it can be told from any other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The machine's name, for people.
    node: String,
    machine: Machine,
    boot: String,
    pid: u32,
    /// When it began, as the system counts; 0 where the system does not say.
    began: u64,
    /// The run's directory as it knows it.
    directory: PathBuf,
}

/// A machine and a PID namespace. The machine id alone does not identify a machine: clones share
/// it, and containers have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    id: String,
    /// Its name; empty in files of an earlier build.
    #[serde(default)]
    name: String,
    processes: String,
}

/// What is known of a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It runs on this machine.
    Alive,
    /// Its process has ended, or the machine was rebooted since the holder's last write.
    Gone,
    /// It was, as far as can be determined here, on another machine.
    Elsewhere,
}

/// Whether a controller may take a run from another that may be alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// It is refused.
    Refused,
    /// The operator means it: agents will obey the newer one.
    Meant,
}

/// The lock on a run's directory.
#[derive(Debug)]
pub struct Hold {
    file: File,
}

impl Machine {
    /// This one.
    pub fn this() -> Machine {
        let id = fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned();
        let processes = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let id = if id.is_empty() { node_name() } else { id };
        let processes = processes.to_string_lossy().into_owned();
        Machine { id, name: node_name(), processes }
    }

    /// Whether it is this one, whatever process numbers mean there.
    pub fn is_this(&self) -> bool {
        let this = Machine::this();
        self.id == this.id && self.has_name_of(&this)
    }

    fn has_name_of(&self, other: &Machine) -> bool {
        self.name.is_empty() || self.name == other.name
    }
}

impl Holder {
    /// This process.
    pub fn this(run_dir: &RunDir) -> Holder {
        let pid = std::process::id();
        Holder {
            node: node_name(),
            machine: Machine::this(),
            boot: boot_id(),
            pid,
            began: began(pid).unwrap_or(0),
            directory: std::path::absolute(run_dir.path())
                .unwrap_or_else(|_| run_dir.path().to_owned()),
        }
    }

    /// The state of a holder whose run's files were last written at this time. A different boot id
    /// means an earlier boot of this machine only if nothing was written since this boot began: a
    /// clone has a different one too.
    pub fn fate(&self, written: Option<SystemTime>) -> Fate {
        let this = Machine::this();
        if !self.machine.is_this() || self.machine.processes != this.processes {
            return Fate::Elsewhere;
        }
        if self.boot != boot_id() {
            let is_over = written.zip(boot_began()).is_some_and(|(written, began)| written < began);
            return if is_over { Fate::Gone } else { Fate::Elsewhere };
        }
        let is_alive = began(self.pid) == Some(self.began);
        if is_alive { Fate::Alive } else { Fate::Gone }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}, in {}", self.pid, self.node, self.directory.display())
    }
}

impl Hold {
    /// Takes the lock, which holds as long as the process lives, and leaves its name.
    ///
    /// # Errors
    /// Another process of this machine has it; or whoever had it last may be alive, and this is not to take over.
    pub fn take(run_dir: &RunDir, takeover: Takeover) -> Result<Hold, ControllerError> {
        let path = run_dir.lock();
        let failed = |operation| move |e| ControllerError::io(operation, &run_dir.lock(), e);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(failed("open"))?;
        // Whoever only looks holds it for an instant, and a process that is killed for as long as it takes to die.
        let limit = Instant::now() + LOCK_LIMIT;
        while file.try_lock().is_err() {
            if Instant::now() > limit {
                return Err(ControllerError::Busy { path: run_dir.path().to_owned() });
            }
            std::thread::sleep(LOCK_GAP);
        }
        if let Some(holder) = rival(run_dir)
            && takeover == Takeover::Refused
        {
            return Err(ControllerError::MayBeServed {
                path: run_dir.path().to_owned(),
                holder: Box::new(holder),
            });
        }
        let mut hold = Hold { file };
        hold.write(&Holder::this(run_dir)).map_err(failed("write"))?;
        Ok(hold)
    }

    /// Nobody serves the run any more, and nobody need wonder.
    pub fn release(self) {
        // Whoever comes next may then have to be told to take over: no harm.
        let _ = self.file.set_len(0);
    }

    fn write(&mut self, holder: &Holder) -> std::io::Result<()> {
        let json = serde_json::to_vec(holder).expect("a holder is plain data");
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&json)?;
        self.file.sync_data()
    }
}

/// Whoever served the run last, if it may be alive for all that can be known here.
pub fn rival(run_dir: &RunDir) -> Option<Holder> {
    let mut text = String::new();
    File::open(run_dir.lock()).ok()?.read_to_string(&mut text).ok()?;
    let holder: Holder = serde_json::from_str(&text).ok()?;
    match holder.fate(last_written(run_dir)) {
        Fate::Alive if holder.pid == std::process::id() => None,
        Fate::Alive | Fate::Elsewhere => Some(holder),
        Fate::Gone => None,
    }
}

/// The last write to a file that the run's controller keeps writing.
fn last_written(run_dir: &RunDir) -> Option<SystemTime> {
    let mut ahead = run_dir.journal().into_os_string();
    ahead.push("-wal");
    let files = [run_dir.lock(), run_dir.view(), run_dir.journal(), ahead.into()];
    files.into_iter().filter_map(|file| fs::metadata(file).ok()?.modified().ok()).max()
}

/// The start of this boot, by the current clock.
fn boot_began() -> Option<SystemTime> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn node_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// When a process began; none where there is no such process, or only what its parent has still to collect.
fn began(pid: u32) -> Option<u64> {
    if !Path::new("/proc/self/stat").exists() {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
        return rustix::process::test_kill_process(pid).ok().map(|()| 0);
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = words.next()?;
    if matches!(state, "Z" | "X") { None } else { words.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn left_by(change: impl FnOnce(&mut Holder)) -> Result<Hold, ControllerError> {
        left_at(SystemTime::now(), change)
    }

    fn left_at(
        written: SystemTime,
        change: impl FnOnce(&mut Holder),
    ) -> Result<Hold, ControllerError> {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(dir.path());
        let mut holder = Holder::this(&run_dir);
        change(&mut holder);
        fs::write(run_dir.lock(), serde_json::to_vec(&holder).unwrap()).unwrap();
        File::options().write(true).open(run_dir.lock()).unwrap().set_modified(written).unwrap();
        Hold::take(&run_dir, Takeover::Refused)
    }

    #[test]
    fn f55_a_clone_with_the_machine_id_of_another_is_elsewhere() {
        let named = left_by(|h| (h.machine.name, h.boot) = ("clone".into(), "another".into()));
        assert!(matches!(named, Err(ControllerError::MayBeServed { .. })));
        let of_one_boot = left_by(|h| h.machine.name = "another container".into());
        assert!(matches!(of_one_boot, Err(ControllerError::MayBeServed { .. })));
        let of_one_name = left_by(|h| h.boot = "another".into());
        assert!(matches!(of_one_name, Err(ControllerError::MayBeServed { .. })));
    }

    #[test]
    fn f55_a_copy_is_refused_while_whoever_has_the_original_may_be_alive() {
        let parent = std::os::unix::process::parent_id();
        let alive = left_by(|h| (h.pid, h.began) = (parent, began(parent).unwrap()));
        assert!(matches!(alive, Err(ControllerError::MayBeServed { .. })));
        let elsewhere = left_by(|h| h.machine.id = "another".into());
        assert!(matches!(elsewhere, Err(ControllerError::MayBeServed { .. })));
        let contained = left_by(|h| h.machine.processes = "pid:[1]".into());
        assert!(matches!(contained, Err(ControllerError::MayBeServed { .. })));
    }

    #[test]
    fn whoever_is_surely_gone_keeps_nobody_out() {
        let parent = std::os::unix::process::parent_id();
        assert!(left_by(|h| h.pid = parent).is_ok(), "the number is another process's now");
        let before = boot_began().unwrap() - Duration::from_secs(60);
        let restarted = left_at(before, |h| h.boot = "before".into());
        assert!(restarted.is_ok(), "the machine was started anew");
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(dir.path());
        Hold::take(&run_dir, Takeover::Refused).unwrap().release();
        assert_eq!(fs::metadata(run_dir.lock()).unwrap().len(), 0);
        assert!(Hold::take(&run_dir, Takeover::Refused).is_ok());
    }

    #[test]
    fn f55_a_second_controller_in_the_same_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(dir.path());
        let _hold = Hold::take(&run_dir, Takeover::Refused).unwrap();
        let second = Hold::take(&run_dir, Takeover::Meant);
        assert!(matches!(second, Err(ControllerError::Busy { .. })));
    }
}
