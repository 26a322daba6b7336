//! The flat picture of a run, made anew from its state each time it is asked for.
//! Nothing is decided from it.

use super::gathering::Gathering;
use super::host::{Ending, HostRun, Link};
use super::member::{ClusterRun, Stage, StepStand};
use super::task::{self, TaskRun};
use super::{Run, Stopping};
use crate::Millis;
use crate::barrier::{Barrier, Entrant, Round, Stand};
use crate::plan::HostId;
use plush_protocol::{
    BarrierView, ClusterView, Contact, Counts, HostState, HostView, Incident, Notice, PhaseName,
    Problem, RunView, Tainted, TaskView,
};
use std::collections::{BTreeMap, BTreeSet};

const VERSION: u32 = 1;

pub(super) fn of(run: &Run, now: Millis) -> RunView {
    let active = active(run);
    let hosts: Vec<HostView> =
        run.hosts.iter().map(|h| host(run, h, now, &active[h.id.index()])).collect();
    let clusters: Vec<ClusterView> = (0..run.clusters.len()).map(|n| cluster(run, n)).collect();
    RunView {
        version: VERSION,
        run: run.plan.run.clone(),
        project: run.plan.project.name.to_string(),
        elapsed_ms: run.elapsed.shown(now),
        as_of_unix_ms: run.elapsed.unix_ms(now),
        absent_ms: run.elapsed.total(),
        absent_by_wall_ms: run.elapsed.by_wall(),
        phase: phase(run, &hosts, &clusters),
        outcome: run.outcome.clone(),
        sums: run.outcome.as_ref().map(|_| run.sums()),
        stopping: run.stopping.as_ref().map(|s| match s {
            Stopping::Asked(why)
            | Stopping::TooFewHosts(why)
            | Stopping::ProcessFailed(why)
            | Stopping::HostLost(why) => why.clone(),
        }),
        counts: counts(&hosts),
        clusters,
        barriers: barriers(run, now),
        tasks: run.tasks.iter().map(|t| task(run, t)).collect(),
        problems: run.problems.iter().map(|p| problem(run, p)).collect(),
        forgotten_problems: run.forgotten_problems,
        incidents: run.incidents.kept().map(|i| incident(run, i)).collect(),
        forgotten_incidents: run.incidents.forgotten(),
        notice: run.network.notice.as_ref().map(|notice| Notice {
            at_ms: run.elapsed.shown(notice.at_ms),
            text: notice.text.clone(),
        }),
        hosts,
    }
}

/// The processes of the tasks that are not over, by host: one walk over all tasks serves every host.
fn active(run: &Run) -> Vec<Vec<&str>> {
    let mut names = vec![Vec::new(); run.hosts.len()];
    for task in run.tasks.iter().filter(|t| !t.is_over()) {
        names[task.host.index()].push(task.process.as_str());
    }
    names
}

fn host(run: &Run, host: &HostRun, now: Millis, active: &[&str]) -> HostView {
    let (state, detail) = host_state(run, host, active);
    debug_assert_eq!(state, run.state_of(host), "a history shows what the view shows");
    HostView {
        name: run.plan.host_name(host.id).to_owned(),
        state,
        detail,
        connected: host.is_up(),
        contact: contact(host),
        doubt: doubt(host),
        waits_at: waits_at(run, host),
        for_ms: run.elapsed.between(host.since, now),
        guarantee: host.facts.as_ref().map(|facts| facts.guarantee),
        logout: host.facts.as_ref().map(|facts| facts.logout),
    }
}

fn waits_at(run: &Run, host: &HostRun) -> Option<String> {
    let (cluster, place) = run.places[host.id.index()]?;
    let phase = |phase: &str| Some(format!("{}/{phase}", run.plan.clusters[cluster].name()));
    match &run.clusters[cluster].members[place].stage {
        Stage::Queued => phase("prepare"),
        Stage::Prepared => phase("ready"),
        Stage::Executing(_) => {
            let mut named = run.plan.project.barriers.iter().zip(&run.barriers);
            let held = named.find(|(_, gathering)| gathering.holds(host.id));
            held.map(|(spec, _)| spec.name.to_string())
        }
        Stage::Joining | Stage::Preparing { .. } | Stage::Finished | Stage::Out(_) => None,
    }
}

