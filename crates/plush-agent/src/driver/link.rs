//! One connection from a controller: what comes in as messages, what goes out in bounded batches.
//! Not which connection counts: the core decides that.

use super::collect::Permit;
use super::happened::Happened;
use plush_core::agent::LinkId;
use plush_protocol::{Frames, ToAgent, ToController};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Bytes handed to the connection at a time: what a pong waits behind on a slow line.
pub const BATCH_BYTES: usize = 64 << 10;
/// Messages that a controller may leave unread before it is hung up on.
const MAX_WAITING_BYTES: usize = 4 << 20;
/// A connection that says nothing for so long is no controller's.
const HELLO_LIMIT: Duration = Duration::from_secs(20);

/// Our end of a connection.
pub struct Link {
    reader: JoinHandle<()>,
    to_writer: mpsc::Sender<Vec<u8>>,
    /// Whole messages that wait for the writer.
    waiting: Vec<u8>,
    /// Those of the answers among them, and of those that are being written.
    permits: (Vec<Permit>, Vec<Permit>),
    /// The buffer that the writer has; it comes back.
    writer: Writer,
    /// It is to be closed once what waits is written.
    pub last_words: bool,
}

enum Writer {
    Idle(Vec<u8>),
    Busy,
}

impl Link {
    /// Serves an accepted connection.
    pub fn serve(id: LinkId, socket: UnixStream, happened: mpsc::Sender<Happened>) -> Link {
        let (mut from, mut to) = socket.into_split();
        let told = happened.clone();
        let (to_writer, mut batches) = mpsc::channel::<Vec<u8>>(1);
        let reader = tokio::spawn(async move {
            let why = read(id, &mut from, &happened).await;
            // The driver is gone if nobody takes this.
            let _gone = happened.send(Happened::LinkClosed { link: id, why }).await;
        });
        tokio::spawn(async move {
            while let Some(mut batch) = batches.recv().await {
                if let Err(e) = to.write_all(&batch).await {
                    let why = format!("write: {e}");
                    let _gone = told.send(Happened::LinkClosed { link: id, why }).await;
                    return;
                }
                batch.clear();
                let _gone = told.send(Happened::LinkWritten { link: id, spare: batch }).await;
            }
        });
        let writer = Writer::Idle(Vec::new());
        let permits = (Vec::new(), Vec::new());
        Link { reader, to_writer, waiting: Vec::new(), permits, writer, last_words: false }
    }

    /// Queues a message; `false` if the controller has left too much unread.
    #[must_use]
    pub fn say(&mut self, message: &ToController) -> bool {
        if let Err(e) = message.write(&mut self.waiting) {
            crate::log!("a message is too long to be sent: {e}");
        }
        self.waiting.len() <= MAX_WAITING_BYTES
    }

    /// Queues an answer that holds a permit until it is written.
    #[must_use]
    pub fn answer(&mut self, message: &ToController, permit: Permit) -> bool {
        self.permits.0.push(permit);
        self.say(message)
    }

    /// The next batch may be sent: a buffer that holds what waits, to be filled up to [`BATCH_BYTES`].
    pub fn next_batch(&mut self) -> Option<Vec<u8>> {
        let Writer::Idle(buffer) = &mut self.writer else { return None };
        let mut batch = std::mem::take(buffer);
        if batch.is_empty() {
            std::mem::swap(&mut batch, &mut self.waiting);
            self.permits.1.append(&mut self.permits.0);
        }
        Some(batch)
    }

    /// Hands a batch to the writer; an empty one only comes back.
    pub fn send(&mut self, batch: Vec<u8>) {
        if batch.is_empty() {
            self.writer = Writer::Idle(batch);
            return;
        }
        self.writer = Writer::Busy;
        // A writer that is gone has told so already.
        let _gone = self.to_writer.try_send(batch);
    }

    /// The writer has written its batch.
    pub fn written(&mut self, mut spare: Vec<u8>) {
        spare.shrink_to(2 * BATCH_BYTES);
        self.permits.1.clear();
        self.writer = Writer::Idle(spare);
    }

    /// Everything that was said has been written.
    pub fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && matches!(self.writer, Writer::Idle(_))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Passes on messages until the connection ends; says why it ended.
async fn read(
    link: LinkId,
    from: &mut tokio::net::unix::OwnedReadHalf,
    happened: &mpsc::Sender<Happened>,
) -> String {
    let mut frames = Frames::new();
    let mut bytes = vec![0; 32 << 10];
    let mut heard = false;
    loop {
        loop {
            match ToAgent::next(&mut frames) {
                Ok(Some(message)) => {
                    heard = true;
                    if happened.send(Happened::Said { link, message }).await.is_err() {
                        return "the agent ends".into();
                    }
                }
                Ok(None) => break,
                Err(e) => return e.to_string(),
            }
        }
        let read = from.read(&mut bytes);
        let read = if heard {
            read.await
        } else {
            match tokio::time::timeout(HELLO_LIMIT, read).await {
                Ok(read) => read,
                Err(_) => return "no hello came".into(),
            }
        };
        match read {
            Ok(0) => return "closed by the other end".into(),
            Ok(n) => frames.push(&bytes[..n]),
            Err(e) => return format!("read: {e}"),
        }
    }
}
