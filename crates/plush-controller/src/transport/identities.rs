//! The keys that may be offered to a host: from the SSH agent and from files.
//!
//! Never asks for a passphrase: an encrypted key is used through the agent or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use std::os::unix::fs::MetadataExt as _;

use russh::keys::agent::AgentIdentity;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Certificate, PrivateKey};
use tokio::io::AsyncReadExt as _;

/// Maximum size of a key file.
const MAX_KEY_BYTES: u64 = 1 << 20;

/// What the settings say about keys, paths expanded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identities {
    pub agent_socket: Option<PathBuf>,
    pub files: Vec<IdentityFile>,
    /// Offer only the keys of the files, even from the agent.
    pub only: bool,
    pub certificates: Vec<PathBuf>,
}

/// A file that may hold a key.
#[derive(Clone, Debug)]
pub(crate) struct IdentityFile {
    pub path: PathBuf,
    /// File and line of the configuration that name it; `None` for a default.
    pub named_at: Option<String>,
}

/// Why a file's key is not offered.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// The file that the configuration names does not exist.
    Missing(String),
    /// `ssh` would not use it either.
    Refused(String),
    /// Only the ssh program may be able to read it.
    Unread(String),
}

/// A key from a file, with its certificate if there is one.
pub(crate) struct Certified {
    pub key: Arc<PrivateKey>,
    pub certificate: Option<Certificate>,
}

impl Identities {
    /// The agent's keys in the order to offer them: those that the settings name come first.
    pub(crate) fn order(&self, offered: Vec<AgentIdentity>) -> Vec<AgentIdentity> {
        let named: Vec<KeyData> =
            self.files.iter().filter_map(|file| public_key_of(&file.path)).collect();
        let is_named = |identity: &AgentIdentity| named.contains(identity.public_key().key_data());
        let (mut first, rest): (Vec<_>, Vec<_>) = offered.into_iter().partition(is_named);
        if !self.only {
            first.extend(rest);
        }
        first
    }
}

impl Certified {
    /// `None` if there is no such file and none was named.
    pub(crate) async fn load(
        file: &IdentityFile,
        certificates: &[PathBuf],
    ) -> Result<Option<Self>, Unusable> {
        let path = &file.path;
        let at = file.named_at.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        let named = |e: &dyn std::fmt::Display| format!("{}: {e}{at}", path.display());
        let text = match read_private(path).await {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let missing = || Unusable::Missing(named(&"no such file"));
                return if file.named_at.is_some() { Err(missing()) } else { Ok(None) };
            }
            Err(e) => return Err(Unusable::Refused(named(&e))),
        };
        let key = match russh::keys::decode_secret_key(&text, None) {
            Ok(key) => Arc::new(key),
            Err(russh::keys::Error::KeyIsEncrypted) => {
                let why = "is encrypted and not in the SSH agent (run ssh-add)";
                return Err(Unusable::Refused(named(&why)));
            }
            Err(e) => return Err(Unusable::Unread(named(&e))),
        };
        let beside = beside(path, "-cert.pub");
        let certificate = certificates
            .iter()
            .chain(std::iter::once(&beside))
            .filter_map(|path| russh::keys::load_openssh_certificate(path).ok())
            .find(|certificate| certificate.public_key() == key.public_key().key_data());
        Ok(Some(Self { key, certificate }))
    }
}

/// The text of a key file. As in `ssh`, one that belongs to the user and that others can read or
/// write is not used.
async fn read_private(path: &Path) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind};
    let file = tokio::fs::OpenOptions::new()
        .read(true)
        // A pipe would block.
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .await?;
    let meta = file.metadata().await?;
    let own = meta.uid() == rustix::process::getuid().as_raw();
    if own && meta.mode() & 0o077 != 0 {
        let why = format!(
            "other users can read it (mode {:04o}), so it is not used: chmod 600",
            meta.mode() & 0o7777
        );
        return Err(Error::new(ErrorKind::PermissionDenied, why));
    }
    if !meta.is_file() || meta.len() > MAX_KEY_BYTES {
        return Err(Error::new(ErrorKind::InvalidData, "is not a key file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_KEY_BYTES).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The public half of a key file: from the file beside it, or from the key if it can be read.
fn public_key_of(path: &Path) -> Option<KeyData> {
    let from_public = |path: &Path| russh::keys::load_public_key(path).ok();
    if let Some(key) = from_public(&beside(path, ".pub")).or_else(|| from_public(path)) {
        return Some(key.key_data().clone());
    }
    let text = std::fs::read_to_string(path).ok()?;
    // The public half of an OpenSSH key file is readable even if the private one is encrypted.
    let key = PrivateKey::from_openssh(&text).ok()?;
    Some(key.public_key().key_data().clone())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
