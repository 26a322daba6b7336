//! The operator socket: front ends ask, watch and stop a run through it, one JSON object per line.
//! Not a decision: what they ask becomes an event.

use crate::error::ControllerError;
use crate::growth::{Follower, Growth};
use crate::journal::{Reader, Record};
use crate::order::Word;
use crate::run_dir::{RunDir, create_private};
use plush_core::run::Event;
use plush_protocol::{OperatorReply, OperatorRequest, RunView};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

/// Records that a watcher of events may be behind before it is told to read the journal itself.
pub const RECORDS: usize = 4096;
/// Minimum interval between notifications of output to a front end; a notification also precedes
/// each view.
const GROWTH_EVERY: Duration = Duration::from_millis(20);
/// A driver that does not answer within this time waits for its disk.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// The longest request.
const REQUEST_BYTES: u64 = 64 << 10;

/// What every front end is served from.
#[derive(Clone)]
pub struct Office {
    pub run_dir: RunDir,
    pub views: watch::Receiver<Arc<RunView>>,
    pub growth: Growth,
    pub records: broadcast::Sender<Arc<Record>>,
    pub words: mpsc::Sender<Word>,
    /// Told when a first front end watches.
    pub watched: watch::Sender<bool>,
}

/// Opens the socket and serves front ends until the returned task is ended.
pub fn open(office: Office) -> Result<tokio::task::JoinHandle<()>, ControllerError> {
    let path = office.run_dir.operator_socket();
    let failed = |e| ControllerError::io("open the operator socket", &path, e);
    if let Some(above) = path.parent() {
        create_private(above).map_err(failed)?;
    }
    // The lock on the run's directory says that whoever bound it before is gone.
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    Ok(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if is_ours(&stream) {
                let office = office.clone();
                tokio::spawn(async move { office.serve(stream).await });
            }
        }
    }))
}

/// Only the same user is served.
fn is_ours(stream: &UnixStream) -> bool {
    let uid = rustix::process::getuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == uid || peer.uid() == 0)
}

impl Office {
    async fn serve(self, stream: UnixStream) {
        let (reader, mut writer) = stream.into_split();
        let mut requests = BufReader::new(reader);
        while let Some(line) = next_line(&mut requests).await {
            let reply = match serde_json::from_str::<OperatorRequest>(&line) {
                Err(error) => OperatorReply::Refused { why: error.to_string() },
                Ok(OperatorRequest::Status) => self.look().await,
                Ok(OperatorRequest::Stop { why }) => self.ask(Event::StopAsked { why }).await,
                Ok(OperatorRequest::Signal { signal }) => {
                    self.ask(Event::SignalAsked { signal }).await
                }
                Ok(OperatorRequest::Park) => self.park().await,
                Ok(OperatorRequest::Watch { output, events }) => {
                    // A watcher that goes away is no error.
                    let _ = self.watch(requests, writer, output, events).await;
                    return;
                }
            };
            if say(&mut writer, &reply).await.is_err() {
                return;
            }
        }
    }

    /// The run as it is now, or, when its driver does not get to it or is gone, as it was shown last.
    async fn look(&self) -> OperatorReply {
        let (look, seen) = oneshot::channel();
        let asking = async {
            self.words.send(Word::Look(look)).await.ok()?;
            seen.await.ok()
        };
        let view = tokio::time::timeout(LOOK_LIMIT, asking).await.ok().flatten();
        let published = || Box::new(RunView::clone(&self.views.borrow()));
        OperatorReply::View(view.unwrap_or_else(published))
    }

    async fn ask(&self, event: Event) -> OperatorReply {
        match self.words.send(Word::Event(event)).await {
            Ok(()) => OperatorReply::Taken,
            Err(_) => OperatorReply::Refused { why: "the run is over".into() },
        }
    }

    async fn park(&self) -> OperatorReply {
        let (park, parked) = oneshot::channel();
        let asked = self.words.send(Word::Park(park)).await;
        match (asked, parked.await) {
            (Ok(()), Ok(())) => OperatorReply::Taken,
            (Err(_), _) | (_, Err(_)) => {
                OperatorReply::Refused { why: "the state could not be written".into() }
            }
        }
    }

    async fn watch(
        mut self,
        requests: BufReader<OwnedReadHalf>,
        mut writer: OwnedWriteHalf,
        output: bool,
        events: bool,
    ) -> std::io::Result<()> {
        let output = output.then(|| self.growth.follow());
        let mut records = events.then(|| self.records.subscribe());
        // A watcher counts from here on: what happens now is not missed.
        self.watched.send_replace(true);
        let mut last = 0;
        if events {
            last = self.say_past(&mut writer, last).await?;
        }
        let words = self.words.clone();
        let listening = tokio::spawn(take_requests(requests, words));
        let result = self.stream(&mut writer, output.as_ref(), &mut records, last).await;
        listening.abort();
        result
    }

