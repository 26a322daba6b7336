//! Outside programs that the agent runs to their end: scripts, clean-up lines, git, rsync, scp.
//! Not tasks: those have keepers and outlive the agent.

use crate::sys;
use plush_protocol::Program;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, Mode, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeWriter, Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{self, Child, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// So much of what a program prints is kept, from the end.
pub const TAIL_BYTES: usize = 4 << 10;
/// How often a program that runs is asked about: whether it should still run.
const LOOK: Duration = Duration::from_millis(200);

/// Default umask of started programs.
const DEFAULT_UMASK: u32 = 0o022;
static UMASK: OnceLock<Mode> = OnceLock::new();

/// A program and how long it may run.
pub struct Job<'a> {
    /// The program and its arguments.
    pub argv: &'a [OsString],
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub directory: &'a Path,
    /// When it is killed.
    pub deadline: Instant,
}

/// A command of the description.
pub struct Command<'a> {
    /// The program to execute.
    pub program: &'a Program,
    /// Where it runs.
    pub directory: &'a Path,
    /// Its environment, without the program's own values.
    pub environment: &'a [(String, String)],
    /// How long it may run.
    pub limit: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// The end of what it printed, both streams.
    pub tail: Vec<u8>,
}

/// Why a program did not run to a good end.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started or watched.
    #[error("run {program}")]
    System {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ran too long and was killed.
    #[error("it ran longer than it may and was ended{}", says(.0))]
    TimeLimit(Vec<u8>),
    /// It was cancelled and killed.
    #[error("it was cancelled")]
    Cancelled,
    /// It ended badly.
    #[error("it ended with {status}{}", says(.tail))]
    Failed {
        /// How.
        status: ExitStatus,
        /// The end of what it printed.
        tail: Vec<u8>,
    },
}

/// Sets the umask of started programs, once: the account's. This process uses a stricter one for
/// its own files.
pub fn set_umask(umask: Mode) {
    let _as_before = UMASK.set(umask);
}

/// Runs a program to its end, unless its time is up or `is_wanted` says no; then its whole group is killed.
pub fn run(job: &Job<'_>, is_wanted: &dyn Fn() -> bool) -> Result<Ended, ProgramError> {
    go(job, TAIL_BYTES, is_wanted, |printed| Ok((Stdio::null(), Stdio::from(printed.try_clone()?))))
}

/// As [`run`], with something to read; `tail` is then the end of standard output alone.
pub fn answer(
    job: &Job<'_>,
    input: &[u8],
    keep_bytes: usize,
    is_wanted: &dyn Fn() -> bool,
) -> Result<Ended, ProgramError> {
    go(job, keep_bytes, is_wanted, |_printed| Ok((Stdio::from(in_memory(input)?), Stdio::null())))
}

