//! The reading end of a journal that another process may be writing, and shortening.
//! Not the controller's: see [`super::Journal::open`].

use super::rows::{self, Position};
use super::{Record, about, check_format, connect, snapshot, sql};
use crate::error::ControllerError;
use plush_core::Millis;
use plush_core::run::Run;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};

/// Reads what is new, again and again.
pub struct Reader {
    connection: Connection,
    path: PathBuf,
    build: String,
    position: Option<Position>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct News {
    /// The records go on from here, and not from those that were read before: the first time, and when records were dropped
    /// before they could be read. Without a state it is the beginning of the run.
    pub beginning: Option<(Option<Run>, Millis)>,
    /// In whole batches; empty when there are no more.
    pub records: Vec<Record>,
}

impl Reader {
    /// Opens a journal for reading only. A reader never keeps the writer waiting.
    ///
    /// # Errors
    /// There is no journal, or it cannot be opened.
    pub fn open(path: &Path) -> Result<Reader, ControllerError> {
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        check_format(&connection, path)?;
        let build = about(&connection, path, "build")?.unwrap_or_default();
        Ok(Reader { connection, path: path.to_owned(), build, position: None })
    }

    /// The build that began it.
    pub fn build(&self) -> &str {
        &self.build
    }

    /// The records that are new since the last call, some thousands at the most; batches are always whole.
    ///
    /// # Errors
    /// The file cannot be read, or a record in it is not the one that was written.
    pub fn read(&mut self) -> Result<News, ControllerError> {
        let failed = |e| sql("read the journal", &self.path, e);
        // One picture of the file: records may go while they are read.
        let picture = self.connection.unchecked_transaction().map_err(failed)?;
        let oldest = snapshot::oldest(&picture, &self.path)?;
        let (mut position, beginning) = match (self.position, oldest) {
            (Some(position), oldest) if oldest.is_none_or(|n| n <= position.number) => {
                (position, None)
            }
            (_, None) => (Position::default(), Some((None, 0))),
            (_, Some(_)) => {
                let oldest = snapshot::oldest_after(&picture, &self.path, None)?;
                let oldest = oldest.expect("it was there in this picture");
                let state = oldest.run(&self.path)?;
                (oldest.position(), Some((Some(state), oldest.at_ms)))
            }
        };
        let records = rows::page(&picture, &self.path, &mut position)?;
        self.position = Some(position);
        Ok(News { beginning, records })
    }
}
