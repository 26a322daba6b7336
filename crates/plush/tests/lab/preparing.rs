//! Package servers that misbehave, each towards another host: a clear error there, and the others go on.

use crate::stage::Stage;

/// What the server does is decided by who asks: the last number of the address.
const SERVER: &str = r#"#!/bin/sh
client=${REMOTE_ADDR##*.}
case ${client%]} in
2) printf 'Status: 404 Not Found\r\n\r\ngone' ;;
3) printf 'Content-Type: application/octet-stream\r\nContent-Length: %s\r\n\r\n' $(wc -c < /srv/web/p.tgz)
   head -c 100 /srv/web/p.tgz ;;
4) printf 'Content-Type: application/octet-stream\r\n\r\n'; head -c 200 /srv/web/p.tgz; head -c 5000 /dev/zero ;;
5) printf 'Status: 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n' ;;
6) printf 'Status: 302 Found\r\nLocation: /cgi-bin/p.tgz\r\n\r\n' ;;
7) printf 'Content-Type: application/octet-stream\r\n\r\n'; head -c 50 /srv/web/p.tgz; sleep 5 ;;
*) printf 'Status: 302 Found\r\nLocation: /p.tgz\r\n\r\n' ;;
esac
"#;

const PACK: &str = "mkdir -p /srv/web/cgi-bin && cd /srv/web && cat > cgi-bin/p.tgz && chmod 755 cgi-bin/p.tgz && \
    mkdir p && echo 'echo installed' > p/prog && head -c 20000 /dev/urandom > p/bulk && chmod 755 p/prog && \
    tar czf p.tgz p && rm -r p";

fn stage() -> Option<(Stage, String)> {
    let mut stage = Stage::with_hosts(8)?;
    stage.feed("h001", PACK, SERVER.as_bytes());
    stage.lab.run_on("h001", "busybox httpd -p 8000 -h /srv/web").unwrap();
    let digest = stage.lab.run_on("h001", "sha256sum /srv/web/p.tgz | cut -c1-64").unwrap();
    stage.remember();
    Some((stage, String::from_utf8(digest.stdout).unwrap().trim().to_owned()))
}

fn description(stage: &Stage, sha256: &str) -> String {
    let server = stage.lab.host(0).address;
    format!(
        r#"
project: p
resources: [{{type: ssh, hosts: "h[001-008]"}}]
software:
  p:
    type: tar
    strip: 1
    package:
      type: web
      path: "http://{server}:8000/cgi-bin/p.tgz"
      time_limit: 3 s
      {sha256}
clusters:
  c:
    num_hosts: {{wanted: 8, min: 2}}
    software: [p]
    run: ./prog
"#
    )
}

fn check(stage: &Stage, expected: &[(&str, &[&str])]) {
    let said = stage.run("p.yaml", &[]).expect(0);
    assert_eq!(said.document()["outcome"], "partial");
    for (host, words) in expected {
        let problems = said.problems(host);
        let [(operation, why)] = &problems[..] else { panic!("{host}: {problems:?}") };
        assert_eq!(operation, "prepare", "{host}: {problems:?}");
        assert!(words.iter().all(|word| why.contains(word)), "{host}: {why}\nlacks {words:?}");
    }
    for host in ["h001", "h008"] {
        assert_eq!(said.problems(host), []);
        assert_eq!(said.output(host, "c.1.out"), b"installed\n");
    }
    stage.assert_nothing_left();
}

#[test]
fn f45_f46_f47_a_bad_answer_of_a_package_server_fails_that_host_with_its_reason() {
    let Some((stage, digest)) = stage() else { return };
    stage.file("p.yaml", description(&stage, &format!("sha256: {digest}")));
    check(
        &stage,
        &[
            ("h002", &["404", "cgi-bin/p.tgz"]),
            ("h003", &["100"]),
            ("h004", &["sha256", &digest[..8]]),
            ("h005", &["file:"]),
            ("h006", &["redirect"]),
            ("h007", &["the time for the whole fetch is over"]),
        ],
    );
}

#[test]
fn f47_without_a_digest_a_damaged_archive_is_still_refused() {
    let Some((stage, _)) = stage() else { return };
    stage.file("p.yaml", description(&stage, ""));
    check(
        &stage,
        &[
            ("h002", &["404"]),
            ("h004", &["p.tgz"]),
            ("h007", &["the time for the whole fetch is over"]),
        ],
    );
}

#[test]
fn f18_a_disk_that_is_too_small_for_a_package_is_named_with_its_sizes_and_left_as_it_was() {
    let Some(mut stage) = Stage::with_hosts(2) else { return };
    // Room for the agent, and not for thirty million bytes of package.
    stage.lab.disk("h002", 12 << 20).unwrap();
    stage.remember();
    stage.file("big", vec![7; 30_000_000]);
    let text = "project: p\nresources: [{type: ssh, hosts: \"h[001-002]\"}]\n\
                software: {big: {package: big}}\n\
                clusters: {c: {num_hosts: {wanted: 2, min: 1}, software: [big], run: wc -c big}}\n";
    stage.file("p.yaml", text);
    let said = stage.run("p.yaml", &[]).expect(0);
    let problems = said.problems("h002");
    let [(operation, why)] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(operation, "prepare");
    assert!(
        why.contains("no space left") && why.contains(" needed, ") && why.contains(" free"),
        "{why}"
    );
    assert_eq!(said.output("h001", "c.1.out"), b"30000000 big\n");
    stage.assert_nothing_left();
}
