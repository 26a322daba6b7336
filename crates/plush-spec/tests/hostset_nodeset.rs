//! Host sets compared with the real thing: ClusterShell's `nodeset` reads the same texts.
//!
//! Needs the `nodeset` program and the Python that has its library; without the program nothing is compared, and that is said.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use plush_spec::hostset::{Folding, HostSet, StaticGroups};

const GROUPS: &[(&str, &str)] = &[
    ("all", "n[0-30],rack[1-4]n[1-8],web[01-12]"),
    ("even", "n[0-30/2]"),
    ("web", "web[01-12]"),
    ("r1", "rack1n[1-8]"),
    ("r2", "rack2n[1-8]"),
    ("mixed", "@r[1-2]!rack[1-2]n5,@web&web[03-20]"),
];

/// Reads a text per line after its autostep and prints what ClusterShell makes of it: folded, then all names.
const ORACLE: &str = r#"
import sys
from ClusterShell.NodeSet import NodeSet
from ClusterShell.NodeUtils import GroupResolver, GroupSource
groups = dict(line.split("=", 1) for line in sys.argv[1:])
resolver = GroupResolver(GroupSource("default", groups, groups["all"]))
for line in sys.stdin:
    autostep, text = line.rstrip("\n").split("\t", 1)
    try:
        nodes = NodeSet(text, resolver=resolver, autostep=int(autostep) or None)
        print("ok", str(nodes), " ".join(nodes), sep="\t")
    except Exception as fault:
        print("fault", type(fault).__name__, fault, sep="\t")
"#;

/// What ClusterShell says of one text: folded and expanded, or its fault.
type Answer = Result<(String, Vec<String>), String>;

fn has_nodeset() -> bool {
    let found = Command::new("nodeset").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        eprintln!(
            "\n*** NOT COMPARED: the program nodeset (package clustershell) is not installed ***\n"
        );
    }
    found
}

fn python() -> String {
    let works = |python: &&str| {
        let import = Command::new(python)
            .args(["-c", "import ClusterShell.NodeSet"])
            .stderr(Stdio::null())
            .status();
        import.is_ok_and(|status| status.success())
    };
    let candidates = ["python3", "/usr/bin/python3"];
    candidates
        .iter()
        .find(|python| works(python))
        .expect("a Python beside nodeset has ClusterShell")
        .to_string()
}

fn ask(cases: &[(u64, String)]) -> Vec<Answer> {
    let mut oracle = Command::new(python())
        .arg("-c")
        .arg(ORACLE)
        .args(GROUPS.iter().map(|(name, nodes)| format!("{name}={nodes}")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = String::new();
    for (autostep, text) in cases {
        writeln!(input, "{autostep}\t{text}").unwrap();
    }
    let mut stdin = oracle.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = oracle.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Answer> = output.lines().map(answer).collect();
    assert_eq!(answers.len(), cases.len(), "ClusterShell answers every text");
    answers
}

fn answer(line: &str) -> Answer {
    let parts: Vec<&str> = line.split('\t').collect();
    match parts.as_slice() {
        ["ok", folded, names] => {
            Ok((folded.to_string(), names.split_whitespace().map(str::to_owned).collect()))
        }
        _ => Err(line.to_owned()),
    }
}

fn groups() -> StaticGroups {
    GROUPS.iter().fold(StaticGroups::new(), |groups, (name, nodes)| groups.with(name, nodes))
}

/// Checks that both agree on every text, and that at least so many of the texts stand for hosts.
fn check(cases: &[(u64, String)], least_filled: usize) {
    let groups = groups();
    let (mut differing, mut filled) = (Vec::new(), 0);
    for ((autostep, text), theirs) in cases.iter().zip(ask(cases)) {
        let folding = Folding { autostep: (*autostep > 0).then_some(*autostep), axes: None };
        let ours = HostSet::parse(text, &groups)
            .map(|set| (set.fold_with(&folding), set.iter().collect::<Vec<_>>()));
        let agree = match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => ours == theirs,
            (Err(_), Err(_)) => true,
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        filled += usize::from(theirs.as_ref().is_ok_and(|(_, names)| !names.is_empty()));
        if !agree {
            differing.push(format!(
                "{text} (autostep {autostep})\n  ours:   {ours:?}\n  theirs: {theirs:?}"
            ));
        }
    }
    assert!(
        differing.is_empty(),
        "{} of {} differ:\n{}",
        differing.len(),
        cases.len(),
        differing[..differing.len().min(8)].join("\n")
    );
    assert!(
        filled >= least_filled,
        "only {filled} of {} texts stand for hosts: the corpus is too poor",
        cases.len()
    );
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.roll(choices.len() as u64) as usize]
    }

    fn number(&mut self) -> String {
        let number = self.roll(25);
        match self.roll(5) {
            0 => format!("{number:02}"),
            1 if self.roll(4) == 0 => format!("{number:03}"),
            _ => number.to_string(),
        }
    }

    fn part(&mut self) -> String {
        let first = self.roll(22);
        let last = first + self.roll(12);
        let range = match self.roll(4) {
            0 => return self.number(),
            1 => format!("{first:02}-{last:02}"),
            2 => format!("{first:03}-{last:03}"),
            _ => format!("{first}-{last}"),
        };
        if self.roll(4) == 0 { format!("{range}/{}", 1 + self.roll(4)) } else { range }
    }

    fn place(&mut self) -> String {
        if self.roll(2) == 0 {
            return self.number();
        }
        let parts: Vec<String> = (0..=self.roll(3)).map(|_| self.part()).collect();
        format!("[{}]", parts.join(","))
    }

    fn element(&mut self) -> String {
        match self.roll(12) {
            0 => self.pick(&["@even", "@web", "@r1", "@r[1-2]", "@mixed", "@*", "@all"]).to_owned(),
            1 => {
                self.pick(&["web*", "n?", "n1*", "*[1-3]", "rack[1-2]*", "*n5", "none*"]).to_owned()
            }
            2 => self
                .pick(&["db", "login", "a-b.example.org", "x%y", "héron", "user@host", "n"])
                .to_owned(),
            3..=5 => format!("n{}", self.place()),
            6 if self.roll(3) == 0 => {
                self.pick(&["n1[2-5]", "n0[1-9]", "n[1-3]7", "n[08-12]05-ib", "7[1-3]"]).to_owned()
            }
            6 => format!("n{}-ib", self.place()),
            7 => format!("web{}", self.place()),
            8..=10 => format!("rack{}n{}", self.place(), self.place()),
            _ => format!("a{}b{}c{}", self.place(), self.place(), self.place()),
        }
    }

    fn expression(&mut self) -> String {
        let mut text = self.element();
        for _ in 0..self.roll(6) {
            let operator = self.pick(&[",", ",", ",", "!", "&", "^", ", ", " ! "]);
            let element = self.element();
            text = format!("{text}{operator}{element}");
        }
        text
    }

    /// Many single hosts of several dimensions, the hardest thing to fold alike.
    fn scattered(&mut self, most: u64) -> String {
        let (dims, count, sides) = (1 + self.roll(4), 2 + self.roll(most), 2 + self.roll(13));
        let one = |dice: &mut Dice| {
            (0..dims).fold(String::new(), |name, dim| {
                name + ["a", "b", "c", "d"][dim as usize] + &dice.roll(sides).to_string()
            })
        };
        (0..count).map(|_| one(self)).collect::<Vec<_>>().join(",")
    }
}

