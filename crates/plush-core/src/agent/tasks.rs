//! The tasks of one host: what was asked for each key, what is known of it.
//! Not its processes: those are the keeper's.

use super::Ordered;
use super::event::Effect;
use plush_protocol::{
    Cause, CauseKind, Guarantee, Report, Tainted, TaskKey, TaskRecord, TaskSpec, TaskState,
};

/// Every key that this agent has ever heard of.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    tasks: Ordered<TaskKey, Task>,
    signals: Vec<(TaskKey, i32)>,
}

#[derive(Clone, Debug)]
struct Task {
    record: TaskRecord,
    /// To be started; taken when the start is handed out.
    start: Option<Box<TaskSpec>>,
    stop: Stop,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stop {
    No,
    Wanted(String),
    Asked,
}

impl Tasks {
    pub fn recovered(records: Vec<TaskRecord>) -> Self {
        let tasks = records
            .into_iter()
            .map(|record| (record.key, Task { record, start: None, stop: Stop::No }));
        Tasks { tasks: tasks.collect(), signals: Vec::new() }
    }

    /// A start is asked for: a key with a record is never started again, what is known is said instead.
    pub fn start(&mut self, key: TaskKey, spec: Box<TaskSpec>, leaving: bool) -> Option<Report> {
        if let Some(task) = self.tasks.get(&key) {
            return Some(Report::Task(task.record.clone()));
        }
        if leaving {
            return Some(self.bury(key, "the host is being cleaned up"));
        }
        let record = TaskRecord {
            key,
            state: TaskState::Starting,
            guarantee: Guarantee::default(),
            degraded: false,
        };
        self.tasks.insert(key, Task { record, start: Some(spec), stop: Stop::No });
        None
    }

    /// A stop is asked for: the answer, where the task has ended already or never was.
    pub fn stop(&mut self, key: TaskKey, why: String) -> Option<Report> {
        let Some(task) = self.tasks.get_mut(&key) else {
            return Some(self.bury(key, "it was stopped before it was started"));
        };
        if has_ended(&task.record.state) {
            return Some(Report::Task(task.record.clone()));
        }
        if task.stop == Stop::No {
            task.stop = Stop::Wanted(why);
        }
        None
    }

    pub fn signal(&mut self, key: TaskKey, signal: i32) {
        let running = |task: &Task| matches!(task.record.state, TaskState::Running { .. });
        if self.tasks.get(&key).is_some_and(running) {
            self.signals.push((key, signal));
        }
    }

    pub fn stop_all(&mut self, why: &str) {
        for task in self.tasks.values_mut() {
            if !has_ended(&task.record.state) && task.stop == Stop::No {
                task.stop = Stop::Wanted(why.to_owned());
            }
        }
    }

    /// A task changed: the report about it, unless nothing new is said. An end is final (P4).
    pub fn changed(&mut self, record: TaskRecord) -> Option<Report> {
        let task = self.tasks.get_mut(&record.key)?;
        if has_ended(&task.record.state) || task.record == record {
            return None;
        }
        task.record = record.clone();
        Some(Report::Task(record))
    }

    pub fn decide(&mut self, effects: &mut Vec<Effect>, reports: &mut Vec<Report>) {
        for (key, task) in &mut self.tasks {
            let key = *key;
            if let (Some(_), Stop::Wanted(why)) = (&task.start, &task.stop) {
                task.record.state = never(&format!("it was stopped before it was started: {why}"));
                task.start = None;
                task.stop = Stop::Asked;
                reports.push(Report::Task(task.record.clone()));
            }
            if let Some(spec) = task.start.take() {
                effects.push(Effect::Start { key, spec });
            }
            if let Stop::Wanted(why) = &mut task.stop {
                let why = std::mem::take(why);
                effects.push(Effect::Stop { key, why });
                task.stop = Stop::Asked;
            }
        }
        let signals = self.signals.drain(..);
        effects.extend(signals.map(|(key, signal)| Effect::Signal { key, signal }));
    }

    pub fn record(&self, key: TaskKey) -> Option<&TaskRecord> {
        self.tasks.get(&key).map(|task| &task.record)
    }

    pub fn records(&self) -> Vec<TaskRecord> {
        self.tasks.values().map(|task| task.record.clone()).collect()
    }

    pub fn all_ended(&self) -> bool {
        self.tasks.values().all(|task| has_ended(&task.record.state))
    }

    /// Gives a key its end before it had a beginning, so that it never gets one.
    fn bury(&mut self, key: TaskKey, why: &str) -> Report {
        let record =
            TaskRecord { key, state: never(why), guarantee: Guarantee::default(), degraded: false };
        let task = Task { record: record.clone(), start: None, stop: Stop::Asked };
        self.tasks.insert(key, task);
        Report::Task(record)
    }
}

fn has_ended(state: &TaskState) -> bool {
    match state {
        TaskState::Starting | TaskState::Running { .. } => false,
        TaskState::NotStarted(_) | TaskState::Exited { .. } => true,
    }
}

fn never(why: &str) -> TaskState {
    TaskState::NotStarted(Cause { kind: CauseKind::Cancelled, text: Tainted::new(why) })
}
