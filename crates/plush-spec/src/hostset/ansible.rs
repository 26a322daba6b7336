//! Ansible's host patterns: `web:db:&staging:!web3`.
//!
//! Not Ansible's inventory, and no regular expressions.

use super::error::HostSetError;
use super::groups::Groups;
use super::set::HostSet;
use super::wildcard;

/// Reads an Ansible pattern: names of groups or hosts, with wildcards, separated by `:` or `,`.
///
/// As in Ansible the order does not matter: everything is united, then cut to each `&name`, then freed of each `!name`.
/// `all` and `*` are all hosts. A name that is neither a group nor a host that the groups know is an error.
pub fn from_ansible_pattern(text: &str, groups: &dyn Groups) -> Result<HostSet, HostSetError> {
    let inventory = Inventory::of(groups, text)?;
    let (mut wanted, mut required, mut excluded) = (HostSet::new(), Vec::new(), HostSet::new());
    let mut only_conditions = true;
    for (offset, word) in words(text) {
        match word.strip_prefix(['&', '!']) {
            None => {
                only_conditions = false;
                wanted = wanted.union(&inventory.find(offset, word)?);
            }
            Some(name) if word.starts_with('&') => required.push(inventory.find(offset + 1, name)?),
            Some(name) => excluded = excluded.union(&inventory.find(offset + 1, name)?),
        }
    }
    if only_conditions && !text.trim().is_empty() {
        wanted = inventory.all.clone();
    }
    for hosts in &required {
        wanted = wanted.intersection(hosts);
    }
    Ok(wanted.difference(&excluded))
}

struct Inventory<'a> {
    groups: &'a dyn Groups,
    all: HostSet,
}

impl<'a> Inventory<'a> {
    fn of(groups: &'a dyn Groups, text: &str) -> Result<Inventory<'a>, HostSetError> {
        let all = groups.all(None).ok_or_else(|| {
            HostSetError::new(
                0,
                text.len(),
                "an Ansible pattern chooses from known hosts, and none are known",
            )
            .hint("define groups, or list the hosts by name")
        })?;
        let all = within(HostSet::parse(&all, groups), 0, text.len(), "the list of all hosts")?;
        Ok(Inventory { groups, all })
    }

    fn find(&self, offset: usize, name: &str) -> Result<HostSet, HostSetError> {
        let fault = |message: String| HostSetError::new(offset, name.len(), message);
        if name.is_empty() {
            return Err(fault("a name is missing in the pattern".to_owned())
                .hint("as in web:&staging:!web3"));
        }
        if name.starts_with('~') {
            return Err(fault(format!("{name} is a regular expression"))
                .hint("wildcards can be used: *, ?"));
        }
        if name.contains('[') {
            return Err(fault(format!("{name} counts hosts in an order that only Ansible knows"))
                .hint("name the hosts"));
        }
        if name == "all" {
            return Ok(self.all.clone());
        }
        if let Some(nodes) = self.groups.nodes(None, name) {
            return within(
                HostSet::parse(&nodes, self.groups),
                offset,
                name.len(),
                &format!("group {name}"),
            );
        }
        if wildcard::has_wildcard(name) {
            return self.matching(offset, name);
        }
        if self.all.contains(name) {
            return Ok([name].into_iter().collect());
        }
        Err(fault(format!("{name} is neither a group nor a known host")))
    }

    fn matching(&self, offset: usize, mask: &str) -> Result<HostSet, HostSetError> {
        let mut found: HostSet =
            self.all.iter().filter(|name| wildcard::matches(mask, name)).collect();
        for group in self.groups.list(None).unwrap_or_default() {
            if wildcard::matches(mask, &group)
                && let Some(nodes) = self.groups.nodes(None, &group)
            {
                let hosts = within(
                    HostSet::parse(&nodes, self.groups),
                    offset,
                    mask.len(),
                    &format!("group {group}"),
                )?;
                found = found.union(&hosts);
            }
        }
        Ok(found)
    }
}

/// The separated parts and their places.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut begin = 0;
    let parts = if text.trim().is_empty() {
        Vec::new()
    } else {
        text.split([':', ',']).collect::<Vec<_>>()
    };
    parts.into_iter().map(move |part| {
        let offset = begin + part.len() - part.trim_start().len();
        begin += part.len() + 1;
        (offset, part.trim())
    })
}

/// Moves an error inside a group to the name of the group.
fn within(
    set: Result<HostSet, HostSetError>,
    offset: usize,
    len: usize,
    what: &str,
) -> Result<HostSet, HostSetError> {
    set.map_err(|fault| HostSetError {
        offset,
        len,
        message: format!("in {what}: {}", fault.message),
        hint: fault.hint,
    })
}
