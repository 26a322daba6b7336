//! Providers: what a description's resources offer. Built in are `ssh` (a host set or a directory file) and `local`.
//! Not the choice among the offers: that is the plan's.

use crate::transport::HostAddress;
use plush_core::plan::{PlanProblem, PlannedHost, Route};
use plush_spec::hostset::{HostSet, NoGroups};
use plush_spec::model::{Hosts, Place, Resource};
use std::path::Path;

/// A local file that lists hosts may be so long.
const DIRECTORY_BYTES_MAX: u64 = 16 << 20;

/// The hosts of some resources, best first.
pub fn offer(resources: &[Resource], base: &Path) -> Result<Vec<PlannedHost>, Vec<PlanProblem>> {
    let (mut hosts, mut problems) = (Vec::new(), Vec::new());
    for resource in resources {
        match of(resource, base) {
            Ok(more) => hosts.extend(more),
            Err(problem) => problems.push(*problem),
        }
    }
    if problems.is_empty() { Ok(hosts) } else { Err(problems) }
}

fn of(resource: &Resource, base: &Path) -> Result<Vec<PlannedHost>, Box<PlanProblem>> {
    let route = match resource.kind.as_str() {
        "ssh" => Route::Ssh,
        "local" => Route::Local,
        // The plan refuses it, from the language's list of unsupported features.
        _ => return Ok(Vec::new()),
    };
    let listed = match &resource.hosts {
        Some(hosts) => expand(hosts)?.iter().collect(),
        None => Vec::new(),
    };
    let mut names: Vec<String> = listed;
    if let Some(file) = &resource.file {
        names.extend(directory(resource, &base.join(file))?);
    }
    if names.is_empty() {
        let hint = "give it `hosts` or a directory `file`".to_owned();
        return Err(problem(resource.place, "this resource names no host".into(), Some(hint)));
    }
    let excluded = resource.exclude.as_ref().map(expand).transpose()?.unwrap_or_default();
    let preferred = resource.prefer.as_ref().map(expand).transpose()?.unwrap_or_default();
    names.retain(|name| !excluded.contains(name));
    names.sort_by_key(|name| !preferred.contains(name));
    let host = |name: String| planned(resource, route, &name);
    names.into_iter().map(host).collect()
}

fn expand(hosts: &Hosts) -> Result<HostSet, Box<PlanProblem>> {
    HostSet::parse(&hosts.text, &NoGroups).map_err(|e| {
        problem(hosts.place, format!("host set `{}`: {}", hosts.text, e.message), e.hint)
    })
}

fn planned(resource: &Resource, route: Route, name: &str) -> Result<PlannedHost, Box<PlanProblem>> {
    let address = HostAddress::parse(name)
        .map_err(|e| problem(resource.place, format!("host `{name}`: {e}"), None))?;
    let mut whole = name.to_owned();
    if let (None, Some(user)) = (address.user(), &resource.user) {
        whole = format!("{user}@{whole}");
    }
    if let (None, Some(port)) = (address.port(), resource.port) {
        whole = format!("{whole}:{port}");
    }
    Ok(PlannedHost::new(whole, route))
}

/// The hosts of a directory file, those of the resource's group if it names one.
fn directory(resource: &Resource, path: &Path) -> Result<Vec<String>, Box<PlanProblem>> {
    let failed = |why: String| {
        problem(resource.place, format!("directory file {}: {why}", path.display()), None)
    };
    let length = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if length > DIRECTORY_BYTES_MAX {
        return Err(failed(format!("it is longer than {DIRECTORY_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    let parsed = plush_spec::parse_directory(&text);
    let Some(directory) = parsed.directory else {
        if !text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
            let hint = "such a file lists hosts as `<plush><resource_manager type=\"ssh\"><node hostname=\"...\"/>`; \
                        this build reads no inventories yet: name the hosts with `hosts`";
            let what =
                format!("{} is no directory file: it does not begin with `<`", path.display());
            return Err(problem(resource.place, what, Some(hint.to_owned())));
        }
        let first = parsed
            .problems
            .first()
            .map_or_else(String::new, |p| format!("{}: {}", p.place, p.message));
        return Err(failed(first));
    };
    let group = resource.group.as_deref();
    let chosen = directory.hosts.iter().filter(|h| group.is_none() || h.group.as_deref() == group);
    Ok(chosen.map(|h| written(h.user.as_deref(), &h.host, h.port)).collect())
}

fn written(user: Option<&str>, host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let user = user.map_or_else(String::new, |u| format!("{u}@"));
    let port = port.map_or_else(String::new, |p| format!(":{p}"));
    format!("{user}{host}{port}")
}

fn problem(place: Place, what: String, hint: Option<String>) -> Box<PlanProblem> {
    Box::new(PlanProblem { what, place, hint, too_few_hosts: false })
}
