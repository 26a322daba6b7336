//! SWORD requests rewritten as requirements.
//! It does not match hosts; it only says the same in other words.

use super::early::{attribute, check_early, name_of, named, stray};
use super::element::Element;
use crate::report::Report;
use crate::source::Span;
use crate::value::{number, shown};

/// Facts of pairs of hosts rather than of one.
const PAIR_FACTS: [&str; 4] = ["latency", "bandwidth", "network_latency", "network_bandwidth"];

/// Adds what a request says to a cluster: its requirement, and the number of hosts where nothing else says it.
pub(crate) fn request(request: Element, cluster: &mut Element, report: &mut Report<'_>) {
    check_early(&request, report);
    let span = request.span.clone();
    let groups: Vec<&Element> = request.children.iter().filter(|c| c.is("group")).collect();
    let constraints: Vec<&Element> =
        request.children.iter().filter(|c| c.is("constraint")).collect();
    let mut requirement = Element::new("requirement", span.clone());
    if let ([only], []) = (groups.as_slice(), constraints.as_slice()) {
        conditions(only, &["name", "num_machines"], &mut requirement, report);
    } else {
        for group in &groups {
            let mut now = named("group", &group_name(group), &group.span);
            let count = machines(group).unwrap_or_else(|| "1".to_string());
            now.attributes.push(attribute("num_hosts", &count, &group.span));
            conditions(group, &["name", "num_machines"], &mut now, report);
            requirement.children.push(now);
        }
        for constraint in &constraints {
            requirement.children.push(self::constraint(constraint, report));
        }
    }
    if cluster.child("num_hosts").is_none()
        && let Some(total) = total(&groups)
    {
        let mut count = Element::new("num_hosts", span.clone());
        count.texts.push((total, span));
        cluster.children.push(count);
    }
    cluster.children.push(requirement);
}

fn constraint(constraint: &Element, report: &mut Report<'_>) -> Element {
    stray(constraint, report);
    let mut now = Element::new("constraint", constraint.span.clone());
    match constraint.child("group_names") {
        Some(names) => {
            let text = names.text();
            let names_in = text.split([' ', ',', '\n', '\t']).filter(|n| !n.is_empty());
            now.children.extend(names_in.map(|n| named("group", n, &names.span)));
        }
        None => report.error(
            "missing",
            &constraint.span,
            "`constraint` has no `group_names`",
            Some("write `<group_names>GROUP GROUP</group_names>`".to_string()),
        ),
    }
    let mut facts = Element::new("facts", constraint.span.clone());
    conditions(constraint, &["group_names"], &mut facts, report);
    for child in facts.children {
        match child.is("between") {
            true => now.children.extend(child.children),
            false => now.children.push(child),
        }
    }
    now
}

/// The attributes of a group or constraint as conditions; those of pairs under `between`.
fn conditions(from: &Element, others: &[&str], to: &mut Element, report: &mut Report<'_>) {
    stray(from, report);
    let mut between = Element::new("between", from.span.clone());
    for fact in
        from.children.iter().filter(|c| c.namespace.is_none() && !others.contains(&c.name.as_str()))
    {
        let Some(condition) = condition(fact, report) else { continue };
        match PAIR_FACTS.contains(&fact.name.as_str()) {
            true => between.children.push(condition),
            false => to.children.push(condition),
        }
    }
    if !between.children.is_empty() {
        to.children.push(between);
    }
}

fn condition(fact: &Element, report: &mut Report<'_>) -> Option<Element> {
    let mut now = Element::new("condition", fact.span.clone());
    now.attributes.push(attribute("fact", &fact.name, &fact.span));
    if let Some(value) = fact.child("value") {
        let text = value.text();
        let (wanted, penalty) = text.rsplit_once(',').unwrap_or((&text, ""));
        now.attributes.push(attribute("is", wanted.trim(), &value.text_span()));
        if number(penalty.trim()).is_ok_and(|p| p != 0.0) {
            now.attributes.push(attribute("penalty", penalty.trim(), &value.text_span()));
        }
        return Some(now);
    }
    let text = fact.text();
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let span: Span = fact.text_span();
    let [abs_min, ideal_min, ideal_max, abs_max, penalty] = parts.as_slice() else {
        let message = format!(
            "`{}` has {} numbers, not five",
            fact.name,
            if text.trim().is_empty() { 0 } else { parts.len() }
        );
        report.error(
            "value",
            &span,
            message,
            Some(
                "write `abs_min, ideal_min, ideal_max, abs_max, penalty`; a bound may be `max`"
                    .to_string(),
            ),
        );
        return None;
    };
    let bounds = [
        ("abs_min", abs_min),
        ("ideal_min", ideal_min),
        ("ideal_max", ideal_max),
        ("abs_max", abs_max),
        ("penalty", penalty),
    ];
    for (name, bound) in bounds {
        if !bound.eq_ignore_ascii_case("max") {
            if number(bound).is_err() {
                report.error(
                    "value",
                    &span,
                    format!("`{}` is no number", shown(bound)),
                    Some("a bound is a number or `max`".to_string()),
                );
                return None;
            }
            now.attributes.push(attribute(name, bound, &span));
        }
    }
    Some(now)
}

fn group_name(group: &Element) -> String {
    group.child("name").map_or_else(|| name_of(group), |n| n.text().trim().to_string())
}

fn machines(group: &Element) -> Option<String> {
    group.child("num_machines").map(|n| n.text().trim().to_string())
}

/// The hosts of all groups together.
fn total(groups: &[&Element]) -> Option<String> {
    let counts: Vec<String> = groups.iter().filter_map(|g| machines(g)).collect();
    match counts.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        many if many.iter().any(|c| c == "all") => Some("all".to_string()),
        many => Some(many.iter().filter_map(|c| c.parse::<u64>().ok()).sum::<u64>().to_string()),
    }
}
