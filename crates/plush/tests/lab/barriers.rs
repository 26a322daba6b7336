//! Barriers of programs on real hosts: the examples of the guide, and what a killed agent, a killed controller and a lost
//! host change about them.

use crate::stage::Stage;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The hosts of one lab share this machine's clock, so that their words can be compared.
fn moments(run: &Path, host: &str, process: &str) -> Vec<(u32, String, u128)> {
    let path = run.join("output").join(host).join(format!("{process}.1.out"));
    let text = std::fs::read_to_string(path).unwrap();
    let words = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[0].parse().unwrap(), words[1].to_owned(), words[2].parse().unwrap())
    });
    words.collect()
}

/// Nobody came out of a round before everybody had come to it.
fn check_rounds(run: &Path, rounds: u32, who: &[(&str, &str)]) {
    let all: Vec<_> = who.iter().map(|(host, process)| moments(run, host, process)).collect();
    for round in 1..=rounds {
        let times = |word: &str| -> Vec<u128> {
            let of = |m: &Vec<(u32, String, u128)>| {
                m.iter().find(|(n, w, _)| *n == round && w == word).expect("it went through").2
            };
            all.iter().map(of).collect()
        };
        let (last_in, first_out) =
            (times("before").into_iter().max(), times("after").into_iter().min());
        assert!(first_out >= last_in, "round {round}: {first_out:?} before {last_in:?}");
    }
}

fn examples(stage: &Stage) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/barriers");
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), stage.home.path().join(entry.file_name())).unwrap();
    }
}

fn run_here(stage: &Stage, line: &str) {
    let mut command = Command::new("/bin/sh");
    let done = command.args(["-c", line]).current_dir(stage.home.path()).output().unwrap();
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn programs_in_four_languages_meet_without_a_library() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    examples(&stage);
    run_here(&stage, "cc -static -o rounds-c rounds.c && rustc -o rounds-rust rounds.rs");
    let said = stage.run("everybody.yaml", &[]).expect(0);
    let mut who = Vec::new();
    for host in ["h001", "h002", "h003"] {
        who.extend(["shell", "python", "c", "rust"].map(|process| (host, process)));
    }
    check_rounds(&said.directory(), 3, &who);
    let document = said.document();
    let barriers = document["view"]["barriers"].as_array().unwrap();
    let round = barriers.iter().find(|b| b["name"] == "round").unwrap();
    assert_eq!((&round["generation"], &round["opened"]), (&3.into(), &"all".into()), "{round}");
    stage.assert_nothing_left();
}

/// Three hosts, six rounds, with time between them for something to happen.
const SLOW: &str = r#"
project: slow
resources: [{type: ssh, hosts: "h[001-003]"}]
clusters:
  c:
    num_hosts: {wanted: 3, min: 2}
    execution:
      - process: meet
        run: |
          for n in 1 2 3 4 5 6; do
            echo "$n before $(date +%s%N)"
            plush-agent barrier enter round || exit $?
            echo "$n after $(date +%s%N)"
            sleep 0.5
          done
barriers: {round: {}}
"#;

const ALL: [(&str, &str); 3] = [("h001", "meet"), ("h002", "meet"), ("h003", "meet")];

#[test]
fn a_killed_agent_holds_nobody_up_and_lets_nobody_go_twice() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    stage.file("slow.yaml", SLOW);
    let mut running = stage.begin("slow.yaml", &["--events"]);
    running.wait_for("\"barrier\":\"round\"");
    let agent = "for p in $(pgrep -f 'agent-[0-9a-f]* serve'); do kill -9 $p; done";
    let killed = stage.lab.run_on("h002", agent).unwrap();
    assert!(killed.status.success(), "{killed:?}");
    running.end().expect(0);
    check_rounds(&stage.runs()[0], 6, &ALL);
    stage.assert_nothing_left();
}

