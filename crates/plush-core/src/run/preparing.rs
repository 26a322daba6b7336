//! From a connected host to a prepared one.
//! Not the fetching and unpacking: the agent does that.

use super::Run;
use super::member::Stage;
use crate::barrier::{Entrant, Verdict};
use crate::plan::HostId;
use plush_protocol::Command;

impl Run {
    pub(super) fn preparing(
        &mut self,
        host: HostId,
        name: &str,
        stage: Stage,
        fetched_bytes: Option<u64>,
    ) {
        if self.is_preparing(host, name)
            && let Some((cluster, place)) = self.places[host.index()]
        {
            let cluster = &mut self.clusters[cluster];
            cluster.members[place].stage = stage;
            // What is fetched is what hosts share; they unpack without getting in each other's way.
            if let Some(fetched_bytes) = fetched_bytes {
                cluster.prepare.progressed(Entrant(host.0), fetched_bytes, self.now);
            }
        }
    }

    pub(super) fn prepared(&mut self, host: HostId, name: &str) {
        if !self.is_preparing(host, name) {
            return;
        }
        let (cluster, place) = self.places[host.index()].expect("a preparing host has a place");
        let cluster = &mut self.clusters[cluster];
        cluster.members[place].stage = Stage::Prepared;
        cluster.prepare.leave(Entrant(host.0), self.now);
        cluster.ready.enter(Entrant(host.0), self.now);
    }

    pub(super) fn is_preparing(&self, host: HostId, name: &str) -> bool {
        self.places[host.index()].is_some_and(|(cluster, place)| {
            self.plan.clusters[cluster].name() == name
                && matches!(self.clusters[cluster].members[place].stage, Stage::Preparing { .. })
        })
    }

    /// Hosts that are connected and expected enter the preparation of their cluster.
    pub(super) fn admit_to_preparation(&mut self) {
        for number in 0..self.clusters.len() {
            let cluster = &mut self.clusters[number];
            for member in &mut cluster.members {
                if member.stage == Stage::Joining && self.hosts[member.host.index()].is_up() {
                    member.stage = Stage::Queued;
                    cluster.prepare.enter(Entrant(member.host.0), self.now);
                }
            }
            for verdict in self.clusters[number].prepare.decide(self.now) {
                match verdict {
                    Verdict::Release(who) => self.begin_preparation(HostId(who.0)),
                    Verdict::TooLate(who) => self.too_late(HostId(who.0), "prepare"),
                }
            }
        }
    }

    pub(super) fn begin_preparation(&mut self, host: HostId) {
        let Some((cluster, place)) = self.places[host.index()] else { return };
        match self.seat(cluster, place, &self.peers()).preparation() {
            Ok(spec) => {
                self.remember_files(host, &spec.files);
                self.hosts[host.index()].command(Command::Prepare(spec));
                self.clusters[cluster].members[place].stage =
                    Stage::Preparing { step: "begin".into(), done_bytes: 0, total_bytes: None };
            }
            Err(cause) => self.leave(host, "prepare", cause.text, None),
        }
    }
}
