//! A lab, a home for the operator, and what every host looked like before: a test's whole world.
//! Not the product's process: that is `product`.

use crate::product::{Running, Said};
use plush_lab::{FileEntry, Lab, LabOptions, ProcessEntry};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What is timed in one lab must not wait for another.
static TURN: Mutex<()> = Mutex::new(());

/// An agent ends when the controller has its last word, so shortly after the run; on a busy machine later.
const LEAVING: Duration = Duration::from_secs(20);

/// What a host looks like from outside.
#[derive(Debug, PartialEq, Eq)]
pub struct Look {
    files: Vec<FileEntry>,
    /// Numbers are of no account: sshd is started anew by some faults.
    processes: Vec<String>,
}

/// A lab and an operator in front of it.
pub struct Stage {
    pub lab: Lab,
    pub home: TempDir,
    before: BTreeMap<String, Look>,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// None, said aloud, where labs cannot be.
    pub fn with_hosts(hosts: u16) -> Option<Stage> {
        Stage::of(LabOptions::with_hosts(hosts))
    }

    pub fn of(options: LabOptions) -> Option<Stage> {
        if !rustix::process::geteuid().is_root() {
            // Written past the capture of output, so that it is seen though the test passes.
            let mut terminal = std::io::stderr();
            terminal.write_all(b"\nSKIPPED, NOTHING WAS TESTED: a lab needs root\n").unwrap();
            return None;
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = Lab::up(options).unwrap();
        let home = tempfile::tempdir().unwrap();
        let mut stage = Stage { lab, home, before: BTreeMap::new(), _turn: turn };
        stage.remember();
        Some(stage)
    }

    /// Hosts are to look again as they look now: called once more when a test has changed hosts.
    pub fn remember(&mut self) {
        let names: Vec<String> = self.lab.hosts().iter().map(|host| host.name.clone()).collect();
        self.before = names.into_iter().map(|name| (name.clone(), self.look(&name))).collect();
    }

    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The product, as an operator on the lab's network calls it.
    pub fn plush(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.command_in_controller(env!("CARGO_BIN_EXE_plush")).unwrap();
        command.args(arguments).current_dir(self.home.path());
        command.env_remove("XDG_STATE_HOME").env_remove("XDG_CONFIG_HOME");
        command.env_remove("SSH_AUTH_SOCK");
        command.env("HOME", self.home.path()).env("TZ", "UTC").env("TMPDIR", self.home.path());
        command
    }

    /// Kills the controllers of this stage's runs; their front ends and agents live on.
    pub fn kill_controller(&self) {
        self.signal_controller(rustix::process::Signal::KILL);
    }

    /// Sends a signal to the controllers of this stage's runs, of which there is one at least.
    pub fn signal_controller(&self, signal: rustix::process::Signal) {
        assert!(self.signal_controllers(signal) > 0, "there is no controller");
    }

    /// Sends a signal to the controllers of this stage's runs and to nobody else; how many there were.
    pub fn signal_controllers(&self, signal: rustix::process::Signal) -> usize {
        let controllers = self.controllers();
        // It may have come to its end this very moment.
        let told = controllers.into_iter().map(|pid| rustix::process::kill_process(pid, signal));
        told.filter(Result::is_ok).count()
    }

    /// The controllers of this stage's runs.
    pub fn controllers(&self) -> Vec<rustix::process::Pid> {
        let mark = self.home.path().to_str().unwrap().to_owned();
        let controls = |pid: &rustix::process::Pid| {
            let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
            line.is_ok_and(|line| line.split(|b| *b == 0).any(|word| word == b"controller"))
        };
        processes_naming(&mark).into_iter().filter(controls).collect()
    }

    /// Any command of the product, to its end.
    pub fn call(&self, arguments: &[&str]) -> Said {
        Running::start(self.plush(arguments)).end()
    }

    /// `plush run FILE` with the lab's configuration, under way.
    pub fn begin(&self, file: &str, flags: &[&str]) -> Running {
        Running::start(self.plush_run(file, flags))
    }

    pub fn plush_run(&self, file: &str, flags: &[&str]) -> Command {
        let config = self.lab.ssh_config_path();
        let fixed = ["run", file, "-y", "-F", config.to_str().unwrap()];
        self.plush(&[&fixed, flags].concat())
    }

    /// `plush run FILE --json`, to its end.
    pub fn run(&self, file: &str, flags: &[&str]) -> Said {
        self.begin(file, &[&["--json"], flags].concat()).end()
    }

    /// Runs shell text on a host, as root, with these bytes on its standard input.
    pub fn feed(&self, host: &str, shell_text: &str, bytes: &[u8]) {
        let mut command = self.lab.command_on(host, "/bin/sh").unwrap();
        let mut child = command.args(["-c", shell_text]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        assert!(child.wait().unwrap().success(), "{host}: {shell_text}");
    }

    /// The directories of the runs there were, oldest first.
    pub fn runs(&self) -> Vec<PathBuf> {
        let all = self.home.path().join(".local/state/plush/runs");
        let Ok(found) = std::fs::read_dir(all) else { return Vec::new() };
        let mut found: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
        found.sort_by_key(|path| path.metadata().unwrap().created().unwrap());
        found
    }

    /// No process and no file of ours is on any host; the lab's own noise aside, all is as it was.
    pub fn assert_nothing_left(&self) {
        for host in self.before.keys() {
            self.assert_nothing_left_on(host);
        }
        self.assert_no_controller_left();
    }

    pub fn assert_nothing_left_on(&self, host: &str) {
        let before = &self.before[host];
        let limit = Instant::now() + LEAVING;
        loop {
            let now = self.look(host);
            if now == *before {
                return;
            }
            // From outside of a host nothing tells when its last process has gone.
            assert!(Instant::now() < limit, "on {host} something is left: {}", apart(before, &now));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The directories of local hosts and sockets are below the operator's temporary directory.
    pub fn assert_no_controller_left(&self) {
        let temporary = self.home.path().join("plush-0");
        let left = std::fs::read_dir(temporary).map(|all| all.count()).unwrap_or(0);
        assert_eq!(left, 0, "something is left beside the run directory");
    }

    fn look(&self, host: &str) -> Look {
        // A host that is off has none.
        let found = self.lab.processes(host).unwrap_or_default();
        let mut processes: Vec<String> = found.iter().map(described).collect();
        processes.sort();
        Look { files: self.lab.snapshot_files(host).unwrap(), processes }
    }
}

impl Drop for Stage {
    /// Controllers outlive front ends: what a failed test has left is ended, by its number.
    fn drop(&mut self) {
        if std::thread::panicking() {
            crate::evidence::show(self);
        }
        let mark = self.home.path().to_str().unwrap().to_owned();
        for process in processes_naming(&mark) {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
    }
}

/// A server changes its title once it listens, and counts its logins in it: it is told by its name.
fn described(process: &ProcessEntry) -> String {
    if process.name == "sshd" && process.command.contains("/sshd -D") {
        // It rewrites its command line once it listens, and counts there who is logging in.
        return "the lab's sshd".to_owned();
    }
    let is_listener = process.name == "sshd" && !process.command.contains('@');
    let command = if is_listener { "" } else { &process.command };
    format!("{} {} {command}", process.uid, process.name)
}

fn apart(before: &Look, now: &Look) -> String {
    let files = now.files.iter().filter(|file| !before.files.contains(file));
    let gone = before.files.iter().filter(|file| !now.files.contains(file));
    let files: Vec<_> = files.map(|file| file.path.display().to_string()).collect();
    let gone: Vec<_> = gone.map(|file| file.path.display().to_string()).collect();
    let processes: Vec<_> =
        now.processes.iter().filter(|process| !before.processes.contains(process)).collect();
    format!("files {files:?}, processes {processes:?}; missing or changed {gone:?}")
}

/// Processes of this machine whose command line names this directory.
pub fn processes_naming(mark: &str) -> Vec<rustix::process::Pid> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let names = |pid: &i32| {
        let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline"));
        line.is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
    };
    numbers.filter(names).filter_map(rustix::process::Pid::from_raw).collect()
}
