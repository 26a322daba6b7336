//! Incremental reader of one output file, line by line, with lines of any length.
//! Not the rendering of a line: see `render::live`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The next item of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Lines with their line ends; only the last line of a file may have none.
    Lines(&'a [u8]),
    /// A piece of a line that is longer than the buffer.
    Part {
        /// Its bytes, with the line's end in the last piece.
        bytes: &'a [u8],
        /// Whether the line begins here.
        first: bool,
        /// Whether the line ends here.
        last: bool,
        /// Length of the whole line.
        line_bytes: u64,
    },
    /// This number of bytes was lost here.
    Lost(u64),
}

/// Reads a growing file in whole lines. It buffers nothing: output that was not shown is read
/// again.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: Option<File>,
    /// Start of the next line.
    at: u64,
    /// There is no line end between `at` and this offset.
    scanned: u64,
    /// Readable length of the file.
    upto: u64,
    /// Whether the file is complete.
    whole: bool,
    /// Lost ranges: first byte, and the byte after the last.
    gaps: Vec<(u64, u64)>,
    /// The long line that is being shown: its start and its end.
    long: Option<(u64, u64)>,
}

/// Buffer size; longer lines are not held in memory.
pub const PIECE_BYTES: usize = 64 << 10;

impl Tail {
    /// Opens the file at the start of a line; nothing is readable yet.
    pub fn from(path: PathBuf, at: u64) -> Tail {
        Tail {
            path,
            file: None,
            at,
            scanned: at,
            upto: at,
            whole: false,
            gaps: Vec::new(),
            long: None,
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets the readable length; `whole` when the file is complete.
    pub fn extend(&mut self, upto: u64, whole: bool) {
        self.upto = self.upto.max(upto);
        self.whole |= whole;
    }

    /// Records that bytes of the file are missing; the list beside the file has the ranges.
    pub fn learn_gaps(&mut self) {
        self.gaps = gaps(&self.path);
    }

    /// Whether a long line is being shown and has not ended.
    pub fn is_in_line(&self) -> bool {
        self.long.is_some()
    }

    /// Whether a complete file has been shown to its end.
    pub fn is_over(&self) -> bool {
        self.whole && self.at >= self.upto
    }

    /// Closes the file until the next read.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Reads the next item into `buffer`; `None` while no line is complete.
    pub fn next<'b>(&mut self, buffer: &'b mut Vec<u8>) -> io::Result<Option<Piece<'b>>> {
        loop {
            if let Some((begin, end)) = self.long {
                let wanted = (end - self.at).min(PIECE_BYTES as u64);
                self.read(buffer, self.at, wanted)?;
                if buffer.is_empty() {
                    self.long = None;
                    return Ok(None);
                }
                if self.at + (buffer.len() as u64) < end {
                    buffer.truncate(character_boundary(buffer));
                }
                let first = self.at == begin;
                self.at += buffer.len() as u64;
                let last = self.at == end;
                if last {
                    (self.long, self.scanned) = (None, self.at);
                }
                let line_bytes = end - begin;
                return Ok(Some(Piece::Part { bytes: buffer, first, last, line_bytes }));
            }
            let (limit, ends_here) = match self.gaps.iter().find(|(_, to)| *to > self.at) {
                Some((from, to)) if *from <= self.at && *to <= self.upto => {
                    let lost = to - self.at;
                    (self.at, self.scanned) = (*to, *to);
                    return Ok(Some(Piece::Lost(lost)));
                }
                Some((from, _)) if *from < self.upto => (*from, true),
                Some(_) | None => (self.upto, self.whole),
            };
            let is_read = self.scanned >= limit;
            if self.at >= limit || (is_read && !ends_here) {
                return Ok(None);
            }
            let held = self.scanned - self.at;
            if held < PIECE_BYTES as u64 {
                self.read(buffer, self.at, (limit - self.at).min(PIECE_BYTES as u64))?;
                if buffer.is_empty() {
                    return Ok(None);
                }
                let old = usize::try_from(held).unwrap_or(usize::MAX).min(buffer.len());
                let end = buffer[old..].iter().rposition(ends_line).map(|end| old + end + 1);
                let all =
                    (self.at + buffer.len() as u64 == limit && ends_here).then_some(buffer.len());
                if let Some(end) = all.or(end) {
                    self.at += end as u64;
                    self.scanned = self.at;
                    buffer.truncate(end);
                    return Ok(Some(Piece::Lines(buffer)));
                }
                self.scanned = self.at + buffer.len() as u64;
            } else if is_read {
                self.long = Some((self.at, limit));
            } else {
                self.read(buffer, self.scanned, (limit - self.scanned).min(PIECE_BYTES as u64))?;
                if buffer.is_empty() {
                    return Ok(None);
                }
                match buffer.iter().position(ends_line) {
                    Some(end) => self.long = Some((self.at, self.scanned + end as u64 + 1)),
                    None => self.scanned += buffer.len() as u64,
                }
            }
        }
    }

