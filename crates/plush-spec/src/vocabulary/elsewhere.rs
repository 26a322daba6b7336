//! Words of other tools (Ansible, Compose, Nomad, Slurm, Kubernetes, clush) and what they are here.
//! They are not understood; the hint of the error names the word that is meant.

/// A word that another tool uses where a record of ours has a different one.
struct Elsewhere {
    /// The records in which the hint holds; empty for all.
    records: &'static [&'static str],
    words: &'static [&'static str],
    /// The intended key, if the record has one; it is then not reported as missing too.
    means: &'static str,
    hint: &'static str,
}

const STEPS: &[&str] = &["process", "workflow"];

static WORDS: &[Elsewhere] = &[
    Elsewhere {
        records: &["project", "cluster", "process", "workflow", "command", "probe"],
        words: &[
            "command",
            "commands",
            "cmd",
            "exec",
            "shell",
            "script",
            "entrypoint",
            "program",
            "line",
            "start_command",
            "execute",
        ],
        means: "run",
        hint: "the word here is `run`: a line for `/bin/sh`",
    },
    Elsewhere {
        records: &["process", "workflow", "command"],
        words: &["cmdline", "arguments", "argv", "arg"],
        means: "args",
        hint: "arguments are `args` beside `path`; in XML `<cmdline>` of `<arg>`",
    },
    Elsewhere {
        records: &["project"],
        words: &["name", "app", "title", "id"],
        means: "project",
        hint: "write `project: NAME`",
    },
    Elsewhere {
        records: &["project"],
        words: &[
            "nodes",
            "node",
            "machines",
            "machine",
            "servers",
            "host",
            "targets",
            "inventory",
            "workers",
            "nodelist",
            "hostnames",
        ],
        means: "hosts",
        hint: "the word here is `hosts`, or `resources` for more than a host set",
    },
    Elsewhere {
        records: &["project"],
        words: &[
            "cluster",
            "component",
            "components",
            "group",
            "groups",
            "services",
            "service",
            "jobs",
            "job",
            "roles",
            "plays",
        ],
        means: "clusters",
        hint: "write `clusters:` with one key for each",
    },
    Elsewhere {
        records: &["project"],
        words: &["vars", "variable", "parameters", "params", "args"],
        means: "variables",
        hint: "the word here is `variables`",
    },
    Elsewhere {
        records: &["project"],
        words: &["env", "environment", "envs", "env_vars"],
        means: "",
        hint: "`env` belongs to a cluster or a process: `clusters: {NAME: {env: {...}, run: ...}}`",
    },
    Elsewhere {
        records: &["project"],
        words: &["tasks", "steps", "execution", "processes", "process", "workflow"],
        means: "run",
        hint: "steps belong to a cluster: `clusters: {NAME: {execution: [...]}}`; `run` is a single line",
    },
    Elsewhere {
        records: &["cluster"],
        words: &[
            "hosts",
            "host",
            "nodes",
            "node",
            "machines",
            "machine",
            "servers",
            "targets",
            "inventory",
            "nodelist",
        ],
        means: "resources",
        hint: "the word here is `resources: SET`; how many of them is `num_hosts`",
    },
    Elsewhere {
        records: &["project", "cluster"],
        words: &["count", "replicas", "size", "instances", "scale", "num_nodes", "ntasks"],
        means: "num_hosts",
        hint: "the word here is `num_hosts`",
    },
    Elsewhere {
        records: &["cluster"],
        words: &["tasks", "task", "steps", "processes", "process", "jobs", "workflow"],
        means: "execution",
        hint: "the word here is `execution`: a list of steps such as `- process: NAME`",
    },
    Elsewhere {
        records: &["cluster", "process", "workflow"],
        words: &["environment", "envs", "env_vars", "vars", "variables"],
        means: "env",
        hint: "the word here is `env`",
    },
    Elsewhere {
        records: &["cluster", "process", "workflow", "barrier_step", "step"],
        words: &["depends_on", "needs", "requires", "predecessor", "predecessors", "dependencies"],
        means: "after",
        hint: "the word here is `after`",
    },
    Elsewhere {
        records: STEPS,
        words: &["working_dir", "workdir", "chdir", "directory", "dir", "work_dir"],
        means: "cwd",
        hint: "the word here is `cwd`",
    },
    Elsewhere {
        records: &["process", "workflow", "probe", "hook", "package", "callback"],
        words: &["timeout", "max_runtime", "kill_after", "walltime", "deadline"],
        means: "time_limit",
        hint: "the word here is `time_limit`",
    },
    Elsewhere {
        records: &["process"],
        words: &["healthcheck", "health_check", "check", "checks", "liveness", "readiness"],
        means: "probes",
        hint: "the word here is `probes`",
    },
    Elsewhere {
        records: &["process"],
        words: &["retries", "restart_policy", "retry", "autorestart"],
        means: "restart",
        hint: "the word here is `restart`, such as `restart: {max: 3}`",
    },
    Elsewhere {
        records: STEPS,
        words: &["stop_signal", "kill_signal", "stop_grace_period", "kill_timeout"],
        means: "stop",
        hint: "write `stop: {signal: TERM, grace: 10 s}`",
    },
    Elsewhere {
        records: &["process", "workflow", "cluster"],
        words: &["artifacts", "artefacts", "artifact", "fetch", "results", "collect"],
        means: "outputs",
        hint: "the word here is `outputs`, for files to bring home; files for the hosts are `software`",
    },
    Elsewhere {
        records: &["process", "workflow"],
        words: &["user", "become", "become_user", "remote_user", "sudo"],
        means: "",
        hint: "the account is the resource's: `resources: [{hosts: SET, user: NAME}]`",
    },
    Elsewhere {
        records: &["project", "cluster"],
        words: &["packages", "package", "files", "copy", "volumes", "templates"],
        means: "software",
        hint: "files for the hosts are `software`",
    },
    Elsewhere {
        records: &["project", "cluster"],
        words: &["requirements", "constraints", "constraint"],
        means: "requirement",
        hint: "the word here is `requirement`, of a cluster",
    },
    Elsewhere {
        records: &["resource"],
        words: &["nodes", "machines", "servers", "host", "nodelist", "hostnames"],
        means: "hosts",
        hint: "the word here is `hosts`",
    },
    Elsewhere {
        records: &["resource"],
        words: &["inventory", "path", "source"],
        means: "file",
        hint: "the word here is `file`",
    },
    Elsewhere {
        records: &["resource"],
        words: &["kind", "provider"],
        means: "type",
        hint: "the word here is `type`",
    },
    Elsewhere {
        records: &["resource"],
        words: &["ansible_user", "ssh_user", "remote_user", "username", "login"],
        means: "user",
        hint: "the word here is `user`",
    },
    Elsewhere {
        records: &["resource"],
        words: &["ansible_port", "ssh_port"],
        means: "port",
        hint: "the word here is `port`",
    },
    Elsewhere {
        records: &["package", "template"],
        words: &["url", "uri", "src", "source", "from", "file"],
        means: "path",
        hint: "the word here is `path`",
    },
    Elsewhere {
        records: &["package", "template", "software"],
        words: &["dest", "destination", "target", "to"],
        means: "dest_path",
        hint: "the word here is `dest_path`",
    },
    Elsewhere {
        records: &["package"],
        words: &["checksum", "hash", "digest"],
        means: "sha256",
        hint: "the word here is `sha256`",
    },
    Elsewhere {
        records: &["package"],
        words: &["version", "branch", "commit", "ref", "tag"],
        means: "revision",
        hint: "the word here is `revision`",
    },
    Elsewhere {
        records: &["software"],
        words: &["url", "src", "source", "path", "file"],
        means: "packages",
        hint: "write `package: PATH-OR-URL`",
    },
];

/// The meaning of another tool's word in a record: the key (empty if the record has none) and the
/// hint.
pub(crate) fn elsewhere(record: &str, word: &str) -> Option<(&'static str, &'static str)> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let found = WORDS.iter().find(|known| {
        (known.records.is_empty() || known.records.contains(&record))
            && known.words.contains(&word.as_str())
    })?;
    Some((found.means, found.hint))
}

/// Keys by which other tools begin a step, and what a step begins with here.
pub(crate) fn step_elsewhere(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let is_command = ["run", "path", "args"].contains(&word.as_str())
        || ["name", "task", "step", "job"].contains(&word.as_str())
        || elsewhere("process", &word).is_some_and(|(means, _)| means == "run");
    is_command.then_some("a step that runs a program begins with `process: NAME`, then `run: LINE`")
}
