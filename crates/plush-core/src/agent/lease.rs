//! The lease: how long tasks live without a word from a controller, and when a forgotten agent leaves.
//! Not suspicion, and not replacement: those are the controller's clocks.

use super::FIRST_WORD_MS;
use crate::Millis;

/// After the lease has stopped the tasks their files stay at least so long for somebody to fetch.
pub const LINGER_MS: u64 = 60 * 60 * 1000;

/// What was agreed with a controller, on boot time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    terms: Terms,
    state: State,
    renewal: Renewal,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Terms {
    /// No controller has spoken yet.
    #[default]
    Unknown,
    /// Tasks live for ever.
    Endless,
    /// Tasks are stopped after so much silence.
    StopAfter(u64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No time has been told yet.
    #[default]
    New,
    Held {
        until: Option<Millis>,
    },
    /// Tasks are stopped; files wait for somebody until then.
    Out {
        leave_at: Millis,
    },
    Left,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Renewal {
    #[default]
    None,
    Due,
}

/// What the lease says at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing has changed.
    Nothing,
    /// It was renewed: keepers should be able to read the new deadline.
    Save,
    /// It is out: every task must end.
    StopTasks,
    /// Nobody came for the files either.
    Leave,
}

impl Lease {
    /// A lease as it was saved before the agent died.
    pub fn saved(stop_after_ms: Option<u64>, until: Option<Millis>) -> Self {
        let terms = stop_after_ms.map_or(Terms::Endless, Terms::StopAfter);
        Lease { terms, state: State::Held { until }, renewal: Renewal::None }
    }

    /// Silence after which tasks are stopped.
    pub fn stop_after_ms(&self) -> Option<u64> {
        match self.terms {
            Terms::StopAfter(ms) => Some(ms),
            Terms::Unknown | Terms::Endless => None,
        }
    }

    /// When tasks are stopped.
    pub fn deadline(&self) -> Option<Millis> {
        match (self.terms, self.state) {
            (Terms::StopAfter(_), State::Held { until }) => until,
            _ => None,
        }
    }

    /// It has ended the tasks, and no controller has come since.
    pub(super) fn is_out(&self) -> bool {
        match self.state {
            State::Out { .. } | State::Left => true,
            State::New | State::Held { .. } => false,
        }
    }

    /// A controller came and said its terms.
    pub(super) fn agree(&mut self, stop_after_ms: Option<u64>) {
        self.terms = stop_after_ms.map_or(Terms::Endless, Terms::StopAfter);
        self.renew();
    }

    /// A controller was heard.
    pub(super) fn renew(&mut self) {
        self.renewal = Renewal::Due;
    }

    /// What now. A deadline that has passed counts before a renewal that is read after it: while this host was
    /// paused the controller may have counted the tasks as stopped (F11).
    pub(super) fn decide(&mut self, now: Millis, idle: bool) -> Verdict {
        if self.deadline().is_some_and(|until| now >= until) {
            let linger = self.stop_after_ms().unwrap_or(0).max(LINGER_MS);
            self.state = State::Out { leave_at: now.saturating_add(linger) };
            return Verdict::StopTasks;
        }
        if std::mem::take(&mut self.renewal) == Renewal::Due {
            let until = self.stop_after_ms().map(|ms| now.saturating_add(ms));
            self.state = State::Held { until };
            return Verdict::Save;
        }
        match self.state {
            State::New => {
                self.state = State::Held { until: Some(now.saturating_add(FIRST_WORD_MS)) };
                Verdict::Nothing
            }
            State::Held { until: Some(until) }
                if self.terms == Terms::Unknown && idle && now >= until =>
            {
                self.state = State::Left;
                Verdict::Leave
            }
            State::Out { leave_at } if now >= leave_at => {
                self.state = State::Left;
                Verdict::Leave
            }
            State::Held { .. } | State::Out { .. } | State::Left => Verdict::Nothing,
        }
    }

    pub(super) fn wake_at(&self) -> Option<Millis> {
        if self.renewal == Renewal::Due {
            return Some(0);
        }
        match self.state {
            State::New => Some(0),
            State::Held { until } => until,
            State::Out { leave_at } => Some(leave_at),
            State::Left => None,
        }
    }
}
