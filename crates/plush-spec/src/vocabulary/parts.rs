//! The words of requirements, barriers, services and reactions: what several records share.
//! Words of projects and processes are elsewhere.

use super::*;

static CONDITION_FIELD: Field = Field {
    key: "condition",
    kind: Kind::Dict("fact", Scalar::Name, &Kind::Record(&CONDITION)),
    xml: Xml::Items("condition"),
    aliases: &[],
    required: false,
    default: "",
    doc: "A condition on a fact: `cpus`, `memory`, `free_disk`, `load`, `kernel`, `architecture`, `latency` and others.",
    example: "cpus: \">= 2\"",
    variables: Variables::Project,
};

pub(crate) static REQUIREMENT: Record = Record {
    name: "requirement",
    doc: "What is asked of hosts. Every key that is not listed is a fact, its value a condition.",
    short: None,
    fields: &[
        Field::new(
            "between",
            Kind::Dict("fact", Scalar::Name, &Kind::Record(&CONDITION)),
            Xml::Wrapped("between", "condition"),
            "Conditions on each pair of the cluster's hosts.",
        )
        .example("{latency: \"<= 50 ms\"}"),
        Field::list(
            "expressions",
            Xml::Items("expression"),
            &Kind::Scalar(Scalar::Text),
            "Expressions over facts, all of which must be true.",
        )
        .example("[\"cpus * 2 > load\"]"),
        Field::dict(
            "groups",
            "group",
            &Kind::Record(&GROUP),
            "Groups within the cluster, with conditions of their own.",
        )
        .example("{west: {num_hosts: 5, region: west}}"),
        Field::list(
            "constraints",
            Xml::Items("constraint"),
            &Kind::Record(&CONSTRAINT),
            "Conditions on pairs of hosts of different groups.",
        )
        .example("[{groups: [west, east], latency: \"<= 90 ms\"}]"),
    ],
    rest: Some(&CONDITION_FIELD),
    foreign: false,
};

