//! Clusters on one host: whose directory is being made, whose is complete.
//! Not the making.

use super::Ordered;
use super::event::{Effect, Rewriting};
use plush_protocol::{Cause, CauseKind, PrepareSpec, Report, Tainted};

/// Clusters that were asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Clusters {
    clusters: Ordered<String, Cluster>,
    rewritings: Vec<Rewriting>,
}

#[derive(Clone, Debug)]
enum Cluster {
    /// To be made; nobody has begun.
    Asked(Box<PrepareSpec>),
    Making(Cancel),
    Prepared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    No,
    Wanted,
    Asked,
}

impl Clusters {
    pub fn recovered(prepared: Vec<String>) -> Self {
        let clusters = prepared.into_iter().map(|name| (name, Cluster::Prepared)).collect();
        Clusters { clusters, ..Clusters::default() }
    }

    /// A file is to be written anew; nothing, where there is none yet.
    pub fn rewrite(&mut self, rewriting: Rewriting) {
        if let Some(Cluster::Prepared) = self.clusters.get(&rewriting.cluster) {
            self.rewritings.push(rewriting);
        }
    }

    pub fn decide_rewriting(&mut self) -> impl Iterator<Item = Effect> {
        self.rewritings.drain(..).map(Effect::Rewrite)
    }

    /// A preparation is asked for: the answer, where it is known already.
    pub fn prepare(&mut self, spec: PrepareSpec, leaving: bool) -> Option<Report> {
        if leaving {
            return Some(cancelled(spec.cluster, "the host is being cleaned up"));
        }
        match self.clusters.get(&spec.cluster) {
            Some(Cluster::Prepared) => Some(Report::Prepared {
                cluster: spec.cluster,
                fetched_bytes: 0,
                cached: 0,
                took_ms: 0,
                digests: Vec::new(),
            }),
            Some(Cluster::Asked(_) | Cluster::Making(_)) => None,
            None => {
                self.clusters.insert(spec.cluster.clone(), Cluster::Asked(Box::new(spec)));
                None
            }
        }
    }

    /// A preparation is not wanted any more: the answer, where nobody has begun it.
    pub fn cancel(&mut self, cluster: &str) -> Option<Report> {
        match self.clusters.get_mut(cluster) {
            Some(Cluster::Asked(_)) => {
                self.clusters.remove(cluster);
                Some(cancelled(cluster.to_owned(), "it was cancelled"))
            }
            Some(Cluster::Making(cancel @ Cancel::No)) => {
                *cancel = Cancel::Wanted;
                None
            }
            Some(Cluster::Making(_) | Cluster::Prepared) | None => None,
        }
    }

    pub fn cancel_all(&mut self) {
        self.clusters.values_mut().for_each(|cluster| {
            if let Cluster::Making(cancel @ Cancel::No) = cluster {
                *cancel = Cancel::Wanted;
            }
        });
    }

    /// A preparation is over, well or badly.
    pub fn ended(&mut self, report: &Report) {
        match report {
            Report::Prepared { cluster, .. } => {
                self.clusters.insert(cluster.clone(), Cluster::Prepared);
            }
            Report::PrepareFailed { cluster, .. } => {
                self.clusters.remove(cluster);
            }
            Report::Inventory { .. }
            | Report::Preparing { .. }
            | Report::Task(_)
            | Report::Cleaned { .. }
            | Report::Barrier(_)
            | Report::WentOn { .. }
            | Report::Note(_)
            | Report::Answered { .. } => {}
        }
    }

    pub fn decide(&mut self, effects: &mut Vec<Effect>) {
        for (name, cluster) in &mut self.clusters {
            if let Cluster::Asked(spec) = cluster {
                effects.push(Effect::Prepare(spec.as_ref().clone()));
                *cluster = Cluster::Making(Cancel::No);
            }
            if let Cluster::Making(cancel @ Cancel::Wanted) = cluster {
                *cancel = Cancel::Asked;
                effects.push(Effect::CancelPrepare { cluster: name.clone() });
            }
        }
    }

    pub fn prepared(&self) -> Vec<String> {
        let complete = self.clusters.iter().filter(|(_, c)| matches!(c, Cluster::Prepared));
        complete.map(|(name, _)| name.clone()).collect()
    }

    pub fn is_idle(&self) -> bool {
        self.clusters.values().all(|c| matches!(c, Cluster::Prepared))
    }
}

fn cancelled(cluster: String, why: &str) -> Report {
    let cause = Cause { kind: CauseKind::Cancelled, text: Tainted::new(why) };
    Report::PrepareFailed { cluster, cause }
}
