//! The text of hosts around their numbers: `n7-ib0` has the shape `n%s-ib%s` and the numbers 7 and 0.
//!
//! Not the grammar: operators, groups and brackets are read in `parse`.

use super::index::{DIGITS_MAX, Index};
use super::product::Product;
use super::range::RangeSet;

/// More numbers than this in one name are plain text.
pub(super) const DIMENSIONS_MAX: usize = 16;

/// Hosts of one shape. A shape has `%s` for each number and `%%` for a percent sign, so that shapes sort as ClusterShell's.
#[derive(Debug)]
pub(super) struct Shaped {
    pub(super) shape: String,
    pub(super) product: Product,
}

/// Why a range cannot stand where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Misplaced {
    /// Two ranges with nothing or only digits between them.
    Touching,
    /// The range and the digits around it make a number that is too long.
    TooLong,
    /// The name has more numbers than a host set keeps apart.
    TooMany,
}

/// What the text read so far ends with.
#[derive(Debug)]
enum Tail {
    Text,
    Digits(Index),
    LongDigits,
    Range(RangeSet),
}

/// Puts a shape together, from left to right. Digits next to a range belong to its numbers: `n1[0-3]` is `n[10-13]`.
#[derive(Debug)]
pub(super) struct Shaper {
    shaped: Shaped,
    tail: Tail,
}

impl Shaper {
    pub(super) fn new() -> Shaper {
        Shaper { shaped: Shaped { shape: String::new(), product: Vec::new() }, tail: Tail::Text }
    }

    /// Adds text outside brackets; its runs of digits are numbers.
    pub(super) fn text(&mut self, mut text: &str) -> Result<(), Misplaced> {
        while !text.is_empty() {
            let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let (number, rest) = text.split_at(digits);
            if !number.is_empty() {
                self.digits(number)?;
            }
            let (plain, rest) =
                rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
            if !plain.is_empty() {
                self.close();
                push_escaped(&mut self.shaped.shape, plain);
            }
            text = rest;
        }
        Ok(())
    }

    /// Adds text whose digits are text too.
    pub(super) fn literal(&mut self, text: &str) {
        self.close();
        push_escaped(&mut self.shaped.shape, text);
    }

    /// Adds the content of a bracket.
    pub(super) fn range(&mut self, range: RangeSet) -> Result<(), Misplaced> {
        let range = match std::mem::replace(&mut self.tail, Tail::Text) {
            Tail::Text => range,
            Tail::Digits(before) => range.prefixed(before).ok_or(Misplaced::TooLong)?,
            Tail::LongDigits => return Err(Misplaced::TooLong),
            Tail::Range(_) => return Err(Misplaced::Touching),
        };
        if self.shaped.product.len() == DIMENSIONS_MAX {
            return Err(Misplaced::TooMany);
        }
        self.tail = Tail::Range(range);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Shaped {
        self.close();
        self.shaped
    }

    fn digits(&mut self, digits: &str) -> Result<(), Misplaced> {
        let number = Index::parse(digits);
        self.tail = match (std::mem::replace(&mut self.tail, Tail::Text), number) {
            (Tail::Range(range), Some(after)) => {
                Tail::Range(range.suffixed(after).ok_or(Misplaced::TooLong)?)
            }
            (Tail::Range(_), None) => return Err(Misplaced::TooLong),
            (_, Some(number)) if self.shaped.product.len() < DIMENSIONS_MAX => Tail::Digits(number),
            (_, Some(_) | None) => {
                debug_assert!(
                    digits.len() > DIGITS_MAX || self.shaped.product.len() == DIMENSIONS_MAX
                );
                self.shaped.shape.push_str(digits);
                Tail::LongDigits
            }
        };
        Ok(())
    }

    /// Ends the number that the text read so far ends with.
    fn close(&mut self) {
        let range = match std::mem::replace(&mut self.tail, Tail::Text) {
            Tail::Text | Tail::LongDigits => return,
            Tail::Digits(number) => RangeSet::one(number),
            Tail::Range(range) => range,
        };
        self.shaped.shape.push_str("%s");
        self.shaped.product.push(range);
    }
}

/// The shape and the numbers of one host's name, the same that the grammar finds for it.
pub(super) fn of_name(name: &str) -> (String, Vec<Index>) {
    let mut shaper = Shaper::new();
    let (host, port) = split_port(name);
    if is_literal(host) {
        shaper.literal(name);
    } else {
        shaper.text(host).expect("a name without brackets has no misplaced range");
        shaper.literal(port);
    }
    let Shaped { shape, product } = shaper.finish();
    let numbers = product.iter().filter_map(RangeSet::single).collect();
    (shape, numbers)
}

/// Cuts `:22` off a host; the second part is empty when there is no port, or when what follows is no port.
pub(super) fn split_port(host: &str) -> (&str, &str) {
    match host.rfind(':') {
        Some(colon)
            if is_port(&host[colon + 1..])
                && (host[..colon].ends_with(']') || !host[..colon].contains(':')) =>
        {
            host.split_at(colon)
        }
        Some(_) | None => (host, ""),
    }
}

/// Whether a host is an address of version 6 (or otherwise strange), in which no digits are counted.
pub(super) fn is_literal(host: &str) -> bool {
    host.contains([':', '[', ']'])
}

/// Writes a host's name: a shape with a text for each number.
pub(super) fn fill(shape: &str, name: &mut String, mut number: impl FnMut(&mut String)) {
    let mut rest = shape;
    while let Some(percent) = rest.find('%') {
        name.push_str(&rest[..percent]);
        if rest[percent..].starts_with("%s") {
            number(name);
        } else {
            name.push('%');
        }
        rest = &rest[percent + 2..];
    }
    name.push_str(rest);
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn push_escaped(shape: &mut String, text: &str) {
    for c in text.chars() {
        if c == '%' {
            shape.push('%');
        }
        shape.push(c);
    }
}
