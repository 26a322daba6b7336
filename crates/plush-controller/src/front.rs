//! The front door: plan a run, make its directory, control it, list the runs there are.
//! Not a front end: the command prints, this only answers.

use crate::driver;
use crate::effects::program::Surroundings;
use crate::error::ControllerError;
use crate::holder::{Hold, Takeover};
use crate::journal::Journal;
use crate::member_directories::{DirectoryNumber, MemberDirectories};
use crate::packages::{self, Pushed};
use crate::provider;
use crate::run_dir::{LocalHosts, RunDir, create_private, write_whole};
use crate::transport::{AgentShelf, HostAddress, Ssh, SshOptions, Way};
use plush_core::plan::{
    self, Keep, Offer, PlanProblem, PlannedHost, PlannedTemplate, Route, RunPlan, Settings,
};
use plush_core::run::too_large;
use plush_protocol::{Fetch, Octets, Outcome, RunView};
use plush_spec::hostset::{HostSet, NoGroups};
use plush_spec::model::{Cluster, LocalProgram, Place, Project, Resource, Stdin};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A future that grows in a build without optimisation must not end a controller; only what is touched costs memory.
const STACK_BYTES: usize = 8 << 20;

/// How a run is asked for.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where runs have their directories.
    pub runs_directory: PathBuf,
    /// These hosts instead of the available ones, as host sets; empty for the available ones. A
    /// host that no resource offers is reached by SSH.
    pub hosts: Vec<String>,
    /// Never these.
    pub exclude: Vec<String>,
    /// What stays on the hosts.
    pub keep: Keep,
    /// Instead of the user's SSH configuration.
    pub ssh_config: Option<PathBuf>,
    /// Life of tasks without a controller: as given, for ever (`Some(None)`), or the default.
    pub stop_after_ms: Option<Option<u64>>,
    /// The run's id, instead of a made one.
    pub name: Option<String>,
}

/// A run that has been planned and not yet begun: what `plan.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Planned {
    /// Version of this shape.
    version: u32,
    plan: RunPlan,
    pushed: Vec<Pushed>,
    /// The description's file and its text.
    description: (PathBuf, String),
    ssh_config: Option<PathBuf>,
    /// Milliseconds since 1970.
    started_unix_ms: u64,
    /// Set when the run's directory is made.
    #[serde(default)]
    local_hosts: Option<LocalHosts>,
    /// Generated with the run's directory; empty in a run of an earlier build.
    #[serde(default)]
    directory_number: Option<DirectoryNumber>,
}

/// A plan for people: nothing is left to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanView {
    /// The project.
    pub project: String,
    /// The selected application.
    pub application: String,
    /// The other applications of the description.
    pub other_applications: Vec<String>,
    /// Hosts, with what each does.
    pub hosts: Vec<PlannedHostView>,
    /// Cluster, wanted, fewest that the description names as enough, hosts that serve, spares.
    pub clusters: Vec<(String, u32, u32, u32, u32)>,
    /// Software: name, package, where its bytes come from, digest where it is known.
    pub software: Vec<(String, String, String, Option<String>)>,
    /// Cluster, process and command as described.
    pub commands: Vec<(String, String, String)>,
    /// Local programs that would be run; always none in this build.
    pub local_programs: Vec<String>,
    /// What stays on the hosts.
    pub keep: Keep,
    /// Life of tasks without a controller, in the cluster where it is shortest.
    pub stop_after_ms: Option<u64>,
}

/// One host of a [`PlanView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedHostView {
    /// Its name.
    pub name: String,
    /// The cluster that it serves in.
    pub cluster: String,
    /// It is kept for replacement.
    pub spare: bool,
    /// It is reached by SSH; otherwise it is a directory on this machine.
    pub remote: bool,
}

/// A run that there is or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its id.
    pub id: String,
    /// Its directory.
    pub directory: PathBuf,
    /// The project.
    pub project: String,
    /// Milliseconds since 1970.
    pub started_unix_ms: u64,
    /// A controller serves it now.
    pub is_served: bool,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
}

