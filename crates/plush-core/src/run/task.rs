//! One task of a run: which process on which host, and where it stands.
//! Not the program on the host: the agent and its keeper see to that.

use crate::Millis;
use crate::elapsed::Elapsed;
use crate::plan::HostId;
use plush_protocol::{
    Cause, CauseKind, Exit, Guarantee, Health, StreamName, Tainted, TaskKey, TaskRecord, TaskState,
};
use plush_spec::model::Signal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TaskRun {
    /// Of its newest incarnation that is known here.
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
    /// Elapsed time of its start in microseconds, if its host reported it.
    pub executed_us: Option<i64>,
    /// Elapsed time of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<Millis>,
    /// What its agent's probes say.
    pub health: Option<Health>,
    /// What probes from here say.
    pub health_from_here: Option<Health>,
    /// The probe that failed last, and the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ill: Option<Tainted>,
    /// The last incarnation whose restart was recorded.
    #[serde(default)]
    pub restart_noted: u32,
    /// The incarnation that is asked about from here.
    pub watched: Option<TaskKey>,
    /// Its place was given to another host, or this one was taken out of it: it does not count any more.
    pub is_superseded: bool,
    /// How the description treats its failure.
    #[serde(default, skip_serializing_if = "Verdict::counts")]
    pub verdict: Verdict,
    /// Since when its newest incarnation runs.
    pub running_since: Option<Millis>,
    /// It failed, and its step is not over.
    pub sequel: Sequel,
    /// How often in a row it was begun again since a program said so.
    again_in_row: u32,
    /// Streams of incarnations that have ended and that are not yet stored here in full.
    streams_due: BTreeSet<(u32, StreamName)>,
    /// Those of them that were given up with the host.
    streams_lost: BTreeSet<(u32, StreamName)>,
    /// How long both streams are of incarnations of which one is due or lost: agents say it once.
    totals: BTreeMap<u32, (u64, u64)>,
    /// Streams that were stored in full before their incarnation was known to have ended.
    early: BTreeSet<(u32, StreamName)>,
    /// The newest incarnation whose streams were awaited.
    awaited: u32,
    /// How it stood when its host was lost.
    before_loss: Option<Stand>,
    success_codes: Vec<i32>,
}

/// How the description treats a task's failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    /// The failure counts: the description does not accept it.
    #[default]
    Counts,
    /// Accepted: the next steps start.
    Accepted,
    /// Accepted as the loss of its host, which leaves the run.
    HostLeaves,
}

impl Verdict {
    /// The failure counts, or there is none.
    pub fn counts(&self) -> bool {
        *self == Verdict::Counts
    }
}

/// What is still to come of a task that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Sequel {
    /// Nothing: its step is over, or it has not failed.
    None,
    /// A program is asked.
    Asked,
    /// It is begun again then.
    Again(Millis),
}

