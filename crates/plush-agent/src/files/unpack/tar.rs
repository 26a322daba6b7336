//! The structure of a tar archive: ustar, PAX and GNU long names.
//!
//! Not every tar: sparse files, volumes and incremental dumps have no place in software.

use super::stream::Guarded;
use super::tree::{Attributes, Tree};
use super::{Cause, UnpackError};

const BLOCK: usize = 512;
/// The largest extended header or long name.
const EXTENSION_BYTES: u64 = 1 << 20;

/// Takes a key and its value.
type Record<'r> = dyn FnMut(&[u8], &[u8]) -> Result<(), Cause> + 'r;

/// What extension headers say about the entry after them.
#[derive(Default)]
struct Extension {
    has_pax: bool,
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    mtime: Option<i64>,
    is_sparse: bool,
}

/// Whether a block is a header, by its checksum.
pub fn is_header(block: &[u8]) -> bool {
    let Ok(block) = <&[u8; BLOCK]>::try_from(block) else { return false };
    let sum = |signed: bool| {
        block.iter().enumerate().fold(0i64, |sum, (at, byte)| {
            let byte = if (148..156).contains(&at) { b' ' } else { *byte };
            sum + if signed { i64::from(byte.cast_signed()) } else { i64::from(byte) }
        })
    };
    let told = number(&block[148..156]);
    block[0] != 0 && (told == Some(sum(false)) || told == Some(sum(true)))
}

/// Hands every entry to `tree`.
pub fn unpack(stream: &mut Guarded, tree: &mut Tree<'_>) -> Result<(), UnpackError> {
    let mut extension = Extension::default();
    loop {
        let mut block = [0; BLOCK];
        if !fill(stream, &mut block).map_err(UnpackError::of)? {
            return Err(UnpackError::of(Cause::Damaged(
                "it ends without its end mark, so it may be cut short",
            )));
        }
        if block.iter().all(|byte| *byte == 0) {
            return end(stream, &extension).map_err(UnpackError::of);
        }
        let raw_name = header_name(&block);
        if !is_header(&block) {
            return Err(UnpackError::at(&raw_name, Cause::Damaged("a header's checksum is wrong")));
        }
        let is_extension = extend(stream, &block, &mut extension)
            .map_err(|cause| UnpackError::at(&raw_name, cause))?;
        if !is_extension {
            let extension = std::mem::take(&mut extension);
            let name = extension.path.clone().unwrap_or(raw_name);
            take(stream, &block, &name, extension, tree)
                .map_err(|cause| UnpackError::at(&name, cause))?;
        }
    }
}

/// Reads what a header says about the next one; false when it is an entry itself.
fn extend(
    stream: &mut Guarded,
    block: &[u8; BLOCK],
    extension: &mut Extension,
) -> Result<bool, Cause> {
    let size = size_field(block)?;
    match block[156] {
        b'x' | b'X' => {
            if extension.has_pax {
                return Err(Cause::Damaged("two extended headers for one entry"));
            }
            extension.has_pax = true;
            let bytes = content(stream, size)?;
            records(&bytes, &mut |key, value| extension.set(key, value))?;
        }
        b'g' => {
            let bytes = content(stream, size)?;
            records(&bytes, &mut |key, _| match key {
                b"path" | b"linkpath" | b"size" => {
                    Err(Cause::Damaged("a global header that names a file"))
                }
                key if key.starts_with(b"GNU.sparse.") => Err(Cause::Unwanted("a sparse file")),
                _ => Ok(()),
            })?;
        }
        b'L' => set_once(&mut extension.path, long_name(stream, size)?)?,
        b'K' => set_once(&mut extension.target, long_name(stream, size)?)?,
        b'V' => drop(content(stream, size)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn take(
    stream: &mut Guarded,
    block: &[u8; BLOCK],
    name: &[u8],
    extension: Extension,
    tree: &mut Tree<'_>,
) -> Result<(), Cause> {
    if extension.is_sparse {
        return Err(Cause::Unwanted("a sparse file"));
    }
    let size = extension.size.map_or_else(|| size_field(block), Ok)?;
    let mode = number(&block[100..108]).ok_or(Cause::Damaged("a mode that is no number"))? as u32;
    let mtime = extension.mtime.or_else(|| number(&block[136..148]));
    let target = extension.target.unwrap_or_else(|| text(&block[157..257]));
    let kind = block[156];
    if !matches!(kind, 0 | b'0' | b'7') && size != 0 {
        return Err(Cause::Damaged("something other than a file with contents"));
    }
    match kind {
        0 | b'0' if name.ends_with(b"/") && size == 0 => tree.dir(name, mode),
        0 | b'0' | b'7' if name.ends_with(b"/") => Err(Cause::Damaged("a directory with contents")),
        0 | b'0' | b'7' => {
            tree.file(name, Attributes { mode, mtime, size }, &mut |buffer| stream.read(buffer))?;
            skip_padding(stream, size)
        }
        b'1' => tree.hard_link(name, &target),
        b'2' => tree.symlink(name, &target),
        b'3' => Err(Cause::Unwanted("a character device")),
        b'4' => Err(Cause::Unwanted("a block device")),
        b'5' => tree.dir(name, mode),
        b'6' => Err(Cause::Unwanted("a FIFO")),
        b'S' => Err(Cause::Unwanted("a sparse file")),
        b'M' | b'D' | b'N' => Err(Cause::Unwanted("a part of a dump or of a volume")),
        _ => Err(Cause::Unwanted("of an unknown kind")),
    }
}

/// Reads to the end of the stream, so that its own checksums are seen.
fn end(stream: &mut Guarded, extension: &Extension) -> Result<(), Cause> {
    if extension.has_pax || extension.path.is_some() || extension.target.is_some() {
        return Err(Cause::Damaged("an extended header without its entry"));
    }
    let mut rest = [0; 16 * BLOCK];
    while stream.read(&mut rest)? > 0 {}
    Ok(())
}

impl Extension {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Cause> {
        let digits = || {
            std::str::from_utf8(value)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        };
        match key {
            b"path" => set_once(&mut self.path, value.to_vec())?,
            b"linkpath" => set_once(&mut self.target, value.to_vec())?,
            b"size" => {
                let size = digits().and_then(|text| text.parse().ok());
                set_once(&mut self.size, size.ok_or(Cause::Damaged("a size that is no number"))?)?;
            }
            b"mtime" => {
                let whole = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.split('.').next()?.parse().ok());
                self.mtime = whole;
            }
            key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
            _ => {}
        }
        Ok(())
    }
}

fn set_once<T>(field: &mut Option<T>, value: T) -> Result<(), Cause> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Cause::Damaged("one property is told twice for one entry")),
    }
}

