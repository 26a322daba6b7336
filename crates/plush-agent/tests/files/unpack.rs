//! Claims about unpacking.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use plush_agent::files::root::{Root, Walk};
use plush_agent::files::unpack::{Cause, Kind, Limits, Options, unpack};

use crate::archives::{Header, Tar, ZipEntry, gzip, header, seal, zip, zip_entry};
use crate::place::{Place, options};
use crate::snapshot;
use crate::told;

fn check_refused(kind: Kind, label: &str, archive: &[u8], why: &str) {
    for walk in [Walk::Kernel, Walk::Components] {
        let place = Place::new();
        match place.unpack(archive, &options(kind), walk) {
            Ok(unpacked) => panic!("{label} was unpacked: {unpacked:?}"),
            Err(error) => {
                let text = told(&error);
                assert!(text.contains(why), "{label}: {text:?} does not say {why:?}");
                assert!(!text.contains(['\x1b', '\n', '\0']), "{label}: {text:?} is not escaped");
            }
        }
        assert!(!place.dest().exists(), "{label} left a destination");
        place.assert_untouched(label);
    }
}

fn ok() -> Tar {
    Tar::default().dir(b"d/").file(b"d/ok", b"ok")
}

fn damaged(at: usize, bytes: &[u8], sealed: bool) -> Vec<u8> {
    let mut block = Header { size: 2, ..header(b"f", b'0') }.block();
    block[at..at + bytes.len()].copy_from_slice(bytes);
    if sealed {
        seal(&mut block);
    }
    Tar::default().raw(&block).content(b"ok").end()
}

