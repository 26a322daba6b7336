//! Programs that come to a barrier of the run through their agent: what they ask, and what they do with the answers.
//! Not who is let go: that the controller's rules say.

use super::World;
use super::host::ProcessStage;
use super::link;
use super::queue::TaskStep;
use crate::Released;
use crate::scenario::RENDEZVOUS;
use plush_core::Millis;
use plush_core::agent::{AskerId, Event};
use plush_core::plan::HostId;
use plush_protocol::{BarrierAsk, BarrierEntrant, BarrierOutcome, BarrierVerb, Tainted, TaskKey};

/// From an answer to the program that reads it.
const READ_MS: Millis = 1;
/// A program whose agent is gone tries again after so long.
const AGAIN_MS: (Millis, Millis) = (50, 1_000);
/// A program that is in a hurry waits for so long.
const PATIENCE_MS: Millis = 3_000;
/// The code of a program that was told that it will never be let go.
const DROPPED_CODE: i32 = 5;

/// What a program still has to do at the barrier.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visitor {
    /// Rounds to come.
    rounds: u64,
    manner: Manner,
    work_ms: Millis,
    inside_ms: Millis,
    /// The round in which it was let go and is not through.
    pub inside: Option<u32>,
    /// The last round in which it was let go.
    last: u32,
    /// What it has asked and not heard about, and over which connection.
    open: Option<(BarrierAsk, Option<AskerId>)>,
}

/// How a program behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Manner {
    /// It enters, again and again.
    #[default]
    Enters,
    /// It says when it is through.
    Leaves,
    /// It says that it is there, works on, and then waits.
    Signals,
    /// It names its rounds, and asks once more for one that it is through with.
    Counts,
    /// It does not wait for long and takes its entrance back.
    Hurries,
}

impl Visitor {
    /// The last words of `scenario`'s processes; none if it does not come to the barrier.
    pub fn read(words: &[String]) -> Option<Visitor> {
        let number = |n: usize| words.get(n).and_then(|w| w.parse::<u64>().ok());
        let manner = match number(9)? {
            0 => Manner::Enters,
            1 => Manner::Leaves,
            2 => Manner::Signals,
            3 => Manner::Counts,
            _ => Manner::Hurries,
        };
        let (rounds, inside_ms) = (number(8)?, number(10)?);
        let work_ms = number(1)?.min(2_000);
        Some(Visitor { rounds, manner, work_ms, inside_ms, ..Visitor::default() })
    }

    /// What it asks next; none if it has been there often enough.
    fn next(&mut self) -> Option<(BarrierVerb, Option<u32>)> {
        if self.manner == Manner::Leaves && self.inside.is_some() {
            return Some((BarrierVerb::Leave, None));
        }
        self.rounds = self.rounds.checked_sub(1)?;
        let ask = match self.manner {
            Manner::Enters | Manner::Leaves | Manner::Hurries => (BarrierVerb::Enter, None),
            Manner::Signals if self.rounds.is_multiple_of(2) => (BarrierVerb::Enter, None),
            Manner::Signals => (BarrierVerb::Signal, None),
            Manner::Counts if self.rounds % 3 == 1 && self.last > 0 => {
                (BarrierVerb::Enter, Some(self.last))
            }
            Manner::Counts => (BarrierVerb::Enter, Some(self.last + 1)),
        };
        Some(ask)
    }
}

impl World {
    /// A program goes on: it asks what it has not asked yet, or what it has not heard about, or it ends.
    pub(crate) fn visit(&mut self, host: HostId, key: TaskKey) {
        let lot = self.chance.draw();
        let Some(visitor) = self.visitor(host, key) else { return };
        match &visitor.open {
            Some((_, Some(_))) => {}
            Some((_, None)) => self.ask_barrier(host, key),
            None => match visitor.next() {
                Some((verb, generation)) => {
                    // Entering a round is leaving the one before it.
                    visitor.inside = None;
                    let who = BarrierEntrant { task: Some(key), alias: Tainted::default() };
                    let barrier = Tainted::new(RENDEZVOUS);
                    let ask = BarrierAsk { request: lot | 1, barrier, who, verb, generation };
                    visitor.open = Some((ask, None));
                    self.ask_barrier(host, key);
                }
                None => self.task_later(host, 1, key, TaskStep::Return),
            },
        }
    }

    fn visitor(&mut self, host: HostId, key: TaskKey) -> Option<&mut Visitor> {
        let process = self.hosts[host.index()].processes.get_mut(&key)?;
        (process.stage == ProcessStage::Running).then_some(process.visitor.as_mut()?)
    }

    /// A program connects to its agent and asks; without one it tries again.
    fn ask_barrier(&mut self, host: HostId, key: TaskKey) {
        let asker = self.number();
        let again = self.chance.between(AGAIN_MS.0, AGAIN_MS.1);
        let breaks = self.chance.percent(5);
        let lives = self.hosts[host.index()].agent.is_some();
        let Some(visitor) = self.visitor(host, key) else { return };
        let hurries = visitor.manner == Manner::Hurries;
        let Some((ask, connection)) = &mut visitor.open else { return };
        if !lives {
            self.task_later(host, again, key, TaskStep::Visit);
            return;
        }
        *connection = Some(asker);
        let ask = ask.clone();
        if hurries && ask.verb == BarrierVerb::Enter {
            self.task_later(host, PATIENCE_MS, key, TaskStep::Impatient { request: ask.request });
        }
        if self.checks.asked(self.now, &ask) && breaks {
            self.task_later(host, again, key, TaskStep::Reconnect { asker });
        }
        self.tell_agent(host, Event::BarrierAsked { asker, ask });
    }

