//! What the user's ssh_config says about one host, as OpenSSH would read it.
//!
//! Not a complete ssh: what Plush does not know or cannot do sends the host to the ssh program, with the reason.
//! The reference is `ssh -G`; a test compares the two on a generated corpus.

mod expand;
mod jump;
mod keywords;
mod lines;
mod local_user;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

pub(crate) use self::expand::Tokens;
pub use self::jump::Jumps;
use self::keywords::{Meaning, meaning};
use self::lines::{Bases, ConfigText, Item, Line, Permissions};
pub use self::local_user::LocalUser;
use super::address::HostAddress;
use super::patterns::{matches_list, matches_pattern};

const DEFAULT_IDENTITIES: [&str; 5] = [
    "~/.ssh/id_rsa",
    "~/.ssh/id_ecdsa",
    "~/.ssh/id_ecdsa_sk",
    "~/.ssh/id_ed25519",
    "~/.ssh/id_ed25519_sk",
];
const DEFAULT_USER_KNOWN_HOSTS: [&str; 2] = ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"];
const DEFAULT_GLOBAL_KNOWN_HOSTS: [&str; 2] =
    ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/// The configuration files, read once.
#[derive(Debug)]
pub struct SshConfig {
    files: Vec<ConfigText>,
    user: LocalUser,
}

/// The settings of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// The name or address to connect to.
    pub host_name: String,
    /// The account on the host.
    pub user: String,
    /// The TCP port.
    pub port: u16,
    /// Files of keys; OpenSSH's defaults if the user named none.
    pub identity_files: Vec<NamedFile>,
    /// Offer only the named files' keys.
    pub identities_only: bool,
    /// Socket of the agent to ask, `none`, or `SSH_AUTH_SOCK`.
    pub identity_agent: Option<NamedFile>,
    /// Certificates to offer.
    pub certificate_files: Vec<NamedFile>,
    /// The user's files of known keys.
    pub user_known_hosts: Vec<NamedFile>,
    /// The system's files of known keys: only `~` is expanded.
    pub global_known_hosts: Vec<NamedFile>,
    /// The name under which the key is known.
    pub host_key_alias: Option<String>,
    /// Which kinds of host key to accept, in OpenSSH's notation.
    pub host_key_algorithms: Option<String>,
    /// Hosts to go through.
    pub proxy_jump: Option<Jumps>,
    /// The command to go through, as written: tokens are not expanded.
    pub proxy_command: Option<String>,
    /// Seconds for the TCP connection.
    pub connect_timeout_s: Option<u32>,
    /// Seconds between signs of life inside SSH.
    pub server_alive_interval_s: u32,
    /// How many may stay unanswered.
    pub server_alive_count: u32,
    /// Which kind of address to use.
    pub address_family: AddressFamily,
    /// Why only the ssh program can serve this host; empty if Plush can.
    pub program_because: Vec<String>,
    /// What is overruled or passed over, for people.
    pub notes: Vec<String>,
}

/// A path in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// As written: tokens, variables and `~` are not expanded.
    pub path: OsString,
    /// File and line that name it; `None` for a default.
    pub place: Option<String>,
}

/// Which kind of address to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    /// Either.
    Any,
    /// IPv4 only.
    Inet,
    /// IPv6 only.
    Inet6,
}

/// The configuration files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigFiles {
    /// The user's and the system's.
    Usual,
    /// This one alone, as with `ssh -F`; `none` reads nothing.
    Only(PathBuf),
    /// This one as the user's, and perhaps the system's.
    Users {
        /// The user's file.
        file: PathBuf,
        /// Whether the system's file is read after it.
        and_system: bool,
    },
}

