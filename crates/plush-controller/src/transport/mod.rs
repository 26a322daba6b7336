//! From a host `user@name:port` to a byte stream joined to the agent on that host.
//!
//! Not what is said over the stream, nor when to try again: pacing decides that, and effects perform it.

mod address;
mod bootstrap;
mod channel;
mod child;
mod deadline;
mod doctor;
mod failure;
mod identities;
mod known_hosts;
mod known_line;
mod link;
mod local;
mod openssh;
mod overheard;
mod pacer;

mod patterns;
mod pipe;
mod plan;
mod russh_client;
mod ssh_config;
mod ssh_program;
mod tainted;
mod way;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

pub use self::address::{AddressError, HostAddress};
pub use self::bootstrap::{AgentFile, AgentLookup, AgentShelf, Bootstrap};
pub use self::deadline::Deadlines;
pub use self::doctor::{DoctorReport, examine};
pub use self::failure::{ConnectFailure, FailureClass, Stage};
pub use self::known_hosts::{KeyName, KnownHosts, Offer, OfferedKey, Refusal};
pub use self::link::{AgentOrigin, Aside, Client, Link, LinkAccount, Reader, Writer};
pub use self::pacer::{Pacer, Tries};
pub use self::plan::{Preference, Ssh, SshOptions};
pub use self::ssh_config::{
    AddressFamily, ConfigFiles, HostSettings, Jumps, LocalUser, NamedFile, SshConfig,
};
pub use self::tainted::escape;
pub use self::way::Way;
pub use plush_core::pacing::Limits;

use self::bootstrap::Started;
use self::deadline::Watchdog;
use self::pipe::Exec;
use self::plan::Served;

/// How a host is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// A child process in this directory.
    Local {
        /// The host's own directory.
        dir: PathBuf,
    },
    /// SSH, by the user's configuration.
    Ssh(HostAddress),
}

/// Told how far an attempt has come.
pub struct LoggedIn {
    notice: oneshot::Sender<()>,
    touched: watch::Sender<bool>,
}

impl LoggedIn {
    /// `touched` becomes true as soon as the attempt may have left something on the host; the receiver hears when the
    /// handshake is over.
    pub fn new(touched: watch::Sender<bool>) -> (Self, oneshot::Receiver<()>) {
        let (notice, receiver) = oneshot::channel();
        (Self { notice, touched }, receiver)
    }

    fn touch(&self) {
        self.touched.send_replace(true);
    }

    /// The handshake is over, the agent not yet there.
    fn tell(self) {
        self.touch();
        // Who does not count handshakes does not listen.
        let _ = self.notice.send(());
    }
}

/// Joins a host's agent, which is sent first if it is not there.
pub async fn connect(
    ssh: &Ssh,
    route: &Route,
    bootstrap: &Bootstrap,
    deadlines: &Deadlines,
    logged_in: Option<LoggedIn>,
) -> Result<Link, ConnectFailure> {
    match route {
        Route::Local { dir } => connect_local(dir, bootstrap, deadlines, logged_in).await,
        Route::Ssh(address) => connect_ssh(ssh, address, bootstrap, deadlines, logged_in).await,
    }
}

async fn connect_local(
    dir: &Path,
    bootstrap: &Bootstrap,
    deadlines: &Deadlines,
    logged_in: Option<LoggedIn>,
) -> Result<Link, ConnectFailure> {
    let mut dog = Watchdog::new(deadlines);
    logged_in.iter().for_each(LoggedIn::touch);
    let agent = dog.guard(Stage::Start, deadlines.shell, local::start(dir, bootstrap)).await?;
    tell(logged_in);
    let account = LinkAccount {
        client: Client::Local,
        why: vec!["the host is local".to_owned()],
        handshake_ms: 0,
        total_ms: millis(dog.elapsed()),
        stages: dog.stages(),
        agent: agent.origin,
        agent_dir: dir.display().to_string(),
        machine: agent.machine,
        host_key: None,
        noise: String::new(),
        noise_bytes: 0,
        refused_dirs: Vec::new(),
    };
    Ok(Link { reader: agent.reader, writer: agent.writer, account, aside: agent.aside })
}

