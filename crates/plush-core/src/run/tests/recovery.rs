//! Claims about what follows when a host or a process is lost after the start.

use super::*;
use plush_spec::model::{OnReturn, Restart, Service, ServiceClass};

/// `members` hosts that run one process and `spare` hosts beside them, all connected and prepared; one host more is on
/// offer. Task n runs on host n.
fn serving(members: u32, spare: u32, change: impl Fn(&mut Cluster)) -> Tale {
    let mut cluster = cluster(members, vec![runs("w", &[])]);
    cluster.num_hosts.spare = spare;
    change(&mut cluster);
    let mut tale = Tale::of(cluster, (members + spare + 1) as usize);
    tale.connect_and_prepare();
    for n in 0..members {
        tale.report(n, Report::Task(record(n, TaskState::Running { pid: 7, since_us: None })));
    }
    tale
}

fn on_host(reaction: Reaction) -> impl Fn(&mut Cluster) {
    move |cluster| cluster.on_failure.host = Some(reaction.clone())
}

fn of_class(class: ServiceClass, on_return: OnReturn) -> impl Fn(&mut Cluster) {
    move |cluster| cluster.service = Some(Service { class, on_return, ..Service::default() })
}

impl Tale {
    /// The link to a host breaks and does not come back until it is given up.
    pub(super) fn lose_host(&mut self, host: u32) -> Vec<Effect> {
        let mut said = self.lose_link(host);
        for _ in 0..3 {
            said.extend(self.refuse(host, true));
            said.extend(self.wait(10_000));
        }
        said.extend(self.refuse(host, true));
        // One that nobody can replace is looked for longer.
        while self.state(host as usize) != HostState::Failed && self.now < 3_600_000 {
            said.extend(self.wait(10_000));
            said.extend(self.refuse(host, true));
        }
        assert_eq!(self.state(host as usize), HostState::Failed);
        said
    }

    /// A host that has stepped in is connected, if it is not, and prepared.
    fn step_in(&mut self, host: u32) -> Vec<Effect> {
        self.agents.resize(self.agents.len().max(host as usize + 1), (0, 0));
        self.connect(host);
        self.prepare(host)
    }

    pub(super) fn returns(&mut self, host: u32) -> Vec<Effect> {
        self.returns_having(host, 99)
    }

    /// A lost host is back; its agent has received so many commands.
    fn returns_having(&mut self, host: u32, received: u64) -> Vec<Effect> {
        let mut said = self.wait(30_000);
        assert_eq!(connecting(&said), [host]);
        said.extend(self.hello(host, SESSION, received));
        said
    }
}

#[test]
fn f01_a_spare_takes_over_after_the_start_with_the_rank_of_the_lost() {
    let mut tale = serving(3, 1, on_host(Reaction::Replace));
    let said = tale.lose_host(1);
    assert_eq!(preparing(&said), [3]);
    assert!(connecting(&said).iter().all(|host| *host == 1), "only the lost one is looked for");
    let said = tale.prepare(3);
    let started = sent(&said);
    let [(3, Command::Start { spec, .. })] = &started[..] else { panic!("{started:?}") };
    for (name, value) in [("PLUSH_RANK", "1"), ("PLUSH_REPLACES", "h1"), ("PLUSH_REPLACEMENT", "1")]
    {
        assert!(spec.environment.contains(&(name.into(), value.into())), "{name}: {spec:?}");
    }
    for (host, task) in [(0, 0), (2, 2), (3, 3)] {
        tale.end(host, task, 0);
    }
    for host in [0, 2] {
        tale.cleaned(host);
    }
    assert_eq!(outcome(&tale.cleaned(3)), Some(Outcome::Complete), "what was lost does not count");
}

