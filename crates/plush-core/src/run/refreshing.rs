//! Files made from templates that are made anew when what they are made of changes: another host serves in a place.
//! Not the first making, which is part of a preparation, and not what nobody asked for: `on_change` of the template.

use super::Run;
use super::member::Stage;
use super::task::Stand;
use crate::plan::HostId;
use plush_protocol::Command;
use plush_spec::model::OnChange;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Path, mode bits and text.
type RenderedText = (String, u32, String);

/// Who holds which place, and how often that has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LineUps {
    version: u32,
    hosts: Vec<Vec<HostId>>,
}

/// What the files of one host were made from last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rendered {
    version: u32,
    /// A mark of each file, in the order of the templates.
    marks: Vec<u64>,
}

impl Run {
    /// The files of a host have been made, or are about to be.
    pub(super) fn remember_files(&mut self, host: HostId, files: &[RenderedText]) {
        let marks = files.iter().map(|file| mark(&file.2)).collect();
        self.hosts[host.index()].rendered = Rendered { version: self.line_ups.version, marks };
    }

    /// Has files replaced that would be others now, on hosts that have theirs.
    pub(super) fn refresh_files(&mut self) {
        let follows = |c: &crate::plan::PlannedCluster| {
            c.templates.iter().any(|t| t.on_change != OnChange::Nothing)
        };
        if self.stopping.is_some() || !self.plan.clusters.iter().any(follows) {
            return;
        }
        let hosts: Vec<Vec<HostId>> = self.clusters.iter().map(|c| c.line_up()).collect();
        if self.line_ups.hosts != hosts {
            self.line_ups = LineUps { version: self.line_ups.version + 1, hosts };
        }
        let version = self.line_ups.version;
        let has_files = |stage: &Stage| matches!(stage, Stage::Prepared | Stage::Executing(_));
        let members = self.clusters.iter().flat_map(|c| &c.members);
        let stale: Vec<HostId> = members
            .filter(|m| {
                has_files(&m.stage) && self.hosts[m.host.index()].rendered.version != version
            })
            .map(|m| m.host)
            .collect();
        if stale.is_empty() {
            return;
        }
        let peers = self.peers();
        for host in stale {
            let Some((cluster, place)) = self.places[host.index()] else { continue };
            match self.seat(cluster, place, &peers).preparation() {
                Ok(spec) => self.replace_files(host, cluster, spec.files),
                Err(cause) => {
                    self.hosts[host.index()].rendered.version = version;
                    self.problem(Some(host), "replace a file", cause.text, None);
                }
            }
        }
    }

    fn replace_files(&mut self, host: HostId, cluster: usize, files: Vec<RenderedText>) {
        let before = std::mem::take(&mut self.hosts[host.index()].rendered.marks);
        self.remember_files(host, &files);
        let mut signals = BTreeSet::new();
        let name = self.plan.clusters[cluster].name().to_owned();
        for (number, file) in files.into_iter().enumerate() {
            if before.get(number) == Some(&mark(&file.2)) {
                continue;
            }
            match &self.plan.clusters[cluster].templates[number].on_change {
                OnChange::Nothing => continue,
                OnChange::Replace => {}
                OnChange::Signal(signal) => drop(signals.insert(*signal)),
            }
            let (path, mode, text) = file;
            let command = Command::Rewrite { cluster: name.clone(), path, mode, text };
            self.hosts[host.index()].command(command);
        }
        let runs = |t: &&super::TaskRun| {
            t.host == host && t.cluster == cluster && t.stand == Stand::Running
        };
        for task in self.tasks.iter().filter(runs) {
            for signal in &signals {
                let command = Command::Signal { key: task.key, signal: signal.number() };
                self.hosts[host.index()].command(command);
            }
        }
    }
}

/// The same for the same text, in every build (FNV-1a): a text that is another and has the same mark would be missed, once
/// in 2^64.
fn mark(text: &str) -> u64 {
    let step = |mark: u64, byte: u8| (mark ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
