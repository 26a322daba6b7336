//! The model back to a tree, from which either syntax is written.
//! What is a default is left out; what was replaced once is escaped, so that it is not replaced again.

use crate::lower::{Ids, default_application};
use crate::model::*;
use crate::tree::node::{Entry as NodeEntry, Node};
use crate::value::{duration_text, size_text};

/// The tree of a project.
pub(crate) fn raise(project: &Project) -> Node {
    let mut map = Map::new();
    map.put("plush", "1");
    map.put("project", project.name.as_str());
    map.dict(
        "variables",
        project.variables.iter().map(|v| (v.name.as_str(), Node::text(&v.value))),
    );
    map.list("resources", project.resources.iter().map(resource));
    map.dict("software", project.software.iter().map(|s| (s.name.as_str(), software(s))));
    map.dict("clusters", project.clusters.iter().map(|c| (c.name.as_str(), cluster(c))));
    map.dict("barriers", project.barriers.iter().map(|b| (b.name.as_str(), barrier(b))));
    if project.applications != [default_application(&project.name)] {
        map.dict(
            "applications",
            project.applications.iter().map(|a| (a.name.as_str(), application(a))),
        );
    }
    map.list("callbacks", project.callbacks.iter().map(callback));
    map.foreign(&project.foreign);
    map.node()
}

/// Entries in the making; what is empty is left out.
struct Map(Vec<NodeEntry>);

impl Map {
    fn new() -> Map {
        Map(Vec::new())
    }

    fn node(self) -> Node {
        Node::map(self.0)
    }

    fn put(&mut self, key: &str, text: impl Into<String>) {
        self.0.push(NodeEntry::new(key, Node::text(text)));
    }

    fn put_node(&mut self, key: &str, node: Node) {
        self.0.push(NodeEntry::new(key, node));
    }

    fn some(&mut self, key: &str, text: Option<impl Into<String>>) {
        if let Some(text) = text {
            self.put(key, text);
        }
    }

    /// A text of the plan, whose variables were replaced at parsing.
    fn plain(&mut self, key: &str, text: Option<&String>) {
        self.some(key, text.map(|t| escaped(t)));
    }

    fn duration(&mut self, key: &str, ms: Option<u64>) {
        self.some(key, ms.map(duration_text));
    }

    fn size(&mut self, key: &str, bytes: Option<u64>) {
        self.some(key, bytes.map(size_text));
    }

    fn number(&mut self, key: &str, number: Option<impl ToString>) {
        self.some(key, number.map(|n| n.to_string()));
    }

    fn record(&mut self, key: &str, map: Map) {
        if !map.0.is_empty() {
            self.put_node(key, map.node());
        }
    }

    fn list(&mut self, key: &str, items: impl Iterator<Item = Node>) {
        let items: Vec<Node> = items.collect();
        if !items.is_empty() {
            self.put_node(key, Node::list(items));
        }
    }

