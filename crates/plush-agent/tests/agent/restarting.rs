//! Tasks that an agent starts again by itself, and what it does about unhealthy ones.

use crate::client::*;
use plush_protocol::*;
use std::time::{Duration, Instant};

fn rule(max: u32) -> RestartRule {
    RestartRule {
        when: RestartWhen::Failure,
        max: Some(max),
        window_ms: None,
        backoff_min_ms: 50,
        backoff_max_ms: 200,
        ambiguous: Ambiguous::Restart,
    }
}

fn restarting(line: &str, max: u32) -> TaskSpec {
    TaskSpec { restart: Some(rule(max)), ..shell(line) }
}

fn incarnation(incarnation: u32) -> TaskKey {
    TaskKey { task: 1, incarnation }
}

fn open_streams(client: &mut Client, count: u32) {
    (1..=count).for_each(|n| client.open_streams(incarnation(n)));
}

fn runs(memory: &Memory, incarnation: TaskKey) -> bool {
    matches!(memory.records.get(&incarnation).map(|r| &r.state), Some(TaskState::Running { .. }))
}

#[test]
fn f72_a_crash_loop_ends_with_its_budget_and_each_incarnation_keeps_its_output() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), restarting("echo incarnation $PLUSH_INCARNATION; exit 3", 3));
    open_streams(&mut client, 4);
    for n in 1..=4 {
        assert_eq!(client.finished(incarnation(n)), Exit::Code(3));
        assert_eq!(client.out(incarnation(n)), format!("incarnation {n}\n").as_bytes());
        let follows = client.memory.records[&incarnation(n)].again_in_ms.is_some();
        assert_eq!(follows, n < 4);
    }
    client.listen(Duration::from_millis(600));
    assert!(!client.memory.records.contains_key(&incarnation(5)));
    client.clean_up(false);
    client.leave();
}

#[test]
fn p11_the_environment_of_the_second_incarnation_is_the_first_s_but_for_the_counter() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), restarting("env | sort | grep -v ^PLUSH_INCARNATION; exit 1", 1));
    open_streams(&mut client, 2);
    (1..=2).for_each(|n| assert_eq!(client.finished(incarnation(n)), Exit::Code(1)));
    assert!(!client.out(incarnation(1)).is_empty());
    assert_eq!(client.out(incarnation(1)), client.out(incarnation(2)));
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_crash_is_followed_by_its_restart_at_once() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), restarting("exec sleep 4000", 9));
    let pid = client.running(key(1));
    let began = Instant::now();
    kill(pid, 9).unwrap();
    client.until("the second incarnation", |memory| runs(memory, incarnation(2)));
    let took = began.elapsed();
    eprintln!("from the crash to the restart: {took:?}");
    // Half a second is promised of a machine that does nothing else.
    assert!(took < Duration::from_secs(5), "{took:?}");
    client.clean_up(false);
    client.leave();
}

/// Its child has left session, group, parent and pipes, and would never end.
const LEAVES_A_CHILD: &str = "if read child <left; then kill -0 $child && echo beside || echo alone; fi 2>&-\n\
    setsid sleep 4000 </dev/null >/dev/null 2>&1 &\necho $! >left\nexit 3";

#[test]
fn p5_what_a_crashed_task_has_left_behind_is_ended_before_it_runs_again() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), restarting(LEAVES_A_CHILD, 2));
    open_streams(&mut client, 3);
    (1..=3).for_each(|n| assert_eq!(client.finished(incarnation(n)), Exit::Code(3)));
    assert_eq!(client.out(incarnation(2)), b"alone\n");
    assert_eq!(client.out(incarnation(3)), b"alone\n");
    client.clean_up(false);
    client.leave();
}

/// Whoever holds the output of a crashed task does not hold up its restart.
#[test]
fn a_child_that_holds_the_output_of_a_crashed_task_is_ended_with_it() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), restarting("sleep 4000 &\necho begun\nexit 3", 1));
    open_streams(&mut client, 2);
    (1..=2).for_each(|n| assert_eq!(client.finished(incarnation(n)), Exit::Code(3)));
    assert_eq!(client.out(incarnation(2)), b"begun\n");
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_task_is_restarted_while_no_controller_is_there() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), restarting("exec sleep 4000", 9));
    let pid = client.running(key(1));
    let memory = client.cut();
    kill(pid, 9).unwrap();
    let started = host.task_dir(incarnation(2)).join("started");
    let limit = Instant::now() + PATIENCE;
    while !started.exists() {
        assert!(Instant::now() < limit, "nobody restarts it");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut client = host.connect_with(memory);
    client.until("the second incarnation", |memory| runs(memory, incarnation(2)));
    client.clean_up(false);
    client.leave();
}

