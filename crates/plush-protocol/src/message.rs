//! The two languages of the wire, one per direction, and their kinds in the frame header.
//! Not the framing: see [`crate::frame`].

use crate::bulk::{
    BlobPart, BlobWant, FilePart, FileWant, ListPart, ListWant, OutputAck, OutputGap, OutputPart,
};
use crate::command::Command;
use crate::frame::{FrameError, Frames};
use crate::hello::{AgentHello, ControllerHello};
use crate::report::Report;
use minicbor::{Decode, Encode};

/// Controller to agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToAgent {
    /// The first message of a connection.
    Hello(ControllerHello),
    /// A command with its number in the session, from 1.
    Command(u64, Command),
    /// Reports up to this number are durable at the controller.
    Ack(u64),
    /// What the controller has of a stream.
    OutputAck(OutputAck),
    /// A piece of a pushed package.
    BlobPart(BlobPart),
    /// Which files match?
    ListWant(ListWant),
    /// A piece of a file, please.
    FileWant(FileWant),
    /// Are you there? The token comes back.
    Ping(u64),
    /// Tasks may live on, counted from this instant of the host's boot time, in microseconds: the newest that the agent
    /// has told and that has come. However late this is read, it prolongs nothing beyond that.
    Renew(u64),
    /// The connection ends in order; why, for the log.
    Bye(String),
}

/// Agent to controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToController {
    /// The answer to the controller's hello.
    Hello(Box<AgentHello>),
    /// A report with its number in the session, from 1.
    Report(u64, Report),
    /// Commands up to this number are taken: durable, or certain to be missed in the next inventory.
    Ack(u64),
    /// Output.
    OutputPart(OutputPart),
    /// Output that will never come.
    OutputGap(OutputGap),
    /// A piece of a package, please.
    BlobWant(BlobWant),
    /// Files that match.
    ListPart(ListPart),
    /// A piece of a file.
    FilePart(FilePart),
    /// The answer to a ping.
    Pong(Pong),
    /// The agent will not serve this connection: why.
    Bye(String),
}

/// The answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Pong {
    /// The ping's.
    #[n(0)]
    pub token: u64,
    /// The host's boot time when it was answered, in microseconds. A lease is renewed from there.
    #[n(1)]
    pub clock_us: u64,
}

/// A number and what it numbers.
#[derive(Encode, Decode)]
struct Numbered<T> {
    #[n(0)]
    number: u64,
    #[n(1)]
    body: T,
}

/// A borrowed [`Numbered`], so that sending copies nothing twice.
#[derive(Encode)]
struct NumberedRef<'a, T> {
    #[n(0)]
    number: u64,
    #[n(1)]
    body: &'a T,
}

mod kind {
    pub const HELLO: u16 = 1;
    pub const SEQUENCED: u16 = 2;
    pub const ACK: u16 = 3;
    pub const PING: u16 = 4;
    pub const BYE: u16 = 5;
    pub const RENEW: u16 = 6;
    pub const OUTPUT: u16 = 16;
    pub const OUTPUT_GAP: u16 = 17;
    pub const OUTPUT_ACK: u16 = 18;
    pub const BLOB_WANT: u16 = 19;
    pub const BLOB: u16 = 20;
    pub const LIST_WANT: u16 = 21;
    pub const LIST: u16 = 22;
    pub const FILE_WANT: u16 = 23;
    pub const FILE: u16 = 24;
}

