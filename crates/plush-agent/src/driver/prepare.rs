//! One preparation: all software of a cluster on this host, whole or not at all.
//! Not the fetching and unpacking themselves: those are in [`crate::files`].
//!
//! Everything is built in `clusters/NAME.part` and gets its name by one rename at the end. It runs on a thread of
//! its own; pushed packages come piece by piece through [`Pieces`].

use super::happened::Happened;
use super::pieces::{Pieces, PiecesError};
use crate::base::Base;
use crate::files::digest::{Algorithm, Digest, Digests};
use crate::files::external::{self, GitSource, Invocation, Protocol};
use crate::files::http::dial::Network;
use crate::files::root::Root;
use crate::files::store::{Store, StoreError};
use crate::files::{fetch, install, unpack};
use crate::programs::{self, Job};
use plush_core::agent::{Event, Rewriting};
use plush_protocol::{
    Cause, CauseKind, Fetch, Installer, PackageSpec, PrepareSpec, Report, SoftwareSpec, Tainted,
};
use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often a preparation says how far it is: at first after the shorter time, then whenever it has gone on for as long
/// again, up to the longer one. Who decides how many hosts fetch at a time learns soon how fast it goes.
const PROGRESS_EVERY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
/// rsync gives up after so much silence.
const RSYNC_STALL_S: u32 = 60;
/// The name of what an outside program fetches, until it is put in place.
const FETCHED: &str = "fetched";

/// What a preparation needs.
pub struct Preparation {
    pub base: Base,
    pub spec: PrepareSpec,
    pub environment: Vec<(String, String)>,
    pub cancelled: Arc<AtomicBool>,
    pub happened: mpsc::Sender<Happened>,
    pub pieces: Pieces,
}

/// A preparation that is under way.
struct Work {
    job: Preparation,
    clusters: Root,
    store: Store,
    began: Instant,
    deadline: Instant,
    told: Told,
    step: String,
    fetched_bytes: u64,
    cached: u32,
    digests: Vec<(String, String)>,
}

/// Something that was fetched.
enum Package {
    /// In the cache.
    Stored(Digest),
    /// A file or directory that an outside program left at this path below `clusters`.
    Staged(PathBuf),
}

/// Prepares, and says how it ended. Blocks.
pub fn run(job: Preparation) -> Report {
    let cluster = job.spec.cluster.clone();
    match Work::new(job).and_then(Work::finish) {
        Ok(report) => report,
        Err(cause) => Report::PrepareFailed { cluster, cause },
    }
}

impl Work {
    fn new(job: Preparation) -> Result<Work, Cause> {
        if !crate::base::is_component(&job.spec.cluster) || job.spec.cluster.ends_with(".part") {
            let name = &job.spec.cluster;
            return Err(cause(CauseKind::System, format!("{name:?} cannot be a cluster's name")));
        }
        let open = |path: PathBuf| {
            fs::create_dir_all(&path)
                .map_err(|e| crate::keeper::gate::cause(&e, format!("make {}", path.display())))?;
            Root::open(&path).map_err(|e| trouble("open", &e))
        };
        let clusters = open(job.base.clusters())?;
        let store = Store::new(open(job.base.cache())?);
        let now = Instant::now();
        Ok(Work {
            job,
            clusters,
            store,
            began: now,
            deadline: now,
            told: Told { at: now, step: String::new(), done_bytes: 0 },
            step: String::new(),
            fetched_bytes: 0,
            cached: 0,
            digests: Vec::new(),
        })
    }

    fn finish(mut self) -> Result<Report, Cause> {
        let made = self.make();
        self.sweep(".fetch");
        if made.is_err() {
            self.sweep(".part");
        }
        made?;
        Ok(Report::Prepared {
            cluster: self.job.spec.cluster,
            fetched_bytes: self.fetched_bytes,
            cached: self.cached,
            took_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            digests: self.digests,
        })
    }

