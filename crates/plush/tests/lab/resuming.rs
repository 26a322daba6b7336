//! A killed controller's hosts, found again by the next one: how soon.
//!
//! `HOSTS=100 cargo test --release -p plush --test lab re_attached -- --nocapture` measures with more of them.

use crate::stage::Stage;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const HOSTS: u16 = 20;
/// What is promised of a hundred hosts on an idle machine; here others may be at work beside.
const PROMISED: Duration = Duration::from_secs(10);

#[test]
fn f50_hosts_are_re_attached_within_ten_seconds_of_a_resume() {
    let hosts = std::env::var("HOSTS").map_or(HOSTS, |n| n.parse().unwrap());
    let Some(stage) = Stage::with_hosts(hosts) else { return };
    let text = format!(
        "project: held\nresources: [{{type: ssh, hosts: \"h[001-{hosts:03}]\"}}]\n\
         run: echo begun; sleep 20; echo through\n"
    );
    stage.file("held.yaml", text);
    let mut first = stage.begin("held.yaml", &["--events"]);
    (0..hosts).for_each(|_| first.wait_for("begun"));
    stage.kill_controller();
    let _ = first.end();
    let began = Instant::now();
    let mut resumed =
        crate::product::Running::start(stage.plush(&["resume", "last", "--events", "-q"]));
    // Events of the past are told first: what counts comes after the restart.
    resumed.wait_for("\"restarted\"");
    let mut connected = BTreeSet::new();
    while connected.len() < usize::from(hosts) {
        let line = resumed.wait_for_line("\"connected\"");
        let event: Value = serde_json::from_str(&line).unwrap();
        connected.insert(event["event"]["connected"]["host"].as_u64().unwrap());
    }
    let took = began.elapsed();
    eprintln!("{hosts} hosts re-attached {took:?} after `plush resume` was called");
    assert!(took < PROMISED, "{took:?}");
    let said = resumed.end().expect(0);
    let lines = said.out.lines().filter(|line| line.contains("\"connected\"")).count();
    assert_eq!(lines, 2 * usize::from(hosts), "each was connected once by each controller");
    for host in stage.lab.hosts() {
        let out = stage.runs()[0].join("output").join(&host.name).join("held.1.out");
        assert_eq!(std::fs::read(out).unwrap(), b"begun\nthrough\n");
    }
    stage.assert_nothing_left();
}
