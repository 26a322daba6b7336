//! Elements to nodes: XML is given the shape that YAML has from the start.
//! Only spelling is decided here; whether values are good is checked later, for both alike.

use super::element::{Attribute, Element};
use super::node::{Entry, Node, Shape};
use crate::report::Report;
use crate::value::{nearest, shown};
use crate::vocabulary::{
    Field, Kind, PROJECT, Record, STEP_COMMON, STEP_TAGS, Scalar, StepHead, Xml, elsewhere,
    step_head,
};
use std::collections::HashSet;

/// The namespace in which foreign keys without a namespace of their own are written.
pub(crate) const FOREIGN_NAMESPACE: &str = "urn:plush:foreign";

/// A project from the element `project`, which the early words have left.
pub(crate) fn project(
    element: &Element,
    version: Option<&Attribute>,
    report: &mut Report<'_>,
) -> Node {
    let mut shaper = Shaper { report, seen: HashSet::new(), maps: 0 };
    let mut entries = Vec::new();
    if let Some(version) = version {
        entries.push(attribute_entry("plush", version));
    }
    if let Some(name) = element.attribute("name") {
        entries.push(attribute_entry("project", name));
    }
    shaper.fields(element, &PROJECT, &["name"], &mut entries);
    Node { span: element.span.clone(), shape: Shape::Map(entries) }
}

fn attribute_entry(key: &str, attribute: &Attribute) -> Entry {
    Entry {
        key: key.to_string(),
        key_span: attribute.name_span.clone(),
        value: attribute_node(attribute),
    }
}

fn attribute_node(attribute: &Attribute) -> Node {
    Node { span: attribute.value_span.clone(), shape: Shape::Text(attribute.value.clone()) }
}

struct Shaper<'r, 's> {
    report: &'r mut Report<'s>,
    /// Keys that were given: of which map, in which field, which.
    seen: HashSet<(usize, &'static str, String)>,
    /// How many maps there were.
    maps: usize,
}

impl Shaper<'_, '_> {
    /// The fields of a record from attributes, children and text.
    fn fields(
        &mut self,
        element: &Element,
        record: &'static Record,
        taken: &[&str],
        entries: &mut Vec<Entry>,
    ) {
        self.maps += 1;
        let map = self.maps;
        for attribute in &element.attributes {
            self.attribute(element, attribute, record, taken, (map, entries));
        }
        for child in &element.children {
            self.child(element, child, record, (map, entries));
        }
        self.text(element, record, entries);
    }

    fn attribute(
        &mut self,
        element: &Element,
        attribute: &Attribute,
        record: &'static Record,
        taken: &[&str],
        (map, entries): (usize, &mut Vec<Entry>),
    ) {
        if let Some(namespace) = &attribute.namespace {
            let value = Node::map(vec![
                Entry::new("@xmlns", Node::text(namespace)),
                Entry::new("#text", Node::text(&attribute.value)),
            ]);
            entries.push(Entry {
                key: foreign_key(&attribute.name),
                key_span: attribute.name_span.clone(),
                value,
            });
            return;
        }
        if taken.contains(&attribute.name.as_str()) {
            return;
        }
        let field = record.fields.iter().find(|f| f.key == attribute.name && is_plain(&f.kind));
        match field {
            Some(field) => self.put(map, "", entries, attribute_entry(field.key, attribute)),
            None => {
                let words = record
                    .fields
                    .iter()
                    .filter(|f| is_plain(&f.kind))
                    .map(|f| f.key)
                    .chain(taken.iter().copied());
                let hint = match elsewhere(record.name, &attribute.name) {
                    Some((_, hint)) => Some(hint.to_string()),
                    None => unknown_hint(&attribute.name, words),
                };
                let message =
                    format!("`{}` has no attribute `{}`", element.name, shown(&attribute.name));
                self.report.error("unknown-attribute", &attribute.name_span, message, hint);
            }
        }
    }