    fn make(&mut self) -> Result<(), Cause> {
        self.sweep(".part");
        self.sweep(".fetch");
        let part = self.beside(".part");
        let fresh = self.clusters.create_dir(&part, 0o755).map_err(|e| trouble("make", &e))?;
        for software in self.job.spec.software.clone() {
            self.deadline = Instant::now() + Duration::from_millis(software.time_limit_ms);
            for package in &software.packages {
                self.package(&software, package)
                    .map_err(|e| self.in_words(&software, &package.name, e))?;
            }
        }
        self.step = "write files".into();
        for (path, mode, text) in self.job.spec.files.clone() {
            write_rendered(&fresh, &path, mode, &text)?;
        }
        fresh.sync_all().map_err(|e| trouble("make durable", &e))?;
        let name = PathBuf::from(&self.job.spec.cluster);
        // A start without a preparation has made an empty one.
        let _in_use = fs::remove_dir(self.clusters.path().join(&name));
        self.clusters.rename_to_free(&part, &name).map_err(|e| trouble("put in place", &e))
    }

    fn package(&mut self, software: &SoftwareSpec, package: &PackageSpec) -> Result<(), Cause> {
        let dest = self.beside(".part").join(below(&package.dest_path)?);
        self.step = format!("fetch {}", package.name);
        let fetched = self.fetch(package)?;
        let is_directory = match &package.fetch {
            Fetch::Push { directory, .. } => *directory,
            Fetch::Web { .. } | Fetch::Rsync { .. } | Fetch::Scp { .. } | Fetch::Git { .. } => {
                false
            }
        };
        match &software.installer {
            _ if is_directory => self.unpack(package, fetched, &dest, unpack::Kind::Tar),
            Installer::Tar => self.unpack(package, fetched, &dest, unpack::Kind::Tar),
            Installer::Zip => self.unpack(package, fetched, &dest, unpack::Kind::Zip),
            Installer::None => self.put(package, fetched, &dest),
            Installer::Script(arguments) => self.script(package, fetched, &dest, arguments),
        }
    }

    fn fetch(&mut self, package: &PackageSpec) -> Result<Package, Cause> {
        match &package.fetch {
            Fetch::Web { urls, sha256, limit_bytes } => {
                self.fetch_web(package, urls, sha256.as_deref(), *limit_bytes)
            }
            Fetch::Push { blake3, bytes, .. } => self.fetch_pushed(package, blake3, *bytes),
            Fetch::Rsync { source } => {
                let stage = self.stage()?;
                let call = external::rsync(source, &stage, FETCHED, RSYNC_STALL_S);
                self.call(&[call.map_err(|e| trouble_of(CauseKind::Fetch, &e))?])?;
                Ok(self.staged())
            }
            Fetch::Scp { source } => {
                let stage = self.stage()?;
                let call = external::scp(source, None, &stage, FETCHED);
                self.call(&[call.map_err(|e| trouble_of(CauseKind::Fetch, &e))?])?;
                Ok(self.staged())
            }
            Fetch::Git { url, reference } => {
                let stage = self.stage()?;
                let allowed = [Protocol::Https, Protocol::Ssh, Protocol::File, Protocol::Git];
                let source = GitSource { url, revision: reference.as_deref(), allowed: &allowed };
                let calls = external::git(&source, &stage, FETCHED);
                let commit = self.call(&calls.map_err(|e| trouble_of(CauseKind::Fetch, &e))?)?;
                self.digests.push((package.name.clone(), format!("git:{commit}")));
                Ok(self.staged())
            }
        }
    }

