//! Where a name leads by the user's SSH configuration: account, address, port, and what lies between.
//! Not whether two addresses are one machine: there each member has its own directory.

use super::address::HostAddress;
use super::plan::Ssh;
use std::net::IpAddr;

/// Two names with the same way are one account on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    user: String,
    host_name: String,
    port: u16,
    jumps: Vec<HostAddress>,
}

impl Ssh {
    /// The way to a host; `None` where only the ssh program knows it.
    pub fn way(&self, address: &HostAddress) -> Option<Way> {
        let settings = self.settings(address);
        if !settings.program_because.is_empty() {
            return None;
        }
        let jumps = self.jumps(address, &settings).ok()?;
        let name = settings.host_name.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        Some(Way {
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
        for other in ["bob@h1", "h1:2222", "10.0.0.2", "j1"] {
            assert!(!check(config, "h1", other), "{other}");
        }
        assert!(!check(config, "j1", "j2"));
        let config = "Host h1 h2\n HostName 10.0.0.1\n ProxyJump gate-%n\n";
        assert!(!check(config, "h1", "h2"), "tokens are expanded");
    }
}
