//! The agent's command line. Not its work: each subcommand is a module of the library.

#![deny(unsafe_code)]

use lexopt::prelude::*;
use plush_agent::base::Base;
use plush_agent::cleanup::{self, Shared};
use plush_agent::logins::Came;
use plush_agent::{barrier_command, bridge, driver, facts, keeper, placing, sys};
use plush_protocol::PROTOCOL_VERSION;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: plush-agent bridge  --run ID --host NAME --base DIR [--directory NAME] [--umask MODE]
                                                             join stdin and stdout to the agent of a member of a run
       plush-agent install --digest HEX --to PATH            put this program in place
       plush-agent facts   [--base DIR] --json               facts of this host
       plush-agent barrier --help                            barriers, for the programs of a run
       plush-agent --version
";

/// Exit code for a command line that is wrong.
const USAGE_ERROR: u8 = 64;

fn main() -> ExitCode {
    sys::close_inherited_descriptors();
    let _known_from_here_on = sys::program();
    match run() {
        Ok(code) => code,
        Err(Failure::Usage(e)) => {
            eprintln!("plush-agent: {e}\n{USAGE}");
            ExitCode::from(USAGE_ERROR)
        }
        Err(Failure::Work(e)) => {
            let mut text = e.to_string();
            let mut cause = e.source();
            while let Some(e) = cause {
                text = format!("{text}: {e}");
                cause = e.source();
            }
            eprintln!("plush-agent: {text}");
            ExitCode::FAILURE
        }
    }
}

enum Failure {
    Usage(lexopt::Error),
    Work(Box<dyn Error>),
}

#[derive(Default)]
struct Options {
    run: Option<String>,
    /// The name of the member's directory; the run's id where none is given.
    directory: Option<String>,
    /// The account's, for its tasks.
    umask: Option<Mode>,
    host: Option<String>,
    base: Option<PathBuf>,
    digest: Option<String>,
    to: Option<PathBuf>,
    scoped: bool,
    /// Limit of open files for the agent and its tasks, where the process that starts it may open
    /// more.
    open_files: Option<u64>,
    shared_goes: bool,
}

fn run() -> Result<ExitCode, Failure> {
    let mut arguments = lexopt::Parser::from_env();
    if arguments.try_raw_args().and_then(|mut raw| raw.next_if(|word| word == "barrier")).is_some()
    {
        return Ok(ExitCode::from(barrier_command::run(arguments)));
    }
    let (command, options) = parse(arguments).map_err(Failure::Usage)?;
    let inherited = rustix::process::umask(Mode::from_raw_mode(0o077));
    let umask = options.umask.unwrap_or(inherited);
    match command.as_str() {
        "bridge" => {
            options.limit_open_files();
            bridge::run(&options.base()?, &options.host()?, umask).map_err(work)?;
        }
        "serve" => {
            let came = if options.scoped { Came::OutOfLogin } else { Came::ByItself };
            driver::serve(options.base()?, &options.host()?, came, umask).map_err(work)?;
        }
        "sweep" => {
            let shared = if options.shared_goes { Shared::Goes } else { Shared::Stays };
            cleanup::sweep(&options.base()?, shared);
        }
        "keep" => keeper::run().map_err(work)?,
        "gate" => return Ok(ExitCode::from(keeper::gate::run().to_le_bytes()[0])),
        "install" => {
            let digest = required(options.digest, "--digest")?;
            placing::place(&digest, &required(options.to, "--to")?).map_err(work)?;
        }
        "facts" => {
            let base = options.base.unwrap_or_else(|| PathBuf::from("."));
            println!("{}", facts::json(&base));
        }
        "version" => {
            println!("plush-agent {} protocol {PROTOCOL_VERSION}", env!("CARGO_PKG_VERSION"));
        }
        "help" => print!("{USAGE}"),
        other => return Err(Failure::Usage(format!("unknown command {other}").into())),
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(mut arguments: lexopt::Parser) -> Result<(String, Options), lexopt::Error> {
    let (mut command, mut options) = (None, Options::default());
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("run") => options.run = Some(arguments.value()?.string()?),
            Long("directory") => options.directory = Some(arguments.value()?.string()?),
            Long("umask") => options.umask = Some(mode(&arguments.value()?.string()?)?),
            Long("host") => options.host = Some(arguments.value()?.string()?),
            Long("base") => options.base = Some(arguments.value()?.into()),
            Long("digest") => options.digest = Some(arguments.value()?.string()?),
            Long("to") => options.to = Some(arguments.value()?.into()),
            Long("open-files") => options.open_files = Some(arguments.value()?.parse()?),
            Long("json") => {}
            Long("scoped") => options.scoped = true,
            Long("shared-goes") => options.shared_goes = true,
            Long("version") | Short('V') => command = Some("version".into()),
            Long("help") | Short('h') => command = Some("help".into()),
            Value(value) if command.is_none() => command = Some(value.string()?),
            // Names the task in a list of processes; nothing is read from it.
            Value(_) if command.as_deref() == Some("keep") => {}
            other => return Err(other.unexpected()),
        }
    }
    Ok((command.ok_or("no command was given")?, options))
}

impl Options {
    /// A limit that cannot be set is not an error.
    fn limit_open_files(&self) {
        if let Some(current) = self.open_files {
            let limit = Rlimit { current: Some(current), ..getrlimit(Resource::Nofile) };
            let _as_it_was = setrlimit(Resource::Nofile, limit);
        }
    }

    fn base(&self) -> Result<Base, Failure> {
        let base = required(self.base.clone(), "--base")?;
        let run = required(self.run.clone(), "--run")?;
        Base::new(&base, &run, self.directory.as_ref().unwrap_or(&run)).map_err(work)
    }

    fn host(&self) -> Result<String, Failure> {
        required(self.host.clone(), "--host")
    }
}

/// Permission bits, as `umask` prints them.
fn mode(octal: &str) -> Result<Mode, lexopt::Error> {
    let bits = u32::from_str_radix(octal, 8).ok().filter(|bits| *bits <= 0o777);
    bits.map(Mode::from_raw_mode).ok_or_else(|| format!("--umask {octal} is no umask").into())
}

fn required<T>(value: Option<T>, option: &str) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::Usage(format!("{option} is missing").into()))
}

fn work(error: impl Error + 'static) -> Failure {
    Failure::Work(Box::new(error))
}
