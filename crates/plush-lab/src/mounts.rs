//! Putting a host's root file system together and moving into it.
//!
//! Runs in the host's own mount namespace; what is on the disk is `disk`.

use crate::disk::{Disk, make_directory};
use crate::protocol::RootKind;
use anyhow::{Context as _, Result};
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::ffi::CString;
use std::path::{Path, PathBuf};

/// File systems of the machine that hold programs and so are shown to hosts, read-only.
const DISK_TYPES: [&str; 8] = ["ext4", "ext3", "xfs", "btrfs", "f2fs", "zfs", "squashfs", "erofs"];

/// Makes this process's mounts its own: nothing that is mounted from here is seen elsewhere.
pub fn make_private() -> Result<()> {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("cannot make the mounts private")
}

/// Like [`make_private`], but mounts that the machine makes later still appear.
pub fn make_downstream() -> Result<()> {
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context("cannot make the mounts private")
}

/// Mounts memory at this directory.
pub fn mount_memory(target: &Path, options: &str) -> Result<()> {
    mount("tmpfs", target, "tmpfs", MountFlags::NOSUID, options)
}

/// Shows `source` at `target`.
pub fn bind(source: &Path, target: &Path) -> Result<()> {
    rustix::mount::mount_bind(source, target)
        .with_context(|| format!("cannot mount {} at {}", source.display(), target.display()))
}

/// Takes a mount away, at once or with its last user; that there is none is fine.
pub fn let_go(target: &Path) {
    let _ = rustix::mount::unmount(target, UnmountFlags::DETACH);
}

/// Puts the root of a host together and moves this process into it.
pub fn move_into_host(disk: &Disk, kind: RootKind) -> Result<()> {
    make_private()?;
    let root = disk.root();
    match kind {
        RootKind::Machine => overlay_the_machine(disk)?,
        RootKind::Busybox => bind(&disk.busybox(), &root)?,
    }
    mount_memory(&root.join("tmp"), "mode=1777")?;
    mount_memory(&root.join("run"), "mode=755")?;
    make_directory(&root.join("run/sshd"), 0o755)?;
    make_directory(&root.join("run/lock"), 0o1777)?;
    mount_devices(&root.join("dev"))?;
    mount(
        "proc",
        &root.join("proc"),
        "proc",
        MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
        "",
    )?;
    mount(
        "sysfs",
        &root.join("sys"),
        "sysfs",
        MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
        "",
    )?;
    protect_the_machine(&root)?;
    bind(&disk.boot_id(), &root.join("proc/sys/kernel/random/boot_id"))?;
    change_root(&root)
}

fn overlay_the_machine(disk: &Disk) -> Result<()> {
    let root = disk.root();
    let options =
        format!("lowerdir=/,upperdir={},workdir={}", disk.upper().display(), disk.work().display());
    mount("plush-lab", &root, "overlay", MountFlags::empty(), &options)?;
    for place in other_disks()? {
        let target = root.join(place.strip_prefix("/").expect("mount points are absolute"));
        if target.is_dir() {
            bind(&place, &target)?;
            let read_only = MountFlags::BIND | MountFlags::RDONLY;
            rustix::mount::mount_remount(&target, read_only, "")
                .with_context(|| format!("cannot make {} read-only", target.display()))?;
        }
    }
    Ok(())
}

/// Mount points of the machine's further disks, those with people's files aside.
fn other_disks() -> Result<Vec<PathBuf>> {
    let table =
        std::fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    let hidden = ["/home", "/root", "/tmp", "/run", "/boot", "/var/tmp", "/mnt", "/media"];
    let mut places: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (place, kind) = (Path::new(fields.next()?), fields.next()?);
            let shown = DISK_TYPES.contains(&kind)
                && place != Path::new("/")
                && !hidden.iter().any(|dir| place.starts_with(dir));
            shown.then(|| place.to_owned())
        })
        .collect();
    places.sort();
    places.dedup();
    Ok(places)
}

fn mount_devices(dev: &Path) -> Result<()> {
    mount("tmpfs", dev, "tmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, "mode=755")?;
    for (name, major, minor) in [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ] {
        let (path, mode) = (dev.join(name), Mode::from_raw_mode(0o666));
        rustix::fs::mknodat(
            CWD,
            &path,
            FileType::CharacterDevice,
            mode,
            rustix::fs::makedev(major, minor),
        )
        .with_context(|| format!("cannot create {}", path.display()))?;
        rustix::fs::chmod(&path, mode)
            .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        std::os::unix::fs::symlink(target, dev.join(name))
            .with_context(|| format!("cannot create /dev/{name}"))?;
    }
    for name in ["pts", "shm"] {
        make_directory(&dev.join(name), 0o755)?;
    }
    mount(
        "devpts",
        &dev.join("pts"),
        "devpts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        "newinstance,ptmxmode=0666,mode=0620,gid=5",
    )?;
    mount_memory(&dev.join("shm"), "mode=1777")
}

/// The kernel's settings belong to the machine: hosts read them only.
fn protect_the_machine(root: &Path) -> Result<()> {
    for name in ["proc/sys", "proc/sysrq-trigger"] {
        let path = root.join(name);
        if path.exists() {
            bind(&path, &path)?;
            rustix::mount::mount_remount(&path, MountFlags::BIND | MountFlags::RDONLY, "")
                .with_context(|| format!("cannot make {} read-only", path.display()))?;
        }
    }
    Ok(())
}

fn change_root(root: &Path) -> Result<()> {
    std::env::set_current_dir(root).with_context(|| format!("cannot go to {}", root.display()))?;
    rustix::process::pivot_root(".", ".").context("cannot change the root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)
        .context("cannot let the machine's root go")?;
    std::env::set_current_dir("/").context("cannot go to the new root")
}

fn mount(source: &str, target: &Path, kind: &str, flags: MountFlags, options: &str) -> Result<()> {
    let options = CString::new(options).expect("mount options hold no zero byte");
    rustix::mount::mount(source, target, kind, flags, options.as_c_str())
        .with_context(|| format!("cannot mount {kind} at {}", target.display()))
}
