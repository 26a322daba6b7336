//! The health of one task, as its probes say: when each is asked, and when answers count. On its host, and from afar.
//! Not the asking: drivers do that.

use crate::Millis;
use plush_protocol::{Health, ProbeCheck, ProbeRule};

/// The probes of one running task.
#[derive(Clone, Debug)]
pub struct Probing {
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
pub struct Question {
    /// Which of the probes.
    pub probe: usize,
    /// What is asked.
    pub check: ProbeCheck,
    /// No answer after so long is a wrong one.
    pub time_limit_ms: u64,
}

/// Probes of one running task that are asked over a network. It may be the network, or our own side, that gives the
/// wrong answer: one counts only when the host is heard after it.
#[derive(Clone, Debug)]
pub struct ProbingFromAfar {
    probing: Probing,
    /// Probes whose wrong answer waits for that. They are not asked meanwhile.
    doubted: Vec<usize>,
}

impl Probing {
    /// Nothing has been asked.
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

    /// When to be asked again though no answer comes.
    pub fn wake_at(&self) -> Option<Millis> {
        let at = |probe: &Probe| match probe.turn {
            Turn::New => Some(0),
            Turn::At(at) => Some(at),
            Turn::Asked => None,
        };
        self.probes.iter().filter_map(at).min()
    }
}

impl ProbingFromAfar {
    /// Nothing has been asked.
    pub fn new(rules: &[ProbeRule]) -> Self {
        ProbingFromAfar { probing: Probing::new(rules), doubted: Vec::new() }
    }

    /// The worst of the verdicts.
    pub fn health(&self) -> Health {
        self.probing.health()
    }

    /// An answer has come.
    pub fn answered(&mut self, probe: usize, passed: bool) {
        match passed {
            true => self.probing.answered(probe, true),
            false => self.doubted.push(probe),
        }
    }

    /// The task's host has been heard.
    pub fn heard(&mut self) {
        for probe in self.doubted.drain(..) {
            self.probing.answered(probe, false);
        }
    }

    /// Questions that are due now.
    pub fn decide(&mut self, now: Millis) -> Vec<Question> {
        self.probing.decide(now)
    }

    /// When to be asked again though no answer comes.
    pub fn wake_at(&self) -> Option<Millis> {
        self.probing.wake_at()
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

    #[test]
    fn from_afar_a_wrong_answer_counts_only_when_the_host_is_heard_after_it() {
        let rules = [ProbeRule { failures: 1, ..rule() }];
        let mut probing = ProbingFromAfar::new(&rules);
        let _ = (probing.decide(0), probing.decide(30));
        probing.heard();
        probing.answered(0, false);
        assert_eq!(probing.health(), Health::Unknown, "what was heard before says nothing");
        assert_eq!((probing.decide(10_000), probing.wake_at()), (vec![], None), "nobody asks");
        probing.heard();
        assert_eq!(probing.health(), Health::Unhealthy);
    }

    #[test]
    fn from_afar_a_right_answer_counts_at_once() {
        let rules = [ProbeRule { successes: 1, ..rule() }];
        let mut probing = ProbingFromAfar::new(&rules);
        let _ = (probing.decide(0), probing.decide(30));
        probing.answered(0, true);
        assert_eq!(probing.health(), Health::Healthy);
    }
}
