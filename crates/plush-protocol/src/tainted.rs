//! Text that came from a host: it can be kept and compared, but shown only escaped.
//! Not for bytes of output files: those are stored exactly and never printed as they are.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::fmt;

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

/// Bytes as text that no terminal obeys: C0 except tab and newline, DEL, C1, bidirectional controls, invalid
/// UTF-8 and the backslash itself become `\xNN` or `\u{N}`, so the original can be had back.
pub fn escape(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' | '\n' => text.push(c),
                '\\' => text.push_str("\\\\"),
                c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                    write!(text, "\\x{:02x}", c as u32).expect("writing to a String succeeds");
                }
                c if is_unsafe_to_show(c) => {
                    write!(text, "\\u{{{:x}}}", c as u32).expect("writing to a String succeeds");
                }
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("writing to a String succeeds");
        }
    }
    text
}

/// C1 controls, line and paragraph separators, and the controls of bidirectional text (Unicode TR 9, TR 36).
fn is_unsafe_to_show(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
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

    proptest! {
        #[test]
        fn what_is_shown_holds_no_forbidden_byte(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let shown = escape(&bytes);
            prop_assert!(!shown.chars().any(|c| (c.is_control() && c != '\t' && c != '\n') || is_unsafe_to_show(c)));
        }

        #[test]
        fn different_bytes_are_shown_differently(a in proptest::collection::vec(any::<u8>(), 0..8), b in proptest::collection::vec(any::<u8>(), 0..8)) {
            prop_assert_eq!(a == b, escape(&a) == escape(&b));
        }
    }
}
