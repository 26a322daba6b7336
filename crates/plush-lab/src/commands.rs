//! The sub-commands of `plush-lab`.

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use plush_lab::{
    Direction, DiskFate, Identity, Kind, Lab, LabOptions, LinkChange, Power, Profile, list_labs,
    remove_stale_labs,
};
use plush_lab::{parse_bytes, parse_duration, parse_rate, parse_share};
use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitCode};

/// Prints a line; that nobody reads it, as in `| head`, is fine.
macro_rules! say {
    ($($part:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}

/// Emulated hosts on one Linux machine: each with its own address, name, files, processes and sshd.
#[derive(Debug, Parser)]
#[command(name = "plush-lab", version, max_term_width = 100)]
struct Arguments {
    /// Which lab; not needed while there is one
    #[arg(long, global = true, value_name = "LAB", env = "PLUSH_LAB")]
    name: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Bring up a lab of N hosts, named h001 and on
    Up(Up),
    /// Take the lab down; nothing of it is left
    Down,
    /// Show the names of all labs that are up
    List,
    /// Show the hosts of a lab
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a command on the lab's network, where the hosts' names resolve
    Exec {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Log into a host, or run a command there, by SSH
    Ssh {
        /// The host
        host: String,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run a command on a host as root, not by SSH: it works whatever the network does
    On {
        /// The host
        host: String,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// The power of hosts goes, unheard
    PowerOff(Hosts),
    /// Switch hosts on: with their disk, a new boot id, an empty /tmp and /run
    Boot(Hosts),
    /// End all processes of hosts and boot them
    Reboot {
        #[command(flatten)]
        hosts: Hosts,
        /// Start from a fresh disk
        #[arg(long)]
        wipe: bool,
    },
    /// Pull the network cable of hosts
    Unplug(Hosts),
    /// Put it back
    Plug(Hosts),
    /// Drop what goes between two sets of hosts; `controller` may be among them
    Partition {
        /// Hosts
        from: String,
        /// Other hosts
        to: String,
        /// Only what goes from the first set to the second
        #[arg(long)]
        one_way: bool,
    },
    /// End all partitions
    Heal,
    /// Change the link of hosts
    Link {
        #[command(flatten)]
        hosts: Hosts,
        #[command(flatten)]
        link: Link,
        /// Only one direction: up is from the host, down is to it
        #[arg(long, value_parser = ["up", "down"])]
        only: Option<String>,
        /// First make the link plain
        #[arg(long)]
        reset: bool,
    },
    /// All processes of hosts stand still
    Freeze(Hosts),
    /// They go on
    Thaw(Hosts),
    /// Freeze all hosts of the lab; `thaw all` lets them go on
    Pause,
    /// Give the home directories of hosts a small disk of their own, until they boot
    Disk {
        #[command(flatten)]
        hosts: Hosts,
        /// For example 5M
        #[arg(long)]
        size: String,
    },
    /// Let nothing be executed in the home directories, /tmp and /var/tmp of hosts, until they boot
    Noexec(Hosts),
    /// Make hosts misbehave; `well` wipes them and makes them well again
    Misbehave {
        #[command(flatten)]
        hosts: Hosts,
        /// How
        #[arg(value_enum)]
        kind: Kind,
    },
    /// Show what a host wrote on its disk, in /tmp, /run and /dev/shm, as JSON
    Files {
        /// The host
        host: String,
    },
    /// Show the processes of a host, as JSON
    Processes {
        /// The host
        host: String,
    },
}

#[derive(Debug, Args)]
#[group(skip)]
struct Up {
    /// How many hosts
    hosts: u16,
    /// The kind of network
    #[arg(long, value_enum, default_value = "lan")]
    profile: Profile,
    #[command(flatten)]
    link: Link,
    /// Draws losses, jitter and the profile's links; the same seed draws the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the hosts have in common
    #[arg(long, value_enum, default_value = "machines")]
    identity: Identity,
    /// Stay in the foreground; the lab goes down when this ends
    #[arg(long)]
    foreground: bool,
    /// Print the lab as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(skip)]
struct Hosts {
    /// h001, h[001-003,7] or all
    hosts: String,
}

#[derive(Debug, Args)]
#[group(skip)]
struct Link {
    /// Time that each direction of a host's link takes, for example 80ms
    #[arg(long, value_parser = |text: &str| parse_duration(text))]
    delay: Option<u64>,
    /// By how much it varies to either side
    #[arg(long, value_parser = |text: &str| parse_duration(text))]
    jitter: Option<u64>,
    /// Share of packets lost in each direction, for example 1%
    #[arg(long, value_parser = |text: &str| parse_share(text))]
    loss: Option<f64>,
    /// Share of packets that arrive twice
    #[arg(long, value_parser = |text: &str| parse_share(text))]
    duplicate: Option<f64>,
    /// Share of packets that overtake those before them
    #[arg(long, value_parser = |text: &str| parse_share(text))]
    reorder: Option<f64>,
    /// Share of packets with a flipped bit
    #[arg(long, value_parser = |text: &str| parse_share(text))]
    corrupt: Option<f64>,
    /// Rate of each direction, for example 10mbit; 0bit is unlimited
    #[arg(long, value_parser = |text: &str| parse_rate(text))]
    rate: Option<u64>,
}

impl Link {
    fn change(&self, base: LinkChange) -> LinkChange {
        LinkChange {
            delay_us: self.delay.or(base.delay_us),
            jitter_us: self.jitter.or(base.jitter_us),
            loss: self.loss.or(base.loss),
            duplicate: self.duplicate.or(base.duplicate),
            reorder: self.reorder.or(base.reorder),
            corrupt: self.corrupt.or(base.corrupt),
            rate_bps: self.rate.or(base.rate_bps),
        }
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("plush-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    for name in remove_stale_labs() {
        eprintln!("plush-lab: removed what was left of the lab {name}, which was killed");
    }
    let name = arguments.name;
    match arguments.action {
        Action::Up(up) => return bring_up(name, up),
        Action::List => list_labs().iter().for_each(|name| say!("{name}")),
        Action::Down => find(name)?.down()?,
        Action::Status { json } => status(&find(name)?, json)?,
        Action::Exec { command } => return exec(&find(name)?, &command),
        Action::Ssh { host, command } => {
            let mut ssh = find(name)?.ssh(&host)?;
            return Err(ssh.args(command).exec()).context("cannot start ssh");
        }
        Action::On { host, command } => return run_on(&find(name)?, &host, &command),
        Action::PowerOff(on) => find(name)?.power_off(&on.hosts)?,
        Action::Boot(on) => find(name)?.boot(&on.hosts)?,
        Action::Reboot { hosts, wipe } => {
            find(name)?.reboot(&hosts.hosts, if wipe { DiskFate::Wiped } else { DiskFate::Kept })?
        }
        Action::Unplug(on) => find(name)?.unplug(&on.hosts)?,
        Action::Plug(on) => find(name)?.plug(&on.hosts)?,
        Action::Partition { from, to, one_way } => {
            find(name)?.partition(
                &from,
                &to,
                if one_way { Direction::Forth } else { Direction::Both },
            )?;
        }
        Action::Heal => find(name)?.heal()?,
        Action::Link { hosts, link, only, reset } => {
            let base = if reset {
                LinkChange::to_exactly(Default::default())
            } else {
                LinkChange::default()
            };
            let direction = match only.as_deref() {
                Some("up") => Direction::Forth,
                Some(_) => Direction::Back,
                None => Direction::Both,
            };
            find(name)?.shape(&hosts.hosts, link.change(base), direction)?;
        }
        Action::Freeze(on) => find(name)?.freeze(&on.hosts)?,
        Action::Thaw(on) => find(name)?.thaw(&on.hosts)?,
        Action::Pause => find(name)?.freeze("all")?,
        Action::Disk { hosts, size } => find(name)?.disk(&hosts.hosts, parse_bytes(&size)?)?,
        Action::Noexec(on) => find(name)?.noexec(&on.hosts)?,
        Action::Misbehave { hosts, kind } => find(name)?.misbehave(&hosts.hosts, kind)?,
        Action::Files { host } => {
            say!("{}", serde_json::to_string_pretty(&find(name)?.snapshot_files(&host)?)?)
        }
        Action::Processes { host } => {
            say!("{}", serde_json::to_string_pretty(&find(name)?.processes(&host)?)?)
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The lab that is meant: the named one, or the only one.
fn find(name: Option<String>) -> Result<Lab> {
    if let Some(name) = name {
        return Lab::find(&name);
    }
    match &list_labs()[..] {
        [] => bail!("no lab is up (plush-lab up 5 brings one up)"),
        [only] => Lab::find(only),
        several => bail!("several labs are up ({}): choose one with --name", several.join(", ")),
    }
}

fn bring_up(name: Option<String>, up: Up) -> Result<ExitCode> {
    let options = LabOptions {
        name: Some(name.unwrap_or_else(|| "lab".to_owned())),
        hosts: up.hosts,
        profile: up.profile,
        link: up.link.change(LinkChange::default()),
        seed: up.seed,
        identity: up.identity,
    };
    let lab = if up.foreground { Lab::up(options)? } else { Lab::up_until_down(options)? };
    if up.json {
        say!("{}", serde_json::to_string_pretty(&lab.report()?)?);
    } else {
        let (first, last) = (&lab.hosts()[0], &lab.hosts()[lab.hosts().len() - 1]);
        say!("lab {}: {} hosts, {} to {}", lab.name(), lab.hosts().len(), first.name, last.name);
        say!("ssh_config   {}", lab.ssh_config_path().display());
        say!("known_hosts  {}", lab.known_hosts_path().display());
        say!("identity     {}", lab.identity_path().display());
        say!("inventory    {}", lab.inventory_path().display());
        say!("directory    {}", lab.directory_file_path().display());
        say!(
            "try: plush-lab ssh {} hostname; plush-lab exec -- ssh {} uptime",
            first.name,
            first.name
        );
    }
    if up.foreground {
        lab.await_end()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn status(lab: &Lab, json: bool) -> Result<()> {
    let report = lab.report()?;
    if json {
        say!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    say!("lab {} in {}, controller {}", report.name, report.directory.display(), report.controller);
    for host in report.hosts {
        let power = match host.power {
            Power::On => "on",
            Power::Off => "off",
            Power::Frozen => "frozen",
        };
        let cable = if host.plugged { "" } else { " unplugged" };
        let link = if host.up == host.down {
            host.up.to_string()
        } else {
            format!("up {}, down {}", host.up, host.down)
        };
        say!("{:6} {:14} {power}{cable}  {link}", host.name, host.address);
    }
    Ok(())
}

fn exec(lab: &Lab, words: &[String]) -> Result<ExitCode> {
    let mut command = lab.command_in_controller(&words[0])?;
    Err(command.args(&words[1..]).exec()).with_context(|| format!("cannot run {}", words[0]))
}

fn run_on(lab: &Lab, host: &str, words: &[String]) -> Result<ExitCode> {
    let mut command: Command = lab.command_on(host, &words[0])?;
    let status = command
        .args(&words[1..])
        .status()
        .with_context(|| format!("cannot run {} on {host}", words[0]))?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
