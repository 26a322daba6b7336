//! Output of the host's tasks: which streams are expected, what is here of each, and what the agent is told of that.
//! Not how it is kept: that is `output`.

use super::{End, HostLink};
use crate::error::ControllerError;
use crate::output::{Completed, Extent, Stored, Sync};
use crate::wire::Wire;
use plush_core::run::Event;
use plush_protocol::{
    OutputAck, OutputGap, OutputPart, Report, StreamName, TaskKey, TaskState, ToAgent, Written,
};
use std::collections::BTreeMap;

impl HostLink {
    /// The agent sends output of a task once it is told what is here of it.
    pub(super) fn expect_output(
        &mut self,
        wire: &mut Wire,
        key: TaskKey,
        process: String,
    ) -> Result<(), End> {
        let opened = self.output.expect(key, &process);
        self.processes.insert(key, process);
        if self.if_room(opened)?.is_some() {
            self.acknowledge_output(wire, key, StreamName::Out);
            self.acknowledge_output(wire, key, StreamName::Err);
        }
        Ok(())
    }

    /// What could not be written for want of room is not acknowledged, so that the agent keeps it.
    fn if_room<T>(&mut self, written: Result<T, ControllerError>) -> Result<Option<T>, End> {
        match written {
            Ok(done) => Ok(Some(done)),
            Err(error) if error.is_no_space() => {
                self.has_dropped = true;
                self.shared.space.lacks();
                Ok(None)
            }
            Err(error) => Err(End::Broken(error)),
        }
    }

    /// Streams that are not complete are opened anew on every link.
    pub(super) fn reopen_streams(&mut self, wire: &mut Wire) -> Result<(), End> {
        for (key, process) in self.processes.clone() {
            let opened = self.output.expect(key, &process);
            self.if_room(opened)?;
            if let Some((out_bytes, err_bytes)) = self.totals.get(&key) {
                self.output.ended(key, *out_bytes, *err_bytes);
            }
        }
        self.output.open_streams().into_iter().for_each(|ack| wire.send(&ToAgent::OutputAck(ack)));
        Ok(())
    }

    pub(super) fn store(&mut self, wire: &mut Wire, part: &OutputPart) -> Result<(), End> {
        let stored = self.output.store(part);
        match self.if_room(stored)? {
            // It comes behind what was dropped, or is that.
            Some(None) | None if self.has_dropped => return Ok(()),
            Some(None) | None => {
                return Err(End::Lost("the agent sent output out of order".into()));
            }
            Some(Some(Stored::Nothing)) => {}
            Some(Some(Stored::New)) => self.say_written(part.key, part.stream),
        }
        self.acknowledge_output(wire, part.key, part.stream);
        Ok(())
    }

    /// A piece that will never come.
    pub(super) fn note_gap(&mut self, wire: &mut Wire, gap: &OutputGap) -> Result<(), End> {
        let noted = self.output.gap(gap);
        match self.if_room(noted)? {
            Some(Some(())) => {
                self.say_written(gap.key, gap.stream);
                self.acknowledge_output(wire, gap.key, gap.stream);
            }
            // It begins behind what was dropped.
            Some(None) | None if self.has_dropped => {}
            Some(None) | None => {
                return Err(End::Lost("the agent declared an impossible gap".into()));
            }
        }
        Ok(())
    }

    /// What a report says of tasks concerns their output: incarnations that the agent began by itself have their own,
    /// and of those that have ended it is known how much there is.
    pub(super) fn follow(&mut self, wire: &mut Wire, report: &Report) -> Result<(), End> {
        for record in report.tasks() {
            let first = TaskKey { incarnation: 0, ..record.key };
            let process = match self.processes.range(first..=record.key).next_back() {
                Some((key, process)) if *key != record.key && key.task == record.key.task => {
                    Some(process.clone())
                }
                Some(_) | None => None,
            };
            if let Some(process) = process {
                self.expect_output(wire, record.key, process)?;
            }
            if let TaskState::Exited { out_bytes, err_bytes, .. } = record.state {
                self.output.ended(record.key, out_bytes, err_bytes);
                if self.output.is_stored(record.key) {
                    // An agent that is new does not know it.
                    let both = [(StreamName::Out, out_bytes), (StreamName::Err, err_bytes)];
                    for (stream, bytes) in both {
                        let key = record.key;
                        let ack = OutputAck { key, stream, received: bytes, durable: bytes };
                        wire.send(&ToAgent::OutputAck(ack));
                    }
                }
            }
        }
        Ok(())
    }

    /// Notify front ends that there is more to read.
    fn say_written(&self, key: TaskKey, stream: StreamName) {
        if let Some(extent) = self.output.extent(key, stream) {
            self.say_extent(key, stream, false, extent);
        }
    }

    fn say_extent(&self, key: TaskKey, stream: StreamName, whole: bool, extent: Extent) {
        self.shared.growth.say((self.id, key, stream), || {
            let below = extent.path.strip_prefix(self.shared.run_dir.path());
            Written {
                host: self.name.clone(),
                process: self.processes.get(&key).cloned().unwrap_or_default(),
                stream,
                file: below.unwrap_or(&extent.path).to_string_lossy().into_owned(),
                bytes: extent.bytes,
                gap_bytes: extent.gap_bytes,
                whole,
            }
        });
    }

    fn acknowledge_output(&self, wire: &mut Wire, key: TaskKey, stream: StreamName) {
        if let Some(ack) = self.output.acknowledgement(key, stream) {
            wire.send(&ToAgent::OutputAck(ack));
        }
    }

    pub(super) fn begin_syncs(&mut self, every: bool) {
        for sync in self.output.due(every) {
            self.syncs.spawn_blocking(move || {
                let result = sync.perform();
                (sync, result)
            });
        }
    }

    pub(super) fn synced(
        &mut self,
        wire: &mut Wire,
        done: Result<(Sync, std::io::Result<()>), tokio::task::JoinError>,
    ) -> Result<(), End> {
        let (sync, result) = done.expect("synchronising a file does not panic");
        let directory = self.shared.run_dir.output(&self.name);
        result.map_err(|e| {
            End::Broken(ControllerError::io("synchronise the output in", &directory, e))
        })?;
        self.output.synced(sync.stream, sync.upto);
        self.acknowledge_output(wire, sync.stream.0, sync.stream.1);
        Ok(())
    }

    pub(super) async fn say_completed(&mut self) -> Result<(), End> {
        for Completed { key, stream, extent } in self.output.completed() {
            let gap_bytes = extent.gap_bytes;
            self.say_extent(key, stream, true, extent);
            self.say(Event::OutputStored { key, stream, gap_bytes }).await;
        }
        self.forget_followed();
        Ok(())
    }

    /// Incarnations that are stored and that another has followed need not be known by name any more.
    fn forget_followed(&mut self) {
        let mut newest = BTreeMap::new();
        for key in self.processes.keys() {
            newest.insert(key.task, key.incarnation);
        }
        let output = &self.output;
        self.processes
            .retain(|key, _| newest[&key.task] == key.incarnation || !output.is_stored(*key));
    }
}
