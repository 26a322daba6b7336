//! Leaves a host as it was: clean-up lines run, files of the run removed, and those of the base if no other run
//! needs them. Not the ending of tasks: they have ended before.

use crate::base::{Base, LOG, SOCKET};
use crate::cgroup;
use crate::files::removal::Removal;
use crate::files::root::Root;
use crate::programs::{self, Command};
use plush_core::agent::CleanUpSpec;
use plush_protocol::Tainted;
use rustix::fs::FlockOperation;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// What the run's directory still holds after [`remove`], until the agent ends.
const LAST_FILES: [&str; 4] = [SOCKET, LOG, "agent.lock", cgroup::RECORD];

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

/// Runs the lines and removes the files; the agent's socket, log and directory stay for its last words. Blocks.
pub fn remove(base: &Base, spec: &CleanUpSpec, environment: &[(String, String)]) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for (cluster, program) in &spec.commands {
        let directory = base.clusters().join(cluster);
        let limit = Duration::from_millis(spec.line_limit_ms);
        let command = Command { program, directory: &directory, environment, limit };
        if let Err(e) = programs::run_command(&command) {
            cleaned.failed_lines.push(Tainted::new(format!("{}: {e}", program.text())));
        }
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

/// Removes what served the agent itself, and every directory that is empty then. Runs that end together have each
/// seen the other when they removed their files: what they shared goes with the last of them, here.
pub fn remove_last(base: &Base, shared: Shared) {
    let Ok(Some(_nobody_enters)) = base.lock(FlockOperation::LockExclusive) else { return };
    for name in LAST_FILES {
        let _absent = fs::remove_file(base.run.join(name));
    }
    // What is not empty is kept on purpose, or belongs to another run.
    let _kept = fs::remove_dir(&base.run);
    if shared == Shared::Goes && names(&base.base.join("runs")).is_empty() {
        // The controller has had its last word; what is left here is found by the next run.
        remove_ours(base, &mut Vec::new());
    }
    for name in ["runs", "cache"] {
        let _kept = fs::remove_dir(base.base.join(name));
    }
    let _kept = fs::remove_dir(&base.base);
}

/// Removes the cache and the agents' files, unless another run is on this base.
fn remove_shared(base: &Base, remainder: &mut Vec<Tainted>) {
    let Ok(Some(_nobody_enters)) = base.lock(FlockOperation::LockExclusive) else { return };
    if names(&base.base.join("runs")).len() > 1 {
        return;
    }
    remove_ours(base, remainder);
}

fn remove_ours(base: &Base, remainder: &mut Vec<Tainted>) {
    let Ok(root) = Root::open(&base.base) else { return };
    for name in names(&base.base).iter().filter(|n| is_ours(n)) {
        note(&root.remove_tree(Path::new(name), &mut go_on), remainder);
    }
}

/// What the transport and agents put beside the runs: the cache, agents by digest, uploads that broke off.
fn is_ours(name: &str) -> bool {
    name == "cache" || name.starts_with("agent-") || name.starts_with(".new-")
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
