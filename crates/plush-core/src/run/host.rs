//! One host as the controller sees it: its link, its session, and how it leaves the run.
//! Not what it does for a cluster: that is `member`.

use super::event::{ConnectFailure, Effect, LinkAccount};
use super::refreshing::Rendered;
use crate::Millis;
use crate::liveness::LEAST_LIMIT_MS;
use crate::offset::ClockOffset;
use crate::plan::HostId;
use crate::session::{Inbox, Outbox};
use plush_protocol::{AgentHello, Command, Facts, Tainted};
use serde::{Deserialize, Serialize};

/// First wait before a connection is tried again; doubles up to [`RETRY_MAX_MS`].
const RETRY_MIN_MS: Millis = 500;
/// A link that is lost sooner than this after it was made was no good: the next one is not tried at once.
const GOOD_LINK_MS: Millis = 5_000;
/// A host with so many links in a row that were no good is given up.
const BAD_LINKS_MAX: u32 = 12;
const RETRY_MAX_MS: Millis = 16_000;
/// A host that never answered is given up after so many attempts.
const FIRST_ATTEMPTS: u32 = 4;
/// A host that had answered is dead after so long without it, and so many times what is tolerated of its link beyond the
/// least, and no sooner than after this many attempts. Sooner where another host can step in: there waiting costs work.
const DEAD_MS: Millis = 30_000;
const REPLACED_MS: Millis = 12_000;
const DEAD_LIMITS: Millis = 4;
const DEAD_ATTEMPTS: u32 = 3;

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
    /// The shortest time in which a link was made.
    pub login_ms: Option<Millis>,
    /// Why the host was given up or left out, in words.
    pub trouble: Option<Tainted>,
    /// Offset of its clock from elapsed time, once that is known.
    pub clock: Option<ClockOffset>,
    session: u64,
    outbox: Outbox<Command>,
    inbox: Inbox,
    lost_at: Option<Millis>,
    /// Since then there has been no link to it over which its lease could be renewed.
    #[serde(default)]
    parted_at: Millis,
    up_at: Millis,
    /// Links in a row that were no good.
    bad_links: u32,
    /// The place that it had before it was given to another: its results and its clean-up are still that place's.
    pub former: Option<(usize, usize)>,
    /// Given up, it is looked for again then.
    look_at: Option<Millis>,
    /// Set while a link that is up is silent.
    suspicion: Option<Suspicion>,
    /// Silence that is tolerated of its link, as was said last.
    limit_ms: Millis,
    /// Why it is suspect, or how the last attempt at it failed, for display.
    pub doubt: Option<Tainted>,
    /// It does not count as failed: it came back after another host took its place, or gave the
    /// place back itself.
    #[serde(default)]
    pub is_excused: bool,
    /// The host that it replaced, and the number of the replacement in that place, from 1.
    #[serde(default)]
    pub replaces: Option<(HostId, u32)>,
    /// What its files were made from.
    pub rendered: Rendered,
    /// A requested result of it is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub results_missing: bool,
    /// From the receipt of its results to the end: the globs of its cluster that matched nothing
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmatched: Option<Vec<u32>>,
    /// Its clean-up failed or was incomplete.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clean_up_failed: bool,
}

/// A link that is up and silent. Nothing follows from it but attempts at a second link (L5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Suspicion {
    /// When the host was heard last.
    since: Millis,
    race: Race,
}

/// The attempt at a second link beside one that is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Race {
    /// Under way, for the n-th time in a row.
    Running { attempt: u32 },
    /// To be tried, again, then.
    Waiting { until: Millis, attempt: u32 },
}

/// The link to a host's agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Link {
    /// Never asked for.
    Idle,
    /// Being made, for the n-th time in a row.
    Connecting { attempt: u32 },
    /// As above, and nobody needs it any more: it is dropped unless it has got too far for that.
    Unwanted { attempt: u32 },
    /// There.
    Up,
    /// To be tried again then.
    Waiting { until: Millis, attempt: u32 },
    /// There, and to be closed for good.
    Leaving,
    /// Closed for good.
    Closed,
}

