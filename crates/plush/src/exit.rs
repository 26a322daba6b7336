//! The exit codes of `plush`: one table, never changed.
//! Not the exit codes of tasks: those are in the view and in the summary.

use plush_protocol::task::Exit;
use plush_protocol::view::{Outcome, RunView, TaskView};

/// How `plush` itself ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// What was asked for was done.
    Done,
    /// A task failed somewhere.
    TasksFailed,
    /// The command line or the settings cannot be understood.
    Usage,
    /// The description is invalid, or cannot be planned.
    Description,
    /// Fewer hosts than the description's minimum.
    TooFewHosts,
    /// There is a run of that name already.
    NameTaken,
    /// Plush itself failed.
    Internal,
    /// The controller could not write its run directory.
    Storage,
    /// Not every host took part, and `--strict` was given.
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

/// How severe it is when some hosts are missing though the description's policies are satisfied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// As the policies say: a success.
    Allowed,
    /// An error (`--strict`).
    Refused,
}

impl ExitCode {
    /// Every code with its meaning, in the order of the table.
    pub const TABLE: [(ExitCode, &'static str); 13] = [
        (
            ExitCode::Done,
            "done; of a run: complete, or partial as the description's policies allow",
        ),
        (ExitCode::TasksFailed, "a task failed on at least one host"),
        (ExitCode::Usage, "the command line or a setting cannot be understood"),
        (ExitCode::Description, "the description is invalid, or cannot be planned as it stands"),
        (ExitCode::TooFewHosts, "fewer hosts than the description's minimum"),
        (ExitCode::Internal, "Plush itself failed"),
        (ExitCode::NameTaken, "there is a run of that name already (--name)"),
        (ExitCode::Storage, "the run directory could not be written (disk full, journal damaged)"),
        (ExitCode::Partial, "partial success, with --strict"),
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

    /// The code of a run that is over.
    pub fn of_run(outcome: &Outcome, view: &RunView, missing: Missing) -> ExitCode {
        match (outcome, missing) {
            (Outcome::Complete, _) | (Outcome::Partial, Missing::Allowed) => ExitCode::Done,
            (Outcome::Partial, Missing::Refused) => ExitCode::Partial,
            (Outcome::TasksFailed { .. }, _) if only_out_of_time(view) => ExitCode::TimedOut,
            (Outcome::TasksFailed { .. }, _) => ExitCode::TasksFailed,
            (Outcome::TooFewHosts, _) => ExitCode::TooFewHosts,
            (Outcome::Stopped, _) => ExitCode::Stopped,
        }
    }

    /// The table as it stands at the end of `plush run --help`.
    pub fn help() -> String {
        let rows =
            ExitCode::TABLE.map(|(code, meaning)| format!("  {:>3}  {meaning}\n", code.number()));
        format!("Exit codes:\n{}", rows.concat())
    }
}

/// Some task failed, and each that did was ended by its time limit.
fn only_out_of_time(view: &RunView) -> bool {
    let mut failed = view.tasks.iter().filter(|task| task.success == Some(false)).peekable();
    failed.peek().is_some() && failed.all(was_out_of_time)
}

fn was_out_of_time(task: &TaskView) -> bool {
    matches!(&task.exit, Some(Exit::Stopped { why }) if why == "time-limit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(exit: Exit) -> TaskView {
        TaskView {
            task: 1,
            incarnation: 1,
            process: "p".into(),
            host: "h".into(),
            state: "exited".into(),
            exit: Some(exit),
            success: Some(false),
            started_ms: None,
            ended_ms: None,
            ran_ms: None,
            health: None,
            guarantee: None,
        }
    }

    fn code_of(tasks: Vec<TaskView>) -> ExitCode {
        let view = RunView { tasks, ..RunView::default() };
        ExitCode::of_run(&Outcome::TasksFailed { code: 3 }, &view, Missing::Allowed)
    }

    #[test]
    fn a_run_in_which_only_time_limits_struck_has_timed_out() {
        let late = || failed(Exit::Stopped { why: "time-limit".into() });
        assert_eq!(code_of(vec![late(), late()]), ExitCode::TimedOut);
        assert_eq!(code_of(vec![late(), failed(Exit::Code(3))]), ExitCode::TasksFailed);
        assert_eq!(code_of(vec![]), ExitCode::TasksFailed);
    }

    #[test]
    fn missing_hosts_are_an_error_only_when_asked_for() {
        let view = RunView::default();
        assert_eq!(ExitCode::of_run(&Outcome::Partial, &view, Missing::Allowed), ExitCode::Done);
        assert_eq!(ExitCode::of_run(&Outcome::Partial, &view, Missing::Refused), ExitCode::Partial);
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
