//! A corpus of hostile archives, made by crossing what is hostile with every way to say it (T15).
//!
//! Not the claims on how each refusal is worded (see `unpack`): here only what an archive can do counts.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plush_agent::files::root::Walk;
use plush_agent::files::unpack::Kind;

use crate::archives::{Header, Tar, ZipEntry, gzip, header, seal, zip, zip_entry};
use crate::place::{Place, options};
use crate::{again, is_inside, told};

/// What unpacking may add to the memory of the tests.
const MEMORY_KIB: u64 = 48 << 10;

/// What must become of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing of it stays.
    Refused,
    /// What is dangerous about it is taken away, the rest unpacked.
    Tamed,
    /// Either: it is damaged in a way that may leave something honest.
    Open,
}

/// One archive.
struct Case {
    label: String,
    kind: Kind,
    archive: Vec<u8>,
    verdict: Verdict,
}

/// The archives of one kind as they are collected.
struct Cases {
    kind: Kind,
    list: Vec<Case>,
}

impl Cases {
    fn add(&mut self, verdict: Verdict, label: String, archive: Vec<u8>) {
        self.list.push(Case { label, kind: self.kind, archive, verdict });
    }

    fn refused(&mut self, label: String, archive: Vec<u8>) {
        self.add(Verdict::Refused, label, archive);
    }
}

const NAMES: [&[u8]; 12] = [
    b"../escape",
    b"..",
    b"./../escape",
    b"d/../../escape",
    b"d/..",
    b"d/./../../outside/secret",
    b"../outside/secret",
    b"../../../../../../../../../../tmp/plush-escape",
    b"/tmp/plush-escape",
    b"//tmp/plush-escape",
    b"/",
    b".plush-software",
];

const TARGETS: [&[u8]; 10] = [
    b"..",
    b"../outside/secret",
    b"./../outside",
    b"d/../../outside/secret",
    b"d/./.././../outside",
    b"../dest/d",
    b"../../../../../../../../../../etc/passwd",
    b"/etc/passwd",
    b"//etc/passwd",
    b"/proc/self/root/etc/passwd",
];

fn ok() -> Tar {
    Tar::default().dir(b"d/").file(b"d/ok", b"ok")
}

/// A hostile name in each of the places where tar keeps names, for each kind of entry.
fn tar_names(cases: &mut Cases) {
    for name in NAMES {
        for kind in [b'0', b'1', b'2', b'5', b'7'] {
            let plain = Header { link: b"d/ok".to_vec(), ..header(b"plain", kind) };
            let named = Header { name: name.to_vec(), ..plain.clone() };
            let ways = [
                ("ustar", ok().entry(&named, b"")),
                ("old", ok().entry(&Header { magic: [0; 8], ..named.clone() }, b"")),
                ("pax", ok().pax(b'x', &[("path", name)]).entry(&plain, b"")),
                ("gnu", ok().gnu(b'L', name).entry(&plain, b"")),
            ];
            for (way, tar) in ways {
                let label = format!("{way} name {} {}", char::from(kind), name.escape_ascii());
                cases.refused(label, tar.end());
            }
        }
        // The harmless name hides the hostile one, whichever the reader prefers.
        let hidden = ok().gnu(b'L', name).pax(b'x', &[("path", b"fine")]).file(b"plain", b"x");
        cases.refused(format!("gnu behind pax {}", name.escape_ascii()), hidden.end());
        let hidden = ok().pax(b'x', &[("path", name)]).gnu(b'L', b"fine").file(b"plain", b"x");
        cases.refused(format!("pax behind gnu {}", name.escape_ascii()), hidden.end());
        let prefixed = Header { prefix: name.to_vec(), ..header(b"plain", b'0') };
        let tar = ok().entry(&prefixed, b"x").end();
        cases.refused(format!("ustar prefix {}", name.escape_ascii()), tar);
    }
}

