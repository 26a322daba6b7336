//! The output of one stream on disk: segments named by the offset of their first byte.
//! Not the pipe it comes from, nor the connection it goes to.
//!
//! A segment is `out.` or `err.` with the offset in twenty digits. Between the end of one and the start of the
//! next lies a gap: what is on disk says by itself which bytes are missing.
//!
//! Bytes go from the pipe to the file in one system call, splice(2), which takes from the pipe what the file has
//! got: a keeper that dies has lost none. Bytes that the disk refuses stay in the pipe. File systems that cannot do
//! that are written by hand, and there a keeper that is killed between its read and its write loses one reading.

use plush_protocol::{OutputPolicy, OutputRule, StreamName};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A segment is closed when it has so many bytes.
const SEGMENT_BYTES: u64 = 4 << 20;
/// Bytes taken from a pipe at a time.
const READ_BYTES: usize = 64 << 10;

/// The keeper's side: writes.
pub struct Writer {
    directory: PathBuf,
    stream: StreamName,
    rule: OutputRule,
    segment: Option<Segment>,
    /// Bytes of the stream so far, skipped ones included.
    written: u64,
    durable: u64,
    disk: Disk,
    /// Read by hand and refused by the disk.
    stuck: Vec<u8>,
    way: Way,
}

/// Whether the disk took what it was given last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Takes,
    Refuses,
}

/// How bytes come from the pipe to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Splice,
    ByHand,
}

