//! The SSH client inside the controller: one connection to one host, perhaps through others.
//!
//! Not a judge of settings: what it cannot honour never comes here.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use russh::client::{self, AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, Preferred, kex};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::channel::{ChannelReader, ChannelWriter, Leash, pump};
use super::deadline::{Deadlines, Watchdog};
use super::failure::{ConnectFailure, FailureClass, Stage};
use super::identities::{Certified, Identities, Unusable};
use super::known_hosts::{KeyName, KnownHosts, Offer, Refusal};
use super::link::Aside;
use super::overheard::{Heard, Overheard, Stream};
use super::pipe::{Exec, Pipe, Running};
use super::ssh_config::{AddressFamily, apply_algorithms};
use super::tainted::escape;

/// Bytes that a host may send before we have read them.
const RECEIVE_WINDOW_BYTES: u32 = 1 << 20;
/// Packets of one channel that wait in memory; then the connection itself waits.
const CHANNEL_QUEUE: usize = 32;
/// Keys tried on one connection: servers end it after six by default, and some lock accounts.
const MAX_KEYS_OFFERED: usize = 6;

/// One host on the way, ready to be connected to.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    /// As the user wrote it.
    pub name: String,
    pub host_name: String,
    pub port: u16,
    pub user: String,
    pub key_name: KeyName,
    pub host_key_algorithms: Option<String>,
    pub address_family: AddressFamily,
    pub connect_timeout: Option<Duration>,
    pub alive: Option<(Duration, usize)>,
    pub known_hosts: Arc<KnownHosts>,
    pub identities: Identities,
}

/// A connection that is logged in. Jump hosts' connections live as long as it does.
pub(crate) struct Session {
    handle: Arc<Handle<Client>>,
    through: Vec<Arc<Handle<Client>>>,
    pub host_key: String,
}

/// Connects and logs in, hop by hop.
pub(crate) async fn open(
    hops: &[Hop],
    deadlines: &Deadlines,
    dog: &mut Watchdog,
) -> Result<Session, ConnectFailure> {
    let mut through: Vec<Arc<Handle<Client>>> = Vec::new();
    let mut host_key = String::new();
    for (at, hop) in hops.iter().enumerate() {
        let opened = async {
            let stream = match through.last() {
                None => direct(hop, deadlines, dog).await?,
                Some(jump) => {
                    let limit = hop.connect_timeout.unwrap_or(deadlines.tcp).min(deadlines.tcp);
                    dog.guard(Stage::Tcp, limit, tunnel(jump, hop)).await?
                }
            };
            login(hop, stream, deadlines, dog).await
        };
        let (handle, key) = opened.await.map_err(|failure| named_jump(failure, hops, at))?;
        through.push(Arc::new(handle));
        host_key = key;
    }
    let handle = through.pop().expect("a route has at least the host itself");
    Ok(Session { handle, through, host_key })
}

fn named_jump(failure: ConnectFailure, hops: &[Hop], at: usize) -> ConnectFailure {
    if at + 1 == hops.len() {
        return failure;
    }
    ConnectFailure { cause: format!("jump host {}: {}", hops[at].name, failure.cause), ..failure }
}

async fn direct(
    hop: &Hop,
    deadlines: &Deadlines,
    dog: &mut Watchdog,
) -> Result<Box<dyn Stream>, ConnectFailure> {
    let addresses = dog.guard(Stage::Resolve, deadlines.resolve, resolve(hop)).await?;
    let limit = hop.connect_timeout.unwrap_or(deadlines.tcp).min(deadlines.tcp);
    let stream = dog.guard(Stage::Tcp, limit, connect_any(&addresses, limit)).await?;
    Ok(Box::new(stream))
}

async fn resolve(hop: &Hop) -> Result<Vec<SocketAddr>, ConnectFailure> {
    let failed = |cause: String| {
        ConnectFailure::permanent(Stage::Resolve, cause)
            .hint("check the name, or add HostName to the SSH configuration")
    };
    let found = tokio::net::lookup_host((hop.host_name.as_str(), hop.port))
        .await
        .map_err(|e| failed(format!("{} has no address: {e}", hop.host_name)))?;
    let addresses: Vec<SocketAddr> = found
        .filter(|address| match hop.address_family {
            AddressFamily::Any => true,
            AddressFamily::Inet => address.is_ipv4(),
            AddressFamily::Inet6 => address.is_ipv6(),
        })
        .collect();
    if addresses.is_empty() {
        return Err(failed(format!("{} has no address of the family asked for", hop.host_name)));
    }
    Ok(addresses)
}