/// How a controller is to serve a run.
pub struct ControlOptions {
    /// Begin when a first front end watches (or a few seconds are over), so that it misses nothing.
    pub await_operator: bool,
    /// Whether it may take the run from another controller that may be alive.
    pub takeover: Takeover,
    /// The agents that can be sent.
    pub agents: Arc<AgentShelf>,
}

/// Plans a run: asks the providers, reads and digests what is pushed, assigns hosts. Contacts nobody, writes nothing.
///
/// # Errors
/// Everything that stands in the way, at once.
pub fn plan(
    project: &Project,
    path: &Path,
    text: &str,
    options: &RunOptions,
) -> Result<Planned, Vec<PlanProblem>> {
    let base = path.parent().unwrap_or(Path::new("."));
    let application = project.application(None).expect("a parsed project has an application");
    let (mut offers, mut pushed, mut problems) = (Vec::new(), BTreeSet::new(), Vec::new());
    let choice = Choice::read(options)?;
    problems.extend(plan::unsupported(project));
    for cluster in project.clusters_of(application) {
        match offer(project, cluster, base) {
            Ok((offer, more)) => {
                offers.push(offer);
                pushed.extend(more);
            }
            Err(more) => {
                offers.push(Offer::default());
                problems.extend(more);
            }
        }
    }
    let resources = project.clusters_of(application).flat_map(|c| project.resources_of(c));
    let others = choice.others(&Named::of(&offers, resources), &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let addresses = Addresses::read(options.ssh_config.as_deref());
    for offer in &mut offers {
        let offered = offer.hosts.len();
        offer.hosts.retain(|host| choice.takes(&host.name));
        offer.is_narrowed = choice.only.is_some() || offer.hosts.len() < offered;
        offer.hosts.extend(others.iter().cloned());
        addresses.find(&mut offer.hosts);
    }
    let settings = Settings {
        run: options.name.clone().unwrap_or_else(|| make_id(project.name.as_str())),
        keep: options.keep,
        stop_after_ms: options.stop_after_ms,
    };
    let plan = plan::assign(project, offers, settings)?;
    let mut problems = too_large(&plan);
    problems.extend(hosts_of_one_account(&plan, &addresses.0));
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Planned {
        version: 1,
        plan,
        pushed: pushed.into_iter().collect(),
        description: (
            std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            text.to_owned(),
        ),
        ssh_config: options.ssh_config.clone(),
        started_unix_ms: unix_ms(),
        local_hosts: None,
        directory_number: None,
    })
}

/// Returns problems for names of the plan that lead to one account by the same route: that account
/// would do the work of two hosts and count as two.
fn hosts_of_one_account(plan: &RunPlan, ssh: &Ssh) -> Vec<PlanProblem> {
    let mut ways: HashMap<Way, &str> = HashMap::new();
    let reserve = plan.clusters.iter().flat_map(|cluster| &cluster.reserve);
    let reached = plan.hosts.iter().chain(reserve).filter(|host| host.route == Route::Ssh);
    let mut problems = Vec::new();
    for host in reached {
        let Some(way) = HostAddress::parse(&host.name).ok().and_then(|a| ssh.way(&a)) else {
            continue;
        };
        let first = *ways.entry(way).or_insert(&host.name);
        if first != host.name {
            problems.push(PlanProblem {
                what: format!("the hosts {first} and {} are one account on one host", host.name),
                place: Place::default(),
                hint: Some(format!(
                    "name it once: leave {} out, here or with -x; `ssh -G {}` shows where it leads",
                    host.name, host.name
                )),
                too_few_hosts: false,
            });
        }
    }
    problems
}

