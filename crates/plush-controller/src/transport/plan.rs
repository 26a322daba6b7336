//! Which client serves a host, and why; every hop ready to be connected to.
//!
//! Decides from the user's configuration and `ssh -G` alone: nothing is sent.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::address::{HostAddress, is_plain_name, is_safe_user};
use super::failure::{ConnectFailure, Stage};
use super::identities::{Identities, IdentityFile};
use super::known_hosts::{KeyName, KnownHosts};
use super::openssh::{self, NoAnswer};
use super::russh_client::{Hop, can_check_a_key};
use super::ssh_config::{ConfigFiles, HostSettings, LocalUser, NamedFile, SshConfig, Tokens};
use super::ssh_program::{ProgramJump, ProgramTarget};

/// Jump hosts in a row.
const MAX_JUMPS: usize = 8;

/// Which SSH client to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// The in-process client where it can honour the configuration, else the program.
    Automatic,
    /// Always the ssh program.
    Program,
}

/// How to find and use SSH on the controller's machine.
#[derive(Clone, Debug)]
pub struct SshOptions {
    /// The configuration file to read instead of the usual ones (`ssh -F`).
    pub config_file: Option<PathBuf>,
    /// Which client.
    pub preference: Preference,
    /// The ssh program; found on PATH if it is a bare name.
    pub program: PathBuf,
    /// The agent of the environment (`SSH_AUTH_SOCK`).
    pub agent_socket: Option<PathBuf>,
}

impl SshOptions {
    /// What the environment says.
    pub fn from_environment() -> Self {
        Self {
            config_file: None,
            preference: Preference::Automatic,
            program: PathBuf::from("ssh"),
            agent_socket: std::env::var_os("SSH_AUTH_SOCK")
                .filter(|s| !s.is_empty())
                .map(PathBuf::from),
        }
    }
}

/// The user's SSH, read once for all hosts.
pub struct Ssh {
    pub(crate) options: SshOptions,
    config: SshConfig,
    /// With the system's configuration, where `options` name a file of another home.
    with_system: Option<SshConfig>,
    notes: Vec<String>,
    known: Mutex<HashMap<Vec<PathBuf>, Arc<KnownHosts>>>,
    /// Whether ssh accepts the files at all; queried once.
    accepted: OnceCell<Result<(), ConnectFailure>>,
    /// Hosts that the in-process client could not serve, and why.
    beyond: Mutex<HashMap<HostAddress, String>>,
}

/// The decision for one host.
pub(crate) struct Plan {
    pub settings: HostSettings,
    /// Jump hosts first, the host last, as `user@name:port`.
    pub way: Vec<String>,
    pub known_hosts: Arc<KnownHosts>,
    pub key_name: KeyName,
    /// Decisions that a reader of the configuration would not expect.
    pub notes: Vec<String>,
    pub served: Served,
}

/// The client that serves a host.
pub(crate) enum Served {
    InProcess(Vec<Hop>),
    /// The reasons are not empty.
    Program {
        target: ProgramTarget,
        because: Vec<String>,
    },
}

/// Hosts on the way, outermost first, the host itself last.
type Chain = Vec<(HostAddress, HostSettings)>;

impl Ssh {
    /// Reads the configuration.
    pub fn new(options: SshOptions) -> Self {
        let user = LocalUser::current();
        let other = match &options.config_file {
            Some(_) => None,
            None => other_home(&user),
        };
        let mut notes = Vec::new();
        let (files, options) = match other {
            None => match &options.config_file {
                Some(file) => (ConfigFiles::Only(file.clone()), options),
                None => (ConfigFiles::Usual, options),
            },
            Some(file) => {
                notes.push(format!(
                    "{} is read as with -F, since $HOME is not {}, the home directory in the user database",
                    file.display(),
                    user.home.display()
                ));
                let users = ConfigFiles::Users { file: file.clone(), and_system: false };
                (users, SshOptions { config_file: Some(file), ..options })
            }
        };
        let with_system = match &files {
            ConfigFiles::Users { file, .. } => {
                let file = file.clone();
                let both = ConfigFiles::Users { file, and_system: true };
                Some(SshConfig::load(&both, user.clone()))
            }
            ConfigFiles::Usual | ConfigFiles::Only(_) => None,
        };
        Self {
            config: SshConfig::load(&files, user),
            options,
            with_system,
            notes,
            known: Mutex::default(),
            accepted: OnceCell::new(),
            beyond: Mutex::default(),
        }
    }

    /// The user of this process.
    pub(crate) fn user(&self) -> &LocalUser {
        self.config.user()
    }

