//! A name that the author gave to something: safe as a file name and as an argument of a command.
//! It is not free text, and it is never empty.

use crate::model::Place;
use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 100;

/// A checked name: letters, digits and `_ - . +`, spaces inside; neither `-` nor `.` in front.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    /// There is nothing.
    Empty,
    /// It is longer than [`NAME_BYTES_MAX`].
    TooLong,
    /// It begins with a character that a command or a file system would take for something else.
    BadStart(char),
    /// It holds a character that is not allowed.
    BadCharacter(char),
}

impl Name {
    /// Checks a text and makes it a name.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn new(text: &str) -> Result<Name, NameFault> {
        let first = text.chars().next().ok_or(NameFault::Empty)?;
        if text.len() > NAME_BYTES_MAX {
            return Err(NameFault::TooLong);
        }
        if matches!(first, '-' | '.' | ' ') {
            return Err(NameFault::BadStart(first));
        }
        if let Some(bad) = text.chars().find(|c| !is_allowed(*c)) {
            return Err(NameFault::BadCharacter(bad));
        }
        if text.ends_with(' ') {
            return Err(NameFault::BadCharacter(' '));
        }
        Ok(Name(text.to_string()))
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | ' ')
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for NameFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NameFault::Empty => write!(f, "a name cannot be empty"),
            NameFault::TooLong => write!(f, "a name has at most {NAME_BYTES_MAX} bytes"),
            NameFault::BadStart(c) => write!(f, "a name cannot begin with `{}`", c.escape_debug()),
            NameFault::BadCharacter(c) => {
                write!(f, "`{}` is not allowed in this place of a name", c.escape_debug())
            }
        }
    }
}

impl std::error::Error for NameFault {}

impl TryFrom<String> for Name {
    type Error = NameFault;
    fn try_from(text: String) -> Result<Name, NameFault> {
        Name::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A name used to mean something that is defined elsewhere, with the place of the use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// What is meant.
    pub name: Name,
    /// Where it is used.
    #[serde(skip)]
    pub place: Place,
}
