//! Output: from a task's spool on a host to the controller's files, by offset.
//! Not what the bytes mean; each follows from task, stream and offset, so that a wrong one is seen.

use super::World;
use super::journal::Record;
use super::link::Sending;
use super::queue::Happening;
use crate::faults::Sabotage;
use plush_core::plan::HostId;
use plush_core::run::{Event, OpenTask};
use plush_protocol::bulk::{OUTPUT_WINDOW_BYTES, PART_BYTES};
use plush_protocol::{
    OutputAck, OutputGap, OutputPart, Report, StreamName, TaskKey, TaskState, ToAgent, ToController,
};
use std::collections::BTreeMap;

/// Time that the controller's disk needs for output.
const STORE_MS: u64 = 4;

/// One stream as the controller has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub received: u64,
    /// The last `received` that the agent was told: its window counts from there.
    pub opened: u64,
    pub syncing: u64,
    pub durable: u64,
    pub gap_bytes: u64,
    pub total: Option<u64>,
    pub told: bool,
}

/// The bytes that a task writes from an offset on.
fn bytes_from(key: TaskKey, stream: StreamName, offset: u64) -> impl Iterator<Item = u8> {
    let salt = u64::from(key.task) * 31 + u64::from(stream == StreamName::Err) * 17;
    let first = ((offset % 251) * 7 + salt) % 251;
    std::iter::successors(Some(first as u8), |byte| Some(((u16::from(*byte) + 7) % 251) as u8))
}

impl World {
    /// The controller opens both streams of a task on its host's link.
    pub(crate) fn open_streams(&mut self, link: u64, key: TaskKey) {
        for stream in [StreamName::Out, StreamName::Err] {
            self.acknowledge_output(link, key, stream);
        }
    }

    pub(crate) fn acknowledge_output(&mut self, link: u64, key: TaskKey, stream: StreamName) {
        let store = self.controller.stores.entry((key, stream)).or_default();
        let durable = if self.sabotage == Sabotage::AckBeforeDurable {
            store.received
        } else {
            store.durable
        };
        store.opened = store.received;
        let ack = OutputAck { key, stream, received: store.received, durable };
        self.send_to_agent(link, ToAgent::OutputAck(ack));
    }

    /// The agent is told what the controller has.
    pub(crate) fn output_acknowledged(&mut self, host: HostId, link: u64, ack: &OutputAck) {
        let place = (ack.key, ack.stream);
        let durable = self.controller.stores.get(&place).map_or(0, |s| s.durable);
        self.checks.acknowledged_output(self.now, ack, durable);
        let limit = ack.received + OUTPUT_WINDOW_BYTES;
        let skip = if self.sabotage == Sabotage::DropLastBlock { 64 } else { 0 };
        if let Some(there) = self.links.get_mut(&link) {
            let next = if ack.received > 0 { ack.received + skip } else { 0 };
            let sending = there.streams.entry(place).or_insert(Sending { next, limit });
            sending.limit = sending.limit.max(limit);
        }
        let forgotten = match self.sabotage {
            Sabotage::TrimReceived => ack.received,
            _ => ack.durable,
        };
        if let Some(spool) = self.hosts[host.index()].disk.spools.get_mut(&place) {
            spool.base = spool.base.max(forgotten).min(spool.length.max(ack.durable));
            spool.length = spool.length.max(spool.base);
            spool.synced = spool.synced.max(spool.base);
        }
        self.pump(host, link, ack.key, ack.stream);
    }

    /// The program has written: every link that has the stream open is served.
    pub(crate) fn pump_links(&mut self, host: HostId, key: TaskKey, stream: StreamName) {
        if self.hosts[host.index()].agent.is_none() {
            return;
        }
        for link in self.open_links_of(host) {
            if self.links[&link].streams.contains_key(&(key, stream)) {
                self.pump(host, link, key, stream);
            }
        }
    }

    fn pump(&mut self, host: HostId, link: u64, key: TaskKey, stream: StreamName) {
        let Some(spool) = self.hosts[host.index()].disk.spools.get(&(key, stream)) else { return };
        let (base, length) = (spool.base, spool.length);
        let Some(there) = self.links.get_mut(&link) else { return };
        let Some(Sending { next, limit }) = there.streams.get_mut(&(key, stream)) else { return };
        let limit = if self.sabotage == Sabotage::IgnoreWindow { u64::MAX } else { *limit };
        let mut messages = Vec::new();
        if *next < base {
            messages.push(ToController::OutputGap(OutputGap {
                key,
                stream,
                from: *next,
                to: base,
            }));
            *next = base;
        }
        while *next < length.min(limit) {
            let end = length.min(limit).min(*next + PART_BYTES as u64);
            let bytes = bytes_from(key, stream, *next).take((end - *next) as usize).collect();
            messages.push(ToController::OutputPart(OutputPart {
                key,
                stream,
                offset: *next,
                bytes,
            }));
            *next = end;
        }
        messages.into_iter().for_each(|m| self.send_to_controller(link, m));
    }

    /// A piece arrives at the controller.
    pub(crate) fn output_part(&mut self, part: &OutputPart) {
        let store = self.controller.stores.entry((part.key, part.stream)).or_default();
        let begin = match self.sabotage {
            Sabotage::StoreTwice => store.received,
            _ => part.offset,
        };
        let end = begin + part.bytes.len() as u64;
        let window = store.opened + OUTPUT_WINDOW_BYTES;
        if begin > store.received || end <= store.received {
            return;
        }
        let fresh = store.received;
        let told = part.bytes[(fresh - begin) as usize..].iter().copied();
        let right = told.eq(bytes_from(part.key, part.stream, fresh).take((end - fresh) as usize));
        self.checks.windowed(self.now, part.key, end, window);
        store.received = end;
        let total = store.total;
        self.checks.stored_output(self.now, part.key, right, end, total);
        self.store_soon();
    }

