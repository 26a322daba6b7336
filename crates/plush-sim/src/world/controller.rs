//! The controller's driver: journal first, then absorb and decide, then perform.
//! Not a rule: those are the core's, and this is what performs them here.

use super::World;
use super::journal::{Journal, Tail};
use super::link::{End, Link};
use super::output::Store;
use super::queue::Happening;
use super::watching::TICK_MS;
use crate::faults::{FaultKind, Sabotage};
use plush_core::Millis;
use plush_core::liveness::Pulse;
use plush_core::plan::{HostId, RunPlan};
use plush_core::renewal::Renewals;
use plush_core::run::{ConnectFailure, Effect, Event, LinkAccount, Run};
use plush_protocol::{
    AgentHello, Answer, Command, ControllerHello, Health, PROTOCOL_VERSION, StreamName, Tainted,
    TaskKey, TaskSpec, ToAgent, ToController,
};
use plush_spec::model::ServiceClass;
use std::collections::BTreeMap;

/// Time that the controller's disk needs for a record.
const SYNC_MS: (Millis, Millis) = (1, 8);
/// A connection that has not said hello by then has failed.
const CONNECT_LIMIT_MS: Millis = 15_000;
/// How long results take.
const FETCH_MS: (Millis, Millis) = (20, 400);

/// How long it takes until probes from here say something.
const PROBED_MS: (Millis, Millis) = (50, 20_000);

/// A controller process and its disk.
pub(crate) struct Controller {
    pub run: Run,
    pub plan: RunPlan,
    pub alive: bool,
    /// Which process it is.
    pub life: u64,
    pub journal: Journal,
    pub pending: Vec<Event>,
    pub stores: BTreeMap<(TaskKey, StreamName), Store>,
    pub storing: bool,
    /// The host of each task that has been spoken of.
    pub owners: BTreeMap<TaskKey, HostId>,
    /// When it is to die.
    pub crash: Option<(usize, CrashPoint)>,
    /// It is to die at the record of the next link.
    pub crash_at_link: bool,
    pub crashes: u64,
    committing: bool,
    wake_set: Option<Millis>,
    pub links: BTreeMap<HostId, u64>,
    /// Attempts under way: the first link, the next, or a second one beside a silent one.
    pub attempts: BTreeMap<HostId, u64>,
    pub pulses: BTreeMap<HostId, Pulse>,
    pub renewals: BTreeMap<HostId, Renewals>,
}

/// Where in the life of a record the controller dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashPoint {
    /// It is written and not durable: it may be there afterwards.
    BeforeSync,
    /// It is durable and nothing came of it.
    AfterSync,
    /// Half of what was decided is done.
    Midway,
    /// It cannot be written: the controller ends by itself and does nothing more.
    SyncFails,
}

impl CrashPoint {
    pub const ALL: [CrashPoint; 4] =
        [CrashPoint::BeforeSync, CrashPoint::AfterSync, CrashPoint::Midway, CrashPoint::SyncFails];
}

/// A place of which there must not be two: a cluster's process, and the rank.
pub(crate) type Place = (String, String);

/// The place of that kind that a program of these words has, if it has one.
pub(crate) fn exclusive_place(plan: &RunPlan, spec: &TaskSpec, words: &[String]) -> Option<Place> {
    let cluster = plan.clusters.iter().find(|c| c.name() == spec.cluster)?;
    let rank = words.get(6)?.clone();
    (cluster.kept.service.class == ServiceClass::Exclusive)
        .then(|| (format!("{}/{}", spec.cluster, spec.name), rank))
}

impl Controller {
    pub fn new(plan: RunPlan) -> Self {
        Controller {
            run: Run::new(plan.clone()),
            alive: true,
            life: 0,
            journal: Journal::new(plan.hosts.len()),
            plan,
            pending: Vec::new(),
            stores: BTreeMap::new(),
            storing: false,
            owners: BTreeMap::new(),
            crash: None,
            crash_at_link: false,
            crashes: 0,
            committing: false,
            wake_set: None,
            links: BTreeMap::new(),
            attempts: BTreeMap::new(),
            pulses: BTreeMap::new(),
            renewals: BTreeMap::new(),
        }
    }

    /// When the run was asked last whose effects have all been handed over.
    pub fn said_at(&self, now: Millis) -> Millis {
        let writing = self.journal.records.last().filter(|_| self.committing);
        writing.map_or(now, |record| record.at)
    }

    /// The link to a host over which can be spoken.
    pub fn open_link(&self, host: HostId, links: &BTreeMap<u64, Link>) -> Option<u64> {
        let link = *self.links.get(&host)?;
        (links.get(&link)?.at_controller == End::Open).then_some(link)
    }
}

