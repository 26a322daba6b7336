//! What must hold for the journal and for what is said to be in it.

use super::Checks;
use crate::world::Journal;
use plush_core::Millis;
use plush_core::plan::HostId;
use plush_core::run::{Effect, Run};

impl Checks {
    /// J1, J5: what is performed was decided from records that are on the disk, and nothing is after a write has failed.
    pub fn performing(&mut self, at: Millis, index: usize, journal: &Journal, effects: &[Effect]) {
        if effects.is_empty() {
            return;
        }
        self.demand(!journal.failed, "J5", at, || {
            format!("record {index} is performed though the journal could not be written")
        });
        let on_disk = journal.on_disk;
        self.demand(index < on_disk, "J1", at, || {
            format!("record {index} is performed, {on_disk} are durable")
        });
        self.relied = self.relied.max(index + 1);
    }

    /// J1: an agent may forget a report that it hears acknowledged.
    pub fn acknowledged_report(&mut self, at: Millis, host: HostId, session: u64, number: u64) {
        let durable = self.journalled.get(&(host, session)).copied().unwrap_or_default();
        self.demand(number <= durable, "J1 (reports)", at, || {
            format!("{host:?}: report {number} acknowledged, {durable} in the journal")
        });
    }

    /// J3: what a new controller finds is a beginning of what was written, with all that was relied on.
    pub fn recovered(&mut self, at: Millis, journal: &Journal) {
        let (found, relied) = (journal.records.len(), self.relied);
        self.demand(found >= relied, "J3", at, || {
            format!("{found} records are found, {relied} were relied on")
        });
        let whole = journal.records.iter().zip(&journal.written).all(|(r, n)| r.events.len() == *n);
        self.demand(whole, "J3", at, || "a record has fewer events than were written".into());
    }

    /// J2, J3, B9: a replayed run is the one that was.
    pub fn replayed(&mut self, at: Millis, journal: &Journal, before: &Run, after: &Run) {
        let told = journal.records.iter().all(|r| r.effects.is_some());
        self.demand(!told || before == after, "J2", at, || {
            format!("the state after {} records differs", journal.records.len())
        });
        self.visible_is_kept(at, after, |_| true);
    }

    /// J6: going on from the newest snapshot leads to the state that all records lead to.
    pub fn compacted(&mut self, at: Millis, all: &Run, resumed: &Run) {
        self.demand(all == resumed, "J6", at, || {
            "the newest snapshot and what came after it lead to another state".into()
        });
    }

    /// J2: the replay of a record decided something else.
    pub fn replay_differs(&mut self, at: Millis, record: usize) {
        self.demand(false, "J2", at, || format!("record {record} has other effects when replayed"));
    }
}
