//! What follows when a host or a process is lost: another host in the place, the lost one back, or the end of the run.
//! Not the verdict that it is lost, and not restarts: those are `host`'s and the agents'.

use super::host::{Ending, HostRun};
use super::member::{Member, Stage, StepStand, Vacancy};
use super::task::TaskRun;
use super::{Run, Stopping};
use crate::Millis;
use crate::barrier::Entrant;
use crate::plan::{HostId, PlannedCluster, Replace};
use plush_protocol::{Command, Problem, Tainted};
use plush_spec::model::{Action, OnReturn, Reaction};
use serde::{Deserialize, Serialize};

/// A lost host: it may come back and find that it is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Absence {
    host: HostId,
    cluster: usize,
    place: usize,
    /// How far it was.
    stands: Vec<StepStand>,
    /// Its seats at each barrier of the description on which somebody took part or was expected, and in which round next.
    seats: Vec<Vec<(Entrant, u32)>>,
}

/// Lost hosts that are remembered; who was lost before them is told to stop when it comes back.
const ABSENT_MAX: usize = 10_000;

impl Run {
    /// What will be missing with a host that executes: before it is given up.
    pub(super) fn absence_of(&self, host: HostId) -> Option<Absence> {
        let (cluster, place) = self.places[host.index()]?;
        let Stage::Executing(stands) = &self.clusters[cluster].members[place].stage else {
            return None;
        };
        let stands = stands.clone();
        let seats = self.barriers.iter().map(|barrier| barrier.taken_seats(host)).collect();
        Some(Absence { host, cluster, place, stands, seats })
    }

    /// A host was given up: what the description wants done about it.
    pub(super) fn host_lost(&mut self, absence: Absence, since: Millis) {
        let Absence { host, cluster, place, .. } = absence;
        if !matches!(self.clusters[cluster].members[place].stage, Stage::Out(_)) {
            return;
        }
        let kept = &self.plan.clusters[cluster].kept;
        let at = self.now.max(since.saturating_add(kept.if_replaced.after_ms()));
        let reaction = kept.on_failure.host.clone();
        if matches!(reaction, Some(Reaction::Call(_)) | Some(Reaction::Replace) | None)
            && self.absent.len() < ABSENT_MAX
        {
            self.absent.push(absence);
        }
        self.clusters[cluster].members[place].vacancy = Vacancy::Asked { at };
        match reaction {
            Some(Reaction::Call(hook)) if self.ask_about_host(host, &hook) => {}
            reaction => self.settle_host(host, reaction),
        }
    }

    /// What becomes of the place of a host that is lost, once that is decided.
    pub(super) fn settle_host(&mut self, host: HostId, reaction: Option<Reaction>) {
        let Some((cluster, place)) = self.places[host.index()] else { return };
        // It may be back, or its place another's.
        let Vacancy::Asked { at } = self.clusters[cluster].members[place].vacancy else { return };
        let by_itself = self.plan.clusters[cluster].kept.replace != Replace::Never;
        let free = match self.has_candidate(cluster) {
            true => Vacancy::From(at.max(self.now)),
            false => Vacancy::Kept,
        };
        self.clusters[cluster].members[place].vacancy = match reaction {
            Some(Reaction::Replace) => free,
            None | Some(Reaction::Call(_)) if by_itself => free,
            None | Some(Reaction::Call(_)) => Vacancy::Kept,
            Some(Reaction::Continue | Reaction::Drop | Reaction::Restart) => Vacancy::None,
            Some(Reaction::Fail) => {
                let why = format!("{} was lost", self.plan.host_name(host));
                self.stopping.get_or_insert(Stopping::HostLost(why));
                Vacancy::None
            }
        };
    }

    /// A process failed for good on a host that is there, and another host is to do its work.
    pub(super) fn replace_after_failure(&mut self, host: HostId, cause: Tainted) {
        self.leave(host, "run", cause, None);
        let Some((cluster, place)) = self.places[host.index()] else { return };
        if self.has_candidate(cluster) {
            self.clusters[cluster].members[place].vacancy = Vacancy::From(self.now);
        }
    }

    /// When a place that is vacant from then on is free: where there must not be two of it, not before its host has said
    /// that nothing of it runs, or its lease is surely out. `None` while neither can be said.
    pub(super) fn free_at(&self, cluster: usize, place: usize, from: Millis) -> Option<Millis> {
        let plan = &self.plan.clusters[cluster];
        let host = self.clusters[cluster].members[place].host;
        let is_quiet = || self.tasks.iter().filter(|t| t.host == host).all(TaskRun::is_quiet);
        match plan.kept.if_replaced {
            Replace::Never | Replace::After(_) => Some(from),
            Replace::AfterLease if is_quiet() => Some(from),
            Replace::AfterLease => {
                // Without a lease nothing is ever sure; the plan refuses that where it matters.
                let life = plan.kept.surely_out_ms(longest_grace_ms(plan))?;
                Some(from.max(self.hosts[host.index()].renewed_by()?.saturating_add(life)))
            }
        }
    }

