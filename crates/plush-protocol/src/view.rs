//! [`RunView`]: the flat picture of a run for people, the only thing that front ends ever see.
//! Not the state that decides: nothing is computed from a view.

use crate::hello::{Guarantee, Logout};
use crate::tainted::Tainted;
use crate::task::{Exit, Health};
use serde::{Deserialize, Serialize};

/// A run at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunView {
    /// Version of this shape; raised when a field changes its meaning or goes.
    pub version: u32,
    /// The run's id.
    pub run: String,
    /// The project's name.
    pub project: String,
    /// Elapsed time since the run began, including time without a controller. All figures are valid
    /// at that instant.
    pub elapsed_ms: u64,
    /// The time of day at that instant, in ms since 1970.
    #[serde(default)]
    pub as_of_unix_ms: Option<u64>,
    /// The part of it during which there was no controller, or its machine slept.
    #[serde(default)]
    pub absent_ms: u64,
    /// The part of that which is known only from the time of day: across a reboot, or from another
    /// machine.
    #[serde(default)]
    pub absent_by_wall_ms: u64,
    /// What is going on.
    pub phase: PhaseName,
    /// Set once the run is over.
    pub outcome: Option<Outcome>,
    /// The sums of wanted, answered and missing hosts; set with the outcome.
    #[serde(default)]
    pub sums: Option<Sums>,
    /// Set once somebody or something asked the run to stop: why.
    pub stopping: Option<String>,
    /// How many hosts are where.
    pub counts: Counts,
    /// In the order of the description.
    pub clusters: Vec<ClusterView>,
    /// In the order of the plan.
    pub hosts: Vec<HostView>,
    /// Barriers that have been reached or opened.
    pub barriers: Vec<BarrierView>,
    /// Tasks that have been started or are about to be.
    pub tasks: Vec<TaskView>,
    /// What went wrong, in order of time.
    pub problems: Vec<Problem>,
    /// Older problems that are not told any more.
    #[serde(default)]
    pub forgotten_problems: u64,
    /// The newest incidents, which are not failures, in order of time.
    #[serde(default)]
    pub incidents: Vec<Incident>,
    /// Number of older ones that were dropped.
    #[serde(default)]
    pub forgotten_incidents: u64,
    /// What there is to know about the controller's own side, its network and its machine; the newest.
    #[serde(default)]
    pub notice: Option<Notice>,
}

/// A line about the controller's own side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Time since the run began.
    pub at_ms: u64,
    /// The line.
    pub text: String,
}

/// The phase of a run: that of its slowest cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// Hosts are being connected.
    #[default]
    Connect,
    /// Software is being put on them.
    Prepare,
    /// Prepared hosts wait for each other.
    Ready,
    /// Processes run.
    Run,
    /// Processes are being ended.
    Stop,
    /// Results come home.
    Collect,
    /// Files and agents are being removed.
    CleanUp,
    /// Nothing is left to do.
    Done,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything wanted was done, except for failures that the description accepts.
    Complete,
    /// Not everything wanted was done: [`Sums`] shows what is missing, and whether the rest is
    /// enough.
    Partial,
    /// A process failed and the description does not accept it: the largest exit code.
    TasksFailed {
        /// Largest exit code; 128 + signal for a signal.
        code: i32,
    },
    /// Fewer hosts than the description's minimum.
    TooFewHosts,
    /// Somebody stopped it.
    Stopped,
}

/// The sums of a run that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// In the order of the description.
    pub clusters: Vec<ClusterSum>,
    /// Tasks that failed and whose failure the description does not accept.
    pub tasks_failed: u32,
    /// The number of them that were ended by their own time limit.
    pub tasks_out_of_time: u32,
    /// Tasks that failed and whose failure the description accepts.
    pub failures_accepted: u32,
    /// Hosts that completed their part but have a missing result.
    pub results_missing: Vec<String>,
    /// Hosts on which the clean-up failed.
    pub clean_ups_failed: Vec<String>,
}

/// The sums of one cluster: `wanted` = `answered` + `missing` + `without_host`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSum {
    /// Its name.
    pub name: String,
    /// Number of places that the description wants.
    pub wanted: u32,
    /// Number of places whose host completed its part.
    pub answered: u32,
    /// Names of hosts that are missing, or were lost and not replaced.
    pub missing: Vec<String>,
    /// Number of places that never had a host.
    pub without_host: u32,
    /// The smallest number that the description accepts, by `min` or by the share of a barrier; all
    /// wanted places where it names none.
    pub enough: u32,
}

