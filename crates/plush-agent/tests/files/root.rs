//! Claims about held directories and the removal of trees.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use plush_agent::files::removal::Why;
use plush_agent::files::root::{Root, Walk};

use crate::{again, go_on, is_inside, snapshot, told};

const WALKS: [Walk; 2] = [Walk::Kernel, Walk::Components];

fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/secret"), "secret").unwrap();
    fs::write(root.join("a/b/file"), "inside").unwrap();
    symlink("../outside", root.join("link")).unwrap();
    symlink("b/file", root.join("a/inner")).unwrap();
    (dir, root)
}

#[test]
fn nothing_outside_a_root_can_be_named() {
    for walk in WALKS {
        let (dir, path) = place();
        let before = snapshot::of(&dir.path().join("outside"));
        let root = Root::open(&path).unwrap().walked_by(walk);
        for name in [
            "../outside/secret",
            "/etc/passwd",
            "link/secret",
            "a/../../outside/secret",
            "a/inner",
            "link",
            "",
            ".",
            "a",
            "a/b/..",
            "a\0b",
        ] {
            assert!(root.open_file(Path::new(name)).is_err(), "{name:?} was opened");
        }
        for name in
            ["../outside/new", "/tmp/plush-new", "link/new", "a/inner/new", "a/inner", "a/b/file"]
        {
            let name = Path::new(name);
            assert!(root.create_file(name, 0o644).is_err(), "{name:?} was created");
            assert!(root.create_dir(name, 0o755).is_err(), "{name:?} was made");
            assert!(root.create_dirs(name, 0o755).is_err(), "{name:?} was made");
            assert!(root.symlink("x".as_ref(), name).is_err(), "{name:?} was linked");
            assert!(root.hard_link(Path::new("a/b/file"), name).is_err(), "{name:?} was linked");
        }
        for name in ["../outside/secret", "link/secret", "/etc/plush-none"] {
            assert!(
                root.rename(Path::new("a/b/file"), Path::new(name)).is_err(),
                "renamed to {name}"
            );
            assert!(
                root.rename(Path::new(name), Path::new("a/stolen")).is_err(),
                "{name} was renamed"
            );
            assert!(root.unlink(Path::new(name)).is_err(), "{name} was removed");
            assert!(
                !root.remove_tree(Path::new(name), &mut go_on).is_complete(),
                "{name} was removed"
            );
        }
        assert_eq!(fs::read_to_string(path.join("a/b/file")).unwrap(), "inside");
        assert_eq!(snapshot::of(&dir.path().join("outside")), before);
    }
}

#[test]
fn what_is_beneath_a_root_works_in_both_walks() {
    for walk in WALKS {
        let (_dir, path) = place();
        let root = Root::open(&path).unwrap().walked_by(walk);
        root.create_dirs(Path::new("x/./y/z"), 0o755).unwrap();
        root.write_whole(Path::new("x/y/f"), b"one", 0o600).unwrap();
        root.write_whole(Path::new("x/y/f"), b"two", 0o600).unwrap();
        let taken = root.rename_to_free(Path::new("a/b/file"), Path::new("x/y/f")).unwrap_err();
        assert!(told(&taken).contains("exists"), "{}", told(&taken));
        root.rename_to_free(Path::new("x/y/f"), Path::new("x/y/g")).unwrap();
        assert!(root.exchange(Path::new("x/y/g"), Path::new("a/b/file")).unwrap());
        assert_eq!(fs::read_to_string(path.join("a/b/file")).unwrap(), "two");
        assert_eq!(fs::read_to_string(path.join("x/y/g")).unwrap(), "inside");
        assert_eq!(fs::read_dir(path.join("x/y")).unwrap().count(), 2);
        assert!(root.subroot(Path::new("a")).unwrap().open_file(Path::new("b/file")).is_ok());
        assert!(
            root.stat(Path::new("a/none")).unwrap().is_none()
                && root.stat(Path::new("link")).unwrap().is_some()
        );
    }
}

#[test]
fn a_fifo_in_the_way_does_not_block() {
    let (_dir, path) = place();
    assert!(
        std::process::Command::new("mkfifo").arg(path.join("fifo")).status().unwrap().success()
    );
    let error = Root::open(&path).unwrap().open_file(Path::new("fifo")).unwrap_err();
    assert!(told(&error).contains("not a regular file"), "{}", told(&error));
}

#[test]
fn a_tree_is_removed_and_what_its_links_show_is_not() {
    for walk in WALKS {
        let (dir, path) = place();
        let outside = snapshot::of(&dir.path().join("outside"));
        symlink(dir.path().join("outside"), path.join("a/b/absolute")).unwrap();
        symlink("/", path.join("a/b/everything")).unwrap();
        fs::create_dir_all(path.join("a/locked/in")).unwrap();
        let root = Root::open(&path).unwrap().walked_by(walk);
        let removal = root.remove_tree(Path::new("a"), &mut go_on);
        assert!(removal.is_complete(), "{removal:?}");
        assert_eq!(removal.removed, 8);
        assert!(root.remove_tree(Path::new("link"), &mut go_on).is_complete());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        assert_eq!(snapshot::of(&dir.path().join("outside")), outside);
        let again = root.remove_tree(Path::new("a"), &mut go_on);
        assert!(again.is_complete() && again.removed == 0);
    }
}

