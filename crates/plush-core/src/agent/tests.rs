#![allow(clippy::unwrap_used)]
use super::*;
use plush_protocol::{
    Ambiguous, Exit, Health, OutputRule, PrepareSpec, ProbeCheck, ProbeRule, Program,
    ResourceLimits, RestartRule, RestartWhen, Stdin, StopRule, Tainted, TaskSpec, TaskState,
    Unhealthy,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

const STOP_AFTER_MS: u64 = 60_000;

fn found() -> Recovered {
    Recovered { session: 7, ..Recovered::default() }
}

fn hello(epoch: u64, session: u64, received: u64) -> ControllerHello {
    ControllerHello {
        version: PROTOCOL_VERSION,
        run: "r".into(),
        epoch,
        session,
        received,
        stop_after_ms: Some(STOP_AFTER_MS),
        host: "h".into(),
        controller: "here".into(),
    }
}

fn key(task: u32) -> TaskKey {
    TaskKey { task, incarnation: 1 }
}

fn spec() -> Box<TaskSpec> {
    Box::new(TaskSpec {
        name: "p".into(),
        cluster: "c".into(),
        program: Program::Argv(vec!["true".into()]),
        environment: Vec::new(),
        directory: String::new(),
        stdin: Stdin::Null,
        time_limit_ms: None,
        stop: StopRule::default(),
        limits: ResourceLimits::default(),
        output: OutputRule::default(),
        success_codes: vec![0],
        at_us: None,
        restart: None,
        probes: Vec::new(),
        unhealthy: Unhealthy::End,
    })
}

fn record(task: u32, state: TaskState) -> TaskRecord {
    TaskRecord::new(key(task), state)
}

fn exited(code: i32) -> TaskState {
    TaskState::Exited {
        exit: Exit::Code(code),
        out_bytes: 0,
        err_bytes: 0,
        ran_ms: 1,
        ended_us: None,
    }
}

fn clean_up() -> Command {
    Command::CleanUp { commands: Vec::new(), keep_work: false, keep_cache: true, line_limit_ms: 0 }
}

fn prepare(cluster: &str) -> Command {
    Command::Prepare(PrepareSpec { cluster: cluster.into(), software: vec![], files: vec![] })
}

/// A machine with the link 1 up, everything said so far taken from it.
fn connected() -> Agent {
    let mut agent = Agent::new("r", found());
    agent.absorb(Event::Hello { link: 1, hello: hello(1, 0, 0) });
    let _ = agent.decide(1_000);
    agent
}

/// Absorbs the next command on link 1 and decides.
fn command(agent: &mut Agent, number: u64, command: Command) -> Vec<Effect> {
    agent.absorb(Event::Command { link: 1, number, command });
    agent.decide(1_000)
}

fn reports(effects: &[Effect]) -> Vec<Report> {
    let sent = effects.iter().filter_map(|e| match e {
        Effect::Send { report, .. } => Some(report.clone()),
        _ => None,
    });
    sent.collect()
}

#[test]
fn a_session_begins_with_the_inventory() {
    let mut agent = Agent::new(
        "r",
        Recovered { tasks: vec![record(1, exited(3))], prepared: vec!["c".into()], ..found() },
    );
    agent.absorb(Event::Hello { link: 1, hello: hello(1, 0, 0) });
    let effects = agent.decide(5);
    assert_eq!(effects[0], Effect::SaveLease(agent.lease.clone()));
    assert_eq!(effects[1], Effect::SaveEpoch(1));
    let greeting = Greeting { session: 7, received: 0, epoch: 1, refusal: None };
    assert_eq!(effects[2], Effect::Greet { link: 1, greeting });
    assert_eq!(
        reports(&effects),
        [Report::Inventory { tasks: vec![record(1, exited(3))], prepared: vec!["c".into()] }]
    );
}

#[test]
fn a_controller_that_knows_the_session_gets_only_what_it_lacks() {
    let mut agent = connected();
    let _ = command(&mut agent, 1, Command::Stop { key: key(9), why: "stop".into() });
    agent.absorb(Event::Closed { link: 1 });
    agent.absorb(Event::Hello { link: 2, hello: hello(1, 7, 1) });
    let effects = agent.decide(1_001);
    let sent = effects.iter().filter_map(|e| match e {
        Effect::Send { number, .. } => Some(*number),
        _ => None,
    });
    assert_eq!(sent.collect::<Vec<_>>(), [2]);
}

#[test]
fn a_controller_without_memory_gets_a_new_session() {
    let mut agent = connected();
    let _ = command(&mut agent, 1, Command::Stop { key: key(9), why: "stop".into() });
    agent.absorb(Event::Hello { link: 2, hello: hello(2, 0, 0) });
    let effects = agent.decide(1_001);
    assert!(effects.contains(&Effect::Close { link: 1 }));
    let greeting = Greeting { session: 8, received: 0, epoch: 2, refusal: None };
    assert!(effects.contains(&Effect::Greet { link: 2, greeting }));
    assert!(
        matches!(reports(&effects)[..], [Report::Inventory { ref tasks, .. }] if tasks.len() == 1)
    );
}

#[test]
fn e2_a_stale_controller_is_told_and_changes_nothing() {
    let mut agent = connected();
    agent.absorb(Event::Hello { link: 2, hello: hello(5, 0, 0) });
    let _ = agent.decide(2_000);
    let until = agent.view().lease_until;
    agent.absorb(Event::Hello { link: 3, hello: hello(4, 0, 0) });
    agent.absorb(Event::Command { link: 3, number: 1, command: clean_up() });
    agent.absorb(Event::Ping { link: 3, token: 1 });
    let effects = agent.decide(30_000);
    assert!(
        matches!(&effects[..], [Effect::Refuse { link: 3, greeting, why }]
            if greeting.epoch == 5 && greeting.refusal == Some(Refusal::Superseded)
            && why == "another controller (here) has taken over"),
        "{effects:?}"
    );
    assert_eq!((agent.view().lease_until, agent.link()), (until, Some(2)));
}

/// Whether a controller that comes after the first is refused, with this memory of the session, when the first has
/// acknowledged a report.
fn older_journal(epoch: u64, session: u64, received: u64) -> Option<Refusal> {
    let mut agent = connected();
    agent.absorb(Event::Acknowledged { link: 1, number: 1 });
    agent.absorb(Event::Hello { link: 2, hello: hello(epoch, session, received) });
    let effects = agent.decide(1_001);
    let refused = effects.iter().find_map(|e| match e {
        Effect::Refuse { greeting, .. } => greeting.refusal,
        _ => None,
    });
    // Who is refused takes nothing from the controller that is there.
    assert!(refused.is_none() || (agent.link(), agent.view().epoch) == (Some(1), 1));
    refused
}

#[test]
fn f55_a_controller_with_an_older_copy_of_the_journal_is_refused_and_takes_nothing_over() {
    assert_eq!(older_journal(2, 7, 1), None);
    assert_eq!(older_journal(2, 7, 0), Some(Refusal::OlderJournal));
    assert_eq!(older_journal(2, 0, 0), Some(Refusal::OlderJournal));
    assert_eq!(older_journal(2, 6, 5), Some(Refusal::OlderJournal));
    // The same controller, whose attempt began before it had acknowledged.
    assert_eq!(older_journal(1, 7, 0), None);
}

#[test]
fn a_controller_of_another_run_is_refused() {
    let mut agent = connected();
    let hello = ControllerHello { run: "other".into(), ..hello(9, 0, 0) };
    agent.absorb(Event::Hello { link: 2, hello });
    assert!(matches!(agent.decide(1_000)[..], [Effect::Refuse { link: 2, .. }]));
    assert_eq!(agent.view().epoch, 1);
}

#[test]
fn p1_a_key_with_a_record_is_answered_and_not_started_again() {
    let mut agent = connected();
    let effects = command(&mut agent, 1, Command::Start { key: key(1), spec: spec() });
    assert!(matches!(effects[0], Effect::Start { .. }));
    agent.absorb(Event::Task(record(1, exited(0))));
    let _ = agent.decide(1_000);
    let effects = command(&mut agent, 2, Command::Start { key: key(1), spec: spec() });
    assert_eq!(reports(&effects), [Report::Task(record(1, exited(0)))]);
    assert!(!effects.iter().any(|e| matches!(e, Effect::Start { .. })));
}

#[test]
fn p4_an_end_is_final() {
    let mut agent = connected();
    let _ = command(&mut agent, 1, Command::Start { key: key(1), spec: spec() });
    agent.absorb(Event::Task(record(1, exited(0))));
    agent.absorb(Event::Task(record(1, exited(1))));
    assert_eq!(reports(&agent.decide(1_000)), [Report::Task(record(1, exited(0)))]);
}

#[test]
fn a_start_that_was_stopped_before_it_began_never_begins() {
    let mut agent = connected();
    agent.absorb(Event::Command {
        link: 1,
        number: 1,
        command: Command::Start { key: key(1), spec: spec() },
    });
    let effects = command(&mut agent, 2, Command::Stop { key: key(1), why: "stop".into() });
    assert!(!effects.iter().any(|e| matches!(e, Effect::Start { .. } | Effect::Stop { .. })));
    assert!(matches!(
        &reports(&effects)[..],
        [Report::Task(TaskRecord { state: TaskState::NotStarted(_), .. })]
    ));
}

#[test]
fn l1_a_lease_that_runs_out_stops_every_task_and_l2_not_before() {
    let mut agent = connected();
    let _ = command(&mut agent, 1, Command::Start { key: key(1), spec: spec() });
    agent.absorb(Event::Task(record(1, TaskState::Running { pid: 5, since_us: None })));
    agent.absorb(Event::Closed { link: 1 });
    assert_eq!(agent.decide(1_000 + STOP_AFTER_MS - 1), []);
    assert_eq!(agent.wake_at(2_000), Some(1_000 + STOP_AFTER_MS));
    let effects = agent.decide(1_000 + STOP_AFTER_MS);
    assert_eq!(effects, [Effect::Stop { key: key(1), why: "lease".into() }]);
}

#[test]
fn f11_a_renewal_read_after_the_deadline_comes_too_late() {
    let mut agent = connected();
    let _ = command(&mut agent, 1, Command::Start { key: key(1), spec: spec() });
    agent.absorb(Event::Renew { link: 1, clock_us: 1_000_000 * STOP_AFTER_MS });
    let effects = agent.decide(1_000 + STOP_AFTER_MS);
    assert!(effects.contains(&Effect::Stop { key: key(1), why: "lease".into() }));
}

/// F11: the simulator's decide-once found a second thing to say.
#[test]
fn a_lease_that_is_out_and_renewed_at_one_instant_says_both_at_once() {
    let mut agent = Agent::new("r", found());
    agent.absorb(Event::Hello { link: 1, hello: hello(1, 0, 0) });
    let _ = agent.decide(0);
    agent.absorb(Event::Command {
        link: 1,
        number: 1,
        command: Command::Start { key: key(0), spec: spec() },
    });
    let _ = agent.decide(1);
    agent.absorb(Event::Renew { link: 1, clock_us: 2_000 });
    let effects = agent.decide(STOP_AFTER_MS + 1);
    assert!(effects.iter().any(|e| matches!(e, Effect::Stop { why, .. } if why == "lease")));
    assert!(effects.iter().any(|e| matches!(e, Effect::SaveLease(_))));
    assert_eq!(agent.decide(STOP_AFTER_MS + 1), []);
}

#[test]
fn l3_a_lease_is_renewed_from_what_the_controller_has_heard_and_not_from_when_that_is_read() {
    let mut agent = connected();
    assert_eq!(agent.view().lease_until, Some(1_000 + STOP_AFTER_MS));
    agent.absorb(Event::Ping { link: 1, token: 4 });
    assert_eq!(agent.decide(21_000), [Effect::Pong { link: 1, token: 4 }], "which renews nothing");
    // Held back by the network for ten seconds.
    agent.absorb(Event::Renew { link: 1, clock_us: 21_000_500 });
    let effects = agent.decide(31_000);
    assert!(matches!(effects[..], [Effect::SaveLease(_)]));
    assert_eq!(agent.view().lease_until, Some(21_000 + STOP_AFTER_MS));
    agent.absorb(Event::Renew { link: 1, clock_us: 11_000_000 });
    assert_eq!(agent.decide(32_000), [], "an older word shortens nothing");
    agent.absorb(Event::Renew { link: 1, clock_us: u64::MAX });
    let _ = agent.decide(33_000);
    assert_eq!(agent.view().lease_until, Some(33_000 + STOP_AFTER_MS), "nor is a lie believed");
}

#[test]
fn l3_a_hello_renews_no_lease_under_which_tasks_run() {
    let mut agent = connected();
    agent.absorb(Event::Hello { link: 2, hello: hello(2, 7, 1) });
    let _ = agent.decide(50_000);
    assert_eq!(agent.view().lease_until, Some(1_000 + STOP_AFTER_MS));
    let lease = Lease::saved(Some(STOP_AFTER_MS), Some(1_000 + STOP_AFTER_MS));
    let mut next = Agent::new("r", Recovered { lease, ..found() });
    next.absorb(Event::Hello { link: 1, hello: hello(2, 0, 0) });
    let _ = next.decide(50_000);
    assert_eq!(next.view().lease_until, Some(1_000 + STOP_AFTER_MS));
}

#[test]
fn e2_an_older_controller_renews_nothing() {
    let mut agent = connected();
    agent.absorb(Event::Hello { link: 2, hello: hello(2, 0, 0) });
    let _ = agent.decide(2_000);
    agent.absorb(Event::Renew { link: 1, clock_us: 1_900_000 });
    assert_eq!(agent.decide(2_100), []);
}

#[test]
fn a_lease_that_was_out_serves_again_once_it_is_renewed() {
    let mut agent = connected();
    let out = 1_000 + STOP_AFTER_MS;
    let _ = agent.decide(out);
    agent.absorb(Event::Renew { link: 1, clock_us: 1_000_000 });
    assert_eq!(agent.decide(out + 1), [], "what is as old as the lease is none");
    agent.absorb(Event::Renew { link: 1, clock_us: out * 1_000 });
    let start = Command::Start { key: key(1), spec: spec() };
    agent.absorb(Event::Command { link: 1, number: 1, command: start });
    assert_eq!(started(&agent.decide(out + 2)), [key(1)], "both came at once");
}

#[test]
fn a_start_that_comes_with_a_renewal_that_is_too_old_is_never_begun() {
    let mut agent = connected();
    let out = 1_000 + STOP_AFTER_MS;
    let _ = agent.decide(out);
    agent.absorb(Event::Renew { link: 1, clock_us: 1_000_000 });
    let start = Command::Start { key: key(1), spec: spec() };
    agent.absorb(Event::Command { link: 1, number: 1, command: start });
    let effects = agent.decide(out + 2);
    assert_eq!(started(&effects), []);
    assert!(matches!(
        reports(&effects)[..],
        [Report::Task(TaskRecord { state: TaskState::NotStarted(_), .. })]
    ));
}

#[test]
fn a_forgotten_agent_keeps_the_files_for_a_while_and_then_leaves() {
    let mut agent = connected();
    agent.absorb(Event::Closed { link: 1 });
    let out = 1_000 + STOP_AFTER_MS;
    assert_eq!(agent.decide(out), []);
    let leave = agent.wake_at(out).unwrap();
    assert_eq!(leave, out + lease::LINGER_MS);
    assert_eq!(agent.decide(leave), [Effect::Remove(CleanUpSpec::everything())]);
    agent.absorb(Event::Removed { remainder: vec![], failed_lines: vec![] });
    assert_eq!(agent.decide(leave), []);
    assert_eq!(agent.decide(leave + 60_000), [Effect::Exit]);
}

#[test]
fn an_agent_that_nobody_ever_spoke_to_leaves() {
    let mut agent = Agent::new("r", found());
    assert_eq!(agent.decide(5), []);
    assert_eq!(agent.decide(5 + FIRST_WORD_MS), [Effect::Remove(CleanUpSpec::everything())]);
}

#[test]
fn clean_up_stops_removes_tells_and_leaves_once_it_is_heard() {
    let mut agent = connected();
    let _ = command(&mut agent, 1, Command::Start { key: key(1), spec: spec() });
    agent.absorb(Event::Task(record(1, TaskState::Running { pid: 5, since_us: None })));
    let effects = command(&mut agent, 2, clean_up());
    assert!(effects.contains(&Effect::Stop { key: key(1), why: "stop".into() }));
    agent.absorb(Event::Task(record(1, exited(0))));
    let effects = agent.decide(1_100);
    assert!(effects.iter().any(|e| matches!(e, Effect::Remove(spec) if spec.keep_cache)));
    agent.absorb(Event::Removed { remainder: vec![], failed_lines: vec![] });
    let effects = agent.decide(1_200);
    let Some(Effect::Send { number, report: Report::Cleaned { .. }, .. }) = effects.last() else {
        panic!("no report of the clean-up: {effects:?}");
    };
    agent.absorb(Event::Acknowledged { link: 1, number: *number });
    assert_eq!(agent.decide(1_300), [Effect::Exit]);
}

#[test]
fn a_second_preparation_of_a_cluster_waits_for_the_first() {
    let mut agent = connected();
    let effects = command(&mut agent, 1, prepare("c"));
    assert!(matches!(effects[0], Effect::Prepare(_)));
    let effects = command(&mut agent, 2, prepare("c"));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Prepare(_))));
    let effects = command(&mut agent, 3, Command::CancelPrepare { cluster: "c".into() });
    assert_eq!(effects[0], Effect::CancelPrepare { cluster: "c".into() });
}

