//! What must hold for the run after each of its decisions.

use super::Checks;
use crate::scenario::{AFTER_MEETING, MEETING};
use plush_core::Millis;
use plush_core::plan::{HostId, PlannedCluster, RunPlan};
use plush_core::run::{Effect, Event, Run};
use plush_protocol::{
    BarrierView, Command, Exit, HostState, Report, RunView, TaskKey, TaskRecord, TaskState,
    TaskView,
};
use plush_spec::model::{Entry, Reaction, Release};
use std::collections::BTreeSet;

/// A run that wakes up so often in a row for nothing is spinning.
const IDLE_WAKES_MAX: u32 = 20;
/// Results are asked for so often.
const COLLECT_ATTEMPTS: u32 = 3;
/// Attempts on a host that never answered.
const FIRST_ATTEMPTS_MAX: u32 = 4;
/// Attempts within the longest silence after which a host is given up, by the shortest waits: that of a lease, when many
/// fell silent together.
const SILENT_ATTEMPTS_MAX: u32 = 48;

impl Checks {
    /// The run has absorbed and decided a record.
    pub fn decided(
        &mut self,
        run: &mut Run,
        record: &crate::world::JournalRecord,
        effects: &[Effect],
    ) {
        if self.unwatched {
            return;
        }
        let at = record.at;
        let wake = run.wake_at(at);
        self.demand(wake.is_none_or(|wake| wake > at), "wake-later", at, || format!("{wake:?}"));
        let again = run.decide(at);
        self.demand(again.is_empty(), "decide-once", at, || {
            format!("after {:?}: {again:?}", record.events)
        });
        self.spinning(record, effects);
        self.just_restarted = record.events.contains(&Event::Restarted);
        self.taken_up(&record.events);
        let view = run.view();
        effects.iter().for_each(|effect| self.decided_effect(at, effect, run.plan(), &view));
        self.after_meeting(at, run, effects);
        self.excuse(&view);
        self.partitioned(at, &view);
        view.barriers.iter().for_each(|b| self.barrier(at, b, run, &view));
        if view.stopping.is_none() && run.outcome().is_none() {
            view.barriers.iter().for_each(|b| self.opens(at, b, run.plan()));
        }
        self.throttled(at, run, &view);
        self.meeting_throttled(at, run.plan(), &view);
        self.ends(at, &view, run.plan());
        let done = view.hosts.iter().enumerate().filter(|(_, h)| h.state == HostState::Done);
        self.done = done.map(|(number, _)| number).collect();
    }

    /// L5: a suspicion changes nothing; it only asks for another link.
    pub fn suspicion(&mut self, at: Millis, without: &[Effect], with: &[Effect]) {
        let is_more = |e: &&Effect| !without.contains(e) && !matches!(e, Effect::Connect { .. });
        self.demand(!with.iter().any(|e| is_more(&e)), "L5", at, || format!("{with:?}"));
    }

    fn spinning(&mut self, record: &crate::world::JournalRecord, effects: &[Effect]) {
        self.idle_wakes = match record.events.is_empty() && effects.is_empty() {
            true => self.idle_wakes + 1,
            false => 0,
        };
        let idle = self.idle_wakes;
        self.demand(idle <= IDLE_WAKES_MAX, "no-spin", record.at, || {
            format!("{idle} wake-ups in a row for nothing")
        });
    }

    /// Events are in the journal and absorbed, by this controller or by its successor.
    pub fn taken_up(&mut self, events: &[Event]) {
        if self.unwatched {
            return;
        }
        events.iter().for_each(|event| self.absorbed(event));
    }

    fn absorbed(&mut self, event: &Event) {
        match event {
            Event::Reported { host, session, number, report } => {
                self.ends_known(report);
                self.begun_known(report);
                let newest = self.journalled.entry((*host, *session)).or_default();
                *newest = (*newest).max(*number);
            }
            Event::Restarted => self.restarts += 1,
            Event::HeardAgain { host, .. } => drop(self.attempts.remove(host)),
            Event::Collected { host, .. } => {
                self.collected.insert(*host);
            }
            Event::CollectFailed { host, .. } => {
                *self.collect_failures.entry(*host).or_default() += 1;
            }
            Event::Connected { host, hello, .. } => {
                self.sessions.insert(*host, hello.session);
                self.attempts.remove(host);
            }
            _ => {}
        }
    }

    fn begun_known(&mut self, report: &Report) {
        let has_begun = |record: &&TaskRecord| match record.state {
            TaskState::Running { .. } | TaskState::Exited { .. } => true,
            TaskState::Starting | TaskState::NotStarted(_) => false,
        };
        self.known_begun.extend(report.tasks().iter().filter(has_begun).map(|r| r.key));
    }

