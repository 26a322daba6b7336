//! An agent that may open only a few files (F22).

use crate::client::*;
use plush_protocol::*;
use std::process::Command as Program;

/// An agent of its own host, with so few descriptors.
fn connect(host: &Host, limit: u32) -> Client {
    let mut bridge = Program::new("sh");
    bridge
        .args(["-c", "ulimit -n $0; exec \"$@\""])
        .args([&limit.to_string(), AGENT, "bridge", "--run", &host.run, "--host", "h1", "--base"])
        .arg(host.base());
    Client::over(bridge, &host.run, Memory::default())
}

#[test]
fn f22_without_descriptors_new_work_is_refused_and_the_old_goes_on() {
    let host = Host::new();
    let mut client = connect(&host, 64);
    let mut begun = Vec::new();
    let refused = loop {
        let key = key(begun.len() as u32 + 1);
        assert!(key.task < 40, "64 descriptors are not enough for so many tasks");
        client.start(key, shell("until test -e enough; do sleep 0.1; done; echo done"));
        client.until("an answer", |m| {
            !matches!(m.records.get(&key).map(|r| &r.state), None | Some(TaskState::Starting))
        });
        match &client.memory.records[&key].state {
            TaskState::NotStarted(cause) => break cause.clone(),
            TaskState::Running { .. } => begun.push(key),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused.kind, CauseKind::Resource, "{refused:?}");
    assert!(refused.text.raw().contains("open only"), "{refused:?}");
    assert!(begun.len() >= 2, "{begun:?}");
    client.command(Command::Prepare(PrepareSpec {
        cluster: "d".into(),
        software: Vec::new(),
        files: Vec::new(),
    }));
    client.until("a preparation", |m| {
        m.reports.iter().any(|r| {
            matches!(r, Report::PrepareFailed { cause, .. }
            if cause.kind == CauseKind::Resource)
        })
    });
    // More connections than there can be descriptors for: the agent lives, and its controller's goes on.
    let socket = host.run_dir().join("agent.sock");
    let crowd: Vec<_> =
        (0..60).map(|_| std::os::unix::net::UnixStream::connect(&socket).unwrap()).collect();
    drop(crowd);
    std::fs::write(host.cluster_dir().join("enough"), "").unwrap();
    for key in begun {
        assert_eq!(client.finished(key), Exit::Code(0));
        assert_eq!(client.out(key), b"done\n");
    }
    client.start(key(99), shell("true"));
    assert_eq!(client.finished(key(99)), Exit::Code(0));
    client.clean_up(false);
    client.leave();
}
