//! The curves of one barrier in several runs, in one picture.
//! Not a judgement: which curve is better is for the reader.

use super::barrier::cumulative;
use crate::duration;
use crate::render::chart::curves::{self, Curve, CurveShape, Curves};
use crate::render::chart::{Drawing, Tint};
use crate::render::text;
use plush_protocol::history::{BarrierHistory, BarrierMember};
use serde::Serialize;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CurveOf {
    /// Those who have come
    Entered,
    /// Those who were let go
    Released,
    /// Those who were let go and are through
    Through,
}

/// Where time begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Origin {
    /// When the first came to the barrier
    Entry,
    /// When the run began
    Run,
}

/// What is compared, and how.
pub struct Comparison {
    /// The barrier's name.
    pub barrier: String,
    /// What is counted.
    pub of: CurveOf,
    /// Where time begins.
    pub since: Origin,
    /// Instead of a title that is made.
    pub title: Option<String>,
}

/// One run's curve, for programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// How the run is called.
    pub label: String,
    /// How many there were at the end.
    pub count: usize,
    /// When the first, half of them, nine of ten and all of them were there.
    pub first_ms: u64,
    /// See `first_ms`.
    pub half_ms: u64,
    /// See `first_ms`.
    pub most_ms: u64,
    /// See `first_ms`.
    pub all_ms: u64,
}

/// The picture, and its numbers.
pub fn compare(how: &Comparison, runs: &[(String, BarrierHistory)]) -> (Drawing, Vec<Compared>) {
    let mut lines = Vec::new();
    let mut numbers = Vec::new();
    for (n, (label, barrier)) in runs.iter().enumerate() {
        let origin = match how.since {
            Origin::Entry => barrier.first_entry_ms().unwrap_or(0),
            Origin::Run => 0,
        };
        let mut times: Vec<u64> = barrier.members.iter().filter_map(|m| time(how.of, m)).collect();
        times.sort_unstable();
        lines.push(Curve {
            label: text::shown(label),
            points: cumulative(times.iter().copied(), origin, 0),
            shape: if n < Tint::SERIES { CurveShape::Steps } else { CurveShape::DashedSteps },
            tint: Tint::Series(n),
        });
        let by = |share: f64| {
            let n = (times.len() as f64 * share).ceil().max(1.0) as usize - 1;
            times.get(n).map_or(0, |at| at.saturating_sub(origin))
        };
        numbers.push(Compared {
            label: label.clone(),
            count: times.len(),
            first_ms: by(0.0),
            half_ms: by(0.5),
            most_ms: by(0.9),
            all_ms: by(1.0),
        });
    }
    let fastest = numbers.iter().filter(|n| n.count > 0).min_by_key(|n| n.all_ms);
    let fastest = fastest.map(|n| {
        format!(
            "First to have all: `{}` after {}.",
            text::shown(&n.label),
            duration::show_ms(n.all_ms)
        )
    });
    let barrier = text::shown(&how.barrier);
    let what = match how.of {
        CurveOf::Entered => "that have come",
        CurveOf::Released => "that were let go",
        CurveOf::Through => "that are through",
    };
    let drawing = curves::draw(&Curves {
        title: how.title.as_deref().map_or_else(
            || format!("{barrier}: completion curves of {}", text::counted(runs.len(), "run")),
            text::shown,
        ),
        subtitle: fastest.unwrap_or_default(),
        since: match how.since {
            Origin::Entry => "time since the first came".into(),
            Origin::Run => "time since the run began".into(),
        },
        upward: format!("hosts {what}"),
        is_counted: true,
        curves: lines,
        ..Curves::default()
    });
    (drawing, numbers)
}

fn time(of: CurveOf, member: &BarrierMember) -> Option<u64> {
    match of {
        CurveOf::Entered => member.entered_ms,
        CurveOf::Released => member.released_ms,
        CurveOf::Through => member.released_ms.and(member.left_ms),
    }
}