    fn decided_effect(&mut self, at: Millis, effect: &Effect, plan: &RunPlan, view: &RunView) {
        match effect {
            // One that was given up is looked for now and then, as long as the run lasts.
            Effect::Connect { host, .. } if view.hosts[host.index()].state == HostState::Failed => {
            }
            Effect::Connect { host, .. } => self.attempt(at, *host),
            Effect::Acknowledge { host, number } => self.acknowledges(at, *host, *number),
            Effect::Send { host, command: Command::Start { spec, .. }, .. } => {
                self.begun.insert(*host);
                self.replaced(at, *host, spec, plan);
            }
            Effect::Send { host, command: Command::CleanUp { .. }, .. } => {
                self.cleaned_up(at, *host, plan);
            }
            Effect::Send { host, command: Command::Stop { key, .. }, .. } => {
                self.stopped(at, *host, *key, view);
            }
            Effect::DropConnect { .. }
            | Effect::Ask { .. }
            | Effect::Send { .. }
            | Effect::Collect { .. }
            | Effect::Disconnect { .. }
            | Effect::Watch { .. }
            | Effect::Unwatch { .. }
            | Effect::Finish { .. } => {}
        }
    }

    /// What serves is not told to stop: not by a word either that was meant for it while it was given up.
    fn stopped(&mut self, at: Millis, host: HostId, key: TaskKey, view: &RunView) {
        let task = view.tasks.get(key.task as usize);
        let serves = task.is_some_and(|t| t.state == "running")
            && view.hosts[host.index()].state == HostState::Running;
        self.demand(!serves || view.stopping.is_some(), "serves on", at, || {
            format!("{key:?} is told to stop on {host:?}, which serves")
        });
    }

    /// B3: what comes after the meeting starts only on hosts that the meeting has let go.
    fn after_meeting(&mut self, at: Millis, run: &Run, effects: &[Effect]) {
        let mut starting = effects.iter().filter_map(|effect| match effect {
            Effect::Send { host, command: Command::Start { spec, key }, .. }
                if spec.name == AFTER_MEETING =>
            {
                Some((*host, *key))
            }
            _ => None,
        });
        let Some(first) = starting.next() else { return };
        let passages = run.passages(MEETING).filter(|(.., p)| p.released_at.is_some());
        let let_go: BTreeSet<HostId> = passages.map(|(_, host, _)| host).collect();
        for (host, key) in std::iter::once(first).chain(starting) {
            self.demand(let_go.contains(&host), "B3", at, || {
                format!("{key:?} starts on {host:?}, which the meeting has not let go")
            });
        }
    }

    /// R3: attempts are bounded.
    fn attempt(&mut self, at: Millis, host: HostId) {
        let most = match self.sessions.contains_key(&host) {
            true => SILENT_ATTEMPTS_MAX,
            false => FIRST_ATTEMPTS_MAX,
        };
        let most = most + 2 * self.restarts;
        let count = self.attempts.entry(host).or_default();
        *count += 1;
        let count = *count;
        self.demand(count <= most, "R3", at, || format!("attempt {count} on {host:?}"));
    }

    /// N4, as far as it is seen from outside: what is acknowledged was sent, and an acknowledgement never goes back.
    fn acknowledges(&mut self, at: Millis, host: HostId, number: u64) {
        let session = self.sessions.get(&host).copied().unwrap_or_default();
        let sent = self.sent.get(&(host, session)).copied().unwrap_or_default();
        let before = self.acknowledged.insert((host, session), number).unwrap_or_default();
        self.demand(number <= sent && number > before, "N4", at, || {
            format!("{host:?}: {number} acknowledged after {before}, {sent} sent")
        });
    }

    /// R1: every host is in one state, and the counts are of all hosts.
    fn partitioned(&mut self, at: Millis, view: &RunView) {
        let c = &view.counts;
        let sum = c.connecting
            + c.preparing
            + c.ready
            + c.running
            + c.finishing
            + c.done
            + c.failed
            + c.spare;
        self.demand(sum as usize == view.hosts.len(), "R1", at, || format!("{c:?}"));
    }