/// Tries one address after the other; each has its share of the time.
async fn connect_any(
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream, ConnectFailure> {
    let share = limit / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = None;
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                keep_watch(&stream);
                return Ok(stream);
            }
            Ok(Err(e)) => last = Some(refused(address, &e)),
            Err(_) => {
                let cause = format!(
                    "{address} did not answer within {:.1} s (host down, or packets dropped)",
                    share.as_secs_f64()
                );
                last = Some(ConnectFailure::retryable(Stage::Tcp, cause));
            }
        }
    }
    Err(last.expect("there is at least one address"))
}

fn refused(address: &SocketAddr, e: &std::io::Error) -> ConnectFailure {
    use std::io::ErrorKind;
    let cause = format!("connect to {address}: {e}");
    let hint = match e.kind() {
        ErrorKind::ConnectionRefused => {
            "no SSH server listens there; check the port and that sshd runs"
        }
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "there is no route to that address"
        }
        _ => "",
    };
    ConnectFailure::retryable(Stage::Tcp, cause).hint(hint)
}

/// No delay for small frames. Silence is judged by what agents answer; these limits only end what nobody judges any
/// more, and leave time to a link that is slow and loses much.
fn keep_watch(stream: &TcpStream) {
    use rustix::net::sockopt;
    let set = || -> rustix::io::Result<()> {
        sockopt::set_tcp_nodelay(stream, true)?;
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, Duration::from_secs(15))?;
        sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15))?;
        sockopt::set_tcp_keepcnt(stream, 4)?;
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(stream, 60_000)?;
        Ok(())
    };
    if let Err(e) = set() {
        tracing::debug!("set options of the connection's socket: {e}");
    }
}

async fn tunnel(jump: &Handle<Client>, hop: &Hop) -> Result<Box<dyn Stream>, ConnectFailure> {
    let channel = jump
        .channel_open_direct_tcpip(hop.host_name.clone(), u32::from(hop.port), "127.0.0.1", 0)
        .await
        .map_err(|e| {
            let cause =
                format!("the jump host does not connect to {}:{}: {e}", hop.host_name, hop.port);
            ConnectFailure::retryable(Stage::Tcp, cause)
        })?;
    Ok(Box::new(channel.into_stream()))
}

/// From a stream to a session that is logged in.
async fn login(
    hop: &Hop,
    stream: Box<dyn Stream>,
    deadlines: &Deadlines,
    dog: &mut Watchdog,
) -> Result<(Handle<Client>, String), ConnectFailure> {
    let (stream, mut heard) = Overheard::new(stream);
    let (key_sender, mut key_receiver) = mpsc::channel(1);
    let (banner_sender, mut banner_receiver) = mpsc::channel(1);
    let judge = Client {
        key_name: hop.key_name.clone(),
        known_hosts: Arc::clone(&hop.known_hosts),
        accepted: key_sender,
        banner: banner_sender,
    };
    let mut connecting = Box::pin(client::connect_stream(Arc::new(config(hop)), stream, judge));
    // The banner has a deadline of its own, so that silence is told from a server that is slow at arithmetic.
    let early = dog
        .guard(Stage::Banner, deadlines.banner, async {
            tokio::select! {
                biased;
                done = &mut connecting => Ok(Some(done)),
                () = heard.spoke_ssh() => Ok(None),
            }
        })
        .await
        .map_err(|failure| explain_silence(failure, &heard.now()))?;
    let exchanged = match early {
        Some(done) => done,
        None => {
            dog.guard(Stage::KeyExchange, deadlines.key_exchange, async { Ok(connecting.await) })
                .await?
        }
    };
    let mut handle = exchanged.map_err(|e| explain_exchange(e, &heard.now(), hop))?;
    let key = key_receiver.try_recv().unwrap_or_default();
    let authenticated =
        dog.guard(Stage::Auth, deadlines.auth, authenticate(&mut handle, hop)).await;
    authenticated.map_err(|failure| match banner_receiver.try_recv() {
        Ok(banner) => ConnectFailure {
            cause: format!("{}; the server said: {banner}", failure.cause),
            ..failure
        },
        Err(_) => failure,
    })?;
    Ok((handle, key))
}

