//! The words for states, phases and outcomes.
//! Not sentences.

use crate::render::text;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use plush_protocol::Guarantee;
use plush_protocol::task::Exit;
use plush_protocol::view::{HostState, Outcome, PhaseName};

/// A date and a time of day, where the operator is.
pub fn date(unix_ms: u64) -> String {
    let timestamp = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(
        || "-".to_owned(),
        |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// A date and a time of day with its milliseconds, where the operator is, from microseconds since 1970.
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

/// An outcome, for somebody who sees it for the first time.
pub fn outcome_explained(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Complete => "complete".into(),
        Outcome::Partial => "partial: enough hosts for the description, but not all".into(),
        Outcome::TasksFailed { code } => format!("tasks failed (largest exit code {code})"),
        Outcome::TooFewHosts => "too few hosts for the description".into(),
        Outcome::Stopped => "stopped".into(),
    }
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
        Exit::Signal { signal, oom: false } => format!("was ended by signal {signal}"),
        Exit::Signal { signal, oom: true } => {
            format!("was ended by signal {signal}: the host ran out of memory")
        }
        Exit::Stopped { why } => format!("was stopped ({})", text::shown(why)),
        Exit::Lost => "ended unseen: the host restarted or its keeper died".into(),
    }
}
