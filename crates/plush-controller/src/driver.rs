//! The driver: journal what happened, absorb it, decide, publish the view, have the effects performed.
//! It decides nothing and waits for nothing but events and the time that the core named.

use crate::effects::callback;
use crate::effects::probing::Asking;
use crate::effects::program::Surroundings;
use crate::error::ControllerError;
use crate::growth::Growth;
use crate::holder::Holder;
use crate::host_link::{Duty, HostLink, Shared};
use crate::journal::{Journal, Record, Resumed};
use crate::member_directories::MemberDirectories;
use crate::oneself;
use crate::operator::{self, Office};
use crate::order::{ORDERS, Order, Word};
use crate::packages::Shelf;
use crate::run_clock::RunClock;
use crate::run_dir::{LocalHosts, RunDir, write_whole};
use crate::space::Space;
use crate::transport::{AgentShelf, HostAddress, Limits, Pacer, Route, Ssh, SshOptions};
use plush_core::Millis;
use plush_core::plan::{self, HostId};
use plush_core::renewal::ASKED_EVERY_MS;
use plush_core::run::{Effect, Event, Run};
use plush_protocol::{Incident, Notice, Outcome, RunView};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Words that may wait for the driver; hosts wait beyond that.
const WORDS: usize = 4096;
/// Words that make one batch of the journal at the most.
const BATCH: usize = 1024;
/// A view is published no more often than this, and always at the end.
const VIEW_EVERY: Duration = Duration::from_millis(100);
/// The view's file is written no more often than this, and always at the end.
const VIEW_FILE_EVERY: Duration = Duration::from_secs(5);
/// Where there is no room, it is tried again so often.
const ROOM_EVERY: Duration = Duration::from_secs(1);
/// What hosts and front ends said that is kept while there is no room; they wait beyond that, with what they have.
const HELD: usize = 4096;
/// A front end that started the controller shows itself within this time, or is not waited for.
const OPERATOR_LIMIT: Duration = Duration::from_secs(5);
/// Host tasks have so long to close their links at the end.
const CLOSING_LIMIT: Duration = Duration::from_secs(5);

/// In the log, before the reason for which a controller ends that does not end with its run.
pub const ENDS: &str = "the controller ends: ";

/// What a driver starts from.
pub struct Start {
    pub run_dir: RunDir,
    pub surroundings: Surroundings,
    pub local_hosts: LocalHosts,
    pub directories: MemberDirectories,
    pub ssh_config: Option<PathBuf>,
    pub journal: Journal,
    pub resumed: Resumed,
    pub agents: Arc<AgentShelf>,
    pub await_operator: bool,
}

/// Drives a run to its end; no outcome: until it was parked.
pub async fn drive(start: Start) -> Result<Option<Outcome>, ControllerError> {
    let await_operator = start.await_operator;
    let mut driver = Driver::new(start)?;
    let office = operator::open(driver.office())?;
    if await_operator {
        driver.wait_for_operator().await;
    }
    let outcome = driver.run().await;
    // Before the front ends lose their connections and look here for the reason.
    match &outcome {
        Err(error) => tracing::error!("{ENDS}{error}"),
        Ok(None) => tracing::warn!("{ENDS}it was parked, and tasks go on"),
        Ok(Some(_)) => {}
    }
    office.abort();
    match &outcome {
        Err(_) => {}
        Ok(None) => driver.close_links().await,
        Ok(Some(_)) => driver.farewell().await,
    }
    // The socket goes with its run; a path that is gone already is as good.
    let _ = std::fs::remove_file(driver.shared.run_dir.operator_socket());
    outcome
}

struct Driver {
    run: Run,
    shared: Arc<Shared>,
    surroundings: Surroundings,
    local_hosts: LocalHosts,
    journal: Journal,
    words: mpsc::Receiver<Word>,
    orders: Vec<mpsc::Sender<Order>>,
    hosts: JoinSet<()>,
    oneself: tokio::task::AbortHandle,
    views: watch::Sender<Arc<RunView>>,
    records: broadcast::Sender<Arc<Record>>,
    watched: watch::Sender<bool>,
    published: Instant,
    is_view_old: bool,
    view_written: Option<Instant>,
    /// When it was seen that the run's directory is there.
    looked: Instant,
    /// An earlier controller has written to the journal.
    resumed: bool,
    /// What happened while nothing could be written.
    held: Vec<Event>,
    /// Front ends that want to see the run.
    looks: Vec<oneshot::Sender<Box<RunView>>>,
    /// A front end that wants the state written down and the controller to end.
    park: Option<oneshot::Sender<()>>,
    /// What front ends are told of the disk.
    notice: Option<Notice>,
}

