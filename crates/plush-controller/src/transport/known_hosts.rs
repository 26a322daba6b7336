//! The host keys that the user trusts, loaded once and indexed; judges a key that a server offers.
//!
//! Never writes a file and never accepts a key on first sight: first contact is the user's act.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::{Algorithm, Certificate, Fingerprint, HashAlg, PublicKey};

use super::known_line::{Index, KnownLine, Mark};

/// All `known_hosts` files of one configuration.
#[derive(Debug, Default)]
pub struct KnownHosts {
    lines: Vec<KnownLine>,
    by_name: HashMap<String, Vec<usize>>,
    by_pattern: Vec<usize>,
    hashed: Vec<usize>,
    problems: Vec<String>,
}

/// The name under which a host's key is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName {
    /// What is looked up first: `name`, or `[name]:port` for a port other than 22, or the alias.
    pub looked_up: String,
    /// The plain name, looked up where `looked_up` has no line; it can only accept, as in OpenSSH.
    pub plain: Option<String>,
    /// What a certificate must name.
    pub principal: String,
}

impl KeyName {
    /// The names of a host; an alias replaces name and port.
    pub fn new(host_name: &str, port: u16, alias: Option<&str>) -> Self {
        let host_name = host_name.to_lowercase();
        match (alias, port) {
            (Some(alias), _) => {
                Self { looked_up: alias.to_owned(), plain: None, principal: alias.to_owned() }
            }
            (None, 22) => Self { looked_up: host_name.clone(), plain: None, principal: host_name },
            (None, port) => Self {
                looked_up: format!("[{host_name}]:{port}"),
                plain: Some(host_name.clone()),
                principal: host_name,
            },
        }
    }
}

/// Why a host key was refused. Nothing has been sent to the server but the key exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No line names this host.
    Unknown {
        /// The key offered.
        offered: OfferedKey,
    },
    /// Lines name this host with other kinds of key only.
    OtherKinds {
        /// The key offered.
        offered: OfferedKey,
        /// The kinds known, such as `ssh-ed25519`.
        known: Vec<String>,
    },
    /// A line names this host with another key of the same kind.
    Changed {
        /// The key offered.
        offered: OfferedKey,
        /// File and line of the key that was expected.
        expected_at: String,
        /// Its fingerprint.
        expected: String,
    },
    /// The key, or the authority that signed it, is revoked.
    Revoked {
        /// File and line that says so.
        at: String,
    },
    /// The certificate is not good for this host now.
    Certificate {
        /// What is wrong with it.
        reason: String,
    },
}

/// A key that a server offered, as a person needs it to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedKey {
    /// Such as `SHA256:...`.
    pub fingerprint: String,
    /// Such as `ssh-ed25519`.
    pub kind: String,
    /// The line that would make it known.
    pub line: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unknown { offered } => {
                write!(f, "the host key is not known: {} {}", offered.kind, offered.fingerprint)
            }
            Refusal::OtherKinds { offered, known } => write!(
                f,
                "the server offers only {} {}, but known are {}",
                offered.kind,
                offered.fingerprint,
                known.join(", ")
            ),
            Refusal::Changed { offered, expected_at, expected } => write!(
                f,
                "THE HOST KEY HAS CHANGED: offered {} {}, expected {expected} ({expected_at})",
                offered.kind, offered.fingerprint
            ),
            Refusal::Revoked { at } => write!(f, "the host key is revoked ({at})"),
            Refusal::Certificate { reason } => {
                write!(f, "the host certificate is refused: {reason}")
            }
        }
    }
}