/// A hostile target in each of the places where tar keeps targets.
fn tar_targets(cases: &mut Cases) {
    for target in TARGETS {
        for kind in [b'1', b'2'] {
            let ways = [
                ("ustar", ok().link(kind, b"l", target)),
                ("pax", ok().pax(b'x', &[("linkpath", target)]).link(kind, b"l", b"d/ok")),
                ("gnu", ok().gnu(b'K', target).link(kind, b"l", b"d/ok")),
            ];
            for (way, tar) in ways {
                let label = format!("{way} target {} {}", char::from(kind), target.escape_ascii());
                cases.refused(label, tar.end());
            }
        }
        // Given a second name, and only then followed.
        let twice = ok().link(b'2', b"l", target).link(b'1', b"h", b"l").link(b'1', b"i", b"h");
        cases.refused(format!("link of a link {}", target.escape_ascii()), twice.end());
    }
}

/// Links that lead out only together, rings, and links that multiply each other.
fn tar_chains(cases: &mut Cases) {
    for length in [1, 2, 3, 10, 39, 41, 200] {
        for end in ["..", "../outside", "/etc"] {
            let chain = |reverse: bool| {
                let link = |tar: Tar, n: usize| {
                    let target = if n + 1 == length { end.into() } else { format!("l{}", n + 1) };
                    tar.link(b'2', format!("l{n}").as_bytes(), target.as_bytes())
                };
                match reverse {
                    false => (0..length).fold(ok(), link),
                    true => (0..length).rev().fold(ok(), link),
                }
            };
            cases.refused(format!("chain of {length} to {end}"), chain(false).end());
            if length > 1 {
                cases.refused(format!("chain of {length} to {end} backwards"), chain(true).end());
            }
        }
        let ring = (0..length).fold(ok(), |tar, n| {
            let target = format!("l{}", (n + 1) % length);
            tar.link(b'2', format!("l{n}").as_bytes(), target.as_bytes())
        });
        cases.refused(format!("ring of {length}"), ring.end());
    }
    for depth in [2, 8, 30] {
        let multiplied = (0..depth).fold(ok(), |tar, n| {
            tar.link(b'2', format!("l{n}").as_bytes(), format!("l{0}/l{0}", n + 1).as_bytes())
        });
        cases.add(Verdict::Open, format!("links that multiply {depth} times"), multiplied.end());
    }
    for levels in 1..8 {
        // `d` is a real directory, deeper and deeper, and the link climbs one step further than it is deep.
        let deep = "e/".repeat(levels);
        let up = "../".repeat(levels + 1);
        let tar =
            ok().dir(deep.as_bytes()).link(b'2', format!("{deep}l").as_bytes(), up.as_bytes());
        cases.refused(format!("a link {levels} deep climbs too far"), tar.end());
        let through = ok().link(b'2', format!("{deep}up").as_bytes(), &up.as_bytes()[3..]).link(
            b'2',
            b"q",
            format!("{deep}up/..").as_bytes(),
        );
        cases.refused(format!("a link climbs through another, {levels} deep"), through.end());
    }
}

/// Entries beneath a link, before and after it, which a careless reader would write through it.
fn tar_through_links(cases: &mut Cases) {
    for target in [&b"d"[..], b".", b"dangling", b"../outside", b"/tmp"] {
        for kind in [b'0', b'1', b'2', b'5'] {
            let below = Header { link: b"d/ok".to_vec(), ..header(b"l/secret", kind) };
            let after = ok().link(b'2', b"l", target).entry(&below, b"");
            let before = ok().entry(&below, b"").link(b'2', b"l", target);
            for (order, tar) in [("after", after), ("before", before)] {
                let label =
                    format!("{} {order} link to {}", char::from(kind), target.escape_ascii());
                cases.refused(label, tar.end());
            }
        }
    }
}

