//! A real lab on this machine: what its hosts can do, what its faults do, and that nothing of it stays.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use plush_lab::{
    Direction, DiskFate, Identity, Kind, Lab, LabOptions, LinkChange, list_labs, remove_stale_labs,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Labs are apart from each other, but what is timed in one must not wait for the boot of another.
static TURN: Mutex<()> = Mutex::new(());

/// None, said aloud, where labs cannot be.
fn turn() -> Option<MutexGuard<'static, ()>> {
    if !rustix::process::geteuid().is_root() {
        // Written past the capture of output, so that it is seen though the test passes.
        let mut terminal = std::io::stderr();
        terminal.write_all(b"\nSKIPPED, NOTHING WAS TESTED: a lab needs root\n").unwrap();
        return None;
    }
    Some(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

fn five() -> Lab {
    Lab::up(LabOptions::with_hosts(5)).unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn on(lab: &Lab, host: &str, shell_text: &str) -> String {
    text(&lab.run_on(host, shell_text).unwrap())
}

fn ssh(lab: &Lab, host: &str, shell_text: &str) -> Output {
    let options = [
        "-n",
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=2",
        "-o",
        "KexAlgorithms=curve25519-sha256",
    ];
    let mut command = lab.command_in_controller("timeout").unwrap();
    command
        .args(["4", "ssh", "-F"])
        .arg(lab.ssh_config_path())
        .args(options)
        .arg(host)
        .arg(shell_text);
    command.output().unwrap()
}

/// Pings and tells how many answers came and their average time in milliseconds.
fn ping(lab: &Lab, host: &str, count: u32) -> (u32, f64) {
    let mut command = lab.command_in_controller("busybox").unwrap();
    command.args(["ping", "-c", &count.to_string(), "-i", "0.01", "-W", "1", host]);
    let printed = text(&command.output().unwrap());
    let received = printed
        .lines()
        .find_map(|line| line.split(", ").nth(1)?.split(' ').next()?.parse().ok())
        .unwrap();
    let average = printed
        .lines()
        .find_map(|line| line.strip_prefix("round-trip")?.split('/').nth(3)?.parse().ok());
    (received, average.unwrap_or(0.0))
}

/// What the host at port 22 says first, within a second.
fn first_words(lab: &Lab, host: &str) -> String {
    let script = format!(
        "exec 3<>/dev/tcp/{host}/22 || exit 9; echo connected; read -t 1 -r line <&3; echo \"$line\""
    );
    text(&lab.command_in_controller("bash").unwrap().args(["-c", &script]).output().unwrap())
}

fn watch(pid: i32) -> OwnedFd {
    pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap()
}

fn ends(process: &OwnedFd) -> bool {
    let mut awaited = [PollFd::new(process, PollFlags::IN)];
    rustix::event::poll(&mut awaited, Some(&Timespec { tv_sec: 5, tv_nsec: 0 })).unwrap() == 1
}

/// Watches all processes of a lab: the supervisor, its children, and all on the hosts.
fn watch_all(lab: &Lab) -> Vec<OwnedFd> {
    let supervisor = lab.supervisor_pid();
    let children =
        std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).unwrap();
    let children: Vec<i32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert!(children.len() > lab.hosts().len(), "every host and the emulator are children");
    let inside = children.iter().flat_map(|child| {
        let path = format!("/proc/{child}/task/{child}/children");
        let pids = std::fs::read_to_string(path).unwrap();
        pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>()
    });
    inside.chain(children.iter().copied()).chain([supervisor]).map(watch).collect()
}

fn assert_no_trace(name: &str) {
    assert!(!list_labs().contains(&name.to_owned()));
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(name), "{mounts}");
    let links = text(&Command::new("ip").args(["-br", "link"]).output().unwrap());
    assert!(!links.contains("eth0@") && !links.contains("tun"), "{links}");
}

#[test]
fn every_host_answers_by_ssh_under_its_own_name() {
    let Some(_turn) = turn() else { return };
    let lab = five();
    for host in lab.hosts() {
        let output = ssh(&lab, &host.name, "hostname; id -un; pwd");
        assert_eq!(text(&output), format!("{}\nplush\n/home/plush", host.name), "{output:?}");
    }
    let mut root = lab.command_in_controller("ssh").unwrap();
    assert_eq!(text(&root.args(["-n", "-l", "root", "h002", "id -u"]).output().unwrap()), "0");
    assert_eq!(
        on(&lab, "h003", "cat /proc/1/comm; hostname; getent hosts h005"),
        "init\nh003\n10.80.1.5       h005"
    );
}

