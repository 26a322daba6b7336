//! The words of what a cluster does: processes, workflows, repetitions.
//! Barriers are with the parts, since phases have them too.

use super::*;

/// Words that every step may have; named steps list them among their own.
pub(crate) static STEP_COMMON: Record = Record {
    name: "step",
    doc: "What every step of an execution may have. Steps run in the order of the document; those of `parallel` start together; `after` names predecessors. A step starts on a host when its predecessors are done on that host.",
    short: None,
    fields: &[STEP_ID, STEP_AFTER],
    rest: None,
    foreign: false,
};

static SECRET_KIND: Kind = Kind::Record(&SECRET);
static PROBE_KIND: Kind = Kind::Record(&PROBE);

const STEP_ID: Field = Field::attr("id", Scalar::Name, "The step's name for `after`.")
    .default("the name of what it runs")
    .example("setup");
const STEP_AFTER: Field = Field::list(
    "after",
    Xml::Items("predecessor"),
    &Kind::Scalar(Scalar::Name),
    "Steps that must be done first.",
)
.default("the step before, or none in `parallel`")
.example("[setup]");
const PATH: Field = Field::elem("path", Scalar::Path, "The program, run without a shell.")
    .task()
    .example("./demo.exe");
const ARGS: Field = Field::list(
    "args",
    Xml::Wrapped("cmdline", "arg"),
    &Kind::Scalar(Scalar::Raw),
    "Its arguments.",
)
.task()
.example("[\"300\"]");
const RUN: Field = Field::elem(
    "run",
    Scalar::Line,
    "A line for `/bin/sh`, instead of `path` and `args`; the shell takes no value for syntax.",
)
.task()
.example("./demo.exe 300 > out.txt");
const ENV: Field = Field::new(
    "env",
    Kind::Dict("name", Scalar::EnvName, &Kind::Scalar(Scalar::Raw)),
    Xml::Items("env"),
    "Environment.",
)
.task()
.example("{LANG: C}");
const SECRETS: Field =
    Field::dict("secrets", "secret", &SECRET_KIND, "Secrets that it is given, by name.")
        .example("{token: {file: token.txt}}");
const CWD: Field = Field::elem("cwd", Scalar::Path, "The working directory.")
    .task()
    .default("the run's directory on the host")
    .example("work");
const STDIN_FIELD: Field = Field::record("stdin", &STDIN, "What it reads on standard input.")
    .task()
    .default("nothing")
    .example("{file: input.txt}");
const TIME_LIMIT: Field =
    Field::attr("time_limit", Scalar::Duration, "It is stopped after so long.")
        .default("none")
        .example("5 min");
const SUCCESS_CODES: Field = Field::list(
    "success_codes",
    Xml::Items("success_code"),
    &Kind::Scalar(Scalar::Whole(0, 255)),
    "Exit codes that count as success. The end by a signal counts as 128 and its number: 143 accepts SIGTERM, 137 SIGKILL, but not the host's own when memory ran out.",
)
.default("0")
.example("[0, 3]");
const STOP_FIELD: Field =
    Field::record("stop", &STOP, "How it is stopped.").example("{signal: INT, grace: 5 s}");
const LIMITS_FIELD: Field =
    Field::record("limits", &LIMITS, "Limits on what it uses.").example("{memory: 1 GiB}");
const OUTPUT: Field = Field::attr(
    "output",
    Scalar::Choice(&["block", "gap"]),
    "When output comes faster than it can be taken: the process waits, or a declared gap.",
)
.default("block")
.example("gap");
const RESTART_FIELD: Field = Field::record("restart", &RESTART, "When it is started again.")
    .default("never")
    .example("{max: 10 per 1 h, backoff: 1 s .. 60 s}");
const LOG_MANAGER: Field = Field::elem(
    "log_manager",
    Scalar::Text,
    "The log manager of the later vocabulary; carried along.",
)
.example("default");
const ON: Field = Field::attr("on", Scalar::CountOrAll, "On how many of the cluster's hosts.")
    .default("all")
    .example("1");
const PROBES: Field =
    Field::list("probes", Xml::Items("probe"), &PROBE_KIND, "How its health is judged.")
        .alias(&["probe"])
        .example("[{tcp: 7000, every: 10 s}]");
