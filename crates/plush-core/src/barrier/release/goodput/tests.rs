//! Claims about the rule by progress, in a world of a few lines: who is inside goes on at a pace that depends on how many
//! they are, and says so once a second. Real shapes of links and servers are in the simulator's study.

use super::*;
use crate::barrier::Entrant;

struct World {
    rule: Goodput,
    now: Millis,
    waiting: u32,
    inside: Vec<Inside>,
    entered: u32,
    /// How much one has to do.
    size: f64,
    /// One of so many does nothing and says nothing, ever.
    stalls: Option<u32>,
}

struct Inside {
    entrant: Entrant,
    since: Millis,
    done: f64,
    speaks_at: Millis,
}

const TICK_MS: Millis = 50;

impl World {
    fn new(waiting: u32, size: f64) -> Self {
        World {
            rule: Goodput::new(8),
            now: 0,
            waiting,
            inside: Vec::new(),
            entered: 0,
            size,
            stalls: None,
        }
    }

    fn room(&self) -> Room {
        let inside = self.inside.len() as u32;
        Room { waiting: self.waiting, inside, expected: self.waiting + inside }
    }

    /// Goes on for so long; `pace(number, entrant)` is how much one of so many does in a millisecond.
    fn play(&mut self, time_ms: Millis, pace: impl Fn(f64, u32) -> f64) {
        let end = self.now + time_ms;
        while self.now < end {
            self.admit();
            self.now += TICK_MS;
            let stalls = self.stalls;
            let goes_on = |one: &Inside| stalls.is_none_or(|of| !one.entrant.0.is_multiple_of(of));
            let number = self.inside.iter().filter(|one| goes_on(one)).count() as f64;
            for one in self.inside.iter_mut().filter(|one| goes_on(one)) {
                let before = one.done;
                one.done = (before + pace(number, one.entrant.0) * TICK_MS as f64).min(self.size);
                let is_there = one.done >= self.size;
                if one.done > before && (one.speaks_at <= self.now || is_there) {
                    one.speaks_at = self.now + (self.now - one.since).clamp(250, 1000);
                    let progress =
                        Progress { entrant: one.entrant, since: one.since, done: one.done as u64 };
                    self.rule.progressed(self.now, progress);
                }
            }
            let gone = self.inside.extract_if(.., |one| one.done >= self.size).collect::<Vec<_>>();
            for (n, one) in (0..).zip(&gone) {
                let of = (self.inside.len() + gone.len()) as u32 - n;
                let inside_ms = self.now - one.since;
                let departure = Departure {
                    entrant: one.entrant,
                    end: super::super::End::Through,
                    inside_ms,
                    of,
                };
                self.rule.left(self.now, departure);
            }
        }
        self.admit();
    }

    fn admit(&mut self) {
        let room = self.room();
        let limit = self.rule.limit(self.now, room).unwrap_or(8);
        let admitted = room.waiting.min(limit.saturating_sub(room.inside));
        for _ in 0..admitted {
            // Each has a phase of its own.
            let speaks_at = self.now + 250 + Millis::from(self.entered % 7) * 10;
            let entrant = Entrant(self.entered);
            self.inside.push(Inside { entrant, since: self.now, done: 0.0, speaks_at });
            self.entered += 1;
        }
        self.waiting -= admitted;
        self.rule.admitted(self.now, room.inside + admitted, admitted);
    }
}

/// A server that gets out `most` with up to `crowd` of them, and less in proportion with more.
fn harmed(most: f64, crowd: f64) -> impl Fn(f64, u32) -> f64 {
    move |number, _| (most * (crowd / number).min(1.0) / number).min(10.0)
}

#[test]
fn a_fall_that_is_seen_in_two_readings_lets_nobody_in_between_them() {
    let mut rule = Goodput::new(24);
    rule.heard = true;
    (rule.search, rule.stage) = (Search::Holds, Stage::Settled { since: 0 });
    let reading = |goodput| Reading { from: 0, busy: 24.0, idle: 0.0, goodput, kept: Some(0.1) };
    rule.judge(reading(13_000.0), 24);
    rule.judge(reading(1_500.0), 24);
    let first = rule.number;
    assert!((2.0..3.0).contains(&first), "{first}");
    rule.judge(reading(800.0), 24);
    assert!(rule.number <= first, "{} after {first}", rule.number);
}

