//! How to call the programs that fetch what the agent cannot: rsync, scp, git.
//!
//! Not their running: the agent starts them as it starts every process, and asks here what an exit means.
//! Everything is an argument of its own; there is no shell text, and nothing given can become an option.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::shown::Shown;
use plush_spec::model::Signal;

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// Variables set besides those that every process of the agent has.
    pub env: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub cwd: PathBuf,
}

/// What a source is not allowed to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{source_text}` cannot be fetched: {refusal}")]
pub struct SourceError {
    /// The text, escaped.
    pub source_text: String,
    /// Why not.
    pub refusal: Refusal,
}

/// Why a source is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Empty, or longer than 4095 bytes.
    #[error("it is empty or too long")]
    Length,
    /// It would be read as an option.
    #[error("it begins with `-`")]
    Option,
    /// It has control characters.
    #[error("it has control characters")]
    Control,
    /// It is not of the form that the program takes.
    #[error("it is not of the form {0}")]
    Form(&'static str),
    /// Its user or host has characters that names do not have.
    #[error("its user or host is malformed")]
    Host,
    /// Its path has characters that a remote shell would act upon.
    #[error("its path has characters with a meaning for a remote shell")]
    Shell,
    /// Its protocol is not among those allowed.
    #[error("its protocol is not among those allowed")]
    Protocol,
    /// It is no name of a branch, tag or commit.
    #[error("it is no branch, tag or commit")]
    Revision,
    /// The destination is not one plain name.
    #[error("the destination is not a plain name")]
    Dest,
}

/// What came of running a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExternalError {
    /// It is not on this host.
    #[error("the program `{program}` is not on this host")]
    Missing {
        /// Its name.
        program: String,
    },
    /// It failed.
    #[error("`{program}` failed {how}: {says}")]
    Failed {
        /// Its name.
        program: String,
        /// `with status 23`, `by signal 9 (KILL)`.
        how: String,
        /// The last lines of its error output, escaped.
        says: String,
    },
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Status(i32),
    /// By a signal.
    Signal(i32),
}

/// What git may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// https.
    Https,
    /// http, where the revision is a commit's full name.
    Http,
    /// ssh, also as `user@host:path`.
    Ssh,
    /// git's own, in the clear.
    Git,
    /// A repository on this host.
    File,
}

/// A git repository at a revision.
#[derive(Debug, Clone)]
pub struct GitSource<'a> {
    /// Where it is.
    pub url: &'a str,
    /// A branch, tag or full commit name; the repository's own choice if absent.
    pub revision: Option<&'a str>,
    /// What may be spoken; usually https and ssh.
    pub allowed: &'a [Protocol],
}

const GIT_SCHEMES: &[&str] = &["https://", "http://", "ssh://", "git://", "file://"];
const SSH: &str = "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes -oConnectTimeout=20 -oClearAllForwardings=yes -oForwardAgent=no";

/// `rsync` from `[user@]host:path`, `host::module/path` or `rsync://host/module/path` into `cwd/name`. A source that ends
/// with a slash means the directory's content.
pub fn rsync(
    source: &str,
    cwd: &Path,
    name: &str,
    stall_s: u32,
) -> Result<Invocation, SourceError> {
    let fail = |refusal| refused(source, refusal);
    check_text(source, &["rsync://"]).map_err(fail)?;
    let dest = plain_dest(name).map_err(fail)?;
    const FORM: Refusal =
        Refusal::Form("[user@]host:path, host::module/path or rsync://host/module/path");
    let authority = match source.strip_prefix("rsync://") {
        Some(rest) => {
            let (authority, path) = rest.split_once('/').ok_or_else(|| fail(FORM))?;
            if path.is_empty() {
                return Err(fail(FORM));
            }
            strip_number(authority)
        }
        None => {
            let parts = source.split_once(':').filter(|(_, path)| !path.is_empty());
            parts.ok_or_else(|| fail(FORM))?.0
        }
    };
    check_authority(authority).map_err(fail)?;
    let timeout = format!("--timeout={stall_s}");
    let mut argv = vec![
        "rsync",
        "--recursive",
        "--links",
        "--safe-links",
        "--times",
        "--perms",
        "--chmod=ugo-s,o-t",
        "--no-devices",
        "--no-specials",
        "--protect-args",
        "--partial",
        &timeout,
    ];
    // With a remote shell given, a daemon would be looked for behind that shell.
    let is_daemon = source.starts_with("rsync://") || source.contains("::");
    if !is_daemon {
        argv.extend(["-e", SSH]);
    }
    argv.extend(["--", source, &dest]);
    Ok(invocation(&argv, &[], cwd))
}

