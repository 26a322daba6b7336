//! `plush plan`: shows what a run would do, and does nothing.
//! Not a check only: hosts are looked for, though not contacted.

use super::choice::Choice;
use crate::exit::ExitCode;
use crate::front;
use crate::invocation::{Invocation, print, print_json};
use crate::language;
use crate::render::plan;
use crate::trouble::Trouble;
use clap::Args;

/// The arguments of `plush plan`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The description and what is changed about it.
    #[command(flatten)]
    pub choice: Choice,
}

const EXAMPLES: &str = "\
Examples:
  plush plan app.yaml
  plush plan app.yaml -w 'node[01-20]' --set seconds=30
  plush plan app.yaml --json | jq .hosts

Nothing is left to choose after the plan: `plush run` does what it says.";

/// Plans and shows.
pub fn plan(arguments: &Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let options = arguments.choice.options(invocation)?;
    let description = language::read(&arguments.choice.file)?;
    let planned = front::plan(&description, &arguments.choice, &options, invocation)?;
    match invocation.is_for_programs() {
        true => print_json(&plan::value(&planned.view()))?,
        false => print(&plan::page(&planned.view(), invocation.paint_out()))?,
    }
    Ok(ExitCode::Done)
}
