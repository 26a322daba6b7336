//! A lab from outside: bringing it up, asking it for faults, running programs in it, taking it down.
//!
//! Not the process that holds it: that is `supervisor`, which this talks to.

use crate::entry;
use crate::misbehave::{self, Kind};
use crate::oracle::{self, FileEntry, ProcessEntry};
use crate::protocol::{
    Cable, Direction, DiskFate, HostReport, LabReport, Power, Reply, Request, RootKind, Service,
};
use crate::selector;
use crate::shape::{Identity, LinkChange, Profile};
use crate::state::{self, StateDirectory};
use crate::supervisor::{CALL, Errand, Lifetime};
use anyhow::{Context as _, Result, bail};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// What lab to bring up. The default is one plain host.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// Its name; one is made up if there is none.
    pub name: Option<String>,
    /// How many hosts, 1 to 2000.
    pub hosts: u16,
    /// From which network each host's link is drawn.
    pub profile: Profile,
    /// What is then changed of every host's link.
    pub link: LinkChange,
    /// Seed of everything that is drawn at random.
    pub seed: u64,
    /// What the hosts have in common.
    pub identity: Identity,
}

impl Default for LabOptions {
    fn default() -> LabOptions {
        LabOptions {
            name: None,
            hosts: 1,
            profile: Profile::Lan,
            link: LinkChange::default(),
            seed: 1,
            identity: Identity::default(),
        }
    }
}

impl LabOptions {
    /// A plain lab of so many hosts.
    pub fn with_hosts(hosts: u16) -> LabOptions {
        LabOptions { hosts, ..LabOptions::default() }
    }
}

/// A lab that is up. One from [`Lab::up`] goes down when it is dropped, or when its process ends in whatever way.
///
/// Hosts are named as on the command line: `h001`, `h[001-003,7]`, `all`; the controller, where it makes sense, `controller`.
#[derive(Debug)]
pub struct Lab {
    state: StateDirectory,
    hosts: Vec<Host>,
    supervisor_pid: i32,
    owned: Option<Child>,
}

/// Name and address of a lab's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// `h001`...
    pub name: String,
    /// On the lab's network.
    pub address: Ipv4Addr,
}

impl Lab {
    /// Brings a lab up and waits until every host's sshd listens. Needs root.
    pub fn up(options: LabOptions) -> Result<Lab> {
        Lab::start(options, Lifetime::OfOwner)
    }

    /// Like [`Lab::up`], but the lab stays until [`Lab::down`] is called or `plush-lab down`.
    pub fn up_until_down(options: LabOptions) -> Result<Lab> {
        let mut lab = Lab::start(options, Lifetime::UntilDown)?;
        lab.owned = None;
        Ok(lab)
    }

    /// The lab with this name, which someone else brought up.
    pub fn find(name: &str) -> Result<Lab> {
        let state = StateDirectory::named(name)?;
        if !state.is_held() {
            bail!("no lab named {name} is up (plush-lab list shows those that are)");
        }
        match ask(&state, &Request::Status)? {
            Reply::Report(report) => Ok(Lab::of(report, None)),
            other => bail!("the lab {name} answers {other:?}"),
        }
    }

    /// Takes the lab down and waits until its processes and files are gone.
    pub fn down(mut self) -> Result<()> {
        self.take_down()
    }

    /// Waits until someone takes the lab down.
    pub fn await_end(mut self) -> Result<()> {
        if let Some(child) = &mut self.owned {
            let input = child.stdin.take();
            child.wait().context("cannot wait for the supervisor")?;
            drop(input);
            self.owned = None;
        }
        Ok(())
    }

    fn start(options: LabOptions, lifetime: Lifetime) -> Result<Lab> {
        if !rustix::process::geteuid().is_root() {
            bail!("a lab needs root, to make namespaces and users for sshd: run this with sudo");
        }
        if options.hosts == 0 || options.hosts > crate::address::MAX_HOSTS {
            bail!("a lab has 1 to {} hosts, not {}", crate::address::MAX_HOSTS, options.hosts);
        }
        state::remove_stale_labs();
        let name = options.name.clone().map_or_else(made_up_name, Ok)?;
        let state = StateDirectory::named(&name)?;
        let lock = state.create()?;
        let errand = Errand {
            directory: state.path().to_owned(),
            hosts: options.hosts,
            profile: options.profile,
            link: options.link,
            seed: options.seed,
            identity: options.identity,
            lifetime,
            lock: lock.as_raw_fd(),
        };
        let started = start_supervisor(&state, &errand);
        if started.is_err() {
            state.remove();
        }
        let (child, report) = started?;
        Ok(Lab::of(report, Some(child)))
    }