impl Planned {
    /// The plan for people.
    pub fn view(&self) -> PlanView {
        let plan = &self.plan;
        let mut hosts = Vec::new();
        for cluster in &plan.clusters {
            for (ids, spare) in [(&cluster.members, false), (&cluster.spares, true)] {
                hosts.extend(ids.iter().map(|id| PlannedHostView {
                    name: plan.host_name(*id).to_owned(),
                    cluster: cluster.name().to_owned(),
                    spare,
                    remote: plan.hosts[id.index()].route == Route::Ssh,
                }));
            }
        }
        let count = |ids: &[plan::HostId]| u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let clusters = plan.clusters.iter();
        let clusters = clusters
            .map(|c| {
                let (members, spares) = (count(&c.members), count(&c.spares));
                (c.name().to_owned(), c.wanted, plan.enough_of(c), members, spares)
            })
            .collect();
        let mut applications = plan.project.applications.iter().map(|a| a.name.to_string());
        PlanView {
            project: plan.project.name.to_string(),
            application: applications.next().unwrap_or_default(),
            other_applications: applications.collect(),
            hosts,
            clusters,
            software: plan.clusters.iter().flat_map(software_lines).collect(),
            commands: plan.clusters.iter().flat_map(command_lines).collect(),
            local_programs: plan.project.local_programs().iter().map(in_words).collect(),
            keep: plan.keep,
            stop_after_ms: plan.clusters.iter().filter_map(|c| c.kept.stop_after_ms).min(),
        }
    }

    /// What is trusted or not: the digest of the description's text.
    pub fn digest(&self) -> String {
        digest_of(&self.description.1)
    }

    /// The run's id.
    pub fn run(&self) -> &str {
        &self.plan.run
    }
}

/// The digest under which a description is trusted: BLAKE3 in hexadecimal.
pub fn digest_of(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// A local program as the plan shows it: when it runs, and its words.
fn in_words(program: &LocalProgram) -> String {
    format!("{}: {}", program.what, program.command.join(" "))
}

fn software_lines(cluster: &plan::PlannedCluster) -> Vec<(String, String, String, Option<String>)> {
    let line = |name: &str, package: &plush_protocol::PackageSpec| {
        let (from, digest) = match &package.fetch {
            Fetch::Web { urls, sha256, .. } => {
                (urls.join(" or "), sha256.as_ref().map(|d| format!("sha256:{d}")))
            }
            Fetch::Push { blake3, bytes, file_name, .. } => {
                (format!("push {file_name} ({bytes} bytes)"), Some(format!("blake3:{blake3}")))
            }
            Fetch::Rsync { source } => (format!("rsync {source}"), None),
            Fetch::Scp { source } => (format!("scp {source}"), None),
            Fetch::Git { url, reference } => {
                (format!("git {url} {}", reference.as_deref().unwrap_or("HEAD")), None)
            }
        };
        (name.to_owned(), package.name.clone(), from, digest)
    };
    let software = cluster.software.iter();
    software.flat_map(|s| s.packages.iter().map(|p| line(&s.name, p))).collect()
}

fn command_lines(cluster: &plan::PlannedCluster) -> Vec<(String, String, String)> {
    let line = |process: &plush_spec::model::Process| {
        let command = plan::command_text(&process.command);
        (cluster.name().to_owned(), process.name.to_string(), command)
    };
    plan::processes(&cluster.spec).map(line).collect()
}

/// Addresses at which hosts reach each other: `HostName` of the user's SSH configuration, without
/// DNS.
struct Addresses(Ssh);

impl Addresses {
    fn read(ssh_config: Option<&Path>) -> Addresses {
        let config_file = ssh_config.map(Path::to_owned);
        Addresses(Ssh::new(SshOptions { config_file, ..SshOptions::from_environment() }))
    }

    /// Hosts on this machine keep their address.
    fn find(&self, hosts: &mut [PlannedHost]) {
        for host in hosts.iter_mut().filter(|host| host.route == Route::Ssh) {
            if let Ok(address) = HostAddress::parse(&host.name) {
                host.address = self.0.settings(&address).host_name;
            }
        }
    }
}

/// The host selection of the command line: `-w` and `-x`.
struct Choice {
    only: Option<HostSet>,
    never: HostSet,
}

/// A host matches as written in the description, or by its name without user and port.
fn is_in(set: &HostSet, name: &str) -> bool {
    let bare =
        || HostAddress::parse(name).is_ok_and(|a| a.name() != name && set.contains(a.name()));
    set.contains(name) || bare()
}

impl Choice {
    fn read(options: &RunOptions) -> Result<Choice, Vec<PlanProblem>> {
        let parse = |texts: &[String]| {
            HostSet::parse(&texts.join(","), &NoGroups).map_err(|e| {
                vec![unplaced(format!("host set `{}`: {}", texts.join(","), e.message), e.hint)]
            })
        };
        let only = (!options.hosts.is_empty()).then(|| parse(&options.hosts)).transpose()?;
        let never =
            if options.exclude.is_empty() { HostSet::new() } else { parse(&options.exclude)? };
        Ok(Choice { only, never })
    }

    fn takes(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| is_in(only, name)) && !is_in(&self.never, name)
    }

    /// Hosts of `-w` that the description does not have: they are reached by SSH and offered to
    /// every cluster. Excluded hosts and invalid names have been reported before.
    fn others(&self, known: &Named, problems: &mut Vec<PlanProblem>) -> Vec<PlannedHost> {
        let only = self.only.iter().flat_map(HostSet::iter);
        let others: Vec<String> = only.filter(|name| !known.has(name)).collect();
        let unknown = self.never.iter().filter(|name| {
            let is_other = self.only.as_ref().is_some_and(|only| is_in(only, name));
            !known.has(name) && !is_other
        });
        let unknown: HostSet = unknown.collect();
        if !unknown.is_empty() {
            let near = match unknown.iter().next().filter(|_| unknown.len() == 1) {
                Some(name) => known.nearest(&name),
                None => None,
            };
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "-x leaves out hosts that the description or -w names".to_owned(),
            };
            let what = format!("-x: {} is not among the hosts of the description", unknown.fold());
            problems.push(unplaced(what, Some(hint)));
        }
        let mut planned = Vec::new();
        for name in others {
            match HostAddress::parse(&name) {
                Ok(_) if is_in(&self.never, &name) => {}
                Ok(_) => planned.push(PlannedHost::new(name, Route::Ssh)),
                Err(e) => problems.push(unplaced(format!("-w: host `{name}`: {e}"), None)),
            }
        }
        planned
    }
}

