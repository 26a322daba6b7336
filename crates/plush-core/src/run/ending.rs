//! The end of a run: results home, clean-up, the outcome.
//! Not how files travel or are removed.

use super::host::{Ending, HostRun, Link};
use super::member::{ClusterRun, Stage, Vacancy};
use super::{Effect, Run};
use crate::Millis;
use crate::plan::{HostId, Keep};
use plush_protocol::{Command, Tainted};

/// A host that has not said within this time that it is clean is left to its agent's lease.
const CLEANING_LIMIT_MS: Millis = 180_000;
/// Limit for each clean-up line of the description.
const CLEANUP_LINE_LIMIT_MS: Millis = 60_000;
/// Results are asked for again so often when a link breaks.
const COLLECT_ATTEMPTS: u32 = 3;

impl HostRun {
    /// When a clean-up under way takes too long.
    pub(super) fn cleaning_limit(&self) -> Option<Millis> {
        match self.ending {
            Ending::Cleaning { since } => Some(since + CLEANING_LIMIT_MS),
            Ending::Serving
            | Ending::Returning
            | Ending::Collecting { .. }
            | Ending::CollectAgain { .. }
            | Ending::Collected
            | Ending::Cleaned
            | Ending::OutOfReach
            | Ending::Away => None,
        }
    }

    pub(super) fn cleaned(&mut self, now: Millis) {
        if let Ending::Cleaning { .. } = self.ending {
            self.ending = Ending::Cleaned;
            self.since = now;
        }
    }

    /// It is on its way out, though the others may still work.
    fn is_leaving(&self) -> bool {
        !matches!(self.ending, Ending::Serving | Ending::OutOfReach | Ending::Away)
    }

    fn is_through(&self) -> bool {
        matches!(self.ending, Ending::Cleaned | Ending::OutOfReach)
    }
}

impl Run {
    /// Ends what runs and begins nothing more.
    pub(super) fn wind_down(&mut self) {
        self.close_barriers();
        self.end_questions();
        for place in 0..self.places.len() {
            let Some((cluster, place)) = self.places[place] else { continue };
            self.wind_down_member(cluster, place);
        }
        for number in 0..self.hosts.len() {
            if self.hosts[number].is_unvisited() {
                self.close_unvisited(number);
            }
        }
        for task in self.tasks.iter_mut().filter(|t| !t.is_over() && !t.stop_sent) {
            task.stop_sent = true;
            let stop = Command::Stop { key: task.key, why: "stop".into() };
            self.hosts[task.host.index()].command(stop);
        }
    }

    /// No agent was ever on this host. A host with a place is missing and named so; any other was
    /// not needed.
    fn close_unvisited(&mut self, number: usize) {
        let now = self.now;
        self.hosts[number].close(Ending::OutOfReach, now);
        let Some((cluster, place)) = self.places[number] else { return };
        let member = &mut self.clusters[cluster].members[place];
        let host = &mut self.hosts[number];
        if host.trouble.is_some() || !matches!(member.stage, Stage::Joining | Stage::Finished) {
            return;
        }
        let cause = Tainted::new(match &host.doubt {
            Some(failure) => format!("not reached before the run ended: {}", failure.raw()),
            None => "not reached before the run ended".to_owned(),
        });
        member.stage = Stage::Out(cause.clone());
        host.trouble = Some(cause.clone());
        self.problem(Some(HostId(number as u32)), "take part", cause, None);
    }

    fn wind_down_member(&mut self, cluster: usize, place: usize) {
        let member = &mut self.clusters[cluster].members[place];
        match &member.stage {
            Stage::Preparing { .. } => {
                let name = self.plan.clusters[cluster].name().to_owned();
                self.hosts[member.host.index()].command(Command::CancelPrepare { cluster: name });
                member.stage = Stage::Finished;
            }
            Stage::Joining | Stage::Queued | Stage::Prepared => member.stage = Stage::Finished,
            Stage::Executing(_) => member.skip_rest(),
            Stage::Out(_) => member.vacancy = Vacancy::None,
            Stage::Finished => {}
        }
    }

    /// Every member is through its steps and every task's output is here.
    pub(super) fn is_work_over(&self) -> bool {
        self.clusters.iter().all(ClusterRun::is_over) && self.tasks.iter().all(|t| t.is_settled())
    }

    /// Once all work is over, each host gives its results, is cleaned up and let go; one that has no part in the work
    /// any more, before that.
    pub(super) fn finish_hosts(&mut self, effects: &mut Vec<Effect>) {
        let is_over = self.is_work_over();
        for number in 0..self.hosts.len() {
            if is_over || self.hosts[number].is_leaving() {
                self.finish_host(number, effects);
            }
        }
    }

