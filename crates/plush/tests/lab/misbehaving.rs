//! Hosts that misbehave, in one run with hosts that do not: each is named with its cause, the others do not notice.

use crate::product::Said;
use crate::stage::Stage;
use plush_lab::Kind;
use std::time::Duration;

const HOSTS: u16 = 13;

/// Six of thirteen can never serve; seven will do.
const TWELVE: &str = r#"
project: mixed
resources: [{type: ssh, hosts: "h[001-013]"}]
num_hosts: {wanted: 13, min: 7}
run: echo "here ${host}"; echo "${host}" > result.txt
outputs: [result.txt]
"#;

/// Each with words of its cause.
const BAD: [(&str, Kind, &str); 6] = [
    ("h002", Kind::AuthRefused, "does not accept user"),
    ("h003", Kind::Silent, "never spoke SSH"),
    ("h004", Kind::BannerOnly, "did not exchange keys"),
    ("h005", Kind::WrongHostKey, "HOST KEY HAS CHANGED"),
    ("h006", Kind::FullDisk, "no directory on the host takes the agent"),
    ("h011", Kind::NoexecAll, "no directory on the host takes the agent"),
];

/// Odd, but these work.
const ODD: [(&str, Kind); 5] = [
    ("h007", Kind::NoexecHome),
    ("h008", Kind::NoisyLogin),
    ("h009", Kind::BusyboxOnly),
    ("h010", Kind::CshLogin),
    ("h012", Kind::FullHome),
];

fn stage() -> Option<Stage> {
    let mut stage = Stage::with_hosts(HOSTS)?;
    for (host, kind, _) in BAD {
        stage.lab.misbehave(host, kind).unwrap();
    }
    for (host, kind) in ODD {
        stage.lab.misbehave(host, kind).unwrap();
    }
    stage.remember();
    stage.file("mixed.yaml", TWELVE);
    Some(stage)
}

fn check(said: &Said, stage: &Stage) {
    let document = said.document();
    for (host, _, cause) in BAD {
        let problems = said.problems(host);
        let [(operation, why)] = &problems[..] else { panic!("{host}: {problems:?}") };
        assert!(operation == "connect" && why.contains(cause), "{host}: {problems:?}");
        assert_eq!(said.state(host), "failed");
        assert!(said.err.contains(cause), "the summary has no `{cause}`:\n{}", said.err);
    }
    for problem in document["view"]["problems"].as_array().unwrap() {
        let (host, at_ms) = (&problem["host"], problem["at_ms"].as_u64().unwrap());
        assert!(at_ms < 20_000, "{host} was named after {at_ms} ms");
    }
    let well = ODD.map(|(host, _)| host).into_iter().chain(["h001", "h013"]);
    for host in well {
        assert_eq!(said.problems(host), [], "{host}");
        assert_eq!(said.output(host, "mixed.1.out"), format!("here {host}\n").as_bytes());
        assert_eq!(said.result(host, "result.txt"), format!("{host}\n").as_bytes());
    }
    assert_eq!(document["outcome"], "partial");
    assert_eq!(document["view"]["counts"]["done"], 7);
    stage.assert_nothing_left();
}

#[test]
fn f27_f28_f31_f32_f18_each_bad_host_is_named_with_its_cause_and_the_others_do_their_work() {
    let Some(stage) = stage() else { return };
    let said = stage.run("mixed.yaml", &[]).expect(0);
    check(&said, &stage);
    assert!(said.took < Duration::from_secs(25), "{:?}", said.took);
    eprintln!("thirteen hosts, six of them bad, took {:?}", said.took);
}

#[test]
fn with_strict_a_partial_success_is_code_75() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    stage.lab.misbehave("h002", Kind::AuthRefused).unwrap();
    let two = "project: two\nresources: [{type: ssh, hosts: \"h[001-003]\"}]\n\
               num_hosts: {wanted: 3, min: 2}\nrun: echo here\n";
    stage.file("two.yaml", two);
    let strict = stage.run("two.yaml", &["--strict"]).expect(75);
    assert_eq!(strict.document()["exit_code"], 75);
    stage.run("two.yaml", &[]).expect(0);
    stage.file("three.yaml", two.replace(", min: 2", ", min: 3"));
    let few = stage.run("three.yaml", &[]).expect(69);
    assert_eq!(few.document()["outcome"], "too_few_hosts");
    stage.lab.misbehave("h002", Kind::Well).unwrap();
    stage.assert_nothing_left_on("h001");
    stage.assert_nothing_left_on("h003");
}
