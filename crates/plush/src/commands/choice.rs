//! What `run` and `plan` are both told: the description, the hosts, the variables.
//! Not how the run is watched.

use crate::front::RunOptions;
use crate::host_arguments;
use crate::invocation::Invocation;
use crate::settings::{Key, StopAfter};
use crate::trouble::Trouble;
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// The description and what is changed about it.
#[derive(Debug, Args)]
pub struct Choice {
    /// The description, XML or YAML
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// These hosts instead of the description's: a set, `-` for standard input, `^FILE` for a file; those that
    /// it does not name are reached by SSH
    #[arg(short = 'w', long = "hosts", value_name = "SET")]
    pub hosts: Vec<String>,
    /// Leave these hosts out; each must be one of the description's or of -w
    #[arg(short = 'x', long = "exclude", value_name = "SET")]
    pub exclude: Vec<String>,
    /// Give a variable of the description a value
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    pub variables: Vec<(String, String)>,
    /// The application to run, where the description has several [default: the first]
    #[arg(long, value_name = "NAME")]
    pub application: Option<String>,
    /// Call the run so; otherwise the project's name and the time do
    #[arg(long, value_name = "NAME", value_parser = run_name)]
    pub name: Option<String>,
    /// The SSH configuration to use instead of ~/.ssh/config
    #[arg(short = 'F', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ssh_config: Option<PathBuf>,
    /// Judge the exit code as if all hosts that are wanted were needed
    #[arg(long)]
    pub strict: bool,
    /// What stays on the hosts afterwards: nothing, cache (packages and the agent), all
    #[arg(long, value_name = "WHAT", value_parser = ["nothing", "cache", "all"])]
    pub keep: Option<String>,
    /// Tasks stop so long after they have lost their controller, or `never`
    #[arg(long, value_name = "DURATION")]
    pub stop_after: Option<String>,
}

impl Choice {
    /// The settings among these flags.
    pub fn settings(&self) -> Vec<(Key, Option<String>)> {
        vec![
            (
                Key::SshConfig,
                self.ssh_config.as_ref().map(|path| path.to_string_lossy().into_owned()),
            ),
            (Key::Strict, self.strict.then(|| "true".to_owned())),
            (Key::Keep, self.keep.clone()),
            (Key::StopAfter, self.stop_after.clone()),
        ]
    }

    /// What the planner is told.
    pub fn options(&self, invocation: &Invocation) -> Result<RunOptions, Trouble> {
        let settings = &invocation.settings;
        Ok(RunOptions {
            runs_directory: absolute(&settings.runs_dir)?,
            hosts: host_arguments::texts(&self.hosts)?,
            exclude: host_arguments::texts(&self.exclude)?,
            keep: settings.keep,
            ssh_config: settings.ssh_config_file()?,
            stop_after_ms: settings.stop_after.map(|stop_after| match stop_after {
                StopAfter::Ms(ms) => Some(ms),
                StopAfter::Never => None,
            }),
            name: self.name.clone(),
        })
    }
}

/// The controller works elsewhere: it needs whole paths.
fn absolute(path: &std::path::Path) -> Result<PathBuf, Trouble> {
    std::path::absolute(path).map_err(|error| {
        Trouble::usage(format!("cannot use the path {}", path.display())).caused_by(&error)
    })
}

/// Reads `NAME=VALUE`.
pub fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".into()),
    }
}

/// The name becomes a folder's, and hosts see it.
fn run_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    match starts_well && text.chars().all(plain) && text.len() <= NAME_MAX && text != "last" {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a run's name has letters, digits, `-`, `_` and `.`, begins with a letter or digit, is no longer than {NAME_MAX}, and is not `last`"
        )),
    }
}

/// Longest name of a run that somebody gives.
const NAME_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_the_folder_of_runs() {
        for bad in ["", "..", ".x", "a/b", "-x", "a b", "last", "a\u{1b}"] {
            assert!(run_name(bad).is_err(), "{bad}");
        }
        assert_eq!(run_name("try-2.b"), Ok("try-2.b".to_owned()));
    }
}
