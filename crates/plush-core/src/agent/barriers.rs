//! What programs on this host have asked of the run's barriers, and who waits for which answer.
//! Not the answers: the controller gives them.

use super::event::Effect;
use crate::Millis;
use plush_protocol::{BarrierAnswer, BarrierAsk, BarrierOutcome, Report};
use std::collections::BTreeMap;

/// A program that asked, numbered by the driver; never used twice.
pub type AskerId = u64;

/// Requests that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Barriers {
    waiting: BTreeMap<AskerId, BarrierAsk>,
    answers: Vec<Answer>,
}

#[derive(Clone, Debug)]
struct Answer {
    asker: AskerId,
    at: Option<Millis>,
    outcome: BarrierOutcome,
}

impl Barriers {
    /// A program asks: what is to be said to the controller.
    pub fn asked(&mut self, asker: AskerId, ask: BarrierAsk) -> Report {
        self.waiting.insert(asker, ask.clone());
        Report::Barrier(ask)
    }

    /// A program does not wait any more. What it has asked stands.
    pub fn gone(&mut self, asker: AskerId) {
        self.waiting.remove(&asker);
        self.answers.retain(|answer| answer.asker != asker);
    }

    /// The controller answers.
    pub fn answered(&mut self, answer: &BarrierAnswer) {
        let askers: Vec<AskerId> = self
            .waiting
            .iter()
            .filter(|(_, ask)| ask.request == answer.request)
            .map(|(asker, _)| *asker)
            .collect();
        for asker in askers {
            self.waiting.remove(&asker);
            let at = match answer.outcome {
                BarrierOutcome::LetGo { at_us, .. } => at_us.map(|us| us / 1_000),
                _ => None,
            };
            self.answers.push(Answer { asker, at, outcome: answer.outcome.clone() });
        }
    }

    /// What a controller that has forgotten everything has to be asked again.
    pub fn ask_again(&self) -> impl Iterator<Item = Report> {
        self.waiting.values().cloned().map(Report::Barrier)
    }

    /// Hands out the answers whose instant has come.
    pub fn decide(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let due = self.answers.extract_if(.., |answer| answer.at.is_none_or(|at| at <= now));
        effects.extend(
            due.map(|answer| Effect::AnswerProgram {
                asker: answer.asker,
                outcome: answer.outcome,
            }),
        );
    }

    pub fn wake_at(&self) -> Option<Millis> {
        self.answers.iter().map(|answer| answer.at.unwrap_or(0)).min()
    }
}
