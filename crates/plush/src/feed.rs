//! Output of a run for a watching front end, read from the files that the controller reports as
//! grown.
//! Not the scheduling of reads: see `watch`.

use crate::render::live::{LINE_BYTES, Live, Voice};
use crate::render::{json, names, text};
use crate::tail::{self, PIECE_BYTES, Piece, Tail};
use plush_protocol::{StreamName, Written};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Output format.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// Lines, each stream to the matching stream of this process.
    Lines(Live),
    /// JSON objects, on standard output.
    Objects,
}

/// A stream of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The position at which a watcher begins.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// For each existing output file: the start of its last line. Other files are shown from their
    /// first byte.
    at: BTreeMap<PathBuf, u64>,
}

impl Beginning {
    /// Shows everything.
    pub fn all() -> Beginning {
        Beginning::default()
    }

    /// Skips the current content of the files.
    pub fn now(run_dir: &Path) -> Beginning {
        let mut at = BTreeMap::new();
        for folder in entries(&run_dir.join("output")) {
            for path in entries(&folder) {
                let is_output = path.extension().is_some_and(|e| e == "out" || e == "err");
                let begin = path.metadata().and_then(|file| tail::last_line(&path, file.len()));
                if let Some(begin) = begin.ok().filter(|begin| is_output && *begin > 0) {
                    at.insert(path, begin);
                }
            }
        }
        Beginning { at }
    }
}

/// Text to write: whole lines or a piece of one.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The destination.
    pub to: To,
    /// Whether it may be shown unchanged.
    pub text: String,
}

/// Dropped lines, by host.
#[derive(Debug, Default)]
pub struct LeftOut {
    lines: BTreeMap<String, u64>,
}

/// All streams with output to show. Memory is bounded by their number, not by the amount of output.
#[derive(Debug)]
pub struct Feed {
    run_dir: PathBuf,
    form: Form,
    /// Which of our streams are terminals.
    terminals: (bool, bool),
    beginning: Beginning,
    sources: BTreeMap<String, Source>,
    /// Files with unread output, in the order in which they grew.
    ready: VecDeque<String>,
    left_out: LeftOut,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Source {
    host: String,
    tail: Tail,
    voice: Voice,
    to: To,
    gap_bytes: u64,
    is_ready: bool,
}

impl Feed {
    /// Starts without files. `terminals`: whether standard output and standard error are terminals.
    pub fn new(run_dir: &Path, form: Form, terminals: (bool, bool), beginning: Beginning) -> Feed {
        Feed {
            run_dir: run_dir.to_owned(),
            form,
            terminals,
            beginning,
            sources: BTreeMap::new(),
            ready: VecDeque::new(),
            left_out: LeftOut::default(),
            buffer: Vec::new(),
        }
    }

    /// Records that a file has grown.
    pub fn take(&mut self, written: Written) {
        let source = match self.sources.remove(&written.file) {
            Some(source) => source,
            None => self.open(&written),
        };
        let source = self.sources.entry(written.file.clone()).or_insert(source);
        if source.gap_bytes < written.gap_bytes {
            source.gap_bytes = written.gap_bytes;
            source.tail.learn_gaps();
        }
        source.tail.extend(written.bytes, written.whole);
        if !std::mem::replace(&mut source.is_ready, true) {
            self.ready.push_back(written.file);
        }
    }

    fn open(&mut self, written: &Written) -> Source {
        let path = self.run_dir.join(&written.file);
        let at = self.beginning.at.remove(&path).unwrap_or_default();
        let Written { host, process, stream, .. } = written;
        let (to, voice) = match (self.form, stream) {
            (Form::Objects, _) => (To::Out, Voice::object(host, process, *stream)),
            (Form::Lines(live), stream) => {
                let to = match stream {
                    StreamName::Out => To::Out,
                    StreamName::Err => To::Err,
                };
                let cut = self.is_terminal(to).then_some(LINE_BYTES);
                (to, Voice::text(live.before(host, process, *stream), cut))
            }
        };
        let tail = Tail::from(path, at);
        Source { host: host.clone(), tail, voice, to, gap_bytes: 0, is_ready: false }
    }

