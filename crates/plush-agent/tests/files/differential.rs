//! Honest archives come out as GNU tar and Python's tarfile unpack them.
//!
//! Not a comparison of what is refused: there we are stricter than either.

use std::fs;
use std::path::Path;
use std::process::Command;

use plush_agent::files::root::Walk;
use plush_agent::files::unpack::Kind;

use crate::archives::{Header, Tar, gzip, header};
use crate::place::{Place, options};
use crate::{snapshot, told};

/// How many archives are compared.
const ARCHIVES: u64 = 60;

/// Unpacks every archive of a directory into a directory of its own.
const PYTHON: &str = r#"
import os, sys, tarfile
os.umask(0o022)
for name in sorted(os.listdir("archives")):
    with tarfile.open("archives/" + name) as archive:
        keep = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
        archive.extractall("python/" + name, **keep)
"#;

/// Packs one tree in all formats and compressions that Python knows.
const PYTHON_PACKS: &str = r##"
import io, tarfile
formats = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
for form, number in formats.items():
    for packed in ["", "gz", "xz"]:
        with tarfile.open(f"archives/{form}-{packed or 'plain'}", "w:" + packed, format=number) as archive:
            def add(name, kind=tarfile.REGTYPE, link="", content=b"", mode=0o644):
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname, entry.mode, entry.size = kind, link, mode, len(content)
                archive.addfile(entry, io.BytesIO(content))
            add("top", tarfile.DIRTYPE, mode=0o755)
            add("top/tool", content=b"#!/bin/sh\n" * 300, mode=0o755)
            add("top/" + "n" * 90, content=b"near the limit")
            add("top/\u00e9\u4e16", content=b"not ASCII")
            add("top/link", tarfile.SYMTYPE, "tool")
            add("top/hard", tarfile.LNKTYPE, "top/tool", mode=0o755)
            add("implied/parents/file", content=b"")
            if form != "ustar":
                add("top/" + "/".join(["long" * 20] * 5), content=b"long name")
                add("top/longlink", tarfile.SYMTYPE, "/".join(["long" * 20] * 5))
"##;

/// Numbers from a seed, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// An honest archive: names said in all ways, links to what is there, modes of software.
fn honest(seed: u64) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    let (mut tar, mut files, mut dirs) = (Tar::default(), Vec::new(), vec![String::new()]);
    for index in 0..3 + numbers.below(25) {
        let dir = dirs[numbers.below(dirs.len() as u64) as usize].clone();
        let filler = ["", "-é", " with space", "'\"$"][numbers.below(4) as usize];
        let long = "n".repeat(numbers.below(120) as usize);
        let name = format!("{dir}f{index}{filler}{long}");
        let mode = [0o644, 0o755, 0o600, 0o700][numbers.below(4) as usize];
        tar = match numbers.below(6) {
            0 => {
                dirs.push(format!("{name}/"));
                named(tar, &mut numbers, &name, &Header { mode: 0o755, ..header(b"d", b'5') }, b"")
            }
            1 if !files.is_empty() => {
                let (target, mode): &(String, u32) =
                    &files[numbers.below(files.len() as u64) as usize];
                // Python gives the file the mode that its second name says, GNU tar and we do not.
                let entry = Header { mode: *mode, ..header(b"h", b'1') };
                let tar = tar.gnu(b'K', target.as_bytes());
                named(tar, &mut numbers, &name, &entry, b"")
            }
            2 => {
                let entry = Header { link: b"f0".to_vec(), mode: 0o777, ..header(b"l", b'2') };
                named(tar, &mut numbers, &name, &entry, b"")
            }
            _ => {
                files.push((name.clone(), mode));
                let content = vec![b'a' + index as u8; numbers.below(3000) as usize];
                named(tar, &mut numbers, &name, &Header { mode, ..header(b"f", b'0') }, &content)
            }
        };
    }
    let whole = tar.end();
    if numbers.below(2) == 0 { gzip(&whole) } else { whole }
}

/// The entry under a name that is said in one of the ways of tar.
fn named(tar: Tar, numbers: &mut Numbers, name: &str, entry: &Header, content: &[u8]) -> Tar {
    let bytes = name.as_bytes();
    match numbers.below(3) {
        0 if bytes.len() <= 100 => {
            tar.entry(&Header { name: bytes.to_vec(), ..entry.clone() }, content)
        }
        1 => tar.pax(b'x', &[("path", bytes)]).entry(entry, content),
        _ => tar.gnu(b'L', bytes).entry(entry, content),
    }
}

/// Unpacks all of `archives` in three ways and compares.
fn compare(dir: &Path) {
    for by in ["gnu", "python"] {
        fs::create_dir(dir.join(by)).unwrap();
    }
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("python3", &["-c", PYTHON]);
    for entry in fs::read_dir(dir.join("archives")).unwrap() {
        let (path, name) = {
            let entry = entry.unwrap();
            (entry.path(), entry.file_name().into_string().unwrap())
        };
        let gnu = dir.join("gnu").join(&name);
        fs::create_dir(&gnu).unwrap();
        let script = "umask 022; exec tar -x -p --no-same-owner -f \"$1\" -C \"$2\"";
        run("sh", &["-c", script, "sh", path.to_str().unwrap(), gnu.to_str().unwrap()]);
        let place = Place::new();
        place
            .unpack(&fs::read(&path).unwrap(), &options(Kind::Tar), Walk::Kernel)
            .unwrap_or_else(|error| panic!("{name}: {}", told(&error)));
        place.assert_untouched(&name);
        let contents = |path: &Path| {
            let mut found = snapshot::content_of(path);
            // The destination itself belongs to whoever made it.
            found.remove(Path::new(""));
            found
        };
        let ours = contents(&place.dest());
        let others = [("GNU tar", gnu), ("Python", dir.join("python").join(&name))];
        for (program, tree) in others {
            let theirs = contents(&tree);
            assert_eq!(ours.len(), theirs.len(), "{name}: not as many as {program} unpacks");
            for (path, what) in &theirs {
                assert_eq!(
                    ours.get(path),
                    Some(what),
                    "{name}: {path:?} is not as {program} has it"
                );
            }
        }
    }
}

#[test]
fn t15_honest_archives_come_out_as_gnu_tar_and_python_unpack_them() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("archives")).unwrap();
    for seed in 0..ARCHIVES {
        fs::write(dir.path().join(format!("archives/seed-{seed}")), honest(seed)).unwrap();
    }
    compare(dir.path());
}

#[test]
fn t15_what_python_packs_comes_out_as_gnu_tar_and_python_unpack_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("archives")).unwrap();
    let packed = Command::new("python3")
        .args(["-c", PYTHON_PACKS])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    compare(dir.path());
}
