//! When faults strike, and what each does to the world.

use super::{Fault, FaultKind, STRIKES_UNTIL_MS, Strike};
use crate::Scene;
use crate::random::Chance;
use crate::world::{CrashPoint, Happening, Hole, Refusal, World};
use plush_core::Millis;
use plush_core::plan::HostId;
use plush_core::run::Event;

/// Everything that can be healed is by then.
const HEALED_AT_MS: Millis = 60_000;
/// The same where a lease has to run out and a place to be given away before.
const HEALED_LATE_AT_MS: Millis = 150_000;

impl World {
    /// Draws what is going to go wrong. `only` leaves out every strike whose number is not there.
    pub(crate) fn schedule_faults(&mut self, scene: Scene, only: Option<&[u32]>) {
        let mut chance = self.chance.branch();
        for kind in FaultKind::ALL {
            // Drawn for each kind, so that leaving one out does not move the others.
            let mut own = chance.branch();
            if self.faults.has(kind) {
                self.healed_at = match scene {
                    Scene::Exclusive => HEALED_LATE_AT_MS,
                    _ => HEALED_AT_MS,
                };
                self.strikes.extend(strikes(kind, self.hosts.len() as u64, &mut own));
            }
        }
        for (number, strike) in (0u32..).zip(self.strikes.clone()) {
            if only.is_none_or(|only| only.contains(&number)) {
                for (at, fault) in strike.steps {
                    self.queue.add(at, Happening::Fault(fault));
                }
            }
        }
        if self.healed_at > 0 {
            self.queue.add(self.healed_at, Happening::Fault(Fault::HealAll));
        }
    }

    pub(crate) fn apply(&mut self, fault: Fault) {
        let is_healed = self.healed_at > 0 && self.now >= self.healed_at;
        if is_healed && !matches!(fault, Fault::HealAll) {
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
            Fault::Join(host) => self.join(host),
            Fault::Nap(host, thousandths) => {
                let lease_ms = self.controller.plan.stop_after_ms(host).unwrap_or_default();
                self.change_host(host, Fault::Pause(host, lease_ms * thousandths / 1_000));
            }
            Fault::CrashController { ahead, point } => {
                let record = self.controller.journal.records.len() + ahead;
                self.controller.crash = Some((record, CrashPoint::ALL[point]));
            }
            Fault::JournalFails { ahead } => {
                let record = self.controller.journal.records.len() + ahead;
                self.controller.crash = Some((record, CrashPoint::SyncFails));
            }
            Fault::CrashAtLink => self.controller.crash_at_link = true,
            Fault::OldController(host) => self.old_controller_knocks(host),
            Fault::Stop => self.operator_asks(Event::StopAsked { why: "an operator".into() }),
            Fault::Signal => self.operator_asks(Event::SignalAsked { signal: 10 }),
            Fault::HealAll => self.heal_all(),
            Fault::Part { host, .. }
            | Fault::BlackHole(host, _)
            | Fault::Slow(host)
            | Fault::Delay(host, _)
            | Fault::Late(host, _)
            | Fault::ClockRate(host, _)
            | Fault::Pause(host, _)
            | Fault::Refuse(host, _)
            | Fault::PrepareFails(host)
            | Fault::ExecFails(host)
            | Fault::Escape(host)
            | Fault::Flood(host)
            | Fault::ClockJump(host, _)
            | Fault::DiskFull(host)
            | Fault::DiskBroken(host)
            | Fault::DiskMended(host) => self.change_host(host, fault),
        }
    }