#[test]
fn nobody_waits_for_a_program_that_was_killed() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    stage.file("slow.yaml", SLOW);
    let mut running = stage.begin("slow.yaml", &["--events"]);
    running.wait_for("\"barrier\":\"round\"");
    stage
        .lab
        .run_on(
            "h003",
            "for p in $(pgrep -x sleep); do kill -9 $p; done; pkill -9 -f 'barrier ente[r]'",
        )
        .unwrap();
    running.end();
    check_rounds(&stage.runs()[0], 6, &ALL[..2]);
    stage.assert_nothing_left();
}

/// One place inside, which the first host takes and does not give back.
const ONE_PLACE: &str = r#"
project: place
resources: [{type: ssh, hosts: "h[001-003]"}]
clusters:
  c:
    num_hosts: {wanted: 3, min: 2}
    execution:
      - process: pass
        run: |
          test "$PLUSH_HOST" = h001 || plush-agent barrier enter first || exit $?
          plush-agent barrier enter place || exit $?
          echo "1 inside $(date +%s%N)"
          if test "$PLUSH_HOST" = h001; then plush-agent barrier enter first; sleep 100000; fi
          sleep 1
          echo "1 through $(date +%s%N)"
          plush-agent barrier leave place
barriers:
  first: {}
  place: {entry: {count: 1}, release: {inside: 1}}
"#;

#[test]
fn f78_a_host_that_dies_inside_gives_its_place_back() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    stage.file("place.yaml", ONE_PLACE);
    let mut running = stage.begin("place.yaml", &["--events"]);
    // Everybody is at `first`, so the first host is inside `place`.
    running.wait_for("\"barrier\":\"first\",\"generation\":1,\"policy\":\"all\"");
    stage.lab.power_off("h001").unwrap();
    let off = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    running.end();
    let run = &stage.runs()[0];
    let mut stays: Vec<(u128, u128)> = Vec::new();
    for host in ["h002", "h003"] {
        let told = moments(run, host, "pass");
        let words: Vec<&str> = told.iter().map(|(_, word, _)| word.as_str()).collect();
        assert_eq!(words, ["inside", "through"], "{host}");
        stays.push((told[0].2, told[1].2));
        stage.assert_nothing_left_on(host);
    }
    stays.sort_unstable();
    assert!(off < stays[0].0, "the place was the dead host's until then");
    assert!(stays[0].1 <= stays[1].0, "one place is for one at a time: {stays:?}");
    eprintln!("from power-off to the next one inside: {} ms", (stays[0].0 - off) / 1_000_000);
}

#[test]
fn a_preparation_that_waits_for_all_hosts_is_told_when_it_opens() {
    let Some(stage) = Stage::with_hosts(2) else { return };
    let text = "project: told\nresources: [{type: ssh, hosts: 'h00[1-2]'}]\nclusters:\n  c:\n    num_hosts: 2\n    \
                prepare: {entry: {percent: 100}}\n    run: 'true'\n";
    stage.file("told.yaml", text);
    let said = stage.begin("told.yaml", &["--events"]).end().expect(0);
    let told = |barrier: &str| {
        let opened = "{\"is\":\"opened\",";
        let name = format!("\"barrier\":\"{barrier}\"");
        said.out.lines().filter(|l| l.starts_with(opened) && l.contains(&name)).count()
    };
    assert_eq!((told("c/prepare"), told("c/ready")), (1, 1), "{}", said.out);
    stage.assert_nothing_left();
}

