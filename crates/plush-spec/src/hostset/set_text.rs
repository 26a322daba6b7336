//! Host sets as text: `node[1-5,7]`, and the same in documents.
//!
//! Not the expanded list of names: that is the set's iterator.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::groups::NoGroups;
use super::product::Product;
use super::range::RangeSet;
use super::range_text;
use super::set::HostSet;
use super::shape;

/// How a host set is folded. The default is the shortest text without steps.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Folding {
    /// Write steps (`0-10/2`) where at least so many numbers follow each other by one; none: never.
    pub autostep: Option<u64>,
    /// Fold only the numbers at these places of a name (0 is the first, -1 the last) and spell out the others; none: all.
    pub axes: Option<Vec<i32>>,
}

impl HostSet {
    /// The folded text, which reads back as the same set.
    pub fn fold(&self) -> String {
        self.fold_with(&Folding::default())
    }

    /// The folded text with steps, or with some numbers spelt out; it reads back as the same set too.
    pub fn fold_with(&self, folding: &Folding) -> String {
        let mut text = String::new();
        for (shape, table) in &self.tables {
            for product in table.products() {
                push_product(shape, product, folding, &mut text);
            }
        }
        text
    }
}

impl fmt::Display for HostSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.fold())
    }
}

impl fmt::Debug for HostSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostSet({})", self.fold())
    }
}

impl Serialize for HostSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.fold())
    }
}

/// Reads a host set without groups.
impl<'de> Deserialize<'de> for HostSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HostSet, D::Error> {
        let text = String::deserialize(deserializer)?;
        HostSet::parse(&text, &NoGroups).map_err(serde::de::Error::custom)
    }
}

/// Writes one product, or several where an axis is spelt out.
fn push_product(shape: &str, product: &Product, folding: &Folding, text: &mut String) {
    let spellings: Vec<Vec<String>> = product
        .iter()
        .enumerate()
        .map(|(dim, range)| spellings(range, dim, product.len(), folding))
        .collect();
    // As in ClusterShell, the first axis that is spelt out moves fastest.
    let mut turn = vec![0; spellings.len()];
    loop {
        if !text.is_empty() {
            text.push(',');
        }
        let mut numbers = spellings.iter().zip(&turn).map(|(spellings, &at)| &spellings[at]);
        shape::fill(shape, text, |text| text.extend(numbers.next().map(String::as_str)));
        let Some(dim) = (0..turn.len()).find(|&dim| turn[dim] + 1 < spellings[dim].len()) else {
            return;
        };
        turn[..dim].fill(0);
        turn[dim] += 1;
    }
}

/// One text for a range that is folded, one per number for a range that is not.
fn spellings(range: &RangeSet, dim: usize, dims: usize, folding: &Folding) -> Vec<String> {
    if range.len() > 1 && folds(dim, dims, folding) {
        let mut text = String::from("[");
        match folding.autostep {
            Some(autostep) => range_text::push_stepped(range, autostep, &mut text),
            None => range_text::push(range, &mut text),
        }
        text.push(']');
        return vec![text];
    }
    let spell = |index: super::index::Index| {
        let mut text = String::new();
        index.push_to(&mut text);
        text
    };
    range.iter().map(spell).collect()
}

fn folds(dim: usize, dims: usize, folding: &Folding) -> bool {
    let dims = dims as i64;
    let is_dim = |&axis: &i32| {
        let axis = i64::from(axis);
        (-dims..dims).contains(&axis) && axis.rem_euclid(dims) == dim as i64
    };
    folding.axes.as_ref().is_none_or(|axes| axes.iter().any(is_dim))
}
