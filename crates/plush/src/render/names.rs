//! Names of hosts, folded: `node[1-40,42]`, and never longer than a line can bear.
//! Not the grammar: that is `plush_spec::hostset`.

use crate::render::text;
use plush_spec::hostset::HostSet;

/// All the names, folded and escaped.
pub fn fold<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    text::shown(&names.into_iter().collect::<HostSet>().fold())
}

/// The names, folded, in about `width` characters; what does not fit is counted: `node[1-3,9] and 12 more`.
pub fn fold_within(names: &[&str], width: usize) -> String {
    let mut kept = names.len();
    loop {
        let folded = fold(names[..kept].iter().copied());
        let left_out = names.len() - kept;
        let whole = if left_out == 0 { folded } else { format!("{folded} and {left_out} more") };
        if whole.chars().count() <= width {
            return whole;
        }
        if kept <= 1 {
            return text::cut(&whole, width.max(SHORTEST)).into_owned();
        }
        kept = kept.div_ceil(2).min(kept - 1);
    }
}

/// Fewer characters than this are of no use for names.
const SHORTEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_are_all_there() {
        assert_eq!(fold_within(&["n1", "n2", "n3", "m"], 20), "m,n[1-3]");
    }

    #[test]
    fn names_that_do_not_fit_are_counted() {
        let names: Vec<String> = (0..40)
            .map(|i| format!("host-{}", (b'a' + i % 26) as char).repeat(1 + i as usize / 26))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let folded = fold_within(&names, 40);
        assert!(folded.chars().count() <= 40, "{folded}");
        assert!(folded.ends_with("more"), "{folded}");
    }

    #[test]
    fn a_single_name_of_any_length_is_cut() {
        let long = "x".repeat(500);
        assert_eq!(fold_within(&[&long], 20), format!("{}...", "x".repeat(17)));
    }

    #[test]
    fn a_hostile_name_is_escaped() {
        assert_eq!(fold(["a\u{1b}[2J"]), "a\\x1b[2J");
    }
}
