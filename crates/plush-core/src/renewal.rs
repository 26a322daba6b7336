//! What a controller sends back to an agent, so that its tasks live on: the newest instant of the host's clock that it has heard of.
//! Not the lease itself: that is the agent's.
//!
//! A host is given up at some instant of the run. Whatever is sent back after that must have been heard before it, or two
//! hosts could hold one place. The run decides and a host's link sends, each in its own time: so a link sends back only
//! what it heard before the run had last said all that it had to say, or hardly later.

use crate::Millis;

/// What was heard so long after the run had last said everything is sent back: a run that is well says it every second.
pub const TRUSTED_MS: Millis = 2_000;
/// So often at least a run has to be asked, that links may renew.
pub const ASKED_EVERY_MS: Millis = 1_000;

/// The renewals of one link. Times are the run's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Renewals {
    newest: Option<Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Millis,
    clock_us: u64,
}

impl Renewals {
    /// The agent has told its clock, in microseconds of its host's boot time.
    pub fn heard(&mut self, now: Millis, clock_us: u64) {
        self.newest = Some(Heard { at: now, clock_us });
    }

    /// What to send back, once; `said_at` is when the run was asked last whose effects have all been handed over.
    #[must_use]
    pub fn due(&mut self, said_at: Millis) -> Option<u64> {
        let heard = self.newest.take_if(|heard| heard.at <= said_at.saturating_add(TRUSTED_MS))?;
        Some(heard.clock_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_sent_back_once() {
        let mut renewals = Renewals::default();
        assert_eq!(renewals.due(0), None);
        renewals.heard(1_000, 77);
        renewals.heard(1_500, 78);
        assert_eq!(renewals.due(1_400), Some(78));
        assert_eq!(renewals.due(1_400), None);
    }

    #[test]
    fn l3_a_link_renews_nothing_while_the_run_has_not_said_whether_the_host_is_given_up() {
        let mut renewals = Renewals::default();
        renewals.heard(10_000, 77);
        assert_eq!(renewals.due(10_000 - TRUSTED_MS - 1), None, "the run is stuck in its journal");
        assert_eq!(renewals.due(10_000 - TRUSTED_MS), Some(77), "it has said more since");
    }
}