#[test]
fn tasks_start_together_and_the_summary_says_how_well() {
    let Some(stage) = Stage::with_hosts(5) else { return };
    examples(&stage);
    let said = stage.run("together.yaml", &[]).expect(0);
    let document = said.document();
    let ready = &document["view"]["barriers"][0];
    assert_eq!(ready["name"], "runners/ready");
    let together = &ready["together"];
    assert_eq!((&together["started"], &together["expected"]), (&5.into(), &5.into()), "{ready}");
    let starts: Vec<u128> = (1..=5)
        .map(|n| String::from_utf8(said.output(&format!("h00{n}"), "start.1.out")).unwrap())
        .map(|text| text.trim().parse().unwrap())
        .collect();
    let spread_ms = (starts.iter().max().unwrap() - starts.iter().min().unwrap()) / 1_000_000;
    println!("seen by the programs: {spread_ms} ms; told: {together}");
    // The machine may be loaded; unsynchronised they would be apart by what preparing and sending costs, and more.
    assert!(spread_ms < 3_000, "{starts:?}");
    let uncertainty = together["uncertainty_us"].as_u64().unwrap();
    assert!(uncertainty > 0 && uncertainty < 1_000_000, "{together}");
    stage.assert_nothing_left();
}

/// Programs that begin each round at one instant; between rounds they drift apart.
#[test]
fn programs_begin_their_rounds_together_and_the_summary_says_how_well() {
    let Some(stage) = Stage::with_hosts(5) else { return };
    examples(&stage);
    let said = stage.run("steps.yaml", &[]).expect(0);
    let document = said.document();
    let barriers = document["view"]["barriers"].as_array().unwrap();
    let step = barriers.iter().find(|b| b["name"] == "step").unwrap();
    assert_eq!(step["generation"], 5, "{step}");
    let (last, worst) = (&step["together"], &step["worst"]);
    assert_eq!((&last["started"], &last["expected"]), (&5.into(), &5.into()), "{step}");
    assert!(worst["together"]["last_us"].as_i64() >= last["last_us"].as_i64(), "{step}");
    let uncertainty = last["uncertainty_us"].as_u64().unwrap();
    assert!(uncertainty > 0 && uncertainty < 1_000_000, "{step}");
    // The hosts of one lab share this machine's clock, so that their words can be compared.
    for round in 1..=5 {
        let starts: Vec<u128> = (1..=5)
            .map(|n| moments(&said.directory(), &format!("h00{n}"), "steps"))
            .map(|told| told.iter().find(|(n, ..)| *n == round).unwrap().2)
            .collect();
        let spread_us = (starts.iter().max().unwrap() - starts.iter().min().unwrap()) / 1_000;
        println!("round {round}: seen by the programs {spread_us} us");
        // The machine may be loaded; without an instant they would be apart by as much as one more agent's turn.
        assert!(spread_us < 3_000_000, "{starts:?}");
    }
    println!("told of the last round: {last}; the worst: {worst}");
    stage.assert_nothing_left();
}

#[test]
fn iperf3_measures_one_pair_at_a_time_and_then_four() {
    let Some(stage) = Stage::with_hosts(8) else { return };
    examples(&stage);
    let said = stage.run("iperf.yaml", &[]).expect(0);
    let spans = |process: &str| -> Vec<(u128, u128)> {
        let span = |n: u32| {
            let text =
                String::from_utf8(said.output(&format!("h00{n}"), &format!("{process}.1.out")));
            let numbers: Vec<u128> =
                text.unwrap().split_whitespace().map(|w| w.parse().unwrap()).collect();
            (numbers[0], numbers[1])
        };
        (5..=8).map(span).collect()
    };
    let at_once = |spans: &[(u128, u128)]| {
        let meet = |(at, _): &(u128, u128)| spans.iter().filter(|(a, b)| a <= at && at < b).count();
        spans.iter().map(meet).max().unwrap()
    };
    assert_eq!(at_once(&spans("one")), 1, "{:?}", spans("one"));
    assert!(at_once(&spans("four")) > 1, "{:?}", spans("four"));
    for n in 5..=8 {
        for process in ["one", "four"] {
            let found = said.result(&format!("h00{n}"), &format!("{process}.json"));
            let found: serde_json::Value = serde_json::from_slice(&found).unwrap();
            let speed = found["end"]["sum_received"]["bits_per_second"].as_f64().unwrap();
            println!("h00{n} {process}: {:.0} Mbit/s", speed / 1e6);
            assert!(speed > 0.0);
        }
    }
    stage.assert_nothing_left();
}
