//! `plush-agent barrier`: a program's way to the run's barriers, from any shell.
//! Not the agent that answers; this speaks the lines of the tasks' socket like any other program.

use crate::barrier_words::Request;
use crate::chance;
use crate::flat_json::{self, Value};
use lexopt::prelude::*;
use plush_protocol::BarrierVerb;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How to call it.
pub const USAGE: &str = "\
usage: plush-agent barrier enter  NAME [--generation N] [--as NAME] [--timeout TIME] [--json]
       plush-agent barrier signal NAME [--generation N] [--as NAME] [--json]   enter without waiting
       plush-agent barrier leave  NAME [--generation N] [--as NAME] [--json]
       plush-agent barrier state  NAME [--json]
TIME is a number with ms, s, min or h behind it, or of seconds.
";

/// Exit codes, documented in the guide and never changed.
mod code {
    pub const DONE: u8 = 0;
    pub const TOO_LATE: u8 = 3;
    pub const UNKNOWN: u8 = 4;
    pub const DROPPED: u8 = 5;
    pub const USAGE: u8 = 64;
    pub const REFUSED: u8 = 65;
    pub const NO_AGENT: u8 = 69;
    pub const TIMEOUT: u8 = 124;
}

/// An agent that was killed is back as soon as its controller has noticed; one that is away for so long is not waited for.
const AGENT_LIMIT: Duration = Duration::from_secs(60);
/// Between two attempts to reach it, at first; doubles up to a second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The agent keeps the time limit; if it cannot, we do, so much later.
const GRACE: Duration = Duration::from_secs(2);

/// Runs the subcommand on the arguments that follow it; says the exit code.
pub fn run(arguments: lexopt::Parser) -> u8 {
    let (request, json) = match parse(arguments) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            print!("{USAGE}");
            return code::DONE;
        }
        Err(error) => {
            eprintln!("plush-agent barrier: {error}\n{USAGE}");
            return code::USAGE;
        }
    };
    match ask(&request) {
        Ok(line) => show(&line, json),
        Err(Unanswered::NoAgent(why)) => {
            eprintln!("plush-agent barrier: no agent answers: {why}");
            code::NO_AGENT
        }
        Err(Unanswered::TimedOut) => {
            eprintln!("plush-agent barrier: the time limit is over");
            code::TIMEOUT
        }
    }
}

/// Why there is no answer.
enum Unanswered {
    NoAgent(String),
    TimedOut,
}

fn parse(mut arguments: lexopt::Parser) -> Result<Option<(Request, bool)>, lexopt::Error> {
    let (mut words, mut json) = (Vec::new(), false);
    let mut request = Request {
        verb: BarrierVerb::State,
        barrier: String::new(),
        generation: None,
        alias: String::new(),
        limit: None,
        request: Some(chance::number()),
    };
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("generation") => request.generation = Some(arguments.value()?.parse()?),
            Long("as") => request.alias = arguments.value()?.string()?,
            Long("timeout") => {
                request.limit = Some(arguments.value()?.parse_with(|text| {
                    duration(text).ok_or("a time is a number with ms, s, min or h behind it")
                })?);
            }
            Long("json") => json = true,
            Long("help") | Short('h') => return Ok(None),
            Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    let [verb, barrier] =
        <[String; 2]>::try_from(words).map_err(|_| "say what to do, and the barrier's name")?;
    request.barrier = barrier;
    request.verb = match verb.as_str() {
        "enter" => BarrierVerb::Enter,
        "signal" => BarrierVerb::Signal,
        "leave" => BarrierVerb::Leave,
        "state" => BarrierVerb::State,
        other => return Err(format!("unknown word `{other}`").into()),
    };
    Ok(Some((request, json)))
}

fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// Asks until somebody answers: under the same number, so that an agent that was killed meanwhile changes nothing.
fn ask(request: &Request) -> Result<String, Unanswered> {
    let began = Instant::now();
    let (mut away_since, mut pause) = (None, FIRST_PAUSE);
    loop {
        let left = request.limit.map(|limit| limit.saturating_sub(began.elapsed()));
        let why = match once(&Request { limit: left, ..request.clone() }) {
            Ok(Some(line)) => return Ok(line),
            // It was there and went: the next wait begins anew.
            Ok(None) => {
                (away_since, pause) = (None, FIRST_PAUSE);
                "it went away".to_owned()
            }
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return Err(Unanswered::NoAgent(error.to_string()));
            }
            Err(error) => error.to_string(),
        };
        if request.limit.is_some_and(|limit| began.elapsed() >= limit) {
            return Err(Unanswered::TimedOut);
        }
        if away_since.get_or_insert_with(Instant::now).elapsed() >= AGENT_LIMIT {
            return Err(Unanswered::NoAgent(why));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// One connection: the answer, or none if the agent went away before it.
fn once(request: &Request) -> io::Result<Option<String>> {
    let mut socket = connect()?;
    socket.set_read_timeout(request.limit.map(|limit| limit + GRACE))?;
    if socket.write_all(request.line().as_bytes()).is_err() {
        return Ok(None);
    }
    let mut line = String::new();
    match BufReader::new(socket).read_line(&mut line) {
        Ok(_) if line.ends_with('\n') => Ok(Some(line)),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// The socket that the environment names.
fn connect() -> io::Result<UnixStream> {
    let absent = || {
        let text = "PLUSH_SOCKET is not set: this is no program of a run";
        io::Error::new(io::ErrorKind::Unsupported, text)
    };
    let socket = std::env::var_os("PLUSH_SOCKET").ok_or_else(absent)?;
    UnixStream::connect(socket)
}

fn show(line: &str, json: bool) -> u8 {
    if json {
        // A reader that is gone does not want it.
        let _gone = io::stdout().write_all(line.as_bytes());
    }
    let (result, fields) = fields(line);
    let (code, words) = match result.as_str() {
        "released" | "entered" | "left" => (code::DONE, String::new()),
        "state" => (code::DONE, state(&fields)),
        "too_late" => (code::TOO_LATE, format!("too late: {}", text(&fields, "why"))),
        "unknown" => (code::UNKNOWN, format!("no barrier has this name: {}", line.trim())),
        "dropped" => (code::DROPPED, text(&fields, "why")),
        "timeout" => (code::TIMEOUT, "the time limit is over".to_owned()),
        _ => (code::REFUSED, text(&fields, "why")),
    };
    match code {
        code::DONE if !json && !words.is_empty() => {
            let _gone = writeln!(io::stdout(), "{words}");
        }
        code::DONE => {}
        _ => eprintln!("plush-agent barrier: {words}"),
    }
    code
}

fn fields(line: &str) -> (String, BTreeMap<String, Value>) {
    match flat_json::read(line) {
        Ok(fields) => (text(&fields, "result"), fields),
        // Only the answer about an unknown name holds a list.
        Err(_) if line.starts_with("{\"result\":\"unknown\"") => {
            ("unknown".into(), BTreeMap::new())
        }
        Err(_) => (String::new(), BTreeMap::new()),
    }
}

fn text(fields: &BTreeMap<String, Value>, name: &str) -> String {
    match fields.get(name) {
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Word(word)) => (*word).to_owned(),
        None => String::new(),
    }
}

fn state(fields: &BTreeMap<String, Value>) -> String {
    let number = |name| text(fields, name);
    let opened = match fields.get("opened") {
        Some(Value::Text(why)) => format!("open ({why})"),
        Some(Value::Number(_) | Value::Word(_)) | None => "closed".to_owned(),
    };
    format!(
        "round {}: {opened}, {} of {} entered, {} let go",
        number("generation"),
        number("entered"),
        number("expected"),
        number("released")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parsed(words: &[&str]) -> Option<Request> {
        let arguments = lexopt::Parser::from_iter(["plush-agent"].iter().chain(words));
        parse(arguments).ok().flatten().map(|(request, _)| request)
    }

    #[test]
    fn a_command_line_becomes_a_request() {
        let words = ["enter", "round", "--generation", "3", "--timeout", "1.5s", "--as", "w"];
        let request = parsed(&words).unwrap();
        assert_eq!(request.verb, BarrierVerb::Enter);
        assert_eq!(request.barrier, "round");
        assert_eq!(request.generation, Some(3));
        assert_eq!(request.limit, Some(Duration::from_millis(1_500)));
        assert_eq!(request.alias, "w");
        for wrong in [&["enter"][..], &["jump", "b"], &["enter", "b", "--timeout", "soon"]] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn each_result_has_its_code() {
        for (line, code) in [
            (r#"{"result":"released","generation":1}"#, 0),
            (r#"{"result":"too_late","generation":1,"why":"x"}"#, 3),
            (r#"{"result":"unknown","known":["a"]}"#, 4),
            (r#"{"result":"dropped","why":"x"}"#, 5),
            (r#"{"result":"refused","why":"x"}"#, 65),
            (r#"{"result":"timeout"}"#, 124),
        ] {
            assert_eq!(show(line, true), code, "{line}");
        }
    }
}
