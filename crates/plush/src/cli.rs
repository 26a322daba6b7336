//! The command line: every command and the flags that all of them share.
//! Not what the commands do: `commands/` has a file for each.

use crate::commands::{
    attach, barriers, check, completions, config, controller, convert, doctor, hosts, logs, man,
    park, plan, rehearse, report, resume, run, runs, status, stop, trust,
};
use crate::settings::Key;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// Run a distributed application on machines that you can reach with SSH.
///
/// You describe the application once; Plush finds the machines, puts the software on them, starts everything together,
/// watches it, brings the results home and leaves nothing behind.
#[derive(Debug, Parser)]
#[command(name = "plush", version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What all commands take.
    #[command(flatten)]
    pub globals: Globals,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  plush check app.yaml                 say what is wrong with a description
  plush plan app.yaml                  show what a run would do, and do nothing
  plush rehearse app.yaml              play it with imaginary hosts that fail as real ones do
  plush run app.yaml                   run it and watch
  plush run app.yaml --detach          run it and leave
  plush attach last                    watch the newest run
  plush logs last --fold               its output, equal output of many hosts once

`plush NAME ...` runs the program plush-NAME, if there is one beside this program or on PATH (`plush lab up 20`).";

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Globals {
    /// When to colour
    #[arg(long, global = true, value_name = "WHEN")]
    pub color: Option<ColorWhen>,
    /// Say less: no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice, still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// One JSON document on standard output, instead of text
    #[arg(long, global = true, conflicts_with = "events")]
    pub json: bool,
    /// A stream of JSON objects on standard output, one per line, where something is watched
    #[arg(long, global = true)]
    pub events: bool,
    /// The folder that holds a folder per run [default: $XDG_STATE_HOME/plush/runs]
    #[arg(long, global = true, value_name = "DIR")]
    pub runs_dir: Option<PathBuf>,
}

/// When to colour.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ColorWhen {
    /// On terminals, unless NO_COLOR is set
    Auto,
    /// Even into files
    Always,
    /// Not at all
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an application: plan, prepare, start together, watch, collect, clean up
    Run(run::Arguments),
    /// Show what a run would do, and do nothing
    Plan(plan::Arguments),
    /// Play a run with imaginary hosts: when barriers would open, how many hosts would be replaced, how long it would take
    Rehearse(rehearse::Arguments),
    /// Say everything that is wrong with descriptions
    Check(check::Arguments),
    /// Turn a description from XML into YAML or back
    Convert(convert::Arguments),
    /// Show where a run is
    Status(status::Arguments),
    /// Watch a run again
    Attach(attach::Arguments),
    /// Go on with a run whose controller is gone
    Resume(resume::Arguments),
    /// End a run's controller and nothing else: its state is written down, tasks go on
    Park(park::Arguments),
    /// Stop a run in order: end processes, collect, clean up
    Stop(stop::Arguments),
    /// List the runs
    Runs(runs::Arguments),
    /// Say which descriptions may run programs on this machine
    Trust(trust::Arguments),
    /// Show the output of a run's tasks
    Logs(logs::Arguments),
    /// Show the barriers of a run: who has come, who is missing, which opened and why
    Barriers(barriers::Arguments),
    /// Draw what a run did: timeline, completion curves, waits, rates
    Report(report::Arguments),
    /// Try the way to hosts, stage by stage
    Doctor(doctor::Arguments),
    /// Fold, expand and count sets of hosts
    #[command(subcommand)]
    Hosts(hosts::Operation),
    /// Print what a shell needs to complete this program's commands, files and runs
    Completions(completions::Arguments),
    /// Write the manual pages into a folder
    Man(man::Arguments),
    /// Show the settings
    Config(config::Arguments),
    /// Be the controller of a run (started by `run`)
    #[command(hide = true)]
    Controller(controller::Arguments),
    /// A program `plush-NAME`
    #[command(external_subcommand)]
    External(Vec<OsString>),
}

impl Cli {
    /// The settings that the command line gives.
    pub fn settings(&self) -> BTreeMap<Key, String> {
        let path =
            |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let color = self
            .globals
            .color
            .and_then(|when| when.to_possible_value())
            .map(|value| value.get_name().to_owned());
        let mut flags = match &self.command {
            Command::Run(arguments) => arguments.settings(),
            Command::Plan(arguments) => arguments.choice.settings(),
            Command::Doctor(arguments) => arguments.settings(),
            Command::Attach(arguments) => arguments.settings(),
            Command::Resume(arguments) => arguments.settings(),
            Command::Rehearse(_)
            | Command::Check(_)
            | Command::Convert(_)
            | Command::Status(_)
            | Command::Park(_)
            | Command::Stop(_)
            | Command::Runs(_)
            | Command::Logs(_)
            | Command::Barriers(_)
            | Command::Report(_)
            | Command::Trust(_)
            | Command::Hosts(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Config(_)
            | Command::Controller(_)
            | Command::External(_) => Vec::new(),
        };
        flags.push((Key::Color, color));
        flags.push((Key::RunsDir, path(&self.globals.runs_dir)));
        flags.into_iter().filter_map(|(key, text)| Some((key, text?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_for_people_has_examples() {
        let command = Cli::command();
        for sub in
            command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
        {
            let after = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Examples:"), "plush {} --help has no examples", sub.get_name());
        }
    }

    #[test]
    fn the_guide_has_every_command() {
        let guide = include_str!("../../../docs/src/commands.md");
        let command = Cli::command();
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let row = format!("| `plush {}", sub.get_name());
            assert!(
                guide.contains(&row),
                "docs/src/commands.md has no row for `{}`",
                sub.get_name()
            );
        }
    }

    #[test]
    fn the_guide_has_every_setting() {
        let guide = include_str!("../../../docs/src/configuration.md");
        for key in Key::ALL {
            let row = format!("| `{}` |", key.name());
            let line = guide.lines().find(|line| line.starts_with(&row));
            assert!(line.is_some_and(|line| line.contains(&key.variable())), "{}", key.name());
        }
    }
}
