//! A pattern for relative paths: `*`, `?`, `[...]` within a component, `**` for any number of
//! components, `{a,b}` for alternatives.
//!
//! Not the shell's: no tilde, no variables, and a name that begins with a dot is an ordinary name
//! only where the pattern's component begins with a dot too.

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The expansions of its braces; a path matches if one of them matches.
    alternatives: Vec<Alternative>,
}

/// A pattern without braces.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    parts: Vec<Part>,
}

/// Maximum number of patterns that braces expand to.
const ALTERNATIVES_MAX: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Any,
    Name(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    One,
    Many,
    Set { negated: bool, ranges: Vec<(u8, u8)> },
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is empty, or longer than 4095 bytes.
    #[error("a pattern must have 1 to 4095 bytes")]
    Length,
    /// It begins with a slash or has a component `..`.
    #[error("a pattern must stay beneath its directory: no leading `/`, no `..`")]
    Outside,
    /// A `[` without its `]`.
    #[error("a `[` without its `]`")]
    OpenSet,
    /// Braces that expand to more than 1000 patterns.
    #[error("its braces stand for more than {ALTERNATIVES_MAX} patterns")]
    Braces,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The text is not a pattern, or leads out of its directory.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        if text.is_empty() || text.len() > 4095 {
            return Err(PatternError::Length);
        }
        let texts = without_braces(text)?;
        let alternatives: Result<_, _> =
            texts.iter().map(|text| Alternative::parse(text)).collect();
        alternatives.map(|alternatives| Pattern { alternatives })
    }

    /// Whether the pattern matches the whole path, given by its components.
    pub fn matches(&self, path: &[&[u8]]) -> bool {
        self.alternatives.iter().any(|alternative| alternative.matches(path))
    }

    /// Whether the pattern can match something beneath the directory with these components.
    pub fn leads_into(&self, directory: &[&[u8]]) -> bool {
        self.alternatives.iter().any(|alternative| alternative.leads_into(directory))
    }

    /// Whether the pattern matches this directory with everything beneath it: its name is literal,
    /// without `*`, `?` and `[...]`.
    pub fn names_whole(&self, directory: &[&[u8]]) -> bool {
        let named = |a: &&Alternative| a.ends_in_plain_name() && a.matches(directory);
        self.alternatives.iter().any(|alternative| named(&alternative))
    }
}

/// Expands the braces of a text. An unmatched brace, or braces without a comma, are plain
/// characters.
fn without_braces(text: &str) -> Result<Vec<String>, PatternError> {
    let (mut waiting, mut found) = (vec![text.to_owned()], Vec::new());
    while let Some(text) = waiting.pop() {
        match first_braces(&text) {
            None => found.push(text),
            Some((start, end, choices)) => {
                let whole = |choice: &str| format!("{}{choice}{}", &text[..start], &text[end..]);
                waiting.extend(choices.into_iter().rev().map(whole));
            }
        }
        if waiting.len() + found.len() > ALTERNATIVES_MAX {
            return Err(PatternError::Braces);
        }
    }
    Ok(found)
}

/// The range of the first pair of braces with a comma, and the text between its commas.
fn first_braces(text: &str) -> Option<(usize, usize, Vec<&str>)> {
    let opens = text.match_indices('{').map(|(at, _)| at);
    opens.into_iter().find_map(|start| {
        let (mut depth, mut commas) = (0, vec![start]);
        for (at, character) in text[start..].char_indices().map(|(at, c)| (start + at, c)) {
            match character {
                '{' => depth += 1,
                '}' if depth == 1 && commas.len() > 1 => {
                    commas.push(at);
                    let choices = commas.windows(2).map(|two| &text[two[0] + 1..two[1]]);
                    return Some((start, at + 1, choices.collect()));
                }
                '}' if depth == 1 => return None,
                '}' => depth -= 1,
                ',' if depth == 1 => commas.push(at),
                _ => {}
            }
        }
        None
    })
}