    fn fetch_web(
        &mut self,
        package: &PackageSpec,
        urls: &[String],
        sha256: Option<&str>,
        limit_bytes: u64,
    ) -> Result<Package, Cause> {
        let expected = sha256.map(|hex| digest(Algorithm::Sha256, hex)).transpose()?;
        if let Some(digest) = expected.filter(|digest| self.store.has(digest)) {
            self.found(package, digest);
            return Ok(Package::Stored(digest));
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        let mut order = fetch::Order::of(urls.first().map_or("", String::as_str));
        order.urls = urls.to_vec();
        order.expected = expected.into_iter().collect();
        order.limits.size_bytes = limit_bytes;
        order.limits.total_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        order.seed = u64::from(std::process::id());
        let environment = self.job.environment.clone();
        let lookup = |name: &str| {
            let given = environment.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
            given.or_else(|| std::env::var(name).ok())
        };
        let network = Network::from_variables(&lookup);
        let mut reporter = Reporter { fetches: true, ..self.reporter() };
        let fetched =
            self.store.fetch(&order, &network, &mut |done, total| reporter.go_on(done, total));
        reporter.end(fetched.as_ref().map_or(0, |fetched| fetched.digests.bytes));
        self.told = reporter.told;
        let fetched = fetched.map_err(|e| {
            let kind = match &e.cause {
                fetch::Cause::NoSpace { .. } => CauseKind::DiskFull,
                fetch::Cause::WrongDigest { .. } => CauseKind::BadPackage,
                _ => CauseKind::Fetch,
            };
            trouble_of(kind, &e)
        })?;
        self.fetched_bytes += fetched.digests.bytes;
        Ok(self.arrived(package, &fetched.digests))
    }

    fn fetch_pushed(
        &mut self,
        package: &PackageSpec,
        blake3: &str,
        bytes: u64,
    ) -> Result<Package, Cause> {
        let digest = digest(Algorithm::Blake3, blake3)?;
        if self.store.has(&digest) {
            self.found(package, digest);
            return Ok(Package::Stored(digest));
        }
        let mut incoming = self.store.receive(Some(bytes)).map_err(|e| store_trouble(&e))?;
        let mut reporter = Reporter { fetches: true, ..self.reporter() };
        let pulled = self.job.pieces.pull(blake3, bytes, &mut |piece, done| {
            incoming.write(piece, Some(bytes - done)).map_err(|e| store_trouble(&e))?;
            match reporter.go_on(done, Some(bytes)) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => {
                    Err(cause(CauseKind::Cancelled, "it was cancelled".into()))
                }
            }
        });
        pulled.map_err(|e| match e {
            PiecesError::Sink(cause) => cause,
            PiecesError::Refused => {
                cause(CauseKind::Fetch, "the controller does not have it".into())
            }
            PiecesError::Unwanted => cause(CauseKind::Cancelled, "it was cancelled".into()),
        })?;
        let digests = incoming.finish(&[digest]).map_err(|e| store_trouble(&e))?;
        reporter.end(bytes);
        self.told = reporter.told;
        self.fetched_bytes += bytes;
        Ok(self.arrived(package, &digests))
    }

    fn found(&mut self, package: &PackageSpec, digest: Digest) {
        self.cached += 1;
        self.digests.push((package.name.clone(), digest.to_string()));
    }

    fn arrived(&mut self, package: &PackageSpec, digests: &Digests) -> Package {
        self.digests.push((package.name.clone(), digests.sha256.to_string()));
        Package::Stored(digests.blake3)
    }

    fn unpack(
        &mut self,
        package: &PackageSpec,
        fetched: Package,
        dest: &Path,
        kind: unpack::Kind,
    ) -> Result<(), Cause> {
        self.step = format!("unpack {}", package.name);
        let archive = self.open(&fetched)?;
        let into = self.clusters.create_dirs(dest, 0o755).map_err(|e| trouble("make", &e))?;
        let strip = usize::try_from(package.strip).unwrap_or(usize::MAX);
        let options = unpack::Options { kind, strip, limits: unpack::Limits::default() };
        let mut reporter = self.reporter();
        let unpacked = unpack::unpack_into(archive, &options, &into, &mut |done, total| {
            reporter.go_on(done, total)
        });
        self.told = reporter.told;
        let is_pushed = matches!(package.fetch, Fetch::Push { directory: true, .. });
        if let Err(e) = &unpacked
            && let unpack::Cause::Empty { strip: 0 } = e.cause
            && is_pushed
        {
            // The description may name an empty directory.
            return Ok(());
        }
        unpacked.map_err(|e| {
            let kind = match &e.cause {
                unpack::Cause::NoSpace { .. } => CauseKind::DiskFull,
                unpack::Cause::Cancelled => CauseKind::Cancelled,
                unpack::Cause::Write(_) | unpack::Cause::Root(_) => CauseKind::System,
                _ => CauseKind::BadPackage,
            };
            trouble_of(kind, &e)
        })?;
        Ok(())
    }

    /// Puts a file into the destination under its own name, or a directory in place of the destination.
    fn put(&mut self, package: &PackageSpec, fetched: Package, dest: &Path) -> Result<(), Cause> {
        self.step = format!("put {}", package.name);
        let staged = match &fetched {
            Package::Stored(_) => None,
            Package::Staged(path) => Some(path.clone()),
        };
        if let Some(from) = staged.filter(|p| self.clusters.path().join(p).is_dir()) {
            return self.put_directory(&from, dest);
        }
        let mut file = self.open(&fetched)?;
        let mode = if package.executable { 0o755 } else { 0o644 };
        self.clusters.create_dirs(dest, 0o755).map_err(|e| trouble("make", &e))?;
        self.copy(&mut file, &dest.join(file_name(package)), mode)
    }