async fn connect_ssh(
    ssh: &Ssh,
    address: &HostAddress,
    bootstrap: &Bootstrap,
    deadlines: &Deadlines,
    logged_in: Option<LoggedIn>,
) -> Result<Link, ConnectFailure> {
    let mut logged_in = logged_in;
    let plan = ssh.plan(address).await?;
    let (target, because) = match plan.served {
        Served::Program { target, because } => (target, because),
        Served::InProcess(hops) => {
            let first = in_process(&hops, bootstrap, deadlines, &mut logged_in).await;
            let Err(failure) = first else { return first };
            if failure.class != FailureClass::Beyond {
                return Err(failure);
            }
            ssh.leave_to_program(address, &failure);
            return match Box::pin(connect_ssh(ssh, address, bootstrap, deadlines, logged_in)).await
            {
                Ok(link) => Ok(link),
                Err(second) => Err(failure.and(&second)),
            };
        }
    };
    let mut dog = Watchdog::new(deadlines);
    // The program logs in and runs the command in one go: only the script's first word tells that it is in.
    logged_in.iter().for_each(LoggedIn::touch);
    let whole = Deadlines { shell: deadlines.total, ..deadlines.clone() };
    let telling = Telling { inner: &target, logged_in: std::sync::Mutex::new(logged_in) };
    let started = bootstrap::run(&telling, bootstrap, &whole, &mut dog).await?;
    let handshake = dog.elapsed();
    let account = account(Client::Program, because, handshake, &dog, &started, None);
    Ok(linked(started, account))
}

async fn in_process(
    hops: &[russh_client::Hop],
    bootstrap: &Bootstrap,
    deadlines: &Deadlines,
    logged_in: &mut Option<LoggedIn>,
) -> Result<Link, ConnectFailure> {
    let mut dog = Watchdog::new(deadlines);
    let session = russh_client::open(hops, deadlines, &mut dog).await?;
    let handshake = dog.elapsed();
    tell(logged_in.take());
    let started = bootstrap::run(&session, bootstrap, deadlines, &mut dog).await?;
    let why = vec!["it can honour the SSH configuration of this host".to_owned()];
    let host_key = Some(session.host_key.clone());
    let account = account(Client::InProcess, why, handshake, &dog, &started, host_key);
    Ok(linked(started, account))
}

/// Holds the notice of being logged in until the link is made, or the attempt has failed.
struct Telling<'a> {
    inner: &'a dyn Exec,
    logged_in: std::sync::Mutex<Option<LoggedIn>>,
}

impl Exec for Telling<'_> {
    fn exec<'a>(&'a self, command: &'a str) -> pipe::Running<'a> {
        // A second command is only asked for after the first one spoke.
        let spoke = self.logged_in.lock().map_or(None, |mut notice| notice.take());
        Box::pin(async move {
            let mut pipe = self.inner.exec(command).await?;
            if let Some(notice) = spoke {
                pipe.reader = Box::new(FirstByte { inner: pipe.reader, notice: Some(notice) });
            }
            Ok(pipe)
        })
    }
}

/// Tells when the first byte comes.
struct FirstByte {
    inner: Reader,
    notice: Option<LoggedIn>,
}

impl tokio::io::AsyncRead for FirstByte {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(std::pin::Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            tell(self.notice.take());
        }
        std::task::Poll::Ready(Ok(()))
    }
}

fn tell(logged_in: Option<LoggedIn>) {
    if let Some(notice) = logged_in {
        notice.tell();
    }
}

fn account(
    client: Client,
    why: Vec<String>,
    handshake: Duration,
    dog: &Watchdog,
    started: &Started,
    host_key: Option<String>,
) -> LinkAccount {
    LinkAccount {
        client,
        why,
        handshake_ms: millis(handshake),
        total_ms: millis(dog.elapsed()),
        stages: dog.stages(),
        agent: started.origin,
        agent_dir: started.dir.clone(),
        machine: started.machine.clone(),
        host_key,
        noise: started.noise.escaped(),
        noise_bytes: started.noise.seen_bytes(),
        refused_dirs: started.refused_dirs.clone(),
    }
}

fn linked(started: Started, account: LinkAccount) -> Link {
    Link {
        reader: started.pipe.reader,
        writer: started.pipe.writer,
        account,
        aside: started.pipe.aside,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
