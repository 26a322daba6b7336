//! One host's connection: an ordinary task that connects when told, carries messages, stores output, and says what happened.
//! It decides nothing: what it is told comes from effects, what it says becomes events. What tasks write is `streams`'.

mod streams;

use crate::arrivals::ArrivalClock;
use crate::attempt::{self, Attempt, Goal, Setback};
use crate::effects::collect::{self, CollectTraffic};
use crate::effects::probing::{self, Asking, Subject};
use crate::error::ControllerError;
use crate::growth::Growth;
use crate::member_directories::MemberDirectories;
use crate::order::{Order, Word};
use crate::output::{HostOutput, Sync};
use crate::packages::Shelf;
use crate::run_clock::{RunClock, boot_us};
use crate::run_dir::RunDir;
use crate::space::Space;
use crate::transport::{AgentShelf, Pacer, Route, Ssh};
use crate::wire::Wire;
use plush_core::Millis;
use plush_core::liveness::{Pulse, PulseEffect};
use plush_core::offset::{ClockOffset, OffsetFilter, Sample};
use plush_core::plan::HostId;
use plush_core::renewal::Renewals;
use plush_core::run::{Event, OpenTask, Watch};
use plush_protocol::{Command, Pong, Tainted, TaskKey, ToAgent, ToController};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Pings after the first that follow each other at once, where clocks are measured.
const QUICK_PINGS: u32 = 7;
/// How often what was received is made durable while a task goes on writing.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// What all hosts of a run share.
pub struct Shared {
    pub run_dir: RunDir,
    pub run: String,
    /// The names of the members' directories.
    pub directories: MemberDirectories,
    pub epoch: u64,
    /// Who this controller is, for people.
    pub name: String,
    pub ssh: Ssh,
    pub pacer: Pacer,
    pub agents: Arc<AgentShelf>,
    pub packages: Shelf,
    /// Notifies watchers of new output.
    pub growth: Growth,
    pub arrivals: Arc<ArrivalClock>,
    pub words: mpsc::Sender<Word>,
    pub space: Space,
    /// By what the controller's own lateness multiplies what is tolerated of others.
    pub factor: watch::Receiver<u64>,
    /// Where the clocks of all pulses begin.
    pub began: Instant,
    pub clock: Arc<RunClock>,
    /// Something in this run starts at an instant.
    pub measures_clocks: bool,
    pub asking: Arc<Asking>,
    /// When the run was asked last whose effects have all been handed over.
    pub said_at: AtomicU64,
}

/// Which host a link serves, and as what.
pub struct Duty {
    pub id: HostId,
    pub name: String,
    pub route: Route,
    /// Life of its tasks without a word from a controller; `None` is for ever.
    pub stop_after_ms: Option<u64>,
    /// The tasks that an earlier controller of this run started on the host.
    pub known: Vec<OpenTask>,
    /// How long a login took, of a host that an earlier controller has reached.
    pub login_ms: Option<Millis>,
}

/// The task of one host.
pub struct HostLink {
    id: HostId,
    name: String,
    route: Route,
    stop_after_ms: Option<u64>,
    shared: Arc<Shared>,
    output: HostOutput,
    processes: BTreeMap<TaskKey, String>,
    /// What tasks have written that had ended when this controller began.
    totals: BTreeMap<TaskKey, (u64, u64)>,
    pulse: Pulse,
    /// At most one is under way, be it for the first link, the next, or a second one beside a link that is silent.
    attempt: Option<Attempt>,
    /// How long the last login took.
    login_ms: Option<u64>,
    /// They outlive a link: a stream that waits for one is not synchronised a second time.
    syncs: JoinSet<(Sync, std::io::Result<()>)>,
    /// What is known of the host's clock on this link.
    offset: OffsetFilter,
    /// The offset reported in the hellos.
    clock_known: Option<ClockOffset>,
    /// What the lease there is to be renewed from.
    renewals: Renewals,
    /// Pings that are still to follow at once.
    quick_pings: u32,
    /// Output was dropped since there was no room for it: its agent sends it again over another link.
    has_dropped: bool,
    /// Tasks that are asked about from here.
    watches: BTreeMap<TaskKey, JoinSet<()>>,
    /// Changes when the host is heard.
    heard: watch::Sender<()>,
}

/// Why a link ended.
enum End {
    Lost(String),
    Told,
    Broken(ControllerError),
    /// Another one has answered first.
    Replaced(Box<Wire>),
}