impl Alternative {
    fn parse(text: &str) -> Result<Alternative, PatternError> {
        if text.starts_with('/') {
            return Err(PatternError::Outside);
        }
        let mut parts = Vec::new();
        for component in text.split('/') {
            match component {
                "" | "." => {}
                ".." => return Err(PatternError::Outside),
                "**" if parts.last() == Some(&Part::Any) => {}
                "**" => parts.push(Part::Any),
                component => parts.push(Part::Name(tokens(component.as_bytes())?)),
            }
        }
        if parts.is_empty() { Err(PatternError::Length) } else { Ok(Alternative { parts }) }
    }

    fn ends_in_plain_name(&self) -> bool {
        let is_plain = |token: &Token| matches!(token, Token::Byte(_));
        matches!(self.parts.last(), Some(Part::Name(tokens)) if tokens.iter().all(is_plain))
    }

    fn matches(&self, path: &[&[u8]]) -> bool {
        self.states(path).last() == Some(&true)
    }

    fn leads_into(&self, directory: &[&[u8]]) -> bool {
        let states = self.states(directory);
        states[..self.parts.len()].contains(&true)
    }

    /// Which parts may come next after the path: a set of positions, so that no pattern takes longer than its length times the path's.
    fn states(&self, path: &[&[u8]]) -> Vec<bool> {
        let mut states = vec![false; self.parts.len() + 1];
        states[0] = true;
        self.skip_any(&mut states);
        for component in path {
            let mut next = vec![false; states.len()];
            for (at, part) in self.parts.iter().enumerate().filter(|(at, _)| states[*at]) {
                match part {
                    Part::Any if !component.starts_with(b".") => next[at] = true,
                    Part::Any => {}
                    Part::Name(tokens) => next[at + 1] |= name_matches(tokens, component),
                }
            }
            self.skip_any(&mut next);
            states = next;
        }
        states
    }

    fn skip_any(&self, states: &mut [bool]) {
        for (at, part) in self.parts.iter().enumerate() {
            if states[at] && *part == Part::Any {
                states[at + 1] = true;
            }
        }
    }
}

fn tokens(component: &[u8]) -> Result<Vec<Token>, PatternError> {
    let mut tokens = Vec::new();
    let mut rest = component;
    while let [first, after @ ..] = rest {
        rest = after;
        tokens.push(match first {
            b'*' => Token::Many,
            b'?' => Token::One,
            b'[' => set(&mut rest)?,
            byte => Token::Byte(*byte),
        });
    }
    Ok(tokens)
}

fn set(rest: &mut &[u8]) -> Result<Token, PatternError> {
    let all: &[u8] = rest;
    let negated = matches!(all.first(), Some(b'!' | b'^'));
    let body = if negated { &all[1..] } else { all };
    // A `]` that comes first is an ordinary member.
    let end = body.iter().skip(1).position(|byte| *byte == b']').ok_or(PatternError::OpenSet)? + 1;
    let mut members = &body[..end];
    let mut ranges = Vec::new();
    while let [low, after @ ..] = members {
        match after {
            [b'-', high, after @ ..] => {
                ranges.push((*low, *high));
                members = after;
            }
            after => {
                ranges.push((*low, *low));
                members = after;
            }
        }
    }
    *rest = &body[end + 1..];
    Ok(Token::Set { negated, ranges })
}

/// Goes back to the last `*` only, which is enough and keeps the work bounded by the product of the lengths.
fn name_matches(tokens: &[Token], name: &[u8]) -> bool {
    if name.starts_with(b".") && tokens.first() != Some(&Token::Byte(b'.')) {
        return false;
    }
    let (mut token, mut at, mut star) = (0, 0, None);
    while at < name.len() {
        match tokens.get(token) {
            Some(Token::Many) => {
                star = Some((token, at));
                token += 1;
            }
            Some(single) if single.fits(name[at]) => {
                token += 1;
                at += 1;
            }
            _ => match star {
                Some((star_token, star_at)) => {
                    star = Some((star_token, star_at + 1));
                    (token, at) = (star_token + 1, star_at + 1);
                }
                None => return false,
            },
        }
    }
    tokens[token..].iter().all(|token| *token == Token::Many)
}

