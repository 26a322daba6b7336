//! Packages: what the description names becomes what agents are told, and what is pushed is served by digest.
//! Not the fetching on the hosts: agents do that.

use crate::error::ControllerError;
use crate::run_dir::{RunDir, create_private};
use plush_core::plan::PlanProblem;
use plush_protocol::bulk::PART_BYTES;
use plush_protocol::{BlobPart, BlobWant, Fetch, Installer, PackageSpec, SoftwareSpec};
use plush_spec::model::{self, Cluster, Package, PackageKind, Project, Software};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A download larger than this is refused unless the description says otherwise.
const SIZE_LIMIT_BYTES: u64 = 16 << 30;
/// What one software may take on a host unless the description says otherwise.
const TIME_LIMIT_MS: u64 = 3_600_000;

/// A file or directory that agents fetch from the controller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pushed {
    /// BLAKE3 of the bytes that are sent.
    pub blake3: String,
    /// Where they come from.
    pub path: PathBuf,
    /// They are a tar of this directory.
    pub directory: bool,
}

/// The software of a cluster as agents are told, and what has to be served for it.
pub fn resolve(
    project: &Project,
    cluster: &Cluster,
    base: &Path,
) -> Result<(Vec<SoftwareSpec>, Vec<Pushed>), Vec<PlanProblem>> {
    let (mut specs, mut pushed, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for reference in &cluster.software {
        let software =
            project.software(&reference.name).expect("the parser has checked that it exists");
        let mut packages = Vec::new();
        for package in &software.packages {
            match package_spec(software, package, base, &mut pushed) {
                Ok(spec) => packages.push(spec),
                Err(problem) => problems.push(*problem),
            }
        }
        specs.push(SoftwareSpec {
            name: software.name.to_string(),
            installer: installer(software.installer),
            packages,
            time_limit_ms: software
                .packages
                .iter()
                .filter_map(|p| p.time_limit_ms)
                .max()
                .unwrap_or(TIME_LIMIT_MS),
        });
    }
    if problems.is_empty() { Ok((specs, pushed)) } else { Err(problems) }
}

fn installer(installer: model::Installer) -> Installer {
    match installer {
        // The plan has refused the host's package manager before.
        model::Installer::None | model::Installer::System => Installer::None,
        model::Installer::Tar => Installer::Tar,
        model::Installer::Zip => Installer::Zip,
        model::Installer::Script => Installer::Script(Vec::new()),
    }
}

fn package_spec(
    software: &Software,
    package: &Package,
    base: &Path,
    pushed: &mut Vec<Pushed>,
) -> Result<PackageSpec, Box<PlanProblem>> {
    let problem = |what: String, hint: Option<String>| {
        Box::new(PlanProblem { what, place: package.place, hint, too_few_hosts: false })
    };
    let path = package.path.clone();
    let mut executable = false;
    let fetch = match package.kind {
        PackageKind::Web => Fetch::Web {
            urls: vec![path],
            sha256: package.sha256.clone(),
            limit_bytes: package.size_limit_bytes.unwrap_or(SIZE_LIMIT_BYTES),
        },
        PackageKind::Push => {
            let local = base.join(&path);
            let (item, fetch, is_program) = push(&local).map_err(|e| {
                let hint = "paths are relative to the description's directory".to_owned();
                problem(
                    format!("cannot read package `{}` at {}: {e}", package.name, local.display()),
                    Some(hint),
                )
            })?;
            pushed.push(item);
            executable = is_program;
            fetch
        }
        PackageKind::Rsync => Fetch::Rsync { source: path },
        PackageKind::Scp => Fetch::Scp { source: path },
        PackageKind::Git => Fetch::Git { url: path, reference: package.revision.clone() },
    };
    let parts = [software.dest_path.as_deref(), package.dest_path.as_deref()];
    let dest: Vec<&str> = parts.into_iter().flatten().filter(|p| !p.is_empty()).collect();
    Ok(PackageSpec {
        name: package.name.clone(),
        fetch,
        dest_path: dest.join("/"),
        strip: package.strip.unwrap_or(software.strip),
        executable,
    })
}

fn push(path: &Path) -> io::Result<(Pushed, Fetch, bool)> {
    let about = std::fs::metadata(path)?;
    let mut digest = Digest::default();
    let directory = about.is_dir();
    if directory {
        pack(path, &mut digest)?;
    } else if about.is_file() {
        io::copy(&mut File::open(path)?, &mut digest)?;
    } else {
        // Opening a FIFO without a writer would block.
        let what = special(about.file_type());
        return Err(io::Error::other(format!(
            "it is {what}; only files and directories are pushed"
        )));
    }
    let blake3 = digest.hasher.finalize().to_hex().to_string();
    let fetch = Fetch::Push {
        blake3: blake3.clone(),
        bytes: digest.bytes,
        directory,
        file_name: path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
    };
    let is_program = !directory && about.permissions().mode() & 0o111 != 0;
    Ok((Pushed { blake3, path: path.to_owned(), directory }, fetch, is_program))
}

/// A directory as a tar, the same bytes for the same content: sorted, without owners and times.
fn pack(directory: &Path, out: &mut dyn Write) -> io::Result<()> {
    let mut builder = tar::Builder::new(out);
    builder.follow_symlinks(false);
    // A hole is sent as zeros.
    builder.sparse(false);
    builder.mode(tar::HeaderMode::Deterministic);
    pack_below(&mut builder, directory, Path::new(""))?;
    builder.finish()
}

fn pack_below(
    builder: &mut tar::Builder<&mut dyn Write>,
    from: &Path,
    below: &Path,
) -> io::Result<()> {
    let mut names: Vec<_> = std::fs::read_dir(from)?
        .map(|entry| entry.map(|e| e.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort();
    for name in names {
        let (path, inside) = (from.join(&name), below.join(&name));
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let kind = std::fs::symlink_metadata(&path).map_err(named)?.file_type();
        if kind.is_dir() {
            builder.append_dir(&inside, &path).map_err(named)?;
            pack_below(builder, &path, &inside)?;
        } else if kind.is_file() || kind.is_symlink() {
            builder.append_path_with_name(&path, &inside).map_err(named)?;
        } else {
            let what = special(kind);
            let text = "only files, directories and symbolic links are pushed";
            return Err(named(io::Error::other(format!("it is {what}; {text}"))));
        }
    }
    Ok(())
}

/// The kind of an entry that is neither a file, a directory nor a symbolic link, in words.
fn special(kind: std::fs::FileType) -> &'static str {
    match kind {
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_block_device() => "a block device",
        kind if kind.is_char_device() => "a character device",
        _ => "of an unknown kind",
    }
}

#[derive(Default)]
struct Digest {
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Copies what is pushed into the run's directory, by digest: the run sends the bytes that were planned, whatever
/// happens to the originals.
pub fn keep(run_dir: &RunDir, pushed: &[Pushed]) -> Result<(), ControllerError> {
    let store = run_dir.packages();
    create_private(&store).map_err(|e| ControllerError::io("make the directory", &store, e))?;
    for item in pushed {
        let kept = store.join(&item.blake3);
        let digest =
            keep_one(item, &kept).map_err(|e| ControllerError::io("pack", &item.path, e))?;
        if digest != item.blake3 {
            return Err(ControllerError::PackageChanged { path: item.path.clone() });
        }
    }
    Ok(())
}

fn keep_one(item: &Pushed, kept: &Path) -> io::Result<String> {
    let mut file = io::BufWriter::new(File::create(kept)?);
    if item.directory {
        pack(&item.path, &mut file)?;
    } else {
        io::copy(&mut File::open(&item.path)?, &mut file)?;
    }
    file.into_inner()?.sync_all()?;
    let mut digest = Digest::default();
    io::copy(&mut File::open(kept)?, &mut digest)?;
    Ok(digest.hasher.finalize().to_hex().to_string())
}

/// Kept packages, open and ready to be read piece by piece.
pub struct Shelf(BTreeMap<String, File>);

impl Shelf {
    /// Opens what the run keeps.
    ///
    /// # Errors
    /// The directory or a file in it cannot be read.
    pub fn open(run_dir: &RunDir) -> Result<Shelf, ControllerError> {
        let store = run_dir.packages();
        let failed = |e| ControllerError::io("read", &store, e);
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&store).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let file = File::open(entry.path()).map_err(failed)?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), file);
        }
        Ok(Shelf(files))
    }

    /// The piece that an agent wants; empty when there is no such package or it ends before.
    pub fn read(&self, want: &BlobWant) -> BlobPart {
        let mut bytes = vec![0; (want.length as usize).min(PART_BYTES)];
        let count = match self.0.get(&want.blake3) {
            Some(file) => file.read_at(&mut bytes, want.offset).unwrap_or(0),
            None => 0,
        };
        bytes.truncate(count);
        BlobPart { blake3: want.blake3.clone(), offset: want.offset, bytes }
    }
}

