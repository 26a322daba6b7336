//! The controller is killed at random instants of a run, and the run resumed: real processes, on hosts of type `local`.
//! Not at each record of the journal: there the simulator kills it.
//!
//! `INSTANTS=200 SEED=7 cargo test -p plush --test resuming killed_at -- --nocapture` kills at more instants, or at others.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, Said};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Runs under way at once.
const LANES: u64 = 2;
/// What a run may take, over all its controllers.
const LIMIT: Duration = Duration::from_secs(90);
/// Agents go when a controller has their last word, which may be a moment after the command has ended. One whose
/// controller was killed with that word in its journal, and did not tell the agent so, goes by itself after a minute.
const LEAVING: Duration = Duration::from_secs(90);
const HOSTS: [&str; 3] = ["n1", "n2", "n3"];
const PROCESSES: [&str; 2] = ["first", "second"];
/// How long a task writes: about 20 ms each.
const ROUNDS: usize = 30;
const LINES: usize = 8;

/// Says that it has begun where no controller and no agent can take it back, then writes lines that say what they are.
const WORK: &str = r#"echo "$1 $2 $PLUSH_INCARNATION" >>"$3/starts"
round=0 at=0
while test $round -lt ROUNDS; do
    line=0
    while test $line -lt 8; do
        printf '%s %-6s out %08d\n' $1 $2 $at
        at=$((at + 23)) line=$((line + 1))
    done
    printf '%s %-6s err %08d\n' $1 $2 $((round * 23)) >&2
    sleep 0.02
    round=$((round + 1))
done
echo "$1 $2" >$2.result
"#;

const APP: &str = r#"
project: killed
resources: [{type: local, hosts: "n[1-3]"}]
clusters:
  all:
    num_hosts: 3
    outputs: [first.result, second.result]
    execution:
      - process: first
        run: sh HOME/work.sh ${host} first HOME
      - barrier: middle
      - process: second
        run: sh HOME/work.sh ${host} second HOME
"#;

/// All that a task writes to a stream.
fn expected(host: &str, process: &str, stream: &str, rounds: usize) -> String {
    let lines = if stream == "out" { rounds * LINES } else { rounds };
    let line = |n: usize| format!("{host} {process:<6} {stream} {:08}\n", n * 23);
    (0..lines).map(line).collect()
}

/// Numbers from a seed: a sequence that everybody can have again.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// A run that is about to lose its controllers.
struct Victim {
    bench: Bench,
    rounds: usize,
}

