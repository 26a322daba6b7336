//! Bytes in quantity: output of tasks, packages pushed, results fetched. Addressed by offset, so nothing is numbered or resent from memory.
//! Not commands or reports: those are few, ordered and durable.

use crate::tainted::Tainted;
use crate::task::{StreamName, TaskKey};
use minicbor::{Decode, Encode};

/// The most payload that one bulk message carries.
pub const PART_BYTES: usize = 128 << 10;

/// How far an agent may send output beyond what the controller says it has received, per stream.
pub const OUTPUT_WINDOW_BYTES: u64 = 1 << 20;

/// Output, agent to controller.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OutputPart {
    /// Of this task.
    #[n(0)]
    pub key: TaskKey,
    /// Of this stream.
    #[n(1)]
    pub stream: StreamName,
    /// Offset of the first byte in the stream as the task wrote it.
    #[n(2)]
    pub offset: u64,
    /// At most [`PART_BYTES`].
    #[cbor(n(3), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

/// Output that will never come, agent to controller.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OutputGap {
    /// Of this task.
    #[n(0)]
    pub key: TaskKey,
    /// Of this stream.
    #[n(1)]
    pub stream: StreamName,
    /// First missing byte.
    #[n(2)]
    pub from: u64,
    /// First byte after the gap.
    #[n(3)]
    pub to: u64,
}

/// What the controller has of a stream, controller to agent. Also opens the stream after a (re)connection:
/// the agent sends nothing of a task before the first of these for it arrives on that connection.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OutputAck {
    /// Of this task.
    #[n(0)]
    pub key: TaskKey,
    /// Of this stream.
    #[n(1)]
    pub stream: StreamName,
    /// Everything before this offset has arrived; the agent may send up to the window beyond it.
    #[n(2)]
    pub received: u64,
    /// Everything before this offset is durable at the controller; the agent may forget it.
    #[n(3)]
    pub durable: u64,
}

/// Asks for a piece of a pushed package, agent to controller.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BlobWant {
    /// BLAKE3 in hexadecimal.
    #[n(0)]
    pub blake3: String,
    /// First byte.
    #[n(1)]
    pub offset: u64,
    /// At most [`PART_BYTES`].
    #[n(2)]
    pub length: u32,
}

/// Answers a [`BlobWant`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BlobPart {
    /// As asked.
    #[n(0)]
    pub blake3: String,
    /// As asked.
    #[n(1)]
    pub offset: u64,
    /// The bytes; empty when the controller cannot serve them.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

/// Asks which files match, controller to agent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ListWant {
    /// Names this question in the answers.
    #[n(0)]
    pub id: u32,
    /// Below this cluster's directory.
    #[n(1)]
    pub cluster: String,
    /// Globs; `**` crosses directories.
    #[n(2)]
    pub globs: Vec<String>,
}

/// A piece of the answer to a [`ListWant`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ListPart {
    /// The question's.
    #[n(0)]
    pub id: u32,
    /// Regular files that match; names are the host's and tainted.
    #[n(1)]
    pub files: Vec<ListedFile>,
    /// What matched and is no regular file, or could not be read.
    #[n(2)]
    pub skipped: Vec<SkippedFile>,
    /// No more parts follow.
    #[n(3)]
    pub last: bool,
    /// Globs that matched nothing, by their index in the request; all of them in one part.
    #[n(4)]
    #[cbor(default)]
    pub unmatched: Vec<u32>,
}

/// One file of a [`ListPart`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ListedFile {
    /// Bytes of the path below the cluster's directory, `/` between components.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub path: Vec<u8>,
    /// Size when listed.
    #[n(1)]
    pub bytes: u64,
    /// Permission bits.
    #[n(2)]
    pub mode: u32,
    /// Seconds since 1970.
    #[n(3)]
    pub modified_s: i64,
}

/// One file that was left out of a [`ListPart`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SkippedFile {
    /// As in [`ListedFile`].
    #[cbor(n(0), with = "minicbor::bytes")]
    pub path: Vec<u8>,
    /// Why.
    #[n(1)]
    pub why: Tainted,
}

/// Asks for a piece of a listed file, controller to agent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FileWant {
    /// Below this cluster's directory.
    #[n(0)]
    pub cluster: String,
    /// As listed.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub path: Vec<u8>,
    /// First byte.
    #[n(2)]
    pub offset: u64,
    /// At most [`PART_BYTES`].
    #[n(3)]
    pub length: u32,
}

/// Answers a [`FileWant`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FilePart {
    /// As asked.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub path: Vec<u8>,
    /// As asked.
    #[n(1)]
    pub offset: u64,
    /// Fewer than asked at the end of the file.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
    /// The file could not be read: why.
    #[n(3)]
    pub failed: Option<Tainted>,
}
