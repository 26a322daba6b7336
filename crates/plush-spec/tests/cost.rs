//! What the worst megabyte of text costs to read: time and memory (T11).
//!
//! Not whether it is read rightly (see `hostile`).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use plush_spec::{Format, parse, render};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// An optimised build takes at most a fifth of this. Loose, since machines are shared and builds unoptimised; a quadratic
/// step takes far longer.
const TIME_MAX: Duration =
    if cfg!(debug_assertions) { Duration::from_secs(5) } else { Duration::from_millis(500) };

/// The most memory, that of the test program itself included.
const MEMORY_MAX_KIB: u64 = 64 << 10;

/// Set in a program that reads one text, to the file that holds it.
const ONE: &str = "PLUSH_TEST_TEXT";

/// Texts of at most a megabyte (2^20 bytes), each much of one thing.
fn texts() -> Vec<(Format, String)> {
    let step = "      - {process: a, run: x}\n";
    let cluster = "project: p\nhosts: n\nclusters:\n  c:\n    execution:\n";
    let mut texts = vec![
        (Format::Yaml, many("  v{n}: x\n", "project: p\nhosts: n\nrun: x\nvariables:\n", "")),
        (Format::Yaml, many(step, cluster, "")),
        (Format::Yaml, many(step, &format!("{cluster}      - parallel:\n"), "")),
        (Format::Yaml, many("bad{n}: x\n", "", "")),
        (Format::Yaml, many("${x} ", "project: p\nhosts: n\nrun: ", "")),
        (Format::Yaml, many("[", "project: ", "")),
        (Format::Yaml, many("{a: ", "project: ", "")),
        (Format::Yaml, many("- ", "", "")),
        (Format::Yaml, many("? ", "", "")),
        (Format::Yaml, many("\"", "project: ", "")),
        (Format::Yaml, many("a\n", "project: |\n ", "")),
        (Format::Yaml, many("#", "project: p\n", "")),
        (Format::Yaml, many("n[1-9],", "project: p\nrun: x\nhosts: ", "n")),
        (
            Format::Yaml,
            many("  s{n}: {package: a}\n", "project: p\nhosts: n\nrun: x\nsoftware:\n", ""),
        ),
        (
            Format::Xml,
            many(
                "<variable name=\"v{n}\">x</variable>",
                "<plush><project name=\"p\">",
                "</project></plush>",
            ),
        ),
        (
            Format::Xml,
            many(
                "<variable name=\"v\">x</variable>",
                "<plush><project name=\"p\">",
                "</project></plush>",
            ),
        ),
        (Format::Xml, many("<bad{n}/>", "<plush><project name=\"p\">", "</project></plush>")),
        (Format::Xml, many(" a{n}=\"x\"", "<plush", "><project name=\"p\"/></plush>")),
        (
            Format::Xml,
            many("<component name=\"c{n}\"/>", "<plush><project name=\"p\">", "</project></plush>"),
        ),
        (Format::Xml, many("<a>", "", "")),
        (Format::Xml, many("<", "", "")),
        (Format::Xml, many("<!--", "", "")),
        (Format::Xml, many("text &amp; ", "<plush>", "</plush>")),
    ];
    texts.extend(expanding());
    texts.extend(long());
    texts.retain(|(_, text)| text.len() <= 1 << 20);
    texts
}

/// One line again and again, each with its number where `{n}` stands.
fn many(line: &str, head: &str, tail: &str) -> String {
    let count = 1_000_000 / line.len();
    let body: String = (0..count).map(|i| line.replace("{n}", &i.to_string())).collect();
    let room = (1 << 20) - head.len() - tail.len();
    let cut = body.char_indices().map(|(at, _)| at).take_while(|at| *at <= room).last();
    format!("{head}{}{tail}", if body.len() > room { &body[..cut.unwrap_or(0)] } else { &body })
}

