//! What is done about crashes, unhealthy processes and lost hosts, on real ones.

use crate::product::Running;
use crate::stage::Stage;
use serde_json::Value;
use std::time::{Duration, Instant};

const EXAMPLE: &str = include_str!("../../../../examples/service.yaml");

/// Asks for the status until it is as wanted; from outside nothing tells.
fn until(stage: &Stage, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let limit = Instant::now() + Duration::from_secs(150);
    loop {
        let status = stage.call(&["status", "last", "--json"]).expect(0).document();
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < limit, "{what}: {status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The tasks on a host that run, with their incarnations and their health.
fn running(status: &Value, host: &str) -> Vec<(u64, Value)> {
    let tasks = status["tasks"].as_array().unwrap().iter();
    tasks
        .filter(|t| t["host"] == host && t["state"] == "running")
        .map(|t| (t["incarnation"].as_u64().unwrap(), t["health"].clone()))
        .collect()
}

fn is_healthy(status: &Value, host: &str, incarnation: u64) -> bool {
    running(status, host) == [(incarnation, "healthy".into())]
}

#[test]
fn the_example_of_a_service_is_restarted_and_replaced() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    // The replacement is not to wait for a minute here.
    stage.file("service.yaml", EXAMPLE.replace("replace_after: 60 s", "replace_after: 1 s"));
    stage.begin("service.yaml", &["--detach"]).end().expect(0);
    until(&stage, "two healthy beacons", |s| ["h001", "h002"].iter().all(|h| is_healthy(s, h, 1)));

    let killed = "kill -9 $(pgrep -f '[s]leep 100000')";
    assert!(stage.lab.run_on("h001", killed).unwrap().status.success());
    until(&stage, "a restart after a crash", |s| is_healthy(s, "h001", 2));

    assert!(stage.lab.run_on("h001", "rm $(find / -xdev -name alive)").unwrap().status.success());
    until(&stage, "a restart of an unhealthy one", |s| is_healthy(s, "h001", 3));

    let began = Instant::now();
    stage.lab.power_off("h002").unwrap();
    until(&stage, "a replacement", |s| is_healthy(s, "h003", 1));
    eprintln!("from power-off to the replacement: {:?}", began.elapsed());
    Running::start(stage.plush(&["stop", "last"])).end();
    until(&stage, "the end", |s| !s["outcome"].is_null());
    stage.assert_nothing_left_on("h001");
    stage.assert_nothing_left_on("h003");
}

#[test]
fn a_service_is_restarted_while_its_controller_is_dead() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    stage.file("service.yaml", EXAMPLE);
    stage.begin("service.yaml", &["--detach"]).end().expect(0);
    until(&stage, "two healthy beacons", |s| ["h001", "h002"].iter().all(|h| is_healthy(s, h, 1)));
    stage.kill_controller();
    let killed = "kill -9 $(pgrep -f '[s]leep 100000') && sleep 1 && pgrep -f '[s]leep 100000'";
    assert!(stage.lab.run_on("h001", killed).unwrap().status.success());
    let _resumed = Running::start(stage.plush(&["resume", "last"]));
    until(&stage, "the restart is known", |s| is_healthy(s, "h001", 2) && is_healthy(s, "h002", 1));
    Running::start(stage.plush(&["stop", "last"])).end();
    until(&stage, "the end", |s| !s["outcome"].is_null());
    stage.assert_nothing_left();
}

const LOOP: &str = r#"
project: loop
resources: [{type: ssh, hosts: "h001"}]
clusters:
  c:
    num_hosts: 1
    execution:
      - process: crash
        run: echo once more; exit 3
        restart: {max: 4 per 1 h, backoff: 20 ms .. 100 ms}
"#;

#[test]
fn f72_a_crash_loop_fails_after_its_budget_with_one_line_about_it() {
    let Some(stage) = Stage::with_hosts(1) else { return };
    stage.file("loop.yaml", LOOP);
    let said = stage.run("loop.yaml", &[]);
    let document = said.document();
    assert_eq!(document["view"]["tasks"][0]["incarnation"], 5);
    assert_eq!(document["view"]["problems"].as_array().unwrap().len(), 1, "{}", said.out);
    (1..=5)
        .for_each(|n| assert_eq!(said.output("h001", &format!("crash.{n}.out")), b"once more\n"));
    stage.assert_nothing_left();
}
