//! Leaves a host as it was: clean-up lines run, files of the run removed, and those of the base if no other run
//! needs them. Not the ending of tasks: they have ended before.

use crate::base::{BASE_LOCK, Base, CACHE, LOG, RUNS, SOCKET, is_component};
use crate::cgroup;
use crate::doorway;
use crate::files::removal::{Removal, is_hidden};
use crate::files::root::Root;
use crate::member;
use crate::programs::{self, Command};
use crate::sys;
use plush_core::agent::CleanUpSpec;
use plush_protocol::Tainted;
use rustix::fs::{FlockOperation, MemfdFlags, memfd_create};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::time::{Duration, Instant};

/// Time limit for other processes of the member to close removed files.
const SWEEP_LIMIT: Duration = Duration::from_secs(5);
/// Poll interval.
const SWEEP_GAP: Duration = Duration::from_millis(5);

/// Files that remain in the member's directory after [`remove`], until the agent ends.
const LAST_FILES: [&str; 5] = [SOCKET, LOG, "agent.lock", cgroup::RECORD, member::RECORD];

/// What becomes of the cache and the agents' files when the last run leaves the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// They stay: the run was told to keep them, or never told to clean up.
    Stays,
    /// They go with it.
    Goes,
}

impl Shared {
    /// What a clean-up asks for.
    pub fn of(spec: &CleanUpSpec) -> Shared {
        if spec.keep_cache || spec.keep_work { Shared::Stays } else { Shared::Goes }
    }
}

/// What came of a clean-up.
#[derive(Debug, Default)]
pub struct Cleaned {
    /// What could not be removed.
    pub remainder: Vec<Tainted>,
    /// Lines that failed, and how.
    pub failed_lines: Vec<Tainted>,
}

/// Where the clean-up lines of a cluster run.
enum Place {
    /// The cluster's directory, completely prepared.
    Whole(PathBuf),
    /// The directory of a preparation that began and did not finish. The lines undo its side
    /// effects elsewhere; a line with nothing to undo is not a failure.
    Begun(PathBuf),
}

impl Place {
    /// No preparation began: nothing has to be undone, and no line runs.
    fn of(base: &Base, cluster: &str) -> Option<Place> {
        let clusters = base.clusters();
        let whole = clusters.join(cluster);
        if whole.is_dir() {
            return Some(Place::Whole(whole));
        }
        let part = clusters.join(format!("{cluster}.part"));
        let is_begun = clusters.is_dir() && is_component(cluster);
        (is_begun && fs::create_dir_all(&part).is_ok()).then_some(Place::Begun(part))
    }
}

/// Runs the lines and removes the files; the agent's socket, log and directory stay for its last words. Blocks.
pub fn remove(base: &Base, spec: &CleanUpSpec, environment: &[(String, String)]) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for (cluster, program) in &spec.commands {
        let Some(place) = Place::of(base, cluster) else { continue };
        let (Place::Whole(directory) | Place::Begun(directory)) = &place;
        let limit = Duration::from_millis(spec.line_limit_ms);
        let command = Command { program, directory, environment, limit };
        match (programs::run_command(&command), &place) {
            (Err(e), Place::Whole(_)) => {
                cleaned.failed_lines.push(Tainted::new(format!("{}: {e}", program.text())));
            }
            (Ok(()), _) | (Err(_), Place::Begun(_)) => {}
        }
    }
    if let Some((directory, e)) = doorway::remove(base) {
        cleaned.remainder.push(Tainted::new(format!("{}: {e}", directory.display())));
    }
    let Ok(run) = Root::open(&base.run) else { return cleaned };
    for entry in names(&base.run) {
        let stays = LAST_FILES.contains(&entry.as_str()) || (spec.keep_work && entry == "clusters");
        if !stays {
            note(&run.remove_tree(Path::new(&entry), &mut go_on), &mut cleaned.remainder);
        }
    }
    if Shared::of(spec) == Shared::Goes {
        remove_shared(base, &mut cleaned.remainder);
    }
    cleaned
}