fn contact(host: &HostRun) -> Contact {
    match host.silent_since() {
        Some(_) => Contact::Suspect,
        None if host.is_up() => Contact::Heard,
        None if host.was_reached() && matches!(host.ending, Ending::OutOfReach | Ending::Away) => {
            Contact::Dead
        }
        None => Contact::None,
    }
}

fn doubt(host: &HostRun) -> Tainted {
    let why = match contact(host) {
        Contact::Suspect => &host.doubt,
        Contact::Dead => &host.trouble,
        Contact::None | Contact::Heard => &None,
    };
    why.clone().unwrap_or_default()
}

fn host_state(run: &Run, host: &HostRun, active: &[&str]) -> (HostState, Tainted) {
    let trouble = host.trouble.clone();
    match host.ending {
        Ending::OutOfReach if host.is_blameless() => {
            return (HostState::Spare, trouble.unwrap_or_default());
        }
        Ending::Cleaned if host.is_blameless() => {
            return (HostState::Done, trouble.unwrap_or_default());
        }
        Ending::Away if host.is_blameless() => {
            return (HostState::Stopping, trouble.unwrap_or_default());
        }
        Ending::Cleaned | Ending::OutOfReach | Ending::Away => {}
        Ending::Cleaning { .. } => return (HostState::Cleaning, trouble.unwrap_or_default()),
        Ending::Returning
        | Ending::Collecting { .. }
        | Ending::CollectAgain { .. }
        | Ending::Collected => {
            return (HostState::Collecting, trouble.unwrap_or_default());
        }
        Ending::Serving => {}
    }
    if let Some(trouble) = trouble {
        return (HostState::Failed, trouble);
    }
    let Some((cluster, place)) = run.places[host.id.index()] else {
        return (HostState::Spare, Tainted::default());
    };
    let member = &run.clusters[cluster].members[place];
    match &member.stage {
        Stage::Joining => (HostState::Connecting, connecting(host)),
        Stage::Queued => (HostState::Preparing, Tainted::new("waits to be let in")),
        Stage::Preparing { step, done_bytes, total_bytes } => {
            (HostState::Preparing, preparing(step, *done_bytes, *total_bytes))
        }
        Stage::Prepared => (HostState::Ready, Tainted::default()),
        Stage::Executing(stands) => executing(run, active, cluster, stands),
        Stage::Finished => (HostState::Ready, Tainted::new("through")),
        Stage::Out(why) => (HostState::Failed, why.clone()),
    }
}

fn connecting(host: &HostRun) -> Tainted {
    Tainted::new(match host.link {
        Link::Waiting { attempt, .. } | Link::Connecting { attempt } if attempt > 1 => {
            format!("attempt {attempt}")
        }
        Link::Idle
        | Link::Connecting { .. }
        | Link::Unwanted { .. }
        | Link::Waiting { .. }
        | Link::Up
        | Link::Leaving
        | Link::Closed => String::new(),
    })
}

fn preparing(step: &str, done: u64, total: Option<u64>) -> Tainted {
    Tainted::new(match (done, total) {
        (0, None) => step.to_owned(),
        (done, None) => format!("{step}, {done} bytes"),
        (done, Some(total)) => format!("{step}, {done} of {total} bytes"),
    })
}

fn executing(
    run: &Run,
    active: &[&str],
    cluster: usize,
    stands: &[StepStand],
) -> (HostState, Tainted) {
    if !active.is_empty() {
        let stopping = run.stopping.is_some();
        let state = if stopping { HostState::Stopping } else { HostState::Running };
        return (state, Tainted::new(active.join(", ")));
    }
    let at = stands.iter().position(|s| *s == StepStand::AtBarrier);
    let step = at.map(|n| run.plan.clusters[cluster].spec.execution[n].id.to_string());
    (HostState::Ready, Tainted::new(step.map_or(String::new(), |s| format!("at barrier {s}"))))
}

fn cluster(run: &Run, number: usize) -> ClusterView {
    let (plan, cluster) = (&run.plan.clusters[number], &run.clusters[number]);
    ClusterView {
        name: plan.name().to_owned(),
        phase: cluster_phase(run, cluster),
        wanted: plan.wanted,
        min: plan.min,
        live: cluster.live(),
    }
}

