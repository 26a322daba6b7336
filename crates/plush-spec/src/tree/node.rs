//! A node: a text, a list or a map, with its place.
//! It is not typed: what a text means depends on where it stands.

use crate::source::Span;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub span: Span,
    pub shape: Shape,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// Nothing: an empty YAML value.
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    pub fn text(text: impl Into<String>) -> Node {
        Node { span: 0..0, shape: Shape::Text(text.into()) }
    }

    pub fn list(items: Vec<Node>) -> Node {
        Node { span: 0..0, shape: Shape::List(items) }
    }

    pub fn map(entries: Vec<Entry>) -> Node {
        Node { span: 0..0, shape: Shape::Map(entries) }
    }

    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|e| e.key == key).map(|e| &e.value)
    }

    pub fn entries(&self) -> &[Entry] {
        match &self.shape {
            Shape::Map(entries) => entries,
            Shape::Null | Shape::Text(_) | Shape::List(_) => &[],
        }
    }

    /// The items of a list; a single value stands for a list of one.
    pub fn items(&self) -> &[Node] {
        match &self.shape {
            Shape::List(items) => items,
            Shape::Null => &[],
            Shape::Text(_) | Shape::Map(_) => std::slice::from_ref(self),
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Text(text) => Some(text),
            Shape::Null | Shape::List(_) | Shape::Map(_) => None,
        }
    }

    pub fn is_null(&self) -> bool {
        self.shape == Shape::Null
    }
}

impl Entry {
    pub fn new(key: &str, value: Node) -> Entry {
        Entry { key: key.to_string(), key_span: 0..0, value }
    }
}
