//! Claims about a run, told event by event.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::plan::{Keep, Offer, PlannedHost, Route, Settings, assign};
use plush_protocol::{
    AgentHello, Cause, CauseKind, Command, Exit, Facts, HostState, PROTOCOL_VERSION, Report,
    StreamName, TaskRecord, TaskState,
};
use plush_spec::model::{
    self, Action, Application, BarrierPolicy, Cluster, Entry, FailurePolicy, Late, Name, NumHosts,
    Place, Process, Project, Reaction, Reference, Release, Requirement, Step, Wanted,
};

mod barriers;
mod callbacks;
mod links;
mod probing;
mod reacting;
mod recovery;
mod refreshing;
mod shown;
mod sums;
mod values;

const SESSION: u64 = 100;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn reference(text: &str) -> Reference {
    Reference { name: name(text), place: Place::default() }
}

fn process(text: &str, args: &[&str]) -> Process {
    let args = args.iter().map(|a| (*a).to_owned()).collect();
    let command = model::Command::Program { path: "p".into(), args, place: Place::default() };
    Process::new(name(text), command)
}

fn does(id: &str, after: &[&str], action: Action) -> Step {
    let after = after.iter().map(|a| reference(a)).collect();
    Step { id: name(id), place: Place::default(), after, action }
}

fn runs(id: &str, after: &[&str]) -> Step {
    does(id, after, Action::Process(Box::new(process(id, &["${rank}"]))))
}

fn meets(id: &str, after: &[&str]) -> Step {
    does(id, after, Action::Barrier(reference("b")))
}

fn cluster(hosts: u32, execution: Vec<Step>) -> Cluster {
    Cluster {
        name: name("c"),
        place: Place::default(),
        configuration: None,
        num_hosts: NumHosts {
            wanted: Wanted::Count(hosts),
            min: None,
            max: None,
            spare: 0,
            place: Place::default(),
        },
        requirement: Requirement::default(),
        software: Vec::new(),
        resources: Vec::new(),
        env: Vec::new(),
        prepare: BarrierPolicy::default(),
        ready: BarrierPolicy::default(),
        after: Vec::new(),
        execution,
        on_failure: FailurePolicy::default(),
        service: None,
        outputs: Vec::new(),
        cleanup: Vec::new(),
        foreign: Vec::new(),
    }
}

fn project(cluster: Cluster, barrier: BarrierPolicy) -> Project {
    let application = Application {
        name: name("a"),
        place: Place::default(),
        clusters: Vec::new(),
        service: None,
        on_failure: FailurePolicy::default(),
        foreign: Vec::new(),
    };
    Project {
        name: name("p"),
        place: Place::default(),
        variables: Vec::new(),
        resources: Vec::new(),
        software: Vec::new(),
        clusters: vec![cluster],
        barriers: vec![model::Barrier {
            name: name("b"),
            place: Place::default(),
            policy: barrier,
            clusters: Vec::new(),
            per_host: None,
        }],
        applications: vec![application],
        callbacks: Vec::new(),
        foreign: Vec::new(),
    }
}

/// A run to which things happen; after each it decides, is asked a second time, and says when to wake it.
struct Tale {
    run: Run,
    now: Millis,
    /// Session and newest report of each host.
    agents: Vec<(u64, u64)>,
    said: Vec<Effect>,
}

impl Tale {
    fn of(cluster: Cluster, offered: usize) -> Tale {
        Tale::with_barrier(cluster, offered, BarrierPolicy::default())
    }

    fn with_barrier(cluster: Cluster, offered: usize, barrier: BarrierPolicy) -> Tale {
        let hosts = (0..offered).map(|n| PlannedHost::new(format!("h{n}"), Route::Ssh));
        let offer = Offer { hosts: hosts.collect(), ..Offer::default() };
        let settings = Settings { run: "r".into(), keep: Keep::Nothing, stop_after_ms: None };
        let plan = assign(&project(cluster, barrier), vec![offer], settings).unwrap();
        let agents = vec![(0, 0); plan.hosts.len()];
        let mut tale = Tale { run: Run::new(plan), now: 0, agents, said: Vec::new() };
        tale.decide();
        tale
    }

