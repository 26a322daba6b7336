//! How a link behaves: delay, jitter, loss, rate and other harm, and how people write them.
//!
//! Not the link at work: that is `link`.

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// One direction of a host's link. The default harms nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkShape {
    /// Time that every packet takes, in microseconds.
    pub delay_us: u64,
    /// The delay varies evenly by up to this much to either side, in microseconds; packets keep their order.
    pub jitter_us: u64,
    /// Share of the packets that vanish, 0 to 1.
    pub loss: f64,
    /// Share of the packets that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// Share of the packets that overtake the ones before them, 0 to 1.
    pub reorder: f64,
    /// Share of the packets that arrive with one bit flipped, 0 to 1.
    pub corrupt: f64,
    /// Bits per second; 0 is unlimited.
    pub rate_bps: u64,
}

impl LinkShape {
    /// Whether packets pass as if the link were not there.
    pub fn is_plain(&self) -> bool {
        *self == LinkShape::default()
    }
}

impl std::fmt::Display for LinkShape {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_plain() {
            return write!(out, "plain");
        }
        let mut parts = vec![format!("{} ms", self.delay_us as f64 / 1000.0)];
        if self.jitter_us > 0 {
            parts.push(format!("jitter {} ms", self.jitter_us as f64 / 1000.0));
        }
        let shares = [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("reorder", self.reorder),
            ("corrupt", self.corrupt),
        ];
        parts.extend(
            shares
                .iter()
                .filter(|(_, share)| *share > 0.0)
                .map(|(what, share)| format!("{what} {:.2} %", share * 100.0)),
        );
        if self.rate_bps > 0 {
            parts.push(format!("{:.0} kbit/s", self.rate_bps as f64 / 1000.0));
        }
        write!(out, "{}", parts.join(", "))
    }
}

/// What to change of a link; what is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LinkChange {
    pub delay_us: Option<u64>,
    pub jitter_us: Option<u64>,
    pub loss: Option<f64>,
    pub duplicate: Option<f64>,
    pub reorder: Option<f64>,
    pub corrupt: Option<f64>,
    pub rate_bps: Option<u64>,
}

impl LinkChange {
    /// The shape after the change.
    #[must_use]
    pub fn applied_to(&self, shape: LinkShape) -> LinkShape {
        LinkShape {
            delay_us: self.delay_us.unwrap_or(shape.delay_us),
            jitter_us: self.jitter_us.unwrap_or(shape.jitter_us),
            loss: self.loss.unwrap_or(shape.loss),
            duplicate: self.duplicate.unwrap_or(shape.duplicate),
            reorder: self.reorder.unwrap_or(shape.reorder),
            corrupt: self.corrupt.unwrap_or(shape.corrupt),
            rate_bps: self.rate_bps.unwrap_or(shape.rate_bps),
        }
    }

    /// The change that makes any link exactly `shape`.
    pub fn to_exactly(shape: LinkShape) -> LinkChange {
        LinkChange {
            delay_us: Some(shape.delay_us),
            jitter_us: Some(shape.jitter_us),
            loss: Some(shape.loss),
            duplicate: Some(shape.duplicate),
            reorder: Some(shape.reorder),
            corrupt: Some(shape.corrupt),
            rate_bps: Some(shape.rate_bps),
        }
    }
}

/// The parts of a machine's identity that hosts share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// Nothing: each has a machine id, and for each boot a boot id.
    #[default]
    Machines,
    /// One machine id, as copies of one disk have.
    Clones,
    /// One boot id, as containers of one machine have, and one machine id.
    Containers,
}

/// A kind of network, from which each host's link is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Nothing is shaped.
    #[default]
    Lan,
    /// 40 ms each way, 2 ms jitter, 0.1 % loss, 100 Mbit/s.
    Wan,
    /// Every host differs: 5 to 100 ms each way, a tenth of it as jitter, up to 1 % loss, 2 to 20 Mbit/s.
    Planetlab,
    /// 100 ms each way, 20 ms jitter, 1 % loss, 56 kbit/s.
    Modem,
}

