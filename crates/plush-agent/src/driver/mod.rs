//! The agent's driver: carries facts to the core and performs what it decides, for one run on one host.
//! Not the rules: see [`plush_core::agent`]. One thread, one loop, one owner of everything.

mod asking;
mod collect;
mod descriptors;
mod door;
mod environment;
mod happened;
mod held;
mod link;
mod output;
mod pieces;
mod prepare;
mod probe;
mod reaping;
mod recovery;
mod tasks;

use crate::base::{Base, LOG, PROGRAMS};
use crate::cgroup::Groups;
use crate::cleanup::Shared;
use crate::clock::{self, Alarm};
use crate::doorway::Doorway;
use crate::keeper::wire::ToKeeper;
use crate::logins::Came;
use crate::member::Member;
use crate::{cleanup, facts, log, logger, logins, programs, record, sys};
use collect::{Collector, Question};
use descriptors::Spare;
use door::Door;
use environment::Environment;
use happened::Happened;
use held::Held;
use link::{BATCH_BYTES, Link};
use output::Outgoing;
use pieces::{Piece, Pieces};
use plush_core::agent::{Agent, AskerId, CleanUpSpec, Effect, Event, Greeting, LinkId, Rewriting};
use plush_protocol::{
    AgentHello, BarrierOutcome, Guarantee, Logout, OutputAck, PROTOCOL_VERSION, Pong, PrepareSpec,
    Report, StreamName, Tainted, TaskKey, ToAgent, ToController,
};
use prepare::Preparation;
use rustix::fs::Mode;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as std_mpsc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// Things that happened and were not yet taken up; who has more to say waits.
const HAPPENED_QUEUE: usize = 32;
/// Connections at the same time; one of them counts.
const MAX_LINKS: usize = 16;

/// Runs an agent whose standard input is the socket that it listens on.
pub fn serve(base: Base, host: &str, came: Came, umask: Mode) -> io::Result<()> {
    let _it_is_a_leader_already = rustix::process::setsid();
    programs::set_umask(umask);
    std::env::set_current_dir(&base.run)?;
    logger::open(Path::new(LOG))?;
    let alone = Member::here(host).hold(&base).map_err(io::Error::other)?;
    let listener = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    let listener = StdListener::from(listener);
    listener.set_nonblocking(true)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut groups = Groups::open(&base.run);
    let logout = logins::step_out(&mut groups);
    if let Err(e) = groups.account("memory") {
        log!("memory is not counted per task: {e}");
    }
    let _whoever_started_this_may_be_gone =
        rustix::io::write(std::io::stdout(), logins::UP.as_bytes());
    rustix::stdio::dup2_stdout(&null)?;
    let warning = came.warning(logout);
    let standing = Standing { groups: Some(groups), alone: Some(alone), logout, warning };
    let served =
        runtime.block_on(async { Driver::new(base, host, umask, listener, standing)?.run().await });
    runtime.shutdown_background();
    served
}

/// Streams that may be opened before their tasks are held; a peer that opens more has to open them again.
const OPENED_EARLY: usize = 4096;

/// Where this agent stands on its host.
struct Standing {
    /// Given away by the agent's last act.
    groups: Option<Groups>,
    /// No other agent serves in this directory.
    alone: Option<OwnedFd>,
    logout: Logout,
    /// For people.
    warning: Option<&'static str>,
}

struct Driver {
    base: Base,
    standing: Standing,
    core: Agent,
    environment: Environment,
    /// The account's, for tasks.
    umask: Mode,
    listener: UnixListener,
    /// Where tasks knock; none if it could not be opened.
    door: Option<Door>,
    askers: BTreeMap<AskerId, oneshot::Sender<BarrierOutcome>>,
    spare: Spare,
    alarm: AsyncFd<Alarm>,
    children: Signal,
    happened: mpsc::Receiver<Happened>,
    tell: mpsc::Sender<Happened>,
    links: BTreeMap<LinkId, Link>,
    next_link: LinkId,
    tasks: BTreeMap<TaskKey, Held>,
    /// Streams that the controller has opened and whose task, told of just before, is not held yet.
    opened_early: Vec<OutputAck>,
    /// Whose output was sent last.
    turn: (TaskKey, StreamName),
    /// A keeper died before its task: orphans may have become our children.
    orphans: bool,
    preparing: BTreeMap<String, Preparing>,
    collector: Collector,
    /// The host is being left: programs that answer questions are ended.
    questions_unwanted: Arc<AtomicBool>,
    /// The files are to be removed once no keeper is left.
    removing: Option<CleanUpSpec>,
    shared: Shared,
}

