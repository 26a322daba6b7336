//! Claims about listing and reading results.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use plush_agent::files::glob::Pattern;
use plush_agent::files::pack::{self, Limits, Listing, Why};
use plush_agent::files::root::Root;

use crate::go_on;

fn place() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("out/deep/er")).unwrap();
    fs::create_dir_all(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/secret.log"), "secret").unwrap();
    for (name, content) in [
        ("a.log", "a"),
        ("b.txt", "b"),
        ("out/c.log", "cc"),
        ("out/deep/d.log", "ddd"),
        ("out/deep/er/e.log", "eeee"),
        (".hidden.log", "h"),
    ] {
        fs::write(root.join(name), content).unwrap();
    }
    symlink("../outside/secret.log", root.join("out/link.log")).unwrap();
    symlink("../../outside", root.join("out/way")).unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(root.join("out/fifo.log"))
            .status()
            .unwrap()
            .success()
    );
    dir
}

fn list(dir: &tempfile::TempDir, patterns: &[&str], limits: Limits) -> Listing {
    let patterns: Vec<Pattern> =
        patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    pack::list(&Root::open(&dir.path().join("root")).unwrap(), &patterns, &limits, &mut go_on)
        .unwrap()
}

fn paths(listing: &Listing) -> Vec<String> {
    listing.files.iter().map(|found| format!("{}:{}", found.path.display(), found.size)).collect()
}

#[test]
fn patterns_name_regular_files_and_the_rest_is_reported() {
    let dir = place();
    let listing = list(&dir, &["**/*.log", "none/*", "*.txt"], Limits::default());
    assert_eq!(
        paths(&listing),
        ["a.log:1", "b.txt:1", "out/c.log:2", "out/deep/d.log:3", "out/deep/er/e.log:4"]
    );
    let mut skipped: Vec<_> = listing
        .skipped
        .iter()
        .map(|skipped| (skipped.path.display().to_string(), skipped.why))
        .collect();
    skipped.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(
        skipped,
        [("out/fifo.log".to_owned(), Why::Special), ("out/link.log".to_owned(), Why::Link)]
    );
    assert_eq!((listing.skipped_total, listing.unmatched), (2, vec![1]));
}

#[test]
fn a_directory_that_is_named_is_taken_whole_and_one_that_a_star_meets_is_not() {
    let dir = place();
    let listing = list(&dir, &["out/deep", "*"], Limits::default());
    let found = ["a.log:1", "b.txt:1", "out/deep/d.log:3", "out/deep/er/e.log:4"];
    assert_eq!(paths(&listing), found);
    assert!(listing.unmatched.is_empty() && listing.skipped.is_empty(), "{listing:?}");
}

#[test]
fn a_pattern_that_names_only_what_is_not_taken_has_matched() {
    let dir = place();
    let limits = Limits { bytes: 2, ..Limits::default() };
    let listing = list(&dir, &["out/deep/d.log", "{b,x}.txt", "{x,y}"], limits);
    assert_eq!((paths(&listing), listing.unmatched), (vec!["b.txt:1".to_owned()], vec![2]));
    assert_eq!(listing.skipped[0].why, Why::Limit("bytes"));
}

#[test]
fn no_pattern_reaches_through_a_link() {
    let dir = place();
    for pattern in ["out/way/*", "out/way/secret.log", "out/*/secret.log", "**/secret.log"] {
        let listing = list(&dir, &[pattern], Limits::default());
        assert!(listing.files.is_empty(), "{pattern}: {listing:?}");
    }
    let root = Root::open(&dir.path().join("root")).unwrap();
    for path in
        ["out/link.log", "out/way/secret.log", "../outside/secret.log", "out/fifo.log", "out"]
    {
        assert!(pack::open(&root, Path::new(path)).is_err(), "{path}");
    }
}

#[test]
fn limits_leave_a_note_of_what_is_missing() {
    let dir = place();
    let check = |limits: Limits, files: usize, why: Why| {
        let listing = list(&dir, &["**/*.log"], limits);
        assert_eq!(listing.files.len(), files, "{listing:?}");
        assert!(listing.skipped.iter().any(|skipped| skipped.why == why), "{listing:?}");
    };
    check(Limits { files: 2, ..Limits::default() }, 2, Why::Limit("files"));
    check(Limits { depth: 1, ..Limits::default() }, 1, Why::Limit("depth"));
    let bytes = list(&dir, &["**/*.log"], Limits { bytes: 4, ..Limits::default() });
    assert!(bytes.files.iter().map(|found| found.size).sum::<u64>() <= 4);
    let names = list(&dir, &["**"], Limits { names: 3, ..Limits::default() });
    assert!(names.skipped.iter().any(|skipped| skipped.why == Why::Limit("names")));
}

#[test]
fn a_file_is_read_in_pieces_from_anywhere() {
    let dir = place();
    let content: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(dir.path().join("root/big"), &content).unwrap();
    let reader =
        pack::open(&Root::open(&dir.path().join("root")).unwrap(), Path::new("big")).unwrap();
    let (mut read, mut buffer) = (Vec::<u8>::new(), [0; 7000]);
    loop {
        match reader.read_at(read.len() as u64, &mut buffer).unwrap() {
            0 => break,
            count => read.extend(&buffer[..count]),
        }
    }
    assert_eq!((reader.size, read == content), (200_000, true));
}