    fn child(
        &mut self,
        element: &Element,
        child: &Element,
        record: &'static Record,
        (map, entries): (usize, &mut Vec<Entry>),
    ) {
        if let Some(entry) = foreign_element(child) {
            entries.push(entry);
            return;
        }
        let Some((field, is_wrapper)) = record.field_of_xml(&child.name) else {
            let hint = match elsewhere(record.name, &child.name) {
                Some((_, hint)) => Some(hint.to_string()),
                None => unknown_hint(&child.name, record.xml_words()),
            };
            let message = format!("`{}` has no element `{}`", element.name, shown(&child.name));
            self.report.error("unknown-element", &child.span, message, hint);
            return;
        };
        if is_wrapper {
            self.wrapper(child, field, (map, entries));
            return;
        }
        match &field.kind {
            Kind::List(of) => {
                let value = self.value(child, of);
                push_item(entries, field.key, child, value);
            }
            Kind::Dict(key, _, of) => {
                let is_rest = record.rest.is_some_and(|rest| std::ptr::eq(rest, field));
                let Some(entry) = self.dict_entry(child, key, of) else { return };
                match is_rest {
                    true => self.put(map, "", entries, entry),
                    false => {
                        let index = index_of(entries, field.key, child, Shape::Map(Vec::new()));
                        if let Shape::Map(inner) = &mut entries[index].value.shape {
                            self.put(map, field.key, inner, entry);
                        }
                    }
                }
            }
            Kind::Scalar(_) | Kind::Record(_) | Kind::Steps => {
                let value = self.value(child, &field.kind);
                let entry =
                    Entry { key: field.key.to_string(), key_span: child.span.clone(), value };
                self.put(map, "", entries, entry);
            }
        }
    }

    /// `<resources><resource/>...</resources>` and the like.
    fn wrapper(
        &mut self,
        wrapper: &Element,
        field: &'static Field,
        (map, entries): (usize, &mut Vec<Entry>),
    ) {
        let Xml::Wrapped(_, item) = field.xml else { return };
        let is_dict = matches!(field.kind, Kind::Dict(..));
        let empty = if is_dict { Shape::Map(Vec::new()) } else { Shape::List(Vec::new()) };
        let index = index_of(entries, field.key, wrapper, empty);
        for child in &wrapper.children {
            if !child.is(item) {
                let hint = unknown_hint(&child.name, [item]);
                self.report.error(
                    "unknown-element",
                    &child.span,
                    format!("`{}` has no element `{}`", wrapper.name, shown(&child.name)),
                    hint,
                );
                continue;
            }
            match &field.kind {
                Kind::Dict(key, _, of) => {
                    let Some(entry) = self.dict_entry(child, key, of) else { continue };
                    if let Shape::Map(inner) = &mut entries[index].value.shape {
                        self.put(map, field.key, inner, entry);
                    }
                }
                Kind::List(of) => {
                    let value = self.value(child, of);
                    if let Shape::List(items) = &mut entries[index].value.shape {
                        items.push(value);
                    }
                }
                Kind::Scalar(_) | Kind::Record(_) | Kind::Steps => {}
            }
        }
        self.no_text(wrapper);
        self.no_attributes(wrapper, &[]);
    }

    fn dict_entry(&mut self, element: &Element, key: &str, of: &'static Kind) -> Option<Entry> {
        let Some(name) = element.attribute(key) else {
            self.report.error(
                "missing",
                &element.span,
                format!("`{}` has no `{key}`", element.name),
                Some(format!("write `<{} {key}=\"...\">`", element.name)),
            );
            return None;
        };
        let value = match of {
            Kind::Record(record) => self.record(element, record, &[key]),
            Kind::Scalar(scalar) => self.scalar(element, *scalar, &[key]),
            Kind::List(_) | Kind::Dict(..) | Kind::Steps => self.value(element, of),
        };
        Some(Entry { key: name.value.clone(), key_span: name.value_span.clone(), value })
    }

