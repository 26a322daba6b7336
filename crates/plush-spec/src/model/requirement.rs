//! A requirement: what a cluster asks of its hosts (the rspec of the paper).
//! It is not a measurement; facts are compared with it when hosts are assigned.

use crate::model::{Name, Place, Wanted};
use serde::{Deserialize, Serialize};

/// Conditions on hosts, on pairs of hosts, and on groups of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Requirement {
    /// Conditions that each host must meet.
    pub conditions: Vec<Condition>,
    /// Conditions on each pair of the cluster's hosts, such as `latency`.
    pub between: Vec<Condition>,
    /// Conditions written as expressions, all of which must be true.
    pub expressions: Vec<Expression>,
    /// Groups within the cluster with conditions of their own.
    pub groups: Vec<Group>,
    /// Conditions on pairs of hosts of named groups.
    pub constraints: Vec<Constraint>,
}

impl Requirement {
    /// True when any host will do.
    pub fn is_empty(&self) -> bool {
        *self == Requirement::default()
    }
}

/// A condition on one fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The fact, such as `cpus`, `memory`, `free_disk`, `load`, `kernel`, `architecture`, `latency`.
    pub fact: String,
    /// What is asked of it.
    pub test: Test,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// What is asked of a fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Test {
    /// A number in a range. Bytes and milliseconds for facts that have units.
    Range(Range),
    /// A text; the penalty is charged when it differs, `None` excludes the host.
    Text {
        /// The text wanted; `*` stands for anything.
        value: String,
        /// The charge when it differs.
        penalty: Option<f64>,
    },
}

/// A range with a soft middle: outside the absolute bounds a host is excluded, inside the ideal
/// bounds it is free, between them the penalty is charged per unit. `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Range {
    /// The least allowed.
    pub abs_min: Option<f64>,
    /// The least that costs nothing.
    pub ideal_min: Option<f64>,
    /// The most that costs nothing.
    pub ideal_max: Option<f64>,
    /// The most allowed.
    pub abs_max: Option<f64>,
    /// The charge per unit between ideal and absolute.
    pub penalty: f64,
}

/// A condition written as an expression over facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expression {
    /// The text.
    pub text: String,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// A group of hosts within a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: Name,
    /// How many hosts.
    pub count: Wanted,
    /// Conditions that each host of the group must meet.
    pub conditions: Vec<Condition>,
    /// Conditions on each pair of the group's hosts.
    pub between: Vec<Condition>,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// Conditions on pairs of hosts of different groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Constraint {
    /// The groups.
    pub groups: Vec<Name>,
    /// The conditions, such as `latency`.
    pub conditions: Vec<Condition>,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}
