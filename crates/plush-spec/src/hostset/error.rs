//! What is wrong with a host set, and where in its text.

use std::fmt;

/// A host set's text that cannot be read, with the place in that text (bytes).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostSetError {
    /// Where the fault begins, in bytes from the start of the text.
    pub offset: usize,
    /// How many bytes are at fault; 0 when something is missing at `offset`.
    pub len: usize,
    /// What is wrong, without the place.
    pub message: String,
    /// What to write instead, when that can be said.
    pub hint: Option<String>,
}

impl HostSetError {
    pub(super) fn new(offset: usize, len: usize, message: impl Into<String>) -> HostSetError {
        HostSetError { offset, len, message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> HostSetError {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for HostSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for HostSetError {}
