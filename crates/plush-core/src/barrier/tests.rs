//! Claims about barriers, and their invariants over random histories.

use super::*;
use plush_spec::model::{Entry, Hook, HookPlace, Knee, Percent, Release};
use proptest::prelude::*;

fn barrier(entry: Entry, release: Release, late: Late, expected: u32) -> Barrier {
    let mut barrier = Barrier::new(BarrierPolicy { entry, release, late, ..Default::default() });
    (0..expected).for_each(|n| barrier.expect(Entrant(n)));
    barrier
}

fn full(expected: u32) -> Barrier {
    barrier(Entry::default(), Release::All, Late::Admit, expected)
}

fn released(barrier: &mut Barrier, now: Millis) -> Vec<u32> {
    let only = |v| match v {
        Verdict::Release(e) => Some(e.0),
        Verdict::TooLate(_) => None,
    };
    barrier.decide(now).into_iter().filter_map(only).collect()
}

#[test]
fn a_full_barrier_waits_for_the_last_one() {
    let mut b = full(3);
    b.enter(Entrant(2), 1);
    b.enter(Entrant(0), 2);
    assert!(released(&mut b, 1_000_000).is_empty());
    b.enter(Entrant(1), 1_000_001);
    assert_eq!(released(&mut b, 1_000_001), [2, 0, 1]);
    assert_eq!(b.opening(), Some((1_000_001, Opening::All)));
}

#[test]
fn f76_a_member_that_fails_leaves_the_count_at_once() {
    let mut b = full(3);
    b.enter(Entrant(0), 5);
    b.enter(Entrant(1), 6);
    b.fail(Entrant(2), 7);
    assert_eq!(released(&mut b, 7), [0, 1]);
}

#[test]
fn a_barrier_that_everybody_failed_at_never_opens() {
    let mut b = full(1);
    b.enter(Entrant(0), 5);
    b.fail(Entrant(0), 6);
    assert!(released(&mut b, 6).is_empty());
}

#[test]
fn a_barrier_that_everybody_failed_at_wakes_nobody() {
    let entry = Entry { timeout_ms: Some(10), ..Default::default() };
    let mut b = barrier(entry, Release::All, Late::Admit, 2);
    b.enter(Entrant(0), 5);
    assert_eq!(b.wake_at(), Some(15));
    b.fail(Entrant(0), 6);
    assert_eq!(b.wake_at(), None);
}

#[test]
fn the_paper_s_ten_arrivals_open_at_eighty_percent_after_23_seconds() {
    let share =
        Entry { percent: Some(Percent { percent: 80.0, min_wait_ms: 0 }), ..Default::default() };
    let mut b = barrier(share, Release::All, Late::Admit, 10);
    let arrivals = [7, 7, 8, 9, 13, 15, 19, 23, 37, 95].map(|s| s * 1000);
    for (n, at) in arrivals.into_iter().enumerate() {
        b.enter(Entrant(n as u32), at);
        let _ = b.decide(at);
    }
    assert_eq!(b.opening(), Some((23_000, Opening::Percent { needed: 8, min_wait_ms: 0 })));
}

#[test]
fn a_timeout_counts_from_the_first_entry() {
    let mut b =
        barrier(Entry { timeout_ms: Some(100), ..Default::default() }, Release::All, Late::Drop, 2);
    assert_eq!(b.wake_at(), None);
    b.enter(Entrant(0), 50);
    assert_eq!(b.wake_at(), Some(150));
    assert!(released(&mut b, 149).is_empty());
    assert_eq!(released(&mut b, 150), [0]);
    b.enter(Entrant(1), 160);
    assert_eq!(b.decide(160), [Verdict::TooLate(Entrant(1))]);
}

#[test]
fn f78_a_member_dying_inside_frees_its_place_once() {
    let inside = Release::Inside { max: 1, timeout_ms: None };
    let mut b = barrier(Entry::default(), inside, Late::Admit, 3);
    (0..3).for_each(|n| b.enter(Entrant(n), 0));
    assert_eq!(released(&mut b, 0), [0]);
    b.fail(Entrant(0), 1);
    b.leave(Entrant(0), 1);
    assert_eq!(released(&mut b, 1), [1]);
    assert!(released(&mut b, 2).is_empty());
}