const PROCESS_ON_FAILURE: Field =
    Field::record("on_failure", &REACTION, "What to do when it fails.")
        .default("as the cluster says")
        .example("restart");
const OUTPUTS: Field = Field::list(
    "outputs",
    Xml::Items("output"),
    &Kind::Scalar(Scalar::Within),
    "Files to bring home when it is done: globs below the run's directory.",
)
.task()
.example("[logs/*.csv]");

pub(crate) static PROCESS: Record = Record {
    name: "process",
    doc: "A program to run on each host. Either `path` with `args`, or `run`.",
    short: None,
    fields: &[
        STEP_ID,
        STEP_AFTER,
        PATH,
        ARGS,
        RUN,
        ENV,
        SECRETS,
        CWD,
        STDIN_FIELD,
        TIME_LIMIT,
        SUCCESS_CODES,
        STOP_FIELD,
        LIMITS_FIELD,
        OUTPUT,
        RESTART_FIELD,
        LOG_MANAGER,
        ON,
        PROBES,
        PROCESS_ON_FAILURE,
        OUTPUTS,
    ],
    rest: None,
    foreign: true,
};

pub(crate) static WORKFLOW: Record = Record {
    name: "workflow",
    doc: "A list of items, each worked on by one process on one of the cluster's hosts. `${item}` is the item.",
    short: None,
    fields: &[
        STEP_ID,
        STEP_AFTER,
        Field::record("items", &ITEMS, "The items.").required().example("{range: 1..400}"),
        Field::attr("per_host", COUNT, "How many items a host works on at a time.")
            .default("1")
            .example("4"),
        Field::attr("retries", COUNT_OR_NONE, "How often a failed item is tried again.")
            .default("0")
            .example("2"),
        Field::record("slow", &SLOW, "What to do about slow items.")
            .default("wait")
            .example("{knee: {min_percent: 85}, reissue: true}"),
        PATH,
        ARGS,
        RUN,
        ENV,
        SECRETS,
        CWD,
        STDIN_FIELD,
        TIME_LIMIT,
        SUCCESS_CODES,
        STOP_FIELD,
        LIMITS_FIELD,
        OUTPUT,
        LOG_MANAGER,
        ON,
        PROCESS_ON_FAILURE,
        OUTPUTS,
    ],
    rest: None,
    foreign: true,
};