/// The driver's end of a preparation.
struct Preparing {
    cancelled: Arc<AtomicBool>,
    pieces: std_mpsc::SyncSender<Piece>,
}

/// Whether the loop goes on.
enum Flow {
    On,
    Exit,
}

impl Driver {
    fn new(
        base: Base,
        host: &str,
        umask: Mode,
        listener: StdListener,
        standing: Standing,
    ) -> io::Result<Driver> {
        let (tell, happened) = mpsc::channel(HAPPENED_QUEUE);
        let (recovered, tasks) = recovery::recover(&base, &tell);
        let run = base.id.clone();
        log!("agent of run {run}, {} tasks found", tasks.len());
        let collector = Collector::start(base.clone(), tell.clone())?;
        let doorway = Doorway::open(&base);
        let doorway = doorway.inspect_err(|e| log!("find a place for the tasks' socket: {e}")).ok();
        let socket = doorway.as_ref().map(|doorway| doorway.socket.clone());
        let mut core = Agent::new(run, recovered);
        if let Some(warning) = standing.warning {
            core.absorb(Event::Noted(Report::Note(Tainted::new(warning))));
        }
        Ok(Driver {
            core,
            environment: Environment::of(&base, host, socket.as_deref()),
            umask,
            door: open_door(&base, doorway, &tell),
            askers: BTreeMap::new(),
            base,
            standing,
            listener: UnixListener::from_std(listener)?,
            spare: Spare::take(),
            alarm: crate::sys::register(Alarm::new()?)?,
            children: signal(SignalKind::child())?,
            happened,
            tell,
            links: BTreeMap::new(),
            next_link: 1,
            tasks,
            questions_unwanted: Arc::default(),
            opened_early: Vec::new(),
            turn: (TaskKey { task: 0, incarnation: 0 }, StreamName::Out),
            orphans: false,
            preparing: BTreeMap::new(),
            collector,
            removing: None,
            shared: Shared::Stays,
        })
    }

    async fn run(mut self) -> io::Result<()> {
        loop {
            let now = clock::now_ms();
            if let Flow::Exit = self.perform_all(now) {
                return Ok(());
            }
            self.pump();
            self.alarm.get_mut().set(self.core.wake_at(now))?;
            tokio::select! {
                happened = self.happened.recv() => {
                    self.take(happened.expect("the driver holds a sender itself"));
                    // What has happened meanwhile is taken up in one go.
                    while let Ok(happened) = self.happened.try_recv() {
                        self.take(happened);
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) => self.accept(socket),
                    Err(e) => self.turn_away(&e),
                },
                knocked = knock(&mut self.door) => {
                    if let Err(e) = knocked {
                        log!("accept a program: {e}");
                        if let Some(door) = &self.door {
                            let listener = door.listener();
                            let _gone = self.spare.lend(|| rustix::net::accept(listener));
                        }
                    }
                }
                ready = self.alarm.readable_mut() => {
                    let mut ready = ready?;
                    ready.get_inner_mut().quiet();
                    ready.clear_ready();
                }
                _ = self.children.recv() => self.reap(),
            }
        }
    }

    fn accept(&mut self, socket: tokio::net::UnixStream) {
        let mine = rustix::process::geteuid().as_raw();
        let peer = socket.peer_cred().map(|cred| cred.uid());
        if self.links.len() >= MAX_LINKS || !peer.is_ok_and(|uid| uid == mine || uid == 0) {
            log!("a connection was refused");
            return;
        }
        let id = self.next_link;
        self.next_link += 1;
        self.links.insert(id, Link::serve(id, socket, self.tell.clone()));
    }

    /// Somebody wants in whom this process has no descriptor for: he is let go, and not asked about again and again.
    fn turn_away(&mut self, error: &io::Error) {
        log!("accept a connection: {error}");
        let listener = &self.listener;
        let _nobody_waits_any_more = self.spare.lend(|| rustix::net::accept(listener));
    }