    /// The configuration of a host, as far as Plush understands it.
    pub fn settings(&self, address: &HostAddress) -> HostSettings {
        self.config.settings(address)
    }

    /// The names of the lanes that connections to a host share with others: its address, and its
    /// jump hosts.
    pub fn lanes(&self, address: &HostAddress) -> Vec<String> {
        let settings = self.settings(address);
        let mut lanes = vec![format!("{}:{}", settings.host_name, settings.port)];
        let jumps = self.jumps(address, &settings).unwrap_or_default();
        lanes.extend(jumps.iter().map(|jump| format!("jump {jump}")));
        lanes
    }

    /// Makes the ssh program serve this host from now on.
    pub(crate) fn leave_to_program(&self, address: &HostAddress, why: &ConnectFailure) {
        let why = format!("the in-process client failed while {}: {}", why.stage, why.cause);
        let mut beyond = self.beyond.lock().expect("no panic happens while a host is noted");
        beyond.insert(address.clone(), why);
    }

    /// Decides which client serves a host. The ssh program, if there is one, has to accept the
    /// files; where it serves the host, its answer determines the route.
    pub(crate) async fn plan(&self, address: &HostAddress) -> Result<Plan, ConnectFailure> {
        self.accepted
            .get_or_init(|| async {
                match openssh::ask(&self.options, address).await {
                    Err(refused @ NoAnswer::FileRefused(_)) => {
                        Err(refused.failure(&self.options, &[]))
                    }
                    Ok(_) | Err(NoAnswer::NoProgram(_) | NoAnswer::Refused(_) | NoAnswer::Late) => {
                        Ok(())
                    }
                }
            })
            .await
            .clone()?;
        let mut because = self.refused_ways(address);
        let chain = match self.own_chain(address, &mut because) {
            Ok(chain) if because.is_empty() => chain,
            Ok(_) => return self.plan_of_program(address, because).await,
            Err(why) => {
                because.push(why);
                return self.plan_of_program(address, because).await;
            }
        };
        self.refuse_other_system(&chain)?;
        let mut hops = Vec::new();
        for (hop, settings) in &chain {
            hops.push(self.hop(hop, settings, &mut because)?);
        }
        if !because.is_empty() {
            return self.plan_of_program(address, because).await;
        }
        self.finish(chain, hops, Served::InProcess)
    }

    fn refused_ways(&self, address: &HostAddress) -> Vec<String> {
        let beyond = self.beyond.lock().expect("no panic happens while a host is noted");
        let asked = self.options.preference == Preference::Program;
        let asked = asked.then(|| "the ssh program was asked for".to_owned());
        beyond.get(address).cloned().into_iter().chain(asked).collect()
    }

    /// The chain as Plush reads the configuration; `because` is why another client has to serve it.
    fn own_chain(&self, address: &HostAddress, because: &mut Vec<String>) -> Result<Chain, String> {
        let settings = self.settings(address);
        because.extend(settings.program_because.iter().cloned());
        let mut chain = vec![(address.clone(), settings)];
        loop {
            let (first, settings) = chain.first().expect("a chain has at least the host itself");
            let jumps = self.jumps(first, settings)?;
            // Only the first jump is reached by its own configuration; the others by the list.
            let Some(before) = within_limits(jumps, &chain)? else { return Ok(chain) };
            for jump in before.into_iter().rev() {
                let settings = self.settings(&jump);
                let reasons = settings.program_because.iter();
                because.extend(reasons.map(|why| format!("jump host {jump}: {why}")));
                chain.insert(0, (jump, settings));
            }
        }
    }

    /// The same, each host as `ssh -G` answers.
    async fn answered_chain(
        &self,
        address: &HostAddress,
        because: &[String],
    ) -> Result<Chain, ConnectFailure> {
        let bad = |cause: String| {
            ConnectFailure::permanent(Stage::Settings, cause)
                .hint("correct ProxyJump in the SSH configuration")
        };
        let mut chain = vec![self.answered(address, because).await?];
        loop {
            let (first, settings) = chain.first().expect("a chain has at least the host itself");
            let jumps = self.jumps(first, settings).map_err(bad)?;
            let Some(before) = within_limits(jumps, &chain).map_err(bad)? else {
                return Ok(chain);
            };
            for jump in before.into_iter().rev() {
                let answered = self.answered(&jump, because).await.map_err(|f| ConnectFailure {
                    cause: format!("jump host {jump}: {}", f.cause),
                    ..f
                })?;
                chain.insert(0, answered);
            }
        }
    }

