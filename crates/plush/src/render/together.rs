//! How well those whom a barrier let go went on at one instant, in words.
//! Not where the words stand: summaries, tables and pages say them.

use plush_protocol::view::TogetherView;

/// How many, how late the last was, how far first and last are apart, and how surely that is known.
pub fn words(together: &TogetherView) -> String {
    let TogetherView { started, expected, uncertainty_us, .. } = together;
    if *started == 0 {
        return format!("0 of {expected} went on together so far");
    }
    format!(
        "{started} of {expected} went on together, {} (± {})",
        skew(together),
        ms(i64::try_from(*uncertainty_us).unwrap_or(i64::MAX)),
    )
}

/// The two figures without their uncertainty.
pub fn skew(together: &TogetherView) -> String {
    format!("the last {} after the instant, {} apart", ms(together.last_us), spread(together))
}

/// From the first to the last.
pub fn spread(together: &TogetherView) -> String {
    ms(i64::try_from(together.spread_us).unwrap_or(i64::MAX))
}

fn ms(us: i64) -> String {
    format!("{:.1} ms", us as f64 / 1_000.0)
}
