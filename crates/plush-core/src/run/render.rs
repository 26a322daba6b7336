//! What an agent is told to do, made from the description for one member: variables replaced, nothing left open.
//! Not when it is told: that is the run's.

use crate::plan::{PlannedCluster, PlannedTemplate, RunPlan};
use plush_protocol::{
    Ambiguous, Cause, CauseKind, OutputPolicy, OutputRule, PrepareSpec, ProbeCheck, ProbeRule,
    Program, ResourceLimits, RestartRule, RestartWhen, Stdin, StopRule, Tainted, TaskSpec,
    Unhealthy,
};
use plush_spec::model::{self, Check, Command, HookPlace, Process, Reaction, ServiceClass};
use plush_spec::substitute::{Scope, SubstituteError, Value, expand, expand_shell};
use std::sync::Arc;

/// Who a text is rendered for.
pub(super) struct Seat<'a> {
    pub plan: &'a RunPlan,
    pub cluster: &'a PlannedCluster,
    pub host: &'a str,
    pub rank: usize,
    /// The hosts that serve in each cluster now.
    pub peers: &'a [Peers],
}

/// A cluster, and the bare names of its hosts, by rank.
pub(super) type Peers = (String, Arc<[String]>);

impl Seat<'_> {
    fn count(&self) -> usize {
        let here = self.peers.iter().find(|(name, _)| name == self.cluster.name());
        here.map_or(0, |(_, hosts)| hosts.len())
    }

    /// The variables that a text of this member may use.
    fn scope<'s>(&self, project: &'s Scope<'s>) -> Scope<'s> {
        let mut scope = project.within();
        scope.set_text("rank", self.rank.to_string());
        scope.set_text("count", self.count().to_string());
        scope.set_text("host", bare_name(self.host));
        scope.set_text("cluster", self.cluster.name());
        scope.set_text("run", &self.plan.run);
        for (name, hosts) in self.peers {
            scope.set(&format!("hosts.{name}"), Value::List(hosts.clone()));
        }
        scope
    }

    /// Everything needed to start a process as this member.
    pub fn task(&self, process: &Process) -> Result<TaskSpec, Cause> {
        let project = Scope::of_project(&self.plan.project);
        let scope = self.scope(&project);
        self.task_in(process, &scope).map_err(|error| Cause {
            kind: CauseKind::System,
            text: Tainted::new(format!("render `{}`: {error}", process.name)),
        })
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
        values.push(("PLUSH_HOST".to_owned(), self.host.to_owned()));
        values
    }

    fn own_values(&self, process: &Process) -> Vec<(String, String)> {
        let own = [
            ("PLUSH_RANK", self.rank.to_string()),
            ("PLUSH_COUNT", self.count().to_string()),
            ("PLUSH_CLUSTER", self.cluster.name().to_owned()),
            ("PLUSH_PROCESS", process.name.to_string()),
        ];
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
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
                Stdin::Text(read.map(|(_, text)| text.clone()).unwrap_or_default())
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

    /// The clean-up lines of this member's cluster; one that cannot be rendered becomes a line that says so and fails.
    pub fn cleanup_lines(&self) -> Vec<(String, String)> {
        let project = Scope::of_project(&self.plan.project);
        let scope = self.scope(&project);
        let line = |command| match program(command, &scope) {
            Ok(Program::Shell(line)) => line,
            Ok(Program::Argv(words)) => {
                words.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" ")
            }
            Err(error) => format!("echo {} >&2; exit 1", quoted(&error.to_string())),
        };
        let lines = self.cluster.spec.cleanup.iter().map(line);
        lines.map(|line| (self.cluster.name().to_owned(), line)).collect()
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

/// `user@name:port` without user and port: what hosts call each other.
pub(super) fn bare_name(host: &str) -> &str {
    let name = host.rsplit_once('@').map_or(host, |(_, name)| name);
    match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => name.split_once(':').map_or(name, |(name, _)| name),
    }
}

fn program(command: &Command, scope: &Scope<'_>) -> Result<Program, SubstituteError> {
    Ok(match command {
        Command::Program { path, args, .. } => {
            let words = std::iter::once(path).chain(args);
            Program::Argv(words.map(|word| expand(word, scope)).collect::<Result<_, _>>()?)
        }
        Command::Shell { line, .. } => Program::Shell(expand_shell(line, scope)?),
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
    StopRule { signal: signal_number(&stop.signal).unwrap_or(15), grace_ms: stop.grace_ms }
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

/// Numbers of the signals that a description may name, as Linux counts them on the architectures that Plush serves
/// (signal(7)).
pub(super) fn signal_number(name: &str) -> Option<i32> {
    let numbers = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", 15),
        ("WINCH", 28),
    ];
    numbers.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// One word for `/bin/sh`, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
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

    #[test]
    fn a_quoted_word_stays_one_word() {
        assert_eq!(quoted("it's; rm -rf $HOME"), r"'it'\''s; rm -rf $HOME'");
    }
}
