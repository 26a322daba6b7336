//! No text makes the parser panic or take long, and what it accepts it can write and read again.
#![allow(clippy::unwrap_used)]

use plush_spec::{Format, parse, render, to_xml, to_yaml};
use proptest::prelude::*;
use std::path::Path;
use std::time::{Duration, Instant};

/// Generous, since tests run unoptimised on shared machines; a quadratic step takes far longer.
const TIME_MAX: Duration = Duration::from_secs(5);

fn seeds() -> Vec<(Format, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = Vec::new();
    for folder in [root.join("../../examples"), root.join("tests/malformed")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let format = match path.extension().and_then(|e| e.to_str()) {
                Some("xml") => Format::Xml,
                Some("yaml") => Format::Yaml,
                _ => continue,
            };
            seeds.push((format, std::fs::read_to_string(path).unwrap()));
        }
    }
    seeds.sort_by(|a, b| a.1.cmp(&b.1));
    seeds
}

fn check(format: Format, text: &str) {
    let start = Instant::now();
    let parsed = parse(text, "fuzz", Some(format));
    assert!(start.elapsed() < TIME_MAX, "took {:?} for {} bytes", start.elapsed(), text.len());
    assert_eq!(parsed.project.is_none(), parsed.error_count() > 0);
    render(&parsed.problems, text, "fuzz", true);
    let Some(project) = parsed.project else { return };
    for (format, written) in [(Format::Yaml, to_yaml(&project)), (Format::Xml, to_xml(&project))] {
        let again = parse(&written, "again", Some(format));
        let said = render(&again.problems, &written, "again", false);
        assert_eq!(again.project.as_ref(), Some(&project), "{text}\n---\n{written}\n{said}");
    }
}

/// A change to a text: where (in thousandths), how many characters go, what comes.
fn change() -> impl Strategy<Value = (usize, usize, String)> {
    let words = prop::sample::select(vec![
        "",
        " ",
        "\n",
        "  ",
        "\t",
        "<",
        ">",
        "/>",
        "</",
        "\"",
        "'",
        "&",
        "&amp;",
        "&#0;",
        "<!--",
        "]]>",
        "<![CDATA[",
        "<x:y xmlns:x='z'/>",
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        "- ",
        "#",
        "|",
        ">-",
        "*a",
        "&a",
        "!t",
        "%",
        "@",
        "`",
        "?",
        "? ",
        "~",
        "null",
        "${",
        "$${",
        "${rank}",
        "${hosts.",
        "\u{0}",
        "\u{85}",
        "\u{feff}",
        "ü",
        "🦀",
        "-",
        "0",
        "99999999999999999999",
        "all",
        "1..",
        "name=",
        "x-",
        "after: [",
        "id: a",
        "parallel:",
        "<parallel>",
        "repeat:",
        "execution:",
        "\r\n",
        ":\t",
        "-\t",
        "\\ud83d",
        "\\ude00",
        "\"\\ud83d\\ude00\"",
        "90%",
        "hosts: [",
    ]);
    (
        0..1000usize,
        0..30usize,
        prop_oneof![4 => words.prop_map(str::to_string), 1 => any::<String>()],
    )
}

fn changed(text: &str, changes: &[(usize, usize, String)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, gone, new) in changes {
        let from = at * chars.len() / 1000;
        let to = (from + gone).min(chars.len());
        chars.splice(from..to, new.chars());
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_a_description_panics_or_takes_long(
        seed in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 0..6),
    ) {
        let seeds = seeds();
        let (format, text) = seed.get(&seeds);
        check(*format, &changed(text, &changes));
    }

    #[test]
    fn no_text_at_all_panics(text in any::<String>(), is_xml in any::<bool>()) {
        check(if is_xml { Format::Xml } else { Format::Yaml }, &text);
    }

    #[test]
    fn every_text_of_a_task_comes_through_both_syntaxes(
        args in prop::collection::vec("[^\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{7f}\u{fffe}\u{ffff}$]{0,12}", 0..4),
        value in "[ -~\n\t]{0,20}",
        glob in "[a-z*?]{1,3}/[a-z0-9.]{1,8}x",
    ) {
        let text = "project: p\nhosts: node[1-3]\nclusters: {c: {execution: [{process: a, path: ./a, env: {V: w}, stdin: w, args: [b], outputs: [o]}]}}\n";
        let mut project = parse(text, "p.yaml", None).project.unwrap();
        let plush_spec::model::Action::Process(process) = &mut project.clusters[0].execution[0].action else { unreachable!() };
        let plush_spec::model::Command::Program { args: own, .. } = &mut process.command else { unreachable!() };
        *own = args;
        process.env[0].value = value.replace("${", "");
        process.stdin = plush_spec::model::Stdin::Text(value.replace("${", ""));
        process.outputs[0].glob = glob;
        for (format, written) in [(Format::Yaml, to_yaml(&project)), (Format::Xml, to_xml(&project))] {
            let again = parse(&written, "again", Some(format));
            let said = render(&again.problems, &written, "again", false);
            prop_assert_eq!(again.project.as_ref(), Some(&project), "{}\n{}", written, said);
        }
    }
}

#[test]
fn texts_beyond_the_limits_are_refused() {
    let large = format!("project: p\n# {}\n", "x".repeat(plush_spec::TEXT_BYTES_MAX));
    assert_eq!(parse(&large, "large.yaml", None).problems[0].code, "too-large");
    let wide = format!("project: p\nx-list: [{}]\n", "a,".repeat(60_000));
    assert_eq!(parse(&wide, "wide.yaml", None).problems[0].code, "too-many");
    let wide =
        format!("<plush><project name=\"p\">{}</project></plush>", "<output/>".repeat(200_000));
    assert_eq!(parse(&wide, "wide.xml", None).problems[0].code, "too-many");
}
