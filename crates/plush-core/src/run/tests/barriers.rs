//! Claims about barriers that programs enter, and about tasks that start together.

use super::*;
use crate::offset::ClockOffset;
use plush_protocol::{BarrierAsk, BarrierEntrant, BarrierOutcome, BarrierVerb};
use plush_spec::model::Percent;

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

/// One host, two programs of which are expected.
fn two_seats(steps: Vec<Step>) -> Tale {
    let mut tale = Tale::with_barrier(cluster(1, steps), 1, BarrierPolicy::default());
    let mut plan = tale.run.plan().clone();
    plan.project.barriers[0].per_host = Some(2);
    tale.run = Run::new(plan);
    tale.decide();
    tale.connect_and_prepare();
    tale
}

impl Tale {
    fn asks(&mut self, host: u32, request: u64, verb: BarrierVerb) -> Vec<Effect> {
        self.report(host, Report::Barrier(ask(host, request, verb)))
    }
}

#[test]
fn a_preparation_that_waits_for_more_than_the_first_is_shown_with_what_opened_it() {
    let mut described = cluster(2, vec![runs("w", &[])]);
    let shown = |tale: &Tale| -> Vec<(String, Option<String>)> {
        tale.run.view().barriers.into_iter().map(|b| (b.name, b.opened)).take(2).collect()
    };
    let mut tale = Tale::of(described.clone(), 2);
    tale.connect(0);
    assert_eq!(shown(&tale)[0], ("c/ready".into(), None), "it opens with the first");
    described.prepare.entry.percent = Some(Percent { percent: 100.0, min_wait_ms: 0 });
    let mut tale = Tale::of(described, 2);
    tale.connect(0);
    assert_eq!(shown(&tale), [("c/prepare".into(), None), ("c/ready".into(), None)]);
    tale.connect(1);
    assert_eq!(shown(&tale)[0], ("c/prepare".into(), Some("all".into())));
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
fn a_seat_goes_when_its_program_is_over_and_the_others_have_theirs() {
    let mut tale = two_seats(vec![runs("one", &[]), runs("other", &[])]);
    let _over = tale.end(0, 1, 0);
    assert_eq!(let_go(&tale.asks(0, 1, BarrierVerb::Enter)), [(1, 1)], "nobody else may come");
    let mut tale = two_seats(vec![runs("one", &[]), runs("other", &[])]);
    assert_eq!(let_go(&tale.asks(0, 1, BarrierVerb::Enter)), [], "the other may come");
    assert_eq!(let_go(&tale.end(0, 1, 0)), [(1, 1)]);
}

/// What was over at a barrier for one host stays over when another one is replaced.
#[test]
fn b1_nobody_is_expected_anew_when_a_host_steps_in_for_another() {
    let mut cluster = cluster(2, vec![runs("comes", &[]), runs("beside", &[])]);
    cluster.num_hosts.spare = 1;
    cluster.on_failure.host = Some(Reaction::Replace);
    let mut tale = Tale::with_barrier(cluster, 3, BarrierPolicy::default());
    tale.connect_and_prepare();
    for (host, task) in [(0, 0), (0, 1), (1, 2), (1, 3)] {
        tale.report(
            host,
            Report::Task(record(task, TaskState::Running { pid: 7, since_us: None })),
        );
    }
    let enters = |tale: &mut Tale, host, task, request| {
        let_go(&tale.report(host, Report::Barrier(ask(task, request, BarrierVerb::Enter))))
    };
    assert_eq!(enters(&mut tale, 0, 0, 1), []);
    assert_eq!(enters(&mut tale, 1, 2, 2), [(1, 1), (2, 1)]);
    tale.end(0, 0, 0);
    tale.lose_host(1);
    let begun = starts(&tale.prepare(2));
    assert_eq!(begun.len(), 2, "{begun:?}");
    assert_eq!(enters(&mut tale, 2, begun[0].1, 3), [(3, 2)], "its program is over on host 0");
}

/// Two programs of a host come, and a step follows one of them: the seat that was kept for it goes when it is over too.
#[test]
fn a_seat_that_was_kept_for_a_step_goes_with_the_last_one_that_may_take_it() {
    let steps = vec![runs("first", &[]), runs("beside", &[]), runs("then", &["first"])];
    let mut tale = two_seats(steps);
    let enters = |tale: &mut Tale, task, request| {
        let_go(&tale.report(0, Report::Barrier(ask(task, request, BarrierVerb::Enter))))
    };
    assert_eq!(enters(&mut tale, 0, 1), []);
    assert_eq!(enters(&mut tale, 1, 2), [(1, 1), (2, 1)]);
    assert_eq!(starts(&tale.end(0, 0, 0)), [(0, 2)]);
    assert_eq!(enters(&mut tale, 1, 3), [], "the step that follows may come");
    assert_eq!(let_go(&tale.end(0, 2, 0)), [(3, 2)]);
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

/// Two programs at a barrier with a lead of two seconds, on hosts whose clocks are known.
fn together() -> Tale {
    let policy = BarrierPolicy { together_ms: Some(2_000), ..BarrierPolicy::default() };
    let mut tale = meeting(policy);
    for (host, ahead_us) in AHEAD_US.into_iter().enumerate() {
        let offset = ClockOffset { ahead_us, uncertainty_us: 40 + host as u64 };
        tale.tell(Event::ClockMeasured { host: HostId(host as u32), offset });
    }
    tale
}

const AHEAD_US: [i64; 2] = [5_000_000, -1_000];

impl Tale {
    /// Both come in one round and are let go; the instants on their hosts' clocks.
    fn round_together(&mut self, requests: [u64; 2]) -> Vec<Option<u64>> {
        let _waits = self.asks(0, requests[0], BarrierVerb::Enter);
        instants(&self.asks(1, requests[1], BarrierVerb::Enter))
    }

    /// The agent says that the program of a request went on so long after an instant of its clock.
    fn went_on(&mut self, host: u32, request: u64, instant_us: u64, late_us: u64) {
        self.report(host, Report::WentOn { request, at_us: instant_us + late_us });
    }

    fn newest_round(&self) -> plush_protocol::BarrierView {
        self.run.view().barriers.pop().unwrap()
    }
}

fn instants(effects: &[Effect]) -> Vec<Option<u64>> {
    let at = |(_, _, outcome)| match outcome {
        BarrierOutcome::LetGo { at_us, .. } => Some(at_us),
        _ => None,
    };
    answers(effects).into_iter().filter_map(at).collect()
}

#[test]
fn programs_go_on_at_one_instant_and_how_well_they_did_is_in_the_view_and_the_history() {
    let mut tale = together();
    let said = tale.round_together([1, 2]);
    let at_us = (tale.now + 2_000) * 1_000;
    assert_eq!(said, [Some(at_us + 5_000_000), Some(at_us - 1_000)]);
    let found = tale.newest_round().together.unwrap();
    assert_eq!((found.started, found.expected, found.at_ms), (0, 2, at_us / 1_000));
    tale.went_on(0, 1, said[0].unwrap(), 300);
    tale.went_on(1, 2, said[1].unwrap(), 700);
    let round = tale.newest_round();
    let found = round.together.unwrap();
    assert_eq!((found.started, found.expected), (2, 2));
    assert_eq!((found.last_us, found.spread_us, found.uncertainty_us), (700, 400, 41));
    let history = tale.run.history();
    let passed = history.barriers.iter().find(|b| b.name == "b").unwrap();
    assert_eq!(passed.together.as_ref(), Some(&found));
}

#[test]
fn a_program_that_goes_on_is_counted_once_and_only_for_its_own_request() {
    let mut tale = together();
    let said = tale.round_together([1, 2]);
    for _ in 0..2 {
        tale.went_on(0, 1, said[0].unwrap(), 300);
    }
    tale.went_on(0, 2, said[0].unwrap(), 900);
    tale.went_on(1, 77, said[1].unwrap(), 900);
    let found = tale.newest_round().together.unwrap();
    assert_eq!((found.started, found.last_us), (1, 300));
}

#[test]
fn who_did_not_hear_it_is_told_the_same_instant_again() {
    let mut tale = together();
    let said = tale.round_together([1, 2]);
    tale.wait(500);
    assert_eq!(instants(&tale.asks(0, 1, BarrierVerb::Enter)), said[..1]);
}

#[test]
fn a_late_comer_has_an_instant_of_its_own() {
    let policy = BarrierPolicy {
        together_ms: Some(2_000),
        entry: Entry { count: Some(1), ..Entry::default() },
        ..BarrierPolicy::default()
    };
    let mut tale = meeting(policy);
    let offset = ClockOffset { ahead_us: 0, uncertainty_us: 1 };
    (0..2).for_each(|n| drop(tale.tell(Event::ClockMeasured { host: HostId(n), offset })));
    let first = instants(&tale.asks(0, 1, BarrierVerb::Enter));
    tale.wait(700);
    let late = instants(&tale.asks(1, 2, BarrierVerb::Enter));
    assert_eq!(late[0].unwrap() - first[0].unwrap(), 701_000);
    tale.went_on(0, 1, first[0].unwrap(), 10);
    tale.went_on(1, 2, late[0].unwrap(), 20);
    let found = tale.newest_round().together.unwrap();
    assert_eq!((found.last_us, found.spread_us), (20, 10), "each against its own instant");
}

#[test]
fn of_many_rounds_the_newest_and_the_worst_are_known_and_no_more_than_the_barrier_keeps() {
    let mut tale = together();
    for round in 1..=100u64 {
        let requests = [round * 10, round * 10 + 1];
        let said = tale.round_together(requests);
        let late_us = if round == 7 { 5_000 } else { round };
        (0..2).for_each(|h| tale.went_on(h as u32, requests[h], said[h].unwrap(), late_us));
        tale.wait(3_000);
    }
    let newest = tale.newest_round();
    assert_eq!((newest.generation, newest.together.unwrap().last_us), (100, 100));
    let worst = newest.worst.unwrap();
    assert_eq!((worst.generation, worst.together.last_us, worst.together.started), (7, 5_000, 2));
    let history = tale.run.history();
    let kept = history.barriers.iter().filter(|b| b.name == "b" && b.together.is_some()).count();
    assert_eq!(kept, crate::barrier::Rounds::KEPT);
    let saved = serde_json::to_string(&tale.run.barriers[0]).unwrap();
    assert!(saved.len() < 20_000, "{} bytes", saved.len());
}

#[test]
fn a_program_on_a_host_whose_clock_is_not_known_goes_on_at_once() {
    let mut tale = meeting(BarrierPolicy { together_ms: Some(2_000), ..BarrierPolicy::default() });
    assert_eq!(tale.round_together([1, 2]), [None, None]);
    tale.went_on(0, 1, 5, 5);
    let found = tale.newest_round().together.unwrap();
    assert_eq!((found.started, found.expected), (0, 2));
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
