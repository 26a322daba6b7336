//! A set of hosts by name, in ClusterShell's order.
//!
//! Not its text: reading is in `parse`, writing in `set_text`.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use super::error::HostSetError;
use super::index::Index;
use super::product::{Product, Table};
use super::range::RangeSet;
use super::range_text;
use super::shape;

/// A set of host names. Its order is ClusterShell's: by the text around the numbers, then by the numbers as they are folded.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HostSet {
    /// By shape; no table is empty.
    pub(super) tables: BTreeMap<String, Table>,
}

impl HostSet {
    /// No hosts.
    pub fn new() -> HostSet {
        HostSet::default()
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.tables.values().map(|table| table.len() as usize).sum()
    }

    /// Whether there is no host.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Whether a host of exactly this name is in the set.
    pub fn contains(&self, name: &str) -> bool {
        let (shape, numbers) = shape::of_name(name);
        self.tables.get(&shape).is_some_and(|table| table.contains(&numbers))
    }

    /// The names, in order.
    pub fn iter(&self) -> Hosts<'_> {
        Hosts { tables: self.tables.iter(), table: None, product: None }
    }

    /// The name at a position, counted from 0.
    pub fn get(&self, position: usize) -> Option<String> {
        let mut position = position as u64;
        for (shape, table) in &self.tables {
            if position < table.len() {
                return table.at(position).map(|numbers| name(shape, &numbers));
            }
            position -= table.len();
        }
        None
    }

    /// The position of a host in the set's order.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        let (shape, numbers) = shape::of_name(name);
        let rank = self.tables.get(&shape)?.rank(&numbers)?;
        let before: u64 = self.tables.range(..shape).map(|(_, table)| table.len()).sum();
        Some((before + rank) as usize)
    }

    /// The hosts that are in either set.
    #[must_use]
    pub fn union(&self, other: &HostSet) -> HostSet {
        let mut tables = self.tables.clone();
        for (shape, table) in &other.tables {
            match tables.get_mut(shape) {
                Some(mine) => *mine = mine.union(table),
                None => drop(tables.insert(shape.clone(), table.clone())),
            }
        }
        HostSet { tables }
    }

    /// The hosts that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &HostSet) -> HostSet {
        let both = |(shape, mine): (&String, &Table)| {
            let table = mine.intersection(other.tables.get(shape)?);
            (!table.is_empty()).then(|| (shape.clone(), table))
        };
        HostSet { tables: self.tables.iter().filter_map(both).collect() }
    }

    /// The hosts of this set that are not in the other.
    #[must_use]
    pub fn difference(&self, other: &HostSet) -> HostSet {
        let mut left = self.clone();
        left.subtract(other);
        left
    }

    /// The hosts that are in exactly one of the sets.
    #[must_use]
    pub fn xor(&self, other: &HostSet) -> HostSet {
        self.difference(other).union(&other.difference(self))
    }

    /// Whether every host of this set is in the other.
    pub fn is_subset(&self, other: &HostSet) -> bool {
        self.difference(other).is_empty()
    }

    /// The hosts at a range of positions, as far as there are any.
    #[must_use]
    pub fn slice(&self, positions: impl RangeBounds<usize>) -> HostSet {
        let begin = match positions.start_bound() {
            Bound::Included(&begin) => begin as u64,
            Bound::Excluded(&begin) => begin as u64 + 1,
            Bound::Unbounded => 0,
        };
        let end = match positions.end_bound() {
            Bound::Included(&end) => end as u64 + 1,
            Bound::Excluded(&end) => end as u64,
            Bound::Unbounded => u64::MAX,
        };
        self.keep_positions(&mut |first, count| {
            let (low, high) = (begin.clamp(first, first + count), end.clamp(first, first + count));
            (low..high.max(low)).collect()
        })
    }

    /// The hosts at positions given as a range, such as `0-3,7`; positions past the end have no host.
    pub fn select(&self, positions: &str) -> Result<HostSet, HostSetError> {
        let wanted = range_text::parse(positions, 0)?;
        let mut wanted: Vec<u64> = wanted.iter().map(Index::value).collect();
        wanted.sort_unstable();
        wanted.dedup();
        Ok(self.keep_positions(&mut |first, count| {
            let begin = wanted.partition_point(|&position| position < first);
            let end = wanted.partition_point(|&position| position < first + count);
            wanted[begin..end].to_vec()
        }))
    }

    /// At most `parts` sets of equal size, or one host more for the first ones; none of them empty.
    pub fn split(&self, parts: usize) -> Vec<HostSet> {
        let len = self.len();
        let parts = parts.min(len);
        let mut begin = 0;
        (0..parts)
            .map(|part| {
                let end = begin + len / parts + usize::from(part < len % parts);
                let hosts = self.slice(begin..end);
                begin = end;
                hosts
            })
            .collect()
    }

    /// Adds products by shape, merging each table once.
    pub(super) fn unite(&mut self, additions: BTreeMap<String, Vec<Product>>) {
        for (shape, mut products) in additions {
            let dims = products.first().map_or(0, Vec::len);
            if let Some(table) = self.tables.get(&shape) {
                products.extend_from_slice(table.products());
            }
            self.tables.insert(shape, Table::gather(products, dims));
        }
    }

    /// Takes away the hosts of another set; only its tables are looked at.
    pub(super) fn subtract(&mut self, other: &HostSet) {
        for (shape, theirs) in &other.tables {
            let Some(mine) = self.tables.get_mut(shape) else { continue };
            *mine = mine.difference(theirs);
            if mine.is_empty() {
                self.tables.remove(shape);
            }
        }
    }

    /// Keeps the hosts at the positions that `choose` names within each table, given its first position and its size.
    fn keep_positions(&self, choose: &mut dyn FnMut(u64, u64) -> Vec<u64>) -> HostSet {
        let mut kept = HostSet::new();
        let mut first = 0;
        for (shape, table) in &self.tables {
            let chosen = choose(first, table.len());
            if chosen.len() as u64 == table.len() {
                kept.tables.insert(shape.clone(), table.clone());
            } else if !chosen.is_empty() {
                let products = table.pick(chosen.iter().map(|position| position - first));
                kept.tables.insert(shape.clone(), Table::gather(products, table.dims()));
            }
            first += table.len();
        }
        kept
    }
}

