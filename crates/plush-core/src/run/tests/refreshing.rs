//! Claims about files that are made anew when another host serves in a place.

use super::*;
use crate::plan::PlannedTemplate;
use plush_spec::model::{OnChange, Signal};

fn template(text: &str, on_change: OnChange) -> PlannedTemplate {
    PlannedTemplate { dest_path: "conf".into(), mode: 0o600, text: text.into(), on_change }
}

/// Two hosts at work and a spare, each with these files.
fn serving(templates: Vec<PlannedTemplate>) -> Tale {
    serving_at(templates, |n| format!("h{n}"))
}

/// The same, at these addresses.
fn serving_at(templates: Vec<PlannedTemplate>, address: impl Fn(usize) -> String) -> Tale {
    let mut cluster = cluster(2, vec![runs("w", &[])]);
    cluster.num_hosts.spare = 1;
    cluster.on_failure.host = Some(Reaction::Replace);
    let mut plan = Tale::of(cluster, 3).run.plan().clone();
    plan.clusters[0].templates = templates;
    plan.hosts.iter_mut().enumerate().for_each(|(n, host)| host.address = address(n));
    let mut tale = Tale { run: Run::new(plan), now: 0, agents: vec![(0, 0); 3], said: Vec::new() };
    tale.decide();
    tale.connect(0);
    tale.connect(1);
    (0..2).for_each(|host| drop(tale.prepare(host)));
    for host in 0..2 {
        tale.report(
            host,
            Report::Task(record(host, TaskState::Running { pid: 7, since_us: None })),
        );
    }
    tale
}

impl Tale {
    /// The second host is dead, and the spare steps in.
    fn replace(&mut self) -> Vec<Effect> {
        let before = self.said.len();
        self.lose_link(1);
        while self.state(1) != HostState::Failed {
            self.refuse(1, true);
            self.wait(16_000);
        }
        self.said[before..].to_vec()
    }
}

/// What hosts are to write anew, and the signals that follow.
fn news(effects: &[Effect]) -> Vec<(u32, String)> {
    let news = sent(effects).into_iter().filter_map(|(host, command)| match command {
        Command::Rewrite { cluster, path, mode: 0o600, text } if cluster == "c" => {
            Some((host, format!("{path}: {text}")))
        }
        Command::Signal { key, signal } => Some((host, format!("signal {signal} to {}", key.task))),
        _ => None,
    });
    news.collect()
}

#[test]
fn the_neighbours_of_a_replaced_host_get_their_file_anew_and_then_a_signal() {
    let mut tale =
        serving(vec![template("${hosts.c}", OnChange::Signal(Signal::named("HUP").unwrap()))]);
    let said = tale.replace();
    assert_eq!(news(&said), [(0, "conf: h0 h2".into()), (0, "signal 1 to 0".into())]);
    tale.connect(2);
    assert_eq!(news(&tale.prepare(2)), [], "the new one has it from its preparation");
}

#[test]
fn who_wants_no_signal_gets_the_file_alone() {
    let mut tale = serving(vec![template("${hosts.c[1]}", OnChange::Replace)]);
    assert_eq!(news(&tale.replace()), [(0, "conf: h2".into())]);
}

#[test]
fn a_file_that_would_be_the_same_or_that_nobody_wants_anew_is_left_alone() {
    let same =
        template("${rank} of ${count} on ${host}", OnChange::Signal(Signal::named("HUP").unwrap()));
    let unasked = template("${hosts.c}", OnChange::Nothing);
    assert_eq!(news(&serving(vec![same, unasked]).replace()), []);
}

#[test]
fn who_was_prepared_before_another_was_given_up_has_a_file_that_is_true_when_it_begins() {
    let mut cluster = cluster(3, vec![runs("w", &[])]);
    cluster.ready = count(2);
    cluster.num_hosts.min = Some(2);
    let mut plan = Tale::of(cluster, 3).run.plan().clone();
    plan.clusters[0].templates = vec![template("${hosts.c}", OnChange::Replace)];
    let mut tale = Tale { run: Run::new(plan), now: 0, agents: vec![(0, 0); 3], said: Vec::new() };
    tale.decide();
    tale.connect(0);
    tale.prepare(0);
    let said = tale.refuse(1, false);
    assert_eq!(news(&said), [(0, "conf: h0 h2".into())]);
}

#[test]
fn a_file_names_the_addresses_of_the_members_and_follows_who_serves() {
    let text = "${address}: ${addresses.c} ${addresses.c[1]} ${hosts.c}";
    let mut tale = serving_at(vec![template(text, OnChange::Replace)], |n| format!("10.0.0.{n}"));
    assert_eq!(
        news(&tale.replace()),
        [(0, "conf: 10.0.0.0: 10.0.0.0 10.0.0.2 10.0.0.2 h0 h2".into())]
    );
}
