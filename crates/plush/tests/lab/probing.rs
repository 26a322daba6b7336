//! Probes from the controller: of servers that stop answering, and of healthy ones while the controller is cut off.

use crate::product::Running;
use crate::reacting::{is_healthy, until};
use crate::stage::Stage;
use plush_lab::Direction;
use std::time::{Duration, Instant};

const EXAMPLE: &str = include_str!("../../../../examples/watched.yaml");

#[test]
fn a_server_that_stops_answering_is_started_again_and_a_controller_that_is_cut_off_judges_nobody() {
    let Some(stage) = Stage::with_hosts(2) else { return };
    stage.file("watched.yaml", EXAMPLE);
    stage.begin("watched.yaml", &["--detach"]).end().expect(0);
    until(&stage, "two healthy servers", |s| {
        ["h001", "h002"].iter().all(|host| is_healthy(s, host, 1))
    });

    // Its port still accepts: that is the kernel.
    let stopped = "kill -STOP $(pgrep -f '[h]ttp.server')";
    let began = Instant::now();
    assert!(stage.lab.run_on("h001", stopped).unwrap().status.success());
    until(&stage, "the next incarnation", |s| is_healthy(s, "h001", 2));
    eprintln!("from the last answer to a healthy one: {:?}", began.elapsed());

    for host in ["h001", "h002"] {
        stage.lab.partition("controller", host, Direction::Both).unwrap();
    }
    std::thread::sleep(Duration::from_secs(20));
    stage.lab.heal().unwrap();
    until(&stage, "everybody is heard", |s| {
        s["hosts"].as_array().unwrap().iter().all(|host| host["contact"] == "heard")
    });
    // As long as two wrong answers take, and more.
    std::thread::sleep(Duration::from_secs(10));
    until(&stage, "the same two servers", |s| is_healthy(s, "h001", 2) && is_healthy(s, "h002", 1));
    Running::start(stage.plush(&["stop", "last"])).end();
    until(&stage, "the end", |s| !s["outcome"].is_null());
    stage.assert_nothing_left();
}
