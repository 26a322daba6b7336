//! A set of numbers at one place of a host's name: `1-5,7,010-012`.
//!
//! Not a host set: it knows nothing of the text around the number.

use super::index::Index;

/// Numbers of one length that follow each other; both ends belong to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Run {
    pub(super) first: Index,
    pub(super) last: Index,
}

impl Run {
    pub(super) fn one(index: Index) -> Run {
        Run { first: index, last: index }
    }

    fn len(self) -> u64 {
        self.first.distance(self.last) + 1
    }

    /// Whether `later` begins inside this run or right after it.
    fn reaches(self, later: Run) -> bool {
        later.first <= self.last
            || (later.first.len() == self.last.len() && self.last.distance(later.first) == 1)
    }
}

/// Sorted runs, none of which touches the next: one spelling per set, so equality is the sets'.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct RangeSet {
    runs: Vec<Run>,
}

impl RangeSet {
    pub(super) fn one(index: Index) -> RangeSet {
        RangeSet { runs: vec![Run::one(index)] }
    }

    pub(super) fn from_runs(mut runs: Vec<Run>) -> RangeSet {
        runs.sort_unstable();
        runs.dedup_by(|later, kept| {
            let joins = kept.reaches(*later);
            if joins {
                kept.last = kept.last.max(later.last);
            }
            joins
        });
        RangeSet { runs }
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub(super) fn into_runs(self) -> Vec<Run> {
        self.runs
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.runs.iter().fold(0, |sum, run| sum.saturating_add(run.len()))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Index> + Clone + '_ {
        self.runs.iter().flat_map(|run| (0..run.len()).map(|by| run.first.offset(by)))
    }

    /// Smallest and largest member; the set is not empty.
    pub(super) fn ends(&self) -> (Index, Index) {
        let first = self.runs.first().expect("a range in a host set has a member");
        let last = self.runs.last().expect("a range in a host set has a member");
        (first.first, last.last)
    }

    /// The only member, if there is one only.
    pub(super) fn single(&self) -> Option<Index> {
        match self.runs.as_slice() {
            [run] if run.first == run.last => Some(run.first),
            _ => None,
        }
    }

    /// How many members come before `index`; none when it is no member.
    pub(super) fn rank(&self, index: Index) -> Option<u64> {
        let mut before = 0;
        for run in &self.runs {
            if index < run.first {
                return None;
            }
            if index <= run.last {
                return Some(before + run.first.distance(index));
            }
            before += run.len();
        }
        None
    }

    pub(super) fn contains(&self, index: Index) -> bool {
        let after = self.runs.partition_point(|run| run.first <= index);
        after > 0 && index <= self.runs[after - 1].last
    }

    /// The member at a position, counted from 0.
    pub(super) fn at(&self, mut position: u64) -> Option<Index> {
        for run in &self.runs {
            if position < run.len() {
                return Some(run.first.offset(position));
            }
            position -= run.len();
        }
        None
    }

    pub(super) fn union(&self, other: &RangeSet) -> RangeSet {
        RangeSet::from_runs([self.runs.as_slice(), &other.runs].concat())
    }

    pub(super) fn intersection(&self, other: &RangeSet) -> RangeSet {
        let (mut a, mut b) = (self.runs.iter().peekable(), other.runs.iter().peekable());
        let mut runs = Vec::new();
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let (first, last) = (x.first.max(y.first), x.last.min(y.last));
            if first <= last {
                runs.push(Run { first, last });
            }
            if x.last < y.last {
                a.next();
            } else {
                b.next();
            }
        }
        RangeSet { runs }
    }

    pub(super) fn difference(&self, other: &RangeSet) -> RangeSet {
        let mut runs = Vec::new();
        let mut cuts = other.runs.as_slice();
        for run in &self.runs {
            let mut rest = *run;
            let mut spent = false;
            cuts = &cuts[cuts.partition_point(|cut| cut.last < rest.first)..];
            for cut in cuts.iter().take_while(|cut| cut.first <= run.last) {
                if cut.first > rest.first {
                    runs.push(Run { first: rest.first, last: before(rest, cut.first) });
                }
                if cut.last >= rest.last {
                    spent = true;
                    break;
                }
                rest.first = cut.last.offset(1);
            }
            if !spent {
                runs.push(rest);
            }
        }
        RangeSet { runs }
    }

    /// Every member with the digits of `before` in front; none when a number gets too long.
    pub(super) fn prefixed(&self, before: Index) -> Option<RangeSet> {
        let join = |run: &Run| {
            Some(Run { first: run.first.prefixed(before)?, last: run.last.prefixed(before)? })
        };
        Some(RangeSet::from_runs(self.runs.iter().map(join).collect::<Option<_>>()?))
    }

    /// Every member with the digits of `after` behind; none when a number gets too long.
    pub(super) fn suffixed(&self, after: Index) -> Option<RangeSet> {
        let join = |index: Index| after.prefixed(index).map(Run::one);
        Some(RangeSet::from_runs(self.iter().map(join).collect::<Option<_>>()?))
    }
}

/// The last number of `run` that is smaller than `cut`, which lies inside it.
fn before(run: Run, cut: Index) -> Index {
    run.first.offset(run.first.distance(cut) - 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(members: &BTreeSet<(u64, usize)>) -> RangeSet {
        RangeSet::from_runs(
            members.iter().map(|&(v, l)| Run::one(Index::new(v, l).unwrap())).collect(),
        )
    }

    fn members() -> impl Strategy<Value = BTreeSet<(u64, usize)>> {
        proptest::collection::btree_set((0u64..30, 2usize..4), 0..30)
    }

    fn back(set: &RangeSet) -> BTreeSet<(u64, usize)> {
        set.iter().map(|index| (index.value(), index.len())).collect()
    }

    proptest! {
        #[test]
        fn algebra_agrees_with_plain_sets(a in members(), b in members()) {
            let (x, y) = (set(&a), set(&b));
            prop_assert_eq!(back(&x.union(&y)), &a | &b);
            prop_assert_eq!(back(&x.intersection(&y)), &a & &b);
            prop_assert_eq!(back(&x.difference(&y)), &a - &b);
            prop_assert_eq!(x.len() as usize, a.len());
            for (position, index) in x.iter().enumerate() {
                prop_assert!(x.contains(index));
                prop_assert_eq!(x.rank(index), Some(position as u64));
                prop_assert_eq!(x.at(position as u64), Some(index));
            }
            for &(value, len) in &b {
                prop_assert_eq!(x.contains(Index::new(value, len).unwrap()), a.contains(&(value, len)));
            }
        }
    }
}
