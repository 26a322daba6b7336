//! The programs that a description has run beside the controller, wherever they are written.
//! Not whether they may run: that is the operator's decision, made before anything is planned.

use crate::model::{
    Action, BarrierPolicy, Check, Cluster, FailurePolicy, Hook, HookPlace, Probe, Process, Project,
    Reaction, Step,
};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalProgram {
    /// When it runs: `on host_lost`, `barrier start`, `probe of web`.
    pub what: String,
    /// Program and arguments.
    pub command: Vec<String>,
}

impl Project {
    /// Every program that runs beside the controller, in the order of the text.
    pub fn local_programs(&self) -> Vec<LocalProgram> {
        let mut found = Found::default();
        for callback in &self.callbacks {
            found.hook(&format!("on {}", callback.event), Some(&callback.hook));
        }
        for barrier in &self.barriers {
            found.barrier(&format!("barrier {}", barrier.name), &barrier.policy);
        }
        for application in &self.applications {
            found.failure(&format!("failure in {}", application.name), &application.on_failure);
        }
        self.clusters.iter().for_each(|cluster| found.cluster(cluster));
        found.0
    }
}

#[derive(Default)]
struct Found(Vec<LocalProgram>);

impl Found {
    fn hook(&mut self, what: &str, hook: Option<&Hook>) {
        if let Some(hook) = hook.filter(|hook| hook.at == HookPlace::Controller) {
            self.0.push(LocalProgram { what: what.into(), command: hook.argv.clone() });
        }
    }

    fn barrier(&mut self, what: &str, policy: &BarrierPolicy) {
        self.hook(what, policy.callback.as_ref());
    }

    fn reaction(&mut self, what: &str, reaction: Option<&Reaction>) {
        if let Some(Reaction::Call(hook)) = reaction {
            self.hook(what, Some(hook));
        }
    }

    fn failure(&mut self, what: &str, policy: &FailurePolicy) {
        for reaction in [&policy.process, &policy.host, &policy.cluster, &policy.application] {
            self.reaction(what, reaction.as_ref());
        }
    }

    fn cluster(&mut self, cluster: &Cluster) {
        let name = &cluster.name;
        self.barrier(&format!("phase prepare of {name}"), &cluster.prepare);
        self.barrier(&format!("phase ready of {name}"), &cluster.ready);
        if let Some(update) = cluster.service.as_ref().and_then(|service| service.update.as_ref()) {
            self.barrier(&format!("update of {name}"), update);
        }
        self.failure(&format!("failure in {name}"), &cluster.on_failure);
        self.steps(&cluster.execution);
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            match &step.action {
                Action::Process(process) => self.process(process),
                Action::Workflow(workflow) => self.process(&workflow.process),
                Action::Repeat(repeat) => self.steps(&repeat.steps),
                Action::Barrier(_) => {}
            }
        }
    }

    fn process(&mut self, process: &Process) {
        self.reaction(&format!("failure of {}", process.name), process.on_failure.as_ref());
        for probe in &process.probes {
            self.probe(&format!("probe of {}", process.name), probe);
        }
    }

    fn probe(&mut self, what: &str, probe: &Probe) {
        let (HookPlace::Controller, Check::Command(command)) = (probe.from, &probe.check) else {
            return;
        };
        self.0.push(LocalProgram { what: what.into(), command: command.words() });
    }
}
