//! A command's streams on a host, whichever client carries them.
//!
//! Not yet a link: what is at the other end is a shell.

use std::future::Future;
use std::pin::Pin;

use super::channel::Leash;
use super::failure::ConnectFailure;
use super::link::{Aside, Reader, Writer};

/// A command that runs on a host.
pub(crate) struct Pipe {
    pub reader: Reader,
    pub writer: Writer,
    pub aside: Aside,
    /// Ends the command when the pipe is dropped before it has become a link; the ssh program has no way to.
    pub leash: Option<Leash>,
    /// Reads in the last words why the connection itself failed, where the client says so only there.
    pub failure: Option<fn(&Aside) -> Option<ConnectFailure>>,
}

/// A boxed future, since the clients differ.
pub(crate) type Running<'a> =
    Pin<Box<dyn Future<Output = Result<Pipe, ConnectFailure>> + Send + 'a>>;

/// Runs commands on one host: over a session that is open, or with a program per command.
pub(crate) trait Exec: Send + Sync {
    /// Runs a command line for the login shell.
    fn exec<'a>(&'a self, command: &'a str) -> Running<'a>;
}
