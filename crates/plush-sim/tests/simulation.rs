//! Claims about runs in which anything may go wrong, over many seeds.
//!
//! `SEEDS=50000` plays more of them, `FIRST=501` others; `SEED=7 HOSTS=100 FAULTS=Cut,Stale` plays one.
#![allow(clippy::unwrap_used)]

use plush_sim::{
    Failure, FaultKind, FaultSet, Play, Sabotage, Scene, Story, shrink, simulate, survey,
};

/// Each is played twice.
const SEEDS: u64 = 1_000;
const HOSTS: usize = 100;
const REGRESSIONS: &str = include_str!("../seeds/regressions.txt");

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn number(name: &str) -> Option<u64> {
    text(name).map(|text| text.parse().expect("a number"))
}

fn numbers<T: std::str::FromStr>(text: &str) -> Vec<T> {
    let number = |word: &str| word.parse().unwrap_or_else(|_| panic!("`{word}` is no number"));
    text.split(',').filter(|word| !word.is_empty()).map(number).collect()
}

/// Tells the seed and the fewest faults with which it fails.
fn tell(failure: Failure) -> ! {
    panic!("{failure}\nwith the fewest faults:\n{}", shrink(failure.clone()))
}

fn check(play: &Play) -> Story {
    simulate(play).unwrap_or_else(|failure| tell(*failure))
}

/// Plays many seeds, each twice.
fn check_all(seeds: std::ops::Range<u64>, play: impl Fn(u64) -> Play + Sync) -> Vec<Story> {
    survey(seeds, play).unwrap_or_else(|failure| tell(*failure))
}

#[test]
fn a_run_keeps_every_rule_whatever_goes_wrong_and_tells_the_same_story_twice() {
    let (first, count) = (number("FIRST").unwrap_or(1), number("SEEDS").unwrap_or(SEEDS));
    let hosts = number("HOSTS").map_or(HOSTS, |n| n as usize);
    let stories = check_all(first..first + count, |seed| Play::new(seed, hosts));
    let traces: std::collections::BTreeSet<u64> = stories.iter().map(|s| s.trace).collect();
    assert_eq!(traces.len(), stories.len(), "different seeds are different stories");
}

#[test]
fn one_seed() {
    let play = Play {
        faults: text("FAULTS").map(|text| FaultSet::parse(&text).unwrap()),
        only: text("ONLY").map(|text| numbers(&text)),
        crash: text("CRASH").map(|text| numbers(&text)).map(|at| (at[0], at[1])),
        scene: match text("SCENE").as_deref() {
            Some("Meeting") => Scene::Meeting,
            Some("Rendezvous") => Scene::Rendezvous,
            Some("OneRendezvous") => Scene::OneRendezvous,
            Some("Exclusive") => Scene::Exclusive,
            _ => Scene::Drawn,
        },
        sabotage: text("SABOTAGE").map_or(Sabotage::None, |text| {
            Sabotage::ALL.into_iter().find(|s| format!("{s:?}") == text).expect("a sabotage")
        }),
        ..Play::new(number("SEED").unwrap_or(1), number("HOSTS").map_or(HOSTS, |n| n as usize))
    };
    println!("{:?}", check(&play));
}

#[test]
fn a_seed_that_once_failed_does_not_fail_again() {
    for line in REGRESSIONS.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let faults = match words[2] {
            "*" => None,
            words => Some(FaultSet::parse(words).unwrap()),
        };
        let (seed, hosts) = (words[0].parse().unwrap(), words[1].parse().unwrap());
        check(&Play { faults, ..Play::new(seed, hosts) });
    }
}

/// F50: with three hosts that meet at a barrier, the controller dies at each record of its journal, at each of four
/// points in a record's life.
#[test]
fn f50_the_controller_may_die_at_every_record() {
    check_all(1..13, |seed| {
        let quiet =
            Play { faults: Some(FaultSet::NONE), scene: Scene::Meeting, ..Play::new(seed, 3) };
        let records = check(&quiet).records;
        assert!(records > 3, "{records} records are too few to die at");
        for record in 0..records {
            for point in 0..4 {
                check(&Play { crash: Some((record, point)), ..quiet.clone() });
            }
        }
        quiet
    });
}

/// As above, with links that deliver twice and late, an agent that dies and a host that is cut off.
#[test]
fn f50_the_controller_may_die_at_every_record_of_a_troubled_run() {
    let faults = FaultSet::of(&[FaultKind::Stale, FaultKind::Cut, FaultKind::AgentCrash]);
    check_all(1..13, |seed| {
        let troubled = Play { faults: Some(faults), ..Play::new(seed, 2) };
        for record in 0..check(&troubled).records {
            check(&Play { crash: Some((record, record % 4)), ..troubled.clone() });
        }
        troubled
    });
}

/// F50, F56, for a barrier of the application: programs of two hosts come to it in rounds, and the controller dies at each
/// record of its journal. Nobody is let go twice, nobody is stranded.
#[test]
fn f56_the_controller_may_die_at_every_record_while_programs_are_at_a_barrier() {
    check_all(1..25, |seed| {
        let quiet =
            Play { faults: Some(FaultSet::NONE), scene: Scene::Rendezvous, ..Play::new(seed, 3) };
        for record in 0..check(&quiet).records {
            check(&Play { crash: Some((record, record % 4)), ..quiet.clone() });
        }
        quiet
    });
}

/// F76, F77, F78: programs at a barrier of the application, whatever goes wrong.
#[test]
fn f78_programs_at_a_barrier_are_let_go_once_whatever_goes_wrong() {
    check_all(1..201, |seed| Play { scene: Scene::Rendezvous, ..Play::new(seed, 12) });
}

/// P7, L3: places of which there must not be two, whatever goes wrong; and they are served again.
#[test]
fn p7_l3_an_exclusive_place_is_never_served_twice_and_is_served_again() {
    let (first, count) = (number("FIRST").unwrap_or(1), number("SEEDS").unwrap_or(400));
    check_all(first..first + count, |seed| Play {
        scene: Scene::Exclusive,
        ..Play::new(seed, [2, 3, 6, 12][(seed % 4) as usize])
    });
}

/// B10: a thousand programs are let go within one round trip and 50 ms of the last one's coming.
#[test]
fn a_barrier_of_a_thousand_agents_releases_within_a_round_trip_and_50_ms() {
    let play =
        Play { faults: Some(FaultSet::NONE), scene: Scene::OneRendezvous, ..Play::new(1, 1_000) };
    let story = check(&play);
    let released = story.released.expect("everybody was let go");
    eprintln!("{released:?}");
    assert!(released.programs >= 900, "{released:?}");
    assert!(released.took_ms <= released.round_trip_ms + 50, "{released:?}");
}

#[test]
fn each_kind_of_fault_alone_is_survived() {
    for kind in FaultKind::ALL {
        check_all(1..9, |seed| Play { faults: Some(FaultSet::of(&[kind])), ..Play::new(seed, 30) });
    }
}

/// L4: what the walls show changes nothing.
#[test]
fn l4_a_jump_of_the_wall_clocks_changes_no_story() {
    for seed in 1..9 {
        let quiet = Play { only: Some(Vec::new()), ..Play::new(seed, 20) };
        let jump = Some(FaultSet::of(&[FaultKind::ClockJump]));
        let without = check(&Play { faults: jump, ..quiet.clone() });
        let with = check(&Play { faults: jump, only: None, ..quiet });
        assert_eq!(
            (with.records, with.outcome, with.ended_at),
            (without.records, without.outcome, without.ended_at),
            "seed {seed}"
        );
    }
}
