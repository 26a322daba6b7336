//! Our own deadline for every stage of a connection, and the record of how long each took.
//!
//! Not a policy of retries: that is pacing's.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::failure::{ConnectFailure, Stage};

/// How long each stage may take. A stage also ends when the whole has taken too long.
#[derive(Clone, Debug)]
pub struct Deadlines {
    /// Resolving the name.
    pub resolve: Duration,
    /// Opening the TCP connection.
    pub tcp: Duration,
    /// From the connection to the server's first SSH line.
    pub banner: Duration,
    /// Key exchange with the check of the host key.
    pub key_exchange: Duration,
    /// Logging in.
    pub auth: Duration,
    /// From logged in to the first word of our script.
    pub shell: Duration,
    /// Sending the agent, on its own and not counted in `total`.
    pub upload: Duration,
    /// Everything but the upload.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            resolve: seconds(5),
            tcp: seconds(10),
            banner: seconds(9),
            key_exchange: seconds(9),
            auth: seconds(10),
            shell: seconds(10),
            upload: seconds(180),
            total: seconds(19),
        }
    }
}

/// Watches one attempt.
#[derive(Debug)]
pub(crate) struct Watchdog {
    began: Instant,
    total: Duration,
    entered: Instant,
    stage: Stage,
    passed: Vec<(Stage, Duration)>,
}

impl Watchdog {
    pub(crate) fn new(deadlines: &Deadlines) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            total: deadlines.total,
            entered: now,
            stage: Stage::Settings,
            passed: Vec::new(),
        }
    }

    /// Notes that a stage begins.
    pub(crate) fn enter(&mut self, stage: Stage) {
        if stage != self.stage {
            let now = Instant::now();
            self.passed.push((self.stage, now - self.entered));
            (self.stage, self.entered) = (stage, now);
        }
    }

    /// Runs a step of a stage within its limit and the limit of the whole.
    pub(crate) async fn guard<T>(
        &mut self,
        stage: Stage,
        limit: Duration,
        step: impl Future<Output = Result<T, ConnectFailure>>,
    ) -> Result<T, ConnectFailure> {
        let left = self.total.saturating_sub(self.began.elapsed());
        self.guard_alone(stage, limit.min(left), step).await
    }

    /// Runs a step that the limit of the whole does not count.
    pub(crate) async fn guard_alone<T>(
        &mut self,
        stage: Stage,
        limit: Duration,
        step: impl Future<Output = Result<T, ConnectFailure>>,
    ) -> Result<T, ConnectFailure> {
        self.enter(stage);
        let before = Instant::now();
        let result = tokio::time::timeout(limit, step).await;
        if stage == Stage::Upload {
            self.total += before.elapsed();
        }
        result.unwrap_or_else(|_| Err(silent(stage, before.elapsed())))
    }

    /// Since the attempt began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The stages so far, the present one included.
    pub(crate) fn stages(&self) -> Vec<(Stage, Duration)> {
        let mut all = self.passed.clone();
        all.push((self.stage, self.entered.elapsed()));
        all
    }
}

fn silent(stage: Stage, waited: Duration) -> ConnectFailure {
    let what = match stage {
        Stage::Settings | Stage::Start => "nothing happened",
        Stage::Resolve => "the name was not resolved",
        Stage::Tcp => "no connection was made (host down, or packets dropped)",
        Stage::Banner => "the server accepted the connection and never spoke SSH",
        Stage::KeyExchange | Stage::HostKey => {
            "the server sent its banner and then did not exchange keys"
        }
        Stage::Auth => "the server did not finish the login",
        Stage::Shell => "the login shell did not run our command (a start-up file that hangs?)",
        Stage::AgentDir | Stage::Upload => "the agent was not taken",
    };
    ConnectFailure::retryable(stage, format!("{what} within {:.1} s", waited.as_secs_f64()))
}
