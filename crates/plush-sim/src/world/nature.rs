//! Where the world's times come from: drawn for a seed, or of a user's profile.
//! Not what goes wrong in it.

use super::host::{Host, Script};
use super::queue::Happening;
use super::{Controller, World};
use crate::Sabotage;
use crate::checkers::Checks;
use crate::faults::{Fault, FaultSet};
use crate::random::Chance;
use crate::rehearsal::{Durations, Profile};
use plush_core::Millis;
use plush_core::plan::{HostId, RunPlan};
use plush_core::run::Event;
use plush_protocol::{Program, TaskSpec};

/// Where times come from.
#[derive(Clone, Debug)]
pub(crate) enum Nature {
    /// From the seed, within what a description of the simulator says.
    Drawn,
    /// From a kind of hosts and what is assumed of programs.
    Rehearsed(Profile, Durations),
}

/// So many probes of a hundred fail where nothing is assumed of them.
const PROBES_FAIL: u64 = 20;
const HOUR_MS: Millis = 3_600_000;

impl Nature {
    pub(super) fn host(&self, chance: &mut Chance) -> Host {
        let mut host = Host::new(chance);
        if let Nature::Rehearsed(profile, _) = self {
            host.latency_ms = profile.latency_ms(chance);
            host.connect_ms = profile.connect_ms(chance);
        }
        host
    }

    pub(super) fn prepare_ms(&self, chance: &mut Chance) -> Millis {
        match self {
            Nature::Drawn => chance.between(20, 3_000),
            Nature::Rehearsed(profile, _) => profile.prepare_ms(chance),
        }
    }

    pub(super) fn probe_passes(&self, chance: &mut Chance) -> bool {
        match self {
            Nature::Drawn => !chance.percent(PROBES_FAIL),
            Nature::Rehearsed(..) => true,
        }
    }

    pub(super) fn script(&self, spec: &TaskSpec, chance: &mut Chance) -> Script {
        match self {
            Nature::Drawn => Script::read(words(&spec.program), chance.draw()),
            Nature::Rehearsed(profile, durations) => {
                let runs_ms = durations.of(&spec.name).draw(chance, *profile);
                Script { runs_ms, ..Script::default() }
            }
        }
    }

    /// What a program says of itself in the simulator's own words.
    pub(super) fn words<'a>(&self, spec: &'a TaskSpec) -> &'a [String] {
        match self {
            Nature::Drawn => words(&spec.program),
            Nature::Rehearsed(..) => &[],
        }
    }
}

fn words(program: &Program) -> &[String] {
    match program {
        Program::Argv(words) => words,
        Program::Shell { .. } => &[],
    }
}

impl World {
    /// A world of a user's description: nothing is checked in it, and what fails follows from the profile.
    pub(crate) fn rehearsed(plan: RunPlan, seed: u64, of: (Profile, Durations)) -> World {
        let mut chance = Chance::new(seed);
        let profile = of.0;
        let nature = Nature::Rehearsed(of.0, of.1);
        let reserve = plan.clusters.iter().map(|c| c.reserve.len()).sum::<usize>();
        let count = plan.hosts.len() + reserve;
        let hosts = (0..count).map(|_| nature.host(&mut chance)).collect();
        let checks = Checks::unwatched();
        let nothing = (FaultSet::NONE, Sabotage::None);
        let mut world = World::of(Controller::new(plan), hosts, chance, nature, checks, nothing);
        world.schedule_misfortune(profile);
        world.begin_controller();
        world
    }

    /// Lets happen what happens until the run is over; it is stopped at `until_ms`, and left alone an hour after.
    pub(crate) fn rehearse(&mut self, until_ms: Millis) {
        self.queue.add(until_ms, Happening::Fault(Fault::Stop));
        while self.finished_at.is_none()
            && let Some((at, happening)) = self.queue.take()
            && at <= until_ms.saturating_add(HOUR_MS)
        {
            self.now = at;
            self.happen(happening);
        }
    }

    /// Hosts that never answer, are slow, are lost, and links that break.
    fn schedule_misfortune(&mut self, profile: Profile) {
        let mut chance = self.chance.branch();
        for host in (0..self.hosts.len() as u32).map(HostId) {
            if chance.between(0, 9_999) < profile.absent() {
                self.queue.add(0, Happening::Fault(Fault::PowerOff(host)));
            }
            if chance.between(0, 9_999) < profile.slow() {
                self.queue.add(0, Happening::Fault(Fault::Slow(host)));
            }
            let lost = next_ms(profile.lost_in_an_hour(), &mut chance);
            lost.into_iter()
                .for_each(|at| self.queue.add(at, Happening::Fault(Fault::PowerOff(host))));
            let cut = next_ms(profile.cut_in_an_hour(), &mut chance);
            cut.into_iter().for_each(|at| self.queue.add(at, Happening::Misfortune { host }));
        }
    }

    /// A link breaks, as links of its kind do now and then.
    pub(super) fn misfortune(&mut self, host: HostId) {
        if let Nature::Rehearsed(profile, _) = self.nature {
            self.apply(Fault::Cut(host));
            if let Some(wait) = next_ms(profile.cut_in_an_hour(), &mut self.chance) {
                self.after(wait, Happening::Misfortune { host });
            }
        }
    }

    /// Somebody stops the run, or signals its tasks, if there is anybody to hear it.
    pub(crate) fn operator_asks(&mut self, event: Event) {
        if self.controller.alive && self.finished_at.is_none() {
            self.event(event);
        }
    }
}

/// When something happens next that befalls so many of ten thousand in an hour; exponential.
fn next_ms(in_an_hour: u64, chance: &mut Chance) -> Option<Millis> {
    if in_an_hour == 0 {
        return None;
    }
    let share = (chance.draw() >> 11) as f64 / (1_u64 << 53) as f64;
    let hours = -(1.0 - share).ln() * 10_000.0 / in_an_hour as f64;
    Some((hours * HOUR_MS as f64) as Millis + 1)
}
