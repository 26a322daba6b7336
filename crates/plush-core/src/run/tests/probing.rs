//! Claims about probes that are asked from where the controller is.

use super::*;
use plush_protocol::{Health, ProbeCheck};
use plush_spec::model::{Check, HookPlace, Probe};

fn probe(check: Check) -> Probe {
    Probe {
        check,
        from: HookPlace::Controller,
        every_ms: 1_000,
        time_limit_ms: 500,
        delay_ms: 0,
        failures: 2,
        successes: 1,
        place: Place::default(),
    }
}

/// Hosts that each run one process, which is asked about from here.
fn probed(hosts: u32, check: Check, reaction: Option<Reaction>) -> Tale {
    let mut process = process("w", &[]);
    process.probes = vec![probe(check), Probe { from: HookPlace::Host, ..probe(Check::Tcp(9)) }];
    process.on_failure = reaction;
    let steps = vec![does("w", &[], Action::Process(Box::new(process)))];
    let mut tale = Tale::prepared(cluster(hosts, steps), hosts as usize);
    (0..hosts).for_each(|host| drop(tale.begins(host, 1)));
    tale
}

impl Tale {
    /// The task of a host runs, as its n-th incarnation.
    fn begins(&mut self, host: u32, incarnation: u32) -> Vec<Effect> {
        let key = TaskKey { task: host, incarnation };
        let running = TaskState::Running { pid: 7, since_us: None };
        self.report(host, Report::Task(TaskRecord::new(key, running)))
    }

    fn judged(&mut self, host: u32, health: Health) -> Vec<Effect> {
        self.tell(Event::Probed { host: HostId(host), key: key(host), health, why: None })
    }

    fn health(&self, task: usize) -> Option<Health> {
        self.run.view().tasks[task].health
    }
}

/// Of whose tasks is asked from now on, and of whose no more.
fn watches(effects: &[Effect]) -> (Vec<TaskKey>, Vec<TaskKey>) {
    let begun = effects.iter().filter_map(|e| match e {
        Effect::Watch { key, .. } => Some(*key),
        _ => None,
    });
    let ended = effects.iter().filter_map(|e| match e {
        Effect::Unwatch { key, .. } => Some(*key),
        _ => None,
    });
    (begun.collect(), ended.collect())
}

fn failed(effects: &[Effect]) -> Vec<(u32, TaskKey)> {
    let failed = sent(effects).into_iter().filter_map(|(host, command)| match command {
        Command::Fail { key } => Some((host, key)),
        _ => None,
    });
    failed.collect()
}

#[test]
fn a_task_is_asked_about_while_it_runs() {
    let mut tale = probed(2, Check::Tcp(7000), None);
    assert_eq!(watches(&tale.said).0, [key(0), key(1)]);
    assert_eq!(tale.health(0), Some(Health::Unknown));
    assert_eq!(watches(&tale.judged(0, Health::Healthy)), (vec![], vec![]));
    assert_eq!(tale.health(0), Some(Health::Healthy));
    assert_eq!(watches(&tale.end(0, 0, 0)), (vec![], vec![key(0)]));
}

#[test]
fn what_is_asked_is_rendered_for_the_host_and_probes_on_hosts_are_their_agents_business() {
    let tale = probed(1, Check::Http("http://${host}:80/${rank}".into()), None);
    let watch = tale.said.iter().find_map(|e| match e {
        Effect::Watch { watch, .. } => Some(watch.clone()),
        _ => None,
    });
    let watch = watch.unwrap();
    let [rule] = &watch.probes[..] else { panic!("{watch:?}") };
    assert_eq!(rule.check, ProbeCheck::Http("http://h0:80/0".into()));
    assert_eq!(watch.name, "h0");
    assert!(watch.environment.contains(&("PLUSH_RANK".into(), "0".into())));
    let starts = sent(&tale.said).into_iter().find_map(|(_, command)| match command {
        Command::Start { spec, .. } => Some(spec),
        _ => None,
    });
    assert_eq!(starts.unwrap().probes.len(), 1);
}

