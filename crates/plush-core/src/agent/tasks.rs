//! The tasks of one host: what was asked for each key, what is known of it, what is started again.
//! Not its processes: those are the keeper's.

use super::Ordered;
use super::event::{Effect, Launched};
use super::restart::Restarts;
use crate::Millis;
use crate::health::Probing;
use plush_protocol::{
    Cause, CauseKind, Exit, Health, Report, Tainted, TaskKey, TaskRecord, TaskSpec, TaskState,
    Unhealthy,
};

/// So many of a task's newest incarnations are remembered whatever the controller has; more where the budget of its
/// restarts counts more, since an agent that is started again counts what it finds.
const REMEMBERED: usize = 16;
const REMEMBERED_MAX: usize = 1_000;
/// So many reports have to be acknowledged after the controller has said that it has the output of an incarnation.
const REPORTS_AFTER: u64 = 8;

/// The keys that this agent has heard of, but for incarnations that others have followed long ago.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    tasks: Ordered<TaskKey, Task>,
    courses: Ordered<u32, Course>,
    /// Changes that are to be reported, in order.
    changes: Vec<TaskRecord>,
    /// Incarnations after which none follows, not written down yet.
    concluded: Vec<TaskKey>,
    /// Incarnations whose output the controller has, and the newest report of this session when it said so.
    stored: Ordered<TaskKey, u64>,
    signals: Vec<(TaskKey, i32)>,
}

#[derive(Clone, Debug)]
struct Task {
    record: TaskRecord,
    /// To be started; taken when the start is handed out.
    start: Option<Box<TaskSpec>>,
    stop: Stop,
}

/// What the agent does by itself about a task, over its incarnations.
#[derive(Clone, Debug)]
struct Course {
    spec: Box<TaskSpec>,
    restarts: Option<Restarts>,
    /// Somebody asked for the task's end: no incarnation follows the present one.
    is_ending: bool,
    /// The next incarnation and when it is to start.
    next: Option<(TaskKey, Millis)>,
    /// Of the incarnation that runs.
    probing: Option<Probing>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stop {
    No,
    Wanted(String),
    Asked,
}

impl Tasks {
    /// What an earlier agent has left. Where it had not come to start the next incarnation this one will.
    pub fn recovered(now: Millis, records: Vec<TaskRecord>, launches: Vec<Launched>) -> Self {
        let mut tasks = Tasks::default();
        for record in records {
            tasks.insert(TaskRecord { again_in_ms: None, ..record }, None);
        }
        tasks.mark_followed();
        for launched in &launches {
            tasks.courses.entry(launched.key.task).or_insert_with(|| Course::new(&launched.spec));
        }
        for launched in &launches {
            let course = tasks.courses.get_mut(&launched.key.task).expect("it was just made");
            if let (Some(restarts), Some(at)) = (&mut course.restarts, launched.started_at)
                && launched.key.incarnation > 1
            {
                restarts.started(at);
            }
        }
        for launched in &launches {
            let state = tasks.tasks.get(&launched.key).map(|task| &task.record.state);
            match state {
                Some(TaskState::Running { .. }) => tasks.begin_probing(launched.key),
                Some(_) if !launched.is_last => tasks.follow(now, launched.key),
                Some(_) | None => {}
            }
        }
        tasks
    }

    /// A start is asked for: a key with a record is never started again, what is known is said instead.
    pub fn start(
        &mut self,
        key: TaskKey,
        spec: Box<TaskSpec>,
        refusal: Option<&str>,
    ) -> Option<Report> {
        if let Some(newest) = self.newest(key) {
            let known = self.tasks.get(&key).or(self.tasks.get(&newest));
            return known.map(|task| Report::Task(task.record.clone()));
        }
        if let Some(why) = refusal {
            return Some(self.bury(key, why));
        }
        if spec.restart.is_some() || !spec.probes.is_empty() {
            self.courses.insert(key.task, Course::new(&spec));
        }
        self.insert(TaskRecord::new(key, TaskState::Starting), Some(spec));
        None
    }

