//! When faults strike, and what each does to the world.

use super::{Fault, FaultKind, HEALED_AT_MS, STRIKES_UNTIL_MS};
use crate::random::Chance;
use crate::world::{CrashPoint, Happening, Refusal, World};
use plush_core::Millis;
use plush_core::plan::HostId;
use plush_core::run::Event;

impl World {
    /// Draws what is going to go wrong.
    pub(crate) fn schedule_faults(&mut self) {
        let mut chance = self.chance.branch();
        let hosts = self.hosts.len() as u64;
        for kind in FaultKind::ALL {
            // Drawn for each kind, so that leaving one out does not move the others.
            let mut own = chance.branch();
            if !self.faults.has(kind) {
                continue;
            }
            self.healed_at = HEALED_AT_MS;
            let most = match kind {
                FaultKind::Stop | FaultKind::Signal => 1,
                _ => (hosts / 10).max(2),
            };
            for _ in 0..own.between(1, most) {
                let host = HostId(own.between(0, hosts - 1) as u32);
                let at = own.between(0, STRIKES_UNTIL_MS);
                self.schedule(kind, host, at, &mut own);
            }
        }
        if self.healed_at > 0 {
            self.queue.add(self.healed_at, Happening::Fault(Fault::HealAll));
        }
    }

    fn schedule(&mut self, kind: FaultKind, host: HostId, at: Millis, own: &mut Chance) {
        let mut add = |at, fault| self.queue.add(at, Happening::Fault(fault));
        let later = at + own.between(100, 20_000);
        match kind {
            FaultKind::Reboot | FaultKind::Wipe => {
                add(at, Fault::PowerOff(host));
                add(later, Fault::PowerOn { host, wiped: kind == FaultKind::Wipe });
            }
            FaultKind::PowerOff => add(at, Fault::PowerOff(host)),
            FaultKind::AgentCrash => add(at, Fault::KillAgent(host)),
            FaultKind::KeeperCrash => add(at, Fault::KillKeeper(host, own.draw())),
            FaultKind::Cut => {
                add(at, Fault::Cut(host));
                add(later, Fault::Cut(host));
            }
            FaultKind::Partition => {
                let (deaf, mute) = *own.pick(&[(true, true), (true, false), (false, true)]);
                add(at, Fault::Part { host, deaf, mute });
                add(later, Fault::Join(host));
            }
            FaultKind::Slow => add(at / 4, Fault::Slow(host)),
            FaultKind::Pause => add(at, Fault::Pause(host, own.between(100, 15_000))),
            FaultKind::ControllerCrash => {
                let (ahead, point) = (own.between(0, 30) as usize, own.between(0, 2) as usize);
                add(at / 2, Fault::CrashController { ahead, point });
            }
            FaultKind::Stop => add(at, Fault::Stop),
            FaultKind::Signal => add(at / 2, Fault::Signal),
            FaultKind::Refuse => {
                let refusal = match own.percent(50) {
                    true => Refusal::ForGood,
                    false => Refusal::Times(own.between(1, 5) as u32),
                };
                self.hosts[host.index()].refusal = Some(refusal);
                self.hosts[host.index()].harmed = true;
            }
            FaultKind::PrepareFails => self.hosts[host.index()].prepare_fails = true,
            FaultKind::ExecFails => self.hosts[host.index()].exec_fails = true,
            FaultKind::Loss | FaultKind::Stale | FaultKind::Collect => {}
        }
    }

    pub(crate) fn apply(&mut self, fault: Fault) {
        if self.now >= HEALED_AT_MS && !matches!(fault, Fault::HealAll) {
            return;
        }
        match fault {
            Fault::PowerOff(host) => self.power_off(host),
            Fault::PowerOn { host, wiped } => self.power_on(host, wiped),
            Fault::KillAgent(host) => self.kill_agent(host),
            Fault::KillKeeper(host, lot) => self.kill_keeper(host, lot),
            Fault::Cut(host) => {
                self.hosts[host.index()].harmed = true;
                self.open_links_of(host).into_iter().for_each(|link| self.cut(link));
            }
            Fault::Part { host, deaf, mute } => {
                let there = &mut self.hosts[host.index()];
                (there.deaf, there.mute, there.harmed) = (deaf, mute, true);
            }
            Fault::Join(host) => self.join(host),
            Fault::Slow(host) => {
                let there = &mut self.hosts[host.index()];
                (there.slowness, there.harmed) = (10, true);
            }
            Fault::Pause(host, ms) => {
                let there = &mut self.hosts[host.index()];
                (there.paused_until, there.harmed) = (self.now + ms, true);
            }
            Fault::CrashController { ahead, point } => {
                let record = self.controller.journal.records.len() + ahead;
                self.controller.crash = Some((record, CrashPoint::ALL[point]));
            }
            Fault::Stop if self.controller.alive && self.finished_at.is_none() => {
                self.event(Event::StopAsked { why: "an operator".into() });
            }
            Fault::Signal if self.controller.alive && self.finished_at.is_none() => {
                self.event(Event::SignalAsked { signal: 10 });
            }
            Fault::Stop | Fault::Signal => {}
            Fault::HealAll => self.heal_all(),
        }
    }

    fn power_off(&mut self, host: HostId) {
        for link in self.open_links_of(host) {
            // Nobody says goodbye: the controller hears nothing more, or a reset.
            self.cut(link);
        }
        self.hosts[host.index()].power_off();
    }

    fn power_on(&mut self, host: HostId, wiped: bool) {
        let there = &mut self.hosts[host.index()];
        if there.is_on() {
            return;
        }
        there.power_on(self.now);
        if wiped {
            there.disk = Default::default();
        }
    }

    fn join(&mut self, host: HostId) {
        let there = &mut self.hosts[host.index()];
        (there.deaf, there.mute) = (false, false);
        self.release_held(host);
    }

    fn heal_all(&mut self) {
        self.controller.crash = None;
        for number in 0..self.hosts.len() as u32 {
            let host = HostId(number);
            self.join(host);
            let there = &mut self.hosts[host.index()];
            there.slowness = 1;
            there.paused_until = self.now;
        }
    }
}