impl ToAgent {
    /// Appends the message's frame to `out`.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        match self {
            ToAgent::Hello(m) => Frames::put(out, kind::HELLO, m),
            ToAgent::Command(number, body) => {
                Frames::put(out, kind::SEQUENCED, &NumberedRef { number: *number, body })
            }
            ToAgent::Ack(n) => Frames::put(out, kind::ACK, n),
            ToAgent::OutputAck(m) => Frames::put(out, kind::OUTPUT_ACK, m),
            ToAgent::BlobPart(m) => Frames::put(out, kind::BLOB, m),
            ToAgent::ListWant(m) => Frames::put(out, kind::LIST_WANT, m),
            ToAgent::FileWant(m) => Frames::put(out, kind::FILE_WANT, m),
            ToAgent::Ping(token) => Frames::put(out, kind::PING, token),
            ToAgent::Renew(clock_us) => Frames::put(out, kind::RENEW, clock_us),
            ToAgent::Bye(why) => Frames::put(out, kind::BYE, why),
        }
    }

    /// The next whole message of `frames`, if there is one.
    pub fn next(frames: &mut Frames) -> Result<Option<ToAgent>, FrameError> {
        let Some((k, body)) = frames.next()? else { return Ok(None) };
        let message = match k {
            kind::HELLO => ToAgent::Hello(take(k, body)?),
            kind::SEQUENCED => {
                let Numbered { number, body } = take(k, body)?;
                ToAgent::Command(number, body)
            }
            kind::ACK => ToAgent::Ack(take(k, body)?),
            kind::OUTPUT_ACK => ToAgent::OutputAck(take(k, body)?),
            kind::BLOB => ToAgent::BlobPart(take(k, body)?),
            kind::LIST_WANT => ToAgent::ListWant(take(k, body)?),
            kind::FILE_WANT => ToAgent::FileWant(take(k, body)?),
            kind::PING => ToAgent::Ping(take(k, body)?),
            kind::RENEW => ToAgent::Renew(take(k, body)?),
            kind::BYE => ToAgent::Bye(take(k, body)?),
            other => return Err(FrameError::UnknownKind(other)),
        };
        Ok(Some(message))
    }
}

impl ToController {
    /// Appends the message's frame to `out`.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        match self {
            ToController::Hello(m) => Frames::put(out, kind::HELLO, m.as_ref()),
            ToController::Report(number, body) => {
                Frames::put(out, kind::SEQUENCED, &NumberedRef { number: *number, body })
            }
            ToController::Ack(n) => Frames::put(out, kind::ACK, n),
            ToController::OutputPart(m) => Frames::put(out, kind::OUTPUT, m),
            ToController::OutputGap(m) => Frames::put(out, kind::OUTPUT_GAP, m),
            ToController::BlobWant(m) => Frames::put(out, kind::BLOB_WANT, m),
            ToController::ListPart(m) => Frames::put(out, kind::LIST, m),
            ToController::FilePart(m) => Frames::put(out, kind::FILE, m),
            ToController::Pong(m) => Frames::put(out, kind::PING, m),
            ToController::Bye(why) => Frames::put(out, kind::BYE, why),
        }
    }

    /// The next whole message of `frames`, if there is one.
    pub fn next(frames: &mut Frames) -> Result<Option<ToController>, FrameError> {
        let Some((k, body)) = frames.next()? else { return Ok(None) };
        let message = match k {
            kind::HELLO => ToController::Hello(Box::new(take(k, body)?)),
            kind::SEQUENCED => {
                let Numbered { number, body } = take(k, body)?;
                ToController::Report(number, body)
            }
            kind::ACK => ToController::Ack(take(k, body)?),
            kind::OUTPUT => ToController::OutputPart(take(k, body)?),
            kind::OUTPUT_GAP => ToController::OutputGap(take(k, body)?),
            kind::BLOB_WANT => ToController::BlobWant(take(k, body)?),
            kind::LIST => ToController::ListPart(take(k, body)?),
            kind::FILE => ToController::FilePart(take(k, body)?),
            kind::PING => ToController::Pong(take(k, body)?),
            kind::BYE => ToController::Bye(take(k, body)?),
            other => return Err(FrameError::UnknownKind(other)),
        };
        Ok(Some(message))
    }
}

fn take<'b, T: Decode<'b, ()>>(kind: u16, body: &'b [u8]) -> Result<T, FrameError> {
    minicbor::decode(body).map_err(|e| FrameError::Malformed { kind, why: e.to_string() })
}