/// Two entries of one name, of all kinds and in all orders.
fn tar_duplicates(cases: &mut Cases) {
    for first in [b'0', b'1', b'2', b'5'] {
        for second in [b'0', b'1', b'2', b'5'] {
            for spelling in [&b"n"[..], b"./n", b".//./n"] {
                let entry =
                    |name: &[u8], kind| Header { link: b"d/ok".to_vec(), ..header(name, kind) };
                let tar = ok().entry(&entry(b"n", first), b"").entry(&entry(spelling, second), b"");
                let verdict =
                    if (first, second) == (b'5', b'5') { Verdict::Tamed } else { Verdict::Refused };
                let (first, second) = (char::from(first), char::from(second));
                let label = format!("{first} and {second} as {}", spelling.escape_ascii());
                cases.add(verdict, label, tar.end());
            }
        }
    }
    // Names that some other file system takes for one: here they are two, and never one through the other.
    for (one, two) in
        [("Name", "name"), ("\u{e9}", "e\u{301}"), ("\u{df}", "ss"), ("x", "x "), ("x", "x.")]
    {
        let files = ok().file(one.as_bytes(), b"1").file(two.as_bytes(), b"2").end();
        cases.add(Verdict::Tamed, format!("files {one:?} and {two:?}"), files);
        let below = format!("{two}/secret");
        let through = ok().link(b'2', one.as_bytes(), b"../outside").file(below.as_bytes(), b"x");
        cases.refused(format!("a file through {two:?}, a link as {one:?}"), through.end());
    }
}

/// Kinds that are no software, and modes that give power.
fn tar_kinds_and_modes(cases: &mut Cases) {
    for kind in *b"3468@ADEIMNQSZ\xff" {
        for mode in [0o644, 0o4755] {
            let entry = Header { mode, ..header(b"thing", kind) };
            let mut block = entry.block();
            block[329..336].copy_from_slice(b"0000001");
            block[337..344].copy_from_slice(b"0000003");
            seal(&mut block);
            let label = format!("kind {} mode {mode:o}", kind.escape_ascii());
            cases.refused(label, ok().raw(&block).end());
        }
    }
    for mode in [0o4755, 0o2755, 0o1755, 0o6777, 0o7777, 0o666, 0o002, 0o000] {
        for kind in [b'0', b'5', b'7'] {
            let tar =
                ok().entry(&Header { mode, ..header(b"n", kind) }, b"").file(b"o", b"x").end();
            cases.add(Verdict::Tamed, format!("mode {mode:o} kind {}", char::from(kind)), tar);
        }
    }
    for key in ["major", "minor", "name", "realsize", "size", "map", "numblocks", "offset"] {
        let key = format!("GNU.sparse.{key}");
        for kind in [b'x', b'g'] {
            let tar = ok().pax(kind, &[(&key, b"1")]).file(b"f", b"x").end();
            cases.refused(format!("{key} in {}", char::from(kind)), tar);
        }
    }
}

/// Sizes that are not those of the content.
fn tar_sizes(cases: &mut Cases) {
    let fields: [&[u8]; 9] = [
        b"77777777777\0",
        b"00000004000\0",
        b"00000010000\0",
        b"-0000000001\0",
        b"0x000000002\0",
        &[0xff; 12],
        &[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0],
    ];
    for field in fields {
        for kind in [b'0', b'2', b'5', b'x', b'g', b'L', b'K'] {
            let mut block = Header { link: b"d".to_vec(), ..header(b"n", kind) }.block();
            block[124..136].copy_from_slice(field);
            seal(&mut block);
            let label = format!("size {} of {}", field.escape_ascii(), char::from(kind));
            cases.refused(label, ok().raw(&block).content(b"ok").end());
        }
    }
    for size in ["-1", "+2", " 2", "2 ", "0x2", "2.0", "", "1025", "99999999999999999999", "1e9"] {
        let tar = ok().pax(b'x', &[("size", size.as_bytes())]).file(b"f", b"ok").end();
        cases.refused(format!("pax size {size:?}"), tar);
    }
    for records in [
        &b"1 path=a\n"[..],
        b"-9 path=a\n",
        b"9999999 path=a\n",
        b"9 path=a",
        b"9 path=a ",
        b"8 path=a\n",
        b"11 path=a\n",
        b" 9 path=a\n",
        b"9  path=a\n",
        b"path=a\n",
        b"9 =patha\n9",
        b"99999999999999999999 a=b\n",
    ] {
        for kind in [b'x', b'g'] {
            let tar = ok().entry(&header(b"p", kind), records).file(b"f", b"x").end();
            let label = format!("records {} in {}", records.escape_ascii(), char::from(kind));
            cases.refused(label, tar);
        }
    }
}

