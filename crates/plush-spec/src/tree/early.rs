//! The original XML vocabularies rewritten in the words of today, element by element, places kept.
//! SWORD requests have a file of their own.

use super::element::{Attribute, Element};
use super::shape::unknown_hint;
use super::sword;
use crate::report::Report;
use crate::source::Span;
use crate::value::shown;
use crate::vocabulary::early_record;

/// The project of a document, rewritten, and the version that the root names.
pub(crate) fn rewrite(
    root: Element,
    report: &mut Report<'_>,
) -> Option<(Element, Option<Attribute>)> {
    let mut root = root;
    if !matches!(root.name.as_str(), "plush" | "gush") {
        let hint = "the root of a description is `<plush>`, around one `<project>`";
        report.error(
            "root",
            &root.span,
            format!("`{}` is no description", shown(&root.name)),
            Some(hint.to_string()),
        );
        return None;
    }
    let version = check_root(&root, report);
    let at = root.children.iter().position(|c| c.is("project"));
    let Some(at) = at else {
        let is_directory = root.children.iter().any(|c| c.is("resource_manager") || c.is("slice"));
        let hint = if is_directory {
            "this is a directory file: name it in a resource, `file=\"...\"`"
        } else {
            "write `<project name=\"...\">`"
        };
        report.error("missing", &root.span, "there is no project", Some(hint.to_string()));
        return None;
    };
    let foreign: Vec<Element> =
        root.children.iter().filter(|c| c.namespace.is_some()).cloned().collect();
    let mut project = root.children.swap_remove(at);
    project.children.extend(foreign);
    Some((
        Rewriter { report, clusters: Vec::new(), rest: Vec::new(), used: Vec::new() }
            .project(project),
        version,
    ))
}

fn check_root(root: &Element, report: &mut Report<'_>) -> Option<Attribute> {
    for child in root.children.iter().filter(|c| {
        c.namespace.is_none()
            && !matches!(c.name.as_str(), "project" | "resource_manager" | "slice")
    }) {
        let hint = unknown_hint(&child.name, ["project"]);
        report.error(
            "unknown-element",
            &child.span,
            format!("`{}` has no element `{}`", root.name, shown(&child.name)),
            hint,
        );
    }
    for second in root.children.iter().filter(|c| c.is("project")).skip(1) {
        report.error(
            "duplicate-key",
            &second.span,
            "a description has one project",
            Some("put the second into a file of its own".to_string()),
        );
    }
    for attribute in root.attributes.iter().filter(|a| a.namespace.is_none() && a.name != "version")
    {
        let hint = unknown_hint(&attribute.name, ["version"]);
        report.error(
            "unknown-attribute",
            &attribute.name_span,
            format!("`{}` has no attribute `{}`", root.name, shown(&attribute.name)),
            hint,
        );
    }
    stray(root, report);
    root.attribute("version").cloned()
}

struct Rewriter<'r, 's> {
    report: &'r mut Report<'s>,
    clusters: Vec<Element>,
    rest: Vec<Element>,
    /// Components whose blocks were taken by an application, and which.
    used: Vec<(String, String)>,
}

impl Rewriter<'_, '_> {
    fn project(mut self, mut project: Element) -> Element {
        let mut applications = Vec::new();
        for child in std::mem::take(&mut project.children) {
            match child.name.as_str() {
                _ if child.namespace.is_some() => self.rest.push(child),
                "configuration" => self.configuration(child),
                "component" | "cluster" => {
                    let cluster = self.cluster(child);
                    self.clusters.push(cluster);
                }
                "experiment" | "application_block" | "application" => applications.push(child),
                _ => self.rest.push(child),
            }
        }
        for application in applications {
            let application = self.application(application);
            self.rest.push(application);
        }
        project.children = self.clusters;
        project.children.append(&mut self.rest);
        project
    }

