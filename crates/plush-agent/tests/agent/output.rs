//! Output: byte-exact, within its window, in flat memory, no stream starving another.

use crate::client::*;
use plush_protocol::bulk::OUTPUT_WINDOW_BYTES;
use plush_protocol::*;
use std::time::{Duration, Instant};

/// What an agent may take in memory (F07); debug builds and their larger code are counted in.
const AGENT_RSS_KIB: u64 = 16 << 10;

#[test]
fn o1_a_hundred_megabytes_of_anything_arrive_as_they_were_and_memory_stays_flat() {
    let host = Host::new();
    let mut client = host.connect_with(Memory { keep_bytes: false, ..Memory::default() });
    std::fs::create_dir_all(host.cluster_dir()).unwrap();
    let mut expected = blake3::Hasher::new();
    let mut bytes = vec![0; 100 << 20];
    let mut state = 1u64;
    for byte in &mut bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    expected.update(&bytes);
    std::fs::write(host.cluster_dir().join("input"), &bytes).unwrap();
    client.start(key(1), shell("cat input"));
    let (mut most, mut next) = (0, 0);
    while client.memory.streams[&(key(1), StreamName::Out)].received < 100 << 20 {
        client.step();
        let received = client.memory.streams[&(key(1), StreamName::Out)].received;
        if received >= next {
            next = received + (5 << 20);
            most = most.max(rss_kib(client.hello.facts.agent_pid));
        }
    }
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    assert_eq!(
        client.memory.streams[&(key(1), StreamName::Out)].hash.finalize(),
        expected.finalize()
    );
    assert!(most <= AGENT_RSS_KIB, "the agent took {most} KiB");
    println!("agent under flood: {most} KiB");
    client.clean_up(false);
    client.leave();
}

#[test]
fn nothing_is_sent_before_it_is_asked_for_and_no_more_than_the_window() {
    let host = Host::new();
    let mut client = host.connect_with(Memory { acknowledge_output: false, ..Memory::default() });
    client.command(Command::Start { key: key(1), spec: Box::new(shell("yes | head -c 5000000")) });
    client.listen(Duration::from_millis(700));
    assert!(client.memory.streams.is_empty());
    client.open_streams(key(1));
    client.acknowledge(key(1), StreamName::Out);
    client.until("the window", |m| {
        m.streams[&(key(1), StreamName::Out)].received == OUTPUT_WINDOW_BYTES
    });
    client.listen(Duration::from_millis(300));
    assert_eq!(client.memory.streams[&(key(1), StreamName::Out)].received, OUTPUT_WINDOW_BYTES);
    client.memory.acknowledge_output = true;
    client.acknowledge(key(1), StreamName::Out);
    client.acknowledge(key(1), StreamName::Err);
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    client.clean_up(false);
    client.leave();
}

#[test]
fn o10_a_flood_does_not_keep_another_tasks_line_waiting() {
    let host = Host::new();
    let mut client = host.connect_with(Memory { keep_bytes: false, ..Memory::default() });
    for flood in 1..=3 {
        client.start(key(flood), shell("yes flood"));
    }
    client.until("a flood", |m| m.streams[&(key(3), StreamName::Out)].received > 20 << 20);
    client.start(key(9), shell("echo line; sleep 100"));
    client.running(key(9));
    let running = Instant::now();
    client.until("the line", |m| m.streams[&(key(9), StreamName::Out)].received == 5);
    // A second is promised of a machine that does nothing else.
    eprintln!("a line beside three floods after {:?}", running.elapsed());
    assert!(running.elapsed() < Duration::from_secs(10), "{:?}", running.elapsed());
    (1..=3).chain([9]).for_each(|task| client.stop(key(task)));
    for task in [1, 2, 3, 9] {
        assert_eq!(client.finished(key(task)), Exit::Stopped { why: "stop".into() });
    }
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_task_waits_when_nobody_takes_its_output_and_loses_nothing() {
    let host = Host::new();
    let mut client = host.connect_with(Memory { acknowledge_output: false, ..Memory::default() });
    let mut spec = shell("yes 0123456 | head -c 8000000");
    spec.output = OutputRule { policy: OutputPolicy::Block, spool_bytes: 1 << 20 };
    client.command(Command::Start { key: key(1), spec: Box::new(spec) });
    client.running(key(1));
    client.listen(Duration::from_millis(500));
    assert!(matches!(client.memory.records[&key(1)].state, TaskState::Running { .. }));
    let spooled: u64 = std::fs::read_dir(host.task_dir(key(1)))
        .unwrap()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("out."))
        .map(|e| e.metadata().unwrap().len())
        .sum();
    assert!((1 << 20..=(1 << 20) + (64 << 10)).contains(&spooled), "{spooled}");
    client.memory.acknowledge_output = true;
    client.open_streams(key(1));
    client.acknowledge(key(1), StreamName::Out);
    client.acknowledge(key(1), StreamName::Err);
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    assert!(client.out(key(1)).chunks(8).all(|line| line == b"0123456\n"));
    assert_eq!(client.out(key(1)).len(), 8_000_000);
    client.clean_up(false);
    client.leave();
}