#[test]
fn without_a_word_it_has_no_opinion() {
    let mut rule = Goodput::new(8);
    let room = Room { waiting: 9, inside: 0, expected: 9 };
    assert_eq!(rule.limit(0, room), None);
    rule.admitted(0, 8, 8);
    assert_eq!((rule.limit(9_000, room), rule.wake_at()), (None, None));
}

#[test]
fn while_nobody_is_slowed_down_a_hundred_are_inside_within_seconds() {
    let mut world = World::new(100, 1e6);
    world.play(8_000, |_, _| 1.0);
    assert_eq!(world.waiting, 0, "after 8 s {} are inside", world.inside.len());
}

#[test]
fn newcomers_with_slow_links_are_no_harm() {
    let mut world = World::new(100, 20_000.0);
    // The first eight are through after two seconds, and those after them are twenty times as slow.
    world.play(8_000, |_, entrant| if entrant < 8 { 10.0 } else { 0.5 });
    assert_eq!(world.waiting, 0, "after 8 s {} are inside", world.inside.len());
}

#[test]
fn where_all_share_and_a_crowd_does_no_harm_those_inside_become_more() {
    let mut world = World::new(200, 1e6);
    world.play(30_000, |number, _| 16.0 / number);
    assert_eq!(world.waiting, 0, "after 30 s {} are inside", world.inside.len());
}

/// How many are inside on average over two minutes.
fn mean_inside(world: &mut World, pace: impl Fn(f64, u32) -> f64) -> f64 {
    let counts = (0..120).map(|_| {
        world.play(1_000, &pace);
        world.inside.len() as f64
    });
    counts.sum::<f64>() / 120.0
}

#[test]
fn a_crowd_that_harms_is_left_again() {
    for crowd in [12.0, 40.0, 100.0] {
        let mut world = World::new(100_000, 20_000.0);
        world.play(240_000, harmed(crowd * 2.0, crowd));
        let mean = mean_inside(&mut world, harmed(crowd * 2.0, crowd));
        eprintln!("{mean:.1} inside on average, where harm begins with {crowd}");
        assert!((0.7..1.4).contains(&(mean / crowd)), "{mean} inside, harm begins with {crowd}");
    }
}

#[test]
fn a_server_that_becomes_slow_lets_fewer_in_and_one_that_becomes_fast_more() {
    let (quick, slow) = (|| harmed(200.0, 100.0), || harmed(20.0, 10.0));
    let mut world = World::new(100_000, 20_000.0);
    world.play(120_000, quick());
    let before = world.inside.len();
    // Nobody is thrown out, so those inside have to get through at a tenth of a tenth of the pace.
    let mut emptied_s = 0;
    while world.inside.len() > 20 && emptied_s < 20_000 {
        world.play(10_000, slow());
        emptied_s += 10;
    }
    let slowly = mean_inside(&mut world, slow());
    world.play(60_000, quick());
    let quickly = mean_inside(&mut world, quick());
    eprintln!(
        "{before} inside; {slowly:.1} after {emptied_s} s when it is slow; {quickly:.1} when it is fast again"
    );
    assert!(before > 70 && slowly < 20.0 && quickly > 70.0, "{before}, {slowly}, {quickly}");
}

#[test]
fn those_who_fall_silent_hold_no_place() {
    let mut world = World::new(1_000, 5_000.0);
    world.stalls = Some(4);
    world.play(300_000, harmed(48.0, 24.0));
    let stalled = world.entered.div_ceil(4);
    let through = world.entered - world.inside.len() as u32;
    eprintln!("{through} are through, {stalled} stall");
    assert!(through > 700, "{through} are through, {} inside", world.inside.len());
}

#[test]
fn when_nobody_fetches_any_more_those_who_wait_go_on() {
    let mut world = World::new(64, 1e9);
    // They fetch for a second, and then each works on its own for long.
    world.play(1_000, |_, _| 1.0);
    world.play(60_000, |_, _| 0.0);
    assert_eq!(world.waiting, 0, "{} are inside", world.inside.len());
}
