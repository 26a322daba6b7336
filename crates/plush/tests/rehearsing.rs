//! `plush rehearse`: a description played with imaginary hosts.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, Said};

const EXAMPLE: &str = include_str!("../../../examples/rehearsed.yaml");

fn check(arguments: &[&str]) -> Said {
    let bench = Bench::new();
    bench.file("app.yaml", EXAMPLE);
    bench.run(&[&["rehearse", "app.yaml"], arguments].concat())
}

#[test]
fn one_seed_is_one_story() {
    let arguments = ["--hosts", "480", "--profile", "lan", "--seed", "7", "--runs", "2"];
    let said = check(&arguments);
    assert_eq!(said.code, Some(0), "{}", said.err);
    insta::assert_snapshot!(without_numbers(&said.out));
    assert_eq!(check(&arguments).out, said.out);
}

/// The form of the page: its numbers follow from every rule there is, and would change with each of them.
fn without_numbers(page: &str) -> String {
    let mut form = String::new();
    for c in page.chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        if !(matches!(c, '#' | ' ') && form.ends_with(c)) {
            form.push(c);
        }
    }
    form
}

#[test]
fn the_barriers_and_the_end_are_told_for_programs() {
    let said = check(&["--hosts", "490", "--profile", "lan", "--runs", "3", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&json["profile"], &json["hosts"]), (&"lan".into(), &490.into()));
    let runs = json["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    for run in runs {
        assert_eq!(run["outcome"], "complete", "{run}");
        let ready = &run["barriers"][0];
        assert_eq!(ready["barrier"], "peers/ready");
        assert_eq!(ready["opened"]["entered"], 460, "{ready}");
        // Two steps of about a minute each, on hosts that are alike.
        let took_ms = run["took_ms"].as_u64().unwrap();
        assert!((116_000..150_000).contains(&took_ms), "{took_ms}");
    }
}

#[test]
fn what_is_assumed_of_processes_counts() {
    let took_ms = |durations: &[&str]| {
        let always = ["--hosts", "480", "--profile", "lan", "--runs", "1", "--json"];
        let said = check(&[&always, durations].concat());
        let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        json["runs"][0]["took_ms"].as_u64().unwrap()
    };
    let short = took_ms(&["--duration", "1s"]);
    let long = took_ms(&["--duration", "1s", "--duration", "settle=10min..11min"]);
    assert!(short < 30_000, "{short}");
    assert!((600_000..700_000).contains(&long), "{long}");
    let stopped = took_ms(&["--duration", "1h", "--until", "5min"]);
    assert!((300_000..400_000).contains(&stopped), "{stopped}");
}

#[test]
fn lost_hosts_are_replaced_by_those_that_are_left() {
    let said = check(&["--hosts", "500", "--profile", "planetlab", "--runs", "2", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    for run in json["runs"].as_array().unwrap() {
        let number = |name: &str| run[name].as_u64().unwrap();
        assert!(number("lost") > 10, "one in twenty never answers: {run}");
        assert!(number("replacements") > 10, "{run}");
    }
}

#[test]
fn wrong_uses_are_told_apart() {
    let wrong = |arguments: &[&str], says: &str| {
        let said = check(arguments);
        assert_eq!(said.code, Some(64), "{arguments:?}: {}", said.err);
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
    };
    wrong(&["--profile", "moon"], "planetlab, cloud, lan");
    wrong(&["--duration", "soon"], "no duration");
    wrong(&["--duration", "9s..1s"], "ends before it begins");
    wrong(&["--duration", "nobody=1s"], "it has explore, settle");
    wrong(&["--hosts", "0"], "--hosts");
    wrong(&["--runs", "0"], "--runs");
    let few = check(&["--hosts", "50"]);
    assert_eq!(few.code, Some(69), "{}", few.err);
    assert!(few.out.is_empty(), "{}", few.out);
}