impl World {
    pub(crate) fn begin_controller(&mut self) {
        self.controller.life = self.number();
        let life = self.controller.life;
        self.after(TICK_MS, Happening::Tick { life });
        self.commit(true);
    }

    /// Something happened that the run has to know.
    pub(crate) fn event(&mut self, event: Event) {
        self.controller.pending.push(event);
        self.commit_soon();
    }

    pub(crate) fn commit_soon(&mut self) {
        self.commit(false);
    }

    /// Writes what is pending to the journal; an empty record is a wake-up.
    fn commit(&mut self, even_empty: bool) {
        let controller = &mut self.controller;
        let nothing = controller.pending.is_empty() && !even_empty;
        if nothing || controller.committing || !controller.alive {
            return;
        }
        let events = std::mem::take(&mut controller.pending);
        controller.journal.append(self.now, events);
        controller.committing = true;
        let (life, index) = (controller.life, controller.journal.records.len() - 1);
        let sync = self.chance.between(SYNC_MS.0, SYNC_MS.1);
        self.after(sync, Happening::Synced { life });
        if self.sabotage == Sabotage::PerformBeforeSync {
            self.take_record(index);
        }
        if self.controller.crash == Some((index, CrashPoint::BeforeSync)) {
            self.crash_controller();
        }
    }

    pub(crate) fn synced(&mut self, life: u64) {
        if life != self.controller.life || !self.controller.alive {
            return;
        }
        let index = self.controller.journal.records.len() - 1;
        if self.controller.crash == Some((index, CrashPoint::SyncFails)) {
            self.controller.journal.failed = true;
            if self.sabotage != Sabotage::GoOnAfterJournalFailed {
                self.crash_controller();
                return;
            }
        }
        self.controller.journal.sync(self.sabotage != Sabotage::SkipJournalSync);
        self.controller.committing = false;
        if self.controller.crash == Some((index, CrashPoint::AfterSync)) {
            self.crash_controller();
            return;
        }
        if self.sabotage != Sabotage::PerformBeforeSync {
            self.take_record(index);
        }
        self.commit_soon();
        self.wake_later();
    }

    /// Absorbs a record, decides, performs.
    fn take_record(&mut self, index: usize) {
        let record = self.controller.journal.records[index].clone();
        let is_suspicion = |e: &Event| matches!(e, Event::Suspected { .. });
        let only_suspicions = !record.events.is_empty() && record.events.iter().all(is_suspicion);
        let is_compared = only_suspicions && self.checks.are_watched();
        let without = is_compared.then(|| self.controller.run.clone());
        for event in &*record.events {
            self.controller.run.absorb(record.at, event.clone());
        }
        let effects = self.controller.run.decide(record.at);
        if let Some(mut without) = without {
            self.checks.suspicion(record.at, &without.decide(record.at), &effects);
        }
        self.checks.decided(&mut self.controller.run, &record, &effects);
        let controller = &mut self.controller;
        controller.journal.keep_bounded(record.at, &controller.run);
        self.note(effects.len() as u64);
        if self.checks.are_watched() {
            self.controller.journal.records[index].effects = Some(effects.clone());
        }
        for event in &*record.events {
            match event {
                Event::Connected { host, .. } => {
                    if let Some(link) = self.controller.open_link(*host, &self.links) {
                        self.open_streams_again(*host, link);
                    }
                }
                Event::Reported { host, report, .. } => {
                    self.open_new_incarnations(*host, report);
                    self.learn_totals(*host, report);
                }
                _ => {}
            }
        }
        self.perform_all(index, effects);
        self.check_left_hosts();
    }

