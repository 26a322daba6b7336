//! Asks about the health of tasks from where the controller is: ports and URLs of hosts, programs beside the controller.
//! Not when, and not what answers mean: the core's rule says so. Only what it says is told, when it changes.
//!
//! A host is asked at the address that SSH uses, directly, also when SSH takes another way to it.

use crate::effects::program;
use crate::effects::program::Surroundings;
use crate::order::Word;
use plush_core::health::{ProbingFromAfar, Question};
use plush_core::plan::HostId;
use plush_core::run::{Event, Watch};
use plush_protocol::{Health, ProbeCheck, Program, Tainted, TaskKey};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// So many questions are under way at the same time, of all hosts. Further ones wait for their turn; their time limit
/// begins with it.
const IN_FLIGHT: usize = 64;
/// Maximum number of bytes of an answer that are read before its connection is closed. Closing with
/// unread bytes resets the connection, which servers count as a client failure.
const ANSWER_MAX_BYTES: u64 = 256 << 10;
/// Time limit for a probed server to close its end of the connection.
const PARTING_MAX: Duration = Duration::from_millis(500);

/// What all that is asked from here shares.
pub struct Asking {
    turns: Semaphore,
    surroundings: Surroundings,
}

/// About whom is asked.
pub struct Subject {
    pub host: HostId,
    pub key: TaskKey,
    /// Where its host is asked: a name or an address.
    pub address: String,
    pub watch: Watch,
}

impl Asking {
    pub fn new(surroundings: Surroundings) -> Asking {
        Asking { turns: Semaphore::new(IN_FLIGHT), surroundings }
    }
}

/// Asks again and again, until it is dropped. `heard` changes when the host is heard.
pub async fn watch(
    subject: Subject,
    asking: Arc<Asking>,
    mut heard: watch::Receiver<()>,
    words: mpsc::Sender<Word>,
) {
    let subject = Arc::new(subject);
    let mut rule = ProbingFromAfar::new(&subject.watch.probes);
    let (mut told, mut ill) = (rule.health(), None);
    let mut questions = JoinSet::new();
    let began = Instant::now();
    let since = |began: Instant| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    loop {
        for question in rule.decide(since(began)) {
            let (subject, asking) = (Arc::clone(&subject), Arc::clone(&asking));
            questions.spawn(async move {
                let answer = ask(&question, &subject, &asking).await;
                (question, answer)
            });
        }
        let wake = rule.wake_at().map(|at| began + Duration::from_millis(at));
        tokio::select! {
            Some(answer) = questions.join_next() => {
                let (question, answer) = answer.expect("asking does not panic");
                rule.answered(question.probe, answer.is_ok());
                let said = answer.err().map(|said| format!("{}: {said}", question.check));
                ill = said.map(Tainted::new).or(ill);
                // What was heard until now was heard before the answer.
                heard.mark_unchanged();
            }
            is_there = heard.changed() => match is_there {
                Ok(()) => rule.heard(),
                Err(_) => return,
            },
            () = sleep_until(wake.unwrap_or(began)), if wake.is_some() => {}
        }
        let health = rule.health();
        if std::mem::replace(&mut told, health) != health {
            let why = ill.clone().filter(|_| health == Health::Unhealthy);
            let event = Event::Probed { host: subject.host, key: subject.key, health, why };
            // The driver ends first only when the run is over.
            let _ = words.send(Word::Event(event)).await;
        }
    }
}

/// Fails with the answer if it is wrong or late.
async fn ask(question: &Question, subject: &Subject, asking: &Asking) -> Result<(), String> {
    let _turn = asking.turns.acquire().await.expect("turns are never closed");
    let limit = Duration::from_millis(question.time_limit_ms);
    let late = |_| Err(format!("no answer within {} ms", limit.as_millis()));
    match &question.check {
        ProbeCheck::Tcp(port) => {
            let open = TcpStream::connect((subject.address.as_str(), *port));
            match timeout(limit, open).await {
                Ok(Ok(stream)) => {
                    part(stream).await;
                    Ok(())
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(elapsed) => late(elapsed),
            }
        }
        ProbeCheck::Http(url) => {
            let mut status = None;
            let whole = timeout(limit, exchange(url, subject, &mut status)).await;
            // The status is the answer, whatever happens to the rest.
            match (status, whole) {
                (Some(status), _) if status < 400 => Ok(()),
                (Some(status), _) => Err(format!("status {status}")),
                (None, Ok(_)) => Err("no HTTP server answers".to_owned()),
                (None, Err(elapsed)) => late(elapsed),
            }
        }
        ProbeCheck::Command(command) => succeeds(command, limit, subject, asking).await,
    }
}

/// Closes a connection without a reset: reads what the server sends first, and waits briefly for
/// its end of stream.
async fn part(mut stream: TcpStream) {
    let parting = async {
        stream.shutdown().await?;
        let mut said = stream.take(ANSWER_MAX_BYTES);
        tokio::io::copy(&mut said, &mut tokio::io::sink()).await
    };
    // The port is open, whatever happens to the connection.
    let _parted = timeout(PARTING_MAX, parting).await;
}

/// Sends a request to the server of a URL. Sets `status` on receipt and reads the rest of the
/// answer. Uses no proxy and follows no redirect: the probe is for this server.
async fn exchange(url: &str, subject: &Subject, status: &mut Option<u16>) -> Option<()> {
    let place = Place::read(url)?;
    let is_host = place.name == "localhost" || place.name == subject.watch.name;
    let name = if is_host { subject.address.as_str() } else { place.name };
    let mut stream = TcpStream::connect((name, place.port)).await.ok()?;
    let Place { authority, path, .. } = place;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: plush\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let mut bounded = stream.take(ANSWER_MAX_BYTES);
    while !is_whole(&answer) {
        if bounded.read_buf(&mut answer).await.ok()? == 0 {
            break;
        }
        *status = status_of(&answer);
        if status.is_none() && answer.contains(&b'\n') {
            break;
        }
    }
    Some(())
}

/// Whether the answer is complete. An answer without a length ends when the server closes.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let (head, body) = answer.split_at(end + 4);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let field = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(known, _)| known.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    if matches!(status_of(answer), Some(204 | 304)) {
        return true;
    }
    if field("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked")) {
        return body.ends_with(b"0\r\n\r\n");
    }
    let length = field("content-length").and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

