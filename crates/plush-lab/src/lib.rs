//! Emulated hosts on one Linux machine: namespaces, real `sshd`, a user-space wide-area network.
//!
//! A crate of its own because it is another binary, and because nothing that manages real hosts may depend on it.
//!
//! Not a security boundary: root on a lab host is root on this machine, with fewer doors in view.
//!
//! [`Lab::up`] brings hosts up and takes them down when it is dropped; the program `plush-lab` does the same for people.
//! Nothing is joined to the machine's own network, and nothing stays behind: the kernel cleans up with the last process,
//! however it ended.
#![cfg(target_os = "linux")]

mod address;
mod busybox;
mod disk;
mod emulator;
mod entry;
mod freezer;
mod host;
mod init;
mod key;
mod lab;
mod link;
mod listener;
mod misbehave;
mod mounts;
mod namespace;
mod oracle;
mod protocol;
mod selector;
mod shape;
mod state;
mod supervisor;
mod tun;

pub use lab::{Host, Lab, LabOptions};
pub use misbehave::Kind;
pub use oracle::{FileEntry, ProcessEntry};
pub use protocol::{Direction, DiskFate, HostReport, LabReport, Power};
pub use shape::{
    Dice, Identity, LinkChange, LinkShape, Profile, parse_bytes, parse_duration, parse_rate,
    parse_share,
};
pub use state::{list_labs, remove_stale_labs};
