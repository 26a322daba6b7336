//! What a run has done, read from its directory: the journal is absorbed by the same rules that decided then.
//! Not the controller: nothing is written, decided effects are dropped, and a live controller does not notice.

use crate::error::ControllerError;
use crate::front;
use crate::journal::{News, Reader, Record};
use crate::run_dir::RunDir;
use plush_core::Millis;
use plush_core::plan::{HostId, RunPlan};
use plush_core::run::{Event, Run};
use plush_protocol::{HostState, RunHistory, Span, TaskHistory, TaskKey, TaskRecord};
use std::collections::BTreeMap;

/// Reads a run's history, again and again if the run goes on; each time only what is new.
pub struct HistoryReader {
    run_dir: RunDir,
    journal: Reader,
    plan: RunPlan,
    run: Run,
    started_unix_ms: u64,
    /// Records before this elapsed time are gone.
    known_from_ms: Millis,
    states: Vec<States>,
    connected_in_ms: BTreeMap<usize, u64>,
    /// Elapsed times at which tasks started and ended.
    tasks: BTreeMap<TaskKey, (Option<Millis>, Option<Millis>)>,
}

/// The states of one host: those that are over, and the present one with its beginning.
struct States {
    over: Vec<Span>,
    now: HostState,
    since: Millis,
}

