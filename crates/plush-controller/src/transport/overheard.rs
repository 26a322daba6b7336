//! A stream whose first bytes are remembered, so that a failed handshake can say what answered.
//!
//! Changes nothing that passes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::tainted::escape;

/// Bytes remembered from the beginning.
const REMEMBERED_BYTES: usize = 512;

/// Any stream that SSH can run over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What came from the server before the handshake was done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub start: Vec<u8>,
    pub bytes: u64,
    /// A line began with `SSH-`.
    pub ssh: bool,
    line: Vec<u8>,
}

impl Heard {
    /// The beginning, for people.
    pub(crate) fn excerpt(&self) -> String {
        let text = escape(&self.start[..self.start.len().min(80)]);
        format!("\"{}\"", text.trim_end_matches("\\n").trim_end_matches("\\r"))
    }

    pub(crate) fn says(&self, words: &str) -> bool {
        self.start.windows(words.len()).any(|w| w == words.as_bytes())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let room = REMEMBERED_BYTES - self.start.len();
        self.start.extend_from_slice(&bytes[..bytes.len().min(room)]);
        for byte in bytes {
            match byte {
                b'\n' if self.line.starts_with(b"SSH-") => {
                    self.ssh = true;
                    return;
                }
                b'\n' => self.line.clear(),
                byte if self.line.len() < 4 => self.line.push(*byte),
                _ => {}
            }
        }
    }
}

/// The listener's end.
pub(crate) struct Ear(watch::Receiver<Heard>);

impl Ear {
    /// Waits for the SSH banner.
    pub(crate) async fn spoke_ssh(&mut self) {
        if self.0.wait_for(|heard| heard.ssh).await.is_err() {
            // The stream is gone; whoever drives it learns why.
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn now(&self) -> Heard {
        self.0.borrow().clone()
    }
}

/// The stream itself.
pub(crate) struct Overheard {
    inner: Box<dyn Stream>,
    heard: watch::Sender<Heard>,
    /// The banner has been heard: after that nothing is copied.
    done: bool,
}

impl Overheard {
    pub(crate) fn new(inner: Box<dyn Stream>) -> (Self, Ear) {
        let (sender, receiver) = watch::channel(Heard::default());
        (Self { inner, heard: sender, done: false }, Ear(receiver))
    }
}

impl AsyncRead for Overheard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if !self.done {
            let fresh = &buf.filled()[before..];
            self.heard.send_modify(|heard| heard.take(fresh));
            let done = self.heard.borrow().ssh;
            self.done = done;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
