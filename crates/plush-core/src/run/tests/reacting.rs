//! Claims about programs that decide what follows a failure.

use super::callbacks::{asks, hook, kinds, said, say};
use super::*;
use plush_protocol::{Answer, Question};
use plush_spec::model::{Callback, Hook, HookPlace};
use serde_json::Value;

fn call(at: HookPlace) -> Option<Reaction> {
    Some(Reaction::Call(hook(at)))
}

/// Hosts that run one process, spares beside them.
fn serving(members: u32, spare: u32, on_failure: FailurePolicy) -> Tale {
    let mut cluster = cluster(members, vec![runs("w", &[]), runs("v", &["w"])]);
    cluster.num_hosts.spare = spare;
    cluster.on_failure = on_failure;
    let mut tale = Tale::of(cluster, (members + spare) as usize);
    tale.connect_and_prepare();
    for n in 0..members {
        tale.report(n, Report::Task(record(n, TaskState::Running { pid: 7, since_us: None })));
    }
    tale
}

fn on_process(at: HookPlace) -> FailurePolicy {
    FailurePolicy { process: call(at), ..FailurePolicy::default() }
}

fn on_host() -> FailurePolicy {
    // The program may take longer than the host.
    let hook = Hook { time_limit_ms: 100_000, ..hook(HookPlace::Controller) };
    FailurePolicy { host: Some(Reaction::Call(hook)), ..FailurePolicy::default() }
}

fn only(effects: &[Effect]) -> (Question, Value) {
    let all = asks(effects);
    let [question] = &all[..] else { panic!("{all:?}") };
    (question.clone(), serde_json::from_str(&question.event).unwrap())
}

fn decides(tale: &mut Tale, question: &Question, word: &str) -> Vec<Effect> {
    say(tale, question, said(&format!("{{\"decision\": \"{word}\"}}")))
}

/// A process of two hosts has failed on the first, and a program is asked.
fn failed() -> (Tale, Question) {
    let mut tale = serving(2, 1, on_process(HookPlace::Controller));
    let effects = tale.exit(0, 0, Exit::Code(3));
    let (question, event) = only(&effects);
    assert_eq!((&event["event"], &event["code"]), (&"process_failed".into(), &3.into()));
    assert_eq!((&event["host"], &event["default"]), (&"h0".into(), &"skip".into()));
    assert!(starts(&effects).is_empty());
    (tale, question)
}

#[test]
fn a_program_may_have_a_failed_process_followed_by_what_comes_after_it() {
    let (mut tale, question) = failed();
    assert_eq!(starts(&decides(&mut tale, &question, "continue")), [(0, 2)]);
}

#[test]
fn a_program_may_take_a_host_out_after_a_failed_process() {
    let (mut tale, question) = failed();
    decides(&mut tale, &question, "drop");
    assert_eq!(tale.state(0), HostState::Failed);
    assert_eq!(tale.state(1), HostState::Running);
}

#[test]
fn a_program_may_give_the_place_of_a_failed_process_to_another_host() {
    let (mut tale, question) = failed();
    assert_eq!(preparing(&decides(&mut tale, &question, "replace")), [2]);
}

#[test]
fn a_program_may_end_the_run_after_a_failed_process() {
    let (mut tale, question) = failed();
    assert_eq!(stops(&decides(&mut tale, &question, "fail")), [(1, 1)]);
}

#[test]
fn a_program_may_have_a_failed_process_begin_again_as_its_next_incarnation() {
    let (mut tale, question) = failed();
    let said = sent(&decides(&mut tale, &question, "restart"));
    let second = TaskKey { task: 0, incarnation: 2 };
    assert!(matches!(&said[..], [(0, Command::Start { key, .. })] if *key == second), "{said:?}");
    let end = TaskState::Exited {
        exit: Exit::Code(0),
        out_bytes: 0,
        err_bytes: 0,
        ran_ms: 1,
        ended_us: None,
    };
    assert_eq!(starts(&tale.report(0, Report::Task(TaskRecord::new(second, end)))), [(0, 2)]);
}

#[test]
fn a_process_that_begins_again_and_again_waits_longer_and_longer() {
    let (mut tale, mut question) = failed();
    let mut waits = Vec::new();
    for incarnation in 2..=9 {
        let mut effects = decides(&mut tale, &question, "restart");
        let from = tale.now;
        while starts(&effects).is_empty() {
            let at = tale.run.wake_at(tale.now).unwrap();
            effects = tale.wait(at - tale.now);
        }
        waits.push((tale.now - from) / 1_000);
        let key = TaskKey { task: 0, incarnation };
        let end = TaskState::Exited {
            exit: Exit::Code(3),
            out_bytes: 0,
            err_bytes: 0,
            ran_ms: 1,
            ended_us: None,
        };
        question = only(&tale.report(0, Report::Task(TaskRecord::new(key, end)))).0;
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60]);
}

#[test]
fn f81_without_a_decision_the_default_holds_after_the_time_limit() {
    for answer in [Some(Answer::Failed(Tainted::new("it died"))), Some(said("rubbish")), None] {
        let (mut tale, question) = failed();
        match answer {
            Some(answer) => drop(say(&mut tale, &question, answer)),
            None => drop(tale.wait(10_100)),
        }
        assert_eq!(tale.run.view().problems.last().unwrap().operation, "callback");
        assert!(!starts(&tale.said).contains(&(0, 2)), "what comes after it is not begun");
        assert_eq!(tale.state(0), HostState::Ready);
        assert_eq!(tale.state(1), HostState::Running);
    }
}

