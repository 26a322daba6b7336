//! B1 to B11 over histories: at random for all policies, and every interleaving for two and three members.
//! What an outcome looks like in one case is in the claims beside it.

use super::*;
use plush_spec::model::AdaptiveRule;
use std::collections::{BTreeMap, BTreeSet};

/// What may happen to a barrier.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Expect(u32),
    Enter(u32),
    Progress(u32, u64),
    Leave(u32),
    Fail(u32),
    Return(u32),
    Open,
    Hold,
}

/// A barrier, and what has been seen of it.
#[derive(Clone)]
struct Watched {
    barrier: Barrier,
    now: Millis,
    came: BTreeSet<u32>,
    outcomes: BTreeMap<u32, Verdict>,
    stands: BTreeMap<Entrant, Stand>,
    opening: Option<(Millis, Opening)>,
    releases: Vec<Millis>,
    said_open: bool,
}

impl Watched {
    fn new(policy: BarrierPolicy, expected: u32) -> Self {
        let mut barrier = Barrier::new(policy);
        (0..expected).for_each(|n| barrier.expect(Entrant(n)));
        Watched {
            barrier,
            now: 0,
            came: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            stands: BTreeMap::new(),
            opening: None,
            releases: Vec::new(),
            said_open: false,
        }
    }

    fn play(&mut self, happening: Happening, wait: Millis) {
        // A driver asks again when it is told to, so nothing is due for long.
        while let Some(at) = self.barrier.wake_at().filter(|at| *at <= self.now + wait) {
            self.now = at.max(self.now + 1);
            self.decide();
        }
        self.now = self.now.max(wait + self.now);
        match happening {
            Happening::Expect(who) => self.barrier.expect(Entrant(who)),
            Happening::Enter(who) => {
                self.barrier.enter(Entrant(who), self.now);
                self.came.insert(who);
            }
            Happening::Progress(who, done) => {
                self.barrier.progressed(Entrant(who), done, self.now);
            }
            Happening::Leave(who) => self.barrier.leave(Entrant(who), self.now),
            Happening::Fail(who) => self.barrier.fail(Entrant(who), self.now),
            Happening::Return(who) => {
                if self.barrier.expect_again(Entrant(who)) {
                    assert_eq!(self.stands.remove(&Entrant(who)), Some(Stand::Failed));
                }
            }
            Happening::Open => {
                self.barrier.open_now(Opening::Operator, self.now);
                self.said_open = true;
            }
            Happening::Hold => self.barrier.hold(self.now + 5),
        }
        self.decide();
    }

    fn decide(&mut self) {
        let (before, census) = (self.barrier.opening(), self.barrier.census);
        for verdict in self.barrier.decide(self.now) {
            let (Verdict::Release(who) | Verdict::TooLate(who)) = verdict;
            assert!(self.came.contains(&who.0), "B3: {who:?} never came");
            assert!(self.outcomes.insert(who.0, verdict).is_none(), "B2, B11: {who:?} twice");
            if verdict == Verdict::Release(who) {
                self.releases.push(self.now);
            }
        }
        assert!(self.barrier.decide(self.now).is_empty(), "deciding twice does nothing more");
        if let Some(at) = self.barrier.wake_at() {
            assert!(at > self.now, "{at} is not later than {}", self.now);
        }
        if before.is_none()
            && let Some((at, why)) = self.barrier.opening()
        {
            assert!(at <= self.now, "B5: opened in the future");
            self.check_cause(why, &census);
        }
        self.check_conservation();
        self.check_pace();
        self.check_progress();
    }

