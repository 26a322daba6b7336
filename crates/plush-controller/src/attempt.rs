//! One attempt at a host's agent: its turn, the link, hello on both sides. Dropping it ends it.
//! Not when to try again, and not what is said after the hellos.

use crate::error::ControllerError;
use crate::host_link::Shared;
use crate::run_clock::boot_us;
use crate::transport::{AgentOrigin, Bootstrap, Deadlines, LinkAccount, Route, Tries};
use crate::wire::Wire;
use plush_core::offset::{ClockOffset, Sample};
use plush_core::plan::HostId;
use plush_core::run::{ConnectFailure, Event};
use plush_protocol::{
    AgentHello, ControllerHello, PROTOCOL_VERSION, Tainted, ToAgent, ToController,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long an agent may take to say hello once it is started: as long as logging in took, and this.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// Which agent is meant, and how far its session has come.
pub struct Goal {
    pub host: HostId,
    pub name: String,
    pub route: Route,
    /// Life of its tasks without a word from a controller; `None` is for ever.
    pub stop_after_ms: Option<u64>,
    pub session: u64,
    pub received: u64,
    /// How long the last login took, of a host that has been reached.
    pub login_ms: Option<u64>,
}

/// A link with an agent that has said hello.
pub struct Reached {
    pub wire: Wire,
    pub event: Event,
    /// Without the time that was spent waiting for a turn; 0 without SSH.
    pub handshake_ms: u64,
}

/// What kept an attempt from its goal.
pub enum Setback {
    /// There is no link; it may be tried again.
    Failed(ConnectFailure),
    /// The agent obeys another controller of the run: this one has to end.
    Fenced(ControllerError),
}

type Outcome = Result<Reached, Setback>;

/// An attempt under way; dropping it ends it.
pub struct Attempt {
    /// One task.
    task: JoinSet<Outcome>,
    logged_in: watch::Receiver<bool>,
}

impl Attempt {
    /// Begins.
    pub fn begin(goal: Goal, shared: Arc<Shared>) -> Attempt {
        let (notice, logged_in) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(reach(goal, shared, notice));
        Attempt { task, logged_in }
    }

    /// It may have brought something to the host.
    pub fn has_logged_in(&self) -> bool {
        *self.logged_in.borrow()
    }
}

/// The outcome of an attempt under way, which is then none; never, when there is none. Cancelling loses nothing.
pub async fn outcome(attempt: &mut Option<Attempt>) -> Outcome {
    let Some(under_way) = attempt else { return std::future::pending().await };
    let ended = under_way.task.join_next().await.expect("an attempt has one task");
    *attempt = None;
    ended.expect("an attempt does not panic")
}

async fn reach(goal: Goal, shared: Arc<Shared>, logged_in: watch::Sender<bool>) -> Outcome {
    let began = Instant::now();
    let bootstrap = Bootstrap::new(&shared.run, &goal.name, Arc::clone(&shared.agents));
    let bootstrap = bootstrap.map_err(|f| Setback::Failed(told(&f)))?;
    let bootstrap = bootstrap.at(shared.directories.of(&goal.name));
    let deadlines = Deadlines { lateness: Some(shared.factor.clone()), ..Deadlines::default() };
    let (deadlines, tries) = match goal.login_ms {
        Some(ms) => (deadlines.of_known_host(Duration::from_millis(ms)), Tries::Once),
        None => (deadlines, Tries::Patient),
    };
    let link = shared
        .pacer
        .connect(&shared.ssh, &goal.route, &bootstrap, (&deadlines, tries), &logged_in)
        .await
        .map_err(|f| Setback::Failed(told(&f)))?;
    let account = link.account.clone();
    let mut wire = Wire::new(link);
    let hello = ControllerHello {
        version: PROTOCOL_VERSION,
        run: shared.run.clone(),
        epoch: shared.epoch,
        session: goal.session,
        received: goal.received,
        stop_after_ms: goal.stop_after_ms,
        host: goal.name.clone(),
        controller: shared.name.clone(),
    };
    let asked_us = boot_us();
    wire.send(&ToAgent::Hello(hello));
    let limit = HELLO_LIMIT + Duration::from_millis(account.handshake_ms);
    let hello = tokio::time::timeout(limit, wire.next()).await;
    let failed = |cause: String| {
        Setback::Failed(ConnectFailure {
            stage: "starting the agent".into(),
            cause: Tainted::new(cause),
            hint: None,
            retry: true,
        })
    };
    match hello {
        Err(_) => Err(failed("the agent was started and did not say hello".into())),
        Ok(Err(cause)) => Err(failed(wire.explain(cause))),
        Ok(Ok(ToController::Hello(hello))) if is_refusal(&hello, shared.epoch) => {
            let last = tokio::time::timeout(limit, wire.next()).await;
            let why = match last {
                Ok(Ok(ToController::Bye(why))) => why,
                Ok(_) | Err(_) => "another controller has taken over".into(),
            };
            // A host's words stand in a message for people.
            let why = Tainted::new(why).raw().escape_debug().to_string();
            Err(Setback::Fenced(ControllerError::Fenced { host: goal.name, why }))
        }
        Ok(Ok(ToController::Hello(hello))) => {
            let handshake_ms = account.handshake_ms;
            let came_us = boot_us();
            let sample = |host_us| Sample { asked_us, host_us, came_us };
            let clock = hello.clock_us.map(|host_us| sample(host_us).offset(came_us));
            let account = in_short(&account, began.elapsed(), clock);
            let event = Event::Connected { host: goal.host, hello, account };
            Ok(Reached { wire, event, handshake_ms })
        }
        Ok(Ok(ToController::Bye(why))) => Err(failed(format!("the agent refused: {why}"))),
        Ok(Ok(_)) => Err(failed("the agent spoke before its hello".into())),
    }
}

/// An agent of a build that does not say so has seen a newer epoch.
fn is_refusal(hello: &AgentHello, epoch: u64) -> bool {
    hello.refusal.is_some() || hello.epoch > epoch
}

fn told(failure: &crate::transport::ConnectFailure) -> ConnectFailure {
    ConnectFailure {
        stage: failure.stage.to_string(),
        cause: Tainted::new(failure.cause.clone()),
        hint: (!failure.hint.is_empty()).then(|| failure.hint.clone()),
        // The pacer has tried again where that could help.
        retry: false,
    }
}

fn in_short(
    account: &LinkAccount,
    took: Duration,
    clock: Option<ClockOffset>,
) -> plush_core::run::LinkAccount {
    plush_core::run::LinkAccount {
        client: account.client.to_string(),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        agent_sent_bytes: match account.agent {
            AgentOrigin::Found => 0,
            AgentOrigin::Sent { sent_bytes } => sent_bytes,
        },
        host_key: account.host_key.clone(),
        clock,
    }
}
