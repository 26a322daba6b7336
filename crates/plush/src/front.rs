//! The controller as the commands see it: plan, create, control, list, doctor.
//! Not its shapes: everything comes from `plush_controller::front`, and only this file knows.

use crate::exit::ExitCode;
use crate::invocation::Invocation;
use crate::language::Description;
use crate::trouble::Trouble;
use plush_protocol::view::Outcome;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What stays on the hosts after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    Cache,
    All,
}
#[derive(Debug)]
pub struct RunOptions {
    pub runs_directory: PathBuf,
    pub variables: Vec<(String, String)>,
    pub hosts: Vec<String>,
    pub exclude: Vec<String>,
    pub strict: bool,
    pub keep: Keep,
    pub ssh_config: Option<PathBuf>,
    pub stop_after_ms: Option<Option<u64>>,
    pub name: Option<String>,
}
#[derive(Debug, Serialize)]
pub struct RunSummary {
    pub id: String,
    pub project: String,
    pub started_ms: u64,
    pub state: String,
    pub outcome: Option<Outcome>,
}
#[derive(Debug, Serialize)]
pub struct Planned {}

pub fn plan(_: &Description, _: &RunOptions, _: &Invocation) -> Result<Planned, Trouble> {
    Err(Trouble::new(ExitCode::Internal, "none"))
}
pub fn create(_: &Planned, _: &RunOptions) -> Result<PathBuf, Trouble> {
    Err(Trouble::new(ExitCode::Internal, "none"))
}
pub fn remote_hosts(_: &Planned) -> Vec<String> {
    Vec::new()
}
pub fn runs(_: &Path) -> Vec<RunSummary> {
    Vec::new()
}
pub fn state_word(run: &RunSummary) -> &str {
    &run.state
}
pub fn control(_: &Path) -> Result<ExitCode, Trouble> {
    Err(Trouble::new(ExitCode::Internal, "none"))
}