impl HistoryReader {
    /// Opens the plan and the journal of a run.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn open(run_dir: &RunDir) -> Result<HistoryReader, ControllerError> {
        let (plan, started_unix_ms) = front::planned(run_dir)?;
        Ok(HistoryReader {
            journal: Reader::open(&run_dir.journal())?,
            states: Vec::new(),
            run_dir: run_dir.clone(),
            run: Run::new(plan.clone()),
            plan,
            started_unix_ms,
            known_from_ms: 0,
            connected_in_ms: BTreeMap::new(),
            tasks: BTreeMap::new(),
        })
    }

    /// What is known now.
    ///
    /// # Errors
    /// The journal cannot be read or is damaged.
    pub fn read(&mut self) -> Result<RunHistory, ControllerError> {
        // Asked first: what a controller that ends meanwhile has written is then read below.
        let is_served = front::is_served(&self.run_dir);
        loop {
            let News { beginning, records } = self.journal.read()?;
            if let Some((state, at)) = beginning {
                self.begin(state, at);
            }
            if records.is_empty() {
                break;
            }
            self.absorb(&records);
        }
        let mut history = self.run.history();
        if !is_served && self.run.outcome().is_none() {
            history.view = self.run.view_at(self.last_seen());
        }
        history.build = self.journal.build().to_owned();
        history.started_unix_ms = self.started_unix_ms;
        history.known_from_ms = self.known_from_ms;
        history.is_served = is_served;
        self.fill_hosts(&mut history);
        self.fill_tasks(&mut history);
        Ok(history)
    }

    /// The last time at which the last controller is known to have run: it writes its view
    /// periodically, also without events.
    fn last_seen(&self) -> Millis {
        let now = self.run.now();
        let written = front::last_view(&self.run_dir).map_or(0, |view| view.elapsed_ms);
        now + written.saturating_sub(self.run.shown(now))
    }

    /// The records begin here: with the run, or with a state that stands for those that are gone.
    fn begin(&mut self, state: Option<Run>, at: Millis) {
        self.run = state.unwrap_or_else(|| Run::new(self.plan.clone()));
        let at = self.run.shown(at);
        self.known_from_ms = at;
        let start = |now| States { over: Vec::new(), now, since: at };
        self.states = self.run.host_states().map(start).collect();
        self.connected_in_ms.clear();
        self.tasks.clear();
    }

    fn absorb(&mut self, records: &[Record]) {
        for batch in records.chunk_by(|a, b| a.batch == b.batch) {
            let at = batch[0].at_ms;
            for event in batch.iter().filter_map(|record| record.event.clone()) {
                self.run.absorb(at, event.clone());
                self.note(&event);
            }
            // What is decided was performed then.
            let _ = self.run.decide(at);
            self.note_states(self.run.shown(at));
        }
    }

    /// What the run itself does not remember.
    fn note(&mut self, event: &Event) {
        if let Event::Connected { host, account, .. } = event {
            self.connected_in_ms.insert(host.index(), account.took_ms);
        }
        if let Event::Reported { host, report, .. } = event {
            report.tasks().iter().for_each(|record| self.note_task(*host, record));
        }
    }

    /// The first report counts: later ones repeat it from a record.
    fn note_task(&mut self, host: HostId, record: &TaskRecord) {
        let (started, over) = self.run.task_times(host, record);
        let (running, ended) = self.tasks.entry(record.key).or_default();
        *running = running.or(started);
        *ended = ended.or(over);
    }

    fn note_states(&mut self, at: Millis) {
        for (states, now) in self.states.iter_mut().zip(self.run.host_states()) {
            if states.now != now {
                states.over.push(Span { state: states.now, from_ms: states.since, until_ms: at });
                (states.now, states.since) = (now, at);
            }
        }
    }

    fn fill_hosts(&self, history: &mut RunHistory) {
        let until_ms = history.view.elapsed_ms;
        for (number, (host, states)) in history.hosts.iter_mut().zip(&self.states).enumerate() {
            let newest = self.connected_in_ms.get(&number).copied();
            host.connected_in_ms = newest.or(host.connected_in_ms);
            host.spans = states.over.iter().copied().filter(|s| s.from_ms < s.until_ms).collect();
            host.spans.push(Span { state: states.now, from_ms: states.since, until_ms });
        }
    }

    /// The run knows the last start of each task; what was heard of, every one.
    fn fill_tasks(&self, history: &mut RunHistory) {
        let mut all = Vec::new();
        for task in std::mem::take(&mut history.tasks) {
            let last = TaskKey { task: task.task, incarnation: task.incarnation };
            let first = TaskKey { task: task.task, incarnation: 0 };
            for (key, (running, ended)) in self.tasks.range(first..last) {
                let (incarnation, running_ms, ended_ms) = (key.incarnation, *running, *ended);
                all.push(TaskHistory { incarnation, running_ms, ended_ms, ..task.clone() });
            }
            let (running, ended_ms) = self.tasks.get(&last).copied().unwrap_or_default();
            let running_ms = running.or(task.running_ms);
            all.push(TaskHistory { running_ms, ended_ms, ..task });
        }
        history.tasks = all;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::front::RunOptions;
    use crate::journal::{Journal, Resumed};
    use plush_core::compaction::Bounds;
    use plush_core::plan::Keep;
    use plush_core::run::ConnectFailure;
    use plush_protocol::Tainted;
    use std::path::Path;

    const APP: &str = "project: kept\nresources: [{type: local, hosts: n1}]\n\
        clusters:\n  all:\n    num_hosts: 1\n    execution: [{process: work, run: 'true'}]\n";

    #[tokio::test]
    async fn a_history_whose_beginning_was_dropped_says_from_when_on_it_knows() {
        let dir = tempfile::tempdir().unwrap();
        let options = RunOptions {
            runs_directory: dir.path().to_owned(),
            hosts: Vec::new(),
            exclude: Vec::new(),
            keep: Keep::Nothing,
            ssh_config: None,
            stop_after_ms: None,
            name: Some("kept-1".into()),
        };
        let project = plush_spec::parse(APP, "app.yaml", None).project.unwrap();
        let planned = front::plan(&project, Path::new("app.yaml"), APP, &options).unwrap();
        let run_dir = front::create(&planned, &options).unwrap();
        let bounds =
            Bounds { stretch_bytes: 500, kept_bytes: 1_000, rest_ms: 60_000, age_ms: 60_000 };
        let plan = front::planned(&run_dir).unwrap().0;
        let opened = Journal::open_within(&run_dir.journal(), plan, bounds);
        let (mut journal, Resumed { mut run, .. }) = opened.unwrap();
        let mut reader = HistoryReader::open(&run_dir).unwrap();
        assert_eq!(reader.read().unwrap().known_from_ms, 0);
        for at_ms in 1..60 {
            let failure = ConnectFailure {
                stage: "tcp".into(),
                cause: Tainted::new("refused"),
                hint: None,
                retry: true,
            };
            let event = Event::ConnectFailed { host: HostId(0), failure };
            journal.append(at_ms, std::slice::from_ref(&event)).await.unwrap();
            run.absorb(at_ms, event);
            let _ = run.decide(at_ms);
            journal.keep_bounded(at_ms, &run);
        }
        journal.park(&run).await.unwrap();
        for mut reader in [reader, HistoryReader::open(&run_dir).unwrap()] {
            let history = reader.read().unwrap();
            assert!((20..59).contains(&history.known_from_ms), "{}", history.known_from_ms);
            assert_eq!(history.hosts[0].spans[0].from_ms, history.known_from_ms);
            assert_eq!(history.view, run.view());
        }
    }
}
