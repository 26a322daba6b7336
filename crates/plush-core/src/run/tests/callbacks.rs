//! Claims about programs that are told and asked.

use super::*;
use plush_protocol::{Answer, Question};
use plush_spec::model::{Callback, Hook, HookPlace};

pub(super) fn hook(at: HookPlace) -> Hook {
    Hook { argv: vec!["./ask".into()], at, time_limit_ms: 5_000, place: Place::default() }
}

pub(super) fn asks(effects: &[Effect]) -> Vec<Question> {
    let local = effects.iter().filter_map(|e| match e {
        Effect::Ask { question } => Some(question.clone()),
        Effect::Send { command: Command::Ask(question), .. } => Some(question.clone()),
        _ => None,
    });
    local.collect()
}

pub(super) fn kinds(questions: &[Question]) -> Vec<String> {
    let kind = |q: &Question| {
        let event: serde_json::Value = serde_json::from_str(&q.event).unwrap();
        event["event"].as_str().unwrap().to_owned()
    };
    questions.iter().map(kind).collect()
}

/// Two hosts whose barrier needs one, and asks before it opens; one of them is there.
fn at_the_barrier(at: HookPlace) -> (Tale, Question) {
    let policy = BarrierPolicy { callback: Some(hook(at)), ..count(1) };
    let steps = vec![runs("w", &[]), meets("m", &["w"]), runs("v", &["m"])];
    let mut tale = Tale::with_barrier(cluster(2, steps), 2, policy);
    tale.connect_and_prepare();
    let said = tale.exit(0, 0, Exit::Code(0));
    let questions = asks(&said);
    assert_eq!(kinds(&questions), ["barrier_opening"]);
    assert!(starts(&said).is_empty(), "it is not open before the program has spoken");
    (tale, questions[0].clone())
}

pub(super) fn say(tale: &mut Tale, question: &Question, answer: Answer) -> Vec<Effect> {
    tale.tell(Event::Answered { question: question.number, answer })
}

pub(super) fn said(text: &str) -> Answer {
    Answer::Said(Tainted::new(text))
}

#[test]
fn a_program_may_open_a_barrier() {
    let (mut tale, question) = at_the_barrier(HookPlace::Controller);
    let effects = say(&mut tale, &question, said("thinking\n{\"decision\": \"open\"}\n"));
    assert_eq!(starts(&effects), [(0, 2)]);
    assert_eq!(tale.run.view().barriers.last().unwrap().opened.as_deref(), Some("callback"));
}

#[test]
fn a_program_may_hold_a_barrier_for_a_while_and_is_asked_again() {
    let (mut tale, question) = at_the_barrier(HookPlace::Controller);
    let wait = said("{\"decision\": \"wait\", \"wait_ms\": 2000}");
    assert!(starts(&say(&mut tale, &question, wait)).is_empty());
    assert!(asks(&tale.wait(1_900)).is_empty());
    let again = asks(&tale.wait(200));
    assert_eq!(kinds(&again), ["barrier_opening"]);
    assert_eq!(starts(&say(&mut tale, &again[0], said(""))), [(0, 2)]);
}

#[test]
fn f81_a_program_that_fails_or_prints_rubbish_leaves_the_default_and_a_line() {
    for answer in [Answer::Failed(Tainted::new("it died")), said("{\"decision\": \"dance\"}")] {
        let (mut tale, question) = at_the_barrier(HookPlace::Controller);
        assert_eq!(starts(&say(&mut tale, &question, answer)), [(0, 2)]);
        let view = tale.run.view();
        assert_eq!(view.problems.last().unwrap().operation, "callback");
        assert_eq!(view.barriers.last().unwrap().opened.as_deref(), Some("count"));
    }
}

#[test]
fn f81_a_program_that_never_answers_costs_its_time_limit() {
    let (mut tale, _) = at_the_barrier(HookPlace::Controller);
    assert!(starts(&tale.wait(4_900)).is_empty());
    assert_eq!(starts(&tale.wait(200)), [(0, 2)]);
}

#[test]
fn a_late_answer_and_one_from_elsewhere_change_nothing() {
    let (mut tale, question) = at_the_barrier(HookPlace::Host);
    let answer = said("{\"decision\": \"open\"}");
    assert!(
        starts(&say(&mut tale, &question, answer.clone())).is_empty(),
        "it was asked on a host"
    );
    let report = Report::Answered { question: question.number, answer };
    assert!(starts(&tale.report(1, report.clone())).is_empty(), "another host was asked");
    assert_eq!(starts(&tale.report(0, report.clone())), [(0, 2)]);
    assert!(starts(&tale.report(0, report)).is_empty());
}

#[test]
fn a_new_controller_asks_again_what_the_old_one_was_asking() {
    let (mut tale, question) = at_the_barrier(HookPlace::Controller);
    let again = asks(&tale.tell(Event::Restarted));
    assert_eq!(again, [question]);
}

#[test]
fn a_run_is_over_when_those_who_are_told_of_its_end_have_heard() {
    let mut plan = Tale::of(cluster(1, vec![runs("w", &[])]), 1).run.plan().clone();
    plan.project.callbacks = ["run_started", "process_failed", "run_ended"]
        .map(|event| Callback {
            event: name(event),
            hook: hook(HookPlace::Controller),
            place: Place::default(),
        })
        .to_vec();
    let mut tale = Tale { run: Run::new(plan), now: 0, agents: vec![(0, 0)], said: Vec::new() };
    let started = asks(&tale.decide());
    assert_eq!(kinds(&started), ["run_started"]);
    say(&mut tale, &started[0], said(""));
    tale.connect_and_prepare();
    let failed = asks(&tale.end(0, 0, 3));
    assert_eq!(kinds(&failed), ["process_failed"]);
    say(&mut tale, &failed[0], said(""));
    let ended = tale.cleaned(0);
    assert_eq!((kinds(&asks(&ended)), outcome(&ended)), (vec!["run_ended".to_owned()], None));
    let over = say(&mut tale, &asks(&ended)[0], said("thank you"));
    assert_eq!(outcome(&over), Some(Outcome::TasksFailed { code: 3 }));
}

#[test]
fn a_spare_that_steps_in_is_told_of() {
    let mut spec = cluster(1, vec![runs("w", &[])]);
    spec.num_hosts.spare = 1;
    let mut plan = Tale::of(spec, 2).run.plan().clone();
    plan.project.callbacks = vec![Callback {
        event: name("host_replaced"),
        hook: hook(HookPlace::Controller),
        place: Place::default(),
    }];
    let agents = vec![(0, 0); 2];
    let mut tale = Tale { run: Run::new(plan), now: 0, agents, said: Vec::new() };
    tale.decide();
    let told = asks(&tale.refuse(0, false));
    let event: serde_json::Value = serde_json::from_str(&told[0].event).unwrap();
    assert_eq!((&event["event"], &event["host"]), (&"host_replaced".into(), &"h1".into()));
    assert_eq!(event["lost"], "h0");
}
