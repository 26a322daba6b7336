//! Release: how those inside an open barrier are let go; one small machine for each policy.
//! Not when it opens, nor in which order: that is `entry`, and first come, first served.

mod cohorts;
mod goodput;
mod inside;
mod median;
mod meter;
mod rate;
mod throughput;
mod tick;

use super::Entrant;
use crate::Millis;
use inside::Inside;
use median::Median;
use plush_spec::model::{AdaptiveRule, Release};
use rate::Rate;
use serde::{Deserialize, Serialize};
use throughput::Throughput;
use tick::Tick;

/// What a release policy remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Pace {
    AtOnce,
    Tick(Tick),
    Inside(Inside),
    Rate(Rate),
    Median(Median),
    Throughput(Throughput),
}

/// Who is where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Those who may be let go.
    pub waiting: u32,
    /// Released, and not yet through.
    pub inside: u32,
    /// Members that count.
    pub expected: u32,
}

/// Somebody inside says how far it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub entrant: Entrant,
    /// When it was let go.
    pub since: Millis,
    /// How much it has done in all, in a unit that is the same for all of them.
    pub done: u64,
}

/// Somebody's place inside became free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    pub entrant: Entrant,
    pub end: End,
    /// How long it was inside.
    pub inside_ms: Millis,
    /// How many were inside, itself among them.
    pub of: u32,
}

/// How a time inside ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It said that it is through.
    Through,
    /// It died.
    Died,
    /// Its time was over.
    TimeOut,
}

impl Pace {
    pub fn new(policy: &Release) -> Self {
        match policy {
            Release::All => Pace::AtOnce,
            Release::CountPerTick { count, every_ms } => Pace::Tick(Tick::count(*count, *every_ms)),
            Release::PercentPerTick { percent, every_ms } => {
                Pace::Tick(Tick::percent(*percent, *every_ms))
            }
            Release::Inside { max, .. } => Pace::Inside(Inside::new(*max)),
            Release::Rate { per_second } => Pace::Rate(Rate::new(*per_second)),
            Release::Adaptive { rule: AdaptiveRule::Median, start, .. } => {
                Pace::Median(Median::new(*start))
            }
            Release::Adaptive { rule: AdaptiveRule::Throughput, start, .. } => {
                Pace::Throughput(Throughput::new(*start))
            }
        }
    }

    /// How many go now. They are taken to be gone: asked again at once, it says 0.
    pub fn admit(&mut self, now: Millis, room: Room) -> u32 {
        match self {
            Pace::AtOnce => room.waiting,
            Pace::Tick(tick) => tick.admit(now, room),
            Pace::Inside(inside) => inside.admit(room),
            Pace::Rate(rate) => rate.admit(now, room),
            Pace::Median(median) => median.admit(room),
            Pace::Throughput(throughput) => throughput.admit(now, room),
        }
    }

    /// Somebody inside told of its progress.
    pub fn progressed(&mut self, now: Millis, progress: Progress) {
        match self {
            Pace::AtOnce | Pace::Tick(_) | Pace::Inside(_) | Pace::Rate(_) | Pace::Median(_) => {}
            Pace::Throughput(throughput) => throughput.progressed(now, progress),
        }
    }

    /// A place became free.
    pub fn left(&mut self, now: Millis, departure: Departure) {
        match self {
            Pace::AtOnce | Pace::Tick(_) | Pace::Inside(_) | Pace::Rate(_) => {}
            Pace::Median(median) => median.left(departure),
            Pace::Throughput(throughput) => throughput.left(now, departure),
        }
    }

    /// When time alone lets more go, while somebody waits.
    pub fn wake_at(&self) -> Option<Millis> {
        match self {
            Pace::Tick(tick) => tick.wake_at(),
            Pace::Rate(rate) => rate.wake_at(),
            Pace::Throughput(throughput) => throughput.wake_at(),
            Pace::AtOnce | Pace::Inside(_) | Pace::Median(_) => None,
        }
    }
}

/// How long one entrant may hold a place.
pub(super) fn time_inside_ms(policy: &Release) -> Option<Millis> {
    match policy {
        Release::Inside { timeout_ms, .. } | Release::Adaptive { timeout_ms, .. } => *timeout_ms,
        Release::All
        | Release::CountPerTick { .. }
        | Release::PercentPerTick { .. }
        | Release::Rate { .. } => None,
    }
}
