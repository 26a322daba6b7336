//! The OpenSSH program as a client: one process per command, our own deadlines around it.
//!
//! Never lets the program ask, learn a host key or forward anything, whatever the configuration says.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use super::child::attach;
use super::failure::{ConnectFailure, FailureClass, Stage};
use super::link::Aside;
use super::pipe::{Exec, Pipe, Running};
use crate::open_files;

/// One host as the program is told of it.
#[derive(Clone, Debug)]
pub(crate) struct ProgramTarget {
    pub program: PathBuf,
    pub config_file: Option<PathBuf>,
    /// As the user wrote it: the program resolves it by the same configuration.
    pub name: String,
    pub user: Option<String>,
    pub port: Option<u16>,
    pub connect_timeout_s: u64,
    pub own_keepalive: bool,
    /// Jump hosts, outermost first, each with the host and port to go on to.
    pub jumps: Vec<ProgramJump>,
}

/// A jump host as the program is told of it.
#[derive(Clone, Debug)]
pub(crate) struct ProgramJump {
    pub name: String,
    pub user: Option<String>,
    pub port: Option<u16>,
    pub onward_host: String,
    pub onward_port: u16,
}

impl ProgramTarget {
    /// The arguments, without the command to run.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut arguments = vec![OsString::from("-T")];
        arguments.extend(self.strict_options());
        if self.own_keepalive {
            arguments.extend(options(&["ServerAliveInterval=15", "ServerAliveCountMax=4"]));
        }
        if let Some(proxy) = self.proxy_command(&self.jumps) {
            arguments.extend(["-o".into(), joined(&["ProxyCommand=".as_ref(), &proxy])]);
        }
        arguments.extend(account(self.user.as_deref(), self.port));
        arguments.extend(["--".into(), OsString::from(&self.name)]);
        arguments
    }

    fn strict_options(&self) -> Vec<OsString> {
        let mut all = Vec::new();
        if let Some(file) = &self.config_file {
            all.extend(["-F".into(), file.clone().into_os_string()]);
        }
        all.extend(options(&[
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "UpdateHostKeys=no",
            "ClearAllForwardings=yes",
            "ForwardAgent=no",
            "ForwardX11=no",
            "PermitLocalCommand=no",
            "RemoteCommand=none",
            "Tunnel=no",
            "EscapeChar=none",
            "LogLevel=ERROR",
        ]));
        all.extend(options(&[&format!("ConnectTimeout={}", self.connect_timeout_s)]));
        all
    }

    /// `ssh -J` would not pass our strictness on to the jump hosts, so the command is written out.
    fn proxy_command(&self, jumps: &[ProgramJump]) -> Option<OsString> {
        let (last, before) = jumps.split_last()?;
        let mut words = vec![self.program.clone().into_os_string()];
        words.extend(self.strict_options());
        // The first jump host is reached as its own configuration says, be it by a ProxyCommand.
        if let Some(before) = self.proxy_command(before) {
            words.extend(["-o".into(), joined(&["ProxyCommand=".as_ref(), &before])]);
        }
        words.push("-W".into());
        words.push(format!("[{}]:{}", last.onward_host, last.onward_port).into());
        words.extend(account(last.user.as_deref(), last.port));
        words.extend(["--".into(), OsString::from(&last.name)]);
        let quoted: Vec<Vec<u8>> = words.iter().map(|word| shell_quoted(word.as_bytes())).collect();
        let command = quoted.join(b" ".as_slice());
        Some(OsString::from_vec(replaced(&command, b'%', b"%%")))
    }
}

fn options(list: &[&str]) -> Vec<OsString> {
    list.iter().flat_map(|option| ["-o".into(), OsString::from(option)]).collect()
}

fn account(user: Option<&str>, port: Option<u16>) -> Vec<OsString> {
    let user = user.map(|user| ["-l".into(), OsString::from(user)]);
    let port = port.map(|port| ["-p".into(), OsString::from(port.to_string())]);
    user.into_iter().chain(port).flatten().collect()
}

fn joined(parts: &[&OsStr]) -> OsString {
    parts.iter().copied().collect()
}

fn shell_quoted(word: &[u8]) -> Vec<u8> {
    [b"'".as_slice(), &replaced(word, b'\'', b"'\\''"), b"'"].concat()
}

fn replaced(bytes: &[u8], byte: u8, by: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|b| if *b == byte { by.to_vec() } else { vec![*b] }).collect()
}

impl Exec for ProgramTarget {
    fn exec<'a>(&'a self, command: &'a str) -> Running<'a> {
        Box::pin(async move {
            let start = |program| {
                Command::from(program)
                    .args(self.arguments())
                    .arg(command)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .process_group(0)
                    .kill_on_drop(true)
                    .spawn()
            };
            let child = open_files::program(&self.program).and_then(start).map_err(|e| {
                let cause = format!("start {}: {e}", self.program.display());
                ConnectFailure::permanent(Stage::Settings, cause).hint("install the OpenSSH client")
            })?;
            let (reader, writer, aside) = attach(child);
            Ok(Pipe { reader, writer, aside, leash: None, failure: Some(explain) })
        })
    }
}