    /// Skips the readable bytes and returns the number of lines that end with a newline or with the
    /// file.
    pub fn pass_over(&mut self, buffer: &mut Vec<u8>) -> io::Result<u64> {
        let mut lines = 0;
        let (mut from, mut begun) = (self.at, false);
        self.long = None;
        while from < self.upto {
            self.read(buffer, from, (self.upto - from).min(PIECE_BYTES as u64))?;
            if buffer.is_empty() {
                break;
            }
            lines += buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
            match buffer.iter().rposition(|byte| *byte == b'\n') {
                Some(last) => {
                    self.at = from + last as u64 + 1;
                    begun = last + 1 < buffer.len();
                }
                None => begun = true,
            }
            from += buffer.len() as u64;
        }
        if self.whole {
            self.at = from;
            lines += u64::from(begun);
        }
        self.scanned = self.at;
        Ok(lines)
    }

    /// Reads `wanted` bytes; fewer only at the end of the file.
    fn read(&mut self, buffer: &mut Vec<u8>, at: u64, wanted: u64) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.path)?,
        };
        buffer.resize(usize::try_from(wanted).unwrap_or(PIECE_BYTES), 0);
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer.truncate(filled);
        self.file = Some(file);
        Ok(())
    }
}

/// Start of the last line of a file of `bytes`: a late watcher sees that line in full.
pub fn last_line(path: &Path, bytes: u64) -> io::Result<u64> {
    let file = File::open(path)?;
    let mut buffer = vec![0; PIECE_BYTES];
    let mut end = bytes;
    while end > 0 {
        let begin = end.saturating_sub(PIECE_BYTES as u64);
        let piece = &mut buffer[..usize::try_from(end - begin).unwrap_or(PIECE_BYTES)];
        file.read_exact_at(piece, begin)?;
        if let Some(newline) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + newline as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// A carriage return ends a displayed line: later text would overwrite it.
fn ends_line(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// The longest prefix that does not end within a character.
pub fn character_boundary(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    let begins = bytes[from..].iter().rposition(|byte| byte & 0xc0 != 0x80).map(|at| from + at);
    match begins {
        Some(at) if at > 0 && bytes.len() - at < character_bytes(bytes[at]) => at,
        Some(_) | None => bytes.len(),
    }
}

/// Length of the character that begins with this byte.
fn character_bytes(first: u8) -> usize {
    match first {
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => 1,
    }
}

/// `{"from":N,"to":N}` in each line.
fn gaps(output: &Path) -> Vec<(u64, u64)> {
    #[derive(serde::Deserialize)]
    struct Gap {
        from: u64,
        to: u64,
    }
    let mut path = output.as_os_str().to_owned();
    path.push(".gaps");
    let text = std::fs::read_to_string(PathBuf::from(path)).unwrap_or_default();
    let gaps = text.lines().filter_map(|line| serde_json::from_str::<Gap>(line).ok());
    gaps.filter(|gap| gap.from < gap.to).map(|gap| (gap.from, gap.to)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    struct Case {
        dir: tempfile::TempDir,
        tail: Tail,
    }

    impl Case {
        fn new() -> Case {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("p.1.out");
            File::create(&path).expect("a file");
            Case { tail: Tail::from(path, 0), dir }
        }

        fn write(&mut self, bytes: &[u8], whole: bool) {
            let mut file = File::options().append(true).open(self.tail.path()).expect("the file");
            file.write_all(bytes).expect("room");
            self.tail.extend(file.metadata().expect("the file").len(), whole);
        }

        /// The current output: lines unchanged, parts joined after `>`.
        fn shown(&mut self) -> Vec<u8> {
            let (mut buffer, mut shown) = (Vec::new(), Vec::new());
            while let Some(piece) = self.tail.next(&mut buffer).expect("readable") {
                match piece {
                    Piece::Lines(lines) => shown.extend_from_slice(lines),
                    Piece::Part { bytes, first, last, .. } => {
                        shown.extend(first.then_some(b'>'));
                        assert!(last || std::str::from_utf8(bytes).is_ok(), "whole characters");
                        shown.extend_from_slice(bytes);
                    }
                    Piece::Lost(bytes) => shown.extend(format!("[{bytes}]").into_bytes()),
                }
            }
            shown
        }
    }

    #[test]
    fn a_line_is_shown_once_it_is_whole() {
        let mut case = Case::new();
        case.write(b"one\ntw", false);
        assert_eq!(case.shown(), b"one\n");
        case.write(b"o", false);
        assert_eq!(case.shown(), b"");
        case.write(b"\n30%\r60", false);
        assert_eq!(case.shown(), b"two\n30%\r");
        case.write(b"%", true);
        assert_eq!(case.shown(), b"60%");
        assert!(case.tail.is_over());
    }

    #[test]
    fn a_long_line_comes_whole_and_in_pieces_once_its_end_is_there() {
        let mut case = Case::new();
        let long = "ä€😀 ".repeat(40_000).into_bytes();
        for half in long.chunks(long.len() / 2 + 1) {
            case.write(half, false);
            assert_eq!(case.shown(), b"");
        }
        case.write(b"\nnext\n", false);
        let expected = [b">".as_slice(), &long, b"\nnext\n"].concat();
        assert!(case.shown() == expected);
        case.write(&long, true);
        assert!(case.shown() == [b">".as_slice(), &long].concat());
    }

    #[test]
    fn what_was_lost_is_named_and_nothing_is_made_up_in_its_place() {
        let mut case = Case::new();
        let gaps = case.dir.path().join("p.1.out.gaps");
        std::fs::write(gaps, "{\"from\":5,\"to\":100}\n").expect("room");
        case.tail.learn_gaps();
        case.write(b"one\ntw", false);
        assert_eq!(case.shown(), b"one\nt");
        case.write(&[0; 94], false);
        case.write(b"three\n", true);
        assert_eq!(case.shown(), b"[95]three\n");
    }

    #[test]
    fn what_is_passed_over_is_counted_in_lines() {
        let mut case = Case::new();
        case.write(b"shown\n10%\r20%\nb\nc", false);
        let mut buffer = Vec::new();
        assert_eq!(case.tail.pass_over(&mut buffer).expect("readable"), 3);
        case.write(b"c\nlast", false);
        assert_eq!(case.shown(), b"cc\n");
        case.write(b"", true);
        assert_eq!(case.tail.pass_over(&mut buffer).expect("readable"), 1);
        assert!(case.tail.is_over());
    }

    #[test]
    fn a_watcher_that_comes_late_begins_with_the_line_that_is_being_written() {
        let mut case = Case::new();
        let bytes = [b"a\n".as_slice(), &[b'x'; 3 * PIECE_BYTES]].concat();
        case.write(&bytes, false);
        let begin = |bytes| last_line(case.tail.path(), bytes).expect("readable");
        assert_eq!((begin(bytes.len() as u64), begin(2), begin(1), begin(0)), (2, 2, 0, 0));
    }
}
