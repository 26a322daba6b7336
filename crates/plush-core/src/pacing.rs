//! How many handshakes may be in flight at once, and when a failed one is tried again.
//!
//! A rule without I/O: facts and the time go in, effects come out. Sessions that are open are not counted.

use std::collections::{BTreeMap, BTreeSet};

/// One host's wish to be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is a link.
    Connected,
    /// The server sheds load.
    PushedBack,
    /// The host had let us in, and then was cut off or too slow: what all of them share has too much to do.
    Interrupted,
    /// The network or the host may recover.
    Retryable,
    /// Trying again changes nothing.
    Permanent,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PacingEvent {
    /// A host wants to be connected; it shares each of these lanes with others.
    Wanted {
        /// Whose wish.
        ticket: Ticket,
        /// Address, jump host: whatever has a limit of its own.
        lanes: Vec<String>,
    },
    /// An attempt is through the handshake; it goes on without being counted.
    LoggedIn {
        /// Whose attempt.
        ticket: Ticket,
    },
    /// An attempt is over.
    Ended {
        /// Whose attempt.
        ticket: Ticket,
        /// How.
        verdict: Verdict,
    },
    /// Nobody wants it any more.
    Withdrawn {
        /// Whose wish.
        ticket: Ticket,
    },
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum PacingEffect {
    /// Begin an attempt, the first being 1.
    Start {
        /// Whose.
        ticket: Ticket,
        /// Which.
        attempt: u32,
    },
    /// The last failure stands.
    GiveUp {
        /// Whose.
        ticket: Ticket,
        /// After how many attempts.
        attempts: u32,
    },
}

/// The bounds of the rule.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Handshakes in flight per lane to begin with: under OpenSSH's default of ten.
    pub first_budget: f64,
    /// At most per lane.
    pub max_budget: f64,
    /// At most in all lanes together: the controller's own arithmetic. Halved when attempts are cut off, down to
    /// [`Self::least_together`].
    pub together: usize,
    /// So many in all lanes are always allowed.
    pub least_together: usize,
    /// Attempts at most at a host that is cut off each time.
    pub interrupted_attempts: u32,
    /// Before the second attempt; doubles each time.
    pub first_delay_ms: u64,
    /// At most between attempts.
    pub max_delay_ms: u64,
    /// A host whose server sheds load is tried until this long after its first attempt.
    pub push_back_patience_ms: u64,
    /// A host that cannot be reached is tried until this long after its first attempt.
    pub patience_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_budget: 8.0,
            max_budget: 64.0,
            together: 128,
            least_together: 8,
            interrupted_attempts: 4,
            first_delay_ms: 250,
            max_delay_ms: 4_000,
            push_back_patience_ms: 50_000,
            patience_ms: 6_000,
        }
    }
}

/// The rule's state.
#[derive(Debug)]
pub struct Pacing {
    limits: Limits,
    seed: u64,
    lanes: BTreeMap<String, Lane>,
    wishes: BTreeMap<Ticket, Wish>,
    /// Waiting tickets by the time from which they may start, then by age.
    waiting: BTreeSet<(u64, Ticket)>,
    in_flight: usize,
    /// Allowed in all lanes together at present, and when it was halved last.
    together: usize,
    halved_at_ms: Option<u64>,
    given_up: Vec<(Ticket, u32)>,
}

#[derive(Debug)]
struct Lane {
    budget: f64,
    in_flight: usize,
    /// Until the first loss the budget grows by one per success, later by one per round.
    has_lost: bool,
    shrunk_at_ms: Option<u64>,
}

#[derive(Debug)]
struct Wish {
    lanes: Vec<String>,
    attempts: u32,
    first_started_ms: Option<u64>,
    started_ms: u64,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Waiting {
        from_ms: u64,
    },
    InFlight {
        started_ms: u64,
    },
    /// Past the handshake, not yet at its end.
    LoggedIn,
}

