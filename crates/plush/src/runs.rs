//! The runs of a directory, and which of them is meant: an id, the beginning of one, `last`, or a path.
//! Not what is in a run.

use crate::exit::ExitCode;
use crate::front;
use crate::trouble::Trouble;
use plush_controller::RunDir;
use plush_protocol::view::RunView;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// One run on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Its directory.
    pub directory: PathBuf,
}

impl Run {
    /// The run in that directory, which need not be whole.
    pub fn at(directory: &Path) -> Run {
        let id = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Run { id, directory: directory.to_owned() }
    }

    /// The view that the controller wrote last.
    pub fn last_view(&self) -> Result<RunView, Trouble> {
        front::last_view(self)
    }

    /// What the controller says about itself.
    pub fn log(&self) -> PathBuf {
        RunDir::at(&self.directory).log()
    }
}

/// The run that somebody means.
pub fn find(reference: &str, runs_dir: &Path) -> Result<Run, Trouble> {
    if reference.contains('/') {
        return at_path(Path::new(reference));
    }
    if reference == "last" {
        return last(runs_dir);
    }
    let ids = ids(runs_dir)?;
    match meant(reference, &ids) {
        Meant::One(id) => Ok(Run { id: id.clone(), directory: runs_dir.join(id) }),
        Meant::None => Err(unknown(reference, runs_dir)),
        Meant::Several(ids) => {
            Err(Trouble::usage(format!("`{reference}` is the beginning of several runs"))
                .because(ids.join(", "))
                .next("write more of the id"))
        }
    }
}

/// The ids of all runs, sorted.
pub fn ids(runs_dir: &Path) -> Result<Vec<String>, Trouble> {
    let entries = match fs::read_dir(runs_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let what = format!("cannot list the runs in {}", runs_dir.display());
            return Err(Trouble::new(ExitCode::Internal, what).caused_by(&error));
        }
    };
    let directories = entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir());
    let mut ids: Vec<String> =
        directories.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    ids.sort();
    Ok(ids)
}

fn at_path(directory: &Path) -> Result<Run, Trouble> {
    let none = || Trouble::usage(format!("there is no run directory {}", directory.display()));
    let absolute = directory.canonicalize().map_err(|error| none().caused_by(&error))?;
    let here = RunDir::at(&absolute);
    let files = [here.plan(), here.journal(), here.view(), here.log(), here.operator_socket()];
    match files.iter().any(|file| file.exists()) {
        true => Ok(Run::at(&absolute)),
        false => Err(none()
            .because("nothing there is a run's: no plan, no journal, no log")
            .next("`plush runs` lists runs; a path names the directory of one")),
    }
}

fn last(runs_dir: &Path) -> Result<Run, Trouble> {
    let last = front::runs(runs_dir)
        .into_iter()
        .max_by_key(|run| run.started_unix_ms)
        .ok_or_else(|| unknown("last", runs_dir))?;
    Ok(Run { directory: runs_dir.join(&last.id), id: last.id })
}

#[derive(Debug, PartialEq, Eq)]
enum Meant<'a> {
    One(&'a String),
    Several(Vec<String>),
    None,
}

/// A whole id always means itself.
fn meant<'a>(reference: &str, ids: &'a [String]) -> Meant<'a> {
    if let Some(id) = ids.iter().find(|id| *id == reference) {
        return Meant::One(id);
    }
    let candidates: Vec<&String> =
        ids.iter().filter(|id| !reference.is_empty() && id.starts_with(reference)).collect();
    match candidates.as_slice() {
        [] => Meant::None,
        [one] => Meant::One(one),
        several => Meant::Several(several.iter().map(|id| (*id).clone()).collect()),
    }
}

fn unknown(reference: &str, runs_dir: &Path) -> Trouble {
    Trouble::usage(format!("there is no run `{reference}`"))
        .because(format!("{} holds no such run", runs_dir.display()))
        .next("`plush runs` lists them; --runs-dir names another place")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_to_no_run_is_said_to_do_so() {
        let home = tempfile::tempdir().expect("a test has a directory");
        let path = home.path().to_str().expect("its name is plain");
        assert!(find(path, home.path()).is_err());
        std::fs::write(home.path().join("plan.json"), "{").expect("it can be written to");
        assert!(find(path, home.path()).is_ok(), "it need not be whole");
    }

    #[test]
    fn a_beginning_that_only_one_run_has_is_enough() {
        let ids = ["alpha-1".to_owned(), "alpha-12".to_owned(), "beta".to_owned()];
        assert_eq!(meant("b", &ids), Meant::One(&ids[2]));
        assert_eq!(meant("alpha-1", &ids), Meant::One(&ids[0]));
        assert_eq!(meant("alpha", &ids), Meant::Several(ids[..2].to_vec()));
        assert_eq!(meant("gamma", &ids), Meant::None);
        assert_eq!(meant("", &ids), Meant::None);
    }
}
