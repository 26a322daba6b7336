//! Links: two directions that deliver in order, late, not at all, or after the link is gone.
//! Not what is said over them.

use super::World;
use super::host::Hole;
use super::queue::Happening;
use crate::faults::FaultKind;
use plush_core::Millis;
use plush_core::plan::HostId;
use plush_protocol::{StreamName, TaskKey, ToAgent, ToController};
use std::collections::BTreeMap;

/// A frame that is lost on the way is sent again by TCP after so long.
const RESEND_MS: (Millis, Millis) = (200, 1_200);

/// One connection, or an attempt at one.
pub(crate) struct Link {
    pub host: HostId,
    /// The controller process that made it.
    pub life: u64,
    /// The agent's session that was named on it.
    pub session: u64,
    /// The epoch of the controller that spoke over it.
    pub epoch: u64,
    /// Something that came over it after its end was dropped, and so is all that follows.
    pub drained: bool,
    pub at_agent: End,
    pub at_controller: End,
    /// Streams that the controller has opened on it.
    pub streams: BTreeMap<(TaskKey, StreamName), Sending>,
    latency_ms: Millis,
    to_agent: Lane<ToAgent>,
    to_controller: Lane<ToController>,
}

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Opening,
    Open,
    Closed,
}

/// How far an agent is with a stream on a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending {
    /// The next byte to send.
    pub next: u64,
    /// The window's end.
    pub limit: u64,
}

/// One direction: when the last frame arrives, and what a partition holds up.
struct Lane<T> {
    last: Millis,
    held: Vec<T>,
    /// A frame does not get through, and all others stand behind it.
    stuck: bool,
}

impl<T> Lane<T> {
    fn new() -> Self {
        Lane { last: 0, held: Vec::new(), stuck: false }
    }

    /// What was held up before is not overtaken.
    fn is_behind(&self) -> bool {
        !self.held.is_empty()
    }

    fn arrival(&mut self, at: Millis) -> Millis {
        self.last = self.last.max(at);
        self.last
    }
}

impl Link {
    pub fn new(host: HostId, life: u64, latency_ms: Millis) -> Self {
        Link {
            host,
            life,
            session: 0,
            epoch: 0,
            drained: false,
            at_agent: End::Opening,
            at_controller: End::Opening,
            streams: BTreeMap::new(),
            latency_ms,
            to_agent: Lane::new(),
            to_controller: Lane::new(),
        }
    }
}

/// The longest way over a link of this latency, if nothing is lost.
pub(crate) fn longest_ms(latency_ms: Millis) -> Millis {
    latency_ms + latency_ms / 4
}

impl World {
    pub(crate) fn send_to_agent(&mut self, link: u64, message: ToAgent) {
        let travel = self.travel_to_agent(link);
        let Some(there) = self.links.get_mut(&link) else { return };
        if there.at_controller == End::Closed {
            return;
        }
        let at = there.to_agent.arrival(travel);
        let again =
            matches!(message, ToAgent::Command(..) | ToAgent::Ack(_) | ToAgent::OutputAck(_));
        if again && self.doubled() {
            let late = at + self.chance.between(0, 3_000);
            self.queue.add(late, Happening::AtAgent { link, message: message.clone() });
        }
        self.queue.add(at, Happening::AtAgent { link, message });
    }

    pub(crate) fn send_to_controller(&mut self, link: u64, message: ToController) {
        let travel = self.travel(link);
        let Some(there) = self.links.get_mut(&link) else { return };
        if there.at_agent == End::Closed {
            return;
        }
        let at = there.to_controller.arrival(travel);
        let again = matches!(
            message,
            ToController::Report(..) | ToController::Ack(_) | ToController::OutputPart(_)
        );
        if again && self.doubled() {
            let late = at + self.chance.between(0, 3_000);
            self.queue.add(late, Happening::AtController { link, message: message.clone() });
        }
        self.queue.add(at, Happening::AtController { link, message });
    }

    /// When a frame that is sent now is there.
    fn travel(&mut self, link: u64) -> Millis {
        let Some(there) = self.links.get(&link) else { return self.now };
        let latency = there.latency_ms + self.hosts[there.host.index()].extra_latency_ms;
        let lost = self.with(FaultKind::Loss) && self.chance.percent(5);
        let resend = if lost { self.chance.between(RESEND_MS.0, RESEND_MS.1) } else { 0 };
        self.now + latency + self.chance.between(0, longest_ms(latency) - latency) + resend
    }

