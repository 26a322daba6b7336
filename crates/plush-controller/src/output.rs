//! Output of one host's tasks, stored byte for byte where it was written, with what is durable and what is missing.
//! Not the display: front ends read the files when [`crate::growth`] reports growth.

use crate::arrivals::{ArrivalClock, Index};
use crate::error::ControllerError;
use crate::run_dir::{create_private, file_name};
use plush_protocol::{OutputAck, OutputGap, OutputPart, StreamName, TaskKey};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of one stream that may be received and not yet durable before they are synchronised.
const SYNC_BYTES: u64 = 8 << 20;

/// The streams of the tasks of one host.
pub struct HostOutput {
    directory: PathBuf,
    streams: BTreeMap<(TaskKey, StreamName), Stream>,
    /// The first task of each process has its plain name.
    names: BTreeMap<String, u32>,
    /// Incarnations whose files are complete, durable and closed, by task.
    stored: BTreeMap<u32, Incarnations>,
    clock: Arc<ArrivalClock>,
}

/// A set of incarnations, small where none is missing.
#[derive(Default)]
struct Incarnations {
    /// All up to this one.
    upto: u32,
    /// And these.
    others: BTreeSet<u32>,
}

struct Stream {
    path: PathBuf,
    /// Open only during a write: a run may have more streams than a process may have open files.
    file: Option<Arc<File>>,
    arrivals: Index,
    received: u64,
    durable: u64,
    gap_bytes: u64,
    total: Option<u64>,
    syncing: bool,
    said_complete: bool,
}

/// A synchronisation that is due: to be performed off the event loop, its end told by [`HostOutput::synced`].
pub struct Sync {
    /// Which stream.
    pub stream: (TaskKey, StreamName),
    /// What becomes durable.
    pub upto: u64,
    path: PathBuf,
    file: Option<Arc<File>>,
}

impl Sync {
    /// Performs it.
    ///
    /// # Errors
    /// The file cannot be synchronised.
    pub fn perform(&self) -> io::Result<()> {
        match &self.file {
            Some(file) => file.sync_data(),
            None => File::open(&self.path)?.sync_data(),
        }
    }
}

/// Progress of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its file.
    pub path: PathBuf,
    /// Bytes received, gaps included.
    pub bytes: u64,
    /// Bytes among them that are missing.
    pub gap_bytes: u64,
}

/// A stream that has become complete and durable.
#[derive(Debug, PartialEq, Eq)]
pub struct Completed {
    /// Whose.
    pub key: TaskKey,
    /// Which.
    pub stream: StreamName,
    /// Its progress.
    pub extent: Extent,
}

/// What a part of output was.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored {
    /// Whether it contained new bytes.
    New,
    /// Nothing new: it had come before.
    Nothing,
}

impl HostOutput {
    /// Stores output below `directory`, with arrival times from `clock`.
    pub fn new(directory: PathBuf, clock: Arc<ArrivalClock>) -> Self {
        HostOutput {
            directory,
            streams: BTreeMap::new(),
            names: BTreeMap::new(),
            stored: BTreeMap::new(),
            clock,
        }
    }

    /// A task is going to write; what an earlier controller received is kept.
    ///
    /// # Errors
    /// The files cannot be made.
    pub fn expect(&mut self, key: TaskKey, process: &str) -> Result<(), ControllerError> {
        if self.streams.contains_key(&(key, StreamName::Out)) || self.is_stored(key) {
            return Ok(());
        }
        create_private(&self.directory)
            .map_err(|e| ControllerError::io("make the directory", &self.directory, e))?;
        let name = self.name_for(key, process);
        for (stream, ending) in [(StreamName::Out, "out"), (StreamName::Err, "err")] {
            let path = self.directory.join(format!("{name}.{ending}"));
            let opened = Stream::open(path.clone());
            let opened =
                opened.map_err(|e| ControllerError::io("open the output file", &path, e))?;
            if let Some(last_us) = opened.arrivals.last_us() {
                self.clock.is_after(last_us);
            }
            self.streams.insert((key, stream), opened);
        }
        Ok(())
    }

