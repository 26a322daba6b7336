//! What barrier policies are worth, measured on arrivals and on a server's uplink: the study behind the defaults.
//! Not runs with faults: this plays the barrier alone, the very machine that runs use.

mod draw;
mod knee;
mod releases;
mod traces;
mod uplink;

pub use knee::knee_table;
pub use releases::release_table;
pub use traces::{Trace, trace_table};
