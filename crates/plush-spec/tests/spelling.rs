//! Common spellings are accepted, or rejected with the intended keyword, at their position.
#![allow(clippy::unwrap_used)]

use plush_spec::model::{Project, Release};
use plush_spec::{Format, Problem, parse};

fn project(text: &str) -> Project {
    let parsed = parse(text, "d.yaml", None);
    let said = plush_spec::render(&parsed.problems, text, "d.yaml", false);
    parsed.project.unwrap_or_else(|| panic!("{text}\n{said}"))
}

/// The only problem of a text, and the piece of the text that it points at.
fn only_problem(text: &str) -> (Problem, &str) {
    let format = if text.starts_with('<') { Format::Xml } else { Format::Yaml };
    let problems = parse(text, "d", Some(format)).problems;
    let said = plush_spec::render(&problems, text, "d", false);
    assert_eq!(problems.len(), 1, "{text}\n{said}");
    let problem = problems.into_iter().next().unwrap();
    let piece = &text[problem.span.clone()];
    (problem, piece)
}

fn hosts_of(project: &Project) -> String {
    project.resources[0].hosts.as_ref().unwrap().text.clone()
}

fn line_of(project: &Project) -> String {
    let step = &project.clusters[0].execution[0];
    let plush_spec::model::Action::Process(process) = &step.action else { panic!("no process") };
    let plush_spec::model::Command::Shell { line, .. } = &process.command else {
        panic!("no line")
    };
    line.clone()
}

#[test]
fn a_tab_is_white_space_between_a_key_and_its_value() {
    for text in [
        "project:\tp\nhosts:\th001\nrun:\ta\n",
        "project: \t p\t# c\nhosts:\t\"h001\"\t\t# c\nrun:\t'a'\n",
        "\t# comment\nproject: p\n\t\nhosts: h001\t\nrun\t:\ta\n",
        "{\n\t\"project\":\t\"p\",\n\t\"hosts\":\t[\"h001\"],\n\t\"run\":\t\"a\"\n}\n",
        "\u{feff}project:\tp\r\nhosts:\th001\r\nrun:\ta\r\n",
        "project:\tp\nresources:\n  -\ttype:\tssh\n  - \th001\nclusters:\n  p:\t{num_hosts:\t1, run:\ta}\n",
    ] {
        let text = text.replace("type:\tssh\n  - \th001", "type:\tssh\n    hosts:\th001");
        let project = project(&text);
        assert_eq!((project.name.as_str(), line_of(&project).as_str()), ("p", "a"), "{text}");
        assert_eq!(hosts_of(&project), "h001", "{text}");
    }
}

#[test]
fn a_tab_within_a_value_stays_and_one_that_indents_is_refused() {
    let literal = project("project: p\nhosts: h001\nrun: |\n  a:\tb\n  'x:\ty'\n");
    assert_eq!(line_of(&literal), "a:\tb\n'x:\ty'\n");
    assert_eq!(line_of(&project("project: p\nhosts: h001\nrun: \"a:\tb\"\n")), "a:\tb");
    let (problem, _) = only_problem("project: p\nhosts:\n\t- h001\nrun: a\n");
    assert_eq!((problem.code, problem.hint.as_deref()), ("yaml", Some("indent with spaces")));
}

#[test]
fn a_surrogate_pair_in_double_quotes_is_one_character() {
    let text =
        r#"{"project": "p", "hosts": "h001", "run": "a \ud83d\ude00\ud83d\uDE00 \/ \\ud83d"}"#;
    assert_eq!(line_of(&project(text)), "a \u{1f600}\u{1f600} / \\ud83d");
    let text = "project: p\nhosts: h001\nvariables: {a: '\\ud83d\\ude00', b: x\\ud83d}\nrun: |\n  \"\\ud83d\\ude00\"\n";
    let project = project(text);
    assert_eq!(line_of(&project), "\"\\ud83d\\ude00\"\n", "only double quotes have escapes");
    let values: Vec<&str> = project.variables.iter().map(|v| v.value.as_str()).collect();
    assert_eq!(values, ["\\ud83d\\ude00", "x\\ud83d"]);
}

