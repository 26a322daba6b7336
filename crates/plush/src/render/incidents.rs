//! Incidents, which are not failures, grouped by kind: restarts, failed probes, replacements.
//! Not failures: `summary` groups these by cause.

use crate::duration;
use crate::render::{names, text};
use plush_protocol::view::RunView;
use std::collections::BTreeSet;

/// Maximum number of characters for host names.
const HOSTS_WIDTH: usize = 100;

/// Maximum number of lines shown; the rest is counted.
const SHOWN: usize = 20;

/// The same incident on some hosts, once or repeatedly.
pub struct Group<'a> {
    /// `restart`, `probe`, `replace`.
    pub operation: &'a str,
    /// What happened and why; escaped for a terminal.
    pub text: String,
    /// The hosts.
    pub hosts: BTreeSet<&'a str>,
    times: usize,
    last_ms: u64,
}

impl Group<'_> {
    /// The incident, its count and the time of the last one.
    pub fn words(&self) -> String {
        let last = duration::show_ms(self.last_ms);
        match self.times {
            1 => format!("{} (at {last})", self.text),
            times => format!("{} ({times} times, the last at {last})", self.text),
        }
    }
}

/// Groups incidents by text, in the order of their first occurrence.
pub fn grouped(view: &RunView) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for incident in &view.incidents {
        let (operation, text) = (incident.operation.as_str(), incident.text.to_string());
        match groups.iter_mut().find(|g| g.operation == operation && g.text == text) {
            Some(group) => {
                group.hosts.insert(&incident.host);
                (group.times, group.last_ms) = (group.times + 1, incident.at_ms);
            }
            None => groups.push(Group {
                operation,
                text,
                hosts: BTreeSet::from([incident.host.as_str()]),
                times: 1,
                last_ms: incident.at_ms,
            }),
        }
    }
    groups
}

/// The section of a summary, each line with its newline; only the newest groups where there are
/// many.
pub fn section(view: &RunView) -> String {
    let groups = grouped(view);
    if groups.is_empty() {
        return String::new();
    }
    let left_out = groups.len().saturating_sub(SHOWN);
    let mut page = "incidents\n".to_owned();
    if left_out > 0 || view.forgotten_incidents > 0 {
        page.push_str("  the newest; `plush status --json` and the log have more\n");
    }
    for group in groups.iter().skip(left_out) {
        let hosts: Vec<&str> = group.hosts.iter().copied().collect();
        let named = names::fold_within(&hosts, HOSTS_WIDTH);
        let operation = text::shown(group.operation);
        page.push_str(&format!(
            "  {named} ({})\n    {operation}: {}\n",
            hosts.len(),
            group.words().replace('\n', "\n      ")
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;
    use plush_protocol::Incident;
    use plush_protocol::tainted::Tainted;

    #[test]
    fn equal_incidents_are_told_once_with_their_hosts_how_often_and_when_last() {
        let mut view = samples::complete();
        assert_eq!(section(&view), "");
        let incident = |at_ms, host: &str, operation: &str, text: &str| Incident {
            at_ms,
            host: host.into(),
            operation: operation.into(),
            text: Tainted::new(text),
        };
        let restart = "`web` exited with code 3 and is started again";
        view.incidents = vec![
            incident(1_000, "h1", "restart", restart),
            incident(4_000, "h2", "restart", restart),
            incident(5_000, "h6", "replace", "steps in for h3 in cluster `all`"),
            incident(83_000, "h1", "restart", restart),
        ];
        let told = "incidents\n  h[1-2] (2)\n    restart: `web` exited with code 3 and is started again \
                    (3 times, the last at 1 min 23 s)\n  h6 (1)\n    replace: steps in for h3 in cluster `all` \
                    (at 5.0 s)\n";
        assert_eq!(section(&view), told);
    }
}