impl SshConfig {
    /// Reads the files.
    pub fn load(files: &ConfigFiles, user: LocalUser) -> Self {
        let home = || user.home.clone();
        let ssh = Bases { home: home(), relative: home().join(".ssh"), is_system: false };
        let own = |file: &Path| lines::read_file(file, &ssh, Permissions::Checked, 0);
        let system = || {
            let etc = PathBuf::from("/etc/ssh");
            let bases = Bases { home: home(), relative: etc.clone(), is_system: true };
            lines::read_file(&etc.join("ssh_config"), &bases, Permissions::Any, 0)
        };
        let files = match files {
            ConfigFiles::Only(file) if file == Path::new("none") => Vec::new(),
            ConfigFiles::Only(file) if !file.exists() => {
                let why = format!("read {}: no such file", file.display());
                vec![ConfigText { items: vec![Item::Unreadable(why)] }]
            }
            ConfigFiles::Only(file) => vec![lines::read_file(file, &ssh, Permissions::Any, 0)],
            ConfigFiles::Usual => vec![own(&ssh.relative.join("config")), system()],
            ConfigFiles::Users { file, and_system: true } => vec![own(file), system()],
            ConfigFiles::Users { file, and_system: false } => vec![own(file)],
        };
        Self { files, user }
    }

    /// The user of this process.
    pub fn user(&self) -> &LocalUser {
        &self.user
    }

    /// What the configuration says about a host; user and port of the address come first.
    pub fn settings(&self, address: &HostAddress) -> HostSettings {
        let mut pass = Pass::new(self, address);
        for file in &self.files {
            pass.read(file, false);
        }
        if pass.wants_final {
            pass.begin_final();
            for file in &self.files {
                pass.read(file, false);
            }
        }
        pass.finish()
    }
}

/// Values found so far: the first one for a keyword stays.
#[derive(Default)]
struct Found {
    host_name: Option<String>,
    user: Option<String>,
    port: Option<u16>,
    identity_files: Vec<NamedFile>,
    identities_only: Option<bool>,
    identity_agent: Option<NamedFile>,
    certificate_files: Vec<NamedFile>,
    user_known_hosts: Option<Vec<NamedFile>>,
    global_known_hosts: Option<Vec<NamedFile>>,
    host_key_alias: Option<String>,
    host_key_algorithms: Option<String>,
    proxy: Option<Proxy>,
    connect_timeout_s: Option<u32>,
    alive_interval_s: Option<u32>,
    alive_count: Option<u32>,
    address_family: Option<AddressFamily>,
    ignore_unknown: Option<Vec<String>>,
    decided: Vec<String>,
    because: Vec<String>,
    notes: Vec<String>,
}

/// End of the reason for a host that ssh serves because of a ProxyCommand.
pub(crate) const BY_COMMAND: &str = "ProxyCommand is served by the ssh program only";

enum Proxy {
    Jump(Jumps),
    Command {
        place: String,
        /// As written: tokens are not expanded.
        template: String,
    },
    None,
}

struct Pass<'a> {
    config: &'a SshConfig,
    original: &'a str,
    /// What `Host` lines are compared with.
    host: String,
    is_final: bool,
    wants_final: bool,
    active: bool,
    found: Found,
}

impl<'a> Pass<'a> {
    fn new(config: &'a SshConfig, address: &'a HostAddress) -> Self {
        let found = Found {
            user: address.user().map(str::to_owned),
            port: address.port(),
            ..Found::default()
        };
        let host = address.name().to_owned();
        Self {
            config,
            original: address.name(),
            host,
            is_final: false,
            wants_final: false,
            active: true,
            found,
        }
    }

    fn begin_final(&mut self) {
        self.host = self.resolved_name();
        self.found.host_name = Some(self.host.clone());
        self.is_final = true;
    }

    /// The name to connect to. A token that HostName does not take stays: no host has such a name.
    fn resolved_name(&self) -> String {
        let name = match &self.found.host_name {
            // The first pass has expanded it.
            Some(name) if self.is_final => name.clone(),
            Some(template) => host_name(template, &self.host),
            None => self.host.clone(),
        };
        if name.parse::<std::net::IpAddr>().is_ok() { name } else { name.to_lowercase() }
    }

    /// `never`: the file is included from a block that does not apply.
    fn read(&mut self, file: &ConfigText, never: bool) {
        if !never {
            self.active = true;
        }
        self.read_items(file, never);
    }

    fn read_items(&mut self, file: &ConfigText, never: bool) {
        for item in &file.items {
            match item {
                Item::Line(line) => self.line(line, never),
                Item::Include(files) => {
                    let before = self.active;
                    for included in files {
                        self.active = before;
                        self.read_items(included, never || !before);
                    }
                    self.active = before;
                }
                Item::Unreadable(why) => self.because(why.clone()),
            }
        }
    }

