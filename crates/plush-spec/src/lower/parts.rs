//! Requirements, barriers, services and reactions.
//! Processes and steps are elsewhere.

use super::{Lower, full, key_span};
use crate::model::{
    AdaptiveRule, BarrierPolicy, Condition, Constraint, Entry, Expression, FailurePolicy, Group,
    Hook, HookPlace, Knee, Late, OnReturn, Percent, Range, Reaction, Release, Requirement, Service,
    ServiceClass, Test, Wanted,
};
use crate::source::Span;
use crate::tree::node::{Entry as NodeEntry, Node};
use crate::value;
use crate::vocabulary::{CONSTRAINT, GROUP, REQUIREMENT, Record};

impl Lower<'_, '_> {
    pub(super) fn requirement(&mut self, node: &Node) -> Requirement {
        let expressions = node.get("expressions").map_or(&[][..], Node::items);
        Requirement {
            conditions: self.conditions(node, &REQUIREMENT),
            between: self.between(node),
            expressions: expressions
                .iter()
                .filter_map(|n| {
                    Some(Expression { text: self.plain(n)?, place: self.place(&n.span) })
                })
                .collect(),
            groups: node
                .get("groups")
                .map_or(&[][..], Node::entries)
                .iter()
                .filter_map(|e| self.group(e))
                .collect(),
            constraints: node
                .get("constraints")
                .map_or(&[][..], Node::items)
                .iter()
                .map(|n| self.constraint(n))
                .collect(),
        }
    }

    fn group(&mut self, entry: &NodeEntry) -> Option<Group> {
        let count = self.value(&entry.value, "num_hosts", value::count_or_all)?;
        Some(Group {
            name: self.key_name(entry)?,
            count: count.map_or(Wanted::All, Wanted::Count),
            conditions: self.conditions(&entry.value, &GROUP),
            between: self.between(&entry.value),
            place: self.place(&entry.key_span),
        })
    }

    fn constraint(&mut self, node: &Node) -> Constraint {
        Constraint {
            groups: self.references(node, "groups").into_iter().map(|r| r.name).collect(),
            conditions: self.conditions(node, &CONSTRAINT),
            place: self.place(&node.span),
        }
    }

    fn between(&mut self, node: &Node) -> Vec<Condition> {
        let entries = node.get("between").map_or(&[][..], Node::entries);
        entries.iter().filter_map(|e| self.condition(e)).collect()
    }

    /// Every key that the record does not know is a fact.
    fn conditions(&mut self, node: &Node, record: &'static Record) -> Vec<Condition> {
        let facts = node
            .entries()
            .iter()
            .filter(|e| record.field(&e.key).is_none() && !e.key.starts_with("x-"));
        facts.filter_map(|e| self.condition(e)).collect()
    }

    fn condition(&mut self, entry: &NodeEntry) -> Option<Condition> {
        let node = &full(&entry.value, "is");
        let penalty = self.value(node, "penalty", value::number);
        let bound = |lower: &Self, key| lower.value(node, key, value::quantity);
        let bounds = ["abs_min", "ideal_min", "ideal_max", "abs_max"].map(|key| bound(self, key));
        let is_given = bounds.iter().any(Option::is_some);
        let test = match self.value(node, "is", value::condition) {
            Some(_) if is_given => {
                self.report.error(
                    "contradiction",
                    &entry.key_span,
                    "`is` and bounds exclude each other",
                    Some("`is` is short for bounds".to_string()),
                );
                return None;
            }
            Some(Test::Text { value, .. }) => Test::Text { value, penalty },
            Some(Test::Range(range)) => {
                Test::Range(Range { penalty: penalty.unwrap_or(0.0), ..range })
            }
            None => {
                let [abs_min, ideal_min, ideal_max, abs_max] = bounds;
                let range = Range {
                    abs_min,
                    ideal_min: ideal_min.or(abs_min),
                    ideal_max: ideal_max.or(abs_max),
                    abs_max,
                    penalty: penalty.unwrap_or(0.0),
                };
                if !is_given && node.get("is").is_none() {
                    let hint = "write something like `>= 2`, `1 .. 4` or `Linux`";
                    self.report.error(
                        "missing",
                        &entry.key_span,
                        format!("nothing is asked of `{}`", value::shown(&entry.key)),
                        Some(hint.to_string()),
                    );
                }
                self.range_order(&range, &entry.key_span);
                Test::Range(range)
            }
        };
        Some(Condition { fact: entry.key.clone(), test, place: self.place(&entry.key_span) })
    }

