//! The command `plush-lab`: emulated hosts on one Linux machine, for people.
//!
//! Not the lab itself: that is this package's library.

#[cfg(target_os = "linux")]
mod commands;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    commands::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!(
        "plush-lab: labs are made of Linux namespaces; run this on Linux (a virtual machine will do)"
    );
    std::process::ExitCode::FAILURE
}
