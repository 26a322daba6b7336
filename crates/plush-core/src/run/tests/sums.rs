//! Claims about the sums of wanted, answered and missing hosts.

use super::*;
use plush_protocol::{ClusterSum, Measure, Sums};
use plush_spec::model::{Knee, On, Output, Percent};

fn sums(tale: &Tale) -> Sums {
    let sums = tale.run.view().sums.unwrap();
    for c in &sums.clusters {
        let named = u32::try_from(c.missing.len()).unwrap() + c.without_host;
        assert_eq!(c.wanted, c.answered + named, "asked = answered + named as missing: {c:?}");
    }
    sums
}

fn is_enough(tale: &Tale) -> bool {
    sums(tale).is_enough(Measure::Description)
}

/// Three hosts are wanted and one refuses; the others do their part.
fn with_one_refused(wanted: Cluster) -> Tale {
    let mut tale = Tale::of(wanted, 3);
    tale.refuse(2, false);
    for host in 0..2 {
        tale.connect(host);
        tale.prepare(host);
    }
    (0..2).for_each(|n| drop(tale.end(n, n, 0)));
    (0..2).for_each(|host| drop(tale.cleaned(host)));
    tale
}

fn three() -> Cluster {
    cluster(3, vec![runs("w", &[])])
}

#[test]
fn a_wanted_host_that_is_missing_is_named_and_is_not_enough() {
    let tale = with_one_refused(three());
    assert_eq!(tale.run.outcome(), Some(&Outcome::Partial));
    let missing = vec!["h2".to_owned()];
    let expected = ClusterSum {
        name: "c".into(),
        wanted: 3,
        answered: 2,
        missing,
        without_host: 0,
        enough: 3,
    };
    assert_eq!(sums(&tale).clusters, [expected]);
    assert!(!is_enough(&tale));
}

#[test]
fn min_and_the_share_of_a_barrier_say_how_many_are_enough_and_strict_does_not_hear_them() {
    let share = |percent| {
        let percent = Some(Percent { percent, min_wait_ms: 0 });
        BarrierPolicy { entry: Entry { percent, ..Entry::default() }, ..BarrierPolicy::default() }
    };
    let mut min = three();
    min.num_hosts.min = Some(2);
    let mut ready = three();
    ready.ready = share(60.0);
    let mut number = three();
    number.ready = count(2);
    let mut knee = three();
    let curve = Knee { min_percent: 60.0, min_wait_ms: 0, weight: None };
    knee.ready.entry.knee = Some(curve);
    for wanted in [min, ready, number, knee] {
        let tale = with_one_refused(wanted);
        assert_eq!(tale.run.outcome(), Some(&Outcome::Partial));
        assert!(is_enough(&tale), "{:?}", sums(&tale));
        assert!(!sums(&tale).is_enough(Measure::Wanted));
    }
    let mut more = three();
    more.ready = share(70.0);
    assert!(!is_enough(&with_one_refused(more)), "three of three are 70 percent");
    let mut time = three();
    time.ready.entry.timeout_ms = Some(1);
    assert!(!is_enough(&with_one_refused(time)), "a time names no share");
}

#[test]
fn places_without_a_host_are_missing_too() {
    let mut wanted = cluster(3, vec![runs("w", &[])]);
    wanted.num_hosts.min = Some(1);
    let mut tale = Tale::prepared(wanted, 1);
    tale.end(0, 0, 0);
    tale.cleaned(0);
    assert_eq!(sums(&tale).clusters[0].without_host, 2);
    assert!(is_enough(&tale) && !sums(&tale).is_whole());
}

#[test]
fn a_host_that_was_lost_and_replaced_is_not_missing() {
    let mut wanted = cluster(2, vec![runs("w", &[])]);
    wanted.num_hosts.spare = 1;
    let mut tale = Tale::of(wanted, 3);
    tale.refuse(0, false);
    for host in 1..3 {
        tale.connect(host);
        tale.prepare(host);
    }
    for (host, task) in starts(&tale.said.clone()) {
        tale.end(host, task, 0);
    }
    (1..3).for_each(|host| drop(tale.cleaned(host)));
    assert_eq!(tale.run.outcome(), Some(&Outcome::Complete));
    assert!(sums(&tale).is_whole());
}

