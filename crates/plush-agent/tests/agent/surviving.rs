//! What survives the death of a bridge, an agent, a keeper, or of all of them.

use crate::client::*;
use plush_protocol::*;
use std::time::{Duration, Instant};

/// Prints numbered lines until the file `enough` is there.
const COUNTING: &str =
    "i=0; until test -e enough; do i=$((i+1)); echo line $i; sleep 0.002; done; exit 9";

fn lines_are_whole(bytes: &[u8]) {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    for (index, line) in text.lines().enumerate() {
        assert_eq!(line, format!("line {}", index + 1));
    }
}

fn has_lines(memory: &Memory, count: u64) -> bool {
    memory.streams[&(key(1), StreamName::Out)].received > count * 7
}

fn enough(host: &Host) {
    std::fs::write(host.cluster_dir().join("enough"), "").unwrap();
}

#[test]
fn o1_a_cut_connection_loses_and_doubles_nothing() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell(COUNTING));
    for cut in 1..=4 {
        client.until("lines", |m| has_lines(m, cut * 20));
        let agent = client.hello.facts.agent_pid;
        client = host.connect_with(client.cut());
        assert_eq!(client.hello.facts.agent_pid, agent);
    }
    enough(&host);
    assert_eq!(client.finished(key(1)), Exit::Code(9));
    lines_are_whole(client.out(key(1)));
    client.clean_up(false);
    client.leave();
}

#[test]
fn n2_the_newer_connection_wins_and_the_older_is_closed() {
    let host = Host::new();
    let mut old = host.connect();
    old.bridge.try_wait().unwrap();
    let mut new = host.connect_with(Memory { epoch: 2, ..Memory::default() });
    assert!(old.bridge.wait().unwrap().success());
    new.start(key(1), shell("true"));
    assert_eq!(new.finished(key(1)), Exit::Code(0));
    new.clean_up(false);
    new.leave();
}

#[test]
fn e1_an_epoch_is_remembered_by_the_next_agent() {
    let host = Host::new();
    let client = host.connect_with(Memory { epoch: 5, ..Memory::default() });
    kill(client.hello.facts.agent_pid, 9).unwrap();
    gone(client.hello.facts.agent_pid);
    let stale = host.connect_with(Memory { epoch: 4, ..Memory::default() });
    assert_eq!(stale.hello.epoch, 5);
    let mut client = host.connect_with(Memory { epoch: 6, ..Memory::default() });
    client.clean_up(false);
    client.leave();
}

#[test]
fn f04_a_task_does_not_notice_the_death_of_its_agent() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell(COUNTING));
    let pid = client.running(key(1));
    for death in 1..=3 {
        client.until("lines", |m| has_lines(m, death * 20));
        let agent = client.hello.facts.agent_pid;
        kill(agent, 9).unwrap();
        gone(agent);
        client = host.connect_with(client.cut());
        assert_ne!(client.hello.facts.agent_pid, agent);
        assert_eq!(client.running(key(1)), pid);
    }
    enough(&host);
    assert_eq!(client.finished(key(1)), Exit::Code(9));
    lines_are_whole(client.out(key(1)));
    client.clean_up(false);
    client.leave();
}

#[test]
fn an_end_that_happened_without_an_agent_is_reported_by_the_next() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell(COUNTING));
    client.until("lines", |m| has_lines(m, 5));
    let keeper = host.keeper_of(client.running(key(1)));
    kill(client.hello.facts.agent_pid, 9).unwrap();
    gone(client.hello.facts.agent_pid);
    enough(&host);
    gone(keeper);
    let mut client = host.connect_with(client.cut());
    assert_eq!(client.finished(key(1)), Exit::Code(9));
    lines_are_whole(client.out(key(1)));
    client.clean_up(false);
    client.leave();
}

#[test]
fn f05_a_task_whose_keeper_died_goes_on_and_is_accounted_for() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell(COUNTING));
    client.until("lines", |m| has_lines(m, 20));
    let pid = client.running(key(1));
    let keeper = host.keeper_of(pid);
    kill(keeper, 9).unwrap();
    client.until("a degraded task", |m| m.records[&key(1)].degraded);
    assert!(is_alive(pid));
    let before = client.memory.streams[&(key(1), StreamName::Out)].received / 7;
    client.until("more lines", |m| has_lines(m, before + 20));
    enough(&host);
    assert_eq!(client.finished(key(1)), Exit::Code(9));
    client.clean_up(false);
    client.leave();
}

#[test]
fn f05_a_task_whose_keeper_died_can_be_stopped_with_all_that_it_started() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("sleep 4321 & setsid sleep 4322 & echo started; wait"));
    client.until("a line", |m| m.streams[&(key(1), StreamName::Out)].received > 0);
    let pid = client.running(key(1));
    kill(host.keeper_of(pid), 9).unwrap();
    client.until("a degraded task", |m| m.records[&key(1)].degraded);
    client.stop(key(1));
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "stop".into() });
    client.clean_up(false);
    client.leave();
    assert_eq!(processes_with(host.dir.path().to_str().unwrap()), Vec::<u32>::new());
    assert_eq!(processes_with("sleep\x004322"), Vec::<u32>::new());
}

