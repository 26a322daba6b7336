//! A plan, for people and for programs: nothing is left to choose.
//! Not the planning.

use crate::colour::Paint;
use crate::duration;
use crate::front::{Keep, PlanView};
use crate::render::{names, table, text};
use serde_json::{Value, json};

/// Folded hosts of one row are cut beyond so many characters.
const HOSTS_WIDTH: usize = 400;

/// For people.
pub fn page(plan: &PlanView, paint: Paint) -> String {
    let mut page = format!("project {}\n", paint.bold(text::shown(&plan.project)));
    if !plan.other_applications.is_empty() {
        page.push_str(&format!(
            "application {}, not {}\n",
            paint.bold(text::shown(&plan.application)),
            text::shown(&plan.other_applications.join(", "))
        ));
    }
    page.push_str(&clusters(plan));
    page.push_str(&section("software", software(plan)));
    page.push_str(&section("commands", commands(plan)));
    page.push_str(&section(
        "local programs",
        plan.local_programs.iter().map(|program| vec![indented(program)]).collect(),
    ));
    page.push_str(&section("afterwards", afterwards(plan)));
    page
}

/// For programs.
pub fn value(plan: &PlanView) -> Value {
    let cluster = |(name, wanted, enough, members, spares): &(String, u32, u32, u32, u32)| json!({ "name": name, "wanted": wanted, "enough": enough, "members": members, "spares": spares });
    let software = |(name, package, from, digest): &(String, String, String, Option<String>)| json!({ "software": name, "package": package, "from": from, "digest": digest });
    let command = |(cluster, process, command): &(String, String, String)| json!({ "cluster": cluster, "process": process, "command": command });
    json!({
        "version": 1,
        "project": plan.project,
        "application": plan.application,
        "other_applications": plan.other_applications,
        "hosts": plan.hosts,
        "clusters": plan.clusters.iter().map(cluster).collect::<Vec<_>>(),
        "software": plan.software.iter().map(software).collect::<Vec<_>>(),
        "commands": plan.commands.iter().map(command).collect::<Vec<_>>(),
        "local_programs": plan.local_programs,
        "keep": plan.keep,
        "stop_after_ms": plan.stop_after_ms,
    })
}

/// The hosts of a question: folded, and counted.
pub fn hosts_in_brief(hosts: &[String]) -> String {
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    format!("{}: {}\n", text::counted(names.len(), "host"), names::fold_within(&names, HOSTS_WIDTH))
}

fn clusters(plan: &PlanView) -> String {
    let mut rows = Vec::new();
    for (name, wanted, enough, members, spares) in &plan.clusters {
        let least = if enough < wanted { format!(", {enough} are enough") } else { String::new() };
        rows.push(vec![
            indented(name),
            format!("{members} of {wanted} hosts{least}"),
            hosts(plan, name, false),
        ]);
        if *spares > 0 {
            rows.push(vec![String::new(), format!("{spares} spare"), hosts(plan, name, true)]);
        }
    }
    section("clusters", rows)
}

