//! A host whose disk is full (F18, F19). Needs root: the disk is a small tmpfs.

use crate::client::*;
use plush_protocol::*;
use std::io::Write;
use std::path::Path;
use std::process::Command as Program;
use std::time::Duration;

/// A directory that is a small file system of its own.
struct Disk;

impl Disk {
    /// `None`, said aloud, where nothing may be mounted.
    fn mount(host: &Host, bytes: u64) -> Option<Disk> {
        let mounted = Program::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"])
            .arg(host.dir.path())
            .output()
            .unwrap();
        if !mounted.status.success() {
            let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
            eprintln!("SKIPPED: a disk can be mounted only by root: {why}");
            return None;
        }
        Some(Disk)
    }

    /// Fills the file system to its last byte.
    fn fill(directory: &Path) {
        let mut file = std::fs::File::create(directory.join("ballast")).unwrap();
        for step in [1 << 20, 64 << 10, 4 << 10, 1] {
            while file.write(&vec![0; step]).is_ok_and(|count| count > 0) {}
        }
    }
}

/// The test's host, on such a disk; unmounted when the test is over.
struct Full {
    host: Host,
    _disk: Disk,
}

impl Full {
    fn new(bytes: u64) -> Option<Full> {
        let host = Host::new();
        let disk = Disk::mount(&host, bytes)?;
        Some(Full { host, _disk: disk })
    }

    fn fill(&self) {
        Disk::fill(self.host.dir.path());
    }

    fn empty(&self) {
        std::fs::remove_file(self.host.dir.path().join("ballast")).unwrap();
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _gone = Program::new("umount").arg("--lazy").arg(self.host.dir.path()).status();
    }
}

fn numbers(count: u32) -> Vec<u8> {
    (0..count).flat_map(|i| format!("{i:07}\n").into_bytes()).collect()
}

/// Prints numbered lines of 8 bytes.
fn counting(count: u32) -> TaskSpec {
    shell(&format!("awk 'BEGIN {{ for (i = 0; i < {count}; i++) printf \"%07d\\n\", i }}'"))
}

#[test]
fn f18_a_package_larger_than_the_disk_is_refused_with_figures_and_leaves_nothing() {
    let Some(full) = Full::new(4 << 20) else { return };
    let mut client = full.host.connect();
    let bytes = vec![7u8; 6 << 20];
    let blake3 = blake3::hash(&bytes).to_hex().to_string();
    client.memory.blobs.insert(blake3.clone(), bytes);
    let fetch =
        Fetch::Push { blake3, bytes: 6 << 20, directory: false, file_name: "big.bin".into() };
    let package = PackageSpec {
        name: "big.bin".into(),
        fetch,
        dest_path: String::new(),
        strip: 0,
        executable: false,
    };
    let software = vec![SoftwareSpec {
        name: "s".into(),
        installer: Installer::None,
        packages: vec![package],
        time_limit_ms: 20_000,
    }];
    client.command(Command::Prepare(PrepareSpec { cluster: "c".into(), software, files: vec![] }));
    client.until("a refusal", |m| {
        m.reports.iter().any(|r| matches!(r, Report::PrepareFailed { .. }))
    });
    let cause = client.memory.reports.iter().find_map(|r| match r {
        Report::PrepareFailed { cause, .. } => Some(cause.clone()),
        _ => None,
    });
    let cause = cause.unwrap();
    assert_eq!(cause.kind, CauseKind::DiskFull, "{cause:?}");
    let figures = cause.text.raw().split(|c: char| !c.is_ascii_digit()).filter(|w| !w.is_empty());
    let figures: Vec<u64> = figures.map(|word| word.parse().unwrap()).collect();
    let [.., needed, free] = figures[..] else { panic!("no figures: {cause:?}") };
    assert_eq!(needed, 6 << 20);
    assert!((3 << 20..4 << 20).contains(&free), "found before the disk was filled: {cause:?}");
    assert_eq!(std::fs::read_dir(full.host.run_dir().join("clusters")).unwrap().count(), 0);
    let left = rustix::fs::statvfs(full.host.dir.path()).unwrap();
    assert!(left.f_bavail * left.f_frsize > 3 << 20, "what was fetched is removed");
    client.clean_up(false);
    client.leave();
}

