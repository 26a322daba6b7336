//! One host's connection: an ordinary task that connects when told, carries messages, stores output, and says what happened.
//! It decides nothing: what it is told comes from effects, what it says becomes events.

use crate::effects::collect::{self, CollectTraffic};
use crate::error::ControllerError;
use crate::lines::{Batch, Lines};
use crate::order::{Order, Word};
use crate::output::{HostOutput, Stored, Sync};
use crate::packages::Shelf;
use crate::run_dir::RunDir;
use crate::transport::{
    AgentOrigin, AgentShelf, Bootstrap, Deadlines, LinkAccount, Pacer, Route, Ssh,
};
use crate::wire::Wire;
use plush_core::plan::HostId;
use plush_core::run::{ConnectFailure, Event};
use plush_protocol::{
    Command, ControllerHello, OutputPart, PROTOCOL_VERSION, Report, StreamName, Tainted, TaskKey,
    TaskRecord, TaskState, ToAgent, ToController,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long an agent may take to say hello once it is started.
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// How often an agent hears from us when there is nothing to say.
const PING_EVERY: Duration = Duration::from_secs(4);
/// A link on which nothing came for so long is taken for dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(16);
/// How often what was received is made durable while a task goes on writing.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// What all hosts of a run share.
pub struct Shared {
    pub run_dir: RunDir,
    pub run: String,
    pub epoch: u64,
    pub stop_after_ms: Option<u64>,
    pub ssh: Ssh,
    pub pacer: Pacer,
    pub agents: Arc<AgentShelf>,
    pub packages: Shelf,
    pub lines: broadcast::Sender<Batch>,
    pub words: mpsc::Sender<Word>,
}

/// The task of one host.
pub struct HostLink {
    id: HostId,
    name: String,
    route: Route,
    shared: Arc<Shared>,
    output: HostOutput,
    lines: Lines,
    processes: BTreeMap<TaskKey, String>,
}

/// Why a link ended.
enum End {
    Lost(String),
    Told,
    Broken(ControllerError),
}

impl HostLink {
    /// `known` are the tasks that an earlier controller of this run started on the host.
    pub fn new(
        id: HostId,
        name: String,
        route: Route,
        shared: Arc<Shared>,
        known: Vec<(TaskKey, String)>,
    ) -> Self {
        HostLink {
            id,
            output: HostOutput::new(shared.run_dir.output(&name)),
            lines: Lines::new(name.clone(), shared.lines.clone()),
            processes: known.into_iter().collect(),
            name,
            route,
            shared,
        }
    }

    /// Serves until the driver is gone or says that it is enough.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Connect { session, received } => {
                    if self.connect(session, received, &mut orders).await {
                        return;
                    }
                }
                Order::Disconnect => return,
                // These were meant for a link that is gone; the core decides them again after the next one.
                Order::Send { .. } | Order::Acknowledge { .. } => {}
                Order::Collect { .. } => self.say(self.collect_failed("the link is gone")).await,
            }
        }
    }

    /// Connects and serves the link; true when nothing more will be asked of this host.
    async fn connect(
        &mut self,
        session: u64,
        received: u64,
        orders: &mut mpsc::Receiver<Order>,
    ) -> bool {
        let mut wire = match self.open(session, received).await {
            Ok((wire, event)) => {
                self.say(event).await;
                wire
            }
            Err(failure) => {
                self.say(Event::ConnectFailed { host: self.id, failure }).await;
                return false;
            }
        };
        let end = self.serve(&mut wire, orders).await;
        match end {
            End::Told => {
                wire.close().await;
                true
            }
            End::Lost(cause) => {
                let cause = Tainted::new(wire.explain(cause));
                self.say(Event::LinkLost { host: self.id, cause }).await;
                false
            }
            End::Broken(error) => {
                // The driver is gone if this fails: then there is nobody to tell.
                let _ = self.shared.words.send(Word::Broken(error)).await;
                true
            }
        }
    }

    async fn open(&mut self, session: u64, received: u64) -> Result<(Wire, Event), ConnectFailure> {
        let began = Instant::now();
        let bootstrap =
            Bootstrap::new(&self.shared.run, &self.name, Arc::clone(&self.shared.agents));
        let bootstrap = bootstrap.map_err(|f| told(&f))?;
        let link = self
            .shared
            .pacer
            .connect(&self.shared.ssh, &self.route, &bootstrap, &Deadlines::default())
            .await
            .map_err(|f| told(&f))?;
        let account = link.account.clone();
        let mut wire = Wire::new(link);
        let hello = ControllerHello {
            version: PROTOCOL_VERSION,
            run: self.shared.run.clone(),
            epoch: self.shared.epoch,
            session,
            received,
            stop_after_ms: self.shared.stop_after_ms,
            host: self.name.clone(),
        };
        wire.send(&ToAgent::Hello(hello));
        let hello = tokio::time::timeout(HELLO_LIMIT, wire.next()).await;
        let failed = |cause: String| ConnectFailure {
            stage: "starting the agent".into(),
            cause: Tainted::new(cause),
            hint: None,
            retry: true,
        };
        match hello {
            Err(_) => Err(failed("the agent was started and did not say hello".into())),
            Ok(Err(cause)) => Err(failed(wire.explain(cause))),
            Ok(Ok(ToController::Hello(hello))) => {
                let account = in_short(&account, began.elapsed());
                Ok((wire, Event::Connected { host: self.id, hello, account }))
            }
            Ok(Ok(ToController::Bye(why))) => Err(failed(format!("the agent refused: {why}"))),
            Ok(Ok(_)) => Err(failed("the agent spoke before its hello".into())),
        }
    }

    async fn serve(&mut self, wire: &mut Wire, orders: &mut mpsc::Receiver<Order>) -> End {
        if let Err(error) = self.reopen_streams(wire) {
            return End::Broken(error);
        }
        let mut ping = tokio::time::interval(PING_EVERY);
        let mut sync = tokio::time::interval(SYNC_EVERY);
        let mut syncs: JoinSet<(Sync, std::io::Result<()>)> = JoinSet::new();
        let mut collecting: Option<CollectTraffic> = None;
        let mut heard = Instant::now();
        loop {
            let step = tokio::select! {
                order = orders.recv() => match order {
                    None | Some(Order::Disconnect) => Err(End::Told),
                    Some(order) => self.obey(wire, order, &mut collecting),
                },
                message = wire.next() => {
                    heard = Instant::now();
                    match message {
                        Err(cause) => Err(End::Lost(cause)),
                        Ok(message) => self.hear(wire, message, &mut collecting).await,
                    }
                }
                asked = next_question(&mut collecting) => {
                    match asked {
                        Some(question) => wire.send(&question),
                        None => collecting = None,
                    }
                    Ok(())
                }
                _ = ping.tick() => {
                    wire.send(&ToAgent::Ping(0));
                    if heard.elapsed() > SILENCE_LIMIT {
                        let silent = heard.elapsed().as_secs();
                        Err(End::Lost(format!("nothing was heard for {silent} s")))
                    } else {
                        Ok(())
                    }
                }
                _ = sync.tick() => {
                    self.begin_syncs(&mut syncs, true);
                    Ok(())
                }
                Some(done) = syncs.join_next() => self.synced(wire, done),
            };
            if let Err(end) = step {
                return end;
            }
            self.begin_syncs(&mut syncs, false);
            if let Err(end) = self.say_completed().await {
                return end;
            }
        }
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
                let (host, words) = (self.id, self.shared.words.clone());
                *collecting = Some(collect::start(host, directory, globs, words));
            }
            // The core asks for a link only when there is none.
            Order::Connect { .. } | Order::Disconnect => {}
        }
        Ok(())
    }

    fn send_command(&mut self, wire: &mut Wire, number: u64, command: Command) -> Result<(), End> {
        let started = match &command {
            Command::Start { key, spec } => Some((*key, spec.name.clone())),
            Command::Prepare(_)
            | Command::Stop { .. }
            | Command::Signal { .. }
            | Command::CleanUp { .. }
            | Command::CancelPrepare { .. } => None,
        };
        wire.send(&ToAgent::Command(number, command));
        if let Some((key, process)) = started {
            self.output.expect(key, &process).map_err(End::Broken)?;
            self.processes.insert(key, process);
            self.acknowledge_output(wire, key, StreamName::Out);
            self.acknowledge_output(wire, key, StreamName::Err);
        }
        Ok(())
    }

    /// Streams that are not complete are opened anew on every link.
    fn reopen_streams(&mut self, wire: &mut Wire) -> Result<(), ControllerError> {
        for (key, process) in &self.processes {
            self.output.expect(*key, process)?;
        }
        self.output.open_streams().into_iter().for_each(|ack| wire.send(&ToAgent::OutputAck(ack)));
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
                self.note_ends(&report);
                let session = wire.session;
                self.say(Event::Reported { host: self.id, session, number, report }).await;
            }
            ToController::Ack(number) => {
                let session = wire.session;
                self.say(Event::Taken { host: self.id, session, number }).await;
            }
            ToController::OutputPart(part) => self.store(wire, &part)?,
            ToController::OutputGap(gap) => match self.output.gap(&gap).map_err(End::Broken)? {
                Some(()) => self.acknowledge_output(wire, gap.key, gap.stream),
                None => return Err(End::Lost("the agent declared an impossible gap".into())),
            },
            ToController::BlobWant(want) => {
                wire.send(&ToAgent::BlobPart(self.shared.packages.read(&want)));
            }
            answer @ (ToController::ListPart(_) | ToController::FilePart(_)) => {
                if let Some(traffic) = collecting {
                    // A collection that has given up does not listen any more.
                    let _ = traffic.answers.send(answer).await;
                }
            }
            ToController::Pong(_) => {}
            ToController::Hello(_) => return Err(End::Lost("the agent said hello twice".into())),
            ToController::Bye(why) => return Err(End::Lost(format!("the agent left: {why}"))),
        }
        Ok(())
    }

    fn store(&mut self, wire: &mut Wire, part: &OutputPart) -> Result<(), End> {
        match self.output.store(part).map_err(End::Broken)? {
            None => return Err(End::Lost("the agent sent output out of order".into())),
            Some(Stored::Nothing) => {}
            Some(Stored::From(index)) => {
                let process = self.processes.get(&part.key).map_or("", String::as_str);
                self.lines.take(part.key, part.stream, process, &part.bytes[index..]);
            }
        }
        self.acknowledge_output(wire, part.key, part.stream);
        Ok(())
    }

    fn note_ends(&mut self, report: &Report) {
        let records: &[TaskRecord] = match report {
            Report::Inventory { tasks, .. } => tasks,
            Report::Task(record) => std::slice::from_ref(record),
            Report::Preparing { .. }
            | Report::Prepared { .. }
            | Report::PrepareFailed { .. }
            | Report::Cleaned { .. }
            | Report::Note(_) => &[],
        };
        for record in records {
            if let TaskState::Exited { out_bytes, err_bytes, .. } = record.state {
                self.output.ended(record.key, out_bytes, err_bytes);
            }
        }
    }

    fn acknowledge_output(&self, wire: &mut Wire, key: TaskKey, stream: StreamName) {
        if let Some(ack) = self.output.acknowledgement(key, stream) {
            wire.send(&ToAgent::OutputAck(ack));
        }
    }

    fn begin_syncs(&mut self, syncs: &mut JoinSet<(Sync, std::io::Result<()>)>, every: bool) {
        for sync in self.output.due(every) {
            syncs.spawn_blocking(move || {
                let result = sync.file.sync_data();
                (sync, result)
            });
        }
    }

    fn synced(
        &mut self,
        wire: &mut Wire,
        done: Result<(Sync, std::io::Result<()>), tokio::task::JoinError>,
    ) -> Result<(), End> {
        let (sync, result) = done.expect("synchronising a file does not panic");
        let directory = self.shared.run_dir.output(&self.name);
        result.map_err(|e| {
            End::Broken(ControllerError::io("synchronise the output in", &directory, e))
        })?;
        self.output.synced(sync.stream, sync.upto);
        self.acknowledge_output(wire, sync.stream.0, sync.stream.1);
        Ok(())
    }

    async fn say_completed(&mut self) -> Result<(), End> {
        for (key, stream, gap_bytes) in self.output.completed() {
            let process = self.processes.get(&key).map_or("", String::as_str);
            self.lines.end(key, stream, process);
            self.say(Event::OutputStored { key, stream, gap_bytes }).await;
        }
        Ok(())
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

fn told(failure: &crate::transport::ConnectFailure) -> ConnectFailure {
    ConnectFailure {
        stage: failure.stage.to_string(),
        cause: Tainted::new(failure.cause.clone()),
        hint: (!failure.hint.is_empty()).then(|| failure.hint.clone()),
        // The pacer has tried again where that could help.
        retry: false,
    }
}

fn in_short(account: &LinkAccount, took: Duration) -> plush_core::run::LinkAccount {
    plush_core::run::LinkAccount {
        client: account.client.to_string(),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        agent_sent_bytes: match account.agent {
            AgentOrigin::Found => 0,
            AgentOrigin::Sent { sent_bytes } => sent_bytes,
        },
        host_key: account.host_key.clone(),
    }
}
