//! Views that the tests of the renderers share.
//! Not views of real runs.

use plush_protocol::tainted::Tainted;
use plush_protocol::task::Exit;
use plush_protocol::view::*;

fn base() -> RunView {
    RunView {
        version: 1,
        run: "gossip-20261122-1".into(),
        project: "gossip".into(),
        elapsed_ms: 12_300,
        ..RunView::default()
    }
}

fn host(name: impl Into<String>, state: HostState) -> HostView {
    HostView {
        name: name.into(),
        state,
        detail: Tainted::default(),
        connected: true,
        contact: Contact::Heard,
        doubt: Default::default(),
        for_ms: 1_000,
        waits_at: None,
        guarantee: None,
        logout: None,
    }
}

fn hosts(range: std::ops::RangeInclusive<u32>, state: HostState) -> Vec<HostView> {
    range.map(|n| host(format!("node{n:02}"), state)).collect()
}

fn task(host: &str, exit: Exit, success: bool) -> TaskView {
    TaskView {
        task: 1,
        incarnation: 1,
        process: "gossip".into(),
        host: host.into(),
        state: "exited".into(),
        exit: Some(exit),
        success: Some(success),
        started_ms: None,
        ended_ms: None,
        superseded: false,
        ran_ms: Some(5_000),
        health: None,
        guarantee: None,
    }
}

/// A task that runs.
pub fn running_task(host: &str) -> TaskView {
    TaskView {
        state: "running".into(),
        exit: None,
        success: None,
        started_ms: None,
        ended_ms: None,
        superseded: false,
        ran_ms: None,
        ..task(host, Exit::Code(0), true)
    }
}

fn problem(host: &str, operation: &str, cause: &str, hint: Option<&str>) -> Problem {
    Problem {
        at_ms: 1_000,
        host: Some(host.into()),
        operation: operation.into(),
        cause: Tainted::new(cause),
        hint: hint.map(str::to_owned),
        mended: None,
    }
}

/// Ten hosts, three of them late.
pub fn preparing() -> RunView {
    let mut view = base();
    view.phase = PhaseName::Prepare;
    view.counts = Counts { connecting: 1, preparing: 2, ready: 7, ..Counts::default() };
    view.hosts = hosts(1..=7, HostState::Ready);
    view.hosts.extend(hosts(8..=9, HostState::Preparing));
    view.hosts.extend(hosts(10..=10, HostState::Connecting));
    view
}

/// Everything went well.
pub fn complete() -> RunView {
    let mut view = base();
    view.phase = PhaseName::Done;
    view.outcome = Some(Outcome::Complete);
    view.counts = Counts { done: 10, ..Counts::default() };
    view.hosts = hosts(1..=10, HostState::Done);
    view.clusters = vec![ClusterView {
        name: "peers".into(),
        phase: PhaseName::Done,
        wanted: 10,
        min: 10,
        live: 10,
    }];
    view.barriers = vec![barrier(10, &[])];
    view.sums = Some(sums(&[], 10));
    view
}

fn sums(missing: &[&str], enough: u32) -> Sums {
    let cluster = ClusterSum {
        name: "peers".into(),
        wanted: 10,
        answered: 10 - missing.len() as u32,
        missing: missing.iter().map(|name| (*name).to_owned()).collect(),
        without_host: 0,
        enough,
    };
    Sums { clusters: vec![cluster], ..Sums::default() }
}

/// Two hosts refused, one was slow.
pub fn partial() -> RunView {
    let mut view = complete();
    view.outcome = Some(Outcome::Partial);
    view.counts = Counts { done: 7, failed: 3, ..Counts::default() };
    view.clusters[0].min = 6;
    view.clusters[0].live = 7;
    view.barriers = vec![barrier(7, &["node08"])];
    view.sums = Some(sums(&["node08", "node09", "node10"], 6));
    view.problems = vec![
        problem(
            "node08",
            "prepare",
            "gossip.tar.gz: no space left on device",
            Some("free some space on the host"),
        ),
        problem(
            "node09",
            "connect",
            "the host key is not known",
            Some("`plush doctor HOST` shows the key"),
        ),
        problem(
            "node10",
            "connect",
            "the host key is not known",
            Some("`plush doctor HOST` shows the key"),
        ),
    ];
    view
}

/// Processes ended in three ways.
pub fn tasks_failed() -> RunView {
    let mut view = complete();
    view.outcome = Some(Outcome::TasksFailed { code: 139 });
    view.stopping = Some("a task failed".into());
    view.tasks = vec![
        task("node01", Exit::Code(3), false),
        task("node02", Exit::Code(3), false),
        task("node03", Exit::Signal { signal: 11, oom: false }, false),
        task("node04", Exit::Code(0), true),
        task("node05", Exit::Code(9), false),
    ];
    view.problems = vec![problem("node05", "run", "gossip exited with code 9\nand said why", None)];
    view
}

/// Every text in it is the same.
pub fn hostile(text: &str) -> RunView {
    let mut view = partial();
    view.run = text.into();
    view.project = text.into();
    view.stopping = Some(text.into());
    view.clusters[0].name = text.into();
    view.sums.as_mut().expect("it is over").clusters[0].missing = vec![text.into()];
    view.barriers[0].without = vec![text.into()];
    view.hosts[0].name = text.into();
    view.hosts[0].detail = Tainted::new(text);
    view.barriers[0].name = text.into();
    view.barriers[0].opened = Some(text.into());
    view.barriers[0].missing = vec![text.into()];
    view.problems = vec![problem(text, text, text, Some(text))];
    view.tasks = vec![task(&format!("{text}2"), Exit::Stopped { why: text.into() }, false)];
    view.tasks[0].process = text.into();
    view
}

fn barrier(entered: u32, missing: &[&str]) -> BarrierView {
    BarrierView {
        name: "peers/ready".into(),
        entered,
        expected: entered + missing.len() as u32,
        released: entered,
        opened: Some(if missing.is_empty() { "all" } else { "percent" }.into()),
        because: None,
        opened_at_ms: None,
        waited_ms: 2_450,
        missing: missing.iter().map(|name| (*name).to_owned()).collect(),
        without: Vec::new(),
        generation: 1,
        together: None,
        worst: None,
    }
}
