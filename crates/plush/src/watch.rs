//! Watching a run through its handle until it is over or left: output, progress, Ctrl-C.
//! Not starting it, and not the summary at the end.

use crate::exit::ExitCode;
use crate::feed::{Beginning, Feed, Form};
use crate::handle::Handle;
use crate::interrupts::{Answer, Interrupts, Patience, Press, Role, SECOND_WITHIN_MS};
use crate::render::contact::Contacts;
use crate::render::live::Live;
use crate::render::openings::{Opening, Openings};
use crate::render::progress::{self, Plain};
use crate::render::{json, names, summary};
use crate::runs::Run;
use crate::screen::{Line, Say, Screen};
use plush_protocol::operator::{OperatorReply, OperatorRequest};
use plush_protocol::view::{HostState, Outcome, RunView};
use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

/// How a run is watched.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// What goes to standard output.
    pub show: Show,
    /// Whether progress is shown.
    pub progress: Progress,
    /// What the first Ctrl-C means.
    pub patience: Patience,
    /// The effect of SIGTERM.
    pub role: Role,
}

/// What goes to standard output.
#[derive(Clone, Copy, Debug)]
pub enum Show {
    /// Lines of output.
    Lines(Live),
    /// Events and lines of output as JSON.
    Events,
    /// Nothing while the run goes on.
    Nothing,
}

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// On standard error.
    Shown,
    /// Not at all.
    Hidden,
}

/// How watching ended.
#[derive(Debug)]
pub enum Ended {
    /// The run is over.
    Over {
        /// How.
        outcome: Outcome,
        /// At its end.
        view: Box<RunView>,
    },
    /// The operator left; the run goes on.
    Left,
    /// The controller has gone without a word.
    Lost {
        /// What the connection said, if anything.
        why: Option<String>,
    },
}

/// The status line changes ten times a second at most.
const REDRAW: Duration = Duration::from_millis(100);

/// Without a terminal, progress is considered so often.
const CONSIDER: Duration = Duration::from_secs(1);

/// Limit of text pending for a blocked screen; beyond it the controller is not read.
const SAYS_MAX: usize = 64;

/// A screen that stands still is waited for so long when the run is left.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// Watches until the end; shows output from `beginning` on.
pub async fn watch(
    mut presses: Presses,
    mut handle: Handle,
    manner: Manner,
    run: &Run,
    beginning: Beginning,
) -> io::Result<Ended> {
    let output = !matches!(manner.show, Show::Nothing);
    let events = matches!(manner.show, Show::Events);
    handle.ask(&OperatorRequest::Watch { output, events }).await?;
    let screen = Screen::open();
    let mut watcher = Watcher::new(manner, run, beginning);
    let mut tick = watcher.ticks();
    let mut over: Option<Ended> = None;
    let ended = loop {
        if !watcher.feed.has_more()
            && let Some(ended) = over.take()
        {
            break ended;
        }
        tokio::select! {
            press = presses.next() => match watcher.press(press, over.is_some()) {
                Answer::Stop => {
                    let why = "the operator asked".to_owned();
                    handle.ask(&OperatorRequest::Stop { why }).await?;
                }
                Answer::Leave => break Ended::Left,
                Answer::Show | Answer::Nothing => {}
            },
            room = screen.room(), if watcher.has_to_say(&screen) => if let Some(say) = watcher.next() {
                room.send(say);
            },
            reply = handle.next(), if over.is_none() && watcher.says.len() < SAYS_MAX => match reply {
                None => over = Some(watcher.lost(None)),
                Some(Err(error)) => over = Some(watcher.lost(Some(error.to_string()))),
                Some(Ok(reply)) => if let Some(outcome) = watcher.take(reply) {
                    over = Some(watcher.over(outcome));
                },
            },
            _ = told(&mut watcher.told), if watcher.told.is_some() => watcher.shown(),
            _ = tick.tick() => watcher.tick(&screen),
        }
    };
    watcher.part(&ended, screen, &mut presses).await;
    presses.leave_from_now_on()?;
    Ok(ended)
}

/// Waits until the line after a press is on the screen, or the screen has ended.
async fn told(mark: &mut Option<oneshot::Receiver<()>>) {
    if let Some(mark) = mark {
        let _written_or_ended = mark.await;
    }
}

struct Watcher<'a> {
    manner: Manner,
    run: &'a str,
    interrupts: Interrupts,
    began: Instant,
    view: Option<RunView>,
    viewed: Instant,
    plain: Plain,
    contacts: Contacts,
    openings: Openings,
    terminal: bool,
    feed: Feed,
    /// The time for which the terminal has accepted nothing.
    still: Option<Duration>,
    /// Text that is written last.
    last: Option<String>,
    says: VecDeque<Say>,
    /// Answered when the text after the last press is on the screen.
    told: Option<oneshot::Receiver<()>>,
}