/// The code in the first line of an answer: `HTTP/1.1 204 No Content`.
fn status_of(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\n').next()?).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next().filter(|code| code.len() == 3)?.parse().ok()
}

/// Where a URL leads.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    authority: &'a str,
    name: &'a str,
    port: u16,
    path: String,
}

impl Place<'_> {
    /// Only plain HTTP; whatever could be taken for a line of its own makes it none.
    fn read(url: &str) -> Option<Place<'_>> {
        if url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
            return None;
        }
        let rest = url.strip_prefix("http://")?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let (name, port) = match authority.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((name, "")) => (name, 80),
            Some((name, port)) => (name, port.strip_prefix(':')?.parse().ok()?),
            None => match authority.rsplit_once(':') {
                Some((name, port)) => (name, port.parse().ok()?),
                None => (authority, 80),
            },
        };
        (!name.is_empty()).then_some(Place { authority, name, port, path })
    }
}

async fn succeeds(
    command: &Program,
    limit: Duration,
    subject: &Subject,
    asking: &Asking,
) -> Result<(), String> {
    let argv = command.argv();
    let environment = subject.watch.environment.iter().chain(command.values()).cloned();
    let TaskKey { task, incarnation } = subject.key;
    let environment = environment.chain([
        ("PLUSH_ADDRESS".to_owned(), subject.address.clone()),
        ("PLUSH_TASK".to_owned(), task.to_string()),
        ("PLUSH_INCARNATION".to_owned(), incarnation.to_string()),
    ]);
    let job =
        program::Job { argv, environment: environment.collect(), input: String::new(), limit };
    program::run(&job, &asking.surroundings).await.map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use plush_protocol::ProbeRule;

    fn place(url: &str) -> Option<(&str, u16, String)> {
        Place::read(url).map(|place| (place.name, place.port, place.path))
    }

    #[test]
    fn a_url_says_whom_to_ask_for_what() {
        assert_eq!(place("http://h1/"), Some(("h1", 80, "/".into())));
        assert_eq!(place("http://h1:8080/a?b#c"), Some(("h1", 8080, "/a?b".into())));
        assert_eq!(place("http://[::1]:81?x"), Some(("::1", 81, "/?x".into())));
        for bad in ["https://h1/", "http://", "http://h:x/", "http://h/\r\nHost: y", "h1"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_status_of_a_server_that_speaks_http_counts() {
        assert_eq!(status_of(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(status_of(b"HTTP/1.0 500\n"), Some(500));
        for bad in [&b"SSH-2.0-x 200\r\n"[..], b"HTTP/1.1\r\n", b"", b"\xff\xff"] {
            assert_eq!(status_of(bad), None);
        }
    }

    /// A port of this machine that accepts.
    async fn port() -> (tokio::net::TcpListener, u16) {
        let open = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = open.local_addr().unwrap().port();
        (open, port)
    }

    fn rule(check: ProbeCheck) -> ProbeRule {
        let (every_ms, time_limit_ms, delay_ms) = (20, 10_000, 0);
        ProbeRule { check, every_ms, time_limit_ms, delay_ms, failures: 2, successes: 1 }
    }

    fn begin(check: ProbeCheck) -> (watch::Sender<()>, mpsc::Receiver<Word>, JoinSet<()>) {
        let watch = Watch {
            probes: vec![rule(check)],
            name: "h1".into(),
            environment: vec![("PLUSH_RANK".into(), "3".into())],
        };
        let key = TaskKey { task: 0, incarnation: 1 };
        let subject = Subject { host: HostId(0), key, address: "127.0.0.1".into(), watch };
        let directory = std::env::temp_dir();
        let surroundings =
            Surroundings { directory: directory.clone(), run: "r".into(), run_dir: directory };
        let (heard, receiver) = watch::channel(());
        let (words, said) = mpsc::channel(8);
        let mut asked = JoinSet::new();
        asked.spawn(super::watch(subject, Arc::new(Asking::new(surroundings)), receiver, words));
        (heard, said, asked)
    }

    async fn next(said: &mut mpsc::Receiver<Word>) -> Health {
        match said.recv().await {
            Some(Word::Event(Event::Probed { health, .. })) => health,
            other => panic!("{other:?}"),
        }
    }

    /// The host is heard again and again until something is said.
    async fn next_while_heard(
        heard: &watch::Sender<()>,
        said: &mut mpsc::Receiver<Word>,
    ) -> Health {
        let mut often = tokio::time::interval(Duration::from_millis(10));
        loop {
            tokio::select! {
                health = next(said) => return health,
                _ = often.tick() => heard.send_modify(|()| {}),
            }
        }
    }

    #[tokio::test]
    async fn a_port_that_stops_answering_is_unhealthy_once_its_host_is_heard() {
        let (open, port) = port().await;
        let (heard, mut said, _asked) = begin(ProbeCheck::Tcp(port));
        assert_eq!(next(&mut said).await, Health::Healthy);
        drop(open);
        let silent = timeout(Duration::from_millis(500), said.recv()).await;
        assert!(silent.is_err(), "nobody is heard: {silent:?}");
        assert_eq!(next_while_heard(&heard, &mut said).await, Health::Unhealthy);
        let _open = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        assert_eq!(next(&mut said).await, Health::Healthy);
    }

    #[tokio::test]
    async fn a_url_that_names_the_host_is_asked_at_its_address() {
        let (open, port) = port().await;
        let (heard, mut said, _asked) = begin(ProbeCheck::Http(format!("http://h1:{port}/x")));
        for (answer, health) in [
            ("HTTP/1.1 204 No Content\r\n\r\n", Health::Healthy),
            ("HTTP/1.1 503 Busy\r\n\r\n", Health::Unhealthy),
        ] {
            let serve = async {
                loop {
                    let (mut stream, _) = open.accept().await.unwrap();
                    let mut request = [0; 256];
                    let count = stream.read(&mut request).await.unwrap();
                    let request = String::from_utf8_lossy(&request[..count]).into_owned();
                    assert!(request.starts_with("GET /x HTTP/1.1\r\nHost: h1:"), "{request}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            };
            tokio::select! {
                found = next_while_heard(&heard, &mut said) => assert_eq!(found, health),
                () = serve => unreachable!("it serves for ever"),
            }
        }
    }

    #[test]
    fn an_answer_is_whole_when_what_it_announces_is_here() {
        for whole in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ] {
            assert!(is_whole(whole.as_bytes()), "{whole}");
            for end in 0..whole.len() {
                assert!(!is_whole(&whole.as_bytes()[..end]), "{}", &whole[..end]);
            }
        }
        assert!(!is_whole(b"HTTP/1.0 200 OK\r\n\r\nuntil it closes"));
    }

    /// The server's view of the end of a connection on which it has sent `answer` and which it has
    /// not closed.
    async fn farewell(
        check: impl Fn(u16) -> ProbeCheck,
        answer: Vec<u8>,
    ) -> std::io::Result<usize> {
        let (open, port) = port().await;
        let (_heard, _said, _asked) = begin(check(port));
        let (mut stream, _) = open.accept().await.unwrap();
        let mut piece = [0; 4096];
        if !answer.is_empty() && answer.starts_with(b"HTTP") {
            let _request = stream.read(&mut piece).await.unwrap();
        }
        for part in answer.chunks(10_000) {
            stream.write_all(part).await?;
            tokio::task::yield_now().await;
        }
        stream.read(&mut piece).await
    }

    #[tokio::test]
    async fn no_connection_of_a_probe_is_reset() {
        let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".to_vec();
        answer.extend([b'x'; 100_000]);
        let url = |port| ProbeCheck::Http(format!("http://h1:{port}/"));
        assert_eq!(farewell(url, answer).await.unwrap(), 0);
        let banner = b"SSH-2.0-server that speaks first\r\n".to_vec();
        assert_eq!(farewell(ProbeCheck::Tcp, banner).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_program_finds_whom_it_is_asked_about_in_its_environment() {
        let words = ["sh", "-c", "test $PLUSH_RANK = 3 && test $PLUSH_ADDRESS = 127.0.0.1"];
        let command = Program::Argv(words.map(str::to_owned).into());
        let (_heard, mut said, _asked) = begin(ProbeCheck::Command(command));
        assert_eq!(next(&mut said).await, Health::Healthy);
    }
}
