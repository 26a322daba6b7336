//! What needs no run: help, exit codes, descriptions, host sets, settings, output files.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, Said};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

const HELLO: &str = "project: hello\nhosts: node[01-50].example.org\nrun: ./hello --rank ${rank}\n";

fn check(arguments: &[&str]) -> Said {
    Bench::new().run(arguments)
}

#[test]
fn help_is_a_result_and_lists_the_exit_codes() {
    let said = check(&["run", "--help"]);
    assert_eq!(said.code, Some(0));
    assert!(
        said.out.contains("Exit codes:") && said.out.contains("  75  partial: "),
        "{}",
        said.out
    );
    assert!(said.err.is_empty());
}

#[test]
fn a_mistake_on_the_command_line_is_64() {
    assert_eq!(check(&["run"]).code, Some(64));
    assert_eq!(check(&["--no-such-flag"]).code, Some(64));
    assert_eq!(check(&["runs", "--color", "sometimes"]).code, Some(64));
}

#[test]
fn an_unknown_command_is_answered_with_the_nearest() {
    let said = check(&["stauts"]);
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("did you mean `plush status`?"), "{}", said.err);
}

#[test]
fn an_ssh_configuration_that_is_missing_is_an_error_and_none_is_a_choice() {
    let bench = Bench::new();
    bench.file("hello.yaml", HELLO);
    for arguments in [
        ["doctor", "-F", "nowhere", "web"],
        ["plan", "-F", "nowhere", "hello.yaml"],
        ["run", "-F", "nowhere", "hello.yaml"],
    ] {
        let said = bench.run(&arguments);
        assert_eq!(said.code, Some(64), "{arguments:?}: {}", said.err);
        assert!(said.err.contains("cannot use the SSH configuration nowhere"), "{}", said.err);
    }
    let said = bench.run(&["plan", "-F", "none", "hello.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn a_configuration_below_another_home_is_read_by_both_clients_and_the_doctor_says_so() {
    let bench = Bench::new();
    let text = "Host here\n HostName 127.0.0.1\n Port 9\n User ann\n ProxyCommand false\n";
    let file = bench.file("elsewhere/.ssh/config", text);
    let home = file.parent().unwrap().parent().unwrap();
    let mut doctor = bench.plush(&["doctor", "here", "--json"]);
    let said = Said::of(doctor.env("HOME", home).output().unwrap());
    let told: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let host = &told["hosts"][0];
    assert_eq!(host["way"], serde_json::json!(["ann@127.0.0.1:9"]), "{}", said.out);
    assert_eq!(host["client"], "ssh program", "{}", said.out);
    let note = host["notes"][0].as_str().unwrap();
    assert!(note.contains("is read as with -F, since $HOME is not"), "{note}");
}

#[test]
fn a_program_of_the_name_takes_over() {
    let bench = Bench::new();
    let program = bench.file("bin/plush-greet", "#!/bin/sh\necho \"hello $1 $2\"\nexit 7\n");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let output = bench.plush(&["greet", "--a b", "-x"]).env("PATH", path).output().unwrap();
    let said = Said::of(output);
    assert_eq!((said.code, said.out.as_str()), (Some(7), "hello --a b -x\n"), "{}", said.err);
}

#[test]
fn a_good_description_is_valid() {
    let bench = Bench::new();
    bench.file("hello.yaml", HELLO);
    let said = bench.run(&["check", "hello.yaml"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(0), "hello.yaml: valid: project hello, 1 cluster, no software\n"),
        "{}",
        said.err
    );
}

#[test]
fn a_bad_description_is_shown_with_its_places_and_is_65() {
    let bench = Bench::new();
    bench.file("bad.yaml", "project: hello\nhostss: a\nrun: ./x\n");
    let said = bench.run(&["check", "bad.yaml"]);
    assert_eq!(said.code, Some(65));
    assert!(said.err.contains("bad.yaml:2:1") && said.err.contains("hosts"), "{}", said.err);
    let json: serde_json::Value =
        serde_json::from_str(&bench.run(&["check", "bad.yaml", "--json"]).out).unwrap();
    assert_eq!(json["problems"][0]["line"], 2);
}

#[test]
fn a_description_that_is_not_there_is_65_with_the_cause() {
    let said = check(&["check", "absent.yaml"]);
    assert_eq!(said.code, Some(65));
    assert!(said.err.contains("absent.yaml") && said.err.contains("No such file"), "{}", said.err);
}

#[test]
fn a_description_can_go_to_xml_and_back() {
    let bench = Bench::new();
    bench.file("hello.yaml", HELLO);
    assert_eq!(bench.run(&["convert", "hello.yaml", "-o", "hello.xml"]).code, Some(0));
    let back = bench.run(&["convert", "hello.xml"]);
    assert_eq!(back.code, Some(0), "{}", back.err);
    bench.file("back.yaml", &back.out);
    bench.run(&["convert", "back.yaml", "-o", "again.xml"]);
    let read = |name: &str| std::fs::read_to_string(bench.home.path().join(name)).unwrap();
    assert!(read("hello.xml").contains("<plush"));
    assert_eq!(read("hello.xml"), read("again.xml"));
}

#[test]
fn hosts_are_folded_expanded_and_counted() {
    assert_eq!(check(&["hosts", "fold", "node3", "node1", "node2"]).out, "node[1-3]\n");
    assert_eq!(
        check(&["hosts", "expand", "r[1-2]n[1-2]", "-x", "r1n2", "-S", ","]).out,
        "r1n1,r2n1,r2n2\n"
    );
    assert_eq!(check(&["hosts", "count", "node[001-128]!node[007,019]"]).out, "126\n");
}

#[test]
fn hosts_can_come_from_a_pipe() {
    let bench = Bench::new();
    let list = bench.file("list", "n1\nn2 # two\n\nn3\n");
    let output = bench
        .plush(&["hosts", "fold", "-"])
        .stdin(std::fs::File::open(list).unwrap())
        .output()
        .unwrap();
    assert_eq!(Said::of(output).out, "n[1-3]\n");
    assert_eq!(bench.run(&["hosts", "count", "^list"]).out, "3\n");
}

#[test]
fn a_bad_set_of_hosts_is_pointed_at() {
    let said = check(&["hosts", "count", "node[1-"]);
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains('^'), "{}", said.err);
}

#[test]
fn settings_say_where_they_come_from() {
    let bench = Bench::new();
    bench.file(".config/plush/config.toml", "keep = 'cache'\nstrict = true\n");
    bench.file("plush.toml", "strict = false\n");
    let output = bench
        .plush(&["config", "--origin", "--color", "never"])
        .env("PLUSH_STOP_AFTER", "2 min")
        .output()
        .unwrap();
    let said = Said::of(output);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let row = |key: &str| said.out.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(
        row("keep").contains("cache") && row("keep").ends_with(".config/plush/config.toml"),
        "{}",
        said.out
    );
    assert!(
        row("strict").contains("false") && row("strict").ends_with("from plush.toml"),
        "{}",
        said.out
    );
    assert!(row("stop_after").ends_with("from the environment (PLUSH_STOP_AFTER)"), "{}", said.out);
    assert!(row("color").ends_with("from the command line"), "{}", said.out);
    assert!(row("confirm").ends_with("from the defaults"), "{}", said.out);
}

#[test]
fn a_project_may_not_choose_the_ssh_configuration() {
    let bench = Bench::new();
    bench.file("plush.toml", "ssh_config = 'evil'\n");
    let said = bench.run(&["runs"]);
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("a project may not set `ssh_config`"), "{}", said.err);
}

