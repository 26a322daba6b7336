//! Results on their way home: which files match, and their bytes, piece by piece as they are asked for.
//! Not the walking of directories: see [`crate::files::pack`].

use super::happened::Happened;
use crate::base::Base;
use crate::files::glob::Pattern;
use crate::files::pack::{self, Limits, Listing, Reader, Why};
use crate::files::root::Root;
use plush_core::agent::LinkId;
use plush_protocol::bulk::PART_BYTES;
use plush_protocol::{
    FilePart, FileWant, ListPart, ListWant, ListedFile, SkippedFile, Tainted, ToController,
};
use std::ops::ControlFlow;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc as std_mpsc;
use tokio::sync::mpsc;

/// Answers that are made and not yet written to the connection.
const ANSWERS: usize = 8;
/// Questions that wait; a controller that asks more at once is hung up on.
const QUESTIONS: usize = 512;
/// Files told in one message.
const FILES_PER_PART: usize = 500;

/// A question of a controller.
pub enum Question {
    /// Which files match?
    List(ListWant),
    /// What is in this file?
    File(FileWant),
}

/// Permission to have one more answer in memory; comes back when it is dropped.
pub struct Permit(std_mpsc::Sender<()>);

impl Drop for Permit {
    fn drop(&mut self) {
        // Without a collector nobody needs it.
        let _ended = self.0.send(());
    }
}

/// The driver's end of the thread that answers.
pub struct Collector {
    questions: std_mpsc::SyncSender<(LinkId, Question)>,
}

impl Collector {
    /// Starts the thread.
    pub fn start(base: Base, happened: mpsc::Sender<Happened>) -> std::io::Result<Collector> {
        let (questions, asked) = std_mpsc::sync_channel(QUESTIONS);
        let (permit, permits) = std_mpsc::channel();
        (0..ANSWERS).for_each(|_| drop(Permit(permit.clone())));
        let desk = Desk { base, happened, permit, permits, open: None };
        std::thread::Builder::new().name("collect".into()).spawn(move || desk.answer(&asked))?;
        Ok(Collector { questions })
    }

    /// Asks; whether there was room for the question.
    #[must_use]
    pub fn ask(&self, link: LinkId, question: Question) -> bool {
        self.questions.try_send((link, question)).is_ok()
    }
}

struct Desk {
    base: Base,
    happened: mpsc::Sender<Happened>,
    permit: std_mpsc::Sender<()>,
    permits: std_mpsc::Receiver<()>,
    /// The file that was read last: the next question is mostly about it.
    open: Option<((String, Vec<u8>), Reader)>,
}

impl Desk {
    fn answer(mut self, asked: &std_mpsc::Receiver<(LinkId, Question)>) {
        while let Ok((link, question)) = asked.recv() {
            match question {
                Question::List(want) => self.list(link, &want),
                Question::File(want) => {
                    let part = self.read(want);
                    self.say(link, ToController::FilePart(part));
                }
            }
        }
    }

    fn say(&self, link: LinkId, message: ToController) {
        if self.permits.recv().is_ok() {
            let permit = Permit(self.permit.clone());
            let _ended = self.happened.blocking_send(Happened::Answer { link, message, permit });
        }
    }

    fn list(&self, link: LinkId, want: &ListWant) {
        let (files, skipped, mut unmatched) = match self.look(want) {
            Ok(found) => found,
            Err(why) => {
                let path = want.cluster.clone().into_bytes();
                (Vec::new(), vec![SkippedFile { path, why: Tainted::new(why) }], Vec::new())
            }
        };
        let mut files = files.into_iter().peekable();
        let mut skipped = skipped.into_iter().peekable();
        loop {
            let part = ListPart {
                id: want.id,
                files: files.by_ref().take(FILES_PER_PART).collect(),
                skipped: skipped.by_ref().take(FILES_PER_PART).collect(),
                last: files.peek().is_none() && skipped.peek().is_none(),
                unmatched: std::mem::take(&mut unmatched),
            };
            let last = part.last;
            self.say(link, ToController::ListPart(part));
            if last {
                return;
            }
        }
    }

