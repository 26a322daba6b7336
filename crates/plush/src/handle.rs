//! The one handle that front ends have on a run: a client of its operator socket.
//! Not the run directory's files, which outlive the socket.

use plush_protocol::operator::{OperatorReply, OperatorRequest};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

/// The longest reply that is believed: a view of some hundred thousand hosts.
const REPLY_BYTES_MAX: u64 = 256 << 20;

/// Replies read ahead of their use.
const REPLIES_AHEAD: usize = 16;

/// The longest path that fits into the address of a UNIX socket everywhere.
const SOCKET_PATH_MAX: usize = 100;

/// A connection to a run's controller.
#[derive(Debug)]
pub struct Handle {
    writer: OwnedWriteHalf,
    replies: mpsc::Receiver<io::Result<OperatorReply>>,
}

impl Handle {
    /// Connects to the controller of the run in that directory.
    pub async fn connect(run_dir: &Path) -> io::Result<Handle> {
        let socket = ShortPath::of(run_dir, "operator.sock")?;
        let (reader, writer) = UnixStream::connect(&socket.path).await?.into_split();
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

/// A path to a socket that is short enough for its address. Run directories may lie deep.
struct ShortPath {
    path: PathBuf,
    /// Keeps `/proc/self/fd/N` valid.
    _directory: Option<File>,
}

impl ShortPath {
    fn of(directory: &Path, name: &str) -> io::Result<ShortPath> {
        let path = directory.join(name);
        if path.as_os_str().len() <= SOCKET_PATH_MAX || !Path::new("/proc/self/fd").exists() {
            return Ok(ShortPath { path, _directory: None });
        }
        let held = File::open(directory)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&held);
        Ok(ShortPath {
            path: PathBuf::from(format!("/proc/self/fd/{number}/{name}")),
            _directory: Some(held),
        })
    }
}