pub(crate) static CONDITION: Record = Record {
    name: "condition",
    doc: "A condition on a fact. A bare value is `is`. Outside the absolute bounds a host is excluded, within the ideal bounds it is free, between them the penalty is charged per unit.",
    short: Some("is"),
    fields: &[
        Field::attr(
            "is",
            Scalar::Condition,
            "The condition in short: `>= 2`, `<= 50 ms`, `1 .. 4`, `4`, `Linux`, `x86*`.",
        )
        .example("\">= 1 GiB\""),
        Field::attr("abs_min", Scalar::Quantity, "The least allowed.").example("1"),
        Field::attr("ideal_min", Scalar::Quantity, "The least that costs nothing.")
            .default("abs_min")
            .example("2"),
        Field::attr("ideal_max", Scalar::Quantity, "The most that costs nothing.")
            .default("abs_max")
            .example("8"),
        Field::attr("abs_max", Scalar::Quantity, "The most allowed.").example("16"),
        Field::attr(
            "penalty",
            Scalar::Number,
            "The charge per unit between ideal and absolute; for a text, when it differs.",
        )
        .default("0")
        .example("0.5"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static GROUP: Record = Record {
    name: "group",
    doc: "A group of hosts within a cluster. Every key that is not listed is a fact.",
    short: None,
    fields: &[
        Field::attr("num_hosts", Scalar::CountOrAll, "How many hosts.").required().example("5"),
        Field::new(
            "between",
            Kind::Dict("fact", Scalar::Name, &Kind::Record(&CONDITION)),
            Xml::Wrapped("between", "condition"),
            "Conditions on each pair of the group's hosts.",
        )
        .example("{latency: \"<= 50 ms\"}"),
    ],
    rest: Some(&CONDITION_FIELD),
    foreign: false,
};

pub(crate) static CONSTRAINT: Record = Record {
    name: "constraint",
    doc: "Conditions on pairs of hosts of different groups. Every key that is not listed is a fact.",
    short: None,
    fields: &[Field::list(
        "groups",
        Xml::Items("group"),
        &Kind::Scalar(Scalar::Name),
        "The groups.",
    )
    .required()
    .example("[west, east]")],
    rest: Some(&CONDITION_FIELD),
    foreign: false,
};

pub(crate) static BARRIER: Record = Record {
    name: "barrier",
    doc: "How a barrier works: when it opens, and how those inside are let go.",
    short: None,
    fields: &[
        Field::record("entry", &ENTRY, "When it opens.")
            .default("all")
            .example("{percent: 90, timeout: 60 s}"),
        Field::record("release", &RELEASE, "How those inside are let go.")
            .default("all")
            .example("adaptive"),
        Field::attr(
            "late",
            Scalar::Choice(&["admit", "drop", "replace"]),
            "What becomes of late-comers.",
        )
        .default("admit")
        .example("drop"),
        Field::record("callback", &HOOK, "A program that may overrule.")
            .example("{command: [./decide]}"),
        Field::attr(
            "together",
            Scalar::Duration,
            "Those who are let go start at one instant, so long after it is decided; clocks are measured for it.",
        )
        .example("2 s"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static NAMED_BARRIER: Record = Record {
    name: "named_barrier",
    doc: "A barrier of the application: steps enter it, and programs by its name.",
    short: None,
    fields: &[
        Field::record("entry", &ENTRY, "When it opens.")
            .default("all")
            .example("{percent: 90, timeout: 60 s}"),
        Field::record("release", &RELEASE, "How those inside are let go.")
            .default("all")
            .example("adaptive"),
        Field::attr(
            "late",
            Scalar::Choice(&["admit", "drop", "replace"]),
            "What becomes of late-comers.",
        )
        .default("admit")
        .example("drop"),
        Field::record("callback", &HOOK, "A program that may overrule.")
            .example("{command: [./decide]}"),
        Field::attr(
            "together",
            Scalar::Duration,
            "Those who are let go start at one instant, so long after it is decided; clocks are measured for it.",
        )
        .example("2 s"),
        Field::list(
            "clusters",
            Xml::Items("member"),
            &Kind::Scalar(Scalar::Name),
            "Clusters whose programs enter it; besides those with a step that does.",
        )
        .default("all, if no step enters it")
        .example("[workers]"),
        Field::attr("per_host", COUNT, "How many programs of each host of these clusters enter it.")
            .default("1")
            .example("4"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static BARRIER_STEP: Record = Record {
    name: "barrier_step",
    doc: "A step that enters a barrier of the application and waits to be released. What is said about the barrier here may as well stand in `barriers`.",
    short: None,
    fields: &[
        Field::attr("id", Scalar::Name, "The step's name for `after`.")
            .default("the barrier's name")
            .example("meet"),
        Field::list(
            "after",
            Xml::Items("predecessor"),
            &Kind::Scalar(Scalar::Name),
            "Steps that must be done first.",
        )
        .default("the step before, or none in `parallel`")
        .example("[setup]"),
        Field::record("entry", &ENTRY, "When it opens.")
            .default("all")
            .example("{percent: 90, timeout: 60 s}"),
        Field::record("release", &RELEASE, "How those inside are let go.")
            .default("all")
            .example("adaptive"),
        Field::attr(
            "late",
            Scalar::Choice(&["admit", "drop", "replace"]),
            "What becomes of late-comers.",
        )
        .default("admit")
        .example("drop"),
        Field::record("callback", &HOOK, "A program that may overrule.")
            .example("{command: [./decide]}"),
        Field::attr(
            "together",
            Scalar::Duration,
            "Those who are let go start at one instant, so long after it is decided; clocks are measured for it.",
        )
        .example("2 s"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static ENTRY: Record = Record {
    name: "entry",
    doc: "When a barrier opens: as soon as one of these says so. A full house always opens it.",
    short: Some("rule"),
    fields: &[
        Field::attr("rule", Scalar::Choice(&["all"]), "`all`: only a full house.").example("all"),
        Field::attr("count", COUNT, "So many have entered.").example("48"),
        Field::record("percent", &PERCENT, "Such a share has entered.").example("90"),
        Field::attr(
            "timeout",
            Scalar::Duration,
            "So long after the first entry, whoever is there.",
        )
        .example("60 s"),
        Field::record("knee", &KNEE, "Arrivals have slowed down.")
            .example("{min_percent: 80, min_wait: 5 s}"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static PERCENT: Record = Record {
    name: "percent",
    doc: "A share of the members. A bare value is the share.",
    short: Some("share"),
    fields: &[
        Field::attr("share", Scalar::Percent, "From 0 to 100.").required().example("90"),
        Field::attr("min_wait", Scalar::Duration, "Not before so long after the first entry.")
            .default("0 s")
            .example("10 s"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static KNEE: Record = Record {
    name: "knee",
    doc: "A knee in the curve of arrivals: nobody has come for longer than the arrivals so far let expect.",
    short: Some("min_percent"),
    fields: &[
        Field::attr("min_percent", Scalar::Percent, "Knees before such a share are ignored.")
            .default("90")
            .example("80"),
        Field::attr("min_wait", Scalar::Duration, "Knees before this time are ignored.")
            .default("0 s")
            .example("5 s"),
        Field::attr(
            "weight",
            Scalar::Number,
            "The weight of the past in the running means, between 0 and 1.",
        )
        .default("0.75")
        .example("0.5"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static RELEASE: Record = Record {
    name: "release",
    doc: "How those inside are let go; first come, first served. Exactly one of `rule`, `count`, `percent`, `inside`, `rate`.",
    short: Some("rule"),
    fields: &[
        Field::attr("rule", Scalar::Choice(&["all", "adaptive", "median"]), "`all` at once; `adaptive` seeks the highest throughput; `median` is the rule of the original system.").example("adaptive"),
        Field::attr("count", COUNT, "So many at each tick.").example("5"),
        Field::attr("percent", Scalar::Percent, "Such a share at each tick.").example("10"),
        Field::attr("every", Scalar::Duration, "The tick of `count` and `percent`.").default("1 s").example("2 s"),
        Field::attr("inside", COUNT, "At most so many inside at a time.").example("8"),
        Field::attr("rate", Scalar::Number, "So many in a second.").example("2.5"),
        Field::attr("start", COUNT, "How many are let in at first, with `adaptive` and `median`.").default("8 with `adaptive`, 2 with `median`").example("4"),
        Field::attr("timeout", Scalar::Duration, "A place inside is free again after so long, even if nobody leaves; with `inside`, `adaptive` and `median`.").example("5 min"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static SERVICE: Record = Record {
    name: "service",
    doc: "How something is kept up. A bare value is the class.",
    short: Some("class"),
    fields: &[
        Field::attr("class", Scalar::Choice(&["batch", "attached", "service", "exclusive"]), "What holds without contact: `batch` goes on for a day, `attached` for two minutes, `service` for ever, `exclusive` for a minute and never runs twice.").default("batch").example("service"),
        Field::attr("reconnect_interval", Scalar::Duration, "How long to wait before a lost connection is tried again.").example("60 s"),
        Field::attr("stop_after", Scalar::Duration, "A host without contact stops its tasks after this.").default("by class").example("10 min"),
        Field::attr("replace_after", Scalar::Duration, "A host without contact is replaced after this.").default("by class").example("60 s"),
        Field::attr("on_return", Scalar::Choice(&["keep-original", "keep-new", "longest-running"]), "Who stays when a replaced host comes back.").default("keep-original").example("keep-new"),
        Field::attr("spread", Scalar::Name, "Spread over the values of this fact.").example("site"),
        Field::record("update", &BARRIER, "How a changed description is rolled out.").example("{release: {inside: 1}}"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static ON_FAILURE: Record = Record {
    name: "on_failure",
    doc: "What to do, by what failed.",
    short: None,
    fields: &[
        Field::record("process", &REACTION, "When a process fails.")
            .default("skip: what follows it on its host is not begun")
            .example("restart"),
        Field::record("host", &REACTION, "When a host is lost.")
            .default("replace where a spare is wanted or by class, else its place is kept")
            .example("replace"),
        Field::record("cluster", &REACTION, "When a cluster has fewer hosts than it needs.")
            .default("fail")
            .example("continue"),
        Field::record("application", &REACTION, "When the application cannot go on.")
            .default("fail")
            .example("fail"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static REACTION: Record = Record {
    name: "reaction",
    doc: "What to do. A bare value is `do`.",
    short: Some("do"),
    fields: &[
        Field::attr(
            "do",
            Scalar::Choice(&["continue", "restart", "replace", "drop", "fail"]),
            "Go on, start again, take another host, go on without it, or fail.",
        )
        .example("replace"),
        Field::record("call", &HOOK, "Ask a program, which answers with one of those.")
            .example("{command: [./decide]}"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static HOOK: Record = Record {
    name: "hook",
    doc: "A program to ask: it gets the event as JSON on standard input and answers in JSON. No shell sees its arguments.",
    short: Some("command"),
    fields: &[
        Field::list(
            "command",
            Xml::Wrapped("command", "arg"),
            &Kind::Scalar(Scalar::Raw),
            "Program and arguments.",
        )
        .required()
        .example("[./decide, --strict]"),
        Field::attr("at", Scalar::Choice(&["controller", "host"]), "Where it runs.")
            .default("controller")
            .example("host"),
        Field::attr("time_limit", Scalar::Duration, "After so long the default decision holds.")
            .default("10 s")
            .example("30 s"),
    ],
    rest: None,
    foreign: false,
};
