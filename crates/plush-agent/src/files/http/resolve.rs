//! From a host name to addresses: literals, `/etc/hosts`, then the servers of `/etc/resolv.conf`.
//!
//! Not libc's resolver: no NSS, no mDNS, no cache. A static program cannot load those.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::dns::{self, Answer, Kind};
use super::watch::{Stop, Watch};

/// Name servers asked, as in libc.
const SERVERS: usize = 3;
/// Search suffixes tried.
const SUFFIXES: usize = 6;
/// How long the second answer is awaited when the first already brought addresses.
const GRACE: Duration = Duration::from_millis(300);

/// Where names are looked up.
#[derive(Debug, Clone)]
pub struct Resolver {
    /// The hosts file.
    pub hosts: PathBuf,
    /// The list of name servers.
    pub resolv_conf: PathBuf,
    /// The servers' port, 53.
    pub port: u16,
}

/// Addresses, and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// At least one, IPv4 first: where both work either will do, and IPv6 is more often broken.
    pub addresses: Vec<IpAddr>,
    /// Where they come from.
    pub source: Source,
}

/// Who named an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The caller, or this machine's own hosts file.
    Own,
    /// A name server.
    Dns,
}

/// Why no address was found.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// All servers agree that the name does not exist or has no address.
    #[error("no such name")]
    NoSuchName,
    /// resolv.conf names no server and the hosts file does not have it.
    #[error("it is not in {} and {} names no server", .hosts.display(), .resolv_conf.display())]
    NoServer {
        /// The hosts file.
        hosts: PathBuf,
        /// The list of servers.
        resolv_conf: PathBuf,
    },
    /// No server gave a usable answer.
    #[error("no name server answered ({0})")]
    Silent(String),
    /// Told to stop.
    #[error("{0}")]
    Stopped(Stop),
}

impl Default for Resolver {
    fn default() -> Self {
        Resolver { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into(), port: 53 }
    }
}

impl ResolveError {
    /// Whether asking again may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, ResolveError::Silent(_))
    }
}

impl Resolver {
    /// The addresses of `host`, a name or a literal.
    pub fn resolve<'a>(&self, host: &str, watch: &'a Watch<'a>) -> Result<Found, ResolveError> {
        if let Some(addresses) = self.own(host) {
            return Ok(Found { addresses, source: Source::Own });
        }
        let config = Config::read(
            &std::fs::read_to_string(&self.resolv_conf).unwrap_or_default(),
            self.port,
        );
        if config.servers.is_empty() {
            return Err(ResolveError::NoServer {
                hosts: self.hosts.clone(),
                resolv_conf: self.resolv_conf.clone(),
            });
        }
        for name in config.candidates(host) {
            if let Some(addresses) = config.ask_all(&name, watch)? {
                return Ok(Found { addresses, source: Source::Dns });
            }
        }
        Err(ResolveError::NoSuchName)
    }

    fn own(&self, host: &str) -> Option<Vec<IpAddr>> {
        if let Ok(address) = host.parse() {
            return Some(vec![address]);
        }
        let host = host.trim_end_matches('.');
        if host == "localhost" || host.ends_with(".localhost") {
            return Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let text = std::fs::read_to_string(&self.hosts).unwrap_or_default();
        let mut addresses: Vec<IpAddr> =
            text.lines().filter_map(|line| hosts_line(line, host)).collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        (!addresses.is_empty()).then_some(addresses)
    }
}

fn hosts_line(line: &str, host: &str) -> Option<IpAddr> {
    let mut words = line.split('#').next()?.split_whitespace();
    let address = words.next()?.parse().ok()?;
    words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
}

struct Config {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
    timeout: Duration,
    attempts: usize,
}

