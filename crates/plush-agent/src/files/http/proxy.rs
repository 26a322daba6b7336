//! Which proxy a request goes through, by the variables that everybody knows.
//!
//! Not a proxy itself, and no PAC files.

use super::url::{Scheme, Url};

/// The host's proxies.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For http URLs.
    pub http: Option<Url>,
    /// For https URLs.
    pub https: Option<Url>,
    /// Names, domains and addresses that are asked directly; `*` for all.
    pub exempt: Vec<String>,
}

impl Proxies {
    /// From `http_proxy`, `https_proxy` and `no_proxy`, as `lookup` gives them; `HTTP_PROXY` is not read, since a
    /// CGI server lets its clients set that one. A value that is no URL counts as absent.
    pub fn from_variables(lookup: &dyn Fn(&str) -> Option<String>) -> Proxies {
        let url = |names: &[&str]| {
            names.iter().find_map(|name| lookup(name)).and_then(|text| proxy_url(&text))
        };
        let exempt =
            ["no_proxy", "NO_PROXY"].iter().find_map(|name| lookup(name)).unwrap_or_default();
        Proxies {
            http: url(&["http_proxy"]),
            https: url(&["https_proxy", "HTTPS_PROXY"]),
            exempt: exempt
                .split([',', ' '])
                .filter(|word| !word.is_empty())
                .map(str::to_ascii_lowercase)
                .collect(),
        }
    }

    /// The proxy for this URL and the variable that names it, for display.
    pub fn in_words(&self, url: &Url) -> Option<String> {
        let variable = match url.scheme {
            Scheme::Http => "http_proxy",
            Scheme::Https => "https_proxy",
        };
        self.of(url).map(|proxy| format!("the proxy {proxy} ({variable} of the account)"))
    }

    /// The proxy for this URL, if any.
    pub fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        };
        proxy.filter(|_| !self.exempt.iter().any(|rule| is_exempt(rule, url)))
    }
}

fn proxy_url(text: &str) -> Option<Url> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    Url::parse(&text).ok().filter(|url| url.scheme == Scheme::Http)
}

fn is_exempt(rule: &str, url: &Url) -> bool {
    if rule == "*" || rule == url.host || rule == url.authority() {
        return true;
    }
    let domain = rule.trim_start_matches("*.").trim_start_matches('.');
    url.address().is_none() && (url.host == domain || url.host.ends_with(&format!(".{domain}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn exempt_hosts_are_asked_directly() {
        let proxies = Proxies::from_variables(&|name| {
            let value = match name {
                "http_proxy" => "proxy:3128",
                "no_proxy" => "example.org,.lab,10.0.0.1, h:81",
                "HTTP_PROXY" => "http://evil/",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let through = |text: &str| proxies.of(&Url::parse(text).unwrap()).map(Url::authority);
        assert_eq!(through("http://a.b/").as_deref(), Some("proxy:3128"));
        for direct in [
            "https://a.b/",
            "http://example.org/",
            "http://x.example.org/",
            "http://n1.lab/",
            "http://10.0.0.1/",
            "http://h:81/",
        ] {
            assert_eq!(through(direct), None, "{direct}");
        }
        for not_exempt in ["http://badexample.org/", "http://h/", "http://110.0.0.1/"] {
            assert!(through(not_exempt).is_some(), "{not_exempt}");
        }
    }
}
