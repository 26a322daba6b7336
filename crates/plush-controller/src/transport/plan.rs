//! Which client serves a host, and why; every hop ready to be connected to.
//!
//! Decides from the user's configuration alone: nothing is sent.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::address::{HostAddress, is_plain_name, is_plain_user};
use super::failure::{ConnectFailure, Stage};
use super::identities::Identities;
use super::known_hosts::{KeyName, KnownHosts};
use super::russh_client::{Hop, can_check_a_key};
use super::ssh_config::{HostSettings, LocalUser, SshConfig};
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
    known: Mutex<HashMap<Vec<PathBuf>, Arc<KnownHosts>>>,
}

/// The decision for one host.
pub(crate) struct Plan {
    pub settings: HostSettings,
    pub hops: Vec<Hop>,
    pub program: ProgramTarget,
    /// Empty: the in-process client can serve the host.
    pub program_because: Vec<String>,
}

impl Ssh {
    /// Reads the configuration.
    pub fn new(options: SshOptions) -> Self {
        let config = SshConfig::load(options.config_file.as_deref(), LocalUser::current());
        Self { options, config, known: Mutex::new(HashMap::new()) }
    }

    /// What the configuration says about a host.
    pub fn settings(&self, address: &HostAddress) -> HostSettings {
        self.config.settings(address)
    }

    /// The names of the lanes that connections to a host share with others: its address, and its jump host.
    pub fn lanes(&self, address: &HostAddress) -> Vec<String> {
        let settings = self.settings(address);
        let mut lanes = vec![format!("{}:{}", settings.host_name, settings.port)];
        lanes.extend(settings.proxy_jump.iter().map(|jump| format!("jump {jump}")));
        lanes
    }

    pub(crate) fn plan(&self, address: &HostAddress) -> Result<Plan, ConnectFailure> {
        let settings = self.settings(address);
        let mut because = settings.program_because.clone();
        let mut chain = vec![address.clone()];
        self.add_jumps(&settings, &mut chain)?;
        let mut hops = Vec::new();
        for hop in &chain {
            let settings = self.settings(hop);
            if hop != address {
                because.extend(
                    settings.program_because.iter().map(|why| format!("jump host {hop}: {why}")),
                );
            }
            hops.push(self.hop(hop, &settings, &mut because)?);
        }
        if self.options.preference == Preference::Program {
            because.push("the ssh program was asked for".to_owned());
        }
        let program = self.program(address, &settings, &chain, &hops);
        Ok(Plan { settings, hops, program, program_because: because })
    }

    /// Puts the jump hosts before the host: outermost first.
    fn add_jumps(
        &self,
        settings: &HostSettings,
        chain: &mut Vec<HostAddress>,
    ) -> Result<(), ConnectFailure> {
        let Some(jumps) = &settings.proxy_jump else { return Ok(()) };
        let bad = |cause: String| {
            ConnectFailure::permanent(Stage::Settings, cause)
                .hint("correct ProxyJump in the SSH configuration")
        };
        let mut before = Vec::new();
        for jump in jumps.split(',') {
            let jump = jump.trim().strip_prefix("ssh://").unwrap_or(jump.trim());
            before.push(HostAddress::parse(jump).map_err(|e| bad(e.to_string()))?);
        }
        if before.iter().any(|jump| chain.contains(jump)) || chain.len() + before.len() > MAX_JUMPS
        {
            return Err(bad("jump hosts lead in a circle, or there are too many".to_owned()));
        }
        let first = before.first().cloned();
        chain.splice(0..0, before);
        match first {
            // Only the first jump is reached by its own configuration; the others by the list.
            Some(first) => self.add_jumps(&self.settings(&first), chain),
            None => Ok(()),
        }
    }

    fn hop(
        &self,
        address: &HostAddress,
        settings: &HostSettings,
        because: &mut Vec<String>,
    ) -> Result<Hop, ConnectFailure> {
        if !is_plain_name(&settings.host_name) || !is_plain_user(&settings.user) {
            let cause = format!(
                "the SSH configuration makes {address} into {:?} at {:?}",
                settings.user, settings.host_name
            );
            return Err(ConnectFailure::permanent(Stage::Settings, cause));
        }
        if let Some(list) = &settings.host_key_algorithms
            && !can_check_a_key(list)
        {
            because.push(format!("HostKeyAlgorithms {list} is served by the ssh program only"));
        }
        let mut expand = |templates: &[String]| -> Vec<PathBuf> {
            let expanded = templates.iter().filter(|t| !t.eq_ignore_ascii_case("none")).filter_map(
                |template| {
                    let path = settings.expand(template, address.name(), self.config.user());
                    if path.is_none() {
                        because.push(format!("{template} uses tokens that Plush does not know"));
                    }
                    path
                },
            );
            expanded.collect()
        };
        let mut known_files = expand(&settings.user_known_hosts);
        known_files.extend(expand(&settings.global_known_hosts));
        let identities = Identities {
            files: expand(&settings.identity_files),
            certificates: expand(&settings.certificate_files),
            only: settings.identities_only,
            agent_socket: match settings.identity_agent.as_deref() {
                None | Some("SSH_AUTH_SOCK") => self.options.agent_socket.clone(),
                Some(none) if none.eq_ignore_ascii_case("none") => None,
                Some(variable) if variable.starts_with('$') && !variable.starts_with("${") => {
                    std::env::var_os(&variable[1..]).map(PathBuf::from)
                }
                Some(path) => expand(&[path.to_owned()]).pop(),
            },
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

    fn known_hosts(&self, files: Vec<PathBuf>) -> Arc<KnownHosts> {
        let mut known = self.known.lock().expect("no panic happens while known hosts are read");
        let loaded =
            known.entry(files).or_insert_with_key(|files| Arc::new(KnownHosts::load(files)));
        Arc::clone(loaded)
    }

    fn program(
        &self,
        address: &HostAddress,
        settings: &HostSettings,
        chain: &[HostAddress],
        hops: &[Hop],
    ) -> ProgramTarget {
        let jumps = chain.iter().zip(hops.iter().skip(1)).map(|(jump, onward)| ProgramJump {
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
