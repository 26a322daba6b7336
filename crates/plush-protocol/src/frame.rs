//! Frames: a length, a kind and a body, bounded before anything is allocated.
//! Not the meaning of a body: see [`crate::message`].
//!
//! `u32` length of what follows, big-endian; `u16` kind, big-endian; the body in CBOR (RFC 8949).

use minicbor::Encode;
use std::fmt;

/// The longest frame that is written or accepted, length field aside.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

const LENGTH_BYTES: usize = 4;
const KIND_BYTES: usize = 2;

/// What is wrong with the bytes of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A length outside 2..=[`MAX_FRAME_BYTES`].
    Length(usize),
    /// A kind that this release does not know.
    UnknownKind(u16),
    /// A body that is not what its kind says.
    Malformed {
        /// The frame's kind.
        kind: u16,
        /// What the decoder said.
        why: String,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Length(n) => {
                write!(f, "frame of {n} bytes, allowed are {KIND_BYTES} to {MAX_FRAME_BYTES}")
            }
            FrameError::UnknownKind(kind) => write!(f, "frame of unknown kind {kind}"),
            FrameError::Malformed { kind, why } => {
                write!(f, "malformed frame of kind {kind}: {why}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

/// Bytes received and not yet taken as frames.
#[derive(Default)]
pub struct Frames {
    buffer: Vec<u8>,
    taken: usize,
}

impl Frames {
    /// Nothing received yet.
    pub fn new() -> Self {
        Frames::default()
    }

    /// Adds bytes as they came, in pieces of any size.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame: its kind and its body.
    #[allow(clippy::should_implement_trait, reason = "the body borrows from self: no iterator")]
    pub fn next(&mut self) -> Result<Option<(u16, &[u8])>, FrameError> {
        let rest = &self.buffer[self.taken..];
        let Some((head, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head) as usize;
        if !(KIND_BYTES..=MAX_FRAME_BYTES).contains(&length) {
            return Err(FrameError::Length(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let (kind, body) =
            frame.split_first_chunk::<KIND_BYTES>().expect("the length covers the kind");
        self.taken += LENGTH_BYTES + length;
        Ok(Some((u16::from_be_bytes(*kind), body)))
    }

    /// Appends one frame to `out`; on an error `out` is as it was.
    pub(crate) fn put<T: Encode<()>>(
        out: &mut Vec<u8>,
        kind: u16,
        body: &T,
    ) -> Result<(), FrameError> {
        let start = out.len();
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        out.extend_from_slice(&kind.to_be_bytes());
        minicbor::encode(body, &mut *out).expect("encoding to memory succeeds");
        let length = out.len() - start - LENGTH_BYTES;
        if length > MAX_FRAME_BYTES {
            out.truncate(start);
            return Err(FrameError::Length(length));
        }
        let head = u32::try_from(length).expect("the bound fits in 32 bits").to_be_bytes();
        out[start..start + LENGTH_BYTES].copy_from_slice(&head);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::message::{ToAgent, ToController};
    use crate::{BlobPart, Command, TaskKey};
    use proptest::prelude::*;

    #[test]
    fn messages_survive_any_cut_into_pieces() {
        let sent = [
            ToAgent::Ping(7),
            ToAgent::Renew(9_000_000),
            ToAgent::Command(
                1,
                Command::Stop { key: TaskKey { task: 3, incarnation: 1 }, why: "stop".into() },
            ),
            ToAgent::BlobPart(BlobPart { blake3: "ab".into(), offset: 9, bytes: vec![1; 1000] }),
        ];
        let mut wire = Vec::new();
        sent.iter().for_each(|m| m.write(&mut wire).unwrap());
        for size in [1, 3, 7, 4096] {
            let mut frames = Frames::new();
            let mut got = Vec::new();
            for piece in wire.chunks(size) {
                frames.push(piece);
                while let Some(m) = ToAgent::next(&mut frames).unwrap() {
                    got.push(m);
                }
            }
            assert_eq!(got, sent);
        }
    }

    #[test]
    fn t01_a_huge_length_is_refused_before_allocation() {
        let mut frames = Frames::new();
        frames.push(&u32::MAX.to_be_bytes());
        assert_eq!(frames.next().unwrap_err(), FrameError::Length(u32::MAX as usize));
    }

    #[test]
    fn a_message_beyond_the_bound_is_not_written() {
        let mut out = vec![1];
        let part =
            BlobPart { blake3: String::new(), offset: 0, bytes: vec![0; MAX_FRAME_BYTES + 1] };
        assert!(ToAgent::BlobPart(part).write(&mut out).is_err());
        assert_eq!(out, [1]);
    }

    proptest! {
        #[test]
        fn t01_any_bytes_give_messages_or_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), kind in 0u16..32) {
            let mut wire = ((bytes.len() + 2) as u32).to_be_bytes().to_vec();
            wire.extend_from_slice(&kind.to_be_bytes());
            wire.extend_from_slice(&bytes);
            let mut frames = Frames::new();
            frames.push(&wire);
            let _ = ToAgent::next(&mut frames);
            let mut frames = Frames::new();
            frames.push(&wire);
            let _ = ToController::next(&mut frames);
        }
    }
}
