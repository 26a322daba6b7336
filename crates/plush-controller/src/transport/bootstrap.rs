//! The conversation with a host before its agent speaks: the script, its marker in the noise, the upload.
//!
//! Not a transport: any byte stream to a POSIX shell will do, and `Exec` gives another one where it is needed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::deadline::{Deadlines, Watchdog};
use super::failure::{ConnectFailure, Stage};
use super::link::{AgentOrigin, Reader};
use super::pipe::{Exec, Pipe};
use super::tainted::{Excerpt, escape};
use plush_core::standing::Seen;

const SCRIPT: &str = include_str!("bootstrap.sh");
const STANDING: &str = include_str!("standing.sh");
/// More noise than this before the script speaks is a broken account.
const NOISE_TOLERATED_BYTES: u64 = 16 << 20;
/// A message of the script is at most this long.
const MESSAGE_LIMIT_BYTES: usize = 8192;
/// So many hosts are sent the agent at once: our uplink, and what many hosts share, is better used in turns.
const UPLOADS_TOGETHER: usize = 32;
/// A host that takes longer than this is slow itself: it does not hold up the others any more.
const TURN: Duration = Duration::from_secs(5);
/// Directories that may turn out to be unusable during the upload.
const MAX_ROUNDS: usize = 4;

/// One build of the agent, for one architecture.
#[derive(Debug)]
pub struct AgentFile {
    digest: String,
    raw: Vec<u8>,
    packed: Vec<u8>,
}

impl AgentFile {
    /// Takes the program and packs it for hosts that have gzip. Costs time: do it once per architecture.
    pub fn new(raw: Vec<u8>) -> Self {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        let packed = encoder
            .write_all(&raw)
            .and_then(|()| encoder.finish())
            .expect("memory takes any bytes");
        Self { digest: blake3::hash(&raw).to_hex().to_string(), raw, packed }
    }

    /// Takes the program as a gzip file, as `plush` carries it.
    ///
    /// # Errors
    /// It is no gzip file.
    pub fn from_gzip(packed: Vec<u8>) -> std::io::Result<Self> {
        let mut raw = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed.as_slice()), &mut raw)?;
        Ok(Self { digest: blake3::hash(&raw).to_hex().to_string(), raw, packed })
    }

    /// BLAKE3 of the program, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The program.
    pub fn bytes(&self) -> &[u8] {
        &self.raw
    }
}

/// Finds the agent of an architecture that is not the controller's own.
pub type AgentLookup = Box<dyn Fn(&str) -> Option<AgentFile> + Send + Sync>;

/// The agents that this controller can send, by the machine's name as `uname -m` has it.
pub struct AgentShelf {
    own: String,
    found: Mutex<BTreeMap<String, Arc<AgentFile>>>,
    lookup: AgentLookup,
    turns: Arc<Semaphore>,
}

impl AgentShelf {
    /// A shelf with the controller's own agent; others are looked up when a host asks.
    pub fn new(machine: &str, own: AgentFile, lookup: AgentLookup) -> Self {
        let found = BTreeMap::from([(machine.to_owned(), Arc::new(own))]);
        let turns = Arc::new(Semaphore::new(UPLOADS_TOGETHER));
        Self { own: machine.to_owned(), found: Mutex::new(found), lookup, turns }
    }

    /// The agent for a machine, if there is one.
    pub fn agent_for(&self, machine: &str) -> Option<Arc<AgentFile>> {
        let mut found = self.found.lock().expect("no panic happens while agents are looked up");
        if let Some(file) = found.get(machine) {
            return Some(Arc::clone(file));
        }
        let file = Arc::new((self.lookup)(machine)?);
        found.insert(machine.to_owned(), Arc::clone(&file));
        Some(file)
    }

    /// Waits until one more host may be sent an agent.
    async fn turn(&self) -> OwnedSemaphorePermit {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        turn.expect("turns are given as long as there is a shelf")
    }

    fn digests(&self) -> Vec<(String, String)> {
        let found = self.found.lock().expect("no panic happens while agents are looked up");
        found.iter().map(|(machine, file)| (machine.clone(), file.digest.clone())).collect()
    }
}

/// What is to be started on a host.
pub struct Bootstrap {
    pub(crate) run: String,
    /// The name of the member's directory.
    pub(crate) directory: String,
    pub(crate) host: String,
    pub(crate) agents: Arc<AgentShelf>,
}

