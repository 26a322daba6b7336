//! What follows a failure where the description has a word for it, or a program that is asked for one.
//! Not how a lost host's place is given away: that is `recovery`'s. Not how programs are asked: that is `asking`'s.
//!
//! While a program is asked, what has failed is neither over nor goes on: the step of a process is not done, the place of
//! a host is kept, a cluster that is too small is not given up. Without an answer the default holds.

use super::asking::{Decision, Happening, Subject};
use super::member::{Shortage, Stage, StepStand};
use super::task::{Sequel, Verdict};
use super::{Run, Stopping};
use crate::Millis;
use crate::plan::{HostId, Replace};
use plush_protocol::Exit;
use plush_spec::model::{Action, Hook, HookPlace, Reaction, ServiceClass};

/// What a program may say about a process that failed: `skip` is the default.
const OF_PROCESS: [&str; 6] = ["skip", "continue", "restart", "replace", "drop", "fail"];
/// About a host that was lost.
const OF_HOST: [&str; 4] = ["replace", "continue", "drop", "fail"];
/// About a cluster with too few hosts: `fail` is the default, and leads to the application's reaction.
const OF_CLUSTER: [&str; 3] = ["continue", "drop", "fail"];
/// About an application that would fail for that.
const OF_APPLICATION: [&str; 2] = ["continue", "fail"];

/// What may be said about a failure.
pub(super) fn words(subject: &Subject) -> &'static [&'static str] {
    match subject {
        Subject::Told | Subject::Barrier(..) => &[],
        Subject::Process { .. } => &OF_PROCESS,
        Subject::Host(_) => &OF_HOST,
        Subject::Cluster(_) => &OF_CLUSTER,
        Subject::Application(_) => &OF_APPLICATION,
    }
}

impl Run {
    /// A task failed for good, as far as its agent is concerned.
    pub(super) fn react_to_process(&mut self, number: usize) {
        match self.reaction_to(number) {
            Some(Reaction::Call(hook)) if self.ask_about_process(number, &hook) => {
                self.tasks[number].sequel = Sequel::Asked;
            }
            None | Some(Reaction::Restart) if self.is_kept_without_lease(number) => {
                self.tasks[number].will_begin_again(None, self.now);
            }
            reaction => self.settle_process(number, reaction),
        }
    }

    /// Its lease has ended it while we were not heard, and its host is here again: the place is to be served, and nobody
    /// else serves it.
    fn is_kept_without_lease(&self, number: usize) -> bool {
        let task = &self.tasks[number];
        let class = self.plan.clusters[task.cluster].kept.service.class;
        let by_lease = matches!(task.exit(), Some(Exit::Stopped { why }) if why == Exit::LEASE);
        by_lease && class == ServiceClass::Exclusive
    }

    fn reaction_to(&self, number: usize) -> Option<Reaction> {
        let task = &self.tasks[number];
        self.reaction_of_step(task.cluster, task.step).cloned()
    }

    fn reaction_of_step(&self, cluster: usize, step: usize) -> Option<&Reaction> {
        let plan = &self.plan.clusters[cluster];
        let own = match &plan.spec.execution[step].action {
            Action::Process(process) => process.on_failure.as_ref(),
            Action::Barrier(_) | Action::Workflow(_) | Action::Repeat(_) => None,
        };
        own.or(plan.kept.on_failure.process.as_ref())
    }

    /// The description accepts that a step is not done, whatever the reason.
    pub(super) fn goes_on_without(&self, cluster: usize, step: usize) -> bool {
        matches!(self.reaction_of_step(cluster, step), Some(Reaction::Continue))
    }

    fn settle_process(&mut self, number: usize, reaction: Option<Reaction>) {
        self.tasks[number].verdict = match reaction {
            Some(Reaction::Continue) => Verdict::Accepted,
            Some(Reaction::Drop | Reaction::Replace) => Verdict::HostLeaves,
            None | Some(Reaction::Fail | Reaction::Restart | Reaction::Call(_)) => Verdict::Counts,
        };
        self.end_step(number);
        let task = &self.tasks[number];
        let (host, text) = (task.host, task.failure());
        let Some((cluster, place)) = self.places[host.index()] else { return };
        match reaction {
            Some(Reaction::Continue) => {}
            Some(Reaction::Drop) => self.leave(host, "run", text, None),
            Some(Reaction::Fail) => {
                let why = format!("{text} on {}", self.plan.host_name(host));
                self.stopping.get_or_insert(Stopping::ProcessFailed(why));
            }
            Some(Reaction::Replace) => self.replace_after_failure(host, text),
            // What follows a failed process on a host is not begun there; the others go on. One that is restarted has
            // used up its budget.
            None | Some(Reaction::Restart | Reaction::Call(_)) => {
                self.clusters[cluster].members[place].skip_rest();
                self.leave_named_barriers(host, "a process before it failed");
            }
        }
    }

