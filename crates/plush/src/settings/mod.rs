//! Settings: the command line, then PLUSH_* variables, the project's `plush.toml`, the user's file, the machine's file, the defaults.
//! Not the reading of files (`layers`), and not what a single command alone takes as flags.

mod key;
mod layers;

pub use key::Key;
pub use layers::user_directory;

use crate::colour::Choice;
use crate::duration;
use crate::front::Keep;
use crate::trouble::Trouble;
use plush_protocol::view::Measure;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Every setting, typed, with where it came from.
#[derive(Debug)]
pub struct Settings {
    /// Colour.
    pub color: Choice,
    /// The folder that holds a folder per run.
    pub runs_dir: PathBuf,
    /// The SSH configuration instead of the user's own.
    pub ssh_config: Option<PathBuf>,
    /// What stays on the hosts after a run.
    pub keep: Keep,
    /// What missing hosts mean for the exit code.
    pub measure: Measure,
    /// When tasks stop that have lost their controller; absent: as the description says.
    pub stop_after: Option<StopAfter>,
    /// Whether a run on remote hosts is confirmed on a terminal.
    pub confirm: Confirm,
    values: BTreeMap<Key, Sourced>,
}

/// The lease that `stop_after` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAfter {
    /// Tasks outlive their controller for so long.
    Ms(u64),
    /// Tasks outlive their controller for ever.
    Never,
}

/// Whether somebody is asked before remote hosts are touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// On a terminal, when hosts other than this machine take part.
    Ask,
    /// Never.
    Never,
}

/// A value as it was written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced {
    /// As written.
    pub text: String,
    /// Where.
    pub origin: Origin,
}

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    CommandLine,
    /// A variable of the environment.
    Environment(String),
    /// A file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl Settings {
    /// The settings of this process. `flags` are those that the command line gave.
    pub fn load(flags: BTreeMap<Key, String>) -> Result<Settings, Trouble> {
        let flags = flags
            .into_iter()
            .map(|(key, text)| (key, Sourced { text, origin: Origin::CommandLine }));
        Settings::settle(vec![
            flags.collect(),
            layers::of_environment(|name| std::env::var(name).ok()),
            layers::of_project()?,
            layers::of_user()?,
            layers::of_machine()?,
            layers::defaults(),
        ])
    }

    /// The SSH configuration that replaces the default files, as an absolute path.
    ///
    /// # Errors
    /// The file does not exist or cannot be read. `none` is not a file, as for `ssh`.
    pub fn ssh_config_file(&self) -> Result<Option<PathBuf>, Trouble> {
        let Some(path) = &self.ssh_config else { return Ok(None) };
        if path.as_path() == Path::new("none") {
            return Ok(Some(path.clone()));
        }
        let refused = || {
            Trouble::usage(format!("cannot use the SSH configuration {}", path.display()))
                .next("name another file with -F")
        };
        let file = std::fs::File::open(path).and_then(|file| file.metadata());
        let meta = file.map_err(|error| refused().caused_by(&error))?;
        if !meta.is_file() && path.as_path() != Path::new("/dev/null") {
            return Err(refused().because("it is not a regular file"));
        }
        std::path::absolute(path).map(Some).map_err(|error| refused().caused_by(&error))
    }

    /// The most important layer comes first.
    fn settle(layers: Vec<BTreeMap<Key, Sourced>>) -> Result<Settings, Trouble> {
        let values: BTreeMap<Key, Sourced> = layers.into_iter().rev().flatten().collect();
        let of = |key: Key| values.get(&key).map_or("", |sourced| sourced.text.as_str());
        let parsed = |key, wanted| refuse(&values, key, wanted);
        Ok(Settings {
            color: match of(Key::Color) {
                "auto" => Choice::Auto,
                "always" => Choice::Always,
                "never" => Choice::Never,
                _ => return Err(parsed(Key::Color, "one of auto, always, never")),
            },
            runs_dir: PathBuf::from(of(Key::RunsDir)),
            ssh_config: Some(of(Key::SshConfig)).filter(|text| !text.is_empty()).map(PathBuf::from),
            keep: match of(Key::Keep) {
                "nothing" => Keep::Nothing,
                "cache" => Keep::Cache,
                "all" => Keep::All,
                _ => return Err(parsed(Key::Keep, "one of nothing, cache, all")),
            },
            measure: match of(Key::Strict) {
                "true" | "1" | "yes" => Measure::Wanted,
                "false" | "0" | "no" => Measure::Description,
                _ => return Err(parsed(Key::Strict, "true or false")),
            },
            stop_after: match of(Key::StopAfter) {
                "" => None,
                "never" => Some(StopAfter::Never),
                text => Some(StopAfter::Ms(duration::read_ms(text).map_err(|_| {
                    parsed(Key::StopAfter, "a duration such as `2 min`, or never")
                })?)),
            },
            confirm: match of(Key::Confirm) {
                "ask" => Confirm::Ask,
                "never" => Confirm::Never,
                _ => return Err(parsed(Key::Confirm, "one of ask, never")),
            },
            values,
        })
    }

    /// Every key with its value and origin.
    pub fn rows(&self) -> impl Iterator<Item = (Key, &Sourced)> {
        self.values.iter().map(|(key, sourced)| (*key, sourced))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::CommandLine => f.write_str("the command line"),
            Origin::Environment(name) => write!(f, "the environment ({name})"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Default => f.write_str("the defaults"),
        }
    }
}

fn refuse(values: &BTreeMap<Key, Sourced>, key: Key, wanted: &str) -> Trouble {
    let (text, origin) =
        values.get(&key).map_or(("", &Origin::Default), |sourced| (&sourced.text, &sourced.origin));
    Trouble::usage(format!("the setting `{}` from {origin} is `{text}`", key.name()))
        .because(format!("it must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(origin: Origin, entries: &[(Key, &str)]) -> BTreeMap<Key, Sourced> {
        let sourced = |text: &str| Sourced { text: text.into(), origin: origin.clone() };
        entries.iter().map(|(key, text)| (*key, sourced(text))).collect()
    }

    #[test]
    fn the_more_important_layer_wins_and_is_named() {
        let settings = Settings::settle(vec![
            layer(Origin::CommandLine, &[(Key::Keep, "all")]),
            layer(
                Origin::Environment("PLUSH_KEEP".into()),
                &[(Key::Keep, "cache"), (Key::Strict, "1")],
            ),
            layers::defaults(),
        ])
        .expect("the layers are valid");
        assert_eq!(settings.keep, Keep::All);
        assert_eq!(settings.measure, Measure::Wanted);
        assert_eq!(settings.values[&Key::Keep].origin, Origin::CommandLine);
        assert_eq!(settings.values[&Key::Color].origin, Origin::Default);
    }

    #[test]
    fn a_bad_value_is_refused_with_its_origin() {
        let layers = vec![
            layer(Origin::Environment("PLUSH_STOP_AFTER".into()), &[(Key::StopAfter, "soon")]),
            layers::defaults(),
        ];
        let trouble = Settings::settle(layers).expect_err("`soon` is no duration").to_string();
        assert!(
            trouble.contains("`stop_after` from the environment (PLUSH_STOP_AFTER) is `soon`"),
            "{trouble}"
        );
    }
}