/// `scp` from `[user@]host:path`, recursively, into `cwd/name`.
pub fn scp(
    source: &str,
    port: Option<u16>,
    cwd: &Path,
    name: &str,
) -> Result<Invocation, SourceError> {
    let fail = |refusal| refused(source, refusal);
    check_text(source, &[]).map_err(fail)?;
    let dest = plain_dest(name).map_err(fail)?;
    const FORM: Refusal = Refusal::Form("[user@]host:path");
    let (authority, path) = source.split_once(':').ok_or_else(|| fail(FORM))?;
    if path.is_empty() || path.starts_with(':') || authority.contains('/') {
        return Err(fail(FORM));
    }
    check_authority(authority).map_err(fail)?;
    // Older servers hand the path to a shell.
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,=@%:~".contains(&byte) || byte >= 0x80;
    if !path.bytes().all(is_plain) || path.starts_with('-') {
        return Err(fail(Refusal::Shell));
    }
    let port = port.map(|port| format!("-oPort={port}"));
    let mut argv = vec![
        "scp",
        "-B",
        "-q",
        "-r",
        "-p",
        "-oBatchMode=yes",
        "-oStrictHostKeyChecking=yes",
        "-oConnectTimeout=20",
        "-oClearAllForwardings=yes",
        "-oForwardAgent=no",
    ];
    argv.extend(port.as_deref());
    argv.extend(["--", source, &dest]);
    Ok(invocation(&argv, &[], cwd))
}

/// `git`, step by step, into `cwd/name`; the last step prints the commit's name.
pub fn git(source: &GitSource<'_>, cwd: &Path, name: &str) -> Result<Vec<Invocation>, SourceError> {
    let fail = |refusal| refused(source.url, refusal);
    check_text(source.url, GIT_SCHEMES).map_err(fail)?;
    let dest = plain_dest(name).map_err(fail)?;
    let protocol = protocol_of(source.url).map_err(fail)?;
    let is_pinned = source.revision.is_some_and(is_commit);
    if !source.allowed.contains(&protocol) || (protocol == Protocol::Http && !is_pinned) {
        return Err(fail(Refusal::Protocol));
    }
    let revision = source.revision.unwrap_or("HEAD");
    check_revision(revision).map_err(|refusal| refused(revision, refusal))?;
    let allowed: Vec<&str> = source.allowed.iter().map(|protocol| protocol.name()).collect();
    let allowed = allowed.join(":");
    let env = [
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", "/bin/false"),
        ("SSH_ASKPASS_REQUIRE", "never"),
        ("GIT_ALLOW_PROTOCOL", allowed.as_str()),
        ("GIT_SSH_COMMAND", SSH),
        ("GIT_CONFIG_COUNT", "3"),
        ("GIT_CONFIG_KEY_0", "core.hooksPath"),
        ("GIT_CONFIG_VALUE_0", "/dev/null"),
        ("GIT_CONFIG_KEY_1", "core.fsmonitor"),
        ("GIT_CONFIG_VALUE_1", "false"),
        ("GIT_CONFIG_KEY_2", "submodule.recurse"),
        ("GIT_CONFIG_VALUE_2", "false"),
    ];
    let inside = ["git", "-C", dest.as_str()];
    let steps: [Vec<&str>; 4] = [
        vec!["git", "init", "--quiet", "--template=", "--", &dest],
        [
            &inside[..],
            &[
                "fetch",
                "--quiet",
                "--depth=1",
                "--no-tags",
                "--no-recurse-submodules",
                "--",
                source.url,
                revision,
            ],
        ]
        .concat(),
        [&inside[..], &["checkout", "--quiet", "--force", "--detach", "FETCH_HEAD", "--"]].concat(),
        [&inside[..], &["rev-parse", "--verify", "HEAD"]].concat(),
    ];
    Ok(steps.iter().map(|argv| invocation(argv, &env, cwd)).collect())
}

impl Invocation {
    /// The program's name.
    pub fn program(&self) -> &OsStr {
        self.argv.first().map(OsString::as_os_str).unwrap_or_default()
    }

