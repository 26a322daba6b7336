//! Storms: faults drawn from a seed strike real hosts with real programs, are taken away again, and what must hold is
//! judged. Not the simulator: here the kernel, SSH, disks and programs are real, and so is time.
//!
//! `SEEDS=20 FIRST=100 HOSTS=12 SECONDS=30 cargo test -p plush --test lab storm -- --nocapture` plays others; `ONLY=1,3` leaves of
//! each seed only these faults; `MINUTES=60` goes on for that long. `bench/run storm` is the same for hours.

mod diary;
mod drawing;
mod judging;
mod line;
mod striking;

use crate::stage::Stage;
use diary::Diary;
use drawing::{Class, Fault, Scene, Size};
use judging::{Case, Verdict};
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use striking::Weather;

/// From the end of all faults to the end of the run; what is left to do takes half of it on an idle machine.
const ENDING: Duration = Duration::from_secs(240);
/// From the end of all faults until the wanted number of a service's hosts runs.
const HEALING: Duration = Duration::from_secs(120);
const CONTROLLER_MAX_KIB: u64 = 300 << 10;

/// What one storm was and showed.
struct Story {
    scene: Scene,
    struck: Vec<Fault>,
    verdict: Verdict,
    outcome: String,
    /// The most that a controller held in memory.
    controller_kib: u64,
    took: Duration,
    never_reached: usize,
    /// From the end of the faults to the end of the run.
    ending: Duration,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn a_storm_of_faults_starts_nothing_twice_loses_no_byte_and_leaves_nothing() {
    let seeds = number("SEEDS").unwrap_or(3);
    let first = number("FIRST").unwrap_or(1);
    let size = Size {
        hosts: number("HOSTS").unwrap_or(8) as u16,
        seconds: number("SECONDS").unwrap_or(15),
    };
    let limit = number("MINUTES").map(|n| Instant::now() + Duration::from_secs(60 * n));
    let goes_on = |seed| match limit {
        Some(limit) => Instant::now() < limit,
        None => seed < first + seeds,
    };
    let mut totals = Totals::default();
    for seed in (first..).take_while(|seed| goes_on(*seed)) {
        let Some(stage) = Stage::with_hosts(size.hosts) else { return };
        let scene = Scene::of(seed, size);
        let strikes: Vec<String> = scene.strikes.iter().map(ToString::to_string).collect();
        match catch_unwind(AssertUnwindSafe(|| play(stage, scene))) {
            Ok(story) => totals.add(seed, &story),
            Err(_) => {
                let Size { hosts, seconds } = size;
                eprintln!(
                    "FAILED: SEEDS=1 FIRST={seed} HOSTS={hosts} SECONDS={seconds}\n{}",
                    strikes.join("\n")
                );
                totals.failed.push(seed);
            }
        }
    }
    totals.tell();
    assert!(totals.failed.is_empty(), "rules were broken with seeds {:?}", totals.failed);
}

/// Sums over all storms.
#[derive(Default)]
struct Totals {
    storms: u64,
    faults: BTreeMap<Fault, u64>,
    starts: usize,
    bytes: u64,
    gap_bytes: u64,
    passes: usize,
    lost: usize,
    never_reached: usize,
    failed: Vec<u64>,
}

impl Totals {
    fn add(&mut self, seed: u64, story: &Story) {
        let Story { scene, struck, verdict, outcome, controller_kib, took, ending, never_reached } =
            story;
        let Verdict { starts, bytes, gap_bytes, passes, lost, served: _, broken: _ } = verdict;
        eprintln!(
            "seed {seed}: {:?}, {} faults, {outcome} {:.0} s after the last, {:.0} s in all; {starts} starts, {:.1} MB of output, {gap_bytes} \
             bytes in gaps, {passes} passes, {lost} hosts given up, {never_reached} of them never reached; controller {} MiB",
            scene.class,
            struck.len(),
            ending.as_secs_f64(),
            took.as_secs_f64(),
            *bytes as f64 / 1e6,
            controller_kib >> 10,
        );
        self.storms += 1;
        struck.iter().for_each(|fault| *self.faults.entry(*fault).or_default() += 1);
        self.starts += starts;
        self.bytes += bytes;
        self.gap_bytes += gap_bytes;
        self.passes += passes;
        self.lost += lost;
        self.never_reached += never_reached;
    }

