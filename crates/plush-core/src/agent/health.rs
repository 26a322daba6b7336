//! The health of one task, as its probes say: when each is asked, and when answers count.
//! Not the asking: the driver does that.

use crate::Millis;
use plush_protocol::{Health, ProbeCheck, ProbeRule};

/// The probes of one running task.
#[derive(Clone, Debug)]
pub(super) struct Probing {
    probes: Vec<Probe>,
}

#[derive(Clone, Debug)]
struct Probe {
    rule: ProbeRule,
    turn: Turn,
    row: Row,
    verdict: Health,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The program runs, and nobody has said when this is.
    New,
    At(Millis),
    Asked,
}

/// Answers of one kind in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    None,
    Passed(u32),
    Failed(u32),
}

/// One question that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub probe: usize,
    pub check: ProbeCheck,
    pub time_limit_ms: u64,
}

impl Probing {
    pub fn new(rules: &[ProbeRule]) -> Self {
        let probe = |rule: &ProbeRule| Probe {
            rule: rule.clone(),
            turn: Turn::New,
            row: Row::None,
            verdict: Health::Unknown,
        };
        Probing { probes: rules.iter().map(probe).collect() }
    }

    /// The worst of the verdicts.
    pub fn health(&self) -> Health {
        self.probes.iter().map(|p| p.verdict).min().unwrap_or(Health::Healthy)
    }

    /// An answer has come.
    pub fn answered(&mut self, probe: usize, passed: bool) {
        let Some(probe) = self.probes.get_mut(probe).filter(|p| p.turn == Turn::Asked) else {
            return;
        };
        // The next turn is counted from the answer: a slow host is not asked faster than it answers.
        probe.turn = Turn::New;
        probe.row = match (probe.row, passed) {
            (Row::Passed(n), true) => Row::Passed(n.saturating_add(1)),
            (Row::Failed(n), false) => Row::Failed(n.saturating_add(1)),
            (_, true) => Row::Passed(1),
            (_, false) => Row::Failed(1),
        };
        match probe.row {
            Row::Passed(n) if n >= probe.rule.successes => probe.verdict = Health::Healthy,
            Row::Failed(n) if n >= probe.rule.failures => probe.verdict = Health::Unhealthy,
            Row::None | Row::Passed(_) | Row::Failed(_) => {}
        }
    }

    /// Questions that are due now.
    pub fn decide(&mut self, now: Millis) -> Vec<Question> {
        let mut due = Vec::new();
        for (number, probe) in self.probes.iter_mut().enumerate() {
            if probe.turn == Turn::New {
                let wait = match probe.row {
                    Row::None => probe.rule.delay_ms,
                    Row::Passed(_) | Row::Failed(_) => probe.rule.every_ms.max(1),
                };
                probe.turn = Turn::At(now.saturating_add(wait));
            }
            if let Turn::At(at) = probe.turn
                && at <= now
            {
                probe.turn = Turn::Asked;
                due.push(Question {
                    probe: number,
                    check: probe.rule.check.clone(),
                    time_limit_ms: probe.rule.time_limit_ms,
                });
            }
        }
        due
    }

    pub fn wake_at(&self) -> Option<Millis> {
        let at = |probe: &Probe| match probe.turn {
            Turn::New => Some(0),
            Turn::At(at) => Some(at),
            Turn::Asked => None,
        };
        self.probes.iter().filter_map(at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> ProbeRule {
        ProbeRule {
            check: ProbeCheck::Tcp(80),
            every_ms: 100,
            time_limit_ms: 50,
            delay_ms: 30,
            failures: 2,
            successes: 2,
        }
    }

    /// Lets time pass to the next question and answers it.
    fn answer(probing: &mut Probing, now: &mut Millis, passed: bool) -> Health {
        while probing.decide(*now).is_empty() {
            *now = probing.wake_at().unwrap().max(*now + 1);
        }
        probing.answered(0, passed);
        probing.health()
    }

    #[test]
    fn only_so_many_answers_of_one_kind_in_a_row_count() {
        let (mut probing, mut now) = (Probing::new(&[rule()]), 1_000);
        let said: Vec<Health> = [false, true, false, true, true, false, true, false, false, true]
            .into_iter()
            .map(|passed| answer(&mut probing, &mut now, passed))
            .collect();
        use Health::{Healthy as H, Unhealthy as U, Unknown as N};
        assert_eq!(said, [N, N, N, N, H, H, H, H, U, U]);
    }

    #[test]
    fn the_first_question_waits_for_the_delay_and_the_next_for_the_period() {
        let mut probing = Probing::new(&[rule()]);
        assert_eq!(probing.decide(1_000), []);
        assert_eq!(probing.wake_at(), Some(1_030));
        assert_eq!(probing.decide(1_030).len(), 1);
        assert_eq!((probing.decide(1_040), probing.wake_at()), (vec![], None));
        probing.answered(0, true);
        assert_eq!(probing.decide(1_050), []);
        assert_eq!(probing.wake_at(), Some(1_150));
    }

    #[test]
    fn a_task_is_as_healthy_as_its_worst_probe() {
        let mut probing = Probing::new(&[rule(), ProbeRule { successes: 1, ..rule() }]);
        let _ = (probing.decide(0), probing.decide(30));
        probing.answered(1, true);
        assert_eq!(probing.health(), Health::Unknown);
    }
}
