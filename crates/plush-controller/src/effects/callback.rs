//! Asks a program of the description beside the controller: the event on its standard input, its answer from standard
//! output. Not the meaning of the answer, and not how a program is run: see [`super::program`].

use crate::effects::program::{self, Job, Surroundings};
use crate::order::Word;
use plush_core::run::Event;
use plush_protocol::{Answer, Question, Tainted};
use std::time::Duration;
use tokio::sync::mpsc;

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
    let job = Job {
        argv: question.argv.clone(),
        environment: Vec::new(),
        input: question.event.clone(),
        limit: Duration::from_millis(question.time_limit_ms),
    };
    program::run(&job, surroundings).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plush_protocol::ANSWER_MAX_BYTES;
    use std::path::PathBuf;
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
