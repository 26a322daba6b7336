//! Features of the language that this build does not support. One list: the plan refuses by it,
//! `plush check` warns by it, and the reference marks keys by it, so that they agree.

use crate::model::{
    Action, Application, Check, Cluster, HookPlace, Installer, Place, Process, Project, Reaction,
    Stdin, Step,
};

/// The host providers of this build.
pub const PROVIDERS: [&str; 2] = ["ssh", "local"];

/// A feature that this build does not support.
pub struct NotYet {
    /// The feature, as the end of "this build of Plush cannot do this yet: ".
    pub what: &'static str,
    /// The reference keys that it concerns: record and key. A key that is supported in part is
    /// marked with `part`.
    pub words: &'static [(&'static str, &'static str)],
    /// The unsupported part of the values of those keys; empty where it is all of them.
    pub part: &'static str,
    /// Finds its uses in a cluster of a project.
    find: fn(&Project, &Application, &Cluster) -> Vec<Place>,
}

/// A use of an unsupported feature in a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The feature, as the end of the same sentence.
    pub what: String,
    /// Position of the use.
    pub place: Place,
}

/// The list.
pub static NOT_YET: [NotYet; 13] = [
    NotYet {
        what: "hosts of another type than `ssh` and `local`",
        words: &[("resource", "type")],
        part: "every type but `ssh` and `local`",
        find: |project, _, cluster| {
            let resources = project.resources_of(cluster).iter();
            let strange = resources.filter(|r| !PROVIDERS.contains(&r.kind.as_str()));
            strange.map(|r| r.place).collect()
        },
    },
    NotYet {
        what: "`partition`, `lease` and `options` of a resource",
        words: &[("resource", "partition"), ("resource", "lease"), ("resource", "options")],
        part: "",
        find: |project, _, cluster| {
            let resources = project.resources_of(cluster).iter();
            let asked = resources
                .filter(|r| r.partition.is_some() || r.lease_ms.is_some() || !r.options.is_empty());
            // For an unknown type, naming the type is enough.
            asked.filter(|r| PROVIDERS.contains(&r.kind.as_str())).map(|r| r.place).collect()
        },
    },
    NotYet {
        what: "requirements on facts",
        words: &[("cluster", "requirement")],
        part: "",
        find: |_, _, cluster| {
            let asked = &cluster.requirement;
            let conditions = asked.conditions.iter().chain(&asked.between).map(|c| c.place);
            let more = asked.expressions.iter().map(|e| e.place);
            let more = more.chain(asked.groups.iter().map(|g| g.place));
            let more = more.chain(asked.constraints.iter().map(|c| c.place));
            conditions.chain(more).take(1).collect()
        },
    },
    NotYet {
        what: "clusters one after the other",
        words: &[("cluster", "after")],
        part: "",
        find: |_, _, cluster| cluster.after.iter().take(1).map(|r| r.place).collect(),
    },
    NotYet {
        what: "placement spread by a fact",
        words: &[("service", "spread")],
        part: "",
        find: |_, _, cluster| {
            let service = cluster.service.iter().filter(|s| s.spread.is_some());
            service.map(|s| s.place).collect()
        },
    },
    NotYet {
        what: "rolling update",
        words: &[("service", "update")],
        part: "",
        find: |_, _, cluster| {
            cluster.service.iter().filter(|s| s.update.is_some()).map(|s| s.place).collect()
        },
    },
    NotYet {
        what: "workflow",
        words: &[("steps", "workflow")],
        part: "",
        find: |_, _, cluster| of_steps(cluster, |step| matches!(step.action, Action::Workflow(_))),
    },
    NotYet {
        what: "repeat",
        words: &[("steps", "repeat")],
        part: "",
        find: |_, _, cluster| of_steps(cluster, |step| matches!(step.action, Action::Repeat(_))),
    },
    NotYet {
        what: "https probes from the controller",
        words: &[("probe", "from")],
        part: "`controller` with an `https` URL",
        find: |_, _, cluster| {
            of_processes(cluster, |process| {
                let mut from_here =
                    process.probes.iter().filter(|p| p.from == HookPlace::Controller);
                from_here.any(|p| matches!(&p.check, Check::Http(url) if url.starts_with("https:")))
            })
        },
    },
    NotYet {
        what: "secrets",
        words: &[("process", "secrets")],
        part: "",
        find: |_, _, cluster| of_processes(cluster, |process| !process.secrets.is_empty()),
    },
    NotYet {
        what: "standard input from the operator",
        words: &[("stdin", "operator")],
        part: "",
        find: |_, _, cluster| of_processes(cluster, |process| process.stdin == Stdin::Operator),
    },
    NotYet {
        what: "the host's package manager as installer",
        words: &[("software", "type")],
        part: "`system`",
        find: |project, _, cluster| {
            let software = cluster.software.iter().filter_map(|r| project.software(&r.name));
            software.filter(|s| s.installer == Installer::System).map(|s| s.place).collect()
        },
    },
    NotYet {
        what: "restart of a host, a cluster or an application; processes are restarted",
        words: &[("on_failure", "host"), ("on_failure", "cluster"), ("on_failure", "application")],
        part: "`restart`",
        find: |_, application, cluster| {
            let own = &cluster.on_failure;
            let general = (&application.on_failure, application.place);
            let asks = [(own, cluster.place), general].into_iter().filter(|(policy, _)| {
                let named = [&policy.host, &policy.cluster, &policy.application];
                named.into_iter().any(|reaction| *reaction == Some(Reaction::Restart))
            });
            asks.map(|(_, place)| place).collect()
        },
    },
];

