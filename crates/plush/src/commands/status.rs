//! `plush status`: the state of a run, from its controller or from the journal that it left.
//! Not a watch: it looks once.

use super::run_candidates;
use crate::exit::ExitCode;
use crate::front::History;
use crate::handle::Handle;
use crate::invocation::{Invocation, print, print_json, tell};
use crate::render::{summary, table, text, words};
use crate::runs::{self, Run};
use crate::trouble::Trouble;
use clap::Args;
use clap_complete::ArgValueCandidates;
use plush_protocol::operator::{OperatorReply, OperatorRequest};
use plush_protocol::view::{Contact, RunView};
use std::time::Duration;

/// The arguments of `plush status`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The run: an id, the beginning of one, `last`, or a run directory
    #[arg(value_name = "RUN", default_value = "last", add = ArgValueCandidates::new(run_candidates))]
    run: String,
}

const EXAMPLES: &str = "\
Examples:
  plush status
  plush status gossip --json | jq .counts
  plush status last -v                     every host on a line of its own";

/// A controller that has not answered by then is taken for dead.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Shows the view.
pub async fn status(arguments: Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let run = runs::find(&arguments.run, &invocation.settings.runs_dir)?;
    let view = match current(&run).await {
        Some(view) => view,
        None => {
            let view = left(&run)?;
            if view.outcome.is_none() {
                let id = text::shown(&run.id);
                let since = view.as_of_unix_ms.map_or(String::new(), |ms| {
                    format!(" since {} or a little later", words::date(ms))
                });
                tell(&format!(
                    "plush: no controller serves run {id}{since}: this is how it stood then; `plush resume {id}` goes on with it\n"
                ));
            }
            view
        }
    };
    if invocation.is_for_programs() {
        print_json(&view)?;
        return Ok(ExitCode::Done);
    }
    let mut page = summary::summary(&view, &run.directory, invocation.paint_out());
    if invocation.verbose > 0 {
        page.push_str(&hosts(&view));
    }
    print(&page)?;
    Ok(ExitCode::Done)
}

/// The state of a run without a controller: from its journal, since its last view may be some
/// seconds older; from the view where the journal cannot be read.
fn left(run: &Run) -> Result<RunView, Trouble> {
    let view = run.last_view();
    if view.as_ref().is_ok_and(|view| view.outcome.is_some()) {
        return view;
    }
    match History::open(run).and_then(|mut history| history.read()) {
        Ok(history) => Ok(history.view),
        Err(trouble) => view.map_err(|_| trouble),
    }
}

/// What the controller says, if it is there.
pub(super) async fn current(run: &Run) -> Option<RunView> {
    let asked = async {
        let mut handle = Handle::connect(&run.directory).await.ok()?;
        handle.ask(&OperatorRequest::Status).await.ok()?;
        while let Some(Ok(reply)) = handle.next().await {
            if let OperatorReply::View(view) = reply {
                return Some(*view);
            }
        }
        None
    };
    tokio::time::timeout(ANSWER_MAX, asked).await.ok().flatten()
}

fn hosts(view: &RunView) -> String {
    let row = |host: &plush_protocol::view::HostView| {
        let (link, doubt) = match host.contact {
            Contact::Suspect => ("suspect", host.doubt.to_string()),
            Contact::Dead => ("dead", String::new()),
            Contact::Heard => ("connected", String::new()),
            Contact::None => ("-", String::new()),
        };
        vec![
            format!("  {}", text::shown(&host.name)),
            words::state(host.state).to_owned(),
            crate::duration::show_ms(host.for_ms),
            link.to_owned(),
            text::shown(host.detail.raw()),
            doubt,
        ]
    };
    format!("hosts\n{}", table::rows(&view.hosts.iter().map(row).collect::<Vec<_>>()))
}
