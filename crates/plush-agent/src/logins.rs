//! Leaving the login that started the agent, where a logout would end it (F09).
//! Not the rules about it: see [`plush_core::standing`].

use crate::cgroup::{self, Groups};
use crate::log;
use crate::programs::{self, Job};
use plush_core::standing::{self, Seen, Way};
use plush_protocol::Logout;
use rustix::event::{PollFd, PollFlags, poll};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How an agent came to where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// It is where whoever started it was.
    ByItself,
    /// It was in a login, and a manager has put it into a scope of its own.
    OutOfLogin,
}

impl Came {
    /// What people should know. Who is below a user's manager because that is where he works, on his own machine
    /// for one, knows that himself.
    pub fn warning(self, logout: Logout) -> Option<&'static str> {
        match (logout, self) {
            (Logout::EndsWithLast, Came::ByItself) => None,
            (Logout::Stays | Logout::EndsWithLast | Logout::Ends, _) => logout.warning(),
        }
    }
}

/// What an agent says on its standard output, once, when it has begun.
pub const UP: &str = "plush-agent serves\n";
/// How long the host's managers may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Looks where this process stands. Outside a login nobody is asked.
pub fn look() -> Seen {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let logind = if standing::in_session(&cgroups) { ask_logind() } else { String::new() };
    let name = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    let user = name("LOGNAME").or_else(|| name("USER")).unwrap_or_default();
    let plain = !user.is_empty() && !user.contains('/');
    let lingers = plain && Path::new("/var/lib/systemd/linger").join(&user).exists();
    let root = rustix::process::geteuid().is_root();
    Seen { cgroups, logind, user, root, lingers }
}

/// Starts an agent, outside this login where it would end with it and somebody lets it out. `make` gives the
/// command again for each try, with the program to be started before it.
pub fn start(make: impl Fn(Vec<OsString>) -> io::Result<Command>) -> io::Result<()> {
    let scope: &[&str] = match standing::way(&look()) {
        Way::Stay => &[],
        Way::SystemScope => &["systemd-run", "--scope"],
        Way::UserScope => &["systemd-run", "--user", "--scope"],
    };
    if !scope.is_empty() {
        let common = ["--quiet", "--collect", "--property=Delegate=yes", "--"];
        let before = scope.iter().chain(&common).map(OsString::from).collect();
        if is_up(make(before)?)? {
            return Ok(());
        }
    }
    // Nobody waits for it: it leaves this session and outlives it.
    let _agent = make(Vec::new())?.process_group(0).stdout(Stdio::null()).spawn()?;
    Ok(())
}

/// Leaves a login that would end this process by moving it into another control group; what a logout does then.
pub fn step_out(groups: &mut Groups) -> Logout {
    let seen = look();
    let before = standing::logout(&seen);
    if before != Logout::Ends {
        return before;
    }
    let path = cgroup::own_path().unwrap_or_default();
    let Some(beyond) = standing::beyond_logins(&path) else { return before };
    match groups.step_out(beyond) {
        Ok(()) => standing::logout(&look()),
        Err(e) => {
            log!("leave the login by moving to {beyond}/: {e}");
            before
        }
    }
}

/// Starts it and waits until it says that it is up; one that does not is ended.
fn is_up(mut command: Command) -> io::Result<bool> {
    let (said, says) = io::pipe()?;
    let spawned = command.process_group(0).stdout(says).spawn();
    // It holds the write end, which must close when the program does.
    drop(command);
    let Ok(mut child) = spawned else { return Ok(false) };
    let up = hears(&mut fs::File::from(OwnedFd::from(said)))?;
    if !up {
        end(&mut child)?;
    }
    Ok(up)
}

fn hears(said: &mut fs::File) -> io::Result<bool> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    let mut heard = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = rustix::time::Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&*said, PollFlags::IN)];
        if left.is_zero() || poll(&mut fds, Some(&wait))? == 0 {
            return Ok(false);
        }
        let mut bytes = [0; 256];
        let count = said.read(&mut bytes)?;
        heard.extend_from_slice(&bytes[..count]);
        if heard.ends_with(UP.as_bytes()) {
            return Ok(true);
        }
        if count == 0 || heard.len() > 4096 {
            return Ok(false);
        }
    }
}

fn end(child: &mut Child) -> io::Result<()> {
    let _ended_already = child.kill();
    child.wait().map(drop)
}

fn ask_logind() -> String {
    let names = ["KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers"];
    let mut argv: Vec<OsString> = vec!["loginctl".into(), "show-session".into()];
    argv.extend(names.map(|name| format!("--property={name}").into()));
    let deadline = Instant::now() + ANSWER_LIMIT;
    let environment = std::env::vars_os().collect();
    let job = Job { argv: &argv, environment, directory: Path::new("/"), deadline };
    match programs::run(&job, &|| true) {
        Ok(ended) if ended.status.success() => String::from_utf8_lossy(&ended.tail).into_owned(),
        Ok(_) | Err(_) => String::new(),
    }
}
