//! Puts this very program in place under its digest: the second half of a transport's upload.
//! Not the upload.

use crate::sys;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Why the program was not put in place.
#[derive(Debug, thiserror::Error)]
pub enum PlacingError {
    /// The bytes that arrived are not those that were sent.
    #[error("this program has the digest {found}, expected was {expected}")]
    Digest {
        /// BLAKE3 of the running file.
        found: String,
        /// What the transport said.
        expected: String,
    },
    /// The system refused.
    #[error("{operation} {path}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Checks the running file against its digest, makes it durable, and renames it to `to`.
pub fn place(expected: &str, to: &Path) -> Result<(), PlacingError> {
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| PlacingError::System { operation, path, source }
    };
    let this = sys::program();
    let from = sys::program_name();
    let file = File::open(this).map_err(failed("open", this))?;
    let found = digest_of(&file).map_err(failed("read", &from))?;
    if found != expected {
        return Err(PlacingError::Digest { found, expected: expected.to_owned() });
    }
    file.set_permissions(fs::Permissions::from_mode(0o700))
        .map_err(failed("close to others", &from))?;
    file.sync_all().map_err(failed("make durable", &from))?;
    // An existing file may be running, also on another machine; it is not replaced.
    match fs::hard_link(&from, to) {
        Ok(()) => fs::remove_file(&from).map_err(failed("remove", &from))?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && has_digest(to, expected) => {
            fs::remove_file(&from).map_err(failed("remove", &from))?;
        }
        Err(_) => fs::rename(&from, to).map_err(failed("put in place", to))?,
    }
    let directory = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let made_durable =
        rustix::fs::open(directory, flags, Mode::empty()).and_then(rustix::fs::fsync);
    made_durable.map_err(|e| failed("make durable", directory)(e.into()))
}

fn digest_of(mut file: impl Read) -> io::Result<String> {
    let mut hash = blake3::Hasher::new();
    io::copy(&mut file, &mut hash)?;
    Ok(hash.finalize().to_hex().to_string())
}

fn has_digest(path: &Path, expected: &str) -> bool {
    File::open(path).and_then(digest_of).is_ok_and(|found| found == expected)
}
