//! What must hold for the run after each of its decisions.

use super::Checks;
use crate::scenario::{AFTER_MEETING, MEETING};
use crate::world::Journal;
use plush_core::Millis;
use plush_core::plan::HostId;
use plush_core::run::{Effect, Event, Run};
use plush_protocol::{BarrierView, Command, Exit, HostState, RunView, TaskKey};

/// A run that wakes up so often in a row for nothing is spinning.
const IDLE_WAKES_MAX: u32 = 20;
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
        let at = record.at;
        let wake = run.wake_at(at);
        self.demand(wake.is_none_or(|wake| wake > at), "wake-later", at, || format!("{wake:?}"));
        let again = run.decide(at);
        self.demand(again.is_empty(), "decide-once", at, || {
            format!("after {:?}: {again:?}", record.events)
        });
        self.spinning(record, effects);
        record.events.iter().for_each(|event| self.absorbed(event));
        let view = run.view();
        effects.iter().for_each(|effect| self.decided_effect(at, effect, &view));
        self.partitioned(at, &view);
        view.barriers.iter().for_each(|b| self.barrier(at, b));
        self.throttled(at, run, &view);
        self.ends(at, &view);
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

    fn absorbed(&mut self, event: &Event) {
        match event {
            Event::Restarted => self.restarts += 1,
            Event::HeardAgain { host, .. } => drop(self.attempts.remove(host)),
            Event::Connected { host, hello, .. } => {
                self.sessions.insert(*host, hello.session);
                self.attempts.remove(host);
            }
            _ => {}
        }
    }

    fn decided_effect(&mut self, at: Millis, effect: &Effect, view: &RunView) {
        match effect {
            Effect::Connect { host, .. } => self.attempt(at, *host),
            Effect::Acknowledge { host, number } => self.acknowledges(at, *host, *number),
            Effect::Send { command: Command::Start { spec, key }, .. }
                if spec.name == AFTER_MEETING =>
            {
                let open = view.barriers.iter().any(|b| b.name == MEETING && b.opened.is_some());
                self.demand(open, "B3", at, || format!("{key:?} starts before the barrier opened"));
            }
            Effect::DropConnect { .. }
            | Effect::Ask { .. }
            | Effect::Send { .. }
            | Effect::Collect { .. }
            | Effect::Disconnect { .. }
            | Effect::Finish { .. } => {}
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
    fn barrier(&mut self, at: Millis, barrier: &BarrierView) {
        let (released, opened) = self.barriers.get(&barrier.name).cloned().unwrap_or((0, None));
        let held = barrier.released <= barrier.entered.max(released)
            && barrier.entered <= barrier.expected;
        self.demand(held, "B1", at, || format!("{barrier:?}"));
        self.demand(barrier.released >= released, "B4", at, || format!("{barrier:?}"));
        self.demand(opened.is_none() || opened == barrier.opened, "B4", at, || {
            format!("{barrier:?}")
        });
        let caused = barrier.released == 0 || barrier.opened.is_some();
        self.demand(caused, "B5", at, || format!("{barrier:?}"));
        self.barriers.insert(barrier.name.clone(), (barrier.released, barrier.opened.clone()));
    }

    /// B6: no more hosts prepare than the barrier lets inside.
    fn throttled(&mut self, at: Millis, run: &Run, view: &RunView) {
        use plush_spec::model::Release;
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
    fn ends(&mut self, at: Millis, view: &RunView) {
        for task in &view.tasks {
            if matches!(task.state.as_str(), "starting" | "running") {
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

    /// J1: what is performed was decided from durable records.
    pub fn performing(&mut self, at: Millis, index: usize, durable: usize, effects: &[Effect]) {
        self.demand(effects.is_empty() || index < durable, "J1", at, || {
            format!("record {index} is performed, {durable} are durable")
        });
    }

    /// J2, J3: a replayed run is the one that was.
    pub fn replayed(&mut self, at: Millis, journal: &Journal, before: &Run, after: &Run) {
        let told = journal.records.iter().all(|r| r.effects.is_some());
        self.demand(!told || before == after, "J2", at, || {
            format!("the state after {} records differs", journal.records.len())
        });
    }

    /// J2: the replay of a record decided something else.
    pub fn replay_differs(&mut self, at: Millis, record: usize) {
        self.demand(false, "J2", at, || format!("record {record} has other effects when replayed"));
    }
}
