//! One invocation of the command: settings, what standard output carries, colour.
//! Not the command's own arguments.

use crate::cli::Globals;
use crate::colour::Paint;
use crate::render::json;
use crate::settings::Settings;
use crate::trouble::Trouble;
use crate::watch::Progress;
use serde::Serialize;
use std::io::{self, Write};

/// What every command is given.
#[derive(Debug)]
pub struct Invocation {
    /// The settings.
    pub settings: Settings,
    /// What standard output carries.
    pub results: Results,
    /// Whether progress is shown.
    pub progress: Progress,
    /// More is said.
    pub verbose: u8,
}

/// What standard output carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    /// Text for people.
    Text,
    /// One JSON document.
    Document,
    /// A JSON object per line.
    Events,
}

impl Invocation {
    /// From the flags that all commands take.
    pub fn new(globals: &Globals, settings: Settings) -> Invocation {
        let results = match (globals.json, globals.events) {
            (true, _) => Results::Document,
            (false, true) => Results::Events,
            (false, false) => Results::Text,
        };
        let progress = if globals.quiet { Progress::Hidden } else { Progress::Shown };
        Invocation { settings, results, progress, verbose: globals.verbose }
    }

    /// Colour on standard output.
    pub fn paint_out(&self) -> Paint {
        Paint::on(&io::stdout(), self.settings.color)
    }

    /// Colour on standard error.
    pub fn paint_err(&self) -> Paint {
        Paint::on(&io::stderr(), self.settings.color)
    }

    /// Whether programs read standard output.
    pub fn is_for_programs(&self) -> bool {
        match self.results {
            Results::Text => false,
            Results::Document | Results::Events => true,
        }
    }
}

/// Writes text that may be shown to standard output.
pub fn print(text: &str) -> Result<(), Trouble> {
    print_bytes(text.as_bytes())
}

/// Writes one JSON document to standard output.
pub fn print_json(value: &impl Serialize) -> Result<(), Trouble> {
    print(&(json::line(value) + "\n"))
}

/// Writes bytes as they are to standard output.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Trouble> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Trouble::stdout)
}

/// Writes text that may be shown to standard error; nobody is told if nobody reads it.
pub fn tell(text: &str) {
    // There is no other place to complain.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
