//! Every way of bringing software to hosts, and that what is kept is not brought again.

use crate::stage::Stage;
use std::process::Command;

/// Everything at once, on hosts that fetch from h003 and from the operator.
const EVERYTHING: &str = r#"
project: all
resources: [{type: ssh, hosts: "h[001-002]"}]
variables: {greeting: "it's \"here\""}
software:
  gz: {type: tar, dest_path: gz, package: {type: push, path: pack/p.tar.gz}}
  xz: {type: tar, dest_path: xz, strip: 1, package: {type: push, path: pack/p.tar.xz}}
  zst: {type: tar, dest_path: zst, package: {type: web, DIGEST path: "http://SERVER:8000/p.tar.zst"}}
  zip: {type: zip, dest_path: zip, package: {type: push, path: pack/p.zip}}
  script: {type: script, package: {type: push, path: install.sh}}
  program: {package: {type: push, path: prog}}
  tree: {dest_path: tree, package: {type: push, path: tree}}
  rsync: {dest_path: synced, package: {name: synced, type: rsync, path: "rsync://SERVER:8730/pack/"}}
  git: {dest_path: repo, package: {name: repo, type: git, path: "git://SERVER:9418/repo", revision: v1}}
  conf:
    templates: [{path: conf.in, dest_path: "etc/conf-${rank}", mode: "600"}]
clusters:
  c:
    software: [gz, xz, zst, zip, script, program, tree, rsync, git, conf]
    run: |
      for f in gz/p/data xz/data zst/p/data zip/p/data tree/deep/data synced/p/data repo/data; do
        echo "$f $(cat $f)"
      done
      ./prog one
      cat by-script etc/conf-${rank}
      test -x gz/p/run && gz/p/run && zip/p/run
      stat -c %a etc/conf-${rank}
      readlink tree/link
"#;

const EXPECTED: &str = "\
gz/p/data packed\nxz/data packed\nzst/p/data packed\nzip/p/data packed\ntree/deep/data pushed\nsynced/p/data packed\n\
repo/data committed\nprog says one\nscript was here\nhost HOST rank RANK greets it's \"here\"\nran\nran\n600\ndeep/data\n";

/// Packs on this machine what is pushed, and on h003 what is served.
const PACK: &str = "set -e; mkdir -p pack/p tree/deep; echo packed > pack/p/data; \
    printf '#!/bin/sh\\necho ran\\n' > pack/p/run; chmod 755 pack/p/run; cd pack; \
    tar czf p.tar.gz p; tar cJf p.tar.xz p; tar c --zstd -f p.tar.zst p; zip -qr p.zip p; cd ..; \
    echo pushed > tree/deep/data; ln -s deep/data tree/link; \
    printf '#!/bin/sh\\necho script was here > by-script\\n' > install.sh; \
    printf '#!/bin/sh\\necho prog says \"$@\"\\n' > prog; chmod 755 prog install.sh; \
    echo 'host ${host} rank ${rank} greets ${greeting}' > conf.in; tar c pack";

const SERVE: &str = "set -e; mkdir -p /srv/s && cd /srv/s && tar x && cp pack/p.tar.zst . && \
    git -c init.defaultBranch=main init -q repo && cd repo && echo committed > data && git add data && \
    git -c user.name=t -c user.email=t@t commit -qm one && git tag v1 && echo later > data && \
    git -c user.name=t -c user.email=t@t commit -qam two && cd .. && \
    printf '[pack]\\npath=/srv/s/pack\\nuse chroot=no\\nuid=0\\ngid=0\\n' > rsyncd.conf && \
    busybox httpd -p 8000 -h /srv/s && \
    rsync --daemon --port=8730 --config=/srv/s/rsyncd.conf && \
    git daemon --detach --export-all --base-path=/srv/s --reuseaddr";

/// A host takes a package of a web server from its cache only if the description says what it must be.
enum Digest {
    Given,
    Unknown,
}

fn stage(digest: Digest) -> Option<Stage> {
    let mut stage = Stage::with_hosts(3)?;
    let home = stage.home.path();
    let packed = Command::new("/bin/sh").args(["-c", PACK]).current_dir(home).output().unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    stage.feed("h003", SERVE, &packed.stdout);
    let server = stage.lab.host(2).address.to_string();
    let found = stage.lab.run_on("h003", "sha256sum /srv/s/p.tar.zst | cut -c1-64").unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let given = match digest {
        Digest::Given => format!("sha256: {},", found.trim()),
        Digest::Unknown => String::new(),
    };
    stage.file("all.yaml", EVERYTHING.replace("SERVER", &server).replace("DIGEST", &given));
    stage.remember();
    Some(stage)
}