#[test]
fn hosts_share_nothing_but_programs() {
    let Some(_turn) = turn() else { return };
    let lab = five();
    on(
        &lab,
        "h001",
        "for place in /tmp /run /root /home /var/tmp /dev/shm /etc; do echo > $place/mark-of-h001; done",
    );
    assert_eq!(on(&lab, "h002", "ls -d /*/mark* /*/*/mark*"), "");
    assert!(!std::path::Path::new("/tmp/mark-of-h001").exists());
    assert!(!std::path::Path::new("/etc/mark-of-h001").exists());
    assert_eq!(on(&lab, "h002", "ls /home; ls /sys/class/net | tr '\\n' ' '"), "plush\neth0 lo");
    assert_eq!(
        on(&lab, "h002", "ls /etc/ssh"),
        "ssh_host_ed25519_key\nssh_host_ed25519_key.pub\nsshd_config"
    );
    let boot_ids: Vec<String> = lab
        .hosts()
        .iter()
        .map(|host| on(&lab, &host.name, "cat /proc/sys/kernel/random/boot_id"))
        .collect();
    assert!(boot_ids.iter().all(|id| id.len() == 36) && boot_ids[0] != boot_ids[1]);
    let [one, two] = ["h001", "h002"].map(|host| on(&lab, host, "cat /etc/machine-id"));
    assert!(one.len() == 32 && one != two);
}

#[test]
fn clones_share_a_machine_id_and_containers_a_boot_id() {
    for (identity, shares_boot) in [(Identity::Clones, false), (Identity::Containers, true)] {
        let lab = Lab::up(LabOptions { identity, ..LabOptions::with_hosts(2) }).unwrap();
        let boot_id = "cat /proc/sys/kernel/random/boot_id";
        for (command, is_shared) in [(boot_id, shares_boot), ("cat /etc/machine-id", true)] {
            let [one, two] = ["h001", "h002"].map(|host| on(&lab, host, command));
            assert_eq!(one == two, is_shared, "{identity:?}: {command}");
        }
    }
}

#[test]
fn delay_is_felt_on_both_ways_and_changes_live() {
    let Some(_turn) = turn() else { return };
    let link = LinkChange { delay_us: Some(50_000), ..LinkChange::default() };
    let lab = Lab::up(LabOptions { link, ..LabOptions::with_hosts(2) }).unwrap();
    let (received, average) = ping(&lab, "h001", 5);
    assert_eq!(received, 5);
    assert!((100.0..120.0).contains(&average), "{average} ms");
    lab.shape(
        "h001",
        LinkChange { delay_us: Some(10_000), ..LinkChange::default() },
        Direction::Both,
    )
    .unwrap();
    let (_, average) = ping(&lab, "h001", 5);
    assert!((20.0..35.0).contains(&average), "{average} ms");
    lab.shape("h001", LinkChange { delay_us: Some(0), ..LinkChange::default() }, Direction::Forth)
        .unwrap();
    let (_, average) = ping(&lab, "h001", 5);
    assert!((10.0..25.0).contains(&average), "{average} ms with one way plain");
}

#[test]
fn loss_and_rate_are_as_asked() {
    let Some(_turn) = turn() else { return };
    let lab = Lab::up(LabOptions::with_hosts(2)).unwrap();
    lab.shape("h001", LinkChange { loss: Some(0.2), ..LinkChange::default() }, Direction::Both)
        .unwrap();
    let (received, _) = ping(&lab, "h001", 200);
    assert!((100..156).contains(&received), "{received} of 200, 128 expected");
    let slow = LinkChange { loss: Some(0.0), rate_bps: Some(8_000_000), ..LinkChange::default() };
    lab.shape("h001", slow, Direction::Both).unwrap();
    let started = std::time::Instant::now();
    let mut command = lab.command_in_controller("sh").unwrap();
    let script = format!(
        "head -c 2000000 /dev/zero | ssh -F {} h001 'wc -c'",
        lab.ssh_config_path().display()
    );
    let output = command.args(["-c", &script]).output().unwrap();
    assert_eq!(text(&output), "2000000");
    let seconds = started.elapsed().as_secs_f64();
    assert!((2.0..15.0).contains(&seconds), "16 Mbit at 8 Mbit/s took {seconds} s");
}