    /// The program's connection breaks: it asks the same once more over another one.
    pub(crate) fn reconnect(&mut self, host: HostId, key: TaskKey, asker: AskerId) {
        let Some(visitor) = self.visitor(host, key) else { return };
        match &mut visitor.open {
            Some((_, connection)) if *connection == Some(asker) => *connection = None,
            _ => return,
        }
        self.tell_agent(host, Event::AskerGone { asker });
        self.visit(host, key);
    }

    /// The program has waited long enough: it takes its entrance back.
    pub(crate) fn hurry(&mut self, host: HostId, key: TaskKey, request: u64) {
        let lot = self.chance.draw();
        let Some(visitor) = self.visitor(host, key) else { return };
        let Some((ask, connection)) = &mut visitor.open else { return };
        if ask.request != request || ask.verb != BarrierVerb::Enter {
            return;
        }
        let before = connection.take();
        (ask.request, ask.verb) = (lot | 1, BarrierVerb::Leave);
        if let Some(asker) = before {
            self.tell_agent(host, Event::AskerGone { asker });
        }
        self.ask_barrier(host, key);
    }

    /// The agent hands a program its answer.
    pub(crate) fn answer_program(&mut self, host: HostId, asker: AskerId, told: BarrierOutcome) {
        let there = &self.hosts[host.index()];
        let waits = |v: &Visitor| v.open.as_ref().is_some_and(|(_, at)| *at == Some(asker));
        let mut programs = there.processes.iter();
        let key = programs.find(|(_, p)| p.visitor.as_ref().is_some_and(waits)).map(|(k, _)| *k);
        let Some(key) = key.filter(|key| self.visitor(host, *key).is_some()) else { return };
        let Some(visitor) = self.visitor(host, key) else { return };
        let Some((ask, _)) = visitor.open.take() else { return };
        let pause = match &told {
            BarrierOutcome::LetGo { generation, .. } => {
                visitor.last = visitor.last.max(*generation);
                visitor.inside_ms
            }
            BarrierOutcome::TooLate { generation, .. } => {
                visitor.last = visitor.last.max(*generation);
                visitor.work_ms
            }
            BarrierOutcome::Entered { .. } | BarrierOutcome::Left { .. } => visitor.work_ms,
            BarrierOutcome::Dropped { .. }
            | BarrierOutcome::Refused { .. }
            | BarrierOutcome::Unknown { .. }
            | BarrierOutcome::Stands(_) => {
                visitor.rounds = 0;
                visitor.inside = None;
                let process = self.hosts[host.index()].processes.get_mut(&key);
                process.expect("the program was just there").script.code = DROPPED_CODE;
                0
            }
        };
        let is_new = self.checks.answered(self.now, (host, key), &ask, &told, &self.controller.run);
        if let BarrierOutcome::LetGo { generation, .. } = told
            && is_new
            && let Some(visitor) = self.visitor(host, key)
        {
            visitor.inside = Some(generation);
            self.check_inside(generation);
        }
        self.task_later(host, READ_MS + pause, key, TaskStep::Visit);
    }

    /// B6: no more programs are inside a round than it lets in, those aside of whom the controller knows that they are out.
    fn check_inside(&mut self, generation: u32) {
        let Some(max) = self.checks.rendezvous_max(&self.controller.plan) else { return };
        let is_in = |v: &Visitor| v.inside == Some(generation);
        let mut inside = 0;
        for (number, host) in self.hosts.iter().enumerate() {
            if host.is_on() && !self.checks.is_excused(HostId(number as u32)) {
                let running = host.processes.values().filter(|p| p.stage == ProcessStage::Running);
                let visitors = running.filter_map(|p| p.visitor.as_ref());
                inside += visitors.filter(|v| is_in(v)).count();
            }
        }
        self.checks.programs_inside(self.now, generation, inside, max);
    }

    /// How the first round of the programs' barrier went.
    pub(crate) fn released(&self) -> Option<Released> {
        let (programs, took_ms) = self.checks.first_round()?;
        let round_trips = self.hosts.iter().map(|host| 2 * link::longest_ms(host.latency_ms));
        Some(Released { programs, took_ms, round_trip_ms: round_trips.max().unwrap_or(0) })
    }

    /// The agent is gone: so are the connections of programs, which will try again.
    pub(crate) fn programs_lose_agent(&mut self, host: HostId) {
        let processes = self.hosts[host.index()].processes.iter_mut();
        let mut waiting = Vec::new();
        for (key, process) in processes {
            if let Some((_, connection @ Some(_))) =
                process.visitor.as_mut().and_then(|v| v.open.as_mut())
            {
                *connection = None;
                waiting.push(*key);
            }
        }
        for key in waiting {
            let again = self.chance.between(AGAIN_MS.0, AGAIN_MS.1);
            self.task_later(host, again, key, TaskStep::Visit);
        }
    }

    /// The program is over: nobody reads what it is answered.
    pub(crate) fn visit_ends(&mut self, host: HostId, key: TaskKey) {
        let process = self.hosts[host.index()].processes.get_mut(&key);
        let visitor = process.and_then(|process| process.visitor.take());
        if let Some((_, Some(asker))) = visitor.and_then(|visitor| visitor.open) {
            self.tell_agent(host, Event::AskerGone { asker });
        }
    }
}
