//! Descriptions as the commands see them: read from a file, with problems told to people.
//! Not the language: that is `plush_spec`.

use crate::exit::ExitCode;
use crate::invocation::tell;
use crate::render::text;
use crate::trouble::Trouble;
use plush_spec::model::{Place, Project};
use plush_spec::{Problem, Severity};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

pub use plush_spec::to_json;
pub use plush_spec::{Format, Parsed, convert, parse_with};

/// A longer text is not read at all; the language has a smaller limit, which it explains itself.
const BYTES_MAX: u64 = 64 << 20;

/// A description's text and where it came from.
#[derive(Clone, Debug)]
pub struct Description {
    /// The file; `-` is standard input.
    pub path: PathBuf,
    /// What problems call it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Reads a description, `-` from standard input.
pub fn read(path: &Path) -> Result<Description, Trouble> {
    let name = if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.to_string_lossy().into_owned()
    };
    let cannot = |error: io::Error| {
        Trouble::new(ExitCode::Description, format!("cannot read the description {name}"))
            .caused_by(&error)
    };
    let bytes = bytes_of(path).map_err(cannot)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count()
            + 1;
        Trouble::new(ExitCode::Description, format!("cannot read the description {name}"))
            .because(format!("line {line} is not UTF-8"))
            .next("save the file as UTF-8")
    })?;
    Ok(Description { path: path.to_owned(), name, text })
}

/// Selects the application of that name; the first one of the description where no name is given.
pub fn choose(project: &mut Project, application: Option<&str>) -> Result<(), Trouble> {
    let Some(name) = application else { return Ok(()) };
    if project.choose(name) {
        return Ok(());
    }
    let known: Vec<&str> = project.applications.iter().map(|a| a.name.as_str()).collect();
    let what = format!("the description has no application `{}`", text::shown(name));
    let next = match plush_spec::nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{}`? It has {}", text::shown(near), known.join(", ")),
        None => format!("it has {}", known.join(", ")),
    };
    Err(Trouble::usage(what).next(next))
}

/// Warnings about unsupported features that a description uses, with the text of the plan that
/// refuses them.
pub fn not_yet(
    project: &Project,
    application: Option<&str>,
    description: &Description,
) -> Vec<Problem> {
    let chosen = application.and_then(|_| project.applications.first());
    let warning = |refused: plush_spec::Refused| Problem {
        severity: Severity::Warning,
        code: "not-yet",
        ..problem_at(refused.place, &refused.message(), Some(refused.hint()), description)
    };
    plush_spec::refused(project, chosen).into_iter().map(warning).collect()
}

/// Tells people of problems.
pub fn tell_problems(problems: &[Problem], description: &Description, paint: crate::colour::Paint) {
    let coloured = paint == crate::colour::Paint::Coloured;
    tell(&plush_spec::render(
        problems,
        &description.text,
        &text::shown(&description.name),
        coloured,
    ));
}

/// A problem that was found after reading, at its place in the text.
pub fn problem_at(
    place: Place,
    what: &str,
    hint: Option<&str>,
    description: &Description,
) -> Problem {
    let start = offset(&description.text, place);
    let rest = &description.text[start..];
    // An element is shown with its `<`, a quoted text with its quote.
    let skip = usize::from(rest.starts_with(['<', '"', '\'']));
    let word = rest[skip..].find(|c: char| c.is_whitespace() || "<>\"':,{}[]".contains(c));
    let word = word.map_or(rest.len(), |len| skip + len);
    Problem {
        severity: Severity::Error,
        code: "plan",
        place,
        span: start..start + word,
        message: text::guarded_line(what).into_owned(),
        hint: hint.map(|hint| text::guarded_line(hint).into_owned()),
    }
}

/// Where a place is in the text, in bytes.
fn offset(text: &str, place: Place) -> usize {
    let line = (place.line as usize).saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let column = (place.column as usize).saturating_sub(1);
    let within = text[start..].char_indices().nth(column).map_or(text.len() - start, |(at, _)| at);
    start + within
}

fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match path == Path::new("-") {
        true => io::stdin().lock().take(BYTES_MAX).read_to_end(&mut bytes)?,
        false => fs::File::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_the_text() {
        assert_eq!(offset("ab\nüb\n", Place::new(2, 2)), 5);
        assert_eq!(offset("ab", Place::new(9, 9)), 2);
        assert_eq!(offset("ab", Place::default()), 0);
    }
}
