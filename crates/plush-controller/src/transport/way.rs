//! The route of a name in the user's SSH configuration: account, address, port, and hops in
//! between.
//! Not whether two addresses are one machine: on it each member has its own directory.

use super::address::HostAddress;
use super::plan::Ssh;
use super::ssh_config::{BY_COMMAND, Tokens};
use std::net::IpAddr;

/// Two names with the same route are one account on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    user: String,
    host_name: String,
    port: u16,
    jumps: Vec<HostAddress>,
    command: Option<String>,
}

impl Ssh {
    /// The route to a host; `None` where only the ssh program can determine it.
    pub fn way(&self, address: &HostAddress) -> Option<Way> {
        let settings = self.settings(address);
        let is_known = |why: &String| why.ends_with(BY_COMMAND);
        if !settings.program_because.iter().all(is_known) {
            return None;
        }
        let jumps = self.jumps(address, &settings).ok()?;
        let tokens = Tokens { user: self.user(), original: address.name(), settings: &settings };
        let command = settings.proxy_command.as_deref().map(|command| tokens.in_command(command));
        let command = command.transpose().ok()?;
        let name = settings.host_name.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        Some(Way {
            command,
            host_name: name.parse::<IpAddr>().map_or(name.to_owned(), |ip| ip.to_string()),
            user: settings.user,
            port: settings.port,
            jumps,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::plan::{Preference, SshOptions};
    use super::*;

    fn check(config: &str, one: &str, other: &str) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        std::fs::write(&file, config).unwrap();
        let ssh = Ssh::new(SshOptions {
            config_file: Some(file),
            preference: Preference::Automatic,
            program: "ssh".into(),
            agent_socket: None,
        });
        let way = |name: &str| ssh.way(&HostAddress::parse(name).unwrap());
        way(one).is_some() && way(one) == way(other)
    }

    #[test]
    fn names_of_one_account_have_one_way() {
        let config = "Host h1 alias\n HostName 10.0.0.1\nHost *\n User ann\n";
        assert!(check(config, "h1", "ann@h1"));
        assert!(check(config, "h1", "alias"));
        assert!(check(config, "h1:22", "10.0.0.1"));
        assert!(check("Host *\n User ann\n", "H1.example.", "h1.example"));
    }

    #[test]
    fn another_account_port_address_or_jump_host_is_another_way() {
        let config = "Host h1 j1 j2\n HostName 10.0.0.1\nHost j1\n ProxyJump gate-a\n\
                      Host j2\n ProxyJump gate-b\nHost *\n User ann\n";
        let config = format!(
            "Host c1 c2 c3\n HostName 10.0.0.9\nHost c1 c2\n ProxyCommand nc -x gate %h %p\n\
             Host c3\n ProxyCommand kubectl exec %n\n{config}"
        );
        assert!(check(&config, "c1", "c2"), "one command leads both to one place");
        assert!(!check(&config, "c1", "c3"));
        assert!(!check(&config, "c1", "10.0.0.9"));
        let config = config.as_str();
        for other in ["bob@h1", "h1:2222", "10.0.0.2", "j1"] {
            assert!(!check(config, "h1", other), "{other}");
        }
        assert!(!check(config, "j1", "j2"));
        let config = "Host h1 h2\n HostName 10.0.0.1\n ProxyJump gate-%n\n";
        assert!(!check(config, "h1", "h2"), "tokens are expanded");
    }
}
