//! Starting a program inside a lab: in the controller's namespaces, or on a host as if it had been there.
//!
//! Not by SSH: this is how tests look at a host from outside, whatever its network does.

use crate::namespace;
use anyhow::Result;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

const HOST_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program in the controller's network, where the hosts' names resolve; in the same working directory.
pub fn in_controller(supervisor_pid: i32, program: impl AsRef<OsStr>) -> Result<Command> {
    let network = namespace::of_process(supervisor_pid, "net")?;
    let mounts = namespace::of_process(supervisor_pid, "mnt")?;
    let mut command = Command::new(program);
    // SAFETY: the closure makes system calls only and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            let mut place = [0_u8; 4096];
            let known = !libc::getcwd(place.as_mut_ptr().cast(), place.len()).is_null();
            namespace::enter(&network)?;
            namespace::enter(&mounts)?;
            if known && libc::chdir(place.as_ptr().cast()) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    Ok(command)
}

/// A program on the host whose init is `init_pid`, as root, in `/`. It is killed when the [`std::process::Child`] is.
pub fn on_host(init_pid: i32, program: impl AsRef<OsStr>) -> Result<Command> {
    let namespaces: Vec<File> = ["net", "uts", "ipc", "pid", "mnt"]
        .iter()
        .map(|kind| namespace::of_process(init_pid, kind))
        .collect::<Result<_>>()?;
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", HOST_PATH)
        .env("HOME", "/root")
        .env("USER", "root")
        .env("SHELL", "/bin/sh");
    // SAFETY: the closure makes system calls only and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            namespaces.iter().try_for_each(namespace::enter)?;
            continue_as_child()
        });
    }
    Ok(command)
}

/// Has the command inherit this descriptor, under its number.
pub fn leave_open(command: &mut Command, descriptor: RawFd) {
    // SAFETY: the closure makes one system call.
    unsafe {
        command.pre_exec(move || match libc::fcntl(descriptor, libc::F_SETFD, 0) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// A process enters a namespace of processes only by its children: goes on in one, and stays behind to hand on its end.
fn continue_as_child() -> io::Result<()> {
    // SAFETY: after the fork of a spawn there is one thread; only system calls follow.
    unsafe {
        match libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            }
            pid => stay_behind(pid as libc::pid_t),
        }
    }
}

/// Waits for the child and ends as it did.
///
/// # Safety
/// Only in the child of a fork: closes every descriptor.
unsafe fn stay_behind(pid: libc::pid_t) -> ! {
    // SAFETY: as the caller promises; the child has its own copies of the descriptors.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
        let mut status = 0;
        while libc::waitpid(pid, &raw mut status, 0) != pid {
            if *libc::__errno_location() != libc::EINTR {
                libc::_exit(127);
            }
        }
        if libc::WIFSIGNALED(status) {
            libc::signal(libc::WTERMSIG(status), libc::SIG_DFL);
            libc::kill(libc::getpid(), libc::WTERMSIG(status));
            libc::_exit(128 + libc::WTERMSIG(status));
        }
        libc::_exit(libc::WEXITSTATUS(status))
    }
}