impl Pacing {
    /// The seed spreads the retries; the same seed and facts give the same effects.
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            together: limits.together,
            halved_at_ms: None,
            limits,
            seed,
            lanes: BTreeMap::new(),
            wishes: BTreeMap::new(),
            waiting: BTreeSet::new(),
            in_flight: 0,
            given_up: Vec::new(),
        }
    }

    /// Writes down what happened.
    pub fn absorb(&mut self, now_ms: u64, event: PacingEvent) {
        match event {
            PacingEvent::Wanted { ticket, lanes } => self.want(now_ms, ticket, lanes),
            PacingEvent::LoggedIn { ticket } => {
                if self.leave_lanes(ticket).is_some() {
                    self.grow(ticket);
                    self.set_state(ticket, State::LoggedIn);
                }
            }
            PacingEvent::Ended { ticket, verdict } => self.ended(now_ms, ticket, verdict),
            PacingEvent::Withdrawn { ticket } => self.forget(ticket),
        }
    }

    /// What to do now; twice in a row, the second says nothing.
    pub fn decide(&mut self, now_ms: u64) -> Vec<PacingEffect> {
        let given_up = std::mem::take(&mut self.given_up);
        let mut effects: Vec<PacingEffect> = given_up
            .into_iter()
            .map(|(ticket, attempts)| PacingEffect::GiveUp { ticket, attempts })
            .collect();
        let due: Vec<(u64, Ticket)> =
            self.waiting.range(..=(now_ms, Ticket(u64::MAX))).copied().collect();
        for (from_ms, ticket) in due {
            if self.in_flight >= self.together {
                break;
            }
            if self.has_room(ticket) {
                self.waiting.remove(&(from_ms, ticket));
                effects.push(self.start(now_ms, ticket));
            }
        }
        effects
    }

    /// When to ask again, if nothing happens before; strictly later than now.
    pub fn wake_at(&self, now_ms: u64) -> Option<u64> {
        self.waiting
            .range((now_ms.saturating_add(1), Ticket(0))..)
            .next()
            .map(|(from_ms, _)| *from_ms)
    }

    /// Handshakes in flight and allowed in a lane, for people.
    pub fn lane(&self, name: &str) -> Option<(usize, usize)> {
        self.lanes.get(name).map(|lane| (lane.in_flight, lane.budget as usize))
    }

    fn want(&mut self, now_ms: u64, ticket: Ticket, lanes: Vec<String>) {
        let first_budget = self.limits.first_budget;
        for lane in &lanes {
            self.lanes.entry(lane.clone()).or_insert(Lane {
                budget: first_budget,
                in_flight: 0,
                has_lost: false,
                shrunk_at_ms: None,
            });
        }
        let state = State::Waiting { from_ms: now_ms };
        self.wishes.insert(
            ticket,
            Wish { lanes, attempts: 0, first_started_ms: None, started_ms: now_ms, state },
        );
        self.waiting.insert((now_ms, ticket));
    }

    fn has_room(&self, ticket: Ticket) -> bool {
        let wish = &self.wishes[&ticket];
        wish.lanes.iter().all(|name| {
            let lane = &self.lanes[name];
            (lane.in_flight as f64) + 1.0 <= lane.budget
        })
    }

    fn start(&mut self, now_ms: u64, ticket: Ticket) -> PacingEffect {
        let wish = self.wishes.get_mut(&ticket).expect("a waiting ticket has its wish");
        wish.attempts += 1;
        wish.first_started_ms.get_or_insert(now_ms);
        wish.started_ms = now_ms;
        wish.state = State::InFlight { started_ms: now_ms };
        self.in_flight += 1;
        for name in &wish.lanes {
            self.lanes.get_mut(name).expect("a wish's lanes exist").in_flight += 1;
        }
        PacingEffect::Start { ticket, attempt: wish.attempts }
    }

    fn ended(&mut self, now_ms: u64, ticket: Ticket, verdict: Verdict) {
        let started_ms = self.leave_lanes(ticket);
        match verdict {
            Verdict::Connected => {
                if started_ms.is_some() {
                    self.grow(ticket);
                }
                self.together = (self.together + 1).min(self.limits.together);
                self.forget(ticket);
            }
            Verdict::Interrupted => self.interrupted(now_ms, ticket),
            Verdict::PushedBack => {
                if let Some(started_ms) = started_ms {
                    self.shrink(now_ms, started_ms, ticket);
                }
                self.again_or_give_up(now_ms, ticket, self.limits.push_back_patience_ms);
            }
            Verdict::Retryable => self.again_or_give_up(now_ms, ticket, self.limits.patience_ms),
            Verdict::Permanent => self.give_up(ticket),
        }
    }

    /// Halves what may be in flight, once for all that were cut off in one burst.
    fn interrupted(&mut self, now_ms: u64, ticket: Ticket) {
        let Some(wish) = self.wishes.get(&ticket) else { return };
        let (attempts, started_ms) = (wish.attempts, wish.started_ms);
        if self.halved_at_ms.is_none_or(|at| started_ms > at) {
            self.together = (self.together / 2).max(self.limits.least_together);
            self.halved_at_ms = Some(now_ms);
        }
        match attempts < self.limits.interrupted_attempts {
            true => self.again_or_give_up(now_ms, ticket, u64::MAX),
            false => self.give_up(ticket),
        }
    }

    fn again_or_give_up(&mut self, now_ms: u64, ticket: Ticket, patience_ms: u64) {
        let Some(wish) = self.wishes.get(&ticket) else { return };
        let from_ms = now_ms + self.delay_ms(ticket, wish.attempts);
        let first_ms = wish.first_started_ms.unwrap_or(now_ms);
        if from_ms > first_ms.saturating_add(patience_ms) {
            return self.give_up(ticket);
        }
        self.set_state(ticket, State::Waiting { from_ms });
        self.waiting.insert((from_ms, ticket));
    }

    fn give_up(&mut self, ticket: Ticket) {
        if let Some(wish) = self.wishes.get(&ticket) {
            self.given_up.push((ticket, wish.attempts));
            self.forget(ticket);
        }
    }

    fn forget(&mut self, ticket: Ticket) {
        self.leave_lanes(ticket);
        let Some(wish) = self.wishes.remove(&ticket) else { return };
        if let State::Waiting { from_ms } = wish.state {
            self.waiting.remove(&(from_ms, ticket));
        }
    }

    /// Frees the places of an attempt in flight; says when it was started.
    fn leave_lanes(&mut self, ticket: Ticket) -> Option<u64> {
        let wish = self.wishes.get_mut(&ticket)?;
        let State::InFlight { started_ms } = wish.state else { return None };
        wish.state = State::LoggedIn;
        self.in_flight -= 1;
        for name in &wish.lanes {
            self.lanes.get_mut(name).expect("a wish's lanes exist").in_flight -= 1;
        }
        Some(started_ms)
    }

    fn set_state(&mut self, ticket: Ticket, state: State) {
        if let Some(wish) = self.wishes.get_mut(&ticket) {
            wish.state = state;
        }
    }

    fn grow(&mut self, ticket: Ticket) {
        let max = self.limits.max_budget;
        for name in &self.wishes[&ticket].lanes {
            let lane = self.lanes.get_mut(name).expect("a wish's lanes exist");
            let step = if lane.has_lost { 1.0 / lane.budget } else { 1.0 };
            lane.budget = (lane.budget + step).min(max);
        }
    }

    /// Halves the budget, once for all the losses of one burst.
    fn shrink(&mut self, now_ms: u64, started_ms: u64, ticket: Ticket) {
        for name in &self.wishes[&ticket].lanes {
            let lane = self.lanes.get_mut(name).expect("a wish's lanes exist");
            lane.has_lost = true;
            if lane.shrunk_at_ms.is_none_or(|at| started_ms > at) {
                lane.budget = (lane.budget / 2.0).max(1.0);
                lane.shrunk_at_ms = Some(now_ms);
            }
        }
    }

    /// Doubles with each attempt, bounded, between half and the whole of it.
    fn delay_ms(&self, ticket: Ticket, attempts: u32) -> u64 {
        let doublings = attempts.saturating_sub(1).min(16);
        let full = (self.limits.first_delay_ms << doublings).min(self.limits.max_delay_ms).max(2);
        full / 2 + mixed(self.seed ^ mixed(ticket.0) ^ u64::from(attempts)) % (full / 2)
    }
}

