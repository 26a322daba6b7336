//! The agent's own rules: what one host does about what a controller asks and what its tasks do.
//! Not how it is done: the agent's driver performs the effects, and in the simulator a pretended host does.
//!
//! Four doors: [`Agent::absorb`], [`Agent::decide`], [`Agent::wake_at`], [`Agent::view`]. Time is the host's
//! boot time in milliseconds. A keeper ends its task by the rules of [`ending::Ending`], with or without an agent.

mod barriers;
pub mod ending;
pub mod event;
pub mod lease;
mod leaving;
mod preparing;
mod questions;
mod restart;
mod tasks;
#[cfg(test)]
mod tests;

pub use barriers::AskerId;
pub use ending::{Blow, Ending};
pub use event::{CleanUpSpec, Effect, Event, Greeting, Launched, LinkId, Recovered, Rewriting};
pub use lease::{Lease, Verdict};
pub use restart::may_be_followed;

use crate::Millis;
use crate::session::{Inbox, Outbox};
use barriers::Barriers;
use leaving::Leaving;
use plush_protocol::{
    Answer, Command, ControllerHello, Exit, PROTOCOL_VERSION, Question, Refusal, Report, Tainted,
    TaskKey, TaskRecord,
};
use preparing::Clusters;
use questions::Questions;
use std::collections::BTreeMap;
use tasks::Tasks;

/// An agent that no controller ever spoke to, and that has no task, leaves after so long.
pub const FIRST_WORD_MS: u64 = 10 * 60 * 1000;

/// What one agent knows and intends.
#[derive(Clone, Debug)]
pub struct Agent {
    run: String,
    session: u64,
    /// A controller has been greeted in this session: its numbers mean something to somebody.
    session_used: bool,
    epoch: u64,
    epoch_saved: u64,
    /// Who has that epoch, in words; empty where that was before this process.
    controller: String,
    link: Option<LinkId>,
    /// Links that said something which is to be answered, in order.
    greetings: Vec<Greeted>,
    outbox: Outbox<Report>,
    inbox: Inbox,
    pongs: Vec<u64>,
    questions: Questions,
    lease: Lease,
    tasks: Tasks,
    clusters: Clusters,
    barriers: Barriers,
    leaving: Leaving,
}

/// What is to be answered to a hello.
#[derive(Clone, Debug)]
enum Greeted {
    Accepted { link: LinkId, replaced: Option<LinkId> },
    Refused { link: LinkId, why: String, refusal: Option<Refusal> },
}

/// A flat picture of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentView {
    /// A controller's link is up.
    pub connected: bool,
    /// The session's number.
    pub session: u64,
    /// The newest epoch seen.
    pub epoch: u64,
    /// All tasks that have a record.
    pub tasks: Vec<TaskRecord>,
    /// Clusters whose directory is complete.
    pub prepared: Vec<String>,
    /// When the lease runs out.
    pub lease_until: Option<Millis>,
    /// Clean-up has begun, or nothing is left to do.
    pub leaving: bool,
}

impl Agent {
    /// An agent process that has just started, with what it found on its host.
    pub fn new(run: impl Into<String>, found: Recovered) -> Self {
        let mut agent = Agent {
            run: run.into(),
            session: found.session,
            session_used: false,
            epoch: found.epoch,
            epoch_saved: found.epoch,
            controller: String::new(),
            link: None,
            greetings: Vec::new(),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            pongs: Vec::new(),
            questions: Questions::default(),
            lease: found.lease,
            tasks: Tasks::recovered(found.now, found.tasks, found.launches),
            clusters: Clusters::recovered(found.prepared),
            barriers: Barriers::default(),
            leaving: Leaving::No,
        };
        agent.open_session();
        agent
    }

