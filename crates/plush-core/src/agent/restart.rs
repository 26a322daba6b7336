//! When a task that ended is started again: after which ends, how long after, how often.
//! Not the starting, and not what follows once it is not started any more: the controller decides that.

use crate::Millis;
use plush_protocol::{
    Ambiguous, CauseKind, Exit, RestartRule, RestartWhen, TaskKey, TaskSpec, TaskState,
};
use std::collections::VecDeque;

/// The restarts of one task.
#[derive(Clone, Debug)]
pub(super) struct Restarts {
    rule: RestartRule,
    success_codes: Vec<i32>,
    /// When it was started again: those that the budget counts, oldest first; never more than the budget.
    counted: VecDeque<Millis>,
    /// Restarts since an incarnation lived long.
    in_row: u32,
}

/// What an end counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Success,
    Failure,
    /// Somebody wanted it, or trying again cannot help.
    Final,
}

impl Restarts {
    pub fn new(rule: RestartRule, success_codes: Vec<i32>) -> Self {
        Restarts { rule, success_codes, counted: VecDeque::new(), in_row: 0 }
    }

    /// An incarnation after the first was started then.
    pub fn started(&mut self, at: Millis) {
        self.in_row = self.in_row.saturating_add(1);
        if self.rule.max.is_some() {
            self.counted.push_back(at);
        }
    }

    /// When the next incarnation is to start; `None` if none is.
    pub fn after(&mut self, now: Millis, key: TaskKey, end: &TaskState) -> Option<Millis> {
        let wanted = is_followed(&self.rule, judge(&self.rule, &self.success_codes, end));
        if let TaskState::Exited { ran_ms, .. } = end
            && *ran_ms >= self.rule.backoff_max_ms
        {
            self.in_row = 0;
        }
        (wanted && self.has_budget(now)).then(|| now.saturating_add(self.wait_ms(key)))
    }

    fn has_budget(&mut self, now: Millis) -> bool {
        let Some(max) = self.rule.max else { return true };
        if let Some(window) = self.rule.window_ms {
            while self.counted.front().is_some_and(|at| at.saturating_add(window) <= now) {
                self.counted.pop_front();
            }
        }
        self.counted.len() < max as usize
    }

    /// The first restart in a row comes at once, then the wait doubles. The jitter is up to a quarter more, by the key,
    /// so that a hundred tasks that fail together do not come back together.
    fn wait_ms(&self, key: TaskKey) -> Millis {
        let Some(doublings) = self.in_row.checked_sub(1) else { return 0 };
        let doubled = self.rule.backoff_min_ms.saturating_mul(1 << doublings.min(32));
        let wait = doubled.min(self.rule.backoff_max_ms);
        let lot = u64::from(key.task).wrapping_mul(7_919) ^ u64::from(key.incarnation) << 7;
        let mixed = lot.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        wait.saturating_add(mixed % (wait / 4 + 1))
    }
}

/// Whether another incarnation may follow one that ended so: then whatever it has left behind has to be ended before its
/// end is told, or two would live side by side (P5). Whether the budget allows another one is another question.
pub fn may_be_followed(spec: &TaskSpec, exit: &Exit) -> bool {
    let is_one = |rule| is_followed(rule, judge_exit(rule, &spec.success_codes, exit));
    spec.restart.as_ref().is_some_and(is_one)
}

fn is_followed(rule: &RestartRule, end: End) -> bool {
    match (end, rule.when) {
        (End::Failure, _) | (End::Success, RestartWhen::Always) => true,
        (End::Success, RestartWhen::Failure) | (End::Final, _) => false,
    }
}

fn judge(rule: &RestartRule, success_codes: &[i32], end: &TaskState) -> End {
    match end {
        TaskState::Starting | TaskState::Running { .. } => End::Final,
        TaskState::NotStarted(cause) => match cause.kind {
            CauseKind::Resource | CauseKind::DiskFull | CauseKind::System => End::Failure,
            CauseKind::Fetch
            | CauseKind::BadPackage
            | CauseKind::Program
            | CauseKind::Exec
            | CauseKind::TimeLimit
            | CauseKind::Cancelled => End::Final,
        },
        TaskState::Exited { exit, .. } => judge_exit(rule, success_codes, exit),
    }
}

