//! Numbers that nobody else draws.
//! Not for secrets.

use crate::clock;

/// A number from 1 that another process does not draw.
pub fn number() -> u64 {
    let mut bytes = [0; 8];
    let got = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    let fallback = clock::now_ms() << 20 | u64::from(std::process::id());
    let number = if got.is_ok() { u64::from_be_bytes(bytes) } else { fallback };
    number.max(1)
}
