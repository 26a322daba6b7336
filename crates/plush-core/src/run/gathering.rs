//! A barrier of the description in a run: who sits where in it, and who is to be told what.
//! Not its rules, which are [`Rounds`], and not what is done with those that it lets go.
//!
//! Steps and programs enter the same barrier. Each expected host has one seat, or as many as the description says; who
//! comes first takes it, and keeps it from round to round. More programs than seats get seats of their own.

use super::together::{Punctuality, WentOn};
use crate::Millis;
use crate::barrier::{Entrant, Opening, Rounds, Stand, Verdict};
use crate::elapsed::Elapsed;
use crate::plan::HostId;
use plush_protocol::{BarrierAsk, BarrierOutcome, BarrierStand, BarrierVerb, MAX_ALIAS_BYTES};
use plush_spec::model::BarrierPolicy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Seats of one host at one barrier: more programs than that are refused.
const SEATS_MAX: usize = 256;
/// Requests of one entrant that may wait at the same time; of more, the oldest is told that it is dropped.
const REQUESTS_MAX: usize = 16;

/// A barrier of the description in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Gathering {
    rounds: Rounds,
    per_host: usize,
    seats: BTreeMap<Entrant, Seat>,
    of_host: BTreeMap<HostId, Vec<Entrant>>,
    /// How well programs went on that were let go at an instant.
    punctuality: Punctuality,
    /// The number of the next seat that is not a host's first: those bear their hosts' numbers.
    next_seat: u32,
}

/// Where one entrant sits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seat {
    host: HostId,
    owner: Option<Owner>,
    /// The step whose task sat here last: it is free, and expected as long as a step that follows that one may take it.
    kept_after: Option<usize>,
    /// Requests that wait for this entrant's release.
    waiting: Vec<u64>,
    /// The newest request that made it enter, in which round, and what it was told.
    last: Option<Asked>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Asked {
    request: u64,
    generation: u32,
    told: Option<BarrierOutcome>,
    /// The elapsed time at which its program is to continue, until the actual time is known.
    due: Option<Millis>,
}

/// Who sits on a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Owner {
    /// A step of the description on the host.
    Step,
    /// A program of a task, or of none, under a name of its own or under none.
    Program { task: Option<u32>, alias: String },
}

/// What is still to come on a host.
pub(super) struct Rest {
    /// By step: whether steps with programs come after it that are not over.
    pub followed: Vec<bool>,
    /// The steps that are not over: the task of each, where it has begun.
    pub others: Vec<Option<u32>>,
}

/// What a barrier wants done about one entrant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Told {
    /// The step on this host goes on, at the instant if there is one.
    StepReleased { host: HostId, generation: u32, instant: Option<Millis> },
    /// The step on this host came too late.
    StepTooLate(HostId),
    /// A request from this host is answered; who is let go goes on at the instant, if there is one.
    Answer { host: HostId, request: u64, outcome: BarrierOutcome, instant: Option<Millis> },
}

impl Gathering {
    /// A barrier in a run with so many hosts, at which nobody is expected yet.
    pub fn new(policy: BarrierPolicy, per_host: u32, hosts: usize) -> Self {
        Gathering {
            rounds: Rounds::new(policy),
            per_host: per_host.max(1) as usize,
            seats: BTreeMap::new(),
            of_host: BTreeMap::new(),
            punctuality: Punctuality::default(),
            next_seat: u32::try_from(hosts).expect("hosts are counted in 32 bits"),
        }
    }

    /// The rounds.
    pub fn rounds(&self) -> &Rounds {
        &self.rounds
    }

    /// How well its programs went on.
    pub fn punctuality(&self) -> &Punctuality {
        &self.punctuality
    }

    /// The program of a request went on. Counted once for each entrant and round.
    pub fn went_on(&mut self, host: HostId, request: u64, when: WentOn) {
        for seat in self.of_host.get(&host).map_or(&[][..], Vec::as_slice) {
            let last = self.seats.get_mut(seat).and_then(|seat| seat.last.as_mut());
            if let Some(last) = last.filter(|last| last.request == request)
                && let Some(instant) = last.due.take()
            {
                self.punctuality.went_on(last.generation, instant, when);
            }
        }
    }

