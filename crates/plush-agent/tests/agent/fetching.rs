//! Packages that the agent fetches itself: by HTTP from a server of the test, and with rsync and git.

use crate::client::*;
use crate::preparing::{cause, prepare, tar};
use crate::server::{Server, send};
use plush_protocol::*;
use std::path::Path;
use std::process::Command as Program;

fn package(name: &str, fetch: Fetch) -> PackageSpec {
    PackageSpec { name: name.into(), fetch, dest_path: String::new(), strip: 0, executable: true }
}

fn web(url: String, sha256: Option<String>) -> PackageSpec {
    package("demo", Fetch::Web { urls: vec![url], sha256, limit_bytes: 1 << 20 })
}

fn software(installer: Installer, packages: Vec<PackageSpec>) -> Vec<SoftwareSpec> {
    vec![SoftwareSpec { name: "s".into(), installer, packages, time_limit_ms: 20_000 }]
}

fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for byte in <sha2::Sha256 as sha2::Digest>::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// Answers by path, well and badly.
fn server() -> Server {
    let (archive, plain) = (tar("-czf"), tar("-cf"));
    Server::new(move |_, head, stream| {
        let path = head.split(' ').nth(1).unwrap_or("");
        let moved = |to: &str| format!("Location: {to}\r\n");
        match path {
            "/demo.tar.gz" => send(stream, "200 OK", "", &archive),
            "/plain.tar" => send(stream, "200 OK", "", &plain),
            "/moved" => send(stream, "302 Found", &moved("/demo.tar.gz"), b""),
            "/round" => send(stream, "302 Found", &moved("/and-round"), b""),
            "/and-round" => send(stream, "302 Found", &moved("/round"), b""),
            "/short" => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", archive.len());
                let half = archive.len() / 2;
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(&archive[..half]));
            }
            "/corrupt" => {
                let mut bytes = archive.clone();
                let middle = bytes.len() / 2;
                bytes[middle..middle + 8].iter_mut().for_each(|b| *b ^= 0x55);
                send(stream, "200 OK", "", &bytes);
            }
            "/cut" => send(stream, "200 OK", "", &archive[..archive.len() / 2]),
            "/large" => send(stream, "200 OK", "", &vec![0; 2 << 20]),
            _ => send(stream, "404 Not Found", "", b"no such thing"),
        }
    })
}

/// A real rsync server on a port of its own.
struct RsyncServer {
    process: std::process::Child,
    port: u16,
}

impl RsyncServer {
    fn start(folder: &Path) -> RsyncServer {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let config = folder.join("rsyncd.conf");
        let text = format!(
            "use chroot = no\nlog file = {0}/rsyncd.log\n[m]\npath = {0}\nuid = 0\ngid = 0\n",
            folder.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut server = Program::new("rsync");
        server.args(["--daemon", "--no-detach", "--address=127.0.0.1"]);
        server.arg(format!("--port={port}")).arg("--config").arg(config);
        let process = server.spawn().expect("rsync is installed");
        let began = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "rsync does not listen");
            std::thread::yield_now();
        }
        RsyncServer { process, port }
    }

    fn url(&self, path: &str) -> String {
        format!("rsync://127.0.0.1:{}/m/{path}", self.port)
    }
}

