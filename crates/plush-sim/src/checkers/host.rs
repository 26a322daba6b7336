//! What must hold on hosts: starts, records, ends, output, epochs.

use super::Checks;
use crate::world::Host;
use plush_core::Millis;
use plush_core::agent::Effect;
use plush_core::plan::HostId;
use plush_protocol::{Exit, OutputAck, Report, TaskKey, TaskState};

impl Checks {
    /// The agent has decided, was asked a second time, and says when it wants to be asked again.
    pub fn agent_decided(
        &mut self,
        at: Millis,
        host: HostId,
        again: &[Effect],
        wake: Option<Millis>,
        clock: Millis,
    ) {
        self.demand(again.is_empty(), "decide-once (agent)", at, || format!("{host:?}: {again:?}"));
        let later = wake.is_none_or(|wake| wake > clock);
        self.demand(later, "wake-later (agent)", at, || format!("{host:?}: {wake:?} at {clock}"));
    }

    /// A start reached a host: whoever bears a process's rank keeps it alone. Nobody is blamed on a host that has no link:
    /// it begins a task again by itself, or by a word that the network has held back, and cannot know who bears the rank
    /// now. Places of which there must not be two are looked after by P7.
    pub fn forked(
        &mut self,
        at: Millis,
        (host, hears): (HostId, bool),
        key: TaskKey,
        seat: (String, String),
        serves: impl Fn(HostId) -> bool,
    ) {
        let holder = *self.ranks.entry(seat.clone()).or_insert(host);
        if !hears {
            return;
        }
        self.demand(holder == host || !serves(holder), "ranks (one bearer)", at, || {
            let (process, rank) = &seat;
            format!("{key:?}: rank {rank} of {process} is {holder:?}'s and {host:?}'s")
        });
        self.ranks.insert(seat, host);
    }

    /// P1: what the controller knows to have run is not begun once more, not even where nothing is left of it.
    pub fn begins(&mut self, at: Millis, host: HostId, key: TaskKey) {
        self.demand(!self.known_begun.contains(&key), "P1", at, || {
            format!("{key:?} is begun on {host:?}, and its controller knows that it has run")
        });
    }

    /// C2: the run's files go.
    pub fn removal_begins(&mut self, at: Millis, id: HostId, host: &Host) {
        let live: Vec<TaskKey> = host.live().collect();
        self.demand(live.is_empty(), "C2", at, || {
            format!("{id:?}: files are removed while {live:?} run")
        });
    }

    /// P1, P2, P5: a program begins.
    pub fn executed(
        &mut self,
        at: Millis,
        hosts: &[Host],
        host: HostId,
        key: TaskKey,
        recorded: bool,
    ) {
        self.demand(recorded, "P2", at, || format!("{key:?} runs on {host:?} without a record"));
        let count = self.executions.entry(key).or_default();
        *count += 1;
        let count = *count;
        self.demand(count == 1, "P1", at, || format!("{key:?} ran {count} times, now on {host:?}"));
        let twins = hosts.iter().flat_map(Host::live).filter(|k| k.task == key.task).count();
        self.demand(twins <= 1, "P5", at, || {
            format!("{twins} live processes of task {}", key.task)
        });
    }

    /// A program ended, in truth.
    pub fn ended(&mut self, key: TaskKey, exit: &Exit) {
        self.ended.insert(key, exit.clone());
    }

    /// A report was handed to a link. True if it is the first time.
    pub fn report_sent(&mut self, host: HostId, (session, number): (u64, u64)) -> bool {
        let newest = self.sent.entry((host, session)).or_default();
        let is_new = number > *newest;
        *newest = (*newest).max(number);
        is_new
    }

    /// The disk was full: the host tells this end though it is not written down (F19), and forgets it without power.
    pub fn end_not_written(&mut self, host: HostId, key: TaskKey) {
        self.ends_not_written.insert((host, key));
    }

    /// P4: an end that a host has told is not told otherwise later.
    pub fn reported(&mut self, at: Millis, host: HostId, report: &Report) {
        for record in report.tasks() {
            let before = self.ends_told.get(&(host, record.key)).cloned();
            let is_lost = matches!(record.state, TaskState::Exited { exit: Exit::Lost, .. });
            let forgotten = is_lost && self.ends_not_written.contains(&(host, record.key));
            let same = forgotten || before.as_ref().is_none_or(|before| *before == record.state);
            self.demand(same, "P4 (hosts)", at, || {
                format!("{host:?}: {:?} was {before:?} and is {:?}", record.key, record.state)
            });
            if let TaskState::Exited { .. } = record.state {
                self.ends_told.entry((host, record.key)).or_insert_with(|| record.state.clone());
            }
        }
    }

    /// The records of a host are gone, rightly or not.
    pub fn records_gone(&mut self, host: HostId) {
        self.ends_told.retain(|(told_by, _), _| *told_by != host);
    }

    /// N4: commands are taken in order, each once.
    pub fn command_taken(&mut self, at: Millis, place: (HostId, u64), number: u64) {
        let before = self.taken.insert(place, number).unwrap_or_default();
        self.demand(number > before, "N4", at, || {
            format!("{place:?}: command {number} taken after {before}")
        });
    }

    /// P8: a stop or a signal goes to a task.
    pub fn victim(&mut self, at: Millis, host: HostId, key: TaskKey, is_ours: bool) {
        self.demand(is_ours, "P8", at, || {
            format!("{host:?}: no process of {key:?} is there to hit")
        });
    }

    /// O9: output comes within the window that was opened for it.
    pub fn windowed(&mut self, at: Millis, key: TaskKey, end: u64, window: u64) {
        self.demand(end <= window, "O9", at, || {
            format!("{key:?}: a part ends at {end}, the window at {window}")
        });
    }

    /// O4: the agent is told what it may forget.
    pub fn acknowledged_output(&mut self, at: Millis, ack: &OutputAck, durable: u64) {
        self.demand(ack.durable <= durable, "O4", at, || {
            format!("{:?}: {} acknowledged, {durable} durable", ack.key, ack.durable)
        });
    }

    /// O1, O2: output is stored.
    pub fn stored_output(
        &mut self,
        at: Millis,
        key: TaskKey,
        right: bool,
        end: u64,
        total: Option<u64>,
    ) {
        self.demand(right, "O1", at, || format!("{key:?}: other bytes than were written"));
        // A host that lost unsynced output declares a total below what had been sent.
        let lost = !self.ended.contains_key(&key);
        let tiles = lost || total.is_none_or(|total| end <= total);
        self.demand(tiles, "O2", at, || format!("{key:?}: {end} bytes of {total:?}"));
    }
}
