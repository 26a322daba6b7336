//! One task: its key, what is to be run, and how it ended.
//! Not the rules about when it runs: those are the core's.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names one start of one task, for ever: a restart is a new incarnation under a new key.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
pub struct TaskKey {
    /// The task's number, unique within the run.
    #[n(0)]
    pub task: u32,
    /// 1 for the first start.
    #[n(1)]
    pub incarnation: u32,
}

/// What the agent starts: everything is resolved, nothing is looked up or substituted any more.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The process's name in the description.
    #[n(0)]
    pub name: String,
    /// The cluster whose directory is the task's working directory.
    #[n(1)]
    pub cluster: String,
    /// What is executed.
    #[n(2)]
    pub program: Program,
    /// Environment beyond the base that the agent gives (HOME, PATH, USER, LANG, PLUSH_*).
    #[n(3)]
    pub environment: Vec<(String, String)>,
    /// Working directory below the cluster's directory; empty for that directory itself.
    #[n(4)]
    pub directory: String,
    /// Where standard input comes from.
    #[n(5)]
    pub stdin: Stdin,
    /// The task is stopped by the agent when it has run for so long.
    #[n(6)]
    pub time_limit_ms: Option<u64>,
    /// How the task is asked to end.
    #[n(7)]
    pub stop: StopRule,
    /// Resource limits (setrlimit).
    #[n(8)]
    pub limits: ResourceLimits,
    /// What happens to output that nobody has fetched yet.
    #[n(9)]
    pub output: OutputRule,
    /// Exit codes that count as success.
    #[n(10)]
    pub success_codes: Vec<i32>,
    /// It is executed at this instant of the host's boot time, in microseconds, or at once where that is over.
    #[n(11)]
    pub at_us: Option<u64>,
    /// When the agent starts it again by itself, as a new incarnation; `None` is never.
    #[n(12)]
    pub restart: Option<RestartRule>,
    /// What the agent asks again and again while the task runs.
    #[n(13)]
    #[cbor(default)]
    pub probes: Vec<ProbeRule>,
    /// What becomes of a task that is unhealthy.
    #[n(14)]
    #[cbor(default)]
    pub unhealthy: Unhealthy,
}

/// When a task is started again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct RestartRule {
    /// After which ends.
    #[n(0)]
    pub when: RestartWhen,
    /// How often at most within the window; `None` is without limit.
    #[n(1)]
    pub max: Option<u32>,
    /// The window in which `max` is counted; `None` is the whole run.
    #[n(2)]
    pub window_ms: Option<u64>,
    /// The wait before the second restart in a row; it doubles. The first comes at once.
    #[n(3)]
    pub backoff_min_ms: u64,
    /// The longest wait, a little jitter aside.
    #[n(4)]
    pub backoff_max_ms: u64,
    /// What an end that nobody saw counts as.
    #[n(5)]
    pub ambiguous: Ambiguous,
}

/// After which ends a task is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartWhen {
    /// After a failure.
    #[n(0)]
    Failure,
    /// After every end that nobody asked for.
    #[n(1)]
    Always,
}

/// What is done about a task of which nobody knows how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ambiguous {
    /// It counts as a failure, and another incarnation may follow.
    #[n(0)]
    Restart,
    /// It has failed for good.
    #[n(1)]
    Fail,
}

/// One question about a task's health, and when the answer counts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ProbeRule {
    /// What is asked.
    #[n(0)]
    pub check: ProbeCheck,
    /// How often.
    #[n(1)]
    pub every_ms: u64,
    /// No answer after so long is a failure.
    #[n(2)]
    pub time_limit_ms: u64,
    /// The first question comes so long after the start.
    #[n(3)]
    pub delay_ms: u64,
    /// So many failures in a row are unhealthy.
    #[n(4)]
    pub failures: u32,
    /// So many successes in a row are healthy.
    #[n(5)]
    pub successes: u32,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeCheck {
    /// Whether a TCP port of the host accepts.
    #[n(0)]
    Tcp(#[n(0)] u16),
    /// Whether a URL answers with a status below 400.
    #[n(1)]
    Http(#[n(0)] String),
    /// Whether a command succeeds.
    #[n(2)]
    Command(#[n(0)] Program),
}

impl fmt::Display for ProbeCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeCheck::Tcp(port) => write!(f, "port {port}"),
            ProbeCheck::Http(url) => f.write_str(url),
            ProbeCheck::Command(program) => write!(f, "`{}`", program.text()),
        }
    }
}

/// What becomes of a task whose probe says that it is unhealthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unhealthy {
    /// It is ended, which counts as its failure.
    #[default]
    #[n(0)]
    End,
    /// It goes on; people are told.
    #[n(1)]
    Tell,
}

/// What the probes of a task say.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// One of them at least has failed too often.
    #[n(0)]
    Unhealthy,
    /// Not all of them have an answer that counts.
    #[n(1)]
    Unknown,
    /// All of them are content.
    #[n(2)]
    Healthy,
}