    fn line(&mut self, line: &Line, never: bool) {
        match line.keyword.as_str() {
            "host" => {
                let patterns = line.args.iter().map(|arg| String::from_utf8_lossy(arg).into());
                self.active = !never && matches_list(&self.host, patterns);
            }
            "match" => {
                let matched = self.matches(line, never);
                self.active = !never && matched;
            }
            keyword => self.setting(keyword, line),
        }
    }

    fn setting(&mut self, keyword: &str, line: &Line) {
        match meaning(keyword) {
            Meaning::Honoured if self.active => {
                if self.honour(keyword, line).is_none() {
                    self.because(format!(
                        "{}: {keyword} has a value that Plush does not understand",
                        line.place
                    ));
                }
            }
            Meaning::Program(harmless) if self.active => {
                if !self.found.decided.iter().any(|k| k == keyword) {
                    self.found.decided.push(keyword.to_owned());
                    let value = line.first().unwrap_or_default().to_ascii_lowercase();
                    if !harmless.contains(&value.as_str()) {
                        self.because(format!(
                            "{}: {keyword} is served by the ssh program only",
                            line.place
                        ));
                    }
                }
            }
            Meaning::Honoured | Meaning::Program(_) | Meaning::Without => {}
            // ssh rejects the whole file for such a line, wherever it is.
            Meaning::Unknown => {
                let ignored = self.found.ignore_unknown.iter().flatten();
                if !matches_list(keyword, ignored.map(|p| p.to_lowercase())) {
                    self.because(format!(
                        "{}: the keyword {keyword} is not known to Plush",
                        line.place
                    ));
                }
            }
        }
    }

    /// Keeps a value; `None` if it cannot be understood.
    fn honour(&mut self, keyword: &str, line: &Line) -> Option<()> {
        let found = &mut self.found;
        let files = || line.args.iter().map(|arg| named_file(arg, line));
        match keyword {
            "identityfile" => add(&mut found.identity_files, files().next()?),
            "certificatefile" => add(&mut found.certificate_files, files().next()?),
            "identityagent" => keep(&mut found.identity_agent, files().next()?),
            "userknownhostsfile" => keep(&mut found.user_known_hosts, files().collect()),
            "globalknownhostsfile" => keep(&mut found.global_known_hosts, files().collect()),
            "proxyjump" => {
                keep(&mut found.proxy, Jumps::written(line)?.map_or(Proxy::None, Proxy::Jump));
            }
            "proxycommand" if line.rest.eq_ignore_ascii_case(b"none") => {
                keep(&mut found.proxy, Proxy::None);
            }
            "proxycommand" => {
                let template = String::from_utf8_lossy(&line.rest).into_owned();
                keep(&mut found.proxy, Proxy::Command { place: line.place.clone(), template });
            }
            _ => return self.honour_text(keyword, line.first()?, line),
        }
        Some(())
    }

