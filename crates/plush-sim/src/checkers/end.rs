//! What must hold when hosts are left and when all is over.

use super::Breach;
use crate::faults::FaultKind;
use crate::world::World;
use plush_protocol::{HostState, Outcome, StreamName, TaskKey};
use plush_spec::model::Action;

impl World {
    /// C1, C2: a host that the run calls done has no process and no file of the run.
    pub(crate) fn check_left_hosts(&mut self) {
        let now = self.now;
        for number in self.checks.done.clone() {
            let host = &self.hosts[number];
            let live = host.live().count() + host.strays as usize;
            let clean = host.disk.is_clean();
            self.checks
                .demand(live == 0, "C1", now, || format!("{live} processes on host {number}"));
            self.checks.demand(clean, "C2", now, || format!("files on host {number}"));
        }
    }

    /// Liveness: the run is not over though nothing is broken any more.
    pub(crate) fn stuck(&self) -> Breach {
        let view = self.controller.run.view();
        let busy =
            |s: HostState| !matches!(s, HostState::Done | HostState::Failed | HostState::Spare);
        let hosts = view.hosts.iter().filter(|h| busy(h.state));
        let hosts: Vec<String> =
            hosts.take(5).map(|h| format!("{} {:?} {}", h.name, h.state, h.detail.raw())).collect();
        let tasks = view.tasks.iter().filter(|t| t.success.is_none()).take(5);
        let tasks: Vec<String> =
            tasks.map(|t| format!("{} {} on {}", t.process, t.state, t.host)).collect();
        let due = self.controller.stores.iter().filter(|(_, s)| !s.told).take(5);
        let due: Vec<String> = due.map(|(place, s)| format!("{place:?} {s:?}")).collect();
        Breach {
            invariant: "progress",
            what: format!(
                "phase {:?}, stopping {:?}, hosts {hosts:?}, tasks {tasks:?}, output {due:?}, barriers {:?}",
                view.phase, view.stopping, view.barriers
            ),
            at: self.now,
        }
    }

    /// The run is over and hours have passed.
    pub(crate) fn check_end(&mut self) -> Result<(), Breach> {
        if self.finished_at.is_none() {
            let stuck = self.stuck();
            return Err(Breach { invariant: "progress (nothing happens any more)", ..stuck });
        }
        if self.checks.unwatched {
            return Ok(());
        }
        self.check_hosts_at_end();
        self.check_tasks_at_end();
        self.check_sums_at_end();
        self.check_served_at_end();
        self.check_output_at_end();
        self.check_replay_at_end();
        self.checks.breach.take().map_or(Ok(()), Err)
    }

    fn check_hosts_at_end(&mut self) {
        let view = self.controller.run.view();
        let now = self.now;
        let troubled = |number: usize, name: &str| {
            let mut about = view.problems.iter().filter(|p| p.host.as_deref() == Some(name));
            about.any(|p| p.operation == "connect").then(|| format!("{number} {name}"))
        };
        let visited = self.hosts.iter().take(view.hosts.len()).enumerate();
        for (number, host) in visited.filter(|(_, h)| h.is_on()) {
            let name = &view.hosts[number].name;
            // What has neither agent nor keeper is beyond what is promised.
            let watched = host.processes.values().all(|p| p.kept) || host.agent.is_some();
            let live = host.live().count();
            self.checks.demand(live == 0 || !watched, "C1 (at the end)", now, || {
                format!("{live} processes on {name}")
            });
            let clean = host.disk.is_clean();
            let done = view.hosts[number].state == HostState::Done;
            self.checks
                .demand(clean || !done, "C2 (at the end)", now, || format!("files on {name}"));
            let gone = clean && !host.disk.directory && host.agent.is_none();
            self.checks.demand(gone || host.harmed, "C2 (at the end)", now, || {
                format!("files or an agent on {name}, to which nothing was done")
            });
            let blamed = troubled(number, name);
            self.checks.demand(blamed.is_none() || host.harmed, "blameless", now, || {
                format!("{blamed:?} was given up and nothing was done to it")
            });
        }
    }

    /// P3: everything that was started has an end, and nothing ran that the run does not know.
    fn check_tasks_at_end(&mut self) {
        let view = self.controller.run.view();
        let open = view.tasks.iter().find(|t| t.success.is_none());
        self.checks.demand(open.is_none(), "P3", self.now, || format!("{open:?} has no end"));
        let known = |key: &TaskKey| (key.task as usize) < view.tasks.len();
        let stranger = self.checks.executions.keys().find(|key| !known(key)).copied();
        self.checks.demand(stranger.is_none(), "P3", self.now, || {
            format!("{stranger:?} ran and the run does not know of it")
        });
    }