    /// Faults that are a state of one host.
    fn change_host(&mut self, host: HostId, fault: Fault) {
        let now = self.now;
        let there = &mut self.hosts[host.index()];
        match fault {
            Fault::Part { deaf, mute, .. } => {
                (there.deaf, there.mute, there.harmed) = (deaf, mute, true);
            }
            Fault::BlackHole(_, hole) => (there.black_hole, there.harmed) = (Some(hole), true),
            Fault::Slow(_) => (there.slowness, there.harmed) = (10, true),
            Fault::Delay(_, ms) => (there.extra_latency_ms, there.harmed) = (ms, true),
            Fault::Late(_, ms) => (there.late_ms, there.harmed) = (ms, true),
            Fault::ClockRate(_, ppm) => there.fast_ppm = ppm,
            Fault::Pause(_, ms) => {
                // Who stands still already does so to the end: what it was to do is queued for then.
                there.paused_until = there.paused_until.max(now + ms);
                there.harmed = true;
            }
            Fault::Refuse(_, times) => {
                there.refusal = Some(times.map_or(Refusal::ForGood, Refusal::Times));
                there.harmed = true;
            }
            Fault::PrepareFails(_) => there.prepare_fails = true,
            Fault::ExecFails(_) => there.exec_fails = true,
            Fault::Escape(_) => there.programs_escape = true,
            Fault::Flood(_) => there.programs_flood = true,
            Fault::ClockJump(_, ms) => there.wall_offset_ms = ms,
            Fault::DiskFull(_) => (there.disk_full, there.harmed) = (true, true),
            Fault::DiskBroken(_) => {
                (there.disk_broken, there.harmed, there.disk_was_broken) = (true, true, true);
            }
            Fault::DiskMended(_) => (there.disk_full, there.disk_broken) = (false, false),
            _ => unreachable!("the caller has sorted out what is no state of a host"),
        }
    }

    fn power_off(&mut self, host: HostId) {
        for link in self.open_links_of(host) {
            // Nobody says goodbye: the controller hears nothing more, or a reset.
            self.cut(link);
        }
        let lot = self.chance.draw();
        self.hosts[host.index()].power_off(lot);
    }

    fn power_on(&mut self, host: HostId, wiped: bool) {
        let there = &mut self.hosts[host.index()];
        if there.is_on() {
            return;
        }
        there.power_on(self.now);
        if wiped {
            there.disk = Default::default();
            self.checks.wiped(host);
        }
    }

    fn join(&mut self, host: HostId) {
        let there = &mut self.hosts[host.index()];
        (there.deaf, there.mute, there.black_hole) = (false, false, None);
        (there.extra_latency_ms, there.late_ms) = (0, 0);
        self.release_held(host);
    }

    fn heal_all(&mut self) {
        (self.controller.crash, self.controller.crash_at_link) = (None, false);
        for number in 0..self.hosts.len() as u32 {
            let host = HostId(number);
            self.join(host);
            let there = &mut self.hosts[host.index()];
            // Who stands still does so to the end: what it was to do is queued for then.
            there.slowness = 1;
            (there.disk_full, there.disk_broken) = (false, false);
        }
    }
}

/// The strikes of one kind.
fn strikes(kind: FaultKind, hosts: u64, own: &mut Chance) -> Vec<Strike> {
    let most = match kind {
        FaultKind::Stop | FaultKind::Signal | FaultKind::Swizzle | FaultKind::JournalFails => 1,
        FaultKind::Loss | FaultKind::Stale | FaultKind::Collect => 0,
        FaultKind::OldController => (hosts / 3).max(4),
        _ => (hosts / 10).max(2),
    };
    if most == 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    for _ in 0..own.between(1, most) {
        let host = HostId(own.between(0, hosts - 1) as u32);
        let at = own.between(0, STRIKES_UNTIL_MS);
        found.push(Strike { steps: steps(kind, host, hosts, at, own) });
    }
    found
}

