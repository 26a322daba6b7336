//! How a host is written: `user@name:port`, checked once so that it can be given to any program.
//!
//! Not how it is reached: that is the route's and the configuration's affair.

use std::fmt;

/// A host as the user wrote it. What is absent, the user's SSH configuration decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostAddress {
    user: Option<String>,
    name: String,
    port: Option<u16>,
}

/// Why a text is not a host address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// The name, the user or the port is empty.
    #[error("host address {0:?} has an empty part")]
    Empty(String),
    /// A part starts with `-` and could be taken for an option of a program.
    #[error("host address {0:?} has a part that starts with '-'")]
    Dash(String),
    /// A part has a character that no host or user name has.
    #[error("host address {0:?} has the character {1:?}, which no host or user name has")]
    Character(String, char),
    /// The port is not a number from 1 to 65535.
    #[error("host address {0:?} has a port that is not a number from 1 to 65535")]
    Port(String),
}

impl HostAddress {
    /// Reads `name`, `user@name`, `name:port`, `user@name:port`; an IPv6 address stands in brackets
    /// when a port follows.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (name, port) = split_port(rest);
        let user = user.map(|user| checked(text, user, is_user_char)).transpose()?;
        let name = checked(text, name, is_name_char)?;
        let port = port.map(|port| parse_port(text, port)).transpose()?;
        Ok(Self { user, name, port })
    }

    /// Builds an address from parts of a configuration. Its user may have characters that are not
    /// written on a command line.
    ///
    /// # Errors
    /// The name or the user cannot be passed to a program.
    pub(crate) fn of(
        user: Option<String>,
        name: String,
        port: Option<u16>,
    ) -> Result<Self, AddressError> {
        let text = format!("{}{name}", user.iter().map(|u| format!("{u}@")).collect::<String>());
        let name = checked(&text, &name, is_name_char)?;
        let user = user.map(|user| checked(&text, &user, |c| !c.is_control())).transpose()?;
        Ok(Self { user, name, port })
    }

    /// The user, if the address names one.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The name as written: what `Host` lines of the configuration are compared with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if the address names one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.port, self.name.contains(':')) {
            (Some(port), true) => write!(f, "[{}]:{port}", self.name),
            (Some(port), false) => write!(f, "{}:{port}", self.name),
            (None, _) => f.write_str(&self.name),
        }
    }
}

/// True for a name that is safe as an argument: used again for what a configuration answers.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && name.chars().all(is_name_char)
}

/// Whether a user name may be sent to a server: it is not an option, and has one line.
pub(crate) fn is_safe_user(user: &str) -> bool {
    !user.is_empty() && !user.starts_with('-') && !user.contains(char::is_control)
}

fn split_port(rest: &str) -> (&str, Option<&str>) {
    if let Some(inner) = rest.strip_prefix('[')
        && let Some((name, after)) = inner.split_once(']')
    {
        return (name, after.strip_prefix(':'));
    }
    match rest.matches(':').count() {
        1 => rest
            .split_once(':')
            .map(|(name, port)| (name, Some(port)))
            .expect("a text with one colon can be split at it"),
        _ => (rest, None),
    }
}

fn checked(text: &str, part: &str, allowed: fn(char) -> bool) -> Result<String, AddressError> {
    if part.is_empty() {
        return Err(AddressError::Empty(text.to_owned()));
    }
    if part.starts_with('-') {
        return Err(AddressError::Dash(text.to_owned()));
    }
    match part.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(AddressError::Character(text.to_owned(), c)),
        None => Ok(part.to_owned()),
    }
}

fn parse_port(text: &str, port: &str) -> Result<u16, AddressError> {
    match port.parse() {
        Ok(port) if port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(AddressError::Port(text.to_owned())),
    }
}

/// Letters, digits and what host names, addresses and interface scopes need.
fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%')
}

fn is_user_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '@' | '$' | '\\')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(text: &str, user: Option<&str>, name: &str, port: Option<u16>) {
        let address = HostAddress::parse(text).unwrap();
        assert_eq!((address.user(), address.name(), address.port()), (user, name, port));
        assert_eq!(HostAddress::parse(&address.to_string()).unwrap(), address);
    }

    #[test]
    fn every_form_is_read_and_written_back() {
        check("web", None, "web", None);
        check("ann@web", Some("ann"), "web", None);
        check("ann@web:2222", Some("ann"), "web", Some(2222));
        check("[fe80::1%eth0]:22", None, "fe80::1%eth0", Some(22));
        check("::1", None, "::1", None);
        check("ann@corp.example@web", Some("ann@corp.example"), "web", None);
        check("CORP\\ann@web", Some("CORP\\ann"), "web", None);
    }

    #[test]
    fn t12_nothing_that_a_program_could_take_for_an_option_or_a_command_is_a_host() {
        for bad in [
            "-oProxyCommand=x",
            "a@-web",
            "-l@web",
            "",
            "@web",
            "web:",
            "web:0",
            "web:70000",
            "a b",
            "web;id",
            "$(id)",
            "web\n",
            "web`id`",
            "we'b",
            "we\"b",
            "web|x",
            "a@web:-1",
            "wéb",
            "web/x",
        ] {
            assert!(HostAddress::parse(bad).is_err(), "{bad:?} was taken for a host");
        }
    }
}
