//! What Ctrl-C and its like mean while a run is watched: show, stop, leave.
//! Not the signals themselves: a rule over what was pressed and when.

/// A second Ctrl-C within this time stops the run.
pub const SECOND_WITHIN_MS: u64 = 1_000;

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

/// What was pressed so far.
#[derive(Debug)]
pub struct Interrupts {
    patience: Patience,
    state: State,
}

#[derive(Debug)]
enum State {
    Calm,
    Shown { at_ms: u64 },
    Stopping,
}

impl Interrupts {
    /// Nothing was pressed.
    pub fn new(patience: Patience) -> Interrupts {
        Interrupts { patience, state: State::Calm }
    }

    /// Takes one press; `now_ms` never goes back.
    pub fn press(&mut self, press: Press, now_ms: u64) -> Answer {
        match press {
            Press::HangUp => Answer::Leave,
            Press::Terminate => self.terminate(),
            Press::Interrupt => self.interrupt(now_ms),
        }
    }

    fn terminate(&mut self) -> Answer {
        match self.state {
            State::Stopping => Answer::Nothing,
            State::Calm | State::Shown { .. } => self.stop(),
        }
    }

    fn interrupt(&mut self, now_ms: u64) -> Answer {
        match (&self.state, self.patience) {
            (State::Stopping, _) => Answer::Leave,
            (State::Calm | State::Shown { .. }, Patience::Batch) => self.stop(),
            (State::Shown { at_ms }, Patience::Interactive)
                if now_ms - at_ms <= SECOND_WITHIN_MS =>
            {
                self.stop()
            }
            (State::Calm | State::Shown { .. }, Patience::Interactive) => {
                self.state = State::Shown { at_ms: now_ms };
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

    fn check(patience: Patience, presses: &[(Press, u64, Answer)]) {
        let mut interrupts = Interrupts::new(patience);
        for (press, now_ms, answer) in presses {
            assert_eq!(interrupts.press(*press, *now_ms), *answer, "{press:?} at {now_ms} ms");
        }
    }

    #[test]
    fn the_first_shows_the_second_stops_the_third_leaves() {
        use Answer::{Leave, Show, Stop};
        check(
            Patience::Interactive,
            &[
                (Press::Interrupt, 0, Show),
                (Press::Interrupt, 900, Stop),
                (Press::Interrupt, 60_000, Leave),
            ],
        );
    }

    #[test]
    fn a_second_that_comes_late_only_shows_again() {
        use Answer::{Show, Stop};
        check(
            Patience::Interactive,
            &[
                (Press::Interrupt, 0, Show),
                (Press::Interrupt, 1_001, Show),
                (Press::Interrupt, 2_001, Stop),
            ],
        );
    }

    #[test]
    fn in_batch_the_first_stops() {
        check(
            Patience::Batch,
            &[(Press::Interrupt, 0, Answer::Stop), (Press::Interrupt, 5, Answer::Leave)],
        );
    }

    #[test]
    fn being_terminated_twice_stops_once() {
        check(
            Patience::Interactive,
            &[
                (Press::Terminate, 0, Answer::Stop),
                (Press::Terminate, 1, Answer::Nothing),
                (Press::Interrupt, 2, Answer::Leave),
            ],
        );
    }

    #[test]
    fn a_terminal_that_goes_leaves_the_run_alone() {
        check(Patience::Batch, &[(Press::HangUp, 0, Answer::Leave)]);
        check(
            Patience::Interactive,
            &[(Press::Terminate, 0, Answer::Stop), (Press::HangUp, 1, Answer::Leave)],
        );
    }
}
