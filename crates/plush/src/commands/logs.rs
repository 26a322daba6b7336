//! `plush logs`: the output of a run's tasks, from the files in the run directory.
//! Not from the controller: with `-f` it only signals when to read the files again.

use super::attach::cannot_watch;
use super::run_candidates;
use crate::ending;
use crate::exit::ExitCode;
use crate::handle::Handle;
use crate::host_arguments;
use crate::invocation::{Invocation, print, print_bytes};
use crate::merge::Merge;
use crate::output_files::{self, OutputFile};
use crate::render::fold;
use crate::runs::{self, Run};
use crate::trouble::Trouble;
use crate::watch;
use clap::Args;
use clap_complete::ArgValueCandidates;
use plush_protocol::operator::{OperatorReply, OperatorRequest, Written};
use plush_protocol::task::StreamName;
use plush_spec::hostset::HostSet;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

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
    /// Show when each line arrived here
    #[arg(long, conflicts_with_all = ["raw", "fold"])]
    time: bool,
    /// Go on as output comes, until the run is over
    #[arg(short, long)]
    follow: bool,
}

const EXAMPLES: &str = "\
Examples:
  plush logs last --fold                    equal output of many hosts once
  plush logs gossip -w 'node[1-5]' --err
  plush logs gossip -w node3 --process demo --out --raw > exact.bin
  plush logs last --time                    when each line arrived here
  plush logs last -f

Lines are in the order in which they arrived here.";

/// Bytes read from a file at once.
const PIECE: usize = 64 << 10;

/// Output of more bytes than this in all is not folded: it is held in memory for that.
const FOLD_MAX: u64 = 1 << 30;

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
        let mut merge = merge(&arguments, invocation);
        merge.read(&files, true)?;
    }
    Ok(ExitCode::Done)
}

/// The files of the hosts, process and stream that are meant. A host that is not of the run is an error.
fn chosen(run: &Run, arguments: &Arguments) -> Result<Vec<OutputFile>, Trouble> {
    let set = hosts(arguments)?;
    let files = output_files::list(&run.directory)?;
    if let Some(set) = &set {
        let known = run
            .last_view()
            .map(|view| view.hosts.into_iter().map(|host| host.name).collect::<Vec<_>>())
            .unwrap_or_default();
        output_files::refuse_unknown(set, &files, &known)?;
    }
    Ok(files.into_iter().filter(|file| is_meant(file, set.as_ref(), arguments)).collect())
}

fn hosts(arguments: &Arguments) -> Result<Option<HostSet>, Trouble> {
    arguments.hosts.as_deref().map(host_arguments::set).transpose()
}

fn is_meant(file: &OutputFile, hosts: Option<&HostSet>, arguments: &Arguments) -> bool {
    let stream = match (arguments.out, arguments.err) {
        (true, _) => Some(StreamName::Out),
        (false, true) => Some(StreamName::Err),
        (false, false) => None,
    };
    hosts.is_none_or(|hosts| output_files::is_in(&file.host, hosts))
        && arguments.process.as_ref().is_none_or(|process| *process == file.process)
        && stream.is_none_or(|stream| stream == file.stream)
}

/// The selected files among those that have grown.
fn grown(
    run: &Run,
    written: &[Written],
    arguments: &Arguments,
) -> Result<Vec<OutputFile>, Trouble> {
    let hosts = hosts(arguments)?;
    let files = written.iter().filter_map(|w| output_files::read_name(run.directory.join(&w.file)));
    Ok(files.filter(|file| is_meant(file, hosts.as_ref(), arguments)).collect())
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

/// Continues reading at each event of the controller. Lines come from the files, so none is lost or
/// repeated. Prints a notice when a run continues without a controller.
async fn follow(
    run: &Run,
    arguments: &Arguments,
    invocation: &Invocation,
) -> Result<ExitCode, Trouble> {
    watch::leave_when_terminated().map_err(|error| cannot_watch(run, &error))?;
    let handle = watched(run).await;
    let mut merge = merge(arguments, invocation);
    merge.read(&chosen(run, arguments)?, false)?;
    let mut handle = match handle {
        Ok(handle) => handle,
        Err(error) => {
            merge.read(&chosen(run, arguments)?, true)?;
            return ending::gone(Some(error.to_string()), run);
        }
    };
    let end = loop {
        match handle.next().await {
            Some(Ok(OperatorReply::Over { .. })) => break Ok(ExitCode::Done),
            Some(Ok(OperatorReply::Written { files })) => {
                merge.read(&grown(run, &files, arguments)?, false)?;
            }
            Some(Ok(
                OperatorReply::View(_)
                | OperatorReply::Event { .. }
                | OperatorReply::Taken
                | OperatorReply::Refused { .. },
            )) => {}
            Some(Err(error)) => break ending::gone(Some(error.to_string()), run),
            None => break ending::gone(None, run),
        }
    };
    merge.read(&chosen(run, arguments)?, true)?;
    end
}

async fn watched(run: &Run) -> io::Result<Handle> {
    let mut handle = Handle::connect(&run.directory).await?;
    handle.ask(&OperatorRequest::Watch { output: true, events: false }).await?;
    Ok(handle)
}

fn merge(arguments: &Arguments, invocation: &Invocation) -> Merge {
    Merge::new(invocation.paint_out(), arguments.time)
}

fn unreadable(file: &OutputFile, error: &io::Error) -> Trouble {
    Trouble::new(ExitCode::Internal, format!("cannot read {}", file.path.display()))
        .caused_by(error)
}
