//! The words of a project, its resources, software and clusters.
//! Words of what a cluster does are with the process.

use super::*;

pub(crate) static PROJECT: Record = Record {
    name: "project",
    doc: "The whole of a description. Three lines are enough: `project`, `hosts` and `run`.",
    short: None,
    fields: &[
        Field::attr("plush", Scalar::Whole(1, 1), "The version of the language.").default("1").example("1"),
        Field::attr("project", Scalar::Name, "The project's name.").required().example("gossip"),
        Field::dict("variables", "variable", &Kind::Scalar(Scalar::Raw), "Variables with their defaults; `--set name=value` overrides them, `${name}` is replaced by their value, once.")
            .literal()
            .example("{seconds: 300}"),
        Field::list("resources", Xml::Wrapped("resources", "resource"), &Kind::Record(&RESOURCE), "Where hosts come from, for clusters that name no resources.")
            .example("[{type: ssh, hosts: \"node[01-60]\"}]"),
        Field::dict("software", "software", &Kind::Record(&SOFTWARE), "What can be installed, by name.")
            .example("{gossip: {type: tar, package: build/gossip.tar.gz}}"),
        Field::dict("clusters", "cluster", &Kind::Record(&CLUSTER), "Groups of hosts that do the same, by name.")
            .example("{peers: {num_hosts: 50, run: ./gossip}}"),
        Field::dict("barriers", "barrier", &Kind::Record(&NAMED_BARRIER), "Barriers by name; one name is one barrier, whichever clusters use it.")
            .example("{round: {entry: {percent: 90}}}"),
        Field::dict("applications", "application", &Kind::Record(&APPLICATION), "What can be run, by name; without any, all clusters together.")
            .example("{demo: {clusters: [peers]}}"),
        Field::list("callbacks", Xml::Items("callback"), &Kind::Record(&CALLBACK), "Local programs that are told of events.")
            .example("[{event: run_ended, command: [./notify]}]"),
        Field::elem("hosts", Scalar::Hosts, "Short form: the hosts of the only cluster, reached by SSH.").example("node[01-50].example.org"),
        Field::elem("run", Scalar::Line, "Short form: the line that the only cluster runs.").task().example("./hello --rank ${rank}"),
        Field::record("num_hosts", &NUM_HOSTS, "Short form: how many hosts the only cluster has.").example("50"),
        Field::list("outputs", Xml::Items("output"), &Kind::Scalar(Scalar::Within), "Short form: what the only cluster brings home.").task().example("[result.txt]"),
    ],
    rest: None,
    foreign: true,
};

pub(crate) static APPLICATION: Record = Record {
    name: "application",
    doc: "Something that can be run: a choice of clusters.",
    short: Some("clusters"),
    fields: &[
        Field::list(
            "clusters",
            Xml::Items("cluster"),
            &Kind::Scalar(Scalar::Name),
            "The clusters that take part.",
        )
        .default("all")
        .example("[peers]"),
        Field::record("service", &SERVICE, "How it is kept up, for clusters that do not say.")
            .example("service"),
        Field::record(
            "on_failure",
            &ON_FAILURE,
            "What to do on failure, for clusters that do not say.",
        )
        .example("{host: replace}"),
    ],
    rest: None,
    foreign: true,
};

pub(crate) static RESOURCE: Record = Record {
    name: "resource",
    doc: "A source of hosts. A bare text is a host set reached by SSH.",
    short: Some("hosts"),
    fields: &[
        Field::attr("type", Scalar::Name, "The provider: `ssh`, `local`, `lab`, `inventory`, `plab`, `slurm` or a plug-in's name.").default("ssh").example("ssh"),
        Field::attr("group", Scalar::Word, "A group that the provider knows: a slice, a group of an inventory or directory.").example("ucsd_3"),
        Field::attr("hosts", Scalar::Hosts, "The hosts, as a host set.").example("node[01-60].example.org"),
        Field::attr("prefer", Scalar::Hosts, "Hosts to take first.").example("node[01-10].example.org"),
        Field::attr("exclude", Scalar::Hosts, "Hosts never to take.").example("node07.example.org"),
        Field::attr("file", Scalar::Path, "A file that lists the hosts: a directory file.").example("hosts.xml"),
        Field::attr("user", Scalar::Word, "The account on the hosts.").example("ucsd_3"),
        Field::attr("port", PORT, "The port of the hosts.").example("22"),
        Field::attr("partition", Scalar::Word, "The partition of a batch system.").example("batch"),
        Field::attr("lease", Scalar::Duration, "How long the hosts are asked for.").example("4 h"),
        Field::dict("options", "option", &Kind::Scalar(Scalar::Raw), "Settings that only the provider understands.").example("{account: physics}"),
    ],
    rest: None,
    foreign: true,
};