#[test]
fn an_unhealthy_task_is_ended_by_its_agent_as_a_failure() {
    let mut tale = probed(2, Check::Tcp(7000), None);
    assert_eq!(failed(&tale.judged(1, Health::Unhealthy)), [(1, key(1))]);
    assert_eq!(tale.health(1), Some(Health::Unhealthy));
}

#[test]
fn where_a_failure_changes_nothing_it_is_told_and_goes_on() {
    let mut tale = probed(1, Check::Tcp(7000), Some(Reaction::Continue));
    assert_eq!(failed(&tale.judged(0, Health::Unhealthy)), []);
    assert_eq!(tale.health(0), Some(Health::Unhealthy));
}

#[test]
fn nobody_is_asked_about_on_a_silent_host_and_a_verdict_that_comes_yet_is_none() {
    let mut tale = probed(3, Check::Tcp(7000), None);
    let suspected = Event::Suspected { host: HostId(1), silent_ms: 5_000, limit_ms: 5_000 };
    assert_eq!(watches(&tale.tell(suspected)), (vec![], vec![key(1)]));
    assert_eq!(failed(&tale.judged(1, Health::Unhealthy)), []);
    let heard = Event::HeardAgain { host: HostId(1), silent_ms: 7_000 };
    assert_eq!(watches(&tale.tell(heard)), (vec![key(1)], vec![]), "from the beginning");
    assert_eq!(tale.health(1), Some(Health::Unknown));
}

#[test]
fn a_lost_link_ends_the_asking_and_the_next_one_begins_it() {
    let mut tale = probed(1, Check::Tcp(7000), None);
    assert_eq!(watches(&tale.lose_link(0)), (vec![], vec![key(0)]));
    assert_eq!(watches(&tale.hello(0, SESSION, 1)), (vec![key(0)], vec![]));
}

#[test]
fn while_our_own_side_may_be_to_blame_no_wrong_answer_counts() {
    let mut tale = probed(10, Check::Tcp(7000), None);
    for host in 0..4 {
        tale.tell(Event::Suspected { host: HostId(host), silent_ms: 5_000, limit_ms: 5_000 });
    }
    assert!(tale.run.view().notice.unwrap().text.contains("fell silent together"));
    assert_eq!(failed(&tale.judged(9, Health::Unhealthy)), []);
    let heard = Event::HeardAgain { host: HostId(3), silent_ms: 9_000 };
    let again: Vec<TaskKey> = [3, 4, 5, 6, 7, 8, 9].map(key).into();
    assert_eq!(watches(&tale.tell(heard)).0, again, "all who are heard, from the beginning");
    assert_eq!(failed(&tale.judged(9, Health::Unhealthy)), [(9, key(9))]);
    let late = watches(&tale.tell(Event::Late { factor: 3 })).1;
    assert_eq!(late, again, "a controller that is late itself does not judge");
}

#[test]
fn the_next_incarnation_is_asked_about_and_the_one_before_no_more() {
    let mut tale = probed(1, Check::Tcp(7000), None);
    tale.judged(0, Health::Unhealthy);
    let next = TaskKey { task: 0, incarnation: 2 };
    assert_eq!(watches(&tale.begins(0, 2)), (vec![next], vec![key(0)]));
    assert_eq!(tale.health(0), Some(Health::Unknown));
    assert_eq!(failed(&tale.judged(0, Health::Unhealthy)), [], "that is about the one before");
}

#[test]
fn a_new_controller_asks_anew() {
    let mut tale = probed(1, Check::Tcp(7000), None);
    assert_eq!(watches(&tale.tell(Event::Restarted)), (vec![], vec![]));
    assert_eq!(watches(&tale.hello(0, SESSION, 1)), (vec![key(0)], vec![]));
}

#[test]
fn a_run_that_stops_asks_about_nobody() {
    let mut tale = probed(2, Check::Tcp(7000), None);
    assert_eq!(watches(&tale.stop()).1, [key(0), key(1)]);
}
