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
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

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
    /// Asks. An error if the answer is not right or not in time: what was asked, and what came. Blocks for as long as the
    /// limit.
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
                Ok(_) => return Ok(()),
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
        let (head, _body) = get(stream, &Get { url, proxy: None, resume: None })?;
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