#[test]
fn half_a_surrogate_pair_is_pointed_at() {
    for (line, piece) in [
        ("\"\u{e4} \\ud83d x\"", "\\ud83d"),
        ("\"\\ude00\\ud83d\"", "\\ude00"),
        ("\"\\ud83d\\ude00 \\ud83e\\ud83d\\ude00\"", "\\ud83e"),
    ] {
        let text = format!("project: p\nhosts: h001\nrun: {line}\n");
        let (problem, found) = only_problem(&text);
        assert_eq!((problem.code, found), ("yaml-escape", piece), "{text}");
    }
}

#[test]
fn hosts_may_be_a_list_or_stand_on_several_lines() {
    for (written, meant) in [
        ("[h001, h002]", "h001,h002"),
        ("\n  - h[001-003]\n  - h007,h008", "h[001-003],h007,h008"),
        ("|\n  h001\n  h002", "h001 h002"),
        ("|-\n  h001,\n  h002", "h001, h002"),
        (">\n  h001,\n  h002\n", "h001, h002"),
        ("h001,\n  h002", "h001, h002"),
    ] {
        let text = format!("project: p\nhosts: {written}\nrun: a\n");
        assert_eq!(hosts_of(&project(&text)), meant, "{text}");
        let resource = written.replace('\n', "\n    ");
        let text = format!(
            "project: p\nresources:\n  - hosts: {resource}\n    exclude: [h001]\nclusters: {{c: {{run: a}}}}\n"
        );
        assert_eq!(hosts_of(&project(&text)), meant, "{text}");
    }
    let xml =
        "<plush><project name=\"p\"><hosts>h001,\n  h002\n</hosts><run>a</run></project></plush>";
    assert_eq!(hosts_of(&parse(xml, "d.xml", None).project.unwrap()), "h001, h002");
}

#[test]
fn a_fault_in_a_list_of_hosts_is_one_error_at_its_item() {
    for (hosts, piece) in [
        ("[h001, \"n[1-\"]", "[1-"),
        ("|\n  h001\n  n[1-", "[1-"),
        ("[h001, \"a!b\"]", "\"a!b\""),
        ("[h001, {a: b}]", "a"),
        ("{a: b}", "a"),
    ] {
        let text = format!("project: p\nhosts: {hosts}\nrun: a\n");
        let (_, found) = only_problem(&text);
        assert_eq!(found, piece, "{text}");
    }
}

#[test]
fn a_bare_share_or_number_is_enough_for_a_barrier_and_a_minimum() {
    let project = project(
        "project: p\nhosts: n[1-10]\nclusters: {c: {num_hosts: {wanted: 10, min: 85%, spare: 1%}, run: a, ready: {entry: 90%, release: 5}, prepare: {release: 10%, entry: 4}}}\n",
    );
    let cluster = &project.clusters[0];
    assert_eq!((cluster.num_hosts.min, cluster.num_hosts.spare), (Some(9), 1), "rounded up");
    assert_eq!(cluster.ready.entry.percent.as_ref().unwrap().percent, 90.0);
    assert_eq!(cluster.ready.release, Release::CountPerTick { count: 5, every_ms: 1000 });
    assert_eq!(cluster.prepare.entry.count, Some(4));
    assert_eq!(cluster.prepare.release, Release::PercentPerTick { percent: 10.0, every_ms: 1000 });
    let xml = "<plush><project name=\"p\"><hosts>h[1-9]</hosts><cluster name=\"c\"><ready entry=\"90%\"><release>5</release></ready><run>a</run></cluster></project></plush>";
    let of_xml = parse(xml, "d.xml", None).project.unwrap();
    assert_eq!(of_xml.clusters[0].ready.entry, cluster.ready.entry);
    assert_eq!(of_xml.clusters[0].ready.release, cluster.ready.release);
    let (problem, piece) = only_problem(
        "project: p\nhosts: n[1-10]\nclusters: {c: {num_hosts: {wanted: all, min: 90%}, run: a}}\n",
    );
    assert_eq!((problem.code, piece), ("value", "90%"));
}