    async fn answered(
        &self,
        address: &HostAddress,
        because: &[String],
    ) -> Result<(HostAddress, HostSettings), ConnectFailure> {
        let answer = openssh::ask(&self.options, address)
            .await
            .map_err(|no_answer| no_answer.failure(&self.options, because))?;
        let settings = answer.over(self.settings(address)).map_err(|cause| {
            ConnectFailure::permanent(Stage::Settings, format!("{address}: {cause}"))
                .hint("correct ProxyJump in the SSH configuration")
        })?;
        Ok((address.clone(), settings))
    }

    /// The jump hosts of a host, outermost first; the error text names the problem.
    pub(crate) fn jumps(
        &self,
        address: &HostAddress,
        settings: &HostSettings,
    ) -> Result<Vec<HostAddress>, String> {
        let Some(jumps) = &settings.proxy_jump else { return Ok(Vec::new()) };
        let tokens = Tokens { user: self.config.user(), original: address.name(), settings };
        jumps.hosts(&tokens).map_err(|why| format!("ProxyJump of {address}: {why}"))
    }

    /// The file of another home directory counts as with `-F`, so the ssh program does not read the
    /// system's file. The host is refused where that would make a difference, such as a jump host.
    fn refuse_other_system(&self, chain: &Chain) -> Result<(), ConnectFailure> {
        let Some(both) = &self.with_system else { return Ok(()) };
        match chain.iter().find(|(address, settings)| both.settings(address) != *settings) {
            None => Ok(()),
            Some((address, _)) => {
                let cause = format!(
                    "/etc/ssh/ssh_config says more about {address}, and ssh does not read it beside {}, \
                     since $HOME is not the home directory in the user database",
                    self.options.config_file.as_deref().unwrap_or(Path::new("")).display()
                );
                Err(ConnectFailure::permanent(Stage::Settings, cause)
                    .hint("set $HOME to that directory, or name one configuration with -F"))
            }
        }
    }

    fn finish(
        &self,
        chain: Chain,
        hops: Vec<Hop>,
        served: impl FnOnce(Vec<Hop>) -> Served,
    ) -> Result<Plan, ConnectFailure> {
        let last = hops.last().expect("a way has at least the host itself");
        let (known_hosts, key_name) = (Arc::clone(&last.known_hosts), last.key_name.clone());
        let way = hops.iter().map(|hop| format!("{}@{}:{}", hop.user, hop.host_name, hop.port));
        let way = way.collect();
        let settings = chain.into_iter().next_back().expect("a way has the host itself").1;
        let notes = self.notes.iter().chain(&settings.notes).cloned().collect();
        Ok(Plan { way, known_hosts, key_name, notes, served: served(hops), settings })
    }

    async fn plan_of_program(
        &self,
        address: &HostAddress,
        because: Vec<String>,
    ) -> Result<Plan, ConnectFailure> {
        let chain = self.answered_chain(address, &because).await?;
        self.refuse_other_system_of_program(&chain)?;
        let mut hops = Vec::new();
        for (hop, settings) in &chain {
            // The program handles what Plush does not understand.
            hops.push(self.hop(hop, settings, &mut Vec::new())?);
        }
        let target = self.program(address, &chain);
        self.finish(chain, hops, |_| Served::Program { target, because })
    }

    fn refuse_other_system_of_program(&self, chain: &Chain) -> Result<(), ConnectFailure> {
        match &self.with_system {
            None => Ok(()),
            Some(_) => {
                let own = chain.iter().map(|(hop, _)| (hop.clone(), self.settings(hop)));
                self.refuse_other_system(&own.collect())
            }
        }
    }

