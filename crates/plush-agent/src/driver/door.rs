//! The tasks' socket: programs of this run ask something of barriers, a line each, and get a line back.
//! Not what becomes of it: that is passed on to the core.

use super::happened::Happened;
use crate::barrier_words::{MAX_LINE_BYTES, Reply, Request};
use crate::base::Base;
use crate::doorway::Doorway;
use crate::{chance, clock};
use plush_core::agent::{AskerId, Event};
use plush_protocol::{BarrierAsk, BarrierEntrant, BarrierOutcome, BarrierVerb, Tainted, TaskKey};
use std::io::{self, Read};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixListener;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Programs that may be connected at the same time.
const MAX_PROGRAMS: usize = 64;
/// As much of a process's environment is looked at.
const MAX_ENVIRONMENT_BYTES: u64 = 4 << 20;

/// The socket, and what is needed to serve those who come.
pub struct Door {
    listener: UnixListener,
    run_dir: String,
    /// Keeps the socket's directory.
    _doorway: Doorway,
    places: Arc<Semaphore>,
    next: AskerId,
    tell: mpsc::Sender<Happened>,
}

/// One connected program.
struct Program {
    entrant: Option<TaskKey>,
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
    /// Numbers that no other program has.
    asker: AskerId,
    tell: mpsc::Sender<Happened>,
}

/// How many requests one connection may number.
const REQUESTS: AskerId = 1 << 32;

impl Door {
    /// Opens the socket in a directory that only this user can enter, and replaces one of an
    /// earlier agent.
    pub fn open(base: &Base, doorway: Doorway, tell: mpsc::Sender<Happened>) -> io::Result<Door> {
        match std::fs::remove_file(&doorway.socket) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        Ok(Door {
            listener: UnixListener::bind(&doorway.socket)?,
            _doorway: doorway,
            run_dir: base.run.to_string_lossy().into_owned(),
            places: Arc::new(Semaphore::new(MAX_PROGRAMS)),
            next: 0,
            tell,
        })
    }