    /// `PROCESS.INCARNATION`, with the task's number where two tasks of the host have the same process.
    fn name_for(&mut self, key: TaskKey, process: &str) -> String {
        let name = file_name(process);
        let owner = *self.names.entry(name.clone()).or_insert(key.task);
        match owner == key.task {
            true => format!("{name}.{}", key.incarnation),
            false => format!("{name}~{}.{}", key.task, key.incarnation),
        }
    }

    /// All output of an incarnation is here for good, and its files are closed.
    pub fn is_stored(&self, key: TaskKey) -> bool {
        self.stored.get(&key.task).is_some_and(|of_task| of_task.contains(key.incarnation))
    }

    /// Closes the files of incarnations both of whose streams are complete: a task that is restarted for months has
    /// thousands.
    fn close(&mut self, keys: impl Iterator<Item = TaskKey>) {
        for key in keys {
            let both = [(key, StreamName::Out), (key, StreamName::Err)];
            let is_done = |name| self.streams.get(name).is_some_and(|s| s.said_complete);
            if both.iter().all(is_done) {
                both.iter().for_each(|name| drop(self.streams.remove(name)));
                self.stored.entry(key.task).or_default().insert(key.incarnation);
            }
        }
    }

    /// Stores a part. A part beyond what was received is an error of the peer: `None`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store(&mut self, part: &OutputPart) -> Result<Option<Stored>, ControllerError> {
        let Some(stream) = self.streams.get_mut(&(part.key, part.stream)) else {
            // It was on its way when the stream was complete.
            return Ok(self.is_stored(part.key).then_some(Stored::Nothing));
        };
        if part.offset > stream.received {
            return Ok(None);
        }
        let known = usize::try_from(stream.received - part.offset).unwrap_or(usize::MAX);
        let Some(fresh) = part.bytes.get(known..).filter(|b| !b.is_empty()) else {
            return Ok(Some(Stored::Nothing));
        };
        let at = stream.received;
        let written = stream.file().and_then(|file| file.write_all_at(fresh, at));
        written.map_err(|e| ControllerError::io("write the output file", &stream.path, e))?;
        stream.arrivals.note(at, self.clock.now_us());
        stream.received += fresh.len() as u64;
        Ok(Some(Stored::New))
    }

    /// Notes bytes that will never come. A gap that does not begin where the stream is, is an error of the peer: `None`.
    ///
    /// # Errors
    /// The note cannot be written.
    pub fn gap(&mut self, gap: &OutputGap) -> Result<Option<()>, ControllerError> {
        let Some(stream) = self.streams.get_mut(&(gap.key, gap.stream)) else { return Ok(None) };
        if gap.from > stream.received || gap.to < gap.from {
            return Ok(None);
        }
        let fresh = gap.to.saturating_sub(stream.received);
        if fresh > 0 {
            let path = stream.path.with_extension(format!("{}.gaps", extension(&stream.path)));
            note_gap(&path, stream.received, gap.to)
                .and_then(|()| stream.file()?.set_len(gap.to))
                .map_err(|e| ControllerError::io("write the note of a gap", &path, e))?;
            stream.received = gap.to;
            stream.gap_bytes += fresh;
        }
        Ok(Some(()))
    }

    /// The task has ended; its streams are so long.
    pub fn ended(&mut self, key: TaskKey, out_bytes: u64, err_bytes: u64) {
        for (name, total) in [(StreamName::Out, out_bytes), (StreamName::Err, err_bytes)] {
            if let Some(stream) = self.streams.get_mut(&(key, name)) {
                stream.total = Some(total);
            }
        }
    }

    /// The progress of a stream that is not complete.
    pub fn extent(&self, key: TaskKey, stream: StreamName) -> Option<Extent> {
        self.streams.get(&(key, stream)).map(Stream::extent)
    }

    /// What a stream has, for the agent.
    pub fn acknowledgement(&self, key: TaskKey, stream: StreamName) -> Option<OutputAck> {
        let s = self.streams.get(&(key, stream))?;
        Some(OutputAck { key, stream, received: s.received, durable: s.durable })
    }

    /// Streams that are not complete, to be opened after a connection.
    pub fn open_streams(&self) -> Vec<OutputAck> {
        let due = self.streams.iter().filter(|(_, s)| !s.said_complete);
        due.filter_map(|((key, name), _)| self.acknowledgement(*key, *name)).collect()
    }

    /// Synchronisations that are due: streams that have ended or got far ahead, or all when `every` is said.
    pub fn due(&mut self, every: bool) -> Vec<Sync> {
        let mut due = Vec::new();
        for (name, stream) in &mut self.streams {
            let ahead = stream.received - stream.durable;
            let wanted = ahead >= SYNC_BYTES || (ahead > 0 && (every || stream.is_whole()));
            if wanted && !stream.syncing {
                stream.syncing = true;
                due.push(Sync {
                    stream: *name,
                    upto: stream.received,
                    path: stream.path.clone(),
                    file: stream.file.clone(),
                });
            }
        }
        due
    }

    /// A synchronisation has come to its end.
    pub fn synced(&mut self, name: (TaskKey, StreamName), upto: u64) {
        if let Some(stream) = self.streams.get_mut(&name) {
            stream.syncing = false;
            stream.durable = stream.durable.max(upto);
            if stream.durable == stream.received {
                stream.file = None;
            }
        }
    }

    /// Returns streams that have become complete and durable, each once.
    pub fn completed(&mut self) -> Vec<Completed> {
        let mut done: Vec<Completed> = Vec::new();
        for ((key, name), stream) in &mut self.streams {
            if stream.is_whole() && stream.durable == stream.received && !stream.said_complete {
                stream.said_complete = true;
                done.push(Completed { key: *key, stream: *name, extent: stream.extent() });
            }
        }
        self.close(done.iter().map(|done| done.key));
        done
    }
}

