//! What is run: projects of one to three clusters with barriers, spares and reactions, made from a seed.
//! Not what goes wrong meanwhile: that is `faults`.
//!
//! A process is `sim MS OUT ERR FAIL IGNORE RANK COUNT [ROUNDS MANNER INSIDE_MS]`: how long it runs, how much it writes,
//! how often of a hundred it fails, whether it ignores the first signal, who it believes to be; then how often it comes
//! to the barrier of the programs, how it behaves there, and how long it stays inside.

mod exclusive;
mod rendezvous;

pub use rendezvous::RENDEZVOUS;

use crate::random::Chance;
use plush_core::plan::{self, Keep, Offer, PlannedHost, Route, RunPlan, Settings};
use plush_spec::model::{
    Action, Application, Barrier, BarrierPolicy, Cluster, Command, Entry, FailurePolicy, Late,
    Name, NumHosts, On, Output, Percent, Place, Process, Project, Reaction, Reference, Release,
    Requirement, Restart, RestartWhen, Signal, Step, Stop, Wanted,
};

/// The barrier that every description of the simulator has.
pub const MEETING: &str = "meeting";
/// The process that comes after the barrier on a host.
pub const AFTER_MEETING: &str = "after";

/// What kind of project is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scene {
    /// The seed chooses.
    #[default]
    Drawn,
    /// Every host works, meets the others at a barrier, and works on.
    Meeting,
    /// On every host a program works and comes to a barrier of the application, for one round or more.
    Rendezvous,
    /// One cluster, in which all programs come to a barrier once and are let go together.
    OneRendezvous,
    /// Clusters of class exclusive, with hosts that can step in.
    Exclusive,
}

/// A plan for `hosts` hosts.
pub fn plan(chance: &mut Chance, hosts: usize, scene: Scene) -> RunPlan {
    // What came later draws from a stream of its own, so that seeds go on meaning what they meant.
    let mut extra = Chance::new(chance.clone().draw() ^ 0xbee5);
    let clusters = if hosts < 10 { 1 } else { chance.between(1, 3) as usize };
    let clusters = if scene == Scene::OneRendezvous { 1 } else { clusters };
    let share = hosts / clusters;
    let mut specs: Vec<Cluster> =
        (0..clusters).map(|n| cluster(chance, n, share as u32, scene)).collect();
    let rendezvous = rendezvous::add(&mut extra, &mut specs, scene);
    if scene == Scene::Exclusive {
        specs.iter_mut().for_each(|spec| exclusive::change(&mut extra, spec, share as u32));
    }
    let offer = |n: usize| Offer {
        hosts: (0..share).map(|h| planned_host(n, h)).collect(),
        ..Offer::default()
    };
    let offers = (0..clusters).map(offer).collect();
    let mut settings = Settings {
        run: "simulated".into(),
        keep: *chance.pick(&[Keep::Nothing, Keep::Nothing, Keep::Cache]),
        stop_after_ms: Some(Some(*chance.pick(&[15, 40, 100, 300]) * 1_000)),
    };
    // Keeps the meaning of old seeds: this draw was a setting that plans no longer have.
    chance.percent(10);
    if scene == Scene::Exclusive {
        settings.stop_after_ms = Some(Some(*extra.pick(&[10, 15, 25, 40]) * 1_000));
    }
    let mut project = project(chance, specs);
    project.barriers.extend(rendezvous);
    plan::assign(&project, offers, settings).expect("the simulator's descriptions can be planned")
}

fn planned_host(cluster: usize, number: usize) -> PlannedHost {
    PlannedHost::new(format!("c{cluster}-{number:03}"), Route::Ssh)
}

fn name(text: &str) -> Name {
    Name::new(text).expect("the simulator's names are good")
}

fn reference(text: &str) -> Reference {
    Reference { name: name(text), place: Place::default() }
}

fn project(chance: &mut Chance, clusters: Vec<Cluster>) -> Project {
    let meeting = Barrier {
        name: name(MEETING),
        place: Place::default(),
        policy: BarrierPolicy { late: late(chance), ..meeting_policy(chance) },
        clusters: Vec::new(),
        per_host: None,
    };
    let application = Application {
        name: name("simulated"),
        place: Place::default(),
        clusters: Vec::new(),
        service: None,
        on_failure: FailurePolicy::default(),
        foreign: Vec::new(),
    };
    Project {
        name: name("simulated"),
        place: Place::default(),
        variables: Vec::new(),
        resources: Vec::new(),
        software: Vec::new(),
        clusters,
        barriers: vec![meeting],
        applications: vec![application],
        callbacks: Vec::new(),
        foreign: Vec::new(),
    }
}

fn late(chance: &mut Chance) -> Late {
    *chance.pick(&[Late::Admit, Late::Admit, Late::Drop])
}

fn meeting_policy(chance: &mut Chance) -> BarrierPolicy {
    match chance.between(0, 4) {
        0 => BarrierPolicy {
            entry: Entry { timeout_ms: Some(chance.between(1_000, 30_000)), ..Entry::default() },
            ..BarrierPolicy::default()
        },
        1 => BarrierPolicy {
            release: Release::Inside { max: chance.between(1, 20) as u32, timeout_ms: None },
            ..BarrierPolicy::default()
        },
        2 => BarrierPolicy {
            entry: share(chance.between(50, 90) as f64, chance.between(0, 5_000)),
            release: Release::Inside { max: 5, timeout_ms: Some(chance.between(100, 3_000)) },
            ..BarrierPolicy::default()
        },
        _ => BarrierPolicy::default(),
    }
}

fn share(percent: f64, min_wait_ms: u64) -> Entry {
    Entry { percent: Some(Percent { percent, min_wait_ms }), ..Entry::default() }
}