    fn hop(
        &self,
        address: &HostAddress,
        settings: &HostSettings,
        because: &mut Vec<String>,
    ) -> Result<Hop, ConnectFailure> {
        if !is_plain_name(&settings.host_name) || !is_safe_user(&settings.user) {
            let cause = format!(
                "the SSH configuration makes {address} into {:?} at {:?}",
                settings.user, settings.host_name
            );
            return Err(ConnectFailure::permanent(Stage::Settings, cause).hint(
                "correct HostName or User: a name has letters, digits and .-_:%, and neither begins with -",
            ));
        }
        if let Some(list) = &settings.host_key_algorithms
            && !can_check_a_key(list)
        {
            because.push(format!("HostKeyAlgorithms {list} is served by the ssh program only"));
        }
        let tokens = Tokens { user: self.config.user(), original: address.name(), settings };
        let mut expand = |file: &NamedFile| match tokens.in_path(&file.path) {
            Ok(path) => Some(path),
            Err(why) => {
                let place = file.place.iter().map(|place| format!("{place}: ")).collect::<String>();
                because.push(format!("{place}{}: {why}", file.path.display()));
                None
            }
        };
        let mut known_files: Vec<PathBuf> =
            settings.user_known_hosts.iter().filter_map(&mut expand).collect();
        known_files.extend(settings.global_known_hosts.iter().filter_map(&mut expand));
        let files = settings.identity_files.iter().filter_map(|file| {
            Some(IdentityFile { path: expand(file)?, named_at: file.place.clone() })
        });
        let files = files.collect();
        let identities = Identities {
            files,
            certificates: settings.certificate_files.iter().filter_map(&mut expand).collect(),
            only: settings.identities_only,
            agent_socket: self.agent_socket(settings, &mut expand),
        };
        Ok(Hop {
            name: address.name().to_owned(),
            host_name: settings.host_name.clone(),
            port: settings.port,
            user: settings.user.clone(),
            key_name: KeyName::new(
                &settings.host_name,
                settings.port,
                settings.host_key_alias.as_deref(),
            ),
            host_key_algorithms: settings.host_key_algorithms.clone(),
            address_family: settings.address_family,
            connect_timeout: settings
                .connect_timeout_s
                .filter(|s| *s > 0)
                .map(|s| Duration::from_secs(s.into())),
            alive: (settings.server_alive_interval_s > 0).then(|| {
                let count = usize::try_from(settings.server_alive_count).unwrap_or(usize::MAX);
                (Duration::from_secs(settings.server_alive_interval_s.into()), count)
            }),
            known_hosts: self.known_hosts(known_files),
            identities,
        })
    }

    fn agent_socket(
        &self,
        settings: &HostSettings,
        expand: &mut impl FnMut(&NamedFile) -> Option<PathBuf>,
    ) -> Option<PathBuf> {
        let Some(agent) = &settings.identity_agent else {
            return self.options.agent_socket.clone();
        };
        match agent.path.to_str() {
            Some("SSH_AUTH_SOCK") => self.options.agent_socket.clone(),
            Some(none) if none.eq_ignore_ascii_case("none") => None,
            Some(variable) if variable.starts_with('$') && !variable.starts_with("${") => {
                std::env::var_os(&variable[1..]).map(PathBuf::from)
            }
            Some(_) | None => expand(agent),
        }
    }

    fn known_hosts(&self, files: Vec<PathBuf>) -> Arc<KnownHosts> {
        let mut known = self.known.lock().expect("no panic happens while known hosts are read");
        let loaded =
            known.entry(files).or_insert_with_key(|files| Arc::new(KnownHosts::load(files)));
        Arc::clone(loaded)
    }

    fn program(&self, address: &HostAddress, chain: &Chain) -> ProgramTarget {
        let (_, settings) = chain.last().expect("a way has at least the host itself");
        let jumps = chain.iter().zip(chain.iter().skip(1));
        let jumps = jumps.map(|((jump, _), (_, onward))| ProgramJump {
            name: jump.name().to_owned(),
            user: jump.user().map(str::to_owned),
            port: jump.port(),
            onward_host: onward.host_name.clone(),
            onward_port: onward.port,
        });
        ProgramTarget {
            program: self.options.program.clone(),
            config_file: self.options.config_file.clone(),
            name: address.name().to_owned(),
            user: address.user().map(str::to_owned),
            port: address.port(),
            connect_timeout_s: settings
                .connect_timeout_s
                .filter(|s| *s > 0)
                .map_or(10, u64::from)
                .min(10),
            own_keepalive: settings.server_alive_interval_s == 0,
            jumps: jumps.collect(),
        }
    }
}

/// The user's configuration below `$HOME`, where that differs from the home directory that `ssh`
/// uses.
fn other_home(user: &LocalUser) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())?;
    let is_same = home == user.home
        || matches!((home.canonicalize(), user.home.canonicalize()), (Ok(a), Ok(b)) if a == b);
    let file = home.join(".ssh/config");
    (!is_same && file.exists()).then_some(file)
}

/// The jump hosts that come before a chain; `None` if there are none.
fn within_limits(
    jumps: Vec<HostAddress>,
    chain: &Chain,
) -> Result<Option<Vec<HostAddress>>, String> {
    let known = |jump: &HostAddress| chain.iter().any(|(hop, _)| hop == jump);
    if jumps.iter().any(known) || chain.len() + jumps.len() > MAX_JUMPS {
        return Err("jump hosts lead in a circle, or there are too many".to_owned());
    }
    Ok((!jumps.is_empty()).then_some(jumps))
}
