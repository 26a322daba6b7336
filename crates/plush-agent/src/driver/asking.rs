//! Runs a program of the description that the controller asks, off the driver's thread.
//! Not tasks: those have keepers; a question dies with the agent, and its default holds.

use super::environment::Environment;
use super::happened::Happened;
use crate::base::{Base, is_component};
use crate::programs::{self, Job, ProgramError};
use plush_core::agent::Event;
use plush_protocol::{ANSWER_MAX_BYTES, Answer, Question, Tainted};
use std::ffi::OsString;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Runs it; the answer comes back as an event.
pub(super) fn ask(
    question: Question,
    base: &Base,
    environment: &Environment,
    unwanted: Arc<AtomicBool>,
    tell: mpsc::Sender<Happened>,
) {
    let directory = match is_component(&question.cluster) {
        true => base.clusters().join(&question.cluster),
        false => base.run.clone(),
    };
    let environment = environment.common();
    tokio::task::spawn_blocking(move || {
        let argv: Vec<OsString> = question.argv.iter().map(OsString::from).collect();
        let job = Job {
            argv: &argv,
            environment: environment.iter().map(|(n, v)| (n.into(), v.into())).collect(),
            directory: &directory,
            deadline: Instant::now() + Duration::from_millis(question.time_limit_ms),
        };
        let said = programs::answer(&job, question.event.as_bytes(), ANSWER_MAX_BYTES, &|| {
            !unwanted.load(Ordering::Relaxed)
        });
        let answer = answered(said);
        let event = Event::Answered { question: question.number, answer };
        let _ended = tell.blocking_send(Happened::Core(event));
    });
}

fn answered(said: Result<programs::Ended, ProgramError>) -> Answer {
    match said {
        Ok(ended) if ended.status.success() => {
            Answer::Said(Tainted::new(String::from_utf8_lossy(&ended.tail)))
        }
        Ok(ended) => failed(format!("it ended with {}", ended.status)),
        Err(ProgramError::System { program, source }) => {
            failed(format!("run {}: {source}", program.display()))
        }
        Err(error) => failed(error),
    }
}

fn failed(why: impl Display) -> Answer {
    Answer::Failed(Tainted::new(why.to_string()))
}