/// How missing hosts are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// As the description says.
    Description,
    /// As if all that are wanted were needed (`--strict`).
    Wanted,
}

impl ClusterSum {
    /// Whether no place is missing.
    pub fn is_whole(&self) -> bool {
        self.answered >= self.wanted
    }

    /// Whether enough places answered.
    pub fn is_enough(&self, measure: Measure) -> bool {
        match measure {
            Measure::Description => self.answered >= self.enough.min(self.wanted),
            Measure::Wanted => self.is_whole(),
        }
    }
}

impl Sums {
    /// Whether every place answered, all results were received, and nothing is left on a host that
    /// answered.
    pub fn is_whole(&self) -> bool {
        self.clusters.iter().all(ClusterSum::is_whole) && self.is_tidy()
    }

    /// Whether everything wanted was done, or as much as is enough.
    pub fn is_enough(&self, measure: Measure) -> bool {
        self.clusters.iter().all(|cluster| cluster.is_enough(measure)) && self.is_tidy()
    }

    /// Whether tasks failed, and each of them was ended by its own time limit.
    pub fn only_out_of_time(&self) -> bool {
        self.tasks_failed > 0 && self.tasks_out_of_time == self.tasks_failed
    }

    fn is_tidy(&self) -> bool {
        self.results_missing.is_empty() && self.clean_ups_failed.is_empty()
    }
}

/// How many hosts are where. Their sum is the number of hosts in the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Not connected yet.
    pub connecting: u32,
    /// Being prepared.
    pub preparing: u32,
    /// Prepared, waiting at a barrier or for something to run.
    pub ready: u32,
    /// A task runs.
    pub running: u32,
    /// Ending, collecting, cleaning.
    pub finishing: u32,
    /// Done and left clean.
    pub done: u32,
    /// Given up.
    pub failed: u32,
    /// Spare hosts that were not needed.
    pub spare: u32,
}

/// A cluster at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub phase: PhaseName,
    /// Hosts that the description wants.
    pub wanted: u32,
    /// The fewest that will do.
    pub min: u32,
    /// Hosts that serve in it now.
    pub live: u32,
}

/// A host at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostView {
    /// As written in the plan: `user@name:port`.
    pub name: String,
    /// Where it is.
    pub state: HostState,
    /// What it is doing or why it failed, in words.
    pub detail: Tainted,
    /// The link to its agent is up.
    pub connected: bool,
    /// Whether it is heard.
    #[serde(default)]
    pub contact: Contact,
    /// Why it is suspect or dead.
    #[serde(default)]
    pub doubt: Tainted,
    /// Time in this state.
    pub for_ms: u64,
    /// The barrier at which its steps or its programs wait for others; a host that keeps it closed
    /// does not wait there.
    #[serde(default)]
    pub waits_at: Option<String>,
    /// How surely tasks are ended there; known once its agent has said hello.
    #[serde(default)]
    pub guarantee: Option<Guarantee>,
    /// What a logout there does to the agent; known as long.
    #[serde(default)]
    pub logout: Option<Logout>,
}

/// Whether a host is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contact {
    /// There is no link, and none is missed.
    #[default]
    None,
    /// Its agent is heard.
    Heard,
    /// It was, and is not: another link is tried. Nothing else follows.
    Suspect,
    /// It was given up.
    Dead,
}

/// The state of a host in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// Not connected yet.
    Connecting,
    /// Software is being put on it.
    Preparing,
    /// Prepared; waits.
    Ready,
    /// A task runs on it.
    Running,
    /// Its tasks are being ended.
    Stopping,
    /// Its results are coming home.
    Collecting,
    /// Its files are being removed.
    Cleaning,
    /// Done, nothing of ours is left.
    Done,
    /// Given up.
    Failed,
    /// Kept for replacement; not needed so far.
    Spare,
}

