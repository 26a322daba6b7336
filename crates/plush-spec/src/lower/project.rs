//! Projects, applications, resources, software and clusters.
//! What clusters do is lowered elsewhere.

use super::{Lower, full};
use crate::model::Action;
use crate::model::{
    Application, Barrier, BarrierPolicy, Callback, Cluster, Command, EnvVar, FailurePolicy, Hosts,
    Installer, Name, NumHosts, Package, PackageKind, Place, Process, Project, Release, Requirement,
    Resource, Software, Step, Template, Variable, Wanted,
};
use crate::problem::Severity;
use crate::source::Span;
use crate::tree::node::{Entry, Node};
use crate::value::{self, CountOrShare};

/// The project; `None` where it has no usable name.
pub(crate) fn project(lower: &mut Lower<'_, '_>, root: &Node) -> Option<Project> {
    let name = lower.name_at(root, "project")?;
    let place = root.get("project").map_or(Place::default(), |n| lower.place(&n.span));
    let mut barriers: Vec<Barrier> = Vec::new();
    for entry in entries(root, "barriers") {
        let Some(name) = lower.key_name(entry) else { continue };
        let policy = lower.barrier_policy(&entry.value, &entry.key_span);
        barriers.push(Barrier {
            name,
            place: lower.place(&entry.key_span),
            policy,
            clusters: lower.references(&entry.value, "clusters"),
            per_host: lower.whole(&entry.value, "per_host"),
        });
    }
    let resources = lower.project_resources(root);
    let software: Vec<Software> =
        entries(root, "software").iter().filter_map(|e| lower.software(e)).collect();
    let mut clusters = Vec::new();
    for entry in entries(root, "clusters") {
        clusters.extend(lower.cluster(entry, &resources, &mut barriers));
    }
    clusters.extend(lower.short_cluster(root, &name, &resources, &software));
    let mut applications: Vec<Application> =
        entries(root, "applications").iter().filter_map(|e| lower.application(e)).collect();
    if applications.is_empty() {
        applications.push(default_application(&name));
    }
    Some(Project {
        place,
        variables: lower.variables(root),
        resources,
        software,
        clusters,
        barriers,
        applications,
        callbacks: root
            .get("callbacks")
            .map_or(&[][..], Node::items)
            .iter()
            .filter_map(|n| lower.callback(n))
            .collect(),
        foreign: lower.foreign(root),
        name,
    })
}

/// What runs where the text names no application.
pub(crate) fn default_application(name: &Name) -> Application {
    Application {
        name: name.clone(),
        place: Place::default(),
        clusters: Vec::new(),
        service: None,
        on_failure: FailurePolicy::default(),
        foreign: Vec::new(),
    }
}

fn entries<'n>(node: &'n Node, key: &str) -> &'n [Entry] {
    node.get(key).map_or(&[], Node::entries)
}

impl Lower<'_, '_> {
    fn variables(&self, root: &Node) -> Vec<Variable> {
        let declared = entries(root, "variables").iter();
        declared
            .filter_map(|entry| {
                let value = match self.scope.get(&entry.key) {
                    Some(crate::substitute::Value::Text(text)) => text.clone(),
                    _ => entry.value.as_text().unwrap_or_default().to_string(),
                };
                Some(Variable {
                    name: self.key_name(entry)?,
                    value,
                    place: self.place(&entry.key_span),
                })
            })
            .collect()
    }

    fn project_resources(&mut self, root: &Node) -> Vec<Resource> {
        let mut resources = self.resources(root);
        if let Some(hosts) = self.hosts(root, "hosts") {
            resources.push(Resource {
                kind: "ssh".to_string(),
                place: hosts.place,
                hosts: Some(hosts),
                ..Resource::default()
            });
        }
        resources
    }

    fn resources(&mut self, node: &Node) -> Vec<Resource> {
        let items = node.get("resources").map_or(&[][..], Node::items);
        items.iter().map(|item| self.resource(item)).collect()
    }