    fn put_directory(&mut self, from: &Path, dest: &Path) -> Result<(), Cause> {
        self.clusters.create_dirs(dest, 0o755).map_err(|e| trouble("make", &e))?;
        let names = fs::read_dir(self.clusters.path().join(from))
            .map_err(|e| crate::keeper::gate::cause(&e, format!("list {}", from.display())))?;
        for name in names.flatten().map(|entry| entry.file_name()) {
            self.clusters
                .rename_to_free(&from.join(&name), &dest.join(&name))
                .map_err(|e| trouble("put in place", &e))?;
        }
        Ok(())
    }

    fn script(
        &mut self,
        package: &PackageSpec,
        fetched: Package,
        dest: &Path,
        arguments: &[String],
    ) -> Result<(), Cause> {
        let path = match fetched {
            Package::Staged(path) => path,
            Package::Stored(_) => {
                self.stage()?;
                let path = self.beside(".fetch").join(FETCHED);
                let mut file = self.open(&fetched)?;
                self.copy(&mut file, &path, 0o700)?;
                path
            }
        };
        self.step = format!("script {}", package.name);
        self.clusters.create_dirs(dest, 0o755).map_err(|e| trouble("make", &e))?;
        let mut argv = vec![OsString::from("/bin/sh"), self.clusters.path().join(path).into()];
        argv.extend(arguments.iter().map(OsString::from));
        let directory = self.clusters.path().join(dest);
        let mut environment = self.environment();
        let final_place = self.clusters.path().join(&self.job.spec.cluster);
        environment.push(("PLUSH_DIRECTORY".into(), final_place.into()));
        let job = Job { argv: &argv, environment, directory: &directory, deadline: self.deadline };
        let ended =
            programs::run(&job, &|| !self.is_cancelled()).map_err(|e| program_trouble(&e))?;
        if ended.status.success() {
            return Ok(());
        }
        let failed = programs::ProgramError::Failed { status: ended.status, tail: ended.tail };
        Err(program_trouble(&failed))
    }

    /// Runs outside programs one after the other; the last line that the last one printed.
    fn call(&mut self, calls: &[Invocation]) -> Result<String, Cause> {
        let mut printed = String::new();
        for call in calls {
            let path = std::env::var_os("PATH").unwrap_or_default();
            call.find(&path).map_err(|e| trouble_of(CauseKind::Program, &e))?;
            let mut environment = self.environment();
            environment.extend(call.env.iter().cloned());
            let job = Job {
                argv: &call.argv,
                environment,
                directory: &call.cwd,
                deadline: self.deadline,
            };
            let ended =
                programs::run(&job, &|| !self.is_cancelled()).map_err(|e| program_trouble(&e))?;
            call.judge(programs::ended(ended.status), &ended.tail)
                .map_err(|e| trouble_of(CauseKind::Fetch, &e))?;
            let tail = String::from_utf8_lossy(&ended.tail).into_owned();
            printed = tail.trim().lines().next_back().unwrap_or_default().to_owned();
        }
        Ok(printed)
    }

    fn open(&mut self, fetched: &Package) -> Result<File, Cause> {
        match fetched {
            Package::Stored(digest) => {
                let mut reporter = self.reporter();
                self.store
                    .open(digest, &mut |done, total| reporter.go_on(done, total))
                    .map_err(|e| store_trouble(&e))
            }
            Package::Staged(path) => self.clusters.open_file(path).map_err(|e| trouble("open", &e)),
        }
    }

