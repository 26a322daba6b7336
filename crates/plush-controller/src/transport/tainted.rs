//! Text that came from a host, made harmless and bounded before a person or a log sees it.
//!
//! Not a parser: nothing is understood here.

/// Bytes kept of what a host says where we only want to know why it failed.
pub const NOISE_LIMIT_BYTES: usize = 4096;

/// The beginning and the end of a stream of any length, in bounded memory.
#[derive(Clone, Debug, Default)]
pub struct Excerpt {
    head: Vec<u8>,
    tail: Vec<u8>,
    seen_bytes: u64,
}

impl Excerpt {
    /// Takes more of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.seen_bytes += bytes.len() as u64;
        let half = NOISE_LIMIT_BYTES / 2;
        let into_head = bytes.len().min(half - self.head.len());
        let (head, rest) = bytes.split_at(into_head);
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(half)..];
        self.tail.extend_from_slice(rest);
        let surplus = self.tail.len().saturating_sub(half);
        self.tail.drain(..surplus);
    }

    /// How long the stream was.
    pub fn seen_bytes(&self) -> u64 {
        self.seen_bytes
    }

    /// The excerpt, escaped; says how much is left out in the middle.
    pub fn escaped(&self) -> String {
        let kept = (self.head.len() + self.tail.len()) as u64;
        let mut text = escape(&self.head);
        if self.seen_bytes > kept {
            text.push_str(&format!(" [... {} bytes ...] ", self.seen_bytes - kept));
        }
        text.push_str(&escape(&self.tail));
        text
    }

    /// The last lines that say something, on one line, for the end of an error message.
    pub fn last_words(&self) -> String {
        let mut bytes = if self.tail.is_empty() { self.head.clone() } else { self.tail.clone() };
        bytes.retain(|b| *b != b'\r');
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let start = lines.len().saturating_sub(3);
        shorten(&escape(lines[start..].join(" / ").as_bytes()), 300)
    }
}

/// Printable text with everything else written as an escape.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                ' ' => out.push(' '),
                '\'' | '"' => out.push(c),
                c if c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric()) => out.push(c),
                c => out.extend(c.escape_default()),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_sees_no_control_bytes() {
        let text = escape(b"\x1b[2Jok\x07\xff\n\xe2\x80\xae");
        assert_eq!(text, "\\u{1b}[2Jok\\u{7}\\xff\\n\\u{202e}");
    }

    #[test]
    fn an_excerpt_of_a_long_stream_stays_small_and_keeps_both_ends() {
        let mut excerpt = Excerpt::default();
        excerpt.push(b"first");
        for _ in 0..10_000 {
            excerpt.push(&[b'.'; 100]);
        }
        excerpt.push(b"last");
        let text = excerpt.escaped();
        assert!(text.starts_with("first") && text.ends_with("last"));
        assert!(text.len() < NOISE_LIMIT_BYTES + 100);
        assert_eq!(excerpt.seen_bytes(), 1_000_009);
    }
}