    fn take(&mut self, happened: Happened) {
        match happened {
            Happened::Said { link, message } => self.hear(link, message),
            Happened::LinkClosed { link, why } => {
                log!("link {link}: {why}");
                self.close(link);
            }
            Happened::LinkWritten { link, spare } => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.written(spare);
                }
            }
            Happened::Keeper { key, generation, message } => {
                self.keeper_said(key, generation, message);
            }
            Happened::KeeperGone { key, generation } => {
                self.keeper_gone(key, generation);
                self.remove_when_alone();
            }
            Happened::Asked { asker, ask, answer } => {
                self.askers.insert(asker, answer);
                self.core.absorb(Event::BarrierAsked { asker, ask });
            }
            Happened::AskerGone { asker } => {
                self.askers.remove(&asker);
                self.core.absorb(Event::AskerGone { asker });
            }
            Happened::Core(event) => self.core.absorb(event),
            Happened::Answer { link, message, permit } => {
                if self.links.get_mut(&link).is_some_and(|open| !open.answer(&message, permit)) {
                    self.close(link);
                }
            }
            Happened::BlobWanted { cluster, want } => match self.core.link() {
                Some(link) => self.say(link, &ToController::BlobWant(want)),
                // Whoever connects next is asked again.
                None => log!("{cluster} waits for a controller to send {}", want.blake3),
            },
            Happened::PrepareEnded { cluster, report } => {
                self.preparing.remove(&cluster);
                self.core.absorb(Event::PrepareEnded(report));
            }
        }
    }

    fn hear(&mut self, link: LinkId, message: ToAgent) {
        let counts = self.core.link() == Some(link);
        match message {
            ToAgent::Hello(hello) => self.core.absorb(Event::Hello { link, hello }),
            ToAgent::Command(number, command) => {
                self.core.absorb(Event::Command { link, number, command });
            }
            ToAgent::Ack(number) => self.core.absorb(Event::Acknowledged { link, number }),
            ToAgent::Ping(token) => self.core.absorb(Event::Ping { link, token }),
            ToAgent::Renew(clock_us) => self.core.absorb(Event::Renew { link, clock_us }),
            ToAgent::Bye(why) => {
                log!("link {link}: the controller says good-bye: {why}");
                self.close(link);
            }
            ToAgent::OutputAck(ack) if counts => self.output_acknowledged(&ack),
            ToAgent::BlobPart(part) if counts => {
                for preparing in self.preparing.values() {
                    // One that has more pieces waiting than it asked for asks again for what it lacks.
                    let _unasked = preparing.pieces.try_send(Piece::Here(part.clone()));
                }
            }
            ToAgent::ListWant(want) if counts => self.ask(link, Question::List(want)),
            ToAgent::FileWant(want) if counts => self.ask(link, Question::File(want)),
            ToAgent::OutputAck(_)
            | ToAgent::BlobPart(_)
            | ToAgent::ListWant(_)
            | ToAgent::FileWant(_) => {}
        }
    }

    /// Performs what is decided, and what is decided because of how that went.
    fn perform_all(&mut self, now: u64) -> Flow {
        loop {
            let effects = self.core.decide(now);
            if effects.is_empty() {
                return Flow::On;
            }
            let mut unsaved = false;
            for effect in effects {
                if let Effect::SaveEpoch(epoch) = effect {
                    unsaved = !self.save_epoch(epoch);
                } else if unsaved && is_said(&effect) {
                    continue;
                } else if let Flow::Exit = self.perform(effect) {
                    return Flow::Exit;
                }
            }
        }
    }

    /// Whether it is durable now.
    fn save_epoch(&mut self, epoch: u64) -> bool {
        let saved = record::save_epoch(&self.base.run, epoch);
        if let Err(e) = &saved {
            log!("save the epoch {epoch}: {e}");
            self.core.absorb(Event::EpochUnsaved { epoch, why: e.to_string() });
        }
        saved.is_ok()
    }

    fn perform(&mut self, effect: Effect) -> Flow {
        match effect {
            Effect::SaveEpoch(epoch) => {
                let _told_to_the_core = self.save_epoch(epoch);
            }
            Effect::SaveLease(lease) => {
                if let Err(e) = record::save_lease(&self.base.run, &lease) {
                    log!("save the lease: {e}");
                }
            }
            Effect::Greet { link, greeting } => {
                self.silence_streams();
                self.greet(link, greeting);
                for preparing in self.preparing.values() {
                    let _busy = preparing.pieces.try_send(Piece::Reconnected);
                }
            }
            Effect::Refuse { link, greeting, why } => {
                self.greet(link, greeting);
                self.say(link, &ToController::Bye(why));
                if let Some(link) = self.links.get_mut(&link) {
                    link.last_words = true;
                }
            }
            Effect::Close { link } => {
                self.links.remove(&link);
            }
            Effect::Send { link, number, report } => {
                self.say(link, &ToController::Report(number, report));
            }
            Effect::Acknowledge { link, number } => self.say(link, &ToController::Ack(number)),
            Effect::Pong { link, token } => {
                let pong = Pong { token, clock_us: clock::now_us() };
                self.say(link, &ToController::Pong(pong));
            }
            Effect::AnswerProgram { asker, outcome } => {
                if let BarrierOutcome::LetGo { at_us: Some(at_us), .. } = outcome {
                    // The core's clock has milliseconds; what is left of one is waited for here.
                    clock::wait_until_us(at_us);
                }
                if let Some(program) = self.askers.remove(&asker) {
                    // It may have gone a moment ago.
                    let _gone = program.send(outcome);
                }
            }
            Effect::Start { key, spec } => self.start(key, *spec),
            Effect::Signal { key, signal } => self.tell_keeper(key, &ToKeeper::Signal(signal)),
            Effect::Stop { key, why } => self.tell_keeper(key, &ToKeeper::Stop { why }),
            Effect::Prepare(spec) => self.prepare(spec),
            Effect::CancelPrepare { cluster } => {
                if let Some(preparing) = self.preparing.get(&cluster) {
                    preparing.cancelled.store(true, Ordering::Relaxed);
                }
            }
            Effect::Conclude { key } => self.conclude(key),
            Effect::Forget { key } => self.forget(key),
            Effect::Probe { key, probe, check, time_limit_ms, cluster } => {
                let limit = Duration::from_millis(time_limit_ms);
                let directory = self.base.clusters().join(cluster);
                let environment = self.environment.common();
                let question = probe::Question { check, limit, directory, environment };
                let tell = self.tell.clone();
                tokio::task::spawn_blocking(move || {
                    let answer = question.ask();
                    let event = Event::Probed { key, probe, answer };
                    let _ended = tell.blocking_send(Happened::Core(event));
                });
            }
            Effect::Rewrite(rewriting) => self.rewrite(&rewriting),
            Effect::Remove(spec) => self.remove(spec),
            Effect::Ask(question) => {
                let unwanted = Arc::clone(&self.questions_unwanted);
                asking::ask(question, &self.base, &self.environment, unwanted, self.tell.clone());
            }
            Effect::CancelQuestions => self.questions_unwanted.store(true, Ordering::Relaxed),
            Effect::Exit => {
                if let Some(groups) = self.standing.groups.take() {
                    groups.remove();
                }
                // An open file would keep its directory from being removed on NFS.
                drop(self.standing.alone.take());
                drop(self.door.take());
                logger::close();
                cleanup::remove_last(&self.base, self.shared);
                cleanup::leave(&self.base, self.shared);
                return Flow::Exit;
            }
        }
        Flow::On
    }

    fn ask(&mut self, link: LinkId, question: Question) {
        if !self.collector.ask(link, question) {
            log!("link {link}: the controller asks too much at once");
            self.close(link);
        }
    }

    fn prepare(&mut self, spec: PrepareSpec) {
        let cluster = spec.cluster.clone();
        if let Err(cause) = descriptors::for_new_work(&format!("prepare {cluster}")) {
            self.core.absorb(Event::PrepareEnded(Report::PrepareFailed { cluster, cause }));
            return;
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        let (pieces, arriving) = std_mpsc::sync_channel(4 * pieces::WINDOW);
        self.preparing
            .insert(cluster.clone(), Preparing { cancelled: Arc::clone(&cancelled), pieces });
        let preparation = Preparation {
            base: self.base.clone(),
            spec,
            environment: self.environment.common(),
            cancelled: Arc::clone(&cancelled),
            happened: self.tell.clone(),
            pieces: Pieces {
                cluster: cluster.clone(),
                arriving,
                happened: self.tell.clone(),
                cancelled,
            },
        };
        let tell = self.tell.clone();
        tokio::task::spawn_blocking(move || {
            let report = prepare::run(preparation);
            let _ended = tell.blocking_send(Happened::PrepareEnded { cluster, report });
        });
    }

    fn rewrite(&mut self, rewriting: &Rewriting) {
        if let Err(cause) = prepare::rewrite(&self.base, rewriting) {
            let text = format!("replace {}: {}", rewriting.path, cause.text.raw());
            self.core.absorb(Event::Noted(Report::Note(Tainted::new(text))));
        }
    }

    /// Every task has ended; what strays of them are left is killed by their keepers before the files go.
    fn remove(&mut self, spec: CleanUpSpec) {
        for held in self.tasks.values().filter(|held| held.has_keeper()) {
            held.tell(&ToKeeper::Stop { why: "stop".into() });
        }
        self.removing = Some(spec);
        self.remove_when_alone();
    }

    /// Removes the files once no keeper is left.
    fn remove_when_alone(&mut self) {
        if self.tasks.values().any(Held::has_keeper) {
            return;
        }
        let Some(spec) = self.removing.take() else { return };
        self.shared = Shared::of(&spec);
        self.reap();
        let left = self.leave_groups();
        self.tasks.clear();
        let (base, environment, tell) =
            (self.base.clone(), self.environment.common(), self.tell.clone());
        tokio::task::spawn_blocking(move || {
            let cleaned = cleanup::remove(&base, &spec, &environment);
            let remainder = left.into_iter().map(Tainted::new).chain(cleaned.remainder).collect();
            let event = Event::Removed { remainder, failed_lines: cleaned.failed_lines };
            let _ended = tell.blocking_send(Happened::Core(event));
        });
    }

    /// Ends what is still in the tasks' control groups; what there and elsewhere cannot be ended.
    fn leave_groups(&mut self) -> Vec<String> {
        let reported: Vec<String> =
            self.tasks.values().filter_map(|held| held.unkillable.clone()).collect();
        let left = self.standing.groups.as_ref().map(Groups::clear).unwrap_or_default();
        if reported.is_empty() { left } else { reported }
    }

    fn greet(&mut self, link: LinkId, greeting: Greeting) {
        let hello = AgentHello {
            version: PROTOCOL_VERSION,
            session: greeting.session,
            received: greeting.received,
            epoch: greeting.epoch,
            refusal: greeting.refusal,
            clock_us: Some(clock::now_us()),
            facts: facts::measure(&self.base.run, self.guarantee(), self.standing.logout),
        };
        self.say(link, &ToController::Hello(Box::new(hello)));
    }

    fn guarantee(&self) -> Guarantee {
        self.standing.groups.as_ref().map_or_else(Guarantee::default, Groups::guarantee)
    }

    fn say(&mut self, link: LinkId, message: &ToController) {
        let Some(open) = self.links.get_mut(&link) else { return };
        if !open.say(message) {
            log!("link {link}: the controller does not read");
            self.close(link);
        }
    }

    fn close(&mut self, link: LinkId) {
        if self.links.remove(&link).is_some() {
            if self.core.link() == Some(link) {
                self.silence_streams();
            }
            self.core.absorb(Event::Closed { link });
        }
    }

    /// Nothing of a task is sent before the controller says on its new connection what it has.
    fn silence_streams(&mut self) {
        self.opened_early.clear();
        self.tasks.values_mut().flat_map(|t| &mut t.streams).for_each(|s| s.disconnected());
    }

    /// Hands every idle writer its next batch: messages first, then output of all streams in turn.
    fn pump(&mut self) {
        let counts = self.core.link();
        let mut quiet = Vec::new();
        for (id, link) in &mut self.links {
            let Some(mut batch) = link.next_batch() else { continue };
            if counts == Some(*id) {
                fill(&mut batch, &mut self.tasks, &mut self.turn);
            }
            link.send(batch);
            if link.last_words && link.is_quiet() {
                quiet.push(*id);
            }
        }
        quiet.into_iter().for_each(|id| self.close(id));
    }

    fn output_acknowledged(&mut self, ack: &OutputAck) {
        let Some(held) = self.tasks.get_mut(&ack.key) else {
            if self.opened_early.len() < OPENED_EARLY {
                self.opened_early.push(ack.clone());
            }
            return;
        };
        let stream = &mut held.streams[index(ack.stream)];
        if let Some(offset) = stream.acknowledged(ack) {
            held.tell(&ToKeeper::Durable { stream: ack.stream, offset });
        }
        self.tell_if_stored(ack.key);
    }

    fn tell_if_stored(&mut self, key: TaskKey) {
        if self.tasks.get(&key).is_some_and(|held| held.streams.iter().all(Outgoing::is_stored)) {
            self.core.absorb(Event::Stored { key });
        }
    }
}

