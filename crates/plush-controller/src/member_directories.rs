//! Names of members' directories on their hosts, unique among all members of all runs.
//! Not their location: the bootstrap script finds the base.
//!
//! Hosts may share a home directory, and names may lead to one account, so the run's id alone is
//! not unique.

use serde::{Deserialize, Serialize};

/// Longest part of the run's id in a directory's name.
const RUN_BYTES: usize = 100;
/// Longest part of the host's name in a directory's name.
const HOST_BYTES: usize = 40;

/// Makes the directory names of a run unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DirectoryNumber(u64);

impl DirectoryNumber {
    /// A random number, unique to the run.
    pub fn random() -> Self {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)
            .unwrap_or_else(|e| panic!("the kernel gives no random bytes: {e}"));
        Self(u64::from_le_bytes(bytes))
    }
}

/// The names of the directories of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDirectories {
    run: String,
    /// `None` for a run of a build that had one directory per run.
    number: Option<DirectoryNumber>,
}

impl MemberDirectories {
    /// Those of a run.
    pub fn new(run: &str, number: Option<DirectoryNumber>) -> Self {
        Self { run: run.to_owned(), number }
    }

    /// The name of a member's directory: run and host for readability, then 16 hexadecimal digits
    /// of the digest of the run's number, the run and the host.
    pub fn of(&self, host: &str) -> String {
        let Some(DirectoryNumber(number)) = self.number else { return self.run.clone() };
        let mut hash = blake3::Hasher::new();
        hash.update(&number.to_le_bytes());
        hash.update(self.run.as_bytes());
        hash.update(b"/");
        hash.update(host.as_bytes());
        let (run, host) = (plain(&self.run, RUN_BYTES), plain(host, HOST_BYTES));
        format!("{run}.{host}-{}", &hash.finalize().to_hex()[..16])
    }
}

/// Keeps only characters without a meaning in a path, a search path or a shell.
fn plain(text: &str, limit: usize) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.chars().map(|c| if is_plain(c) { c } else { '_' }).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_members_have_the_same_directory() {
        let directories = MemberDirectories::new("r-1", Some(DirectoryNumber(7)));
        let long = "h".repeat(90);
        let hosts =
            ["h1", "ann@h1", "ann_h1", "h1:22", "h1_22", &format!("{long}1"), &format!("{long}2")];
        let names: std::collections::BTreeSet<String> =
            hosts.iter().map(|host| directories.of(host)).collect();
        assert_eq!(names.len(), hosts.len(), "{names:?}");
        assert_ne!(
            directories.of("h1"),
            MemberDirectories::new("r-1", Some(DirectoryNumber(8))).of("h1")
        );
        assert_ne!(DirectoryNumber::random(), DirectoryNumber::random());
    }

    #[test]
    fn a_name_stands_in_a_path_and_in_a_search_path() {
        let directories = MemberDirectories::new(&"r".repeat(200), Some(DirectoryNumber(7)));
        let name = directories.of(&format!("ann@{}:22", "é".repeat(100)));
        assert!(name.len() <= 200 && !name.contains([':', '/', '@']), "{name}");
    }

    #[test]
    fn a_run_of_an_earlier_build_keeps_its_directory() {
        assert_eq!(MemberDirectories::new("r-1", None).of("h1"), "r-1");
    }
}