    /// A program has spoken about a failed task, or has failed to.
    pub(super) fn process_decided(
        &mut self,
        number: usize,
        incarnation: u32,
        decision: Option<Decision>,
    ) {
        let task = &mut self.tasks[number];
        if task.key.incarnation != incarnation || task.sequel != Sequel::Asked {
            return;
        }
        task.sequel = Sequel::None;
        let word = decision.as_ref().and_then(|d| d.word.as_deref());
        match word {
            Some("restart") => {
                let wait_ms = decision.and_then(|d| d.wait_ms);
                self.tasks[number].will_begin_again(wait_ms, self.now);
            }
            _ if self.is_unfinished(number) => self.settle_process(number, word.and_then(reaction)),
            _ => {}
        }
    }

    /// Its member is at the task's step and waits for it.
    pub(super) fn is_unfinished(&self, number: usize) -> bool {
        let task = &self.tasks[number];
        let Some((cluster, place)) = self.places[task.host.index()] else { return false };
        match &self.clusters[cluster].members[place].stage {
            Stage::Executing(stands) => stands[task.step] == StepStand::Task(number),
            Stage::Joining
            | Stage::Queued
            | Stage::Preparing { .. }
            | Stage::Prepared
            | Stage::Finished
            | Stage::Out(_) => false,
        }
    }

    /// Tasks whose program wants them to begin again begin when it is time.
    pub(super) fn begin_again(&mut self) {
        let now = self.now;
        for number in 0..self.tasks.len() {
            let is_due = matches!(self.tasks[number].sequel, Sequel::Again(at) if at <= now);
            if !is_due {
                continue;
            }
            self.tasks[number].sequel = Sequel::None;
            if self.stopping.is_some() || !self.is_unfinished(number) {
                continue;
            }
            let (ended, why) = (self.tasks[number].key, self.tasks[number].failure());
            self.note_restart(number, ended, why);
            self.tasks[number].begin_again();
            match self.start_command(number) {
                Ok(start) => self.hosts[self.tasks[number].host.index()].command(start),
                Err(cause) => self.never_started(number, cause),
            }
        }
    }

    /// When the first of them is to.
    pub(super) fn again_at(&self) -> Option<Millis> {
        let at = |sequel| match sequel {
            Sequel::Again(at) => Some(at),
            Sequel::None | Sequel::Asked => None,
        };
        self.tasks.iter().filter_map(|t| at(t.sequel)).min()
    }

    /// The run ends: no answer about a failure is waited for.
    pub(super) fn end_questions(&mut self) {
        self.asking.forget_failures();
        for number in 0..self.tasks.len() {
            match std::mem::replace(&mut self.tasks[number].sequel, Sequel::None) {
                Sequel::None => {}
                Sequel::Asked | Sequel::Again(_) => self.end_step(number),
            }
        }
    }

    fn ask_about_process(&mut self, number: usize, hook: &Hook) -> bool {
        let task = &self.tasks[number];
        let incarnation = task.key.incarnation;
        let happening = self
            .about_failed_process(task.host, task.cluster, &task.process, &task.failure())
            .with("incarnation", incarnation)
            .with("code", task.code())
            .with("default", "skip");
        self.ask_if_there(Subject::Process { task: number, incarnation }, hook, happening)
    }

    /// Asks what becomes of the place of a lost host; false if nobody can be asked.
    pub(super) fn ask_about_host(&mut self, host: HostId, hook: &Hook) -> bool {
        let cause = self.hosts[host.index()].trouble.clone().unwrap_or_default();
        let kept = self.plan.cluster_of(host).map(|cluster| &cluster.kept);
        let default = match kept.is_some_and(|kept| kept.replace != Replace::Never) {
            true => "replace",
            false => "keep",
        };
        let happening = self.about_lost_host(host, "connect", &cause).with("default", default);
        self.ask_if_there(Subject::Host(host), hook, happening)
    }

    pub(super) fn host_decided(&mut self, host: HostId, decision: Option<&Decision>) {
        let word = decision.and_then(|d| d.word.as_deref());
        self.settle_host(host, word.and_then(reaction));
    }

    /// A cluster has fewer hosts than it needs.
    pub(super) fn react_to_shortage(&mut self, cluster: usize, live: u32) {
        match self.clusters[cluster].shortage {
            Shortage::Asked => return,
            Shortage::Accepted(enough) if live >= enough => return,
            Shortage::Accepted(_) | Shortage::None => {}
        }
        match self.plan.clusters[cluster].kept.on_failure.cluster.clone() {
            Some(Reaction::Continue) => self.clusters[cluster].shortage = Shortage::Accepted(live),
            Some(Reaction::Drop) => self.drop_cluster(cluster),
            Some(Reaction::Call(hook)) if self.ask_about_cluster(cluster, live, &hook) => {
                self.clusters[cluster].shortage = Shortage::Asked;
            }
            Some(Reaction::Fail | Reaction::Replace | Reaction::Restart | Reaction::Call(_))
            | None => self.application_fails(cluster, live),
        }
    }