    fn value(&mut self, element: &Element, kind: &'static Kind) -> Node {
        match kind {
            Kind::Scalar(scalar) => self.scalar(element, *scalar, &[]),
            Kind::Record(record) => self.record(element, record, &[]),
            Kind::Steps => self.steps(element, &[]),
            Kind::List(of) => Node {
                span: element.span.clone(),
                shape: Shape::List(vec![self.value(element, of)]),
            },
            Kind::Dict(..) => Node { span: element.span.clone(), shape: Shape::Map(Vec::new()) },
        }
    }

    fn record(&mut self, element: &Element, record: &'static Record, taken: &[&str]) -> Node {
        let mut entries = Vec::new();
        self.fields(element, record, taken, &mut entries);
        if let ([only], Some(short)) = (entries.as_mut_slice(), record.short)
            && only.key == short
            && only.key_span == element.span
            && matches!(only.value.shape, Shape::Text(_))
        {
            return std::mem::replace(&mut only.value, Node::text(""));
        }
        Node { span: element.span.clone(), shape: Shape::Map(entries) }
    }

    /// A plain value: the text, or for names the attribute `name`.
    fn scalar(&mut self, element: &Element, scalar: Scalar, taken: &[&str]) -> Node {
        for child in &element.children {
            let message =
                format!("`{}` holds a text, not an element `{}`", element.name, shown(&child.name));
            self.report.error("unknown-element", &child.span, message, None);
        }
        let named = (scalar == Scalar::Name).then(|| element.attribute("name")).flatten();
        if let Some(name) = named {
            self.no_attributes(element, &["name"]);
            self.no_text(element);
            return attribute_node(name);
        }
        self.no_attributes(element, if scalar == Scalar::Name { &["name"] } else { taken });
        let text = element.text();
        let text = if scalar.is_exact() { text.as_str() } else { text.trim() };
        let shape = match text.is_empty() && !scalar.is_exact() {
            true => Shape::Null,
            false => Shape::Text(text.to_string()),
        };
        Node { span: element.text_span(), shape }
    }

    fn steps(&mut self, element: &Element, taken: &[&str]) -> Node {
        let mut steps = Vec::new();
        for child in &element.children {
            if taken.contains(&child.name.as_str()) && child.namespace.is_none() {
                continue;
            }
            match step_head(&child.name).filter(|_| child.namespace.is_none()) {
                Some(head) => steps.push(self.step(child, head)),
                None => {
                    let hint = unknown_hint(&child.name, STEP_TAGS.iter().map(|(tag, _)| *tag));
                    self.report.error(
                        "unknown-element",
                        &child.span,
                        format!("`{}` is no step", shown(&child.name)),
                        hint,
                    );
                }
            }
        }
        self.no_text(element);
        if taken.is_empty() {
            self.no_attributes(element, &[]);
        }
        Node { span: element.span.clone(), shape: Shape::List(steps) }
    }

    fn step(&mut self, element: &Element, head: StepHead) -> Node {
        let mut entries = Vec::new();
        let tag =
            |value| Entry { key: element.name.clone(), key_span: element.span.clone(), value };
        match head {
            StepHead::Named(record) => {
                match element.attribute("name") {
                    Some(name) => entries.push(tag(attribute_node(name))),
                    None => {
                        entries.push(tag(Node { span: element.span.clone(), shape: Shape::Null }))
                    }
                }
                self.fields(element, record, &["name"], &mut entries);
            }
            StepHead::Within(record) => {
                let (common, own) = split_common(element);
                self.fields(&common, &STEP_COMMON, &[], &mut entries);
                let value = self.record(&own, record, &[]);
                entries.insert(0, tag(value));
            }
            StepHead::Steps => {
                let (common, own) = split_common(element);
                self.fields(&common, &STEP_COMMON, &[], &mut entries);
                let value = self.steps(&own, &["predecessor"]);
                self.no_attributes(&own, &[]);
                entries.insert(0, tag(value));
            }
        }
        Node { span: element.span.clone(), shape: Shape::Map(entries) }
    }