#[test]
fn f04_an_agent_that_died_is_followed_by_one_that_restarts_what_ended_meanwhile() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), restarting("exec sleep 4000", 9));
    let pid = client.running(key(1));
    let keeper = host.keeper_of(pid);
    let agent = client.hello.facts.agent_pid;
    kill(agent, 9).unwrap();
    gone(agent);
    kill(pid, 9).unwrap();
    gone(keeper);
    let mut client = host.connect_with(client.cut());
    client.until("the second incarnation", |memory| runs(memory, incarnation(2)));
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_stopped_task_is_not_restarted_by_the_next_agent_either() {
    let host = Host::new();
    let mut client = host.connect();
    let mut slow = restarting("exit 1", 9);
    slow.restart = Some(RestartRule { backoff_min_ms: 60_000, backoff_max_ms: 60_000, ..rule(9) });
    client.start(key(1), slow);
    open_streams(&mut client, 2);
    let waits = |m: &Memory| {
        m.records.get(&incarnation(2)).is_some_and(|record| record.again_in_ms.is_some())
    };
    client.until("a wait for the third", waits);
    client.stop(key(1));
    client.until("the last word", |m| m.records[&incarnation(2)].again_in_ms.is_none());
    let agent = client.hello.facts.agent_pid;
    kill(agent, 9).unwrap();
    gone(agent);
    let mut client = host.connect_with(client.cut());
    client.until("the inventory", |m| matches!(m.reports.last(), Some(Report::Inventory { .. })));
    assert!(client.memory.records[&incarnation(2)].again_in_ms.is_none());
    client.clean_up(false);
    client.leave();
}

fn probe(check: ProbeCheck) -> ProbeRule {
    ProbeRule { check, every_ms: 50, time_limit_ms: 5_000, delay_ms: 50, failures: 2, successes: 1 }
}

fn command(line: &str) -> ProbeCheck {
    ProbeCheck::Command(Program::line(line))
}

#[test]
fn an_unhealthy_task_is_ended_and_started_again() {
    let host = Host::new();
    let mut client = host.connect();
    let mut spec = restarting("touch well; exec sleep 4000", 9);
    spec.probes = vec![probe(command("test -e well"))];
    client.start(key(1), spec);
    open_streams(&mut client, 2);
    client.until("health", |m| {
        m.records.get(&key(1)).is_some_and(|r| r.health == Some(Health::Healthy))
    });
    std::fs::remove_file(host.cluster_dir().join("well")).unwrap();
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: Exit::PROBE.into() });
    client.until("the second incarnation's health", |m| {
        m.records.get(&incarnation(2)).is_some_and(|r| r.health == Some(Health::Healthy))
    });
    client.clean_up(false);
    client.leave();
}

#[test]
fn ports_and_urls_are_asked_on_the_host() {
    use std::io::{Read as _, Write as _};
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let mut question = [0; 1024];
            let length = stream.read(&mut question).unwrap_or(0);
            let fine = question[..length].windows(5).any(|w| w == b"/fine");
            let status = if fine { "200 Fine" } else { "500 Ill" };
            // A probe of the port alone asks nothing.
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 100000\r\n\r\n");
            let body = stream.write_all(&[b'x'; 100_000]);
            let end = body.and_then(|()| stream.read(&mut question));
            assert!(matches!(end, Ok(0)), "a connection was reset: {end:?}");
        }
    });
    let host = Host::new();
    let mut client = host.connect();
    let url = |path: &str| ProbeCheck::Http(format!("http://127.0.0.1:{port}/{path}"));
    let checks = [ProbeCheck::Tcp(port), url("fine"), ProbeCheck::Tcp(1), url("ill")];
    let verdicts = [Health::Healthy, Health::Healthy, Health::Unhealthy, Health::Unhealthy];
    for (task, (check, verdict)) in (1..).zip(checks.into_iter().zip(verdicts)) {
        let unhealthy = Unhealthy::Tell;
        client.start(
            key(task),
            TaskSpec { probes: vec![probe(check)], unhealthy, ..shell("exec sleep 4000") },
        );
        client.until("a verdict", |m| {
            m.records.get(&key(task)).is_some_and(|r| r.health == Some(verdict))
        });
    }
    client.clean_up(false);
    client.leave();
}

#[test]
fn values_of_a_line_reach_the_task_and_the_probe_that_they_belong_to_and_nothing_else() {
    let host = Host::new();
    let mut client = host.connect();
    let with = |line: &str, value: &str| Program::Shell {
        line: line.into(),
        values: vec![("PLUSH_VALUE_v".into(), value.into())],
    };
    let print = "printf '%s\\n' \"${PLUSH_VALUE_v}\"; touch well; exec sleep 4000";
    let asks = "test -e well && test \"${PLUSH_VALUE_v}\" = 'asked; exit 1'";
    let check = ProbeCheck::Command(with(asks, "asked; exit 1"));
    let spec = TaskSpec { probes: vec![probe(check)], ..shell("") };
    client.start(key(1), TaskSpec { program: with(print, "a $(exit 1) 'b"), ..spec });
    client.start(key(2), shell("env | grep -c ^PLUSH_VALUE_"));
    client.finished(key(2));
    client.until("health", |m| {
        m.records.get(&key(1)).is_some_and(|r| r.health == Some(Health::Healthy))
    });
    client.stop(key(1));
    client.finished(key(1));
    assert_eq!(client.out(key(1)), b"a $(exit 1) 'b\n");
    assert_eq!(client.out(key(2)), b"0\n");
    client.clean_up(false);
    client.leave();
}