    /// A stop is asked for, of the task as it is now: the answer, where it has ended already or never was.
    pub fn stop(&mut self, key: TaskKey, why: String) -> Option<Report> {
        let Some(newest) = self.newest(key) else {
            return Some(self.bury(key, "it was stopped before it was started"));
        };
        self.conclude(newest);
        let task = self.tasks.get_mut(&newest).expect("the newest is among them");
        if has_ended(&task.record.state) {
            return Some(Report::Task(task.record.clone()));
        }
        if task.stop == Stop::No {
            task.stop = Stop::Wanted(why);
        }
        None
    }

    pub fn signal(&mut self, key: TaskKey, signal: i32) {
        let Some(newest) = self.newest(key) else { return };
        if matches!(self.tasks[&newest].record.state, TaskState::Running { .. }) {
            self.signals.push((newest, signal));
        }
    }

    pub fn stop_all(&mut self, why: &str) {
        let due: Vec<TaskKey> = self
            .courses
            .values()
            .filter_map(|course| course.next)
            .map(|(next, _)| TaskKey { incarnation: next.incarnation - 1, ..next })
            .collect();
        for key in due {
            self.conclude(key);
            self.changes.push(self.tasks[&key].record.clone());
        }
        self.courses.values_mut().for_each(|course| course.is_ending = true);
        for task in self.tasks.values_mut() {
            if !has_ended(&task.record.state) && task.stop == Stop::No {
                task.stop = Stop::Wanted(why.to_owned());
            }
        }
    }

    /// A task changed; nothing new is not said again. An end is final (P4).
    pub fn changed(&mut self, record: TaskRecord) {
        let Some(task) = self.tasks.get_mut(&record.key) else { return };
        let (health, ill) = (task.record.health, task.record.ill.clone());
        let record = TaskRecord { again_in_ms: None, health, ill, ..record };
        if has_ended(&task.record.state) || task.record == record {
            return;
        }
        task.record = record.clone();
        self.changes.push(record);
    }

    /// A probe was answered.
    pub fn probed(&mut self, key: TaskKey, probe: usize, answer: Result<(), Tainted>) {
        let Some(course) = self.courses.get_mut(&key.task) else { return };
        let Some(probing) = &mut course.probing else { return };
        probing.answered(probe, answer.is_ok());
        let health = probing.health();
        let ends = health == Health::Unhealthy && course.spec.unhealthy == Unhealthy::End;
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if !matches!(task.record.state, TaskState::Running { .. }) {
            return;
        }
        if task.record.health != Some(health) {
            task.record.health = Some(health);
            if health == Health::Unhealthy {
                task.record.ill = answer.err();
            }
            self.changes.push(task.record.clone());
        }
        if ends {
            self.fail(key);
        }
    }

    /// Somebody who may judge calls an incarnation unhealthy: it is ended as a failure.
    pub fn fail(&mut self, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if !has_ended(&task.record.state) && task.stop == Stop::No {
            task.stop = Stop::Wanted(Exit::PROBE.to_owned());
        }
    }

    pub fn decide(&mut self, now: Millis, effects: &mut Vec<Effect>, reports: &mut Vec<Report>) {
        for mut record in std::mem::take(&mut self.changes) {
            if has_ended(&record.state) && self.tasks[&record.key].record == record {
                self.follow(now, record.key);
                record = self.tasks[&record.key].record.clone();
            } else if matches!(record.state, TaskState::Running { .. }) {
                self.begin_probing(record.key);
                record.health = self.tasks[&record.key].record.health;
            }
            reports.push(Report::Task(record));
        }
        self.start_due(now);
        let concluded = self.concluded.drain(..);
        effects.extend(concluded.map(|key| Effect::Conclude { key }));
        self.decide_each(effects, reports);
        self.decide_probes(now, effects);
        let signals = self.signals.drain(..);
        effects.extend(signals.map(|(key, signal)| Effect::Signal { key, signal }));
    }