impl Token {
    fn fits(&self, byte: u8) -> bool {
        match self {
            Token::Byte(wanted) => *wanted == byte,
            Token::One => true,
            Token::Many => false,
            Token::Set { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *negated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(pattern: &str, path: &str) -> bool {
        let components: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
        Pattern::parse(pattern).unwrap().matches(&components)
    }

    #[test]
    fn patterns_mean_what_they_say() {
        for (pattern, path) in [
            ("a", "a"),
            ("*", "a"),
            ("*.log", "x.log"),
            ("a/*/c", "a/b/c"),
            ("**/c", "c"),
            ("**/c", "a/b/c"),
            ("a/**", "a/b/c"),
            ("a/**/c", "a/c"),
            ("[a-c]?", "bz"),
            ("[!a]", "b"),
            ("[]]", "]"),
            ("[^]]", "a"),
            (".*", ".x"),
            ("./a//b", "a/b"),
            ("*a*b*", "xxaxxbxx"),
            ("[a-]", "-"),
            ("**", "a/b"),
            ("{a,b}.txt", "a.txt"),
            ("{a,b}.txt", "b.txt"),
            ("x{,.gz}", "x.gz"),
            ("{a,{b,c}d}/e", "cd/e"),
            ("a{b}", "a{b}"),
            ("{a{b,c}", "{ac"),
        ] {
            assert!(check(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("a", "b"),
            ("*", "a/b"),
            ("*", ".hidden"),
            ("**", ".hidden/x"),
            ("a/**", ".a"),
            ("[!a]", "a"),
            ("*a*b", "xxaxxbxx"),
            ("a/**/c", "a/b"),
            ("?", ""),
            ("[a-c]", "d"),
            ("a/*", "a"),
        ] {
            assert!(!check(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn only_directories_that_may_lead_to_a_match_are_entered() {
        let leads = |pattern: &str, directory: &str| {
            let components: Vec<&[u8]> = directory.split('/').map(str::as_bytes).collect();
            Pattern::parse(pattern).unwrap().leads_into(&components)
        };
        assert!(leads("a/b/*.log", "a") && leads("a/b/*.log", "a/b") && leads("**/x", "q/r"));
        assert!(
            !leads("a/b/*.log", "b") && !leads("a/b/*.log", "a/b/c") && !leads("*.log", "x.log")
        );
    }

    #[test]
    fn what_leaves_its_directory_is_no_pattern() {
        for (text, error) in [
            ("", PatternError::Length),
            ("/a", PatternError::Outside),
            ("a/../b", PatternError::Outside),
            ("{a,/b}", PatternError::Outside),
            ("{a,..}/b", PatternError::Outside),
            ("[a", PatternError::OpenSet),
            ("[]", PatternError::OpenSet),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_directory_is_meant_as_a_whole_only_if_its_name_is_written_out() {
        let whole = |pattern: &str, directory: &str| {
            let components: Vec<&[u8]> = directory.split('/').map(str::as_bytes).collect();
            Pattern::parse(pattern).unwrap().names_whole(&components)
        };
        assert!(whole("logs", "logs") && whole("logs/", "logs") && whole("*/{x,y}", "a/y"));
        assert!(!whole("*", "logs") && !whole("log?", "logs") && !whole("**", "logs"));
    }

    #[test]
    fn no_pattern_takes_exponential_time() {
        assert_eq!(Pattern::parse(&"{a,b}".repeat(20)), Err(PatternError::Braces));
        assert!(!check(&"*a".repeat(1000), &"a".repeat(900)));
        assert!(!check(&format!("{}x", "**/a/".repeat(200)), &vec!["a"; 150].join("/")));
    }
}
