//! The agents that this program can send: its own architecture's, and those that are installed beside it.
//! Not how they are sent.

use crate::exit::ExitCode;
use crate::front::{AgentFile, AgentShelf};
use crate::trouble::Trouble;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The agent of this program's own architecture, as the build packed it; empty where it could build none.
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/agent.gz"));

/// Every agent that there is; others are looked up when a host of their architecture appears.
pub fn shelf() -> Result<Arc<AgentShelf>, Trouble> {
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    let own = embedded().or_else(|| installed(&machine)).ok_or_else(|| missing(&machine))?;
    Ok(Arc::new(AgentShelf::new(&machine, own, Box::new(installed))))
}

/// The agent inside this program.
fn embedded() -> Option<AgentFile> {
    let own = AgentFile::from_gzip(EMBEDDED.to_vec()).expect("the build packed the agent");
    (!own.bytes().is_empty()).then_some(own)
}

/// `plush-agent-MACHINE`, with the machine's name as `uname -m` has it, in the first folder that has one; beside this
/// program, `plush-agent` is of this program's own architecture.
fn installed(machine: &str) -> Option<AgentFile> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if machine.is_empty() || !machine.chars().all(plain) {
        return None;
    }
    let named = folders().into_iter().map(|folder| folder.join(format!("plush-agent-{machine}")));
    let beside = (machine == env::consts::ARCH)
        .then(|| Some(beside_this_program()?.join("plush-agent")))
        .flatten();
    named.chain(beside).find_map(|path| std::fs::read(path).ok()).map(AgentFile::new)
}

fn folders() -> Vec<PathBuf> {
    let chosen = env::var_os("PLUSH_AGENTS").map(PathBuf::from);
    let beside = beside_this_program();
    let library =
        beside.as_ref().and_then(|folder| folder.parent()).map(|prefix| prefix.join("lib/plush"));
    [chosen, beside, library, Some("/usr/lib/plush".into())]
        .into_iter()
        .flatten()
        .filter(|folder: &PathBuf| folder.is_absolute())
        .collect()
}

fn beside_this_program() -> Option<PathBuf> {
    env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned))
}

fn missing(machine: &str) -> Trouble {
    let folders: Vec<String> =
        folders().iter().map(|folder| folder.display().to_string()).collect();
    Trouble::new(
        ExitCode::Internal,
        format!("there is no agent for {machine} to be sent to the hosts"),
    )
    .because(format!(
        "this program was built without one, and none of {} holds plush-agent-{machine}",
        folders.join(", ")
    ))
    .next("put one there, or name its folder in PLUSH_AGENTS")
}
