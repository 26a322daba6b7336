//! Rendering of output: `host: text` in the host's color, or an object for each batch of lines.
//! Not its source (`tail`), and not folding (`fold`).

use crate::colour::Paint;
use crate::render::{json, text};
use crate::tail::{Piece, character_boundary};
use plush_protocol::StreamName;
use plush_protocol::tainted::escape_into;
use std::fmt::Write;

/// Maximum number of bytes of a line on a terminal; the rest is counted.
pub const LINE_BYTES: usize = 16 << 10;

/// What stands before each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Label {
    /// `host: `
    Host,
    /// `host process: `
    Process,
    /// Nothing.
    None,
}

/// How lines are shown.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// What stands before each line.
    pub label: Label,
    /// Colour on standard output.
    pub out: Paint,
    /// Colour on standard error.
    pub err: Paint,
}

impl Live {
    /// The prefix of the lines of a stream.
    pub fn before(&self, host: &str, process: &str, stream: StreamName) -> String {
        let paint = match stream {
            StreamName::Out => self.out,
            StreamName::Err => self.err,
        };
        let name = || paint.host(text::shown(host), host);
        match self.label {
            Label::Host => format!("{}: ", name()),
            Label::Process => format!("{} {}: ", name(), text::shown(process)),
            Label::None => String::new(),
        }
    }
}

/// Display state of one stream. A carriage return ends a line, since later text would overwrite the
/// line.
#[derive(Debug)]
pub struct Voice {
    form: Form,
    /// Part of a line without its newline has been shown.
    begun: bool,
    /// Shown bytes of a line that is shown in pieces.
    shown_bytes: usize,
}

#[derive(Debug)]
enum Form {
    Text { before: String, cut_bytes: Option<usize> },
    Object { before: String },
}

impl Voice {
    /// Lines of text after the prefix `before`, optionally cut to this many bytes.
    pub fn text(before: String, cut_bytes: Option<usize>) -> Voice {
        Voice { form: Form::Text { before, cut_bytes }, begun: false, shown_bytes: 0 }
    }

    /// Objects whose `is` is `output`.
    pub fn object(host: &str, process: &str, stream: StreamName) -> Voice {
        let [host, process] = [host, process].map(|name| json::line(&name));
        let stream = json::line(&stream);
        let before =
            format!("{{\"host\":{host},\"process\":{process},\"stream\":{stream},\"text\":\"");
        Voice { form: Form::Object { before }, begun: false, shown_bytes: 0 }
    }

    /// Changes the prefix of later lines.
    pub fn begin_with(&mut self, new: String) {
        if let Form::Text { before, .. } = &mut self.form {
            *before = new;
        }
    }

    /// Appends the visible text of a piece to `page`.
    pub fn say(&mut self, piece: &Piece<'_>, page: &mut String) {
        match piece {
            Piece::Lines(bytes) => self.lines(bytes, page),
            Piece::Part { bytes, first, last, line_bytes } => {
                self.part(bytes, (*first, *last), *line_bytes, page);
            }
            Piece::Lost(bytes) => self.lost(*bytes, page),
        }
    }

    fn lines(&mut self, bytes: &[u8], page: &mut String) {
        match &self.form {
            Form::Text { before, cut_bytes } => {
                for_lines(bytes, &mut self.begun, |line| {
                    page.push_str(before);
                    let cut = cut_bytes.filter(|cut| line.len() > *cut);
                    let kept = cut.map_or(line, |cut| within(line, cut));
                    escape_into(kept, page);
                    count_more(line.len() - kept.len(), page);
                    page.push('\n');
                });
            }
            Form::Object { before } => {
                let (begin, mut is_first) = (page.len(), true);
                page.push_str(BATCH);
                let empty = page.len();
                let mut said = String::new();
                for_lines(bytes, &mut self.begun, |line| {
                    if !std::mem::take(&mut is_first) {
                        page.push(',');
                    }
                    page.push_str(before);
                    said.clear();
                    escape_into(line, &mut said);
                    quote_into(&said, page);
                    page.push_str("\"}");
                });
                match page.len() == empty {
                    true => page.truncate(begin),
                    false => page.push_str(BATCH_END),
                }
            }
        }
    }

    fn part(&mut self, bytes: &[u8], (first, last): (bool, bool), of: u64, page: &mut String) {
        let line = bytes.strip_suffix(b"\n").or(bytes.strip_suffix(b"\r")).unwrap_or(bytes);
        if first {
            self.shown_bytes = 0;
        }
        match &self.form {
            Form::Text { before, cut_bytes } => {
                if first {
                    page.push_str(before);
                }
                let room = cut_bytes.map_or(line.len(), |cut| cut - self.shown_bytes.min(cut));
                let kept = within(line, room);
                escape_into(kept, page);
                self.shown_bytes += kept.len();
                if last {
                    let end = bytes.len() - line.len();
                    let more = usize::try_from(of).unwrap_or(usize::MAX) - end - self.shown_bytes;
                    count_more(more, page);
                    page.push('\n');
                }
            }
            Form::Object { before } => {
                if first {
                    page.push_str(BATCH);
                    page.push_str(before);
                }
                let mut said = String::new();
                escape_into(line, &mut said);
                quote_into(&said, page);
                if last {
                    page.push_str("\"}");
                    page.push_str(BATCH_END);
                }
            }
        }
        if last {
            self.begun = bytes.ends_with(b"\r");
        }
    }

    fn lost(&mut self, bytes: u64, page: &mut String) {
        self.begun = false;
        match &self.form {
            Form::Text { before, .. } => writeln!(page, "{before}[{bytes} bytes were lost here]"),
            Form::Object { before } => {
                writeln!(page, "{BATCH}{before}\",\"lost_bytes\":{bytes}}}{BATCH_END}")
                    .map(|()| page.truncate(page.len() - 1))
            }
        }
        .expect("writing to a String succeeds");
    }
}

