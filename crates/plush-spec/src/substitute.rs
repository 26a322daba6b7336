//! Replacing `${name}` in texts: once, from left to right, never looking again at what was put in.
//! It does not know where values come from; a [`Scope`] is made by whoever knows.
//!
//! `$${` is a literal `${`. A `$` before anything else stands for itself, so `$HOME` is left to
//! the shell. `${list[0]}` is one element of a list, `${list}` all of them with spaces between.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Variables that a task has beside those of the project; `hosts.CLUSTER` and `addresses.CLUSTER`
/// belong to them as well.
pub const TASK_VARIABLES: [&str; 7] =
    ["rank", "count", "host", "address", "cluster", "run", "item"];

/// Maximum size of an expanded text in bytes: a short text can name a long value many times.
pub const EXPANDED_BYTES_MAX: usize = 16 << 20;

/// What a variable stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A list of texts, which many scopes share.
    List(Arc<[String]>),
}

/// Variables and their values; a name that is not here is looked up in the scope around it.
#[derive(Debug, Clone, Default)]
pub struct Scope<'a> {
    around: Option<&'a Scope<'a>>,
    values: BTreeMap<String, Value>,
}

impl<'a> Scope<'a> {
    /// A scope without variables.
    pub fn new() -> Scope<'a> {
        Scope::default()
    }

    /// A scope of a project's variables.
    pub fn of_project(project: &crate::model::Project) -> Scope<'static> {
        let mut scope = Scope::new();
        for variable in &project.variables {
            scope.set(variable.name.as_str(), Value::Text(variable.value.clone()));
        }
        scope
    }

    /// An empty scope within this one.
    pub fn within(&'a self) -> Scope<'a> {
        Scope { around: Some(self), values: BTreeMap::new() }
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_string(), value);
    }

    /// Sets a variable to a text.
    pub fn set_text(&mut self, name: &str, value: impl Into<String>) {
        self.set(name, Value::Text(value.into()));
    }

    /// What a variable stands for.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).or_else(|| self.around.and_then(|s| s.get(name)))
    }
}

/// Why a text could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubstituteError {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub fault: SubstituteFault,
}

/// What is wrong with a `${...}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubstituteFault {
    /// There is no `}`.
    Unclosed,
    /// What is between the braces is no variable's name.
    BadName(String),
    /// There is no such variable.
    Unknown(String),
    /// An element is asked of something that is no list.
    NoList(String),
    /// The list is shorter.
    OutOfRange {
        /// The list.
        name: String,
        /// What was asked for.
        index: usize,
        /// What it has.
        len: usize,
    },
    /// With its values the text has more than [`EXPANDED_BYTES_MAX`] bytes.
    TooLong,
}

impl std::fmt::Display for SubstituteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.fault {
            SubstituteFault::Unclosed => write!(f, "`${{` is never closed"),
            SubstituteFault::BadName(name) => write!(f, "`${{{name}}}` names no variable"),
            SubstituteFault::Unknown(name) => write!(f, "there is no variable `{name}`"),
            SubstituteFault::NoList(name) => write!(f, "`{name}` is no list"),
            SubstituteFault::OutOfRange { name, index, len } => {
                write!(f, "`{name}` has {len} elements, there is no [{index}]")
            }
            SubstituteFault::TooLong => {
                write!(f, "with its values the text has more than {} MiB", EXPANDED_BYTES_MAX >> 20)
            }
        }
    }
}

impl std::error::Error for SubstituteError {}

/// One `${...}` in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The variable.
    pub name: String,
    /// The element of it, if one is asked for.
    pub index: Option<usize>,
    /// Where in the text `${` is, in bytes.
    pub offset: usize,
    /// Length from `${` to `}`, in bytes.
    pub len: usize,
}

/// Which variables a text uses, in order.
///
/// # Errors
/// The first `${...}` that is not well formed.
pub fn uses(text: &str) -> Result<Vec<Use>, SubstituteError> {
    let mut found = Vec::new();
    for piece in pieces(text) {
        if let Piece::Use(used) = piece? {
            found.push(used);
        }
    }
    Ok(found)
}

/// Replaces every `${...}` of a text.
///
/// # Errors
/// The first use that is malformed, unknown, or makes the text too long.
pub fn expand(text: &str, scope: &Scope<'_>) -> Result<String, SubstituteError> {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece? {
            Piece::Literal(literal) => out.push_str(literal),
            Piece::Use(used) => push_value(&mut out, &used, look_up(&used, scope)?)?,
        }
    }
    Ok(out)
}

/// Appends the words of a value separated by spaces, within the size limit.
fn push_value(out: &mut String, used: &Use, words: &[String]) -> Result<(), SubstituteError> {
    let len = words.iter().map(|word| word.len() + 1).sum::<usize>();
    if out.len() + len > EXPANDED_BYTES_MAX {
        return Err(SubstituteError { offset: used.offset, fault: SubstituteFault::TooLong });
    }
    for (number, word) in words.iter().enumerate() {
        if number > 0 {
            out.push(' ');
        }
        out.push_str(word);
    }
    Ok(())
}

