//! The program that the storm runs on hosts. It says where it begins, ends and passes a barrier in files that no part of
//! the product knows, and notices by itself if another of its kind lives beside it. Not a module: built with `rustc`.
//!
//! `work PROCESS ROUNDS LINES BARRIER EVERY CHILD`: so many rounds of so many lines (0 is for ever), with a barrier after
//! every so many; CHILD is `none`, `marked` or `bare`: what it leaves behind.

mod line;

use line::Stream;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DIARY: &str = "/var/storm";
const PAUSE: Duration = Duration::from_millis(100);
/// Nobody at a barrier waits for longer: a round that somebody is missing from is given up.
const PATIENCE: &str = "15s";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words[0] == "linger" {
        linger(&words[1]);
    }
    let number = |n: usize| words[n].parse().expect("a number");
    let worker = Worker {
        process: words[0].clone(),
        host: variable("PLUSH_HOST"),
        incarnation: variable("PLUSH_INCARNATION").parse().expect("a number"),
        barrier: words[3].clone(),
    };
    worker.begin(&words[5]);
    worker.work(number(1), number(2), number(4));
}

struct Worker {
    process: String,
    host: String,
    incarnation: u32,
    barrier: String,
}

/// How much a stream has, written down after the bytes themselves.
struct Counted<'a> {
    stream: Stream<'a>,
    to: Box<dyn Write>,
    bytes: u64,
}

impl Worker {
    fn begin(&self, child: &str) {
        let (me, boot) = (std::process::id(), boot());
        self.note("starts", &format!("{me} {boot} {}", now_ns()));
        match lock("main", &self.process) {
            // Held until this process ends, in whatever way.
            Ok(file) => std::mem::forget(file),
            Err(error) => self.note("troubles", &format!("another lives: {error}")),
        }
        if let Err(error) = lock("child", &self.process) {
            self.note("troubles", &format!("a child of another lives: {error}"));
        }
        let mut leave = match child {
            "marked" => Command::new("setsid"),
            "bare" => Command::new("env"),
            _ => return,
        };
        if child == "bare" {
            leave.args(["-i", "setsid"]);
        }
        let program = std::env::current_exe().expect("a program has a file");
        leave.arg(program).arg("linger").arg(&self.process);
        leave.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = leave.spawn() {
            self.note("troubles", &format!("leave a child: {error}"));
        }
    }

    fn work(&self, rounds: u64, lines: u64, every: u64) {
        let counts = open(&format!("{}.{}.count", self.process, self.incarnation));
        let mut out = self.counted("out", Box::new(std::io::stdout()));
        let mut err = self.counted("err", Box::new(std::io::stderr()));
        let mut round = 0;
        while rounds == 0 || round < rounds {
            round += 1;
            for (stream, lines) in [(&mut out, lines), (&mut err, 2)] {
                if let Err(error) = stream.write(lines) {
                    self.note("troubles", &format!("write: {error}"));
                    std::process::exit(9);
                }
            }
            let text = format!("{:16} {:16} {:24}\n", out.bytes, err.bytes, now_ns());
            counts.write_all_at(text.as_bytes(), 0).expect("a disk with space");
            std::thread::sleep(PAUSE);
            if every > 0 && round % every == 0 {
                self.meet(rounds / every);
            }
        }
        self.note("ends", &format!("{} {} {}", out.bytes, err.bytes, now_ns()));
        let result = format!("{} {} {}\n", self.host, self.process, self.incarnation);
        if let Err(error) = std::fs::write(format!("{}.result", self.process), result) {
            // Its disk may be full.
            self.note("troubles", &format!("result: {error}"));
            std::process::exit(8);
        }
    }

    fn counted(&self, name: &'static str, to: Box<dyn Write>) -> Counted<'_> {
        let Worker { process, host, incarnation, .. } = self;
        let stream = Stream { host, process, incarnation: *incarnation, name };
        Counted { stream, to, bytes: 0 }
    }

    /// Meets the others in its next round of the barrier, of which there are so many; 0 is without end. One that was
    /// started again goes on where the one before it was.
    fn meet(&self, rounds: u64) {
        let passed = format!("{}.passed", self.process);
        let before = std::fs::read_to_string(format!("{DIARY}/{passed}")).unwrap_or_default();
        if rounds > 0 && before.trim().parse::<u64>().is_ok_and(|n| n >= rounds) {
            return;
        }
        let came = now_ns();
        let mut ask = Command::new(variable("PLUSH_AGENT"));
        ask.args(["barrier", "enter", &self.barrier, "--timeout", PATIENCE, "--json"]);
        let said = match ask.output() {
            Ok(said) => said,
            Err(error) => return self.note("troubles", &format!("ask: {error}")),
        };
        let went = now_ns();
        let answer = String::from_utf8_lossy(&said.stdout).trim().replace(' ', "");
        let round = generation(&answer);
        let (barrier, code) = (&self.barrier, said.status.code().unwrap_or(-1));
        self.note("passes", &format!("{barrier} {round} {came} {went} {code} {answer}"));
        if round > 0 {
            open(&passed).write_all_at(format!("{round:8}\n").as_bytes(), 0).expect("a disk");
        }
    }

    /// One line, in one write, so that two who write at once do not mix.
    fn note(&self, file: &str, what: &str) {
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).open(format!("{DIARY}/{file}"));
        let line = format!("{} {} {what}\n", self.process, self.incarnation);
        file.as_mut().expect("the diary").write_all(line.as_bytes()).expect("a disk with space");
    }
}

impl Counted<'_> {
    fn write(&mut self, lines: u64) -> std::io::Result<()> {
        let mut text = Vec::new();
        for _ in 0..lines {
            self.stream.push_line(self.bytes + text.len() as u64, &mut text);
        }
        // Lines are whole, so nothing stays in a buffer.
        self.to.write_all(&text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }
}

/// Lives until it is ended.
fn linger(process: &str) -> ! {
    let held = lock("child", process);
    loop {
        std::thread::sleep(Duration::from_secs(1000));
        std::hint::black_box(&held);
    }
}

/// The kernel lets go of it when its holder ends.
fn lock(whose: &str, process: &str) -> Result<File, TryLockError> {
    let file = open(&format!("live.{process}.{whose}"));
    file.try_lock()?;
    Ok(file)
}

fn open(name: &str) -> File {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.open(format!("{DIARY}/{name}")).expect("the diary")
}

/// The round that an answer names; 0 if it names none.
fn generation(answer: &str) -> u32 {
    let (_, rest) = answer.split_once("\"generation\":").unwrap_or_default();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("the product sets it")
}

fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos()
}
