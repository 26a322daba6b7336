//! What an agent tells the controller; each report is durable at the controller before it is acknowledged.
//! Not the output of tasks: that travels as bulk and is addressed by offset.

use crate::barrier::BarrierAsk;
use crate::hello::Guarantee;
use crate::question::Answer;
use crate::tainted::Tainted;
use crate::task::{Health, TaskKey, TaskState};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// One fact from an agent; delivered in order, once per session.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The first report of every session: all that this agent knows.
    #[n(0)]
    Inventory {
        /// Every task that has a record.
        #[n(0)]
        tasks: Vec<TaskRecord>,
        /// Clusters whose directory is complete.
        #[n(1)]
        prepared: Vec<String>,
    },
    /// How far a preparation is: four in its first two seconds, one a second later, and one when a package is there. A fetch
    /// that gets nothing says so too, as long as it waits; anything else speaks only of what is new.
    #[n(1)]
    Preparing {
        /// Of this cluster.
        #[n(0)]
        cluster: String,
        /// What is being done: `fetch NAME`, `unpack NAME`, `script NAME`.
        #[n(1)]
        step: String,
        /// Bytes done.
        #[n(2)]
        done_bytes: u64,
        /// Bytes in all, where known.
        #[n(3)]
        total_bytes: Option<u64>,
        /// While something is fetched: bytes that have crossed the network for the cluster by now, all packages together.
        #[n(4)]
        fetched_bytes: Option<u64>,
    },
    /// A cluster's directory is complete.
    #[n(2)]
    Prepared {
        /// Which.
        #[n(0)]
        cluster: String,
        /// Bytes that crossed the network for it.
        #[n(1)]
        fetched_bytes: u64,
        /// Packages found in the host's cache.
        #[n(2)]
        cached: u32,
        /// Time that it took.
        #[n(3)]
        took_ms: u64,
        /// Package name and SHA-256 or BLAKE3 of what was installed, for the record.
        #[n(4)]
        digests: Vec<(String, String)>,
    },
    /// A preparation failed; nothing of it is left.
    #[n(3)]
    PrepareFailed {
        /// Which.
        #[n(0)]
        cluster: String,
        /// Why.
        #[n(1)]
        cause: Cause,
    },
    /// A task's state changed.
    #[n(4)]
    Task(#[n(0)] TaskRecord),
    /// Clean-up is over.
    #[n(5)]
    Cleaned {
        /// What could not be removed or ended, exactly; empty when nothing is left.
        #[n(0)]
        remainder: Vec<Tainted>,
        /// Clean-up lines that failed: the line and its end.
        #[n(1)]
        failed_lines: Vec<Tainted>,
    },
    /// Something that people should read and that changes nothing.
    #[n(6)]
    Note(#[n(0)] Tainted),
    /// What came of a question.
    #[n(12)]
    Answered {
        /// The question's number.
        #[n(0)]
        question: u32,
        /// What the program said.
        #[n(1)]
        answer: Answer,
    },
    /// A program on the host asks something of a barrier; answered by a command.
    #[n(7)]
    Barrier(#[n(0)] BarrierAsk),
    /// A program that was to go on at an instant has been told to.
    #[n(13)]
    WentOn {
        /// The request that it was told about.
        #[n(0)]
        request: u64,
        /// When it was told, in microseconds of the host's boot time.
        #[n(1)]
        at_us: u64,
    },
}

impl Report {
    /// What it says of tasks.
    pub fn tasks(&self) -> &[TaskRecord] {
        match self {
            Report::Inventory { tasks, .. } => tasks,
            Report::Task(record) => std::slice::from_ref(record),
            Report::Preparing { .. }
            | Report::Prepared { .. }
            | Report::PrepareFailed { .. }
            | Report::Cleaned { .. }
            | Report::Barrier(_)
            | Report::WentOn { .. }
            | Report::Note(_)
            | Report::Answered { .. } => &[],
        }
    }
}

/// One task as its agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Which.
    #[n(0)]
    pub key: TaskKey,
    /// What is known.
    #[n(1)]
    pub state: TaskState,
    /// How surely its processes can be ended.
    #[n(2)]
    pub guarantee: Guarantee,
    /// The keeper is gone and the agent has adopted the task.
    #[n(3)]
    pub degraded: bool,
    /// It ended, and its agent starts the next incarnation after so long.
    #[n(4)]
    pub again_in_ms: Option<u64>,
    /// What its probes say, where it has any.
    #[n(5)]
    pub health: Option<Health>,
    /// The probe that failed last, and the answer.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ill: Option<Tainted>,
}

impl TaskRecord {
    /// A task of which no more is known than its state.
    pub fn new(key: TaskKey, state: TaskState) -> TaskRecord {
        let guarantee = Guarantee::default();
        TaskRecord {
            key,
            state,
            guarantee,
            degraded: false,
            again_in_ms: None,
            health: None,
            ill: None,
        }
    }
}

/// Why something failed on a host.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Cause {
    /// What kind of trouble, for grouping and for reactions.
    #[n(0)]
    pub kind: CauseKind,
    /// The operation and its object, and what the system said.
    #[n(1)]
    pub text: Tainted,
}

/// Kinds of trouble.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// No space, quota or inode left.
    #[n(0)]
    DiskFull,
    /// A download or copy failed.
    #[n(1)]
    Fetch,
    /// Bytes differ from their digest, or an archive breaks the rules.
    #[n(2)]
    BadPackage,
    /// A script or an outside program failed.
    #[n(3)]
    Program,
    /// The file to execute is missing, not executable, or of another format.
    #[n(4)]
    Exec,
    /// The host refused a process, descriptor or memory (EAGAIN, ENOMEM, EMFILE).
    #[n(5)]
    Resource,
    /// A limit in time ran out.
    #[n(6)]
    TimeLimit,
    /// It was cancelled.
    #[n(7)]
    Cancelled,
    /// Anything else that the system refused.
    #[n(8)]
    System,
}