    fn configuration(&mut self, mut configuration: Element) {
        check_early(&configuration, self.report);
        let name = configuration.attribute("name").cloned();
        if name.is_none() {
            self.report.error(
                "missing",
                &configuration.span,
                "`configuration` has no `name`",
                Some("write `<configuration name=\"...\">`".to_string()),
            );
        }
        let at = configuration.children.iter().position(|c| c.is("resources"));
        let resources = at.map(|at| configuration.children.remove(at));
        for child in configuration.children.into_iter().filter(|c| c.is("cluster")) {
            let mut cluster = self.cluster(child);
            if let Some(name) = &name {
                cluster
                    .attributes
                    .push(Attribute { name: "configuration".to_string(), ..name.clone() });
            }
            if let (Some(resources), None) = (&resources, cluster.child("resources")) {
                cluster.children.push(resources.clone());
            }
            self.clusters.push(cluster);
        }
    }

    /// A cluster or component with its rspec dissolved and its blocks made steps.
    fn cluster(&mut self, mut cluster: Element) -> Element {
        cluster.name = "cluster".to_string();
        for child in std::mem::take(&mut cluster.children) {
            if child.is("rspec") {
                check_early(&child, self.report);
                for part in child.children {
                    self.rspec_part(part, &mut cluster);
                }
            } else if child.is("execution") && child.children.iter().any(|c| is_block(&c.name)) {
                let steps = self.blocks(child.children);
                cluster.children.push(wrapped(
                    "execution",
                    child.span.clone(),
                    vec![wrapped("parallel", child.span, steps)],
                ));
            } else {
                cluster.children.push(child);
            }
        }
        cluster
    }

    fn rspec_part(&mut self, part: Element, cluster: &mut Element) {
        match part.name.as_str() {
            "sword" => {
                check_early(&part, self.report);
                for request in part.children.into_iter().filter(|c| c.is("request")) {
                    sword::request(request, cluster, self.report);
                }
            }
            "request" => sword::request(part, cluster, self.report),
            "num_hosts" | "requirement" => cluster.children.push(part),
            _ => {}
        }
    }

    fn application(&mut self, mut application: Element) -> Element {
        let is_early =
            application.child("execution").is_some() || application.name != "application";
        if !is_early {
            return application;
        }
        let word = std::mem::replace(&mut application.name, "application".to_string());
        self.check_application(&application, &word);
        let name = application.attribute("name").map_or(String::new(), |a| a.value.clone());
        let mut now = Element::new("application", application.span.clone());
        now.attributes =
            application.attributes.iter().filter(|a| a.name == "name").cloned().collect();
        self.service(&application, &mut now);
        for child in std::mem::take(&mut application.children) {
            match child.is("execution") {
                true => self.application_execution(child, &name, &mut now),
                false => now.children.push(child),
            }
        }
        now
    }

    fn check_application(&mut self, application: &Element, word: &str) {
        let known = ["name", "service", "reconnect_interval"];
        for attribute in application
            .attributes
            .iter()
            .filter(|a| a.namespace.is_none() && !known.contains(&a.name.as_str()))
        {
            let hint = unknown_hint(&attribute.name, known);
            self.report.error(
                "unknown-attribute",
                &attribute.name_span,
                format!("`{word}` has no attribute `{}`", shown(&attribute.name)),
                hint,
            );
        }
        stray(application, self.report);
    }

    fn service(&mut self, application: &Element, now: &mut Element) {
        let (service, interval) =
            (application.attribute("service"), application.attribute("reconnect_interval"));
        let Some(first) = service.or(interval) else { return };
        let mut element = Element::new("service", first.name_span.clone());
        if let Some(service) = service {
            let class = match service.value.trim() {
                "1" | "true" => "service",
                "0" | "false" | "" => "batch",
                other => {
                    self.report.error(
                        "value",
                        &service.value_span,
                        format!("`{}` is neither 0 nor 1", shown(other)),
                        Some("1 is a service that is kept up, 0 is not".to_string()),
                    );
                    "batch"
                }
            };
            element.attributes.push(Attribute {
                name: "class".to_string(),
                value: class.to_string(),
                ..service.clone()
            });
        }
        element.attributes.extend(interval.filter(|i| !i.value.trim().is_empty()).cloned());
        now.children.push(element);
    }