#[test]
fn a_preparation_that_is_cancelled_before_it_begins_never_begins() {
    let mut agent = connected();
    agent.absorb(Event::Command { link: 1, number: 1, command: prepare("c") });
    let effects = command(&mut agent, 2, Command::CancelPrepare { cluster: "c".into() });
    assert!(matches!(reports(&effects)[..], [Report::PrepareFailed { .. }]));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Prepare(_))));
}

#[test]
fn c2_nothing_is_saved_any_more_once_the_files_are_going() {
    let mut agent = connected();
    let effects = command(&mut agent, 1, clean_up());
    assert!(effects.iter().any(|e| matches!(e, Effect::Remove(_))));
    agent.absorb(Event::Ping { link: 1, token: 3 });
    agent.absorb(Event::Hello { link: 2, hello: hello(5, 8, 0) });
    let effects = agent.decide(2_000);
    let saves = |e: &Effect| matches!(e, Effect::SaveLease(_) | Effect::SaveEpoch(_));
    assert!(!effects.iter().any(saves), "{effects:?}");
}

#[test]
fn clean_up_waits_for_a_preparation_to_end() {
    let mut agent = connected();
    let _ = command(&mut agent, 1, prepare("c"));
    let effects = command(&mut agent, 2, clean_up());
    assert!(effects.contains(&Effect::CancelPrepare { cluster: "c".into() }));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Remove(_))));
    let cause = plush_protocol::Cause {
        kind: plush_protocol::CauseKind::Cancelled,
        text: Tainted::new("cancelled"),
    };
    agent.absorb(Event::PrepareEnded(Report::PrepareFailed { cluster: "c".into(), cause }));
    assert!(agent.decide(1_001).iter().any(|e| matches!(e, Effect::Remove(_))));
}