    fn resource(&mut self, node: &Node) -> Resource {
        let place = self.place(&node.span);
        let node = &full(node, "hosts");
        Resource {
            kind: self.text(node, "type").unwrap_or_else(|| "ssh".to_string()),
            place,
            group: self.text(node, "group"),
            hosts: self.hosts(node, "hosts"),
            prefer: self.hosts(node, "prefer"),
            exclude: self.hosts(node, "exclude"),
            file: self.text(node, "file"),
            user: self.text(node, "user"),
            port: self.whole(node, "port"),
            partition: self.text(node, "partition"),
            lease_ms: self.duration_ms(node, "lease"),
            options: entries(node, "options")
                .iter()
                .map(|e| (e.key.clone(), self.raw_plain(&e.value)))
                .collect(),
            foreign: self.foreign(node),
        }
    }

    fn software(&mut self, entry: &Entry) -> Option<Software> {
        let node = &entry.value;
        let packages =
            node.get("packages").or_else(|| node.get("package")).map_or(&[][..], Node::items);
        let installer = match self.text(node, "type").as_deref() {
            Some("tar") => Installer::Tar,
            Some("zip") => Installer::Zip,
            Some("script") => Installer::Script,
            Some("system") => Installer::System,
            _ => Installer::None,
        };
        let software = Software {
            name: self.key_name(entry)?,
            place: self.place(&entry.key_span),
            installer,
            packages: packages.iter().filter_map(|n| self.package(n, installer)).collect(),
            dest_path: self.text(node, "dest_path"),
            strip: self.whole(node, "strip").unwrap_or(0),
            templates: node
                .get("templates")
                .map_or(&[][..], Node::items)
                .iter()
                .filter_map(|n| self.template(n))
                .collect(),
            foreign: self.foreign(node),
        };
        if software.packages.is_empty()
            && software.templates.is_empty()
            && node.get("packages").or_else(|| node.get("package")).is_none()
        {
            let hint = "write `package: {type: web, path: \"https://...\"}`";
            self.report.absent(
                Severity::Warning,
                "nothing",
                &entry.key_span,
                format!("the software `{}` has no package", software.name),
                hint,
            );
        }
        Some(software)
    }

    fn package(&mut self, node: &Node, installer: Installer) -> Option<Package> {
        let place = self.place(&node.span);
        let node = &full(node, "path");
        let path = self.text(node, "path")?;
        let kind = match self.text(node, "type").as_deref() {
            Some("web") => PackageKind::Web,
            Some("push") => PackageKind::Push,
            Some("rsync") => PackageKind::Rsync,
            Some("scp") => PackageKind::Scp,
            Some("git") => PackageKind::Git,
            _ if path.contains("://") => PackageKind::Web,
            _ => PackageKind::Push,
        };
        let at = node.get("path").map_or(&node.span, |n| &n.span).clone();
        self.package_path(kind, &path, installer, &at);
        let last = path.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or(&path);
        let last = last.split(['?', '#']).next().filter(|l| !l.is_empty()).unwrap_or(&path);
        let name = self.text(node, "name").unwrap_or_else(|| last.trim().to_string());
        if name.starts_with('-') || name.contains('/') || matches!(name.as_str(), "" | "." | "..") {
            let message = format!("`{}` is no name of a file", value::shown(&name));
            let hint = "give the package another `name`";
            self.report.error("value", &at, message, Some(hint.to_string()));
        }
        Some(Package {
            name,
            place,
            kind,
            dest_path: self.text(node, "dest_path"),
            sha256: self.value(node, "sha256", value::sha256),
            strip: self.whole(node, "strip"),
            revision: self.text(node, "revision"),
            size_limit_bytes: self.size_bytes(node, "size_limit"),
            time_limit_ms: self.duration_ms(node, "time_limit"),
            path,
        })
    }

    fn package_path(&mut self, kind: PackageKind, path: &str, installer: Installer, at: &Span) {
        let fault = match kind {
            _ if installer == Installer::System => None,
            PackageKind::Web => value::url(path).err(),
            PackageKind::Push if path.contains("://") => Some(
                value::Fault::new("a package of type push is a path on the controller, not a URL")
                    .hint("write `type: web`"),
            ),
            PackageKind::Git if path.contains("::") => Some(
                value::Fault::new("a repository with a helper of its own (`::`) is not allowed")
                    .hint("use https, ssh or a path"),
            ),
            PackageKind::Scp if !path.contains(':') => Some(
                value::Fault::new(format!("`{}` names no host", value::shown(path)))
                    .hint("write `host:path`"),
            ),
            PackageKind::Push | PackageKind::Git | PackageKind::Scp | PackageKind::Rsync => None,
        };
        if let Some(fault) = fault {
            self.report.error("value", at, fault.message, fault.hint);
        }
    }

