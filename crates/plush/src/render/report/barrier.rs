//! The pictures of one barrier: who came when, who waited how long, how those inside were let go, when they started.
//! Not the table of all barriers.

use crate::duration;
use crate::render::chart::bars::{self, Pace, Sorted};
use crate::render::chart::curves::{self, Curve, CurveShape, Curves, Mark};
use crate::render::chart::{Drawing, Tint};
use crate::render::{names, text, together};
use plush_protocol::history::{BarrierHistory, BarrierMember, BarrierOrigin, RunHistory};

/// A folded host set in a sentence of a picture.
const HOSTS_WIDTH: usize = 90;

/// What each picture is called in a file's name, and the picture.
pub fn draw(
    barrier: &BarrierHistory,
    title: &str,
    history: &RunHistory,
) -> Vec<(&'static str, Drawing)> {
    let about = About { barrier, title, history, first_ms: barrier.first_entry_ms().unwrap_or(0) };
    let pictures = [
        Some(("completion", about.completion())),
        Some(("waits", about.waits())),
        about.rate().map(|drawing| ("rate", drawing)),
        about.times_inside().map(|drawing| ("inside", drawing)),
        about.starts().map(|drawing| ("starts", drawing)),
    ];
    pictures.into_iter().flatten().collect()
}

/// How far apart tasks were started after a barrier had let their hosts go.
pub struct Skew {
    /// Host, and time from its release to the first start after it.
    pub starts: Vec<(String, u64)>,
    /// From the first start to the last.
    pub spread_ms: u64,
    /// From the opening to the last start.
    pub last_ms: u64,
}

/// The first start on each host after its release. Times are those at which the controller heard of it.
pub fn skew(barrier: &BarrierHistory, history: &RunHistory) -> Option<Skew> {
    let opened_ms = barrier.opened.as_ref()?.at_ms;
    let mut moments = Vec::new();
    let mut starts = Vec::new();
    for member in &barrier.members {
        let Some(released_ms) = member.released_ms else { continue };
        let here = history.tasks.iter().filter(|task| task.host == member.host);
        let after = here.filter_map(|task| task.running_ms).filter(|at| *at >= released_ms).min();
        if let Some(at) = after {
            moments.push(at);
            starts.push((member.host.clone(), at - released_ms));
        }
    }
    let (first, last) = (*moments.iter().min()?, *moments.iter().max()?);
    Some(Skew { starts, spread_ms: last - first, last_ms: last.saturating_sub(opened_ms) })
}

struct About<'a> {
    barrier: &'a BarrierHistory,
    title: &'a str,
    history: &'a RunHistory,
    first_ms: u64,
}

