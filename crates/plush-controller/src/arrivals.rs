//! Arrival times of output. An index `FILE.times` beside each output file holds 16-byte records,
//! each the offset of a first byte and the time of its arrival, both little-endian. The bytes up to
//! the next record arrived with it.
//! Not part of the record of a run: without an index, output has no times and nothing else is
//! missing.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Maximum number of records of one file; when it is reached, every second record is removed.
pub const RECORDS_MAX: usize = 16_384;
const RECORD_BYTES: usize = 16;
/// Records per read.
const PAGE: usize = 256;
/// Bytes that arrive within this time of a record belong to it, until records have been removed.
const SPACING_US: u64 = 1_000;

/// Output from this byte on arrived at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Offset in the output file.
    pub from: u64,
    /// Microseconds since 1970.
    pub at_us: u64,
}

impl Arrival {
    fn is_after(self, other: Arrival) -> bool {
        self.from > other.from && self.at_us >= other.at_us
    }
}

/// A clock for arrivals: strictly increasing, whatever happens to the time of day.
#[derive(Debug, Default)]
pub struct ArrivalClock(AtomicU64);

impl ArrivalClock {
    /// Microseconds since 1970.
    pub fn now_us(&self) -> u64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
        let next = |last: u64| Some(wall.max(last.saturating_add(1)));
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        wall.max(last.unwrap_or_default().saturating_add(1))
    }

    /// Advances the clock past the time of an earlier arrival.
    pub fn is_after(&self, at_us: u64) {
        self.0.fetch_max(at_us, Ordering::Relaxed);
    }
}

/// Writes the index of one output file.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    count: usize,
    last: Option<Arrival>,
    spacing_us: u64,
}

impl Index {
    /// Opens the index of an output file of this length.
    pub fn of(output: &Path, bytes: u64) -> Index {
        let path = path_of(output);
        let mut index = Index { path, count: 0, last: None, spacing_us: SPACING_US };
        if bytes > 0 {
            // An unreadable index is replaced by an empty one.
            let mut known = read(&index.path).unwrap_or_default();
            known.retain(|arrival| arrival.from < bytes);
            (index.count, index.last) = (known.len(), known.last().copied());
        }
        index
    }

    /// The last recorded time.
    pub fn last_us(&self) -> Option<u64> {
        self.last.map(|last| last.at_us)
    }

    /// Records that the bytes from this offset on arrive now. Failures to write are ignored:
    /// arrival times are not worth stopping a run.
    pub fn note(&mut self, from: u64, at_us: u64) {
        if self.last.is_some_and(|last| at_us < last.at_us.saturating_add(self.spacing_us)) {
            return;
        }
        if self.count >= RECORDS_MAX && self.thin().is_err() {
            // It is tried again, but not with every piece of output.
            self.spacing_us = self.spacing_us.saturating_mul(2);
            return;
        }
        let arrival = Arrival { from, at_us };
        if self.append(arrival).is_ok() {
            self.count += 1;
            self.last = Some(arrival);
        }
    }

    fn append(&self, arrival: Arrival) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o600).open(&self.path)?;
        // Drop a partial record, and records of bytes that a crash lost.
        let here = (self.count * RECORD_BYTES) as u64;
        if file.metadata()?.len() != here {
            file.set_len(here)?;
        }
        file.write_all(&bytes_of(arrival))
    }

    /// Drops every second record. Not synchronized: no promise of a run rests on arrival times.
    fn thin(&mut self) -> io::Result<()> {
        let kept: Vec<Arrival> = read(&self.path)?.into_iter().step_by(2).collect();
        let bytes: Vec<u8> = kept.iter().flat_map(|arrival| bytes_of(*arrival)).collect();
        let part = self.path.with_extension("times.part");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&bytes)?;
        std::fs::rename(&part, &self.path)?;
        self.count = kept.len();
        self.spacing_us = self.spacing_us.saturating_mul(2);
        Ok(())
    }
}

/// Reads the arrivals of an output file's bytes page by page, also while the file is being written.
#[derive(Debug)]
pub struct Arrivals {
    path: PathBuf,
    page: VecDeque<Arrival>,
    last: Option<Arrival>,
}

impl Arrivals {
    /// Opens the arrivals of an output file.
    pub fn of(output: &Path) -> Arrivals {
        Arrivals { path: path_of(output), page: VecDeque::new(), last: None }
    }

    /// The next arrival, to be consumed by [`Arrivals::take`]; `None` while it is unknown.
    pub fn peek(&mut self) -> Option<Arrival> {
        if self.page.is_empty() {
            // Searched anew each time: the index may have been thinned since.
            let page = read_after(&self.path, self.last).unwrap_or_default();
            let last = self.last;
            self.page.extend(page.into_iter().filter(|next| last.is_none_or(|l| next.is_after(l))));
        }
        self.page.front().copied()
    }

    /// Consumes the next arrival.
    pub fn take(&mut self) -> Option<Arrival> {
        let next = self.peek()?;
        self.page.pop_front();
        self.last = Some(next);
        Some(next)
    }
}

