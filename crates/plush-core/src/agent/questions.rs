//! Programs of the description that run on this host to answer the controller.
//! Not what is asked, nor what an answer means: those are the run's.

use super::event::Effect;
use plush_protocol::Question;
use std::collections::BTreeSet;

#[derive(Clone, Debug, Default)]
pub(super) struct Questions {
    new: Vec<Question>,
    running: BTreeSet<u32>,
    cancelled: bool,
}

impl Questions {
    pub fn ask(&mut self, question: Question) {
        self.new.push(question);
    }

    pub fn answered(&mut self, number: u32) {
        self.running.remove(&number);
    }

    /// Nothing of them runs on this host.
    pub fn is_idle(&self) -> bool {
        self.new.is_empty() && self.running.is_empty()
    }

    pub fn decide(&mut self) -> Vec<Effect> {
        let new = std::mem::take(&mut self.new);
        self.running.extend(new.iter().map(|question| question.number));
        new.into_iter().map(Effect::Ask).collect()
    }

    /// What runs is ended: the host is being left.
    pub fn cancel_all(&mut self) -> Option<Effect> {
        let first = !std::mem::replace(&mut self.cancelled, true);
        (first && !self.is_idle()).then_some(Effect::CancelQuestions)
    }
}
