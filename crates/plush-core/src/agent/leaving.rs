//! How an agent leaves its host: end, remove, tell, wait to be heard, exit.
//! Not the removing itself.

use super::event::{CleanUpSpec, Effect};
use crate::Millis;
use plush_protocol::Report;

/// An agent that has cleaned up and has no link ends after so long, heard or not.
const UNHEARD_MS: u64 = 60 * 1000;

/// As before, with a link whose controller does not acknowledge.
const UNHEARD_LINKED_MS: u64 = 10 * 60 * 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// Tasks and preparations are being ended.
    Ending(CleanUpSpec),
    /// Files are being removed.
    Removing,
    /// All is removed and reported.
    Told {
        cleaned: Report,
        waiting: Waiting,
    },
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    NotYet,
    Linked { until: Millis },
    Alone { until: Millis },
}

impl Leaving {
    /// Begins, unless it has begun.
    pub fn begin(&mut self, spec: CleanUpSpec) {
        if *self == Leaving::No {
            *self = Leaving::Ending(spec);
        }
    }

    pub fn has_begun(&self) -> bool {
        *self != Leaving::No
    }

    /// The files are going, or gone: whatever is written to the run's directory now is never removed (C2).
    pub fn takes_files(&self) -> bool {
        matches!(self, Leaving::Removing | Leaving::Told { .. } | Leaving::Gone)
    }

    pub fn is_ending(&self) -> bool {
        matches!(self, Leaving::Ending(_))
    }

    /// The files are removed; whether that was awaited.
    pub fn removed(&mut self, cleaned: &Report) -> bool {
        let awaited = *self == Leaving::Removing;
        if awaited {
            *self = Leaving::Told { cleaned: cleaned.clone(), waiting: Waiting::NotYet };
        }
        awaited
    }

    /// What was said last, for a controller that did not hear it.
    pub fn last_word(&self) -> Option<&Report> {
        match self {
            Leaving::Told { cleaned, .. } => Some(cleaned),
            Leaving::No | Leaving::Ending(_) | Leaving::Removing | Leaving::Gone => None,
        }
    }

    pub fn decide(&mut self, now: Millis, quiet: bool, told: bool, linked: bool) -> Option<Effect> {
        match self {
            Leaving::Ending(spec) if quiet => {
                let effect = Effect::Remove(spec.clone());
                *self = Leaving::Removing;
                Some(effect)
            }
            Leaving::Told { waiting, .. } => {
                *waiting = match (*waiting, linked) {
                    (Waiting::Linked { until }, true) => Waiting::Linked { until },
                    (Waiting::Alone { until }, false) => Waiting::Alone { until },
                    (_, true) => Waiting::Linked { until: now.saturating_add(UNHEARD_LINKED_MS) },
                    (_, false) => Waiting::Alone { until: now.saturating_add(UNHEARD_MS) },
                };
                let (Waiting::Linked { until } | Waiting::Alone { until }) = *waiting else {
                    return None;
                };
                (told || now >= until).then(|| {
                    *self = Leaving::Gone;
                    Effect::Exit
                })
            }
            Leaving::No | Leaving::Ending(_) | Leaving::Removing | Leaving::Gone => None,
        }
    }

    pub fn wake_at(&self) -> Option<Millis> {
        match self {
            Leaving::Told { waiting: Waiting::NotYet, .. } => Some(0),
            Leaving::Told {
                waiting: Waiting::Linked { until } | Waiting::Alone { until }, ..
            } => Some(*until),
            Leaving::No | Leaving::Ending(_) | Leaving::Removing | Leaving::Gone => None,
        }
    }
}