    fn honour_text(&mut self, keyword: &str, first: &str, line: &Line) -> Option<()> {
        let found = &mut self.found;
        match keyword {
            // ssh ends with an error for any token but these.
            "hostname" if first.replace("%%", "").replace("%h", "").contains('%') => return None,
            "hostname" => keep(&mut found.host_name, first.to_owned()),
            // Newer versions of ssh expand tokens in User, older ones do not.
            "user" if first.contains(['%', '$']) => return None,
            "user" => keep(&mut found.user, first.to_owned()),
            "port" => keep(&mut found.port, first.parse().ok().filter(|p| *p > 0)?),
            // The line is ignored; a later line counts.
            "connecttimeout" | "serveraliveinterval" if first == "none" => {}
            "identitiesonly" => keep(&mut found.identities_only, yes_no(first)?),
            "hostkeyalias" => keep(&mut found.host_key_alias, first.to_owned()),
            "hostkeyalgorithms" => keep(&mut found.host_key_algorithms, first.to_owned()),
            "connecttimeout" => keep(&mut found.connect_timeout_s, seconds(first)?),
            "serveraliveinterval" => keep(&mut found.alive_interval_s, seconds(first)?),
            "serveralivecountmax" => keep(&mut found.alive_count, first.parse().ok()?),
            "addressfamily" => keep(&mut found.address_family, family(first)?),
            "ignoreunknown" => {
                keep(&mut found.ignore_unknown, first.split(',').map(str::to_owned).collect());
            }
            "stricthostkeychecking" => {
                if !matches!(first.to_ascii_lowercase().as_str(), "yes" | "true" | "ask") {
                    let note = format!(
                        "{}: StrictHostKeyChecking {first} is not followed: Plush is always strict",
                        line.place
                    );
                    if !found.notes.contains(&note) {
                        found.notes.push(note);
                    }
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Whether a `Match` line holds; `never` if it stands where no block applies.
    fn matches(&mut self, line: &Line, never: bool) -> bool {
        let refused = |pass: &mut Self, what: &str| {
            pass.because(format!("{}: {what}", line.place));
            false
        };
        let words: Option<Vec<&str>> =
            line.args.iter().map(|arg| std::str::from_utf8(arg).ok()).collect();
        let (Some(words), true) = (words, line.is_plain) else {
            return refused(self, "Match has quotes that Plush does not understand");
        };
        let mut result = true;
        let mut attributes = 0;
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (word, inline) = match word.split_once('=') {
                Some((word, value)) => (word, Some(value)),
                None => (word, None),
            };
            let (negated, criterion) = match word.strip_prefix('!') {
                Some(rest) => (true, rest.to_ascii_lowercase()),
                None => (false, word.to_ascii_lowercase()),
            };
            attributes += 1;
            let held = match criterion.as_str() {
                "all" if attributes > 2 || inline.is_some() || words.len() > 0 => {
                    return refused(self, "Match all stands beside other criteria");
                }
                "all" => true,
                "final" | "canonical" if inline.is_some() => {
                    return refused(self, "Match has a value that Plush does not understand");
                }
                "final" | "canonical" => {
                    self.wants_final |= criterion == "final";
                    self.is_final
                }
                _ => {
                    let value = inline.or_else(|| words.next()).unwrap_or_default();
                    if value.is_empty() || value.starts_with('=') {
                        return refused(self, &format!("Match {criterion} has no value"));
                    }
                    match self.criterion(&criterion, value) {
                        Some(held) => held,
                        // Other criteria already exclude this block for the host.
                        None if criterion == "exec" && (never || !result) => true,
                        None => {
                            let why =
                                format!("Match {criterion} is served by the ssh program only");
                            return refused(self, &why);
                        }
                    }
                }
            };
            result &= held != negated;
        }
        result
    }

    fn criterion(&self, criterion: &str, value: &str) -> Option<bool> {
        let list = || value.split(',').map(str::to_owned);
        let lowered = || value.split(',').map(str::to_lowercase);
        Some(match criterion {
            "host" => matches_list(&self.current_name().to_lowercase(), lowered()),
            "originalhost" => matches_list(&self.original.to_lowercase(), lowered()),
            "user" => {
                matches_list(self.found.user.as_ref().unwrap_or(&self.config.user.name), list())
            }
            "localuser" => matches_list(&self.config.user.name, list()),
            _ => return None,
        })
    }

    fn current_name(&self) -> String {
        match &self.found.host_name {
            Some(template) if !self.is_final => host_name(template, self.original),
            Some(name) => name.clone(),
            None => self.original.to_owned(),
        }
    }

    fn because(&mut self, why: String) {
        if !self.found.because.contains(&why) {
            self.found.because.push(why);
        }
    }

    fn finish(mut self) -> HostSettings {
        let host_name = self.resolved_name();
        if let Some(Proxy::Command { place, .. }) = &self.found.proxy {
            self.because(format!("{place}: {BY_COMMAND}"));
        }
        let found = self.found;
        let real = |files: Vec<NamedFile>| -> Vec<NamedFile> {
            files.into_iter().filter(|file| !file.path.eq_ignore_ascii_case("none")).collect()
        };
        let defaults = |paths: &[&str]| -> Vec<NamedFile> {
            paths.iter().map(|path| NamedFile { path: path.into(), place: None }).collect()
        };
        HostSettings {
            host_name,
            user: found.user.unwrap_or_else(|| self.config.user.name.clone()),
            port: found.port.unwrap_or(22),
            identity_files: match found.identity_files.is_empty() {
                true => defaults(&DEFAULT_IDENTITIES),
                false => real(found.identity_files),
            },
            identities_only: found.identities_only.unwrap_or(false),
            identity_agent: found.identity_agent,
            certificate_files: real(found.certificate_files),
            user_known_hosts: real(
                found.user_known_hosts.unwrap_or_else(|| defaults(&DEFAULT_USER_KNOWN_HOSTS)),
            ),
            global_known_hosts: real(
                found.global_known_hosts.unwrap_or_else(|| defaults(&DEFAULT_GLOBAL_KNOWN_HOSTS)),
            ),
            host_key_alias: found.host_key_alias,
            host_key_algorithms: found.host_key_algorithms,
            proxy_command: match &found.proxy {
                Some(Proxy::Command { template, .. }) => Some(template.clone()),
                Some(Proxy::Jump(_) | Proxy::None) | None => None,
            },
            proxy_jump: match found.proxy {
                Some(Proxy::Jump(jump)) => Some(jump),
                Some(Proxy::Command { .. } | Proxy::None) | None => None,
            },
            connect_timeout_s: found.connect_timeout_s,
            server_alive_interval_s: found.alive_interval_s.unwrap_or(0),
            server_alive_count: found.alive_count.unwrap_or(3),
            address_family: found.address_family.unwrap_or(AddressFamily::Any),
            program_because: found.because,
            notes: found.notes,
        }
    }
}

fn named_file(arg: &[u8], line: &Line) -> NamedFile {
    NamedFile { path: OsString::from_vec(arg.to_vec()), place: Some(line.place.clone()) }
}

/// A list of algorithms in OpenSSH's notation (`a,b`, `+a`, `-a`, `^a`) applied to those we have.
pub(crate) fn apply_algorithms(list: &str, ours: &[String]) -> Vec<String> {
    let (mode, names) = match list.chars().next() {
        Some(c @ ('+' | '-' | '^')) => (Some(c), &list[1..]),
        _ => (None, list),
    };
    let named = |name: &String| names.split(',').any(|p| matches_pattern(name, p));
    match mode {
        Some('+') => ours.to_vec(),
        Some('-') => ours.iter().filter(|n| !named(n)).cloned().collect(),
        Some(_) => ours
            .iter()
            .filter(|n| named(n))
            .chain(ours.iter().filter(|n| !named(n)))
            .cloned()
            .collect(),
        None => names
            .split(',')
            .flat_map(|p| ours.iter().filter(move |name| matches_pattern(name, p)))
            .cloned()
            .collect(),
    }
}

/// `%h` and `%%` expanded, in one go.
fn host_name(template: &str, original: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let (said, length) = match rest.as_bytes().get(at + 1) {
            Some(b'h') => (original, 2),
            Some(b'%') => ("%", 2),
            Some(_) | None => ("%", 1),
        };
        out.push_str(said);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

fn keep<T>(slot: &mut Option<T>, value: T) {
    if slot.is_none() {
        *slot = Some(value);
    }
}

fn add(list: &mut Vec<NamedFile>, file: NamedFile) {
    if !list.iter().any(|known| known.path == file.path) {
        list.push(file);
    }
}

fn yes_no(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    }
}

fn family(text: &str) -> Option<AddressFamily> {
    match text.to_ascii_lowercase().as_str() {
        "any" => Some(AddressFamily::Any),
        "inet" => Some(AddressFamily::Inet),
        "inet6" => Some(AddressFamily::Inet6),
        _ => None,
    }
}

/// Seconds as `90`, `1m30s`, `2h`; `none` is zero.
fn seconds(text: &str) -> Option<u32> {
    if text == "none" {
        return Some(0);
    }
    let mut total: u32 = 0;
    let mut number = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u32>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    if number.is_empty() {
        (!text.is_empty()).then_some(total)
    } else {
        total.checked_add(number.parse().ok()?)
    }
}
