//! One emulated host as the supervisor holds it: its disk, its key, its link, and its processes while it runs.
//!
//! Not what happens inside: that is `init`.

use crate::address;
use crate::busybox;
use crate::disk::{Disk, Furniture};
use crate::emulator;
use crate::init::{self, Birth};
use crate::key::{self, KeyPair};
use crate::namespace::{self, Apart};
use crate::protocol::{
    Cable, DiskFate, HostReport, InitOrder, InitReport, Order, Power, RootKind, Service,
};
use crate::shape::{Identity, LinkShape};
use crate::tun;
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a host may take to boot or to change what it serves.
const INIT_DEADLINE: Duration = Duration::from_secs(60);

/// A host, on or off.
#[derive(Debug)]
pub struct Host {
    pub port: u16,
    pub name: String,
    pub disk: Disk,
    pub root: RootKind,
    pub key: KeyPair,
    pub power: Power,
    pub up: LinkShape,
    pub down: LinkShape,
    pub cable: Cable,
    identity: Identity,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    pid: i32,
    control: BufReader<UnixStream>,
}

impl Host {
    /// A host that is off, its disk furnished.
    pub fn new(
        (port, identity): (u16, Identity),
        disks: &Path,
        furniture: &Furniture,
        link: LinkShape,
    ) -> Result<Host> {
        let name = address::name(port);
        let host = Host {
            port,
            disk: Disk { directory: disks.join(&name) },
            root: RootKind::Machine,
            key: key::generate(&name)?,
            power: Power::Off,
            up: link,
            down: link,
            cable: Cable::Plugged,
            identity,
            running: None,
            name,
        };
        host.furnish(furniture)?;
        Ok(host)
    }

    fn furnish(&self, furniture: &Furniture) -> Result<()> {
        furniture.furnish(&self.disk, &self.name, &self.key)?;
        match self.identity {
            Identity::Machines => self.disk.set_machine_id(&key::random_uuid()?.replace('-', "")),
            Identity::Clones | Identity::Containers => Ok(()),
        }
    }

    /// Switches the host on; [`Host::await_service`] tells when it serves. Leaves this process in the host's network.
    pub fn switch_on(&mut self, switch: &OwnedFd, open_files: libc::rlimit) -> Result<()> {
        let boot_id = match self.identity {
            Identity::Machines | Identity::Clones => key::random_uuid()? + "\n",
            Identity::Containers => std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .context("cannot read the machine's boot id")?,
        };
        std::fs::write(self.disk.boot_id(), boot_id)
            .with_context(|| format!("cannot write the boot id of {}", self.name))?;
        namespace::unshare(libc::CLONE_NEWNET, "a network namespace")?;
        let device = tun::open(address::address(self.port))?;
        emulator::send(switch, &Order::Attach { port: self.port }, Some(device.as_fd()))?;
        self.tell_link(switch)?;
        let (ours, theirs) = UnixStream::pair().context("cannot make a control socket")?;
        ours.set_read_timeout(Some(INIT_DEADLINE)).context("cannot set a deadline")?;
        let kept = [theirs.as_raw_fd()];
        let birth = Birth {
            name: self.name.clone(),
            disk: self.disk.clone(),
            root: self.root,
            control: theirs,
            open_files,
        };
        let pid = namespace::fork(Apart::Host, &kept, move || init::run(birth))
            .with_context(|| format!("cannot start {}", self.name))?;
        self.running = Some(Running { pid, control: BufReader::new(ours) });
        self.power = Power::On;
        Ok(())
    }

    /// Waits until the host's init has done what it was last told.
    pub fn await_service(&mut self) -> Result<()> {
        let Some(running) = &mut self.running else { bail!("{} is off", self.name) };
        let mut line = String::new();
        let read = running
            .control
            .read_line(&mut line)
            .with_context(|| format!("{} does not answer", self.name))?;
        if read == 0 {
            bail!("the init of {} ended", self.name);
        }
        match serde_json::from_str(&line)
            .with_context(|| format!("{} answers nonsense", self.name))?
        {
            InitReport::Serving => Ok(()),
            InitReport::Failed(reason) => bail!("{}: {reason}", self.name),
        }
    }

    /// Changes what answers on port 22.
    pub fn serve(&mut self, service: Service) -> Result<()> {
        let Some(running) = &mut self.running else { bail!("{} is off", self.name) };
        let mut line =
            serde_json::to_string(&InitOrder::Serve(service)).expect("an order is plain data");
        line.push('\n');
        running
            .control
            .get_mut()
            .write_all(line.as_bytes())
            .with_context(|| format!("cannot order {} about", self.name))?;
        self.await_service()
    }

    /// Ends all processes of the host at once. Connections are closed if its link still works.
    pub fn kill(&mut self) {
        self.begin_to_kill();
        self.power = Power::Off;
        if let Some(running) = self.running.take() {
            namespace::wait_for(running.pid);
        }
    }

    /// Does not wait for the end: many hosts end sooner together than in turn.
    pub fn begin_to_kill(&self) {
        if let Some(running) = &self.running {
            namespace::signal(running.pid, libc::SIGKILL);
        }
    }

    /// Prepares the disk of a host that is off for its next boot.
    pub fn prepare_disk(
        &mut self,
        furniture: &Furniture,
        fate: DiskFate,
        root: RootKind,
    ) -> Result<()> {
        if fate == DiskFate::Wiped {
            for directory in [self.disk.upper(), self.disk.work(), self.disk.busybox()] {
                if let Err(error) = std::fs::remove_dir_all(&directory)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    return Err(error)
                        .with_context(|| format!("cannot wipe the disk of {}", self.name));
                }
            }
            self.furnish(furniture)?;
        }
        if root == RootKind::Busybox && !self.disk.busybox().exists() {
            busybox::build(&self.disk.busybox())?;
            furniture.furnish_busybox(&self.disk.busybox(), &self.name, &self.key)?;
        }
        self.root = root;
        Ok(())
    }

    /// Tells the emulator how the host's link is.
    pub fn tell_link(&self, switch: &OwnedFd) -> Result<()> {
        emulator::send(
            switch,
            &Order::Link { port: self.port, up: self.up, down: self.down, cable: self.cable },
            None,
        )
    }

    pub fn init_pid(&self) -> Option<i32> {
        self.running.as_ref().map(|running| running.pid)
    }

    /// The socket that closes when the host's init ends.
    pub fn life_line(&self) -> Option<&UnixStream> {
        self.running.as_ref().map(|running| running.control.get_ref())
    }

    pub fn report(&self) -> HostReport {
        HostReport {
            name: self.name.clone(),
            address: address::address(self.port),
            power: self.power,
            init_pid: self.init_pid(),
            plugged: self.cable == Cable::Plugged,
            up: self.up,
            down: self.down,
        }
    }
}
