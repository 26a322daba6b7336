//! A problem of a description: what is wrong, where, and what to do.
//! Rendering is done here too; choosing where to print is not.

use crate::model::Place;
use crate::source::Span;
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

/// Something that is wrong, or looks wrong, in a description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the description can be used nevertheless.
    pub severity: Severity,
    /// What kind of problem it is: a stable word for programs.
    pub code: &'static str,
    /// The line and column.
    pub place: Place,
    /// The piece of the text that is meant, in bytes.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The description cannot be used.
    Error,
    /// It can be used, but is perhaps not what was meant.
    Warning,
}

/// Problems as text for people: each with file, line, column, the line itself and a hint.
/// Nothing of the text reaches a terminal unescaped.
pub fn render(problems: &[Problem], source: &str, file_name: &str, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(110);
    let mut out = String::new();
    for problem in problems {
        out.push_str(&render_one(problem, source, file_name, &renderer));
        out.push_str("\n\n");
    }
    out
}

fn render_one(problem: &Problem, source: &str, file_name: &str, renderer: &Renderer) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let excerpt = Excerpt::of(problem, source);
    let snippet = Snippet::source(excerpt.text)
        .line_start(excerpt.first_line)
        .path(file_name)
        .annotation(AnnotationKind::Primary.span(excerpt.span));
    let mut group = level.primary_title(problem.message.as_str()).id(problem.code).element(snippet);
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    renderer.render(&[group])
}

/// The one line that a problem is shown with: enough, however long the text is.
struct Excerpt<'s> {
    text: &'s str,
    first_line: usize,
    span: Span,
}

impl<'s> Excerpt<'s> {
    fn of(problem: &Problem, source: &'s str) -> Excerpt<'s> {
        let start = source.floor_char_boundary(problem.span.start.min(source.len()));
        let from = source[..start].rfind('\n').map_or(0, |i| i + 1);
        let to = source[start..].find('\n').map_or(source.len(), |i| i + start);
        let text = source[from..to].trim_end_matches('\r');
        let text = &text[..text.floor_char_boundary(LINE_BYTES_MAX)];
        let start = (start - from).min(text.len());
        let end =
            source.floor_char_boundary(problem.span.end.min(source.len())).saturating_sub(from);
        let end = end.clamp(start, text.len());
        Excerpt { text, first_line: problem.place.line.max(1) as usize, span: start..end }
    }
}

/// Longer lines are cut.
const LINE_BYTES_MAX: usize = 2000;

/// Problems as a JSON array for programs: one object each with `file`, `severity`, `code`, `line`,
/// `column`, `start` and `end` in bytes, `message`, `hint`.
pub fn to_json(problems: &[Problem], file_name: &str) -> String {
    let objects: Vec<serde_json::Value> = problems
        .iter()
        .map(|p| {
            serde_json::json!({
                "file": file_name, "severity": p.severity, "code": p.code,
                "line": p.place.line, "column": p.place.column,
                "start": p.span.start, "end": p.span.end,
                "message": p.message, "hint": p.hint,
            })
        })
        .collect();
    serde_json::Value::Array(objects).to_string()
}
