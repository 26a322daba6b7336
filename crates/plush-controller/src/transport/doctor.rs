//! A look at how one host is reached: the client and why, the settings, the keys, the time of each stage.
//!
//! Changes nothing on the host and sends no agent.

use std::time::Duration;

use super::address::HostAddress;
use super::bootstrap::{self, Looked};
use super::deadline::{Deadlines, Watchdog};
use super::failure::{ConnectFailure, FailureClass, Stage};
use super::link::Client;
use super::plan::{Served, Ssh};
use super::russh_client;
use super::ssh_config::HostSettings;
use plush_core::standing::{self, Way};
use plush_protocol::{Guarantee, Logout};

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
    /// Decisions that a reader of the configuration would not expect.
    pub notes: Vec<String>,
    /// Keys that are known for the host, with the file and line of each.
    pub known_keys: Vec<String>,
    /// Lines of the known-hosts files that could not be read.
    pub known_hosts_problems: Vec<String>,
    /// The key that the server proved, if it was accepted by the in-process client.
    pub host_key: Option<String>,
    /// Bytes that the login printed before a command ran.
    pub noise_bytes: u64,
    /// How surely tasks would be ended there, as far as it can be seen without trying.
    pub guarantee: Option<Guarantee>,
    /// What a logout there would do to an agent.
    pub logout: Logout,
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
    let mut plan = ssh.plan(address).await?;
    let mut visited = visit(&plan.served, deadlines, &mut dog).await;
    if let Err(failure) = &visited
        && failure.class == FailureClass::Beyond
    {
        let first = failure.clone();
        ssh.leave_to_program(address, &first);
        plan = ssh.plan(address).await.map_err(|second| first.clone().and(&second))?;
        dog = Watchdog::new(deadlines);
        visited =
            visit(&plan.served, deadlines, &mut dog).await.map_err(|second| first.and(&second));
    }
    let (outcome, visited) = match visited {
        Ok(visited) => (Ok(()), visited),
        Err(failure) => (Err(failure), Visited::default()),
    };
    let (client, why) = match plan.served {
        Served::InProcess(_) => {
            (Client::InProcess, vec!["it can honour the SSH configuration of this host".to_owned()])
        }
        Served::Program { because, .. } => (Client::Program, because),
    };
    Ok(DoctorReport {
        address: address.clone(),
        client,
        why,
        way: plan.way,
        notes: plan.notes,
        known_keys: plan.known_hosts.known_for(&plan.key_name),
        known_hosts_problems: plan.known_hosts.problems().to_vec(),
        settings: plan.settings,
        host_key: visited.host_key,
        noise_bytes: visited.noise_bytes,
        guarantee: visited.looked.as_ref().map(guarantee),
        logout: visited.looked.as_ref().map_or(Logout::Stays, logout),
        stages: dog.stages(),
        outcome,
    })
}

async fn visit(
    served: &Served,
    deadlines: &Deadlines,
    dog: &mut Watchdog,
) -> Result<Visited, ConnectFailure> {
    match served {
        Served::InProcess(hops) => {
            let session = russh_client::open(hops, deadlines, dog).await?;
            let (noise, looked) = bootstrap::greet(&session, deadlines.shell, dog).await?;
            let host_key = Some(session.host_key.clone());
            Ok(Visited { host_key, noise_bytes: noise.seen_bytes(), looked })
        }
        Served::Program { target, .. } => {
            let (noise, looked) = bootstrap::greet(target, deadlines.total, dog).await?;
            Ok(Visited { host_key: None, noise_bytes: noise.seen_bytes(), looked })
        }
    }
}

#[derive(Default)]
struct Visited {
    host_key: Option<String>,
    noise_bytes: u64,
    looked: Option<Looked>,
}

/// Where a manager gives the agent a scope of its own, control groups come with it.
fn guarantee(looked: &Looked) -> Guarantee {
    let scope = looked.manager && standing::way(&looked.seen) != Way::Stay;
    match (looked.group || scope, looked.processes) {
        (true, _) => Guarantee::Cgroup,
        (false, true) => Guarantee::Subreaper,
        (false, false) => Guarantee::Group,
    }
}

/// After the agent has left the login, where it can.
fn logout(looked: &Looked) -> Logout {
    match standing::way(&looked.seen) {
        Way::Stay => standing::logout(&looked.seen),
        Way::SystemScope if looked.manager => Logout::Stays,
        Way::UserScope if looked.manager && looked.seen.lingers => Logout::Stays,
        Way::UserScope if looked.manager => Logout::EndsWithLast,
        Way::SystemScope | Way::UserScope => standing::logout(&looked.seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plush_core::standing::Seen;

    fn looked(cgroups: &str, manager: bool, lingers: bool) -> Looked {
        let logind = "KillUserProcesses=yes\nKillExcludeUsers=root\n".into();
        let seen =
            Seen { cgroups: cgroups.into(), logind, user: "mia".into(), root: false, lingers };
        Looked { seen, group: false, processes: true, manager }
    }

    #[test]
    fn f09_the_doctor_says_what_a_logout_does_after_the_agent_has_left() {
        let session = "0::/user.slice/user-1000.slice/session-3.scope\n";
        let check = |looked: &Looked, expected| {
            assert_eq!((guarantee(looked), logout(looked)), expected);
        };
        check(&looked(session, true, true), (Guarantee::Cgroup, Logout::Stays));
        check(&looked(session, true, false), (Guarantee::Cgroup, Logout::EndsWithLast));
        check(&looked(session, false, true), (Guarantee::Subreaper, Logout::Ends));
        check(&looked("0::/\n", true, false), (Guarantee::Subreaper, Logout::Stays));
        let blind = Looked { processes: false, ..looked("", false, false) };
        check(&blind, (Guarantee::Group, Logout::Stays));
    }
}
