//! Selection on the command line: hosts, an application, a name; and how check, plan and reference
//! mark features that this build does not support.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, Said};
use serde_json::Value;

const TWO: &str = "\
project: p
resources: [{hosts: \"h[001-003]\", user: me}]
clusters:
  a: {num_hosts: 1, run: a}
  b: {num_hosts: 1, run: b}
applications: {first: {clusters: [a]}, second: {clusters: [b]}}
";

fn bench(text: &str) -> Bench {
    let bench = Bench::new();
    bench.file("app.yaml", text);
    bench
}

fn planned(bench: &Bench, more: &[&str]) -> Value {
    let said = bench.run(&[&["plan", "app.yaml", "--json"], more].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    serde_json::from_str(&said.out).unwrap()
}

fn hosts(plan: &Value) -> Vec<(&str, bool)> {
    let hosts = plan["hosts"].as_array().unwrap().iter();
    hosts.map(|h| (h["name"].as_str().unwrap(), h["remote"].as_bool().unwrap())).collect()
}

#[test]
fn hosts_that_only_the_command_line_names_are_reached_by_ssh() {
    let bench = bench(
        "project: p\nresources: [{type: local, hosts: \"l[1-2]\"}]\nclusters: {c: {num_hosts: all, run: a}}\n",
    );
    let plan = planned(&bench, &["-w", "l1,other"]);
    assert_eq!(hosts(&plan), [("l1", false), ("other", true)]);
    let plan = planned(&bench, &["-w", "me@other[1-2]", "-x", "me@other2"]);
    assert_eq!(hosts(&plan), [("me@other1", true)]);
    let said = bench.run(&["plan", "app.yaml", "-w", "a/b"]);
    assert_eq!(said.code, Some(65));
    assert!(said.err.contains("a/b"), "{}", said.err);
}

#[test]
fn a_host_is_named_with_or_without_the_user_that_the_description_gives_it() {
    let bench = bench(
        "project: p\nresources: [{hosts: \"h[001-003]\", user: me}]\nclusters: {c: {num_hosts: all, run: a}}\n",
    );
    assert_eq!(hosts(&planned(&bench, &["-w", "h001"])), [("me@h001", true)]);
    assert_eq!(hosts(&planned(&bench, &["-w", "me@h001"])), [("me@h001", true)]);
    let plan = planned(&bench, &["-x", "h[002-003]"]);
    assert_eq!(hosts(&plan), [("me@h001", true)]);
}

#[test]
fn a_host_that_is_left_out_must_be_there() {
    let bench = bench("project: p\nhosts: web[1-3]\nrun: a\n");
    let Said { code, err, .. } = bench.run(&["plan", "app.yaml", "-x", "wbe2"]);
    assert_eq!(code, Some(65));
    assert!(err.contains("-x: wbe2 is not among the hosts"), "{err}");
    assert!(err.contains("did you mean `web2`?"), "{err}");
}

#[test]
fn a_host_that_the_description_leaves_out_stays_out_whatever_the_command_line_names() {
    let bench = bench(
        "project: p\nresources: [{hosts: \"h[1-3]\", exclude: h2}]\nclusters: {c: {num_hosts: all, run: a}}\n",
    );
    assert_eq!(hosts(&planned(&bench, &["-w", "h[1-2]"])), [("h1", true)]);
    assert_eq!(hosts(&planned(&bench, &["-x", "h2,h3"])), [("h1", true)]);
}

#[test]
fn an_application_is_chosen_by_its_name_on_every_command_that_plans() {
    let bench = bench(TWO);
    let clusters = |plan: &Value| plan["clusters"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(clusters(&planned(&bench, &[])), "a");
    let second = planned(&bench, &["--application", "second"]);
    assert_eq!(clusters(&second), "b");
    assert_eq!(second["other_applications"], serde_json::json!(["first"]));
    for command in ["plan", "run", "check", "rehearse"] {
        let said = bench.run(&[command, "app.yaml", "--application", "secnd"]);
        assert_eq!(said.code, Some(64), "{command}: {}", said.err);
        assert!(said.err.contains("no application `secnd`"), "{command}: {}", said.err);
        assert!(said.err.contains("did you mean `second`?"), "{command}: {}", said.err);
        assert!(said.err.contains("first, second"), "{command}: {}", said.err);
    }
}

#[test]
fn a_name_that_a_run_has_already_is_refused_by_its_own_code() {
    let bench =
        bench("project: p\nresources: [{type: local, hosts: l1}]\nclusters: {c: {run: a}}\n");
    bench.run_dir("taken");
    let said = bench.run(&["run", "app.yaml", "--name", "taken", "-y"]);
    assert_eq!(said.code, Some(73), "{}", said.err);
    assert!(said.err.contains("there is a run `taken` already"), "{}", said.err);
    assert!(said.err.contains("--name"), "{}", said.err);
}

/// Descriptions that each use one feature that this build does not support, and the keyword at
/// which they do.
const NOT_YET: [(&str, &str); 7] = [
    (
        "project: p\nresources: [{type: inventory, file: hosts.ini}]\nclusters: {c: {num_hosts: 1, run: a}}\n",
        "hosts of type `inventory`",
    ),
    (
        "project: p\nhosts: h1\nclusters: {c: {requirement: {cpus: \">= 2\"}, run: a}}\n",
        "requirements",
    ),
    (
        "project: p\nhosts: h1\nclusters: {c: {run: a}, d: {after: [c], run: a}}\n",
        "clusters one after the other",
    ),
    (
        "project: p\nhosts: h1\nclusters: {c: {execution: [{repeat: {max: 2, do: [{process: a, run: b}]}}]}}\n",
        "repeat",
    ),
    (
        "project: p\nhosts: h1\nclusters: {c: {run: a, on_failure: {cluster: restart}}}\n",
        "restart of a host",
    ),
    (
        "project: p\nhosts: h1\nclusters: {c: {execution: [{process: a, run: b, secrets: {k: f}}]}}\n",
        "secrets",
    ),
    ("project: p\nresources: [{hosts: h1, lease: 4 h}]\nclusters: {c: {run: a}}\n", "`lease`"),
];

#[test]
fn what_this_build_refuses_check_warns_of_in_the_same_words_at_the_same_place() {
    for (text, what) in NOT_YET {
        let bench = bench(text);
        let check = bench.run(&["check", "app.yaml", "--json"]);
        assert_eq!(check.code, Some(0), "{text}{}", check.err);
        let problems: Value = serde_json::from_str(&check.out).unwrap();
        let warning = &problems["problems"][0];
        let message = warning["message"].as_str().unwrap();
        assert_eq!(
            (warning["severity"].as_str(), warning["code"].as_str()),
            (Some("warning"), Some("not-yet"))
        );
        assert!(message.contains(what), "{text}{message}");
        let plan = bench.run(&["plan", "app.yaml"]);
        assert_eq!(plan.code, Some(65), "{text}{}", plan.err);
        assert!(plan.err.contains(message), "{text}{}", plan.err);
        let place = format!("app.yaml:{}:{}", warning["line"], warning["column"]);
        assert!(plan.err.contains(&place), "{text}{place}\n{}", plan.err);
        assert_eq!(plan.err.matches("error").count(), 1, "{text}{}", plan.err);
    }
}

#[test]
fn check_warns_of_one_application_where_one_is_named() {
    let text = TWO.replace(
        "b: {num_hosts: 1, run: b}",
        "b: {num_hosts: 1, run: b, requirement: {cpus: \">= 2\"}}",
    );
    let bench = bench(&text);
    assert!(bench.run(&["check", "app.yaml"]).err.contains("requirements"));
    assert!(
        !bench.run(&["check", "app.yaml", "--application", "first"]).err.contains("requirements")
    );
}

#[test]
fn a_file_of_hosts_that_is_no_directory_file_is_named_for_what_it_is() {
    let bench = bench(
        "project: p\nresources: [{file: hosts.ini}]\nclusters: {c: {num_hosts: 1, run: a}}\n",
    );
    bench.file("hosts.ini", "[web]\nh001\n");
    let said = bench.run(&["plan", "app.yaml"]);
    assert_eq!(said.code, Some(65));
    assert!(said.err.contains("hosts.ini is no directory file"), "{}", said.err);
    assert!(said.err.contains("app.yaml:2:"), "{}", said.err);
}
