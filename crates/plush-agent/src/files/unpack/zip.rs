//! The structure of a zip archive: central directory, stored and deflated entries, zip64.
//!
//! Not every zip: encryption, other methods, several disks and directories that contradict the entries are refused.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

use super::tree::{Attributes, Tree};
use super::{Cause, UnpackError};
use crate::files::CHUNK_BYTES;

/// The largest central directory that is read.
const DIRECTORY_BYTES: u64 = 64 << 20;
/// The longest target of a link.
const TARGET_BYTES: u64 = 4095;
/// Nothing is called a bomb below this.
const HARMLESS_BYTES: u64 = 64 << 20;

/// One entry as the central directory tells it.
struct Entry {
    name: Vec<u8>,
    is_unix: bool,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    attributes: u32,
    header_at: u64,
    mtime: Option<i64>,
}

/// Hands every entry to `tree`.
pub fn unpack(archive: &File, tree: &mut Tree<'_>) -> Result<(), UnpackError> {
    let entries = directory(archive, tree.options().limits.entries).map_err(UnpackError::of)?;
    let contents = contents(archive, &entries)?;
    check_size(archive, &entries, tree).map_err(UnpackError::of)?;
    for (entry, at) in entries.iter().zip(contents) {
        take(archive, entry, at, tree).map_err(|cause| UnpackError::at(&entry.name, cause))?;
    }
    Ok(())
}

fn take(archive: &File, entry: &Entry, at: u64, tree: &mut Tree<'_>) -> Result<(), Cause> {
    let mode = if entry.is_unix { entry.attributes >> 16 } else { 0 };
    let is_dir = entry.name.ends_with(b"/");
    let permissions = match (mode & 0o777, is_dir) {
        (0, true) => 0o755,
        (0, false) => 0o644,
        (permissions, _) => permissions,
    };
    match (mode & 0o170_000, is_dir) {
        (0 | 0o040_000, true) if entry.size == 0 => tree.dir(&entry.name, permissions),
        (0 | 0o040_000, true) => Err(Cause::Damaged("a directory with contents")),
        (0 | 0o100_000, false) => {
            let mut content = Content::open(archive, entry, at)?;
            let attributes = Attributes { mode: permissions, mtime: entry.mtime, size: entry.size };
            tree.file(&entry.name, attributes, &mut |buffer| content.read(buffer))?;
            content.finish()
        }
        (0o120_000, false) => {
            if entry.size > TARGET_BYTES {
                return Err(Cause::Damaged("a link with an endless target"));
            }
            let mut content = Content::open(archive, entry, at)?;
            let mut target = vec![0; entry.size as usize];
            let mut length = 0;
            while length < target.len() {
                match content.read(&mut target[length..])? {
                    0 => return Err(Cause::Damaged("it ends within a link")),
                    count => length += count,
                }
            }
            content.finish()?;
            tree.symlink(&entry.name, &target)
        }
        (0o020_000, _) => Err(Cause::Unwanted("a character device")),
        (0o060_000, _) => Err(Cause::Unwanted("a block device")),
        (0o010_000, _) => Err(Cause::Unwanted("a FIFO")),
        (0o140_000, _) => Err(Cause::Unwanted("a socket")),
        _ => Err(Cause::Damaged("its name and its mode contradict each other")),
    }
}

/// An entry's content, checked against its size and checksum.
struct Content<'a> {
    source: Box<dyn Read + 'a>,
    crc: flate2::Crc,
    entry: &'a Entry,
}

impl<'a> Content<'a> {
    fn open(archive: &'a File, entry: &'a Entry, at: u64) -> Result<Content<'a>, Cause> {
        let section = Section { archive, at, left: entry.packed };
        let source: Box<dyn Read> = match entry.method {
            0 if entry.packed == entry.size => Box::new(section),
            0 => return Err(Cause::Damaged("a stored entry with two sizes")),
            8 => Box::new(flate2::bufread::DeflateDecoder::new(BufReader::with_capacity(
                CHUNK_BYTES,
                section,
            ))),
            _ => return Err(Cause::Unwanted("compressed by another method than deflate")),
        };
        Ok(Content { source, crc: flate2::Crc::new(), entry })
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Cause> {
        let count = self.source.read(buffer).map_err(Cause::Compression)?;
        self.crc.update(&buffer[..count]);
        Ok(count)
    }

