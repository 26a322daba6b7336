//! Which descriptions may run programs on this machine: their digests, in a file of the user's own.
//! Not what they run: `plush plan` lists it.
//!
//! A description that is changed has another digest, and is not trusted any more.

use crate::exit::ExitCode;
use crate::trouble::Trouble;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The descriptions that somebody trusts: one `DIGEST PATH` a line.
pub struct Trusted {
    file: PathBuf,
    entries: Vec<(String, String)>,
}

impl Trusted {
    /// Reads the user's file; one that is not there trusts nothing.
    pub fn load() -> Result<Trusted, Trouble> {
        let file = crate::settings::user_directory()
            .ok_or_else(|| Trouble::usage("there is no HOME to keep trusted descriptions in"))?
            .join("trusted");
        let text = match fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.map_err(|error| trouble("read", &file, &error))?,
        };
        let entry = |line: &str| {
            let (digest, path) = line.split_once(' ')?;
            Some((digest.to_owned(), path.to_owned()))
        };
        Ok(Trusted { entries: text.lines().filter_map(entry).collect(), file })
    }

    /// Digests and the paths that they had.
    pub fn entries(&self) -> &[(String, String)] {
        &self.entries
    }

    pub fn contains(&self, digest: &str) -> bool {
        self.entries.iter().any(|(known, _)| known == digest)
    }

    /// Trusts a description from now on.
    pub fn add(&mut self, digest: &str, path: &Path) -> Result<(), Trouble> {
        if self.contains(digest) {
            return Ok(());
        }
        let path = path.to_string_lossy().replace(char::is_control, "?");
        self.entries.push((digest.to_owned(), path));
        self.save()
    }

    /// Trusts it no more; whether it was trusted.
    pub fn remove(&mut self, digest: &str) -> Result<bool, Trouble> {
        let before = self.entries.len();
        self.entries.retain(|(known, _)| known != digest);
        self.save()?;
        Ok(self.entries.len() < before)
    }

    /// Writes the file whole or not at all.
    fn save(&self) -> Result<(), Trouble> {
        let text: String = self.entries.iter().map(|(d, path)| format!("{d} {path}\n")).collect();
        let part = self.file.with_extension("part");
        let write = || {
            if let Some(directory) = self.file.parent() {
                fs::create_dir_all(directory)?;
            }
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&part, &self.file)
        };
        write().map_err(|error| trouble("write", &self.file, &error))
    }
}

fn trouble(operation: &str, file: &Path, error: &io::Error) -> Trouble {
    Trouble::new(ExitCode::Internal, format!("cannot {operation} {}", file.display()))
        .caused_by(error)
}
