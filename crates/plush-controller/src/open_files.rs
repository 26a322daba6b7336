//! Limits on open files: the hard limit for this process, and the user's original soft limit for
//! the programs that it starts.
//! Not the limits of tasks: their agents set those.

use rustix::fs::{Access, access};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The user's original soft limit, where it was raised.
static USERS: OnceLock<Option<u64>> = OnceLock::new();

/// Raises the soft limit to the hard one. A run of 600 hosts exceeds the usual limit of 1024 files.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let is_less = match (limit.current, limit.maximum) {
        (Some(current), Some(maximum)) => current < maximum,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let raised = is_less && set(limit.maximum, limit.maximum);
    // Only the first call sees the user's original limit.
    USERS.get_or_init(|| limit.current.filter(|_| raised));
}

/// The soft limit for programs that this process starts, where it differs from its own.
pub(crate) fn of_the_user() -> Option<u64> {
    USERS.get().copied().flatten()
}

/// Runs a function under the user's original limit, for example to start a program that raises its
/// own. Not for a process that may already have more files open.
pub fn as_the_user<T>(work: impl FnOnce() -> T) -> T {
    let Some(users) = of_the_user() else { return work() };
    let limit = getrlimit(Resource::Nofile);
    set(Some(users), limit.maximum);
    let done = work();
    set(limit.current, limit.maximum);
    done
}

/// A limit that cannot be set is not an error.
fn set(current: Option<u64>, maximum: Option<u64>) -> bool {
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok()
}

/// Returns a command that runs a program with the user's original limit. Safe code cannot change
/// limits between fork and exec, so a shell changes the limit and then executes the program.
///
/// # Errors
/// There is no such program, or it may not be executed.
pub(crate) fn program(program: &Path) -> io::Result<Command> {
    let Some(users) = of_the_user() else { return Ok(Command::new(program)) };
    let found = located(program, std::env::var_os("PATH").as_deref())?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("ulimit -S -n {users}; exec \"$0\" \"$@\"")).arg(found);
    Ok(command)
}

/// The shell reports a missing program only as a message.
fn located(program: &Path, path: Option<&OsStr>) -> io::Result<PathBuf> {
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        access(program, Access::EXEC_OK)?;
        return Ok(program.to_owned());
    }
    let mut denied = None;
    for directory in std::env::split_paths(path.unwrap_or(OsStr::new("/usr/bin:/bin"))) {
        let candidate = directory.join(program);
        match access(&candidate, Access::EXEC_OK) {
            Ok(()) if candidate.is_file() => return Ok(candidate),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => denied = Some(error),
            Ok(()) | Err(_) => {}
        }
    }
    Err(denied.map_or(ErrorKind::NotFound.into(), io::Error::from))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named_as_such() {
        let kind =
            |name: &str| located(Path::new(name), Some(OsStr::new("/bin"))).unwrap_err().kind();
        assert_eq!(kind("no-such-program"), ErrorKind::NotFound);
        assert_eq!(kind("/no/such/program"), ErrorKind::NotFound);
        assert_eq!(kind("/etc/passwd"), ErrorKind::PermissionDenied);
        assert_eq!(
            located(Path::new("sh"), Some(OsStr::new("/bin"))).unwrap(),
            Path::new("/bin/sh")
        );
    }

    #[test]
    fn this_process_may_open_what_the_system_allows_and_its_programs_what_the_user_may() {
        // In a child of this test, since limits belong to a whole process.
        if std::env::var_os("PLUSH_TEST_LIMITS").is_none() {
            let this = std::env::current_exe().unwrap();
            let name = "open_files::tests::this_process_may_open_what_the_system_allows_and_its_programs_what_the_user_may";
            let shell = format!("ulimit -S -n 100; exec '{}' --exact {name}", this.display());
            let status =
                Command::new("/bin/sh").args(["-c", &shell]).env("PLUSH_TEST_LIMITS", "1").status();
            assert!(status.unwrap().success());
            return;
        }
        raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        let said = |mut command: Command| {
            let output = command.args(["-c", "ulimit -S -n; echo \"$0\""]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(said(program(Path::new("sh")).unwrap()).starts_with("100\n"));
        assert!(as_the_user(|| said(Command::new("sh"))).starts_with("100\n"));
        assert!(!said(Command::new("sh")).starts_with("100\n"));
    }
}