#[test]
fn a_partition_holds_one_way_and_heals() {
    let Some(_turn) = turn() else { return };
    let lab = five();
    let received = || {
        on(&lab, "h002", "cat /sys/class/net/eth0/statistics/rx_packets").parse::<u32>().unwrap()
    };
    let ping_h002 = || lab.run_on("h001", "busybox ping -c 1 -W 1 h002").unwrap().status.success();
    assert!(ping_h002());
    lab.partition("h[001,003]", "h002", Direction::Forth).unwrap();
    let before = received();
    assert!(!ping_h002());
    assert_eq!(received(), before, "what h001 sends does not arrive");
    lab.heal().unwrap();
    lab.partition("h001", "h002", Direction::Back).unwrap();
    assert!(!ping_h002());
    assert!(received() > before, "what h001 sends arrives, the answer does not");
    assert_eq!(ping(&lab, "h002", 1).0, 1, "others are not concerned");
    lab.heal().unwrap();
    assert!(ping_h002());
}

#[test]
fn a_host_comes_back_with_its_disk_and_without_its_memory() {
    let Some(_turn) = turn() else { return };
    let lab = five();
    let boot_id = || on(&lab, "h001", "cat /proc/sys/kernel/random/boot_id");
    on(&lab, "h001", "echo kept > /home/plush/file; echo gone > /tmp/file; echo gone > /run/file");
    let first = boot_id();
    lab.power_off("h001").unwrap();
    assert!(lab.run_on("h001", "true").is_err());
    assert_eq!(ping(&lab, "h001", 1).0, 0);
    lab.boot("h001").unwrap();
    assert_ne!(boot_id(), first);
    assert_eq!(text(&ssh(&lab, "h001", "cat ~/file; cat /tmp/file /run/file")), "kept");
    lab.reboot("h001", DiskFate::Wiped).unwrap();
    assert_eq!(
        text(&ssh(&lab, "h001", "cat ~/file; echo well")),
        "well",
        "the host key is the old one, the file is gone"
    );
}

#[test]
fn a_power_cut_is_silent_and_a_reboot_closes_connections() {
    let Some(_turn) = turn() else { return };
    let lab = five();
    let session = |host: &str| {
        let mut command = lab.ssh(host).unwrap();
        let mut child = command
            .arg("echo in; sleep 60")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut word = [0_u8; 3];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut word).unwrap();
        child
    };
    let (mut cut, mut closed) = (session("h001"), session("h002"));
    let (cut_end, closed_end) = (watch(cut.id() as i32), watch(closed.id() as i32));
    lab.power_off("h001").unwrap();
    lab.reboot("h002", DiskFate::Kept).unwrap();
    assert!(ends(&closed_end));
    let mut awaited = [PollFd::new(&cut_end, PollFlags::IN)];
    let heard =
        rustix::event::poll(&mut awaited, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    assert_eq!(heard, 0, "the session with h001 has heard nothing");
    cut.kill().unwrap();
    cut.wait().unwrap();
    closed.wait().unwrap();
}

#[test]
fn an_unplugged_host_runs_on_unreached() {
    let Some(_turn) = turn() else { return };
    let lab = five();
    lab.unplug("h001").unwrap();
    assert_eq!(ping(&lab, "h001", 1).0, 0);
    assert_eq!(on(&lab, "h001", "cat /sys/class/net/eth0/carrier"), "0");
    lab.plug("h001").unwrap();
    assert_eq!(ping(&lab, "h001", 1).0, 1);
}

#[test]
fn a_frozen_host_accepts_and_says_nothing_until_it_thaws() {
    let Some(_turn) = turn() else { return };
    let lab = five();
    lab.freeze("h001").unwrap();
    assert_eq!(first_words(&lab, "h001"), "connected");
    lab.thaw("h001").unwrap();
    assert!(first_words(&lab, "h001").contains("SSH-2.0-OpenSSH"));
    let groups = text(
        &Command::new("find")
            .args(["/sys/fs/cgroup", "-maxdepth", "2", "-name", "plush-lab.*"])
            .output()
            .unwrap(),
    );
    assert!(!groups.contains(&lab.name()), "{groups}");
}

