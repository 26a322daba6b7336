//! Axes: which values get a tick, what is written there, and where a value lies.
//! Not how an axis is drawn: that is `frame`.

/// From values to places in a drawing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The least and the largest value.
    pub values: (f64, f64),
    /// Where they lie.
    pub places: (f64, f64),
}

impl Scale {
    /// Where a value lies.
    pub fn at(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        self.places.0 + share * (self.places.1 - self.places.0)
    }
}

/// Values with round numbers: about `count` of them, from the least to the largest, both within.
pub fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return vec![low];
    }
    let step = round_step(span / count.max(1) as f64);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|n| n as f64 * step).collect()
}

/// Whole ticks only, for things that are counted.
pub fn whole_ticks(high: f64, count: usize) -> Vec<f64> {
    ticks(0.0, high, count).into_iter().filter(|tick| tick.fract().abs() < 1e-9).collect()
}

/// The smallest of 1, 2, 5, 10, 20, 50... that is not less.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= least * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// The unit that suits times up to a length: its name, and its length in ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeUnit {
    /// `ms`, `s`, `min`, `h`, `d`.
    pub name: &'static str,
    /// Its length.
    pub ms: f64,
}

impl TimeUnit {
    /// For an axis up to so many milliseconds.
    pub fn for_span(ms: f64) -> TimeUnit {
        let units =
            [("ms", 1.0, 1_500.0), ("s", 1e3, 3e5), ("min", 6e4, 1.08e7), ("h", 3.6e6, 2.6e8)];
        units
            .into_iter()
            .find(|(_, _, limit)| ms <= *limit)
            .map_or(TimeUnit { name: "d", ms: 8.64e7 }, |(name, ms, _)| TimeUnit { name, ms })
    }

    /// A time in this unit.
    pub fn of(&self, ms: u64) -> f64 {
        ms as f64 / self.ms
    }
}

/// A number on an axis: no more digits than it needs.
pub fn label(value: f64) -> String {
    let digits = format!("{value:.3}");
    let short = digits.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".into() } else { short.to_owned() }
}

/// A number in a sentence: three digits that count.
pub fn rounded(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 || v == 0.0 => 2,
        _ => 3,
    };
    label(format!("{value:.digits$}").parse().unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks(0.0, 95.0, 6), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(
            ticks(0.0, 1.0, 5).iter().map(|t| label(*t)).collect::<Vec<_>>(),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
        assert_eq!(ticks(3.0, 3.0, 5), [3.0]);
    }

    #[test]
    fn things_that_are_counted_have_whole_ticks() {
        assert_eq!(whole_ticks(1.0, 5), [0.0, 1.0]);
        assert_eq!(whole_ticks(3.0, 5), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(whole_ticks(1_000.0, 5), [0.0, 200.0, 400.0, 600.0, 800.0, 1_000.0]);
    }

    #[test]
    fn a_unit_suits_its_span() {
        let names = [900.0, 95_000.0, 1.2e6, 8e7, 1e9].map(|ms| TimeUnit::for_span(ms).name);
        assert_eq!(names, ["ms", "s", "min", "h", "d"]);
    }

    #[test]
    fn numbers_have_three_digits_that_count() {
        assert_eq!(
            [123.4, 12.34, 1.234, 0.1234, 0.0].map(rounded),
            ["123", "12.3", "1.23", "0.123", "0"]
        );
    }
}
