//! A pushed package on its way from the controller: a small window of pieces, asked for by offset.
//! Not where the bytes go.

use super::happened::Happened;
use plush_protocol::bulk::PART_BYTES;
use plush_protocol::{BlobPart, BlobWant, Cause};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Pieces asked for and not yet here: what is under way on a long line.
pub const WINDOW: usize = 8;
/// How often a preparation that waits for a piece looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(500);

/// What reaches a preparation from the driver.
pub enum Piece {
    /// A piece.
    Here(BlobPart),
    /// The connection is a new one: what was asked for on the old one will not come.
    Reconnected,
}

/// Takes pieces and how many bytes are there with each; a cause ends the transfer.
pub type Sink<'a> = dyn FnMut(&[u8], u64) -> Result<(), Cause> + 'a;

/// The preparation's end.
pub struct Pieces {
    pub cluster: String,
    pub arriving: Receiver<Piece>,
    pub happened: mpsc::Sender<Happened>,
    pub cancelled: Arc<AtomicBool>,
}

/// Why a package did not arrive.
pub enum PiecesError {
    /// Who takes the bytes does not want them.
    Sink(Cause),
    /// The controller cannot serve it.
    Refused,
    /// The preparation was cancelled.
    Unwanted,
}

impl Pieces {
    /// Asks for a whole package; `sink` is given each piece and how many bytes are there with it, and is asked
    /// with an empty piece from time to time whether to go on.
    pub fn pull(&self, blake3: &str, bytes: u64, sink: &mut Sink<'_>) -> Result<(), PiecesError> {
        let (mut received, mut asked) = (0, 0);
        while received < bytes {
            while asked < bytes && asked - received < (WINDOW * PART_BYTES) as u64 {
                asked += self.ask(blake3, asked, bytes)?;
            }
            match self.arriving.recv_timeout(LOOK) {
                Ok(Piece::Here(part)) if part.blake3 == blake3 && part.offset == received => {
                    if part.bytes.is_empty() {
                        return Err(PiecesError::Refused);
                    }
                    received += part.bytes.len() as u64;
                    sink(&part.bytes, received).map_err(PiecesError::Sink)?;
                }
                // Of another package, or asked for twice.
                Ok(Piece::Here(_)) => {}
                Ok(Piece::Reconnected) => asked = received,
                Err(RecvTimeoutError::Timeout) => {
                    sink(&[], received).map_err(PiecesError::Sink)?;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(PiecesError::Unwanted),
            }
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(PiecesError::Unwanted);
            }
        }
        Ok(())
    }

    /// Asks for the next piece; how long it is.
    fn ask(&self, blake3: &str, offset: u64, bytes: u64) -> Result<u64, PiecesError> {
        let length = (bytes - offset).min(PART_BYTES as u64);
        let want = BlobWant {
            blake3: blake3.to_owned(),
            offset,
            length: u32::try_from(length).expect("a piece is short"),
        };
        let message = Happened::BlobWanted { cluster: self.cluster.clone(), want };
        self.happened.blocking_send(message).map_err(|_| PiecesError::Unwanted)?;
        Ok(length)
    }
}