/// The hosts that resources offer or exclude, as written and without user and port.
struct Named(BTreeSet<String>);

impl Named {
    /// Excluded hosts are recorded, so that `-w` does not add them again.
    fn of<'r>(offers: &[Offer], resources: impl Iterator<Item = &'r Resource>) -> Named {
        let offered = offers.iter().flat_map(|offer| &offer.hosts).map(|host| host.name.clone());
        let excluded = resources.filter_map(|resource| resource.exclude.as_ref());
        let excluded = excluded.filter_map(|set| HostSet::parse(&set.text, &NoGroups).ok());
        let excluded: Vec<String> =
            excluded.flat_map(|set| set.iter().collect::<Vec<_>>()).collect();
        let mut names = BTreeSet::new();
        for name in offered.chain(excluded) {
            names.extend(HostAddress::parse(&name).map(|a| a.name().to_owned()));
            names.insert(name);
        }
        Named(names)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        plush_spec::nearest(name, self.0.iter().map(String::as_str))
    }
}

/// A problem of the command line.
fn unplaced(what: String, hint: Option<String>) -> PlanProblem {
    PlanProblem { what, place: Place::default(), hint, too_few_hosts: false }
}

fn offer(
    project: &Project,
    cluster: &Cluster,
    base: &Path,
) -> Result<(Offer, Vec<Pushed>), Vec<PlanProblem>> {
    let mut problems = Vec::new();
    let mut keep =
        |result: Result<_, Vec<PlanProblem>>| result.map_err(|p| problems.extend(p)).ok();
    let hosts = keep(provider::offer(project.resources_of(cluster), base));
    let software = packages::resolve(project, cluster, base).map_err(|p| problems.extend(p)).ok();
    let templates = read(base, templates_of(project, cluster), packages::read_text)
        .map_err(|p| problems.push(p))
        .ok();
    let stdin = read(base, stdin_files_of(cluster), packages::read_bytes)
        .map_err(|p| problems.push(p))
        .ok();
    let (Some(hosts), Some((software, pushed)), Some(templates), Some(stdin)) =
        (hosts, software, templates, stdin)
    else {
        return Err(problems);
    };
    let templates =
        templates.into_iter().map(|(template, text)| PlannedTemplate { text, ..template });
    let templates = templates.collect();
    let stdin_files = stdin.into_iter().map(|(name, bytes)| (name, Octets(bytes))).collect();
    let is_narrowed = false;
    Ok((Offer { hosts, software, templates, stdin_files, is_narrowed }, pushed))
}

