//! A process: a program to run on hosts, and everything about how.
//! It is not a task: a task is one process on one host, made by the run.

use crate::model::{Foreign, Name, Place, Probe, Reaction, Signal};
use serde::{Deserialize, Serialize};

/// A program to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its name.
    pub name: Name,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
    /// What is run.
    pub command: Command,
    /// Environment, on top of the cluster's.
    pub env: Vec<EnvVar>,
    /// Secrets that it is given.
    pub secrets: Vec<Secret>,
    /// The working directory, relative to the run's directory on the host; `None` is that directory.
    pub cwd: Option<String>,
    /// What it reads on standard input.
    pub stdin: Stdin,
    /// It is stopped after so long, in milliseconds; `None` is no limit.
    pub time_limit_ms: Option<u64>,
    /// Exit codes that count as success; never empty.
    pub success_codes: Vec<u8>,
    /// How it is stopped.
    pub stop: Stop,
    /// Limits on what it uses.
    pub limits: Limits,
    /// What happens when output comes faster than it can be taken.
    pub output: OutputPolicy,
    /// When it is started again; `None` is never.
    pub restart: Option<Restart>,
    /// The log manager of the later vocabulary, carried along.
    pub log_manager: Option<String>,
    /// On how many of the cluster's hosts it runs.
    pub on: On,
    /// How its health is judged.
    pub probes: Vec<Probe>,
    /// What to do when it fails; `None` means as the cluster says.
    pub on_failure: Option<Reaction>,
    /// What to bring home when it is done.
    pub outputs: Vec<Output>,
    /// What belongs to others and is carried along.
    pub foreign: Vec<Foreign>,
}

impl Process {
    /// A process with nothing said but its command.
    pub fn new(name: Name, command: Command) -> Process {
        Process {
            name,
            place: Place::default(),
            command,
            env: Vec::new(),
            secrets: Vec::new(),
            cwd: None,
            stdin: Stdin::default(),
            time_limit_ms: None,
            success_codes: vec![0],
            stop: Stop::default(),
            limits: Limits::default(),
            output: OutputPolicy::default(),
            restart: None,
            log_manager: None,
            on: On::default(),
            probes: Vec::new(),
            on_failure: None,
            outputs: Vec::new(),
            foreign: Vec::new(),
        }
    }
}

/// What is run. Texts may hold `${...}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A program and its arguments; no shell sees them.
    Program {
        /// The program.
        path: String,
        /// Its arguments, which may be empty texts.
        args: Vec<String>,
        /// Where it is written.
        #[serde(skip)]
        place: Place,
    },
    /// A line for `/bin/sh -c`. Values of `${...}` do not become part of its syntax.
    Shell {
        /// The line.
        line: String,
        /// Where it is written.
        #[serde(skip)]
        place: Place,
    },
}

impl Command {
    /// Program and arguments as they stand; a shell is the program of a line.
    pub fn words(&self) -> Vec<String> {
        match self {
            Command::Program { path, args, .. } => {
                std::iter::once(path).chain(args).cloned().collect()
            }
            Command::Shell { line, .. } => vec!["/bin/sh".into(), "-c".into(), line.clone()],
        }
    }

    /// Where it is written.
    pub fn place(&self) -> Place {
        match self {
            Command::Program { place, .. } | Command::Shell { place, .. } => *place,
        }
    }
}

/// One variable of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, which may hold `${...}`.
    pub value: String,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// A secret: the text holds where it comes from, never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its name, and that of the file that the process is given.
    pub name: Name,
    /// Where the controller finds it.
    pub source: SecretSource,
    /// How the process gets it.
    pub delivery: SecretDelivery,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// Where the controller finds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretSource {
    /// In a file on the controller.
    File(String),
    /// In a variable of the controller's environment.
    Environment(String),
}

/// How a process gets a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretDelivery {
    /// In a file with mode 0600, whose path is in `PLUSH_SECRET_<NAME>`.
    File,
    /// On a file descriptor of this number.
    Descriptor(u32),
}

/// What a process reads on standard input.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Stdin {
    /// Nothing: the end of input at once.
    #[default]
    Empty,
    /// This text.
    Text(String),
    /// A file of the controller.
    File(String),
    /// What the operator gives to the run.
    Operator,
}

/// How a process is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The first signal.
    pub signal: Signal,
    /// How long it has before `KILL`, in milliseconds.
    pub grace_ms: u64,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop { signal: Signal::TERM, grace_ms: 10_000 }
    }
}

/// Limits on what a process uses; `None` is the host's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Address space, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processor time, in milliseconds (the host counts whole seconds).
    pub cpu_ms: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// Processes of the account.
    pub processes: Option<u64>,
    /// The largest file it may write, in bytes.
    pub file_bytes: Option<u64>,
    /// The largest core file, in bytes; 0 where nothing is said.
    pub core_bytes: Option<u64>,
}

/// What happens when output comes faster than it can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OutputPolicy {
    /// The process waits; not a byte is lost.
    #[default]
    Block,
    /// The process goes on; what is lost is declared as a gap.
    Gap,
}

/// When a process is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// After which ends.
    pub when: RestartWhen,
    /// How often at most within the window; `None` is without limit.
    pub max: Option<u32>,
    /// The window in which `max` is counted, in milliseconds; `None` is the whole run.
    pub window_ms: Option<u64>,
    /// The first wait, in milliseconds; it doubles.
    pub backoff_min_ms: u64,
    /// The longest wait, in milliseconds.
    pub backoff_max_ms: u64,
}

impl Default for Restart {
    fn default() -> Restart {
        Restart {
            when: RestartWhen::Failure,
            max: None,
            window_ms: None,
            backoff_min_ms: 1_000,
            backoff_max_ms: 60_000,
        }
    }
}

/// After which ends a process is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartWhen {
    /// After a failure.
    Failure,
    /// After every end.
    Always,
}

/// On how many of the cluster's hosts something runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum On {
    /// On all.
    #[default]
    All,
    /// On so many, lowest ranks first.
    Count(u32),
}

/// Files to bring home: a glob below the run's directory on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The glob; relative, without `..`.
    pub glob: String,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}