#[test]
fn a_leave_after_the_time_limit_does_not_free_a_second_place() {
    let inside = Release::Inside { max: 1, timeout_ms: Some(10) };
    let mut b = barrier(Entry::default(), inside, Late::Admit, 3);
    (0..3).for_each(|n| b.enter(Entrant(n), 0));
    assert_eq!(released(&mut b, 0), [0]);
    assert_eq!(b.wake_at(), Some(10));
    assert_eq!(released(&mut b, 10), [1]);
    b.leave(Entrant(0), 11);
    assert!(released(&mut b, 11).is_empty());
}

#[test]
fn nobody_coming_for_longer_than_the_arrivals_let_expect_is_a_knee() {
    let knee = Knee { min_percent: 50.0, min_wait_ms: 0, weight: Some(0.5) };
    let mut b =
        barrier(Entry { knee: Some(knee), ..Default::default() }, Release::All, Late::Admit, 10);
    // Gaps of 100, 200, 200 and 100: the means go 100, 150, 175, 138, the deviations 50, 75, 63, 69.
    for (n, at) in [0, 100, 300, 500, 600].into_iter().enumerate() {
        b.enter(Entrant(n as u32), at);
        assert!(released(&mut b, at).is_empty());
    }
    let at = b.wake_at().unwrap();
    assert!(released(&mut b, at - 1).is_empty());
    assert_eq!(released(&mut b, at), [0, 1, 2, 3, 4]);
    let why = Opening::Knee { gap_ms: at - 600, mean_ms: 138, deviation_ms: 69 };
    assert_eq!(b.opening(), Some((at, why)));
    assert_eq!(at, 600 + 413);
}

#[test]
fn a_knee_before_the_minimum_share_or_wait_is_ignored() {
    let knee = Knee { min_percent: 40.0, min_wait_ms: 5_000, weight: None };
    let mut b =
        barrier(Entry { knee: Some(knee), ..Default::default() }, Release::All, Late::Admit, 10);
    (0..3).for_each(|n| b.enter(Entrant(n), u64::from(n) * 10));
    assert_eq!(b.wake_at(), None);
    assert!(released(&mut b, 100_000).is_empty());
    b.enter(Entrant(3), 100_000);
    assert!(b.wake_at().unwrap() > 5_000);
    let mut b =
        barrier(Entry { knee: Some(knee), ..Default::default() }, Release::All, Late::Admit, 10);
    (0..4).for_each(|n| b.enter(Entrant(n), u64::from(n) * 10));
    assert_eq!(b.wake_at(), Some(5_000));
}

fn asking() -> Barrier {
    let callback = Hook {
        argv: vec!["./decide".into()],
        at: HookPlace::Controller,
        time_limit_ms: 100,
        place: Default::default(),
    };
    let entry = Entry { count: Some(1), ..Default::default() };
    let mut b =
        Barrier::new(BarrierPolicy { entry, callback: Some(callback), ..Default::default() });
    (0..2).for_each(|n| b.expect(Entrant(n)));
    b
}

#[test]
fn a_callback_is_asked_before_a_barrier_opens_and_after_its_time_limit_the_default_holds() {
    let mut b = asking();
    b.enter(Entrant(0), 5);
    assert!(released(&mut b, 5).is_empty());
    let why = Opening::Count { needed: 1 };
    assert_eq!(b.pending_opening(5), Some(Pending { why, since: 5, until: 105 }));
    assert_eq!(b.wake_at(), Some(105));
    assert!(released(&mut b, 104).is_empty());
    assert_eq!(released(&mut b, 105), [0]);
    assert_eq!(b.opening(), Some((105, why)));
    assert_eq!(b.pending_opening(105), None);
}