fn cluster_phase(run: &Run, cluster: &ClusterRun) -> PhaseName {
    if run.outcome.is_some() {
        return PhaseName::Done;
    }
    let stages = || cluster.members.iter().map(|m| &m.stage);
    if stages().any(|s| matches!(s, Stage::Executing(_))) {
        return if run.stopping.is_some() { PhaseName::Stop } else { PhaseName::Run };
    }
    if cluster.is_over() {
        return PhaseName::Collect;
    }
    if stages().any(|s| matches!(s, Stage::Joining)) {
        return PhaseName::Connect;
    }
    if stages().any(|s| matches!(s, Stage::Queued | Stage::Preparing { .. })) {
        return PhaseName::Prepare;
    }
    PhaseName::Ready
}

fn phase(run: &Run, hosts: &[HostView], clusters: &[ClusterView]) -> PhaseName {
    if run.outcome.is_some() {
        return PhaseName::Done;
    }
    let slowest = clusters.iter().map(|c| c.phase).min().unwrap_or_default();
    if slowest != PhaseName::Collect {
        return slowest;
    }
    match hosts.iter().any(|h| h.state == HostState::Collecting) {
        true => PhaseName::Collect,
        false => PhaseName::CleanUp,
    }
}

fn counts(hosts: &[HostView]) -> Counts {
    let mut counts = Counts::default();
    for host in hosts {
        let place = match host.state {
            HostState::Connecting => &mut counts.connecting,
            HostState::Preparing => &mut counts.preparing,
            HostState::Ready => &mut counts.ready,
            HostState::Running => &mut counts.running,
            HostState::Stopping | HostState::Collecting | HostState::Cleaning => {
                &mut counts.finishing
            }
            HostState::Done => &mut counts.done,
            HostState::Failed => &mut counts.failed,
            HostState::Spare => &mut counts.spare,
        };
        *place += 1;
    }
    counts
}

fn barriers(run: &Run, now: Millis) -> Vec<BarrierView> {
    let mut views = Vec::new();
    for (number, (plan, cluster)) in run.plan.clusters.iter().zip(&run.clusters).enumerate() {
        let host = |entrant: Entrant| Some(HostId(entrant.0));
        // Where no entry is said it opens with the first host, and that is no news.
        if plan.spec.prepare.entry.is_said() {
            views.push(barrier(
                run,
                now,
                format!("{}/prepare", plan.name()),
                &cluster.prepare,
                host,
            ));
        }
        views.push(BarrierView {
            together: run.together_at_ready(number),
            ..barrier(run, now, format!("{}/ready", plan.name()), &cluster.ready, host)
        });
    }
    for (number, (spec, gathering)) in
        run.plan.project.barriers.iter().zip(&run.barriers).enumerate()
    {
        let newest = gathering.rounds().rounds().next_back().map(|r| r.generation);
        let is_newest = |round: &Round| newest == Some(round.generation);
        for round in shown_rounds(gathering) {
            let host = |entrant| gathering.host_of(entrant);
            views.push(BarrierView {
                generation: round.generation,
                together: run.together_at(number, round.generation),
                worst: gathering.punctuality().worst().filter(|_| is_newest(round)),
                ..barrier(run, now, spec.name.to_string(), &round.barrier, host)
            });
        }
    }
    views
}

/// The newest round, and older ones in which somebody still waits or is.
fn shown_rounds(gathering: &Gathering) -> Vec<&Round> {
    let rounds: Vec<&Round> = gathering.rounds().rounds().collect();
    let newest = rounds.last().map_or(1, |r| r.generation);
    let busy = |round: &&Round| {
        let barrier = &round.barrier;
        let is_open = barrier.opening().is_some();
        round.generation == newest || !is_open || barrier.waiting() > 0 || barrier.inside() > 0
    };
    rounds.into_iter().filter(busy).collect()
}

