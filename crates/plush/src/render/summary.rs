//! A run in full: outcome, clusters, barriers, failures grouped by cause, where the files are.
//! Not progress: that is one line.

use crate::colour::Paint;
use crate::duration;
use crate::render::{incidents, names, progress, table, tasks, text, together, words};
use plush_protocol::view::{
    BarrierView, ClusterSum, ClusterView, Outcome, Problem, RunView, TaskView,
};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// A folded host set is cut beyond so many characters.
const HOSTS_WIDTH: usize = 100;

/// Failures of so many causes are shown; the rest is counted.
const CAUSES_SHOWN: usize = 20;

/// The whole summary, each line with its newline.
pub fn summary(view: &RunView, run_dir: &Path, paint: Paint) -> String {
    let mut page = headline(view, paint);
    page.push_str(&clusters(view));
    page.push_str(&barriers(view));
    page.push_str(&section("tasks", tasks::rows(view)));
    page.push_str(&incidents::section(view));
    page.push_str(&failures(view, paint));
    page.push_str(&mended(view));
    page.push_str(&files(run_dir));
    page
}

/// How a run ended, in one line.
pub fn line(view: &RunView, paint: Paint) -> String {
    headline(view, paint).lines().next().map_or(String::new(), |line| format!("plush: {line}\n"))
}

/// Who is still going: what the first Ctrl-C shows.
pub fn still_going(view: &RunView) -> String {
    let mut page = format!("plush: {}\n", progress::line(view, 0, usize::MAX));
    let mut states: Vec<_> = view.hosts.iter().map(|host| host.state).collect();
    states.sort_unstable();
    states.dedup();
    for state in states {
        let hosts: Vec<&str> = view
            .hosts
            .iter()
            .filter(|host| host.state == state)
            .map(|host| host.name.as_str())
            .collect();
        page.push_str(&format!(
            "  {}: {} ({})\n",
            words::state(state),
            names::fold_within(&hosts, HOSTS_WIDTH),
            hosts.len()
        ));
    }
    page
}

fn headline(view: &RunView, paint: Paint) -> String {
    let ended = match &view.outcome {
        None => format!("is in phase {}", words::phase(view.phase)),
        Some(outcome) => {
            let explained = words::outcome_explained(outcome, view.sums.as_ref(), &view.tasks);
            match outcome {
                Outcome::Complete => paint.good(explained),
                Outcome::Partial => paint.odd(explained),
                Outcome::TasksFailed { .. } | Outcome::TooFewHosts | Outcome::Stopped => {
                    paint.bad(explained)
                }
            }
        }
    };
    let why = view
        .stopping
        .as_ref()
        .map(|why| format!("\n  stopped: {}", text::shown(why)))
        .unwrap_or_default();
    let notice = view.notice.as_ref().filter(|_| view.outcome.is_none());
    let notice = notice
        .map(|notice| format!("\n  {}", paint.odd(text::shown(&notice.text))))
        .unwrap_or_default();
    format!(
        "run {} of {}: {ended} ({}; {}){why}{notice}\n",
        paint.bold(text::shown(&view.run)),
        text::shown(&view.project),
        time(view),
        progress::counts(&view.counts),
    )
}

/// Elapsed time. For a run that is not over, also the instant of the figures and the time without a
/// controller.
pub fn time(view: &RunView) -> String {
    let elapsed = duration::show_ms(view.elapsed_ms);
    let as_of = view.as_of_unix_ms.filter(|_| view.outcome.is_none());
    let as_of = as_of.map_or(String::new(), |ms| format!(" at {}", words::date(ms)));
    let surely = if view.absent_by_wall_ms > 0 { ", by the time of day" } else { "" };
    match view.absent_ms {
        0..1_000 => format!("{elapsed}{as_of}"),
        ms => format!(
            "{elapsed}{as_of}, {} of them without a controller{surely}",
            duration::show_ms(ms)
        ),
    }
}

fn clusters(view: &RunView) -> String {
    let sums = view.sums.as_ref();
    let row = |(number, cluster): (usize, &ClusterView)| {
        let hosts = match sums.and_then(|sums| sums.clusters.get(number)) {
            Some(sum) => answered(sum),
            None => format!("{} of {} hosts", cluster.live, cluster.wanted),
        };
        vec![
            format!("  {}", text::shown(&cluster.name)),
            hosts,
            words::phase(cluster.phase).to_owned(),
        ]
    };
    section("clusters", view.clusters.iter().enumerate().map(row).collect())
}