    fn text(&mut self, element: &Element, record: &'static Record, entries: &mut Vec<Entry>) {
        let text = element.text();
        if text.trim().is_empty() {
            return;
        }
        let short = record.short.and_then(|short| record.field(short));
        let Some(field) =
            short.filter(|f| is_short_in_xml(f) && entries.iter().all(|e| e.key != f.key))
        else {
            self.no_text(element);
            return;
        };
        let is_raw = matches!(field.kind, Kind::Scalar(scalar) if scalar.is_exact());
        let text = if is_raw { text.as_str() } else { text.trim() };
        let value = Node { span: element.text_span(), shape: Shape::Text(text.to_string()) };
        entries.push(Entry { key: field.key.to_string(), key_span: element.span.clone(), value });
    }

    fn no_text(&mut self, element: &Element) {
        for (text, span) in element.texts.iter().filter(|(text, _)| !text.trim().is_empty()) {
            let lead = text.len() - text.trim_start().len();
            let start = (span.start + lead).min(span.end);
            let end = span.end.saturating_sub(text.len() - text.trim_end().len()).max(start);
            let message =
                format!("the text `{}` means nothing in `{}`", shown(text.trim()), element.name);
            self.report.warning(
                "stray-text",
                &(start..end),
                message,
                Some("it is ignored; remove it or put it into an element".to_string()),
            );
        }
    }

    fn no_attributes(&mut self, element: &Element, taken: &[&str]) {
        for attribute in element
            .attributes
            .iter()
            .filter(|a| a.namespace.is_none() && !taken.contains(&a.name.as_str()))
        {
            let message =
                format!("`{}` has no attribute `{}`", element.name, shown(&attribute.name));
            self.report.error(
                "unknown-attribute",
                &attribute.name_span,
                message,
                unknown_hint(&attribute.name, taken.iter().copied()),
            );
        }
    }

    /// Adds an entry to a map, or to a field of it, unless it has been given.
    fn put(&mut self, map: usize, field: &'static str, entries: &mut Vec<Entry>, entry: Entry) {
        if self.seen.insert((map, field, entry.key.clone())) {
            entries.push(entry);
        } else {
            let message = format!("`{}` is given twice", shown(&entry.key));
            self.report.error(
                "duplicate-key",
                &entry.key_span,
                message,
                Some("keep one of them".to_string()),
            );
        }
    }
}

fn push_item(entries: &mut Vec<Entry>, key: &str, element: &Element, value: Node) {
    let index = index_of(entries, key, element, Shape::List(Vec::new()));
    if let Shape::List(items) = &mut entries[index].value.shape {
        items.push(value);
    }
}

/// The entry of a key, made where it is not there yet.
fn index_of(entries: &mut Vec<Entry>, key: &str, element: &Element, empty: Shape) -> usize {
    entries.iter().position(|e| e.key == key).unwrap_or_else(|| {
        let value = Node { span: element.span.clone(), shape: empty };
        entries.push(Entry { key: key.to_string(), key_span: element.span.clone(), value });
        entries.len() - 1
    })
}

/// Whether a field can be an attribute.
fn is_plain(kind: &Kind) -> bool {
    match kind {
        Kind::Scalar(_) => true,
        Kind::Record(record) => {
            record.short.and_then(|s| record.field(s)).is_some_and(is_short_in_xml)
        }
        Kind::List(_) | Kind::Dict(..) | Kind::Steps => false,
    }
}

/// Whether bare text in an element can stand for this field.
fn is_short_in_xml(field: &Field) -> bool {
    matches!(field.kind, Kind::Scalar(_))
}

/// What every step may have, apart from the rest.
fn split_common(element: &Element) -> (Element, Element) {
    let mut common = Element::new(&element.name, element.span.clone());
    let mut own = element.clone();
    common.attributes = element
        .attributes
        .iter()
        .filter(|a| a.name == "id" && a.namespace.is_none())
        .cloned()
        .collect();
    common.children = element.children.iter().filter(|c| c.is("predecessor")).cloned().collect();
    own.attributes.retain(|a| a.name != "id" || a.namespace.is_some());
    own.children.retain(|c| !c.is("predecessor"));
    (common, own)
}

pub(crate) fn unknown_hint<'w>(
    word: &str,
    words: impl IntoIterator<Item = &'w str>,
) -> Option<String> {
    let mut words: Vec<&str> = words.into_iter().collect();
    if let Some(word) = nearest(word, words.iter().copied()) {
        return Some(format!("did you mean `{word}`?"));
    }
    words.sort_unstable();
    words.dedup();
    (!words.is_empty()).then(|| format!("known here: {}", words.join(", ")))
}

