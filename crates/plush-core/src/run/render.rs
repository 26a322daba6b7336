//! What an agent is told to do, made from the description for one member: variables replaced, nothing left open.
//! Not when it is told: that is the run's.

use super::room::{TooLarge, fits};
use crate::plan::{PlannedCluster, PlannedHost, PlannedTemplate, RunPlan, bare_name};
use plush_protocol::{
    Ambiguous, Cause, CauseKind, Octets, OutputPolicy, OutputRule, PrepareSpec, ProbeCheck,
    ProbeRule, Program, ResourceLimits, RestartRule, RestartWhen, Stdin, StopRule, Tainted,
    TaskSpec, Unhealthy,
};
use plush_spec::model::{self, Check, Command, HookPlace, Process, Reaction, ServiceClass};
use plush_spec::shell_line::expand_shell;
use plush_spec::substitute::{Scope, SubstituteError, Value, expand};
use std::sync::Arc;

/// Who a text is rendered for.
pub(super) struct Seat<'a> {
    pub plan: &'a RunPlan,
    pub cluster: &'a PlannedCluster,
    pub host: &'a PlannedHost,
    /// The host that it replaced, and the number of the replacement in that place, from 1.
    pub replaces: Option<(&'a str, u32)>,
    pub rank: usize,
    /// The hosts that serve in each cluster now.
    pub peers: &'a [Peers],
}

/// The hosts that serve in a cluster, by rank.
pub(super) struct Peers {
    pub cluster: String,
    /// Their bare names.
    names: Arc<[String]>,
    addresses: Arc<[String]>,
}

impl Peers {
    pub fn of<'h>(cluster: &str, hosts: impl Iterator<Item = &'h PlannedHost>) -> Peers {
        let both = hosts.map(|h| (bare_name(&h.name).to_owned(), h.address().to_owned()));
        let (names, addresses): (Vec<_>, Vec<_>) = both.unzip();
        Peers { cluster: cluster.to_owned(), names: names.into(), addresses: addresses.into() }
    }
}

/// Why a command for an agent cannot be rendered from the description.
#[derive(Debug)]
pub(super) enum RenderError {
    /// A `${...}` has no value.
    Variable(SubstituteError),
    /// The rendered text is too large to start a program with.
    TooLarge(TooLarge),
}

impl std::fmt::Display for RenderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RenderError::Variable(error) => error.fmt(f),
            RenderError::TooLarge(error) => error.fmt(f),
        }
    }
}

