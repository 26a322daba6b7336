//! Software: what is brought to a host and how it is installed there.
//! It is not a process: installing starts nothing but installers.

use crate::model::{Foreign, Name, Place, Signal};
use serde::{Deserialize, Serialize};

/// Something to install.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Software {
    /// Its name.
    pub name: Name,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
    /// How packages become files in place.
    pub installer: Installer,
    /// What is fetched, in this order.
    pub packages: Vec<Package>,
    /// Where it is installed, below the run's directory on the host; `None` is that directory itself.
    pub dest_path: Option<String>,
    /// Leading path components to drop when unpacking.
    pub strip: u32,
    /// Files rendered per host.
    pub templates: Vec<Template>,
    /// What belongs to others and is carried along.
    pub foreign: Vec<Foreign>,
}

/// How a package becomes files in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Installer {
    /// Nothing is done after the fetch.
    None,
    /// A tar archive, plain or compressed with gzip, xz or zstd.
    Tar,
    /// A zip archive.
    Zip,
    /// The package is a program that installs; it is run once.
    Script,
    /// The host's own package manager; package paths are names of packages.
    System,
}

/// Something to fetch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// Its name: the file name of what is fetched where the text names none.
    pub name: String,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
    /// How it is fetched.
    pub kind: PackageKind,
    /// From where: a URL, a local path, `host:path`, a repository.
    pub path: String,
    /// Where it is put, below the software's destination.
    pub dest_path: Option<String>,
    /// The SHA-256 it must have: 64 lower-case hexadecimal digits.
    pub sha256: Option<String>,
    /// Leading path components to drop when unpacking; `None` means as the software says.
    pub strip: Option<u32>,
    /// The commit, branch or tag of a repository.
    pub revision: Option<String>,
    /// More bytes than these are refused.
    pub size_limit_bytes: Option<u64>,
    /// A fetch that takes longer has failed, in milliseconds.
    pub time_limit_ms: Option<u64>,
}

/// How a package is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PackageKind {
    /// The host fetches a URL.
    Web,
    /// The controller sends a file or a directory.
    Push,
    /// The host runs `rsync`.
    Rsync,
    /// The host runs `scp`.
    Scp,
    /// The host runs `git`.
    Git,
}

/// A file rendered per host from a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// The template, a file beside the description.
    pub path: String,
    /// The file on the host.
    pub dest_path: String,
    /// Its permissions, such as 0o644.
    pub mode: u32,
    /// What follows when its text would be another.
    pub on_change: OnChange,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// What follows when what a file was rendered from changes: another host serves in a place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnChange {
    /// The file stays as it was made.
    #[default]
    Nothing,
    /// It is replaced.
    Replace,
    /// It is replaced, and the processes of the cluster on that host get this signal.
    Signal(Signal),
}
