//! A member: one place of a cluster, the host that serves in it, and how far it is.
//! Not the host itself: links and sessions are `host`'s, and a place may change its host before the start.

use super::task::Due;
use crate::Millis;
use crate::barrier::{Barrier, Entrant};
use crate::plan::{HostId, PlannedCluster};
use plush_protocol::Tainted;
use plush_spec::model::{Action, BarrierPolicy, Entry, Late, Name, On};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A cluster in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ClusterRun {
    pub members: Vec<Member>,
    /// The rank that the next member to begin will bear.
    next_rank: usize,
    pub spares: VecDeque<HostId>,
    /// Lets connected hosts into preparation.
    pub prepare: Barrier,
    /// Holds prepared hosts until enough of them are there.
    pub ready: Barrier,
    pub shortage: Shortage,
}

/// One place of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Member {
    pub host: HostId,
    /// Given when the ready barrier lets the member go, so that those who begin have ranks without holes;
    /// the place keeps it from then on.
    pub rank: Option<usize>,
    pub stage: Stage,
    /// The instant at which what it begins next is to begin.
    pub due: Option<Due>,
    /// It is out: whether another host may step in.
    pub vacancy: Vacancy,
    /// Number of replacements in this place.
    #[serde(default)]
    pub replacements: u32,
}

/// Whether another host may step in for a member that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Vacancy {
    /// None may; the member is not out, or it is for good.
    None,
    /// A program is asked; from then on, if it says so.
    Asked { at: Millis },
    /// From then on.
    From(Millis),
    /// There is nobody who could: it stays its own host's, should that come back.
    Kept,
}

/// Whether a cluster has too few hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Shortage {
    /// It has enough.
    None,
    /// It has not, and a program is asked.
    Asked,
    /// It goes on with so many: a program said so.
    Accepted(u32),
}

/// How far a member is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Its host is not connected yet.
    Joining,
    /// It waits to be let into preparation.
    Queued,
    /// Its software is being put in place: the step, bytes done, bytes in all.
    Preparing { step: String, done_bytes: u64, total_bytes: Option<u64> },
    /// It waits for the others.
    Prepared,
    /// It goes through the steps.
    Executing(Vec<StepStand>),
    /// All its steps are over.
    Finished,
    /// It does not take part any more.
    Out(Tainted),
}

/// How far a member is with one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StepStand {
    /// Not begun.
    Pending,
    /// Inside a barrier of the description.
    AtBarrier,
    /// A task of this index in the run.
    Task(usize),
    /// Done; those after it may begin.
    Done,
    /// Never starts, or has failed: the steps after it do not start.
    Skipped,
}

impl ClusterRun {
    pub fn new(plan: &PlannedCluster) -> Self {
        let mut cluster = ClusterRun {
            members: plan
                .members
                .iter()
                .map(|h| Member {
                    host: *h,
                    rank: None,
                    stage: Stage::Joining,
                    due: None,
                    vacancy: Vacancy::None,
                    replacements: 0,
                })
                .collect(),
            next_rank: 0,
            spares: plan.spares.iter().copied().collect(),
            prepare: Barrier::new(at_once_unless_said(plan.spec.prepare.clone())),
            ready: Barrier::new(plan.spec.ready.clone()),
            shortage: Shortage::None,
        };
        for host in &plan.members {
            cluster.expect(*host);
        }
        cluster
    }

    pub fn expect(&mut self, host: HostId) {
        self.prepare.expect(Entrant(host.0));
        self.ready.expect(Entrant(host.0));
    }

    /// Members that take part.
    pub fn live(&self) -> u32 {
        let live = self.members.iter().filter(|m| m.takes_part()).count();
        u32::try_from(live).expect("members are counted in 32 bits")
    }

    /// Members that take part, and places that another host will take.
    pub fn hoped_for(&self) -> u32 {
        let vacant = self.members.iter().filter(|m| m.is_awaited()).count();
        self.live() + u32::try_from(vacant).expect("members are counted in 32 bits")
    }

    /// Every member is finished or out for good.
    pub fn is_over(&self) -> bool {
        self.through() == self.members.len()
    }

    /// Members that are finished or out for good.
    pub fn through(&self) -> usize {
        let is_through = |m: &&Member| match m.stage {
            Stage::Finished => true,
            Stage::Out(_) => !m.is_awaited(),
            Stage::Joining
            | Stage::Queued
            | Stage::Preparing { .. }
            | Stage::Prepared
            | Stage::Executing(_) => false,
        };
        self.members.iter().filter(is_through).count()
    }

    /// Lets members begin their steps; ranks follow the order of the places.
    pub fn begin(&mut self, mut places: Vec<usize>, due: Option<Due>, plan: &PlannedCluster) {
        places.sort_unstable();
        for place in places {
            let member = &mut self.members[place];
            if member.stage != Stage::Prepared {
                continue;
            }
            let rank = *member.rank.get_or_insert_with(|| {
                self.next_rank += 1;
                self.next_rank - 1
            });
            member.due = due;
            member.stage = Stage::Executing(first_stands(plan, rank));
        }
    }

    /// The rank of a member, or the one that it would have if all those in front of it began too.
    pub fn rank_of(&self, place: usize) -> usize {
        let in_front = || self.members[..place].iter().filter(|m| m.takes_part()).count();
        self.members[place].rank.unwrap_or_else(in_front)
    }

