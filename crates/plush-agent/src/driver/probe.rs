//! One question about a task's health, asked on this host: a port, a URL, a command.
//! Not when it is asked and what the answer means: the core says so.

use crate::files::http::Trouble;
use crate::files::http::dial::{NamedBy, Network};
use crate::files::http::exchange::{Get, get};
use crate::files::http::url::Url;
use crate::files::http::watch::Watch;
use crate::programs::{self, Job};
use plush_protocol::{ProbeCheck, Program};
use std::ffi::OsString;
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
    /// Asks. True if the answer is right and in time. Blocks for as long as the limit.
    pub fn ask(&self) -> bool {
        match &self.check {
            ProbeCheck::Tcp(port) => self.accepts(*port),
            ProbeCheck::Http(url) => self.status(url).is_some_and(|status| status < 400),
            ProbeCheck::Command(program) => self.succeeds(program),
        }
    }

    fn accepts(&self, port: u16) -> bool {
        let deadline = Instant::now() + self.limit;
        let addresses = [
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        ];
        addresses.iter().any(|address| {
            let left = deadline.saturating_duration_since(Instant::now());
            !left.is_zero() && TcpStream::connect_timeout(address, left).is_ok()
        })
    }

    fn status(&self, url: &str) -> Option<u16> {
        let url = Url::parse(url).ok()?;
        let mut goes_on = |_, _| ControlFlow::Continue(());
        let watch = Watch::new(&mut goes_on, self.limit, self.limit);
        self.exchange(&url, &watch).ok()
    }

    /// No proxy and no redirect: what is asked is this server, here.
    fn exchange<'a>(&self, url: &Url, watch: &'a Watch<'a>) -> Result<u16, Trouble> {
        watch.begin_phase();
        let stream = Network::default().dial(url, NamedBy::Caller, watch, self.limit)?;
        let (head, _body) = get(stream, &Get { url, proxy: None, resume: None })?;
        Ok(head.status)
    }

    fn succeeds(&self, program: &Program) -> bool {
        let argv: Vec<OsString> = program.argv().into_iter().map(OsString::from).collect();
        let environment = self.environment.iter().chain(program.values());
        let job = Job {
            argv: &argv,
            environment: environment.map(|(n, v)| (n.into(), v.into())).collect(),
            directory: &self.directory,
            deadline: Instant::now() + self.limit,
        };
        programs::run(&job, &|| true).is_ok_and(|ended| ended.status.success())
    }
}
