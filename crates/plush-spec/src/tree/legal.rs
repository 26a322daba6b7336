//! Accepts valid YAML 1.2 that saphyr-parser 0.0.12 refuses: a tab as white space after a `:`, and
//! JSON's surrogate pairs (`\ud83d\ude00`) in double quotes. Both workarounds are only here.
//!
//! Positions are preserved: the parser reads as many characters as the text has. Values are not
//! guessed: only the parser decides what is a value indicator and what is in double quotes.

use saphyr_parser::input::SkipTabs;
use saphyr_parser::{Input, ScalarStyle, StrInput};
use std::borrow::Cow;

/// Input in which a tab separates a `:` from its value, as in `s-separate-in-line` (YAML 1.2.2,
/// 6.2).
pub(super) struct TabsSeparate<'t>(pub StrInput<'t>);

impl Input for TabsSeparate<'_> {
    /// The parser calls this for white space after an indicator, and accepts the value only after a
    /// space.
    fn skip_ws_to_eol(&mut self, skip_tabs: SkipTabs) -> (usize, Result<SkipTabs, &'static str>) {
        let (count, result) = self.0.skip_ws_to_eol(skip_tabs);
        let result = result.map(|found| match found {
            SkipTabs::Result(tabs, spaces) => SkipTabs::Result(tabs, spaces || tabs),
            SkipTabs::Yes | SkipTabs::No => found,
        });
        (count, result)
    }

    // All other methods are the inner input's, including those with a default, since the defaults
    // do not stop at the end of the text.

    fn lookahead(&mut self, count: usize) {
        self.0.lookahead(count);
    }

    fn buflen(&self) -> usize {
        self.0.buflen()
    }

    fn bufmaxlen(&self) -> usize {
        self.0.bufmaxlen()
    }

    fn buf_is_empty(&self) -> bool {
        self.0.buf_is_empty()
    }

    fn raw_read_ch(&mut self) -> char {
        self.0.raw_read_ch()
    }

    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        self.0.raw_read_non_breakz_ch()
    }

    fn skip(&mut self) {
        self.0.skip();
    }

    fn skip_n(&mut self, count: usize) {
        self.0.skip_n(count);
    }

    fn peek(&self) -> char {
        self.0.peek()
    }

    fn peek_nth(&self, n: usize) -> char {
        self.0.peek_nth(n)
    }

    fn look_ch(&mut self) -> char {
        self.0.look_ch()
    }

    fn next_char_is(&self, c: char) -> bool {
        self.0.next_char_is(c)
    }

    fn nth_char_is(&self, n: usize, c: char) -> bool {
        self.0.nth_char_is(n, c)
    }

    fn next_2_are(&self, c1: char, c2: char) -> bool {
        self.0.next_2_are(c1, c2)
    }

    fn next_3_are(&self, c1: char, c2: char, c3: char) -> bool {
        self.0.next_3_are(c1, c2, c3)
    }

    fn next_is_document_indicator(&self) -> bool {
        self.0.next_is_document_indicator()
    }

    fn next_is_document_start(&self) -> bool {
        self.0.next_is_document_start()
    }

    fn next_is_document_end(&self) -> bool {
        self.0.next_is_document_end()
    }

    fn next_can_be_plain_scalar(&self, in_flow: bool) -> bool {
        self.0.next_can_be_plain_scalar(in_flow)
    }

    fn next_is_blank_or_break(&self) -> bool {
        self.0.next_is_blank_or_break()
    }

    fn next_is_blank_or_breakz(&self) -> bool {
        self.0.next_is_blank_or_breakz()
    }

    fn next_is_blank(&self) -> bool {
        self.0.next_is_blank()
    }

    fn next_is_break(&self) -> bool {
        self.0.next_is_break()
    }

    fn next_is_breakz(&self) -> bool {
        self.0.next_is_breakz()
    }

    fn next_is_z(&self) -> bool {
        self.0.next_is_z()
    }

    fn next_is_flow(&self) -> bool {
        self.0.next_is_flow()
    }

    fn next_is_digit(&self) -> bool {
        self.0.next_is_digit()
    }

    fn next_is_alpha(&self) -> bool {
        self.0.next_is_alpha()
    }

    fn skip_while_non_breakz(&mut self) -> usize {
        self.0.skip_while_non_breakz()
    }

    fn skip_while_blank(&mut self) -> usize {
        self.0.skip_while_blank()
    }

    fn fetch_while_is_alpha(&mut self, out: &mut String) -> usize {
        self.0.fetch_while_is_alpha(out)
    }

    fn fetch_while_is_yaml_non_space(&mut self, out: &mut String) -> usize {
        self.0.fetch_while_is_yaml_non_space(out)
    }
}