    fn application_execution(&mut self, execution: Element, application: &str, now: &mut Element) {
        check_early(&execution, self.report);
        let blocks: Vec<(String, String)> = execution
            .children
            .iter()
            .filter(|c| c.is("component_block"))
            .map(|c| (name_of(c), component_of(c)))
            .collect();
        self.one_configuration(&execution);
        for child in execution.children {
            match child.name.as_str() {
                "configuration" => self.configuration_reference(&child, now),
                "component_block" => self.component_block(child, application, &blocks, now),
                _ => {}
            }
        }
    }

    /// The early vocabulary executes the configurations of an application one after the other.
    /// Clusters of an application run at the same time, so more than one configuration is refused.
    fn one_configuration(&mut self, execution: &Element) {
        let mut configurations = execution.children.iter().filter(|c| c.is("configuration"));
        let Some(first) = configurations.next() else { return };
        for second in configurations {
            let span = second.attribute("name").map_or(&second.span, |a| &a.value_span);
            let (first, second) = (shown(&name_of(first)), shown(&name_of(second)));
            self.report.error(
                "unsupported",
                span,
                format!(
                    "configuration `{second}` is to be executed after `{first}`, and this build would run both at once"
                ),
                Some(
                    "give each configuration an application of its own, and run one application after the other"
                        .to_string(),
                ),
            );
        }
    }

    fn configuration_reference(&mut self, reference: &Element, now: &mut Element) {
        let name = name_of(reference);
        let of = |c: &&Element| c.attribute("configuration").is_some_and(|a| a.value == name);
        let clusters: Vec<String> = self.clusters.iter().filter(of).map(name_of).collect();
        if clusters.is_empty() {
            let known: Vec<&str> = self
                .clusters
                .iter()
                .filter_map(|c| c.attribute("configuration"))
                .map(|a| a.value.as_str())
                .collect();
            let hint = unknown_hint(&name, known);
            let span = reference.attribute("name").map_or(&reference.span, |a| &a.value_span);
            self.report.error(
                "undefined",
                span,
                format!("there is no configuration `{}`", shown(&name)),
                hint,
            );
        }
        now.children.extend(clusters.iter().map(|c| named("cluster", c, &reference.span)));
    }

    /// A component block becomes the execution of its component's cluster.
    fn component_block(
        &mut self,
        mut block: Element,
        application: &str,
        blocks: &[(String, String)],
        now: &mut Element,
    ) {
        check_early(&block, self.report);
        let component = component_of(&block);
        let Some(cluster) = self.cluster_for(&component, application, &block) else { return };
        if !now.children.iter().any(|c| c.is("cluster") && name_of(c) == cluster) {
            now.children.push(named("cluster", &cluster, &block.span));
        }
        let mut own_predecessors = Vec::new();
        let mut after = Vec::new();
        for predecessor in block.children.iter().filter(|c| c.is("predecessor")) {
            match blocks.iter().find(|(name, _)| *name == name_of(predecessor)) {
                Some((_, other)) if *other == component => {
                    own_predecessors.push(predecessor.clone())
                }
                Some((_, other)) => after.push(named("predecessor", other, &predecessor.span)),
                None => {
                    let hint = unknown_hint(
                        &name_of(predecessor),
                        blocks.iter().map(|(name, _)| name.as_str()),
                    );
                    self.report.error(
                        "undefined",
                        &predecessor.span,
                        format!("there is no component block `{}`", shown(&name_of(predecessor))),
                        hint,
                    );
                }
            }
        }
        let span = block.span.clone();
        let children =
            std::mem::take(&mut block.children).into_iter().filter(|c| is_block(&c.name)).collect();
        let mut group = wrapped("parallel", span.clone(), self.blocks(children));
        let is_only = blocks.iter().filter(|(_, other)| *other == component).count() == 1;
        if !is_only {
            group.attributes.extend(
                block.attribute("name").map(|a| Attribute { name: "id".to_string(), ..a.clone() }),
            );
            group.children.extend(own_predecessors);
        }
        let Some(cluster) = self.clusters.iter_mut().find(|c| name_of(c) == cluster) else {
            return;
        };
        cluster.children.extend(after);
        match cluster.children.iter_mut().find(|c| c.is("execution")) {
            Some(execution) if is_only => execution.children.push(group),
            Some(execution) => match execution.children.first_mut() {
                Some(outer) => outer.children.push(group),
                None => execution.children.push(wrapped("parallel", span, vec![group])),
            },
            None if is_only => cluster.children.push(wrapped("execution", span, vec![group])),
            None => cluster.children.push(wrapped(
                "execution",
                span.clone(),
                vec![wrapped("parallel", span, vec![group])],
            )),
        }
    }

