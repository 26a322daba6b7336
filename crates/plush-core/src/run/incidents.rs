//! What people are told that is no failure: why a process was started again, which probe failed with which answer, which
//! host stepped in for which. Nothing is decided from it.

use super::Run;
use crate::plan::HostId;
use plush_protocol::{Health, Incident, Tainted, TaskKey};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Incidents that are kept; a service meets new ones for years.
const KEPT: usize = 200;

/// The newest incidents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Incidents {
    kept: VecDeque<Incident>,
    /// All that there were.
    count: u64,
}

impl Incidents {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn kept(&self) -> impl Iterator<Item = &Incident> {
        self.kept.iter()
    }

    /// Older ones, which are not kept.
    pub fn forgotten(&self) -> u64 {
        self.count - self.kept.len() as u64
    }
}

impl Run {
    /// How many incidents there were so far.
    pub fn incidents(&self) -> u64 {
        self.incidents.count
    }

    /// Those that came after so many, as far as they are kept; their times are those of the decisions' clock.
    pub fn incidents_after(&self, count: u64) -> impl Iterator<Item = &Incident> {
        let new = usize::try_from(self.incidents.count - count).unwrap_or(usize::MAX);
        self.incidents.kept.iter().skip(self.incidents.kept.len().saturating_sub(new))
    }

    fn incident(&mut self, host: HostId, operation: &str, text: Tainted) {
        if self.incidents.kept.len() >= KEPT {
            self.incidents.kept.pop_front();
        }
        self.incidents.count += 1;
        self.incidents.kept.push_back(Incident {
            at_ms: self.now,
            host: self.plan.host_name(host).to_owned(),
            operation: operation.to_owned(),
            text,
        });
    }

    /// A host has stepped in for another.
    pub(super) fn note_replacement(&mut self, cluster: usize, lost: HostId, host: HostId) {
        let cluster = self.plan.clusters[cluster].name();
        let lost = self.plan.host_name(lost);
        let text = Tainted::new(format!("steps in for {lost} in cluster `{cluster}`"));
        self.incident(host, "replace", text);
    }

    /// A host that was replaced has its place again.
    pub(super) fn note_return(&mut self, host: HostId, other: HostId) {
        let other = self.plan.host_name(other);
        let text =
            Tainted::new(format!("is back and has its place again, which {other} had taken"));
        self.incident(host, "replace", text);
    }

    /// A task is started again after an end; said once for each of its incarnations.
    pub(super) fn note_restart(&mut self, number: usize, ended: TaskKey, why: Tainted) {
        let task = &mut self.tasks[number];
        if ended.incarnation <= task.restart_noted {
            return;
        }
        task.restart_noted = ended.incarnation;
        let (host, text) = (task.host, Tainted::new(format!("{} and is started again", why.raw())));
        self.incident(host, "restart", text);
    }

    /// What the probes of a task say has changed, from what it was.
    pub(super) fn note_health(&mut self, number: usize, before: Option<Health>) {
        let task = &self.tasks[number];
        if task.worst_health() != Some(Health::Unhealthy) || before == Some(Health::Unhealthy) {
            return;
        }
        let said = task.ill.as_ref().map_or("its probe says so", |ill| ill.raw());
        let text = Tainted::new(format!("`{}` is unhealthy: {said}", task.process));
        self.incident(task.host, "probe", text);
    }

    /// The host's place is another's.
    pub(super) fn replaced_by(&self, host: HostId) -> Option<HostId> {
        let (cluster, place) = self.hosts[host.index()].former?;
        let other = self.clusters[cluster].members[place].host;
        (self.places[host.index()].is_none() && other != host).then_some(other)
    }
}
