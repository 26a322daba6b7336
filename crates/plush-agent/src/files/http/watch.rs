//! The watch over one fetch: its deadline, its patience with silence, and whether it is still wanted.
//!
//! Not a timer thread: the blocking calls of one fetch ask it at every turn, and wake up for it in between.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::files::Progress;

/// The longest a blocking call goes on before the watch is asked again.
const TICK: Duration = Duration::from_millis(200);

/// Why waiting ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The caller does not want it any more.
    Cancelled,
    /// The time for the whole fetch is over.
    OutOfTime,
    /// The other side was silent for too long.
    Stalled,
}

/// See the module.
pub struct Watch<'a> {
    progress: RefCell<&'a mut Progress<'a>>,
    done: Cell<u64>,
    total: Cell<Option<u64>>,
    deadline: Instant,
    patience: Duration,
    phase_end: Cell<Option<Instant>>,
}

impl<'a> Watch<'a> {
    /// Lets the whole take `limit` and every silence `patience`.
    pub fn new(progress: &'a mut Progress<'a>, limit: Duration, patience: Duration) -> Self {
        let deadline = Instant::now() + limit;
        let (done, total, phase_end) = (Cell::new(0), Cell::new(None), Cell::new(None));
        Watch { progress: RefCell::new(progress), done, total, deadline, patience, phase_end }
    }

    /// Notes how far the body is.
    pub fn note(&self, done: u64, total: Option<u64>) {
        self.done.set(done);
        self.total.set(total);
    }

    /// A phase begins that must end within one patience, however often a byte drips in: connecting, shaking hands, the head of an answer.
    pub fn begin_phase(&self) {
        self.phase_end.set(Some(Instant::now() + self.patience));
    }

    /// The phase is over; from here on only silence counts.
    pub fn end_phase(&self) {
        self.phase_end.set(None);
    }

    /// Whether to go on.
    pub fn check(&self) -> Result<(), Stop> {
        self.check_time()?;
        let go_on = (self.progress.borrow_mut())(self.done.get(), self.total.get());
        if go_on.is_break() { Err(Stop::Cancelled) } else { Ok(()) }
    }

    /// Waits before another try.
    pub fn pause(&self, time: Duration) -> Result<(), Stop> {
        let end = Instant::now() + time;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(TICK));
        }
    }

    /// Time left for the whole.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Connects within `limit`.
    pub fn connect(&'a self, address: SocketAddr, limit: Duration) -> io::Result<Socket<'a>> {
        let fd = begin_connect(address)?;
        self.await_ready(&fd, PollFlags::OUT, Instant::now() + limit)?;
        rustix::net::sockopt::socket_error(&fd)??;
        let stream = TcpStream::from(fd);
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(TICK))?;
        stream.set_nodelay(true)?;
        Ok(Socket { stream, watch: self })
    }

    /// Waits until the descriptor is ready; past `end` it is `TimedOut`.
    pub fn await_ready(&self, fd: &OwnedFd, flags: PollFlags, end: Instant) -> io::Result<()> {
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now()).min(TICK);
            let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
            match rustix::event::poll(&mut [PollFd::new(fd, flags)], Some(&wait)) {
                Ok(0) if Instant::now() >= end => return Err(io::ErrorKind::TimedOut.into()),
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn check_time(&self) -> Result<(), Stop> {
        let now = Instant::now();
        match self.phase_end.get() {
            _ if now >= self.deadline => Err(Stop::OutOfTime),
            Some(end) if now >= end => Err(Stop::Stalled),
            _ => Ok(()),
        }
    }

    fn retry(&self, mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        let begun = Instant::now();
        loop {
            self.check_time()?;
            match call() {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    self.check()?;
                    if begun.elapsed() >= self.patience {
                        return Err(Stop::Stalled.into());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }
}

/// A connection whose every wait is watched.
pub struct Socket<'a> {
    stream: TcpStream,
    watch: &'a Watch<'a>,
}

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.watch.retry(|| self.stream.read(buffer))
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.watch.retry(|| self.stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stop {
    /// The stop that travelled inside an I/O error.
    pub fn of(error: &io::Error) -> Option<Stop> {
        error.get_ref()?.downcast_ref::<Stop>().copied()
    }
}

impl From<Stop> for io::Error {
    fn from(stop: Stop) -> io::Error {
        io::Error::other(stop)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Stop::Cancelled => "it was cancelled",
            Stop::OutOfTime => "the time for the whole fetch is over",
            Stop::Stalled => "the server was silent or too slow for too long",
        })
    }
}

impl std::error::Error for Stop {}

fn begin_connect(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&fd, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error.into()),
    }
}
