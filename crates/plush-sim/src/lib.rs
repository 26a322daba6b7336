//! Both ends of a run in one thread on virtual time, with a network, hosts and a controller that fail.
//! A crate of its own because nothing that manages real hosts may depend on it.
//!
//! Everything follows from one seed: what is run, what goes wrong, when. [`simulate`] plays a seed and says which rule
//! was broken, if one was; [`shrink`] finds the fewest kinds of faults with which it still is.

pub mod checkers;
pub mod faults;
mod random;
mod scenario;
mod world;

pub use checkers::Breach;
pub use faults::{FaultKind, FaultSet, Sabotage};

use plush_core::Millis;
use plush_protocol::Outcome;
use random::Chance;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{CrashPoint, World};

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    /// From which everything follows.
    pub seed: u64,
    /// How many hosts.
    pub hosts: usize,
    /// Which faults; `None` lets the seed choose.
    pub faults: Option<FaultSet>,
    /// What is broken on purpose.
    pub sabotage: Sabotage,
    /// The controller dies at this record: number and one of three points in its life.
    pub crash: Option<(usize, usize)>,
}

impl Play {
    /// A seed with the faults that follow from it.
    pub fn new(seed: u64, hosts: usize) -> Play {
        Play { seed, hosts, faults: None, sabotage: Sabotage::None, crash: None }
    }

    /// The faults of the play: about a third of the kinds; one seed in ten has none.
    pub fn fault_set(&self) -> FaultSet {
        let mut chance = Chance::new(self.seed ^ 0xfa17);
        self.faults.unwrap_or_else(|| match chance.percent(10) {
            true => FaultSet::NONE,
            false => {
                let share = *chance.pick(&[10, 30, 60]);
                let kinds = FaultKind::ALL.into_iter().filter(|_| chance.percent(share));
                FaultSet::of(&kinds.collect::<Vec<_>>())
            }
        })
    }
}

/// How a play went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Equal for equal plays.
    pub trace: u64,
    /// How much happened.
    pub happenings: u64,
    /// Records in the controller's journal.
    pub records: usize,
    /// How the run ended.
    pub outcome: Outcome,
    /// When, in virtual milliseconds.
    pub ended_at: Millis,
}

/// A play in which a rule was broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was played.
    pub play: Play,
    /// What was broken.
    pub breach: Breach,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Play { seed, hosts, .. } = self.play;
        let faults = self.play.fault_set();
        writeln!(f, "seed {seed}: {}", self.breach)?;
        writeln!(f, "faults: {faults:?}")?;
        write!(
            f,
            "again: SEED={seed} HOSTS={hosts} FAULTS={faults:?} cargo test -p plush-sim --test simulation one_seed"
        )
    }
}

/// Plays.
///
/// # Errors
/// The first rule that was broken, a panic among them.
pub fn simulate(play: Play) -> Result<Story, Box<Failure>> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut chance = Chance::new(play.seed);
        let plan = scenario::plan(&mut chance, play.hosts);
        let mut world = World::new(plan, chance, play.fault_set(), play.sabotage);
        if let Some((record, point)) = play.crash {
            world.controller.crash = Some((record, CrashPoint::ALL[point]));
        }
        world.play()?;
        let outcome = world.controller.run.outcome().cloned();
        Ok(Story {
            trace: world.trace(),
            happenings: world.happenings(),
            records: world.controller.journal.records.len(),
            outcome: outcome.expect("a world ends with its run"),
            ended_at: world.finished_at.expect("a world ends with its run"),
        })
    }));
    let breach = match played {
        Ok(Ok(story)) => return Ok(story),
        Ok(Err(breach)) => breach,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
            Breach { invariant: "no panic", what: text.unwrap_or_default(), at: 0 }
        }
    };
    Err(Box::new(Failure { play, breach }))
}

/// Leaves out one kind of fault after the other as long as the play still fails.
pub fn shrink(failure: Failure) -> Failure {
    let mut smallest = failure;
    loop {
        let faults = smallest.play.fault_set();
        let fewer = faults.kinds().find_map(|kind| {
            let play = Play { faults: Some(faults.without(kind)), ..smallest.play };
            simulate(play).err()
        });
        match fewer {
            Some(failure) => smallest = *failure,
            None => return smallest,
        }
    }
}