/// What a pipe had to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There is, or may be, more.
    Some,
    /// The last writer has closed, and all is taken.
    End,
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
            disk: Disk::Takes,
            stuck: Vec::new(),
            way: Way::Splice,
        };
        if let Some(start) = starts.last() {
            let file = OpenOptions::new().write(true).open(path(directory, stream, *start))?;
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
        if self.durable == self.written && self.is_stuck() {
            self.make_room();
        }
    }

    /// Whether more may be taken from the task.
    pub fn wants_more(&self) -> bool {
        !self.is_stuck() && (self.rule.policy == OutputPolicy::Gap || !self.is_full())
    }

    /// The disk refused bytes: they should be tried again.
    pub fn is_stuck(&self) -> bool {
        self.disk == Disk::Refuses
    }

    /// The disk refused bytes that are in no pipe any more.
    pub fn holds_bytes(&self) -> bool {
        !self.stuck.is_empty()
    }

    /// Takes from the task what a pipe has: there is something, or the disk refused it before.
    pub fn take(&mut self, pipe: &OwnedFd) -> io::Result<Taken> {
        self.disk = Disk::Takes;
        let taken = match (self.rule.policy, self.way) {
            (OutputPolicy::Gap, _) if self.is_full() => return self.discard(pipe),
            (_, Way::Splice) => self.splice(pipe),
            (_, Way::ByHand) => return self.take_by_hand(pipe),
        };
        match taken {
            Ok(0) => Ok(Taken::End),
            Ok(count) => {
                self.written += count as u64;
                Ok(Taken::Some)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Taken::Some),
            Err(Errno::INVAL) if self.segment.is_some() => {
                self.way = Way::ByHand;
                self.take_by_hand(pipe)
            }
            Err(_) if is_at_end(pipe)? => Ok(Taken::End),
            Err(_) if self.rule.policy == OutputPolicy::Gap => self.discard(pipe),
            // The task's directory is gone: nobody will ever read.
            Err(Errno::NOENT) => self.discard(pipe),
            Err(_) => {
                self.disk = Disk::Refuses;
                if self.durable == self.written {
                    self.make_room();
                }
                Ok(Taken::Some)
            }
        }
    }

    /// Tries again to write what was read by hand.
    pub fn retry(&mut self) {
        self.disk = Disk::Takes;
        let stuck = std::mem::take(&mut self.stuck);
        self.write(&stuck);
    }

    /// Makes durable what was written.
    pub fn sync(&mut self) -> io::Result<()> {
        self.segment.as_ref().map_or(Ok(()), |segment| segment.file.sync_data())
    }

    fn is_full(&self) -> bool {
        self.written - self.durable >= self.rule.spool_bytes
    }

    /// How many bytes went from the pipe to the file.
    fn splice(&mut self, pipe: &OwnedFd) -> Result<usize, Errno> {
        let room = self.segment_with_room().map_err(|e| errno(&e))?;
        let segment = self.segment.as_ref().expect("a segment with room is there");
        let mut at = self.written - segment.start;
        let count = room.min(READ_BYTES);
        rustix::pipe::splice(pipe, None, &segment.file, Some(&mut at), count, SpliceFlags::NONBLOCK)
    }

    fn take_by_hand(&mut self, pipe: &OwnedFd) -> io::Result<Taken> {
        let mut bytes = vec![0; READ_BYTES];
        match rustix::io::read(pipe, &mut bytes[..]) {
            Ok(0) => return Ok(Taken::End),
            Ok(count) => self.write(&bytes[..count]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(Taken::Some)
    }

    /// Writes what was read by hand.
    fn write(&mut self, bytes: &[u8]) {
        let done = self.append(bytes);
        match self.rule.policy {
            _ if done == bytes.len() => {}
            OutputPolicy::Gap => self.skip(bytes.len() - done),
            OutputPolicy::Block => {
                self.disk = Disk::Refuses;
                self.stuck = bytes[done..].to_vec();
            }
        }
    }

    /// Takes from the pipe what nobody will ever read.
    fn discard(&mut self, pipe: &OwnedFd) -> io::Result<Taken> {
        let mut bytes = vec![0; READ_BYTES];
        match rustix::io::read(pipe, &mut bytes[..]) {
            Ok(0) => return Ok(Taken::End),
            Ok(count) => self.skip(count),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(Taken::Some)
    }

    /// How many bytes the disk took.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let Ok(room) = self.segment_with_room() else { break };
            let piece = &bytes[done..bytes.len().min(done + room)];
            let segment = self.segment.as_mut().expect("a segment with room is there");
            match segment.file.write_at(piece, self.written - segment.start) {
                Ok(0) | Err(_) => break,
                Ok(n) => {
                    done += n;
                    self.written += n as u64;
                }
            }
        }
        done
    }

    /// Everything is safe elsewhere and the disk is full: what is here of it goes, also from the open segment.
    fn make_room(&mut self) {
        let Some(segment) = &self.segment else { return };
        let (old, new) = (segment.start, self.written);
        if old == new {
            return;
        }
        // The new one is there before the old one goes: files always say where the stream ends.
        let name = path(&self.directory, self.stream, new);
        if let Ok(file) = OpenOptions::new().write(true).create(true).truncate(true).open(name) {
            // Whoever has the old one open would hold its bytes on the disk.
            let _only_removed = segment.file.set_len(0);
            self.segment = Some(Segment { file, start: new });
            let _the_agent_was_faster = fs::remove_file(path(&self.directory, self.stream, old));
        }
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
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(name)?;
        if let Some(full) = self.segment.replace(Segment { file, start: self.written }) {
            full.file.sync_data()?;
        }
        Ok(usize::try_from(SEGMENT_BYTES).unwrap_or(usize::MAX))
    }

    /// An empty segment says where the stream goes on, so that the next keeper knows it too.
    fn skip(&mut self, count: usize) {
        let name = |start| path(&self.directory, self.stream, start);
        let next = self.written + count as u64;
        let empty = self.segment.as_ref().is_some_and(|segment| segment.start == self.written);
        if empty && fs::rename(name(self.written), name(next)).is_ok() {
            self.segment.as_mut().expect("it is there and empty").start = next;
        } else {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(name(next));
            self.segment = file.ok().map(|file| Segment { file, start: next });
        }
        self.written = next;
    }
}

