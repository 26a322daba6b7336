//! What shows only when the parts of a project are seen together.
//! Single values were checked before; here nothing is changed, only reported.

use crate::hostset::{Groups, HostSet};
use crate::lower::host_sets;
use crate::model::{
    Action, Application, Cluster, Command, Condition, Hosts, Name, PackageKind, Place, Project,
    Reaction, Reference, RestartWhen, ServiceClass, Step, Wanted,
};
use crate::report::Report;
use crate::source::Span;
use crate::tree::shape::unknown_hint;
use crate::value::{nearest, shown};
use std::collections::{HashMap, HashSet};

/// Facts that every agent measures.
const FACTS: [&str; 18] = [
    "cpus",
    "memory",
    "free_memory",
    "disk",
    "free_disk",
    "load",
    "kernel",
    "kernel_version",
    "architecture",
    "os",
    "hostname",
    "latency",
    "bandwidth",
    "site",
    "region",
    "uptime",
    "cpu_load",
    "free_mem",
];

/// Search distance for parts of a host set after its beginning.
const PIECE_REACH_BYTES: usize = 64 << 10;

/// Checks a whole project.
pub(crate) fn check(project: &Project, report: &mut Report<'_>) {
    let is_sound = !report.has_errors();
    let mut cross = Cross { report, project, is_sound };
    cross.hosts();
    cross.software();
    cross.clusters();
    cross.applications();
    cross.unused();
}

struct Cross<'r, 's> {
    report: &'r mut Report<'s>,
    project: &'r Project,
    /// Whether there were no errors before: what is missing is then really missing.
    is_sound: bool,
}

impl Cross<'_, '_> {
    fn hosts(&mut self) {
        let all =
            self.project.clusters.iter().flat_map(|c| &c.resources).chain(&self.project.resources);
        for set in all.flat_map(host_sets) {
            self.host_set(set);
        }
    }

    fn host_set(&mut self, hosts: &Hosts) {
        if hosts.text.is_empty() {
            return;
        }
        match HostSet::parse(&hosts.text, &UnknownYet) {
            Ok(set) if set.is_empty() && !hosts.text.contains(['@', '*', '?']) => {
                let message = format!("the host set `{}` is empty", shown(&hosts.text));
                self.report.error_at("hosts", hosts.place, message, None);
            }
            Ok(_) => {}
            Err(error) => {
                let message = format!("this is no host set: {}", error.message);
                let span = self.host_piece(hosts, error.offset, error.len);
                self.report.error("hosts", &span, message, error.hint);
            }
        }
    }

    /// Position of a part of a host set: the set may span several lines, or be a list.
    fn host_piece(&self, hosts: &Hosts, offset: usize, len: usize) -> Span {
        let source = self.report.source;
        if let Some(span) = source.piece_at(hosts.place, &hosts.text, offset, len) {
            return span;
        }
        let word = source.word_at(hosts.place);
        let piece = hosts.text.get(offset..offset + len).filter(|piece| !piece.is_empty());
        match piece {
            Some(piece) => {
                let reach = source.text.floor_char_boundary(word.start + PIECE_REACH_BYTES);
                match source.word_within(&(word.start..reach), piece) {
                    found if found.end < reach => found,
                    _ => word,
                }
            }
            None => word,
        }
    }

    fn software(&mut self) {
        for software in &self.project.software {
            let mut seen: HashSet<(&str, Option<&str>)> = HashSet::new();
            for package in &software.packages {
                if !seen.insert((&package.name, package.dest_path.as_deref())) {
                    let hint = "give one of them another `name` or `dest_path`";
                    self.report.error_at(
                        "duplicate-name",
                        package.place,
                        format!(
                            "two packages of `{}` are both `{}`",
                            software.name,
                            shown(&package.name)
                        ),
                        Some(hint.to_string()),
                    );
                }
                if package.kind == PackageKind::Web
                    && package.sha256.is_none()
                    && package.path.starts_with("http://")
                {
                    let hint = "give its `sha256`, or fetch it by https";
                    self.report.warning_at(
                        "unverified",
                        package.place,
                        format!(
                            "nothing tells whether `{}` arrives as it was sent",
                            shown(&package.name)
                        ),
                        Some(hint.to_string()),
                    );
                }
            }
        }
    }