fn hostile_tars() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let long = vec![b'x'; 5000];
    let deep = "d/".repeat(100) + "f";
    let device = |kind| ok().entry(&header(b"dev", kind), b"").end();
    let pax = |records: &[(&str, &[u8])]| ok().pax(b'x', records).file(b"plain", b"x").end();
    let mut list = vec![
        ("dotdot", ok().file(b"../escape", b"x").end(), "`..`"),
        ("dotdot within", ok().file(b"d/../../escape", b"x").end(), "`..`"),
        ("harmless dotdot", ok().file(b"d/../inside", b"x").end(), "`..`"),
        ("dotdot alone", ok().dir(b"..").end(), "`..`"),
        (
            "dotdot by prefix",
            ok().entry(&Header { prefix: b"../..".to_vec(), ..header(b"escape", b'0') }, b"x")
                .end(),
            "`..`",
        ),
        ("absolute", ok().file(b"/tmp/plush-escape", b"x").end(), "absolute"),
        ("absolute twice", ok().file(b"//tmp/plush-escape", b"x").end(), "absolute"),
        ("absolute directory", ok().dir(b"/").end(), "absolute"),
        ("empty name", ok().file(b"", b"x").end(), "damaged"),
        ("marker", ok().file(b".plush-software", b"complete x").end(), "reserved"),
        ("marker as directory", ok().dir(b"./.plush-software/").end(), "reserved"),
        ("absolute link", ok().link(b'2', b"l", b"/etc/passwd").end(), "absolute"),
        ("link up", ok().link(b'2', b"l", b"..").end(), "leads out"),
        ("link up and back", ok().link(b'2', b"l", b"../dest/d").end(), "leads out"),
        ("link up from below", ok().link(b'2', b"d/l", b"../../outside/secret").end(), "leads out"),
        (
            "link through link",
            ok().link(b'2', b"d/up", b"..").link(b'2', b"out", b"d/up/../../outside").end(),
            "leads out",
        ),
        (
            "chain only followed",
            ok().link(b'2', b"d/e/f/up", b"../../..").link(b'2', b"q", b"d/e/f/up/..").end(),
            "leads out",
        ),
        (
            "chain, other order",
            ok().link(b'2', b"q", b"z/../x").link(b'2', b"z", b"d/../..").end(),
            "leads out",
        ),
        ("ring", ok().link(b'2', b"a", b"b").link(b'2', b"b", b"a").end(), "ring"),
        ("self", ok().link(b'2', b"a", b"a").end(), "ring"),
        ("empty target", ok().link(b'2', b"l", b"").end(), "not a path"),
        (
            "link with contents",
            ok().entry(&Header { link: b"ok".to_vec(), ..header(b"l", b'2') }, b"x").end(),
            "contents",
        ),
        (
            "file through link",
            ok().link(b'2', b"l", b"d").file(b"l/f", b"x").end(),
            "has its place",
        ),
        (
            "file through outside link",
            ok().link(b'2', b"l", b"../outside").file(b"l/f", b"x").end(),
            "l",
        ),
        (
            "directory over link",
            ok().link(b'2', b"l", b"../outside").dir(b"l").file(b"l/f", b"x").end(),
            "leads out",
        ),
        ("link over directory", ok().link(b'2', b"d", b"x").end(), "has its place"),
        ("link over file", ok().link(b'2', b"d/ok", b"x").end(), "has its place"),
        (
            "link twice",
            ok().link(b'2', b"l", b"d").link(b'2', b"l", b"d/ok").end(),
            "has its place",
        ),
        (
            "link below link",
            ok().link(b'2', b"l", b"d").link(b'2', b"l/m", b"x").end(),
            "has its place",
        ),
        ("file twice", ok().file(b"f", b"1").file(b"f", b"2").end(), "has its place"),
        ("file twice by spelling", ok().file(b"f", b"1").file(b"./f", b"2").end(), "has its place"),
        ("file over directory", ok().file(b"d", b"x").end(), "has its place"),
        ("directory over file", ok().dir(b"d/ok/").end(), "has its place"),
        ("file below file", ok().file(b"d/ok/f", b"x").end(), "has its place"),
        ("hard link outside", ok().link(b'1', b"h", b"../outside/secret").end(), "leads out"),
        ("hard link absolute", ok().link(b'1', b"h", b"/etc/passwd").end(), "absolute"),
        (
            "hard link to nothing",
            ok().link(b'1', b"h", b"nothing").end(),
            "not a file of the archive",
        ),
        ("hard link to directory", ok().link(b'1', b"h", b"d").end(), "not a file of the archive"),
        (
            "hard link to outside link",
            ok().link(b'2', b"l", b"../outside/secret").link(b'1', b"h", b"l").end(),
            "leads out",
        ),
        (
            "hard link through link",
            ok().link(b'2', b"l", b"../outside").link(b'1', b"h", b"l/secret").end(),
            "not a file of the archive",
        ),
        ("hard link over file", ok().link(b'1', b"d/ok", b"d/ok").end(), "has its place"),
        (
            "hard link with contents",
            ok().entry(&Header { link: b"d/ok".to_vec(), ..header(b"h", b'1') }, b"x").end(),
            "contents",
        ),
        ("character device", device(b'3'), "character device"),
        ("block device", device(b'4'), "block device"),
        ("fifo", device(b'6'), "FIFO"),
        ("sparse file", device(b'S'), "sparse"),
        ("multi-volume", device(b'M'), "volume"),
        ("dump directory", device(b'D'), "dump"),
        ("unknown kind", device(b'Z'), "unknown kind"),
        ("pax path up", pax(&[("path", b"../escape")]), "`..`"),
        ("pax path absolute", pax(&[("path", b"/tmp/plush-escape")]), "absolute"),
        ("pax path with NUL", pax(&[("path", b"a\0b")]), "NUL"),
        ("pax path empty", pax(&[("path", b"")]), "empty"),
        ("pax path too long", pax(&[("path", &long)]), "too long"),
        ("pax path twice", pax(&[("path", b"a"), ("path", b"../b")]), "twice"),
        (
            "pax link",
            ok().pax(b'x', &[("linkpath", b"../../x")]).link(b'2', b"l", b"d").end(),
            "leads out",
        ),
        ("pax size larger", pax(&[("size", b"9999")]), "damaged"),
        (
            "pax size smaller",
            ok().pax(b'x', &[("size", b"0")]).file(b"plain", &[7; 512]).end(),
            "damaged",
        ),
        ("pax size negative", pax(&[("size", b"-1")]), "no number"),
        ("pax size huge", pax(&[("size", b"9223372036854775000")]), "limit"),
        (
            "pax size for link",
            ok().pax(b'x', &[("size", b"512")]).link(b'2', b"l", b"d").end(),
            "contents",
        ),
        ("pax sparse", pax(&[("GNU.sparse.major", b"1")]), "sparse"),
        ("pax sparse name", pax(&[("GNU.sparse.name", b"../escape")]), "sparse"),
        (
            "pax global path",
            ok().pax(b'g', &[("path", b"../escape")]).file(b"f", b"x").end(),
            "global",
        ),
        (
            "pax twice",
            ok().pax(b'x', &[("path", b"a")]).pax(b'x', &[("path", b"b")]).file(b"f", b"x").end(),
            "two extended",
        ),
        ("pax without entry", ok().pax(b'x', &[("path", b"a")]).end(), "without its entry"),
        (
            "pax and GNU name",
            ok().gnu(b'L', b"a").pax(b'x', &[("path", b"../b")]).file(b"f", b"x").end(),
            "twice",
        ),
        (
            "pax malformed",
            ok().entry(&header(b"p", b'x'), b"99 path=a\n").file(b"f", b"x").end(),
            "malformed",
        ),
        (
            "pax length zero",
            ok().entry(&header(b"p", b'x'), b"0 path=a\n").file(b"f", b"x").end(),
            "malformed",
        ),
        (
            "pax without equals",
            ok().entry(&header(b"p", b'x'), b"7 path\n").file(b"f", b"x").end(),
            "malformed",
        ),
        (
            "pax huge",
            ok().raw(&Header { size: 1 << 30, ..header(b"p", b'x') }.block()).end(),
            "limit",
        ),
        ("GNU name up", ok().gnu(b'L', b"../escape").file(b"f", b"x").end(), "`..`"),
        ("GNU name with NUL", ok().gnu(b'L', b"a\0../b").file(b"f", b"x").end(), "NUL"),
        ("GNU name twice", ok().gnu(b'L', b"a").gnu(b'L', b"b").file(b"f", b"x").end(), "twice"),
        ("GNU name without entry", ok().gnu(b'L', b"a").end(), "without its entry"),
        ("GNU link up", ok().gnu(b'K', b"../../x").link(b'2', b"l", b"d").end(), "leads out"),
        ("long component", ok().gnu(b'L', &vec![b'n'; 300]).file(b"f", b"x").end(), "too long"),
        ("too deep", ok().gnu(b'L', deep.as_bytes()).file(b"f", b"x").end(), "too deep"),
        ("wrong checksum", damaged(0, b"g", false), "neither a tar"),
        (
            "wrong checksum later",
            ok().raw(&{
                let mut block = header(b"f", b'0').block();
                block[1] = b'x';
                block
            })
            .end(),
            "checksum",
        ),
        ("size not octal", damaged(124, b"00000000009", true), "no number"),
        ("size negative", damaged(124, &[0xff; 12], true), "no number"),
        (
            "size beyond all",
            damaged(
                124,
                &[0x80, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                true,
            ),
            "no number",
        ),
        ("size larger than the rest", damaged(124, b"00000777777", true), "ends within"),
        ("mode not octal", damaged(100, b"zzzzzzz", true), "no number"),
        ("no end mark", ok().bytes, "end mark"),
        ("cut in a header", ok().bytes[..700].to_vec(), "ends within"),
        ("cut in a block", ok().bytes[..1300].to_vec(), "ends within"),
        ("nothing", Vec::new(), "neither a tar"),
        ("only zeros", vec![0; 10240], "nothing to unpack"),
        ("directory with contents", ok().entry(&header(b"e", b'5'), &[1; 512]).end(), "contents"),
        ("directory by slash with contents", ok().file(b"e/", b"x").end(), "contents"),
        ("not an archive", b"#!/bin/sh\nrm -rf /\n".repeat(100), "neither a tar"),
        ("bzip2", b"BZh91AY&SY".repeat(100), "bzip2"),
        ("zip as tar", zip(&[zip_entry(b"f", b"x")]), "a zip archive"),
        ("garbage under gzip", gzip(&b"garbage ".repeat(200)), "checksum"),
        (
            "two archives nested by size",
            ok().raw(&Header { size: 0, ..header(b"n", b'0') }.block())
                .content(&ok().bytes[..600])
                .end(),
            "checksum",
        ),
        ("name with escape codes", ok().file(b"\x1b[2J/../x\n", b"x").end(), "\\x1b"),
    ];
    let cut = gzip(&ok().end());
    list.push(("gzip cut", cut[..cut.len() - 4].to_vec(), "decompress"));
    let mut flipped = cut.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    list.push(("gzip checksum", flipped, "decompress"));
    list
}

