//! A plan for people.
//! Not the plan.

use crate::render::names;

/// The hosts of a question: folded, and counted.
pub fn hosts_in_brief(hosts: &[String]) -> String {
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    format!("{} ({})\n", names::fold_within(&names, 400), names.len())
}
