//! The process that holds a lab: it makes the controller's namespaces, boots hosts, carries out requests.
//!
//! All that a lab is hangs on this process: when it ends, however, the kernel ends the hosts and frees their disks.

use crate::address;
use crate::disk::{Furniture, USER};
use crate::emulator;
use crate::freezer;
use crate::host::Host;
use crate::init;
use crate::key::{self, KeyPair};
use crate::mounts;
use crate::namespace::{self, Apart};
use crate::protocol::{
    Cable, Direction, DiskFate, LabReport, Order, Power, Reply, Request, RootKind,
};
use crate::shape::{Identity, LinkChange, Profile};
use crate::state::StateDirectory;
use crate::tun;
use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The environment variable that makes a program that links this library a supervisor before its `main`.
pub const CALL: &std::ffi::CStr = c"PLUSH_LAB_SUPERVISE";

const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// What a supervisor is told at its start, as a line on its standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Errand {
    pub directory: PathBuf,
    pub hosts: u16,
    pub profile: Profile,
    pub link: LinkChange,
    pub seed: u64,
    pub identity: Identity,
    pub lifetime: Lifetime,
    /// The descriptor of the lab's lock, which the supervisor takes over.
    pub lock: RawFd,
}

/// When a lab ends of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lifetime {
    /// When the process that asked for it is gone.
    OfOwner,
    /// When someone takes it down.
    UntilDown,
}

/// Any program that links this library can be its own supervisor: tests of other crates need no second program.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = become_supervisor_if_called;

extern "C" fn become_supervisor_if_called() {
    // SAFETY: before `main` there is one thread, so nobody else touches the environment.
    let called = unsafe { !libc::getenv(CALL.as_ptr()).is_null() };
    if called {
        // SAFETY: as above.
        unsafe { libc::unsetenv(CALL.as_ptr()) };
        std::process::exit(main());
    }
}

fn main() -> i32 {
    // SAFETY: plain system calls, in a process of one thread.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::setsid();
        libc::umask(0o022);
    }
    namespace::set_process_name(c"plush-lab");
    let mut errand = String::new();
    let mut owner = std::io::stdin();
    let mut byte = [0_u8; 1];
    while matches!(owner.read(&mut byte), Ok(1)) && byte[0] != b'\n' {
        errand.push(byte[0] as char);
    }
    let outcome =
        serde_json::from_str(&errand).context("cannot understand the errand").and_then(supervise);
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("supervisor: {error:#}");
            1
        }
    }
}

fn supervise(errand: Errand) -> Result<()> {
    let state = StateDirectory::at(errand.directory.clone());
    let ready = std::io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .context("cannot keep the standard output")?;
    let owner =
        std::io::stdin().as_fd().try_clone_to_owned().context("cannot keep the standard input")?;
    rustix::stdio::dup2_stdout(std::io::stderr())
        .context("cannot point the standard output to the log")?;
    let null = File::open("/dev/null").context("cannot open /dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("cannot close the standard input")?;
    let lock = take_over_lock(errand.lock)?;
    let mut ready = File::from(ready);
    let outcome = Supervisor::new(errand, state.clone(), owner);
    let first = match &outcome {
        Ok(supervisor) => Reply::Report(supervisor.report()),
        Err(error) => Reply::Failed(format!("{error:#}")),
    };
    write_line(&mut ready, &first)?;
    drop(ready);
    let ended = outcome.and_then(|supervisor| supervisor.serve());
    mounts::let_go(&state.disks());
    state.remove();
    drop(lock);
    ended
}

struct Supervisor {
    state: StateDirectory,
    hosts: Vec<Host>,
    furniture: Furniture,
    switch: OwnedFd,
    emulator_pid: i32,
    controller_network: File,
    requests: UnixListener,
    signals: OwnedFd,
    owner: Option<OwnedFd>,
    open_files: libc::rlimit,
}

fn take_over_lock(descriptor: RawFd) -> Result<OwnedFd> {
    // SAFETY: the errand's sender left this descriptor open for us alone.
    let lock = unsafe { OwnedFd::from_raw_fd(descriptor) };
    rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::CLOEXEC)
        .context("the lab's lock did not come along")?;
    Ok(lock)
}

enum Afterwards {
    Stay,
    End,
}

