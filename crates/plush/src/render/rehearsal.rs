//! A rehearsal, for people and for programs: medians and ranges over all that were played.
//! Not the playing.

use crate::colour::Paint;
use crate::duration;
use crate::render::{table, text, words};
use plush_sim::rehearsal::{Opened, Opening, Profile, Rehearsal, Rehearsed};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// More rounds of one barrier are counted and not shown.
const ROUNDS_SHOWN: u32 = 3;

/// For people.
pub fn page(rehearsal: &Rehearsal, profile: Profile, runs: &[Rehearsed], paint: Paint) -> String {
    let first = runs.first().map_or(0, |run| run.seed);
    let last = runs.last().map_or(0, |run| run.seed);
    let seeds =
        if first == last { format!("seed {first}") } else { format!("seeds {first}-{last}") };
    let mut page = format!(
        "{} like {}, {} ({seeds}): medians, and from the least to the most\n\n",
        text::counted(rehearsal.on_offer(), "host"),
        profile.name(),
        text::counted(runs.len(), "run"),
    );
    page.push_str(&barriers(runs, paint));
    page.push('\n');
    let of = |number: fn(&Rehearsed) -> u64| runs.iter().map(number).collect::<Vec<u64>>();
    let rows = [
        vec!["run".to_owned(), times(of(|run| run.took_ms))],
        vec!["hosts lost".to_owned(), numbers(of(|run| run.lost as u64))],
        vec!["replacements".to_owned(), numbers(of(|run| run.replacements as u64))],
        vec!["outcome".to_owned(), outcomes(runs)],
    ];
    page.push_str(&table::rows(&rows));
    for barrier in rehearsal.left_out() {
        let name = text::shown(&barrier);
        page.push_str(&format!("not rehearsed: barrier {name}, which only programs enter\n"));
    }
    page
}

/// For programs.
pub fn value(rehearsal: &Rehearsal, profile: Profile, runs: &[Rehearsed]) -> Value {
    let opened = |opened: &Opened| json!({ "at_ms": opened.at_ms, "why": opened.why, "entered": opened.entered, "expected": opened.expected });
    let barrier = |b: &Opening| json!({ "barrier": b.barrier, "generation": b.generation, "opened": b.opened.as_ref().map(opened) });
    let run = |run: &Rehearsed| {
        json!({
            "seed": run.seed,
            "outcome": run.outcome,
            "took_ms": run.took_ms,
            "lost": run.lost,
            "replacements": run.replacements,
            "barriers": run.barriers.iter().map(barrier).collect::<Vec<_>>(),
        })
    };
    json!({
        "version": 1,
        "hosts": rehearsal.on_offer(),
        "profile": profile.name(),
        "not_rehearsed": rehearsal.left_out(),
        "runs": runs.iter().map(run).collect::<Vec<_>>(),
    })
}

/// Every barrier that some run had, in the order of the first run that had it.
fn barriers(runs: &[Rehearsed], paint: Paint) -> String {
    let mut seen: Vec<(&str, u32)> = Vec::new();
    for opening in runs.iter().flat_map(|run| &run.barriers) {
        let round = (opening.barrier.as_str(), opening.generation);
        if round.1 <= ROUNDS_SHOWN && !seen.contains(&round) {
            seen.push(round);
        }
    }
    let heading = ["BARRIER", "OPENS AFTER", "ENTERED", "EXPECTED", "WHY"];
    let mut rows = vec![heading.map(|word| paint.bold(word.to_owned())).to_vec()];
    let several = |name: &str| seen.iter().filter(|(other, _)| *other == name).count() > 1;
    rows.extend(seen.iter().map(|(name, generation)| {
        let number = if several(name) { format!(" #{generation}") } else { String::new() };
        let of = |b: &&Opening| b.barrier == *name && b.generation == *generation;
        let all = runs.iter().map(|run| run.barriers.iter().find(of));
        // A later round is one that some runs do not need.
        let all = all.filter(|opening| opening.is_some() || *generation == 1);
        row(format!("{}{number}", text::shown(name)), all.collect())
    }));
    table::rows(&rows)
}

fn row(name: String, openings: Vec<Option<&Opening>>) -> Vec<String> {
    let opened: Vec<&Opened> =
        openings.iter().filter_map(|o| o.as_ref()?.opened.as_ref()).collect();
    let of = |number: fn(&Opened) -> u64| opened.iter().map(|o| number(o)).collect::<Vec<u64>>();
    let mut why = counts(opened.iter().map(|o| text::shown(&o.why)));
    let never = openings.len() - opened.len();
    if never > 0 {
        why.push(format!("never {never}"));
    }
    vec![
        name,
        times(of(|o| o.at_ms)),
        numbers(of(|o| u64::from(o.entered))),
        numbers(of(|o| u64::from(o.expected))),
        why.join(", "),
    ]
}

fn outcomes(runs: &[Rehearsed]) -> String {
    counts(runs.iter().map(|run| words::outcome(&run.outcome).to_owned())).join(", ")
}

/// How often each word comes, the most frequent first.
fn counts(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    words.for_each(|word| *counted.entry(word).or_default() += 1);
    let mut counted: Vec<(String, usize)> = counted.into_iter().collect();
    counted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counted.into_iter().map(|(word, count)| format!("{word} {count}")).collect()
}

fn times(values: Vec<u64>) -> String {
    range(values, duration::show_ms)
}

fn numbers(values: Vec<u64>) -> String {
    range(values, |number| number.to_string())
}

/// The median, and the range where there is one.
fn range(mut values: Vec<u64>, show: impl Fn(u64) -> String) -> String {
    values.sort_unstable();
    let (Some(least), Some(most)) = (values.first(), values.last()) else { return "-".to_owned() };
    let median = show(values[(values.len() - 1) / 2]);
    match least == most {
        true => median,
        false => format!("{median} ({} - {})", show(*least), show(*most)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_shown_where_there_is_one() {
        assert_eq!(numbers(vec![3, 1, 2]), "2 (1 - 3)");
        assert_eq!(numbers(vec![4, 4]), "4");
        assert_eq!(times(Vec::new()), "-");
    }
}
