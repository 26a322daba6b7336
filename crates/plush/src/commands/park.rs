//! `plush park`: has a run's controller write the state down and end; tasks go on.
//! Not the end of the run: `plush resume` goes on with it, also with another build of plush.

use super::run_candidates;
use crate::exit::ExitCode;
use crate::front;
use crate::handle::Handle;
use crate::invocation::{Invocation, tell};
use crate::runs::{self, Run};
use crate::trouble::Trouble;
use clap::Args;
use clap_complete::ArgValueCandidates;
use plush_protocol::operator::{OperatorReply, OperatorRequest};

/// The arguments of `plush park`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The run: an id, the beginning of one, `last`, or a run directory
    #[arg(value_name = "RUN", add = ArgValueCandidates::new(run_candidates))]
    run: String,
}

const EXAMPLES: &str = "\
Examples:
  plush park gossip                        before this machine, or plush itself, is renewed
  plush resume gossip";

/// Parks; 0 once there is no controller any more.
pub async fn park(arguments: Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let run = runs::find(&arguments.run, &invocation.settings.runs_dir)?;
    let failed = |error: std::io::Error| {
        cannot_park(&run, format!("its controller does not answer: {error}")).next(format!(
            "where it is gone nothing is left to be parked; `plush resume {}` goes on with the run",
            run.id
        ))
    };
    let mut handle = Handle::connect(&run.directory).await.map_err(failed)?;
    handle.ask(&OperatorRequest::Park).await.map_err(failed)?;
    match handle.next().await {
        Some(Ok(OperatorReply::Refused { why })) => return Err(cannot_park(&run, why)),
        Some(Err(error)) => return Err(failed(error)),
        Some(Ok(_)) | None => {}
    }
    front::wait_for_end(&run).map_err(|error| cannot_park(&run, error.to_string()))?;
    tell(&format!(
        "plush: run {} is parked: its tasks go on until their leases are out; `plush resume {}` goes on with it\n",
        run.id, run.id
    ));
    Ok(ExitCode::Done)
}

fn cannot_park(run: &Run, why: String) -> Trouble {
    Trouble::new(ExitCode::Internal, format!("cannot park run {}", run.id)).because(why)
}