/// A task that a program has begun again and again is begun so long after its end at most, and an incarnation that has
/// lived for so long ends the row; the first wait that is not none is the other.
const AGAIN_MAX_MS: Millis = 60_000;
const AGAIN_MIN_MS: Millis = 1_000;

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
    /// It ended, and its agent starts it again.
    Again,
    /// It ended for good.
    Ended { exit: Exit, ran_ms: u64 },
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
            ended_ms: None,
            health: None,
            health_from_here: None,
            ill: None,
            restart_noted: 0,
            watched: None,
            is_superseded: false,
            verdict: Verdict::Counts,
            running_since: None,
            sequel: Sequel::None,
            again_in_row: 0,
            streams_due: BTreeSet::new(),
            streams_lost: BTreeSet::new(),
            totals: BTreeMap::new(),
            early: BTreeSet::new(),
            awaited: 0,
            before_loss: None,
            success_codes,
        }
    }

    /// Takes an agent's word. True when the task has just come to its end. An end is final (P4).
    pub fn reported(&mut self, record: &TaskRecord, now: Millis) -> bool {
        if record.key.incarnation < self.key.incarnation {
            return false;
        }
        match (&self.stand, &self.before_loss) {
            // What its host says after it was given up changes nothing, unless the host is taken back.
            (Stand::Lost, Some(_)) => {
                if let Some(stand) = self.stand_of(record, now) {
                    self.before_loss = Some(stand);
                }
                return false;
            }
            _ if self.is_over() => return false,
            _ => {}
        }
        if let Some(stand) = self.stand_of(record, now) {
            self.stand = stand;
        }
        self.is_over()
    }

    fn stand_of(&mut self, record: &TaskRecord, now: Millis) -> Option<Stand> {
        let incarnation = record.key.incarnation;
        if incarnation > self.key.incarnation {
            self.key = record.key;
            (self.running_since, self.executed_us, self.ended_ms) = (None, None, None);
            (self.health_from_here, self.ill) = (None, None);
        }
        self.health = record.health;
        self.ill = record.ill.clone().or(self.ill.take());
        self.guarantee = match record.state {
            TaskState::Starting | TaskState::NotStarted(_) => None,
            TaskState::Running { .. } | TaskState::Exited { .. } => Some(record.guarantee),
        };
        match &record.state {
            TaskState::Starting => None,
            TaskState::Running { .. } => {
                self.running_since.get_or_insert(now);
                Some(Stand::Running)
            }
            TaskState::NotStarted(cause) => Some(match record.again_in_ms {
                Some(_) => Stand::Again,
                None => Stand::NotStarted(cause.clone()),
            }),
            TaskState::Exited { exit, ran_ms, out_bytes, err_bytes, .. } => {
                if incarnation > self.awaited {
                    self.awaited = incarnation;
                    self.totals.insert(incarnation, (*out_bytes, *err_bytes));
                    let both = [StreamName::Out, StreamName::Err].map(|s| (incarnation, s));
                    self.streams_due
                        .extend(both.into_iter().filter(|place| !self.early.contains(place)));
                    self.early.retain(|(of, _)| *of > incarnation);
                    self.forget_totals();
                }
                Some(match record.again_in_ms {
                    Some(_) => Stand::Again,
                    None => Stand::Ended { exit: exit.clone(), ran_ms: *ran_ms },
                })
            }
        }
    }

    pub fn stored(&mut self, incarnation: u32, stream: StreamName) {
        if incarnation > self.awaited {
            self.early.insert((incarnation, stream));
        }
        self.streams_due.remove(&(incarnation, stream));
        self.streams_lost.remove(&(incarnation, stream));
        self.forget_totals();
    }

    fn forget_totals(&mut self) {
        let (due, lost) = (&self.streams_due, &self.streams_lost);
        self.totals.retain(|incarnation, _| due.union(lost).any(|(of, _)| of == incarnation));
    }

    /// A program wants it to begin again: after that long, or at once the first time and later each time in a row.
    pub fn will_begin_again(&mut self, wait_ms: Option<Millis>, now: Millis) {
        if matches!(self.stand, Stand::Ended { ran_ms, .. } if ran_ms >= AGAIN_MAX_MS) {
            self.again_in_row = 0;
        }
        let doublings = self.again_in_row.checked_sub(1);
        let own = doublings.map_or(0, |n| (AGAIN_MIN_MS << n.min(16)).min(AGAIN_MAX_MS));
        self.again_in_row = self.again_in_row.saturating_add(1);
        self.sequel = Sequel::Again(now.saturating_add(wait_ms.unwrap_or(own)));
    }

    /// It is begun again, as the next incarnation.
    pub fn begin_again(&mut self) {
        self.key.incarnation += 1;
        self.stand = Stand::Starting;
        self.sequel = Sequel::None;
        self.stop_sent = false;
        (self.due, self.executed_us, self.running_since) = (None, None, None);
        self.ended_ms = None;
        (self.guarantee, self.health, self.health_from_here) = (None, None, None);
    }

    /// Its host is gone: what is not known now will never be, unless the host comes back.
    pub fn lose(&mut self) {
        self.streams_lost.append(&mut self.streams_due);
        self.sequel = Sequel::None;
        match &self.stand {
            Stand::Starting | Stand::Running | Stand::Again => {
                self.before_loss = Some(std::mem::replace(&mut self.stand, Stand::Lost));
            }
            Stand::Ended { .. } | Stand::NotStarted(_) | Stand::Lost => {}
        }
    }

    /// Its host is back: the rest of the output is awaited once more.
    pub fn await_lost_output(&mut self) {
        self.streams_due.append(&mut self.streams_lost);
    }

    /// Its host has no record of any of its incarnations any more.
    pub fn forget_output(&mut self) {
        self.streams_due.clear();
        self.streams_lost.clear();
        self.totals.clear();
    }

    /// On a host that is back something of it runs, or output of it is not here.
    pub fn gives_more_when_back(&self) -> bool {
        self.may_run_on() || !self.streams_due.is_empty()
    }

    /// Its host is back: what it says counts again.
    pub fn find_again(&mut self) {
        self.await_lost_output();
        if let Some(stand) = self.before_loss.take() {
            self.stand = stand;
        }
        self.is_superseded = false;
    }

    /// Its host is back and has no record of it: it does not run, and nobody knows how it ended.
    pub fn forget_how_it_ran_on(&mut self) {
        if self.ran_on() {
            self.before_loss = None;
        }
    }

    /// Its host was lost and knows what became of it: it runs, or its end was seen.
    pub fn is_found(&self) -> bool {
        match &self.before_loss {
            Some(Stand::Running | Stand::Again) => true,
            Some(Stand::Ended { exit, .. }) => *exit != Exit::Lost,
            Some(Stand::Starting | Stand::NotStarted(_) | Stand::Lost) | None => false,
        }
    }

    /// Whether it ran on when its host was lost, as far as is known.
    pub fn ran_on(&self) -> bool {
        matches!(self.before_loss, Some(Stand::Running | Stand::Again))
    }

    /// Whether it may run on its lost host: it ran on, or its start was under way.
    pub fn may_run_on(&self) -> bool {
        self.ran_on() || self.was_starting()
    }

    /// Whether its start was under way when its host was lost.
    pub fn was_starting(&self) -> bool {
        self.before_loss == Some(Stand::Starting)
    }

    /// The keys of its incarnations whose output is awaited or may come; how long both streams are, where that is known.
    pub fn open_keys(&self) -> impl Iterator<Item = (TaskKey, Option<(u64, u64)>)> {
        let streams = self.streams_due.union(&self.streams_lost);
        let earlier: BTreeSet<u32> = streams.map(|(incarnation, _)| *incarnation).collect();
        let key = self.key;
        let earlier = earlier.into_iter().filter(move |n| *n != key.incarnation);
        let keys = earlier.map(move |incarnation| TaskKey { incarnation, ..key }).chain([key]);
        keys.map(|key| (key, self.totals.get(&key.incarnation).copied()))
    }

    /// The worst that is said of it, where anybody asks.
    pub fn worst_health(&self) -> Option<Health> {
        [self.health, self.health_from_here].into_iter().flatten().min()
    }

    /// A program was seen to run under its key, and not everything is known of it.
    pub fn has_run(&self) -> bool {
        match self.stand {
            Stand::Running | Stand::Again | Stand::Ended { .. } => true,
            Stand::Starting | Stand::NotStarted(_) | Stand::Lost => false,
        }
    }

    /// Elapsed time of its start, as its host reports it, or the time at which the report arrived.
    pub fn started_ms(&self, elapsed: &Elapsed) -> Option<Millis> {
        let said = self.executed_us.map(|us| u64::try_from(us).unwrap_or(0) / 1_000);
        let lived = match (&self.stand, self.ended_ms) {
            (Stand::Ended { ran_ms, .. }, Some(ended)) => Some(ended.saturating_sub(*ran_ms)),
            _ => None,
        };
        said.or(lived).or(self.running_since.map(|at| elapsed.shown(at)))
    }

    /// It will not run any more.
    pub fn is_over(&self) -> bool {
        match self.stand {
            Stand::Starting | Stand::Running | Stand::Again => false,
            Stand::NotStarted(_) | Stand::Ended { .. } | Stand::Lost => true,
        }
    }

    /// Nothing of it runs: somebody saw its end, or that it never ran, and another incarnation is not to follow.
    pub fn is_quiet(&self) -> bool {
        let stand = self.before_loss.as_ref().unwrap_or(&self.stand);
        match stand {
            Stand::NotStarted(_) => true,
            Stand::Ended { exit, .. } => *exit != Exit::Lost,
            Stand::Starting | Stand::Running | Stand::Again | Stand::Lost => false,
        }
    }

    /// It is over and all its output is here.
    pub fn is_settled(&self) -> bool {
        self.is_over() && self.streams_due.is_empty()
    }

    /// It ended as the description wants; `None` while it has not ended.
    pub fn success(&self) -> Option<bool> {
        match &self.stand {
            Stand::Starting | Stand::Running | Stand::Again => None,
            // Whoever asked a task to stop does not want to read that it was never started.
            Stand::NotStarted(Cause { kind: CauseKind::Cancelled, .. }) if self.stop_sent => {
                Some(true)
            }
            Stand::NotStarted(_) | Stand::Lost => Some(false),
            // Whoever asked a task to stop does not want to read that it failed.
            Stand::Ended { exit: Exit::Stopped { .. }, .. } if self.stop_sent => Some(true),
            Stand::Ended { exit, .. } => Some(exit.is_among(&self.success_codes)),
        }
    }

    /// It did what it was for, or the description continues as if it had.
    pub fn is_done_with(&self) -> bool {
        self.success() == Some(true) || self.verdict == Verdict::Accepted
    }

    /// Its own time limit ended it.
    pub fn was_out_of_time(&self) -> bool {
        matches!(self.exit(), Some(Exit::Stopped { why }) if why == "time-limit")
    }

    /// The exit code that a shell would give it; 255 where there is none.
    pub fn code(&self) -> i32 {
        match &self.stand {
            Stand::Ended { exit, .. } => exit.shell_code().unwrap_or(255),
            Stand::NotStarted(Cause { kind: CauseKind::Exec, .. }) => 127,
            Stand::NotStarted(_) | Stand::Lost => 255,
            Stand::Starting | Stand::Running | Stand::Again => 0,
        }
    }

    /// Why it failed, in words that are the same for all tasks that failed so.
    pub fn failure(&self) -> Tainted {
        match &self.stand {
            Stand::NotStarted(cause) => cause.text.clone(),
            Stand::Lost => Tainted::new(format!("`{}` was lost with its host", self.process)),
            Stand::Ended { exit, .. } => self.end_words(exit),
            Stand::Starting | Stand::Running | Stand::Again => Tainted::default(),
        }
    }

    fn end_words(&self, exit: &Exit) -> Tainted {
        Tainted::new(match exit {
            Exit::Code(code) => format!("`{}` exited with code {code}", self.process),
            Exit::Signal { signal, oom: false } => {
                format!("`{}` was ended by {}", self.process, Signal::words(*signal))
            }
            Exit::Signal { oom: true, .. } => {
                format!("`{}` was ended since the host ran out of memory", self.process)
            }
            Exit::Stopped { why } if why == Exit::PROBE => match &self.ill {
                Some(ill) => format!("`{}` was unhealthy: {}", self.process, ill.raw()),
                None => format!("`{}` was unhealthy, its probe says", self.process),
            },
            Exit::Stopped { why } => format!("`{}` was stopped: {why}", self.process),
            Exit::Lost => format!("nobody saw how `{}` ended", self.process),
        })
    }

    /// Why its agent restarts it, if it does, in the same text.
    pub fn why_again(&self, record: &TaskRecord) -> Option<Tainted> {
        match &record.state {
            _ if record.again_in_ms.is_none() => None,
            TaskState::Exited { exit, .. } => Some(self.end_words(exit)),
            TaskState::NotStarted(cause) => Some(cause.text.clone()),
            TaskState::Starting | TaskState::Running { .. } => None,
        }
    }

    /// How it ended, if it did and somebody knows.
    pub fn exit(&self) -> Option<&Exit> {
        match &self.stand {
            Stand::Ended { exit, .. } => Some(exit),
            Stand::Starting
            | Stand::Running
            | Stand::Again
            | Stand::NotStarted(_)
            | Stand::Lost => None,
        }
    }

    /// Its state in one word.
    pub fn word(&self) -> &'static str {
        if let Sequel::Again(_) = self.sequel {
            return "restarting";
        }
        match self.stand {
            Stand::Starting => "starting",
            Stand::Running => "running",
            Stand::NotStarted(_) => "not started",
            Stand::Again => "restarting",
            Stand::Ended { exit: Exit::Lost, .. } => "ambiguous",
            Stand::Ended { .. } => "exited",
            Stand::Lost => "lost",
        }
    }
}