fn config(hop: &Hop) -> client::Config {
    let ours = Preferred::DEFAULT;
    let mut kex: Vec<kex::Name> = vec![kex::CURVE25519, kex::CURVE25519_PRE_RFC_8731];
    kex.extend(
        ours.kex
            .iter()
            .filter(|name| !matches!(**name, kex::CURVE25519 | kex::CURVE25519_PRE_RFC_8731)),
    );
    let keys = host_key_kinds(hop, &ours.key);
    let certificates =
        if hop.known_hosts.trusts_an_authority(&hop.key_name) { keys.clone() } else { Vec::new() };
    client::Config {
        window_size: RECEIVE_WINDOW_BYTES,
        channel_buffer_size: CHANNEL_QUEUE,
        nodelay: true,
        keepalive_interval: hop.alive.map(|(interval, _)| interval),
        keepalive_max: hop.alive.map_or(3, |(_, count)| count),
        preferred: Preferred {
            kex: Cow::Owned(kex),
            key: Cow::Owned(keys),
            host_key_certificates: Cow::Owned(certificates),
            ..ours
        },
        ..client::Config::default()
    }
}

/// Kinds of host key to ask for: those allowed, those known first. Never SHA-1 signatures.
fn host_key_kinds(hop: &Hop, ours: &[Algorithm]) -> Vec<Algorithm> {
    let sound: Vec<Algorithm> =
        ours.iter().filter(|a| !matches!(a, Algorithm::Rsa { hash: None })).cloned().collect();
    let Some(list) = &hop.host_key_algorithms else {
        return hop.known_hosts.preferred_kinds(&hop.key_name, &sound);
    };
    let names: Vec<String> = sound.iter().map(ToString::to_string).collect();
    let allowed = apply_algorithms(list, &names);
    allowed
        .iter()
        .filter_map(|name| sound.iter().find(|a| a.to_string() == *name).cloned())
        .collect()
}

/// Whether any kind of host key that the settings allow is one that this client can check.
pub(crate) fn can_check_a_key(host_key_algorithms: &str) -> bool {
    let names: Vec<String> = Preferred::DEFAULT.key.iter().map(ToString::to_string).collect();
    !apply_algorithms(host_key_algorithms, &names).is_empty()
}

/// Judges the server's key, and keeps what it says about itself.
pub(crate) struct Client {
    key_name: KeyName,
    known_hosts: Arc<KnownHosts>,
    accepted: mpsc::Sender<String>,
    banner: mpsc::Sender<String>,
}

/// Why a connection ended, as russh and our judgement say it.
#[derive(Debug)]
pub(crate) enum Ended {
    Ssh(russh::Error),
    Key(Box<Refusal>),
}

impl From<russh::Error> for Ended {
    // russh asks its handlers for this conversion.
    fn from(e: russh::Error) -> Self {
        Ended::Ssh(e)
    }
}

impl client::Handler for Client {
    type Error = Ended;

    async fn check_server_key(&mut self, offered: &PublicKeyOrCertificate) -> Result<bool, Ended> {
        let key = offered.public_key();
        let offer = match offered.certificate() {
            Some(certificate) => Offer::Certificate(certificate),
            None => Offer::Key(&key),
        };
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        match self.known_hosts.judge(&self.key_name, &offer, now_s) {
            Ok(()) => {
                let _ = self.accepted.try_send(format!(
                    "{} {}",
                    key.algorithm(),
                    key.fingerprint(HashAlg::Sha256)
                ));
                Ok(true)
            }
            Err(refusal) => Err(Ended::Key(Box::new(refusal))),
        }
    }

    async fn auth_banner(
        &mut self,
        banner: &str,
        _session: &mut client::Session,
    ) -> Result<(), Ended> {
        let banner: String = escape(banner.as_bytes()).chars().take(500).collect();
        let _ = self.banner.try_send(banner);
        Ok(())
    }
}

fn explain_silence(failure: ConnectFailure, heard: &Heard) -> ConnectFailure {
    if heard.bytes == 0 {
        return failure;
    }
    not_ssh(heard).unwrap_or_else(|| {
        let cause = format!(
            "the server sends {} bytes that are no SSH banner: {}",
            heard.bytes,
            heard.excerpt()
        );
        ConnectFailure::permanent(Stage::Banner, cause)
            .hint("check the port: this is not an SSH server")
    })
}

