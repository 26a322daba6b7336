//! Curves over time: each has its label at its end; instants are marked by upright lines with a word.
//! Not where the numbers come from.

use super::axis::TimeUnit;
use super::frame::{self, Area, Axis, Margins, Words};
use super::{Anchor, Drawing, PLAIN, Point, SMALL, Stroke, Tint, font};

/// A picture of curves.
#[derive(Clone, Debug, Default)]
pub struct Curves {
    /// The title.
    pub title: String,
    /// A sentence below it.
    pub subtitle: String,
    /// What goes to the right: `time since the first entry`.
    pub since: String,
    /// What goes upwards, with its unit.
    pub upward: String,
    /// What goes upwards is counted in whole things.
    pub is_counted: bool,
    /// At least so far up.
    pub least_top: f64,
    /// The curves.
    pub curves: Vec<Curve>,
    /// Instants.
    pub marks: Vec<Mark>,
    /// Heights with a word, dashed.
    pub levels: Vec<(f64, String)>,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What it is; stands at its end.
    pub label: String,
    /// Time in ms, and value; in order of time.
    pub points: Vec<(u64, f64)>,
    /// How points are joined.
    pub shape: CurveShape,
    /// Its colour.
    pub tint: Tint,
}

/// How the points of a curve are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurveShape {
    /// The value holds until the next point.
    Steps,
    /// The same, in dashes.
    DashedSteps,
}

/// An instant.
#[derive(Clone, Debug)]
pub struct Mark {
    /// When, in ms.
    pub at_ms: u64,
    /// What happened.
    pub label: String,
    /// Its colour.
    pub tint: Tint,
}

/// How high the area is.
const HEIGHT: f64 = 300.0;
/// Labels of curves and marks keep this distance from base line to base line.
const APART: f64 = 15.0;
/// Labels are never wider.
const LABEL_MAX: f64 = 220.0;

/// Draws them.
pub fn draw(curves: &Curves) -> Drawing {
    let end_ms = curves
        .curves
        .iter()
        .flat_map(|c| c.points.last())
        .map(|(at, _)| *at)
        .chain(curves.marks.iter().map(|m| m.at_ms))
        .max()
        .unwrap_or(0)
        .max(1);
    let unit = TimeUnit::for_span(end_ms as f64);
    let top = curves
        .curves
        .iter()
        .flat_map(|c| c.points.iter().map(|(_, value)| *value))
        .chain(curves.levels.iter().map(|(value, _)| *value))
        .fold(curves.least_top, f64::max);
    let upward =
        if curves.is_counted { Axis::counted(top, 6) } else { Axis::measured_to_tick(top, 6) };
    let across = Axis::measured(0.0, unit.of(end_ms), 10);
    let words = Words {
        title: curves.title.clone(),
        subtitle: curves.subtitle.clone(),
        across: format!("{} [{}]", curves.since, unit.name),
        upward: curves.upward.clone(),
    };
    let margins =
        Margins { right: 24.0 + label_room(curves), top: mark_room(curves), ..Margins::default() };
    let (mut drawing, area) = frame::chart(&words, &across, &upward, HEIGHT, margins);
    draw_levels(&mut drawing, &area, curves);
    draw_marks(&mut drawing, &area, curves, unit);
    for curve in &curves.curves {
        draw_curve(&mut drawing, &area, curve, unit);
    }
    draw_labels(&mut drawing, &area, curves, unit, end_ms);
    drawing
}

fn label_room(curves: &Curves) -> f64 {
    let width = |label: &str| font::width(label, PLAIN.bold()).min(LABEL_MAX);
    let labels = curves.curves.iter().map(|c| width(&c.label));
    labels.fold(0.0, f64::max) + 8.0
}

/// A line for the words of the levels, and one for each mark.
fn mark_room(curves: &Curves) -> f64 {
    let marks = APART * curves.marks.len() as f64;
    level_room(curves) + if curves.marks.is_empty() { 0.0 } else { marks + 4.0 }
}

fn level_room(curves: &Curves) -> f64 {
    if curves.levels.is_empty() { 0.0 } else { APART }
}

/// The corners of the steps.
fn corners(curve: &Curve, area: &Area, unit: TimeUnit) -> Vec<Point> {
    let mut corners: Vec<Point> = Vec::with_capacity(curve.points.len() * 2);
    for (at, value) in &curve.points {
        let (x, y) = (area.x.at(unit.of(*at)), area.y.at(*value));
        if let Some((_, before)) = corners.last().copied() {
            corners.push((x, before));
        }
        corners.push((x, y));
    }
    corners
}

