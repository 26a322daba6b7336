//! What the programs of a lab say to each other: clients to the supervisor, the supervisor to hosts' inits and to the emulator.
//!
//! Not how it travels: each side reads and writes its own socket.

use crate::shape::{LinkChange, LinkShape};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// What a client asks of the supervisor. Ports are numbers of hosts; 0 is the controller.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    Status,
    Down,
    PowerOff { hosts: Vec<u16> },
    Boot { hosts: Vec<u16> },
    Reboot { hosts: Vec<u16>, disk: DiskFate, root: RootKind },
    Plug { hosts: Vec<u16>, cable: Cable },
    Partition { from: Vec<u16>, to: Vec<u16>, direction: Direction },
    Heal,
    Link { hosts: Vec<u16>, change: LinkChange, direction: Direction },
    Freeze { hosts: Vec<u16> },
    Thaw { hosts: Vec<u16> },
    Service { hosts: Vec<u16>, service: Service },
}

/// The supervisor's answer, and its first word once the lab is up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    Done,
    Report(LabReport),
    Failed(String),
}

/// What becomes of a host's disk when it boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskFate {
    /// All files but those of /tmp and /run are kept.
    Kept,
    /// The host starts as it first did, with the same host key.
    Wiped,
}

/// Which directions of a link or of a partition are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// From the host, or from the first set to the second.
    Forth,
    /// To the host.
    Back,
    /// Both.
    Both,
}

/// Whether a host's cable is in its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cable {
    Plugged,
    Unplugged,
}

/// What a host's root file system is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootKind {
    /// The machine's own, with a private layer on top.
    Machine,
    /// Busybox and sshd, nothing else.
    Busybox,
}

/// What answers on port 22 of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Service {
    Sshd,
    /// Accepts and says nothing.
    Silent,
    /// Sends an SSH banner and then nothing.
    BannerOnly,
    /// Sends a line that is no banner every second, for ever.
    JunkBanner,
    /// Answers in another protocol.
    Http,
}

/// Whether a host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// It runs.
    On,
    /// It is switched off, or its init ended.
    Off,
    /// Its processes stand still.
    Frozen,
}

/// A lab as its supervisor sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabReport {
    /// The lab's name.
    pub name: String,
    /// The directory with its files, mode 0700.
    pub directory: PathBuf,
    /// Process of the supervisor, whose network and mount namespaces are the controller's.
    pub supervisor_pid: i32,
    /// The controller's address.
    pub controller: Ipv4Addr,
    /// Its hosts in order.
    pub hosts: Vec<HostReport>,
}

/// A host as its supervisor sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostReport {
    /// `h001`...
    pub name: String,
    /// Where it is on the lab's network.
    pub address: Ipv4Addr,
    /// Whether it runs.
    pub power: Power,
    /// Process of its init as this machine numbers it, while it runs.
    pub init_pid: Option<i32>,
    /// Whether its cable is in.
    pub plugged: bool,
    /// The link from the host.
    pub up: LinkShape,
    /// The link to the host.
    pub down: LinkShape,
}

/// What the supervisor sends to a host's init, a line of JSON each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum InitOrder {
    Serve(Service),
}

/// What a host's init answers, a line of JSON each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum InitReport {
    Serving,
    Failed(String),
}

/// What the supervisor sends to the emulator, one message each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Order {
    /// Comes with the descriptor of the port's device.
    Attach {
        port: u16,
    },
    Detach {
        port: u16,
    },
    Link {
        port: u16,
        up: LinkShape,
        down: LinkShape,
        cable: Cable,
    },
    Block {
        from: Vec<u16>,
        to: Vec<u16>,
    },
    Heal,
}
