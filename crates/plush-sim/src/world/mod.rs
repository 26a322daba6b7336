//! The world: a controller, hosts and the network between them, on virtual time in one thread.
//! Not what goes wrong in it (`faults`), and not what must hold in it (`checkers`).

mod agent;
mod controller;
mod host;
mod journal;
mod keeper;
mod link;
mod nature;
mod output;
mod queue;
mod visits;
mod watching;

pub(crate) use controller::{Controller, CrashPoint, Place, exclusive_place};
pub(crate) use host::{Hole, Host, Process, ProcessStage, Refusal};
pub(crate) use journal::{Journal, Record as JournalRecord};
pub(crate) use queue::Happening;

use crate::Play;
use crate::checkers::{Breach, Checks};
use crate::faults::{FaultKind, FaultSet, Sabotage, Strike};
use crate::random::Chance;
use link::Link;
use nature::Nature;
use plush_core::Millis;
use plush_core::agent::Event;
use plush_core::plan::{HostId, RunPlan};
use plush_protocol::Tainted;
use queue::{OnHost, Queue};
use std::collections::{BTreeMap, BTreeSet};

/// A run that is not over at this time after the last fault was healed has got stuck.
const PROGRESS_LIMIT_MS: Millis = 900_000;
/// As much more for each host: a throttle may let them work one after the other.
const PROGRESS_PER_HOST_MS: Millis = 130_000;
/// After the run hosts are watched for so long: longer than any lease and what follows it.
const AFTERWARDS_MS: Millis = 3 * 3_600_000;

/// How often hosts are looked at even though nothing happens there.
const AUDIT_MS: Millis = 5_000;

/// Everything there is.
pub(crate) struct World {
    pub now: Millis,
    pub queue: Queue,
    pub chance: Chance,
    pub controller: Controller,
    pub hosts: Vec<Host>,
    pub links: BTreeMap<u64, Link>,
    pub faults: FaultSet,
    /// What strikes, numbered.
    pub strikes: Vec<Strike>,
    pub sabotage: Sabotage,
    pub nature: Nature,
    pub checks: Checks,
    /// When everything is healed.
    pub healed_at: Millis,
    pub finished_at: Option<Millis>,
    /// Controllers that were thought dead and know that another has taken over, by their epochs.
    pub fenced: BTreeSet<u64>,
    numbers: u64,
    trace: u64,
    happenings: u64,
}

impl World {
    /// A world at its beginning; a controller has just been started.
    pub fn new(plan: RunPlan, mut chance: Chance, play: &Play) -> Self {
        let reserve = plan.clusters.iter().flat_map(|c| &c.reserve);
        let nature = Nature::Drawn;
        let hosts = plan.hosts.iter().chain(reserve).map(|_| nature.host(&mut chance)).collect();
        let wrong = (play.fault_set(), play.sabotage);
        let controller = Controller::new(plan);
        let mut world = World::of(controller, hosts, chance, nature, Checks::default(), wrong);
        world.schedule_faults(play.scene, play.only.as_deref());
        world.begin_controller();
        world.after(AUDIT_MS, Happening::Audit);
        world
    }

    fn of(
        controller: Controller,
        hosts: Vec<Host>,
        chance: Chance,
        nature: Nature,
        checks: Checks,
        (faults, sabotage): (FaultSet, Sabotage),
    ) -> Self {
        World {
            now: 0,
            queue: Queue::default(),
            hosts,
            controller,
            chance,
            links: BTreeMap::new(),
            faults,
            strikes: Vec::new(),
            sabotage,
            nature,
            checks,
            healed_at: 0,
            finished_at: None,
            fenced: BTreeSet::new(),
            numbers: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            happenings: 0,
        }
    }

    /// Lets happen what happens until the run is over and the hosts are quiet, or a rule is broken.
    pub fn play(&mut self) -> Result<(), Breach> {
        while let Some((at, happening)) = self.queue.take() {
            if self.finished_at.is_some_and(|end| at > end + AFTERWARDS_MS) {
                break;
            }
            self.now = at;
            self.happenings += 1;
            self.happen(happening);
            if let Some(breach) = self.checks.breach.take() {
                return Err(breach);
            }
            let limit = PROGRESS_LIMIT_MS + PROGRESS_PER_HOST_MS * self.hosts.len() as u64;
            if self.finished_at.is_none() && at > self.healed_at + limit {
                return Err(self.stuck());
            }
        }
        self.check_end()
    }

    /// What happened, as a number: two plays of one seed have the same.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// How much happened.
    pub fn happenings(&self) -> u64 {
        self.happenings
    }

    pub(crate) fn with(&self, kind: FaultKind) -> bool {
        self.faults.has(kind)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn after(&mut self, ms: Millis, happening: Happening) {
        self.queue.add(self.now + ms, happening);
    }

    /// Adds a word to the trace.
    pub(crate) fn note(&mut self, word: u64) {
        self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn happen(&mut self, happening: Happening) {
        self.note(self.now);
        match happening {
            Happening::AtAgent { link, message } => self.at_agent(link, message),
            Happening::AtController { link, message } => self.at_controller(link, message),
            Happening::ClosedAtAgent { link } => self.closed_at_agent(link),
            Happening::ClosedAtController { link } => self.closed_at_controller(link),
            Happening::Knock { link, session, received } => self.knock(link, session, received),
            Happening::ConnectOver { link, refused } => self.connect_over(link, refused),
            Happening::Synced { life } => self.synced(life),
            Happening::Wake { life } => self.controller_wake(life),
            Happening::Stored { life } => self.stored(life),
            Happening::Fetched { life, host, link } => self.fetched(life, host, link),
            Happening::Judged { life, host, key } => self.judged(life, host, key),
            Happening::Tick { life } => self.tick(life),
            Happening::Takeover => self.takeover(),
            Happening::OnHost { host, boot, what } => self.on_host(host, boot, what),
            Happening::Fault(fault) => self.apply(fault),
            Happening::Audit => self.audit(),
            Happening::Misfortune { host } => self.misfortune(host),
        }
    }

    /// Looks at every host, as long as anything may still run on one.
    fn audit(&mut self) {
        let now = self.now;
        self.hosts.iter().zip(0..).for_each(|(host, n)| self.checks.audited(now, HostId(n), host));
        self.check_exclusive();
        let lives = |h: &Host| h.live().next().is_some();
        if self.finished_at.is_none() || self.hosts.iter().any(lives) {
            self.after(AUDIT_MS, Happening::Audit);
        }
    }

    fn on_host(&mut self, host: HostId, boot: u64, what: OnHost) {
        self.note(u64::from(host.0));
        let there = &self.hosts[host.index()];
        if there.boot != boot || !there.is_on() {
            return;
        }
        if there.paused_until > self.now {
            let until = there.paused_until;
            self.queue.add(until, Happening::OnHost { host, boot, what });
            return;
        }
        match what {
            OnHost::AgentWake { life } => self.agent_wake(host, life),
            OnHost::Prepare { life, report } => self.preparation_goes_on(host, life, report),
            OnHost::Probed { life, key, probe, passed } => {
                let answer = if passed { Ok(()) } else { Err(Tainted::new("it did not answer")) };
                self.probed(host, life, Event::Probed { key, probe, answer });
            }
            OnHost::Removed { life, keep_work } => self.removed(host, life, keep_work),
            OnHost::Task { key, step } => self.task_step(host, key, step),
        }
    }
}
