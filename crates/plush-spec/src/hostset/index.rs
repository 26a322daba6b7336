//! One number in a host's name, zero padding included: `7`, `007`.
//!
//! Not a plain integer: `7` and `007` are different hosts.

/// Most digits that one number of a name can have. A longer run of digits is plain text, since it no longer fits in one word.
pub(super) const DIGITS_MAX: usize = 17;

const LEN_BITS: u32 = 5;
const VALUE_BITS: u32 = 57;
const VALUE_MASK: u64 = (1 << VALUE_BITS) - 1;

const POWERS: [u64; DIGITS_MAX + 1] = {
    let mut powers = [1; DIGITS_MAX + 1];
    let mut i = 1;
    while i <= DIGITS_MAX {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// A number of at most [`DIGITS_MAX`] digits, with as many digits as it was written with.
///
/// The length sits above the value, so the derived order is ClusterShell's (shorter first, then smaller), and numbers of
/// one length that follow each other differ by one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Index(u64);

impl Index {
    /// The number `value` written with `len` digits; none when that is too many digits or too few.
    pub(super) fn new(value: u64, len: usize) -> Option<Index> {
        let fits = (1..=DIGITS_MAX).contains(&len) && value < POWERS[len];
        fits.then_some(Index((len as u64) << VALUE_BITS | value))
    }

    /// Reads 1 to [`DIGITS_MAX`] ASCII digits.
    pub(super) fn parse(digits: &str) -> Option<Index> {
        if digits.is_empty()
            || !digits.bytes().all(|b| b.is_ascii_digit())
            || digits.len() > DIGITS_MAX
        {
            return None;
        }
        Index::new(digits.parse().ok()?, digits.len())
    }

    pub(super) fn value(self) -> u64 {
        self.0 & VALUE_MASK
    }

    pub(super) fn len(self) -> usize {
        (self.0 >> VALUE_BITS) as usize
    }

    /// Whether it was written with leading zeros.
    pub(super) fn is_padded(self) -> bool {
        self.len() > 1 && self.value() < POWERS[self.len() - 1]
    }

    /// The next number of the same length; the caller knows that there is one.
    pub(super) fn offset(self, by: u64) -> Index {
        Index(self.0 + by)
    }

    /// How far `later` is from this one, when both have one length.
    pub(super) fn distance(self, later: Index) -> u64 {
        later.0 - self.0
    }

    /// The largest number of `len` digits.
    pub(super) fn largest(len: usize) -> u64 {
        POWERS[len] - 1
    }

    /// The digits of `before` and then those of this number, as one number.
    pub(super) fn prefixed(self, before: Index) -> Option<Index> {
        let len = self.len() + before.len();
        if len > DIGITS_MAX {
            return None;
        }
        Index::new(before.value() * POWERS[self.len()] + self.value(), len)
    }

    /// A key that sorts as the digits do as text: `1`, `10`, `2`.
    pub(super) fn text_key(self) -> u64 {
        (self.value() * POWERS[DIGITS_MAX - self.len()]) << LEN_BITS | self.len() as u64
    }

    /// The number whose [`text_key`](Index::text_key) is `key`.
    pub(super) fn from_text_key(key: u64) -> Index {
        let len = (key & ((1 << LEN_BITS) - 1)) as usize;
        Index(((len as u64) << VALUE_BITS) | ((key >> LEN_BITS) / POWERS[DIGITS_MAX - len]))
    }

    /// Appends the digits to a text.
    pub(super) fn push_to(self, text: &mut String) {
        let mut digits = [b'0'; DIGITS_MAX];
        let (mut value, len) = (self.value(), self.len());
        for place in digits[..len].iter_mut().rev() {
            *place = b'0' + (value % 10) as u8;
            value /= 10;
        }
        text.extend(digits[..len].iter().map(|&digit| char::from(digit)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn padding_makes_another_number_and_sorts_by_length_first() {
        let of = |text: &str| Index::parse(text).unwrap();
        assert!(of("9") < of("01") && of("01") < of("10") && of("99") < of("001"));
        assert!(
            of("01").is_padded()
                && !of("10").is_padded()
                && !of("0").is_padded()
                && of("00").is_padded()
        );
    }

    #[test]
    fn the_text_key_sorts_as_text_and_leads_back() {
        let mut texts =
            vec!["0", "00", "1", "10", "100", "2", "02", "99999999999999999", "00000000000000000"];
        texts.sort_unstable();
        let keys: Vec<u64> = texts.iter().map(|t| Index::parse(t).unwrap().text_key()).collect();
        assert!(keys.is_sorted());
        for (text, key) in texts.iter().zip(keys) {
            let mut back = String::new();
            Index::from_text_key(key).push_to(&mut back);
            assert_eq!(&back, text);
        }
    }
}