    /// All hosts connected, and prepared where they are asked to prepare.
    fn prepared(cluster: Cluster, offered: usize) -> Tale {
        let mut tale = Tale::of(cluster, offered);
        tale.connect_and_prepare();
        tale
    }

    fn connect_and_prepare(&mut self) {
        (0..self.agents.len() as u32).for_each(|host| self.connect(host));
        (0..self.agents.len() as u32).for_each(|host| drop(self.prepare(host)));
    }

    fn decide(&mut self) -> Vec<Effect> {
        let said = self.run.decide(self.now);
        assert_eq!(self.run.decide(self.now), vec![], "asked twice it says nothing more");
        assert!(self.run.wake_at(self.now).is_none_or(|at| at > self.now));
        self.said.extend(said.clone());
        said
    }

    fn tell(&mut self, event: Event) -> Vec<Effect> {
        self.now += 1;
        self.run.absorb(self.now, event);
        self.decide()
    }

    fn wait(&mut self, ms: Millis) -> Vec<Effect> {
        self.now += ms;
        self.decide()
    }

    fn hello(&mut self, host: u32, session: u64, received: u64) -> Vec<Effect> {
        let hello = AgentHello {
            version: PROTOCOL_VERSION,
            session,
            received,
            epoch: 1,
            facts: Facts::default(),
            refusal: None,
            clock_us: None,
        };
        if self.agents[host as usize].0 != session {
            self.agents[host as usize] = (session, 0);
        }
        let (hello, account) = (Box::new(hello), LinkAccount::default());
        self.tell(Event::Connected { host: HostId(host), hello, account })
    }

    fn connect(&mut self, host: u32) {
        self.hello(host, SESSION, 0);
        self.inventory(host, vec![], &[]);
    }

    fn inventory(&mut self, host: u32, tasks: Vec<TaskRecord>, prepared: &[&str]) -> Vec<Effect> {
        let prepared = prepared.iter().map(|p| (*p).to_owned()).collect();
        self.report(host, Report::Inventory { tasks, prepared })
    }

    fn report(&mut self, host: u32, report: Report) -> Vec<Effect> {
        let agent = &mut self.agents[host as usize];
        agent.1 += 1;
        let (session, number) = *agent;
        self.tell(Event::Reported { host: HostId(host), session, number, report })
    }

    fn prepare(&mut self, host: u32) -> Vec<Effect> {
        let (cluster, digests) = ("c".into(), Vec::new());
        self.report(
            host,
            Report::Prepared { cluster, fetched_bytes: 0, cached: 0, took_ms: 0, digests },
        )
    }

    fn refuse(&mut self, host: u32, retry: bool) -> Vec<Effect> {
        let cause = Tainted::new("no");
        let failure = ConnectFailure { stage: "tcp".into(), cause, hint: None, retry };
        self.tell(Event::ConnectFailed { host: HostId(host), failure })
    }

    fn lose_link(&mut self, host: u32) -> Vec<Effect> {
        self.tell(Event::LinkLost { host: HostId(host), cause: Tainted::new("reset") })
    }

    /// Output aside a task is over.
    fn exit(&mut self, host: u32, task: u32, exit: Exit) -> Vec<Effect> {
        self.report(host, Report::Task(exited(task, exit)))
    }

    /// As above, with all its output here.
    fn end(&mut self, host: u32, task: u32, code: i32) -> Vec<Effect> {
        let mut said = self.exit(host, task, Exit::Code(code));
        for stream in [StreamName::Out, StreamName::Err] {
            said.extend(self.tell(Event::OutputStored { key: key(task), stream, gap_bytes: 0 }));
        }
        said
    }

    fn stop(&mut self) -> Vec<Effect> {
        self.tell(Event::StopAsked { why: "enough".into() })
    }

    fn cleaned(&mut self, host: u32) -> Vec<Effect> {
        self.report(host, Report::Cleaned { remainder: vec![], failed_lines: vec![] })
    }

    fn state(&self, host: usize) -> HostState {
        self.run.view().hosts[host].state
    }
}

fn key(task: u32) -> TaskKey {
    TaskKey { task, incarnation: 1 }
}

