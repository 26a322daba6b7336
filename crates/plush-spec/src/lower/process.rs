//! Processes and commands.
//! Where they stand in an execution is decided with the steps.

use super::{Lower, full, key_span};
use crate::model::{
    Check, Command, EnvVar, HookPlace, Limits, Name, On, Output, OutputPolicy, Probe, Process,
    Restart, RestartWhen, Secret, SecretDelivery, SecretSource, Stdin, Stop,
};
use crate::problem::Severity;
use crate::source::Span;
use crate::tree::node::{Entry, Node};
use crate::value;

impl Lower<'_, '_> {
    pub(super) fn process(&mut self, node: &Node, name: Name, at: &Span) -> Option<Process> {
        let command = self.command_at(node, at)?;
        let mut process = Process::new(name, command);
        process.place = self.place(at);
        process.env = self.env(node);
        process.secrets = node
            .get("secrets")
            .map_or(&[][..], Node::entries)
            .iter()
            .filter_map(|e| self.secret(e))
            .collect();
        process.cwd = self.task_text(node, "cwd");
        process.stdin = node.get("stdin").map_or(Stdin::Empty, |n| self.stdin(n));
        process.time_limit_ms = self.duration_ms(node, "time_limit");
        process.success_codes = self.success_codes(node);
        process.stop = node.get("stop").map_or_else(Stop::default, |n| self.stop(n));
        process.limits = node.get("limits").map_or_else(Limits::default, |n| self.limits(n));
        process.output = match self.text(node, "output").as_deref() {
            Some("gap") => OutputPolicy::Gap,
            _ => OutputPolicy::Block,
        };
        process.restart = node.get("restart").map(|n| self.restart(n));
        process.log_manager = self.text(node, "log_manager");
        process.on = self.on(node);
        let probes = node.get("probes").or_else(|| node.get("probe")).map_or(&[][..], Node::items);
        process.probes = probes.iter().filter_map(|n| self.probe(n)).collect();
        process.on_failure = self.reaction_at(node, "on_failure");
        process.outputs = self.outputs(node);
        process.foreign = self.foreign(node);
        Some(process)
    }

    fn success_codes(&self, node: &Node) -> Vec<u8> {
        let items = node.get("success_codes").map_or(&[][..], Node::items);
        let codes: Vec<u8> = items.iter().filter_map(|n| self.plain(n)?.parse().ok()).collect();
        if codes.is_empty() { vec![0] } else { codes }
    }

    pub(super) fn on(&self, node: &Node) -> On {
        match self.value(node, "on", value::count_or_all) {
            Some(Some(count)) => On::Count(count),
            Some(None) | None => On::All,
        }
    }

    pub(super) fn outputs(&self, node: &Node) -> Vec<Output> {
        let items = node.get("outputs").map_or(&[][..], Node::items);
        let output = |n: &Node| {
            Some(Output { glob: n.as_text()?.trim().to_string(), place: self.place(&n.span) })
        };
        items.iter().filter_map(output).collect()
    }

    pub(super) fn env(&mut self, node: &Node) -> Vec<EnvVar> {
        let mut env = Vec::new();
        for entry in node.get("env").map_or(&[][..], Node::entries) {
            let Some(value) = entry.value.as_text() else { continue };
            if entry.key.starts_with("PLUSH_") {
                self.report.error(
                    "value",
                    &entry.key_span,
                    format!("`{}` is set by Plush itself", value::shown(&entry.key)),
                    Some("take another name".to_string()),
                );
            }
            env.push(EnvVar {
                name: entry.key.clone(),
                value: value.to_string(),
                place: self.place(&entry.key_span),
            });
        }
        env
    }

    /// A command that stands for itself.
    pub(super) fn command(&mut self, node: &Node) -> Option<Command> {
        let at = node.span.clone();
        self.command_at(&full(node, "run"), &at)
    }

    fn command_at(&mut self, node: &Node, at: &Span) -> Option<Command> {
        let line = self.task_raw(node, "run");
        let path = self.task_text(node, "path");
        let args = node.get("args").map_or(&[][..], Node::items);
        let args: Vec<String> =
            args.iter().filter_map(|n| n.as_text().map(str::to_string)).collect();
        match (line, path) {
            (Some(_), Some(_)) => {
                self.report.error(
                    "contradiction",
                    &key_span(node, "path"),
                    "`run` and `path` exclude each other",
                    Some("`run` is a line for a shell, `path` a program".to_string()),
                );
                None
            }
            (Some(line), None) => {
                if line.trim().is_empty() {
                    self.report.error("missing", at, "`run` is empty", None);
                }
                if let Some(args) = node.get("args") {
                    self.report.error(
                        "contradiction",
                        &args.span,
                        "`run` takes no `args`",
                        Some("write them into the line".to_string()),
                    );
                }
                let place = node.get("run").map_or_else(|| self.place(at), |n| self.place(&n.span));
                Some(Command::Shell { line, place })
            }
            (None, Some(path)) => {
                let place =
                    node.get("path").map_or_else(|| self.place(at), |n| self.place(&n.span));
                Some(Command::Program { path, args, place })
            }
            (None, None) => {
                self.report.absent(
                    Severity::Error,
                    "missing",
                    at,
                    "nothing says what to run",
                    "write `run: LINE`, or `path` and `args`",
                );
                None
            }
        }
    }

