//! The barriers of a run as a table: how each works, who has come, who is missing, when it opened and why.
//! Not when it is drawn: that is the command's.

use crate::colour::Paint;
use crate::duration;
use crate::render::{names, table, text, together};
use plush_protocol::history::{BarrierHistory, BarrierOrigin, MemberStand, RunHistory};
use plush_protocol::view::{BarrierView, WorstRound};
use serde::Serialize;

/// A folded host set is cut beyond so many characters.
const HOSTS_WIDTH: usize = 80;

/// All of them, each line with its newline.
pub fn table(history: &RunHistory, paint: Paint) -> String {
    if history.barriers.is_empty() {
        return "no barriers\n".to_owned();
    }
    let heading = ["BARRIER", "OPENS", "LETS GO", "ENTERED", "INSIDE", "RELEASED", "STATE"];
    let mut rows = vec![heading.map(|word| paint.bold(word.to_owned())).to_vec()];
    rows.extend(history.barriers.iter().map(|barrier| row(barrier, history)));
    let rows = table::rows(&rows);
    let mut lines = rows.lines();
    let mut page = format!("{}\n", lines.next().unwrap_or_default());
    for (line, barrier) in lines.zip(&history.barriers) {
        page.push_str(&format!("{line}\n{}", details(barrier, history)));
    }
    page
}

/// The name of a barrier, with its generation where there are several.
pub fn title(barrier: &BarrierHistory, history: &RunHistory) -> String {
    let name = text::shown(&barrier.name);
    let alike = history.barriers.iter().filter(|other| other.name == barrier.name).count();
    if alike > 1 { format!("{name} #{}", barrier.generation) } else { name }
}

fn row(barrier: &BarrierHistory, history: &RunHistory) -> Vec<String> {
    let name = match barrier.origin {
        BarrierOrigin::Phase | BarrierOrigin::Description => title(barrier, history),
        BarrierOrigin::Application => format!("{} (application)", title(barrier, history)),
    };
    vec![
        name,
        text::shown(&barrier.entry),
        text::shown(&barrier.release),
        format!("{} of {}", barrier.entered(), barrier.expected()),
        barrier.count(MemberStand::Inside).to_string(),
        barrier.released().to_string(),
        state(barrier, history),
    ]
}

fn state(barrier: &BarrierHistory, history: &RunHistory) -> String {
    let waited = |until: u64| {
        let first = barrier.first_entry_ms().unwrap_or(until);
        duration::show_ms(until.saturating_sub(first))
    };
    match (&barrier.opened, barrier.first_entry_ms()) {
        (Some(opened), _) => {
            format!("opened after {}: {}", waited(opened.at_ms), text::shown(&opened.policy))
        }
        (None, None) => "nobody has come".to_owned(),
        (None, Some(_)) if is_over(history) => "never opened".to_owned(),
        (None, Some(_)) => format!("closed for {} so far", waited(history.view.elapsed_ms)),
    }
}

fn is_over(history: &RunHistory) -> bool {
    history.view.outcome.is_some()
}

fn details(barrier: &BarrierHistory, history: &RunHistory) -> String {
    let mut page = String::new();
    if let Some(opened) = &barrier.opened {
        let at = duration::show_ms(opened.at_ms);
        let because = text::shown(&opened.because);
        page.push_str(&format!(
            "  at {at}, {} of {}: {because}\n",
            opened.entered, opened.expected
        ));
    }
    if let Some(found) = &barrier.together {
        page.push_str(&format!("  {}\n", together::words(found)));
    }
    if let Some(worst) = worst(barrier, history) {
        let skew = together::skew(&worst.together);
        page.push_str(&format!("  worst of all rounds #{}: {skew}\n", worst.generation));
    }
    let opened_ms = barrier.opened.as_ref().map(|opened| opened.at_ms);
    let until_ms = opened_ms.unwrap_or(history.view.elapsed_ms);
    let waited_ms = barrier.first_entry_ms().map_or(0, |first| until_ms.saturating_sub(first));
    let missing = barrier.missing();
    // A barrier that opened at its first entry missed no member.
    let is_closed = opened_ms.is_none() && barrier.first_entry_ms().is_some();
    if !missing.is_empty() && (waited_ms > 0 || is_closed) {
        page.push_str(&format!(
            "  missing {} ({}), waited for {}\n",
            names::fold_within(&missing, HOSTS_WIDTH),
            missing.len(),
            duration::show_ms(waited_ms),
        ));
    }
    for (stand, word) in [(MemberStand::Failed, "failed"), (MemberStand::TurnedAway, "turned away")]
    {
        let gone = barrier.members.iter().filter(|m| m.stand == stand);
        let gone: Vec<&str> = gone.map(|m| m.host.as_str()).collect();
        if !gone.is_empty() {
            let hosts = names::fold_within(&gone, HOSTS_WIDTH);
            page.push_str(&format!("  {word} {hosts} ({})\n", gone.len()));
        }
    }
    page
}

/// The round that went worst, told with the newest one.
fn worst<'a>(barrier: &BarrierHistory, history: &'a RunHistory) -> Option<&'a WorstRound> {
    let same = |b: &&BarrierView| b.name == barrier.name && b.generation == barrier.generation;
    let worst = history.view.barriers.iter().find(same)?.worst.as_ref();
    worst.filter(|worst| worst.generation != barrier.generation)
}

/// The barriers for programs.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    version: u32,
    run: &'a str,
    elapsed_ms: u64,
    is_served: bool,
    barriers: Vec<Counted<'a>>,
}

/// A barrier with what can be counted of it.
#[derive(Debug, Serialize)]
struct Counted<'a> {
    #[serde(flatten)]
    barrier: &'a BarrierHistory,
    expected: usize,
    entered: usize,
    inside: usize,
    released: usize,
    first_entry_ms: Option<u64>,
    missing: Vec<&'a str>,
}

/// The barriers for programs.
pub fn document(history: &RunHistory) -> Document<'_> {
    Document {
        version: 1,
        run: &history.view.run,
        elapsed_ms: history.view.elapsed_ms,
        is_served: history.is_served,
        barriers: history.barriers.iter().map(counted).collect(),
    }
}

fn counted(barrier: &BarrierHistory) -> Counted<'_> {
    Counted {
        expected: barrier.expected(),
        entered: barrier.entered(),
        inside: barrier.count(MemberStand::Inside),
        released: barrier.released(),
        first_entry_ms: barrier.first_entry_ms(),
        missing: barrier.missing(),
        barrier,
    }
}
