//! What a watcher is told when a barrier opens: which policy, why, after how long, and who is missing.
//! Not the barriers as a table: that is `barriers`.

use crate::duration;
use crate::render::{names, text};
use plush_protocol::view::{BarrierView, RunView};
use serde::Serialize;
use std::collections::BTreeSet;

/// Folded hosts of one line are cut beyond so many characters.
const HOSTS_WIDTH: usize = 100;
/// A full house that was there within this time is no news.
const NEWS_MS: u64 = 1_000;

/// Whose opening has been told.
#[derive(Debug, Default)]
pub struct Openings {
    /// Names and rounds; those that the view shows no more do not come back.
    told: BTreeSet<(String, u32)>,
}

/// One opening, as an object of `--events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename = "opened")]
pub struct Opening {
    /// When, in ms since the run began.
    pub at_ms: u64,
    /// `CLUSTER/prepare`, `CLUSTER/ready`, or the name in the description.
    pub barrier: String,
    /// Which round, from 1.
    pub generation: u32,
    /// The policy that fired: `all`, `percent`, ...
    pub policy: String,
    /// Why, with its numbers.
    pub because: String,
    /// From the first entry.
    pub waited_ms: u64,
    /// How many had come.
    pub entered: u32,
    /// How many were expected.
    pub expected: u32,
    /// Hosts absent when it opened, as a host set; only the first of very many.
    pub missing: String,
}

impl Openings {
    /// Barriers that have opened since the view before.
    pub fn news(&mut self, view: &RunView) -> Vec<Opening> {
        let key = |barrier: &BarrierView| (barrier.name.clone(), barrier.generation);
        let told = std::mem::take(&mut self.told);
        let opened = view.barriers.iter().filter(|barrier| barrier.opened.is_some());
        self.told = opened.clone().map(key).collect();
        opened.filter(|b| !told.contains(&key(b))).filter_map(Opening::of).collect()
    }
}

impl Opening {
    fn of(barrier: &BarrierView) -> Option<Opening> {
        // Hosts that had failed before are no longer expected, but were absent when it opened.
        let missing = barrier.missing.iter().chain(&barrier.without).map(String::as_str);
        let missing: Vec<&str> = missing.collect::<BTreeSet<&str>>().into_iter().collect();
        let policy = barrier.opened.clone()?;
        Some(Opening {
            at_ms: barrier.opened_at_ms.unwrap_or_default(),
            barrier: barrier.name.clone(),
            generation: barrier.generation,
            because: barrier.because.clone().unwrap_or_else(|| policy.clone()),
            policy,
            waited_ms: barrier.waited_ms,
            entered: barrier.entered,
            expected: barrier.expected,
            missing: names::fold_within(&missing, usize::MAX),
        })
    }

    /// Somebody is missing, or somebody had to wait.
    pub fn is_worth_a_line(&self) -> bool {
        !self.missing.is_empty() || self.waited_ms >= NEWS_MS
    }

    /// For people.
    pub fn line(&self) -> String {
        let round = match self.generation {
            1 => String::new(),
            round => format!(" (round {round})"),
        };
        let line = format!(
            "plush: barrier {}{round} opened after {} by policy `{}`: {}; {} of {} entered",
            text::shown(&self.barrier),
            duration::show_ms(self.waited_ms),
            text::shown(&self.policy),
            text::shown(&self.because),
            self.entered,
            self.expected
        );
        match self.missing.is_empty() {
            true => line,
            false => format!("{line}, without {}", text::cut(&self.missing, HOSTS_WIDTH)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    fn opened(missing: &[&str]) -> RunView {
        let mut view = samples::complete();
        view.barriers.truncate(1);
        let barrier = &mut view.barriers[0];
        barrier.name = "meet".into();
        barrier.opened = Some("percent".into());
        barrier.because = Some("8 have come, the share asked for".into());
        (barrier.entered, barrier.expected) = (8, 10);
        (barrier.waited_ms, barrier.opened_at_ms) = (23_000, Some(30_000));
        barrier.missing = missing.iter().map(|name| (*name).to_owned()).collect();
        view
    }

    #[test]
    fn an_opening_is_told_once_with_policy_reason_wait_and_who_is_missing() {
        let mut openings = Openings::default();
        let view = opened(&["n1", "n2"]);
        let news = openings.news(&view);
        assert_eq!(
            news[0].line(),
            "plush: barrier meet opened after 23 s by policy `percent`: 8 have come, the share asked for; \
             8 of 10 entered, without n[1-2]"
        );
        assert_eq!(openings.news(&view), []);
    }

    #[test]
    fn the_next_round_is_told_too() {
        let mut openings = Openings::default();
        let mut view = opened(&[]);
        assert_eq!(openings.news(&view).len(), 1);
        view.barriers[0].generation = 2;
        assert!(openings.news(&view)[0].line().contains("meet (round 2) opened"));
    }

    #[test]
    fn a_closed_barrier_is_no_news() {
        let mut view = opened(&[]);
        view.barriers[0].opened = None;
        assert_eq!(Openings::default().news(&view), []);
    }

    #[test]
    fn a_full_house_without_a_wait_is_an_event_and_no_line() {
        let mut view = opened(&[]);
        view.barriers[0].waited_ms = 20;
        let news = Openings::default().news(&view);
        assert!(!news[0].is_worth_a_line());
        let said = serde_json::to_value(&news[0]).unwrap();
        assert_eq!((&said["is"], &said["barrier"]), (&"opened".into(), &"meet".into()));
    }
}
