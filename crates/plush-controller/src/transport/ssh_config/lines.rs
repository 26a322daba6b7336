//! The lines of ssh_config files, read once: keyword, arguments, place, included files.
//!
//! Not their meaning for a host: evaluation applies these lines to each host. Parsing follows
//! `readconf.c`, on bytes; an ambiguous line is unreadable.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::keywords;

/// Depth of `Include` as in OpenSSH.
const MAX_INCLUDE_DEPTH: usize = 16;
/// Maximum size of a configuration file.
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
    /// Why a line or file could not be read. It concerns every host, as in OpenSSH.
    Unreadable(String),
}

#[derive(Debug)]
pub(crate) struct Line {
    /// Lower case.
    pub keyword: String,
    /// At least one.
    pub args: Vec<Vec<u8>>,
    /// All after the keyword, as written: some keywords are not split into words.
    pub rest: Vec<u8>,
    pub place: String,
    /// Splitting with and without shell-like quotes yields the same words.
    pub is_plain: bool,
}

impl Line {
    /// The first argument, if it is text.
    pub(crate) fn first(&self) -> Option<&str> {
        self.args.first().and_then(|arg| std::str::from_utf8(arg).ok())
    }
}

/// Where relative includes and `~` point.
#[derive(Clone, Debug)]
pub(crate) struct Bases {
    pub home: PathBuf,
    pub relative: PathBuf,
    /// A system configuration may not include below `~`.
    pub is_system: bool,
}

/// Whether the owner and the mode of a file matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permissions {
    /// Refused if another user owns it or may write it, unless that user is root.
    Checked,
    /// As for the file of `-F` and the system's own.
    Any,
}

/// Reads a file; one that does not exist is empty.
pub(crate) fn read_file(
    path: &Path,
    bases: &Bases,
    permissions: Permissions,
    depth: usize,
) -> ConfigText {
    match read_bytes(path, permissions) {
        Ok(Some(text)) => parse(&text, &path.display().to_string(), bases, depth),
        Ok(None) => ConfigText::default(),
        Err(why) => ConfigText { items: vec![Item::Unreadable(why)] },
    }
}

fn read_bytes(path: &Path, permissions: Permissions) -> Result<Option<Vec<u8>>, String> {
    let named = |e: std::io::Error| format!("read {}: {e}", path.display());
    // A pipe or a device would block here.
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(named(e)),
        Ok(_) if path == Path::new("/dev/null") => return Ok(None),
        Ok(meta) if !meta.is_file() || meta.len() > MAX_FILE_BYTES => {
            return Err(format!("read {}: not a configuration file", path.display()));
        }
        Ok(_) => {}
    }
    let file = File::open(path).map_err(named)?;
    let meta = file.metadata().map_err(named)?;
    let is_ours = meta.uid() == 0 || meta.uid() == rustix::process::getuid().as_raw();
    if permissions == Permissions::Checked && (!is_ours || meta.mode() & 0o022 != 0) {
        return Err(format!(
            "{}: another user owns it or may write it (owner {}, mode {:04o})",
            path.display(),
            meta.uid(),
            meta.mode() & 0o7777
        ));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(named)?;
    Ok(Some(bytes))
}

/// Reads a text; `name` is what messages call it.
pub(crate) fn parse(text: &[u8], name: &str, bases: &Bases, depth: usize) -> ConfigText {
    let mut items = Vec::new();
    for (index, raw) in text.split(|byte| *byte == b'\n').enumerate() {
        let place = format!("{name}:{}", index + 1);
        match split_line(raw, place.clone()) {
            Ok(None) => {}
            Ok(Some(line)) if line.keyword == "include" => items.push(include(&line, bases, depth)),
            Ok(Some(line)) => items.push(match keywords::fault(&line) {
                Some(why) => Item::Unreadable(format!("{place}: {why}")),
                None => Item::Line(line),
            }),
            Err(why) => items.push(Item::Unreadable(format!("{place}: {why}"))),
        }
    }
    ConfigText { items }
}

fn include(line: &Line, bases: &Bases, depth: usize) -> Item {
    let unreadable = |why: &str| Item::Unreadable(format!("{}: {why}", line.place));
    if depth >= MAX_INCLUDE_DEPTH {
        return unreadable("too many nested includes");
    }
    let mut files = Vec::new();
    for arg in &line.args {
        // Newer versions of ssh expand tokens and variables here, older ones do not.
        if arg.is_empty() || arg.iter().any(|byte| matches!(byte, b'%' | b'$' | b'\\')) {
            return unreadable("Include has a value that Plush does not understand");
        }
        let path = match arg.strip_prefix(b"~/") {
            Some(_) if bases.is_system => return unreadable("a system file may not include ~"),
            Some(rest) => bases.home.join(OsString::from_vec(rest.to_vec())),
            None if arg.starts_with(b"~") => return unreadable("Include of another user's home"),
            None => bases.relative.join(OsString::from_vec(arg.clone())),
        };
        let read = |file: &PathBuf| read_file(file, bases, Permissions::Checked, depth + 1);
        files.extend(expand_glob(&path).iter().map(read));
    }
    Item::Include(files)
}

/// Files that a path with `*`, `?` or `[...]` in its components names, sorted.
fn expand_glob(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in path.components() {
        let pattern = component.as_os_str().as_bytes();
        found = found.into_iter().flat_map(|base| expand_component(&base, pattern)).collect();
    }
    found
}

fn expand_component(base: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    if !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
        return vec![base.join(OsString::from_vec(pattern.to_vec()))];
    }
    let mut names: Vec<OsString> = std::fs::read_dir(base)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| {
            let name = name.as_bytes();
            (!name.starts_with(b".") || pattern.starts_with(b".")) && glob_matches(name, pattern)
        })
        .collect();
    names.sort();
    names.into_iter().map(|name| base.join(name)).collect()
}

