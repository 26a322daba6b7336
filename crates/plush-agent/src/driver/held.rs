//! One task from the agent's side: its directory, the connection to its keeper, its output.
//! Not its processes: the keeper has those.

use super::happened::Happened;
use super::output::Outgoing;
use crate::base::Base;
use crate::keeper::wire::{
    Extent, FromKeeper, Launch, Mailbox, ToKeeper, encode, receive_with, send_with,
};
use crate::{processes, record};
use plush_protocol::{Guarantee, StreamName, TaskKey, TaskState};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

const LAUNCH: &str = "launch";
const LOCK: &str = "lock";
const KEEPER_SOCKET: &str = "keeper.sock";
/// Messages that wait for a keeper that does not listen.
const KEEPER_QUEUE: usize = 64;
/// A keeper answers at once, unless its host is stopped.
const ATTACH_LIMIT: Duration = Duration::from_secs(5);

/// A task that has a directory.
pub struct Held {
    pub key: TaskKey,
    pub directory: PathBuf,
    pub streams: [Outgoing; 2],
    keeper: Option<KeeperLink>,
    /// Counts the keepers of this task.
    generation: u32,
    pub degraded: bool,
    /// What of it cannot be killed, in words.
    pub unkillable: Option<String>,
    /// Processes of it are left that nobody could end: no other incarnation may follow (P5).
    pub has_remains: bool,
    /// Second read ends: whatever happens to the keeper, the task's pipes do not break (P12).
    pipes: Vec<OwnedFd>,
}

struct KeeperLink {
    to_keeper: mpsc::Sender<Vec<u8>>,
    pid: Option<u32>,
}

impl Held {
    /// A task in its directory, without a keeper so far.
    pub fn new(base: &Base, key: TaskKey) -> Held {
        let directory = base.task(key);
        let stream = |name| Outgoing::new(&directory, key, name);
        let streams = [stream(StreamName::Out), stream(StreamName::Err)];
        Held {
            key,
            streams,
            directory,
            keeper: None,
            generation: 0,
            degraded: false,
            unkillable: None,
            has_remains: false,
            pipes: Vec::new(),
        }
    }

    /// Makes the task's directory and a keeper that starts the task in it.
    pub fn start(&mut self, launch: Launch, happened: &mpsc::Sender<Happened>) -> io::Result<()> {
        if self.directory.exists() {
            // It has no start record, or the core would know the key: nothing in it was ever executed.
            fs::remove_dir_all(&self.directory)?;
        }
        fs::create_dir_all(&self.directory)?;
        let bytes = minicbor::to_vec(&launch).expect("encoding to memory succeeds");
        record::save(&self.directory, LAUNCH, &bytes, record::Keep::WhileUp)?;
        let (out, out_writer) = pipe()?;
        let (err, err_writer) = pipe()?;
        self.pipes = vec![out, err];
        self.spawn(launch, vec![out_writer, err_writer], happened)
    }

    /// Gives a task whose keeper died a new keeper, which takes over where the spool ends.
    pub fn adopt(&mut self, happened: &mpsc::Sender<Happened>) -> io::Result<()> {
        let mut launch: Launch = record::load_value(&self.directory, LAUNCH)
            .ok_or_else(|| io::Error::other("the launch is not on disk"))?;
        launch.adopt = record::load_value(&self.directory, record::STARTED);
        self.degraded = true;
        if self.pipes.len() < 2 {
            return Err(io::Error::other("the task's pipes are not held"));
        }
        self.spawn(launch, Vec::new(), happened)
    }

    /// Finds the keeper of a task that an earlier agent started; says the task's state.
    pub fn attach(&mut self, happened: &mpsc::Sender<Happened>) -> io::Result<TaskState> {
        let socket = UnixStream::connect(self.short_path(KEEPER_SOCKET))?;
        socket.set_read_timeout(Some(ATTACH_LIMIT))?;
        let mut mailbox = Mailbox::default();
        let (message, pipes) = receive_with(&socket, &mut mailbox)?;
        let FromKeeper::Attached(state) = message else {
            return Err(io::Error::other("the keeper does not say hello"));
        };
        self.pipes = pipes;
        self.link(socket, mailbox, None, happened)?;
        Ok(state)
    }

    /// Nobody keeps the task: its lock is free.
    pub fn is_unkept(&self) -> bool {
        self.keeper.is_none() && self.lock().is_ok()
    }

    /// A keeper is connected.
    pub fn has_keeper(&self) -> bool {
        self.keeper.is_some()
    }