#[test]
fn a_failure_that_the_description_accepts_is_no_failure_of_the_run() {
    for (reaction, outcome) in [
        (None, Outcome::TasksFailed { code: 3 }),
        (Some(Reaction::Fail), Outcome::TasksFailed { code: 3 }),
        (Some(Reaction::Continue), Outcome::Complete),
        (Some(Reaction::Drop), Outcome::Partial),
    ] {
        let mut wanted = cluster(2, vec![runs("w", &[])]);
        wanted.on_failure.process = reaction.clone();
        let mut tale = Tale::prepared(wanted, 2);
        tale.end(1, 1, 0);
        tale.end(0, 0, 3);
        (0..2).for_each(|host| drop(tale.cleaned(host)));
        assert_eq!(tale.run.outcome(), Some(&outcome), "{reaction:?}");
        let accepted = u32::from(!matches!(outcome, Outcome::TasksFailed { .. }));
        assert_eq!(sums(&tale).failures_accepted, accepted);
        assert_eq!(sums(&tale).tasks_failed, 1 - accepted);
    }
}

#[test]
fn tasks_that_their_time_limit_ended_are_counted() {
    let mut tale = Tale::prepared(cluster(1, vec![runs("w", &[])]), 1);
    tale.exit(0, 0, Exit::Stopped { why: "time-limit".into() });
    for stream in [StreamName::Out, StreamName::Err] {
        tale.tell(Event::OutputStored { key: key(0), stream, gap_bytes: 0 });
    }
    tale.cleaned(0);
    assert!(sums(&tale).only_out_of_time());
}

#[test]
fn a_clean_up_that_left_something_is_never_enough() {
    let mut wanted = cluster(1, vec![runs("w", &[])]);
    wanted.num_hosts.min = Some(1);
    let mut tale = Tale::prepared(wanted, 1);
    tale.end(0, 0, 0);
    let remainder = vec![Tainted::new("a process")];
    tale.report(0, Report::Cleaned { remainder, failed_lines: vec![] });
    assert_eq!(tale.run.outcome(), Some(&Outcome::Partial));
    assert_eq!(sums(&tale).clean_ups_failed, ["h0"]);
    assert!(!is_enough(&tale) && sums(&tale).clusters[0].is_whole());
}

#[test]
fn a_task_that_was_lost_on_a_host_that_is_there_has_failed() {
    let mut tale = Tale::prepared(cluster(1, vec![runs("w", &[])]), 1);
    tale.report(0, Report::Task(record(0, running())));
    tale.lose_link(0);
    tale.hello(0, 7, 0);
    tale.inventory(0, vec![], &["c"]);
    tale.cleaned(0);
    assert_eq!(tale.run.outcome(), Some(&Outcome::TasksFailed { code: 255 }));
}

fn running() -> TaskState {
    TaskState::Running { pid: 1, since_us: None }
}

/// Two hosts, of which only the first does `lead`; unmatched globs are reported for each host.
fn collected(execution: Vec<Step>, unmatched: [&[u32]; 2]) -> Tale {
    let mut wanted = cluster(2, execution);
    let output = |glob: &str| Output { glob: glob.into(), place: Place::default() };
    wanted.outputs = vec![output("one-${rank}"), output("two")];
    let mut tale = Tale::prepared(wanted, 2);
    for (host, task) in starts(&tale.said.clone()) {
        tale.end(host, task, 0);
    }
    for (host, unmatched) in (0..).map(HostId).zip(unmatched) {
        let (skipped, unmatched) = (vec![], unmatched.to_vec());
        tale.tell(Event::Collected { host, files: 1, bytes: 1, skipped, unmatched });
    }
    (0..2).for_each(|host| drop(tale.cleaned(host)));
    tale
}