/// A program to execute.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(from = "RecordedProgram")]
pub enum Program {
    /// An executable and its arguments; no shell is involved.
    #[n(0)]
    Argv(#[n(0)] Vec<String>),
    /// A line for `/bin/sh -c`.
    #[n(1)]
    Shell {
        /// The script.
        #[n(0)]
        line: String,
        /// Environment variables that the script refers to, by name. They hold the values that must
        /// not become part of the script.
        #[n(1)]
        #[cbor(default)]
        values: Vec<(String, String)>,
    },
}

impl Program {
    /// A line that needs no values.
    pub fn line(line: impl Into<String>) -> Program {
        Program::Shell { line: line.into(), values: Vec::new() }
    }

    /// The executable and its arguments.
    pub fn argv(&self) -> Vec<String> {
        match self {
            Program::Argv(words) => words.clone(),
            Program::Shell { line, .. } => vec!["/bin/sh".into(), "-c".into(), line.clone()],
        }
    }

    /// Environment variables beside those that every program gets at its place.
    pub fn values(&self) -> &[(String, String)] {
        match self {
            Program::Argv(_) => &[],
            Program::Shell { values, .. } => values,
        }
    }

    /// The script, or the words separated by spaces, for display.
    pub fn text(&self) -> String {
        match self {
            Program::Argv(words) => words.join(" "),
            Program::Shell { line, .. } => line.clone(),
        }
    }
}

/// A [`Program`] as stored in journals: in older ones a line is a plain string.
#[derive(Deserialize)]
enum RecordedProgram {
    Argv(Vec<String>),
    Shell(RecordedLine),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RecordedLine {
    Bare(String),
    WithValues { line: String, values: Vec<(String, String)> },
}

impl From<RecordedProgram> for Program {
    fn from(recorded: RecordedProgram) -> Program {
        match recorded {
            RecordedProgram::Argv(words) => Program::Argv(words),
            RecordedProgram::Shell(RecordedLine::Bare(line)) => Program::line(line),
            RecordedProgram::Shell(RecordedLine::WithValues { line, values }) => {
                Program::Shell { line, values }
            }
        }
    }
}

/// Standard input of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub enum Stdin {
    /// `/dev/null`.
    #[default]
    #[n(0)]
    Null,
    /// These bytes, then the end.
    #[n(1)]
    Text(#[n(0)] String),
    /// A file below the task's working directory.
    #[n(2)]
    File(#[n(0)] String),
    /// These bytes, which need not be text, then the end.
    #[n(3)]
    Bytes(#[n(0)] Octets),
}

/// Bytes that need not be text: in JSON a string where possible, otherwise an object with their
/// hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(from = "OctetsInJson", into = "OctetsInJson")]
#[cbor(transparent)]
pub struct Octets(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub Vec<u8>,
);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OctetsInJson {
    Text(String),
    Hex { hex: String },
}

impl From<Octets> for OctetsInJson {
    fn from(octets: Octets) -> Self {
        String::from_utf8(octets.0).map_or_else(
            |e| {
                let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
                let halves = e.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
                OctetsInJson::Hex { hex: halves.map(digit).collect() }
            },
            OctetsInJson::Text,
        )
    }
}

impl From<OctetsInJson> for Octets {
    fn from(json: OctetsInJson) -> Self {
        match json {
            OctetsInJson::Text(text) => Octets(text.into_bytes()),
            OctetsInJson::Hex { hex } => {
                let half = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
                Octets(
                    hex.as_bytes()
                        .chunks(2)
                        .map(|d| half(d[0]) << 4 | half(d[d.len() - 1]))
                        .collect(),
                )
            }
        }
    }
}

/// How a task is asked to end: the signal, then after the grace SIGKILL.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct StopRule {
    /// Signal number (15 is SIGTERM).
    #[n(0)]
    pub signal: i32,
    /// Time between that signal and SIGKILL.
    #[n(1)]
    pub grace_ms: u64,
}

impl Default for StopRule {
    fn default() -> Self {
        StopRule { signal: 15, grace_ms: 5_000 }
    }
}

/// Limits set with setrlimit(2) before exec; `None` leaves what the agent has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// RLIMIT_AS, bytes.
    #[n(0)]
    pub memory_bytes: Option<u64>,
    /// RLIMIT_NOFILE.
    #[n(1)]
    pub open_files: Option<u64>,
    /// RLIMIT_CPU, seconds.
    #[n(2)]
    pub cpu_s: Option<u64>,
    /// RLIMIT_FSIZE, bytes.
    #[n(3)]
    pub file_bytes: Option<u64>,
    /// RLIMIT_CORE, bytes; 0 if absent.
    #[n(4)]
    pub core_bytes: Option<u64>,
    /// RLIMIT_NPROC.
    #[n(5)]
    pub processes: Option<u64>,
}

/// What happens when a task writes more than is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct OutputRule {
    /// Wait or skip.
    #[n(0)]
    pub policy: OutputPolicy,
    /// Unfetched bytes that a stream may keep on the host before the policy applies.
    #[n(1)]
    pub spool_bytes: u64,
}

impl Default for OutputRule {
    fn default() -> Self {
        OutputRule { policy: OutputPolicy::Block, spool_bytes: 64 << 20 }
    }
}

/// The policy of an [`OutputRule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputPolicy {
    /// The task waits in write(2): no byte is lost.
    #[n(0)]
    Block,
    /// Bytes are skipped and the gap is declared with its exact range.
    #[n(1)]
    Gap,
}

