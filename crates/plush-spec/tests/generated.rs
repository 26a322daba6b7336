//! The documentation and the schemas are what the vocabulary says.
//! `UPDATE=1 cargo test -p plush-spec --test generated` writes them anew.
#![allow(clippy::unwrap_used)]

use plush_spec::{Format, convert, json_schema, reference, xsd};
use std::path::{Path, PathBuf};
use std::process::Command;

const MARK: &str = "<!-- reference: generated, do not edit below -->\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn check(path: &str, wanted: &str, same: impl Fn(&str, &str) -> bool) {
    let path = root().join(path);
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if same(&found, wanted) {
        return;
    }
    assert!(
        std::env::var_os("UPDATE").is_some(),
        "{} is old: run `UPDATE=1 cargo test -p plush-spec --test generated`",
        path.display()
    );
    std::fs::write(&path, wanted).unwrap();
}

#[test]
fn the_reference_is_what_the_vocabulary_says() {
    let page = std::fs::read_to_string(root().join("docs/src/language.md")).unwrap();
    let (guide, _) = page.split_once(MARK).unwrap();
    check("docs/src/language.md", &format!("{guide}{MARK}\n{}", reference()), |a, b| a == b);
}

#[test]
fn the_xml_schema_is_what_the_vocabulary_says() {
    check("docs/src/schema/plush.xsd", &xsd(), |a, b| a == b);
}

#[test]
fn the_json_schema_is_what_the_vocabulary_says() {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    check("docs/src/schema/plush.schema.json", &json_schema(), |a, b| value(a) == value(b));
}

#[test]
fn the_examples_of_the_guide_are_good() {
    let page = std::fs::read_to_string(root().join("docs/src/language.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    let whole = |block: &str| match block.starts_with("project:") {
        true => block.to_string(),
        false => format!(
            "project: p\nhosts: node[1-9]\nclusters:\n  c:\n{}",
            block.lines().map(|l| format!("    {l}\n")).collect::<String>()
        ),
    };
    for block in blocks {
        let text = whole(block);
        let parsed = plush_spec::parse(&text, "block.yaml", None);
        assert!(
            parsed.problems.is_empty(),
            "{}",
            plush_spec::render(&parsed.problems, &text, "block.yaml", false)
        );
    }
}

/// Every example of the reference tables is a value that the parser takes.
#[test]
fn every_word_of_the_reference_stands_in_an_example_file() {
    let everything = std::fs::read_to_string(root().join("examples/everything.yaml")).unwrap();
    let early = ["configuration"];
    for row in reference().lines().filter(|row| row.starts_with("| `")) {
        let word = row.split('`').nth(1).unwrap();
        let is_yaml = row.split(" | ").count() == 6;
        let is_short_form = row.contains("Short form:");
        if !is_yaml || is_short_form || early.contains(&word) {
            continue;
        }
        let alone = word.split(':').next().unwrap();
        let is_there = everything.contains(&format!("{alone}:"));
        let by_short = [
            "rule",
            "share",
            "do",
            "when",
            "is",
            "list",
            "path",
            "wanted",
            "class",
            "signal",
            "abs_min",
            "ideal_min",
        ];
        assert!(is_there || by_short.contains(&alone), "`{alone}` is in no example");
    }
}

#[test]
fn the_xml_examples_are_valid_by_the_xml_schema() {
    if Command::new("xmllint").arg("--version").output().is_err() {
        eprintln!("xmllint is not installed: not checked");
        return;
    }
    let folder = std::env::temp_dir().join(format!("plush-spec-xsd-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let schema = folder.join("plush.xsd");
    std::fs::write(&schema, xsd()).unwrap();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        let Some("xml" | "yaml") = path.extension().and_then(|e| e.to_str()) else { continue };
        let text = std::fs::read_to_string(&path).unwrap();
        let written = folder.join(format!("{name}.converted.xml"));
        std::fs::write(&written, convert(&text, &name, None, Format::Xml).unwrap()).unwrap();
        files.push(written);
        files.extend(name.ends_with(".xml").then_some(path));
    }
    assert!(files.len() >= 9);
    let output = Command::new("xmllint")
        .arg("--noout")
        .arg("--schema")
        .arg(&schema)
        .args(&files)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(&files[0], "<plush><project name=\"p\"><softwear/></project></plush>").unwrap();
    let output = Command::new("xmllint")
        .arg("--noout")
        .arg("--schema")
        .arg(&schema)
        .arg(&files[0])
        .output()
        .unwrap();
    assert!(!output.status.success(), "an unknown element is not valid");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_word_that_this_build_cannot_do_yet_is_marked_in_the_reference() {
    let reference = reference();
    for entry in &plush_spec::NOT_YET {
        for (record, key) in entry.words {
            let (_, section) = reference.split_once(&format!("### {record}\n")).unwrap();
            let section = section.split("\n### ").next().unwrap();
            let mut rows = section.lines();
            let row = rows
                .find(|row| {
                    row.starts_with(&format!("| `{key}`")) || row.starts_with(&format!("| `{key}:"))
                })
                .unwrap_or_else(|| panic!("`{record}` has no `{key}`"));
            assert!(row.contains("Not in this build yet"), "{row}");
            assert!(row.contains(entry.part), "{row}");
        }
    }
}