impl Bootstrap {
    /// The run's id and the host's name are given to the agent; both must be plain words.
    pub fn new(run: &str, host: &str, agents: Arc<AgentShelf>) -> Result<Self, ConnectFailure> {
        for word in [run, host] {
            if !is_plain_word(word) {
                let cause = format!("{word:?} is not a plain word that can be given to an agent");
                return Err(ConnectFailure::permanent(Stage::Settings, cause));
            }
        }
        let directory = run.to_owned();
        Ok(Self { run: run.to_owned(), directory, host: host.to_owned(), agents })
    }

    /// Uses this name for the member's directory instead of the run's id.
    #[must_use]
    pub fn at(self, directory: String) -> Self {
        Self { directory, ..self }
    }
}

/// How the agent came to speak.
pub(crate) struct Started {
    pub pipe: Pipe,
    pub origin: AgentOrigin,
    pub dir: String,
    pub machine: String,
    pub noise: Excerpt,
    pub refused_dirs: Vec<String>,
}

/// A random word that no noise contains: 128 bits, in two halves.
pub(crate) struct Nonce {
    first: String,
    second: String,
}

impl Nonce {
    pub(crate) fn random() -> Self {
        let bytes: [u8; 16] = random_bytes();
        let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        Self { first: text[..16].to_owned(), second: text[16..].to_owned() }
    }

    /// A word for the name of a file that nobody else uses.
    pub(crate) fn word(&self) -> &str {
        &self.second
    }

    fn marker(&self) -> Vec<u8> {
        format!("{}{}|", self.first, self.second).into_bytes()
    }
}

fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap_or_else(|e| panic!("the kernel gives no random bytes: {e}"));
    bytes
}

/// What the script says.
enum Said {
    Start { sent: bool, machine: String, dir: String },
    Machine { system: String, machine: String },
    Need(Need),
    Nowhere { refused: Vec<String> },
    Broken { index: u32, free_kib: Option<u64>, dir: String, why: String },
    Standing(Looked),
}

/// What a look at a host shows of how its tasks would end.
pub(crate) struct Looked {
    pub seen: Seen,
    /// A control group may be made where the login is.
    pub group: bool,
    /// The host shows its processes.
    pub processes: bool,
    /// There is a manager that can be asked for a scope with control groups.
    pub manager: bool,
}

struct Need {
    index: u32,
    machine: String,
    packed: bool,
    in_stream: bool,
    dir: String,
    refused: Vec<String>,
}

/// Runs the script, sends the agent if it is wanted, and returns when the agent has been started.
pub(crate) async fn run(
    exec: &dyn Exec,
    bootstrap: &Bootstrap,
    deadlines: &Deadlines,
    dog: &mut Watchdog,
) -> Result<Started, ConnectFailure> {
    let mut refused: Vec<String> = Vec::new();
    let mut skip: Vec<u32> = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let nonce = Nonce::random();
        let command = script_command(bootstrap, &nonce, &skip, 0);
        let pipe = dog.guard(Stage::Shell, deadlines.shell, exec.exec(&command)).await?;
        let mut talk = Talk::new(pipe, &nonce);
        match talk.converse(exec, bootstrap, &nonce, &skip, deadlines, dog).await? {
            Outcome::Started { origin, dir, machine, refused: more } => {
                refused.extend(more);
                let (pipe, noise) = talk.finish();
                return Ok(Started { pipe, origin, dir, machine, noise, refused_dirs: refused });
            }
            Outcome::DirectoryBroken { index, why } => {
                refused.push(why);
                skip.push(index);
            }
        }
    }
    Err(nowhere(&refused))
}

/// Runs a command that does nothing but speak; says what noise came before it.
pub(crate) async fn greet(
    exec: &dyn Exec,
    limit: Duration,
    dog: &mut Watchdog,
) -> Result<(Excerpt, Option<Looked>), ConnectFailure> {
    let nonce = Nonce::random();
    let script =
        flatten(STANDING).replace("@HALF1@", &nonce.first).replace("@HALF2@", &nonce.second);
    let command = format!("exec /bin/sh -c '{script}'");
    let greeting = async {
        let mut talk = Talk::new(exec.exec(&command).await?, &nonce);
        let looked = match talk.listen(Stage::Shell).await? {
            Said::Standing(looked) => Some(looked),
            Said::Start { .. }
            | Said::Machine { .. }
            | Said::Need(_)
            | Said::Nowhere { .. }
            | Said::Broken { .. } => None,
        };
        Ok((talk.noise, looked))
    };
    dog.guard(Stage::Shell, limit, greeting).await
}