/// Reads in the program's last words what went wrong; `None` if the program itself did not fail.
fn explain(aside: &Aside) -> Option<ConnectFailure> {
    if aside.end().is_none_or(|end| !end.contains("255")) {
        return None;
    }
    let words = aside.stderr();
    let says = |text: &str| words.contains(text);
    let (stage, class, hint) = if says("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        (
            Stage::HostKey,
            FailureClass::Permanent,
            "THE HOST KEY HAS CHANGED: ask the host's owner before you touch known_hosts",
        )
    } else if says("Host key verification failed") || says("host key is known") {
        (
            Stage::HostKey,
            FailureClass::Permanent,
            "run `plush doctor HOST`, compare the fingerprint with what the host's owner tells you, then add it to known_hosts",
        )
    } else if says("Permission denied")
        || says("Too many authentication failures")
        || says("Authentication failed")
    {
        (
            Stage::Auth,
            FailureClass::Permanent,
            "put your public key into authorized_keys there, or load the key into your SSH agent (ssh-add)",
        )
    } else if says("Could not resolve hostname") {
        (
            Stage::Resolve,
            FailureClass::Permanent,
            "check the name, or add HostName to the SSH configuration",
        )
    } else if says("Bad configuration option")
        || says("terminating,")
        || says("Bad owner or permissions")
        || says("_expand: ")
    {
        (Stage::Settings, FailureClass::Permanent, "correct the SSH configuration")
    } else if says("timed out during banner exchange")
        || says("invalid format")
        || says("banner line contains invalid")
    {
        (Stage::Banner, FailureClass::Retryable, "check the port: this may not be an SSH server")
    } else if says("kex_exchange_identification")
        || says("Exceeded MaxStartups")
        || says("Not allowed at this time")
    {
        (
            Stage::Banner,
            FailureClass::PushedBack,
            "the server limits connections that are not logged in yet (MaxStartups); Plush tries again, more slowly",
        )
    } else if says("Unable to negotiate") || says("no matching") {
        (
            Stage::KeyExchange,
            FailureClass::Permanent,
            "the SSH configuration and the server have no algorithm in common",
        )
    } else if says("Connection refused") {
        (
            Stage::Tcp,
            FailureClass::Retryable,
            "no SSH server listens there; check the port and that sshd runs",
        )
    } else if says("No route to host") || says("Network is unreachable") || says("timed out") {
        (Stage::Tcp, FailureClass::Retryable, "host down, or packets dropped")
    } else if says("Connection closed") || says("Connection reset") {
        (
            Stage::KeyExchange,
            FailureClass::PushedBack,
            "the server ended the connection during the handshake",
        )
    } else {
        (Stage::Tcp, FailureClass::Retryable, "")
    };
    Some(ConnectFailure::new(stage, class, format!("ssh says: {}", aside.last_words())).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(jumps: Vec<ProgramJump>) -> ProgramTarget {
        ProgramTarget {
            program: PathBuf::from("ssh"),
            config_file: Some(PathBuf::from("/tmp/it's 100%/config")),
            name: "web".to_owned(),
            user: Some("ann".to_owned()),
            port: Some(2222),
            connect_timeout_s: 10,
            own_keepalive: true,
            jumps,
        }
    }

    #[test]
    fn t08_every_program_that_is_started_is_strict() {
        let jump = |name: &str, onward: &str| ProgramJump {
            name: name.to_owned(),
            user: None,
            port: None,
            onward_host: onward.to_owned(),
            onward_port: 22,
        };
        let arguments =
            target(vec![jump("outer", "inner"), jump("inner", "web.example")]).arguments();
        let all = arguments.join(OsStr::new(" ")).into_string().unwrap_or_default();
        assert_eq!(all.matches("StrictHostKeyChecking=yes").count(), 3, "{all}");
        assert_eq!(all.matches("BatchMode=yes").count(), 3, "{all}");
        assert!(!all.contains("accept-new") && !all.contains("StrictHostKeyChecking=no"));
    }

    #[test]
    fn the_first_jump_host_is_reached_as_its_own_configuration_says() {
        let jump = |name: &str| ProgramJump {
            name: name.to_owned(),
            user: None,
            port: None,
            onward_host: "on".to_owned(),
            onward_port: 22,
        };
        let proxies = |jumps: Vec<ProgramJump>| {
            let all = target(jumps).arguments().join(OsStr::new(" "));
            all.into_string().unwrap_or_default().matches("ProxyCommand=").count()
        };
        assert_eq!(proxies(vec![jump("outer")]), 1, "for the host, and none for `outer`");
        assert_eq!(proxies(vec![jump("outer"), jump("inner")]), 2);
    }

    #[test]
    fn t12_the_host_stands_after_the_end_of_options() {
        let arguments = target(Vec::new()).arguments();
        assert_eq!(arguments[arguments.len() - 2..], ["--", "web"]);
    }
}