/// Number of hosts that completed their part, number that is enough, and the missing hosts.
fn answered(sum: &ClusterSum) -> String {
    let mut said = format!("{} of {} hosts", sum.answered, sum.wanted);
    if sum.enough < sum.wanted {
        said.push_str(&format!(", {} are enough", sum.enough));
    }
    let missing: Vec<&str> = sum.missing.iter().map(String::as_str).collect();
    if !missing.is_empty() {
        said.push_str(&format!(", missing {}", names::fold_within(&missing, HOSTS_WIDTH)));
    }
    match sum.without_host {
        0 => said,
        1 => said + ", 1 place had no host",
        count => said + &format!(", {count} places had no host"),
    }
}

fn barriers(view: &RunView) -> String {
    let name = |barrier: &BarrierView| match barrier.generation {
        1 => format!("  {}", text::shown(&barrier.name)),
        round => format!("  {} (round {round})", text::shown(&barrier.name)),
    };
    let is_over = view.outcome.is_some();
    let row = |barrier: &BarrierView| vec![name(barrier), opening(barrier, is_over)];
    section("barriers", view.barriers.iter().map(row).collect())
}

fn opening(barrier: &BarrierView, is_over: bool) -> String {
    let waited = duration::show_ms(barrier.waited_ms);
    let entered = format!("{} of {} entered", barrier.entered, barrier.expected);
    let start = match &barrier.opened {
        Some(why) => format!("opened after {waited} ({}), {entered}", text::shown(why)),
        None if is_over => format!("never opened, {entered}"),
        None if barrier.entered == 0 => format!("nobody has come, {entered}"),
        None => format!("closed for {waited} so far, {entered}"),
    };
    let start = match &barrier.together {
        Some(found) => format!("{start}; {}", together::words(found)),
        None => start,
    };
    let start = match barrier.worst.as_ref().filter(|w| w.generation != barrier.generation) {
        Some(worst) => {
            let skew = together::skew(&worst.together);
            format!("{start}; worst of all in round {}: {skew}", worst.generation)
        }
        None => start,
    };
    let named = |word: &str, names: &[&str]| match names.is_empty() {
        true => String::new(),
        false => format!(", {word} {}", names::fold_within(names, HOSTS_WIDTH)),
    };
    let without: Vec<&str> = barrier.without.iter().map(String::as_str).collect();
    let missing = barrier.missing.iter().map(String::as_str);
    let missing: Vec<&str> = missing.filter(|name| !without.contains(name)).collect();
    format!("{start}{}{}", named("without", &without), named("missing", &missing))
}

fn section(title: &str, rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!("{title}\n{}", table::rows(&rows))
}

/// Failures of one cause.
pub struct Group<'a> {
    /// What was tried.
    pub operation: &'a str,
    /// As it was told of the first host.
    told: Words,
    /// The text common to all of them: `${host}` for a host's own name, and `${address}` for
    /// addresses if they differ.
    common: Words,
    /// The cause without addresses, the key of a group.
    bare: String,
    /// Where; nowhere if it concerns the whole run.
    pub hosts: BTreeSet<&'a str>,
}

/// What is said of a failure.
pub struct Words {
    /// Why it failed; escaped for a terminal.
    pub cause: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Group<'_> {
    /// What is said of it where its hosts are named.
    pub fn words(&self) -> &Words {
        match self.hosts.len() {
            0 | 1 => &self.told,
            _ => &self.common,
        }
    }
}

impl Words {
    /// The same about any host.
    fn without_name(&self, host: Option<&str>) -> Words {
        Words {
            cause: without_name(&self.cause, host),
            hint: self.hint.as_deref().map(|hint| without_name(hint, host)),
        }
    }
}

fn failures(view: &RunView, paint: Paint) -> String {
    let groups = grouped(view);
    let forgotten = match view.forgotten_problems {
        0 => String::new(),
        count => format!("  and {count} older ones, which are not kept\n"),
    };
    if groups.is_empty() {
        return String::new();
    }
    let shown: String =
        groups.iter().take(CAUSES_SHOWN).map(|group| failure(group, paint)).collect();
    let left_out = groups.len().saturating_sub(CAUSES_SHOWN);
    let rest = if left_out > 0 {
        format!("  and {left_out} other causes; `plush status --json` has them\n")
    } else {
        String::new()
    };
    format!("failures\n{shown}{rest}{forgotten}")
}

