//! The only writer to the terminal while a run is watched: whole lines, and one status line below them.
//! Not what is written: renderers make that.

use std::io::{self, IsTerminal, Write};
use tokio::sync::{mpsc, oneshot};

/// Writes that may wait for a slow terminal or pipe.
const WAITING_MAX: usize = 64;

/// One write.
#[derive(Debug)]
pub enum Say {
    /// Whole lines for standard output and standard error, in this order.
    Lines(Vec<Line>),
    /// The status line; an empty one is taken away. Only on a terminal.
    Status(String),
    /// Is answered when all that was said before is written.
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
}

impl Screen {
    /// Takes standard output and standard error.
    pub fn open() -> Screen {
        let (says, waiting) = mpsc::channel(WAITING_MAX);
        let (done, finished) = oneshot::channel();
        std::thread::spawn(move || {
            let terminal = io::stderr().is_terminal();
            write_all(waiting, Writer::new(io::stdout(), io::stderr(), terminal));
            // Nobody may be waiting any more.
            let _ = done.send(());
        });
        Screen { says, finished }
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
            Say::Status(status) => writer.status(status),
            // What waits for it may be gone.
            Say::Mark(written) => drop(written.send(())),
        }
    }
    writer.status(String::new());
}

/// Keeps the status line below everything else. A stream whose reader has gone is not written any more; the run goes on.
struct Writer<O, E> {
    out: Option<O>,
    err: Option<E>,
    terminal: bool,
    status: String,
}

impl<O: Write, E: Write> Writer<O, E> {
    fn new(out: O, err: E, terminal: bool) -> Writer<O, E> {
        Writer { out: Some(out), err: Some(err), terminal, status: String::new() }
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

fn write_to(stream: &mut Option<impl Write>, bytes: &[u8]) {
    let Some(open) = stream else { return };
    if open.write_all(bytes).and_then(|()| open.flush()).is_err() {
        *stream = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        write_all(waiting, Writer::new(Shared(&shared), Shared(&shared), terminal));
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
        let mut writer = Writer::new(Gone, &mut err, false);
        writer.lines(&[Line::Out("1".into()), Line::Err("2".into()), Line::Out("3".into())]);
        let err = String::from_utf8(err).expect("text");
        assert_eq!(err.matches("nobody reads standard output").count(), 1, "{err}");
        assert!(err.ends_with("\n2\n"), "{err}");
    }
}