pub(crate) static SOFTWARE: Record = Record {
    name: "software",
    doc: "Something to install.",
    short: None,
    fields: &[
        Field::attr("type", Scalar::Choice(&["none", "tar", "zip", "script", "system"]), "The installer: `none` leaves packages as they are, `tar` and `zip` unpack, `script` runs the package, `system` asks the host's package manager.")
            .default("none").example("tar"),
        Field::list("packages", Xml::Items("package"), &Kind::Record(&PACKAGE), "What is fetched, in this order.").alias(&["package"]).example("[{type: web, path: \"https://dist.example.org/dht.tgz\"}]"),
        Field::elem("dest_path", Scalar::Within, "Where it is installed, below the run's directory on the host.").default("the run's directory").example("opt/demo"),
        Field::attr("strip", Scalar::Whole(0, 64), "Leading path components to drop when unpacking.").default("0").example("1"),
        Field::list("templates", Xml::Items("template"), &Kind::Record(&TEMPLATE), "Files rendered per host.").example("[{path: conf.in, dest_path: conf}]"),
    ],
    rest: None,
    foreign: true,
};

pub(crate) static PACKAGE: Record = Record {
    name: "package",
    doc: "Something to fetch. A bare text is its path.",
    short: Some("path"),
    fields: &[
        Field::attr("name", Scalar::Word, "Its name, which is the name of the file.").default("the last part of the path").example("demo.tar"),
        Field::attr("type", Scalar::Choice(&["web", "push", "rsync", "scp", "git"]), "How it is fetched: by the host from a `web` server, by a `push` of a file or directory from the controller, or by the host's `rsync`, `scp` or `git`.")
            .default("web for a URL, push for anything else").example("web"),
        Field::elem("path", Scalar::Path, "From where: a URL, a path on the controller, `host:path`, a repository; for `system`, the name of a package.").required().example("https://dist.example.org/dht.tgz"),
        Field::elem("dest_path", Scalar::Within, "Where it is put, below the software's destination: a file under its own name in that directory, a directory or repository with its contents in it.").example("data"),
        Field::attr("sha256", Scalar::Sha256, "The SHA-256 it must have.").example("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        Field::attr("strip", Scalar::Whole(0, 64), "Leading path components to drop when unpacking.").default("as the software says").example("1"),
        Field::attr("revision", Scalar::Word, "The commit, branch or tag of a repository.").example("v1.2"),
        Field::attr("size_limit", Scalar::Size, "More bytes than these are refused.").example("2 GiB"),
        Field::attr("time_limit", Scalar::Duration, "A fetch that takes longer has failed.").example("10 min"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static TEMPLATE: Record = Record {
    name: "template",
    doc: "A file rendered per host.",
    short: None,
    fields: &[
        Field::elem("path", Scalar::Path, "The template, beside the description.")
            .required()
            .example("conf.in"),
        Field::elem("dest_path", Scalar::Within, "The file on the host.")
            .required()
            .task()
            .example("etc/conf"),
        Field::attr("mode", Scalar::Mode, "Its permissions, in octal.")
            .default("644")
            .example("\"600\""),
        Field::attr(
            "on_change",
            Scalar::OnChange,
            "What follows when another host serves in a place and the text would be another: the file is replaced; with a signal (any of `kill -l` up to `SYS`), the cluster's processes on the host get it then.",
        )
        .default("nothing")
        .example("HUP"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static CLUSTER: Record = Record {
    name: "cluster",
    doc: "Hosts that are chosen alike, get the same software and do the same.",
    short: None,
    fields: &[
        Field::attr(
            "configuration",
            Scalar::Name,
            "The configuration of the early vocabulary that it was written in.",
        )
        .example("demo_conf"),
        Field::record("num_hosts", &NUM_HOSTS, "How many hosts.")
            .default("all, where resources name their hosts")
            .example("{wanted: 50, min: 45, spare: 5}"),
        Field::record("requirement", &REQUIREMENT, "What is asked of each host, and among them.")
            .example("{cpus: \">= 2\"}"),
        Field::list(
            "software",
            Xml::Items("software"),
            &Kind::Scalar(Scalar::Name),
            "The software that its hosts get, in this order.",
        )
        .example("[gossip]"),
        Field::list(
            "resources",
            Xml::Wrapped("resources", "resource"),
            &Kind::Record(&RESOURCE),
            "Where its hosts come from.",
        )
        .default("the project's")
        .example("[{type: slurm, partition: batch}]"),
        Field::new(
            "env",
            Kind::Dict("name", Scalar::EnvName, &Kind::Scalar(Scalar::Raw)),
            Xml::Items("env"),
            "Environment of all its processes.",
        )
        .task()
        .example("{LANG: C}"),
        Field::record("prepare", &BARRIER, "The barrier around the preparation of software. Hosts begin as they come unless `entry` says when; its `release` is `adaptive` where none is said, and `all` in a cluster without software.")
            .default("{release: adaptive}")
            .example("{release: {inside: 20}}"),
        Field::record("ready", &BARRIER, "The barrier before the processes start.")
            .default("all, let go at once")
            .example("{entry: {percent: 90}}"),
        Field::list(
            "after",
            Xml::Items("predecessor"),
            &Kind::Scalar(Scalar::Name),
            "Clusters whose execution must be done first.",
        )
        .example("[servers]"),
        Field::new(
            "execution",
            Kind::Steps,
            Xml::Element,
            "What its hosts do: steps in the order of the document.",
        )
        .example("[{process: gossip, run: ./gossip}]"),
        Field::elem("run", Scalar::Line, "Short form: the only process is this line.")
            .task()
            .example("./gossip"),
        Field::record("on_failure", &ON_FAILURE, "What to do on failure.")
            .example("{host: replace}"),
        Field::record("service", &SERVICE, "How it is kept up.")
            .default("as the application says")
            .example("{class: service, reconnect_interval: 60 s}"),
        Field::list(
            "outputs",
            Xml::Items("output"),
            &Kind::Scalar(Scalar::Within),
            "Files to bring home from each host: globs below the run's directory, `{a,b}` for either; a directory that is named without a glob is brought with all that is beneath it.",
        )
        .task()
        .example("[logs/*.csv]"),
        Field::list(
            "cleanup",
            Xml::Items("cleanup"),
            &Kind::Record(&COMMAND),
            "Commands to run at the end on each host whose preparation was begun; where that did not come to its end they cannot fail.",
        )
        .example("[rm -rf /tmp/scratch]"),
    ],
    rest: None,
    foreign: true,
};

pub(crate) static NUM_HOSTS: Record = Record {
    name: "num_hosts",
    doc: "How many hosts a cluster has. A bare value is `wanted`.",
    short: Some("wanted"),
    fields: &[
        Field::attr(
            "wanted",
            Scalar::CountOrAll,
            "What is aimed at: a number, or `all` that are offered.",
        )
        .default("max, else min")
        .example("50"),
        Field::attr("min", Scalar::CountOrShare(1), "So many are enough; with fewer the run ends.")
            .default("wanted for the exit code, 1 to go on")
            .example("45"),
        Field::attr("max", COUNT, "Never more than these.").example("60"),
        Field::attr(
            "spare",
            Scalar::CountOrShare(0),
            "Hosts kept ready beside those, to replace lost ones.",
        )
        .default("0")
        .example("5"),
    ],
    rest: None,
    foreign: false,
};

pub(crate) static CALLBACK: Record = Record {
    name: "callback",
    doc: "A program that is told of events; it gets each as JSON on standard input. It must be trusted before it runs.",
    short: None,
    fields: &[
        Field::attr(
            "event",
            Scalar::Choice(&[
                "run_started",
                "barrier_opened",
                "process_failed",
                "host_lost",
                "host_replaced",
                "run_ended",
            ]),
            "The kind of event.",
        )
        .required()
        .example("host_lost"),
        Field::list(
            "command",
            Xml::Wrapped("command", "arg"),
            &Kind::Scalar(Scalar::Raw),
            "Program and arguments.",
        )
        .required()
        .example("[./notify, --quiet]"),
        Field::attr("at", Scalar::Choice(&["controller", "host"]), "Where it runs.")
            .default("controller")
            .example("host"),
        Field::attr("time_limit", Scalar::Duration, "After so long it is given up.")
            .default("10 s")
            .example("30 s"),
    ],
    rest: None,
    foreign: false,
};
