//! Runs a program of the description beside the controller: words on its standard input, what it says from standard
//! output. Not what it is for. Nothing is run that the operator has not trusted: `plush run` sees to that.
//!
//! A program that hangs, dies or prints without end costs nothing but its time limit; its whole group is ended then.

use crate::open_files;
use plush_protocol::ANSWER_MAX_BYTES;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// So much of what a program says on standard error is kept.
const COMPLAINT_MAX_BYTES: u64 = 4 << 10;

/// Where programs run and what they are told of the run.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The directory of the description: relative programs and files are meant from there.
    pub directory: PathBuf,
    /// The run's id.
    pub run: String,
    /// The run's directory.
    pub run_dir: PathBuf,
}

/// One program, once.
pub struct Job {
    /// Program and arguments; no shell sees them.
    pub argv: Vec<String>,
    /// What it finds in its environment besides.
    pub environment: Vec<(String, String)>,
    /// Its standard input.
    pub input: String,
    /// It is ended after so long.
    pub limit: Duration,
}

/// A process group that ends with this value.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _nobody_left = kill_process_group(group, Signal::KILL);
        }
    }
}

/// What it said, or why there is nothing; what it has left behind in its group is ended.
pub async fn run(job: &Job, surroundings: &Surroundings) -> Result<String, String> {
    let mut child =
        spawn(job, surroundings).map_err(|error| format!("cannot be started: {error}"))?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let _ended_with_it = Group(id.and_then(Pid::from_raw));
    match tokio::time::timeout(job.limit, converse(&mut child, &job.input)).await {
        Ok(Ok(said)) => said,
        Ok(Err(error)) => Err(format!("cannot be talked to: {error}")),
        Err(_) => Err(format!("gave no answer within {} ms and was ended", job.limit.as_millis())),
    }
}

fn spawn(job: &Job, surroundings: &Surroundings) -> io::Result<Child> {
    let [program, arguments @ ..] = job.argv.as_slice() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
    };
    let program = open_files::program(&located(program, &surroundings.directory))?;
    Command::from(program)
        .args(arguments)
        .current_dir(&surroundings.directory)
        .envs(job.environment.iter().map(|(name, value)| (name, value)))
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

async fn converse(child: &mut Child, words: &str) -> io::Result<Result<String, String>> {
    let mut input = child.stdin.take().expect("its standard input is a pipe");
    let mut output = child.stdout.take().expect("its standard output is a pipe");
    let mut errors = child.stderr.take().expect("its standard error is a pipe");
    let say = async {
        // A program need not read what it is told.
        let _ = input.write_all(words.as_bytes()).await;
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