fn expected(host: &str, rank: &str) -> String {
    EXPECTED.replace("HOST", host).replace("RANK", rank)
}

#[test]
fn every_installer_and_every_way_of_fetching_brings_its_files() {
    let Some(stage) = stage(Digest::Unknown) else { return };
    let said = stage.run("all.yaml", &[]);
    assert_eq!(said.problems("h001"), []);
    let said = said.expect(0);
    for (host, rank) in [("h001", "0"), ("h002", "1")] {
        let out = String::from_utf8(said.output(host, "c.1.out")).unwrap();
        assert_eq!(out, expected(host, rank), "{}", said.err);
    }
    stage.assert_nothing_left();
}

/// Bytes of the agent that were sent to each host, by the journal.
fn sent_bytes(out: &str) -> Vec<u64> {
    let events = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let account = |event: serde_json::Value| {
        event["event"]["connected"]["account"]["agent_sent_bytes"].as_u64()
    };
    events.filter_map(account).collect()
}

#[test]
fn with_keep_cache_a_second_run_sends_neither_agent_nor_packages() {
    let Some(stage) = stage(Digest::Given) else { return };
    let first = stage.begin("all.yaml", &["--keep", "cache", "--events"]).end().expect(0);
    let sent = sent_bytes(&first.out);
    assert!(sent.len() == 2 && sent.iter().all(|bytes| *bytes > 500_000), "{sent:?}");
    // The servers go: what is not in the cache cannot come.
    let stop = "for p in /proc/[0-9]*; do case $(tr '\\0' ' ' <$p/cmdline) in *busybox*httpd*) kill ${p#/proc/};; esac; done";
    stage.lab.run_on("h003", stop).unwrap();
    let kept = ["h001", "h002"].map(|host| stage.lab.snapshot_files(host).unwrap());
    assert!(
        kept.iter().flatten().any(|file| file.path.starts_with("/home/plush/.plush/cache")),
        "{kept:?}"
    );
    assert!(
        !kept.iter().flatten().any(|file| file.path.starts_with("/home/plush/.plush/runs/")),
        "{kept:?}"
    );

    let second = stage.begin("all.yaml", &["--keep", "cache", "--events"]).end().expect(0);
    assert_eq!(sent_bytes(&second.out), [0, 0]);
    // Files of the cache are the very same: nothing was written anew.
    let cached = |files: &Vec<plush_lab::FileEntry>| -> Vec<_> {
        files.iter().filter(|f| f.path.starts_with("/home/plush/.plush")).cloned().collect()
    };
    let now = ["h001", "h002"].map(|host| stage.lab.snapshot_files(host).unwrap());
    assert_eq!(now.each_ref().map(cached), kept.each_ref().map(cached));

    // A third run that keeps nothing takes the cache away too.
    stage.run("all.yaml", &[]);
    stage.assert_nothing_left_on("h001");
    stage.assert_nothing_left_on("h002");
}

#[test]
fn a_package_comes_by_scp_from_a_host_that_the_hosts_know() {
    let Some(mut stage) = Stage::with_hosts(3) else { return };
    // The account on h001 and h002 has a key for h003, and knows it; that is the user's business, not Plush's.
    let key = std::fs::read(stage.lab.identity_path()).unwrap();
    let known = std::fs::read(stage.lab.known_hosts_path()).unwrap();
    for host in ["h001", "h002"] {
        let take =
            "umask 077; cat > /home/plush/.ssh/id_ed25519; chown plush /home/plush/.ssh/id_ed25519";
        stage.feed(host, take, &key);
        stage.feed(host, "cat > /home/plush/.ssh/known_hosts", &known);
    }
    stage.feed("h003", "cat > /srv/data", b"by scp\n");
    stage.remember();
    let text = "project: p\nresources: [{type: ssh, hosts: \"h[001-002]\"}]\n\
                software: {data: {package: {type: scp, path: \"ADDRESS:/srv/data\"}}}\n\
                clusters: {c: {software: [data], run: cat data}}\n";
    let address = stage.lab.host(2).address.to_string();
    stage.file("p.yaml", text.replace("ADDRESS", &address));
    let said = stage.run("p.yaml", &[]);
    assert_eq!(said.problems("h001"), [], "{}", said.err);
    let said = said.expect(0);
    for host in ["h001", "h002"] {
        assert_eq!(said.output(host, "c.1.out"), b"by scp\n");
    }
    stage.assert_nothing_left();
}
