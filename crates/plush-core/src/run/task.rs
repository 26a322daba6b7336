//! One task of a run: which process on which host, and where it stands.
//! Not the program on the host: the agent and its keeper see to that.

use crate::Millis;
use crate::plan::HostId;
use plush_protocol::{
    Cause, CauseKind, Exit, Guarantee, StreamName, Tainted, TaskKey, TaskRecord, TaskState,
};
use serde::{Deserialize, Serialize};

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TaskRun {
    pub key: TaskKey,
    pub host: HostId,
    /// Which cluster of the plan, and which step of its graph.
    pub cluster: usize,
    pub step: usize,
    pub process: String,
    pub stand: Stand,
    /// The agent was told to end it.
    pub stop_sent: bool,
    /// How surely its processes can be ended; known once it runs.
    pub guarantee: Option<Guarantee>,
    /// The instant at which it is to be executed, and which barrier said so.
    pub due: Option<Due>,
    /// When it was executed, on the run's clock in microseconds, where that is known.
    pub executed_us: Option<i64>,
    success_codes: Vec<i32>,
}

/// An instant at which tasks of many hosts begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Due {
    pub by: DueBy,
    pub at: Millis,
}

/// The barrier that lets them go at that instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum DueBy {
    /// The ready barrier of their cluster.
    Ready,
    /// A barrier of the description, in one of its rounds.
    Barrier { number: usize, generation: u32 },
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stand {
    /// The start was decided.
    Starting,
    /// It runs.
    Running,
    /// It never ran.
    NotStarted(Cause),
    /// It ended; which of its streams are not yet stored here in full.
    Ended { exit: Exit, ran_ms: u64, out_due: bool, err_due: bool },
    /// Its host is out of reach or nobody saw its end.
    Lost,
}

impl TaskRun {
    pub fn new(
        key: TaskKey,
        host: HostId,
        cluster: usize,
        step: usize,
        process: String,
        success_codes: Vec<i32>,
    ) -> Self {
        TaskRun {
            key,
            host,
            cluster,
            step,
            process,
            stand: Stand::Starting,
            stop_sent: false,
            guarantee: None,
            due: None,
            executed_us: None,
            success_codes,
        }
    }

    /// Takes an agent's word. True when the task has just come to its end. An end is final (P4).
    pub fn reported(&mut self, record: &TaskRecord) -> bool {
        if self.is_over() {
            return false;
        }
        self.guarantee = match record.state {
            TaskState::Starting | TaskState::NotStarted(_) => None,
            TaskState::Running { .. } | TaskState::Exited { .. } => Some(record.guarantee),
        };
        self.stand = match &record.state {
            TaskState::Starting => return false,
            TaskState::Running { .. } => Stand::Running,
            TaskState::NotStarted(cause) => Stand::NotStarted(cause.clone()),
            TaskState::Exited { exit, ran_ms, .. } => {
                Stand::Ended { exit: exit.clone(), ran_ms: *ran_ms, out_due: true, err_due: true }
            }
        };
        self.is_over()
    }

    pub fn stored(&mut self, stream: StreamName) {
        if let Stand::Ended { out_due, err_due, .. } = &mut self.stand {
            match stream {
                StreamName::Out => *out_due = false,
                StreamName::Err => *err_due = false,
            }
        }
    }

    /// Its host is gone: what is not known now will never be.
    pub fn lose(&mut self) {
        match &mut self.stand {
            Stand::Starting | Stand::Running => self.stand = Stand::Lost,
            Stand::Ended { out_due, err_due, .. } => (*out_due, *err_due) = (false, false),
            Stand::NotStarted(_) | Stand::Lost => {}
        }
    }

    /// A program was seen to run under its key, and not everything is known of it.
    pub fn has_run(&self) -> bool {
        match self.stand {
            Stand::Running | Stand::Ended { .. } => true,
            Stand::Starting | Stand::NotStarted(_) | Stand::Lost => false,
        }
    }

    /// It will not run any more.
    pub fn is_over(&self) -> bool {
        match self.stand {
            Stand::Starting | Stand::Running => false,
            Stand::NotStarted(_) | Stand::Ended { .. } | Stand::Lost => true,
        }
    }

    /// It is over and all its output is here.
    pub fn is_settled(&self) -> bool {
        match self.stand {
            Stand::Starting | Stand::Running => false,
            Stand::Ended { out_due, err_due, .. } => !out_due && !err_due,
            Stand::NotStarted(_) | Stand::Lost => true,
        }
    }

    /// It ended as the description wants; `None` while it has not ended.
    pub fn success(&self) -> Option<bool> {
        match &self.stand {
            Stand::Starting | Stand::Running => None,
            // Whoever asked a task to stop does not want to read that it was never started.
            Stand::NotStarted(Cause { kind: CauseKind::Cancelled, .. }) if self.stop_sent => {
                Some(true)
            }
            Stand::NotStarted(_) | Stand::Lost => Some(false),
            Stand::Ended { exit: Exit::Code(code), .. } => Some(self.success_codes.contains(code)),
            // Whoever asked a task to stop does not want to read that it failed.
            Stand::Ended { exit: Exit::Stopped { .. }, .. } if self.stop_sent => Some(true),
            Stand::Ended { .. } => Some(false),
        }
    }

    /// The exit code that a shell would give it; 255 where there is none.
    pub fn code(&self) -> i32 {
        match &self.stand {
            Stand::Ended { exit: Exit::Code(code), .. } => *code,
            Stand::Ended { exit: Exit::Signal { signal, .. }, .. } => 128 + signal,
            Stand::NotStarted(Cause { kind: CauseKind::Exec, .. }) => 127,
            Stand::Ended { .. } | Stand::NotStarted(_) | Stand::Lost => 255,
            Stand::Starting | Stand::Running => 0,
        }
    }

    /// Why it failed, in words that are the same for all tasks that failed so.
    pub fn failure(&self) -> Tainted {
        match &self.stand {
            Stand::NotStarted(cause) => cause.text.clone(),
            Stand::Lost => Tainted::new(format!("`{}` was lost with its host", self.process)),
            Stand::Ended { exit, .. } => Tainted::new(match exit {
                Exit::Code(code) => format!("`{}` exited with code {code}", self.process),
                Exit::Signal { signal, oom: false } => {
                    format!("`{}` was ended by signal {signal}", self.process)
                }
                Exit::Signal { oom: true, .. } => {
                    format!("`{}` was ended since the host ran out of memory", self.process)
                }
                Exit::Stopped { why } => format!("`{}` was stopped: {why}", self.process),
                Exit::Lost => format!("nobody saw how `{}` ended", self.process),
            }),
            Stand::Starting | Stand::Running => Tainted::default(),
        }
    }

    /// Its state in one word.
    pub fn word(&self) -> &'static str {
        match self.stand {
            Stand::Starting => "starting",
            Stand::Running => "running",
            Stand::NotStarted(_) => "not started",
            Stand::Ended { .. } => "exited",
            Stand::Lost => "lost",
        }
    }
}
