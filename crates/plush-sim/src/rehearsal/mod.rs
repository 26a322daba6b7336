//! Rehearsals: a user's description played with imaginary hosts of a kind, by the rules by which it would be run.
//! Not a forecast of what programs do: how long they run is assumed, and that they succeed.

mod durations;
mod profile;

pub use durations::{Duration, Durations, USUAL_MS};
pub use profile::Profile;

use crate::survey;
use crate::world::World;
use plush_core::Millis;
use plush_core::plan::{self, Keep, Offer, PlanProblem, PlannedHost, Route, RunPlan, Settings};
use plush_core::run::Run;
use plush_protocol::{HostState, Octets, Outcome};
use plush_spec::model::Project;
use std::collections::BTreeSet;
use std::ops::Range;

/// The names of the processes of a description's application.
pub fn processes(project: &Project) -> Vec<String> {
    let application = project.application(None).expect("a parsed project has an application");
    let clusters = project.clusters_of(application);
    let mut names: Vec<String> =
        clusters.flat_map(plan::processes).map(|p| p.name.to_string()).collect();
    names.dedup();
    names
}

/// What is rehearsed.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    plan: RunPlan,
    on_offer: usize,
    profile: Profile,
    durations: Durations,
    until_ms: Millis,
}

/// How a rehearsal is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Imaginary hosts on offer to every cluster.
    pub hosts: usize,
    /// Of which kind.
    pub profile: Profile,
    /// How long processes run.
    pub durations: Durations,
    /// A run that is not over by then is stopped, as an operator would.
    pub until_ms: Millis,
}

/// How one rehearsal went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsed {
    /// From which it follows.
    pub seed: u64,
    /// How the run ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took_ms: Millis,
    /// Hosts that were lost or never came.
    pub lost: usize,
    /// Hosts that stepped in for others and began to work.
    pub replacements: usize,
    /// The barriers in the order of the description, each with its rounds.
    pub barriers: Vec<Opening>,
}

/// A barrier in one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// `CLUSTER/ready`, or the name in the description.
    pub barrier: String,
    /// From 1.
    pub generation: u32,
    /// When and why it opened, and with how many of how many.
    pub opened: Option<Opened>,
}

/// How a barrier opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// After the beginning of the run.
    pub at_ms: Millis,
    /// The policy that fired, in a word.
    pub why: String,
    /// Who had come.
    pub entered: u32,
    /// Who counted.
    pub expected: u32,
}

impl Rehearsal {
    /// Plans for imaginary hosts.
    ///
    /// # Errors
    /// Everything that stands in the way, at once.
    pub fn new(project: &Project, request: Request) -> Result<Rehearsal, Vec<PlanProblem>> {
        let application = project.application(None).expect("a parsed project has an application");
        let width = request.hosts.max(1).to_string().len();
        let host = |n: usize| PlannedHost::new(format!("host{n:0width$}"), Route::Ssh);
        let hosts: Vec<PlannedHost> = (1..=request.hosts).map(host).collect();
        let offers = project.clusters_of(application).map(|cluster| Offer {
            hosts: hosts.clone(),
            stdin_files: plan::processes(cluster)
                .map(|p| (p.name.to_string(), Octets::default()))
                .collect(),
            // The number of simulated hosts is the number of wanted hosts.
            is_narrowed: true,
            ..Offer::default()
        });
        let settings =
            Settings { run: "rehearsal".into(), keep: Keep::Nothing, stop_after_ms: None };
        Ok(Rehearsal {
            plan: plan::assign(project, offers.collect(), settings)?,
            on_offer: request.hosts,
            profile: request.profile,
            durations: request.durations,
            until_ms: request.until_ms,
        })
    }

    /// How many imaginary hosts are on offer.
    pub fn on_offer(&self) -> usize {
        self.on_offer
    }

    /// Barriers at which programs are expected and no step: a rehearsal has no programs that would come.
    pub fn left_out(&self) -> Vec<String> {
        let enters = |barrier: &plush_spec::model::Barrier| {
            let mut steps = self.plan.clusters.iter().flat_map(|c| &c.spec.execution);
            steps.any(|step| {
                matches!(&step.action, plush_spec::model::Action::Barrier(r) if r.name == barrier.name)
            })
        };
        let barriers = self.plan.project.barriers.iter();
        barriers.filter(|b| !enters(b)).map(|b| b.name.to_string()).collect()
    }

    /// Plays it with these seeds, on all processors.
    pub fn play_all(&self, seeds: Range<u64>) -> Vec<Rehearsed> {
        survey::spread(seeds, |seed| self.play(seed))
    }

    /// Plays it.
    pub fn play(&self, seed: u64) -> Rehearsed {
        let mut world =
            World::rehearsed(self.plan.clone(), seed, (self.profile, self.durations.clone()));
        world.rehearse(self.until_ms);
        let run = &world.controller.run;
        let took_ms = world.finished_at.unwrap_or(world.now);
        Rehearsed {
            seed,
            outcome: run.outcome().cloned().unwrap_or(Outcome::Stopped),
            took_ms,
            lost: run.host_states().filter(|s| *s == HostState::Failed).count(),
            replacements: self.replacements(run),
            barriers: self.openings(run),
        }
    }

    /// Hosts that began to work and were not planned to.
    fn replacements(&self, run: &Run) -> usize {
        let members = self.plan.clusters.iter().flat_map(|c| &c.members);
        let planned: BTreeSet<&str> = members.map(|host| self.plan.host_name(*host)).collect();
        let view = run.view();
        let worked: BTreeSet<&str> = view.tasks.iter().map(|t| t.host.as_str()).collect();
        worked.difference(&planned).count()
    }

    fn openings(&self, run: &Run) -> Vec<Opening> {
        let left_out = self.left_out();
        let prepare = |name: &str| name.ends_with("/prepare");
        let barriers = run.history().barriers.into_iter();
        let shown = barriers.filter(|b| !prepare(&b.name) && !left_out.contains(&b.name));
        // A round into which nobody came is the one that nobody needed any more.
        let needed = shown.filter(|b| b.generation == 1 || b.opened.is_some());
        needed
            .map(|barrier| Opening {
                barrier: barrier.name,
                generation: barrier.generation,
                opened: barrier.opened.map(|opened| Opened {
                    at_ms: opened.at_ms,
                    why: opened.policy,
                    entered: opened.entered,
                    expected: opened.expected,
                }),
            })
            .collect()
    }
}