impl Supervisor {
    fn new(errand: Errand, state: StateDirectory, owner: OwnedFd) -> Result<Supervisor> {
        init::sshd_program()?;
        let signals = init::signals(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
        let open_files = raise_open_files();
        let (switch, emulator_pid) = start_emulator(errand.seed)?;
        namespace::unshare(libc::CLONE_NEWNS, "a mount namespace")?;
        mounts::make_downstream()?;
        crate::disk::make_directory(&state.disks(), 0o700)?;
        mounts::mount_memory(&state.disks(), "mode=700")?;
        let lab_key = key::generate("plush-lab")?;
        let furniture = Furniture::new(hosts_file(errand.hosts), &lab_key)?;
        let hosts = (1..=errand.hosts)
            .map(|port| {
                Host::new(
                    (port, errand.identity),
                    &state.disks(),
                    &furniture,
                    errand.link.applied_to(errand.profile.link(port, errand.seed)),
                )
            })
            .collect::<Result<Vec<Host>>>()?;
        write_files(&state, &lab_key, &hosts)?;
        show_names_to_controller(&state)?;
        let controller_network = make_controller_network(&switch)?;
        let requests = UnixListener::bind(state.socket()).context("cannot listen for requests")?;
        let owner = (errand.lifetime == Lifetime::OfOwner).then_some(owner);
        let mut supervisor = Supervisor {
            state,
            hosts,
            furniture,
            switch,
            emulator_pid,
            controller_network,
            requests,
            signals,
            owner,
            open_files,
        };
        supervisor.boot(&(1..=errand.hosts).collect::<Vec<u16>>())?;
        Ok(supervisor)
    }

    fn serve(mut self) -> Result<()> {
        loop {
            match self.await_something()? {
                Event::Request => {
                    if let Afterwards::End = self.hear() {
                        break;
                    }
                }
                Event::HostEnded(place) => self.switch_off(place)?,
                Event::End => break,
            }
        }
        self.hosts.iter().for_each(Host::begin_to_kill);
        for host in &mut self.hosts {
            host.kill();
            freezer::remove_group(&self.state.name(), &host.name);
        }
        // Not waited for: its end takes the kernel 30 ms for each device that it closes.
        namespace::signal(self.emulator_pid, libc::SIGKILL);
        Ok(())
    }

    fn await_something(&self) -> Result<Event> {
        let mut awaited = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.switch, PollFlags::IN),
            PollFd::new(self.owner.as_ref().unwrap_or(&self.signals), PollFlags::IN),
            PollFd::new(&self.requests, PollFlags::IN),
        ];
        let fixed = awaited.len();
        let mut places = Vec::new();
        for (place, host) in self.hosts.iter().enumerate() {
            if let Some(life_line) = host.life_line() {
                awaited.push(PollFd::new(life_line, PollFlags::IN));
                places.push(place);
            }
        }
        loop {
            match rustix::event::poll(&mut awaited, None) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for requests"),
            }
        }
        let woken = |at: usize| !awaited[at].revents().is_empty();
        if woken(0) || woken(1) || woken(2) {
            return Ok(Event::End);
        }
        if let Some(at) = (0..places.len()).find(|at| woken(fixed + at)) {
            return Ok(Event::HostEnded(places[at]));
        }
        Ok(Event::Request)
    }

    /// Answers one client.
    fn hear(&mut self) -> Afterwards {
        let Ok((mut stream, _)) = self.requests.accept() else { return Afterwards::Stay };
        let request = match read_request(&stream) {
            Ok(request) => request,
            Err(error) => {
                let _ = write_line(&mut stream, &Reply::Failed(format!("{error:#}")));
                return Afterwards::Stay;
            }
        };
        let afterwards =
            if matches!(request, Request::Down) { Afterwards::End } else { Afterwards::Stay };
        let reply =
            self.carry_out(request).unwrap_or_else(|error| Reply::Failed(format!("{error:#}")));
        // That the client did not wait for the answer changes nothing.
        let _ = write_line(&mut stream, &reply);
        afterwards
    }

    fn carry_out(&mut self, request: Request) -> Result<Reply> {
        match request {
            Request::Status => return Ok(Reply::Report(self.report())),
            Request::Down => {}
            Request::PowerOff { hosts } => self.each(&hosts, Supervisor::switch_off)?,
            Request::Boot { hosts } => self.boot(&hosts)?,
            Request::Reboot { hosts, disk, root } => self.reboot(&hosts, disk, root)?,
            Request::Plug { hosts, cable } => self.each(&hosts, |lab, place| {
                lab.hosts[place].cable = cable;
                lab.hosts[place].tell_link(&lab.switch)
            })?,
            Request::Partition { from, to, direction } => self.partition(&from, &to, direction)?,
            Request::Heal => emulator::send(&self.switch, &Order::Heal, None)?,
            Request::Link { hosts, change, direction } => {
                self.each(&hosts, |lab, place| lab.change_link(place, change, direction))?
            }
            Request::Freeze { hosts } => self.each(&hosts, Supervisor::freeze)?,
            Request::Thaw { hosts } => self.each(&hosts, Supervisor::thaw)?,
            Request::Service { hosts, service } => {
                self.each(&hosts, |lab, place| lab.hosts[place].serve(service))?
            }
        }
        Ok(Reply::Done)
    }

    fn each(
        &mut self,
        ports: &[u16],
        work: impl Fn(&mut Supervisor, usize) -> Result<()>,
    ) -> Result<()> {
        for port in ports {
            let place = usize::from(*port).checked_sub(1).filter(|place| *place < self.hosts.len());
            work(
                self,
                place.with_context(|| format!("there is no host {}", address::name(*port)))?,
            )?;
        }
        Ok(())
    }

    /// Switches on those hosts that are off, all at once, and waits until they serve.
    fn boot(&mut self, ports: &[u16]) -> Result<()> {
        let mut started = Vec::new();
        let switched_on: Result<()> = ports.iter().try_for_each(|port| {
            let host =
                self.hosts.get_mut(usize::from(*port) - 1).context("there is no such host")?;
            if host.power == Power::Off {
                host.switch_on(&self.switch, self.open_files)?;
                started.push(usize::from(*port) - 1);
            }
            Ok(())
        });
        namespace::enter(&self.controller_network)
            .context("cannot return to the controller's network")?;
        switched_on?;
        let mut failures = Vec::new();
        for place in started {
            if let Err(error) = self.hosts[place].await_service() {
                failures.push(format!("{error:#}"));
                self.switch_off(place)?;
            }
        }
        if !failures.is_empty() {
            bail!("{} hosts did not boot; {}", failures.len(), failures[0]);
        }
        Ok(())
    }

    /// Orderly enough that open connections are closed and not cut.
    fn reboot(&mut self, ports: &[u16], disk: DiskFate, root: RootKind) -> Result<()> {
        self.each(ports, |lab, place| {
            let name = lab.state.name();
            lab.hosts[place].kill();
            freezer::remove_group(&name, &lab.hosts[place].name);
            let Supervisor { hosts, furniture, .. } = lab;
            hosts[place].prepare_disk(furniture, disk, root)
        })?;
        self.boot(ports)
    }

    /// The power goes: the network first, so that nobody hears of it.
    fn switch_off(&mut self, place: usize) -> Result<()> {
        let port = self.hosts[place].port;
        emulator::send(&self.switch, &Order::Detach { port }, None)?;
        self.hosts[place].kill();
        freezer::remove_group(&self.state.name(), &self.hosts[place].name);
        Ok(())
    }

    fn change_link(
        &mut self,
        place: usize,
        change: LinkChange,
        direction: Direction,
    ) -> Result<()> {
        let host = &mut self.hosts[place];
        if direction != Direction::Back {
            host.up = change.applied_to(host.up);
        }
        if direction != Direction::Forth {
            host.down = change.applied_to(host.down);
        }
        host.tell_link(&self.switch)
    }

    fn partition(&mut self, from: &[u16], to: &[u16], direction: Direction) -> Result<()> {
        let block = |from: &[u16], to: &[u16]| {
            emulator::send(
                &self.switch,
                &Order::Block { from: from.to_vec(), to: to.to_vec() },
                None,
            )
        };
        if direction != Direction::Back {
            block(from, to)?;
        }
        if direction != Direction::Forth {
            block(to, from)?;
        }
        Ok(())
    }

    fn freeze(&mut self, place: usize) -> Result<()> {
        let host = &mut self.hosts[place];
        let Some(pid) = host.init_pid() else { bail!("{} is off", host.name) };
        freezer::freeze(&self.state.name(), &host.name, pid)?;
        host.power = Power::Frozen;
        Ok(())
    }

    fn thaw(&mut self, place: usize) -> Result<()> {
        let host = &mut self.hosts[place];
        if let (Power::Frozen, Some(pid)) = (host.power, host.init_pid()) {
            freezer::thaw(&self.state.name(), &host.name, pid)?;
            host.power = Power::On;
        }
        Ok(())
    }

    fn report(&self) -> LabReport {
        LabReport {
            name: self.state.name(),
            directory: self.state.path().to_owned(),
            supervisor_pid: rustix::process::getpid().as_raw_nonzero().get(),
            controller: address::address(address::CONTROLLER),
            hosts: self.hosts.iter().map(Host::report).collect(),
        }
    }
}

