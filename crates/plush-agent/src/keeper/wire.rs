//! What an agent and a keeper say to each other over their socket, and how descriptors travel with it.
//! Not the protocol between agents and controllers.

use crate::record::Started;
use minicbor::{Decode, Encode};
use plush_protocol::{StreamName, TaskKey, TaskSpec, TaskState};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const MAX_MESSAGE_BYTES: usize = 4 << 20;
const MAX_DESCRIPTORS: usize = 8;

/// Agent to keeper.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ToKeeper {
    /// The first message to a new keeper. With it come: lock, listener, read ends of out and err, and for a new
    /// task the two write ends.
    #[n(0)]
    Launch(#[n(0)] Box<Launch>),
    /// End the task by its stop rule.
    #[n(1)]
    Stop {
        /// Why, in a word.
        #[n(0)]
        why: String,
    },
    /// Send a signal to the task's group.
    #[n(2)]
    Signal(#[n(0)] i32),
    /// The controller has this durably.
    #[n(3)]
    Durable {
        /// Of this stream.
        #[n(0)]
        stream: StreamName,
        /// Everything before.
        #[n(1)]
        offset: u64,
    },
    /// The agent has reaped the adopted task.
    #[n(4)]
    Reaped(#[n(0)] WaitResult),
}

/// How a process ended, as its parent learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum WaitResult {
    /// By exit, with this code.
    #[n(0)]
    Code(#[n(0)] i32),
    /// By this signal.
    #[n(1)]
    Signal(#[n(0)] i32),
}

impl From<rustix::process::WaitStatus> for WaitResult {
    fn from(status: rustix::process::WaitStatus) -> Self {
        match status.terminating_signal() {
            Some(signal) => WaitResult::Signal(signal),
            None => WaitResult::Code(status.exit_status().unwrap_or(0)),
        }
    }
}

/// What a keeper is to do.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Launch {
    /// The task.
    #[n(0)]
    pub key: TaskKey,
    /// What is started.
    #[n(1)]
    pub spec: TaskSpec,
    /// The whole environment.
    #[n(2)]
    pub environment: Vec<(String, String)>,
    /// The working directory.
    #[n(3)]
    pub directory: String,
    /// The task runs already and its keeper died: keep it instead of starting it.
    #[n(4)]
    pub adopt: Option<Started>,
    /// The path of the task's control group, where it has one.
    #[n(5)]
    pub group: Option<String>,
    /// The account's umask, with which the task starts.
    #[n(6)]
    #[cbor(default)]
    pub umask: u32,
}

impl Launch {
    /// Variables that every process of the task inherits, unless it throws them away. Together no other task of
    /// this host has them.
    pub fn marks(&self) -> Vec<String> {
        let marks = self.environment.iter().filter(|(name, _)| {
            matches!(name.as_str(), "PLUSH_RUN_DIR" | "PLUSH_TASK" | "PLUSH_INCARNATION")
        });
        marks.map(|(name, value)| format!("{name}={value}")).collect()
    }
}

/// Keeper to agent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FromKeeper {
    /// The first message to an agent that comes later; with it come read ends of out and err.
    #[n(0)]
    Attached(#[n(0)] TaskState),
    /// The task's state changed; an end is durable.
    #[n(1)]
    State(#[n(0)] TaskState),
    /// The streams grew.
    #[n(2)]
    Grown {
        /// Standard output.
        #[n(0)]
        out: Extent,
        /// Standard error.
        #[n(1)]
        err: Extent,
    },
    /// For the log and for people.
    #[n(3)]
    Note(#[n(0)] String),
    /// These processes of the task cannot be killed; nobody waits for them any more.
    #[n(4)]
    Unkillable(#[n(0)] String),
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Extent {
    /// Bytes that the task has written, skipped ones included.
    #[n(0)]
    pub written: u64,
    /// Nothing follows.
    #[n(1)]
    pub closed: bool,
}

/// A message as it is sent.
pub fn encode<T: Encode<()>>(message: &T) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    minicbor::encode(message, &mut bytes).expect("encoding to memory succeeds");
    let length = u32::try_from(bytes.len() - 4).expect("messages are far shorter");
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Bytes received and not yet taken as messages.
#[derive(Default)]
pub struct Mailbox {
    bytes: Vec<u8>,
}

impl Mailbox {
    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub fn take<T: for<'b> Decode<'b, ()>>(&mut self) -> io::Result<Option<T>> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head) as usize;
        if length > MAX_MESSAGE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "message is too long"));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = minicbor::decode(body).map_err(io::Error::other)?;
        self.bytes.drain(..4 + length);
        Ok(Some(message))
    }
}

/// Sends bytes and, with the first of them, descriptors. Blocks.
pub fn send_with(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    let mut sent = sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    while sent < bytes.len() {
        sent += rustix::net::send(&socket, &bytes[sent..], SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Receives the next message and the descriptors that came with it. Blocks.
pub fn receive_with<T: for<'b> Decode<'b, ()>>(
    socket: impl AsFd,
    mailbox: &mut Mailbox,
) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut fds = Vec::new();
    loop {
        if let Some(message) = mailbox.take()? {
            return Ok((message, fds));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffer = [0u8; 16 << 10];
        let got = recvmsg(
            &socket,
            &mut [IoSliceMut::new(&mut buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if got.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        mailbox.push(&buffer[..got.bytes]);
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
    }
}
