//! Hosts that misbehave, in one run with hosts that do not: each is named with its cause, the others do not notice.

use crate::product::Said;
use crate::stage::Stage;
use plush_lab::Kind;
use std::time::Duration;

const HOSTS: u16 = 18;

/// Eleven of eighteen can never serve; seven will do.
const MIXED: &str = r#"
project: mixed
resources: [{type: ssh, hosts: "h[001-018]"}]
num_hosts: {wanted: 18, min: 7}
run: echo "here ${host}"; echo "${host}" > result.txt
outputs: [result.txt]
"#;

/// Each with words of its cause.
const BAD: [(&str, Kind, &str); 10] = [
    ("h002", Kind::AuthRefused, "does not accept user"),
    ("h003", Kind::Silent, "never spoke SSH"),
    ("h004", Kind::BannerOnly, "did not exchange keys"),
    ("h005", Kind::WrongHostKey, "HOST KEY HAS CHANGED"),
    ("h006", Kind::FullDisk, "no directory on the host takes the agent"),
    ("h011", Kind::NoexecAll, "no directory on the host takes the agent"),
    ("h014", Kind::Http, "an HTTP server"),
    ("h015", Kind::JunkBanner, "SSH"),
    (
        "h016",
        Kind::Nologin,
        "before a command ran; it said: This account is currently not available",
    ),
    ("h017", Kind::HangingLogin, "did not run our command"),
];

/// Its power is off: nothing answers.
const OFF: (&str, &str) = ("h018", "opening the connection");

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
    stage.lab.power_off(OFF.0).unwrap();
    stage.remember();
    stage.file("mixed.yaml", MIXED);
    Some(stage)
}

fn check(said: &Said, stage: &Stage) {
    let document = said.document();
    for (host, cause) in BAD.map(|(host, _, cause)| (host, cause)).into_iter().chain([OFF]) {
        let problems = said.problems(host);
        let [(operation, why)] = &problems[..] else { panic!("{host}: {problems:?}") };
        assert!(operation == "connect" && why.contains(cause), "{host}: {problems:?}");
        assert_eq!(said.state(host), "failed");
        assert!(said.err.contains(cause), "the summary has no `{cause}`:\n{}", said.err);
    }
    for problem in document["view"]["problems"].as_array().unwrap() {
        let (host, at_ms) = (&problem["host"], problem["at_ms"].as_u64().unwrap());
        // Twenty seconds, and more where the controller itself is late.
        assert!(at_ms < 60_000, "{host} was named after {at_ms} ms");
    }
    let well = ODD.map(|(host, _)| host).into_iter().chain(["h001", "h013"]);
    for host in well {
        assert_eq!(said.problems(host), [], "{host}");
        assert_eq!(said.output(host, "mixed.1.out"), format!("here {host}\n").as_bytes());
        assert_eq!(said.result(host, "result.txt"), format!("{host}\n").as_bytes());
    }
    assert_eq!(document["outcome"], "partial");
    assert_eq!(document["view"]["counts"]["done"], 7);
    // Not even the login that hangs in its start-up file (h017): it is ended when it is given up.
    stage.lab.hosts().iter().for_each(|host| stage.assert_nothing_left_on(&host.name));
}

#[test]
fn f16_f18_f27_to_f32_each_bad_host_is_named_with_its_cause_and_the_others_do_their_work() {
    let Some(stage) = stage() else { return };
    let said = stage.run("mixed.yaml", &[]).expect(0);
    check(&said, &stage);
    assert!(said.took < Duration::from_secs(80), "{:?}", said.took);
    eprintln!("eighteen hosts, eleven of them bad, took {:?}", said.took);
}

#[test]
fn a_missing_host_is_code_75_unless_min_allows_it_and_with_strict_also_then() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    stage.lab.misbehave("h002", Kind::AuthRefused).unwrap();
    let two = "project: two\nresources: [{type: ssh, hosts: \"h[001-003]\"}]\n\
               num_hosts: {wanted: 3, min: 2}\nrun: echo here\n";
    stage.file("two.yaml", two);
    let strict = stage.run("two.yaml", &["--strict"]).expect(75);
    assert_eq!(strict.document()["exit_code"], 75);
    stage.run("two.yaml", &[]).expect(0);
    stage.file("any.yaml", two.replace(", min: 2", ""));
    let any = stage.run("any.yaml", &[]).expect(75);
    assert_eq!(any.document()["view"]["sums"]["clusters"][0]["missing"][0], "h002");
    stage.file("three.yaml", two.replace(", min: 2", ", min: 3"));
    let few = stage.run("three.yaml", &[]).expect(69);
    assert_eq!(few.document()["outcome"], "too_few_hosts");
    stage.lab.misbehave("h002", Kind::Well).unwrap();
    stage.assert_nothing_left_on("h001");
    stage.assert_nothing_left_on("h003");
}
