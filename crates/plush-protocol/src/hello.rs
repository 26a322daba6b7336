//! The first message of each side, and what an agent says of its host.
//! Not the bootstrap that comes before: that is the transport's.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Raised with every change that an older peer would misread. This and the previous one are understood.
pub const PROTOCOL_VERSION: u32 = 1;

/// What a controller says first.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ControllerHello {
    /// [`PROTOCOL_VERSION`] of the controller.
    #[n(0)]
    pub version: u32,
    /// The run that this connection serves.
    #[n(1)]
    pub run: String,
    /// Controllers of one run have rising epochs; an agent refuses anything older than the newest it has seen.
    #[n(2)]
    pub epoch: u64,
    /// The session that the controller knows, and the last report of it that it holds durably; 0 and 0 if none.
    #[n(3)]
    pub session: u64,
    /// See `session`.
    #[n(4)]
    pub received: u64,
    /// Life of tasks without a word from a controller; `None` is for ever. A hello by itself renews nothing.
    #[n(5)]
    pub stop_after_ms: Option<u64>,
    /// Name of this host in the run: given to tasks as PLUSH_HOST.
    #[n(6)]
    pub host: String,
    /// Who the controller is, for people: a machine and a process.
    #[n(7)]
    #[cbor(default)]
    pub controller: String,
}

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct AgentHello {
    /// [`PROTOCOL_VERSION`] of the agent.
    #[n(0)]
    pub version: u32,
    /// A random number drawn when the agent process started: sequence numbers live as long as it.
    #[n(1)]
    pub session: u64,
    /// The last command of this session that the agent has taken.
    #[n(2)]
    pub received: u64,
    /// The newest epoch that the agent has seen; larger than the controller's own: the controller is stale.
    #[n(3)]
    pub epoch: u64,
    /// About the host.
    #[n(4)]
    pub facts: Facts,
    /// The controller is refused, now and later.
    #[n(5)]
    #[serde(default)]
    pub refusal: Option<Refusal>,
    /// The host's boot time when this was said, in microseconds: what [`Pong`](crate::Pong) says later.
    #[n(6)]
    #[cbor(default)]
    #[serde(default)]
    pub clock_us: Option<u64>,
}

/// Why an agent never serves a controller of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// One with a newer epoch has taken over.
    #[n(0)]
    Superseded,
    /// Its journal lacks what another controller of the run has said is durable: it would decide things again.
    #[n(1)]
    OlderJournal,
}

/// Measured facts of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Facts {
    /// `uname -n`.
    #[n(0)]
    pub node_name: String,
    /// `uname -s`.
    #[n(1)]
    pub system: String,
    /// `uname -r`.
    #[n(2)]
    pub kernel: String,
    /// `uname -m`.
    #[n(3)]
    pub architecture: String,
    /// Processors that the agent may use.
    #[n(4)]
    pub cpus: u32,
    /// Physical memory.
    #[n(5)]
    pub memory_bytes: u64,
    /// Free space where the run's directory is.
    #[n(6)]
    pub free_disk_bytes: u64,
    /// One-minute load in hundredths.
    #[n(7)]
    pub load_percent: u32,
    /// `/proc/sys/kernel/random/boot_id`, or empty.
    #[n(8)]
    pub boot_id: String,
    /// How surely tasks can be ended on this host.
    #[n(9)]
    pub guarantee: Guarantee,
    /// The run's directory on the host.
    #[n(10)]
    pub directory: String,
    /// Process id of the agent.
    #[n(11)]
    pub agent_pid: u32,
    /// Whether the agent outlives the login that started it.
    #[n(12)]
    #[cbor(default)]
    #[serde(default)]
    pub logout: Logout,
}

/// How surely all processes of a task can be found and ended.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// A control group of its own (cgroup v2): holds also when keeper and agent are dead.
    #[n(0)]
    Cgroup,
    /// Keeper and agent are subreapers: holds while one of them lives.
    #[default]
    #[n(1)]
    Subreaper,
    /// Nobody can list processes (no /proc): the task's process group is reached, whoever left it is not.
    #[n(2)]
    Group,
}

impl Guarantee {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Guarantee::Cgroup => "cgroup",
            Guarantee::Subreaper => "subreaper",
            Guarantee::Group => "group",
        }
    }
}

/// What becomes of an agent when whoever started it logs out.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Logout {
    /// Nothing.
    #[default]
    #[n(0)]
    Stays,
    /// It ends with the user's last session: it is below the user's own service manager, which does not linger.
    #[n(1)]
    EndsWithLast,
    /// It ends with its session: the host ends the processes of a session that is over.
    #[n(2)]
    Ends,
}

impl Logout {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Logout::Stays => "stays",
            Logout::EndsWithLast => "ends_with_last",
            Logout::Ends => "ends",
        }
    }

    /// What people should know, and what they can do about it; nothing where all is well.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Logout::Stays => None,
            Logout::EndsWithLast => Some(
                "this host ends what runs there when your last login there is over: \
                 run `loginctl enable-linger` there once",
            ),
            Logout::Ends => Some(
                "this host ends what a login started when that login is over (KillUserProcesses), \
                 and Plush found no way out of it: run `loginctl enable-linger` there once",
            ),
        }
    }
}
