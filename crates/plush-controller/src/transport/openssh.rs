//! The ssh program's effective configuration for a host: `ssh -G`.
//!
//! Opens no connection. `Match exec` runs its command, as it does with `ssh`.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::address::HostAddress;
use super::failure::{ConnectFailure, Stage};
use super::plan::SshOptions;
use super::ssh_config::{HostSettings, Jumps};
use super::tainted::escape;
use crate::open_files;

/// Time limit for `ssh -G`. A slower `Match exec` would delay every login.
const LIMIT: Duration = Duration::from_secs(10);

/// What `ssh -G` printed: keywords in lower case, and their values.
#[derive(Debug)]
pub(crate) struct Answer(Vec<(String, String)>);

/// Why `ssh -G` gave no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The program does not exist.
    NoProgram(std::io::Error),
    /// A line is invalid for every host.
    FileRefused(String),
    /// An error for this host only.
    Refused(String),
    /// It exceeded the time limit.
    Late,
}

/// Queries one host, with the same options as the program that connects to it.
pub(crate) async fn ask(options: &SshOptions, address: &HostAddress) -> Result<Answer, NoAnswer> {
    let program = open_files::program(&options.program).map_err(NoAnswer::NoProgram)?;
    let mut command = Command::from(program);
    command.args(["-T", "-G"]);
    if let Some(file) = &options.config_file {
        command.arg("-F").arg(file);
    }
    if let Some(user) = address.user() {
        command.args(["-l", user]);
    }
    if let Some(port) = address.port() {
        command.args(["-p", &port.to_string()]);
    }
    command.arg("--").arg(OsString::from(address.name()));
    let command = command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).output();
    let output = match tokio::time::timeout(LIMIT, command).await {
        Ok(output) => output.map_err(NoAnswer::NoProgram)?,
        Err(_) => return Err(NoAnswer::Late),
    };
    if output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
        return Ok(Answer(lines.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()));
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<String> = words
        .lines()
        .map(|line| escape(line.trim().as_bytes()))
        .filter(|line| !line.is_empty())
        .collect();
    let shown = lines.iter().filter(|line| !line.contains(": terminating, "));
    let shown: String = shown.cloned().collect::<Vec<_>>().join("; ").chars().take(500).collect();
    let is_of_the_file = ["terminating, ", "Bad owner or permissions", "open user config file"]
        .iter()
        .any(|said| words.contains(said));
    Err(match is_of_the_file {
        true => NoAnswer::FileRefused(shown),
        false => NoAnswer::Refused(shown),
    })
}

impl Answer {
    fn value(&self, keyword: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == keyword).map(|(_, value)| value.as_str())
    }

    /// Replaces settings that Plush has read by the answers.
    pub(crate) fn over(&self, settings: HostSettings) -> Result<HostSettings, String> {
        let number = |keyword| self.value(keyword).and_then(|value| value.parse().ok());
        let proxy_jump = match self.value("proxyjump") {
            None => None,
            Some(list) => Some(Jumps::answered(list).ok_or_else(|| {
                format!("ProxyJump {} is not understood", escape(list.as_bytes()))
            })?),
        };
        Ok(HostSettings {
            host_name: self.value("hostname").map_or(settings.host_name, str::to_owned),
            user: self.value("user").map_or(settings.user, str::to_owned),
            port: self.value("port").and_then(|p| p.parse().ok()).unwrap_or(settings.port),
            host_key_alias: self.value("hostkeyalias").map(str::to_owned),
            proxy_jump,
            connect_timeout_s: number("connecttimeout"),
            server_alive_interval_s: number("serveraliveinterval").unwrap_or(0),
            ..settings
        })
    }
}

impl NoAnswer {
    /// Converts to the failure of a host. `because` is why the program was queried.
    pub(crate) fn failure(self, options: &SshOptions, because: &[String]) -> ConnectFailure {
        let program = options.program.display();
        let why = match because {
            [] => String::new(),
            because => format!(" (asked since {})", because.join("; ")),
        };
        let (cause, hint) = match self {
            NoAnswer::NoProgram(e) => {
                (format!("start {program}: {e}{why}"), "install the OpenSSH client")
            }
            NoAnswer::FileRefused(said) => (
                format!("ssh refuses the SSH configuration: {said}"),
                "correct the SSH configuration",
            ),
            NoAnswer::Refused(said) => (
                format!("ssh refuses the SSH configuration of this host: {said}{why}"),
                "correct the SSH configuration",
            ),
            NoAnswer::Late => (
                format!("`ssh -G` did not end within {} s{why}", LIMIT.as_secs()),
                "see what `Match exec` in the SSH configuration runs",
            ),
        };
        ConnectFailure::permanent(Stage::Settings, cause).hint(hint)
    }
}