    fn clusters(&mut self) {
        if self.project.clusters.is_empty() && self.is_sound {
            let hint = "write `hosts:` and `run:`, or `clusters:`";
            self.report.error_at(
                "missing",
                self.project.place,
                "the project has no cluster: there is nothing to run",
                Some(hint.to_string()),
            );
        }
        let software: HashSet<&Name> = self.project.software.iter().map(|s| &s.name).collect();
        let clusters: HashSet<&Name> = self.project.clusters.iter().map(|c| &c.name).collect();
        for cluster in &self.project.clusters {
            self.references(&cluster.software, &software, "software");
            self.references(&cluster.after, &clusters, "cluster");
            self.num_hosts(cluster);
            self.requirement(cluster);
            self.entries(cluster);
            self.execution(cluster);
        }
        for barrier in &self.project.barriers {
            self.references(&barrier.clusters, &clusters, "cluster");
        }
        let after: Vec<(&Name, &[Reference])> =
            self.project.clusters.iter().map(|c| (&c.name, c.after.as_slice())).collect();
        self.cycle(&after, "clusters");
    }

    fn references(&mut self, references: &[Reference], known: &HashSet<&Name>, what: &str) {
        let mut seen = HashSet::new();
        for reference in references {
            if !known.contains(&reference.name) {
                let hint = unknown_hint(reference.name.as_str(), known.iter().map(|n| n.as_str()));
                let hint =
                    hint.or_else(|| Some(format!("define it first: there is no {what} at all")));
                self.report.error_at(
                    "undefined",
                    reference.place,
                    format!("there is no {what} `{}`", reference.name),
                    hint,
                );
            } else if !seen.insert(&reference.name) {
                self.report.warning_at(
                    "twice",
                    reference.place,
                    format!("the {what} `{}` is named twice", reference.name),
                    Some("once is enough".to_string()),
                );
            }
        }
    }

    fn num_hosts(&mut self, cluster: &Cluster) {
        let count = &cluster.num_hosts;
        let mut refuse = |message: String, hint: &str| {
            self.report.error_at("contradiction", count.place, message, Some(hint.to_string()))
        };
        if let (Some(min), Some(max)) = (count.min, count.max)
            && min > max
        {
            refuse(format!("min {min} is more than max {max}"), "min is at most max");
        }
        let Wanted::Count(wanted) = count.wanted else { return };
        if let Some(min) = count.min.filter(|min| *min > wanted) {
            refuse(
                format!("min {min} is more than the {wanted} wanted"),
                "min is how many are enough, so at most what is wanted",
            );
        }
        if let Some(max) = count.max.filter(|max| *max < wanted) {
            refuse(
                format!("max {max} is less than the {wanted} wanted"),
                "max is at least what is wanted",
            );
        }
        let group_total: u64 = cluster
            .requirement
            .groups
            .iter()
            .filter_map(|g| if let Wanted::Count(n) = g.count { Some(u64::from(n)) } else { None })
            .sum();
        if group_total > u64::from(wanted) {
            refuse(
                format!(
                    "the groups have {group_total} hosts together, more than the {wanted} wanted"
                ),
                "want at least as many as the groups have",
            );
        }
    }

    fn requirement(&mut self, cluster: &Cluster) {
        let requirement = &cluster.requirement;
        let of_groups =
            requirement.groups.iter().flat_map(|g| g.conditions.iter().chain(&g.between));
        let of_constraints = requirement.constraints.iter().flat_map(|c| &c.conditions);
        for condition in requirement
            .conditions
            .iter()
            .chain(&requirement.between)
            .chain(of_groups)
            .chain(of_constraints)
        {
            self.fact(condition);
        }
        let groups: HashSet<&Name> = requirement.groups.iter().map(|g| &g.name).collect();
        for constraint in &requirement.constraints {
            for name in constraint.groups.iter().filter(|name| !groups.contains(name)) {
                let hint = unknown_hint(name.as_str(), groups.iter().map(|n| n.as_str()));
                self.report.error_at(
                    "undefined",
                    constraint.place,
                    format!("there is no group `{name}` in this requirement"),
                    hint,
                );
            }
        }
    }

    fn fact(&mut self, condition: &Condition) {
        if FACTS.contains(&condition.fact.as_str()) {
            return;
        }
        if let Some(fact) = nearest(&condition.fact, FACTS) {
            let message = format!("no agent measures `{}`", shown(&condition.fact));
            self.report.warning_at(
                "fact",
                condition.place,
                message,
                Some(format!("did you mean `{fact}`?")),
            );
        }
    }