    /// An instant at which released members are to continue, in elapsed time.
    pub fn shown_instant(&self, instant: Millis, elapsed: &Elapsed) -> Millis {
        elapsed.shown_after(instant, self.rounds.policy().together_ms.unwrap_or(0))
    }

    /// Opens the generation that waits to open.
    pub fn open_now(&mut self, why: Opening, now: Millis) {
        self.rounds.open_now(why, now);
    }

    /// While it is shut, no generation opens by itself.
    pub fn shut(&mut self, shut: bool) {
        self.rounds.shut(shut);
    }

    /// Holds the generation that waits to open.
    pub fn hold(&mut self, until: Millis) {
        self.rounds.hold(until);
    }

    /// Whose seat it is.
    pub fn host_of(&self, entrant: Entrant) -> Option<HostId> {
        self.seats.get(&entrant).map(|seat| seat.host)
    }

    /// The host's programs or step are going to come: from that round on, be it open or not, or where none is named from the
    /// first that is not open. Saying it twice changes nothing.
    pub fn expect(&mut self, host: HostId, round: Option<u32>) {
        while self.of_host.get(&host).map_or(0, Vec::len) < self.per_host {
            self.add_seat(host);
        }
        for seat in self.of_host[&host].iter().take(self.per_host) {
            match round {
                Some(round) => self.rounds.expect_from(*seat, round),
                None => self.rounds.expect(*seat),
            }
        }
    }

    /// The host's step enters its next round.
    pub fn enter_step(&mut self, host: HostId, now: Millis) {
        if let Some(entrant) = self.seat_for(host, Owner::Step) {
            self.rounds.enter(entrant, None, now);
        }
    }

    /// The host's step is through.
    pub fn leave_step(&mut self, host: HostId, now: Millis) {
        if let Some(entrant) = self.find(host, &Owner::Step) {
            self.rounds.leave(entrant, None, now);
        }
    }

    /// A program asks; the answer, unless it has to wait for it.
    pub fn ask(
        &mut self,
        host: HostId,
        ask: &BarrierAsk,
        now: Millis,
        elapsed: &Elapsed,
    ) -> Vec<Told> {
        let answer = |outcome| vec![Told::answer(host, ask.request, outcome)];
        if ask.who.alias.raw().len() > MAX_ALIAS_BYTES {
            let why = format!("a name of an entrant has at most {MAX_ALIAS_BYTES} bytes");
            return answer(BarrierOutcome::Refused { why });
        }
        let owner = Owner::Program {
            task: ask.who.task.map(|key| key.task),
            alias: ask.who.alias.raw().to_owned(),
        };
        match ask.verb {
            BarrierVerb::State => answer(BarrierOutcome::Stands(self.stand())),
            BarrierVerb::Leave => match self.find(host, &owner) {
                Some(entrant) => self.program_leaves(entrant, ask, now),
                None => answer(refused("it has not entered")),
            },
            BarrierVerb::Enter | BarrierVerb::Signal => match self.seat_for(host, owner) {
                Some(entrant) => self.program_enters(entrant, ask, now, elapsed),
                None => answer(refused("this host has too many entrants here")),
            },
        }
    }

    /// Whom the rules let go or turn away now.
    pub fn decide(&mut self, now: Millis, elapsed: &Elapsed) -> Vec<Told> {
        let mut told = Vec::new();
        for (generation, verdict) in self.rounds.decide(now) {
            let (entrant, outcome) = match verdict {
                Verdict::Release(entrant) => (entrant, self.let_go(entrant, generation, elapsed)),
                Verdict::TooLate(entrant) => (entrant, too_late(generation)),
            };
            let instant = self.instant(entrant, generation);
            let shown = instant.map(|at| self.shown_instant(at, elapsed));
            let Some(seat) = self.seats.get_mut(&entrant) else { continue };
            if seat.owner == Some(Owner::Step) {
                let host = seat.host;
                told.push(match verdict {
                    Verdict::Release(_) => Told::StepReleased { host, generation, instant },
                    Verdict::TooLate(_) => Told::StepTooLate(host),
                });
            }
            if let Some(shown) = shown.filter(|_| !seat.waiting.is_empty()) {
                if let Some(last) = &mut seat.last {
                    last.due = Some(shown);
                }
                let rounds = &self.rounds;
                let is_kept = |generation| rounds.round(generation).is_some();
                self.punctuality.expect(generation, shown, is_kept);
            }
            told.extend(seat.tell(outcome, instant));
        }
        told
    }

