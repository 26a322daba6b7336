//! Control groups: nothing of a task gets away, and nothing of ours stays. Needs root, and a cgroup v2 hierarchy.

use crate::client::*;
use plush_protocol::*;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::{Duration, Instant};

/// An account without rights.
pub const NOBODY: u32 = 65_534;

/// A part of the hierarchy that belongs to the test.
pub struct Subtree {
    path: PathBuf,
}

impl Subtree {
    /// `None`, said aloud, where no group can be made.
    pub fn make() -> Option<Subtree> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().find(|l| l.split(' ').nth(2) == Some("cgroup2"));
        let Some(mount) = mount.and_then(|line| line.split(' ').nth(1)) else {
            eprintln!("SKIPPED: no cgroup v2 is mounted");
            return None;
        };
        let unique = tempfile::tempdir().unwrap();
        let name = unique.path().file_name().unwrap().to_string_lossy().replace('.', "");
        let path = Path::new(mount).join(format!("test-{name}"));
        if let Err(e) = std::fs::create_dir(&path) {
            eprintln!("SKIPPED: {}: {e}", path.display());
            return None;
        }
        Some(Subtree { path })
    }

    pub fn group(&self, path: &str) -> PathBuf {
        let group = self.path.join(path);
        std::fs::create_dir_all(&group).unwrap();
        group
    }

    /// Groups of ours below, those of the test aside.
    pub fn ours(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut look = vec![self.path.clone()];
        while let Some(group) = look.pop() {
            let inner = std::fs::read_dir(&group).unwrap().flatten();
            look.extend(inner.filter(|e| e.file_type().unwrap().is_dir()).map(|e| e.path()));
            if group.file_name().unwrap().to_str().unwrap().starts_with("plush-") {
                found.push(group);
            }
        }
        found
    }
}

impl Drop for Subtree {
    fn drop(&mut self) {
        let _gone = std::fs::write(self.path.join("cgroup.kill"), "1");
        let deadline = Instant::now() + Duration::from_secs(5);
        let empties = format!("find {} -depth -type d -exec rmdir {{}} +", self.path.display());
        while self.path.exists() && Instant::now() < deadline {
            let _again = Program::new("sh").args(["-c", &empties]).output();
        }
    }
}

/// A bridge that is started inside a group, by an account, with a path for programs.
pub fn bridge_in(group: &Path, host: &Host, nobody: bool, path: &str) -> Program {
    let mut bridge = Program::new("sh");
    let change = if nobody {
        format!("exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups \"$@\"")
    } else {
        "exec \"$@\"".to_owned()
    };
    let procs = group.join("cgroup.procs");
    bridge.arg("-c").arg(format!("echo $$ > {}; {change}", procs.display())).arg("sh");
    bridge.arg(host.agent()).args(["bridge", "--run", &host.run, "--host", "h1", "--base"]);
    bridge.arg(host.base());
    bridge.env("PATH", format!("{path}:/usr/bin:/bin")).env("LOGNAME", "mia");
    bridge
}

fn connect_in(group: &Path, host: &Host, nobody: bool, memory: Memory) -> Client {
    Client::over(bridge_in(group, host, nobody, "/nowhere"), &host.run, memory)
}

/// A process with a new session, an empty environment, no pipe of the task and no living ancestor.
const ESCAPE: &str = "(setsid env -i /bin/sh -c 'echo $$ > runaway; exec sleep 7654' \
    </dev/null >/dev/null 2>&1 &) ; while ! test -s runaway; do sleep 0.01; done; cat runaway";

fn runaway(client: &mut Client) -> u32 {
    client.until("a pid", |m| m.streams[&(key(1), StreamName::Out)].bytes.ends_with(b"\n"));
    String::from_utf8(client.out(key(1)).to_vec()).unwrap().trim().parse().unwrap()
}