    fn is_terminal(&self, to: To) -> bool {
        match to {
            To::Out => self.terminals.0,
            To::Err => self.terminals.1,
        }
    }

    /// Whether there is something to read.
    pub fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether a line is being shown in pieces: no other text may be written now.
    pub fn is_in_line(&self) -> bool {
        let first = self.ready.front().and_then(|file| self.sources.get(file));
        first.is_some_and(|source| source.tail.is_in_line())
    }

    /// Returns the next text. Streams take turns, one piece each.
    pub fn next(&mut self) -> io::Result<Option<Block>> {
        let mut block: Option<Block> = None;
        while let Some(file) = self.ready.front() {
            let source = self.sources.get_mut(file).expect("what is ready is known");
            if block.as_ref().is_some_and(|block| block.to != source.to) {
                break;
            }
            let piece = match source.tail.next(&mut self.buffer) {
                Ok(piece) => piece,
                // What was read of others is shown first; the error is met again at the next call.
                Err(_) if block.is_some() => break,
                Err(error) => {
                    let path = source.tail.path().display().to_string();
                    self.turn_from_first(true);
                    let why = format!("cannot read {}: {error}", text::shown(&path));
                    return Err(io::Error::new(error.kind(), why));
                }
            };
            let Some(piece) = piece else {
                self.turn_from_first(true);
                continue;
            };
            let (to, in_line) = (source.to, matches!(piece, Piece::Part { last: false, .. }));
            let block = block.get_or_insert(Block { to, text: String::new() });
            source.voice.say(&piece, &mut block.text);
            if !in_line {
                self.turn_from_first(false);
            }
            if in_line || block.text.len() >= PIECE_BYTES {
                break;
            }
        }
        Ok(block.filter(|block| !block.text.is_empty()))
    }

    /// Ends the turn of the first stream; `done` when it has no more output for now.
    fn turn_from_first(&mut self, done: bool) {
        let Some(file) = self.ready.pop_front() else { return };
        let Some(source) = self.sources.get_mut(&file) else { return };
        // A run may have more streams than a process may have open files.
        source.tail.close();
        if !done {
            return self.ready.push_back(file);
        }
        source.is_ready = false;
        if source.tail.is_over() {
            self.sources.remove(&file);
        }
    }

    /// Drops output for terminals and counts the lines.
    pub fn leave_out(&mut self) {
        let terminals = self.terminals;
        let files = std::mem::take(&mut self.ready);
        for file in files {
            let source = self.sources.get_mut(&file).expect("what is ready is known");
            let to_terminal = match source.to {
                To::Out => terminals.0,
                To::Err => terminals.1,
            };
            if !to_terminal || source.tail.is_in_line() {
                self.ready.push_back(file);
                continue;
            }
            // An unreadable file is reported at its turn.
            let Ok(lines) = source.tail.pass_over(&mut self.buffer) else {
                self.ready.push_back(file);
                continue;
            };
            source.tail.close();
            source.is_ready = false;
            self.left_out.add(&source.host, lines);
            if source.tail.is_over() {
                self.sources.remove(&file);
            }
        }
    }

    /// Whether dropped lines have not been reported yet.
    pub fn has_left_out(&self) -> bool {
        !self.left_out.lines.is_empty()
    }

    /// Returns the lines dropped since the last call, by destination; the terminal accepted nothing
    /// for this long.
    pub fn say_left_out(&mut self, still: Duration, run: &str) -> Block {
        let left_out = std::mem::take(&mut self.left_out);
        match self.form {
            Form::Lines(_) => Block { to: To::Err, text: left_out.line(still, run) },
            Form::Objects => Block { to: To::Out, text: left_out.object() },
        }
    }