/// Where the fields of a tar header begin, and its end.
const TAR_FIELDS: [usize; 17] =
    [0, 100, 108, 116, 124, 136, 148, 156, 157, 257, 263, 265, 297, 329, 337, 345, 500];

/// Cut before each field of each header; and each field filled with nonsense under a right checksum.
fn tar_damage(cases: &mut Cases) {
    let whole = Tar::default()
        .pax(b'x', &[("path", b"by-pax")])
        .file(b"f", b"content")
        .gnu(b'L', b"by-gnu")
        .link(b'2', b"l", b"by-pax")
        .end();
    for block in 0..whole.len() / 512 - 2 {
        for field in TAR_FIELDS {
            let cut = block * 512 + field;
            cases.refused(format!("cut at {cut}"), whole[..cut].to_vec());
        }
    }
    let headers: Vec<usize> = vec![0, 2, 4, 6];
    for (index, from) in TAR_FIELDS.into_iter().enumerate() {
        let to = TAR_FIELDS.get(index + 1).copied().unwrap_or(512);
        for fill in [0, b' ', b'7', b'.', b'/', 0xff] {
            for at in &headers {
                let mut damaged = whole.clone();
                let block = &mut damaged[at * 512..(at + 1) * 512];
                block[from..to].fill(fill);
                seal(block.try_into().unwrap());
                let label = format!("field {from} of block {at} full of {}", fill.escape_ascii());
                cases.add(Verdict::Open, label, damaged);
            }
        }
    }
}

/// Much out of little.
fn tar_bombs(cases: &mut Cases) {
    let zeros = Tar::default().file(b"zeros", &vec![0; 96 << 20]).end();
    for program in ["xz", "zstd"] {
        let bomb = packed_by(program, &zeros);
        cases.refused(format!("{program} of zeros"), bomb.clone());
        cases.refused(format!("{program} within gzip"), gzip(&bomb));
        cases.refused(format!("{program} within {program}"), packed_by(program, &bomb));
        cases.refused(format!("{program} cut"), bomb[..bomb.len() / 2].to_vec());
    }
    cases.refused("gzip within gzip".into(), gzip(&gzip(&ok().end())));
    for kind in [b'x', b'g', b'L', b'K', b'V'] {
        for size in [(1 << 20) + 1, 64 << 20] {
            let tar = ok().entry(&header(b"p", kind), &vec![b'a'; size]).file(b"f", b"x").end();
            cases.refused(format!("{size} bytes in {}", char::from(kind)), gzip(&tar));
        }
    }
    for depth in [65, 500, 2000] {
        let name = "d/".repeat(depth) + "f";
        cases.refused(
            format!("{depth} deep"),
            ok().gnu(b'L', name.as_bytes()).file(b"f", b"").end(),
        );
    }
    let headers = (0..20_000).fold(ok(), |tar, _| tar.pax(b'g', &[("comment", b"again")]));
    cases.add(
        Verdict::Open,
        "endless global headers".into(),
        gzip(&headers.file(b"f", b"x").end()),
    );
}

