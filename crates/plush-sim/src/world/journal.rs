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
    pub durable: usize,
}

impl Journal {
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
