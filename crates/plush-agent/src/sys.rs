//! The system calls that no safe wrapper offers: the only file of this crate with `unsafe` in it.
//! Not a place for anything that `rustix` or the standard library can do.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

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
