//! Patterns of ssh_config and known_hosts: `*`, `?`, lists with `!`.
//!
//! Not a path glob: `*` matches everything, also dots and slashes.

/// Whether one pattern matches; case matters.
pub(crate) fn matches_pattern(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let (mut t, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            Some(_) | None => {
                let Some((star_p, star_t)) = star else { return false };
                star = Some((star_p, star_t + 1));
                p = star_p + 1;
                t = star_t + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Whether a list matches: one pattern does, and no pattern with `!` does.
pub(crate) fn matches_list(text: &str, patterns: impl Iterator<Item = String>) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(not) if matches_pattern(text, not) => return false,
            Some(_) => {}
            None => found |= matches_pattern(text, &pattern),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match_as_in_openssh() {
        for (text, pattern, expected) in [
            ("web1", "web*", true),
            ("web", "web*", true),
            ("web1.example", "*.example", true),
            ("web", "w?b", true),
            ("wb", "w?b", false),
            ("abcbc", "*bc", true),
            ("abcbd", "a*bc", false),
            ("", "*", true),
            ("", "?", false),
            ("Web", "web", false),
        ] {
            assert_eq!(matches_pattern(text, pattern), expected, "{text} {pattern}");
        }
    }
}
