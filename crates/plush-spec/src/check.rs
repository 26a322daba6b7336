//! Checks a tree against the vocabulary: unknown keys, missing ones, bad values, unknown variables.
//! It makes nothing; what things mean together is checked later on the model.

use crate::problem::Severity;
use crate::quoting::{Catch, Caught, catches};
use crate::report::Report;
use crate::shell_line::{ARGUMENT_BYTES_MAX, Delimiters, is_plain};
use crate::source::Span;
use crate::substitute::{Scope, SubstituteFault, TASK_VARIABLES, Use, Value, expand, uses};
use crate::tree::node::{Entry, Node, Shape};
use crate::tree::shape::unknown_hint;
use crate::value::{self, Fault, Scalar, nearest, shown};
use crate::vocabulary::{
    Field, Kind, PROJECT, RECORDS, Record, STEP_COMMON, STEP_TAGS, StepHead, Variables, Xml,
    elsewhere, step_elsewhere, step_head,
};

/// Checks a whole description.
pub(crate) fn check(root: &Node, scope: &Scope<'_>, report: &mut Report<'_>) {
    let names = |key| root.get(key).map_or(&[][..], Node::entries).iter().map(|e| e.key.clone());
    let project = root.get("project").and_then(Node::as_text).map(str::to_string);
    let known = Known {
        variables: names("variables").collect(),
        clusters: names("clusters").chain(project).collect(),
        in_workflow: false,
        repeats: 0,
    };
    let mut checker = Checker { report, scope, known };
    if !matches!(root.shape, Shape::Map(_)) {
        let hint = "three lines are enough: `project: NAME`, `hosts: SET`, `run: LINE`";
        checker.report.error(
            "shape",
            &first_line(&root.span),
            "a description is made of keys and values",
            Some(hint.to_string()),
        );
        return;
    }
    checker.record(root, &PROJECT, &root.span);
}

fn first_line(span: &Span) -> Span {
    span.start..span.start.saturating_add(1).min(span.end.max(span.start))
}

/// How deep foreign content may be, so that what fits into one syntax fits into the other.
const FOREIGN_DEPTH_MAX: usize = 16;
/// How often `repeat` may stand within `repeat`, for the same reason.
const REPEAT_DEPTH_MAX: usize = 8;

/// The names that variables may have.
struct Known {
    variables: Vec<String>,
    clusters: Vec<String>,
    in_workflow: bool,
    /// How many `repeat`s are around.
    repeats: usize,
}

struct Checker<'r, 's> {
    report: &'r mut Report<'s>,
    scope: &'r Scope<'r>,
    known: Known,
}

