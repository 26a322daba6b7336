//! Making and entering namespaces, and children that end with their parent.
//!
//! Not what is inside them: a host's root is `mounts`, its network `tun`.

use anyhow::{Context as _, Result};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};

/// The namespaces of a host but for its network, which is there before it.
const OF_A_HOST: libc::c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;

/// Which namespaces a child gets of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart {
    Nothing,
    Host,
}

/// Forks; in the child `work` runs with only the descriptors in `kept`, and its result ends the process.
///
/// The child is killed when this process ends. Only for processes with one thread: the child has no other.
pub fn fork(apart: Apart, kept: &[RawFd], work: impl FnOnce() -> i32) -> io::Result<i32> {
    let flags = match apart {
        Apart::Nothing => 0,
        Apart::Host => OF_A_HOST,
    };
    // SAFETY: a fork by its raw name; this process has one thread, so the child may use everything.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: plain system calls with constant arguments.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            close_all_but(kept);
            let code = work();
            // SAFETY: ends the process without running the parent's exit handlers.
            unsafe { libc::_exit(code) }
        }
        pid => Ok(i32::try_from(pid).expect("a process id fits")),
    }
}

/// Moves this process into a namespace of its own.
pub fn unshare(flags: libc::c_int, what: &str) -> Result<()> {
    // SAFETY: plain system call.
    match unsafe { libc::unshare(flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error())
            .with_context(|| format!("cannot make {what}: plush-lab needs root (try sudo)")),
    }
}

/// Opens a namespace of a process: `net`, `mnt`, `pid`, `uts`, `ipc`.
pub fn of_process(pid: i32, kind: &str) -> Result<File> {
    let path = format!("/proc/{pid}/ns/{kind}");
    File::open(&path).with_context(|| format!("cannot open the namespace {path}"))
}

/// Moves this process into the namespace.
pub fn enter(namespace: &File) -> io::Result<()> {
    // SAFETY: plain system call on an open descriptor.
    match unsafe { libc::setns(namespace.as_raw_fd(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for a child and tells its exit code; 128 and more for signals.
pub fn wait_for(pid: i32) -> i32 {
    let mut status = 0;
    loop {
        // SAFETY: waits for a child of ours; the status is ours.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if waited == pid {
            break;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return 127;
        }
    }
    if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}

/// Sends a signal; that the process is gone is fine.
pub fn signal(pid: i32, signal: libc::c_int) {
    // SAFETY: plain system call.
    unsafe { libc::kill(pid, signal) };
}

/// Names this machine, as its namespace sees it.
pub fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `name`.
    match unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Names this process in lists of processes.
pub fn set_process_name(name: &std::ffi::CStr) {
    // SAFETY: the name ends with a zero byte.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// What root on a host must not do to the machine that all hosts share: its clock and its modules.
pub fn drop_machine_wide_powers() {
    const SYS_MODULE: libc::c_ulong = 16;
    const SYS_RAWIO: libc::c_ulong = 17;
    const SYS_TIME: libc::c_ulong = 25;
    for power in [SYS_MODULE, SYS_RAWIO, SYS_TIME] {
        // SAFETY: plain system call.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, power, 0, 0, 0) };
    }
}

fn close_all_but(kept: &[RawFd]) {
    let mut kept: Vec<RawFd> = kept.iter().copied().filter(|fd| *fd > 2).collect();
    kept.sort_unstable();
    let mut first: libc::c_uint = 3;
    for fd in kept {
        let fd = fd as libc::c_uint;
        if fd > first {
            // SAFETY: the child closes copies of descriptors that it does not use.
            unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) };
        }
        first = fd + 1;
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
}
