//! Lines of output as people watch them: whole, escaped, and only made while somebody watches.
//! Not the record: that is the bytes in the files.

use plush_protocol::{OutputLine, StreamName, TaskKey, escape};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Batches that a watcher may be behind before it misses some.
pub const BATCHES: usize = 128;
/// A line is shown up to so many bytes; the rest is counted.
const LINE_BYTES: usize = 16 << 10;

/// A batch of lines for everybody who watches.
pub type Batch = Arc<Vec<OutputLine>>;

/// Makes lines of one host's output.
pub struct Lines {
    host: String,
    out: broadcast::Sender<Batch>,
    partial: BTreeMap<(TaskKey, StreamName), Partial>,
}

#[derive(Default)]
struct Partial {
    bytes: Vec<u8>,
    cut_bytes: u64,
}

impl Lines {
    /// Lines of `host` go to `out`.
    pub fn new(host: String, out: broadcast::Sender<Batch>) -> Self {
        Lines { host, out, partial: BTreeMap::new() }
    }

    /// Takes bytes in order; passes on the lines that they complete.
    pub fn take(&mut self, key: TaskKey, stream: StreamName, process: &str, bytes: &[u8]) {
        if self.out.receiver_count() == 0 {
            self.partial.clear();
            return;
        }
        let partial = self.partial.entry((key, stream)).or_default();
        let mut lines = Vec::new();
        let mut pieces = bytes.split(|b| *b == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            partial.add(piece);
            if pieces.peek().is_some() {
                lines.push(partial.finish(&self.host, process, stream));
            }
        }
        self.send(lines);
    }

    /// A stream has ended: a last line without a newline is passed on too.
    pub fn end(&mut self, key: TaskKey, stream: StreamName, process: &str) {
        let rest = self.partial.remove(&(key, stream)).filter(|p| !p.bytes.is_empty());
        if let Some(mut rest) = rest {
            let line = rest.finish(&self.host, process, stream);
            self.send(vec![line]);
        }
    }

    fn send(&self, lines: Vec<OutputLine>) {
        if !lines.is_empty() {
            // Nobody watching is no error.
            let _ = self.out.send(Arc::new(lines));
        }
    }
}

impl Partial {
    fn add(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES - self.bytes.len().min(LINE_BYTES);
        let shown = bytes.len().min(room);
        self.bytes.extend_from_slice(&bytes[..shown]);
        self.cut_bytes += (bytes.len() - shown) as u64;
    }

    fn finish(&mut self, host: &str, process: &str, stream: StreamName) -> OutputLine {
        let mut text = escape(self.bytes.strip_suffix(b"\r").unwrap_or(&self.bytes));
        if self.cut_bytes > 0 {
            text.push_str(&format!(" [{} bytes more]", self.cut_bytes));
        }
        self.bytes.clear();
        self.cut_bytes = 0;
        OutputLine { host: host.to_owned(), process: process.to_owned(), stream, text }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KEY: TaskKey = TaskKey { task: 0, incarnation: 1 };

    fn shown(pieces: &[&[u8]]) -> Vec<String> {
        let (out, mut watcher) = broadcast::channel(BATCHES);
        let mut lines = Lines::new("h".into(), out);
        pieces.iter().for_each(|p| lines.take(KEY, StreamName::Out, "p", p));
        lines.end(KEY, StreamName::Out, "p");
        let mut texts = Vec::new();
        while let Ok(batch) = watcher.try_recv() {
            texts.extend(batch.iter().map(|l| l.text.clone()));
        }
        texts
    }

    #[test]
    fn a_line_is_never_torn() {
        assert_eq!(shown(&[b"a", b"b\nc\n\nd", b"e"]), ["ab", "c", "", "de"]);
    }

    #[test]
    fn f66_an_endless_line_is_cut_with_its_count() {
        let long = vec![b'x'; LINE_BYTES + 7];
        let texts = shown(&[&long, b"\nnext\n"]);
        assert!(texts[0].ends_with("x [7 bytes more]"));
        assert_eq!(texts[1], "next");
    }
}
