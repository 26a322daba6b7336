//! Incidents, which are not failures: why a process was restarted, which probe failed with which
//! answer, which host replaced which. No decision depends on them.

use super::Run;
use crate::plan::HostId;
use plush_protocol::{Health, Incident, Tainted, TaskKey};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Maximum number of incidents kept; a service has new ones for years.
const KEPT: usize = 200;

/// The newest incidents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Incidents {
    kept: VecDeque<Incident>,
    /// Total number.
    count: u64,
}

impl Incidents {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn kept(&self) -> impl Iterator<Item = &Incident> {
        self.kept.iter()
    }

    /// Number of older ones that were dropped.
    pub fn forgotten(&self) -> u64 {
        self.count - self.kept.len() as u64
    }
}

impl Run {
    /// Total number of incidents so far.
    pub fn incidents(&self) -> u64 {
        self.incidents.count
    }

    /// The incidents after this many, as far as they are kept, with times of the decision clock.
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

    /// Records that a host replaced another.
    pub(super) fn note_replacement(&mut self, cluster: usize, lost: HostId, host: HostId) {
        let cluster = self.plan.clusters[cluster].name();
        let lost = self.plan.host_name(lost);
        let text = Tainted::new(format!("steps in for {lost} in cluster `{cluster}`"));
        self.incident(host, "replace", text);
    }

    /// Records that a replaced host has its place again.
    pub(super) fn note_return(&mut self, host: HostId, other: HostId) {
        let other = self.plan.host_name(other);
        let text =
            Tainted::new(format!("is back and has its place again, which {other} had taken"));
        self.incident(host, "replace", text);
    }

    /// Records that a task is restarted, once for each of its incarnations.
    pub(super) fn note_restart(&mut self, number: usize, ended: TaskKey, why: Tainted) {
        let task = &mut self.tasks[number];
        if ended.incarnation <= task.restart_noted {
            return;
        }
        task.restart_noted = ended.incarnation;
        let (host, text) = (task.host, Tainted::new(format!("{} and is started again", why.raw())));
        self.incident(host, "restart", text);
    }

    /// Records that the health of a task has changed.
    pub(super) fn note_health(&mut self, number: usize, before: Option<Health>) {
        let task = &self.tasks[number];
        if task.worst_health() != Some(Health::Unhealthy) || before == Some(Health::Unhealthy) {
            return;
        }
        let said = task.ill.as_ref().map_or("its probe says so", |ill| ill.raw());
        let text = Tainted::new(format!("`{}` is unhealthy: {said}", task.process));
        self.incident(task.host, "probe", text);
    }

    /// Whether another host has the host's place.
    pub(super) fn replaced_by(&self, host: HostId) -> Option<HostId> {
        let (cluster, place) = self.hosts[host.index()].former?;
        let other = self.clusters[cluster].members[place].host;
        (self.places[host.index()].is_none() && other != host).then_some(other)
    }
}
