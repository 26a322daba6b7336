//! A step: one node of the graph that a cluster executes on each host.
//! It is not a schedule: when a step starts follows from its predecessors, decided by the run.

use crate::model::{Command, Foreign, Name, On, Output, Place, Process, Reference};
use serde::{Deserialize, Serialize};

/// One node of the graph. Both vocabularies become this: sequences are chains of `after`,
/// `parallel` has equal `after`, blocks name their predecessors. On each host, a step starts
/// when all of `after` are done on that host. The graph has no cycle after parsing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique within the list that holds it.
    pub id: Name,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
    /// Ids of steps of the same list that must be done first.
    pub after: Vec<Reference>,
    /// What is done.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Runs a process.
    Process(Box<Process>),
    /// Enters the project's barrier of this name and waits to be released.
    Barrier(Reference),
    /// Works through a list of items.
    Workflow(Box<Workflow>),
    /// Runs steps again and again.
    Repeat(Repeat),
}

/// Steps that are run until a command succeeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// Asked after each round, on the cluster's first host; success ends the repetition. `None`: all rounds are run.
    pub until: Option<Command>,
    /// At most so many rounds.
    pub max: u32,
    /// What a round is: a graph of its own.
    pub steps: Vec<Step>,
    /// What belongs to others and is carried along.
    pub foreign: Vec<Foreign>,
}

/// A list of items, each worked on by one process on one of the cluster's hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Its name.
    pub name: Name,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
    /// The items; `${item}` in the process is one of them.
    pub items: Items,
    /// What is run per item.
    pub process: Process,
    /// How many items a host works on at a time.
    pub per_host: u32,
    /// On how many of the cluster's hosts.
    pub on: On,
    /// How often a failed item is tried again.
    pub retries: u32,
    /// What to do about slow items; `None` is to wait.
    pub slow: Option<Slow>,
    /// What to bring home per item.
    pub outputs: Vec<Output>,
    /// What belongs to others and is carried along.
    pub foreign: Vec<Foreign>,
}

/// Items of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Items {
    /// These.
    List(Vec<String>),
    /// The lines of a file of the controller.
    File(String),
    /// Numbers, both ends included.
    Range {
        /// The first.
        first: i64,
        /// The last.
        last: i64,
        /// The distance, at least 1.
        step: u32,
    },
}

/// What to do about slow items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slow {
    /// When the rest counts as slow.
    pub knee: crate::model::Knee,
    /// Whether they are issued to idle hosts as well; the first result wins.
    pub reissue: bool,
    /// How many copies of one item may run.
    pub copies_max: u32,
}
