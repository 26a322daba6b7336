//! Runs that are stopped or fail leave nothing on any host, whatever their processes do.

use crate::product::Running;
use crate::stage::Stage;
use plush_lab::Kind;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// One process on these hosts; `field` is one more of its fields.
fn description(hosts: &str, field: &str, run: &str) -> String {
    let run = run.replace('\n', "\n          ");
    format!(
        r#"
project: p
resources: [{{type: ssh, hosts: "{hosts}"}}]
clusters:
  c:
    outputs: [part.txt]
    execution:
      - process: p
        {field}
        run: |
          {run}
"#
    )
}

/// Writes a result, says that it is there, and would go on for ever.
const FOR_EVER: &str = "echo part > part.txt\necho here\nexec sleep 100000";

/// Ignores what would end it, and so do its children.
const STUBBORN: &str =
    "trap '' TERM INT HUP\necho part > part.txt\necho here\nwhile :; do sleep 100; done";

/// A child that leaves session, group, parent, environment and pipes, and one that its parent did not wait for.
const DAEMONS: &str = "echo part > part.txt\n\
    setsid env -i /bin/sh -c '(exec sleep 100001) </dev/null >/dev/null 2>&1 &' </dev/null >/dev/null 2>&1\n\
    (setsid sh -c 'trap \"\" TERM; sleep 100002; sleep 100003' </dev/null >/dev/null 2>&1 &)\n\
    echo here";

fn stop_by(run: &str, flags: &[&str], stop: impl FnOnce(&Stage, &Running)) {
    let Some(stage) = Stage::with_hosts(3) else { return };
    stage.file("p.yaml", description("h[001-003]", "", run));
    let mut running = stage.begin("p.yaml", flags);
    (0..3).for_each(|_| running.wait_for("here"));
    stop(&stage, &running);
    let said = running.end().expect(130);
    assert!(said.err.contains(": stopped"), "{}", said.err);
    for host in ["h001", "h002", "h003"] {
        let result = stage.runs()[0].join("results").join(host).join("part.txt");
        assert_eq!(std::fs::read(result).unwrap(), b"part\n");
    }
    stage.assert_nothing_left();
}

#[test]
fn f58_ctrl_c_in_a_script_stops_in_order_and_brings_results_home() {
    stop_by(FOR_EVER, &["--batch"], |_, running| running.signal(Signal::INT));
}

#[test]
fn f58_at_a_terminal_the_second_ctrl_c_in_time_stops_in_order() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    stage.file("p.yaml", description("h[001-003]", "", FOR_EVER));
    let mut running = Running::start_at_terminal(stage.plush_run("p.yaml", &[]));
    (0..3).for_each(|_| running.wait_for("here"));
    running.signal(Signal::INT);
    // Two signals at once are one to the kernel; people are not so fast.
    std::thread::sleep(Duration::from_millis(200));
    running.signal(Signal::INT);
    let said = running.end().expect(130);
    assert!(said.err.contains("the operator asked"), "{}", said.err);
    stage.assert_nothing_left();
}

#[test]
fn f58_sigterm_stops_in_order() {
    stop_by(FOR_EVER, &[], |_, running| running.signal(Signal::TERM));
}

#[test]
fn plush_stop_from_elsewhere_stops_in_order() {
    stop_by(FOR_EVER, &[], |stage, _| {
        stage.call(&["stop", "last"]).expect(0);
    });
}

#[test]
fn f60_a_process_that_ignores_sigterm_is_killed_after_its_grace() {
    let Some(stage) = Stage::with_hosts(2) else { return };
    stage.file("p.yaml", description("h[001-002]", "stop: {grace: 1 s}", STUBBORN));
    let mut running = stage.begin("p.yaml", &["--batch"]);
    (0..2).for_each(|_| running.wait_for("here"));
    let asked = Instant::now();
    running.signal(Signal::INT);
    running.end().expect(130);
    // Grace and two seconds (P10), and what collecting and cleaning take; with the grace that is the default it would be
    // ten seconds at least.
    eprintln!("stopped after {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    stage.assert_nothing_left();
}

#[test]
fn f61_daemons_that_leave_everything_behind_are_ended_with_the_run() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    stage.file("p.yaml", description("h[001-003]", "", DAEMONS));
    stage.run("p.yaml", &[]).expect(0);
    stage.assert_nothing_left();
}

#[test]
fn a_process_that_fails_on_one_host_fails_the_run_and_leaves_nothing() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    let run = "echo part > part.txt\ntest ${rank} != 1 || { echo broken >&2; exit 3; }\necho fine";
    stage.file("p.yaml", description("h[001-003]", "", run));
    let said = stage.run("p.yaml", &[]).expect(1);
    let document = said.document();
    assert_eq!(document["outcome"]["tasks_failed"]["code"], 3, "{}", said.out);
    let problems = said.problems("h002");
    assert!(problems.iter().any(|(_, why)| why.contains("exited with code 3")), "{problems:?}");
    assert_eq!(said.output("h002", "p.1.err"), b"broken\n");
    for host in ["h001", "h003"] {
        assert_eq!(said.output(host, "p.1.out"), b"fine\n");
    }
    for host in ["h001", "h002", "h003"] {
        assert_eq!(said.result(host, "part.txt"), b"part\n");
    }
    stage.assert_nothing_left();
}

#[test]
fn a_run_is_stopped_at_once_while_hosts_fetch() {
    let Some(mut stage) = Stage::with_hosts(3) else { return };
    // Whoever fetches from h003 gets nothing for a long time.
    let slow = "mkdir -p /srv/web/cgi-bin; cat > /srv/web/cgi-bin/p; chmod 755 /srv/web/cgi-bin/p";
    stage.feed("h003", slow, b"#!/bin/sh\nexec sleep 40\n");
    stage.lab.run_on("h003", "busybox httpd -p 8000 -h /srv/web").unwrap();
    stage.remember();
    let text = "project: p\nresources: [{type: ssh, hosts: \"h[001-002]\"}]\n\
                software: {p: {package: {type: web, path: \"http://SERVER:8000/cgi-bin/p\"}}}\n\
                clusters: {c: {software: [p], run: echo never}}\n";
    let server = stage.lab.host(2).address.to_string();
    stage.file("p.yaml", text.replace("SERVER", &server));
    let mut running = stage.begin("p.yaml", &["--events"]);
    (0..2).for_each(|_| running.wait_for("preparing"));
    let asked = Instant::now();
    running.signal(Signal::TERM);
    let said = running.end().expect(130);
    eprintln!("stopped after {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}\n{}", asked.elapsed(), said.err);
    stage.assert_nothing_left_on("h001");
    stage.assert_nothing_left_on("h002");
}

#[test]
fn a_run_that_is_stopped_does_not_wait_for_a_host_that_never_answered() {
    let Some(stage) = Stage::with_hosts(2) else { return };
    stage.lab.misbehave("h002", Kind::Silent).unwrap();
    stage.file("p.yaml", description("h[001-002]", "", FOR_EVER));
    let mut running = stage.begin("p.yaml", &["--events"]);
    running.wait_for("connected");
    let asked = Instant::now();
    running.signal(Signal::TERM);
    // The attempt has not got through the login, so nothing of ours is there; its deadline is nine seconds.
    let said = running.end().expect(130);
    eprintln!("stopped after {:?}", asked.elapsed());
    assert!(said.out.contains("connect_dropped"), "{}", said.out);
    assert!(!said.out.contains("connect_failed"), "its deadline was waited for: {}", said.out);
    stage.assert_nothing_left_on("h001");
}
