//! The controller's journal: records in order, of which a prefix is durable, and snapshots of the state.
//! Not SQLite: what a disk promises and no more. Records that snapshots make superfluous stay, for the checkers.

use plush_core::Millis;
use plush_core::compaction::{Bounds, Growth};
use plush_core::plan::RunPlan;
use plush_core::run::{Effect, Event, Run};
use std::rc::Rc;

/// One record: what was absorbed together, and when.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub at: Millis,
    pub events: Rc<[Event]>,
    /// What was decided then: not written, kept to compare a replay with, where anybody compares.
    pub effects: Option<Vec<Effect>>,
}

/// A state as it was written.
pub(crate) struct Snapshot {
    /// The state after so many records.
    pub records: usize,
    pub state: String,
}

/// Records and how many of them are durable.
pub(crate) struct Journal {
    pub records: Vec<Record>,
    /// Oldest first. The newest may not be durable: it is when a later record is.
    snapshots: Vec<Snapshot>,
    growth: Growth,
    /// As the controller believes.
    pub durable: usize,
    /// As it is.
    pub on_disk: usize,
    /// How many events each record had when it was written.
    pub written: Vec<usize>,
    /// A write has failed, and nothing was written since.
    pub failed: bool,
}

/// What became of a record that was being written when the controller died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// It is not there.
    Lost,
    /// A part of it is there, which is seen.
    Torn,
    /// It is there, by luck.
    Whole,
}

/// Bytes of an event and of a record, where nothing is written in truth.
const EVENT_BYTES: u64 = 1;
/// In a stretch each host has so many events.
const EVENTS_PER_HOST: u64 = 4;

impl Journal {
    /// That of a run of so many hosts: the more there are, the longer the state is, and the rarer are snapshots.
    pub fn new(hosts: usize) -> Journal {
        let stretch_bytes = EVENTS_PER_HOST * hosts as u64;
        let bounds = Bounds { stretch_bytes, kept_bytes: 0, ..Bounds::JOURNAL };
        Journal {
            records: Vec::new(),
            snapshots: Vec::new(),
            growth: Growth::new(bounds, 0, 0, (0, 0)),
            durable: 0,
            on_disk: 0,
            written: Vec::new(),
            failed: false,
        }
    }

    /// Writes a snapshot of the state after the last record, if one is due.
    pub fn keep_bounded(&mut self, now: Millis, run: &Run) {
        if self.growth.is_due(now) {
            self.growth.snapshot_taken(now);
            let state = serde_json::to_string(run).expect("a state is plain data");
            self.snapshots.push(Snapshot { records: self.records.len(), state });
        }
    }

    /// Goes on from the newest snapshot with what came after it and after `skipped` more; else as [`Journal::replay`].
    pub fn resume(&self, plan: &RunPlan, skipped: usize) -> Result<Run, usize> {
        match self.snapshots.iter().rev().find(|s| s.records <= self.records.len()) {
            None => self.replay(plan),
            Some(Snapshot { records, state }) => {
                let run = serde_json::from_str(state).expect("a state that was written");
                self.play(run, records + skipped)
            }
        }
    }

    /// Adds a record, which is not durable yet.
    pub fn append(&mut self, at: Millis, events: Vec<Event>) {
        self.written.push(events.len());
        self.growth.recorded(EVENT_BYTES * (1 + events.len() as u64), at);
        self.records.push(Record { at, events: events.into(), effects: None });
    }

    /// Everything that was added is durable, unless the sync is left out.
    pub fn sync(&mut self, really: bool) {
        self.durable = self.records.len();
        if really {
            self.on_disk = self.durable;
        }
    }

    /// The writer is gone: what is not on the disk is lost, but for the first of it, which has its own fate. A torn
    /// record is as good as none for whoever checks its sum.
    pub fn break_off(&mut self, tail: Tail, checks_sums: bool) {
        let torn = self.on_disk;
        let keep = match tail {
            Tail::Lost => torn,
            Tail::Torn if checks_sums => torn,
            Tail::Torn | Tail::Whole => (torn + 1).min(self.records.len()),
        };
        self.records.truncate(keep);
        if tail == Tail::Torn && !checks_sums && keep > torn {
            let events = &mut self.records[torn].events;
            *events = events[..events.len() / 2].into();
        }
        self.failed = false;
        // The writer is at its next batch only when a snapshot is written.
        self.snapshots.retain(|s| s.records < self.records.len() || tail == Tail::Whole);
    }

    /// Whoever comes next writes on from here.
    pub fn taken_over(&mut self) {
        (self.durable, self.on_disk) = (self.records.len(), self.records.len());
        self.written = self.records.iter().map(|r| r.events.len()).collect();
    }

    /// Absorbs and decides everything again. The number is that of the record whose effects differ from those that were
    /// decided when it was written.
    pub fn replay(&self, plan: &RunPlan) -> Result<Run, usize> {
        self.play(Run::new(plan.clone()), 0)
    }

    fn play(&self, mut run: Run, from: usize) -> Result<Run, usize> {
        for (number, record) in self.records.iter().enumerate().skip(from) {
            record.events.iter().for_each(|e| run.absorb(record.at, e.clone()));
            let effects = run.decide(record.at);
            if record.effects.as_ref().is_some_and(|before| *before != effects) {
                return Err(number);
            }
        }
        Ok(run)
    }
}
