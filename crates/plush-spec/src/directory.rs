//! Directory files: lists of hosts in the original XML, as files and as the output of helper programs.
//! They are not descriptions; providers read them.

use crate::model::Place;
use crate::problem::Problem;
use crate::report::Report;
use crate::source::Source;
use crate::tree::early::stray;
use crate::tree::element::{Element, read};
use crate::tree::shape::unknown_hint;
use crate::value::shown;
use serde::Serialize;

/// What a directory file says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Directory {
    /// The provider that the hosts are for, such as `ssh`; `plab` for a slice.
    pub kind: String,
    /// The name of the slice.
    pub slice: Option<String>,
    /// When the slice expires, as it was written.
    pub expires: Option<String>,
    /// The hosts.
    pub hosts: Vec<DirectoryHost>,
}

/// One host of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DirectoryHost {
    /// Its name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: Option<u16>,
    /// The account on it.
    pub user: Option<String>,
    /// The group that it belongs to.
    pub group: Option<String>,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// What came of reading a directory file.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedDirectory {
    /// What it says; `None` where there are errors.
    pub directory: Option<Directory>,
    /// Everything that is wrong, in the order of the text.
    pub problems: Vec<Problem>,
}

/// Reads a directory file: `resource_manager` with `node`s, or a helper's `slice`.
pub fn parse_directory(text: &str) -> ParsedDirectory {
    let source = Source::new(text);
    let mut report = Report::new(&source);
    let directory = crate::accept_size(text, &mut report)
        .then(|| read(&mut report))
        .flatten()
        .map(|root| directory(&root, &mut report));
    let directory = directory.filter(|_| !report.has_errors());
    ParsedDirectory { directory, problems: report.into_problems() }
}

fn directory(root: &Element, report: &mut Report<'_>) -> Directory {
    let mut directory = Directory::default();
    let parts: Vec<&Element> = match root.name.as_str() {
        "plush" | "gush" => root.children.iter().filter(|c| c.namespace.is_none()).collect(),
        _ => vec![root],
    };
    if matches!(root.name.as_str(), "plush" | "gush") {
        stray(root, report);
    }
    for part in &parts {
        match part.name.as_str() {
            "resource_manager" => resource_manager(part, &mut directory, report),
            "slice" => slice(part, &mut directory, report),
            _ => {
                let hint = unknown_hint(&part.name, ["resource_manager", "slice"]);
                report.error(
                    "unknown-element",
                    &part.span,
                    format!("a directory has no element `{}`", shown(&part.name)),
                    hint,
                );
            }
        }
    }
    if parts.is_empty() {
        report.error(
            "missing",
            &root.span,
            "the directory is empty",
            Some("write `<resource_manager type=\"ssh\">` with `node`s in it".to_string()),
        );
    }
    directory
}

fn resource_manager(manager: &Element, directory: &mut Directory, report: &mut Report<'_>) {
    match manager.attribute("type") {
        Some(kind) => directory.kind = kind.value.clone(),
        None => report.error(
            "missing",
            &manager.span,
            "`resource_manager` has no `type`",
            Some("write `type=\"ssh\"`".to_string()),
        ),
    }
    only(manager, &["type"], &["node"], report);
    for node in manager.children.iter().filter(|c| c.is("node")) {
        only(node, &["hostname", "port", "user", "group"], &[], report);
        match node.attribute("hostname") {
            Some(hostname) => {
                directory.hosts.extend(host(node, &hostname.value, &hostname.value_span, report))
            }
            None => report.error(
                "missing",
                &node.span,
                "`node` has no `hostname`",
                Some("write `hostname=\"HOST:PORT\"`".to_string()),
            ),
        }
    }
}

fn slice(slice: &Element, directory: &mut Directory, report: &mut Report<'_>) {
    directory.kind = "plab".to_string();
    directory.slice = slice.attribute("name").map(|a| a.value.clone());
    directory.expires = slice
        .attribute("expires")
        .map(|a| a.value.clone())
        .or_else(|| slice.child("expires").map(|e| e.text().trim().to_string()));
    only(slice, &["name", "expires"], &["expires", "node"], report);
    for node in slice.children.iter().filter(|c| c.is("node")) {
        only(node, &["name"], &[], report);
        match node.attribute("name") {
            Some(name) => directory.hosts.extend(host(node, &name.value, &name.value_span, report)),
            None => report.error(
                "missing",
                &node.span,
                "`node` has no `name`",
                Some("write `name=\"USER@HOST\"`".to_string()),
            ),
        }
    }
}

/// `user@host:port`, where attributes may say user and port as well.
fn host(
    node: &Element,
    text: &str,
    span: &crate::source::Span,
    report: &mut Report<'_>,
) -> Option<DirectoryHost> {
    let attribute =
        |name: &str| node.attribute(name).map(|a| a.value.clone()).filter(|v| !v.is_empty());
    let (user, rest) =
        text.split_once('@').map_or((None, text), |(user, rest)| (Some(user.to_string()), rest));
    let (host, port) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        Some((address, port)) => (address, port.strip_prefix(':')),
        None if rest.matches(':').count() == 1 => {
            rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)))
        }
        None => (rest, None),
    };
    let own_port = attribute("port");
    let port = port.or(own_port.as_deref());
    let number = port.map(str::parse::<u16>);
    if matches!(number, Some(Err(_) | Ok(0))) {
        report.error(
            "value",
            span,
            format!("`{}` is no port", shown(port.unwrap_or_default())),
            Some("a port is between 1 and 65535".to_string()),
        );
        return None;
    }
    let user = attribute("user").or(user);
    let group = attribute("group");
    for part in [Some(host), user.as_deref(), group.as_deref()].into_iter().flatten() {
        let is_bad = part.is_empty()
            || part.starts_with('-')
            || part.contains(|c: char| {
                c.is_whitespace() || c.is_control() || "/\\'\"$`;|&<>".contains(c)
            });
        if is_bad {
            let hint = "names have no white space, no shell characters and no leading `-`";
            report.error(
                "value",
                span,
                format!("`{}` is neither a host nor an account", shown(part)),
                Some(hint.to_string()),
            );
            return None;
        }
    }
    Some(DirectoryHost {
        host: host.to_string(),
        port: number.and_then(Result::ok),
        user,
        group,
        place: report.source.place(span.start),
    })
}

fn only(element: &Element, attributes: &[&str], children: &[&str], report: &mut Report<'_>) {
    for attribute in element
        .attributes
        .iter()
        .filter(|a| a.namespace.is_none() && !attributes.contains(&a.name.as_str()))
    {
        let hint = unknown_hint(&attribute.name, attributes.iter().copied());
        report.error(
            "unknown-attribute",
            &attribute.name_span,
            format!("`{}` has no attribute `{}`", element.name, shown(&attribute.name)),
            hint,
        );
    }
    for child in element
        .children
        .iter()
        .filter(|c| c.namespace.is_none() && !children.contains(&c.name.as_str()))
    {
        let hint = unknown_hint(&child.name, children.iter().copied());
        report.error(
            "unknown-element",
            &child.span,
            format!("`{}` has no element `{}`", element.name, shown(&child.name)),
            hint,
        );
    }
    stray(element, report);
}