    /// The cluster that an application uses for a component: the component's own the first time, a
    /// copy when another application has it already.
    fn cluster_for(
        &mut self,
        component: &str,
        application: &str,
        block: &Element,
    ) -> Option<String> {
        let Some(at) = self.clusters.iter().position(|c| name_of(c) == component) else {
            let known: Vec<String> = self.clusters.iter().map(name_of).collect();
            let hint = unknown_hint(component, known.iter().map(String::as_str));
            let span = block.child("component").map_or(&block.span, |c| &c.span);
            let message = match component.is_empty() {
                true => "the component block names no component".to_string(),
                false => format!("there is no component `{}`", shown(component)),
            };
            self.report.error("undefined", span, message, hint);
            return None;
        };
        match self.used.iter().find(|(used, _)| used == component) {
            None => {
                self.used.push((component.to_string(), application.to_string()));
                Some(component.to_string())
            }
            Some((_, by)) if by == application => Some(component.to_string()),
            Some(_) => {
                let copied = format!("{component}-{application}");
                if !self.clusters.iter().any(|c| name_of(c) == copied) {
                    let mut copy = self.clusters[at].clone();
                    copy.children.retain(|c| !c.is("execution") && !c.is("predecessor"));
                    copy.attributes
                        .iter_mut()
                        .filter(|a| a.name == "name")
                        .for_each(|a| a.value = copied.clone());
                    self.clusters.push(copy);
                }
                Some(copied)
            }
        }
    }

    /// Process, barrier and workflow blocks as steps.
    fn blocks(&mut self, blocks: Vec<Element>) -> Vec<Element> {
        let mut steps = Vec::new();
        for block in blocks {
            let word = match block.name.as_str() {
                "process_block" => "process",
                "barrier_block" => "barrier",
                "workflow_block" => "workflow",
                _ => {
                    steps.push(block);
                    continue;
                }
            };
            check_early(&block, self.report);
            steps.extend(self.block(block, word));
        }
        steps
    }

    fn block(&mut self, block: Element, word: &str) -> Option<Element> {
        let id = block.attribute("name").map(|a| Attribute { name: "id".to_string(), ..a.clone() });
        let span = block.span.clone();
        let (predecessors, inner): (Vec<Element>, Vec<Element>) =
            block.children.into_iter().partition(|c| c.is("predecessor"));
        let mut steps: Vec<Element> = inner
            .into_iter()
            .filter(|c| c.is(word))
            .map(|step| self.step(step, id.as_ref()))
            .collect();
        let mut step = match steps.len() {
            0 => {
                self.report.error(
                    "missing",
                    &span,
                    format!("the block holds no `{word}`"),
                    Some(format!("write `<{word} name=\"...\">` into it")),
                );
                return None;
            }
            1 => steps.remove(0),
            _ => wrapped("sequence", span, steps),
        };
        step.attributes.extend(id);
        step.children.extend(predecessors);
        Some(step)
    }

