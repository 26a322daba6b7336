//! Replaces `${name}` in a line for `/bin/sh` so that no value becomes part of the script. It does
//! not parse the script: safety does not depend on the text around a value.
//!
//! A plain value (letters, digits and `_-./:@%+,=`) is put into the script as text: none of these
//! ends a word, a quote or a comment. Reserved words of the shell and assignments are not plain. In
//! a line with a here-document, neither is a value that could be a part of the line that ends the
//! document. Any other value stays outside of the script: it is passed in the environment, and
//! the script refers to it as `${PLUSH_VALUE_name}`, which the shell expands after it has read the
//! script. Quotes around it mean what they mean around any variable of the shell.

use crate::substitute::{
    EXPANDED_BYTES_MAX, Piece, Scope, SubstituteError, SubstituteFault, Use, look_up, pieces,
};

/// Prefix of environment variables that hold values.
pub const VALUE_PREFIX: &str = "PLUSH_VALUE_";

/// Maximum length of an argument, or of an environment variable with its name, in bytes:
/// MAX_ARG_STRLEN of Linux without the NUL at the end, execve(2).
pub const ARGUMENT_BYTES_MAX: usize = (128 << 10) - 1;

/// Maximum sum of all these strings, in bytes. Linux allows a quarter of the stack limit, which is
/// 2 MiB with the usual stack of 8 MiB, execve(2); the rest is reserved for the host's own
/// variables.
pub const ARGUMENTS_BYTES_MAX: usize = (2 << 20) - (128 << 10);

/// A line for `/bin/sh -c`, and the environment that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "without its values the line does not say what it should"]
pub struct ShellLine {
    /// The script.
    pub text: String,
    /// Names and values of the environment variables that the script refers to.
    pub values: Vec<(String, String)>,
}

/// Replaces every `${...}` of a line.
///
/// # Errors
/// The first use that is malformed, unknown, or makes the line too long.
pub fn expand_shell(line: &str, scope: &Scope<'_>) -> Result<ShellLine, SubstituteError> {
    let mut out = ShellLine { text: String::with_capacity(line.len()), values: Vec::new() };
    let ends = Delimiters::of(line);
    for piece in pieces(line) {
        match piece? {
            Piece::Literal(literal) => out.text.push_str(literal),
            Piece::Use(used) => {
                let words = look_up(&used, scope)?;
                match words {
                    [word] if is_plain(word) && !ends.may_hold(word) => out.text.push_str(word),
                    _ => out.refer_to(&used, words),
                }
                if out.text.len() > EXPANDED_BYTES_MAX {
                    let fault = SubstituteFault::TooLong;
                    return Err(SubstituteError { offset: used.offset, fault });
                }
            }
        }
    }
    Ok(out)
}

impl ShellLine {
    fn refer_to(&mut self, used: &Use, words: &[String]) {
        let name = variable_name(used);
        self.text.push_str("${");
        self.text.push_str(&name);
        self.text.push('}');
        if !self.values.iter().any(|(known, _)| *known == name) {
            self.values.push((name, words.join(" ")));
        }
    }
}

/// Reserved words of POSIX (XCU 2.4), and those that its shells add.
const RESERVED: [&str; 20] = [
    "case",
    "coproc",
    "do",
    "done",
    "elif",
    "else",
    "esac",
    "fi",
    "for",
    "function",
    "if",
    "in",
    "namespace",
    "repeat",
    "select",
    "then",
    "time",
    "until",
    "while",
    "foreach",
];

/// Whether a value may be inserted into a script: no character in it is special to a shell.
///
/// `NAME=text` is not plain: in front of a command it would be an assignment.
pub fn is_plain(value: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+,=".contains(&byte);
    let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let assigns =
        value.split_once('=').is_some_and(|(name, _)| is_name(name.trim_end_matches('+')));
    !value.is_empty()
        && !value.starts_with(['-', '~', '='])
        && value.bytes().all(is_good)
        && !assigns
        && !RESERVED.contains(&value)
}

/// The text behind each `<<` of a script, up to the end of the line and without quotes. It contains
/// the delimiters of all here-documents of the script.
pub struct Delimiters(Vec<String>);

impl Delimiters {
    /// Those of a script whose uses of values are not replaced yet.
    pub fn of(script: &str) -> Self {
        let joined = script.replace("\\\n", "");
        let behind = joined.split("<<").skip(1).filter_map(|rest| rest.lines().next());
        let unquoted = |line: &str| line.replace(['\'', '"', '\\'], "");
        Delimiters(behind.map(unquoted).collect())
    }

    /// With this value as text, a line of a here-document could become the one that ends it.
    pub fn may_hold(&self, value: &str) -> bool {
        self.0.iter().any(|line| line.contains("${") || line.contains(value))
    }
}

