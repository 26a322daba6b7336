//! `plush barriers`: the barriers of a run, now or as they were, from its journal.
//! Not a controller's word: that only says when to look again.

use super::attach::cannot_watch;
use super::{run_candidates, status};
use crate::ending;
use crate::exit::ExitCode;
use crate::front::History;
use crate::handle::Handle;
use crate::invocation::{Invocation, print, print_json};
use crate::render::{barriers, text};
use crate::runs::{self, Run};
use crate::trouble::Trouble;
use crate::watch;
use clap::Args;
use clap_complete::ArgValueCandidates;
use plush_protocol::history::RunHistory;
use plush_protocol::operator::{OperatorReply, OperatorRequest};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};

/// The arguments of `plush barriers`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The run: an id, the beginning of one, `last`, or a run directory
    #[arg(value_name = "RUN", default_value = "last", add = ArgValueCandidates::new(run_candidates))]
    run: String,
    /// Go on until the run is over: on a terminal the table stays in its place, elsewhere it is written when it changes
    #[arg(short = 'f', long, visible_alias = "follow")]
    watch: bool,
}

const EXAMPLES: &str = "\
Examples:
  plush barriers                           of the newest run
  plush barriers gossip -f                 as they fill and open
  plush barriers last --json | jq '.barriers[] | select(.opened.policy == \"knee\") | .name'";

/// The table is drawn again so often at the most; times go on though nothing happens.
const REDRAW: Duration = Duration::from_millis(250);

/// Shows them.
pub async fn barriers(arguments: Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let run = runs::find(&arguments.run, &invocation.settings.runs_dir)?;
    let mut history = History::open(&run)?;
    if arguments.watch
        && let Some(handle) = watched(&run).await
    {
        watch::leave_when_terminated().map_err(|error| cannot_watch(&run, &error))?;
        return follow(handle, history, &run, invocation).await;
    }
    let known = history.read()?;
    let known = match known.is_served {
        true => at_present(known, &run).await,
        false => known,
    };
    show(&known, invocation)?;
    Ok(ExitCode::Done)
}

/// The history with the controller's current view: the journal ends with the last event.
pub(super) async fn at_present(history: RunHistory, run: &Run) -> RunHistory {
    match status::current(run).await {
        Some(view) => {
            let now_ms = view.elapsed_ms;
            RunHistory { view, ..history }.reaching(now_ms)
        }
        None => history,
    }
}

fn show(history: &RunHistory, invocation: &Invocation) -> Result<(), Trouble> {
    if invocation.is_for_programs() {
        return print_json(&barriers::document(history));
    }
    print(&barriers::table(history, invocation.paint_out()))
}

/// A run without a controller does not go on.
async fn watched(run: &Run) -> Option<Handle> {
    let mut handle = Handle::connect(&run.directory).await.ok()?;
    handle.ask(&OperatorRequest::Watch { output: false, events: false }).await.ok()?;
    Some(handle)
}

/// Draws again whenever the controller has had something to say, until the run is over.
async fn follow(
    mut handle: Handle,
    mut history: History,
    run: &Run,
    invocation: &Invocation,
) -> Result<ExitCode, Trouble> {
    let mut page = Page::new(invocation);
    let mut tick = interval(REDRAW);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: Option<(RunHistory, Instant)> = None;
    let mut elapsed_ms = None;
    let end = loop {
        tokio::select! {
            reply = handle.next() => match reply {
                Some(Ok(OperatorReply::View(view))) => elapsed_ms = Some(view.elapsed_ms),
                Some(Ok(OperatorReply::Over { .. })) => break Ok(ExitCode::Done),
                Some(Err(error)) => break ending::gone(Some(error.to_string()), run),
                None => break ending::gone(None, run),
                Some(Ok(
                    OperatorReply::Written { .. }
                    | OperatorReply::Event { .. }
                    | OperatorReply::Taken
                    | OperatorReply::Refused { .. },
                )) => {}
            },
            _ = tick.tick() => {
                if let Some(elapsed_ms) = elapsed_ms.take() {
                    known = Some((history.read()?.reaching(elapsed_ms), Instant::now()));
                }
                if let Some((known, since)) = &known {
                    let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                    let now_ms = known.view.elapsed_ms.saturating_add(ms);
                    page.draw(&known.clone().reaching(now_ms))?;
                }
            }
        }
    };
    page.draw(&history.read()?)?;
    end
}

/// Where the table is drawn again and again.
struct Page<'a> {
    invocation: &'a Invocation,
    is_terminal: bool,
    /// Lines on the terminal, which the next table takes the place of.
    lines: usize,
    /// What was written last, times apart.
    written: Option<RunHistory>,
}

impl Page<'_> {
    fn new(invocation: &Invocation) -> Page<'_> {
        let is_terminal = io::stdout().is_terminal() && !invocation.is_for_programs();
        Page { invocation, is_terminal, lines: 0, written: None }
    }

    fn draw(&mut self, history: &RunHistory) -> Result<(), Trouble> {
        if self.is_terminal {
            return self.redraw(history);
        }
        let is_new = self.written.as_ref().is_none_or(|w| w.barriers != history.barriers);
        if !is_new {
            return Ok(());
        }
        if self.written.is_some() && !self.invocation.is_for_programs() {
            print("\n")?;
        }
        self.written = Some(history.clone());
        show(history, self.invocation)
    }

    /// Goes up to where the last table began and writes over it; lines are cut, so that each is one on the screen.
    fn redraw(&mut self, history: &RunHistory) -> Result<(), Trouble> {
        let size = rustix::termios::tcgetwinsize(io::stdout());
        let (rows, columns) =
            size.map_or((0, 0), |s| (usize::from(s.ws_row), usize::from(s.ws_col)));
        let (rows, columns) =
            (if rows == 0 { 24 } else { rows }, if columns == 0 { 80 } else { columns });
        let table = barriers::table(history, crate::colour::Paint::Plain);
        let mut lines: Vec<String> =
            table.lines().map(|line| text::cut(line, columns - 1).into_owned()).collect();
        if lines.len() >= rows {
            let left_out = lines.len() - (rows - 2);
            lines.truncate(rows - 2);
            lines.push(text::cut(&format!("and {left_out} more lines"), columns - 1).into_owned());
        }
        let up = if self.lines > 0 { format!("\x1b[{}A", self.lines) } else { String::new() };
        self.lines = lines.len();
        let body: String = lines.iter().map(|line| format!("{line}\x1b[K\n")).collect();
        print(&format!("\r{up}{body}\x1b[J"))
    }
}