fn exited(task: u32, exit: Exit) -> TaskRecord {
    record(task, TaskState::Exited { exit, out_bytes: 0, err_bytes: 0, ran_ms: 1, ended_us: None })
}

fn record(task: u32, state: TaskState) -> TaskRecord {
    TaskRecord::new(key(task), state)
}

fn sent(effects: &[Effect]) -> Vec<(u32, Command)> {
    let sent = effects.iter().filter_map(|e| match e {
        Effect::Send { host, command, .. } => Some((host.0, command.clone())),
        _ => None,
    });
    sent.collect()
}

/// Hosts and tasks that are told to start.
fn starts(effects: &[Effect]) -> Vec<(u32, u32)> {
    let starts = sent(effects).into_iter().filter_map(|(host, command)| match command {
        Command::Start { key, .. } => Some((host, key.task)),
        _ => None,
    });
    starts.collect()
}

fn stops(effects: &[Effect]) -> Vec<(u32, u32)> {
    let stops = sent(effects).into_iter().filter_map(|(host, command)| match command {
        Command::Stop { key, .. } => Some((host, key.task)),
        _ => None,
    });
    stops.collect()
}

/// Hosts that are told to prepare.
fn preparing(effects: &[Effect]) -> Vec<u32> {
    let sent = sent(effects).into_iter();
    sent.filter(|(_, c)| matches!(c, Command::Prepare(_))).map(|(h, _)| h).collect()
}

fn cleaning(effects: &[Effect]) -> Vec<u32> {
    let sent = sent(effects).into_iter();
    sent.filter(|(_, c)| matches!(c, Command::CleanUp { .. })).map(|(h, _)| h).collect()
}

fn connecting(effects: &[Effect]) -> Vec<u32> {
    let connects = effects.iter().filter_map(|e| match e {
        Effect::Connect { host, .. } => Some(host.0),
        _ => None,
    });
    connects.collect()
}

fn outcome(effects: &[Effect]) -> Option<Outcome> {
    effects.iter().find_map(|e| match e {
        Effect::Finish { outcome } => Some(outcome.clone()),
        _ => None,
    })
}

fn count(count: u32) -> BarrierPolicy {
    BarrierPolicy {
        entry: Entry { count: Some(count), ..Entry::default() },
        ..BarrierPolicy::default()
    }
}

#[test]
fn one_host_s_refusal_leaves_the_others_going() {
    let mut tale = Tale::of(cluster(3, vec![runs("w", &[])]), 3);
    tale.refuse(1, false);
    tale.connect(0);
    tale.connect(2);
    assert_eq!(starts(&tale.prepare(0)), []);
    assert_eq!(starts(&tale.prepare(2)), [(0, 0), (2, 1)]);
    assert_eq!(tale.state(1), HostState::Failed);
    tale.end(0, 0, 0);
    assert_eq!(cleaning(&tale.end(2, 1, 0)), [0, 2]);
    tale.cleaned(0);
    assert_eq!(outcome(&tale.cleaned(2)), Some(Outcome::Partial));
}

#[test]
fn r3_a_host_that_never_answers_is_tried_four_times() {
    let mut tale = Tale::of(cluster(2, vec![runs("w", &[])]), 2);
    for _ in 0..3 {
        assert_eq!(connecting(&tale.refuse(1, true)), [0u32; 0]);
        assert_eq!(connecting(&tale.wait(8_000)), [1]);
    }
    tale.refuse(1, true);
    assert_eq!(connecting(&tale.wait(60_000)), [0u32; 0]);
    assert_eq!(tale.state(1), HostState::Failed);
}

#[test]
fn a_spare_steps_in_for_a_host_that_cannot_prepare() {
    let mut wanted = cluster(2, vec![runs("w", &[])]);
    wanted.num_hosts.spare = 1;
    let mut tale = Tale::of(wanted, 3);
    (0..3).for_each(|host| tale.connect(host));
    assert_eq!(preparing(&tale.said), [0, 1]);
    let cause = Cause { kind: CauseKind::DiskFull, text: Tainted::new("full") };
    let said = tale.report(0, Report::PrepareFailed { cluster: "c".into(), cause });
    assert_eq!(preparing(&said), [2]);
    tale.prepare(1);
    // The spare has the place, and with it the rank, of the host for which it steps in.
    assert_eq!(starts(&tale.prepare(2)), [(1, 1), (2, 0)]);
}

