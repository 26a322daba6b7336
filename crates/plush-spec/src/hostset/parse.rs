//! The grammar of host sets: operators, elements, groups and wildcards.
//!
//! Not the inside of brackets (`range_text`) nor how text and numbers make a name (`shape`).

use std::collections::BTreeMap;

use super::error::HostSetError;
use super::groups::Groups;
use super::product::{Product, size};
use super::range_text;
use super::set::{Combinations, HostSet};
use super::shape::{self, DIMENSIONS_MAX, Misplaced, Shaped, Shaper};
use super::wildcard;
use super::{HOSTS_MAX, TEXT_MAX};

/// Groups may name groups this deep.
const NESTING_MAX: usize = 32;

/// Numbers that may be looked at while one text is read: a guard against short texts that take hours.
const WORK_MAX: u64 = 20 * HOSTS_MAX;

/// Hosts wait to be merged until they are so much work: a guard against short texts that fill the memory.
const WAITING_WORK_MAX: u64 = 4 * HOSTS_MAX;

/// What asking for a group counts as.
const WORK_PER_GROUP: u64 = 200;

impl HostSet {
    /// Reads a host set: `node[1-9/2],rack[01-04]n[1-32]!@down`.
    ///
    /// Operators act from left to right: `,` or white space unites, `!` takes away, `&` keeps what both have, `^` what only one
    /// has. `@group`, `@source:group`, `@*`, `@@source` and the wildcards `*`, `?` are answered by `groups`.
    /// Digits after a colon are a port and never fold; `[2001:db8::1]` is an address. Empty text is the empty set.
    ///
    /// # Errors
    /// The first fault with its place in `text`: also more than [`HOSTS_MAX`] hosts, an unknown group, a group inside itself.
    pub fn parse(text: &str, groups: &dyn Groups) -> Result<HostSet, HostSetError> {
        let mut reading = Reading { groups, open: Vec::new(), work: 0 };
        reading.expression(text, &mut Scope::new(None))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Union,
    Difference,
    Intersection,
    Xor,
}

impl Operator {
    fn of(byte: u8) -> Option<Operator> {
        match byte {
            b',' => Some(Operator::Union),
            b'!' => Some(Operator::Difference),
            b'&' => Some(Operator::Intersection),
            b'^' => Some(Operator::Xor),
            _ => None,
        }
    }
}

/// One element of an expression and its place.
#[derive(Clone, Copy)]
struct Element<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Element<'a> {
    fn error(self, message: impl Into<String>) -> HostSetError {
        HostSetError::new(self.offset, self.text.len(), message)
    }

    fn from(self, begin: usize) -> Element<'a> {
        Element { text: &self.text[begin..], offset: self.offset + begin }
    }

    fn until(self, end: usize) -> Element<'a> {
        Element { text: &self.text[..end], offset: self.offset }
    }
}

/// What an element stands for.
enum Hosts {
    Shaped(Shaped),
    Set(HostSet),
}

/// What has been read so far. Hosts to be added, or to be taken away, wait for the next operator of another kind, so that
/// each table is merged once and not once per element.
#[derive(Default)]
struct Sum {
    set: HostSet,
    waiting: BTreeMap<String, Vec<Product>>,
    /// Whether the waiting hosts are to be taken away.
    taking: bool,
    /// The work that the waiting hosts will be.
    work: u64,
}

impl Sum {
    fn wait(&mut self, hosts: Hosts) {
        match hosts {
            Hosts::Shaped(Shaped { shape, product }) => self.wait_product(shape, product),
            Hosts::Set(set) => {
                for (shape, table) in set.tables {
                    for product in table.products() {
                        self.wait_product(shape.clone(), product.clone());
                    }
                }
            }
        }
    }

    fn wait_product(&mut self, shape: String, product: Product) {
        self.work = self.work.saturating_add(work(&product));
        self.waiting.entry(shape).or_default().push(product);
    }
}

/// An operation on whole sets.
type Act = fn(&HostSet, &HostSet) -> HostSet;

/// What merging a product takes: a range is merged as it is, a product of several number by number.
fn work(product: &Product) -> u64 {
    match product.as_slice() {
        [] => 1,
        [range] => range.runs().len() as u64,
        _ => size(product).saturating_mul(product.len() as u64),
    }
}

