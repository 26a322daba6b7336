//! What a test that failed leaves for whoever reads only its message: the ends of the logs, the journal's last events,
//! who still runs where. Not a judgement: that was the test's.

use crate::stage::Stage;
use std::path::Path;

/// Of each log, and of the journal.
const LINES: u32 = 25;
/// An event may hold a whole script.
const COLUMNS: usize = 300;

/// Printed, so that it stands beside the message of the test.
pub fn show(stage: &Stage) {
    show_status(stage);
    for run in stage.runs() {
        end_of(&run.join("controller.log"));
        show_journal(&run.join("journal.sqlite"));
        show_files(&run);
        keep(&run);
    }
    for host in stage.lab.hosts() {
        show_host(stage, &host.name);
    }
}

/// `KEEP_FAILED=FOLDER` copies the run's directory there.
fn keep(run: &Path) {
    if let Ok(folder) = std::env::var("KEEP_FAILED") {
        let kept = std::process::Command::new("cp").arg("-a").arg(run).arg(&folder).status();
        eprintln!("== {} is kept in {folder}: {kept:?}", run.display());
    }
}

/// What people would see: who failed, and why.
fn show_status(stage: &Stage) {
    if stage.lab.report().is_err() {
        return;
    }
    match stage.plush(&["status", "last", "-v"]).output() {
        Ok(said) => eprintln!("== status: {}", String::from_utf8_lossy(&said.stdout)),
        Err(error) => eprintln!("== no status: {error}"),
    }
}

fn end_of(log: &Path) {
    let bytes = match std::fs::read(log) {
        Ok(bytes) => bytes,
        Err(error) => return eprintln!("== no {}: {error}", log.display()),
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES as usize);
    eprintln!("== the end of {}, of {} lines", log.display(), lines.len());
    for line in &lines[from..] {
        eprintln!("{}", line.chars().take(COLUMNS).collect::<String>());
    }
}

fn show_journal(journal: &Path) {
    let read = || {
        let connection = rusqlite::Connection::open(journal)?;
        let mut newest =
            connection.prepare("select at_ms || ' ' || event from journal where event is not null order by number desc limit ?1")?;
        let events = newest.query_map([LINES], |row| row.get::<_, String>(0))?;
        events.collect::<Result<Vec<String>, _>>()
    };
    match read() {
        Err(error) => eprintln!("== no {}: {error}", journal.display()),
        Ok(events) => {
            eprintln!("== the end of {}", journal.display());
            for event in events.iter().rev() {
                eprintln!("{}", event.chars().take(COLUMNS).collect::<String>());
            }
        }
    }
}

/// Sizes tell how far output has come.
fn show_files(run: &Path) {
    let Ok(hosts) = std::fs::read_dir(run.join("output")) else { return };
    for file in hosts.flatten().filter_map(|host| std::fs::read_dir(host.path()).ok()).flatten() {
        let Ok(file) = file else { continue };
        let bytes = file.metadata().map(|found| found.len()).unwrap_or(0);
        eprintln!("== {}: {bytes} bytes", file.path().display());
    }
}

/// Our processes there, and what their agents wrote down.
fn show_host(stage: &Stage, host: &str) {
    let ours = stage.lab.processes(host).unwrap_or_default();
    for process in ours.iter().filter(|process| process.command.contains("plush")) {
        eprintln!("== on {host}: {process:?}");
    }
    let logs = "find / -xdev -path '*plush*' -name log -print -exec tail -n 15 {} ';' 2>/dev/null; \
                cd /var/storm 2>/dev/null && tail -n 6 starts ends passes troubles 2>/dev/null";
    match stage.lab.run_on(host, logs) {
        Ok(said) if said.stdout.is_empty() => {}
        Ok(said) => eprintln!("== on {host}: {}", String::from_utf8_lossy(&said.stdout)),
        Err(error) => eprintln!("== {host} cannot be asked: {error}"),
    }
}
