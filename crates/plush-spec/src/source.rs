//! The text of a description, and where its lines begin.
//! It is not read from anywhere: whoever has the text makes it.

use crate::model::Place;

/// A piece of the text, in bytes.
pub type Span = std::ops::Range<usize>;

/// A text and its lines.
#[derive(Debug)]
pub(crate) struct Source<'t> {
    pub text: &'t str,
    line_starts: Vec<usize>,
}

impl<'t> Source<'t> {
    pub fn new(text: &'t str) -> Source<'t> {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Source { text, line_starts: std::iter::once(0).chain(ends).collect() }
    }

    /// The line and column of a byte.
    pub fn place(&self, byte: usize) -> Place {
        let byte = self.text.floor_char_boundary(byte.min(self.text.len()));
        let line = self.line_starts.partition_point(|start| *start <= byte);
        let start = self.line_starts[line - 1];
        // A line of a hostile text can be as long as the text: do not count it a million times.
        let from = self.text.floor_char_boundary(start.max(byte.saturating_sub(COLUMN_BYTES_MAX)));
        let column = (from - start) + self.text[from..byte].chars().count();
        Place::new(line as u32, column as u32 + 1)
    }

    /// A piece that spans several lines, cut to the word that it begins with; any other unchanged.
    pub fn within_line(&self, span: &Span) -> Span {
        let piece = self.text.get(span.clone()).unwrap_or_default();
        if !piece.contains('\n') {
            return span.clone();
        }
        let word = |c: char| c.is_whitespace() || c == ':';
        span.start..span.start + piece.find(word).unwrap_or(piece.len())
    }

    /// Position of a word in a piece of the text as written; the whole piece where it is not found.
    pub fn word_within(&self, span: &Span, word: &str) -> Span {
        let piece = self.text.get(span.clone()).unwrap_or_default();
        match piece.find(word) {
            Some(at) => span.start + at..span.start + at + word.len(),
            None => span.clone(),
        }
    }

    /// The same for the last such word.
    pub fn last_within(&self, span: &Span, word: &str) -> Span {
        let piece = self.text.get(span.clone()).unwrap_or_default();
        match piece.rfind(word) {
            Some(at) => span.start + at..span.start + at + word.len(),
            None => span.clone(),
        }
    }

    /// Where a part of a text is, if the text stands at a place as it is, with or without a quote before it.
    pub fn piece_at(&self, place: Place, text: &str, offset: usize, len: usize) -> Option<Span> {
        let word = self.word_at(place);
        let start = [word.start, word.start + 1]
            .into_iter()
            .find(|at| self.text.get(*at..).is_some_and(|t| t.starts_with(text)))?;
        let (from, to) = (start + offset.min(text.len()), start + (offset + len).min(text.len()));
        self.text.get(from..to).map(|_| from..to)
    }

    /// The word that begins at a place; empty where the place is not of this text.
    pub fn word_at(&self, place: Place) -> Span {
        let Some(start) =
            (place.line as usize).checked_sub(1).and_then(|l| self.line_starts.get(l))
        else {
            return 0..0;
        };
        let column = (place.column as usize).saturating_sub(1);
        let reach = self.text.floor_char_boundary(start + 4 * column + WORD_BYTES_MAX);
        let line = self.text[*start..reach].lines().next().unwrap_or_default();
        let from = match column > COLUMN_BYTES_MAX {
            true => line.floor_char_boundary(column),
            false => line.char_indices().nth(column).map_or(line.len(), |(i, _)| i),
        };
        let skip = usize::from(line[from..].starts_with(['<', '"', '\'']));
        let rest = &line[from + skip..];
        let len = rest
            .find(|c: char| c.is_whitespace() || "<>\"',:{}[]/".contains(c))
            .unwrap_or(rest.len());
        start + from..start + from + skip + len
    }
}

/// Columns are counted in characters up to here, beyond it in bytes.
const COLUMN_BYTES_MAX: usize = 4096;
/// Longer words are cut where they are shown.
const WORD_BYTES_MAX: usize = 4096;