    fn secret(&mut self, entry: &Entry) -> Option<Secret> {
        let node = &full(&entry.value, "file");
        let source = match (self.text(node, "file"), self.text(node, "env")) {
            (Some(file), None) => SecretSource::File(file),
            (None, Some(name)) => SecretSource::Environment(name),
            (Some(_), Some(_)) => {
                self.report.error(
                    "contradiction",
                    &entry.key_span,
                    "`file` and `env` exclude each other",
                    None,
                );
                return None;
            }
            (None, None) => {
                self.report.error(
                    "missing",
                    &entry.key_span,
                    "nothing says where the secret is",
                    Some("write `{file: PATH}` or `{env: NAME}`".to_string()),
                );
                return None;
            }
        };
        let delivery =
            self.whole(node, "descriptor").map_or(SecretDelivery::File, SecretDelivery::Descriptor);
        Some(Secret {
            name: self.key_name(entry)?,
            source,
            delivery,
            place: self.place(&entry.key_span),
        })
    }

    fn stdin(&mut self, node: &Node) -> Stdin {
        let at = node.span.clone();
        let node = &full(node, "text");
        let operator = self.value(node, "operator", value::bool) == Some(true);
        match (self.task_raw(node, "text"), self.text(node, "file"), operator) {
            (Some(text), None, false) => Stdin::Text(text),
            (None, Some(file), false) => Stdin::File(file),
            (None, None, true) => Stdin::Operator,
            (None, None, false) => Stdin::Empty,
            _ => {
                self.report.error(
                    "contradiction",
                    &at,
                    "`text`, `file` and `operator` exclude each other",
                    None,
                );
                Stdin::Empty
            }
        }
    }

    fn stop(&mut self, node: &Node) -> Stop {
        let node = &full(node, "signal");
        let default = Stop::default();
        Stop {
            signal: self.value(node, "signal", value::signal).unwrap_or(default.signal),
            grace_ms: self.duration_ms(node, "grace").unwrap_or(default.grace_ms),
        }
    }

    fn limits(&mut self, node: &Node) -> Limits {
        Limits {
            memory_bytes: self.size_bytes(node, "memory"),
            cpu_ms: self.duration_ms(node, "cpu"),
            open_files: self.whole(node, "open_files"),
            processes: self.whole(node, "processes"),
            file_bytes: self.size_bytes(node, "file_size"),
            core_bytes: self.size_bytes(node, "core_size"),
        }
    }

    fn restart(&mut self, node: &Node) -> Restart {
        let node = &full(node, "when");
        let default = Restart::default();
        let (max, window_ms) = self
            .value(node, "max", value::per)
            .map_or((None, None), |(max, window)| (Some(max), window));
        let backoff = self.value(node, "backoff", value::span_ms);
        let (backoff_min_ms, backoff_max_ms) =
            backoff.unwrap_or((default.backoff_min_ms, default.backoff_max_ms));
        let when = match self.text(node, "when").as_deref() {
            Some("always") => RestartWhen::Always,
            _ => RestartWhen::Failure,
        };
        Restart { when, max, window_ms, backoff_min_ms, backoff_max_ms }
    }

    fn probe(&mut self, node: &Node) -> Option<Probe> {
        let tcp = self.whole(node, "tcp").map(Check::Tcp);
        let http = self.task_text(node, "http").map(Check::Http);
        let command = node.get("command").and_then(|n| self.command(n)).map(Check::Command);
        let mut checks = [tcp, http, command].into_iter().flatten();
        let Some(check) = checks.next() else {
            if ["tcp", "http", "command"].iter().all(|key| node.get(key).is_none()) {
                self.report.error(
                    "missing",
                    &node.entries().first().map_or(node.span.clone(), |e| e.key_span.clone()),
                    "the probe asks nothing",
                    Some("write `tcp: PORT`, `http: URL` or `command: LINE`".to_string()),
                );
            }
            return None;
        };
        if checks.next().is_some() {
            self.report.error(
                "contradiction",
                &node.entries()[0].key_span,
                "`tcp`, `http` and `command` exclude each other",
                Some("write two probes".to_string()),
            );
        }
        let from = match self.text(node, "from").as_deref() {
            Some("controller") => HookPlace::Controller,
            _ => HookPlace::Host,
        };
        if let (HookPlace::Controller, Check::Command(command)) = (from, &check) {
            let at = node.get("command").map_or(&node.span, |command| &command.span);
            self.probe_from_controller(command, at);
        }
        Some(Probe {
            check,
            from,
            every_ms: self.duration_ms(node, "every").unwrap_or(10_000),
            time_limit_ms: self.duration_ms(node, "time_limit").unwrap_or(5_000),
            delay_ms: self.duration_ms(node, "delay").unwrap_or(0),
            failures: self.whole(node, "failures").unwrap_or(3),
            successes: self.whole(node, "successes").unwrap_or(1),
            place: self.place(&node.span),
        })
    }

    /// A program beside the controller: what comes from hosts and providers is told by its environment alone.
    fn probe_from_controller(&mut self, command: &Command, at: &Span) {
        match command {
            Command::Shell { .. } => self.report.error(
                "unsafe",
                at,
                "a probe from the controller is no line for a shell",
                Some("name a program: `command: {path: ./healthy, args: [--quick]}`".to_string()),
            ),
            Command::Program { path, args, .. } => {
                if std::iter::once(path).chain(args).any(|word| word.contains("${")) {
                    self.report.error(
                        "unsafe",
                        at,
                        "variables are not put into the words of a probe from the controller",
                        Some(
                            "the program finds PLUSH_HOST, PLUSH_ADDRESS, PLUSH_RANK and more in its environment"
                                .to_string(),
                        ),
                    );
                }
            }
        }
    }
}