    fn perform_all(&mut self, index: usize, effects: Vec<Effect>) {
        self.checks.performing(self.now, index, &self.controller.journal, &effects);
        let half = effects.len() / 2;
        for (number, effect) in effects.into_iter().enumerate() {
            if number == half && self.controller.crash == Some((index, CrashPoint::Midway)) {
                break;
            }
            self.perform(effect);
        }
        if self.controller.crash == Some((index, CrashPoint::Midway)) {
            self.crash_controller();
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { host, session, received } => self.connect(host, session, received),
            Effect::Send { host, number, command } => {
                let Some(link) = self.controller.open_link(host, &self.links) else { return };
                let started = match &command {
                    Command::Start { key, .. } => Some(*key),
                    _ => None,
                };
                self.send_to_agent(link, ToAgent::Command(number, command));
                if let Some(key) = started {
                    self.controller.owners.insert(key, host);
                    self.open_streams(link, key);
                }
            }
            Effect::Acknowledge { host, number } => {
                if let Some(link) = self.controller.open_link(host, &self.links) {
                    self.acknowledge_report(host, link, number);
                }
            }
            Effect::Collect { host, .. } => {
                let link = self.controller.open_link(host, &self.links).unwrap_or(0);
                let life = self.controller.life;
                let long = self.chance.between(FETCH_MS.0, FETCH_MS.1);
                self.after(long, Happening::Fetched { life, host, link });
            }
            Effect::DropConnect { host } => self.drop_connect(host),
            Effect::Disconnect { host } => {
                self.end_attempt(host);
                if let Some(link) = self.controller.links.remove(&host) {
                    self.close_from_controller(link);
                }
            }
            Effect::Ask { question } => {
                let answer = Answer::Failed(Tainted::new("this world has no programs that answer"));
                self.event(Event::Answered { question: question.number, answer });
            }
            Effect::Watch { host, key, .. } => {
                let long = self.chance.between(PROBED_MS.0, PROBED_MS.1);
                let life = self.controller.life;
                self.after(long, Happening::Judged { life, host, key });
            }
            // What is said of it yet is not taken.
            Effect::Unwatch { .. } => {}
            Effect::Finish { .. } => self.finished_at = Some(self.now),
        }
    }

    fn acknowledge_report(&mut self, host: HostId, link: u64, number: u64) {
        self.checks.acknowledged_report(self.now, host, self.links[&link].session, number);
        self.send_to_agent(link, ToAgent::Ack(number));
    }

    fn connect(&mut self, host: HostId, session: u64, received: u64) {
        if !self.needs_attempt(host) {
            return;
        }
        let there = &self.hosts[host.index()];
        let (latency, connect) = (there.latency_ms, there.connect_ms * there.slowness);
        let link = self.number();
        self.links.insert(link, Link::new(host, self.controller.life, latency));
        self.controller.attempts.insert(host, link);
        let spread = self.chance.between(0, connect);
        // Nobody is greeted sooner than a word comes there.
        let there = &self.hosts[host.index()];
        let late = if there.refusal.is_some() { 0 } else { there.late_ms };
        self.after(connect + spread + late, Happening::Knock { link, session, received });
        self.after(CONNECT_LIMIT_MS, Happening::ConnectOver { link, refused: None });
    }

    /// An attempt arrives at its host, where an agent is started if there is none.
    pub(crate) fn knock(&mut self, link: u64, session: u64, received: u64) {
        let Some(host) = self.links.get(&link).map(|l| l.host) else { return };
        let there = &mut self.hosts[host.index()];
        if !there.is_on() || there.deaf || there.mute || there.paused_until > self.now {
            return;
        }
        if let Some(refused) = there.refuses() {
            let latency = there.latency_ms;
            self.after(latency, Happening::ConnectOver { link, refused: Some(refused) });
            return;
        }
        if self.links[&link].at_controller == End::Closed {
            return;
        }
        let hello = self.hello_to(host, self.controller.crashes + 1, session, received);
        self.greet_agent(host, link, hello);
    }

    /// A controller that was thought dead has only slept: it speaks to a host as if it were still the one.
    pub(crate) fn old_controller_knocks(&mut self, host: HostId) {
        let there = &mut self.hosts[host.index()];
        let epoch = self.controller.crashes;
        let is_fenced = self.fenced.contains(&epoch) && self.sabotage != Sabotage::GoOnAfterFenced;
        // What is still on offer has not been contacted by anybody.
        let is_known = host.index() < self.controller.run.plan().hosts.len();
        let is_there = there.is_on() && there.paused_until <= self.now;
        if epoch == 0 || is_fenced || !is_known || !is_there {
            return;
        }
        self.checks.old_controller_acts(self.now, epoch);
        there.harmed = true;
        let latency = there.latency_ms;
        let link = self.number();
        // Numbers of controllers begin at 1: of what is said over the link only a refusal is listened to.
        self.links.insert(link, Link::new(host, 0, latency));
        let hello = self.hello_to(host, epoch, 0, 0);
        self.greet_agent(host, link, hello);
    }

    /// What an agent says to a controller that was thought dead: that it has a successor, or nothing that matters here.
    fn old_controller_hears(&mut self, link: u64, message: &ToController) {
        let epoch = self.links[&link].epoch;
        if matches!(message, ToController::Hello(hello) if hello.refusal.is_some()) {
            self.fenced.insert(epoch);
            self.checks.fenced(epoch);
        }
    }

