//! One line of a `known_hosts` file: marker, names, key.
//!
//! Not the judgement of an offered key: `known_hosts` compares all lines of a host.

use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::PublicKey;
use russh::keys::ssh_key::known_hosts::HostPatterns;
use sha1::Sha1;

use super::patterns::matches_list;

/// The role of a line's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The host has this key.
    Key,
    /// The host's certificates are signed with this key.
    Authority,
    /// The key is not accepted.
    Revoked,
}

/// A line that names hosts.
#[derive(Debug)]
pub(crate) struct KnownLine {
    pub mark: Mark,
    /// `None` if this build cannot read the key: no offered key equals it.
    pub key: Option<PublicKey>,
    names: HostPatterns,
    file: PathBuf,
    number: usize,
}

/// How a line is looked up.
pub(crate) enum Index {
    /// Under each of these names, in lower case.
    Names(Vec<String>),
    /// Compared with every name.
    Patterns,
    /// The digest is computed for every name.
    Hash,
}

impl KnownLine {
    /// Parses a line; `None` for a comment or an empty line. The error text names the problem.
    pub(crate) fn read(text: &str, file: &Path, number: usize) -> Option<Result<Self, String>> {
        let text = text.trim_matches([' ', '\t', '\r']);
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        Some(Self::parse(text, file, number))
    }

    fn parse(text: &str, file: &Path, number: usize) -> Result<Self, String> {
        let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
        let mut next = || words.next().ok_or("the line is too short");
        let (mark, names) = match next()? {
            "@cert-authority" => (Mark::Authority, next()?),
            "@revoked" => (Mark::Revoked, next()?),
            marker if marker.starts_with('@') => return Err(format!("unknown marker {marker}")),
            names => (Mark::Key, names),
        };
        let names: HostPatterns =
            names.parse().map_err(|e| format!("the names cannot be read: {e}"))?;
        let (kind, blob) = (next()?, next()?);
        let key = PublicKey::from_openssh(&format!("{kind} {blob}")).ok();
        Ok(Self { mark, key, names, file: file.to_owned(), number })
    }

    /// File and line, for display.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.number)
    }

    pub(crate) fn index(&self) -> Index {
        match &self.names {
            HostPatterns::HashedName { .. } => Index::Hash,
            HostPatterns::Patterns(list) if list.iter().any(|p| p.contains(['*', '?', '!'])) => {
                Index::Patterns
            }
            HostPatterns::Patterns(list) => {
                Index::Names(list.iter().map(|name| name.to_lowercase()).collect())
            }
        }
    }

    /// Whether a name in lower case matches the patterns of the line.
    pub(crate) fn matches_pattern(&self, name: &str) -> bool {
        match &self.names {
            HostPatterns::Patterns(list) => {
                matches_list(name, list.iter().map(|p| p.to_lowercase()))
            }
            HostPatterns::HashedName { .. } => false,
        }
    }

    /// Whether the line is hashed and this is its name; case matters.
    pub(crate) fn matches_hash(&self, name: &str) -> bool {
        let HostPatterns::HashedName { salt, hash } = &self.names else {
            return false;
        };
        Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|mac| mac.chain_update(name.as_bytes()).verify_slice(hash).is_ok())
    }
}