impl Driver {
    fn new(start: Start) -> Result<Driver, ControllerError> {
        let (sender, words) = mpsc::channel(WORDS);
        let Resumed { run, records, at_ms: before_ms, other_build } = start.resumed;
        let resumed = records > 0;
        let controllers = 1 + run.takeovers() + u64::from(resumed);
        let name = Holder::this(&start.run_dir).to_string();
        let options =
            SshOptions { config_file: start.ssh_config, ..SshOptions::from_environment() };
        let (factors, factor) = watch::channel(1);
        // Later events follow the last recorded instant.
        let clock = Arc::new(RunClock::after(before_ms + u64::from(resumed)));
        let watch_oneself = oneself::watch(factors, sender.clone(), Arc::clone(&clock));
        let oneself = tokio::spawn(watch_oneself).abort_handle();
        let now = Instant::now();
        let shared = Arc::new(Shared {
            factor,
            began: now,
            packages: Shelf::open(&start.run_dir)?,
            run: run.plan().run.clone(),
            directories: start.directories,
            epoch: epoch(controllers),
            name,
            ssh: Ssh::new(options),
            pacer: Pacer::start(Limits::default(), u64::from(std::process::id())),
            agents: start.agents,
            growth: Growth::default(),
            arrivals: Arc::default(),
            words: sender,
            clock,
            measures_clocks: run.plan().starts_together(),
            space: Space::of(&start.run_dir),
            asking: Arc::new(Asking::new(start.surroundings.clone())),
            said_at: AtomicU64::new(before_ms),
            run_dir: start.run_dir,
        });
        let mut driver = Driver {
            oneself,
            views: watch::channel(Arc::new(run.view())).0,
            run,
            shared,
            surroundings: start.surroundings,
            local_hosts: start.local_hosts,
            journal: start.journal,
            words,
            orders: Vec::new(),
            hosts: JoinSet::new(),
            records: broadcast::channel(operator::RECORDS).0,
            watched: watch::channel(false).0,
            published: now,
            is_view_old: false,
            view_written: None,
            looked: now,
            resumed,
            held: Vec::new(),
            looks: Vec::new(),
            park: None,
            notice: None,
        };
        driver.start_hosts();
        if let Some(build) = other_build {
            driver.notify(format!("the run goes on from the state that plush {build} wrote"));
        }
        Ok(driver)
    }

    fn start_hosts(&mut self) {
        for id in (0..).map(HostId).take(self.run.plan().hosts.len()) {
            self.start_host(id);
        }
    }

    fn start_host(&mut self, id: HostId) {
        let host = &self.run.plan().hosts[id.index()];
        let route = match host.route {
            plan::Route::Local => Route::Local { dir: self.local_hosts.directory(&host.name) },
            plan::Route::Ssh => Route::Ssh(
                HostAddress::parse(&host.name).expect("the provider has parsed the address"),
            ),
        };
        let duty = Duty {
            id,
            name: host.name.clone(),
            route,
            stop_after_ms: self.run.plan().stop_after_ms(id),
            known: self.run.tasks_on(id),
            login_ms: self.run.login_ms(id),
        };
        let (orders, receiver) = mpsc::channel(ORDERS);
        let known_before = self.orders.len() > id.index();
        self.hosts.spawn(
            HostLink::new(duty, Arc::clone(&self.shared), self.run.plan().hosts.len())
                .run(receiver),
        );
        if known_before {
            self.orders[id.index()] = orders;
        } else {
            self.orders.push(orders);
        }
    }

    fn office(&self) -> Office {
        Office {
            run_dir: self.shared.run_dir.clone(),
            views: self.views.subscribe(),
            growth: self.shared.growth.clone(),
            records: self.records.clone(),
            words: self.shared.words.clone(),
            watched: self.watched.clone(),
        }
    }

    async fn wait_for_operator(&mut self) {
        let mut watched = self.watched.subscribe();
        // Nobody came: the run does not depend on it.
        let _ = tokio::time::timeout(OPERATOR_LIMIT, watched.wait_for(|w| *w)).await;
    }