    fn dict<'k>(&mut self, key: &str, entries: impl Iterator<Item = (&'k str, Node)>) {
        let entries: Vec<NodeEntry> =
            entries.map(|(key, node)| NodeEntry::new(key, node)).collect();
        if !entries.is_empty() {
            self.put_node(key, Node::map(entries));
        }
    }

    fn names(&mut self, key: &str, references: &[Reference]) {
        self.list(key, references.iter().map(|r| Node::text(r.name.as_str())));
    }

    fn foreign(&mut self, foreign: &[Foreign]) {
        for one in foreign {
            let mut node = foreign_node(&one.value);
            if let Some(namespace) = &one.namespace {
                let mut entries = vec![NodeEntry::new("@xmlns", Node::text(namespace))];
                entries.extend(node.entries().iter().cloned());
                node = Node::map(entries);
            }
            self.put_node(&one.key, node);
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace("${", "$${")
}

fn foreign_node(value: &ForeignValue) -> Node {
    match value {
        ForeignValue::Text(text) => Node::text(text),
        ForeignValue::List(items) => Node::list(items.iter().map(foreign_node).collect()),
        ForeignValue::Map(entries) => Node::map(
            entries.iter().map(|(key, value)| NodeEntry::new(key, foreign_node(value))).collect(),
        ),
    }
}

fn application(application: &Application) -> Node {
    let mut map = Map::new();
    map.names("clusters", &application.clusters);
    if let Some(service) = &application.service {
        map.put_node("service", self::service(service));
    }
    map.record("on_failure", on_failure(&application.on_failure));
    map.foreign(&application.foreign);
    map.node()
}

fn resource(resource: &Resource) -> Node {
    let mut map = Map::new();
    map.put("type", escaped(&resource.kind));
    map.plain("group", resource.group.as_ref());
    map.plain("hosts", resource.hosts.as_ref().map(|h| &h.text));
    map.plain("prefer", resource.prefer.as_ref().map(|h| &h.text));
    map.plain("exclude", resource.exclude.as_ref().map(|h| &h.text));
    map.plain("file", resource.file.as_ref());
    map.plain("user", resource.user.as_ref());
    map.number("port", resource.port);
    map.plain("partition", resource.partition.as_ref());
    map.duration("lease", resource.lease_ms);
    map.dict(
        "options",
        resource.options.iter().map(|(key, value)| (key.as_str(), Node::text(escaped(value)))),
    );
    map.foreign(&resource.foreign);
    map.node()
}

fn software(software: &Software) -> Node {
    let mut map = Map::new();
    let installer = match software.installer {
        Installer::None => None,
        Installer::Tar => Some("tar"),
        Installer::Zip => Some("zip"),
        Installer::Script => Some("script"),
        Installer::System => Some("system"),
    };
    map.some("type", installer);
    map.list("packages", software.packages.iter().map(package));
    map.plain("dest_path", software.dest_path.as_ref());
    map.number("strip", Some(software.strip).filter(|s| *s > 0));
    map.list("templates", software.templates.iter().map(template));
    map.foreign(&software.foreign);
    map.node()
}

fn package(package: &Package) -> Node {
    let mut map = Map::new();
    map.put("name", escaped(&package.name));
    map.put(
        "type",
        match package.kind {
            PackageKind::Web => "web",
            PackageKind::Push => "push",
            PackageKind::Rsync => "rsync",
            PackageKind::Scp => "scp",
            PackageKind::Git => "git",
        },
    );
    map.put("path", escaped(&package.path));
    map.plain("dest_path", package.dest_path.as_ref());
    map.some("sha256", package.sha256.clone());
    map.number("strip", package.strip);
    map.plain("revision", package.revision.as_ref());
    map.size("size_limit", package.size_limit_bytes);
    map.duration("time_limit", package.time_limit_ms);
    map.node()
}

fn template(template: &Template) -> Node {
    let mut map = Map::new();
    map.put("path", escaped(&template.path));
    map.put("dest_path", template.dest_path.as_str());
    map.some("mode", Some(format!("{:03o}", template.mode)).filter(|m| m != "644"));
    map.some(
        "on_change",
        match &template.on_change {
            OnChange::Nothing => None,
            OnChange::Replace => Some("replace"),
            OnChange::Signal(signal) => Some(signal.name()),
        },
    );
    map.node()
}

fn cluster(cluster: &Cluster) -> Node {
    let mut map = Map::new();
    map.some("configuration", cluster.configuration.as_ref().map(Name::as_str));
    map.put_node("num_hosts", num_hosts(&cluster.num_hosts));
    map.record("requirement", requirement(&cluster.requirement));
    map.names("software", &cluster.software);
    map.list("resources", cluster.resources.iter().map(resource));
    map.dict("env", env(&cluster.env));
    map.record("prepare", policy_but(&cluster.prepare, Release::of_preparation(&cluster.software)));
    map.record("ready", policy(&cluster.ready));
    map.names("after", &cluster.after);
    map.list("execution", steps(&cluster.execution).into_iter());
    map.record("on_failure", on_failure(&cluster.on_failure));
    if let Some(service) = &cluster.service {
        map.put_node("service", self::service(service));
    }
    map.list("outputs", outputs(&cluster.outputs));
    map.list("cleanup", cluster.cleanup.iter().map(|c| command(c).node()));
    map.foreign(&cluster.foreign);
    map.node()
}

fn wanted(wanted: Wanted) -> String {
    match wanted {
        Wanted::All => "all".to_string(),
        Wanted::Count(count) => count.to_string(),
    }
}

fn num_hosts(count: &NumHosts) -> Node {
    let mut map = Map::new();
    map.number("min", count.min);
    map.number("max", count.max);
    map.number("spare", Some(count.spare).filter(|s| *s > 0));
    if map.0.is_empty() {
        return Node::text(wanted(count.wanted));
    }
    map.0.insert(0, NodeEntry::new("wanted", Node::text(wanted(count.wanted))));
    map.node()
}

fn requirement(requirement: &Requirement) -> Map {
    let mut map = conditions(&requirement.conditions);
    map.record("between", conditions(&requirement.between));
    map.list("expressions", requirement.expressions.iter().map(|e| Node::text(escaped(&e.text))));
    map.dict("groups", requirement.groups.iter().map(|g| (g.name.as_str(), group(g))));
    map.list("constraints", requirement.constraints.iter().map(constraint));
    map
}

fn group(group: &Group) -> Node {
    let mut map = conditions(&group.conditions);
    map.0.insert(0, NodeEntry::new("num_hosts", Node::text(wanted(group.count))));
    map.record("between", conditions(&group.between));
    map.node()
}

fn constraint(constraint: &Constraint) -> Node {
    let mut map = Map::new();
    map.list("groups", constraint.groups.iter().map(|g| Node::text(g.as_str())));
    map.0.extend(conditions(&constraint.conditions).0);
    map.node()
}

fn conditions(conditions: &[Condition]) -> Map {
    Map(conditions.iter().map(|c| NodeEntry::new(&c.fact, test(&c.test))).collect())
}

fn test(test: &Test) -> Node {
    let mut map = Map::new();
    match test {
        Test::Text { value, penalty: None } => return Node::text(escaped(value)),
        Test::Text { value, penalty } => {
            map.put("is", escaped(value));
            map.number("penalty", *penalty);
        }
        Test::Range(range) => {
            let is_hard = range.penalty == 0.0
                && range.abs_min == range.ideal_min
                && range.abs_max == range.ideal_max;
            match (range.abs_min, range.abs_max) {
                (Some(min), None) if is_hard => return Node::text(format!(">= {min}")),
                (None, Some(max)) if is_hard => return Node::text(format!("<= {max}")),
                (Some(min), Some(max)) if is_hard => return Node::text(format!("{min} .. {max}")),
                (None, None) if is_hard => return Node::text(".."),
                _ => {}
            }
            map.number("abs_min", range.abs_min);
            map.number("ideal_min", range.ideal_min);
            map.number("ideal_max", range.ideal_max);
            map.number("abs_max", range.abs_max);
            map.number("penalty", Some(range.penalty).filter(|p| *p != 0.0));
        }
    }
    map.node()
}

fn barrier(barrier: &Barrier) -> Node {
    let mut map = policy(&barrier.policy);
    map.names("clusters", &barrier.clusters);
    map.number("per_host", barrier.per_host);
    map.node()
}

fn policy(policy: &BarrierPolicy) -> Map {
    policy_but(policy, Release::All)
}

/// A policy where this release goes without saying.
fn policy_but(policy: &BarrierPolicy, usual: Release) -> Map {
    let mut map = Map::new();
    map.record("entry", entry(&policy.entry));
    if policy.release != usual {
        map.put_node("release", release(&policy.release));
    }
    let late = match policy.late {
        Late::Admit => None,
        Late::Drop => Some("drop"),
        Late::Replace => Some("replace"),
    };
    map.some("late", late);
    if let Some(callback) = &policy.callback {
        map.record("callback", hook(callback));
    }
    map.duration("together", policy.together_ms);
    map
}

fn entry(entry: &Entry) -> Map {
    let mut map = Map::new();
    map.number("count", entry.count);
    if let Some(percent) = entry.percent {
        let mut inner = Map::new();
        inner.number("share", Some(percent.percent));
        inner.duration("min_wait", Some(percent.min_wait_ms).filter(|ms| *ms > 0));
        map.record("percent", inner);
    }
    map.duration("timeout", entry.timeout_ms);
    if let Some(knee) = &entry.knee {
        map.put_node("knee", self::knee(knee));
    }
    map
}

fn knee(knee: &Knee) -> Node {
    let mut map = Map::new();
    map.number("min_percent", Some(knee.min_percent));
    map.duration("min_wait", Some(knee.min_wait_ms).filter(|ms| *ms > 0));
    map.number("weight", knee.weight);
    map.node()
}

fn release(release: &Release) -> Node {
    let mut map = Map::new();
    match release {
        Release::All => map.put("rule", "all"),
        Release::CountPerTick { count, every_ms } => {
            map.number("count", Some(count));
            map.duration("every", Some(*every_ms));
        }
        Release::PercentPerTick { percent, every_ms } => {
            map.number("percent", Some(percent));
            map.duration("every", Some(*every_ms));
        }
        Release::Inside { max, timeout_ms } => {
            map.number("inside", Some(max));
            map.duration("timeout", *timeout_ms);
        }
        Release::Rate { per_second } => map.number("rate", Some(per_second)),
        Release::Adaptive { rule, start, timeout_ms } => {
            map.put(
                "rule",
                match rule {
                    AdaptiveRule::Throughput => "adaptive",
                    AdaptiveRule::Median => "median",
                },
            );
            map.number("start", Some(start).filter(|s| **s != rule.start()));
            map.duration("timeout", *timeout_ms);
        }
    }
    map.node()
}

fn service(service: &Service) -> Node {
    let mut map = Map::new();
    map.put(
        "class",
        match service.class {
            ServiceClass::Batch => "batch",
            ServiceClass::Attached => "attached",
            ServiceClass::Service => "service",
            ServiceClass::Exclusive => "exclusive",
        },
    );
    map.duration("reconnect_interval", service.reconnect_interval_ms);
    map.duration("stop_after", service.stop_after_ms);
    map.duration("replace_after", service.replace_after_ms);
    let on_return = match service.on_return {
        OnReturn::KeepOriginal => None,
        OnReturn::KeepNew => Some("keep-new"),
        OnReturn::LongestRunning => Some("longest-running"),
    };
    map.some("on_return", on_return);
    map.plain("spread", service.spread.as_ref());
    if let Some(update) = &service.update {
        map.put_node("update", policy(update).node());
    }
    map.node()
}

fn on_failure(policy: &FailurePolicy) -> Map {
    let mut map = Map::new();
    let all = [
        ("process", &policy.process),
        ("host", &policy.host),
        ("cluster", &policy.cluster),
        ("application", &policy.application),
    ];
    for (key, reaction) in all {
        if let Some(reaction) = reaction {
            map.put_node(key, self::reaction(reaction));
        }
    }
    map
}

fn reaction(reaction: &Reaction) -> Node {
    Node::text(match reaction {
        Reaction::Continue => "continue",
        Reaction::Restart => "restart",
        Reaction::Replace => "replace",
        Reaction::Drop => "drop",
        Reaction::Fail => "fail",
        Reaction::Call(hook) => {
            let mut map = Map::new();
            map.record("call", self::hook(hook));
            return map.node();
        }
    })
}

fn hook(hook: &Hook) -> Map {
    let mut map = Map::new();
    map.list("command", hook.argv.iter().map(|word| Node::text(escaped(word))));
    if hook.at == HookPlace::Host {
        map.put("at", "host");
    }
    map.duration("time_limit", Some(hook.time_limit_ms).filter(|ms| *ms != 10_000));
    map
}

fn callback(callback: &Callback) -> Node {
    let mut map = hook(&callback.hook);
    map.0.insert(0, NodeEntry::new("event", Node::text(callback.event.as_str())));
    map.node()
}

fn outputs(outputs: &[Output]) -> impl Iterator<Item = Node> {
    outputs.iter().map(|o| Node::text(&o.glob))
}

fn env(env: &[EnvVar]) -> impl Iterator<Item = (&str, Node)> {
    env.iter().map(|e| (e.name.as_str(), Node::text(&e.value)))
}

/// Steps in document order where they are a chain, side by side with their predecessors where not.
fn steps(steps: &[Step]) -> Vec<Node> {
    let is_chain = steps.iter().enumerate().all(|(i, step)| match (i, step.after.as_slice()) {
        (0, []) => true,
        (i, [only]) if i > 0 => only.name == steps[i - 1].id,
        _ => false,
    });
    let mut ids = Ids::default();
    let mut nodes = Vec::new();
    for step in steps {
        let mut map = action(&step.action);
        if step.id != ids.default_for(&step.action) {
            map.put("id", step.id.as_str());
        }
        if !is_chain {
            map.names("after", &step.after);
        }
        ids.take(&step.id);
        nodes.push(map.node());
    }
    match is_chain {
        true => nodes,
        false => vec![Node::map(vec![NodeEntry::new("parallel", Node::list(nodes))])],
    }
}

fn action(action: &Action) -> Map {
    let mut map = Map::new();
    match action {
        Action::Process(process) => {
            map.put("process", process.name.as_str());
            self::process(process, &mut map);
        }
        Action::Barrier(reference) => map.put("barrier", reference.name.as_str()),
        Action::Workflow(workflow) => {
            map.put("workflow", workflow.name.as_str());
            self::workflow(workflow, &mut map);
        }
        Action::Repeat(repeat) => {
            let mut inner = Map::new();
            if let Some(until) = &repeat.until {
                inner.record("until", command(until));
            }
            inner.number("max", Some(repeat.max));
            inner.put_node("do", Node::list(steps(&repeat.steps)));
            inner.foreign(&repeat.foreign);
            map.record("repeat", inner);
        }
    }
    map
}

fn command(command: &Command) -> Map {
    let mut map = Map::new();
    match command {
        Command::Program { path, args, .. } => {
            map.put("path", path.as_str());
            map.list("args", args.iter().map(Node::text));
        }
        Command::Shell { line, .. } => map.put("run", line.as_str()),
    }
    map
}

fn workflow(workflow: &Workflow, map: &mut Map) {
    let mut items = Map::new();
    match &workflow.items {
        Items::List(list) => items.list("list", list.iter().map(|item| Node::text(escaped(item)))),
        Items::File(file) => items.put("file", escaped(file)),
        Items::Range { first, last, step } => items.put(
            "range",
            match step {
                1 => format!("{first}..{last}"),
                step => format!("{first}..{last}/{step}"),
            },
        ),
    }
    map.record("items", items);
    map.number("per_host", Some(workflow.per_host).filter(|n| *n != 1));
    map.number("retries", Some(workflow.retries).filter(|n| *n > 0));
    if let Some(slow) = &workflow.slow {
        let mut inner = Map::new();
        inner.put_node("knee", knee(&slow.knee));
        inner.put("reissue", slow.reissue.to_string());
        inner.number("copies", Some(slow.copies_max).filter(|n| *n != 2));
        map.record("slow", inner);
    }
    process(&workflow.process, map);
    on(workflow.on, map);
    map.list("outputs", outputs(&workflow.outputs));
    map.foreign(&workflow.foreign);
}

fn on(on: On, map: &mut Map) {
    if let On::Count(count) = on {
        map.number("on", Some(count));
    }
}

fn process(process: &Process, map: &mut Map) {
    map.0.extend(command(&process.command).0);
    map.dict("env", env(&process.env));
    map.dict("secrets", process.secrets.iter().map(|s| (s.name.as_str(), secret(s))));
    map.some("cwd", process.cwd.clone());
    map.record("stdin", stdin(&process.stdin));
    map.duration("time_limit", process.time_limit_ms);
    if process.success_codes != [0] {
        map.list("success_codes", process.success_codes.iter().map(|c| Node::text(c.to_string())));
    }
    map.record("stop", stop(&process.stop));
    map.record("limits", limits(&process.limits));
    if process.output == OutputPolicy::Gap {
        map.put("output", "gap");
    }
    if let Some(restart) = &process.restart {
        map.put_node("restart", self::restart(restart));
    }
    map.plain("log_manager", process.log_manager.as_ref());
    on(process.on, map);
    map.list("probes", process.probes.iter().map(probe));
    if let Some(reaction) = &process.on_failure {
        map.put_node("on_failure", self::reaction(reaction));
    }
    map.list("outputs", outputs(&process.outputs));
    map.foreign(&process.foreign);
}

fn secret(secret: &Secret) -> Node {
    let mut map = Map::new();
    match &secret.source {
        SecretSource::File(file) => map.put("file", escaped(file)),
        SecretSource::Environment(name) => map.put("env", name.as_str()),
    }
    if let SecretDelivery::Descriptor(number) = secret.delivery {
        map.number("descriptor", Some(number));
    }
    map.node()
}

fn stdin(stdin: &Stdin) -> Map {
    let mut map = Map::new();
    match stdin {
        Stdin::Empty => {}
        Stdin::Text(text) => map.put("text", text.as_str()),
        Stdin::File(file) => map.put("file", escaped(file)),
        Stdin::Operator => map.put("operator", "true"),
    }
    map
}

fn stop(stop: &Stop) -> Map {
    let mut map = Map::new();
    let default = Stop::default();
    map.some("signal", Some(stop.signal).filter(|s| *s != default.signal).map(Signal::name));
    map.duration("grace", Some(stop.grace_ms).filter(|ms| *ms != default.grace_ms));
    map
}

fn limits(limits: &Limits) -> Map {
    let mut map = Map::new();
    map.size("memory", limits.memory_bytes);
    map.duration("cpu", limits.cpu_ms);
    map.number("open_files", limits.open_files);
    map.number("processes", limits.processes);
    map.size("file_size", limits.file_bytes);
    map.size("core_size", limits.core_bytes);
    map
}

fn restart(restart: &Restart) -> Node {
    let mut map = Map::new();
    map.put(
        "when",
        match restart.when {
            RestartWhen::Failure => "failure",
            RestartWhen::Always => "always",
        },
    );
    let max = restart.max.map(|max| match restart.window_ms {
        Some(window) => format!("{max} per {}", duration_text(window)),
        None => max.to_string(),
    });
    map.some("max", max);
    map.put(
        "backoff",
        format!(
            "{} .. {}",
            duration_text(restart.backoff_min_ms),
            duration_text(restart.backoff_max_ms)
        ),
    );
    map.node()
}

fn probe(probe: &Probe) -> Node {
    let mut map = Map::new();
    match &probe.check {
        Check::Tcp(port) => map.number("tcp", Some(port)),
        Check::Http(url) => map.put("http", url.as_str()),
        Check::Command(inner) => map.record("command", command(inner)),
    }
    if probe.from == HookPlace::Controller {
        map.put("from", "controller");
    }
    map.duration("every", Some(probe.every_ms).filter(|ms| *ms != 10_000));
    map.duration("time_limit", Some(probe.time_limit_ms).filter(|ms| *ms != 5_000));
    map.duration("delay", Some(probe.delay_ms).filter(|ms| *ms > 0));
    map.number("failures", Some(probe.failures).filter(|n| *n != 3));
    map.number("successes", Some(probe.successes).filter(|n| *n != 1));
    map.node()
}