    /// Those who count, by rank: once the first have begun, all who have; until then all who take part.
    pub fn line_up(&self) -> Vec<HostId> {
        let mut begun: Vec<_> =
            self.members.iter().filter_map(|m| Some((m.rank?, m.host))).collect();
        if begun.is_empty() {
            return self.members.iter().filter(|m| m.takes_part()).map(|m| m.host).collect();
        }
        begun.sort_unstable();
        begun.into_iter().map(|(_, host)| host).collect()
    }
}

impl Member {
    /// It is not out.
    pub fn takes_part(&self) -> bool {
        !matches!(self.stage, Stage::Out(_))
    }

    /// It is out, and another host will take its place or may.
    pub fn is_awaited(&self) -> bool {
        match self.vacancy {
            Vacancy::Asked { .. } | Vacancy::From(_) => true,
            Vacancy::None | Vacancy::Kept => false,
        }
    }

    /// It has not begun this step and may yet.
    pub fn awaits(&self, step: usize) -> bool {
        matches!(&self.stage, Stage::Executing(stands) if stands[step] == StepStand::Pending)
    }

    /// It is past every step that has entered this barrier, so that none of them is inside.
    pub fn is_past_all(&self, barrier: &Name, plan: &PlannedCluster) -> bool {
        let entered = |step: &usize| match &self.stage {
            Stage::Executing(stands) => stands[*step] == StepStand::Done,
            Stage::Finished => true,
            Stage::Joining
            | Stage::Queued
            | Stage::Preparing { .. }
            | Stage::Prepared
            | Stage::Out(_) => false,
        };
        let is_here = |(step, name): &(usize, &Name)| *name == barrier && entered(step);
        let mut steps = barrier_steps(plan).filter(is_here).map(|(step, _)| step).peekable();
        steps.peek().is_some() && steps.all(|step| self.is_past(step, plan))
    }

    /// It has done this step, and those right after it are over.
    pub fn is_past(&self, step: usize, plan: &PlannedCluster) -> bool {
        let steps = &plan.spec.execution;
        let follows =
            |n: &usize| steps[*n].after.iter().any(|before| before.name == steps[step].id);
        match &self.stage {
            Stage::Executing(stands) => {
                stands[step] == StepStand::Done
                    && (0..steps.len()).filter(follows).all(|n| stands[n].is_over())
            }
            Stage::Finished => true,
            Stage::Joining
            | Stage::Queued
            | Stage::Preparing { .. }
            | Stage::Prepared
            | Stage::Out(_) => false,
        }
    }

    /// Skips what has not begun.
    pub fn skip_rest(&mut self) {
        if let Stage::Executing(steps) = &mut self.stage {
            for step in steps.iter_mut() {
                match step {
                    StepStand::Pending | StepStand::AtBarrier => *step = StepStand::Skipped,
                    StepStand::Task(_) | StepStand::Done | StepStand::Skipped => {}
                }
            }
        }
    }
}

impl StepStand {
    /// Nothing more happens in it.
    pub fn is_over(&self) -> bool {
        match self {
            StepStand::Done | StepStand::Skipped => true,
            StepStand::Pending | StepStand::AtBarrier | StepStand::Task(_) => false,
        }
    }
}

/// The steps of a cluster that are barriers, and which.
pub(super) fn barrier_steps(plan: &PlannedCluster) -> impl Iterator<Item = (usize, &Name)> {
    plan.spec.execution.iter().enumerate().filter_map(|(number, step)| match &step.action {
        Action::Barrier(reference) => Some((number, &reference.name)),
        Action::Process(_) | Action::Workflow(_) | Action::Repeat(_) => None,
    })
}

/// The steps of a cluster as a member of this rank begins them.
fn first_stands(plan: &PlannedCluster, rank: usize) -> Vec<StepStand> {
    let stand = |action: &Action| match action {
        Action::Process(process) => match process.on {
            On::Count(count) if rank >= count as usize => StepStand::Done,
            On::Count(_) | On::All => StepStand::Pending,
        },
        Action::Barrier(_) => StepStand::Pending,
        // The plan refuses what this build does not have.
        Action::Workflow(_) | Action::Repeat(_) => StepStand::Skipped,
    };
    plan.spec.execution.iter().map(|step| stand(&step.action)).collect()
}

/// Numbers of the steps that may begin: pending, and everything before them done.
pub(super) fn startable(plan: &PlannedCluster, stands: &[StepStand]) -> Vec<usize> {
    let steps = &plan.spec.execution;
    let is_done = |name: &Name| {
        let number = steps.iter().position(|s| s.id == *name);
        number.is_none_or(|n| stands[n] == StepStand::Done)
    };
    let ready = |n: &usize| {
        stands[*n] == StepStand::Pending
            && steps[*n].after.iter().all(|before| is_done(&before.name))
    };
    (0..steps.len()).filter(ready).collect()
}

/// Preparation begins as hosts come, unless the description says when; nobody is late for what has no time.
fn at_once_unless_said(policy: BarrierPolicy) -> BarrierPolicy {
    if !policy.entry.is_said() {
        BarrierPolicy {
            entry: Entry { count: Some(1), ..policy.entry },
            late: Late::Admit,
            ..policy
        }
    } else {
        policy
    }
}
