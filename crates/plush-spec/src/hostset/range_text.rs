//! Ranges as text: what stands between brackets, read and written.
//!
//! Not the digits next to the brackets: `shape` joins those to the numbers.

use super::HOSTS_MAX;
use super::error::HostSetError;
use super::index::{DIGITS_MAX, Index};
use super::range::{RangeSet, Run};

/// Reads `1-5,7,001-100/2`. `offset` is the text's place in the whole, for errors.
pub(super) fn parse(text: &str, offset: usize) -> Result<RangeSet, HostSetError> {
    let mut runs = Vec::new();
    let mut count: u64 = 0;
    let mut begin = 0;
    for part in text.split(',') {
        let lead = part.len() - part.trim_start().len();
        let span = Span { text: part.trim(), offset: offset + begin + lead };
        let bounds = span.bounds()?;
        count = count.saturating_add(bounds.count());
        if count > HOSTS_MAX {
            let message = format!(
                "the range {} has {count} numbers, a host set at most {HOSTS_MAX}",
                span.text
            );
            return Err(span.error(message));
        }
        bounds.push_to(&mut runs);
        begin += part.len() + 1;
    }
    Ok(RangeSet::from_runs(runs))
}

/// Writes `1-5,7,001-100`.
pub(super) fn push(range: &RangeSet, text: &mut String) {
    let mut runs = range.runs().iter().copied().peekable();
    let mut begin = true;
    while let Some(Run { first, mut last }) = runs.next() {
        // Runs have numbers of one length; 9 and 10 still follow each other, 99 and 100, when no zero is written before them.
        while let Some(next) = runs.next_if(|next| {
            !first.is_padded() && !next.first.is_padded() && next.first.value() == last.value() + 1
        }) {
            last = next.last;
        }
        push_slice(text, &mut begin, first, last, 1);
    }
}

/// Writes ranges with a step, as `0-10/2`, wherever at least `autostep` numbers follow each other by it.
pub(super) fn push_stepped(range: &RangeSet, autostep: u64, text: &mut String) {
    let steps_min = autostep.saturating_sub(1);
    let mut begin = true;
    let mut open: Option<Stretch> = None;
    for index in range.iter() {
        let Some(mut stretch) = open.take() else {
            open = Some(Stretch::begin(index, None));
            continue;
        };
        let same_padding =
            if stretch.padded { index.len() == stretch.len } else { !index.is_padded() };
        let gap = index.value().wrapping_sub(stretch.last.value());
        let same_step = stretch.step.is_none_or(|step| step == gap);
        open = Some(match (same_padding, same_step) {
            (true, true) => {
                stretch.step = Some(gap);
                stretch.last = index;
                stretch
            }
            (true, false) if stretch.is_stepped(steps_min) => {
                stretch.push_whole(text, &mut begin);
                Stretch::begin(index, Some(gap))
            }
            (true, false) => {
                // Its last number may begin the next stretch.
                stretch.push_singles(text, &mut begin, false);
                Stretch { first: stretch.last, last: index, step: Some(gap), ..stretch }
            }
            (false, _) => {
                stretch.push(steps_min, text, &mut begin);
                Stretch::begin(index, None)
            }
        });
    }
    if let Some(stretch) = open {
        stretch.push(steps_min, text, &mut begin);
    }
}

/// Numbers at equal distances, while a range is written.
struct Stretch {
    first: Index,
    last: Index,
    /// Whether the stretch, or the one that it goes on from, began with leading zeros; all then have one length.
    padded: bool,
    len: usize,
    /// The distance; known before the second number when it came from the stretch before.
    step: Option<u64>,
}

impl Stretch {
    fn begin(index: Index, step: Option<u64>) -> Stretch {
        Stretch { first: index, last: index, padded: index.is_padded(), len: index.len(), step }
    }

    fn is_stepped(&self, steps_min: u64) -> bool {
        match self.step {
            None | Some(1) => true,
            Some(step) => self.last.value() - self.first.value() >= steps_min.saturating_mul(step),
        }
    }

    fn push(&self, steps_min: u64, text: &mut String, begin: &mut bool) {
        if self.is_stepped(steps_min) {
            self.push_whole(text, begin);
        } else {
            self.push_singles(text, begin, true);
        }
    }

    fn push_whole(&self, text: &mut String, begin: &mut bool) {
        push_slice(text, begin, self.first, self.last, self.step.unwrap_or(1));
    }

    fn push_singles(&self, text: &mut String, begin: &mut bool, with_last: bool) {
        let step = self.step.unwrap_or(1).max(1);
        let mut value = self.first.value();
        while value < self.last.value() || (with_last && value == self.last.value()) {
            let len = if self.padded { self.len } else { digits(value) };
            let index =
                Index::new(value, len).expect("a number between two of a range fits as they do");
            push_slice(text, begin, index, index, 1);
            value += step;
        }
    }
}