    /// Writes down what happened.
    pub fn absorb(&mut self, event: Event) {
        match event {
            Event::Hello { link, hello } => self.hello(link, &hello),
            Event::EpochUnsaved { epoch, why } => self.epoch_unsaved(epoch, &why),
            Event::Closed { link } => {
                if self.link == Some(link) {
                    self.link = None;
                    self.outbox.disconnected();
                    self.pongs.clear();
                }
            }
            Event::Command { link, number, command } => {
                if self.link == Some(link) && self.inbox.takes(number) {
                    self.command(command);
                }
            }
            Event::Acknowledged { link, number } => {
                if self.link == Some(link) {
                    self.outbox.acknowledge(number);
                }
            }
            Event::Ping { link, token } => {
                if self.link == Some(link) {
                    self.pongs.push(token);
                }
            }
            Event::Renew { link, clock_us } => {
                if self.link == Some(link) {
                    self.lease.renew(clock_us / 1_000);
                }
            }
            Event::Task(record) => self.tasks.changed(record),
            Event::Stored { key } => self.tasks.stored(key, self.outbox.newest()),
            Event::Probed { key, probe, answer } => self.tasks.probed(key, probe, answer),
            Event::Preparing(report) | Event::Noted(report) => self.outbox.push(report),
            Event::Answered { question, answer } => {
                self.questions.answered(question);
                self.outbox.push(Report::Answered { question, answer });
            }
            Event::BarrierAsked { asker, ask } => {
                let report = self.barriers.asked(asker, ask);
                self.outbox.push(report);
            }
            Event::WentOn { request, at_us } => {
                self.outbox.push(Report::WentOn { request, at_us });
            }
            Event::AskerGone { asker } => self.barriers.gone(asker),
            Event::PrepareEnded(report) => {
                self.clusters.ended(&report);
                self.outbox.push(report);
            }
            Event::Removed { remainder, failed_lines } => {
                let report = Report::Cleaned { remainder, failed_lines };
                if self.leaving.removed(&report) {
                    self.outbox.push(report);
                }
            }
        }
    }

