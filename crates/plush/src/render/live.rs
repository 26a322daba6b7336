//! Output lines as they come: `host: text`, in the host's colour.
//! Not folded: that needs all the output (`fold`).

use crate::colour::Paint;
use crate::render::text;
use crate::screen::Line;
use plush_protocol::operator::OutputLine;
use plush_protocol::task::StreamName;

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
    /// Lines for the screen, and a word about those that were left out.
    pub fn lines(&self, lines: &[OutputLine], skipped: u64) -> Vec<Line> {
        let gap = (skipped > 0).then(|| Line::Err(self.err.odd(GAP.to_owned())));
        gap.into_iter().chain(lines.iter().map(|line| self.line(line))).collect()
    }

    fn line(&self, line: &OutputLine) -> Line {
        match line.stream {
            StreamName::Out => Line::Out(self.labelled(line, self.out)),
            StreamName::Err => Line::Err(self.labelled(line, self.err)),
        }
    }

    fn labelled(&self, line: &OutputLine, paint: Paint) -> String {
        let said = text::guarded_line(&line.text);
        let host = || paint.host(text::shown(&line.host), &line.host);
        match self.label {
            Label::Host => format!("{}: {said}", host()),
            Label::Process => format!("{} {}: {said}", host(), text::shown(&line.process)),
            Label::None => said.into_owned(),
        }
    }
}

const GAP: &str = "plush: some output is not shown since it came faster than it could be; the files have all of it";

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stream: StreamName, said: &str) -> OutputLine {
        OutputLine { host: "n1".into(), process: "p".into(), stream, text: said.into() }
    }

    const PLAIN: Live = Live { label: Label::Host, out: Paint::Plain, err: Paint::Plain };

    #[test]
    fn each_stream_goes_where_it_belongs() {
        let lines = PLAIN.lines(&[line(StreamName::Out, "a"), line(StreamName::Err, "b")], 0);
        assert_eq!(lines, [Line::Out("n1: a".into()), Line::Err("n1: b".into())]);
    }

    #[test]
    fn a_line_stays_one_line_whatever_is_in_it() {
        let lines = PLAIN.lines(&[line(StreamName::Out, "a\nfake: b\x1b[2J")], 0);
        assert_eq!(lines, [Line::Out("n1: a\\nfake: b\\u{1b}[2J".into())]);
    }

    #[test]
    fn what_was_left_out_is_said_first() {
        let lines = PLAIN.lines(&[line(StreamName::Out, "a")], 7);
        assert!(matches!(&lines[0], Line::Err(text) if text.contains("not shown")));
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn the_process_is_named_when_asked_for() {
        let live = Live { label: Label::Process, ..PLAIN };
        assert_eq!(live.lines(&[line(StreamName::Out, "a")], 0), [Line::Out("n1 p: a".into())]);
    }
}
