//! How a task starts and what it finds.

use crate::client::*;
use plush_protocol::*;
use std::fs;

#[test]
fn p9_codes_and_signals_come_as_they_were() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("exit 0"));
    client.start(key(2), shell("exit 42"));
    client.start(key(3), shell("kill -USR1 $$"));
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    assert_eq!(client.finished(key(2)), Exit::Code(42));
    assert_eq!(client.finished(key(3)), Exit::Signal { signal: 10, oom: false });
    client.clean_up(false);
    client.leave();
}

#[test]
fn o6_the_two_streams_stay_apart() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("echo out; echo err >&2; printf no-newline"));
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    assert_eq!(client.out(key(1)), b"out\nno-newline");
    assert_eq!(client.err(key(1)), b"err\n");
    client.clean_up(false);
    client.leave();
}

#[test]
fn f68_quick_ends_keep_all_their_output() {
    let host = Host::new();
    let mut client = host.connect();
    for task in 1..=60 {
        client.start(key(task), shell(&format!("echo line {task}; exit {task}")));
    }
    for task in 1..=60 {
        assert_eq!(client.finished(key(task)), Exit::Code(task as i32));
        assert_eq!(client.out(key(task)), format!("line {task}\n").as_bytes());
    }
    client.clean_up(false);
    client.leave();
}

#[test]
fn f69_standard_input_is_empty_or_what_the_description_says() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(key(1), shell("cat; echo done"));
    let mut with_text = shell("cat");
    with_text.stdin = Stdin::Text("given\0text".into());
    client.start(key(2), with_text);
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    assert_eq!(client.out(key(1)), b"done\n");
    client.finished(key(2));
    assert_eq!(client.out(key(2)), b"given\0text");
    client.clean_up(false);
    client.leave();
}

#[test]
fn f70_a_program_that_cannot_be_executed_never_ran() {
    let host = Host::new();
    let mut client = host.connect();
    fs::create_dir_all(host.cluster_dir()).unwrap();
    let file = |name: &str, mode: u32, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = host.cluster_dir().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    file("plain", 0o644, "#!/bin/sh\n");
    file("interpreter", 0o755, "#!/no/such/interpreter\n");
    file("garbage", 0o755, "\x01\x02 not a program");
    let programs =
        ["./missing", "missing-in-path", "./plain", "./interpreter", "./garbage", "/tmp"];
    for (task, program) in programs.iter().enumerate() {
        let key = key(task as u32);
        client.start(key, spec(Program::Argv(vec![(*program).into()])));
        let cause = client.not_started(key);
        assert_eq!(cause.kind, CauseKind::Exec, "{program}: {cause:?}");
        assert!(cause.text.raw().contains(program.trim_start_matches("./")), "{cause:?}");
    }
    let mut limited = shell("true");
    limited.directory = "no/such/directory".into();
    client.start(key(50), limited);
    assert!(client.not_started(key(50)).text.raw().contains("no/such/directory"));
    client.clean_up(false);
    client.leave();
}

#[test]
fn p11_a_task_starts_clean() {
    let host = Host::new();
    let mut client = host.connect();
    let mut spec = shell(
        "ls /proc/self/fd | wc -l; grep -E '^Sig(Blk|Ign)' /proc/self/status; pwd; \
         echo $PLUSH_RUN $PLUSH_HOST $PLUSH_TASK $PLUSH_INCARNATION $GREETING; umask; ulimit -n",
    );
    spec.environment = vec![("GREETING".into(), "hello".into())];
    spec.limits.open_files = Some(77);
    client.start(key(5), spec);
    client.finished(key(5));
    let out = String::from_utf8(client.out(key(5)).to_vec()).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    // ls holds the directory that it lists.
    assert_eq!(lines[0].trim(), "4", "{out}");
    assert_eq!(lines[1], "SigBlk:\t0000000000000000");
    assert_eq!(lines[2], "SigIgn:\t0000000000000000");
    assert_eq!(lines[3], host.cluster_dir().to_str().unwrap());
    assert_eq!(lines[4], "run1 h1 5 1 hello");
    assert_eq!(lines[5], "0022");
    assert_eq!(lines[6], "77");
    client.clean_up(false);
    client.leave();
}

#[test]
fn the_umask_and_the_socket_are_those_that_the_account_and_every_program_can_use() {
    let host = Host::new();
    let base = host.base().join("l".repeat(120));
    let mut bridge = std::process::Command::new(AGENT);
    bridge.args(["bridge", "--run", "run1", "--umask", "0027", "--host", "h1", "--base"]).arg(base);
    let mut client = Client::over(bridge, "run1", Memory::default());
    let mut spec = shell("umask; cat; printf '%s' \"$PLUSH_SOCKET\" | wc -c; echo $PLUSH_SOCKET");
    spec.stdin = Stdin::Bytes(Octets(b"\xff\0\n".to_vec()));
    client.start(key(1), spec);
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    let out = client.out(key(1)).to_vec();
    let rest = out.strip_prefix(b"0027\n\xff\0\n").expect("the umask, then every byte");
    let rest = String::from_utf8(rest.to_vec()).unwrap();
    let (length, socket) = rest.trim().split_once('\n').unwrap();
    assert!(length.trim().parse::<usize>().unwrap() <= 107, "{rest}");
    assert!(std::os::unix::net::UnixStream::connect(socket).is_ok(), "{socket}");
    client.clean_up(false);
    client.leave();
    assert!(!std::path::Path::new(socket).parent().unwrap().exists());
}

#[test]
fn p1_a_key_is_never_started_twice() {
    let host = Host::new();
    let mut client = host.connect();
    let line = "echo x >> started; sleep 0.2";
    client.start(key(1), shell(line));
    client.start(key(1), shell(line));
    client.finished(key(1));
    client.start(key(1), shell(line));
    let reports = client.memory.reports.len();
    client.until("an answer", |memory| memory.reports.len() > reports);
    assert_eq!(fs::read_to_string(host.cluster_dir().join("started")).unwrap(), "x\n");
    client.clean_up(false);
    client.leave();
}