fn foreign_key(name: &str) -> String {
    match name.starts_with("x-") {
        true => name.to_string(),
        false => format!("x-{name}"),
    }
}

/// An element of a foreign namespace as an entry under an `x-` key.
fn foreign_element(element: &Element) -> Option<Entry> {
    let namespace = element.namespace.as_ref()?;
    let mut value = match namespace == FOREIGN_NAMESPACE {
        true => foreign_plain(element),
        false => foreign_natural(element),
    };
    if namespace != FOREIGN_NAMESPACE {
        let own = std::mem::replace(
            &mut value.shape,
            Shape::Map(vec![Entry::new("@xmlns", Node::text(namespace))]),
        );
        if let Shape::Map(entries) = &mut value.shape {
            match own {
                Shape::Map(inner) => entries.extend(inner),
                Shape::Text(_) => {
                    entries.push(Entry::new("#text", Node { span: value.span.clone(), shape: own }))
                }
                Shape::List(_) | Shape::Null => {}
            }
        }
    }
    let described = element.attribute("key").filter(|_| namespace == FOREIGN_NAMESPACE);
    let key = foreign_key(described.map_or(&element.name, |key| &key.value));
    Some(Entry { key, key_span: element.span.clone(), value })
}

/// What was a YAML value: the attribute `is` says of which shape.
fn foreign_plain(element: &Element) -> Node {
    let shape = match element.attribute("is").map(|a| a.value.as_str()) {
        Some("list") => Shape::List(element.children.iter().map(foreign_plain).collect()),
        Some("map") => Shape::Map(
            element
                .children
                .iter()
                .map(|c| {
                    let key = c.attribute("key").map_or("", |a| a.value.as_str());
                    Entry {
                        key: key.to_string(),
                        key_span: c.span.clone(),
                        value: foreign_plain(c),
                    }
                })
                .collect(),
        ),
        _ => Shape::Text(element.text()),
    };
    Node { span: element.span.clone(), shape }
}

/// What was an element of somebody's own: attributes as `@name`, text as `#text`, children by name.
fn foreign_natural(element: &Element) -> Node {
    let mut entries: Vec<Entry> = element
        .attributes
        .iter()
        .map(|a| Entry::new(&format!("@{}", a.name), Node::text(&a.value)))
        .collect();
    let text = element.text();
    if entries.is_empty() && element.children.is_empty() {
        return Node { span: element.span.clone(), shape: Shape::Text(text) };
    }
    if !text.trim().is_empty() {
        entries.push(Entry::new("#text", Node::text(text.trim())));
    }
    for child in &element.children {
        let value = foreign_natural(child);
        match entries.iter_mut().find(|e| e.key == child.name) {
            Some(Entry { value: Node { shape: Shape::List(items), .. }, .. }) => items.push(value),
            Some(entry) => {
                let first = std::mem::replace(&mut entry.value, Node::list(Vec::new()));
                entry.value =
                    Node { span: first.span.clone(), shape: Shape::List(vec![first, value]) };
            }
            None => {
                entries.push(Entry { key: child.name.clone(), key_span: child.span.clone(), value })
            }
        }
    }
    Node { span: element.span.clone(), shape: Shape::Map(entries) }
}
