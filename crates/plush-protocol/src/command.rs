//! What the controller asks of an agent. Every command is idempotent: its key says whether it was done before.
//! Not how it is carried: see [`crate::message`].

use crate::barrier::BarrierAnswer;
use crate::question::Question;
use crate::task::{Program, TaskKey, TaskSpec};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// One request to an agent; delivered in order, once per session.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub enum Command {
    /// Make a cluster's directory, whole or not at all, from its software.
    #[n(0)]
    Prepare(#[n(0)] PrepareSpec),
    /// Start one task; a key that has a durable start record is never started again.
    #[n(1)]
    Start {
        /// The key that this start will bear.
        #[n(0)]
        key: TaskKey,
        /// What to start.
        #[n(1)]
        spec: Box<TaskSpec>,
    },
    /// End one task by its stop rule; the answer is its `TaskEnded`.
    #[n(2)]
    Stop {
        /// Which.
        #[n(0)]
        key: TaskKey,
        /// Why, in a word, for the exit record.
        #[n(1)]
        why: String,
    },
    /// Send a signal to a task's process group; nothing is awaited.
    #[n(3)]
    Signal {
        /// Which.
        #[n(0)]
        key: TaskKey,
        /// Signal number.
        #[n(1)]
        signal: i32,
    },
    /// End running tasks, run the clean-up commands, remove every file; the agent ends after
    /// `Cleaned` is acknowledged.
    #[n(4)]
    CleanUp {
        /// Commands to run, each in the directory of the cluster named with it.
        #[n(4)]
        #[cbor(default)]
        #[serde(default)]
        commands: Vec<(String, Program)>,
        /// Keep the working directories.
        #[n(1)]
        keep_work: bool,
        /// Keep the content-addressed cache and the agent for the next run.
        #[n(2)]
        keep_cache: bool,
        /// Limit for each of them.
        #[n(3)]
        line_limit_ms: u64,
    },
    /// Stop a preparation that is under way.
    #[n(5)]
    CancelPrepare {
        /// Of this cluster.
        #[n(0)]
        cluster: String,
    },
    /// The answer to a program's request; nothing, where nobody waits for it any more.
    #[n(6)]
    Barrier(#[n(0)] BarrierAnswer),
    /// End one incarnation as a failure: who asked it from afar calls it unhealthy. Nothing, if it has ended.
    #[n(14)]
    Fail {
        /// Which.
        #[n(0)]
        key: TaskKey,
    },
    /// Write a file of a cluster's directory anew, whole or not at all.
    #[n(15)]
    Rewrite {
        /// Of this cluster.
        #[n(0)]
        cluster: String,
        /// Path below its directory.
        #[n(1)]
        path: String,
        /// Mode bits.
        #[n(2)]
        mode: u32,
        /// Its content.
        #[n(3)]
        text: String,
    },
    /// Ask a program of the description; the answer is an `Answered`, or nothing if the agent dies meanwhile.
    #[n(12)]
    Ask(#[n(0)] Question),
}

/// All the software of one cluster on one host.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct PrepareSpec {
    /// The cluster: also the name of the directory that is made.
    #[n(0)]
    pub cluster: String,
    /// In the order of the description.
    #[n(1)]
    pub software: Vec<SoftwareSpec>,
    /// Small files rendered for this host: path below the directory, mode bits, content.
    #[n(2)]
    pub files: Vec<(String, u32, String)>,
}

/// One piece of software: packages and how they are installed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct SoftwareSpec {
    /// Its name in the description.
    #[n(0)]
    pub name: String,
    /// What is done with each package.
    #[n(1)]
    pub installer: Installer,
    /// In order.
    #[n(2)]
    pub packages: Vec<PackageSpec>,
    /// Limit for everything that this software costs on a host.
    #[n(3)]
    pub time_limit_ms: u64,
}

/// What is done with a package once its bytes are there.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Installer {
    /// Put the file (or the directory) in place.
    #[n(0)]
    None,
    /// Unpack a tar archive (plain, gzip, xz, zstd: found by content).
    #[n(1)]
    Tar,
    /// Unpack a zip archive.
    #[n(2)]
    Zip,
    /// Run the package with `/bin/sh` in the directory being made.
    #[n(3)]
    Script(
        /// Arguments of the script.
        #[n(0)]
        Vec<String>,
    ),
}

/// One package.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct PackageSpec {
    /// Its name in the description.
    #[n(0)]
    pub name: String,
    /// Where the bytes come from.
    #[n(1)]
    pub fetch: Fetch,
    /// Path below the cluster's directory; empty for the directory itself.
    #[n(2)]
    pub dest_path: String,
    /// Leading path components of archive members that are dropped.
    #[n(3)]
    pub strip: u32,
    /// Set the executable bit of a plain file.
    #[n(4)]
    pub executable: bool,
}

/// Where a package's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fetch {
    /// HTTP or HTTPS, by the agent itself; the URLs are mirrors, tried in order.
    #[n(0)]
    Web {
        /// Mirrors.
        #[n(0)]
        urls: Vec<String>,
        /// Expected SHA-256, lower-case hexadecimal.
        #[n(1)]
        sha256: Option<String>,
        /// Refuse more than this.
        #[n(2)]
        limit_bytes: u64,
    },
    /// From the controller over the same connection, by digest. A directory travels as a plain tar.
    #[n(1)]
    Push {
        /// BLAKE3 of the bytes, lower-case hexadecimal.
        #[n(0)]
        blake3: String,
        /// Their number.
        #[n(1)]
        bytes: u64,
        /// The bytes are a tar of a directory, to be unpacked whatever the installer.
        #[n(2)]
        directory: bool,
        /// The file's own name, for a plain file.
        #[n(3)]
        file_name: String,
    },
    /// The host's `rsync` program.
    #[n(2)]
    Rsync {
        /// `host:path` or `rsync://…`.
        #[n(0)]
        source: String,
    },
    /// The host's `scp` program.
    #[n(3)]
    Scp {
        /// `user@host:path`.
        #[n(0)]
        source: String,
    },
    /// The host's `git` program.
    #[n(4)]
    Git {
        /// Repository.
        #[n(0)]
        url: String,
        /// Branch, tag or commit.
        #[n(1)]
        reference: Option<String>,
    },
}