/// Takes each text as the name of one host, as it stands: operators and brackets in it have no meaning, and a name that the
/// grammar could not spell is not refused. Names from people go through [`HostSet::parse`].
impl<'a> FromIterator<&'a str> for HostSet {
    fn from_iter<T: IntoIterator<Item = &'a str>>(names: T) -> HostSet {
        let mut additions: BTreeMap<String, Vec<Product>> = BTreeMap::new();
        for name in names {
            let (shape, numbers) = shape::of_name(name);
            additions
                .entry(shape)
                .or_default()
                .push(numbers.into_iter().map(RangeSet::one).collect());
        }
        let mut set = HostSet::new();
        set.unite(additions);
        set
    }
}

impl FromIterator<String> for HostSet {
    fn from_iter<T: IntoIterator<Item = String>>(names: T) -> HostSet {
        let names: Vec<String> = names.into_iter().collect();
        names.iter().map(String::as_str).collect()
    }
}

impl<'a> IntoIterator for &'a HostSet {
    type Item = String;
    type IntoIter = Hosts<'a>;

    fn into_iter(self) -> Hosts<'a> {
        self.iter()
    }
}

/// The names of a host set, in order.
pub struct Hosts<'a> {
    tables: std::collections::btree_map::Iter<'a, String, Table>,
    table: Option<(&'a str, std::slice::Iter<'a, Product>)>,
    product: Option<Combinations>,
}

impl Iterator for Hosts<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            if let (Some(product), Some((shape, _))) = (&mut self.product, &self.table)
                && let Some(name) = product.next_name(shape)
            {
                return Some(name);
            }
            self.product = self
                .table
                .as_mut()
                .and_then(|(_, products)| products.next())
                .map(|product| Combinations::of(product));
            if self.product.is_none() {
                let (shape, table) = self.tables.next()?;
                self.table = Some((shape, table.products().iter()));
            }
        }
    }
}

/// The combinations of a product, the last dimension moving fastest.
pub(super) struct Combinations {
    members: Vec<Vec<Index>>,
    /// Where each dimension stands; none when all have been given.
    turn: Option<Vec<usize>>,
}

impl Combinations {
    pub(super) fn of(product: &[RangeSet]) -> Combinations {
        Combinations {
            members: product.iter().map(|range| range.iter().collect()).collect(),
            turn: Some(vec![0; product.len()]),
        }
    }

    pub(super) fn next_name(&mut self, shape: &str) -> Option<String> {
        let turn = self.turn.as_mut()?;
        let mut numbers = self.members.iter().zip(turn.iter()).map(|(members, &at)| members[at]);
        let mut name = String::with_capacity(shape.len() + 4);
        shape::fill(shape, &mut name, |name| {
            if let Some(number) = numbers.next() {
                number.push_to(name);
            }
        });
        drop(numbers);
        if !advance(turn, &self.members) {
            self.turn = None;
        }
        Some(name)
    }
}

/// Turns to the next combination; false after the last.
fn advance(turn: &mut [usize], members: &[Vec<Index>]) -> bool {
    for (at, members) in turn.iter_mut().zip(members).rev() {
        *at += 1;
        if *at < members.len() {
            return true;
        }
        *at = 0;
    }
    false
}

fn name(shape: &str, numbers: &[Index]) -> String {
    let mut numbers = numbers.iter();
    let mut name = String::new();
    shape::fill(shape, &mut name, |name| {
        if let Some(number) = numbers.next() {
            number.push_to(name);
        }
    });
    name
}