fn draw_curve(drawing: &mut Drawing, area: &Area, curve: &Curve, unit: TimeUnit) {
    let stroke = match curve.shape {
        CurveShape::Steps => Stroke::whole(curve.tint, 2.0),
        CurveShape::DashedSteps => Stroke::dashed(curve.tint, 1.6),
    };
    drawing.line(corners(curve, area, unit), stroke);
    // Few arrivals are seen one by one.
    if curve.points.len() <= 60 && curve.shape == CurveShape::Steps {
        for (at, value) in curve.points.iter().filter(|(_, value)| *value > 0.0) {
            drawing.dot((area.x.at(unit.of(*at)), area.y.at(*value)), 2.6, curve.tint);
        }
    }
}

fn draw_levels(drawing: &mut Drawing, area: &Area, curves: &Curves) {
    let (left, right) = area.x.places;
    for (value, label) in &curves.levels {
        let y = area.y.at(*value);
        drawing.line(vec![(left, y), (right, y)], Stroke::dashed(Tint::Muted, 1.0));
        drawing.text((left + 6.0, y - 5.0), label, SMALL, Anchor::Start);
    }
}

/// Each mark's word stands on a line of its own above the area, so that none covers another.
fn draw_marks(drawing: &mut Drawing, area: &Area, curves: &Curves, unit: TimeUnit) {
    let (bottom, top) = area.y.places;
    let mut marks: Vec<&Mark> = curves.marks.iter().collect();
    marks.sort_by_key(|mark| mark.at_ms);
    for (n, mark) in marks.iter().enumerate() {
        let x = area.x.at(unit.of(mark.at_ms));
        let y = top - 8.0 - level_room(curves) - APART * (marks.len() - 1 - n) as f64;
        drawing.line(vec![(x, bottom), (x, y + 3.0)], Stroke::dashed(mark.tint, 1.4));
        let face = PLAIN.bold().tinted(mark.tint);
        let label = font::fitted(&mark.label, face, frame::WIDTH - 60.0);
        let width = font::width(&label, face);
        // Beside its line where there is room, on the other side otherwise.
        let fits_right = x + 5.0 + width <= area.x.places.1;
        let fits_left = x - 5.0 - width >= 16.0;
        let (at, anchor) = match (fits_right, fits_left) {
            (true, _) => (x + 5.0, Anchor::Start),
            (false, true) => (x - 5.0, Anchor::End),
            (false, false) => (20.0, Anchor::Start),
        };
        drawing.text((at, y), label, face, anchor);
    }
}

/// Labels stand right of the area at the heights where the curves end, moved apart where they would touch.
fn draw_labels(drawing: &mut Drawing, area: &Area, curves: &Curves, unit: TimeUnit, end_ms: u64) {
    let mut ends: Vec<(f64, Point, &Curve)> = curves
        .curves
        .iter()
        .filter_map(|curve| {
            let (at, value) = *curve.points.last()?;
            let end = (area.x.at(unit.of(at)), area.y.at(value));
            Some((end.1, end, curve))
        })
        .collect();
    // Of those that end equally high, the one that is there first comes first.
    ends.sort_by(|a, b| a.1.0.total_cmp(&b.1.0));
    let heights: Vec<f64> = ends.iter().map(|(y, _, _)| *y).collect();
    let apart = spread(&heights, APART, area.y.places.1 - 6.0, area.y.places.0);
    let right = area.x.places.1;
    for ((y, (_, end, curve)), at) in
        apart.into_iter().zip(&ends).zip(std::iter::repeat(right + 12.0))
    {
        let face = PLAIN.bold().tinted(curve.tint);
        if end.0 < area.x.at(unit.of(end_ms)) - 1.0 || (y - end.1).abs() > 2.0 {
            let guide = vec![(end.0, end.1), (right + 2.0, end.1), (at - 2.0, y)];
            drawing.line(guide, Stroke { tint: curve.tint, width: 0.8, is_dashed: true });
        }
        drawing.text(
            (at, y + 4.0),
            font::fitted(&curve.label, face, LABEL_MAX),
            face,
            Anchor::Start,
        );
    }
}

/// Moves heights apart, in their order, as little as a few rounds of pushing need, and keeps them within limits.
fn spread(heights: &[f64], apart: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..heights.len()).collect();
    order.sort_by(|a, b| heights[*a].total_cmp(&heights[*b]).then(a.cmp(b)));
    let mut placed = heights.to_vec();
    let mut least = top;
    for n in &order {
        placed[*n] = placed[*n].max(least);
        least = placed[*n] + apart;
    }
    let mut most = bottom;
    for n in order.iter().rev() {
        placed[*n] = placed[*n].min(most);
        most = placed[*n] - apart;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn labels_never_touch_and_keep_their_order(heights in proptest::collection::vec(0.0..300.0f64, 1..12)) {
            let placed = spread(&heights, 15.0, 0.0, 300.0);
            let mut pairs: Vec<(f64, f64)> = heights.into_iter().zip(placed).collect();
            pairs.sort_by(|a, b| a.1.total_cmp(&b.1));
            for two in pairs.windows(2) {
                prop_assert!(two[1].1 - two[0].1 >= 15.0 - 1e-6);
                prop_assert!(two[1].0 >= two[0].0);
            }
        }
    }
}