#[test]
fn too_few_hosts_stop_the_run_and_those_that_are_there_are_cleaned() {
    let mut wanted = cluster(3, vec![runs("w", &[])]);
    wanted.num_hosts.min = Some(3);
    let mut tale = Tale::of(wanted, 3);
    tale.connect(0);
    tale.connect(1);
    tale.refuse(2, false);
    assert_eq!(cleaning(&tale.said), [0, 1]);
    tale.cleaned(0);
    assert_eq!(outcome(&tale.cleaned(1)), Some(Outcome::TooFewHosts));
    assert_eq!(starts(&tale.said), []);
}

#[test]
fn a_stop_during_preparation_cancels_it_and_contacts_nobody_new() {
    let mut tale = Tale::of(cluster(2, vec![runs("w", &[])]), 2);
    tale.connect(0);
    tale.refuse(1, true);
    let said = tale.stop();
    assert!(matches!(
        &sent(&said)[..],
        [(0, Command::CancelPrepare { .. }), (0, Command::CleanUp { .. })]
    ));
    assert_eq!(connecting(&tale.wait(60_000)), [0u32; 0]);
    assert_eq!(outcome(&tale.cleaned(0)), Some(Outcome::Stopped));
}

#[test]
fn hosts_that_were_not_reached_when_a_run_was_stopped_are_missing_and_not_spare() {
    let mut wanted = cluster(3, vec![runs("w", &[])]);
    wanted.num_hosts.spare = 1;
    let mut tale = Tale::of(wanted, 4);
    tale.connect(0);
    tale.refuse(1, true);
    tale.stop();
    for host in [2, 3] {
        tale.tell(Event::ConnectDropped { host: HostId(host) });
    }
    assert_eq!(outcome(&tale.cleaned(0)), Some(Outcome::Stopped));
    let view = tale.run.view();
    let states: Vec<HostState> = view.hosts.iter().map(|host| host.state).collect();
    assert_eq!(states, [HostState::Done, HostState::Failed, HostState::Failed, HostState::Spare]);
    assert_eq!(view.clusters[0].live, 1);
    let missing: Vec<_> =
        view.problems.iter().map(|p| (p.host.as_deref().unwrap(), p.cause.raw())).collect();
    assert_eq!(
        missing,
        [
            ("h1", "not reached before the run ended: tcp: no"),
            ("h2", "not reached before the run ended"),
        ]
    );
}

#[test]
fn a_stopping_run_sleeps_while_a_host_that_never_answered_would_be_tried_again() {
    let mut wanted = cluster(2, vec![runs("w", &[])]);
    wanted.ready = count(1);
    let mut tale = Tale::of(wanted, 2);
    tale.connect(0);
    assert_eq!(starts(&tale.prepare(0)), [(0, 0)]);
    tale.refuse(1, true);
    assert!(tale.run.wake_at(tale.now).is_some());
    assert_eq!(stops(&tale.stop()), [(0, 0)]);
    assert_eq!(tale.run.wake_at(tale.now), None);
}

#[test]
fn a_stopping_run_lets_nobody_through_the_ready_barrier() {
    let mut tale = Tale::of(cluster(3, vec![runs("w", &[])]), 3);
    tale.connect(0);
    tale.connect(1);
    tale.prepare(0);
    tale.prepare(1);
    tale.stop();
    // Nobody is missing any more, so the barrier is full.
    tale.refuse(2, false);
    assert_eq!(starts(&tale.said), []);
}

#[test]
fn a_restarted_controller_sends_again_what_was_not_acknowledged() {
    let mut tale = Tale::prepared(cluster(1, vec![runs("w", &[])]), 1);
    assert_eq!(starts(&tale.said), [(0, 0)]);
    let (host, session) = (HostId(0), SESSION);
    tale.tell(Event::Taken { host, session, number: 1 });
    let said = tale.tell(Event::Restarted);
    assert_eq!(said, [Effect::Connect { host, session, received: 2 }]);
    assert_eq!(starts(&tale.hello(0, SESSION, 1)), [(0, 0)]);
    assert!(preparing(&tale.hello(0, SESSION, 2)).is_empty());
}

