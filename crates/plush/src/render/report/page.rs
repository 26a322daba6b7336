//! The page: one HTML file that needs nothing else, no script and no network.
//! Whatever a host, a description or a path says is escaped before it is in it.

use super::{BARRIERS_DRAWN, Compared, Picture, barrier, chapters, timeline};
use crate::duration;
use crate::render::chart::svg::{self, escaped};
use crate::render::{barriers, incidents, names, progress, summary, text, together, words};
use plush_protocol::history::{BarrierHistory, HostHistory, MemberStand, RunHistory};
use plush_protocol::view::Outcome;
use std::collections::BTreeMap;
use std::path::Path;

/// A folded host set on a page.
const HOSTS_WIDTH: usize = 400;

/// Rows of a table.
const ROWS_MAX: usize = 200;

/// The page of a run.
pub fn page(history: &RunHistory, run_dir: &Path) -> String {
    let mut body = heading(history, run_dir);
    body.push_str(&clusters(history));
    body.push_str(&incident_table(history));
    body.push_str(&failures(history));
    body.push_str("<h2>Timeline</h2>\n");
    body.push_str(&figure(&timeline::draw(history)));
    body.push_str(&courses(history));
    body.push_str(&barrier_table(history));
    let chapters = chapters(history);
    for chapter in &chapters {
        body.push_str(&format!(
            "<h2 id=\"{}\">Barrier {}</h2>\n",
            anchor(chapter.barrier),
            escaped(&chapter.title)
        ));
        body.extend(chapter.pictures.iter().map(|picture| figure(&picture.drawing)));
    }
    document(&format!("{} – {}", shown(&history.view.run), shown(&history.view.project)), &body)
}

/// A page of pictures, with a table of their numbers.
pub fn page_of(title: &str, pictures: &[Picture], numbers: &[Compared]) -> String {
    let row = |n: &Compared| {
        let times = [n.first_ms, n.half_ms, n.most_ms, n.all_ms].map(duration::show_ms);
        let mut cells = vec![shown(&n.label), n.count.to_string()];
        cells.extend(times);
        cells
    };
    let heading = ["run", "hosts", "first", "half", "nine of ten", "all"];
    let figures: String = pictures.iter().map(|picture| figure(&picture.drawing)).collect();
    let table = table(&heading, numbers.iter().map(row).collect());
    document(&shown(title), &format!("<h1>{}</h1>\n{figures}{table}", shown(title)))
}

/// Text from anywhere, harmless on a page and to a reader.
fn shown(text: &str) -> String {
    escaped(&text::shown(text))
}

/// `title` and `body` are HTML.
fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"generator\" content=\"plush {}\"/>\n<title>{title}</title>\n<style>\n{}\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        svg::style(),
    )
}

const STYLE: &str = "\
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 'DejaVu Sans',Verdana,sans-serif}
main{max-width:940px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:40px 0 8px}
p{margin:6px 0}.muted{color:var(--muted)}.bad{color:var(--bad)}
figure{margin:14px 0;border:1px solid var(--grid);border-radius:8px;overflow:hidden}
figure svg{display:block;width:100%;height:auto}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;width:100%}
th,td{text-align:left;vertical-align:top;padding:4px 12px 4px 0;border-bottom:1px solid var(--grid);overflow-wrap:anywhere}
th{color:var(--muted);font-weight:normal}code{font-size:12.5px}a{color:inherit}
";

fn figure(drawing: &crate::render::chart::Drawing) -> String {
    format!("<figure>{}</figure>\n", svg::inline(drawing))
}