/// A barrier at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarrierView {
    /// `CLUSTER/prepare` where its entry is described, `CLUSTER/ready`, or the name in the description.
    pub name: String,
    /// Entered so far, without replaced members.
    pub entered: u32,
    /// Expected in all, without failed and replaced members.
    pub expected: u32,
    /// Let go so far.
    pub released: u32,
    /// Why it opened, once it has: `all`, ...
    pub opened: Option<String>,
    /// The same in words with its numbers, once it has opened.
    #[serde(default)]
    pub because: Option<String>,
    /// When it opened, in ms since the run began.
    #[serde(default)]
    pub opened_at_ms: Option<u64>,
    /// Time from the first entry to the opening, or until now.
    pub waited_ms: u64,
    /// Who is missing: at most [`BarrierView::MISSING_SHOWN`] names.
    pub missing: Vec<String>,
    /// Hosts that were expected and absent when it opened, without replaced ones: at most
    /// [`BarrierView::MISSING_SHOWN`] names.
    #[serde(default)]
    pub without: Vec<String>,
    /// Which round this is, from 1.
    #[serde(default = "first_generation")]
    pub generation: u32,
    /// How well those whom it let go went on at one instant, where that was asked for.
    #[serde(default)]
    pub together: Option<TogetherView>,
    /// Of all rounds that programs went through, the one whose last went on latest after its instant; with the newest
    /// round.
    #[serde(default)]
    pub worst: Option<WorstRound>,
}

/// How well those whom a barrier let go went on at one instant: tasks that were started, programs that were told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TogetherView {
    /// The instant: time since the run began.
    pub at_ms: u64,
    /// Tasks that were started by it and programs that were told, so far.
    pub started: u32,
    /// Those that are to be.
    pub expected: u32,
    /// From the instant to the last of them, on the controller's clock.
    pub last_us: i64,
    /// From the first to the last.
    pub spread_us: u64,
    /// Either may be wrong by so much: half the shortest round trip to the host that is known worst.
    pub uncertainty_us: u64,
}

/// The round of a barrier that went worst.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorstRound {
    /// Its number, from 1.
    pub generation: u32,
    /// How well its programs went on.
    pub together: TogetherView,
}

fn first_generation() -> u32 {
    1
}

impl BarrierView {
    /// Bound of [`BarrierView::missing`].
    pub const MISSING_SHOWN: usize = 100;
}

/// A task at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskView {
    /// The task's number in the run.
    pub task: u32,
    /// Starts so far.
    pub incarnation: u32,
    /// The process of the description.
    pub process: String,
    /// The host that it is on.
    pub host: String,
    /// In words: `waiting`, `starting`, `running`, `restarting`, `exited`, `not started`, `lost`, `ambiguous`.
    pub state: String,
    /// How it ended.
    pub exit: Option<Exit>,
    /// It ended as the description wants.
    pub success: Option<bool>,
    /// Time of its start, in ms since the run began.
    #[serde(default)]
    pub started_ms: Option<u64>,
    /// Time of its end, in ms since the run began.
    #[serde(default)]
    pub ended_ms: Option<u64>,
    /// Another host does its work: its result does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub superseded: bool,
    /// Time from exec to the end.
    pub ran_ms: Option<u64>,
    /// How surely its processes are ended; known once it runs.
    #[serde(default)]
    pub guarantee: Option<Guarantee>,
    /// What its probes say, where it has any.
    #[serde(default)]
    pub health: Option<Health>,
}

/// An incident: an event worth reporting that is not a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Time since the run began.
    pub at_ms: u64,
    /// The host.
    pub host: String,
    /// The operation: `restart`, `probe`, `replace`.
    pub operation: String,
    /// What happened and why, without the host's own name.
    pub text: Tainted,
}

impl TaskView {
    /// Whether it has failed and the failure counts.
    pub fn has_failed(&self) -> bool {
        self.success == Some(false) && !self.superseded
    }
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Time since the run began.
    pub at_ms: u64,
    /// The host, unless it concerns the whole run.
    pub host: Option<String>,
    /// The operation: `connect`, `prepare`, `start`, `run`, `collect`, `clean up`.
    pub operation: String,
    /// What was said, without the host's name: problems of one cause are alike and are shown together.
    pub cause: Tainted,
    /// What to do next, where something can be said.
    pub hint: Option<String>,
    /// How it was mended later, in words; then it is not a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mended: Option<String>,
}