fn steps(
    kind: FaultKind,
    host: HostId,
    hosts: u64,
    at: Millis,
    own: &mut Chance,
) -> Vec<(Millis, Fault)> {
    let later = at + own.between(100, 20_000);
    match kind {
        FaultKind::Reboot | FaultKind::Wipe => vec![
            (at, Fault::PowerOff(host)),
            (later, Fault::PowerOn { host, wiped: kind == FaultKind::Wipe }),
        ],
        FaultKind::PowerOff => vec![(at, Fault::PowerOff(host))],
        FaultKind::AgentCrash => vec![(at, Fault::KillAgent(host))],
        FaultKind::KeeperCrash => vec![(at, Fault::KillKeeper(host, own.draw()))],
        FaultKind::Cut => vec![(at, Fault::Cut(host)), (later, Fault::Cut(host))],
        FaultKind::Partition => {
            let (deaf, mute) = *own.pick(&[(true, true), (true, false), (false, true)]);
            if own.percent(30) {
                // Cut off and without its agent: only keepers are left to look at the lease.
                let long = at + own.between(20_000, 60_000);
                return vec![
                    (at, Fault::Part { host, deaf: true, mute: true }),
                    (at + 500, Fault::KillAgent(host)),
                    (long, Fault::Join(host)),
                ];
            }
            vec![(at, Fault::Part { host, deaf, mute }), (later, Fault::Join(host))]
        }
        FaultKind::Slow => vec![(at / 4, Fault::Slow(host))],
        FaultKind::Delay => {
            vec![(at, Fault::Delay(host, own.between(500, 6_000))), (later, Fault::Delay(host, 0))]
        }
        FaultKind::Late => {
            let long = at + own.between(5_000, 90_000);
            let late = own.between(2_000, 40_000);
            let mut steps = vec![(at, Fault::Late(host, late)), (long, Fault::Late(host, 0))];
            if own.percent(50) {
                // What is on its way comes late, and who comes anew is turned away at once.
                steps.push((at, Fault::Refuse(host, Some(6))));
            }
            steps
        }
        FaultKind::ClockRate => {
            vec![(0, Fault::ClockRate(host, own.between(0, 20_000) as i64 - 10_000))]
        }
        FaultKind::Pause => {
            let long = *own.pick(&[15_000, 15_000, 120_000]);
            vec![(at, Fault::Pause(host, own.between(100, long)))]
        }
        FaultKind::ControllerCrash => {
            let (ahead, point) = (own.between(0, 30) as usize, own.between(0, 2) as usize);
            vec![(at / 2, Fault::CrashController { ahead, point })]
        }
        FaultKind::CrashAtLink => vec![(3 * at, Fault::CrashAtLink)],
        FaultKind::JournalFails => {
            vec![(at / 2, Fault::JournalFails { ahead: own.between(0, 30) as usize })]
        }
        FaultKind::OldController => vec![(at, Fault::OldController(host))],
        FaultKind::Stop => vec![(at, Fault::Stop)],
        FaultKind::Signal => vec![(at / 2, Fault::Signal)],
        FaultKind::Refuse => {
            let times = (!own.percent(50)).then(|| own.between(1, 5) as u32);
            vec![(0, Fault::Refuse(host, times))]
        }
        FaultKind::PrepareFails => vec![(0, Fault::PrepareFails(host))],
        FaultKind::ExecFails => vec![(0, Fault::ExecFails(host))],
        FaultKind::Escape => vec![(0, Fault::Escape(host))],
        FaultKind::Flood => vec![(0, Fault::Flood(host))],
        FaultKind::ClockJump => {
            let ten_years = 10 * 365 * 86_400_000_i64;
            let jump = *own.pick(&[-ten_years, -30_000, 30_000, ten_years]);
            vec![(at, Fault::ClockJump(host, jump))]
        }
        FaultKind::Nap => vec![(at, Fault::Nap(host, own.between(800, 1_050)))],
        FaultKind::BlackHole => {
            let hole = *own.pick(&[Hole::Reports, Hole::Greetings]);
            // Soon, so that links that are there are swallowed; or when a host has been given up and is looked for again.
            let longest = *own.pick(&[20_000, 90_000]);
            let (begins, long) = (at + own.between(100, longest), own.between(10_000, 100_000));
            let mut steps = vec![
                (begins, Fault::Join(host)),
                (begins, Fault::BlackHole(host, hole)),
                (begins + long, Fault::Join(host)),
            ];
            if own.percent(50) {
                // It was cut off before.
                steps.insert(0, (at, Fault::Part { host, deaf: true, mute: true }));
            }
            steps
        }
        FaultKind::DiskFull => vec![(at, Fault::DiskFull(host)), (later, Fault::DiskMended(host))],
        FaultKind::DiskBroken => {
            vec![(at, Fault::DiskBroken(host)), (later, Fault::DiskMended(host))]
        }
        FaultKind::Swizzle => swizzle(hosts, at, own),
        FaultKind::Loss | FaultKind::Stale | FaultKind::Collect => Vec::new(),
    }
}

/// A random part of the hosts goes one by one and comes back in a random order.
fn swizzle(hosts: u64, at: Millis, own: &mut Chance) -> Vec<(Millis, Fault)> {
    let share = *own.pick(&[10, 40, 80]);
    let mut steps = Vec::new();
    for host in (0..hosts as u32).map(HostId) {
        if own.percent(share) {
            let gone = at + own.between(0, 8_000);
            let (deaf, mute) = *own.pick(&[(true, true), (true, false), (false, true)]);
            steps.push((gone, Fault::Part { host, deaf, mute }));
            steps.push((gone + own.between(100, 14_000), Fault::Join(host)));
        }
    }
    steps
}