impl Profile {
    /// The link of the host with this number; the same seed draws the same links.
    pub fn link(self, port: u16, seed: u64) -> LinkShape {
        let plain = LinkShape::default();
        match self {
            Profile::Lan => plain,
            Profile::Wan => LinkShape {
                delay_us: 40_000,
                jitter_us: 2_000,
                loss: 0.001,
                rate_bps: 100_000_000,
                ..plain
            },
            Profile::Modem => LinkShape {
                delay_us: 100_000,
                jitter_us: 20_000,
                loss: 0.01,
                rate_bps: 56_000,
                ..plain
            },
            Profile::Planetlab => {
                let mut dice = Dice::new(seed ^ (u64::from(port) << 32));
                let delay_us = 5_000 + dice.below(95_000);
                LinkShape {
                    delay_us,
                    jitter_us: delay_us / 10,
                    loss: dice.below(100) as f64 / 10_000.0,
                    rate_bps: 2_000_000 + dice.below(18_000_000),
                    ..plain
                }
            }
        }
    }
}

/// Reproducible randomness (splitmix64): a seed replays every loss.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Equal seeds roll alike.
    pub fn new(seed: u64) -> Dice {
        Dice { state: seed }
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.roll() % end }
    }

    /// True with this probability.
    pub fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && ((self.roll() >> 11) as f64 / (1_u64 << 53) as f64) < share
    }
}

/// `80ms`, `1.5s`, `500us` in microseconds.
pub fn parse_duration(text: &str) -> Result<u64> {
    scaled(text, &[("us", 1.0), ("ms", 1e3), ("s", 1e6)])
        .with_context(|| format!("\"{text}\" is not a time such as 80ms, 1.5s or 500us"))
}

/// `10mbit`, `56kbit`, `1gbit` in bits per second.
pub fn parse_rate(text: &str) -> Result<u64> {
    scaled(text, &[("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9), ("bit", 1.0)])
        .with_context(|| format!("\"{text}\" is not a rate such as 56kbit, 10mbit or 1gbit"))
}

/// `5M`, `64K`, `1G` in bytes.
pub fn parse_bytes(text: &str) -> Result<u64> {
    let upper = text.to_ascii_uppercase();
    scaled(&upper, &[("K", 1024.0), ("M", 1048576.0), ("G", 1073741824.0), ("", 1.0)])
        .with_context(|| format!("\"{text}\" is not a size such as 64K or 5M"))
}

/// `1%` or `0.01` as a share from 0 to 1.
pub fn parse_share(text: &str) -> Result<f64> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|number| number / 100.0),
        None => text.parse::<f64>(),
    };
    match share {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => bail!("\"{text}\" is not a share such as 1% or 0.01"),
    }
}

fn scaled(text: &str, units: &[(&str, f64)]) -> Result<u64> {
    for (unit, factor) in units {
        let Some(number) = text.strip_suffix(unit) else { continue };
        if let Ok(number) = number.trim().parse::<f64>()
            && number.is_finite()
            && number >= 0.0
        {
            return Ok((number * factor) as u64);
        }
    }
    bail!("no number with a known unit")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn people_write_units() {
        assert_eq!(parse_duration("80ms").unwrap(), 80_000);
        assert_eq!(parse_duration("1.5s").unwrap(), 1_500_000);
        assert_eq!(parse_duration("500us").unwrap(), 500);
        assert_eq!(parse_rate("10mbit").unwrap(), 10_000_000);
        assert_eq!(parse_rate("56kbit").unwrap(), 56_000);
        assert_eq!(parse_bytes("5M").unwrap(), 5 << 20);
        assert_eq!(parse_share("1%").unwrap(), 0.01);
        assert_eq!(parse_share("0.5").unwrap(), 0.5);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["80", "-1ms", "x", "ms"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_share("101%").is_err());
        assert!(parse_rate("10").is_err());
        assert!(parse_bytes("many").is_err());
    }

    #[test]
    fn the_same_seed_draws_the_same_links() {
        let drawn =
            |seed| (1..20).map(|port| Profile::Planetlab.link(port, seed)).collect::<Vec<_>>();
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }
}
