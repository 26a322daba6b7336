//! Who takes part: spares step in, members leave, clusters keep their minimum.
//! Not the links of hosts: see `host`.

use super::host::{Awaited, Ending};
use super::member::{Shortage, Stage, Vacancy};
use super::task::TaskRun;
use super::{Run, Stopping};
use crate::Millis;
use crate::barrier::Entrant;
use crate::plan::{HostId, Replace};
use plush_protocol::Tainted;

/// A host that was given up is looked for so often, unless its cluster says otherwise.
const RETURN_INTERVAL_MS: Millis = 30_000;

impl Run {
    pub(super) fn too_late(&mut self, host: HostId, barrier: &str) {
        self.leave(host, barrier, Tainted::new("came after the barrier had opened"), None);
    }

    /// Places whose host is out get another one, if there is one: at once before the start, and afterwards when it is
    /// time.
    pub(super) fn replace_lost_members(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        for number in 0..self.clusters.len() {
            for place in 0..self.clusters[number].members.len() {
                let member = &self.clusters[number].members[place];
                if !matches!(member.stage, Stage::Out(_)) {
                    continue;
                }
                let is_due = match member.vacancy {
                    Vacancy::From(at) => {
                        self.free_at(number, place, at).is_some_and(|at| at <= self.now)
                    }
                    Vacancy::Asked { .. } | Vacancy::Kept => false,
                    Vacancy::None => !self.has_begun(member.host),
                };
                if !is_due {
                    continue;
                }
                let was_vacant = member.vacancy != Vacancy::None;
                match self.next_candidate(number) {
                    Some(host) => self.take_over(number, place, host),
                    None if was_vacant => {
                        self.clusters[number].members[place].vacancy = Vacancy::Kept;
                    }
                    None => {}
                }
            }
        }
    }

    /// A task of the run was started on that host: its place is not given to another before recovery is asked for.
    pub(super) fn has_begun(&self, host: HostId) -> bool {
        self.tasks.iter().any(|t| t.host == host)
    }

    /// What is waited for while a host is silent.
    pub(super) fn awaited(&self, host: HostId) -> Awaited {
        let Some((cluster, _)) = self.places[host.index()] else { return Awaited::Itself };
        let is_replaced = self.has_candidate(cluster)
            && (!self.has_begun(host)
                || self.plan.clusters[cluster].kept.replace != Replace::Never);
        match is_replaced && self.stopping.is_none() {
            true => Awaited::Replacement,
            false => Awaited::Itself,
        }
    }

    pub(super) fn take_over(&mut self, cluster: usize, place: usize, spare: HostId) {
        let member = &mut self.clusters[cluster].members[place];
        let old = std::mem::replace(&mut member.host, spare);
        member.stage = Stage::Joining;
        member.vacancy = Vacancy::None;
        member.replacements += 1;
        self.hosts[spare.index()].replaces = Some((old, member.replacements));
        self.supersede(old);
        self.hosts[old.index()].former = self.places[old.index()].take();
        self.places[spare.index()] = Some((cluster, place));
        self.clusters[cluster].expect(spare);
        self.expect_at_barriers(cluster, spare);
        self.note_replacement(cluster, old, spare);
        self.tell_of_replacement(cluster, old, spare);
    }

    /// A cluster below its minimum stops the run, unless the description says otherwise.
    pub(super) fn check_numbers(&mut self) {
        for number in 0..self.clusters.len() {
            let (live, min) = (self.clusters[number].hoped_for(), self.plan.clusters[number].min);
            if live >= min {
                self.clusters[number].shortage = Shortage::None;
            } else if self.stopping.is_none() {
                self.react_to_shortage(number, live);
            }
        }
        if let Some(Stopping::TooFewHosts(why)) = &self.stopping
            && !self.problems.iter().any(|p| p.cause.raw() == why)
        {
            let cause = Tainted::new(why.clone());
            self.problem(None, "keep enough hosts", cause, None);
        }
    }

    /// A member is expected at the barriers that its cluster's steps name, and at those whose programs the description
    /// says are its cluster's. Only when it becomes one: what was expected of the others may be over. Steps begin with the
    /// first round, where whoever steps in for another is late; programs go on with the round that the others are in.
    pub(super) fn expect_at_barriers(&mut self, cluster: usize, host: HostId) {
        for number in 0..self.barriers.len() {
            let plan = &self.plan.clusters[cluster];
            if self.plan.comes_to(plan, number) {
                let round = self.plan.has_step_at(plan, number).then_some(1);
                self.barriers[number].expect(host, round);
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
        let host_run = &mut self.hosts[host.index()];
        if std::mem::take(&mut host_run.is_excused) {
            host_run.trouble = None;
        }
        host_run.trouble.get_or_insert(cause.clone());
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
        let absence = self.absence_of(host);
        let since = self.hosts[host.index()].lost_at().unwrap_or(self.now);
        // First, so that nothing there is told to stop: it may be back in time to go on.
        self.tasks.iter_mut().filter(|t| t.host == host).for_each(TaskRun::lose);
        self.leave(host, operation, cause, hint);
        let now = self.now;
        if !self.hosts[host.index()].was_reached() || operation != "connect" {
            self.hosts[host.index()].close(Ending::OutOfReach, now);
            return;
        }
        // What ran on may go on when the host is back.
        self.withdraw_starts(host, |task| task.is_over() && !task.ran_on());
        let look_at = now + self.return_interval_ms(host);
        self.hosts[host.index()].go_away(now, look_at);
        if let Some(absence) = absence {
            self.host_lost(absence, since);
        }
    }

    /// How often a host is looked for that was given up.
    pub(super) fn return_interval_ms(&self, host: HostId) -> Millis {
        let kept = self.plan.cluster_of(host).map(|c| &c.kept);
        kept.and_then(|k| k.service.reconnect_interval_ms).unwrap_or(RETURN_INTERVAL_MS)
    }
}