impl Checker<'_, '_> {
    fn record(&mut self, node: &Node, record: &'static Record, at: &Span) {
        let mut meant = Vec::new();
        match &node.shape {
            Shape::Map(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    meant.extend(self.entry(entry, &entries[..index], record));
                }
            }
            Shape::Text(_) | Shape::List(_) => {
                let short = record.short.and_then(|short| record.field(short));
                match short.filter(|f| takes(&f.kind, node)) {
                    Some(field) => self.value(node, &field.kind, field.variables, at),
                    None => return self.wrong_shape(node, record),
                }
            }
            Shape::Null => {}
        }
        self.required(node, record, at, &meant);
    }

    fn wrong_shape(&mut self, node: &Node, record: &'static Record) {
        let keys: Vec<&str> = record.fields.iter().map(|f| f.key).take(6).collect();
        let message = format!("{} is made of keys and values", with_article(record.name));
        self.report.error(
            "shape",
            &first_word(node),
            message,
            Some(format!("its keys are {}", keys.join(", "))),
        );
    }

    /// Reports missing required keys, except those for which a misspelled key was meant.
    fn required(&mut self, node: &Node, record: &'static Record, at: &Span, meant: &[&str]) {
        let is_short = !matches!(node.shape, Shape::Map(_) | Shape::Null);
        let wanted = record.fields.iter().filter(|f| f.required && !meant.contains(&f.key));
        for field in wanted {
            let is_given = match is_short {
                true => record.short == Some(field.key),
                false => get(node, field).is_some_and(|n| !n.is_null()),
            };
            if !is_given {
                let (word, hint) = example(field, self.report.is_xml);
                let message = format!("{} needs `{word}`", with_article(record.name));
                match self.report.is_xml {
                    true => self.report.absent(Severity::Error, "missing", at, message, &hint),
                    false => self.report.error("missing", at, message, Some(hint)),
                }
            }
        }
    }

    /// Checks a key and its value; for an unknown key, suggests the known one that is meant.
    fn entry(
        &mut self,
        entry: &Entry,
        before: &[Entry],
        record: &'static Record,
    ) -> Option<&'static str> {
        if entry.key.starts_with("x-") {
            if !record.foreign {
                let hint = "put it on the project, an application, a cluster, a resource, software, a process, a workflow or a repeat";
                self.report.error(
                    "foreign",
                    &entry.key_span,
                    format!("`{}` is not carried along here", shown(&entry.key)),
                    Some(hint.to_string()),
                );
            }
            self.foreign_texts(&entry.value, &entry.key, &entry.key_span);
            if depth(&entry.value) > FOREIGN_DEPTH_MAX {
                let message = format!("foreign content is at most {FOREIGN_DEPTH_MAX} deep");
                self.report.error("too-deep", &entry.key_span, message, None);
            }
            return None;
        }
        if let Some(field) = record.field(&entry.key) {
            if before.iter().any(|e| {
                e.key != entry.key && record.field(&e.key).is_some_and(|f| f.key == field.key)
            }) {
                self.report.error(
                    "duplicate-key",
                    &entry.key_span,
                    format!("`{}` is given twice, once by another name", field.key),
                    None,
                );
            }
            let was = self.known.in_workflow;
            self.value(&entry.value, &field.kind, field.variables, &entry.key_span);
            self.known.in_workflow = was;
            return None;
        }
        if let Some(Field { kind: Kind::Dict(_, scalar, of), variables, .. }) = record.rest {
            self.dict_entry(entry, *scalar, of, *variables);
            return None;
        }
        self.unknown_key(entry, record)
    }

    /// Foreign texts are not understood, but must fit into both syntaxes.
    fn foreign_texts(&mut self, node: &Node, key: &str, at: &Span) {
        let text = node.as_text().unwrap_or_default();
        for text in [key, text] {
            if let Err(fault) = value::check(Scalar::Raw, text) {
                self.fault(fault, at);
            }
        }
        match &node.shape {
            Shape::Null | Shape::Text(_) => {}
            Shape::List(items) => items.iter().for_each(|item| self.foreign_texts(item, "", at)),
            Shape::Map(entries) => {
                entries.iter().for_each(|e| self.foreign_texts(&e.value, &e.key, &e.key_span));
            }
        }
    }

    fn unknown_key(&mut self, entry: &Entry, record: &'static Record) -> Option<&'static str> {
        let words = || record.fields.iter().map(|f| f.key);
        let near = nearest(&entry.key, words());
        let (meant, hint) = match (elsewhere(record.name, &entry.key), near) {
            (Some((means, hint)), _) => (Some(means), Some(hint.to_string())),
            (None, None) => {
                (None, belongs(&entry.key).or_else(|| unknown_hint(&entry.key, words())))
            }
            (None, near) => (near, unknown_hint(&entry.key, words())),
        };
        self.report.error(
            "unknown-key",
            &entry.key_span,
            format!("{} has no `{}`", with_article(record.name), shown(&entry.key)),
            hint,
        );
        meant
    }

    fn value(&mut self, node: &Node, kind: &'static Kind, variables: Variables, at: &Span) {
        match kind {
            Kind::Scalar(scalar) => self.scalar(node, *scalar, variables, at),
            Kind::Record(record) => self.record(node, record, at),
            Kind::List(of) => {
                if let (Shape::Map(_), Kind::Scalar(_)) = (&node.shape, of) {
                    self.report.error(
                        "shape",
                        &first_word(node),
                        "a list is expected here, not keys",
                        Some("write `[a, b]`".to_string()),
                    );
                    return;
                }
                for item in node.items() {
                    if item.is_null() {
                        self.report.error(
                            "empty",
                            at,
                            "an item of this list is empty",
                            Some(
                                if self.report.is_xml {
                                    "write `name=\"...\"` or a text"
                                } else {
                                    "write `\"\"` for an empty text"
                                }
                                .to_string(),
                            ),
                        );
                    } else {
                        self.value(item, of, variables, &first_word(item));
                    }
                }
            }
            Kind::Dict(_, scalar, of) => match &node.shape {
                Shape::Map(entries) => {
                    entries.iter().for_each(|e| self.dict_entry(e, *scalar, of, variables))
                }
                Shape::Null => {}
                Shape::Text(_) | Shape::List(_) => {
                    let hint = "write one key for each, such as `NAME: ...`";
                    self.report.error(
                        "shape",
                        &first_word(node),
                        "names and what they stand for are expected here",
                        Some(hint.to_string()),
                    );
                }
            },
            Kind::Steps => self.steps(node),
        }
    }

    fn dict_entry(
        &mut self,
        entry: &Entry,
        scalar: Scalar,
        of: &'static Kind,
        variables: Variables,
    ) {
        if let Err(fault) = value::check(scalar, &entry.key) {
            self.fault(fault, &entry.key_span);
        }
        if entry.value.is_null() && matches!(of, Kind::Scalar(_)) {
            let message = format!("`{}` has no value", shown(&entry.key));
            self.report.error(
                "empty",
                &entry.key_span,
                message,
                Some("write `\"\"` for an empty text".to_string()),
            );
            return;
        }
        self.value(&entry.value, of, variables, &entry.key_span);
    }

    fn steps(&mut self, node: &Node) {
        let items = match &node.shape {
            Shape::List(items) => items.as_slice(),
            Shape::Map(_) => std::slice::from_ref(node),
            Shape::Null => &[],
            Shape::Text(_) => {
                let hint = "write `- process: NAME` and below it `run: LINE`";
                self.report.error(
                    "shape",
                    &first_word(node),
                    "steps are expected here",
                    Some(hint.to_string()),
                );
                return;
            }
        };
        for item in items {
            match &item.shape {
                Shape::Map(entries) => self.step(item, entries),
                Shape::List(_) => self.steps(item),
                Shape::Text(_) | Shape::Null => {
                    let hint = "write `- process: NAME` and below it `run: LINE`";
                    self.report.error(
                        "shape",
                        &first_word(item),
                        "a step is made of keys and values",
                        Some(hint.to_string()),
                    );
                }
            }
        }
    }

    fn step(&mut self, node: &Node, entries: &[Entry]) {
        let mut tags = entries.iter().filter(|e| step_head(&e.key).is_some());
        let Some(tag) = tags.next() else {
            let words = STEP_TAGS.iter().map(|(tag, _)| *tag);
            let near = entries.iter().find_map(|e| nearest(&e.key, words.clone()).map(|w| (e, w)));
            let at = near.map_or_else(
                || entries.first().map_or(node.span.clone(), |e| e.key_span.clone()),
                |(e, _)| e.key_span.clone(),
            );
            let other = entries.iter().find_map(|e| step_elsewhere(&e.key));
            let hint = match (near, other) {
                (Some((_, word)), _) => format!("did you mean `{word}`?"),
                (None, Some(hint)) => hint.to_string(),
                (None, None) => {
                    format!("it has one of: {}", words.collect::<Vec<_>>().join(", "))
                }
            };
            self.report.error("step", &at, "nothing says what kind of step this is", Some(hint));
            return;
        };
        if let Some(second) = tags.next() {
            let message = format!("a step is either `{}` or `{}`", tag.key, second.key);
            self.report.error(
                "step",
                &second.key_span,
                message,
                Some("begin a step of its own with `-`".to_string()),
            );
            return;
        }
        let head = step_head(&tag.key).expect("the tag was chosen because it is one");
        self.step_of(node, entries, tag, head);
    }

    fn step_of(&mut self, node: &Node, entries: &[Entry], tag: &Entry, head: StepHead) {
        let others: Vec<Entry> = entries.iter().filter(|e| e.key != tag.key).cloned().collect();
        let rest = Node { span: node.span.clone(), shape: Shape::Map(others) };
        match head {
            StepHead::Named(record) => {
                if tag.value.is_null() {
                    self.report.error(
                        "missing",
                        &tag.key_span,
                        format!("{} needs a name", with_article(&tag.key)),
                        None,
                    );
                } else {
                    self.scalar(&tag.value, Scalar::Name, Variables::None, &tag.key_span);
                }
                let was = std::mem::replace(&mut self.known.in_workflow, tag.key == "workflow");
                self.record(&rest, record, &tag.key_span);
                self.known.in_workflow = was;
            }
            StepHead::Within(record) => {
                let own: Vec<Entry> = rest
                    .entries()
                    .iter()
                    .filter(|e| STEP_COMMON.field(&e.key).is_none())
                    .cloned()
                    .collect();
                for entry in rest.entries().iter().filter(|e| STEP_COMMON.field(&e.key).is_some()) {
                    let _ = self.entry(entry, &[], &STEP_COMMON);
                }
                for entry in &own {
                    let hint = record
                        .field(&entry.key)
                        .map(|_| format!("write it further in, under `{}`", tag.key));
                    self.report.error(
                        "unknown-key",
                        &entry.key_span,
                        format!("there is no `{}` beside `{}`", shown(&entry.key), tag.key),
                        hint,
                    );
                }
                self.known.repeats += 1;
                if self.known.repeats == REPEAT_DEPTH_MAX + 1 {
                    let message =
                        format!("`repeat` stands at most {REPEAT_DEPTH_MAX} times within itself");
                    self.report.error("too-deep", &tag.key_span, message, None);
                }
                self.record(&tag.value, record, &tag.key_span);
                self.known.repeats -= 1;
            }
            StepHead::Steps => {
                self.record(&rest, &STEP_COMMON, &tag.key_span);
                self.steps(&tag.value);
            }
        }
    }

    fn scalar(&mut self, node: &Node, scalar: Scalar, variables: Variables, at: &Span) {
        let text = match &node.shape {
            Shape::Text(text) => text,
            Shape::Null => return,
            Shape::List(_) | Shape::Map(_) => return self.no_scalar(node, scalar),
        };
        let span = if node.span.is_empty() { at } else { &node.span };
        match self.expanded(text, variables, span) {
            Some(expanded) => {
                if let Err(fault) = value::check(scalar, &expanded) {
                    self.fault(fault, span);
                }
            }
            None if matches!(
                scalar,
                Scalar::Path | Scalar::Word | Scalar::Within | Scalar::Url
            ) && text.starts_with('-') =>
            {
                self.fault(
                    Fault::new(format!(
                        "`{}` begins with `-`, which programs take for an option",
                        shown(text)
                    )),
                    span,
                );
            }
            None => {
                // What stands around the variables is known already.
                if let Err(fault) = value::check(Scalar::Raw, text) {
                    self.fault(fault, span);
                }
            }
        }
        if scalar == Scalar::Line {
            self.line(text, span);
        }
    }

    /// Reports values that cannot be inserted into a line unchanged, and places where the shell
    /// would not expand them.
    fn line(&mut self, line: &str, at: &Span) {
        if line.len() > ARGUMENT_BYTES_MAX {
            self.too_large("the line".to_string(), line.len(), at);
            return;
        }
        let found = uses(line).unwrap_or_default();
        for (number, used) in found.iter().enumerate() {
            if self.report.is_full() {
                return;
            }
            let Some(Value::Text(value)) = self.scope.get(&used.name) else { continue };
            if value.len() > ARGUMENT_BYTES_MAX {
                let span = self.span_of(line, &found, number, at);
                self.too_large(format!("the value of `{}`", shown(&used.name)), value.len(), &span);
            }
        }
        let ends = Delimiters::of(line);
        for caught in catches(line) {
            if self.report.is_full() {
                return;
            }
            let expected = self.expected(&caught.used, &ends);
            let Some((message, hint)) = advice(&caught, expected) else {
                continue;
            };
            let number = found.iter().position(|u| u.offset == caught.used.offset);
            let span = number.map_or(at.clone(), |n| self.span_of(line, &found, n, at));
            self.report.warning("quotes", &span, message, Some(hint));
        }
    }

    fn too_large(&mut self, what: String, bytes: usize, at: &Span) {
        self.report.error(
            "too-large",
            at,
            format!(
                "{what} has {bytes} bytes; Linux passes at most {ARGUMENT_BYTES_MAX} to a program in one piece"
            ),
            Some("bring it to the host as a file: as a package or a template".to_string()),
        );
    }

    /// Position in the description of a use in a line; `at` where the source differs from the
    /// parsed text.
    fn span_of(&self, line: &str, found: &[Use], number: usize, at: &Span) -> Span {
        let written = |used: &Use| &line[used.offset..used.offset + used.len];
        let wanted = written(&found[number]);
        let before = found[..number].iter().filter(|used| written(used) == wanted).count();
        let text = self.report.source.text.get(at.clone()).unwrap_or_default();
        let mut stands = text.match_indices(wanted).filter(|(i, _)| !text[..*i].ends_with('$'));
        match stands.nth(before) {
            Some((i, _)) => at.start + i..at.start + i + wanted.len(),
            None => at.clone(),
        }
    }

    /// What the value of a use will be, as far as it is known before a run.
    fn expected(&self, used: &Use, ends: &Delimiters) -> Expected {
        match self.scope.get(&used.name) {
            Some(Value::Text(value)) if !is_plain(value) || ends.may_hold(value) => {
                match is_expression(value) {
                    true => Expected::Expression,
                    false => Expected::Other,
                }
            }
            Some(Value::Text(value)) if value.bytes().all(|b| b.is_ascii_digit()) => {
                Expected::Number
            }
            Some(Value::Text(_)) => Expected::Plain,
            Some(Value::List(_)) => Expected::Other,
            None => match used.name.as_str() {
                "rank" | "count" => Expected::Number,
                "item" => Expected::Unknown,
                "cluster" if !self.known.clusters.iter().all(|c| is_plain(c)) => Expected::Other,
                name if name.contains('.') && used.index.is_none() => Expected::Other,
                _ => Expected::Plain,
            },
        }
    }

    /// A list or map where a single value is expected.
    fn no_scalar(&mut self, node: &Node, scalar: Scalar) {
        let is_map = matches!(node.shape, Shape::Map(_));
        let (message, hint) = match scalar {
            Scalar::Hosts if !is_map && node.items().is_empty() => {
                ("a host set cannot be empty", "write a host set such as `node[1-9]`")
            }
            Scalar::Hosts => (
                "a host set is a text, or a list of texts",
                "write a host set such as `node[1-9]`, or `[node1, node2]`",
            ),
            _ if is_map => ("a single value is expected here, not keys", "write one value"),
            _ => {
                ("a single value is expected here, not a list", "write one value without brackets")
            }
        };
        let item = node.items().iter().find(|item| item.as_text().is_none());
        let at = first_word(item.filter(|_| scalar == Scalar::Hosts).unwrap_or(node));
        self.report.error("shape", &at, message, Some(hint.to_string()));
    }

    fn fault(&mut self, fault: Fault, span: &Span) {
        self.report.error("value", span, fault.message, fault.hint);
    }

    /// The text with its variables replaced, where that can be known now and is good.
    fn expanded(&mut self, text: &str, variables: Variables, span: &Span) -> Option<String> {
        if variables == Variables::None || !text.contains("${") {
            return Some(text.to_string());
        }
        let found = match uses(text) {
            Ok(found) => found,
            Err(error) => {
                let hint = "write `$${` for a literal `${`";
                let span = &match error.fault {
                    SubstituteFault::Unclosed => self.report.source.last_within(span, "${"),
                    _ => span.clone(),
                };
                self.report.error("variable", span, error.to_string(), Some(hint.to_string()));
                return None;
            }
        };
        let mut is_known = true;
        for (number, used) in found.iter().enumerate() {
            let in_project = self.scope.get(&used.name).is_some();
            let of_task = self.is_of_task(&used.name);
            if !in_project {
                is_known = false;
                if self.report.is_full() {
                    break;
                }
                let span = &self.span_of(text, &found, number, span);
                if !of_task {
                    self.unknown_variable(&used.name, span);
                } else if variables == Variables::Project {
                    let message = format!("`${{{}}}` is known only when a task starts", used.name);
                    self.report.error(
                        "variable",
                        span,
                        message,
                        Some("use a variable of the project here".to_string()),
                    );
                }
            }
        }
        match expand(text, self.scope) {
            Ok(expanded) if is_known => Some(expanded),
            Err(error) if is_known && !matches!(error.fault, SubstituteFault::Unknown(_)) => {
                self.report.error("variable", span, error.to_string(), None);
                None
            }
            _ => None,
        }
    }

    fn is_of_task(&self, name: &str) -> bool {
        let of_cluster = ["hosts.", "addresses."].iter().find_map(|list| name.strip_prefix(list));
        match of_cluster {
            Some(cluster) => self.known.clusters.iter().any(|c| c == cluster),
            None => TASK_VARIABLES.contains(&name) && (name != "item" || self.known.in_workflow),
        }
    }

    fn unknown_variable(&mut self, name: &str, span: &Span) {
        if self.report.is_full() {
            return;
        }
        let lists = |c: &String| [format!("hosts.{c}"), format!("addresses.{c}")];
        let hosts: Vec<String> = self.known.clusters.iter().flat_map(lists).collect();
        let words = self.known.variables.iter().chain(&hosts).map(String::as_str);
        let words = words
            .chain(TASK_VARIABLES.into_iter().filter(|v| *v != "item" || self.known.in_workflow));
        let is_for_shell = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        let hint = match nearest(name, words).filter(|_| !is_for_shell) {
            Some(word) => format!("did you mean `${{{word}}}`?"),
            None if name == "item" => "only a workflow has items".to_string(),
            None => format!(
                "add it to `variables`; write `${name}` or `$${{{name}}}` if the shell is meant"
            ),
        };
        self.report.error(
            "variable",
            span,
            format!("there is no variable `{}`", shown(name)),
            Some(hint),
        );
    }
}

