//! One host as the controller sees it: its link, its session, and how it leaves the run.
//! Not what it does for a cluster: that is `member`.

use super::event::{ConnectFailure, Effect};
use crate::Millis;
use crate::plan::HostId;
use crate::session::{Inbox, Outbox};
use plush_protocol::{AgentHello, Command, Facts, Tainted};
use serde::{Deserialize, Serialize};

/// First wait before a connection is tried again; doubles up to [`RETRY_MAX_MS`].
const RETRY_MIN_MS: Millis = 500;
const RETRY_MAX_MS: Millis = 8_000;
/// A host that never answered is given up after so many attempts.
const FIRST_ATTEMPTS: u32 = 4;
/// A host that had answered is given up after so long without it, and no sooner than after this many attempts.
const SILENCE_MS: Millis = 30_000;
const SILENCE_ATTEMPTS: u32 = 3;

/// A host in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct HostRun {
    pub id: HostId,
    pub link: Link,
    pub ending: Ending,
    /// When link or ending changed last, for people.
    pub since: Millis,
    pub facts: Option<Facts>,
    pub client: Option<String>,
    /// Why the host was given up or left out, in words.
    pub trouble: Option<Tainted>,
    session: u64,
    outbox: Outbox<Command>,
    inbox: Inbox,
    lost_at: Option<Millis>,
}

/// The link to a host's agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Link {
    /// Never asked for.
    Idle,
    /// Being made, for the n-th time in a row.
    Connecting { attempt: u32 },
    /// There.
    Up,
    /// To be tried again then.
    Waiting { until: Millis, attempt: u32 },
    /// Closed for good.
    Closed,
}

/// How a host leaves the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    /// Not yet.
    Serving,
    /// Its results are being fetched, for the n-th time.
    Collecting { attempt: u32 },
    /// They are to be asked for again, as the n-th time.
    CollectAgain { attempt: u32 },
    /// They are here, or given up.
    Collected,
    /// It was told to clean up, then.
    Cleaning { since: Millis },
    /// Nothing of ours is left there, or exactly what was reported.
    Cleaned,
    /// It was never contacted or is out of reach; its agent's lease ends what may run there.
    OutOfReach,
}

/// What a failed attempt or a lost link means for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    TryAgain,
    GiveUp,
}

impl HostRun {
    pub fn new(id: HostId) -> Self {
        HostRun {
            id,
            link: Link::Idle,
            ending: Ending::Serving,
            since: 0,
            facts: None,
            client: None,
            trouble: None,
            session: 0,
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            lost_at: None,
        }
    }

    pub fn is_up(&self) -> bool {
        self.link == Link::Up
    }

    /// An agent has been there and may still be.
    pub fn was_reached(&self) -> bool {
        self.session != 0
    }

    /// No agent was ever there, and none is being sent.
    pub fn is_unvisited(&self) -> bool {
        let idle = matches!(self.link, Link::Idle | Link::Waiting { .. });
        idle && !self.was_reached() && self.ending == Ending::Serving
    }

    /// Takes a new link. True when the agent is another process than before: its inventory will follow, and
    /// commands that the old one had taken may have come to nothing.
    pub fn connected(&mut self, hello: AgentHello, client: String, now: Millis) -> bool {
        let fresh = hello.session != self.session;
        if fresh {
            let was_clean = self.ending == Ending::Cleaned;
            self.number_anew(|_| !was_clean);
            self.inbox = Inbox::default();
            self.session = hello.session;
            if was_clean {
                // Connecting has brought an agent to a host that was clean.
                self.ending = Ending::Collected;
            }
        }
        self.outbox.reconnected(if fresh { 0 } else { hello.received });
        self.facts = Some(hello.facts);
        self.client = Some(client);
        self.link = Link::Up;
        self.lost_at = None;
        self.since = now;
        fresh
    }

    pub fn connect_failed(&mut self, failure: &ConnectFailure, now: Millis) -> Patience {
        let Link::Connecting { attempt } = self.link else { return Patience::TryAgain };
        let patience = match self.lost_at {
            None if failure.retry && attempt < FIRST_ATTEMPTS => Patience::TryAgain,
            None => Patience::GiveUp,
            Some(lost) if attempt >= SILENCE_ATTEMPTS && now >= lost + SILENCE_MS => {
                Patience::GiveUp
            }
            Some(_) => Patience::TryAgain,
        };
        self.link = match patience {
            Patience::TryAgain => Link::Waiting { until: now + self.pause(attempt), attempt },
            Patience::GiveUp => Link::Closed,
        };
        patience
    }

