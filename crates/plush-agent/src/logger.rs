//! The agent's log: one file of bounded size. Not for output of tasks, and never for secrets.

use crate::clock;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

/// When the log has so many bytes it begins anew.
const MAX_BYTES: u64 = 1 << 20;

static LOG: Mutex<Option<Log>> = Mutex::new(None);

struct Log {
    file: File,
    bytes: u64,
}

/// Opens the log for this process.
pub fn open(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    *LOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(Log { file, bytes });
    Ok(())
}

/// Closes the log; later records are lost.
pub fn close() {
    *LOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
}

/// Writes one line; a log that cannot be written is no reason to stop.
pub fn line(text: fmt::Arguments<'_>) {
    let mut log = LOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some(log) = log.as_mut() else { return };
    let line = format!("{} {} {text}\n", clock::now_ms(), std::process::id());
    if log.bytes + line.len() as u64 > MAX_BYTES && log.file.set_len(0).is_ok() {
        log.bytes = 0;
    }
    if log.file.write_all(line.as_bytes()).is_ok() {
        log.bytes += line.len() as u64;
    }
}

/// Writes a line to the agent's log.
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => { $crate::logger::line(format_args!($($argument)*)) };
}