#[derive(Clone, Debug)]
enum Step {
    Hello { epoch: u64, remembers: bool },
    Close,
    Command(u8, u32),
    Replay,
    Task(u32, u8),
    Ping,
    Renew,
    Acknowledge(u64),
    PrepareEnded,
    Removed,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u64..4, any::<bool>()).prop_map(|(epoch, remembers)| Step::Hello { epoch, remembers }),
        Just(Step::Close),
        (0u8..6, 0u32..4).prop_map(|(kind, task)| Step::Command(kind, task)),
        (0u8..6, 0u32..4).prop_map(|(kind, task)| Step::Command(kind, task)),
        Just(Step::Replay),
        (0u32..4, 0u8..3).prop_map(|(task, state)| Step::Task(task, state)),
        Just(Step::Ping),
        Just(Step::Renew),
        (0u64..20).prop_map(Step::Acknowledge),
        Just(Step::PrepareEnded),
        Just(Step::Removed),
        (0u64..100_000).prop_map(Step::Wait),
    ]
}

fn asked(kind: u8, task: u32) -> Command {
    match kind {
        0 | 1 => Command::Start { key: key(task), spec: spec() },
        2 => Command::Stop { key: key(task), why: "stop".into() },
        3 => Command::Signal { key: key(task), signal: 1 },
        4 => prepare("c"),
        _ => clean_up(),
    }
}

