//! Output files shown as one, in the order in which their bytes arrived at the controller.
//! Not which files: the command chooses them.

use crate::colour::Paint;
use crate::exit::ExitCode;
use crate::invocation::print;
use crate::output_files::OutputFile;
use crate::render::live::Voice;
use crate::render::{text, words};
use crate::tail::{PIECE_BYTES, Tail};
use crate::trouble::Trouble;
use plush_controller::arrivals::Arrivals;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::path::PathBuf;

/// Above this number of files, each is closed after each piece.
const OPEN_MAX: usize = 256;

/// The selected files, and the position of each.
pub struct Merge {
    paint: Paint,
    /// Prefix each line with its time of arrival.
    with_time: bool,
    sources: Vec<Source>,
    by_path: BTreeMap<PathBuf, usize>,
    page: String,
    buffer: Vec<u8>,
}

struct Source {
    host: String,
    tail: Tail,
    arrivals: Arrivals,
    voice: Voice,
    /// Time of arrival of the next byte, in microseconds since 1970; 0 where unknown.
    at_us: u64,
    /// The tail may be read up to this byte; the length of the file.
    fed: u64,
    bytes: u64,
}

impl Merge {
    /// Starts before the first byte of each file.
    pub fn new(paint: Paint, with_time: bool) -> Merge {
        Merge {
            paint,
            with_time,
            sources: Vec::new(),
            by_path: BTreeMap::new(),
            page: String::new(),
            buffer: Vec::new(),
        }
    }

    /// Shows new output of these files; `whole` when no file will grow any more.
    pub fn read(&mut self, files: &[OutputFile], whole: bool) -> Result<(), Trouble> {
        let mut due = BinaryHeap::new();
        for file in files {
            let place = self.place_of(file);
            let source = &mut self.sources[place];
            let length = file.path.metadata().map_err(|error| unreadable(&file.path, &error))?;
            source.bytes = length.len();
            source.tail.learn_gaps();
            if source.fed < source.bytes || whole {
                due.push(Reverse((source.next_us(), place)));
            }
        }
        while let Some(Reverse((_, place))) = due.pop() {
            self.show(place, whole)?;
            let source = &mut self.sources[place];
            if source.fed < source.bytes {
                due.push(Reverse((source.next_us(), place)));
            }
        }
        self.flush()
    }

    fn place_of(&mut self, file: &OutputFile) -> usize {
        if let Some(place) = self.by_path.get(&file.path) {
            return *place;
        }
        let place = self.sources.len();
        self.by_path.insert(file.path.clone(), place);
        self.sources.push(Source {
            host: file.host.clone(),
            tail: Tail::from(file.path.clone(), 0),
            arrivals: Arrivals::of(&file.path),
            voice: Voice::text(String::new(), None),
            at_us: 0,
            fed: 0,
            bytes: 0,
        });
        let before = self.before(place);
        self.sources[place].voice.begin_with(before);
        place
    }

    fn before(&self, place: usize) -> String {
        let source = &self.sources[place];
        let host = self.paint.host(text::shown(&source.host), &source.host);
        match (self.with_time, source.at_us) {
            (false, _) => format!("{host}: "),
            (true, 0) => format!("{:23} {host}: ", "?"),
            (true, at_us) => format!("{} {host}: ", words::to_the_millisecond(at_us)),
        }
    }

    /// Shows the complete lines of the bytes that arrived at one time.
    fn show(&mut self, place: usize, whole: bool) -> Result<(), Trouble> {
        let source = &mut self.sources[place];
        let upto = source.feed();
        source.tail.extend(upto, whole && upto == source.bytes);
        if self.with_time {
            let before = self.before(place);
            self.sources[place].voice.begin_with(before);
        }
        let keeps_open = self.sources.len() <= OPEN_MAX;
        let source = &mut self.sources[place];
        let path = source.tail.path().to_owned();
        loop {
            let piece = source.tail.next(&mut self.buffer);
            let Some(piece) = piece.map_err(|error| unreadable(&path, &error))? else { break };
            source.voice.say(&piece, &mut self.page);
            if self.page.len() >= PIECE_BYTES {
                print(&self.page)?;
                self.page.clear();
            }
        }
        if !keeps_open {
            source.tail.close();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        let written = print(&self.page);
        self.page.clear();
        written
    }
}

impl Source {
    /// Time of arrival of the next byte.
    fn next_us(&mut self) -> u64 {
        while let Some(arrival) = self.arrivals.peek().filter(|next| next.from <= self.fed) {
            self.at_us = arrival.at_us;
            self.arrivals.take();
        }
        self.at_us
    }

    /// Advances to the end of the bytes that arrived with the next byte.
    fn feed(&mut self) -> u64 {
        let _known = self.next_us();
        let end = self.arrivals.peek().map_or(self.bytes, |next| next.from.min(self.bytes));
        self.fed = end.max(self.fed);
        self.fed
    }
}

fn unreadable(path: &std::path::Path, error: &io::Error) -> Trouble {
    let what = format!("cannot read {}", text::shown(&path.display().to_string()));
    Trouble::new(ExitCode::Internal, what).caused_by(error)
}
