//! Leaving a host: no process, no file.

use crate::client::*;
use crate::preparing::{prepare, push, software};
use plush_protocol::*;
use std::path::Path;

fn is_clean(report: &Report) -> bool {
    matches!(report, Report::Cleaned { remainder, failed_lines } if remainder.is_empty() && failed_lines.is_empty())
}

#[test]
fn c1_c2_after_a_clean_up_no_process_and_no_file_is_left() {
    let host = Host::new();
    let before: Vec<_> = std::fs::read_dir(host.dir.path()).unwrap().collect();
    assert!(before.is_empty());
    let mut client = host.connect();
    client.start(key(1), shell("mkdir -p a/b; echo x > a/b/c; chmod 000 a/b; sleep 7654"));
    client.start(key(2), shell("echo done"));
    client.finished(key(2));
    client.running(key(1));
    let report = client.clean_up(false);
    assert!(is_clean(&report), "{report:?}");
    assert_eq!(client.finished(key(1)), Exit::Stopped { why: "stop".into() });
    client.leave();
    let after: Vec<_> = std::fs::read_dir(host.dir.path()).unwrap().flatten().collect();
    assert!(after.is_empty(), "{after:?}");
    assert_eq!(processes_with(host.dir.path().to_str().unwrap()), Vec::<u32>::new());
}

#[test]
fn c3_a_clean_up_that_is_asked_for_again_is_answered_again() {
    let host = Host::new();
    let mut client = host.connect();
    assert!(is_clean(&client.clean_up(false)));
    client.leave();
    let mut client = host.connect_with(Memory { epoch: 2, ..Memory::default() });
    assert!(is_clean(&client.clean_up(false)));
    client.leave();
    assert_eq!(std::fs::read_dir(host.dir.path()).unwrap().count(), 0);
}

#[test]
fn the_cache_and_the_working_directories_stay_where_that_was_asked_for() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("echo kept > result"));
    client.finished(key(1));
    client.command(Command::CleanUp {
        commands: Vec::new(),
        keep_work: true,
        keep_cache: true,
        line_limit_ms: 1_000,
    });
    client.cleaned();
    client.leave();
    assert_eq!(std::fs::read_to_string(host.cluster_dir().join("result")).unwrap(), "kept\n");
    let left: Vec<_> = std::fs::read_dir(host.run_dir()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn clean_up_lines_run_in_their_clusters_directory_and_a_failed_one_is_told() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("true"));
    client.finished(key(1));
    let outside = host.dir.path().join("outside");
    let line =
        format!("pwd > {}; echo $PLUSH_RUN \"${{PLUSH_VALUE_v}}\" >> {0}", outside.display());
    let values = vec![("PLUSH_VALUE_v".into(), "a; $(touch b)".into())];
    let with_value = Program::Shell { line, values };
    let beside = host.dir.path().join("beside").display().to_string();
    client.command(Command::CleanUp {
        commands: vec![
            ("c".into(), with_value),
            ("c".into(), Program::line("echo no such thing >&2; exit 5")),
            (
                "c".into(),
                Program::Argv(["touch", &beside, "it's; touch b"].map(String::from).into()),
            ),
        ],
        keep_work: false,
        keep_cache: false,
        line_limit_ms: 10_000,
    });
    let Report::Cleaned { remainder, failed_lines } = client.cleaned() else { panic!() };
    assert!(remainder.is_empty());
    assert_eq!(failed_lines.len(), 1);
    assert!(failed_lines[0].raw().contains("no such thing"), "{failed_lines:?}");
    let said = std::fs::read_to_string(&outside).unwrap();
    assert_eq!(said, format!("{}\nrun1 a; $(touch b)\n", host.cluster_dir().display()));
    assert!(host.dir.path().join("beside").exists(), "a program is run without a shell");
    client.leave();
}

/// A clean-up line of the cluster.
fn in_c(line: &str) -> (String, Program) {
    ("c".into(), Program::line(line))
}

#[test]
fn clean_up_lines_do_not_run_where_nothing_was_prepared() {
    let host = Host::new();
    let mut client = host.connect();
    let outside = host.dir.path().join("outside");
    client.command(Command::CleanUp {
        commands: vec![in_c(&format!("echo here > {}; exit 5", outside.display()))],
        keep_work: false,
        keep_cache: false,
        line_limit_ms: 10_000,
    });
    let report = client.cleaned();
    assert!(is_clean(&report), "{report:?}");
    assert!(!outside.exists());
    client.leave();
}

#[test]
fn clean_up_lines_after_half_a_preparation_have_a_directory_and_never_fail() {
    let host = Host::new();
    let mut client = host.connect();
    let (outside, made) = (host.dir.path().join("outside"), host.dir.path().join("made"));
    let script = format!("echo x > {}; exit 3", made.display());
    let package = push(&mut client, "setup.sh", script.as_bytes(), false);
    let report = prepare(&mut client, vec![software(Installer::Script(vec![]), package)]);
    assert!(matches!(report, Report::PrepareFailed { .. }), "{report:?}");
    client.command(Command::CleanUp {
        commands: vec![
            in_c(&format!("pwd > {}; rm {}", outside.display(), made.display())),
            in_c("rm what-was-never-there"),
        ],
        keep_work: false,
        keep_cache: false,
        line_limit_ms: 10_000,
    });
    let report = client.cleaned();
    assert!(is_clean(&report), "{report:?}");
    assert!(std::fs::read_to_string(&outside).unwrap().contains("/clusters/c"));
    assert!(!made.exists());
    client.leave();
}