/// Where they are matters: on this machine, or reached by SSH.
fn hosts(plan: &PlanView, cluster: &str, spare: bool) -> String {
    let of = |remote: bool| -> Vec<&str> {
        let is_meant = |host: &&_| matches(host, cluster, spare, remote);
        plan.hosts.iter().filter(is_meant).map(|host| host.name.as_str()).collect()
    };
    let place = |names: Vec<&str>, how: &str| {
        (!names.is_empty()).then(|| format!("{} ({how})", names::fold_within(&names, HOSTS_WIDTH)))
    };
    [place(of(true), "by SSH"), place(of(false), "on this machine")]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

fn matches(
    host: &plush_controller::PlannedHostView,
    cluster: &str,
    spare: bool,
    remote: bool,
) -> bool {
    host.cluster == cluster && host.spare == spare && host.remote == remote
}

fn software(plan: &PlanView) -> Vec<Vec<String>> {
    let row = |(name, package, from, digest): &(String, String, String, Option<String>)| {
        let digest = digest.as_deref().unwrap_or("no digest");
        vec![indented(name), text::shown(package), text::shown(from), text::shown(digest)]
    };
    plan.software.iter().map(row).collect()
}

fn commands(plan: &PlanView) -> Vec<Vec<String>> {
    let rows = |(cluster, process, command): &(String, String, String)| {
        let mut lines = command.trim_end_matches('\n').lines().map(text::shown);
        let first = lines.next().unwrap_or_default();
        let first = vec![indented(cluster), text::shown(process), first];
        let more = lines.map(|line| vec![String::new(), String::new(), line]);
        std::iter::once(first).chain(more).collect::<Vec<_>>()
    };
    plan.commands.iter().flat_map(rows).collect()
}

fn afterwards(plan: &PlanView) -> Vec<Vec<String>> {
    let kept = match plan.keep {
        Keep::Nothing => "nothing stays on the hosts",
        Keep::Cache => "the agent and the packages stay on the hosts",
        Keep::All => "everything stays on the hosts",
    };
    let lease = match plan.stop_after_ms {
        Some(ms) => format!("without a controller, tasks stop after {}", duration::show_ms(ms)),
        None => "without a controller, tasks go on for ever".to_owned(),
    };
    vec![vec![indented(kept)], vec![indented(&lease)]]
}

fn section(title: &str, rows: Vec<Vec<String>>) -> String {
    match rows.is_empty() {
        true => String::new(),
        false => format!("{title}\n{}", table::rows(&rows)),
    }
}

fn indented(cell: &str) -> String {
    format!("  {}", text::shown(cell))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::text::is_forbidden;
    use plush_controller::PlannedHostView;
    use proptest::prelude::*;

    fn sample(word: &str) -> PlanView {
        let host = |n: u32| PlannedHostView {
            name: format!("node{n:02}{word}"),
            cluster: format!("peers{word}"),
            spare: n > 10,
            remote: n != 3,
        };
        PlanView {
            project: format!("gossip{word}"),
            application: format!("gossip{word}"),
            other_applications: Vec::new(),
            hosts: (1..=12).map(host).collect(),
            clusters: vec![(format!("peers{word}"), 10, 8, 10, 2)],
            software: vec![(
                format!("gossip{word}"),
                "gossip.tar".into(),
                "push gossip.tar (12 bytes)".into(),
                Some(format!("blake3:00{word}")),
            )],
            commands: vec![(
                format!("peers{word}"),
                "gossip".into(),
                format!("./gossip --seconds 300{word}"),
            )],
            local_programs: Vec::new(),
            keep: Keep::Cache,
            stop_after_ms: Some(86_400_000),
        }
    }

    #[test]
    fn a_plan_leaves_nothing_open() {
        insta::assert_snapshot!(page(&sample(""), Paint::Plain));
    }

    #[test]
    fn a_command_of_several_lines_stands_on_several_lines() {
        let mut plan = sample("");
        plan.commands[0].2 = "set -e\n./gossip\n".to_owned();
        let page = page(&plan, Paint::Plain);
        let lines: Vec<&str> = page.lines().map(str::trim).collect();
        assert!(lines.iter().any(|line| line.ends_with("set -e")), "{page}");
        assert!(lines.contains(&"./gossip"), "{page}");
    }

    #[test]
    fn a_plan_says_which_of_several_applications_it_is_for() {
        let mut plan = sample("");
        plan.application = "b".to_owned();
        plan.other_applications = vec!["a".to_owned(), "c".to_owned()];
        assert!(page(&plan, Paint::Plain).contains("\napplication b, not a, c\n"));
    }

    proptest! {
        #[test]
        fn nothing_in_it_is_obeyed_by_a_terminal(word in any::<String>()) {
            let shown = page(&sample(&word), Paint::Plain);
            prop_assert!(!shown.chars().any(is_forbidden));
        }
    }
}