pub(crate) static ITEMS: Record = Record {
    name: "items",
    doc: "The items of a workflow: exactly one of these. A bare list is `list`.",
    short: Some("list"),
    fields: &[
        Field::list("list", Xml::Items("item"), &Kind::Scalar(Scalar::Raw), "These items.")
            .example("[alpha, beta]"),
        Field::attr("file", Scalar::Path, "The lines of a file of the controller.")
            .example("items.txt"),
        Field::attr(
            "range",
            Scalar::Numbers,
            "Numbers, both ends included, with an optional step.",
        )
        .example("1..400"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static SLOW: Record = Record {
    name: "slow",
    doc: "What to do about slow items.",
    short: None,
    fields: &[
        Field::record("knee", &KNEE, "When the rest counts as slow.")
            .required()
            .example("{min_percent: 85}"),
        Field::attr(
            "reissue",
            Scalar::Bool,
            "Issue them to idle hosts as well; the first result wins.",
        )
        .default("true")
        .example("true"),
        Field::attr("copies", Scalar::Whole(1, 16), "How many copies of one item may run.")
            .default("2")
            .example("3"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static REPEAT: Record = Record {
    name: "repeat",
    doc: "Steps that are run again until a command succeeds.",
    short: None,
    fields: &[
        Field::record(
            "until",
            &COMMAND,
            "Asked after each round, on the first host; success ends the repetition.",
        )
        .default("all rounds are run")
        .example("./converged model.mrc"),
        Field::attr("max", COUNT, "At most so many rounds.").required().example("8"),
        Field::new("do", Kind::Steps, Xml::Element, "The steps of a round.")
            .required()
            .example("[{process: merge, run: ./merge}]"),
    ],
    rest: None,
    foreign: true,
};

pub(crate) static COMMAND: Record = Record {
    name: "command",
    doc: "A command. A bare text is `run`.",
    short: Some("run"),
    fields: &[PATH, ARGS, RUN],
    rest: None,
    foreign: false,
};

pub(crate) static SECRET: Record = Record {
    name: "secret",
    doc: "A secret: the description holds where it comes from, never its value. Exactly one of `file` and `env`.",
    short: Some("file"),
    fields: &[
        Field::attr("file", Scalar::Path, "A file on the controller.").example("token.txt"),
        Field::attr("env", Scalar::EnvName, "A variable of the controller's environment.").example("API_TOKEN"),
        Field::attr("descriptor", Scalar::Whole(3, 255), "The process gets it on this file descriptor, instead of in a file named by `PLUSH_SECRET_<NAME>`.").example("3"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static STDIN: Record = Record {
    name: "stdin",
    doc: "What a process reads on standard input: exactly one of these. A bare value is `text`.",
    short: Some("text"),
    fields: &[
        Field::elem("text", Scalar::Raw, "This text.").task().example("hello"),
        Field::attr("file", Scalar::Path, "A file of the controller.").example("input.txt"),
        Field::attr("operator", Scalar::Bool, "What the operator gives to the run.")
            .example("true"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static STOP: Record = Record {
    name: "stop",
    doc: "How a process is stopped. A bare value is the signal.",
    short: Some("signal"),
    fields: &[
        Field::attr("signal", Scalar::Signal, "The first signal: a name of `kill -l` up to `SYS`, with or without `SIG`, or its number; real-time signals are refused.").default("TERM").example("INT"),
        Field::attr("grace", Scalar::Duration, "How long it has before KILL.")
            .default("10 s")
            .example("30 s"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static LIMITS: Record = Record {
    name: "limits",
    doc: "Limits on what a process uses.",
    short: None,
    fields: &[
        Field::attr("memory", Scalar::Size, "Address space.").example("1 GiB"),
        Field::attr("cpu", Scalar::Duration, "Processor time, in whole seconds.").example("1 h"),
        Field::attr("open_files", COUNT, "Open files.").example("1024"),
        Field::attr("processes", COUNT, "Processes of the account.").example("512"),
        Field::attr("file_size", Scalar::Size, "The largest file it may write.").example("10 GiB"),
        Field::attr("core_size", Scalar::Size, "The largest core file.")
            .default("0 B")
            .example("1 GiB"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static RESTART: Record = Record {
    name: "restart",
    doc: "When a process is started again. A bare value is `when`.",
    short: Some("when"),
    fields: &[
        Field::attr("when", Scalar::Choice(&["failure", "always"]), "After which ends.")
            .default("failure")
            .example("always"),
        Field::attr("max", Scalar::Per, "How often at most, and in which time.")
            .default("without limit")
            .example("10 per 1 h"),
        Field::attr("backoff", Scalar::Span, "The first and the longest wait; it doubles.")
            .default("1 s .. 60 s")
            .example("1 s .. 60 s"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static PROBE: Record = Record {
    name: "probe",
    doc: "A question about a process's health: exactly one of `tcp`, `http`, `command`.",
    short: None,
    fields: &[
        Field::attr("tcp", PORT, "A TCP port that accepts.").example("7000"),
        Field::attr("http", Scalar::Url, "A URL that answers with a status below 400.")
            .task()
            .example("http://localhost:8080/health"),
        Field::record("command", &COMMAND, "A command that succeeds.").example("./healthy"),
        Field::attr("from", Scalar::Choice(&["host", "controller"]), "From where it is asked; from the controller, `command` is a program with `path` and `args`, no line.")
            .default("host")
            .example("controller"),
        Field::attr("every", Scalar::Duration, "How often.").default("10 s").example("5 s"),
        Field::attr("time_limit", Scalar::Duration, "No answer after so long is a failure.")
            .default("5 s")
            .example("2 s"),
        Field::attr(
            "delay",
            Scalar::Duration,
            "The first question is asked so long after the start.",
        )
        .default("0 s")
        .example("30 s"),
        Field::attr("failures", COUNT, "So many failures in a row are unhealthy.")
            .default("3")
            .example("5"),
        Field::attr("successes", COUNT, "So many successes in a row are healthy again.")
            .default("1")
            .example("2"),
    ],
    rest: None,
    foreign: false,
};