#[test]
fn e1_a_controller_whose_epoch_cannot_be_saved_is_refused_and_tried_again() {
    let mut agent = connected();
    agent.absorb(Event::Hello { link: 2, hello: hello(5, 0, 0) });
    let effects = agent.decide(2_000);
    assert!(effects.contains(&Effect::SaveEpoch(5)));
    agent.absorb(Event::EpochUnsaved { epoch: 5, why: "the disk is full".into() });
    let refused = agent.decide(2_000);
    let [Effect::Refuse { link: 2, greeting: Greeting { epoch: 5, .. }, why }] = &refused[..]
    else {
        panic!("{refused:?}")
    };
    assert!(why.contains("the disk is full"), "{why}");
    assert_eq!(agent.link(), None);
    agent.absorb(Event::Command {
        link: 2,
        number: 1,
        command: Command::Start { key: key(1), spec: spec() },
    });
    assert_eq!(agent.decide(2_001), vec![], "nothing is done for it");
    agent.absorb(Event::Hello { link: 3, hello: hello(1, 0, 0) });
    assert!(matches!(agent.decide(2_002)[..], [Effect::Refuse { link: 3, .. }]));
    agent.absorb(Event::Hello { link: 4, hello: hello(5, 0, 0) });
    let effects = agent.decide(2_003);
    let at = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted).unwrap();
    let saved = at(|e| *e == Effect::SaveEpoch(5));
    assert!(saved < at(|e| matches!(e, Effect::Greet { link: 4, .. })));
}

