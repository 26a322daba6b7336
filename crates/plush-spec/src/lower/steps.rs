//! Executions: sequences, groups and blocks become one graph of steps.
//! It draws the edges; whether the graph has cycles is checked with the model.

use super::{Lower, full};
use crate::model::{
    Action, Barrier, Items, NAME_BYTES_MAX, Name, Process, Reference, Repeat, Slow, Step, Workflow,
};
use crate::source::Span;
use crate::tree::node::{Entry, Node, Shape};
use crate::tree::shape::unknown_hint;
use crate::value;
use crate::vocabulary::step_head;
use std::collections::{HashMap, HashSet};

/// More steps than these in one execution are a mistake.
const STEPS_MAX: usize = 10_000;
/// More predecessors than these, all steps together, are a mistake.
const EDGES_MAX: usize = 100_000;

impl Lower<'_, '_> {
    /// The graph of an execution or of a round.
    pub(super) fn steps(&mut self, node: Option<&Node>, barriers: &mut Vec<Barrier>) -> Vec<Step> {
        let Some(node) = node else { return Vec::new() };
        let mut graph = Graph::default();
        self.sequence(node.items(), &[], &mut graph, barriers);
        self.resolve(&mut graph);
        graph.steps
    }

    /// Items one after another; returns the ids that are last.
    fn sequence(
        &mut self,
        items: &[Node],
        before: &[Name],
        graph: &mut Graph,
        barriers: &mut Vec<Barrier>,
    ) -> Vec<Name> {
        let mut last = before.to_vec();
        for item in items {
            let ends = self.item(item, &last, graph, barriers);
            if !ends.is_empty() {
                last = ends;
            }
        }
        last
    }

    /// Items side by side; returns the ids that are last.
    fn parallel(
        &mut self,
        items: &[Node],
        before: &[Name],
        graph: &mut Graph,
        barriers: &mut Vec<Barrier>,
    ) -> Vec<Name> {
        let mut last: Vec<Name> = Vec::new();
        for item in items {
            last.extend(self.item(item, before, graph, barriers));
        }
        let mut seen = HashSet::new();
        last.retain(|name| seen.insert(name.clone()));
        if last.is_empty() { before.to_vec() } else { last }
    }

    fn item(
        &mut self,
        item: &Node,
        before: &[Name],
        graph: &mut Graph,
        barriers: &mut Vec<Barrier>,
    ) -> Vec<Name> {
        if let Shape::List(items) = &item.shape {
            return self.sequence(items, before, graph, barriers);
        }
        let Some(tag) = item.entries().iter().find(|e| step_head(&e.key).is_some()) else {
            return Vec::new();
        };
        let given_id = self.name_at(item, "id");
        let named = self.references(item, "after");
        match tag.key.as_str() {
            "parallel" | "sequence" => {
                let is_parallel = tag.key == "parallel";
                let first = graph.steps.len();
                let before = if named.is_empty() { before } else { &[] };
                let ends = match is_parallel {
                    true => self.parallel(tag.value.items(), before, graph, barriers),
                    false => self.sequence(tag.value.items(), before, graph, barriers),
                };
                let hung = named.len() * (graph.steps.len() - first);
                if !named.is_empty() && self.has_room(graph, hung, &tag.key_span) {
                    graph.hang(first, &named);
                }
                if let Some(id) = given_id {
                    self.add_group(id, &ends, &tag.key_span, graph);
                }
                ends
            }
            _ => {
                if !self.has_room(graph, before.len().max(named.len()), &tag.key_span) {
                    return Vec::new();
                }
                let Some(action) = self.action(item, tag, barriers) else { return Vec::new() };
                let id = self.step_id(given_id, item, &action, tag, graph);
                let after = match named.is_empty() {
                    true => before
                        .iter()
                        .map(|name| Reference {
                            name: name.clone(),
                            place: self.place(&tag.key_span),
                        })
                        .collect(),
                    false => named,
                };
                graph.ids.take(&id);
                graph.steps.push(Step {
                    id: id.clone(),
                    place: self.place(&tag.key_span),
                    after,
                    action,
                });
                vec![id]
            }
        }
    }

