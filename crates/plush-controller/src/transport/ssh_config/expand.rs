//! Expansion of `~`, `${VARIABLE}` and `%` tokens in values.
//!
//! Not which keyword takes which of them: the callers choose.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use super::{HostSettings, LocalUser};

/// The values of the tokens for one host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens<'a> {
    pub user: &'a LocalUser,
    /// The host as requested.
    pub original: &'a str,
    pub settings: &'a HostSettings,
}

impl Tokens<'_> {
    /// A path with `~`, `${VARIABLE}` and tokens expanded; the error text names what is unknown in
    /// it.
    pub(crate) fn in_path(&self, template: &OsStr) -> Result<PathBuf, String> {
        let template = self.at_home(template.as_bytes())?;
        let mut out = Vec::new();
        let mut rest = template.as_slice();
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match (byte, after) {
                (b'$', [b'{', inner @ ..]) => {
                    let end = inner.iter().position(|b| *b == b'}').ok_or("${ without }")?;
                    out.extend(variable(&inner[..end])?);
                    rest = &inner[end + 1..];
                }
                (b'%', [token, after @ ..]) => {
                    out.extend(self.token(*token)?);
                    rest = after;
                }
                (b'%', []) => return Err("a % without a letter".to_owned()),
                (byte, _) => out.push(byte),
            }
        }
        Ok(PathBuf::from(OsString::from_vec(out)))
    }

    /// A part of a command that reaches the host: only the tokens that ProxyCommand takes.
    pub(crate) fn in_command(&self, template: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = template;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            let token = *rest.as_bytes().get(at + 1).ok_or("a % without a letter")?;
            if !b"%hknpr".contains(&token) {
                return Err(format!("the token %{} is not known here", token.escape_ascii()));
            }
            out.push_str(&String::from_utf8_lossy(&self.token(token)?));
            rest = &rest[at + 2..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn at_home(&self, template: &[u8]) -> Result<Vec<u8>, String> {
        let home = self.user.home.as_os_str().as_bytes();
        match template {
            [b'~'] => Ok(home.to_vec()),
            [b'~', b'/', rest @ ..] => Ok([home, b"/", rest].concat()),
            [b'~', ..] => Err("the home of another user".to_owned()),
            other => Ok(other.to_vec()),
        }
    }

    fn token(&self, token: u8) -> Result<Vec<u8>, String> {
        let settings = self.settings;
        Ok(match token {
            b'%' => b"%".to_vec(),
            b'd' => self.user.home.as_os_str().as_bytes().to_vec(),
            b'h' => settings.host_name.clone().into_bytes(),
            b'i' => self.user.uid.to_string().into_bytes(),
            b'k' => settings.host_key_alias.as_deref().unwrap_or(self.original).into(),
            b'l' => node_name(),
            b'L' => node_name().split(|b| *b == b'.').next().unwrap_or_default().to_vec(),
            b'n' => self.original.into(),
            b'p' => settings.port.to_string().into_bytes(),
            b'r' => settings.user.clone().into_bytes(),
            b'u' => self.user.name.clone().into_bytes(),
            other => return Err(format!("the token %{} is not known here", other.escape_ascii())),
        })
    }
}

fn node_name() -> Vec<u8> {
    rustix::system::uname().nodename().to_bytes().to_vec()
}

fn variable(name: &[u8]) -> Result<Vec<u8>, String> {
    let shown = String::from_utf8_lossy(name);
    let name_is_valid =
        !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    match std::env::var_os(OsStr::from_bytes(name)) {
        Some(value) if name_is_valid => Ok(value.into_vec()),
        Some(_) | None => Err(format!("the environment has no variable {shown}")),
    }
}
