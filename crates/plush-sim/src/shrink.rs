//! Shrinking: the fewest faults with which a play still fails.
//! Not a search for the cause: whoever reads the story does that.

use crate::{Failure, FaultSet, Play, simulate};

/// Leaves out faults as long as the play still fails: first kinds, then single strikes, by halves and then one by one.
pub fn shrink(failure: Failure) -> Failure {
    let kinds: Vec<_> = failure.play.fault_set().kinds().collect();
    let play = failure.play.clone();
    let smallest =
        fewer(failure, kinds, |kinds| Play { faults: Some(FaultSet::of(kinds)), ..play.clone() });
    let play = smallest.play.clone();
    let strikes: Vec<u32> = play.only.clone().unwrap_or_else(|| (0..play.strikes()).collect());
    fewer(smallest, strikes, |strikes| Play { only: Some(strikes.to_vec()), ..play.clone() })
}

/// Leaves out parts of a list, ever smaller ones, as long as what is made of the rest still fails.
fn fewer<T: Clone>(failure: Failure, items: Vec<T>, play: impl Fn(&[T]) -> Play) -> Failure {
    let (mut smallest, mut items) = (failure, items);
    let mut size = items.len();
    while size > 0 {
        let mut from = 0;
        while from < items.len() {
            let to = (from + size).min(items.len());
            let rest: Vec<T> = items[..from].iter().chain(&items[to..]).cloned().collect();
            match simulate(&play(&rest)) {
                Err(failure) => (smallest, items) = (*failure, rest),
                Ok(_) => from = to,
            }
        }
        size /= 2;
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FaultKind, Sabotage};

    #[test]
    fn what_has_nothing_to_do_with_a_failure_is_left_out() {
        let faults = FaultSet::of(&FaultKind::ALL);
        let sabotage = Sabotage::PerformBeforeSync;
        let play = Play { faults: Some(faults), sabotage, ..Play::new(3, 20) };
        let failure = simulate(&play).expect_err("a world without write-ahead is noticed");
        let smallest = shrink(*failure);
        assert_eq!(smallest.play.fault_set(), FaultSet::NONE);
        assert!(smallest.play.only.is_none_or(|strikes| strikes.is_empty()), "no strike is left");
    }
}