/// A file beside the description: its path, its place there, and what it is for.
type Wanted<T> = (String, Place, T);

/// Those of a cluster, their texts not read yet.
fn templates_of(project: &Project, cluster: &Cluster) -> Vec<Wanted<PlannedTemplate>> {
    let software = cluster.software.iter().filter_map(|r| project.software(&r.name));
    let wanted = |t: &plush_spec::model::Template| {
        let planned = PlannedTemplate {
            dest_path: t.dest_path.clone(),
            mode: t.mode,
            text: String::new(),
            on_change: t.on_change.clone(),
        };
        (t.path.clone(), t.place, planned)
    };
    software.flat_map(|s| s.templates.iter().map(wanted)).collect()
}

fn stdin_files_of(cluster: &Cluster) -> Vec<Wanted<String>> {
    let wanted = |process: &plush_spec::model::Process| match &process.stdin {
        Stdin::File(path) => Some((path.clone(), process.place, process.name.to_string())),
        Stdin::Empty | Stdin::Text(_) | Stdin::Operator => None,
    };
    plan::processes(cluster).filter_map(wanted).collect()
}

fn read<T, B>(
    base: &Path,
    wanted: Vec<Wanted<T>>,
    read_one: impl Fn(&Path, &str) -> std::io::Result<B>,
) -> Result<Vec<(T, B)>, PlanProblem> {
    let read = |(path, place, what): Wanted<T>| {
        let content = read_one(base, &path).map_err(|e| PlanProblem {
            what: format!("cannot read {}: {e}", base.join(&path).display()),
            place,
            hint: Some("paths are relative to the description's directory".into()),
            too_few_hosts: false,
        })?;
        Ok((what, content))
    };
    wanted.into_iter().map(read).collect()
}

/// Makes the run's directory with everything that the run needs.
///
/// # Errors
/// A directory or file cannot be made, or a package has changed since the plan.
pub fn create(planned: &Planned, options: &RunOptions) -> Result<RunDir, ControllerError> {
    let run_dir = RunDir::at(options.runs_directory.join(&planned.plan.run));
    let path = run_dir.path();
    create_private(&options.runs_directory)
        .map_err(|e| ControllerError::io("make the directory", &options.runs_directory, e))?;
    std::fs::create_dir(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            ControllerError::NameTaken { run: planned.plan.run.clone(), path: path.to_owned() }
        }
        _ => ControllerError::io("make the run's directory", path, e),
    })?;
    packages::keep(&run_dir, &planned.pushed)?;
    let (source, text) = &planned.description;
    let ending = source.extension().map_or("txt".into(), |e| e.to_string_lossy());
    let kept = run_dir.description(&ending);
    write_whole(&kept, text.as_bytes()).map_err(|e| ControllerError::io("write", &kept, e))?;
    let planned = Planned {
        local_hosts: Some(run_dir.local_hosts()),
        directory_number: Some(DirectoryNumber::random()),
        ..planned.clone()
    };
    let json = serde_json::to_vec_pretty(&planned).expect("a plan is plain data");
    write_whole(&run_dir.plan(), &json)
        .map_err(|e| ControllerError::io("write", &run_dir.plan(), e))?;
    Ok(run_dir)
}

