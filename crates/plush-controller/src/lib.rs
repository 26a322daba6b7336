//! Performs the effects of one run: journal, transports, providers, operator socket.
//!
//! A crate of its own so that the rules cannot reach the world and the front ends cannot reach the rules. It decides
//! nothing about a run: that is `plush_core`.

pub mod arrivals;
mod attempt;
mod driver;
mod effects;
mod error;
mod front;
mod growth;
mod history;
mod holder;
mod host_link;
mod journal;
mod member_directories;
mod oneself;
pub mod open_files;
mod operator;
mod order;
mod output;
mod packages;
mod provider;
mod run_clock;
mod run_dir;
mod space;
pub mod transport;
mod wire;

pub use driver::ENDS;
pub use error::ControllerError;
pub use front::{
    ControlOptions, PlanView, Planned, PlannedHostView, RunOptions, RunSummary, control, create,
    digest_of, is_served, plan, runs, wait_for_end,
};
pub use history::HistoryReader;
pub use holder::{Holder, Takeover, rival};
pub use journal::{Journal, Record};
pub use plush_core::plan::{Keep, PlanProblem};
pub use run_dir::{RunDir, file_name};