impl Link {
    /// What it becomes when its host is given up: a link that is there is left, and `otherwise` is in its place if not.
    fn parted(self, otherwise: Link) -> Link {
        match self {
            Link::Up | Link::Leaving => Link::Leaving,
            Link::Idle
            | Link::Connecting { .. }
            | Link::Unwanted { .. }
            | Link::Waiting { .. }
            | Link::Closed => otherwise,
        }
    }
}

/// How a host leaves the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ending {
    /// Not yet.
    Serving,
    /// It is back and not wanted any more: what runs there ends, and its output comes home.
    Returning,
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
    /// It was given up while the run goes on; if it comes back it is told to stop, or is wanted again.
    Away,
}

/// What a failed attempt or a lost link means for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    TryAgain,
    GiveUp,
}

/// For what a host that is silent is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Nobody else can do its work: a partition of half a minute is outlasted.
    Itself,
    /// Another host is to step in as soon as it is certain.
    Replacement,
}

/// Whether a host may be called dead now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdicts {
    Given,
    /// Only of a host that has been silent for so long: it may be we who do not hear.
    Frozen {
        beyond_ms: Option<Millis>,
    },
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
            login_ms: None,
            trouble: None,
            clock: None,
            session: 0,
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            lost_at: None,
            parted_at: 0,
            up_at: 0,
            bad_links: 0,
            former: None,
            look_at: None,
            suspicion: None,
            limit_ms: LEAST_LIMIT_MS,
            doubt: None,
            is_excused: false,
            replaces: None,
            rendered: Rendered::default(),
            results_missing: false,
            unmatched: None,
            clean_up_failed: false,
        }
    }

    pub fn is_heard(&self) -> bool {
        self.is_up() && self.suspicion.is_none()
    }

    pub fn is_up(&self) -> bool {
        self.link == Link::Up
    }

    /// An agent has been there and may still be.
    pub fn was_reached(&self) -> bool {
        self.session != 0
    }

    /// Whether it is excluded from the failed hosts.
    pub fn is_blameless(&self) -> bool {
        self.trouble.is_none() || self.is_excused
    }

    /// No agent was ever there, and none is being sent.
    pub fn is_unvisited(&self) -> bool {
        let idle = matches!(self.link, Link::Idle | Link::Waiting { .. });
        idle && !self.was_reached() && self.ending == Ending::Serving
    }

    /// Takes a new link. True when the agent is another process than before: its inventory will follow, and
    /// commands that the old one had taken may have come to nothing.
    pub fn connected(&mut self, hello: AgentHello, account: LinkAccount, now: Millis) -> bool {
        let fresh = hello.session != self.session;
        if fresh {
            let was_clean = self.ending == Ending::Cleaned;
            self.number_anew(|_| !was_clean);
            self.inbox = Inbox::default();
            // The host may have been switched off and on: its clock may have begun anew.
            self.clock = None;
            self.session = hello.session;
            if was_clean {
                // Connecting has brought an agent to a host that was clean.
                self.ending = Ending::Collected;
            }
        }
        self.outbox.reconnected(if fresh { 0 } else { hello.received });
        self.facts = Some(hello.facts);
        self.client = Some(account.client);
        self.login_ms = Some(self.login_ms.unwrap_or(Millis::MAX).min(account.took_ms));
        self.link = Link::Up;
        self.lost_at = None;
        self.up_at = now;
        self.suspicion = None;
        self.doubt = None;
        self.since = now;
        fresh
    }

    pub fn connect_failed(
        &mut self,
        failure: &ConnectFailure,
        awaited: Awaited,
        verdicts: Verdicts,
        now: Millis,
    ) -> Patience {
        let long = self.dead_ms(awaited);
        let attempt = match (self.link, self.suspicion) {
            (Link::Connecting { attempt } | Link::Unwanted { attempt }, _) => attempt,
            (Link::Up, Some(Suspicion { race: Race::Running { attempt }, .. })) => attempt,
            // The host has spoken meanwhile, or has been given up.
            _ => return Patience::TryAgain,
        };
        let patience = match self.silent_since() {
            None if failure.retry && attempt < FIRST_ATTEMPTS => Patience::TryAgain,
            None => Patience::GiveUp,
            Some(since) if attempt >= DEAD_ATTEMPTS && is_dead(now - since, long, verdicts) => {
                Patience::GiveUp
            }
            Some(_) => Patience::TryAgain,
        };
        let until = now + self.pause(attempt);
        // Enough have failed: one more is to fail or succeed as soon as the silence has been long enough.
        let until = match self.silent_since().map(|since| since + long) {
            Some(due) if attempt >= DEAD_ATTEMPTS && due > now => until.min(due),
            Some(_) | None => until,
        };
        match (&mut self.suspicion, patience) {
            (Some(suspicion), Patience::TryAgain) if self.link == Link::Up => {
                suspicion.race = Race::Waiting { until, attempt };
            }
            (_, Patience::TryAgain) => self.link = Link::Waiting { until, attempt },
            (_, Patience::GiveUp) => {
                // Reactions to its loss count from the last contact, not from this verdict.
                self.lost_at = self.silent_since().or(self.lost_at);
                self.close(self.ending, now);
            }
        }
        if !self.was_reached() {
            self.doubt = Some(failure.in_words());
        }
        patience
    }

    /// How long a host is waited for. Its link's own slowness counts, since attempts at a slow link take longer.
    fn dead_ms(&self, awaited: Awaited) -> Millis {
        match awaited {
            Awaited::Itself => DEAD_MS.max(DEAD_LIMITS * self.limit_ms),
            Awaited::Replacement => {
                REPLACED_MS + DEAD_LIMITS * self.limit_ms.saturating_sub(LEAST_LIMIT_MS)
            }
        }
    }

    /// Since when nothing has been heard of a host that had answered.
    pub fn silent_since(&self) -> Option<Millis> {
        if self.ending == Ending::Away {
            // The verdict has been given.
            return None;
        }
        match self.link {
            Link::Up => self.suspicion.map(|s| s.since),
            Link::Connecting { .. } | Link::Unwanted { .. } | Link::Waiting { .. } => self.lost_at,
            Link::Idle | Link::Leaving | Link::Closed => None,
        }
    }

    /// The same, of a host of which more is known than that its link is gone: an attempt at another has failed too.
    pub fn unheard_since(&self) -> Option<Millis> {
        let attempted = match self.link {
            Link::Connecting { attempt } | Link::Unwanted { attempt } => attempt > 1,
            Link::Waiting { attempt, .. } => attempt > 0,
            Link::Up => true,
            Link::Idle | Link::Leaving | Link::Closed => false,
        };
        self.silent_since().filter(|_| attempted)
    }

    /// There is a link to it, or there was one and will be.
    pub fn is_watched(&self) -> bool {
        self.is_up() || self.lost_at.is_some() && self.link != Link::Closed
    }

    /// In words, after how much silence and how many attempts it was given up.
    pub fn last_word(&self, awaited: Awaited) -> String {
        let seconds = self.dead_ms(awaited) / 1000;
        format!(
            "dead: not heard for {seconds} s, and {DEAD_ATTEMPTS} attempts or more failed, the last while "
        )
    }

    pub fn suspected(&mut self, silent_ms: Millis, limit_ms: Millis, now: Millis) {
        if self.link != Link::Up {
            return;
        }
        self.limit_ms = limit_ms;
        let since = now.saturating_sub(silent_ms);
        self.suspicion = Some(Suspicion { since, race: Race::Waiting { until: now, attempt: 0 } });
        let seconds = silent_ms / 1000;
        self.doubt = Some(Tainted::new(format!("nothing was heard for {seconds} s")));
    }

    /// It has spoken over its old link: the attempt at a second one has been dropped.
    pub fn heard_again(&mut self) {
        if self.link == Link::Up {
            self.suspicion = None;
            self.doubt = None;
        }
    }

    /// The link is gone. One that was good is made again at once, others after a pause, and not for ever (R3).
    #[must_use]
    pub fn link_lost(&mut self, cause: &Tainted, now: Millis) -> Patience {
        if self.link != Link::Up {
            return Patience::TryAgain;
        }
        let is_good = now.saturating_sub(self.up_at) >= GOOD_LINK_MS;
        self.bad_links = if is_good { 0 } else { self.bad_links + 1 };
        self.outbox.disconnected();
        self.parted_at = now;
        let suspicion = self.suspicion.take();
        self.lost_at = Some(suspicion.map_or(now, |s| s.since));
        self.doubt = Some(cause.clone());
        self.since = now;
        self.link = match suspicion.map(|s| s.race) {
            None if self.bad_links > 1 => {
                Link::Waiting { until: now + self.pause(self.bad_links - 1), attempt: 0 }
            }
            None => Link::Waiting { until: now, attempt: 0 },
            // What was meant to be the second link is to be the only one.
            Some(Race::Running { attempt }) => Link::Connecting { attempt },
            Some(Race::Waiting { attempt, .. }) => Link::Waiting { until: now, attempt },
        };
        match self.bad_links > BAD_LINKS_MAX {
            true => Patience::GiveUp,
            false => Patience::TryAgain,
        }
    }

    /// Nobody listened for a while: silence counts from now, and who was being waited for is tried at once.
    pub fn controller_slept(&mut self, now: Millis) {
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.since = now;
            if let Race::Waiting { until, attempt } = &mut suspicion.race {
                (*until, *attempt) = (now, 0);
            }
        }
        if self.lost_at.is_some() {
            self.lost_at = Some(now);
            if let Link::Waiting { until, attempt } = &mut self.link {
                (*until, *attempt) = (now, 0);
            }
        }
    }

    /// An attempt was dropped before it had left anything there.
    pub fn connect_dropped(&mut self, now: Millis) {
        if let Link::Unwanted { attempt } = self.link {
            self.link = Link::Waiting { until: now, attempt: attempt.saturating_sub(1) };
        }
    }

    /// Nobody needs it any more: an attempt that may not even have reached it is not waited for.
    pub fn decide_drop(&mut self) -> Option<Effect> {
        let Link::Connecting { attempt } = self.link else { return None };
        if self.was_reached() {
            return None;
        }
        self.link = Link::Unwanted { attempt };
        Some(Effect::DropConnect { host: self.id })
    }

    /// A new controller has none of the links that the old one had. While there was none nobody listened: the silence
    /// of a host counts from now. The old one may have renewed leases until now, also over a link that it did not live
    /// to write down.
    pub fn controller_restarted(&mut self, now: Millis) {
        if !matches!(self.link, Link::Idle | Link::Waiting { .. } | Link::Closed) {
            self.parted_at = now;
        }
        if self.lost_at.is_some() && self.link != Link::Closed {
            self.lost_at = Some(now);
            self.link = Link::Waiting { until: now, attempt: 0 };
        }
        match self.link {
            Link::Up => {
                self.suspicion = None;
                let _goes_on =
                    self.link_lost(&Tainted::new("the controller was started again"), now);
                self.bad_links = 0;
            }
            Link::Connecting { attempt } | Link::Unwanted { attempt } => {
                self.link = Link::Waiting { until: now, attempt: attempt.saturating_sub(1) }
            }
            Link::Leaving => self.link = Link::Closed,
            Link::Idle | Link::Waiting { .. } | Link::Closed => {}
        }
    }

    /// Takes the clock offset of the hellos where no better one is known.
    pub fn clock_told(&mut self, told: Option<ClockOffset>) {
        let better = |old: ClockOffset| told.filter(|t| t.uncertainty_us < old.uncertainty_us);
        self.clock = match self.clock {
            None => told,
            Some(old) => better(old).or(Some(old)),
        };
    }

    /// Converts elapsed time to the host's own clock, in microseconds; `None` while the offset is
    /// unknown.
    pub fn boot_time_us(&self, shown: Millis) -> Option<u64> {
        self.clock.map(|clock| clock.at_host_us(shown.saturating_mul(1_000)))
    }

    /// Converts an instant of the host's clock to elapsed time, in microseconds.
    pub fn run_time_us(&self, boot_us: u64) -> Option<i64> {
        self.clock.map(|clock| clock.at_run_us(boot_us))
    }

    /// Gives the host up: nothing more is asked of it.
    pub fn close(&mut self, ending: Ending, now: Millis) {
        self.link = self.link.parted(Link::Closed);
        self.suspicion = None;
        self.ending = ending;
        self.since = now;
    }

    /// Gives the host up for now; it is looked for again from then on.
    pub fn go_away(&mut self, now: Millis, look_at: Millis) {
        if self.ending != Ending::Away {
            self.since = now;
        }
        self.ending = Ending::Away;
        self.suspicion = None;
        self.look_at = Some(look_at);
        // What is said over the old link must not keep its tasks alive any longer.
        self.link = self.link.parted(Link::Waiting { until: look_at, attempt: 0 });
    }

    /// Its agent has said in this session what it knows.
    pub fn has_reported(&self) -> bool {
        self.inbox.received() > 0
    }

    /// When its lease was renewed last, at the latest; `None` while it may be.
    pub fn renewed_by(&self) -> Option<Millis> {
        match self.link {
            Link::Up | Link::Leaving => None,
            Link::Idle
            | Link::Connecting { .. }
            | Link::Unwanted { .. }
            | Link::Waiting { .. }
            | Link::Closed => Some(self.parted_at),
        }
    }

    /// The link is closed for good: by then its end is under way.
    pub fn part(&mut self, now: Millis) -> Effect {
        self.link = Link::Closed;
        self.parted_at = now;
        Effect::Disconnect { host: self.id }
    }

    /// Time of the last contact, if its link is lost or silent and there was no contact since.
    pub fn lost_at(&self) -> Option<Millis> {
        self.lost_at
    }

    /// Changes commands that no agent process has acknowledged.
    pub fn change_commands(&mut self, change: impl Fn(&Command) -> Option<Command>) {
        self.outbox.change(change);
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

    /// Connects when it is time to; closes what is to be closed.
    pub fn decide_link(&mut self, now: Millis) -> Option<Effect> {
        match (self.link, &mut self.suspicion) {
            (Link::Leaving, _) => {
                let away = self.look_at.filter(|_| self.ending == Ending::Away);
                let effect = self.part(now);
                if let Some(until) = away {
                    self.link = Link::Waiting { until, attempt: 0 };
                }
                return Some(effect);
            }
            (Link::Up, Some(Suspicion { race, .. })) => match *race {
                Race::Waiting { until, attempt } if until <= now => {
                    *race = Race::Running { attempt: attempt + 1 };
                }
                Race::Waiting { .. } | Race::Running { .. } => return None,
            },
            (Link::Idle, _) => {
                self.link = Link::Connecting { attempt: 1 };
                self.since = now;
            }
            (Link::Waiting { until, attempt }, _) if until <= now => {
                self.link = Link::Connecting { attempt: attempt + 1 };
                self.since = now;
            }
            (
                Link::Up
                | Link::Waiting { .. }
                | Link::Connecting { .. }
                | Link::Unwanted { .. }
                | Link::Closed,
                _,
            ) => return None,
        }
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
        match (self.link, self.suspicion) {
            (Link::Waiting { until, .. }, _)
            | (Link::Up, Some(Suspicion { race: Race::Waiting { until, .. }, .. })) => Some(until),
            (
                Link::Idle
                | Link::Connecting { .. }
                | Link::Unwanted { .. }
                | Link::Up
                | Link::Leaving
                | Link::Closed,
                _,
            ) => None,
        }
    }

    /// Doubles with each attempt; spread over hosts by their number, so that a thousand do not come back at once.
    fn pause(&self, attempt: u32) -> Millis {
        let base = RETRY_MIN_MS.saturating_mul(1 << attempt.min(6)).min(RETRY_MAX_MS);
        base / 2 + u64::from(self.id.0).wrapping_mul(7_919) % (base / 2)
    }
}

fn is_dead(silent_ms: Millis, long_ms: Millis, verdicts: Verdicts) -> bool {
    match verdicts {
        Verdicts::Given => silent_ms >= long_ms,
        Verdicts::Frozen { beyond_ms } => beyond_ms.is_some_and(|ms| silent_ms >= long_ms.max(ms)),
    }
}