#[test]
fn a_callback_may_hold_a_barrier_and_is_asked_again() {
    let mut b = asking();
    b.enter(Entrant(0), 5);
    assert!(released(&mut b, 5).is_empty());
    b.hold(50);
    assert_eq!((b.pending_opening(6), b.wake_at()), (None, Some(50)));
    assert!(released(&mut b, 50).is_empty());
    assert_eq!(b.pending_opening(50).map(|p| (p.since, p.until)), Some((50, 150)));
    b.open_now(Opening::Callback, 60);
    assert_eq!(released(&mut b, 60), [0]);
    assert_eq!(b.opening(), Some((60, Opening::Callback)));
}

#[test]
fn a_question_that_no_longer_stands_is_not_asked() {
    let mut b = asking();
    b.enter(Entrant(0), 5);
    assert!(released(&mut b, 5).is_empty());
    b.fail(Entrant(0), 6);
    assert!(released(&mut b, 6).is_empty());
    assert_eq!((b.pending_opening(6), b.wake_at()), (None, None));
    b.enter(Entrant(1), 90);
    assert!(released(&mut b, 90).is_empty());
    assert_eq!(b.pending_opening(90).map(|p| p.until), Some(190));
}

fn any_entry() -> impl Strategy<Value = Entry> {
    (
        proptest::option::of(1u32..6),
        proptest::option::of(0u64..50),
        proptest::option::of(0f64..100.0),
    )
        .prop_map(|(count, timeout_ms, percent)| Entry {
            count,
            timeout_ms,
            percent: percent.map(|percent| Percent { percent, min_wait_ms: 7 }),
            knee: None,
        })
}

