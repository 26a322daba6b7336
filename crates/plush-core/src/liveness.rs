//! Whether the other end of a link is still there: when to ask, when silence is suspicious, whether it may be our own fault.
//! Not what follows from a suspicion: the run decides that, and a suspicion by itself changes nothing (L5).
//!
//! Three small rules. A [`Pulse`] watches one host's link and adapts to it. A [`Health`] judges the process that watches.
//! [`is_own_network`] tells many hosts that fell silent together from hosts that are gone.

use crate::Millis;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Silence shorter than this is never suspicious.
pub const LEAST_LIMIT_MS: Millis = 5_000;
/// A link is not waited for longer than this, however slow it has been.
const MOST_LIMIT_MS: Millis = 60_000;
/// Gaps are remembered for an hour, in twelfths of it.
const GAP_SPAN_MS: Millis = 300_000;
const GAP_SPANS: Millis = 12;
/// A link is asked no more often than this,
const LEAST_PERIOD_MS: Millis = 1_000;
/// and never left idle for longer than this: translators of addresses forget connections after thirty seconds.
const MOST_PERIOD_MS: Millis = 20_000;
/// One host is asked every two seconds, a thousand every four: what that costs stays small beside the rest.
const PERIOD_MS: Millis = 2_000;
const PERIOD_PER_HOST_MS: Millis = 2;
const MOST_FLEET_PERIOD_MS: Millis = 4_000;
/// A busy link is asked nevertheless, since asking renews the agent's lease.
const RENEWAL_MS: Millis = 10_000;
/// So often it is asked within a lease, however long answers may be out: a lease must not run out on a link that is well.
const ASKED_IN_LEASE: Millis = 4;
/// Who looks so much later than it wanted to has been asleep: that time was nobody's silence.
const ASLEEP_MS: Millis = 1_000;

/// A loop that is so late is not well.
const LATE_MS: Millis = 500;
/// The most by which limits are multiplied.
const MOST_FACTOR: u64 = 8;

/// More than this share of the hosts,
const TOGETHER_PERCENT: usize = 30;
/// at least so many of them unless they are all there are,
const TOGETHER_LEAST: usize = 3;
/// that fell silent within this time of each other are not what has failed.
const TOGETHER_MS: Millis = 30_000;

/// What a pulse asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum PulseEffect {
    /// Ask the agent whether it is there; this also renews its lease.
    Ping,
    /// Nothing has been heard for longer than this link has ever been silent.
    Suspect {
        /// How long.
        silent_ms: Millis,
        /// What would have been tolerated of a controller in good health.
        limit_ms: Millis,
    },
    /// A host that was suspect has spoken.
    Heard {
        /// How long it had not.
        silent_ms: Millis,
    },
}

/// The pulse of one host over all of its links. Times are any clock's that does not go back.
#[derive(Clone, Debug)]
pub struct Pulse {
    fleet_period_ms: Millis,
    /// The longest time between two questions that the lease allows.
    renews_every_ms: Millis,
    /// The largest gap of each span of the last hour, oldest first, with the span's number.
    gaps: VecDeque<(Millis, Millis)>,
    heard_at: Millis,
    asked_at: Option<Millis>,
    suspected: Suspected,
    /// When it said it would look again.
    looks_at: Option<Millis>,
    /// A silence that ended and was not said yet.
    back: Option<Millis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspected {
    No,
    Yes,
}

impl Pulse {
    /// A pulse of one of so many hosts, on which tasks live so long without a word; `None` is for ever.
    pub fn new(hosts: usize, lease_ms: Option<Millis>) -> Self {
        let renews_every_ms = lease_ms.map(|ms| (ms / ASKED_IN_LEASE).max(LEAST_PERIOD_MS));
        let fleet = PERIOD_PER_HOST_MS.saturating_mul(hosts as u64).saturating_add(PERIOD_MS);
        Pulse {
            fleet_period_ms: fleet.min(MOST_FLEET_PERIOD_MS),
            renews_every_ms: renews_every_ms.unwrap_or(Millis::MAX),
            gaps: VecDeque::new(),
            heard_at: 0,
            asked_at: None,
            suspected: Suspected::No,
            looks_at: None,
            back: None,
        }
    }

