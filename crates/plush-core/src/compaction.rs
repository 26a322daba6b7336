//! What of a journal is kept: when a snapshot of the state is due, and what the snapshots make superfluous.
//! Not how either is written: the controller's journal does that on a disk, the simulator's in a world.
//!
//! Whoever goes on from a journal reads the newest snapshot and absorbs what came after it. Older records are kept for
//! people, up to a bound; the oldest snapshot that is kept is where they begin.

use crate::Millis;

/// How much is kept. Bytes are those of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// So many bytes after a snapshot make the next one due: what has to be absorbed to go on.
    pub stretch_bytes: u64,
    /// So many bytes before the newest snapshot are kept at least, or all that there are.
    pub kept_bytes: u64,
    /// A snapshot is due when nothing was recorded for so long since the last record. Another build goes on from a
    /// snapshot, and finds all in it of a run that is at rest.
    pub rest_ms: Millis,
    /// A snapshot is due so long after the last one, if anything was recorded since.
    pub age_ms: Millis,
}

impl Bounds {
    /// Those of a controller's journal. A whole experiment of a thousand hosts has some 10 MB of records, a service some
    /// 30 kB for each fault that it meets.
    pub const JOURNAL: Bounds =
        Bounds { stretch_bytes: 4 << 20, kept_bytes: 16 << 20, rest_ms: 60_000, age_ms: 600_000 };

    /// Records have never more bytes together than this, if no batch alone has more than `batch_bytes`.
    pub const fn most_bytes(&self, batch_bytes: u64) -> u64 {
        // Before the oldest snapshot that is kept nothing is; between two that are kept lie two stretches at most.
        self.kept_bytes + 3 * (self.stretch_bytes + batch_bytes)
    }
}

/// A snapshot as far as compaction is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Of the last record whose event is in it.
    pub number: u64,
    /// Bytes of all records up to that one, since the run began.
    pub bytes: u64,
}

/// How far a journal has grown since its newest snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    bounds: Bounds,
    bytes: u64,
    /// Bytes, and the time, of the newest snapshot; of the beginning, if there is none.
    snapshot: (u64, Millis),
    recorded_at: Millis,
}

impl Growth {
    /// Of a journal with so many bytes of records in all, the last one recorded then, and this newest snapshot.
    pub fn new(bounds: Bounds, bytes: u64, at: Millis, snapshot: (u64, Millis)) -> Growth {
        Growth { bounds, bytes, snapshot, recorded_at: at }
    }

    /// Records of so many bytes were added.
    pub fn recorded(&mut self, bytes: u64, at: Millis) {
        self.bytes += bytes;
        self.recorded_at = at;
    }

    /// Bytes of all records since the run began.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A snapshot was taken of the state after the last record.
    pub fn snapshot_taken(&mut self, now: Millis) {
        self.snapshot = (self.bytes, now);
    }

    /// Whether a snapshot is to be taken now.
    pub fn is_due(&self, now: Millis) -> bool {
        let Bounds { stretch_bytes, rest_ms, age_ms, .. } = self.bounds;
        let since = self.bytes - self.snapshot.0;
        let is_at_rest = now.saturating_sub(self.recorded_at) >= rest_ms;
        let is_old = now.saturating_sub(self.snapshot.1) >= age_ms;
        since >= stretch_bytes || since > 0 && (is_at_rest || is_old)
    }
}

/// What goes of a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Superfluous {
    /// Records up to this number go: the oldest snapshot that is kept stands for them.
    pub records_upto: u64,
    /// These snapshots go.
    pub snapshots: Vec<u64>,
}

