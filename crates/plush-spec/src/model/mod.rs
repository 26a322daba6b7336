//! The model: what a description says, whatever syntax it was written in.
//! It is plain data: no parser, no clock, no I/O.

mod barrier;
mod callback;
mod cluster;
mod failure;
mod foreign;
mod local_program;
mod name;
mod place;
mod probe;
mod process;
mod project;
mod requirement;
mod resource;
mod service;
mod signal;
mod software;
mod step;

pub use barrier::{AdaptiveRule, Barrier, BarrierPolicy, Entry, Knee, Late, Percent, Release};
pub use callback::{Callback, Hook, HookPlace};
pub use cluster::{Cluster, NumHosts, Wanted};
pub use failure::{FailurePolicy, Reaction};
pub use foreign::{Foreign, ForeignValue};
pub use local_program::LocalProgram;
pub use name::{NAME_BYTES_MAX, Name, NameFault, Reference};
pub use place::Place;
pub use probe::{Check, Probe};
pub use process::{
    Command, EnvVar, Limits, On, Output, OutputPolicy, Process, Restart, RestartWhen, Secret,
    SecretDelivery, SecretSource, Stdin, Stop,
};
pub use project::{Application, Project, Variable};
pub use requirement::{Condition, Constraint, Expression, Group, Range, Requirement, Test};
pub use resource::{Hosts, Resource};
pub use service::{OnReturn, Service, ServiceClass};
pub use signal::Signal;
pub use software::{Installer, OnChange, Package, PackageKind, Software, Template};
pub use step::{Action, Items, Repeat, Slow, Step, Workflow};
