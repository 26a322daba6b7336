//! `-w` and `-x`: sets of hosts on the command line, `-` for standard input, `^FILE` for a file.
//! Not their meaning: the plan has the names that exist.

use crate::trouble::Trouble;
use plush_spec::hostset::{HostSet, NoGroups};
use std::io::Read;
use std::{fs, io};

/// The text of a set, read from where it says.
pub fn text(argument: &str) -> Result<String, Trouble> {
    match argument.strip_prefix('^') {
        Some(file) => listed(&fs::read_to_string(file).map_err(|error| {
            Trouble::usage(format!("cannot read the hosts in {file}")).caused_by(&error)
        })?),
        None if argument == "-" => {
            let mut lines = String::new();
            let unreadable = |error: io::Error| {
                Trouble::usage("cannot read hosts from standard input").caused_by(&error)
            };
            io::stdin().read_to_string(&mut lines).map_err(unreadable)?;
            listed(&lines)
        }
        None => Ok(argument.to_owned()),
    }
}

/// All of them, one after the other.
pub fn texts(arguments: &[String]) -> Result<Vec<String>, Trouble> {
    arguments.iter().map(|argument| text(argument)).collect()
}

/// The hosts of a set.
pub fn set(argument: &str) -> Result<HostSet, Trouble> {
    parse(&text(argument)?)
}

/// The hosts of a text in ClusterShell's grammar.
pub fn parse(text: &str) -> Result<HostSet, Trouble> {
    HostSet::parse(text, &NoGroups).map_err(|error| {
        let place = format!(
            "{text}\n        {}{}",
            " ".repeat(columns(text, error.offset)),
            "^".repeat(error.len.max(1))
        );
        let trouble =
            Trouble::usage(format!("cannot read a set of hosts: {}", error.message)).because(place);
        match error.hint {
            Some(hint) => trouble.next(hint),
            None => trouble.next("the grammar is that of ClusterShell: node[1-5,8], a,b, all!some"),
        }
    })
}

fn columns(text: &str, offset: usize) -> usize {
    text.get(..offset).map_or(0, |before| before.chars().count())
}

/// One set per line; empty lines and comments do not count.
fn listed(lines: &str) -> Result<String, Trouble> {
    let sets: Vec<&str> = lines
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .flat_map(str::split_whitespace)
        .collect();
    Ok(sets.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_have_comments_and_several_per_line() {
        assert_eq!(listed("a b[1-2]\n# none\n\nc # the last\n").expect("readable"), "a,b[1-2],c");
    }

    #[test]
    fn a_fault_is_pointed_at() {
        let trouble = parse("node[1-").expect_err("no bracket closes").to_string();
        assert!(trouble.contains("node[1-\n") && trouble.contains('^'), "{trouble}");
    }
}
