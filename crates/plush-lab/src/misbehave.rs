//! Hosts that misbehave, each in one way that real ones do.
//!
//! Not faults of the network or of power: those are methods of the lab.

use crate::disk::USER;
use crate::key;
use crate::lab::Lab;
use crate::protocol::{DiskFate, RootKind, Service};
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::process::Stdio;

/// How a host misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Not at all: wiped, with its first host key, booted.
    Well,
    /// sshd shows another host key than known_hosts has.
    WrongHostKey,
    /// No key is let in.
    AuthRefused,
    /// Port 22 accepts and says nothing.
    Silent,
    /// Port 22 sends an SSH banner and then nothing.
    BannerOnly,
    /// Port 22 sends a line that is no SSH banner every second, for ever.
    JunkBanner,
    /// Port 22 answers as a web server.
    Http,
    /// Nothing but busybox and sshd.
    BusyboxOnly,
    /// The login shell is csh.
    CshLogin,
    /// The login shell lets nobody in.
    Nologin,
    /// The shell's start-up files print 1 MiB of binary noise.
    NoisyLogin,
    /// The shell's start-up files never end.
    HangingLogin,
    /// The home directories are full.
    FullHome,
    /// Home directories, /tmp, /var/tmp, /run and /dev/shm are full.
    FullDisk,
    /// Home directories cannot be written.
    ReadOnlyHome,
    /// Nothing can be executed in home directories, /tmp and /var/tmp.
    NoexecHome,
    /// Nothing can be executed in any place that can be written.
    NoexecAll,
}

/// Makes the hosts misbehave.
pub fn apply(lab: &Lab, hosts: &str, kind: Kind) -> Result<()> {
    match kind {
        Kind::Well => lab.reboot_into(hosts, DiskFate::Wiped, RootKind::Machine),
        Kind::WrongHostKey => change_host_key(lab, hosts),
        Kind::AuthRefused => lab.script(
            hosts,
            &format!("rm -f /root/.ssh/authorized_keys /home/{USER}/.ssh/authorized_keys"),
        ),
        Kind::Silent => lab.serve(hosts, Service::Silent),
        Kind::BannerOnly => lab.serve(hosts, Service::BannerOnly),
        Kind::JunkBanner => lab.serve(hosts, Service::JunkBanner),
        Kind::Http => lab.serve(hosts, Service::Http),
        Kind::BusyboxOnly => lab.reboot_into(hosts, DiskFate::Kept, RootKind::Busybox),
        Kind::CshLogin => lab.script(hosts, &login_shell("/bin/csh")),
        Kind::Nologin => lab.script(hosts, &login_shell("/usr/sbin/nologin")),
        Kind::NoisyLogin => lab.script(hosts, &start_up_files("head -c 1048576 /dev/urandom")),
        Kind::HangingLogin => lab.script(hosts, &start_up_files("sleep 100000")),
        Kind::FullHome => lab.script(hosts, &small_and_full(&homes())),
        Kind::FullDisk => lab.script(hosts, &small_and_full(&everywhere())),
        Kind::ReadOnlyHome => lab.script(hosts, &remounted(&homes(), "ro")),
        Kind::NoexecHome => lab.script(
            hosts,
            &remounted(&[homes(), vec!["/tmp".into(), "/var/tmp".into()]].concat(), "noexec"),
        ),
        Kind::NoexecAll => lab.script(hosts, &remounted(&everywhere(), "noexec")),
    }
}

/// Gives each home directory a disk of its own of this size, with what is in it.
pub fn small_homes(size_bytes: u64) -> String {
    homes().iter().map(|place| small(place, &format!("{size_bytes}"))).collect()
}

fn homes() -> Vec<String> {
    vec!["/root".to_owned(), format!("/home/{USER}")]
}

fn everywhere() -> Vec<String> {
    [homes(), ["/tmp", "/var/tmp", "/run", "/dev/shm"].map(str::to_owned).to_vec()].concat()
}

/// A small disk is mounted beside the place, filled with what is in it, and moved onto it.
fn small(place: &str, size: &str) -> String {
    format!(
        "set -e; umask 022; mkdir -p /mnt/plush-lab; mount -t tmpfs -o size={size} tmpfs /mnt/plush-lab; \
         cp -a {place}/. /mnt/plush-lab/; mount --move /mnt/plush-lab {place}; rmdir /mnt/plush-lab\n"
    )
}

fn small_and_full(places: &[String]) -> String {
    let fill = |place: &String| {
        format!("{}cat /dev/zero > {place}/.full 2>/dev/null || true\n", small(place, "256k"))
    };
    places.iter().map(fill).collect()
}

fn remounted(places: &[String], option: &str) -> String {
    places
        .iter()
        .map(|place| {
            format!(
                "set -e; mount --bind {place} {place}; mount -o remount,bind,{option} {place}\n"
            )
        })
        .collect()
}

fn login_shell(shell: &str) -> String {
    format!(
        "test -x {shell} || {{ echo {shell} is not installed >&2; exit 1; }}; sed -i -E '/^(root|{USER}):/s|[^:]*$|{shell}|' /etc/passwd"
    )
}

fn start_up_files(line: &str) -> String {
    let write = |home: &String| {
        format!(
            "for file in .bashrc .profile .bash_profile .cshrc; do echo '{line}' > {home}/$file; done\n"
        )
    };
    homes().iter().map(write).collect()
}

/// A new key in the host's files; sshd starts again with it.
fn change_host_key(lab: &Lab, hosts: &str) -> Result<()> {
    for host in lab.names(hosts)? {
        let pair = key::generate(&host)?;
        let mut command = lab.command_on(&host, "/bin/sh")?;
        command.arg("-c").arg("cat > /etc/ssh/ssh_host_ed25519_key").stdin(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run a shell on {host}"))?;
        let mut input = child.stdin.take().expect("the input was asked for");
        input
            .write_all(pair.private_file.as_bytes())
            .with_context(|| format!("cannot send {host} its new key"))?;
        drop(input);
        if !child.wait().context("cannot wait for a shell")?.success() {
            bail!("{host} cannot write its new key");
        }
        lab.serve(&host, Service::Sshd)?;
    }
    Ok(())
}
