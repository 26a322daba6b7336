//! How many files this process may open: as many as the system allows it, while the programs that it starts may open
//! as many as the user came with.
//! Not the limits of tasks: their agents set those.

use rustix::fs::{Access, access};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The soft limit that the user came with, where it was raised.
static USERS: OnceLock<Option<u64>> = OnceLock::new();

/// Raises the soft limit to the hard one. A run of 600 hosts is beyond the 1024 files that every login has.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let is_less = match (limit.current, limit.maximum) {
        (Some(current), Some(maximum)) => current < maximum,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let raised = is_less && set(limit.maximum, limit.maximum);
    // The first call knows what the user came with.
    USERS.get_or_init(|| limit.current.filter(|_| raised));
}

/// The soft limit that the programs of this process are to have, where it is another than its own.
pub(crate) fn of_the_user() -> Option<u64> {
    USERS.get().copied().flatten()
}

/// Does something with the limit that the user came with, such as starting a program that raises its own. Not for a
/// process that may have more files open by then.
pub fn as_the_user<T>(work: impl FnOnce() -> T) -> T {
    let Some(users) = of_the_user() else { return work() };
    let limit = getrlimit(Resource::Nofile);
    set(Some(users), limit.maximum);
    let done = work();
    set(limit.current, limit.maximum);
    done
}

/// A limit that cannot be set is one that is lived with.
fn set(current: Option<u64>, maximum: Option<u64>) -> bool {
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok()
}

/// A program that is given the limit that the user came with. Nothing may be changed between a fork and what it
/// executes without unsafe code, so it goes through a shell that changes the limit and becomes the program.
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

/// The shell would say of a program that is not there what only people can read.
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
        // A child of this test: limits are those of a whole process.
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
