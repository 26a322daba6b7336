//! The words for states, phases and outcomes.
//! Not sentences.

use crate::render::text;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use plush_protocol::Guarantee;
use plush_protocol::task::Exit;
use plush_protocol::view::{ClusterSum, HostState, Measure, Outcome, PhaseName, Sums, TaskView};
use plush_spec::model::Signal;
use std::collections::BTreeSet;

/// A date and a time of day, where the operator is.
pub fn date(unix_ms: u64) -> String {
    let timestamp = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(
        || "-".to_owned(),
        |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// Local date and time of day with milliseconds, from microseconds since 1970.
pub fn to_the_millisecond(unix_us: u64) -> String {
    let timestamp = i64::try_from(unix_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    timestamp.map_or_else(
        || "-".to_owned(),
        |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S.%3f").to_string(),
    )
}

/// A phase.
pub fn phase(phase: PhaseName) -> &'static str {
    match phase {
        PhaseName::Connect => "connect",
        PhaseName::Prepare => "prepare",
        PhaseName::Ready => "ready",
        PhaseName::Run => "run",
        PhaseName::Stop => "stop",
        PhaseName::Collect => "collect",
        PhaseName::CleanUp => "clean up",
        PhaseName::Done => "done",
    }
}

/// A host's state.
pub fn state(state: HostState) -> &'static str {
    match state {
        HostState::Connecting => "connecting",
        HostState::Preparing => "preparing",
        HostState::Ready => "ready",
        HostState::Running => "running",
        HostState::Stopping => "stopping",
        HostState::Collecting => "collecting",
        HostState::Cleaning => "cleaning",
        HostState::Done => "done",
        HostState::Failed => "failed",
        HostState::Spare => "spare",
    }
}

/// An outcome, in a word or two.
pub fn outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "complete",
        Outcome::Partial => "partial",
        Outcome::TasksFailed { .. } => "tasks failed",
        Outcome::TooFewHosts => "too few hosts",
        Outcome::Stopped => "stopped",
    }
}

/// An outcome with its sums, as a full sentence. `tasks` supply the ends of failed tasks.
pub fn outcome_explained(outcome: &Outcome, sums: Option<&Sums>, tasks: &[TaskView]) -> String {
    let start = match outcome {
        Outcome::Complete => "complete".into(),
        Outcome::Partial => "partial".into(),
        Outcome::TasksFailed { .. } => format!("tasks failed{}", how_they_failed(tasks)),
        Outcome::TooFewHosts => "too few hosts for the description".into(),
        Outcome::Stopped => "stopped".into(),
    };
    let Some(sums) = sums else { return start };
    let mut said = vec![start];
    let short: Vec<&ClusterSum> = sums.clusters.iter().filter(|c| !c.is_whole()).collect();
    if !short.is_empty() {
        let sum = |of: fn(&ClusterSum) -> u32| sums.clusters.iter().map(of).sum::<u32>();
        let enough = match short.iter().all(|c| c.is_enough(Measure::Description)) {
            true => "enough for the description",
            false => "fewer than are enough",
        };
        let (answered, wanted) = (sum(|c| c.answered), sum(|c| c.wanted));
        said.push(format!("{answered} of {wanted} hosts were there to the end, {enough}"));
    }
    let of_hosts = |hosts: &[String]| match hosts.len() {
        1 => "1 host".to_owned(),
        count => format!("{count} hosts"),
    };
    if !sums.results_missing.is_empty() {
        said.push(format!("results of {} are missing", of_hosts(&sums.results_missing)));
    }
    if !sums.clean_ups_failed.is_empty() {
        said.push(format!("the clean-up of {} failed", of_hosts(&sums.clean_ups_failed)));
    }
    match sums.failures_accepted {
        0 => {}
        1 => said.push("1 failure that the description accepts".to_owned()),
        count => said.push(format!("{count} failures that the description accepts")),
    }
    let details = said.split_off(1);
    match details.is_empty() {
        true => said.remove(0),
        false => format!("{}: {}", said[0], details.join("; ")),
    }
}

/// The largest exit code and the signals of the failed tasks; `None` where there are neither.
fn how_they_failed(tasks: &[TaskView]) -> String {
    let ends = || {
        let failed = tasks.iter().filter(|task| task.has_failed());
        failed.filter_map(|task| task.exit.as_ref())
    };
    let code = ends().filter_map(|exit| match exit {
        Exit::Code(code) => Some(*code),
        Exit::Signal { .. } | Exit::Stopped { .. } | Exit::Lost => None,
    });
    let signals: BTreeSet<i32> = ends()
        .filter_map(|exit| match exit {
            Exit::Signal { signal, .. } => Some(*signal),
            Exit::Code(_) | Exit::Stopped { .. } | Exit::Lost => None,
        })
        .collect();
    let code = code.max().map(|code| format!("largest exit code {code}"));
    let words: Vec<String> =
        code.into_iter().chain(signals.into_iter().map(Signal::words)).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join("; ")) }
}

/// How surely a host ends tasks.
pub fn guarantee(guarantee: Guarantee) -> &'static str {
    match guarantee {
        Guarantee::Cgroup => "tasks end as a whole, whatever they do (a control group each)",
        Guarantee::Subreaper => {
            "tasks end as a whole while their keeper or the agent lives (subreaper)"
        }
        Guarantee::Group => "tasks end but for what left their process group (there is no /proc)",
    }
}

/// How a task ended.
pub fn exit(exit: &Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Signal { signal, oom: false } => format!("was ended by {}", Signal::words(*signal)),
        Exit::Signal { signal, oom: true } => {
            format!("was ended by {}: the host ran out of memory", Signal::words(*signal))
        }
        Exit::Stopped { why } => format!("was stopped ({})", text::shown(why)),
        Exit::Lost => "ended unseen: the host restarted or its keeper died".into(),
    }
}