/// One of a task's two output streams.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum StreamName {
    /// Standard output.
    #[n(0)]
    Out,
    /// Standard error.
    #[n(1)]
    Err,
}

/// How a task's first process ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It exited with this code.
    #[n(0)]
    Code(#[n(0)] i32),
    /// A signal ended it; `oom` when the host's out-of-memory killer sent it.
    #[n(1)]
    Signal {
        /// Signal number.
        #[n(0)]
        signal: i32,
        /// The host's record says that memory ran out.
        #[n(1)]
        oom: bool,
    },
    /// Plush ended it on purpose (stop, time limit, lease).
    #[n(2)]
    Stopped {
        /// Why, in a word: `stop`, `time-limit`, [`Exit::LEASE`], [`Exit::PROBE`].
        #[n(0)]
        why: String,
    },
    /// It was started, and nobody saw how it ended (keeper and agent died together, the host rebooted).
    #[n(3)]
    Lost,
}

impl Exit {
    /// Why a task was ended of which a probe had said that it is unhealthy: counts as its failure.
    pub const PROBE: &str = "probe";
    /// No controller was heard for as long as the lease lasts.
    pub const LEASE: &str = "lease";

    /// The exit code as in a shell: 128 plus the signal number after a signal; `None` where Plush
    /// ended it, or where the end is unknown.
    pub fn shell_code(&self) -> Option<i32> {
        match self {
            Exit::Code(code) => Some(*code),
            Exit::Signal { signal, .. } => Some(signal.saturating_add(128)),
            Exit::Stopped { .. } | Exit::Lost => None,
        }
    }

    /// Whether it is one of these success codes. An end by lack of memory never is, whatever its
    /// signal.
    pub fn is_among(&self, success_codes: &[i32]) -> bool {
        let ran_out = matches!(self, Exit::Signal { oom: true, .. });
        !ran_out && self.shell_code().is_some_and(|code| success_codes.contains(&code))
    }
}

/// What an agent knows of a task.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// The start was taken, nothing durable exists yet.
    #[n(0)]
    Starting,
    /// It runs.
    #[n(1)]
    Running {
        /// Process id on the host, for people.
        #[n(0)]
        pid: u32,
        /// When it was executed, in microseconds of the host's boot time, where that was seen.
        #[n(1)]
        since_us: Option<u64>,
    },
    /// It never ran: no exec happened under this key.
    #[n(2)]
    NotStarted(#[n(0)] crate::report::Cause),
    /// It ended; the byte counts are those of the complete streams.
    #[n(3)]
    Exited {
        /// How.
        #[n(0)]
        exit: Exit,
        /// Bytes that it wrote to standard output, gaps included.
        #[n(1)]
        out_bytes: u64,
        /// Bytes that it wrote to standard error, gaps included.
        #[n(2)]
        err_bytes: u64,
        /// Time from exec to the end.
        #[n(3)]
        ran_ms: u64,
        /// Time of its end in microseconds of the host's boot time, if it was observed.
        #[n(4)]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended_us: Option<u64>,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_of_an_older_journal_is_read_as_one_without_values() {
        let read = |text| serde_json::from_str::<Program>(text).unwrap();
        assert_eq!(read(r#"{"Shell":"echo"}"#), Program::line("echo"));
        assert_eq!(read(r#"{"Argv":["a","b"]}"#), Program::Argv(vec!["a".into(), "b".into()]));
        let values = vec![("PLUSH_VALUE_v".to_owned(), "x y".to_owned())];
        let program = Program::Shell { line: "echo ${PLUSH_VALUE_v}".into(), values };
        assert_eq!(read(&serde_json::to_string(&program).unwrap()), program);
    }

    #[test]
    fn a_line_of_an_older_controller_is_one_without_values() {
        #[derive(Encode)]
        enum Older {
            #[n(1)]
            Shell(#[n(0)] String),
        }
        let bytes = minicbor::to_vec(Older::Shell("echo".into())).unwrap();
        assert_eq!(minicbor::decode::<Program>(&bytes).unwrap(), Program::line("echo"));
    }
}
