//! Who takes part: spares step in, members leave, clusters keep their minimum.
//! Not the links of hosts: see `host`.

use super::host::Ending;
use super::member::Stage;
use super::task::TaskRun;
use super::{Run, Stopping};
use crate::barrier::Entrant;
use crate::plan::HostId;
use plush_protocol::Tainted;

impl Run {
    pub(super) fn too_late(&mut self, host: HostId, barrier: &str) {
        self.leave(host, barrier, Tainted::new("came after the barrier had opened"), None);
    }

    /// Places whose host is out before the start get a spare host, if one is there.
    pub(super) fn replace_lost_members(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        for number in 0..self.clusters.len() {
            for place in 0..self.clusters[number].members.len() {
                let member = &self.clusters[number].members[place];
                if !matches!(member.stage, Stage::Out(_)) || self.has_begun(member.host) {
                    continue;
                }
                if let Some(spare) = self.next_spare(number) {
                    self.take_over(number, place, spare);
                }
            }
        }
    }

    /// A task of the run was started on that host: its place is not given to another before recovery is asked for.
    pub(super) fn has_begun(&self, host: HostId) -> bool {
        self.tasks.iter().any(|t| t.host == host)
    }

    pub(super) fn next_spare(&mut self, cluster: usize) -> Option<HostId> {
        while let Some(spare) = self.clusters[cluster].spares.pop_front() {
            if self.hosts[spare.index()].trouble.is_none() {
                return Some(spare);
            }
        }
        None
    }

    pub(super) fn take_over(&mut self, cluster: usize, place: usize, spare: HostId) {
        let member = &mut self.clusters[cluster].members[place];
        let old = std::mem::replace(&mut member.host, spare);
        member.stage = Stage::Joining;
        self.places[old.index()] = None;
        self.places[spare.index()] = Some((cluster, place));
        self.clusters[cluster].expect(spare);
        self.expect_at_barriers();
        self.tell_of_replacement(cluster, old, spare);
    }

    /// A cluster below its minimum stops the run.
    pub(super) fn check_numbers(&mut self) {
        for (plan, cluster) in self.plan.clusters.iter().zip(&self.clusters) {
            let live = cluster.live();
            if live < plan.min && self.stopping.is_none() {
                let why = format!(
                    "cluster `{}` has {live} hosts left and needs {}",
                    plan.name(),
                    plan.min
                );
                self.stopping = Some(Stopping::TooFewHosts(why));
            }
        }
        if let Some(Stopping::TooFewHosts(why)) = &self.stopping
            && !self.problems.iter().any(|p| p.cause.raw() == why)
        {
            let cause = Tainted::new(why.clone());
            self.problem(None, "keep enough hosts", cause, None);
        }
    }

    /// Members are expected at the barriers that their cluster's steps name, and at those whose programs the
    /// description says are theirs.
    pub(super) fn expect_at_barriers(&mut self) {
        for number in 0..self.barriers.len() {
            for (planned, cluster) in self.plan.clusters.iter().zip(&self.clusters) {
                if !self.plan.comes_to(planned, number) {
                    continue;
                }
                for member in cluster.members.iter().filter(|m| m.may_come()) {
                    self.barriers[number].expect(member.host);
                }
            }
        }
    }

    /// The host does not take part any more: what runs there is ended, and its agent, if there is one, is cleaned up
    /// with the others. A member that was through stays so.
    pub(super) fn leave(
        &mut self,
        host: HostId,
        operation: &str,
        cause: Tainted,
        hint: Option<String>,
    ) {
        self.problem(Some(host), operation, cause.clone(), hint);
        if self.hosts[host.index()].trouble.is_none() {
            self.tell_of_lost_host(host, operation, &cause);
        }
        self.hosts[host.index()].trouble.get_or_insert(cause.clone());
        self.stop_tasks_on(host);
        let Some((cluster, place)) = self.places[host.index()] else { return };
        let cluster = &mut self.clusters[cluster];
        if !matches!(cluster.members[place].stage, Stage::Out(_) | Stage::Finished) {
            cluster.members[place].stage = Stage::Out(cause);
        }
        cluster.prepare.fail(Entrant(host.0), self.now);
        cluster.ready.fail(Entrant(host.0), self.now);
        self.leave_named_barriers(host, "its host is out");
    }

    /// The host is out of reach: what it was doing is lost.
    pub(super) fn give_up(
        &mut self,
        host: HostId,
        operation: &str,
        cause: Tainted,
        hint: Option<String>,
    ) {
        self.leave(host, operation, cause, hint);
        self.tasks.iter_mut().filter(|t| t.host == host).for_each(TaskRun::lose);
        let now = self.now;
        self.hosts[host.index()].close(Ending::OutOfReach, now);
    }
}