/// Cells are HTML.
fn table(heading: &[&str], rows: Vec<Vec<String>>) -> String {
    let left_out = rows.len().saturating_sub(ROWS_MAX);
    let head: String = heading.iter().map(|cell| format!("<th>{cell}</th>")).collect();
    let line = |row: &Vec<String>| {
        let cells: String = row.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = rows.iter().take(ROWS_MAX).map(line).collect();
    let rest = match left_out {
        0 => String::new(),
        more => format!("<p class=\"muted\">and {more} more</p>\n"),
    };
    format!("<div class=\"wide\"><table>\n<tr>{head}</tr>\n{body}</table></div>\n{rest}")
}

fn heading(history: &RunHistory, run_dir: &Path) -> String {
    let view = &history.view;
    let (class, ended) = match &view.outcome {
        None if history.is_served => ("", format!("is in phase {}", words::phase(view.phase))),
        None => (
            "bad",
            format!("stands still in phase {}: no controller serves it", words::phase(view.phase)),
        ),
        Some(outcome) => {
            let class = match outcome {
                Outcome::Complete | Outcome::Partial => "",
                Outcome::TasksFailed { .. } | Outcome::TooFewHosts | Outcome::Stopped => "bad",
            };
            (class, words::outcome_explained(outcome, view.sums.as_ref(), &view.tasks))
        }
    };
    let why = view
        .stopping
        .as_ref()
        .map_or(String::new(), |why| format!("<p>Stopped: {}</p>\n", shown(why)));
    let dropped = match history.known_from_ms {
        0 => String::new(),
        ms => format!(
            "<p>Who did what is known from {} after the beginning on: the journal has dropped what was before.</p>\n",
            duration::show_ms(ms)
        ),
    };
    format!(
        "<h1>{} <span class=\"muted\">of {}</span></h1>\n\
         <p class=\"{class}\"><b>{}</b></p>\n{why}{dropped}\
         <p>{} in {}; planned {}; by plush {}.</p>\n\
         <p class=\"muted\">{}</p>\n",
        shown(&view.run),
        shown(&view.project),
        escaped(&ended),
        escaped(&progress::counts(&view.counts)),
        summary::time(view),
        words::date(history.started_unix_ms),
        shown(&history.build),
        shown(&run_dir.to_string_lossy()),
    )
}

/// A command; a multi-line one shows its first line, and the rest when opened.
fn command(text: &str) -> String {
    let text = text.trim_matches('\n');
    match text.split_once('\n') {
        None => format!("<code>{}</code>", shown(text)),
        Some((first, _)) => {
            let more = text.lines().count() - 1;
            let lines: Vec<String> = text.lines().map(shown).collect();
            format!(
                "<details><summary><code>{}</code> and {}</summary><pre>{}</pre></details>",
                shown(first),
                text::counted(more, "more line"),
                lines.join("\n")
            )
        }
    }
}

fn clusters(history: &RunHistory) -> String {
    let row = |cluster: &plush_protocol::history::ClusterHistory| {
        let here: Vec<&HostHistory> =
            history.hosts.iter().filter(|h| h.cluster.as_ref() == Some(&cluster.name)).collect();
        let hosts: Vec<&str> = here.iter().map(|h| h.name.as_str()).collect();
        let mut systems: BTreeMap<&str, usize> = BTreeMap::new();
        for host in here.iter().filter(|h| !h.system.is_empty()) {
            *systems.entry(&host.system).or_default() += 1;
        }
        let systems =
            systems.into_iter().map(|(system, many)| format!("{} ({many})", shown(system)));
        let commands = cluster.commands.iter();
        let commands = commands.map(|(name, line)| format!("{}: {}", shown(name), command(line)));
        let software = cluster
            .software
            .iter()
            .map(|(name, package)| format!("{}: {}", shown(name), shown(package)));
        let lines =
            |lines: Vec<String>| if lines.is_empty() { "-".into() } else { lines.join("<br/>") };
        vec![
            shown(&cluster.name),
            format!("{} ({})", escaped(&names::fold_within(&hosts, HOSTS_WIDTH)), hosts.len()),
            lines(systems.collect()),
            lines(software.collect()),
            lines(commands.collect()),
        ]
    };
    let rows = history.clusters.iter().map(row).collect();
    format!(
        "<h2>What ran where</h2>\n{}",
        table(&["cluster", "hosts", "system", "software", "processes"], rows)
    )
}

fn failures(history: &RunHistory) -> String {
    let groups = summary::grouped(&history.view);
    if groups.is_empty() {
        return String::new();
    }
    let row = |group: &summary::Group<'_>| {
        let hosts: Vec<&str> = group.hosts.iter().copied().collect();
        let place = match hosts.len() {
            0 => "the run".to_owned(),
            count => format!("{} ({count})", escaped(&names::fold_within(&hosts, HOSTS_WIDTH))),
        };
        let summary::Words { cause, hint } = group.words();
        let next = hint.as_ref().map_or(String::new(), |hint| {
            format!("<br/><span class=\"muted\">{}</span>", shown(hint))
        });
        let cause = escaped(cause).replace('\n', "<br/>");
        vec![
            format!("<span class=\"bad\">{place}</span>"),
            shown(group.operation),
            format!("{cause}{next}"),
        ]
    };
    format!(
        "<h2>Failures by cause</h2>\n{}",
        table(&["hosts", "operation", "cause"], groups.iter().map(row).collect())
    )
}