#[test]
fn f26_two_runs_on_one_base_do_not_disturb_each_other() {
    let host = Host::new();
    let open = |run| Client::open(Path::new(AGENT), &host.base(), run, Memory::default());
    let (mut one, mut two) = (open("run1"), open("run2"));
    assert_ne!(one.hello.facts.agent_pid, two.hello.facts.agent_pid);
    one.start(key(1), shell("sleep 8765"));
    two.start(key(1), shell("sleep 8765"));
    let (first, second) = (one.running(key(1)), two.running(key(1)));
    assert!(is_clean(&one.clean_up(false)));
    one.leave();
    assert!(!is_alive(first) && is_alive(second));
    assert!(host.base().join("runs/run2").exists() && !host.base().join("runs/run1").exists());
    two.stop(key(1));
    assert_eq!(two.finished(key(1)), Exit::Stopped { why: "stop".into() });
    assert!(is_clean(&two.clean_up(false)));
    two.leave();
    assert_eq!(std::fs::read_dir(host.dir.path()).unwrap().count(), 0);
}

#[test]
fn f26_members_of_a_run_that_share_a_base_keep_apart_and_the_last_one_cleans_it() {
    let host = Host::new();
    let open = |place: &str| {
        let mut bridge = std::process::Command::new(AGENT);
        bridge.args(["bridge", "--run", "run1", "--directory", place, "--host", "h1", "--base"]);
        bridge.arg(host.base());
        Client::over(bridge, "run1", Memory::default())
    };
    let (mut one, mut two) = (open("run1.h1-1"), open("run1.h2-2"));
    assert_ne!(one.hello.facts.agent_pid, two.hello.facts.agent_pid);
    for client in [&mut one, &mut two] {
        client.start(key(1), shell("echo $PLUSH_RUN_DIR > result; cat result; echo $PLUSH_RUN"));
        assert_eq!(client.finished(key(1)), Exit::Code(0));
    }
    let said = |client: &Client| String::from_utf8(client.out(key(1)).to_vec()).unwrap();
    let place = |name: &str| host.base().join("runs").join(name).display().to_string();
    assert_eq!(said(&one), format!("{}\nrun1\n", place("run1.h1-1")));
    assert_eq!(said(&two), format!("{}\nrun1\n", place("run1.h2-2")));
    assert!(is_clean(&one.clean_up(false)));
    one.leave();
    assert!(!Path::new(&place("run1.h1-1")).exists() && Path::new(&place("run1.h2-2")).exists());
    assert!(is_clean(&two.clean_up(false)));
    two.leave();
    assert_eq!(std::fs::read_dir(host.dir.path()).unwrap().count(), 0);
}

/// The second machine has another name: its logins see the same directory, as with a home on NFS.
#[test]
fn a_login_that_reaches_another_machine_finds_no_agent_and_starts_none() {
    let host = Host::new();
    let mut client = host.connect();
    let mut bridge = std::process::Command::new("unshare");
    bridge.args(["--uts", "sh", "-c", "hostname node-b; exec \"$@\"", "sh", AGENT]);
    bridge.args(["bridge", "--run", &host.run, "--host", "h1", "--base"]).arg(host.base());
    let output = bridge.stdin(std::process::Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let here = client.hello.facts.node_name.clone();
    assert!(said.contains("node-b") && said.contains(&here), "{said}");
    let serving = processes_with(host.dir.path().to_str().unwrap());
    assert!(serving.contains(&client.hello.facts.agent_pid), "{serving:?}");
    assert!(is_clean(&client.clean_up(false)));
    client.leave();
}

#[test]
fn many_bridges_at_once_find_one_agent() {
    let host = Host::new();
    let (dir, run) = (host.base(), host.run.clone());
    let bridges: Vec<_> = (1..=6)
        .map(|epoch| {
            let (dir, run) = (dir.clone(), run.clone());
            std::thread::spawn(move || {
                let mut bridge = std::process::Command::new(AGENT);
                bridge.args(["bridge", "--run", &run, "--host", "h1", "--base"]).arg(&dir);
                bridge.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
                let _ = epoch;
                assert!(bridge.status().unwrap().success());
            })
        })
        .collect();
    bridges.into_iter().for_each(|bridge| bridge.join().unwrap());
    let serving: Vec<u32> = processes_with(host.dir.path().to_str().unwrap());
    assert_eq!(serving.len(), 1, "{serving:?}");
    let mut client = host.connect();
    assert_eq!(client.hello.facts.agent_pid, serving[0]);
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_wrong_owner_or_mode_of_the_runs_directory_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new();
    std::fs::create_dir_all(host.run_dir()).unwrap();
    std::fs::set_permissions(host.run_dir(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let output = std::process::Command::new(AGENT)
        .args(["bridge", "--run", "run1", "--host", "h1", "--base"])
        .arg(host.base())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("runs/run1") && said.contains("777"), "{said}");
}
