//! Every decision at both ends of a run: pure values, no I/O, no clock, no randomness, no waiting.
//!
//! A crate of its own so that the compiler forbids it those dependencies. Both machines in it, the controller's
//! [`run::Run`] and the agent's, have the same four doors: `absorb`, `decide`, `wake_at`, `view`.

pub mod agent;
pub mod barrier;
pub mod compaction;
pub mod elapsed;
pub mod health;
pub mod liveness;
pub mod offset;
pub mod pacing;
pub mod plan;
pub mod renewal;
pub mod run;
pub mod session;
pub mod standing;

/// A point in time in milliseconds: the controller's since its run began, the agent's since it started. Never goes back.
pub type Millis = u64;