#[test]
fn a_tree_deeper_than_any_path_is_removed_with_few_descriptors() {
    const DEPTH: usize = 3000;
    let dir = tempfile::tempdir().unwrap();
    let top = Root::open(dir.path()).unwrap();
    let mut here = top.create_dir(Path::new("deep"), 0o755).unwrap();
    for level in 0..DEPTH {
        here.write_whole(Path::new("file"), b"x", 0o600).unwrap();
        here = here
            .create_dir(Path::new(if level % 2 == 0 { "directory" } else { "d" }), 0o755)
            .unwrap();
    }
    drop(here);
    let most = std::cell::Cell::new(0);
    let removal = top.remove_tree(Path::new("deep"), &mut |_, _| {
        most.set(most.get().max(fs::read_dir("/proc/self/fd").unwrap().count()));
        ControlFlow::Continue(())
    });
    assert!(removal.is_complete(), "{removal:?}");
    assert_eq!(removal.removed, 2 * DEPTH as u64 + 1);
    assert!(most.get() < 250, "{} descriptors were open", most.get());
}

#[test]
fn many_names_in_one_directory_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    for index in 0..10_000 {
        fs::write(dir.path().join(format!("d/{index}")), "").unwrap();
    }
    let removal = Root::open(dir.path()).unwrap().remove_tree(Path::new("d"), &mut go_on);
    assert!(removal.is_complete() && removal.removed == 10_001, "{removal:?}");
}

#[test]
fn a_stopped_removal_says_that_something_is_left() {
    let (_dir, path) = place();
    let removal =
        Root::open(&path).unwrap().remove_tree(Path::new("a"), &mut |_, _| ControlFlow::Break(()));
    assert_eq!((removal.left_total, removal.left[0].why), (1, Why::Stopped));
}

#[test]
fn directories_locked_by_their_owner_are_removed() {
    if !is_inside() {
        return again(
            &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
            "root::directories_locked_by_their_owner_are_removed",
        );
    }
    assert!(fs::read_dir("/root").is_err(), "this test must not run as root");
    for walk in WALKS {
        let dir = tempfile::tempdir().unwrap();
        let lock = |path: &str, mode| {
            fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap()
        };
        fs::create_dir_all(dir.path().join("t/none/below")).unwrap();
        fs::create_dir_all(dir.path().join("t/readonly/below")).unwrap();
        fs::write(dir.path().join("t/none/below/f"), "").unwrap();
        fs::write(dir.path().join("t/readonly/f"), "").unwrap();
        for path in ["t/none/below/f", "t/none/below", "t/none"] {
            lock(path, 0);
        }
        lock("t/readonly", 0o555);
        lock("t", 0o111);
        let removal =
            Root::open(dir.path()).unwrap().walked_by(walk).remove_tree(Path::new("t"), &mut go_on);
        assert!(removal.is_complete(), "{removal:?}");
        assert!(!dir.path().join("t").exists());
    }
}

#[test]
fn what_cannot_be_removed_is_named_and_the_rest_is_gone() {
    if !is_inside() {
        return again(
            &["unshare", "--mount", "--propagation", "private"],
            "root::what_cannot_be_removed_is_named_and_the_rest_is_gone",
        );
    }
    for walk in WALKS {
        let (dir, path) = place();
        let run = |argv: &[&str]| {
            assert!(
                std::process::Command::new(argv[0])
                    .args(&argv[1..])
                    .current_dir(&path)
                    .status()
                    .unwrap()
                    .success(),
                "{argv:?}"
            )
        };
        for name in ["a/bound", "a/other", "a/x/y"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        fs::write(path.join("a/file"), "").unwrap();
        // A bind mount has the same device as its surroundings.
        run(&["mount", "--bind", "../outside", "a/bound"]);
        run(&["mount", "-t", "tmpfs", "none", "a/other"]);
        run(&["mount", "--bind", "../outside/secret", "a/file"]);
        fs::write(path.join("a/other/kept"), "").unwrap();
        let root = Root::open(&path).unwrap().walked_by(walk);
        let removal = root.remove_tree(Path::new("a"), &mut go_on);
        let mut left: Vec<_> = removal
            .left
            .iter()
            .map(|left| left.path.strip_prefix(&path).unwrap().display().to_string())
            .collect();
        left.sort();
        assert_eq!(left, ["a/bound", "a/file", "a/other"]);
        assert_eq!(removal.left_total, 3);
        assert!(
            removal.left.iter().filter(|left| left.why == Why::Mount).count() == 2,
            "{removal:?}"
        );
        assert_eq!(fs::read_to_string(dir.path().join("outside/secret")).unwrap(), "secret");
        assert!(
            path.join("a/other/kept").exists()
                && !path.join("a/b").exists()
                && !path.join("a/x").exists()
        );
        for name in ["a/bound", "a/other", "a/file"] {
            run(&["umount", name]);
        }
        assert!(root.remove_tree(Path::new("a"), &mut go_on).is_complete());
        assert_eq!(fs::read_to_string(dir.path().join("outside/secret")).unwrap(), "secret");
    }
}

#[test]
fn a_directory_swapped_for_a_link_meanwhile_leads_nowhere() {
    let (dir, path) = place();
    let outside = snapshot::of(&dir.path().join("outside"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::create_dir(path.join("swapped"));
                let _ = fs::write(path.join("swapped/secret"), "");
                let _ = fs::rename(path.join("swapped"), path.join("aside"));
                let _ = symlink("../outside", path.join("swapped"));
                let _ = fs::remove_file(path.join("swapped"));
                let _ = fs::rename(path.join("aside"), path.join("swapped"));
            }
        });
        let root = Root::open(&path).unwrap();
        for round in 0..3000 {
            let root = Root::open(&path).unwrap().walked_by(WALKS[round % 2]);
            let _ = root.remove_tree(Path::new("swapped"), &mut go_on);
        }
        drop(root);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(snapshot::of(&dir.path().join("outside")), outside);
}