fn judge_exit(rule: &RestartRule, success_codes: &[i32], exit: &Exit) -> End {
    match exit {
        _ if exit.is_among(success_codes) => End::Success,
        Exit::Code(_) | Exit::Signal { .. } => End::Failure,
        Exit::Stopped { why } if why == "time-limit" || why == Exit::PROBE => End::Failure,
        Exit::Stopped { .. } => End::Final,
        Exit::Lost => match rule.ambiguous {
            Ambiguous::Restart => End::Failure,
            Ambiguous::Fail => End::Final,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULE: RestartRule = RestartRule {
        when: RestartWhen::Failure,
        max: Some(3),
        window_ms: Some(10_000),
        backoff_min_ms: 100,
        backoff_max_ms: 1_000,
        ambiguous: Ambiguous::Restart,
    };

    fn key(incarnation: u32) -> TaskKey {
        TaskKey { task: 5, incarnation }
    }

    fn exited(exit: Exit, ran_ms: u64) -> TaskState {
        TaskState::Exited { exit, out_bytes: 0, err_bytes: 0, ran_ms, ended_us: None }
    }

    fn crash() -> TaskState {
        exited(Exit::Code(1), 5)
    }

    fn restarts() -> Restarts {
        Restarts::new(RULE, vec![0])
    }

    #[test]
    fn the_first_restart_comes_at_once_and_the_next_ones_wait_longer_and_longer() {
        let mut restarts = Restarts::new(RestartRule { max: None, ..RULE }, vec![0]);
        let mut waits = Vec::new();
        for incarnation in 1..=7 {
            let at = restarts.after(50, key(incarnation), &crash()).unwrap();
            restarts.started(at);
            waits.push(at - 50);
        }
        assert_eq!(waits[0], 0);
        for (wait, least) in waits[1..].iter().zip([100, 200, 400, 800, 1_000, 1_000]) {
            assert!((least..=least + least / 4).contains(wait), "{waits:?}");
        }
    }

    #[test]
    fn f72_a_crash_loop_ends_with_its_budget() {
        let mut restarts = restarts();
        for incarnation in 1..=3 {
            let at = restarts.after(0, key(incarnation), &crash()).unwrap();
            restarts.started(at);
        }
        assert_eq!(restarts.after(5_000, key(4), &crash()), None);
    }

    #[test]
    fn an_incarnation_that_lived_long_begins_a_new_row_and_leaves_the_window() {
        let mut restarts = restarts();
        for incarnation in 1..=3 {
            let at = restarts.after(0, key(incarnation), &crash()).unwrap();
            restarts.started(at);
        }
        let long = exited(Exit::Signal { signal: 11, oom: false }, 20_000);
        assert_eq!(restarts.after(20_000, key(4), &long), Some(20_000));
    }

    #[test]
    fn what_somebody_wanted_is_not_undone() {
        let stopped = |why: &str| exited(Exit::Stopped { why: why.into() }, 1);
        assert_eq!(restarts().after(0, key(1), &stopped("stop")), None);
        assert_eq!(restarts().after(0, key(1), &stopped("lease")), None);
        assert_eq!(restarts().after(0, key(1), &stopped("time-limit")), Some(0));
        assert_eq!(restarts().after(0, key(1), &stopped(Exit::PROBE)), Some(0));
        assert_eq!(restarts().after(0, key(1), &exited(Exit::Code(0), 1)), None);
    }

    #[test]
    fn an_end_by_a_signal_that_the_description_accepts_is_a_success_unless_memory_ran_out() {
        let by = |signal, oom| exited(Exit::Signal { signal, oom }, 1);
        let after = |end| Restarts::new(RULE, vec![0, 143, 137]).after(0, key(1), &end);
        assert_eq!(after(by(15, false)), None);
        assert_eq!(after(by(2, false)), Some(0));
        assert_eq!(after(by(9, false)), None);
        assert_eq!(after(by(9, true)), Some(0));
    }

    #[test]
    fn f21_a_start_that_the_host_refused_is_tried_again_and_a_missing_program_is_not() {
        let never =
            |kind| TaskState::NotStarted(plush_protocol::Cause { kind, text: Default::default() });
        assert_eq!(restarts().after(0, key(1), &never(CauseKind::Resource)), Some(0));
        assert_eq!(restarts().after(0, key(1), &never(CauseKind::Exec)), None);
    }

    #[test]
    fn an_end_that_nobody_saw_counts_as_the_rule_says() {
        let lost = exited(Exit::Lost, 0);
        assert_eq!(restarts().after(0, key(1), &lost), Some(0));
        let rule = RestartRule { ambiguous: Ambiguous::Fail, ..RULE };
        assert_eq!(Restarts::new(rule, vec![0]).after(0, key(1), &lost), None);
    }

    proptest! {
        /// P6: in any window the starts are within the budget, and no delay is shorter than its back-off.
        #[test]
        fn p6_the_budget_and_the_back_off_hold(lives in proptest::collection::vec(0u64..3_000, 1..200)) {
            let (mut restarts, mut now, mut starts) = (restarts(), 0, Vec::new());
            let mut in_row = 0u32;
            for (incarnation, life) in (1..).zip(lives) {
                now += life;
                if life >= RULE.backoff_max_ms { in_row = 0; }
                let end = exited(Exit::Code(1), life);
                let Some(at) = restarts.after(now, key(incarnation), &end) else { break };
                let least = in_row.checked_sub(1).map_or(0, |n| (100u64 << n.min(9)).min(1_000));
                prop_assert!(at - now >= least);
                restarts.started(at);
                in_row += 1;
                starts.push(at);
                now = at;
            }
            for (n, start) in starts.iter().enumerate() {
                let inside = starts[n..].iter().take_while(|at| **at < start + 10_000).count();
                prop_assert!(inside <= 3, "{starts:?}");
            }
        }
    }
}