    /// B1, B3, B4, B5 as far as a view shows them.
    fn barrier(&mut self, at: Millis, barrier: &BarrierView, run: &Run, view: &RunView) {
        let is_once = barrier.name != MEETING || barrier.generation == 1;
        self.demand(is_once, "B7", at, || {
            format!("a step has come to a second round of what it enters once: {barrier:?}")
        });
        let generation = (barrier.name.clone(), barrier.generation);
        let before = self.barriers.get(&generation).cloned();
        let (released, opened, missing) = before.unwrap_or_default();
        let held = barrier.released <= barrier.entered.max(released)
            && barrier.entered <= barrier.expected;
        self.demand(held, "B1", at, || format!("{barrier:?}"));
        self.demand(barrier.released >= released, "B4", at, || format!("{barrier:?}"));
        self.demand(opened.is_none() || opened == barrier.opened, "B4", at, || {
            format!("{barrier:?}")
        });
        let caused = barrier.released == 0 || barrier.opened.is_some();
        self.demand(caused, "B5", at, || format!("{barrier:?}"));
        // What a controller decided in its last moment is not seen as it was then.
        if opened.is_none() && barrier.opened.is_some() && !self.just_restarted {
            self.caused(at, barrier, run.plan(), &missing);
            self.waited_for(at, barrier, run, view);
        }
        self.barriers.insert(
            generation,
            (barrier.released, barrier.opened.clone(), barrier.missing.clone()),
        );
    }

    /// B1: a meeting at which all have come was waited for by everybody who is at work, also by who was lost and is back.
    fn waited_for(&mut self, at: Millis, barrier: &BarrierView, run: &Run, view: &RunView) {
        let is_first = barrier.name == MEETING && barrier.generation == 1;
        if !is_first || barrier.opened.as_deref() != Some("all") {
            return;
        }
        let came = run.passages(MEETING).filter(|(.., passage)| passage.entered_at.is_some());
        let came: BTreeSet<HostId> = came.map(|(_, host, _)| host).collect();
        let plan = run.plan();
        let meeting = plan.project.barriers.iter().position(|b| b.name.as_str() == MEETING);
        let meeting = meeting.expect("every project has the meeting");
        // Whoever has failed in something goes no further.
        let failed = failed_hosts(view);
        let absent = (0..).map(HostId).zip(&view.hosts).find(|(id, host)| {
            host.state == HostState::Running
                && plan.cluster_of(*id).is_some_and(|c| plan.has_step_at(c, meeting))
                && !failed.contains(host.name.as_str())
                && !came.contains(id)
        });
        self.demand(absent.is_none(), "B1", at, || {
            format!("all have come to {barrier:?}, they say, and {absent:?} has not")
        });
    }

    /// B10: what is to open is open once it was decided.
    fn opens(&mut self, at: Millis, barrier: &BarrierView, plan: &RunPlan) {
        let Some(policy) = entry_of(barrier, plan) else { return };
        let waits = barrier.opened.is_none() && barrier.entered > 0;
        let is_due = ["all", "count", "percent", "timeout"]
            .into_iter()
            .find(|why| is_true(why, barrier, barrier.expected, policy));
        self.demand(!waits || is_due.is_none(), "B10", at, || {
            format!("{barrier:?} has not opened by {is_due:?} of {policy:?}")
        });
    }

    /// B5: the reason that is given for an opening is true.
    fn caused(&mut self, at: Millis, barrier: &BarrierView, plan: &RunPlan, before: &[String]) {
        let Some(policy) = entry_of(barrier, plan) else { return };
        // Who stepped in for another at the same instant was not expected when it opened.
        let fresh = barrier.missing.iter().filter(|name| !before.contains(name)).count();
        let expected = barrier.expected - fresh as u32;
        let why = barrier.opened.as_deref().unwrap_or_default();
        self.demand(is_true(why, barrier, expected, policy), "B5", at, || {
            format!("{barrier:?} by {policy:?}")
        });
    }

    /// B6: no more are inside the meeting than it lets in; who is inside too long does not count any more.
    fn meeting_throttled(&mut self, at: Millis, plan: &RunPlan, view: &RunView) {
        let meeting = plan.project.barriers.iter().find(|b| b.name.as_str() == MEETING);
        let Some(Release::Inside { max, timeout_ms }) = meeting.map(|b| &b.policy.release) else {
            return;
        };
        if timeout_ms.is_some() && self.restarts > 0 {
            // When somebody was let in is not seen from outside then.
            return;
        }
        let began = view.tasks.iter().skip(self.tasks_seen).filter(|t| t.process == AFTER_MEETING);
        let key = |t: &TaskView| TaskKey { task: t.task, incarnation: t.incarnation };
        self.inside.extend(began.map(|t| (key(t), at)));
        self.tasks_seen = view.tasks.len();
        // A host on which something failed counts as out, whatever still runs there.
        let gone = failed_hosts(view);
        let over = |key: &TaskKey| {
            let runs =
                |t: &TaskView| matches!(t.state.as_str(), "starting" | "running" | "restarting");
            let task = view.tasks.get(key.task as usize);
            task.is_some_and(|t| !runs(t) || gone.contains(t.host.as_str()))
        };
        self.inside
            .retain(|key, since| !over(key) && timeout_ms.is_none_or(|limit| at < *since + limit));
        let inside = self.inside.len();
        self.demand(inside <= *max as usize, "B6", at, || {
            format!("{inside} of {max} are inside the meeting")
        });
    }

