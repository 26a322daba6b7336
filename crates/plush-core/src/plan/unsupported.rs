//! What a description may say and this build cannot do yet: said before anything is contacted, never passed over.
//! Not what is wrong with a description: that is the parser's.

use super::PlanProblem;
use plush_spec::model::{
    Action, Check, Cluster, HookPlace, Installer, Place, Process, Project, Stdin,
};

/// Everything in the application's clusters that would have to be passed over.
pub fn unsupported(project: &Project) -> Vec<PlanProblem> {
    let application =
        project.application(None).expect("a parsed project has at least one application");
    let clusters: Vec<&Cluster> = project.clusters_of(application).collect();
    let mut found = Found::default();
    clusters.iter().for_each(|c| found.cluster(c));
    for software in &project.software {
        let system = software.installer == Installer::System;
        found.when(system, "the host's package manager as installer", software.place);
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<PlanProblem>);

impl Found {
    fn when(&mut self, present: bool, what: &str, place: Place) {
        if present {
            self.0.push(PlanProblem {
                what: format!("this build of Plush cannot do this yet: {what}"),
                place,
                hint: Some("take it out to run the rest".into()),
                too_few_hosts: false,
            });
        }
    }

    fn cluster(&mut self, cluster: &Cluster) {
        self.when(!cluster.requirement.is_empty(), "requirements on facts", cluster.place);
        self.when(!cluster.after.is_empty(), "clusters one after the other", cluster.place);
        let service = cluster.service.as_ref();
        let spread = service.is_some_and(|s| s.spread.is_some());
        self.when(spread, "placement spread by a fact", cluster.place);
        let update = service.is_some_and(|s| s.update.is_some());
        self.when(update, "rolling update", cluster.place);
        for step in &cluster.execution {
            match &step.action {
                Action::Process(process) => self.process(process),
                Action::Barrier(_) => {}
                Action::Workflow(_) => self.when(true, "workflow", step.place),
                Action::Repeat(_) => self.when(true, "repeat", step.place),
            }
        }
    }

    fn process(&mut self, process: &Process) {
        let is_secure =
            |check: &Check| matches!(check, Check::Http(url) if url.starts_with("https:"));
        let mut from_here = process.probes.iter().filter(|p| p.from == HookPlace::Controller);
        let secure = from_here.any(|probe| is_secure(&probe.check));
        self.when(secure, "https probes from the controller", process.place);
        self.when(!process.secrets.is_empty(), "secrets", process.place);
        self.when(
            process.stdin == Stdin::Operator,
            "standard input from the operator",
            process.place,
        );
    }
}
