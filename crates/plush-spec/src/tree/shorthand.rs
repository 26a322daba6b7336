//! Rewrites short forms of values to the long form before any check: a list of host sets, a host
//! set on several lines, a bare share or number for a record that has `percent` or `count`.
//! Only values with an unambiguous form; the check reports errors in them.

use super::node::{Entry, Node, Shape};
use crate::report::Report;
use crate::vocabulary::{Kind, PROJECT, Record, Scalar, StepHead, step_head};

/// Rewrites a whole description.
pub(crate) fn expand(root: &mut Node, report: &mut Report<'_>) {
    record(root, &PROJECT, report);
}

fn record(node: &mut Node, of: &'static Record, report: &mut Report<'_>) {
    match &mut node.shape {
        Shape::Map(entries) => fields(entries, of, report),
        Shape::Text(text) => {
            if let Some(key) = of.key_for(text) {
                let inner = std::mem::replace(node, Node::list(Vec::new()));
                node.span = inner.span.clone();
                let key_span = inner.span.clone();
                let entry = Entry { key: key.to_string(), key_span, value: inner };
                node.shape = Shape::Map(vec![entry]);
            } else if let Some(field) = of.short.and_then(|short| of.field(short)) {
                value(node, &field.kind, report);
            }
        }
        Shape::List(_) => {
            if let Some(field) = of.short.and_then(|short| of.field(short)) {
                value(node, &field.kind, report);
            }
        }
        Shape::Null => {}
    }
}

fn fields(entries: &mut [Entry], of: &'static Record, report: &mut Report<'_>) {
    for entry in entries.iter_mut().filter(|e| !e.key.starts_with("x-")) {
        match (of.field(&entry.key), of.rest.map(|rest| &rest.kind)) {
            (Some(field), _) => value(&mut entry.value, &field.kind, report),
            (None, Some(Kind::Dict(_, _, kind))) => value(&mut entry.value, kind, report),
            (None, _) => {}
        }
    }
}

fn value(node: &mut Node, kind: &'static Kind, report: &mut Report<'_>) {
    match kind {
        Kind::Scalar(Scalar::Hosts) => hosts(node, report),
        Kind::Scalar(_) => {}
        Kind::Record(of) => record(node, of, report),
        Kind::List(of) => match &mut node.shape {
            Shape::List(items) => items.iter_mut().for_each(|item| value(item, of, report)),
            Shape::Text(_) | Shape::Map(_) => value(node, of, report),
            Shape::Null => {}
        },
        Kind::Dict(_, _, of) => {
            if let Shape::Map(entries) = &mut node.shape {
                entries.iter_mut().for_each(|entry| value(&mut entry.value, of, report));
            }
        }
        Kind::Steps => steps(node, report),
    }
}

fn steps(node: &mut Node, report: &mut Report<'_>) {
    match &mut node.shape {
        Shape::List(items) => items.iter_mut().for_each(|item| steps(item, report)),
        Shape::Map(entries) => step(entries, report),
        Shape::Text(_) | Shape::Null => {}
    }
}

fn step(entries: &mut [Entry], report: &mut Report<'_>) {
    let Some((at, head)) =
        entries.iter().enumerate().find_map(|(at, e)| Some((at, step_head(&e.key)?)))
    else {
        return;
    };
    match head {
        StepHead::Named(of) => fields(entries, of, report),
        StepHead::Within(of) => record(&mut entries[at].value, of, report),
        StepHead::Steps => steps(&mut entries[at].value, report),
    }
}

/// A list of sets is their union; white space between names acts like a comma.
fn hosts(node: &mut Node, report: &mut Report<'_>) {
    let text = match &node.shape {
        Shape::Text(text) => one_line(text),
        Shape::List(items) => match union(items, report) {
            Some(text) => text,
            None => return,
        },
        Shape::Null | Shape::Map(_) => return,
    };
    if let Shape::List(items) = &node.shape
        && let (Some(first), Some(last)) = (items.first(), items.last())
    {
        node.span = first.span.start..last.span.end.max(first.span.start);
    }
    node.shape = Shape::Text(text);
}

/// The text of all items; `None` where one is not text, which the check reports.
fn union(items: &[Node], report: &mut Report<'_>) -> Option<String> {
    let texts: Option<Vec<String>> =
        items.iter().map(|item| item.as_text().map(one_line)).collect();
    let texts = texts.filter(|texts| !texts.is_empty())?;
    if texts.len() > 1 {
        for (item, text) in items.iter().zip(&texts) {
            if let Some(operator) = text.chars().find(|c| "!&^".contains(*c)) {
                let hint = "write the whole set as one text; `exclude` leaves hosts out, too";
                let message = format!("`{operator}` stands in one text, not in a list of hosts");
                report.error("hosts", &item.span, message, Some(hint.to_string()));
            }
        }
    }
    Some(texts.join(","))
}

/// The words of a text separated by one space; only spaces, tabs and line ends separate words.
fn one_line(text: &str) -> String {
    let words = text.split([' ', '\t', '\n', '\r']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}
