//! The output of one stream on disk: segments named by the offset of their first byte.
//! Not the pipe it comes from, nor the connection it goes to.
//!
//! A segment is `out.` or `err.` with the offset in twenty digits. Between the end of one and the start of the
//! next lies a gap: what is on disk says by itself which bytes are missing.

use plush_protocol::{OutputPolicy, OutputRule, StreamName};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A segment is closed when it has so many bytes.
const SEGMENT_BYTES: u64 = 4 << 20;

/// The keeper's side: writes.
pub struct Writer {
    directory: PathBuf,
    stream: StreamName,
    rule: OutputRule,
    segment: Option<Segment>,
    /// Bytes of the stream so far, skipped ones included.
    written: u64,
    durable: u64,
    /// Read from the pipe and refused by the disk.
    stuck: Vec<u8>,
}

struct Segment {
    file: File,
    start: u64,
}

impl Writer {
    /// Goes on where the files in the directory end.
    pub fn open(directory: &Path, stream: StreamName, rule: OutputRule) -> io::Result<Self> {
        let starts = starts(directory, stream)?;
        let mut writer = Writer {
            directory: directory.to_owned(),
            stream,
            rule,
            segment: None,
            written: 0,
            durable: starts.first().copied().unwrap_or(0),
            stuck: Vec::new(),
        };
        if let Some(start) = starts.last() {
            let file = OpenOptions::new().append(true).open(path(directory, stream, *start))?;
            writer.written = start + file.metadata()?.len();
            writer.segment = Some(Segment { file, start: *start });
        }
        Ok(writer)
    }

    /// Bytes of the stream so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Everything before `offset` is safe elsewhere.
    pub fn durable(&mut self, offset: u64) {
        self.durable = self.durable.max(offset.min(self.written));
    }

    /// Whether more may be read from the task.
    pub fn wants_more(&self) -> bool {
        let full = self.written - self.durable >= self.rule.spool_bytes;
        self.stuck.is_empty() && (self.rule.policy == OutputPolicy::Gap || !full)
    }

    /// The disk refused bytes: they should be tried again.
    pub fn is_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    /// Takes bytes from the task.
    pub fn write(&mut self, bytes: &[u8]) {
        let full = self.written - self.durable >= self.rule.spool_bytes;
        if self.rule.policy == OutputPolicy::Gap && full {
            self.skip(bytes.len());
            return;
        }
        let done = self.append(bytes);
        match self.rule.policy {
            _ if done == bytes.len() => {}
            OutputPolicy::Gap => self.skip(bytes.len() - done),
            OutputPolicy::Block => self.stuck = bytes[done..].to_vec(),
        }
    }

    /// Tries again what the disk refused.
    pub fn retry(&mut self) {
        if self.stuck.is_empty() {
            return;
        }
        let stuck = std::mem::take(&mut self.stuck);
        let done = self.append(&stuck);
        self.stuck = stuck[done..].to_vec();
    }

    /// Makes durable what was written.
    pub fn sync(&mut self) -> io::Result<()> {
        self.segment.as_ref().map_or(Ok(()), |segment| segment.file.sync_data())
    }

    /// How many bytes the disk took.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let Ok(room) = self.segment_with_room() else { break };
            let piece = &bytes[done..bytes.len().min(done + room)];
            let segment = self.segment.as_mut().expect("a segment with room is there");
            match segment.file.write(piece) {
                Ok(0) | Err(_) => break,
                Ok(n) => {
                    done += n;
                    self.written += n as u64;
                }
            }
        }
        done
    }

    fn segment_with_room(&mut self) -> io::Result<usize> {
        let room =
            |segment: &Segment, written: u64| SEGMENT_BYTES.saturating_sub(written - segment.start);
        if let Some(segment) = &self.segment
            && room(segment, self.written) > 0
        {
            return Ok(usize::try_from(room(segment, self.written)).unwrap_or(usize::MAX));
        }
        let name = path(&self.directory, self.stream, self.written);
        let file = OpenOptions::new().append(true).create(true).open(name)?;
        if let Some(full) = self.segment.replace(Segment { file, start: self.written }) {
            full.file.sync_data()?;
        }
        Ok(usize::try_from(SEGMENT_BYTES).unwrap_or(usize::MAX))
    }

    fn skip(&mut self, count: usize) {
        self.segment = None;
        self.written += count as u64;
    }
}

/// What lies at an offset of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing, up to this offset.
    Gap(u64),
}

/// The agent's side: reads and forgets.
pub struct Reader {
    directory: PathBuf,
    stream: StreamName,
    open: Option<Segment>,
}

impl Reader {
    /// Reads the stream of the task in this directory.
    pub fn new(directory: &Path, stream: StreamName) -> Self {
        Reader { directory: directory.to_owned(), stream, open: None }
    }

    /// Bytes on disk and skipped, as far as files show: the end of the last segment.
    pub fn end(&self) -> u64 {
        let Ok(starts) = starts(&self.directory, self.stream) else { return 0 };
        let Some(start) = starts.last() else { return 0 };
        let length =
            fs::metadata(path(&self.directory, self.stream, *start)).map_or(0, |m| m.len());
        start + length
    }

    /// What lies at `offset`, at most `limit` bytes; `written` is where the stream ends now and lies beyond.
    pub fn piece(&mut self, offset: u64, written: u64, limit: usize) -> io::Result<Piece> {
        let limit = limit.min(usize::try_from(written - offset).unwrap_or(usize::MAX));
        if let Some(bytes) = self.read_open(offset, limit)? {
            return Ok(Piece::Bytes(bytes));
        }
        let starts = starts(&self.directory, self.stream)?;
        if let Some(start) = starts.iter().rev().find(|start| **start <= offset) {
            let file = File::open(path(&self.directory, self.stream, *start))?;
            self.open = Some(Segment { file, start: *start });
            if let Some(bytes) = self.read_open(offset, limit)? {
                return Ok(Piece::Bytes(bytes));
            }
        }
        let next = starts.iter().find(|start| **start > offset);
        Ok(Piece::Gap(next.copied().unwrap_or(written).min(written)))
    }