    fn of(report: LabReport, owned: Option<Child>) -> Lab {
        Lab {
            state: StateDirectory::at(report.directory),
            hosts: report
                .hosts
                .into_iter()
                .map(|host| Host { name: host.name, address: host.address })
                .collect(),
            supervisor_pid: report.supervisor_pid,
            owned,
        }
    }

    fn take_down(&mut self) -> Result<()> {
        let asked = match self.state.is_held() {
            true => self.order(&Request::Down),
            false => Ok(()),
        };
        match self.owned.take() {
            Some(mut child) => {
                // The end of its input is the end of its owner: it goes even if it did not hear the request.
                drop(child.stdin.take());
                child.wait().context("cannot wait for the supervisor")?;
            }
            None => self.await_release()?,
        }
        self.state.remove();
        asked
    }

    /// Waits until the supervisor lets go of its lock, which it does last.
    fn await_release(&self) -> Result<()> {
        let Ok(lock) = File::open(self.state.lock()) else { return Ok(()) };
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockShared)
            .context("cannot wait for the supervisor")
    }
}

/// What a lab is made of.
impl Lab {
    /// The lab's name.
    pub fn name(&self) -> String {
        self.state.name()
    }

    /// Its hosts in order.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Its hosts in order, from 0.
    pub fn host(&self, place: usize) -> &Host {
        &self.hosts[place]
    }

    /// The process that holds the lab.
    pub fn supervisor_pid(&self) -> i32 {
        self.supervisor_pid
    }

    /// The directory with its files, mode 0700.
    pub fn directory(&self) -> PathBuf {
        self.state.path().to_owned()
    }

    /// An ssh_config that names every host.
    pub fn ssh_config_path(&self) -> PathBuf {
        self.state.ssh_config()
    }

    /// The hosts' keys, as OpenSSH keeps them.
    pub fn known_hosts_path(&self) -> PathBuf {
        self.state.known_hosts()
    }

    /// The private key that every host lets in, as `plush` and as root.
    pub fn identity_path(&self) -> PathBuf {
        self.state.identity()
    }

    /// The hosts' names, a line each.
    pub fn inventory_path(&self) -> PathBuf {
        self.state.inventory()
    }

    /// The hosts as a directory file.
    pub fn directory_file_path(&self) -> PathBuf {
        self.state.directory_file()
    }

    /// The lab as it is now.
    pub fn report(&self) -> Result<LabReport> {
        match ask(&self.state, &Request::Status)? {
            Reply::Report(report) => Ok(report),
            other => bail!("the lab answers {other:?}"),
        }
    }
}

/// Running programs.
impl Lab {
    /// A program in the controller's network, where the hosts' names resolve and `ssh h001` works without options.
    ///
    /// The environment names the lab (`PLUSH_LAB`) and its ssh_config (`PLUSH_LAB_SSH_CONFIG`).
    pub fn command_in_controller(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let mut command = entry::in_controller(self.supervisor_pid, program)?;
        command.env("PLUSH_LAB", self.name()).env("PLUSH_LAB_SSH_CONFIG", self.ssh_config_path());
        Ok(command)
    }

    /// The OpenSSH client, ready to log into a host as `plush`; arguments may follow.
    pub fn ssh(&self, host: &str) -> Result<Command> {
        let mut command = self.command_in_controller("ssh")?;
        command.arg("-F").arg(self.ssh_config_path()).arg(&self.host_report(host)?.name);
        Ok(command)
    }

    /// A program on a host, as root in `/`, not by SSH: it works whatever the host's network does.
    ///
    /// It is killed when the child is.
    pub fn command_on(&self, host: &str, program: impl AsRef<OsStr>) -> Result<Command> {
        entry::on_host(self.init_pid(host)?, program)
    }

