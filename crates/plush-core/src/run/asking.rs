//! Programs of the description that are told what happens, or asked what to do about it.
//! Not how they run: an effect has them run beside the controller, a command on a host.
//!
//! A program that hangs, dies or prints rubbish costs its time limit and a line in the record: the default decision
//! holds then. What is asked is JSON, what is answered is JSON: see the user's guide.

use super::member::Stage;
use super::overruling::WhichBarrier;
use super::{Effect, Run, reacting};
use crate::Millis;
use crate::plan::HostId;
use plush_protocol::{Answer, Command, Outcome, Question, Tainted};
use plush_spec::model::{Hook, HookPlace};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// An answer that has not come so long after its own limit never comes: its host or the controller's driver lost it.
const GRACE_MS: Millis = 5_000;
/// The version of events and answers.
const VERSION: u32 = 1;

/// What was asked and is not answered yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Asking {
    next: u32,
    told_of_start: bool,
    told_of_end: bool,
    open: BTreeMap<u32, Open>,
    /// The opening of each barrier that was asked about last: its generation, since when it would open. There is no way
    /// back to one before it.
    asked: BTreeSet<(WhichBarrier, u32, Millis)>,
    /// Openings that were told of, in generations that are kept.
    told: BTreeSet<(WhichBarrier, u32)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Open {
    subject: Subject,
    hook: Hook,
    /// Where it runs: a host's place, or the controller.
    host: Option<HostId>,
    cluster: String,
    event: String,
    /// Set once it is asked.
    until: Option<Millis>,
}

/// What an answer is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Subject {
    /// Somebody is told, and has nothing to say.
    Told,
    /// A barrier would open.
    Barrier(WhichBarrier, u32),
    /// An incarnation of a task failed.
    Process { task: usize, incarnation: u32 },
    /// A host was lost.
    Host(HostId),
    /// A cluster has too few hosts.
    Cluster(usize),
    /// The application would fail for it.
    Application(usize),
}

/// What a program decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// Its word, such as `open` or `drop`; `None` is the default.
    pub word: Option<String>,
    /// For how long, where it asks for time.
    pub wait_ms: Option<Millis>,
}

/// What happened, as a program reads it.
pub(super) struct Happening {
    kind: &'static str,
    fields: Map<String, Value>,
    /// Where hooks `at: host` run.
    hosts: Vec<HostId>,
}

impl Happening {
    pub fn new(kind: &'static str) -> Self {
        Happening { kind, fields: Map::new(), hosts: Vec::new() }
    }

    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(key.into(), value.into());
        self
    }

    pub fn hosts(&self) -> &[HostId] {
        &self.hosts
    }

    /// It is about these hosts.
    pub fn on(mut self, hosts: impl IntoIterator<Item = HostId>) -> Self {
        self.hosts.extend(hosts);
        self
    }
}

impl Run {
    /// Tells the description's callbacks that are for this kind of event.
    pub(super) fn tell(&mut self, happening: &Happening) {
        let wanted = |c: &&plush_spec::model::Callback| c.event.as_str() == happening.kind;
        let hooks: Vec<Hook> =
            self.plan.project.callbacks.iter().filter(wanted).map(|c| c.hook.clone()).collect();
        for hook in hooks {
            match hook.at {
                HookPlace::Controller => self.ask(Subject::Told, hook, None, happening),
                HookPlace::Host => {
                    for host in &happening.hosts {
                        self.ask(Subject::Told, hook.clone(), Some(*host), happening);
                    }
                }
            }
        }
    }

    /// Tells of the run's first moment.
    pub(super) fn tell_of_start(&mut self) {
        if !std::mem::replace(&mut self.asking.told_of_start, true) {
            let hosts: Vec<Value> = self.plan.hosts.iter().map(|h| h.name.clone().into()).collect();
            self.tell(&Happening::new("run_started").with("hosts", hosts));
        }
    }

    /// Tells of the run's end, once; nothing is on a host any more.
    pub(super) fn tell_of_end(&mut self, outcome: &Outcome) {
        if !std::mem::replace(&mut self.asking.told_of_end, true) {
            let outcome = serde_json::to_value(outcome).expect("an outcome is plain data");
            self.tell(&Happening::new("run_ended").with("outcome", outcome));
        }
    }

    pub(super) fn tell_of_failed_process(
        &mut self,
        host: HostId,
        cluster: usize,
        process: &str,
        cause: &Tainted,
    ) {
        let happening = self.about_failed_process(host, cluster, process, cause);
        self.tell(&happening);
    }

