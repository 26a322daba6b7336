//! An agent as a child process in a directory of its own: a host without SSH.
//!
//! The same rules as on a host: the agent's file is named by its digest and put in place by renaming.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::bootstrap::{AgentFile, Bootstrap, Nonce};
use super::child::attach;
use super::failure::{ConnectFailure, FailureClass, Stage};
use super::link::{AgentOrigin, Aside, Reader, Writer};
use crate::open_files;

/// Variables of the controller that a local agent may see. No sockets, no secrets.
const PASSED_ON: [&str; 8] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "SHELL", "TZ"];
/// A program just written may be busy for a moment, while another thread's child still holds it open.
const BUSY_TRIES: u32 = 20;

pub(crate) struct LocalAgent {
    pub reader: Reader,
    pub writer: Writer,
    pub aside: Aside,
    pub origin: AgentOrigin,
    pub machine: String,
}

/// Puts the agent into the directory if it is not there, and starts it.
pub(crate) async fn start(dir: &Path, bootstrap: &Bootstrap) -> Result<LocalAgent, ConnectFailure> {
    let machine = std::env::consts::ARCH;
    if std::env::consts::OS != "linux" {
        let cause = format!("agents run on Linux, and this machine has {}", std::env::consts::OS);
        return Err(ConnectFailure::permanent(Stage::AgentDir, cause)
            .hint("hosts of type local need Linux here; use hosts that SSH reaches"));
    }
    let Some(agent) = bootstrap.agents.agent_for(machine) else {
        return Err(ConnectFailure::permanent(
            Stage::AgentDir,
            format!("there is no agent for this machine ({machine})"),
        ));
    };
    let path = dir.join(format!("agent-{}", agent.digest()));
    let origin = place(dir, &path, &agent).map_err(|e| {
        let class = match e.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NOSPC.raw_os_error() => {
                FailureClass::Retryable
            }
            _ => FailureClass::Permanent,
        };
        let cause = format!(
            "put the agent into {} ({} KiB): {e}",
            dir.display(),
            agent.bytes().len() / 1024 + 1
        );
        ConnectFailure::new(Stage::AgentDir, class, cause)
    })?;
    let child = spawn(&path, dir, bootstrap).await?;
    let (reader, writer, aside) = attach(child);
    Ok(LocalAgent { reader, writer, aside, origin, machine: format!("Linux {machine}") })
}

fn place(dir: &Path, path: &Path, agent: &AgentFile) -> std::io::Result<AgentOrigin> {
    std::fs::create_dir_all(dir)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    if std::fs::read(path).is_ok_and(|bytes| bytes == agent.bytes()) {
        return Ok(AgentOrigin::Found);
    }
    let new: PathBuf = dir.join(format!(".new-{}", Nonce::random().word()));
    let written = (|| {
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(&new)?;
        file.write_all(agent.bytes())?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&new, path)
    })();
    if let Err(e) = written {
        let _ = std::fs::remove_file(&new);
        return Err(e);
    }
    Ok(AgentOrigin::Sent { sent_bytes: agent.bytes().len() as u64 })
}

async fn spawn(path: &Path, dir: &Path, bootstrap: &Bootstrap) -> Result<Child, ConnectFailure> {
    let mut command = Command::new(path);
    command
        .args(["bridge", "--run", &bootstrap.run, "--directory", &bootstrap.directory])
        .args(["--host", &bootstrap.host, "--base"])
        .arg(dir)
        .args(open_files::of_the_user().map(|count| format!("--open-files={count}")))
        .current_dir(dir)
        .env_clear()
        .envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            spawned => return spawned.map_err(|e| not_started(path, &e)),
        }
    }
    command.spawn().map_err(|e| not_started(path, &e))
}

fn not_started(path: &Path, e: &std::io::Error) -> ConnectFailure {
    let failure = ConnectFailure::permanent(Stage::Start, format!("start {}: {e}", path.display()));
    match e.kind() {
        std::io::ErrorKind::PermissionDenied => {
            failure.hint("programs cannot run in that directory (noexec?); choose another one")
        }
        _ => failure,
    }
}
