//! How a host is reached, for people and for programs.
//! Not the trial itself.

use crate::colour::Paint;
use crate::duration;
use crate::front::{Client, ConnectFailure, DoctorReport};
use crate::render::{table, text, words};
use serde_json::{Value, json};
use std::time::Duration;

/// What came of one host.
pub type Examined = Result<DoctorReport, ConnectFailure>;

/// For people: one block.
pub fn page(host: &str, examined: &Examined, paint: Paint) -> String {
    match examined {
        Ok(report) => {
            format!("{}{}", verdict(host, &report.outcome, &report.stages, paint), details(report))
        }
        Err(failure) => verdict(host, &Err(failure.clone()), &[], paint),
    }
}

/// For programs.
pub fn value(host: &str, examined: &Examined) -> Value {
    match examined {
        Ok(report) => json!({
            "host": host,
            "reached": report.outcome.is_ok(),
            "failure": report.outcome.as_ref().err().map(failure_value),
            "client": client(report.client),
            "why": report.why,
            "way": report.way,
            "notes": report.notes,
            "stages": report.stages.iter().map(|(stage, took)| json!({ "stage": stage.to_string(), "ms": ms(*took) })).collect::<Vec<_>>(),
            "host_key": report.host_key,
            "known_keys": report.known_keys,
            "known_hosts_problems": report.known_hosts_problems,
            "noise_bytes": report.noise_bytes,
            "guarantee": report.guarantee,
            "logout": report.logout,
        }),
        Err(failure) => {
            json!({ "host": host, "reached": false, "failure": failure_value(failure) })
        }
    }
}

fn verdict(
    host: &str,
    outcome: &Result<(), ConnectFailure>,
    stages: &[(crate::front::Stage, Duration)],
    paint: Paint,
) -> String {
    let host = paint.bold(text::shown(host));
    match outcome {
        Ok(()) => {
            let total: Duration = stages.iter().map(|(_, took)| *took).sum();
            format!("{host}: {} in {}\n", paint.good("reached"), duration::show_ms(ms(total)))
        }
        Err(failure) => {
            let next = if failure.hint.is_empty() {
                String::new()
            } else {
                format!("  next: {}\n", text::guarded_line(&failure.hint))
            };
            let cause = text::guarded_line(&failure.cause);
            format!("{host}: {} while {}: {cause}\n{next}", paint.bad("not reached"), failure.stage)
        }
    }
}

fn details(report: &DoctorReport) -> String {
    let stages: Vec<String> = report
        .stages
        .iter()
        .map(|(stage, took)| format!("{stage} {}", duration::show_ms(ms(*took))))
        .collect();
    let mut rows = vec![
        ("way", report.way.join(", then ")),
        ("client", format!("{} ({})", client(report.client), report.why.join("; "))),
        ("stages", stages.join(", ")),
    ];
    rows.extend(report.notes.iter().map(|note| ("note", note.clone())));
    rows.extend(report.host_key.iter().map(|key| ("host key", key.clone())));
    rows.extend(report.known_keys.iter().map(|key| ("known", key.clone())));
    rows.extend(report.known_hosts_problems.iter().map(|problem| ("warning", problem.clone())));
    rows.extend(report.guarantee.map(|guarantee| ("ending", words::guarantee(guarantee).into())));
    rows.extend(report.logout.warning().map(|warning| ("warning", warning.into())));
    if report.noise_bytes > 0 {
        rows.push((
            "noise",
            format!("the login prints {} bytes before a command runs", report.noise_bytes),
        ));
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .filter(|(_, what)| !what.is_empty())
        .map(|(name, what)| vec![format!("  {name}"), text::guarded_line(&what).into_owned()])
        .collect();
    table::rows(&rows)
}

fn failure_value(failure: &ConnectFailure) -> Value {
    json!({ "stage": failure.stage.to_string(), "cause": failure.cause, "hint": failure.hint })
}

fn client(client: Client) -> &'static str {
    match client {
        Client::InProcess => "in-process",
        Client::Program => "ssh program",
        Client::Local => "local",
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
