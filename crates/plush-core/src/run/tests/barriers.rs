//! Claims about barriers that programs enter, and about tasks that start together.

use super::*;
use plush_protocol::{BarrierAsk, BarrierEntrant, BarrierOutcome, BarrierVerb};

fn ask(task: u32, request: u64, verb: BarrierVerb) -> BarrierAsk {
    let who = BarrierEntrant { task: Some(key(task)), alias: Tainted::default() };
    BarrierAsk { request, barrier: Tainted::new("b"), who, verb, generation: None }
}

fn answers(effects: &[Effect]) -> Vec<(u32, u64, BarrierOutcome)> {
    let answer = |(host, command)| match command {
        Command::Barrier(answer) => Some((host, answer.request, answer.outcome)),
        _ => None,
    };
    sent(effects).into_iter().filter_map(answer).collect()
}

/// Which requests are let go, in which round.
fn let_go(effects: &[Effect]) -> Vec<(u64, u32)> {
    let let_go = |(_, request, outcome)| match outcome {
        BarrierOutcome::LetGo { generation, .. } => Some((request, generation)),
        _ => None,
    };
    answers(effects).into_iter().filter_map(let_go).collect()
}

/// Two hosts, a task on each, a barrier that no step enters: programs do.
fn meeting(policy: BarrierPolicy) -> Tale {
    let mut tale = Tale::with_barrier(cluster(2, vec![runs("w", &[])]), 2, policy);
    tale.connect_and_prepare();
    tale
}

impl Tale {
    fn asks(&mut self, host: u32, request: u64, verb: BarrierVerb) -> Vec<Effect> {
        self.report(host, Report::Barrier(ask(host, request, verb)))
    }
}

#[test]
fn programs_meet_at_a_barrier_round_after_round() {
    let mut tale = meeting(BarrierPolicy::default());
    for round in 1..=3 {
        let request = u64::from(round) * 10;
        assert_eq!(answers(&tale.asks(0, request, BarrierVerb::Enter)), []);
        let said = tale.asks(1, request + 1, BarrierVerb::Enter);
        assert_eq!(let_go(&said), [(request, round), (request + 1, round)]);
    }
}

#[test]
fn f77_a_request_that_is_asked_again_has_one_effect_and_two_answers() {
    let mut tale = meeting(BarrierPolicy::default());
    let _waits = tale.asks(0, 1, BarrierVerb::Enter);
    assert_eq!(answers(&tale.asks(0, 1, BarrierVerb::Enter)), []);
    assert_eq!(let_go(&tale.asks(1, 2, BarrierVerb::Enter)), [(1, 1), (2, 1)]);
    assert_eq!(let_go(&tale.asks(0, 1, BarrierVerb::Enter)), [(1, 1)]);
    assert_eq!(tale.run.view().barriers[1].entered, 2);
}

#[test]
fn f77_an_old_round_changes_nothing() {
    let mut tale = meeting(BarrierPolicy::default());
    let _waits = tale.asks(0, 1, BarrierVerb::Enter);
    let _open = tale.asks(1, 2, BarrierVerb::Enter);
    let _waits = tale.asks(0, 3, BarrierVerb::Enter);
    let before = tale.run.view().barriers;
    for (generation, request) in [(1, 4), (7, 5)] {
        let old =
            BarrierAsk { generation: Some(generation), ..ask(0, request, BarrierVerb::Enter) };
        let said = tale.report(0, Report::Barrier(old));
        assert_eq!(answers(&said).len(), 1, "it is told, and waits for nothing");
    }
    let strip = |views: Vec<plush_protocol::BarrierView>| {
        views.into_iter().map(|v| (v.generation, v.entered, v.released)).collect::<Vec<_>>()
    };
    assert_eq!(strip(tale.run.view().barriers), strip(before));
}

#[test]
fn b6_a_program_that_leaves_lets_the_next_one_in() {
    let release = Release::Inside { max: 1, timeout_ms: None };
    let mut tale = meeting(BarrierPolicy { release, ..count(1) });
    assert_eq!(let_go(&tale.asks(0, 1, BarrierVerb::Enter)), [(1, 1)]);
    assert_eq!(answers(&tale.asks(1, 2, BarrierVerb::Enter)), []);
    assert_eq!(let_go(&tale.asks(0, 3, BarrierVerb::Leave)), [(2, 1)]);
}

#[test]
fn f78_a_task_that_ends_inside_frees_its_place() {
    let release = Release::Inside { max: 1, timeout_ms: None };
    let mut tale = meeting(BarrierPolicy { release, ..count(1) });
    let _inside = tale.asks(0, 1, BarrierVerb::Enter);
    let _waits = tale.asks(1, 2, BarrierVerb::Enter);
    assert_eq!(let_go(&tale.exit(0, 0, Exit::Code(9))), [(2, 1)]);
}

#[test]
fn f76_nobody_waits_for_a_host_whose_task_has_ended() {
    let mut tale = meeting(BarrierPolicy::default());
    let _waits = tale.asks(0, 1, BarrierVerb::Enter);
    assert_eq!(let_go(&tale.exit(1, 1, Exit::Code(0))), [(1, 1)]);
}

