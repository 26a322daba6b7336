//! `plush resume`: goes on with a run whose controller is gone, and watches it.
//! Not the going on itself: the new controller reads the journal and finds the agents.

use super::attach::{self, over_already};
use super::run::detached;
use crate::ending;
use crate::exit::ExitCode;
use crate::feed;
use crate::front::{self, Beginning, Takeover};
use crate::handle::Handle;
use crate::interrupts::Role;
use crate::invocation::Invocation;
use crate::launch;
use crate::runs::{self, Run};
use crate::settings::Key;
use crate::trouble::Trouble;
use clap::Args;
use plush_protocol::operator::OperatorRequest;
use std::io;
use std::time::{Duration, Instant};

/// A controller that is there answers by then.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Nothing tells when a process that is being killed has gone: the gap between looks.
const LOOK_GAP: Duration = Duration::from_millis(20);

/// The arguments of `plush resume`.
#[derive(Debug, Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    attach: attach::Arguments,
    /// Take the run from a controller that may still be alive on another machine or in another copy of the directory
    #[arg(long)]
    take_over: bool,
    /// Start the controller, print the run's id and leave
    #[arg(short, long, conflicts_with_all = ["events", "batch", "strict"])]
    detach: bool,
}

const EXAMPLES: &str = "\
Examples:
  plush resume last
  plush resume gossip --label process
  plush resume gossip --detach && plush stop gossip
  plush resume ./gossip-1a2b3c --take-over     a copy of the directory, where the other machine is gone

SIGTERM stops the run in order where this command has started the controller; where a controller was there
already it only ends this command, with code 130. The exit code is the run's else, as of `plush run`.";

impl Arguments {
    /// The settings among these flags.
    pub fn settings(&self) -> Vec<(Key, Option<String>)> {
        self.attach.settings()
    }
}

/// Starts a controller, unless one answers or the run is over, and watches, if it is to; the exit code is the run's then.
pub async fn resume(arguments: Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let Arguments { attach, take_over, detach } = arguments;
    let run = runs::find(&attach.run, &invocation.settings.runs_dir)?;
    let shown = feed::Beginning::now(&run.directory);
    let reached = reach(&run).await?;
    let role = if reached.is_ok() { Role::Watcher } else { Role::Starter };
    let presses = if detach { None } else { Some(attach::listen(&run)?) };
    let handle = match reached {
        Ok(handle) => handle,
        Err(error) if is_over(&run) => return over_already(&run, &error, invocation),
        Err(_) => {
            let takeover = if take_over { Takeover::Meant } else { Takeover::Refused };
            if takeover == Takeover::Refused {
                front::refuse_rival(&run)?;
            }
            let beginning = if detach { Beginning::AtOnce } else { Beginning::WhenWatched };
            launch::launch(&run, beginning, takeover).await?
        }
    };
    let Some(presses) = presses else {
        return detached(&run, invocation);
    };
    let ended = attach.watching.watch(role, presses, handle, &run, shown, invocation).await?;
    ending::conclude(ended, &run, invocation)
}

/// The controller that is there, or why there is none. The socket of one that is being killed may still be connected
/// to: only who answers is there, and only who holds no lock is gone.
async fn reach(run: &Run) -> Result<io::Result<Handle>, Trouble> {
    let limit = Instant::now() + ANSWER_MAX;
    loop {
        let error = match tokio::time::timeout(ANSWER_MAX, greet(run)).await {
            Ok(Ok(handle)) => return Ok(Ok(handle)),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        if !front::is_served(run) {
            return Ok(Err(error));
        }
        if Instant::now() > limit {
            return Err(Trouble::new(ExitCode::Internal, format!("cannot resume run {}", run.id))
                .because(format!("its controller is there and does not answer ({error})"))
                .next(format!("see {}; end that process if it hangs", run.log().display())));
        }
        tokio::time::sleep(LOOK_GAP).await;
    }
}

async fn greet(run: &Run) -> io::Result<Handle> {
    let mut handle = Handle::connect(&run.directory).await?;
    handle.ask(&OperatorRequest::Status).await?;
    match handle.next().await {
        Some(reply) => reply.map(|_| handle),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn is_over(run: &Run) -> bool {
    run.last_view().is_ok_and(|view| view.outcome.is_some())
}
