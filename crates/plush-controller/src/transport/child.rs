//! A child process that carries a stream: its standard error, its end, and that it ends when nobody reads any more.
//!
//! Not how it is started.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::process::{Child, ChildStdout};
use tokio::sync::{oneshot, watch};

use super::link::{Aside, AsideText, Reader, Writer};

/// How long a child may take to end after nobody reads it any more.
const GRACE: Duration = Duration::from_secs(3);

/// The streams of a child. When the reader is dropped, the child has to end.
pub(crate) fn attach(mut child: Child) -> (Reader, Writer, Aside) {
    let stdout = child.stdout.take().expect("standard output is piped");
    let stdin = child.stdin.take().expect("standard input is piped");
    let (interest, lost) = oneshot::channel();
    let (sender, aside) = Aside::channel();
    tokio::spawn(attend(child, sender, lost));
    let reader = ChildReader { stdout, _interest: interest };
    (Box::new(reader), Box::new(stdin), aside)
}

struct ChildReader {
    stdout: ChildStdout,
    _interest: oneshot::Sender<()>,
}

impl AsyncRead for ChildReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

/// Listens to standard error and reaps the child.
async fn attend(
    mut child: Child,
    aside: watch::Sender<AsideText>,
    mut lost: oneshot::Receiver<()>,
) {
    let mut stderr = child.stderr.take().expect("standard error is piped");
    let listening = async {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
            aside.send_modify(|text| text.stderr.push(&chunk[..count]));
        }
    };
    let unwanted = tokio::select! {
        () = listening => false,
        _ = &mut lost => true,
    };
    if !unwanted {
        tokio::select! {
            _ = child.wait() => {}
            _ = lost => {}
        }
    }
    // What was written last may still be on its way, so the child may end by itself first.
    let ended = match tokio::time::timeout(GRACE, child.wait()).await {
        Ok(ended) => ended,
        Err(_) => {
            let _ = child.start_kill();
            child.wait().await
        }
    };
    let end = ended.map_or_else(|e| e.to_string(), |status| status.to_string());
    aside.send_modify(|text| text.end = Some(end));
}