    /// The controller has all output of an incarnation; `newest` is the newest report that there is.
    pub fn stored(&mut self, key: TaskKey, newest: u64) {
        if self.tasks.get(&key).is_some_and(|task| has_ended(&task.record.state)) {
            self.stored.entry(key).or_insert(newest);
        }
    }

    /// Another controller, or one that was started again, may have written less down than the one before said.
    pub fn session_opened(&mut self) {
        self.stored.clear();
    }

    /// Forgets incarnations that others have followed: their output is durable at the controller, and since it said so it
    /// has written down a later report, so that it has written down that too.
    pub fn decide_forgetting(&mut self, acknowledged: u64, effects: &mut Vec<Effect>) {
        let is_known = |(_, newest): &(&TaskKey, &u64)| **newest + REPORTS_AFTER <= acknowledged;
        let known: Vec<TaskKey> =
            self.stored.iter().filter(is_known).map(|(key, _)| *key).collect();
        for key in known {
            let after = TaskKey { incarnation: key.incarnation + 1, ..key };
            let last = TaskKey { incarnation: u32::MAX, ..key };
            if self.tasks.range(after..=last).count() >= self.remembered(key) {
                self.stored.remove(&key);
                self.tasks.remove(&key);
                effects.push(Effect::Forget { key });
            }
        }
    }

    fn remembered(&self, key: TaskKey) -> usize {
        let rule = self.courses.get(&key.task).and_then(|course| course.spec.restart.as_ref());
        let counted = rule.and_then(|rule| rule.max).map_or(0, |max| max as usize);
        counted.clamp(REMEMBERED, REMEMBERED_MAX)
    }

    pub fn wake_at(&self) -> Option<Millis> {
        let starts = self.courses.values().filter_map(|c| c.next).map(|(_, at)| at);
        let probes = self.courses.values().filter_map(|c| c.probing.as_ref()?.wake_at());
        starts.chain(probes).min()
    }

    pub fn record(&self, key: TaskKey) -> Option<&TaskRecord> {
        self.tasks.get(&key).map(|task| &task.record)
    }

    pub fn records(&self) -> Vec<TaskRecord> {
        self.tasks.values().map(|task| task.record.clone()).collect()
    }

    pub fn all_ended(&self) -> bool {
        self.tasks.values().all(|task| has_ended(&task.record.state))
            && self.courses.values().all(|course| course.next.is_none())
    }

    /// What has another incarnation after it was not the end.
    fn mark_followed(&mut self) {
        let mut after = None;
        for (key, task) in self.tasks.iter_mut().rev() {
            if after == Some(key.task) {
                task.record.again_in_ms = Some(0);
            }
            after = Some(key.task);
        }
    }

    fn insert(&mut self, record: TaskRecord, start: Option<Box<TaskSpec>>) {
        self.tasks.insert(record.key, Task { record, start, stop: Stop::No });
    }

    /// The newest incarnation of a key's task that is not older than the key.
    fn newest(&self, key: TaskKey) -> Option<TaskKey> {
        let last = TaskKey { incarnation: u32::MAX, ..key };
        self.tasks.range(key..=last).next_back().map(|(key, _)| *key)
    }

    /// An incarnation has ended: another is to follow, or none ever is.
    fn follow(&mut self, now: Millis, key: TaskKey) {
        let Some(course) = self.courses.get_mut(&key.task) else { return };
        let last = TaskKey { incarnation: u32::MAX, ..key };
        let Some((newest, task)) = self.tasks.range_mut(key..=last).next_back() else { return };
        if *newest != key || !has_ended(&task.record.state) || course.next.is_some() {
            return;
        }
        course.probing = None;
        let Some(restarts) = &mut course.restarts else { return };
        match restarts.after(now, key, &task.record.state).filter(|_| !course.is_ending) {
            Some(at) => {
                course.next = Some((TaskKey { incarnation: key.incarnation + 1, ..key }, at));
                task.record.again_in_ms = Some(at.saturating_sub(now));
            }
            None => self.concluded.push(key),
        }
    }

