//! The exit codes of `plush`: one table, never changed.
//! Not the exit codes of tasks: those are in the view and in the summary.

use plush_protocol::view::{Measure, Outcome, Sums};

/// How `plush` itself ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// What was asked for was done.
    Done,
    /// A task failed and the description does not accept it.
    TasksFailed,
    /// The command line or the settings cannot be understood.
    Usage,
    /// The description is invalid, or cannot be planned.
    Description,
    /// Fewer hosts than the description needs.
    TooFewHosts,
    /// A run of that name already exists.
    NameTaken,
    /// Plush itself failed.
    Internal,
    /// The controller could not write its run directory.
    Storage,
    /// Not everything wanted was done, and the rest is not enough.
    Partial,
    /// The description has programs run on this machine and is not trusted.
    Untrusted,
    /// A time limit passed.
    TimedOut,
    /// The operator stopped the run, or left it.
    Stopped,
    /// A host could not be reached.
    Transport,
}

impl ExitCode {
    /// Every code with its meaning, in the order of the table.
    pub const TABLE: [(ExitCode, &'static str); 13] = [
        (
            ExitCode::Done,
            "done; of a run: all that was wanted, or as much as the description names as enough",
        ),
        (ExitCode::TasksFailed, "a task failed and the description does not accept it"),
        (ExitCode::Usage, "the command line or a setting cannot be understood"),
        (ExitCode::Description, "the description is invalid, or cannot be planned as it stands"),
        (
            ExitCode::TooFewHosts,
            "fewer hosts than `min`, or fewer in the description than it wants without `min`",
        ),
        (ExitCode::Internal, "Plush itself failed"),
        (ExitCode::NameTaken, "there is a run of that name already (--name)"),
        (ExitCode::Storage, "the run directory could not be written (disk full, journal damaged)"),
        (
            ExitCode::Partial,
            "partial: a wanted host, a result or a clean-up is missing; with --strict also where `min` allows it",
        ),
        (
            ExitCode::Untrusted,
            "the description has programs run on this machine and is not trusted",
        ),
        (
            ExitCode::TimedOut,
            "a time limit passed: --timeout, or the one of every task that failed",
        ),
        (
            ExitCode::Stopped,
            "stopped by the operator, or left: the third Ctrl-C, or SIGTERM to what only watches",
        ),
        (ExitCode::Transport, "a host could not be reached (doctor)"),
    ];

    /// The number that the shell sees.
    pub fn number(self) -> u8 {
        match self {
            ExitCode::Done => 0,
            ExitCode::TasksFailed => 1,
            ExitCode::Usage => 64,
            ExitCode::Description => 65,
            ExitCode::TooFewHosts => 69,
            ExitCode::Internal => 70,
            ExitCode::NameTaken => 73,
            ExitCode::Storage => 74,
            ExitCode::Partial => 75,
            ExitCode::Untrusted => 77,
            ExitCode::TimedOut => 124,
            ExitCode::Stopped => 130,
            ExitCode::Transport => 255,
        }
    }

    /// The exit code of a run that is over, from its outcome and its sums: the first in the order
    /// of the guide that applies. Without sums (a view of an earlier build) a partial run counts as
    /// less than enough.
    pub fn of_run(outcome: &Outcome, sums: Option<&Sums>, measure: Measure) -> ExitCode {
        let is_late = sums.is_some_and(Sums::only_out_of_time);
        match outcome {
            Outcome::Stopped => ExitCode::Stopped,
            Outcome::TooFewHosts | Outcome::TasksFailed { .. } if is_late => ExitCode::TimedOut,
            Outcome::TooFewHosts => ExitCode::TooFewHosts,
            Outcome::TasksFailed { .. } => ExitCode::TasksFailed,
            Outcome::Complete => ExitCode::Done,
            Outcome::Partial => match sums.is_some_and(|sums| sums.is_enough(measure)) {
                true => ExitCode::Done,
                false => ExitCode::Partial,
            },
        }
    }

    /// The table as it stands at the end of `plush run --help`.
    pub fn help() -> String {
        let rows =
            ExitCode::TABLE.map(|(code, meaning)| format!("  {:>3}  {meaning}\n", code.number()));
        format!("Exit codes:\n{}", rows.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plush_protocol::view::ClusterSum;

    /// For a cluster that wants five hosts, with `min` three.
    fn sums(answered: u32, tasks_failed: u32, tasks_out_of_time: u32) -> Sums {
        let missing = (answered..5).map(|n| format!("h{n}")).collect();
        let cluster = ClusterSum { wanted: 5, answered, missing, enough: 3, ..Default::default() };
        Sums { clusters: vec![cluster], tasks_failed, tasks_out_of_time, ..Sums::default() }
    }

    fn code(outcome: &Outcome, sums: &Sums) -> ExitCode {
        ExitCode::of_run(outcome, Some(sums), Measure::Description)
    }

    #[test]
    fn a_run_in_which_only_time_limits_struck_has_timed_out() {
        let failed = Outcome::TasksFailed { code: 3 };
        assert_eq!(code(&failed, &sums(5, 2, 2)), ExitCode::TimedOut);
        assert_eq!(code(&failed, &sums(5, 2, 1)), ExitCode::TasksFailed);
        assert_eq!(code(&failed, &sums(5, 0, 0)), ExitCode::TasksFailed);
    }

    #[test]
    fn missing_hosts_are_an_error_unless_as_many_are_there_as_are_enough() {
        let partial = Outcome::Partial;
        assert_eq!(code(&partial, &sums(3, 0, 0)), ExitCode::Done);
        assert_eq!(code(&partial, &sums(2, 0, 0)), ExitCode::Partial);
        let strict = |sums: &Sums| ExitCode::of_run(&partial, Some(sums), Measure::Wanted);
        assert_eq!(strict(&sums(3, 0, 0)), ExitCode::Partial);
        assert_eq!(
            ExitCode::of_run(&partial, None, Measure::Description),
            ExitCode::Partial,
            "nobody knows that it was enough"
        );
    }

    #[test]
    fn results_that_did_not_come_and_a_failed_clean_up_are_never_enough() {
        let short = Sums { results_missing: vec!["h0".into()], ..sums(5, 0, 0) };
        let left = Sums { clean_ups_failed: vec!["h0".into()], ..sums(5, 0, 0) };
        assert_eq!(code(&Outcome::Partial, &short), ExitCode::Partial);
        assert_eq!(code(&Outcome::Partial, &left), ExitCode::Partial);
    }

    #[test]
    fn the_first_code_that_applies_is_the_run_s() {
        let all = Sums { clean_ups_failed: vec!["h0".into()], ..sums(1, 2, 2) };
        assert_eq!(code(&Outcome::Stopped, &all), ExitCode::Stopped);
        assert_eq!(code(&Outcome::TooFewHosts, &all), ExitCode::TimedOut);
        let failed = Sums { tasks_out_of_time: 0, ..all };
        assert_eq!(code(&Outcome::TooFewHosts, &failed), ExitCode::TooFewHosts);
        assert_eq!(code(&Outcome::TasksFailed { code: 1 }, &failed), ExitCode::TasksFailed);
    }

    #[test]
    fn the_documented_table_is_the_one_in_force() {
        let documented = include_str!("../../../docs/src/exit-codes.md");
        let rows: Vec<&str> = documented
            .lines()
            .filter(|line| line.starts_with("| ") && !line.contains("code"))
            .collect();
        let in_force =
            ExitCode::TABLE.map(|(code, meaning)| format!("| {} | {meaning} |", code.number()));
        assert_eq!(rows, in_force);
    }
}