    fn hello_to(&self, host: HostId, epoch: u64, session: u64, received: u64) -> ControllerHello {
        ControllerHello {
            version: PROTOCOL_VERSION,
            run: self.controller.plan.run.clone(),
            epoch,
            session,
            received,
            stop_after_ms: self.controller.run.plan().stop_after_ms(host),
            host: self.controller.run.plan().host_name(host).to_owned(),
            controller: String::new(),
        }
    }

    pub(crate) fn connect_over(&mut self, link: u64, refused: Option<bool>) {
        let Some(there) = self.links.get_mut(&link) else { return };
        if there.at_controller != End::Opening || there.life != self.controller.life {
            return;
        }
        let host = there.host;
        self.note(u64::from(host.0));
        self.close_from_controller(link);
        self.controller.attempts.retain(|_, attempt| *attempt != link);
        let failure = match refused {
            Some(retry) => ConnectFailure {
                stage: "authentication".into(),
                cause: Tainted::new("refused"),
                hint: None,
                retry,
            },
            None => ConnectFailure {
                stage: "hello".into(),
                cause: Tainted::new("no answer"),
                hint: None,
                retry: true,
            },
        };
        if self.controller.alive {
            self.event(Event::ConnectFailed { host, failure });
        }
    }

    pub(crate) fn at_controller(&mut self, link: u64, message: ToController) {
        if self.holds_to_controller(link, &message) {
            return;
        }
        let there = self.links.get_mut(&link).expect("a link is kept as long as anything is on it");
        if there.life == 0 {
            return self.old_controller_hears(link, &message);
        }
        if there.life != self.controller.life || !self.controller.alive {
            return;
        }
        let (host, session, end) = (there.host, there.session, there.at_controller);
        self.note(u64::from(host.0));
        if end == End::Open {
            self.heard_on(host, link);
        }
        if !self.controller.alive {
            // It has died over the news that the host is heard again.
            return;
        }
        let heard = self.still_heard(link, end);
        match (message, end) {
            (ToController::Hello(hello), End::Opening) => self.connected(host, link, hello),
            (ToController::Report(number, report), _) if heard => {
                if self.sabotage == Sabotage::AckReportBeforeJournal {
                    self.acknowledge_report(host, link, number);
                }
                self.event(Event::Reported { host, session, number, report });
            }
            (ToController::Ack(number), _) if heard => {
                self.event(Event::Taken { host, session, number });
            }
            (ToController::OutputPart(part), End::Open) => self.output_part(&part),
            (ToController::OutputGap(gap), End::Open) => self.output_gap(&gap),
            (ToController::Pong(pong), End::Open) => self.clock_told(host, pong.clock_us),
            _ => {}
        }
    }

    /// What comes from a link that is gone is mostly dropped, and the first of it sometimes stands in a channel until then.
    fn still_heard(&mut self, link: u64, end: End) -> bool {
        let late = end == End::Closed && self.with(FaultKind::Stale) && self.chance.percent(40);
        let there = self.links.get_mut(&link).expect("the message came over it");
        // Behind what was dropped nothing comes: a channel keeps its order.
        there.drained |= end == End::Closed && !late;
        let was_open = there.session != 0;
        end == End::Open || (late && was_open && !there.drained)
    }

    fn connected(&mut self, host: HostId, link: u64, hello: Box<AgentHello>) {
        let there = self.links.get_mut(&link).expect("the message came over it");
        there.at_controller = End::Open;
        there.session = hello.session;
        self.controller.attempts.remove(&host);
        if let Some(old) = self.controller.links.insert(host, link) {
            self.close_from_controller(old);
        }
        let is_back = self.controller.pulses.contains_key(&host);
        self.begin_watch(host);
        self.controller.renewals.remove(&host);
        hello.clock_us.into_iter().for_each(|clock_us| self.clock_told(host, clock_us));
        if is_back && std::mem::take(&mut self.controller.crash_at_link) {
            let record = self.controller.journal.records.len();
            self.controller.crash = Some((record, CrashPoint::BeforeSync));
        }
        let account = LinkAccount { client: "simulated".into(), ..LinkAccount::default() };
        self.event(Event::Connected { host, hello, account });
    }

    pub(crate) fn closed_at_controller(&mut self, link: u64) {
        let is_unheard = self.is_unheard(link);
        let Some(there) = self.links.get_mut(&link) else { return };
        if is_unheard || there.life != self.controller.life {
            return;
        }
        let (host, end) = (there.host, there.at_controller);
        there.at_controller = End::Closed;
        self.controller.attempts.retain(|_, attempt| *attempt != link);
        if !self.controller.alive {
            return;
        }
        match end {
            End::Closed => {}
            End::Opening => {
                let failure = ConnectFailure {
                    stage: "hello".into(),
                    cause: Tainted::new("closed"),
                    hint: None,
                    retry: true,
                };
                self.event(Event::ConnectFailed { host, failure });
            }
            End::Open => self.event(Event::LinkLost { host, cause: Tainted::new("closed") }),
        }
    }

