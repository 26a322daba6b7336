//! The controller as the commands see it: plan, create, control, list, examine.
//! Not its own words for trouble: they become what people are told.

use crate::agents;
use crate::commands::choice::Choice;
use crate::exit::ExitCode;
use crate::invocation::{Invocation, tell};
use crate::language::{self, Description};
use crate::render::text;
use crate::runs::Run;
use crate::trouble::Trouble;
use plush_controller::transport::{Deadlines, HostAddress, SshOptions};
use plush_controller::{ControlOptions, ControllerError, HistoryReader, PlanProblem, RunDir};
use plush_protocol::history::RunHistory;
use plush_protocol::view::RunView;
use plush_sim::rehearsal::{Rehearsal, Request};
use std::path::Path;

pub use plush_controller::transport::{
    AgentFile, AgentShelf, Client, ConnectFailure, DoctorReport, Ssh, Stage,
};
pub use plush_controller::{ENDS, Takeover};
pub use plush_controller::{Keep, PlanView, Planned, RunOptions, RunSummary, digest_of};

/// Whether the controller waits for a first front end before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// For a few seconds, so that the front end misses nothing.
    WhenWatched,
    /// It begins at once.
    AtOnce,
}

/// Plans a run of a description; everything that stands in the way is told at once.
pub fn plan(
    description: &Description,
    choice: &Choice,
    options: &RunOptions,
    invocation: &Invocation,
) -> Result<Planned, Trouble> {
    let variables = &choice.variables;
    let parsed = language::parse_with(&description.text, &description.name, None, variables);
    language::tell_problems(&parsed.problems, description, invocation.paint_err());
    let mut project = parsed.project.ok_or(Trouble::Said(ExitCode::Description))?;
    language::choose(&mut project, choice.application.as_deref())?;
    plush_controller::plan(&project, &description.path, &description.text, options)
        .map_err(|problems| unplannable(&problems, description, invocation))
}

/// Plans a rehearsal of a description; everything that stands in the way is told at once.
pub fn rehearsal(
    description: &Description,
    (variables, application): (&[(String, String)], Option<&str>),
    request: Request,
    invocation: &Invocation,
) -> Result<Rehearsal, Trouble> {
    let parsed = language::parse_with(&description.text, &description.name, None, variables);
    language::tell_problems(&parsed.problems, description, invocation.paint_err());
    let mut project = parsed.project.ok_or(Trouble::Said(ExitCode::Description))?;
    language::choose(&mut project, application)?;
    let mut named = request.durations.named.iter().map(|(name, _)| name);
    let processes = plush_sim::rehearsal::processes(&project);
    if let Some(stranger) = named.find(|name| !processes.contains(name)) {
        let what = format!("the description has no process `{}`", text::shown(stranger));
        let known: Vec<String> = processes.iter().map(|name| text::shown(name)).collect();
        return Err(Trouble::usage(what).next(format!("it has {}", known.join(", "))));
    }
    Rehearsal::new(&project, request)
        .map_err(|problems| unplannable(&problems, description, invocation))
}

fn unplannable(
    problems: &[PlanProblem],
    description: &Description,
    invocation: &Invocation,
) -> Trouble {
    let (placed, others): (Vec<_>, Vec<_>) =
        problems.iter().partition(|problem| problem.place.is_known());
    let placed: Vec<_> = placed.into_iter().map(|p| as_problem(p, description)).collect();
    language::tell_problems(&placed, description, invocation.paint_err());
    others.into_iter().for_each(tell_unplaced);
    let few = problems.iter().all(|problem| problem.too_few_hosts);
    Trouble::Said(if few { ExitCode::TooFewHosts } else { ExitCode::Description })
}

/// Makes the run's directory.
pub fn create(planned: &Planned, options: &RunOptions) -> Result<Run, Trouble> {
    let run_dir = plush_controller::create(planned, options).map_err(|error| {
        let what = format!("cannot create run {}", planned.run());
        let trouble = Trouble::new(code_of(&error), what).caused_by(&error);
        match &error {
            ControllerError::NameTaken { run, .. } => trouble.next(format!(
                "give another name with --name; `plush attach {run}` or `plush resume {run}` go on with that one"
            )),
            _ => trouble.next("--runs-dir names another place"),
        }
    })?;
    Ok(Run::at(run_dir.path()))
}

/// Serves a run until it is over. How the run ended is no affair of the controller's own exit code.
pub fn control(
    directory: &Path,
    beginning: Beginning,
    takeover: Takeover,
) -> Result<ExitCode, Trouble> {
    let options = ControlOptions {
        await_operator: beginning == Beginning::WhenWatched,
        takeover,
        agents: agents::shelf()?,
    };
    match plush_controller::control(&RunDir::at(directory), options) {
        Ok(_) => Ok(ExitCode::Done),
        Err(error) => {
            let what = format!("cannot control the run in {}", directory.display());
            let trouble = Trouble::new(code_of(&error), what).caused_by(&error);
            Err(match next_step(&error) {
                Some(next) => trouble.next(next),
                None => trouble,
            })
        }
    }
}

/// Refuses to start a controller beside one that may be alive with another copy of the run's directory.
pub fn refuse_rival(run: &Run) -> Result<(), Trouble> {
    let run_dir = RunDir::at(&run.directory);
    let Some(holder) = plush_controller::rival(&run_dir) else { return Ok(()) };
    let error =
        ControllerError::MayBeServed { path: run.directory.clone(), holder: Box::new(holder) };
    let trouble = Trouble::new(code_of(&error), format!("cannot resume run {}", run.id));
    let trouble = trouble.caused_by(&error);
    Err(match next_step(&error) {
        Some(next) => trouble.next(next),
        None => trouble,
    })
}

