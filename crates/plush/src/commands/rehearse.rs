//! `plush rehearse`: plays a run with imaginary hosts and says how it would go.
//! Not the playing, which is the simulator's, and not a promise: programs are assumed.

use super::choice::assignment;
use crate::duration;
use crate::exit::ExitCode;
use crate::front;
use crate::invocation::{Invocation, print, print_json};
use crate::language;
use crate::render::rehearsal;
use crate::trouble::Trouble;
use clap::{Args, ValueHint};
use plush_sim::rehearsal::{Duration, Durations, Profile, Request};
use std::path::PathBuf;

/// The arguments of `plush rehearse`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The description, XML or YAML
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// So many imaginary hosts are on offer, instead of those that the description names
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(HOSTS_MAX)))]
    hosts: u32,
    /// The kind of hosts: planetlab, cloud, lan
    #[arg(long, value_name = "KIND", default_value = "cloud", value_parser = profile)]
    profile: Profile,
    /// How long processes run: `90s`, `10s..2min`, for one of them `NAME=90s`; may be given several times
    #[arg(long = "duration", value_name = "[NAME=]TIME", value_parser = assumed)]
    durations: Vec<(Option<String>, Duration)>,
    /// A run that is not over by then is stopped
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration::read_ms)]
    until: u64,
    /// How often it is played, each time with another seed
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    runs: u64,
    /// The first seed; equal seeds are equal runs
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The application to play, where the description has several [default: the first]
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
    /// Give a variable of the description a value
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    variables: Vec<(String, String)>,
}

/// More imaginary hosts than that are not played.
const HOSTS_MAX: u32 = 20_000;

const EXAMPLES: &str = "\
Examples:
  plush rehearse app.yaml
  plush rehearse app.yaml --hosts 500 --profile planetlab
  plush rehearse app.yaml --duration 90s --duration server=1h..2h --until 3h
  plush rehearse app.yaml --seed 7 --runs 1 --json | jq '.runs[0].barriers'

Nothing is contacted. How long programs run is assumed, and that they succeed.";

/// Rehearses and shows.
pub fn rehearse(arguments: &Arguments, invocation: &Invocation) -> Result<ExitCode, Trouble> {
    let description = language::read(&arguments.file)?;
    let request = Request {
        hosts: arguments.hosts as usize,
        profile: arguments.profile,
        durations: durations(&arguments.durations),
        until_ms: arguments.until,
    };
    let rehearsal = front::rehearsal(
        &description,
        (&arguments.variables, arguments.application.as_deref()),
        request,
        invocation,
    )?;
    let Some(end) = arguments.seed.checked_add(arguments.runs) else {
        return Err(Trouble::usage(format!(
            "there are no {} seeds after {}",
            arguments.runs, arguments.seed
        )));
    };
    let runs = rehearsal.play_all(arguments.seed..end);
    match invocation.is_for_programs() {
        true => print_json(&rehearsal::value(&rehearsal, arguments.profile, &runs))?,
        false => {
            let page =
                rehearsal::page(&rehearsal, arguments.profile, &runs, invocation.paint_out());
            print(&page)?;
        }
    }
    Ok(ExitCode::Done)
}

fn durations(given: &[(Option<String>, Duration)]) -> Durations {
    let general = given.iter().rev().find(|(name, _)| name.is_none()).map(|(_, d)| *d);
    let named = given.iter().filter_map(|(name, d)| Some((name.clone()?, *d)));
    Durations { general, named: named.collect() }
}

fn profile(text: &str) -> Result<Profile, String> {
    let known = Profile::ALL.into_iter().find(|profile| profile.name() == text);
    known.ok_or_else(|| {
        let names = Profile::ALL.map(Profile::name);
        format!("there are {}", names.join(", "))
    })
}

/// `90s`, `10s..2min`, `NAME=90s`.
fn assumed(text: &str) -> Result<(Option<String>, Duration), String> {
    let (name, time) = match text.split_once('=') {
        Some(("", _)) => return Err("write NAME=TIME or TIME".into()),
        Some((name, time)) => (Some(name.to_owned()), time),
        None => (None, text),
    };
    let duration = match time.split_once("..") {
        None => Duration::About(duration::read_ms(time)?),
        Some((low, high)) => match (duration::read_ms(low)?, duration::read_ms(high)?) {
            (low, high) if low > high => {
                return Err(format!("`{time}` ends before it begins"));
            }
            (low, high) => Duration::Between(low, high),
        },
    };
    Ok((name, duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_for_all_processes_or_for_one() {
        assert_eq!(assumed("90s"), Ok((None, Duration::About(90_000))));
        let named = Ok((Some("server".to_owned()), Duration::Between(1_000, 60_000)));
        assert_eq!(assumed("server=1s..1min"), named);
        for bad in ["", "=5s", "5", "2s..1s", "a=b"] {
            assert!(assumed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_word_about_a_process_holds() {
        let given = ["5s", "a=1s", "a=2s", "7s"].map(|text| assumed(text).expect("it is right"));
        let found = durations(&given);
        assert_eq!(found.general, Some(Duration::About(7_000)));
        assert_eq!(found.named.last(), Some(&("a".to_owned(), Duration::About(2_000))));
    }
}