    /// Barriers of phases that could never fill.
    fn entries(&mut self, cluster: &Cluster) {
        let Wanted::Count(wanted) = cluster.num_hosts.wanted else { return };
        for policy in [&cluster.prepare, &cluster.ready] {
            if let Some(count) = policy.entry.count.filter(|count| *count > wanted) {
                let message = format!("{count} hosts are to enter, but the cluster has {wanted}");
                self.report.error_at(
                    "contradiction",
                    policy.place,
                    message,
                    Some("a full house always opens; ask for fewer".to_string()),
                );
            }
        }
    }

    fn execution(&mut self, cluster: &Cluster) {
        if cluster.execution.is_empty() && self.is_sound {
            self.report.warning_at(
                "nothing",
                cluster.place,
                format!("the cluster `{}` runs nothing", cluster.name),
                Some("write `run:` or `execution:`".to_string()),
            );
        }
        let class = cluster.service.as_ref().map(|s| s.class);
        self.steps(&cluster.execution, cluster, class, false);
    }

    fn steps(
        &mut self,
        steps: &[Step],
        cluster: &Cluster,
        class: Option<ServiceClass>,
        in_repeat: bool,
    ) {
        let edges: Vec<(&Name, &[Reference])> =
            steps.iter().map(|s| (&s.id, s.after.as_slice())).collect();
        self.cycle(&edges, "steps");
        let awaited: HashSet<&Name> =
            steps.iter().flat_map(|s| &s.after).map(|r| &r.name).collect();
        for step in steps {
            match &step.action {
                Action::Process(process) => {
                    self.on(process.on, cluster, step.place);
                    let is_endless = process
                        .restart
                        .is_some_and(|r| r.when == RestartWhen::Always && r.max.is_none());
                    if is_endless && (in_repeat || awaited.contains(&step.id)) {
                        let hint = "let it restart on failure only, or at most so many times";
                        self.report.error_at(
                            "contradiction",
                            step.place,
                            format!(
                                "`{}` is always started again, so what comes after it never starts",
                                process.name
                            ),
                            Some(hint.to_string()),
                        );
                    }
                    let replaces = matches!(process.on_failure, Some(Reaction::Restart))
                        && process.restart.is_some_and(|r| r.max == Some(0));
                    if replaces {
                        self.report.error_at(
                            "contradiction",
                            step.place,
                            "it is to be restarted on failure, but at most 0 times",
                            None,
                        );
                    }
                }
                Action::Repeat(repeat) => {
                    if class == Some(ServiceClass::Service) {
                        let hint = "take the class `batch`, or let the process restart instead";
                        self.report.error_at(
                            "contradiction",
                            step.place,
                            "a service goes on for ever, `repeat` ends",
                            Some(hint.to_string()),
                        );
                    }
                    if repeat.steps.is_empty() {
                        self.report.error_at(
                            "nothing",
                            step.place,
                            "`repeat` has no steps",
                            Some("write them under `do`".to_string()),
                        );
                    }
                    self.steps(&repeat.steps, cluster, class, true);
                }
                Action::Workflow(workflow) => {
                    self.on(workflow.on, cluster, step.place);
                    if !uses_item(&workflow.process.command) {
                        let hint = "write `${item}` where it is needed";
                        self.report.warning_at(
                            "nothing",
                            workflow.place,
                            format!("the workflow `{}` does not use its items", workflow.name),
                            Some(hint.to_string()),
                        );
                    }
                }
                Action::Barrier(_) => {}
            }
        }
    }

    fn on(&mut self, on: crate::model::On, cluster: &Cluster, place: Place) {
        if let (crate::model::On::Count(count), Wanted::Count(wanted)) =
            (on, cluster.num_hosts.wanted)
            && count > wanted
        {
            self.report.error_at(
                "contradiction",
                place,
                format!("it is to run on {count} hosts, but the cluster has {wanted}"),
                None,
            );
        }
    }