    /// Waits for the next program; serves it in a task of its own.
    pub async fn accept(&mut self) -> io::Result<()> {
        let (socket, _) = self.listener.accept().await?;
        let peer = socket.peer_cred()?;
        let mine = rustix::process::geteuid().as_raw();
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            crate::log!("too many programs at the tasks' socket: one was turned away");
            return Ok(());
        };
        if peer.uid() != mine && peer.uid() != 0 {
            crate::log!("user {} was turned away from the tasks' socket", peer.uid());
            return Ok(());
        }
        self.next += REQUESTS;
        let (from, to) = socket.into_split();
        let entrant = peer.pid().and_then(|pid| task_of(pid, &self.run_dir));
        let (asker, tell) = (self.next, self.tell.clone());
        let program = Program { entrant, from: BufReader::new(from), to, asker, tell };
        tokio::spawn(async move {
            program.serve().await;
            drop(place);
        });
        Ok(())
    }

    /// The listener, for whom no descriptor is left to accept with.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Program {
    /// One request after the other, until it goes or says what is no line.
    async fn serve(mut self) {
        while let Some(line) = self.line().await {
            let goes_on = match line.map(|line| Request::read(line.trim())) {
                Err(why) => {
                    self.say(&Reply::Nonsense(why)).await;
                    false
                }
                Ok(Err(why)) => self.say(&Reply::Nonsense(why)).await,
                Ok(Ok(request)) => self.serve_one(&request).await,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Asks, and passes the answer on; whether there may be more to do.
    async fn serve_one(&mut self, request: &Request) -> bool {
        let ask = self.ask_of(request);
        let number = ask.request;
        let Some(reply) = self.answer(request, ask).await else { return false };
        let is_told = self.say(&reply).await;
        if let Reply::Answer(BarrierOutcome::LetGo { at_us: Some(_), .. }) = reply
            && is_told
        {
            let went_on = Event::WentOn { request: number, at_us: clock::now_us() };
            let _agent_ends = self.tell.send(Happened::Core(went_on)).await;
        }
        is_told
    }

    /// Whether it could be written.
    async fn say(&mut self, reply: &Reply) -> bool {
        self.to.write_all(reply.line().as_bytes()).await.is_ok()
    }

    /// The next line; `None` at the end.
    async fn line(&mut self) -> Option<Result<String, String>> {
        let mut bytes = Vec::new();
        let mut bounded = (&mut self.from).take(MAX_LINE_BYTES as u64);
        match bounded.read_until(b'\n', &mut bytes).await {
            Err(_) | Ok(0) => None,
            Ok(_) if bytes.last() != Some(&b'\n') && bytes.len() >= MAX_LINE_BYTES => {
                Some(Err(format!("a request has at most {MAX_LINE_BYTES} bytes")))
            }
            Ok(_) => Some(String::from_utf8(bytes).map_err(|_| "a request is UTF-8".into())),
        }
    }

    /// Asks and waits; `None` if nobody is there to be told.
    async fn answer(&mut self, request: &Request, ask: BarrierAsk) -> Option<Reply> {
        let limit = request.limit;
        let answer = self.ask(ask).await?;
        let asker = self.asker;
        let waited = async {
            match limit {
                Some(limit) => tokio::time::timeout(limit, answer).await.ok(),
                None => Some(answer.await),
            }
        };
        let come = tokio::select! {
            come = waited => come,
            () = gone(&mut self.from, &self.to) => {
                let _agent_ends = self.tell.send(Happened::AskerGone { asker }).await;
                return None;
            }
        };
        match come {
            Some(Ok(outcome)) => Some(Reply::Answer(outcome)),
            Some(Err(_)) => None,
            None => {
                let _agent_ends = self.tell.send(Happened::AskerGone { asker }).await;
                if request.verb == BarrierVerb::Enter {
                    let leave =
                        Request { verb: BarrierVerb::Leave, request: None, ..request.clone() };
                    let _nobody_waits_for_it = self.ask(self.ask_of(&leave)).await;
                }
                Some(Reply::TimedOut)
            }
        }
    }

    fn ask_of(&self, request: &Request) -> BarrierAsk {
        BarrierAsk {
            request: request.request.unwrap_or_else(chance::number),
            barrier: Tainted::new(request.barrier.clone()),
            who: BarrierEntrant { task: self.entrant, alias: Tainted::new(request.alias.clone()) },
            verb: request.verb,
            generation: request.generation,
        }
    }

    async fn ask(&mut self, ask: BarrierAsk) -> Option<oneshot::Receiver<BarrierOutcome>> {
        self.asker += 1;
        let (answer, outcome) = oneshot::channel();
        let asked = Happened::Asked { asker: self.asker, ask, answer };
        self.tell.send(asked).await.ok().map(|()| outcome)
    }
}

/// Waits until the program has closed both ways. One that only says no more still listens; whether one that has more to
/// say is still there is seen when it is answered.
async fn gone(from: &mut BufReader<OwnedReadHalf>, to: &OwnedWriteHalf) {
    let is_silent = from.fill_buf().await.map_or(true, <[u8]>::is_empty);
    let closed = match is_silent {
        true => to.ready(Interest::WRITABLE).await.map_or(true, |ready| ready.is_write_closed()),
        false => false,
    };
    if !closed {
        std::future::pending::<()>().await;
    }
}

/// The task that a process belongs to, by the variables that all of a task's processes inherit.
fn task_of(pid: i32, run_dir: &str) -> Option<TaskKey> {
    let mut environment = Vec::new();
    let file = std::fs::File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(MAX_ENVIRONMENT_BYTES).read_to_end(&mut environment).ok()?;
    let value = |name: &str| {
        let mut variables = environment.split(|byte| *byte == 0);
        let found = variables.find_map(|v| v.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        found.and_then(|value| std::str::from_utf8(value).ok())
    };
    (value("PLUSH_RUN_DIR")? == run_dir).then_some(())?;
    Some(TaskKey {
        task: value("PLUSH_TASK")?.parse().ok()?,
        incarnation: value("PLUSH_INCARNATION")?.parse().ok()?,
    })
}
