//! What happens to an agent, and what it wants done about it.
//! Not the rules that lead from one to the other.

use super::barriers::AskerId;
use super::lease::Lease;
use crate::Millis;
use plush_protocol::{
    Answer, BarrierAsk, BarrierOutcome, Command, ControllerHello, PrepareSpec, ProbeCheck, Program,
    Question, Refusal, Report, Tainted, TaskKey, TaskRecord, TaskSpec,
};

/// A connection to a controller, numbered by the driver; never used twice.
pub type LinkId = u64;

/// What an agent process finds when it starts.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// A random number that is not 0.
    pub session: u64,
    /// The newest epoch that was saved.
    pub epoch: u64,
    /// The lease that was saved; never one from before a reboot.
    pub lease: Lease,
    /// Boot time.
    pub now: Millis,
    /// Every task with a durable record, as it is now.
    pub tasks: Vec<TaskRecord>,
    /// How those of them were started that are restarted or probed, in the order of their keys.
    pub launches: Vec<Launched>,
    /// Clusters whose directory is complete.
    pub prepared: Vec<String>,
}

/// How one incarnation of a task was started by an earlier agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// Which.
    pub key: TaskKey,
    /// As what.
    pub spec: TaskSpec,
    /// When, if it was in this boot.
    pub started_at: Option<Millis>,
    /// [`Effect::Conclude`] was performed for it: none follows.
    pub is_last: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A controller said its first message on a new link.
    Hello {
        /// On this link.
        link: LinkId,
        /// What it said.
        hello: ControllerHello,
    },
    /// What [`Effect::SaveEpoch`] asked for could not be done. The driver absorbs this at once, and of what was
    /// decided together with it performs nothing that speaks to a controller.
    EpochUnsaved {
        /// The epoch.
        epoch: u64,
        /// What the system said.
        why: String,
    },
    /// A link ended.
    Closed {
        /// Which.
        link: LinkId,
    },
    /// A command came.
    Command {
        /// On this link.
        link: LinkId,
        /// Its number in the session.
        number: u64,
        /// What is asked.
        command: Command,
    },
    /// Reports up to this number are durable at the controller.
    Acknowledged {
        /// On this link.
        link: LinkId,
        /// The number.
        number: u64,
    },
    /// The controller asks whether the agent is there.
    Ping {
        /// On this link.
        link: LinkId,
        /// To be sent back.
        token: u64,
    },
    /// The controller sends back an instant of this host's boot time that the agent has told it: tasks may live on,
    /// counted from there.
    Renew {
        /// On this link.
        link: LinkId,
        /// The instant, in microseconds.
        clock_us: u64,
    },
    /// A task changed: it runs, never ran, ended, or lost its keeper.
    Task(TaskRecord),
    /// All output of an incarnation that has ended is durable at the controller.
    Stored {
        /// The incarnation.
        key: TaskKey,
    },
    /// What [`Effect::Probe`] asked for was answered.
    Probed {
        /// The incarnation.
        key: TaskKey,
        /// Which of its probes.
        probe: usize,
        /// The answer was correct and in time; otherwise the request and the answer.
        answer: Result<(), Tainted>,
    },
    /// A preparation goes on: a [`Report::Preparing`].
    Preparing(Report),
    /// A preparation is over: [`Report::Prepared`] or [`Report::PrepareFailed`].
    PrepareEnded(Report),
    /// Something that people should read: a [`Report::Note`].
    Noted(Report),
    /// What [`Effect::Ask`] asked for is over.
    Answered {
        /// The question's number.
        question: u32,
        /// What came of it.
        answer: Answer,
    },
    /// A program on this host asks something of a barrier; ends in [`Effect::AnswerProgram`].
    BarrierAsked {
        /// Who.
        asker: AskerId,
        /// What.
        ask: BarrierAsk,
    },
    /// A program that was to go on at an instant has been told to.
    WentOn {
        /// The request that it was told about.
        request: u64,
        /// When, in microseconds of boot time.
        at_us: u64,
    },
    /// A program does not wait for its answer any more.
    AskerGone {
        /// Which.
        asker: AskerId,
    },
    /// What [`Effect::Remove`] asked for is done.
    Removed {
        /// What could not be removed or ended.
        remainder: Vec<Tainted>,
        /// Clean-up lines that failed.
        failed_lines: Vec<Tainted>,
    },
}

