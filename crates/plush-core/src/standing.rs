//! Where an agent stands on its host: whether a logout ends it, and which way out there may be.
//! Not the going: the agent does that, and `plush doctor` only looks.
//!
//! A login over SSH is a session of systemd-logind. Its processes are in a scope, `session-N.scope`, and where
//! `KillUserProcesses` is on they are killed when the login is over. Below the user's own service manager,
//! `user@UID.service`, they are not; but that manager ends with the user's last session unless the user lingers.

use plush_protocol::Logout;

/// What can be seen of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// `/proc/self/cgroup`.
    pub cgroups: String,
    /// What `loginctl show-session` says of logind itself; empty if it says nothing.
    pub logind: String,
    /// The user's name, as logind knows it.
    pub user: String,
    /// The user is root.
    pub root: bool,
    /// The user's manager stays when nobody is logged in.
    pub lingers: bool,
}

/// What an agent does before it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It stays where it is.
    Stay,
    /// It asks the system's manager for a scope of its own.
    SystemScope,
    /// It asks the user's manager for one.
    UserScope,
}

/// What becomes of this process when its login is over.
pub fn logout(seen: &Seen) -> Logout {
    if in_session(&seen.cgroups) {
        return if kills(seen) { Logout::Ends } else { Logout::Stays };
    }
    let below_manager =
        units(&seen.cgroups).any(|unit| unit.starts_with("user@") && unit.ends_with(".service"));
    if below_manager && !seen.lingers { Logout::EndsWithLast } else { Logout::Stays }
}

/// Whether to leave, and by whom.
///
/// Where a logout kills nothing it is better to stay: the user's manager ends with the last login unless the user
/// lingers, the session's processes do not.
pub fn way(seen: &Seen) -> Way {
    if !in_session(&seen.cgroups) {
        return Way::Stay;
    }
    match (seen.root, kills(seen)) {
        (true, true) => Way::SystemScope,
        (false, true) => Way::UserScope,
        (false, false) if seen.lingers => Way::UserScope,
        (true | false, false) => Way::Stay,
    }
}

/// Whether a process in these control groups belongs to a login.
pub fn in_session(cgroups: &str) -> bool {
    units(cgroups).any(is_session)
}

/// The part of a control group's path before everything that ends with a login or with a user; `None` if nothing
/// of it does.
pub fn beyond_logins(path: &str) -> Option<&str> {
    let mut end = 0;
    for unit in path.split_inclusive('/') {
        let name = unit.trim_end_matches('/');
        let of_user = name.starts_with("user-") && name.ends_with(".slice");
        if of_user || is_session(name) {
            return Some(path[..end].trim_end_matches('/'));
        }
        end += unit.len();
    }
    None
}

fn is_session(unit: &str) -> bool {
    unit.starts_with("session-") && unit.ends_with(".scope")
}

/// The units in the paths of the hierarchies that systemd sees: the unified one, and its own on older hosts.
fn units(cgroups: &str) -> impl Iterator<Item = &str> {
    let paths = cgroups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        matches!(controllers, "" | "name=systemd").then_some(path)
    });
    paths.flat_map(|path| path.split('/'))
}

/// Whether logind kills what this user leaves behind; who cannot be asked may well do so.
fn kills(seen: &Seen) -> bool {
    let value = |name: &str| {
        let line = seen.logind.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(str::trim)
    };
    let listed = |names: &str| names.split_whitespace().any(|name| name == seen.user);
    if value("KillUserProcesses") == Some("no") {
        return false;
    }
    // Without a word of it root is excluded: that is logind's own default.
    let excluded = value("KillExcludeUsers").map_or(seen.root, listed);
    let only = value("KillOnlyUsers").is_none_or(|names| names.is_empty() || listed(names));
    !excluded && only
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "0::/user.slice/user-1000.slice/session-3.scope\n";
    const MANAGER: &str = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/p.scope\n";
    const HYBRID: &str =
        "4:memory:/x\n1:name=systemd:/user.slice/user-0.slice/session-9.scope\n0::/\n";

    fn seen(cgroups: &str, logind: &str) -> Seen {
        Seen {
            cgroups: cgroups.into(),
            logind: logind.into(),
            user: "mia".into(),
            root: false,
            lingers: false,
        }
    }

    #[track_caller]
    fn check(seen: &Seen, expected: Logout, by: Way) {
        assert_eq!((logout(seen), way(seen)), (expected, by), "{seen:?}");
    }

    #[test]
    fn outside_a_session_nothing_is_to_be_done() {
        for groups in ["", "0::/", "0::/system.slice/cron.service\n", "1:cpu:/session-1.scope\n"] {
            check(&seen(groups, "KillUserProcesses=yes"), Logout::Stays, Way::Stay);
        }
    }

    #[test]
    fn f09_a_session_that_is_killed_is_left() {
        let kills = "KillUserProcesses=yes\nKillOnlyUsers=\nKillExcludeUsers=root\n";
        check(&seen(SESSION, kills), Logout::Ends, Way::UserScope);
        check(&seen(HYBRID, kills), Logout::Ends, Way::UserScope);
        // Who cannot be asked may kill.
        check(&seen(SESSION, ""), Logout::Ends, Way::UserScope);
        let only_others = "KillUserProcesses=yes\nKillOnlyUsers=ben\nKillExcludeUsers=root\n";
        check(&seen(SESSION, only_others), Logout::Stays, Way::Stay);
        let excluded = "KillUserProcesses=yes\nKillExcludeUsers=ben mia\n";
        check(&seen(SESSION, excluded), Logout::Stays, Way::Stay);
    }

    #[test]
    fn root_is_spared_unless_it_is_not() {
        let root = |logind| Seen { user: "root".into(), root: true, ..seen(SESSION, logind) };
        check(&root("KillUserProcesses=yes\nKillExcludeUsers=root\n"), Logout::Stays, Way::Stay);
        check(&root(""), Logout::Stays, Way::Stay);
        check(&root("KillUserProcesses=yes\nKillExcludeUsers=\n"), Logout::Ends, Way::SystemScope);
    }

    #[test]
    fn a_session_that_is_not_killed_outlives_a_manager_that_does_not_linger() {
        let spares = "KillUserProcesses=no\n";
        check(&seen(SESSION, spares), Logout::Stays, Way::Stay);
        check(&seen(MANAGER, spares), Logout::EndsWithLast, Way::Stay);
        let lingers = |groups| Seen { lingers: true, ..seen(groups, spares) };
        check(&lingers(SESSION), Logout::Stays, Way::UserScope);
        check(&lingers(MANAGER), Logout::Stays, Way::Stay);
    }

    #[test]
    fn what_lies_beyond_logins_is_the_path_before_the_first_of_them() {
        assert_eq!(
            beyond_logins("/user.slice/user-1000.slice/session-3.scope"),
            Some("/user.slice")
        );
        assert_eq!(beyond_logins("/user-0.slice/x"), Some(""));
        assert_eq!(beyond_logins("/a/session-3.scope/x"), Some("/a"));
        assert_eq!(beyond_logins("/system.slice/cron.service"), None);
        assert_eq!(beyond_logins("/"), None);
    }
}
