//! The run goes on without its front end, and can be looked at, watched again and stopped from elsewhere.

use crate::product::Running;
use crate::stage::Stage;
use plush_lab::{Identity, LabOptions};
use rustix::process::Signal;

/// Goes on when the file `go` is there.
const WAITS: &str = r#"
project: waits
resources: [{type: ssh, hosts: "h[001-003]"}]
run: |
  echo "begun ${rank}"
  while ! test -e /srv/go; do sleep 0.05; done
  echo "done ${rank}" | tee result.txt
outputs: [result.txt]
"#;

fn let_go(stage: &mut Stage) {
    for host in ["h001", "h002", "h003"] {
        assert!(stage.lab.run_on(host, "touch /srv/go").unwrap().status.success());
    }
}

/// All is as it was, but for the file of the test itself.
fn assert_nothing_left(stage: &Stage) {
    for host in ["h001", "h002", "h003"] {
        assert!(stage.lab.run_on(host, "rm /srv/go").unwrap().status.success());
    }
    stage.assert_nothing_left();
}

fn stage() -> Option<Stage> {
    let mut stage = Stage::with_hosts(3)?;
    // The directory is part of what is remembered; only the file in it is the test's.
    let_go(&mut stage);
    for host in ["h001", "h002", "h003"] {
        stage.lab.run_on(host, "rm /srv/go").unwrap();
    }
    stage.remember();
    stage.file("waits.yaml", WAITS);
    Some(stage)
}

#[test]
fn a_detached_run_can_be_listed_looked_at_read_and_watched_to_its_end() {
    let Some(mut stage) = stage() else { return };
    let id = stage.begin("waits.yaml", &["--detach"]).end().expect(0).out.trim().to_owned();
    let mut attached = Running::start(stage.plush(&["attach", "last", "--json"]));
    let mut logs = Running::start(stage.plush(&["logs", "last", "-f"]));
    (0..3).for_each(|_| logs.wait_for("begun"));

    let status = stage.call(&["status", &id, "--json"]).expect(0).document();
    assert_eq!((&status["phase"], &status["counts"]["running"]), (&"run".into(), &3.into()));
    let runs = stage.call(&["runs", "--json"]).expect(0).document();
    assert!(runs.to_string().contains(&id), "{runs}");

    let_go(&mut stage);
    (0..3).for_each(|_| logs.wait_for("done"));
    logs.end().expect(0);
    attached.wait_for("\"outcome\":\"complete\"");
    attached.end().expect(0);
    let folded = stage.call(&["logs", &id, "-w", "h002"]).expect(0).out;
    assert!(folded.contains("begun 1") && folded.contains("done 1"), "{folded}");
    let after = stage.call(&["status", &id, "--json"]).expect(0).document();
    assert_eq!(after["outcome"], "complete");
    assert_nothing_left(&stage);
}

#[test]
fn killing_the_front_end_leaves_the_run_going() {
    let Some(mut stage) = stage() else { return };
    let mut first = stage.begin("waits.yaml", &[]);
    (0..3).for_each(|_| first.wait_for("begun"));
    first.signal(Signal::KILL);
    assert_eq!(first.end().code, None);

    let second = Running::start(stage.plush(&["attach", "last", "--json"]));
    let_go(&mut stage);
    let said = second.end().expect(0);
    assert_eq!(said.document()["outcome"], "complete");
    for (rank, host) in ["h001", "h002", "h003"].into_iter().enumerate() {
        assert_eq!(
            said.output(host, "waits.1.out"),
            format!("begun {rank}\ndone {rank}\n").as_bytes()
        );
        assert_eq!(said.result(host, "result.txt"), format!("done {rank}\n").as_bytes());
    }
    assert_nothing_left(&stage);
}

#[test]
fn a_terminal_that_hangs_up_leaves_the_run_going() {
    let Some(mut stage) = stage() else { return };
    let mut first = stage.begin("waits.yaml", &[]);
    (0..3).for_each(|_| first.wait_for("begun"));
    first.signal(Signal::HUP);
    let left = first.end().expect(130);
    assert!(left.err.contains("plush attach"), "{}", left.err);
    let_go(&mut stage);
    Running::start(stage.plush(&["attach", "last"])).end().expect(0);
    assert_nothing_left(&stage);
}

#[test]
fn f50_a_killed_controller_is_resumed_and_no_byte_is_lost_or_doubled() {
    let Some(mut stage) = stage() else { return };
    let mut first = stage.begin("waits.yaml", &[]);
    (0..3).for_each(|_| first.wait_for("begun"));
    stage.kill_controller();
    let said = first.end();
    assert_eq!(said.code, Some(70));
    assert!(said.err.contains("plush resume"), "{}", said.err);

    let resumed = Running::start(stage.plush(&["resume", "last", "--json"]));
    let_go(&mut stage);
    let said = resumed.end().expect(0);
    assert_eq!(said.document()["outcome"], "complete");
    for (rank, host) in ["h001", "h002", "h003"].into_iter().enumerate() {
        let wanted = format!("begun {rank}\ndone {rank}\n");
        assert_eq!(said.output(host, "waits.1.out"), wanted.as_bytes());
    }
    assert_nothing_left(&stage);
}

/// `two` is another name of h001, which only DNS could tell; the hosts have one boot id and one
/// machine id, as containers have.
#[test]
fn f26_names_of_one_account_and_containers_of_one_machine_keep_their_own_results() {
    let options = LabOptions { identity: Identity::Containers, ..LabOptions::with_hosts(2) };
    let Some(stage) = Stage::of(options) else { return };
    let lab = stage.lab.ssh_config_path();
    let two = format!(
        "Host two\n  HostName h001\n  User plush\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
        stage.lab.identity_path().display(),
        stage.lab.known_hosts_path().display()
    );
    let config = stage.file("config", format!("Include {}\n{two}", lab.display()));
    stage.file(
        "own.yaml",
        "project: own\nhosts: h001,h002,two\n\
         run: echo \"${host} ${rank}\" > r.txt; sleep 1; cat r.txt\noutputs: [r.txt]\n",
    );
    let run = ["run", "own.yaml", "-y", "--json", "-F", config.to_str().unwrap()];
    let said = stage.call(&run).expect(0);
    for (rank, host) in ["h001", "h002", "two"].into_iter().enumerate() {
        let expected = format!("{host} {rank}\n");
        assert_eq!(String::from_utf8(said.result(host, "r.txt")).unwrap(), expected);
    }
    stage.assert_nothing_left();
}