    /// A cluster cannot do its purpose, however many hosts it has.
    pub(super) fn cluster_fails(&mut self, cluster: usize, stopping: Stopping) {
        let kept = &self.plan.clusters[cluster].kept.on_failure;
        match (&kept.cluster, &kept.application) {
            (Some(Reaction::Continue), _) => {}
            (Some(Reaction::Drop), _) => self.drop_cluster(cluster),
            (_, Some(Reaction::Continue | Reaction::Drop)) => {}
            _ => self.stopping = Some(stopping),
        }
    }

    fn ask_about_cluster(&mut self, cluster: usize, live: u32, hook: &Hook) -> bool {
        let happening = self.about_shortage("cluster_too_small", cluster, live);
        self.ask_if_there(Subject::Cluster(cluster), hook, happening)
    }

    pub(super) fn cluster_decided(&mut self, cluster: usize, decision: Option<&Decision>) {
        let Some(live) = self.shortage_answered(cluster) else { return };
        match decision.and_then(|d| d.word.as_deref()) {
            Some("continue") => {}
            Some("drop") => {
                self.drop_cluster(cluster);
                self.clusters[cluster].shortage = Shortage::Accepted(0);
            }
            Some(_) | None => self.application_fails(cluster, live),
        }
    }

    /// The application cannot go on as described: a cluster is too small, and has no word for that.
    fn application_fails(&mut self, cluster: usize, live: u32) {
        match self.plan.clusters[cluster].kept.on_failure.application.clone() {
            Some(Reaction::Continue | Reaction::Drop) => {
                self.clusters[cluster].shortage = Shortage::Accepted(live);
            }
            Some(Reaction::Call(hook)) => {
                let happening = self.about_shortage("application_failing", cluster, live);
                match self.ask_if_there(Subject::Application(cluster), &hook, happening) {
                    true => self.clusters[cluster].shortage = Shortage::Asked,
                    false => self.stop_for_shortage(cluster, live),
                }
            }
            Some(Reaction::Fail | Reaction::Replace | Reaction::Restart) | None => {
                self.stop_for_shortage(cluster, live);
            }
        }
    }

    pub(super) fn application_decided(&mut self, cluster: usize, decision: Option<&Decision>) {
        let Some(live) = self.shortage_answered(cluster) else { return };
        match decision.and_then(|d| d.word.as_deref()) {
            Some("continue") => {}
            Some(_) | None => self.stop_for_shortage(cluster, live),
        }
    }

    /// An answer about a cluster that is too small has come, or will not: how many hosts it has, if it was asked about.
    fn shortage_answered(&mut self, cluster: usize) -> Option<u32> {
        if self.clusters[cluster].shortage != Shortage::Asked {
            return None;
        }
        let live = self.clusters[cluster].hoped_for();
        self.clusters[cluster].shortage = Shortage::Accepted(live);
        Some(live)
    }

    fn stop_for_shortage(&mut self, cluster: usize, live: u32) {
        let (name, min) = (self.plan.clusters[cluster].name(), self.plan.clusters[cluster].min);
        let why = format!("cluster `{name}` has {live} hosts left and needs {min}");
        self.stopping.get_or_insert(Stopping::TooFewHosts(why));
    }

    fn about_shortage(&self, kind: &'static str, cluster: usize, live: u32) -> Happening {
        let plan = &self.plan.clusters[cluster];
        let members = self.clusters[cluster].members.iter().filter(|m| m.takes_part());
        Happening::new(kind)
            .with("cluster", plan.name())
            .with("live", live)
            .with("min", plan.min)
            .with("default", "fail")
            .on(members.map(|m| m.host))
    }

    /// Asks; false if the run ends anyway, or if the program is to run on a host and none of those it is about can be
    /// reached.
    fn ask_if_there(&mut self, subject: Subject, hook: &Hook, happening: Happening) -> bool {
        if self.stopping.is_some() {
            return false;
        }
        let happening = happening.with("decisions", words(&subject).to_vec());
        let host = match hook.at {
            HookPlace::Controller => None,
            HookPlace::Host => match happening.hosts().iter().find(|h| self.is_reachable(**h)) {
                Some(host) => Some(*host),
                None => {
                    self.callback_failed(hook, None, "no host where it may run can be reached");
                    return false;
                }
            },
        };
        self.ask(subject, hook.clone(), host, &happening);
        true
    }
}

/// The reaction that a word names; `None` is the default.
fn reaction(word: &str) -> Option<Reaction> {
    match word {
        "continue" => Some(Reaction::Continue),
        "replace" => Some(Reaction::Replace),
        "drop" => Some(Reaction::Drop),
        "fail" => Some(Reaction::Fail),
        _ => None,
    }
}