    fn step(&mut self, mut step: Element, id: Option<&Attribute>) -> Element {
        if step.attribute("name").is_none() && step.name != "barrier" {
            step.attributes
                .extend(id.map(|id| Attribute { name: "name".to_string(), ..id.clone() }));
        }
        if step.name == "barrier" {
            self.barrier(&mut step);
        }
        step.children.iter_mut().filter(|c| c.is("log_manager")).for_each(log_manager);
        step
    }

    /// `type` says nothing that is still needed; `max` is how many may be inside at a time.
    fn barrier(&mut self, barrier: &mut Element) {
        let max = barrier.attribute("max").cloned().filter(|a| !a.value.trim().is_empty());
        barrier
            .attributes
            .retain(|a| a.namespace.is_some() || !matches!(a.name.as_str(), "type" | "max"));
        if let Some(max) = max {
            let mut release = Element::new("release", max.name_span.clone());
            release.attributes.push(Attribute { name: "inside".to_string(), ..max });
            barrier.children.push(release);
        }
    }
}

/// A log manager described by attributes becomes one text.
fn log_manager(element: &mut Element) {
    let attributes = std::mem::take(&mut element.attributes);
    let words: Vec<String> = attributes.iter().map(|a| format!("{}={}", a.name, a.value)).collect();
    if let Some(first) = attributes.first() {
        element.texts.push((words.join(" "), first.value_span.clone()));
    }
}

/// Reports what an early element does not know.
pub(crate) fn check_early(element: &Element, report: &mut Report<'_>) {
    let Some(record) = early_record(&element.name) else { return };
    for attribute in element
        .attributes
        .iter()
        .filter(|a| a.namespace.is_none() && !record.attributes.contains(&a.name.as_str()))
    {
        let hint = unknown_hint(&attribute.name, record.attributes.iter().copied());
        report.error(
            "unknown-attribute",
            &attribute.name_span,
            format!("`{}` has no attribute `{}`", element.name, shown(&attribute.name)),
            hint,
        );
    }
    for child in element
        .children
        .iter()
        .filter(|c| c.namespace.is_none() && !record.elements.contains(&c.name.as_str()))
    {
        let hint = unknown_hint(&child.name, record.elements.iter().copied());
        report.error(
            "unknown-element",
            &child.span,
            format!("`{}` has no element `{}`", element.name, shown(&child.name)),
            hint,
        );
    }
    stray(element, report);
}

/// Text between elements means nothing, but is no error.
pub(crate) fn stray(element: &Element, report: &mut Report<'_>) {
    for (text, span) in element.texts.iter().filter(|(text, _)| !text.trim().is_empty()) {
        let lead = text.len() - text.trim_start().len();
        let start = (span.start + lead).min(span.end);
        let end = span.end.saturating_sub(text.len() - text.trim_end().len()).max(start);
        let message =
            format!("the text `{}` means nothing in `{}`", shown(text.trim()), element.name);
        report.warning(
            "stray-text",
            &(start..end),
            message,
            Some("it is ignored; remove it or put it into an element".to_string()),
        );
    }
}

fn is_block(name: &str) -> bool {
    matches!(name, "process_block" | "barrier_block" | "workflow_block")
}

fn component_of(block: &Element) -> String {
    block.child("component").map_or(String::new(), name_of)
}

pub(crate) fn name_of(element: &Element) -> String {
    element.attribute("name").map_or_else(|| element.text().trim().to_string(), |a| a.value.clone())
}

fn wrapped(name: &str, span: Span, children: Vec<Element>) -> Element {
    Element { children, ..Element::new(name, span) }
}

/// `<word name="..."/>`.
pub(crate) fn named(word: &str, name: &str, span: &Span) -> Element {
    let mut element = Element::new(word, span.clone());
    element.attributes.push(attribute("name", name, span));
    element
}

pub(crate) fn attribute(name: &str, value: &str, span: &Span) -> Attribute {
    Attribute {
        name: name.to_string(),
        namespace: None,
        value: value.to_string(),
        name_span: span.clone(),
        value_span: span.clone(),
    }
}
