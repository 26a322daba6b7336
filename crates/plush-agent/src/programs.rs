//! Outside programs that the agent runs to their end: scripts, clean-up lines, git, rsync, scp.
//! Not tasks: those have keepers and outlive the agent.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// So much of what a program prints is kept, from the end.
pub const TAIL_BYTES: usize = 4 << 10;
/// How often a program that runs is asked about: whether it should still run.
const LOOK: Duration = Duration::from_millis(200);

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

/// A line for `/bin/sh -c`.
pub struct Line<'a> {
    /// The line.
    pub text: &'a str,
    /// Where it runs.
    pub directory: &'a Path,
    /// Its whole environment.
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

/// Runs a program to its end, unless its time is up or `is_wanted` says no; then its whole group is killed.
pub fn run(job: &Job<'_>, is_wanted: &dyn Fn() -> bool) -> Result<Ended, ProgramError> {
    let program = PathBuf::from(job.argv.first().cloned().unwrap_or_default());
    let failed = |source| ProgramError::System { program: program.clone(), source };
    let (reader, writer) = io::pipe().map_err(failed)?;
    let also = writer.try_clone().map_err(failed)?;
    let mut command = Command::new(&program);
    command
        .args(&job.argv[1..])
        .env_clear()
        .envs(job.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(job.directory)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(also)
        .process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    // It holds the write ends; they must close when the program does.
    drop(command);
    let mut tail = Tail::default();
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

/// Runs a line with the shell; anything but status 0 is an error.
pub fn run_line(line: &Line<'_>) -> Result<(), ProgramError> {
    let argv = ["/bin/sh", "-c", line.text].map(OsString::from);
    let environment = line.environment.iter().map(|(n, v)| (n.into(), v.into())).collect();
    let deadline = Instant::now() + line.limit;
    let job = Job { argv: &argv, environment, directory: line.directory, deadline };
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

#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    /// Whether more may come.
    fn read(&mut self, reader: &mut File) -> io::Result<bool> {
        let mut buffer = [0; TAIL_BYTES];
        let count = reader.read(&mut buffer)?;
        self.bytes.extend_from_slice(&buffer[..count]);
        let surplus = self.bytes.len().saturating_sub(TAIL_BYTES);
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
        run_line(&Line { text, directory: Path::new("/"), environment: &environment, limit })
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
    fn a_child_that_goes_on_is_not_waited_for() {
        let begun = Instant::now();
        line("sleep 3 & true", Duration::from_secs(10)).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}
