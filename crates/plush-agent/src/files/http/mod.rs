//! One HTTP exchange from a host: addresses found, connected to, asked, answered.
//!
//! Not a general client: GET only, one request per connection, and no decision about redirects, retries or
//! where bytes go (see `fetch`). Names are never resolved through libc, which a static program cannot carry.

use std::io;
use std::net::SocketAddr;

pub mod address;
pub mod dial;
pub mod dns;
pub mod exchange;
pub mod proxy;
pub mod resolve;
pub mod tls;
pub mod url;
pub mod watch;

use resolve::ResolveError;
use watch::Stop;

/// Why one exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The name led to no address.
    #[error("no address for `{host}`")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver met.
        #[source]
        source: ResolveError,
    },
    /// No address of the host took the connection; this is the last one tried.
    #[error("cannot connect to {address}")]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A name or a redirect led to an address that only this machine or its link has, and that nobody named.
    #[error(
        "`{host}` leads to {address}, which is not reached unless the address itself is asked for"
    )]
    Forbidden {
        /// The name or literal.
        host: String,
        /// Where it leads.
        address: std::net::IpAddr,
    },
    /// The proxy would not make a tunnel.
    #[error("the proxy {proxy} answered {status} to CONNECT")]
    Proxy {
        /// The proxy, without its password.
        proxy: String,
        /// Its answer.
        status: u16,
    },
    /// TLS could not be set up or was broken by the other side.
    #[error("TLS failed: {0}")]
    Tls(#[source] rustls::Error),
    /// The answer is not HTTP as agreed.
    #[error("the answer is not HTTP: {0}")]
    NotHttp(&'static str),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// A limit of our own, or a person, ended it.
    #[error("{0}")]
    Stopped(Stop),
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        Trouble::Stopped(stop)
    }
}

impl Trouble {
    /// What an I/O error of a watched stream means.
    pub fn of_io(error: io::Error) -> Trouble {
        if let Some(stop) = Stop::of(&error) {
            return Trouble::Stopped(stop);
        }
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(tls) => Trouble::Tls(tls.clone()),
            None => Trouble::Broken(error),
        }
    }

    /// Whether the same request may well succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Trouble::Resolve { source, .. } => source.is_passing(),
            Trouble::Connect { .. } | Trouble::Broken(_) | Trouble::NotHttp(_) => true,
            Trouble::Stopped(stop) => *stop == Stop::Stalled,
            Trouble::Proxy { status, .. } => *status >= 500,
            Trouble::Forbidden { .. } | Trouble::Tls(_) => false,
        }
    }
}
