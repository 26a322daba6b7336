//! A description becomes output, results and an exit code, and nothing else: on one host, on five.

use crate::product::Running;
use crate::stage::Stage;

const HELLO: &str = r#"
project: hello
resources: [{type: ssh, hosts: "HOSTS"}]
run: |
  echo "hello ${rank} of ${count} on $(hostname)"
  echo "aside ${rank}" >&2
  mkdir -p deep/er; printf 'result %s\0\377' ${rank} > deep/er/result.bin
outputs: [deep/*/result.bin]
"#;

fn check(hosts: u16, set: &str) {
    let Some(stage) = Stage::with_hosts(hosts) else { return };
    stage.file("hello.yaml", HELLO.replace("HOSTS", set));
    let said = stage.run("hello.yaml", &[]).expect(0);
    let document = said.document();
    assert_eq!(document["outcome"], "complete", "{}", said.err);
    assert_eq!(document["view"]["counts"]["done"], hosts);
    assert_eq!(document["view"]["problems"].as_array().unwrap().len(), 0, "{}", said.out);
    for (rank, host) in stage.lab.hosts().iter().enumerate() {
        let hello = format!("hello {rank} of {hosts} on {}\n", host.name);
        assert_eq!(said.output(&host.name, "hello.1.out"), hello.as_bytes());
        assert_eq!(said.output(&host.name, "hello.1.err"), format!("aside {rank}\n").as_bytes());
        let result = [format!("result {rank}").as_bytes(), b"\0\xff"].concat();
        assert_eq!(said.result(&host.name, "deep/er/result.bin"), result);
    }
    stage.assert_nothing_left();
}

#[test]
fn one_host_runs_a_description_and_is_left_as_it_was() {
    check(1, "h001");
}

#[test]
fn five_hosts_run_a_description_and_are_left_as_they_were() {
    check(5, "h[001-005]");
}

#[test]
fn lines_are_shown_with_their_hosts_and_the_summary_says_complete() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    stage.file("hello.yaml", HELLO.replace("HOSTS", "h[001-003]"));
    let said = stage.begin("hello.yaml", &["--outdir", "here"]).end().expect(0);
    let mut lines: Vec<&str> = said.out.lines().collect();
    lines.sort_unstable();
    let hello = |n: usize| format!("h00{}: hello {n} of 3 on h00{}", n + 1, n + 1);
    assert_eq!(lines, [hello(0), hello(1), hello(2)]);
    assert!(said.err.contains("h002: aside 1\n"), "{}", said.err);
    assert!(said.err.contains(": complete (") && said.err.contains("3 done of 3"), "{}", said.err);
    let copied = stage.home.path().join("here/results/h003/deep/er/result.bin");
    assert_eq!(std::fs::read(copied).unwrap(), b"result 2\0\xff");
    let output = stage.home.path().join("here/output/h003");
    let mut endings: Vec<String> = std::fs::read_dir(output)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .map(|name| name.rsplit('.').next().unwrap().to_owned())
        .collect();
    endings.sort_unstable();
    assert_eq!(endings, ["err", "out"], "an index of arrival times is no output");
    stage.assert_nothing_left();
}

#[test]
fn f26_runs_that_share_hosts_do_not_touch_each_other_and_the_last_leaves_nothing() {
    let Some(stage) = Stage::with_hosts(3) else { return };
    // Some end while others begin: whoever cleans up must not take away what another has just found.
    let text = |n: u32| {
        let hello = HELLO
            .replace("HOSTS", "h[001-003]")
            .replace("project: hello", &format!("project: p{n}"));
        hello.replace("run: |", &format!("run: |\n  sleep {}", f64::from(n % 3) * 0.1))
    };
    for n in 0..6 {
        stage.file(&format!("p{n}.yaml"), text(n));
    }
    for _ in 0..2 {
        let names: Vec<String> = (0..6).map(|n| format!("p{n}.yaml")).collect();
        let all: Vec<Running> = names.iter().map(|name| stage.begin(name, &["--json"])).collect();
        for (n, running) in all.into_iter().enumerate() {
            let said = running.end().expect(0);
            for (rank, host) in ["h001", "h002", "h003"].into_iter().enumerate() {
                assert_eq!(said.problems(host), []);
                let hello = format!("hello {rank} of 3 on {host}\n");
                assert_eq!(said.output(host, &format!("p{n}.1.out")), hello.as_bytes());
            }
        }
    }
    stage.assert_nothing_left();
}
