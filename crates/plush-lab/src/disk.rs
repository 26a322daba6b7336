//! What is written on a host's disk before it first boots: names, users, keys, sshd's configuration.
//!
//! Not how the disk is mounted: that is `mounts`.

use crate::key::KeyPair;
use anyhow::{Context as _, Result};
use rustix::fs::XattrFlags;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The user whom people and tools log in as, besides root.
pub const USER: &str = "plush";

/// Directories of the machine that a host does not see into.
const HIDDEN: [(&str, u32); 4] =
    [("home", 0o755), ("root", 0o700), ("var/tmp", 0o1777), ("etc/ssh", 0o755)];

/// What every host of a lab has alike.
#[derive(Debug)]
pub struct Furniture {
    hosts_file: String,
    authorized_key: String,
    accounts: Accounts,
}

/// The machine's users with the lab's user among them.
#[derive(Debug)]
struct Accounts {
    passwd: String,
    group: String,
    shadow: String,
    id: u32,
}

/// The places of one host's disk.
#[derive(Debug, Clone)]
pub struct Disk {
    pub directory: PathBuf,
}

impl Disk {
    /// The layer over the machine's root that holds all that the host changed.
    pub fn upper(&self) -> PathBuf {
        self.directory.join("upper")
    }

    pub fn work(&self) -> PathBuf {
        self.directory.join("work")
    }

    /// Where the root is put together before it becomes the root.
    pub fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// A root that stands alone.
    pub fn busybox(&self) -> PathBuf {
        self.directory.join("busybox")
    }

    pub fn boot_id(&self) -> PathBuf {
        self.directory.join("boot_id")
    }

    /// Gives the host a machine id of its own; without it the machine's own shows through.
    pub fn set_machine_id(&self, id: &str) -> Result<()> {
        let path = self.upper().join("etc/machine-id");
        std::fs::write(&path, format!("{id}\n"))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Furniture {
    pub fn new(hosts_file: String, lab_key: &KeyPair) -> Result<Furniture> {
        Ok(Furniture {
            hosts_file,
            authorized_key: format!("{} plush-lab\n", lab_key.public_line),
            accounts: Accounts::of_this_machine()?,
        })
    }

    /// Writes a fresh disk for a host with the machine's root.
    pub fn furnish(&self, disk: &Disk, name: &str, host_key: &KeyPair) -> Result<()> {
        let upper = disk.upper();
        for directory in [&upper, &disk.work(), &disk.root()] {
            make_directory(directory, 0o755)?;
        }
        for (hidden, mode) in HIDDEN {
            let path = upper.join(hidden);
            make_directory(&path, mode)?;
            rustix::fs::setxattr(&path, "trusted.overlay.opaque", b"y", XattrFlags::empty())
                .with_context(|| format!("cannot hide the machine's /{hidden} from a host"))?;
        }
        write(&upper.join("etc/passwd"), &self.accounts.passwd, 0o644)?;
        write(&upper.join("etc/group"), &self.accounts.group, 0o644)?;
        write(&upper.join("etc/shadow"), &self.accounts.shadow, 0o600)?;
        self.furnish_any(&upper, name)?;
        self.furnish_homes(&upper, self.accounts.id)?;
        self.furnish_sshd(&upper, host_key, Path::new("/etc/pam.d/sshd").exists())
    }

    /// Writes the parts of a root of busybox that are the lab's.
    pub fn furnish_busybox(&self, root: &Path, name: &str, host_key: &KeyPair) -> Result<()> {
        const ID: u32 = 1000;
        let passwd = format!(
            "root:x:0:0:root:/root:/bin/sh\nsshd:x:103:103::/run/sshd:/bin/false\n{USER}:x:{ID}:{ID}::/home/{USER}:/bin/sh\n"
        );
        write(&root.join("etc/passwd"), &passwd, 0o644)?;
        write(
            &root.join("etc/group"),
            &format!("root:x:0:\ntty:x:5:\nsshd:x:103:\n{USER}:x:{ID}:\n"),
            0o644,
        )?;
        write(
            &root.join("etc/shadow"),
            &format!("root:*:19000::::::\nsshd:*:19000::::::\n{USER}:*:19000::::::\n"),
            0o600,
        )?;
        self.furnish_any(root, name)?;
        self.furnish_homes(root, ID)?;
        self.furnish_sshd(root, host_key, false)
    }

    fn furnish_any(&self, root: &Path, name: &str) -> Result<()> {
        write(&root.join("etc/hostname"), &format!("{name}\n"), 0o644)?;
        write(&root.join("etc/hosts"), &self.hosts_file, 0o644)?;
        write(&root.join("etc/resolv.conf"), "", 0o644)
    }

    fn furnish_homes(&self, root: &Path, id: u32) -> Result<()> {
        for (home, owner, mode) in
            [("root".to_owned(), 0, 0o700), (format!("home/{USER}"), id, 0o755)]
        {
            let home = root.join(home);
            let (keys, file) = (home.join(".ssh"), home.join(".ssh/authorized_keys"));
            make_directory(&home, mode)?;
            make_directory(&keys, 0o700)?;
            write(&file, &self.authorized_key, 0o600)?;
            for path in [&home, &keys, &file] {
                std::os::unix::fs::chown(path, Some(owner), Some(owner))
                    .with_context(|| format!("cannot give {} away", path.display()))?;
            }
        }
        Ok(())
    }

    /// Debian's default configuration; what it does not name is as OpenSSH has it.
    fn furnish_sshd(&self, root: &Path, host_key: &KeyPair, pam: bool) -> Result<()> {
        let configuration = format!(
            "KbdInteractiveAuthentication no\nUsePAM {}\nX11Forwarding yes\nPrintMotd no\nAcceptEnv LANG LC_*\nSubsystem sftp {}\n",
            if pam { "yes" } else { "no" },
            "/usr/lib/openssh/sftp-server",
        );
        write(&root.join("etc/ssh/sshd_config"), &configuration, 0o644)?;
        write_host_key(root, host_key)
    }
}

/// Writes a host's key.
pub fn write_host_key(root: &Path, key: &KeyPair) -> Result<()> {
    write(&root.join("etc/ssh/ssh_host_ed25519_key"), &key.private_file, 0o600)?;
    write(&root.join("etc/ssh/ssh_host_ed25519_key.pub"), &format!("{}\n", key.public_line), 0o644)
}

/// Makes a directory and its parents, with this mode.
pub fn make_directory(path: &Path, mode: u32) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}

/// Writes a file and its parents, with this mode.
pub fn write(path: &Path, contents: &str, mode: u32) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}

impl Accounts {
    fn of_this_machine() -> Result<Accounts> {
        let (passwd, group) = (read_without_user("/etc/passwd")?, read_without_user("/etc/group")?);
        let taken = |id: u32| {
            [&passwd, &group].iter().any(|file| {
                file.lines().any(|line| line.split(':').nth(2) == Some(&id.to_string()))
            })
        };
        let id =
            (1000..60_000).find(|id| !taken(*id)).context("no user id is free on this machine")?;
        let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
        Ok(Accounts {
            passwd: format!("{passwd}{USER}:x:{id}:{id}:Lab user:/home/{USER}:{shell}\n"),
            group: format!("{group}{USER}:x:{id}:\n"),
            shadow: format!("root:*:19000:0:99999:7:::\n{USER}:*:19000:0:99999:7:::\n"),
            id,
        })
    }
}

fn read_without_user(path: &str) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let mine = format!("{USER}:");
    Ok(text
        .lines()
        .filter(|line| !line.starts_with(&mine))
        .map(|line| format!("{line}\n"))
        .collect())
}
