//! A recording: the journal of a run that was played, and the state that it led to, as text that is kept.
//! Not a play: what is in it was decided by the rules of its time.

use crate::Play;
use plush_core::Millis;
use plush_core::plan::RunPlan;
use plush_core::run::{Event, Run};
use serde_json::{Value, json};

/// A journal and what it leads to.
pub struct Recording {
    plan: RunPlan,
    /// What was absorbed together, and when.
    records: Vec<(Millis, Vec<Event>)>,
    state: Value,
}

impl Recording {
    /// Plays, and records. What is broken in the play is no affair of a recording.
    pub fn of(play: &Play) -> Recording {
        let mut world = play.world(false);
        let _ = world.play();
        let controller = world.controller;
        let records =
            controller.journal.records.into_iter().map(|r| (r.at, r.events.to_vec())).collect();
        let state = serde_json::to_value(&controller.run).expect("a state is plain data");
        Recording { plan: controller.plan, records, state }
    }

    /// Reads what [`Recording::text`] wrote.
    ///
    /// # Errors
    /// This build does not understand it any more: which line, and why.
    pub fn read(text: &str) -> Result<Recording, String> {
        let mut lines = (1..).zip(text.lines());
        let (_, first) = lines.next().ok_or("it is empty")?;
        let plan = serde_json::from_str(first).map_err(|e| format!("line 1, the plan: {e}"))?;
        let (mut records, mut state) = (Vec::new(), Value::Null);
        for (number, line) in lines {
            let failed = |e: serde_json::Error| format!("line {number}: {e}");
            let value: Value = serde_json::from_str(line).map_err(failed)?;
            match value.get("state") {
                Some(led_to) => state = led_to.clone(),
                None => records.push(serde_json::from_value(value).map_err(failed)?),
            }
        }
        Ok(Recording { plan, records, state })
    }

    /// As it is kept: the plan, a line for each record, the state.
    pub fn text(&self) -> String {
        let mut lines = vec![serde_json::to_string(&self.plan).expect("a plan is plain data")];
        let record = |r| serde_json::to_string(r).expect("events are plain data");
        lines.extend(self.records.iter().map(record));
        lines.push(json!({ "state": self.state }).to_string());
        lines.join("\n") + "\n"
    }

    /// How many records there are.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// Where today's rules are led elsewhere: the first part of the state that differs.
    pub fn differs(&self) -> Option<String> {
        let mut run = Run::new(self.plan.clone());
        for (at, events) in &self.records {
            events.iter().for_each(|event| run.absorb(*at, event.clone()));
            let _ = run.decide(*at);
        }
        let now = serde_json::to_value(&run).expect("a state is plain data");
        difference(&self.state, &now, "state")
    }
}

/// The place of the first difference, and both sides of it.
fn difference(then: &Value, now: &Value, place: &str) -> Option<String> {
    match (then, now) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let of = |map: &serde_json::Map<String, Value>, key| {
                map.get(key).cloned().unwrap_or_default()
            };
            keys.into_iter().find_map(|k| difference(&of(a, k), &of(b, k), &format!("{place}.{k}")))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = (0..).zip(a.iter().zip(b));
            pairs.find_map(|(n, (a, b)): (usize, _)| difference(a, b, &format!("{place}[{n}]")))
        }
        (then, now) if then == now => None,
        (then, now) => Some(format!("{place} was {then} and is {now}")),
    }
}
