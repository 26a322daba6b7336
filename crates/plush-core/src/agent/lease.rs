//! The lease: how long tasks live without a word from a controller, and when a forgotten agent leaves.
//! Not suspicion, and not replacement: those are the controller's clocks.
//!
//! It is renewed from an instant of this host's own clock that the agent has told and the controller sends back
//! (`crate::renewal` is the other end). So whatever a network holds back renews nothing: what is sent back after the
//! controller has given this host up was told before that.

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
    /// Terms were agreed, which renews nothing; tasks that never had a lease have one from now.
    Agreed,
    /// A controller has heard of this instant.
    From(Millis),
}

/// What the lease says at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing has changed.
    Nothing,
    /// It has changed: keepers should be able to read the new deadline.
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

    /// It has ended the tasks, and was not renewed since.
    pub(super) fn is_out(&self) -> bool {
        match self.state {
            State::Out { .. } | State::Left => true,
            State::New | State::Held { .. } => false,
        }
    }

    /// The same, and no word has come that is still to be looked at.
    pub(super) fn is_out_for_now(&self) -> bool {
        self.is_out() && !matches!(self.renewal, Renewal::From(_))
    }

    /// A controller came and said its terms.
    pub(super) fn agree(&mut self, stop_after_ms: Option<u64>) {
        let terms = stop_after_ms.map_or(Terms::Endless, Terms::StopAfter);
        if std::mem::replace(&mut self.terms, terms) == Terms::Unknown {
            // What it was held until was the wait for this word.
            self.state = State::New;
        }
        self.renewal = Renewal::Agreed;
    }

    /// A controller that is obeyed sends back an instant that this agent has told.
    pub(super) fn renew(&mut self, from: Millis) {
        self.renewal = match self.renewal {
            Renewal::From(other) => Renewal::From(other.max(from)),
            Renewal::None | Renewal::Agreed => Renewal::From(from),
        };
    }

    /// What now. A deadline that has passed counts before a renewal that is read after it: while this host was
    /// paused the controller may have counted the tasks as stopped (F11).
    pub(super) fn decide(&mut self, now: Millis, idle: bool) -> Verdict {
        if self.deadline().is_some_and(|until| now >= until) {
            let linger = self.stop_after_ms().unwrap_or(0).max(LINGER_MS);
            self.state = State::Out { leave_at: now.saturating_add(linger) };
            return Verdict::StopTasks;
        }
        match std::mem::take(&mut self.renewal) {
            Renewal::None => {}
            Renewal::Agreed => {
                if self.state == State::New {
                    self.hold_from(now);
                }
                return Verdict::Save;
            }
            Renewal::From(from) => {
                if self.is_longer_from(from.min(now), now) {
                    self.hold_from(from.min(now));
                    return Verdict::Save;
                }
            }
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

    fn hold_from(&mut self, from: Millis) {
        self.state = State::Held { until: self.stop_after_ms().map(|ms| from.saturating_add(ms)) };
    }

    /// Whether a lease that is counted from then holds now, and for longer than the one that is held.
    fn is_longer_from(&self, from: Millis, now: Millis) -> bool {
        let Some(until) = self.stop_after_ms().map(|ms| from.saturating_add(ms)) else {
            return !matches!(self.state, State::Held { until: None });
        };
        let held = match self.state {
            State::Held { until } => until,
            State::New | State::Out { .. } | State::Left => Some(0),
        };
        until > now && held.is_none_or(|held| until > held)
    }

    pub(super) fn wake_at(&self) -> Option<Millis> {
        if self.renewal != Renewal::None {
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
