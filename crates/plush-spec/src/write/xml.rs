//! Trees to XML, in the words of today.
//! Which values are attributes and which are elements is the vocabulary's to say.

use crate::lower::full;
use crate::tree::node::{Entry, Node, Shape};
use crate::tree::shape::FOREIGN_NAMESPACE;
use crate::vocabulary::{
    Field, Kind, PROJECT, Record, STEP_COMMON, Scalar, StepHead, Xml, step_head,
};

/// The text of a project's tree.
pub(crate) fn write(root: &Node) -> String {
    let mut writer =
        Writer { out: String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"), depth: 0 };
    let version = root.get("plush").and_then(Node::as_text);
    writer.open("plush", &version.map(|v| ("version", v)).into_iter().collect::<Vec<_>>());
    let name = root.get("project").and_then(Node::as_text).unwrap_or_default();
    let rest: Vec<Entry> = root
        .entries()
        .iter()
        .filter(|e| !matches!(e.key.as_str(), "plush" | "project"))
        .cloned()
        .collect();
    writer.record("project", &[("name", name)], &Node::map(rest), &PROJECT);
    writer.close("plush");
    writer.out
}

struct Writer {
    out: String,
    depth: usize,
}

impl Writer {
    fn record(
        &mut self,
        element: &str,
        given: &[(&str, &str)],
        node: &Node,
        record: &'static Record,
    ) {
        let node = match (record.short, &node.shape) {
            (Some(short), Shape::Text(text)) => match record.field(short).map(|f| &f.kind) {
                Some(Kind::Scalar(scalar)) if scalar.is_exact() && text.trim().is_empty() => {
                    full(node, short)
                }
                Some(Kind::Scalar(_)) => return self.leaf(element, given, text),
                _ => full(node, short),
            },
            (Some(short), Shape::List(_)) => full(node, short),
            _ => node.clone(),
        };
        let mut attributes: Vec<(&str, &str)> = given.to_vec();
        let mut children: Vec<(&Entry, Option<&'static Field>)> = Vec::new();
        for entry in node.entries() {
            let field = record.field(&entry.key);
            match (field, &entry.value.shape) {
                (Some(field), Shape::Text(text)) if field.xml == Xml::Attribute => {
                    attributes.push((field.key, text))
                }
                (Some(_), Shape::Null) => {}
                (field, _) => children.push((entry, field)),
            }
        }
        if children.is_empty() {
            return self.empty(element, &attributes);
        }
        self.open(element, &attributes);
        for (entry, field) in children {
            match (field, record.rest) {
                (Some(field), _) => self.field(field, &entry.value),
                (None, _) if entry.key.starts_with("x-") => self.foreign(entry),
                (None, Some(rest)) => self.dict_entry(rest, rest.key, entry),
                (None, None) => {}
            }
        }
        self.close(element);
    }

    fn field(&mut self, field: &'static Field, value: &Node) {
        match &field.kind {
            Kind::Scalar(_) => self.leaf(field.key, &[], value.as_text().unwrap_or_default()),
            Kind::Record(record) => self.record(field.key, &[], value, record),
            Kind::Steps => {
                self.open(field.key, &[]);
                self.steps(value.items());
                self.close(field.key);
            }
            Kind::List(of) => self.list(field, of, value),
            Kind::Dict(..) => {
                let (wrapper, item) = names(field);
                self.wrapped(wrapper, |writer| {
                    value.entries().iter().for_each(|e| writer.dict_entry(field, item, e))
                });
            }
        }
    }

    fn list(&mut self, field: &'static Field, of: &'static Kind, value: &Node) {
        let (wrapper, item) = names(field);
        self.wrapped(wrapper, |writer| {
            for node in value.items() {
                match of {
                    Kind::Scalar(Scalar::Name) if field.key != "success_codes" => {
                        writer.empty(item, &[("name", node.as_text().unwrap_or_default())]);
                    }
                    Kind::Record(record) => writer.record(item, &[], node, record),
                    Kind::Scalar(_) | Kind::List(_) | Kind::Dict(..) | Kind::Steps => {
                        writer.leaf(item, &[], node.as_text().unwrap_or_default());
                    }
                }
            }
        });
    }

    fn dict_entry(&mut self, field: &'static Field, item: &str, entry: &Entry) {
        let Kind::Dict(key, _, of) = &field.kind else { return };
        let given = [(*key, entry.key.as_str())];
        match of {
            Kind::Record(record) => self.record(item, &given, &entry.value, record),
            Kind::Scalar(_) | Kind::List(_) | Kind::Dict(..) | Kind::Steps => {
                self.leaf(item, &given, entry.value.as_text().unwrap_or_default());
            }
        }
    }

    fn wrapped(&mut self, wrapper: Option<&str>, inner: impl FnOnce(&mut Writer)) {
        if let Some(wrapper) = wrapper {
            self.open(wrapper, &[]);
        }
        inner(self);
        if let Some(wrapper) = wrapper {
            self.close(wrapper);
        }
    }

    fn steps(&mut self, items: &[Node]) {
        for item in items {
            match &item.shape {
                Shape::List(inner) => {
                    self.open("sequence", &[]);
                    self.steps(inner);
                    self.close("sequence");
                }
                Shape::Map(entries) => self.step(entries),
                Shape::Null | Shape::Text(_) => {}
            }
        }
    }

    fn step(&mut self, entries: &[Entry]) {
        let Some((tag, head)) = entries.iter().find_map(|e| Some((e, step_head(&e.key)?))) else {
            return;
        };
        let others: Vec<Entry> = entries.iter().filter(|e| e.key != tag.key).cloned().collect();
        let rest = Node::map(others);
        match head {
            StepHead::Named(record) => {
                let name = tag.value.as_text().unwrap_or_default();
                self.record(&tag.key, &[("name", name)], &rest, record);
            }
            StepHead::Within(record) => {
                let id: Vec<(&str, &str)> = rest
                    .get("id")
                    .and_then(Node::as_text)
                    .map(|id| ("id", id))
                    .into_iter()
                    .collect();
                let mut all = tag.value.clone();
                let mut attributes = id;
                let mut inner = Vec::new();
                for entry in all.entries() {
                    match (record.field(&entry.key), entry.value.as_text()) {
                        (Some(field), Some(_)) if field.xml == Xml::Attribute => {}
                        _ => inner.push(entry.clone()),
                    }
                }
                let own = std::mem::replace(&mut all, Node::map(inner));
                for entry in own.entries() {
                    if let (Some(field), Some(text)) =
                        (record.field(&entry.key), entry.value.as_text())
                        && field.xml == Xml::Attribute
                    {
                        attributes.push((field.key, text));
                    }
                }
                self.open(&tag.key, &attributes);
                self.predecessors(&rest);
                for entry in all.entries() {
                    match record.field(&entry.key) {
                        Some(field) => self.field(field, &entry.value),
                        None => self.foreign(entry),
                    }
                }
                self.close(&tag.key);
            }
            StepHead::Steps => {
                let id: Vec<(&str, &str)> = rest
                    .get("id")
                    .and_then(Node::as_text)
                    .map(|id| ("id", id))
                    .into_iter()
                    .collect();
                self.open(&tag.key, &id);
                self.predecessors(&rest);
                self.steps(tag.value.items());
                self.close(&tag.key);
            }
        }
    }

    fn predecessors(&mut self, rest: &Node) {
        if let (Some(field), Some(after)) = (STEP_COMMON.field("after"), rest.get("after")) {
            self.field(field, after);
        }
    }

    /// A foreign value: as the element that it was, or described key by key.
    fn foreign(&mut self, entry: &Entry) {
        let namespace = entry.value.get("@xmlns").and_then(Node::as_text);
        let name = entry.key.trim_start_matches("x-");
        match namespace {
            Some(namespace)
                if is_xml_name(name)
                    && namespace != FOREIGN_NAMESPACE
                    && is_natural(&entry.value) =>
            {
                let rest =
                    entry.value.entries().iter().filter(|e| e.key != "@xmlns").cloned().collect();
                let declared = [("xmlns:x", namespace)];
                self.natural(&format!("x:{name}"), &declared, &Node::map(rest));
            }
            _ => {
                let given = [("xmlns:x", FOREIGN_NAMESPACE), ("key", entry.key.as_str())];
                self.described("x:entry", &given, &entry.value);
            }
        }
    }

    fn natural(&mut self, element: &str, given: &[(&str, &str)], node: &Node) {
        if let Shape::Text(text) = &node.shape {
            return self.leaf(element, given, text);
        }
        let mut attributes = given.to_vec();
        attributes.extend(
            node.entries()
                .iter()
                .filter_map(|e| Some((e.key.strip_prefix('@')?, e.value.as_text()?))),
        );
        let text = node.get("#text").and_then(Node::as_text);
        let children: Vec<&Entry> =
            node.entries().iter().filter(|e| !e.key.starts_with(['@', '#'])).collect();
        if children.is_empty() {
            return self.leaf(element, &attributes, text.unwrap_or_default());
        }
        self.open(element, &attributes);
        if let Some(text) = text {
            self.pad();
            self.out.push_str(&escape(text, false));
            self.out.push('\n');
        }
        for child in children {
            for value in child.value.items() {
                self.natural(&format!("x:{}", child.key), &[], value);
            }
        }
        self.close(element);
    }

    fn described(&mut self, element: &str, given: &[(&str, &str)], node: &Node) {
        let mut given = given.to_vec();
        match &node.shape {
            Shape::Text(text) => self.leaf(element, &given, text),
            Shape::Null => self.leaf(element, &given, ""),
            Shape::List(items) => {
                given.push(("is", "list"));
                self.open(element, &given);
                items.iter().for_each(|item| self.described("x:item", &[], item));
                self.close(element);
            }
            Shape::Map(entries) => {
                given.push(("is", "map"));
                self.open(element, &given);
                entries
                    .iter()
                    .for_each(|e| self.described("x:entry", &[("key", &e.key)], &e.value));
                self.close(element);
            }
        }
    }

    fn pad(&mut self) {
        self.out.extend(std::iter::repeat_n("  ", self.depth));
    }

    fn start(&mut self, element: &str, attributes: &[(&str, &str)]) {
        self.pad();
        self.out.push('<');
        self.out.push_str(element);
        for (name, value) in attributes {
            self.out.push_str(&format!(" {name}=\"{}\"", escape(value, true)));
        }
    }

    fn open(&mut self, element: &str, attributes: &[(&str, &str)]) {
        self.start(element, attributes);
        self.out.push_str(">\n");
        self.depth += 1;
    }

    fn close(&mut self, element: &str) {
        self.depth -= 1;
        self.pad();
        self.out.push_str(&format!("</{element}>\n"));
    }

    fn empty(&mut self, element: &str, attributes: &[(&str, &str)]) {
        self.start(element, attributes);
        self.out.push_str("/>\n");
    }

    fn leaf(&mut self, element: &str, attributes: &[(&str, &str)], text: &str) {
        if text.is_empty() {
            return self.empty(element, attributes);
        }
        self.start(element, attributes);
        self.out.push_str(&format!(">{}</{element}>\n", escape(text, false)));
    }
}

fn names(field: &'static Field) -> (Option<&'static str>, &'static str) {
    match field.xml {
        Xml::Wrapped(wrapper, item) => (Some(wrapper), item),
        Xml::Items(item) => (None, item),
        Xml::Attribute | Xml::Element => (None, field.key),
    }
}

fn is_xml_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// Whether a foreign value has the form that an element gives.
fn is_natural(node: &Node) -> bool {
    node.entries().iter().all(|e| match e.key.strip_prefix('@') {
        Some(name) => is_xml_name(name) && e.value.as_text().is_some(),
        None if e.key == "#text" => {
            e.value.as_text().is_some_and(|t| t.trim() == t && !t.is_empty())
        }
        None => {
            let is_many = !matches!(&e.value.shape, Shape::List(items) if items.len() < 2);
            is_xml_name(&e.key) && is_many && e.value.items().iter().all(is_natural_child)
        }
    })
}

fn is_natural_child(node: &Node) -> bool {
    match &node.shape {
        Shape::Text(_) => true,
        Shape::Map(entries) => !entries.is_empty() && is_natural(node),
        Shape::Null | Shape::List(_) => false,
    }
}

fn escape(text: &str, in_attribute: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if in_attribute => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' if in_attribute => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