fn work_of(set: &HostSet) -> u64 {
    set.tables.values().flat_map(|table| table.products()).map(work).sum()
}

/// What an expression is read in.
struct Scope<'s> {
    /// The source of groups that are named without one.
    source: Option<&'s str>,
    /// Whether `*` and `?` choose among all hosts; while that list itself is read they cannot.
    wildcards: bool,
    /// All hosts, once a wildcard has asked for them.
    known: Option<Vec<String>>,
}

impl Scope<'_> {
    fn new(source: Option<&str>) -> Scope<'_> {
        Scope { source, wildcards: true, known: None }
    }
}

/// The text of a group, or of the list of all hosts.
struct Inner<'s> {
    /// The group's name; `*` is the list of all hosts.
    group: &'s str,
    text: &'s str,
}

/// One reading of a text with all the groups that it leads to.
struct Reading<'a> {
    groups: &'a dyn Groups,
    /// The groups being read, outermost first.
    open: Vec<String>,
    work: u64,
}

impl Reading<'_> {
    fn expression(&mut self, text: &str, scope: &mut Scope) -> Result<HostSet, HostSetError> {
        if text.len() > TEXT_MAX {
            let message =
                format!("the host set is {} bytes long, more than {TEXT_MAX}", text.len());
            return Err(HostSetError::new(0, text.len(), message));
        }
        let mut sum = Sum::default();
        let mut operator: Option<(Operator, usize)> = None;
        let mut at = 0;
        let mut first = true;
        loop {
            at += text[at..].len() - text[at..].trim_start().len();
            let Some(&byte) = text.as_bytes().get(at) else { break };
            if let Some(found) = Operator::of(byte) {
                if first || operator.is_some() {
                    return Err(missing_operand(text, at, first));
                }
                operator = Some((found, at));
                at += 1;
                continue;
            }
            let element = element_at(text, at)?;
            at += element.text.len();
            let hosts = self.element(element, scope)?;
            let (act, _) = operator.take().unwrap_or((Operator::Union, at));
            self.apply(&mut sum, act, hosts, element)?;
            first = false;
        }
        if let Some((_, place)) = operator {
            return Err(missing_operand(text, place, false));
        }
        self.settled(sum, Element { text, offset: 0 })
    }

    fn apply(
        &mut self,
        sum: &mut Sum,
        operator: Operator,
        hosts: Hosts,
        element: Element,
    ) -> Result<(), HostSetError> {
        match operator {
            Operator::Union => self.put_off(sum, false, hosts, element),
            Operator::Difference => self.put_off(sum, true, hosts, element),
            Operator::Intersection => self.combine(sum, HostSet::intersection, hosts, element),
            Operator::Xor => self.combine(sum, HostSet::xor, hosts, element),
        }
    }

    /// Lets hosts wait to be added or to be taken away.
    fn put_off(
        &mut self,
        sum: &mut Sum,
        taking: bool,
        hosts: Hosts,
        element: Element,
    ) -> Result<(), HostSetError> {
        if sum.taking != taking || sum.work > WAITING_WORK_MAX {
            self.settle(sum, element)?;
            sum.taking = taking;
        }
        sum.wait(hosts);
        Ok(())
    }

    fn combine(
        &mut self,
        sum: &mut Sum,
        act: Act,
        hosts: Hosts,
        element: Element,
    ) -> Result<(), HostSetError> {
        self.settle(sum, element)?;
        let mut other = Sum::default();
        other.wait(hosts);
        let other = self.settled(other, element)?;
        self.spend(work_of(&sum.set) + work_of(&other), element)?;
        sum.set = act(&sum.set, &other);
        check_count(&sum.set, element)
    }

    /// Adds or takes away the hosts that wait.
    fn settle(&mut self, sum: &mut Sum, element: Element) -> Result<(), HostSetError> {
        let touched = sum.waiting.keys().filter_map(|shape| sum.set.tables.get(shape));
        let present: u64 = touched.flat_map(|table| table.products()).map(work).sum();
        self.spend(std::mem::take(&mut sum.work).saturating_add(present), element)?;
        let waiting = std::mem::take(&mut sum.waiting);
        if sum.taking {
            let mut taken = HostSet::new();
            taken.unite(waiting);
            sum.set.subtract(&taken);
        } else {
            sum.set.unite(waiting);
        }
        check_count(&sum.set, element)
    }

    fn settled(&mut self, mut sum: Sum, element: Element) -> Result<HostSet, HostSetError> {
        self.settle(&mut sum, element)?;
        Ok(sum.set)
    }

    fn element(&mut self, element: Element, scope: &mut Scope) -> Result<Hosts, HostSetError> {
        check_characters(element)?;
        if element.text.starts_with('@') {
            return self.group(element, scope.source).map(Hosts::Set);
        }
        let shaped = host(element)?;
        let count = size(&shaped.product);
        if count > HOSTS_MAX {
            return Err(too_many(count, element));
        }
        if scope.wildcards && wildcard::has_wildcard(element.text) {
            return self.matching(element, &shaped, scope).map(Hosts::Set);
        }
        Ok(Hosts::Shaped(shaped))
    }

    /// The known hosts that match an element with wildcards.
    fn matching(
        &mut self,
        element: Element,
        shaped: &Shaped,
        scope: &mut Scope,
    ) -> Result<HostSet, HostSetError> {
        if scope.known.is_none() {
            let mut unmatched = Scope { wildcards: false, ..Scope::new(scope.source) };
            scope.known = Some(self.all(element, &mut unmatched)?.iter().collect());
        }
        let names = scope.known.as_deref().unwrap_or_default();
        let mut found = vec![false; names.len()];
        let mut masks = Combinations::of(&shaped.product);
        while let Some(mask) = masks.next_name(&shaped.shape) {
            self.spend(names.len() as u64, element)?;
            for (found, name) in found.iter_mut().zip(names) {
                *found |= wildcard::matches(&mask, name);
            }
        }
        Ok(names
            .iter()
            .zip(found)
            .filter(|(_, found)| *found)
            .map(|(name, _)| name.as_str())
            .collect())
    }

    /// All hosts that the scope's source knows.
    fn all(&mut self, element: Element, scope: &mut Scope) -> Result<HostSet, HostSetError> {
        let Some(text) = self.groups.all(scope.source) else {
            let of = scope.source.map(|source| format!(" of {source}")).unwrap_or_default();
            let message =
                format!("{} needs the list of all hosts{of}, and there is none", element.text);
            return Err(element
                .error(message)
                .hint("name the hosts, or define a group that is called all"));
        };
        self.inside(element, Inner { group: "*", text: &text }, scope)
    }

    /// The hosts of `@group[1-3]` and its relatives.
    fn group(&mut self, element: Element, outer: Option<&str>) -> Result<HostSet, HostSetError> {
        let written = element.from(1);
        let (source, group) = match written.text.split_once(':') {
            Some((source, _)) => (Some(source), written.from(source.len() + 1)),
            None => (outer, written),
        };
        if group.text.is_empty() {
            return Err(element
                .error("the name of a group is missing")
                .hint("as in @web or @source:web; @* is all hosts"));
        }
        if let Some(source) = group.text.strip_prefix('@') {
            return self
                .names_of_groups(element, if source.is_empty() { outer } else { Some(source) });
        }
        if group.text == "*" {
            return self.all(element, &mut Scope::new(source));
        }
        if let Some(at) = group.text.find(['*', '?', '@']) {
            return Err(HostSetError::new(
                group.offset + at,
                1,
                format!("the name of a group has no {:?}", &group.text[at..=at]),
            )
            .hint("wildcards choose hosts, not groups; @* is all hosts"));
        }
        let shaped = compose(group, "")?;
        if size(&shaped.product) > HOSTS_MAX {
            return Err(too_many(size(&shaped.product), element));
        }
        let mut names = Combinations::of(&shaped.product);
        let mut sum = Sum::default();
        while let Some(name) = names.next_name(&shaped.shape) {
            let Some(text) = self.groups.nodes(source, &name) else {
                return Err(self.unknown(element, source, &name));
            };
            let hosts =
                self.inside(element, Inner { group: &name, text: &text }, &mut Scope::new(source))?;
            self.apply(&mut sum, Operator::Union, Hosts::Set(hosts), element)?;
        }
        self.settled(sum, element)
    }

    /// `@@source`: the names of the groups, as if they were hosts.
    fn names_of_groups(
        &mut self,
        element: Element,
        source: Option<&str>,
    ) -> Result<HostSet, HostSetError> {
        match self.groups.list(source) {
            Some(names) => Ok(names.into_iter().collect()),
            None => Err(element
                .error(format!("there is no source of groups {:?}", source.unwrap_or("default")))),
        }
    }

    /// Reads the text of a group; its faults are shown at the element that named it.
    fn inside(
        &mut self,
        element: Element,
        inner: Inner,
        scope: &mut Scope,
    ) -> Result<HostSet, HostSetError> {
        let label = match scope.source {
            None => format!("@{}", inner.group),
            Some(source) => format!("@{source}:{}", inner.group),
        };
        if self.open.contains(&label) {
            return Err(element.error(format!("the group {label} contains itself")));
        }
        if self.open.len() == NESTING_MAX {
            return Err(element.error(format!("groups are nested more than {NESTING_MAX} deep")));
        }
        self.spend(WORK_PER_GROUP, element)?;
        self.open.push(label.clone());
        let set = self.expression(inner.text, scope);
        self.open.pop();
        set.map_err(|fault| HostSetError {
            hint: fault.hint,
            ..element.error(format!("in group {label}: {}", fault.message))
        })
    }

    fn unknown(&self, element: Element, source: Option<&str>, name: &str) -> HostSetError {
        let Some(names) = self.groups.list(source) else {
            return match source {
                Some(source) => element.error(format!("there is no source of groups {source:?}")),
                None => {
                    element.error(format!("there is no group {name:?}: no groups are known here"))
                }
            };
        };
        let error = element.error(format!("there is no group {name:?}"));
        match nearest(name, &names) {
            Some(near) => error.hint(format!("did you mean @{near}?")),
            None => error,
        }
    }

    fn spend(&mut self, work: u64, element: Element) -> Result<(), HostSetError> {
        self.work = self.work.saturating_add(work);
        if self.work > WORK_MAX {
            return Err(element
                .error("the host set repeats too many hosts to be read")
                .hint("leave out what is named again"));
        }
        Ok(())
    }
}

