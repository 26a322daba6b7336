//! What happened to a run, and what is to be done about it.
//! Not how: the driver's `effects` perform, and report what came of it as events.

use crate::elapsed::ClockReading;
use crate::offset::ClockOffset;
use crate::plan::HostId;
use plush_protocol::{
    AgentHello, Answer, Command, Health, Outcome, ProbeRule, Question, Report, StreamName, Tainted,
    TaskKey,
};
use serde::{Deserialize, Serialize};

/// A fact. The driver journals it before it is absorbed; what is not an event did not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A controller process took the run over: links that it did not make itself are gone.
    Restarted,
    /// The clocks of the controller's machine were read: at the start of a controller, and after
    /// the machine slept.
    ClockRead {
        /// Their readings.
        reading: ClockReading,
    },
    /// A link to a host's agent is up and the agent has said hello.
    Connected {
        /// Which host.
        host: HostId,
        /// What its agent said.
        hello: Box<AgentHello>,
        /// How the link was made, for the record.
        account: LinkAccount,
    },
    /// No link could be made.
    ConnectFailed {
        /// Which host.
        host: HostId,
        /// Why.
        failure: ConnectFailure,
    },
    /// A link that was up is gone.
    LinkLost {
        /// Which host.
        host: HostId,
        /// Why.
        cause: Tainted,
    },
    /// Nothing has been heard over a link that is up for longer than it was ever silent.
    Suspected {
        /// Which host.
        host: HostId,
        /// How long.
        silent_ms: u64,
        /// What is tolerated of this link.
        limit_ms: u64,
    },
    /// A host that was suspect has spoken, over the link that it had.
    HeardAgain {
        /// Which host.
        host: HostId,
        /// How long it had been silent.
        silent_ms: u64,
    },
    /// An attempt was dropped, as was asked, before it had brought anything to the host.
    ConnectDropped {
        /// Which host.
        host: HostId,
    },
    /// The controller's own machine slept, or its process was stopped: nobody listened.
    Slept {
        /// How long.
        ms: u64,
    },
    /// The controller's own loop is late by so much that limits are multiplied; 1: it is well again.
    Late {
        /// By what.
        factor: u64,
    },
    /// An agent reported.
    Reported {
        /// Which host.
        host: HostId,
        /// The agent's session.
        session: u64,
        /// The report's number in it.
        number: u64,
        /// What it says.
        report: Report,
    },
    /// An agent has taken commands.
    Taken {
        /// Which host.
        host: HostId,
        /// The agent's session.
        session: u64,
        /// Up to this number.
        number: u64,
    },
    /// All that a task wrote to a stream, its declared gaps aside, is durable here.
    OutputStored {
        /// The task.
        key: TaskKey,
        /// The stream.
        stream: StreamName,
        /// Bytes that were declared missing.
        gap_bytes: u64,
    },
    /// Results of one cluster came home from one host.
    Collected {
        /// Which host.
        host: HostId,
        /// Files stored.
        files: u32,
        /// Their bytes.
        bytes: u64,
        /// Files that matched and did not come, and why.
        skipped: Vec<Tainted>,
        /// Globs that matched nothing, by their index in the request.
        #[serde(default)]
        unmatched: Vec<u32>,
    },
    /// Results could not be fetched.
    CollectFailed {
        /// Which host.
        host: HostId,
        /// Why.
        cause: Tainted,
    },
    /// An operator, or the end of the operator's patience, asks the run to stop in order.
    StopAsked {
        /// Who or what.
        why: String,
    },
    /// An operator sends a signal to every running task.
    SignalAsked {
        /// Its number.
        signal: i32,
    },
    /// A program that was asked beside the controller has answered, or will not.
    Answered {
        /// The question's number.
        question: u32,
        /// What came of it.
        answer: Answer,
    },
    /// What the probes come to that are asked from here has changed.
    Probed {
        /// The task's host.
        host: HostId,
        /// The incarnation.
        key: TaskKey,
        /// Its health.
        health: Health,
        /// For an unhealthy task: the probe that failed last, and the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Tainted>,
    },
    /// It is known better than before how far a host's clock is ahead.
    ClockMeasured {
        /// Which host.
        host: HostId,
        /// Offset of its boot time from that of the controller's machine.
        offset: ClockOffset,
    },
}

/// How a link was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkAccount {
    /// `local`, `in-process`, `ssh`.
    pub client: String,
    /// Time from the first packet to the agent's hello.
    pub took_ms: u64,
    /// Bytes of agent that were sent; 0 when it was found there.
    pub agent_sent_bytes: u64,
    /// Fingerprint of the host key, where there is one.
    pub host_key: Option<String>,
    /// Offset of the host's boot time from that of the controller's machine, from the hellos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockOffset>,
}

/// What is asked about a task from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The probes; a command is a program beside the controller, and its words are those of the description.
    pub probes: Vec<ProbeRule>,
    /// The host's own name, by which a URL may name it.
    pub name: String,
    /// What programs find in their environment besides.
    pub environment: Vec<(String, String)>,
}

/// Why no link could be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectFailure {
    /// The stage in which it failed: `tcp`, `banner`, `authentication`, ...
    pub stage: String,
    /// What was said.
    pub cause: Tainted,
    /// What to do next.
    pub hint: Option<String>,
    /// Trying again may help (a reset, a busy server).
    pub retry: bool,
}

impl ConnectFailure {
    /// Stage and cause.
    pub(super) fn in_words(&self) -> Tainted {
        Tainted::new(format!("{}: {}", self.stage, self.cause.raw()))
    }
}

/// What is to be done. Each is performed once per time it is decided; its outcome comes back as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// Make a link to this host; ends in `Connected` or `ConnectFailed`. Where there is one that is suspect, whichever
    /// answers first is kept: then it may also end in `HeardAgain`.
    Connect {
        /// Which host.
        host: HostId,
        /// The agent's session that is known here; 0 for none.
        session: u64,
        /// The last report of that session that is durable here.
        received: u64,
    },
    /// Drop the attempt to connect if it has not brought anything to the host: then it ends in `ConnectDropped`.
    DropConnect {
        /// Which host.
        host: HostId,
    },
    /// Send a command over the host's link; lost with the link, decided again after it.
    Send {
        /// Which host.
        host: HostId,
        /// The command's number in the session.
        number: u64,
        /// What is asked.
        command: Command,
    },
    /// Tell the agent that its reports up to this number are durable here.
    Acknowledge {
        /// Which host.
        host: HostId,
        /// The number.
        number: u64,
    },
    /// Bring files home; ends in `Collected` or `CollectFailed`.
    Collect {
        /// Which host.
        host: HostId,
        /// Globs by cluster directory.
        globs: Vec<(String, Vec<String>)>,
    },
    /// Close the host's link: its agent is done.
    Disconnect {
        /// Which host.
        host: HostId,
    },
    /// Run a program of the description beside the controller; ends in `Answered`.
    Ask {
        /// Which, and what it is told.
        question: Question,
    },
    /// Ask about a task from here, again and again, until [`Effect::Unwatch`]; each change of its health is a `Probed`.
    Watch {
        /// Its host.
        host: HostId,
        /// The incarnation.
        key: TaskKey,
        /// What is asked, by the rules of [`crate::health::ProbingFromAfar`].
        watch: Box<Watch>,
    },
    /// Ask no more; what is said yet is not taken.
    Unwatch {
        /// Its host.
        host: HostId,
        /// The incarnation.
        key: TaskKey,
    },
    /// The run is over.
    Finish {
        /// How.
        outcome: Outcome,
    },
}