    /// B5: the cause was true when it opened.
    fn check_cause(&self, why: Opening, census: &Census) {
        let entry = &self.barrier.policy.entry;
        let waited = self.now - census.first_entry.unwrap_or(self.now);
        let holds = match why {
            Opening::All => census.entered == census.expected && census.entered > 0,
            Opening::Count { needed } => entry.count == Some(needed) && census.entered >= needed,
            Opening::Percent { needed, min_wait_ms } => {
                let asked = entry.percent.expect("it is asked for").percent / 100.0;
                census.entered >= needed
                    && f64::from(needed) >= asked * f64::from(census.expected) - 1e-9
                    && waited >= min_wait_ms
            }
            Opening::Timeout { limit_ms } => {
                entry.timeout_ms == Some(limit_ms) && waited >= limit_ms
            }
            Opening::Knee { gap_ms, mean_ms, deviation_ms } => {
                let knee = entry.knee.expect("it is asked for");
                // Each of the three is rounded to a millisecond, so five of them may be off by half.
                gap_ms + 3 >= mean_ms + 4 * deviation_ms
                    && waited >= knee.min_wait_ms
                    && f64::from(census.entered)
                        >= knee.min_percent / 100.0 * f64::from(census.expected) - 1e-9
            }
            Opening::Operator => self.said_open,
            Opening::Callback => false,
        };
        assert!(holds, "B5: {why:?} does not hold for {census:?} at {}", self.now);
    }

    /// B1 and B4, and that what is counted is what is.
    fn check_conservation(&mut self) {
        let b = &self.barrier;
        for (who, passage) in b.history() {
            let before = self.stands.insert(who, passage.stand).unwrap_or(Stand::Expected);
            assert!(before <= passage.stand, "B4: {who:?} from {before:?} to {:?}", passage.stand);
            let jumped =
                passage.stand == Stand::Failed && before > Stand::Waiting && before < Stand::Failed;
            assert!(!jumped, "B4: {who:?} failed after {before:?}");
            let times = [passage.entered_at, passage.released_at, passage.left_at];
            assert!(times.iter().flatten().is_sorted(), "{times:?}");
            assert_eq!(passage.released_at.is_some(), b.has_let_go(who));
        }
        assert!(self.opening.is_none() || self.opening == b.opening(), "B5: it opened twice");
        self.opening = b.opening();
        let count = |stand| b.history().filter(|(_, p)| p.stand == stand).count() as u32;
        let (waiting, inside) = (count(Stand::Waiting), count(Stand::Released));
        let gone = inside + count(Stand::Left);
        assert_eq!((b.waiting(), b.inside(), b.released()), (waiting, inside, gone), "B1");
        assert_eq!(b.entered(), waiting + gone + count(Stand::Withdrawn), "B1");
        assert_eq!(b.expected(), b.entered() + count(Stand::Expected), "B1");
        assert_eq!(b.missing().count() as u32, count(Stand::Expected), "B1");
        assert!(gone == 0 || b.opening().is_some(), "B5: released before it opened");
    }

    /// B6.
    fn check_pace(&self) {
        let at_most = |count: usize, window: Millis| {
            let close = self.releases.windows(count + 1).all(|w| w[count] - w[0] >= window);
            assert!(close, "B6: more than {count} in {window} ms: {:?}", self.releases);
        };
        match self.barrier.policy.release {
            Release::Inside { max, .. } => assert!(self.barrier.inside() <= max, "B6"),
            Release::CountPerTick { count, every_ms } => at_most(count as usize, every_ms),
            Release::Rate { per_second } => {
                for (first, from) in self.releases.iter().enumerate() {
                    for (last, to) in self.releases.iter().enumerate().skip(first) {
                        let most = per_second * (to - from + 1) as f64 / 1000.0 + 1.0;
                        assert!(
                            (last - first + 1) as f64 <= most + 1e-6,
                            "B6: {:?}",
                            self.releases
                        );
                    }
                }
            }
            Release::All | Release::PercentPerTick { .. } | Release::Adaptive { .. } => {}
        }
    }