enum Outcome {
    Started { origin: AgentOrigin, dir: String, machine: String, refused: Vec<String> },
    DirectoryBroken { index: u32, why: String },
}

/// A pipe with the script at its other end.
struct Talk {
    pipe: Pipe,
    marker: Vec<u8>,
    pending: Vec<u8>,
    noise: Excerpt,
}

impl Talk {
    fn new(pipe: Pipe, nonce: &Nonce) -> Self {
        Self { pipe, marker: nonce.marker(), pending: Vec::new(), noise: Excerpt::default() }
    }

    /// The pipe, with bytes of the agent that came along with the last message in front.
    fn finish(mut self) -> (Pipe, Excerpt) {
        if let Some(leash) = self.pipe.leash.take() {
            leash.slip();
        }
        if !self.pending.is_empty() {
            let early = std::io::Cursor::new(std::mem::take(&mut self.pending));
            let rest = std::mem::replace(&mut self.pipe.reader, Box::new(tokio::io::empty()));
            self.pipe.reader = Box::new(early.chain(rest)) as Reader;
        }
        (self.pipe, self.noise)
    }

    async fn converse(
        &mut self,
        exec: &dyn Exec,
        bootstrap: &Bootstrap,
        nonce: &Nonce,
        skip: &[u32],
        deadlines: &Deadlines,
        dog: &mut Watchdog,
    ) -> Result<Outcome, ConnectFailure> {
        let mut said = dog.guard(Stage::Shell, deadlines.shell, self.listen(Stage::Shell)).await?;
        if let Said::Machine { system, machine } = &said {
            let file = agent_for(bootstrap, system, machine)?;
            self.answer(file.digest()).await?;
            said = dog.guard(Stage::Shell, deadlines.shell, self.listen(Stage::Shell)).await?;
        }
        let (mut refused, mut sent_bytes) = (Vec::new(), 0);
        if let Said::Need(need) = said {
            dog.enter(Stage::Upload);
            let system = if need.machine == "unknown" { "unknown" } else { "Linux" };
            let file = agent_for(bootstrap, system, &need.machine)?;
            let bytes = if need.packed { &file.packed } else { &file.raw };
            sent_bytes = bytes.len() as u64;
            let turn = dog.wait_for_turn(bootstrap.agents.turn()).await;
            let upload = async {
                match need.in_stream {
                    true => self.upload_in_stream(bytes).await,
                    false => {
                        let command = script_command(bootstrap, nonce, skip, need.index);
                        send_beside(exec, &command, nonce, bytes).await?;
                        self.answer("0").await?;
                        self.listen(Stage::Upload).await
                    }
                }
            };
            let upload = holding_for(TURN, turn, upload);
            said = dog.guard_alone(Stage::Upload, deadlines.upload, upload).await?;
            refused = need.refused;
            if let Said::Broken { .. } = &said {
                said = named_dir(said, need.dir, file.raw.len());
            }
        }
        match said {
            Said::Start { sent, machine, dir } => {
                let origin =
                    if sent { AgentOrigin::Sent { sent_bytes } } else { AgentOrigin::Found };
                Ok(Outcome::Started { origin, dir, machine, refused })
            }
            Said::Broken { index, why, .. } => Ok(Outcome::DirectoryBroken { index, why }),
            Said::Nowhere { refused } => Err(nowhere(&refused)),
            Said::Machine { .. } | Said::Need(_) | Said::Standing(_) => {
                Err(ConnectFailure::permanent(
                    Stage::Shell,
                    "the bootstrap script asked twice for the same thing",
                ))
            }
        }
    }

