//! What must hold after a storm, by what programs wrote down themselves, what came home, and what the run says of itself.
//! Not what is left on hosts: that the stage looks at.

use super::diary::{Diary, Key, Written};
use super::drawing::{Class, Middle, Scene};
use super::line::Stream;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Bytes that a pipe holds: they go with its last reader.
const PIPE: u64 = 65_536;
/// No line is longer.
const LINE_MAX: u64 = 160;

/// A run that is over, and its world.
pub struct Case<'a> {
    pub scene: &'a Scene,
    /// The run's directory.
    pub run: &'a Path,
    /// By the host's number, from 1.
    pub diaries: &'a BTreeMap<u16, Diary>,
    /// The view at the run's end.
    pub view: &'a Value,
    pub code: Option<i32>,
}

/// What was found: which rules were broken, and how much was looked at.
#[derive(Debug, Default)]
pub struct Verdict {
    pub broken: Vec<String>,
    pub starts: usize,
    pub bytes: u64,
    pub gap_bytes: u64,
    pub passes: usize,
    /// Hosts that were given up.
    pub lost: usize,
    /// Hosts that did all that there was to do.
    pub served: usize,
}

impl Case<'_> {
    pub fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        self.end(&mut verdict);
        for (host, diary) in self.diaries {
            starts(*host, diary, &mut verdict);
            self.troubles(*host, diary, &mut verdict);
            self.account(*host, diary, &mut verdict);
            self.output(*host, diary, &mut verdict);
            self.order(*host, diary, &mut verdict);
        }
        self.count(&mut verdict);
        self.passes(&mut verdict);
        self.middle(&mut verdict);
        verdict
    }

    /// Hosts that were given up before any agent of theirs had said a word: what an attempt has brought there goes by
    /// itself after ten minutes, or stays where it broke off in the middle of the agent's file.
    pub fn never_reached(&self) -> BTreeSet<u16> {
        let all = self.view["hosts"].as_array().unwrap().iter();
        let never = all.filter(|h| h["state"] == "failed" && h["guarantee"].is_null());
        never.map(|h| number(h["name"].as_str().unwrap())).collect()
    }

    fn hosts(&self) -> impl Iterator<Item = (u16, &str)> {
        let all = self.view["hosts"].as_array().unwrap().iter();
        all.map(|h| (number(h["name"].as_str().unwrap()), h["state"].as_str().unwrap()))
    }

    fn state(&self, host: u16) -> &str {
        self.hosts().find(|(h, _)| *h == host).map_or("none", |(_, state)| state)
    }

    fn tasks(&self, host: u16) -> impl Iterator<Item = &Value> {
        let all = self.view["tasks"].as_array().unwrap().iter();
        all.filter(move |t| number(t["host"].as_str().unwrap()) == host)
    }

    /// The run ends as it is promised, and gives up nobody without a reason.
    fn end(&self, verdict: &mut Verdict) {
        let outcome = self.view["outcome"].as_str().unwrap_or("none").to_owned();
        let lost: Vec<u16> =
            self.hosts().filter(|(_, state)| *state == "failed").map(|(h, _)| h).collect();
        verdict.lost = lost.len();
        let wanted = match self.scene.class {
            Class::Service => vec![("stopped", 130)],
            // `min` allows hosts to be missing; a failed clean-up is reported.
            Class::Batch if self.view["sums"]["clean_ups_failed"] != serde_json::json!([]) => {
                vec![("partial", 75)]
            }
            Class::Batch => vec![("complete", 0), ("partial", 0)],
        };
        let found = (outcome.as_str(), self.code.unwrap_or(-1));
        if !wanted.contains(&found) {
            verdict
                .broken
                .push(format!("outcome and code are {found:?}: {}", self.view["outcome"]));
        }
        for host in lost {
            if !self.scene.on(host).any(|s| s.fault.may_cost_the_host()) {
                let problems = &self.view["problems"];
                verdict.broken.push(format!("h{host:03} was given up for nothing: {problems}"));
            }
        }
        for (host, state) in self.hosts() {
            if !["done", "failed", "spare"].contains(&state) {
                verdict.broken.push(format!("h{host:03} is {state} at the end"));
            }
        }
    }

    /// P5, P12: what programs noticed themselves.
    fn troubles(&self, host: u16, diary: &Diary, verdict: &mut Verdict) {
        let is_alone = self.scene.was_left_alone(host);
        for ((process, incarnation), what) in &diary.troubles {
            let is_allowed = (what.starts_with("write:") && is_alone)
                || (what.starts_with("result:") && self.scene.small.contains(&host));
            if !is_allowed {
                let who = format!("h{host:03} {process}.{incarnation}");
                verdict.broken.push(format!("P5, P12: {who} noticed `{what}`"));
            }
        }
    }

    /// P3: each start has an end in the run's record, and whoever stayed to the end has done its work.
    fn account(&self, host: u16, diary: &Diary, verdict: &mut Verdict) {
        let mut newest: BTreeMap<&str, u32> = BTreeMap::new();
        for ((process, incarnation), _) in &diary.starts {
            let known = newest.entry(process).or_default();
            *known = (*known).max(*incarnation);
        }
        let newest_of_all = newest.values().max().copied().unwrap_or(0);
        if newest_of_all > 1 && !self.scene.on(host).any(|s| s.fault.may_end_a_task()) {
            let exits: Vec<&Value> = self.tasks(host).collect();
            verdict.broken.push(format!("h{host:03} {newest:?}: restarted for nothing: {exits:?}"));
        }
        if self.state(host) != "done" {
            if self.state(host) == "spare" && !newest.is_empty() {
                verdict.broken.push(format!("h{host:03} is a spare and has run {newest:?}"));
            }
            return;
        }
        for (process, incarnation) in newest {
            let task = self.tasks(host).find(|t| t["process"] == process);
            let Some(task) = task else {
                verdict.broken.push(format!("P3: h{host:03} {process} is in no record"));
                continue;
            };
            let (known, state) = (task["incarnation"].as_u64().unwrap(), &task["state"]);
            if known < u64::from(incarnation)
                || ["running", "starting"].contains(&state.as_str().unwrap())
            {
                verdict
                    .broken
                    .push(format!("P3: h{host:03} {process}.{incarnation} ended, and is {task}"));
            }
        }
        // One that was not needed has none.
        let tasks = self.tasks(host).count();
        if self.scene.class == Class::Service || tasks == 0 {
            return;
        }
        // Another host had its place by the time it came back.
        if self.tasks(host).any(|t| t["superseded"] == true) {
            return;
        }
        let undone = self.tasks(host).filter(|t| t["success"] != true);
        let undone = undone.map(|t| format!("h{host:03} is done, and {t} is not"));
        verdict.broken.extend(undone);
        match tasks == self.scene.processes().len() {
            true => verdict.served += 1,
            false => verdict.broken.push(format!("h{host:03} is done after {tasks} processes")),
        }
    }

    /// Every place was served to its end, as far as hosts were left for it.
    fn count(&self, verdict: &mut Verdict) {
        let Scene { hosts, class, .. } = self.scene;
        let least = usize::from(self.scene.wanted()).min(usize::from(*hosts) - verdict.lost);
        if *class == Class::Batch && verdict.served < least {
            verdict.broken.push(format!("only {} of {least} hosts did their work", verdict.served));
        }
    }

    /// O1, O2: what is here is what was written, from the first byte on, but for declared gaps; of hosts that stayed, all.
    fn output(&self, host: u16, diary: &Diary, verdict: &mut Verdict) {
        let name = format!("h{host:03}");
        let begun: BTreeSet<&Key> = diary.starts.iter().map(|(key, _)| key).collect();
        for key in &begun {
            let counted = diary.counts.get(*key).copied().unwrap_or_default();
            for (stream, lines) in [("out", self.scene.lines), ("err", 2)] {
                let (process, incarnation) = *key;
                let of = Stream { host: &name, process, incarnation: *incarnation, name: stream };
                let bytes = |w: Written| if stream == "out" { w.out } else { w.err };
                let (mut least, mut most) = (bytes(counted), bytes(counted) + lines * LINE_MAX);
                if let Some(end) = diary.ends.get(*key) {
                    (least, most) = (bytes(*end), bytes(*end));
                } else if self.scene.was_left_alone(host) {
                    least = least.saturating_sub(PIPE);
                }
                if self.state(host) != "done" {
                    least = 0;
                }
                let what = format!("{name} {process}.{incarnation}.{stream}");
                match self.compare(&of, verdict) {
                    Err(why) => verdict.broken.push(format!("O1: {what}: {why}")),
                    Ok(here) if here < least || here > most => verdict.broken.push(format!(
                        "O1: {what}: {here} bytes are here, {least} to {most} were written"
                    )),
                    Ok(_) => {}
                }
            }
        }
        let folder = self.run.join("output").join(&name);
        for file in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
            let file_name = file.file_name().into_string().unwrap();
            let words: Vec<&str> = file_name.split('.').collect();
            let key = (words[0].to_owned(), words[1].parse().unwrap());
            if !begun.contains(&key) && file.metadata().unwrap().len() > 0 {
                verdict.broken.push(format!("O1: {name} {file_name}: nobody wrote that"));
            }
        }
    }

    /// How many bytes of a stream are here, gaps included.
    fn compare(&self, stream: &Stream<'_>, verdict: &mut Verdict) -> Result<u64, String> {
        let Stream { host, process, incarnation, name } = stream;
        let path =
            self.run.join("output").join(host).join(format!("{process}.{incarnation}.{name}"));
        let Ok(here) = std::fs::read(&path) else { return Ok(0) };
        let gaps = gaps(&path)?;
        let mut wanted = Vec::with_capacity(here.len() + 200);
        while wanted.len() < here.len() {
            stream.push_line(wanted.len() as u64, &mut wanted);
        }
        let mut at = 0;
        for (from, to) in gaps.iter().copied().chain([(here.len(), here.len())]) {
            if from < at || to < from || to > here.len() {
                return Err(format!("gaps {gaps:?} of {} bytes", here.len()));
            }
            if let Some(n) = (at..from).find(|n| here[*n] != wanted[*n]) {
                let until = here.len().min(n + 120);
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                return Err(format!(
                    "byte {n} of {} is wrong: {:?} instead of {:?}",
                    here.len(),
                    text(&here[n..until]),
                    text(&wanted[n..until])
                ));
            }
            verdict.bytes += (from - at) as u64;
            verdict.gap_bytes += (to - from) as u64;
            at = to;
        }
        Ok(here.len() as u64)
    }

    /// A step begins when the one before it is over.
    fn order(&self, host: u16, diary: &Diary, verdict: &mut Verdict) {
        let [before, after] = self.scene.processes() else { return };
        if let (Some(last), Some(first)) = (diary.last_of(before), diary.starts_of(after).min())
            && first < last
        {
            let early = (last - first) / 1_000_000;
            verdict
                .broken
                .push(format!("h{host:03}: {after} began {early} ms before the end of {before}"));
        }
    }

    /// B2: nobody passes a round of a barrier twice. B5: nobody who was waited for came after it had opened.
    fn passes(&self, verdict: &mut Verdict) {
        let mut rounds: BTreeMap<(&str, u32), Vec<(u16, &super::diary::Pass)>> = BTreeMap::new();
        for (host, diary) in self.diaries {
            for pass in diary.passes.iter().filter(|p| p.code == 0) {
                rounds.entry((&pass.barrier, pass.round)).or_default().push((*host, pass));
                verdict.passes += 1;
            }
        }
        for ((barrier, round), passes) in rounds {
            let who: BTreeSet<u16> = passes.iter().map(|(host, _)| *host).collect();
            if who.len() < passes.len() {
                verdict.broken.push(format!(
                    "B2: somebody passed round {round} of {barrier} twice: {passes:?}"
                ));
            }
            let waited = || passes.iter().filter(|(_, p)| !p.answer.contains("\"why\":\"late\""));
            let first_out = waited().map(|(_, p)| p.went_ns).min().unwrap_or_default();
            for (host, pass) in waited().filter(|(_, p)| p.came_ns > first_out) {
                verdict.broken.push(format!("B5: h{host:03} came to round {round} of {barrier} after it had opened: {pass:?}"));
            }
        }
    }

    /// The barrier between two steps: hosts that no fault has touched have all come before any of them goes on.
    fn middle(&self, verdict: &mut Verdict) {
        let [before, after] = self.scene.processes() else { return };
        if self.scene.middle != Middle::All {
            return;
        }
        let whole = || {
            let whole =
                self.diaries.iter().filter(|(host, _)| self.scene.on(**host).next().is_none());
            whole.filter(|(host, _)| self.state(**host) == "done").map(|(_, diary)| diary)
        };
        // A spare that stepped in late was not waited for.
        let first = whole().filter_map(|d| d.starts_of(after).min()).min();
        let early = whole().filter(|d| d.starts_of(before).min() < first);
        let last = early.filter_map(|d| d.last_of(before)).max();
        if let (Some(last), Some(first)) = (last, first)
            && first < last
        {
            let early = (last - first) / 1_000_000;
            verdict
                .broken
                .push(format!("B5: {after} began {early} ms before the last {before} had ended"));
        }
    }
}

/// P1: nothing is started twice under one key.
fn starts(host: u16, diary: &Diary, verdict: &mut Verdict) {
    let mut seen = BTreeSet::new();
    for (key, _) in &diary.starts {
        verdict.starts += 1;
        if !seen.insert(key) {
            verdict.broken.push(format!("P1: h{host:03} {}.{} began twice", key.0, key.1));
        }
    }
}

/// Declared gaps, in order.
fn gaps(path: &Path) -> Result<Vec<(usize, usize)>, String> {
    let notes = format!("{}.gaps", path.display());
    let Ok(text) = std::fs::read_to_string(&notes) else { return Ok(Vec::new()) };
    let gap = |line: &str| {
        let gap: Value = serde_json::from_str(line).map_err(|e| format!("{notes}: {e}"))?;
        let end = |name: &str| gap[name].as_u64().map(|n| n as usize).ok_or(line.to_owned());
        Ok((end("from")?, end("to")?))
    };
    text.lines().map(gap).collect()
}

fn number(host: &str) -> u16 {
    host.trim_start_matches('h').parse().unwrap()
}