#[test]
fn no_hostile_tar_gets_out_or_leaves_anything() {
    let list = hostile_tars();
    assert!(list.len() >= 90, "{}", list.len());
    for (label, archive, why) in &list {
        check_refused(Kind::Tar, label, archive, why);
        if !label.contains("gzip")
            && !archive.is_empty()
            && !["neither", "bzip2", "a zip"].iter().any(|not| why.starts_with(not))
        {
            check_refused(Kind::Tar, &format!("{label} under gzip"), &gzip(archive), why);
        }
    }
}

fn hostile_zips() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let ok = zip_entry(b"d/ok", b"ok");
    let with = |entry: ZipEntry| zip(&[ok.clone(), entry]);
    let link = |name: &[u8], target: &[u8]| zip_entry(name, target).mode(0o120_777);
    let plain = zip(std::slice::from_ref(&ok));
    let patched = |from_end: usize, bytes: &[u8]| {
        let mut archive = plain.clone();
        let at = archive.len() - from_end;
        archive[at..at + bytes.len()].copy_from_slice(bytes);
        archive
    };
    vec![
        ("dotdot", with(zip_entry(b"../escape", b"x")), "`..`"),
        ("absolute", with(zip_entry(b"/tmp/plush-escape", b"x")), "absolute"),
        ("NUL", with(zip_entry(b"a\0/../b", b"x")), "NUL"),
        ("empty name", with(zip_entry(b"", b"x")), "empty"),
        ("marker", with(zip_entry(b".plush-software", b"x")), "reserved"),
        (
            "two names",
            with(ZipEntry { directory_name: b"other".to_vec(), ..zip_entry(b"../up", b"x") }),
            "contradicts",
        ),
        ("link absolute", with(link(b"l", b"/etc/passwd")), "absolute"),
        ("link up", with(link(b"l", b"../outside")), "leads out"),
        ("link chain", zip(&[link(b"d/e/up", b"../.."), link(b"q", b"d/e/up/../x")]), "leads out"),
        (
            "file through link",
            zip(&[link(b"l", b"d"), ok.clone(), zip_entry(b"l/f", b"x")]),
            "has its place",
        ),
        ("link with NUL", with(link(b"l", b"a\0b")), "not a path"),
        ("link endless", with(link(b"l", &[b'x'; 5000])), "endless"),
        ("twice", zip(&[ok.clone(), ok.clone()]), "has its place"),
        ("device", with(zip_entry(b"c", b"").mode(0o020_644)), "character device"),
        ("block device", with(zip_entry(b"c", b"").mode(0o060_644)), "block device"),
        ("fifo", with(zip_entry(b"c", b"").mode(0o010_644)), "FIFO"),
        ("socket", with(zip_entry(b"c", b"").mode(0o140_644)), "socket"),
        ("directory mode without slash", with(zip_entry(b"c", b"").mode(0o040_755)), "contradict"),
        ("directory with contents", with(zip_entry(b"c/", b"x").mode(0o040_755)), "contents"),
        ("encrypted", with(ZipEntry { flags: 1, ..zip_entry(b"c", b"x") }), "encrypted"),
        ("other method", with(ZipEntry { method: 12, ..zip_entry(b"c", b"x") }), "method"),
        ("wrong checksum", with(ZipEntry { crc: 1, ..zip_entry(b"c", b"x") }), "checksum"),
        ("stored in two sizes", with(ZipEntry { size: 9, ..zip_entry(b"c", b"x") }), "two sizes"),
        (
            "longer than told",
            with(ZipEntry { size: 1, ..zip_entry(b"c", b"abcdef").deflated() }),
            "longer",
        ),
        (
            "shorter than told",
            with(ZipEntry { size: 99, ..zip_entry(b"c", b"abcdef").deflated() }),
            "ends within",
        ),
        ("overlap", zip(&[ok.clone(), ZipEntry { at: Some(0), ..ok.clone() }]), "share"),
        ("elsewhere", with(ZipEntry { at: Some(7), ..zip_entry(b"c", b"x") }), "not where"),
        (
            "beyond the end",
            with(ZipEntry { at: Some(0x7fff_ffff), ..zip_entry(b"c", b"x") }),
            "does not have",
        ),
        (
            "garbage deflated",
            with(ZipEntry { method: 8, ..zip_entry(b"c", b"\xff\xff\xff") }),
            "decompress",
        ),
        ("cut", plain[..plain.len() - 1].to_vec(), "end record"),
        ("appended", [&plain[..], b"x"].concat(), "end record"),
        ("inserted", [&plain[..38], b"x", &plain[38..]].concat(), "does not end"),
        ("more entries told", patched(14, &[2, 0, 2, 0]), "other number"),
        ("several disks", patched(18, &[1, 0]), "disks"),
        ("zip64 missing", patched(6, &[0xff; 4]), "zip64"),
        (
            "bomb told",
            with(ZipEntry { size: 0x7fff_ffff, ..zip_entry(b"c", b"x").deflated() }),
            "limit",
        ),
        ("none", zip(&[]), "nothing to unpack"),
        ("tar as zip", Tar::default().file(b"f", b"x").end(), "a tar archive"),
    ]
}

