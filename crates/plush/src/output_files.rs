//! The output files of a run: `output/HOST/PROCESS.INCARNATION.out` and `.err`.
//! Not their contents.

use crate::exit::ExitCode;
use crate::render::names;
use crate::trouble::Trouble;
use plush_protocol::task::StreamName;
use plush_spec::hostset::HostSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// One stream of one start of one task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutputFile {
    /// The host's name in the plan.
    pub host: String,
    /// The process of the description.
    pub process: String,
    /// Which start of the task.
    pub incarnation: u32,
    /// Which stream.
    pub stream: StreamName,
    /// The file.
    pub path: PathBuf,
}

/// All of them, by host, process, start and stream.
pub fn list(run_dir: &Path) -> Result<Vec<OutputFile>, Trouble> {
    let output = run_dir.join("output");
    let mut files = Vec::new();
    for host in folders(&output).map_err(|error| unlistable(&output, &error))? {
        let entries = fs::read_dir(&host).map_err(|error| unlistable(&host, &error))?;
        files.extend(entries.filter_map(Result::ok).filter_map(|entry| read_name(entry.path())));
    }
    files.sort();
    Ok(files)
}

/// Whether a host is meant by a set, be it by its whole name or without user and port.
pub fn is_in(host: &str, set: &HostSet) -> bool {
    set.contains(host) || set.contains(bare(host))
}

/// An error that names the hosts of the set that are neither of the run nor have any output.
pub fn refuse_unknown(
    set: &HostSet,
    files: &[OutputFile],
    known: &[String],
) -> Result<(), Trouble> {
    let names =
        || files.iter().map(|file| file.host.as_str()).chain(known.iter().map(String::as_str));
    let of_the_run: HostSet = names().chain(names().map(bare)).collect();
    let unknown = set.difference(&of_the_run);
    if unknown.is_empty() {
        return Ok(());
    }
    let unknown: Vec<String> = unknown.iter().collect();
    let unknown: Vec<&str> = unknown.iter().map(String::as_str).collect();
    Err(Trouble::usage(format!("{} is not of this run", names::fold_within(&unknown, 200)))
        .next("`plush status RUN -v` lists its hosts"))
}

fn bare(host: &str) -> &str {
    let without_user = host.split_once('@').map_or(host, |(_, name)| name);
    match without_user.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        _ => without_user,
    }
}

/// A run that has no output yet has no folder for it.
fn folders(output: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(output) {
        Ok(entries) => Ok(entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// `PROCESS.INCARNATION.STREAM`, with `~TASK` after the process where a host has several of one name; other files are not ours.
pub fn read_name(path: PathBuf) -> Option<OutputFile> {
    let host = path.parent()?;
    let name = path.file_name()?.to_str()?;
    let (rest, stream) = name.rsplit_once('.')?;
    let (process, incarnation) = rest.rsplit_once('.')?;
    let stream = match stream {
        "out" => StreamName::Out,
        "err" => StreamName::Err,
        _ => return None,
    };
    let process = original(process.split('~').next().unwrap_or(process));
    let host = original(&host.file_name()?.to_string_lossy());
    Some(OutputFile { host, process, incarnation: incarnation.parse().ok()?, stream, path })
}

/// The name that became this file's name: `%XX` is a byte of it.
fn original(file_name: &str) -> String {
    let mut bytes = Vec::with_capacity(file_name.len());
    let mut rest = file_name.as_bytes();
    while let Some((&first, more)) = rest.split_first() {
        let written = (first == b'%').then(|| more.get(..2)).flatten();
        let byte = written
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unlistable(folder: &Path, error: &io::Error) -> Trouble {
    Trouble::new(ExitCode::Internal, format!("cannot list {}", folder.display())).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_end() {
        let file = read_name("/o/n1/a.b.2.err".into()).expect("one of ours");
        assert_eq!(
            (file.host.as_str(), file.process.as_str(), file.incarnation, file.stream),
            ("n1", "a.b", 2, StreamName::Err)
        );
        assert_eq!(read_name("/o/n1/core".into()), None);
        assert_eq!(read_name("/o/n1/a.x.out".into()), None);
    }

    #[test]
    fn a_name_comes_back_from_its_file_name() {
        for name in ["u@n1.org:22", "../x", "a b/%41", ".hidden", "ünode"] {
            assert_eq!(original(&plush_controller::file_name(name)), name);
        }
    }

    #[test]
    fn a_second_task_of_one_process_has_its_number() {
        let file = read_name("/o/%2Ehost/demo~7.1.out".into()).expect("one of ours");
        assert_eq!((file.host.as_str(), file.process.as_str()), (".host", "demo"));
    }

    #[test]
    fn a_host_is_known_by_its_bare_name_too() {
        assert_eq!(bare("me@node3:2222"), "node3");
        assert_eq!(bare("node3"), "node3");
        assert_eq!(bare("node:x"), "node:x");
    }
}