    /// Where the program is on this search path, or that it is nowhere.
    pub fn find(&self, search_path: &OsStr) -> Result<PathBuf, ExternalError> {
        let program = self.program();
        let is_there = |path: &PathBuf| {
            std::fs::metadata(path)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let found = match program.as_bytes().contains(&b'/') {
            true => Some(PathBuf::from(program)).filter(is_there),
            false => std::env::split_paths(search_path)
                .filter(|dir| dir.is_absolute())
                .map(|dir| dir.join(program))
                .find(is_there),
        };
        found.ok_or_else(|| ExternalError::Missing {
            program: Shown(program.as_bytes()).to_string(),
        })
    }

    /// What the program's end means; `errors` is the tail of its error output.
    pub fn judge(&self, ended: Ended, errors: &[u8]) -> Result<(), ExternalError> {
        let program = Shown(self.program().as_bytes()).to_string();
        let how = match ended {
            Ended::Status(0) => return Ok(()),
            Ended::Status(127) => return Err(ExternalError::Missing { program }),
            Ended::Status(status) => format!("with status {status}"),
            Ended::Signal(signal) => format!("by {}", Signal::words(signal)),
        };
        let tail = &errors[errors.len().saturating_sub(1024)..];
        let lines: Vec<String> = tail
            .split(|byte| matches!(byte, b'\n' | b'\r'))
            .filter(|line| !line.is_empty())
            .map(|line| Shown(line).to_string())
            .collect();
        let says = lines[lines.len().saturating_sub(4)..].join(" / ");
        Err(ExternalError::Failed { program, how, says })
    }
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Protocol::Https => "https",
            Protocol::Http => "http",
            Protocol::Ssh => "ssh",
            Protocol::Git => "git",
            Protocol::File => "file",
        }
    }
}

fn protocol_of(url: &str) -> Result<Protocol, Refusal> {
    if let Some((scheme, rest)) = url.split_once("://") {
        let protocol = match scheme {
            "https" => Protocol::Https,
            "http" => Protocol::Http,
            "ssh" => Protocol::Ssh,
            "git" => Protocol::Git,
            "file" => return Ok(Protocol::File),
            _ => return Err(Refusal::Protocol),
        };
        check_authority(strip_number(rest.split('/').next().unwrap_or(""))).map(|()| protocol)
    } else {
        // `ext::sh -c ...` and its kin run programs.
        let (authority, path) =
            url.split_once(':').ok_or(Refusal::Form("scheme://host/path or user@host:path"))?;
        if path.is_empty() || path.starts_with(':') {
            return Err(Refusal::Protocol);
        }
        check_authority(authority).map(|()| Protocol::Ssh)
    }
}

fn check_text(text: &str, schemes: &[&str]) -> Result<(), Refusal> {
    match text {
        "" => Err(Refusal::Length),
        text if text.len() > 4095 => Err(Refusal::Length),
        text if text.starts_with('-') => Err(Refusal::Option),
        text if text.chars().any(char::is_control) => Err(Refusal::Control),
        // A URL that the program does not know would be read as a host named like its scheme.
        text if text.contains("://") && !schemes.iter().any(|scheme| text.starts_with(scheme)) => {
            Err(Refusal::Protocol)
        }
        _ => Ok(()),
    }
}

/// `[user[:password]@]host`, where neither may begin with `-` nor hold anything unusual.
fn check_authority(authority: &str) -> Result<(), Refusal> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let is_name = |name: &str, extra: &[u8]| {
        let fits = |byte: u8| {
            byte.is_ascii_alphanumeric() || b"._-".contains(&byte) || extra.contains(&byte)
        };
        !name.is_empty() && name.len() <= 255 && !name.starts_with('-') && name.bytes().all(fits)
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(host, b""),
    };
    if is_host && user.is_none_or(|user| is_name(user, b"+%:~!$&'()*,;=")) {
        Ok(())
    } else {
        Err(Refusal::Host)
    }
}

/// The authority without a port.
fn strip_number(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((before, port))
            if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) =>
        {
            before
        }
        _ => authority,
    }
}

fn check_revision(revision: &str) -> Result<(), Refusal> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+#=@".contains(&byte);
    let is_name = !revision.is_empty()
        && revision.len() <= 255
        && revision.bytes().all(fits)
        && !revision.starts_with(['-', '/', '.', '+'])
        && !revision.ends_with(['/', '.'])
        && !["..", "//", "@{", "/."].iter().any(|part| revision.contains(part));
    if is_name { Ok(()) } else { Err(Refusal::Revision) }
}

fn is_commit(revision: &str) -> bool {
    matches!(revision.len(), 40 | 64) && revision.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// `./name`, so that neither a leading `-` nor a `:` means anything.
fn plain_dest(name: &str) -> Result<String, Refusal> {
    let is_plain =
        !name.is_empty() && name.len() <= 255 && name != "." && name != ".." && !name.contains('/');
    if is_plain && !name.chars().any(char::is_control) {
        Ok(format!("./{name}"))
    } else {
        Err(Refusal::Dest)
    }
}

fn refused(text: &str, refusal: Refusal) -> SourceError {
    let text = &text.as_bytes()[..text.len().min(200)];
    SourceError { source_text: Shown(text).to_string(), refusal }
}

fn invocation(argv: &[&str], env: &[(&str, &str)], cwd: &Path) -> Invocation {
    Invocation {
        argv: argv.iter().map(OsString::from).collect(),
        env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        cwd: cwd.to_path_buf(),
    }
}