/// A key as the server shows it.
#[derive(Debug)]
pub enum Offer<'a> {
    /// A bare key.
    Key(&'a PublicKey),
    /// A certificate.
    Certificate(&'a Certificate),
}

impl KnownHosts {
    /// Reads the files; one that does not exist is empty.
    pub fn load(files: &[PathBuf]) -> Self {
        let mut all = Self::default();
        for file in files {
            match std::fs::read(file) {
                Ok(bytes) => all.add(file, &String::from_utf8_lossy(&bytes)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => all.problems.push(format!("read {}: {e}", file.display())),
            }
        }
        all
    }

    /// Adds the text of one file.
    pub fn add(&mut self, file: &Path, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let place = || format!("{}:{}", file.display(), index + 1);
            match KnownLine::read(line, file, index + 1) {
                None => {}
                Some(Err(why)) => self.problems.push(format!("{}: {why}", place())),
                Some(Ok(line)) => {
                    if line.key.is_none() {
                        self.problems.push(format!("{}: the key cannot be read", place()));
                    }
                    self.index(line);
                }
            }
        }
    }

    /// Lines that could not be read, and files.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Fingerprints known for a host, with the place of each. The plain name counts for a port
    /// where the name with the port has no line.
    pub fn known_for(&self, name: &KeyName) -> Vec<String> {
        self.telling(name)
            .into_iter()
            .filter(|line| line.mark != Mark::Revoked)
            .filter_map(|line| {
                let key = line.key.as_ref()?;
                let ca = if line.mark == Mark::Authority { "authority " } else { "" };
                Some(format!(
                    "{ca}{} {} ({})",
                    key.algorithm(),
                    key.fingerprint(HashAlg::Sha256),
                    line.place()
                ))
            })
            .collect()
    }

    /// The order in which to ask for key kinds: those that could be accepted first.
    pub fn preferred_kinds(&self, name: &KeyName, all: &[Algorithm]) -> Vec<Algorithm> {
        let lines = self.telling(name);
        let known = |algorithm: &Algorithm| {
            lines.iter().any(|line| {
                line.mark == Mark::Key
                    && line.key.as_ref().is_some_and(|key| same_kind(&key.algorithm(), algorithm))
            })
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = all.iter().cloned().partition(known);
        first.extend(rest);
        first
    }

    /// Whether a certificate of this host could be accepted.
    pub fn trusts_an_authority(&self, name: &KeyName) -> bool {
        let trusts = |name: &str| self.lines_for(name).iter().any(|l| l.mark == Mark::Authority);
        trusts(&name.looked_up) || name.plain.as_deref().is_some_and(trusts)
    }

    /// Accepts or refuses what a server offers, at this time (seconds since 1970).
    ///
    /// As `ssh` judges: where no line names the host with its port, the plain name is looked up,
    /// and can only accept. A certificate that is not good for the host counts as its bare key.
    pub fn judge(&self, name: &KeyName, offer: &Offer<'_>, now_s: u64) -> Result<(), Refusal> {
        let lines = self.lines_for(&name.looked_up);
        match offer {
            Offer::Key(key) => self.judge_key(name, &lines, key),
            Offer::Certificate(certificate) => {
                let refusal = match judge_certificate(name, &lines, certificate, now_s) {
                    Ok(()) => return Ok(()),
                    Err(revoked @ Refusal::Revoked { .. }) => return Err(revoked),
                    Err(refusal) => refusal,
                };
                let names_no_authority = !lines.iter().any(|l| l.mark == Mark::Authority);
                if names_no_authority && self.plain_accepts(name, offer, now_s) {
                    return Ok(());
                }
                let key = PublicKey::from(certificate.public_key().clone());
                match self.judge_key(name, &lines, &key) {
                    Ok(()) => Ok(()),
                    Err(
                        changed @ (Refusal::Changed { .. }
                        | Refusal::OtherKinds { .. }
                        | Refusal::Revoked { .. }),
                    ) => Err(changed),
                    Err(Refusal::Unknown { .. } | Refusal::Certificate { .. }) => Err(refusal),
                }
            }
        }
    }

    fn judge_key(
        &self,
        name: &KeyName,
        lines: &[&KnownLine],
        key: &PublicKey,
    ) -> Result<(), Refusal> {
        match judge_key(name, lines, key) {
            Err(Refusal::Unknown { .. }) if self.plain_accepts(name, &Offer::Key(key), 0) => Ok(()),
            judged => judged,
        }
    }

    fn plain_accepts(&self, name: &KeyName, offer: &Offer<'_>, now_s: u64) -> bool {
        let Some(plain) = &name.plain else { return false };
        let plain =
            KeyName { looked_up: plain.clone(), plain: None, principal: name.principal.clone() };
        self.judge(&plain, offer, now_s).is_ok()
    }

    fn index(&mut self, line: KnownLine) {
        let at = self.lines.len();
        match line.index() {
            Index::Hash => self.hashed.push(at),
            Index::Patterns => self.by_pattern.push(at),
            Index::Names(names) => {
                for name in names {
                    self.by_name.entry(name).or_default().push(at);
                }
            }
        }
        self.lines.push(line);
    }

    /// Lines of the name with its port, or of the plain name if those hold no key of the host.
    fn telling(&self, name: &KeyName) -> Vec<&KnownLine> {
        let lines = self.lines_for(&name.looked_up);
        match &name.plain {
            Some(plain) if lines.iter().all(|line| line.mark == Mark::Revoked) => {
                self.lines_for(plain)
            }
            Some(_) | None => lines,
        }
    }

    fn lines_for(&self, name: &str) -> Vec<&KnownLine> {
        let lower = name.to_lowercase();
        let mut found: Vec<usize> = Vec::new();
        found.extend(self.by_name.get(&lower).into_iter().flatten());
        found.extend(self.by_pattern.iter().filter(|at| self.lines[**at].matches_pattern(&lower)));
        found.extend(self.hashed.iter().filter(|at| self.lines[**at].matches_hash(name)));
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|at| &self.lines[at]).collect()
    }
}

fn judge_key(name: &KeyName, lines: &[&KnownLine], key: &PublicKey) -> Result<(), Refusal> {
    refuse_revoked(lines, key)?;
    let plain: Vec<_> = lines.iter().filter(|line| line.mark == Mark::Key).collect();
    let known: Vec<(&PublicKey, String)> =
        plain.iter().filter_map(|line| line.key.as_ref().map(|key| (key, line.place()))).collect();
    if known.iter().any(|(known, _)| known.key_data() == key.key_data()) {
        return Ok(());
    }
    let offered = OfferedKey::new(name, key);
    if let Some((known, place)) = known.iter().find(|(k, _)| k.algorithm() == key.algorithm()) {
        return Err(Refusal::Changed {
            offered,
            expected_at: place.clone(),
            expected: known.fingerprint(HashAlg::Sha256).to_string(),
        });
    }
    let kind = |line: &&&KnownLine| match &line.key {
        Some(key) => key.algorithm().to_string(),
        None => format!("a key that cannot be read ({})", line.place()),
    };
    match plain.is_empty() {
        true => Err(Refusal::Unknown { offered }),
        false => Err(Refusal::OtherKinds { offered, known: plain.iter().map(kind).collect() }),
    }
}

fn judge_certificate(
    name: &KeyName,
    lines: &[&KnownLine],
    certificate: &Certificate,
    now_s: u64,
) -> Result<(), Refusal> {
    refuse_revoked(lines, &PublicKey::from(certificate.public_key().clone()))?;
    refuse_revoked(lines, &PublicKey::from(certificate.signature_key().clone()))?;
    let refused = |reason: &str| Err(Refusal::Certificate { reason: reason.to_owned() });
    let authorities: Vec<Fingerprint> = lines
        .iter()
        .filter(|line| line.mark == Mark::Authority)
        .filter_map(|line| line.key.as_ref())
        .map(|key| key.fingerprint(HashAlg::Sha256))
        .collect();
    if certificate.cert_type() != CertType::Host {
        return refused("it is not a host certificate");
    }
    if certificate.critical_options().iter().next().is_some() {
        return refused("it has a critical option that Plush does not know");
    }
    let names = certificate.valid_principals();
    if !names.is_empty() && !names.iter().any(|n| n.eq_ignore_ascii_case(&name.principal)) {
        return refused("it does not name this host");
    }
    match certificate.validate_at(now_s, &authorities) {
        Ok(()) => Ok(()),
        Err(_) => refused("it is expired, or no @cert-authority line for this host signed it"),
    }
}

/// An unreadable revoked key could be any key: the host is refused.
fn refuse_revoked(lines: &[&KnownLine], key: &PublicKey) -> Result<(), Refusal> {
    let revoked = lines
        .iter()
        .filter(|line| line.mark == Mark::Revoked)
        .find(|line| line.key.as_ref().is_none_or(|revoked| revoked.key_data() == key.key_data()));
    match revoked {
        Some(line) => Err(Refusal::Revoked { at: line.place() }),
        None => Ok(()),
    }
}

impl OfferedKey {
    fn new(name: &KeyName, key: &PublicKey) -> Self {
        let key = PublicKey::from(key.key_data().clone());
        Self {
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            kind: key.algorithm().to_string(),
            line: format!("{} {}", name.looked_up, key.to_openssh().unwrap_or_default()),
        }
    }
}

/// An RSA key serves every RSA signature algorithm.
fn same_kind(known: &Algorithm, asked: &Algorithm) -> bool {
    match (known, asked) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
        (known, asked) => known == asked,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use hmac::{Hmac, KeyInit, Mac};
    use russh::keys::ssh_key::known_hosts::HostPatterns;
    use sha1::Sha1;

    const A: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const B: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";

    fn judge(text: &str, host: &str, port: u16, key: &str) -> Result<(), Refusal> {
        let mut known = KnownHosts::default();
        known.add(Path::new("kh"), text);
        assert_eq!(known.problems(), &[] as &[String]);
        known.judge(&KeyName::new(host, port, None), &Offer::Key(&key.parse().unwrap()), 0)
    }

    #[test]
    fn a_known_key_is_accepted_by_name_pattern_and_port() {
        assert_eq!(judge(&format!("web,db {A}"), "DB", 22, A), Ok(()));
        assert_eq!(
            judge(&format!("*.example,!bad.example\t {A} a comment"), "a.example", 22, A),
            Ok(())
        );
        assert_eq!(judge(&format!("[web]:2222 {A}"), "web", 2222, A), Ok(()));
        assert_eq!(judge(&format!("web {A}"), "web", 2222, A), Ok(()));
    }

    #[test]
    fn an_unknown_host_is_refused() {
        assert!(matches!(judge("", "web", 22, A), Err(Refusal::Unknown { .. })));
        assert!(matches!(
            judge(&format!("[web]:2222 {A}"), "web", 22, A),
            Err(Refusal::Unknown { .. })
        ));
        let negated = format!("*.example,!bad.example {A}");
        assert!(matches!(judge(&negated, "bad.example", 22, A), Err(Refusal::Unknown { .. })));
    }

    #[test]
    fn f32_another_key_of_the_same_kind_is_a_changed_key() {
        let Err(Refusal::Changed { expected_at, .. }) =
            judge(&format!("# x\nweb {A}"), "web", 22, B)
        else {
            panic!("a changed key was not seen");
        };
        assert_eq!(expected_at, "kh:2");
    }

    #[test]
    fn a_plain_name_is_only_a_fallback_for_a_port_and_can_only_accept() {
        let both = format!("[web]:2222 {B}\nweb {A}");
        assert!(matches!(judge(&both, "web", 2222, A), Err(Refusal::Changed { .. })));
        assert_eq!(judge(&both, "web", 2222, B), Ok(()));
        let other = format!("web {B}");
        assert!(matches!(judge(&other, "web", 2222, A), Err(Refusal::Unknown { .. })));
        let revoked = format!("[web]:2222 {A}\n@revoked web {A}");
        assert_eq!(judge(&revoked, "web", 2222, A), Ok(()), "as ssh judges");
        let revoked = format!("web {A}\n@revoked [web]:2222 {A}");
        assert!(matches!(judge(&revoked, "web", 2222, A), Err(Refusal::Revoked { .. })));
        let authority = format!("@cert-authority [web]:2222 {B}\nweb {A}");
        assert_eq!(judge(&authority, "web", 2222, A), Ok(()));
    }

    #[test]
    fn a_line_whose_key_cannot_be_read_still_names_its_host() {
        let mut known = KnownHosts::default();
        known.add(
            Path::new("kh"),
            &format!("[web]:2222 ssh-new AAAA\nweb {A}\n@revoked db x y\ndb {A}"),
        );
        let judge = |host, port| {
            known.judge(&KeyName::new(host, port, None), &Offer::Key(&A.parse().unwrap()), 0)
        };
        assert!(matches!(judge("web", 2222), Err(Refusal::OtherKinds { .. })));
        assert_eq!(judge("web", 22), Ok(()));
        assert!(matches!(judge("db", 22), Err(Refusal::Revoked { .. })));
    }

    #[test]
    fn a_revoked_key_is_refused_even_if_also_known() {
        let text = format!("web {A}\n@revoked * {A}");
        assert!(matches!(judge(&text, "web", 22, A), Err(Refusal::Revoked { .. })));
    }

    #[test]
    fn a_bare_key_is_not_accepted_because_an_authority_is_known() {
        let text = format!("@cert-authority * {A}");
        assert!(matches!(judge(&text, "web", 22, A), Err(Refusal::Unknown { .. })));
    }

    #[test]
    fn a_hashed_name_matches_only_its_host() {
        let mut mac = Hmac::<Sha1>::new_from_slice(b"12345678901234567890").unwrap();
        mac.update(b"web.example");
        let hash = mac.finalize().into_bytes();
        let patterns =
            HostPatterns::HashedName { salt: b"12345678901234567890".to_vec(), hash: hash.into() };
        let text = format!("{} {A}", patterns.to_string());
        assert_eq!(judge(&text, "web.example", 22, A), Ok(()));
        assert!(matches!(judge(&text, "web", 22, A), Err(Refusal::Unknown { .. })));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_and_the_others_hold() {
        let mut known = KnownHosts::default();
        known.add(Path::new("kh"), &format!("web nonsense\n \tweb\t{A}\n"));
        assert_eq!(known.problems().len(), 1);
        assert!(known.problems()[0].starts_with("kh:1: "));
        assert_eq!(known.known_for(&KeyName::new("web", 22, None)).len(), 1);
    }
}