fn told(tale: &Tale) -> Vec<(String, String)> {
    let problems = tale.run.view().problems.into_iter();
    problems.map(|p| (p.host.unwrap(), p.cause.raw().to_owned())).collect()
}

fn few(id: &str, count: u32) -> Step {
    let mut process = process(id, &[]);
    process.on = On::Count(count);
    does(id, &[], Action::Process(Box::new(process)))
}

#[test]
fn an_output_that_matches_nothing_is_named_and_the_run_is_not_whole() {
    let tale = collected(vec![runs("w", &[])], [&[], &[0]]);
    let what = "output `one-1` matched no file".to_owned();
    assert_eq!(told(&tale), [("h1".to_owned(), what)]);
    assert_eq!(sums(&tale).results_missing, ["h1"]);
    assert_eq!(tale.run.outcome(), Some(&Outcome::Partial));
    assert!(!is_enough(&tale));
}

#[test]
fn what_only_a_step_of_few_brings_forth_is_not_missed_elsewhere() {
    let steps = || vec![few("lead", 1), runs("w", &[])];
    let tale = collected(steps(), [&[], &[1]]);
    assert_eq!(told(&tale), []);
    assert_eq!(tale.run.outcome(), Some(&Outcome::Complete));
    let tale = collected(steps(), [&[1], &[1]]);
    let what = "output `two` matched no file".to_owned();
    assert_eq!(told(&tale), [("h0".to_owned(), what.clone()), ("h1".to_owned(), what)]);
}

#[test]
fn an_output_of_a_process_is_missed_where_the_process_ran() {
    let mut lead = process("lead", &[]);
    lead.on = On::Count(1);
    lead.outputs = vec![Output { glob: "three".into(), place: Place::default() }];
    let lead = does("lead", &[], Action::Process(Box::new(lead)));
    let tale = collected(vec![lead, runs("w", &[])], [&[2], &[2]]);
    assert_eq!(told(&tale), [("h0".to_owned(), "output `three` matched no file".to_owned())]);
}

#[test]
fn a_file_that_did_not_come_makes_the_run_partial() {
    let mut wanted = cluster(1, vec![runs("w", &[])]);
    wanted.outputs = vec![Output { glob: "x".into(), place: Place::default() }];
    let mut tale = Tale::prepared(wanted, 1);
    tale.end(0, 0, 0);
    let skipped = vec![Tainted::new("`x` did not come: permission denied")];
    let host = HostId(0);
    tale.tell(Event::Collected { host, files: 0, bytes: 0, skipped, unmatched: vec![] });
    tale.cleaned(0);
    assert_eq!(sums(&tale).results_missing, ["h0"]);
    assert!(!is_enough(&tale));
}

/// The first of three does `lead` before all meet, and then all work.
fn led(reaction: Option<Reaction>) -> Cluster {
    let mut lead = process("lead", &[]);
    lead.on = On::Count(1);
    lead.on_failure = reaction;
    let lead = does("lead", &[], Action::Process(Box::new(lead)));
    cluster(3, vec![lead, meets("m", &["lead"]), runs("w", &["m"])])
}

#[test]
fn the_barrier_behind_a_step_of_few_that_failed_stays_closed_and_the_cluster_fails() {
    for reaction in [None, Some(Reaction::Drop), Some(Reaction::Replace)] {
        let mut tale = Tale::prepared(led(reaction.clone()), 3);
        let said = tale.end(0, 0, 4);
        assert_eq!(starts(&said), [], "{reaction:?}");
        (0..3).for_each(|host| drop(tale.cleaned(host)));
        assert_eq!(tale.run.outcome(), Some(&Outcome::TasksFailed { code: 4 }), "{reaction:?}");
        let view = tale.run.view();
        let barrier = view.barriers.iter().find(|b| b.name == "b").unwrap();
        assert_eq!(barrier.opened, None, "{reaction:?}");
        let why = view.stopping.unwrap();
        assert!(why.contains("step `lead`, which h0 was to do") && why.contains("`b`"), "{why}");
    }
}

