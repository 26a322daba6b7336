//! `plush run`: plans, creates the run directory, starts the controller, watches it.
//! Not the run: the controller is a process of its own and outlives this one.

use super::attach::{self, Watching};
use super::choice::Choice;
use super::trust;
use crate::ending;
use crate::exit::ExitCode;
use crate::feed;
use crate::front::{self, Beginning, PlanView, Takeover};
use crate::interrupts::Role;
use crate::invocation::{Invocation, Results, print, print_json, tell};
use crate::language;
use crate::launch;
use crate::render::{plan, text};
use crate::runs::Run;
use crate::settings::{Confirm, Key};
use crate::trouble::Trouble;
use crate::watch::Progress;
use clap::{Args, ValueHint};
use plush_controller::arrivals;
use serde_json::json;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// The arguments of `plush run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", ExitCode::help()))]
pub struct Arguments {
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    watching: Watching,
    /// Start the run, print its id and leave
    #[arg(short, long, conflicts_with_all = ["events", "outdir", "batch"])]
    detach: bool,
    /// Copy outputs and results into this folder at the end
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    outdir: Option<PathBuf>,
    /// Do not ask before remote hosts are touched
    #[arg(short, long)]
    yes: bool,
    /// Let the description's callbacks run on this machine, this once
    #[arg(long)]
    trust: bool,
}

const EXAMPLES: &str = "\
Examples:
  plush run examples/hello.yaml
  plush run app.yaml -w 'node[01-20]!node07' --set seconds=30
  plush run app.xml --detach && plush attach last
  plush run app.yaml --json > run.json
  plush run app.yaml --batch --strict --outdir here -y     in a script

Ctrl-C shows who is still going; a second one within 5 s stops the run in order, SIGTERM does so at once;
a third one leaves the run to itself. Closing the terminal leaves it too: the run goes on, `plush attach` watches it again.
Everything stays in the run directory: the description, the journal, the output of each task, the results.";

impl Arguments {
    /// The settings among these flags.
    pub fn settings(&self) -> Vec<(Key, Option<String>)> {
        let mut flags = self.choice.settings();
        flags.push((Key::Confirm, self.yes.then(|| "never".to_owned())));
        flags
    }
}

/// Runs; the exit code is the run's.
pub async fn run(arguments: Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let options = arguments.choice.options(invocation)?;
    let description = language::read(&arguments.choice.file)?;
    let planned = front::plan(&description, &arguments.choice, &options, invocation)?;
    trust::demand(&planned.digest(), &planned.view(), arguments.trust)?;
    confirm(&planned.view(), invocation)?;
    let run = front::create(&planned, &options)?;
    if arguments.detach {
        launch::launch(&run, Beginning::AtOnce, Takeover::Refused).await?;
        return detached(&run, invocation);
    }
    let presses = attach::listen(&run)?;
    let handle = launch::launch(&run, Beginning::WhenWatched, Takeover::Refused).await?;
    if invocation.progress == Progress::Shown {
        tell(&format!(
            "plush: run {} in {}\n",
            text::shown(&run.id),
            text::shown(&run.directory.to_string_lossy())
        ));
    }
    let watching = &arguments.watching;
    let shown = feed::Beginning::all();
    let ended = watching.watch(Role::Starter, presses, handle, &run, shown, invocation).await?;
    let code = ending::conclude(ended, &run, invocation)?;
    if let Some(outdir) = &arguments.outdir {
        copy_files(&run, outdir)?;
    }
    Ok(code)
}

/// Whoever leaves is told which run it is.
pub fn detached(run: &Run, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    match invocation.results {
        Results::Text => print(&format!("{}\n", text::shown(&run.id)))?,
        Results::Document | Results::Events => {
            print_json(&json!({ "version": 1, "run": run.id, "directory": run.directory }))?
        }
    }
    Ok(ExitCode::Done)
}

/// Asks where somebody is there to answer, naming the hosts.
fn confirm(planned: &PlanView, invocation: &Invocation) -> Result<(), Trouble> {
    let somebody = io::stdin().is_terminal() && io::stderr().is_terminal();
    if invocation.settings.confirm == Confirm::Never || !somebody {
        return Ok(());
    }
    let hosts = front::remote_hosts(planned);
    if hosts.is_empty() {
        return Ok(());
    }
    tell(&format!("{}Run on these hosts? [y/N] ", plan::hosts_in_brief(&hosts)));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    match answer.trim() {
        "y" | "Y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(Trouble::new(ExitCode::Stopped, "nothing was run")
            .next("-y runs without a question; `plush config` knows `confirm`")),
    }
}

fn copy_files(run: &Run, outdir: &Path) -> Result<(), Trouble> {
    let is_output = |path: &Path| !arrivals::is_index(path);
    let kinds: [(&str, IsWanted); 2] = [("output", is_output), ("results", |_| true)];
    for (name, is_wanted) in kinds {
        let from = run.directory.join(name);
        if from.is_dir() {
            copy_tree(&from, &outdir.join(name), is_wanted).map_err(|error| {
                Trouble::new(
                    ExitCode::Internal,
                    format!("cannot copy {} into {}", from.display(), outdir.display()),
                )
                .caused_by(&error)
                .next("the files are whole in the run directory")
            })?;
        }
    }
    Ok(())
}

/// Whether a file is copied.
type IsWanted = fn(&Path) -> bool;

/// Plain files and folders only: what came from a host makes no links.
fn copy_tree(from: &Path, to: &Path, is_wanted: IsWanted) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_tree(&entry.path(), &target, is_wanted)?;
        } else if kind.is_file() && is_wanted(&entry.path()) {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
