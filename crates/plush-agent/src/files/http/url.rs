//! An http or https URL.
//!
//! Not any other kind: `file:` and its like are no URLs here, so nothing can be talked into opening them.

use std::fmt;
use std::net::IpAddr;

/// The two schemes, the stronger one last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// A parsed URL. Printed without user, password, query and fragment, which may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// How to speak.
    pub scheme: Scheme,
    /// `user:password`, percent-decoded, if given.
    pub userinfo: Option<Vec<u8>>,
    /// Name in lower case, or an address without brackets.
    pub host: String,
    /// The port, given or the scheme's.
    pub port: u16,
    /// Path and query, beginning with `/`, safe to put into a request line.
    pub target: String,
}

/// Why a text is not such a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("only http:// and https:// are fetched")]
    Scheme,
    /// No host, or one with characters that no host name has.
    #[error("its host name is missing or malformed")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// Longer than 8 KiB.
    #[error("it is longer than 8192 bytes")]
    Length,
}

impl Url {
    /// Reads a whole URL.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        if text.len() > 8192 {
            return Err(UrlError::Length);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(UrlError::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (userinfo, hostport) = match authority.rsplit_once('@') {
            Some((user, hostport)) => (Some(percent_decode(user)), hostport),
            None => (None, authority),
        };
        let (host, port) = split_port(hostport)?;
        let port = match port {
            // An empty port is the scheme's (RFC 3986, section 3.2.3).
            None | Some("") => scheme.port(),
            Some(port) if port.bytes().all(|digit| digit.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?
            }
            Some(_) => return Err(UrlError::Port),
        };
        Ok(Url {
            scheme,
            userinfo,
            host: checked_host(host)?,
            port,
            target: request_target(target),
        })
    }

    /// The URL that a `Location` header means, seen from this one.
    pub fn join(&self, location: &str) -> Result<Url, UrlError> {
        let location = location.trim();
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(&format!("{}://{rest}", self.scheme.name()));
        }
        let before_path = &location[..location.find(['/', '?', '#']).unwrap_or(location.len())];
        if before_path.contains(':') {
            return Url::parse(location);
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let joined = match location.as_bytes().first() {
            Some(b'/') => location.to_owned(),
            Some(b'?') => format!("{path}{location}"),
            Some(b'#') | None => self.target.clone(),
            Some(_) => format!("{}{location}", &path[..=path.rfind('/').unwrap_or(0)]),
        };
        Ok(Url { target: request_target(&joined), ..self.clone() })
    }

    /// The host as an address, when it is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// `host`, with brackets and a port where needed, for the `Host` header.
    pub fn host_header(&self) -> String {
        if self.port == self.scheme.port() { self.bracketed() } else { self.authority() }
    }

    /// `host:port`, for CONNECT.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = self
            .target
            .split_once('?')
            .map_or((self.target.as_str(), false), |(path, _)| (path, true));
        let query = if query { "?..." } else { "" };
        write!(out, "{}://{}{path}{query}", self.scheme.name(), self.host_header())
    }
}

fn split_port(hostport: &str) -> Result<(&str, Option<&str>), UrlError> {
    if let Some(rest) = hostport.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(UrlError::Host)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| UrlError::Host)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(UrlError::Host),
        };
    }
    match hostport.split_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((hostport, None)),
    }
}

fn checked_host(host: &str) -> Result<String, UrlError> {
    let lower = host.to_ascii_lowercase();
    if lower.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(lower);
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let labels_fit =
        lower.trim_end_matches('.').split('.').all(|label| !label.is_empty() && label.len() < 64);
    if lower.len() > 253 || !labels_fit || !lower.bytes().all(plain) || lower.starts_with('-') {
        return Err(UrlError::Host);
    }
    // Numbers such as 2130706433, 0x7f.1 or 127.1 are addresses to some programs and names to others.
    let last = lower.trim_end_matches('.').rsplit('.').next().unwrap_or("");
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if is_number && lower.parse::<std::net::Ipv4Addr>().is_err() {
        return Err(UrlError::Host);
    }
    Ok(lower)
}

/// Path and query without fragment and dot segments; bytes that a request line cannot carry are percent-encoded.
fn request_target(text: &str) -> String {
    let text = text.split('#').next().unwrap_or("");
    let (path, query) =
        text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let mut segments: Vec<&str> = Vec::new();
    let pieces: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    for (index, piece) in pieces.iter().enumerate() {
        let is_last = index + 1 == pieces.len();
        match *piece {
            "." | ".." => {
                if *piece == ".." {
                    segments.pop();
                }
                if is_last {
                    segments.push("");
                }
            }
            piece => segments.push(piece),
        }
    }
    let mut target = String::from("/");
    encode_into(&segments.join("/"), &mut target);
    if let Some(query) = query {
        target.push('?');
        encode_into(query, &mut target);
    }
    target
}

fn encode_into(text: &str, target: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~'
                if !matches!(
                    byte,
                    b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
                ) =>
            {
                target.push(byte.into());
            }
            _ => target.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = Url::parse(text).map(|url| format!("{url} {} {}", url.authority(), url.target));
        assert_eq!(found.as_deref().unwrap_or("refused"), expected, "{text}");
    }

    #[test]
    fn urls_are_read_and_shown_without_their_secrets() {
        check(
            "http://Plush.example/demo.tar",
            "http://plush.example/demo.tar plush.example:80 /demo.tar",
        );
        check(
            "https://u:p%40@h:8443/a b?token=1#f",
            "https://h:8443/a%20b?... h:8443 /a%20b?token=1",
        );
        check("HTTP://[::1]:8080", "http://[::1]:8080/ [::1]:8080 /");
        check("http://h/a/./b/../c/..", "http://h/a/ h:80 /a/");
        check("http://h/\r\nHost: x", "http://h/%0D%0AHost:%20x h:80 /%0D%0AHost:%20x");
    }

    #[test]
    fn other_schemes_and_disguised_addresses_are_refused() {
        for text in [
            "file:///etc/passwd",
            "/etc/passwd",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://h:0/",
            "http://h:99999/",
            "http://h:+1/",
            "http://-h/",
            "http://a b/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://127.1/",
            "http://h\r\n/",
            "http://é/",
            "http://[::1",
            "http://[zz]/",
            "http://a..b/",
        ] {
            check(text, "refused");
        }
    }

    #[test]
    fn a_location_is_read_from_where_it_was_found() {
        let base = Url::parse("http://u:p@h/a/b?q").unwrap();
        for (location, expected) in [
            ("c", "http://h/a/c"),
            ("/c", "http://h/c"),
            ("../c", "http://h/c"),
            ("//other/c", "http://other/c"),
            ("https://x/", "https://x/"),
            ("?z", "http://h/a/b?..."),
            ("./d:e", "http://h/a/d:e"),
            ("", "http://h/a/b?..."),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), expected, "{location}");
        }
        assert_eq!(base.join("file:///etc/passwd"), Err(UrlError::Scheme));
        assert_eq!(base.join("javascript:1"), Err(UrlError::Scheme));
    }
}
