//! Programs at the tasks' socket: what they say reaches the controller, what it answers reaches them.

use crate::client::*;
use plush_protocol::*;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn asks(memory: &Memory) -> Vec<BarrierAsk> {
    let ask = |report: &Report| match report {
        Report::Barrier(ask) => Some(ask.clone()),
        _ => None,
    };
    memory.reports.iter().filter_map(ask).collect()
}

fn next_ask(client: &mut Client, known: usize) -> BarrierAsk {
    client.until("a request", |memory| asks(memory).len() > known);
    asks(&client.memory)[known].clone()
}

fn answer(client: &mut Client, request: u64, outcome: BarrierOutcome) {
    client.command(Command::Barrier(BarrierAnswer { request, outcome }));
}

fn let_go(at_us: Option<u64>) -> BarrierOutcome {
    BarrierOutcome::LetGo { generation: 1, why: "all".into(), waited_ms: 7, at_us }
}

fn knock(host: &Host) -> BufReader<UnixStream> {
    let socket = UnixStream::connect(host.run_dir().join("tasks.sock")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(socket)
}

/// A program that is let in: one that comes while the crowd is still being seen off is turned away, and comes again.
fn admitted(host: &Host, line: &str) -> BufReader<UnixStream> {
    loop {
        let mut program = knock(host);
        // Whoever was turned away cannot be spoken to any more, or hears the end.
        let _turned_away = program.get_mut().write_all(line.as_bytes());
        program.get_mut().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let silent = |e: &std::io::Error| e.kind() == std::io::ErrorKind::WouldBlock;
        if program.fill_buf().is_err_and(|e| silent(&e)) {
            program.get_mut().set_read_timeout(Some(PATIENCE)).unwrap();
            return program;
        }
    }
}

fn say(program: &mut BufReader<UnixStream>, line: &str) {
    program.get_mut().write_all(line.as_bytes()).unwrap();
}

fn hear(program: &mut BufReader<UnixStream>) -> serde_json::Value {
    let mut line = String::new();
    program.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn a_shell_finds_the_program_and_waits_until_it_is_let_go() {
    let host = Host::new();
    let mut client = host.connect();
    let line =
        "plush-agent barrier enter round --json && \"$PLUSH_AGENT\" barrier leave round; echo $?";
    client.start(key(1), shell(line));
    let ask = next_ask(&mut client, 0);
    assert_eq!((ask.barrier.raw(), ask.verb), ("round", BarrierVerb::Enter));
    assert_eq!(ask.who, BarrierEntrant { task: Some(key(1)), alias: Tainted::default() });
    answer(&mut client, ask.request, let_go(None));
    let ask = next_ask(&mut client, 1);
    assert_eq!(ask.verb, BarrierVerb::Leave);
    answer(&mut client, ask.request, BarrierOutcome::Left { generation: 1 });
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    let said = String::from_utf8(client.out(key(1)).to_vec()).unwrap();
    let (first, code) = said.split_once('\n').unwrap();
    let first: serde_json::Value = serde_json::from_str(first).unwrap();
    assert_eq!(
        (first["result"].as_str(), first["waited_ms"].as_u64()),
        (Some("released"), Some(7))
    );
    assert_eq!(code, "0\n");
    client.clean_up(false);
    client.leave();
}

#[test]
fn each_outcome_has_its_exit_code() {
    let outcomes = [
        (BarrierOutcome::TooLate { generation: 1, why: "late".into() }, 3),
        (BarrierOutcome::Unknown { known: vec!["a".into()] }, 4),
        (BarrierOutcome::Dropped { why: "the run stops".into() }, 5),
        (BarrierOutcome::Refused { why: "no".into() }, 65),
    ];
    let host = Host::new();
    let mut client = host.connect();
    for (number, (outcome, code)) in outcomes.into_iter().enumerate() {
        let task = key(number as u32 + 1);
        client.start(task, shell("plush-agent barrier enter b"));
        let ask = next_ask(&mut client, number);
        answer(&mut client, ask.request, outcome);
        assert_eq!(client.finished(task), Exit::Code(code));
    }
    let task = key(9);
    client.start(task, shell("env -u PLUSH_SOCKET plush-agent barrier state b"));
    assert_eq!(client.finished(task), Exit::Code(69));
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_time_limit_takes_the_entrance_back() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("plush-agent barrier enter b --timeout 50ms"));
    let entered = next_ask(&mut client, 0);
    let left = next_ask(&mut client, 1);
    assert_eq!((entered.verb, left.verb), (BarrierVerb::Enter, BarrierVerb::Leave));
    assert_eq!(client.finished(key(1)), Exit::Code(124));
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_killed_agent_is_asked_again_under_the_same_number() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("plush-agent barrier enter b"));
    client.running(key(1));
    let first = next_ask(&mut client, 0);
    let agent = client.hello.facts.agent_pid;
    kill(agent, 9).unwrap();
    gone(agent);
    let mut client = host.connect_with(client.cut());
    let again = next_ask(&mut client, 1);
    assert_eq!(again, first);
    answer(&mut client, again.request, let_go(None));
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    client.clean_up(false);
    client.leave();
}

