//! The frame of a chart: title, axes with ticks and units, and the area in between.
//! Not what is in the area.

use super::axis::{self, Scale};
use super::{Anchor, Drawing, Face, Point, SMALL, Stroke, TITLE, Tint, font};

/// How wide every picture is.
pub const WIDTH: f64 = 900.0;

/// What stands around the area.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// The title.
    pub title: String,
    /// A sentence below it; may be empty.
    pub subtitle: String,
    /// What the horizontal axis measures, with its unit.
    pub across: String,
    /// What the vertical axis measures, with its unit.
    pub upward: String,
}

/// One axis: where it goes to and its ticks.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The least and the largest value.
    pub values: (f64, f64),
    /// Values with a tick, and what is written there.
    pub ticks: Vec<(f64, String)>,
}

/// The area of a chart, and where values lie in it.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// The horizontal scale.
    pub x: Scale,
    /// The vertical scale; larger values lie higher.
    pub y: Scale,
}

impl Axis {
    /// For a measure: about `count` ticks.
    pub fn measured(low: f64, high: f64, count: usize) -> Axis {
        let high = if high > low { high } else { low + 1.0 };
        let ticks = axis::ticks(low, high, count);
        Axis {
            values: (low, high),
            ticks: ticks.into_iter().map(|t| (t, axis::label(t))).collect(),
        }
    }

    /// For a measure: up to the first tick that is not below `high`.
    pub fn measured_to_tick(high: f64, count: usize) -> Axis {
        let high = if high > 0.0 { high } else { 1.0 };
        let ticks = axis::ticks(0.0, high, count);
        let step = ticks.get(1).copied().unwrap_or(high);
        Axis::measured(0.0, (high / step - 1e-9).ceil() * step, count)
    }

    /// For a number of things.
    pub fn counted(high: f64, count: usize) -> Axis {
        let high = high.max(1.0);
        let ticks = axis::whole_ticks(high, count);
        Axis {
            values: (0.0, high),
            ticks: ticks.into_iter().map(|t| (t, axis::label(t))).collect(),
        }
    }

    /// Without ticks.
    pub fn bare(high: f64) -> Axis {
        Axis { values: (0.0, high.max(1e-9)), ticks: Vec::new() }
    }
}

/// Room around the area.
#[derive(Clone, Copy, Debug)]
pub struct Margins {
    /// Left of it, for the vertical axis.
    pub left: f64,
    /// Right of it, for labels of curves.
    pub right: f64,
    /// Above it, below the title.
    pub top: f64,
}

impl Default for Margins {
    fn default() -> Self {
        Margins { left: 64.0, right: 28.0, top: 0.0 }
    }
}

/// Room for a title, and for a sentence below it.
const TITLE_ROOM: f64 = 34.0;
const SUBTITLE_ROOM: f64 = 18.0;
const BELOW: f64 = 48.0;

/// An empty chart whose area is `height` high.
pub fn chart(
    words: &Words,
    across: &Axis,
    upward: &Axis,
    height: f64,
    margins: Margins,
) -> (Drawing, Area) {
    let subtitles = lines(&words.subtitle, SMALL, WIDTH - 40.0);
    let top = TITLE_ROOM + SUBTITLE_ROOM * subtitles.len() as f64 + 12.0 + margins.top;
    let mut drawing = Drawing::new(WIDTH, top + height + BELOW, &words.title);
    let area = Area {
        x: Scale { values: across.values, places: (margins.left, WIDTH - margins.right) },
        y: Scale { values: upward.values, places: (top + height, top) },
    };
    drawing.boxes(vec![[0.0, 0.0, drawing.width, drawing.height]], Tint::Ground);
    drawing.text(
        (20.0, 24.0),
        font::fitted(&words.title, TITLE, WIDTH - 40.0),
        TITLE,
        Anchor::Start,
    );
    for (n, line) in subtitles.into_iter().enumerate() {
        drawing.text((20.0, 42.0 + SUBTITLE_ROOM * n as f64), line, SMALL, Anchor::Start);
    }
    upward_axis(&mut drawing, &area, words, upward);
    across_axis(&mut drawing, &area, words, across);
    (drawing, area)
}

fn upward_axis(drawing: &mut Drawing, area: &Area, words: &Words, axis: &Axis) {
    let (left, right) = area.x.places;
    for (value, label) in &axis.ticks {
        let y = area.y.at(*value);
        drawing.line(vec![(left, y), (right, y)], Stroke::whole(Tint::Grid, 1.0));
        drawing.text((left - 8.0, y + 4.0), label, SMALL, Anchor::End);
    }
    let middle = (area.y.places.0 + area.y.places.1) / 2.0;
    drawing.upright_text((18.0, middle), &words.upward, SMALL);
}

fn across_axis(drawing: &mut Drawing, area: &Area, words: &Words, axis: &Axis) {
    let (left, right) = area.x.places;
    let bottom = area.y.places.0;
    drawing.line(vec![(left, bottom), (right, bottom)], Stroke::whole(Tint::Muted, 1.0));
    for (value, label) in &axis.ticks {
        let x = area.x.at(*value);
        drawing.line(vec![(x, bottom), (x, bottom + 5.0)], Stroke::whole(Tint::Muted, 1.0));
        drawing.text((x, bottom + 18.0), label, SMALL, Anchor::Middle);
    }
    drawing.text(((left + right) / 2.0, bottom + 38.0), &words.across, SMALL, Anchor::Middle);
}

/// A text in lines that fit.
pub fn lines(text: &str, face: Face, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if font::width(&format!("{line} {word}"), face) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(font::fitted(word, face, room)),
        }
    }
    lines
}

/// Small squares with words, side by side, from `at` on; in as many lines as they need. Returns the lines.
pub fn legend(drawing: &mut Drawing, at: Point, entries: &[(String, Tint)]) -> usize {
    let (mut x, mut line) = (at.0, 0);
    for (label, tint) in entries {
        let wide = font::width(label, SMALL) + 16.0;
        if x + wide > WIDTH - 20.0 && x > at.0 {
            (x, line) = (at.0, line + 1);
        }
        let y = at.1 + SUBTITLE_ROOM * line as f64;
        drawing.boxes(vec![[x, y - 9.0, 10.0, 10.0]], *tint);
        drawing.text((x + 15.0, y), label, SMALL, Anchor::Start);
        x += wide + 18.0;
    }
    line + 1
}