fn push_slice(text: &mut String, begin: &mut bool, first: Index, last: Index, step: u64) {
    if !std::mem::replace(begin, false) {
        text.push(',');
    }
    first.push_to(text);
    if first != last {
        text.push('-');
        last.push_to(text);
        if step != 1 {
            text.push_str(&format!("/{step}"));
        }
    }
}

fn digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// One part of a range's text, and its place in the whole.
#[derive(Clone, Copy)]
struct Span<'a> {
    text: &'a str,
    offset: usize,
}

/// `first-last/step`; with leading zeros all numbers have one length.
struct Bounds {
    first: Index,
    last: Index,
    step: u64,
}

impl Bounds {
    fn count(&self) -> u64 {
        (self.last.value() - self.first.value()) / self.step + 1
    }

    fn push_to(&self, runs: &mut Vec<Run>) {
        if self.step == 1 {
            for len in self.first.len()..=self.last.len() {
                let first = if len == self.first.len() {
                    self.first.value()
                } else {
                    Index::largest(len - 1) + 1
                };
                let last =
                    if len == self.last.len() { self.last.value() } else { Index::largest(len) };
                let end = |value| {
                    Index::new(value, len).expect("a bound has the length that it was cut at")
                };
                runs.push(Run { first: end(first), last: end(last) });
            }
            return;
        }
        let padded = self.first.len() == self.last.len();
        for value in (self.first.value()..=self.last.value()).step_by(self.step as usize) {
            let len = if padded { self.first.len() } else { digits(value) };
            runs.push(Run::one(
                Index::new(value, len).expect("a number between two of a range fits as they do"),
            ));
        }
    }
}

impl<'a> Span<'a> {
    fn error(self, message: impl Into<String>) -> HostSetError {
        HostSetError::new(self.offset, self.text.len(), message)
    }

    fn part(self, begin: usize, end: usize) -> Span<'a> {
        let text = &self.text[begin..end];
        let lead = text.len() - text.trim_start().len();
        Span { text: text.trim(), offset: self.offset + begin + lead }
    }

    fn bounds(self) -> Result<Bounds, HostSetError> {
        if self.text.is_empty() {
            return Err(self
                .error("a range is empty")
                .hint("write numbers between the brackets, as in [1-9]"));
        }
        let (range, step) = match self.text.find('/') {
            None => (self, 1),
            Some(slash) => (self.part(0, slash), self.part(slash + 1, self.text.len()).step()?),
        };
        let Some(dash) = range.text.find('-') else {
            let first = range.number()?;
            if step != 1 {
                return Err(self
                    .error(format!("{} has a step but no end", self.text))
                    .hint("a step follows a range, as in 1-9/2"));
            }
            return Ok(Bounds { first, last: first, step });
        };
        let first = range.part(0, dash).number()?;
        let last = range.part(dash + 1, range.text.len()).number()?;
        range.check(first, last)?;
        Ok(Bounds { first, last, step })
    }

    fn check(self, first: Index, last: Index) -> Result<(), HostSetError> {
        if (first.is_padded() || last.is_padded()) && first.len() != last.len() {
            let hint = "with leading zeros both ends have as many digits, as in 001-128";
            return Err(self
                .error(format!("the ends of {} are padded differently", self.text))
                .hint(hint));
        }
        if first.value() > last.value() {
            return Err(self
                .error(format!("the range {} runs backwards", self.text))
                .hint("the smaller number comes first"));
        }
        Ok(())
    }

    fn number(self) -> Result<Index, HostSetError> {
        if self.text.is_empty() {
            return Err(self
                .error("a number is missing in a range")
                .hint("a range has two ends, as in 1-9; numbers are not negative"));
        }
        if !self.text.bytes().all(|b| b.is_ascii_digit()) {
            let hint = "between brackets stand numbers, as in [1-5,7]";
            return Err(self.error(format!("{:?} is not a number", self.text)).hint(hint));
        }
        Index::parse(self.text).ok_or_else(|| {
            self.error(format!("the number {} has more than {DIGITS_MAX} digits", self.text))
        })
    }

    fn step(self) -> Result<u64, HostSetError> {
        match self.text.parse() {
            Ok(step) if step > 0 && self.text.bytes().all(|b| b.is_ascii_digit()) => Ok(step),
            Ok(_) | Err(_) => Err(self
                .error(format!("{:?} is not a step", self.text))
                .hint("a step is a number from 1, as in 1-9/2")),
        }
    }
}