impl Seat<'_> {
    fn count(&self) -> usize {
        let here = self.peers.iter().find(|peers| peers.cluster == self.cluster.name());
        here.map_or(0, |peers| peers.names.len())
    }

    /// The variables that a text of this member may use; one of the project hides one of the task
    /// with the same name.
    fn scope<'s>(&self, project: &'s Scope<'s>) -> Scope<'s> {
        let mut scope = project.within();
        let mut add = |name: &str, value: Value| {
            if project.get(name).is_none() {
                scope.set(name, value);
            }
        };
        add("rank", Value::Text(self.rank.to_string()));
        add("count", Value::Text(self.count().to_string()));
        add("host", Value::Text(bare_name(&self.host.name).to_owned()));
        add("address", Value::Text(self.host.address().to_owned()));
        add("cluster", Value::Text(self.cluster.name().to_owned()));
        add("run", Value::Text(self.plan.run.clone()));
        for peers in self.peers {
            add(&format!("hosts.{}", peers.cluster), Value::List(peers.names.clone()));
            add(&format!("addresses.{}", peers.cluster), Value::List(peers.addresses.clone()));
        }
        scope
    }

    /// Everything needed to start a process as this member.
    pub fn task(&self, process: &Process) -> Result<TaskSpec, Cause> {
        self.rendered(process).map_err(|error| Cause {
            kind: CauseKind::System,
            text: Tainted::new(format!("render `{}`: {error}", process.name)),
        })
    }

    /// The same, with the error as it is.
    pub fn rendered(&self, process: &Process) -> Result<TaskSpec, RenderError> {
        let project = Scope::of_project(&self.plan.project);
        let scope = self.scope(&project);
        let spec = self.task_in(process, &scope).map_err(RenderError::Variable)?;
        fits(&spec.program, &spec.environment).map_err(RenderError::TooLarge)?;
        for probe in &spec.probes {
            if let ProbeCheck::Command(program) = &probe.check {
                fits(program, &[]).map_err(RenderError::TooLarge)?;
            }
        }
        Ok(spec)
    }

    fn task_in(&self, process: &Process, scope: &Scope<'_>) -> Result<TaskSpec, SubstituteError> {
        Ok(TaskSpec {
            name: process.name.to_string(),
            cluster: self.cluster.name().to_owned(),
            program: program(&process.command, scope)?,
            environment: self.environment(process, scope)?,
            directory: process.cwd.as_deref().map_or(Ok(String::new()), |d| expand(d, scope))?,
            stdin: self.stdin(process, scope)?,
            time_limit_ms: process.time_limit_ms,
            stop: stop_rule(&process.stop),
            limits: limits(&process.limits),
            output: output_rule(process.output),
            success_codes: success_codes(process),
            at_us: None,
            restart: self.restart_rule(process),
            probes: probes(process, HookPlace::Host, scope)?,
            unhealthy: unhealthy(self.cluster, process),
        })
    }

    /// As the process says; one whose failure is answered by a restart has a rule too.
    fn restart_rule(&self, process: &Process) -> Option<RestartRule> {
        let asked = (reaction(self.cluster, process) == Some(Reaction::Restart))
            .then(model::Restart::default);
        let rule = process.restart.or(asked)?;
        Some(RestartRule {
            when: match rule.when {
                model::RestartWhen::Failure => RestartWhen::Failure,
                model::RestartWhen::Always => RestartWhen::Always,
            },
            max: rule.max,
            window_ms: rule.window_ms,
            backoff_min_ms: rule.backoff_min_ms,
            backoff_max_ms: rule.backoff_max_ms,
            ambiguous: match self.cluster.kept.service.class {
                ServiceClass::Exclusive => Ambiguous::Fail,
                ServiceClass::Batch | ServiceClass::Attached | ServiceClass::Service => {
                    Ambiguous::Restart
                }
            },
        })
    }

    /// The probes of a process that are asked from where the controller is.
    pub fn probes_from_here(&self, process: &Process) -> Result<Vec<ProbeRule>, SubstituteError> {
        let project = Scope::of_project(&self.plan.project);
        probes(process, HookPlace::Controller, &self.scope(&project))
    }

    /// What a program beside the controller is told of this member.
    pub fn values(&self, process: &Process) -> Vec<(String, String)> {
        let mut values = self.own_values(process);
        values.push(("PLUSH_HOST".to_owned(), self.host.name.clone()));
        values
    }

    fn own_values(&self, process: &Process) -> Vec<(String, String)> {
        let own = [
            ("PLUSH_RANK", self.rank.to_string()),
            ("PLUSH_COUNT", self.count().to_string()),
            ("PLUSH_CLUSTER", self.cluster.name().to_owned()),
            ("PLUSH_PROCESS", process.name.to_string()),
        ];
        let replacing = self.replaces.map(|(before, number)| {
            [("PLUSH_REPLACES", before.to_owned()), ("PLUSH_REPLACEMENT", number.to_string())]
        });
        own.into_iter()
            .chain(replacing.into_iter().flatten())
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn environment(
        &self,
        process: &Process,
        scope: &Scope<'_>,
    ) -> Result<Vec<(String, String)>, SubstituteError> {
        let mut environment = self.own_values(process);
        for variable in self.cluster.spec.env.iter().chain(&process.env) {
            environment.retain(|(name, _)| *name != variable.name);
            environment.push((variable.name.clone(), expand(&variable.value, scope)?));
        }
        Ok(environment)
    }

    fn stdin(&self, process: &Process, scope: &Scope<'_>) -> Result<Stdin, SubstituteError> {
        Ok(match &process.stdin {
            model::Stdin::Empty | model::Stdin::Operator => Stdin::Null,
            model::Stdin::Text(text) => Stdin::Text(expand(text, scope)?),
            model::Stdin::File(_) => {
                let read =
                    self.cluster.stdin_files.iter().find(|(n, _)| n == process.name.as_str());
                let bytes = read.map(|(_, bytes)| bytes.0.clone()).unwrap_or_default();
                String::from_utf8(bytes)
                    .map_or_else(|e| Stdin::Bytes(Octets(e.into_bytes())), Stdin::Text)
            }
        })
    }

    /// What this member's host has to prepare.
    pub fn preparation(&self) -> Result<PrepareSpec, Cause> {
        let project = Scope::of_project(&self.plan.project);
        let scope = self.scope(&project);
        let file = |template: &PlannedTemplate| {
            let PlannedTemplate { dest_path: path, mode, text, .. } = template;
            let render = |text: &str| {
                expand(text, &scope).map_err(|error| Cause {
                    kind: CauseKind::BadPackage,
                    text: Tainted::new(format!("render template `{path}`: {error}")),
                })
            };
            Ok((render(path)?, *mode, render(text)?))
        };
        Ok(PrepareSpec {
            cluster: self.cluster.name().to_owned(),
            software: self.cluster.software.clone(),
            files: self.cluster.templates.iter().map(file).collect::<Result<_, Cause>>()?,
        })
    }

    /// The clean-up commands of this member's cluster; one that cannot be rendered becomes a line
    /// that says so and fails.
    pub fn cleanup_commands(&self) -> Vec<(String, Program)> {
        let rendered = self.rendered_cleanup().into_iter().map(|rendered| {
            rendered.unwrap_or_else(|error| Program::Shell {
                line: "printf '%s\\n' \"$PLUSH_VALUE_error\" >&2; exit 1".to_owned(),
                values: vec![("PLUSH_VALUE_error".to_owned(), error.to_string())],
            })
        });
        rendered.map(|program| (self.cluster.name().to_owned(), program)).collect()
    }

    /// The same, with errors as they are.
    pub fn rendered_cleanup(&self) -> Vec<Result<Program, RenderError>> {
        let project = Scope::of_project(&self.plan.project);
        let scope = self.scope(&project);
        let rendered = self.cluster.spec.cleanup.iter().map(|command| {
            let program = program(command, &scope).map_err(RenderError::Variable)?;
            fits(&program, &[]).map_err(RenderError::TooLarge)?;
            Ok(program)
        });
        rendered.collect()
    }

    /// What is brought home from this member: the cluster's globs and those of its processes.
    pub fn globs(&self) -> Vec<String> {
        let project = Scope::of_project(&self.plan.project);
        let scope = self.scope(&project);
        let of_processes = crate::plan::processes(&self.cluster.spec).flat_map(|p| &p.outputs);
        let all = self.cluster.spec.outputs.iter().chain(of_processes);
        all.map(|output| expand(&output.glob, &scope).unwrap_or_else(|_| output.glob.clone()))
            .collect()
    }
}

