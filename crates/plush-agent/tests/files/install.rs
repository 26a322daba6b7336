//! Claims about the cache and about installing.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use plush_agent::files::digest::{Algorithm, Digest, Digests, of_bytes};
use plush_agent::files::fetch::{self, Order as Fetch};
use plush_agent::files::http::dial::Network;
use plush_agent::files::install::{
    self, Cause, InstallError, Installer, Order, Part, confirm_script, file_name, install,
    prepare_script, remove,
};
use plush_agent::files::root::Root;
use plush_agent::files::store::{Store, StoreError};
use plush_agent::files::unpack::Limits;

use crate::archives::{Tar, gzip, zip, zip_entry};
use crate::server::{Server, send};
use crate::{again, go_on, is_inside, snapshot, told};

struct Host {
    dir: tempfile::TempDir,
    store: Store,
    root: Root,
}

impl Host {
    fn new() -> Host {
        let dir = tempfile::tempdir().unwrap();
        Host::at(dir)
    }

    fn at(dir: tempfile::TempDir) -> Host {
        for name in ["cache", "software"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let store = Store::new(Root::open(&dir.path().join("cache")).unwrap());
        let root = Root::open(&dir.path().join("software")).unwrap();
        Host { dir, store, root }
    }

    fn has(&self, package: &[u8]) -> Digests {
        self.store.take(&mut &package[..], &[], &mut go_on).unwrap()
    }

    fn install(&self, order: &Order) -> Result<install::Installed, InstallError> {
        install(&self.store, &self.root, order, &mut go_on)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Nothing unfinished lies about anywhere.
    fn assert_tidy(&self) {
        for path in snapshot::of(self.dir.path()).keys() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            assert!(
                !name.starts_with(".plush-") || name == ".plush-software",
                "{} was left",
                path.display()
            );
        }
    }
}

fn part(package: Digest, installer: Installer, at: &str) -> Part {
    Part { package, installer, at: at.into(), strip: 0 }
}

fn order(dest: &str, parts: Vec<Part>) -> Order {
    Order { dest: dest.into(), parts, has_script: false, limits: Limits::default() }
}

fn software(version: &str) -> Vec<u8> {
    gzip(
        &Tar::default()
            .file(b"demo/bin/tool", version.as_bytes())
            .file(b"demo/etc/conf", b"conf")
            .end(),
    )
}

#[test]
fn packages_of_all_kinds_become_one_tree() {
    let host = Host::new();
    let tar = host.has(&software("one"));
    let zipped = host.has(&zip(&[zip_entry(b"z/file", b"zipped").deflated()]));
    let plain = host.has(b"#!/bin/sh\n");
    let order = order(
        "apps/demo",
        vec![
            Part { strip: 1, ..part(tar.sha256, Installer::Tar, "") },
            part(zipped.blake3, Installer::Zip, "extra/zip"),
            part(plain.blake3, Installer::None { mode: 0o6777 }, "run.sh"),
        ],
    );
    let installed = host.install(&order).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!((installed.was_there, installed.unpacked.entries), (false, 4));
    let read = |path: &str| fs::read_to_string(host.path("software/apps/demo").join(path)).unwrap();
    assert_eq!(
        (read("bin/tool").as_str(), read("etc/conf").as_str(), read("extra/zip/z/file").as_str()),
        ("one", "conf", "zipped")
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(host.path("software/apps/demo/run.sh")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o7777, 0o755);
    host.assert_tidy();
}

#[test]
fn installing_again_changes_nothing_and_another_version_replaces_all() {
    let host = Host::new();
    let one = order("demo", vec![part(host.has(&software("one")).blake3, Installer::Tar, "")]);
    host.install(&one).unwrap();
    let before = snapshot::of(&host.path("software"));
    assert!(host.install(&one).unwrap().was_there);
    assert_eq!(snapshot::of(&host.path("software")), before);
    fs::write(host.path("software/demo/leftover"), "").unwrap();
    let two = order("demo", vec![part(host.has(&software("two")).blake3, Installer::Tar, "")]);
    assert!(!host.install(&two).unwrap().was_there);
    assert_eq!(fs::read_to_string(host.path("software/demo/demo/bin/tool")).unwrap(), "two");
    assert!(!host.path("software/demo/leftover").exists());
    host.assert_tidy();
    assert!(remove(&host.root, Path::new("demo"), &mut go_on).is_complete());
    assert_eq!(fs::read_dir(host.path("software")).unwrap().count(), 0);
}

#[test]
fn a_failed_installation_leaves_what_was_there() {
    let host = Host::new();
    let good = host.has(&software("one"));
    host.install(&order("demo", vec![part(good.blake3, Installer::Tar, "")])).unwrap();
    let before = snapshot::content_of(&host.path("software"));
    let hostile = host.has(&Tar::default().file(b"fine", b"x").file(b"../../escape", b"x").end());
    let nothing = of_bytes(b"nothing", Algorithm::Sha256);
    for (parts, why) in [
        (
            vec![
                part(good.blake3, Installer::Tar, ""),
                part(hostile.blake3, Installer::Tar, "more"),
            ],
            "`..`",
        ),
        (
            vec![part(good.blake3, Installer::Tar, ""), part(nothing, Installer::Tar, "more")],
            "no package",
        ),
        (vec![part(good.blake3, Installer::Zip, "")], "not a zip archive"),
        (
            vec![part(good.blake3, Installer::Tar, ""), part(good.blake3, Installer::Tar, "")],
            "has its place",
        ),
        (vec![part(good.blake3, Installer::Tar, "../up")], "leaves its directory"),
        (
            vec![part(good.blake3, Installer::None { mode: 0o644 }, "/tmp/plush-escape")],
            "leaves its directory",
        ),
    ] {
        let error = host.install(&order("demo", parts)).unwrap_err();
        assert!(told(&error).contains(why), "{}", told(&error));
        assert_eq!(snapshot::content_of(&host.path("software")), before, "{why}");
        host.assert_tidy();
    }
    let outside =
        host.install(&order("../demo", vec![part(good.blake3, Installer::Tar, "")])).unwrap_err();
    assert!(told(&outside).contains("leaves its directory"), "{}", told(&outside));
}

#[test]
fn damage_in_the_cache_is_found_before_anything_is_installed() {
    let host = Host::new();
    let package = host.has(&software("one"));
    let file = host.path("cache").join(format!("blake3-{}", package.blake3.hex()));
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error =
        host.install(&order("demo", vec![part(package.blake3, Installer::Tar, "")])).unwrap_err();
    assert!(matches!(error.cause, Cause::Store(StoreError::Missing(_))), "{}", told(&error));
    assert!(!host.path("software/demo").exists() && !host.store.has(&package.blake3));
    // Sent again, it heals under both names.
    host.has(&software("one"));
    for digest in [package.blake3, package.sha256] {
        host.store.open(&digest, &mut go_on).unwrap();
    }
    host.store.forget(&package).unwrap();
    host.store.forget(&package).unwrap();
    assert_eq!(fs::read_dir(host.path("cache")).unwrap().count(), 0);
}

#[test]
fn a_package_sent_in_pieces_counts_only_when_it_is_whole_and_right() {
    let host = Host::new();
    let expected = of_bytes(b"one two", Algorithm::Sha256);
    let mut incoming = host.store.receive(None).unwrap();
    incoming.write(b"one ", Some(3)).unwrap();
    drop(incoming);
    let mut wrong = host.store.receive(None).unwrap();
    wrong.write(b"one twa", None).unwrap();
    assert!(matches!(wrong.finish(&[expected]), Err(StoreError::WrongDigest { .. })));
    assert_eq!(fs::read_dir(host.path("cache")).unwrap().count(), 0);
    let mut right = host.store.receive(None).unwrap();
    right.write(b"one ", Some(3)).unwrap();
    right.write(b"two", None).unwrap();
    right.finish(&[expected]).unwrap();
    assert!(host.store.has(&expected));
    host.assert_tidy();
}

#[test]
fn a_wrong_body_never_gets_into_the_cache() {
    let host = Host::new();
    let server = Server::new(|_, head, stream| match head.starts_with("GET /right") {
        true => send(stream, "200 OK", "", &software("one")),
        false => send(stream, "200 OK", "", b"<html>please log in</html>"),
    });
    let expected = vec![of_bytes(&software("one"), Algorithm::Sha256)];
    let limits = fetch::Limits { backoff_ms: 1, ..fetch::Limits::default() };
    let wrong = Fetch { expected: expected.clone(), limits, ..Fetch::of(&server.url("/wrong")) };
    assert!(host.store.fetch(&wrong, &Network::default(), &mut go_on).is_err());
    assert_eq!(fs::read_dir(host.path("cache")).unwrap().count(), 0);
    let right = Fetch { urls: vec![server.url("/right")], ..wrong };
    let fetched = host.store.fetch(&right, &Network::default(), &mut go_on).unwrap();
    assert!(host.store.has(&expected[0]) && host.store.has(&fetched.digests.blake3));
    host.install(&order("demo", vec![part(expected[0], Installer::Tar, "")])).unwrap();
    host.assert_tidy();
}

#[test]
fn software_with_a_script_counts_as_absent_until_it_has_succeeded() {
    let host = Host::new();
    let script = host.has(b"echo \"$1\" >result\n");
    let order = Order {
        has_script: true,
        ..order(
            "demo",
            vec![part(script.blake3, Installer::None { mode: 0o644 }, "setup/install.sh")],
        )
    };
    host.install(&order).unwrap();
    assert!(!host.install(&order).unwrap().was_there, "it is pending: it begins anew");
    let invocation = prepare_script(
        &host.root,
        Path::new("demo"),
        Path::new("setup/install.sh"),
        &["$(x); -y".into()],
    )
    .unwrap();
    assert_eq!(invocation.argv, ["/bin/sh", "./setup/install.sh", "$(x); -y"]);
    let status = Command::new(&invocation.argv[0])
        .args(&invocation.argv[1..])
        .current_dir(&invocation.cwd)
        .status()
        .unwrap();
    assert!(status.success());
    confirm_script(&host.root, Path::new("demo")).unwrap();
    assert_eq!(fs::read_to_string(host.path("software/demo/result")).unwrap(), "$(x); -y\n");
    assert!(host.install(&order).unwrap().was_there);
    assert!(matches!(
        confirm_script(&host.root, Path::new("demo")).unwrap_err().cause,
        Cause::NotPending
    ));
    for path in ["../demo/setup/install.sh", "/bin/true", "setup", "none"] {
        assert!(
            prepare_script(&host.root, Path::new("demo"), Path::new(path), &[]).is_err(),
            "{path}"
        );
    }
}

#[test]
fn a_full_disk_leaves_nothing_and_says_how_much_is_needed() {
    if !is_inside() {
        return again(
            &["unshare", "--mount", "--propagation", "private"],
            "install::a_full_disk_leaves_nothing_and_says_how_much_is_needed",
        );
    }
    let host = Host::new();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "none"])
        .arg(host.path("software"))
        .status()
        .unwrap();
    assert!(mounted.success());
    let root = Root::open(&host.path("software")).unwrap();
    let noise: Vec<u8> =
        (0..1_500_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let tar = Tar::default()
        .file(b"a", &noise[..1_000_000])
        .file(b"b", &noise[..3_000_000])
        .file(b"c", &noise)
        .end();
    let packages = [
        (part(host.has(&gzip(&tar)).blake3, Installer::Tar, ""), 10_000_000),
        (
            part(
                host.has(&zip(&[zip_entry(b"a", &noise[..1_000_000]), zip_entry(b"b", &noise)]))
                    .blake3,
                Installer::Zip,
                "",
            ),
            7_000_000,
        ),
        (part(host.has(&noise).blake3, Installer::None { mode: 0o644 }, "f"), 6_000_000),
    ];
    for (part, least) in packages {
        let mut least_free = u64::MAX;
        let mut watch = |_: u64, _: Option<u64>| {
            least_free = least_free.min(root.free_bytes());
            ControlFlow::Continue(())
        };
        let error = install(&host.store, &root, &order("demo", vec![part.clone()]), &mut watch)
            .unwrap_err();
        // One file of a million bytes fits; the one that does not is not begun.
        assert!(least_free > 900_000, "{part:?} filled the disk up to {least_free}");
        match error.cause {
            Cause::NoSpace { needed, free } => {
                assert!((least..least + 50_000).contains(&needed), "{part:?} needs {needed}");
                assert!((1_900_000..=2 << 20).contains(&free), "{free}");
            }
            _ => panic!("{}", told(&error)),
        }
        assert_eq!(
            fs::read_dir(host.path("software")).unwrap().count(),
            0,
            "{part:?} left something"
        );
    }
    let full = Store::new(Root::open(&host.path("software")).unwrap());
    let Err(error) = full.receive(Some(6_000_000)) else { panic!("there is no room for it") };
    assert!(
        matches!(error, StoreError::NoSpace { needed: Some(6_000_000), free: 1_900_000.. }),
        "{}",
        told(&error)
    );
    let mut incoming = full.receive(None).unwrap();
    let error =
        noise.chunks(100_000).try_for_each(|chunk| incoming.write(chunk, Some(7))).unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { needed: Some(100_007), .. }), "{}", told(&error));
    drop(incoming);
    let server = Server::new(move |_, _, stream| send(stream, "200 OK", "", &noise));
    let error =
        full.fetch(&Fetch::of(&server.url("/f")), &Network::default(), &mut go_on).unwrap_err();
    assert!(
        matches!(error.cause, fetch::Cause::NoSpace { needed: Some(6_000_000), .. }),
        "{}",
        told(&error)
    );
    assert_eq!(error.bytes, 0, "refused by its announced length");
    assert_eq!((error.attempts, fs::read_dir(host.path("software")).unwrap().count()), (1, 0));
    drop((root, full));
    assert!(Command::new("umount").arg(host.path("software")).status().unwrap().success());
}

