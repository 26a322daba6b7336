//! The only writer to the terminal while a run is watched: whole lines, and one status line below them.
//! Not what is written: renderers make that.

use crate::feed::{Block, To};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Writes that may wait for a slow terminal or pipe.
const WAITING_MAX: usize = 16;

/// Block size for a terminal: small enough to distinguish a slow terminal from one that accepts
/// nothing.
const TERMINAL_BYTES: usize = 512;

/// A terminal that accepts nothing for this time counts as unread.
pub const STILL: Duration = Duration::from_secs(2);

/// One write.
#[derive(Debug)]
pub enum Say {
    /// Whole lines for standard output and standard error, in this order.
    Lines(Vec<Line>),
    /// Text that ends with a newline, or continues in the next block.
    Block(Block),
    /// The status line; an empty one is taken away. Only on a terminal.
    Status(String),
    /// Answered when all earlier text is written.
    Mark(oneshot::Sender<()>),
}

/// A line without its newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// For standard output.
    Out(String),
    /// For standard error.
    Err(String),
}

/// The screen: a thread of its own, so that a terminal that stands still never keeps signals waiting.
#[derive(Debug)]
pub struct Screen {
    says: mpsc::Sender<Say>,
    finished: oneshot::Receiver<()>,
    pace: Arc<Pace>,
}

/// How long the terminal has not accepted its current block.
#[derive(Debug)]
struct Pace {
    began: Instant,
    /// Milliseconds after `began`, plus one; 0 while nothing is pending.
    waits_since: AtomicU64,
}

impl Pace {
    fn new() -> Pace {
        Pace { began: Instant::now(), waits_since: AtomicU64::new(0) }
    }

    fn waits(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.waits_since.store(since.saturating_add(1), Ordering::Relaxed);
    }

    fn goes_on(&self) {
        self.waits_since.store(0, Ordering::Relaxed);
    }

    fn still(&self) -> Option<Duration> {
        let since = self.waits_since.load(Ordering::Relaxed).checked_sub(1)?;
        self.began
            .elapsed()
            .checked_sub(Duration::from_millis(since))
            .filter(|still| *still >= STILL)
    }
}

impl Screen {
    /// Takes standard output and standard error.
    pub fn open() -> Screen {
        let (says, waiting) = mpsc::channel(WAITING_MAX);
        let (done, finished) = oneshot::channel();
        let pace = Arc::new(Pace::new());
        let of_thread = Arc::clone(&pace);
        std::thread::spawn(move || {
            let paced = |is_terminal: bool| is_terminal.then(|| Arc::clone(&of_thread));
            let out = paced(io::stdout().is_terminal());
            let err = paced(io::stderr().is_terminal());
            let writer = Writer {
                terminal: err.is_some(),
                out: Some(Sink { stream: io::stdout(), pace: out }),
                err: Some(Sink { stream: io::stderr(), pace: err }),
                status: String::new(),
            };
            write_all(waiting, writer);
            // Nobody may be waiting any more.
            let _ = done.send(());
        });
        Screen { says, finished, pace }
    }

    /// How long a terminal has accepted nothing although text is pending; `None` within the limit
    /// for a slow terminal.
    pub fn stands_still(&self) -> Option<Duration> {
        self.pace.still()
    }

    /// Waits for room.
    pub async fn room(&self) -> mpsc::Permit<'_, Say> {
        self.says.reserve().await.expect("the screen's thread ends only after its last sender")
    }

    /// Says something unless the screen stands still, in which case it is not said.
    pub fn try_say(&self, say: Say) {
        // A full queue means that nobody could read it now.
        let _ = self.says.try_send(say);
    }

    /// Waits until everything is written.
    pub async fn finish(self) {
        drop(self.says);
        // The thread has ended either way.
        let _ = self.finished.await;
    }
}

fn write_all(mut waiting: mpsc::Receiver<Say>, mut writer: Writer<impl Write, impl Write>) {
    while let Some(say) = waiting.blocking_recv() {
        match say {
            Say::Lines(lines) => writer.lines(&lines),
            Say::Block(block) => writer.block(&block),
            Say::Status(status) => writer.status(status),
            // The receiver may no longer exist.
            Say::Mark(written) => drop(written.send(())),
        }
    }
    writer.status(String::new());
}

/// Keeps the status line below everything else. A stream whose reader has gone is not written any more; the run goes on.
struct Writer<O, E> {
    out: Option<Sink<O>>,
    err: Option<Sink<E>>,
    terminal: bool,
    status: String,
}

