//! Probes that are asked from where the controller is: of which tasks they are asked now, and what follows from a verdict.
//! Not when each is asked and what answers count, which is `health`, and not the asking.
//!
//! Only changes of a task's health are events: that nothing changed need not be remembered.

use super::event::Watch;
use super::render;
use super::task::Stand;
use super::{Effect, Run};
use crate::plan::{HostId, bare_name, processes};
use plush_protocol::{Command, Health, Tainted, TaskKey, Unhealthy};
use plush_spec::model::{Action, HookPlace, Process};

impl Run {
    /// What probes from here come to has changed. A verdict on an incarnation that is not asked about any more is none.
    pub(super) fn probed(
        &mut self,
        host: HostId,
        key: TaskKey,
        health: Health,
        why: Option<Tainted>,
    ) {
        let Some(task) = self.tasks.get_mut(key.task as usize) else { return };
        if task.host != host || task.watched != Some(key) {
            return;
        }
        let before = task.worst_health();
        task.health_from_here = Some(health);
        task.ill = why.or(task.ill.take());
        let ends = health == Health::Unhealthy && !task.stop_sent;
        let (cluster, step) = (task.cluster, task.step);
        self.note_health(key.task as usize, before);
        let Some(process) = self.process_of(cluster, step) else { return };
        if ends && render::unhealthy(&self.plan.clusters[cluster], process) == Unhealthy::End {
            self.hosts[host.index()].command(Command::Fail { key });
        }
    }

    /// Has probes asked of tasks that run on hosts that are heard, and of no others: while a host is silent, or our own
    /// side may be to blame, a wrong answer says nothing. Whoever is heard again is asked from the beginning.
    pub(super) fn decide_probing(&mut self, effects: &mut Vec<Effect>) {
        let probed = |c: &crate::plan::PlannedCluster| processes(&c.spec).any(is_probed_from_here);
        if !self.plan.clusters.iter().any(probed) {
            return;
        }
        let may_judge = self.may_judge() && self.stopping.is_none();
        for number in 0..self.tasks.len() {
            let (host, key) = (self.tasks[number].host, self.tasks[number].key);
            let wanted = (may_judge && self.is_to_be_probed(number)).then_some(key);
            let watched = self.tasks[number].watched;
            if wanted == watched {
                continue;
            }
            self.tasks[number].watched = wanted;
            effects.extend(watched.map(|key| Effect::Unwatch { host, key }));
            if let Some(watch) = wanted.and_then(|_| self.watch_of(number)) {
                self.tasks[number].health_from_here.get_or_insert(Health::Unknown);
                effects.push(Effect::Watch { host, key, watch: Box::new(watch) });
            }
        }
    }

    fn is_to_be_probed(&self, number: usize) -> bool {
        let task = &self.tasks[number];
        let process = self.process_of(task.cluster, task.step);
        let runs = task.stand == Stand::Running && !task.stop_sent;
        runs && self.hosts[task.host.index()].is_heard() && process.is_some_and(is_probed_from_here)
    }

    /// What is asked from here about a task; nothing, where its host has no place any more.
    fn watch_of(&self, number: usize) -> Option<Watch> {
        let task = &self.tasks[number];
        let process = self.process_of(task.cluster, task.step)?;
        let (cluster, place) = self.places[task.host.index()]?;
        let peers = self.peers();
        let seat = self.seat(cluster, place, &peers);
        // What cannot be rendered was found when the task itself was.
        let probes = seat.probes_from_here(process).ok()?;
        Some(Watch {
            probes,
            name: bare_name(&seat.host.name).to_owned(),
            environment: seat.values(process),
        })
    }

    fn process_of(&self, cluster: usize, step: usize) -> Option<&Process> {
        match &self.plan.clusters[cluster].spec.execution[step].action {
            Action::Process(process) => Some(process),
            Action::Workflow(_) | Action::Repeat(_) | Action::Barrier(_) => None,
        }
    }
}

fn is_probed_from_here(process: &Process) -> bool {
    process.probes.iter().any(|probe| probe.from == HookPlace::Controller)
}