#[test]
fn a_run_that_is_stopped_waits_for_no_answer() {
    let (mut tale, question) = failed();
    tale.tell(Event::StopAsked { why: "enough".into() });
    let late = decides(&mut tale, &question, "restart");
    assert!(starts(&late).is_empty());
    for stream in [StreamName::Out, StreamName::Err] {
        tale.tell(Event::OutputStored { key: key(0), stream, gap_bytes: 0 });
    }
    assert_eq!(cleaning(&tale.end(1, 1, 143)), [0, 1, 2]);
}

#[test]
fn an_answer_about_a_host_that_is_lost_meanwhile_changes_nothing() {
    let (mut tale, question) = failed();
    tale.lose_host(0);
    assert!(starts(&decides(&mut tale, &question, "continue")).is_empty());
}

#[test]
fn a_program_on_a_host_is_asked_about_its_own_process() {
    let mut tale = serving(1, 0, on_process(HookPlace::Host));
    let (question, _) = only(&tale.exit(0, 0, Exit::Code(3)));
    let answer = said("{\"decision\": \"continue\"}");
    let report = Report::Answered { question: question.number, answer };
    assert_eq!(starts(&tale.report(0, report)), [(0, 1)]);
}

#[test]
fn a_new_controller_asks_again_about_a_failure() {
    let (mut tale, question) = failed();
    assert_eq!(asks(&tale.tell(Event::Restarted)), [question]);
}

#[test]
fn a_program_decides_what_becomes_of_the_place_of_a_lost_host() {
    for (word, prepared) in [("replace", vec![2]), ("drop", vec![]), ("rubbish", vec![2])] {
        let mut tale = serving(2, 1, on_host());
        let said = tale.lose_host(1);
        assert_eq!(preparing(&said), [0u32; 0]);
        let (question, event) = only(&said);
        assert_eq!((&event["host"], &event["default"]), (&"h1".into(), &"replace".into()));
        assert_eq!(preparing(&decides(&mut tale, &question, word)), prepared, "{word}");
    }
    let mut tale = serving(2, 1, on_host());
    let question = only(&tale.lose_host(1)).0;
    assert_eq!(stops(&decides(&mut tale, &question, "fail")), [(0, 0)]);
}

#[test]
fn a_host_that_is_back_before_the_answer_goes_on_and_the_answer_changes_nothing() {
    let mut tale = serving(2, 1, on_host());
    let question = only(&tale.lose_host(1)).0;
    assert_eq!(cleaning(&tale.returns(1)), [0u32; 0]);
    assert_eq!(tale.state(1), HostState::Running);
    assert_eq!(preparing(&decides(&mut tale, &question, "replace")), [0u32; 0]);
}

/// Two hosts are needed and one is lost.
fn too_few(on_failure: FailurePolicy) -> (Tale, Question, Value) {
    let mut cluster = cluster(2, vec![runs("w", &[])]);
    cluster.num_hosts.min = Some(2);
    cluster.on_failure = on_failure;
    let mut tale = Tale::of(cluster, 2);
    tale.connect_and_prepare();
    let said = tale.lose_host(0);
    assert_eq!(stops(&said), []);
    let (question, event) = only(&said);
    assert_eq!((&event["live"], &event["min"]), (&1.into(), &2.into()));
    (tale, question, event)
}

#[test]
fn a_program_may_have_a_cluster_go_on_that_is_too_small() {
    let policy = FailurePolicy { cluster: call(HookPlace::Controller), ..FailurePolicy::default() };
    let (mut tale, question, event) = too_few(policy.clone());
    assert_eq!(event["event"], "cluster_too_small");
    let said = decides(&mut tale, &question, "continue");
    assert_eq!((stops(&said), asks(&said)), (vec![], vec![]));
    let (mut tale, question, _) = too_few(policy.clone());
    assert_eq!(stops(&decides(&mut tale, &question, "drop")), [(1, 1)]);
    assert_eq!(tale.run.view().stopping, None);
    let (mut tale, question, _) = too_few(policy);
    assert_eq!(stops(&decides(&mut tale, &question, "fail")), [(1, 1)]);
    assert!(tale.run.view().stopping.is_some());
}

#[test]
fn a_program_may_have_the_application_go_on() {
    let policy = FailurePolicy { application: call(HookPlace::Host), ..FailurePolicy::default() };
    for (word, is_stopped) in [("continue", false), ("fail", true), ("rubbish", true)] {
        let (mut tale, question, event) = too_few(policy.clone());
        assert_eq!(event["event"], "application_failing");
        let answer = said(&format!("{{\"decision\": \"{word}\"}}"));
        tale.report(1, Report::Answered { question: question.number, answer });
        assert_eq!(tale.run.view().stopping.is_some(), is_stopped, "{word}");
    }
}

#[test]
fn those_who_are_told_and_those_who_are_asked_hear_the_same() {
    let mut plan = serving(1, 0, on_process(HookPlace::Controller)).run.plan().clone();
    plan.project.callbacks = vec![Callback {
        event: name("process_failed"),
        hook: hook(HookPlace::Controller),
        place: Place::default(),
    }];
    let mut tale = Tale { run: Run::new(plan), now: 0, agents: vec![(0, 0)], said: Vec::new() };
    tale.decide();
    tale.connect_and_prepare();
    let said = asks(&tale.exit(0, 0, Exit::Code(3)));
    assert_eq!(kinds(&said), ["process_failed", "process_failed"]);
    let defaults = said.iter().filter(|q| q.event.contains("\"default\""));
    assert_eq!(defaults.count(), 1, "who is only told has no default");
}