    fn copy(&mut self, from: &mut File, to: &Path, mode: u32) -> Result<(), Cause> {
        let failed =
            |e: io::Error| crate::keeper::gate::cause(&e, format!("write {}", to.display()));
        let total = from.metadata().map_err(failed)?.len();
        self.clusters.room_for(total).map_err(|e| trouble_of(CauseKind::DiskFull, &e))?;
        let mut file = self.clusters.create_file(to, mode).map_err(|e| trouble("make", &e))?;
        let mut reporter = self.reporter();
        let (mut buffer, mut done) = (vec![0; 128 << 10], 0);
        loop {
            let count = from.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                self.told = reporter.told;
                return Ok(());
            }
            file.write_all(&buffer[..count]).map_err(failed)?;
            done += count as u64;
            if reporter.go_on(done, Some(total)).is_break() {
                return Err(cause(CauseKind::Cancelled, "it was cancelled".into()));
            }
        }
    }

    /// An empty directory for outside programs to fetch into.
    fn stage(&mut self) -> Result<PathBuf, Cause> {
        self.sweep(".fetch");
        let stage = self.beside(".fetch");
        self.clusters.create_dir(&stage, 0o700).map_err(|e| trouble("make", &e))?;
        Ok(self.clusters.path().join(stage))
    }

    fn staged(&self) -> Package {
        Package::Staged(self.beside(".fetch").join(FETCHED))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        PathBuf::from(format!("{}{suffix}", self.job.spec.cluster))
    }

    fn sweep(&self, suffix: &str) {
        let left =
            self.clusters.remove_tree(&self.beside(suffix), &mut |_, _| ControlFlow::Continue(()));
        if !left.is_complete() {
            crate::log!("{}{suffix}: {} files stay", self.job.spec.cluster, left.left_total);
        }
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        self.job.environment.iter().map(|(n, v)| (n.into(), v.into())).collect()
    }

    fn is_cancelled(&self) -> bool {
        self.job.cancelled.load(Ordering::Relaxed)
    }

    fn reporter(&self) -> Reporter {
        Reporter {
            cluster: self.job.spec.cluster.clone(),
            step: self.step.clone(),
            cancelled: Arc::clone(&self.job.cancelled),
            deadline: self.deadline,
            began: self.began,
            told: self.told.clone(),
            fetched_bytes: self.fetched_bytes,
            fetches: false,
            happened: self.job.happened.clone(),
        }
    }

    /// The cause with what was being done, and as a time limit where it was one.
    fn in_words(&self, software: &SoftwareSpec, package: &str, cause: Cause) -> Cause {
        let late = cause.kind == CauseKind::Cancelled
            && !self.is_cancelled()
            && Instant::now() >= self.deadline;
        let text = if late {
            format!("{} took longer than {} ms", self.step, software.time_limit_ms)
        } else {
            format!("{} ({}/{package}): {}", self.step, software.name, cause.text.raw())
        };
        let kind = if late { CauseKind::TimeLimit } else { cause.kind };
        Cause { kind, text: Tainted::new(text) }
    }
}

/// What was told last of how far it is.
#[derive(Clone)]
struct Told {
    at: Instant,
    step: String,
    done_bytes: u64,
}

/// Tells how far a step is, and whether it should go on.
struct Reporter {
    cluster: String,
    step: String,
    cancelled: Arc<AtomicBool>,
    deadline: Instant,
    began: Instant,
    told: Told,
    /// By the steps before this one.
    fetched_bytes: u64,
    /// What this step does crosses the network.
    fetches: bool,
    happened: mpsc::Sender<Happened>,
}

impl Reporter {
    fn go_on(&mut self, done_bytes: u64, total_bytes: Option<u64>) -> ControlFlow<()> {
        let now = Instant::now();
        if self.cancelled.load(Ordering::Relaxed) || now >= self.deadline {
            return ControlFlow::Break(());
        }
        let (soonest, latest) = PROGRESS_EVERY;
        let every = self.told.at.duration_since(self.began).clamp(soonest, latest);
        if now.duration_since(self.told.at) >= every {
            self.tell(now, done_bytes, total_bytes);
        }
        ControlFlow::Continue(())
    }

    /// The step is over; one that took no time worth telling says nothing.
    fn end(&mut self, done_bytes: u64) {
        let now = Instant::now();
        if done_bytes > 0 && now.duration_since(self.told.at) >= PROGRESS_EVERY.0 {
            self.tell(now, done_bytes, Some(done_bytes));
        }
    }

