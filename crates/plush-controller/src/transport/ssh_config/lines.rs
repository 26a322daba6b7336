//! The lines of ssh_config files, read once: keyword, arguments, place, included files.
//!
//! Not their meaning for a host: evaluation asks these lines again for each host.

use std::path::{Path, PathBuf};

/// Depth of `Include` as in OpenSSH.
const MAX_INCLUDE_DEPTH: usize = 16;
/// A configuration longer than this is not one.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// One file, with what it includes in place.
#[derive(Debug, Default)]
pub(crate) struct ConfigText {
    pub items: Vec<Item>,
}

#[derive(Debug)]
pub(crate) enum Item {
    Line(Line),
    Include(Vec<ConfigText>),
    /// A line or file that could not be read: why.
    Unreadable(String),
}

#[derive(Debug)]
pub(crate) struct Line {
    /// Lower case.
    pub keyword: String,
    pub args: Vec<String>,
    pub place: String,
}

/// Where relative includes and `~` point.
#[derive(Clone, Debug)]
pub(crate) struct Bases {
    pub home: PathBuf,
    pub relative: PathBuf,
}

/// Reads a file; one that does not exist is empty.
pub(crate) fn read_file(path: &Path, bases: &Bases, depth: usize) -> ConfigText {
    match read_text(path) {
        Ok(Some(text)) => parse(&text, &path.display().to_string(), bases, depth),
        Ok(None) => ConfigText::default(),
        Err(why) => ConfigText { items: vec![Item::Unreadable(why)] },
    }
}

fn read_text(path: &Path) -> Result<Option<String>, String> {
    let named = |e: std::io::Error| format!("read {}: {e}", path.display());
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(named(e)),
        Ok(meta) if !meta.is_file() || meta.len() > MAX_FILE_BYTES => {
            return Err(format!("read {}: not a configuration file", path.display()));
        }
        Ok(_) => {}
    }
    let bytes = std::fs::read(path).map_err(named)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Reads a text; `name` is what messages call it.
pub(crate) fn parse(text: &str, name: &str, bases: &Bases, depth: usize) -> ConfigText {
    let mut items = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let place = format!("{name}:{}", index + 1);
        match split_line(raw) {
            Ok(None) => {}
            Ok(Some((keyword, args))) if keyword == "include" => {
                items.push(include(&args, &place, bases, depth))
            }
            Ok(Some((keyword, args))) => items.push(Item::Line(Line { keyword, args, place })),
            Err(why) => items.push(Item::Unreadable(format!("{place}: {why}"))),
        }
    }
    ConfigText { items }
}

fn include(args: &[String], place: &str, bases: &Bases, depth: usize) -> Item {
    if depth >= MAX_INCLUDE_DEPTH {
        return Item::Unreadable(format!("{place}: too many nested includes"));
    }
    let mut files = Vec::new();
    for arg in args {
        let path = match arg.strip_prefix("~/") {
            Some(rest) => bases.home.join(rest),
            None => bases.relative.join(arg),
        };
        files.extend(expand_glob(&path).iter().map(|file| read_file(file, bases, depth + 1)));
    }
    Item::Include(files)
}

/// Files that a path with `*`, `?` or `[...]` in its components names, sorted.
fn expand_glob(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in path.components() {
        let text = component.as_os_str().to_string_lossy().into_owned();
        found = found.into_iter().flat_map(|base| expand_component(&base, &text)).collect();
    }
    found
}

fn expand_component(base: &Path, pattern: &str) -> Vec<PathBuf> {
    if !pattern.contains(['*', '?', '[']) {
        return vec![base.join(pattern)];
    }
    let mut names: Vec<String> = std::fs::read_dir(base)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            (!name.starts_with('.') || pattern.starts_with('.')) && glob_matches(name, pattern)
        })
        .collect();
    names.sort();
    names.into_iter().map(|name| base.join(name)).collect()
}

/// A path component's pattern, with `[a-z]` and `[!a]` beside `*` and `?`.
fn glob_matches(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<char>, Vec<char>) =
        (name.chars().collect(), pattern.chars().collect());
    glob_from(&name, &pattern)
}

fn glob_from(name: &[char], pattern: &[char]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, name) => name.is_none(),
        (Some(('*', rest)), _) => (0..=name.len()).any(|skip| glob_from(&name[skip..], rest)),
        (Some(_), None) => false,
        (Some(('?', rest)), Some((_, name))) => glob_from(name, rest),
        (Some(('[', rest)), Some((c, name))) => match rest.iter().skip(1).position(|p| *p == ']') {
            Some(end) => in_set(*c, &rest[..=end]) && glob_from(name, &rest[end + 2..]),
            None => *c == '[' && glob_from(name, rest),
        },
        (Some((p, rest)), Some((c, name))) => p == c && glob_from(name, rest),
    }
}

fn in_set(c: char, set: &[char]) -> bool {
    let (negated, set) = match set.split_first() {
        Some(('!' | '^', rest)) => (true, rest),
        _ => (false, set),
    };
    let mut at = 0;
    let mut found = false;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == '-' {
            found |= (set[at]..=set[at + 2]).contains(&c);
            at += 3;
        } else {
            found |= set[at] == c;
            at += 1;
        }
    }
    found != negated
}

/// Keyword and arguments; `None` for an empty line or a comment.
fn split_line(raw: &str) -> Result<Option<(String, Vec<String>)>, String> {
    let line = raw.trim_matches([' ', '\t', '\r', '\x0c']);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find([' ', '\t', '=', '"']).unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start_matches([' ', '\t']);
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let args = split_args(rest)?;
    Ok(Some((keyword.to_ascii_lowercase(), args)))
}

/// Words with quotes; a `#` that begins a word begins a comment.
fn split_args(text: &str) -> Result<Vec<String>, String> {
    let mut args = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        match chars.peek() {
            None | Some('#') => return Ok(args),
            Some(_) => args.push(next_word(&mut chars)?),
        }
    }
}

fn next_word(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut word = String::new();
    let mut quote: Option<char> = None;
    while let Some(&c) = chars.peek() {
        match (quote, c) {
            (None, ' ' | '\t') => return Ok(word),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (_, '\\') => {
                chars.next();
                match chars.peek() {
                    Some(&next)
                        if matches!(next, '"' | '\'' | '\\')
                            || (quote.is_none() && next == ' ') =>
                    {
                        word.push(next);
                    }
                    Some(_) | None => {
                        word.push('\\');
                        continue;
                    }
                }
            }
            (_, c) => word.push(c),
        }
        chars.next();
    }
    match quote {
        None => Ok(word),
        Some(_) => Err("a quote is not closed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_split_as_openssh_does() {
        let split = |line| split_line(line).unwrap().map(|(k, a)| (k, a.join("|")));
        let some = |k: &str, a: &str| Some((k.to_owned(), a.to_owned()));
        assert_eq!(split("  HostName = a b"), some("hostname", "a|b"));
        assert_eq!(split("Port=22"), some("port", "22"));
        assert_eq!(split("IdentityFile \"~/a b\" # why"), some("identityfile", "~/a b"));
        assert_eq!(split("# HostName x"), None);
        assert!(split_line("User \"ann").is_err());
    }

    #[test]
    fn included_files_may_be_named_by_patterns() {
        assert!(glob_matches("10-a.conf", "*.conf"));
        assert!(glob_matches("b1", "[a-c][!5]"));
        assert!(!glob_matches("b5", "[a-c][!5]"));
    }
}
