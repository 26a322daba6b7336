//! ed25519 keys in the files that OpenSSH reads.
//!
//! Not for secrets of worth: a lab's keys live as long as the lab.

use anyhow::{Context as _, Result};
use ed25519_dalek::SigningKey;

/// A key pair as OpenSSH writes it.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The contents of a private key file.
    pub private_file: String,
    /// `ssh-ed25519 AAAA...`, without comment and line end.
    pub public_line: String,
}

/// A new key pair.
pub fn generate(comment: &str) -> Result<KeyPair> {
    let mut seed = [0_u8; 32];
    fill(&mut seed)?;
    let mut check = [0_u8; 4];
    fill(&mut check)?;
    let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    let public_blob = [string(b"ssh-ed25519"), string(&public)].concat();
    let secret_pair = [seed, public].concat();
    let mut private = [
        &check[..],
        &check[..],
        &public_blob[..],
        &string(&secret_pair)[..],
        &string(comment.as_bytes())[..],
    ]
    .concat();
    for pad in (1..=7_u8).take((8 - private.len() % 8) % 8) {
        private.push(pad);
    }
    let file = [
        &b"openssh-key-v1\0"[..],
        &string(b"none"),
        &string(b"none"),
        &string(b""),
        &1_u32.to_be_bytes(),
        &string(&public_blob),
        &string(&private),
    ]
    .concat();
    Ok(KeyPair {
        private_file: armour(&file),
        public_line: format!("ssh-ed25519 {}", base64(&public_blob)),
    })
}

/// A random version 4 UUID, as the kernel writes its boot id.
pub fn random_uuid() -> Result<String> {
    let mut bytes = [0_u8; 16];
    fill(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

fn fill(bytes: &mut [u8]) -> Result<()> {
    let got = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())
        .context("cannot draw random bytes")?;
    anyhow::ensure!(got == bytes.len(), "the kernel gave too few random bytes");
    Ok(())
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a key is short");
    [&length.to_be_bytes()[..], bytes].concat()
}

fn armour(bytes: &[u8]) -> String {
    let text = base64(bytes);
    let mut file = String::from("-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(70));
        file.push_str(line);
        file.push('\n');
        rest = after;
    }
    file.push_str("-----END OPENSSH PRIVATE KEY-----\n");
    file
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let number =
            (0..3).fold(0_u32, |sum, at| sum << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { letter as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn base64_is_the_usual_one() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, text) in pairs {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    #[test]
    fn openssh_reads_the_key_and_finds_the_same_public_half() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let pair = generate("lab").unwrap();
        std::fs::write(&path, &pair.private_file).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let output = std::process::Command::new("ssh-keygen")
            .arg("-y")
            .arg("-f")
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            format!("{} lab", pair.public_line)
        );
    }

    #[test]
    fn uuids_have_their_version() {
        let uuid = random_uuid().unwrap();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
    }
}
