//! The controller's journal: records in order, of which a prefix is durable.
//! Not SQLite: what a disk promises and no more.

use plush_core::Millis;
use plush_core::plan::RunPlan;
use plush_core::run::{Effect, Event, Run};

/// One record: what was absorbed together, and when.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub at: Millis,
    pub events: Vec<Event>,
    /// What was decided then: not written, kept to compare a replay with.
    pub effects: Option<Vec<Effect>>,
}

/// Records and how many of them are durable.
#[derive(Default)]
pub(crate) struct Journal {
    pub records: Vec<Record>,
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

impl Journal {
    /// Adds a record, which is not durable yet.
    pub fn append(&mut self, at: Millis, events: Vec<Event>) {
        self.written.push(events.len());
        self.records.push(Record { at, events, effects: None });
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
            let half = self.records[torn].events.len() / 2;
            self.records[torn].events.truncate(half);
        }
        self.failed = false;
    }

    /// Whoever comes next writes on from here.
    pub fn taken_over(&mut self) {
        (self.durable, self.on_disk) = (self.records.len(), self.records.len());
        self.written = self.records.iter().map(|r| r.events.len()).collect();
    }

    /// Absorbs and decides everything again. The number is that of the record whose effects differ from those that were
    /// decided when it was written.
    pub fn replay(&self, plan: &RunPlan) -> Result<Run, usize> {
        let mut run = Run::new(plan.clone());
        for (number, record) in self.records.iter().enumerate() {
            record.events.iter().for_each(|e| run.absorb(record.at, e.clone()));
            let effects = run.decide(record.at);
            if record.effects.as_ref().is_some_and(|before| *before != effects) {
                return Err(number);
            }
        }
        Ok(run)
    }
}