impl<'a> Watcher<'a> {
    fn new(manner: Manner, run: &'a Run, beginning: Beginning) -> Watcher<'a> {
        let form = match manner.show {
            Show::Lines(live) => Form::Lines(live),
            Show::Events | Show::Nothing => Form::Objects,
        };
        let terminals = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Watcher {
            manner,
            run: &run.id,
            feed: Feed::new(&run.directory, form, terminals, beginning),
            still: None,
            last: None,
            interrupts: Interrupts::new(manner.patience, manner.role),
            began: Instant::now(),
            view: None,
            viewed: Instant::now(),
            plain: Plain::default(),
            contacts: Contacts::default(),
            openings: Openings::default(),
            terminal: io::stderr().is_terminal(),
            says: VecDeque::new(),
            told: None,
        }
    }

    fn ticks(&self) -> Interval {
        let mut ticks = interval(if self.terminal { REDRAW } else { CONSIDER });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks
    }

    /// Whether text can be written now; output for an unread terminal waits until it is dropped.
    fn has_to_say(&self, screen: &Screen) -> bool {
        let waits = || self.still.is_some() || screen.stands_still().is_some();
        !self.says.is_empty() || (self.feed.has_more() && !waits())
    }

    /// Writes the next text. Nothing is written between the pieces of one line.
    fn next(&mut self) -> Option<Say> {
        if !self.feed.is_in_line()
            && let Some(say) = self.says.pop_front()
        {
            return Some(say);
        }
        match self.feed.next() {
            Ok(block) => block.map(Say::Block),
            Err(error) => {
                self.note(&format!("plush: {error}"));
                None
            }
        }
    }

    /// A controller that disappears may have written more than it reported.
    fn lost(&mut self, why: Option<String>) -> Ended {
        self.feed.look_again();
        Ended::Lost { why }
    }

    fn over(&mut self, outcome: Outcome) -> Ended {
        self.feed.end();
        Ended::Over { outcome, view: Box::new(self.view.take().unwrap_or_default()) }
    }

    /// Lines that an unread terminal does not get are counted, and reported when it accepts output
    /// again.
    fn look_after_terminal(&mut self, screen: &Screen) {
        match screen.stands_still() {
            Some(still) => {
                self.still = Some(still);
                self.feed.leave_out();
            }
            None => self.say_left_out(),
        }
    }

    fn say_left_out(&mut self) {
        let still = self.still.take().unwrap_or_default();
        if self.feed.has_left_out() {
            let block = self.feed.say_left_out(still, self.run);
            self.says.push_back(Say::Block(block));
        }
    }

    fn press(&mut self, press: Press, is_over: bool) -> Answer {
        if is_over {
            // Output is still unread, so this command has not done its work.
            self.note(&format!(
                "plush: the run is over; `plush logs {}` has the output that was not shown",
                self.run
            ));
            return Answer::Leave;
        }
        let answer = self.interrupts.press(press, self.now_ms());
        match answer {
            Answer::Show => {
                let page = self.view.as_ref().map(summary::still_going).unwrap_or_default();
                self.note(&format!(
                    "{page}plush: press Ctrl-C again within {} s to stop the run",
                    SECOND_WITHIN_MS / 1_000
                ));
                let (mark, told) = oneshot::channel();
                self.says.push_back(Say::Mark(mark));
                self.told = Some(told);
            }
            Answer::Stop => self.note(
                "plush: stopping in order; press Ctrl-C once more to leave the run to itself",
            ),
            Answer::Leave => self.note(&leaving(self.view.as_ref(), self.run)),
            Answer::Nothing => {}
        }
        answer
    }

    /// Records that the text after the last press is on the screen.
    fn shown(&mut self) {
        self.told = None;
        self.interrupts.shown(self.now_ms());
    }

    /// Milliseconds since watching began.
    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Takes a reply; the outcome once the run is over.
    fn take(&mut self, reply: OperatorReply) -> Option<Outcome> {
        let is_said = matches!(self.manner.show, Show::Events)
            && matches!(reply, OperatorReply::Event { .. } | OperatorReply::Over { .. });
        let line = is_said.then(|| json::line(&reply));
        match reply {
            OperatorReply::View(view) => {
                let news = self.contacts.news(&view);
                let openings = self.openings.news(&view);
                if self.manner.progress == Progress::Shown {
                    let worth = openings.iter().filter(|o| o.is_worth_a_line());
                    let lines: Vec<String> =
                        news.into_iter().chain(worth.map(Opening::line)).collect();
                    lines.iter().for_each(|line| self.note(line));
                }
                if matches!(self.manner.show, Show::Events) {
                    openings.iter().for_each(|opening| self.result(Some(json::line(opening))));
                }
                self.view = Some(*view);
                self.viewed = Instant::now();
                self.progress_in_lines();
            }
            OperatorReply::Written { files } => match self.manner.show {
                Show::Lines(_) | Show::Events => {
                    files.into_iter().for_each(|written| self.feed.take(written));
                }
                Show::Nothing => {}
            },
            OperatorReply::Event { .. } => self.result(line),
            OperatorReply::Taken => {}
            OperatorReply::Refused { why } => {
                self.note(&format!("plush: the controller refused: {why}"))
            }
            OperatorReply::Over { outcome } => {
                self.last = line;
                return Some(outcome);
            }
        }
        None
    }

    fn tick(&mut self, screen: &Screen) {
        self.look_after_terminal(screen);
        if !self.terminal {
            return self.progress_in_lines();
        }
        let (Some(view), Progress::Shown) = (&self.view, self.manner.progress) else { return };
        let width =
            usize::from(rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col));
        let width = if width == 0 { 80 } else { width };
        screen.try_say(Say::Status(progress::line(view, self.since_ms(), width - 1)));
    }

