//! What a directory holds, to the last bit, for comparing before and after.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Kind, inode, mode, size, links, modification time and content, by path.
pub type Snapshot = BTreeMap<PathBuf, String>;

/// Takes one, without following links.
pub fn of(dir: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    walk(dir, Path::new(""), true, &mut found);
    found
}

/// Only what matters of software: kinds, modes, contents.
pub fn content_of(dir: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    walk(dir, Path::new(""), false, &mut found);
    found
}

fn walk(dir: &Path, rel: &Path, exact: bool, found: &mut Snapshot) {
    let path = dir.join(rel);
    let stat = std::fs::symlink_metadata(&path).unwrap();
    let content = if stat.is_symlink() {
        format!("-> {}", std::fs::read_link(&path).unwrap().display())
    } else if stat.is_file() {
        String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()
    } else {
        String::new()
    };
    let identity = match exact {
        true => format!("{} {} {} {}", stat.ino(), stat.nlink(), stat.mtime(), stat.mtime_nsec()),
        false => String::new(),
    };
    let mode = if stat.is_symlink() { 0 } else { stat.mode() };
    found.insert(rel.to_path_buf(), format!("{mode:o} {identity} {content}"));
    if stat.is_dir() {
        for entry in std::fs::read_dir(&path).unwrap() {
            walk(dir, &rel.join(entry.unwrap().file_name()), exact, found);
        }
    }
}