    fn travel_to_agent(&mut self, link: u64) -> Millis {
        let late = self.links.get(&link).map_or(0, |there| self.hosts[there.host.index()].late_ms);
        self.travel(link) + late
    }

    fn doubled(&mut self) -> bool {
        self.with(FaultKind::Stale) && self.chance.percent(4)
    }

    /// Holds up a frame that cannot pass now; true if it did.
    pub(crate) fn holds_to_agent(&mut self, link: u64, message: &ToAgent) -> bool {
        let Some(there) = self.links.get_mut(&link) else { return true };
        let lane = &mut there.to_agent;
        let held = self.hosts[there.host.index()].deaf || lane.is_behind();
        if held {
            lane.held.push(message.clone());
        }
        held
    }

    /// As above, the other way.
    pub(crate) fn holds_to_controller(&mut self, link: u64, message: &ToController) -> bool {
        let Some(there) = self.links.get_mut(&link) else { return true };
        let host = &self.hosts[there.host.index()];
        let lane = &mut there.to_controller;
        lane.stuck |= match message {
            ToController::Report(..) | ToController::OutputPart(_) => host.black_hole.is_some(),
            ToController::Hello(_) => host.black_hole == Some(Hole::Greetings),
            _ => false,
        };
        let held = host.mute || lane.stuck || lane.is_behind();
        if held {
            lane.held.push(message.clone());
        }
        held
    }

    /// Whether the controller cannot hear over a link now, not even that it is closed.
    pub(crate) fn is_unheard(&self, link: u64) -> bool {
        let Some(there) = self.links.get(&link) else { return true };
        self.hosts[there.host.index()].mute || there.to_controller.stuck
    }

    /// What was held up passes, in order, before anything that was sent later.
    pub(crate) fn release_held(&mut self, host: HostId) {
        let links: Vec<u64> =
            self.links.iter().filter(|(_, l)| l.host == host).map(|(n, _)| *n).collect();
        for link in links {
            let there = self.links.get_mut(&link).expect("the link was just listed");
            there.to_controller.stuck = false;
            let (down, up) = (
                std::mem::take(&mut there.to_agent.held),
                std::mem::take(&mut there.to_controller.held),
            );
            down.into_iter().for_each(|m| self.at_agent(link, m));
            up.into_iter().for_each(|m| self.at_controller(link, m));
        }
    }

    /// Both ends notice, each after its own time; what is on its way is lost.
    pub(crate) fn cut(&mut self, link: u64) {
        let Some(there) = self.links.get_mut(&link) else { return };
        let host = &self.hosts[there.host.index()];
        let latency = there.latency_ms;
        let (deaf, mute) = (host.deaf, self.is_unheard(link));
        if !deaf {
            let late = latency + self.chance.between(0, 500);
            self.after(late, Happening::ClosedAtAgent { link });
        }
        if !mute {
            let late = latency + self.chance.between(0, 500);
            self.after(late, Happening::ClosedAtController { link });
        }
    }

    /// The controller ends a link; the agent hears of it after all that was sent before.
    pub(crate) fn close_from_controller(&mut self, link: u64) {
        let travel = self.travel_to_agent(link);
        let Some(there) = self.links.get_mut(&link) else { return };
        there.at_controller = End::Closed;
        let at = there.to_agent.arrival(travel);
        self.queue.add(at, Happening::ClosedAtAgent { link });
    }

    /// The agent's end goes; the controller hears of it after all that was sent before.
    pub(crate) fn close_from_agent(&mut self, link: u64) {
        let travel = self.travel(link);
        let Some(there) = self.links.get_mut(&link) else { return };
        there.at_agent = End::Closed;
        let at = there.to_controller.arrival(travel);
        self.queue.add(at, Happening::ClosedAtController { link });
    }

    pub(crate) fn open_links_of(&self, host: HostId) -> Vec<u64> {
        let open = |l: &Link| l.host == host && l.at_agent != End::Closed;
        self.links.iter().filter(|(_, l)| open(l)).map(|(n, _)| *n).collect()
    }
}
