//! A byte stream joined to the agent of one host, and the account of how it came about.
//!
//! Not the protocol spoken over it: frames, sequence numbers and resumption are the session's.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::failure::Stage;
use super::tainted::Excerpt;

/// Bytes from a host.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// Bytes to a host.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection to an agent. Dropping both halves ends it; the agent lives on.
pub struct Link {
    /// What the agent says.
    pub reader: Reader,
    /// What the agent is told.
    pub writer: Writer,
    /// How the link came about.
    pub account: LinkAccount,
    /// What the far side says beside the stream, also after the link is made.
    pub aside: Aside,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("account", &self.account).finish_non_exhaustive()
    }
}

/// Which client carries a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The SSH client inside the controller.
    InProcess,
    /// The OpenSSH program.
    Program,
    /// No SSH: a child process of the controller.
    Local,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Client::InProcess => "in-process SSH client",
            Client::Program => "ssh program",
            Client::Local => "local process",
        })
    }
}

/// Where the agent's file came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentOrigin {
    /// It was on the host already.
    Found,
    /// It was sent over this connection.
    Sent {
        /// Bytes on the wire, after compression.
        sent_bytes: u64,
    },
}

/// How a link came about. Text from the host is escaped and bounded.
#[derive(Clone, Debug)]
pub struct LinkAccount {
    /// Which client was used.
    pub client: Client,
    /// Why that one.
    pub why: Vec<String>,
    /// From the first packet to being logged in; zero for a local process.
    pub handshake_ms: u64,
    /// From the start to the agent's bytes.
    pub total_ms: u64,
    /// Time spent in each stage, in order.
    pub stages: Vec<(Stage, Duration)>,
    /// Whether the agent was sent.
    pub agent: AgentOrigin,
    /// The directory on the host that holds the agent.
    pub agent_dir: String,
    /// System and machine as the host names them, such as `Linux x86_64`.
    pub machine: String,
    /// The accepted host key; `None` where the ssh program judged it, or without SSH.
    pub host_key: Option<String>,
    /// What the login printed before the agent spoke.
    pub noise: String,
    /// How many bytes of it there were.
    pub noise_bytes: u64,
    /// Directories that were refused on the way, with the reason.
    pub refused_dirs: Vec<String>,
}

/// What the far side says beside the stream: standard error and how it ended.
#[derive(Clone, Debug)]
pub struct Aside(watch::Receiver<AsideText>);

#[derive(Clone, Debug, Default)]
pub(crate) struct AsideText {
    pub stderr: Excerpt,
    pub end: Option<String>,
    /// The connection itself was lost: nobody ended anything.
    pub is_cut_off: bool,
}

impl Aside {
    pub(crate) fn channel() -> (watch::Sender<AsideText>, Self) {
        let (sender, receiver) = watch::channel(AsideText::default());
        (sender, Self(receiver))
    }

    /// Standard error so far: beginning and end, escaped.
    pub fn stderr(&self) -> String {
        self.0.borrow().stderr.escaped()
    }

    /// The last lines of standard error.
    pub fn last_words(&self) -> String {
        self.0.borrow().stderr.last_words()
    }

    /// How the far side ended ("exit status 1"), once it has.
    pub fn end(&self) -> Option<String> {
        self.0.borrow().end.clone()
    }

    /// The connection was lost before the far side had said how it ended.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.0.borrow().is_cut_off
    }

    /// Waits until it is known how the far side ended, at most this long.
    pub async fn settled(&mut self, limit: Duration) {
        let ended = self.0.wait_for(|text| text.end.is_some());
        let _ = tokio::time::timeout(limit, ended).await;
    }
}