    pub fn link_lost(&mut self, now: Millis) {
        if self.link != Link::Up {
            return;
        }
        self.outbox.disconnected();
        self.lost_at = Some(now);
        self.since = now;
        self.link = Link::Waiting { until: now, attempt: 0 };
    }

    /// A new controller has none of the links that the old one had. While there was none nobody listened: the silence
    /// of a host counts from now.
    pub fn controller_restarted(&mut self, now: Millis) {
        if self.lost_at.is_some() && self.link != Link::Closed {
            self.lost_at = Some(now);
            self.link = Link::Waiting { until: now, attempt: 0 };
        }
        match self.link {
            Link::Up => self.link_lost(now),
            Link::Connecting { attempt } => {
                self.link = Link::Waiting { until: now, attempt: attempt - 1 }
            }
            Link::Idle | Link::Waiting { .. } | Link::Closed => {}
        }
    }

    /// Gives the host up: nothing more is asked of it.
    pub fn close(&mut self, ending: Ending, now: Millis) {
        self.link = Link::Closed;
        self.ending = ending;
        self.since = now;
    }

    /// Commands that no agent process has acknowledged.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &Command> {
        self.outbox.unacknowledged()
    }

    pub fn command(&mut self, command: Command) {
        self.outbox.push(command);
    }

    /// Whether a report is the next of the present session; it is then taken.
    #[must_use]
    pub fn takes(&mut self, session: u64, number: u64) -> bool {
        session == self.session && self.inbox.takes(number)
    }

    /// One report of the present session has been taken.
    pub fn is_at_first_report(&self) -> bool {
        self.inbox.received() == 1
    }

    pub fn taken(&mut self, session: u64, number: u64) {
        if session == self.session {
            self.outbox.acknowledge(number);
        }
    }

    /// Connects when it is time to.
    pub fn decide_link(&mut self, now: Millis) -> Option<Effect> {
        let attempt = match self.link {
            Link::Idle => 1,
            Link::Waiting { until, attempt } if until <= now => attempt + 1,
            Link::Waiting { .. } | Link::Connecting { .. } | Link::Up | Link::Closed => {
                return None;
            }
        };
        self.link = Link::Connecting { attempt };
        self.since = now;
        Some(Effect::Connect {
            host: self.id,
            session: self.session,
            received: self.inbox.received(),
        })
    }

    /// Keeps those of the commands that nobody has acknowledged, under new numbers. Only at the beginning of a session,
    /// before any of them is sent in it.
    pub fn number_anew(&mut self, keeps: impl Fn(&Command) -> bool) {
        let mut again = Outbox::default();
        self.outbox.unacknowledged().filter(|c| keeps(c)).for_each(|c| again.push(c.clone()));
        self.outbox = again;
    }

    /// Sends what waits and acknowledges what came. Nothing is sent before the session's inventory is here: what an
    /// agent has forgotten must not be asked of it a second time (P1).
    pub fn decide_session(&mut self, effects: &mut Vec<Effect>) {
        if !self.is_up() || self.inbox.received() == 0 {
            return;
        }
        if let Some(number) = self.inbox.acknowledgement() {
            effects.push(Effect::Acknowledge { host: self.id, number });
        }
        let host = self.id;
        let sends = self.outbox.hand_over().into_iter();
        effects.extend(sends.map(|(number, command)| Effect::Send { host, number, command }));
    }

    pub fn wake_at(&self) -> Option<Millis> {
        match self.link {
            Link::Waiting { until, .. } => Some(until),
            Link::Idle | Link::Connecting { .. } | Link::Up | Link::Closed => None,
        }
    }

    /// Doubles with each attempt; spread over hosts by their number, so that a thousand do not come back at once.
    fn pause(&self, attempt: u32) -> Millis {
        let base = RETRY_MIN_MS.saturating_mul(1 << attempt.min(6)).min(RETRY_MAX_MS);
        base / 2 + u64::from(self.id.0).wrapping_mul(7_919) % (base / 2)
    }
}