/// Problems that were mended later.
fn mended(view: &RunView) -> String {
    let mended = view.problems.iter().filter_map(|problem| {
        let how = problem.mended.as_deref()?;
        let mut failure = Failure::of(problem);
        failure.words.cause = format!("{}; {}", failure.words.cause, text::shown(how));
        Some(failure)
    });
    let groups = in_groups(mended);
    if groups.is_empty() {
        return String::new();
    }
    let shown = groups.iter().take(CAUSES_SHOWN).map(|group| failure(group, Paint::Plain));
    format!("mended\n{}", shown.collect::<String>())
}

/// Failures by operation and cause: the largest group first, then in order of time.
pub fn grouped(view: &RunView) -> Vec<Group<'_>> {
    let problems = view.problems.iter().filter(|problem| problem.mended.is_none());
    in_groups(problems.map(Failure::of).chain(untold_tasks(view)))
}

fn in_groups<'a>(failures: impl Iterator<Item = Failure<'a>>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for failure in failures {
        let common = failure.words.without_name(failure.host);
        let bare = without_addresses(&common.cause);
        let same =
            |group: &&mut Group<'_>| group.operation == failure.operation && group.bare == bare;
        match groups.iter_mut().find(same) {
            Some(group) => {
                group.hosts.extend(failure.host);
                if group.common.cause != common.cause {
                    group.common.cause = bare;
                    group.common.hint = group.common.hint.as_deref().map(without_addresses);
                }
            }
            None => groups.push(Group {
                operation: failure.operation,
                told: failure.words,
                common,
                bare,
                hosts: failure.host.into_iter().collect(),
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.hosts.len()));
    groups
}

/// A text about a host with `${host}` for its name, so that it is the same for all hosts.
fn without_name(text: &str, host: Option<&str>) -> String {
    let Some(host) = host.filter(|name| !name.is_empty()) else { return text.to_owned() };
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let (mut common, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(host) {
        let (before, after) = (&rest[..at], &rest[at + host.len()..]);
        let begins_within = before.chars().next_back().or(common.chars().next_back());
        let is_part = begins_within.is_some_and(goes_on) || after.starts_with(goes_on);
        common.push_str(before);
        common.push_str(if is_part { host } else { "${host}" });
        rest = after;
    }
    common + rest
}

/// A text with `${address}` for IP addresses; ports stay.
fn without_addresses(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
    let (mut common, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(is_part) {
        let (before, run) = rest.split_at(at);
        let (run, after) = run.split_at(run.find(|c| !is_part(c)).unwrap_or(run.len()));
        let word = run.trim_end_matches(['.', ':']);
        let end = &run[word.len()..];
        common.push_str(before);
        match (word.parse::<IpAddr>(), word.parse::<SocketAddr>()) {
            (Ok(_), _) => common.push_str("${address}"),
            (Err(_), Ok(both)) => common.push_str(&format!("${{address}}:{}", both.port())),
            (Err(_), Err(_)) => common.push_str(word),
        }
        common.push_str(end);
        rest = after;
    }
    common + rest
}

/// One failure on one host.
struct Failure<'a> {
    operation: &'a str,
    words: Words,
    host: Option<&'a str>,
}

impl Failure<'_> {
    fn of(problem: &Problem) -> Failure<'_> {
        Failure {
            operation: &problem.operation,
            words: Words {
                cause: problem.cause.to_string().trim_end().to_owned(),
                hint: problem.hint.clone(),
            },
            host: problem.host.as_deref(),
        }
    }
}

/// Tasks that failed on hosts for which no problem tells of it.
fn untold_tasks(view: &RunView) -> impl Iterator<Item = Failure<'_>> {
    let told: BTreeSet<&str> = view
        .problems
        .iter()
        .filter(|problem| problem.operation == "run" || problem.operation == "start")
        .filter_map(|problem| problem.host.as_deref())
        .collect();
    let untold = move |task: &&TaskView| task.has_failed() && !told.contains(task.host.as_str());
    view.tasks.iter().filter(untold).map(|task| Failure {
        operation: "run",
        words: Words { cause: format!("{} {}", text::shown(&task.process), how(task)), hint: None },
        host: Some(&task.host),
    })
}

fn how(task: &TaskView) -> String {
    task.exit.as_ref().map_or_else(|| text::shown(&task.state), words::exit)
}