    /// The host is out, or through with all that it does: nobody waits for it, and nobody on it waits any more.
    pub fn fail_host(&mut self, host: HostId, why: &str, now: Millis) -> Vec<Told> {
        let mut told = Vec::new();
        for entrant in self.of_host.get(&host).cloned().unwrap_or_default() {
            self.rounds.fail(entrant, now);
            told.extend(self.drop_waiting(entrant, why));
        }
        told
    }

    /// The host's seats on which somebody takes part or is expected, and in which round next.
    pub fn taken_seats(&self, host: HostId) -> Vec<(Entrant, u32)> {
        let seats = self.of_host.get(&host).map_or(&[][..], Vec::as_slice);
        seats.iter().filter_map(|seat| Some((*seat, self.rounds.next_of(*seat)?))).collect()
    }

    /// A host that was out is back, and with it those who had these seats.
    pub fn expect_again(&mut self, seats: &[(Entrant, u32)]) {
        seats.iter().for_each(|(seat, next)| self.rounds.expect_from(*seat, *next));
    }

    /// A task of a step has come to its end: its programs are out. A seat that is free stays expected while somebody may
    /// take it: the steps that follow the one of its last task, or where it had none any step of the host.
    pub fn task_over(
        &mut self,
        host: HostId,
        (task, step): (u32, usize),
        rest: &Rest,
        now: Millis,
    ) -> Vec<Told> {
        let mut told = Vec::new();
        for (place, entrant) in
            self.of_host.get(&host).cloned().unwrap_or_default().into_iter().enumerate()
        {
            let seat = self.seats.get_mut(&entrant).expect("a host's seats exist");
            match &seat.owner {
                Some(Owner::Program { task: Some(owner), .. }) if *owner == task => {}
                Some(Owner::Program { .. } | Owner::Step) | None => continue,
            }
            let is_kept = rest.followed[step] && place < self.per_host;
            (seat.owner, seat.kept_after) = (None, is_kept.then_some(step));
            self.rounds.leave(entrant, None, now);
            self.rounds.fail(entrant, now);
            told.extend(self.drop_waiting(entrant, "its task has ended"));
            if is_kept {
                self.rounds.expect(entrant);
            }
        }
        self.clear_seats(host, rest, now);
        told
    }

    /// The host's own entrant has entered and waits for others; no member waits for it.
    pub fn holds(&self, host: HostId) -> bool {
        let seats = self.of_host.get(&host).map_or(&[][..], Vec::as_slice);
        let newest = self.rounds.rounds().next_back().expect("one round is always kept");
        let is_missed = |seat: &Entrant| {
            newest.barrier.passage(*seat).is_some_and(|p| p.stand == Stand::Expected)
        };
        seats.iter().any(|seat| self.rounds.waits(*seat)) && !seats.iter().any(is_missed)
    }

    /// Somebody is still expected on a seat of the host that nobody has.
    pub fn has_free_seat(&self, host: HostId) -> bool {
        let seats = self.of_host.get(&host).map_or(&[][..], Vec::as_slice);
        let is_free = |seat: &Entrant| self.seats[seat].owner.is_none();
        seats.iter().any(|seat| is_free(seat) && self.rounds.next_of(*seat).is_some())
    }

    /// Seats that nobody can take any more are not expected.
    pub fn clear_seats(&mut self, host: HostId, rest: &Rest, now: Millis) {
        let may_come = |other: &Option<u32>| other.is_none_or(|t| !self.sits_alone(host, t));
        let somebody = rest.others.iter().any(may_come);
        for entrant in self.of_host.get(&host).cloned().unwrap_or_default() {
            let seat = self.seats.get_mut(&entrant).expect("a host's seats exist");
            let is_followed = seat.kept_after.is_none_or(|step| rest.followed[step]);
            if seat.owner.is_none() && !(somebody && is_followed) {
                seat.kept_after = None;
                self.rounds.fail(entrant, now);
            }
        }
    }

