//! Performs the pacing rule: connects hosts when the rule says so, and tells it how that went.
//!
//! Decides nothing itself. One task owns the rule; hosts ask it for their turn.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::bootstrap::Bootstrap;
use super::deadline::Deadlines;
use super::failure::{ConnectFailure, FailureClass, Stage};
use super::link::Link;
use super::plan::Ssh;
use super::{LoggedIn, Route, connect};
use plush_core::pacing::{Limits, Pacing, PacingEffect, PacingEvent, Ticket, Verdict};

/// Gives hosts their turn to connect. Clones share one rule.
#[derive(Clone, Debug)]
pub struct Pacer {
    /// Bounded by its use: at most four messages per attempt of each host.
    messages: mpsc::UnboundedSender<Message>,
}

enum Message {
    Wanted { lanes: Vec<String>, turns: mpsc::Sender<Turn>, ticket: oneshot::Sender<Ticket> },
    Happened(PacingEvent),
}

/// Who tries again when a host cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tries {
    /// The pacer, for as long as its limits say.
    Patient,
    /// The caller, who judges the host by each attempt that fails.
    Once,
}

enum Turn {
    Go,
    GiveUp { attempts: u32 },
}

impl Pacer {
    /// Starts the task that owns the rule; it ends with the last clone.
    pub fn start(limits: Limits, seed: u64) -> Self {
        let (messages, receiver) = mpsc::unbounded_channel();
        tokio::spawn(own(Pacing::new(limits, seed), receiver));
        Self { messages }
    }

    /// Connects a host when it is its turn, again if that may help. `touched` becomes true as soon as an attempt may have
    /// left something on the host; until then dropping the attempt leaves nothing behind.
    pub async fn connect(
        &self,
        ssh: &Ssh,
        route: &Route,
        bootstrap: &Bootstrap,
        (deadlines, tries): (&Deadlines, Tries),
        touched: &watch::Sender<bool>,
    ) -> Result<Link, ConnectFailure> {
        let Route::Ssh(address) = route else {
            let (notice, _) = LoggedIn::new(touched.clone());
            return connect(ssh, route, bootstrap, deadlines, Some(notice)).await;
        };
        let mut place = self.queue_up(ssh.lanes(address)).await?;
        let mut last = stopped();
        loop {
            match place.turns.recv().await {
                Some(Turn::Go) => {}
                Some(Turn::GiveUp { attempts }) if attempts > 1 => {
                    // Without the number, which contains jitter, so that equal failures are shown
                    // as one.
                    last.cause = format!("{} (after several attempts)", last.cause);
                    return Err(last);
                }
                Some(Turn::GiveUp { .. }) | None => return Err(last),
            }
            let (notice, logged_in) = LoggedIn::new(touched.clone());
            place.report_login(logged_in);
            match connect(ssh, route, bootstrap, deadlines, Some(notice)).await {
                Ok(link) => {
                    place.ended(Verdict::Connected);
                    return Ok(link);
                }
                Err(failure)
                    if failure.class == FailureClass::Retryable && tries == Tries::Once =>
                {
                    return Err(failure);
                }
                Err(failure) => {
                    place.ended(verdict(failure.class));
                    last = failure;
                }
            }
        }
    }

    async fn queue_up(&self, lanes: Vec<String>) -> Result<Place, ConnectFailure> {
        let (turns_sender, turns) = mpsc::channel(2);
        let (ticket_sender, ticket) = oneshot::channel();
        let wanted = Message::Wanted { lanes, turns: turns_sender, ticket: ticket_sender };
        self.messages.send(wanted).map_err(|_| stopped())?;
        let ticket = ticket.await.map_err(|_| stopped())?;
        Ok(Place { ticket, turns, messages: self.messages.clone() })
    }
}

/// One host's place in the queue; leaving it early frees it.
struct Place {
    ticket: Ticket,
    turns: mpsc::Receiver<Turn>,
    messages: mpsc::UnboundedSender<Message>,
}

impl Place {
    fn report_login(&self, logged_in: oneshot::Receiver<()>) {
        let (ticket, messages) = (self.ticket, self.messages.clone());
        tokio::spawn(async move {
            if logged_in.await.is_ok() {
                let _ = messages.send(Message::Happened(PacingEvent::LoggedIn { ticket }));
            }
        });
    }

    fn ended(&self, verdict: Verdict) {
        let _ = self
            .messages
            .send(Message::Happened(PacingEvent::Ended { ticket: self.ticket, verdict }));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ =
            self.messages.send(Message::Happened(PacingEvent::Withdrawn { ticket: self.ticket }));
    }
}

async fn own(mut pacing: Pacing, mut messages: mpsc::UnboundedReceiver<Message>) {
    let began = Instant::now();
    let now_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut turns: HashMap<Ticket, mpsc::Sender<Turn>> = HashMap::new();
    let mut next = 0;
    loop {
        let wait = pacing.wake_at(now_ms()).map(|at| began + Duration::from_millis(at));
        let sleep = async {
            match wait {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            message = messages.recv() => match message {
                Some(message) => Some(message),
                None => return,
            },
            () = sleep => None,
        };
        match message {
            Some(Message::Wanted { lanes, turns: sender, ticket: reply }) => {
                let ticket = Ticket(next);
                next += 1;
                if reply.send(ticket).is_ok() {
                    turns.insert(ticket, sender);
                    pacing.absorb(now_ms(), PacingEvent::Wanted { ticket, lanes });
                }
            }
            Some(Message::Happened(event)) => {
                if let PacingEvent::Withdrawn { ticket } = &event {
                    turns.remove(ticket);
                }
                pacing.absorb(now_ms(), event);
            }
            None => {}
        }
        for effect in pacing.decide(now_ms()) {
            let (ticket, turn) = match effect {
                PacingEffect::Start { ticket, .. } => (ticket, Turn::Go),
                PacingEffect::GiveUp { ticket, attempts } => (ticket, Turn::GiveUp { attempts }),
            };
            if let Some(sender) = turns.get(&ticket) {
                // A host waits for its turn before anything else can be said to it; the queue of two is never full.
                let _ = sender.try_send(turn);
            }
        }
    }
}

fn verdict(class: FailureClass) -> Verdict {
    match class {
        FailureClass::PushedBack => Verdict::PushedBack,
        FailureClass::Interrupted => Verdict::Interrupted,
        FailureClass::Retryable => Verdict::Retryable,
        FailureClass::Permanent | FailureClass::Beyond => Verdict::Permanent,
    }
}

fn stopped() -> ConnectFailure {
    ConnectFailure::retryable(Stage::Settings, "the controller is stopping")
}
