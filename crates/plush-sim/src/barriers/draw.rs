//! Numbers in the shapes that arrivals and links have.
//! Not where the bits come from: that is `random`.

use crate::random::Chance;

/// Between 0 and 1, without both ends.
pub fn uniform(chance: &mut Chance) -> f64 {
    ((chance.draw() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// Exponential with this mean.
pub fn exponential(chance: &mut Chance, mean: f64) -> f64 {
    -mean * uniform(chance).ln()
}

/// Log-normal with this median and this deviation of the logarithm (Box and Muller 1958).
pub fn log_normal(chance: &mut Chance, median: f64, sigma: f64) -> f64 {
    let radius = (-2.0 * uniform(chance).ln()).sqrt();
    let angle = std::f64::consts::TAU * uniform(chance);
    median * (sigma * radius * angle.cos()).exp()
}

/// Pareto from this least value on, with this index: the smaller, the longer the tail.
pub fn pareto(chance: &mut Chance, least: f64, index: f64) -> f64 {
    least / uniform(chance).powf(1.0 / index)
}