    /// The sums are consistent: each wanted place answered or is named as missing, and a run with
    /// outcome complete has no gap.
    fn check_sums_at_end(&mut self) {
        let (view, now) = (self.controller.run.view(), self.now);
        let Some(sums) = view.sums else {
            return self.checks.demand(false, "sums", now, || "a run is over without sums".into());
        };
        for cluster in &sums.clusters {
            let named = cluster.missing.len() + cluster.without_host as usize;
            let is_kept = cluster.wanted as usize == cluster.answered as usize + named;
            let is_done = |name: &String| {
                let named = view.hosts.iter().find(|host| host.name == *name);
                named.is_none_or(|host| host.state == HostState::Done)
            };
            let wrong = cluster.missing.iter().find(|name| is_done(name));
            self.checks.demand(is_kept && wrong.is_none(), "sums", now, || {
                format!("{cluster:?}, {wrong:?}")
            });
        }
        let is_whole = sums.is_whole() && sums.tasks_failed == 0;
        let is_complete = view.outcome == Some(Outcome::Complete);
        self.checks.demand(is_whole || !is_complete, "sums", now, || format!("complete: {sums:?}"));
    }

    /// O1, O2: every byte of a task that ended on a host that was not harmed is here.
    fn check_output_at_end(&mut self) {
        let now = self.now;
        let view = self.controller.run.view();
        for task in view.tasks.iter().filter(|t| t.state == "exited") {
            let key = plush_protocol::TaskKey { task: task.task, incarnation: task.incarnation };
            let host = view.hosts.iter().position(|h| h.name == task.host);
            if host.is_none_or(|number| self.hosts[number].harmed) {
                continue;
            }
            for stream in [StreamName::Out, StreamName::Err] {
                let store = self.controller.stores.get(&(key, stream)).cloned().unwrap_or_default();
                let whole = Some(store.durable) == store.total && store.gap_bytes == 0;
                self.checks.demand(whole, "O2", now, || format!("{key:?} {stream:?}: {store:?}"));
            }
        }
    }

    /// J2, J6: the whole journal once more, and what is left of it when it is compacted.
    fn check_replay_at_end(&mut self) {
        let controller = &self.controller;
        let (journal, plan) = (&controller.journal, &controller.plan);
        match journal.replay(plan).and_then(|run| Ok((run, journal.resume(plan, 0)?))) {
            Ok((run, resumed)) => {
                self.checks.replayed(self.now, journal, &controller.run, &run);
                self.checks.compacted(self.now, &run, &resumed);
            }
            Err(record) => self.checks.replay_differs(self.now, record),
        }
        let harmless = [
            FaultKind::Loss,
            FaultKind::Stale,
            FaultKind::Collect,
            FaultKind::Escape,
            FaultKind::Flood,
            FaultKind::ClockJump,
        ];
        if self.faults.kinds().all(|kind| harmless.contains(&kind)) {
            self.check_ranks_at_end();
        }
    }

    /// Where nothing went wrong those who began bear the ranks from 0 on without a hole.
    fn check_ranks_at_end(&mut self) {
        let mut ranks: std::collections::BTreeMap<&str, Vec<u64>> = Default::default();
        let first: Vec<String> = self.first_processes().collect();
        for (seat, rank) in self.checks.ranks.keys() {
            if first.contains(seat) {
                ranks.entry(seat).or_default().push(rank.parse().unwrap_or(u64::MAX));
            }
        }
        let mut holes = Vec::new();
        for (seat, mut ranks) in ranks {
            ranks.sort_unstable();
            if ranks.iter().zip(0..).any(|(rank, n)| *rank != n) {
                holes.push(format!("{seat}: {ranks:?}"));
            }
        }
        self.checks.demand(holes.is_empty(), "ranks (no holes)", self.now, || holes.join("; "));
    }

    /// The processes that every member of a cluster begins with, with their clusters.
    fn first_processes(&self) -> impl Iterator<Item = String> {
        let clusters = self.controller.plan.clusters.iter();
        clusters.flat_map(|cluster| {
            let first = cluster.spec.execution.iter().filter(|step| step.after.is_empty());
            first.filter_map(|step| match &step.action {
                Action::Process(process) => Some(format!("{}/{}", cluster.name(), process.name)),
                Action::Barrier(_) | Action::Workflow(_) | Action::Repeat(_) => None,
            })
        })
    }
}
