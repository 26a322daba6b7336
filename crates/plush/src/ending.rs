//! The end of watching: the summary, the document, the exit code.
//! Not watching itself.

use crate::exit::ExitCode;
use crate::front::ENDS;
use crate::invocation::{Invocation, Results, print_json, tell};
use crate::render::summary;
use crate::runs::Run;
use crate::trouble::Trouble;
use crate::watch::{Ended, Progress};
use plush_protocol::view::{Outcome, RunView};
use serde::Serialize;
use std::path::Path;

/// The document at the end of a run with `--json`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    /// Version of this shape.
    version: u32,
    run: &'a str,
    directory: &'a Path,
    outcome: &'a Outcome,
    exit_code: u8,
    view: &'a RunView,
}

/// Tells how it ended; the exit code.
pub fn conclude(ended: Ended, run: &Run, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    match ended {
        Ended::Over { outcome, view } => over(&outcome, &view, run, invocation),
        Ended::Left => Ok(ExitCode::Stopped),
        Ended::Lost { why } => lost(why, run, invocation),
    }
}

/// The summary of a run that is over; the exit code.
pub fn over(
    outcome: &Outcome,
    view: &RunView,
    run: &Run,
    invocation: &Invocation,
) -> Result<ExitCode, Trouble> {
    let code = ExitCode::of_run(outcome, view.sums.as_ref(), invocation.settings.measure);
    tell(&match invocation.progress {
        Progress::Shown => summary::summary(view, &run.directory, invocation.paint_err()),
        Progress::Hidden => summary::line(view, invocation.paint_err()),
    });
    if invocation.results == Results::Document {
        print_json(&Document {
            version: 1,
            run: &run.id,
            directory: &run.directory,
            outcome,
            exit_code: code.number(),
            view,
        })?;
    }
    Ok(code)
}

/// The reason with which a controller has ended, if it had the time to say so and no other came after it.
fn last_words(run: &Run) -> Option<String> {
    let log = std::fs::read(run.log()).ok()?;
    let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(2_000)..]).into_owned();
    let words = &tail[tail.rfind(ENDS)? + ENDS.len()..];
    let is_last = !words.contains(" INFO ");
    is_last.then(|| words.lines().next().unwrap_or_default().to_owned())
}

/// A controller may end between its last word and the end of the connection.
fn lost(why: Option<String>, run: &Run, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    if let Ok(view) = run.last_view()
        && let Some(outcome) = view.outcome.clone()
    {
        return over(&outcome, &view, run, invocation);
    }
    Err(without_controller(why, run))
}

/// The result of a command that only watched: it reports nothing about a run that is over.
pub fn gone(why: Option<String>, run: &Run) -> Result<ExitCode, Trouble> {
    match run.last_view() {
        Ok(view) if view.outcome.is_some() => Ok(ExitCode::Done),
        Ok(_) | Err(_) => Err(without_controller(why, run)),
    }
}

fn without_controller(why: Option<String>, run: &Run) -> Trouble {
    Trouble::new(
        ExitCode::Internal,
        format!("the controller of run {} has gone before the end of the run", run.id),
    )
    .because(
        last_words(run).or(why).unwrap_or_else(|| "it closed the connection without a word".into()),
    )
    .next(format!(
        "`plush resume {}` goes on with it; see also {}; tasks end when their lease is out",
        run.id,
        run.log().display()
    ))
}
