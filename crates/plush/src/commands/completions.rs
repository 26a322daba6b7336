//! `plush completions`: what a shell needs to complete commands, files and runs.
//! Not the candidates: each argument knows its own.

use crate::exit::ExitCode;
use crate::invocation::print_bytes;
use crate::trouble::Trouble;
use clap::Args;
use clap_complete::env::Shells;

/// The arguments of `plush completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The shell
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish", "elvish", "powershell"])]
    shell: String,
}

const EXAMPLES: &str = "\
Examples:
  plush completions bash > ~/.local/share/bash-completion/completions/plush
  plush completions zsh > ~/.zfunc/_plush
  plush completions fish > ~/.config/fish/completions/plush.fish";

/// Prints it.
pub fn completions(arguments: &Arguments) -> Result<ExitCode, Trouble> {
    let shells = Shells::builtins();
    let shell = shells
        .completer(&arguments.shell)
        .ok_or_else(|| Trouble::usage(format!("there is no shell `{}`", arguments.shell)))?;
    let mut script = Vec::new();
    shell.write_registration("COMPLETE", "plush", "plush", "plush", &mut script).map_err(
        |error| Trouble::new(ExitCode::Internal, "cannot make the completions").caused_by(&error),
    )?;
    print_bytes(&script)?;
    Ok(ExitCode::Done)
}
