//! The letters of pictures: how wide a text is, and the outlines of its glyphs.
//! Not layout of paragraphs: a text is one line, from left to right.

use super::Point;
use std::sync::LazyLock;
use ttf_parser::{Face as FontFace, GlyphId, OutlineBuilder};

/// For style sheets: the font that is measured here, and others as wide.
pub const FAMILIES: &str = "'DejaVu Sans', Verdana, 'Bitstream Vera Sans', sans-serif";

static REGULAR: LazyLock<FontFace<'static>> =
    LazyLock::new(|| face(include_bytes!("font/DejaVuSans.ttf")));
static BOLD: LazyLock<FontFace<'static>> =
    LazyLock::new(|| face(include_bytes!("font/DejaVuSans-Bold.ttf")));

fn face(bytes: &'static [u8]) -> FontFace<'static> {
    FontFace::parse(bytes, 0).expect("the font is part of the program")
}

fn font(is_bold: bool) -> &'static FontFace<'static> {
    if is_bold { &BOLD } else { &REGULAR }
}

/// What is drawn for characters that the font does not have.
const UNKNOWN: char = '\u{fffd}';

fn glyph(font: &FontFace<'_>, letter: char) -> GlyphId {
    font.glyph_index(letter).or_else(|| font.glyph_index(UNKNOWN)).unwrap_or(GlyphId(0))
}

fn advance(font: &FontFace<'_>, glyph: GlyphId, size: f64) -> f64 {
    f64::from(font.glyph_hor_advance(glyph).unwrap_or(0)) * size / f64::from(font.units_per_em())
}

/// How wide a text is.
pub fn width(text: &str, face: super::Face) -> f64 {
    let font = font(face.is_bold);
    text.chars().map(|letter| advance(font, glyph(font, letter), face.size)).sum()
}

/// The text, or as much of its beginning as is not wider than `room`, with `…`.
pub fn fitted(text: &str, face: super::Face, room: f64) -> String {
    if width(text, face) <= room {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().collect();
    loop {
        kept.pop();
        let cut: String = kept.iter().chain(&['…']).collect();
        if kept.is_empty() || width(&cut, face) <= room {
            return cut;
        }
    }
}

/// A piece of an outline; y goes up from the base line, in units of the text's size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece {
    /// A new contour.
    Move(Point),
    /// A straight line.
    Line(Point),
    /// A curve by one control point.
    Curve(Point, Point),
    /// Back to the contour's beginning.
    Close,
}

/// The outlines of a text whose base line begins at 0.
pub fn outline(text: &str, face: super::Face) -> Vec<Piece> {
    let font = font(face.is_bold);
    let mut pen =
        Pen { pieces: Vec::new(), x: 0.0, scale: face.size / f64::from(font.units_per_em()) };
    for letter in text.chars() {
        let glyph = glyph(font, letter);
        // A blank has no outline.
        let _ = font.outline_glyph(glyph, &mut pen);
        pen.x += advance(font, glyph, face.size);
    }
    pen.pieces
}

struct Pen {
    pieces: Vec<Piece>,
    x: f64,
    scale: f64,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> Point {
        (self.x + f64::from(x) * self.scale, f64::from(y) * self.scale)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.pieces.push(Piece::Move(self.at(x, y)));
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.pieces.push(Piece::Line(self.at(x, y)));
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.pieces.push(Piece::Curve(self.at(x1, y1), self.at(x, y)));
    }

    fn curve_to(&mut self, x1: f32, y1: f32, _: f32, _: f32, x: f32, y: f32) {
        // TrueType outlines have no such curves.
        self.quad_to(x1, y1, x, y);
    }

    fn close(&mut self) {
        self.pieces.push(Piece::Close);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{PLAIN, TITLE};
    use super::*;

    #[test]
    fn wider_letters_take_more_room_and_bold_ones_more_still() {
        assert!(width("WWW", PLAIN) > 2.0 * width("iii", PLAIN));
        assert!(width("text", PLAIN.bold()) > width("text", PLAIN));
    }

    #[test]
    fn a_text_is_cut_to_its_room() {
        let cut = fitted("a-host-with-a-long-name.example.org", TITLE, 100.0);
        assert!(cut.ends_with('…') && width(&cut, TITLE) <= 100.0, "{cut}");
        assert_eq!(fitted("short", TITLE, 100.0), "short");
    }

    #[test]
    fn a_letter_that_the_font_lacks_is_drawn_as_unknown() {
        assert_eq!(outline("\u{4e2d}", PLAIN), outline("\u{fffd}", PLAIN));
        assert!(!outline("\u{4e2d}", PLAIN).is_empty());
    }
}