    /// B10 and B11: whoever waits in an open barrier has a reason to, and late-comers have their answer.
    fn check_progress(&self) {
        let b = &self.barrier;
        if b.opening().is_some() && b.waiting() > 0 {
            let woken = b.wake_at().is_some() || b.inside() > 0;
            assert!(woken, "B10: {} wait and nothing will let them go", b.waiting());
            assert!(b.late.is_empty(), "B11: somebody is not told");
        }
        if b.opening().is_none() && b.entered() > 0 && b.entered() == b.expected() {
            assert!(b.wake_at().is_some(), "B10: a full house and nobody is asked again");
        }
    }
}

fn any_release() -> impl Strategy<Value = Release> {
    let limit = proptest::option::of(1u64..40);
    let rule = prop_oneof![Just(AdaptiveRule::Median), Just(AdaptiveRule::Throughput)];
    prop_oneof![
        Just(Release::All),
        (1u32..4, 1u64..20).prop_map(|(count, every_ms)| Release::CountPerTick { count, every_ms }),
        (1f64..100.0, 1u64..20)
            .prop_map(|(percent, every_ms)| Release::PercentPerTick { percent, every_ms }),
        (1u32..4, limit.clone()).prop_map(|(max, timeout_ms)| Release::Inside { max, timeout_ms }),
        (10f64..2000.0).prop_map(|per_second| Release::Rate { per_second }),
        (rule, 1u32..4, limit).prop_map(|(rule, start, timeout_ms)| Release::Adaptive {
            rule,
            start,
            timeout_ms
        }),
    ]
}

fn any_knee() -> impl Strategy<Value = Option<Knee>> {
    let knee = (0f64..100.0, 0u64..300, proptest::option::of(0f64..1.0));
    proptest::option::of(knee.prop_map(|(min_percent, min_wait_ms, weight)| Knee {
        min_percent,
        min_wait_ms,
        weight,
    }))
}

fn any_policy() -> impl Strategy<Value = BarrierPolicy> {
    let late = prop_oneof![Just(Late::Admit), Just(Late::Drop), Just(Late::Replace)];
    (any_entry(), any_knee(), any_release(), late, proptest::bool::weighted(0.2)).prop_map(
        |(entry, knee, release, late, asks)| BarrierPolicy {
            entry: Entry { knee, ..entry },
            release,
            late,
            callback: asks.then(|| asking().policy.callback.expect("it asks")),
            ..Default::default()
        },
    )
}

