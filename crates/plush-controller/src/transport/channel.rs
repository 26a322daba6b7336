//! An SSH channel as a plain reader and writer; standard error goes aside.
//!
//! Not the connection under it: that is the session's.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use russh::client;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::link::{AsideText, Writer};
use super::russh_client::{Client, end_of};

/// Packets read ahead of the reader.
const READ_AHEAD_PACKETS: usize = 8;

/// A shell that is told to end has so long to do it.
const ENDING: Duration = Duration::from_millis(300);
/// A connection stays so long for its last messages to leave it.
const LAST_MESSAGES: Duration = Duration::from_secs(1);

/// Reads a channel; holds the connections under it open.
pub(crate) struct ChannelReader {
    packets: mpsc::Receiver<Bytes>,
    current: Bytes,
    _under: Vec<Arc<client::Handle<Client>>>,
}

impl ChannelReader {
    pub(crate) fn new(
        packets: mpsc::Receiver<Bytes>,
        under: Vec<Arc<client::Handle<Client>>>,
    ) -> Self {
        Self { packets, current: Bytes::new(), _under: under }
    }
}

impl AsyncRead for ChannelReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        while self.current.is_empty() {
            match ready!(self.packets.poll_recv(cx)) {
                Some(packet) => self.current = packet,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.current.len().min(buf.remaining());
        buf.put_slice(&self.current[..count]);
        self.current.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// Writes to a channel; dropping it ends the stream, as closing a pipe does.
pub(crate) struct ChannelWriter {
    inner: Option<Writer>,
}

impl ChannelWriter {
    pub(crate) fn new(inner: Writer) -> Self {
        Self { inner: Some(inner) }
    }

    fn open(&mut self) -> std::io::Result<&mut Writer> {
        self.inner.as_mut().ok_or_else(|| std::io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for ChannelWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(self.open()?).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(self.open()?).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(Ok(())) };
        let done = ready!(Pin::new(inner).poll_shutdown(cx));
        self.inner = None;
        Poll::Ready(done)
    }
}

impl Drop for ChannelWriter {
    fn drop(&mut self) {
        if let (Some(mut inner), Ok(runtime)) = (self.inner.take(), Handle::try_current()) {
            runtime.spawn(async move {
                let _ = inner.shutdown().await;
            });
        }
    }
}

/// Ends a channel's command when it is dropped: closing the channel alone leaves a login that hangs on the host for ever,
/// since it reads nothing and writes nothing. Servers pass the signal to the process group of the login (RFC 4254,
/// section 6.9); OpenSSH does so unless the command is forced on the account by its configuration.
pub(crate) struct Leash {
    held: Option<Held>,
}

struct Held {
    command: ChannelWriteHalf<client::Msg>,
    under: Vec<Arc<client::Handle<Client>>>,
}

impl Leash {
    pub(crate) fn new(
        command: ChannelWriteHalf<client::Msg>,
        under: Vec<Arc<client::Handle<Client>>>,
    ) -> Self {
        Self { held: Some(Held { command, under }) }
    }

    /// The command has become what it was to become.
    pub(crate) fn slip(mut self) {
        self.held = None;
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if let (Some(held), Ok(runtime)) = (self.held.take(), Handle::try_current()) {
            runtime.spawn(held.end());
        }
    }
}

impl Held {
    /// A connection that is gone takes no message: its server has ended the login, or will notice by itself.
    async fn end(self) {
        if self.command.signal(Sig::TERM).await.is_ok() {
            tokio::time::sleep(ENDING).await;
            let _ = self.command.signal(Sig::KILL).await;
            let _ = self.command.close().await;
            tokio::time::sleep(LAST_MESSAGES).await;
        }
        drop(self.under);
    }
}

/// Sorts a channel's messages until it closes or nobody reads any more.
pub(crate) fn pump(
    mut channel: ChannelReadHalf,
    aside: watch::Sender<AsideText>,
) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD_PACKETS);
    tokio::spawn(async move {
        let mut data = Some(sender);
        let mut is_cut_off = true;
        while let Some(message) = channel.wait().await {
            if let Some(end) = end_of(&message) {
                aside.send_modify(|text| text.end = Some(end));
            }
            match message {
                ChannelMsg::Data { data: packet } => {
                    if let Some(open) = &data
                        && open.send(packet).await.is_err()
                    {
                        return;
                    }
                }
                ChannelMsg::ExtendedData { data: packet, .. } => {
                    aside.send_modify(|text| text.stderr.push(&packet));
                }
                // The exit status may come after the end of the data: go on listening for it.
                ChannelMsg::Eof | ChannelMsg::Failure => data = None,
                ChannelMsg::Close => {
                    is_cut_off = false;
                    break;
                }
                _ => {}
            }
        }
        aside.send_modify(|text| {
            text.is_cut_off = is_cut_off && text.end.is_none();
            text.end.get_or_insert_with(|| "the connection was closed".to_owned());
        });
    });
    receiver
}
