//! The system calls that no safe wrapper offers: the only file of this crate with `unsafe` in it.
//! Not a place for anything that `rustix` or the standard library can do.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What to execute for another process of this program: the very file that runs, also if its name is gone; where
/// there is no `/proc` the name that it was started by. To be called before the working directory changes.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let this = Path::new("/proc/self/exe");
        if this.exists() { this.to_owned() } else { program_name() }
    })
}

/// The name of the file that runs.
pub fn program_name() -> PathBuf {
    std::fs::read_link("/proc/self/exe").unwrap_or_else(|_| {
        // SAFETY: AT_EXECFN is the address of a string that the kernel placed on the stack, which lasts as long as
        // the process and is not changed; or 0.
        let name = unsafe {
            let address = libc::getauxval(libc::AT_EXECFN) as *const libc::c_char;
            if address.is_null() { c"" } else { CStr::from_ptr(address) }
        };
        let name = Path::new(OsStr::from_bytes(name.to_bytes()));
        std::path::absolute(name).unwrap_or_else(|_| name.to_owned())
    })
}

/// Blocks SIGCHLD for this thread and gives a descriptor that is readable when a child changes.
///
/// The mask is inherited by children: [`reset_signals`] undoes it there.
pub fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: `set` is initialised by sigemptyset before it is read; signalfd returns a descriptor that nobody
    // else owns, or -1.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Every signal does what it does by default, and none is blocked: how a program expects to be started (P11).
pub fn reset_signals() {
    // The kernel's own structure, all zero: SIG_DFL, no flags, no restorer, an empty mask. Its length is that of
    // the longest one of any architecture, so that the kernel reads nothing beyond it.
    let default = [0u64; 8];
    const SIGSET_BYTES: usize = 8;
    // SAFETY: the kernel only reads `default`; SIG_DFL is valid for every signal, and what it refuses (KILL, STOP)
    // changes nothing. The call goes past the C library, which keeps two signals to itself; this process
    // is about to execute another program and has one thread. `set` is initialised before it is read.
    unsafe {
        for signal in 1..=64 {
            let nothing = std::ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), nothing, SIGSET_BYTES);
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Starts a program with this umask; this process keeps its own.
pub fn begin_with_umask(command: &mut Command, umask: u32) {
    // SAFETY: between fork and exec only umask(2) is called, which is async-signal-safe and takes a
    // number.
    unsafe {
        command.pre_exec(move || {
            libc::umask(umask);
            Ok(())
        });
    }
}

/// Closes every descriptor from 3 on that this process was started with.
///
/// To be called first in `main`, while no Rust value owns a descriptor.
pub fn close_inherited_descriptors() {
    // SAFETY: nothing in this process has opened a descriptor yet, so no owner is robbed.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) } == 0;
    if closed {
        return;
    }
    for fd in 3..1024 {
        // SAFETY: as above; closing a number that is not open fails harmlessly.
        unsafe { libc::close(fd) };
    }
}

/// Replaces this process by a program, without the C library's detour over a shell for unknown formats.
/// Comes back only with the reason why not.
pub fn execute(program: &CString, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: all strings end with NUL and outlive the call; both lists end with a null pointer.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// An alarm that the runtime waits for.
pub fn register(
    alarm: crate::clock::Alarm,
) -> io::Result<tokio::io::unix::AsyncFd<crate::clock::Alarm>> {
    // SAFETY: an alarm owns one descriptor from its making to its end, and its `as_raw_fd` always names that one.
    unsafe { tokio::io::unix::AsyncFd::register(alarm) }.map_err(io::Error::from)
}
