//! Text to project: the door to everything else.
//! It reads no files; whoever has a text brings it.

use crate::check::check;
use crate::cross;
use crate::lower::{Lower, project};
use crate::model::Project;
use crate::problem::{Problem, Severity};
use crate::raise::raise;
use crate::report::Report;
use crate::source::Source;
use crate::substitute::Scope;
use crate::tree::node::Node;
use crate::tree::{TEXT_BYTES_MAX, early, element, shape, shorthand, yaml};
use crate::value::{nearest, shown};
use crate::write;

/// A syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The original one.
    Xml,
    /// The one that people write today.
    Yaml,
}

impl Format {
    /// The syntax of a text: by the file's name, else by the first character.
    pub fn detect(text: &str, file_name: &str) -> Format {
        match file_name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("xml") => Format::Xml,
            Some("yaml" | "yml") => Format::Yaml,
            _ if text.trim_start_matches('\u{feff}').trim_start().starts_with('<') => Format::Xml,
            _ => Format::Yaml,
        }
    }
}

/// What came of reading a description.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The project; `None` where there are errors.
    pub project: Option<Project>,
    /// Everything that is wrong or looks wrong, in the order of the text.
    pub problems: Vec<Problem>,
}

impl Parsed {
    /// How many errors there are; warnings do not count.
    pub fn error_count(&self) -> usize {
        self.problems.iter().filter(|p| p.severity == Severity::Error).count()
    }
}

/// Reads a description; `format` of `None` is detected.
pub fn parse(text: &str, file_name: &str, format: Option<Format>) -> Parsed {
    parse_with(text, file_name, format, &[])
}

/// Reads a description with values for its variables, as `--set name=value` gives them.
pub fn parse_with(
    text: &str,
    file_name: &str,
    format: Option<Format>,
    settings: &[(String, String)],
) -> Parsed {
    let format = format.unwrap_or_else(|| Format::detect(text, file_name));
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(body);
    let mut report = Report::new(&source);
    let mut found = None;
    if let Some(root) = read(format, &mut report) {
        let scope = scope_of(&root, settings, &mut report);
        report.words_are_checked();
        check(&root, &scope, &mut report);
        report.words_are_checked();
        found = project(&mut Lower { report: &mut report, scope: &scope }, &root);
        if let Some(project) = &found {
            cross::check(project, &mut report);
        }
    }
    let found = found.filter(|_| !report.has_errors());
    Parsed { project: found, problems: shifted(report.into_problems(), text.len() - body.len()) }
}

/// Turns a description into the other syntax, or into the words of today. Variables stay
/// variables; comments and the order of attributes are not kept.
///
/// # Errors
/// The problems, where the description has errors.
pub fn convert(
    text: &str,
    file_name: &str,
    format: Option<Format>,
    to: Format,
) -> Result<String, Vec<Problem>> {
    let parsed = parse(text, file_name, format);
    if parsed.project.is_none() {
        return Err(parsed.problems);
    }
    let format = format.unwrap_or_else(|| Format::detect(text, file_name));
    let source = Source::new(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut report = Report::new(&source);
    let root = read(format, &mut report).ok_or(parsed.problems)?;
    Ok(write_tree(&root, to))
}

/// A project as YAML; reading it gives the same project.
pub fn to_yaml(project: &Project) -> String {
    write_tree(&raise(project), Format::Yaml)
}

/// A project as XML; reading it gives the same project.
pub fn to_xml(project: &Project) -> String {
    write_tree(&raise(project), Format::Xml)
}

fn write_tree(root: &Node, to: Format) -> String {
    match to {
        Format::Xml => write::xml::write(root),
        Format::Yaml => write::yaml::write(root),
    }
}

fn read(format: Format, report: &mut Report<'_>) -> Option<Node> {
    if !accept_size(report.source.text, report) {
        return None;
    }
    let mut root = match format {
        Format::Yaml => yaml::read(report)?,
        Format::Xml => {
            report.is_xml = true;
            let root = element::read(report)?;
            let (project, version) = early::rewrite(root, report)?;
            shape::project(&project, version.as_ref(), report)
        }
    };
    shorthand::expand(&mut root, report);
    Some(root)
}

/// Refuses texts that are too large, before anything is allocated for them.
pub(crate) fn accept_size(text: &str, report: &mut Report<'_>) -> bool {
    let fits = text.len() <= TEXT_BYTES_MAX;
    if !fits {
        let message = format!(
            "a description has at most {} MiB, this has {}",
            TEXT_BYTES_MAX >> 20,
            text.len() >> 20
        );
        report.error("too-large", &(0..0), message, None);
    }
    fits
}

/// The project's variables with their settings.
fn scope_of(root: &Node, settings: &[(String, String)], report: &mut Report<'_>) -> Scope<'static> {
    let mut scope = Scope::new();
    let declared = root.get("variables").map_or(&[][..], Node::entries);
    for entry in declared {
        scope.set_text(&entry.key, entry.value.as_text().unwrap_or_default());
    }
    for (name, value) in settings {
        if scope.get(name).is_none() {
            let hint = match nearest(name, declared.iter().map(|e| e.key.as_str())) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "add it with its default to `variables`".to_string(),
            };
            report.error(
                "variable",
                &(0..0),
                format!("there is no variable `{}` to set", shown(name)),
                Some(hint),
            );
        }
        scope.set_text(name, value.as_str());
    }
    scope
}

/// A byte order mark was cut off before reading.
fn shifted(mut problems: Vec<Problem>, by: usize) -> Vec<Problem> {
    for problem in &mut problems {
        problem.span = problem.span.start + by..problem.span.end + by;
    }
    problems
}
