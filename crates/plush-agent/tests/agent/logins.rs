//! Logins whose end kills what they started (F09). There is no systemd here: groups with the names that it gives them
//! stand for sessions, and two small programs for its answers. Needs root, and a cgroup v2 hierarchy.

use crate::client::*;
use crate::groups::{Subtree, bridge_in};
use plush_protocol::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const SESSION: &str = "user.slice/user-0.slice/session-9.scope";

/// Puts a program into the host's directory of programs.
fn program(host: &Host, name: &str, script: &str) {
    let directory = host.dir.path().join("programs");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.join(name), mode).unwrap();
}

fn logind(host: &Host, kills: &str) {
    let says = format!(
        "test \"$1\" = show-session || exit 2\n\
         printf 'KillUserProcesses={kills}\\nKillOnlyUsers=\\nKillExcludeUsers=ben\\n'"
    );
    program(host, "loginctl", &says);
}

fn no_manager(host: &Host) {
    program(host, "systemd-run", "echo 'Failed to connect to bus' >&2; exit 1");
}

fn log_in(host: &Host, session: &Path, memory: Memory) -> Client {
    let programs = host.dir.path().join("programs");
    let bridge = bridge_in(session, host, false, programs.to_str().unwrap());
    Client::over(bridge, &host.run, memory)
}

/// What logind does when a login is over.
fn log_out(session: &Path, client: Client) -> Memory {
    let memory = client.cut();
    std::fs::write(session.join("cgroup.kill"), "1").unwrap();
    memory
}

fn warned(client: &mut Client) -> bool {
    client.until("an inventory", |m| !m.reports.is_empty());
    client.listen(std::time::Duration::from_millis(200));
    client.memory.reports.iter().any(|report| match report {
        Report::Note(text) => text.to_string().contains("enable-linger"),
        _ => false,
    })
}

/// A task goes on over a logout; `outlives` is the group that agent and task are to be found below.
#[track_caller]
fn goes_on(host: &Host, subtree: &Subtree, outlives: &str) {
    let session = subtree.group(SESSION);
    let mut client = log_in(host, &session, Memory::default());
    assert_eq!(client.hello.facts.logout, Logout::Stays);
    assert!(!warned(&mut client));
    client.start(key(1), shell("sleep 8765"));
    let (agent, pid) = (client.hello.facts.agent_pid, client.running(key(1)));
    for process in [agent, pid] {
        let place = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
        assert!(place.contains(outlives) && !place.contains("session-9"), "{place}");
    }
    let memory = log_out(&session, client);
    assert!(is_alive(agent) && is_alive(pid));
    let mut client = log_in(host, &subtree.group(SESSION), memory);
    assert_eq!(client.hello.facts.agent_pid, agent);
    client.stop(key(1));
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "stop".into() });
    client.clean_up(false);
    client.leave();
    assert_eq!(subtree.ours(), Vec::<std::path::PathBuf>::new(), "C2");
}

#[test]
fn f09_an_agent_asks_for_a_scope_of_its_own_and_outlives_the_login() {
    let Some(subtree) = Subtree::make() else { return };
    let host = Host::new();
    logind(&host, "yes");
    // Stands for systemd: makes a scope, moves itself into it, and executes what comes after the two dashes.
    let scope = subtree.group("system.slice/run-u7.scope");
    let script = format!(
        "echo \"$*\" > {}/asked; while test \"$1\" != --; do shift; done; shift\n\
         echo $$ > {}/cgroup.procs; exec \"$@\"",
        host.dir.path().display(),
        scope.display()
    );
    program(&host, "systemd-run", &script);
    goes_on(&host, &subtree, "system.slice/run-u7.scope");
    let asked = std::fs::read_to_string(host.dir.path().join("asked")).unwrap();
    assert!(asked.starts_with("--scope --quiet --collect --property=Delegate=yes -- "), "{asked}");
}

#[test]
fn f09_an_agent_that_nobody_gives_a_scope_moves_itself() {
    let Some(subtree) = Subtree::make() else { return };
    let host = Host::new();
    logind(&host, "yes");
    no_manager(&host);
    goes_on(&host, &subtree, "/user.slice/plush-run1-");
}

#[test]
fn f09_an_agent_that_cannot_leave_says_so() {
    let Some(subtree) = Subtree::make() else { return };
    let host = Host::new();
    logind(&host, "yes");
    no_manager(&host);
    // It may not make a group beyond its session.
    let session = subtree.group(SESSION);
    std::fs::write(subtree.group("user.slice").join("cgroup.max.descendants"), "2").unwrap();
    let mut client = log_in(&host, &session, Memory::default());
    assert_eq!(client.hello.facts.logout, Logout::Ends);
    assert!(warned(&mut client));
    let agent = client.hello.facts.agent_pid;
    log_out(&session, client);
    gone(agent);
}

#[test]
fn a_login_whose_end_kills_nothing_is_not_left() {
    let Some(subtree) = Subtree::make() else { return };
    let host = Host::new();
    logind(&host, "no");
    program(&host, "systemd-run", "exit 9");
    let mut client = log_in(&host, &subtree.group(SESSION), Memory::default());
    assert_eq!(client.hello.facts.logout, Logout::Stays);
    let place = format!("/proc/{}/cgroup", client.hello.facts.agent_pid);
    assert!(std::fs::read_to_string(place).unwrap().contains("session-9.scope\n"));
    assert!(!warned(&mut client));
    client.clean_up(false);
    client.leave();
}