fn barrier(
    run: &Run,
    now: Millis,
    name: String,
    machine: &Barrier,
    host: impl Fn(Entrant) -> Option<HostId>,
) -> BarrierView {
    let (twice, done_before) = counted_twice(run, machine, &host);
    let until = machine.opening().map_or(now, |(at, _)| at);
    let missing = machine.missing().filter_map(&host).filter(|host| !done_before.contains(host));
    let missing = missing.take(BarrierView::MISSING_SHOWN);
    let without = machine.without().iter().filter_map(|entrant| host(*entrant));
    let without: Vec<HostId> = without.filter(|host| run.replaced_by(*host).is_none()).collect();
    BarrierView {
        name,
        entered: machine.entered().saturating_sub(twice.came),
        expected: machine.expected().saturating_sub(twice.expected),
        released: machine.released().saturating_sub(twice.gone_on),
        opened: machine.opening().map(|(_, why)| why.word().to_owned()),
        because: machine.opening().map(|(_, why)| why.to_string()),
        opened_at_ms: machine.opening().map(|(at, _)| run.elapsed.shown(at)),
        waited_ms: machine.first_entry().map_or(0, |first| run.elapsed.between(first, until)),
        missing: missing.map(|host| run.plan.host_name(host).to_owned()).collect(),
        without: names(run, without),
        generation: 1,
        together: None,
        worst: None,
    }
}

/// Entrants of one host.
#[derive(Clone, Copy, Default)]
struct Entrants {
    came: u32,
    expected: u32,
    gone_on: u32,
}

/// The surplus entrants of a barrier where a replacement has taken a place, and the replacements
/// whose predecessor has entered already. A place counts as many entrants as the host with the most
/// of them, so the number of released entrants never decreases.
fn counted_twice(
    run: &Run,
    machine: &Barrier,
    host: impl Fn(Entrant) -> Option<HostId>,
) -> (Entrants, BTreeSet<HostId>) {
    let has_replaced = run.hosts.iter().any(|host| run.replaced_by(host.id).is_some());
    let mut places: BTreeMap<HostId, BTreeMap<HostId, Entrants>> = BTreeMap::new();
    for (who, passage) in machine.history().filter(|_| has_replaced) {
        let Some(host) = host(who) else { continue };
        let owner = run.replaced_by(host).unwrap_or(host);
        let of_host = places.entry(owner).or_default().entry(host).or_default();
        let has_gone_on = matches!(passage.stand, Stand::Released | Stand::Left);
        let has_come = has_gone_on || matches!(passage.stand, Stand::Waiting | Stand::Withdrawn);
        of_host.came += u32::from(has_come);
        of_host.expected += u32::from(has_come || passage.stand == Stand::Expected);
        of_host.gone_on += u32::from(has_gone_on);
    }
    let (mut twice, mut done_before) = (Entrants::default(), BTreeSet::new());
    for (owner, hosts) in places {
        let surplus = |count: fn(&Entrants) -> u32| {
            let all: u32 = hosts.values().map(count).sum();
            all - hosts.values().map(count).max().unwrap_or(0)
        };
        twice.came += surplus(|of_host| of_host.came);
        twice.expected += surplus(|of_host| of_host.expected);
        twice.gone_on += surplus(|of_host| of_host.gone_on);
        if hosts.iter().any(|(host, of_host)| *host != owner && of_host.came > 0) {
            done_before.insert(owner);
        }
    }
    (twice, done_before)
}

fn incident(run: &Run, incident: &Incident) -> Incident {
    Incident { at_ms: run.elapsed.shown(incident.at_ms), ..incident.clone() }
}

fn problem(run: &Run, problem: &Problem) -> Problem {
    Problem { at_ms: run.elapsed.shown(problem.at_ms), ..problem.clone() }
}

/// The names of the first of them, each once.
fn names(run: &Run, hosts: Vec<HostId>) -> Vec<String> {
    let hosts: BTreeSet<HostId> = hosts.into_iter().collect();
    let shown = hosts.into_iter().take(BarrierView::MISSING_SHOWN);
    shown.map(|host| run.plan.host_name(host).to_owned()).collect()
}

fn task(run: &Run, task: &TaskRun) -> TaskView {
    let (exit, ran_ms) = match &task.stand {
        task::Stand::Ended { exit, ran_ms } => (Some(exit.clone()), Some(*ran_ms)),
        task::Stand::Starting
        | task::Stand::Running
        | task::Stand::Again
        | task::Stand::NotStarted(_)
        | task::Stand::Lost => (None, None),
    };
    TaskView {
        task: task.key.task,
        incarnation: task.key.incarnation,
        process: task.process.clone(),
        host: run.plan.host_name(task.host).to_owned(),
        state: task.word().to_owned(),
        exit,
        success: task.success(),
        started_ms: task.started_ms(&run.elapsed),
        ended_ms: task.ended_ms,
        superseded: task.is_superseded,
        ran_ms,
        guarantee: task.guarantee,
        health: task.worst_health(),
    }
}
