//! Rows over time: one for each of several things, with pieces of time in the colours of what went on.
//! Not curves: nothing goes up or down.

use super::axis::TimeUnit;
use super::frame::{self, Axis, Margins, Words};
use super::{Anchor, Drawing, PLAIN, SMALL, Stroke, Tint, font};

/// A picture of rows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// The title.
    pub title: String,
    /// A sentence below it.
    pub subtitle: String,
    /// What goes to the right: `time since the run began`.
    pub since: String,
    /// What has a row: `hosts`.
    pub things: String,
    /// The rows, from above.
    pub rows: Vec<Row>,
    /// What colours mean.
    pub legend: Vec<(String, Tint)>,
    /// When time ends, in ms.
    pub end_ms: u64,
}

/// One row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Whose.
    pub name: String,
    /// From, until, in ms, and in which colour.
    pub pieces: Vec<(u64, u64, Tint)>,
}

/// So many rows have names of their own.
pub const NAMED_MAX: usize = 60;

/// Names are never wider.
const NAME_MAX: f64 = 240.0;

/// Draws them: with a name each while there are few, else thin and close.
pub fn draw(rows: &Rows) -> Drawing {
    let unit = TimeUnit::for_span(rows.end_ms.max(1) as f64);
    let across = Axis::measured(0.0, unit.of(rows.end_ms.max(1)), 10);
    let is_named = rows.rows.len() <= NAMED_MAX;
    let room = if is_named { 16.0 } else { (600.0 / rows.rows.len() as f64).clamp(0.5, 6.0) };
    let height = room * rows.rows.len() as f64;
    let names = rows.rows.iter().map(|row| font::width(&row.name, PLAIN).min(NAME_MAX));
    let left = if is_named { 32.0 + names.fold(0.0, f64::max) } else { 64.0 };
    let words = Words {
        title: rows.title.clone(),
        subtitle: rows.subtitle.clone(),
        across: format!("{} [{}]", rows.since, unit.name),
        upward: if is_named { String::new() } else { rows.things.clone() },
    };
    let count = rows.rows.len() as f64;
    let upward = Axis::bare(count);
    let margins = Margins { left, right: 28.0, top: 26.0 };
    let (mut drawing, area) = frame::chart(&words, &across, &upward, height, margins);
    let (bottom, top) = area.y.places;
    // The legend stands where the margin leaves room for one line; a second one would be a chart of too many colours.
    frame::legend(&mut drawing, (left, top - 14.0), &rows.legend);
    if !is_named {
        for (tick, label) in Axis::counted(count, 8).ticks {
            let y = top + room * tick;
            drawing.text((left - 8.0, y.min(bottom) + 4.0), label, SMALL, Anchor::End);
        }
    }
    let gap = if is_named { 3.0 } else { 0.0 };
    draw_pieces(&mut drawing, rows, |n, from, until| {
        let (x, end) = (area.x.at(unit.of(from)), area.x.at(unit.of(until)));
        [x, top + room * n as f64 + gap / 2.0, (end - x).max(0.3), room - gap]
    });
    if is_named {
        for (n, row) in rows.rows.iter().enumerate() {
            let y = top + room * n as f64 + 12.0;
            drawing.text(
                (left - 8.0, y),
                font::fitted(&row.name, PLAIN, NAME_MAX),
                PLAIN,
                Anchor::End,
            );
        }
    }
    for (tick, _) in across.ticks.iter().filter(|(tick, _)| *tick > 0.0) {
        let x = area.x.at(*tick);
        drawing.line(vec![(x, top), (x, bottom)], Stroke::dashed(Tint::Grid, 0.6));
    }
    drawing
}

/// All pieces of one colour at once: a thousand rows are a handful of shapes.
fn draw_pieces(drawing: &mut Drawing, rows: &Rows, place: impl Fn(usize, u64, u64) -> [f64; 4]) {
    let mut tints: Vec<Tint> = Vec::new();
    for (_, _, tint) in rows.rows.iter().flat_map(|row| &row.pieces) {
        if !tints.contains(tint) {
            tints.push(*tint);
        }
    }
    for tint in tints {
        let rows = rows.rows.iter().enumerate();
        let boxes = rows.flat_map(|(n, row)| {
            row.pieces.iter().filter(|piece| piece.2 == tint).map(move |piece| (n, *piece))
        });
        drawing.boxes(boxes.map(|(n, (from, until, _))| place(n, from, until)).collect(), tint);
    }
}