    fn tell(&mut self, now: Instant, done_bytes: u64, total_bytes: Option<u64>) {
        // Who fetches and gets nothing is in need of the network, so it says so; others have nothing to say.
        let is_old = (done_bytes, &self.step) == (self.told.done_bytes, &self.told.step);
        if is_old && !self.fetches {
            return;
        }
        self.told = Told { at: now, step: self.step.clone(), done_bytes };
        let (cluster, step) = (self.cluster.clone(), self.step.clone());
        let fetched_bytes = self.fetches.then_some(self.fetched_bytes + done_bytes);
        let report = Report::Preparing { cluster, step, done_bytes, total_bytes, fetched_bytes };
        // A word less about progress harms nobody.
        let _busy = self.happened.try_send(Happened::Core(Event::Preparing(report)));
    }
}

/// Writes one file of a cluster that is prepared anew; whoever has the old one open keeps that.
pub fn rewrite(base: &Base, rewriting: &Rewriting) -> Result<(), Cause> {
    let directory = base.clusters().join(below(&rewriting.cluster)?);
    let root = Root::open(&directory).map_err(|e| trouble("open", &e))?;
    write_rendered(&root, &rewriting.path, rewriting.mode, &rewriting.text)
}

fn write_rendered(fresh: &Root, path: &str, mode: u32, text: &str) -> Result<(), Cause> {
    let path = below(path)?;
    if let Some(parent) = path.parent() {
        fresh.create_dirs(parent, 0o755).map_err(|e| trouble("make", &e))?;
    }
    fresh.write_whole(&path, text.as_bytes(), mode).map_err(|e| trouble("write", &e))
}

/// A path of the description, which must lead below the directory.
fn below(path: &str) -> Result<PathBuf, Cause> {
    let mut plain = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                let text = format!("{path:?} leads out of the cluster's directory");
                return Err(cause(CauseKind::BadPackage, text));
            }
        }
    }
    Ok(plain)
}

/// The file name of a package: the package's own name, or the name from its source where the own
/// name is not valid.
fn file_name(package: &PackageSpec) -> PathBuf {
    if let Some(name) = install::file_name(&package.name).filter(|name| **name == *package.name) {
        return PathBuf::from(name);
    }
    let source = match &package.fetch {
        Fetch::Web { urls, .. } => urls.first().map_or("", String::as_str),
        Fetch::Push { file_name, .. } => file_name,
        Fetch::Rsync { source } | Fetch::Scp { source } => source,
        Fetch::Git { url, .. } => url,
    };
    let given = install::file_name(source).map(PathBuf::from);
    given.unwrap_or_else(|| PathBuf::from(package.name.replace('/', "_")))
}

fn digest(algorithm: Algorithm, hex: &str) -> Result<Digest, Cause> {
    let name = match algorithm {
        Algorithm::Blake3 => "blake3",
        Algorithm::Sha256 => "sha256",
    };
    format!("{name}:{hex}").parse().map_err(|e| trouble_of(CauseKind::BadPackage, &e))
}

fn store_trouble(error: &StoreError) -> Cause {
    let kind = match error {
        StoreError::WrongDigest { .. } | StoreError::Missing(_) => CauseKind::BadPackage,
        StoreError::NoSpace { .. } => CauseKind::DiskFull,
        StoreError::Cancelled => CauseKind::Cancelled,
        StoreError::Root(_) | StoreError::File { .. } => CauseKind::System,
    };
    trouble_of(kind, error)
}

fn program_trouble(error: &programs::ProgramError) -> Cause {
    let kind = match error {
        programs::ProgramError::TimeLimit(_) => CauseKind::TimeLimit,
        programs::ProgramError::Cancelled => CauseKind::Cancelled,
        programs::ProgramError::System { .. } | programs::ProgramError::Failed { .. } => {
            CauseKind::Program
        }
    };
    trouble_of(kind, error)
}

/// A system's refusal, with no space left told apart.
fn trouble(operation: &str, error: &crate::files::root::RootError) -> Cause {
    let full =
        matches!(error.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let kind = if full { CauseKind::DiskFull } else { CauseKind::System };
    let told = trouble_of(kind, error);
    Cause { text: Tainted::new(format!("{operation}: {}", told.text.raw())), ..told }
}

/// An error with all its causes in one line.
fn trouble_of(kind: CauseKind, error: &dyn Error) -> Cause {
    cause(kind, in_full(error))
}

/// An error with its chain of causes.
pub(super) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        text = format!("{text}: {e}");
        source = e.source();
    }
    text
}

fn cause(kind: CauseKind, text: String) -> Cause {
    Cause { kind, text: Tainted::new(text) }
}