#[test]
fn no_hostile_zip_gets_out_or_leaves_anything() {
    for (label, archive, why) in hostile_zips() {
        check_refused(Kind::Zip, label, &archive, why);
    }
}

#[test]
fn no_cut_or_flipped_archive_gets_out_or_panics() {
    let tar = ok()
        .pax(b'x', &[("path", b"long")])
        .file(b"f", b"x")
        .gnu(b'K', b"d/ok")
        .link(b'2', b"l", b"d")
        .link(b'1', b"h", b"d/ok")
        .end();
    let archive =
        zip(&[zip_entry(b"d/ok", b"ok").deflated(), zip_entry(b"l", b"d").mode(0o120_777)]);
    let place = Place::new();
    let try_one = |kind, bytes: &[u8], label: String| {
        let outcome = place.unpack(bytes, &options(kind), Walk::Kernel);
        if place.dest().exists() {
            assert!(outcome.is_ok(), "{label} failed and left a destination");
            fs::remove_dir_all(place.dest()).unwrap();
        }
        place.assert_untouched(&label);
    };
    let packed = gzip(&tar);
    for length in 0..packed.len() {
        assert!(place.unpack(&packed[..length], &options(Kind::Tar), Walk::Kernel).is_err());
    }
    for at in 0..archive.len() {
        assert!(place.unpack(&archive[..at], &options(Kind::Zip), Walk::Kernel).is_err());
        for byte in [0, 1, 0x2f, 0x7f, 0xff] {
            let mut flipped = archive.clone();
            flipped[at] = byte;
            try_one(Kind::Zip, &flipped, format!("zip byte {at} = {byte}"));
        }
    }
    for at in (0..tar.len()).step_by(3) {
        let mut flipped = tar.clone();
        flipped[at] ^= 0x11;
        let start = at / 512 * 512;
        let mut block: [u8; 512] = flipped[start..start + 512].try_into().unwrap();
        // With a right checksum the damage goes deeper.
        seal(&mut block);
        flipped[start..start + 512].copy_from_slice(&block);
        try_one(Kind::Tar, &flipped, format!("tar byte {at}"));
    }
}

