//! Release policies side by side on modelled networks: completions per second as a share of the best fixed limit.
//! Not the networks' model: that is `uplink`.

use super::uplink::{Links, Network, Server, serve};
use plush_spec::model::{AdaptiveRule, Release};
use std::fmt::Write;

const WIDE: Server = Server { uplink_mbit: 1000.0, crowd: 250.0 };
const NARROW: Server = Server { uplink_mbit: 100.0, crowd: 25.0 };
const MIDDLE: Server = Server { uplink_mbit: 300.0, crowd: 100.0 };
const USUAL: Links = Links::LogNormal(1.0);

const NETWORKS: [Network; 5] = [
    Network { name: "wide", server: WIDE, later: WIDE, link_mbit: 20.0, links: USUAL },
    Network { name: "narrow", server: NARROW, later: NARROW, link_mbit: 20.0, links: USUAL },
    Network {
        name: "slow tail",
        server: MIDDLE,
        later: MIDDLE,
        link_mbit: 10.0,
        links: Links::ParetoSlow(1.2),
    },
    Network {
        name: "wide, then narrow",
        server: WIDE,
        later: NARROW,
        link_mbit: 20.0,
        links: USUAL,
    },
    Network {
        name: "narrow, then wide",
        server: NARROW,
        later: WIDE,
        link_mbit: 20.0,
        links: USUAL,
    },
];
const FIXED: [u32; 5] = [1, 10, 25, 50, 100];
const SWEEP: [u32; 30] = [
    1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 25, 30, 36, 43, 50, 57, 64, 72, 80, 90, 100,
    115, 130, 150, 200, 300,
];

/// One table for each number of hosts.
pub fn release_table(hosts: &[u32], seeds: u64) -> String {
    let mut table = String::new();
    for hosts in hosts {
        writeln!(
            table,
            "{hosts} hosts, {seeds} seeds; completions per second until 95 % are through, in percent of the best fixed limit:\n\n\
             | network | best fixed | 1 | 10 | 25 | 50 | 100 | original | throughput |\n|---|---|---|---|---|---|---|---|---|"
        )
        .expect("a text takes what is written");
        for network in &NETWORKS {
            row(&mut table, network, *hosts, seeds);
        }
        table.push('\n');
    }
    table
}

fn row(table: &mut String, network: &Network, hosts: u32, seeds: u64) {
    let rate =
        |release| (0..seeds).map(|s| rate(network, hosts, release, s)).sum::<f64>() / seeds as f64;
    let inside = |max| rate(Release::Inside { max, timeout_ms: None });
    let (best, limit) = SWEEP
        .into_iter()
        .map(|max| (inside(max), max))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .expect("the sweep has limits");
    write!(table, "| {} | {limit}: {best:.2}/s |", network.name)
        .expect("a text takes what is written");
    let adaptive = |rule| rate(Release::Adaptive { rule, start: rule.start(), timeout_ms: None });
    let rates = FIXED.into_iter().map(inside);
    for rate in rates.chain([adaptive(AdaptiveRule::Median), adaptive(AdaptiveRule::Throughput)]) {
        write!(table, " {:.0} |", 100.0 * rate / best).expect("a text takes what is written");
    }
    table.push('\n');
}

/// Completions in a second until 95 % are through: the last few are as slow as their own links.
fn rate(network: &Network, hosts: u32, release: Release, seed: u64) -> f64 {
    let through = serve(network, hosts, release, seed);
    let most = (through.len() * 95).div_ceil(100);
    most as f64 / through[most - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_beats_every_usual_fixed_limit_where_the_network_changes_from_narrow_to_wide() {
        let mean = |release| (0..3).map(|s| rate(&NETWORKS[4], 1000, release, s)).sum::<f64>();
        let rule = AdaptiveRule::Throughput;
        let ours = mean(Release::Adaptive { rule, start: rule.start(), timeout_ms: None });
        for max in FIXED {
            let fixed = mean(Release::Inside { max, timeout_ms: None });
            assert!(ours > fixed, "{max} at a time: {fixed}, ours {ours}");
        }
    }

    #[test]
    fn ours_is_ahead_of_the_original_on_networks_that_stay_as_they_are() {
        for network in &NETWORKS[..3] {
            let mean = |rule: AdaptiveRule| {
                let release = Release::Adaptive { rule, start: rule.start(), timeout_ms: None };
                (0..3).map(|s| rate(network, 1000, release, s)).sum::<f64>()
            };
            let (ours, original) = (mean(AdaptiveRule::Throughput), mean(AdaptiveRule::Median));
            assert!(ours > original, "{}: {ours} against {original}", network.name);
        }
    }
}
