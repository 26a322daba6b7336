//! The bytes of an archive behind its compression, told by content, guarded against bombs.
//!
//! Not the archive's structure (see `tar` and `zip`).

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Cause, Limits};
use crate::files::CHUNK_BYTES;

/// What a decompressor may hold.
const WINDOW_BYTES: u64 = 128 << 20;
/// Nothing is called a bomb below this.
const HARMLESS_BYTES: u64 = 64 << 20;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A tar archive, as far as can be told before decompressing.
    Tar,
    /// A zip archive.
    Zip,
    /// bzip2, which is not understood.
    Bzip2,
    /// Something else.
    Other,
}

/// How a tar archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, also in several members.
    Gzip,
    /// xz, also in several streams.
    Xz,
    /// Zstandard, also in several frames.
    Zstd,
}

impl Container {
    /// With its article.
    pub fn name(self) -> &'static str {
        match self {
            Container::Tar => "a tar archive",
            Container::Zip => "a zip archive",
            Container::Bzip2 => "compressed with bzip2",
            Container::Other => "neither a tar nor a zip archive",
        }
    }
}

/// Looks at the first block.
pub fn detect(archive: &File) -> io::Result<(Container, Compression)> {
    let mut block = [0; 512];
    let mut length = 0;
    while length < block.len() {
        match archive.read_at(&mut block[length..], length as u64)? {
            0 => break,
            count => length += count,
        }
    }
    let block = &block[..length];
    Ok(match block {
        [0x1f, 0x8b, ..] => (Container::Tar, Compression::Gzip),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => (Container::Tar, Compression::Xz),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            (Container::Tar, Compression::Zstd)
        }
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => (Container::Zip, Compression::None),
        [b'B', b'Z', b'h', ..] => (Container::Bzip2, Compression::None),
        block
            if super::tar::is_header(block)
                || (length == 512 && block.iter().all(|byte| *byte == 0)) =>
        {
            (Container::Tar, Compression::None)
        }
        _ => (Container::Other, Compression::None),
    })
}

/// The decompressed stream from the file's beginning.
pub fn open(mut archive: File, compression: Compression, limits: Limits) -> Result<Guarded, Cause> {
    archive.rewind().map_err(Cause::Compression)?;
    let taken = Rc::new(Cell::new(0));
    let packed =
        BufReader::with_capacity(CHUNK_BYTES, Counted { file: archive, taken: Rc::clone(&taken) });
    let source: Box<dyn Read> = match compression {
        Compression::None => Box::new(packed),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(
            packed,
            true,
            (WINDOW_BYTES / 1024) as u32,
        )),
        Compression::Zstd => {
            Box::new(Zstd { source: packed, decoder: zstd_decoder(), is_inside: false })
        }
    };
    let is_packed = compression != Compression::None;
    Ok(Guarded { source, taken, given: 0, limits, is_packed })
}

/// A stream that ends in an error when more comes out than may.
pub struct Guarded {
    source: Box<dyn Read>,
    taken: Rc<Cell<u64>>,
    given: u64,
    limits: Limits,
    is_packed: bool,
}

impl Guarded {
    /// Reads like `Read`, with the causes of this module.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Cause> {
        let count = loop {
            match self.source.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome.map_err(Cause::Compression)?,
            }
        };
        self.given += count as u64;
        if self.given > self.limits.bytes {
            return Err(Cause::Limit { what: "bytes", limit: self.limits.bytes });
        }
        let most = self.taken.get().saturating_mul(self.limits.ratio).max(HARMLESS_BYTES);
        if self.is_packed && self.given > most {
            return Err(Cause::Limit {
                what: "bytes out of each packed byte",
                limit: self.limits.ratio,
            });
        }
        Ok(count)
    }
}

struct Counted {
    file: File,
    taken: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.taken.set(self.taken.get() + count as u64);
        Ok(count)
    }
}

/// All frames of a Zstandard file, each checked against its checksum where it has one.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    is_inside: bool,
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.is_inside {
                if self.decoder.can_collect() > 0 {
                    return self.decoder.read(buffer);
                }
                if !self.decoder.is_finished() {
                    let step = BlockDecodingStrategy::UptoBytes(CHUNK_BYTES);
                    self.decoder.decode_blocks(&mut self.source, step).map_err(io::Error::other)?;
                    continue;
                }
                self.check_sum()?;
                self.is_inside = false;
            }
            if self.source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.begin_frame()?;
        }
    }
}

impl<R: BufRead> Zstd<R> {
    fn begin_frame(&mut self) -> io::Result<()> {
        use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
        match self.decoder.init(&mut self.source) {
            Ok(()) => self.is_inside = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let length = u64::from(length);
                if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Err(error) => return Err(io::Error::other(error)),
        }
        Ok(())
    }

    fn check_sum(&self) -> io::Result<()> {
        match (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum()) {
            (Some(told), Some(found)) if told != found => {
                Err(io::Error::other("a frame's checksum does not fit its content"))
            }
            _ => Ok(()),
        }
    }
}

fn zstd_decoder() -> FrameDecoder {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW_BYTES);
    decoder
}
