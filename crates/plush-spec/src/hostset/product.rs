//! Hosts of one shape as a table of products: `rack[1-4]n[1-32]` is the product of two ranges.
//!
//! Not the text around the numbers, and not how products are merged: see `fold`.

use super::fold;
use super::index::Index;
use super::range::RangeSet;

/// Every combination of one number per dimension. With no dimension it is the one host that has no number.
pub(super) type Product = Vec<RangeSet>;

/// How many combinations a product has.
pub(super) fn size(product: &[RangeSet]) -> u64 {
    product.iter().fold(1, |size, range| size.saturating_mul(range.len()))
}

/// The combination at a position of a product, the last dimension moving fastest.
fn at(product: &[RangeSet], mut position: u64) -> Option<Vec<Index>> {
    let mut numbers = Vec::with_capacity(product.len());
    for range in product.iter().rev() {
        numbers.push(range.at(position % range.len())?);
        position /= range.len();
    }
    numbers.reverse();
    (position == 0).then_some(numbers)
}

/// The same as a product, from the members of each range.
fn combination(members: &[Vec<Index>], mut position: u64) -> Product {
    let mut product = Vec::with_capacity(members.len());
    for range in members.iter().rev() {
        product.push(RangeSet::one(range[(position % range.len() as u64) as usize]));
        position /= range.len() as u64;
    }
    product.reverse();
    product
}

/// Disjoint products of one number of dimensions, merged and ordered as ClusterShell does. Never empty inside a host set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Table {
    products: Vec<Product>,
}

impl Table {
    /// Merges products that may overlap; all have `dims` dimensions and no empty range.
    pub(super) fn gather(products: Vec<Product>, dims: usize) -> Table {
        Table { products: fold::fold(products, dims) }
    }

    pub(super) fn products(&self) -> &[Product] {
        &self.products
    }

    pub(super) fn dims(&self) -> usize {
        self.products.first().map_or(0, Vec::len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.products.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.products.iter().fold(0, |sum, product| sum.saturating_add(size(product)))
    }

    /// The position of a combination of numbers in the table's order.
    pub(super) fn rank(&self, numbers: &[Index]) -> Option<u64> {
        let mut before = 0;
        for product in &self.products {
            let place = product.iter().zip(numbers).try_fold(0, |place, (range, &number)| {
                range.rank(number).map(|rank| place * range.len() + rank)
            });
            match place {
                Some(place) => return Some(before + place),
                None => before += size(product),
            }
        }
        None
    }

    pub(super) fn contains(&self, numbers: &[Index]) -> bool {
        self.products.iter().any(|product| {
            product.iter().zip(numbers).all(|(range, &number)| range.contains(number))
        })
    }

    /// The combination at a position of the table's order.
    pub(super) fn at(&self, mut position: u64) -> Option<Vec<Index>> {
        for product in &self.products {
            if position < size(product) {
                return at(product, position);
            }
            position -= size(product);
        }
        None
    }

    /// The combinations at ascending positions of the table's order, each as a product of its own.
    pub(super) fn pick(&self, positions: impl Iterator<Item = u64>) -> Vec<Product> {
        let mut positions = positions.peekable();
        let mut picked = Vec::new();
        let mut first = 0;
        for product in &self.products {
            let end = first + size(product);
            if positions.peek().is_some_and(|&position| position < end) {
                let members: Vec<Vec<Index>> =
                    product.iter().map(|range| range.iter().collect()).collect();
                while let Some(position) = positions.next_if(|&position| position < end) {
                    picked.push(combination(&members, position - first));
                }
            }
            first = end;
        }
        picked
    }

    pub(super) fn union(&self, other: &Table) -> Table {
        if self == other {
            return self.clone();
        }
        Table::gather([self.products.as_slice(), &other.products].concat(), self.dims())
    }

    pub(super) fn intersection(&self, other: &Table) -> Table {
        match (self.line(), other.line()) {
            (Some(a), Some(b)) => Table::of_line(a.intersection(b)),
            _ => self.keep(other, true),
        }
    }

    pub(super) fn difference(&self, other: &Table) -> Table {
        match (self.line(), other.line()) {
            (Some(a), Some(b)) => Table::of_line(a.difference(b)),
            _ => self.keep(other, false),
        }
    }

    /// The one range of a table of one dimension.
    fn line(&self) -> Option<&RangeSet> {
        match self.products.as_slice() {
            [product] if product.len() == 1 => product.first(),
            _ => None,
        }
    }

    fn of_line(range: RangeSet) -> Table {
        Table { products: if range.is_empty() { Vec::new() } else { vec![vec![range]] } }
    }

    /// The combinations that `other` has too (or has not), for tables of several dimensions or none.
    fn keep(&self, other: &Table, wanted: bool) -> Table {
        let dims = self.dims();
        if dims == 0 {
            let products =
                if other.is_empty() != wanted { self.products.clone() } else { Vec::new() };
            return Table { products };
        }
        let (mine, theirs) =
            (fold::cells(&self.products, dims), fold::cells(&other.products, dims));
        let mut theirs = theirs.chunks_exact(dims).peekable();
        let mut kept = Vec::new();
        for cell in mine.chunks_exact(dims) {
            while theirs.next_if(|their| *their < cell).is_some() {}
            if (theirs.peek() == Some(&cell)) == wanted {
                kept.extend_from_slice(cell);
            }
        }
        Table { products: fold::fold_cells(&kept, dims) }
    }
}