/// Nothing is left in the pipe, and nobody can write to it any more.
fn is_at_end(pipe: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now))?;
    let found = fds[0].revents();
    Ok(found.contains(PollFlags::HUP) && !found.contains(PollFlags::IN))
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
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
                match fs::remove_file(path(&self.directory, self.stream, *start)) {
                    // The keeper was faster.
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    _ => {}
                }
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

    /// Gives the writer these bytes through a pipe, by hand or not.
    fn feed(writer: &mut Writer, bytes: &[u8]) {
        let flags = rustix::pipe::PipeFlags::CLOEXEC;
        let (pipe, input) = rustix::pipe::pipe_with(flags).unwrap();
        for piece in bytes.chunks(60_000) {
            rustix::io::write(&input, piece).unwrap();
            let (before, mut left) = (writer.written(), piece.len() as u64);
            while left > 0 {
                assert_eq!(writer.take(&pipe).unwrap(), Taken::Some);
                left = piece.len() as u64 - (writer.written() - before);
            }
        }
    }

    #[test]
    fn the_end_is_seen_when_the_last_writer_has_closed() {
        let dir = tempfile::tempdir().unwrap();
        let rule = rule(OutputPolicy::Block, 1 << 20);
        let mut writer = Writer::open(dir.path(), StreamName::Out, rule).unwrap();
        let (pipe, input) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        rustix::io::write(&input, b"last").unwrap();
        drop(input);
        assert_eq!(writer.take(&pipe).unwrap(), Taken::Some);
        assert_eq!(writer.take(&pipe).unwrap(), Taken::End);
        assert_eq!(writer.written(), 4);
    }

    #[test]
    fn what_was_written_is_read_back_over_segments() {
        let dir = tempfile::tempdir().unwrap();
        let rule = rule(OutputPolicy::Block, 64 << 20);
        let mut writer = Writer::open(dir.path(), StreamName::Out, rule).unwrap();
        let block: Vec<u8> = (0..100_003u32).map(|i| (i % 251) as u8).collect();
        (0..90).for_each(|_| feed(&mut writer, &block));
        assert_eq!(writer.way, Way::Splice);
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
        feed(&mut writer, b"0123456789");
        feed(&mut writer, b"skipped");
        writer.durable(17);
        feed(&mut writer, b"after");
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
        feed(&mut writer, b"abcd");
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
        (0..3).for_each(|_| feed(&mut writer, &vec![7; segment]));
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
        let mut first = Writer::open(dir.path(), StreamName::Out, rule.clone()).unwrap();
        feed(&mut first, b"one");
        let mut writer = Writer::open(dir.path(), StreamName::Out, rule).unwrap();
        feed(&mut writer, b"two");
        let mut reader = Reader::new(dir.path(), StreamName::Out);
        assert_eq!(reader.piece(0, 6, 99).unwrap(), Piece::Bytes(b"onetwo".to_vec()));
    }

    #[test]
    fn a_keeper_that_comes_after_a_gap_goes_on_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let rule = rule(OutputPolicy::Gap, 4);
        let mut writer = Writer::open(dir.path(), StreamName::Out, rule.clone()).unwrap();
        feed(&mut writer, b"0123");
        feed(&mut writer, b"lost");
        feed(&mut writer, b"too");
        let mut next = Writer::open(dir.path(), StreamName::Out, rule).unwrap();
        assert_eq!(next.written(), 11);
        next.durable(11);
        feed(&mut next, b"after");
        let mut reader = Reader::new(dir.path(), StreamName::Out);
        assert_eq!(reader.piece(4, 16, 99).unwrap(), Piece::Gap(11));
        assert_eq!(reader.piece(11, 16, 99).unwrap(), Piece::Bytes(b"after".to_vec()));
        assert_eq!(starts(dir.path(), StreamName::Out).unwrap(), [0, 11]);
    }

    #[test]
    fn what_is_written_by_hand_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let rule = rule(OutputPolicy::Block, 1 << 20);
        let mut writer = Writer::open(dir.path(), StreamName::Out, rule).unwrap();
        feed(&mut writer, b"one");
        writer.way = Way::ByHand;
        feed(&mut writer, b"two");
        let mut reader = Reader::new(dir.path(), StreamName::Out);
        assert_eq!(reader.piece(0, 6, 99).unwrap(), Piece::Bytes(b"onetwo".to_vec()));
    }
}
