//! `plush`, the command: a front end that never imports the core.
//! Not the controller, which is a process of its own (`plush controller`). A crate of its own because it is the binary
//! for people, and so that the compiler keeps the rules out of its reach.

mod agents;
mod cli;
mod colour;
mod commands;
mod duration;
mod ending;
mod exit;
mod feed;
mod front;
mod handle;
mod host_arguments;
mod interrupts;
mod invocation;
mod language;
mod launch;
mod merge;
mod output_files;
mod render;
mod runs;
mod screen;
mod settings;
mod tail;
mod trouble;
mod trust;
mod watch;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use cli::Cli;
use exit::ExitCode;
use invocation::Invocation;
use settings::Settings;
use trouble::Trouble;

fn main() -> std::process::ExitCode {
    // A shell that completes calls this program with COMPLETE set; nothing else is done then.
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    let code = match Cli::try_parse() {
        Ok(cli) => carry_out(cli),
        Err(error) => explain(&error),
    };
    std::process::ExitCode::from(code.number())
}

fn carry_out(cli: Cli) -> ExitCode {
    plush_controller::open_files::raise();
    let invocation =
        Settings::load(cli.settings()).map(|settings| Invocation::new(&cli.globals, settings));
    match invocation.and_then(|invocation| commands::dispatch(cli.command, &invocation)) {
        Ok(code) => code,
        Err(trouble) => {
            invocation::tell(&trouble.to_string());
            trouble.code()
        }
    }
}

/// Help and version are results; everything else is a mistake.
fn explain(error: &clap::Error) -> ExitCode {
    let printed = error.print().map_err(Trouble::stdout);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            printed.map_or_else(|trouble| trouble.code(), |()| ExitCode::Done)
        }
        _ => ExitCode::Usage,
    }
}
