//! Barriers whose opening a program may overrule, and those who are told that one has opened.
//! Not how programs are asked: see `asking`. Not when a barrier would open: that is its own rule.

use super::Run;
use super::asking::{Decision, Happening, Subject};
use crate::barrier::{Barrier, Entrant, Opened, Opening, Pending};
use crate::plan::HostId;
use plush_protocol::BarrierView;
use plush_spec::model::{Hook, HookPlace};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a program may say before a barrier opens.
const WORDS: [&str; 2] = ["open", "wait"];
/// A program that wants to wait and does not say how long is asked again after this.
const WAIT_MS: u64 = 1_000;

/// One barrier of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum WhichBarrier {
    /// The phase `prepare` of a cluster.
    Prepare(usize),
    /// The phase `ready` of a cluster.
    Ready(usize),
    /// One of the description's.
    Named(usize),
}

impl Run {
    /// Asks about every opening that a program may overrule, once, and tells of those that have happened.
    pub(super) fn ask_about_barriers(&mut self) {
        for which in self.barriers_with_listeners() {
            if let Some((generation, pending)) = self.pending(which)
                && self.asking.is_new_question((which, generation, pending.since))
            {
                self.ask_before_opening(which, generation, &pending);
            }
            let openings = self.openings(which);
            if let Some((oldest, _)) = openings.first() {
                self.asking.forget_openings(which, *oldest);
            }
            for (generation, opened) in openings {
                if self.asking.is_new_opening((which, generation)) {
                    self.tell_of_opening(which, generation, &opened);
                }
            }
        }
    }

    /// What the program says holds; without an answer the rule does, at once.
    pub(super) fn overrule(
        &mut self,
        (which, generation): (WhichBarrier, u32),
        decision: Option<&Decision>,
    ) {
        let now = self.now;
        let Some((current, pending)) = self.pending(which) else { return };
        if current != generation {
            return;
        }
        let word = decision.and_then(|d| d.word.as_deref());
        match word {
            Some("wait") => {
                let wait_ms = decision.and_then(|d| d.wait_ms).unwrap_or(WAIT_MS).max(1);
                self.hold(which, now.saturating_add(wait_ms));
            }
            Some(_) => self.open_barrier(which, Opening::Callback),
            None => self.open_barrier(which, pending.why),
        }
    }

