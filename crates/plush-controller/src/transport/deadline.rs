//! Our own deadline for every stage of a connection, and the record of how long each took.
//!
//! Not a policy of retries: that is pacing's.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::failure::{ConnectFailure, Stage};

/// A connection to a host that has been reached before is given no less than this: the second SYN comes after a second.
const LEAST_TCP: Duration = Duration::from_secs(2);
/// A timer that rings so much too late says that this process did not run: what came meanwhile is read first.
const RANG_LATE: Duration = Duration::from_millis(250);
/// The most by which our own lateness multiplies a limit.
const MOST_FACTOR: u32 = 8;

/// Round trips from the connection to the first word of the script, and some to spare: a slow link has them on top.
const ROUND_TRIPS: u32 = 12;
/// A link is not believed to be slower than this.
const SLOWEST: Duration = Duration::from_secs(3);

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
    /// Everything but the shell and the upload.
    pub total: Duration,
    /// By what the controller's own lateness multiplies all of these; `None` where nobody measures it.
    pub lateness: Option<watch::Receiver<u64>>,
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
            lateness: None,
        }
    }
}

impl Deadlines {
    /// The same for a host whose login took so long the last time. That is seven round trips at least, so a connection
    /// that is not there after it will not come.
    #[must_use]
    pub fn of_known_host(self, login: Duration) -> Self {
        Self { tcp: login.max(LEAST_TCP).min(self.tcp), ..self }
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
    lateness: Option<watch::Receiver<u64>>,
    /// The worst of this attempt.
    factor: u32,
    /// What the limit of the whole does not count.
    uncounted: Duration,
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
            lateness: deadlines.lateness.clone(),
            factor: 1,
            uncounted: Duration::ZERO,
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

    /// Runs a step of a stage within its limit and the limit of the whole. Whoever has let us in, however slowly, is
    /// given the whole of its shell's time: there the limit of the whole counts no more.
    pub(crate) async fn guard<T>(
        &mut self,
        stage: Stage,
        limit: Duration,
        step: impl Future<Output = Result<T, ConnectFailure>>,
    ) -> Result<T, ConnectFailure> {
        self.notice_lateness();
        self.enter(stage);
        let left = match stage {
            Stage::Shell => limit.saturating_sub(self.entered.elapsed() / self.factor),
            _ => {
                let counted = self.began.elapsed().saturating_sub(self.uncounted);
                let total = self.total + ROUND_TRIPS * self.round_trip();
                total.saturating_sub(counted / self.factor)
            }
        };
        let before = Instant::now();
        let result = self.in_time(limit.min(left), step).await;
        if stage == Stage::Shell {
            self.uncounted += before.elapsed();
        }
        result.unwrap_or_else(|| Err(silent(stage, before.elapsed())))
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
        let result = self.in_time(limit, step).await;
        self.uncounted += before.elapsed();
        result.unwrap_or_else(|| Err(silent(stage, before.elapsed())))
    }

    /// Waits for the agent's turn to be sent, which is no fault of the host's.
    pub(crate) async fn wait_for_turn<T>(&mut self, turn: impl Future<Output = T>) -> T {
        let before = Instant::now();
        let turn = turn.await;
        self.uncounted += before.elapsed();
        turn
    }

    /// None when the limit has passed, which is longer while this process is late itself.
    async fn in_time<T>(&mut self, limit: Duration, step: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(step);
        self.notice_lateness();
        let mut due = Instant::now() + limit * self.factor;
        let last = Instant::now() + limit * MOST_FACTOR;
        loop {
            tokio::select! {
                biased;
                done = &mut step => return Some(done),
                () = tokio::time::sleep_until(due) => {}
            }
            let (before, late) = (self.factor, due.elapsed());
            self.notice_lateness();
            due += limit * (self.factor - before);
            if late >= RANG_LATE {
                due += late;
            }
            due = due.min(last);
            if due <= Instant::now() {
                return None;
            }
        }
    }

    /// What both the connection and the server's first word took, each of them a round trip: a server that accepts at
    /// once and speaks late is slow itself, and gets nothing for it.
    fn round_trip(&self) -> Duration {
        let took = |stage| {
            let all = self.passed.iter().filter(|(passed, _)| *passed == stage);
            all.map(|(_, took)| *took).min().unwrap_or_default()
        };
        took(Stage::Tcp).min(took(Stage::Banner)).min(SLOWEST)
    }

    fn notice_lateness(&mut self) {
        if let Some(lateness) = &self.lateness {
            let now = u32::try_from(*lateness.borrow()).unwrap_or(MOST_FACTOR);
            self.factor = self.factor.max(now).min(MOST_FACTOR);
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::failure::FailureClass;
    use super::*;

    /// A hundredth of the defaults.
    fn short() -> Deadlines {
        Deadlines { total: Duration::from_millis(190), ..Deadlines::default() }
    }

    async fn silent_for(
        dog: &mut Watchdog,
        stage: Stage,
        limit_ms: u64,
    ) -> (Duration, FailureClass) {
        let before = Instant::now();
        let step = std::future::pending::<Result<(), ConnectFailure>>();
        let failure = dog.guard(stage, Duration::from_millis(limit_ms), step).await.unwrap_err();
        (before.elapsed(), failure.class)
    }

    #[tokio::test]
    async fn f29_a_login_that_hangs_is_given_up_after_its_stage_s_limit_and_is_its_own_fault() {
        let mut dog = Watchdog::new(&short());
        let (took, class) = silent_for(&mut dog, Stage::Shell, 100).await;
        assert!(took.as_millis() >= 100);
        assert_eq!(class, FailureClass::Retryable);
    }

    #[tokio::test]
    async fn a_controller_that_becomes_late_gives_the_stage_more_time() {
        let (factors, factor) = watch::channel(1);
        let mut dog = Watchdog::new(&Deadlines { lateness: Some(factor), ..Deadlines::default() });
        let slowing = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            factors.send_replace(3);
        };
        let ((took, _), ()) = tokio::join!(silent_for(&mut dog, Stage::Banner, 900), slowing);
        assert!(took.as_millis() >= 2_700, "{took:?}");
    }

    #[tokio::test]
    async fn f40_whoever_has_let_us_in_slowly_is_given_the_whole_time_of_its_shell() {
        let mut dog = Watchdog::new(&Deadlines { total: Duration::from_millis(1_500), ..short() });
        let slowly = async {
            tokio::time::sleep(Duration::from_millis(800)).await;
            Ok(())
        };
        dog.guard(Stage::Auth, Duration::from_millis(1_000), slowly).await.unwrap();
        let (took, _) = silent_for(&mut dog, Stage::Shell, 1_000).await;
        assert!(took.as_millis() >= 1_000, "{took:?}");
    }

    /// One step after the other, each so long: whether all were in time.
    async fn all_pass(dog: &mut Watchdog, steps: &[(Stage, u64)]) -> bool {
        for (stage, ms) in steps {
            let step = async {
                tokio::time::sleep(Duration::from_millis(*ms)).await;
                Ok(())
            };
            if dog.guard(*stage, Duration::from_secs(9), step).await.is_err() {
                return false;
            }
        }
        true
    }

    #[tokio::test]
    async fn f40_a_slow_link_has_its_round_trips_on_top_and_a_slow_server_has_not() {
        let total = Deadlines { total: Duration::from_millis(700), ..Deadlines::default() };
        let link = [(Stage::Tcp, 200), (Stage::Banner, 200), (Stage::KeyExchange, 600)];
        assert!(all_pass(&mut Watchdog::new(&total), &link).await);
        let server = [(Stage::Tcp, 1), (Stage::Banner, 300), (Stage::KeyExchange, 30_000)];
        assert!(!all_pass(&mut Watchdog::new(&total), &server).await);
    }

    #[tokio::test]
    async fn waiting_for_a_turn_is_not_the_host_s_time() {
        let mut dog = Watchdog::new(&short());
        dog.wait_for_turn(tokio::time::sleep(Duration::from_millis(600))).await;
        let (took, class) = silent_for(&mut dog, Stage::Shell, 100).await;
        assert!(took.as_millis() >= 100, "{took:?}");
        assert_eq!(class, FailureClass::Retryable);
    }

    #[test]
    fn f01_a_known_host_is_given_as_long_as_its_login_took_within_bounds() {
        let tcp =
            |ms| Deadlines::default().of_known_host(Duration::from_millis(ms)).tcp.as_millis();
        assert_eq!((tcp(40), tcp(3_000), tcp(16_000)), (2_000, 3_000, 10_000));
    }
}