    /// A new link is up. How long its handshake took is the first that is known of it: half of that counts as a gap.
    pub fn linked(&mut self, now: Millis, handshake_ms: Millis) {
        self.remember(now, handshake_ms / 2);
        self.heard_at = now;
        self.asked_at = None;
        self.suspected = Suspected::No;
        self.looks_at = None;
        self.back = None;
    }

    /// Something came that only the other end can have sent.
    pub fn heard(&mut self, now: Millis) {
        self.notice_sleep(now);
        let silent_ms = now.saturating_sub(self.heard_at);
        if silent_ms > 0 {
            self.remember(now, silent_ms);
            self.heard_at = now;
        }
        if std::mem::replace(&mut self.suspected, Suspected::No) == Suspected::Yes {
            self.back = Some(silent_ms);
        }
    }

    /// What to do now. Asked again at the same instant it says nothing more.
    pub fn decide(&mut self, now: Millis, factor: u64) -> Vec<PulseEffect> {
        self.notice_sleep(now);
        let mut effects =
            Vec::from_iter(self.back.take().map(|ms| PulseEffect::Heard { silent_ms: ms }));
        if now >= self.asks_at() {
            self.asked_at = Some(now);
            effects.push(PulseEffect::Ping);
        }
        let silent_ms = now.saturating_sub(self.heard_at);
        if self.suspected == Suspected::No && silent_ms >= self.limit_ms() * factor {
            self.suspected = Suspected::Yes;
            effects.push(PulseEffect::Suspect { silent_ms, limit_ms: self.limit_ms() });
        }
        self.looks_at = Some(self.next(factor).max(now + 1));
        effects
    }

    /// When to be asked again though nothing is heard; strictly later than `now`.
    pub fn wake_at(&self, now: Millis, factor: u64) -> Millis {
        self.next(factor).max(now + 1)
    }

    /// Nothing has been heard for too long.
    pub fn is_suspect(&self) -> bool {
        self.suspected == Suspected::Yes
    }

    /// Silence that is tolerated: twice the largest gap of the last hour, within bounds.
    pub fn limit_ms(&self) -> Millis {
        let largest = self.gaps.iter().map(|(_, gap)| *gap).max().unwrap_or(0);
        (2 * largest).clamp(LEAST_LIMIT_MS, MOST_LIMIT_MS)
    }

    /// How long an idle link is left alone: several times within the limit, so that one lost question proves nothing.
    pub fn period_ms(&self) -> Millis {
        (self.limit_ms() / 3).max(self.fleet_period_ms).clamp(LEAST_PERIOD_MS, MOST_PERIOD_MS)
    }

    fn next(&self, factor: u64) -> Millis {
        match self.suspected {
            Suspected::Yes => self.asks_at(),
            Suspected::No => self.asks_at().min(self.heard_at + self.limit_ms() * factor),
        }
    }

    fn asks_at(&self) -> Millis {
        let Some(asked) = self.asked_at else { return self.heard_at };
        let idle = asked.max(self.heard_at) + self.period_ms();
        let busy = asked + RENEWAL_MS.max(self.period_ms());
        idle.min(busy).min(asked.saturating_add(self.renews_every_ms))
    }

    /// Time in which this process did not run is not silence: nobody listened.
    fn notice_sleep(&mut self, now: Millis) {
        let Some(looks_at) = self.looks_at else { return };
        let late = now.saturating_sub(looks_at);
        if late >= ASLEEP_MS {
            self.heard_at += late;
            self.looks_at = Some(now);
        }
    }

    fn remember(&mut self, now: Millis, gap_ms: Millis) {
        let span = now / GAP_SPAN_MS;
        self.gaps.retain(|(number, _)| number + GAP_SPANS > span);
        match self.gaps.back_mut() {
            Some((number, largest)) if *number == span => *largest = (*largest).max(gap_ms),
            Some(_) | None => self.gaps.push_back((span, gap_ms)),
        }
    }
}

/// The health of the process that watches: who is late himself should not call others late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    factor: u64,
}

