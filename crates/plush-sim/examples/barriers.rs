//! Prints the tables of the barrier study; `bench/run traces`, `knee` and `release` call it.
//!
//!     barriers traces FILE...
//!     barriers knee [SEEDS]
//!     barriers release [SEEDS [HOSTS...]]
//!     barriers entries

use plush_core::barrier::{Barrier, Entrant};
use plush_sim::barriers::{Trace, knee_table, release_table, trace_table};
use plush_spec::model::{BarrierPolicy, Release};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |usual: u64| words.get(1).map_or(Ok(usual), |word| word.parse());
    match words.first().map(String::as_str) {
        Some("traces") => {
            for path in &words[1..] {
                let text =
                    std::fs::read_to_string(path).map_err(|e| format!("read {path}: {e}"))?;
                let trace = Trace::parse(&text).map_err(|e| format!("{path}: {e}"))?;
                println!("{path}\n\n{}", trace_table(&trace));
            }
        }
        Some("knee") => println!("{}", knee_table(number(200)?)),
        Some("release") => {
            let hosts =
                words.iter().skip(2).map(|word| word.parse()).collect::<Result<Vec<_>, _>>()?;
            let hosts = if hosts.is_empty() { vec![100, 1000, 4000] } else { hosts };
            println!("{}", release_table(&hosts, number(5)?));
        }
        Some("entries") => entries(),
        Some(_) | None => return Err("say traces, knee, release or entries".into()),
    }
    Ok(())
}

/// What it costs that one member comes, waits, is let go and leaves: the least of twenty rounds.
fn entries() {
    println!("| members | one entry |\n|---|---|");
    for members in [10, 100, 1_000, 10_000] {
        let cost = (0..20).map(|_| round_ns(members)).min().expect("there are rounds");
        println!("| {members} | {cost} ns |");
    }
}

/// A round of a barrier that lets ten inside at a time, by entry. Asked after every entry and leave.
fn round_ns(members: u32) -> u128 {
    let release = Release::Inside { max: 10, timeout_ms: Some(1_000_000) };
    let mut barrier = Barrier::new(BarrierPolicy { release, ..BarrierPolicy::default() });
    (0..members).for_each(|n| barrier.expect(Entrant(n)));
    let began = Instant::now();
    let mut inside = Vec::new();
    for now in 0..members {
        barrier.enter(Entrant(now), now.into());
        inside.extend(barrier.decide(now.into()));
    }
    while let Some(verdict) = inside.pop() {
        let (plush_core::barrier::Verdict::Release(who)
        | plush_core::barrier::Verdict::TooLate(who)) = verdict;
        barrier.leave(who, members.into());
        inside.extend(barrier.decide(members.into()));
    }
    assert_eq!(barrier.released(), members, "everybody gets through");
    began.elapsed().as_nanos() / u128::from(members)
}