#[test]
fn hosts_misbehave_as_told() {
    let Some(_turn) = turn() else { return };
    let lab = Lab::up(LabOptions::with_hosts(14)).unwrap();
    let check = |host: &str, kind: Kind, shell_text: &str, expected: &str| {
        lab.misbehave(host, kind).unwrap();
        let output = ssh(&lab, host, shell_text);
        let seen = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(seen.contains(expected), "{kind:?}: {seen}");
    };
    check("h001", Kind::WrongHostKey, "true", "REMOTE HOST IDENTIFICATION HAS CHANGED");
    check("h001", Kind::Well, "echo well", "well");
    check("h002", Kind::AuthRefused, "true", "Permission denied");
    check("h003", Kind::Http, "true", "kex_exchange_identification");
    check(
        "h004",
        Kind::BusyboxOnly,
        "readlink /bin/sh; ls /usr/bin/rsync; id -un",
        "/bin/busybox\nplush",
    );
    check("h005", Kind::CshLogin, "echo $shell", "/bin/csh");
    check("h006", Kind::Nologin, "echo in", "not available");
    check("h007", Kind::FullHome, "cp /bin/ls ~", "No space left");
    check("h008", Kind::FullDisk, "cp /bin/ls /tmp", "No space left");
    check("h009", Kind::ReadOnlyHome, "touch ~/file", "Read-only");
    check("h010", Kind::NoexecHome, "cp /bin/ls ~ && ~/ls", "Permission denied");
    check("h010", Kind::NoexecAll, "cp /bin/ls /dev/shm && /dev/shm/ls", "Permission denied");
    lab.misbehave("h011", Kind::NoisyLogin).unwrap();
    assert!(ssh(&lab, "h011", "true").stdout.len() >= 1 << 20);
    lab.misbehave("h012", Kind::Silent).unwrap();
    assert_eq!(first_words(&lab, "h012"), "connected");
    lab.misbehave("h013", Kind::BannerOnly).unwrap();
    assert!(first_words(&lab, "h013").contains("SSH-2.0"));
    lab.misbehave("h014", Kind::JunkBanner).unwrap();
    assert!(first_words(&lab, "h014").contains("maintenance"));
}