#[test]
fn who_takes_its_entrance_back_is_not_waited_for_in_that_round() {
    let mut tale = meeting(BarrierPolicy::default());
    let _waits = tale.asks(0, 1, BarrierVerb::Enter);
    let dropped = answers(&tale.asks(0, 2, BarrierVerb::Leave));
    assert!(matches!(dropped[0], (0, 1, BarrierOutcome::Dropped { .. })), "{dropped:?}");
    assert_eq!(let_go(&tale.asks(1, 3, BarrierVerb::Enter)), [(3, 1)]);
}

#[test]
fn a_signal_enters_without_waiting() {
    let mut tale = meeting(BarrierPolicy::default());
    let said = answers(&tale.asks(0, 1, BarrierVerb::Signal));
    assert_eq!(said, [(0, 1, BarrierOutcome::Entered { generation: 1 })]);
    assert_eq!(let_go(&tale.asks(1, 2, BarrierVerb::Enter)), [(2, 1)]);
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let mut tale = meeting(BarrierPolicy::default());
    let wrong = BarrierAsk { barrier: Tainted::new("x"), ..ask(0, 1, BarrierVerb::Enter) };
    let said = answers(&tale.report(0, Report::Barrier(wrong)));
    assert_eq!(said, [(0, 1, BarrierOutcome::Unknown { known: vec!["b".into()] })]);
}

#[test]
fn a_run_that_stops_tells_those_who_wait() {
    let mut tale = meeting(BarrierPolicy::default());
    let _waits = tale.asks(0, 1, BarrierVerb::Enter);
    let said = answers(&tale.stop());
    assert!(matches!(said[..], [(0, 1, BarrierOutcome::Dropped { .. })]), "{said:?}");
}

#[test]
fn tasks_after_a_barrier_that_starts_together_are_due_at_one_instant() {
    use crate::offset::ClockOffset;
    let together = BarrierPolicy { together_ms: Some(2_000), ..BarrierPolicy::default() };
    let steps = vec![meets("m", &[]), runs("w", &["m"]), runs("v", &["w"])];
    let mut tale = Tale::with_barrier(cluster(2, steps), 2, together);
    for (host, ahead_us) in [(0, 5_000_000), (1, -1_000)] {
        tale.connect(host);
        let offset = ClockOffset { ahead_us, uncertainty_us: 40 + u64::from(host) };
        tale.tell(Event::ClockMeasured { host: HostId(host), offset });
    }
    (0..2).for_each(|host| drop(tale.prepare(host)));
    let at_us = (tale.now + 2_000) * 1_000;
    let due = |effects: &[Effect]| -> Vec<Option<u64>> {
        let due = |(_, command)| match command {
            Command::Start { spec, .. } => Some(spec.at_us),
            _ => None,
        };
        sent(effects).into_iter().filter_map(due).collect()
    };
    assert_eq!(due(&tale.said), [Some(at_us + 5_000_000), Some(at_us - 1_000)]);
    for (host, late_us) in [(0, 300), (1, 700)] {
        let since_us = [at_us + 5_000_000, at_us - 1_000][host as usize] + late_us;
        let state = TaskState::Running { pid: 1, since_us: Some(since_us) };
        tale.report(host, Report::Task(record(host, state)));
    }
    let together = tale.run.view().barriers[1].together.clone().unwrap();
    assert_eq!((together.started, together.expected), (2, 2));
    assert_eq!((together.last_us, together.spread_us, together.uncertainty_us), (700, 400, 41));
    tale.wait(3_000);
    assert_eq!(due(&tale.exit(0, 0, Exit::Code(0))), [None], "what comes later waits for nothing");
}

fn thirty_are_let_in_adaptively() -> Tale {
    let mut fetching = cluster(30, vec![runs("w", &[])]);
    fetching.prepare.release = plush_spec::model::Release::ADAPTIVE;
    let mut tale = Tale::of(fetching, 30);
    (0..30).for_each(|host| tale.connect(host));
    tale
}

#[test]
fn what_hosts_tell_of_their_fetching_lets_more_hosts_prepare() {
    let mut tale = thirty_are_let_in_adaptively();
    let mut begun: Vec<_> = preparing(&tale.said).into_iter().map(|host| (host, 0)).collect();
    assert_eq!(begun.len(), 8, "as many as are let in at first");
    for second in 1..30 {
        let mut said = tale.wait(950);
        for (host, since) in begun.clone() {
            let (cluster, step) = ("c".into(), "fetch it".into());
            let (done_bytes, total_bytes) = ((second - since) * 1_000, None);
            let fetched_bytes = Some(done_bytes);
            let report =
                Report::Preparing { cluster, step, done_bytes, total_bytes, fetched_bytes };
            said.extend(tale.report(host, report));
        }
        begun.extend(preparing(&said).into_iter().map(|host| (host, second)));
    }
    assert_eq!(begun.len(), 30, "each goes on as fast as before, though nobody is through");
    let text = serde_json::to_string(&tale.run).unwrap();
    assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), tale.run);
}

#[test]
fn unpacking_is_no_progress_that_hosts_share() {
    let mut tale = thirty_are_let_in_adaptively();
    for second in 1..20 {
        let (cluster, step) = ("c".into(), "unpack it".into());
        let (done_bytes, total_bytes, fetched_bytes) = (second * 1_000, None, None);
        let report = Report::Preparing { cluster, step, done_bytes, total_bytes, fetched_bytes };
        assert!(preparing(&tale.report(0, report)).is_empty());
        assert!(preparing(&tale.wait(950)).is_empty());
    }
}