proptest! {
    /// Any sequence: deciding twice says nothing more, no key is started twice, nothing starts after the removal
    /// began, the epoch never falls, a wake-up lies in the future, and numbers go up by one on each link.
    #[test]
    fn any_sequence_keeps_the_rules(steps in proptest::collection::vec(step(), 1..120)) {
        let mut agent = Agent::new("r", found());
        let (mut now, mut link, mut number) = (1_000, 0, 0);
        let mut started = BTreeSet::new();
        let (mut removing, mut epoch, mut last_sent) = (false, 0, None::<(u64, u64)>);
        for step in steps {
            match step {
                Step::Hello { epoch, remembers } => {
                    link += 1;
                    let session = if remembers { agent.session } else { 0 };
                    let old = agent.session;
                    agent.absorb(Event::Hello { link, hello: hello(epoch, session, 0) });
                    if agent.session != old { number = 0; }
                }
                Step::Close => agent.absorb(Event::Closed { link }),
                Step::Command(kind, task) => {
                    if agent.link() == Some(link) { number += 1; }
                    agent.absorb(Event::Command { link, number, command: asked(kind, task) });
                }
                Step::Replay => agent.absorb(Event::Command { link, number, command: asked(0, 3) }),
                Step::Task(task, state) => agent.absorb(Event::Task(record(task, match state {
                    0 => TaskState::Running { pid: 3, since_us: None },
                    1 => exited(0),
                    _ => TaskState::Starting,
                }))),
                Step::Ping => agent.absorb(Event::Ping { link, token: 1 }),
                Step::Renew => agent.absorb(Event::Renew { link, clock_us: 1_000 * now }),
                Step::Acknowledge(number) => agent.absorb(Event::Acknowledged { link, number }),
                Step::PrepareEnded => agent.absorb(Event::PrepareEnded(Report::Prepared {
                    cluster: "c".into(), fetched_bytes: 0, cached: 0, took_ms: 0, digests: vec![],
                })),
                Step::Removed => agent.absorb(Event::Removed { remainder: vec![], failed_lines: vec![] }),
                Step::Wait(ms) => now += ms,
            }
            for effect in agent.decide(now) {
                match effect {
                    Effect::Start { key, .. } => {
                        prop_assert!(!removing, "started after the removal began");
                        prop_assert!(started.insert(key), "{key:?} was started twice");
                    }
                    Effect::Remove(_) => {
                        prop_assert!(!removing, "removed twice");
                        removing = true;
                    }
                    Effect::SaveEpoch(e) => { prop_assert!(e > epoch); epoch = e; }
                    Effect::Greet { .. } => last_sent = None,
                    Effect::Send { link, number, .. } => {
                        if let Some((l, n)) = last_sent { prop_assert!(l == link && n + 1 == number); }
                        last_sent = Some((link, number));
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(agent.decide(now), vec![]);
            prop_assert!(agent.wake_at(now).is_none_or(|at| at > now));
        }
    }
}

/// A task that is started again twice at the most, 100 ms after the second end.
fn restarting() -> Box<TaskSpec> {
    let rule = RestartRule {
        when: RestartWhen::Failure,
        max: Some(2),
        window_ms: None,
        backoff_min_ms: 100,
        backoff_max_ms: 1_000,
        ambiguous: Ambiguous::Restart,
    };
    Box::new(TaskSpec { restart: Some(rule), ..*spec() })
}

fn incarnation(incarnation: u32) -> TaskKey {
    TaskKey { task: 1, incarnation }
}

fn says(agent: &mut Agent, now: Millis, incarnation: u32, state: TaskState) -> Vec<Effect> {
    agent.absorb(Event::Task(TaskRecord::new(TaskKey { task: 1, incarnation }, state)));
    agent.decide(now)
}

fn started(effects: &[Effect]) -> Vec<TaskKey> {
    let keys = effects.iter().filter_map(|e| match e {
        Effect::Start { key, .. } => Some(*key),
        _ => None,
    });
    keys.collect()
}

#[test]
fn a_task_that_fails_is_started_again_as_a_new_incarnation_without_a_controller() {
    let mut agent = connected();
    let _ = command(&mut agent, 1, Command::Start { key: key(1), spec: restarting() });
    let _ = says(&mut agent, 1_100, 1, TaskState::Running { pid: 5, since_us: None });
    agent.absorb(Event::Closed { link: 1 });
    let effects = says(&mut agent, 1_200, 1, exited(1));
    assert_eq!(started(&effects), [incarnation(2)], "the first restart comes at once");
    let effects = says(&mut agent, 1_210, 2, exited(1));
    assert_eq!(started(&effects), []);
    let at = agent.wake_at(1_210).unwrap();
    assert!((1_310..=1_335).contains(&at), "{at}");
    assert_eq!(started(&agent.decide(at)), [incarnation(3)]);
    let effects = says(&mut agent, 2_000, 3, exited(1));
    assert_eq!(started(&effects), [], "the budget is used up");
    assert!(effects.contains(&Effect::Conclude { key: incarnation(3) }));
}

#[test]
fn incarnations_that_were_followed_long_ago_are_forgotten_once_the_controller_has_them_for_good() {
    let mut agent = connected();
    let mut spec = restarting();
    let rule = RestartRule { max: None, backoff_max_ms: 1, ..spec.restart.unwrap() };
    spec.restart = Some(rule);
    let _ = command(&mut agent, 1, Command::Start { key: key(1), spec });
    let mut forgotten = Vec::new();
    for n in 1..=100 {
        let now = 1_000 + u64::from(n) * 10;
        let mut effects = says(&mut agent, now, n, TaskState::Running { pid: 5, since_us: None });
        effects.extend(says(&mut agent, now + 1, n, exited(1)));
        agent.absorb(Event::Stored { key: incarnation(n) });
        // The controller is away in the middle.
        let numbers = effects.iter().filter_map(|e| match e {
            Effect::Send { number, .. } => Some(*number),
            _ => None,
        });
        if let Some(number) = numbers.max().filter(|_| !(40..60).contains(&n)) {
            agent.absorb(Event::Acknowledged { link: 1, number });
        }
        effects.extend(agent.decide(now + 5));
        let gone = effects.iter().filter_map(|e| match e {
            Effect::Forget { key } => Some(key.incarnation),
            _ => None,
        });
        forgotten.extend(gone);
        assert!(agent.task(incarnation(n)).is_some());
    }
    let expected: Vec<u32> = (1..=*forgotten.last().unwrap()).collect();
    assert_eq!(forgotten, expected);
    assert!((80..=86).contains(&forgotten.len()), "{}", forgotten.len());
    assert!(agent.view().tasks.len() <= 20);
}

#[test]
fn an_end_that_is_followed_says_so_and_the_last_one_does_not() {
    let mut agent = connected();
    let _ = command(&mut agent, 1, Command::Start { key: key(1), spec: restarting() });
    let followed = |effects: &[Effect]| match &reports(effects)[..] {
        [Report::Task(record)] => record.again_in_ms.is_some(),
        other => panic!("{other:?}"),
    };
    assert!(followed(&says(&mut agent, 1_100, 1, exited(1))));
    assert!(!followed(&says(&mut agent, 1_200, 2, exited(0))));
}

#[test]
fn a_stop_between_two_incarnations_is_the_end_also_for_the_next_agent() {
    let mut agent = connected();
    let _ = command(&mut agent, 1, Command::Start { key: key(1), spec: restarting() });
    let _ = says(&mut agent, 1_100, 1, exited(1));
    let _ = says(&mut agent, 1_110, 2, exited(1));
    // The controller has not heard of the second incarnation yet.
    let effects = command(&mut agent, 2, Command::Stop { key: key(1), why: "stop".into() });
    assert!(effects.contains(&Effect::Conclude { key: incarnation(2) }), "{effects:?}");
    assert!(matches!(&reports(&effects)[..], [Report::Task(r)]
        if r.key == incarnation(2) && r.again_in_ms.is_none()));
    assert_eq!(started(&agent.decide(90_000)), []);
}

#[test]
fn a_stop_ends_the_incarnation_that_runs_now() {
    let mut agent = connected();
    let _ = command(&mut agent, 1, Command::Start { key: key(1), spec: restarting() });
    let _ = says(&mut agent, 1_100, 1, exited(1));
    let _ = says(&mut agent, 1_110, 2, TaskState::Running { pid: 5, since_us: None });
    let effects = command(&mut agent, 2, Command::Stop { key: key(1), why: "stop".into() });
    assert!(effects.contains(&Effect::Stop { key: incarnation(2), why: "stop".into() }));
    let stopped = Exit::Stopped { why: "stop".into() };
    let end =
        TaskState::Exited { exit: stopped, out_bytes: 0, err_bytes: 0, ran_ms: 1, ended_us: None };
    assert_eq!(started(&says(&mut agent, 1_200, 2, end)), []);
}

#[test]
fn the_next_agent_goes_on_where_the_last_one_died_and_starts_no_key_twice() {
    let ended = |n| TaskRecord::new(incarnation(n), exited(1));
    let launched = |n, is_last| Launched {
        key: incarnation(n),
        spec: *restarting(),
        started_at: Some(100),
        is_last,
    };
    let found = |is_last| Recovered {
        now: 500,
        tasks: vec![ended(1), ended(2)],
        launches: vec![launched(1, false), launched(2, is_last)],
        ..found()
    };
    let mut agent = Agent::new("r", found(false));
    assert_eq!(started(&agent.decide(10_000)), [incarnation(3)]);
    let again: Vec<bool> = Agent::new("r", found(false))
        .view()
        .tasks
        .iter()
        .map(|record| record.again_in_ms.is_some())
        .collect();
    assert_eq!(again, [true, true]);
    let mut agent = Agent::new("r", found(true));
    assert_eq!(started(&agent.decide(10_000)), []);
}

#[test]
fn an_unhealthy_task_is_ended_as_failed_and_started_again() {
    let mut agent = connected();
    let probe = ProbeRule {
        check: ProbeCheck::Tcp(80),
        every_ms: 100,
        time_limit_ms: 50,
        delay_ms: 0,
        failures: 1,
        successes: 1,
    };
    let spec = Box::new(TaskSpec { probes: vec![probe], ..*restarting() });
    let _ = command(&mut agent, 1, Command::Start { key: key(1), spec });
    let effects = says(&mut agent, 1_100, 1, TaskState::Running { pid: 5, since_us: None });
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, Effect::Probe { key, probe: 0, .. } if *key == incarnation(1)))
    );
    agent.absorb(Event::Probed { key: key(1), probe: 0, answer: Ok(()) });
    let effects = agent.decide(1_110);
    assert!(
        matches!(&reports(&effects)[..], [Report::Task(r)] if r.health == Some(Health::Healthy))
    );
    let _ = agent.decide(1_300);
    agent.absorb(Event::Probed {
        key: key(1),
        probe: 0,
        answer: Err(Tainted::new("port 80: refused")),
    });
    let effects = agent.decide(1_310);
    assert!(
        effects.contains(&Effect::Stop { key: key(1), why: Exit::PROBE.into() }),
        "{effects:?}"
    );
    let stopped = Exit::Stopped { why: Exit::PROBE.into() };
    let end =
        TaskState::Exited { exit: stopped, out_bytes: 0, err_bytes: 0, ran_ms: 1, ended_us: None };
    assert_eq!(started(&says(&mut agent, 1_400, 1, end)), [incarnation(2)]);
}

