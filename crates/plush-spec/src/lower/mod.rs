//! A checked tree to the model.
//! Bad values were reported before and are left out here; what only shows when things come together is reported.

mod parts;
mod process;
mod project;
mod steps;

use crate::model::{Foreign, ForeignValue, Hosts, Name, Place, Reference};
use crate::report::Report;
use crate::source::Span;
use crate::substitute::{Scope, expand};
use crate::tree::node::{Entry, Node, Shape};
use crate::value::{self, Fault};

pub(crate) use project::{default_application, host_sets, project};
pub(crate) use steps::Ids;

/// What lowering needs: the report, and the project's variables.
pub(crate) struct Lower<'r, 's> {
    pub report: &'r mut Report<'s>,
    pub scope: &'r Scope<'r>,
}

impl Lower<'_, '_> {
    fn place(&self, span: &Span) -> Place {
        self.report.source.place(span.start)
    }

    /// A text of the plan: the project's variables are replaced.
    fn plain(&self, node: &Node) -> Option<String> {
        let text = node.as_text()?.trim();
        Some(expand(text, self.scope).unwrap_or_else(|_| text.to_string()))
    }

    /// The same, with surrounding white space.
    fn raw_plain(&self, node: &Node) -> String {
        let text = node.as_text().unwrap_or_default();
        expand(text, self.scope).unwrap_or_else(|_| text.to_string())
    }

    fn text(&self, node: &Node, key: &str) -> Option<String> {
        self.plain(node.get(key)?)
    }

    /// A text of a task: its variables are replaced when the task starts.
    fn task_text(&self, node: &Node, key: &str) -> Option<String> {
        Some(node.get(key)?.as_text()?.trim().to_string())
    }

    fn task_raw(&self, node: &Node, key: &str) -> Option<String> {
        Some(node.get(key)?.as_text()?.to_string())
    }

    /// A value of one of the little languages; `None` where it is absent or bad.
    fn value<T>(
        &self,
        node: &Node,
        key: &str,
        read: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        read(&self.text(node, key)?).ok()
    }

    fn whole<T: TryFrom<u64>>(&self, node: &Node, key: &str) -> Option<T> {
        self.value(node, key, |text| value::whole(text, 0, u64::MAX))
            .and_then(|v| T::try_from(v).ok())
    }

    fn duration_ms(&self, node: &Node, key: &str) -> Option<u64> {
        self.value(node, key, value::duration_ms)
    }

    fn size_bytes(&self, node: &Node, key: &str) -> Option<u64> {
        self.value(node, key, value::size_bytes)
    }

    fn name(&self, node: &Node) -> Option<Name> {
        Name::new(node.as_text()?.trim()).ok()
    }

    fn name_at(&self, node: &Node, key: &str) -> Option<Name> {
        self.name(node.get(key)?)
    }

    fn key_name(&self, entry: &Entry) -> Option<Name> {
        Name::new(entry.key.trim()).ok()
    }

    fn references(&self, node: &Node, key: &str) -> Vec<Reference> {
        let items = node.get(key).map_or(&[][..], Node::items);
        items
            .iter()
            .filter_map(|n| Some(Reference { name: self.name(n)?, place: self.place(&n.span) }))
            .collect()
    }

    fn hosts(&mut self, node: &Node, key: &str) -> Option<Hosts> {
        let node = node.get(key)?;
        let text = self.plain(node)?;
        let place = self.place(&node.span);
        Some(Hosts { text, place })
    }

    fn foreign(&self, node: &Node) -> Vec<Foreign> {
        let foreign = node.entries().iter().filter(|e| e.key.starts_with("x-"));
        foreign
            .map(|entry| {
                let namespace =
                    entry.value.get("@xmlns").and_then(Node::as_text).map(str::to_string);
                let mut value = foreign_value(&entry.value);
                if let (Some(_), ForeignValue::Map(entries)) = (&namespace, &mut value) {
                    entries.retain(|(key, _)| key != "@xmlns");
                }
                Foreign {
                    key: entry.key.clone(),
                    namespace,
                    value,
                    place: self.place(&entry.key_span),
                }
            })
            .collect()
    }
}

fn foreign_value(node: &Node) -> ForeignValue {
    match &node.shape {
        Shape::Null => ForeignValue::Text(String::new()),
        Shape::Text(text) => ForeignValue::Text(text.clone()),
        Shape::List(items) => ForeignValue::List(items.iter().map(foreign_value).collect()),
        Shape::Map(entries) => ForeignValue::Map(
            entries.iter().map(|e| (e.key.clone(), foreign_value(&e.value))).collect(),
        ),
    }
}

/// Position of a key of a map; that of the map where it has no such key.
pub(crate) fn key_span(node: &Node, key: &str) -> Span {
    let entry = node.entries().iter().find(|e| e.key == key);
    entry.map_or_else(|| node.span.clone(), |e| e.key_span.clone())
}

/// A record given by a bare value, as the map that it stands for.
pub(crate) fn full(node: &Node, short: &str) -> Node {
    match node.shape {
        Shape::Text(_) | Shape::List(_) => {
            let entry =
                Entry { key: short.to_string(), key_span: node.span.clone(), value: node.clone() };
            Node { span: node.span.clone(), shape: Shape::Map(vec![entry]) }
        }
        Shape::Map(_) | Shape::Null => node.clone(),
    }
}