    /// None follows this incarnation.
    fn conclude(&mut self, key: TaskKey) {
        let Some(course) = self.courses.get_mut(&key.task) else { return };
        course.is_ending = true;
        if course.next.take().is_some() {
            self.concluded.push(key);
            let task = self.tasks.get_mut(&key).expect("what is followed has a record");
            task.record.again_in_ms = None;
        }
    }

    fn begin_probing(&mut self, key: TaskKey) {
        let Some(course) = self.courses.get_mut(&key.task) else { return };
        let task = self.tasks.get_mut(&key).expect("what changed has a record");
        if course.spec.probes.is_empty() || task.record.health.is_some() {
            return;
        }
        course.probing = Some(Probing::new(&course.spec.probes));
        task.record.health = Some(Health::Unknown);
    }

    fn start_due(&mut self, now: Millis) {
        let mut begun = Vec::new();
        for course in self.courses.values_mut() {
            if let Some((key, at)) = course.next
                && at <= now
            {
                course.next = None;
                if let Some(restarts) = &mut course.restarts {
                    restarts.started(now);
                }
                begun.push((key, course.spec.clone()));
            }
        }
        for (key, spec) in begun {
            self.insert(TaskRecord::new(key, TaskState::Starting), Some(spec));
        }
    }

    fn decide_each(&mut self, effects: &mut Vec<Effect>, reports: &mut Vec<Report>) {
        let mut never_started = Vec::new();
        for (key, task) in &mut self.tasks {
            let key = *key;
            if let (Some(_), Stop::Wanted(why)) = (&task.start, &task.stop) {
                task.record.state = never(&format!("it was stopped before it was started: {why}"));
                task.start = None;
                task.stop = Stop::Asked;
                reports.push(Report::Task(task.record.clone()));
                never_started.push(key);
            }
            if let Some(spec) = task.start.take() {
                effects.push(Effect::Start { key, spec });
            }
            if let Stop::Wanted(why) = &mut task.stop {
                let why = std::mem::take(why);
                if !has_ended(&task.record.state) {
                    effects.push(Effect::Stop { key, why });
                }
                task.stop = Stop::Asked;
            }
        }
        let known = never_started.into_iter().filter(|key| self.courses.contains_key(&key.task));
        effects.extend(known.map(|key| Effect::Conclude { key }));
    }

    fn decide_probes(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        for (task, course) in &mut self.courses {
            let Some(probing) = &mut course.probing else { continue };
            let first = TaskKey { task: *task, incarnation: 0 };
            let last = TaskKey { task: *task, incarnation: u32::MAX };
            let Some((key, _)) = self.tasks.range(first..=last).next_back() else { continue };
            let cluster = &course.spec.cluster;
            effects.extend(probing.decide(now).into_iter().map(|q| Effect::Probe {
                key: *key,
                probe: q.probe,
                check: q.check,
                time_limit_ms: q.time_limit_ms,
                cluster: cluster.clone(),
            }));
        }
    }

    /// Gives a key its end before it had a beginning, so that it never gets one.
    fn bury(&mut self, key: TaskKey, why: &str) -> Report {
        let record = TaskRecord::new(key, never(why));
        let task = Task { record: record.clone(), start: None, stop: Stop::Asked };
        self.tasks.insert(key, task);
        Report::Task(record)
    }
}

impl Course {
    fn new(spec: &TaskSpec) -> Self {
        let codes = &spec.success_codes;
        let restarts = spec.restart.clone().map(|rule| Restarts::new(rule, codes.clone()));
        Course {
            spec: Box::new(spec.clone()),
            restarts,
            is_ending: false,
            next: None,
            probing: None,
        }
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