/// Serves a run until it is over, or, without an outcome, until it is parked. Everything that went wrong on hosts is in the outcome and the view.
///
/// # Errors
/// The controller's own: disk, journal, another controller on the same run.
pub fn control(
    run_dir: &RunDir,
    options: ControlOptions,
) -> Result<Option<Outcome>, ControllerError> {
    let hold = Hold::take(run_dir, options.takeover)?;
    let planned = read_plan(run_dir)?;
    let local_hosts = planned.local_hosts.unwrap_or_else(|| run_dir.local_hosts());
    if !local_hosts.are_here()
        && let Some(host) = planned.plan.hosts.iter().find(|host| host.route == Route::Local)
    {
        return Err(ControllerError::LocalElsewhere { host: host.name.clone() });
    }
    let (journal, resumed) = Journal::open(&run_dir.journal(), planned.plan.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(|e| ControllerError::io("start the event loop for", run_dir.path(), e))?;
    let directory = planned.description.0.parent().unwrap_or(Path::new("/")).to_owned();
    let outcome = runtime.block_on(driver::drive(driver::Start {
        surroundings: Surroundings {
            directory,
            run: planned.plan.run.clone(),
            run_dir: run_dir.path().to_owned(),
        },
        run_dir: run_dir.clone(),
        local_hosts,
        directories: MemberDirectories::new(&planned.plan.run, planned.directory_number),
        ssh_config: planned.ssh_config,
        journal,
        resumed,
        agents: options.agents,
        await_operator: options.await_operator,
    }));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    hold.release();
    outcome
}

/// The plan of a run, and when it was made, in ms since 1970.
pub(crate) fn planned(run_dir: &RunDir) -> Result<(RunPlan, u64), ControllerError> {
    let planned = read_plan(run_dir)?;
    Ok((planned.plan, planned.started_unix_ms))
}

fn read_plan(run_dir: &RunDir) -> Result<Planned, ControllerError> {
    let path = run_dir.plan();
    let bytes = std::fs::read(&path).map_err(|e| ControllerError::io("read", &path, e))?;
    serde_json::from_slice(&bytes).map_err(|source| ControllerError::Format { path, source })
}

/// The runs of a directory, oldest first. What is no run is passed over.
pub fn runs(runs_directory: &Path) -> Vec<RunSummary> {
    let Ok(entries) = std::fs::read_dir(runs_directory) else { return Vec::new() };
    let dirs = entries.flatten().map(|entry| RunDir::at(entry.path()));
    let mut found: Vec<RunSummary> = dirs.filter_map(|dir| summary(&dir)).collect();
    found.sort_by(|a, b| (a.started_unix_ms, &a.id).cmp(&(b.started_unix_ms, &b.id)));
    found
}

/// The view that a run's controller wrote last, if there is one.
pub(crate) fn last_view(run_dir: &RunDir) -> Option<RunView> {
    serde_json::from_slice(&std::fs::read(run_dir.view()).ok()?).ok()
}

fn summary(run_dir: &RunDir) -> Option<RunSummary> {
    let planned = read_plan(run_dir).ok()?;
    let view = last_view(run_dir);
    Some(RunSummary {
        id: planned.plan.run,
        directory: run_dir.path().to_owned(),
        project: planned.plan.project.name.to_string(),
        started_unix_ms: planned.started_unix_ms,
        is_served: is_served(run_dir),
        outcome: view.and_then(|v| v.outcome),
    })
}

/// Whether a controller serves the run from this directory, on this machine.
pub fn is_served(run_dir: &RunDir) -> bool {
    std::fs::File::open(run_dir.lock())
        .is_ok_and(|file| matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Returns when no controller serves the run from this directory, on this machine.
///
/// # Errors
/// The lock cannot be waited for.
pub fn wait_for_end(run_dir: &RunDir) -> std::io::Result<()> {
    std::fs::File::open(run_dir.lock())?.lock_shared()
}

/// `PROJECT-` and six characters that no other run has.
fn make_id(project: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name: String = project.chars().map(|c| if plain(c) { c } else { '_' }).take(40).collect();
    let mut seed = blake3::Hasher::new();
    seed.update(&std::process::id().to_le_bytes());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    seed.update(&now.as_nanos().to_le_bytes());
    format!("{name}-{}", &seed.finalize().to_hex()[..6])
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_address_of_a_host_is_the_host_name_of_the_ssh_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        let text = "Host n1\n HostName 10.0.0.1\nHost *.lab\n HostName %h.example.org\n";
        std::fs::write(&config, text).unwrap();
        let names = ["u@n1:2222", "n2.lab", "n3", "[2001:db8::1]:22"];
        let mut hosts: Vec<_> = names.map(|name| PlannedHost::new(name, Route::Ssh)).into();
        hosts.push(PlannedHost::new("n1", Route::Local));
        Addresses::read(Some(&config)).find(&mut hosts);
        let found: Vec<&str> = hosts.iter().map(PlannedHost::address).collect();
        assert_eq!(found, ["10.0.0.1", "n2.lab.example.org", "n3", "2001:db8::1", "127.0.0.1"]);
    }
}