#[test]
fn f19_a_task_that_prints_more_than_the_disk_holds_waits_and_loses_nothing() {
    const LINES: u32 = 1_500_000;
    let Some(full) = Full::new(3 << 20) else { return };
    let mut client = full.host.connect();
    client.start(key(1), counting(LINES));
    let pid = client.running(key(1));
    let memory = client.cut();
    // Full for good: the task has to wait for somebody who takes its output.
    let enough = |free: u64| free < 16 << 10;
    let free = || {
        let disk = rustix::fs::statvfs(full.host.dir.path()).unwrap();
        disk.f_bavail * disk.f_frsize
    };
    let began = std::time::Instant::now();
    while !enough(free()) {
        assert!(began.elapsed() < PATIENCE, "{} bytes are free", free());
        std::thread::yield_now();
    }
    assert!(is_alive(pid));
    let mut client = full.host.connect_with(memory);
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    assert!(client.out(key(1)) == numbers(LINES), "O1");
    let stream = &client.memory.streams[&(key(1), StreamName::Out)];
    assert!(stream.gaps.is_empty());
    let report = client.clean_up(false);
    assert!(matches!(report, Report::Cleaned { remainder, .. } if remainder.is_empty()));
    client.leave();
}

#[test]
fn o2_with_the_gap_policy_a_task_goes_on_on_a_full_disk_and_its_gaps_are_exact() {
    const LINES: u32 = 1_000_000;
    let Some(full) = Full::new(3 << 20) else { return };
    let mut client = full.host.connect();
    let mut spec = counting(LINES);
    spec.output.policy = OutputPolicy::Gap;
    client.command(Command::Start { key: key(1), spec: Box::new(spec) });
    client.until("its end", |m| {
        matches!(m.records.get(&key(1)).map(|r| &r.state), Some(TaskState::Exited { .. }))
    });
    client.open_streams(key(1));
    client.acknowledge(key(1), StreamName::Out);
    client.acknowledge(key(1), StreamName::Err);
    assert_eq!(client.finished(key(1)), Exit::Code(0));
    let stream = &client.memory.streams[&(key(1), StreamName::Out)];
    let mut expected = numbers(LINES);
    for (from, to) in stream.gaps.iter().rev() {
        expected.drain(*from as usize..*to as usize);
    }
    assert!(!stream.gaps.is_empty() && stream.bytes.len() > 1 << 20);
    assert!(stream.bytes == expected, "O1: what is outside the gaps is exact");
    client.clean_up(false);
    client.leave();
}

#[test]
fn f19_on_a_full_disk_leases_are_renewed_and_ends_are_told_and_a_clean_up_works() {
    let Some(full) = Full::new(4 << 20) else { return };
    let memory = Memory { stop_after_ms: Some(1_500), ..Memory::default() };
    let mut client = full.host.connect_with(memory);
    client.start(key(1), shell("sleep 4; exit 7"));
    client.running(key(1));
    full.fill();
    // L2: for longer than the lease lasts, renewed by pings and what comes of them alone.
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        client.send(&ToAgent::Ping(1));
        client.listen(Duration::from_millis(300));
    }
    client.start(key(2), shell("true"));
    let cause = client.not_started(key(2));
    assert_eq!(cause.kind, CauseKind::DiskFull, "{cause:?}");
    client.send(&ToAgent::Ping(2));
    client.listen(Duration::from_millis(300));
    assert_eq!(client.finished(key(1)), Exit::Code(7), "it was not killed, and its end is told");
    let report = client.clean_up(false);
    assert!(matches!(report, Report::Cleaned { remainder, .. } if remainder.is_empty()));
    client.leave();
    assert!(!full.host.base().exists());
}

#[test]
fn e1_a_newer_controller_is_greeted_on_a_full_disk_too_in_the_space_of_the_older() {
    let Some(full) = Full::new(4 << 20) else { return };
    let client = full.host.connect();
    let agent = client.hello.facts.agent_pid;
    full.fill();
    let mut newer = full.host.connect_with(Memory { epoch: 2, ..Memory::default() });
    assert_eq!((newer.hello.epoch, newer.hello.facts.agent_pid), (2, agent));
    newer.clean_up(false);
    newer.leave();
}

#[test]
fn e1_a_controller_whose_epoch_cannot_be_saved_is_told_good_bye() {
    let Some(full) = Full::new(4 << 20) else { return };
    let client = full.host.connect();
    let agent = client.hello.facts.agent_pid;
    let memory = client.cut();
    full.fill();
    // The space that is kept for it is gone, and something sits where it was.
    let part = full.host.run_dir().join("epoch.part");
    std::fs::remove_file(&part).unwrap();
    std::fs::create_dir(&part).unwrap();
    let mut newer = full.host.connect_with(Memory { epoch: 2, ..Memory::default() });
    let ToController::Bye(why) = newer.receive() else { panic!("it was not refused") };
    assert!(why.contains("cannot save the epoch 2"), "{why}");
    drop(newer);
    std::fs::remove_dir(&part).unwrap();
    full.empty();
    let mut newer = full.host.connect_with(Memory { epoch: 2, ..memory });
    assert_eq!(newer.hello.facts.agent_pid, agent);
    newer.clean_up(false);
    newer.leave();
}
