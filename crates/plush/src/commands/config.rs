//! `plush config`: shows the settings, and where each came from.
//! Not an editor: files are written by hand.

use crate::exit::ExitCode;
use crate::invocation::{Invocation, print, print_json};
use crate::render::{table, text};
use crate::settings::{Key, Sourced};
use crate::trouble::Trouble;
use clap::Args;
use serde_json::{Map, Value, json};

/// The arguments of `plush config`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Say where each value came from
    #[arg(long)]
    origin: bool,
}

const EXAMPLES: &str = "\
Examples:
  plush config --origin
  PLUSH_KEEP=cache plush config --json

The command line outweighs PLUSH_* variables, these ./plush.toml, this the user's own
$XDG_CONFIG_HOME/plush/config.toml, this /etc/plush/config.toml.";

/// Shows them.
pub fn config(arguments: &Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let rows = invocation.settings.rows();
    if invocation.is_for_programs() {
        let object: Map<String, Value> = rows
            .map(|(key, sourced)| {
                (
                    key.name().to_owned(),
                    json!({ "value": sourced.text, "origin": sourced.origin.to_string() }),
                )
            })
            .collect();
        print_json(&object)?;
        return Ok(ExitCode::Done);
    }
    let rows: Vec<_> = rows.map(|(key, sourced)| row(key, sourced, arguments.origin)).collect();
    print(&table::rows(&rows))?;
    Ok(ExitCode::Done)
}

fn row(key: Key, sourced: &Sourced, origin: bool) -> Vec<String> {
    let value = if sourced.text.is_empty() { "-".to_owned() } else { text::shown(&sourced.text) };
    let mut row = vec![key.name().to_owned(), value];
    if origin {
        row.push(format!("from {}", text::shown(&sourced.origin.to_string())));
    }
    row
}
