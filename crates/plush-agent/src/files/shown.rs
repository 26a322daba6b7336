//! A name from elsewhere, shown to people without harm.
//!
//! Not a file name: nothing is ever opened by what this prints.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Prints bytes as text in which every control, bidirectional or invalid byte is escaped as `\xNN`.
/// All other text is unchanged, backslashes too.
#[derive(Clone, Copy)]
pub struct Shown<'a>(pub &'a [u8]);

impl<'a> Shown<'a> {
    /// The path's bytes, to be shown.
    pub fn path(path: &'a Path) -> Self {
        Shown(path.as_os_str().as_bytes())
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.utf8_chunks() {
            for letter in part.valid().chars() {
                match letter {
                    letter if is_forbidden(letter) => {
                        let mut bytes = [0; 4];
                        escape(letter.encode_utf8(&mut bytes).as_bytes(), out)?;
                    }
                    letter => fmt::Write::write_char(out, letter)?,
                }
            }
            escape(part.invalid(), out)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

fn escape(bytes: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "\\x{byte:02x}"))
}

/// Control characters, and those that reorder or hide text.
fn is_forbidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_is_printed() {
        let shown = Shown(b"a\x1b[2Jb\r\n\xff\\\xe2\x80\xae").to_string();
        assert_eq!(shown, "a\\x1b[2Jb\\x0d\\x0a\\xff\\\\xe2\\x80\\xae");
    }
}