fn incident_table(history: &RunHistory) -> String {
    let groups = incidents::grouped(&history.view);
    if groups.is_empty() {
        return String::new();
    }
    let row = |group: &incidents::Group<'_>| {
        let hosts: Vec<&str> = group.hosts.iter().copied().collect();
        vec![
            format!("{} ({})", escaped(&names::fold_within(&hosts, HOSTS_WIDTH)), hosts.len()),
            shown(group.operation),
            escaped(&group.words()).replace('\n', "<br/>"),
        ]
    };
    let older = match history.view.forgotten_incidents {
        0 => String::new(),
        count => {
            format!("<p class=\"muted\">{count} older ones are not kept; the log has them</p>\n")
        }
    };
    let rows = groups.iter().map(row).collect();
    format!("<h2>Incidents</h2>\n{}{older}", table(&["hosts", "operation", "what happened"], rows))
}

fn courses(history: &RunHistory) -> String {
    let row = |(course, hosts): (String, Vec<&str>)| {
        vec![
            hosts.len().to_string(),
            escaped(&course),
            escaped(&names::fold_within(&hosts, HOSTS_WIDTH)),
        ]
    };
    let rows = timeline::courses(history).into_iter().map(row).collect();
    format!("<p>Hosts that went the same way:</p>\n{}", table(&["many", "way", "hosts"], rows))
}

fn barrier_table(history: &RunHistory) -> String {
    let row = |(n, barrier): (usize, &BarrierHistory)| {
        let title = escaped(&barriers::title(barrier, history));
        let is_drawn = barrier.first_entry_ms().is_some() && n < BARRIERS_DRAWN;
        let name = match is_drawn {
            true => format!("<a href=\"#{}\">{title}</a>", anchor(barrier)),
            false => title,
        };
        let opened = match &barrier.opened {
            Some(opened) => {
                let waited =
                    opened.at_ms.saturating_sub(barrier.first_entry_ms().unwrap_or(opened.at_ms));
                format!(
                    "{}, after {}: {}",
                    shown(&opened.policy),
                    duration::show_ms(waited),
                    shown(&opened.because)
                )
            }
            None if barrier.first_entry_ms().is_none() => "nobody came".to_owned(),
            None => "did not open".to_owned(),
        };
        let missing = barrier.missing();
        let missing = match missing.is_empty() || barrier.first_entry_ms().is_none() {
            true => "-".to_owned(),
            false => format!(
                "{} ({})",
                escaped(&names::fold_within(&missing, HOSTS_WIDTH)),
                missing.len()
            ),
        };
        let heard = || barrier::skew(barrier, history).filter(|_| barrier::is_at_once(barrier));
        let skew = match &barrier.together {
            Some(found) => together::words(found),
            None => heard().map_or("-".into(), |s| duration::show_ms(s.spread_ms)),
        };
        vec![
            name,
            format!("{}; {}", shown(&barrier.entry), shown(&barrier.release)),
            format!(
                "{} of {}, {} failed",
                barrier.entered(),
                barrier.expected(),
                barrier.count(MemberStand::Failed)
            ),
            opened,
            missing,
            skew,
        ]
    };
    if history.barriers.is_empty() {
        return String::new();
    }
    let heading = ["barrier", "opens; lets go", "came", "opened", "missing then", "start skew"];
    let rows = history.barriers.iter().enumerate().map(row).collect();
    format!("<h2>Barriers</h2>\n{}", table(&heading, rows))
}

/// The part of the page about a barrier.
fn anchor(barrier: &BarrierHistory) -> String {
    format!("{}-{}", super::plain(&barrier.name), barrier.generation)
}