/// The element that begins at `at`: up to an operator or white space outside brackets.
fn element_at(text: &str, at: usize) -> Result<Element<'_>, HostSetError> {
    let mut open = None;
    let mut end = text.len();
    for (place, c) in text[at..].char_indices().map(|(place, c)| (at + place, c)) {
        match (c, open) {
            ('[', None) => open = Some(place),
            ('[', Some(_)) => {
                return Err(HostSetError::new(place, 1, "a bracket opens inside a bracket"));
            }
            (']', None) => {
                return Err(HostSetError::new(place, 1, "a bracket closes that was never opened"));
            }
            (']', Some(_)) => open = None,
            (_, None) if c.is_whitespace() || (c.is_ascii() && Operator::of(c as u8).is_some()) => {
                end = place;
                break;
            }
            (_, None | Some(_)) => {}
        }
    }
    match open {
        Some(place) => {
            Err(HostSetError::new(place, text.len() - place, "a bracket is never closed")
                .hint("as in node[1-9]"))
        }
        None => Ok(Element { text: &text[at..end], offset: at }),
    }
}

/// Reads a host or a pattern of hosts, `user@` and `:port` included.
fn host(element: Element) -> Result<Shaped, HostSetError> {
    let (name, port) = shape::split_port(element.text);
    let name = element.until(name.len());
    if let Some(literal) = address(name)? {
        return Ok(literal_host(literal, port));
    }
    if let Some(colon) =
        outside_brackets(name.text).find(|&(_, c)| c == ':').map(|(place, _)| place)
    {
        let part = element.from(colon + 1);
        return Err(part
            .error(format!("{:?} is not a port", part.text))
            .hint("a port is one number, as in node[1-9]:2222"));
    }
    compose(name, port)
}

