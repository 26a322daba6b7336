//! The keys that may be offered to a host: from the SSH agent and from files.
//!
//! Never asks for a passphrase: an encrypted key is used through the agent or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Certificate, PrivateKey};

/// What the settings say about keys, paths expanded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identities {
    pub agent_socket: Option<PathBuf>,
    pub files: Vec<PathBuf>,
    /// Offer only the keys of the files, even from the agent.
    pub only: bool,
    pub certificates: Vec<PathBuf>,
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
            self.files.iter().filter_map(|path| public_key_of(path)).collect();
        let is_named = |identity: &AgentIdentity| named.contains(identity.public_key().key_data());
        let (mut first, rest): (Vec<_>, Vec<_>) = offered.into_iter().partition(is_named);
        if !self.only {
            first.extend(rest);
        }
        first
    }
}

impl Certified {
    /// `None` if there is no such file; an error says why the file cannot be used.
    pub(crate) async fn load(
        path: &Path,
        certificates: &[PathBuf],
    ) -> Result<Option<Self>, String> {
        let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let text = match tokio::fs::read_to_string(path).await {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(named(&e)),
        };
        let key = match russh::keys::decode_secret_key(&text, None) {
            Ok(key) => Arc::new(key),
            Err(russh::keys::Error::KeyIsEncrypted) => {
                return Err(named(&"is encrypted and not in the SSH agent (run ssh-add)"));
            }
            Err(e) => return Err(named(&e)),
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
