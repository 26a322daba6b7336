//! How one task is brought to its end: asked by a signal, then killed after the grace.
//! Not who sends the signals: a keeper, or a pretended one in the simulator.

use crate::Millis;
use plush_protocol::{Exit, StopRule};

/// The rules of a task's end: a stop asked for, a time limit, a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    rule: StopRule,
    time_limit_at: Option<Millis>,
    lease_until: Option<Millis>,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    Asked { why: String },
    Signalled { why: String, kill_at: Millis },
    Killed { why: String },
}

/// What is to be done to the task's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Send this signal to all of them, once.
    Signal(i32),
    /// Kill until none is left.
    Kill,
}

impl Ending {
    /// A task that begins now.
    pub fn new(rule: StopRule, time_limit_ms: Option<u64>, now: Millis) -> Self {
        let time_limit_at = time_limit_ms.map(|limit| now.saturating_add(limit));
        Ending { rule, time_limit_at, lease_until: None, stage: Stage::Running }
    }

    /// Somebody wants the task to end. The first reason stays.
    pub fn ask(&mut self, why: impl Into<String>) {
        if self.stage == Stage::Running {
            self.stage = Stage::Asked { why: why.into() };
        }
    }

    /// The lease as it was last read; `None` is for ever.
    pub fn lease(&mut self, until: Option<Millis>) {
        self.lease_until = until;
    }

    /// The lease seems to be out: it should be read again before [`Ending::decide`] is asked.
    pub fn lease_is_due(&self, now: Millis) -> bool {
        self.stage == Stage::Running && self.lease_until.is_some_and(|until| now >= until)
    }

    /// The next blow, once each.
    #[must_use]
    pub fn decide(&mut self, now: Millis) -> Option<Blow> {
        if self.time_limit_at.is_some_and(|at| now >= at) {
            self.ask("time-limit");
        }
        if self.lease_is_due(now) {
            self.ask(Exit::LEASE);
        }
        match &self.stage {
            Stage::Asked { why } => {
                let kill_at = now.saturating_add(self.rule.grace_ms);
                self.stage = Stage::Signalled { why: why.clone(), kill_at };
                Some(Blow::Signal(self.rule.signal))
            }
            Stage::Signalled { why, kill_at } if now >= *kill_at => {
                self.stage = Stage::Killed { why: why.clone() };
                Some(Blow::Kill)
            }
            Stage::Running | Stage::Signalled { .. } | Stage::Killed { .. } => None,
        }
    }

    /// When [`Ending::decide`] has something to say although nobody asks.
    pub fn wake_at(&self, now: Millis) -> Option<Millis> {
        let at = match &self.stage {
            Stage::Running => [self.time_limit_at, self.lease_until].into_iter().flatten().min(),
            Stage::Asked { .. } => Some(now),
            Stage::Signalled { kill_at, .. } => Some(*kill_at),
            Stage::Killed { .. } => None,
        };
        at.map(|at| at.max(now + 1))
    }

    /// Why the task is being ended, once it is.
    pub fn why(&self) -> Option<&str> {
        match &self.stage {
            Stage::Running => None,
            Stage::Asked { why } | Stage::Signalled { why, .. } | Stage::Killed { why } => {
                Some(why)
            }
        }
    }

    /// The grace is over.
    pub fn is_killing(&self) -> bool {
        matches!(self.stage, Stage::Killed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(time_limit_ms: Option<u64>) -> Ending {
        Ending::new(StopRule { signal: 15, grace_ms: 100 }, time_limit_ms, 1_000)
    }

    #[test]
    fn a_stop_is_a_signal_then_a_kill_after_the_grace() {
        let mut ending = ending(None);
        assert_eq!(ending.decide(1_010), None);
        ending.ask("stop");
        assert_eq!(ending.decide(1_020), Some(Blow::Signal(15)));
        assert_eq!(ending.decide(1_119), None);
        assert_eq!(ending.wake_at(1_020), Some(1_120));
        assert_eq!(ending.decide(1_120), Some(Blow::Kill));
        assert_eq!(ending.decide(1_120), None);
    }

    #[test]
    fn a_time_limit_ends_and_says_so() {
        let mut ending = ending(Some(50));
        assert_eq!(ending.decide(1_049), None);
        assert_eq!(ending.decide(1_050), Some(Blow::Signal(15)));
        assert_eq!(ending.why(), Some("time-limit"));
    }

    #[test]
    fn l2_a_lease_that_was_renewed_in_time_ends_nothing() {
        let mut ending = ending(None);
        ending.lease(Some(1_200));
        assert!(ending.lease_is_due(1_200));
        ending.lease(Some(1_400));
        assert_eq!(ending.decide(1_200), None);
        assert_eq!(ending.decide(1_400), Some(Blow::Signal(15)));
        assert_eq!(ending.why(), Some("lease"));
    }

    #[test]
    fn the_first_reason_stays() {
        let mut ending = ending(Some(10));
        ending.ask("stop");
        assert_eq!(ending.decide(2_000), Some(Blow::Signal(15)));
        assert_eq!(ending.why(), Some("stop"));
    }
}
