//! `plush NAME ...` where NAME is none of ours: the program `plush-NAME` takes over.
//! Not a shell: the arguments are handed on as they are.

use crate::cli::Cli;
use crate::exit::ExitCode;
use crate::trouble::Trouble;
use clap::CommandFactory;
use plush_controller::open_files;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Becomes that program; comes back only with trouble.
pub fn external(words: &[OsString]) -> Result<ExitCode, Trouble> {
    let (name, arguments) =
        words.split_first().ok_or_else(|| Trouble::usage("there is no command"))?;
    let program = find(name).ok_or_else(|| unknown(&name.to_string_lossy()))?;
    let error = open_files::as_the_user(|| Command::new(&program).args(arguments).exec());
    Err(Trouble::new(ExitCode::Internal, format!("cannot run {}", program.display()))
        .caused_by(&error))
}

/// Beside this program first, then on PATH.
fn find(name: &OsStr) -> Option<PathBuf> {
    let name = name
        .to_str()
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)))?;
    let file = format!("plush-{name}");
    let beside = env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    let path = env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(env::split_paths(&path))
        .map(|folder| folder.join(&file))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.is_absolute()
        && path
            .metadata()
            .is_ok_and(|status| status.is_file() && status.permissions().mode() & 0o111 != 0)
}

fn unknown(name: &str) -> Trouble {
    let trouble = Trouble::usage(format!("there is no command `{name}`"))
        .because(format!("no program plush-{name} lies beside this program or on PATH either"));
    let known: Vec<String> = Cli::command()
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .map(|sub| sub.get_name().to_owned())
        .collect();
    match plush_spec::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => trouble.next(format!("did you mean `plush {near}`?")),
        None => trouble.next("`plush --help` lists the commands"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_is_close_to_what_was_written() {
        assert!(unknown("stauts").to_string().contains("`plush status`"));
        for word in ["rm", "ps", "up", "cp", "ls", "exec"] {
            let said = unknown(word).to_string();
            assert!(!said.contains("did you mean"), "{said}");
        }
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_no_command() {
        assert_eq!(find(OsStr::new("../../bin/sh")), None);
    }
}