/// Names and targets in zip, which keeps a name twice and a target as content.
fn zip_names(cases: &mut Cases) {
    let fine = zip_entry(b"d/ok", b"ok");
    for name in NAMES {
        let shown = name.escape_ascii();
        let entry = zip_entry(name, b"x");
        let as_dir = zip_entry(&[name, b"/"].concat(), b"").mode(0o040_755);
        let lying = |there: &[u8], here: &[u8]| ZipEntry {
            directory_name: there.to_vec(),
            ..zip_entry(here, b"x")
        };
        let ways = [
            ("stored", entry.clone()),
            ("deflated", zip_entry(name, b"x").deflated()),
            ("link", zip_entry(name, b"d").mode(0o120_777)),
            ("directory", as_dir),
            ("only in the directory", lying(name, b"fine")),
            ("only in the entry", lying(b"fine", name)),
        ];
        for (way, entry) in ways {
            cases.refused(format!("zip {way} {shown}"), zip(&[fine.clone(), entry]));
        }
    }
    for target in TARGETS {
        let link = zip_entry(b"l", target).mode(0o120_777);
        let shown = target.escape_ascii();
        cases.refused(format!("zip target {shown}"), zip(&[fine.clone(), link.clone()]));
        let packed = link.clone().deflated();
        cases.refused(format!("zip target deflated {shown}"), zip(&[fine.clone(), packed]));
        let below = zip_entry(b"l/secret", b"x");
        for (order, pair) in [("after", [link.clone(), below.clone()]), ("before", [below, link])] {
            cases.refused(format!("zip file {order} link {shown}"), zip(&pair));
        }
    }
    for name in [&b"..\\..\\escape"[..], b"C:\\escape", b"\\\\host\\escape", b"NUL", b"a:b"] {
        // Plain names here: a backslash separates nothing.
        cases.add(
            Verdict::Tamed,
            format!("zip {}", name.escape_ascii()),
            zip(&[zip_entry(name, b"x")]),
        );
    }
    for mode in [0o104_755, 0o102_755, 0o101_755, 0o107_777, 0o100_666, 0o100_002] {
        let archive = zip(&[zip_entry(b"n", b"x").mode(mode)]);
        cases.add(Verdict::Tamed, format!("zip mode {mode:o}"), archive);
    }
    for mode in [0o020_644, 0o060_644, 0o010_644, 0o140_644, 0o030_644, 0o170_644] {
        cases.refused(format!("zip mode {mode:o}"), zip(&[zip_entry(b"n", b"").mode(mode)]));
    }
}

/// Every field of the three records of a zip, cut off or replaced, so that they contradict each other.
fn zip_damage(cases: &mut Cases) {
    let whole = zip(&[zip_entry(b"d/ok", b"content").deflated(), zip_entry(b"e", b"second")]);
    let find = |mark: &[u8]| whole.windows(4).position(|four| four == mark).unwrap();
    let records: [(&str, usize, &[usize]); 3] = [
        ("entry", find(b"PK\x03\x04"), &[0, 4, 6, 8, 10, 14, 18, 22, 26, 28, 30]),
        (
            "directory",
            find(b"PK\x01\x02"),
            &[0, 4, 6, 8, 10, 12, 16, 20, 24, 28, 30, 32, 34, 36, 38, 42, 46],
        ),
        ("end", find(b"PK\x05\x06"), &[0, 4, 6, 8, 10, 12, 16, 20, 22]),
    ];
    for (record, start, fields) in records {
        for pair in fields.windows(2) {
            let (from, to) = (start + pair[0], start + pair[1]);
            cases.refused(format!("zip cut in {record} at {}", pair[0]), whole[..from].to_vec());
            for fill in [0, 1, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[from..to].fill(fill);
                if damaged != whole {
                    let label = format!("zip {record} field {} full of {fill}", pair[0]);
                    cases.add(Verdict::Open, label, damaged);
                }
            }
        }
    }
    for at in [1, 4, 29, 30, 37, 40, 0x7fff_ffff, 0xffff_fffe] {
        let lying = ZipEntry { at: Some(at), ..zip_entry(b"e", b"second") };
        cases.refused(format!("zip entry at {at}"), zip(&[zip_entry(b"d/ok", b"ok"), lying]));
    }
    for count in [2, 10, 100] {
        let kernel = zip_entry(b"n", &[0; 4096]).deflated();
        let shared: Vec<ZipEntry> = (0..count)
            .map(|n| ZipEntry {
                directory_name: format!("n{n}").into(),
                at: Some(0),
                ..kernel.clone()
            })
            .collect();
        cases.refused(format!("zip bomb of {count} entries that share bytes"), zip(&shared));
    }
    for size in [0, 1, 4095, 4097, 65 << 20, 0xffff_fffe] {
        let lying = ZipEntry { size, ..zip_entry(b"n", &[0; 4096]).deflated() };
        cases.refused(format!("zip size {size} told"), zip(&[lying]));
    }
}

fn packed_by(program: &str, bytes: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), bytes).unwrap();
    let arguments = ["-q", "-c", "-1", "f"];
    let run = std::process::Command::new(program).args(arguments).current_dir(dir.path()).output();
    let output = run.unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