    pub(crate) fn fetched(&mut self, life: u64, host: HostId, link: u64) {
        if life != self.controller.life || !self.controller.alive {
            return;
        }
        let here = self.controller.open_link(host, &self.links) == Some(link);
        let event = match here && !(self.with(FaultKind::Collect) && self.chance.percent(30)) {
            true => Event::Collected {
                host,
                files: 1,
                bytes: 9,
                skipped: Vec::new(),
                unmatched: Vec::new(),
            },
            false => Event::CollectFailed { host, cause: Tainted::new("interrupted") },
        };
        self.event(event);
    }

    /// Probes from here say something about a task.
    pub(crate) fn judged(&mut self, life: u64, host: HostId, key: TaskKey) {
        if life != self.controller.life || !self.controller.alive {
            return;
        }
        let health = match self.nature.probe_passes(&mut self.chance) {
            true => Health::Healthy,
            false => Health::Unhealthy,
        };
        self.event(Event::Probed { host, key, health, why: None });
    }

    fn wake_later(&mut self) {
        let controller = &mut self.controller;
        if !controller.alive {
            return;
        }
        let asked_at = controller.journal.records.last().map_or(0, |r| r.at);
        let Some(at) = controller.run.wake_at(asked_at) else { return };
        let at = at.max(self.now);
        if controller.wake_set.is_none_or(|set| set > at || set < self.now) {
            controller.wake_set = Some(at);
            let life = controller.life;
            self.queue.add(at, Happening::Wake { life });
        }
    }

    pub(crate) fn controller_wake(&mut self, life: u64) {
        let controller = &mut self.controller;
        if life != controller.life || !controller.alive || controller.wake_set != Some(self.now) {
            return;
        }
        controller.wake_set = None;
        self.commit(true);
    }

    /// The controller's process dies; what is not durable is lost, or by luck is not.
    pub(crate) fn crash_controller(&mut self) {
        let tail = *self.chance.pick(&[Tail::Lost, Tail::Torn, Tail::Whole, Tail::Whole]);
        let controller = &mut self.controller;
        if !controller.alive || self.finished_at.is_some() {
            return;
        }
        controller.alive = false;
        controller.crash = None;
        controller.crashes += 1;
        controller.pending.clear();
        controller.committing = false;
        controller.storing = false;
        controller.wake_set = None;
        controller.journal.break_off(tail, self.sabotage != Sabotage::TakeTornRecord);
        if self.sabotage == Sabotage::ReplayWithoutLast {
            controller.journal.records.pop();
        }
        self.checks.recovered(self.now, &controller.journal);
        controller.journal.taken_over();
        for store in controller.stores.values_mut() {
            *store = Store { durable: store.durable, received: store.durable, ..Store::default() };
        }
        controller.links.clear();
        controller.attempts.clear();
        controller.pulses.clear();
        controller.renewals.clear();
        let dying: Vec<u64> = self
            .links
            .iter()
            .filter(|(_, l)| l.at_controller != End::Closed)
            .map(|(number, _)| *number)
            .collect();
        dying.into_iter().for_each(|link| self.close_from_controller(link));
        let away = *self.chance.pick(&[10, 500, 3_000, 3_000, 20_000, 200_000]);
        self.after(away, Happening::Takeover);
    }

    /// A new controller process replays the journal and takes over.
    pub(crate) fn takeover(&mut self) {
        let controller = &mut self.controller;
        controller.alive = true;
        let skipped = usize::from(self.sabotage == Sabotage::SkipAfterSnapshot);
        match controller.journal.resume(&controller.plan, skipped) {
            Ok(run) => {
                self.checks.replayed(self.now, &controller.journal, &controller.run, &run);
                controller.run = run;
            }
            Err(record) => self.checks.replay_differs(self.now, record),
        }
        if let Some(outcome) = self.controller.run.outcome().cloned() {
            self.perform(Effect::Finish { outcome });
        } else {
            self.controller.pending.push(Event::Restarted);
            self.begin_controller();
        }
        let records = std::mem::take(&mut self.controller.journal.records);
        // A record that was written and never acted on is only seen now.
        let unseen = records.iter().filter(|record| record.effects.is_none());
        unseen.for_each(|record| self.checks.taken_up(&record.events));
        self.know_stored(&records);
        self.controller.journal.records = records;
        self.know_totals();
    }
}