/// What answers on this port, if it can be recognised.
fn not_ssh(heard: &Heard) -> Option<ConnectFailure> {
    let start = heard.start.as_slice();
    let what = if start.starts_with(b"HTTP/")
        || start.starts_with(b"<!DOCTYPE")
        || start.starts_with(b"<html")
    {
        "an HTTP server"
    } else if matches!(start, [0x14..=0x17, 0x03, ..]) {
        "a TLS server"
    } else {
        return None;
    };
    let cause = format!("{what} answers on this port: {}", heard.excerpt());
    Some(
        ConnectFailure::permanent(Stage::Banner, cause)
            .hint("check the port: this is not an SSH server"),
    )
}

fn explain_exchange(ended: Ended, heard: &Heard, hop: &Hop) -> ConnectFailure {
    let e = match ended {
        Ended::Key(refusal) => return explain_refusal(&refusal, hop),
        Ended::Ssh(e) => e,
    };
    if !heard.ssh {
        return explain_before_banner(&e, heard);
    }
    match e {
        russh::Error::NoCommonAlgo { kind, ours, theirs } => {
            let theirs = escape(theirs.join(",").as_bytes());
            let cause = format!(
                "no common algorithm for {}; ours: {}; theirs: {theirs}",
                purpose(&kind),
                ours.join(",")
            );
            ConnectFailure::new(Stage::KeyExchange, FailureClass::Beyond, cause)
        }
        // Servers that shed load after the banner, and networks that break, look alike here.
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::IO(_) => ConnectFailure::new(
            Stage::KeyExchange,
            FailureClass::PushedBack,
            format!("the server ended the connection after its banner: {e}"),
        ),
        e => ConnectFailure::permanent(
            Stage::KeyExchange,
            format!("the server does not speak SSH correctly: {e}"),
        ),
    }
}

fn explain_before_banner(e: &russh::Error, heard: &Heard) -> ConnectFailure {
    if heard.says("Exceeded MaxStartups") || heard.says("Not allowed at this time") {
        return ConnectFailure::pushed_back(format!("the server sheds load: {}", heard.excerpt()));
    }
    if let Some(known) = not_ssh(heard) {
        return known;
    }
    if heard.bytes == 0 {
        return ConnectFailure::pushed_back(format!(
            "the server closed the connection before its banner ({e})"
        ));
    }
    let cause = format!("what answers is not an SSH server: {}", heard.excerpt());
    ConnectFailure::permanent(Stage::Banner, cause).hint("check the port")
}

fn explain_refusal(refusal: &Refusal, hop: &Hop) -> ConnectFailure {
    let name = &hop.name;
    let hint = match refusal {
        Refusal::Unknown { offered } | Refusal::OtherKinds { offered, .. } => format!(
            "run `plush doctor {name}`, compare the fingerprint with what the host's owner tells you, then add this line to known_hosts: {}",
            offered.line
        ),
        Refusal::Changed { expected_at, .. } => format!(
            "someone may be listening in, or the host was set up anew: ask its owner; if the new key is right, replace {expected_at} and run `plush doctor {name}`"
        ),
        Refusal::Revoked { .. } => "this host must not be used with that key".to_owned(),
        Refusal::Certificate { .. } => {
            format!("run `plush doctor {name}` and ask who signs the host keys")
        }
    };
    ConnectFailure::permanent(Stage::HostKey, refusal.to_string()).hint(hint)
}

/// Offers one key after the other until one is taken.
async fn authenticate(handle: &mut Handle<Client>, hop: &Hop) -> Result<(), ConnectFailure> {
    let mut tried = Tried::default();
    let mut agent = match &hop.identities.agent_socket {
        Some(socket) => {
            AgentClient::connect_uds(socket).await.map_err(|e| format!("{}: {e}", socket.display()))
        }
        None => Err("none".to_owned()),
    };
    let offered = match &mut agent {
        Ok(agent) => {
            if let Some(binding) = handle.agent_session_binding() {
                // Agents that do not know this extension refuse it, and need it not.
                let _ = agent.bind_session(binding, false).await;
            }
            agent.request_identities().await.unwrap_or_default()
        }
        Err(why) => {
            tried.notes.push(format!("no SSH agent ({why})"));
            Vec::new()
        }
    };
    let from_agent = hop.identities.order(offered);
    let agent_keys: Vec<_> =
        from_agent.iter().map(|identity| identity.public_key().key_data().clone()).collect();
    for identity in from_agent {
        let Ok(agent) = &mut agent else { break };
        let label = format!("agent key {}", identity.comment());
        if tried.step(label, with_agent(handle, hop, identity, agent).await)? {
            return Ok(());
        }
    }
    for file in &hop.identities.files {
        let certified = match Certified::load(file, &hop.identities.certificates).await {
            Ok(Some(certified)) => certified,
            Ok(None) => continue,
            Err(Unusable::Missing(why) | Unusable::Refused(why)) => {
                tried.notes.push(escape(why.as_bytes()));
                continue;
            }
            Err(Unusable::Unread(why)) => {
                tried.notes.push(escape(why.as_bytes()));
                tried.unread = true;
                continue;
            }
        };
        if agent_keys.contains(certified.key.public_key().key_data()) {
            continue;
        }
        let label = file.path.display().to_string();
        if tried.step(label, with_file(handle, hop, certified).await)? {
            return Ok(());
        }
    }
    Err(tried.denied(hop))
}

