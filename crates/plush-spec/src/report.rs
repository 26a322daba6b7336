//! The problems found so far: every part adds to it, none stops because of it.
//! It does not decide what to do about them.

use crate::model::Place;
use crate::problem::{Problem, Severity};
use crate::source::{Source, Span};

/// More problems than these help nobody.
const PROBLEMS_MAX: usize = 500;

/// Collects problems of one text.
pub(crate) struct Report<'s> {
    pub source: &'s Source<'s>,
    /// Whether hints speak XML.
    pub is_xml: bool,
    pub problems: Vec<Problem>,
    /// Whether a missing item may be misspelled or have the wrong shape: see [`Report::absent`].
    is_misread: bool,
}

/// Problems because of which a given item is not found at its place.
const MISREADING: [&str; 5] =
    ["unknown-key", "unknown-element", "unknown-attribute", "shape", "step"];

impl<'s> Report<'s> {
    pub fn new(source: &'s Source<'s>) -> Report<'s> {
        Report { source, is_xml: false, problems: Vec::new(), is_misread: false }
    }

    /// The keywords are checked: from now on [`Report::absent`] determines whether its problem
    /// follows from an earlier one.
    pub fn words_are_checked(&mut self) {
        self.is_misread = self.problems.iter().any(|p| MISREADING.contains(&p.code));
    }

    /// Reports a missing item, unless an earlier keyword was not understood.
    pub fn absent(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: &Span,
        message: impl Into<String>,
        hint: &str,
    ) {
        if !self.is_misread {
            self.add(severity, code, span, message.into(), Some(hint.to_string()));
        }
    }

    pub fn error(
        &mut self,
        code: &'static str,
        span: &Span,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.add(Severity::Error, code, span, message.into(), hint);
    }

    pub fn warning(
        &mut self,
        code: &'static str,
        span: &Span,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.add(Severity::Warning, code, span, message.into(), hint);
    }

    /// An error about something of which only the place is known.
    pub fn error_at(
        &mut self,
        code: &'static str,
        place: Place,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        if !self.is_full() {
            let span = self.source.word_at(place);
            self.add(Severity::Error, code, &span, message.into(), hint);
        }
    }

    /// A warning about something of which only the place is known.
    pub fn warning_at(
        &mut self,
        code: &'static str,
        place: Place,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        if !self.is_full() {
            let span = self.source.word_at(place);
            self.add(Severity::Warning, code, &span, message.into(), hint);
        }
    }

    /// Whether further problems are of no use to anybody.
    pub fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|p| p.severity == Severity::Error)
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: &Span,
        message: String,
        hint: Option<String>,
    ) {
        if !self.is_full() {
            let place = self.source.place(span.start);
            self.problems.push(Problem {
                severity,
                code,
                place,
                span: self.source.within_line(span),
                message,
                hint,
            });
        }
    }

    /// The problems in the order of the text, each once.
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by(|a, b| {
            (a.span.start, a.severity, a.code, &a.message).cmp(&(
                b.span.start,
                b.severity,
                b.code,
                &b.message,
            ))
        });
        self.problems.dedup_by(|a, b| a.span.start == b.span.start && a.message == b.message);
        self.problems
    }
}