/// Programs find this one by its name, and the socket beside it. A run without barriers does without both.
fn open_door(base: &Base, doorway: Option<Doorway>, tell: &mpsc::Sender<Happened>) -> Option<Door> {
    let named = std::fs::create_dir_all(PROGRAMS).and_then(|()| {
        let (this, name) = (sys::program_name(), Path::new(PROGRAMS).join("plush-agent"));
        if name.exists() {
            // Created by an earlier agent of this member.
            return Ok(());
        }
        let _to_nothing = std::fs::remove_file(&name);
        // A member that just left the base may have removed the file that this agent runs from.
        match this.exists() {
            true => std::os::unix::fs::symlink(this, name),
            false => std::fs::copy(sys::program(), name).map(drop),
        }
    });
    let doorway = doorway?;
    let door = named.and_then(|()| Door::open(base, doorway, tell.clone()));
    door.inspect_err(|e| log!("open the tasks' socket: {e}")).ok()
}

/// Waits for the next program; for ever, where there is no door.
async fn knock(door: &mut Option<Door>) -> io::Result<()> {
    match door {
        Some(door) => door.accept().await,
        None => std::future::pending().await,
    }
}

/// Whether an effect speaks to the controller whose link counts.
fn is_said(effect: &Effect) -> bool {
    match effect {
        Effect::Greet { .. }
        | Effect::Send { .. }
        | Effect::Acknowledge { .. }
        | Effect::Pong { .. } => true,
        Effect::SaveEpoch(_)
        | Effect::SaveLease(_)
        | Effect::Refuse { .. }
        | Effect::Close { .. }
        | Effect::Prepare(_)
        | Effect::CancelPrepare { .. }
        | Effect::Start { .. }
        | Effect::Signal { .. }
        | Effect::Stop { .. }
        | Effect::AnswerProgram { .. }
        | Effect::Conclude { .. }
        | Effect::Forget { .. }
        | Effect::Probe { .. }
        | Effect::Rewrite(_)
        | Effect::Remove(_)
        | Effect::Ask(_)
        | Effect::CancelQuestions
        | Effect::Exit => false,
    }
}

/// Fills a batch with output, each stream in its turn.
fn fill(
    batch: &mut Vec<u8>,
    tasks: &mut BTreeMap<TaskKey, Held>,
    turn: &mut (TaskKey, StreamName),
) {
    let mut order: Vec<(TaskKey, StreamName)> =
        tasks.keys().flat_map(|key| [(*key, StreamName::Out), (*key, StreamName::Err)]).collect();
    let first = order.partition_point(|candidate| candidate <= turn);
    order.rotate_left(first);
    let mut idle = 0;
    for (key, stream) in order.iter().cycle() {
        if batch.len() >= BATCH_BYTES || idle >= order.len() {
            return;
        }
        let held = tasks.get_mut(key).expect("the order was made from the tasks");
        match held.streams[index(*stream)].next() {
            Some(message) => {
                message.write(batch).expect("a part is far shorter than a frame");
                *turn = (*key, *stream);
                idle = 0;
            }
            None => idle += 1,
        }
    }
}

fn index(stream: StreamName) -> usize {
    match stream {
        StreamName::Out => 0,
        StreamName::Err => 1,
    }
}