#[test]
fn a_word_of_another_tool_gets_one_error_with_the_word_that_is_meant() {
    let cluster = |inner: &str| format!("project: p\nhosts: h001\nclusters: {{c: {{{inner}}}}}\n");
    let process = |inner: &str| cluster(&format!("execution: [{{process: a, {inner}}}]"));
    for (text, word, meant) in [
        ("project: p\nhosts: h001\ncommand: ls\n".to_string(), "command", "`run`"),
        ("project: p\nhosts: h001\ncmd: ls\n".to_string(), "cmd", "`run`"),
        ("project: p\nnodes: h001\nrun: ls\n".to_string(), "nodes", "`hosts`"),
        ("project: p\nmachines: [a, b]\nrun: ls\n".to_string(), "machines", "`hosts`"),
        ("project: p\nhosts: h001\nenv: {A: b}\nrun: ls\n".to_string(), "env", "`env` belongs"),
        ("project: p\nhosts: h001\ntasks: [a]\n".to_string(), "tasks", "`clusters:"),
        ("name: p\nhosts: h001\nrun: ls\n".to_string(), "name", "`project: NAME`"),
        ("project: p\nhosts: h001\nservices: {web: {}}\n".to_string(), "services", "`clusters:`"),
        (cluster("command: ls"), "command", "`run`"),
        (cluster("run: ls, probes: [{tcp: 1}]"), "probes", "`probes` belongs to a process"),
        (cluster("run: ls, callbacks: []"), "callbacks", "belongs to a project"),
        (cluster("replicas: 3, run: ls"), "replicas", "`num_hosts`"),
        (cluster("tasks: [a]"), "tasks", "`execution`"),
        (process("command: ls"), "command", "`run`"),
        (process("run: ls, environment: {A: b}"), "environment", "`env`"),
        (process("run: ls, working-dir: /x"), "working-dir", "`cwd`"),
        (cluster("execution: [{name: a, shell: ls}]"), "name", "`process: NAME`"),
        (cluster("execution: [{run: ls}]"), "run", "`process: NAME`"),
        (
            "<plush><project name=\"p\"><hosts>h</hosts><command>ls</command></project></plush>"
                .to_string(),
            "<command",
            "`run`",
        ),
    ] {
        let (problem, piece) = only_problem(&text);
        let hint = problem.hint.unwrap();
        assert!(hint.contains(meant), "{text}\n{hint}");
        assert_eq!(piece, word, "{text}");
    }
}

#[test]
fn an_error_points_at_the_word_and_not_at_the_block() {
    let cluster = |inner: &str| format!("project: p\nhosts: h001\nclusters:\n  c:\n{inner}");
    for (text, piece) in [
        ("project: p\nhosts: h001\nrun: |\n  a\n  b ${fooo} c\n".to_string(), "${fooo}"),
        ("project: p\nhosts: h001\nrun: |\n  a\n  b ${rank\n".to_string(), "${"),
        (
            cluster(
                "    run: a\n    ready:\n      release:\n        count: 3\n        percent: 4\n",
            ),
            "percent",
        ),
        (cluster("    execution:\n      - process: a\n        run: x\n        path: y\n"), "path"),
        (
            cluster(
                "    run: a\n    on_failure:\n      host:\n        do: replace\n        call: [x]\n",
            ),
            "call",
        ),
        (cluster("    run:\n      a: b\n"), "a"),
    ] {
        let (_, found) = only_problem(&text);
        assert_eq!(found, piece, "{text}");
    }
}
