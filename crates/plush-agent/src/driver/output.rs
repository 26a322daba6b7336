//! Output on its way to the controller: from the spool, by offset, within its window.
//! Not the keeper, which fills the spool.

use crate::keeper::spool::{Piece, Reader};
use crate::keeper::wire::Extent;
use plush_protocol::bulk::OUTPUT_WINDOW_BYTES;
use plush_protocol::{OutputAck, OutputGap, OutputPart, StreamName, TaskKey, ToController};
use std::path::Path;

/// One stream takes so much of a batch before the next has its turn (O10).
const TURN_BYTES: usize = 32 << 10;
/// A keeper is told about durable output at steps of so much, or when it has all.
const DURABLE_STEP_BYTES: u64 = 256 << 10;

/// One stream of one task.
pub struct Outgoing {
    key: TaskKey,
    stream: StreamName,
    reader: Reader,
    extent: Extent,
    /// What the controller has; `None` until it says so on the connection that is up now.
    received: Option<u64>,
    sent: u64,
    durable: u64,
    durable_told: u64,
}

impl Outgoing {
    /// A stream whose spool is in this directory.
    pub fn new(directory: &Path, key: TaskKey, stream: StreamName) -> Outgoing {
        Outgoing {
            key,
            stream,
            reader: Reader::new(directory, stream),
            extent: Extent::default(),
            received: None,
            sent: 0,
            durable: 0,
            durable_told: 0,
        }
    }

    /// The bytes that are on disk, for a task whose keeper nobody can ask any more.
    pub fn on_disk(&self) -> u64 {
        self.reader.end()
    }

    /// The stream grew, or ended.
    pub fn grown(&mut self, extent: Extent) {
        self.extent = extent;
    }

    /// The connection is gone, or another one came.
    pub fn disconnected(&mut self) {
        self.received = None;
    }

    /// What the controller has. Says what the keeper should be told, if anything.
    pub fn acknowledged(&mut self, ack: &OutputAck) -> Option<u64> {
        match self.received {
            None => self.sent = ack.received,
            // A word from before: what came later counts.
            Some(received) if ack.received < received => return None,
            Some(_) => self.sent = self.sent.max(ack.received),
        }
        self.received = Some(ack.received);
        let durable = ack.durable.min(ack.received).min(self.extent.written);
        if durable > self.durable {
            self.durable = durable;
            let end = self.extent.closed.then_some(self.extent.written);
            if let Err(e) = self.reader.forget(durable, end) {
                crate::log!("forget output of {:?}: {e}", self.key);
            }
        }
        let step = self.durable - self.durable_told;
        let all = self.durable == self.extent.written && step > 0;
        (step >= DURABLE_STEP_BYTES || all).then(|| {
            self.durable_told = self.durable;
            self.durable
        })
    }

    /// It has ended, and the controller that is connected has all of it for good.
    pub fn is_stored(&self) -> bool {
        self.extent.closed
            && self.received == Some(self.extent.written)
            && self.durable == self.extent.written
    }

    /// The next message of this stream, if there is something to send and the window allows it.
    pub fn next(&mut self) -> Option<ToController> {
        let limit = self.received?.saturating_add(OUTPUT_WINDOW_BYTES).min(self.extent.written);
        let room = limit.checked_sub(self.sent).filter(|room| *room > 0)?;
        let room = usize::try_from(room).unwrap_or(TURN_BYTES).min(TURN_BYTES);
        let (key, stream, offset) = (self.key, self.stream, self.sent);
        match self.reader.piece(offset, self.extent.written, room) {
            Ok(Piece::Bytes(bytes)) => {
                self.sent += bytes.len() as u64;
                Some(ToController::OutputPart(OutputPart { key, stream, offset, bytes }))
            }
            Ok(Piece::Gap(to)) => {
                self.sent = to;
                Some(ToController::OutputGap(OutputGap { key, stream, from: offset, to }))
            }
            Err(e) => {
                crate::log!("read output of {key:?} at {offset}: {e}");
                // Nothing can be read here now; the next growth or connection tries again.
                self.received = None;
                None
            }
        }
    }
}