    fn range_order(&mut self, range: &Range, at: &Span) {
        let bounds: Vec<f64> = [range.abs_min, range.ideal_min, range.ideal_max, range.abs_max]
            .into_iter()
            .flatten()
            .collect();
        if bounds.windows(2).any(|pair| pair[0] > pair[1]) {
            let hint = "they go up: abs_min, ideal_min, ideal_max, abs_max";
            self.report.error(
                "contradiction",
                at,
                "the bounds are not in order",
                Some(hint.to_string()),
            );
        }
    }

    pub(super) fn barrier_policy(&mut self, node: &Node, at: &Span) -> BarrierPolicy {
        self.barrier_policy_or(node, at, Release::All)
    }

    /// The same, where a release that is not said means another one.
    pub(super) fn barrier_policy_or(
        &mut self,
        node: &Node,
        at: &Span,
        usual: Release,
    ) -> BarrierPolicy {
        BarrierPolicy {
            entry: node.get("entry").map_or_else(Entry::default, |n| self.entry(n)),
            release: node.get("release").map_or(usual, |n| self.release(n)),
            late: match self.text(node, "late").as_deref() {
                Some("drop") => Late::Drop,
                Some("replace") => Late::Replace,
                _ => Late::Admit,
            },
            callback: node.get("callback").and_then(|n| self.hook(n)),
            together_ms: self.duration_ms(node, "together"),
            place: self.place(at),
        }
    }

    fn entry(&mut self, node: &Node) -> Entry {
        let node = &full(node, "rule");
        let entry = Entry {
            count: self.whole(node, "count"),
            percent: node.get("percent").and_then(|n| self.percent(n)),
            timeout_ms: self.duration_ms(node, "timeout"),
            knee: node.get("knee").map(|n| self.knee(n)),
        };
        if let Some(rule) = node.get("rule").filter(|_| entry != Entry::default()) {
            self.report.error(
                "contradiction",
                &rule.span,
                "`all` excludes everything else",
                Some("leave `rule` out: a full house always opens".to_string()),
            );
        }
        entry
    }

    fn percent(&mut self, node: &Node) -> Option<Percent> {
        let node = &full(node, "share");
        Some(Percent {
            percent: self.value(node, "share", value::percent)?,
            min_wait_ms: self.duration_ms(node, "min_wait").unwrap_or(0),
        })
    }

    pub(super) fn knee(&mut self, node: &Node) -> Knee {
        let node = &full(node, "min_percent");
        let weight = self.value(node, "weight", value::number);
        if weight.is_some_and(|w| !(0.0..1.0).contains(&w)) {
            let at = node.get("weight").map_or(&node.span, |n| &n.span);
            self.report.error("value", at, "a weight is between 0 and 1", None);
        }
        Knee {
            min_percent: self
                .value(node, "min_percent", value::percent)
                .unwrap_or(Knee::MIN_PERCENT),
            min_wait_ms: self.duration_ms(node, "min_wait").unwrap_or(0),
            weight,
        }
    }

    fn release(&mut self, node: &Node) -> Release {
        let node = &full(node, "rule");
        let given: Vec<&str> = ["rule", "count", "percent", "inside", "rate"]
            .into_iter()
            .filter(|key| node.get(key).is_some())
            .collect();
        if let [first, second, ..] = given.as_slice() {
            self.report.error(
                "contradiction",
                &key_span(node, second),
                format!("`{first}` and `{second}` exclude each other"),
                Some("keep one of them".to_string()),
            );
        }
        let every_ms = self.duration_ms(node, "every").unwrap_or(1_000);
        let timeout_ms = self.duration_ms(node, "timeout");
        self.release_extras(node, &given);
        match given.first().copied() {
            Some("count") => {
                Release::CountPerTick { count: self.whole(node, "count").unwrap_or(1), every_ms }
            }
            Some("percent") => Release::PercentPerTick {
                percent: self.positive(node, "percent", value::percent),
                every_ms,
            },
            Some("inside") => {
                Release::Inside { max: self.whole(node, "inside").unwrap_or(1), timeout_ms }
            }
            Some("rate") => {
                Release::Rate { per_second: self.positive(node, "rate", value::number) }
            }
            Some(_) => {
                let rule = match self.text(node, "rule").as_deref() {
                    Some("adaptive") => AdaptiveRule::Throughput,
                    Some("median") => AdaptiveRule::Median,
                    _ => return Release::All,
                };
                let start = self.whole(node, "start").unwrap_or(rule.start());
                Release::Adaptive { rule, start, timeout_ms }
            }
            None => Release::All,
        }
    }

