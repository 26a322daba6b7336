//! Claims about displayed values: elapsed time over several controllers, times of tasks by their
//! hosts' clocks, hosts that delay others, and incidents.

use super::*;
use crate::elapsed::ClockReading;
use crate::offset::ClockOffset;
use plush_protocol::Health;

impl Tale {
    /// A controller begins when its machine's boot time is this.
    fn controller_at(&mut self, boot_ms: u64) {
        self.now += 1;
        let reading = ClockReading {
            at_ms: self.now,
            boot_id: "b".into(),
            boot_us: boot_ms * 1_000,
            unix_ms: 1_000_000 + boot_ms,
        };
        self.run.absorb(self.now, Event::ClockRead { reading });
        let _ = self.decide();
    }

    /// The host's clock is so far ahead of that of the controller's machine.
    fn clock(&mut self, host: u32, ahead_ms: i64) {
        let offset = ClockOffset { ahead_us: ahead_ms * 1_000, uncertainty_us: 10 };
        self.tell(Event::ClockMeasured { host: HostId(host), offset });
    }
}

fn one_task() -> Tale {
    let mut tale = Tale::of(cluster(1, vec![runs("w", &[])]), 1);
    tale.controller_at(50_000);
    tale.connect_and_prepare();
    tale.clock(0, 400_000);
    tale
}

#[test]
fn a_task_is_dated_by_its_host_though_no_controller_was_there_to_hear_of_it() {
    let mut tale = one_task();
    let began = 50_000 - 1;
    let (started, ended) = (60_000, 75_000);
    let at_host = |boot_ms: u64| (boot_ms + 400_000) * 1_000;
    let decided = tale.now;
    // The controller dies right away. The next one is there when the task is over.
    tale.controller_at(90_000);
    tale.tell(Event::Restarted);
    tale.hello(0, SESSION, 0);
    let end = TaskState::Exited {
        exit: Exit::Code(0),
        out_bytes: 0,
        err_bytes: 0,
        ran_ms: ended - started,
        ended_us: Some(at_host(ended)),
    };
    tale.report(0, Report::Task(record(0, end)));
    let view = tale.run.view();
    let task = &view.tasks[0];
    assert_eq!(task.started_ms, Some(started - began));
    assert_eq!(task.ended_ms, Some(ended - began));
    assert_eq!(tale.run.history().tasks[0].running_ms, task.started_ms);
    assert!(tale.now < decided + 20, "decisions have hardly gone on");
    assert_eq!(view.elapsed_ms, 90_000 - began + (tale.now - decided - 1));
    assert_eq!(view.as_of_unix_ms, Some(1_000_000 + began + view.elapsed_ms));
    assert_eq!((view.absent_ms, view.absent_by_wall_ms), (90_000 - began - (decided + 1), 0));
}

#[test]
fn a_task_that_was_restarted_is_dated_by_its_host_from_the_first_report_on() {
    let mut tale = one_task();
    let began = 50_000 - 1;
    let started = 60_000;
    tale.controller_at(90_000);
    tale.tell(Event::Restarted);
    tale.hello(0, SESSION, 0);
    let since_us = Some((started + 400_000) * 1_000);
    let mut again = record(0, TaskState::Running { pid: 7, since_us });
    again.key.incarnation = 2;
    tale.report(0, Report::Task(again));
    assert_eq!(tale.run.view().tasks[0].started_ms, Some(started - began));
}

#[test]
fn a_view_of_later_has_the_times_of_later() {
    let mut tale = one_task();
    let (then, now) = (tale.run.view(), tale.run.view_at(tale.now + 7_000));
    assert_eq!(now.elapsed_ms, then.elapsed_ms + 7_000);
    assert_eq!(now.hosts[0].for_ms, then.hosts[0].for_ms + 7_000);
    tale.controller_at(150_000);
    assert!(tale.run.view().hosts[0].for_ms > 90_000, "also while no controller was there");
}