/// The text of an address of version 6, when the element is one: `2001:db8::1`, `user@[2001:db8::1]`.
fn address(name: Element<'_>) -> Result<Option<&str>, HostSetError> {
    if !name.text.contains('[') {
        return Ok((name.text.matches(':').count() > 1).then_some(name.text));
    }
    let Some((before, rest)) = name.text.split_once('[') else { return Ok(None) };
    if !bracket_contents(name.text).any(|content| content.contains(':')) {
        return Ok(None);
    }
    let alone =
        rest.find(']') == Some(rest.len() - 1) && (before.is_empty() || before.ends_with('@'));
    if !alone {
        let hint = "as in user@[2001:db8::1]:22; ranges have no colon";
        return Err(name
            .error(format!("{} mixes an address with other text", name.text))
            .hint(hint));
    }
    Ok(Some(name.text))
}

fn literal_host(name: &str, port: &str) -> Shaped {
    let mut shaper = Shaper::new();
    shaper.literal(name);
    shaper.literal(port);
    shaper.finish()
}

/// Joins the texts and ranges of an element.
fn compose(element: Element, port: &str) -> Result<Shaped, HostSetError> {
    let mut shaper = Shaper::new();
    let mut rest = element;
    while let Some(open) = rest.text.find('[') {
        let close = rest.text.find(']').expect("an element's brackets are closed");
        shaper.text(&rest.text[..open]).map_err(|fault| misplaced(fault, element))?;
        let content = rest.until(close).from(open + 1);
        let range = range_text::parse(content.text, content.offset)?;
        shaper.range(range).map_err(|fault| misplaced(fault, element))?;
        rest = rest.from(close + 1);
    }
    shaper.text(rest.text).map_err(|fault| misplaced(fault, element))?;
    shaper.literal(port);
    Ok(shaper.finish())
}

