//! Durations as people write and read them: `90 s`, `1 h`, `1 min 30 s`.
//! Not clocks.

/// Reads `500 ms`, `90 s`, `2 min`, `1 h`, `3 d`, also `1h30m`; the answer is in milliseconds.
pub fn read_ms(text: &str) -> Result<u64, String> {
    let mut rest = text.trim();
    let mut total_ms = 0u64;
    if rest.is_empty() {
        return Err(malformed(text));
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| malformed(text))?;
        let after = rest[digits..].trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let unit_ms = unit_ms(&after[..letters]).ok_or_else(|| malformed(text))?;
        total_ms = number
            .checked_mul(unit_ms)
            .and_then(|ms| total_ms.checked_add(ms))
            .ok_or_else(|| malformed(text))?;
        rest = after[letters..].trim_start();
    }
    Ok(total_ms)
}

/// For people: two units at most.
pub fn show_ms(ms: u64) -> String {
    let (seconds, minutes, hours) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", seconds, ms % 1_000 / 100),
        10_000..60_000 => format!("{seconds} s"),
        60_000..3_600_000 => format!("{minutes} min {:02} s", seconds % 60),
        3_600_000..172_800_000 => format!("{hours} h {:02} min", minutes % 60),
        172_800_000.. => format!("{} d {:02} h", hours / 24, hours % 24),
    }
}

/// For a clock that goes on: no fractions of a second.
pub fn show_clock(ms: u64) -> String {
    match ms {
        0..60_000 => format!("{} s", ms / 1_000),
        60_000.. => show_ms(ms),
    }
}

fn unit_ms(unit: &str) -> Option<u64> {
    match unit {
        "ms" => Some(1),
        "s" | "sec" => Some(1_000),
        "m" | "min" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    }
}

fn malformed(text: &str) -> String {
    format!("`{text}` is no duration; write for example `90 s`, `5 min`, `1 h` or `1h30m`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(read_ms("90 s"), Ok(90_000));
        assert_eq!(read_ms("1h30m"), Ok(5_400_000));
        assert_eq!(read_ms("500ms"), Ok(500));
    }

    #[test]
    fn a_duration_without_unit_or_out_of_range_is_refused() {
        for text in
            ["", "90", "s", "1 y", "-1 s", "99999999999999999999 s", "18446744073709551615 d"]
        {
            assert!(read_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_in_two_units_at_most() {
        let shown: Vec<String> =
            [900, 1_250, 42_000, 187_000, 7_260_000, 200_000_000].map(show_ms).into();
        assert_eq!(shown, ["900 ms", "1.2 s", "42 s", "3 min 07 s", "2 h 01 min", "2 d 07 h"]);
    }
}