#[test]
fn the_second_replacement_of_a_place_names_the_first_and_counts_on_and_a_first_host_has_neither() {
    let mut tale = serving(2, 2, on_host(Reaction::Replace));
    let values = |said: &[Effect]| -> Vec<(String, String)> {
        let commands = sent(said).into_iter();
        let environments = commands.filter_map(|(_, command)| match command {
            Command::Start { spec, .. } => Some(spec.environment),
            _ => None,
        });
        environments.flatten().filter(|(name, _)| name.starts_with("PLUSH_REPLACE")).collect()
    };
    assert_eq!(values(&tale.said), []);
    tale.lose_host(1);
    tale.prepare(2);
    tale.report(2, Report::Task(record(2, TaskState::Running { pid: 7, since_us: None })));
    tale.lose_host(2);
    let said = tale.prepare(3);
    let expected = [("PLUSH_REPLACES", "h2"), ("PLUSH_REPLACEMENT", "2")];
    assert_eq!(values(&said), expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
}

#[test]
fn when_no_spare_is_left_a_host_on_offer_is_contacted_and_nobody_else() {
    let mut tale = serving(2, 0, on_host(Reaction::Replace));
    let said = tale.lose_host(0);
    let contacted: Vec<u32> = connecting(&said).into_iter().filter(|host| *host != 0).collect();
    assert_eq!(contacted, [2]);
    assert_eq!(tale.run.view().hosts[2].name, "h2");
    assert_eq!(starts(&tale.step_in(2)), [(2, 2)]);
}

#[test]
fn a_host_that_is_not_to_be_replaced_is_dropped_and_the_run_goes_on() {
    let mut tale = serving(2, 1, on_host(Reaction::Drop));
    assert_eq!(preparing(&tale.lose_host(0)), [0u32; 0]);
    assert!(!cleaning(&tale.end(1, 1, 0)).is_empty());
}

#[test]
fn a_run_whose_description_says_so_fails_with_a_host() {
    let mut tale = serving(2, 1, on_host(Reaction::Fail));
    assert_eq!(stops(&tale.lose_host(0)), [(1, 1)]);
}

#[test]
fn o2_a_lost_host_that_comes_back_is_told_to_stop_and_cleaned_up_when_its_output_is_here() {
    let mut tale = serving(2, 1, on_host(Reaction::Replace));
    tale.lose_host(1);
    tale.prepare(2);
    tale.report(2, Report::Task(record(2, TaskState::Running { pid: 7, since_us: None })));
    let said = tale.returns(1);
    assert!(stops(&said).contains(&(1, 1)) && cleaning(&said).is_empty(), "{said:?}");
    assert_eq!(cleaning(&tale.exit(1, 1, Exit::Code(5))), [0u32; 0]);
    let stored = |stream| Event::OutputStored { key: key(1), stream, gap_bytes: 0 };
    assert_eq!(cleaning(&tale.tell(stored(StreamName::Out))), [0u32; 0]);
    assert_eq!(cleaning(&tale.tell(stored(StreamName::Err))), [1]);
    tale.cleaned(1);
    tale.end(0, 0, 0);
    assert_eq!(cleaning(&tale.end(2, 2, 0)), [0, 2]);
    tale.cleaned(0);
    assert_eq!(outcome(&tale.cleaned(2)), Some(Outcome::Complete));
    // It came back: that it was lost is no failure.
    let view = tale.run.view();
    assert_eq!((view.counts.done, view.counts.failed), (3, 0));
    let mended: Vec<_> = view.problems.iter().map(|p| p.mended.as_deref()).collect();
    assert_eq!(mended, [Some("it came back later; h2 had its place by then")]);
    assert!(view.tasks.iter().all(|task| !task.has_failed()), "{:?}", view.tasks);
}

#[test]
fn o2_what_was_about_to_begin_on_a_lost_host_is_stopped_there_and_heard_out_before_the_host_is_cleaned_up()
 {
    let mut cluster = cluster(2, vec![runs("w", &[])]);
    cluster.num_hosts.spare = 1;
    cluster.on_failure.host = Some(Reaction::Replace);
    let mut tale = Tale::of(cluster, 3);
    tale.connect_and_prepare();
    tale.lose_host(1);
    tale.prepare(2);
    // Its agent had the start, and its word that the task runs has not come.
    let said = tale.returns_having(1, 2);
    assert!(stops(&said).contains(&(1, 1)) && cleaning(&said).is_empty(), "{said:?}");
    assert_eq!(cleaning(&tale.exit(1, 1, Exit::Code(5))), [0u32; 0]);
    for stream in [StreamName::Out, StreamName::Err] {
        tale.tell(Event::OutputStored { key: key(1), stream, gap_bytes: 0 });
    }
    assert_eq!(cleaning(&tale.said), [1]);
}

#[test]
fn a_start_that_nobody_has_acknowledged_is_withdrawn_from_a_lost_host() {
    let mut tale = serving(2, 1, on_host(Reaction::Replace));
    tale.lose_host(1);
    let said = tale.returns(1);
    assert_eq!(starts(&said), []);
    assert!(stops(&said).contains(&(1, 1)), "it is told to stop instead");
}

#[test]
fn a_service_waits_a_minute_before_it_replaces() {
    let mut tale = serving(2, 1, of_class(ServiceClass::Service, OnReturn::KeepOriginal));
    let lost_at = tale.now + 1;
    assert_eq!(preparing(&tale.lose_host(0)), [0u32; 0]);
    let waits = lost_at + 60_000 - tale.now;
    assert_eq!(preparing(&tale.wait(waits - 1)), [0u32; 0]);
    assert_eq!(preparing(&tale.wait(1)), [2]);
}

#[test]
fn a_service_counts_that_minute_from_when_a_silent_host_was_heard_last() {
    let mut tale = serving(2, 1, of_class(ServiceClass::Service, OnReturn::KeepOriginal));
    tale.wait(10_000);
    tale.tell(Event::Suspected { host: HostId(0), silent_ms: 5_000, limit_ms: 5_000 });
    let heard_at = tale.now - 5_000;
    while tale.state(0) != HostState::Failed {
        assert_eq!(preparing(&tale.refuse(0, true)), [0u32; 0]);
        tale.wait(4_000);
    }
    let waits = heard_at + 60_000 - tale.now;
    assert_eq!(preparing(&tale.wait(waits - 1)), [0u32; 0]);
    assert_eq!(preparing(&tale.wait(1)), [2]);
}

#[test]
fn a_host_that_is_back_before_it_is_replaced_goes_on() {
    let kept = |cluster: &mut Cluster| {
        cluster.service = Some(Service {
            class: ServiceClass::Service,
            replace_after_ms: Some(300_000),
            ..Service::default()
        });
    };
    let mut tale = serving(2, 1, kept);
    tale.lose_host(0);
    // It has been told to prepare and to start.
    let said = tale.returns_having(0, 2);
    assert_eq!((cleaning(&said), stops(&said)), (vec![], vec![]), "{said:?}");
    assert_eq!(tale.state(0), HostState::Running);
    assert_eq!(preparing(&tale.wait(600_000)), [0u32; 0]);
}

/// Two hosts that run these, and nobody who could step in.
fn without_spares(steps: Vec<Step>, change: impl Fn(&mut Cluster)) -> Tale {
    let mut cluster = cluster(2, steps);
    change(&mut cluster);
    let mut tale = Tale::of(cluster, 2);
    tale.connect_and_prepare();
    for (host, task) in starts(&tale.said.clone()) {
        let runs = TaskState::Running { pid: 7, since_us: None };
        tale.report(host, Report::Task(record(task, runs)));
    }
    tale
}

#[test]
fn a_host_that_nobody_could_replace_goes_on_when_it_is_back() {
    let kept: [&dyn Fn(&mut Cluster); 3] = [
        &|_| {},
        &on_host(Reaction::Replace),
        &of_class(ServiceClass::Service, OnReturn::KeepOriginal),
    ];
    for change in kept {
        let mut tale = without_spares(vec![runs("w", &[])], change);
        tale.lose_host(0);
        let said = tale.returns_having(0, 2);
        assert_eq!((cleaning(&said), stops(&said)), (vec![], vec![]), "{said:?}");
        assert_eq!(tale.state(0), HostState::Running);
        let problems = tale.run.view().problems;
        let [loss] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!(loss.mended.as_deref(), Some("it came back later and went on"), "{loss:?}");
        tale.end(1, 1, 0);
        assert_eq!(cleaning(&tale.end(0, 0, 0)), [0, 1], "the run has waited for it");
    }
    let mut tale = without_spares(vec![runs("w", &[])], on_host(Reaction::Drop));
    tale.lose_host(0);
    assert!(stops(&tale.returns_having(0, 2)).contains(&(0, 0)), "it was dropped for good");
}

#[test]
fn nobody_waits_for_a_lost_host_that_nobody_could_replace() {
    let mut tale = without_spares(vec![runs("w", &[])], |_| {});
    tale.lose_host(0);
    assert_eq!(cleaning(&tale.end(1, 1, 0)), [1]);
    assert_eq!(outcome(&tale.cleaned(1)), Some(Outcome::Partial));
}

#[test]
fn what_ended_while_its_host_was_lost_has_ended_when_the_host_is_back() {
    let mut tale = without_spares(vec![runs("w", &[]), runs("v", &[]), runs("u", &["w"])], |_| {});
    let mine: Vec<u32> =
        starts(&tale.said.clone()).into_iter().filter(|s| s.0 == 0).map(|s| s.1).collect();
    let [w, v] = mine[..] else { panic!("{mine:?}") };
    tale.lose_host(0);
    tale.wait(30_000);
    tale.hello(0, SESSION + 1, 0);
    let runs_on = record(v, TaskState::Running { pid: 7, since_us: None });
    let said = tale.inventory(0, vec![exited(w, Exit::Code(0)), runs_on], &["c"]);
    assert_eq!(starts(&said).len(), 1, "what comes after it begins: {said:?}");
    assert_eq!((stops(&said), tale.state(0)), (vec![], HostState::Running));
}

#[test]
fn a_host_that_is_back_comes_to_the_barriers_that_it_had_not_come_to() {
    for is_waited_for in [true, false] {
        let steps = vec![runs("w", &[]), meets("m", &["w"]), runs("v", &["m"])];
        let mut tale = without_spares(steps, |_| {});
        tale.lose_host(0);
        if is_waited_for {
            tale.returns_having(0, 2);
            assert_eq!(starts(&tale.end(1, 1, 0)), [], "the other waits for it again");
            assert_eq!(starts(&tale.end(0, 0, 0)).len(), 2);
        } else {
            assert_eq!(starts(&tale.end(1, 1, 0)).len(), 1, "nobody waits for who is lost");
            tale.returns_having(0, 2);
            assert_eq!(starts(&tale.end(0, 0, 0)).len(), 1, "it is late and let go");
        }
    }
}

#[test]
fn o2_a_new_controller_knows_of_output_that_is_still_on_a_lost_host() {
    let mut tale = without_spares(vec![runs("w", &[])], |_| {});
    let again = TaskRecord { again_in_ms: Some(0), ..exited(0, Exit::Code(1)) };
    tale.report(0, Report::Task(again));
    let next = TaskKey { task: 0, incarnation: 2 };
    let runs = TaskState::Running { pid: 8, since_us: None };
    tale.report(0, Report::Task(TaskRecord::new(next, runs)));
    tale.lose_host(0);
    let known: Vec<TaskKey> = tale.run.tasks_on(HostId(0)).iter().map(|open| open.key).collect();
    assert_eq!(known, [key(0), next]);
}

/// Those who serve after the barrier hold nobody up who steps in for one of them.
#[test]
fn who_steps_in_after_a_barrier_has_opened_passes_it_as_a_late_comer() {
    let steps = vec![runs("w", &[]), meets("m", &["w"]), runs("v", &["m"])];
    let mut cluster = cluster(2, steps);
    cluster.num_hosts.spare = 1;
    cluster.on_failure.host = Some(Reaction::Replace);
    let mut tale = Tale::of(cluster, 3);
    tale.connect_and_prepare();
    tale.end(0, 0, 0);
    assert_eq!(starts(&tale.end(1, 1, 0)), [(0, 2), (1, 3)]);
    for (host, task) in [(0, 2), (1, 3)] {
        let runs = TaskState::Running { pid: 7, since_us: None };
        tale.report(host, Report::Task(record(task, runs)));
    }
    tale.lose_host(1);
    assert_eq!(starts(&tale.prepare(2)), [(2, 4)]);
    assert_eq!(starts(&tale.end(2, 4, 0)), [(2, 5)], "{:?}", tale.run.view().barriers);
}

#[test]
fn a_host_that_is_back_and_knows_nothing_of_its_task_is_cleaned_up() {
    let mut tale = without_spares(vec![runs("w", &[])], |_| {});
    tale.lose_host(0);
    tale.wait(30_000);
    tale.hello(0, SESSION + 1, 0);
    assert_eq!(cleaning(&tale.inventory(0, vec![], &[])), [0]);
}

#[test]
fn keep_original_gives_the_place_back_and_keep_new_does_not() {
    for (on_return, cleaned) in
        [(OnReturn::KeepOriginal, 2), (OnReturn::LongestRunning, 2), (OnReturn::KeepNew, 0)]
    {
        let mut tale = serving(2, 1, of_class(ServiceClass::Service, on_return));
        tale.lose_host(0);
        tale.refuse(0, true);
        tale.wait(30_000);
        assert_eq!(starts(&tale.prepare(2)), [(2, 2)]);
        tale.report(2, Report::Task(record(2, TaskState::Running { pid: 7, since_us: None })));
        tale.refuse(0, true);
        let mut said = tale.returns(0);
        if cleaned == 2 {
            // The one that had stepped in is told over a link of its own.
            said.extend(tale.wait(1));
            said.extend(tale.hello(2, SESSION, 99));
        }
        assert!(stops(&said).contains(&(cleaned, cleaned)), "{on_return:?}: {said:?}");
        assert_eq!(cleaning(&tale.end(cleaned, cleaned, 0)), [cleaned], "{on_return:?}");
        let kept = if cleaned == 0 { 2 } else { 0 };
        assert_eq!(tale.state(kept), HostState::Running, "{on_return:?}");
        // Neither the one that came back nor the one that gave its place back has failed.
        tale.cleaned(cleaned);
        assert_eq!(tale.state(cleaned as usize), HostState::Done, "{on_return:?}");
        let view = tale.run.view();
        assert_eq!(view.counts.failed, 0, "{on_return:?}");
        assert!(view.problems.iter().all(|p| p.mended.is_some()), "{:?}", view.problems);
    }
}

/// One host of a place of which there must not be two, a spare, and when the link to it was lost.
fn exclusive() -> (Tale, Millis) {
    let mut tale = serving(1, 1, of_class(ServiceClass::Exclusive, OnReturn::KeepOriginal));
    let lost_at = tale.now + 1;
    tale.lose_host(0);
    tale.refuse(0, true);
    (tale, lost_at)
}

/// The lease of the class and the grace of the process, both by a clock that is one percent slow, and the margin.
const SURELY_OUT_MS: Millis = 70_000 + 700 + 5_000;

#[test]
fn p7_l3_an_exclusive_place_is_given_away_only_when_the_lease_is_surely_out() {
    let (mut tale, lost_at) = exclusive();
    let said = tale.wait(lost_at + SURELY_OUT_MS - 1 - tale.now);
    assert_eq!(preparing(&said), [0u32; 0]);
    assert_eq!(preparing(&tale.wait(1)), [1]);
}

#[test]
fn p7_a_place_whose_host_has_a_link_again_is_kept_until_its_lease_is_surely_out_anew() {
    let (mut tale, lost_at) = exclusive();
    // Another agent is there and says nothing yet; its lease is renewed over the link.
    tale.wait(30_000);
    tale.hello(0, SESSION + 1, 0);
    let said = tale.wait(lost_at + SURELY_OUT_MS - tale.now);
    assert_eq!(preparing(&said), [0u32; 0]);
    let lost_at = tale.now + 1;
    tale.lose_link(0);
    let said = tale.wait(lost_at + SURELY_OUT_MS - 1 - tale.now);
    assert_eq!(preparing(&said), [0u32; 0]);
    assert_eq!(preparing(&tale.wait(1)), [1]);
}

#[test]
fn p7_what_a_controller_that_is_gone_has_renewed_counts_from_when_the_next_began() {
    let mut tale = serving(1, 1, of_class(ServiceClass::Exclusive, OnReturn::KeepOriginal));
    tale.wait(100_000);
    let restarted_at = tale.now + 1;
    tale.tell(Event::Restarted);
    tale.hello(1, SESSION, 99);
    for _ in 0..4 {
        tale.refuse(0, true);
        tale.wait(10_000);
    }
    let said = tale.wait(restarted_at + SURELY_OUT_MS - 1 - tale.now);
    assert_eq!(preparing(&said), [0u32; 0]);
    assert_eq!(preparing(&tale.wait(1)), [1]);
}

#[test]
fn p7_a_place_whose_host_says_that_nothing_of_it_runs_is_free_at_once() {
    let (mut tale, _) = exclusive();
    let out = Exit::Stopped { why: Exit::LEASE.into() };
    tale.wait(30_000);
    tale.hello(0, SESSION + 1, 0);
    let said = tale.inventory(0, vec![exited(0, out)], &["c"]);
    assert!(preparing(&said).contains(&1));
}

#[test]
fn what_an_exclusive_place_lost_to_its_lease_is_begun_again_where_it_was() {
    let out = || Exit::Stopped { why: Exit::LEASE.into() };
    let mut tale = serving(1, 0, of_class(ServiceClass::Exclusive, OnReturn::KeepOriginal));
    let said = tale.exit(0, 0, out());
    let again: Vec<TaskKey> = sent(&said)
        .into_iter()
        .filter_map(|(_, command)| match command {
            Command::Start { key, .. } => Some(key),
            _ => None,
        })
        .collect();
    assert_eq!(again, [TaskKey { task: 0, incarnation: 2 }]);
    let mut tale = serving(1, 0, |_| {});
    assert_eq!(starts(&tale.exit(0, 0, out())), [], "a day without a word is the end of a batch");
}

#[test]
fn what_an_exclusive_place_lost_to_its_lease_is_begun_again_on_a_host_that_nobody_could_replace() {
    let class = of_class(ServiceClass::Exclusive, OnReturn::KeepOriginal);
    let mut tale = without_spares(vec![runs("w", &[])], class);
    tale.lose_host(0);
    tale.wait(30_000);
    tale.hello(0, SESSION + 1, 0);
    let out = Exit::Stopped { why: Exit::LEASE.into() };
    let said = tale.inventory(0, vec![exited(0, out)], &["c"]);
    let again = TaskKey { task: 0, incarnation: 2 };
    let is_again = |c: &Command| matches!(c, Command::Start { key, .. } if *key == again);
    assert!(sent(&said).iter().any(|(host, c)| *host == 0 && is_again(c)), "{said:?}");
}

/// Its agent is another one and knows the ended incarnation, and not yet the one that was asked for after it.
#[test]
fn o2_output_of_an_ended_incarnation_is_awaited_from_an_agent_that_does_not_know_the_next() {
    let mut tale = serving(1, 0, of_class(ServiceClass::Exclusive, OnReturn::KeepOriginal));
    let ended = exited(0, Exit::Stopped { why: Exit::LEASE.into() });
    tale.report(0, Report::Task(ended.clone()));
    tale.hello(0, SESSION + 1, 0);
    tale.inventory(0, vec![ended], &["c"]);
    let next = TaskKey { task: 0, incarnation: 2 };
    let state = TaskState::Exited {
        exit: Exit::Code(0),
        out_bytes: 0,
        err_bytes: 0,
        ran_ms: 1,
        ended_us: None,
    };
    tale.report(0, Report::Task(TaskRecord::new(next, state)));
    let mut said = Vec::new();
    for key in [next, key(0)] {
        for stream in [StreamName::Out, StreamName::Err] {
            assert_eq!(cleaning(&said), [0u32; 0], "not all of its output is here");
            said.extend(tale.tell(Event::OutputStored { key, stream, gap_bytes: 0 }));
        }
    }
    assert_eq!(cleaning(&said), [0]);
}

#[test]
fn a_run_waits_for_the_replacement_that_it_has_promised() {
    let mut tale = serving(2, 1, of_class(ServiceClass::Service, OnReturn::KeepNew));
    tale.lose_host(0);
    assert_eq!(cleaning(&tale.end(1, 1, 0)), [0u32; 0]);
    tale.refuse(0, true);
    assert_eq!(preparing(&tale.wait(60_000)), [2]);
}

#[test]
fn a_process_that_failed_for_good_may_cost_its_host_its_place() {
    let replaces = |cluster: &mut Cluster| cluster.on_failure.process = Some(Reaction::Replace);
    let mut tale = serving(2, 1, replaces);
    assert_eq!(preparing(&tale.end(0, 0, 3)), [2]);
    assert_eq!(starts(&tale.prepare(2)), [(2, 2)]);
    tale.end(1, 1, 0);
    tale.end(2, 2, 0);
    for host in [0, 1] {
        tale.cleaned(host);
    }
    assert_eq!(outcome(&tale.cleaned(2)), Some(Outcome::Complete));
}

#[test]
fn f06_an_end_that_nobody_saw_is_ambiguous_and_a_failure_like_any_other() {
    let mut tale = Tale::prepared(cluster(1, vec![runs("w", &[]), runs("v", &["w"])]), 1);
    let said = tale.exit(0, 0, Exit::Lost);
    assert_eq!(starts(&said), [], "neither it nor what follows it");
    let view = tale.run.view();
    assert_eq!((view.tasks[0].state.as_str(), view.tasks[0].success), ("ambiguous", Some(false)));
    assert_eq!(view.problems[0].cause.raw(), "nobody saw how `w` ended");
    let goes_on = |cluster: &mut Cluster| {
        cluster.execution.push(runs("v", &["w"]));
        cluster.on_failure.process = Some(Reaction::Continue);
    };
    assert_eq!(starts(&serving(1, 0, goes_on).exit(0, 0, Exit::Lost)), [(0, 1)]);
}

#[test]
fn an_incarnation_that_is_followed_is_no_end_and_all_output_is_waited_for() {
    let mut tale = serving(1, 0, on_host(Reaction::Drop));
    let mut first = exited(0, Exit::Code(1));
    first.again_in_ms = Some(0);
    tale.report(0, Report::Task(first));
    assert_eq!(tale.run.view().tasks[0].state, "restarting");
    let second = TaskKey { task: 0, incarnation: 2 };
    let end = TaskState::Exited {
        exit: Exit::Code(0),
        out_bytes: 0,
        err_bytes: 0,
        ran_ms: 1,
        ended_us: None,
    };
    tale.report(0, Report::Task(TaskRecord::new(second, end)));
    let mut said = Vec::new();
    for key in [second, key(0)] {
        assert_eq!(cleaning(&said), [0u32; 0]);
        for stream in [StreamName::Out, StreamName::Err] {
            said.extend(tale.tell(Event::OutputStored { key, stream, gap_bytes: 0 }));
        }
    }
    assert_eq!(cleaning(&said), [0]);
    assert!(tale.run.view().problems.is_empty(), "a restart is not a problem of its own (F72)");
    assert_eq!(outcome(&tale.cleaned(0)), Some(Outcome::Complete));
}

#[test]
fn a_process_that_is_to_be_restarted_has_a_rule_though_it_names_none() {
    let restarts = |cluster: &mut Cluster| cluster.on_failure.process = Some(Reaction::Restart);
    let tale = serving(1, 0, restarts);
    let rules = sent(&tale.said).into_iter().filter_map(|(_, command)| match command {
        Command::Start { spec, .. } => spec.restart,
        _ => None,
    });
    let rules: Vec<_> = rules.collect();
    assert_eq!(rules.len(), 1);
    assert_eq!(rules[0].backoff_max_ms, Restart::default().backoff_max_ms);
}

#[test]
fn a_cluster_may_go_on_below_its_minimum_if_the_description_says_so() {
    let goes_on = |cluster: &mut Cluster| {
        cluster.num_hosts.min = Some(2);
        cluster.on_failure.cluster = Some(Reaction::Continue);
    };
    let mut tale = serving(2, 0, goes_on);
    assert_eq!(stops(&tale.lose_host(0)), []);
    let mut tale = serving(2, 0, |cluster| cluster.num_hosts.min = Some(2));
    assert_eq!(stops(&tale.lose_host(0)), [(1, 1)]);
}