    /// The host's root directory as this machine sees it: for reading and writing a running host's files directly.
    pub fn root_of(&self, host: &str) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/proc/{}/root", self.init_pid(host)?)))
    }

    /// Runs shell text on a host, as [`Lab::command_on`] does, and tells how it ended.
    pub fn run_on(&self, host: &str, shell_text: &str) -> Result<Output> {
        let mut command = self.command_on(host, "/bin/sh")?;
        command.arg("-c").arg(shell_text).stdin(Stdio::null());
        command.output().with_context(|| format!("cannot run a shell on {host}"))
    }

    /// Starts a program on a host, as [`Lab::command_on`] does: a server for instance.
    pub fn spawn_on<Word: AsRef<OsStr>>(&self, host: &str, words: &[Word]) -> Result<Child> {
        let (program, arguments) = words.split_first().context("no program is named")?;
        let mut command = self.command_on(host, program)?;
        command.args(arguments).stdin(Stdio::null());
        command
            .spawn()
            .with_context(|| format!("cannot start {} on {host}", program.as_ref().display()))
    }

    /// What the host has written: everything in the upper layer of its disk and in its memory file systems (/tmp, /run,
    /// /dev/shm, a home that [`Lab::disk`] made small), but for the logs that every login writes.
    pub fn snapshot_files(&self, host: &str) -> Result<Vec<FileEntry>> {
        let report = self.host_report(host)?;
        oracle::snapshot_files(
            self.supervisor_pid,
            &self.state.disks().join(&report.name),
            report.init_pid,
        )
    }

    /// The processes on a host that is on, but for the lab's own init.
    pub fn processes(&self, host: &str) -> Result<Vec<ProcessEntry>> {
        oracle::processes(self.init_pid(host)?)
    }

    fn host_report(&self, host: &str) -> Result<HostReport> {
        let [port] = self.ports(host)?[..] else { bail!("\"{host}\" is not one host") };
        let mut report = self.report()?;
        Ok(report.hosts.swap_remove(usize::from(port) - 1))
    }

    fn init_pid(&self, host: &str) -> Result<i32> {
        self.host_report(host)?.init_pid.with_context(|| format!("{host} is off"))
    }
}

/// Faults.
impl Lab {
    /// The power goes: nobody on the network hears of it.
    pub fn power_off(&self, hosts: &str) -> Result<()> {
        self.order(&Request::PowerOff { hosts: self.ports(hosts)? })
    }

    /// Switches on those hosts that are off: with their disk, a new boot id, an empty /tmp and /run.
    pub fn boot(&self, hosts: &str) -> Result<()> {
        self.order(&Request::Boot { hosts: self.ports(hosts)? })
    }

    /// Ends all processes, closing their connections, and boots.
    pub fn reboot(&self, hosts: &str, disk: DiskFate) -> Result<()> {
        self.order(&Request::Reboot { hosts: self.ports(hosts)?, disk, root: RootKind::Machine })
    }

    /// Pulls the hosts' network cables.
    pub fn unplug(&self, hosts: &str) -> Result<()> {
        self.order(&Request::Plug { hosts: self.ports(hosts)?, cable: Cable::Unplugged })
    }

    /// Puts them back.
    pub fn plug(&self, hosts: &str) -> Result<()> {
        self.order(&Request::Plug { hosts: self.ports(hosts)?, cable: Cable::Plugged })
    }

    /// Drops silently what goes from one set to the other ([`Direction::Forth`]), back, or both.
    pub fn partition(&self, from: &str, to: &str, direction: Direction) -> Result<()> {
        let all = self.count();
        self.order(&Request::Partition {
            from: selector::ports(from, all)?,
            to: selector::ports(to, all)?,
            direction,
        })
    }

    /// Ends all partitions.
    pub fn heal(&self) -> Result<()> {
        self.order(&Request::Heal)
    }

    /// Changes the hosts' links, from the host ([`Direction::Forth`]), to it, or both.
    pub fn shape(&self, hosts: &str, change: LinkChange, direction: Direction) -> Result<()> {
        self.order(&Request::Link { hosts: self.ports(hosts)?, change, direction })
    }

    /// All processes of the hosts stand still; their kernels still accept connections.
    pub fn freeze(&self, hosts: &str) -> Result<()> {
        self.order(&Request::Freeze { hosts: self.ports(hosts)? })
    }

    /// They go on.
    pub fn thaw(&self, hosts: &str) -> Result<()> {
        self.order(&Request::Thaw { hosts: self.ports(hosts)? })
    }

    /// The home directories get a disk of their own of so many bytes, until the next boot.
    pub fn disk(&self, hosts: &str, size_bytes: u64) -> Result<()> {
        self.script(hosts, &misbehave::small_homes(size_bytes))
    }

    /// Nothing can be executed in the home directories, /tmp and /var/tmp, until the next boot.
    pub fn noexec(&self, hosts: &str) -> Result<()> {
        self.misbehave(hosts, Kind::NoexecHome)
    }