/// Goes through `LENGTH KEY=VALUE\n` records.
fn records(mut bytes: &[u8], each: &mut Record<'_>) -> Result<(), Cause> {
    let wrong = || Cause::Damaged("a malformed extended header");
    while !bytes.is_empty() {
        let space = bytes.iter().take(8).position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let digits = &bytes[..space];
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(wrong());
        }
        let length = digits.iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
        let record = bytes.get(space + 1..length).ok_or_else(wrong)?;
        let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        each(&record[..equals], &record[equals + 1..])?;
        bytes = &bytes[length..];
    }
    Ok(())
}

fn long_name(stream: &mut Guarded, size: u64) -> Result<Vec<u8>, Cause> {
    let mut name = content(stream, size)?;
    while name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

/// The content of an extension, which is bounded before anything is allocated.
fn content(stream: &mut Guarded, size: u64) -> Result<Vec<u8>, Cause> {
    if size > EXTENSION_BYTES {
        return Err(Cause::Limit { what: "bytes in an extended header", limit: EXTENSION_BYTES });
    }
    let mut bytes = vec![0; size as usize];
    if !bytes.is_empty() && !fill(stream, &mut bytes)? {
        return Err(Cause::Damaged("it ends within an extended header"));
    }
    skip_padding(stream, size)?;
    Ok(bytes)
}

fn skip_padding(stream: &mut Guarded, size: u64) -> Result<(), Cause> {
    let padding = (size.next_multiple_of(BLOCK as u64) - size) as usize;
    let mut block = [0; BLOCK];
    if padding > 0 && !fill(stream, &mut block[..padding])? {
        return Err(Cause::Damaged("it ends within a block"));
    }
    Ok(())
}

/// Fills the buffer; false when the stream ended before its first byte.
fn fill(stream: &mut Guarded, buffer: &mut [u8]) -> Result<bool, Cause> {
    let mut length = 0;
    while length < buffer.len() {
        match stream.read(&mut buffer[length..])? {
            0 if length == 0 => return Ok(false),
            0 => return Err(Cause::Damaged("it ends within a block")),
            count => length += count,
        }
    }
    Ok(true)
}

fn size_field(block: &[u8; BLOCK]) -> Result<u64, Cause> {
    let size = number(&block[124..136]).and_then(|size| u64::try_from(size).ok());
    size.filter(|size| *size <= i64::MAX as u64 - BLOCK as u64)
        .ok_or(Cause::Damaged("a size that is no number"))
}

fn header_name(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = text(&block[..100]);
    let prefix = if &block[257..263] == b"ustar\0" { text(&block[345..500]) } else { Vec::new() };
    if prefix.is_empty() { name } else { [prefix, name].join(&b'/') }
}

fn text(field: &[u8]) -> Vec<u8> {
    field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// An octal number, or a big-endian one where the first bit is set.
fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        let start = if field[0] & 0x40 != 0 { -1 } else { 0 };
        let first = i64::from(field[0] & 0x3f) | (start << 6);
        return field[1..].iter().try_fold(first, |value, byte| {
            value.checked_mul(256).map(|value| value | i64::from(*byte))
        });
    }
    let digits = field.trim_ascii();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let is_octal = digits.iter().all(|digit| (b'0'..=b'7').contains(digit))
        && rest.iter().all(|byte| matches!(byte, 0 | b' '));
    is_octal.then(|| digits.iter().fold(0, |value, digit| value * 8 + i64::from(digit - b'0')))
}
