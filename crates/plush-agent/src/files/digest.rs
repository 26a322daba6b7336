//! Digests of files and streams: BLAKE3, by which the cache is addressed, and SHA-256, which people publish.
//!
//! Not signatures: a digest says that bytes are the expected ones, not who made them.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::Digest as _;

use super::{CHUNK_BYTES, Progress};

/// Which function a digest was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// BLAKE3 with 32 bytes of output.
    Blake3,
    /// SHA-256.
    Sha256,
}

/// A digest with its algorithm; written `blake3:HEX` or `sha256:HEX`, and a bare 64-digit hex is SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    /// The function.
    pub algorithm: Algorithm,
    /// Its result.
    pub bytes: [u8; 32],
}

/// The text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest: sha256:HEX or blake3:HEX with 64 hexadecimal digits")]
pub struct NotADigest(String);

/// Both digests of one stream, made while it passes.
#[derive(Debug, Clone, Default)]
pub struct Both {
    blake3: blake3::Hasher,
    sha256: sha2::Sha256,
    bytes: u64,
}

/// What [`Both`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// BLAKE3 of the stream.
    pub blake3: Digest,
    /// SHA-256 of the stream.
    pub sha256: Digest,
    /// Its length.
    pub bytes: u64,
}

impl Digest {
    /// 64 hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        self.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Digests {
    /// The one with this algorithm.
    pub fn by(&self, algorithm: Algorithm) -> Digest {
        match algorithm {
            Algorithm::Blake3 => self.blake3,
            Algorithm::Sha256 => self.sha256,
        }
    }

    /// Whether `expected` is one of these.
    pub fn matches(&self, expected: &Digest) -> bool {
        self.by(expected.algorithm) == *expected
    }
}

impl Both {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.blake3.update(bytes);
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// How many bytes were taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digests of all bytes taken.
    pub fn finish(self) -> Digests {
        Digests {
            blake3: Digest {
                algorithm: Algorithm::Blake3,
                bytes: *self.blake3.finalize().as_bytes(),
            },
            sha256: Digest { algorithm: Algorithm::Sha256, bytes: self.sha256.finalize().into() },
            bytes: self.bytes,
        }
    }
}

/// The digest of all that `source` still gives. Progress is in bytes; a stop is `ErrorKind::Interrupted`.
pub fn of_stream(
    source: &mut dyn Read,
    algorithm: Algorithm,
    progress: &mut Progress<'_>,
) -> io::Result<Digest> {
    let mut blake3 = blake3::Hasher::new();
    let mut sha256 = sha2::Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut done = 0;
    loop {
        if progress(done, None).is_break() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = source.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        done += count as u64;
        match algorithm {
            Algorithm::Blake3 => drop(blake3.update(&buffer[..count])),
            Algorithm::Sha256 => sha256.update(&buffer[..count]),
        }
    }
    let bytes = match algorithm {
        Algorithm::Blake3 => *blake3.finalize().as_bytes(),
        Algorithm::Sha256 => sha256.finalize().into(),
    };
    Ok(Digest { algorithm, bytes })
}

/// The digest of a few bytes in memory.
pub fn of_bytes(bytes: &[u8], algorithm: Algorithm) -> Digest {
    let bytes = match algorithm {
        Algorithm::Blake3 => *blake3::hash(bytes).as_bytes(),
        Algorithm::Sha256 => sha2::Sha256::digest(bytes).into(),
    };
    Digest { algorithm, bytes }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Algorithm::Blake3 => "blake3",
            Algorithm::Sha256 => "sha256",
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.algorithm, self.hex())
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let wrong = || NotADigest(super::shown::Shown(text.as_bytes()).to_string());
        let (algorithm, hex) = match text.split_once(':') {
            None => (Algorithm::Sha256, text),
            Some(("sha256", hex)) => (Algorithm::Sha256, hex),
            Some(("blake3", hex)) => (Algorithm::Blake3, hex),
            Some(_) => return Err(wrong()),
        };
        if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Digest { algorithm, bytes })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_digest_reads_back_as_it_is_written() {
        let mut both = Both::default();
        both.update(b"ab");
        both.update(b"c");
        let found = both.finish();
        let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(found.sha256.to_string(), format!("sha256:{sha}"));
        assert_eq!(sha.to_uppercase().parse::<Digest>().unwrap(), found.sha256);
        assert_eq!(found.blake3.to_string().parse::<Digest>().unwrap(), found.blake3);
        assert_eq!(of_bytes(b"abc", Algorithm::Blake3), found.blake3);
        let streamed = of_stream(&mut &b"abc"[..], Algorithm::Sha256, &mut |_, _| {
            std::ops::ControlFlow::Continue(())
        });
        assert_eq!(streamed.unwrap(), found.sha256);
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for text in [
            "",
            "sha256:",
            "md5:00",
            "zz",
            "é",
            &"g".repeat(64),
            &"0".repeat(63),
            &format!("+{}", "0".repeat(63)),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