#[test]
fn a_step_of_few_that_failed_and_continues_opens_the_barrier() {
    let mut tale = Tale::prepared(led(Some(Reaction::Continue)), 3);
    assert_eq!(starts(&tale.end(0, 0, 4)).len(), 3);
}

#[test]
fn a_host_that_is_lost_in_a_step_of_few_fails_the_cluster_too() {
    let mut tale = Tale::prepared(led(None), 3);
    tale.lose_link(0);
    for _ in 0..12 {
        tale.refuse(0, true);
        tale.wait(8_000);
    }
    let view = tale.run.view();
    assert!(view.stopping.unwrap().contains("step `lead`"));
    assert_eq!(starts(&tale.said).len(), 1, "only `lead` was started");
}

#[test]
fn a_step_of_few_that_may_be_missing_is_gone_on_without_also_when_its_host_is_lost() {
    let mut tale = Tale::prepared(led(Some(Reaction::Continue)), 3);
    tale.lose_link(0);
    for _ in 0..12 {
        tale.refuse(0, true);
        tale.wait(8_000);
    }
    assert_eq!(tale.run.view().stopping, None);
    assert_eq!(
        starts(&tale.said).len(),
        3,
        "`lead`, and what the two others do behind the barrier"
    );
}

#[test]
fn a_step_of_few_that_another_host_does_again_keeps_the_barrier_shut_until_then() {
    let mut wanted = led(Some(Reaction::Replace));
    wanted.num_hosts.spare = 1;
    let mut tale = Tale::prepared(wanted, 4);
    tale.end(0, 0, 4);
    tale.prepare(3);
    assert_eq!(starts(&tale.said).last(), Some(&(3, 1)), "it does `lead`");
    assert_eq!(starts(&tale.end(3, 1, 0)).len(), 3, "and all go on");
}

#[test]
fn a_barrier_that_opened_without_a_host_says_without_which() {
    let steps = vec![runs("w", &[]), meets("m", &["w"]), runs("v", &["m"])];
    let mut tale = Tale::prepared(cluster(3, steps), 3);
    tale.end(0, 0, 3);
    (1..3).for_each(|n| drop(tale.end(n, n, 0)));
    let view = tale.run.view();
    let barrier = view.barriers.iter().find(|b| b.name == "b").unwrap();
    assert_eq!((barrier.entered, barrier.expected), (2, 2));
    assert_eq!(barrier.without, ["h0"]);
}

#[test]
fn a_description_that_wants_more_hosts_than_it_has_is_refused_unless_it_says_how_many_are_enough() {
    let plan = |min: Option<u32>, is_narrowed: bool| {
        let mut wanted = cluster(5, vec![runs("w", &[])]);
        wanted.num_hosts.min = min;
        let hosts = (0..3).map(|n| PlannedHost::new(format!("h{n}"), Route::Ssh));
        let offer = Offer { hosts: hosts.collect(), is_narrowed, ..Offer::default() };
        let settings = Settings { run: "r".into(), keep: Keep::Nothing, stop_after_ms: None };
        assign(&project(wanted, BarrierPolicy::default()), vec![offer], settings)
    };
    let refused = plan(None, false).unwrap_err();
    assert!(refused[0].too_few_hosts, "{refused:?}");
    assert_eq!(refused[0].what, "cluster `c` wants 5 hosts; its resources offer 3");
    let hint = refused[0].hint.as_deref().unwrap();
    assert!(hint.contains("num_hosts: {wanted: 5, min: 3}"), "{hint}");
    assert!(plan(Some(4), false).unwrap_err()[0].too_few_hosts);
    assert_eq!(plan(Some(3), false).unwrap().clusters[0].wanted, 5);
    assert_eq!(plan(None, true).unwrap().clusters[0].wanted, 3, "what -w leaves is what is wanted");
}