/// Knowledge of a value before a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Digits.
    Number,
    /// Inserted into a line as text.
    Plain,
    /// Numbers and operators, which are passed in the environment.
    Expression,
    /// Anything else that is passed in the environment.
    Other,
    /// May be any of these.
    Unknown,
}

/// The problem and the hint for a use at a place with a catch; `None` where the value is harmless.
fn advice(caught: &Caught, expected: Expected) -> Option<(String, String)> {
    let name = match caught.used.index {
        Some(index) => format!("${{{}[{index}]}}", shown(&caught.used.name)),
        None => format!("${{{}}}", shown(&caught.used.name)),
    };
    let is_text = matches!(expected, Expected::Number | Expected::Plain);
    let unexpanded = |place: &str, hint: String| {
        let message =
            format!("{place} the shell does not expand `{name}`, whose value is not plain text");
        matches!(expected, Expected::Other | Expected::Expression).then_some((message, hint))
    };
    match &caught.catch {
        Catch::SingleQuotes => unexpanded(
            "in single quotes",
            format!("end them around it: write `'\"{name}\"'` instead, within the single quotes"),
        ),
        Catch::HereDocument => unexpanded(
            "in a here-document with a quoted delimiter",
            "write the delimiter without quotes, and `\\$` for each `$` of the text".to_string(),
        ),
        Catch::Backslash => unexpanded(
            "after a backslash",
            "take the backslash out; write two for a backslash before the value".to_string(),
        ),
        Catch::Arithmetic => (expected == Expected::Other).then(|| {
            (
                format!("in `$((...))` the shell computes with `{name}`, whose value is no number"),
                "let a program check it before: some shells run commands that are in such a value".to_string(),
            )
        }),
        Catch::Name(before) => is_text.then(|| {
            (
                format!("the value of `{name}` is text right after `${before}`, and makes the name longer"),
                format!("write `$${{{before}}}{name}`"),
            )
        }),
        Catch::Descriptor => (expected == Expected::Number).then(|| {
            (
                format!("the shell takes the number of `{name}` before `<` or `>` for a file descriptor"),
                "write a space after it".to_string(),
            )
        }),
    }
}