#[test]
fn expressions_mean_what_they_mean_to_clustershell() {
    if !has_nodeset() {
        return;
    }
    let mut dice = Dice(2);
    check(&(0..3000).map(|_| (0, dice.expression())).collect::<Vec<_>>(), 2000);
}

#[test]
fn scattered_hosts_fold_as_clustershell_folds_them() {
    if !has_nodeset() {
        return;
    }
    let mut dice = Dice(3);
    check(&(0..1500).map(|_| (0, dice.scattered(60))).collect::<Vec<_>>(), 1500);
    check(&(0..12).map(|_| (0, dice.scattered(1500))).collect::<Vec<_>>(), 12);
}

#[test]
fn steps_are_written_as_clustershell_writes_them() {
    if !has_nodeset() {
        return;
    }
    let mut dice = Dice(4);
    check(&(0..1500).map(|_| (3 + dice.roll(3), dice.expression())).collect::<Vec<_>>(), 1000);
    check(&(0..500).map(|_| (3 + dice.roll(3), dice.scattered(60))).collect::<Vec<_>>(), 500);
}

#[test]
fn both_refuse_the_same_texts() {
    if !has_nodeset() {
        return;
    }
    let malformed = [
        "n[1-3",
        "n1-3]",
        "n[]",
        "n[1,,2]",
        "n[1-a]",
        "n[5-3]",
        "n[01-100]",
        "n[1-100/0]",
        "n[1/2]",
        "n[1-]",
        "n[1-2][3-4]",
        "n[1-2]0[3-4]",
        "a,,b",
        "a,",
        ",a",
        "a!",
        "a!!b",
        "a&&b",
        "n[1-5/x]",
        "n[1-2]]",
        "n[[1-2]",
        "n[1-010]",
        "a,!b",
    ];
    let cases: Vec<(u64, String)> = malformed.iter().map(|text| (0, text.to_string())).collect();
    for (theirs, (_, text)) in ask(&cases).iter().zip(&cases) {
        assert!(theirs.is_err(), "ClusterShell reads {text}: {theirs:?}");
    }
    check(&cases, 0);
}

#[test]
fn the_program_counts_splits_and_slices_alike() {
    if !has_nodeset() {
        return;
    }
    let text = "rack[1-3]n[01-20]!rack2n[05-07],web[8-12],db";
    let run = |options: &[&str]| {
        let output = Command::new("nodeset").args(options).arg(text).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    let set = HostSet::parse(text, &groups()).unwrap();
    assert_eq!(run(&["-f"]), set.to_string());
    assert_eq!(run(&["-c"]), set.len().to_string());
    assert_eq!(run(&["-e"]), set.iter().collect::<Vec<_>>().join(" "));
    assert_eq!(
        run(&["-f", "--split", "4"]),
        set.split(4).iter().map(HostSet::to_string).collect::<Vec<_>>().join("\n")
    );
    assert_eq!(run(&["-f", "-I", "3-9,40"]), set.select("3-9,40").unwrap().to_string());
    let axes = Folding { autostep: None, axes: Some(vec![1]) };
    assert_eq!(run(&["-f", "--axis", "2"]), set.fold_with(&axes));
}