    async fn stream(
        &mut self,
        writer: &mut OwnedWriteHalf,
        output: Option<&Follower>,
        records: &mut Option<broadcast::Receiver<Arc<Record>>>,
        mut last: u64,
    ) -> std::io::Result<()> {
        if self.say_view(writer, output).await? {
            return Ok(());
        }
        let mut grows_again = Instant::now();
        loop {
            tokio::select! {
                () = grown(output, grows_again) => {
                    say_written(writer, output).await?;
                    grows_again = Instant::now() + GROWTH_EVERY;
                }
                record = next_of(records) => match record {
                    Ok(record) if record.number > last => {
                        last = record.number;
                        say_record(writer, &record).await?;
                    }
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        last = self.say_past(writer, last).await?;
                    }
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                changed = self.views.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    if self.say_view(writer, output).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Sends the newest view; returns true after the last one. Pending output is announced before
    /// the view that reports its task as over.
    async fn say_view(
        &mut self,
        writer: &mut OwnedWriteHalf,
        output: Option<&Follower>,
    ) -> std::io::Result<bool> {
        let view = RunView::clone(&self.views.borrow_and_update());
        say_written(writer, output).await?;
        let outcome = view.outcome.clone();
        say(writer, &OperatorReply::View(Box::new(view))).await?;
        let Some(outcome) = outcome else { return Ok(false) };
        say(writer, &OperatorReply::Over { outcome }).await?;
        Ok(true)
    }

    /// Says the records after that one which are in the journal; the number of the last.
    async fn say_past(&self, writer: &mut OwnedWriteHalf, seen: u64) -> std::io::Result<u64> {
        let (path, mut last) = (self.run_dir.journal(), seen);
        // One page at a time: who is slow does not fill our memory with what it has not taken.
        let (pages, mut next) = mpsc::channel(1);
        let reading = tokio::task::spawn_blocking(move || read_pages(&path, &pages));
        while let Some(page) = next.recv().await {
            for record in page.iter().filter(|r: &&Record| r.number > seen) {
                say_record(writer, record).await?;
                last = record.number;
            }
        }
        if let Err(error) = reading.await.expect("reading the journal does not panic") {
            tracing::warn!("cannot show the past events of the run: {error}");
        }
        Ok(last)
    }
}

fn read_pages(path: &Path, pages: &mpsc::Sender<Vec<Record>>) -> Result<(), ControllerError> {
    let mut reader = Reader::open(path)?;
    loop {
        let records = reader.read()?.records;
        // Who asked may be gone.
        if records.is_empty() || pages.blocking_send(records).is_err() {
            return Ok(());
        }
    }
}

/// The next of what a watcher asked for; never, if it did not ask.
async fn next_of<T: Clone>(
    of: &mut Option<broadcast::Receiver<T>>,
) -> Result<T, broadcast::error::RecvError> {
    match of {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

/// Waits until files have grown, at least until that instant.
async fn grown(output: Option<&Follower>, not_before: Instant) {
    match output {
        Some(follower) => {
            tokio::time::sleep_until(not_before).await;
            follower.has_news().await;
        }
        None => std::future::pending().await,
    }
}

async fn say_written(
    writer: &mut OwnedWriteHalf,
    output: Option<&Follower>,
) -> std::io::Result<()> {
    let files = output.map(Follower::take).unwrap_or_default();
    if files.is_empty() {
        return Ok(());
    }
    say(writer, &OperatorReply::Written { files }).await
}

/// A watcher may still stop and signal.
async fn take_requests(mut requests: BufReader<OwnedReadHalf>, words: mpsc::Sender<Word>) {
    while let Some(line) = next_line(&mut requests).await {
        let event = match serde_json::from_str::<OperatorRequest>(&line) {
            Ok(OperatorRequest::Stop { why }) => Event::StopAsked { why },
            Ok(OperatorRequest::Signal { signal }) => Event::SignalAsked { signal },
            Ok(OperatorRequest::Status | OperatorRequest::Watch { .. } | OperatorRequest::Park)
            | Err(_) => continue,
        };
        if words.send(Word::Event(event)).await.is_err() {
            return;
        }
    }
}

async fn next_line(requests: &mut BufReader<OwnedReadHalf>) -> Option<String> {
    let mut line = String::new();
    let read = requests.take(REQUEST_BYTES).read_line(&mut line).await;
    (read.is_ok_and(|count| count > 0) && line.ends_with('\n')).then_some(line)
}

async fn say_record(writer: &mut OwnedWriteHalf, record: &Record) -> std::io::Result<()> {
    let Some(event) = &record.event else { return Ok(()) };
    let event = serde_json::to_value(event).expect("events are plain data");
    say(writer, &OperatorReply::Event { index: record.number, at_ms: record.at_ms, event }).await
}

async fn say(writer: &mut OwnedWriteHalf, reply: &OperatorReply) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(reply).expect("replies are plain data");
    line.push(b'\n');
    writer.write_all(&line).await
}
