//! `plush convert`: turns a description from one syntax into the other.
//! Not a migration of meaning: both say the same.

use crate::exit::ExitCode;
use crate::invocation::{Invocation, print_bytes};
use crate::language::{self, Format};
use crate::trouble::Trouble;
use clap::{Args, ValueEnum, ValueHint};
use std::path::PathBuf;

/// The arguments of `plush convert`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The description; `-` is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The syntax that is wanted [default: by the output's name, else the other one]
    #[arg(long, value_name = "SYNTAX")]
    to: Option<Syntax>,
    /// Write here instead of to standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// A syntax.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Syntax {
    /// The original one
    Xml,
    /// The one that people write today
    Yaml,
}

const EXAMPLES: &str = "\
Examples:
  plush convert old.xml > new.yaml
  plush convert app.yaml -o app.xml
  plush convert - --to yaml < old.xml";

/// Converts.
pub fn convert(arguments: &Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let description = language::read(&arguments.file)?;
    let to = arguments.wanted(Format::detect(&description.text, &description.name));
    let converted =
        language::convert(&description.text, &description.name, None, to).map_err(|problems| {
            language::tell_problems(&problems, &description, invocation.paint_err());
            Trouble::Said(ExitCode::Description)
        })?;
    match &arguments.output {
        None => print_bytes(converted.as_bytes())?,
        Some(path) => std::fs::write(path, converted).map_err(|error| {
            Trouble::new(ExitCode::Internal, format!("cannot write {}", path.display()))
                .caused_by(&error)
        })?,
    }
    Ok(ExitCode::Done)
}

impl Arguments {
    fn wanted(&self, from: Format) -> Format {
        let by_name = || match self.output.as_ref()?.extension()?.to_str()? {
            "xml" => Some(Format::Xml),
            "yaml" | "yml" => Some(Format::Yaml),
            _ => None,
        };
        let asked = self.to.map(|syntax| match syntax {
            Syntax::Xml => Format::Xml,
            Syntax::Yaml => Format::Yaml,
        });
        asked.or_else(by_name).unwrap_or(match from {
            Format::Xml => Format::Yaml,
            Format::Yaml => Format::Xml,
        })
    }
}
