//! Why a host could not be reached: the stage, the cause, what to do next, and whether trying again can help.
//!
//! Not an error of the controller: a host that fails is an event.

use std::fmt;

/// How far a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Reading the user's configuration for this host.
    Settings,
    /// Turning the name into an address.
    Resolve,
    /// Opening the TCP connection, or the channel of a jump host.
    Tcp,
    /// Waiting for the server to say that it speaks SSH.
    Banner,
    /// Agreeing on keys.
    KeyExchange,
    /// Judging the server's key.
    HostKey,
    /// Proving who we are.
    Auth,
    /// The login shell, until the bootstrap script speaks.
    Shell,
    /// Finding a directory for the agent.
    AgentDir,
    /// Sending the agent.
    Upload,
    /// Starting the agent.
    Start,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Settings => "reading the settings",
            Stage::Resolve => "resolving the name",
            Stage::Tcp => "opening the connection",
            Stage::Banner => "waiting for the SSH banner",
            Stage::KeyExchange => "exchanging keys",
            Stage::HostKey => "checking the host key",
            Stage::Auth => "authenticating",
            Stage::Shell => "starting the shell",
            Stage::AgentDir => "finding a directory for the agent",
            Stage::Upload => "sending the agent",
            Stage::Start => "starting the agent",
        })
    }
}

/// Whether trying again can help, and who has to slow down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// The server sheds load: try again, with fewer handshakes in flight.
    PushedBack,
    /// The host had let us in and was cut off: try again, with less at once.
    Interrupted,
    /// The network or the host may recover: try again later.
    Retryable,
    /// Trying again changes nothing, and may lock an account.
    Permanent,
    /// The in-process client lacks an algorithm or cannot read a key; the ssh program may succeed.
    Beyond,
}

/// A failed attempt to reach the agent of one host. All text is harmless on a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectFailure {
    /// How far it came.
    pub stage: Stage,
    /// What happened, in one line.
    pub cause: String,
    /// What to do next; empty if nothing sensible can be said.
    pub hint: String,
    /// Whether trying again can help.
    pub class: FailureClass,
}

impl ConnectFailure {
    pub(crate) fn new(stage: Stage, class: FailureClass, cause: impl Into<String>) -> Self {
        Self { stage, cause: cause.into(), hint: String::new(), class }
    }

    pub(crate) fn permanent(stage: Stage, cause: impl Into<String>) -> Self {
        Self::new(stage, FailureClass::Permanent, cause)
    }

    pub(crate) fn retryable(stage: Stage, cause: impl Into<String>) -> Self {
        Self::new(stage, FailureClass::Retryable, cause)
    }

    pub(crate) fn interrupted(stage: Stage, cause: impl Into<String>) -> Self {
        Self::new(stage, FailureClass::Interrupted, cause)
    }

    pub(crate) fn pushed_back(cause: impl Into<String>) -> Self {
        Self::new(Stage::Banner, FailureClass::PushedBack, cause)
            .hint("the server limits connections that are not logged in yet (MaxStartups); Plush tries again, more slowly")
    }

    /// Returns this failure of the in-process client, extended with the later failure of the ssh
    /// program.
    pub(crate) fn and(self, second: &Self) -> Self {
        let cause = format!(
            "{}; the ssh program fails while {}: {}",
            self.cause, second.stage, second.cause
        );
        let class = match second.class {
            FailureClass::Beyond => FailureClass::Permanent,
            class => class,
        };
        Self { cause, class, ..self }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.cause)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConnectFailure {}
