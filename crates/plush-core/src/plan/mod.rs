//! The plan of a run: which host serves where, and everything resolved; nothing is left to choose.
//! Not how the run goes on from there: that is [`crate::run`].

mod assign;
mod enough;
mod kept;
mod unsupported;

pub use assign::{Offer, PlanProblem, Settings, assign};
pub use kept::{Kept, Replace};
pub use unsupported::unsupported;

use plush_protocol::{Octets, SoftwareSpec};
use plush_spec::model::{Action, Cluster, Command, OnChange, Process, Project, Step};
use serde::{Deserialize, Serialize};

/// Which host of [`RunPlan::hosts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u32);

impl HostId {
    /// Its index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One run, decided in advance as far as it can be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// The run's id.
    pub run: String,
    /// The project as parsed, with its variables set.
    pub project: Project,
    /// Every host that is contacted.
    pub hosts: Vec<PlannedHost>,
    /// The clusters of the application, in the order of the description.
    pub clusters: Vec<PlannedCluster>,
    /// What stays on the hosts.
    pub keep: Keep,
}

/// What stays on the hosts after a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Nothing.
    #[default]
    Nothing,
    /// The agent and the packages, by digest: the next run sends neither.
    Cache,
    /// The working directories too.
    All,
}

/// One host of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedHost {
    /// `user@name:port` as the provider wrote it: names the host everywhere.
    pub name: String,
    /// Where other hosts find it, as far as that is known without DNS: `HostName` of the user's SSH
    /// configuration, `127.0.0.1` for a local host. Empty in plans of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// How it is reached.
    pub route: Route,
}

impl PlannedHost {
    /// A host of which only the name is known.
    pub fn new(name: impl Into<String>, route: Route) -> PlannedHost {
        let name = name.into();
        let address = match route {
            Route::Local => "127.0.0.1".to_owned(),
            Route::Ssh => bare_name(&name).to_owned(),
        };
        PlannedHost { name, address, route }
    }

    /// The address at which other hosts reach it.
    pub fn address(&self) -> &str {
        if self.address.is_empty() { bare_name(&self.name) } else { &self.address }
    }
}

/// `user@name:port` without user and port: the name that hosts use for each other.
pub fn bare_name(host: &str) -> &str {
    let name = host.rsplit_once('@').map_or(host, |(_, name)| name);
    match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => name.split_once(':').map_or(name, |(name, _)| name),
    }
}

/// How a host is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// An agent on this machine, as a child process in a directory of its own.
    Local,
    /// SSH.
    Ssh,
}

/// One cluster of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedCluster {
    /// The cluster as described.
    pub spec: Cluster,
    /// The hosts that serve, by rank.
    pub members: Vec<HostId>,
    /// Hosts that step in, in this order.
    pub spares: Vec<HostId>,
    /// Hosts on offer that are contacted only when no spare is left, in this order.
    pub reserve: Vec<PlannedHost>,
    /// How it is kept up.
    pub kept: Kept,
    /// How many are wanted.
    pub wanted: u32,
    /// Fewer than these are not enough.
    pub min: u32,
    /// The software with its packages resolved.
    pub software: Vec<SoftwareSpec>,
    /// In the order of the description.
    pub templates: Vec<PlannedTemplate>,
    /// Contents for the standard input of processes, by process name.
    pub stdin_files: Vec<(String, Octets)>,
}

/// A file that is rendered for each host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTemplate {
    /// Path on the host, with `${...}` in it.
    pub dest_path: String,
    /// Mode bits.
    pub mode: u32,
    /// Text with `${...}` in it.
    pub text: String,
    /// What follows when it would be rendered otherwise.
    pub on_change: OnChange,
}

impl PlannedCluster {
    /// Its name.
    pub fn name(&self) -> &str {
        self.spec.name.as_str()
    }
}

impl RunPlan {
    /// The name of a host.
    pub fn host_name(&self, host: HostId) -> &str {
        &self.hosts[host.index()].name
    }

    /// Something in the run begins at an instant, so that clocks have to be measured.
    pub fn starts_together(&self) -> bool {
        let named = self.project.barriers.iter().map(|b| &b.policy);
        let ready = self.clusters.iter().map(|c| &c.spec.ready);
        named.chain(ready).any(|policy| policy.together_ms.is_some())
    }

    /// Whether the hosts of a cluster are expected at this barrier of the project: a step of theirs enters it, or the
    /// description says that their programs do. Where it says nothing at all, those of every cluster are.
    pub fn comes_to(&self, cluster: &PlannedCluster, number: usize) -> bool {
        let barrier = &self.project.barriers[number];
        let steps_in = |cluster: &PlannedCluster| self.has_step_at(cluster, number);
        let is_named = barrier.clusters.iter().any(|r| r.name == cluster.spec.name);
        let is_open = barrier.clusters.is_empty() && !self.clusters.iter().any(steps_in);
        is_named || is_open || steps_in(cluster)
    }

    /// Whether a step of the cluster enters this barrier of the project.
    pub fn has_step_at(&self, cluster: &PlannedCluster, number: usize) -> bool {
        let name = &self.project.barriers[number].name;
        let enters = |step: &Step| matches!(&step.action, Action::Barrier(r) if r.name == *name);
        cluster.spec.execution.iter().any(enters)
    }

    /// The cluster that a host serves in or is kept for, as planned.
    pub fn cluster_of(&self, host: HostId) -> Option<&PlannedCluster> {
        self.clusters.iter().find(|c| c.members.contains(&host) || c.spares.contains(&host))
    }

    /// After so long without a word nothing of any cluster runs; `None` if a cluster has no lease.
    pub fn longest_lease_ms(&self) -> Option<u64> {
        let leases: Option<Vec<u64>> = self.clusters.iter().map(|c| c.kept.stop_after_ms).collect();
        leases?.into_iter().max()
    }

    /// Life of a host's tasks without a word from a controller; `None` is for ever.
    pub fn stop_after_ms(&self, host: HostId) -> Option<u64> {
        self.cluster_of(host).and_then(|cluster| cluster.kept.stop_after_ms)
    }
}

/// The texts of a command, for people: the arguments or the line.
pub fn command_text(command: &Command) -> String {
    match command {
        Command::Program { path, args, .. } => {
            std::iter::once(path).chain(args).cloned().collect::<Vec<_>>().join(" ")
        }
        Command::Shell { line, .. } => line.clone(),
    }
}

/// The processes of a cluster, wherever they stand in its graph.
pub fn processes(cluster: &Cluster) -> impl Iterator<Item = &Process> {
    cluster.execution.iter().filter_map(|step| match &step.action {
        Action::Process(process) => Some(process.as_ref()),
        Action::Barrier(_) | Action::Workflow(_) | Action::Repeat(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_s_bare_name_has_neither_user_nor_port() {
        for (whole, bare) in [
            ("n1", "n1"),
            ("u@n1.org:2222", "n1.org"),
            ("u@[2001:db8::1]:22", "2001:db8::1"),
            ("n1:22", "n1"),
        ] {
            assert_eq!(bare_name(whole), bare);
        }
    }
}