    fn template(&mut self, node: &Node) -> Option<Template> {
        Some(Template {
            path: self.text(node, "path")?,
            dest_path: self.task_text(node, "dest_path")?,
            mode: self.value(node, "mode", value::mode).unwrap_or(0o644),
            on_change: self.value(node, "on_change", value::on_change).unwrap_or_default(),
            place: self.place(&node.span),
        })
    }

    fn cluster(
        &mut self,
        entry: &Entry,
        resources: &[Resource],
        barriers: &mut Vec<Barrier>,
    ) -> Option<Cluster> {
        let node = &entry.value;
        let own = self.resources(node);
        let effective = if own.is_empty() { resources } else { &own };
        let num_hosts = self.num_hosts(node, effective, &entry.key_span);
        let env = self.env(node);
        let mut execution = self.steps(node.get("execution"), barriers);
        let name = self.key_name(entry)?;
        if let Some(run) = node.get("run") {
            if !execution.is_empty() {
                self.report.error(
                    "contradiction",
                    &run.span,
                    "`run` and `execution` exclude each other",
                    Some("`run` is short for an execution of one process".to_string()),
                );
            }
            execution.extend(self.run_step(run, &name));
        }
        let software = self.references(node, "software");
        let usual = Release::of_preparation(&software);
        Some(Cluster {
            place: self.place(&entry.key_span),
            configuration: self.name_at(node, "configuration"),
            num_hosts,
            requirement: node
                .get("requirement")
                .map_or_else(Requirement::default, |n| self.requirement(n)),
            software,
            resources: own,
            env,
            prepare: self.policy_at(node, "prepare", usual),
            ready: self.policy_at(node, "ready", Release::All),
            after: self.references(node, "after"),
            execution,
            on_failure: self.on_failure(node),
            service: self.service_at(node),
            outputs: self.outputs(node),
            cleanup: node
                .get("cleanup")
                .map_or(&[][..], Node::items)
                .iter()
                .filter_map(|n| self.command(n))
                .collect(),
            foreign: self.foreign(node),
            name,
        })
    }

    fn policy_at(&mut self, node: &Node, key: &str, usual: Release) -> BarrierPolicy {
        match node.get(key) {
            Some(said) => self.barrier_policy_or(said, &said.span, usual),
            None => BarrierPolicy { release: usual, ..BarrierPolicy::default() },
        }
    }

    fn run_step(&mut self, run: &Node, name: &Name) -> Option<Step> {
        let place = self.place(&run.span);
        if run.as_text().is_some_and(|line| line.trim().is_empty()) {
            self.report.error("missing", &run.span, "`run` is empty", None);
        }
        let command = Command::Shell { line: run.as_text()?.to_string(), place };
        let process = Process { place, ..Process::new(name.clone(), command) };
        Some(Step {
            id: name.clone(),
            place,
            after: Vec::new(),
            action: Action::Process(Box::new(process)),
        })
    }

    /// The cluster that the short form means.
    fn short_cluster(
        &mut self,
        root: &Node,
        name: &Name,
        resources: &[Resource],
        software: &[Software],
    ) -> Option<Cluster> {
        let short: Vec<&Entry> = root
            .entries()
            .iter()
            .filter(|e| matches!(e.key.as_str(), "run" | "num_hosts" | "outputs"))
            .collect();
        let first = short.first()?;
        if !entries(root, "clusters").is_empty() {
            let hint = format!("write `{}` into one of the clusters", first.key);
            self.report.error(
                "contradiction",
                &first.key_span,
                format!("`{}` here is the short form, which excludes `clusters`", first.key),
                Some(hint),
            );
            return None;
        }
        let at = first.key_span.clone();
        let place = self.place(&at);
        let num_hosts = self.num_hosts(root, resources, &at);
        let reference =
            |s: &Software| crate::model::Reference { name: s.name.clone(), place: s.place };
        let step = root.get("run").and_then(|run| self.run_step(run, name));
        let software: Vec<_> = software.iter().map(reference).collect();
        let release = Release::of_preparation(&software);
        Some(Cluster {
            name: name.clone(),
            place,
            configuration: None,
            num_hosts,
            requirement: Requirement::default(),
            software,
            resources: Vec::new(),
            env: Vec::<EnvVar>::new(),
            prepare: BarrierPolicy { release, ..BarrierPolicy::default() },
            ready: BarrierPolicy::default(),
            after: Vec::new(),
            execution: step.into_iter().collect(),
            on_failure: FailurePolicy::default(),
            service: None,
            outputs: self.outputs(root),
            cleanup: Vec::new(),
            foreign: Vec::new(),
        })
    }