/// A stream of this process, with the pace of the terminal if it is one.
struct Sink<W> {
    stream: W,
    pace: Option<Arc<Pace>>,
}

impl<W: Write> Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(pace) = &self.pace else {
            self.stream.write_all(bytes)?;
            return self.stream.flush();
        };
        let written = bytes.chunks(TERMINAL_BYTES).try_for_each(|piece| {
            pace.waits();
            self.stream.write_all(piece)?;
            self.stream.flush()
        });
        pace.goes_on();
        written
    }
}

impl<O: Write, E: Write> Writer<O, E> {
    fn block(&mut self, block: &Block) {
        self.erase();
        match block.to {
            To::Out => self.write_out(block.text.as_bytes()),
            To::Err => write_to(&mut self.err, block.text.as_bytes()),
        }
        self.draw();
    }

    fn lines(&mut self, lines: &[Line]) {
        self.erase();
        for run in lines.chunk_by(|a, b| matches!(a, Line::Out(_)) == matches!(b, Line::Out(_))) {
            let mut bytes = Vec::new();
            for line in run {
                let (Line::Out(text) | Line::Err(text)) = line;
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(b'\n');
            }
            match run[0] {
                Line::Out(_) => self.write_out(&bytes),
                Line::Err(_) => write_to(&mut self.err, &bytes),
            }
        }
        self.draw();
    }

    fn write_out(&mut self, bytes: &[u8]) {
        let had_reader = self.out.is_some();
        write_to(&mut self.out, bytes);
        if had_reader && self.out.is_none() {
            write_to(&mut self.err, b"plush: nobody reads standard output any more; the run goes on, its output is in the run directory\n");
        }
    }

    fn status(&mut self, status: String) {
        if self.terminal && status != self.status {
            self.erase();
            self.status = status;
            self.draw();
        }
    }

    fn erase(&mut self) {
        if !self.status.is_empty() {
            write_to(&mut self.err, b"\r\x1b[K");
        }
    }

    fn draw(&mut self) {
        if !self.status.is_empty() {
            write_to(&mut self.err, self.status.as_bytes());
        }
    }
}

fn write_to(stream: &mut Option<Sink<impl Write>>, bytes: &[u8]) {
    let Some(open) = stream else { return };
    if open.write(bytes).is_err() {
        *stream = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer<O: Write, E: Write>(out: O, err: E, terminal: bool) -> Writer<O, E> {
        let out = Some(Sink { stream: out, pace: None });
        let err = Some(Sink { stream: err, pace: None });
        Writer { out, err, terminal, status: String::new() }
    }

    /// Both streams of one terminal.
    fn check(terminal: bool, says: Vec<Say>) -> String {
        let shared = std::sync::Mutex::new(Vec::new());
        struct Shared<'a>(&'a std::sync::Mutex<Vec<u8>>);
        impl Write for Shared<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().expect("one thread").extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (sender, waiting) = mpsc::channel(says.len().max(1));
        says.into_iter().for_each(|say| sender.try_send(say).expect("there is room"));
        drop(sender);
        write_all(waiting, writer(Shared(&shared), Shared(&shared), terminal));
        let written = shared.lock().expect("one thread").clone();
        String::from_utf8(written).expect("text")
    }

    #[test]
    fn lines_push_the_status_line_down() {
        let says = vec![
            Say::Status("1 of 2".into()),
            Say::Lines(vec![Line::Out("a: x".into()), Line::Err("a: y".into())]),
            Say::Status("2 of 2".into()),
        ];
        assert_eq!(check(true, says), "1 of 2\r\x1b[Ka: x\na: y\n1 of 2\r\x1b[K2 of 2\r\x1b[K");
    }

    #[test]
    fn without_a_terminal_there_is_no_status_line() {
        assert_eq!(
            check(false, vec![Say::Status("1".into()), Say::Lines(vec![Line::Err("b".into())])]),
            "b\n"
        );
    }

    #[test]
    fn a_reader_that_goes_is_noticed_once_and_the_rest_goes_on() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut err = Vec::new();
        let mut writer = writer(Gone, &mut err, false);
        writer.lines(&[Line::Out("1".into()), Line::Err("2".into()), Line::Out("3".into())]);
        let err = String::from_utf8(err).expect("text");
        assert_eq!(err.matches("nobody reads standard output").count(), 1, "{err}");
        assert!(err.ends_with("\n2\n"), "{err}");
    }
}