/// Whether it is usable only in shell arithmetic.
fn is_expression(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_digit() || b" +-*/%()<>=!&|^?:".contains(&b))
}

/// The record in which a misplaced key is valid.
fn belongs(key: &str) -> Option<String> {
    let homes = ["project", "cluster", "process", "resource", "software", "package"];
    let home = homes
        .into_iter()
        .find(|home| RECORDS.iter().any(|r| r.name == *home && r.field(key).is_some()))?;
    Some(format!("`{}` belongs to {}", shown(key), with_article(home)))
}

fn depth(node: &Node) -> usize {
    let inner = match &node.shape {
        Shape::Null | Shape::Text(_) => return 1,
        Shape::List(items) => items.iter().map(depth).max(),
        Shape::Map(entries) => entries.iter().map(|e| depth(&e.value)).max(),
    };
    1 + inner.unwrap_or(0)
}

/// What a missing field is called, and how it could be written.
fn example(field: &Field, is_xml: bool) -> (&'static str, String) {
    let example = field.example.trim_matches('"');
    match (is_xml, field.xml) {
        (false, _) => (field.key, format!("for example `{}: {}`", field.key, field.example)),
        (true, _) if field.key == "project" => {
            ("name", format!("for example `name=\"{example}\"`"))
        }
        (true, Xml::Attribute) => (field.key, format!("for example `{}=\"{example}\"`", field.key)),
        (true, Xml::Element) if matches!(field.kind, Kind::Scalar(_)) => {
            (field.key, format!("for example `<{0}>{example}</{0}>`", field.key))
        }
        (true, Xml::Element) => (field.key, format!("write `<{}>` into it", field.key)),
        (true, Xml::Items(item) | Xml::Wrapped(item, _)) => {
            (item, format!("write `<{item}>` into it"))
        }
    }
}