/// The name of every index ends so.
const SUFFIX: &str = ".times";

/// Whether a file among the output files is an index and no output.
pub fn is_index(path: &Path) -> bool {
    let name = path.as_os_str().as_encoded_bytes();
    let name = name.strip_suffix(b".part").unwrap_or(name);
    name.ends_with(SUFFIX.as_bytes())
}

fn path_of(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(SUFFIX);
    PathBuf::from(name)
}

fn bytes_of(arrival: Arrival) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[..8].copy_from_slice(&arrival.from.to_le_bytes());
    bytes[8..].copy_from_slice(&arrival.at_us.to_le_bytes());
    bytes
}

fn read(path: &Path) -> io::Result<Vec<Arrival>> {
    records(&File::open(path)?, 0, RECORDS_MAX)
}

/// A page of the records of later bytes.
fn read_after(path: &Path, last: Option<Arrival>) -> io::Result<Vec<Arrival>> {
    let file = File::open(path)?;
    let (mut low, mut high) = (0, file.metadata()?.len() / RECORD_BYTES as u64);
    while let Some(last) = last
        && low < high
    {
        let middle = low + (high - low) / 2;
        match records(&file, middle, 1)?.first() {
            Some(record) if record.from <= last.from => low = middle + 1,
            Some(_) | None => high = middle,
        }
    }
    records(&file, low, PAGE)
}

fn records(mut file: &File, first: u64, count: usize) -> io::Result<Vec<Arrival>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(first * RECORD_BYTES as u64))?;
    file.take((count * RECORD_BYTES) as u64).read_to_end(&mut bytes)?;
    let mut arrivals: Vec<Arrival> = Vec::with_capacity(bytes.len() / RECORD_BYTES);
    for record in bytes.chunks_exact(RECORD_BYTES) {
        let number = |half: &[u8]| half.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let next = Arrival { from: number(&record[..8]), at_us: number(&record[8..]) };
        // Records that do not increase were not written by this program.
        if arrivals.last().is_some_and(|last| !next.is_after(*last)) {
            break;
        }
        arrivals.push(next);
    }
    Ok(arrivals)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(output: &Path) -> Vec<Arrival> {
        let mut arrivals = Arrivals::of(output);
        std::iter::from_fn(|| arrivals.take()).collect()
    }

    #[test]
    fn bytes_have_the_time_at_which_they_arrived_and_a_crash_spoils_no_more_than_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("p.1.out");
        let mut index = Index::of(&output, 0);
        index.note(0, 5_000);
        index.note(10, 5_500);
        index.note(20, 9_000);
        index.note(30, 19_000);
        let known = [(0, 5_000), (20, 9_000), (30, 19_000)];
        let pairs = || of(&output).iter().map(|a| (a.from, a.at_us)).collect::<Vec<_>>();
        assert_eq!(pairs(), known);
        // After a crash the last bytes and half a record are missing.
        let file = OpenOptions::new().write(true).open(path_of(&output)).unwrap();
        file.set_len(3 * 16 - 7).unwrap();
        let mut index = Index::of(&output, 25);
        assert_eq!(index.last_us(), Some(9_000));
        index.note(25, 30_000);
        assert_eq!(pairs(), [(0, 5_000), (20, 9_000), (25, 30_000)]);
    }

    #[test]
    fn an_index_has_a_bound_and_keeps_its_beginning_and_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("p.1.out");
        let mut index = Index::of(&output, 0);
        for n in 0..3 * RECORDS_MAX as u64 {
            index.note(n, 1 + n * SPACING_US);
        }
        let known = of(&output);
        assert!(known.len() <= RECORDS_MAX && known.len() >= RECORDS_MAX / 4, "{}", known.len());
        assert_eq!(known[0], Arrival { from: 0, at_us: 1 });
        assert!(known.windows(2).all(|pair| pair[1].from - pair[0].from <= 4), "evenly");
    }

    #[test]
    fn a_reader_of_an_index_that_is_written_and_thinned_goes_on_with_what_comes() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("p.1.out");
        let mut index = Index::of(&output, 0);
        let mut reader = Arrivals::of(&output);
        let mut last = None;
        for n in 0..3 * RECORDS_MAX as u64 {
            index.note(n, 1 + n * SPACING_US);
            while let Some(next) = (n % 1_000 == 0).then(|| reader.take()).flatten() {
                assert!(last.is_none_or(|last: Arrival| next.is_after(last)));
                last = Some(next);
            }
            assert!(n % 1_000 > 0 || last.unwrap().from + 4 > n, "{n}: {last:?}");
        }
    }

    #[test]
    fn no_two_arrivals_are_at_one_time_even_when_the_clock_is_set_back() {
        let clock = ArrivalClock::default();
        let later = clock.now_us() + 60_000_000;
        clock.is_after(later);
        assert_eq!((clock.now_us(), clock.now_us()), (later + 1, later + 2));
    }
}
