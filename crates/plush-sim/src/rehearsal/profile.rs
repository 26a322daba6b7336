//! Profiles: how quick and how reliable hosts of a kind are. Every number is told in the guide.
//! Not measured here: they are what such hosts were seen to do elsewhere.

use crate::random::Chance;
use plush_core::Millis;

/// A kind of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Slow and shared machines all over the world, some of which are never there.
    Planetlab,
    /// Rented machines of one provider.
    Cloud,
    /// Machines in one room.
    Lan,
}

/// When ten hosts of PlanetLab had come to the barrier after the preparation, in seconds after the start.
const PLANETLAB_S: [u64; 10] = [7, 7, 8, 9, 13, 15, 19, 23, 37, 95];

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 3] = [Profile::Planetlab, Profile::Cloud, Profile::Lan];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Planetlab => "planetlab",
            Profile::Cloud => "cloud",
            Profile::Lan => "lan",
        }
    }

    /// The way to a host, one way.
    pub(crate) fn latency_ms(self, chance: &mut Chance) -> Millis {
        match self {
            Profile::Planetlab => chance.between(10, 150),
            Profile::Cloud => chance.between(1, 20),
            Profile::Lan => 1,
        }
    }

    /// From the first packet to the agent that answers.
    pub(crate) fn connect_ms(self, chance: &mut Chance) -> Millis {
        match self {
            Profile::Planetlab => chance.between(500, 3_000),
            Profile::Cloud => chance.between(200, 800),
            Profile::Lan => chance.between(30, 150),
        }
    }

    /// The preparation of a cluster's directory.
    pub(crate) fn prepare_ms(self, chance: &mut Chance) -> Millis {
        match self {
            Profile::Planetlab => trace_ms(chance),
            Profile::Cloud => skewed_ms(chance, 2_000, 10_000),
            Profile::Lan => chance.between(300, 2_000),
        }
    }

    /// A task's duration by that which was named for it.
    pub(crate) fn spread(self, chance: &mut Chance, ms: Millis) -> Millis {
        let percent = match self {
            // As the trace is to its median.
            Profile::Planetlab => trace_ms(chance) / 140,
            Profile::Cloud => chance.between(90, 130),
            Profile::Lan => chance.between(97, 105),
        };
        ms.saturating_mul(percent) / 100
    }

    /// Of ten thousand hosts so many never answer.
    pub(crate) fn absent(self) -> u64 {
        match self {
            Profile::Planetlab => 500,
            Profile::Cloud => 50,
            Profile::Lan => 0,
        }
    }

    /// Of ten thousand hosts so many are ten times slower than the others.
    pub(crate) fn slow(self) -> u64 {
        match self {
            Profile::Planetlab => 200,
            Profile::Cloud => 20,
            Profile::Lan => 0,
        }
    }

    /// Of ten thousand hosts so many are switched off in an hour, for good.
    pub(crate) fn lost_in_an_hour(self) -> u64 {
        match self {
            Profile::Planetlab => 100,
            Profile::Cloud => 10,
            Profile::Lan => 0,
        }
    }

    /// Of ten thousand links so many break in an hour, and are made again.
    pub(crate) fn cut_in_an_hour(self) -> u64 {
        match self {
            Profile::Planetlab => 2_000,
            Profile::Cloud => 100,
            Profile::Lan => 0,
        }
    }
}

/// A time with the distribution of the ten hosts: any of the ten, or between it and the next.
fn trace_ms(chance: &mut Chance) -> Millis {
    let at = chance.between(0, 10_000 - 1);
    let (place, part) = ((at / 1_000) as usize, at % 1_000);
    let from = PLANETLAB_S[place] * 1_000;
    // Nobody knows how long the slowest of more hosts takes: here up to twice as long.
    let to = PLANETLAB_S.get(place + 1).map_or(2 * from, |s| s * 1_000);
    from + (to - from) * part / 1_000
}

/// A time between two, most of them near the smaller one.
fn skewed_ms(chance: &mut Chance, low: Millis, high: Millis) -> Millis {
    let (a, b) = (chance.between(0, 1_000), chance.between(0, 1_000));
    low + (high - low) * a * b / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planetlab_has_the_quantiles_of_the_ten_hosts() {
        let mut chance = Chance::new(1);
        let mut times: Vec<Millis> = (0..10_000).map(|_| trace_ms(&mut chance)).collect();
        times.sort_unstable();
        assert!((12_000..=16_000).contains(&times[5_000]), "median {}", times[5_000]);
        assert!((30_000..=40_000).contains(&times[8_000]), "80 % {}", times[8_000]);
        assert!(times[0] >= 7_000 && times[9_999] <= 190_000, "{} {}", times[0], times[9_999]);
    }
}
