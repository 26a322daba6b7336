//! `plush trust`: says which descriptions may run programs on this machine.
//! Not a plan: nothing is run and no host is looked for.

use crate::exit::ExitCode;
use crate::front::{PlanView, digest_of};
use crate::invocation::{Invocation, print, print_json};
use crate::language;
use crate::render::text;
use crate::trouble::Trouble;
use crate::trust::Trusted;
use clap::{Args, ValueHint};
use serde_json::json;
use std::path::PathBuf;

/// The arguments of `plush trust`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Descriptions whose programs may run here
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Trust them no more
    #[arg(long, requires = "files")]
    revoke: bool,
}

const EXAMPLES: &str = "\
Examples:
  plush trust app.yaml              its callbacks may run on this machine
  plush trust --revoke app.yaml     they may not any more
  plush trust                       lists what is trusted

A description that is changed has to be trusted again. What it would run here: `plush plan FILE`.";

/// Trusts, revokes or lists.
pub fn trust(arguments: &Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let mut trusted = Trusted::load()?;
    if arguments.files.is_empty() {
        return list(&trusted, invocation);
    }
    for file in &arguments.files {
        let description = language::read(file)?;
        let digest = digest_of(&description.text);
        let name = text::shown(&description.name);
        if arguments.revoke {
            if !trusted.remove(&digest)? {
                return Err(Trouble::usage(format!("{name} is not trusted as it is now"))
                    .next("`plush trust` lists what is"));
            }
            print(&format!("{name}: not trusted any more\n"))?;
            continue;
        }
        let parsed = language::parse_with(&description.text, &description.name, None, &[]);
        language::tell_problems(&parsed.problems, &description, invocation.paint_err());
        let project = parsed.project.ok_or(Trouble::Said(ExitCode::Description))?;
        let path = std::path::absolute(&description.path).unwrap_or(description.path);
        trusted.add(&digest, &path)?;
        let programs = project.local_programs();
        print(&format!("{name}: trusted; {}\n", text::counted(programs.len(), "local program")))?;
        for program in programs {
            let line = format!("{}: {}", program.what, program.command.join(" "));
            print(&format!("  {}\n", text::shown(&line)))?;
        }
    }
    Ok(ExitCode::Done)
}

/// A run of a description that has programs run here needs the operator's trust.
pub fn demand(digest: &str, plan: &PlanView, is_trusted_now: bool) -> Result<(), Trouble> {
    if plan.local_programs.is_empty() || is_trusted_now || Trusted::load()?.contains(digest) {
        return Ok(());
    }
    let programs: Vec<String> = plan.local_programs.iter().map(|p| text::shown(p)).collect();
    Err(Trouble::new(ExitCode::Untrusted, "the description has programs run on this machine")
        .because(programs.join("; "))
        .next("if you trust it: `plush trust FILE`, or once: `plush run --trust FILE`"))
}

fn list(trusted: &Trusted, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    match invocation.is_for_programs() {
        true => {
            let entries: Vec<_> = (trusted.entries().iter())
                .map(|(digest, path)| json!({ "blake3": digest, "path": path }))
                .collect();
            print_json(&json!({ "version": 1, "trusted": entries }))?;
        }
        false => {
            for (digest, path) in trusted.entries() {
                print(&format!("{}  {}\n", text::shown(digest), text::shown(path)))?;
            }
        }
    }
    Ok(ExitCode::Done)
}
