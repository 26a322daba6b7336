//! Text that a terminal may be given: escaped, guarded, cut.
//! Not colour: that is added around such text, never inside it.

use plush_protocol::tainted::escape;
use std::borrow::Cow;

/// Text from elsewhere on one line: escaped, newlines too.
pub fn shown(text: &str) -> String {
    escape(text.as_bytes()).replace('\n', "\\n")
}

/// Text that should be harmless already: whatever is not, newlines apart, is written as `\u{N}`.
pub fn guarded(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_forbidden) {
        return Cow::Borrowed(text);
    }
    let parts = text
        .chars()
        .map(|c| if is_forbidden(c) { c.escape_unicode().to_string() } else { c.to_string() });
    Cow::Owned(parts.collect())
}

/// Like [`guarded`], on one line.
pub fn guarded_line(text: &str) -> Cow<'_, str> {
    if !text.contains('\n') {
        return guarded(text);
    }
    Cow::Owned(guarded(text).replace('\n', "\\n"))
}

/// At most `width` characters, with `...` where something was cut.
pub fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(width.saturating_sub(3)).collect();
    Cow::Owned(format!("{kept}..."))
}

/// `1 host`, `2 hosts`.
pub fn counted(count: usize, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    }
}

/// What a terminal might obey or a reader might be deceived by.
pub fn is_forbidden(c: char) -> bool {
    let control = c.is_control() && c != '\t' && c != '\n';
    control
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_harmless_is_not_touched() {
        assert!(matches!(guarded("a\\x1b b\tc"), Cow::Borrowed("a\\x1b b\tc")));
    }

    #[test]
    fn what_is_not_is_spelt_out() {
        assert_eq!(guarded("a\u{1b}[2Jb\u{202e}"), "a\\u{1b}[2Jb\\u{202e}");
        assert_eq!(guarded_line("a\r\nb"), "a\\u{d}\\nb");
    }

    #[test]
    fn a_long_text_is_cut_at_characters() {
        assert_eq!(cut("äöüßäöü", 5), "äö...");
        assert_eq!(cut("äöüßä", 5), "äöüßä");
    }
}
