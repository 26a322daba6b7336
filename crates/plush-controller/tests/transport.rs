//! Tests of the transports against a real sshd on loopback and against servers that are hostile.
#![allow(clippy::unwrap_used)]

#[path = "transport/clients.rs"]
mod clients;
#[path = "transport/configuration.rs"]
mod configuration;
#[path = "transport/hostile.rs"]
mod hostile;
#[path = "transport/hosts.rs"]
mod hosts;
#[path = "transport/paced.rs"]
mod paced;
#[path = "transport/sshd.rs"]
mod sshd;
