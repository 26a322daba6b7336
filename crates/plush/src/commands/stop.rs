//! `plush stop`: asks a run's controller to stop in order, and waits until it has.
//! Not a kill: processes are ended, results collected, hosts cleaned.

use super::attach::cannot_watch;
use super::run_candidates;
use crate::duration;
use crate::ending;
use crate::exit::ExitCode;
use crate::feed::Beginning;
use crate::handle::Handle;
use crate::interrupts::{Patience, Role};
use crate::invocation::{Invocation, tell};
use crate::runs::{self, Run};
use crate::trouble::Trouble;
use crate::watch::{self, Ended, Manner, Presses, Show};
use clap::Args;
use clap_complete::ArgValueCandidates;
use plush_protocol::operator::OperatorRequest;
use std::io;
use std::time::Duration;

/// The arguments of `plush stop`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The run: an id, the beginning of one, `last`, or a run directory
    #[arg(value_name = "RUN", add = ArgValueCandidates::new(run_candidates))]
    run: String,
    /// Ask, and do not wait
    #[arg(long, conflicts_with = "timeout")]
    no_wait: bool,
    /// Wait no longer than this; the exit code is then 124
    #[arg(long, value_name = "DURATION", value_parser = duration::read_ms)]
    timeout: Option<u64>,
    /// For the record: why
    #[arg(long, value_name = "TEXT", default_value = "the operator asked (plush stop)")]
    why: String,
}

const EXAMPLES: &str = "\
Examples:
  plush stop last
  plush stop gossip --timeout '2 min'
  plush stop gossip --no-wait --why 'the link is needed'";

/// Stops; 0 once the run is over, however it ended.
pub async fn stop(arguments: Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let run = runs::find(&arguments.run, &invocation.settings.runs_dir)?;
    let mut handle = match Handle::connect(&run.directory).await {
        Ok(handle) => handle,
        Err(error) => return unreachable(&run, &error),
    };
    let request = OperatorRequest::Stop { why: arguments.why };
    handle.ask(&request).await.map_err(|error| cannot_stop(&run, &error))?;
    if arguments.no_wait {
        return taken(handle, &run).await;
    }
    let manner = Manner {
        show: Show::Nothing,
        progress: invocation.progress,
        patience: Patience::Interactive,
        role: Role::Watcher,
    };
    let presses = Presses::listen().map_err(|error| cannot_watch(&run, &error))?;
    let watched = watch::watch(presses, handle, manner, &run, Beginning::all());
    let limit = Duration::from_millis(arguments.timeout.unwrap_or(u64::MAX));
    let ended = match tokio::time::timeout(limit, watched).await {
        Ok(ended) => ended.map_err(|error| cannot_stop(&run, &error))?,
        Err(_) => return Err(too_slow(&run)),
    };
    match ended {
        Ended::Over { .. } => ending::conclude(ended, &run, invocation).map(|_| ExitCode::Done),
        Ended::Left | Ended::Lost { .. } => ending::conclude(ended, &run, invocation),
    }
}

/// The request must be known to have arrived.
async fn taken(mut handle: Handle, run: &Run) -> Result<ExitCode, Trouble> {
    match handle.next().await {
        Some(Ok(_)) => Ok(ExitCode::Done),
        Some(Err(error)) => Err(cannot_stop(run, &error)),
        None => Err(cannot_stop(run, &io::ErrorKind::UnexpectedEof.into())),
    }
}

fn unreachable(run: &Run, error: &io::Error) -> Result<ExitCode, Trouble> {
    if run.last_view().is_ok_and(|view| view.outcome.is_some()) {
        tell(&format!("plush: run {} is over already\n", run.id));
        return Ok(ExitCode::Done);
    }
    let id = &run.id;
    Err(cannot_stop(run, error).next(format!(
        "`plush resume {id} --detach && plush stop {id}`; until then tasks go on for as long as their leases last"
    )))
}

fn cannot_stop(run: &Run, error: &io::Error) -> Trouble {
    Trouble::new(ExitCode::Internal, format!("cannot stop run {}", run.id))
        .because(format!("its controller does not answer: {error}"))
}

fn too_slow(run: &Run) -> Trouble {
    Trouble::new(ExitCode::TimedOut, format!("run {} has not ended within the time limit", run.id))
        .because("it was asked to and goes on stopping")
        .next(format!("`plush status {}` shows who is waited for", run.id))
}