#[test]
fn a_start_that_falls_due_while_no_controller_is_there_is_not_called_early_or_late() {
    let mut wanted = cluster(1, vec![runs("w", &[])]);
    wanted.ready.together_ms = Some(2_000);
    let mut tale = Tale::of(wanted, 1);
    tale.controller_at(50_000);
    tale.connect(0);
    tale.clock(0, 0);
    tale.prepare(0);
    let due_us = sent(&tale.said).into_iter().find_map(|(_, command)| match command {
        Command::Start { spec, .. } => spec.at_us,
        _ => None,
    });
    tale.controller_at(80_000);
    tale.tell(Event::Restarted);
    tale.hello(0, SESSION, 1);
    tale.clock(0, 0);
    let state = TaskState::Running { pid: 1, since_us: due_us.map(|us| us + 300) };
    tale.report(0, Report::Task(record(0, state)));
    let together = tale.run.view().barriers[0].together.clone().unwrap();
    assert_eq!((together.started, together.last_us), (1, 300));
}

#[test]
fn who_waits_at_a_barrier_says_so_and_who_keeps_it_closed_does_not() {
    let steps = vec![runs("w", &[]), meets("b", &["w"])];
    let mut tale = Tale::of(cluster(2, steps), 2);
    tale.connect_and_prepare();
    for host in 0..2 {
        tale.report(
            host,
            Report::Task(record(host, TaskState::Running { pid: 7, since_us: None })),
        );
    }
    tale.end(0, 0, 0);
    let waits: Vec<Option<String>> =
        tale.run.view().hosts.into_iter().map(|host| host.waits_at).collect();
    assert_eq!(waits, [Some("b".into()), None]);
}

#[test]
fn a_host_that_stepped_in_and_the_one_before_it_count_once_and_are_named() {
    let mut wanted = cluster(1, vec![runs("w", &[])]);
    wanted.num_hosts.spare = 1;
    wanted.on_failure.host = Some(plush_spec::model::Reaction::Replace);
    let mut tale = Tale::of(wanted, 2);
    tale.connect_and_prepare();
    tale.report(0, Report::Task(record(0, TaskState::Running { pid: 7, since_us: None })));
    tale.lose_host(0);
    tale.wait(60_000);
    tale.prepare(1);
    let view = tale.run.view();
    let ready = &view.barriers[0];
    assert_eq!((ready.name.as_str(), ready.entered, ready.expected), ("c/ready", 1, 1));
    let history = tale.run.history();
    let ready = history.barriers.iter().find(|b| b.name == "c/ready").unwrap();
    assert_eq!((ready.entered(), ready.expected(), ready.members.len()), (1, 1, 2));
    let [incident] = &view.incidents[..] else { panic!("{:?}", view.incidents) };
    assert_eq!(incident.operation, "replace");
    let (lost, other) = (&view.hosts[0].name, &view.hosts[1].name);
    assert_eq!(&incident.host, other);
    assert!(incident.text.raw().starts_with(&format!("steps in for {lost} ")), "{incident:?}");
}

#[test]
fn a_restart_says_why_once_and_a_probe_what_it_was_answered() {
    let mut tale = one_task();
    let ill = Some(Tainted::new("http://localhost:80/: status 503"));
    let running = record(0, TaskState::Running { pid: 7, since_us: None });
    tale.report(0, Report::Task(TaskRecord { health: Some(Health::Healthy), ..running.clone() }));
    let unhealthy = TaskRecord { health: Some(Health::Unhealthy), ill: ill.clone(), ..running };
    tale.report(0, Report::Task(unhealthy));
    let stopped = exited(0, Exit::Stopped { why: Exit::PROBE.into() });
    let ended = TaskRecord { again_in_ms: Some(0), ill, ..stopped };
    for _ in 0..2 {
        tale.report(0, Report::Task(ended.clone()));
    }
    let said: Vec<(String, String)> = tale
        .run
        .view()
        .incidents
        .into_iter()
        .map(|incident| (incident.operation, incident.text.raw().to_owned()))
        .collect();
    let why = "`w` is unhealthy: http://localhost:80/: status 503";
    let again = "`w` was unhealthy: http://localhost:80/: status 503 and is started again";
    assert_eq!(said, [("probe", why), ("restart", again)].map(|(o, t)| (o.into(), t.into())));
}
