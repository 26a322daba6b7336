//! The one handle that front ends have on a run: a client of its operator socket.
//! Not the run directory's files, which outlive the socket.

use plush_controller::RunDir;
use plush_protocol::operator::{OperatorReply, OperatorRequest};
use std::io;
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// The longest reply that is believed: a view of some hundred thousand hosts.
const REPLY_BYTES_MAX: u64 = 256 << 20;

/// Replies read ahead of their use.
const REPLIES_AHEAD: usize = 16;

/// A connection to a run's controller.
#[derive(Debug)]
pub struct Handle {
    writer: OwnedWriteHalf,
    replies: mpsc::Receiver<io::Result<OperatorReply>>,
}

impl Handle {
    /// Connects to the controller of the run in that directory.
    pub async fn connect(run_dir: &Path) -> io::Result<Handle> {
        let socket = RunDir::at(run_dir).operator_socket();
        let (reader, writer) = UnixStream::connect(socket).await?.into_split();
        let (sender, replies) = mpsc::channel(REPLIES_AHEAD);
        tokio::spawn(read_replies(reader, sender));
        Ok(Handle { writer, replies })
    }

    /// Sends a request; its reply, if any, is among the next ones.
    pub async fn ask(&mut self, request: &OperatorRequest) -> io::Result<()> {
        let mut line =
            serde_json::to_vec(request).expect("a request holds nothing that JSON cannot say");
        line.push(b'\n');
        self.writer.write_all(&line).await
    }

    /// The next reply; none once the connection is closed. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<io::Result<OperatorReply>> {
        self.replies.recv().await
    }
}

async fn read_replies(reader: OwnedReadHalf, replies: mpsc::Sender<io::Result<OperatorReply>>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let reply = match (&mut reader).take(REPLY_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) => return,
            Ok(_) => serde_json::from_slice(&line)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
            Err(error) => Err(error),
        };
        let failed = reply.is_err();
        if replies.send(reply).await.is_err() || failed {
            return;
        }
    }
}
