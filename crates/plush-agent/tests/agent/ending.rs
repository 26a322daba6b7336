//! How a task ends, with everything that it has started.

use crate::client::*;
use plush_protocol::*;
use std::time::{Duration, Instant};

#[test]
fn f60_a_task_that_ignores_the_signal_is_killed_after_the_grace() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("trap '' TERM; echo ready; while :; do sleep 0.05; done"));
    client.until("ready", |m| !m.streams[&(key(1), StreamName::Out)].bytes.is_empty());
    let pid = client.running(key(1));
    let asked = Instant::now();
    client.stop(key(1));
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "stop".into() });
    eprintln!("killed after {:?}, of which 500 ms of grace", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert!(asked.elapsed() >= Duration::from_millis(500));
    assert!(!is_alive(pid));
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_task_that_obeys_the_signal_ends_before_the_grace() {
    let host = Host::new();
    let mut client = host.connect();
    let mut spec = shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    spec.stop.grace_ms = 20_000;
    client.start(key(1), spec);
    client.until("ready", |m| !m.streams[&(key(1), StreamName::Out)].bytes.is_empty());
    let asked = Instant::now();
    client.stop(key(1));
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "stop".into() });
    assert_eq!(client.out(key(1)), b"ready\nbye\n");
    assert!(asked.elapsed() < Duration::from_secs(15));
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_time_limit_stops_and_says_so() {
    let host = Host::new();
    let mut client = host.connect();
    let mut spec = shell("sleep 100");
    spec.time_limit_ms = Some(300);
    client.start(key(1), spec);
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "time-limit".into() });
    client.clean_up(false);
    client.leave();
}

/// A line that starts a process which leaves session, group, environment and pipes behind, and says its pid.
const RUNAWAY: &str = "setsid env -i /bin/sh -c 'echo $$ > runaway; exec sleep 3210' \
    </dev/null >/dev/null 2>&1 & while ! test -s runaway; do sleep 0.01; done; cat runaway";

fn first_line(client: &mut Client, key: TaskKey) -> String {
    client.until("a line", |m| m.streams[&(key, StreamName::Out)].bytes.contains(&b'\n'));
    String::from_utf8(client.out(key).to_vec()).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn f61_a_process_that_has_left_everything_is_found_and_killed() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell(&format!("{RUNAWAY}; sleep 3211")));
    let runaway: u32 = first_line(&mut client, key(1)).parse().unwrap();
    assert!(is_alive(runaway));
    client.stop(key(1));
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "stop".into() });
    gone(runaway);
    client.clean_up(false);
    client.leave();
}

#[test]
fn c1_a_runaway_of_a_task_that_ended_by_itself_ends_with_the_clean_up() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell(RUNAWAY));
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    let runaway: u32 = first_line(&mut client, key(1)).parse().unwrap();
    assert!(is_alive(runaway));
    client.clean_up(false);
    assert!(!is_alive(runaway));
}

#[test]
fn f62_a_fork_bomb_is_ended() {
    let host = Host::new();
    let mut client = host.connect();
    let bomb = shell(
        "trap '' TERM; f() { (f) & (f) & sleep 0.05; wait; }; echo go; \
         while :; do (sleep 0.3) & (sleep 0.4) & sleep 0.002; done",
    );
    client.start(key(1), bomb);
    first_line(&mut client, key(1));
    let pid = client.running(key(1));
    let asked = Instant::now();
    client.stop(key(1));
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "stop".into() });
    eprintln!("the bomb was ended after {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(30));
    assert_eq!(sessions(pid), Vec::<u32>::new());
    client.clean_up(false);
    client.leave();
}