#[test]
fn f50_a_restarted_controller_knows_how_long_a_login_takes() {
    let mut tale = Tale::of(cluster(1, vec![runs("w", &[])]), 1);
    assert_eq!(tale.run.login_ms(HostId(0)), None);
    tale.connect(0);
    tale.tell(Event::Restarted);
    assert_eq!(tale.run.login_ms(HostId(0)), Some(0));
}

/// The agent has said how much there is, and that was acknowledged: it does not say it again.
#[test]
fn f50_a_restarted_controller_knows_how_much_output_is_still_to_come() {
    let mut tale = Tale::prepared(cluster(1, vec![runs("w", &[])]), 1);
    let state = TaskState::Exited {
        exit: Exit::Code(0),
        out_bytes: 7,
        err_bytes: 3,
        ran_ms: 1,
        ended_us: None,
    };
    tale.report(0, Report::Task(record(0, state)));
    tale.tell(Event::OutputStored { key: key(0), stream: StreamName::Err, gap_bytes: 0 });
    tale.tell(Event::Restarted);
    let open = OpenTask { key: key(0), process: "w".into(), total_bytes: Some((7, 3)) };
    assert_eq!(tale.run.tasks_on(HostId(0)), std::slice::from_ref(&open));
    tale.tell(Event::OutputStored { key: key(0), stream: StreamName::Out, gap_bytes: 0 });
    assert_eq!(tale.run.tasks_on(HostId(0)), [OpenTask { total_bytes: None, ..open }]);
}

#[test]
fn f04_a_new_agent_is_asked_again_for_what_it_does_not_know() {
    let mut tale = Tale::prepared(cluster(2, vec![runs("w", &[])]), 2);
    let (host, session) = (HostId(0), SESSION);
    tale.tell(Event::Taken { host, session, number: 2 });
    tale.lose_link(0);
    assert_eq!(tale.hello(0, 7, 0), []);
    assert_eq!(starts(&tale.inventory(0, vec![], &["c"])), [(0, 0)]);
    // A start that it knows is not asked for again.
    tale.lose_link(0);
    tale.hello(0, 8, 0);
    let known = vec![record(0, TaskState::Running { pid: 1, since_us: None })];
    assert_eq!(starts(&tale.inventory(0, known, &["c"])).len(), 1, "it was never acknowledged");
    tale.tell(Event::Taken { host, session: 8, number: 1 });
    tale.lose_link(0);
    tale.hello(0, 9, 0);
    let known = vec![record(0, TaskState::Running { pid: 1, since_us: None })];
    assert_eq!(sent(&tale.inventory(0, known, &["c"])), []);
}

#[test]
fn f03_p1_a_host_whose_disk_was_wiped_is_not_asked_to_start_a_task_again() {
    let mut tale = Tale::prepared(cluster(2, vec![runs("w", &[])]), 2);
    tale.report(1, Report::Task(record(1, TaskState::Running { pid: 1, since_us: None })));
    for host in [0, 1] {
        tale.lose_link(host);
        // Not even what nobody has acknowledged goes before the inventory.
        assert_eq!(sent(&tale.hello(host, 7, 0)), []);
        assert_eq!(starts(&tale.inventory(host, vec![], &[])), []);
    }
    let states: Vec<String> = tale.run.view().tasks.into_iter().map(|t| t.state).collect();
    assert_eq!(states, ["lost", "lost"]);
}

#[test]
fn the_rest_of_a_wiped_host_s_output_is_not_waited_for() {
    let mut tale = Tale::prepared(cluster(2, vec![runs("w", &[])]), 2);
    tale.exit(0, 0, Exit::Code(0));
    tale.end(1, 1, 0);
    tale.lose_link(0);
    tale.hello(0, 7, 0);
    assert_eq!(cleaning(&tale.inventory(0, vec![], &[])), [0, 1]);
}

