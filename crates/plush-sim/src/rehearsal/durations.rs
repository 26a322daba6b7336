//! How long the processes of a description are assumed to run: what the description itself cannot say.
//! Not how a kind of hosts spreads it: that is the profile's.

use crate::random::Chance;
use plush_core::Millis;

/// What is assumed of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durations {
    /// Of those that are not named.
    pub general: Option<Duration>,
    /// By process.
    pub named: Vec<(String, Duration)>,
}

/// An assumption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duration {
    /// About so long, with the spread of the profile.
    About(Millis),
    /// Between two, any as likely.
    Between(Millis, Millis),
}

/// A process of which nobody has said anything runs about so long.
pub const USUAL_MS: Millis = 60_000;

impl Durations {
    pub(crate) fn of(&self, process: &str) -> Duration {
        let named = self.named.iter().rev().find(|(name, _)| name == process);
        named.map(|(_, d)| *d).or(self.general).unwrap_or(Duration::About(USUAL_MS))
    }
}

impl Duration {
    pub(crate) fn draw(self, chance: &mut Chance, profile: super::Profile) -> Millis {
        match self {
            Duration::About(ms) => profile.spread(chance, ms),
            Duration::Between(low, high) => chance.between(low, high.max(low)),
        }
    }
}