    /// Sends the file in one go. Measured on loopback with 3.8 MB: the server's processes used 0.12 s of CPU, against
    /// 0.18 s when the ssh program sent it, so one upload needs no window of our own beside the channel's.
    async fn upload_in_stream(&mut self, bytes: &[u8]) -> Result<Said, ConnectFailure> {
        let Self { pipe, marker, pending, noise } = self;
        let Pipe { reader, writer, aside, .. } = pipe;
        let sending = async {
            writer.write_all(format!("{}\n", bytes.len()).as_bytes()).await?;
            writer.write_all(bytes).await?;
            writer.flush().await
        };
        let mut listening = Box::pin(next_message(reader, marker, pending, noise));
        // A script whose disk is full answers before everything is sent; a failed write is explained by its answer.
        tokio::select! {
            biased;
            said = &mut listening => return explain(said, Stage::Upload, aside).await,
            sent = sending => if let Err(e) = sent {
                tracing::debug!("send the agent: {e}");
            },
        }
        let said = listening.await;
        explain(said, Stage::Upload, aside).await
    }

    async fn answer(&mut self, word: &str) -> Result<(), ConnectFailure> {
        let line = format!("{word}\n");
        let written = async {
            self.pipe.writer.write_all(line.as_bytes()).await?;
            self.pipe.writer.flush().await
        };
        written.await.map_err(|e| {
            ConnectFailure::retryable(Stage::Shell, format!("answer the bootstrap script: {e}"))
        })
    }

    async fn listen(&mut self, stage: Stage) -> Result<Said, ConnectFailure> {
        let Self { pipe, marker, pending, noise } = self;
        let said = next_message(&mut pipe.reader, marker, pending, noise).await;
        match said {
            Err(Silence::Ended) => Err(ended_early(stage, pipe, noise).await),
            said => explain(said, stage, &mut pipe.aside).await,
        }
    }
}

/// Performs a step, holding something for its length or this long.
async fn holding_for<H, T>(limit: Duration, held: H, step: impl Future<Output = T>) -> T {
    tokio::pin!(step);
    tokio::select! {
        biased;
        done = &mut step => return done,
        () = tokio::time::sleep(limit) => drop(held),
    }
    step.await
}

/// Why there was no message.
enum Silence {
    Ended,
    TooMuchNoise,
    NotUnderstood(String),
    Read(std::io::Error),
}

/// Reads on until the marker, then one line; what follows stays in `pending`.
async fn next_message(
    reader: &mut Reader,
    marker: &[u8],
    pending: &mut Vec<u8>,
    noise: &mut Excerpt,
) -> Result<Said, Silence> {
    loop {
        if let Some(at) = find(pending, marker) {
            let from = at + marker.len();
            if let Some(length) = pending[from..].iter().position(|b| *b == b'\n') {
                let line = String::from_utf8_lossy(&pending[from..from + length]).into_owned();
                // The script begins a line for each message.
                noise.push(pending[..at].strip_suffix(b"\n").unwrap_or(&pending[..at]));
                pending.drain(..=from + length);
                return parse(&line).ok_or(Silence::NotUnderstood(line));
            }
            if pending.len() - from > MESSAGE_LIMIT_BYTES {
                return Err(Silence::NotUnderstood("a line without end".to_owned()));
            }
        } else {
            // Everything but a possible beginning of the marker, and of the line it is on, is noise.
            let certain = pending.len().saturating_sub(marker.len());
            noise.push(&pending[..certain]);
            pending.drain(..certain);
            if noise.seen_bytes() > NOISE_TOLERATED_BYTES {
                return Err(Silence::TooMuchNoise);
            }
        }
        match read_some(reader, pending).await {
            Ok(0) => {
                noise.push(pending);
                pending.clear();
                return Err(Silence::Ended);
            }
            Ok(_) => {}
            Err(e) => return Err(Silence::Read(e)),
        }
    }
}

