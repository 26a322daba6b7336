//! Which knee to take when none is described: false early openings against waiting, over many arrivals.
//! Not the rule itself.

use super::draw;
use super::traces::Trace;
use crate::random::Chance;
use plush_core::Millis;
use plush_spec::model::{Entry, Knee};
use std::fmt::Write;

/// How arrivals are spread.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Exponential,
    LogNormal,
    Pareto,
    Bimodal,
    AllEqual,
    OneNeverComes,
}

const SHAPES: [(&str, Shape); 6] = [
    ("exponential", Shape::Exponential),
    ("log-normal", Shape::LogNormal),
    ("Pareto", Shape::Pareto),
    ("bimodal", Shape::Bimodal),
    ("all equal", Shape::AllEqual),
    ("one never comes", Shape::OneNeverComes),
];
const SIZES: [u32; 5] = [10, 30, 100, 300, 1000];
const WEIGHTS: [f64; 6] = [0.25, 0.5, 0.75, 0.875, 0.9375, 0.96875];
const SHARES: [f64; 5] = [50.0, 70.0, 80.0, 90.0, 95.0];
/// A barrier that never fills is given up after so long.
const GIVEN_UP_MS: Millis = 600_000;

/// What a knee was worth over many traces; sums.
#[derive(Clone, Copy, Debug, Default)]
struct Worth {
    traces: f64,
    /// Openings with which half as much patience more would have brought 5 % of the members more.
    early: f64,
    /// Share of the members that had come.
    there: f64,
    /// Seconds from the first entry to the opening.
    waited_s: f64,
    /// The same for the full barrier.
    full_s: f64,
}

impl Worth {
    fn add(&mut self, trace: &Trace, knee: Knee) {
        let entry = Entry { knee: Some(knee), ..Entry::default() };
        let first = trace.arrivals_ms[0];
        let is_full = trace.arrivals_ms.len() == trace.members as usize;
        let last = trace.arrivals_ms[trace.arrivals_ms.len() - 1];
        let full_at = if is_full { last } else { first + GIVEN_UP_MS };
        let at = trace.play(&entry).map_or(first + GIVEN_UP_MS, |o| o.at).min(full_at);
        let come = trace.come_by(at);
        let soon = trace.come_by(at + (at - first) / 2) - come;
        self.traces += 1.0;
        self.early += f64::from(u8::from(soon as f64 >= 0.05 * f64::from(trace.members)));
        self.there += come as f64 / f64::from(trace.members);
        self.waited_s += (at - first) as f64 / 1000.0;
        self.full_s += (full_at - first) as f64 / 1000.0;
    }

    fn merge(&mut self, other: &Worth) {
        self.traces += other.traces;
        self.early += other.early;
        self.there += other.there;
        self.waited_s += other.waited_s;
        self.full_s += other.full_s;
    }

    fn early(&self) -> f64 {
        100.0 * self.early / self.traces
    }

    fn there(&self) -> f64 {
        100.0 * self.there / self.traces
    }

    fn saved(&self) -> f64 {
        100.0 * (1.0 - self.waited_s / self.full_s)
    }
}

/// Two tables: all weights and least shares; and the defaults by shape and number of hosts.
pub fn knee_table(seeds: u64) -> String {
    let groups = groups(seeds);
    let mut table = format!(
        "{} traces. Early openings / members there / waiting saved, in percent:\n\n| weight |",
        groups.iter().map(|(_, _, traces)| traces.len()).sum::<usize>()
    );
    for share in SHARES {
        write!(table, " min_percent {share} |").expect("a text takes what is written");
    }
    table += &format!("\n|---|{}\n", "---|".repeat(SHARES.len()));
    for weight in WEIGHTS {
        write!(table, "| {weight} |").expect("a text takes what is written");
        for min_percent in SHARES {
            let knee = Knee { min_percent, min_wait_ms: 0, weight: Some(weight) };
            let mut all = Worth::default();
            groups.iter().for_each(|(_, _, traces)| all.merge(&worth(traces, knee)));
            write!(table, " {:.1} / {:.1} / {:.0} |", all.early(), all.there(), all.saved())
                .expect("a text takes what is written");
        }
        table.push('\n');
    }
    table += &by_shape(&groups);
    table
}

