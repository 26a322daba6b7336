//! What a run has done, for pictures: the states of its hosts, its barriers with their members, its policies in words.
//! Nothing is decided from it.

use super::Run;
use super::host::{Ending, HostRun};
use super::member::{Stage, StepStand};
use super::task::TaskRun;
use crate::Millis;
use crate::barrier::{Barrier, Entrant, Passage, Stand};
use crate::plan::{self, HostId, PlannedCluster};
use plush_protocol::{
    BarrierHistory, BarrierMember, BarrierOpening, BarrierOrigin, ClusterHistory, HostHistory,
    HostState, MemberStand, RunHistory, TaskHistory,
};
use plush_spec::model::{AdaptiveRule, BarrierPolicy, Entry, Knee, Late, Release};

const VERSION: u32 = 1;

impl Run {
    /// What is known at this moment. What the run forgets on its way (how long hosts were in which state, when tasks
    /// started) is filled in by whoever replays it, as far as it goes back.
    pub fn history(&self) -> RunHistory {
        RunHistory {
            version: VERSION,
            view: self.view(),
            clusters: self.plan.clusters.iter().map(cluster).collect(),
            hosts: self.hosts.iter().map(|h| self.host_history(h)).collect(),
            barriers: self.barrier_histories(),
            tasks: self.tasks.iter().map(|t| self.task_history(t)).collect(),
            ..RunHistory::default()
        }
    }

    /// Every member's way through a barrier of the description, in each generation that is kept.
    pub fn passages(&self, barrier: &str) -> impl Iterator<Item = (u32, HostId, Passage)> {
        let known = self.plan.project.barriers.iter().zip(&self.barriers);
        let named = known.filter(move |(spec, _)| spec.name.as_str() == barrier);
        named.flat_map(|(_, gathering)| {
            gathering.rounds().rounds().flat_map(move |round| {
                round.barrier.history().filter_map(move |(who, passage)| {
                    Some((round.generation, gathering.host_of(who)?, passage))
                })
            })
        })
    }

    /// The state of each host; cheap, so that it can be asked for after every event.
    pub fn host_states(&self) -> impl Iterator<Item = HostState> {
        self.hosts.iter().map(|host| self.state_of(host))
    }

    /// The same as in the view, without words.
    pub(super) fn state_of(&self, host: &HostRun) -> HostState {
        match host.ending {
            Ending::Serving => {}
            Ending::OutOfReach if host.is_blameless() => return HostState::Spare,
            Ending::Cleaned if host.is_blameless() => return HostState::Done,
            Ending::Away if host.is_blameless() => return HostState::Stopping,
            Ending::Cleaned | Ending::OutOfReach | Ending::Away => return HostState::Failed,
            Ending::Cleaning { .. } => return HostState::Cleaning,
            Ending::Returning
            | Ending::Collecting { .. }
            | Ending::CollectAgain { .. }
            | Ending::Collected => {
                return HostState::Collecting;
            }
        }
        if host.trouble.is_some() {
            return HostState::Failed;
        }
        let Some((cluster, place)) = self.places[host.id.index()] else { return HostState::Spare };
        match &self.clusters[cluster].members[place].stage {
            Stage::Joining => HostState::Connecting,
            Stage::Queued | Stage::Preparing { .. } => HostState::Preparing,
            Stage::Prepared | Stage::Finished => HostState::Ready,
            Stage::Executing(stands) => self.executing_state(stands),
            Stage::Out(_) => HostState::Failed,
        }
    }

    fn executing_state(&self, stands: &[StepStand]) -> HostState {
        let runs = |stand: &StepStand| match stand {
            StepStand::Task(number) => !self.tasks[*number].is_over(),
            StepStand::Pending | StepStand::AtBarrier | StepStand::Done | StepStand::Skipped => {
                false
            }
        };
        match (stands.iter().any(runs), self.stopping.is_some()) {
            (true, false) => HostState::Running,
            (true, true) => HostState::Stopping,
            (false, _) => HostState::Ready,
        }
    }