    pub(super) fn about_failed_process(
        &self,
        host: HostId,
        cluster: usize,
        process: &str,
        cause: &Tainted,
    ) -> Happening {
        Happening::new("process_failed")
            .with("host", self.plan.host_name(host))
            .with("cluster", self.plan.clusters[cluster].name())
            .with("process", process)
            .with("cause", cause.to_string())
            .on([host])
    }

    pub(super) fn tell_of_lost_host(&mut self, host: HostId, operation: &str, cause: &Tainted) {
        let happening = self.about_lost_host(host, operation, cause);
        self.tell(&happening);
    }

    pub(super) fn about_lost_host(
        &self,
        host: HostId,
        operation: &str,
        cause: &Tainted,
    ) -> Happening {
        let cluster = self.places[host.index()].map(|(c, _)| self.plan.clusters[c].name());
        let happening = Happening::new("host_lost")
            .with("host", self.plan.host_name(host))
            .with("cluster", cluster)
            .with("operation", operation)
            .with("cause", cause.to_string());
        happening.on(self.neighbours(host))
    }

    pub(super) fn tell_of_replacement(&mut self, cluster: usize, lost: HostId, host: HostId) {
        let happening = Happening::new("host_replaced")
            .with("host", self.plan.host_name(host))
            .with("lost", self.plan.host_name(lost))
            .with("cluster", self.plan.clusters[cluster].name());
        let neighbours = self.neighbours(host);
        self.tell(&happening.on(neighbours));
    }

    /// The other members of a host's cluster that take part.
    pub(super) fn neighbours(&self, host: HostId) -> Vec<HostId> {
        let Some((cluster, _)) = self.places[host.index()] else { return Vec::new() };
        let members = self.clusters[cluster].members.iter();
        let others = members.filter(|m| m.host != host && !matches!(m.stage, Stage::Out(_)));
        others.map(|m| m.host).filter(|h| self.hosts[h.index()].was_reached()).collect()
    }

    /// Asks a program; what it decides is taken up by [`Run::answered`].
    pub(super) fn ask(
        &mut self,
        subject: Subject,
        hook: Hook,
        host: Option<HostId>,
        happening: &Happening,
    ) {
        let mut event = Map::new();
        event.insert("version".into(), VERSION.into());
        event.insert("event".into(), happening.kind.into());
        event.insert("run".into(), self.plan.run.clone().into());
        event.insert("at_ms".into(), self.elapsed.shown(self.now).into());
        event.extend(happening.fields.clone());
        let place = host.and_then(|host| self.places[host.index()]);
        let cluster = place.map(|(cluster, _)| self.plan.clusters[cluster].name().to_owned());
        let event = format!("{}\n", Value::Object(event));
        let open =
            Open { subject, hook, host, cluster: cluster.unwrap_or_default(), event, until: None };
        self.asking.open.insert(self.asking.next, open);
        self.asking.next += 1;
    }

    /// What was said about a question. An answer to one that is over changes nothing.
    pub(super) fn answered(&mut self, number: u32, from: Option<HostId>, answer: &Answer) {
        if self.asking.open.get(&number).is_none_or(|open| open.host != from) {
            return;
        }
        let Some(open) = self.asking.open.remove(&number) else { return };
        let words = match open.subject {
            Subject::Told => &[],
            Subject::Barrier(..) => Run::barrier_words(),
            Subject::Process { .. } | Subject::Host(_) => reacting::words(&open.subject),
            Subject::Cluster(_) | Subject::Application(_) => reacting::words(&open.subject),
        };
        let decision = match (&open.subject, answer) {
            (Subject::Told, Answer::Said(_)) => return,
            (_, Answer::Said(said)) => read(said.raw(), words),
            (_, Answer::Failed(why)) => Err(why.raw().to_owned()),
        };
        if let Err(why) = &decision {
            self.callback_failed(&open.hook, from, why);
        }
        match open.subject {
            Subject::Told => {}
            Subject::Barrier(which, generation) => {
                self.overrule((which, generation), decision.ok().as_ref());
            }
            Subject::Process { task, incarnation } => {
                self.process_decided(task, incarnation, decision.ok());
            }
            Subject::Host(host) => self.host_decided(host, decision.ok().as_ref()),
            Subject::Cluster(cluster) => self.cluster_decided(cluster, decision.ok().as_ref()),
            Subject::Application(cluster) => {
                self.application_decided(cluster, decision.ok().as_ref());
            }
        }
    }