const BATCH: &str = "{\"is\":\"output\",\"lines\":[";
const BATCH_END: &str = "],\"skipped\":0}\n";

/// A prefix of at most this many bytes, in whole characters.
fn within(line: &[u8], bytes: usize) -> &[u8] {
    match line.get(..bytes) {
        Some(kept) if bytes < line.len() => &kept[..character_boundary(kept)],
        Some(_) | None => line,
    }
}

fn count_more(bytes: usize, page: &mut String) {
    if bytes > 0 {
        write!(page, " [{bytes} bytes more]").expect("writing to a String succeeds");
    }
}

/// Calls `show` for each line. A carriage return at the start of a line shows nothing, nor does a
/// newline after a carriage return. `begun` is whether the continued line has shown something.
fn for_lines(bytes: &[u8], begun: &mut bool, mut show: impl FnMut(&[u8])) {
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = &rest[..end];
        let is_newline = rest[end] == b'\n';
        if !line.is_empty() || (is_newline && !*begun) {
            show(line);
        }
        *begun = !is_newline && (*begun || !line.is_empty());
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        show(rest);
        *begun = false;
    }
}

/// Escaped text as a JSON string.
fn quote_into(said: &str, page: &mut String) {
    let mut rest = said;
    while let Some(at) = rest.find(['"', '\\', '\t', '\n']) {
        page.push_str(&rest[..at]);
        page.push_str(match rest.as_bytes()[at] {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\t' => "\\t",
            _ => "\\n",
        });
        rest = &rest[at + 1..];
    }
    page.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Live = Live { label: Label::Host, out: Paint::Plain, err: Paint::Plain };

    fn said(voice: &mut Voice, pieces: &[Piece<'_>]) -> String {
        let mut page = String::new();
        pieces.iter().for_each(|piece| voice.say(piece, &mut page));
        page
    }

    fn shown(bytes: &[u8]) -> String {
        said(&mut Voice::text("n1: ".into(), None), &[Piece::Lines(bytes)])
    }

    #[test]
    fn a_line_stays_one_line_whatever_is_in_it() {
        assert_eq!(shown(b"a\x0bfake: b\x1b[2J\\\n"), "n1: a\\x0bfake: b\\x1b[2J\\\n");
    }

    #[test]
    fn a_carriage_return_ends_a_line_and_makes_none() {
        assert_eq!(shown(b"a\r\n\r\n\nb\r\r\n"), "n1: a\nn1: \nn1: \nn1: b\n");
        assert_eq!(shown(b"\r10%\r20%\r100%\ndone"), "n1: 10%\nn1: 20%\nn1: 100%\nn1: done\n");
        let mut voice = Voice::text(String::new(), None);
        let torn = [Piece::Lines(b"a\r"), Piece::Lines(b"\nb\n")];
        assert_eq!(said(&mut voice, &torn), "a\nb\n");
    }

    #[test]
    fn the_process_is_named_when_asked_for() {
        let live = Live { label: Label::Process, ..PLAIN };
        assert_eq!(live.before("n1", "p", StreamName::Out), "n1 p: ");
        assert_eq!(PLAIN.before("n\x1b[2J", "p", StreamName::Err), "n\\x1b[2J: ");
    }

    #[test]
    fn f66_an_endless_line_is_cut_with_its_count_on_a_terminal_alone() {
        let mut cut = Voice::text("n1: ".into(), Some(4));
        let pieces = [
            Piece::Part { bytes: b"abc", first: true, last: false, line_bytes: 9 },
            Piece::Part { bytes: b"defgh\n", first: false, last: true, line_bytes: 9 },
            Piece::Lines("x\nabc\u{e4}fg\n".as_bytes()),
        ];
        let expected = "n1: abcd [4 bytes more]\nn1: x\nn1: abc [4 bytes more]\n";
        assert_eq!(said(&mut cut, &pieces), expected);
        let mut whole = Voice::text("n1: ".into(), None);
        assert_eq!(said(&mut whole, &pieces), "n1: abcdefgh\nn1: x\nn1: abc\u{e4}fg\n");
    }

    #[test]
    fn what_was_lost_is_said_in_its_place() {
        let mut voice = Voice::text("n1: ".into(), None);
        assert_eq!(said(&mut voice, &[Piece::Lost(7)]), "n1: [7 bytes were lost here]\n");
        let mut voice = Voice::object("n1", "p", StreamName::Out);
        let object = said(&mut voice, &[Piece::Lost(7)]);
        let object: serde_json::Value = serde_json::from_str(&object).expect("an object");
        assert_eq!(object["lines"][0]["lost_bytes"], 7);
    }

    proptest! {
        #[test]
        fn objects_hold_the_lines_and_no_terminal_obeys_them(lines in proptest::collection::vec("[^\n\r]{1,20}", 1..5)) {
            let bytes = lines.join("\n") + "\n";
            let mut voice = Voice::object("n\"1", "p", StreamName::Err);
            let object = said(&mut voice, &[Piece::Lines(bytes.as_bytes())]);
            prop_assert!(!object.trim_end().chars().any(text::is_forbidden));
            let object: serde_json::Value = serde_json::from_str(&object).expect("an object");
            prop_assert_eq!(&object["skipped"], 0);
            prop_assert_eq!(&object["lines"][0]["host"], "n\"1");
            prop_assert_eq!(&object["lines"][0]["stream"], "err");
            for (line, shown) in lines.iter().zip(object["lines"].as_array().expect("a list")) {
                prop_assert_eq!(plush_protocol::escape(line.as_bytes()), shown["text"].as_str().expect("text"));
            }
        }
    }
}