#[test]
fn f06_a_task_that_lost_keeper_and_agent_is_ended_and_reported_as_lost() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("setsid sleep 5432 & echo started; sleep 5433"));
    client.until("a line", |m| m.streams[&(key(1), StreamName::Out)].received > 0);
    let pid = client.running(key(1));
    let keeper = host.keeper_of(pid);
    let agent = client.hello.facts.agent_pid;
    // Stopped first, so that neither sees the other die.
    kill(agent, 19).unwrap();
    kill(keeper, 9).unwrap();
    kill(agent, 9).unwrap();
    gone(agent);
    let mut client = host.connect_with(client.cut());
    assert_eq!(client.finished(key(1)), Exit::Lost);
    assert_eq!(client.out(key(1)), b"started\n");
    assert!(!is_alive(pid));
    assert_eq!(processes_with("sleep\x005432"), Vec::<u32>::new());
    // P1: also when it is lost, the key is never started again.
    client.start(key(1), shell("touch again"));
    let reports = client.memory.reports.len();
    client.until("an answer", |m| m.reports.len() > reports);
    assert!(!host.cluster_dir().join("again").exists());
    client.clean_up(false);
    client.leave();
}

#[test]
fn l1_the_keeper_stops_its_task_when_the_lease_is_out_though_the_agent_is_dead() {
    let host = Host::new();
    let memory = Memory { stop_after_ms: Some(1_500), ..Memory::default() };
    let mut client = host.connect_with(memory);
    client.start(key(1), shell("sleep 6543"));
    let pid = client.running(key(1));
    let agent = client.hello.facts.agent_pid;
    client.send(&ToAgent::Ping(1));
    client.listen(Duration::from_millis(100));
    let renewed = Instant::now();
    kill(agent, 9).unwrap();
    gone(agent);
    let memory = client.cut();
    gone(pid);
    let lived = renewed.elapsed();
    eprintln!("lived for {lived:?} with a lease of 1.5 s and a grace of 0.5 s");
    assert!(lived < Duration::from_secs(15), "{lived:?}");
    assert!(lived > Duration::from_millis(1_200), "L2: {lived:?}");
    let mut client = host.connect_with(memory);
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "lease".into() });
    client.clean_up(false);
    client.leave();
}

#[test]
fn l1_the_agent_stops_its_tasks_when_nobody_renews_the_lease() {
    let host = Host::new();
    let memory = Memory { stop_after_ms: Some(1_000), ..Memory::default() };
    let mut client = host.connect_with(memory);
    client.start(key(1), shell("sleep 6544"));
    let pid = client.running(key(1));
    let memory = client.cut();
    gone(pid);
    let mut client = host.connect_with(memory);
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "lease".into() });
    client.clean_up(false);
    client.leave();
}

#[test]
fn l3_a_renewal_that_was_held_back_prolongs_nothing() {
    let host = Host::new();
    let memory = Memory { stop_after_ms: Some(4_000), ..Memory::default() };
    let mut client = host.connect_with(memory);
    let told = client.hello.clock_us.expect("an agent tells its clock");
    client.start(key(1), shell("sleep 6545"));
    let pid = client.running(key(1));
    let began = Instant::now();
    client.listen(Duration::from_millis(3_500));
    client.send(&ToAgent::Renew(told));
    gone(pid);
    let lived = began.elapsed();
    eprintln!("lived for {lived:?} with a lease of 4 s and a word that came after 3.5 s");
    assert!(lived < Duration::from_millis(6_500), "{lived:?}");
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "lease".into() });
    client.clean_up(false);
    client.leave();
}

#[test]
fn p12_a_stopped_agent_does_not_stop_its_tasks() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(
        key(1),
        shell("i=0; while test $i -lt 20000; do i=$((i+1)); echo line $i; done; exit 4"),
    );
    let pid = client.running(key(1));
    kill(client.hello.facts.agent_pid, 19).unwrap();
    gone(pid);
    kill(client.hello.facts.agent_pid, 18).unwrap();
    assert_eq!(client.finished(key(1)), Exit::Code(4));
    lines_are_whole(client.out(key(1)));
    client.clean_up(false);
    client.leave();
}

#[test]
fn f05_a_keeper_killed_again_and_again_loses_and_doubles_no_byte() {
    const LINES: u32 = 6_000_000;
    let host = Host::new();
    let mut client = host.connect();
    let line = format!("awk 'BEGIN {{ for (i = 0; i < {LINES}; i++) printf \"%07d\\n\", i }}'");
    client.start(key(1), shell(&line));
    let pid = client.running(key(1));
    let agent = client.hello.facts.agent_pid;
    let mut keeper = host.keeper_of(pid);
    let mut kills = 0;
    for step in 1..=12u64 {
        client.until("output", |m| {
            m.streams[&(key(1), StreamName::Out)].received >= step * (u64::from(LINES) * 8 / 16)
        });
        if is_alive(pid) && kill(keeper, 9).is_ok() {
            kills += 1;
            gone(keeper);
            // The next one is the agent's newest child that keeps this task.
            let next = |m: &Memory| m.records[&key(1)].degraded;
            client.until("an adoption", next);
            client.listen(Duration::from_millis(50));
            keeper = processes_with("keep\x001.1")
                .into_iter()
                .find(|p| stat(*p).is_some_and(|fields| fields[1] == agent.to_string()))
                .unwrap_or(keeper);
        }
    }
    assert!(kills >= 3, "the keeper was killed {kills} times");
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    let expected: Vec<u8> = (0..LINES).flat_map(|i| format!("{i:07}\n").into_bytes()).collect();
    assert!(client.out(key(1)) == expected, "O1");
    client.clean_up(false);
    client.leave();
}