/// Spreads a number over all 64 bits (the finaliser of splitmix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pacing(wanted: u64) -> Pacing {
        let mut pacing = Pacing::new(Limits::default(), 7);
        for ticket in 0..wanted {
            pacing.absorb(
                0,
                PacingEvent::Wanted { ticket: Ticket(ticket), lanes: vec!["web:22".to_owned()] },
            );
        }
        pacing
    }

    fn started(effects: &[PacingEffect]) -> Vec<Ticket> {
        let tickets = effects.iter().filter_map(|effect| match effect {
            PacingEffect::Start { ticket, .. } => Some(*ticket),
            PacingEffect::GiveUp { .. } => None,
        });
        tickets.collect()
    }

    fn end(pacing: &mut Pacing, now_ms: u64, ticket: Ticket, verdict: Verdict) {
        pacing.absorb(now_ms, PacingEvent::Ended { ticket, verdict });
    }

    #[test]
    fn only_the_budget_is_in_flight_and_deciding_twice_starts_nothing_more() {
        let mut pacing = pacing(100);
        assert_eq!(started(&pacing.decide(0)).len(), 8);
        assert_eq!(pacing.decide(0), vec![]);
    }

    #[test]
    fn a_login_frees_its_place_and_widens_the_lane() {
        let mut pacing = pacing(100);
        let first = started(&pacing.decide(0));
        for ticket in first {
            pacing.absorb(10, PacingEvent::LoggedIn { ticket });
        }
        assert_eq!(pacing.lane("web:22"), Some((0, 16)));
        assert_eq!(started(&pacing.decide(10)).len(), 16);
    }

    #[test]
    fn one_burst_of_losses_halves_the_budget_once() {
        let mut pacing = pacing(100);
        for ticket in started(&pacing.decide(0)) {
            end(&mut pacing, 10, ticket, Verdict::PushedBack);
        }
        assert_eq!(pacing.lane("web:22"), Some((0, 4)));
        for ticket in started(&pacing.decide(20)) {
            end(&mut pacing, 30, ticket, Verdict::PushedBack);
        }
        assert_eq!(pacing.lane("web:22"), Some((0, 2)));
    }

    #[test]
    fn a_jump_host_has_a_budget_of_its_own() {
        let mut pacing = Pacing::new(Limits::default(), 7);
        for ticket in 0..20 {
            let lanes = vec![format!("web{ticket}:22"), "jump gate".to_owned()];
            pacing.absorb(0, PacingEvent::Wanted { ticket: Ticket(ticket), lanes });
        }
        assert_eq!(started(&pacing.decide(0)).len(), 8);
    }

    #[test]
    fn a_full_lane_does_not_hold_up_another() {
        let mut pacing = pacing(50);
        pacing
            .absorb(1, PacingEvent::Wanted { ticket: Ticket(99), lanes: vec!["db:22".to_owned()] });
        assert!(started(&pacing.decide(1)).contains(&Ticket(99)));
    }

    #[test]
    fn f31_a_refused_login_is_never_tried_again() {
        let mut pacing = pacing(1);
        let _ = pacing.decide(0);
        end(&mut pacing, 10, Ticket(0), Verdict::Permanent);
        assert_eq!(
            pacing.decide(10),
            vec![PacingEffect::GiveUp { ticket: Ticket(0), attempts: 1 }]
        );
        assert_eq!((pacing.decide(100_000), pacing.wake_at(0)), (vec![], None));
    }

    #[test]
    fn f27_a_host_that_was_silent_for_nine_seconds_is_not_tried_again() {
        let mut pacing = pacing(1);
        let _ = pacing.decide(0);
        end(&mut pacing, 9_000, Ticket(0), Verdict::Retryable);
        assert_eq!(
            pacing.decide(9_000),
            vec![PacingEffect::GiveUp { ticket: Ticket(0), attempts: 1 }]
        );
    }

    #[test]
    fn a_host_that_was_cut_off_late_is_tried_again_but_not_for_ever() {
        let mut pacing = pacing(1);
        let (mut now, mut attempts) = (0, 0);
        loop {
            match pacing.decide(now).first() {
                Some(PacingEffect::Start { .. }) => attempts += 1,
                Some(PacingEffect::GiveUp { .. }) => break,
                None => {}
            }
            pacing.absorb(now + 100, PacingEvent::LoggedIn { ticket: Ticket(0) });
            end(&mut pacing, now + 20_000, Ticket(0), Verdict::Interrupted);
            now = pacing.wake_at(now + 20_000).unwrap_or(now + 20_000);
        }
        assert_eq!(attempts, Limits::default().interrupted_attempts);
    }

    #[test]
    fn hosts_that_are_cut_off_together_halve_what_is_in_flight_once() {
        let mut pacing = Pacing::new(Limits::default(), 7);
        for ticket in 0..400 {
            let lanes = vec![format!("web{ticket}:22")];
            pacing.absorb(0, PacingEvent::Wanted { ticket: Ticket(ticket), lanes });
        }
        let first = started(&pacing.decide(0));
        assert_eq!(first.len(), 128);
        first.iter().for_each(|ticket| pacing.absorb(9, PacingEvent::LoggedIn { ticket: *ticket }));
        first.iter().for_each(|ticket| end(&mut pacing, 10, *ticket, Verdict::Interrupted));
        assert_eq!(started(&pacing.decide(10)).len(), 64);
    }

    #[test]
    fn retries_wait_longer_each_time_and_are_bounded() {
        let mut pacing = pacing(1);
        let (mut now, mut attempts) = (0, 0);
        loop {
            match pacing.decide(now).first() {
                Some(PacingEffect::Start { .. }) => attempts += 1,
                Some(PacingEffect::GiveUp { .. }) => break,
                None => {}
            }
            end(&mut pacing, now, Ticket(0), Verdict::Retryable);
            now = pacing.wake_at(now).unwrap_or(now);
        }
        assert!((4..=8).contains(&attempts), "{attempts} attempts in {now} ms");
        assert!(now <= Limits::default().patience_ms);
    }

    #[test]
    fn a_withdrawn_wish_frees_its_place() {
        let mut pacing = pacing(9);
        let _ = pacing.decide(0);
        pacing.absorb(1, PacingEvent::Withdrawn { ticket: Ticket(0) });
        assert_eq!(started(&pacing.decide(1)), vec![Ticket(8)]);
    }

    /// A server as OpenSSH's `MaxStartups 10:30:100`: beyond ten it drops some, beyond a hundred all.
    #[test]
    fn f33_two_hundred_hosts_behind_one_server_all_connect_in_a_minute() {
        let mut pacing = pacing(200);
        let mut running: BTreeMap<u64, Vec<(Ticket, Verdict)>> = BTreeMap::new();
        let (mut now, mut connected, mut draws) = (0_u64, 0, 0_u64);
        while connected < 200 {
            for (ticket, verdict) in running.remove(&now).unwrap_or_default() {
                connected += u64::from(verdict == Verdict::Connected);
                end(&mut pacing, now, ticket, verdict);
            }
            for effect in pacing.decide(now) {
                let PacingEffect::Start { ticket, .. } = effect else {
                    panic!("{effect:?} at {now} ms")
                };
                let unauthenticated: usize =
                    running.values().flatten().filter(|(_, v)| *v == Verdict::Connected).count();
                draws += 1;
                let percent = if unauthenticated < 10 {
                    0
                } else {
                    30 + 70 * (unauthenticated as u64 - 10) / 90
                };
                let (after, verdict) = match mixed(draws) % 100 < percent {
                    true => (1, Verdict::PushedBack),
                    false => (150, Verdict::Connected),
                };
                running.entry(now + after).or_default().push((ticket, verdict));
            }
            now += 1;
            assert!(now < 60_000, "only {connected} connected");
        }
    }
}