    fn finish(mut self) -> Result<(), Cause> {
        if self.read(&mut [0])? != 0 {
            return Err(Cause::Damaged("an entry is longer than it says"));
        }
        if self.crc.sum() == self.entry.crc {
            Ok(())
        } else {
            Err(Cause::Damaged("an entry's checksum is wrong"))
        }
    }
}

struct Section<'a> {
    archive: &'a File,
    at: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.archive.read_at(&mut buffer[..room], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// All sizes together, before the first byte is written.
fn check_size(archive: &File, entries: &[Entry], tree: &Tree<'_>) -> Result<(), Cause> {
    let limits = tree.options().limits;
    let size = entries.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.size));
    if size > limits.bytes {
        return Err(Cause::Limit { what: "bytes", limit: limits.bytes });
    }
    let packed = archive.metadata().map_err(Cause::Compression)?.len();
    if size > packed.saturating_mul(limits.ratio).max(HARMLESS_BYTES) {
        return Err(Cause::Limit { what: "bytes out of each packed byte", limit: limits.ratio });
    }
    tree.check_room(size)
}

/// Where each entry's content begins; no two may share bytes, and the entries' own headers must agree with the directory.
fn contents(archive: &File, entries: &[Entry]) -> Result<Vec<u64>, UnpackError> {
    let mut starts = Vec::with_capacity(entries.len());
    let mut ranges = Vec::with_capacity(entries.len());
    for entry in entries {
        let start =
            content_start(archive, entry).map_err(|cause| UnpackError::at(&entry.name, cause))?;
        starts.push(start);
        ranges.push((entry.header_at, start.saturating_add(entry.packed), entry));
    }
    ranges.sort_by_key(|(from, _, _)| *from);
    for pair in ranges.windows(2) {
        if pair[1].0 < pair[0].1 {
            return Err(UnpackError::at(
                &pair[1].2.name,
                Cause::Damaged("two entries share the same bytes"),
            ));
        }
    }
    Ok(starts)
}

fn content_start(archive: &File, entry: &Entry) -> Result<u64, Cause> {
    let header = exactly(archive, entry.header_at, 30)?;
    if header[..4] != *b"PK\x03\x04" {
        return Err(Cause::Damaged("an entry is not where the directory says"));
    }
    if entry.flags & 0x2041 != 0 || short(&header, 6) & 0x2041 != 0 {
        return Err(Cause::Unwanted("encrypted"));
    }
    let (name_length, extra_length) =
        (u64::from(short(&header, 26)), u64::from(short(&header, 28)));
    let name = exactly(archive, entry.header_at + 30, name_length)?;
    if name != entry.name || short(&header, 8) != entry.method {
        return Err(Cause::Damaged("an entry contradicts the directory"));
    }
    Ok(entry.header_at + 30 + name_length + extra_length)
}

fn directory(archive: &File, most_entries: u64) -> Result<Vec<Entry>, Cause> {
    let (count, size, at) = end_record(archive)?;
    if size > DIRECTORY_BYTES {
        return Err(Cause::Limit { what: "bytes in the directory", limit: DIRECTORY_BYTES });
    }
    if count > most_entries {
        return Err(Cause::Limit { what: "entries", limit: most_entries });
    }
    let bytes = exactly(archive, at, size)?;
    let mut rest = bytes.as_slice();
    let mut entries = Vec::new();
    while !rest.is_empty() {
        entries.push(entry(&mut rest).ok_or(Cause::Damaged("its directory is malformed"))?);
    }
    if entries.len() as u64 != count {
        return Err(Cause::Damaged("its directory has another number of entries than it says"));
    }
    Ok(entries)
}

