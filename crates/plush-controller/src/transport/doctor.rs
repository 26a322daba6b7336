//! A look at how one host is reached: the client and why, the settings, the keys, the time of each stage.
//!
//! Changes nothing on the host and sends no agent.

use std::time::Duration;

use super::address::HostAddress;
use super::bootstrap;
use super::deadline::{Deadlines, Watchdog};
use super::failure::{ConnectFailure, Stage};
use super::link::Client;
use super::plan::{Plan, Ssh};
use super::russh_client;
use super::ssh_config::HostSettings;

/// What `plush doctor HOST` shows. Text from the host is escaped and bounded.
#[derive(Debug)]
pub struct DoctorReport {
    /// The host as asked.
    pub address: HostAddress,
    /// The client that serves it.
    pub client: Client,
    /// Why that one.
    pub why: Vec<String>,
    /// What the SSH configuration says.
    pub settings: HostSettings,
    /// The way: jump hosts first, the host last, as `user@name:port`.
    pub way: Vec<String>,
    /// Keys that are known for the host, with the file and line of each.
    pub known_keys: Vec<String>,
    /// Lines of the known-hosts files that could not be read.
    pub known_hosts_problems: Vec<String>,
    /// The key that the server proved, if it was accepted by the in-process client.
    pub host_key: Option<String>,
    /// Bytes that the login printed before a command ran.
    pub noise_bytes: u64,
    /// How long each stage took.
    pub stages: Vec<(Stage, Duration)>,
    /// Whether a command could be run.
    pub outcome: Result<(), ConnectFailure>,
}

/// Logs in to a host, runs one harmless command, and reports.
pub async fn examine(
    ssh: &Ssh,
    address: &HostAddress,
    deadlines: &Deadlines,
) -> Result<DoctorReport, ConnectFailure> {
    let mut dog = Watchdog::new(deadlines);
    let plan = ssh.plan(address)?;
    let client = if plan.program_because.is_empty() { Client::InProcess } else { Client::Program };
    let mut host_key = None;
    let mut noise_bytes = 0;
    let outcome = match visit(&plan, client, deadlines, &mut dog).await {
        Ok(visited) => {
            (host_key, noise_bytes) = visited;
            Ok(())
        }
        Err(failure) => Err(failure),
    };
    let why = match client {
        Client::InProcess => vec!["it can honour the SSH configuration of this host".to_owned()],
        Client::Program | Client::Local => plan.program_because,
    };
    let last = plan.hops.last().expect("a way has at least the host itself");
    Ok(DoctorReport {
        address: address.clone(),
        client,
        why,
        way: plan
            .hops
            .iter()
            .map(|hop| format!("{}@{}:{}", hop.user, hop.host_name, hop.port))
            .collect(),
        known_keys: last.known_hosts.known_for(&last.key_name),
        known_hosts_problems: last.known_hosts.problems().to_vec(),
        settings: plan.settings,
        host_key,
        noise_bytes,
        stages: dog.stages(),
        outcome,
    })
}

async fn visit(
    plan: &Plan,
    client: Client,
    deadlines: &Deadlines,
    dog: &mut Watchdog,
) -> Result<(Option<String>, u64), ConnectFailure> {
    match client {
        Client::InProcess => {
            let session = russh_client::open(&plan.hops, deadlines, dog).await?;
            let noise = bootstrap::greet(&session, deadlines.shell, dog).await?;
            Ok((Some(session.host_key.clone()), noise.seen_bytes()))
        }
        Client::Program | Client::Local => {
            let noise = bootstrap::greet(&plan.program, deadlines.total, dog).await?;
            Ok((None, noise.seen_bytes()))
        }
    }
}