enum Event {
    Request,
    HostEnded(usize),
    End,
}

fn start_emulator(seed: u64) -> Result<(OwnedFd, i32)> {
    let pair = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    );
    let (ours, theirs) = pair.context("cannot make the emulator's socket")?;
    let kept = [theirs.as_raw_fd()];
    let pid = namespace::fork(Apart::Nothing, &kept, move || {
        namespace::set_process_name(c"plush-lab-net");
        emulator::run(theirs, seed)
    });
    Ok((ours, pid.context("cannot start the emulator")?))
}

fn make_controller_network(switch: &OwnedFd) -> Result<File> {
    namespace::unshare(libc::CLONE_NEWNET, "a network namespace")?;
    let device = tun::open(address::address(address::CONTROLLER))?;
    emulator::send(switch, &Order::Attach { port: address::CONTROLLER }, Some(device.as_fd()))?;
    emulator::send(
        switch,
        &Order::Link {
            port: address::CONTROLLER,
            up: Default::default(),
            down: Default::default(),
            cable: Cable::Plugged,
        },
        None,
    )?;
    namespace::of_process(rustix::process::getpid().as_raw_nonzero().get(), "net")
}

/// Raises the limit of open files as far as allowed and tells what it was.
fn raise_open_files() -> libc::rlimit {
    let mut before = libc::rlimit { rlim_cur: 1024, rlim_max: 4096 };
    // SAFETY: the structures are ours and outlive the calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut before);
        let raised = libc::rlimit { rlim_cur: before.rlim_max, ..before };
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised);
    }
    before
}

