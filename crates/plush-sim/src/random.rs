//! Chance: numbers that follow from one seed, so that a run of the simulator can be told again.
//! Not random: SplitMix64 (Steele, Lea, Flood 2014), chosen since it is six lines and passes BigCrush.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.draw() % (high - low + 1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }

    /// One of those.
    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        let index = self.draw() % among.len() as u64;
        &among[index as usize]
    }

    /// A stream of its own, so that drawing from one does not move the other.
    pub fn branch(&mut self) -> Chance {
        Chance(self.draw())
    }
}