impl Default for Health {
    fn default() -> Self {
        Health { factor: 1 }
    }
}

impl Health {
    /// The loop came so much later than it was due. Bad news counts at once, good news step by step.
    pub fn looked(&mut self, late_ms: Millis) {
        let wanted = (1 + late_ms / LATE_MS).min(MOST_FACTOR);
        self.factor = wanted.max(self.factor - 1).max(1);
    }

    /// By what limits are multiplied: 1 to 8.
    pub fn factor(self) -> u64 {
        self.factor
    }
}

/// Whether hosts that have been silent since these times, out of so many, fell silent together: then it is our own network.
pub fn is_own_network(silent_since: &mut [Millis], watched: usize) -> bool {
    silent_since.sort_unstable();
    let among = |first: usize| {
        let until = silent_since[first] + TOGETHER_MS;
        silent_since[first..].iter().take_while(|since| **since <= until).count()
    };
    let together = (0..silent_since.len()).map(among).max().unwrap_or(0);
    let is_all = together == watched && watched > 1;
    together * 100 > watched * TOGETHER_PERCENT && (together >= TOGETHER_LEAST || is_all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets the pulse go on until it suspects; every question is answered after `delay_ms` until `deaf_from`. When it
    /// suspected, and how many questions were asked.
    fn check(
        pulse: &mut Pulse,
        delay_ms: Millis,
        deaf_from: Millis,
        until: Millis,
        factor: u64,
    ) -> (Option<Millis>, u32) {
        let (mut now, mut answers, mut asked) = (pulse.heard_at, VecDeque::new(), 0);
        while now < until {
            while answers.front().is_some_and(|at| *at <= now) {
                answers.pop_front();
                pulse.heard(now);
            }
            for effect in pulse.decide(now, factor) {
                match effect {
                    PulseEffect::Ping if now + delay_ms < deaf_from => {
                        asked += 1;
                        answers.push_back(now + delay_ms);
                    }
                    PulseEffect::Ping => asked += 1,
                    PulseEffect::Suspect { .. } => return (Some(now), asked),
                    PulseEffect::Heard { .. } => {}
                }
            }
            assert!(pulse.decide(now, factor).is_empty(), "asked twice it says nothing more");
            assert!(pulse.wake_at(now, factor) > now);
            now = answers.front().copied().unwrap_or(Millis::MAX).min(pulse.wake_at(now, factor));
        }
        (None, asked)
    }

    fn linked(hosts: usize, handshake_ms: Millis) -> Pulse {
        let mut pulse = Pulse::new(hosts, None);
        pulse.linked(1_000_000, handshake_ms);
        pulse
    }

    #[test]
    fn f11_a_short_lease_is_renewed_several_times_on_a_link_that_was_silent_for_long() {
        for lease_ms in [4_000, 10_000, 30_000] {
            let mut pulse = Pulse::new(1, Some(lease_ms));
            pulse.linked(1_000_000, 100_000);
            assert!(pulse.period_ms() > 10_000, "without a lease it would be asked seldom");
            let (_, asked) = check(&mut pulse, 1, Millis::MAX, 1_000_000 + 10 * lease_ms, 1);
            assert!((40..=41).contains(&asked), "{asked} questions in ten times {lease_ms} ms");
        }
    }

    #[test]
    fn f35_silence_on_a_good_link_is_suspicious_within_ten_seconds() {
        for hosts in [1, 20, 1_000, 100_000] {
            let cut = 1_600_000;
            let (suspected, _) = check(&mut linked(hosts, 300), 1, cut, cut + 60_000, 1);
            let after = suspected.expect("it is noticed") - cut;
            assert!(after <= 10_000, "{hosts} hosts: after {after} ms");
        }
    }

    #[test]
    fn f40_answers_that_take_four_seconds_are_not_suspicious_on_a_link_with_a_slow_handshake() {
        let mut pulse = linked(1, 16_000);
        assert_eq!(check(&mut pulse, 4_000, Millis::MAX, 5_000_000, 1).0, None);
        assert!(pulse.limit_ms() <= 24_000, "{}: it does not run away", pulse.limit_ms());
    }

    #[test]
    fn f36_an_idle_link_is_never_left_alone_for_twenty_seconds() {
        for handshake_ms in [0, 1_000, 16_000, 100_000_000] {
            let mut pulse = linked(1_000, handshake_ms);
            let ms = 3_000_000;
            let (_, asked) = check(&mut pulse, 1, Millis::MAX, 1_000_000 + ms, 1);
            assert!(u64::from(asked) >= ms / MOST_PERIOD_MS, "{asked} questions");
            assert!((LEAST_PERIOD_MS..=MOST_PERIOD_MS).contains(&pulse.period_ms()));
        }
    }

    #[test]
    fn a_busy_link_is_hardly_asked_and_still_renews_the_lease() {
        let mut pulse = linked(1, 10);
        let mut asked = 0;
        for now in (1_000_000..1_060_000).step_by(100) {
            pulse.heard(now);
            asked += pulse.decide(now, 1).len();
        }
        assert!((6..=7).contains(&asked), "{asked} questions in a minute");
    }

    #[test]
    fn a_gap_of_the_last_hour_is_tolerated_twice_and_then_forgotten() {
        let mut pulse = linked(1, 10);
        pulse.heard(1_009_000);
        assert_eq!(pulse.limit_ms(), 18_000);
        pulse.linked(1_010_000 + 3_900_000, 10);
        assert_eq!(pulse.limit_ms(), LEAST_LIMIT_MS);
    }

    #[test]
    fn f43_time_in_which_nobody_listened_is_no_silence() {
        let mut pulse = linked(1, 10);
        let _ = pulse.decide(1_000_000, 1);
        assert_eq!(pulse.decide(1_060_000, 1), [PulseEffect::Ping], "it was stopped for a minute");
        pulse.heard(1_060_010);
        assert_eq!(pulse.limit_ms(), LEAST_LIMIT_MS, "the minute is no gap");
        // Who does not answer after it is noticed as ever.
        let _ = pulse.decide(1_062_010, 1);
        let (suspected, _) = check(&mut pulse, 1, 0, 2_000_000, 1);
        assert_eq!(suspected, Some(1_065_010));
    }

    #[test]
    fn a_controller_that_is_late_itself_waits_longer() {
        let mut health = Health::default();
        health.looked(499);
        assert_eq!(health.factor(), 1);
        health.looked(60_000);
        assert_eq!(health.factor(), 8);
        let (suspected, _) = check(&mut linked(1, 10), 1, 0, 2_000_000, health.factor());
        assert_eq!(suspected, Some(1_040_000));
        (0..6).for_each(|_| health.looked(0));
        assert_eq!(health.factor(), 2, "trust comes back step by step");
    }

    #[test]
    fn a_host_that_speaks_again_is_told_once() {
        let mut pulse = linked(1, 10);
        let (at, _) = check(&mut pulse, 1, 0, 2_000_000, 1);
        let at = at.expect("it was suspected");
        (1..=30).for_each(|n| drop(pulse.decide(at + n * 100, 1)));
        pulse.heard(at + 3_000);
        let said = pulse.decide(at + 3_000, 1);
        assert!(said.contains(&PulseEffect::Heard { silent_ms: 8_000 }), "{said:?}");
        assert!(!pulse.is_suspect());
    }

    #[test]
    fn many_hosts_that_fall_silent_together_are_our_own_network() {
        let check = |since: &[Millis], watched| is_own_network(&mut since.to_vec(), watched);
        assert!(check(&[5, 9, 1_000, 20_000], 10));
        assert!(!check(&[5, 9, 1_000], 10), "30 % are not more than 30 %");
        assert!(!check(&[5, 40_000, 80_000, 120_000], 10), "one after the other they are gone");
        assert!(!check(&[5], 1), "one host alone proves nothing");
        assert!(!check(&[5, 6], 3));
        assert!(check(&[5, 6], 2));
        assert!(!check(&[], 0));
    }
}