impl About<'_> {
    fn completion(&self) -> Drawing {
        let members = &self.barrier.members;
        let end = self.end_ms();
        let curve = |label: &str, of: fn(&BarrierMember) -> Option<u64>, tint, shape| Curve {
            label: label.into(),
            points: cumulative(members.iter().filter_map(of), self.first_ms, end),
            shape,
            tint: Tint::Series(tint),
        };
        let mut lines = vec![curve("have come", |m| m.entered_ms, 0, CurveShape::Steps)];
        if self.barrier.released() > 0 {
            lines.push(curve("let go", |m| m.released_ms, 2, CurveShape::Steps));
        }
        let through = |m: &BarrierMember| m.released_ms.and(m.left_ms);
        if members.iter().any(|m| through(m).is_some()) && !is_at_once(self.barrier) {
            lines.push(curve(
                "through",
                |m| m.released_ms.and(m.left_ms),
                3,
                CurveShape::DashedSteps,
            ));
        }
        let expected =
            self.barrier.opened.as_ref().map_or(self.barrier.expected() as u32, |o| o.expected);
        curves::draw(&Curves {
            title: format!("{}: completion curve", self.title),
            subtitle: self.sentence(),
            since: "time since the first came".into(),
            upward: "hosts".into(),
            is_counted: true,
            least_top: f64::from(expected),
            curves: lines,
            marks: self.marks(),
            levels: vec![(f64::from(expected), format!("{expected} expected"))],
        })
    }

    /// Curves go on to the end of the barrier's life: the last time that anything happened at it.
    fn end_ms(&self) -> u64 {
        let times = self.barrier.members.iter().flat_map(|m| {
            let left = m.left_ms.filter(|_| !is_at_once(self.barrier));
            [m.entered_ms, m.released_ms, left]
        });
        let opened = self.barrier.opened.as_ref().map(|o| o.at_ms);
        let last = times.chain([opened]).flatten().max().unwrap_or(self.first_ms);
        match self.barrier.opened {
            Some(_) => last,
            None => last.max(self.history.view.elapsed_ms),
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let since = |at: u64| at.saturating_sub(self.first_ms);
        let mut marks = Vec::new();
        let opened = self.barrier.opened.as_ref();
        if let Some(opened) = opened {
            let after = match since(opened.at_ms) {
                0 => "at once".to_owned(),
                ms => format!("after {}", duration::show_ms(ms)),
            };
            let many = format!("{} of {}", opened.entered, opened.expected);
            let policy = text::shown(&opened.policy);
            let label = format!("opened by policy `{policy}` {after}, {many} had come");
            marks.push(Mark { at_ms: since(opened.at_ms), label, tint: Tint::Series(1) });
        }
        let is_knee = opened.is_some_and(|o| o.policy == "knee");
        if let Some(knee) = self.barrier.knee_ms.filter(|_| !is_knee) {
            let label = format!("knee after {}", duration::show_ms(since(knee)));
            marks.push(Mark { at_ms: since(knee), label, tint: Tint::Series(7) });
        }
        marks
    }

    fn sentence(&self) -> String {
        let policy = format!(
            "Opens: {}. Lets go: {}.",
            text::shown(&self.barrier.entry),
            text::shown(&self.barrier.release)
        );
        let because = match &self.barrier.opened {
            Some(opened) => format!(" Why it opened: {}.", text::shown(&opened.because)),
            None => " It has not opened.".into(),
        };
        // At a barrier that did not wait nobody was missed.
        let waited = self.barrier.opened.as_ref().is_none_or(|o| o.at_ms > self.first_ms);
        let missing = self.barrier.missing();
        let missing = match missing.is_empty() || !waited {
            true => String::new(),
            false => format!(" Missing then: {}.", names::fold_within(&missing, HOSTS_WIDTH)),
        };
        let together = self.barrier.together.as_ref();
        let together = together.map_or(String::new(), |t| format!(" {}.", together::words(t)));
        format!("{policy}{because}{missing}{together}")
    }

    fn waits(&self) -> Drawing {
        let now_ms = self.history.view.elapsed_ms;
        let bar = |member: &BarrierMember| {
            let tint = match member.released_ms {
                Some(_) => Tint::Series(0),
                None => Tint::Bad,
            };
            Some((text::shown(&member.host), member.waited_ms(now_ms)?, tint))
        };
        let bars: Vec<_> = self.barrier.members.iter().filter_map(bar).collect();
        let unreleased = bars.iter().any(|(_, _, tint)| *tint == Tint::Bad);
        let rest = if unreleased { " Red: not let go." } else { "" };
        bars::draw_sorted(&Sorted {
            title: format!("{}: how long each host waited", self.title),
            subtitle: format!("From its coming until it was let go.{rest}"),
            measure: "wait".into(),
            things: "hosts".into(),
            bars,
        })
    }

    /// Only where there is a rate: not when all were let go in one instant.
    fn rate(&self) -> Option<Drawing> {
        let released = || self.barrier.members.iter().filter_map(|m| m.released_ms);
        let (first, last) = (released().min()?, released().max()?);
        let at_ms: Vec<u64> = released().map(|at| at - first).collect();
        (first < last).then(|| {
            let span = duration::show_ms(last - first);
            bars::draw_pace(&Pace {
                title: format!("{}: how fast hosts were let go", self.title),
                subtitle: format!(
                    "{} in {span}, by release `{}`.",
                    text::counted(at_ms.len(), "host"),
                    text::shown(&self.barrier.release)
                ),
                things: "hosts let go".into(),
                since: "time since the first was let go".into(),
                at_ms,
            })
        })
    }

    /// Where places inside are what is limited, how long each was held.
    fn times_inside(&self) -> Option<Drawing> {
        let bar = |member: &BarrierMember| {
            let inside = member.left_ms?.saturating_sub(member.released_ms?);
            Some((text::shown(&member.host), inside, Tint::Series(2)))
        };
        let bars: Vec<_> = self.barrier.members.iter().filter_map(bar).collect();
        (!bars.is_empty() && !is_at_once(self.barrier)).then(|| {
            bars::draw_sorted(&Sorted {
                title: format!("{}: how long each host was inside", self.title),
                subtitle: "From its release until it was through.".into(),
                measure: "time inside".into(),
                things: "hosts".into(),
                bars,
            })
        })
    }

    /// Between preparation and a start there is more than the barrier.
    fn starts(&self) -> Option<Drawing> {
        let skew = skew(self.barrier, self.history).filter(|_| !is_preparation(self.barrier))?;
        let bars = skew.starts.iter().map(|(host, ms)| (text::shown(host), *ms, Tint::Series(5)));
        let together = match is_at_once(self.barrier) {
            false => String::new(),
            true => format!(
                "Start skew: {} from the first start to the last; the last was {} after the opening. ",
                duration::show_ms(skew.spread_ms),
                duration::show_ms(skew.last_ms)
            ),
        };
        Some(bars::draw_sorted(&Sorted {
            title: format!("{}: from release to start", self.title),
            subtitle: format!(
                "{together}Times are those at which the controller heard of a start, so they hold the way back."
            ),
            measure: "time to start".into(),
            things: "hosts".into(),
            bars: bars.collect(),
        }))
    }
}

/// Those who are let go all at once do not make a curve of their leaving: it only says how long the steps after took.
pub fn is_at_once(barrier: &BarrierHistory) -> bool {
    barrier.release == "all at once"
}

fn is_preparation(barrier: &BarrierHistory) -> bool {
    barrier.origin == BarrierOrigin::Phase && barrier.name.ends_with("/prepare")
}

/// How many there were by when, in ms since `first_ms`: steps from nothing to all, held until `end_ms`.
pub fn cumulative(times: impl Iterator<Item = u64>, first_ms: u64, end_ms: u64) -> Vec<(u64, f64)> {
    let mut times: Vec<u64> = times.map(|at| at.saturating_sub(first_ms)).collect();
    times.sort_unstable();
    let mut points: Vec<(u64, f64)> = times.first().map(|at| (*at, 0.0)).into_iter().collect();
    for same in times.chunk_by(|a, b| a == b) {
        let before = points.last().map_or(0.0, |(_, many)| *many);
        points.push((same[0], before + same.len() as f64));
    }
    let (last, many) = points.last().copied().unwrap_or((0, 0.0));
    let end = end_ms.saturating_sub(first_ms);
    if end > last && many > 0.0 {
        points.push((end, many));
    }
    points
}
