//! `plush resume`: goes on with a run whose controller is gone, and watches it.
//! Not the going on itself: the new controller reads the journal and finds the agents.

use super::attach::{Arguments, over_already};
use crate::ending;
use crate::exit::ExitCode;
use crate::front::Beginning;
use crate::handle::Handle;
use crate::invocation::Invocation;
use crate::launch;
use crate::runs::{self, Run};
use crate::trouble::Trouble;

/// Starts a controller, unless one answers or the run is over, and watches; the exit code is the run's.
pub async fn resume(arguments: Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let run = runs::find(&arguments.run, &invocation.settings.runs_dir)?;
    let handle = match Handle::connect(&run.directory).await {
        Ok(handle) => handle,
        Err(error) if is_over(&run) => return over_already(&run, &error, invocation),
        Err(_) => launch::launch(&run, Beginning::WhenWatched).await?,
    };
    let ended = arguments.watching.watch(handle, &run, invocation).await?;
    ending::conclude(ended, &run, invocation)
}

fn is_over(run: &Run) -> bool {
    run.last_view().is_ok_and(|view| view.outcome.is_some())
}
