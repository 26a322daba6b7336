//! Software on a host and results from it; and the program itself, put in place and in an empty directory.

use crate::client::*;
use plush_protocol::*;
use std::io::Write;
use std::path::Path;
use std::process::Command as Program;

pub fn push(client: &mut Client, name: &str, bytes: &[u8], directory: bool) -> PackageSpec {
    let blake3 = blake3::hash(bytes).to_hex().to_string();
    client.memory.blobs.insert(blake3.clone(), bytes.to_vec());
    let fetch =
        Fetch::Push { blake3, bytes: bytes.len() as u64, directory, file_name: name.into() };
    PackageSpec { name: name.into(), fetch, dest_path: String::new(), strip: 0, executable: true }
}

pub fn software(installer: Installer, package: PackageSpec) -> SoftwareSpec {
    SoftwareSpec { name: "s".into(), installer, packages: vec![package], time_limit_ms: 20_000 }
}

pub fn prepare(client: &mut Client, software: Vec<SoftwareSpec>) -> Report {
    let files = vec![("etc/host".to_owned(), 0o600, "h1\n".to_owned())];
    client.command(Command::Prepare(PrepareSpec { cluster: "c".into(), software, files }));
    prepared(client)
}

fn prepared(client: &mut Client) -> Report {
    let is_end = |r: &&Report| matches!(r, Report::Prepared { .. } | Report::PrepareFailed { .. });
    let known = client.memory.reports.iter().filter(is_end).count();
    client.until("a preparation", |m| m.reports.iter().filter(is_end).count() > known);
    client.memory.reports.iter().rfind(is_end).unwrap().clone()
}