    /// Removes segments that end at or before `durable` (O4). The newest stays unless the stream is `closed`.
    pub fn forget(&mut self, durable: u64, closed_at: Option<u64>) -> io::Result<()> {
        let starts = starts(&self.directory, self.stream)?;
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().or(closed_at);
            if end.is_some_and(|end| end <= durable) {
                fs::remove_file(path(&self.directory, self.stream, *start))?;
            }
        }
        Ok(())
    }

    fn read_open(&mut self, offset: u64, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(segment) = &self.open else { return Ok(None) };
        let Some(at) = offset.checked_sub(segment.start) else { return Ok(None) };
        let mut bytes = vec![0; limit];
        let count = segment.file.read_at(&mut bytes, at)?;
        bytes.truncate(count);
        Ok((count > 0).then_some(bytes))
    }
}

fn prefix(stream: StreamName) -> &'static str {
    match stream {
        StreamName::Out => "out.",
        StreamName::Err => "err.",
    }
}

fn path(directory: &Path, stream: StreamName, start: u64) -> PathBuf {
    directory.join(format!("{}{start:020}", prefix(stream)))
}

/// First offsets of all segments, rising.
fn starts(directory: &Path, stream: StreamName) -> io::Result<Vec<u64>> {
    let mut starts = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let start = name.to_str().and_then(|n| n.strip_prefix(prefix(stream)));
        starts.extend(start.and_then(|s| s.parse::<u64>().ok()));
    }
    starts.sort_unstable();
    Ok(starts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rule(policy: OutputPolicy, spool_bytes: u64) -> OutputRule {
        OutputRule { policy, spool_bytes }
    }

    #[test]
    fn what_was_written_is_read_back_over_segments() {
        let dir = tempfile::tempdir().unwrap();
        let rule = rule(OutputPolicy::Block, 64 << 20);
        let mut writer = Writer::open(dir.path(), StreamName::Out, rule).unwrap();
        let block: Vec<u8> = (0..100_003u32).map(|i| (i % 251) as u8).collect();
        (0..90).for_each(|_| writer.write(&block));
        let mut reader = Reader::new(dir.path(), StreamName::Out);
        let (mut offset, mut bytes) = (0, Vec::new());
        while offset < writer.written() {
            let Piece::Bytes(piece) = reader.piece(offset, writer.written(), 70_000).unwrap()
            else {
                panic!("a gap at {offset}")
            };
            offset += piece.len() as u64;
            bytes.extend(piece);
        }
        assert!(bytes.chunks(block.len()).all(|chunk| chunk == block));
        assert_eq!(bytes.len(), 90 * block.len());
        assert_eq!(reader.end(), offset);
    }

    #[test]
    fn a_gap_is_declared_with_its_exact_range() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer =
            Writer::open(dir.path(), StreamName::Out, rule(OutputPolicy::Gap, 10)).unwrap();
        writer.write(b"0123456789");
        writer.write(b"skipped");
        writer.durable(17);
        writer.write(b"after");
        let mut reader = Reader::new(dir.path(), StreamName::Out);
        assert_eq!(reader.piece(4, 22, 99).unwrap(), Piece::Bytes(b"456789".to_vec()));
        assert_eq!(reader.piece(10, 22, 99).unwrap(), Piece::Gap(17));
        assert_eq!(reader.piece(17, 22, 99).unwrap(), Piece::Bytes(b"after".to_vec()));
    }

    #[test]
    fn a_full_spool_makes_the_task_wait_until_bytes_are_durable() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer =
            Writer::open(dir.path(), StreamName::Err, rule(OutputPolicy::Block, 4)).unwrap();
        writer.write(b"abcd");
        assert!(!writer.wants_more());
        writer.durable(1);
        assert!(writer.wants_more());
    }

    #[test]
    fn o4_only_durable_segments_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer =
            Writer::open(dir.path(), StreamName::Out, rule(OutputPolicy::Block, 64 << 20)).unwrap();
        let segment = usize::try_from(SEGMENT_BYTES).unwrap();
        (0..3).for_each(|_| writer.write(&vec![7; segment]));
        let mut reader = Reader::new(dir.path(), StreamName::Out);
        reader.forget(SEGMENT_BYTES + 1, None).unwrap();
        assert_eq!(
            starts(dir.path(), StreamName::Out).unwrap(),
            [SEGMENT_BYTES, 2 * SEGMENT_BYTES]
        );
        reader.forget(3 * SEGMENT_BYTES, None).unwrap();
        assert_eq!(starts(dir.path(), StreamName::Out).unwrap(), [2 * SEGMENT_BYTES]);
        reader.forget(3 * SEGMENT_BYTES, Some(3 * SEGMENT_BYTES)).unwrap();
        assert!(starts(dir.path(), StreamName::Out).unwrap().is_empty());
    }

    #[test]
    fn a_writer_goes_on_where_another_ended() {
        let dir = tempfile::tempdir().unwrap();
        let rule = rule(OutputPolicy::Block, 1 << 20);
        Writer::open(dir.path(), StreamName::Out, rule.clone()).unwrap().write(b"one");
        let mut writer = Writer::open(dir.path(), StreamName::Out, rule).unwrap();
        writer.write(b"two");
        let mut reader = Reader::new(dir.path(), StreamName::Out);
        assert_eq!(reader.piece(0, 6, 99).unwrap(), Piece::Bytes(b"onetwo".to_vec()));
    }
}
