//! Tasks that cannot be killed, or that leave a mess in their own directory. Needs root.

use crate::client::*;
use crate::groups::{NOBODY, host_of};
use plush_protocol::*;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::{Duration, Instant};

/// A freezer of cgroup v1: what is frozen there does not even die. It stands for a process that hangs in the kernel.
struct Freezer(PathBuf);

impl Freezer {
    /// `None`, said aloud, where there is none.
    fn make() -> Option<Freezer> {
        let mount = Path::new("/sys/fs/cgroup/freezer");
        let unique = tempfile::tempdir().unwrap();
        let name = unique.path().file_name().unwrap().to_string_lossy().replace('.', "test-");
        let group = mount.join(name);
        if !mount.join("cgroup.procs").exists() || std::fs::create_dir(&group).is_err() {
            eprintln!("SKIPPED: no freezer of cgroup v1 is mounted, or this is not root");
            return None;
        }
        Some(Freezer(group))
    }

    fn freeze(&self, pid: u32) {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
        std::fs::write(self.0.join("freezer.state"), "FROZEN").unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::fs::read_to_string(self.0.join("freezer.state")).unwrap().trim() != "FROZEN" {
            assert!(Instant::now() < deadline, "{pid} does not freeze");
        }
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _thawed = std::fs::write(self.0.join("freezer.state"), "THAWED");
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::fs::remove_dir(&self.0).is_err() && Instant::now() < deadline {}
    }
}

#[test]
fn f63_what_cannot_be_killed_is_reported_after_a_minute_and_not_waited_for() {
    let Some(freezer) = Freezer::make() else { return };
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("sleep 6543"));
    let pid = client.running(key(1));
    freezer.freeze(pid);
    let asked = Instant::now();
    client.stop(key(1));
    client.listen(Duration::from_secs(55));
    assert!(
        !matches!(client.memory.records[&key(1)].state, TaskState::Exited { .. }),
        "it lives, and its minute is not over"
    );
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "stop".into() });
    assert!(asked.elapsed() < Duration::from_secs(100), "{:?}", asked.elapsed());
    let says =
        |text: &Tainted| text.to_string().contains(&format!("unkillable: 1 processes of p: {pid}"));
    assert!(client.memory.reports.iter().any(|r| matches!(r, Report::Note(text) if says(text))));
    let Report::Cleaned { remainder, .. } = client.clean_up(false) else { panic!("not cleaned") };
    assert!(remainder.iter().any(says), "{remainder:?}");
    client.leave();
    drop(freezer);
    gone(pid);
}

#[test]
fn f71_a_task_that_shuts_its_own_directories_keeps_nothing() {
    let host = host_of(true);
    let mut bridge = Program::new("setpriv");
    let account = NOBODY.to_string();
    bridge.args(["--reuid", &account, "--regid", &account, "--clear-groups"]);
    bridge.arg(host.agent()).args(["bridge", "--run", &host.run, "--host", "h1", "--base"]);
    bridge.arg(host.base());
    let mut client = Client::over(bridge, &host.run, Memory::default());
    client.start(
        key(1),
        shell(
            "mkdir -p a/b/c && touch a/b/c/x && chmod 000 a/b/c a/b a && \
             i=0 && while test $i -lt 3000; do : > f$i; i=$((i+1)); done && \
             mkdir gone && cd gone && rmdir ../gone && chmod 000 .. && echo done",
        ),
    );
    assert_eq!(
        client.finished(key(1)),
        Exit::Code(0),
        "{}",
        String::from_utf8_lossy(client.err(key(1)))
    );
    let Report::Cleaned { remainder, .. } = client.clean_up(false) else { panic!("not cleaned") };
    assert!(remainder.is_empty(), "{remainder:?}");
    client.leave();
    assert!(!host.base().exists(), "C2");
}

#[test]
fn f71_a_mount_in_a_tasks_directory_is_the_only_thing_that_stays_and_is_named() {
    let host = Host::new();
    let mut bridge = Program::new("unshare");
    bridge.args(["--mount", "--propagation", "private", AGENT, "bridge", "--run", &host.run]);
    bridge.args(["--host", "h1", "--base"]).arg(host.base());
    let mut client = Client::over(bridge, &host.run, Memory::default());
    let outside = host.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("precious"), "x").unwrap();
    client.start(
        key(1),
        shell(&format!(
            "mkdir m n && mount --bind {} m && touch n/file && echo done",
            outside.display()
        )),
    );
    assert_eq!(
        client.finished(key(1)),
        Exit::Code(0),
        "{}",
        String::from_utf8_lossy(client.err(key(1)))
    );
    let Report::Cleaned { remainder, .. } = client.clean_up(false) else { panic!("not cleaned") };
    assert!(
        remainder.iter().any(|left| left.to_string().contains("clusters/c/m")),
        "{remainder:?}"
    );
    assert!(!host.cluster_dir().join("n").exists());
    assert!(outside.join("precious").exists(), "nothing outside is removed through a mount");
    client.leave();
}