/// The exit codes of a process that count as success.
pub(super) fn success_codes(process: &Process) -> Vec<i32> {
    process.success_codes.iter().map(|code| i32::from(*code)).collect()
}

fn program(command: &Command, scope: &Scope<'_>) -> Result<Program, SubstituteError> {
    Ok(match command {
        Command::Program { path, args, .. } => {
            let words = std::iter::once(path).chain(args);
            Program::Argv(words.map(|word| expand(word, scope)).collect::<Result<_, _>>()?)
        }
        Command::Shell { line, .. } => {
            let line = expand_shell(line, scope)?;
            Program::Shell { line: line.text, values: line.values }
        }
    })
}

fn reaction(cluster: &PlannedCluster, process: &Process) -> Option<Reaction> {
    let general = cluster.kept.on_failure.process.as_ref();
    process.on_failure.as_ref().or(general).cloned()
}

/// A failure that changes nothing ends nothing either.
pub(super) fn unhealthy(cluster: &PlannedCluster, process: &Process) -> Unhealthy {
    match reaction(cluster, process) {
        Some(Reaction::Continue) if process.restart.is_none() => Unhealthy::Tell,
        Some(
            Reaction::Continue
            | Reaction::Restart
            | Reaction::Replace
            | Reaction::Drop
            | Reaction::Fail
            | Reaction::Call(_),
        )
        | None => Unhealthy::End,
    }
}

/// The probes that are asked from there. A program beside the controller gets its words as they stand.
fn probes(
    process: &Process,
    from: HookPlace,
    scope: &Scope<'_>,
) -> Result<Vec<ProbeRule>, SubstituteError> {
    let rule = |probe: &model::Probe| {
        Ok(ProbeRule {
            check: match (&probe.check, from) {
                (Check::Tcp(port), _) => ProbeCheck::Tcp(*port),
                (Check::Http(url), _) => ProbeCheck::Http(expand(url, scope)?),
                (Check::Command(command), HookPlace::Host) => {
                    ProbeCheck::Command(program(command, scope)?)
                }
                (Check::Command(command), HookPlace::Controller) => {
                    ProbeCheck::Command(Program::Argv(command.words()))
                }
            },
            every_ms: probe.every_ms,
            time_limit_ms: probe.time_limit_ms,
            delay_ms: probe.delay_ms,
            failures: probe.failures.max(1),
            successes: probe.successes.max(1),
        })
    };
    process.probes.iter().filter(|probe| probe.from == from).map(rule).collect()
}

fn stop_rule(stop: &model::Stop) -> StopRule {
    StopRule { signal: stop.signal.number(), grace_ms: stop.grace_ms }
}

fn limits(limits: &model::Limits) -> ResourceLimits {
    ResourceLimits {
        memory_bytes: limits.memory_bytes,
        open_files: limits.open_files,
        cpu_s: limits.cpu_ms.map(|ms| ms.div_ceil(1000)),
        file_bytes: limits.file_bytes,
        core_bytes: limits.core_bytes,
        processes: limits.processes,
    }
}

fn output_rule(policy: model::OutputPolicy) -> OutputRule {
    let policy = match policy {
        model::OutputPolicy::Block => OutputPolicy::Block,
        model::OutputPolicy::Gap => OutputPolicy::Gap,
    };
    OutputRule { policy, ..OutputRule::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_sends_the_signal_that_the_description_names() {
        for signal in model::Signal::names() {
            let signal = model::Signal::named(signal).unwrap();
            let rule = stop_rule(&model::Stop { signal, grace_ms: 1 });
            assert_eq!(rule, StopRule { signal: signal.number(), grace_ms: 1 });
        }
    }
}