async fn with_agent(
    handle: &mut Handle<Client>,
    hop: &Hop,
    identity: AgentIdentity,
    agent: &mut AgentClient<tokio::net::UnixStream>,
) -> Result<AuthResult, String> {
    let hash = rsa_hash(handle, &identity.public_key().algorithm()).await;
    let user = hop.user.clone();
    let result = match identity {
        AgentIdentity::PublicKey { key, .. } => {
            handle.authenticate_publickey_with(user, key, hash, agent).await
        }
        AgentIdentity::Certificate { certificate, .. } => {
            handle.authenticate_certificate_with(user, certificate, hash, agent).await
        }
    };
    result.map_err(|e| e.to_string())
}

async fn with_file(
    handle: &mut Handle<Client>,
    hop: &Hop,
    certified: Certified,
) -> Result<AuthResult, String> {
    let Certified { key, certificate } = certified;
    if let Some(certificate) = certificate {
        let result =
            handle.authenticate_openssh_cert(hop.user.clone(), Arc::clone(&key), certificate).await;
        match result {
            Ok(AuthResult::Failure { partial_success: false, remaining_methods })
                if !remaining_methods.is_empty() => {}
            other => return other.map_err(|e| e.to_string()),
        }
    }
    let hash = rsa_hash(handle, &key.algorithm()).await;
    let key = PrivateKeyWithHashAlg::new(key, hash);
    handle.authenticate_publickey(hop.user.clone(), key).await.map_err(|e| e.to_string())
}

/// RSA keys sign with SHA-2; asking the server costs up to a second with old ones, so only RSA asks.
async fn rsa_hash(handle: &Handle<Client>, algorithm: &Algorithm) -> Option<HashAlg> {
    match algorithm {
        Algorithm::Rsa { .. } => match handle.best_supported_rsa_hash().await {
            Ok(Some(Some(hash))) => Some(hash),
            Ok(_) | Err(_) => Some(HashAlg::Sha512),
        },
        _ => None,
    }
}

/// What has been offered to a server, and how it answered.
#[derive(Default)]
struct Tried {
    offered: Vec<String>,
    notes: Vec<String>,
    /// A key file could not be read, which the ssh program may do.
    unread: bool,
}

impl Tried {
    /// True if the key was taken; an error if nothing more can be tried.
    fn step(
        &mut self,
        label: String,
        result: Result<AuthResult, String>,
    ) -> Result<bool, ConnectFailure> {
        self.offered.push(escape(label.as_bytes()));
        match result {
            Ok(AuthResult::Success) => Ok(true),
            Ok(AuthResult::Failure { partial_success: true, remaining_methods }) => {
                let names: Vec<&str> = remaining_methods.iter().map(Into::into).collect();
                let more = names.join(" or ");
                let cause = format!("the key was accepted, but the server also asks for {more}");
                Err(ConnectFailure::permanent(Stage::Auth, cause).hint(
                    "Plush answers no prompts; use a key or certificate that is enough by itself",
                ))
            }
            Ok(AuthResult::Failure { remaining_methods, .. }) if remaining_methods.is_empty() => {
                let cause =
                    format!("the server ended the connection after {} keys", self.offered.len());
                Err(ConnectFailure::permanent(Stage::Auth, cause)
                    .hint("name the right key with IdentityFile and IdentitiesOnly yes"))
            }
            Ok(AuthResult::Failure { .. }) => self.room_for_more(),
            Err(why) => {
                self.notes.push(escape(why.as_bytes()));
                self.room_for_more()
            }
        }
    }