/// The environment variable for a use; different uses have different variables.
///
/// A name that is a shell's name too is kept. In any other, and in one with `__` in it, every
/// character that is no letter or digit is written as its number in hexadecimal between `_`, after
/// `__` in front, which no kept name begins with.
pub fn variable_name(used: &Use) -> String {
    let is_kept = used.index.is_none()
        && !used.name.contains("__")
        && used.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_kept {
        return format!("{VALUE_PREFIX}{}", used.name);
    }
    let index = used.index.map(|index| format!("[{index}]")).unwrap_or_default();
    let mut out = format!("{VALUE_PREFIX}__");
    for c in used.name.chars().chain(index.chars()) {
        match c.is_ascii_alphanumeric() {
            true => out.push(c),
            false => out.push_str(&format!("_{:x}_", u32::from(c))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::substitute::Value;

    fn scope() -> Scope<'static> {
        let mut scope = Scope::new();
        scope.set_text("rank", "3");
        scope.set_text("trick", "$(reboot) 'x' \"y\"");
        scope.set_text("dash", "-rf");
        scope.set_text("empty", "");
        scope.set("hosts.peers", Value::List(["n1".into(), "n2".into()].into()));
        scope
    }

    fn line(text: &str) -> (String, Vec<(String, String)>) {
        let line = expand_shell(text, &scope()).unwrap();
        (line.text, line.values)
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_plain_value_is_text_and_any_other_stays_outside_of_the_script() {
        let (text, values) = line("a ${rank} '${trick}' ${dash}${empty} $${HOME} ${trick}");
        assert_eq!(
            text,
            "a 3 '${PLUSH_VALUE_trick}' ${PLUSH_VALUE_dash}${PLUSH_VALUE_empty} ${HOME} ${PLUSH_VALUE_trick}"
        );
        let wanted = [
            pair("PLUSH_VALUE_trick", "$(reboot) 'x' \"y\""),
            pair("PLUSH_VALUE_dash", "-rf"),
            pair("PLUSH_VALUE_empty", ""),
        ];
        assert_eq!(values, wanted);
    }

    #[test]
    fn a_list_is_one_value_and_its_element_another() {
        let (text, values) = line("${hosts.peers} ${hosts.peers[1]}");
        assert_eq!(text, "${PLUSH_VALUE___hosts_2e_peers} n2");
        assert_eq!(values, [pair("PLUSH_VALUE___hosts_2e_peers", "n1 n2")]);
    }

    #[test]
    fn only_what_means_nothing_to_a_shell_is_plain() {
        for plain in ["a", "0", "a-b_c./:@%+,=", "/bin/x", "1", "+1", ":a", "%1"] {
            assert!(is_plain(plain), "{plain}");
        }
        let others =
            ["", "-a", "~", "~a", "=a", "a b", "a\n", "ä", "$a", "`a`", "a;b", "a~b", "a*"];
        for other in others.into_iter().chain(["#", "a'b", "a\"b", "a\\b", "{a}", "a!", "a^b"]) {
            assert!(!is_plain(other), "{other}");
        }
    }

    #[test]
    fn words_and_assignments_of_a_shell_are_not_plain() {
        for other in ["esac", "done", "fi", "time", "PATH=/tmp", "1=a", "x+=1", "_=", "+=1"] {
            assert!(!is_plain(other), "{other}");
        }
        for plain in ["a-b=c", "/x=1", "esacs", "IF"] {
            assert!(is_plain(plain), "{plain}");
        }
    }

    #[test]
    fn a_value_that_could_end_a_here_document_stays_outside_of_the_script() {
        let end = |value: &str, script: &str| {
            let mut scope = Scope::new();
            scope.set_text("v", value);
            scope.set_text("w", "EOF");
            expand_shell(script, &scope).unwrap().text
        };
        let document = "cat <<EOF\n${v}\nreboot\nEOF\n";
        assert_eq!(end("EOF", document), document.replace("${v}", "${PLUSH_VALUE_v}"));
        assert_eq!(end("OF", "cat <<EOF\nE${v}\nEOF\n"), "cat <<EOF\nE${PLUSH_VALUE_v}\nEOF\n");
        let quoted = "cat <<-'E'\\\nOF\n${v}\nEOF\n";
        assert_eq!(end("EOF", quoted), quoted.replace("${v}", "${PLUSH_VALUE_v}"));
        let named = "cat <<${w}\n${v}\n${w}\n";
        assert!(end("n1", named).contains("PLUSH_VALUE_v"));
        assert_eq!(end("n1", document), document.replace("${v}", "n1"));
    }

    #[test]
    fn different_uses_have_different_names_that_shells_accept() {
        let named = |name: &str, index| Use { name: name.to_owned(), index, offset: 0, len: 0 };
        let names =
            ["a", "A", "a_b", "a__b", "a.b", "a-b", "a+b", "a b", "a_2e_b", "__a_2e_b", "é"];
        let uses = names
            .into_iter()
            .flat_map(|name| [named(name, None), named(name, Some(0)), named(name, Some(10))]);
        let mut seen = std::collections::BTreeSet::new();
        for used in uses {
            let name = variable_name(&used);
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
            assert!(seen.insert(name), "{used:?}");
        }
    }

    #[test]
    fn a_line_that_names_a_long_value_often_is_refused_before_it_is_made() {
        let mut scope = Scope::new();
        scope.set_text("a", "A".repeat(500_000));
        let error = expand_shell(&"${a}".repeat(100_000), &scope).unwrap_err();
        assert_eq!(error.fault, SubstituteFault::TooLong);
    }
}