/// A controller serves the run from this directory, on this machine.
pub fn is_served(run: &Run) -> bool {
    plush_controller::is_served(&RunDir::at(&run.directory))
}

/// What can be done about a controller that cannot begin or go on.
fn next_step(error: &ControllerError) -> Option<&'static str> {
    match error {
        ControllerError::MayBeServed { .. } => Some(
            "if that one is gone, or is to lose the run: `plush resume RUN --take-over`; hosts then obey this one only",
        ),
        ControllerError::Fenced { .. } => {
            Some("look after the run where it is served now; nothing more was done from here")
        }
        ControllerError::JournalNewer { .. } | ControllerError::StateUnknown { .. } => {
            Some("resume with the plush that served the run last")
        }
        ControllerError::JournalBroken { .. } | ControllerError::JournalDamaged { .. } => Some(
            "put a whole copy of the run directory in its place, or let the run go: \
             what runs on its hosts ends when its lease is out",
        ),
        ControllerError::OtherRules { .. } => {
            Some("resume it with that plush, have it `plush park RUN`, and resume it with this one")
        }
        ControllerError::LocalElsewhere { .. } => Some("resume it on that machine"),
        ControllerError::Journal { .. } | ControllerError::Io { .. } => Some(
            "tasks go on, and their output waits with them: make room or mend the disk, then `plush resume RUN`",
        ),
        ControllerError::Removed { .. } => Some(
            "what runs on its hosts ends when its lease is out; if the directory was only moved: `plush resume DIRECTORY`",
        ),
        ControllerError::JournalGone
        | ControllerError::NameTaken { .. }
        | ControllerError::Format { .. }
        | ControllerError::Busy { .. }
        | ControllerError::PackageChanged { .. } => None,
    }
}

/// Returns when no controller serves the run from this directory any more.
pub fn wait_for_end(run: &Run) -> std::io::Result<()> {
    plush_controller::wait_for_end(&RunDir::at(&run.directory))
}

/// The runs of a directory, oldest first.
pub fn runs(runs_dir: &Path) -> Vec<RunSummary> {
    plush_controller::runs(runs_dir)
}

/// The hosts of a plan that are other machines.
pub fn remote_hosts(plan: &PlanView) -> Vec<String> {
    plan.hosts.iter().filter(|host| host.remote).map(|host| host.name.clone()).collect()
}

/// The user's SSH.
pub fn ssh(invocation: &Invocation) -> Result<Ssh, Trouble> {
    let config_file = invocation.settings.ssh_config_file()?;
    Ok(Ssh::new(SshOptions { config_file, ..SshOptions::from_environment() }))
}

/// A host as an address.
pub fn address(host: &str) -> Result<HostAddress, Trouble> {
    HostAddress::parse(host)
        .map_err(|error| Trouble::usage(format!("`{host}` is no host")).caused_by(&error))
}

/// Tries the way to a host.
pub async fn examine(ssh: &Ssh, address: &HostAddress) -> Result<DoctorReport, ConnectFailure> {
    plush_controller::transport::examine(ssh, address, &Deadlines::default()).await
}

/// The view that the controller wrote last.
pub fn last_view(run: &Run) -> Result<RunView, Trouble> {
    let path = RunDir::at(&run.directory).view();
    let unreadable = |cause: String| {
        Trouble::new(ExitCode::Internal, format!("cannot read the last view of run {}", run.id))
            .because(format!("{}: {cause}", path.display()))
            .next(format!("{} may say how far it came", run.log().display()))
    };
    let text = std::fs::read(&path).map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))
}

/// What a run has done: the reader is asked again while the run goes on.
pub struct History {
    run: Run,
    reader: HistoryReader,
}

impl History {
    /// Opens the journal of a run.
    pub fn open(run: &Run) -> Result<History, Trouble> {
        let reader = HistoryReader::open(&RunDir::at(&run.directory));
        let reader = reader.map_err(|error| no_history(run, &error))?;
        Ok(History { run: run.clone(), reader })
    }

    /// What is known now.
    pub fn read(&mut self) -> Result<RunHistory, Trouble> {
        self.reader.read().map_err(|error| no_history(&self.run, &error))
    }
}

fn no_history(run: &Run, error: &ControllerError) -> Trouble {
    let what = format!("cannot read the history of run {}", run.id);
    Trouble::new(code_of(error), what)
        .caused_by(error)
        .next(format!("`plush status {}` shows the last view", run.id))
}

/// A problem of the command line: there is no place in the description to show.
fn tell_unplaced(problem: &PlanProblem) {
    let next = problem.hint.as_ref().map_or_else(String::new, |hint| format!("\n  next: {hint}"));
    tell(&format!("plush: {}{next}\n", text::shown(&problem.what)));
}

fn as_problem(problem: &PlanProblem, description: &Description) -> plush_spec::Problem {
    language::problem_at(problem.place, &problem.what, problem.hint.as_deref(), description)
}

fn code_of(error: &ControllerError) -> ExitCode {
    match error {
        ControllerError::NameTaken { .. } => ExitCode::NameTaken,
        ControllerError::Io { .. }
        | ControllerError::Journal { .. }
        | ControllerError::JournalDamaged { .. }
        | ControllerError::JournalBroken { .. }
        | ControllerError::Removed { .. }
        | ControllerError::JournalGone => ExitCode::Storage,
        ControllerError::Format { .. }
        | ControllerError::Busy { .. }
        | ControllerError::MayBeServed { .. }
        | ControllerError::LocalElsewhere { .. }
        | ControllerError::Fenced { .. }
        | ControllerError::JournalNewer { .. }
        | ControllerError::StateUnknown { .. }
        | ControllerError::OtherRules { .. }
        | ControllerError::PackageChanged { .. } => ExitCode::Internal,
    }
}
