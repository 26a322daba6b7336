//! What Ctrl-C and its like mean while a run is watched: show, stop, leave.
//! Not the signals themselves: a rule over what was pressed and when.

/// A second Ctrl-C stops the run within this time after the line that says so is on the screen.
pub const SECOND_WITHIN_MS: u64 = 5_000;

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    /// Ctrl-C, SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// The terminal has gone, SIGHUP.
    HangUp,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// Say who is still going.
    Show,
    /// Ask the controller to stop in order.
    Stop,
    /// Leave the run alone and say what may still go on.
    Leave,
    /// It was heard before.
    Nothing,
}

/// Whether somebody is there to press a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The first Ctrl-C shows, the second stops.
    Interactive,
    /// The first Ctrl-C stops.
    Batch,
}

/// The role of the command in the run. It determines the effect of SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The command started the controller: SIGTERM stops the run.
    Starter,
    /// The command only watches: the run continues without it.
    Watcher,
}

/// What was pressed so far.
#[derive(Debug)]
pub struct Interrupts {
    patience: Patience,
    role: Role,
    state: State,
}

#[derive(Debug)]
enum State {
    Calm,
    Showing { until_ms: u64 },
    Stopping,
}

impl Interrupts {
    /// Nothing was pressed.
    pub fn new(patience: Patience, role: Role) -> Interrupts {
        Interrupts { patience, role, state: State::Calm }
    }

    /// Takes one press; `now_ms` never goes back.
    pub fn press(&mut self, press: Press, now_ms: u64) -> Answer {
        match press {
            Press::HangUp => Answer::Leave,
            Press::Terminate => self.terminate(),
            Press::Interrupt => self.interrupt(now_ms),
        }
    }

    /// Records that the text after the first press is on the screen. On a slow terminal that is
    /// later than the press.
    pub fn shown(&mut self, now_ms: u64) {
        if let State::Showing { until_ms } = &mut self.state {
            *until_ms = now_ms + SECOND_WITHIN_MS;
        }
    }

    fn terminate(&mut self) -> Answer {
        match (self.role, &self.state) {
            (Role::Watcher, _) => Answer::Leave,
            (Role::Starter, State::Stopping) => Answer::Nothing,
            (Role::Starter, State::Calm | State::Showing { .. }) => self.stop(),
        }
    }

    fn interrupt(&mut self, now_ms: u64) -> Answer {
        match (&self.state, self.patience) {
            (State::Stopping, _) => Answer::Leave,
            (State::Calm | State::Showing { .. }, Patience::Batch) => self.stop(),
            (State::Showing { until_ms }, Patience::Interactive) if now_ms <= *until_ms => {
                self.stop()
            }
            (State::Calm | State::Showing { .. }, Patience::Interactive) => {
                self.state = State::Showing { until_ms: now_ms + SECOND_WITHIN_MS };
                Answer::Show
            }
        }
    }

    fn stop(&mut self) -> Answer {
        self.state = State::Stopping;
        Answer::Stop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patience: Patience, role: Role, presses: &[(Press, u64, Answer)]) {
        let mut interrupts = Interrupts::new(patience, role);
        for (press, now_ms, answer) in presses {
            assert_eq!(interrupts.press(*press, *now_ms), *answer, "{press:?} at {now_ms} ms");
        }
    }

    #[test]
    fn the_first_shows_the_second_stops_the_third_leaves() {
        use Answer::{Leave, Show, Stop};
        for role in [Role::Starter, Role::Watcher] {
            check(
                Patience::Interactive,
                role,
                &[
                    (Press::Interrupt, 0, Show),
                    (Press::Interrupt, 5_000, Stop),
                    (Press::Interrupt, 60_000, Leave),
                ],
            );
        }
    }

    #[test]
    fn a_second_that_comes_late_only_shows_again() {
        use Answer::{Show, Stop};
        check(
            Patience::Interactive,
            Role::Starter,
            &[
                (Press::Interrupt, 0, Show),
                (Press::Interrupt, 5_001, Show),
                (Press::Interrupt, 10_001, Stop),
            ],
        );
    }

    #[test]
    fn the_time_for_the_second_begins_when_the_line_is_on_the_screen() {
        let mut interrupts = Interrupts::new(Patience::Interactive, Role::Starter);
        assert_eq!(interrupts.press(Press::Interrupt, 0), Answer::Show);
        interrupts.shown(30_000);
        assert_eq!(interrupts.press(Press::Interrupt, 34_900), Answer::Stop);
        // The text of the stop does not reset the count.
        interrupts.shown(35_000);
        assert_eq!(interrupts.press(Press::Interrupt, 35_001), Answer::Leave);
    }

    #[test]
    fn in_batch_the_first_stops() {
        check(
            Patience::Batch,
            Role::Starter,
            &[(Press::Interrupt, 0, Answer::Stop), (Press::Interrupt, 5, Answer::Leave)],
        );
    }

    #[test]
    fn a_starter_that_is_terminated_twice_stops_once() {
        check(
            Patience::Interactive,
            Role::Starter,
            &[
                (Press::Terminate, 0, Answer::Stop),
                (Press::Terminate, 1, Answer::Nothing),
                (Press::Interrupt, 2, Answer::Leave),
            ],
        );
    }

    #[test]
    fn a_watcher_that_is_terminated_leaves_the_run_alone() {
        for patience in [Patience::Interactive, Patience::Batch] {
            check(patience, Role::Watcher, &[(Press::Terminate, 0, Answer::Leave)]);
        }
        check(
            Patience::Batch,
            Role::Watcher,
            &[(Press::Interrupt, 0, Answer::Stop), (Press::Terminate, 1, Answer::Leave)],
        );
    }

    #[test]
    fn a_terminal_that_goes_leaves_the_run_alone() {
        check(Patience::Batch, Role::Starter, &[(Press::HangUp, 0, Answer::Leave)]);
        check(
            Patience::Interactive,
            Role::Starter,
            &[(Press::Terminate, 0, Answer::Stop), (Press::HangUp, 1, Answer::Leave)],
        );
    }
}
