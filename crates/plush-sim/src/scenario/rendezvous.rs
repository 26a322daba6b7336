//! Programs that come to a barrier of the application: which barrier, which programs, how they behave there.
//! Not what they do when they run: that is `world::visits`.

use super::{Scene, name, reference, share};
use crate::random::Chance;
use plush_spec::model::{
    Action, AdaptiveRule, Barrier, BarrierPolicy, Cluster, Command, Entry, Knee, Late, Place,
    Process, Release, Step,
};

/// The barrier to which programs come.
pub const RENDEZVOUS: &str = "rendezvous";
/// The process whose programs come there.
const VISITOR: &str = "work";
/// The other one of each host, where two come.
const SECOND: &str = "beside";

/// Has the programs of some clusters come to a barrier, which is the result; of two seeds in five, if the seed chooses.
pub fn add(chance: &mut Chance, clusters: &mut [Cluster], scene: Scene) -> Option<Barrier> {
    let wanted = match scene {
        Scene::Drawn => chance.percent(40),
        Scene::Meeting | Scene::Exclusive => false,
        Scene::Rendezvous | Scene::OneRendezvous => true,
    };
    let hosts: u32 = clusters.iter().map(|c| c.num_hosts.min.unwrap_or(1)).sum();
    let policy = match scene {
        Scene::OneRendezvous => BarrierPolicy::default(),
        Scene::Drawn | Scene::Meeting | Scene::Rendezvous | Scene::Exclusive => {
            policy(chance, hosts)
        }
    };
    // Drawn beside the others, so that seeds go on meaning what they meant.
    let mut apart = Chance::new(chance.clone().draw() ^ 0x9a12);
    let two = matches!(scene, Scene::Drawn | Scene::Rendezvous) && apart.percent(30);
    let mut named = Vec::new();
    for cluster in clusters.iter_mut().filter(|_| wanted) {
        let words = words(chance, scene);
        if let Some(visitor) = visitor(cluster) {
            give(visitor, &words);
            if scene == Scene::OneRendezvous {
                visitor.time_limit_ms = None;
                visitor.restart = None;
                cluster.prepare = BarrierPolicy::default();
                cluster.ready = BarrierPolicy::default();
            }
            // Whoever is let in only after others are through would keep those waiting.
            cluster.ready.release = Release::All;
            named.push(reference(cluster.name.as_str()));
            if two {
                let words = [words[0].clone(), apart.between(0, 4).to_string(), words[2].clone()];
                add_second(cluster, &words);
            }
        }
    }
    (!named.is_empty()).then(|| Barrier {
        name: name(RENDEZVOUS),
        place: Place::default(),
        policy,
        clusters: named,
        per_host: two.then_some(2),
    })
}

/// Has a second program of each host come to the barrier.
fn add_second(cluster: &mut Cluster, words: &[String]) {
    let is_first = |step: &&Step| step.id.as_str() == VISITOR;
    let first = cluster.execution.iter().find(is_first).expect("a visitor has a step of its name");
    let mut second = Step { id: name(SECOND), ..first.clone() };
    if let Action::Process(process) = &mut second.action {
        process.name = name(SECOND);
        if let Command::Program { args, .. } = &mut process.command {
            args.truncate(args.len() - words.len());
        }
        give(process, words);
    }
    cluster.execution.push(second);
}

/// A process whose programs may wait for others: nothing waits for its end at a barrier where those are expected too.
fn visitor(cluster: &mut Cluster) -> Option<&mut Process> {
    let waits = |step: &Step| {
        let is_after = step.after.iter().any(|before| before.name.as_str() == VISITOR);
        matches!(step.action, Action::Barrier(_)) && is_after
    };
    if cluster.execution.iter().any(waits) {
        return None;
    }
    cluster.execution.iter_mut().find_map(|step| match &mut step.action {
        Action::Process(process) if process.name.as_str() == VISITOR => Some(process.as_mut()),
        Action::Process(_) | Action::Barrier(_) | Action::Workflow(_) | Action::Repeat(_) => None,
    })
}

fn give(process: &mut Process, words: &[String]) {
    match &mut process.command {
        Command::Program { args, .. } => args.extend_from_slice(words),
        Command::Shell { .. } => unreachable!("the simulator's processes are programs"),
    }
}

/// Rounds, manner, time inside.
fn words(chance: &mut Chance, scene: Scene) -> Vec<String> {
    let (rounds, manner) = match scene {
        Scene::OneRendezvous => (1, 0),
        Scene::Drawn | Scene::Meeting | Scene::Rendezvous | Scene::Exclusive => {
            (chance.between(1, 4), chance.between(0, 4))
        }
    };
    let inside_ms = *chance.pick(&[0, 20, 500, 4_000]);
    [rounds, manner, inside_ms].map(|n| n.to_string()).to_vec()
}

fn policy(chance: &mut Chance, hosts: u32) -> BarrierPolicy {
    let timeout_ms = Some(chance.between(500, 20_000));
    let entry = match chance.between(0, 6) {
        0 => Entry { timeout_ms, ..Entry::default() },
        1 => Entry { count: Some(hosts.max(1)), timeout_ms, ..Entry::default() },
        2 => share(chance.between(40, 95) as f64, chance.between(0, 4_000)),
        3 => {
            let min_percent = chance.between(30, 80) as f64;
            let knee = Knee { min_percent, min_wait_ms: 500, weight: None };
            Entry { knee: Some(knee), ..Entry::default() }
        }
        _ => Entry::default(),
    };
    let max = chance.between(1, 20) as u32;
    let limit = chance.between(100, 5_000);
    let release = match chance.between(0, 8) {
        0 | 1 => Release::Inside { max, timeout_ms: None },
        2 => Release::Inside { max, timeout_ms: Some(limit) },
        3 => Release::CountPerTick { count: max, every_ms: limit / 4 },
        4 => Release::Rate { per_second: f64::from(max) },
        5 => Release::Adaptive { rule: AdaptiveRule::Throughput, start: max, timeout_ms: None },
        _ => Release::All,
    };
    let late = *chance.pick(&[Late::Admit, Late::Admit, Late::Drop]);
    BarrierPolicy { entry, release, late, ..BarrierPolicy::default() }
}
