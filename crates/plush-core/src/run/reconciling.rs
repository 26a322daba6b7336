//! What agents report, and what has to be asked again of an agent that does not know it.
//! Not how reports travel: sessions see to that.

use super::Run;
use super::host::Ending;
use super::member::Stage;
use super::task::{Stand, TaskRun};
use crate::plan::HostId;
use plush_protocol::{Cause, Command, Report, Tainted, TaskKey, TaskRecord, TaskSpec};
use plush_spec::model::Action;

impl Run {
    pub(super) fn reported(&mut self, host: HostId, report: Report) {
        match report {
            Report::Inventory { tasks, prepared } => {
                // It opens a session; elsewhere it is a hostile agent's word.
                if self.hosts[host.index()].is_at_first_report() {
                    self.reconcile(host, tasks, &prepared);
                }
            }
            Report::Preparing { cluster, step, done_bytes, total_bytes, fetched_bytes } => {
                let stage = Stage::Preparing { step, done_bytes, total_bytes };
                self.preparing(host, &cluster, stage, fetched_bytes);
            }
            Report::Prepared { cluster, .. } => self.prepared(host, &cluster),
            Report::PrepareFailed { cluster, cause } => {
                if self.is_preparing(host, &cluster) {
                    self.leave(host, "prepare", cause.text, None);
                }
            }
            Report::Task(record) => self.task_reported(host, &record),
            Report::Cleaned { remainder, failed_lines } => {
                let is_clean = remainder.is_empty() && failed_lines.is_empty();
                self.hosts[host.index()].clean_up_failed |= !is_clean;
                for line in failed_lines {
                    self.problem(Some(host), "clean up", line, None);
                }
                for left in remainder {
                    let hint = Some("look at the host: this was left there".to_owned());
                    self.problem(Some(host), "clean up", left, hint);
                }
                let now = self.now;
                self.hosts[host.index()].cleaned(now);
            }
            Report::Answered { question, answer } => {
                self.answered(question, Some(host), &answer);
            }
            Report::Note(text) => self.problem(Some(host), "note", text, None),
            Report::Barrier(ask) => self.barrier_asked(host, &ask),
            Report::WentOn { request, at_us } => self.program_went_on(host, request, at_us),
        }
    }

    /// A new agent process tells what it knows: what it does not know has to be asked for again (fault F04), and what
    /// it should know and does not is lost with the host's disk (F03).
    pub(super) fn reconcile(&mut self, host: HostId, known: Vec<TaskRecord>, prepared: &[String]) {
        for record in &known {
            self.task_reported(host, record);
        }
        let mut again = Vec::from_iter(self.reconcile_preparation(host, prepared));
        self.lose_forgotten(host, &known);
        again.extend(self.reconcile_tasks(host, &known));
        match self.hosts[host.index()].ending {
            Ending::Cleaning { .. } => again.push(self.clean_up_command(host)),
            Ending::Returning => again.extend(self.stops_of_unwanted(host)),
            _ => {}
        }
        let host_run = &mut self.hosts[host.index()];
        let is_over = |key: TaskKey| self.tasks.get(key.task as usize).is_none_or(TaskRun::is_over);
        host_run.number_anew(|c| !matches!(c, Command::Start { key, .. } if is_over(*key)));
        let asked: Vec<Command> = host_run.unacknowledged().cloned().collect();
        again.into_iter().filter(|c| !asked.contains(c)).for_each(|c| host_run.command(c));
    }

    /// A task that has run and of which no record is left: its end or the rest of its output will never be known, and
    /// it must not be started a second time under its key (P1).
    pub(super) fn lose_forgotten(&mut self, host: HostId, known: &[TaskRecord]) {
        for number in 0..self.tasks.len() {
            let task = &mut self.tasks[number];
            let is_known = known.iter().any(|record| is_as_new(record.key, task.key));
            if task.host != host || is_known {
                continue;
            }
            task.forget_how_it_ran_on();
            let (has_run, was_over) = (task.has_run(), task.is_over());
            if known.iter().all(|record| record.key.task != task.key.task) {
                // Of no incarnation is anything left.
                task.forget_output();
            }
            if !has_run {
                continue;
            }
            task.lose();
            if !was_over {
                let text = task.failure();
                self.problem(Some(host), "run", text, None);
                self.step_over(number, true);
            }
        }
    }

    pub(super) fn reconcile_preparation(
        &mut self,
        host: HostId,
        prepared: &[String],
    ) -> Option<Command> {
        let (cluster, place) = self.places[host.index()]?;
        let name = self.plan.clusters[cluster].name().to_owned();
        let is_there = prepared.contains(&name);
        match self.clusters[cluster].members[place].stage {
            Stage::Preparing { .. } if is_there => self.prepared(host, &name),
            Stage::Preparing { .. } => {
                return self
                    .seat(cluster, place, &self.peers())
                    .preparation()
                    .ok()
                    .map(Command::Prepare);
            }
            Stage::Prepared | Stage::Executing(_) if !is_there => {
                // What was started there may have run: it is not started a second time.
                self.tasks.iter_mut().filter(|t| t.host == host).for_each(TaskRun::lose);
                self.leave(host, "run", Tainted::new("the run's files are gone from it"), None);
            }
            Stage::Joining
            | Stage::Queued
            | Stage::Prepared
            | Stage::Executing(_)
            | Stage::Finished
            | Stage::Out(_) => {}
        }
        None
    }

    pub(super) fn reconcile_tasks(&mut self, host: HostId, known: &[TaskRecord]) -> Vec<Command> {
        let mut again = Vec::new();
        for number in 0..self.tasks.len() {
            let task = &self.tasks[number];
            if task.host != host || task.is_over() {
                continue;
            }
            if !known.iter().any(|record| is_as_new(record.key, task.key)) {
                match self.start_command(number) {
                    Ok(start) => again.push(start),
                    Err(cause) => self.never_started(number, cause),
                }
            }
            let task = &self.tasks[number];
            if task.stop_sent && !task.is_over() {
                again.push(Command::Stop { key: task.key, why: "stop".into() });
            }
        }
        again
    }

    /// A task that cannot even be described to its host has failed like one that could not be started there.
    pub(super) fn never_started(&mut self, number: usize, cause: Cause) {
        let task = &mut self.tasks[number];
        let (host, text) = (task.host, cause.text.clone());
        task.stand = Stand::NotStarted(cause);
        self.problem(Some(host), "start", text, None);
        self.step_over(number, true);
    }

    pub(super) fn start_command(&self, number: usize) -> Result<Command, Cause> {
        let task = &self.tasks[number];
        let (_, place) =
            self.places[task.host.index()].expect("a host with a task keeps its place");
        let Action::Process(process) =
            &self.plan.clusters[task.cluster].spec.execution[task.step].action
        else {
            unreachable!("a task is made from a process")
        };
        let spec = self.seat(task.cluster, place, &self.peers()).task(process)?;
        let at_us = task.due.and_then(|due| self.boot_time_of(task.host, task.cluster, due));
        let spec = TaskSpec { at_us, ..spec };
        Ok(Command::Start { key: task.key, spec: Box::new(spec) })
    }
}

/// The agent knows of this incarnation, or of one after it.
fn is_as_new(known: TaskKey, key: TaskKey) -> bool {
    known.task == key.task && known.incarnation >= key.incarnation
}
