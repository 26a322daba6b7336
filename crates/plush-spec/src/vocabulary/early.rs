//! The words of the original XML that the newer vocabulary has no more: they are understood for ever.
//! They are turned into the newer ones before anything else looks at them.

/// An element of the early vocabularies.
pub(crate) struct EarlyRecord {
    pub name: &'static str,
    pub within: &'static str,
    pub doc: &'static str,
    pub attributes: &'static [&'static str],
    pub elements: &'static [&'static str],
}

/// Every element of the early vocabularies.
pub(crate) static EARLY_RECORDS: [EarlyRecord; 15] = [
    EarlyRecord {
        name: "configuration",
        within: "project",
        doc: "Clusters and their resources; becomes the `configuration` of each cluster.",
        attributes: &["name"],
        elements: &["cluster", "resources"],
    },
    EarlyRecord {
        name: "component",
        within: "project",
        doc: "A cluster of the later vocabulary.",
        attributes: &["name"],
        elements: &["rspec", "software", "resources"],
    },
    EarlyRecord {
        name: "experiment",
        within: "project",
        doc: "An application of the later vocabulary.",
        attributes: &["name", "service", "reconnect_interval"],
        elements: &["execution"],
    },
    EarlyRecord {
        name: "application_block",
        within: "project",
        doc: "The same as `experiment`.",
        attributes: &["name", "service", "reconnect_interval"],
        elements: &["execution"],
    },
    EarlyRecord {
        name: "execution",
        within: "experiment, application",
        doc: "In an application: which configurations or component blocks run.",
        attributes: &[],
        elements: &["configuration", "component_block"],
    },
    EarlyRecord {
        name: "component_block",
        within: "execution",
        doc: "What the hosts of a component do; becomes the `execution` of the cluster. Children without predecessor start together.",
        attributes: &["name"],
        elements: &["component", "process_block", "barrier_block", "workflow_block", "predecessor"],
    },
    EarlyRecord {
        name: "process_block",
        within: "component_block",
        doc: "A step that runs a process.",
        attributes: &["name"],
        elements: &["process", "predecessor"],
    },
    EarlyRecord {
        name: "barrier_block",
        within: "component_block",
        doc: "A step that enters a barrier.",
        attributes: &["name"],
        elements: &["barrier", "predecessor"],
    },
    EarlyRecord {
        name: "workflow_block",
        within: "component_block",
        doc: "A step that works through a list.",
        attributes: &["name"],
        elements: &["workflow", "predecessor"],
    },
    EarlyRecord {
        name: "predecessor",
        within: "any block",
        doc: "A step that must be done first.",
        attributes: &["name"],
        elements: &[],
    },
    EarlyRecord {
        name: "rspec",
        within: "cluster, component",
        doc: "How many hosts, and what is asked of them.",
        attributes: &[],
        elements: &["num_hosts", "sword", "request", "requirement"],
    },
    EarlyRecord {
        name: "sword",
        within: "rspec",
        doc: "Holds a SWORD request.",
        attributes: &[],
        elements: &["request"],
    },
    EarlyRecord {
        name: "request",
        within: "sword, rspec",
        doc: "A SWORD request; becomes the requirement.",
        attributes: &[],
        elements: &["group", "constraint", "dist_query_budget", "optimizer_budget"],
    },
    EarlyRecord {
        name: "group",
        within: "request",
        doc: "A group of hosts: `name`, `num_machines`, and attributes as `abs_min, ideal_min, ideal_max, abs_max, penalty` or `<value>TEXT, PENALTY</value>`.",
        attributes: &["name"],
        elements: &["name", "num_machines"],
    },
    EarlyRecord {
        name: "constraint",
        within: "request",
        doc: "Attributes of pairs of hosts of the groups in `group_names`.",
        attributes: &[],
        elements: &["group_names"],
    },
];

/// The early element of that name.
pub(crate) fn early_record(name: &str) -> Option<&'static EarlyRecord> {
    EARLY_RECORDS.iter().find(|r| r.name == name)
}