/// What a hello is answered with; the driver adds the facts of the host and its boot time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The session's number.
    pub session: u64,
    /// The last command that was taken.
    pub received: u64,
    /// The newest epoch.
    pub epoch: u64,
    /// The controller is refused, now and later.
    pub refusal: Option<Refusal>,
}

/// A file that is written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewriting {
    /// In the directory of this cluster.
    pub cluster: String,
    /// Path below it.
    pub path: String,
    /// Mode bits.
    pub mode: u32,
    /// Its content.
    pub text: String,
}

/// How to leave a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanUpSpec {
    /// Commands to run first, each with the cluster in whose directory it runs.
    pub commands: Vec<(String, Program)>,
    /// Keep the working directories.
    pub keep_work: bool,
    /// Keep the cache and the agent's file.
    pub keep_cache: bool,
    /// Limit for each of the commands.
    pub line_limit_ms: u64,
}

impl CleanUpSpec {
    /// What an agent does that no controller will ever speak to again.
    pub fn everything() -> Self {
        CleanUpSpec { commands: Vec::new(), keep_work: false, keep_cache: false, line_limit_ms: 0 }
    }
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Save the epoch durably before anything that follows; if that fails, [`Event::EpochUnsaved`].
    SaveEpoch(u64),
    /// Save the lease where keepers look for it; it need not survive the host.
    SaveLease(Lease),
    /// Answer a hello; from now on this link counts.
    Greet {
        /// The link.
        link: LinkId,
        /// What to say.
        greeting: Greeting,
    },
    /// Answer a hello with a refusal and close the link.
    Refuse {
        /// The link.
        link: LinkId,
        /// Says the newest epoch, so that a stale controller knows.
        greeting: Greeting,
        /// Why.
        why: String,
    },
    /// Close a link that a newer one has replaced.
    Close {
        /// The link.
        link: LinkId,
    },
    /// Send a report.
    Send {
        /// On this link.
        link: LinkId,
        /// Its number.
        number: u64,
        /// What is said.
        report: Report,
    },
    /// Commands up to this number are taken.
    Acknowledge {
        /// On this link.
        link: LinkId,
        /// The number.
        number: u64,
    },
    /// Answer a ping.
    Pong {
        /// On this link.
        link: LinkId,
        /// The ping's.
        token: u64,
    },
    /// Make a cluster's directory; ends with [`Event::PrepareEnded`].
    Prepare(PrepareSpec),
    /// Write a file of a cluster's directory anew; [`Event::Noted`] where that cannot be done.
    Rewrite(Rewriting),
    /// Run a program of the description; ends with [`Event::Answered`].
    Ask(Question),
    /// End those that run; each still ends with [`Event::Answered`].
    CancelQuestions,
    /// Stop making it; still ends with [`Event::PrepareEnded`].
    CancelPrepare {
        /// The cluster.
        cluster: String,
    },
    /// Start a task under this key, for the first and only time; ends with [`Event::Task`].
    Start {
        /// The key.
        key: TaskKey,
        /// What to start.
        spec: Box<TaskSpec>,
    },
    /// Send a signal to a task's process group.
    Signal {
        /// The task.
        key: TaskKey,
        /// Signal number.
        signal: i32,
    },
    /// Let the keeper end a task by its stop rule; ends with [`Event::Task`].
    Stop {
        /// The task.
        key: TaskKey,
        /// Why, in a word.
        why: String,
    },
    /// Answer a program that asked something of a barrier: [`BarrierOutcome::LetGo`] at its instant, of which less than a
    /// millisecond may be left. Where there is one, [`Event::WentOn`] says when that was done.
    AnswerProgram {
        /// Who.
        asker: AskerId,
        /// What it is told.
        outcome: BarrierOutcome,
    },
    /// Write down durably that no incarnation follows this one, before that is said to anybody.
    Conclude {
        /// The last incarnation.
        key: TaskKey,
    },
    /// Remove what is left on this host of an incarnation: others have followed, and the controller has all of it.
    Forget {
        /// Which.
        key: TaskKey,
    },
    /// Ask a question about a task's health; ends with [`Event::Probed`].
    Probe {
        /// The incarnation.
        key: TaskKey,
        /// Which of its probes.
        probe: usize,
        /// What is asked.
        check: ProbeCheck,
        /// No answer after so long is a wrong one.
        time_limit_ms: u64,
        /// A command is run in this cluster's directory.
        cluster: String,
    },
    /// Run the clean-up lines and remove the files; every task has ended. Ends with [`Event::Removed`].
    Remove(CleanUpSpec),
    /// Remove what served until now (socket, log, directory) and end the process.
    Exit,
}