/// What the newest of these snapshots, oldest first, makes superfluous.
pub fn superfluous(bounds: Bounds, marks: &[Mark]) -> Superfluous {
    let Some(newest) = marks.last() else { return Superfluous::default() };
    let is_enough = |mark: &&Mark| newest.bytes - mark.bytes >= bounds.kept_bytes;
    let base = marks.iter().rev().find(is_enough).unwrap_or(&marks[0]);
    let (mut snapshots, mut last) = (Vec::new(), base.bytes);
    for mark in marks {
        let is_between = mark.number > base.number && mark.number != newest.number;
        if mark.number < base.number || is_between && mark.bytes - last < bounds.stretch_bytes {
            snapshots.push(mark.number);
        } else {
            last = mark.bytes;
        }
    }
    Superfluous { records_upto: base.number, snapshots }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: Bounds = Bounds { stretch_bytes: 10, kept_bytes: 40, rest_ms: 100, age_ms: 500 };

    /// Of snapshots with these numbers and bytes, records go up to that one, and these snapshots.
    fn check(marks: &[(u64, u64)], records_upto: u64, snapshots: &[u64]) {
        let marks: Vec<Mark> =
            marks.iter().map(|&(number, bytes)| Mark { number, bytes }).collect();
        let gone = Superfluous { records_upto, snapshots: snapshots.to_vec() };
        assert_eq!(superfluous(SMALL, &marks), gone);
    }

    #[test]
    fn a_snapshot_is_due_after_a_stretch_a_rest_or_a_long_time_and_never_twice() {
        let mut growth = Growth::new(SMALL, 0, 0, (0, 0));
        assert!(!growth.is_due(10_000), "nothing has happened");
        growth.recorded(9, 10_000);
        growth.snapshot_taken(10_000);
        growth.recorded(9, 10_050);
        assert!(!growth.is_due(10_060));
        assert!(growth.is_due(10_150), "it rests");
        growth.recorded(1, 10_140);
        assert!(growth.is_due(10_140), "a stretch is full");
        growth.snapshot_taken(10_140);
        assert!(!growth.is_due(99_999));
        (0..6).for_each(|n| growth.recorded(1, 10_200 + 80 * n));
        assert!(!growth.is_due(10_639));
        assert!(growth.is_due(10_640), "it is old");
    }

    #[test]
    fn a_short_journal_is_kept_whole() {
        check(&[(0, 0), (5, 10), (9, 20)], 0, &[]);
    }

    #[test]
    fn records_before_the_newest_snapshot_with_enough_behind_it_go() {
        check(&[(0, 0), (1, 10), (2, 20), (3, 30), (4, 40), (6, 60)], 2, &[0, 1]);
    }

    #[test]
    fn of_snapshots_that_are_close_together_the_newest_is_kept() {
        check(&[(0, 0), (1, 4), (2, 12), (3, 15), (4, 16)], 0, &[1, 3]);
    }

    proptest! {
        /// Whatever is recorded, with pauses of any length: what is kept stays under its bound, and so does the number of
        /// snapshots; a journal that is not longer than what is kept at least loses nothing.
        #[test]
        fn what_is_kept_is_bounded(steps in proptest::collection::vec((1u64..15, 0u64..300), 1..400)) {
            let mut growth = Growth::new(SMALL, 0, 0, (0, 0));
            let (mut marks, mut now) = (vec![Mark { number: 0, bytes: 0 }], 0);
            for (number, (bytes, pause)) in (1..).zip(steps) {
                growth.recorded(bytes, now);
                now += pause;
                if growth.is_due(now) {
                    growth.snapshot_taken(now);
                    marks.push(Mark { number, bytes: growth.bytes() });
                    let gone = superfluous(SMALL, &marks);
                    marks.retain(|m| !gone.snapshots.contains(&m.number));
                    prop_assert_eq!(gone.records_upto, marks[0].number);
                }
                let base = marks[0].bytes;
                prop_assert!(growth.bytes() - base <= SMALL.most_bytes(14), "{} of {}", base, growth.bytes());
                prop_assert!(marks.len() <= 10, "{marks:?}");
                prop_assert!(base == 0 || growth.bytes() - base >= SMALL.kept_bytes);
            }
        }
    }
}