#[test]
fn o2_with_the_gap_policy_a_task_goes_on_and_gaps_and_bytes_tile_its_output() {
    let host = Host::new();
    let mut client = host.connect_with(Memory { acknowledge_output: false, ..Memory::default() });
    let mut spec = shell("yes 0123456 | head -c 8000000");
    spec.output = OutputRule { policy: OutputPolicy::Gap, spool_bytes: 1 << 20 };
    client.command(Command::Start { key: key(1), spec: Box::new(spec) });
    client.until("the end", |m| {
        matches!(m.records.get(&key(1)).map(|r| &r.state), Some(TaskState::Exited { .. }))
    });
    client.memory.acknowledge_output = true;
    client.open_streams(key(1));
    client.acknowledge(key(1), StreamName::Out);
    client.acknowledge(key(1), StreamName::Err);
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    let stream = &client.memory.streams[&(key(1), StreamName::Out)];
    let missing: u64 = stream.gaps.iter().map(|(from, to)| to - from).sum();
    assert_eq!(stream.bytes.len() as u64 + missing, 8_000_000);
    assert!(missing > 6_000_000 && !stream.gaps.is_empty());
    client.clean_up(false);
    client.leave();
}

/// The measurement of docs/src/agent.md: `PLUSH_STATIC_AGENT=FILE cargo test -p plush-agent --test agent measured --
/// --ignored --nocapture`.
#[test]
#[ignore = "measures the static program, which is built with the product"]
fn memory_is_measured_idle_and_under_a_flood_of_a_gigabyte() {
    const FLOOD_BYTES: u64 = 1 << 30;
    let agent = std::env::var_os("PLUSH_STATIC_AGENT").expect("PLUSH_STATIC_AGENT names a file");
    let host = Host::new();
    let memory = Memory { keep_bytes: false, ..Memory::default() };
    let mut client = Client::open(std::path::Path::new(&agent), &host.base(), &host.run, memory);
    let pid = client.hello.facts.agent_pid;
    println!("agent, idle, no task: {} KiB", rss_kib(pid));
    client.start(key(1), shell("sleep 100"));
    let keeper = host.keeper_of(client.running(key(1)));
    client.listen(Duration::from_millis(500));
    println!("agent, idle, one task: {} KiB; its keeper: {} KiB", rss_kib(pid), rss_kib(keeper));
    let began = Instant::now();
    client.start(key(2), shell(&format!("head -c {FLOOD_BYTES} /dev/zero")));
    let flooded = host.keeper_of(client.running(key(2)));
    let (mut most, mut most_keeper, mut next) = (0, 0, 0);
    while client.memory.streams[&(key(2), StreamName::Out)].received < FLOOD_BYTES {
        client.step();
        let received = client.memory.streams[&(key(2), StreamName::Out)].received;
        if received >= next && received < FLOOD_BYTES {
            next = received + (16 << 20);
            most = most.max(rss_kib(pid));
            if is_alive(flooded) {
                most_keeper = most_keeper.max(rss_kib(flooded));
            }
        }
    }
    let took = began.elapsed();
    println!("under the flood: agent {most} KiB, keeper {most_keeper} KiB, {took:?}");
    assert!(most <= AGENT_RSS_KIB && most_keeper <= AGENT_RSS_KIB / 2);
    client.stop(key(1));
    client.finished(key(1));
    client.clean_up(false);
    client.leave();
}