/// Number of entries, size and place of the central directory, which must end where the end record begins.
fn end_record(archive: &File) -> Result<(u64, u64, u64), Cause> {
    let length = archive.metadata().map_err(Cause::Compression)?.len();
    let tail_at = length.saturating_sub(22 + 0xffff);
    let tail = exactly(archive, tail_at, length - tail_at)?;
    let fits = |at: &usize| {
        tail[*at..].starts_with(b"PK\x05\x06")
            && usize::from(short(&tail, at + 20)) == tail.len() - at - 22
    };
    let at =
        (0..=tail.len().saturating_sub(22)).rev().filter(|at| at + 22 <= tail.len()).find(fits);
    let at = at.ok_or(Cause::Damaged("it has no end record, so it may be cut short"))?;
    let record = &tail[at..];
    let mut end = tail_at + at as u64;
    let (mut count, mut size, mut from) =
        (u64::from(short(record, 10)), u64::from(long(record, 12)), u64::from(long(record, 16)));
    let mut disks =
        [u64::from(short(record, 4)), u64::from(short(record, 6)), u64::from(short(record, 8))];
    if count == 0xffff || size == 0xffff_ffff || from == 0xffff_ffff {
        let locator = exactly(
            archive,
            end.checked_sub(20).ok_or(Cause::Damaged("its zip64 record is missing"))?,
            20,
        )?;
        if locator[..4] != *b"PK\x06\x07" {
            return Err(Cause::Damaged("its zip64 record is missing"));
        }
        end = double(&locator, 8);
        let record = exactly(archive, end, 56)?;
        if record[..4] != *b"PK\x06\x06" {
            return Err(Cause::Damaged("its zip64 record is missing"));
        }
        (count, size, from) = (double(&record, 32), double(&record, 40), double(&record, 48));
        disks = [long(&record, 16).into(), long(&record, 20).into(), double(&record, 24)];
    }
    if disks != [0, 0, count] {
        return Err(Cause::Damaged("it is spread over several disks"));
    }
    if from.checked_add(size) != Some(end) {
        return Err(Cause::Damaged("its directory does not end at its end record"));
    }
    Ok((count, size, from))
}

fn entry(rest: &mut &[u8]) -> Option<Entry> {
    let header = rest.get(..46)?;
    if header[..4] != *b"PK\x01\x02" {
        return None;
    }
    let (name_length, extra_length, comment_length) = (
        usize::from(short(header, 28)),
        usize::from(short(header, 30)),
        usize::from(short(header, 32)),
    );
    let name = rest.get(46..46 + name_length)?.to_vec();
    let extra = rest.get(46 + name_length..46 + name_length + extra_length)?;
    let mut entry = Entry {
        name,
        is_unix: matches!(header[5], 3 | 19),
        flags: short(header, 8),
        method: short(header, 10),
        crc: long(header, 16),
        packed: long(header, 20).into(),
        size: long(header, 24).into(),
        attributes: long(header, 38),
        header_at: long(header, 42).into(),
        mtime: None,
    };
    read_extra(extra, &mut entry)?;
    *rest = rest.get(46 + name_length + extra_length + comment_length..)?;
    Some(entry)
}

/// zip64 sizes and the UNIX time.
fn read_extra(mut extra: &[u8], entry: &mut Entry) -> Option<()> {
    while extra.len() >= 4 {
        let (id, length) = (short(extra, 0), usize::from(short(extra, 2)));
        let mut field = extra.get(4..4 + length)?;
        match id {
            1 => {
                for value in [&mut entry.size, &mut entry.packed, &mut entry.header_at] {
                    if *value == 0xffff_ffff {
                        *value = double(field.get(..8)?, 0);
                        field = &field[8..];
                    }
                }
            }
            0x5455 if length >= 5 && field[0] & 1 != 0 => entry.mtime = Some(long(field, 1).into()),
            _ => {}
        }
        extra = &extra[4 + length..];
    }
    Some(())
}

fn exactly(archive: &File, at: u64, length: u64) -> Result<Vec<u8>, Cause> {
    let mut bytes = vec![0; length as usize];
    archive.read_exact_at(&mut bytes, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
            Cause::Damaged("it refers to bytes that it does not have")
        }
        _ => Cause::Compression(error),
    })?;
    Ok(bytes)
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from(short(bytes, at)) | u32::from(short(bytes, at + 2)) << 16
}

fn double(bytes: &[u8], at: usize) -> u64 {
    u64::from(long(bytes, at)) | u64::from(long(bytes, at + 4)) << 32
}
