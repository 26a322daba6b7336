//! `plush attach`: watches a run again.
//! Not a second controller: any number of front ends may watch one run.

use super::run_candidates;
use crate::ending;
use crate::exit::ExitCode;
use crate::feed::Beginning;
use crate::handle::Handle;
use crate::interrupts::{Patience, Role};
use crate::invocation::{Invocation, Results};
use crate::render::live::{Label, Live};
use crate::runs::{self, Run};
use crate::settings::Key;
use crate::trouble::Trouble;
use crate::watch::{self, Ended, Manner, Presses, Show};
use clap::Args;
use clap_complete::ArgValueCandidates;
use std::io::{self, IsTerminal};

/// The arguments of `plush attach`; `plush resume` has them too.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The run: an id, the beginning of one, `last`, or a run directory
    #[arg(value_name = "RUN", add = ArgValueCandidates::new(run_candidates))]
    pub run: String,
    #[command(flatten)]
    pub watching: Watching,
    /// Judge the exit code as if all hosts that are wanted were needed
    #[arg(long)]
    strict: bool,
}

const EXAMPLES: &str = "\
Examples:
  plush attach last
  plush attach gossip --label process
  plush attach last --events | jq .

SIGTERM ends this command with code 130, and the run goes on. The exit code is the run's else, as of `plush run`.";

/// How a run is watched, by `run` and `attach`.
#[derive(Debug, Args)]
pub struct Watching {
    /// What stands before each line of output
    #[arg(long, value_name = "WHAT", default_value = "host")]
    label: Label,
    /// The first Ctrl-C stops the run in order; so it is where there is no terminal
    #[arg(long)]
    batch: bool,
}

impl Arguments {
    /// The settings among these flags.
    pub fn settings(&self) -> Vec<(Key, Option<String>)> {
        vec![(Key::Strict, self.strict.then(|| "true".to_owned()))]
    }
}

impl Watching {
    /// Watches until the run is over or the operator leaves; shows output from `beginning` on.
    pub async fn watch(
        &self,
        role: Role,
        presses: Presses,
        handle: Handle,
        run: &Run,
        beginning: Beginning,
        invocation: &Invocation,
    ) -> Result<Ended, Trouble> {
        let show = match invocation.results {
            Results::Text => Show::Lines(Live {
                label: self.label,
                out: invocation.paint_out(),
                err: invocation.paint_err(),
            }),
            Results::Events => Show::Events,
            Results::Document => Show::Nothing,
        };
        let somebody = io::stdin().is_terminal() && io::stderr().is_terminal();
        let patience =
            if self.batch || !somebody { Patience::Batch } else { Patience::Interactive };
        let manner = Manner { show, progress: invocation.progress, patience, role };
        let ended = watch::watch(presses, handle, manner, run, beginning).await;
        ended.map_err(|error| cannot_watch(run, &error))
    }
}

/// Starts to listen for interrupts, before the command needs a controller.
pub fn listen(run: &Run) -> Result<Presses, Trouble> {
    Presses::listen().map_err(|error| cannot_watch(run, &error))
}

/// The error of a command that cannot watch a run.
pub fn cannot_watch(run: &Run, error: &io::Error) -> Trouble {
    Trouble::new(ExitCode::Internal, format!("cannot watch run {}", run.id)).caused_by(error)
}

/// Watches; the exit code is the run's.
pub async fn attach(arguments: Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let run = runs::find(&arguments.run, &invocation.settings.runs_dir)?;
    let beginning = Beginning::now(&run.directory);
    match Handle::connect(&run.directory).await {
        Ok(handle) => {
            let presses = listen(&run)?;
            let watching = arguments.watching;
            let ended =
                watching.watch(Role::Watcher, presses, handle, &run, beginning, invocation).await?;
            ending::conclude(ended, &run, invocation)
        }
        Err(error) => over_already(&run, &error, invocation),
    }
}

/// What is left to show of a run whose controller does not answer.
pub fn over_already(
    run: &Run,
    error: &io::Error,
    invocation: &Invocation,
) -> Result<ExitCode, Trouble> {
    let view = run.last_view()?;
    match view.outcome.clone() {
        Some(outcome) => ending::over(&outcome, &view, run, invocation),
        None => Err(Trouble::new(ExitCode::Internal, format!("cannot attach to run {}", run.id))
            .because(format!("its controller does not answer ({error}), and the run is not over"))
            .next(format!(
                "`plush resume {}` starts a new one, which goes on where the old one was; see also {}",
                run.id,
                run.log().display()
            ))),
    }
}
