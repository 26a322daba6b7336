//! Runs a program of the description beside the controller: the event on its standard input, its answer from standard
//! output. Not the meaning of the answer. Nothing is run that the operator has not trusted: `plush run` sees to that.
//!
//! A program that hangs, dies or prints without end costs nothing but its time limit; its whole group is ended then.

use crate::order::Word;
use plush_core::run::Event;
use plush_protocol::{ANSWER_MAX_BYTES, Answer, Question, Tainted};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// So much of what a program says on standard error is kept.
const COMPLAINT_MAX_BYTES: u64 = 4 << 10;

/// Where callbacks run and what they are told of the run besides the event.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The directory of the description: relative programs and files are meant from there.
    pub directory: PathBuf,
    /// The run's id.
    pub run: String,
    /// The run's directory.
    pub run_dir: PathBuf,
}

/// Starts a program; its answer goes to `words`.
pub fn start(question: Question, surroundings: Surroundings, words: mpsc::Sender<Word>) {
    tokio::spawn(async move {
        let answer = match ask(&question, &surroundings).await {
            Ok(said) => Answer::Said(Tainted::new(said)),
            Err(why) => Answer::Failed(Tainted::new(why)),
        };
        let event = Event::Answered { question: question.number, answer };
        // The driver ends first only when the run is over.
        let _ = words.send(Word::Event(event)).await;
    });
}

async fn ask(question: &Question, surroundings: &Surroundings) -> Result<String, String> {
    let mut child =
        spawn(question, surroundings).map_err(|error| format!("cannot be started: {error}"))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let limit = Duration::from_millis(question.time_limit_ms);
    let said = tokio::time::timeout(limit, converse(&mut child, &question.event)).await;
    // What it has left behind in its group goes with it.
    if let Some(group) = group {
        let _nobody_left = kill_process_group(group, Signal::KILL);
    }
    match said {
        Ok(Ok(said)) => said,
        Ok(Err(error)) => Err(format!("cannot be talked to: {error}")),
        Err(_) => Err(format!("gave no answer within {} ms and was ended", question.time_limit_ms)),
    }
}

fn spawn(question: &Question, surroundings: &Surroundings) -> io::Result<Child> {
    let [program, arguments @ ..] = question.argv.as_slice() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
    };
    Command::new(located(program, &surroundings.directory))
        .args(arguments)
        .current_dir(&surroundings.directory)
        .env("PLUSH_RUN", &surroundings.run)
        .env("PLUSH_RUN_DIR", &surroundings.run_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// A name without a slash is looked up on PATH; a path is meant from the description's directory.
fn located(program: &str, directory: &Path) -> PathBuf {
    match program.contains('/') {
        true => directory.join(program),
        false => PathBuf::from(program),
    }
}

async fn converse(child: &mut Child, event: &str) -> io::Result<Result<String, String>> {
    let mut input = child.stdin.take().expect("its standard input is a pipe");
    let mut output = child.stdout.take().expect("its standard output is a pipe");
    let mut errors = child.stderr.take().expect("its standard error is a pipe");
    let say = async {
        // A program need not read what it is told.
        let _ = input.write_all(event.as_bytes()).await;
        drop(input);
    };
    let mut said = Vec::new();
    let mut complaint = Vec::new();
    let ((), heard, complained) = tokio::join!(
        say,
        hear(&mut output, &mut said, ANSWER_MAX_BYTES as u64),
        hear(&mut errors, &mut complaint, COMPLAINT_MAX_BYTES)
    );
    heard?;
    complained?;
    let status = child.wait().await?;
    if status.success() {
        return Ok(Ok(String::from_utf8_lossy(&said).into_owned()));
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let why = match complaint.trim() {
        "" => format!("ended with {status}"),
        text => format!("ended with {status}: {text}"),
    };
    Ok(Err(why))
}

/// Keeps the first bytes, and reads the rest so that the program is not held up.
async fn hear(
    from: &mut (impl AsyncReadExt + Unpin),
    into: &mut Vec<u8>,
    keep_bytes: u64,
) -> io::Result<()> {
    from.take(keep_bytes).read_to_end(into).await?;
    tokio::io::copy(from, &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Instant;

    async fn answer(argv: &[&str], time_limit_ms: u64) -> Result<String, String> {
        let directory = PathBuf::from("/");
        let surroundings =
            Surroundings { directory: directory.clone(), run: "r".into(), run_dir: directory };
        let question = Question {
            number: 0,
            cluster: String::new(),
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            event: "{\"event\": \"x\"}\n".into(),
            time_limit_ms,
        };
        ask(&question, &surroundings).await
    }

    #[tokio::test]
    async fn a_program_reads_the_event_and_answers() {
        assert_eq!(answer(&["cat"], 10_000).await.unwrap(), "{\"event\": \"x\"}\n");
    }

    #[tokio::test]
    async fn f81_a_program_that_hangs_is_ended_with_its_children() {
        let begun = Instant::now();
        let why = answer(&["sh", "-c", "sleep 60 & sleep 60"], 200).await.unwrap_err();
        assert!(why.contains("within 200 ms"), "{why}");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[tokio::test]
    async fn f81_a_program_that_dies_or_is_not_there_says_why() {
        let why = answer(&["sh", "-c", "echo no idea >&2; exit 3"], 10_000).await.unwrap_err();
        assert!(why.contains("no idea"), "{why}");
        let why = answer(&["./not-there"], 10_000).await.unwrap_err();
        assert!(why.contains("cannot be started"), "{why}");
    }

    #[tokio::test]
    async fn f81_a_program_that_never_stops_printing_keeps_memory_flat() {
        let said = answer(&["sh", "-c", "head -c 50000000 /dev/zero"], 30_000).await.unwrap();
        assert_eq!(said.len(), ANSWER_MAX_BYTES);
    }
}