    pub(super) fn callback_failed(&mut self, hook: &Hook, host: Option<HostId>, why: &str) {
        let program = hook.argv.first().map_or("", String::as_str);
        let hint = "the default holds; what programs get and answer is in the guide, `Callbacks`";
        let cause = Tainted::new(format!("{program}: {why}"));
        self.problem(host, "callback", cause, Some(hint.to_owned()));
    }

    /// Has new questions asked, and gives up those whose time is over.
    pub(super) fn decide_questions(&mut self, effects: &mut Vec<Effect>) {
        let now = self.now;
        let late = |open: &Open| open.until.is_some_and(|until| until <= now);
        let over: Vec<(u32, Option<HostId>)> = (self.asking.open.iter())
            .filter(|(_, open)| late(open))
            .map(|(number, open)| (*number, open.host))
            .collect();
        for (number, host) in over {
            self.answered(number, host, &Answer::Failed(Tainted::new("no answer came in time")));
        }
        for (number, open) in &mut self.asking.open {
            if open.until.is_some() {
                continue;
            }
            open.until = Some(now + open.hook.time_limit_ms + GRACE_MS);
            let question = Question {
                number: *number,
                cluster: open.cluster.clone(),
                argv: open.hook.argv.clone(),
                event: open.event.clone(),
                time_limit_ms: open.hook.time_limit_ms,
            };
            match open.host {
                None => effects.push(Effect::Ask { question }),
                Some(host) => self.hosts[host.index()].command(Command::Ask(question)),
            }
        }
    }
}

impl Asking {
    /// Nobody is asked about failures any more: what is said about them changes nothing.
    pub fn forget_failures(&mut self) {
        self.open.retain(|_, open| matches!(open.subject, Subject::Told | Subject::Barrier(..)));
    }

    pub fn is_new_question(&mut self, question: (WhichBarrier, u32, Millis)) -> bool {
        let is_new = !self.asked.contains(&question);
        if is_new {
            self.asked.retain(|(which, ..)| *which != question.0);
            self.asked.insert(question);
        }
        is_new
    }

    pub fn is_new_opening(&mut self, opening: (WhichBarrier, u32)) -> bool {
        self.told.insert(opening)
    }

    /// Generations before this one are not kept by their barrier any more.
    pub fn forget_openings(&mut self, which: WhichBarrier, oldest: u32) {
        self.told.retain(|(of, generation)| *of != which || *generation >= oldest);
    }

    /// Nobody is waited for.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// When the first question has waited long enough.
    pub fn wake_at(&self) -> Option<Millis> {
        self.open.values().filter_map(|open| open.until).min()
    }

    /// Those who were asked beside a controller that is gone are asked by the next one.
    pub fn controller_restarted(&mut self) {
        let local = self.open.values_mut().filter(|open| open.host.is_none());
        local.for_each(|open| open.until = None);
    }
}

/// Reads an answer: the last line that is not empty, a JSON object `{"decision": WORD, "wait_ms": N}`. An empty
/// answer is the default.
fn read(answer: &str, words: &[&str]) -> Result<Decision, String> {
    let Some(line) = answer.lines().rev().map(str::trim).find(|line| !line.is_empty()) else {
        return Ok(Decision { word: None, wait_ms: None });
    };
    let value: Value = serde_json::from_str(line).map_err(|e| format!("not an answer: {e}"))?;
    let word = value.get("decision").and_then(Value::as_str);
    let word = word.ok_or("not an answer: a JSON object with \"decision\" is wanted")?;
    let wait_ms = value.get("wait_ms").and_then(Value::as_u64);
    match word {
        "default" => Ok(Decision { word: None, wait_ms }),
        _ if words.contains(&word) => Ok(Decision { word: Some(word.to_owned()), wait_ms }),
        _ => Err(format!("`{word}` is no decision here; these are: default, {}", words.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_openings_does_not_grow_with_the_rounds() {
        let (mut asking, which) = (Asking::default(), WhichBarrier::Named(0));
        let mut longest = 0;
        for generation in 1..=1_000 {
            let question = (which, generation, Millis::from(generation));
            assert!(asking.is_new_question(question) && !asking.is_new_question(question));
            let opening = (which, generation);
            assert!(asking.is_new_opening(opening) && !asking.is_new_opening(opening));
            asking.forget_openings(which, generation.saturating_sub(15));
            longest = longest.max(asking.asked.len() + asking.told.len());
        }
        assert!(longest <= 18, "{longest}");
    }
}