    /// The files that match the globs. An invalid glob is reported like a file that cannot be
    /// collected.
    fn look(&self, want: &ListWant) -> Result<Found, String> {
        let (mut patterns, mut numbers, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for (number, glob) in (0..).zip(&want.globs) {
            match Pattern::parse(glob) {
                Ok(pattern) => {
                    patterns.push(pattern);
                    numbers.push(number);
                }
                Err(why) => wrong.push(SkippedFile {
                    path: glob.clone().into_bytes(),
                    why: Tainted::new(why.to_string()),
                }),
            }
        }
        let root = self.cluster(&want.cluster)?;
        let limits = Limits::default();
        let listing = pack::list(&root, &patterns, &limits, &mut |_, _| ControlFlow::Continue(()))
            .map_err(|e| format!("{e}: {}", e.source))?;
        let unmatched = listing.unmatched.iter().map(|index| numbers[*index]).collect();
        let (files, skipped) = listed(listing, &limits);
        wrong.extend(skipped);
        Ok((files, wrong, unmatched))
    }

    fn read(&mut self, want: FileWant) -> FilePart {
        let (path, offset) = (want.path.clone(), want.offset);
        match self.piece(want) {
            Ok(bytes) => FilePart { path, offset, bytes, failed: None },
            Err(why) => {
                FilePart { path, offset, bytes: Vec::new(), failed: Some(Tainted::new(why)) }
            }
        }
    }

    fn piece(&mut self, want: FileWant) -> Result<Vec<u8>, String> {
        let key = (want.cluster, want.path);
        if self.open.as_ref().is_none_or(|(open, _)| *open != key) {
            self.open = None;
            let path = PathBuf::from(std::ffi::OsString::from_vec(key.1.clone()));
            let reader = pack::open(&self.cluster(&key.0)?, &path)
                .map_err(|e| format!("{e}: {}", e.source))?;
            self.open = Some((key, reader));
        }
        let (_, reader) = self.open.as_ref().expect("it was just opened");
        let mut bytes = vec![0; (want.length as usize).min(PART_BYTES)];
        let mut done = 0;
        while done < bytes.len() {
            match reader.read_at(want.offset + done as u64, &mut bytes[done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(e) => return Err(format!("{e}: {}", e.source)),
            }
        }
        if want.offset + done as u64 >= reader.size {
            // An open file would keep its directory from being removed on NFS.
            self.open = None;
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    fn cluster(&self, cluster: &str) -> Result<Root, String> {
        if !crate::base::is_component(cluster) {
            return Err(format!("{cluster:?} is no cluster"));
        }
        let clusters =
            Root::open(&self.base.clusters()).map_err(|e| format!("{e}: {}", e.source))?;
        clusters.subroot(Path::new(cluster)).map_err(|e| format!("{e}: {}", e.source))
    }
}

/// Files, omitted files, and the globs without a match, by their index in the request.
type Found = (Vec<ListedFile>, Vec<SkippedFile>, Vec<u32>);

fn listed(listing: Listing, limits: &Limits) -> (Vec<ListedFile>, Vec<SkippedFile>) {
    let bytes = |path: PathBuf| path.as_os_str().as_bytes().to_vec();
    let files = listing.files.into_iter().map(|found| ListedFile {
        path: bytes(found.path),
        bytes: found.size,
        mode: found.mode,
        modified_s: found.mtime,
    });
    let untold = listing.skipped_total.saturating_sub(listing.skipped.len() as u64);
    let skipped = listing.skipped.into_iter().map(|skipped| SkippedFile {
        path: bytes(skipped.path),
        why: Tainted::new(in_words(skipped.why, limits)),
    });
    let more = (untold > 0).then(|| SkippedFile {
        path: Vec::new(),
        why: Tainted::new(format!("{untold} more are not named")),
    });
    (files.collect(), skipped.chain(more).collect())
}

/// Why a file is not collected, with the limit that it exceeds.
fn in_words(why: Why, limits: &Limits) -> String {
    let most = match why {
        Why::Limit("bytes") => {
            format!("the results of a host have at most {} GiB", limits.bytes >> 30)
        }
        Why::Limit("files") => format!("at most {} files of a host are taken", limits.files),
        Why::Limit("names") => format!("at most {} names of a host are looked at", limits.names),
        Why::Limit("depth") => format!("at most {} directories below each other", limits.depth),
        Why::Limit(_) | Why::Link | Why::Special | Why::System(_) => return why.to_string(),
    };
    format!("beyond a limit: {most}")
}