impl Drop for RsyncServer {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

fn clusters(host: &Host) -> Vec<String> {
    let entries = std::fs::read_dir(host.run_dir().join("clusters")).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_package_comes_from_a_web_server_and_from_the_cache_the_next_time() {
    let server = server();
    let host = Host::new();
    let mut client = host.connect();
    let digest = sha256(&tar("-czf"));
    let order = software(Installer::Tar, vec![web(server.url("/moved"), None)]);
    let report = prepare(&mut client, order);
    let Report::Prepared { cached: 0, digests, fetched_bytes, .. } = &report else {
        panic!("{report:?}")
    };
    assert!(*fetched_bytes > 0);
    let (name, given) = &digests[0];
    assert_eq!((name.as_str(), given.starts_with("sha256:")), ("demo", true), "{digest}");
    let given = given.trim_start_matches("sha256:").to_owned();
    client.start(key(1), spec(plush_protocol::Program::Argv(vec!["./demo/bin/hello".into()])));
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    let asked = server.heads().len();
    client.command(Command::Prepare(PrepareSpec {
        cluster: "d".into(),
        software: software(Installer::Tar, vec![web(server.url("/moved"), Some(given))]),
        files: Vec::new(),
    }));
    client.until("a preparation", |m| {
        m.reports.iter().any(|r| matches!(r, Report::Prepared { cached: 1, .. }))
    });
    assert_eq!(server.heads().len(), asked, "nothing is fetched that is here");
    client.clean_up(false);
    client.leave();
}

#[test]
fn c5_what_a_server_does_badly_is_named_and_nothing_of_it_is_left() {
    let server = server();
    let host = Host::new();
    let mut client = host.connect();
    let wrong = Some("00".repeat(32));
    let cases = [
        ("/absent", None, CauseKind::Fetch, "404"),
        ("/demo.tar.gz", wrong, CauseKind::BadPackage, "sha256"),
        ("/short", None, CauseKind::Fetch, ""),
        ("/corrupt", None, CauseKind::BadPackage, ""),
        ("/cut", None, CauseKind::BadPackage, ""),
        ("/round", None, CauseKind::Fetch, "redirect"),
        ("/large", None, CauseKind::Fetch, "1048576"),
    ];
    for (path, sha256, kind, says) in cases {
        let order = software(Installer::Tar, vec![web(server.url(path), sha256)]);
        let cause = cause(prepare(&mut client, order));
        let text = cause.text.raw();
        println!("{path}: {text}");
        assert_eq!(cause.kind, kind, "{path}: {text}");
        assert!(text.contains("demo") && text.contains(says), "{path}: {text}");
        assert!(clusters(&host).is_empty(), "{path}");
    }
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_zip_is_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hello"), "#!/bin/sh\necho zipped\n").unwrap();
    let made = Program::new("zip")
        .args(["-q", "-", "hello"])
        .current_dir(dir.path())
        .output()
        .expect("zip is installed");
    assert!(made.status.success());
    let server = Server::new(move |_, _, stream| send(stream, "200 OK", "", &made.stdout));
    let host = Host::new();
    let mut client = host.connect();
    let order = software(Installer::Zip, vec![web(server.url("/demo.zip"), None)]);
    let report = prepare(&mut client, order);
    assert!(matches!(report, Report::Prepared { .. }), "{report:?}");
    client.start(key(1), shell("sh ./hello"));
    client.finished(key(1));
    assert_eq!(client.out(key(1)), b"zipped\n");
    client.clean_up(false);
    client.leave();
}

#[test]
fn two_archives_fill_one_directory_and_the_same_file_twice_is_an_error() {
    let archive = |file: &str| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("demo/lib")).unwrap();
        std::fs::write(dir.path().join("demo/lib").join(file), file).unwrap();
        let mut made = Program::new("tar");
        made.args(["-cf", "-", "-C"]).arg(dir.path()).arg("demo");
        made.output().unwrap().stdout
    };
    let (first, second) = (archive("a"), archive("b"));
    let server = Server::new(move |_, head, stream| {
        let archive = if head.contains("first") { &first } else { &second };
        send(stream, "200 OK", "", archive);
    });
    let host = Host::new();
    let mut client = host.connect();
    let order = |paths: [&str; 2]| {
        let packages = paths.map(|path| web(server.url(path), None)).to_vec();
        software(Installer::Tar, packages)
    };
    let twice = cause(prepare(&mut client, order(["/first", "/first?again"])));
    assert_eq!(twice.kind, CauseKind::BadPackage, "{twice:?}");
    assert!(twice.text.raw().contains("demo/lib/a"), "{twice:?}");
    assert!(clusters(&host).is_empty());
    let report = prepare(&mut client, order(["/first", "/second"]));
    assert!(matches!(report, Report::Prepared { .. }), "{report:?}");
    for file in ["a", "b"] {
        let path = host.cluster_dir().join("demo/lib").join(file);
        assert_eq!(std::fs::read_to_string(path).unwrap(), file);
    }
    client.clean_up(false);
    client.leave();
}

