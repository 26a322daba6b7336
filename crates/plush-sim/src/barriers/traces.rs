//! Arrivals as they were, played to a barrier again. The format is one arrival a line, in seconds after the start, or
//! `never`; what follows a `#` is for people.

use plush_core::Millis;
use plush_core::barrier::{Barrier, Entrant, Opened};
use plush_spec::model::{BarrierPolicy, Entry, Knee, Percent};
use std::fmt::Write;

/// When the members of a barrier came.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Times of those who came, in order.
    pub arrivals_ms: Vec<Millis>,
    /// All, also those who never came.
    pub members: u32,
}

impl Trace {
    /// Reads the format.
    ///
    /// # Errors
    /// The first line that is neither a time, nor `never`, nor a remark.
    pub fn parse(text: &str) -> Result<Trace, String> {
        let mut trace = Trace { arrivals_ms: Vec::new(), members: 0 };
        for (number, line) in text.lines().enumerate() {
            let word = line.split('#').next().unwrap_or_default().trim();
            if word.is_empty() {
                continue;
            }
            trace.members += 1;
            if word == "never" {
                continue;
            }
            let seconds = word.parse::<f64>().ok().filter(|s| (0.0..1e9).contains(s));
            let seconds =
                seconds.ok_or_else(|| format!("line {}: `{word}` is no time", number + 1))?;
            trace.arrivals_ms.push((seconds * 1000.0).round() as Millis);
        }
        trace.arrivals_ms.sort_unstable();
        Ok(trace)
    }

    /// How a barrier with this entry opens, if it does.
    pub fn play(&self, entry: &Entry) -> Option<Opened> {
        let policy = BarrierPolicy { entry: entry.clone(), ..BarrierPolicy::default() };
        let mut barrier = Barrier::new(policy);
        (0..self.members).for_each(|n| barrier.expect(Entrant(n)));
        for (who, at) in (0..).zip(&self.arrivals_ms) {
            if let Some(wake) = barrier.wake_at().filter(|wake| wake <= at) {
                let _ = barrier.decide(wake);
            }
            if barrier.opened().is_some() {
                break;
            }
            barrier.enter(Entrant(who), *at);
            let _ = barrier.decide(*at);
        }
        if let Some(wake) = barrier.wake_at() {
            let _ = barrier.decide(wake);
        }
        barrier.opened().copied()
    }

    /// How many have come by then.
    pub fn come_by(&self, at: Millis) -> usize {
        self.arrivals_ms.partition_point(|arrival| *arrival <= at)
    }
}

/// A table: when each policy opens, with how many, and why.
pub fn trace_table(trace: &Trace) -> String {
    let mut table = String::from("| policy | opens at | with | because |\n|---|---|---|---|\n");
    for (name, entry) in policies() {
        let line = match trace.play(&entry) {
            Some(opened) => format!(
                "| {name} | {:.1} s | {} of {} | {} |",
                opened.at as f64 / 1000.0,
                opened.entered,
                trace.members,
                opened.why
            ),
            None => format!("| {name} | never | | |"),
        };
        writeln!(table, "{line}").expect("a text takes what is written");
    }
    table
}

fn policies() -> Vec<(String, Entry)> {
    let percent = |percent, min_wait_ms| Entry {
        percent: Some(Percent { percent, min_wait_ms }),
        ..Entry::default()
    };
    let timeout = |timeout_ms| Entry { timeout_ms: Some(timeout_ms), ..Entry::default() };
    let knee = Knee { min_percent: Knee::MIN_PERCENT, min_wait_ms: 0, weight: None };
    let knees = |knee| Entry { knee: Some(knee), ..Entry::default() };
    vec![
        ("all".into(), Entry::default()),
        ("count 5".into(), Entry { count: Some(5), ..Entry::default() }),
        ("percent 50".into(), percent(50.0, 0)),
        ("percent 80".into(), percent(80.0, 0)),
        ("percent 50, min_wait 10 s".into(), percent(50.0, 10_000)),
        ("timeout 10 s".into(), timeout(10_000)),
        ("timeout 60 s".into(), timeout(60_000)),
        ("knee".into(), knees(knee)),
        ("knee, min_percent 50".into(), knees(Knee { min_percent: 50.0, ..knee })),
        ("knee, min_wait 30 s".into(), knees(Knee { min_wait_ms: 30_000, ..knee })),
        (
            "percent 95 or timeout 20 s".into(),
            Entry { timeout_ms: Some(20_000), ..percent(95.0, 0) },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ten() -> Trace {
        Trace::parse(include_str!("../../../../bench/traces/planetlab-ten.txt")).unwrap()
    }

    #[test]
    fn eighty_percent_of_the_ten_planetlab_hosts_are_there_after_23_seconds() {
        let entry =
            Entry { percent: Some(Percent { percent: 80.0, min_wait_ms: 0 }), ..Entry::default() };
        let opened = ten().play(&entry).unwrap();
        assert_eq!((opened.at, opened.entered, opened.expected), (23_000, 8, 10));
    }

    #[test]
    fn a_timeout_opens_between_two_arrivals() {
        let entry = Entry { timeout_ms: Some(10_000), ..Entry::default() };
        let opened = ten().play(&entry).unwrap();
        assert_eq!((opened.at, opened.entered), (17_000, 6));
    }

    #[test]
    fn a_trace_says_which_line_is_wrong() {
        assert_eq!(
            Trace::parse("1\n\n# two\nsoon # later\n").unwrap_err(),
            "line 4: `soon` is no time"
        );
        let trace = Trace::parse("2.5\nnever\n1").unwrap();
        assert_eq!(trace, Trace { arrivals_ms: vec![1000, 2500], members: 3 });
    }
}