#[test]
fn f62_a_bomb_that_no_look_at_its_processes_catches_is_ended_without_a_control_group() {
    let host = Host::new();
    let mut client = host.connect_without_groups(Memory::default());
    client.start(key(1), bomb());
    let pid = client.running(key(1));
    first_line(&mut client, key(1));
    let asked = Instant::now();
    client.stop(key(1));
    client.finished(key(1));
    eprintln!("the bomb was ended after {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    assert_eq!(sessions(pid), Vec::<u32>::new());
    client.clean_up(false);
    client.leave();
}

#[test]
fn f25_without_proc_tasks_run_and_their_process_group_is_ended() {
    let host = Host::new();
    let mut bridge = std::process::Command::new("unshare");
    bridge.args(["--mount", "--propagation", "private", "sh", "-c"]);
    bridge.args(["umount -l /proc; exec \"$@\"", "sh", AGENT, "bridge", "--run", &host.run]);
    bridge.args(["--host", "h1", "--base"]).arg(host.base());
    let mut client = Client::over(bridge, &host.run, Memory::default());
    assert_eq!(client.hello.facts.guarantee, Guarantee::Group);
    client.start(key(1), shell("echo hello; exit 7"));
    assert_eq!(client.finished(key(1)), Exit::Code(7));
    assert_eq!(client.out(key(1)), b"hello\n");
    client.start(key(2), shell("trap '' TERM; sleep 6789 & echo $!; while :; do sleep 0.05; done"));
    client.until("a pid", |m| m.streams[&(key(2), StreamName::Out)].bytes.ends_with(b"\n"));
    let child: u32 = String::from_utf8_lossy(client.out(key(2))).trim().parse().unwrap();
    let pid = client.running(key(2));
    assert_eq!(client.memory.records[&key(2)].guarantee, Guarantee::Group);
    client.stop(key(2));
    assert_eq!(client.finished(key(2)), Exit::Stopped { why: "stop".into() });
    assert!(!is_alive(pid) && !is_alive(child));
    let cleaned = client.clean_up(false);
    assert!(
        matches!(&cleaned, Report::Cleaned { remainder, .. } if remainder.is_empty()),
        "{cleaned:?}"
    );
    client.leave();
    assert!(!host.base().exists());
}

/// Living processes of a session.
fn sessions(session: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|f| f[0] != "Z" && f[3] == session.to_string()))
        .collect()
}

#[test]
fn f64_adopted_children_do_not_stay_zombies() {
    let host = Host::new();
    let mut client = host.connect();
    // The grandchildren lose their parent at once and end later: only the keeper can reap them.
    client.start(
        key(1),
        shell("for i in 1 2 3 4 5; do (sleep 0.2 & echo $! >> pids); done; sleep 0.6; cat pids; sleep 3212"),
    );
    client.until("the pids", |m| {
        m.streams[&(key(1), StreamName::Out)].bytes.iter().filter(|b| **b == b'\n').count() == 5
    });
    let pids = String::from_utf8(client.out(key(1)).to_vec()).unwrap();
    for pid in pids.lines() {
        assert!(stat(pid.parse().unwrap()).is_none(), "{pid} is a zombie");
    }
    client.stop(key(1));
    client.finished(key(1));
    client.clean_up(false);
    client.leave();
}

#[test]
fn f67_output_of_a_child_that_outlives_its_parent_is_not_lost() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("(sleep 0.5; echo late) & echo early; exit 7"));
    assert_eq!(client.finished(key(1)), Exit::Code(7));
    assert_eq!(client.out(key(1)), b"early\nlate\n");
    client.clean_up(false);
    client.leave();
}

#[test]
fn o5_a_stop_closes_the_output_that_a_child_still_holds() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("sleep 3213 & echo early; exit 7"));
    let pid = client.running(key(1));
    first_line(&mut client, key(1));
    gone(pid);
    let asked = Instant::now();
    client.stop(key(1));
    assert_eq!(client.finished(key(1)), Exit::Code(7));
    assert!(asked.elapsed() < Duration::from_secs(15));
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_keeper_whose_directory_was_removed_ends_with_its_task() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("sleep 0.5"));
    let pid = client.running(key(1));
    let keeper = host.keeper_of(pid);
    std::fs::remove_dir_all(host.task_dir(key(1))).unwrap();
    gone(keeper);
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    client.clean_up(false);
    client.leave();
}
