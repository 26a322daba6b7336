//! `plush doctor`: tries the way to hosts, stage by stage.
//! Not a run: nothing is left on a host.

use crate::exit::ExitCode;
use crate::invocation::Invocation;
use crate::settings::Key;
use crate::trouble::Trouble;
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// The arguments of `plush doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Hosts, as sets
    #[arg(value_name = "HOST", required = true)]
    hosts: Vec<String>,
    /// The SSH configuration to use instead of ~/.ssh/config
    #[arg(short = 'F', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ssh_config: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  plush doctor node07
  plush doctor 'node[01-20]' me@gateway:2222

The exit code is 255 where a host cannot be reached.";

impl Arguments {
    /// The settings among these flags.
    pub fn settings(&self) -> Vec<(Key, Option<String>)> {
        vec![(
            Key::SshConfig,
            self.ssh_config.as_ref().map(|path| path.to_string_lossy().into_owned()),
        )]
    }
}

/// Examines them.
pub async fn doctor(_arguments: Arguments, _invocation: &Invocation) -> Result<ExitCode, Trouble> {
    Ok(ExitCode::Done)
}