/// A file beside the description whose content is in the plan.
pub fn read_bytes(base: &Path, path: &str) -> io::Result<Vec<u8>> {
    const BYTES_MAX: u64 = 4 << 20;
    let path = base.join(path);
    let kind = std::fs::metadata(&path)?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::other(format!("it is {}, no file", special(kind))));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// A text file beside the description.
pub fn read_text(base: &Path, path: &str) -> io::Result<String> {
    String::from_utf8(read_bytes(base, path)?).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        io::Error::other(format!("it is no text: byte {} is not UTF-8", at + 1))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_same_directory_has_the_same_digest() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        std::fs::write(dir.path().join("b/x"), "1").unwrap();
        std::fs::write(dir.path().join("a"), "2").unwrap();
        let digest = || push(dir.path()).unwrap().0.blake3;
        assert_eq!(digest(), digest());
        let before = digest();
        std::fs::write(dir.path().join("a"), "3").unwrap();
        assert_ne!(before, digest());
    }

    #[test]
    fn the_path_of_a_package_is_not_searched_for_variables_a_second_time() {
        let text = "project: p\nhosts: n1\nvariables: {b: x}\nsoftware: {s: {packages: [{type: web, path: \"https://h/$${b}\"}]}}\nclusters: {c: {software: [s], run: x}}\n";
        let project = plush_spec::parse(text, "p.yaml", None).project.unwrap();
        let (specs, _) = resolve(&project, &project.clusters[0], Path::new(".")).unwrap();
        let Fetch::Web { urls, .. } = &specs[0].packages[0].fetch else { panic!("{specs:?}") };
        assert_eq!(urls, &["https://h/${b}"]);
    }

    #[test]
    fn a_file_with_a_hole_is_packed_as_the_bytes_that_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hole");
        File::create(&path).unwrap().set_len(1 << 16).unwrap();
        let mut packed = Vec::new();
        pack(dir.path(), &mut packed).unwrap();
        let mut archive = tar::Archive::new(packed.as_slice());
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert_eq!(entry.header().entry_type(), tar::EntryType::Regular);
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, vec![0; 1 << 16]);
    }

    #[test]
    fn what_cannot_be_pushed_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("data");
        std::fs::create_dir(&below).unwrap();
        push(&below).expect("a directory without files is pushed");
        let socket = below.join("ear");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&below, &socket] {
            let said = push(path).map(drop).unwrap_err().to_string();
            assert!(said.contains("a socket"), "{said}");
        }
    }

    #[test]
    fn a_run_sends_what_was_planned_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, "planned").unwrap();
        let (item, _, _) = push(&path).unwrap();
        std::fs::write(&path, "changed").unwrap();
        let run_dir = RunDir::at(dir.path().join("run"));
        assert!(matches!(keep(&run_dir, &[item]), Err(ControllerError::PackageChanged { .. })));
    }
}
