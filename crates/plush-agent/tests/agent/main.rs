//! The real agent and its keepers, through a bridge, against a small controller.

#![allow(clippy::unwrap_used, missing_docs)]

mod barriers;
mod client;
mod descriptors;
mod disk;
mod ending;
mod fetching;
mod groups;
mod hostile;
mod leaving;
mod logins;
mod output;
mod preparing;
mod restarting;
#[path = "../files/server.rs"]
#[allow(dead_code)]
mod server;
mod starting;
mod surviving;