#[test]
fn failed_tasks_give_the_largest_code() {
    let mut tale = Tale::prepared(cluster(3, vec![runs("w", &[])]), 3);
    tale.end(0, 0, 3);
    tale.end(1, 1, 7);
    tale.end(2, 2, 0);
    (0..2).for_each(|host| drop(tale.cleaned(host)));
    assert_eq!(outcome(&tale.cleaned(2)), Some(Outcome::TasksFailed { code: 7 }));
}

#[test]
fn an_end_by_a_signal_is_a_success_where_its_code_is_one_of_the_success_codes() {
    let patient = |codes: &[u8]| {
        let mut process = process("w", &[]);
        process.success_codes = codes.to_vec();
        cluster(1, vec![does("w", &[], Action::Process(Box::new(process)))])
    };
    for (codes, exit, right) in [
        (&[0, 143][..], Exit::Signal { signal: 15, oom: false }, Outcome::Complete),
        (&[0], Exit::Signal { signal: 15, oom: false }, Outcome::TasksFailed { code: 143 }),
        (&[0, 143], Exit::Signal { signal: 9, oom: false }, Outcome::TasksFailed { code: 137 }),
        (&[0, 137], Exit::Signal { signal: 9, oom: true }, Outcome::TasksFailed { code: 137 }),
    ] {
        let mut tale = Tale::prepared(patient(codes), 1);
        tale.exit(0, 0, exit.clone());
        for stream in [StreamName::Out, StreamName::Err] {
            tale.tell(Event::OutputStored { key: key(0), stream, gap_bytes: 0 });
        }
        assert_eq!(outcome(&tale.cleaned(0)), Some(right), "{codes:?} {exit:?}");
    }
}

#[test]
fn a_task_that_was_stopped_before_it_began_has_not_failed() {
    let mut wanted = cluster(2, vec![runs("w", &[])]);
    wanted.on_failure.process = Some(Reaction::Fail);
    let mut tale = Tale::prepared(wanted, 2);
    assert_eq!(stops(&tale.end(0, 0, 3)), [(1, 1)]);
    let cause = Cause { kind: CauseKind::Cancelled, text: Tainted::new("stopped") };
    tale.report(1, Report::Task(record(1, TaskState::NotStarted(cause))));
    tale.cleaned(0);
    assert_eq!(outcome(&tale.cleaned(1)), Some(Outcome::TasksFailed { code: 3 }));
}

#[test]
fn a_dropped_host_s_other_tasks_are_stopped_there_only() {
    let mut wanted = cluster(2, vec![runs("w", &[]), runs("v", &[])]);
    wanted.on_failure.process = Some(Reaction::Drop);
    let mut tale = Tale::prepared(wanted, 2);
    assert_eq!(starts(&tale.said), [(0, 0), (0, 1), (1, 2), (1, 3)]);
    assert_eq!(stops(&tale.end(0, 0, 1)), [(0, 1)]);
    assert_eq!(tale.state(0), HostState::Failed);
}

#[test]
fn a_cleaned_host_is_disconnected_after_the_acknowledgement() {
    let mut tale = Tale::prepared(cluster(1, vec![runs("w", &[])]), 1);
    tale.end(0, 0, 0);
    let host = HostId(0);
    assert_eq!(
        tale.cleaned(0),
        [
            Effect::Acknowledge { host, number: 4 },
            Effect::Disconnect { host },
            Effect::Finish { outcome: Outcome::Complete }
        ]
    );
}

#[test]
fn a_clean_host_whose_link_is_lost_is_not_visited_again() {
    let mut tale = Tale::prepared(cluster(1, vec![runs("w", &[])]), 1);
    tale.end(0, 0, 0);
    let (session, number) = (SESSION, 4);
    let report = Report::Cleaned { remainder: vec![], failed_lines: vec![] };
    tale.run.absorb(tale.now, Event::Reported { host: HostId(0), session, number, report });
    let said = tale.lose_link(0);
    assert_eq!(said, [Effect::Finish { outcome: Outcome::Complete }]);
}

