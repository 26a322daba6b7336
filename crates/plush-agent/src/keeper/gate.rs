//! The process that becomes the task: waits until its start is on record, then executes.
//! Not the keeper, which watches it.
//!
//! Standard input is a socket to the keeper, output and error are the task's pipes already. The order comes over
//! the socket once the start record is durable; its end without an order means that nobody keeps a record, so the
//! gate exits and nothing was executed. The socket closes by itself when the program is executed; if it cannot
//! be, the cause is written to it.

use super::wire::{Launch, Mailbox, receive_with};
use crate::{clock, sys};
use plush_protocol::{Cause, CauseKind, ResourceLimits, Stdin, Tainted};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, setrlimit, setsid};
use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// Exit code of a gate that executed nothing.
const NOT_EXECUTED: i32 = 127;

/// How much sooner than others the tasks are chosen when memory runs out; agents and keepers stay at 0.
const OOM_SCORE: &str = "300";

/// Runs the gate; comes back only as an exit code.
pub fn run() -> i32 {
    let Ok(socket) = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3) else {
        return NOT_EXECUTED;
    };
    let _it_is_a_leader_already = setsid();
    let mut mailbox = Mailbox::default();
    let Ok((launch, _)) = receive_with::<Launch>(&socket, &mut mailbox) else {
        return NOT_EXECUTED;
    };
    let cause = match execute(&launch) {
        Ok(never) => match never {},
        Err(cause) => cause,
    };
    let bytes = minicbor::to_vec(&cause).expect("encoding to memory succeeds");
    let _the_keeper_is_gone = UnixStream::from(socket).write_all(&bytes);
    NOT_EXECUTED
}

/// Cannot be made: the good outcome is that nothing comes back.
enum Never {}

fn execute(launch: &Launch) -> Result<Never, Cause> {
    let spec = &launch.spec;
    sys::reset_signals();
    rustix::process::umask(Mode::from_raw_mode(launch.umask));
    // Where it is refused the host's own choice stands.
    let _refused = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    std::env::set_current_dir(&launch.directory)
        .map_err(|e| cause(&e, format!("enter the directory {}", launch.directory)))?;
    let stdin = open_stdin(&spec.stdin)?;
    rustix::stdio::dup2_stdin(&stdin).map_err(|e| cause(&e.into(), "set standard input".into()))?;
    let program = spec.program.argv();
    let Some(name) = program.first() else {
        let text = Tainted::new("execute a program: the command is empty");
        return Err(Cause { kind: CauseKind::Exec, text });
    };
    let path = launch.environment.iter().find(|(name, _)| name == "PATH").map(|(_, v)| v.as_str());
    let file = find(name, path.unwrap_or(""));
    let arguments = strings(program.iter().cloned())?;
    let environment = strings(launch.environment.iter().map(|(n, v)| format!("{n}={v}")))?;
    let file_name = string(file.clone())?;
    limit(&spec.limits)?;
    // Everything is made ready before the instant, so that only the execution itself is left.
    spec.at_us.into_iter().for_each(clock::wait_until_us);
    let refused = sys::execute(&file_name, &arguments, &environment);
    Err(cause(&refused, format!("execute {file}")))
}

fn open_stdin(stdin: &Stdin) -> Result<OwnedFd, Cause> {
    let open = |path: &str| {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| cause(&e.into(), format!("open {path} as standard input")))
    };
    match stdin {
        Stdin::Null => open("/dev/null"),
        Stdin::File(path) => open(path),
        Stdin::Text(text) => {
            hold(text.as_bytes()).map_err(|e| cause(&e, "hold the text for standard input".into()))
        }
        Stdin::Bytes(bytes) => {
            hold(&bytes.0).map_err(|e| cause(&e, "hold the bytes for standard input".into()))
        }
    }
}

/// An unnamed file that holds the bytes.
fn hold(bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("stdin", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = fs::File::from(fd);
    file.write_all(bytes)?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

/// As execvp(3) looks for it, but the first executable file wins and nothing is tried after it.
fn find(name: &str, path: &str) -> String {
    if name.contains('/') {
        return name.to_owned();
    }
    let executable = |file: &String| {
        fs::metadata(file).is_ok_and(|m| m.is_file())
            && rustix::fs::access(file.as_str(), rustix::fs::Access::EXEC_OK).is_ok()
    };
    let candidates = path.split(':').map(|d| if d.is_empty() { "." } else { d });
    candidates.map(|d| format!("{d}/{name}")).find(executable).unwrap_or_else(|| name.to_owned())
}

fn limit(limits: &ResourceLimits) -> Result<(), Cause> {
    let wanted = [
        (Resource::As, limits.memory_bytes, "memory"),
        (Resource::Nofile, limits.open_files, "open files"),
        (Resource::Cpu, limits.cpu_s, "processor time"),
        (Resource::Fsize, limits.file_bytes, "file size"),
        (Resource::Core, Some(limits.core_bytes.unwrap_or(0)), "core file"),
        (Resource::Nproc, limits.processes, "processes"),
    ];
    for (resource, value, name) in wanted {
        if let Some(value) = value {
            let limit = Rlimit { current: Some(value), maximum: Some(value) };
            setrlimit(resource, limit)
                .map_err(|e| cause(&e.into(), format!("limit {name} to {value}")))?;
        }
    }
    Ok(())
}

fn strings(values: impl Iterator<Item = String>) -> Result<Vec<CString>, Cause> {
    values.map(string).collect()
}

fn string(value: String) -> Result<CString, Cause> {
    CString::new(value).map_err(|_| Cause {
        kind: CauseKind::Exec,
        text: Tainted::new("execute a program: a NUL byte in its command or environment"),
    })
}

/// What the system said, and the kind of trouble that this is.
pub fn cause(error: &io::Error, operation: String) -> Cause {
    Cause { kind: kind(error), text: Tainted::new(format!("{operation}: {error}")) }
}

fn kind(error: &io::Error) -> CauseKind {
    use rustix::io::Errno as E;
    match E::from_io_error(error) {
        Some(
            E::NOENT
            | E::ACCESS
            | E::NOEXEC
            | E::TXTBSY
            | E::ISDIR
            | E::LOOP
            | E::NOTDIR
            | E::LIBBAD
            | E::PERM,
        ) => CauseKind::Exec,
        Some(E::AGAIN | E::NOMEM | E::MFILE | E::NFILE) => CauseKind::Resource,
        Some(E::NOSPC | E::DQUOT) => CauseKind::DiskFull,
        _ => CauseKind::System,
    }
}