    pub(super) fn has_candidate(&self, cluster: usize) -> bool {
        let fit = |h: &HostId| self.hosts[h.index()].trouble.is_none();
        let is_new = |name: &str| self.plan.hosts.iter().all(|h| h.name != name);
        self.clusters[cluster].spares.iter().any(fit)
            || self.plan.clusters[cluster].reserve.iter().any(|h| is_new(&h.name))
    }

    /// The next host that may step in: spares first, then hosts on offer that nobody has contacted yet.
    pub(super) fn next_candidate(&mut self, cluster: usize) -> Option<HostId> {
        while let Some(spare) = self.clusters[cluster].spares.pop_front() {
            if self.hosts[spare.index()].trouble.is_none() {
                return Some(spare);
            }
        }
        while !self.plan.clusters[cluster].reserve.is_empty() {
            let host = self.plan.clusters[cluster].reserve.remove(0);
            if self.plan.hosts.iter().any(|h| h.name == host.name) {
                continue;
            }
            let id = HostId(u32::try_from(self.hosts.len()).expect("hosts are counted in 32 bits"));
            self.plan.hosts.push(host);
            self.plan.clusters[cluster].spares.push(id);
            self.hosts.push(HostRun::new(id));
            self.places.push(None);
            return Some(id);
        }
        None
    }

    /// When a place that is free may be given away.
    pub(super) fn vacancy_at(&self) -> Option<Millis> {
        let clusters = self.clusters.iter().enumerate();
        let members = clusters.flat_map(|(c, run)| (0..).zip(&run.members).map(move |m| (c, m)));
        let at = |(cluster, (place, member)): (usize, (usize, &Member))| match member.vacancy {
            Vacancy::From(at) => self.free_at(cluster, place, at),
            Vacancy::None | Vacancy::Asked { .. } | Vacancy::Kept => None,
        };
        members.filter_map(at).filter(|at| *at > self.now).min()
    }

    /// What the host that held a place has done there does not count any more.
    pub(super) fn supersede(&mut self, host: HostId) {
        self.tasks.iter_mut().filter(|t| t.host == host).for_each(|t| t.is_superseded = true);
    }

    /// Hosts that were given up and are back: they take their places again, or are told to stop and are cleaned up.
    pub(super) fn receive_returned(&mut self) {
        for number in 0..self.hosts.len() {
            let host = &self.hosts[number];
            if host.ending != Ending::Away || !host.is_up() || !host.has_reported() {
                continue;
            }
            let id = host.id;
            let absence = self.absent.iter().position(|a| a.host == id);
            let absence = absence.map(|n| self.absent.swap_remove(n));
            match absence.filter(|a| self.is_wanted_back(a)) {
                Some(absence) if self.stopping.is_none() => self.take_back(absence),
                Some(_) | None => self.receive_unwanted(id),
            }
        }
    }

    /// A host is back that has no part in the work any more: what it still runs ends, and what it still has comes home
    /// before it is cleaned up.
    fn receive_unwanted(&mut self, host: HostId) {
        self.hosts[host.index()].ending = Ending::Returning;
        self.hosts[host.index()].since = self.now;
        let stand_in = self.stand_in_for(host);
        if let Some(how) =
            stand_in.map(|s| format!("it came back later; {s} had its place by then"))
        {
            self.hosts[host.index()].is_excused = true;
            self.mend_loss(host, &how);
        }
        self.tasks.iter_mut().filter(|t| t.host == host).for_each(TaskRun::await_lost_output);
        self.withdraw_starts(host, TaskRun::is_over);
        let mut stops = self.stops_of_unwanted(host);
        stops.retain(|stop| self.hosts[host.index()].unacknowledged().all(|asked| asked != stop));
        stops.into_iter().for_each(|stop| self.hosts[host.index()].command(stop));
    }

    /// What is to end on a host that is back and not wanted.
    pub(super) fn stops_of_unwanted(&self, host: HostId) -> Vec<Command> {
        let runs = self.tasks.iter().filter(|t| t.host == host && t.may_run_on());
        runs.map(|t| Command::Stop { key: t.key, why: "stop".into() }).collect()
    }

    /// Whether what runs on a host that is back is to go on in its place.
    fn is_wanted_back(&self, absence: &Absence) -> bool {
        let on_it = || self.tasks.iter().filter(|t| t.host == absence.host);
        // What it had not begun or was waiting for has been taken from it.
        let is_whole =
            on_it().all(|t| !t.was_starting()) && !absence.stands.contains(&StepStand::AtBarrier);
        if !is_whole {
            return false;
        }
        let member = &self.clusters[absence.cluster].members[absence.place];
        let ran_on = on_it().any(TaskRun::ran_on);
        if member.host == absence.host {
            return match member.vacancy {
                Vacancy::None => false,
                // Somebody else will serve there: only what runs is better.
                Vacancy::Asked { .. } | Vacancy::From(_) => ran_on,
                Vacancy::Kept => on_it().any(TaskRun::is_found),
            };
        }
        if !ran_on {
            return false;
        }
        let kept = &self.plan.clusters[absence.cluster].kept;
        if kept.replace == Replace::AfterLease {
            return false;
        }
        match kept.service.on_return {
            OnReturn::KeepOriginal => kept.service.class.stop_after_ms().is_none(),
            OnReturn::KeepNew => false,
            OnReturn::LongestRunning => {
                let since = |host| {
                    let here = self.tasks.iter().filter(move |t| t.host == host);
                    here.filter_map(|t| t.running_since).min().unwrap_or(Millis::MAX)
                };
                since(absence.host) < since(member.host)
            }
        }
    }