    fn tell(&self) {
        let faults: Vec<String> = self.faults.iter().map(|(f, n)| format!("{f:?} {n}")).collect();
        let Totals {
            storms, starts, bytes, gap_bytes, passes, lost, never_reached, failed, ..
        } = self;
        eprintln!(
            "{storms} storms, {} faults ({}); {starts} starts, {:.1} MB of output compared, {gap_bytes} bytes in gaps, \
             {passes} passes of barriers, {lost} hosts given up, {never_reached} of them never reached; failed: {failed:?}",
            self.faults.values().sum::<u64>(),
            faults.join(", "),
            *bytes as f64 / 1e6,
        );
    }
}

/// One storm, to its end. What is broken is a panic, which shows the evidence.
fn play(mut stage: Stage, scene: Scene) -> Story {
    let began = Instant::now();
    prepare(&mut stage, &scene);
    let watching = stage.begin("storm.yaml", &["-q", "--json"]);
    let mut weather = Weather::new(stage, watching);
    let (struck, mut controller_kib) = rage(&mut weather, &scene);
    let calm = Instant::now();
    check_agents(&weather.stage);
    if scene.class == Class::Service {
        await_service(&weather.stage, &scene, calm + HEALING);
        weather.stage.call(&["stop", "last"]).expect(0);
    }
    controller_kib = controller_kib.max(controllers_kib(&weather.stage));
    let watching = weather.watching.take().expect("somebody always watches");
    let said = watching.end_by(calm + ENDING);
    let ending = calm.elapsed();
    let view = &said.document()["view"];
    let stage = &weather.stage;
    let diaries = diaries(stage, &scene);
    let run = &stage.runs()[0];
    let case = Case { scene: &scene, run, diaries: &diaries, view, code: said.code };
    let verdict = case.judge();
    assert!(verdict.broken.is_empty(), "{}", verdict.broken.join("\n"));
    check_controller(stage, run, controller_kib);
    let never_reached = case.never_reached();
    for host in (1..=scene.hosts).filter(|host| !never_reached.contains(host)) {
        let host = format!("h{host:03}");
        stage.lab.run_on(&host, "rm -rf /var/storm/*").unwrap();
        stage.assert_nothing_left_on(&host);
    }
    stage.assert_no_controller_left();
    let outcome = view["outcome"].to_string();
    Story {
        struck,
        verdict,
        outcome,
        controller_kib,
        took: began.elapsed(),
        ending,
        never_reached: never_reached.len(),
        scene,
    }
}

/// What hosts have before anything begins: a place for diaries, small disks; the operator's description and software.
fn prepare(stage: &mut Stage, scene: &Scene) {
    for host in stage.lab.hosts() {
        let made = stage.lab.run_on(&host.name, "mkdir -m 1777 /var/storm").unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    for host in &scene.small {
        stage.lab.disk(&format!("h{host:03}"), 64 << 20).unwrap();
    }
    stage.remember();
    stage.file("storm.yaml", scene.description());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/storm/worker.rs");
    let home = stage.home.path();
    let mut build = Command::new("rustc");
    build.args(["--edition", "2024", "-O", "-C", "strip=symbols", "-o", "work"]).arg(source);
    let built = build.current_dir(home).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let packed = Command::new("tar").args(["cf", "work.tar", "work"]).current_dir(home).status();
    assert!(packed.unwrap().success());
}

/// Strikes and mends at their times, and ends with everything mended; what struck, and the controllers' most memory.
fn rage(weather: &mut Weather, scene: &Scene) -> (Vec<Fault>, u64) {
    let only = std::env::var("ONLY").ok();
    let is_meant =
        |n: usize| only.as_ref().is_none_or(|all| all.split(',').any(|m| m == n.to_string()));
    let strikes = || scene.strikes.iter().filter(|s| is_meant(s.number));
    let mut due: Vec<(u64, bool, &drawing::Strike)> =
        strikes().map(|s| (s.at_ms, true, s)).collect();
    due.extend(strikes().map(|s| (s.at_ms + s.lasts_ms, false, s)));
    due.sort_by_key(|(at_ms, begins, s)| (*at_ms, !begins, s.number));
    let (began, mut struck, mut kib) = (Instant::now(), Vec::new(), 0);
    for (at_ms, begins, strike) in due {
        let at = began + Duration::from_millis(at_ms);
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        kib = kib.max(controllers_kib(&weather.stage));
        if !begins {
            weather.mend(strike);
        } else if weather.strike(strike) {
            struck.push(strike.fault);
        }
    }
    (struck, kib)
}

/// Until the wanted number runs, or all that are left; from outside nothing tells.
fn await_service(stage: &Stage, scene: &Scene, limit: Instant) {
    loop {
        let status = stage.call(&["status", "last", "--json"]).expect(0).document();
        let count = |what: &str, state: &str| {
            status[what].as_array().unwrap().iter().filter(|one| one["state"] == state).count()
        };
        let left = usize::from(scene.hosts) - count("hosts", "failed");
        let wanted = usize::from(scene.wanted()).min(left);
        let running = count("tasks", "running");
        if running >= wanted {
            return;
        }
        assert!(Instant::now() < limit, "only {running} of {wanted} run: {status}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn diaries(stage: &Stage, scene: &Scene) -> BTreeMap<u16, Diary> {
    let read = |host: u16| {
        let root = stage.lab.root_of(&format!("h{host:03}")).unwrap();
        (host, Diary::read(&root.join("var/storm")))
    };
    (1..=scene.hosts).map(read).collect()
}

fn controllers_kib(stage: &Stage) -> u64 {
    let kib = |pid: rustix::process::Pid| {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.to_owned();
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    stage.controllers().into_iter().filter_map(kib).max().unwrap_or(0)
}

/// An agent that panicked has said so in its log, which goes with the run.
fn check_agents(stage: &Stage) {
    for host in stage.lab.hosts() {
        let look = "find /home/plush -xdev -name log -exec grep -A3 panicked {} ';'";
        let said = stage.lab.run_on(&host.name, look).unwrap();
        let said = String::from_utf8_lossy(&said.stdout);
        assert!(said.is_empty(), "the agent of {} said: {said}", host.name);
    }
}

/// It said nothing of a panic, its memory was bounded, and its journal still tells the run.
fn check_controller(stage: &Stage, run: &Path, kib: u64) {
    let log = std::fs::read_to_string(run.join("controller.log")).unwrap_or_default();
    assert!(!log.contains("panicked"), "{log}");
    assert!(kib < CONTROLLER_MAX_KIB, "a controller held {kib} KiB");
    let status: Value = stage.call(&["status", "last", "--json"]).expect(0).document();
    let page = run.join("storm.html");
    let told = ["report", "last", "--json", "-o", page.to_str().unwrap()];
    let history = stage.call(&told).expect(0).document();
    assert_eq!(history["view"]["outcome"], status["outcome"], "the journal tells another story");
    assert!(page.exists());
}
