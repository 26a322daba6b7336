//! A host's first process: moves into the host's root, starts what answers on port 22, reaps what is orphaned.
//!
//! It ends when its supervisor does, and everything on the host with it.

use crate::disk::Disk;
use crate::listener;
use crate::mounts;
use crate::namespace::{self, Apart};
use crate::protocol::{InitOrder, InitReport, RootKind, Service};
use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// How long sshd may take until it listens.
const SSHD_DEADLINE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// What a host's init is told at its start.
#[derive(Debug)]
pub struct Birth {
    pub name: String,
    pub disk: Disk,
    pub root: RootKind,
    pub control: UnixStream,
    /// The machine's limit of open files, before the supervisor raised its own.
    pub open_files: libc::rlimit,
}

/// Runs the host until the supervisor lets go of it.
pub fn run(birth: Birth) -> i32 {
    let control = birth.control.try_clone();
    match control
        .context("cannot copy the control socket")
        .and_then(|control| Init::start(birth, control))
    {
        Ok(init) => init.live(),
        Err(error) => {
            eprintln!("init: {error:#}");
            1
        }
    }
}

struct Init {
    control: UnixStream,
    orders: BufReader<UnixStream>,
    children: OwnedFd,
    serving: Option<i32>,
}

impl Init {
    fn start(birth: Birth, control: UnixStream) -> Result<Init> {
        namespace::set_process_name(c"init");
        let children = watch_children()?;
        // SAFETY: the limit is a plain structure that outlives the call.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const birth.open_files) };
        let mut init =
            Init { orders: BufReader::new(birth.control), control, children, serving: None };
        let prepared = namespace::set_host_name(&birth.name)
            .context("cannot set the host's name")
            .and_then(|()| mounts::move_into_host(&birth.disk, birth.root));
        namespace::drop_machine_wide_powers();
        let served = prepared.and_then(|()| init.serve(Service::Sshd));
        init.report(served)?;
        Ok(init)
    }

    fn live(mut self) -> i32 {
        loop {
            let mut awaited = [
                PollFd::new(&self.control, PollFlags::IN),
                PollFd::new(&self.children, PollFlags::IN),
            ];
            if rustix::event::poll(&mut awaited, None).is_err() {
                continue;
            }
            let (ordered, died) =
                (!awaited[0].revents().is_empty(), !awaited[1].revents().is_empty());
            if died {
                self.reap();
            }
            if ordered && !self.obey() {
                return 0;
            }
        }
    }

    /// Whether there was an order and not the end.
    fn obey(&mut self) -> bool {
        let mut line = String::new();
        if !matches!(self.orders.read_line(&mut line), Ok(bytes) if bytes > 0) {
            return false;
        }
        let obeyed =
            serde_json::from_str(&line).context("cannot understand an order").and_then(|order| {
                match order {
                    InitOrder::Serve(service) => self.serve(service),
                }
            });
        self.report(obeyed).is_ok()
    }

    fn report(&mut self, outcome: Result<()>) -> Result<()> {
        let report = match outcome {
            Ok(()) => InitReport::Serving,
            Err(error) => InitReport::Failed(format!("{error:#}")),
        };
        let mut line = serde_json::to_string(&report).expect("a report is plain data");
        line.push('\n');
        self.control.write_all(line.as_bytes()).context("cannot answer the supervisor")
    }

    fn reap(&mut self) {
        let mut record = [0_u8; 128];
        let _ = rustix::io::read(&self.children, &mut record);
        loop {
            let mut status = 0;
            // SAFETY: collects any dead child; the status is ours.
            match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
                pid if pid > 0 => {
                    if self.serving == Some(pid) {
                        self.serving = None;
                    }
                }
                _ => return,
            }
        }
    }

    /// Ends what listens on port 22 (its open connections stay) and starts the other.
    fn serve(&mut self, service: Service) -> Result<()> {
        if let Some(pid) = self.serving.take() {
            namespace::signal(pid, libc::SIGKILL);
            namespace::wait_for(pid);
        }
        let pid = match service {
            Service::Sshd => start_sshd()?,
            other => start_listener(other)?,
        };
        self.serving = Some(pid);
        Ok(())
    }
}

/// Starts sshd and waits until it listens: it then writes its process id, here into a pipe.
fn start_sshd() -> Result<i32> {
    let program = sshd_program()?;
    let _ = std::fs::remove_file("/run/sshd.pid");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        "/run/sshd.pid",
        rustix::fs::FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .context("cannot create the pipe /run/sshd.pid")?;
    let listening = rustix::fs::open(
        "/run/sshd.pid",
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context("cannot open the pipe /run/sshd.pid")?;
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open("/var/log/sshd.log")
        .context("cannot open /var/log/sshd.log")?;
    let child = Command::new(&program)
        .args(["-D", "-E", "/var/log/sshd.log"])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let pid = i32::try_from(child.id()).expect("a process id fits");
    let process = rustix::process::Pid::from_child(&child);
    let death = rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty())
        .context("cannot watch sshd")?;
    let mut awaited = [PollFd::new(&listening, PollFlags::IN), PollFd::new(&death, PollFlags::IN)];
    rustix::event::poll(&mut awaited, Some(&SSHD_DEADLINE)).context("cannot wait for sshd")?;
    let mut text = [0_u8; 32];
    let told = rustix::io::read(&listening, &mut text).unwrap_or(0);
    let _ = std::fs::remove_file("/run/sshd.pid");
    if told == 0 {
        let log = std::fs::read_to_string("/var/log/sshd.log").unwrap_or_default();
        bail!("sshd did not come to listen: {}", log.lines().last().unwrap_or("it said nothing"));
    }
    std::fs::write("/run/sshd.pid", &text[..told]).context("cannot write /run/sshd.pid")?;
    Ok(pid)
}

fn start_listener(service: Service) -> Result<i32> {
    let socket = listener::bind()?;
    namespace::fork(Apart::Nothing, &[socket.as_raw_fd()], || {
        namespace::set_process_name(c"listener");
        listener::serve(&socket, service);
        0
    })
    .context("cannot start a listener")
}

/// Where sshd is; found before the lab is built, so that its absence is told once.
pub fn sshd_program() -> Result<PathBuf> {
    ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .context("this machine has no sshd for the hosts: install it (on Debian: apt install openssh-server)")
}

/// A descriptor that becomes readable when a child dies.
fn watch_children() -> Result<OwnedFd> {
    signals(&[libc::SIGCHLD])
}

/// A descriptor that becomes readable when one of these signals comes; their usual effect ceases.
pub fn signals(numbers: &[libc::c_int]) -> Result<OwnedFd> {
    // SAFETY: the set is ours and initialised before use; the descriptor is owned by nobody else.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for number in numbers {
            libc::sigaddset(&raw mut set, *number);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            return Err(std::io::Error::last_os_error()).context("cannot watch signals");
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}