    /// The task has come under no name of its own, so it comes once.
    fn sits_alone(&self, host: HostId, task: u32) -> bool {
        self.find(host, &Owner::Program { task: Some(task), alias: String::new() }).is_some()
    }

    /// Nobody is let go any more: everybody who waits is told so.
    pub fn close(&mut self, why: &str) -> Vec<Told> {
        let seats: Vec<Entrant> = self.seats.keys().copied().collect();
        seats.into_iter().flat_map(|entrant| self.drop_waiting(entrant, why)).collect()
    }

    /// The newest round in numbers.
    fn stand(&self) -> BarrierStand {
        let newest = self.rounds.rounds().next_back().expect("one round is always kept");
        BarrierStand {
            generation: newest.generation,
            expected: newest.barrier.expected(),
            entered: newest.barrier.entered(),
            released: newest.barrier.released(),
            opened: newest.barrier.opening().map(|(_, why)| why.word().to_owned()),
        }
    }

    fn program_enters(
        &mut self,
        entrant: Entrant,
        ask: &BarrierAsk,
        now: Millis,
        elapsed: &Elapsed,
    ) -> Vec<Told> {
        let seat = &self.seats[&entrant];
        if let Some(last) = seat.last.as_ref().filter(|last| last.request == ask.request) {
            let (generation, told) = (last.generation, last.told.clone());
            return self.answer_or_wait(entrant, ask, generation, told);
        }
        if let Some(generation) = self.rounds.enter(entrant, ask.generation, now) {
            let seat = self.seats.get_mut(&entrant).expect("the entrant was just found");
            let request = ask.request;
            seat.last = Some(Asked { request, generation, told: None, due: None });
            return self.answer_or_wait(entrant, ask, generation, None);
        }
        let named = ask.generation.expect("an entrant's own next round is never wrong");
        let next = self.rounds.next_of(entrant).unwrap_or(1);
        let stand = self.rounds.round(named).and_then(|r| r.passage(entrant)).map(|p| p.stand);
        let outcome = match stand {
            // It asks again for what it did not hear.
            Some(Stand::Released | Stand::Left) => self.let_go(entrant, named, elapsed),
            _ if named < next => BarrierOutcome::TooLate {
                generation: named,
                why: format!("round {named} is over for this entrant, its next is {next}"),
            },
            _ => refused(&format!("the next round of this entrant is {next}")),
        };
        let instant = self.instant(entrant, named);
        let host = self.seats[&entrant].host;
        vec![Told::Answer { host, request: ask.request, outcome, instant }]
    }

    /// Answers what is known already; otherwise the request waits for its release.
    fn answer_or_wait(
        &mut self,
        entrant: Entrant,
        ask: &BarrierAsk,
        generation: u32,
        told: Option<BarrierOutcome>,
    ) -> Vec<Told> {
        let seat = self.seats.get_mut(&entrant).expect("the entrant was just found");
        let (host, request) = (seat.host, ask.request);
        let known = match (ask.verb, told) {
            (BarrierVerb::Signal, _) => Some(BarrierOutcome::Entered { generation }),
            (_, told) => told,
        };
        if let Some(outcome) = known {
            let instant = self.instant(entrant, generation);
            return vec![Told::Answer { host, request, outcome, instant }];
        }
        if seat.waiting.contains(&request) {
            return Vec::new();
        }
        seat.waiting.push(request);
        if seat.waiting.len() <= REQUESTS_MAX {
            return Vec::new();
        }
        let request = seat.waiting.remove(0);
        let why = "too many programs wait as this entrant".to_owned();
        vec![Told::answer(host, request, BarrierOutcome::Dropped { why })]
    }

    /// Through, or back out before it was let go. In which round is said by who leaves, or is the one that it is in.
    fn program_leaves(&mut self, entrant: Entrant, ask: &BarrierAsk, now: Millis) -> Vec<Told> {
        let host = self.seats[&entrant].host;
        let current = self.rounds.next_of(entrant).unwrap_or(1) - 1;
        let generation = ask.generation.unwrap_or(current);
        let stand = self.rounds.round(current).and_then(|r| r.passage(entrant)).map(|p| p.stand);
        let mut told = Vec::new();
        if generation == current && stand == Some(Stand::Waiting) {
            self.rounds.fail(entrant, now);
            self.rounds.expect(entrant);
            told = self.drop_waiting(entrant, "its entrance was taken back");
        }
        self.rounds.leave(entrant, Some(generation), now);
        let outcome = match generation {
            0 => refused("it has not entered"),
            _ => BarrierOutcome::Left { generation },
        };
        told.push(Told::answer(host, ask.request, outcome));
        told
    }

