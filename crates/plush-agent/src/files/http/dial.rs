//! A stream to the server of a URL: resolved, connected, through a proxy and TLS as needed.
//!
//! Not the request (see `exchange`).

use std::io::{self, BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;

use super::Trouble;
use super::address::is_inner;
use super::exchange::{self, basic};
use super::proxy::Proxies;
use super::resolve::{Resolver, Source};
use super::tls::{self, TlsStream, Trust};
use super::url::{Scheme, Url};
use super::watch::{Socket, Stop, Watch};

/// What a host knows about reaching servers.
#[derive(Debug, Default)]
pub struct Network {
    /// Names to addresses.
    pub resolver: Resolver,
    /// Ways round.
    pub proxies: Proxies,
    /// Who is believed.
    pub trust: Trust,
    tls: OnceLock<Arc<ClientConfig>>,
}

/// Whether the caller named the host, or somebody else did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The caller: an inner address given literally or by this host's own files is meant.
    Caller,
    /// A redirect: inner addresses are refused.
    Redirect,
}

/// A connection ready for a request.
pub enum Stream<'a> {
    /// In the clear.
    Plain(Socket<'a>),
    /// Under TLS.
    Tls(Box<TlsStream<'a>>),
}

impl Network {
    /// What the environment of a process says, with the system's files.
    pub fn from_variables(lookup: &dyn Fn(&str) -> Option<String>) -> Network {
        let (proxies, trust) = (Proxies::from_variables(lookup), Trust::from_variables(lookup));
        Network { resolver: Resolver::default(), proxies, trust, tls: OnceLock::new() }
    }

    /// Opens a stream to the server of `url`.
    pub fn dial<'a>(
        &self,
        url: &Url,
        by: NamedBy,
        watch: &'a Watch<'a>,
        limit: Duration,
    ) -> Result<Stream<'a>, Trouble> {
        let proxy = self.proxies.of(url);
        let socket = match proxy {
            None => self.connect(url, by, watch, limit)?,
            Some(proxy) => {
                refuse_inner_literal(url, by)?;
                self.connect(proxy, NamedBy::Caller, watch, limit)?
            }
        };
        match (url.scheme, proxy) {
            (Scheme::Http, _) => Ok(Stream::Plain(socket)),
            (Scheme::Https, None) => self.secure(url, socket),
            (Scheme::Https, Some(proxy)) => self.secure(url, tunnel(url, proxy, socket)?),
        }
    }

    fn connect<'a>(
        &self,
        url: &Url,
        by: NamedBy,
        watch: &'a Watch<'a>,
        limit: Duration,
    ) -> Result<Socket<'a>, Trouble> {
        let host = &url.host;
        let found = self.resolver.resolve(host, watch).map_err(|source| match source {
            super::ResolveError::Stopped(stop) => Trouble::Stopped(stop),
            source => Trouble::Resolve { host: host.clone(), source },
        })?;
        let may_be_inner = by == NamedBy::Caller && found.source == Source::Own;
        if let Some(address) =
            found.addresses.iter().find(|address| !may_be_inner && is_inner(**address))
        {
            return Err(Trouble::Forbidden { host: host.clone(), address: *address });
        }
        let mut last = None;
        let count = found.addresses.len().min(8);
        for (index, address) in found.addresses.into_iter().take(count).enumerate() {
            // An address that swallows packets must not use up the time of those after it.
            let share = if index + 1 == count { limit } else { limit / 4 };
            let address = SocketAddr::new(address, url.port);
            match watch.connect(address, share.min(watch.left())) {
                Ok(socket) => return Ok(socket),
                Err(error) => match Stop::of(&error) {
                    Some(stop) => return Err(stop.into()),
                    None => last = Some((address, error)),
                },
            }
        }
        let (address, source) = last.expect("a resolved name has at least one address");
        Err(Trouble::Connect { address, source })
    }

    fn secure<'a>(&self, url: &Url, socket: Socket<'a>) -> Result<Stream<'a>, Trouble> {
        let config = match self.tls.get() {
            Some(config) => config,
            None => {
                let loaded = self.trust.load().map_err(Trouble::Tls)?;
                self.tls.get_or_init(|| loaded)
            }
        };
        Ok(Stream::Tls(Box::new(tls::handshake(config, url, socket)?)))
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

/// Through a proxy names are not resolved here, so only literals can be judged.
fn refuse_inner_literal(url: &Url, by: NamedBy) -> Result<(), Trouble> {
    match url.address() {
        Some(address) if by == NamedBy::Redirect && is_inner(address) => {
            Err(Trouble::Forbidden { host: url.host.clone(), address })
        }
        _ => Ok(()),
    }
}

fn tunnel<'a>(url: &Url, proxy: &Url, mut socket: Socket<'a>) -> Result<Socket<'a>, Trouble> {
    let authority = url.authority();
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(user) = &proxy.userinfo {
        request.push_str(&format!("Proxy-Authorization: Basic {}\r\n", basic(user)));
    }
    request.push_str("\r\n");
    socket.write_all(request.as_bytes()).map_err(Trouble::of_io)?;
    // The proxy says nothing after its head until we speak, so one byte of buffer loses nothing.
    let mut reader = BufReader::with_capacity(1, socket);
    let head = exchange::read_head(&mut reader)?;
    match head.status {
        200..=299 => Ok(reader.into_inner()),
        status => Err(Trouble::Proxy { proxy: proxy.to_string(), status }),
    }
}