impl Victim {
    fn new(rounds: usize) -> Victim {
        let bench = Bench::new();
        let home = bench.home.path().to_str().unwrap().to_owned();
        bench.file("work.sh", WORK.replace("ROUNDS", &rounds.to_string()));
        bench.file("app.yaml", APP.replace("HOME", &home));
        Victim { bench, rounds }
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.bench.plush(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The JSON output of a command about the run.
    fn shown(&self, command: &str) -> serde_json::Value {
        let said = Victim::end(self.start(&[command, "last", "--json"]));
        serde_json::from_str(&said.out).unwrap_or_default()
    }

    /// Processes of this machine that name this run's home; those that have `word` among their arguments.
    fn processes(&self, word: &str) -> Vec<Pid> {
        let home = self.bench.home.path().to_str().unwrap();
        let numbers = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let is_ours = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(home)
                && (word.is_empty() || line.split(|b| *b == 0).any(|w| w == word.as_bytes()))
        };
        numbers.filter(is_ours).filter_map(Pid::from_raw).collect()
    }

    /// Kills the controller, as soon as there is one; false when the command that watches has ended before.
    fn kill_controller(&self, watching: &mut Child) -> bool {
        loop {
            let controllers = self.processes("controller");
            for controller in &controllers {
                // It may have come to its end this very moment.
                let _ = kill_process(*controller, Signal::KILL);
            }
            if !controllers.is_empty() {
                return true;
            }
            if watching.try_wait().unwrap().is_some() {
                return false;
            }
            // From outside nothing tells when a process begins.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for its end; whoever takes too long hangs.
    fn end(mut child: Child) -> Said {
        let limit = Instant::now() + LIMIT;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > limit {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Said::of(child.wait_with_output().unwrap())
    }

    /// The directory of the only run.
    fn run_dir(&self) -> PathBuf {
        let runs = self.bench.home.path().join(".local/state/plush/runs");
        std::fs::read_dir(runs).unwrap().next().unwrap().unwrap().path()
    }

    /// Waits until so many tasks have begun, or said more than so many bytes where this run keeps its output.
    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let limit = Instant::now() + LIMIT;
        while !is_so() {
            assert!(Instant::now() < limit, "{what} never came");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_for_output(&self, run: &Path, process: &str) {
        let path = run.join(format!("output/n2/{process}.1.out"));
        self.wait("output", || path.metadata().is_ok_and(|m| m.len() > 200));
    }

    /// Every task began once, every byte is there once, results are home, and nothing is left.
    fn check(&self) -> Result<(), String> {
        self.check_in(&self.run_dir())
    }

    fn check_in(&self, run: &Path) -> Result<(), String> {
        let starts = std::fs::read_to_string(self.bench.home.path().join("starts")).unwrap();
        let mut counts = BTreeMap::new();
        starts.lines().for_each(|line| *counts.entry(line.to_owned()).or_insert(0) += 1);
        let wanted = HOSTS.iter().flat_map(|h| PROCESSES.map(|p| (format!("{h} {p} 1"), 1)));
        if counts != wanted.collect() {
            return Err(format!("begun: {counts:?}"));
        }
        for (host, process) in HOSTS.iter().flat_map(|h| PROCESSES.map(|p| (*h, p))) {
            for stream in ["out", "err"] {
                let path = run.join("output").join(host).join(format!("{process}.1.{stream}"));
                same(&path, &expected(host, process, stream, self.rounds))?;
            }
            let result = run.join("results").join(host).join(format!("{process}.result"));
            same(&result, &format!("{host} {process}\n"))?;
        }
        self.check_nothing_left()
    }

    fn check_nothing_left(&self) -> Result<(), String> {
        let limit = Instant::now() + LEAVING;
        loop {
            let ours = format!("plush-{}", rustix::process::getuid().as_raw());
            let files = std::fs::read_dir(self.bench.home.path().join(ours));
            let files: Vec<_> = files.into_iter().flatten().map(|e| e.unwrap().path()).collect();
            let processes = self.processes("");
            if files.is_empty() && processes.is_empty() {
                return Ok(());
            }
            if Instant::now() > limit {
                return Err(format!("left: {files:?}, processes {processes:?}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Victim {
    /// What a failed test has left.
    fn drop(&mut self) {
        for process in self.processes("") {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

fn same(path: &Path, wanted: &str) -> Result<(), String> {
    let found = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    if found == wanted.as_bytes() {
        return Ok(());
    }
    let apart = found.iter().zip(wanted.as_bytes()).position(|(a, b)| a != b);
    Err(format!(
        "{} has {} bytes instead of {}, apart from byte {apart:?} on",
        path.display(),
        found.len(),
        wanted.len()
    ))
}

/// How one run went: how often its controller was killed.
fn live_through(seed: u64, length_ms: u64) -> Result<u64, String> {
    let mut draws = Draws(seed);
    let victim = Victim::new(ROUNDS);
    let (mut kills, mut first) = (0, true);
    let mut watching = victim.start(&["run", "app.yaml", "-y", "-q", "--json"]);
    // Two of three runs lose one controller, the others lose two or three: also one that has only just taken over.
    let wanted = [1, 1, 1, 1, 2, 3][draws.below(6) as usize];
    while kills < wanted {
        let reach_ms = if first { length_ms } else { 600 };
        std::thread::sleep(Duration::from_micros(draws.below(reach_ms * 1_000)));
        first = false;
        if !victim.kill_controller(&mut watching) {
            break;
        }
        kills += 1;
        Victim::end(watching);
        watching = victim.start(&["resume", "last", "-q", "--json"]);
    }
    let said = Victim::end(watching);
    let told =
        |why: String| format!("{why}\nafter {kills} kills; code {:?}, {}", said.code, said.err);
    if said.code != Some(0) {
        return Err(told("the run did not end well".into()));
    }
    victim.check().map_err(told)?;
    Ok(kills)
}

/// F50. The seed of each instant is printed when it fails: `SEED=that INSTANTS=1` is the same draw again, though not
/// the same instant of the program.
#[test]
fn f50_killed_at_random_instants_nothing_starts_twice_and_no_byte_is_lost_or_doubled() {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("SEED").unwrap_or(clock.as_nanos() as u64 % 1_000_000);
    let instants = number("INSTANTS").unwrap_or(12);
    let quiet = Victim::new(ROUNDS);
    let began = Instant::now();
    let said = Victim::end(quiet.start(&["run", "app.yaml", "-y", "-q", "--json"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let length_ms = began.elapsed().as_millis() as u64;
    quiet.check().unwrap();
    eprintln!("SEED={seed} INSTANTS={instants}; an undisturbed run takes {length_ms} ms");
    let (next, kills) = (AtomicU64::new(0), AtomicU64::new(0));
    let lane = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= instants {
                return;
            }
            match live_through(seed + number, length_ms) {
                Ok(count) => drop(kills.fetch_add(count, Ordering::Relaxed)),
                Err(why) => panic!("SEED={} INSTANTS=1: {why}", seed + number),
            }
        }
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().for_each(|lane| lane.join().unwrap());
    });
    let kills = kills.load(Ordering::Relaxed);
    eprintln!("{instants} runs, {kills} controllers killed, {:?}", began.elapsed());
    assert!(kills * 2 >= instants, "{kills} kills in {instants} runs: it hit next to nothing");
}

impl Victim {
    /// Stops or wakes all controllers.
    fn signal_controllers(&self, signal: Signal) {
        let controllers = self.processes("controller");
        assert!(!controllers.is_empty(), "there is no controller");
        controllers.into_iter().for_each(|pid| kill_process(pid, signal).unwrap());
    }

    /// The run's directory, copied to another place below the same home; without socket.
    fn copy(&self) -> PathBuf {
        let (from, to) = (self.run_dir(), self.bench.home.path().join("elsewhere"));
        std::fs::create_dir_all(&to).unwrap();
        let to = to.join(from.file_name().unwrap());
        let copied = std::process::Command::new("cp").arg("-a").arg(&from).arg(&to).status();
        assert!(copied.unwrap().success());
        let _ = std::fs::remove_file(to.join("operator.sock"));
        to
    }

    fn resume(&self, run: &Path, flags: &[&str]) -> Child {
        self.start(&[&["resume", run.to_str().unwrap(), "-q", "--json"], flags].concat())
    }
}

#[test]
fn f55_a_copy_of_the_run_directory_is_resumed_once_the_old_controller_is_gone() {
    let victim = Victim::new(250);
    let mut watching = victim.start(&["run", "app.yaml", "-y", "-q", "--json"]);
    victim.wait("a run", || victim.bench.home.path().join("starts").exists());
    let original = victim.run_dir();
    victim.wait_for_output(&original, "first");
    let early = victim.copy();
    let refused = Victim::end(victim.resume(&early, &[]));
    assert_eq!(refused.code, Some(70), "{}", refused.err);
    assert!(
        refused.err.contains("may be served by another controller: process"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("--take-over"), "{}", refused.err);
    std::fs::remove_dir_all(&early).unwrap();

    assert!(victim.kill_controller(&mut watching));
    Victim::end(watching);
    let copy = victim.copy();
    std::fs::remove_dir_all(&original).unwrap();
    let said = Victim::end(victim.resume(&copy, &[]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    victim.check_in(&copy).unwrap();
}

#[test]
fn f55_of_two_controllers_the_newer_is_obeyed_and_the_older_stops_and_names_it() {
    let victim = Victim::new(300);
    let first = victim.start(&["run", "app.yaml", "-y", "-q", "--json"]);
    victim.wait("a run", || victim.bench.home.path().join("starts").exists());
    let original = victim.run_dir();
    victim.wait_for_output(&original, "first");
    victim.signal_controllers(Signal::STOP);
    let old = victim.processes("controller");
    let copy = victim.copy();
    let second = victim.resume(&copy, &["--take-over"]);
    victim.wait("the newer controller", || victim.processes("controller").len() > old.len());
    let stored = || copy.join("output/n2/first.1.out").metadata().map_or(0, |m| m.len());
    let before = stored();
    victim.wait("output at the newer", || stored() > before);
    old.iter().for_each(|pid| kill_process(*pid, Signal::CONT).unwrap());
    let superseded = Victim::end(first);
    assert_eq!(superseded.code, Some(70), "{}", superseded.err);
    assert!(
        superseded.err.contains("refuses this controller: another controller (process"),
        "{}",
        superseded.err
    );
    assert!(superseded.err.contains("has taken over"), "{}", superseded.err);
    let said = Victim::end(second);
    assert_eq!(said.code, Some(0), "{}", said.err);
    victim.check_in(&copy).unwrap();
}

#[test]
fn f55_a_copy_that_is_older_than_what_the_hosts_were_told_takes_nothing_over() {
    let victim = Victim::new(250);
    let first = victim.start(&["run", "app.yaml", "-y", "-q", "--json"]);
    victim.wait("a run", || victim.bench.home.path().join("starts").exists());
    let original = victim.run_dir();
    victim.wait_for_output(&original, "first");
    victim.signal_controllers(Signal::STOP);
    let copy = victim.copy();
    victim.signal_controllers(Signal::CONT);
    // The original hears and acknowledges things that the copy does not know.
    victim.wait_for_output(&original, "second");
    let refused = Victim::end(victim.resume(&copy, &["--take-over"]));
    assert_eq!(refused.code, Some(70), "{}", refused.err);
    assert!(
        refused.err.contains("has gone further with this run than this journal knows"),
        "{}",
        refused.err
    );
    let said = Victim::end(first);
    assert_eq!(said.code, Some(0), "{}", said.err);
    victim.check_in(&original).unwrap();
}

/// Whether the tests may mount and trace.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED, NOTHING WAS TESTED: this needs root");
    }
    root
}

/// A small disk, until it is dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf, size: &str) -> Disk {
        std::fs::create_dir_all(&at).unwrap();
        let mut mount = std::process::Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", size, "plush-test"]).arg(&at).status().unwrap();
        assert!(done.success());
        Disk(at)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The controller has ended with the code of a disk that cannot be written; tasks go on; resumed, all is there.
fn check_resumed_after_storage_trouble(victim: &Victim, watching: Child, mend: impl FnOnce()) {
    let ended = Victim::end(watching);
    assert_eq!(ended.code, Some(70), "{}", ended.err);
    victim.wait("the end of the controller", || victim.processes("controller").is_empty());
    let working = victim.processes(victim.bench.home.path().join("work.sh").to_str().unwrap());
    assert!(!working.is_empty(), "tasks go on without a controller");
    mend();
    let said = Victim::end(victim.resume(&victim.run_dir(), &[]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    victim.check().unwrap();
}

#[test]
fn f52_on_a_full_disk_nothing_is_decided_until_there_is_room_and_nothing_is_lost() {
    if !is_root() {
        return;
    }
    let victim = Victim::new(100);
    let runs = victim.bench.home.path().join(".local/state/plush/runs");
    let disk = Disk::mount(runs.clone(), "size=8m");
    let watching = victim.start(&["run", "app.yaml", "-y", "-q", "--json"]);
    let starts = victim.bench.home.path().join("starts");
    victim.wait("a run", || starts.exists());
    victim.wait_for_output(&victim.run_dir(), "first");
    // Beside the run, where only this test can remove it: to the last byte.
    let filler = disk.0.join(victim.run_dir().file_name().unwrap()).join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
    drop(file);
    let status = || Victim::end(victim.start(&["status", "last"]));
    victim.wait("a word about the disk", || status().out.contains("waiting for space on the disk"));
    let controllers = victim.processes("controller");
    // Tasks come to their end without it, and what follows them is a decision.
    let work = victim.bench.home.path().join("work.sh");
    victim
        .wait("the end of the first tasks", || victim.processes(work.to_str().unwrap()).is_empty());
    std::thread::sleep(Duration::from_secs(3));
    let begun = std::fs::read_to_string(&starts).unwrap();
    assert!(!begun.contains("second"), "{begun}");
    assert_eq!(victim.processes("controller"), controllers, "it waits");
    std::fs::remove_file(&filler).unwrap();
    let said = Victim::end(watching);
    assert_eq!(said.code, Some(0), "{}", said.err);
    victim.check().unwrap();
    let log = std::fs::read_to_string(victim.run_dir().join("controller.log")).unwrap();
    assert!(log.contains("there is room again after"), "{log}");
}

#[test]
fn a_parked_run_goes_on_where_it_was() {
    let victim = Victim::new(150);
    let first = victim.start(&["run", "app.yaml", "-y", "-q", "--json"]);
    victim.wait("a run", || victim.bench.home.path().join("starts").exists());
    victim.wait_for_output(&victim.run_dir(), "first");
    let parked = Victim::end(victim.start(&["park", "last"]));
    assert_eq!(parked.code, Some(0), "{}", parked.err);
    assert!(parked.err.contains("is parked"), "{}", parked.err);
    victim.wait("the end of the controller", || victim.processes("controller").is_empty());
    let watched = Victim::end(first);
    assert!(watched.err.contains("it was parked, and tasks go on"), "{}", watched.err);
    let work = victim.bench.home.path().join("work.sh");
    assert!(!victim.processes(work.to_str().unwrap()).is_empty(), "tasks go on");
    for verb in ["stop", "park"] {
        let refused = Victim::end(victim.start(&[verb, "last"]));
        assert_eq!(refused.code, Some(70), "{}", refused.err);
        assert!(refused.err.contains("its controller does not answer"), "{}", refused.err);
        assert!(refused.err.contains("`plush resume"), "{}", refused.err);
    }
    let left = Victim::end(victim.start(&["resume", "last", "--detach"]));
    assert_eq!(left.code, Some(0), "{}", left.err);
    let id = victim.run_dir().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(left.out.trim(), id);
    let said = Victim::end(victim.start(&["attach", "last", "-q", "--json"]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    victim.check().unwrap();
}

/// Whoever removes a run's directory has no run any more; whoever moves it resumes it where it is.
#[test]
fn a_controller_whose_directory_is_moved_away_ends_and_the_run_is_resumed_there() {
    let victim = Victim::new(250);
    let mut first = victim.start(&["run", "app.yaml", "-y", "-q", "--json"]);
    victim.wait("a run", || victim.bench.home.path().join("starts").exists());
    let original = victim.run_dir();
    victim.wait_for_output(&original, "first");
    assert!(victim.kill_controller(&mut first));
    Victim::end(first);
    let controller = victim.start(&["controller", original.to_str().unwrap()]);
    let stored = || original.join("output/n2/first.1.out").metadata().map_or(0, |m| m.len());
    let before = stored();
    victim.wait("output at the next controller", || stored() > before);
    let elsewhere = victim.bench.home.path().join(original.file_name().unwrap());
    std::fs::rename(&original, &elsewhere).unwrap();
    let moved = Instant::now();
    let said = Victim::end(controller);
    eprintln!("it ended {:?} after the directory was moved", moved.elapsed());
    assert_eq!(said.code, Some(74), "{}", said.err);
    assert!(said.err.contains("was removed while the run went on"), "{}", said.err);
    let said = Victim::end(victim.resume(&elsewhere, &[]));
    assert_eq!(said.code, Some(0), "{}", said.err);
    victim.check_in(&elsewhere).unwrap();
}

#[test]
fn f53_a_journal_that_cannot_be_synchronised_stops_the_controller_before_it_does_more() {
    if !is_root() {
        return;
    }
    let victim = Victim::new(250);
    let watching = victim.start(&["run", "app.yaml", "-y", "-q", "--json"]);
    victim.wait("a run", || victim.bench.home.path().join("starts").exists());
    victim.wait_for_output(&victim.run_dir(), "first");
    let controller = victim.processes("controller")[0].as_raw_nonzero().to_string();
    let mut strace = std::process::Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &controller]);
    strace.args(["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]);
    let mut strace = strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    check_resumed_after_storage_trouble(&victim, watching, || {});
    let log = std::fs::read_to_string(victim.run_dir().join("controller.log")).unwrap();
    assert!(log.contains("plush: cannot control the run in"), "{log}");
    assert!(log.contains("Input/output error"), "{log}");
    let _ = strace.kill();
    strace.wait().unwrap();
}

/// Writes the times of its start and end, in seconds since 1970, to a file that neither a
/// controller nor an agent can change.
const DIARY: &str = r#"echo "$1 begins $(date +%s.%N)" >>"$3/diary"
sleep $2
echo "$1 ends $(date +%s.%N)" >>"$3/diary"
"#;

const DIARY_APP: &str = r#"
project: dated
resources: [{type: local, hosts: n1}]
clusters:
  all:
    num_hosts: 1
    execution:
      - process: first
        run: sh HOME/work.sh first 3 HOME
      - process: second
        run: sh HOME/work.sh second 1.5 HOME
"#;

/// Tolerance between the displayed times and the diary: a shell has to start, and the machine may
/// be busy.
const APART_S: f64 = 0.5;

/// The first task ends while no controller is there, and the second begins when there is one again.
#[test]
fn what_is_shown_agrees_with_the_diaries_of_tasks_whatever_controllers_came_and_went() {
    let victim = Victim { bench: Bench::new(), rounds: 0 };
    let home = victim.bench.home.path().to_str().unwrap().to_owned();
    victim.bench.file("work.sh", DIARY);
    victim.bench.file("app.yaml", DIARY_APP.replace("HOME", &home));
    let began = Instant::now();
    let mut watching = victim.start(&["run", "app.yaml", "-y", "-q"]);
    let diary = || std::fs::read_to_string(format!("{home}/diary")).unwrap_or_default();
    victim.wait("the first task", || diary().contains("first begins"));
    for pause_ms in [700, 3_000] {
        assert!(victim.kill_controller(&mut watching));
        Victim::end(watching);
        std::thread::sleep(Duration::from_millis(pause_ms));
        watching = victim.start(&["resume", "last", "-q"]);
        if pause_ms == 700 {
            victim.wait("an answer", || victim.shown("status")["absent_ms"].as_u64() > Some(0));
        }
    }
    let said = Victim::end(watching);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let took_s = began.elapsed().as_secs_f64();
    let (status, report) = (victim.shown("status"), victim.shown("report"));
    let seconds = |value: &serde_json::Value| value.as_f64().unwrap() / 1_000.0;
    let elapsed_s = seconds(&status["elapsed_ms"]);
    assert!((took_s - elapsed_s).abs() < 1.0, "{elapsed_s} s are shown of {took_s} s");
    assert!(seconds(&status["absent_ms"]) > 3.0, "{}", status["absent_ms"]);
    let begun_s = seconds(&status["as_of_unix_ms"]) - elapsed_s;
    let lines = diary();
    let wrote = |process: &str, word: &str| -> f64 {
        let line = lines.lines().find_map(|line| line.strip_prefix(&format!("{process} {word} ")));
        line.unwrap().parse::<f64>().unwrap() - begun_s
    };
    for (view, begins, ends) in
        [(&status, "started_ms", "ended_ms"), (&report, "running_ms", "ended_ms")]
    {
        for task in view["tasks"].as_array().unwrap() {
            let process = task["process"].as_str().unwrap();
            for (field, word) in [(begins, "begins"), (ends, "ends")] {
                let (shown, wrote) = (seconds(&task[field]), wrote(process, word));
                let apart = (shown - wrote).abs();
                assert!(
                    apart < APART_S,
                    "{process} {word}: {shown} s are shown, {wrote} s it says"
                );
            }
        }
    }
}