#[test]
fn a_small_disk_fills() {
    let Some(_turn) = turn() else { return };
    let lab = five();
    lab.disk("h001", 1 << 20).unwrap();
    let output = ssh(
        &lab,
        "h001",
        "head -c 500000 /dev/zero > ~/small && head -c 2000000 /dev/zero > ~/large",
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
    let files = lab.snapshot_files("h001").unwrap();
    assert!(
        files.iter().any(|file| file.path.ends_with("home/plush/small") && file.size == 500_000)
    );
}

#[test]
fn files_and_processes_of_a_host_are_seen_from_outside() {
    let Some(_turn) = turn() else { return };
    let lab = five();
    ssh(&lab, "h001", "true");
    let (files, processes) = (lab.snapshot_files("h001").unwrap(), lab.processes("h001").unwrap());
    assert!(
        processes.iter().any(|process| process.name == "sshd" && process.pid == 2),
        "{processes:?}"
    );
    ssh(&lab, "h001", "true");
    assert_eq!(lab.snapshot_files("h001").unwrap(), files, "a login leaves nothing that counts");
    let mut server = lab.spawn_on("h001", &["sleep", "60"]).unwrap();
    on(&lab, "h001", "echo abc > /tmp/left; mkdir /home/plush/left");
    let new = lab.snapshot_files("h001").unwrap().into_iter().filter(|file| !files.contains(file));
    let new: Vec<(String, u64)> =
        new.map(|file| (file.path.display().to_string(), file.size)).collect();
    assert_eq!(new, [("/home/plush/left".to_owned(), 0), ("/tmp/left".to_owned(), 4)]);
    let sleeps = || {
        lab.processes("h001")
            .unwrap()
            .iter()
            .filter(|process| process.command == "sleep 60")
            .count()
    };
    assert_eq!(sleeps(), 1);
    server.kill().unwrap();
    server.wait().unwrap();
    lab.run_on("h001", "while pidof sleep; do :; done").unwrap();
    assert_eq!(sleeps(), 0);
}

#[test]
fn a_web_server_on_one_host_serves_another() {
    let Some(_turn) = turn() else { return };
    let lab = five();
    let site = lab.root_of("h001").unwrap().join("root/site");
    std::fs::create_dir(&site).unwrap();
    std::fs::write(site.join("package"), "contents").unwrap();
    // It returns once it listens, and goes on in the background.
    assert!(lab.run_on("h001", "busybox httpd -p 8000 -h /root/site").unwrap().status.success());
    assert_eq!(on(&lab, "h002", "busybox wget -q -O - http://h001:8000/package"), "contents");
}

#[test]
fn labs_come_up_side_by_side() {
    let Some(_turn) = turn() else { return };
    let labs: Vec<Lab> = std::thread::scope(|scope| {
        let started: Vec<_> =
            (0..6).map(|_| scope.spawn(|| Lab::up(LabOptions::with_hosts(3)).unwrap())).collect();
        started.into_iter().map(|lab| lab.join().unwrap()).collect()
    });
    for lab in &labs {
        assert_eq!(text(&ssh(lab, "h003", "hostname")), "h003");
    }
}

#[test]
fn nothing_is_left_after_drop() {
    let Some(_turn) = turn() else { return };
    let lab = five();
    let (name, directory, processes) = (lab.name(), lab.directory(), watch_all(&lab));
    drop(lab);
    assert!(processes.iter().all(ends));
    assert!(!directory.exists());
    assert_no_trace(&name);
}

#[test]
fn nothing_is_left_after_the_supervisor_is_killed() {
    let Some(_turn) = turn() else { return };
    let lab = five();
    lab.freeze("h002").unwrap();
    let (name, directory, processes) = (lab.name(), lab.directory(), watch_all(&lab));
    rustix::process::kill_process(
        Pid::from_raw(lab.supervisor_pid()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    assert!(processes.iter().all(ends), "even a frozen host dies");
    assert_no_trace(&name);
    std::mem::forget(lab);
    assert!(directory.exists(), "the files are the next call's to remove");
    assert!(remove_stale_labs().contains(&name));
    assert!(!directory.exists());
    let groups = text(
        &Command::new("find")
            .args(["/sys/fs/cgroup", "-maxdepth", "2", "-name", "plush-lab.*"])
            .output()
            .unwrap(),
    );
    assert!(!groups.contains(&name), "{groups}");
}

#[test]
fn a_lab_goes_when_its_owner_is_killed() {
    let Some(_turn) = turn() else { return };
    let mut owner = command_line(&["up", "3", "--foreground", "--name", "test-owner", "--json"]);
    let mut owner = owner.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = std::io::BufReader::new(owner.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim_end() != "}" {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut output, &mut line).unwrap() > 0);
    }
    let lab = Lab::find("test-owner").unwrap();
    let (directory, processes) = (lab.directory(), watch_all(&lab));
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(processes.iter().all(ends));
    assert!(!directory.exists());
}

#[test]
fn the_command_line_brings_up_shows_runs_and_takes_down() {
    let Some(_turn) = turn() else { return };
    let run =
        |words: &[&str]| command_line(words).args(["--name", "test-commands"]).output().unwrap();
    assert!(run(&["up", "3", "--profile", "wan"]).status.success());
    assert!(!run(&["up", "3"]).status.success(), "the name is taken");
    assert!(text(&command_line(&["list"]).output().unwrap()).contains("test-commands"));
    let status = text(&run(&["status"]));
    assert!(status.contains("h003") && status.contains("40 ms, jitter 2 ms"), "{status}");
    assert!(run(&["power-off", "h003"]).status.success());
    assert!(text(&run(&["status"])).contains("off"));
    let lab = |words: &[&str]| {
        command_line(&[&["--name", "test-commands"], words].concat()).output().unwrap()
    };
    assert_eq!(text(&lab(&["exec", "--", "getent", "hosts", "h002"])), "10.80.1.2       h002");
    assert_eq!(text(&lab(&["ssh", "h002", "-n", "hostname"])), "h002");
    assert_eq!(lab(&["on", "h002", "sh", "-c", "exit 7"]).status.code(), Some(7));
    assert!(!run(&["boot", "h004"]).status.success(), "there is no such host");
    assert!(run(&["down"]).status.success());
    assert!(!list_labs().contains(&"test-commands".to_owned()));
}

fn command_line(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plush-lab"));
    command.args(words);
    command
}
