//! `plush runs`: lists the runs.
//! Not their contents: `status` and `logs` show those.

use crate::exit::ExitCode;
use crate::front::{self, RunSummary};
use crate::invocation::{Invocation, print, print_json};
use crate::render::{table, text, words};
use crate::trouble::Trouble;
use clap::Args;

/// The arguments of `plush runs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The newest so many
    #[arg(short = 'n', long, value_name = "N")]
    newest: Option<usize>,
}

const EXAMPLES: &str = "\
Examples:
  plush runs
  plush runs -n 5
  plush runs --json | jq -r '.runs[] | select(.is_served) | .id'";

/// Lists, the newest first.
pub fn runs(arguments: &Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    // What cannot be read is not an empty list.
    crate::runs::ids(&invocation.settings.runs_dir)?;
    let mut runs = front::runs(&invocation.settings.runs_dir);
    runs.sort_by_key(|run| std::cmp::Reverse(run.started_unix_ms));
    runs.truncate(arguments.newest.unwrap_or(usize::MAX));
    if invocation.is_for_programs() {
        print_json(&serde_json::json!({ "version": 1, "runs": runs }))?;
        return Ok(ExitCode::Done);
    }
    let heading = ["RUN", "PROJECT", "STARTED", "STATE", "OUTCOME"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(heading).chain(runs.iter().map(row)).collect();
    print(&table::rows(&rows))?;
    Ok(ExitCode::Done)
}

fn row(run: &RunSummary) -> Vec<String> {
    vec![
        text::shown(&run.id),
        text::shown(&run.project),
        words::date(run.started_unix_ms),
        state(run).to_owned(),
        run.outcome.as_ref().map_or("-", words::outcome).to_owned(),
    ]
}

fn state(run: &RunSummary) -> &'static str {
    match (run.is_served, &run.outcome) {
        (true, _) => "running",
        (false, Some(_)) => "over",
        (false, None) => "dead",
    }
}