/// Removes the agent's own files and every directory that is then empty. Members that end at the
/// same time have each seen the other while they removed their files, so the last of them removes
/// the shared files here. On all machines that see the base, only one member succeeds in removing
/// `runs`.
pub fn remove_last(base: &Base, shared: Shared) {
    let Ok(Some(nobody_enters)) = base.lock(FlockOperation::LockExclusive) else { return };
    for name in LAST_FILES {
        let _absent = fs::remove_file(base.run.join(name));
    }
    // A directory that is not empty is kept on purpose, or belongs to another member.
    let _kept = fs::remove_dir(&base.run);
    let was_last = match fs::remove_dir(base.base.join(RUNS)) {
        Ok(()) => true,
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    };
    if was_last && shared == Shared::Goes {
        // The controller has had its last word; what is left here is found by the next run.
        remove_ours(base, &mut Vec::new());
    }
    let _kept = fs::remove_dir(base.base.join(CACHE));
    if was_last && only_the_lock_is_left(base) {
        let _absent = fs::remove_file(base.base.join(BASE_LOCK));
    }
    // An agent that enters now creates a new lock, and the base stays.
    drop(nobody_enters);
    let _kept = fs::remove_dir(&base.base);
}

/// Finishes the removal that [`remove_last`] could not: a network file system keeps removed files
/// that are open, and this program runs from one. This process then executes a copy of the program
/// from memory, which sweeps. If that is not needed or not possible, this returns.
pub fn leave(base: &Base, shared: Shared) {
    if !has_remains(base) {
        return;
    }
    let member = base.run.file_name().unwrap_or_default();
    let copy = || -> io::Result<io::Error> {
        let mut file = File::from(memfd_create("plush-agent", MemfdFlags::CLOEXEC)?);
        io::copy(&mut File::open(sys::program())?, &mut file)?;
        let mut command = process::Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
        command.args(["sweep", "--run", &base.id]).arg("--directory").arg(member);
        if shared == Shared::Goes {
            command.arg("--shared-goes");
        }
        command.arg("--base").arg(&base.base).current_dir("/").stderr(Stdio::null());
        Ok(command.exec())
    };
    let _directories_stay = copy();
}

/// Removes the remaining files of the member, and of the base if this was its last member, once
/// other processes have closed the removed files.
pub fn sweep(base: &Base, shared: Shared) {
    let limit = Instant::now() + SWEEP_LIMIT;
    while Instant::now() < limit && has_remains(base) {
        let _still_open = fs::remove_dir(&base.run);
        if names(&base.base).is_empty() {
            let _still_open = fs::remove_dir(&base.base);
        } else if !base.run.exists() {
            remove_last(base, shared);
        }
        std::thread::sleep(SWEEP_GAP);
    }
}

/// Whether the member's directory or the base exists only because removed files are open, or were
/// open a moment ago.
fn has_remains(base: &Base) -> bool {
    let is_open = |name: &String| is_hidden(OsStr::new(name));
    let own = base.run.exists() && names(&base.run).iter().all(is_open);
    let left = names(&base.base);
    own || left.iter().any(is_open) || (left.is_empty() && base.base.exists())
}

fn only_the_lock_is_left(base: &Base) -> bool {
    names(&base.base) == [BASE_LOCK]
}

/// Removes the cache and the agents' files, unless another member is on this base.
fn remove_shared(base: &Base, remainder: &mut Vec<Tainted>) {
    let Ok(Some(_nobody_enters)) = base.lock(FlockOperation::LockExclusive) else { return };
    remove_ours(base, remainder);
}

/// A login creates its member's directory before it looks for an agent, without the lock. So this
/// checks for other members again before each removal. The agents' files are removed last, since a
/// login at this moment needs them.
fn remove_ours(base: &Base, remainder: &mut Vec<Tainted>) {
    let Ok(root) = Root::open(&base.base) else { return };
    let mut ours: Vec<String> = names(&base.base).into_iter().filter(|n| is_ours(n)).collect();
    ours.sort_by_key(|name| name != CACHE);
    for name in ours {
        if has_others(base) {
            return;
        }
        note(&root.remove_tree(Path::new(&name), &mut go_on), remainder);
    }
}

/// Whether another member has a directory on this base.
fn has_others(base: &Base) -> bool {
    let own = base.run.file_name().unwrap_or_default().to_string_lossy();
    names(&base.base.join(RUNS)).iter().any(|name| *name != own)
}

/// What the transport and agents put beside the runs: the cache, agents by digest, uploads that broke off.
fn is_ours(name: &str) -> bool {
    name == CACHE || name.starts_with("agent-") || name.starts_with(".new-")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

fn note(removal: &Removal, remainder: &mut Vec<Tainted>) {
    let left = removal.left.iter().map(|l| format!("{}: {}", l.path.display(), l.why));
    remainder.extend(left.map(Tainted::new));
}

fn go_on(_done: u64, _total: Option<u64>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