#[test]
fn completions_come_for_each_shell_and_know_the_runs() {
    let bench = Bench::new();
    bench.run_dir("demo-20261122-1");
    for shell in ["bash", "zsh", "fish"] {
        assert!(bench.run(&["completions", shell]).out.contains("plush"), "{shell}");
    }
    let mut command = bench.plush(&["--", "plush", "status", "de"]);
    command.env("COMPLETE", "fish");
    let said = Said::of(command.output().unwrap());
    assert!(said.out.contains("demo-20261122-1"), "{}", said.out);
}

#[test]
fn manual_pages_are_written() {
    let bench = Bench::new();
    assert_eq!(bench.run(&["man", "man1"]).code, Some(0));
    let page = std::fs::read_to_string(bench.home.path().join("man1/plush-run.1")).unwrap();
    assert!(page.contains("Ctrl\\-C") || page.contains("Ctrl-C"), "{page}");
}

#[test]
fn a_reader_that_stops_reading_ends_the_program_quietly() {
    let bench = Bench::new();
    let mut child = bench
        .plush(&["hosts", "expand", "node[1-900000]"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let said = Said::of(child.wait_with_output().unwrap());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}

fn with_output() -> Bench {
    let bench = Bench::new();
    let output = ".local/state/plush/runs/demo-1/output";
    for host in ["node1", "me@node2:2222", "node3"] {
        bench.file(&format!("{output}/{host}/demo.1.out"), "same\n");
    }
    bench.file(&format!("{output}/node4/demo.1.out"), b"odd \x1b[2J\xff\n");
    bench.file(&format!("{output}/node4/demo.1.err"), "no newline");
    bench
}

#[test]
fn output_is_shown_by_host_and_nothing_in_it_is_obeyed() {
    let said = with_output().run(&["logs", "demo-1"]);
    assert_eq!(
        said.out,
        "me@node2:2222: same\nnode1: same\nnode3: same\nnode4: odd \\x1b[2J\\xff\nnode4: no newline\n",
        "{}",
        said.err
    );
}

#[test]
fn equal_output_is_folded() {
    let said = with_output().run(&["logs", "demo-1", "--fold", "--out"]);
    assert!(said.out.contains("(3)") && said.out.contains("\nsame\n"), "{}", said.out);
    assert_eq!(said.out.matches("same").count(), 1);
}

#[test]
fn raw_output_is_exact() {
    let bench = with_output();
    let output =
        bench.plush(&["logs", "demo-1", "-w", "node4", "--out", "--raw"]).output().unwrap();
    assert_eq!(output.stdout, b"odd \x1b[2J\xff\n");
}

#[test]
fn a_host_is_found_without_its_user_and_port() {
    assert_eq!(
        with_output().run(&["logs", "demo-1", "-w", "node[2-3]"]).out,
        "me@node2:2222: same\nnode3: same\n"
    );
}

#[test]
fn a_host_that_is_not_of_the_run_is_an_error() {
    let said = with_output().run(&["logs", "demo-1", "-w", "node[3-9]"]);
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("node[5-9] is not of this run"), "{}", said.err);
}

#[test]
fn an_unknown_run_is_an_error_that_says_where_it_was_looked_for() {
    let said = check(&["logs", "nothing"]);
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("plush/runs"), "{}", said.err);
}

#[test]
fn a_barrier_to_compare_without_runs_to_compare_is_refused_not_passed_over() {
    let bench = Bench::new();
    let said = bench.run(&["report", "last", "--barrier", "b"]);
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("--barrier"), "{}", said.err);
}
