//! YAML text to nodes.
//! No anchors, aliases, tags or second documents: a description has no use for them.

use super::node::{Entry, Node, Shape};
use super::{DEPTH_MAX, ITEMS_MAX, NODES_MAX};
use crate::report::Report;
use crate::source::Span;
use crate::value::shown;
use saphyr_parser::{Event, Parser, ScalarStyle};

/// Reads a document; what is wrong goes to the report. `None` where there is nothing to go on with.
pub(crate) fn read(report: &mut Report<'_>) -> Option<Node> {
    let text = report.source.text;
    let bytes = ByteOfChar::new(text);
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, marks) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = bytes.at(error.marker().index());
                let message = format!("this is no YAML: {}", error.info());
                report.error("yaml", &(at..at), message, None);
                return None;
            }
        };
        let span = bytes.at(marks.start.index())..bytes.at(marks.end.index());
        if let Err((code, message, hint)) = builder.take(event, span.clone(), report) {
            report.error(code, &span, message, hint.map(str::to_string));
            return None;
        }
    }
    builder.root.filter(|root| !root.is_null()).or_else(|| {
        report.error(
            "empty",
            &(0..0),
            "the description is empty",
            Some("three lines are enough: project, hosts, run".to_string()),
        );
        None
    })
}

type Stop = (&'static str, String, Option<&'static str>);

/// Puts events together, without recursion.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

/// A list or map that is not closed yet.
struct Open {
    start: usize,
    list: Vec<Node>,
    map: Option<Map>,
}

#[derive(Default)]
struct Map {
    entries: Vec<Entry>,
    seen: std::collections::HashSet<String>,
    key: Option<(String, Span, bool)>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span, report: &mut Report<'_>) -> Result<(), Stop> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                match self.documents {
                    1 => Ok(()),
                    _ => Err((
                        "yaml-documents",
                        "a description is one document".into(),
                        Some("put the second into a file of its own"),
                    )),
                }
            }
            Event::Alias(_) => Err((
                "yaml-alias",
                "aliases are not understood".into(),
                Some("write the value again, or use a variable"),
            )),
            Event::Scalar(text, style, anchor, tag) => {
                self.plain_only(anchor, tag.is_some())?;
                let is_null = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let shape = if is_null { Shape::Null } else { Shape::Text(text.into_owned()) };
                self.put(Node { span, shape }, report)
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain_only(anchor, tag.is_some())?;
                self.open(Open { start: span.start, list: Vec::new(), map: None })
            }
            Event::MappingStart(anchor, tag) => {
                self.plain_only(anchor, tag.is_some())?;
                self.open(Open { start: span.start, list: Vec::new(), map: Some(Map::default()) })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop().expect("the parser closes only what it has opened");
                let shape = match open.map {
                    Some(map) => Shape::Map(map.entries),
                    None => Shape::List(open.list),
                };
                self.put(Node { span: open.start..span.end.max(open.start), shape }, report)
            }
        }
    }

    fn plain_only(&self, anchor: usize, has_tag: bool) -> Result<(), Stop> {
        if anchor > 0 {
            return Err((
                "yaml-anchor",
                "anchors are not understood".into(),
                Some("write the value where it is needed, or use a variable"),
            ));
        }
        match has_tag {
            true => Err((
                "yaml-tag",
                "tags are not understood".into(),
                Some("put quotes around a text that begins with `!`"),
            )),
            false => Ok(()),
        }
    }

    fn open(&mut self, open: Open) -> Result<(), Stop> {
        if self.open.len() >= DEPTH_MAX {
            return Err(("too-deep", format!("this is nested more than {DEPTH_MAX} deep"), None));
        }
        self.open.push(open);
        Ok(())
    }

    fn put(&mut self, node: Node, report: &mut Report<'_>) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(("too-many", format!("a description has at most {NODES_MAX} nodes"), None));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        if open.list.len().max(open.map.as_ref().map_or(0, |m| m.entries.len())) >= ITEMS_MAX {
            return Err(("too-many", format!("a list has at most {ITEMS_MAX} items"), None));
        }
        let Some(map) = &mut open.map else {
            open.list.push(node);
            return Ok(());
        };
        match map.key.take() {
            Some((key, key_span, is_new)) => {
                if is_new {
                    map.entries.push(Entry { key, key_span, value: node });
                }
            }
            None => {
                let Shape::Text(key) = node.shape else {
                    return Err((
                        "yaml-key",
                        "a key must be a text".into(),
                        Some(
                            "a value that begins with `{` or `[` needs quotes where `${...}` is meant",
                        ),
                    ));
                };
                let is_new = map.seen.insert(key.clone());
                if !is_new {
                    report.error(
                        "duplicate-key",
                        &node.span,
                        format!("`{}` is given twice", shown(&key)),
                        Some("keep one of them".to_string()),
                    );
                }
                map.key = Some((key, node.span, is_new));
            }
        }
        Ok(())
    }
}

/// The parser counts characters; problems and excerpts count bytes.
struct ByteOfChar {
    len: usize,
    starts: Option<Vec<u32>>,
}

impl ByteOfChar {
    fn new(text: &str) -> ByteOfChar {
        let starts =
            (!text.is_ascii()).then(|| text.char_indices().map(|(i, _)| i as u32).collect());
        ByteOfChar { len: text.len(), starts }
    }

    fn at(&self, char_index: usize) -> usize {
        match &self.starts {
            Some(starts) => starts.get(char_index).map_or(self.len, |i| *i as usize),
            None => char_index.min(self.len),
        }
    }
}
