//! `plush check`: says everything that is wrong with descriptions.
//! Not a plan: no host is looked for.

use crate::exit::ExitCode;
use crate::invocation::{Invocation, print, print_json};
use crate::language::{self, Description, Parsed};
use crate::render::text;
use crate::trouble::Trouble;
use clap::{Args, ValueHint};
use plush_spec::model::Project;
use serde_json::Value;
use std::path::PathBuf;

/// The arguments of `plush check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Descriptions, XML or YAML; `-` is standard input
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Give a variable of the descriptions a value
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = super::choice::assignment)]
    variables: Vec<(String, String)>,
    /// Warn of what this build cannot do yet for this application only, not for all
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  plush check app.yaml
  plush check examples/*.xml --json | jq '.problems[] | .message'

The exit code is 65 where a description has errors; warnings are shown and allowed. What this build cannot do
yet is a warning here; `plush plan` and `plush run` refuse it.";

/// Checks them all.
pub fn check(arguments: &Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let mut code = ExitCode::Done;
    let mut problems = Vec::new();
    for file in &arguments.files {
        let description = language::read(file)?;
        let mut parsed =
            language::parse_with(&description.text, &description.name, None, &arguments.variables);
        let application = arguments.application.as_deref();
        match &mut parsed.project {
            Some(project) => {
                language::choose(project, application)?;
                parsed.problems.extend(language::not_yet(project, application, &description));
            }
            None => code = ExitCode::Description,
        }
        match invocation.is_for_programs() {
            true => problems.extend(as_values(&parsed, &description)),
            false => report(&parsed, &description, invocation)?,
        }
    }
    if invocation.is_for_programs() {
        print_json(&serde_json::json!({ "version": 1, "problems": problems }))?;
    }
    Ok(code)
}

fn as_values(parsed: &Parsed, description: &Description) -> Vec<Value> {
    let json = language::to_json(&parsed.problems, &description.name);
    serde_json::from_str(&json).expect("problems are a JSON array")
}

fn report(
    parsed: &Parsed,
    description: &Description,
    invocation: &Invocation,
) -> Result<(), Trouble> {
    language::tell_problems(&parsed.problems, description, invocation.paint_err());
    let name = text::shown(&description.name);
    let warnings = parsed.problems.len() - parsed.error_count();
    let verdict = match &parsed.project {
        Some(project) => format!("valid: {}", content(project)),
        None => text::counted(parsed.error_count(), "error"),
    };
    let also = if warnings > 0 {
        format!(", {}", text::counted(warnings, "warning"))
    } else {
        String::new()
    };
    print(&format!("{name}: {verdict}{also}\n"))
}

fn content(project: &Project) -> String {
    let clusters = text::counted(project.clusters.len(), "cluster");
    let software = match project.software.len() {
        0 => "no software".to_owned(),
        count => format!("{count} software"),
    };
    format!("project {}, {clusters}, {software}", text::shown(project.name.as_str()))
}
