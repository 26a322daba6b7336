//! Assignment: which of the hosts on offer serves in which place.
//! Not where offers come from: providers ask, this decides.

use super::{
    HostId, Keep, Kept, PlannedCluster, PlannedHost, PlannedTemplate, Replace, RunPlan, unsupported,
};
use plush_protocol::{Octets, SoftwareSpec};
use plush_spec::model::{Cluster, Place, Project, Wanted};
use std::collections::BTreeSet;

/// What a provider and the controller found out for one cluster, in the order of [`Project::clusters_of`].
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Hosts that may serve, best first; hosts of several clusters may be on several offers.
    pub hosts: Vec<PlannedHost>,
    /// The cluster's software with its packages resolved.
    pub software: Vec<SoftwareSpec>,
    /// In the order of the description.
    pub templates: Vec<PlannedTemplate>,
    /// Contents for standard input, by process name.
    pub stdin_files: Vec<(String, Octets)>,
    /// The command line excluded available hosts: the remaining hosts are the wanted ones.
    pub is_narrowed: bool,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanProblem {
    /// What is wrong, as a sentence.
    pub what: String,
    /// Where in the description.
    pub place: Place,
    /// What to do about it.
    pub hint: Option<String>,
    /// It is about hosts that are not there, not about the description.
    pub too_few_hosts: bool,
}

/// How the whole run is to go, from the command line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The run's id.
    pub run: String,
    /// What stays on the hosts.
    pub keep: Keep,
    /// Life of tasks without a controller, instead of the clusters' own; `Some(None)` is for ever.
    pub stop_after_ms: Option<Option<u64>>,
}

/// Assigns hosts to the clusters of the project's application. Clusters with a number choose before those that take
/// all; each host serves in one cluster; what a cluster does not want stays free for the next.
///
/// # Errors
/// Everything that stands in the way, at once.
pub fn assign(
    project: &Project,
    offers: Vec<Offer>,
    settings: Settings,
) -> Result<RunPlan, Vec<PlanProblem>> {
    let application =
        project.application(None).expect("a parsed project has at least one application");
    let clusters: Vec<&Cluster> = project.clusters_of(application).collect();
    let mut problems = unsupported(project);
    let kept: Vec<Kept> =
        clusters.iter().map(|c| Kept::of(c, application, settings.stop_after_ms)).collect();
    problems.extend(clusters.iter().zip(&kept).flat_map(|(c, kept)| kept.problems(c)));
    let mut desk = Desk::default();
    let mut chosen: Vec<Option<Chosen>> = vec![None; clusters.len()];
    for number in by_greed(&clusters) {
        match desk.choose(clusters[number], &offers[number]) {
            Ok(choice) => chosen[number] = Some(choice),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let chosen = chosen.into_iter().map(|c| c.expect("a cluster without a choice is a problem"));
    let clusters = clusters.into_iter().zip(offers).zip(chosen).zip(kept);
    let clusters = clusters.map(|(((spec, offer), choice), kept)| {
        let reserve = desk.reserve(&offer.hosts, &kept);
        planned(spec, offer, choice, reserve, kept)
    });
    let clusters = clusters.collect();
    Ok(RunPlan {
        run: settings.run,
        project: project.clone(),
        hosts: desk.hosts,
        clusters,
        keep: settings.keep,
    })
}

#[derive(Clone)]
struct Chosen {
    members: Vec<HostId>,
    spares: Vec<HostId>,
    wanted: u32,
    min: u32,
}

/// Hosts that have been given a place.
#[derive(Default)]
struct Desk {
    hosts: Vec<PlannedHost>,
    taken: BTreeSet<String>,
}

impl Desk {
    fn choose(&mut self, cluster: &Cluster, offer: &Offer) -> Result<Chosen, PlanProblem> {
        let mut free: Vec<&PlannedHost> = Vec::new();
        let mut seen = BTreeSet::new();
        for host in &offer.hosts {
            if !self.taken.contains(&host.name) && seen.insert(&host.name) {
                free.push(host);
            }
        }
        let free_count = u32::try_from(free.len()).unwrap_or(u32::MAX);
        let num = &cluster.num_hosts;
        let wanted = match num.wanted {
            Wanted::Count(n) if offer.is_narrowed => n.min(free_count),
            Wanted::Count(n) => n,
            Wanted::All => num.max.map_or(free_count, |max| max.min(free_count)),
        };
        // Without `min` a run continues with one host, but starts only with as many as it wants.
        let (min, needed) = (num.min.unwrap_or(1), num.min.unwrap_or(wanted));
        if free_count < needed || free_count == 0 {
            return Err(too_few(cluster, wanted, free_count));
        }
        let members = wanted.min(free_count);
        let spares = num.spare.min(free_count - members);
        let mut take = |host: &&PlannedHost| self.take(host);
        let ids: Vec<HostId> =
            free.iter().take((members + spares) as usize).map(&mut take).collect();
        let (members, spares) = ids.split_at(members as usize);
        Ok(Chosen { members: members.to_vec(), spares: spares.to_vec(), wanted, min })
    }

    /// What nobody has taken, for a cluster that replaces hosts.
    fn reserve(&self, offered: &[PlannedHost], kept: &Kept) -> Vec<PlannedHost> {
        if kept.replace == Replace::Never {
            return Vec::new();
        }
        let mut seen = BTreeSet::new();
        let free = |host: &&PlannedHost| {
            !self.taken.contains(&host.name) && seen.insert(host.name.clone())
        };
        offered.iter().filter(free).cloned().collect()
    }

    fn take(&mut self, host: &PlannedHost) -> HostId {
        let id = HostId(u32::try_from(self.hosts.len()).expect("host sets are bounded far below"));
        self.taken.insert(host.name.clone());
        self.hosts.push(host.clone());
        id
    }
}

/// Numbers of the clusters in the order in which they choose.
fn by_greed(clusters: &[&Cluster]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..clusters.len()).collect();
    order.sort_by_key(|n| matches!(clusters[*n].num_hosts.wanted, Wanted::All));
    order
}

fn too_few(cluster: &Cluster, wanted: u32, free: u32) -> PlanProblem {
    let named = &cluster.name;
    let (needs, hint) = match cluster.num_hosts.min {
        Some(min) => (
            format!(" and needs {min}"),
            "add hosts to `resources`, or lower `min` in `num_hosts`".to_owned(),
        ),
        None => (
            String::new(),
            format!(
                "add hosts to `resources`, or say how many are enough: \
                 `num_hosts: {{wanted: {wanted}, min: {}}}`",
                free.max(1)
            ),
        ),
    };
    PlanProblem {
        what: format!("cluster `{named}` wants {wanted} hosts{needs}; its resources offer {free}"),
        place: cluster.num_hosts.place,
        hint: Some(hint),
        too_few_hosts: true,
    }
}

fn planned(
    spec: &Cluster,
    offer: Offer,
    choice: Chosen,
    reserve: Vec<PlannedHost>,
    kept: Kept,
) -> PlannedCluster {
    PlannedCluster {
        spec: spec.clone(),
        reserve,
        kept,
        members: choice.members,
        spares: choice.spares,
        wanted: choice.wanted,
        min: choice.min,
        software: offer.software,
        templates: offer.templates,
        stdin_files: offer.stdin_files,
    }
}
