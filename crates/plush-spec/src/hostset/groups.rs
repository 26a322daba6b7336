//! Where the names of groups and the list of all hosts come from.
//!
//! Not the reading of group files: whoever reads one fills a [`StaticGroups`].

use std::collections::BTreeMap;

/// Resolves `@group`, `@*`, `@@source` and wildcards. Answers are host set texts, which may name groups themselves.
///
/// `source` is the name before the colon of `@source:group`, none for the default source.
pub trait Groups {
    /// The hosts of a group, or none when there is no such group (or source).
    fn nodes(&self, source: Option<&str>, group: &str) -> Option<String>;

    /// Every host that a source knows, or none when it cannot say.
    fn all(&self, source: Option<&str>) -> Option<String>;

    /// The names of a source's groups, or none when there is no such source.
    fn list(&self, source: Option<&str>) -> Option<Vec<String>>;
}

/// No groups at all: `@anything` and wildcards are errors.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGroups;

impl Groups for NoGroups {
    fn nodes(&self, _source: Option<&str>, _group: &str) -> Option<String> {
        None
    }

    fn all(&self, _source: Option<&str>) -> Option<String> {
        None
    }

    fn list(&self, _source: Option<&str>) -> Option<Vec<String>> {
        None
    }
}

/// Groups held in memory, by source. A group named `all` is the list of all hosts; without it, that list is every group's union.
#[derive(Clone, Debug, Default)]
pub struct StaticGroups {
    unnamed: BTreeMap<String, String>,
    sources: BTreeMap<String, BTreeMap<String, String>>,
}

impl StaticGroups {
    /// No group yet.
    pub fn new() -> StaticGroups {
        StaticGroups::default()
    }

    /// Adds (or replaces) a group of the default source.
    #[must_use]
    pub fn with(mut self, group: &str, nodes: &str) -> StaticGroups {
        self.insert(None, group, nodes);
        self
    }

    /// Adds (or replaces) a group of a source; `None` is the default source.
    pub fn insert(&mut self, source: Option<&str>, group: &str, nodes: &str) {
        let groups = match source {
            None => &mut self.unnamed,
            Some(source) => self.sources.entry(source.to_owned()).or_default(),
        };
        groups.insert(group.to_owned(), nodes.to_owned());
    }

    fn source(&self, source: Option<&str>) -> Option<&BTreeMap<String, String>> {
        match source {
            None => Some(&self.unnamed),
            Some(source) => self.sources.get(source),
        }
    }
}

impl Groups for StaticGroups {
    fn nodes(&self, source: Option<&str>, group: &str) -> Option<String> {
        self.source(source)?.get(group).cloned()
    }

    fn all(&self, source: Option<&str>) -> Option<String> {
        let groups = self.source(source)?;
        if let Some(all) = groups.get("all") {
            return Some(all.clone());
        }
        if groups.is_empty() {
            return None;
        }
        // Each group is reached by its name: its own operators must not act upon its neighbours.
        Some(groups.keys().map(|name| reference(source, name)).collect::<Vec<_>>().join(","))
    }

    fn list(&self, source: Option<&str>) -> Option<Vec<String>> {
        Some(self.source(source)?.keys().cloned().collect())
    }
}

fn reference(source: Option<&str>, group: &str) -> String {
    match source {
        None => format!("@{group}"),
        Some(source) => format!("@{source}:{group}"),
    }
}