#[test]
fn a_cancelled_installation_leaves_nothing() {
    let host = Host::new();
    let package = host.has(&Tar::default().file(b"big", &vec![1; 8 << 20]).end());
    let mut calls = 0;
    let mut stop = |_: u64, _: Option<u64>| {
        calls += 1;
        if calls > 100 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let error = install(
        &host.store,
        &host.root,
        &order("demo", vec![part(package.blake3, Installer::Tar, "")]),
        &mut stop,
    )
    .unwrap_err();
    assert!(matches!(error.cause, Cause::Cancelled), "{}", told(&error));
    assert_eq!(fs::read_dir(host.path("software")).unwrap().count(), 0);
}

/// Installs two versions in turns until it is killed.
#[test]
fn a_killed_installation_leaves_one_whole_version() {
    let versions = ["one", "two"].map(|version| {
        (0..40)
            .fold(Tar::default(), |tar, index| {
                tar.file(format!("f{index}").as_bytes(), version.repeat(3000).as_bytes())
            })
            .end()
    });
    if let Some(dir) = std::env::var_os("PLUSH_TEST_INSTALL_IN") {
        let store = Store::new(Root::open(&Path::new(&dir).join("cache")).unwrap());
        let root = Root::open(&Path::new(&dir).join("software")).unwrap();
        for version in versions.iter().cycle() {
            let package = store.take(&mut &version[..], &[], &mut go_on).unwrap();
            install(
                &store,
                &root,
                &order("demo", vec![part(package.blake3, Installer::Tar, "")]),
                &mut go_on,
            )
            .unwrap();
        }
    }
    let host = Host::new();
    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "install::a_killed_installation_leaves_one_whole_version"])
            .env("PLUSH_TEST_INSTALL_IN", host.dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60 + round * 17));
        child.kill().unwrap();
        child.wait().unwrap();
        let dest = host.path("software/demo");
        if !dest.exists() {
            continue;
        }
        let first = fs::read_to_string(dest.join("f0")).unwrap();
        assert!(["one", "two"].iter().any(|version| first == version.repeat(3000)));
        for index in 0..40 {
            assert_eq!(
                fs::read_to_string(dest.join(format!("f{index}"))).unwrap(),
                first,
                "round {round}: mixed or cut"
            );
        }
    }
    assert!(host.path("software/demo").exists(), "no round got as far as an installation");
    for dir in ["software", "cache"] {
        assert!(Root::open(&host.path(dir)).unwrap().remove_abandoned(&mut go_on).is_complete());
    }
    host.assert_tidy();
    assert!(host.path("software/demo/f0").exists());
}

#[test]
fn a_name_for_a_plain_package_is_taken_from_its_source() {
    assert_eq!(file_name("http://h/a/demo.exe?x=/y#z").unwrap(), "demo.exe");
    assert_eq!(file_name("host:dir/f").unwrap(), "f");
    for source in ["", "http://h/a/", "x/..", "x/.", ".plush-software"] {
        assert_eq!(file_name(source), None, "{source}");
    }
}