    fn num_hosts(&mut self, node: &Node, resources: &[Resource], at: &Span) -> NumHosts {
        let Some(given) = node.get("num_hosts").filter(|n| !n.is_null()) else {
            let all_named = !resources.is_empty() && resources.iter().all(|r| r.hosts.is_some());
            if !all_named {
                let hint = "write `num_hosts: 5`, or `num_hosts: all` for all that are offered";
                self.report.absent(
                    Severity::Error,
                    "missing",
                    at,
                    "nothing says how many hosts the cluster has",
                    hint,
                );
            }
            return NumHosts {
                wanted: Wanted::All,
                min: None,
                max: None,
                spare: 0,
                place: self.place(at),
            };
        };
        let place = self.place(&given.span);
        let given_span = given.span.clone();
        let node = &full(given, "wanted");
        let max = self.whole::<u32>(node, "max");
        let given_count = |lower: &Self, key| match lower
            .value(node, key, |text| value::count_or_share(text, 0))
        {
            Some(CountOrShare::Count(count)) => Some(count),
            Some(CountOrShare::Percent(_)) | None => None,
        };
        let min = given_count(self, "min");
        let wanted = match self.value(node, "wanted", value::count_or_all) {
            Some(None) => Wanted::All,
            Some(Some(count)) => Wanted::Count(count),
            None => match max.or(min) {
                Some(count) => Wanted::Count(count),
                None => {
                    if node.get("wanted").is_none() {
                        self.report.error(
                            "missing",
                            &given_span,
                            "`num_hosts` needs `wanted`",
                            Some("for example `wanted: 50`".to_string()),
                        );
                    }
                    Wanted::All
                }
            },
        };
        let min = self.count_of(node, "min", wanted).map(|count| count.max(1));
        let spare = self.count_of(node, "spare", wanted).unwrap_or(0);
        NumHosts { wanted, min, max, spare, place }
    }

    /// A number of hosts; a share is of the wanted hosts, rounded up.
    fn count_of(&mut self, node: &Node, key: &str, wanted: Wanted) -> Option<u32> {
        match self.value(node, key, |text| value::count_or_share(text, 0))? {
            CountOrShare::Count(count) => Some(count),
            CountOrShare::Percent(percent) => {
                let Wanted::Count(wanted) = wanted else {
                    let at = node.get(key).map_or(&node.span, |n| &n.span);
                    let message = "a share of `all` is not known before the hosts are";
                    let hint = "write a number, or how many are `wanted`";
                    self.report.error("value", at, message, Some(hint.to_string()));
                    return None;
                };
                // Subtract a millionth, so that 90 percent of 10 is 9 despite rounding errors.
                Some((f64::from(wanted) * percent / 100.0 - 1e-6).ceil().max(0.0) as u32)
            }
        }
    }

    fn application(&mut self, entry: &Entry) -> Option<Application> {
        let node = &full(&entry.value, "clusters");
        Some(Application {
            name: self.key_name(entry)?,
            place: self.place(&entry.key_span),
            clusters: self.references(node, "clusters"),
            service: self.service_at(node),
            on_failure: self.on_failure(node),
            foreign: self.foreign(node),
        })
    }

    fn callback(&mut self, node: &Node) -> Option<Callback> {
        Some(Callback {
            event: self.name_at(node, "event")?,
            hook: self.hook(node)?,
            place: self.place(&node.span),
        })
    }
}

/// Host sets of a resource, for checks.
pub(crate) fn host_sets(resource: &Resource) -> impl Iterator<Item = &Hosts> {
    [&resource.hosts, &resource.prefer, &resource.exclude].into_iter().flatten()
}