#[test]
fn a_task_that_is_called_unhealthy_from_afar_is_ended_as_failed_and_an_older_incarnation_never() {
    let mut agent = connected();
    let _ = command(&mut agent, 1, Command::Start { key: key(1), spec: restarting() });
    let _ = says(&mut agent, 1_100, 1, TaskState::Running { pid: 5, since_us: None });
    let effects = command(&mut agent, 2, Command::Fail { key: key(1) });
    assert!(effects.contains(&Effect::Stop { key: key(1), why: Exit::PROBE.into() }));
    let stopped = Exit::Stopped { why: Exit::PROBE.into() };
    let end =
        TaskState::Exited { exit: stopped, out_bytes: 0, err_bytes: 0, ran_ms: 1, ended_us: None };
    assert_eq!(started(&says(&mut agent, 1_400, 1, end)), [incarnation(2)]);
    let effects = command(&mut agent, 3, Command::Fail { key: key(1) });
    assert!(!effects.iter().any(|e| matches!(e, Effect::Stop { .. })), "{effects:?}");
}

#[test]
fn a_file_is_written_anew_before_the_signal_that_says_so_and_only_where_there_is_one() {
    let mut agent = Agent::new("r", Recovered { prepared: vec!["c".into()], ..found() });
    agent.absorb(Event::Hello { link: 1, hello: hello(1, 0, 0) });
    let _ = agent.decide(1_000);
    let _ = command(&mut agent, 1, Command::Start { key: key(1), spec: spec() });
    let _ = says(&mut agent, 1_100, 1, TaskState::Running { pid: 5, since_us: None });
    let rewrite = |cluster: &str| Command::Rewrite {
        cluster: cluster.into(),
        path: "conf".into(),
        mode: 0o600,
        text: "x".into(),
    };
    let absorb = |agent: &mut Agent, number, command| {
        agent.absorb(Event::Command { link: 1, number, command });
    };
    absorb(&mut agent, 2, Command::Signal { key: key(1), signal: 1 });
    absorb(&mut agent, 3, rewrite("c"));
    absorb(&mut agent, 4, rewrite("absent"));
    let effects = agent.decide(1_200);
    let at = |wanted: &dyn Fn(&Effect) -> bool| effects.iter().position(wanted);
    let written = at(&|e| matches!(e, Effect::Rewrite(r) if r.cluster == "c"));
    let signalled = at(&|e| matches!(e, Effect::Signal { .. }));
    assert!(written.is_some() && written < signalled, "{effects:?}");
    assert_eq!(at(&|e| matches!(e, Effect::Rewrite(r) if r.cluster == "absent")), None);
}

#[test]
fn a_start_that_comes_after_the_lease_is_out_is_refused() {
    let mut agent = connected();
    let _ = agent.decide(1_000 + STOP_AFTER_MS);
    agent.absorb(Event::Command {
        link: 1,
        number: 1,
        command: Command::Start { key: key(1), spec: spec() },
    });
    assert_eq!(started(&agent.decide(1_001 + STOP_AFTER_MS)), []);
}