#[test]
fn limits_on_bytes_entries_and_ratio_hold() {
    let zeros = gzip(&Tar::default().file(b"zeros", &vec![0; 80 << 20]).end());
    let check = |archive: &[u8], limits: Limits, what: &str| {
        let place = Place::new();
        let error = place
            .unpack(archive, &Options { kind: Kind::Tar, strip: 0, limits }, Walk::Kernel)
            .unwrap_err();
        assert!(told(&error).contains(what), "{}", told(&error));
        assert!(!place.dest().exists());
        place.assert_untouched(what);
    };
    check(&zeros, Limits { ratio: 100, ..Limits::default() }, "each packed byte");
    check(&zeros, Limits { bytes: 1 << 20, ..Limits::default() }, "limit of 1048576 bytes");
    let many = (0..50)
        .fold(Tar::default(), |tar, index| tar.file(format!("f{index}").as_bytes(), b""))
        .end();
    check(&many, Limits { entries: 49, ..Limits::default() }, "limit of 49 entries");
    let nested = Tar::default().file(b"a/b/c", b"").end();
    check(&nested, Limits { depth: 2, ..Limits::default() }, "too deep");
}

#[test]
fn honest_peculiarities_are_unpacked() {
    let long = format!("{}/{}", "p".repeat(120), "n".repeat(120));
    let archive = Tar::default()
        .pax(b'g', &[("comment", b"made by git")])
        .entry(&Header { mode: 0o6777, ..header(b"./bin/tool", b'0') }, b"#!/bin/sh\n")
        .file(b"bin/Tool", b"case")
        .gnu(b'L', long.as_bytes())
        .file(b"cut", b"gnu")
        .pax(b'x', &[("path", "unicode-\u{e9}".as_bytes()), ("mtime", b"1234567890.5")])
        .file(b"ascii", b"pax")
        .link(b'2', b"lib64", b"lib")
        .link(b'2', b"lib/dangling", b"nowhere")
        .link(b'2', b"bin/up", b"../lib/../bin/tool")
        .link(b'1', b"lib/hard", b"bin/tool")
        .link(b'1', b"lib/hardlink-of-link", b"lib64")
        .entry(&Header { mode: 0, ..header(b"locked/", b'5') }, b"")
        .file(b"locked/in", b"in")
        .entry(&Header { magic: [0; 8], ..header(b"old/", b'\0') }, b"")
        .entry(&header(b"contiguous", b'7'), b"c")
        .dir(b"bin/")
        .end();
    let place = Place::new();
    place.unpack(&archive, &options(Kind::Tar), Walk::Kernel).unwrap();
    let dest = place.dest();
    let read = |path: &str| fs::read_to_string(dest.join(path)).unwrap();
    let mode = |path: &str| {
        std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(dest.join(path)).unwrap().permissions(),
        ) & 0o7777
    };
    assert_eq!(
        (read("bin/tool").as_str(), read("bin/Tool").as_str(), read(&long).as_str()),
        ("#!/bin/sh\n", "case", "gnu")
    );
    assert_eq!(
        (read("unicode-\u{e9}").as_str(), read("lib/hard").as_str(), read("bin/up").as_str()),
        ("pax", "#!/bin/sh\n", "#!/bin/sh\n")
    );
    assert_eq!((mode("bin/tool"), mode("locked"), mode("locked/in")), (0o755, 0o700, 0o644));
    assert_eq!(fs::read_link(dest.join("lib/hardlink-of-link")).unwrap(), Path::new("lib"));
    assert_eq!(
        std::os::unix::fs::MetadataExt::mtime(&fs::metadata(dest.join("unicode-\u{e9}")).unwrap()),
        1_234_567_890
    );
    assert!(dest.join("old").is_dir() && read("contiguous") == "c");
    place.assert_untouched("honest");
}

