//! Text that came from a host: it can be kept and compared, but shown only escaped.
//! Not for bytes of output files: those are stored exactly and never printed as they are.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};

/// Text from elsewhere. `Display` writes it escaped, so no terminal ever sees it raw.
#[derive(
    Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct Tainted(#[n(0)] String);

impl Tainted {
    /// Takes text as it came.
    pub fn new(text: impl Into<String>) -> Self {
        Tainted(text.into())
    }

    /// The text as it came: for comparing and storing, never for a terminal, a path, a shell or a template.
    pub fn raw(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tainted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(self.0.as_bytes()))
    }
}

impl fmt::Debug for Tainted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", escape(self.0.as_bytes()))
    }
}

/// Bytes as text that cannot control a terminal: C0 except tab and newline, DEL, C1, bidirectional
/// controls and invalid UTF-8 become `\xNN` or `\u{N}`. All other text is unchanged, backslashes
/// too: text that spells such an escape itself looks like the byte.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    escape_into(bytes, &mut text);
    text
}

/// As [`escape`], appended to `text`.
pub fn escape_into(bytes: &[u8], text: &mut String) {
    for chunk in bytes.utf8_chunks() {
        escape_text(chunk.valid(), text);
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("writing to a String succeeds");
        }
    }
}

/// Most text needs no escape: runs of it are copied at once.
fn escape_text(mut rest: &str, text: &mut String) {
    while let Some(at) = rest.bytes().position(may_be_unsafe) {
        text.push_str(&rest[..at]);
        let c = rest[at..].chars().next().expect("a character begins where none was harmless");
        match c {
            c if c.is_ascii() => {
                write!(text, "\\x{:02x}", c as u32).expect("writing to a String succeeds");
            }
            c if is_unsafe_to_show(c) => {
                write!(text, "\\u{{{:x}}}", c as u32).expect("writing to a String succeeds");
            }
            c => text.push(c),
        }
        rest = &rest[at + c.len_utf8()..];
    }
    text.push_str(rest);
}

/// An ASCII control, or the first byte of a character that may need an escape. No byte inside a
/// character is one of these.
fn may_be_unsafe(byte: u8) -> bool {
    match byte {
        b'\t' | b'\n' => false,
        0..0x20 | 0x7f => true,
        // U+0080 to U+009F, U+061C, U+2000 to U+2FFF, U+F000 to U+FFFF.
        0xc2 | 0xd8 | 0xe2 | 0xef => true,
        _ => false,
    }
}

/// C1 controls, line and paragraph separators, and the controls of bidirectional text (Unicode TR 9, TR 36).
fn is_unsafe_to_show(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_clipboard_escape_is_shown_and_not_obeyed() {
        assert_eq!(escape(b"\x1b]52;c;aGk=\x07"), "\\x1b]52;c;aGk=\\x07");
    }

    #[test]
    fn half_a_character_is_shown_byte_by_byte() {
        assert_eq!(escape(b"caf\xc3"), "caf\\xc3");
        assert_eq!(escape("café".as_bytes()), "café");
    }

    #[test]
    fn a_backslash_is_shown_as_it_was_written() {
        assert_eq!(escape(br#"{"path":"C:\\temp"}"#), r#"{"path":"C:\\temp"}"#);
    }

    /// The bytes of a text that was escaped and had no backslash before.
    fn unescaped(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('\\') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at + 1..];
            if let Some(digits) = rest.strip_prefix("u{") {
                let (code, after) = digits.split_once('}').unwrap();
                let c = char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap();
                bytes.extend_from_slice(c.to_string().as_bytes());
                rest = after;
            } else {
                bytes.push(u8::from_str_radix(&rest[1..3], 16).unwrap());
                rest = &rest[3..];
            }
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    }

    proptest! {
        #[test]
        fn what_is_shown_holds_no_forbidden_byte(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let shown = escape(&bytes);
            prop_assert!(!shown.chars().any(|c| (c.is_control() && c != '\t' && c != '\n') || is_unsafe_to_show(c)));
        }

        #[test]
        fn o7_what_was_written_can_be_had_back_but_for_backslashes(bytes in proptest::collection::vec(any::<u8>().prop_filter("no backslash", |b| *b != b'\\'), 0..64)) {
            prop_assert_eq!(unescaped(&escape(&bytes)), bytes);
        }

        #[test]
        fn text_is_escaped_as_its_characters_are(text in any::<String>()) {
            let alone: String = text.chars().map(|c| escape(c.to_string().as_bytes())).collect();
            prop_assert_eq!(escape(text.as_bytes()), alone);
        }
    }
}
