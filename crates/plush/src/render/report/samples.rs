//! Histories that the tests of the pictures share.
//! Not histories of real runs: those are read by the tests of the program.

use plush_protocol::history::*;
use plush_protocol::tainted::Tainted;
use plush_protocol::view::{Counts, HostState, Outcome, PhaseName, Problem, RunView};

/// A run of so many hosts, each a little later than the one before it; every fiftieth has failed, the last never came.
pub fn history(hosts: u32) -> RunHistory {
    let names: Vec<String> = (1..=hosts).map(|n| format!("node{n:04}.example.org")).collect();
    let end_ms = 40_000 + u64::from(hosts) * 30;
    let members = names.iter().enumerate().map(|(n, host)| member(n as u64, host, hosts));
    let barrier = BarrierHistory {
        name: "peers/ready".into(),
        origin: BarrierOrigin::Phase,
        generation: 1,
        entry: "knee from 80 % after 5 s".into(),
        release: "8 inside for 30 s at most".into(),
        late: "admitted".into(),
        opened: Some(BarrierOpening {
            at_ms: 21_000,
            policy: "knee".into(),
            because: "nobody came for 2100 ms, after arrivals 120 ms apart (deviation 300 ms)"
                .into(),
            entered: hosts.saturating_sub(1),
            expected: hosts,
        }),
        knee_ms: Some(21_000),
        together: None,
        members: members.collect(),
    };
    RunHistory {
        version: 1,
        build: env!("CARGO_PKG_VERSION").into(),
        started_unix_ms: 1_795_000_000_000,
        known_from_ms: 0,
        is_served: false,
        view: view(&names, end_ms),
        clusters: vec![ClusterHistory {
            name: "peers".into(),
            commands: vec![("gossip".into(), "./gossip --seed node0001".into())],
            software: vec![("gossip".into(), "gossip.tar.gz".into())],
        }],
        hosts: names.iter().enumerate().map(|(n, name)| host(n as u64, name, end_ms)).collect(),
        barriers: vec![barrier],
        tasks: names.iter().enumerate().map(|(n, host)| task(n as u32, host)).collect(),
    }
}

/// Every text that comes from elsewhere is the same.
pub fn hostile(text: &str) -> RunHistory {
    let mut history = history(4);
    history.build = text.into();
    history.view.run = text.into();
    history.view.project = text.into();
    history.view.stopping = Some(text.into());
    history.view.problems = vec![Problem {
        at_ms: 1,
        host: Some(text.into()),
        operation: text.into(),
        cause: Tainted::new(text),
        hint: Some(text.into()),
        mended: None,
    }];
    history.clusters[0].commands = vec![(text.into(), text.into())];
    history.clusters[0].software = vec![(text.into(), text.into())];
    history.clusters[0].name = text.into();
    history.hosts.iter_mut().for_each(|host| {
        host.name = text.into();
        host.system = text.into();
        host.cluster = Some(text.into());
    });
    let barrier = &mut history.barriers[0];
    for field in [&mut barrier.name, &mut barrier.entry, &mut barrier.release, &mut barrier.late] {
        *field = text.into();
    }
    if let Some(opened) = &mut barrier.opened {
        opened.policy = text.into();
        opened.because = text.into();
    }
    barrier.members.iter_mut().for_each(|member| member.host = text.into());
    history.tasks.iter_mut().for_each(|task| task.host = text.into());
    history
}

fn failed(n: u64) -> bool {
    n % 50 == 49
}

fn arrival_ms(n: u64) -> u64 {
    4_000 + n * 14_000 / (n + 40)
}

fn member(n: u64, host: &str, hosts: u32) -> BarrierMember {
    let released = 21_000 + n * 25;
    let (stand, entered_ms, released_ms, left_ms) = match n {
        n if failed(n) => (MemberStand::Failed, None, None, Some(9_000)),
        n if n + 1 == u64::from(hosts) && n > 0 => (MemberStand::Expected, None, None, None),
        n => (
            MemberStand::Through,
            Some(arrival_ms(n)),
            Some(released),
            Some(released + 800 + n % 7 * 90),
        ),
    };
    BarrierMember { host: host.into(), stand, entered_ms, released_ms, left_ms, replaced_by: None }
}

fn host(n: u64, name: &str, end_ms: u64) -> HostHistory {
    let mut spans = vec![
        Span { state: HostState::Connecting, from_ms: 0, until_ms: 900 + n % 9 * 60 },
        Span { state: HostState::Preparing, from_ms: 900 + n % 9 * 60, until_ms: arrival_ms(n) },
    ];
    if failed(n) {
        spans.push(Span { state: HostState::Failed, from_ms: arrival_ms(n), until_ms: end_ms });
    } else {
        spans.extend([
            Span { state: HostState::Ready, from_ms: arrival_ms(n), until_ms: 21_000 + n * 25 },
            Span { state: HostState::Running, from_ms: 21_000 + n * 25, until_ms: end_ms - 900 },
            Span { state: HostState::Done, from_ms: end_ms - 900, until_ms: end_ms },
        ]);
    }
    HostHistory {
        name: name.into(),
        cluster: Some("peers".into()),
        system: "Linux x86_64".into(),
        client: "in-process".into(),
        connected_in_ms: Some(120),
        spans,
    }
}

fn task(n: u32, host: &str) -> TaskHistory {
    let running = 21_000 + u64::from(n) * 25 + 40 + u64::from(n) % 11 * 6;
    let runs = !failed(u64::from(n));
    TaskHistory {
        task: n,
        incarnation: 1,
        process: "gossip".into(),
        host: host.into(),
        running_ms: runs.then_some(running),
        ended_ms: runs.then_some(running + 5_000),
    }
}

fn view(names: &[String], end_ms: u64) -> RunView {
    let failures = names.iter().enumerate().filter(|(n, _)| failed(*n as u64));
    let problems: Vec<Problem> = failures
        .map(|(_, name)| Problem {
            at_ms: 9_000,
            host: Some(name.clone()),
            operation: "prepare".into(),
            cause: Tainted::new("gossip.tar.gz: no space left on device"),
            hint: Some("free some space on the host".into()),
            mended: None,
        })
        .collect();
    let failed = problems.len() as u32;
    RunView {
        version: 1,
        run: "gossip-3f2a1c".into(),
        project: "gossip".into(),
        elapsed_ms: end_ms,
        phase: PhaseName::Done,
        outcome: Some(Outcome::Partial),
        counts: Counts { done: names.len() as u32 - failed, failed, ..Counts::default() },
        problems,
        ..RunView::default()
    }
}