    fn drop_waiting(&mut self, entrant: Entrant, why: &str) -> Vec<Told> {
        let seat = self.seats.get_mut(&entrant).expect("seats are never taken away");
        if seat.waiting.is_empty() {
            return Vec::new();
        }
        seat.tell(BarrierOutcome::Dropped { why: why.to_owned() }, None)
    }

    /// When an entrant goes on that was let go in this round: so long after its release, where that is asked for. A round
    /// that is not kept any more is long over: whoever comes to it goes on at once.
    fn instant(&self, entrant: Entrant, generation: u32) -> Option<Millis> {
        let lead = self.rounds.policy().together_ms?;
        let passage = self.rounds.round(generation)?.passage(entrant)?;
        passage.released_at.map(|at| at + lead)
    }

    fn let_go(&self, entrant: Entrant, generation: u32, elapsed: &Elapsed) -> BarrierOutcome {
        let round = self.rounds.round(generation);
        let passage = round.and_then(|r| r.passage(entrant));
        let shown = |at: Option<Millis>| at.map(|at| elapsed.shown(at));
        let waited =
            passage.and_then(|p| Some(shown(p.released_at)?.saturating_sub(shown(p.entered_at)?)));
        let why = round.and_then(|r| r.opening()).map_or("late", |(_, why)| why.word());
        let waited_ms = waited.unwrap_or(0);
        BarrierOutcome::LetGo { generation, why: why.to_owned(), waited_ms, at_us: None }
    }

    fn find(&self, host: HostId, owner: &Owner) -> Option<Entrant> {
        let seats = self.of_host.get(&host)?;
        seats.iter().copied().find(|seat| self.seats[seat].owner.as_ref() == Some(owner))
    }

    /// The seat of an entrant: its own, a free one of its host, or a new one; `None` where the host has too many.
    fn seat_for(&mut self, host: HostId, owner: Owner) -> Option<Entrant> {
        if let Some(own) = self.find(host, &owner) {
            return Some(own);
        }
        let seats = self.of_host.get(&host).map_or(&[][..], Vec::as_slice);
        let free = seats.iter().copied().find(|seat| self.seats[seat].owner.is_none());
        if free.is_none() && seats.len() >= SEATS_MAX {
            return None;
        }
        let entrant = free.unwrap_or_else(|| self.add_seat(host));
        let seat = self.seats.get_mut(&entrant).expect("the seat was just found");
        (seat.owner, seat.kept_after) = (Some(owner), None);
        Some(entrant)
    }

    fn add_seat(&mut self, host: HostId) -> Entrant {
        let seats = self.of_host.entry(host).or_default();
        let entrant = match seats.is_empty() {
            true => Entrant(host.0),
            false => {
                self.next_seat += 1;
                Entrant(self.next_seat - 1)
            }
        };
        seats.push(entrant);
        let seat = Seat { host, owner: None, kept_after: None, waiting: Vec::new(), last: None };
        self.seats.insert(entrant, seat);
        entrant
    }
}

impl Told {
    fn answer(host: HostId, request: u64, outcome: BarrierOutcome) -> Told {
        Told::Answer { host, request, outcome, instant: None }
    }
}

impl Seat {
    /// Answers every request that waits, and remembers the answer for who asks again.
    fn tell(&mut self, outcome: BarrierOutcome, instant: Option<Millis>) -> Vec<Told> {
        if let Some(last) = &mut self.last {
            last.told = Some(outcome.clone());
        }
        let host = self.host;
        let answer = |request| Told::Answer { host, request, outcome: outcome.clone(), instant };
        self.waiting.drain(..).map(answer).collect()
    }
}

fn too_late(generation: u32) -> BarrierOutcome {
    BarrierOutcome::TooLate { generation, why: "it came after the barrier had opened".to_owned() }
}

fn refused(why: &str) -> BarrierOutcome {
    BarrierOutcome::Refused { why: why.to_owned() }
}
