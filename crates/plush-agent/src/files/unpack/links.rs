//! Where the links of an archive lead, found out on a model of the finished tree.
//!
//! Not by asking the file system: the answer must be known before the first link is made.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Links in one walk, as many as the kernel would follow.
const HOPS: usize = 40;

/// Why a link is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It begins with a slash.
    #[error("is absolute")]
    Absolute,
    /// It leads out of the destination, perhaps through other links.
    #[error("leads out of the destination")]
    Outside,
    /// It is a ring, or goes through too many links.
    #[error("goes round in a ring of links")]
    Ring,
    /// It is empty, too long or has a NUL byte.
    #[error("is not a path")]
    NoPath,
    /// A hard link to what is no file of this archive.
    #[error("is not a file of the archive")]
    NoFile,
}

/// All symbolic links of an archive: where each is, beneath the destination, and what it says.
#[derive(Default)]
pub struct Links {
    targets: BTreeMap<PathBuf, OsString>,
}

impl Links {
    /// Adds a link; false when one is there already.
    pub fn add(&mut self, at: PathBuf, target: &[u8]) -> bool {
        self.targets.insert(at, OsStr::from_bytes(target).to_os_string()).is_none()
    }

    /// What the link at this place says.
    pub fn target(&self, at: &Path) -> Option<&OsStr> {
        self.targets.get(at).map(OsString::as_os_str)
    }

    /// The links in order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &OsStr)> {
        self.targets.iter().map(|(at, target)| (at.as_path(), target.as_os_str()))
    }

    /// Follows the link at `at` as the kernel would, with the destination as the world.
    pub fn check(&self, at: &Path, target: &OsStr) -> Result<(), Refusal> {
        let mut place: PathBuf = at.parent().map(Path::to_path_buf).unwrap_or_default();
        let mut ahead: Vec<OsString> = Vec::new();
        push_components(target, &mut ahead)?;
        let mut hops = 0;
        while let Some(component) = ahead.pop() {
            if component == ".." {
                if !place.pop() {
                    return Err(Refusal::Outside);
                }
                continue;
            }
            place.push(&component);
            if let Some(target) = self.targets.get(&place) {
                hops += 1;
                if hops > HOPS {
                    return Err(Refusal::Ring);
                }
                place.pop();
                push_components(target, &mut ahead)?;
            }
        }
        Ok(())
    }
}

/// Puts the target's components onto the stack of those still to be walked, first one on top.
fn push_components(target: &OsStr, ahead: &mut Vec<OsString>) -> Result<(), Refusal> {
    let bytes = target.as_bytes();
    if bytes.is_empty() || bytes.len() > 4095 || bytes.contains(&0) {
        return Err(Refusal::NoPath);
    }
    if bytes[0] == b'/' {
        return Err(Refusal::Absolute);
    }
    if ahead.len() > 8192 {
        return Err(Refusal::Ring);
    }
    let parts = bytes.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    ahead.extend(parts.rev().map(|part| OsStr::from_bytes(part).to_os_string()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(links: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut model = Links::default();
        for (at, target) in links {
            assert!(model.add(at.into(), target.as_bytes()));
        }
        model.iter().try_for_each(|(at, target)| model.check(at, target))
    }

    #[test]
    fn links_within_are_kept_and_links_without_refused() {
        assert_eq!(
            check(&[("lib64", "lib"), ("a/b", "../lib64/x"), ("a/dangling", "nowhere")]),
            Ok(())
        );
        assert_eq!(check(&[("a", "..")]), Err(Refusal::Outside));
        assert_eq!(check(&[("a/b", "../../name/x")]), Err(Refusal::Outside));
        assert_eq!(check(&[("a", "/etc")]), Err(Refusal::Absolute));
        assert_eq!(check(&[("a", "b"), ("b", "a")]), Err(Refusal::Ring));
        assert_eq!(check(&[("a", "")]), Err(Refusal::NoPath));
    }

    #[test]
    fn a_chain_that_only_leaves_when_followed_is_refused() {
        assert_eq!(check(&[("a/b/c/up", "../../.."), ("q", "a/b/c/up/..")]), Err(Refusal::Outside));
        assert_eq!(check(&[("x", "d/e"), ("y", "x/../../..")]), Err(Refusal::Outside));
    }

    #[test]
    fn links_that_multiply_each_other_end() {
        let names: Vec<String> = (0..30).map(|n| format!("l{n}")).collect();
        let targets: Vec<String> = (0..30).map(|n| format!("l{0}/l{0}", n + 1)).collect();
        let links: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(targets.iter().map(String::as_str)).collect();
        // Whatever the verdict, it is reached.
        let _ = check(&links);
    }
}
