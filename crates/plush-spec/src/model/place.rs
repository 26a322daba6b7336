//! Where in the text something was written: line and column, both from 1.
//! It is not part of a value: two values that differ only in their places are equal.

use serde::{Deserialize, Serialize};

/// A line and a column, both counted from 1, in characters; 0 and 0 mean "not from a text".
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// A place in a text.
    pub fn new(line: u32, column: u32) -> Place {
        Place { line, column }
    }

    /// True where a text was read; false for what a program made up.
    pub fn is_known(self) -> bool {
        self.line > 0
    }
}

impl PartialEq for Place {
    fn eq(&self, _other: &Place) -> bool {
        true
    }
}

impl Eq for Place {}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}
