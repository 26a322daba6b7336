//! Trees to YAML.
//! It knows nothing of what keys mean; it makes sure that the text is read back as it was.

use crate::tree::node::{Entry, Node, Shape};

/// Lists and maps that fit into so many characters are written in one line.
const FLOW_MAX: usize = 76;

/// The text of a tree.
pub(crate) fn write(root: &Node) -> String {
    let mut out = String::new();
    block_entries(root.entries(), 0, &mut out);
    out
}

fn block_entries(entries: &[Entry], indent: usize, out: &mut String) {
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            pad(indent, out);
        }
        out.push_str(&scalar(&entry.key, true));
        out.push(':');
        after_key(&entry.value, indent, out);
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn after_key(value: &Node, indent: usize, out: &mut String) {
    match &value.shape {
        Shape::Null => out.push('\n'),
        Shape::Text(text) if is_literal(text) => literal(text, indent + 2, out),
        Shape::Text(text) => {
            out.push(' ');
            out.push_str(&scalar(text, false));
            out.push('\n');
        }
        Shape::List(_) | Shape::Map(_) => {
            if let Some(flow) = flow(value) {
                out.push(' ');
                out.push_str(&flow);
                out.push('\n');
                return;
            }
            out.push('\n');
            pad(indent + 2, out);
            match &value.shape {
                Shape::List(items) => block_items(items, indent + 2, out),
                Shape::Map(entries) => block_entries(entries, indent + 2, out),
                Shape::Null | Shape::Text(_) => {}
            }
        }
    }
}

fn block_items(items: &[Node], indent: usize, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pad(indent, out);
        }
        out.push('-');
        match &item.shape {
            Shape::Map(entries) if !entries.is_empty() && flow(item).is_none() => {
                out.push(' ');
                block_entries(entries, indent + 2, out);
            }
            Shape::Null => out.push_str(" \"\"\n"),
            Shape::Text(_) | Shape::List(_) | Shape::Map(_) => after_key(item, indent, out),
        }
    }
}

/// A short list or map of plain values in one line.
fn flow(node: &Node) -> Option<String> {
    let text = match &node.shape {
        Shape::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(flow_value).collect();
            format!("[{}]", items?.join(", "))
        }
        Shape::Map(entries) => {
            let entry =
                |e: &Entry| Some(format!("{}: {}", scalar(&e.key, true), flow_value(&e.value)?));
            let entries: Option<Vec<String>> = entries.iter().map(entry).collect();
            format!("{{{}}}", entries?.join(", "))
        }
        Shape::Null | Shape::Text(_) => return None,
    };
    (text.chars().count() <= FLOW_MAX).then_some(text)
}

fn flow_value(node: &Node) -> Option<String> {
    match &node.shape {
        Shape::Text(text) => Some(scalar(text, true)),
        Shape::Null | Shape::List(_) | Shape::Map(_) => None,
    }
}

/// Whether a text is best written as a block of lines.
fn is_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.ends_with('\n')
        && !body.starts_with(char::is_whitespace)
        && body.lines().all(|line| line.is_empty() || !line.trim().is_empty())
        && body.chars().all(|c| c == '\n' || !needs_escape(c))
}

fn literal(text: &str, indent: usize, out: &mut String) {
    out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
    for line in text.lines() {
        if !line.is_empty() {
            pad(indent, out);
            out.push_str(line);
        }
        out.push('\n');
    }
}

fn needs_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn scalar(text: &str, in_flow: bool) -> String {
    if is_plain(text, in_flow) {
        return text.to_string();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if needs_escape(c) => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a text is read back as itself without quotes. Within `[]` and `{}` only simple words are.
fn is_plain(text: &str, in_flow: bool) -> bool {
    let begins_well =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '$' | '(');
    let is_simple = |c: char| c.is_ascii_alphanumeric() || "_-./$%+=@*~()".contains(c);
    let is_word_for_nothing = matches!(text, "null" | "Null" | "NULL");
    if !text.starts_with(begins_well) || is_word_for_nothing || text.starts_with("...") {
        return false;
    }
    match in_flow {
        true => {
            text.split(' ').all(|word| word.starts_with(begins_well) && word.chars().all(is_simple))
        }
        false => {
            !text.ends_with([' ', ':'])
                && !text.contains(": ")
                && !text.contains(" #")
                && !text.contains(needs_escape)
        }
    }
}
