//! One question about a task's health, asked on this host: a port, a URL, a command.
//! Not when it is asked and what the answer means: the core says so.

use super::prepare::in_full;
use crate::files::http::Trouble;
use crate::files::http::dial::{NamedBy, Network};
use crate::files::http::exchange::{Get, get};
use crate::files::http::url::Url;
use crate::files::http::watch::Watch;
use crate::programs::{self, Job, ProgramError};
use plush_protocol::{ProbeCheck, Program, Tainted};
use std::ffi::OsString;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Maximum number of bytes of an answer that are read before its connection is closed.
const ANSWER_MAX_BYTES: u64 = 256 << 10;
/// Time limit for a probed server to close its end of the connection.
const PARTING_MAX: Duration = Duration::from_millis(500);

/// What is asked, and where commands find themselves.
pub struct Question {
    /// What.
    pub check: ProbeCheck,
    /// No answer after so long is a wrong one.
    pub limit: Duration,
    /// Where commands run.
    pub directory: PathBuf,
    /// Their whole environment.
    pub environment: Vec<(String, String)>,
}

impl Question {
    /// Probes. Fails with the request and the answer if the answer is wrong or late. Blocks for up
    /// to the limit.
    pub fn ask(&self) -> Result<(), Tainted> {
        let answer = match &self.check {
            ProbeCheck::Tcp(port) => self.accepts(*port),
            ProbeCheck::Http(url) => self.status(url),
            ProbeCheck::Command(program) => self.succeeds(program),
        };
        answer.map_err(|said| Tainted::new(format!("{}: {said}", self.check)))
    }

    fn accepts(&self, port: u16) -> Result<(), String> {
        let deadline = Instant::now() + self.limit;
        let addresses = [
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        ];
        let mut said = self.too_late();
        for address in &addresses {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(address, left) {
                Ok(stream) => {
                    part(stream, left);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(error) => said = error.to_string(),
            }
        }
        Err(said)
    }

    fn too_late(&self) -> String {
        format!("no answer within {} ms", self.limit.as_millis())
    }

    fn status(&self, url: &str) -> Result<(), String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let mut goes_on = |_, _| ControlFlow::Continue(());
        let watch = Watch::new(&mut goes_on, self.limit, self.limit);
        match self.exchange(&url, &watch) {
            Ok(status) if status < 400 => Ok(()),
            Ok(status) => Err(format!("status {status}")),
            Err(trouble) => Err(in_full(&trouble)),
        }
    }

    /// No proxy and no redirect: what is asked is this server, here.
    fn exchange<'a>(&self, url: &Url, watch: &'a Watch<'a>) -> Result<u16, Trouble> {
        watch.begin_phase();
        let stream = Network::default().dial(url, NamedBy::Caller, watch, self.limit)?;
        let (head, body) = get(stream, &Get { url, proxy: None, resume: None })?;
        // Closing a connection with unread bytes resets it, which the server would count as a
        // client failure. The status is the answer, whatever happens to the rest.
        let _rest = io::copy(&mut body.take(ANSWER_MAX_BYTES), &mut io::sink());
        Ok(head.status)
    }

    fn succeeds(&self, program: &Program) -> Result<(), String> {
        let argv: Vec<OsString> = program.argv().into_iter().map(OsString::from).collect();
        let environment = self.environment.iter().chain(program.values());
        let job = Job {
            argv: &argv,
            environment: environment.map(|(n, v)| (n.into(), v.into())).collect(),
            directory: &self.directory,
            deadline: Instant::now() + self.limit,
        };
        match programs::run(&job, &|| true) {
            Ok(ended) if ended.status.success() => Ok(()),
            Ok(ended) => {
                let (status, tail) = (ended.status, ended.tail);
                Err(ProgramError::Failed { status, tail }.to_string())
            }
            Err(error) => Err(in_full(&error)),
        }
    }
}

/// Closes a connection without a reset: reads what the server sends first and waits for its end of
/// stream, within `left`.
fn part(stream: TcpStream, left: Duration) {
    let patience = left.clamp(Duration::from_millis(1), PARTING_MAX);
    let deadline = Instant::now() + patience;
    let is_parting =
        stream.shutdown(Shutdown::Write).is_ok() && stream.set_read_timeout(Some(patience)).is_ok();
    let (mut stream, mut piece, mut read) = (stream, [0; 4096], 0);
    while is_parting && read < ANSWER_MAX_BYTES && Instant::now() < deadline {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(count) => read += count as u64,
        }
    }
}