/// What would become more when it is read: anchors, entities, host sets.
fn expanding() -> Vec<(Format, String)> {
    let hosts = |set: &str| format!("project: p\nrun: x\nhosts: {set}\n");
    vec![
        (Format::Yaml, many("a{n}: &a{n} [*a, *a, *a, *a]\n", "", "")),
        (Format::Yaml, many("&a{n} ", "project: ", "")),
        (Format::Xml, many("<!ENTITY e{n} \"&e;&e;\">", "<!DOCTYPE p [", "]><plush>&e1;</plush>")),
        (Format::Xml, many("&e{n};", "<plush>", "</plush>")),
        (Format::Xml, many("&#x41;", "<plush><project name=\"", "\"/></plush>")),
        (Format::Yaml, hosts(&format!("n[{}9]", "1-9,".repeat(250_000)))),
        (Format::Yaml, hosts("n[1-999999]")),
        (Format::Yaml, hosts("n[1-999][1-999][1-999]")),
        (Format::Yaml, many("n[1-99]&", "project: p\nrun: x\nhosts: ", "n")),
        (Format::Yaml, many("n[1-99]^", "project: p\nrun: x\nhosts: ", "n")),
        (Format::Yaml, many("n[1-999]!", "project: p\nrun: x\nhosts: ", "n")),
    ]
}

/// One thing that is long, or many of what is usually few.
fn long() -> Vec<(Format, String)> {
    let large = "x".repeat(1_000_000);
    let head = "project: p\nhosts: n\n";
    vec![
        (Format::Xml, format!("<plush><project name=\"{large}\"/></plush>")),
        (Format::Xml, format!("<{large}/>")),
        (Format::Xml, many("<project xmlns:n{n}=\"u\"/>", "<plush>", "</plush>")),
        (Format::Xml, many("<![CDATA[]]>", "<plush>", "</plush>")),
        (Format::Xml, many("<?a b?>", "<plush>", "</plush>")),
        (Format::Yaml, format!("project: {large}\nhosts: n\nrun: x\n")),
        (Format::Yaml, format!("{large}: 1\n")),
        (Format::Yaml, many("\u{1}", "project: ", "")),
        (Format::Yaml, many("\u{10ffff}", "project: ", "")),
        (Format::Yaml, many("\r", "project: p", "")),
        (Format::Yaml, many("- {id: a, run: x}\n", &format!("{head}run:\n"), "")),
        (Format::Yaml, many("  c{n}: {run: x}\n", &format!("{head}clusters:\n"), "")),
        (Format::Yaml, many("x\\t", "project: \"", "\"")),
    ]
}

/// The most memory that this process ever had.
fn most_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Time that this thread has had of a processor: what others do counts less than by the clock on the wall.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// Reads one text and says what it took, in microseconds and KiB.
fn measure(format: Format, text: &str) {
    let rounds = if cfg!(debug_assertions) { 1 } else { 3 };
    let took = (0..rounds).map(|_| {
        let before = processor_time();
        let parsed = parse(text, "large", Some(format));
        render(&parsed.problems, text, "large", false);
        processor_time() - before
    });
    // The quickest: what else the machine does only makes it slower.
    println!("COST {} {}", took.min().unwrap().as_micros(), most_memory_kib());
}

/// What one text costs in a program of its own, since the most memory ever used is counted by process.
fn cost(format: Format, text: &str) -> (Duration, u64) {
    let extension = match format {
        Format::Xml => "xml",
        Format::Yaml => "yaml",
    };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cost.{extension}"));
    std::fs::write(&path, text).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "t11_no_megabyte_of_text_takes_much_time_or_memory", "--nocapture"])
        .env(ONE, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let figures = said.lines().find_map(|line| line.split_once("COST ")?.1.split_once(' '));
    let Some((micros, kib)) = figures else {
        panic!("{said}{}", String::from_utf8_lossy(&output.stderr));
    };
    (Duration::from_micros(micros.parse().unwrap()), kib.parse().unwrap())
}

#[test]
fn t11_no_megabyte_of_text_takes_much_time_or_memory() {
    if let Some(path) = std::env::var_os(ONE) {
        let is_xml = path.as_encoded_bytes().ends_with(b".xml");
        let format = if is_xml { Format::Xml } else { Format::Yaml };
        return measure(format, &std::fs::read_to_string(path).unwrap());
    }
    let mut wrong = Vec::new();
    for (format, text) in &texts() {
        let (took, kib) = cost(*format, text);
        let beginning: String = text.chars().take(50).collect();
        let line = format!("{took:?}, {kib} KiB: {format:?}, {} bytes, {beginning:?}", text.len());
        eprintln!("{line}");
        if took > TIME_MAX || kib > MEMORY_MAX_KIB {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
