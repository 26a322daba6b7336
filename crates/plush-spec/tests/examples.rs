//! Every example is good, and says the same in both syntaxes.
#![allow(clippy::unwrap_used)]

use plush_spec::model::Project;
use plush_spec::{Format, Parsed, convert, parse, render, to_xml, to_yaml};
use std::path::{Path, PathBuf};

fn examples() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| matches!(path.extension().and_then(|e| e.to_str()), Some("xml" | "yaml")));
    found.sort();
    assert!(found.len() >= 7);
    found.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

fn check(text: &str, name: &str) -> Parsed {
    let parsed = parse(text, name, None);
    assert!(
        parsed.project.is_some(),
        "{name}:\n{text}\n{}",
        render(&parsed.problems, text, name, false)
    );
    parsed
}

/// Both are the same project; says where they begin to differ.
fn same(parsed: &Parsed, project: &Project, text: &str) {
    let read = parsed.project.as_ref().unwrap();
    if read == project {
        return;
    }
    let (a, b) = (format!("{read:#?}"), format!("{project:#?}"));
    let no_places = |text: &str| {
        text.lines()
            .filter(|l| !l.trim().starts_with("line:") && !l.trim().starts_with("column:"))
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    let (a, b) = (no_places(&a), no_places(&b));
    let at = a.iter().zip(&b).position(|(a, b)| a != b).unwrap_or(0);
    let near = |lines: &[String]| lines[at.saturating_sub(6)..(at + 4).min(lines.len())].join("\n");
    panic!("{text}\nread:\n{}\nwanted:\n{}", near(&a), near(&b));
}

#[test]
fn every_example_is_good() {
    for (path, text) in examples() {
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        let parsed = check(&text, &name);
        let expected = if name == "figure3.xml" { vec!["unverified"] } else { vec![] };
        let codes: Vec<&str> = parsed.problems.iter().map(|p| p.code).collect();
        assert_eq!(codes, expected, "{}", render(&parsed.problems, &text, &name, false));
    }
}

#[test]
fn a_project_written_in_either_syntax_is_read_back_as_it_was() {
    for (path, text) in examples() {
        let name = path.to_str().unwrap();
        let project = check(&text, name).project.unwrap();
        let yaml = to_yaml(&project);
        same(&check(&yaml, "written.yaml"), &project, &yaml);
        let xml = to_xml(&project);
        same(&check(&xml, "written.xml"), &project, &xml);
    }
}

#[test]
fn a_converted_description_means_the_same_and_keeps_its_variables() {
    for (path, text) in examples() {
        let name = path.to_str().unwrap();
        let project = check(&text, name).project.unwrap();
        for to in [Format::Yaml, Format::Xml] {
            let once = convert(&text, name, None, to).unwrap();
            let file = if to == Format::Yaml { "once.yaml" } else { "once.xml" };
            same(&check(&once, file), &project, &once);
            for back in [Format::Yaml, Format::Xml] {
                let twice = convert(&once, file, None, back).unwrap();
                let file = if back == Format::Yaml { "twice.yaml" } else { "twice.xml" };
                same(&check(&twice, file), &project, &twice);
            }
            if name.ends_with("everything.yaml") {
                assert!(once.contains("${workers}") && once.contains("${size}"), "{once}");
            }
        }
    }
}

#[test]
fn three_lines_are_enough() {
    let project = check(
        "project: hello\nhosts: node[01-50].example.org\nrun: ./hello --rank ${rank}\n",
        "hello.yaml",
    )
    .project
    .unwrap();
    assert_eq!(project.clusters.len(), 1);
    assert_eq!(project.clusters[0].num_hosts.wanted, plush_spec::model::Wanted::All);
    assert_eq!(project.resources[0].hosts.as_ref().unwrap().text, "node[01-50].example.org");
}