    /// Reports one cycle, if there is any.
    fn cycle(&mut self, edges: &[(&Name, &[Reference])], what: &str) {
        let index: HashMap<&Name, usize> =
            edges.iter().enumerate().map(|(i, (name, _))| (*name, i)).collect();
        let after: Vec<Vec<usize>> = edges
            .iter()
            .map(|(_, after)| after.iter().filter_map(|r| index.get(&r.name).copied()).collect())
            .collect();
        let Some(cycle) = find_cycle(&after) else { return };
        let names: Vec<&str> =
            cycle.iter().chain(cycle.first()).map(|i| edges[*i].0.as_str()).collect();
        let first =
            edges[cycle[0]].1.iter().find(|r| cycle.len() == 1 || r.name.as_str() == names[1]);
        let place = first.map_or(Place::default(), |r| r.place);
        let message = format!("these {what} wait for each other: {}", names.join(" after "));
        self.report.error_at(
            "cycle",
            place,
            message,
            Some("leave out one of the predecessors".to_string()),
        );
    }

    fn applications(&mut self) {
        let clusters: HashSet<&Name> = self.project.clusters.iter().map(|c| &c.name).collect();
        for application in &self.project.applications {
            self.references(&application.clusters, &clusters, "cluster");
            self.reachable(application);
        }
    }

    /// A cluster that waits for one that does not take part would wait for ever.
    fn reachable(&mut self, application: &Application) {
        let taking_part: HashSet<&Name> =
            self.project.clusters_of(application).map(|c| &c.name).collect();
        let waits = self.project.clusters_of(application).flat_map(|c| &c.after);
        let missing: Vec<&Reference> = waits
            .filter(|r| !taking_part.contains(&r.name) && self.project.cluster(&r.name).is_some())
            .collect();
        for reference in missing {
            let message = format!(
                "`{}` does not take part in the application `{}`",
                reference.name, application.name
            );
            self.report.error_at(
                "contradiction",
                reference.place,
                message,
                Some("add it to the application's clusters".to_string()),
            );
        }
    }

    fn unused(&mut self) {
        let used: HashSet<&Name> =
            self.project.clusters.iter().flat_map(|c| &c.software).map(|r| &r.name).collect();
        for software in
            self.project.software.iter().filter(|s| !used.contains(&s.name) && s.place.is_known())
        {
            let hint = "name it in the `software` of a cluster";
            self.report.warning_at(
                "unused",
                software.place,
                format!("no cluster uses the software `{}`", software.name),
                Some(hint.to_string()),
            );
        }
        if self.project.resources.is_empty() && self.is_sound {
            for cluster in self.project.clusters.iter().filter(|c| c.resources.is_empty()) {
                let hint = "write `resources: [{type: ssh, hosts: SET}]`, or name hosts on the command line";
                self.report.warning_at(
                    "nothing",
                    cluster.place,
                    format!("nothing says where the hosts of `{}` come from", cluster.name),
                    Some(hint.to_string()),
                );
            }
        }
    }
}

fn uses_item(command: &Command) -> bool {
    let texts: Vec<&str> = match command {
        Command::Program { path, args, .. } => {
            std::iter::once(path.as_str()).chain(args.iter().map(String::as_str)).collect()
        }
        Command::Shell { line, .. } => vec![line.as_str()],
    };
    texts.iter().any(|text| text.contains("${item}"))
}

/// One cycle of a graph given by predecessors, found without recursion.
fn find_cycle(after: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut state = vec![0u8; after.len()];
    for start in 0..after.len() {
        let mut path: Vec<(usize, usize)> = Vec::new();
        if state[start] == 0 {
            state[start] = 1;
            path.push((start, 0));
        }
        while let Some((node, next)) = path.last_mut() {
            let Some(target) = after[*node].get(*next).copied() else {
                state[*node] = 2;
                path.pop();
                continue;
            };
            *next += 1;
            match state[target] {
                0 => {
                    state[target] = 1;
                    path.push((target, 0));
                }
                1 => {
                    let from = path.iter().position(|(n, _)| *n == target)?;
                    return Some(path[from..].iter().map(|(n, _)| *n).collect());
                }
                _ => {}
            }
        }
    }
    None
}

/// Groups are known only when providers are asked; until then every group may exist.
struct UnknownYet;

impl Groups for UnknownYet {
    fn nodes(&self, _source: Option<&str>, _group: &str) -> Option<String> {
        Some("some-host".to_string())
    }

    fn all(&self, _source: Option<&str>) -> Option<String> {
        Some("some-host".to_string())
    }

    fn list(&self, _source: Option<&str>) -> Option<Vec<String>> {
        Some(Vec::new())
    }
}
