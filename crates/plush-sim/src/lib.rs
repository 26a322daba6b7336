//! Both ends of a run in one thread on virtual time, with a network, hosts and a controller that fail.
//! A crate of its own because nothing that manages real hosts may depend on it.
//!
//! Everything follows from one seed: what is run, what goes wrong, when. [`simulate`] plays a seed and says which rule
//! was broken, if one was; [`shrink`] finds the fewest faults with which it still is; [`survey`] plays many seeds.

pub mod barriers;
pub mod checkers;
pub mod faults;
mod random;
mod recording;
pub mod rehearsal;
mod scenario;
mod shrink;
mod survey;
mod world;

pub use checkers::Breach;
pub use faults::{FaultKind, FaultSet, Sabotage};
pub use recording::Recording;
pub use scenario::Scene;
pub use shrink::shrink;
pub use survey::{hunt, survey};

use checkers::Checks;
use plush_core::Millis;
use plush_protocol::Outcome;
use random::Chance;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{CrashPoint, World};

/// What is played.
#[derive(Clone, Debug)]
pub struct Play {
    /// From which everything follows.
    pub seed: u64,
    /// How many hosts.
    pub hosts: usize,
    /// What kind of project.
    pub scene: Scene,
    /// Which faults; `None` lets the seed choose.
    pub faults: Option<FaultSet>,
    /// Only these of their strikes, by number; `None` is all of them.
    pub only: Option<Vec<u32>>,
    /// What is broken on purpose.
    pub sabotage: Sabotage,
    /// The controller dies at this record: number and one of three points in its life.
    pub crash: Option<(usize, usize)>,
}

impl Play {
    /// A seed with the faults that follow from it.
    pub fn new(seed: u64, hosts: usize) -> Play {
        Play {
            seed,
            hosts,
            scene: Scene::Drawn,
            faults: None,
            only: None,
            sabotage: Sabotage::None,
            crash: None,
        }
    }

    /// The faults of the play: a part of the kinds, for some seeds few and for some most; one seed in ten has none.
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

    /// How many strikes its faults have.
    pub fn strikes(&self) -> u32 {
        u32::try_from(self.world(false).strikes.len()).expect("strikes are counted in 32 bits")
    }

    /// The world of the play; in one that is not watched nothing is checked, and everything happens alike.
    fn world(&self, watched: bool) -> World {
        let mut chance = Chance::new(self.seed);
        let plan = scenario::plan(&mut chance, self.hosts, self.scene);
        let mut world = World::new(plan, chance, self);
        if !watched {
            world.checks = Checks::unwatched();
        }
        if let Some((record, point)) = self.crash {
            world.controller.crash = Some((record, CrashPoint::ALL[point]));
        }
        world
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
    /// How the programs were let go that came to the barrier of the application in its first round.
    pub released: Option<Released>,
}

/// How programs were let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// How many.
    pub programs: usize,
    /// From the last program that asked to the last that heard its answer, in virtual milliseconds.
    pub took_ms: Millis,
    /// The longest way to a host and back.
    pub round_trip_ms: Millis,
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
        let Play { seed, hosts, scene, sabotage, .. } = self.play;
        let faults = self.play.fault_set();
        writeln!(f, "seed {seed}: {}", self.breach)?;
        writeln!(f, "faults: {faults:?}")?;
        write!(f, "again: SEED={seed} HOSTS={hosts} FAULTS={faults:?}")?;
        if let Some(only) = &self.play.only {
            let numbers: Vec<String> = only.iter().map(u32::to_string).collect();
            write!(f, " ONLY={}", numbers.join(","))?;
        }
        if let Some((record, point)) = self.play.crash {
            write!(f, " CRASH={record},{point}")?;
        }
        if scene != Scene::Drawn {
            write!(f, " SCENE={scene:?}")?;
        }
        if sabotage != Sabotage::None {
            write!(f, " SABOTAGE={sabotage:?}")?;
        }
        write!(f, " cargo test -p plush-sim --test simulation one_seed")
    }
}

/// Plays.
///
/// # Errors
/// The first rule that was broken, a panic among them.
pub fn simulate(play: &Play) -> Result<Story, Box<Failure>> {
    tell(play, true)
}

/// The same story without a look at the rules.
///
/// # Errors
/// A panic, or a world that does not come to its end.
fn tell_again(play: &Play) -> Result<Story, Box<Failure>> {
    tell(play, false)
}

fn tell(play: &Play, watched: bool) -> Result<Story, Box<Failure>> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = play.world(watched);
        world.play()?;
        let outcome = world.controller.run.outcome().cloned();
        Ok(Story {
            trace: world.trace(),
            happenings: world.happenings(),
            records: world.controller.journal.records.len(),
            outcome: outcome.expect("a world ends with its run"),
            ended_at: world.finished_at.expect("a world ends with its run"),
            released: world.released(),
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
    Err(Box::new(Failure { play: play.clone(), breach }))
}