    fn host_history(&self, host: &HostRun) -> HostHistory {
        let serves = |c: &&PlannedCluster| {
            self.places[host.id.index()]
                .is_some_and(|(cluster, _)| self.plan.clusters[cluster].name() == c.name())
        };
        let kept = |c: &&PlannedCluster| c.spares.contains(&host.id);
        let clusters = || self.plan.clusters.iter();
        let cluster = clusters().find(serves).or_else(|| clusters().find(kept));
        let facts = host.facts.as_ref();
        HostHistory {
            name: self.plan.host_name(host.id).to_owned(),
            cluster: cluster.map(|c| c.name().to_owned()),
            system: facts.map_or(String::new(), |f| format!("{} {}", f.system, f.architecture)),
            client: host.client.clone().unwrap_or_default(),
            connected_in_ms: host.login_ms,
            ..HostHistory::default()
        }
    }

    fn task_history(&self, task: &TaskRun) -> TaskHistory {
        TaskHistory {
            task: task.key.task,
            incarnation: task.key.incarnation,
            process: task.process.clone(),
            host: self.plan.host_name(task.host).to_owned(),
            running_ms: task.started_ms(&self.elapsed),
            ended_ms: task.ended_ms,
        }
    }

    fn barrier_histories(&self) -> Vec<BarrierHistory> {
        let mut all = Vec::new();
        for (number, (plan, cluster)) in self.plan.clusters.iter().zip(&self.clusters).enumerate() {
            let phases = [
                ("prepare", &cluster.prepare, None),
                ("ready", &cluster.ready, self.together_at_ready(number)),
            ];
            all.extend(phases.map(|(phase, machine, together)| BarrierHistory {
                together,
                ..self.barrier_history(
                    format!("{}/{phase}", plan.name()),
                    (BarrierOrigin::Phase, 1),
                    machine,
                    |entrant| Some(HostId(entrant.0)),
                )
            }));
        }
        let named = self.plan.project.barriers.iter().zip(&self.barriers);
        for (number, (spec, gathering)) in named.enumerate() {
            all.extend(gathering.rounds().rounds().map(|round| {
                let origin = (BarrierOrigin::Description, round.generation);
                let host = |entrant| gathering.host_of(entrant);
                BarrierHistory {
                    together: self.together_at(number, round.generation),
                    ..self.barrier_history(spec.name.to_string(), origin, &round.barrier, host)
                }
            }));
        }
        all
    }

    fn barrier_history(
        &self,
        name: String,
        (origin, generation): (BarrierOrigin, u32),
        machine: &Barrier,
        host: impl Fn(Entrant) -> Option<HostId>,
    ) -> BarrierHistory {
        let BarrierPolicy { entry, release, late, .. } = machine.policy();
        let member =
            |(who, passage): (Entrant, Passage)| host(who).map(|host| self.member(host, passage));
        BarrierHistory {
            name,
            origin,
            generation,
            entry: entry_words(entry),
            release: release_words(release),
            late: late_words(*late).to_owned(),
            opened: machine.opened().map(|opened| BarrierOpening {
                at_ms: self.elapsed.shown(opened.at),
                policy: opened.why.word().to_owned(),
                because: opened.why.to_string(),
                entered: opened.entered,
                expected: opened.expected,
            }),
            knee_ms: knee_ms(machine, self.now).map(|at| self.elapsed.shown(at)),
            members: machine.history().filter_map(member).collect(),
            together: None,
        }
    }
}

fn cluster(plan: &PlannedCluster) -> ClusterHistory {
    let command =
        |p: &plush_spec::model::Process| (p.name.to_string(), plan::command_text(&p.command));
    let packages = plan.software.iter();
    ClusterHistory {
        name: plan.name().to_owned(),
        commands: plan::processes(&plan.spec).map(command).collect(),
        software: packages
            .flat_map(|s| s.packages.iter().map(|p| (s.name.clone(), p.name.clone())))
            .collect(),
    }
}

