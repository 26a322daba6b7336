//! Joins standard input and output to the agent of a run, and starts that agent if none answers.
//! Not the agent itself.

use crate::base::{Base, LOG, SOCKET, flock};
use crate::member::Member;
use crate::{logins, sys};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread;

/// Bytes carried at a time.
const CARRY_BYTES: usize = 64 << 10;

/// Runs until the agent closes the connection.
pub fn run(base: &Base, host: &str, umask: Mode) -> io::Result<()> {
    let socket = connect(base, host, umask)?;
    let (mut from_agent, mut to_agent) = (socket.try_clone()?, socket);
    let stdin = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    thread::spawn(move || {
        // Whatever ends the input, the agent hears that no more comes; it will close.
        let _ended = carry(&mut fs::File::from(stdin), &mut to_agent);
        let _gone = to_agent.shutdown(Shutdown::Write);
    });
    let stdout = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    match carry(&mut from_agent, &mut fs::File::from(stdout)) {
        // The agent has closed with something of ours unread: that too is its end of the connection.
        Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        other => other,
    }
}

/// Carries bytes by read and write. Not by splice(2), as `io::copy` would: waiting for the socket it holds the lock
/// of the pipe, and whoever reads from that pipe waits with it.
fn carry(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut bytes = vec![0; CARRY_BYTES];
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&bytes[..count])?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Connects to the member's agent. Reads the record first: where several machines see the
/// directory, the socket in it answers on only one of them.
fn connect(base: &Base, host: &str, umask: Mode) -> io::Result<UnixStream> {
    let member = Member::here(host);
    let _base_stays = base.enter().map_err(io::Error::other)?;
    // Paths of sockets are short (108 bytes), those of directories are not: so they are named from here.
    std::env::set_current_dir(&base.run)?;
    if member.owns(base).map_err(io::Error::other)?
        && let Ok(socket) = UnixStream::connect(SOCKET)
    {
        return Ok(socket);
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let lock = rustix::fs::open("agent.lock", flags, Mode::from_raw_mode(0o600))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    member.claim(base).map_err(io::Error::other)?;
    if let Ok(socket) = UnixStream::connect(SOCKET) {
        return Ok(socket);
    }
    drop(member.hold(base).map_err(io::Error::other)?);
    match fs::remove_file(SOCKET) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(SOCKET)?;
    spawn(base, host, umask, listener)?;
    UnixStream::connect(SOCKET)
}

/// Starts the agent behind a socket that accepts already: whoever connects is served once it is up.
fn spawn(base: &Base, host: &str, umask: Mode, listener: UnixListener) -> io::Result<()> {
    let log = OpenOptions::new().create(true).append(true).open(LOG)?;
    let directory = base.run.file_name().unwrap_or_default();
    let listener = OwnedFd::from(listener);
    logins::start(|before| {
        // Another program that executes ours is itself what /proc/self/exe would be then.
        let ours = if before.is_empty() { sys::program().into() } else { sys::program_name() };
        let scoped = (!before.is_empty()).then_some("--scoped");
        let mut words = before.into_iter().chain([ours.into_os_string()]);
        let mut command = Command::new(words.next().expect("there is at least our own program"));
        command
            .args(words)
            .arg("serve")
            .args(scoped)
            .arg("--run")
            .arg(&base.id)
            .arg("--directory")
            .arg(directory)
            .arg("--umask")
            .arg(format!("{:04o}", umask.as_raw_mode()))
            .arg("--host")
            .arg(host)
            .arg("--base")
            .arg(&base.base)
            .stdin(Stdio::from(listener.try_clone()?))
            .stderr(Stdio::from(log.try_clone()?));
        Ok(command)
    })
}
