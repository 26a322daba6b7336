//! Release policies side by side on modelled networks: completions per second as a share of the best fixed limit.
//! Not the networks' model: that is `uplink`.

use super::uplink::{Links, Network, Server, Words, serve};
use plush_spec::model::{AdaptiveRule, Release};
use std::fmt::Write;

const WIDE: Server = Server { uplink_mbit: 1000.0, crowd: 250.0, worst: 0.3 };
const NARROW: Server = Server { uplink_mbit: 100.0, crowd: 25.0, worst: 0.3 };
const BUSY: Server = Server { uplink_mbit: 500.0, crowd: 120.0, worst: 0.3 };
const SMALL: Server = Server { uplink_mbit: 150.0, crowd: 40.0, worst: 0.3 };
const USUAL: Links = Links::LogNormal(1.0);

/// The constants of the throughput rule were chosen on these.
const KNOWN: [Network; 9] = [
    constant("wide", WIDE, 20.0, USUAL),
    constant("narrow", NARROW, 20.0, USUAL),
    constant("slow tail", crowded(300.0, 100.0, 0.3), 10.0, Links::ParetoSlow(1.2)),
    constant("patient 40", patient(40.0), 20.0, Links::LogNormal(0.5)),
    constant("patient 100", patient(100.0), 8.0, USUAL),
    constant("patient 200", patient(200.0), 4.0, Links::LogNormal(0.7)),
    constant("mild", crowded(200.0, 60.0, 0.7), 15.0, Links::LogNormal(1.3)),
    Network { later: NARROW, ..constant("wide, then narrow", WIDE, 20.0, USUAL) },
    Network { later: WIDE, ..constant("narrow, then wide", NARROW, 20.0, USUAL) },
];

/// These were kept back when they were chosen.
const HELD_BACK: [Network; 5] = [
    constant("equal links", crowded(400.0, 60.0, 0.3), 25.0, Links::LogNormal(0.05)),
    constant("steep", crowded(600.0, 120.0, 0.1), 30.0, Links::LogNormal(0.7)),
    constant("long", patient(150.0), 3.0, Links::ParetoSlow(1.5)),
    Network { later: SMALL, ..constant("busy, then small", BUSY, 15.0, Links::LogNormal(0.8)) },
    Network { later: BUSY, ..constant("small, then busy", SMALL, 15.0, Links::LogNormal(0.8)) },
];

const fn constant(name: &'static str, server: Server, link_mbit: f64, links: Links) -> Network {
    Network { name, server, later: server, link_mbit, links }
}

const fn crowded(uplink_mbit: f64, crowd: f64, worst: f64) -> Server {
    Server { uplink_mbit, crowd, worst }
}

/// A server that a crowd does no harm.
const fn patient(uplink_mbit: f64) -> Server {
    crowded(uplink_mbit, 1.0, 1.0)
}

const FIXED: [u32; 5] = [1, 10, 25, 50, 100];
const SWEEP: [u32; 31] = [
    1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 25, 30, 36, 43, 50, 57, 64, 72, 80, 90, 100,
    115, 130, 150, 200, 300, 1000,
];

/// One table for each number of hosts, the known networks before those kept back.
pub fn release_table(hosts: &[u32], seeds: u64) -> String {
    let mut table = String::new();
    for hosts in hosts {
        writeln!(
            table,
            "{hosts} hosts, {seeds} seeds; completions per second until 95 % are through, in percent of the best fixed limit:\n\n\
             | network | best fixed | 1 | 10 | 25 | 50 | 100 | original | throughput, by completions | throughput, by progress |\n|---|---|---|---|---|---|---|---|---|---|"
        )
        .expect("a text takes what is written");
        for network in KNOWN.iter().chain(&HELD_BACK) {
            row(&mut table, network, *hosts, seeds);
        }
        table.push('\n');
    }
    table
}

fn row(table: &mut String, network: &Network, hosts: u32, seeds: u64) {
    let mean = |release, words| {
        (0..seeds).map(|s| rate(network, hosts, release, words, s)).sum::<f64>() / seeds as f64
    };
    let inside = |max| mean(Release::Inside { max, timeout_ms: None }, Words::None);
    let sweep = SWEEP.map(|max| (inside(max), max));
    let (best, limit) =
        sweep.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).expect("the sweep has limits");
    write!(table, "| {} | {limit}: {best:.2}/s |", network.name)
        .expect("a text takes what is written");
    let fixed = sweep.iter().filter(|(_, max)| FIXED.contains(max)).map(|(rate, _)| *rate);
    let adaptive = [
        mean(adaptive(AdaptiveRule::Median), Words::None),
        mean(adaptive(AdaptiveRule::Throughput), Words::None),
        mean(adaptive(AdaptiveRule::Throughput), Words::Spoken),
    ];
    for rate in fixed.chain(adaptive) {
        write!(table, " {:.0} |", 100.0 * rate / best).expect("a text takes what is written");
    }
    table.push('\n');
}

fn adaptive(rule: AdaptiveRule) -> Release {
    Release::Adaptive { rule, start: rule.start(), timeout_ms: None }
}

/// Completions in a second until 95 % are through: the last few are as slow as their own links.
fn rate(network: &Network, hosts: u32, release: Release, words: Words, seed: u64) -> f64 {
    let through = serve(network, hosts, release, words, seed);
    let most = (through.len() * 95).div_ceil(100);
    most as f64 / through[most - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(network: &Network, hosts: u32, release: Release, words: Words) -> f64 {
        (0..3).map(|seed| rate(network, hosts, release, words, seed)).sum::<f64>() / 3.0
    }

    #[test]
    fn ours_beats_every_usual_fixed_limit_where_the_network_becomes_slow_half_way() {
        let ours = adaptive(AdaptiveRule::Throughput);
        for network in [&KNOWN[7], &HELD_BACK[3]] {
            let ours = mean(network, 1000, ours, Words::Spoken);
            for max in FIXED {
                let inside = Release::Inside { max, timeout_ms: None };
                let fixed = mean(network, 1000, inside, Words::None);
                assert!(ours > fixed, "{}, {max} at a time: {fixed}, ours {ours}", network.name);
            }
        }
    }

    #[test]
    fn ours_is_ahead_of_the_original_on_networks_that_stay_as_they_are_with_progress_and_without() {
        let original = adaptive(AdaptiveRule::Median);
        let ours = adaptive(AdaptiveRule::Throughput);
        for network in KNOWN[..3].iter().chain(&HELD_BACK[..3]) {
            let original = mean(network, 1000, original, Words::None);
            for words in [Words::None, Words::Spoken] {
                let ours = mean(network, 1000, ours, words);
                assert!(ours > original, "{}: {ours} against {original}", network.name);
            }
        }
    }

    #[test]
    fn with_progress_ours_is_nine_tenths_of_the_best_fixed_limit_for_a_thousand_hosts() {
        for network in &KNOWN[..7] {
            let ours = mean(network, 1000, adaptive(AdaptiveRule::Throughput), Words::Spoken);
            // Around the best of each, as the study's table has them.
            let best = [12, 36, 57, 100].map(|max| {
                mean(network, 1000, Release::Inside { max, timeout_ms: None }, Words::None)
            });
            let best = best.into_iter().fold(0.0, f64::max);
            eprintln!("{}: {:.0} % of the best fixed limit", network.name, 100.0 * ours / best);
            assert!(ours > 0.85 * best, "{}: {ours}, fixed {best}", network.name);
        }
    }
}
