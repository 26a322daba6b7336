//! `plush logs`: the output of a run's tasks, from the files in the run directory.
//! Not the live lines: with `-f` those only say when to look at the files again.

use super::attach::cannot_watch;
use super::run_candidates;
use crate::exit::ExitCode;
use crate::handle::Handle;
use crate::host_arguments;
use crate::invocation::{Invocation, print, print_bytes};
use crate::output_files::{self, OutputFile};
use crate::render::{fold, text};
use crate::runs::{self, Run};
use crate::trouble::Trouble;
use crate::watch;
use clap::Args;
use clap_complete::ArgValueCandidates;
use plush_protocol::operator::{OperatorReply, OperatorRequest};
use plush_protocol::task::StreamName;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// The arguments of `plush logs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The run: an id, the beginning of one, `last`, or a run directory
    #[arg(value_name = "RUN", default_value = "last", add = ArgValueCandidates::new(run_candidates))]
    run: String,
    /// Only these hosts
    #[arg(short = 'w', long = "hosts", value_name = "SET")]
    hosts: Option<String>,
    /// Only this process
    #[arg(long, value_name = "NAME")]
    process: Option<String>,
    /// Only standard output
    #[arg(long, conflicts_with = "err")]
    out: bool,
    /// Only standard error
    #[arg(long)]
    err: bool,
    /// Show equal output of many hosts once
    #[arg(long, conflicts_with_all = ["raw", "follow"])]
    fold: bool,
    /// The bytes as they came, without host names; not for terminals
    #[arg(long, conflicts_with = "follow")]
    raw: bool,
    /// Go on as output comes, until the run is over
    #[arg(short, long)]
    follow: bool,
}

const EXAMPLES: &str = "\
Examples:
  plush logs last --fold                    equal output of many hosts once
  plush logs gossip -w 'node[1-5]' --err
  plush logs gossip -w node3 --process demo --out --raw > exact.bin
  plush logs last -f";

/// Bytes read from a file at once.
const PIECE: usize = 64 << 10;

/// Output of more bytes than this in all is not folded: it is held in memory for that.
const FOLD_MAX: u64 = 1 << 30;

/// A line longer than this is shown in pieces.
const LINE_MAX: usize = 1 << 20;

/// Shows it.
pub async fn logs(arguments: Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let run = runs::find(&arguments.run, &invocation.settings.runs_dir)?;
    if arguments.follow {
        return follow(&run, &arguments, invocation).await;
    }
    let files = chosen(&run, &arguments)?;
    if arguments.fold {
        print(&folded(&files, invocation)?)?;
    } else if arguments.raw {
        files.iter().try_for_each(raw)?;
    } else {
        let mut tails = Tails::default();
        tails.read(&files, invocation)?;
        tails.end(invocation)?;
    }
    Ok(ExitCode::Done)
}

/// The files of the hosts, process and stream that are meant. A host that is not of the run is an error.
fn chosen(run: &Run, arguments: &Arguments) -> Result<Vec<OutputFile>, Trouble> {
    let set = arguments.hosts.as_deref().map(host_arguments::set).transpose()?;
    let files = output_files::list(&run.directory)?;
    if let Some(set) = &set {
        let known = run
            .last_view()
            .map(|view| view.hosts.into_iter().map(|host| host.name).collect::<Vec<_>>())
            .unwrap_or_default();
        output_files::refuse_unknown(set, &files, &known)?;
    }
    let stream = match (arguments.out, arguments.err) {
        (true, _) => Some(StreamName::Out),
        (false, true) => Some(StreamName::Err),
        (false, false) => None,
    };
    let is_meant = |file: &OutputFile| {
        set.as_ref().is_none_or(|set| output_files::is_in(&file.host, set))
            && arguments.process.as_ref().is_none_or(|process| *process == file.process)
            && stream.is_none_or(|stream| stream == file.stream)
    };
    Ok(files.into_iter().filter(is_meant).collect())
}

fn folded(files: &[OutputFile], invocation: &Invocation) -> Result<String, Trouble> {
    let bytes: u64 =
        files.iter().filter_map(|file| file.path.metadata().ok()).map(|status| status.len()).sum();
    if bytes > FOLD_MAX {
        return Err(Trouble::usage(format!("{bytes} bytes of output are too many to fold"))
            .next("choose with -w, --process, --out or --err"));
    }
    let mut outputs: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for file in files {
        let read = std::fs::read(&file.path).map_err(|error| unreadable(file, &error))?;
        outputs.entry(&file.host).or_default().extend(read);
    }
    let outputs: Vec<(String, Vec<u8>)> =
        outputs.into_iter().map(|(host, output)| (host.to_owned(), output)).collect();
    Ok(fold::fold(&outputs, invocation.paint_out()))
}

