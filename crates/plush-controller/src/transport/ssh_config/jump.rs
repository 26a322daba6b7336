//! The value of ProxyJump: hosts to go through, outermost first.
//!
//! Not how each of them is reached: that is looked up as for any host.

use std::fmt;

use super::expand::Tokens;
use super::lines::Line;
use crate::transport::address::HostAddress;

/// A list of jump hosts as written: tokens are not expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jumps(Vec<Jump>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Jump {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

impl Jumps {
    /// The list of a line: `Some(None)` for `none`, and `None` for a list that Plush does not
    /// understand.
    pub(crate) fn written(line: &Line) -> Option<Option<Self>> {
        let text = std::str::from_utf8(&line.rest).ok()?;
        if text.eq_ignore_ascii_case("none") {
            return Some(None);
        }
        // With quotes or a comment, ssh takes `none` for the name of a host.
        let text = text.split('#').next().unwrap_or(text).trim_end_matches([' ', '\t']);
        Self::answered(text).filter(|_| !text.to_ascii_lowercase().contains("none")).map(Some)
    }

    /// The list as `ssh -G` shows it: quotes are left for the shell to remove.
    pub(crate) fn answered(text: &str) -> Option<Self> {
        Self::parse(text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text))
    }

    /// Reads `[user@]host[:port]` and `ssh://[user@]host[:port]`, separated by commas.
    fn parse(text: &str) -> Option<Self> {
        text.split(',').map(Jump::parse).collect::<Option<Vec<_>>>().map(Self)
    }

    /// The hosts with tokens expanded; the error text names an invalid one.
    pub(crate) fn hosts(&self, tokens: &Tokens<'_>) -> Result<Vec<HostAddress>, String> {
        self.0.iter().map(|jump| jump.host(tokens)).collect()
    }
}

impl fmt::Display for Jumps {
    /// As `ssh -G` shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, jump) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let user = jump.user.iter().map(|user| format!("{user}@")).collect::<String>();
            let port = jump.port.iter().map(|port| format!(":{port}")).collect::<String>();
            let host = match jump.host.contains(':') {
                true => format!("[{}]", jump.host),
                false => jump.host.clone(),
            };
            write!(f, "{comma}{user}{host}{port}")?;
        }
        Ok(())
    }
}

impl Jump {
    fn parse(text: &str) -> Option<Self> {
        let (is_uri, rest) = match text.strip_prefix("ssh://") {
            Some(rest) => (true, rest.strip_suffix('/').unwrap_or(rest)),
            None => (false, text),
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let (host, port) = match rest.strip_prefix('[') {
            // ssh takes no brackets in a URI.
            Some(_) if is_uri => return None,
            Some(inner) => {
                let (host, after) = inner.split_once(']')?;
                (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = match port {
            None | Some("") => None,
            Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
        };
        let decoded = |part: &str| if is_uri { percent_decoded(part) } else { Some(part.into()) };
        let user = match user {
            None => None,
            // ssh reads connection parameters and passwords here.
            Some(user) if is_uri && user.contains([';', ':']) => return None,
            Some(user) => Some(decoded(user)?).filter(|user| is_written_user(user)).map(Some)?,
        };
        let host = decoded(host).filter(|host| is_written_host(host))?;
        Some(Self { user, host, port })
    }

    fn host(&self, tokens: &Tokens<'_>) -> Result<HostAddress, String> {
        let user = self.user.as_deref().map(|user| tokens.in_command(user)).transpose()?;
        let host = tokens.in_command(&self.host)?;
        HostAddress::of(user, host, self.port).map_err(|e| e.to_string())
    }
}

/// Accepts only characters without a meaning in a shell, since `ssh` passes the jump to one.
fn is_written_host(host: &str) -> bool {
    !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:%".contains(c))
}

fn is_written_user(user: &str) -> bool {
    !user.is_empty() && user.chars().all(|c| c.is_ascii_alphanumeric() || ".-_+@%=,".contains(c))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|byte| *byte != 0)?);
            rest = &after[2..];
        } else {
            bytes.push(if byte == b'+' { b' ' } else { byte });
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}