fn failure(group: &Group<'_>, paint: Paint) -> String {
    let hosts: Vec<&str> = group.hosts.iter().copied().collect();
    let place = match hosts.len() {
        0 => "the run".to_owned(),
        count => format!("{} ({count})", names::fold_within(&hosts, HOSTS_WIDTH)),
    };
    let Words { cause, hint } = group.words();
    let cause = cause.replace('\n', "\n      ");
    let next = hint.as_ref().map(|hint| format!("    next: {}\n", text::shown(hint)));
    let next = next.unwrap_or_default();
    format!("  {}\n    {}: {cause}\n{next}", paint.bad(place), text::shown(group.operation))
}

fn files(run_dir: &Path) -> String {
    let rows = ["output", "results"]
        .map(|name| (name, run_dir.join(name)))
        .into_iter()
        .filter(|(_, path)| path.is_dir())
        .map(|(name, path)| vec![name.to_owned(), text::shown(&path.to_string_lossy())]);
    table::rows(&rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;
    use crate::render::text::is_forbidden;
    use plush_protocol::tainted::Tainted;
    use plush_protocol::view::{TogetherView, WorstRound};
    use proptest::prelude::*;

    fn check(view: &RunView) -> String {
        summary(view, Path::new("/nowhere"), Paint::Plain)
    }

    #[test]
    fn a_partial_run_says_who_is_missing_and_why() {
        insta::assert_snapshot!(check(&samples::partial()));
    }

    #[test]
    fn failed_tasks_are_grouped_by_how_they_ended() {
        insta::assert_snapshot!(check(&samples::tasks_failed()));
    }

    #[test]
    fn quiet_is_one_line_with_the_outcome() {
        let said = line(&samples::partial(), Paint::Plain);
        assert_eq!(
            said,
            "plush: run gossip-20261122-1 of gossip: partial: 7 of 10 hosts were there to the end, enough for the description \
             (12 s; 7 done, 3 failed of 10 hosts)\n"
        );
    }

    #[test]
    fn a_cluster_says_which_hosts_are_missing_and_how_many_had_none() {
        let mut view = samples::partial();
        let sums = view.sums.as_mut().unwrap();
        (sums.clusters[0].answered, sums.clusters[0].without_host) = (5, 2);
        let page = check(&view);
        assert!(
            page.contains("5 of 10 hosts were there to the end, fewer than are enough"),
            "{page}"
        );
        let row = "5 of 10 hosts, 6 are enough, missing node[08-10], 2 places had no host";
        assert!(page.contains(row), "{page}");
    }

    #[test]
    fn a_barrier_that_opened_without_a_host_says_without_which() {
        let mut view = samples::partial();
        view.barriers[0].without = vec!["node08".into(), "node09".into()];
        let page = check(&view);
        assert!(page.contains("7 of 8 entered, without node[08-09]\n"), "{page}");
    }

    #[test]
    fn what_was_made_good_later_is_no_failure_and_is_named_apart() {
        let mut view = samples::partial();
        for problem in &mut view.problems {
            problem.mended = Some("it came back later and went on".into());
        }
        view.tasks.iter_mut().for_each(|task| task.superseded = true);
        let page = check(&view);
        assert!(!page.contains("failures\n"), "{page}");
        let (_, mended) = page.split_once("mended\n").expect("there is such a part");
        assert!(mended.contains("; it came back later and went on\n"), "{page}");
    }

    #[test]
    fn a_complete_run_is_short() {
        insta::assert_snapshot!(check(&samples::complete()));
    }

    #[test]
    fn a_start_together_says_how_well_it_went() {
        let mut view = samples::complete();
        let together = TogetherView {
            at_ms: 5_000,
            started: 50,
            expected: 50,
            last_us: 1_234,
            spread_us: 900,
            uncertainty_us: 410,
        };
        let worst = TogetherView { last_us: 7_000, ..together.clone() };
        view.barriers[0].worst = Some(WorstRound { generation: 2, together: worst });
        view.barriers[0].together = Some(together);
        view.barriers[0].generation = 3;
        let page = check(&view);
        let told = "50 of 50 went on together, the last 1.2 ms after the instant, 0.9 ms apart (± 0.4 ms); \
                    worst of all in round 2: the last 7.0 ms after the instant, 0.9 ms apart";
        assert!(page.contains(told) && page.contains("(round 3)"), "{page}");
    }

    #[test]
    fn a_barrier_of_a_run_that_is_over_never_opened() {
        let mut view = samples::complete();
        view.barriers.truncate(1);
        (view.barriers[0].opened, view.barriers[0].entered) = (None, 0);
        assert!(check(&view).contains("never opened, 0 of"), "{}", check(&view));
        view.outcome = None;
        assert!(check(&view).contains("nobody has come, 0 of"), "{}", check(&view));
    }

    #[test]
    fn the_time_without_a_controller_is_said_and_how_surely_it_is_known() {
        let mut view = samples::complete();
        (view.elapsed_ms, view.absent_ms) = (83_000, 44_000);
        assert!(check(&view).contains("(1 min 23 s, 44 s of them without a controller; "));
        view.absent_by_wall_ms = 44_000;
        assert!(check(&view).contains("without a controller, by the time of day; "));
        (view.outcome, view.as_of_unix_ms) = (None, Some(0));
        assert!(check(&view).contains("(1 min 23 s at 19"), "{}", check(&view));
    }

    #[test]
    fn the_first_interrupt_shows_who_is_where() {
        insta::assert_snapshot!(still_going(&samples::preparing()));
    }

    #[test]
    fn causes_that_differ_in_the_address_of_the_host_are_one() {
        let mut view = samples::partial();
        let problem = |n: u32, cause: String| Problem {
            at_ms: 0,
            host: Some(format!("n{n}")),
            operation: "connect".into(),
            cause: Tainted::new(cause),
            hint: None,
            mended: None,
        };
        let refused = |n: u32| problem(n, format!("connect to 10.0.0.{n}:22: refused"));
        view.problems = vec![refused(1), refused(2)];
        assert!(check(&view).contains("connect: connect to ${address}:22: refused\n"));
        let denied = |n: u32| problem(n, format!("ann@2001:db8::{n}: denied by way of 10.9.9.9"));
        view.problems = vec![denied(1), denied(2)];
        let common = "connect: ann@${address}: denied by way of ${address}\n";
        assert!(check(&view).contains(common), "{}", check(&view));
        let jump = |n: u32| problem(n, "the jump host 10.9.9.9 is down at 12:30".to_owned());
        view.problems = vec![jump(1), jump(2)];
        assert!(check(&view).contains("the jump host 10.9.9.9 is down at 12:30\n"));
    }

    #[test]
    fn causes_that_differ_in_the_name_of_the_host_are_one() {
        let mut view = samples::partial();
        let problem = |n: u32| Problem {
            at_ms: 0,
            host: Some(format!("n{n}")),
            operation: "connect".into(),
            cause: Tainted::new(format!("n{n}: no way to n{n}, or from n{n}.lab")),
            hint: Some(format!("ssh n{n}")),
            mended: None,
        };
        view.problems = vec![problem(1)];
        assert!(check(&view).contains("connect: n1: no way to n1, or from n1.lab\n"));
        let cause = without_name(problem(1).cause.raw(), Some("n1"));
        assert_eq!(cause, "${host}: no way to ${host}, or from n1.lab", "another name stays");
        view.problems.push(Problem {
            cause: Tainted::new("n2: no way to n2, or from n1.lab"),
            ..problem(2)
        });
        let page = check(&view);
        assert!(page.contains("n[1-2] (2)\n    connect: ${host}: no way to ${host}"), "{page}");
        assert!(page.contains("next: ssh ${host}\n"), "{page}");
    }

    #[test]
    fn a_thousand_causes_are_not_all_shown() {
        let mut view = samples::partial();
        view.problems = (0..1_000)
            .map(|n| Problem {
                at_ms: n,
                host: None,
                operation: "run".into(),
                cause: Tainted::new(n.to_string()),
                hint: None,
                mended: None,
            })
            .collect();
        assert!(check(&view).contains("and 980 other causes"));
        assert!(!check(&view).contains("older ones"));
        view.forgotten_problems = 7;
        assert!(check(&view).contains("and 7 older ones, which are not kept"));
    }

    proptest! {
        #[test]
        fn nothing_that_a_host_says_reaches_the_terminal_raw(text in "\\PC*|.*|[\u{0}-\u{ff}\u{2020}-\u{2070}]{0,30}") {
            let page = check(&samples::hostile(&text)) + &still_going(&samples::hostile(&text));
            prop_assert!(!page.chars().any(is_forbidden), "{page:?}");
        }
    }
}