#[test]
fn a_host_that_does_not_finish_its_clean_up_is_given_up_and_disconnected() {
    let mut tale = Tale::prepared(cluster(1, vec![runs("w", &[])]), 1);
    tale.end(0, 0, 0);
    let said = tale.wait(180_000);
    // Its work was done, so enough hosts were there; but not all went well.
    assert_eq!(
        said,
        [Effect::Disconnect { host: HostId(0) }, Effect::Finish { outcome: Outcome::Partial }]
    );
}

#[test]
fn a_host_that_comes_back_after_it_was_given_up_does_not_keep_the_run() {
    let mut wanted = cluster(2, vec![runs("w", &[])]);
    wanted.outputs = vec![model::Output { glob: "*".into(), place: Place::default() }];
    let mut tale = Tale::prepared(wanted, 2);
    tale.end(0, 0, 0);
    tale.end(1, 1, 0);
    let collected =
        |host| Event::Collected { host, files: 0, bytes: 0, skipped: vec![], unmatched: vec![] };
    assert_eq!(cleaning(&tale.tell(collected(HostId(0)))), [0]);
    tale.now += 179_000;
    assert_eq!(connecting(&tale.lose_link(0)), [0]);
    tale.wait(1_500);
    assert_eq!(tale.hello(0, SESSION, 3), [Effect::Disconnect { host: HostId(0) }]);
    assert_eq!(cleaning(&tale.tell(collected(HostId(1)))), [1]);
    assert_eq!(outcome(&tale.cleaned(1)), Some(Outcome::Partial));
}

#[test]
fn an_agent_that_a_connection_brings_to_a_clean_host_is_cleaned_up_too() {
    for comes_up in [true, false] {
        let mut tale = Tale::prepared(cluster(1, vec![runs("w", &[])]), 1);
        tale.end(0, 0, 0);
        assert_eq!(connecting(&tale.lose_link(0)), [0]);
        // What the lost link had still brought.
        tale.cleaned(0);
        if comes_up {
            tale.hello(0, 7, 0);
            assert_eq!(cleaning(&tale.inventory(0, vec![], &[])), [0]);
            assert_eq!(outcome(&tale.cleaned(0)), Some(Outcome::Complete));
        } else {
            assert_eq!(outcome(&tale.refuse(0, true)), Some(Outcome::Complete));
        }
    }
}

#[test]
fn a_new_controller_counts_silence_from_its_own_beginning() {
    let mut tale = Tale::prepared(cluster(1, vec![runs("w", &[])]), 1);
    tale.lose_link(0);
    for _ in 0..2 {
        tale.refuse(0, true);
        tale.wait(8_000);
    }
    tale.now += 3_600_000;
    tale.tell(Event::Restarted);
    for _ in 0..3 {
        tale.refuse(0, true);
        assert_eq!(connecting(&tale.wait(8_000)), [0]);
    }
}