fn any_happening(members: u32) -> impl Strategy<Value = Happening> {
    prop_oneof![
        1 => (0..members).prop_map(Happening::Expect),
        8 => (0..members).prop_map(Happening::Enter),
        8 => (0..members, 0u64..5_000).prop_map(|(who, done)| Happening::Progress(who, done)),
        4 => (0..members).prop_map(Happening::Leave),
        2 => (0..members).prop_map(Happening::Fail),
        2 => (0..members).prop_map(Happening::Return),
        1 => Just(Happening::Open),
        1 => Just(Happening::Hold),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn b1_to_b11_hold_over_any_history_of_any_policy(
        policy in any_policy(),
        script in proptest::collection::vec((any_happening(8), prop_oneof![9 => 0u64..30, 1 => 0u64..3_000]), 0..150),
    ) {
        let mut watched = Watched::new(policy, 6);
        script.into_iter().for_each(|(happening, wait)| watched.play(happening, wait));
    }

    #[test]
    fn b2_b7_and_b9_hold_over_any_history_of_rounds(
        policy in any_policy(),
        script in proptest::collection::vec((0u8..13, 0u32..5, proptest::option::weighted(0.3, 1u32..20), 0u64..30), 0..200),
    ) {
        let mut rounds = Rounds::new(policy);
        (0..4).for_each(|n| rounds.expect(Entrant(n)));
        let (mut now, mut outcomes) = (0, BTreeSet::new());
        let (mut entered, mut failures) = (BTreeSet::new(), 0);
        let mut gone: BTreeMap<Entrant, u32> = BTreeMap::new();
        for (what, who, generation, wait) in script {
            while let Some(at) = rounds.wake_at().filter(|at| *at <= now + wait) {
                now = at.max(now + 1);
                check_rounds(&mut rounds, now, &entered, &mut outcomes);
            }
            now += wait;
            let who = Entrant(who);
            let next = rounds.next_of(who);
            match what {
                0..8 => {
                    gone.remove(&who);
                    let before = rounds.clone();
                    match rounds.enter(who, generation, now) {
                        Some(stands) => { entered.insert((stands, who.0)); }
                        None if next.is_some() => prop_assert_eq!(&rounds, &before, "B7"),
                        None => {}
                    }
                }
                8 | 9 => {
                    let before = rounds.clone();
                    rounds.leave(who, generation, now);
                    let current = next.and_then(|n| n.checked_sub(1));
                    if generation.is_some() && generation != current {
                        prop_assert_eq!(&rounds, &before, "B7");
                    }
                }
                10 => {
                    rounds.fail(who, now);
                    failures += 1;
                    gone.extend(next.map(|next| (who, next)));
                }
                11 => {
                    if let Some(next) = gone.remove(&who) {
                        rounds.expect_from(who, next);
                    }
                }
                _ => rounds.open_now(Opening::Operator, now),
            }
            check_rounds(&mut rounds, now, &entered, &mut outcomes);
            let text = serde_json::to_string(&rounds).unwrap();
            let again: Rounds = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(again.wake_at(), rounds.wake_at(), "B9: a new controller goes on the same");
        }
        prop_assert!(rounds.rounds().count() <= Rounds::KEPT + 5 + failures, "generations are bounded");
    }
}

fn check_rounds(
    rounds: &mut Rounds,
    now: Millis,
    entered: &BTreeSet<(u32, u32)>,
    outcomes: &mut BTreeSet<(u32, u32)>,
) {
    for (generation, verdict) in rounds.decide(now) {
        let (Verdict::Release(who) | Verdict::TooLate(who)) = verdict;
        assert!(entered.contains(&(generation, who.0)), "B3: {who:?} in {generation}");
        assert!(outcomes.insert((generation, who.0)), "B2: {who:?} twice in {generation}");
    }
    assert!(rounds.decide(now).is_empty(), "deciding twice does nothing more");
    assert!(rounds.wake_at().is_none_or(|at| at > now), "it would be asked again at once");
}

/// Every order of `depth` happenings at `members` members, one after the other in time.
fn interleave(watched: &Watched, members: u32, depth: u32, played: &mut u64) {
    if depth == 0 {
        *played += 1;
        return;
    }
    for who in 0..members {
        for happening in [Happening::Enter(who), Happening::Leave(who), Happening::Fail(who)] {
            let mut next = watched.clone();
            next.play(happening, 3);
            // What changes nothing need not be followed: the same comes at this depth without it.
            if next.barrier != watched.barrier {
                interleave(&next, members, depth - 1, played);
            }
        }
    }
}

#[test]
fn every_interleaving_of_twelve_happenings_keeps_the_invariants() {
    let mut played = 0;
    let inside = |max, timeout_ms| Release::Inside { max, timeout_ms };
    let median = Release::Adaptive { rule: AdaptiveRule::Median, start: 1, timeout_ms: Some(7) };
    let tick = Release::CountPerTick { count: 1, every_ms: 5 };
    let entry = |count, timeout_ms| Entry { count, timeout_ms, ..Default::default() };
    for members in [2, 3] {
        for late in [Late::Admit, Late::Drop, Late::Replace] {
            for release in [Release::All, inside(1, None), inside(1, Some(4)), median, tick] {
                for entry in [entry(None, None), entry(Some(1), None), entry(Some(2), Some(8))] {
                    let policy = BarrierPolicy { entry, release, late, ..Default::default() };
                    interleave(&Watched::new(policy, members), members, 12, &mut played);
                }
            }
        }
    }
    assert_eq!(played, 0, "no member has more than four changes, so no path is longer than twelve");
}
