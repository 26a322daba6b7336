//! YAML text to nodes.
//! No anchors, aliases, tags or second documents: a description has no use for them.

use super::legal::{Surrogates, TabsSeparate};
use super::node::{Entry, Node, Shape};
use super::{DEPTH_MAX, ITEMS_MAX, NODES_MAX};
use crate::report::Report;
use crate::source::Span;
use crate::value::shown;
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

/// Reads a document; what is wrong goes to the report. `None` where there is nothing to go on with.
pub(crate) fn read(report: &mut Report<'_>) -> Option<Node> {
    let text = report.source.text;
    let bytes = ByteOfChar::new(text);
    let (surrogates, hidden) = Surrogates::hidden(text);
    let mut builder = Builder { surrogates, ..Builder::default() };
    for event in Parser::new(TabsSeparate(StrInput::new(&hidden))) {
        let (event, marks) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = bytes.at(error.marker().index());
                let message = format!("this is no YAML: {}", error.info());
                let hint = hint_for(error.info()).map(str::to_string);
                report.error("yaml", &(at..at), message, hint);
                return None;
            }
        };
        let span = bytes.at(marks.start.index())..bytes.at(marks.end.index());
        if let Err(Stop { code, message, hint, within }) = builder.take(event, span.clone(), report)
        {
            let span = within.map_or(span.clone(), |w| span.start + w.start..span.start + w.end);
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

/// Hints for common faults, by the parser's messages.
fn hint_for(info: &str) -> Option<&'static str> {
    let hints = [
        (
            "flow sequence, expected ',' or ']'",
            "a text with a bracket in it needs quotes: `[\"n[1-5]\"]`",
        ),
        (
            "flow mapping, expected ',' or '}'",
            "a text with a bracket or a comma in it needs quotes",
        ),
        ("tab", "indent with spaces"),
        ("block sequence entries are not allowed", "begin the list on a line of its own"),
        ("mapping values are not allowed", "a text with `: ` in it needs quotes"),
        ("unknown escape character", "a backslash is a backslash in single quotes"),
    ];
    hints.into_iter().find(|(words, _)| info.contains(words)).map(|(_, hint)| hint)
}

/// Why parsing stops.
struct Stop {
    code: &'static str,
    message: String,
    hint: Option<&'static str>,
    /// The relevant part of the event's text, in bytes; `None` for all of it.
    within: Option<Span>,
}

impl Stop {
    fn new(code: &'static str, message: impl Into<String>, hint: Option<&'static str>) -> Stop {
        Stop { code, message: message.into(), hint, within: None }
    }
}

/// Puts events together, without recursion.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
    surrogates: Surrogates,
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
                    _ => Err(Stop::new(
                        "yaml-documents",
                        "a description is one document",
                        Some("put the second into a file of its own"),
                    )),
                }
            }
            Event::Alias(_) => Err(Stop::new(
                "yaml-alias",
                "aliases are not understood",
                Some("write the value again, or use a variable"),
            )),
            Event::Scalar(text, style, anchor, tag) => {
                self.plain_only(anchor, tag.is_some())?;
                let text = self.text(text.into_owned(), style, &span, report)?;
                let is_null = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let shape = if is_null { Shape::Null } else { Shape::Text(text) };
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

    /// The value of a scalar, its surrogate pairs joined.
    fn text(
        &self,
        value: String,
        style: ScalarStyle,
        span: &Span,
        report: &Report<'_>,
    ) -> Result<String, Stop> {
        self.surrogates.shown(value, style).map_err(|lone| {
            let source = report.source.text.get(span.clone()).unwrap_or_default();
            let message = format!("`\\u{}` is half of a character", lone.digits);
            let hint = "the other half belongs beside it, as in `\\ud83d\\ude00`";
            Stop {
                within: Some(lone.place_in(source)),
                ..Stop::new("yaml-escape", message, Some(hint))
            }
        })
    }

    fn plain_only(&self, anchor: usize, has_tag: bool) -> Result<(), Stop> {
        if anchor > 0 {
            return Err(Stop::new(
                "yaml-anchor",
                "anchors are not understood",
                Some("write the value where it is needed, or use a variable"),
            ));
        }
        match has_tag {
            true => Err(Stop::new(
                "yaml-tag",
                "tags are not understood",
                Some("put quotes around a text that begins with `!`"),
            )),
            false => Ok(()),
        }
    }

    fn open(&mut self, open: Open) -> Result<(), Stop> {
        if self.open.len() >= DEPTH_MAX {
            let message = format!("this is nested more than {DEPTH_MAX} deep");
            return Err(Stop::new("too-deep", message, None));
        }
        self.open.push(open);
        Ok(())
    }

    fn put(&mut self, node: Node, report: &mut Report<'_>) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let message = format!("a description has at most {NODES_MAX} nodes");
            return Err(Stop::new("too-many", message, None));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        if open.list.len().max(open.map.as_ref().map_or(0, |m| m.entries.len())) >= ITEMS_MAX {
            let message = format!("a list has at most {ITEMS_MAX} items");
            return Err(Stop::new("too-many", message, None));
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
                    return Err(Stop::new(
                        "yaml-key",
                        "a key must be a text",
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