    fn finish_host(&mut self, number: usize, effects: &mut Vec<Effect>) {
        let now = self.now;
        let gives_more = self.hosts[number].ending == Ending::Returning
            && self.tasks.iter().any(|t| t.host.index() == number && t.gives_more_when_back());
        let host = &mut self.hosts[number];
        match (host.ending, host.link) {
            // Where an attempt is under way its outcome has to be known; where none is, nobody is there.
            _ if host.is_unvisited() => self.close_unvisited(number),
            (Ending::Serving, Link::Up) => self.begin_collecting(number, 1, effects),
            (Ending::Returning, Link::Up) if !gives_more => {
                self.begin_collecting(number, 1, effects);
            }
            (Ending::CollectAgain { attempt }, Link::Up) => {
                self.begin_collecting(number, attempt, effects);
            }
            (Ending::Collected, Link::Up) => self.begin_cleaning(number),
            (Ending::Cleaning { since }, _) if since + CLEANING_LIMIT_MS <= now => {
                let cause =
                    Tainted::new("did not finish in time; its agent will when its lease is out");
                host.clean_up_failed = true;
                let host = host.id;
                self.give_up(host, "clean up", cause, None);
            }
            (Ending::Cleaned, Link::Up) => {
                // The acknowledgement of the last report goes first: the agent waits for it.
                host.decide_session(effects);
                effects.push(host.part(now));
            }
            // Its agent leaves by itself when nobody acknowledges its last word.
            (Ending::Cleaned, Link::Waiting { .. }) => host.link = Link::Closed,
            // It has not come back: its agent's lease sees to what may run there.
            (Ending::Away, Link::Waiting { .. } | Link::Leaving | Link::Closed) => {
                host.close(Ending::OutOfReach, now);
                if host.is_excused {
                    host.clean_up_failed = true;
                    let cause = "it gave its place back and was not heard again; its agent's lease ends what runs there";
                    let host = host.id;
                    self.leave(host, "clean up", Tainted::new(cause), None);
                }
            }
            // It came back after it was given up; its agent's lease sees to the rest.
            (Ending::OutOfReach, Link::Up) => {
                effects.push(host.part(now));
            }
            (
                Ending::Serving
                | Ending::Returning
                | Ending::Collecting { .. }
                | Ending::CollectAgain { .. }
                | Ending::Collected
                | Ending::Cleaning { .. }
                | Ending::Cleaned
                | Ending::OutOfReach
                | Ending::Away,
                _,
            ) => {}
        }
    }

    fn begin_collecting(&mut self, number: usize, attempt: u32, effects: &mut Vec<Effect>) {
        let globs = self.globs_of(number);
        let host = &mut self.hosts[number];
        host.since = self.now;
        if globs.is_empty() {
            host.ending = Ending::Collected;
            self.begin_cleaning(number);
            return;
        }
        host.ending = Ending::Collecting { attempt };
        effects.push(Effect::Collect { host: host.id, globs });
    }

    /// The place that a host has, or had before another stepped in.
    pub(super) fn seat_held(&self, number: usize) -> Option<(usize, usize)> {
        self.places[number].or(self.hosts[number].former)
    }

    fn begin_cleaning(&mut self, number: usize) {
        let command = self.clean_up_command(HostId(number as u32));
        let host = &mut self.hosts[number];
        host.ending = Ending::Cleaning { since: self.now };
        host.since = self.now;
        host.command(command);
    }

    pub(super) fn clean_up_command(&self, host: HostId) -> Command {
        let commands = self.seat_held(host.index()).map_or_else(Vec::new, |(cluster, place)| {
            self.seat(cluster, place, &self.peers()).cleanup_commands()
        });
        Command::CleanUp {
            commands,
            keep_work: self.plan.keep == Keep::All,
            keep_cache: self.plan.keep != Keep::Nothing,
            line_limit_ms: CLEANUP_LINE_LIMIT_MS,
        }
    }

    pub(super) fn set_collected(&mut self, host: HostId) {
        let host = &mut self.hosts[host.index()];
        if let Ending::Collecting { .. } = host.ending {
            host.ending = Ending::Collected;
        }
    }

    pub(super) fn collect_failed(&mut self, host: HostId, cause: Tainted) {
        let Ending::Collecting { attempt } = self.hosts[host.index()].ending else { return };
        if attempt < COLLECT_ATTEMPTS {
            self.hosts[host.index()].ending = Ending::CollectAgain { attempt: attempt + 1 };
        } else {
            self.result_is_missing(host, cause);
            self.set_collected(host);
        }
    }

    /// What the old controller was fetching has to be asked for again.
    pub(super) fn ask_results_again(&mut self) {
        for host in &mut self.hosts {
            if let Ending::Collecting { attempt } = host.ending {
                host.ending = Ending::CollectAgain { attempt };
            }
        }
    }

    /// Every host is through.
    fn is_over(&self) -> bool {
        let closed = |h: &HostRun| h.is_through() && h.link == Link::Closed;
        self.is_work_over() && self.hosts.iter().all(closed)
    }

    /// Callbacks hear the outcome before it is final for everybody else.
    pub(super) fn tell_when_over(&mut self) {
        if self.is_over() {
            self.name_what_no_host_brought();
            let outcome = self.outcome_by(&self.sums());
            self.tell_of_end(&outcome);
        }
    }

    /// The run is over when every host is through and no program is waited for.
    pub(super) fn conclude(&mut self, effects: &mut Vec<Effect>) {
        if self.is_over() && self.asking.is_idle() {
            let outcome = self.outcome_by(&self.sums());
            self.outcome = Some(outcome.clone());
            effects.push(Effect::Finish { outcome });
        }
    }
}
