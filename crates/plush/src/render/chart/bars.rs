//! Bars: one for each of several things, the longest first, or one for each piece of time.
//! Not curves.

use super::axis::{self, TimeUnit};
use super::frame::{self, Axis, Margins, Words};
use super::{Anchor, Drawing, PLAIN, SMALL, Stroke, Tint, font};

/// Times of things with names, to be drawn the longest first.
#[derive(Clone, Debug, Default)]
pub struct Sorted {
    /// The title.
    pub title: String,
    /// A sentence below it.
    pub subtitle: String,
    /// What a bar measures: `wait`.
    pub measure: String,
    /// What has a bar: `hosts`.
    pub things: String,
    /// Name, time in ms, colour.
    pub bars: Vec<(String, u64, Tint)>,
}

/// So many bars still have names of their own.
pub const NAMED_MAX: usize = 40;

/// Room of a bar with a name.
const BAR_ROOM: f64 = 17.0;
/// Names are never wider.
const NAME_MAX: f64 = 240.0;

/// Draws them: with a name each while there are few, else side by side.
pub fn draw_sorted(sorted: &Sorted) -> Drawing {
    let mut bars = sorted.bars.clone();
    bars.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let longest = bars.first().map_or(0, |bar| bar.1);
    let unit = TimeUnit::for_span(longest.max(1) as f64);
    if bars.len() <= NAMED_MAX { named(sorted, &bars, unit) } else { dense(sorted, &bars, unit) }
}

fn named(sorted: &Sorted, bars: &[(String, u64, Tint)], unit: TimeUnit) -> Drawing {
    let longest = bars.first().map_or(0, |bar| bar.1).max(1);
    let across = Axis::measured_to_tick(unit.of(longest), 8);
    let height = BAR_ROOM * bars.len() as f64;
    let widest = bars.iter().map(|(name, _, _)| font::width(name, PLAIN)).fold(0.0, f64::max);
    let margins = Margins { left: 32.0 + widest.min(NAME_MAX), right: 70.0, top: 0.0 };
    let words = Words {
        title: sorted.title.clone(),
        subtitle: sorted.subtitle.clone(),
        across: format!("{} [{}]", sorted.measure, unit.name),
        upward: String::new(),
    };
    let (mut drawing, area) =
        frame::chart(&words, &across, &Axis::bare(bars.len() as f64), height, margins);
    let (left, top) = (area.x.places.0, area.y.places.1);
    for (tick, _) in &across.ticks {
        let x = area.x.at(*tick);
        drawing.line(vec![(x, top), (x, top + height)], Stroke::whole(Tint::Grid, 1.0));
    }
    for (n, (name, ms, tint)) in bars.iter().enumerate() {
        let y = top + BAR_ROOM * n as f64;
        let end = area.x.at(unit.of(*ms));
        drawing.boxes(vec![[left, y + 2.5, (end - left).max(1.0), BAR_ROOM - 5.0]], *tint);
        drawing.text(
            (left - 8.0, y + 12.5),
            font::fitted(name, PLAIN, NAME_MAX),
            PLAIN,
            Anchor::End,
        );
        let value = format!("{} {}", axis::rounded(unit.of(*ms)), unit.name);
        drawing.text((end + 6.0, y + 12.5), value, SMALL, Anchor::Start);
    }
    drawing
}