    /// The keeper's process, if this agent started it.
    pub fn keeper_pid(&self) -> Option<u32> {
        self.keeper.as_ref().and_then(|keeper| keeper.pid)
    }

    /// How surely its processes are found: in its control group, if they were put there.
    pub fn guarantee(&self) -> Guarantee {
        let started: Option<record::Started> = record::load_value(&self.directory, record::STARTED);
        match started.and_then(|started| started.group) {
            Some(_) => Guarantee::Cgroup,
            None if processes::are_visible() => Guarantee::Subreaper,
            None => Guarantee::Group,
        }
    }

    /// The launch as it was saved.
    pub fn launch(&self) -> Option<Launch> {
        record::load_value(&self.directory, LAUNCH)
    }

    /// Tells the keeper something; a keeper that does not listen is not waited for.
    pub fn tell(&self, message: &ToKeeper) {
        if let Some(keeper) = &self.keeper
            && keeper.to_keeper.try_send(encode(message)).is_err()
        {
            crate::log!("keeper of {:?} does not listen", self.key);
        }
    }

    /// The keeper is gone. Whether that concerns the present one.
    pub fn keeper_gone(&mut self, generation: u32) -> bool {
        let present = generation == self.generation;
        if present {
            self.keeper = None;
        }
        present
    }

    /// Whether a word comes from the present keeper.
    pub fn is_present(&self, generation: u32) -> bool {
        generation == self.generation
    }

    /// The task ended: how long its streams are is known for ever.
    pub fn ended(&mut self, state: &TaskState) {
        self.pipes.clear();
        if let TaskState::Exited { out_bytes, err_bytes, .. } = state {
            let extent = |written| Extent { written, closed: true };
            self.streams[0].grown(extent(*out_bytes));
            self.streams[1].grown(extent(*err_bytes));
        }
    }

    fn spawn(
        &mut self,
        launch: Launch,
        write_ends: Vec<OwnedFd>,
        happened: &mpsc::Sender<Happened>,
    ) -> io::Result<()> {
        let lock = self.lock()?;
        let listener = self.listen()?;
        let (ours, theirs) = UnixStream::pair()?;
        let stderr = fs::OpenOptions::new().create(true).append(true).open(crate::base::LOG)?;
        let child = Command::new(crate::sys::program())
            .arg("keep")
            .arg(self.directory.file_name().unwrap_or_default())
            .env_clear()
            .current_dir(&self.directory)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::from(stderr))
            .spawn()?;
        let mut fds = vec![lock.as_fd(), listener.as_fd()];
        fds.extend(self.pipes.iter().map(AsFd::as_fd));
        fds.extend(write_ends.iter().map(AsFd::as_fd));
        send_with(&ours, &encode(&ToKeeper::Launch(Box::new(launch))), &fds)?;
        self.link(ours, Mailbox::default(), Some(child.id()), happened)
    }

    fn link(
        &mut self,
        socket: UnixStream,
        mailbox: Mailbox,
        pid: Option<u32>,
        happened: &mpsc::Sender<Happened>,
    ) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        self.generation += 1;
        let (key, generation) = (self.key, self.generation);
        let (mut from, mut to) = tokio::net::UnixStream::from_std(socket)?.into_split();
        let (to_keeper, mut messages) = mpsc::channel::<Vec<u8>>(KEEPER_QUEUE);
        let happened = happened.clone();
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                if to.write_all(&message).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            let mut mailbox = mailbox;
            let mut bytes = [0; 4096];
            loop {
                while let Ok(Some(message)) = mailbox.take() {
                    let _gone = happened.send(Happened::Keeper { key, generation, message }).await;
                }
                match from.read(&mut bytes).await {
                    Ok(n) if n > 0 => mailbox.push(&bytes[..n]),
                    Ok(_) | Err(_) => break,
                }
            }
            let _gone = happened.send(Happened::KeeperGone { key, generation }).await;
        });
        self.keeper = Some(KeeperLink { to_keeper, pid });
        Ok(())
    }

    fn lock(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let lock = rustix::fs::open(self.directory.join(LOCK), flags, Mode::from_raw_mode(0o600))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(lock)
    }

    fn listen(&self) -> io::Result<UnixListener> {
        let path = self.short_path(KEEPER_SOCKET);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => UnixListener::bind(path),
        }
    }

    /// Below the run's directory, which is the agent's working directory: sockets have short paths only.
    fn short_path(&self, name: &str) -> PathBuf {
        Path::new("tasks").join(self.directory.file_name().unwrap_or_default()).join(name)
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}
