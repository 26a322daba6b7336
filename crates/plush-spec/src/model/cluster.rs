//! A cluster: hosts that are chosen alike, get the same software and do the same.
//! It is not an assignment: which hosts they are is decided by the plan.

use crate::model::{
    BarrierPolicy, Command, EnvVar, FailurePolicy, Foreign, Name, Output, Place, Reference,
    Requirement, Resource, Service, Step,
};
use serde::{Deserialize, Serialize};

/// A group of hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub name: Name,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
    /// The configuration of the early vocabulary that it was written in.
    pub configuration: Option<Name>,
    /// How many hosts.
    pub num_hosts: NumHosts,
    /// What is asked of each host and among them.
    pub requirement: Requirement,
    /// The software that its hosts get, in this order.
    pub software: Vec<Reference>,
    /// Where its hosts come from; empty means the project's.
    pub resources: Vec<Resource>,
    /// Environment of all its processes.
    pub env: Vec<EnvVar>,
    /// The barrier around software preparation.
    pub prepare: BarrierPolicy,
    /// The barrier before the processes start.
    pub ready: BarrierPolicy,
    /// Clusters whose execution must be done first.
    pub after: Vec<Reference>,
    /// What its hosts do: a graph of steps.
    pub execution: Vec<Step>,
    /// What to do on failure.
    pub on_failure: FailurePolicy,
    /// How it is kept running; `None` means as the application says, else batch.
    pub service: Option<Service>,
    /// What to bring home from each host.
    pub outputs: Vec<Output>,
    /// What to run on each host at the end, before its files are removed.
    pub cleanup: Vec<Command>,
    /// What belongs to others and is carried along.
    pub foreign: Vec<Foreign>,
}

/// How many hosts a cluster wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumHosts {
    /// What is aimed at.
    pub wanted: Wanted,
    /// Fewer than these are not enough; `None` means all that are wanted.
    pub min: Option<u32>,
    /// Never more than these, spares aside.
    pub max: Option<u32>,
    /// Hosts kept ready beside those, to replace lost ones.
    pub spare: u32,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// A number of hosts, or all that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// All that the resources offer and the requirement lets pass.
    All,
    /// So many.
    Count(u32),
}