impl Config {
    fn read(text: &str, port: u16) -> Config {
        let mut config = Config {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(3),
            attempts: 2,
        };
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or("").split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    config.servers.extend(words.next().and_then(|word| server(word, port)))
                }
                Some("search" | "domain") => {
                    config.search = words.take(SUFFIXES).map(str::to_owned).collect()
                }
                Some("options") => words.for_each(|option| config.set(option)),
                _ => {}
            }
        }
        config.servers.truncate(SERVERS);
        config
    }

    fn set(&mut self, option: &str) {
        let Some((name, Ok(value))) =
            option.split_once(':').map(|(name, value)| (name, value.parse::<u64>()))
        else {
            return;
        };
        match name {
            "ndots" => self.ndots = value.min(15) as usize,
            "timeout" => self.timeout = Duration::from_secs(value.clamp(1, 5)),
            "attempts" => self.attempts = value.clamp(1, 5) as usize,
            _ => {}
        }
    }

    fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let mut names: Vec<String> = self
            .search
            .iter()
            .map(|suffix| format!("{host}.{}", suffix.trim_end_matches('.')))
            .collect();
        let is_complete = host.matches('.').count() >= self.ndots;
        names.insert(if is_complete { 0 } else { names.len() }, host.to_owned());
        names
    }

    /// Asks the servers in turn; `None` when one of them says that there is no such name or no address.
    fn ask_all<'a>(
        &self,
        name: &str,
        watch: &'a Watch<'a>,
    ) -> Result<Option<Vec<IpAddr>>, ResolveError> {
        let mut last = String::from("none was asked");
        for _ in 0..self.attempts {
            for server in &self.servers {
                match self.ask(*server, name, watch) {
                    Ok(addresses) => return Ok((!addresses.is_empty()).then_some(addresses)),
                    Err(error) => match Stop::of(&error) {
                        Some(stop) => return Err(ResolveError::Stopped(stop)),
                        None => last = format!("{server}: {error}"),
                    },
                }
            }
        }
        Err(ResolveError::Silent(last))
    }

    /// Asks one server for both kinds at once.
    fn ask<'a>(
        &self,
        server: SocketAddr,
        name: &str,
        watch: &'a Watch<'a>,
    ) -> io::Result<Vec<IpAddr>> {
        let mut open = Vec::new();
        for kind in [Kind::A, Kind::Aaaa] {
            open.push(dns::question(random_id(), name, kind).ok_or(io::ErrorKind::InvalidInput)?);
        }
        // A typed address: binding to a text would link libc's resolver, half a megabyte of it.
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        for message in &open {
            socket.send(message)?;
        }
        let poll: OwnedFd = socket.try_clone()?.into();
        let mut found = Vec::new();
        let mut end = Instant::now() + self.timeout;
        let mut buffer = [0; 4096];
        while !open.is_empty() {
            match watch.await_ready(&poll, PollFlags::IN, end) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut && !found.is_empty() => break,
                outcome => outcome?,
            }
            let Some(reply) = received(&socket, &mut buffer)? else { continue };
            let Some((index, answer)) = matching(&open, reply) else { continue };
            let asked = open.swap_remove(index);
            match answer {
                Answer::Cut => found.extend(self.ask_by_tcp(server, &asked, watch)?),
                answer => found.extend(addresses(answer)?),
            }
            if !found.is_empty() {
                end = end.min(Instant::now() + GRACE);
            }
        }
        found.sort_by_key(IpAddr::is_ipv6);
        Ok(found)
    }

    fn ask_by_tcp<'a>(
        &self,
        server: SocketAddr,
        asked: &[u8],
        watch: &'a Watch<'a>,
    ) -> io::Result<Vec<IpAddr>> {
        let mut socket = watch.connect(server, self.timeout)?;
        let mut message = (asked.len() as u16).to_be_bytes().to_vec();
        message.extend(asked);
        socket.write_all(&message)?;
        let mut length = [0; 2];
        socket.read_exact(&mut length)?;
        let mut reply = vec![0; u16::from_be_bytes(length).into()];
        socket.read_exact(&mut reply)?;
        addresses(dns::answer(asked, &reply))
    }
}

fn received<'b>(socket: &UdpSocket, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
    match socket.recv(buffer) {
        Ok(length) => Ok(Some(&buffer[..length])),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn matching(open: &[Vec<u8>], reply: &[u8]) -> Option<(usize, Answer)> {
    let answers = open.iter().map(|asked| dns::answer(asked, reply)).enumerate();
    answers.into_iter().find(|(_, answer)| *answer != Answer::NotOurs)
}

fn addresses(answer: Answer) -> io::Result<Vec<IpAddr>> {
    match answer {
        Answer::Addresses(addresses) => Ok(addresses),
        Answer::NoSuchName => Ok(Vec::new()),
        Answer::Failed => Err(io::Error::other("the server failed or refused")),
        Answer::Cut | Answer::NotOurs => Err(io::Error::other("the answer is malformed")),
    }
}

/// `1.2.3.4`, `fe80::1%eth0` or `::1`.
fn server(word: &str, port: u16) -> Option<SocketAddr> {
    let Some((address, zone)) = word.split_once('%') else {
        return Some(SocketAddr::new(word.parse().ok()?, port));
    };
    let is_plain = !zone.is_empty() && !zone.starts_with('.') && !zone.contains('/');
    let index = zone.parse().ok().or_else(|| {
        let text = is_plain
            .then(|| std::fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")).ok())??;
        text.trim().parse().ok()
    })?;
    Some(SocketAddrV6::new(address.parse().ok()?, port, 0, index).into())
}

/// An id that nobody off the path can guess.
fn random_id() -> u16 {
    let mut bytes = [0u8; 2];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u16::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_as_libc_reads_it() {
        let text = "; x\nnameserver 10.0.0.1 # a\nnameserver ::1\nnameserver fe80::1%7\nnameserver 10.0.0.4\nsearch a.b c.\noptions ndots:2 timeout:9 rotate";
        let config = Config::read(text, 53);
        let servers: Vec<String> = config.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[::1]:53", "[fe80::1%7]:53"]);
        assert_eq!(config.candidates("h"), ["h.a.b", "h.c", "h"]);
        assert_eq!(config.candidates("h.x.y"), ["h.x.y", "h.x.y.a.b", "h.x.y.c"]);
        assert_eq!(config.candidates("h."), ["h"]);
        assert_eq!(config.timeout, Duration::from_secs(5));
    }
}