    /// Extends every file to its current length.
    pub fn look_again(&mut self) {
        for (file, source) in &mut self.sources {
            let bytes = source.tail.path().metadata().map_or(0, |file| file.len());
            source.tail.extend(bytes, false);
            if !std::mem::replace(&mut source.is_ready, true) {
                self.ready.push_back(file.clone());
            }
        }
    }

    /// Marks the run as over: all files are complete, including streams without an end.
    pub fn end(&mut self) {
        for (file, source) in &mut self.sources {
            source.tail.extend(0, true);
            if !std::mem::replace(&mut source.is_ready, true) {
                self.ready.push_back(file.clone());
            }
        }
    }
}

impl LeftOut {
    fn add(&mut self, host: &str, lines: u64) {
        if lines > 0 {
            *self.lines.entry(host.to_owned()).or_default() += lines;
        }
    }

    fn line(&self, still: Duration, run: &str) -> String {
        let mut by_count: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for (host, lines) in &self.lines {
            by_count.entry(*lines).or_default().push(host);
        }
        let total: u64 = self.lines.values().sum();
        let mut parts = Vec::new();
        let mut named = 0;
        for (count, hosts) in by_count.iter().rev().take(GROUPS_MAX) {
            let each = if hosts.len() > 1 { " each" } else { "" };
            parts.push(format!("{count}{each} of {}", names::fold_within(hosts, GROUP_WIDTH)));
            named += hosts.len();
        }
        let more = self.lines.len() - named;
        if more > 0 {
            parts.push(format!("the rest of {}", text::counted(more, "host")));
        }
        format!(
            "plush: {} of output left out, since this terminal was not read for {} s: {}; \
             `plush logs {}` has all\n",
            text::counted(usize::try_from(total).unwrap_or(usize::MAX), "line"),
            still.as_secs(),
            parts.join(", "),
            text::shown(run),
        )
    }

    fn object(&self) -> String {
        let skipped: u64 = self.lines.values().sum();
        let by_host = &self.lines;
        json::line(
            &json!({ "is": "output", "lines": [], "skipped": skipped, "skipped_of": by_host }),
        ) + "\n"
    }
}

/// Maximum number of named groups of hosts with equal counts.
const GROUPS_MAX: usize = 12;
/// Maximum number of characters for the names of one group.
const GROUP_WIDTH: usize = 100;

/// A missing directory counts as empty.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colour::Paint;
    use crate::render::live::Label;

    struct Case {
        dir: tempfile::TempDir,
        feed: Feed,
    }

    impl Case {
        fn new(terminals: bool) -> Case {
            let dir = tempfile::tempdir().expect("a directory");
            let live = Live { label: Label::Host, out: Paint::Plain, err: Paint::Plain };
            let form = Form::Lines(live);
            let feed = Feed::new(dir.path(), form, (terminals, terminals), Beginning::all());
            Case { dir, feed }
        }

        /// The total content of the host's file.
        fn write(&mut self, host: &str, stream: StreamName, text: &str, whole: bool) {
            let ending = if stream == StreamName::Out { "out" } else { "err" };
            let file = format!("output/{host}/p.1.{ending}");
            let path = self.dir.path().join(&file);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("room");
            std::fs::write(&path, text).expect("room");
            self.feed.take(Written {
                host: host.into(),
                process: "p".into(),
                stream,
                file,
                bytes: text.len() as u64,
                gap_bytes: 0,
                whole,
            });
        }

        fn shown(&mut self) -> Vec<(To, String)> {
            let mut blocks = Vec::new();
            while self.feed.has_more() {
                let block = self.feed.next().expect("readable");
                blocks.extend(block.map(|block| (block.to, block.text)));
            }
            blocks
        }
    }