    fn take_back(&mut self, absence: Absence) {
        let Absence { host, cluster, place, stands, seats } = absence;
        let member = &mut self.clusters[cluster].members[place];
        let new = std::mem::replace(&mut member.host, host);
        member.stage = Stage::Executing(stands);
        member.vacancy = Vacancy::None;
        if new != host {
            self.retire(new);
        }
        self.places[host.index()] = Some((cluster, place));
        if new != host {
            self.note_return(host, new);
        }
        for (barrier, seats) in self.barriers.iter_mut().zip(&seats) {
            barrier.expect_again(seats);
        }
        self.mend_loss(host, "it came back later and went on");
        self.tasks.iter_mut().filter(|t| t.host == host).for_each(TaskRun::find_again);
        let host_run = &mut self.hosts[host.index()];
        host_run.ending = Ending::Serving;
        host_run.trouble = None;
        // What ended meanwhile has ended now; a program that was being asked about a failure there is asked anew.
        for number in 0..self.tasks.len() {
            let task = &self.tasks[number];
            if task.host == host && task.is_over() && self.is_unfinished(number) {
                let failed = task.success() != Some(true);
                self.step_over(number, failed);
            }
        }
    }

    /// The host that now has the place of this one.
    fn stand_in_for(&self, host: HostId) -> Option<&str> {
        let (cluster, place) = self.hosts[host.index()].former?;
        let holder = self.clusters[cluster].members[place].host;
        (holder != host).then(|| self.plan.host_name(holder))
    }

    /// Records that the host is back: its loss is no longer a failure.
    fn mend_loss(&mut self, host: HostId, how: &str) {
        let name = self.plan.host_name(host);
        let is_loss =
            |p: &&mut Problem| p.host.as_deref() == Some(name) && p.operation == "connect";
        for loss in self.problems.iter_mut().filter(is_loss) {
            loss.mended.get_or_insert_with(|| how.to_owned());
            loss.hint = None;
        }
    }

    /// A host that has stepped in is not wanted any more: the one before it is back.
    fn retire(&mut self, host: HostId) {
        self.supersede(host);
        self.tasks.iter_mut().filter(|t| t.host == host).for_each(TaskRun::lose);
        self.hosts[host.index()].former = self.places[host.index()].take();
        let why = Tainted::new("the host before it is back");
        self.hosts[host.index()].trouble.get_or_insert(why);
        self.hosts[host.index()].is_excused = true;
        let (entrant, now) = (Entrant(host.0), self.now);
        for cluster in &mut self.clusters {
            cluster.prepare.fail(entrant, now);
            cluster.ready.fail(entrant, now);
        }
        self.leave_named_barriers(host, "the host before it is back");
        if self.hosts[host.index()].was_reached() {
            self.withdraw_starts(host, TaskRun::is_over);
            self.hosts[host.index()].go_away(now, now + 1);
        } else {
            self.hosts[host.index()].close(Ending::OutOfReach, now);
        }
    }

    /// Starts of such tasks that no agent has acknowledged become stops: a host that is back must not begin what is another's
    /// now.
    pub(super) fn withdraw_starts(&mut self, host: HostId, of: impl Fn(&TaskRun) -> bool) {
        let tasks = &self.tasks;
        let is_withdrawn = |task: u32| tasks.get(task as usize).is_none_or(&of);
        self.hosts[host.index()].change_commands(|command| match command {
            Command::Start { key, .. } if is_withdrawn(key.task) => {
                Some(Command::Stop { key: *key, why: "stop".into() })
            }
            _ => None,
        });
    }

    pub(super) fn drop_cluster(&mut self, cluster: usize) {
        for place in 0..self.clusters[cluster].members.len() {
            let member = &mut self.clusters[cluster].members[place];
            member.vacancy = Vacancy::None;
            if matches!(member.stage, Stage::Out(_) | Stage::Finished) {
                continue;
            }
            let (host, name) = (member.host, self.plan.clusters[cluster].name());
            let why = Tainted::new(format!("cluster `{name}` goes on without hosts"));
            self.leave(host, "keep enough hosts", why, None);
        }
    }
}

fn longest_grace_ms(cluster: &PlannedCluster) -> u64 {
    let graces = cluster.spec.execution.iter().filter_map(|step| match &step.action {
        Action::Process(process) => Some(process.stop.grace_ms),
        Action::Barrier(_) | Action::Workflow(_) | Action::Repeat(_) => None,
    });
    graces.max().unwrap_or(0)
}
