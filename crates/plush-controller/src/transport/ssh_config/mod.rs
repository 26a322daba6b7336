//! What the user's ssh_config says about one host, as OpenSSH would read it.
//!
//! Not a complete ssh: what Plush does not know or cannot do sends the host to the ssh program, with the reason.
//! The reference is `ssh -G`; a test compares the two on a generated corpus.

mod keywords;
mod lines;

use std::path::{Path, PathBuf};

use self::keywords::{Meaning, meaning};
use self::lines::{Bases, ConfigText, Item, Line};
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

/// Who we are: what tokens, `~` and `Match localuser` stand for.
#[derive(Clone, Debug)]
pub struct LocalUser {
    /// Login name.
    pub name: String,
    /// Home directory.
    pub home: PathBuf,
    /// Numeric id, for `%i`.
    pub uid: u32,
}

impl LocalUser {
    /// The user of this process, from the environment.
    pub fn current() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
        let name =
            name.unwrap_or_else(|_| if uid == 0 { "root".to_owned() } else { uid.to_string() });
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let home = home.unwrap_or_else(|| PathBuf::from(if uid == 0 { "/root" } else { "/" }));
        Self { name, home, uid }
    }
}

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
    /// As written, tokens and `~` not expanded.
    pub identity_files: Vec<String>,
    /// Whether the files were named by the user; otherwise they are OpenSSH's defaults.
    pub identities_named: bool,
    /// Offer only the named files' keys.
    pub identities_only: bool,
    /// Socket of the agent to ask, `none`, or `SSH_AUTH_SOCK`.
    pub identity_agent: Option<String>,
    /// Certificates to offer.
    pub certificate_files: Vec<String>,
    /// The user's files of known keys.
    pub user_known_hosts: Vec<String>,
    /// The system's files of known keys.
    pub global_known_hosts: Vec<String>,
    /// The name under which the key is known.
    pub host_key_alias: Option<String>,
    /// Which kinds of host key to accept, in OpenSSH's notation.
    pub host_key_algorithms: Option<String>,
    /// Hosts to go through.
    pub proxy_jump: Option<String>,
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

impl SshConfig {
    /// Reads `file` alone if given (as `ssh -F`; `none` reads nothing), else the user's and the system's.
    pub fn load(file: Option<&Path>, user: LocalUser) -> Self {
        let ssh = Bases { home: user.home.clone(), relative: user.home.join(".ssh") };
        let system = Bases { home: user.home.clone(), relative: PathBuf::from("/etc/ssh") };
        let files = match file {
            Some(file) if file == Path::new("none") => Vec::new(),
            Some(file) => vec![lines::read_file(file, &ssh, 0)],
            None => vec![
                lines::read_file(&ssh.relative.join("config"), &ssh, 0),
                lines::read_file(Path::new("/etc/ssh/ssh_config"), &system, 0),
            ],
        };
        Self { files, user }
    }

    /// Who we are.
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
    identity_files: Vec<String>,
    identities_only: Option<bool>,
    identity_agent: Option<String>,
    certificate_files: Vec<String>,
    user_known_hosts: Option<Vec<String>>,
    global_known_hosts: Option<Vec<String>>,
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

enum Proxy {
    Jump(String),
    Command,
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

    fn resolved_name(&self) -> String {
        let name = match &self.found.host_name {
            Some(template) => template.replace("%h", &self.host).replace("%%", "%"),
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
            "host" => self.active = !never && matches_list(&self.host, line.args.iter().cloned()),
            "match" => {
                let matched = self.matches(line);
                self.active = !never && matched;
            }
            keyword if self.active => self.setting(keyword, line),
            _ => {}
        }
    }

