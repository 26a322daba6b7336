//! Matching names against `*` and `?`.
//!
//! Not regular expressions, and no `[...]`: in a host set brackets are ranges.

/// Whether a text has a wildcard.
pub(super) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether the whole of `name` matches: `*` stands for any text, `?` for one character.
pub(super) fn matches(mask: &str, name: &str) -> bool {
    let (mask, name): (Vec<char>, Vec<char>) = (mask.chars().collect(), name.chars().collect());
    let (mut m, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match mask.get(m) {
            Some('*') => {
                star = Some((m, n));
                m += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                m += 1;
                n += 1;
            }
            Some(_) | None => match star {
                // The last star takes one character more, and the rest is tried again.
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    m = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    mask[m..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        for (mask, name) in [
            ("*", ""),
            ("n*", "n1"),
            ("*-ib?", "n12-ib0"),
            ("a*b*c", "aXbYbZc"),
            ("??", "é1"),
            ("n**", "n"),
        ] {
            assert!(matches(mask, name), "{mask} {name}");
        }
        for (mask, name) in [("n?", "n"), ("n?", "n12"), ("a*b", "abc"), ("", "a"), ("N1", "n1")] {
            assert!(!matches(mask, name), "{mask} {name}");
        }
    }
}
