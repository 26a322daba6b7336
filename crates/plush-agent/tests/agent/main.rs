//! The real agent and its keepers, through a bridge, against a small controller.

#![allow(clippy::unwrap_used, missing_docs)]

mod client;
mod ending;
mod leaving;
mod output;
mod preparing;
mod starting;
mod surviving;