proptest! {
    /// B1 to B4, B6 and decide-twice over random histories.
    #[test]
    fn b1_to_b6_hold_over_any_history(
        entry in any_entry(), max in 1u32..4, late in prop_oneof![Just(Late::Admit), Just(Late::Drop)],
        script in proptest::collection::vec((0u8..4, 0u32..6, 0u64..9), 0..120),
    ) {
        let release = Release::Inside { max, timeout_ms: Some(30) };
        let mut b = barrier(entry, release, late, 6);
        let (mut now, mut entered, mut gone) = (0, std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for (what, who, wait) in script {
            now += wait;
            match what {
                0 | 1 => { b.enter(Entrant(who), now); entered.insert(who); }
                2 => b.leave(Entrant(who), now),
                _ => b.fail(Entrant(who), now),
            }
            for verdict in b.decide(now) {
                match verdict {
                    Verdict::Release(e) => {
                        prop_assert!(entered.contains(&e.0), "B3");
                        prop_assert!(gone.insert(e.0), "B2: released twice");
                    }
                    Verdict::TooLate(e) => prop_assert!(gone.insert(e.0), "B11: two outcomes"),
                }
            }
            prop_assert!(b.decide(now).is_empty(), "deciding twice does nothing more");
            let inside = b.history().filter(|(_, p)| p.stand == Stand::Released).count();
            prop_assert_eq!(inside, b.inside() as usize, "places are counted right");
            prop_assert!(inside <= max as usize, "B6");
        }
    }
}

#[test]
fn a_late_comer_is_replaced_and_its_replacement_is_not_late() {
    let entry = Entry { count: Some(1), ..Default::default() };
    let mut b = barrier(entry, Release::All, Late::Replace, 2);
    b.enter(Entrant(0), 5);
    assert_eq!(released(&mut b, 5), [0]);
    b.enter(Entrant(1), 9);
    assert_eq!(b.decide(9), [Verdict::TooLate(Entrant(1))]);
    b.expect(Entrant(2));
    b.enter(Entrant(2), 20);
    assert_eq!(released(&mut b, 20), [2]);
    b.enter(Entrant(3), 21);
    assert_eq!(b.decide(21), [Verdict::TooLate(Entrant(3))], "nobody announced it");
}

#[test]
fn a_quick_entrant_may_be_a_generation_ahead_of_a_straggler() {
    let entry = Entry { count: Some(1), ..Default::default() };
    let mut rounds = Rounds::new(BarrierPolicy { entry, ..Default::default() });
    (0..2).for_each(|n| rounds.expect(Entrant(n)));
    assert_eq!(rounds.enter(Entrant(0), None, 1), Some(1));
    assert_eq!(rounds.decide(1), [(1, Verdict::Release(Entrant(0)))]);
    assert_eq!(rounds.enter(Entrant(0), None, 2), Some(2));
    assert_eq!(rounds.decide(2), [(2, Verdict::Release(Entrant(0)))]);
    assert_eq!(rounds.enter(Entrant(1), None, 3), Some(1));
    assert_eq!(rounds.decide(3), [(1, Verdict::Release(Entrant(1)))]);
    assert_eq!(rounds.next_of(Entrant(1)), Some(2));
}

#[test]
fn f77_entering_twice_or_with_an_old_generation_changes_nothing() {
    let mut rounds = Rounds::new(BarrierPolicy::default());
    (0..2).for_each(|n| rounds.expect(Entrant(n)));
    assert_eq!(rounds.enter(Entrant(0), Some(1), 1), Some(1));
    assert_eq!(rounds.enter(Entrant(0), None, 2), Some(1), "it stands there already");
    assert_eq!(rounds.enter(Entrant(0), Some(2), 2), None);
    assert!(rounds.decide(2).is_empty());
    rounds.enter(Entrant(1), None, 3).unwrap();
    assert_eq!(rounds.decide(3).len(), 2);
    assert_eq!(rounds.enter(Entrant(0), Some(1), 4), None, "the first generation is over for it");
    rounds.leave(Entrant(0), Some(2), 4);
    let passage = rounds.round(1).unwrap().passage(Entrant(0)).unwrap();
    assert_eq!((passage.stand, passage.left_at), (Stand::Released, None));
}

#[test]
fn a_straggler_far_behind_is_told_at_once() {
    let entry = Entry { count: Some(1), ..Default::default() };
    let mut rounds = Rounds::new(BarrierPolicy { entry, late: Late::Drop, ..Default::default() });
    (0..2).for_each(|n| rounds.expect(Entrant(n)));
    for now in 0..40 {
        rounds.enter(Entrant(0), None, now).unwrap();
        assert_eq!(rounds.decide(now).len(), 1);
    }
    assert_eq!(rounds.rounds().count(), Rounds::KEPT);
    assert_eq!(rounds.enter(Entrant(1), None, 50), Some(1));
    assert_eq!(rounds.decide(50), [(1, Verdict::TooLate(Entrant(1)))]);
    assert_eq!(rounds.next_of(Entrant(1)), Some(2));
}

#[test]
fn f78_who_failed_before_it_came_and_is_back_takes_part_from_there() {
    let mut rounds = Rounds::new(BarrierPolicy::default());
    (0..3).for_each(|n| rounds.expect(Entrant(n)));
    rounds.fail(Entrant(0), 1);
    rounds.enter(Entrant(1), None, 2);
    rounds.expect_from(Entrant(0), 1);
    rounds.enter(Entrant(2), None, 3);
    assert!(rounds.decide(3).is_empty(), "it is waited for again");
    rounds.fail(Entrant(0), 4);
    assert_eq!(rounds.decide(4).len(), 2);
    assert_eq!(rounds.enter(Entrant(1), None, 5), Some(2));
    rounds.expect_from(Entrant(0), 1);
    assert_eq!(rounds.enter(Entrant(0), None, 6), Some(1), "it comes late to where it was");
    assert_eq!(rounds.decide(6), [(1, Verdict::Release(Entrant(0)))]);
    assert_eq!(rounds.enter(Entrant(2), None, 7), Some(2));
    assert!(rounds.decide(7).is_empty(), "in the next round it is waited for");
    assert_eq!(rounds.enter(Entrant(0), None, 8), Some(2));
    assert_eq!(rounds.decide(8).len(), 3);
}

mod invariants;

#[test]
fn progress_of_one_that_is_not_inside_changes_nothing() {
    let mut b =
        barrier(Entry { count: Some(1), ..Default::default() }, Release::ADAPTIVE, Late::Admit, 20);
    b.progressed(Entrant(0), 5, 0);
    b.enter(Entrant(0), 1);
    assert_eq!(released(&mut b, 1), [0]);
    b.leave(Entrant(0), 5);
    let before = b.clone();
    [0, 1, 99].into_iter().for_each(|who| b.progressed(Entrant(who), 7, 9));
    assert_eq!(b, before);
}

#[test]
fn progress_lets_more_in_long_before_anybody_is_through() {
    let mut b = barrier(
        Entry { count: Some(1), ..Default::default() },
        Release::ADAPTIVE,
        Late::Admit,
        100,
    );
    (0..100).for_each(|n| b.enter(Entrant(n), 0));
    let mut inside = released(&mut b, 0);
    assert_eq!(inside.len(), 8);
    for now in (250..8_000).step_by(250) {
        inside.iter().for_each(|who| b.progressed(Entrant(*who), now * 100, now));
        inside.extend(released(&mut b, now));
    }
    assert_eq!(inside.len(), 100, "each goes on as fast as before, so nobody is in the way");
    let text = serde_json::to_string(&b).unwrap();
    assert_eq!(serde_json::from_str::<Barrier>(&text).unwrap(), b);
}

/// What a word on progress costs with so many inside, in nanoseconds, deciding after it included.
#[expect(clippy::disallowed_methods, reason = "the rules are given the time; here they are timed")]
fn progress_ns(members: u32) -> u128 {
    let release = Release::Adaptive {
        rule: plush_spec::model::AdaptiveRule::Throughput,
        start: members,
        timeout_ms: None,
    };
    let mut b = barrier(Entry::default(), release, Late::Admit, members);
    (0..members).for_each(|n| b.enter(Entrant(n), 0));
    assert_eq!(b.decide(0).len() as u32, members);
    let began = std::time::Instant::now();
    for round in 1..5 {
        for n in 0..members {
            let now = round * 1_000 + u64::from(n) * 1_000 / u64::from(members);
            b.progressed(Entrant(n), now, now);
            assert!(b.decide(now).is_empty());
        }
    }
    began.elapsed().as_nanos() / u128::from(4 * members)
}

#[test]
fn the_cost_of_a_word_on_progress_does_not_grow_with_the_number_inside() {
    let least = |members| (0..10).map(|_| progress_ns(members)).min().unwrap();
    let (few, many) = (least(100), least(10_000));
    eprintln!("{few} ns with 100 inside, {many} ns with 10,000");
    assert!(many < 10 * few.max(50), "{few} ns with 100 inside, {many} ns with 10,000");
}

/// What it costs, in nanoseconds, that one of so many members comes, waits, is let go and leaves.
#[expect(clippy::disallowed_methods, reason = "the rules are given the time; here they are timed")]
fn entry_ns(members: u32, release: &Release) -> u128 {
    let policy = BarrierPolicy { release: *release, ..BarrierPolicy::default() };
    let mut barrier = Barrier::new(policy);
    (0..members).for_each(|n| barrier.expect(Entrant(n)));
    let began = std::time::Instant::now();
    let mut inside = Vec::new();
    for n in 0..members {
        barrier.enter(Entrant(n), 0);
        inside.extend(barrier.decide(0));
    }
    let mut now = 0;
    while let Some(Verdict::Release(who) | Verdict::TooLate(who)) = inside.pop() {
        now += 1;
        barrier.leave(who, now);
        inside.extend(barrier.decide(now));
    }
    assert_eq!(barrier.released(), members, "everybody gets through");
    began.elapsed().as_nanos() / u128::from(members)
}

#[test]
fn the_cost_of_an_entry_does_not_grow_with_the_number_of_members() {
    // The least of several rounds is what it costs when nobody else has the processor. What is left of a factor is the
    // processor's cache; work that grew with the members would be a hundred times as much.
    for release in [Release::Inside { max: 10, timeout_ms: Some(1_000_000) }, Release::ADAPTIVE] {
        let least = |members| (0..10).map(|_| entry_ns(members, &release)).min().unwrap();
        let (few, many) = (least(100), least(10_000));
        eprintln!("{release:?}: {few} ns with 100 members, {many} ns with 10,000");
        assert!(many < 10 * few.max(20), "{few} ns with 100 members, {many} ns with 10,000");
    }
}
