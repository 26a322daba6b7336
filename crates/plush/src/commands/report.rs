//! `plush report`: what a run did, as one HTML file and as PNG pictures.
//! Not live: it shows the run up to now.

use super::{barriers, run_candidates};
use crate::exit::ExitCode;
use crate::front::History;
use crate::invocation::{Invocation, print, print_json, tell};
use crate::render::chart::{Drawing, png};
use crate::render::report::{self, Comparison, CurveOf, Origin, Picture};
use crate::render::text;
use crate::runs::{self, Run};
use crate::trouble::Trouble;
use clap::Args;
use clap_complete::ArgValueCandidates;
use plush_protocol::history::{BarrierHistory, RunHistory};
use std::path::{Path, PathBuf};

/// The arguments of `plush report`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The run: an id, the beginning of one, `last`, or a run directory
    #[arg(value_name = "RUN", default_value = "last", add = ArgValueCandidates::new(run_candidates))]
    run: String,
    /// The page [default: report.html in the run directory; without --png only]
    #[arg(short, long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// Pictures: one file if it ends in .png, else a folder with a file for each
    #[arg(long, value_name = "FILE.png|DIR")]
    png: Option<PathBuf>,
    /// One picture with a curve for each of these runs, instead of a report
    #[arg(long, value_name = "LABEL=RUN", num_args = 1.., requires = "barrier", conflicts_with = "run")]
    compare: Vec<String>,
    /// The barrier that is compared: CLUSTER/prepare, CLUSTER/ready, or its name
    #[arg(long, value_name = "NAME", requires = "compare", conflicts_with = "run")]
    barrier: Option<String>,
    /// What a compared curve counts
    #[arg(long, value_name = "WHAT", default_value = "entered", requires = "compare")]
    curve: CurveOf,
    /// Where the time of compared curves begins
    #[arg(long, value_name = "WHEN", default_value = "entry", requires = "compare")]
    since: Origin,
    /// The title of a comparison
    #[arg(long, value_name = "TEXT", requires = "compare")]
    title: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  plush report                             of the newest run, into its directory
  plush report gossip --out gossip.html --png gossip-pictures
  plush report --compare all=runs/a 10=runs/b --barrier peers/prepare --curve through --out x.html --png x.png

A page is one file: no script, nothing from elsewhere. --compare with --json prints the numbers of the curves.";

/// Draws.
pub async fn report(arguments: Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    if !arguments.compare.is_empty() {
        return compare(&arguments, invocation);
    }
    let run = runs::find(&arguments.run, &invocation.settings.runs_dir)?;
    let history = History::open(&run)?.read()?;
    let history = match history.is_served {
        true => {
            tell(&format!(
                "plush: run {} still goes on; this is how far it is\n",
                text::shown(&run.id)
            ));
            barriers::at_present(history, &run).await
        }
        false => history,
    };
    warn_of_another_build(&history);
    let page = match (&arguments.out, &arguments.png) {
        (Some(out), _) => Some(out.clone()),
        (None, None) => Some(run.directory.join("report.html")),
        (None, Some(_)) => None,
    };
    let mut written = Vec::new();
    if let Some(page) = page {
        write(&page, report::page(&history, &run.directory).as_bytes())?;
        written.push(page);
    }
    if let Some(png) = &arguments.png {
        let title = format!("run {}", run.id);
        written.extend(write_pictures(png, report::pictures(&history), &title)?);
    }
    if invocation.is_for_programs() {
        print_json(&history)?;
        return Ok(ExitCode::Done);
    }
    print_paths(&written)
}

/// The rules of another build may have decided otherwise; what they decided is not in the journal.
fn warn_of_another_build(history: &RunHistory) {
    if history.build != env!("CARGO_PKG_VERSION") {
        tell(&format!(
            "plush: the run was begun by plush {}; this is how plush {} understands its journal\n",
            text::shown(&history.build),
            env!("CARGO_PKG_VERSION")
        ));
    }
}

fn compare(arguments: &Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let barrier = arguments.barrier.clone().unwrap_or_default();
    let mut curves = Vec::new();
    for pair in &arguments.compare {
        let (label, reference) = pair.split_once('=').ok_or_else(|| {
            Trouble::usage(format!("`{pair}` names no run to compare"))
                .next("write LABEL=RUN: all=runs/a, or all=last")
        })?;
        let run = runs::find(reference, &invocation.settings.runs_dir)?;
        let history = History::open(&run)?.read()?;
        curves.push((label.to_owned(), wanted(history, &barrier, &run)?));
    }
    let how = Comparison {
        barrier,
        of: arguments.curve,
        since: arguments.since,
        title: arguments.title.clone(),
    };
    let (drawing, numbers) = report::compare(&how, &curves);
    let title = drawing.title.clone();
    let picture = || vec![Picture { name: "comparison".into(), drawing: drawing.clone() }];
    let mut written = Vec::new();
    if let Some(out) = &arguments.out {
        write(out, report::page_of(&title, &picture(), &numbers).as_bytes())?;
        written.push(out.clone());
    }
    if let Some(png) = &arguments.png {
        written.extend(write_pictures(png, picture(), &title)?);
    }
    if invocation.is_for_programs() {
        print_json(&serde_json::json!({ "version": 1, "curves": numbers }))?;
        return Ok(ExitCode::Done);
    }
    if written.is_empty() {
        return Err(Trouble::usage("a comparison needs a place to be written to")
            .next("--out FILE.html, --png FILE.png, or --json for its numbers"));
    }
    print_paths(&written)
}

/// The first generation of the barrier in a run.
fn wanted(history: RunHistory, name: &str, run: &Run) -> Result<BarrierHistory, Trouble> {
    let mut known: Vec<String> = history.barriers.iter().map(|b| text::shown(&b.name)).collect();
    known.dedup();
    history.barriers.into_iter().find(|barrier| barrier.name == name).ok_or_else(|| {
        Trouble::usage(format!("run {} has no barrier `{name}`", run.id))
            .because(format!("it has {}", known.join(", ")))
    })
}

fn write_pictures(
    place: &Path,
    pictures: Vec<Picture>,
    title: &str,
) -> Result<Vec<PathBuf>, Trouble> {
    if place.extension().is_some_and(|ending| ending == "png") {
        let drawings = pictures.into_iter().map(|picture| picture.drawing).collect();
        write(place, &png::file(&Drawing::stacked(drawings, title)))?;
        return Ok(vec![place.to_owned()]);
    }
    std::fs::create_dir_all(place).map_err(|error| {
        Trouble::usage(format!("cannot make the folder {}", place.display())).caused_by(&error)
    })?;
    let each = |picture: Picture| {
        let path = place.join(format!("{}.png", picture.name));
        write(&path, &png::file(&picture.drawing))?;
        Ok(path)
    };
    pictures.into_iter().map(each).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Trouble> {
    std::fs::write(path, bytes).map_err(|error| {
        Trouble::usage(format!("cannot write {}", path.display()))
            .caused_by(&error)
            .next("--out and --png name other places")
    })
}

fn print_paths(paths: &[PathBuf]) -> Result<ExitCode, Trouble> {
    let lines: String =
        paths.iter().map(|path| text::shown(&path.to_string_lossy()) + "\n").collect();
    print(&lines)?;
    Ok(ExitCode::Done)
}