/// A few inside at a time would wait for ever at a meeting for those who are not let in yet: only where there is none.
fn ready_policy(chance: &mut Chance, hosts: u32, steps: &[Step]) -> BarrierPolicy {
    let meets = steps.iter().any(|s| matches!(s.action, Action::Barrier(_)));
    let entry = match chance.between(0, 3) {
        0 => share(chance.between(50, 95) as f64, chance.between(0, 3_000)),
        1 => Entry { count: Some((hosts / 2).max(1)), ..Entry::default() },
        2 => Entry { timeout_ms: Some(chance.between(500, 20_000)), ..Entry::default() },
        _ => Entry::default(),
    };
    let release = match chance.percent(20) && !meets {
        true => Release::Inside { max: chance.between(1, 30) as u32, timeout_ms: None },
        false => Release::All,
    };
    BarrierPolicy { entry, release, late: late(chance), ..BarrierPolicy::default() }
}

fn prepare_policy(chance: &mut Chance) -> BarrierPolicy {
    if chance.percent(60) {
        return BarrierPolicy::default();
    }
    let max = chance.between(2, 40) as u32;
    BarrierPolicy { release: Release::Inside { max, timeout_ms: None }, ..BarrierPolicy::default() }
}

fn cluster(chance: &mut Chance, number: usize, hosts: u32, scene: Scene) -> Cluster {
    let spare = if hosts > 4 { chance.between(0, 3) as u32 } else { 0 };
    let wanted = hosts - spare;
    let execution = steps(chance, scene);
    let min = match chance.between(0, 2) {
        0 => None,
        1 => Some(1),
        _ => Some((wanted / 2).max(1)),
    };
    Cluster {
        name: name(&format!("cluster{number}")),
        place: Place::default(),
        configuration: None,
        num_hosts: NumHosts {
            wanted: Wanted::Count(wanted),
            min,
            max: None,
            spare,
            place: Place::default(),
        },
        requirement: Requirement::default(),
        software: Vec::new(),
        resources: Vec::new(),
        env: Vec::new(),
        prepare: prepare_policy(chance),
        ready: ready_policy(chance, hosts, &execution),
        after: Vec::new(),
        execution,
        on_failure: FailurePolicy { process: reaction(chance), ..FailurePolicy::default() },
        service: None,
        outputs: match chance.percent(50) {
            true => vec![Output { glob: "*.txt".into(), place: Place::default() }],
            false => Vec::new(),
        },
        cleanup: vec![Command::Shell { line: "true".into(), place: Place::default() }],
        foreign: Vec::new(),
    }
}

fn reaction(chance: &mut Chance) -> Option<Reaction> {
    chance
        .pick(&[
            None,
            None,
            None,
            Some(Reaction::Continue),
            Some(Reaction::Continue),
            Some(Reaction::Drop),
            Some(Reaction::Fail),
        ])
        .clone()
}

fn steps(chance: &mut Chance, scene: Scene) -> Vec<Step> {
    let work = process(chance, "work", On::All);
    let drawn = chance.between(0, 4);
    let shape = match scene {
        Scene::Drawn => drawn,
        Scene::Meeting => 1,
        Scene::Rendezvous | Scene::OneRendezvous | Scene::Exclusive => 0,
    };
    match shape {
        0 => vec![step("work", &[], work)],
        1 => vec![
            step("work", &[], work),
            step("meet", &["work"], Action::Barrier(reference(MEETING))),
            step("after", &["meet"], process(chance, AFTER_MEETING, On::All)),
        ],
        2 => vec![
            step("meet", &[], Action::Barrier(reference(MEETING))),
            step("after", &["meet"], process(chance, AFTER_MEETING, On::All)),
            step("side", &[], process(chance, "side", On::Count(1))),
            step("last", &["after", "side"], process(chance, "last", On::All)),
        ],
        3 => {
            let count = chance.between(1, 3) as u32;
            vec![
                step("lead", &[], process(chance, "lead", On::Count(count))),
                step("work", &["lead"], work),
                step("meet", &["lead"], Action::Barrier(reference(MEETING))),
                step("after", &["meet"], process(chance, AFTER_MEETING, On::Count(count))),
            ]
        }
        _ => {
            vec![step("work", &[], work), step("more", &["work"], process(chance, "more", On::All))]
        }
    }
}

fn step(id: &str, after: &[&str], action: Action) -> Step {
    Step {
        id: name(id),
        place: Place::default(),
        after: after.iter().map(|before| reference(before)).collect(),
        action,
    }
}

fn process(chance: &mut Chance, text: &str, on: On) -> Action {
    let ms = *chance.pick(&[0, 5, 300, 2_000, 9_000, 60_000]);
    let (out, err) = (chance.between(0, 300), *chance.pick(&[0, 0, 40]));
    let fail = *chance.pick(&[0, 0, 0, 5, 30]);
    let ignore = u8::from(chance.percent(10));
    let args = [ms, out, err, fail, u64::from(ignore)].map(|n| n.to_string());
    let who = ["${rank}".to_owned(), "${count}".to_owned()];
    let command = Command::Program {
        path: "sim".into(),
        args: args.into_iter().chain(who).collect(),
        place: Place::default(),
    };
    let mut process = Process::new(name(text), command);
    process.on = on;
    process.stop = Stop { signal: Signal::TERM, grace_ms: chance.between(100, 3_000) };
    process.time_limit_ms = chance.percent(10).then_some(5_000);
    process.restart = chance.percent(25).then(|| Restart {
        when: RestartWhen::Failure,
        max: Some(chance.between(1, 4) as u32),
        window_ms: chance.percent(50).then_some(60_000),
        backoff_min_ms: chance.between(10, 2_000),
        backoff_max_ms: chance.between(2_000, 10_000),
    });
    Action::Process(Box::new(process))
}
