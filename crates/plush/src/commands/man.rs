//! `plush man`: writes the manual pages, made from the command's own definition.
//! Not the guide in `docs/`.

use crate::cli::Cli;
use crate::exit::ExitCode;
use crate::trouble::Trouble;
use clap::{Args, CommandFactory, ValueHint};
use std::path::PathBuf;

/// The arguments of `plush man`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The folder; it is made where there is none
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  plush man ~/.local/share/man/man1 && man plush-run";

/// Writes them.
pub fn man(arguments: &Arguments) -> Result<ExitCode, Trouble> {
    let directory = &arguments.directory;
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory));
    written.map_err(|error| {
        Trouble::new(
            ExitCode::Internal,
            format!("cannot write manual pages into {}", directory.display()),
        )
        .caused_by(&error)
    })?;
    Ok(ExitCode::Done)
}