    #[test]
    fn each_stream_goes_where_it_belongs_and_what_was_shown_is_not_shown_again() {
        let mut case = Case::new(false);
        case.write("n1", StreamName::Out, "a\nb", false);
        case.write("n2", StreamName::Err, "c\n", true);
        let shown = [(To::Out, "n1: a\n".to_owned()), (To::Err, "n2: c\n".to_owned())];
        assert_eq!(case.shown(), shown);
        case.write("n1", StreamName::Out, "a\nbb\n", false);
        case.write("n1", StreamName::Out, "a\nbb\nlast", false);
        assert_eq!(case.shown(), [(To::Out, "n1: bb\n".to_owned())]);
        case.feed.end();
        assert_eq!(case.shown(), [(To::Out, "n1: last\n".to_owned())]);
        assert!(case.feed.sources.is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_read_takes_no_line_of_another_host_with_it() {
        let mut case = Case::new(false);
        case.write("a", StreamName::Out, "one\n", true);
        case.write("b", StreamName::Out, "two\n", true);
        std::fs::remove_file(case.dir.path().join("output/b/p.1.out")).expect("it is there");
        let block = case.feed.next().expect("readable").expect("there is output");
        assert_eq!(block.text, "a: one\n");
        assert!(case.feed.next().is_err());
        assert_eq!(case.shown(), [], "the error is reported once");
    }

    #[test]
    fn one_that_floods_lets_the_others_have_their_turn() {
        let mut case = Case::new(false);
        case.write("n1", StreamName::Out, &"flood\n".repeat(100_000), false);
        case.write("n2", StreamName::Out, "word\n", false);
        let first = case.feed.next().expect("readable").expect("something");
        let second = case.feed.next().expect("readable").expect("something");
        assert!(first.text.len() < 3 * PIECE_BYTES && second.text.starts_with("n2: word\n"));
    }

    #[test]
    fn a_long_line_is_not_torn_by_another_hosts() {
        let mut case = Case::new(false);
        let long = "x".repeat(3 * PIECE_BYTES);
        case.write("n1", StreamName::Out, &format!("{long}\n"), false);
        case.write("n2", StreamName::Out, "word\n", false);
        let all: String = case.shown().into_iter().map(|(_, text)| text).collect();
        assert!(all == format!("n1: {long}\nn2: word\n"));
    }

    #[test]
    fn lines_shown_and_lines_named_are_all_lines() {
        let mut case = Case::new(true);
        case.write("n1", StreamName::Out, "a\nb\nc", false);
        assert_eq!(case.shown().len(), 1);
        case.write("n1", StreamName::Out, "a\nb\nc\nd\ne", true);
        case.write("n2", StreamName::Err, "f\n", true);
        case.feed.leave_out();
        assert!(!case.feed.has_more() && case.feed.has_left_out());
        let said = case.feed.say_left_out(Duration::from_millis(2_500), "demo-1");
        let expected = "plush: 4 lines of output left out, since this terminal was not read for 2 s: \
                        3 of n1, 1 of n2; `plush logs demo-1` has all\n";
        assert_eq!(said, Block { to: To::Err, text: expected.into() });
        assert!(!case.feed.has_left_out() && case.feed.sources.is_empty());
    }

    #[test]
    fn nothing_is_left_out_of_a_file() {
        let mut case = Case::new(false);
        case.write("n1", StreamName::Out, "a\n", true);
        case.feed.leave_out();
        assert!(!case.feed.has_left_out());
        assert_eq!(case.shown(), [(To::Out, "n1: a\n".to_owned())]);
    }

    #[test]
    fn who_comes_late_sees_what_comes_from_then_on_and_the_line_that_is_being_written() {
        let mut case = Case::new(false);
        case.write("n1", StreamName::Out, "old\nhal", false);
        let form = case.feed.form;
        let beginning = Beginning::now(case.dir.path());
        case.feed = Feed::new(case.dir.path(), form, (false, false), beginning);
        case.write("n1", StreamName::Out, "old\nhalf\n", false);
        case.write("n2", StreamName::Out, "new\n", false);
        assert_eq!(case.shown(), [(To::Out, "n1: half\nn2: new\n".to_owned())]);
    }
}
