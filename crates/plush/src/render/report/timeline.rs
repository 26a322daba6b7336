//! The states of hosts over time, and which hosts went the same way.
//! Not barriers.

use crate::render::chart::rows::{self, NAMED_MAX, Row, Rows};
use crate::render::chart::{Drawing, Tint};
use crate::render::{text, words};
use plush_protocol::history::{HostHistory, RunHistory};
use plush_protocol::view::HostState;

/// The picture. Few hosts stand in the order of the plan; many, by the way they went.
pub fn draw(history: &RunHistory) -> Drawing {
    let mut hosts: Vec<&HostHistory> = history.hosts.iter().collect();
    let is_folded = hosts.len() > NAMED_MAX;
    if is_folded {
        hosts.sort_by_key(|host| (host.cluster.clone(), course(host), moments(host)));
    }
    let subtitle = match is_folded {
        false => "What each host did, in the order of the plan.",
        true => {
            "What each host did; those that went the same way lie together, the quickest first."
        }
    };
    rows::draw(&Rows {
        title: format!("Timeline of {}", text::counted(hosts.len(), "host")),
        subtitle: subtitle.into(),
        since: "time since the run began".into(),
        things: "hosts".into(),
        rows: hosts.into_iter().map(row).collect(),
        legend: legend(history),
        end_ms: history.view.elapsed_ms,
    })
}

/// Hosts by the states that they went through, the most common first.
pub fn courses(history: &RunHistory) -> Vec<(String, Vec<&str>)> {
    let mut courses: Vec<(Vec<HostState>, Vec<&str>)> = Vec::new();
    for host in &history.hosts {
        let way = course(host);
        match courses.iter_mut().find(|(other, _)| *other == way) {
            Some((_, hosts)) => hosts.push(&host.name),
            None => courses.push((way, vec![&host.name])),
        }
    }
    courses.sort_by_key(|(_, hosts)| std::cmp::Reverse(hosts.len()));
    let named =
        |way: Vec<HostState>| way.into_iter().map(words::state).collect::<Vec<_>>().join(" → ");
    courses.into_iter().map(|(way, hosts)| (named(way), hosts)).collect()
}

fn row(host: &HostHistory) -> Row {
    let shown = host.spans.iter().filter(|span| span.state != HostState::Spare);
    Row {
        name: text::shown(&host.name),
        pieces: shown.map(|s| (s.from_ms, s.until_ms, Tint::State(s.state))).collect(),
    }
}

/// The states of a host in order; twice the same in a row is once.
fn course(host: &HostHistory) -> Vec<HostState> {
    let mut course: Vec<HostState> = host.spans.iter().map(|span| span.state).collect();
    course.dedup();
    course
}

/// When it came to each state: first of all when it had been prepared, which takes the longest.
fn moments(host: &HostHistory) -> Vec<u64> {
    let mut moments: Vec<u64> = host.spans.iter().map(|span| span.from_ms).collect();
    let connected = moments.len().min(2);
    moments.rotate_left(connected);
    moments
}

fn legend(history: &RunHistory) -> Vec<(String, Tint)> {
    let states = history.hosts.iter().flat_map(|host| &host.spans).map(|span| span.state);
    let mut states: Vec<HostState> = states.filter(|state| *state != HostState::Spare).collect();
    states.sort_unstable();
    states.dedup();
    states.into_iter().map(|state| (words::state(state).to_owned(), Tint::State(state))).collect()
}