/// A piece of a text: literal text or a `${...}`.
pub(crate) enum Piece<'t> {
    Literal(&'t str),
    Use(Use),
}

/// Cuts a text into literals and uses; ends after the first error.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = Result<Piece<'_>, SubstituteError>> {
    let mut at = 0;
    let mut broken = false;
    std::iter::from_fn(move || {
        if broken || at >= text.len() {
            return None;
        }
        let rest = &text[at..];
        if rest.starts_with("$${") {
            at += 3;
            return Some(Ok(Piece::Literal(&rest[1..3])));
        }
        if rest.starts_with("${") {
            return Some(match read_use(rest, at) {
                Ok((used, len)) => {
                    at += len;
                    Ok(Piece::Use(used))
                }
                Err(error) => {
                    broken = true;
                    Err(error)
                }
            });
        }
        let step = rest.chars().next().map_or(1, char::len_utf8);
        let len = rest[step..].find('$').map_or(rest.len(), |i| i + step);
        at += len;
        Some(Ok(Piece::Literal(&rest[..len])))
    })
}

fn read_use(rest: &str, offset: usize) -> Result<(Use, usize), SubstituteError> {
    let fault = |fault| SubstituteError { offset, fault };
    let end = rest.find('}').ok_or_else(|| fault(SubstituteFault::Unclosed))?;
    let inside = &rest[2..end];
    let bad = || fault(SubstituteFault::BadName(inside.to_string()));
    let (name, index) = match inside.split_once('[') {
        Some((name, index)) => {
            let digits = index.strip_suffix(']').ok_or_else(bad)?;
            (name, Some(digits.parse::<usize>().map_err(|_| bad())?))
        }
        None => (inside, None),
    };
    let is_name = !name.is_empty()
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | ' '));
    if !is_name {
        return Err(bad());
    }
    Ok((Use { name: name.to_string(), index, offset, len: end + 1 }, end + 1))
}

pub(crate) fn look_up<'s>(
    used: &Use,
    scope: &'s Scope<'_>,
) -> Result<&'s [String], SubstituteError> {
    let fault = |fault| SubstituteError { offset: used.offset, fault };
    let value =
        scope.get(&used.name).ok_or_else(|| fault(SubstituteFault::Unknown(used.name.clone())))?;
    match (value, used.index) {
        (Value::Text(text), None) => Ok(std::slice::from_ref(text)),
        (Value::Text(_), Some(_)) => Err(fault(SubstituteFault::NoList(used.name.clone()))),
        (Value::List(list), None) => Ok(list),
        (Value::List(list), Some(index)) => list.get(index..=index).ok_or_else(|| {
            fault(SubstituteFault::OutOfRange { name: used.name.clone(), index, len: list.len() })
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn scope() -> Scope<'static> {
        let mut scope = Scope::new();
        scope.set_text("rank", "3");
        scope.set_text("trick", "${rank} $(reboot) 'x' \"y\"");
        scope.set("hosts.peers", Value::List(["n1".into(), "n2; rm".into()].into()));
        scope
    }

    #[test]
    fn values_are_put_in_once_and_not_looked_at_again() {
        assert_eq!(
            expand("a ${rank} ${trick}", &scope()).unwrap(),
            "a 3 ${rank} $(reboot) 'x' \"y\""
        );
    }

    #[test]
    fn two_dollars_are_a_literal_and_other_dollars_stay() {
        assert_eq!(
            expand("$${rank} $HOME $ $$ ${rank}$", &scope()).unwrap(),
            "${rank} $HOME $ $$ 3$"
        );
    }

    #[test]
    fn lists_are_joined_and_indexed() {
        assert_eq!(expand("${hosts.peers[0]}|${hosts.peers}", &scope()).unwrap(), "n1|n1 n2; rm");
        let error = expand("x ${hosts.peers[2]}", &scope()).unwrap_err();
        assert_eq!(error.offset, 2);
        assert_eq!(error.to_string(), "`hosts.peers` has 2 elements, there is no [2]");
    }

    #[test]
    fn unknown_and_broken_uses_are_errors_with_their_place() {
        let fault = |text| expand(text, &scope()).unwrap_err();
        assert_eq!(fault("é ${no}").offset, 3);
        assert_eq!(fault("${no}").fault, SubstituteFault::Unknown("no".into()));
        assert_eq!(fault("${rank").fault, SubstituteFault::Unclosed);
        assert_eq!(fault("${}").fault, SubstituteFault::BadName(String::new()));
        assert_eq!(fault("${rank[0]}").fault, SubstituteFault::NoList("rank".into()));
        assert_eq!(fault("${a[x]}").fault, SubstituteFault::BadName("a[x]".into()));
    }
}