    fn progress_in_lines(&mut self) {
        let (Some(view), Progress::Shown, false) =
            (&self.view, self.manner.progress, self.terminal)
        else {
            return;
        };
        let now_ms = self.now_ms();
        if let Some(line) = self.plain.say(view, self.viewed.elapsed().as_millis() as u64, now_ms) {
            self.note(&line);
        }
    }

    fn since_ms(&self) -> u64 {
        self.viewed.elapsed().as_millis() as u64
    }

    fn note(&mut self, page: &str) {
        self.says
            .push_back(Say::Lines(page.lines().map(|line| Line::Err(line.to_owned())).collect()));
    }

    fn result(&mut self, line: Option<String>) {
        self.says.extend(line.map(|line| Say::Lines(vec![Line::Out(line)])));
    }

    /// Writes what is left, however slow the terminal is, until it is done or the operator loses patience.
    async fn part(mut self, ended: &Ended, screen: Screen, presses: &mut Presses) {
        self.say_left_out();
        let last = self.last.take();
        self.result(last);
        let rest = std::mem::take(&mut self.says);
        let written = async move {
            for say in rest {
                screen.room().await.send(say);
            }
            screen.finish().await;
        };
        match ended {
            // A terminal that stands still is not waited for by somebody who leaves.
            Ended::Left => drop(timeout(LEAVE_MAX, written).await),
            Ended::Over { .. } | Ended::Lost { .. } => tokio::select! {
                () = written => {}
                _ = presses.next() => {}
            },
        }
    }
}

/// What the third Ctrl-C says.
fn leaving(view: Option<&RunView>, run: &str) -> String {
    let busy =
        |state: HostState| !matches!(state, HostState::Done | HostState::Failed | HostState::Spare);
    let hosts: Vec<&str> = view
        .map(|view| {
            view.hosts
                .iter()
                .filter(|host| busy(host.state))
                .map(|host| host.name.as_str())
                .collect()
        })
        .unwrap_or_default();
    let who = match hosts.len() {
        0 => "the run goes on".to_owned(),
        count => format!("{count} hosts may still be at work: {}", names::fold_within(&hosts, 400)),
    };
    format!(
        "plush: left; {who}\n  plush attach {run}   watches it again\n  plush stop {run}     stops it in order"
    )
}

/// The signals that an operator sends. After `listen`, none of them ends the process by itself.
pub struct Presses {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Presses {
    /// Starts to listen; early signals are kept.
    pub fn listen() -> io::Result<Presses> {
        Ok(Presses {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Press {
        tokio::select! {
            _ = self.interrupt.recv() => Press::Interrupt,
            _ = self.terminate.recv() => Press::Terminate,
            _ = self.hang_up.recv() => Press::HangUp,
        }
    }

    /// Ends watching: from now on each signal ends the command.
    fn leave_from_now_on(self) -> io::Result<()> {
        leave_at(&[SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()])
    }
}

/// SIGTERM ends this watching command, with the exit code of a watcher that has left.
pub fn leave_when_terminated() -> io::Result<()> {
    leave_at(&[SignalKind::terminate()])
}

/// On a separate thread: the command may be blocked in a write.
fn leave_at(kinds: &[SignalKind]) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _inside = runtime.enter();
        kinds.iter().map(|kind| signal(*kind)).collect::<io::Result<Vec<Signal>>>()?
    };
    std::thread::spawn(move || {
        runtime.block_on(first_of(signals));
        std::process::exit(i32::from(ExitCode::Stopped.number()));
    });
    Ok(())
}

async fn first_of(mut signals: Vec<Signal>) {
    std::future::poll_fn(|context| {
        let came = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if came { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
