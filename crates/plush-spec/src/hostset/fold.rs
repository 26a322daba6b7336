//! Merging products of several dimensions into few, with the same result and the same order as ClusterShell.
//!
//! Not a search for the smallest result: ClusterShell's merging is greedy, and people know its texts.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::index::Index;
use super::product::{Product, size};
use super::range::{RangeSet, Run};

/// After so many passes the result is kept as it is: right, though perhaps longer than need be.
const PASSES_MAX: usize = 200;

/// Merges products that may overlap into disjoint ones, in ClusterShell's order.
pub(super) fn fold(mut products: Vec<Product>, dims: usize) -> Vec<Product> {
    if dims == 0 || products.len() < 2 {
        products.truncate(1);
        return products;
    }
    match varying(&products, dims) {
        Varying::Nothing => {
            products.truncate(1);
            products
        }
        Varying::One(dim) => vec![along(products, dim)],
        Varying::Several => fold_cells(&cells(&products, dims), dims),
    }
}

/// Merges single combinations, given as [`cells`] gives them.
pub(super) fn fold_cells(cells: &[u64], dims: usize) -> Vec<Product> {
    let mut products = merge_cells(cells, dims);
    let mut full = false;
    for _ in 0..PASSES_MAX {
        products.sort_by_cached_key(order);
        let before = products.len();
        products = if full { merge_all(products, dims) } else { merge_neighbours(products) };
        if products.len() == before {
            if full {
                break;
            }
            full = true;
        }
    }
    products.sort_by_cached_key(order);
    products
}

/// Every combination once, as text keys one after the other (`dims` each), sorted as text.
pub(super) fn cells(products: &[Product], dims: usize) -> Vec<u64> {
    let mut cells = Vec::with_capacity(
        products.iter().map(|product| size(product) as usize).sum::<usize>() * dims,
    );
    for product in products {
        let keys: Vec<Vec<u64>> =
            product.iter().map(|range| range.iter().map(Index::text_key).collect()).collect();
        push_combinations(&keys, &mut vec![0; dims], 0, &mut cells);
    }
    let mut rows: Vec<&[u64]> = cells.chunks_exact(dims).collect();
    rows.sort_unstable();
    rows.dedup();
    rows.concat()
}

fn push_combinations(keys: &[Vec<u64>], row: &mut [u64], dim: usize, cells: &mut Vec<u64>) {
    if dim == keys.len() {
        cells.extend_from_slice(row);
        return;
    }
    for &key in &keys[dim] {
        row[dim] = key;
        push_combinations(keys, row, dim + 1, cells);
    }
}

enum Varying {
    Nothing,
    One(usize),
    Several,
}

/// In which dimensions the products differ.
fn varying(products: &[Product], dims: usize) -> Varying {
    let mut found = Varying::Nothing;
    for dim in 0..dims {
        if products.iter().all(|product| product[dim] == products[0][dim]) {
            continue;
        }
        found = match found {
            Varying::Nothing => Varying::One(dim),
            Varying::One(_) | Varying::Several => return Varying::Several,
        };
    }
    found
}

/// The union of products that differ in one dimension only.
fn along(products: Vec<Product>, dim: usize) -> Product {
    let mut merged = products[0].clone();
    let runs = products
        .into_iter()
        .flat_map(|mut product| std::mem::take(&mut product[dim]).into_runs())
        .collect();
    merged[dim] = RangeSet::from_runs(runs);
    merged
}

/// The size of a product, then of each range with its first and its last number.
type Order = (Reverse<u64>, Vec<(Reverse<u64>, u64, u64)>);

/// Larger products first, then larger ranges, then smaller numbers as text. Disjoint products never have the same key.
fn order(product: &Product) -> Order {
    let ranges = product.iter().map(|range| {
        let (first, last) = range.ends();
        (Reverse(range.len()), first.text_key(), last.text_key())
    });
    (Reverse(size(product)), ranges.collect())
}