/// A path component's pattern, with `[a-z]` and `[!a]` beside `*` and `?`.
fn glob_matches(name: &[u8], pattern: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, name) => name.is_none(),
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skip| glob_matches(&name[skip..], rest)),
        (Some(_), None) => false,
        (Some((b'?', rest)), Some((_, name))) => glob_matches(name, rest),
        (Some((b'[', rest)), Some((c, name))) => {
            match rest.iter().skip(1).position(|p| *p == b']') {
                Some(end) => in_set(*c, &rest[..=end]) && glob_matches(name, &rest[end + 2..]),
                None => *c == b'[' && glob_matches(name, rest),
            }
        }
        (Some((p, rest)), Some((c, name))) => p == c && glob_matches(name, rest),
    }
}

fn in_set(c: u8, set: &[u8]) -> bool {
    let (negated, set) = match set.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        _ => (false, set),
    };
    let mut at = 0;
    let mut found = false;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == b'-' {
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
fn split_line(raw: &[u8], place: String) -> Result<Option<Line>, String> {
    let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\x0c');
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let line = trim_start(raw, blank);
    let line = &line[..line.iter().rposition(|byte| !is_end(byte)).map_or(0, |at| at + 1)];
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(None);
    }
    if line.contains(&0) {
        return Err("the line has a zero byte".to_owned());
    }
    let end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'=' | b'"');
    let (keyword, rest) = line.split_at(line.iter().position(end).unwrap_or(line.len()));
    if keyword.is_empty() || rest.starts_with(b"\"") {
        return Err("the keyword is quoted or missing".to_owned());
    }
    let keyword = String::from_utf8(keyword.to_ascii_lowercase())
        .map_err(|_| "the keyword is not text".to_owned())?;
    let rest = trim_start(rest, blank);
    let rest = trim_start(rest.strip_prefix(b"=").unwrap_or(rest), blank);
    if rest.is_empty() {
        return Err(format!("{keyword} has no value"));
    }
    let (args, is_plain) = split_args(rest)?;
    if args.is_empty() {
        return Err(format!("{keyword} has no value"));
    }
    Ok(Some(Line { keyword, args, rest: rest.to_vec(), place, is_plain }))
}

fn trim_start(bytes: &[u8], blank: impl Fn(&u8) -> bool) -> &[u8] {
    &bytes[bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len())..]
}

/// Words with quotes, and whether another reading of the quotes would split them alike. A `#` that
/// begins a word begins a comment.
fn split_args(text: &[u8]) -> Result<(Vec<Vec<u8>>, bool), String> {
    let mut args = Vec::new();
    let mut is_plain = true;
    let mut rest = text;
    loop {
        rest = trim_start(rest, |byte| matches!(byte, b' ' | b'\t'));
        if rest.is_empty() || rest.starts_with(b"#") {
            return Ok((args, is_plain));
        }
        let (word, length) = next_word(rest)?;
        is_plain &= is_plain_word(&rest[..length]);
        args.push(word);
        rest = &rest[length..];
    }
}

/// A word without quotes and backslashes, or one in double quotes as a whole.
fn is_plain_word(raw: &[u8]) -> bool {
    let inner = match raw {
        [b'"', inner @ .., b'"'] => inner,
        raw => raw,
    };
    !inner.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'\\' | b'\r'))
}

/// One word, and how many bytes it takes.
fn next_word(text: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let mut word = Vec::new();
    let mut quote: Option<u8> = None;
    let mut at = 0;
    while let Some(&c) = text.get(at) {
        match (quote, c, text.get(at + 1)) {
            (None, b' ' | b'\t', _) => return Ok((word, at)),
            (None, b'"' | b'\'', _) => quote = Some(c),
            (Some(open), c, _) if c == open => quote = None,
            (_, b'\\', Some(&next))
                if matches!(next, b'"' | b'\'' | b'\\') || (quote.is_none() && next == b' ') =>
            {
                word.push(next);
                at += 1;
            }
            (_, c, _) => word.push(c),
        }
        at += 1;
    }
    match quote {
        None => Ok((word, at)),
        Some(_) => Err("a quote is not closed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn split(line: &str) -> Option<(String, String)> {
        let line = split_line(line.as_bytes(), String::new()).unwrap()?;
        let args: Vec<_> = line.args.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
        Some((line.keyword.clone(), args.join("|")))
    }

    #[test]
    fn lines_are_split_as_openssh_does() {
        let some = |k: &str, a: &str| Some((k.to_owned(), a.to_owned()));
        assert_eq!(split("  HostName = a b\r"), some("hostname", "a|b"));
        assert_eq!(split("Port=22"), some("port", "22"));
        assert_eq!(split("IdentityFile \"~/a b\" # why"), some("identityfile", "~/a b"));
        assert_eq!(split("User LAB\\ann"), some("user", "LAB\\ann"));
        assert_eq!(split("# HostName x"), None);
        for refused in ["User \"ann", "User", "User =", "User # ann", "Host\"x\" y", "= x"] {
            assert!(split_line(refused.as_bytes(), String::new()).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_path_is_bytes() {
        let line = split_line(b"IdentityFile /cl\xe9", String::new()).unwrap().unwrap();
        assert_eq!(line.args, [b"/cl\xe9".to_vec()]);
    }

    #[test]
    fn included_files_may_be_named_by_patterns() {
        assert!(glob_matches(b"10-a.conf", b"*.conf"));
        assert!(glob_matches(b"b1", b"[a-c][!5]"));
        assert!(!glob_matches(b"b5", b"[a-c][!5]"));
    }
}
