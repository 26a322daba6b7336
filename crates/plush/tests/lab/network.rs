//! Links that break or are slow while a run goes on: every byte arrives once, and what it costs is explained.

use crate::product::Running;
use crate::reacting::until;
use crate::stage::Stage;
use plush_lab::{Direction, LabOptions, LinkChange};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Each line tells whose it is and which; the pace makes it last for about four seconds.
const TALKS: &str = r#"
project: talks
resources: [{type: ssh, hosts: "h[001-003]"}]
run: |
  i=0
  while test $i -lt 80; do
    busybox awk -v i=$i -v host=${host} 'BEGIN { for (n = 0; n < 500; n++) printf "%s line %d of round %d\n", host, n, i }'
    echo "${host} aside $i" >&2
    sleep 0.05
    i=$((i+1))
  done
"#;

fn expected(host: &str) -> Vec<u8> {
    let line = |i: u32, n: u32| format!("{host} line {n} of round {i}\n");
    (0..80).flat_map(|i| (0..500).map(move |n| line(i, n))).collect::<String>().into_bytes()
}

/// Runs to the tenth round, lets the fault happen, watches to the end: no byte may be missing or twice. The events.
fn with_fault(fault: impl FnOnce(&Stage, &mut Running)) -> Option<Vec<Value>> {
    with_fault_on(LinkChange::default(), fault)
}

/// The same where links have something wrong all the time.
fn with_fault_on(link: LinkChange, fault: impl FnOnce(&Stage, &mut Running)) -> Option<Vec<Value>> {
    let stage = Stage::of(LabOptions { link, ..LabOptions::with_hosts(3) })?;
    stage.file("talks.yaml", TALKS);
    let mut running = stage.begin("talks.yaml", &["--events"]);
    running.wait_for("h002 line 0 of round 10");
    fault(&stage, &mut running);
    let said = running.end().expect(0);
    for host in ["h001", "h002", "h003"] {
        let files = stage.runs()[0].join("output").join(host);
        let out = std::fs::read(files.join("talks.1.out")).unwrap();
        check_bytes(host, &out);
        let aside: String = (0..80).map(|i| format!("{host} aside {i}\n")).collect();
        assert_eq!(std::fs::read_to_string(files.join("talks.1.err")).unwrap(), aside);
    }
    stage.assert_nothing_left();
    let events = said.out.lines().map(|line| serde_json::from_str(line).unwrap());
    Some(events.collect())
}

/// Where the first wrong byte is tells more than that there is one.
#[track_caller]
fn check_bytes(host: &str, out: &[u8]) {
    let wanted = expected(host);
    let same = wanted.iter().zip(out).take_while(|(wanted, found)| wanted == found).count();
    assert!(
        out == wanted,
        "{host} printed {} bytes and {} are here; they differ from byte {same}: {:?}",
        wanted.len(),
        out.len(),
        String::from_utf8_lossy(&out[same..out.len().min(same + 200)])
    );
}

/// When events of a kind happened on the host with this number.
fn times(events: &[Value], kind: &str, host: u32) -> Vec<u64> {
    let here = events.iter().filter(|event| event["event"][kind]["host"] == host);
    here.map(|event| event["at_ms"].as_u64().unwrap()).collect()
}

#[test]
fn f35_a_cable_that_is_out_for_five_seconds_costs_no_byte() {
    with_fault(|stage, _| {
        stage.lab.unplug("h[002-003]").unwrap();
        std::thread::sleep(Duration::from_secs(5));
        stage.lab.plug("h[002-003]").unwrap();
    });
}

#[test]
fn f34_a_connection_that_is_closed_is_made_again_at_once_and_no_byte_is_lost_or_doubled() {
    let events = with_fault(|stage, _| {
        // sshd's processes of the session; the listener and the agent stay.
        let ended = stage.lab.run_on("h002", "pkill -KILL -u plush '^sshd'").unwrap();
        assert!(ended.status.success(), "{ended:?}");
    });
    let Some(events) = events else { return };
    let (lost, connected) = (times(&events, "link_lost", 1), times(&events, "connected", 1));
    assert_eq!((lost.len(), connected.len()), (1, 2));
    eprintln!("resumed after {} ms", connected[1] - lost[0]);
    // Measured: 0.2 s; two seconds are promised of a machine that does nothing else.
    assert!(connected[1] - lost[0] < 10_000, "resumed after {} ms", connected[1] - lost[0]);
    assert_eq!(times(&events, "connected", 0).len(), 1, "the other hosts did not notice");
}

