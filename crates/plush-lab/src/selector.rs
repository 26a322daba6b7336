//! Which hosts a command means: `h[001-003,7],h010`, `all`, `controller`.
//!
//! Not the host sets of the language: a lab has one kind of name, so this reads only that.

use crate::address;
use anyhow::{Result, bail};

/// The ports that `text` names among `hosts` hosts, sorted, each once. `controller` is port 0 and never part of `all`.
pub fn ports(text: &str, hosts: u16) -> Result<Vec<u16>> {
    let mut found = Vec::new();
    for item in split_outside_brackets(text) {
        match item.trim() {
            "all" => found.extend(1..=hosts),
            "controller" => found.push(address::CONTROLLER),
            name => found.extend(named(name)?),
        }
    }
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        bail!("no host is named by \"{text}\"");
    }
    if let Some(absent) = found.iter().find(|port| **port > hosts) {
        bail!("host {} is not in this lab of {hosts} hosts", address::name(*absent));
    }
    Ok(found)
}

/// Like [`ports`], for what only hosts can do.
pub fn hosts_only(text: &str, hosts: u16) -> Result<Vec<u16>> {
    let found = ports(text, hosts)?;
    if found.contains(&address::CONTROLLER) {
        bail!("\"{text}\" names the controller, which is not a host");
    }
    Ok(found)
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let (mut items, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&text[start..]);
    items
}

fn named(name: &str) -> Result<Vec<u16>> {
    let Some(rest) = name.strip_prefix('h') else {
        bail!("\"{name}\" is not a host of a lab (h001, h[001-020], all, controller)");
    };
    let list = rest.strip_prefix('[').and_then(|open| open.strip_suffix(']')).unwrap_or(rest);
    let mut found = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first, name)?, number(last, name)?);
        if first > last {
            bail!("the range \"{range}\" in \"{name}\" runs backwards");
        }
        found.extend(first..=last);
    }
    Ok(found)
}

fn number(text: &str, name: &str) -> Result<u16> {
    match text.trim().parse() {
        Ok(number) if (1..=address::MAX_HOSTS).contains(&number) => Ok(number),
        _ => bail!("\"{text}\" in \"{name}\" is not the number of a host"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(text: &str) -> Vec<u16> {
        ports(text, 20).unwrap()
    }

    #[test]
    fn sets_ranges_and_names_add_up() {
        assert_eq!(check("h001"), [1]);
        assert_eq!(check("h[001-003,7],h010,h2"), [1, 2, 3, 7, 10]);
        assert_eq!(check("all").len(), 20);
        assert_eq!(check("controller,h020"), [0, 20]);
    }

    #[test]
    fn strangers_are_refused_by_name() {
        for text in ["h021", "x1", "h[3-1]", "", "h[", "h0"] {
            assert!(ports(text, 20).is_err(), "{text}");
        }
        assert!(hosts_only("controller", 20).is_err());
    }
}