pub fn cause(report: Report) -> Cause {
    match report {
        Report::PrepareFailed { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

/// A tar made by the real program.
pub fn tar(flags: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("demo/bin")).unwrap();
    std::fs::write(dir.path().join("demo/bin/hello"), "#!/bin/sh\necho hello from the archive\n")
        .unwrap();
    let made = Program::new("tar")
        .args([flags, "-", "-C"])
        .arg(dir.path())
        .args(["--mode=755", "demo"])
        .output()
        .unwrap();
    assert!(made.status.success());
    made.stdout
}

#[test]
fn a_pushed_archive_is_unpacked_and_its_program_runs() {
    let host = Host::new();
    let mut client = host.connect();
    for (run, flags) in ["-cf", "-czf"].iter().enumerate() {
        let package = push(&mut client, "demo.tar", &tar(flags), false);
        let report = prepare(&mut client, vec![software(Installer::Tar, package)]);
        assert!(matches!(report, Report::Prepared { .. }), "{report:?}");
        let key = key(run as u32 + 1);
        client.start(key, spec(plush_protocol::Program::Argv(vec!["./demo/bin/hello".into()])));
        assert_eq!(client.finished(key), Exit::Code(0));
        assert_eq!(client.out(key), b"hello from the archive\n");
        assert_eq!(std::fs::read_to_string(host.cluster_dir().join("etc/host")).unwrap(), "h1\n");
    }
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_package_crosses_the_line_once_and_is_found_in_the_cache_by_the_next_run() {
    let host = Host::new();
    let mut client = host.connect();
    let bytes = vec![7u8; 3 << 20];
    let package = push(&mut client, "big.bin", &bytes, false);
    let order = vec![software(Installer::None, package.clone())];
    let report = prepare(&mut client, order.clone());
    assert!(
        matches!(report, Report::Prepared { fetched_bytes, cached: 0, .. } if fetched_bytes == 3 << 20),
        "{report:?}"
    );
    assert_eq!(std::fs::read(host.cluster_dir().join("big.bin")).unwrap(), bytes);
    client.clean_up(true);
    gone(client.hello.facts.agent_pid);
    let mut client = Client::open(Path::new(AGENT), &host.base(), "run2", Memory::default());
    let report = prepare(&mut client, order);
    assert!(matches!(report, Report::Prepared { fetched_bytes: 0, cached: 1, .. }), "{report:?}");
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_push_goes_on_over_a_new_connection() {
    let host = Host::new();
    let mut client = host.connect();
    let bytes: Vec<u8> = (0..8u32 << 20).map(|i| (i * 7 % 253) as u8).collect();
    let package = push(&mut client, "big.bin", &bytes, false);
    let software = vec![software(Installer::None, package)];
    client.command(Command::Prepare(PrepareSpec { cluster: "c".into(), software, files: vec![] }));
    let mut wants = 0;
    while wants < 20 {
        let message = client.receive();
        wants += u32::from(matches!(message, ToController::BlobWant(_)));
        client.absorb(message);
    }
    client = host.connect_with(client.cut());
    let report = prepared(&mut client);
    assert!(matches!(report, Report::Prepared { .. }), "{report:?}");
    assert_eq!(std::fs::read(host.cluster_dir().join("big.bin")).unwrap(), bytes);
    client.clean_up(false);
    client.leave();
}

#[test]
fn c5_a_failed_preparation_leaves_nothing_and_says_why() {
    let host = Host::new();
    let mut client = host.connect();
    let good = push(&mut client, "good.tar", &tar("-cf"), false);
    let mut bad = push(&mut client, "bad.tar", b"this is no archive", false);
    let order = vec![software(Installer::Tar, good.clone()), software(Installer::Tar, bad.clone())];
    assert_eq!(cause(prepare(&mut client, order)).kind, CauseKind::BadPackage);
    assert_eq!(std::fs::read_dir(host.run_dir().join("clusters")).unwrap().count(), 0);

    let mut wrong = good.clone();
    if let Fetch::Push { blake3, .. } = &mut wrong.fetch {
        let real = std::mem::replace(blake3, "00".repeat(32));
        let bytes = client.memory.blobs[&real].clone();
        client.memory.blobs.insert("00".repeat(32), bytes);
    }
    let report = prepare(&mut client, vec![software(Installer::Tar, wrong)]);
    assert_eq!(cause(report).kind, CauseKind::BadPackage, "C6");

    bad.dest_path = "../out".into();
    let report = prepare(&mut client, vec![software(Installer::None, bad.clone())]);
    assert!(cause(report).text.raw().contains("leads out"));

    client.memory.blobs.clear();
    let unknown = PackageSpec { dest_path: String::new(), ..bad };
    let unknown = match unknown.fetch {
        Fetch::Push { bytes, .. } => PackageSpec {
            fetch: Fetch::Push {
                blake3: "11".repeat(32),
                bytes,
                directory: false,
                file_name: "x".into(),
            },
            ..unknown
        },
        _ => unreachable!(),
    };
    assert_eq!(
        cause(prepare(&mut client, vec![software(Installer::None, unknown)])).kind,
        CauseKind::Fetch
    );
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_script_runs_in_the_directory_and_its_words_are_told_when_it_fails() {
    let host = Host::new();
    let mut client = host.connect();
    let script = b"echo made by $1 > made; mkdir sub";
    let package = push(&mut client, "setup.sh", script, false);
    let installer = Installer::Script(vec!["me".into()]);
    let report = prepare(&mut client, vec![software(installer.clone(), package)]);
    assert!(matches!(report, Report::Prepared { .. }), "{report:?}");
    assert_eq!(std::fs::read_to_string(host.cluster_dir().join("made")).unwrap(), "made by me\n");
    client.clean_up(false);

    let host = Host::new();
    let mut client = host.connect();
    let package = push(&mut client, "setup.sh", b"echo the compiler is missing; exit 4", false);
    let failed = cause(prepare(&mut client, vec![software(installer.clone(), package)]));
    assert_eq!(failed.kind, CauseKind::Program);
    assert!(failed.text.raw().contains("the compiler is missing"), "{failed:?}");
    let package = push(&mut client, "slow.sh", b"sleep 100", false);
    let mut slow = software(installer, package);
    slow.time_limit_ms = 300;
    assert_eq!(cause(prepare(&mut client, vec![slow])).kind, CauseKind::TimeLimit);
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_preparation_can_be_cancelled() {
    let host = Host::new();
    let mut client = host.connect();
    let package = push(&mut client, "slow.sh", b"sleep 100", false);
    let software = vec![software(Installer::Script(vec![]), package)];
    client.command(Command::Prepare(PrepareSpec { cluster: "c".into(), software, files: vec![] }));
    client.command(Command::CancelPrepare { cluster: "c".into() });
    assert_eq!(cause(prepared(&mut client)).kind, CauseKind::Cancelled);
    client.clean_up(false);
    client.leave();
}

#[test]
fn results_are_listed_by_pattern_and_read_by_piece_and_links_are_not_followed() {
    let host = Host::new();
    let mut client = host.connect();
    client.start(
        key(1),
        shell(
            "mkdir -p out/deep; head -c 300000 /dev/zero > out/deep/a.log; echo b > b.log; \
               ln -s /etc/passwd c.log; echo no > other",
        ),
    );
    client.finished(key(1));
    let globs = ["**/*.log", "[", "none.txt", "*.log"].map(str::to_owned).to_vec();
    let want = ListWant { id: 7, cluster: "c".into(), globs };
    client.send(&ToAgent::ListWant(want));
    let part = loop {
        match client.receive() {
            ToController::ListPart(part) => break part,
            other => client.absorb(other),
        }
    };
    let names: Vec<_> =
        part.files.iter().map(|f| String::from_utf8(f.path.clone()).unwrap()).collect();
    assert_eq!(names, ["b.log", "out/deep/a.log"]);
    assert!(part.last && part.id == 7);
    assert_eq!(part.skipped[0].path, b"[", "a glob that is none costs the others nothing");
    assert_eq!(part.skipped[1].path, b"c.log");
    assert_eq!(part.unmatched, [2]);
    let mut read = |path: &str, offset| {
        client.send(&ToAgent::FileWant(FileWant {
            cluster: "c".into(),
            path: path.into(),
            offset,
            length: 128 << 10,
        }));
        match client.receive() {
            ToController::FilePart(part) => part,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read("out/deep/a.log", 0).bytes.len(), 128 << 10);
    assert_eq!(read("out/deep/a.log", 256 << 10).bytes.len(), 300_000 - (256 << 10));
    assert!(read("c.log", 0).failed.is_some());
    assert!(read("../../epoch", 0).failed.is_some());
    client.clean_up(false);
    client.leave();
}

#[test]
fn c6_the_program_puts_itself_in_place_only_if_its_bytes_are_right() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (part, whole) = (dir.path().join("part"), dir.path().join("agent"));
    let bytes = std::fs::read(AGENT).unwrap();
    let digest = blake3::hash(&bytes).to_hex().to_string();
    let put = |digest: &str| {
        let mut file = std::fs::File::create(&part).unwrap();
        file.write_all(&bytes).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o755)).unwrap();
        drop(file);
        Program::new(&part)
            .args(["install", "--digest", digest, "--to"])
            .arg(&whole)
            .output()
            .unwrap()
    };
    let refused = put(&"0".repeat(64));
    assert!(!refused.status.success() && !whole.exists());
    assert!(String::from_utf8_lossy(&refused.stderr).contains(&digest));
    let placed = put(&digest);
    assert!(placed.status.success() && placed.stdout.is_empty() && !part.exists());
    assert_eq!(whole.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

/// Needs the static program: its path is in PLUSH_STATIC_AGENT, or where `.ci` builds it.
#[test]
fn the_static_program_serves_in_an_empty_root() {
    let built = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/static-agent/x86_64-unknown-linux-gnu/agent/plush-agent");
    let agent = std::env::var_os("PLUSH_STATIC_AGENT").map_or(built, Into::into);
    if !agent.exists() || !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root and {}", agent.display());
        return;
    }
    let root = tempfile::tempdir().unwrap();
    std::fs::copy(&agent, root.path().join("agent")).unwrap();
    std::fs::create_dir(root.path().join("dev")).unwrap();
    std::fs::write(root.path().join("dev/null"), "").unwrap();
    let mut bridge = Program::new("unshare");
    bridge
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c"])
        .arg("mkdir $0/proc && mount -t proc proc $0/proc && exec chroot $0 /agent bridge --run r --host h --base /base")
        .arg(root.path());
    let mut client = Client::over(bridge, "r", Memory::default());
    let argv = ["/agent", "--version"].map(String::from).to_vec();
    client.start(key(1), spec(plush_protocol::Program::Argv(argv)));
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    assert!(client.out(key(1)).starts_with(b"plush-agent "));
    let report = client.clean_up(false);
    assert!(
        matches!(report, Report::Cleaned { ref remainder, .. } if remainder.is_empty()),
        "{report:?}"
    );
}