#[test]
fn f37_a_partition_of_half_a_minute_is_noticed_and_healed_and_costs_no_byte() {
    let events = with_fault(|stage, _| {
        stage.lab.partition("controller", "h002", Direction::Both).unwrap();
        std::thread::sleep(Duration::from_secs(22));
        stage.lab.heal().unwrap();
    });
    let Some(events) = events else { return };
    assert_eq!(times(&events, "suspected", 1).len(), 1, "the silence was noticed");
    check_untouched(&events, 0);
}

/// One whose place a spare would have taken in ten minutes, and one that nobody can replace.
#[test]
fn f37_hosts_that_were_given_up_and_are_back_go_on_where_nobody_has_their_place() {
    let Some(stage) = Stage::with_hosts(5) else { return };
    let run = "run: 'i=0; while test $i -lt 110; do i=$((i+1)); echo counting $i; sleep 1; done'";
    let text = format!(
        "project: back\nclusters:\n  c:\n    resources: [{{type: ssh, hosts: 'h[001-003]'}}]\n    \
         num_hosts: {{wanted: 2, spare: 1}}\n    service: {{class: service, replace_after: 10 min}}\n    \
         {run}\n  d:\n    resources: [{{type: ssh, hosts: 'h[004-005]'}}]\n    num_hosts: 2\n    {run}\n"
    );
    stage.file("back.yaml", &text);
    let mut running = stage.begin("back.yaml", &["--events"]);
    running.wait_for("counting 2");
    for host in ["h004", "h001"] {
        stage.lab.unplug(host).unwrap();
        until(&stage, host, |view| {
            let hosts = view["hosts"].as_array().unwrap();
            hosts.iter().any(|h| h["name"] == host && h["state"] == "failed")
        });
        stage.lab.plug(host).unwrap();
    }
    running.end().expect(0);
    let numbers: String = (1..=110).map(|n| format!("counting {n}\n")).collect();
    for (host, process) in [("h001", "c"), ("h002", "c"), ("h004", "d"), ("h005", "d")] {
        let path = stage.runs()[0].join("output").join(host).join(format!("{process}.1.out"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), numbers, "{host} went on to its end");
    }
    stage.assert_nothing_left();
}

/// Nothing was suspected of the host with this number, and its link is the first.
fn check_untouched(events: &[Value], host: u32) {
    assert_eq!(times(events, "suspected", host).len(), 0, "host {host} was suspected");
    assert_eq!(times(events, "connected", host).len(), 1, "host {host} has another link");
}

/// A machine that is too busy to look in time tolerates more, and says so; of a host that has been slow, too.
fn check_noticed_in_ten_seconds(events: &[Value], host: u32) {
    let suspected = events.iter().find(|event| event["event"]["suspected"]["host"] == host);
    let suspected = &suspected.expect("it was noticed")["event"]["suspected"];
    let silent_ms = suspected["silent_ms"].as_u64().unwrap();
    eprintln!("noticed after {silent_ms} ms of silence: {suspected}");
    let was_late = events.iter().any(|event| event["event"]["late"].is_object());
    let was_slow = suspected["limit_ms"].as_u64().unwrap() > 5_000;
    assert!(silent_ms <= 10_000 || was_late || was_slow, "noticed after {silent_ms} ms");
}

#[test]
fn f35_a_link_that_is_dead_without_a_word_is_noticed_within_ten_seconds() {
    let events = with_fault(|stage, running| {
        stage.lab.partition("controller", "h002", Direction::Both).unwrap();
        running.wait_for("\"suspected\"");
        stage.lab.heal().unwrap();
    });
    let Some(events) = events else { return };
    check_noticed_in_ten_seconds(&events, 1);
    check_untouched(&events, 0);
}

#[test]
fn f38_a_link_that_is_dead_in_one_direction_is_noticed_and_healed_and_costs_no_byte() {
    for direction in [Direction::Forth, Direction::Back] {
        let events = with_fault(|stage, running| {
            stage.lab.partition("controller", "h002", direction).unwrap();
            running.wait_for("\"suspected\"");
            stage.lab.heal().unwrap();
        });
        let Some(events) = events else { return };
        check_noticed_in_ten_seconds(&events, 1);
        check_untouched(&events, 0);
    }
}

#[test]
fn f41_packets_that_come_twice_in_another_order_or_damaged_cost_no_byte() {
    let change = LinkChange {
        delay_us: Some(5_000),
        duplicate: Some(0.02),
        reorder: Some(0.02),
        corrupt: Some(0.005),
        ..LinkChange::default()
    };
    let events = with_fault_on(change, |_, _| {});
    let Some(events) = events else { return };
    (0..3).for_each(|host| check_untouched(&events, host));
}