    /// Says which of the further keys mean nothing beside the chosen one.
    fn release_extras(&mut self, node: &Node, given: &[&str]) {
        let rule = self.text(node, "rule");
        let is_adaptive = matches!(rule.as_deref(), Some("adaptive" | "median"));
        let ticks = given.iter().any(|g| matches!(*g, "count" | "percent"));
        let meant = [
            ("every", ticks),
            ("start", is_adaptive),
            ("timeout", is_adaptive || given.contains(&"inside")),
        ];
        for (key, _) in meant.into_iter().filter(|(_, is_meant)| !is_meant) {
            if let Some(extra) = node.get(key) {
                self.report.error(
                    "contradiction",
                    &extra.span,
                    format!("`{key}` means nothing for this release"),
                    None,
                );
            }
        }
    }

    fn positive(
        &mut self,
        node: &Node,
        key: &str,
        read: impl Fn(&str) -> Result<f64, value::Fault>,
    ) -> f64 {
        let found = self.value(node, key, read).unwrap_or(1.0);
        if found <= 0.0
            && let Some(at) = node.get(key)
        {
            self.report.error(
                "value",
                &at.span,
                format!("with {found} nobody would ever be released"),
                Some("write more than 0".to_string()),
            );
        }
        found
    }

    pub(super) fn hook(&mut self, node: &Node) -> Option<Hook> {
        let place = self.place(&node.span);
        let node = &full(node, "command");
        let items = node.get("command")?.items();
        let argv: Vec<String> =
            items.iter().filter(|n| n.as_text().is_some()).map(|n| self.raw_plain(n)).collect();
        if argv.first().is_none_or(|program| program.trim().is_empty()) {
            self.report.error(
                "missing",
                &key_span(node, "command"),
                "the command names no program",
                Some("write `[./program, argument]`".to_string()),
            );
        }
        Some(Hook {
            argv,
            at: match self.text(node, "at").as_deref() {
                Some("host") => HookPlace::Host,
                _ => HookPlace::Controller,
            },
            time_limit_ms: self.duration_ms(node, "time_limit").unwrap_or(10_000),
            place,
        })
    }

    pub(super) fn on_failure(&mut self, node: &Node) -> FailurePolicy {
        let Some(node) = node.get("on_failure") else { return FailurePolicy::default() };
        FailurePolicy {
            process: self.reaction_at(node, "process"),
            host: self.reaction_at(node, "host"),
            cluster: self.reaction_at(node, "cluster"),
            application: self.reaction_at(node, "application"),
        }
    }

    pub(super) fn reaction_at(&mut self, node: &Node, key: &str) -> Option<Reaction> {
        let node = &full(node.get(key)?, "do");
        let call = node.get("call").and_then(|n| self.hook(n));
        let reaction = match self.text(node, "do").as_deref() {
            Some("continue") => Some(Reaction::Continue),
            Some("restart") => Some(Reaction::Restart),
            Some("replace") => Some(Reaction::Replace),
            Some("drop") => Some(Reaction::Drop),
            Some("fail") => Some(Reaction::Fail),
            _ => None,
        };
        match (reaction, call) {
            (Some(_), Some(_)) => {
                self.report.error(
                    "contradiction",
                    &key_span(node, "call"),
                    "`do` and `call` exclude each other",
                    Some("where the program gives no answer, the default holds".to_string()),
                );
                None
            }
            (None, Some(hook)) => Some(Reaction::Call(hook)),
            (reaction, None) => reaction,
        }
    }

    pub(super) fn service_at(&mut self, node: &Node) -> Option<Service> {
        let given = node.get("service")?;
        let place = self.place(&given.span);
        let node = &full(given, "class");
        Some(Service {
            class: match self.text(node, "class").as_deref() {
                Some("attached") => ServiceClass::Attached,
                Some("service") => ServiceClass::Service,
                Some("exclusive") => ServiceClass::Exclusive,
                _ => ServiceClass::Batch,
            },
            reconnect_interval_ms: self.duration_ms(node, "reconnect_interval"),
            stop_after_ms: self.duration_ms(node, "stop_after"),
            replace_after_ms: self.duration_ms(node, "replace_after"),
            on_return: match self.text(node, "on_return").as_deref() {
                Some("keep-new") => OnReturn::KeepNew,
                Some("longest-running") => OnReturn::LongestRunning,
                _ => OnReturn::KeepOriginal,
            },
            spread: self.text(node, "spread"),
            update: node.get("update").map(|n| self.barrier_policy(n, &n.span)),
            place,
        })
    }
}