impl HostLink {
    /// The link of a host, not made yet; the run has so many `hosts`.
    pub fn new(duty: Duty, shared: Arc<Shared>, hosts: usize) -> Self {
        let Duty { id, name, route, stop_after_ms, known, login_ms } = duty;
        HostLink {
            id,
            pulse: Pulse::new(hosts, stop_after_ms),
            attempt: None,
            login_ms,
            syncs: JoinSet::new(),
            output: HostOutput::new(shared.run_dir.output(&name), Arc::clone(&shared.arrivals)),
            totals: known.iter().filter_map(|t| Some((t.key, t.total_bytes?))).collect(),
            processes: known.into_iter().map(|t| (t.key, t.process)).collect(),
            offset: OffsetFilter::default(),
            clock_known: None,
            renewals: Renewals::default(),
            quick_pings: 0,
            has_dropped: false,
            watches: BTreeMap::new(),
            heard: watch::Sender::new(()),
            name,
            route,
            stop_after_ms,
            shared,
        }
    }

    /// Serves until the driver is gone or says that it is enough.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    None | Some(Order::Disconnect) => return,
                    Some(Order::Connect { session, received }) => self.begin_attempt(session, received),
                    Some(Order::DropConnect) => self.drop_attempt().await,
                    // These were meant for a link that is gone; the core decides them again after the next one.
                    Some(Order::Send { .. } | Order::Acknowledge { .. } | Order::Watch { .. }) => {}
                    Some(Order::Unwatch { key }) => drop(self.watches.remove(&key)),
                    Some(Order::Collect { .. }) => self.say(self.collect_failed("the link is gone")).await,
                },
                outcome = attempt::outcome(&mut self.attempt) => match outcome {
                    Ok(reached) => {
                        self.welcome(reached.event, reached.handshake_ms).await;
                        if self.serve_on(reached.wire, &mut orders).await {
                            return;
                        }
                    }
                    Err(Setback::Failed(failure)) => {
                        self.say(Event::ConnectFailed { host: self.id, failure }).await;
                    }
                    Err(Setback::Fenced(error)) => return self.break_off(error).await,
                },
            }
        }
    }

    /// One attempt at a time: what is asked again while one is under way ends with it.
    fn begin_attempt(&mut self, session: u64, received: u64) {
        if self.attempt.is_none() {
            let goal = Goal {
                host: self.id,
                name: self.name.clone(),
                route: self.route.clone(),
                stop_after_ms: self.stop_after_ms,
                session,
                received,
                login_ms: self.login_ms,
            };
            self.attempt = Some(Attempt::begin(goal, Arc::clone(&self.shared)));
        }
    }

    /// What may have brought something to the host goes on: it has to be known what.
    async fn drop_attempt(&mut self) {
        if self.attempt.as_ref().is_some_and(|attempt| !attempt.has_logged_in()) {
            self.attempt = None;
            self.say(Event::ConnectDropped { host: self.id }).await;
        }
    }

    async fn welcome(&mut self, event: Event, handshake_ms: u64) {
        self.login_ms = Some(handshake_ms);
        if let Event::Connected { account, .. } = &event {
            self.clock_known = account.clock;
        }
        self.pulse.linked(self.now(), handshake_ms);
        self.say(event).await;
    }

    /// Serves a link, and the one that takes its place; true when nothing more will be asked of this host.
    async fn serve_on(&mut self, mut wire: Wire, orders: &mut mpsc::Receiver<Order>) -> bool {
        loop {
            match self.serve(&mut wire, orders).await {
                End::Told => {
                    wire.close().await;
                    return true;
                }
                End::Lost(cause) => {
                    let cause = Tainted::new(wire.explain(cause));
                    self.say(Event::LinkLost { host: self.id, cause }).await;
                    return false;
                }
                End::Broken(error) => {
                    self.break_off(error).await;
                    return true;
                }
                End::Replaced(other) => wire = *other,
            }
        }
    }

    async fn break_off(&self, error: ControllerError) {
        // The driver is gone if this fails: then there is nobody to tell.
        let _ = self.shared.words.send(Word::Broken(error)).await;
    }

    async fn serve(&mut self, wire: &mut Wire, orders: &mut mpsc::Receiver<Order>) -> End {
        let shared = Arc::clone(&self.shared);
        self.has_dropped = false;
        if let Err(end) = self.reopen_streams(wire) {
            return end;
        }
        let mut factor = shared.factor.clone();
        (self.offset, self.quick_pings) = match shared.measures_clocks {
            true => (OffsetFilter::default(), QUICK_PINGS),
            false => (OffsetFilter::rough(self.clock_known, boot_us()), 0),
        };
        self.renewals = Renewals::default();
        // A lease that was out has to hold again before anything is started.
        self.clock_told(wire.clock_us);
        self.renew(wire, orders);
        if self.shared.measures_clocks {
            wire.send(&ToAgent::Ping(boot_us()));
        }
        let mut sync = tokio::time::interval(SYNC_EVERY);
        let mut collecting: Option<CollectTraffic> = None;
        loop {
            let limits = *factor.borrow_and_update();
            let look =
                self.shared.began + Duration::from_millis(self.pulse.wake_at(self.now(), limits));
            let step = tokio::select! {
                order = orders.recv() => match order {
                    None | Some(Order::Disconnect) => Err(End::Told),
                    Some(order) => self.obey(wire, order, &mut collecting),
                },
                message = wire.next() => match message {
                    Err(cause) => Err(End::Lost(cause)),
                    Ok(message) => self.hear(wire, message, &mut collecting).await,
                },
                outcome = attempt::outcome(&mut self.attempt) => match outcome {
                    // What the silent link may still bring is not waited for: the agent sends it again.
                    Ok(reached) => {
                        self.welcome(reached.event, reached.handshake_ms).await;
                        Err(End::Replaced(Box::new(reached.wire)))
                    }
                    Err(Setback::Failed(failure)) => {
                        self.say(Event::ConnectFailed { host: self.id, failure }).await;
                        Ok(())
                    }
                    Err(Setback::Fenced(error)) => Err(End::Broken(error)),
                },
                asked = next_question(&mut collecting) => {
                    match asked {
                        Some(question) => wire.send(&question),
                        None => collecting = None,
                    }
                    Ok(())
                }
                () = tokio::time::sleep_until(look) => Ok(()),
                _ = factor.changed() => Ok(()),
                () = shared.space.room(), if self.has_dropped => {
                    Err(End::Lost("output for which there was no room is to be sent again".into()))
                }
                _ = sync.tick() => {
                    self.begin_syncs(true);
                    Ok(())
                }
                Some(done) = self.syncs.join_next() => self.synced(wire, done),
            };
            if let Err(end) = step {
                return end;
            }
            self.renew(wire, orders);
            self.feel_pulse(wire, limits).await;
            self.begin_syncs(false);
            if let Err(end) = self.say_completed().await {
                return end;
            }
        }
    }

    /// Tells the rule what was heard, and performs what it says.
    async fn feel_pulse(&mut self, wire: &mut Wire, factor: u64) {
        let now = self.now();
        if wire.take_heard() {
            self.pulse.heard(now);
            self.heard.send_replace(());
        }
        for effect in self.pulse.decide(now, factor) {
            match effect {
                PulseEffect::Ping => wire.send(&ToAgent::Ping(boot_us())),
                PulseEffect::Suspect { silent_ms, limit_ms } => {
                    self.say(Event::Suspected { host: self.id, silent_ms, limit_ms }).await;
                }
                PulseEffect::Heard { silent_ms } => {
                    // The old link was first: the attempt at a second one is dropped.
                    self.attempt = None;
                    self.say(Event::HeardAgain { host: self.id, silent_ms }).await;
                }
            }
        }
    }

    /// The agent has told its clock. Who has no lease needs no renewal.
    fn clock_told(&mut self, clock_us: Option<u64>) {
        if let Some(clock_us) = clock_us.filter(|_| self.stop_after_ms.is_some()) {
            self.renewals.heard(self.shared.clock.now(), clock_us);
        }
    }

    /// What the run has said is done first: it may be that the host is given up.
    fn renew(&mut self, wire: &mut Wire, orders: &mpsc::Receiver<Order>) {
        let said_at = self.shared.said_at.load(Ordering::Acquire);
        if orders.is_empty()
            && let Some(clock_us) = self.renewals.due(said_at)
        {
            wire.send(&ToAgent::Renew(clock_us));
        }
    }

    /// The clock of the pulse.
    fn now(&self) -> Millis {
        u64::try_from(self.shared.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn obey(
        &mut self,
        wire: &mut Wire,
        order: Order,
        collecting: &mut Option<CollectTraffic>,
    ) -> Result<(), End> {
        match order {
            Order::Send { number, command } => self.send_command(wire, number, command)?,
            Order::Acknowledge { number } => wire.send(&ToAgent::Ack(number)),
            Order::Collect { globs } => {
                let directory = self.shared.run_dir.results(&self.name);
                let (host, shared) = (self.id, Arc::clone(&self.shared));
                *collecting = Some(collect::start(host, directory, globs, shared));
            }
            // The host may have spoken since this was decided: then it has been told, and nothing need be done.
            Order::Connect { session, received } if self.pulse.is_suspect() => {
                self.begin_attempt(session, received);
            }
            Order::Connect { .. } | Order::DropConnect | Order::Disconnect => {}
            Order::Watch { key, watch } => self.watch(key, *watch),
            Order::Unwatch { key } => drop(self.watches.remove(&key)),
        }
        Ok(())
    }

    /// Asks about a task until it is told not to, or nothing more is asked of this host.
    fn watch(&mut self, key: TaskKey, watch: Watch) {
        let address = match &self.route {
            Route::Local { .. } => "localhost".to_owned(),
            Route::Ssh(address) => self.shared.ssh.settings(address).host_name,
        };
        let subject = Subject { host: self.id, key, address, watch };
        let (asking, words) = (Arc::clone(&self.shared.asking), self.shared.words.clone());
        let mut one = JoinSet::new();
        one.spawn(probing::watch(subject, asking, self.heard.subscribe(), words));
        self.watches.insert(key, one);
    }

    fn send_command(&mut self, wire: &mut Wire, number: u64, command: Command) -> Result<(), End> {
        let started = match &command {
            Command::Start { key, spec } => Some((*key, spec.name.clone())),
            Command::Prepare(_)
            | Command::Stop { .. }
            | Command::Signal { .. }
            | Command::Fail { .. }
            | Command::Rewrite { .. }
            | Command::CleanUp { .. }
            | Command::Barrier(_)
            | Command::CancelPrepare { .. }
            | Command::Ask(_) => None,
        };
        wire.send(&ToAgent::Command(number, command));
        if let Some((key, process)) = started {
            self.expect_output(wire, key, process)?;
        }
        Ok(())
    }

    async fn hear(
        &mut self,
        wire: &mut Wire,
        message: ToController,
        collecting: &mut Option<CollectTraffic>,
    ) -> Result<(), End> {
        match message {
            ToController::Report(number, report) => {
                self.follow(wire, &report)?;
                let session = wire.session;
                self.say(Event::Reported { host: self.id, session, number, report }).await;
            }
            ToController::Ack(number) => {
                let session = wire.session;
                self.say(Event::Taken { host: self.id, session, number }).await;
            }
            ToController::OutputPart(part) => self.store(wire, &part)?,
            ToController::OutputGap(gap) => self.note_gap(wire, &gap)?,
            ToController::BlobWant(want) => {
                wire.send(&ToAgent::BlobPart(self.shared.packages.read(&want)));
            }
            answer @ (ToController::ListPart(_) | ToController::FilePart(_)) => {
                if let Some(traffic) = collecting {
                    // A collection that has given up does not listen any more.
                    let _ = traffic.answers.send(answer).await;
                }
            }
            ToController::Pong(pong) => {
                self.clock_told(Some(pong.clock_us));
                self.measure(wire, pong).await;
            }
            ToController::Hello(_) => return Err(End::Lost("the agent said hello twice".into())),
            ToController::Bye(why) => return Err(End::Lost(format!("the agent left: {why}"))),
        }
        Ok(())
    }

    /// Updates the host's clock offset from a pong. Where the run starts anything at an instant,
    /// the first pings follow each other at once, so that the offset is known before it is needed.
    async fn measure(&mut self, wire: &mut Wire, pong: Pong) {
        let came_us = boot_us();
        let sample = Sample { asked_us: pong.token, host_us: pong.clock_us, came_us };
        if let Some(offset) = self.offset.take(sample) {
            self.say(Event::ClockMeasured { host: self.id, offset }).await;
        }
        if self.quick_pings > 0 {
            self.quick_pings -= 1;
            wire.send(&ToAgent::Ping(boot_us()));
        }
    }

    fn collect_failed(&self, why: &str) -> Event {
        Event::CollectFailed { host: self.id, cause: Tainted::new(why) }
    }

    async fn say(&self, event: Event) {
        // The driver ends first only when the run is over.
        let _ = self.shared.words.send(Word::Event(event)).await;
    }
}

/// The next question of a collection under way; never, when there is none; `None` when it is over.
async fn next_question(collecting: &mut Option<CollectTraffic>) -> Option<ToAgent> {
    match collecting {
        Some(traffic) => traffic.questions.recv().await,
        None => std::future::pending().await,
    }
}
