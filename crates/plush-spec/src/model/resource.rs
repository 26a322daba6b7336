//! A resource: where hosts come from.
//! It is not the hosts themselves; providers turn it into hosts.

use crate::model::{Foreign, Place};
use serde::{Deserialize, Serialize};

/// One source of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resource {
    /// The provider: `ssh`, `local`, `lab`, `inventory`, `plab`, `slurm` or a plug-in's name.
    pub kind: String,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
    /// A group that the provider knows, such as a slice or a group of an inventory.
    pub group: Option<String>,
    /// The hosts, as a host set.
    pub hosts: Option<Hosts>,
    /// Hosts to take first.
    pub prefer: Option<Hosts>,
    /// Hosts never to take.
    pub exclude: Option<Hosts>,
    /// A file that the provider reads (directory file, inventory).
    pub file: Option<String>,
    /// The account on the hosts.
    pub user: Option<String>,
    /// The port of the hosts.
    pub port: Option<u16>,
    /// The partition of a batch system.
    pub partition: Option<String>,
    /// How long the hosts are asked for, in milliseconds.
    pub lease_ms: Option<u64>,
    /// Settings that only the provider understands.
    pub options: Vec<(String, String)>,
    /// What belongs to others and is carried along.
    pub foreign: Vec<Foreign>,
}

/// A host set as it was written; checked at parsing, expanded where it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosts {
    /// The text, such as `node[01-50].example.org`.
    pub text: String,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}