    /// Makes hosts misbehave. [`Kind::Well`] wipes them and makes them well again.
    pub fn misbehave(&self, hosts: &str, kind: Kind) -> Result<()> {
        misbehave::apply(self, hosts, kind)
    }

    pub(crate) fn serve(&self, hosts: &str, service: Service) -> Result<()> {
        self.order(&Request::Service { hosts: self.ports(hosts)?, service })
    }

    pub(crate) fn reboot_into(&self, hosts: &str, disk: DiskFate, root: RootKind) -> Result<()> {
        self.order(&Request::Reboot { hosts: self.ports(hosts)?, disk, root })
    }

    /// Runs shell text on every host that is meant; all must succeed.
    pub(crate) fn script(&self, hosts: &str, text: &str) -> Result<()> {
        let report = self.report()?;
        for port in self.ports(hosts)? {
            let host = &report.hosts[usize::from(port) - 1];
            if host.power != Power::On {
                bail!("{} does not run", host.name);
            }
            let output = self.run_on(&host.name, text)?;
            if !output.status.success() {
                bail!(
                    "{} cannot be changed: {}",
                    host.name,
                    String::from_utf8_lossy(&output.stderr).trim()
                );
            }
        }
        Ok(())
    }

    /// The names of the hosts that are meant.
    pub(crate) fn names(&self, hosts: &str) -> Result<Vec<String>> {
        Ok(self.ports(hosts)?.into_iter().map(crate::address::name).collect())
    }

    fn order(&self, request: &Request) -> Result<()> {
        match ask(&self.state, request)? {
            Reply::Failed(reason) => bail!(reason),
            Reply::Done | Reply::Report(_) => Ok(()),
        }
    }

    fn ports(&self, hosts: &str) -> Result<Vec<u16>> {
        selector::hosts_only(hosts, self.count())
    }

    fn count(&self) -> u16 {
        u16::try_from(self.hosts.len()).expect("a lab has at most MAX_HOSTS hosts")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.owned.is_some()
            && let Err(error) = self.take_down()
        {
            eprintln!("plush-lab: the lab {} did not go down in order: {error:#}", self.name());
        }
    }
}

fn start_supervisor(state: &StateDirectory, errand: &Errand) -> Result<(Child, LabReport)> {
    let log = File::create(state.log())
        .with_context(|| format!("cannot create {}", state.log().display()))?;
    let call = CALL.to_str().expect("the name of the variable is ASCII");
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("plush-lab")
        .env(call, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log);
    entry::leave_open(&mut command, errand.lock);
    let mut child = command.spawn().context("cannot start the supervisor")?;
    let mut line = serde_json::to_string(errand).expect("an errand is plain data");
    line.push('\n');
    let input = child.stdin.as_mut().expect("the input was asked for");
    let told = input.write_all(line.as_bytes()).context("cannot tell the supervisor its errand");
    let mut answer = String::new();
    let output = child.stdout.take().expect("the output was asked for");
    let heard = told.and_then(|()| {
        BufReader::new(output).read_line(&mut answer).context("cannot hear from the supervisor")
    });
    let reply =
        heard.and_then(|_| serde_json::from_str(&answer).with_context(|| last_words(state)));
    match reply {
        Ok(Reply::Report(report)) => Ok((child, report)),
        other => {
            drop(child.stdin.take());
            let _ = child.wait();
            match other? {
                Reply::Failed(reason) => bail!(reason),
                reply => bail!("the supervisor answers {reply:?}"),
            }
        }
    }
}

fn last_words(state: &StateDirectory) -> String {
    let log = std::fs::read_to_string(state.log()).unwrap_or_default();
    format!("the supervisor ended: {}", log.trim())
}

fn ask(state: &StateDirectory, request: &Request) -> Result<Reply> {
    let mut stream = UnixStream::connect(state.socket())
        .with_context(|| format!("cannot reach the lab {}", state.name()))?;
    let mut line = serde_json::to_string(request).expect("a request is plain data");
    line.push('\n');
    stream.write_all(line.as_bytes()).context("cannot send a request")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).context("cannot read an answer")?;
    serde_json::from_str(&answer)
        .with_context(|| format!("the lab {} ended before it answered", state.name()))
}

fn made_up_name() -> Result<String> {
    let random = crate::key::random_uuid()?;
    Ok(format!("lab-{}", &random[..8]))
}