    /// One round per batch of words or tick of the clock, until the run is over or is parked.
    async fn run(&mut self) -> Result<Option<Outcome>, ControllerError> {
        let mut ends = signal(SignalKind::terminate()).map_err(|e| {
            ControllerError::io("listen for signals for", self.shared.run_dir.path(), e)
        })?;
        let mut space = self.shared.space.watch();
        self.shared.clock.start();
        // A run that had come to its end only lacks its last view.
        if let Some(outcome) = self.run.outcome() {
            return Ok(Some(outcome.clone()));
        }
        let mut events = vec![Event::ClockRead { reading: self.shared.clock.reading() }];
        events.extend(self.resumed.then_some(Event::Restarted));
        loop {
            if let Some(outcome) = self.round(std::mem::take(&mut events)).await? {
                return Ok(Some(outcome));
            }
            self.answer();
            if let Some(parked) = self.park.take() {
                self.journal.park(&self.run).await?;
                // Who asked may be gone.
                let _ = parked.send(());
                return Ok(None);
            }
            let mut words = Vec::new();
            let wake = self.wake_at();
            tokio::select! {
                _ = self.words.recv_many(&mut words, BATCH) => {}
                _ = ends.recv() => {
                    words.push(Word::Event(Event::StopAsked { why: "the controller was told to end".into() }));
                }
                _ = space.changed() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
            self.take(words)?;
            events.append(&mut self.held);
            if self.looked.elapsed() >= VIEW_FILE_EVERY {
                // A run of which nothing is recorded may be removed too.
                self.looked = Instant::now();
                self.journal.check_there()?;
            }
            // The view's times go on even when nothing happens.
            self.is_view_old |= self.view_written.is_none_or(|at| at.elapsed() >= VIEW_FILE_EVERY);
            self.publish(false);
        }
    }

    fn take(&mut self, words: Vec<Word>) -> Result<(), ControllerError> {
        for word in words {
            match word {
                Word::Event(event) => self.held.push(event),
                Word::Look(look) => self.looks.push(look),
                Word::Park(parked) => self.park = Some(parked),
                Word::Broken(error) => {
                    // Without its directory a run has no files: that is the cause to report.
                    self.journal.check_there()?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Those who asked see the run as it is now.
    fn answer(&mut self) {
        for look in std::mem::take(&mut self.looks) {
            // Who asked may be gone.
            let _ = look.send(Box::new(self.view()));
        }
    }

    /// Journals, absorbs, decides, performs.
    async fn round(&mut self, events: Vec<Event>) -> Result<Option<Outcome>, ControllerError> {
        let now = self.now();
        // A time is also recorded by itself when it can change a decision.
        let is_due = self.run.wake_at(self.run.now()).is_some_and(|at| at <= now);
        let is_short = self.shared.space.is_lacking();
        if !events.is_empty() || is_due || is_short {
            let first = self.append(now, &events).await?;
            let incidents = self.run.incidents();
            events.iter().cloned().for_each(|event| self.run.absorb(now, event));
            self.show_records(first, now, events);
            self.is_view_old = true;
            let effects = self.run.decide(now);
            self.log_incidents(incidents);
            for effect in effects {
                if let Some(outcome) = self.perform(effect).await {
                    return Ok(Some(outcome));
                }
            }
        }
        self.journal.keep_bounded(now, &self.run);
        self.shared.said_at.store(now, Ordering::Release);
        Ok(None)
    }

    fn log_incidents(&self, known: u64) {
        for incident in self.run.incidents_after(known) {
            let Incident { at_ms, host, operation, text } = incident;
            tracing::info!("{host}: {operation} after {} ms: {text}", self.run.shown(*at_ms));
        }
    }

    /// Watchers see recorded state; the elapsed time is as of now.
    fn show_records(&self, first: u64, now: Millis, events: Vec<Event>) {
        if self.records.receiver_count() == 0 {
            return;
        }
        let at_ms = self.run.shown(now);
        for (number, event) in (first..).zip(events) {
            let record = Record { number, batch: first, at_ms, event: Some(event) };
            // A watcher that has disconnected is not an error.
            let _ = self.records.send(Arc::new(record));
        }
    }

    /// Appends to the journal as soon as there is room for it.
    async fn append(&mut self, at_ms: Millis, events: &[Event]) -> Result<u64, ControllerError> {
        let (began, mut is_told) = (self.now(), false);
        loop {
            let shared = Arc::clone(&self.shared);
            if !shared.space.is_lacking() || shared.space.may_be_back() {
                match self.journal.append(at_ms, events).await {
                    Ok(first) => {
                        if shared.space.is_lacking() {
                            shared.space.is_back();
                            let seconds = (self.now() - began) / 1000;
                            self.notify(format!("there is room again after {seconds} s"));
                        }
                        return Ok(first);
                    }
                    Err(error) if error.is_no_space() => shared.space.lacks(),
                    Err(error) => return Err(error),
                }
            }
            if !std::mem::replace(&mut is_told, true) {
                let directory = shared.space.directory().display();
                self.notify(format!(
                    "waiting for space on the disk of {directory}: nothing is decided before there is some"
                ));
            }
            self.wait_for_room().await?;
        }
    }

    /// Decides nothing for a while. Front ends see why; what hosts say is kept until it can be written, and they keep
    /// what they have not been told is durable.
    async fn wait_for_room(&mut self) -> Result<(), ControllerError> {
        let until = Instant::now() + ROOM_EVERY;
        loop {
            self.is_view_old = true;
            self.publish(false);
            let mut words = Vec::new();
            let room = HELD.saturating_sub(self.held.len());
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(()),
                _ = self.words.recv_many(&mut words, room), if room > 0 => {}
            }
            self.take(words)?;
            self.answer();
        }
    }

    /// Tells people of the controller's own disk.
    fn notify(&mut self, text: String) {
        tracing::warn!("{text}");
        self.notice = Some(Notice { at_ms: self.run.shown(self.now()), text });
        self.is_view_old = true;
    }

    async fn perform(&mut self, effect: Effect) -> Option<Outcome> {
        let (host, order) = match effect {
            Effect::Connect { host, session, received } => {
                (host, Order::Connect { session, received })
            }
            Effect::DropConnect { host } => (host, Order::DropConnect),
            Effect::Send { host, number, command } => (host, Order::Send { number, command }),
            Effect::Acknowledge { host, number } => (host, Order::Acknowledge { number }),
            Effect::Collect { host, globs } => (host, Order::Collect { globs }),
            Effect::Disconnect { host } => (host, Order::Disconnect),
            Effect::Watch { host, key, watch } => (host, Order::Watch { key, watch }),
            Effect::Unwatch { host, key } => (host, Order::Unwatch { key }),
            Effect::Ask { question } => {
                let surroundings = self.surroundings.clone();
                callback::start(question, surroundings, self.shared.words.clone());
                return None;
            }
            Effect::Finish { outcome } => return Some(outcome),
        };
        // A run may take in hosts that its plan held in reserve.
        while self.orders.len() <= host.index() {
            self.start_host(HostId(
                u32::try_from(self.orders.len()).expect("hosts are counted in 32 bits"),
            ));
        }
        // One that was given up has ended its task, and is looked for by another.
        let is_wanted_again = matches!(order, Order::Connect { .. });
        if is_wanted_again && self.orders[host.index()].is_closed() {
            self.start_host(host);
        }
        // A host's task ends only when it was told to, or with the controller itself.
        let _ = self.orders[host.index()].send(order).await;
        None
    }

    fn now(&self) -> Millis {
        self.shared.clock.now()
    }

    /// When to look again though nobody speaks: the core's time, the view's, or that of links that renew leases.
    fn wake_at(&self) -> Instant {
        let now = self.now();
        let decide = self.run.wake_at(now).unwrap_or(Millis::MAX).min(now + ASKED_EVERY_MS);
        let decide = Instant::now() + Duration::from_millis(decide - now);
        let view = self.is_view_old.then(|| self.published + VIEW_EVERY);
        let view_file = self.view_written.map(|at| at + VIEW_FILE_EVERY);
        [view, view_file].into_iter().flatten().fold(decide, Instant::min)
    }

    /// The run as it is now; its clock advances without events, and stops at the end of the run.
    fn view(&self) -> RunView {
        let mut view = match self.run.outcome() {
            None => self.run.view_at(self.now()),
            Some(_) => self.run.view(),
        };
        if let Some(own) = &self.notice
            && view.notice.as_ref().is_none_or(|other| other.at_ms <= own.at_ms)
        {
            view.notice = Some(own.clone());
        }
        view
    }

    fn publish(&mut self, at_once: bool) {
        if !self.is_view_old || (!at_once && self.published.elapsed() < VIEW_EVERY) {
            return;
        }
        let view = Arc::new(self.view());
        if view.phase != self.views.borrow().phase {
            tracing::info!("{:?} after {} ms: {:?}", view.phase, view.elapsed_ms, view.counts);
        }
        let is_due = self.view_written.is_none_or(|at| at.elapsed() >= VIEW_FILE_EVERY);
        if at_once || is_due && !self.shared.space.is_lacking() {
            self.view_written = Some(Instant::now());
            let path = self.shared.run_dir.view();
            let json = serde_json::to_vec(&*view).expect("a view is plain data");
            if let Err(error) = write_whole(&path, &json) {
                tracing::warn!("cannot write {}: {error}", path.display());
            }
        }
        self.views.send_replace(view);
        self.published = Instant::now();
        self.is_view_old = false;
    }

    /// Links close, the last view is written, front ends get it.
    async fn farewell(&mut self) {
        self.close_links().await;
        self.is_view_old = true;
        self.publish(true);
        // Front ends read the last view; those that do not are not waited for.
        let _ = tokio::time::timeout(CLOSING_LIMIT, self.views.closed()).await;
    }

    async fn close_links(&mut self) {
        self.orders.clear();
        self.oneself.abort();
        let closing = async { while self.hosts.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSING_LIMIT, closing).await.is_err() {
            tracing::warn!("some links did not close in time");
        }
    }
}

/// The controllers of one journal have rising epochs; those of two copies of it never have the same.
fn epoch(controllers: u64) -> u64 {
    let mut chance = [0; 4];
    // Without chance two copies that are resumed at once are told apart by their hosts' links alone.
    let _ = getrandom::fill(&mut chance);
    (controllers << 32) | u64::from(u32::from_le_bytes(chance))
}
