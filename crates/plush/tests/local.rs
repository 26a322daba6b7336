//! Whole runs on hosts of type `local`: what needs no network and no root.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, Said};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

/// The events that `note.sh` of the example has kept.
fn events(bench: &Bench, said: &Said) -> Vec<Value> {
    let view: Value = serde_json::from_str(&said.out).unwrap();
    let run = view["run"].as_str().unwrap();
    let path = bench.run_dir(run).join("events.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

fn example(name: &str) -> String {
    Path::new(EXAMPLES).join(name).to_string_lossy().into_owned()
}

fn script(bench: &Bench, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = bench.file(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn t10_callbacks_run_only_once_the_description_is_trusted() {
    let bench = Bench::new();
    script(&bench, "note.sh", "#!/bin/sh\ncat >>\"$PLUSH_RUN_DIR/events.jsonl\"\n");
    let text = "project: p\nresources: [{type: local, hosts: l1}]\nrun: echo hi\n\
                callbacks: [{event: run_ended, command: [./note.sh]}]\n";
    bench.file("app.yaml", text);
    let said = bench.run(&["run", "app.yaml", "--json"]);
    assert_eq!(said.code, Some(77), "{}", said.err);
    assert!(said.err.contains("on run_ended: ./note.sh"), "{}", said.err);
    assert!(bench.run(&["plan", "app.yaml"]).out.contains("./note.sh"));

    let once = bench.run(&["run", "app.yaml", "--json", "--trust"]);
    assert_eq!(kinds(&events(&bench, &once)), ["run_ended"], "{}", once.err);
    assert_eq!(bench.run(&["run", "app.yaml"]).code, Some(77), "--trust is for once");

    assert_eq!(bench.run(&["trust", "app.yaml"]).code, Some(0));
    let trusted = bench.run(&["run", "app.yaml", "--json"]);
    assert_eq!(trusted.code, Some(0), "{}", trusted.err);
    assert_eq!(kinds(&events(&bench, &trusted)), ["run_ended"]);

    bench.file("app.yaml", format!("{text}# changed\n"));
    assert_eq!(bench.run(&["run", "app.yaml"]).code, Some(77), "it is another description now");
    bench.file("app.yaml", text);
    assert_eq!(bench.run(&["trust", "--revoke", "app.yaml"]).code, Some(0));
    assert_eq!(bench.run(&["run", "app.yaml"]).code, Some(77));
}

#[test]
fn the_example_of_callbacks_is_told() {
    let bench = Bench::new();
    let said = bench.run(&["run", &example("callbacks.yaml"), "--json", "--trust"]);
    let events = events(&bench, &said);
    assert_eq!(kinds(&events), ["run_started", "process_failed", "run_ended"], "{}", said.err);
    assert_eq!(events[1]["process"], "work");
    assert_eq!(said.code, Some(1), "the failed task stays failed: {}", said.err);
}

#[test]
fn the_example_of_deciding_tries_again_until_its_program_is_content() {
    let bench = Bench::new();
    let said = bench.run(&["run", &example("deciding.yaml"), "--json", "--trust"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let view: Value = serde_json::from_str(&said.out).unwrap();
    let tasks = view["view"]["tasks"].as_array().unwrap();
    let work = tasks.iter().filter(|t| t["process"] == "work");
    let incarnations: Vec<&Value> = work.map(|t| &t["incarnation"]).collect();
    assert_eq!(incarnations, [3, 3], "{}", said.err);
    let output = bench.run_dir(view["run"].as_str().unwrap()).join("output/local1");
    for n in 1..=3 {
        let text = std::fs::read_to_string(output.join(format!("work.{n}.out"))).unwrap();
        assert_eq!(text, format!("try {n} on local1\n"));
    }
    assert!(output.join("report.1.out").exists(), "what follows it has run");
}

#[test]
fn more_hosts_than_there_are_is_an_error_of_the_plan_and_what_w_leaves_is_what_is_wanted() {
    let bench = Bench::new();
    let text = |number: &str| {
        format!(
            "project: p\nresources: [{{type: local, hosts: \"l[1-3]\"}}]\nnum_hosts: {number}\nrun: echo here\n"
        )
    };
    bench.file("app.yaml", text("5"));
    let said = bench.run(&["run", "app.yaml"]);
    assert_eq!(said.code, Some(69), "{}", said.err);
    assert!(said.err.contains("min: 3"), "the way out is named: {}", said.err);
    assert!(!bench.home.path().join(".local/state/plush/runs").exists(), "nothing was begun");
    let narrowed = bench.run(&["run", "app.yaml", "-w", "l1", "-q"]);
    assert_eq!(narrowed.code, Some(0), "{}", narrowed.err);
    assert_eq!(narrowed.err.lines().count(), 1, "{}", narrowed.err);
    bench.file("app.yaml", text("{wanted: 5, min: 3}"));
    assert_eq!(bench.run(&["run", "app.yaml"]).code, Some(0));
    let strict = bench.run(&["run", "app.yaml", "--strict"]);
    assert_eq!(strict.code, Some(75), "{}", strict.err);
    assert!(strict.err.contains("2 places had no host"), "{}", strict.err);
}

#[test]
fn outputs_that_match_nothing_are_named_and_make_the_code_75() {
    let bench = Bench::new();
    bench.file(
        "app.yaml",
        "project: p\nresources: [{type: local, hosts: l1}]\noutputs: [logs, nosuch.txt, \"{a,b}.txt\"]\n\
         run: mkdir -p logs/deep; echo data > logs/deep/one; echo b > b.txt\n",
    );
    let said = bench.run(&["run", "app.yaml", "--json"]);
    assert_eq!(said.code, Some(75), "{}", said.err);
    assert!(said.err.contains("output `nosuch.txt` matched no file"), "{}", said.err);
    let view: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(view["view"]["sums"]["results_missing"], serde_json::json!(["l1"]));
    let results = bench.run_dir(view["run"].as_str().unwrap()).join("results/l1");
    assert!(results.join("logs/deep/one").exists() && results.join("b.txt").exists());
}

#[test]
fn a_program_on_a_host_decides_there_and_needs_no_trust() {
    let bench = Bench::new();
    let text = |decision: &str| {
        format!(
            "project: p\nresources: [{{type: local, hosts: l1}}]\nclusters:\n  c:\n    num_hosts: 1\n    \
             on_failure: {{process: {{call: {{at: host, command: [/bin/sh, -c, 'echo \"{{\\\"decision\\\": \
             \\\"{decision}\\\"}}\"']}}}}}}\n    execution:\n      - process: a\n        run: exit 3\n      \
             - process: b\n        run: echo after\n"
        )
    };
    for (decision, processes, code) in [("continue", 2, 0), ("skip", 1, 1), ("fail", 1, 1)] {
        bench.file("app.yaml", text(decision));
        let said = bench.run(&["run", "app.yaml", "--json"]);
        let view: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(view["view"]["tasks"].as_array().unwrap().len(), processes, "{decision}");
        assert_eq!(said.code, Some(code), "{decision}: {}", said.err);
    }
}

#[test]
fn f81_a_program_that_cannot_decide_about_a_failure_leaves_the_default() {
    let bench = Bench::new();
    script(&bench, "hang.sh", "#!/bin/sh\nsleep 600 & sleep 600\n");
    script(&bench, "die.sh", "#!/bin/sh\necho no luck >&2\nexit 9\n");
    script(&bench, "rubbish.sh", "#!/bin/sh\nhead -c 100000 /dev/urandom\n");
    script(&bench, "dance.sh", "#!/bin/sh\necho '{\"decision\": \"dance\"}'\n");
    for (program, complaint) in [
        ("hang.sh", "within 300 ms"),
        ("die.sh", "no luck"),
        ("rubbish.sh", "not an answer"),
        ("dance.sh", "`dance` is no decision here"),
        ("absent.sh", "cannot be started"),
    ] {
        bench.file(
            "app.yaml",
            format!(
                "project: p\nresources: [{{type: local, hosts: l1}}]\nclusters:\n  c:\n    num_hosts: 1\n    \
                 on_failure: {{process: {{call: {{command: [./{program}], time_limit: 300 ms}}}}}}\n    \
                 execution:\n      - process: a\n        run: exit 3\n      - process: b\n        run: echo after\n"
            ),
        );
        let said = bench.run(&["run", "app.yaml", "--json", "--trust"]);
        assert_eq!(said.code, Some(1), "{program}: {}", said.err);
        let view: Value = serde_json::from_str(&said.out).unwrap();
        let causes = view["view"]["problems"].to_string();
        // Under load even a program that would answer may not get as far as that in its time.
        let is_said = causes.contains(complaint) || causes.contains("within 300 ms");
        assert!(is_said, "{program}: {causes}");
        assert_eq!(view["view"]["tasks"].as_array().unwrap().len(), 1, "{program}: {causes}");
    }
}

/// The newest run's file, once it holds this.
fn wait_for_output(bench: &Bench, file: &str, what: &str) {
    let runs = bench.home.path().join(".local/state/plush/runs");
    let limit = Instant::now() + Duration::from_secs(60);
    let holds = || {
        let run = std::fs::read_dir(&runs).ok()?.next()?.ok()?;
        let text = std::fs::read_to_string(run.path().join("output").join(file)).ok()?;
        text.contains(what).then_some(())
    };
    while holds().is_none() {
        assert!(Instant::now() < limit, "{file} never held {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The agent (`serve`) or the keeper (`keep`) of the one host of this bench.
fn on_host(bench: &Bench, role: &str) -> Pid {
    let is_it = |pid: &i32| {
        let directory = PathBuf::from(format!("/proc/{pid}"));
        let line = std::fs::read(directory.join("cmdline")).unwrap_or_default();
        let here = std::fs::read_link(directory.join("cwd")).unwrap_or_default();
        here.starts_with(bench.home.path())
            && line.split(|b| *b == 0).nth(1) == Some(role.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Pid::from_raw(pids.find(is_it).unwrap()).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn f06_an_end_that_nobody_saw_is_ambiguous_and_nothing_is_started_twice() {
    let bench = Bench::new();
    let text =
        "project: p\nresources: [{type: local, hosts: l1}]\nrun: echo begun; exec sleep 1000\n";
    bench.file("app.yaml", text);
    let mut command = bench.plush(&["run", "app.yaml", "--json"]);
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_output(&bench, "l1/p.1.out", "begun\n");
    let (agent, keeper) = (on_host(&bench, "serve"), on_host(&bench, "keep"));
    // They die together: an agent that sees its keeper die gives the task another.
    for (pid, signal) in [(agent, Signal::STOP), (keeper, Signal::KILL), (agent, Signal::KILL)] {
        kill_process(pid, signal).unwrap();
    }
    let said = Said::of(running.wait_with_output().unwrap());
    assert_eq!(said.code, Some(1), "{}", said.err);
    let view: Value = serde_json::from_str(&said.out).unwrap();
    let task = &view["view"]["tasks"][0];
    assert_eq!((&task["state"], &task["incarnation"]), (&"ambiguous".into(), &1.into()));
    assert!(said.err.contains("nobody saw how `p` ended"), "{}", said.err);
    let run = bench.run_dir(view["run"].as_str().unwrap());
    assert_eq!(std::fs::read_to_string(run.join("output/l1/p.1.out")).unwrap(), "begun\n");
    let status = bench.run(&["status", "last"]).out;
    assert!(status.contains("1 ambiguous (l1)"), "{status}");
}

#[test]
fn f81_a_callback_that_hangs_dies_or_prints_rubbish_costs_a_line() {
    let bench = Bench::new();
    script(&bench, "hang.sh", "#!/bin/sh\nsleep 600 & sleep 600\n");
    script(&bench, "die.sh", "#!/bin/sh\necho no luck >&2\nexit 9\n");
    script(&bench, "rubbish.sh", "#!/bin/sh\nhead -c 100000 /dev/urandom\n");
    bench.file(
        "app.yaml",
        "project: p\nresources: [{type: local, hosts: l1}]\nrun: echo hi\ncallbacks:\n\
         - {event: run_started, command: [./hang.sh], time_limit: 300 ms}\n\
         - {event: run_started, command: [./die.sh]}\n\
         - {event: run_started, command: [./rubbish.sh]}\n\
         - {event: run_ended, command: [./absent.sh]}\n",
    );
    let said = bench.run(&["run", "app.yaml", "--json", "--trust"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let view: Value = serde_json::from_str(&said.out).unwrap();
    let problems = view["view"]["problems"].as_array().unwrap();
    let causes: Vec<&str> = problems.iter().map(|p| p["cause"].as_str().unwrap()).collect();
    for part in ["within 300 ms", "no luck", "absent.sh: cannot be started"] {
        assert!(causes.iter().any(|cause| cause.contains(part)), "{part} is not in {causes:?}");
    }
}

/// A port that nobody uses now.
fn free_port() -> u16 {
    let open = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    open.local_addr().unwrap().port()
}

/// The incarnation and the end of the one task.
fn end_of(said: &Said) -> (Value, Value) {
    let view: Value = serde_json::from_str(&said.out).unwrap();
    let task = &view["view"]["tasks"][0];
    (task["incarnation"].clone(), task["success"].clone())
}

#[test]
fn a_port_that_stops_answering_the_controller_has_its_task_started_again() {
    let bench = Bench::new();
    let text = r#"
project: port
resources: [{type: local, hosts: l1}]
clusters:
  c:
    num_hosts: 1
    execution:
      - process: serve
        run: |
          exec python3 -c '
          import os, socket, time
          s = socket.create_server(("127.0.0.1", PORT))
          for n in range(2): s.accept()
          if os.environ["PLUSH_INCARNATION"] == "1":
              s.close()
              time.sleep(600)
          '
        restart: {max: 1}
        probe: {tcp: PORT, from: controller, every: 200 ms, delay: 5 s, failures: 2}
"#;
    bench.file("app.yaml", text.replace("PORT", &free_port().to_string()));
    let said = bench.run(&["run", "app.yaml", "--json"]);
    assert_eq!(end_of(&said), (2.into(), true.into()), "{}", said.err);
}

#[test]
fn a_probe_beside_the_controller_runs_only_once_the_description_is_trusted() {
    let bench = Bench::new();
    script(
        &bench,
        "healthy.sh",
        "#!/bin/sh\ntest \"$1 $PLUSH_HOST $PLUSH_INCARNATION\" = 'of l1 2'\n",
    );
    bench.file(
        "app.yaml",
        r#"
project: p
resources: [{type: local, hosts: l1}]
clusters:
  c:
    num_hosts: 1
    execution:
      - process: w
        run: test $PLUSH_INCARNATION = 2 || exec sleep 600
        restart: {max: 1}
        probe: {command: {path: ./healthy.sh, args: [of]}, from: controller, every: 100 ms, failures: 2}
"#,
    );
    let said = bench.run(&["run", "app.yaml", "--json"]);
    assert_eq!(said.code, Some(77), "{}", said.err);
    assert!(said.err.contains("probe of w: ./healthy.sh of"), "{}", said.err);
    let said = bench.run(&["run", "app.yaml", "--json", "--trust"]);
    assert_eq!(end_of(&said), (2.into(), true.into()), "{}", said.err);
}

#[test]
fn an_https_probe_from_the_controller_is_refused_by_name() {
    let bench = Bench::new();
    let text = "project: p\nresources: [{type: local, hosts: l1}]\nclusters:\n  c:\n    num_hosts: 1\n    execution:\n      \
                - process: w\n        run: x\n        probe: {http: \"https://${host}/\", from: controller}\n";
    bench.file("app.yaml", text);
    let said = bench.run(&["run", "app.yaml"]);
    assert!(said.err.contains("https probes from the controller"), "{}", said.err);
    assert!(said.code != Some(0));
}

#[test]
fn the_record_says_of_each_host_and_each_task_how_surely_it_is_ended() {
    let bench = Bench::new();
    bench.file("app.yaml", "project: p\nresources: [{type: local, hosts: l1}]\nrun: echo hi\n");
    let said = bench.run(&["run", "app.yaml", "--json"]);
    let view: Value = serde_json::from_str(&said.out).unwrap();
    let (host, task) = (&view["view"]["hosts"][0], &view["view"]["tasks"][0]);
    let known = ["cgroup", "subreaper", "group"];
    assert!(known.iter().any(|word| host["guarantee"] == *word), "{host}");
    assert_eq!(task["guarantee"], host["guarantee"], "{task}");
}

#[test]
fn every_line_of_ten_hosts_reaches_a_file() {
    const LINES: usize = 50_000;
    let bench = Bench::new();
    let text =
        format!("project: p\nresources: [{{type: local, hosts: 'l[1-10]'}}]\nrun: seq 1 {LINES}\n");
    bench.file("app.yaml", text);
    let shown = bench.home.path().join("shown");
    let file = std::fs::File::create(&shown).unwrap();
    let status = bench.plush(&["run", "app.yaml", "-q"]).stdout(file).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let mut next = std::collections::BTreeMap::new();
    for line in std::fs::read_to_string(&shown).unwrap().lines() {
        let (host, number) = line.split_once(": ").unwrap();
        let next: &mut usize = next.entry(host.to_owned()).or_default();
        *next += 1;
        assert_eq!(number, next.to_string(), "of {host}");
    }
    assert_eq!(next.len(), 10);
    assert!(next.values().all(|lines| *lines == LINES), "{next:?}");
}

#[test]
fn events_hold_every_line_and_a_task_has_the_users_limit_of_open_files() {
    let bench = Bench::new();
    let text = "project: p\nresources: [{type: local, hosts: 'l[1-2]'}]\n\
                run: ulimit -S -n; seq 1 5000; printf 'last\\134\\r\\nend'\n";
    bench.file("app.yaml", text);
    let shell = "ulimit -S -n 200; exec \"$0\" run app.yaml --events";
    let plush = bench.plush(&[]);
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", shell]).arg(plush.get_program()).current_dir(bench.home.path());
    let environment = plush.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let said = Said::of(command.env_clear().envs(environment).output().unwrap());
    assert_eq!(said.code, Some(0), "{}", said.err);
    let mut lines = std::collections::BTreeMap::<String, Vec<String>>::new();
    for event in said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        if event["is"] == "output" {
            assert_eq!(event["skipped"], 0);
            for line in event["lines"].as_array().unwrap() {
                let of_host = lines.entry(line["host"].as_str().unwrap().to_owned()).or_default();
                of_host.push(line["text"].as_str().unwrap().to_owned());
            }
        }
    }
    let mut expected = vec!["200".to_owned()];
    expected.extend((1..=5000).map(|n| n.to_string()));
    expected.extend(["last\\".to_owned(), "end".to_owned()]);
    assert_eq!(lines.len(), 2);
    assert!(lines.values().all(|of_host| *of_host == expected), "{:?}", lines.keys());
}