/// Whether a field can be given by a bare value of this shape.
fn takes(kind: &Kind, node: &Node) -> bool {
    match (kind, &node.shape) {
        (Kind::Scalar(_), Shape::Text(_)) | (Kind::List(_), Shape::Text(_) | Shape::List(_)) => {
            true
        }
        (Kind::Record(record), _) => {
            record.short.and_then(|s| record.field(s)).is_some_and(|f| takes(&f.kind, node))
        }
        _ => false,
    }
}

/// The value of a field under its key or one of its other names.
pub(crate) fn get<'n>(node: &'n Node, field: &Field) -> Option<&'n Node> {
    node.get(field.key).or_else(|| field.aliases.iter().find_map(|alias| node.get(alias)))
}

fn first_word(node: &Node) -> Span {
    match node.shape {
        Shape::Map(_) | Shape::List(_) => match node.entries().first() {
            Some(entry) => entry.key_span.clone(),
            None => first_line(&node.span),
        },
        Shape::Text(_) | Shape::Null => node.span.clone(),
    }
}

fn with_article(name: &str) -> String {
    let name = name.replace('_', " ");
    match name.as_str() {
        "items" | "limits" | "stdin" => name,
        _ if name.contains(' ') => format!("`{}`", name.replace(' ', "_")),
        _ if name.starts_with(['a', 'e', 'i', 'o']) => format!("an {name}"),
        _ => format!("a {name}"),
    }
}