impl Incarnations {
    fn contains(&self, incarnation: u32) -> bool {
        incarnation <= self.upto || self.others.contains(&incarnation)
    }

    fn insert(&mut self, incarnation: u32) {
        self.others.insert(incarnation);
        while self.others.remove(&(self.upto + 1)) {
            self.upto += 1;
        }
    }
}

impl Stream {
    fn open(path: PathBuf) -> io::Result<Stream> {
        let length = opened(&path)?.metadata()?.len();
        Ok(Stream {
            arrivals: Index::of(&path, length),
            path,
            file: None,
            received: length,
            durable: 0,
            gap_bytes: 0,
            total: None,
            syncing: false,
            said_complete: false,
        })
    }

    fn file(&mut self) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(opened(&self.path)?);
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    fn extent(&self) -> Extent {
        Extent { path: self.path.clone(), bytes: self.received, gap_bytes: self.gap_bytes }
    }

    fn is_whole(&self) -> bool {
        self.total.is_some_and(|total| self.received >= total)
    }
}

fn opened(path: &Path) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn extension(path: &Path) -> String {
    path.extension().map_or_else(String::new, |e| e.to_string_lossy().into_owned())
}

fn note_gap(path: &Path, from: u64, to: u64) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.append(true).create(true).mode(0o600).open(path)?;
    let before = file.metadata()?.len();
    writeln!(file, "{{\"from\":{from},\"to\":{to}}}").or_else(|error| {
        // Half a note would spoil the next one.
        file.set_len(before)?;
        Err(error)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KEY: TaskKey = TaskKey { task: 0, incarnation: 1 };

    fn part(offset: u64, bytes: &[u8]) -> OutputPart {
        OutputPart { key: KEY, stream: StreamName::Out, offset, bytes: bytes.to_vec() }
    }

    fn open(dir: &Path) -> HostOutput {
        let mut output = HostOutput::new(dir.join("h"), Arc::default());
        output.expect(KEY, "hello").unwrap();
        output
    }

    fn streams(done: &[Completed]) -> Vec<StreamName> {
        done.iter().map(|done| done.stream).collect()
    }

    #[test]
    fn a_stream_that_is_not_written_holds_no_file_open() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = open(dir.path());
        let is_open = |output: &HostOutput| output.streams.values().any(|s| s.file.is_some());
        assert!(!is_open(&output));
        output.store(&part(0, b"abc")).unwrap();
        assert!(is_open(&output));
        let due = output.due(true);
        due.iter().for_each(|sync| sync.perform().unwrap());
        output.synced(due[0].stream, due[0].upto);
        assert!(!is_open(&output));
        output.store(&part(3, b"d")).unwrap();
        assert_eq!(std::fs::read(dir.path().join("h/hello.1.out")).unwrap(), b"abcd");
    }

    #[test]
    fn each_part_has_the_time_at_which_it_arrived() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = open(dir.path());
        let before = output.clock.now_us();
        output.store(&part(0, b"abc")).unwrap();
        let mut noted = crate::arrivals::Arrivals::of(&dir.path().join("h/hello.1.out"));
        let first = noted.take().unwrap();
        assert!(first.from == 0 && noted.take().is_none());
        assert!(first.at_us > before && first.at_us < output.clock.now_us());
    }

    #[test]
    fn o3_a_part_that_comes_twice_leaves_the_bytes_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = open(dir.path());
        assert_eq!(output.store(&part(0, b"abcd")).unwrap(), Some(Stored::New));
        assert_eq!(output.store(&part(2, b"cdef")).unwrap(), Some(Stored::New));
        assert_eq!(output.store(&part(0, b"abcd")).unwrap(), Some(Stored::Nothing));
        assert_eq!(std::fs::read(dir.path().join("h/hello.1.out")).unwrap(), b"abcdef");
    }

    #[test]
    fn o1_a_part_beyond_a_hole_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = open(dir.path());
        assert_eq!(output.store(&part(1, b"b")).unwrap(), None);
    }

    #[test]
    fn o2_a_gap_is_declared_and_the_rest_keeps_its_offset() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = open(dir.path());
        output.store(&part(0, b"ab")).unwrap();
        let gap = OutputGap { key: KEY, stream: StreamName::Out, from: 2, to: 5 };
        assert_eq!(output.gap(&gap).unwrap(), Some(()));
        output.store(&part(5, b"f")).unwrap();
        assert_eq!(std::fs::read(dir.path().join("h/hello.1.out")).unwrap(), b"ab\0\0\0f");
        let noted = std::fs::read_to_string(dir.path().join("h/hello.1.out.gaps")).unwrap();
        assert_eq!(noted, "{\"from\":2,\"to\":5}\n");
    }

    #[test]
    fn a_stream_is_complete_once_and_only_when_it_is_durable() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = open(dir.path());
        output.store(&part(0, b"abc")).unwrap();
        output.ended(KEY, 3, 0);
        assert_eq!(streams(&output.completed()), [StreamName::Err]);
        let due = output.due(false);
        assert_eq!((due.len(), due[0].upto), (1, 3));
        output.synced(due[0].stream, due[0].upto);
        let done = output.completed();
        assert_eq!(streams(&done), [StreamName::Out]);
        assert_eq!((done[0].extent.bytes, done[0].extent.gap_bytes), (3, 0));
        assert_eq!(output.completed(), []);
    }

    #[test]
    fn the_files_of_ten_thousand_incarnations_are_not_open_and_none_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = HostOutput::new(dir.path().join("h"), Arc::default());
        for incarnation in 1..=10_000 {
            let key = TaskKey { task: 0, incarnation };
            output.expect(key, "hello").unwrap();
            output.ended(key, 0, 0);
            assert_eq!(output.completed().len(), 2);
            output.expect(key, "hello").unwrap();
            assert!(output.streams.is_empty() && output.stored[&0].others.is_empty());
        }
        let late = OutputPart { key: KEY, stream: StreamName::Out, offset: 0, bytes: vec![] };
        assert_eq!(output.store(&late).unwrap(), Some(Stored::Nothing));
        assert_eq!(output.completed(), []);
    }

    #[test]
    fn a_new_controller_goes_on_where_the_old_one_stopped() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).store(&part(0, b"abc")).unwrap();
        let output = open(dir.path());
        assert_eq!(output.acknowledgement(KEY, StreamName::Out).unwrap().received, 3);
    }
}