fn hosts_file(hosts: u16) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost\n");
    for port in 0..=hosts {
        text.push_str(&format!("{} {}\n", address::address(port), address::name(port)));
    }
    text
}

/// Writes what SSH tools need to reach the hosts.
fn write_files(state: &StateDirectory, lab_key: &KeyPair, hosts: &[Host]) -> Result<()> {
    let (mut config, mut known, mut list, mut directory) =
        (String::new(), String::new(), String::new(), String::new());
    for host in hosts {
        let (name, address) = (&host.name, address::address(host.port));
        config.push_str(&format!(
            "Host {name}\n  HostName {address}\n  Port 22\n  User {USER}\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n\n",
            state.identity().display(),
            state.known_hosts().display(),
        ));
        known.push_str(&format!("{name},{address} {}\n", host.key.public_line));
        list.push_str(&format!("{name}\n"));
        directory.push_str(&format!("    <node hostname=\"{name}:22\" user=\"{USER}\"/>\n"));
    }
    let directory = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plush>\n  <resource_manager type=\"ssh\">\n{directory}  </resource_manager>\n</plush>\n"
    );
    let machine_names = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let lab_names = hosts_file(u16::try_from(hosts.len()).expect("labs are small"));
    write(&state.ssh_config(), &config, 0o600)?;
    write(&state.known_hosts(), &known, 0o600)?;
    write(&state.inventory(), &list, 0o600)?;
    write(&state.directory_file(), &directory, 0o600)?;
    write(&state.hosts_file(), &format!("{lab_names}{machine_names}"), 0o644)?;
    write(&state.identity(), &lab_key.private_file, 0o600)?;
    write(
        &state.identity().with_extension("pub"),
        &format!("{} plush-lab\n", lab_key.public_line),
        0o644,
    )?;
    crate::disk::make_directory(&state.path().join("ssh_config.d"), 0o755)?;
    write(&state.path().join("ssh_config.d/plush-lab.conf"), &config, 0o644)
}

/// In the controller's mount namespace the hosts' names resolve, and OpenSSH's programs know them without options.
fn show_names_to_controller(state: &StateDirectory) -> Result<()> {
    mounts::bind(&state.hosts_file(), Path::new("/etc/hosts"))?;
    let system = Path::new("/etc/ssh/ssh_config.d");
    if system.is_dir() {
        mounts::bind(&state.path().join("ssh_config.d"), system)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions)
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}

fn read_request(stream: &UnixStream) -> Result<Request> {
    stream.set_read_timeout(Some(REQUEST_DEADLINE)).context("cannot set a deadline")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).context("cannot read a request")?;
    serde_json::from_str(&line).context("cannot understand a request")
}

fn write_line(target: &mut impl Write, reply: &Reply) -> Result<()> {
    let mut line = serde_json::to_string(reply).expect("a reply is plain data");
    line.push('\n');
    target.write_all(line.as_bytes()).context("cannot answer")
}
