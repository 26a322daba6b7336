//! Every malformed description says what is wrong with it, where, and what to do.
//! `UPDATE=1 cargo test -p plush-spec --test malformed` writes the expectations anew; read them.
#![allow(clippy::unwrap_used)]

use plush_spec::{Severity, parse, render};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malformed")
}

fn descriptions() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| matches!(path.extension().and_then(|e| e.to_str()), Some("xml" | "yaml")));
    found.sort();
    found
}

/// What a person would see.
fn check(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let parsed = parse(&text, name, None);
    assert!(!parsed.problems.is_empty(), "{name} is not malformed");
    let has_errors = parsed.problems.iter().any(|p| p.severity == Severity::Error);
    assert_eq!(
        parsed.project.is_none(),
        has_errors,
        "{name}: a project exactly where there are no errors"
    );
    for problem in &parsed.problems {
        assert!(text.get(problem.span.clone()).is_some(), "{name}: {problem:?} is not in the text");
        let before = &text[..problem.span.start];
        let line = before.matches('\n').count() as u32 + 1;
        let column = before.rsplit('\n').next().unwrap().chars().count() as u32 + 1;
        assert_eq!(
            (problem.place.line, problem.place.column),
            (line, column),
            "{name}: {problem:?}"
        );
    }
    render(&parsed.problems, &text, name, false)
}

#[test]
fn every_malformed_description_gets_the_expected_diagnostics() {
    let is_update = std::env::var_os("UPDATE").is_some();
    let descriptions = descriptions();
    assert!(descriptions.len() >= 150);
    let mut differing = Vec::new();
    for path in &descriptions {
        let expected = PathBuf::from(format!("{}.expected", path.display()));
        let seen = check(path);
        if is_update {
            std::fs::write(&expected, &seen).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != seen {
            differing.push(format!("{}:\n{seen}", path.display()));
        }
    }
    assert!(
        differing.is_empty(),
        "{}\nrun with UPDATE=1 and read what changes",
        differing.join("\n")
    );
}

#[test]
fn no_expectation_is_without_its_description() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if let Some(description) = path.to_str().unwrap().strip_suffix(".expected") {
            assert!(Path::new(description).exists(), "{description} is gone");
        }
    }
}
