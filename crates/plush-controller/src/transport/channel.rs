//! The receiving side of an SSH channel as a plain reader; standard error goes aside.
//!
//! Not the sending side: russh's writer is used as it is.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use russh::client::Handle;
use russh::{ChannelMsg, ChannelReadHalf};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{mpsc, watch};

use super::link::AsideText;
use super::russh_client::{Client, end_of};

/// Packets read ahead of the reader.
const READ_AHEAD_PACKETS: usize = 8;

/// Reads a channel; holds the connections under it open.
pub(crate) struct ChannelReader {
    packets: mpsc::Receiver<Bytes>,
    current: Bytes,
    _under: Vec<Arc<Handle<Client>>>,
}

impl ChannelReader {
    pub(crate) fn new(packets: mpsc::Receiver<Bytes>, under: Vec<Arc<Handle<Client>>>) -> Self {
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

/// Sorts a channel's messages until it closes or nobody reads any more.
pub(crate) fn pump(
    mut channel: ChannelReadHalf,
    aside: watch::Sender<AsideText>,
) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD_PACKETS);
    tokio::spawn(async move {
        let mut data = Some(sender);
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
                ChannelMsg::Close => break,
                _ => {}
            }
        }
        aside.send_modify(|text| {
            text.end.get_or_insert_with(|| "the connection was closed".to_owned());
        });
    });
    receiver
}