    fn setting(&mut self, keyword: &str, line: &Line) {
        let Some(first) = line.args.first() else {
            return self.because(format!("{}: {keyword} has no value", line.place));
        };
        match meaning(keyword) {
            Meaning::Honoured => {
                if self.honour(keyword, first, line).is_none() {
                    self.because(format!(
                        "{}: {keyword} has a value that Plush does not understand",
                        line.place
                    ));
                }
            }
            Meaning::Without => {}
            Meaning::Program(harmless) => {
                if !self.found.decided.iter().any(|k| k == keyword) {
                    self.found.decided.push(keyword.to_owned());
                    if !harmless.contains(&first.to_ascii_lowercase().as_str()) {
                        self.because(format!(
                            "{}: {keyword} is served by the ssh program only",
                            line.place
                        ));
                    }
                }
            }
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
    fn honour(&mut self, keyword: &str, first: &str, line: &Line) -> Option<()> {
        let found = &mut self.found;
        match keyword {
            "hostname" => keep(&mut found.host_name, first.to_owned()),
            "user" => keep(&mut found.user, first.to_owned()),
            "port" => keep(&mut found.port, first.parse().ok().filter(|p| *p > 0)?),
            "identityfile" => add(&mut found.identity_files, first),
            "certificatefile" => add(&mut found.certificate_files, first),
            "identitiesonly" => keep(&mut found.identities_only, yes_no(first)?),
            "identityagent" => keep(&mut found.identity_agent, first.to_owned()),
            "userknownhostsfile" => keep(&mut found.user_known_hosts, line.args.clone()),
            "globalknownhostsfile" => keep(&mut found.global_known_hosts, line.args.clone()),
            "hostkeyalias" => keep(&mut found.host_key_alias, first.to_owned()),
            "hostkeyalgorithms" => keep(&mut found.host_key_algorithms, first.to_owned()),
            "connecttimeout" => keep(&mut found.connect_timeout_s, seconds(first)?),
            "serveraliveinterval" => keep(&mut found.alive_interval_s, seconds(first)?),
            "serveralivecountmax" => keep(&mut found.alive_count, first.parse().ok()?),
            "addressfamily" => keep(&mut found.address_family, family(first)?),
            "ignoreunknown" => {
                keep(&mut found.ignore_unknown, first.split(',').map(str::to_owned).collect());
            }
            "proxyjump" if first.eq_ignore_ascii_case("none") => {
                keep(&mut found.proxy, Proxy::None)
            }
            "proxyjump" => keep(&mut found.proxy, Proxy::Jump(first.to_owned())),
            "proxycommand" if first.eq_ignore_ascii_case("none") => {
                keep(&mut found.proxy, Proxy::None)
            }
            "proxycommand" => keep(&mut found.proxy, Proxy::Command),
            "stricthostkeychecking" => {
                if !matches!(first.to_ascii_lowercase().as_str(), "yes" | "true" | "ask") {
                    found.notes.push(format!(
                        "{}: StrictHostKeyChecking {first} is not followed: Plush is always strict",
                        line.place
                    ));
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn matches(&mut self, line: &Line) -> bool {
        let mut result = true;
        let mut words = line.args.iter();
        while let Some(word) = words.next() {
            let (word, inline) = match word.split_once('=') {
                Some((word, value)) => (word, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let (negated, criterion) = match word.strip_prefix('!') {
                Some(rest) => (true, rest.to_ascii_lowercase()),
                None => (false, word.to_ascii_lowercase()),
            };
            let held = match criterion.as_str() {
                "all" => true,
                "final" | "canonical" => {
                    self.wants_final |= criterion == "final";
                    self.is_final
                }
                _ => {
                    let Some(value) = inline.or_else(|| words.next().cloned()) else {
                        self.because(format!("{}: Match {criterion} has no value", line.place));
                        return false;
                    };
                    match self.criterion(&criterion, &value) {
                        Some(held) => held,
                        None => {
                            // A block that other criteria exclude is not this host's affair.
                            if result {
                                self.because(format!(
                                    "{}: Match {criterion} is served by the ssh program only",
                                    line.place
                                ));
                            }
                            return false;
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
            Some(template) if !self.is_final => {
                template.replace("%h", self.original).replace("%%", "%")
            }
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
        if matches!(self.found.proxy, Some(Proxy::Command)) {
            self.because("ProxyCommand is served by the ssh program only".to_owned());
        }
        let found = self.found;
        let identities_named = !found.identity_files.is_empty();
        let none = |list: &Vec<String>| list.iter().any(|f| f.eq_ignore_ascii_case("none"));
        HostSettings {
            host_name,
            user: found.user.unwrap_or_else(|| self.config.user.name.clone()),
            port: found.port.unwrap_or(22),
            identities_named,
            identity_files: match identities_named {
                true if none(&found.identity_files) => Vec::new(),
                true => found.identity_files,
                false => DEFAULT_IDENTITIES.map(str::to_owned).to_vec(),
            },
            identities_only: found.identities_only.unwrap_or(false),
            identity_agent: found.identity_agent,
            certificate_files: if none(&found.certificate_files) {
                Vec::new()
            } else {
                found.certificate_files
            },
            user_known_hosts: found
                .user_known_hosts
                .unwrap_or_else(|| DEFAULT_USER_KNOWN_HOSTS.map(str::to_owned).to_vec()),
            global_known_hosts: found
                .global_known_hosts
                .unwrap_or_else(|| DEFAULT_GLOBAL_KNOWN_HOSTS.map(str::to_owned).to_vec()),
            host_key_alias: found.host_key_alias,
            host_key_algorithms: found.host_key_algorithms,
            proxy_jump: match found.proxy {
                Some(Proxy::Jump(jump)) => Some(jump),
                Some(Proxy::Command | Proxy::None) | None => None,
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

impl HostSettings {
    /// A path of the settings with `~`, `${VARIABLE}` and tokens expanded; `None` if it uses what Plush does not know.
    pub fn expand(&self, template: &str, original: &str, user: &LocalUser) -> Option<PathBuf> {
        let home = user.home.display().to_string();
        let mut out = String::new();
        let mut rest = template;
        if let Some(after) = rest.strip_prefix("~/") {
            out.push_str(&home);
            out.push('/');
            rest = after;
        } else if rest.starts_with('~') {
            return None;
        }
        while let Some(at) = rest.find(['%', '$']) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("${") {
                let (name, after) = after.split_once('}')?;
                out.push_str(&std::env::var(name).ok()?);
                rest = after;
                continue;
            }
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            match rest.chars().nth(1)? {
                '%' => out.push('%'),
                'd' => out.push_str(&home),
                'h' => out.push_str(&self.host_name),
                'i' => out.push_str(&user.uid.to_string()),
                'k' => out.push_str(self.host_key_alias.as_deref().unwrap_or(original)),
                'n' => out.push_str(original),
                'p' => out.push_str(&self.port.to_string()),
                'r' => out.push_str(&self.user),
                'u' => out.push_str(&user.name),
                _ => return None,
            }
            rest = &rest[2..];
        }
        out.push_str(rest);
        Some(PathBuf::from(out))
    }
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

fn keep<T>(slot: &mut Option<T>, value: T) {
    if slot.is_none() {
        *slot = Some(value);
    }
}

fn add(list: &mut Vec<String>, value: &str) {
    if !list.iter().any(|v| v == value) {
        list.push(value.to_owned());
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
    if text.eq_ignore_ascii_case("none") {
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
