//! What the driver does for one task: its keeper is started, heard, and followed when it dies.
//! Not when a task starts or ends: the core decides that.

use super::held::Held;
use super::{Driver, descriptors, reaping};
use crate::keeper::wire::{FromKeeper, Launch, ToKeeper};
use crate::{keeper, log, record};
use plush_core::agent::Event;
use plush_protocol::{
    Cause, CauseKind, OutputAck, Report, Tainted, TaskKey, TaskRecord, TaskSpec, TaskState,
};
use std::path::{Component, Path};

impl Driver {
    /// Its processes have ended: others of the same task have followed.
    pub(super) fn forget(&mut self, key: TaskKey) {
        if let Some(held) = self.tasks.remove(&key)
            && let Err(e) = std::fs::remove_dir_all(&held.directory)
        {
            log!("remove what is left of {key:?}: {e}");
        }
    }

    pub(super) fn start(&mut self, key: TaskKey, spec: TaskSpec) {
        let name = spec.name.clone();
        let mut held = Held::new(&self.base, key);
        let enough = descriptors::for_new_work(&format!("start {name}"));
        let started = enough.and_then(|()| self.launch(key, spec)).and_then(|launch| {
            held.start(launch, &self.tell)
                .map_err(|e| keeper::gate::cause(&e, format!("start {name}")))
        });
        self.tasks.insert(key, held);
        if let Err(cause) = started {
            log!("{}", cause.text);
            self.changed(key, TaskState::NotStarted(cause));
        }
        let early: Vec<OutputAck> =
            self.opened_early.extract_if(.., |ack| ack.key == key).collect();
        early.iter().for_each(|ack| self.output_acknowledged(ack));
    }

    fn launch(&mut self, key: TaskKey, spec: TaskSpec) -> Result<Launch, Cause> {
        let plain = |path: &str| {
            Path::new(path)
                .components()
                .all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
        };
        if !crate::base::is_component(&spec.cluster) || !plain(&spec.directory) {
            let text = Tainted::new(format!(
                "start {}: {}/{} is not below the run's directory",
                spec.name, spec.cluster, spec.directory
            ));
            return Err(Cause { kind: CauseKind::System, text });
        }
        let cluster = self.base.clusters().join(&spec.cluster);
        std::fs::create_dir_all(&cluster)
            .map_err(|e| keeper::gate::cause(&e, format!("make {}", cluster.display())))?;
        let directory = cluster.join(&spec.directory).to_string_lossy().into_owned();
        let environment = self.environment.task(key, &spec);
        let group = self.standing.groups.as_mut().and_then(|groups| groups.task(key));
        let group = group.map(|group| group.path().to_string_lossy().into_owned());
        let umask = self.umask.as_raw_mode();
        Ok(Launch { key, spec, environment, directory, adopt: None, group, umask })
    }

    /// One that never had a record is concluded by the one before it.
    pub(super) fn conclude(&mut self, key: TaskKey) {
        let incarnations = (1..=key.incarnation).rev();
        let directories = incarnations.map(|n| self.base.task(TaskKey { incarnation: n, ..key }));
        let Some(directory) = directories.into_iter().find(|d| record::is_begun(d)) else { return };
        if let Err(e) = record::save_value(&directory, record::LAST, &key.incarnation) {
            log!("write down that {key:?} is the last: {e}");
        }
    }

    pub(super) fn tell_keeper(&mut self, key: TaskKey, message: &ToKeeper) {
        if let Some(held) = self.tasks.get(&key) {
            held.tell(message);
        }
    }

    pub(super) fn keeper_said(&mut self, key: TaskKey, generation: u32, message: FromKeeper) {
        let Some(held) = self.tasks.get_mut(&key).filter(|h| h.is_present(generation)) else {
            return;
        };
        match message {
            FromKeeper::Attached(_) => {}
            FromKeeper::State(state) => self.changed(key, state),
            FromKeeper::Grown { out, err } => {
                held.streams[0].grown(out);
                held.streams[1].grown(err);
            }
            FromKeeper::Unkillable(text) => {
                held.unkillable = Some(text.clone());
                self.core.absorb(Event::Noted(Report::Note(Tainted::new(text))));
            }
            FromKeeper::Note(text) => {
                self.core.absorb(Event::Noted(Report::Note(Tainted::new(text))));
            }
        }
    }

    /// A keeper that ends has written down the end of its task first; otherwise it died, and the task may live.
    pub(super) fn keeper_gone(&mut self, key: TaskKey, generation: u32) {
        let Some(held) = self.tasks.get_mut(&key) else { return };
        if !held.keeper_gone(generation) {
            return;
        }
        let known = self.core.task(key).map(|record| &record.state);
        if matches!(known, Some(TaskState::Exited { .. } | TaskState::NotStarted(_))) {
            return;
        }
        if let Some(end) = record::load_end(&held.directory) {
            self.changed(key, end);
            return;
        }
        self.orphans = true;
        if record::load_value::<record::Started>(&held.directory, record::STARTED).is_none() {
            let text = Tainted::new("start a task: its keeper died before it");
            self.changed(key, TaskState::NotStarted(Cause { kind: CauseKind::System, text }));
            return;
        }
        log!("keeper of {key:?} died: adopting the task");
        if let Err(e) = held.adopt(&self.tell) {
            log!("adopt {key:?}: {e}");
        }
        if let Some(record) = self.core.task(key).cloned() {
            self.core.absorb(Event::Task(TaskRecord { degraded: true, ..record }));
        }
        self.reap();
    }

    pub(super) fn changed(&mut self, key: TaskKey, state: TaskState) {
        let Some(held) = self.tasks.get_mut(&key) else { return };
        if let TaskState::Exited { .. } | TaskState::NotStarted(_) = state {
            held.ended(&state);
        }
        let degraded = held.degraded;
        let guarantee = held.guarantee();
        self.core.absorb(Event::Task(TaskRecord {
            guarantee,
            degraded,
            ..TaskRecord::new(key, state)
        }));
        self.tell_if_stored(key);
    }

    pub(super) fn reap(&mut self) {
        let keepers: Vec<u32> = self.tasks.values().filter_map(Held::keeper_pid).collect();
        for (pid, result) in reaping::reap(&keepers, self.orphans) {
            let adopted = self.tasks.values().filter(|held| held.degraded);
            for held in adopted {
                let started: Option<record::Started> =
                    record::load_value(&held.directory, record::STARTED);
                if started.is_some_and(|s| s.pid == pid) {
                    held.tell(&ToKeeper::Reaped(result));
                }
            }
        }
    }
}