/// All uses of unsupported features in the clusters of an application, or of all applications; each
/// position once.
pub fn refused(project: &Project, application: Option<&Application>) -> Vec<Refused> {
    let mut found: Vec<Refused> = Vec::new();
    let applications: Vec<&Application> = match application {
        Some(application) => vec![application],
        None => project.applications.iter().collect(),
    };
    for application in applications {
        for cluster in project.clusters_of(application) {
            for entry in &NOT_YET {
                for place in (entry.find)(project, application, cluster) {
                    let refused = Refused { what: entry.what_at(project, cluster, place), place };
                    let is_known = |known: &Refused| {
                        known.what == refused.what && at(known.place) == at(place)
                    };
                    if !found.iter().any(is_known) {
                        found.push(refused);
                    }
                }
            }
        }
    }
    found.sort_by_key(|refused| at(refused.place));
    found
}

impl NotYet {
    /// The feature, with the type of hosts by name.
    fn what_at(&self, project: &Project, cluster: &Cluster, place: Place) -> String {
        let resources = project.resources_of(cluster).iter();
        let mut strange = resources.filter(|r| !PROVIDERS.contains(&r.kind.as_str()));
        match self.words {
            [("resource", "type")] => match strange.find(|r| at(r.place) == at(place)) {
                Some(resource) => format!("hosts of type `{}`", resource.kind),
                None => self.what.to_owned(),
            },
            _ => self.what.to_owned(),
        }
    }
}

impl Refused {
    /// The message.
    pub fn message(&self) -> String {
        format!("this build of Plush cannot do this yet: {}", self.what)
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        "take it out to run the rest; the reference marks what this build does not have"
    }
}

/// A comparable position: positions in models are all equal, so that models of one meaning are
/// equal.
fn at(place: Place) -> (u32, u32) {
    (place.line, place.column)
}

fn of_steps(cluster: &Cluster, is_meant: fn(&Step) -> bool) -> Vec<Place> {
    cluster.execution.iter().filter(|step| is_meant(step)).map(|step| step.place).collect()
}

fn of_processes(cluster: &Cluster, is_meant: fn(&Process) -> bool) -> Vec<Place> {
    let processes = cluster.execution.iter().filter_map(|step| match &step.action {
        Action::Process(process) => Some(process.as_ref()),
        Action::Barrier(_) | Action::Workflow(_) | Action::Repeat(_) => None,
    });
    processes.filter(|process| is_meant(process)).map(|process| process.place).collect()
}

#[cfg(feature = "parse")]
impl NotYet {
    /// The mark of this feature in the reference.
    pub(crate) fn mark(&self) -> String {
        match self.part {
            "" => " **Not in this build yet.**".to_owned(),
            part => format!(" **Not in this build yet:** {part}."),
        }
    }
}

/// The marks of a key in the reference.
#[cfg(feature = "parse")]
pub(crate) fn marks(record: &str, key: &str) -> String {
    let of_word = NOT_YET.iter().filter(|entry| entry.words.contains(&(record, key)));
    of_word.map(NotYet::mark).collect()
}
