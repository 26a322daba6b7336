//! `plush controller`: the controller of one run, started by `run` as a process of its own.
//! Not for people.

use crate::exit::ExitCode;
use crate::front::{self, Beginning, Takeover};
use crate::invocation::Invocation;
use crate::trouble::Trouble;
use clap::Args;
use std::path::PathBuf;

/// The arguments of `plush controller`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The run directory
    #[arg(value_name = "RUN_DIR")]
    directory: PathBuf,
    /// Begin when a front end watches
    #[arg(long)]
    when_watched: bool,
    /// Take the run from a controller that may be alive
    #[arg(long)]
    take_over: bool,
}

/// Controls the run until it is over.
pub fn controller(arguments: &Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    // Away from the terminal: its Ctrl-C and its end are the front end's business. A process that leads its group
    // already (started by hand from a shell) cannot leave, and need not.
    let _ = rustix::process::setsid();
    let level = match invocation.verbose {
        0 => tracing_subscriber::filter::LevelFilter::INFO,
        1 => tracing_subscriber::filter::LevelFilter::DEBUG,
        2.. => tracing_subscriber::filter::LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        // The log is on the run's disk: that it is full is told elsewhere, and must not end the controller.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .init();
    let beginning = if arguments.when_watched { Beginning::WhenWatched } else { Beginning::AtOnce };
    let takeover = if arguments.take_over { Takeover::Meant } else { Takeover::Refused };
    front::control(&arguments.directory, beginning, takeover)
}
