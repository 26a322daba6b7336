//! `plush doctor`: tries the way to hosts, stage by stage.
//! Not a run: nothing is left on a host.

use crate::exit::ExitCode;
use crate::front::{self, Ssh};
use crate::host_arguments;
use crate::invocation::{Invocation, print, print_json};
use crate::render::doctor;
use crate::settings::Key;
use crate::trouble::Trouble;
use clap::{Args, ValueHint};
use plush_spec::hostset::HostSet;
use serde_json::json;
use std::path::PathBuf;
use std::rc::Rc;
use tokio::task::LocalSet;

/// The arguments of `plush doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Hosts, as sets
    #[arg(value_name = "HOST", required = true)]
    hosts: Vec<String>,
    /// The SSH configuration to use instead of ~/.ssh/config
    #[arg(short = 'F', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ssh_config: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  plush doctor node07
  plush doctor 'node[01-20]' me@gateway:2222

The exit code is 255 where a host cannot be reached.";

impl Arguments {
    /// The settings among these flags.
    pub fn settings(&self) -> Vec<(Key, Option<String>)> {
        vec![(
            Key::SshConfig,
            self.ssh_config.as_ref().map(|path| path.to_string_lossy().into_owned()),
        )]
    }
}

/// Hosts that are tried at once.
const AT_ONCE: usize = 16;

/// Tries them all; 255 where one cannot be reached.
pub async fn doctor(arguments: Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let mut hosts = HostSet::new();
    for set in &arguments.hosts {
        hosts = hosts.union(&host_arguments::set(set)?);
    }
    let hosts: Vec<String> = hosts.iter().collect();
    let ssh = Rc::new(front::ssh(invocation)?);
    let mut values = Vec::new();
    let mut code = ExitCode::Done;
    for some in hosts.chunks(AT_ONCE) {
        for (host, examined) in some.iter().zip(examine_all(some, &ssh).await?) {
            if !examined.as_ref().is_ok_and(|report| report.outcome.is_ok()) {
                code = ExitCode::Transport;
            }
            match invocation.is_for_programs() {
                true => values.push(doctor::value(host, &examined)),
                false => print(&doctor::page(host, &examined, invocation.paint_out()))?,
            }
        }
    }
    if invocation.is_for_programs() {
        print_json(&json!({ "version": 1, "hosts": values }))?;
    }
    Ok(code)
}

/// All at once; the answers are in the order of the hosts.
async fn examine_all(hosts: &[String], ssh: &Rc<Ssh>) -> Result<Vec<doctor::Examined>, Trouble> {
    let addresses =
        hosts.iter().map(|host| front::address(host)).collect::<Result<Vec<_>, Trouble>>()?;
    let local = LocalSet::new();
    let trials: Vec<_> = addresses
        .into_iter()
        .map(|address| {
            let ssh = Rc::clone(ssh);
            local.spawn_local(async move { front::examine(&ssh, &address).await })
        })
        .collect();
    local
        .run_until(async {
            let mut answers = Vec::new();
            for trial in trials {
                let answer = trial.await;
                answers.push(answer.map_err(|error| {
                    Trouble::new(ExitCode::Internal, "a trial broke off").caused_by(&error)
                })?);
            }
            Ok(answers)
        })
        .await
}
