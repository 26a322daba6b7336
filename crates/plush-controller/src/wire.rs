//! Messages over one link, in frames.
//! Not what they mean: that is for [`crate::host_link`].

use crate::transport::{Aside, Link, Reader};
use plush_protocol::{Frames, ToAgent, ToController};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// What is read, and written, at once.
const READ_BYTES: usize = 256 << 10;
/// The longest wait for a far side to close its end of a link.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Messages over one link.
pub struct Wire {
    reader: Reader,
    frames: Frames,
    buffer: Vec<u8>,
    /// Bounded by what it answers: commands are few, parts are asked for by window, acknowledgements follow what came.
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    writing: tokio::task::JoinHandle<()>,
    aside: Aside,
    /// Something came since it was last asked.
    heard: bool,
    /// The session that the agent's hello named; 0 before it.
    pub session: u64,
    /// What the host's clock said then, if it did.
    pub clock_us: Option<u64>,
}

impl Wire {
    /// Takes a link; a task of its own writes.
    pub fn new(link: Link) -> Wire {
        let (outgoing, mut frames) = mpsc::unbounded_channel::<Vec<u8>>();
        let mut writer = link.writer;
        let writing = tokio::spawn(async move {
            while let Some(mut bytes) = frames.recv().await {
                while let Ok(more) = frames.try_recv() {
                    bytes.extend_from_slice(&more);
                    if bytes.len() > READ_BYTES {
                        break;
                    }
                }
                let written = writer.write_all(&bytes).await;
                if written.is_err() || writer.flush().await.is_err() {
                    return;
                }
            }
            // The reader finds out on its own when the far side is gone.
            let _ = writer.shutdown().await;
        });
        Wire {
            reader: link.reader,
            frames: Frames::new(),
            buffer: vec![0; READ_BYTES],
            outgoing,
            writing,
            aside: link.aside,
            heard: false,
            session: 0,
            clock_us: None,
        }
    }

    /// Sends a message, soon.
    pub fn send(&mut self, message: &ToAgent) {
        let mut bytes = Vec::new();
        match message.write(&mut bytes) {
            // A writer that is gone shows as an end of the reader.
            Ok(()) => drop(self.outgoing.send(bytes)),
            Err(error) => tracing::error!("cannot send a message to an agent: {error}"),
        }
    }

    /// The next message. Cancelling loses nothing.
    pub async fn next(&mut self) -> Result<ToController, String> {
        loop {
            match ToController::next(&mut self.frames) {
                Ok(Some(message)) => {
                    if let ToController::Hello(hello) = &message {
                        self.session = hello.session;
                        self.clock_us = hello.clock_us;
                    }
                    return Ok(message);
                }
                Ok(None) => {}
                Err(error) => return Err(format!("the agent sent a {error}")),
            }
            match self.reader.read(&mut self.buffer).await {
                Ok(0) => return Err("the connection was closed".into()),
                Ok(count) => {
                    self.heard = true;
                    self.frames.push(&self.buffer[..count]);
                }
                Err(error) => return Err(format!("the connection broke: {error}")),
            }
        }
    }

    /// Whether anything has come since this was last asked, be it half a message.
    pub fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Sends what is still queued, then waits until the far side has closed the link: an agent that
    /// leaves closes it when its last files are gone. Waits at most [`CLOSE_LIMIT`].
    pub async fn close(mut self) {
        drop(self.outgoing);
        let closing = async {
            let _ = self.writing.await;
            while self.reader.read(&mut self.buffer).await.is_ok_and(|count| count > 0) {}
        };
        let _ = tokio::time::timeout(CLOSE_LIMIT, closing).await;
    }

    /// A cause, with what the far side said beside the stream.
    pub fn explain(&self, cause: String) -> String {
        let words = self.aside.last_words();
        if words.is_empty() { cause } else { format!("{cause}; it said: {words}") }
    }
}
