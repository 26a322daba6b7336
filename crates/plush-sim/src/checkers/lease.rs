//! What must hold for leases, epochs and ends by force.

use super::{Checks, stands_still};
use crate::world::{Host, ProcessStage};
use plush_core::Millis;
use plush_core::plan::HostId;

/// What a keeper may need for its last blow.
const BLOW_MS: Millis = 2_000;

impl Checks {
    /// L1, P10, seen from outside: nothing runs after its lease and its grace, and nothing after it was killed.
    pub fn audited(&mut self, at: Millis, id: HostId, host: &Host) {
        if !host.is_on() {
            return;
        }
        let clock = host.clock(at);
        let slack = BLOW_MS + 100 * host.slowness;
        let running = host.processes.iter().filter(|(_, p)| p.stage == ProcessStage::Running);
        let watched = running.filter(|(_, p)| p.kept || host.agent.is_some());
        let watched = watched.filter(|(_, p)| !stands_still(at, host, p));
        for (key, process) in watched {
            let late = host.lease_until.is_some_and(|t| clock > t + process.grace_ms + slack);
            self.demand(!late, "L1", at, || {
                format!(
                    "{key:?} runs on {id:?} at {clock}, its lease was out at {:?}",
                    host.lease_until
                )
            });
            let killed = process.killed_at.is_some_and(|t| clock > t + slack);
            self.demand(!killed, "P10", at, || {
                format!(
                    "{key:?} runs on {id:?} at {clock}, it was to be killed at {:?}",
                    process.killed_at
                )
            });
        }
    }

    /// F11, L1: a lease that was out is not renewed as long as anything runs under it that nobody has stopped.
    pub fn renewed(&mut self, at: Millis, id: HostId, host: &Host, before: Option<Millis>) {
        let clock = host.clock(at);
        let out = before.is_some_and(|until| clock >= until);
        let running = host.processes.iter().filter(|(_, p)| p.stage == ProcessStage::Running);
        let free = running.filter(|(_, p)| p.ending.why().is_none()).count();
        self.demand(!out || free == 0, "L1 (renewed)", at, || {
            format!(
                "{id:?}: {free} tasks go on under a lease that was out at {:?}, at {clock}",
                host.lease_until
            )
        });
    }

    /// L2: a lease ends a task, at this time of the host.
    pub fn lease_out(&mut self, at: Millis, id: HostId, until: Option<Millis>, clock: Millis) {
        self.demand(until.is_some_and(|until| clock >= until), "L2", at, || {
            format!("{id:?}: a lease until {until:?} ends a task at {clock}")
        });
    }

    /// E1: an agent's epoch is saved.
    pub fn epoch_saved(&mut self, at: Millis, host: HostId, before: u64, now: u64) {
        self.demand(now > before, "E1", at, || format!("{host:?}: {before} then {now}"));
    }

    /// E1, E2: an agent obeys a controller of this epoch; the other is what a successor of the agent would find.
    pub fn greeted(&mut self, at: Millis, host: HostId, epoch: u64, saved: u64) {
        let newest = self.obeyed.entry(host).or_default();
        *newest = epoch.max(*newest);
        let newest = *newest;
        self.demand(epoch >= newest, "E2", at, || {
            format!("{host:?} obeys epoch {epoch} after {newest}")
        });
        self.demand(saved >= epoch, "E1", at, || {
            format!("{host:?} obeys epoch {epoch} and would come back with {saved}")
        });
    }

    /// A controller of this epoch is told that another has taken over.
    pub fn fenced(&mut self, epoch: u64) {
        self.fenced.insert(epoch);
    }

    /// E5: a controller that was told so does nothing more.
    pub fn old_controller_acts(&mut self, at: Millis, epoch: u64) {
        let fenced = self.fenced.contains(&epoch);
        self.demand(!fenced, "E5", at, || {
            format!("the controller of epoch {epoch} goes on after it was told of its successor")
        });
    }

    /// Nothing is left on a host from which an agent could know anything.
    pub fn wiped(&mut self, host: HostId) {
        self.obeyed.remove(&host);
        self.records_gone(host);
    }
}