    /// Says what is to be done now. Asked twice in a row, the second time says nothing.
    #[must_use]
    pub fn decide(&mut self, now: Millis) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.decide_lease(now, &mut effects);
        self.decide_greetings(&mut effects);
        let mut reports = Vec::new();
        // A signal that says so comes after the file.
        effects.extend(self.clusters.decide_rewriting());
        self.tasks.decide(now, &mut effects, &mut reports);
        self.tasks.decide_forgetting(self.outbox.acknowledged(), &mut effects);
        self.clusters.decide(&mut effects);
        effects.extend(self.questions.decide());
        self.barriers.decide(now, &mut effects);
        reports.into_iter().for_each(|report| self.outbox.push(report));
        self.decide_leaving(now, &mut effects);
        self.decide_messages(&mut effects);
        effects
    }

    /// When [`Agent::decide`] has something to say again although nothing happens; later than `now`.
    pub fn wake_at(&self, now: Millis) -> Option<Millis> {
        [
            self.lease.wake_at(),
            self.leaving.wake_at(),
            self.tasks.wake_at(),
            self.barriers.wake_at(),
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|at| at.max(now + 1))
    }

    /// What people may see.
    pub fn view(&self) -> AgentView {
        AgentView {
            connected: self.link.is_some(),
            session: self.session,
            epoch: self.epoch,
            tasks: self.tasks.records(),
            prepared: self.clusters.prepared(),
            lease_until: self.lease.deadline(),
            leaving: self.leaving.has_begun(),
        }
    }

    /// The link whose messages count.
    pub fn link(&self) -> Option<LinkId> {
        self.link
    }

    /// What is known of a task.
    pub fn task(&self, key: TaskKey) -> Option<&TaskRecord> {
        self.tasks.record(key)
    }

    fn hello(&mut self, link: LinkId, hello: &ControllerHello) {
        if let Some((why, refusal)) = self.refusal(hello) {
            self.greetings.push(Greeted::Refused { link, why, refusal });
            return;
        }
        self.epoch = hello.epoch;
        self.controller.clone_from(&hello.controller);
        self.lease.agree(hello.stop_after_ms);
        if hello.session == self.session {
            self.outbox.reconnected(hello.received);
        } else {
            if self.session_used {
                self.session = self.session.wrapping_add(1).max(1);
                self.open_session();
            }
            self.outbox.reconnected(0);
        }
        self.session_used = true;
        self.pongs.clear();
        let replaced = self.link.replace(link).filter(|old| *old != link);
        self.greetings.push(Greeted::Accepted { link, replaced });
    }

    /// A controller whose epoch would be forgotten with this process is not obeyed: an older one could come back
    /// after it. The epoch counts nevertheless, as long as this process lives, and the next hello tries again.
    fn epoch_unsaved(&mut self, epoch: u64, why: &str) {
        if epoch != self.epoch {
            return;
        }
        self.epoch_saved = 0;
        let Some(link) = self.link.take() else { return };
        self.outbox.disconnected();
        self.pongs.clear();
        let why = format!("this host cannot save the epoch {epoch} of its controller: {why}");
        self.greetings.push(Greeted::Refused { link, why, refusal: None });
    }

    fn refusal(&self, hello: &ControllerHello) -> Option<(String, Option<Refusal>)> {
        let versions = PROTOCOL_VERSION.saturating_sub(1)..=PROTOCOL_VERSION;
        if !versions.contains(&hello.version) {
            let why = format!(
                "this agent speaks protocol {PROTOCOL_VERSION}, the controller {}",
                hello.version
            );
            return Some((why, None));
        }
        if hello.run != self.run {
            return Some((format!("this agent serves run {}", self.run), None));
        }
        let who = match self.controller.as_str() {
            "" => format!("another controller (epoch {})", self.epoch),
            name => format!("another controller ({name})"),
        };
        if hello.epoch < self.epoch {
            return Some((format!("{who} has taken over"), Some(Refusal::Superseded)));
        }
        // What was acknowledged is in the journal of whoever acknowledged it. A controller that comes after that one and
        // lacks it has another journal, an older copy: it does not know what has been begun since.
        let received = if hello.session == self.session { hello.received } else { 0 };
        if hello.epoch > self.epoch && received < self.outbox.acknowledged() {
            let why = format!("{who} has gone further with this run than this journal knows");
            return Some((why, Some(Refusal::OlderJournal)));
        }
        None
    }

    /// A session begins with all that is known, so that whatever was said before may be forgotten.
    fn open_session(&mut self) {
        self.inbox = Inbox::default();
        self.outbox = Outbox::default();
        self.tasks.session_opened();
        self.outbox.push(Report::Inventory {
            tasks: self.tasks.records(),
            prepared: self.clusters.prepared(),
        });
        self.barriers.ask_again().for_each(|ask| self.outbox.push(ask));
        if let Some(cleaned) = self.leaving.last_word() {
            self.outbox.push(cleaned.clone());
        }
    }

    fn command(&mut self, command: Command) {
        let answer = match command {
            Command::Start { key, spec } => {
                let refusal = match (self.leaving.has_begun(), self.lease.is_out_for_now()) {
                    (true, _) => Some("the host is being cleaned up"),
                    (false, true) => Some("its lease is out"),
                    (false, false) => None,
                };
                self.tasks.start(key, spec, refusal)
            }
            Command::Stop { key, why } => self.tasks.stop(key, why),
            Command::Signal { key, signal } => {
                self.tasks.signal(key, signal);
                None
            }
            Command::Fail { key } => {
                self.tasks.fail(key);
                None
            }
            Command::Rewrite { cluster, path, mode, text } => {
                if !self.leaving.has_begun() {
                    self.clusters.rewrite(Rewriting { cluster, path, mode, text });
                }
                None
            }
            Command::Prepare(spec) => self.clusters.prepare(spec, self.leaving.has_begun()),
            Command::CancelPrepare { cluster } => self.clusters.cancel(&cluster),
            Command::Ask(question) => self.ask(question),
            Command::Barrier(answer) => {
                self.barriers.answered(&answer);
                None
            }
            Command::CleanUp { commands, keep_work, keep_cache, line_limit_ms } => {
                self.leaving.begin(CleanUpSpec { commands, keep_work, keep_cache, line_limit_ms });
                self.leaving.last_word().cloned()
            }
        };
        if let Some(report) = answer {
            self.outbox.push(report);
        }
    }

    /// A host that is being left runs nothing more.
    fn ask(&mut self, question: Question) -> Option<Report> {
        if self.leaving.has_begun() {
            let answer = Answer::Failed(Tainted::new("the host is being left"));
            return Some(Report::Answered { question: question.number, answer });
        }
        self.questions.ask(question);
        None
    }

    fn decide_lease(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        // A lease that is out and is renewed at once says both, in this order.
        loop {
            let idle = self.tasks.all_ended();
            match self.lease.decide(now, idle) {
                Verdict::Nothing if self.lease.is_out() => return self.tasks.stop_all(Exit::LEASE),
                Verdict::Nothing => return,
                Verdict::Save if self.leaving.takes_files() => {}
                Verdict::Save => effects.push(Effect::SaveLease(self.lease.clone())),
                Verdict::StopTasks => self.tasks.stop_all(Exit::LEASE),
                Verdict::Leave => self.leaving.begin(CleanUpSpec::everything()),
            }
        }
    }

    fn decide_greetings(&mut self, effects: &mut Vec<Effect>) {
        let accepts = |g: &Greeted| matches!(g, Greeted::Accepted { .. });
        if self.epoch > self.epoch_saved && self.greetings.iter().any(accepts) {
            self.epoch_saved = self.epoch;
            if !self.leaving.takes_files() {
                effects.push(Effect::SaveEpoch(self.epoch));
            }
        }
        for greeted in std::mem::take(&mut self.greetings) {
            let refusal = match &greeted {
                Greeted::Accepted { .. } => None,
                Greeted::Refused { refusal, .. } => *refusal,
            };
            let greeting = Greeting {
                session: self.session,
                received: self.inbox.received(),
                epoch: self.epoch,
                refusal,
            };
            match greeted {
                Greeted::Accepted { link, replaced } => {
                    effects.extend(replaced.map(|link| Effect::Close { link }));
                    effects.push(Effect::Greet { link, greeting });
                }
                Greeted::Refused { link, why, .. } => {
                    effects.push(Effect::Refuse { link, greeting, why })
                }
            }
        }
    }

    fn decide_leaving(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        if self.leaving.is_ending() {
            self.tasks.stop_all("stop");
            self.clusters.cancel_all();
            effects.extend(self.questions.cancel_all());
            let mut reports = Vec::new();
            self.tasks.decide(now, effects, &mut reports);
            self.clusters.decide(effects);
            reports.into_iter().for_each(|report| self.outbox.push(report));
        }
        let quiet = self.tasks.all_ended() && self.clusters.is_idle() && self.questions.is_idle();
        let told = self.outbox.is_settled();
        effects.extend(self.leaving.decide(now, quiet, told, self.link.is_some()));
    }

    fn decide_messages(&mut self, effects: &mut Vec<Effect>) {
        let Some(link) = self.link else { return };
        for (number, report) in self.outbox.hand_over() {
            effects.push(Effect::Send { link, number, report });
        }
        if let Some(number) = self.inbox.acknowledgement() {
            effects.push(Effect::Acknowledge { link, number });
        }
        effects.extend(self.pongs.drain(..).map(|token| Effect::Pong { link, token }));
    }
}

/// A map that is walked in the order of its keys, so that two walks are the same.
type Ordered<K, V> = BTreeMap<K, V>;
