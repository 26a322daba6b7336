//! The checkers notice: worlds that are broken on purpose are found out.
//!
//! `SEEDS=50000` hunts longer.

use plush_sim::{Sabotage, hunt};

/// Every broken world is found within so many seeds.
const SEEDS: u64 = 10_000;

fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("SEEDS").ok().map(|text| text.parse().expect("a number"));
    1..count.unwrap_or(SEEDS) + 1
}

#[test]
fn every_broken_world_is_found_out() {
    let mut missed = Vec::new();
    for sabotage in Sabotage::ALL {
        match hunt(sabotage, seeds()) {
            Some(failure) => println!(
                "found | {sabotage:?} | {} | {} | {}",
                failure.play.seed, failure.breach.invariant, failure.breach.what
            ),
            None => {
                println!("missed | {sabotage:?}");
                missed.push(sabotage);
            }
        }
    }
    assert!(missed.is_empty(), "{missed:?} are not found within {:?}", seeds());
}

#[test]
fn a_world_that_is_whole_is_not_suspected() {
    if let Some(failure) = hunt(Sabotage::None, seeds()) {
        panic!("{failure}");
    }
}