#[test]
fn ranks_follow_those_who_begin_without_holes() {
    let mut wanted = cluster(4, vec![runs("w", &[])]);
    wanted.ready = count(3);
    let mut tale = Tale::of(wanted, 4);
    (0..4).for_each(|host| tale.connect(host));
    [3, 0, 2].into_iter().for_each(|host| drop(tale.prepare(host)));
    tale.prepare(1);
    let ranks: Vec<(u32, String)> = sent(&tale.said)
        .into_iter()
        .filter_map(|(host, command)| match command {
            Command::Start { spec, .. } => match spec.program {
                plush_protocol::Program::Argv(words) => Some((host, words[1].clone())),
                plush_protocol::Program::Shell { .. } => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(ranks, [(0, "0".into()), (2, "1".into()), (3, "2".into()), (1, "3".into())]);
}

#[test]
fn a_late_comer_s_spare_is_let_in_by_the_same_decision() {
    let mut wanted = cluster(3, vec![runs("w", &[])]);
    wanted.num_hosts.spare = 1;
    wanted.ready = BarrierPolicy { late: Late::Drop, ..count(2) };
    let mut tale = Tale::of(wanted, 4);
    (0..4).for_each(|host| tale.connect(host));
    (0..2).for_each(|host| drop(tale.prepare(host)));
    assert_eq!(preparing(&tale.prepare(2)), [3]);
}

#[test]
fn nobody_is_late_for_a_preparation_that_has_no_time() {
    let mut wanted = cluster(2, vec![runs("w", &[])]);
    wanted.prepare.late = Late::Drop;
    let mut tale = Tale::of(wanted, 2);
    tale.connect(0);
    tale.connect(1);
    assert_eq!(preparing(&tale.said), [0, 1]);
}

#[test]
fn b6_a_member_leaves_a_barrier_when_what_follows_it_is_over() {
    let inside = BarrierPolicy {
        release: Release::Inside { max: 1, timeout_ms: None },
        ..BarrierPolicy::default()
    };
    let steps = vec![meets("m", &[]), runs("w", &["m"]), runs("v", &["w"])];
    let mut tale = Tale::with_barrier(cluster(2, steps), 2, inside);
    tale.connect_and_prepare();
    assert_eq!(starts(&tale.said), [(0, 0)]);
    assert_eq!(starts(&tale.exit(0, 0, Exit::Code(0))), [(0, 1), (1, 2)]);
}

#[test]
fn b6_a_member_is_inside_its_ready_barrier_until_it_is_through() {
    let mut wanted = cluster(2, vec![runs("w", &[]), runs("v", &["w"])]);
    wanted.ready.release = Release::Inside { max: 1, timeout_ms: None };
    let mut tale = Tale::prepared(wanted, 2);
    assert_eq!(starts(&tale.said), [(0, 0)]);
    assert_eq!(starts(&tale.exit(0, 0, Exit::Code(0))), [(0, 1)]);
    assert_eq!(starts(&tale.exit(0, 1, Exit::Code(0))), [(1, 2)]);
}

#[test]
fn a_second_visit_to_a_barrier_passes() {
    let steps = vec![meets("m", &[]), runs("w", &["m"]), meets("n", &["w"]), runs("v", &["n"])];
    let mut tale = Tale::prepared(cluster(1, steps), 1);
    assert_eq!(starts(&tale.exit(0, 0, Exit::Code(0))), [(0, 1)]);
}

#[test]
fn a_process_that_cannot_be_described_to_its_host_has_failed_there() {
    let bad = Action::Process(Box::new(process("w", &["${nothing}"])));
    let mut tale = Tale::prepared(cluster(1, vec![does("w", &[], bad), runs("v", &["w"])]), 1);
    assert_eq!(cleaning(&tale.said), [0]);
    assert_eq!(outcome(&tale.cleaned(0)), Some(Outcome::TasksFailed { code: 255 }));
}

#[test]
fn a_silent_host_is_given_up_after_thirty_seconds_and_its_tasks_are_lost() {
    let mut tale = Tale::prepared(cluster(2, vec![runs("w", &[])]), 2);
    tale.end(1, 1, 0);
    tale.lose_link(0);
    for _ in 0..3 {
        tale.refuse(0, true);
        assert_eq!(connecting(&tale.wait(8_000)), [0]);
    }
    assert_eq!(cleaning(&tale.refuse(0, true)), [0u32; 0]);
    tale.wait(8_000);
    assert_eq!(cleaning(&tale.refuse(0, true)), [1]);
    assert_eq!(tale.run.view().tasks[0].state, "lost");
    // The host failed, not the process: with enough hosts left the run has done its work.
    assert_eq!(outcome(&tale.cleaned(1)), Some(Outcome::Partial));
}

#[test]
fn the_oldest_problems_are_forgotten_and_counted() {
    let mut tale = Tale::prepared(cluster(2, vec![runs("w", &[])]), 2);
    for n in 0..PROBLEMS_LEAST + 7 {
        tale.run.problem(None, "run", Tainted::new(n.to_string()), None);
    }
    let view = tale.run.view();
    assert_eq!((view.problems.len(), view.forgotten_problems), (PROBLEMS_LEAST, 7));
    assert_eq!(view.problems[0].cause.raw(), "7");
}

#[test]
fn a_run_survives_being_written_down_and_read_again() {
    let mut tale = Tale::prepared(cluster(2, vec![runs("w", &[])]), 2);
    tale.end(0, 0, 1);
    let text = serde_json::to_string(&tale.run).unwrap();
    assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), tale.run);
}
