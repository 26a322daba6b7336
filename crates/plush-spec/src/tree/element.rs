//! XML text to elements, each with its place.
//! No DTD, no entities beyond the five of XML itself, nothing from outside.

use super::{DEPTH_MAX, ITEMS_MAX, NODES_MAX};
use crate::model::Place;
use crate::report::Report;
use crate::source::Span;

/// An element as it was written.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub name: String,
    /// The namespace where it is not the description's own.
    pub namespace: Option<String>,
    /// `<name`.
    pub span: Span,
    pub attributes: Vec<Attribute>,
    pub children: Vec<Element>,
    pub texts: Vec<(String, Span)>,
}

/// An attribute as it was written.
#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    pub name: String,
    pub namespace: Option<String>,
    pub value: String,
    pub name_span: Span,
    pub value_span: Span,
}

impl Element {
    pub fn new(name: &str, span: Span) -> Element {
        Element {
            name: name.to_string(),
            namespace: None,
            span,
            attributes: Vec::new(),
            children: Vec::new(),
            texts: Vec::new(),
        }
    }

    pub fn is(&self, name: &str) -> bool {
        self.namespace.is_none() && self.name == name
    }

    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|a| a.namespace.is_none() && a.name == name)
    }

    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.is(name))
    }

    /// All its text, exactly.
    pub fn text(&self) -> String {
        self.texts.iter().map(|(text, _)| text.as_str()).collect()
    }

    /// Where its text is, without white space around it.
    pub fn text_span(&self) -> Span {
        let pieces = self.texts.iter().filter(|(text, _)| !text.trim().is_empty());
        let mut spans = pieces.map(|(text, span)| {
            let (lead, trail) =
                (text.len() - text.trim_start().len(), text.len() - text.trim_end().len());
            (span.start + lead).min(span.end)..span.end.saturating_sub(trail).max(span.start)
        });
        let Some(first) = spans.next() else { return self.span.clone() };
        let end = spans.next_back().map_or(first.end, |s| s.end);
        first.start..end.max(first.start)
    }
}

/// Reads a document; what is wrong goes to the report.
pub(crate) fn read(report: &mut Report<'_>) -> Option<Element> {
    let text = report.source.text;
    if let Some((at, message)) = first_excess(text) {
        let code = if message.contains("deep") { "too-deep" } else { "too-many" };
        report.error(code, &(at..at + 1), message, None);
        return None;
    }
    let options = roxmltree::ParsingOptions { nodes_limit: NODES_MAX as u32, ..Default::default() };
    match roxmltree::Document::parse_with_options(text, options) {
        Ok(document) => {
            let crowded = document
                .descendants()
                .find(|n| n.is_element() && n.children().nth(2 * ITEMS_MAX).is_some());
            if let Some(crowded) = crowded {
                let start = crowded.range().start;
                report.error(
                    "too-many",
                    &(start..start + 1),
                    format!("a list has at most {ITEMS_MAX} items"),
                    None,
                );
                return None;
            }
            Some(copy_tree(&document))
        }
        Err(error) => {
            refuse(&error, report);
            None
        }
    }
}

fn refuse(error: &roxmltree::Error, report: &mut Report<'_>) {
    let text = report.source.text;
    let find = |what: &str| text.find(what).map_or(0..0, |at| at..at + what.len());
    match error {
        roxmltree::Error::DtdDetected => report.error(
            "xml-dtd",
            &find("<!DOCTYPE"),
            "a document type is not allowed",
            Some("remove `<!DOCTYPE ...>`; entities beyond &lt; &gt; &amp; &quot; &apos; are not understood".to_string()),
        ),
        roxmltree::Error::NodesLimitReached => {
            report.error("too-many", &(0..0), format!("a description has at most {NODES_MAX} nodes"), None);
        }
        error => {
            let at = error.pos();
            let span = report.source.word_at(Place::new(at.row, at.col));
            let said = error.to_string().replace(&format!(" at {at}"), "");
            report.error("xml", &span, format!("this is no well-formed XML: {said}"), None);
        }
    }
}

/// More attributes of one element are refused: finding those given twice takes their square.
const ATTRIBUTES_MAX: usize = 1_000;

/// Where elements nest too deeply or have too many attributes, found without recursion before the
/// tree is built.
fn first_excess(text: &str) -> Option<(usize, String)> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while let Some(step) = text[at..].find('<') {
        let start = at + step;
        let rest = &text[start..];
        let skip = |end: &str| rest.find(end).map_or(rest.len(), |i| i + end.len());
        at = start
            + if rest.starts_with("<!--") {
                skip("-->")
            } else if rest.starts_with("<![CDATA[") {
                skip("]]>")
            } else if rest.starts_with("<?") {
                skip("?>")
            } else if rest.starts_with("</") {
                depth = depth.saturating_sub(1);
                skip(">")
            } else {
                let tag = tag(rest);
                let end = start + tag.len;
                depth += usize::from(bytes[end - 1] != b'>' || bytes[end - 2] != b'/');
                if tag.attributes > ATTRIBUTES_MAX {
                    return Some((
                        start,
                        format!("an element has at most {ATTRIBUTES_MAX} attributes"),
                    ));
                }
                tag.len
            };
        if depth > DEPTH_MAX {
            return Some((start, format!("this is nested more than {DEPTH_MAX} deep")));
        }
    }
    None
}

/// A start tag, measured.
struct Tag {
    len: usize,
    attributes: usize,
}

/// Measures a start tag: up to the first `>` outside quotes.
fn tag(rest: &str) -> Tag {
    let mut quote = None;
    let mut attributes = 0;
    for (i, b) in rest.bytes().enumerate() {
        match (quote, b) {
            (None, b'>') => return Tag { len: i + 1, attributes },
            (None, b'"' | b'\'') => quote = Some(b),
            (None, b'=') => attributes += 1,
            (Some(open), b) if open == b => quote = None,
            _ => {}
        }
    }
    Tag { len: rest.len(), attributes }
}

/// Copies the tree. Recursion is bounded, since depth was checked before.
fn copy_tree(document: &roxmltree::Document<'_>) -> Element {
    let root = document.root_element();
    let own = root.tag_name().namespace();
    copy(root, own)
}

fn copy(node: roxmltree::Node<'_, '_>, own: Option<&str>) -> Element {
    let foreign =
        |namespace: Option<&str>| namespace.filter(|n| Some(*n) != own).map(str::to_string);
    let start = node.range().start;
    let source = node.document().input_text();
    let tag =
        source[start..].find(|c: char| c.is_whitespace() || c == '>' || c == '/').unwrap_or(1);
    let mut element = Element::new(node.tag_name().name(), start..start + tag);
    element.namespace = foreign(node.tag_name().namespace());
    for attribute in node.attributes() {
        element.attributes.push(Attribute {
            name: attribute.name().to_string(),
            namespace: foreign(attribute.namespace()),
            value: attribute.value().to_string(),
            name_span: attribute.range_qname(),
            value_span: attribute.range_value(),
        });
    }
    for child in node.children() {
        if child.is_element() {
            element.children.push(copy(child, own));
        } else if child.is_text() {
            element.texts.push((child.text().unwrap_or_default().to_string(), child.range()));
        }
    }
    element
}