type Group = (&'static str, u32, Vec<Trace>);

fn by_shape(groups: &[Group]) -> String {
    let mut table = format!(
        "\nThe defaults (weight {}, min_percent {}); waits are means from the first entry; the fixed timeout is the \
         shortest that has as many members there:\n\n| arrivals | hosts | early % | there % | knee waits | full barrier \
         waits | saved % | best fixed timeout |\n|---|---|---|---|---|---|---|---|\n",
        Knee::WEIGHT,
        Knee::MIN_PERCENT
    );
    let knee = Knee { min_percent: Knee::MIN_PERCENT, min_wait_ms: 0, weight: None };
    for (name, hosts, traces) in groups {
        let all = worth(traces, knee);
        writeln!(
            table,
            "| {name} | {hosts} | {:.1} | {:.1} | {:.1} s | {:.1} s | {:.0} | {:.1} s |",
            all.early(),
            all.there(),
            all.waited_s / all.traces,
            all.full_s / all.traces,
            all.saved(),
            best_timeout_s(traces, all.there / all.traces)
        )
        .expect("a text takes what is written");
    }
    table
}

fn worth(traces: &[Trace], knee: Knee) -> Worth {
    let mut worth = Worth::default();
    traces.iter().for_each(|trace| worth.add(trace, knee));
    worth
}

/// The shortest timeout from the first entry with which this share is there on average, known only afterwards. No trace
/// waits longer than until it is full.
fn best_timeout_s(traces: &[Trace], there: f64) -> f64 {
    let outcome = |limit: Millis| {
        let (mut share, mut waited) = (0.0, 0.0);
        for trace in traces {
            let first = trace.arrivals_ms[0];
            let come = trace.come_by(first + limit);
            let is_full = come == trace.members as usize;
            let last = trace.arrivals_ms[come - 1];
            share += come as f64 / f64::from(trace.members);
            waited += (if is_full { last - first } else { limit }) as f64 / 1000.0;
        }
        (share / traces.len() as f64, waited / traces.len() as f64)
    };
    let (mut low, mut high) = (0, GIVEN_UP_MS * 10);
    while low < high {
        let middle = low.midpoint(high);
        match outcome(middle).0 >= there - 1e-9 {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    outcome(low).1
}

fn groups(seeds: u64) -> Vec<Group> {
    let mut groups = Vec::new();
    for (number, (name, shape)) in SHAPES.into_iter().enumerate() {
        for hosts in SIZES {
            let seed = |n| n * 1_000_003 + number as u64 * 7919 + u64::from(hosts);
            let traces = (0..seeds).map(|n| trace(shape, hosts, &mut Chance::new(seed(n))));
            groups.push((name, hosts, traces.collect()));
        }
    }
    groups
}

/// Arrivals in seconds with a median of about ten, as hosts of a wide network have that fetch their software.
fn trace(shape: Shape, members: u32, chance: &mut Chance) -> Trace {
    let comers = match shape {
        Shape::OneNeverComes => members - 1,
        Shape::Exponential
        | Shape::LogNormal
        | Shape::Pareto
        | Shape::Bimodal
        | Shape::AllEqual => members,
    };
    let mut arrival_s = || match shape {
        Shape::Exponential | Shape::OneNeverComes => 1.0 + draw::exponential(chance, 10.0),
        Shape::LogNormal => draw::log_normal(chance, 10.0, 1.0),
        Shape::Pareto => draw::pareto(chance, 5.0, 1.2),
        Shape::Bimodal if draw::uniform(chance) < 0.15 => draw::log_normal(chance, 60.0, 0.2),
        Shape::Bimodal => draw::log_normal(chance, 8.0, 0.3),
        Shape::AllEqual => 10.0 + 0.05 * draw::uniform(chance),
    };
    let mut arrivals_ms: Vec<Millis> =
        (0..comers).map(|_| (arrival_s() * 1000.0).round() as Millis).collect();
    arrivals_ms.sort_unstable();
    Trace { arrivals_ms, members }
}