    /// Results come home before a host is cleaned up, unless they have failed to often enough.
    fn cleaned_up(&mut self, at: Millis, host: HostId, plan: &RunPlan) {
        let serves = |c: &&PlannedCluster| c.members.contains(&host);
        let wanted = plan.clusters.iter().find(serves).is_some_and(|c| !c.spec.outputs.is_empty());
        let tried = self.collect_failures.get(&host).is_some_and(|n| *n >= COLLECT_ATTEMPTS);
        let fine = !wanted || !self.begun.contains(&host) || tried;
        self.demand(fine || self.collected.contains(&host), "results first", at, || {
            format!("{host:?} is cleaned up and its results were never fetched")
        });
    }

    /// B6: no more hosts prepare than the barrier lets inside.
    fn throttled(&mut self, at: Millis, run: &Run, view: &RunView) {
        for cluster in &run.plan().clusters {
            let Release::Inside { max, timeout_ms: None } = cluster.spec.prepare.release else {
                continue;
            };
            let hosts = cluster.members.iter().chain(&cluster.spares);
            let inside = hosts.filter(|h| {
                let host = &view.hosts[h.index()];
                host.state == HostState::Preparing && host.detail.raw() != "waits to be let in"
            });
            let inside = inside.count();
            self.demand(inside <= max as usize, "B6", at, || {
                format!("{inside} of {max} prepare in {}", cluster.name())
            });
        }
    }

    /// P4, P9: an end is final, and is the one that was.
    fn ends(&mut self, at: Millis, view: &RunView, plan: &RunPlan) {
        // A host that is back goes on if its place is nobody else's, unless the description wants it dropped.
        let may_go_on = |name: &str| {
            let host = (0..).map(HostId).zip(&plan.hosts).find(|(_, host)| host.name == name);
            let cluster = host.and_then(|(id, _)| plan.cluster_of(id));
            let reaction = cluster.and_then(|c| c.kept.on_failure.host.as_ref());
            matches!(reaction, None | Some(Reaction::Replace | Reaction::Call(_)))
        };
        let may_be_found = |task: &TaskView| task.state == "lost" && may_go_on(&task.host);
        for task in &view.tasks {
            let runs = matches!(task.state.as_str(), "starting" | "running" | "restarting");
            if runs || may_be_found(task) {
                continue;
            }
            let key = TaskKey { task: task.task, incarnation: task.incarnation };
            let now = (task.state.clone(), task.exit.clone());
            if let Some(before) = self.told.get(&key) {
                let same = *before == now;
                self.demand(same, "P4", at, || format!("{key:?} was over and is now {now:?}"));
                continue;
            }
            if let (Some(told), Some(truth)) = (&task.exit, self.ended.get(&key)) {
                let same = told == truth || *told == Exit::Lost;
                let (told, truth) = (told.clone(), truth.clone());
                self.demand(same, "P9", at, || format!("{key:?}: {told:?}, in truth {truth:?}"));
            }
            self.told.insert(key, now);
        }
    }
}

/// Those on which something has failed.
fn failed_hosts(view: &RunView) -> BTreeSet<&str> {
    let failed = view.tasks.iter().filter(|t| t.success == Some(false));
    failed.map(|t| t.host.as_str()).collect()
}

/// When a barrier opens; `None` for one of which the view says nothing that could be judged.
fn entry_of<'a>(barrier: &BarrierView, plan: &'a RunPlan) -> Option<&'a Entry> {
    let named = plan.project.barriers.iter().find(|b| b.name.as_str() == barrier.name);
    let phase = || {
        let (cluster, phase) = barrier.name.split_once('/')?;
        let cluster = plan.clusters.iter().find(|c| c.name() == cluster)?;
        let policy = if phase == "prepare" { &cluster.spec.prepare } else { &cluster.spec.ready };
        Some(&policy.entry)
    };
    named.map(|named| &named.policy.entry).or_else(phase)
}

/// Whether a barrier may open for this reason, when so many are expected.
fn is_true(why: &str, barrier: &BarrierView, expected: u32, policy: &Entry) -> bool {
    match why {
        "all" => barrier.entered >= expected,
        "count" => policy.count.is_some_and(|count| barrier.entered >= count),
        "percent" => policy.percent.is_some_and(|share| {
            f64::from(barrier.entered) + 1e-9 >= f64::from(expected) * share.percent / 100.0
                && barrier.waited_ms >= share.min_wait_ms
        }),
        "timeout" => policy.timeout_ms.is_some_and(|limit| barrier.waited_ms >= limit),
        _ => true,
    }
}