    /// A piece that will never come is declared.
    pub(crate) fn output_gap(&mut self, gap: &OutputGap) {
        let store = self.controller.stores.entry((gap.key, gap.stream)).or_default();
        if gap.from <= store.received && store.received < gap.to {
            store.gap_bytes += gap.to - store.received;
            store.received = gap.to;
            self.store_soon();
        }
    }

    fn store_soon(&mut self) {
        if self.controller.storing || !self.controller.alive {
            return;
        }
        self.controller.storing = true;
        self.controller.stores.values_mut().for_each(|s| s.syncing = s.received);
        let life = self.controller.life;
        self.after(STORE_MS, Happening::Stored { life });
    }

    /// What was being written is durable.
    pub(crate) fn stored(&mut self, life: u64) {
        if life != self.controller.life || !self.controller.alive {
            return;
        }
        self.controller.storing = false;
        let (mut moved, mut more) = (Vec::new(), false);
        for (place, store) in &mut self.controller.stores {
            if store.syncing > store.durable {
                store.durable = store.syncing;
                moved.push(*place);
            }
            more |= store.received > store.syncing;
        }
        for (key, stream) in moved {
            let host = self.controller.owners.get(&key).copied();
            if let Some(link) = host.and_then(|h| self.controller.open_link(h, &self.links)) {
                self.acknowledge_output(link, key, stream);
            }
            self.tell_stored(key, stream);
        }
        if more {
            self.store_soon();
        }
    }

    /// Incarnations that an agent has begun by itself are followed like the first.
    pub(crate) fn open_new_incarnations(&mut self, host: HostId, report: &Report) {
        if report.tasks().is_empty() {
            return;
        }
        let known = self.controller.run.tasks_on(host);
        let is_known = |key: &TaskKey| known.iter().any(|open| open.key == *key);
        for key in report.tasks().iter().map(|r| r.key).filter(is_known) {
            if self.controller.owners.insert(key, host).is_none()
                && let Some(link) = self.controller.open_link(host, &self.links)
            {
                self.open_streams(link, key);
            }
        }
    }

    /// The lengths that a report says are those of the complete streams.
    pub(crate) fn learn_totals(&mut self, host: HostId, report: &Report) {
        for record in report.tasks() {
            let TaskState::Exited { out_bytes, err_bytes, .. } = record.state else { continue };
            if self.controller.run.tasks_on(host).iter().all(|open| open.key != record.key) {
                continue;
            }
            self.controller.owners.insert(record.key, host);
            for (stream, total) in [(StreamName::Out, out_bytes), (StreamName::Err, err_bytes)] {
                self.controller.stores.entry((record.key, stream)).or_default().total = Some(total);
                self.tell_stored(record.key, stream);
            }
        }
    }

    /// A new controller has the lengths from the core and from nowhere else: agents do not say them again.
    pub(crate) fn know_totals(&mut self) {
        for host in (0..).map(HostId).take(self.controller.run.plan().hosts.len()) {
            for open in self.controller.run.tasks_on(host) {
                let Some((out_bytes, err_bytes)) = open.total_bytes else { continue };
                self.controller.owners.insert(open.key, host);
                for (stream, total) in [(StreamName::Out, out_bytes), (StreamName::Err, err_bytes)]
                {
                    let store = self.controller.stores.entry((open.key, stream)).or_default();
                    store.total = Some(total);
                    self.tell_stored(open.key, stream);
                }
            }
        }
    }

    /// What the journal says was stored in full was so: it is not told again.
    pub(crate) fn know_stored(&mut self, records: &[Record]) {
        let events = || records.iter().flat_map(|record| &*record.events);
        let reports = events().filter_map(|event| match event {
            Event::Reported { report, .. } => Some(ended(report)),
            _ => None,
        });
        let totals: BTreeMap<_, u64> = reports.flatten().collect();
        for event in events() {
            if let Event::OutputStored { key, stream, .. } = event {
                let store = self.controller.stores.entry((*key, *stream)).or_default();
                store.total = totals.get(&(*key, *stream)).copied();
                store.told = true;
            }
        }
    }

    fn tell_stored(&mut self, key: TaskKey, stream: StreamName) {
        let Some(store) = self.controller.stores.get_mut(&(key, stream)) else { return };
        if store.told || store.total.is_none_or(|total| store.durable < total) {
            return;
        }
        store.told = true;
        let gap_bytes = store.gap_bytes;
        self.controller.pending.push(Event::OutputStored { key, stream, gap_bytes });
        self.commit_soon();
    }

    /// Streams of a host's tasks that are not complete are opened on its new link.
    pub(crate) fn open_streams_again(&mut self, host: HostId, link: u64) {
        for OpenTask { key, .. } in self.controller.run.tasks_on(host) {
            self.controller.owners.insert(key, host);
            for stream in [StreamName::Out, StreamName::Err] {
                let told = self.controller.stores.get(&(key, stream)).is_some_and(|s| s.told);
                if !told {
                    self.acknowledge_output(link, key, stream);
                }
            }
        }
    }
}

/// How long the streams are of tasks that a report says have ended.
fn ended(report: &Report) -> Vec<((TaskKey, StreamName), u64)> {
    let mut found = Vec::new();
    for record in report.tasks() {
        if let TaskState::Exited { out_bytes, err_bytes, .. } = record.state {
            found.push(((record.key, StreamName::Out), out_bytes));
            found.push(((record.key, StreamName::Err), err_bytes));
        }
    }
    found
}