    /// The words that a program may answer with, for [`super::asking`].
    pub(super) fn barrier_words() -> &'static [&'static str] {
        &WORDS
    }

    fn barriers_with_listeners(&self) -> Vec<WhichBarrier> {
        let told = self.plan.project.callbacks.iter().any(|c| c.event.as_str() == "barrier_opened");
        let clusters = 0..self.clusters.len();
        let phases = clusters.flat_map(|c| [WhichBarrier::Prepare(c), WhichBarrier::Ready(c)]);
        let all = phases.chain((0..self.barriers.len()).map(WhichBarrier::Named));
        all.filter(|which| told || self.hook_of(*which).is_some()).collect()
    }

    fn hook_of(&self, which: WhichBarrier) -> Option<&Hook> {
        let policy = match which {
            WhichBarrier::Prepare(cluster) => self.clusters[cluster].prepare.policy(),
            WhichBarrier::Ready(cluster) => self.clusters[cluster].ready.policy(),
            WhichBarrier::Named(number) => self.barriers[number].rounds().policy(),
        };
        policy.callback.as_ref()
    }

    fn pending(&self, which: WhichBarrier) -> Option<(u32, Pending)> {
        let first = |machine: &Barrier| Some((1, machine.pending_opening(self.now)?));
        match which {
            WhichBarrier::Prepare(cluster) => first(&self.clusters[cluster].prepare),
            WhichBarrier::Ready(cluster) => first(&self.clusters[cluster].ready),
            WhichBarrier::Named(number) => self.barriers[number].rounds().pending_opening(self.now),
        }
    }

    fn openings(&self, which: WhichBarrier) -> Vec<(u32, Opened)> {
        let first = |machine: &Barrier| machine.opened().map(|o| (1, *o)).into_iter().collect();
        match which {
            WhichBarrier::Prepare(cluster) => first(&self.clusters[cluster].prepare),
            WhichBarrier::Ready(cluster) => first(&self.clusters[cluster].ready),
            WhichBarrier::Named(number) => {
                let rounds = self.barriers[number].rounds().rounds();
                rounds.filter_map(|r| Some((r.generation, *r.barrier.opened()?))).collect()
            }
        }
    }

    fn hold(&mut self, which: WhichBarrier, until: u64) {
        match which {
            WhichBarrier::Prepare(cluster) => self.clusters[cluster].prepare.hold(until),
            WhichBarrier::Ready(cluster) => self.clusters[cluster].ready.hold(until),
            WhichBarrier::Named(number) => self.barriers[number].hold(until),
        }
    }

    fn open_barrier(&mut self, which: WhichBarrier, why: Opening) {
        let now = self.now;
        match which {
            WhichBarrier::Prepare(cluster) => self.clusters[cluster].prepare.open_now(why, now),
            WhichBarrier::Ready(cluster) => self.clusters[cluster].ready.open_now(why, now),
            WhichBarrier::Named(number) => self.barriers[number].open_now(why, now),
        }
    }

    fn ask_before_opening(&mut self, which: WhichBarrier, generation: u32, pending: &Pending) {
        let Some(hook) = self.hook_of(which).cloned() else { return };
        let happening = self
            .about_barrier("barrier_opening", which, generation)
            .with("why", pending.why.to_string())
            .with("default", "open");
        let host = match hook.at {
            HookPlace::Controller => None,
            // The barrier is about no single host: the first that has come and can be reached is asked.
            HookPlace::Host => match happening.hosts().iter().find(|h| self.is_reachable(**h)) {
                Some(host) => Some(*host),
                None => return,
            },
        };
        self.ask(Subject::Barrier(which, generation), hook, host, &happening);
    }

    fn tell_of_opening(&mut self, which: WhichBarrier, generation: u32, opened: &Opened) {
        let happening = self
            .about_barrier("barrier_opened", which, generation)
            .with("why", opened.why.to_string())
            .with("waited_ms", opened.waited_ms);
        self.tell(&happening);
    }

    pub(super) fn is_reachable(&self, host: HostId) -> bool {
        self.hosts[host.index()].is_up()
    }

    /// The barrier as a program reads of it; on the hosts that have come.
    fn about_barrier(&self, kind: &'static str, which: WhichBarrier, generation: u32) -> Happening {
        let phase =
            |cluster: usize, phase| format!("{}/{phase}", self.plan.clusters[cluster].name());
        let own = |entrant: Entrant| Some(HostId(entrant.0));
        let (name, machine) = match which {
            WhichBarrier::Prepare(c) => (phase(c, "prepare"), Some(&self.clusters[c].prepare)),
            WhichBarrier::Ready(c) => (phase(c, "ready"), Some(&self.clusters[c].ready)),
            WhichBarrier::Named(number) => {
                let name = self.plan.project.barriers[number].name.to_string();
                (name, self.barriers[number].rounds().round(generation))
            }
        };
        let host_of = |entrant| match which {
            WhichBarrier::Named(number) => self.barriers[number].host_of(entrant),
            WhichBarrier::Prepare(_) | WhichBarrier::Ready(_) => own(entrant),
        };
        let happening = Happening::new(kind).with("barrier", name).with("generation", generation);
        let Some(machine) = machine else { return happening };
        let come = machine.history().filter(|(_, passage)| passage.entered_at.is_some());
        let mut come: Vec<HostId> = come.filter_map(|(entrant, _)| host_of(entrant)).collect();
        come.dedup();
        let missing = machine.missing().take(BarrierView::MISSING_SHOWN).filter_map(host_of);
        let missing: Vec<Value> = missing.map(|h| self.plan.host_name(h).into()).collect();
        happening
            .with("expected", machine.expected())
            .with("entered", machine.entered())
            .with("missing", missing)
            .on(come)
    }
}