async fn read_some(
    reader: &mut (impl AsyncRead + Unpin),
    into: &mut Vec<u8>,
) -> std::io::Result<usize> {
    // On the heap: what is held while waiting is copied with every future that waits.
    let mut chunk = vec![0; 16 * 1024];
    let count = reader.read(&mut chunk).await?;
    into.extend_from_slice(&chunk[..count]);
    Ok(count)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = needle[0];
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|b| *b == first) {
        let at = from + at;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

fn parse(line: &str) -> Option<Said> {
    let fields: Vec<&str> = line.trim_end_matches('\r').split('|').collect();
    let refused = |from: usize| {
        fields.get(from..).unwrap_or_default().iter().map(|f| escape(f.as_bytes())).collect()
    };
    match fields.as_slice() {
        ["start", how, machine, dir] => Some(Said::Start {
            sent: *how == "sent",
            machine: escape(machine.as_bytes()),
            dir: escape(dir.as_bytes()),
        }),
        ["machine", system, machine] => Some(Said::Machine {
            system: escape(system.as_bytes()),
            machine: escape(machine.as_bytes()),
        }),
        ["need", index, machine, pack, way, dir, ..] => Some(Said::Need(Need {
            index: index.parse().ok()?,
            machine: escape(machine.as_bytes()),
            packed: *pack == "gzip",
            in_stream: *way == "stream",
            dir: escape(dir.as_bytes()),
            refused: refused(6),
        })),
        ["standing", cgroups, logind, user, root, lingers, has, manager] => {
            // Compared, never shown.
            let lines = |joined: &str| joined.replace(';', "\n");
            Some(Said::Standing(Looked {
                seen: Seen {
                    cgroups: lines(cgroups),
                    logind: lines(logind),
                    user: escape(user.as_bytes()),
                    root: *root == "root",
                    lingers: *lingers == "lingers",
                },
                group: *has == "cgroup",
                processes: *has != "nothing",
                manager: *manager == "manager",
            }))
        }
        ["nowhere", ..] => Some(Said::Nowhere { refused: refused(1) }),
        ["broken", index, free_kib, dir, why @ ..] => Some(Said::Broken {
            index: index.parse().ok()?,
            free_kib: free_kib.parse().ok(),
            dir: escape(dir.as_bytes()),
            why: escape(why.join("|").as_bytes()),
        }),
        _ => None,
    }
}

/// Sends the agent over a channel of its own, which ends where the file ends.
async fn send_beside(
    exec: &dyn Exec,
    command: &str,
    nonce: &Nonce,
    bytes: &[u8],
) -> Result<(), ConnectFailure> {
    let failed = |e: std::io::Error| {
        ConnectFailure::retryable(Stage::Upload, format!("send the agent: {e}"))
    };
    let pipe = exec.exec(command).await?;
    let Pipe { mut reader, mut writer, aside: _aside, leash: _leash, failure: _ } = pipe;
    writer.write_all(bytes).await.map_err(failed)?;
    writer.shutdown().await.map_err(failed)?;
    // A child's standard input is closed only by dropping it.
    drop(writer);
    let mut told = Vec::new();
    let marker = nonce.marker();
    // What the far side says is for the first channel to judge: here it only has to end.
    while read_some(&mut reader, &mut told).await.map_err(failed)? > 0 {
        if find(&told, &marker).is_some() {
            return Ok(());
        }
        let surplus = told.len().saturating_sub(marker.len());
        told.drain(..surplus);
    }
    Ok(())
}

fn agent_for(
    bootstrap: &Bootstrap,
    system: &str,
    machine: &str,
) -> Result<Arc<AgentFile>, ConnectFailure> {
    let found = match (system, machine) {
        ("Linux", machine) => bootstrap.agents.agent_for(machine),
        // Nothing on the host can name it: the most likely one is our own, and a wrong one does no harm.
        ("unknown", _) => bootstrap.agents.agent_for(&bootstrap.agents.own),
        _ => None,
    };
    found.ok_or_else(|| {
        let known: Vec<String> =
            bootstrap.agents.digests().into_iter().map(|(m, _)| format!("Linux {m}")).collect();
        let cause =
            format!("the host is {system} {machine}; there are agents for {}", known.join(", "));
        ConnectFailure::permanent(Stage::AgentDir, cause).hint(format!(
            "put an agent built for {machine} where Plush looks for agents of other architectures"
        ))
    })
}

fn named_dir(said: Said, needed_dir: String, needed_bytes: usize) -> Said {
    let Said::Broken { index, free_kib, dir, why } = said else { return said };
    let dir = if dir.is_empty() { needed_dir } else { dir };
    let free = free_kib.map(|kib| format!(", {kib} KiB free")).unwrap_or_default();
    let why = format!(
        "{dir}: {} ({} KiB needed{free})",
        if why.is_empty() { "the agent did not arrive whole" } else { &why },
        needed_bytes / 1024 + 1
    );
    Said::Broken { index, free_kib, dir, why }
}

fn nowhere(refused: &[String]) -> ConnectFailure {
    let list =
        if refused.is_empty() { "none could be tried".to_owned() } else { refused.join("; ") };
    ConnectFailure::permanent(Stage::AgentDir, format!("no directory on the host takes the agent: {list}"))
        .hint("free space, or set PLUSH_AGENT_DIR on the host to a directory where its user may write and run programs")
}

async fn explain(
    said: Result<Said, Silence>,
    stage: Stage,
    aside: &mut super::link::Aside,
) -> Result<Said, ConnectFailure> {
    match said {
        Ok(said) => Ok(said),
        Err(Silence::Ended) => {
            aside.settled(Duration::from_millis(500)).await;
            Err(ConnectFailure::interrupted(stage, cut_off(aside)))
        }
        Err(Silence::TooMuchNoise) => {
            let cause = format!(
                "the login printed more than {} MiB before a command ran",
                NOISE_TOLERATED_BYTES >> 20
            );
            Err(ConnectFailure::permanent(stage, cause)
                .hint("look at the shell's start-up files on the host"))
        }
        Err(Silence::NotUnderstood(line)) => {
            let cause = format!("the bootstrap script said {:?}", escape(line.as_bytes()));
            Err(ConnectFailure::permanent(stage, cause))
        }
        Err(Silence::Read(e)) => {
            Err(ConnectFailure::retryable(stage, format!("read from the host: {e}")))
        }
    }
}

/// How the script came to an end before it had said all.
fn cut_off(aside: &super::link::Aside) -> String {
    let end = aside.end().unwrap_or_else(|| "no exit status".to_owned());
    match aside.last_words() {
        said if said.is_empty() => {
            format!("the command on the host ended ({end}) and said nothing")
        }
        said => format!("the command on the host ended ({end}); it said: {said}"),
    }
}

/// The far side ended before the script said a word: the shell, the account or the connection.
async fn ended_early(stage: Stage, pipe: &mut Pipe, noise: &Excerpt) -> ConnectFailure {
    pipe.aside.settled(Duration::from_millis(500)).await;
    if let Some(failure) = pipe.failure.as_ref().and_then(|explain| explain(&pipe.aside)) {
        return failure;
    }
    let end = pipe.aside.end().unwrap_or_else(|| "no exit status".to_owned());
    let (out, err) = (noise.last_words(), pipe.aside.last_words());
    let said = match (out.is_empty(), err.is_empty()) {
        (true, true) => "nothing".to_owned(),
        (false, true) => out,
        (true, false) => err,
        (false, false) => format!("{out} / {err}"),
    };
    let cause = format!("the login ended ({end}) before a command ran; it said: {said}");
    if pipe.aside.is_cut_off() {
        // A host that restarts, or a network that breaks, says nothing about the account.
        return ConnectFailure::interrupted(stage, cause);
    }
    ConnectFailure::permanent(stage, cause)
        .hint("the account needs a login shell that runs commands; try: ssh HOST true")
}

/// The command line for a login shell of any kind.
fn script_command(bootstrap: &Bootstrap, nonce: &Nonce, skip: &[u32], receive: u32) -> String {
    let skip: Vec<String> = skip.iter().map(u32::to_string).collect();
    let digests: Vec<String> = bootstrap
        .agents
        .digests()
        .into_iter()
        .filter(|(machine, _)| is_plain_word(machine))
        .map(|(machine, digest)| format!("Linux-{machine}) D={digest};;"))
        .collect();
    let script = flatten(SCRIPT)
        .replace("@HALF1@", &nonce.first)
        .replace("@HALF2@", &nonce.second)
        .replace("@UPLOAD@", &upload_name(nonce))
        .replace("@SKIP@", &skip.join(" "))
        .replace("@RECEIVE@", &receive.to_string())
        .replace("@DIGESTS@", &digests.join(" "))
        .replace("@RUN@", &bootstrap.run)
        .replace("@DIRECTORY@", &bootstrap.directory)
        .replace("@HOST@", &bootstrap.host);
    format!("exec /bin/sh -c '{script}'")
}

/// Part of the marker's reverse: unique for the connection, and not itself the marker.
fn upload_name(nonce: &Nonce) -> String {
    nonce.second.chars().rev().collect()
}

fn flatten(script: &str) -> String {
    let lines =
        script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect::<Vec<_>>().join(" ")
}

/// Safe between double quotes in a shell, and as an argument.
fn is_plain_word(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= 200
        && !word.starts_with('-')
        && word.chars().all(|c| {
            c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '@' | '+' | '%')
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bootstrap() -> Bootstrap {
        let own = AgentFile::new(b"agent".to_vec());
        let shelf = AgentShelf::new("x86_64", own, Box::new(|_| None));
        Bootstrap::new("r1", "ann@web:22", Arc::new(shelf)).unwrap()
    }

    #[test]
    fn f16_the_command_has_nothing_that_a_login_shell_could_understand() {
        let command = script_command(&bootstrap(), &Nonce::random(), &[], 0);
        let inner = command.strip_prefix("exec /bin/sh -c '").unwrap().strip_suffix('\'').unwrap();
        assert_eq!(inner.find(['\'', '\\', '!', '\n', '\t']), None);
        assert!(
            inner.is_ascii() && !inner.contains("@HALF") && command.len() < 4000,
            "{}",
            command.len()
        );
    }

    #[test]
    fn f17_the_command_itself_does_not_contain_the_marker() {
        let nonce = Nonce::random();
        let command = script_command(&bootstrap(), &nonce, &[], 0);
        assert_eq!(find(command.as_bytes(), &nonce.marker()[..32]), None);
    }

    #[test]
    fn t12_words_that_a_shell_would_understand_are_refused() {
        let shelf =
            || Arc::new(AgentShelf::new("x86_64", AgentFile::new(vec![]), Box::new(|_| None)));
        for bad in ["", "a b", "$(id)", "a\"b", "`id`", "-x", "a;b", "a\\b", "a'b", "a!b"] {
            assert!(Bootstrap::new(bad, "web", shelf()).is_err());
            assert!(Bootstrap::new("r1", bad, shelf()).is_err());
        }
    }

    #[tokio::test]
    async fn f17_the_marker_is_found_in_noise_with_near_markers_cut_anywhere() {
        let nonce = Nonce { first: "ab".repeat(8), second: "cd".repeat(8) };
        let marker = nonce.marker();
        let mut stream = vec![0xff; 100_000];
        stream.extend_from_slice(&marker[..20]);
        stream.extend_from_slice(&marker[..marker.len() - 1]);
        stream.extend_from_slice(b"x");
        stream.extend_from_slice(&marker);
        stream.extend_from_slice(b"start|found|Linux x86_64|/d\nFRAMES");
        for piece in [1, 7, 4096] {
            let chunks: Vec<_> = stream.chunks(piece).map(<[u8]>::to_vec).collect();
            let (mut near, far) = tokio::io::duplex(64 * 1024);
            let feeding = async move {
                for chunk in chunks {
                    near.write_all(&chunk).await.unwrap();
                }
            };
            let mut reader: Reader = Box::new(far);
            let (mut pending, mut noise) = (Vec::new(), Excerpt::default());
            let reading = next_message(&mut reader, &marker, &mut pending, &mut noise);
            let (_, said) = tokio::join!(feeding, reading);
            assert!(matches!(said, Ok(Said::Start { sent: false, .. })));
            let mut rest = pending.clone();
            while read_some(&mut reader, &mut rest).await.unwrap() > 0 {}
            assert_eq!(rest, b"FRAMES");
        }
    }

    #[tokio::test]
    async fn f17_the_line_that_the_script_begins_for_its_message_is_no_noise() {
        let nonce = Nonce::random();
        let mut message = b"\n".to_vec();
        message.extend_from_slice(&nonce.marker());
        message.extend_from_slice(b"machine|Linux|x86_64\n");
        for (before, noise_bytes) in [("", 0), ("Welcome.\n", 9), ("Welcome.", 8), ("\n", 1)] {
            for piece in [1, 33, 34, 4096] {
                let stream = [before.as_bytes(), &message].concat();
                let (mut near, far) = tokio::io::duplex(piece);
                let feeding = async move { near.write_all(&stream).await.unwrap() };
                let mut reader: Reader = Box::new(far);
                let (mut pending, mut noise) = (Vec::new(), Excerpt::default());
                let marker = nonce.marker();
                let reading = next_message(&mut reader, &marker, &mut pending, &mut noise);
                let (_, said) = tokio::join!(feeding, reading);
                assert!(matches!(said, Ok(Said::Machine { .. })));
                assert_eq!(noise.seen_bytes(), noise_bytes, "{before:?} in pieces of {piece}");
            }
        }
    }
}