/// The first pass, over single combinations: neighbours that differ in one dimension, always the same one, become a product.
fn merge_cells(cells: &[u64], dims: usize) -> Vec<Product> {
    let mut products = Vec::new();
    let mut rows = cells.chunks_exact(dims).peekable();
    while let Some(first) = rows.next() {
        let mut dim = None;
        let mut runs = Vec::new();
        while let Some(next) = rows.next_if(|row| joins(first, row, dim)) {
            let differing = *dim.get_or_insert_with(|| {
                only_difference(first, next).expect("joining rows differ in one place")
            });
            runs.push(Run::one(Index::from_text_key(next[differing])));
        }
        let mut product: Product =
            first.iter().map(|&key| RangeSet::one(Index::from_text_key(key))).collect();
        if let Some(dim) = dim {
            runs.extend_from_slice(product[dim].runs());
            product[dim] = RangeSet::from_runs(runs);
        }
        products.push(product);
    }
    products
}

fn joins(first: &[u64], row: &[u64], dim: Option<usize>) -> bool {
    match (only_difference(first, row), dim) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(differing), Some(dim)) => differing == dim,
    }
}

fn only_difference<T: PartialEq>(a: &[T], b: &[T]) -> Option<usize> {
    let mut differing = (0..a.len()).filter(|&i| a[i] != b[i]);
    let first = differing.next()?;
    differing.next().is_none().then_some(first)
}

/// A pass that compares each product with the next that is left.
fn merge_neighbours(products: Vec<Product>) -> Vec<Product> {
    let mut merged: Vec<Product> = Vec::with_capacity(products.len());
    for product in products {
        match merged.last_mut() {
            // The products are disjoint: where all but one dimension are equal, that one is disjoint and can be united.
            Some(last) if let Some(dim) = only_difference(last, &product) => {
                last[dim] = last[dim].union(&product[dim])
            }
            Some(_) | None => merged.push(product),
        }
    }
    merged
}

/// A pass that compares each product with all that come after it. Partners are found by the dimensions that must be equal,
/// so that the pass takes about linear time where comparing pairs would take quadratic.
fn merge_all(mut products: Vec<Product>, dims: usize) -> Vec<Product> {
    let mut names: HashMap<RangeSet, u32> = HashMap::new();
    let mut named: Vec<Vec<u32>> = Vec::with_capacity(products.len());
    for product in &products {
        let mut row = Vec::with_capacity(dims);
        for range in product {
            let next = names.len() as u32;
            row.push(*names.entry(range.clone()).or_insert(next));
        }
        named.push(row);
    }
    let mut partners: HashMap<(usize, Vec<u32>), Vec<usize>> = HashMap::new();
    for (place, row) in named.iter().enumerate() {
        for dim in 0..dims {
            partners.entry((dim, without(row, dim))).or_default().push(place);
        }
    }
    let mut taken = vec![false; products.len()];
    for place in 0..products.len() {
        if taken[place] {
            products[place].clear();
            continue;
        }
        let mut after = place;
        while let Some((partner, dim)) = next_partner(&partners, &named[place], &taken, after) {
            taken[partner] = true;
            after = partner;
            let united = products[place][dim].union(&products[partner][dim]);
            // A range that no product has gets a name that no product has.
            named[place][dim] = names.get(&united).copied().unwrap_or(u32::MAX);
            products[place][dim] = united;
        }
    }
    products.retain(|product| !product.is_empty());
    products
}

/// The first product after `after` that differs from `row` in one dimension only, and that dimension.
fn next_partner(
    partners: &HashMap<(usize, Vec<u32>), Vec<usize>>,
    row: &[u32],
    taken: &[bool],
    after: usize,
) -> Option<(usize, usize)> {
    (0..row.len())
        .filter_map(|dim| {
            let places = partners.get(&(dim, without(row, dim)))?;
            let begin = places.partition_point(|&place| place <= after);
            places[begin..].iter().find(|&&place| !taken[place]).map(|&place| (place, dim))
        })
        .min()
}

fn without(row: &[u32], dim: usize) -> Vec<u32> {
    row.iter().enumerate().filter(|&(i, _)| i != dim).map(|(_, &name)| name).collect()
}
