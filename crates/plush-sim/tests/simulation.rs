//! Claims about runs in which anything may go wrong, over many seeds.
//!
//! `SEEDS=5000` plays more of them, `FIRST=501` others; `SEED=7 HOSTS=100 FAULTS=Cut,Stale` plays one.
#![allow(clippy::unwrap_used)]

use plush_sim::{Breach, FaultKind, FaultSet, Play, Sabotage, Story, shrink, simulate};

const SEEDS: u64 = 500;
const HOSTS: usize = 100;
const REGRESSIONS: &str = include_str!("../seeds/regressions.txt");

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Plays, and tells the seed and the fewest faults if a rule is broken.
fn check(play: Play) -> Story {
    println!("seed {}", play.seed);
    match simulate(play) {
        Ok(story) => story,
        Err(failure) => panic!("{failure}\nwith the fewest faults:\n{}", shrink(*failure.clone())),
    }
}

/// The first breach among some seeds of a world that is broken on purpose.
fn caught(sabotage: Sabotage, faults: &[FaultKind]) -> Option<Breach> {
    let play = |seed| Play { sabotage, faults: Some(FaultSet::of(faults)), ..Play::new(seed, 20) };
    (1..40).find_map(|seed| simulate(play(seed)).err()).map(|failure| failure.breach)
}

/// The rule by which the breakage is noticed.
fn check_caught(sabotage: Sabotage, faults: &[FaultKind], invariant: &str) {
    let breach = caught(sabotage, faults).expect("the checkers notice");
    assert_eq!(breach.invariant, invariant, "{breach}");
    assert_eq!(caught(Sabotage::None, faults), None);
}

#[test]
fn a_run_keeps_every_rule_whatever_goes_wrong() {
    let (first, count) = (number("FIRST").unwrap_or(1), number("SEEDS").unwrap_or(SEEDS));
    for seed in first..first + count {
        check(Play::new(seed, HOSTS));
    }
}

#[test]
fn one_seed() {
    let seed = number("SEED").unwrap_or(1);
    let hosts = number("HOSTS").map_or(HOSTS, |n| n as usize);
    let faults = std::env::var("FAULTS").ok().map(|text| FaultSet::parse(&text).unwrap());
    println!("{:?}", check(Play { faults, ..Play::new(seed, hosts) }));
}

#[test]
fn a_seed_that_once_failed_does_not_fail_again() {
    for line in REGRESSIONS.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace().map(|word| word.parse::<u64>());
        let (seed, hosts) = (words.next().unwrap().unwrap(), words.next().unwrap().unwrap());
        check(Play::new(seed, hosts as usize));
    }
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    let stories: Vec<Story> = (1_000..1_020).map(|seed| check(Play::new(seed, 40))).collect();
    let again: Vec<Story> = (1_000..1_020).map(|seed| check(Play::new(seed, 40))).collect();
    assert_eq!(stories, again);
    let traces: std::collections::BTreeSet<u64> = stories.iter().map(|s| s.trace).collect();
    assert_eq!(traces.len(), stories.len(), "different seeds are different stories");
}

/// F50: with two hosts, the controller dies at each record of its journal, at each of three points in a record's life.
#[test]
fn f50_the_controller_may_die_at_every_record() {
    for seed in 1..=12 {
        let quiet = Play { faults: Some(FaultSet::NONE), ..Play::new(seed, 2) };
        let records = check(quiet).records;
        assert!(records > 3, "{records} records are too few to die at");
        for record in 0..records {
            for point in 0..3 {
                check(Play { crash: Some((record, point)), ..quiet });
            }
        }
    }
}

/// As above, with links that deliver twice and late, and a second host that is cut off.
#[test]
fn f50_the_controller_may_die_at_every_record_of_a_troubled_run() {
    let faults = FaultSet::of(&[FaultKind::Stale, FaultKind::Cut, FaultKind::AgentCrash]);
    for seed in 1..=6 {
        let troubled = Play { faults: Some(faults), ..Play::new(seed, 2) };
        for record in 0..check(troubled).records {
            check(Play { crash: Some((record, record % 3)), ..troubled });
        }
    }
}

#[test]
fn each_kind_of_fault_alone_is_survived() {
    for kind in FaultKind::ALL {
        for seed in 1..=8 {
            check(Play { faults: Some(FaultSet::of(&[kind])), ..Play::new(seed, 30) });
        }
    }
}

#[test]
fn o4_an_acknowledgement_before_durability_is_caught() {
    check_caught(Sabotage::AckBeforeDurable, &[], "O4");
}

#[test]
fn j1_performing_before_durability_is_caught() {
    check_caught(Sabotage::PerformBeforeSync, &[], "J1");
}

#[test]
fn a_replay_without_the_last_record_is_caught() {
    check_caught(Sabotage::ReplayWithoutLast, &[FaultKind::ControllerCrash], "J2");
}

#[test]
fn p1_a_second_start_under_one_key_is_caught() {
    check_caught(Sabotage::StartTwice, &[], "P1");
}

#[test]
fn p2_an_exec_before_the_record_is_caught() {
    check_caught(Sabotage::ExecBeforeRecord, &[], "P2");
}

#[test]
fn p9_a_wrong_exit_code_is_caught() {
    check_caught(Sabotage::WrongExit, &[], "P9");
}

#[test]
fn c2_a_file_that_stays_is_caught() {
    check_caught(Sabotage::LeaveFiles, &[], "C2");
}