    fn has_room(&mut self, graph: &mut Graph, edges: usize, at: &Span) -> bool {
        graph.edges += edges;
        let has_room = graph.steps.len() < STEPS_MAX && graph.edges <= EDGES_MAX;
        if !has_room && !graph.is_full {
            let message =
                format!("an execution has at most {STEPS_MAX} steps and {EDGES_MAX} predecessors");
            self.report.error(
                "too-many",
                at,
                message,
                Some("a workflow takes as many items as you like".to_string()),
            );
        }
        graph.is_full |= !has_room;
        has_room
    }

    fn add_group(&mut self, id: Name, ends: &[Name], at: &Span, graph: &mut Graph) {
        if graph.ids.is_taken(&id) {
            self.report.error(
                "duplicate-name",
                at,
                format!("there is another step `{id}`"),
                Some("give it another `id`".to_string()),
            );
        }
        graph.ids.take(&id);
        graph.groups.insert(id, ends.to_vec());
    }

    fn step_id(
        &mut self,
        given: Option<Name>,
        item: &Node,
        action: &Action,
        tag: &Entry,
        graph: &mut Graph,
    ) -> Name {
        if let Some(id) = given {
            if graph.ids.is_taken(&id) {
                let at = item.get("id").map_or(&tag.key_span, |n| &n.span);
                self.report.error(
                    "duplicate-name",
                    at,
                    format!("there is another step `{id}`"),
                    Some("give it another `id`".to_string()),
                );
            } else {
                return id;
            }
        }
        graph.ids.default_for(action)
    }

    /// Replaces groups by what is last in them, and reports what does not exist.
    fn resolve(&mut self, graph: &mut Graph) {
        let ids: Vec<Name> = graph.steps.iter().map(|s| s.id.clone()).collect();
        let known: Vec<&str> = ids.iter().chain(graph.groups.keys()).map(Name::as_str).collect();
        let mut edges = 0;
        for step in &mut graph.steps {
            let mut after: Vec<Reference> = Vec::new();
            let mut seen = HashSet::new();
            for reference in &step.after {
                let names = match graph.groups.get(&reference.name) {
                    Some(ends) => ends.as_slice(),
                    None if graph.ids.is_taken(&reference.name) => {
                        std::slice::from_ref(&reference.name)
                    }
                    None => {
                        let hint = unknown_hint(reference.name.as_str(), known.iter().copied());
                        self.report.error_at(
                            "undefined",
                            reference.place,
                            format!("there is no step `{}` here", reference.name),
                            hint,
                        );
                        continue;
                    }
                };
                edges += names.len();
                if edges > EDGES_MAX {
                    break;
                }
                for name in names {
                    if seen.insert(name) {
                        after.push(Reference { name: name.clone(), place: reference.place });
                    }
                }
            }
            step.after = after;
        }
        if edges > EDGES_MAX {
            let place = graph.steps.last().map_or_else(Default::default, |step| step.place);
            let message = format!("an execution has at most {EDGES_MAX} predecessors");
            self.report.error_at("too-many", place, message, None);
        }
    }

    fn action(&mut self, item: &Node, tag: &Entry, barriers: &mut Vec<Barrier>) -> Option<Action> {
        let at = &tag.key_span;
        match tag.key.as_str() {
            "process" => {
                let name = self.name(&tag.value)?;
                self.process(item, name, at).map(|p| Action::Process(Box::new(p)))
            }
            "barrier" => Some(Action::Barrier(self.barrier(item, tag, barriers)?)),
            "workflow" => {
                let name = self.name(&tag.value)?;
                self.workflow(item, name, at).map(|w| Action::Workflow(Box::new(w)))
            }
            _ => Some(Action::Repeat(Repeat {
                until: tag.value.get("until").and_then(|n| self.command(n)),
                max: self.whole(&tag.value, "max").unwrap_or(1),
                steps: self.steps(tag.value.get("do"), barriers),
                foreign: self.foreign(&tag.value),
            })),
        }
    }

    /// A barrier is one by its name; what is said of it in a step belongs to it.
    fn barrier(
        &mut self,
        item: &Node,
        tag: &Entry,
        barriers: &mut Vec<Barrier>,
    ) -> Option<Reference> {
        let name = self.name(&tag.value)?;
        let place = self.place(&tag.value.span);
        let says_more = ["entry", "release", "late", "callback", "together"]
            .iter()
            .any(|key| item.get(key).is_some());
        let policy = self.barrier_policy(item, &tag.key_span);
        match barriers.iter_mut().find(|b| b.name == name) {
            None => barriers.push(Barrier {
                name: name.clone(),
                place,
                policy,
                clusters: Vec::new(),
                per_host: None,
            }),
            Some(known) if says_more && known.policy == crate::model::BarrierPolicy::default() => {
                known.policy = policy
            }
            Some(known) if says_more && known.policy != policy => {
                let hint = format!(
                    "it is described at line {}; describe it once, in `barriers`",
                    known.place.line
                );
                self.report.error(
                    "contradiction",
                    &tag.value.span,
                    format!("the barrier `{name}` is described twice, differently"),
                    Some(hint),
                );
            }
            Some(_) => {}
        }
        Some(Reference { name, place })
    }

