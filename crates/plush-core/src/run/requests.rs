//! Programs on hosts ask something of the description's barriers: who may, which barrier is meant, how they hear of it.
//! Not who is let go: see `gathering`.

use super::gathering::{Rest, Told};
use super::member::Stage;
use super::together::WentOn;
use super::{Run, TaskRun};
use crate::Millis;
use crate::plan::HostId;
use plush_protocol::{BarrierAnswer, BarrierAsk, BarrierOutcome, Command};
use plush_spec::model::{Action, Step};

impl Run {
    /// A program asks. Only hosts that execute their steps take part.
    pub(super) fn barrier_asked(&mut self, host: HostId, ask: &BarrierAsk) {
        let named = self.plan.project.barriers.iter();
        let Some(number) = named.clone().position(|b| b.name.as_str() == ask.barrier.raw()) else {
            let known = named.map(|b| b.name.to_string()).collect();
            return self.answer_program(host, ask.request, BarrierOutcome::Unknown { known });
        };
        let executes = self.places[host.index()].is_some_and(|(cluster, place)| {
            matches!(self.clusters[cluster].members[place].stage, Stage::Executing(_))
        });
        if !executes || self.stopping.is_some() {
            let why = match executes {
                true => "the run stops".to_owned(),
                false => "this host does not take part any more".to_owned(),
            };
            return self.answer_program(host, ask.request, BarrierOutcome::Dropped { why });
        }
        let now = self.now;
        let told = self.barriers[number].ask(host, ask, now, &self.elapsed);
        self.pass_on(number, told);
        if self.barriers[number].has_free_seat(host)
            && let Some((cluster, _)) = self.places[host.index()]
        {
            let rest = self.rest_of(host, cluster, None);
            self.barriers[number].clear_seats(host, &rest, now);
        }
    }

    /// Passes on what a barrier wants done.
    pub(super) fn pass_on(&mut self, number: usize, told: Vec<Told>) {
        for told in told {
            match told {
                Told::StepReleased { host, generation, instant } => {
                    self.step_released(number, host, generation, instant);
                }
                Told::StepTooLate(host) => self.step_too_late(number, host),
                Told::Answer { host, request, outcome, instant } => {
                    let outcome = self.at_instant(host, outcome, (number, instant));
                    self.answer_program(host, request, outcome);
                }
            }
        }
    }

    /// A program that was let go at an instant has been told, at this time of its host's clock.
    pub(super) fn program_went_on(&mut self, host: HostId, request: u64, boot_us: u64) {
        let uncertainty_us = self.uncertainty_us(host);
        let Some(at_us) = self.hosts[host.index()].run_time_us(boot_us) else { return };
        for barrier in &mut self.barriers {
            barrier.went_on(host, request, WentOn { at_us, uncertainty_us });
        }
    }

    /// How well a host's clock is known.
    pub(super) fn uncertainty_us(&self, host: HostId) -> u64 {
        self.hosts[host.index()].clock.map_or(0, |clock| clock.uncertainty_us)
    }

    /// A task has come to its end: what its programs held at barriers is free.
    pub(super) fn leave_barriers_of_task(&mut self, host: HostId, cluster: usize, step: usize) {
        let ended =
            |t: &&TaskRun| t.host == host && t.cluster == cluster && t.step == step && t.is_over();
        let tasks: Vec<u32> = self.tasks.iter().filter(ended).map(|t| t.key.task).collect();
        let rest = self.rest_of(host, cluster, Some(step));
        let now = self.now;
        for number in 0..self.barriers.len() {
            for task in &tasks {
                let told = self.barriers[number].task_over(host, (*task, step), &rest, now);
                self.pass_on(number, told);
            }
        }
    }

    /// The host is out of all barriers.
    pub(super) fn leave_named_barriers(&mut self, host: HostId, why: &str) {
        let now = self.now;
        for number in 0..self.barriers.len() {
            let told = self.barriers[number].fail_host(host, why, now);
            self.pass_on(number, told);
        }
    }

    /// Programs that wait are told that nobody will be let go any more.
    pub(super) fn close_barriers(&mut self) {
        for number in 0..self.barriers.len() {
            let told = self.barriers[number].close("the run stops");
            self.pass_on(number, told);
        }
    }

    fn answer_program(&mut self, host: HostId, request: u64, outcome: BarrierOutcome) {
        self.hosts[host.index()].command(Command::Barrier(BarrierAnswer { request, outcome }));
    }

    fn at_instant(
        &self,
        host: HostId,
        outcome: BarrierOutcome,
        (number, instant): (usize, Option<Millis>),
    ) -> BarrierOutcome {
        match outcome {
            BarrierOutcome::LetGo { generation, why, waited_ms, at_us: None } => {
                let shown =
                    instant.map(|at| self.barriers[number].shown_instant(at, &self.elapsed));
                let at_us = shown.and_then(|at| self.hosts[host.index()].boot_time_us(at));
                BarrierOutcome::LetGo { generation, why, waited_ms, at_us }
            }
            other => other,
        }
    }

    /// What is still to come on the host, one of whose steps may just have come to its end.
    fn rest_of(&self, host: HostId, cluster: usize, ended: Option<usize>) -> Rest {
        let steps = &self.plan.clusters[cluster].spec.execution;
        let stage =
            self.places[host.index()].map(|(_, p)| &self.clusters[cluster].members[p].stage);
        let Some(Stage::Executing(stands)) = stage else {
            return Rest { followed: vec![false; steps.len()], others: Vec::new() };
        };
        let is_coming = |number: &usize| Some(*number) != ended && !stands[*number].is_over();
        let coming: Vec<usize> = (0..steps.len()).filter(is_coming).collect();
        let is_followed = |step: usize| {
            let after = followers(steps, step);
            let has_programs = |number: usize| !matches!(steps[number].action, Action::Barrier(_));
            coming.iter().any(|n| *n != step && after[*n] && has_programs(*n))
        };
        let task_of = |step: &usize| {
            let is_its = |t: &&TaskRun| t.host == host && t.cluster == cluster && t.step == *step;
            self.tasks.iter().find(is_its).map(|t| t.key.task)
        };
        Rest {
            followed: (0..steps.len()).map(is_followed).collect(),
            others: coming.iter().map(task_of).collect(),
        }
    }
}

/// Which steps come after this one, at once or later; itself among them.
fn followers(steps: &[Step], step: usize) -> Vec<bool> {
    let mut after = vec![false; steps.len()];
    after[step] = true;
    // Steps stand in any order; one pass per step reaches all that follow.
    for _ in 0..steps.len() {
        for (number, next) in steps.iter().enumerate() {
            let follows = next
                .after
                .iter()
                .any(|before| steps.iter().zip(&after).any(|(s, is)| *is && s.id == before.name));
            after[number] |= follows;
        }
    }
    after
}