/// The escapes of UTF-16 surrogates in a text: `\ud800` to `\udfff`.
///
/// The parser reads each escape as a character, and surrogates are not characters. So its input has
/// another character in place of their backslashes, one that the text does not contain in any form.
/// In a value outside double quotes the backslash is restored; in double quotes the pair becomes
/// its character.
#[derive(Default)]
pub(super) struct Surrogates {
    /// The replacement for the backslash; `None` where the text has no such escape.
    mark: Option<char>,
}

/// An unpaired surrogate.
pub(super) struct LoneSurrogate {
    /// Index of the surrogate escape in the scalar, from 0.
    pub number: usize,
    /// Its four hexadecimal digits.
    pub digits: String,
}

/// Bytes of `\ud83d`.
const ESCAPE_BYTES: usize = 6;

impl Surrogates {
    /// The text as input for the parser.
    pub fn hidden(text: &str) -> (Surrogates, Cow<'_, str>) {
        let escapes = escapes(text);
        if escapes.is_empty() {
            return (Surrogates { mark: None }, Cow::Borrowed(text));
        }
        let Some(mark) = unused(text) else {
            return (Surrogates { mark: None }, Cow::Borrowed(text));
        };
        let mut hidden = String::with_capacity(text.len() + 2 * escapes.len());
        let mut from = 0;
        for at in escapes {
            hidden.push_str(&text[from..at]);
            hidden.push(mark);
            from = at + 1;
        }
        hidden.push_str(&text[from..]);
        (Surrogates { mark: Some(mark) }, Cow::Owned(hidden))
    }

    /// The intended value of a scalar.
    pub fn shown(&self, value: String, style: ScalarStyle) -> Result<String, LoneSurrogate> {
        let Some(mark) = self.mark.filter(|mark| value.contains(*mark)) else { return Ok(value) };
        if style != ScalarStyle::DoubleQuoted {
            return Ok(value.replace(mark, "\\"));
        }
        let mut pieces = value.split(mark);
        let mut shown = pieces.next().unwrap_or_default().to_string();
        let mut high: Option<(usize, u16, &str)> = None;
        for (number, piece) in pieces.enumerate() {
            // `u` and four digits: the replaced escape.
            let (digits, rest) = piece[1..].split_at(4);
            let unit = u16::from_str_radix(digits, 16).unwrap_or_default();
            let lone =
                |number: usize, digits: &str| LoneSurrogate { number, digits: digits.to_string() };
            match high.take() {
                None if is_high(unit) && rest.is_empty() => high = Some((number, unit, digits)),
                None => return Err(lone(number, digits)),
                Some((before, _, first)) if is_high(unit) => return Err(lone(before, first)),
                Some((_, first, _)) => {
                    shown.extend(char::decode_utf16([first, unit]).flatten());
                    shown.push_str(rest);
                }
            }
        }
        match high {
            Some((number, _, digits)) => Err(LoneSurrogate { number, digits: digits.to_string() }),
            None => Ok(shown),
        }
    }
}

impl LoneSurrogate {
    /// Byte position of its escape in the source of the scalar.
    pub fn place_in(&self, source: &str) -> std::ops::Range<usize> {
        let at = escapes(source).get(self.number).copied().unwrap_or(0);
        at..(at + ESCAPE_BYTES).min(source.len())
    }
}

fn is_high(unit: u16) -> bool {
    (0xd800..0xdc00).contains(&unit)
}

/// Positions of surrogate escapes. Backslashes escape each other in pairs, from the first of a row.
fn escapes(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].find('\\').map(|next| at + next) {
        let rest = &bytes[next + 1..];
        let is_surrogate = matches!(rest, [b'u', b'd' | b'D', second, third, fourth, ..]
            if matches!(second, b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                && third.is_ascii_hexdigit() && fourth.is_ascii_hexdigit());
        if is_surrogate {
            found.push(next);
        }
        // A backslash escapes the next character, including another backslash.
        let escaped = text[next + 1..].chars().next().map_or(0, char::len_utf8);
        at = next + 1 + escaped;
    }
    found
}

/// A private-use character that the text neither contains nor can produce by an escape.
fn unused(text: &str) -> Option<char> {
    const MARKS: std::ops::RangeInclusive<char> = '\u{e000}'..='\u{f8ff}';
    let mut used = std::collections::BTreeSet::new();
    used.extend(text.chars().filter(|c| MARKS.contains(c)));
    let (mut digits, mut number) = (0, 0u16);
    for byte in text.bytes() {
        match char::from(byte).to_digit(16) {
            Some(digit) => (digits, number) = (digits + 1, number << 4 | digit as u16),
            None => digits = 0,
        }
        if digits >= 4 {
            used.extend(char::from_u32(number.into()).filter(|c| MARKS.contains(c)));
        }
    }
    MARKS.clone().find(|mark| !used.contains(mark))
}