/// `ends` gives standard input and standard error, from the pipe that is read.
fn go(
    job: &Job<'_>,
    keep_bytes: usize,
    is_wanted: &dyn Fn() -> bool,
    ends: impl FnOnce(&PipeWriter) -> io::Result<(Stdio, Stdio)>,
) -> Result<Ended, ProgramError> {
    let program = PathBuf::from(job.argv.first().cloned().unwrap_or_default());
    let failed = |source| ProgramError::System { program: program.clone(), source };
    let (reader, writer) = io::pipe().map_err(failed)?;
    let (input, errors) = ends(&writer).map_err(failed)?;
    let mut command = process::Command::new(&program);
    command
        .args(job.argv.get(1..).unwrap_or_default())
        .env_clear()
        .envs(job.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(job.directory)
        .stdin(input)
        .stdout(writer)
        .stderr(errors)
        .process_group(0);
    let umask = UMASK.get().map_or(DEFAULT_UMASK, |umask| umask.as_raw_mode());
    sys::begin_with_umask(&mut command, umask);
    let mut child = command.spawn().map_err(failed)?;
    // It holds the write ends; they must close when the program does.
    drop(command);
    let mut tail = Tail { bytes: Vec::new(), keep_bytes };
    let mut reader = File::from(std::os::fd::OwnedFd::from(reader));
    let watched = watch(&mut child, &mut reader, &mut tail, job.deadline, is_wanted);
    if !matches!(watched, Ok(Watched::Ended)) {
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let _nobody_left = group.map(|group| kill_process_group(group, Signal::KILL));
    }
    let status = child.wait().map_err(failed)?;
    match watched.map_err(failed)? {
        Watched::Ended => Ok(Ended { status, tail: tail.bytes }),
        Watched::TooLong => Err(ProgramError::TimeLimit(tail.bytes)),
        Watched::Unwanted => Err(ProgramError::Cancelled),
    }
}

/// Runs a command to its end; anything but status 0 is an error.
pub fn run_command(command: &Command<'_>) -> Result<(), ProgramError> {
    let argv: Vec<OsString> = command.program.argv().into_iter().map(OsString::from).collect();
    let environment = command.environment.iter().chain(command.program.values());
    let environment = environment.map(|(n, v)| (n.into(), v.into())).collect();
    let deadline = Instant::now() + command.limit;
    let job = Job { argv: &argv, environment, directory: command.directory, deadline };
    let ended = run(&job, &|| true)?;
    if ended.status.success() {
        return Ok(());
    }
    Err(ProgramError::Failed { status: ended.status, tail: ended.tail })
}

/// A status as the files library judges it.
pub fn ended(status: ExitStatus) -> crate::files::external::Ended {
    use crate::files::external::Ended;
    match status.signal() {
        Some(signal) => Ended::Signal(signal),
        None => Ended::Status(status.code().unwrap_or(-1)),
    }
}

/// A file without a name that holds `bytes`: a program may read it or not, and nobody waits for either.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("plush-question", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

enum Watched {
    Ended,
    TooLong,
    Unwanted,
}

/// Reads what the program prints until it ends. What its own children print later is not waited for.
fn watch(
    child: &mut Child,
    reader: &mut File,
    tail: &mut Tail,
    deadline: Instant,
    is_wanted: &dyn Fn() -> bool,
) -> io::Result<Watched> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a pid");
    let end = pidfd_open(pid, PidfdFlags::empty())?;
    let mut open = true;
    loop {
        if Instant::now() >= deadline {
            return Ok(Watched::TooLong);
        }
        if !is_wanted() {
            return Ok(Watched::Unwanted);
        }
        let wait = LOOK.min(deadline.saturating_duration_since(Instant::now()));
        let wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        let mut fds = vec![PollFd::new(&end, PollFlags::IN)];
        if open {
            fds.push(PollFd::new(&*reader, PollFlags::IN));
        }
        match poll(&mut fds, Some(&wait)) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let (has_ended, has_printed) =
            (!fds[0].revents().is_empty(), fds.get(1).is_some_and(|fd| !fd.revents().is_empty()));
        if has_printed {
            open = tail.read(reader)?;
        } else if has_ended {
            return Ok(Watched::Ended);
        }
    }
}

struct Tail {
    bytes: Vec<u8>,
    keep_bytes: usize,
}

impl Tail {
    /// Whether more may come.
    fn read(&mut self, reader: &mut File) -> io::Result<bool> {
        let mut buffer = [0; TAIL_BYTES];
        let count = reader.read(&mut buffer)?;
        self.bytes.extend_from_slice(&buffer[..count]);
        let surplus = self.bytes.len().saturating_sub(self.keep_bytes);
        self.bytes.drain(..surplus);
        Ok(count > 0)
    }
}

fn says(tail: &[u8]) -> String {
    let text = String::from_utf8_lossy(tail);
    match text.trim() {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(text: &str, limit: Duration) -> Result<(), ProgramError> {
        let environment = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
        let program = Program::line(text);
        let (directory, environment) = (Path::new("/"), &environment);
        run_command(&Command { program: &program, directory, environment, limit })
    }

    #[test]
    fn the_end_of_what_a_failed_program_printed_is_told() {
        let error = line("echo some words; exit 3", Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.to_string(), "it ended with exit status: 3: some words");
    }

    #[test]
    fn a_program_that_runs_too_long_is_killed_with_its_children() {
        let begun = Instant::now();
        let error = line("sleep 77 & sleep 77", Duration::from_millis(100)).unwrap_err();
        assert!(matches!(error, ProgramError::TimeLimit(_)));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_program_that_is_asked_reads_the_question_and_only_its_output_is_the_answer() {
        let argv = ["/bin/sh", "-c", "read line; echo noise >&2; echo \"got $line\""];
        let argv = argv.map(OsString::from);
        let job = Job {
            argv: &argv,
            environment: Vec::new(),
            directory: Path::new("/"),
            deadline: Instant::now() + Duration::from_secs(10),
        };
        let ended = answer(&job, b"a question\n", 100, &|| true).unwrap();
        assert_eq!(ended.tail, b"got a question\n");
    }

    #[test]
    fn a_child_that_goes_on_is_not_waited_for() {
        let begun = Instant::now();
        line("sleep 3 & true", Duration::from_secs(10)).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}