#[test]
fn strip_takes_leading_components_also_from_hard_links() {
    let archive = Tar::default()
        .dir(b"top-1.0/")
        .file(b"top-1.0/README", b"r")
        .file(b"top-1.0/bin/tool", b"t")
        .link(b'1', b"top-1.0/bin/again", b"top-1.0/bin/tool")
        .link(b'2', b"top-1.0/readme", b"README")
        .end();
    let place = Place::new();
    let unpacked =
        place.unpack(&archive, &Options { strip: 1, ..options(Kind::Tar) }, Walk::Kernel).unwrap();
    assert_eq!((unpacked.entries, unpacked.bytes), (4, 2));
    assert_eq!(fs::read_to_string(place.dest().join("bin/again")).unwrap(), "t");
    assert_eq!(fs::read_to_string(place.dest().join("readme")).unwrap(), "r");
    let all = Place::new()
        .unpack(&archive, &Options { strip: 5, ..options(Kind::Tar) }, Walk::Kernel)
        .unwrap_err();
    assert!(matches!(all.cause, Cause::Empty { strip: 5 }), "{}", told(&all));
    let up = Tar::default().file(b"a/f", b"x").link(b'2', b"a/l", b"../b").end();
    let error = Place::new()
        .unpack(&up, &Options { strip: 1, ..options(Kind::Tar) }, Walk::Kernel)
        .unwrap_err();
    assert!(told(&error).contains("leads out"), "{}", told(&error));
}

