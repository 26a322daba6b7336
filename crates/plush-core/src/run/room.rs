//! Whether Linux lets a program be executed with these arguments and this environment.
//! Not their content, which is rendered elsewhere.

use super::render::{Peers, RenderError, Seat};
use crate::plan::{PlanProblem, PlannedCluster, RunPlan, processes};
use plush_protocol::Program;
use plush_spec::model::Place;
use plush_spec::shell_line::{ARGUMENT_BYTES_MAX, ARGUMENTS_BYTES_MAX};

/// Why a program could not be executed: execve(2) would fail with E2BIG.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TooLarge {
    /// One string is longer than [`ARGUMENT_BYTES_MAX`].
    One { what: String, bytes: usize },
    /// All of them are longer than [`ARGUMENTS_BYTES_MAX`].
    Together { bytes: usize },
}

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TooLarge::One { what, bytes } => write!(
                f,
                "{what} has {bytes} bytes; Linux passes at most {ARGUMENT_BYTES_MAX} to a program in one piece"
            ),
            TooLarge::Together { bytes } => write!(
                f,
                "arguments and environment have {bytes} bytes; at most {ARGUMENTS_BYTES_MAX} are passed to a program"
            ),
        }
    }
}

/// Checks the arguments and environment of a program: `environment` beside the program's own
/// values.
pub(super) fn fits(program: &Program, environment: &[(String, String)]) -> Result<(), TooLarge> {
    let one = |what: String, bytes: usize| match bytes > ARGUMENT_BYTES_MAX {
        true => Err(TooLarge::One { what, bytes }),
        false => Ok(bytes),
    };
    // The NUL at the end of each string, and its pointer.
    let beside = 1 + size_of::<u64>();
    let mut sum = 0;
    match program {
        Program::Argv(words) => {
            for (number, word) in words.iter().enumerate() {
                sum += beside + one(format!("word {} of the command", number + 1), word.len())?;
            }
        }
        Program::Shell { line, .. } => sum += beside + one("the line".to_owned(), line.len())?,
    }
    for (name, value) in environment.iter().chain(program.values()) {
        let bytes = name.len() + 1 + value.len();
        sum += beside + one(format!("`{name}` of the environment"), bytes)?;
    }
    match sum > ARGUMENTS_BYTES_MAX {
        true => Err(TooLarge::Together { bytes: sum }),
        false => Ok(()),
    }
}

/// Returns the commands that no host could start: those that are too large with the values of the
/// cluster's largest member. Known before a run begins; a single host may have a lower limit.
pub fn too_large(plan: &RunPlan) -> Vec<PlanProblem> {
    let peers: Vec<Peers> = plan
        .clusters
        .iter()
        .map(|c| Peers::of(c.name(), c.members.iter().map(|id| &plan.hosts[id.index()])))
        .collect();
    plan.clusters.iter().flat_map(|cluster| of_cluster(plan, cluster, &peers)).collect()
}

fn of_cluster(plan: &RunPlan, cluster: &PlannedCluster, peers: &[Peers]) -> Vec<PlanProblem> {
    let own = cluster.members.iter().chain(&cluster.spares).map(|id| &plan.hosts[id.index()]);
    let Some(host) = own.chain(&cluster.reserve).max_by_key(|h| h.name.len() + h.address().len())
    else {
        return Vec::new();
    };
    let rank = cluster.members.len().saturating_sub(1);
    let replaces = Some((host.name.as_str(), u32::MAX));
    let seat = Seat { plan, cluster, host, replaces, rank, peers };
    let tasks = processes(&cluster.spec).map(|process| {
        let place = process.command.place();
        (process.name.to_string(), place, seat.rendered(process).map(drop))
    });
    let commands = cluster.spec.cleanup.iter().zip(seat.rendered_cleanup());
    let cleanup = commands
        .map(|(command, rendered)| ("cleanup".to_owned(), command.place(), rendered.map(drop)));
    tasks.chain(cleanup).filter_map(|(name, place, found)| problem(&name, place, found)).collect()
}

fn problem(name: &str, place: Place, found: Result<(), RenderError>) -> Option<PlanProblem> {
    match found {
        Err(RenderError::TooLarge(error)) => Some(PlanProblem {
            what: format!("`{name}` cannot be started on any host: {error}"),
            place,
            hint: Some("bring what is long as a file, for example with a template".into()),
            too_few_hosts: false,
        }),
        // A variable without a value fails the task that uses it.
        Err(RenderError::Variable(_)) | Ok(()) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_fits_up_to_the_bound_of_the_system_and_not_beyond() {
        let words = |len: usize| Program::Argv(vec!["/bin/true".into(), "x".repeat(len)]);
        assert_eq!(fits(&words(ARGUMENT_BYTES_MAX), &[]), Ok(()));
        let too_long =
            TooLarge::One { what: "word 2 of the command".into(), bytes: ARGUMENT_BYTES_MAX + 1 };
        assert_eq!(fits(&words(ARGUMENT_BYTES_MAX + 1), &[]), Err(too_long));
        let value = ("V".to_owned(), "x".repeat(ARGUMENT_BYTES_MAX - 2));
        assert_eq!(fits(&words(1), std::slice::from_ref(&value)), Ok(()));
        let all: Vec<_> = (0..15).map(|_| value.clone()).collect();
        assert!(matches!(fits(&words(1), &all), Err(TooLarge::Together { .. })));
        let longer = ("V".to_owned(), value.1 + "x");
        assert!(matches!(fits(&words(1), &[longer]), Err(TooLarge::One { .. })));
    }
}