    fn room_for_more(&self) -> Result<bool, ConnectFailure> {
        if self.offered.len() < MAX_KEYS_OFFERED {
            return Ok(false);
        }
        let cause = format!("none of the first {MAX_KEYS_OFFERED} keys was accepted");
        Err(ConnectFailure::permanent(Stage::Auth, cause)
            .hint("name the right key with IdentityFile and IdentitiesOnly yes"))
    }

    fn denied(self, hop: &Hop) -> ConnectFailure {
        let offered = match self.offered.is_empty() {
            true => "no key to offer".to_owned(),
            false => format!("offered {}", self.offered.join(", ")),
        };
        let notes = self.notes.iter().map(|n| format!("; {n}")).collect::<String>();
        let cause = format!("the server does not accept user {} ({offered}{notes})", hop.user);
        let class = if self.unread { FailureClass::Beyond } else { FailureClass::Permanent };
        ConnectFailure::new(Stage::Auth, class, cause)
            .hint("put your public key into authorized_keys there, or load the key into your SSH agent (ssh-add)")
    }
}

impl Exec for Session {
    fn exec<'a>(&'a self, command: &'a str) -> Running<'a> {
        Box::pin(async move {
            let failed = |e: russh::Error| {
                ConnectFailure::retryable(Stage::Shell, format!("open a session: {e}"))
            };
            let channel = self.handle.channel_open_session().await.map_err(failed)?;
            channel.exec(true, command).await.map_err(failed)?;
            let (read_half, write_half) = channel.split();
            let (sender, aside) = Aside::channel();
            let mut keep = self.through.clone();
            keep.push(Arc::clone(&self.handle));
            let bytes = pump(read_half, sender);
            let writer = Box::new(Box::pin(write_half.make_writer()));
            Ok(Pipe {
                reader: Box::new(ChannelReader::new(bytes, keep.clone())),
                writer: Box::new(ChannelWriter::new(writer)),
                aside,
                leash: Some(Leash::new(write_half, keep)),
                failure: None,
            })
        })
    }
}

/// What an algorithm is for, as ssh_config(5) sets them.
fn purpose(kind: &russh::AlgorithmKind) -> &'static str {
    match kind {
        russh::AlgorithmKind::Kex => "the exchange of keys (KexAlgorithms)",
        russh::AlgorithmKind::Key => "the host key (HostKeyAlgorithms)",
        russh::AlgorithmKind::Cipher => "encryption (Ciphers)",
        russh::AlgorithmKind::Compression => "compression (Compression)",
        russh::AlgorithmKind::Mac => "authentication of messages (MACs)",
    }
}

/// A signal by its name, as the far side gave it (RFC 4254, section 6.10).
fn in_words(signal: &russh::Sig) -> String {
    let name = match signal {
        russh::Sig::ABRT => "ABRT",
        russh::Sig::ALRM => "ALRM",
        russh::Sig::FPE => "FPE",
        russh::Sig::HUP => "HUP",
        russh::Sig::ILL => "ILL",
        russh::Sig::INT => "INT",
        russh::Sig::KILL => "KILL",
        russh::Sig::PIPE => "PIPE",
        russh::Sig::QUIT => "QUIT",
        russh::Sig::SEGV => "SEGV",
        russh::Sig::TERM => "TERM",
        russh::Sig::USR1 => "USR1",
        russh::Sig::Custom(name) => name.as_str(),
    };
    let meaning = match name {
        "XFSZ" | "XFSZ@openssh.com" => " (a file beyond the limit of the account, ulimit -f)",
        "XCPU" | "XCPU@openssh.com" => " (the limit of processor time of the account, ulimit -t)",
        _ => "",
    };
    format!("signal {}{meaning}", escape(name.as_bytes()))
}

/// Names a message of a channel for the record of how a command ended.
pub(crate) fn end_of(message: &ChannelMsg) -> Option<String> {
    match message {
        ChannelMsg::ExitStatus { exit_status } => Some(format!("exit status {exit_status}")),
        ChannelMsg::ExitSignal { signal_name, .. } => {
            Some(format!("killed by {}", in_words(signal_name)))
        }
        ChannelMsg::Failure => Some("the server refuses to run commands".to_owned()),
        _ => None,
    }
}