#[test]
fn a_destination_that_exists_is_not_overwritten() {
    let place = Place::new();
    fs::create_dir(place.dest()).unwrap();
    fs::write(place.dest().join("mine"), "mine").unwrap();
    assert!(place.unpack(&ok().end(), &options(Kind::Tar), Walk::Kernel).is_err());
    assert_eq!(fs::read_dir(place.dest()).unwrap().count(), 1);
    place.assert_untouched("existing");
}

fn run(dir: &Path, argv: &[&str]) {
    let output = Command::new(argv[0]).args(&argv[1..]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A tree with everything that software has.
fn original(dir: &Path) -> PathBuf {
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("bin/deep/er")).unwrap();
    let mut text = String::new();
    for line in 0..40_000 {
        text.push_str(&format!("line {line} of {}\n", line * 7919 % 1000));
    }
    fs::write(tree.join("text"), &text).unwrap();
    fs::write(tree.join("bin/deep/er/empty"), "").unwrap();
    fs::write(tree.join("bin/deep").join("n".repeat(200)), "long name").unwrap();
    fs::write(tree.join("bin/tool"), "#!/bin/sh\necho ok\n").unwrap();
    fs::set_permissions(tree.join("bin/tool"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    std::os::unix::fs::symlink("bin/tool", tree.join("link")).unwrap();
    tree
}

#[test]
fn what_gnu_tar_packs_comes_out_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let tree = original(dir.path());
    fs::hard_link(tree.join("bin/tool"), tree.join("hard")).unwrap();
    for format in ["ustar", "gnu", "pax", "oldgnu"] {
        for packed in ["--no-auto-compress", "--gzip", "--xz", "--zstd"] {
            if format == "ustar" {
                let _ = fs::remove_file(tree.join("bin/deep").join("n".repeat(200)));
            } else {
                fs::write(tree.join("bin/deep").join("n".repeat(200)), "long name").unwrap();
            }
            run(
                dir.path(),
                &["tar", "--create", packed, "--format", format, "--file", "a", "tree"],
            );
            let place = Place::new();
            let archive = fs::read(dir.path().join("a")).unwrap();
            place
                .unpack(&archive, &Options { strip: 1, ..options(Kind::Tar) }, Walk::Kernel)
                .unwrap_or_else(|error| panic!("{format} {packed}: {}", told(&error)));
            assert_eq!(
                snapshot::content_of(&place.dest()),
                snapshot::content_of(&tree),
                "{format} {packed}"
            );
            place.assert_untouched(packed);
        }
    }
}

#[test]
fn concatenated_streams_are_read_to_their_end() {
    let dir = tempfile::tempdir().unwrap();
    let tar = ok().file(b"second", &[b's'; 9000]).end();
    for program in ["gzip", "xz", "zstd"] {
        let mut packed = Vec::new();
        for half in [&tar[..1000], &tar[1000..]] {
            fs::write(dir.path().join("half"), half).unwrap();
            packed.extend(
                Command::new(program)
                    .args(["-q", "-c", "half"])
                    .current_dir(dir.path())
                    .output()
                    .unwrap()
                    .stdout,
            );
        }
        let place = Place::new();
        place
            .unpack(&packed, &options(Kind::Tar), Walk::Kernel)
            .unwrap_or_else(|error| panic!("{program}: {}", told(&error)));
        assert_eq!(fs::read(place.dest().join("second")).unwrap(), [b's'; 9000]);
        for length in [packed.len() - 1, packed.len() / 2] {
            assert!(
                Place::new().unpack(&packed[..length], &options(Kind::Tar), Walk::Kernel).is_err(),
                "{program} cut at {length}"
            );
        }
        let mut flipped = packed.clone();
        let at = packed.len() - if program == "gzip" { 7 } else { 3 };
        flipped[at] ^= 0x10;
        assert!(
            Place::new().unpack(&flipped, &options(Kind::Tar), Walk::Kernel).is_err(),
            "{program} flipped"
        );
    }
}

#[test]
fn what_zip_packs_comes_out_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let tree = original(dir.path());
    run(&tree, &["zip", "-q", "-r", "-y", "../a.zip", "."]);
    let place = Place::new();
    let archive = fs::read(dir.path().join("a.zip")).unwrap();
    place
        .unpack(&archive, &options(Kind::Zip), Walk::Kernel)
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(snapshot::content_of(&place.dest()), snapshot::content_of(&tree));
    // As if written to a pipe: the sizes come after the content.
    run(&tree, &["zip", "-q", "-fd", "../b.zip", "text"]);
    let piped = fs::read(dir.path().join("b.zip")).unwrap();
    let place = Place::new();
    place
        .unpack(&piped, &options(Kind::Zip), Walk::Kernel)
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(fs::read(place.dest().join("text")).unwrap(), fs::read(tree.join("text")).unwrap());
}

#[test]
fn the_large_records_of_zip64_are_read() {
    let small = zip(&[zip_entry(b"f", b"x")]);
    let (body, end) = small.split_at(small.len() - 22);
    let number = |at: usize| {
        u64::from(u32::from_le_bytes(end[at..at + 4].try_into().unwrap())).to_le_bytes()
    };
    let record = [
        &b"PK\x06\x06\x2c\0\0\0\0\0\0\0-\0-\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"
            [..],
        &number(12),
        &number(16),
    ]
    .concat();
    let locator =
        [&b"PK\x06\x07\0\0\0\0"[..], &(body.len() as u64).to_le_bytes(), &[1, 0, 0, 0]].concat();
    let end = [&end[..8], &[0xff; 12], &[0, 0]].concat();
    let place = Place::new();
    place
        .unpack(&[body, &record, &locator, &end].concat(), &options(Kind::Zip), Walk::Kernel)
        .unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(fs::read(place.dest().join("f")).unwrap(), b"x");
}

#[test]
fn a_stopped_unpacking_leaves_nothing() {
    let place = Place::new();
    let path = place.dir.path().join("outside/dir/file");
    fs::write(&path, "file").unwrap();
    let archive = Tar::default().file(b"big", &vec![1; 4 << 20]).end();
    fs::write(place.dir.path().join("archive"), archive).unwrap();
    let file = File::open(place.dir.path().join("archive")).unwrap();
    let root = Root::open(&place.dir.path().join("root")).unwrap();
    let mut stop = |done: u64, _| {
        if done > 1 << 20 {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    };
    let error = unpack(file, &options(Kind::Tar), &root, Path::new("dest"), &mut stop).unwrap_err();
    assert!(matches!(error.cause, Cause::Cancelled));
    assert_eq!(fs::read_dir(place.dir.path().join("root")).unwrap().count(), 0);
}