fn raw(file: &OutputFile) -> Result<(), Trouble> {
    let mut open = File::open(&file.path).map_err(|error| unreadable(file, &error))?;
    let mut piece = vec![0; PIECE];
    loop {
        match open.read(&mut piece).map_err(|error| unreadable(file, &error))? {
            0 => return Ok(()),
            read => print_bytes(&piece[..read])?,
        }
    }
}

/// Reads on whenever the controller says that something has happened: the files are the truth, so no line is lost or doubled.
async fn follow(
    run: &Run,
    arguments: &Arguments,
    invocation: &Invocation,
) -> Result<ExitCode, Trouble> {
    watch::leave_when_terminated().map_err(|error| cannot_watch(run, &error))?;
    let handle = watched(run).await;
    let mut tails = Tails::default();
    tails.read(&chosen(run, arguments)?, invocation)?;
    if let Some(mut handle) = handle {
        while let Some(Ok(reply)) = handle.next().await {
            tails.read(&chosen(run, arguments)?, invocation)?;
            if matches!(reply, OperatorReply::Over { .. }) {
                break;
            }
        }
        tails.read(&chosen(run, arguments)?, invocation)?;
    }
    tails.end(invocation)?;
    Ok(ExitCode::Done)
}

/// A run without a controller says nothing more.
async fn watched(run: &Run) -> Option<Handle> {
    let mut handle = Handle::connect(&run.directory).await.ok()?;
    handle.ask(&OperatorRequest::Watch { output: true, events: false }).await.ok()?;
    Some(handle)
}

/// How far each file is shown, and the beginning of its next line.
#[derive(Default)]
struct Tails {
    tails: BTreeMap<PathBuf, Tail>,
}

struct Tail {
    file: OutputFile,
    offset: u64,
    partial: Vec<u8>,
}

impl Tails {
    fn read(&mut self, files: &[OutputFile], invocation: &Invocation) -> Result<(), Trouble> {
        for file in files {
            let tail = self.tails.entry(file.path.clone()).or_insert_with(|| Tail {
                file: file.clone(),
                offset: 0,
                partial: Vec::new(),
            });
            tail.read_on(invocation)?;
        }
        Ok(())
    }

    /// Shows last lines without a newline.
    fn end(&mut self, invocation: &Invocation) -> Result<(), Trouble> {
        for tail in self.tails.values_mut().filter(|tail| !tail.partial.is_empty()) {
            let line = std::mem::take(&mut tail.partial);
            print(&tail.shown(&line, invocation))?;
        }
        Ok(())
    }
}

impl Tail {
    fn read_on(&mut self, invocation: &Invocation) -> Result<(), Trouble> {
        let mut open = self.open().map_err(|error| unreadable(&self.file, &error))?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = open.read(&mut piece).map_err(|error| unreadable(&self.file, &error))?;
            if read == 0 {
                return Ok(());
            }
            self.offset += read as u64;
            self.partial.extend_from_slice(&piece[..read]);
            self.show_lines(invocation)?;
        }
    }

    fn open(&self) -> io::Result<File> {
        let mut open = File::open(&self.file.path)?;
        open.seek(SeekFrom::Start(self.offset))?;
        Ok(open)
    }

    fn show_lines(&mut self, invocation: &Invocation) -> Result<(), Trouble> {
        let whole = match self.partial.iter().rposition(|&byte| byte == b'\n') {
            Some(last) => last + 1,
            None if self.partial.len() > LINE_MAX => self.partial.len(),
            None => return Ok(()),
        };
        let rest = self.partial.split_off(whole);
        let lines = std::mem::replace(&mut self.partial, rest);
        let lines = lines.strip_suffix(b"\n").unwrap_or(&lines);
        let page: String =
            lines.split(|&byte| byte == b'\n').map(|line| self.shown(line, invocation)).collect();
        print(&page)
    }

    fn shown(&self, line: &[u8], invocation: &Invocation) -> String {
        let host = invocation.paint_out().host(text::shown(&self.file.host), &self.file.host);
        format!("{host}: {}\n", text::guarded_line(&plush_protocol::tainted::escape(line)))
    }
}

fn unreadable(file: &OutputFile, error: &io::Error) -> Trouble {
    Trouble::new(ExitCode::Internal, format!("cannot read {}", file.path.display()))
        .caused_by(error)
}
