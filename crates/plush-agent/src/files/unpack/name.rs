//! The name of an archive's entry, turned into the components of a path beneath the destination.
//!
//! Not a path to be opened as it is: only its components are used, one held directory after the other.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It begins with a slash.
    #[error("is absolute")]
    Absolute,
    /// It has a component `..`.
    #[error("has a component `..`")]
    Parent,
    /// It has a NUL byte.
    #[error("has a NUL byte")]
    Nul,
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// A component is longer than 255 bytes or the whole longer than 4095.
    #[error("is too long")]
    Long,
    /// It has too many components.
    #[error("is too deep")]
    Deep,
    /// It is reserved for ours.
    #[error("is reserved")]
    Reserved,
}

/// The name that marks an installed tree; no archive may bring it.
pub const MARKER: &str = ".plush-software";

/// The path beneath the destination, with `strip` leading components removed; `None` when nothing is left of it.
pub fn beneath(name: &[u8], strip: usize, depth: usize) -> Result<Option<PathBuf>, Refusal> {
    if name.is_empty() {
        return Err(Refusal::Empty);
    }
    if name[0] == b'/' {
        return Err(Refusal::Absolute);
    }
    if name.contains(&0) {
        return Err(Refusal::Nul);
    }
    let mut components = Vec::new();
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(Refusal::Parent),
            component if component.len() > 255 => return Err(Refusal::Long),
            component => components.push(OsStr::from_bytes(component)),
        }
    }
    if name.len() > 4095 {
        return Err(Refusal::Long);
    }
    if components.len() > depth {
        return Err(Refusal::Deep);
    }
    let path: PathBuf = components.into_iter().skip(strip).collect();
    if path.starts_with(MARKER) {
        return Err(Refusal::Reserved);
    }
    Ok((!path.as_os_str().is_empty()).then_some(path))
}