#[test]
fn rsync_and_git_bring_what_they_are_asked_for_and_say_why_they_cannot() {
    let source = tempfile::tempdir().unwrap();
    let tree = source.path().join("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    std::fs::write(tree.join("sub/file"), "by rsync\n").unwrap();
    let git = |arguments: &[&str]| {
        let mut git = Program::new("git");
        git.args(["-c", "user.name=n", "-c", "user.email=e", "-C"]).arg(&tree).args(arguments);
        assert!(git.output().unwrap().status.success(), "{arguments:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "m"]);
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let served = RsyncServer::start(source.path());
    let cases = [
        ("rsync", Fetch::Rsync { source: served.url("tree/sub") }),
        ("git", Fetch::Git { url: format!("file://{}", path(&tree)), reference: None }),
    ];
    let host = Host::new();
    let mut client = host.connect();
    for (index, (name, fetch)) in cases.iter().enumerate() {
        client.command(Command::Prepare(PrepareSpec {
            cluster: format!("c{index}"),
            software: software(Installer::None, vec![package(name, fetch.clone())]),
            files: Vec::new(),
        }));
        let ends = |m: &Memory| {
            m.reports.iter().filter(|r| matches!(r, Report::Prepared { .. })).count() > index
        };
        client.until(name, |m| {
            let failed = m.reports.iter().find(|r| matches!(r, Report::PrepareFailed { .. }));
            assert!(failed.is_none(), "{failed:?}");
            ends(m)
        });
    }
    let found = Program::new("find")
        .arg(host.run_dir().join("clusters"))
        .args(["-name", "file"])
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.lines().count(), 2, "{found}");
    let before = clusters(&host);
    let absent = path(&source.path().join("absent"));
    let failing = [
        Fetch::Rsync { source: served.url("absent") },
        Fetch::Rsync { source: absent.clone() },
        Fetch::Git { url: format!("file://{absent}"), reference: None },
        Fetch::Git { url: format!("file://{}", path(&tree)), reference: Some("nothing".into()) },
        Fetch::Scp { source: "127.0.0.1:absent".into() },
    ];
    for fetch in failing {
        let order = software(Installer::None, vec![package("p", fetch.clone())]);
        let cause = cause(prepare(&mut client, order));
        assert_eq!(cause.kind, CauseKind::Fetch, "{fetch:?}: {cause:?}");
        assert!(cause.text.raw().len() > 30, "{fetch:?}: {cause:?}");
        println!("{fetch:?}: {}", cause.text.raw());
        assert_eq!(clusters(&host), before);
    }
    client.clean_up(false);
    client.leave();
}

#[test]
fn a_file_has_the_name_of_its_package_however_it_is_fetched() {
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("download"), "by rsync\n").unwrap();
    let served = RsyncServer::start(source.path());
    let server = Server::new(move |_, _, stream| send(stream, "200 OK", "", b"by web\n"));
    let host = Host::new();
    let mut client = host.connect();
    let bytes = b"pushed\n";
    let blake3 = blake3::hash(bytes).to_hex().to_string();
    client.memory.blobs.insert(blake3.clone(), bytes.to_vec());
    let pushed = Fetch::Push { blake3, bytes: 7, directory: false, file_name: "download".into() };
    let web =
        Fetch::Web { urls: vec![server.url("/download?v=1")], sha256: None, limit_bytes: 1 << 20 };
    let packages = vec![
        package("pushed.txt", pushed),
        package("web.txt", web),
        package("rsync.txt", Fetch::Rsync { source: served.url("download") }),
    ];
    let report = prepare(&mut client, software(Installer::None, packages));
    assert!(matches!(report, Report::Prepared { .. }), "{report:?}");
    for (name, text) in
        [("pushed.txt", "pushed\n"), ("web.txt", "by web\n"), ("rsync.txt", "by rsync\n")]
    {
        assert_eq!(std::fs::read_to_string(host.cluster_dir().join(name)).unwrap(), text);
    }
    assert!(!host.cluster_dir().join("download").exists());
    client.clean_up(false);
    client.leave();
}