fn misplaced(fault: Misplaced, element: Element) -> HostSetError {
    match fault {
        Misplaced::Touching => element
            .error(format!("two ranges of {} touch", element.text))
            .hint("put text between them, as in rack[1-4]n[1-32]"),
        Misplaced::TooLong => {
            element.error(format!("the numbers of {} get too long", element.text))
        }
        Misplaced::TooMany => {
            element.error(format!("{} has more than {DIMENSIONS_MAX} numbers", element.text))
        }
    }
}

fn check_characters(element: Element) -> Result<(), HostSetError> {
    if let Some((place, c)) =
        element.text.char_indices().find(|(_, c)| c.is_control() && !c.is_whitespace())
    {
        let message = format!("the character {:?} cannot stand in a host's name", c);
        return Err(HostSetError::new(element.offset + place, c.len_utf8(), message));
    }
    if element.text.starts_with('-') {
        // Programs that are given such a name would take it for an option.
        return Err(element.error(format!("the name {} begins with a dash", element.text)));
    }
    Ok(())
}

fn check_count(set: &HostSet, element: Element) -> Result<(), HostSetError> {
    match set.len() as u64 {
        count if count > HOSTS_MAX => Err(too_many(count, element)),
        _ => Ok(()),
    }
}

fn too_many(count: u64, element: Element) -> HostSetError {
    element.error(format!("these are {count} hosts, and a host set has at most {HOSTS_MAX}"))
}

fn missing_operand(text: &str, place: usize, first: bool) -> HostSetError {
    let operator = &text[place..=place];
    let side = if first { "before" } else { "after" };
    let error = HostSetError::new(place, 1, format!("a host is missing {side} {operator}"));
    match (first, operator) {
        (true, "!") => error.hint("everything but some hosts is @*!hosts"),
        _ => error,
    }
}

fn outside_brackets(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut inside = false;
    text.char_indices().filter(move |&(_, c)| {
        inside = (inside || c == '[') && c != ']';
        !inside
    })
}

fn bracket_contents(text: &str) -> impl Iterator<Item = &str> {
    text.split('[').skip(1).map(|part| part.split(']').next().unwrap_or_default())
}

/// The name that differs least, if it differs little.
fn nearest<'a>(name: &str, names: &'a [String]) -> Option<&'a str> {
    let near = names.iter().map(|other| (distance(name, other), other.as_str())).min()?;
    (near.0 <= 2 && near.0 < name.chars().count()).then_some(near.1)
}

/// How many characters must be put in, left out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