#[test]
fn f43_a_controller_that_stood_still_blames_nobody_and_says_one_line() {
    let stage = Stage::with_hosts(3);
    let Some(stage) = stage else { return };
    stage.file("talks.yaml", TALKS);
    let mut running = stage.begin("talks.yaml", &["--events"]);
    running.wait_for("h002 line 0 of round 10");
    stage.signal_controller(rustix::process::Signal::STOP);
    std::thread::sleep(Duration::from_secs(15));
    stage.signal_controller(rustix::process::Signal::CONT);
    let said = running.end().expect(0);
    let events: Vec<Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let slept = |event: &&Value| event["event"]["slept"].is_object();
    assert_eq!(events.iter().filter(slept).count(), 1);
    assert_eq!(said.err.matches("this machine slept for").count(), 1, "{}", said.err);
    (0..3).for_each(|host| check_untouched(&events, host));
    for host in ["h001", "h002", "h003"] {
        let out = stage.runs()[0].join("output").join(host).join("talks.1.out");
        check_bytes(host, &std::fs::read(out).unwrap());
    }
    stage.assert_nothing_left();
}

const HELLO: &str = "project: hello\nresources: [{type: ssh, hosts: \"h[001-020]\"}]\n\
                     run: echo hello; echo ${rank} > result\noutputs: [result]\n";

/// Every host's time from the first packet to its agent's hello, sorted.
fn connect_ms(out: &str) -> Vec<u64> {
    let events = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found: Vec<u64> = events
        .filter_map(|event| event["event"]["connected"]["account"]["took_ms"].as_u64())
        .collect();
    found.sort_unstable();
    found
}

/// A cold run and a warm one; their times.
fn cold_and_warm(change: LinkChange) -> Option<(Duration, Duration)> {
    let options = LabOptions { link: change, ..LabOptions::with_hosts(20) };
    let stage = Stage::of(options)?;
    stage.file("hello.yaml", HELLO);
    let cold = stage.begin("hello.yaml", &["--keep", "cache", "--events"]).end().expect(0);
    let warm = stage.begin("hello.yaml", &["--events"]).end().expect(0);
    for said in [&cold, &warm] {
        let took = connect_ms(&said.out);
        assert_eq!(took.len(), 20, "every host was connected once");
        assert!(!said.out.contains("\"suspected\""), "none was suspected");
        eprintln!(
            "run {:?}; connecting took {} to {} ms, median {}",
            said.took, took[0], took[19], took[10]
        );
    }
    stage.assert_nothing_left();
    Some((cold.took, warm.took))
}

#[test]
fn twenty_hosts_behind_eighty_milliseconds_and_one_percent_loss_cost_round_trips_and_no_more() {
    let began = Instant::now();
    let Some((near_cold, near_warm)) = cold_and_warm(LinkChange::default()) else { return };
    let far = LinkChange { delay_us: Some(80_000), loss: Some(0.01), ..LinkChange::default() };
    let Some((far_cold, far_warm)) = cold_and_warm(far) else { return };
    eprintln!(
        "near: cold {near_cold:?}, warm {near_warm:?}; far: cold {far_cold:?}, warm {far_warm:?}"
    );
    // Measured: 7 s and 4 s; a lost packet in the wrong place costs a second or two.
    assert!(far_cold < Duration::from_secs(60) && far_warm < Duration::from_secs(40));
    assert!(began.elapsed() < Duration::from_secs(150));
}

#[test]
fn f40_a_link_with_two_seconds_of_round_trip_carries_a_run_and_nobody_is_suspected() {
    let link = LinkChange { delay_us: Some(1_000_000), ..LinkChange::default() };
    let Some(stage) = Stage::of(LabOptions { link, ..LabOptions::with_hosts(2) }) else { return };
    stage.file("hello.yaml", HELLO.replace("h[001-020]", "h[001-002]"));
    let said = stage.begin("hello.yaml", &["--events"]).end().expect(0);
    let took = connect_ms(&said.out);
    assert_eq!(took.len(), 2, "every host was connected once: {}", said.out);
    assert!(!said.out.contains("\"suspected\""), "none was suspected: {}", said.out);
    eprintln!("run {:?}; connecting took {} to {} ms", said.took, took[0], took[1]);
    for (host, rank) in [("h001", "0\n"), ("h002", "1\n")] {
        let result = stage.runs()[0].join("results").join(host).join("result");
        assert_eq!(std::fs::read_to_string(result).unwrap(), rank);
    }
    stage.assert_nothing_left();
}