#[test]
fn hostile_lines_harm_nobody() {
    let host = Host::new();
    let mut client = host.connect();
    let mut hostile = knock(&host);
    for line in ["\n", "{\n", "[1,2]\n", "{\"do\":\"enter\"}\n", "\0\0\n", "{\"do\":{}}\n"] {
        say(&mut hostile, line);
        assert_eq!(hear(&mut hostile)["result"], "refused", "{line:?}");
    }
    say(&mut hostile, &"x".repeat(1 << 16));
    assert_eq!(hear(&mut hostile)["result"], "refused");
    let mut rest = String::new();
    // The agent hangs up with something unread, which is an end or a reset.
    assert_eq!(hostile.read_line(&mut rest).unwrap_or(0), 0, "{rest}");
    let crowd: Vec<_> = (0..100).map(|_| knock(&host)).collect();
    drop(crowd);
    let mut program = admitted(&host, "{\"do\":\"state\",\"barrier\":\"b\",\"request\":5}\n");
    let ask = next_ask(&mut client, 0);
    assert_eq!((ask.request, ask.who.task), (5, None), "a program of no task is known as such");
    let stand = BarrierStand { generation: 2, expected: 3, entered: 1, released: 0, opened: None };
    answer(&mut client, 5, BarrierOutcome::Stands(stand));
    let said = hear(&mut program);
    assert_eq!((said["generation"].as_u64(), said["opened"].is_null()), (Some(2), true));
    client.clean_up(false);
    client.leave();
}

#[test]
fn an_instant_is_waited_for() {
    let host = Host::new();
    let mut client = host.connect();
    let now_us = || plush_agent::clock::now_us();
    let at_us = now_us() + 400_000;
    client.start(key(1), TaskSpec { at_us: Some(at_us), ..shell("true") });
    let mut program = knock(&host);
    say(&mut program, "{\"do\":\"enter\",\"barrier\":\"b\",\"request\":5}\n");
    let ask = next_ask(&mut client, 0);
    answer(&mut client, ask.request, let_go(Some(at_us)));
    assert_eq!(hear(&mut program)["result"], "released");
    assert!(now_us() >= at_us, "the program is let go at the instant");
    let went_on = |memory: &Memory| {
        memory.reports.iter().find_map(|report| match report {
            Report::WentOn { request, at_us } => Some((*request, *at_us)),
            _ => None,
        })
    };
    client.until("a program that goes on", |memory| went_on(memory).is_some());
    let (request, told_us) = went_on(&client.memory).unwrap();
    assert_eq!(request, ask.request);
    assert!(told_us >= at_us, "and its agent says when it was");
    println!("told {} us after the instant", told_us - at_us);
    let began = |memory: &Memory| {
        memory.reports.iter().find_map(|report| match report {
            Report::Task(TaskRecord { state: TaskState::Running { since_us, .. }, .. }) => {
                *since_us
            }
            _ => None,
        })
    };
    client.until("a start", |memory| began(memory).is_some());
    let began = began(&client.memory).unwrap();
    assert!(began >= at_us, "the task is executed at the instant");
    assert!(Duration::from_micros(began - at_us) < Duration::from_secs(10), "or soon after it");
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    client.clean_up(false);
    client.leave();
}