impl Run {
    fn member(&self, host: HostId, passage: Passage) -> BarrierMember {
        let shown = |at: Option<Millis>| at.map(|at| self.elapsed.shown(at));
        BarrierMember {
            host: self.plan.host_name(host).to_owned(),
            stand: match passage.stand {
                Stand::Expected => MemberStand::Expected,
                Stand::Waiting => MemberStand::Waiting,
                Stand::Released => MemberStand::Inside,
                Stand::Left => MemberStand::Through,
                Stand::Failed => MemberStand::Failed,
                Stand::Withdrawn => MemberStand::TurnedAway,
            },
            entered_ms: shown(passage.entered_at),
            released_ms: shown(passage.released_at),
            left_ms: shown(passage.left_at),
            replaced_by: self.replaced_by(host).map(|other| self.plan.host_name(other).to_owned()),
        }
    }
}

/// When the arrivals of a barrier had their knee: the same arrivals at a barrier that opens by nothing else.
fn knee_ms(machine: &Barrier, now: Millis) -> Option<u64> {
    let knee = machine.policy().entry.knee.unwrap_or(KNEE);
    let entry = Entry { knee: Some(knee), ..Entry::default() };
    let mut like = Barrier::new(BarrierPolicy { entry, ..BarrierPolicy::default() });
    let mut arrivals = Vec::new();
    for (who, passage) in machine.history() {
        like.expect(who);
        arrivals.extend(passage.entered_at.map(|at| (at, who)));
    }
    arrivals.sort_unstable();
    for (at, who) in arrivals {
        if let Some(knee) = like.wake_at().filter(|knee| *knee < at) {
            return Some(knee);
        }
        like.enter(who, at);
    }
    let is_full = like.entered() == like.expected();
    like.wake_at().filter(|knee| !is_full && *knee <= now)
}

/// Looked for where the policy has none: the arrivals of the first half are never late.
const KNEE: Knee = Knee { min_percent: 50.0, min_wait_ms: 0, weight: None };

/// When a barrier opens, in words: `all`, or `80 % after 10 s, or 60 s after the first`.
fn entry_words(entry: &Entry) -> String {
    let after = |ms: u64| match ms {
        0 => String::new(),
        ms => format!(" after {}", time(ms)),
    };
    let ways = [
        entry.count.map(|count| format!("{count} have come")),
        entry.percent.map(|p| format!("{} %{}", p.percent, after(p.min_wait_ms))),
        entry.knee.map(|k| format!("knee from {} %{}", k.min_percent, after(k.min_wait_ms))),
        entry.timeout_ms.map(|ms| format!("{} after the first", time(ms))),
    ];
    let ways: Vec<String> = ways.into_iter().flatten().collect();
    if ways.is_empty() { "all".to_owned() } else { ways.join(", or ") }
}

fn release_words(release: &Release) -> String {
    let at_most = |timeout: Option<u64>| match timeout {
        None => String::new(),
        Some(ms) => format!(" for {} at most", time(ms)),
    };
    match release {
        Release::All => "all at once".to_owned(),
        Release::CountPerTick { count, every_ms } => format!("{count} every {}", time(*every_ms)),
        Release::PercentPerTick { percent, every_ms } => {
            format!("{percent} % every {}", time(*every_ms))
        }
        Release::Inside { max, timeout_ms } => format!("{max} inside{}", at_most(*timeout_ms)),
        Release::Rate { per_second } => format!("{per_second} per second"),
        Release::Adaptive { rule, start, timeout_ms } => {
            let rule = match rule {
                AdaptiveRule::Throughput => "throughput",
                AdaptiveRule::Median => "median",
            };
            format!("adaptive by {rule}, {start} at first{}", at_most(*timeout_ms))
        }
    }
}

fn late_words(late: Late) -> &'static str {
    match late {
        Late::Admit => "admitted",
        Late::Drop => "dropped",
        Late::Replace => "replaced",
    }
}

fn time(ms: u64) -> String {
    match ms {
        ms if ms % 60_000 == 0 && ms > 0 => format!("{} min", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{} s", ms / 1_000),
        ms => format!("{ms} ms"),
    }
}
