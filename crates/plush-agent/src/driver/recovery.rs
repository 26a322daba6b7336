//! What an agent finds when it starts where one has been before: tasks with living keepers, with dead ones, ended.
//! Not what is done about them.

use super::happened::Happened;
use super::held::Held;
use crate::base::{Base, key_of};
use crate::cgroup::TaskGroup;
use crate::keeper::tree::Marks;
use crate::record::{self, Started};
use crate::{chance, clock, processes};
use plush_core::agent::{Launched, Recovered};
use plush_protocol::{Exit, TaskKey, TaskRecord, TaskState};
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long processes that nobody keeps are killed before they are given up.
const ORPHANS_LIMIT: Duration = Duration::from_secs(5);
/// Between two rounds of it.
const ORPHANS_ROUND: Duration = Duration::from_millis(20);

/// Looks through the run's directory and takes up every task.
pub fn recover(
    base: &Base,
    happened: &mpsc::Sender<Happened>,
) -> (Recovered, BTreeMap<TaskKey, Held>) {
    let mut tasks = BTreeMap::new();
    let mut records = Vec::new();
    let entries = fs::read_dir(base.tasks()).into_iter().flatten().flatten();
    for key in entries.filter_map(|e| key_of(e.file_name().to_str()?)) {
        let mut held = Held::new(base, key);
        let Some(state) = state_of(&mut held, happened) else { continue };
        held.ended(&state);
        let (guarantee, degraded) = (held.guarantee(), held.degraded);
        records.push(TaskRecord { guarantee, degraded, ..TaskRecord::new(key, state) });
        tasks.insert(key, held);
    }
    records.sort_by_key(|record| record.key);
    let launches = launches(&tasks);
    let prepared = fs::read_dir(base.clusters()).into_iter().flatten().flatten();
    let prepared = prepared.filter_map(|e| e.file_name().into_string().ok());
    let mut prepared: Vec<String> =
        prepared.filter(|n| crate::base::is_component(n) && !n.ends_with(".part")).collect();
    prepared.sort();
    let recovered = Recovered {
        session: chance::number(),
        epoch: record::load_epoch(&base.run),
        lease: record::load_lease(&base.run).unwrap_or_default(),
        now: clock::now_ms(),
        tasks: records,
        launches,
        prepared,
    };
    (recovered, tasks)
}

/// How the tasks were started that the core does something about by itself.
fn launches(tasks: &BTreeMap<TaskKey, Held>) -> Vec<Launched> {
    let launch = |(key, held): (&TaskKey, &Held)| {
        let spec = held.launch()?.spec;
        let started: Option<Started> = record::load_value(&held.directory, record::STARTED);
        let this_boot = started.filter(|started| started.boot_id == clock::boot_id());
        let is_last = held.directory.join(record::LAST).exists() || held.has_remains;
        let wanted = spec.restart.is_some() || !spec.probes.is_empty();
        let started_at = this_boot.map(|started| started.at_ms);
        wanted.then_some(Launched { key: *key, spec, started_at, is_last })
    };
    tasks.iter().filter_map(launch).collect()
}

/// The state of one task; `None` if nothing was ever executed under its key.
fn state_of(held: &mut Held, happened: &mpsc::Sender<Happened>) -> Option<TaskState> {
    if let Some(end) = record::load_end(&held.directory) {
        return Some(end);
    }
    match held.attach(happened) {
        Ok(state) => return Some(state),
        Err(e) => crate::log!("attach to the keeper of {:?}: {e}", held.key),
    }
    // It may have ended just now; its last word is on disk before it goes.
    if let Some(end) = record::load_end(&held.directory) {
        return Some(end);
    }
    let Some(started) = record::load_value::<Started>(&held.directory, record::STARTED) else {
        if held.is_unkept() {
            let _it_stays_and_is_replaced = fs::remove_dir_all(&held.directory);
        }
        return None;
    };
    if started.boot_id == clock::boot_id() {
        end_orphans(held, &started);
    }
    let [out_bytes, err_bytes] = [held.streams[0].on_disk(), held.streams[1].on_disk()];
    let (exit, ended_us) = (Exit::Lost, None);
    let end = TaskState::Exited { exit, out_bytes, err_bytes, ran_ms: 0, ended_us };
    if let Err(e) = record::save_value(&held.directory, record::ENDED, &end) {
        crate::log!("write down the end of {:?}: {e}", held.key);
    }
    Some(end)
}

/// Ends what is left of a task whose keeper and agent died together (F06).
fn end_orphans(held: &mut Held, started: &Started) {
    let launch = held.launch();
    let group = launch.as_ref().and_then(TaskGroup::of);
    let marks = launch.map(|launch| launch.marks()).unwrap_or_default();
    let marks = Marks::new(started, marks, &[]);
    let deadline = Instant::now() + ORPHANS_LIMIT;
    loop {
        if let Some(group) = &group {
            group.kill();
        }
        let left = processes::freeze_and_kill(|| marks.find());
        if left == 0 && group.as_ref().is_none_or(TaskGroup::is_empty) {
            group.iter().for_each(TaskGroup::remove);
            return;
        }
        if Instant::now() > deadline {
            crate::log!("unkillable: what is left of {:?}", held.key);
            held.has_remains = true;
            return;
        }
        std::thread::sleep(ORPHANS_ROUND);
    }
}