/// The host of an account without rights, whose agent is where that account can read it.
pub fn host_of(nobody: bool) -> Host {
    let host = Host::new();
    if nobody {
        std::fs::copy(AGENT, host.dir.path().join("agent")).unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(host.dir.path(), open.clone()).unwrap();
        std::fs::set_permissions(host.dir.path().join("agent"), open).unwrap();
        chown(host.dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    host
}

/// A group in the subtree, given to the account as a manager of services would.
fn delegated(subtree: &Subtree, name: &str, nobody: bool) -> PathBuf {
    let group = subtree.group(name);
    if nobody {
        chown(&group, Some(NOBODY), Some(NOBODY)).unwrap();
        for file in ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            chown(group.join(file), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    group
}

fn nobody_gets_away(nobody: bool) {
    let Some(subtree) = Subtree::make() else { return };
    let group = delegated(&subtree, "login", nobody);
    let host = host_of(nobody);
    let mut client = connect_in(&group, &host, nobody, Memory::default());
    assert_eq!(client.hello.facts.guarantee, Guarantee::Cgroup);
    client.start(key(1), shell(&format!("{ESCAPE}; sleep 7655")));
    let (pid, runaway) = (client.running(key(1)), runaway(&mut client));
    assert_eq!(client.memory.records[&key(1)].guarantee, Guarantee::Cgroup);
    assert!(is_alive(runaway));
    client.stop(key(1));
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "stop".into() });
    assert!(!is_alive(runaway) && !is_alive(pid));
    client.clean_up(false);
    client.leave();
    assert_eq!(subtree.ours(), Vec::<PathBuf>::new(), "C2");
}

#[test]
fn f61_nobody_leaves_a_control_group() {
    nobody_gets_away(false);
}

#[test]
fn f61_nobody_leaves_a_control_group_that_was_delegated_to_an_account() {
    nobody_gets_away(true);
}

fn found_after_all_are_dead(nobody: bool) {
    let Some(subtree) = Subtree::make() else { return };
    let group = delegated(&subtree, "login", nobody);
    let host = host_of(nobody);
    let mut client = connect_in(&group, &host, nobody, Memory::default());
    client.start(key(1), shell(&format!("{ESCAPE}; sleep 7656")));
    let (pid, runaway) = (client.running(key(1)), runaway(&mut client));
    let (agent, keeper) = (client.hello.facts.agent_pid, host.keeper_of(pid));
    // Stopped first, so that neither sees the other die.
    kill(agent, 19).unwrap();
    kill(keeper, 9).unwrap();
    kill(pid, 9).unwrap();
    kill(agent, 9).unwrap();
    gone(agent);
    assert!(is_alive(runaway), "nobody is left who would end it");
    // The next login has another group, in which nothing may be made.
    let elsewhere = subtree.group("another-login");
    let mut client = connect_in(&elsewhere, &host, nobody, client.cut());
    assert_eq!(client.finished(key(1)), Exit::Lost);
    assert!(!is_alive(runaway));
    client.clean_up(false);
    client.leave();
    assert_eq!(subtree.ours(), Vec::<PathBuf>::new(), "C2");
}

#[test]
fn f06_who_lost_keeper_and_agent_and_bears_no_mark_is_found_by_its_control_group() {
    found_after_all_are_dead(false);
}

#[test]
fn f06_the_same_holds_for_an_account_without_rights() {
    found_after_all_are_dead(true);
}

#[test]
fn an_account_that_may_make_no_groups_has_the_subreapers_guarantee() {
    let Some(subtree) = Subtree::make() else { return };
    let group = subtree.group("login");
    let host = host_of(true);
    let mut client = connect_in(&group, &host, true, Memory::default());
    assert_eq!(client.hello.facts.guarantee, Guarantee::Subreaper);
    client.start(key(1), shell(&format!("{ESCAPE}; sleep 7657")));
    let runaway = runaway(&mut client);
    client.running(key(1));
    assert_eq!(client.memory.records[&key(1)].guarantee, Guarantee::Subreaper);
    client.stop(key(1));
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "stop".into() });
    assert!(!is_alive(runaway));
    client.clean_up(false);
    client.leave();
    assert_eq!(subtree.ours(), Vec::<PathBuf>::new(), "C2");
}

#[test]
fn groups_that_a_task_makes_below_its_own_go_with_it() {
    let Some(subtree) = Subtree::make() else { return };
    let host = Host::new();
    let mut client = connect_in(&subtree.group("login"), &host, false, Memory::default());
    let inner = format!(
        "own={}$(sed -n s/^0::.*login/login/p /proc/self/cgroup); mkdir -p $own/a/b; \
         setsid sleep 7658 </dev/null >/dev/null 2>&1 & echo $! > $own/a/b/cgroup.procs; echo $!",
        format_args!("{}/", subtree.path.display())
    );
    client.start(key(1), shell(&inner));
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    let pid: u32 = String::from_utf8_lossy(client.out(key(1))).trim().parse().unwrap();
    let place = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(place.contains("/a/b"), "{place}");
    client.clean_up(false);
    assert!(!is_alive(pid));
    client.leave();
    assert_eq!(subtree.ours(), Vec::<PathBuf>::new(), "C2");
}

#[test]
fn f62_a_bomb_that_nobody_could_outrun_is_ended_with_its_group() {
    let Some(subtree) = Subtree::make() else { return };
    let host = Host::new();
    let mut client = connect_in(&subtree.group("login"), &host, false, Memory::default());
    client.start(key(1), bomb());
    client.until("a bomb", |m| !m.streams[&(key(1), StreamName::Out)].bytes.is_empty());
    client.listen(Duration::from_millis(300));
    let asked = Instant::now();
    client.stop(key(1));
    client.finished(key(1));
    let took = asked.elapsed();
    eprintln!("the bomb was ended after {took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    client.clean_up(false);
    client.leave();
    assert_eq!(subtree.ours(), Vec::<PathBuf>::new(), "C2");
}
