//! The commands, one file each: arguments, and what is done with them.
//! Not shared machinery: that lies beside this folder.

pub mod attach;
pub mod barriers;
pub mod check;
pub mod choice;
pub mod completions;
pub mod config;
pub mod controller;
pub mod convert;
pub mod doctor;
pub mod external;
pub mod hosts;
pub mod logs;
pub mod man;
pub mod park;
pub mod plan;
pub mod rehearse;
pub mod report;
pub mod resume;
pub mod run;
pub mod runs;
pub mod status;
pub mod stop;
pub mod trust;

use crate::cli::Command;
use crate::exit::ExitCode;
use crate::invocation::Invocation;
use crate::trouble::Trouble;
use clap_complete::CompletionCandidate;

/// Does what was asked.
pub fn dispatch(command: Command, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    match command {
        Command::Run(arguments) => in_runtime(run::run(arguments, invocation)),
        Command::Plan(arguments) => plan::plan(&arguments, invocation),
        Command::Rehearse(arguments) => rehearse::rehearse(&arguments, invocation),
        Command::Check(arguments) => check::check(&arguments, invocation),
        Command::Convert(arguments) => convert::convert(&arguments, invocation),
        Command::Status(arguments) => in_runtime(status::status(arguments, invocation)),
        Command::Attach(arguments) => in_runtime(attach::attach(arguments, invocation)),
        Command::Resume(arguments) => in_runtime(resume::resume(arguments, invocation)),
        Command::Park(arguments) => in_runtime(park::park(arguments, invocation)),
        Command::Stop(arguments) => in_runtime(stop::stop(arguments, invocation)),
        Command::Runs(arguments) => runs::runs(&arguments, invocation),
        Command::Trust(arguments) => trust::trust(&arguments, invocation),
        Command::Logs(arguments) => in_runtime(logs::logs(arguments, invocation)),
        Command::Barriers(arguments) => in_runtime(barriers::barriers(arguments, invocation)),
        Command::Report(arguments) => in_runtime(report::report(arguments, invocation)),
        Command::Doctor(arguments) => in_runtime(doctor::doctor(arguments, invocation)),
        Command::Hosts(operation) => hosts::hosts(operation),
        Command::Completions(arguments) => completions::completions(&arguments),
        Command::Man(arguments) => man::man(&arguments),
        Command::Config(arguments) => config::config(&arguments, invocation),
        Command::Controller(arguments) => controller::controller(&arguments, invocation),
        Command::External(words) => external::external(&words),
    }
}

/// A front end is one thread that waits, beside the screen's.
fn in_runtime<T>(work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Trouble::new(ExitCode::Internal, "cannot start the event loop").caused_by(&error)
    })?;
    let result = runtime.block_on(work);
    // Nothing that is still blocked (a read of standard input) may hold up the end.
    runtime.shutdown_background();
    result
}

/// What a shell offers where a run is wanted.
fn run_candidates() -> Vec<CompletionCandidate> {
    let Ok(settings) = crate::settings::Settings::load(Default::default()) else {
        return Vec::new();
    };
    let ids = crate::runs::ids(&settings.runs_dir).unwrap_or_default();
    ids.into_iter()
        .map(CompletionCandidate::new)
        .chain([CompletionCandidate::new("last")])
        .collect()
}