fn corpus() -> Vec<Case> {
    let mut tars = Cases { kind: Kind::Tar, list: Vec::new() };
    tar_names(&mut tars);
    tar_targets(&mut tars);
    tar_chains(&mut tars);
    tar_through_links(&mut tars);
    tar_duplicates(&mut tars);
    tar_kinds_and_modes(&mut tars);
    tar_sizes(&mut tars);
    tar_damage(&mut tars);
    tar_bombs(&mut tars);
    let mut zips = Cases { kind: Kind::Zip, list: Vec::new() };
    zip_names(&mut zips);
    zip_damage(&mut zips);
    tars.list.into_iter().chain(zips.list).collect()
}

fn check(case: &Case, place: &Place, walk: Walk) -> Option<String> {
    let outcome = place.unpack(&case.archive, &options(case.kind), walk);
    place.assert_untouched(&case.label);
    let is_there = place.dest().exists();
    if is_there {
        audit(&place.dest(), &case.label);
        std::fs::remove_dir_all(place.dest()).unwrap();
    }
    let said =
        outcome.as_ref().map_or_else(|error| told(error), |unpacked| format!("{unpacked:?}"));
    let fits = match case.verdict {
        Verdict::Refused => outcome.is_err() && !is_there,
        Verdict::Tamed => outcome.is_ok() && is_there,
        Verdict::Open => outcome.is_ok() == is_there,
    };
    (!fits).then(|| format!("{} ({:?}): {said}", case.label, case.verdict))
}

/// Only directories, plain files without power, and links that stay within.
fn audit(dest: &Path, label: &str) {
    let top = dest.canonicalize().unwrap();
    let mut ahead = vec![dest.to_path_buf()];
    while let Some(path) = ahead.pop() {
        let stat = std::fs::symlink_metadata(&path).unwrap();
        if stat.is_symlink() {
            let leads = path.canonicalize();
            assert!(
                leads.is_err() || leads.unwrap().starts_with(&top),
                "{label}: {path:?} leads out"
            );
            continue;
        }
        assert_eq!(stat.mode() & 0o7022, 0, "{label}: {path:?} has power: {:o}", stat.mode());
        if stat.is_dir() {
            ahead.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert!(stat.is_file(), "{label}: {path:?} is no file");
        }
    }
}

/// The most memory that this process ever had.
fn most_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn t15_the_corpus_has_at_least_three_hundred_different_archives_of_each_sort_of_harm() {
    let corpus = corpus();
    let different: HashSet<&[u8]> = corpus.iter().map(|case| case.archive.as_slice()).collect();
    let mut labels = HashSet::new();
    for case in &corpus {
        assert!(labels.insert(&case.label), "{:?} are two archives", case.label);
    }
    let certain = corpus.iter().filter(|case| case.verdict != Verdict::Open);
    let certain: HashSet<&[u8]> = certain.map(|case| case.archive.as_slice()).collect();
    eprintln!("{} archives, {} of a certain end", different.len(), certain.len());
    assert!(certain.len() >= 300 && different.len() >= 300, "{}", certain.len());
}

#[test]
fn t15_no_archive_of_the_corpus_changes_anything_outside_or_takes_much_memory() {
    if !is_inside() {
        // Alone in its process, so that the memory is its own.
        return again(
            &["nice", "-n", "0"],
            "corpus::t15_no_archive_of_the_corpus_changes_anything_outside_or_takes_much_memory",
        );
    }
    let (corpus, place) = (corpus(), Place::new());
    // The bombs were made in memory, too: the count of the most begins anew.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = most_memory_kib();
    let wrong: Vec<String> = corpus
        .iter()
        .flat_map(|case| [Walk::Kernel, Walk::Components].map(|walk| check(case, &place, walk)))
        .flatten()
        .collect();
    assert!(wrong.is_empty(), "{} archives:\n{}", wrong.len(), wrong.join("\n"));
    let most = most_memory_kib();
    eprintln!("{before} KiB before, {most} KiB at most");
    assert!(most < before + MEMORY_KIB, "{before} KiB before, {most} KiB at most");
}
