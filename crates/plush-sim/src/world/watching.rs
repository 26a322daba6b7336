//! How the controller's driver watches its links: pulses, and second attempts beside silent links.
//! Not when silence is suspicious, nor what follows: those are the core's.

use super::World;
use super::link::End;
use super::queue::Happening;
use plush_core::Millis;
use plush_core::liveness::{Pulse, PulseEffect};
use plush_core::plan::HostId;
use plush_core::run::Event;
use plush_protocol::ToAgent;

/// How often pulses are looked at: the rule wants to be asked in time.
pub(super) const TICK_MS: Millis = 900;

impl World {
    /// Whether an attempt is to be begun: one at a time, and beside a link only if that is silent.
    pub(super) fn needs_attempt(&self, host: HostId) -> bool {
        let controller = &self.controller;
        let is_silent = controller.pulses.get(&host).is_some_and(Pulse::is_suspect);
        let is_open = controller.open_link(host, &self.links).is_some();
        !controller.attempts.contains_key(&host) && (is_silent || !is_open)
    }

    /// Nobody needs the attempt: it goes on if it has come as far as the host.
    pub(super) fn drop_connect(&mut self, host: HostId) {
        let Some(attempt) = self.controller.attempts.get(&host) else { return };
        if self.links[attempt].at_agent == End::Opening {
            self.end_attempt(host);
            self.event(Event::ConnectDropped { host });
        }
    }

    pub(super) fn end_attempt(&mut self, host: HostId) {
        if let Some(attempt) = self.controller.attempts.remove(&host) {
            self.close_from_controller(attempt);
        }
    }

    pub(super) fn begin_watch(&mut self, host: HostId) {
        let (hosts, lease_ms) = (self.hosts.len(), self.controller.run.plan().stop_after_ms(host));
        let pulses = &mut self.controller.pulses;
        let pulse = pulses.entry(host).or_insert_with(|| Pulse::new(hosts, lease_ms));
        pulse.linked(self.now, 0);
    }

    /// A host's agent has told its clock: its lease is renewed from there.
    pub(super) fn clock_told(&mut self, host: HostId, clock_us: u64) {
        let said_at = self.controller.said_at(self.now);
        let renewals = self.controller.renewals.entry(host).or_default();
        renewals.heard(self.now, clock_us);
        if let Some(clock_us) = renewals.due(said_at)
            && let Some(link) = self.controller.open_link(host, &self.links)
        {
            let lease_ms = self.controller.run.plan().stop_after_ms(host);
            self.checks.renewed_from_now(self.now, host, lease_ms);
            self.send_to_agent(link, ToAgent::Renew(clock_us));
        }
    }

    pub(super) fn heard_on(&mut self, host: HostId, link: u64) {
        if self.controller.open_link(host, &self.links) == Some(link)
            && let Some(pulse) = self.controller.pulses.get_mut(&host)
        {
            pulse.heard(self.now);
            self.feel_pulse(host, link);
        }
    }

    /// Looks at the pulses of all links.
    pub(crate) fn tick(&mut self, life: u64) {
        if life != self.controller.life || !self.controller.alive || self.finished_at.is_some() {
            return;
        }
        let links: Vec<(HostId, u64)> =
            self.controller.links.iter().map(|(host, link)| (*host, *link)).collect();
        for (host, link) in links {
            if self.links[&link].at_controller == End::Open {
                self.feel_pulse(host, link);
            }
        }
        self.after(TICK_MS, Happening::Tick { life });
    }

    fn feel_pulse(&mut self, host: HostId, link: u64) {
        let pulse = self.controller.pulses.get_mut(&host).expect("a link that was up is watched");
        for effect in pulse.decide(self.now, 1) {
            match effect {
                PulseEffect::Ping => self.send_to_agent(link, ToAgent::Ping(self.now)),
                PulseEffect::Suspect { silent_ms, limit_ms } => {
                    self.event(Event::Suspected { host, silent_ms, limit_ms });
                }
                PulseEffect::Heard { silent_ms } => {
                    self.end_attempt(host);
                    self.event(Event::HeardAgain { host, silent_ms });
                }
            }
        }
    }
}