    fn workflow(&mut self, item: &Node, name: Name, at: &Span) -> Option<Workflow> {
        let mut process: Process = self.process(item, name.clone(), at)?;
        let outputs = std::mem::take(&mut process.outputs);
        let foreign = std::mem::take(&mut process.foreign);
        let on = std::mem::take(&mut process.on);
        Some(Workflow {
            name,
            place: process.place,
            items: self.items(item.get("items")?)?,
            process,
            per_host: self.whole(item, "per_host").unwrap_or(1),
            on,
            retries: self.whole(item, "retries").unwrap_or(0),
            slow: item.get("slow").map(|n| self.slow(n)),
            outputs,
            foreign,
        })
    }

    fn items(&mut self, node: &Node) -> Option<Items> {
        let at = node.span.clone();
        let node = &full(node, "list");
        let given =
            ["list", "file", "range"].into_iter().filter(|key| node.get(key).is_some()).count();
        if given != 1 {
            self.report.error(
                "contradiction",
                &at,
                "items are exactly one of `list`, `file` and `range`",
                None,
            );
            return None;
        }
        if let Some(list) = node.get("list").filter(|list| list.items().is_empty()) {
            self.report.error("nothing", &list.span, "the list has no items", None);
            return None;
        }
        if let Some(list) = node.get("list") {
            let texts = list.items().iter().filter(|item| item.as_text().is_some());
            return Some(Items::List(texts.map(|item| self.raw_plain(item)).collect()));
        }
        if let Some(file) = self.text(node, "file") {
            return Some(Items::File(file));
        }
        self.value(node, "range", value::numbers).map(|(first, last, step)| Items::Range {
            first,
            last,
            step,
        })
    }

    fn slow(&mut self, node: &Node) -> Slow {
        let empty = Node::map(Vec::new());
        Slow {
            knee: self.knee(node.get("knee").unwrap_or(&empty)),
            reissue: self.value(node, "reissue", value::bool).unwrap_or(true),
            copies_max: self.whole(node, "copies").unwrap_or(2),
        }
    }
}

/// The ids of one graph, and which number to try next for each name.
#[derive(Default)]
pub(crate) struct Ids {
    taken: HashSet<Name>,
    next: HashMap<String, u32>,
}

impl Ids {
    pub fn take(&mut self, id: &Name) {
        self.taken.insert(id.clone());
    }

    pub fn is_taken(&self, id: &Name) -> bool {
        self.taken.contains(id)
    }

    /// The id of a step that is given none: what it runs, with a number where that is taken.
    pub fn default_for(&mut self, action: &Action) -> Name {
        let base = match action {
            Action::Process(process) => process.name.as_str(),
            Action::Barrier(reference) => reference.name.as_str(),
            Action::Workflow(workflow) => workflow.name.as_str(),
            Action::Repeat(_) => "repeat",
        };
        let next = self.next.entry(base.to_string()).or_insert(1);
        let short = base[..base.floor_char_boundary(NAME_BYTES_MAX - 11)].trim_end();
        loop {
            let text = if *next == 1 { base.to_string() } else { format!("{short}-{next}") };
            let name = Name::new(&text).expect("a piece of a name with a number is a name");
            if !self.taken.contains(&name) {
                return name;
            }
            *next += 1;
        }
    }
}

/// A graph in the making.
#[derive(Default)]
struct Graph {
    steps: Vec<Step>,
    ids: Ids,
    /// Ids of groups, and what is last in them.
    groups: HashMap<Name, Vec<Name>>,
    edges: usize,
    is_full: bool,
}

impl Graph {
    /// Makes the first steps of a group wait.
    fn hang(&mut self, first: usize, after: &[Reference]) {
        for step in self.steps[first..].iter_mut().filter(|s| s.after.is_empty()) {
            step.after = after.to_vec();
        }
    }
}