fn dense(sorted: &Sorted, bars: &[(String, u64, Tint)], unit: TimeUnit) -> Drawing {
    let longest = bars[0].1.max(1);
    let upward = Axis::measured_to_tick(unit.of(longest), 6);
    let across = Axis::counted(bars.len() as f64, 10);
    let words = Words {
        title: sorted.title.clone(),
        subtitle: sorted.subtitle.clone(),
        across: format!("{}, the longest first", sorted.things),
        upward: format!("{} [{}]", sorted.measure, unit.name),
    };
    let margins = Margins { right: 150.0, ..Margins::default() };
    let (mut drawing, area) = frame::chart(&words, &across, &upward, 240.0, margins);
    let bottom = area.y.places.0;
    let room = (area.x.places.1 - area.x.places.0) / bars.len() as f64;
    // Gaps that are finer than a pixel are not gaps but a pattern.
    let wide = if room > 3.0 { room * 0.9 } else { room };
    for tinted in bars.iter().enumerate().collect::<Vec<_>>().chunk_by(|a, b| a.1.2 == b.1.2) {
        let boxes = tinted.iter().map(|(n, (_, ms, _))| {
            let y = area.y.at(unit.of(*ms));
            [area.x.at(*n as f64), y, wide, bottom - y]
        });
        drawing.boxes(boxes.collect(), tinted[0].1.2);
    }
    let levels =
        [("longest", 0), ("9 of 10 at most", bars.len() / 10), ("half at most", bars.len() / 2)];
    let mut last = f64::NEG_INFINITY;
    for (label, n) in levels {
        let ms = bars[n].1;
        let y = area.y.at(unit.of(ms));
        drawing.line(
            vec![(area.x.at(n as f64), y), (area.x.places.1 + 4.0, y)],
            Stroke::dashed(Tint::Muted, 1.0),
        );
        let at = y.max(last + 26.0);
        last = at;
        let x = area.x.places.1 + 8.0;
        let value = format!("{} {}", axis::rounded(unit.of(ms)), unit.name);
        drawing.text((x, at), value, PLAIN.bold(), Anchor::Start);
        drawing.text((x, at + 12.0), label, SMALL, Anchor::Start);
    }
    drawing
}

/// How often something happened over time.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// The title.
    pub title: String,
    /// A sentence below it.
    pub subtitle: String,
    /// What happens: `hosts let go`.
    pub things: String,
    /// What goes to the right: `time since the first entry`.
    pub since: String,
    /// When each happened, in ms.
    pub at_ms: Vec<u64>,
}

/// So many pieces of time are drawn at the least and at the most.
const PIECES: (usize, usize) = (5, 60);

/// Draws how many there were a second (a minute, an hour) in each piece of time.
pub fn draw_pace(pace: &Pace) -> Drawing {
    let end_ms = pace.at_ms.iter().copied().max().unwrap_or(0).max(1);
    let unit = TimeUnit::for_span(end_ms as f64);
    // A few in each piece: where there are fewer, it is chance that is drawn.
    let pieces = (pace.at_ms.len() / 2).clamp(PIECES.0, PIECES.1);
    let piece =
        axis::ticks(0.0, unit.of(end_ms), pieces).get(1).copied().unwrap_or(unit.of(end_ms));
    let count = (unit.of(end_ms) / piece).floor() as usize + 1;
    let mut pieces = vec![0u32; count];
    for at in &pace.at_ms {
        let n = ((unit.of(*at) / piece) as usize).min(count - 1);
        pieces[n] += 1;
    }
    // A rate has the unit in which a person would say it.
    let (per, per_ms) = if unit.ms <= 1e3 { ("s", 1e3) } else { (unit.name, unit.ms) };
    let rate = |n: u32| f64::from(n) * per_ms / (piece * unit.ms);
    let most = pieces.iter().copied().max().unwrap_or(0);
    let upward = Axis::measured_to_tick(rate(most), 5);
    let across = Axis::measured(0.0, count as f64 * piece, 10);
    let words = Words {
        title: pace.title.clone(),
        subtitle: pace.subtitle.clone(),
        across: format!(
            "{} [{}]; one bar is {} {}",
            pace.since,
            unit.name,
            axis::label(piece),
            unit.name
        ),
        upward: format!("{} per {per}", pace.things),
    };
    let (mut drawing, area) = frame::chart(&words, &across, &upward, 170.0, Margins::default());
    let bottom = area.y.places.0;
    let wide = area.x.at(piece) - area.x.at(0.0);
    let boxes = pieces.iter().enumerate().filter(|(_, n)| **n > 0).map(|(n, many)| {
        let y = area.y.at(rate(*many));
        [area.x.at(n as f64 * piece) + wide * 0.04, y, wide * 0.92, bottom - y]
    });
    drawing.boxes(boxes.collect(), Tint::Series(0));
    drawing
}
